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
use super::admission::Admitted;
use super::admission::admit;
use super::admission::connection;
use super::admission::with_token;
use super::bare;
use super::body;
use super::not_allowed;
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
    let answer = match admit(&site, connection, &parts.headers).await {
        Ok(Admitted::Caller(caller, token)) => {
            // There is no resource: the holder of a certificate is who he is
            // by a mapping for all of them.
            let principal = caller.principal_at(String::new);
            let is_administrator = principal.is_some_and(Principal::is_administrator);
            // What no client asks for sealed does not go out unsealed.
            let answer = if is_administrator && !site.must_seal(connection) {
                metrics(jobs())
            } else {
                bare(StatusCode::FORBIDDEN)
            };
            with_token(answer, token.as_deref())
        }
        Ok(Admitted::Forbidden(token)) => with_token(bare(StatusCode::FORBIDDEN), token.as_deref()),
        Err(answer) => *answer,
    };
    body::finish(body, site.limits(), answer).await
}

fn metrics(jobs: Option<u64>) -> Response {
    let mut answer = Response::new(Body::from(counters::text(jobs)));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
