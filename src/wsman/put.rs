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
use crate::xml::ns;

use super::Answer;
use super::dispatch::to_its_end;
use super::error::BodyError;
use super::error::During;
use super::error::Error;
use super::error::FragmentError;
use super::fragment::Fragment;
use super::get;
use super::limits::Permit;
use super::reply::Block;
use super::reply::Reply;
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
    let fragment = match request.fragment {
        Some(expression) => Some((expression, Fragment::parse(target.class(), expression)?)),
        None => None,
    };
    let values = match &fragment {
        Some((_, fragment)) => fragment_values(fragment, body)?,
        None => values(target, request, &keys, body)?,
    };
    let reply = match &fragment {
        Some((expression, _)) => Reply::new(request, &[Block::Fragment(expression)]),
        None => Reply::new(request, &[]),
    };
    let room = reply.room();
    let work = {
        let provider = Arc::clone(&target.served.provider);
        let by = by.clone();
        async move {
            provider.put(&by, &keys, values).await?;
            let view = View { only: None, room };
            provider.get(&by, &keys, view).await
        }
    };
    let instance = to_its_end(request.timeout, permit, During::Put, work).await?;
    let answer = match &fragment {
        Some((_, fragment)) => get::write_fragment(reply, fragment, &instance, target),
        None => get::write_instance(reply, &instance, target),
    };
    answer.map_err(Error::once_done)
}

/// The values of a representation.
fn values(
    target: Target<'_>,
    request: &Request<'_>,
    keys: &Keys,
    body: &Element<'_>,
) -> Result<Values, Error> {
    if !body.local().eq_ignore_ascii_case(&target.class().name) {
        return Err(Error::Body(BodyError::NotOfClass));
    }
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

/// The one value of a fragment.
fn fragment_values(fragment: &Fragment<'_>, body: &Element<'_>) -> Result<Values, Error> {
    let property = fragment.property;
    if property.is_key {
        return Err(Error::KeyChanged(property.name.clone()));
    }
    if !property.is_writable {
        return Err(Error::ReadOnly(property.name.clone()));
    }
    if fragment.position.is_some() || property.is_array {
        return Err(Error::Fragment(FragmentError::Part));
    }
    if !body.is(ns::WSMAN, "XmlFragment") {
        return Err(Error::Fragment(FragmentError::Missing));
    }
    let value = match body.children() {
        [] if fragment.is_text => xml::read_property(property, body),
        [element] if !fragment.is_text && element.local() == property.name => {
            xml::read_property(property, element)
        }
        _ => return Err(Error::Fragment(FragmentError::Other)),
    };
    let mut values = Values::new();
    values.insert(&property.name, value.map_err(Error::Representation)?);
    Ok(values)
}

/// Keys are compared in any case; a GUID may have braces or not.
fn is_same_key(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.trim_matches(['{', '}']).to_owned();
    bare(one).eq_ignore_ascii_case(&bare(other))
}
