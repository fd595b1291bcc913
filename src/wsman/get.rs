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
    let fragment = Fragment::of(request, target)?;
    let reply = begin(request, None);
    let room = reply.room();
    let instance = match &fragment {
        None => provider.get(by, &keys, View { only: None, room }).await,
        Some(fragment) => {
            let only = fragment.properties(target, request.wants_epr);
            provider
                .get(by, &keys, fragment_view(fragment, &only, room))
                .await
        }
    };
    let instance = instance.map_err(|error| During::Access.error(error))?;
    let reply = with_epr(reply, request, target, &instance);
    write(reply, request, target, fragment.as_ref(), &instance)
}

/// Begins the answer to a Get or Put, with what its header repeats, and the
/// address of the instance if it is there.
pub(super) fn begin(request: &Request<'_>, epr: Option<&str>) -> Reply {
    match (request.fragment, epr) {
        (None, None) => Reply::new(request, &[]),
        (fragment, epr) => {
            let fragment = fragment.map(Block::Fragment);
            let blocks: Vec<_> = fragment
                .into_iter()
                .chain(epr.map(Block::RequestedEpr))
                .collect();
            Reply::new(request, &blocks)
        }
    }
}

/// `reply`, or one begun anew with the address of the instance where the client
/// asks for it: the address is known only now.
pub(super) fn with_epr(
    reply: Reply,
    request: &Request<'_>,
    target: Target<'_>,
    instance: &Instance,
) -> Reply {
    if request.wants_epr {
        begin(request, Some(&target.epr(instance)))
    } else {
        reply
    }
}

/// What a provider must load for a fragment. For one value out of many more
/// may be loaded than the answer has room for.
fn fragment_view<'f>(fragment: &Fragment<'_>, only: &'f [String], room: usize) -> View<'f> {
    View {
        only: Some(only),
        room: if fragment.is_one_of_many() {
            room.max(ROOM_FOR_POSITION)
        } else {
            room
        },
    }
}

/// Ends a reply with an instance, or a fragment of it.
///
/// # Errors
///
/// [`Error::AnswerTooLarge`], also for a bulk property that the provider left
/// out for lack of room: null would be a lie where it alone was asked for.
pub(super) fn write(
    mut reply: Reply,
    request: &Request<'_>,
    target: Target<'_>,
    fragment: Option<&Fragment<'_>>,
    instance: &Instance,
) -> Result<Answer, Error> {
    let Some(fragment) = fragment else {
        return write_instance(reply, request, target, instance);
    };
    if fragment.property.is_bulk && instance.value(&fragment.property.name).is_none() {
        return Err(Error::AnswerTooLarge);
    }
    fragment.write(&mut reply.writer, instance, target.base());
    reply.finish()
}

/// Without its bulk where it does not fit.
fn write_instance(
    mut reply: Reply,
    request: &Request<'_>,
    target: Target<'_>,
    instance: &Instance,
) -> Result<Answer, Error> {
    let arrays = request.arrays();
    let mark = reply.writer.mark();
    let base = target.base();
    xml::write_instance(&mut reply.writer, instance, base, Extent::Whole, arrays);
    if !reply.fits() {
        reply.writer.rollback(mark);
        let extent = Extent::WithoutBulk;
        xml::write_instance(&mut reply.writer, instance, base, extent, arrays);
    }
    reply.finish()
}

/// Octets that may be loaded to find one value among many.
const ROOM_FOR_POSITION: usize = 8 * 1_024 * 1_024;
