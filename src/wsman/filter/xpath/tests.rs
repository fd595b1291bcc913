use super::*;
use crate::cim::Condition;
use crate::cim::Literal;
use crate::wsman::filter::tests::class;

fn condition(text: &str) -> Result<Option<Condition>, FilterError> {
    let select = parse(text)?;
    assert_eq!(select.class, None);
    let bound = select.bind(&class())?;
    assert_eq!(bound.columns, None);
    Ok(bound.condition)
}

fn bound(text: &str) -> Option<Condition> {
    condition(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> Reason {
    match condition(text) {
        Err(FilterError::Invalid { reason, .. }) => reason,
        other => panic!("{text}: {other:?}"),
    }
}

fn compare(property: &str, operator: Comparison, literal: Literal) -> Condition {
    Condition::Compare {
        property: property.to_owned(),
        operator,
        literal,
    }
}

fn equal(property: &str, literal: Literal) -> Condition {
    compare(property, Comparison::Equal, literal)
}

fn state() -> Condition {
    equal("State", Literal::Integer(4))
}

fn name() -> Condition {
    equal("Name", Literal::Exact("x".to_owned()))
}

fn is_there(property: &str) -> Condition {
    Condition::Not(Box::new(Condition::IsNull(property.to_owned())))
}

#[test]
fn a_property_is_reached_from_the_instance_and_from_outside() {
    for text in [
        "State=4",
        "./State=4",
        "p:State = 4",
        "State/text()=4",
        "State/.='4'",
        "4=State",
        "Thing/State=4",
        "p:Thing/p:State=\"4\"",
        "*/State=4",
        "/Thing/State=4",
        "/*/State=4",
        " / Thing / State = 4 ",
        "./Thing/State=4",
        "Thing[State=4]",
        "/Thing[State=4]",
        "*[State=4]",
        ".[State=4]",
        "/.[Thing/State=4]",
        "Thing[./State[text()=4]]",
        "(State=4)",
        "State=4.0",
    ] {
        let found = bound(text);
        // A predicate on a property asks for the property, too.
        let with_presence = Condition::And(vec![is_there("State"), state()]);
        assert!(
            found == Some(state()) || found == Some(with_presence),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn predicates_join_the_path_that_they_stand_on() {
    assert_eq!(
        bound("Thing[State=4]/Name='x'"),
        Some(Condition::And(vec![name(), state()]))
    );
    assert_eq!(
        bound("Thing[State=4][Name='x']"),
        Some(Condition::And(vec![state(), name()]))
    );
    assert_eq!(
        bound("State[.>2]=4"),
        Some(Condition::And(vec![
            state(),
            compare("State", Comparison::Greater, Literal::Integer(2))
        ]))
    );
    assert_eq!(
        bound("Thing[State[.=4] and /Thing/Name='x']"),
        Some(Condition::And(vec![is_there("State"), state(), name()]))
    );
}

#[test]
fn every_operator_is_read_from_either_side() {
    use Comparison::Equal;
    use Comparison::Greater;
    use Comparison::GreaterOrEqual;
    use Comparison::Less;
    use Comparison::LessOrEqual;
    use Comparison::NotEqual;
    for (symbol, operator, mirrored) in [
        ("=", Equal, Equal),
        ("!=", NotEqual, NotEqual),
        ("<", Less, Greater),
        ("<=", LessOrEqual, GreaterOrEqual),
        (">", Greater, Less),
        (">=", GreaterOrEqual, LessOrEqual),
    ] {
        let tiny = |operator| Some(compare("Tiny", operator, Literal::Integer(-1)));
        assert_eq!(bound(&format!("Tiny{symbol}-1")), tiny(operator));
        assert_eq!(bound(&format!("-1 {symbol} Tiny")), tiny(mirrored));
    }
}

#[test]
fn texts_have_case_and_no_escapes() {
    let exact = |text: &str| Some(equal("Name", Literal::Exact(text.to_owned())));
    assert_eq!(bound("Name=\"It's\""), exact("It's"));
    assert_eq!(bound(r#"Name='a\"b'"#), exact(r#"a\"b"#));
    assert_eq!(bound("Name=''"), exact(""));
    assert_eq!(
        bound("Flag='true'"),
        Some(equal("Flag", Literal::Boolean(true)))
    );
    for text in [
        "Name<'a'",
        "Name=5",
        "State='four'",
        "Flag=1",
        "List='x'",
        "Inner",
        "List",
    ] {
        assert!(matches!(refused(text), Reason::NotComparable(_)), "{text}");
    }
}

#[test]
fn and_binds_closer_than_or() {
    let small = || equal("Small", Literal::Integer(1));
    assert_eq!(
        bound("State=4 or Name='x' and Small=1"),
        Some(Condition::Or(vec![
            state(),
            Condition::And(vec![name(), small()])
        ]))
    );
    assert_eq!(
        bound("(State=4 or Name='x') and Small=1"),
        Some(Condition::And(vec![
            Condition::Or(vec![state(), name()]),
            small()
        ]))
    );
    assert_eq!(
        bound("not(State=4) and not ( not(Name='x') )"),
        Some(Condition::And(vec![
            Condition::Not(Box::new(state())),
            name()
        ]))
    );
    // Operators are known by their places.
    assert_eq!(
        refused("and=1 or or=1"),
        Reason::UnknownProperty("and".to_owned())
    );
}

#[test]
fn a_path_alone_holds_where_something_is() {
    assert_eq!(bound("Name"), Some(is_there("Name")));
    assert_eq!(bound("/Thing/Name/text()"), Some(is_there("Name")));
    assert_eq!(
        bound("not(Name)"),
        Some(Condition::IsNull("Name".to_owned()))
    );
    for text in [".", "*", "/", "/*", "Thing", "/Thing", "./.", "/Thing/."] {
        assert_eq!(bound(text), None, "{text}");
    }
}

#[test]
fn names_have_case() {
    for (text, path) in [
        ("state=4", "state"),
        ("thing/State=4", "thing/State"),
        ("/thing/State=4", "/thing/State"),
        ("/State=4", "/State"),
        ("Thing/Thing/State=4", "Thing/Thing/State"),
        ("__CLASS='Thing'", "__CLASS"),
        ("*/Thing/State=4", "Thing/State"),
    ] {
        let wanted = Reason::UnknownProperty(path.trim_start_matches('/').to_owned());
        assert_eq!(refused(text), wanted, "{text}");
    }
    for text in ["Inner/x=1", "Name/x=1", "Thing=1", ".=1", "Name[x=1]"] {
        assert!(matches!(refused(text), Reason::NotComparable(_)), "{text}");
    }
}

#[test]
fn what_is_beyond_the_subset_is_named() {
    use Feature::Attributes;
    use Feature::Axes;
    use Feature::Calculations;
    use Feature::Functions;
    use Feature::Positions;
    use Feature::Unions;
    use Feature::Wildcards;
    for (text, feature) in [
        ("count(Name)=1", Functions),
        ("contains(Name, 'x')", Functions),
        ("Thing[last()]", Functions),
        ("State[1]", Positions),
        ("Thing[ 2 ]", Positions),
        ("//State=4", Axes),
        ("Thing//State=4", Axes),
        ("../State=4", Axes),
        ("child::State=4", Axes),
        ("self::node()", Axes),
        ("@id=4", Attributes),
        ("Thing/@id", Attributes),
        ("Name | Note", Unions),
        ("State + 1 = 5", Calculations),
        ("State * 1 = 5", Calculations),
        ("State div 2 = 2", Calculations),
        ("Thing/*=1", Wildcards),
    ] {
        let FilterError::Invalid { status, reason } = condition(text).expect_err("refused") else {
            panic!("{text}");
        };
        assert_eq!(reason, Reason::NotSupported(feature), "{text}");
        assert_eq!(status, 0x8004_100C);
    }
}

#[test]
fn mistakes_are_told_by_place_and_by_what_was_expected() {
    use Expected::Constant;
    use Expected::End;
    use Expected::Keyword;
    use Expected::Operator;
    use Expected::Property;
    use Expected::Step;
    let unexpected = |at, expected| Reason::Unexpected { at, expected };
    let early = Reason::EndsEarly;
    for (text, wanted) in [
        ("", early(Step)),
        ("State=", early(Step)),
        ("State=4 and", early(Step)),
        ("State==4", unexpected(7, Step)),
        ("State=4 Name", unexpected(9, End)),
        ("State=4=4", unexpected(8, End)),
        ("State=Name", unexpected(7, Constant)),
        ("State=(4=Name)", unexpected(7, Constant)),
        ("4=4", unexpected(3, Property)),
        ("'x'", early(Operator)),
        ("'é' y", unexpected(5, Operator)),
        ("(State=4", early(Keyword(")"))),
        ("(State)=4", unexpected(8, Keyword("and"))),
        ("State[.=4", early(Keyword("]"))),
        ("State[]", unexpected(7, Step)),
        ("State=4)", unexpected(8, End)),
        ("text()='x'", unexpected(1, Property)),
        ("Name/text()/x", unexpected(12, Operator)),
        ("Name/text(", early(Keyword(")"))),
        ("p:=1", unexpected(3, Step)),
        ("Thing/", early(Step)),
        ("$x", unexpected(1, Step)),
        ("State=1.2.3", unexpected(7, Expected::Number)),
        ("Name='x", Reason::Unclosed(6)),
    ] {
        assert_eq!(refused(text), wanted, "{text}");
    }
}
