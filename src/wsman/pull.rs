//! Pull: the next items of an enumeration (DSP0226 8.4).

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;
use crate::xml::ns;

use super::Answer;
use super::batch;
use super::batch::Patience;
use super::config;
use super::contexts::Listing;
use super::dispatch::Service;
use super::duration;
use super::enumerate;
use super::error::Error;
use super::listing;
use super::request::Request;
use super::rights;
use super::schema;

/// Answers a Pull. Dropped, the enumeration loses no item; the same holds for
/// every error. A search that has found nothing by then goes on where it had
/// come to, and does not begin anew.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn answer(
    service: &Service,
    by: &Principal,
    request: &Request<'_>,
) -> Result<Answer, Error> {
    let body = listing::body(request, "Pull")?;
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
                max_elements = listing::number(element, "MaxElements")?;
            }
            (ns::ENUMERATION, "MaxCharacters") => {
                let most = listing::number(element, "MaxCharacters")?;
                max_characters = Some(most);
            }
            _ => {}
        }
    }
    let start = Instant::now();
    let mut lease = service.contexts.lease(by, listing::context(body)?)?;
    rights::check_pull(by, &lease.listing)?;
    let limits = (max_elements, max_characters);
    let enumeration = match lease.listing.clone() {
        Listing::Instances(enumeration) => enumeration,
        Listing::Classes(classes) => {
            return schema::pull(service, request, lease, &classes, limits);
        }
        Listing::Documents(documents) => {
            return config::pull(service, request, lease, &documents, limits);
        }
    };
    let wait = Wait::new(request, max_time);
    let head = enumerate::head(service, by, request, &enumeration, wait.time).await;
    let reply = head.map_err(|error| wait.error(error))?;
    let budget = listing::budget(service, &reply, max_elements, max_characters);
    let patience = Patience::new(start, wait.time);
    let after = &mut lease.after;
    let batch = batch::collect(service, by, &enumeration, after, budget, patience).await?;
    if batch.is_late && batch.items == 0 {
        return Err(wait.error(Error::TimedOut));
    }
    listing::pulled(reply, lease, batch)
}

/// How long a Pull may take.
#[derive(Clone, Copy)]
struct Wait {
    time: Duration,
    /// `MaxTime` ends it, and not `OperationTimeout`.
    is_max_time: bool,
}

impl Wait {
    fn new(request: &Request<'_>, max_time: Option<Duration>) -> Self {
        match (max_time, request.wished_timeout) {
            (Some(time), wished) if wished.is_none_or(|wished| time <= wished) => Self {
                time: time.min(LONGEST),
                is_max_time: true,
            },
            // A Pull may wait longer than `MaxTimeoutms`.
            (_, wished) => Self {
                time: wished.unwrap_or(request.timeout).min(LONGEST),
                is_max_time: false,
            },
        }
    }

    /// Whose time has passed: for `MaxTime` there is a fault of its own.
    fn error(self, error: Error) -> Error {
        match error {
            Error::TimedOut if self.is_max_time => Error::PullTimedOut,
            other => other,
        }
    }
}

/// A Pull is not bound by `MaxTimeoutms`, but by this.
const LONGEST: Duration = Duration::from_hours(1);
