//! `BITS_POST` below each upload folder, and GET of replies: log-on, the packet,
//! and what `hosting` says to it.
//!
//! A log-on is asked for as on `/wsman`, but where a folder is for anybody; one
//! that is sent is judged there too. The body of whoever has not logged on is
//! read and thrown away if it is small, so that the next leg comes over the same
//! connection; a large one closes it. What somebody sends who has logged on goes
//! to disk as it comes.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::body::Bytes;
use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::Answering;
use super::Limits;
use super::Site;
use super::admission::Admitted;
use super::admission::admit;
use super::admission::authorization;
use super::admission::connection;
use super::admission::with_token;
use super::bare;
use super::byte_range::Portion;
use super::byte_range::Version;
use super::not_allowed;
use crate::auth::Channel;
use crate::auth::Principal;
use crate::hosting::Afterwards;
use crate::hosting::Asked;
use crate::hosting::FilePieces;
use crate::hosting::Folder;
use crate::hosting::NoTarget;
use crate::hosting::Owner;
use crate::hosting::Refused;
use crate::hosting::Target;
use crate::hosting::Uploader;
use crate::hosting::Uploads;
use crate::net::Connection;
use crate::transfer::upload_packet::METHOD;
use crate::transfer::upload_packet::Packet;

/// Answers a request that is for no other route.
pub(super) async fn answer<E: Answering>(
    site: Arc<Site<E>>,
    uploads: Uploads,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let limits = site.limits();
    let is_packet = parts.method.as_str() == METHOD;
    let Some((folder, rest)) = uploads.folder(parts.uri.path()) else {
        let answer = if is_packet {
            refusal(Refused::NOT_ENABLED)
        } else {
            bare(StatusCode::NOT_FOUND)
        };
        return finish(body, limits, answer).await;
    };
    if !is_packet && !matches!(parts.method, Method::GET | Method::HEAD) {
        return finish(body, limits, not_allowed("BITS_POST, GET, HEAD")).await;
    }
    let Some(connection) = connection(&parts) else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR);
    };
    // Before a log-on: a password is not asked for where all can read it.
    if connection.auth.peer().channel == Channel::Plain && !uploads.allows_unencrypted() {
        return finish(body, limits, refusal(Refused::DENIED)).await;
    }
    let (by, token) = match who(&site, connection, &parts.headers, folder).await {
        Ok(admitted) => admitted,
        Err(answer) => return finish(body, limits, *answer).await,
    };
    let request = Entry {
        uploads: &uploads,
        folder,
        by,
        target: Target::parse(rest),
    };
    let answer = if is_packet {
        request.packet(&parts, connection, limits, body).await
    } else {
        let answer = request.reply(&parts.method, &parts.headers).await;
        finish(body, limits, answer).await
    };
    with_token(answer, token.as_deref())
}

/// A request of somebody who may upload.
struct Entry<'a> {
    uploads: &'a Uploads,
    folder: &'a Arc<Folder>,
    by: Uploader,
    target: Result<Target, NoTarget>,
}

impl Entry<'_> {
    async fn packet(
        self,
        parts: &Parts,
        connection: &Connection,
        limits: Limits,
        body: Body,
    ) -> Response {
        let Ok(Target::File(target)) = self.target else {
            return finish(body, limits, refusal(Refused::INVALID)).await;
        };
        let packet = match Packet::read(&parts.headers) {
            Ok(packet) => packet,
            Err(why) => return finish(body, limits, refusal(why.into())).await,
        };
        if is_encoded(&parts.headers) {
            return finish(body, limits, refusal(Refused::INVALID)).await;
        }
        let asked = Asked {
            folder: Arc::clone(self.folder),
            by: self.by,
            target,
            original_url: original_url(parts, connection),
            query: parts.uri.query().map(str::to_owned),
            stall: limits.request,
        };
        let said = self.uploads.answer(asked, packet, body).await;
        let mut answer = bare(said.status);
        answer.headers_mut().extend(said.ack.write());
        if said.connection == Afterwards::Close {
            close(&mut answer);
        }
        answer
    }

    /// The reply to an upload, or the part of it that is asked for.
    async fn reply(self, method: &Method, headers: &HeaderMap) -> Response {
        let Ok(Target::Reply(id)) = self.target else {
            return bare(StatusCode::NOT_FOUND);
        };
        let Some(reply) = self.uploads.reply(self.folder, &self.by, id).await else {
            return bare(StatusCode::NOT_FOUND);
        };
        // What an application behind has set may lie where no date of HTTP does.
        let modified_at = date_of_http(reply.modified_at);
        let since = modified_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let octets = reply.octets;
        let tag = format!("\"{id}-{octets:x}-{:x}\"", since.as_nanos());
        let version = Version {
            octets,
            tag: &tag,
            modified_at,
        };
        let (status, first, length) = match Portion::of(headers, version) {
            Portion::All => (StatusCode::OK, 0, octets),
            Portion::Part { first, octets } => (StatusCode::PARTIAL_CONTENT, first, octets),
            Portion::Changed => return bare(StatusCode::PRECONDITION_FAILED),
            Portion::None => {
                let mut answer = bare(StatusCode::RANGE_NOT_SATISFIABLE);
                put(
                    &mut answer,
                    header::CONTENT_RANGE,
                    format!("bytes */{octets}"),
                );
                return answer;
            }
        };
        let body = if *method == Method::HEAD {
            Body::empty()
        } else {
            Body::new(FilePieces::new(reply.file, first, length))
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {first}-{}/{octets}", first + length - 1);
            put(&mut answer, header::CONTENT_RANGE, range);
        }
        let date = httpdate::fmt_http_date(modified_at);
        put(&mut answer, header::ETAG, tag);
        put(&mut answer, header::LAST_MODIFIED, date);
        put(&mut answer, header::CONTENT_LENGTH, length.to_string());
        for (name, value) in [
            (header::ACCEPT_RANGES, "bytes"),
            (header::CONTENT_TYPE, "application/octet-stream"),
            // It is its owner's, and no page.
            (header::CACHE_CONTROL, "private, no-transform"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            answer
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

/// Who uploads, with the last token of his log-on; or the answer to whoever may
/// not.
async fn who<E: Answering>(
    site: &Site<E>,
    connection: &Connection,
    headers: &HeaderMap,
    folder: &Folder,
) -> Result<(Uploader, Option<String>), Box<Response>> {
    let needs_none = folder.is_for_anybody() && authorization(headers).is_none();
    match admit(site, connection, headers).await {
        Ok(Admitted::Caller(caller, token)) => {
            // There is no resource, as with the figures of the service.
            let by = match caller.principal_at(String::new) {
                Some(principal) => account(principal),
                None => Uploader::Anonymous,
            };
            if folder.admits(&by) {
                return Ok((by, token));
            }
            Err(Box::new(denied(token.as_deref())))
        }
        Ok(Admitted::Forbidden(_)) if needs_none => Ok((Uploader::Anonymous, None)),
        Ok(Admitted::Forbidden(token)) => Err(Box::new(denied(token.as_deref()))),
        Err(answer) if needs_none && answer.status() == StatusCode::UNAUTHORIZED => {
            Ok((Uploader::Anonymous, None))
        }
        Err(answer) => Err(answer),
    }
}

fn denied(token: Option<&str>) -> Response {
    with_token(refusal(Refused::DENIED), token)
}

/// The account of somebody who has logged on.
fn account(principal: &Principal) -> Uploader {
    Uploader::Account(Owner::new(principal.name()))
}

/// The answer that refuses a packet.
fn refusal(refused: Refused) -> Response {
    let mut answer = bare(refused.status);
    answer.headers_mut().extend(refused.ack().write());
    answer
}

/// Gives `answer` once a small body is read and thrown away. A large one closes
/// the connection: not with a 413, which would have the client send smaller
/// fragments.
async fn finish(mut body: Body, limits: Limits, mut answer: Response) -> Response {
    if body.is_end_stream() {
        return answer;
    }
    if body.size_hint().lower() > MAX_THROWN_AWAY {
        close(&mut answer);
        // What is under way already: a client reads the answer only if it can
        // send for a moment longer.
        tokio::spawn(async move { throw_away(&mut body, MAX_LINGER, LINGER).await });
        return answer;
    }
    if !throw_away(&mut body, MAX_THROWN_AWAY, limits.logon).await {
        close(&mut answer);
    }
    answer
}

/// Reads a body to its end; says whether it came to one.
async fn throw_away(body: &mut Body, most: u64, time: Duration) -> bool {
    let reading = async {
        let mut octets = 0;
        while octets <= most {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    octets += u64::try_from(length).unwrap_or(u64::MAX);
                }
            }
        }
        false
    };
    timeout(time, reading).await.unwrap_or(false)
}

/// Fragments come as they are: nothing else was said to be accepted.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The URL of a request, as the application behind is told it.
fn original_url(parts: &Parts, connection: &Connection) -> String {
    let scheme = match connection.auth.peer().channel {
        Channel::Plain => "http",
        Channel::Tls(_) => "https",
    };
    let host = parts.headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let host = host.or(parts.uri.authority().map(Authority::as_str));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    format!("{scheme}://{}{path}", host.unwrap_or_default())
}

/// The date nearest to `at` that HTTP can write (RFC 9110 5.6.7): `httpdate` does
/// not take others.
fn date_of_http(at: SystemTime) -> SystemTime {
    at.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST_DATE)
}

fn put(answer: &mut Response, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn close(answer: &mut Response) {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
}

/// Octets of a body that are read of whoever may not upload.
const MAX_THROWN_AWAY: u64 = 1_024 * 1_024;

/// The same of a larger body, after the answer.
const MAX_LINGER: u64 = 16 * 1_024 * 1_024;
const LINGER: Duration = Duration::from_secs(5);

/// The last second of the year 9999.
const LAST_DATE: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_of_a_file_can_be_written() {
        for (at, written) in [
            (
                UNIX_EPOCH - Duration::from_secs(1),
                "Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            (
                UNIX_EPOCH + Duration::from_hours(24 * 365 * 10_000),
                "Fri, 31 Dec 9999 23:59:59 GMT",
            ),
        ] {
            assert_eq!(httpdate::fmt_http_date(date_of_http(at)), written);
        }
    }
}
