//! Get: one instance, or a fragment of it (DSP0226 7.3).

use crate::auth::Principal;
use crate::cim::Instance;
use crate::cim::xml;
use crate::cim::xml::Extent;
use crate::provider::View;

use super::Answer;
use super::error::During;
use super::error::Error;
use super::fragment::Fragment;
use super::reply::Block;
use super::reply::Reply;
use super::request::Request;
use super::target::Target;

/// Answers a Get. Nothing changes when the future is dropped.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn answer(
    by: &Principal,
    request: &Request<'_>,
    target: Target<'_>,
) -> Result<Answer, Error> {
    let keys = target.keys(request)?;
    let provider = &target.served.provider;
    if let Some(expression) = request.fragment {
        let fragment = Fragment::parse(target.class(), expression)?;
        let reply = Reply::new(request, &[Block::Fragment(expression)]);
        let view = fragment_view(&fragment, reply.room());
        let instance = provider
            .get(by, &keys, view)
            .await
            .map_err(|error| During::Access.error(error))?;
        return write_fragment(reply, &fragment, &instance, target);
    }
    let reply = Reply::new(request, &[]);
    let view = View {
        only: None,
        room: reply.room(),
    };
    let instance = provider
        .get(by, &keys, view)
        .await
        .map_err(|error| During::Access.error(error))?;
    write_instance(reply, &instance, target)
}

/// What a provider must load for a fragment. For one value out of many more
/// may be loaded than the answer has room for.
pub(super) fn fragment_view<'f>(fragment: &Fragment<'f>, room: usize) -> View<'f> {
    View {
        only: Some(std::slice::from_ref(&fragment.property.name)),
        room: match fragment.position {
            Some(_) => room.max(ROOM_FOR_POSITION),
            None => room,
        },
    }
}

/// Ends a reply with an instance: without its bulk where it does not fit.
///
/// # Errors
///
/// [`Error::AnswerTooLarge`].
pub(super) fn write_instance(
    mut reply: Reply,
    instance: &Instance,
    target: Target<'_>,
) -> Result<Answer, Error> {
    let mark = reply.writer.mark();
    xml::write_instance(&mut reply.writer, instance, target.base(), Extent::Whole);
    if !reply.fits() {
        reply.writer.rollback(mark);
        xml::write_instance(
            &mut reply.writer,
            instance,
            target.base(),
            Extent::WithoutBulk,
        );
    }
    reply.finish()
}

/// Ends a reply with a fragment of an instance.
///
/// # Errors
///
/// [`Error::AnswerTooLarge`], also for a bulk property that the provider left
/// out for lack of room: null would be a lie where it alone was asked for.
pub(super) fn write_fragment(
    mut reply: Reply,
    fragment: &Fragment<'_>,
    instance: &Instance,
    target: Target<'_>,
) -> Result<Answer, Error> {
    if fragment.property.is_bulk && instance.value(&fragment.property.name).is_none() {
        return Err(Error::AnswerTooLarge);
    }
    fragment.write(&mut reply.writer, instance, target.base())?;
    reply.finish()
}

/// Octets that may be loaded to find one value among many.
const ROOM_FOR_POSITION: usize = 8 * 1_024 * 1_024;
