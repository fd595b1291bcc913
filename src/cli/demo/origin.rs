//! A small HTTP server of generated files, with what a resumed download needs:
//! lengths, validators, ranges.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::body::Bytes;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::body::SizeHint;
use hyper::header;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::content::Content;

/// The files, by the path of their URL.
#[derive(Debug)]
pub(super) struct Origin {
    files: Vec<(String, Content)>,
}

impl Origin {
    /// An origin of files with these names and sizes.
    pub(super) fn new(files: &[(&str, u64)]) -> Self {
        let file = |(seed, (name, octets)): (u64, &(&str, u64))| {
            // Far enough apart that no file is a part of another.
            let seed = seed << 48;
            let octets = *octets;
            (format!("/{name}"), Content { seed, octets })
        };
        Self {
            files: (1..).zip(files).map(file).collect(),
        }
    }

    /// What the files hold, in order.
    pub(super) fn contents(&self) -> impl Iterator<Item = Content> {
        self.files.iter().map(|(_, content)| *content)
    }

    /// Serves until the listener fails, or the future is dropped.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((socket, _)) = listener.accept().await {
            let origin = Arc::clone(&self);
            let service = service_fn(move |request: Request<Incoming>| {
                let answer =
                    origin.answer(request.method(), request.uri().path(), request.headers());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A connection that breaks is the client's to notice.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    }

    /// Answers a request (RFC 9110, 13 and 14).
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Part> {
        let found = self.files.iter().find(|(name, _)| name == path);
        let Some((_, content)) = found else {
            return empty(StatusCode::NOT_FOUND);
        };
        if method != Method::GET && method != Method::HEAD {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        let etag = format!("\"{:x}-{:x}\"", content.seed, content.octets);
        let asked = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
        let unchanged = headers
            .get(header::IF_RANGE)
            .is_none_or(|v| v == etag.as_str() || v == LAST_MODIFIED);
        let range = asked
            .filter(|_| unchanged && method == Method::GET)
            .map_or(Range::Whole, |text| Range::read(text, content.octets));
        let (status, from, to) = match range {
            Range::Whole => (StatusCode::OK, 0, content.octets),
            Range::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
            Range::Unsatisfiable => {
                let mut answer = empty(StatusCode::RANGE_NOT_SATISFIABLE);
                set(
                    &mut answer,
                    header::CONTENT_RANGE,
                    &format!("bytes */{}", content.octets),
                );
                return answer;
            }
        };
        let mut answer = Response::new(Part {
            content: *content,
            next: from,
            end: if method == Method::HEAD { from } else { to },
        });
        *answer.status_mut() = status;
        set(
            &mut answer,
            header::CONTENT_LENGTH,
            &(to - from).to_string(),
        );
        set(
            &mut answer,
            header::CONTENT_TYPE,
            "application/octet-stream",
        );
        set(&mut answer, header::ACCEPT_RANGES, "bytes");
        set(&mut answer, header::ETAG, &etag);
        set(&mut answer, header::LAST_MODIFIED, LAST_MODIFIED);
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {from}-{}/{}", to - 1, content.octets);
            set(&mut answer, header::CONTENT_RANGE, &range);
        }
        answer
    }
}

fn set(answer: &mut Response<Part>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn empty(status: StatusCode) -> Response<Part> {
    let mut answer = Response::new(Part {
        content: Content { seed: 0, octets: 0 },
        next: 0,
        end: 0,
    });
    *answer.status_mut() = status;
    answer
}

/// What a `Range` header asks for; the end lies behind the last octet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Range {
    Whole,
    Part(u64, u64),
    Unsatisfiable,
}

impl Range {
    /// Reads the header. Several ranges, and what is no range of octets, are
    /// passed over, as RFC 9110, 14.2 allows.
    fn read(text: &str, octets: u64) -> Self {
        let Some((first, last)) = text
            .strip_prefix("bytes=")
            .and_then(|set| set.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        let (from, to) = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(from), Ok(last)) if from <= last => (from, octets.min(last.saturating_add(1))),
            (Ok(from), Err(_)) if last.is_empty() => (from, octets),
            (Err(_), Ok(count)) if first.is_empty() => (octets.saturating_sub(count), octets),
            _ => return Self::Whole,
        };
        if from >= to {
            return Self::Unsatisfiable;
        }
        Self::Part(from, to)
    }
}

/// A part of a file on its way.
#[derive(Debug)]
struct Part {
    content: Content,
    next: u64,
    end: u64,
}

impl Body for Part {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = usize::try_from(self.end.saturating_sub(self.next)).unwrap_or(usize::MAX);
        if left == 0 {
            return Poll::Ready(None);
        }
        let octets = self.content.read(self.next, left.min(FRAME));
        self.next += octets.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(octets)))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.next))
    }
}

/// Octets that are made at a time.
const FRAME: usize = 256 * 1_024;

/// The files do not change.
const LAST_MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, range) in [
            ("bytes=0-0", Range::Part(0, 1)),
            ("bytes=5-", Range::Part(5, 10)),
            ("bytes=5-100", Range::Part(5, 10)),
            ("bytes=-3", Range::Part(7, 10)),
            ("bytes=-30", Range::Part(0, 10)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=5-4", Range::Whole),
            ("bytes=1-2,4-5", Range::Whole),
            ("lines=1-2", Range::Whole),
        ] {
            assert_eq!(Range::read(text, 10), range, "{text}");
        }
    }

    #[tokio::test]
    async fn a_part_comes_over_a_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let origin = Arc::new(Origin::new(&[("a", 1_000_000)]));
        let content = origin.contents().next().expect("a file");
        tokio::spawn(origin.serve(listener));
        let mut socket = tokio::net::TcpStream::connect(address)
            .await
            .expect("connected");
        let request = b"GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=5-\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await.expect("sent");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("read");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 206 "), "{}", &text[..50]);
        assert!(text.contains("content-length: 999995\r\n"));
        assert!(answer.ends_with(&content.read(5, usize::MAX)));
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let origin = Origin::new(&[("a", 10)]);
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=4-"));
        let part = origin.answer(&Method::GET, "/a", &headers);
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.headers()[header::CONTENT_RANGE], "bytes 4-9/10");
        let etag = part.headers()[header::ETAG].clone();
        headers.insert(header::IF_RANGE, etag);
        let part = origin.answer(&Method::GET, "/a", &headers);
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"x\""));
        let whole = origin.answer(&Method::GET, "/a", &headers);
        assert_eq!(whole.status(), StatusCode::OK);
        assert_eq!(whole.headers()[header::CONTENT_LENGTH], "10");
        let none = origin.answer(&Method::GET, "/b", &headers);
        assert_eq!(none.status(), StatusCode::NOT_FOUND);
    }
}
