//! Enumerate: begins to list the instances of a class (DSP0226 8.2).

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;
use crate::xml::Element;
use crate::xml::ns;

use super::Answer;
use super::batch;
use super::batch::Budget;
use super::contexts::Enumeration;
use super::contexts::Mode;
use super::dispatch::Service;
use super::duration;
use super::error::BodyError;
use super::error::During;
use super::error::Error;
use super::reply::Block;
use super::reply::Reply;
use super::request::Request;
use super::selector;
use super::target::Target;

/// What the body asks for.
struct Wish {
    mode: Mode,
    /// Items may come with this very answer.
    is_optimized: bool,
    max_elements: usize,
    lifetime: Option<Duration>,
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
    target: Target<'_>,
) -> Result<Answer, Error> {
    let wish = read(request)?;
    selector::check(target.class(), &request.selectors)?;
    if selector::has_keys(target.class(), &request.selectors) {
        return Err(Error::EnumerateWithKeys);
    }
    let mut enumeration = Enumeration {
        served: target.at,
        form: target.form,
        mode: wish.mode,
        after: None,
    };
    let mut reply = begin(request, target, by).await?;
    let now = Instant::now();
    reply.writer.start("n:EnumerateResponse");
    if !wish.is_optimized {
        let name = service.contexts.open(by, enumeration, wish.lifetime, now)?;
        write_expires(&mut reply, wish.lifetime);
        reply.writer.leaf("n:EnumerationContext", &name);
        reply.writer.end();
        return reply.finish();
    }
    let budget = Budget {
        items: wish.max_elements.min(max_batch_items(service)),
        octets: reply.room().saturating_sub(OVERHEAD),
        characters: None,
    };
    let batch = batch::collect(target.served, by, &enumeration, budget).await?;
    write_expires(&mut reply, wish.lifetime);
    if batch.is_last {
        reply.writer.leaf("n:EnumerationContext", "");
    } else {
        // An item that fits into no answer of this size is Pull's to refuse,
        // where the client may ask again with a larger one.
        enumeration.after = batch.after;
        let name = service.contexts.open(by, enumeration, wish.lifetime, now)?;
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

/// The fault for an enumeration of all classes of a namespace.
pub(super) fn all_classes(request: &Request<'_>) -> Error {
    match read(request) {
        Ok(_) => Error::FilteringRequired,
        Err(error) => error,
    }
}

/// The reply with its header, the number of all items in it if it was asked
/// for.
pub(super) async fn begin(
    request: &Request<'_>,
    target: Target<'_>,
    by: &Principal,
) -> Result<Reply, Error> {
    if !request.wants_count {
        return Ok(Reply::new(request, &[]));
    }
    let count = target
        .served
        .provider
        .count(by)
        .await
        .map_err(|error| During::Access.error(error))?;
    Ok(Reply::new(request, &[Block::Count(count)]))
}

/// `MaxBatchItems`.
pub(super) fn max_batch_items(service: &Service) -> usize {
    usize::try_from(service.settings().wsman.max_batch_items)
        .unwrap_or(usize::MAX)
        .max(1)
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
fn read(request: &Request<'_>) -> Result<Wish, Error> {
    let body = request
        .body
        .filter(|body| body.is(ns::ENUMERATION, "Enumerate"))
        .ok_or(Error::Body(BodyError::NotOfAction("Enumerate")))?;
    let mut wish = Wish {
        mode: Mode::Object,
        is_optimized: false,
        max_elements: 1,
        lifetime: None,
    };
    let mut filters = 0;
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
            (ns::ENUMERATION, "Expires") => wish.lifetime = Some(lifetime(element)?),
            (ns::ENUMERATION, "EndTo") => return Err(Error::EndTo),
            (ns::WSMAN | ns::ENUMERATION, "Filter") => filters += 1,
            _ => {}
        }
    }
    match filters {
        0 => Ok(wish),
        1 => Err(filter(body)),
        _ => Err(Error::TwoFilters),
    }
}

/// No dialect is in force. Those that Windows has are told from those that it
/// has not: the first will come.
fn filter(body: &Element<'_>) -> Error {
    let dialect = body
        .children()
        .iter()
        .find(|element| element.local() == "Filter")
        .and_then(|filter| filter.attribute("", "Dialect"))
        .map_or("", str::trim);
    if DIALECTS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(dialect))
    {
        Error::FilteringNotSupported
    } else {
        Error::FilterDialect
    }
}

fn write_expires(reply: &mut Reply, lifetime: Option<Duration>) {
    if let Some(lifetime) = lifetime {
        reply.writer.leaf("n:Expires", &duration::text(lifetime));
    }
}

const DIALECTS: [&str; 3] = [
    "http://schemas.microsoft.com/wbem/wsman/1/WQL",
    "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter",
    "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter",
];

/// Octets around the items: the context, the elements themselves.
pub(super) const OVERHEAD: usize = 320;

const MAX_LIFETIME: Duration = Duration::from_hours(24);
