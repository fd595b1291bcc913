//! The classes themselves, as CIM-XML ([MS-WSMV] 3.1.4.1.38): what
//! `Get-CimClass` and every typed read of a CIM client ask for.

use super::Answer;
use super::dispatch::Service;
use super::error::Error;
use super::error::shorten;
use super::request::Request;

/// Answers a Get of one class, or an Enumerate of all of them.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn answer(_service: &Service, request: &Request<'_>) -> Result<Answer, Error> {
    Err(Error::NoSuchResource(shorten(request.resource_uri)))
}
