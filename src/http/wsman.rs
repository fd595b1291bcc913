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
use axum::response::Response;

use super::Answering;
use super::Limits;
use super::Site;
use super::admission::Admitted;
use super::admission::admit;
use super::admission::authorization;
use super::admission::connection;
use super::admission::unauthorized;
use super::admission::with_token;
use super::bare;
use super::body;
use super::charset;
use super::charset::NoText;
use super::not_allowed;
use super::sealing;
use super::sealing::sealed_type;
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
    let headers = &parts.headers;
    let sealed = sealed_type(headers);
    if authorization(headers).is_none() && sealed.is_none() && is_unauthenticated_identify(headers)
    {
        return anonymous(&site, connection, headers, body).await;
    }
    let limits = || match sealed {
        Some(_) => site.limits().sealed(),
        None => site.limits(),
    };
    let admitted = match admit(&site, connection, headers).await {
        Ok(admitted) => admitted,
        Err(answer) => return body::finish(body, limits(), *answer).await,
    };
    let (asking, token) = match &admitted {
        Admitted::Caller(caller, token) => (Asking::Caller(caller), token),
        Admitted::Forbidden(token) => (Asking::Forbidden, token),
    };
    let answer = logged_on(&site, connection, headers, sealed, body, asking).await;
    with_token(answer, token.as_deref())
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

/// Holds when the client asks to be answered without log-on ([MS-WSMV]
/// 3.1.4.1.23).
fn is_unauthenticated_identify(headers: &HeaderMap) -> bool {
    headers
        .get(WSMANIDENTIFY)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"unauthenticated"))
}

/// Octets of an Identify; it takes some three hundred.
const MAX_IDENTIFY: usize = 16 * 1_024;

const WSMANIDENTIFY: HeaderName = HeaderName::from_static("wsmanidentify");
