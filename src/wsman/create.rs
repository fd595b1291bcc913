//! Create: a new instance from a representation (DSP0226 7.6). No class takes
//! one yet: instances come from static methods.

use super::Answer;
use super::error::During;
use super::error::Error;
use super::request::Request;
use super::selector;
use super::target::Target;
use crate::provider;

/// Answers a Create.
///
/// # Errors
///
/// Always: what is wrong with the request, or that the class does not do it.
pub(super) fn answer(request: &Request<'_>, target: Target<'_>) -> Result<Answer, Error> {
    selector::check(target.class(), &request.selectors)?;
    Err(During::Access.error(provider::Error::NotSupported))
}
