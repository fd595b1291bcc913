//! Delete: an instance goes (DSP0226 7.5).

use std::sync::Arc;

use crate::auth::Principal;

use super::Answer;
use super::dispatch::to_its_end;
use super::error::During;
use super::error::Error;
use super::limits::Permit;
use super::reply::Reply;
use super::request::Request;
use super::target::Target;

/// Answers a Delete, with an empty body.
///
/// # Errors
///
/// [`Error`]; the instance is still there then, but for [`Error::TimedOut`].
pub(super) async fn answer(
    by: &Principal,
    request: &Request<'_>,
    target: Target<'_>,
    permit: Permit,
) -> Result<Answer, Error> {
    if request.fragment.is_some() {
        return Err(Error::FragmentNotSupported);
    }
    let keys = target.keys(request)?;
    let work = {
        let provider = Arc::clone(&target.served.provider);
        let by = by.clone();
        async move { provider.delete(&by, &keys).await }
    };
    to_its_end(request.timeout, permit, During::Access, work).await?;
    Reply::new(request, &[]).finish()
}
