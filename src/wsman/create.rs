//! Create: a new instance from a representation (DSP0226 7.6).
//!
//! The body names properties that may be given; the answer has the address of
//! the new instance, by which `New-CimInstance` gets it.

use std::sync::Arc;

use crate::auth::Principal;
use crate::cim::xml;

use super::Answer;
use super::dispatch::to_its_end;
use super::error::BodyError;
use super::error::During;
use super::error::Error;
use super::error::shorten;
use super::limits::Permit;
use super::reply::Block;
use super::reply::Reply;
use super::request::Request;
use super::selector::CIM_NAMESPACE;
use super::target::Target;

/// Answers a Create. Runs to its end though the future is dropped.
///
/// # Errors
///
/// [`Error`]; there is no new instance then, but for [`Error::TimedOut`] and
/// [`Error::Unreportable`].
pub(super) async fn answer(
    by: &Principal,
    request: &Request<'_>,
    target: Target<'_>,
    permit: Permit,
) -> Result<Answer, Error> {
    if request.fragment.is_some() {
        return Err(Error::FragmentNotSupported);
    }
    // Every class makes the keys of its instances itself.
    let unexpected = request
        .selectors
        .iter()
        .find(|selector| !selector.name.eq_ignore_ascii_case(CIM_NAMESPACE));
    if let Some(selector) = unexpected {
        return Err(Error::UnexpectedSelector(shorten(selector.name)));
    }
    let body = request.body.ok_or(Error::Body(BodyError::Empty))?;
    target.check_name(body)?;
    let values = xml::read_creation(target.class(), &target.served.parts, body)
        .map_err(Error::Representation)?;
    let work = {
        let provider = Arc::clone(&target.served.provider);
        let by = by.clone();
        async move { provider.create(&by, values).await }
    };
    let keys = to_its_end(request.timeout, permit, During::Create, work).await?;
    let mut reply = if request.wants_epr {
        Reply::new(request, &[Block::RequestedEpr(&target.epr_of(&keys))])
    } else {
        Reply::new(request, &[])
    };
    reply.writer.start("x:ResourceCreated");
    target.write_reference(&mut reply.writer, &keys);
    reply.writer.end();
    reply.finish().map_err(Error::once_done)
}
