//! Renew and `GetStatus`: how long an enumeration lives.

use crate::auth::Principal;
use crate::xml::ns;

use super::Answer;
use super::dispatch::Service;
use super::duration;
use super::error::Error;
use super::listing;
use super::reply::Reply;
use super::request::Request;

/// Answers a Renew or a `GetStatus` with what is left of the lifetime, if the
/// client ever asked for one. An enumeration that nobody pulls ends before.
///
/// # Errors
///
/// [`Error`].
pub(super) fn answer(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
) -> Result<Answer, Error> {
    let is_renew = request.action.ends_with("/Renew");
    let operation = if is_renew { "Renew" } else { "GetStatus" };
    let body = listing::body(request, operation)?;
    let name = listing::context(body)?;
    let lifetime = match body.child(ns::ENUMERATION, "Expires") {
        Some(element) if is_renew => Some(listing::lifetime(element)?),
        Some(_) | None => None,
    };
    let left = service.contexts.lifetime(by, name, lifetime)?;
    let mut reply = Reply::new(request, &[]);
    reply.writer.start(&["n:", operation, "Response"].concat());
    if let Some(left) = left {
        reply.writer.leaf("n:Expires", &duration::text(left));
    }
    if is_renew {
        reply.writer.leaf("n:EnumerationContext", name);
    }
    reply.writer.end();
    reply.finish()
}
