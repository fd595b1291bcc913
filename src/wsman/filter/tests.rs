//! The face, and what holds for all dialects.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cim::Catalog;
use crate::cim::Class;
use crate::cim::Comparison;
use crate::cim::Instance;
use crate::cim::Literal;
use crate::cim::Part;
use crate::cim::Pattern;
use crate::cim::Value;
use crate::xml;

/// A class with a property of every kind.
pub(super) fn class() -> Class {
    let catalog = Catalog::of_mof(
        "#pragma namespace(\"root/things\")
         class Part { string X; };
         class Thing {
             [key] string Name; string Note; boolean Flag; sint8 Tiny; uint8 Small;
             uint16 State; uint64 Big; string List[]; [EmbeddedInstance(\"Part\")] string Inner;
         };",
    )
    .expect("a correct MOF");
    let class = catalog.class("root/things", "Thing").expect("defined");
    Class::clone(class)
}

/// Reads the element of a filter.
pub(super) fn read_text(filter: &str) -> Result<Filter, FilterError> {
    let limits = xml::Limits {
        octets: 1_000_000,
        depth: 20,
        elements: 1_000,
        attributes: 20,
    };
    read(&xml::parse(filter, &limits).expect("well-formed"))
}

/// Reads the element of a filter on one class.
pub(super) fn select(filter: &str) -> Result<Select, FilterError> {
    match read_text(filter)? {
        Filter::Select(select) => Ok(select),
        Filter::Association(association) => panic!("{association:?}"),
    }
}

fn filter(dialect: &str, text: &str) -> Result<Filter, FilterError> {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    read_text(&format!("<Filter Dialect=\"{dialect}\">{text}</Filter>"))
}

#[test]
fn a_dialect_is_told_in_any_case() {
    let wql = "http://schemas.microsoft.com/wbem/wsman/1/wql";
    let query = filter(&format!(" {} ", wql.to_uppercase()), "select * from Thing");
    let Ok(Filter::Select(select)) = query else {
        panic!("{query:?}");
    };
    assert_eq!(select.class.as_deref(), Some("Thing"));
    let xpath = filter("http://www.w3.org/tr/1999/rec-xpath-19991116", "State=1");
    assert!(matches!(
        xpath,
        Ok(Filter::Select(Select { class: None, .. }))
    ));
    for dialect in [WQL, SELECTOR, ASSOCIATION, XPATH] {
        assert_ne!(filter(dialect, "x"), Err(FilterError::Dialect), "{dialect}");
    }
}

#[test]
fn other_dialects_are_refused() {
    for dialect in [
        "http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf",
        "http://schemas.microsoft.com/win/2004/08/events/eventquery",
        "http://schemas.microsoft.com/wbem/wsman/1/WQL2",
        "WQL",
    ] {
        let found = filter(dialect, "select * from Thing");
        assert_eq!(found, Err(FilterError::Dialect), "{dialect}");
    }
}

#[test]
fn without_a_dialect_what_begins_like_a_query_is_one() {
    for text in [
        " SELECT * from Thing",
        "select\n*",
        "Associators of {A.B=1}",
        "references OF {A.B=1}",
    ] {
        let without = read_text(&format!("<Filter>{text}</Filter>"));
        assert_eq!(without, filter(WQL, text), "{text}");
    }
    // A class or property may have such a name.
    for text in [
        "SELECT",
        "select=1",
        "Associators=1",
        "State=1",
        "Selector=1",
    ] {
        let without = read_text(&format!("<Filter>{text}</Filter>"));
        assert!(
            matches!(without, Ok(Filter::Select(Select { class: None, .. }))),
            "{text}"
        );
        assert_eq!(without, filter(XPATH, text), "{text}");
        assert_eq!(filter("", text), without, "{text}");
    }
}

#[test]
fn a_text_holds_no_elements() {
    let wanted = Err(Reason::Content(Expected::Text).into());
    for dialect in [WQL, XPATH] {
        let filter = format!("<Filter Dialect=\"{dialect}\">select * from Thing<x/></Filter>");
        assert_eq!(read_text(&filter), wanted);
    }
}

#[test]
fn a_text_has_its_limit() {
    let long = format!("select * from Thing{}", " ".repeat(MAX_OCTETS));
    for dialect in [WQL, XPATH] {
        let wanted = FilterError::Invalid {
            status: 0x8004_106C,
            reason: Reason::TooLong,
        };
        assert_eq!(filter(dialect, &long), Err(wanted));
    }
}

#[test]
fn terms_and_depth_have_their_limits() {
    let bare = |dialect, text: String| match dialect {
        WQL => filter(WQL, &format!("select * from Thing where {text}")),
        _ => filter(dialect, &text),
    };
    for (dialect, and) in [(WQL, " AND "), (XPATH, " and ")] {
        let terms = |count| bare(dialect, vec!["State=1"; count].join(and));
        assert!(terms(256).is_ok());
        assert_eq!(terms(257), Err(Reason::TooManyTerms.into()));
        let deep = |depth| {
            let (open, close) = ("(".repeat(depth), ")".repeat(depth));
            bare(dialect, format!("{open}State=1{close}"))
        };
        assert!(deep(32).is_ok());
        assert_eq!(deep(33), Err(Reason::TooDeep.into()));
        // One after the other is not one within the other.
        assert!(bare(dialect, vec!["(State=1)"; 100].join(and)).is_ok());
    }
    let nots = format!("{}State=1", "not ".repeat(1_000));
    assert!(bare(WQL, nots).is_ok());
    let predicates = "State[.=1]".to_owned();
    assert!(bare(XPATH, predicates).is_ok());
    let predicates = format!("{}.=1{}", ".[".repeat(33), "]".repeat(33));
    assert_eq!(bare(XPATH, predicates), Err(Reason::TooDeep.into()));
    let steps = ["a"; 9].join("/");
    assert_eq!(bare(XPATH, steps), Err(Reason::TooDeep.into()));
}

/// Writes a condition as a query has it.
fn printed(condition: &Condition) -> String {
    let list = |parts: &[Condition], word: &str| {
        let parts: Vec<String> = parts.iter().map(printed).collect();
        format!("({})", parts.join(word))
    };
    match condition {
        Condition::Always(holds) => format!("__GENUS {} 2", if *holds { "=" } else { "<>" }),
        Condition::And(parts) => list(parts, " And "),
        Condition::Or(parts) => list(parts, "\nOR\t"),
        Condition::Not(part) => format!("NOT({})", printed(part)),
        Condition::Compare {
            property,
            operator,
            literal,
        } => {
            let operator = match operator {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            let literal = match literal {
                Literal::Boolean(boolean) => boolean.to_string(),
                Literal::Integer(number) => number.to_string(),
                Literal::String(text) | Literal::Exact(text) => {
                    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
                    format!("'{text}'")
                }
            };
            format!("{} {operator} {literal}", property.to_uppercase())
        }
        Condition::Like { property, pattern } => {
            let parts: String = pattern
                .0
                .iter()
                .map(|part| match part {
                    Part::One(one) => format!("[{one}]"),
                    Part::Any => "_".to_owned(),
                    Part::AnyRun => "%".to_owned(),
                    Part::OneOf { is_negated, ranges } => {
                        let ranges: Vec<String> = ranges
                            .iter()
                            .map(|(first, last)| format!("{first}-{last}"))
                            .collect();
                        let caret = if *is_negated { "^" } else { "" };
                        format!("[{caret}{}]", ranges.concat())
                    }
                })
                .collect();
            format!("{property} LIKE \"{parts}\"")
        }
        Condition::IsNull(property) => format!("{property} is null"),
    }
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "", "a", "A", "ab", "b\\", "it's", "é", "É%", "a_b", "\"q\"",
    ])
    .prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = (&'static str, Literal)> {
    let number = |name: &'static str, range: std::ops::Range<i128>| {
        range.prop_map(move |number| (name, Literal::Integer(number)))
    };
    prop_oneof![
        text().prop_map(|text| ("Name", Literal::String(text))),
        any::<bool>().prop_map(|flag| ("Flag", Literal::Boolean(flag))),
        number("Tiny", -130..130),
        number("State", -2..5),
        Just(("Big", Literal::Integer(i128::from(u64::MAX)))),
        Just(("Big", Literal::Integer(i128::from(u64::MAX) + 1))),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let letter = prop::sample::select(vec!['a', 'B', 'é', '_', '%', '\\', '\'']);
    let part = prop_oneof![
        letter.clone().prop_map(Part::One),
        Just(Part::Any),
        Just(Part::AnyRun),
        (any::<bool>(), letter).prop_map(|(is_negated, last)| Part::OneOf {
            is_negated,
            ranges: vec![('!', last)],
        }),
    ];
    prop::collection::vec(part, 0..4).prop_map(Pattern)
}

fn condition() -> impl Strategy<Value = Condition> {
    let operator = prop::sample::select(Comparison::ALL.to_vec());
    let compare =
        (literal(), operator).prop_map(|((property, literal), operator)| Condition::Compare {
            property: property.to_owned(),
            operator,
            literal,
        });
    let leaf = prop_oneof![
        6 => compare,
        2 => pattern().prop_map(|pattern| Condition::Like {
            property: "Name".to_owned(),
            pattern,
        }),
        1 => prop::sample::select(vec!["Name", "Flag", "State"])
            .prop_map(|name| Condition::IsNull(name.to_owned())),
        1 => any::<bool>().prop_map(Condition::Always),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts.clone().prop_map(Condition::And),
            parts.prop_map(Condition::Or),
            inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

fn instance() -> impl Strategy<Value = Instance> {
    let values = (
        prop::option::of(text()),
        prop::option::of(any::<bool>()),
        prop::option::of(any::<i8>()),
        prop::option::of(0..4_u16),
        prop::option::of(prop::sample::select(vec![0, u64::MAX])),
    );
    values.prop_map(|(name, flag, tiny, state, big)| {
        let mut instance = Instance::new(&Arc::new(class()));
        for (name, value) in [
            ("Name", name.map(Value::String)),
            ("Flag", flag.map(Value::Boolean)),
            ("Tiny", tiny.map(Value::Sint8)),
            ("State", state.map(Value::Uint16)),
            ("Big", big.map(Value::Uint64)),
        ] {
            if let Some(value) = value {
                instance.set(name, value).expect("of its type");
            }
        }
        instance
    })
}

/// No part can be left out or merged.
fn is_simple(condition: &Condition) -> bool {
    let list = |parts: &[Condition]| {
        parts.len() > 1
            && parts.iter().all(|part| *part != Condition::Always(true))
            && parts.iter().all(|part| *part != Condition::Always(false))
            && parts.iter().all(is_simple)
    };
    match condition {
        Condition::And(parts) => {
            list(parts) && !parts.iter().any(|part| matches!(part, Condition::And(_)))
        }
        Condition::Or(parts) => {
            list(parts) && !parts.iter().any(|part| matches!(part, Condition::Or(_)))
        }
        Condition::Not(part) => {
            !matches!(**part, Condition::Not(_) | Condition::Always(_)) && is_simple(part)
        }
        _ => true,
    }
}

/// Pieces of which all dialects are made.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "select ",
        "* ",
        "from ",
        "Thing ",
        "where ",
        "Name ",
        "State",
        "=",
        "<",
        ">",
        "!",
        "(",
        ")",
        "[",
        "]",
        "and ",
        "or ",
        "not ",
        "like ",
        "is ",
        "null ",
        "isa ",
        "'",
        "\"",
        "\\",
        "4",
        "-",
        ".",
        "/",
        "text()",
        "*",
        "{",
        "}",
        ":",
        ";",
        ",",
        "@",
        "%",
        "associators of ",
        "é",
        "within ",
        "group ",
        "0x",
        "1e9",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_condition_written_as_a_query_means_the_same(
        condition in condition(),
        instances in prop::collection::vec(instance(), 8),
    ) {
        let query = format!("select * from thing where {}", printed(&condition));
        let Ok(Filter::Select(select)) = wql::parse(&query) else {
            return Err(TestCaseError::fail(query));
        };
        let bound = select.bind(&class()).map_err(|e| TestCaseError::fail(format!("{e}: {query}")))?;
        prop_assert!(bound.condition.as_ref().is_none_or(is_simple), "{:?}", bound.condition);
        for instance in instances {
            let found = bound.condition.as_ref().is_none_or(|c| c.matches(&instance));
            prop_assert_eq!(found, condition.matches(&instance), "{}", query);
        }
    }

    #[test]
    fn arbitrary_text_is_a_filter_or_none(text in "\\PC{0,60}", pieces in pieces()) {
        for text in [text, format!("select * from Thing where {pieces}"), pieces] {
            if let Ok(Filter::Select(select)) = wql::parse(&text) {
                let _ = select.bind(&class());
            }
            if let Ok(select) = xpath::parse(&text) {
                let _ = select.bind(&class());
            }
        }
    }

    #[test]
    fn a_place_lies_in_the_text(pieces in pieces()) {
        for found in [wql::parse(&pieces).err(), xpath::parse(&pieces).err()] {
            if let Some(FilterError::Invalid { reason: Reason::Unexpected { at, .. }, .. }) = found {
                prop_assert!((1..=pieces.chars().count()).contains(&at), "{} {}", at, pieces);
            }
        }
    }
}
