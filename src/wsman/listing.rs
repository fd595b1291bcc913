//! What every listing has in common, whether of instances, of classes or of
//! documents: what the body of an Enumerate asks for, and the answers around a
//! batch (DSP0226 8.2 and 8.4).

use std::time::Duration;

use crate::auth::Principal;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;
use crate::xml::Element;
use crate::xml::ns;

use super::Answer;
use super::batch::Batch;
use super::batch::Budget;
use super::contexts::Lease;
use super::contexts::Listing;
use super::contexts::Mode;
use super::dispatch::Service;
use super::duration;
use super::error::BodyError;
use super::error::Error;
use super::reply::Block;
use super::reply::Reply;
use super::request::Request;

/// What the body of an Enumerate asks for.
pub(super) struct Wish<'e> {
    /// What of each item; none when the client does not say.
    pub(super) mode: Option<Mode>,
    /// Items may come with this very answer.
    pub(super) is_optimized: bool,
    /// So many of them.
    pub(super) max_elements: usize,
    /// How long the enumeration shall live.
    pub(super) lifetime: Option<Duration>,
    /// Which items.
    pub(super) filter: Option<&'e Element<'e>>,
}

impl<'e> Wish<'e> {
    /// Reads the body; its children come in any order, and those that are not
    /// known have no effect.
    ///
    /// # Errors
    ///
    /// [`Error`]: of the first child that is wrong.
    pub(super) fn read(request: &Request<'e>) -> Result<Self, Error> {
        let body = body(request, "Enumerate")?;
        let mut wish = Self {
            mode: None,
            is_optimized: false,
            max_elements: 1,
            lifetime: None,
            filter: None,
        };
        for element in body.children() {
            match (element.ns(), element.local()) {
                (ns::WSMAN, "OptimizeEnumeration") => wish.is_optimized = true,
                (ns::WSMAN | ns::ENUMERATION, "MaxElements") => {
                    wish.max_elements = number(element, "MaxElements")?;
                }
                (ns::WSMAN, "EnumerationMode") => {
                    wish.mode = match element.text().trim() {
                        "EnumerateEPR" => Some(Mode::Epr),
                        "EnumerateObjectAndEPR" => Some(Mode::ObjectAndEpr),
                        _ => return Err(Error::EnumerationMode),
                    };
                }
                // No class has subclasses: all three mean the same.
                (ns::CIMBINDING, "PolymorphismMode") => match element.text().trim() {
                    "IncludeSubClassProperties" | "ExcludeSubClassProperties" | "None" => {}
                    _ => return Err(Error::PolymorphismMode),
                },
                (ns::ENUMERATION, "Expires") => wish.lifetime = Some(lifetime(element)?),
                (ns::ENUMERATION, "EndTo") => return Err(Error::EndTo),
                (ns::WSMAN | ns::ENUMERATION, "Filter") if wish.filter.is_some() => {
                    return Err(Error::TwoFilters);
                }
                (ns::WSMAN | ns::ENUMERATION, "Filter") => wish.filter = Some(element),
                _ => {}
            }
        }
        Ok(wish)
    }
}

/// The fault for a filter on a resource that has none.
///
/// # Errors
///
/// [`Error::FilteringNotSupported`].
pub(super) fn refuse_filter(request: &Request<'_>) -> Result<(), Error> {
    let is_filtered = |body: &Element<'_>| {
        body.is(ns::ENUMERATION, "Enumerate")
            && [ns::WSMAN, ns::ENUMERATION]
                .iter()
                .any(|ns| body.child(ns, "Filter").is_some())
    };
    if request.body.is_some_and(is_filtered) {
        return Err(Error::FilteringNotSupported);
    }
    Ok(())
}

/// Begins an answer. It has the number of all items if the request asks for it
/// and somebody knows; nobody who is not asked counts.
pub(super) fn begin(request: &Request<'_>, count: impl FnOnce() -> usize) -> Reply {
    if !request.wants_count {
        return Reply::new(request, &[]);
    }
    let count = u64::try_from(count()).unwrap_or(u64::MAX);
    Reply::new(request, &[Block::Count(Some(count))])
}

/// What is left of `reply` for items, of which the client wants so many, and so
/// many characters of them together.
pub(super) fn budget(
    service: &Service,
    reply: &Reply,
    max_elements: usize,
    max_characters: Option<usize>,
) -> Budget {
    let most = service.settings().wsman.max_batch_items;
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    if max_elements > most {
        Counter::Refused(Limit::Batch).bump();
    }
    Budget {
        items: max_elements.min(most),
        octets: reply.room().saturating_sub(OVERHEAD),
        characters: max_characters,
    }
}

/// The `EnumerateResponse`: with the items of `batch` if there is one, and with
/// a context for `listing` unless that was the last one.
///
/// An item that fits into no answer of this size is Pull's to refuse, where the
/// client may ask again with a larger one.
///
/// # Errors
///
/// [`Error::TooManyEnumerations`], [`Error::NoRoomForEnumerations`].
pub(super) fn enumerated(
    service: &Service,
    by: &Principal,
    mut reply: Reply,
    lifetime: Option<Duration>,
    listing: Listing,
    batch: Option<Batch>,
) -> Result<Answer, Error> {
    let (items, after, is_last) = match batch {
        Some(batch) => (Some(batch.xml), batch.after, batch.is_last),
        None => (None, None, false),
    };
    reply.writer.start("n:EnumerateResponse");
    if let Some(lifetime) = lifetime {
        reply.writer.leaf("n:Expires", &duration::text(lifetime));
    }
    if is_last {
        // Some clients pull until the context is empty.
        reply.writer.leaf("n:EnumerationContext", "");
    } else {
        let name = service.contexts.open(by, listing, after, lifetime)?;
        reply.writer.leaf("n:EnumerationContext", &name);
    }
    if let Some(items) = items {
        reply.writer.start("wsman:Items");
        reply.writer.raw(&items);
        reply.writer.end();
    }
    if is_last {
        reply.writer.raw("<wsman:EndOfSequence/>");
    }
    reply.writer.end();
    reply.finish()
}

/// The `PullResponse` with the items of `batch`; the enumeration goes on behind
/// them, or ends.
///
/// # Errors
///
/// [`Error::AnswerTooLarge`] for an item that does not fit by itself; the
/// context stays where it was.
pub(super) fn pulled(
    mut reply: Reply,
    mut lease: Lease<'_>,
    batch: Batch,
) -> Result<Answer, Error> {
    if batch.is_stuck {
        return Err(Error::AnswerTooLarge);
    }
    reply.writer.start("n:PullResponse");
    if !batch.is_last {
        reply.writer.leaf("n:EnumerationContext", &lease.name());
    }
    reply.writer.start("n:Items");
    reply.writer.raw(&batch.xml);
    reply.writer.end();
    if batch.is_last {
        reply.writer.raw("<n:EndOfSequence/>");
    }
    reply.writer.end();
    let answer = reply.finish()?;
    if batch.is_last {
        lease.end();
    } else if batch.after.is_some() {
        lease.after = batch.after;
    }
    Ok(answer)
}

/// The element in the body with the name of the operation.
///
/// # Errors
///
/// [`BodyError::NotOfAction`].
pub(super) fn body<'e>(
    request: &Request<'e>,
    name: &'static str,
) -> Result<&'e Element<'e>, Error> {
    request
        .body
        .filter(|body| body.is(ns::ENUMERATION, name))
        .ok_or(Error::Body(BodyError::NotOfAction(name)))
}

/// The name of the context in it.
///
/// # Errors
///
/// [`Error::NoContext`] when it names none.
pub(super) fn context<'e>(body: &'e Element<'_>) -> Result<&'e str, Error> {
    body.child(ns::ENUMERATION, "EnumerationContext")
        .map(|context| context.text().trim())
        .filter(|name| !name.is_empty())
        .ok_or(Error::NoContext)
}

/// The positive whole number in the element of this name.
///
/// # Errors
///
/// [`BodyError::NotPositive`].
pub(super) fn number(element: &Element<'_>, name: &'static str) -> Result<usize, Error> {
    let text = element.text().trim();
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(Error::Body(BodyError::NotPositive(name)));
    }
    match text.parse().unwrap_or(usize::MAX) {
        0 => Err(Error::Body(BodyError::NotPositive(name))),
        number => Ok(number),
    }
}

/// How long a context shall live: a duration, cut to a day.
///
/// # Errors
///
/// [`Error::ExpiresAt`] for a date, [`Error::Expires`] for anything else.
pub(super) fn lifetime(element: &Element<'_>) -> Result<Duration, Error> {
    let text = element.text().trim();
    if !text.trim_start_matches('-').starts_with('P') {
        let is_date = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('T');
        return Err(if is_date {
            Error::ExpiresAt
        } else {
            Error::Expires
        });
    }
    match duration::parse(text) {
        Some(Duration::ZERO) | None => Err(Error::Expires),
        Some(lifetime) => Ok(lifetime.min(MAX_LIFETIME)),
    }
}

/// Octets around the items: the context, the elements themselves.
const OVERHEAD: usize = 320;

const MAX_LIFETIME: Duration = Duration::from_hours(24);
