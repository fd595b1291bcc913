//! Tells the application behind an upload folder of an upload ("Notification
//! Protocol for BITS Server Applications").
//!
//! The address is the administrator's: the fences of transfers, which are for
//! what clients name, do not apply to it. HTTP only, without redirects, proxies
//! and log-on, as with Windows.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::debug;
use tracing::warn;
use url::Url;

use super::pieces::FilePieces;
use super::refused::Refused;
use crate::bits::Hresult;
use crate::bits::JobId;

/// What the application is told.
#[derive(Debug)]
pub(super) struct Notice {
    /// Where.
    pub(super) url: Url,
    /// The upload's own, which the application may tell repeats by.
    pub(super) session: JobId,
    /// The URL of the upload.
    pub(super) original_url: String,
    /// The query of that URL.
    pub(super) query: Option<String>,
    /// The file.
    pub(super) by: By,
}

/// How the application gets the file.
#[derive(Debug)]
pub(super) enum By {
    /// By where it is, and where the reply may be put.
    Reference {
        /// The file.
        data: PathBuf,
        /// The reply.
        reply: PathBuf,
    },
    /// As the body; the body of the answer is the reply.
    Value {
        /// The file.
        data: fs::File,
        /// The reply.
        reply: fs::File,
    },
}

/// What the application said.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Heard {
    /// `BITS-Static-Response-URL`: the reply is there.
    pub(super) elsewhere: Option<String>,
    /// `BITS-Copy-File-To-Destination`: the file is wanted at its destination.
    pub(super) wants_file: bool,
}

/// Tells the application.
///
/// # Errors
///
/// [`Refused`]: the application's own status, or why there is none.
pub(super) async fn tell(notice: Notice) -> Result<Heard, Refused> {
    let session = notice.session;
    let octets = match &notice.by {
        By::Reference { .. } => 0,
        By::Value { data, .. } => data.metadata().map_or(0, |data| data.len()),
    };
    let patience = ANSWER_WITHIN + Duration::from_secs(octets / SENT_PER_S);
    let told = match timeout(patience, exchange(notice, octets)).await {
        Ok(told) => told,
        Err(_) => Err(Wrong::Late),
    };
    told.map_err(|wrong| {
        warn!(%session, error = %wrong, "Application behind an upload folder not told");
        wrong.into()
    })
}

async fn exchange(notice: Notice, octets: u64) -> Result<Heard, Wrong> {
    let host = notice.url.host_str().unwrap_or_default();
    let port = notice.url.port_or_known_default().unwrap_or(80);
    let host = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(Wrong::Connection)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // INVARIANT: it is polled beside the exchange and ends with it.
    let conversation = async {
        let head = head(&notice)?;
        let (body, reply) = match notice.by {
            By::Reference { .. } => (FilePieces::none(), None),
            By::Value { data, reply } => (FilePieces::new(data, 0, octets), Some(reply)),
        };
        let answer = sender
            .send_request(head.body(body).map_err(|_| Wrong::Head)?)
            .await?;
        heard(answer, reply).await
    };
    tokio::pin!(conversation);
    tokio::select! {
        biased;
        heard = &mut conversation => return heard,
        _ = connection => {}
    }
    // The connection has ended; what it brought is still to be read.
    conversation.await
}

/// The request without its body.
fn head(notice: &Notice) -> Result<hyper::http::request::Builder, Wrong> {
    let url = &notice.url;
    let mut target = url.path().to_owned();
    for query in [url.query(), notice.query.as_deref()].into_iter().flatten() {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(query);
    }
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, AGENT)
        .header(ORIGINAL_URL, notice.original_url.as_str())
        .header(SESSION, notice.session.to_string());
    if let By::Reference { data, reply } = &notice.by {
        request = request.header(header::CONTENT_LENGTH, "0");
        for (path, names) in [(data, REQUEST_FILE), (reply, RESPONSE_FILE)] {
            let value = HeaderValue::from_bytes(path.as_os_str().as_bytes());
            let value = value.map_err(|_| Wrong::Head)?;
            for name in names {
                request = request.header(name, value.clone());
            }
        }
    }
    Ok(request)
}

/// What the answer says; its body goes into the reply.
async fn heard(answer: Response<Incoming>, reply: Option<fs::File>) -> Result<Heard, Wrong> {
    let (parts, mut body) = answer.into_parts();
    if parts.status != StatusCode::OK {
        return Err(Wrong::Status(parts.status));
    }
    let heard = read(&parts.headers)?;
    let Some(mut reply) = reply.filter(|_| heard.elsewhere.is_none()) else {
        return Ok(heard);
    };
    while let Some(frame) = body.frame().await {
        if let Ok(octets) = frame?.into_data() {
            let written = spawn_blocking(move || {
                reply.write_all(&octets)?;
                Ok(reply)
            });
            reply = written
                .await
                .map_err(io::Error::other)
                .flatten()
                .map_err(Wrong::Reply)?;
        }
    }
    let synced = spawn_blocking(move || reply.sync_data()).await;
    synced
        .map_err(io::Error::other)
        .flatten()
        .map_err(Wrong::Reply)?;
    Ok(heard)
}

fn read(headers: &HeaderMap) -> Result<Heard, Wrong> {
    let elsewhere = match headers.get(STATIC_URL) {
        None => None,
        Some(value) => {
            let url = value.to_str().ok().map(str::trim);
            let url = url.filter(|url| url.len() <= MAX_REPLY_URL && Url::parse(url).is_ok());
            Some(url.ok_or(Wrong::StaticUrl)?.to_owned())
        }
    };
    debug!(
        elsewhere = elsewhere.is_some(),
        "Application behind an upload folder told"
    );
    Ok(Heard {
        elsewhere,
        wants_file: headers.contains_key(COPY_FILE),
    })
}

/// Why the application was not told.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("cannot connect: {0}")]
    Connection(#[source] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be written")]
    Head,
    #[error("HTTP status {0}")]
    Status(StatusCode),
    #[error("BITS-Static-Response-URL is no URL of at most 2,200 characters")]
    StaticUrl,
    #[error("the reply cannot be kept: {0}")]
    Reply(#[source] io::Error),
    #[error("no answer in time")]
    Late,
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Connection(_) => {
                Self::application(StatusCode::BAD_GATEWAY, Hresult::WININET_E_CANNOT_CONNECT)
            }
            Wrong::Http(_) => Self::application(
                StatusCode::BAD_GATEWAY,
                Hresult::WININET_E_CONNECTION_ABORTED,
            ),
            Wrong::Head => Self::BROKEN,
            // A status that is no error says no less that it was not done.
            Wrong::Status(status) if status.is_client_error() || status.is_server_error() => {
                Self::application(status, Hresult::from_http_status(status.as_u16()))
            }
            Wrong::Status(_) => Self::application(
                StatusCode::BAD_GATEWAY,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
            ),
            Wrong::StaticUrl => Self::application(StatusCode::BAD_REQUEST, Hresult::E_INVALIDARG),
            Wrong::Reply(error) => Self::from(&crate::transfer::Failure::from_local_error(
                "keeping", &error,
            )),
            Wrong::Late => {
                Self::application(StatusCode::REQUEST_TIMEOUT, Hresult::WININET_E_TIMEOUT)
            }
        }
    }
}

const AGENT: &str = "BITSExts 1.5";
const ORIGINAL_URL: HeaderName = HeaderName::from_static("bits-original-request-url");
const SESSION: HeaderName = HeaderName::from_static("bits-session-id");
/// As Windows sends it and the Win32 pages have it, and as [MC-BUP] has it.
const REQUEST_FILE: [HeaderName; 2] = [
    HeaderName::from_static("bits-request-datafile-name"),
    HeaderName::from_static("bits-request-dataentity-name"),
];
const RESPONSE_FILE: [HeaderName; 2] = [
    HeaderName::from_static("bits-response-datafile-name"),
    HeaderName::from_static("bits-response-dataentity-name"),
];
const STATIC_URL: HeaderName = HeaderName::from_static("bits-static-response-url");
const COPY_FILE: HeaderName = HeaderName::from_static("bits-copy-file-to-destination");

/// Characters of `BITS-Reply-URL`.
const MAX_REPLY_URL: usize = 2_200;

/// The application's time for an answer.
const ANSWER_WITHIN: Duration = Duration::from_mins(5);

/// Octets a second, at the least, by which a file goes to it.
const SENT_PER_S: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(url: &str, query: Option<&str>) -> Notice {
        Notice {
            url: Url::parse(url).expect("a URL"),
            session: JobId::new(),
            original_url: "https://host/upload/x?a=b".to_owned(),
            query: query.map(str::to_owned),
            by: By::Reference {
                data: PathBuf::from("/in/data"),
                reply: PathBuf::from("/in/reply"),
            },
        }
    }

    #[test]
    fn the_query_of_the_upload_is_added() {
        for (url, query, wanted) in [
            ("http://h/done", None, "/done"),
            ("http://h/done", Some("a=b"), "/done?a=b"),
            ("http://h/done?x=y", Some("a=b"), "/done?x=y&a=b"),
            ("http://h", Some("a"), "/?a"),
        ] {
            let request = head(&notice(url, query)).expect("a head").body(());
            assert_eq!(*request.expect("a request").uri(), *wanted);
        }
    }

    #[test]
    fn files_are_named_by_both_spellings() {
        let head = head(&notice("http://[::1]:81/done", None)).expect("a head");
        let request = head.body(()).expect("a request");
        let value = |name: &str| request.headers()[name].to_str().expect("text");
        assert_eq!(value("host"), "[::1]:81");
        assert_eq!(value("bits-request-datafile-name"), "/in/data");
        assert_eq!(value("bits-request-dataentity-name"), "/in/data");
        assert_eq!(value("bits-response-datafile-name"), "/in/reply");
        assert_eq!(value("bits-response-dataentity-name"), "/in/reply");
        assert_eq!(value("user-agent"), "BITSExts 1.5");
    }

    #[test]
    fn a_reply_elsewhere_must_be_a_url_that_fits() {
        let with = |url: &str| {
            let value = HeaderValue::from_str(url).expect("a value");
            read(&HeaderMap::from_iter([(STATIC_URL, value)]))
        };
        assert!(with("http://h/reply").is_ok());
        assert!(with("reply").is_err());
        let long = format!("http://h/{}", "a".repeat(2_200));
        let refused = with(&long).map_err(Refused::from);
        assert_eq!(refused.expect_err("too long").status, 400);
    }
}
