//! Put: new values for an instance, whole, in part, or one by a fragment
//! (DSP0226 7.4, [MS-WSMV] 3.1.4.1).
//!
//! The answer has the new instance: `Set-WSManInstance` and `winrm set` read
//! it. What is not in the body stays as it is, and read-only properties are
//! passed over, since clients send back what they got.

use std::sync::Arc;

use crate::auth::Principal;
use crate::cim::Values;
use crate::cim::xml;
use crate::provider::Keys;
use crate::provider::View;
use crate::xml::Element;

use super::Answer;
use super::dispatch::to_its_end;
use super::error::BodyError;
use super::error::During;
use super::error::Error;
use super::fragment::Fragment;
use super::get;
use super::limits::Permit;
use super::request::Request;
use super::target::Target;

/// Answers a Put.
///
/// # Errors
///
/// [`Error`]; nothing has changed then, but for [`Error::TimedOut`] and
/// [`Error::Unreportable`].
pub(super) async fn answer(
    by: &Principal,
    request: &Request<'_>,
    target: Target<'_>,
    permit: Permit,
) -> Result<Answer, Error> {
    let keys = target.keys(request)?;
    let body = request.body.ok_or(Error::Body(BodyError::Empty))?;
    let fragment = Fragment::of(request, target)?;
    let values = match &fragment {
        Some(fragment) => fragment.read(body)?,
        None => values(target, request, &keys, body)?,
    };
    let reply = get::begin(request, None);
    let room = reply.room();
    let work = {
        let provider = Arc::clone(&target.served.provider);
        let by = by.clone();
        async move {
            provider.put(&by, &keys, values).await?;
            let view = View { only: None, room };
            let by = by.reading_what_he_writes();
            provider.get(&by, &keys, view).await
        }
    };
    let instance = to_its_end(request.timeout, permit, During::Put, work).await?;
    let reply = get::with_epr(reply, request, target, &instance);
    get::write(reply, request, target, fragment.as_ref(), &instance).map_err(Error::once_done)
}

/// The values of a representation.
fn values(
    target: Target<'_>,
    request: &Request<'_>,
    keys: &Keys,
    body: &Element<'_>,
) -> Result<Values, Error> {
    target.check_name(body)?;
    let changes = xml::read_changes(target.class(), body, request.modified().as_deref())
        .map_err(Error::Representation)?;
    for (name, written) in changes.keys {
        let is_same = keys
            .iter()
            .any(|(key, selected)| *key == name && is_same_key(selected, &written));
        if !is_same && !written.is_empty() {
            return Err(Error::KeyChanged(name));
        }
    }
    Ok(changes.values)
}

/// Keys are compared in any case; a GUID may have braces or not.
fn is_same_key(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.trim_matches(['{', '}']).to_owned();
    bare(one).eq_ignore_ascii_case(&bare(other))
}
