//! Filters of enumerations: text in one of the dialects becomes a condition on
//! the instances of a class (DSP0226 8.3, [MS-WSMV] 3.1.4.1.13, [MS-WMI] 2.2.1).
//!
//! Reading is done in two steps: [`read`] knows the dialect and no class,
//! [`Select::bind`] holds the names and literals against one class.

mod around;
mod association;
mod bind;
mod expression;
mod literal;
mod number;
mod object_path;
mod pattern;
pub(super) mod reason;
mod selector;
mod token;
mod tokens;
mod wql;
mod xpath;

#[cfg(test)]
mod tests;

use crate::cim::Condition;
use crate::xml::Element;

use super::error::shorten;
use expression::Expression;
use reason::Expected;
use reason::Reason;

/// What a filter asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    /// Instances of one class.
    Select(Select),
    /// Instances, or associations, around one instance.
    Association(Association),
}

/// A filter on the instances of one class, names as the client wrote them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select {
    /// The class that the filter itself names (`FROM`); none where only the
    /// resource URI does.
    pub(super) class: Option<String>,
    /// The properties of a projection; none for whole instances.
    columns: Option<Vec<String>>,
    condition: Option<Expression>,
    names: Names,
}

/// How names and texts are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Names {
    /// As WMI does.
    InAnyCase,
    /// As `XPath` does.
    ByCase,
}

/// A filter that is held against a class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    /// What the instances must fulfil; none: nothing.
    pub(super) condition: Option<Condition>,
    /// The properties of a projection by canonical name, each once, in
    /// alphabetical order ignoring case; none for whole instances. System
    /// properties, which have no place in WS-Management, are not among them.
    pub(super) columns: Option<Vec<String>>,
}

/// What is asked for around one instance (DSP0227 8.3). Whether instances or
/// associations, of which class and in which role makes no difference to what
/// is left of nothing: no class here is an association.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Association {
    /// The class of the instance.
    pub(super) class: String,
    /// Its namespace, where the filter names one.
    pub(super) namespace: Option<String>,
    /// Its keys as the client wrote them; empty for a singleton. The only key
    /// may have an empty name.
    pub(super) keys: Vec<(String, String)>,
}

/// Why there is no filter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum FilterError {
    /// The dialect is none of those that are read here.
    #[error("the dialect of the filter is not supported")]
    Dialect,
    /// The text is not right, or asks for what the class does not have.
    #[error("{reason}")]
    Invalid {
        /// `WBEM_E_…`, as the WMI provider of Windows would say.
        status: u32,
        /// What exactly.
        reason: Reason,
    },
}

/// Reads `n:Filter` or `wsman:Filter`.
///
/// Without a dialect the text is `XPath`, unless it begins like a query of WQL:
/// no path does, and some clients leave the dialect out.
///
/// # Errors
///
/// [`FilterError`].
pub(super) fn read(filter: &Element<'_>) -> Result<Filter, FilterError> {
    let dialect = filter.attribute("", "Dialect").map_or("", str::trim);
    let is = |known: &str| known.eq_ignore_ascii_case(dialect);
    if is(WQL) || (dialect.is_empty() && wql::is_query(filter.text())) {
        return wql::parse(text(filter)?);
    }
    if is(XPATH) || dialect.is_empty() {
        return xpath::parse(text(filter)?).map(Filter::Select);
    }
    if is(SELECTOR) {
        return selector::parse(filter).map(Filter::Select);
    }
    if is(ASSOCIATION) {
        return association::parse(filter).map(Filter::Association);
    }
    Err(FilterError::Dialect)
}

/// The text of a filter that has nothing else.
fn text<'e>(filter: &'e Element<'_>) -> Result<&'e str, Reason> {
    if filter.children().is_empty() {
        return Ok(filter.text());
    }
    Err(Reason::Content(Expected::Text))
}

/// Every dialect that is read.
pub(super) const DIALECTS: [&str; 4] = [WQL, SELECTOR, ASSOCIATION, XPATH];

const WQL: &str = "http://schemas.microsoft.com/wbem/wsman/1/WQL";
const SELECTOR: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter";
const ASSOCIATION: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter";
const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";

/// Octets of a text: more than anybody writes, and little enough to be read
/// while others wait.
const MAX_OCTETS: usize = 16_384;
