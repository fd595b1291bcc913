//! Reading bodies: all of them, but no more than a limit allows, and not for
//! ever.

use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::body::HttpBody as _;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::Limits;
use super::bare;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;

/// Why there is no body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoBody {
    /// It is larger than the limit.
    TooLarge(Rest),
    /// It did not arrive in time.
    Late,
    /// The client has gone, or sends what is no HTTP.
    Broken,
}

/// What is left of a body that is too large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    /// Nothing: the connection can go on.
    Read,
    /// More than we care to read: the connection must close.
    Unread,
}

/// What is done with the octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    Keep,
    Discard,
}

/// Reads a body of at most `limit` octets within `time`.
///
/// # Errors
///
/// [`NoBody`].
pub(super) async fn keep(body: Body, limit: usize, time: Duration) -> Result<Bytes, NoBody> {
    timeout(time, read(body, limit, Use::Keep))
        .await
        .unwrap_or(Err(NoBody::Late))
}

/// Reads a body as somebody may send it who has not logged on, throws it away,
/// and then gives `answer`; or an answer that says why it could not be read.
pub(super) async fn finish(body: Body, limits: Limits, answer: Response) -> Response {
    if body.is_end_stream() {
        return answer;
    }
    match timeout(limits.logon, read(body, limits.envelope, Use::Discard)).await {
        Ok(Ok(_)) => answer,
        Ok(Err(reason)) => refusal(reason, StatusCode::REQUEST_TIMEOUT),
        Err(_) => refusal(NoBody::Late, StatusCode::REQUEST_TIMEOUT),
    }
}

/// The answer to a body that could not be read; `late` is the status for one
/// that took too long.
pub(super) fn refusal(reason: NoBody, late: StatusCode) -> Response {
    let (status, closes) = match reason {
        NoBody::TooLarge(rest) => {
            Counter::Refused(Limit::RequestSize).bump();
            (StatusCode::PAYLOAD_TOO_LARGE, rest == Rest::Unread)
        }
        NoBody::Late => {
            Counter::Refused(Limit::PacketRetrievalTime).bump();
            (late, true)
        }
        NoBody::Broken => (StatusCode::BAD_REQUEST, true),
    };
    let mut answer = bare(status);
    if closes {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

async fn read(mut body: Body, limit: usize, what: Use) -> Result<Bytes, NoBody> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut length = 0_usize;
    let mut first = Bytes::new();
    let mut whole = Vec::new();
    let mut is_too_large = declared > limit;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| NoBody::Broken)?;
        let Ok(octets) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(octets.len());
        if length > limit {
            is_too_large = true;
            first = Bytes::new();
            whole = Vec::new();
        }
        if is_too_large {
            // So that the client, who may read only when he has sent all, sees
            // the answer.
            if length > limit.saturating_add(LINGER) {
                return Err(NoBody::TooLarge(Rest::Unread));
            }
            continue;
        }
        if what == Use::Discard {
            continue;
        }
        if first.is_empty() && whole.is_empty() {
            // Most envelopes arrive in one piece: it is not copied.
            first = octets;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(declared.max(length));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&octets);
    }
    if is_too_large {
        return Err(NoBody::TooLarge(Rest::Read));
    }
    if whole.is_empty() {
        return Ok(first);
    }
    Ok(Bytes::from(whole))
}

/// Octets that are read beyond the limit, before the connection is closed.
const LINGER: usize = 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::HttpBody;
    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;

    fn pieces(pieces: &'static [&'static str]) -> Body {
        struct Pieces(std::slice::Iter<'static, &'static str>);
        impl HttpBody for Pieces {
            type Data = Bytes;
            type Error = Infallible;

            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                let next = self
                    .0
                    .next()
                    .map(|text| Ok(Frame::data(Bytes::from(*text))));
                std::task::Poll::Ready(next)
            }
        }
        Body::new(Pieces(pieces.iter()))
    }

    async fn kept(body: Body, limit: usize) -> Result<Bytes, NoBody> {
        keep(body, limit, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn a_body_is_whole_in_any_number_of_pieces() {
        assert_eq!(kept(pieces(&[]), 3).await, Ok(Bytes::new()));
        assert_eq!(kept(pieces(&["abc"]), 3).await, Ok(Bytes::from("abc")));
        assert_eq!(
            kept(pieces(&["", "a", "b", "c"]), 3).await,
            Ok(Bytes::from("abc"))
        );
        let error = Err(NoBody::TooLarge(Rest::Read));
        assert_eq!(kept(pieces(&["a", "b", "c"]), 2).await, error);
        let body = Body::new(Full::from("abc"));
        assert_eq!(kept(body, 2).await, error);
    }

    #[tokio::test]
    async fn a_body_without_end_is_not_read_to_the_end() {
        let body = Body::from(vec![0; LINGER + 3]);
        assert_eq!(kept(body, 2).await, Err(NoBody::TooLarge(Rest::Unread)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_late() {
        struct Never;
        impl HttpBody for Never {
            type Data = Bytes;
            type Error = Infallible;

            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                std::task::Poll::Pending
            }
        }
        assert_eq!(kept(Body::new(Never), 2).await, Err(NoBody::Late));
    }
}
