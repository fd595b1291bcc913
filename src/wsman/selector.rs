//! `wsman:SelectorSet`: which instance is meant ([MS-WSMV] 2.2.4.39).

use crate::cim::Class;
use crate::provider::Keys;
use crate::xml::Element;
use crate::xml::ns;

use super::error::Error;
use super::error::shorten;

/// One selector: a name and the text that it must have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Selector<'e> {
    /// In the client's case.
    pub(super) name: &'e str,
    /// Trimmed.
    pub(super) value: &'e str,
}

/// Reads the selectors of a request. None at all is fine.
///
/// # Errors
///
/// [`Error::DuplicateSelector`], [`Error::ReferenceSelector`] for one that
/// holds an endpoint reference, [`Error::TooManySelectors`].
pub(super) fn read<'e>(set: &'e Element<'_>) -> Result<Vec<Selector<'e>>, Error> {
    let mut selectors: Vec<Selector<'e>> = Vec::with_capacity(set.children().len().min(MAX));
    for element in set.children() {
        if !element.is(ns::WSMAN, "Selector") {
            continue;
        }
        let name = element.attribute("", "Name").unwrap_or_default().trim();
        if selectors
            .iter()
            .any(|other| other.name.eq_ignore_ascii_case(name))
        {
            return Err(Error::DuplicateSelector(shorten(name)));
        }
        let value = element.text().trim();
        if selectors.len() == MAX || value.len() > MAX_OCTETS {
            return Err(Error::TooManySelectors);
        }
        if !element.children().is_empty() {
            return Err(Error::ReferenceSelector(shorten(name)));
        }
        selectors.push(Selector { name, value });
    }
    Ok(selectors)
}

/// The value of the selector with this name in any case.
pub(super) fn value<'e>(selectors: &[Selector<'e>], name: &str) -> Option<&'e str> {
    selectors
        .iter()
        .find(|selector| selector.name.eq_ignore_ascii_case(name))
        .map(|selector| selector.value)
}

/// The keys of one instance of `class`.
///
/// # Errors
///
/// [`Error::NoKeySelector`], [`Error::MissingSelector`],
/// [`Error::UnexpectedSelector`].
pub(super) fn keys(class: &Class, selectors: &[Selector<'_>]) -> Result<Keys, Error> {
    check(class, selectors)?;
    let mut keys = Keys::new();
    for property in class.keys() {
        match value(selectors, &property.name) {
            Some(value) => keys.push((property.name.clone(), value.to_owned())),
            None if has_keys(class, selectors) => {
                return Err(Error::MissingSelector(property.name.clone()));
            }
            None => return Err(Error::NoKeySelector(class.name.clone())),
        }
    }
    Ok(keys)
}

/// Every selector is a key of the class, or `__cimnamespace`.
///
/// # Errors
///
/// [`Error::UnexpectedSelector`].
pub(super) fn check(class: &Class, selectors: &[Selector<'_>]) -> Result<(), Error> {
    let unexpected = selectors.iter().find(|selector| {
        !selector.name.eq_ignore_ascii_case(CIM_NAMESPACE)
            && !class
                .keys()
                .any(|key| key.name.eq_ignore_ascii_case(selector.name))
    });
    match unexpected {
        Some(selector) => Err(Error::UnexpectedSelector(shorten(selector.name))),
        None => Ok(()),
    }
}

/// Some selector is a key of the class.
pub(super) fn has_keys(class: &Class, selectors: &[Selector<'_>]) -> bool {
    class
        .keys()
        .any(|key| value(selectors, &key.name).is_some())
}

/// The selector that names the namespace.
pub(super) const CIM_NAMESPACE: &str = "__cimnamespace";

/// Selectors of one request; classes have one or two keys.
const MAX: usize = 32;

/// Octets of one value: faults repeat it.
const MAX_OCTETS: usize = 1_024;
