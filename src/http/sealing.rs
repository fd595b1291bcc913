//! Bodies that are sealed by the log-on of their connection: open on the way
//! in, sealed on the way out.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;

use super::Answering;
use super::Site;
use super::admission::unauthorized;
use super::bare;
use super::body;
use super::body::NoBody;
use super::body::Rest;
use super::wsman::Asking;
use super::wsman::Reply;
use super::wsman::in_kind;
use crate::auth;
use crate::auth::SealStyle;
use crate::net::Connection;

/// The type of a body, if it says that it is sealed.
pub(super) fn sealed_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers
        .get(header::CONTENT_TYPE)
        .filter(|value| auth::is_sealed(value.as_bytes()))
}

/// The answer to a sealed body: sealed as well, if there is anything in it.
/// Whoever has no keys for it must log on; so must whoever has sent what they
/// do not open, and his log-on ends.
pub(super) async fn answer<E: Answering>(
    site: &Site<E>,
    connection: &Connection,
    content_type: &HeaderValue,
    body: Body,
    asking: Asking<'_>,
) -> Response {
    let limits = site.limits();
    let (time, late) = asking.patience(limits);
    let body = match body::keep(body, limits.sealed().envelope, time).await {
        Ok(body) => body,
        Err(reason) => {
            connection.auth.lose_step();
            return body::refusal(reason, late);
        }
    };
    // Clients that log on in a request of its own send nothing with it.
    if body.is_empty() {
        return bare(StatusCode::OK);
    }
    let Ok(opened) = connection.auth.open(content_type.as_bytes(), &body) else {
        return unauthorized(site, connection);
    };
    drop(body);
    if opened.plain.len() > limits.envelope {
        return too_large();
    }
    let Ok(content_type) = HeaderValue::from_str(&opened.content_type) else {
        return bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    };
    let reply = in_kind(site, Some(&content_type), &opened.plain, asking).await;
    seal(connection, &opened.style, reply)
}

/// The answer, sealed, unless it is empty.
fn seal(connection: &Connection, style: &SealStyle, reply: Reply) -> Response {
    let Some((content_type, octets)) = reply.content else {
        return bare(reply.status);
    };
    let content_type = content_type.to_str().unwrap_or_default();
    let sealed = connection.auth.seal(style, content_type, &octets);
    let sealed = sealed.ok().and_then(|sealed| {
        let content_type = HeaderValue::try_from(sealed.content_type).ok()?;
        Some((content_type, sealed.octets))
    });
    match sealed {
        Some(content) => Reply {
            status: reply.status,
            content: Some(content),
        }
        .into_response(),
        // No 401: what was asked for is done, and would be done again.
        None => bare(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn too_large() -> Response {
    let reason = NoBody::TooLarge(Rest::Read);
    body::refusal(reason, StatusCode::INTERNAL_SERVER_ERROR)
}
