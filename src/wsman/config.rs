//! `winrm/config` and its parts: documents, not classes ([MS-WSMV] 2.2.4.6 and
//! 3.1.4.1).

use crate::auth::Principal;

use super::Answer;
use super::dispatch::Service;
use super::error::Error;
use super::error::shorten;
use super::limits::Permit;
use super::request::Request;

/// Answers a request for the part of the configuration at `path`.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn answer(
    _service: &Service,
    _by: &Principal,
    request: &Request<'_>,
    _path: &str,
    _permit: Permit,
) -> Result<Answer, Error> {
    Err(Error::NoSuchResource(shorten(request.resource_uri)))
}
