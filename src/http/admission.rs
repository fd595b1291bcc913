//! Who asks: the log-on of a request, and the answers to whoever may not ask.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use tracing::error;

use super::Site;
use super::bare;
use crate::auth::Admission;
use crate::auth::AuthError;
use crate::auth::Caller;
use crate::net::Connection;

/// Whose log-on is good, with the last token of it.
pub(super) enum Admitted {
    /// He may ask.
    Caller(Caller, Option<String>),
    /// He may not, whoever he is.
    Forbidden(Option<String>),
}

/// Judges the log-on of a request; an error is the answer to whoever has not
/// logged on, or not yet.
pub(super) async fn admit<E>(
    site: &Site<E>,
    connection: &Connection,
    headers: &HeaderMap,
) -> Result<Admitted, Box<Response>> {
    let admission = site.door.admit(&connection.auth, authorization(headers));
    let answer = match admission.await {
        Ok(Admission::Admitted(caller, token)) => {
            if connection.settle().is_ok() {
                return Ok(Admitted::Caller(caller, token));
            }
            busy()
        }
        Ok(Admission::Forbidden(token)) => return Ok(Admitted::Forbidden(Some(token))),
        Ok(Admission::Continue(token) | Admission::Refused(token)) => {
            let mut answer = bare(StatusCode::UNAUTHORIZED);
            challenge(&mut answer, &token);
            close_if_exhausted(&mut answer, connection);
            answer
        }
        Err(
            AuthError::Refused
            | AuthError::Malformed
            | AuthError::Unbound
            | AuthError::WrongBinding
            | AuthError::NoCertificate,
        ) => unauthorized(site, connection),
        Err(AuthError::Forbidden) => return Ok(Admitted::Forbidden(None)),
        Err(AuthError::Busy | AuthError::Unavailable) => busy(),
    };
    Err(Box::new(answer))
}

/// The connection, which the listener puts into every request.
pub(super) fn connection(parts: &Parts) -> Option<&Connection> {
    let connection = parts.extensions.get::<Arc<Connection>>();
    if connection.is_none() {
        error!("A request came without its connection");
    }
    connection.map(|connection| &**connection)
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
fn close_if_exhausted(answer: &mut Response, connection: &Connection) {
    if connection.auth.is_exhausted() {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
}

/// The answer with the last token of the log-on; not if the log-on has ended
/// right away, with the message that came along.
pub(super) fn with_token(mut answer: Response, token: Option<&str>) -> Response {
    if let Some(token) = token
        && answer.status() != StatusCode::UNAUTHORIZED
    {
        challenge(&mut answer, token);
    }
    answer
}

/// Adds a token of the log-on.
fn challenge(answer: &mut Response, token: &str) {
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
