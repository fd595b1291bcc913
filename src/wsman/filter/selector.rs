//! `SelectorFilter`: properties that are equal to values ([MS-WSMV]
//! 3.1.4.1.13).

use crate::cim::Comparison;
use crate::wsman::error::Error;
use crate::wsman::selector;
use crate::xml::Element;
use crate::xml::ns;

use super::FilterError;
use super::Names;
use super::Select;
use super::expression::Constant;
use super::expression::Expression;
use super::expression::Path;
use super::expression::Start;
use super::reason::Expected;
use super::reason::Reason;

/// Reads what `wsman:Filter` holds: one `wsman:SelectorSet`, of which all must
/// be fulfilled. Windows makes a query of it, and so refuses quotation marks.
///
/// # Errors
///
/// [`FilterError::Invalid`].
pub(super) fn parse(filter: &Element<'_>) -> Result<Select, FilterError> {
    let mut sets = filter
        .children()
        .iter()
        .filter(|element| element.is(ns::WSMAN, "SelectorSet"));
    let (Some(set), None) = (sets.next(), sets.next()) else {
        return Err(Reason::Content(Expected::Element("SelectorSet")).into());
    };
    let selectors = selectors(set)?;
    if selectors.is_empty() {
        return Err(Reason::Content(Expected::Element("Selector")).into());
    }
    let mut parts = Vec::with_capacity(selectors.len());
    for (name, value) in selectors {
        if value.contains(['"', '\'']) {
            return Err(Reason::Quotes(super::shorten(&name)).into());
        }
        parts.push(Expression::Compare {
            path: Path {
                start: Start::Instance,
                names: vec![name],
            },
            operator: Comparison::Equal,
            constant: Constant::Text(value),
        });
    }
    Ok(Select {
        class: None,
        columns: None,
        condition: Some(Expression::all(parts)),
        names: Names::InAnyCase,
    })
}

/// The names and values of a set of selectors, trimmed.
///
/// # Errors
///
/// [`Reason::Twice`] for a name, [`Reason::TooLong`] for more selectors than a
/// request may have, [`Reason::Content`] for one that holds no text.
pub(super) fn selectors(set: &Element<'_>) -> Result<Vec<(String, String)>, Reason> {
    let selectors = selector::read(set).map_err(|error| match error {
        Error::DuplicateSelector(name) => Reason::Twice(name),
        Error::TooManySelectors => Reason::TooLong,
        _ => Reason::Content(Expected::Text),
    })?;
    Ok(selectors
        .into_iter()
        .map(|selector| (selector.name.to_owned(), selector.value.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::class;
    use super::super::tests::select;
    use super::*;
    use crate::cim::Condition;
    use crate::cim::Literal;

    fn filter(content: &str) -> String {
        format!(
            "<w:Filter xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" \
             Dialect=\"http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter\">{content}\
             </w:Filter>"
        )
    }

    fn bound(content: &str) -> Result<Option<Condition>, FilterError> {
        let select = select(&filter(content))?;
        assert_eq!(select.class, None);
        let bound = select.bind(&class())?;
        assert_eq!(bound.columns, None);
        Ok(bound.condition)
    }

    fn set(selectors: &[(&str, &str)]) -> String {
        let selectors: Vec<String> = selectors
            .iter()
            .map(|(name, value)| format!("<w:Selector Name=\"{name}\">{value}</w:Selector>"))
            .collect();
        format!("<w:SelectorSet>{}</w:SelectorSet>", selectors.concat())
    }

    fn equal(property: &str, literal: Literal) -> Condition {
        Condition::Compare {
            property: property.to_owned(),
            operator: Comparison::Equal,
            literal,
        }
    }

    #[test]
    fn all_selectors_must_be_equal() {
        let text = |value: &str| equal("Name", Literal::String(value.to_owned()));
        assert_eq!(bound(&set(&[("name", " x y\n")])), Ok(Some(text("x y"))));
        assert_eq!(
            bound(&set(&[
                ("Name", r"a\b;%"),
                ("SMALL", "07"),
                ("Flag", "TRUE")
            ])),
            Ok(Some(Condition::And(vec![
                text(r"a\b;%"),
                equal("Small", Literal::Integer(7)),
                equal("Flag", Literal::Boolean(true)),
            ])))
        );
        assert_eq!(bound(&set(&[("Name", "")])), Ok(Some(text(""))));
    }

    #[test]
    fn what_cannot_be_made_a_query_is_refused() {
        let refused = |content: &str| match bound(content) {
            Err(FilterError::Invalid {
                status: 0x8004_1017,
                reason,
            }) => reason,
            other => panic!("{content}: {other:?}"),
        };
        let property = |reason: fn(String) -> Reason, name: &str| reason(name.to_owned());
        for (selectors, wanted) in [
            (
                vec![("Name", "x"), ("NAME", "x")],
                property(Reason::Twice, "NAME"),
            ),
            (vec![("Name", "it's")], property(Reason::Quotes, "Name")),
            (vec![("Name", "&quot;")], property(Reason::Quotes, "Name")),
            (vec![("List", "x")], property(Reason::NotComparable, "List")),
            (
                vec![("Inner", "x")],
                property(Reason::NotComparable, "Inner"),
            ),
            (
                vec![("Small", "x")],
                property(Reason::NotComparable, "Small"),
            ),
            (
                vec![("None", "x")],
                property(Reason::UnknownProperty, "None"),
            ),
            (vec![("", "x")], property(Reason::UnknownProperty, "")),
        ] {
            assert_eq!(refused(&set(&selectors)), wanted);
        }
        let set_wanted = Reason::Content(Expected::Element("SelectorSet"));
        let one = set(&[("Name", "x")]);
        for content in ["", "Name=x", format!("{one}{one}").as_str()] {
            assert_eq!(refused(content), set_wanted, "{content}");
        }
        assert_eq!(
            refused("<w:SelectorSet/>"),
            Reason::Content(Expected::Element("Selector"))
        );
        assert_eq!(
            refused(&set(&[("Name", "<w:EndpointReference/>")])),
            Reason::Content(Expected::Text)
        );
    }

    #[test]
    fn more_selectors_than_any_class_has_properties_are_refused() {
        let names: Vec<String> = (0..40).map(|number| format!("P{number}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        assert_eq!(bound(&set(&many)), Err(Reason::TooLong.into()));
    }
}
