//! Routes: where an envelope comes in and goes out.
//!
//! The body of a request is always read, within a limit and a deadline, before
//! it is answered, a 401 included: with an unread body the connection closes,
//! and the next leg of a log-on is lost with it. Before log-on bodies are read
//! and thrown away. What an envelope says, and every fault, is left to `wsman`.
//!
//! A sealed body is opened with the keys of the connection's log-on, and what
//! answers it is sealed, faults included. Over HTTP an unsealed one is refused,
//! unless the settings allow it; but for the Identify without log-on.
//!
//! `POST /wsman` (with or without slash, whatever the query) and `POST
//! /wsman-anon/identify`; `GET /health` for load balancers, `GET /metrics` for
//! administrators. [MS-WSMV] 3.1.5.2, 3.1.4.1.20. `BITS_POST` below the upload
//! folders of the settings, and GET of the replies to uploads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;
use axum::routing::any;

use crate::auth::Caller;
use crate::auth::Channel;
use crate::auth::Door;
use crate::config::Current;
use crate::hosting::Uploads;
use crate::net::Connection;
use crate::wsman::Answer;
use crate::wsman::Encoding;
use crate::wsman::Endpoint;

mod admission;
mod body;
mod byte_range;
mod charset;
mod metrics;
mod sealing;
mod uploads;
mod wsman;

/// The routes, for the listeners of [`crate::net::bind`]. `jobs` counts the jobs,
/// nothing if none can be kept: it is asked for each `/health` and `/metrics`,
/// and must not block.
pub(crate) fn router(
    endpoint: Arc<Endpoint>,
    door: Arc<Door>,
    settings: &Arc<Current>,
    uploads: Uploads,
    jobs: impl Fn() -> Option<u64> + Send + Sync + 'static,
) -> Router {
    let site = Arc::new(Site {
        endpoint: Arc::clone(&endpoint),
        door: Arc::clone(&door),
        settings: Arc::clone(settings),
    });
    routes(endpoint, door, settings, jobs)
        .fallback(move |request| uploads::answer(Arc::clone(&site), uploads.clone(), request))
}

/// The text of a body without `Content-Type`, for the fuzz targets.
#[cfg(fuzzing)]
pub(crate) fn decoded(body: &[u8]) -> Option<(String, Encoding)> {
    let message = charset::decode(None, body).ok()?;
    Some((message.text.into_owned(), message.encoding))
}

/// What stands behind `/wsman`: the endpoint, or what a test puts in its
/// place.
trait Answering: Send + Sync + 'static {
    /// See [`Endpoint::answer_caller`].
    fn answer(
        &self,
        by: &Caller,
        envelope: &str,
        encoding: Encoding,
    ) -> impl Future<Output = Answer> + Send;

    /// See [`Endpoint::answer_anonymous`].
    fn answer_anonymous(&self, envelope: &str) -> Option<Answer>;

    /// See [`Endpoint::denied`].
    fn denied(&self, envelope: &str) -> Answer;

    /// See [`Endpoint::unsealed`].
    fn unsealed(&self, envelope: &str) -> Answer;

    /// See [`Endpoint::undecodable`].
    fn undecodable(&self) -> Answer;
}

impl Answering for Endpoint {
    fn answer(
        &self,
        by: &Caller,
        envelope: &str,
        encoding: Encoding,
    ) -> impl Future<Output = Answer> + Send {
        self.answer_caller(by, envelope, encoding)
    }

    fn answer_anonymous(&self, envelope: &str) -> Option<Answer> {
        Self::answer_anonymous(self, envelope)
    }

    fn denied(&self, envelope: &str) -> Answer {
        Self::denied(self, envelope)
    }

    fn unsealed(&self, envelope: &str) -> Answer {
        Self::unsealed(self, envelope)
    }

    fn undecodable(&self) -> Answer {
        Self::undecodable(self)
    }
}

/// What the routes share.
struct Site<E> {
    endpoint: Arc<E>,
    door: Arc<Door>,
    settings: Arc<Current>,
}

impl<E> Site<E> {
    fn limits(&self) -> Limits {
        Limits::of(&self.settings)
    }

    /// Holds when what goes over `connection` must be sealed: nothing else
    /// protects it, and the settings do not allow that.
    fn must_seal(&self, connection: &Connection) -> bool {
        match connection.auth.peer().channel {
            Channel::Tls(_) => false,
            Channel::Plain => !self.settings.get().access.allow_unencrypted,
        }
    }
}

/// How much of a request is read, and for how long.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Octets of a body.
    envelope: usize,
    /// Until the body is there, after log-on.
    request: Duration,
    /// The same before log-on.
    logon: Duration,
}

impl Limits {
    fn of(settings: &Current) -> Self {
        let wsman = &settings.get().wsman;
        Self {
            envelope: usize::try_from(u64::from(wsman.max_envelope_size_kb) * 1_024)
                .unwrap_or(usize::MAX),
            request: Duration::from_secs(wsman.max_packet_retrieval_time_s),
            logon: Duration::from_secs(wsman.logon_timeout_s),
        }
    }

    /// Those of a body in which an envelope is sealed.
    fn sealed(self) -> Self {
        let pieces = self.envelope / PIECE + 1;
        let framing = FRAMING.saturating_mul(pieces);
        Self {
            envelope: self.envelope.saturating_add(framing),
            ..self
        }
    }
}

fn routes<E: Answering>(
    endpoint: Arc<E>,
    door: Arc<Door>,
    settings: &Arc<Current>,
    jobs: impl Fn() -> Option<u64> + Send + Sync + 'static,
) -> Router {
    let site = Arc::new(Site {
        endpoint,
        door,
        settings: Arc::clone(settings),
    });
    let jobs = Arc::new(jobs);
    let with_logon = {
        let site = Arc::clone(&site);
        any(move |request| wsman::answer(Arc::clone(&site), request))
    };
    let metrics = {
        let (site, jobs) = (Arc::clone(&site), Arc::clone(&jobs));
        any(move |request| metrics::answer(Arc::clone(&site), Arc::clone(&jobs), request))
    };
    let anonymous = any(move |request| wsman::identify(Arc::clone(&site), request));
    let others = Arc::clone(settings);
    let settings = Arc::clone(settings);
    let health = any(move |request| {
        let limits = Limits::of(&settings);
        health(Arc::clone(&jobs), limits, request)
    });
    Router::new()
        .route("/wsman", with_logon.clone())
        .route("/wsman/", with_logon)
        .route("/wsman-anon/identify", anonymous)
        .route("/health", health)
        .route("/metrics", metrics)
        .fallback(move |request: Request| {
            let limits = Limits::of(&others);
            async move {
                body::finish(request.into_body(), limits, bare(StatusCode::NOT_FOUND)).await
            }
        })
}

/// Says whether the service can do its work; to anybody, so it says no more.
async fn health<F: Fn() -> Option<u64>>(
    jobs: Arc<F>,
    limits: Limits,
    request: Request,
) -> Response {
    let answer = match *request.method() {
        Method::GET | Method::HEAD if jobs().is_some() => text(StatusCode::OK, "ok\n"),
        Method::GET | Method::HEAD => text(StatusCode::SERVICE_UNAVAILABLE, "store unavailable\n"),
        _ => not_allowed("GET, HEAD"),
    };
    body::finish(request.into_body(), limits, answer).await
}

/// An answer without a body.
fn bare(status: StatusCode) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

fn not_allowed(methods: &'static str) -> Response {
    let mut answer = bare(StatusCode::METHOD_NOT_ALLOWED);
    answer
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(methods));
    answer
}

/// Octets of a piece, where envelopes are sealed in pieces.
const PIECE: usize = 16 * 1_024;

/// Octets around a piece: two delimiters, three headers, a signature; some
/// three hundred.
const FRAMING: usize = 512;

#[cfg(test)]
mod tests;
