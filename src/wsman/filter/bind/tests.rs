use super::*;
use crate::cim::Literal;
use crate::wsman::filter::Filter;
use crate::wsman::filter::tests::class;
use crate::wsman::filter::wql;

fn bind(query: &str) -> Result<Bound, Reason> {
    match wql::parse(query) {
        Ok(Filter::Select(select)) => select.bind(&class()).map_err(|error| match error {
            FilterError::Invalid {
                status: 0x8004_1017,
                reason,
            } => reason,
            other => panic!("{query}: {other:?}"),
        }),
        other => panic!("{query}: {other:?}"),
    }
}

fn condition(text: &str) -> Option<Condition> {
    let bound = bind(&format!("SELECT * FROM Thing WHERE {text}"));
    bound
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .condition
}

fn refused(text: &str) -> Reason {
    bind(&format!("SELECT * FROM Thing WHERE {text}")).expect_err("refused")
}

fn columns(list: &str) -> Option<Vec<String>> {
    bind(&format!("SELECT {list} FROM Thing"))
        .expect("bound")
        .columns
}

fn equal(property: &str, literal: Literal) -> Condition {
    Condition::Compare {
        property: property.to_owned(),
        operator: Comparison::Equal,
        literal,
    }
}

fn is_null(property: &str) -> Condition {
    Condition::IsNull(property.to_owned())
}

const NEVER: Option<Condition> = Some(Condition::Always(false));

#[test]
fn a_projection_has_canonical_names_in_alphabetical_order() {
    assert_eq!(columns("*"), None);
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(
        columns("state, NAME, State, inner"),
        names(&["Inner", "Name", "State"])
    );
    assert_eq!(
        columns("Name, Note, Flag, Tiny, Small, State, Big, List, Inner"),
        names(&[
            "Big", "Flag", "Inner", "List", "Name", "Note", "Small", "State", "Tiny"
        ])
    );
}

#[test]
fn system_properties_of_a_projection_have_no_column() {
    for name in SYSTEM {
        let with = columns(&format!("{}, Name", name.to_lowercase()));
        assert_eq!(with, Some(vec!["Name".to_owned()]), "{name}");
    }
    assert_eq!(columns("__PATH"), Some(Vec::new()));
}

#[test]
fn unknown_properties_are_refused_wherever_they_stand() {
    let unknown = |name: &str| Reason::UnknownProperty(name.to_owned());
    for name in ["Colour", "__COLOUR", "__THIS"] {
        assert_eq!(
            bind(&format!("SELECT {name} FROM Thing")),
            Err(unknown(name))
        );
    }
    assert_eq!(bind("SELECT Inner.x FROM Thing"), Err(unknown("Inner.x")));
    for text in [
        "Colour = 1",
        "Colour LIKE 'a%'",
        "Colour IS NULL",
        "Colour ISA 'x'",
    ] {
        assert_eq!(refused(text), unknown("Colour"), "{text}");
    }
    assert_eq!(refused("Name = 'x' OR Colour = 1"), unknown("Colour"));
    assert_eq!(refused("Colour.x = 1"), unknown("Colour.x"));
}

#[test]
fn arrays_and_embedded_instances_have_no_place_in_a_condition() {
    for name in ["List", "Inner"] {
        for text in [
            "= 'x'",
            "<> 'x'",
            "LIKE 'x%'",
            "LIKE 'x'",
            "IS NULL",
            "IS NOT NULL",
        ] {
            let wanted = Reason::NotComparable(name.to_owned());
            assert_eq!(refused(&format!("{name} {text}")), wanted, "{text}");
        }
    }
    for (text, name) in [
        ("List ISA 'Part'", "List"),
        ("Name ISA 'Part'", "Name"),
        ("Inner.x = 1", "Inner.x"),
        ("Name.x = 1", "Name.x"),
    ] {
        assert_eq!(
            refused(text),
            Reason::NotComparable(name.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn names_become_canonical_and_constants_of_the_type() {
    assert_eq!(
        condition("STATE = '4'"),
        Some(equal("State", Literal::Integer(4)))
    );
    assert_eq!(
        condition("flag = 1"),
        Some(equal("Flag", Literal::Boolean(true)))
    );
    assert_eq!(
        condition("name = 5"),
        Some(equal("Name", Literal::String("5".to_owned())))
    );
    assert_eq!(
        condition("Big = 18446744073709551615"),
        Some(equal("Big", Literal::Integer(i128::from(u64::MAX))))
    );
    for text in [
        "State = 'four'",
        "State = TRUE",
        "Flag = 'maybe'",
        "Name = TRUE",
    ] {
        assert!(matches!(refused(text), Reason::NotComparable(_)), "{text}");
    }
}

#[test]
fn what_is_decided_needs_no_comparison() {
    assert_eq!(condition("State = 70000"), NEVER);
    assert_eq!(condition("State = 1.5"), NEVER);
    assert_eq!(condition("State < 70000"), Some(not(is_null("State"))));
    assert_eq!(condition("NOT State < 70000"), Some(is_null("State")));
    assert_eq!(condition("NOT State = 70000"), None);
    assert_eq!(condition("State = 70000 AND Name = 'x'"), NEVER);
    assert_eq!(condition("__GENUS = 2 OR Name = 'x'"), None);
    let name = equal("Name", Literal::String("x".to_owned()));
    assert_eq!(condition("State = -1 OR Name = 'x'"), Some(name.clone()));
    assert_eq!(condition("__GENUS = 2 AND Name = 'x'"), Some(name));
}

#[test]
fn lists_within_lists_are_flat() {
    let of = |name: &str| equal(name, Literal::Integer(1));
    let all = |names: [&str; 3]| Some(Condition::And(names.map(of).to_vec()));
    assert_eq!(
        condition("Tiny=1 AND (Small=1 AND State=1)"),
        all(["Tiny", "Small", "State"])
    );
    assert_eq!(
        condition("NOT NOT (Tiny=1 AND NOT (NOT (Small=1 AND State=1)))"),
        all(["Tiny", "Small", "State"])
    );
    assert_eq!(
        condition("(Tiny=1 OR Small=1) OR (State=1)"),
        Some(Condition::Or(["Tiny", "Small", "State"].map(of).to_vec()))
    );
}

#[test]
fn a_pattern_without_wildcards_compares() {
    let text = |text: &str| equal("Name", Literal::String(text.to_owned()));
    assert_eq!(condition(r"Name LIKE 'a\\b[_]'"), Some(text(r"a\\b_")));
    assert_eq!(
        condition("State LIKE '4'"),
        Some(equal("State", Literal::Integer(4)))
    );
    assert_eq!(
        condition("Name NOT LIKE 'x'"),
        Some(Condition::Compare {
            property: "Name".to_owned(),
            operator: Comparison::NotEqual,
            literal: Literal::String("x".to_owned()),
        })
    );
    for text in [
        "State LIKE '4%'",
        "Flag LIKE 'tru_'",
        "State LIKE 'x'",
        "Big NOT LIKE '%'",
    ] {
        assert!(matches!(refused(text), Reason::NotComparable(_)), "{text}");
    }
}

#[test]
fn neither_like_nor_not_like_holds_for_null() {
    let like = Condition::Like {
        property: "Name".to_owned(),
        pattern: pattern::read("a%", 1).expect("a pattern"),
    };
    assert_eq!(condition("Name LIKE 'a%'"), Some(like.clone()));
    assert_eq!(
        condition("Name NOT LIKE 'a%'"),
        Some(Condition::And(vec![
            not(is_null("Name")),
            not(like.clone())
        ]))
    );
    assert_eq!(condition("NOT Name LIKE 'a%'"), Some(not(like)));
    assert_eq!(condition("Name LIKE '%%'"), Some(not(is_null("Name"))));
    assert_eq!(condition("Name NOT LIKE '%'"), NEVER);
}

#[test]
fn system_properties_that_the_class_decides_compare() {
    for text in [
        "__CLASS = 'THING'",
        "'thing' = __class",
        "__DYNASTY = 'Thing'",
        "__CLASS LIKE 'th%'",
        "__CLASS LIKE 'thing'",
        "__CLASS <> 'Other'",
        "__CLASS NOT LIKE 'O%'",
        "__CLASS IS NOT NULL",
        "__SUPERCLASS IS NULL",
        r"__NAMESPACE = 'ROOT\\things'",
        "__GENUS = 2",
        "__GENUS < 3000000000",
        "__PROPERTY_COUNT > 8",
        "__THIS ISA 'thing'",
        "NOT __THIS ISA 'Other'",
    ] {
        assert_eq!(condition(text), None, "{text}");
    }
    for text in [
        "__CLASS = 'Other'",
        "__CLASS LIKE 'o%'",
        "__SUPERCLASS = 'Thing'",
        "__SUPERCLASS <> 'Thing'",
        "__SUPERCLASS LIKE '%'",
        "__CLASS IS NULL",
        "__GENUS = 1",
        "__THIS ISA 'Other'",
    ] {
        assert_eq!(condition(text), NEVER, "{text}");
    }
    for text in [
        "__PATH = 'x'",
        "__RELPATH = 'x'",
        "__SERVER IS NULL",
        "__DERIVATION = 'x'",
        "__THIS = 'x'",
        "__CLASS ISA 'Thing'",
        "__GENUS LIKE '2%'",
    ] {
        assert!(matches!(refused(text), Reason::NotComparable(_)), "{text}");
    }
}

#[test]
fn an_embedded_instance_is_of_its_class_and_of_no_other() {
    assert_eq!(condition("Inner ISA 'PART'"), Some(not(is_null("Inner"))));
    assert_eq!(condition("Inner ISA 'Thing'"), NEVER);
}
