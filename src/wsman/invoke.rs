//! Methods: `<ResourceURI>/<Method>` (DSP0227 10, [MS-WSMV] 3.1.4.1).

use std::sync::Arc;

use crate::auth::Principal;
use crate::cim::xml;
use crate::provider::Keys;

use super::Answer;
use super::dispatch::to_its_end;
use super::error::During;
use super::error::Error;
use super::error::shorten;
use super::limits::Permit;
use super::reply::Reply;
use super::request::Request;
use super::selector;
use super::target::Target;

/// Calls the method that the action names by its last segment, in any case.
///
/// # Errors
///
/// [`Error`]: also when the method fails, so that no script takes a failure
/// for a success.
pub(super) async fn answer(
    by: &Principal,
    request: &Request<'_>,
    target: Target<'_>,
    permit: Permit,
) -> Result<Answer, Error> {
    let class = target.class();
    let Some((prefix, name)) = request.action.trim_end_matches('/').rsplit_once('/') else {
        return Err(Error::NoAction(shorten(request.action)));
    };
    let Some(method) = class.method(name) else {
        let (_, owner) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        return Err(if owner.eq_ignore_ascii_case(&class.name) {
            Error::NoSuchMethod(shorten(name))
        } else {
            Error::ActionNotSupported(shorten(request.action))
        });
    };
    if request.fragment.is_some() {
        return Err(Error::FragmentNotSupported);
    }
    // A client may select an instance for a static method too: wsl always does.
    let keys = if method.is_static {
        selector::check(class, &request.selectors)?;
        Keys::new()
    } else {
        target.keys(request)?
    };
    let parts = &target.served.parts;
    let arguments = xml::read_arguments(method, parts, request.body).map_err(Error::Arguments)?;
    let work = {
        let provider = Arc::clone(&target.served.provider);
        let by = by.clone();
        let name = method.name.clone();
        async move { provider.invoke(&by, &keys, &name, arguments).await }
    };
    let output = to_its_end(request.timeout, permit, During::Invoke, work).await?;
    let mut reply = Reply::new(request, &[]);
    xml::write_output(&mut reply.writer, class, method, &output, target.base());
    reply.finish().map_err(Error::once_done)
}
