//! `GET /metrics`: counters and gauges in the text format of Prometheus, for
//! administrators. What happens on a machine is nobody else's business.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;

use super::Site;
use super::bare;
use super::body;
use super::not_allowed;
use super::wsman::authorization;
use super::wsman::busy;
use super::wsman::challenge;
use super::wsman::close_if_exhausted;
use super::wsman::connection;
use super::wsman::unauthorized;
use crate::auth::Admission;
use crate::auth::AuthError;
use crate::auth::Principal;
use crate::telemetry::counters;

/// Answers a request on `/metrics`; `jobs` counts the jobs, if it can.
pub(super) async fn answer<E, F: Fn() -> Option<u64>>(
    site: Arc<Site<E>>,
    jobs: Arc<F>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return body::finish(body, site.limits(), not_allowed("GET, HEAD")).await;
    }
    let Some(connection) = connection(&parts) else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let admitted = site
        .door
        .admit(&connection.auth, authorization(&parts.headers))
        .await;
    let answer = match admitted {
        Ok(Admission::Admitted(..)) if connection.settle().is_err() => busy(),
        Ok(Admission::Admitted(caller, token)) => {
            // There is no resource: the holder of a certificate is who he is
            // by a mapping for all of them.
            let principal = caller.principal_at(String::new);
            let is_administrator = principal.is_some_and(Principal::is_administrator);
            // What no client asks for sealed does not go out unsealed.
            let mut answer = if is_administrator && !site.must_seal(connection) {
                metrics(jobs())
            } else {
                bare(StatusCode::FORBIDDEN)
            };
            if let Some(token) = token {
                challenge(&mut answer, &token);
            }
            answer
        }
        Ok(Admission::Continue(token) | Admission::Refused(token)) => {
            let mut answer = bare(StatusCode::UNAUTHORIZED);
            challenge(&mut answer, &token);
            close_if_exhausted(&mut answer, connection);
            answer
        }
        Ok(Admission::Forbidden(token)) => {
            let mut answer = bare(StatusCode::FORBIDDEN);
            challenge(&mut answer, &token);
            answer
        }
        Err(
            AuthError::Refused
            | AuthError::Malformed
            | AuthError::Unbound
            | AuthError::WrongBinding
            | AuthError::NoCertificate,
        ) => unauthorized(&site, connection),
        Err(AuthError::Forbidden) => bare(StatusCode::FORBIDDEN),
        Err(AuthError::Busy | AuthError::Unavailable) => busy(),
    };
    body::finish(body, site.limits(), answer).await
}

fn metrics(jobs: Option<u64>) -> Response {
    let mut answer = Response::new(Body::from(counters::text(jobs)));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
