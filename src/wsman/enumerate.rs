//! Enumerate: begins to list the instances of a class, or those that a filter
//! leaves (DSP0226 8.2).

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Principal;

use super::Answer;
use super::batch;
use super::batch::Patience;
use super::contexts::Enumeration;
use super::contexts::Listing;
use super::contexts::Mode;
use super::dispatch::Service;
use super::dispatch::within;
use super::error::During;
use super::error::Error;
use super::listing;
use super::listing::Wish;
use super::reply::Block;
use super::reply::Reply;
use super::request::Request;
use super::resource::ResourceUri;
use super::scope;

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
    let wish = Wish::read(request)?;
    let mode = wish.mode.unwrap_or(Mode::Object);
    let scope = scope::find(service, by, request, uri, mode, wish.filter);
    let enumeration = Enumeration {
        scope: within(request.timeout, scope).await?,
        form: uri.form,
        mode,
        arrays: request.arrays(),
    };
    let reply = head(service, by, request, &enumeration, request.timeout).await?;
    let batch = if wish.is_optimized {
        let budget = listing::budget(service, &reply, wish.max_elements, None);
        let patience = Patience::new(start, searching(request.timeout));
        let mut after = None;
        let batch = batch::collect(service, by, &enumeration, &mut after, budget, patience);
        let mut batch = batch.await?;
        // A search that has found nothing yet goes on where it had come to.
        batch.after = batch.after.or(after);
        Some(batch)
    } else {
        None
    };
    let listing = Listing::Instances(enumeration);
    listing::enumerated(service, by, reply, wish.lifetime, listing, batch)
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

/// How much of `OperationTimeout` a search may take that finds nothing. The
/// rest is for the way back: an answer without items goes on in a Pull, a fault
/// does not.
fn searching(timeout: Duration) -> Duration {
    timeout.saturating_sub((timeout / 4).min(MAX_SPARE))
}

/// More than an answer needs on any network that is worth waiting for.
const MAX_SPARE: Duration = Duration::from_secs(5);
