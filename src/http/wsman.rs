//! `POST /wsman`: log-on, body, charset, and the endpoint's answer.

use std::sync::Arc;
use std::time::Duration;

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
use super::Limits;
use super::Site;
use super::bare;
use super::body;
use super::charset;
use super::charset::NoText;
use super::not_allowed;
use super::sealing;
use super::sealing::sealed_type;
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
    let headers = &parts.headers;
    let sealed = sealed_type(headers);
    if authorization.is_none() && sealed.is_none() && is_unauthenticated_identify(headers) {
        return anonymous(&site, connection, headers, body).await;
    }
    let limits = || match sealed {
        Some(_) => site.limits().sealed(),
        None => site.limits(),
    };
    match site.door.admit(&connection.auth, authorization).await {
        Ok(Admission::Admitted(caller, token)) => {
            if connection.settle().is_err() {
                return body::finish(body, limits(), busy()).await;
            }
            let asking = Asking::Caller(&caller);
            let answer = logged_on(&site, connection, headers, sealed, body, asking).await;
            with_token(answer, token.as_deref())
        }
        Ok(Admission::Forbidden(token)) => {
            let asking = Asking::Forbidden;
            let answer = logged_on(&site, connection, headers, sealed, body, asking).await;
            with_token(answer, Some(&token))
        }
        Ok(Admission::Continue(token) | Admission::Refused(token)) => {
            let mut answer = bare(StatusCode::UNAUTHORIZED);
            challenge(&mut answer, &token);
            close_if_exhausted(&mut answer, connection);
            body::finish(body, limits(), answer).await
        }
        Err(
            AuthError::Refused
            | AuthError::Malformed
            | AuthError::Unbound
            | AuthError::WrongBinding
            | AuthError::NoCertificate,
        ) => body::finish(body, limits(), unauthorized(&site, connection)).await,
        Err(AuthError::Forbidden) => {
            logged_on(&site, connection, headers, sealed, body, Asking::Forbidden).await
        }
        Err(AuthError::Busy | AuthError::Unavailable) => body::finish(body, limits(), busy()).await,
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

/// The answer to somebody who has logged on; `sealed` is the type of his body
/// if it says that it is sealed.
async fn logged_on<E: Answering>(
    site: &Site<E>,
    connection: &Connection,
    headers: &HeaderMap,
    sealed: Option<&HeaderValue>,
    body: Body,
    asking: Asking<'_>,
) -> Response {
    if let Some(content_type) = sealed {
        return sealing::answer(site, connection, content_type, body, asking).await;
    }
    let limits = site.limits();
    let (time, late) = asking.patience(limits);
    let body = match body::keep(body, limits.envelope, time).await {
        Ok(body) => body,
        Err(reason) => return body::refusal(reason, late),
    };
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
    let asking = if site.must_seal(connection) {
        Asking::Unsealed
    } else {
        asking
    };
    in_kind(site, content_type, &body, asking)
        .await
        .into_response()
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
            Some(encoded(answer, message.encoding, message.reply).into_response())
        });
    answer.unwrap_or_else(|| unauthorized(site, connection))
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) enum Asking<'a> {
    /// Somebody who may.
    Caller(&'a Caller),
    /// Somebody who has logged on and may do nothing.
    Forbidden,
    /// Somebody who has logged on, by a message that everybody on the way can
    /// read and change.
    Unsealed,
}

impl Asking<'_> {
    /// How long his body may take, and the status of one that takes longer.
    pub(super) fn patience(self, limits: Limits) -> (Duration, StatusCode) {
        match self {
            // 500, not 408: [MS-WSMV] 3.1.5.2.
            Self::Caller(_) => (limits.request, StatusCode::INTERNAL_SERVER_ERROR),
            Self::Forbidden | Self::Unsealed => (limits.logon, StatusCode::REQUEST_TIMEOUT),
        }
    }
}

/// An answer before it is sealed, if it must be.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// `Content-Type` and octets.
    pub(super) content: Option<(HeaderValue, Vec<u8>)>,
}

impl Reply {
    fn bare(status: StatusCode) -> Self {
        Self {
            status,
            content: None,
        }
    }

    /// The number of octets is set further out.
    pub(super) fn into_response(self) -> Response {
        let Some((content_type, octets)) = self.content else {
            return bare(self.status);
        };
        let mut response = Response::new(Body::from(octets));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }
}

/// Decodes a message, has it answered, and encodes the answer the same way.
pub(super) async fn in_kind<E: Answering>(
    site: &Site<E>,
    content_type: Option<&HeaderValue>,
    octets: &[u8],
    asking: Asking<'_>,
) -> Reply {
    match charset::decode(content_type, octets) {
        Ok(message) => {
            // libmi fills up what it seals, to blocks of 16 octets.
            let envelope = message.text.trim_end_matches('\0');
            let answer = match asking {
                Asking::Caller(by) => site.endpoint.answer(by, envelope, message.encoding).await,
                Asking::Forbidden => site.endpoint.denied(envelope),
                Asking::Unsealed => site.endpoint.unsealed(envelope),
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
        Err(NoText::MediaType) => Reply::bare(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// The octets of an answer, with their type.
fn encoded(answer: Answer, encoding: Encoding, content_type: HeaderValue) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply {
        status,
        content: answer
            .envelope
            .map(|envelope| (content_type, charset::encode(envelope, encoding))),
    }
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

/// The answer with the last token of the log-on; not if the log-on has ended
/// right away, with the message that came along.
fn with_token(mut answer: Response, token: Option<&str>) -> Response {
    if let Some(token) = token
        && answer.status() != StatusCode::UNAUTHORIZED
    {
        challenge(&mut answer, token);
    }
    answer
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
