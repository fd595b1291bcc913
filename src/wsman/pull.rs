//! Pull: the next items of an enumeration (DSP0226 8.4).

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;
use crate::xml::Element;
use crate::xml::ns;

use super::Answer;
use super::batch;
use super::batch::Budget;
use super::config;
use super::contexts::Listing;
use super::dispatch::Service;
use super::dispatch::within;
use super::duration;
use super::enumerate;
use super::error::Error;
use super::request::Request;
use super::target::Target;

/// Answers a Pull. Dropped, the enumeration stays where it was; the same holds
/// for every error.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn answer(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
) -> Result<Answer, Error> {
    let body = body(request, "Pull")?;
    let mut max_time = None;
    let mut max_elements = 1;
    let mut max_characters = None;
    for element in body.children() {
        match (element.ns(), element.local()) {
            (ns::ENUMERATION, "MaxTime") => {
                let time = duration::parse(element.text()).filter(|time| !time.is_zero());
                max_time = Some(time.ok_or(Error::Expires)?);
            }
            (ns::ENUMERATION | ns::WSMAN, "MaxElements") => {
                max_elements = enumerate::number(element, "MaxElements must be a positive number")?;
            }
            (ns::ENUMERATION, "MaxCharacters") => {
                let most = enumerate::number(element, "MaxCharacters must be a positive number")?;
                max_characters = Some(most);
            }
            _ => {}
        }
    }
    let lease = service.contexts.lease(by, context(body)?, Instant::now())?;
    let mut enumeration = match lease.listing.clone() {
        Listing::Instances(enumeration) => enumeration,
        Listing::Documents(documents) => {
            return config::pull(
                service,
                request,
                lease,
                documents,
                max_elements,
                max_characters,
            );
        }
    };
    let served = service
        .served
        .get(enumeration.served)
        .ok_or(Error::NoContext)?;
    let target = Target {
        at: enumeration.served,
        served,
        form: enumeration.form,
    };
    let work = async {
        let reply = enumerate::begin(request, target, by).await?;
        let budget = Budget {
            items: max_elements.min(enumerate::max_batch_items(service)),
            octets: reply.room().saturating_sub(enumerate::OVERHEAD),
            characters: max_characters,
        };
        let batch = batch::collect(served, by, &enumeration, budget).await?;
        Ok((reply, batch))
    };
    let (mut reply, batch) = if let Some(time) = max_time {
        within(time.min(LONGEST), work).await.map_err(late)?
    } else {
        // A Pull may wait longer than `MaxTimeoutms`.
        let time = request.wished_timeout.unwrap_or(request.timeout);
        within(time.min(LONGEST), work).await?
    };
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
    } else {
        enumeration.after = batch.after;
        lease.replace(enumeration);
    }
    Ok(answer)
}

/// The element in the body with the name of the operation.
pub(super) fn body<'e>(request: &Request<'e>, name: &str) -> Result<&'e Element<'e>, Error> {
    request
        .body
        .filter(|body| body.is(ns::ENUMERATION, name))
        .ok_or(Error::Body("it is not that of the action"))
}

/// The name of the context.
pub(super) fn context<'e>(body: &'e Element<'_>) -> Result<&'e str, Error> {
    body.child(ns::ENUMERATION, "EnumerationContext")
        .map(|context| context.text().trim())
        .filter(|name| !name.is_empty())
        .ok_or(Error::NoContext)
}

/// The client's own time has passed, not the operation's.
fn late(error: Error) -> Error {
    match error {
        Error::TimedOut => Error::PullTimedOut,
        other => other,
    }
}

/// A Pull is not bound by `MaxTimeoutms`, but by this.
const LONGEST: Duration = Duration::from_hours(1);
