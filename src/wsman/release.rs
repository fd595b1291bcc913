//! Release: ends an enumeration early (DSP0226 8.5).

use crate::auth::Principal;

use super::Answer;
use super::dispatch::Service;
use super::error::Error;
use super::listing;
use super::reply::Reply;
use super::request::Request;

/// Answers a Release, with an empty body.
///
/// # Errors
///
/// [`Error`]; [`Error::NoContext`] after the end of the sequence too.
pub(super) fn answer(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
) -> Result<Answer, Error> {
    let name = listing::context(listing::body(request, "Release")?)?;
    service.contexts.release(by, name)?;
    Reply::new(request, &[]).finish()
}
