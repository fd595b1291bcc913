use super::*;
use crate::wsman::filter::Association;
use crate::wsman::filter::number::Number;

fn select(text: &str) -> Select {
    match parse(text) {
        Ok(Filter::Select(select)) => select,
        other => panic!("{text}: {other:?}"),
    }
}

fn expression(text: &str) -> Expression {
    let select = select(&format!("SELECT * FROM Thing WHERE {text}"));
    select.condition.expect("a condition")
}

fn refused(text: &str) -> (u32, Reason) {
    match parse(text) {
        Err(FilterError::Invalid { status, reason }) => (status, reason),
        other => panic!("{text}: {other:?}"),
    }
}

/// Why a condition is refused; places counted from its first character.
fn wrong(condition: &str) -> Reason {
    let head = "SELECT * FROM Thing WHERE ";
    let (status, reason) = refused(&format!("{head}{condition}"));
    assert_eq!(status, 0x8004_1017, "{condition}");
    let head = head.len();
    match reason {
        Reason::Unexpected { at, expected } => Reason::Unexpected {
            at: at - head,
            expected,
        },
        Reason::Unclosed(at) => Reason::Unclosed(at - head),
        other => other,
    }
}

fn unexpected(at: usize, expected: Expected) -> Reason {
    Reason::Unexpected { at, expected }
}

fn path(name: &str) -> Path {
    Path::of_instance(name)
}

fn compare(name: &str, operator: Comparison, constant: Constant) -> Expression {
    Expression::Compare {
        path: path(name),
        operator,
        constant,
    }
}

fn text(text: &str) -> Constant {
    Constant::Text(text.to_owned())
}

fn number(text: &str) -> Constant {
    Constant::Number {
        text: text.to_owned(),
        number: Number::parse(text).expect("a number"),
    }
}

fn equal(name: &str) -> Expression {
    compare(name, Comparison::Equal, number("1"))
}

#[test]
fn all_properties_or_some_are_selected_from_a_class() {
    let all = select("select*from Thing");
    assert_eq!(all.class.as_deref(), Some("Thing"));
    assert_eq!((all.columns, all.condition), (None, None));
    assert_eq!(
        select("SELECT a, B ,a FROM x;").columns,
        Some(vec!["a".to_owned(), "B".to_owned(), "a".to_owned()])
    );
    assert_eq!(
        select("\tSeLeCt __CLASS\nfRoM\r\nx  ;  ").columns,
        Some(vec!["__CLASS".to_owned()])
    );
    // Words of queries for events are names elsewhere.
    assert_eq!(
        select("select group, within, by from select")
            .class
            .as_deref(),
        Some("select")
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
        ("<>", NotEqual, NotEqual),
        ("!=", NotEqual, NotEqual),
        ("<", Less, Greater),
        ("<=", LessOrEqual, GreaterOrEqual),
        (">", Greater, Less),
        (">=", GreaterOrEqual, LessOrEqual),
    ] {
        assert_eq!(
            expression(&format!("State{symbol}-1")),
            compare("State", operator, number("-1"))
        );
        assert_eq!(
            expression(&format!("-1 {symbol} State")),
            compare("State", mirrored, number("-1"))
        );
    }
}

#[test]
fn constants_are_texts_numbers_and_truth_values() {
    for (written, wanted) in [
        (r"'a\\b\''", text(r"a\b'")),
        (r#""it's""#, text("it's")),
        ("''", text("")),
        ("0x1F", number("0x1F")),
        ("2.5e3", number("2.5e3")),
        ("99999999999999999999999", number("99999999999999999999999")),
        ("True", Constant::Boolean(true)),
        ("FALSE", Constant::Boolean(false)),
    ] {
        assert_eq!(
            expression(&format!("x = {written}")),
            compare("x", Comparison::Equal, wanted)
        );
    }
}

#[test]
fn not_binds_closer_than_and_and_and_closer_than_or() {
    let (a, b, c) = (equal("a"), equal("b"), equal("c"));
    assert_eq!(
        expression("a=1 or b=1 and c=1"),
        Expression::Or(vec![a.clone(), Expression::And(vec![b.clone(), c.clone()])])
    );
    assert_eq!(
        expression("(a=1 OR b=1)AND c=1"),
        Expression::And(vec![Expression::Or(vec![a.clone(), b.clone()]), c.clone()])
    );
    assert_eq!(
        expression("not a=1 And NOT (b=1 or c=1)"),
        Expression::And(vec![
            a.clone().negated(),
            Expression::Or(vec![b, c]).negated()
        ])
    );
    assert_eq!(expression("NOT NOT a=1"), a);
    assert_eq!(expression("NOT NOT NOT ((a=1))"), a.negated());
}

#[test]
fn null_is_asked_for_in_the_new_way_and_in_the_old() {
    let is_null = Expression::IsNull(path("x"));
    for text in ["x is null", "x = NULL", "Null = x"] {
        assert_eq!(expression(text), is_null, "{text}");
    }
    for text in ["x IS NOT NULL", "x <> null", "x != null", "NULL<>x"] {
        assert_eq!(expression(text), is_null.clone().negated(), "{text}");
    }
    assert_eq!(wrong("x < NULL"), unexpected(3, Expected::Keyword("=")));
    assert_eq!(wrong("NULL >= x"), unexpected(6, Expected::Keyword("=")));
    assert_eq!(wrong("x is 1"), unexpected(6, Expected::Keyword("NULL")));
}

#[test]
fn patterns_have_no_escapes() {
    let like = |is_negated, pattern| Expression::Like {
        path: path("x"),
        is_negated,
        pattern: pattern::read(pattern, 1).expect("a pattern"),
    };
    assert_eq!(expression(r"x LIKE 'C:\\%\'"), like(false, r"C:\\%\"));
    assert_eq!(expression(r#"x like "it's""#), like(false, "it's"));
    assert_eq!(expression("x NOT LIKE '[^a]_'"), like(true, "[^a]_"));
    assert_eq!(expression("not x like 'a'"), like(false, "a").negated());
    assert_eq!(wrong("x LIKE 5"), unexpected(8, Expected::Quoted));
    assert_eq!(wrong("x LIKE '[a'"), Reason::Unclosed(9));
    assert_eq!(wrong("x NOT 'a'"), unexpected(7, Expected::Keyword("LIKE")));
}

#[test]
fn all_patterns_together_have_a_limit() {
    let query = |length| {
        let term = format!("x LIKE '{}'", "a".repeat(length));
        format!("SELECT * FROM Thing WHERE {term} OR {term}")
    };
    assert!(parse(&query(1_024)).is_ok());
    assert_eq!(refused(&query(1_025)), (0x8004_106C, Reason::TooLong));
}

#[test]
fn isa_takes_the_name_of_a_class_in_quotation_marks() {
    let isa = |name| Expression::Isa {
        path: path(name),
        class: "Part".to_owned(),
    };
    assert_eq!(expression("__THIS ISA 'Part'"), isa("__THIS"));
    assert_eq!(expression("Inner isa \" Part\""), isa("Inner"));
    assert_eq!(wrong("Inner ISA Part"), unexpected(11, Expected::Quoted));
}

#[test]
fn mistakes_are_told_by_place_and_by_what_was_expected() {
    use Expected::Class;
    use Expected::Constant;
    use Expected::End;
    use Expected::Keyword;
    use Expected::Operator;
    use Expected::Property;
    let early = Reason::EndsEarly;
    for (text, wanted) in [
        ("", early(Keyword("SELECT"))),
        ("  ", early(Keyword("SELECT"))),
        ("garbage", unexpected(1, Keyword("SELECT"))),
        ("SELECT", early(Property)),
        ("SELECT FROM x", unexpected(8, Property)),
        ("SELECT a,, b FROM x", unexpected(10, Property)),
        ("SELECT *, a FROM x", unexpected(9, Keyword("FROM"))),
        ("SELECT a. FROM x", unexpected(8, Property)),
        ("SELECT count(*) FROM x", unexpected(13, Keyword("FROM"))),
        ("SELECT *", early(Keyword("FROM"))),
        ("SELECT * FROM", early(Class)),
        ("SELECT * FROM 'x'", unexpected(15, Class)),
        ("SELECT * FROM x.y", unexpected(15, Class)),
        ("SELECT * FROM WHERE x=1", unexpected(15, Class)),
        ("SELECT * FROM x y", unexpected(17, End)),
        ("SELECT * FROM x;;", unexpected(16, End)),
        ("SELECT * FROM x; x", unexpected(16, End)),
        ("SELECT * FROM é WHERE #", unexpected(23, Expected::Word)),
    ] {
        assert_eq!(refused(text), (0x8004_1017, wanted), "{text}");
    }
    for (text, wanted) in [
        ("", early(Property)),
        ("a", early(Operator)),
        ("a =", early(Constant)),
        ("a = b", unexpected(5, Constant)),
        ("a == 1", unexpected(4, Constant)),
        ("1 = 2", unexpected(5, Property)),
        ("1 1", unexpected(3, Operator)),
        ("'a' LIKE b", unexpected(5, Operator)),
        ("a = 1 b = 2", unexpected(7, End)),
        ("a = 1 AND", early(Property)),
        ("a = 1 AND AND b = 1", unexpected(11, Property)),
        ("a = 1 OR", early(Property)),
        ("NOT", early(Property)),
        ("(a = 1", early(Keyword(")"))),
        ("a = 1)", unexpected(6, End)),
        ("()", unexpected(2, Property)),
        ("a IN (1, 2)", unexpected(3, Operator)),
        ("a = 'x", Reason::Unclosed(5)),
        ("a = 12x", unexpected(5, Expected::Number)),
        ("a..b = 1", unexpected(1, Property)),
    ] {
        assert_eq!(wrong(text), wanted, "{text}");
    }
    assert_eq!(
        refused(r"SELECT * FROM x WHERE a = 'C:\temp'"),
        (0x8004_1017, Reason::Escape(30))
    );
}

#[test]
fn queries_for_classes_are_refused_once_they_are_read() {
    for text in [
        "SELECT * FROM meta_class",
        "select * from META_CLASS where __THIS ISA 'x'",
        "SELECT * FROM meta_class WHERE __CLASS = 'x'",
        "ASSOCIATORS OF {x} WHERE SchemaOnly",
        "REFERENCES OF {x.y=1} WHERE ResultClass=a ClassDefsOnly",
    ] {
        let wanted = (0x8004_100C, Reason::NotSupported(Feature::Classes));
        assert_eq!(refused(text), wanted, "{text}");
    }
    assert_eq!(
        refused("SELECT * FROM meta_class WHERE"),
        (0x8004_1017, Reason::EndsEarly(Expected::Property))
    );
}

#[test]
fn queries_for_events_are_refused_once_they_are_read() {
    for text in [
        "SELECT * FROM __InstanceModificationEvent WITHIN 5",
        "select * from __InstanceModificationEvent within 0.5 \
         where TargetInstance isa 'x' and TargetInstance.State <> PreviousInstance_State",
        "SELECT * FROM __TimerEvent",
        "SELECT * FROM __InstanceCreationEvent WITHIN 5 WHERE TargetInstance.a = 1 \
         GROUP WITHIN 10 BY TargetInstance.a, b HAVING NumberOfEvents > 3;",
    ] {
        let text = text.replace(" <> PreviousInstance_State", " <> 4");
        let wanted = (0x8004_100C, Reason::NotSupported(Feature::Events));
        assert_eq!(refused(&text), wanted, "{text}");
    }
    let event = "__InstanceCreationEvent";
    for (text, status, reason) in [
        (
            "SELECT * FROM Thing WITHIN 5",
            0x8004_1059,
            Reason::NotAnEvent("Thing".to_owned()),
        ),
        (
            "SELECT * FROM Thing GROUP WITHIN 5",
            0x8004_1059,
            Reason::NotAnEvent("Thing".to_owned()),
        ),
        (
            "SELECT * FROM __TimerEvent GROUP BY x",
            0x8004_105A,
            Reason::GroupNeedsWithin(28),
        ),
        (
            "SELECT * FROM __InstanceCreationEvent",
            0x8004_2002,
            Reason::NeedsWithin(event.to_owned()),
        ),
        (
            "SELECT * FROM __InstanceCreationEvent GROUP WITHIN 5",
            0x8004_2002,
            Reason::NeedsWithin(event.to_owned()),
        ),
        (
            "SELECT * FROM Thing WITHIN x",
            0x8004_1058,
            unexpected(28, Expected::Number),
        ),
        (
            "SELECT * FROM __InstanceCreationEvent WHERE",
            0x8004_1058,
            Reason::EndsEarly(Expected::Property),
        ),
        (
            "SELECT * FROM __TimerEvent GROUP WITHIN 5 HAVING x = 1",
            0x8004_1058,
            unexpected(50, Expected::Keyword("NumberOfEvents")),
        ),
        (
            "SELECT * FROM __TimerEvent GROUP WITHIN 5 HAVING NumberOfEvents > 'x'",
            0x8004_1058,
            unexpected(67, Expected::Number),
        ),
    ] {
        assert_eq!(refused(text), (status, reason), "{text}");
    }
}

#[test]
fn associations_are_asked_for_around_an_instance() {
    let wanted = Association {
        class: "Job".to_owned(),
        namespace: Some("root/x".to_owned()),
        keys: vec![("Id".to_owned(), "}".to_owned())],
    };
    let object = r"{root\x:Job.Id='}'}";
    for text in [
        format!("ASSOCIATORS OF {object}"),
        format!("associators of{object};"),
        format!(
            "ASSOCIATORS OF {object} WHERE AssocClass=A ResultClass = 'B' resultrole=c Role=d \
             RequiredQualifier=e RequiredAssocQualifier=f KeysOnly"
        ),
        format!("REFERENCES OF {object} WHERE KEYSONLY Role=d ResultClass=B RequiredQualifier=e;"),
    ] {
        assert_eq!(
            parse(&text),
            Ok(Filter::Association(wanted.clone())),
            "{text}"
        );
    }
}

#[test]
fn other_queries_around_an_instance_are_refused() {
    use Expected::Keyword;
    let early = Reason::EndsEarly;
    for (text, wanted) in [
        ("ASSOCIATORS {A.B=1}", unexpected(13, Keyword("OF"))),
        ("ASSOCIATORS OF", early(Expected::ObjectPath)),
        ("ASSOCIATORS OF A.B=1", unexpected(16, Expected::ObjectPath)),
        ("ASSOCIATORS OF {A}", unexpected(18, Expected::Key)),
        ("ASSOCIATORS OF {A.B=}", unexpected(21, Expected::Constant)),
        ("ASSOCIATORS OF {A.B=1", Reason::Unclosed(16)),
        ("ASSOCIATORS OF {A.B=1} x", unexpected(24, Expected::End)),
        (
            "ASSOCIATORS OF {A.B=1} WHERE",
            early(Keyword("ResultClass")),
        ),
        (
            "ASSOCIATORS OF {A.B=1} WHERE State=1",
            unexpected(30, Keyword("ResultClass")),
        ),
        (
            "ASSOCIATORS OF {A.B=1} WHERE Role=a AND Role=b",
            unexpected(37, Keyword("ResultClass")),
        ),
        (
            "ASSOCIATORS OF {A.B=1} WHERE Role=a role=b",
            Reason::Twice("Role".to_owned()),
        ),
        (
            "REFERENCES OF {A.B=1} WHERE ResultRole=a",
            unexpected(29, Keyword("ResultClass")),
        ),
        (
            "REFERENCES OF {A.B=1} WHERE Role a",
            unexpected(34, Keyword("=")),
        ),
        (
            "REFERENCES OF {A.B=1} WHERE Role=1",
            unexpected(34, Expected::Name),
        ),
    ] {
        let (status, reason) = refused(text);
        assert_eq!(reason, wanted, "{text}");
        assert_eq!(status, 0x8004_1017, "{text}");
    }
}
