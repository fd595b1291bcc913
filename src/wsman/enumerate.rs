//! Enumerate: begins to list the instances of a class, or those that a filter
//! leaves (DSP0226 8.2).

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;
use crate::xml::Element;
use crate::xml::ns;

use super::Answer;
use super::batch;
use super::batch::Budget;
use super::batch::Patience;
use super::contexts::Enumeration;
use super::contexts::Mode;
use super::dispatch::Service;
use super::dispatch::within;
use super::duration;
use super::error::BodyError;
use super::error::During;
use super::error::Error;
use super::reply::Block;
use super::reply::Reply;
use super::request::Request;
use super::resource::ResourceUri;
use super::scope;

/// What the body asks for.
struct Wish<'e> {
    mode: Mode,
    /// Items may come with this very answer.
    is_optimized: bool,
    max_elements: usize,
    lifetime: Option<Duration>,
    filter: Option<&'e Element<'e>>,
}

/// Answers an Enumerate. When the future is dropped, a context that nobody
/// knows goes away by itself.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn answer(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
    uri: &ResourceUri,
) -> Result<Answer, Error> {
    let start = Instant::now();
    let wish = read(request)?;
    let scope = scope::find(service, by, request, uri, wish.mode, wish.filter);
    let enumeration = Enumeration {
        scope: within(request.timeout, scope).await?,
        form: uri.form,
        mode: wish.mode,
    };
    let mut reply = head(service, by, request, &enumeration, request.timeout).await?;
    reply.writer.start("n:EnumerateResponse");
    if !wish.is_optimized {
        let name = service
            .contexts
            .open(by, enumeration, None, wish.lifetime)?;
        write_expires(&mut reply, wish.lifetime);
        reply.writer.leaf("n:EnumerationContext", &name);
        reply.writer.end();
        return reply.finish();
    }
    let budget = Budget {
        items: batch_items(service, wish.max_elements),
        octets: reply.room().saturating_sub(OVERHEAD),
        characters: None,
    };
    let patience = Patience::new(start, searching(request.timeout));
    let mut after = None;
    let batch = batch::collect(service, by, &enumeration, &mut after, budget, patience).await?;
    write_expires(&mut reply, wish.lifetime);
    if batch.is_last {
        reply.writer.leaf("n:EnumerationContext", "");
    } else {
        // An item that fits into no answer of this size is Pull's to refuse,
        // where the client may ask again with a larger one. And a search that
        // has found nothing yet goes on there.
        let after = batch.after.or(after);
        let name = service
            .contexts
            .open(by, enumeration, after, wish.lifetime)?;
        reply.writer.leaf("n:EnumerationContext", &name);
    }
    reply.writer.start("wsman:Items");
    reply.writer.raw(&batch.xml);
    reply.writer.end();
    if batch.is_last {
        reply.writer.raw("<wsman:EndOfSequence/>");
    }
    reply.writer.end();
    reply.finish()
}

/// The fault for a filter on a resource that has none.
///
/// # Errors
///
/// [`Error::FilteringNotSupported`].
pub(super) fn refuse_filter(request: &Request<'_>) -> Result<(), Error> {
    let filter = |body: &Element<'_>| {
        body.is(ns::ENUMERATION, "Enumerate")
            && [ns::WSMAN, ns::ENUMERATION]
                .iter()
                .any(|ns| body.child(ns, "Filter").is_some())
    };
    if request.body.is_some_and(filter) {
        return Err(Error::FilteringNotSupported);
    }
    Ok(())
}

/// The reply with its header, the number of all items in it if it was asked
/// for and can be told in `time`. How many a filter leaves nobody knows before
/// the end.
pub(super) async fn head(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
    enumeration: &Enumeration,
    time: Duration,
) -> Result<Reply, Error> {
    if !request.wants_count {
        return Ok(Reply::new(request, &[]));
    }
    let scope = &enumeration.scope;
    let count = match scope.served.and_then(|at| service.served.get(at)) {
        _ if scope.selection.is_some() => None,
        None => Some(0),
        Some(served) => {
            let count = async {
                let count = served.provider.count(by).await;
                count.map_err(|error| During::Access.error(error))
            };
            Some(within(time, count).await?)
        }
    };
    Ok(Reply::new(request, &[Block::Count(count)]))
}

/// So many items at once, cut to `MaxBatchItems`.
pub(super) fn batch_items(service: &Service, wished: usize) -> usize {
    let most = service.settings().wsman.max_batch_items;
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    if wished > most {
        Counter::Refused(Limit::Batch).bump();
    }
    wished.min(most)
}

/// The positive whole number in the element of this name.
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

/// Reads the body; its children come in any order, and those that are not
/// known have no effect.
fn read<'e>(request: &Request<'e>) -> Result<Wish<'e>, Error> {
    let body = request
        .body
        .filter(|body| body.is(ns::ENUMERATION, "Enumerate"))
        .ok_or(Error::Body(BodyError::NotOfAction("Enumerate")))?;
    let mut wish = Wish {
        mode: Mode::Object,
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
                    "EnumerateEPR" => Mode::Epr,
                    "EnumerateObjectAndEPR" => Mode::ObjectAndEpr,
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

fn write_expires(reply: &mut Reply, lifetime: Option<Duration>) {
    if let Some(lifetime) = lifetime {
        reply.writer.leaf("n:Expires", &duration::text(lifetime));
    }
}

/// How much of `OperationTimeout` a search may take that finds nothing. The
/// rest is for the way back: an answer without items goes on in a Pull, a fault
/// does not.
fn searching(timeout: Duration) -> Duration {
    timeout.saturating_sub((timeout / 4).min(MAX_SPARE))
}

/// Octets around the items: the context, the elements themselves.
pub(super) const OVERHEAD: usize = 320;

const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// More than an answer needs on any network that is worth waiting for.
const MAX_SPARE: Duration = Duration::from_secs(5);
