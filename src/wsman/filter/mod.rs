//! Filters of enumerations: text in one of the dialects becomes a condition on
//! the instances of a class (DSP0226 8.3, [MS-WSMV] 3.1.4.1.13, [MS-WMI] 2.2.1).
//!
//! Reading is done in two steps: [`read`] knows the dialect and no class,
//! [`Select::bind`] holds the names and literals against one class.

use crate::cim::Class;
use crate::cim::Condition;
use crate::xml::Element;

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
}

/// A filter that is held against a class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    /// What the instances must fulfil; none: nothing.
    pub(super) condition: Option<Condition>,
    /// The properties of a projection by canonical name, each once, in
    /// alphabetical order ignoring case; none for whole instances.
    pub(super) columns: Option<Vec<String>>,
}

/// What is asked for around one instance (DSP0227 8.3).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Association {
    /// The class of the instance.
    pub(super) class: String,
    /// Its namespace, where the filter names one.
    pub(super) namespace: Option<String>,
    /// Its keys as the client wrote them; empty for a singleton.
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
        reason: String,
    },
}

/// Reads `n:Filter` or `wsman:Filter`.
///
/// # Errors
///
/// [`FilterError`].
pub(super) fn read(_filter: &Element<'_>) -> Result<Filter, FilterError> {
    Err(FilterError::Dialect)
}

impl Select {
    /// Holds the filter against `class`, which is the one it names if it names
    /// one.
    ///
    /// # Errors
    ///
    /// [`FilterError::Invalid`] for a property that the class does not have, or
    /// that cannot be compared in this way.
    pub(super) fn bind(&self, _class: &Class) -> Result<Bound, FilterError> {
        Ok(Bound {
            condition: None,
            columns: None,
        })
    }
}
