//! `POST /wsman`: log-on, body, charset, and the endpoint's answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use tracing::error;

use super::Answering;
use super::Site;
use super::bare;
use super::body;
use super::charset;
use super::charset::NoText;
use super::not_allowed;
use crate::auth::Admission;
use crate::auth::AuthError;
use crate::auth::Caller;
use crate::net::Connection;
use crate::wsman::Answer;
use crate::wsman::Encoding;

/// Answers a request on `/wsman`. What the endpoint has begun runs to its end
/// though the future is dropped.
pub(super) async fn answer<E: Answering>(site: Arc<Site<E>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return body::finish(body, site.limits(), not_allowed("POST")).await;
    }
    let Some(connection) = connection(&parts) else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let authorization = authorization(&parts.headers);
    if authorization.is_none() && is_unauthenticated_identify(&parts.headers) {
        return anonymous(&site, connection, &parts.headers, body).await;
    }
    let late = StatusCode::REQUEST_TIMEOUT;
    match site.door.admit(&connection.auth, authorization).await {
        Ok(Admission::Admitted(caller, token)) => {
            if connection.settle().is_err() {
                return body::finish(body, site.limits(), busy()).await;
            }
            let mut answer = admitted(&site, &caller, &parts.headers, body).await;
            if let Some(token) = token {
                challenge(&mut answer, &token);
            }
            answer
        }
        Ok(Admission::Continue(token) | Admission::Refused(token)) => {
            let mut answer = bare(StatusCode::UNAUTHORIZED);
            challenge(&mut answer, &token);
            close_if_exhausted(&mut answer, connection);
            body::finish(body, site.limits(), answer).await
        }
        Err(
            AuthError::Refused
            | AuthError::Malformed
            | AuthError::Unbound
            | AuthError::WrongBinding
            | AuthError::NoCertificate,
        ) => body::finish(body, site.limits(), unauthorized(&site, connection)).await,
        Err(AuthError::Forbidden) => {
            let limits = site.limits();
            match body::keep(body, limits.envelope, limits.logon).await {
                Ok(body) => in_kind(&site, &parts.headers, &body, Asking::Forbidden).await,
                Err(reason) => body::refusal(reason, late),
            }
        }
        Err(AuthError::Busy | AuthError::Unavailable) => {
            body::finish(body, site.limits(), busy()).await
        }
    }
}

/// Answers a request on the path for Identify without log-on.
pub(super) async fn identify<E: Answering>(site: Arc<Site<E>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return body::finish(body, site.limits(), not_allowed("POST")).await;
    }
    let Some(connection) = connection(&parts) else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    };
    anonymous(&site, connection, &parts.headers, body).await
}

/// The answer to somebody who may come in.
async fn admitted<E: Answering>(
    site: &Site<E>,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let limits = site.limits();
    match body::keep(body, limits.envelope, limits.request).await {
        Ok(body) => in_kind(site, headers, &body, Asking::Caller(caller)).await,
        // 500, not 408: [MS-WSMV] 3.1.5.2.
        Err(reason) => body::refusal(reason, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The answer to an Identify without log-on; whoever asks for anything else
/// must log on.
async fn anonymous<E: Answering>(
    site: &Site<E>,
    connection: &Connection,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let body = match body::keep(body, MAX_IDENTIFY, site.limits().logon).await {
        Ok(body) => body,
        Err(reason) => return body::refusal(reason, StatusCode::REQUEST_TIMEOUT),
    };
    let answer = charset::decode(headers.get(header::CONTENT_TYPE), &body)
        .ok()
        .and_then(|message| {
            let answer = site.endpoint.answer_anonymous(&message.text)?;
            Some(encoded(answer, message.encoding, message.reply))
        });
    answer.unwrap_or_else(|| unauthorized(site, connection))
}

/// Who asks.
#[derive(Clone, Copy)]
enum Asking<'a> {
    /// Somebody who may.
    Caller(&'a Caller),
    /// Somebody who has logged on and may do nothing.
    Forbidden,
}

/// Decodes the body, has it answered, and encodes the answer the same way.
async fn in_kind<E: Answering>(
    site: &Site<E>,
    headers: &HeaderMap,
    body: &[u8],
    asking: Asking<'_>,
) -> Response {
    // Clients that log on in a request of its own send nothing with it.
    if body.is_empty() {
        return bare(StatusCode::OK);
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    // The one thing that a foreign page can have a browser send which looks
    // like a client's: no type at all. Clients have no origin.
    if content_type.is_none() && headers.contains_key(header::ORIGIN) {
        return bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    match charset::decode(content_type, body) {
        Ok(message) => {
            let answer = match asking {
                Asking::Caller(by) => {
                    let envelope = &message.text;
                    site.endpoint.answer(by, envelope, message.encoding).await
                }
                Asking::Forbidden => site.endpoint.denied(&message.text),
            };
            encoded(answer, message.encoding, message.reply)
        }
        Err(NoText::Charset) => {
            encoded(site.endpoint.undecodable(), Encoding::Utf8, charset::USUAL)
        }
        Err(NoText::Octets { encoding, reply }) => {
            encoded(site.endpoint.undecodable(), encoding, reply)
        }
        // A form of a web page has another type: nobody can have a browser
        // that is logged on send envelopes.
        Err(NoText::MediaType) => bare(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// The octets of an answer, with their type. Their number is set further out.
fn encoded(answer: Answer, encoding: Encoding, content_type: HeaderValue) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let Some(envelope) = answer.envelope else {
        return bare(status);
    };
    let mut response = Response::new(Body::from(charset::encode(envelope, encoding)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The value of `Authorization`, if there is one.
pub(super) fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        // What is no ASCII is no log-on of any scheme.
        .map(|value| value.to_str().unwrap_or_default())
}

/// 401, with what this connection can log on by.
pub(super) fn unauthorized<E>(site: &Site<E>, connection: &Connection) -> Response {
    let mut answer = bare(StatusCode::UNAUTHORIZED);
    for challenge in site.door.challenges(connection.auth.peer()) {
        let challenge = HeaderValue::from_static(challenge);
        answer
            .headers_mut()
            .append(header::WWW_AUTHENTICATE, challenge);
    }
    close_if_exhausted(&mut answer, connection);
    answer
}

/// Closes the connection with this answer, if too many log-ons have failed on
/// it.
pub(super) fn close_if_exhausted(answer: &mut Response, connection: &Connection) {
    if connection.auth.is_exhausted() {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
}

/// Adds a token of the log-on.
pub(super) fn challenge(answer: &mut Response, token: &str) {
    let Ok(token) = HeaderValue::from_str(token) else {
        error!("A log-on token is no header text");
        return;
    };
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, token);
}

/// 503: the same again a little later may work.
pub(super) fn busy() -> Response {
    let mut answer = bare(StatusCode::SERVICE_UNAVAILABLE);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Holds when the client asks to be answered without log-on ([MS-WSMV]
/// 3.1.4.1.23).
fn is_unauthenticated_identify(headers: &HeaderMap) -> bool {
    headers
        .get(WSMANIDENTIFY)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"unauthenticated"))
}

/// The connection, which the listener puts into every request.
pub(super) fn connection(parts: &Parts) -> Option<&Connection> {
    let connection = parts.extensions.get::<Arc<Connection>>();
    if connection.is_none() {
        error!("A request came without its connection");
    }
    connection.map(|connection| &**connection)
}

/// Octets of an Identify; it takes some three hundred.
const MAX_IDENTIFY: usize = 16 * 1_024;

const WSMANIDENTIFY: HeaderName = HeaderName::from_static("wsmanidentify");
