//! The packets of the BITS upload protocol: the headers of `BITS_POST` requests
//! and of what acknowledges them ([MC-BUP] 2.2). Both are read and written.
//!
//! Where [MC-BUP] and the pages "BITS Request Packets" and "BITS Response
//! Packets" disagree, both forms are read, and what Windows sends is written: an
//! error goes out under both names, as either side may know only one. Pure.

use std::fmt;

use hyper::HeaderMap;
use hyper::header;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;

use crate::bits::ErrorContext;
use crate::bits::Hresult;

/// The method of every packet.
pub(crate) const METHOD: &str = "BITS_POST";

/// The one protocol that there is: "BITS 1.5 upload protocol".
pub(crate) const PROTOCOL: &str = "{7df0354d-249b-430f-820d-3d2a9bef4931}";

/// A packet of the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Packet {
    /// Begins an upload.
    CreateSession {
        /// The file's name without its path; servers of Windows ignore it.
        content_name: Option<String>,
    },
    /// Opens a connection, logs on.
    Ping,
    /// Brings octets: the only packet with a body.
    Fragment {
        /// Of which session.
        session: SessionId,
        /// Which octets.
        range: FragmentRange,
    },
    /// Ends an upload; what the server kept for it goes.
    CloseSession {
        /// Of which session.
        session: SessionId,
        /// As with [`Packet::CreateSession`].
        content_name: Option<String>,
    },
    /// Gives an upload up.
    CancelSession {
        /// Of which session.
        session: SessionId,
    },
}

/// `BITS-Session-Id`: 1 to 100 visible ASCII characters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct SessionId(String);

/// `Content-Range` of a fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FragmentRange {
    /// The first octet.
    pub(crate) first: u64,
    /// So many octets; 0 only of a file without octets.
    pub(crate) length: u64,
    /// Octets of the whole file; the same in all fragments.
    pub(crate) total: u64,
}

/// What the server says to a packet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ack {
    /// The protocol that it has chosen is ours; to Create-Session.
    pub(crate) has_chosen_protocol: bool,
    /// Of which session; servers of Windows say it only to Create-Session.
    pub(crate) session: Option<SessionId>,
    /// The host that has the session; to Create-Session.
    pub(crate) host: Option<HostId>,
    /// The next octet that the server expects; to Fragment.
    pub(crate) next_octet: Option<u64>,
    /// Where the answer to the upload is, as the server wrote it; to the last
    /// fragment.
    pub(crate) reply_url: Option<String>,
    /// Why the packet was refused.
    pub(crate) error: Option<AckError>,
}

/// `BITS-Host-Id`: the host that has the session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HostId {
    /// A name or an address, perhaps with a port.
    pub(crate) host: String,
    /// `BITS-Host-Id-Fallback-Timeout`: seconds after which a client that cannot
    /// reach it goes back to the host of the URL; none: never.
    pub(crate) fall_back_after_s: Option<u64>,
}

/// Why a packet was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AckError {
    /// `BITS-Error`, `BITS-Error-Code`.
    pub(crate) code: Hresult,
    /// `BITS-Error-Context`: the server ([`ErrorContext::RemoteFile`]) or the
    /// application behind it ([`ErrorContext::RemoteApplication`]).
    pub(crate) context: ErrorContext,
}

/// The headers are no packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A header has more than 4 KB.
    #[error("the header {0} is too long")]
    TooLong(&'static str),
    /// A header that must be there is not.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// A header says what it cannot say.
    #[error("the header {0} cannot be read")]
    Unreadable(&'static str),
    /// The client speaks other protocols only.
    #[error("no protocol is spoken by both sides")]
    NoProtocol,
}

impl Packet {
    /// Reads the headers of a request.
    ///
    /// # Errors
    ///
    /// [`Malformed`], which a server answers with 400 and `E_INVALIDARG`; a
    /// missing `Content-Length` with 411.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Malformed> {
        let kind = required(headers, &PACKET_TYPE)?;
        let length = required(headers, &CONTENT_LENGTH)?;
        let length = number(length).ok_or(CONTENT_LENGTH.unreadable())?;
        let content_name = || {
            let name = text(headers, &CONTENT_NAME)?;
            Ok(name.filter(|name| is_content_name(name)).map(str::to_owned))
        };
        let session = || {
            let id = required(headers, &SESSION_ID)?;
            SessionId::parse(id).ok_or(SESSION_ID.unreadable())
        };
        let packet = match kind.to_ascii_lowercase().as_str() {
            "create-session" => {
                check_protocols(required(headers, &SUPPORTED_PROTOCOLS)?)?;
                Self::CreateSession {
                    content_name: content_name()?,
                }
            }
            "ping" => Self::Ping,
            "fragment" => {
                let range = required(headers, &CONTENT_RANGE)?;
                let range = FragmentRange::parse(range).ok_or(CONTENT_RANGE.unreadable())?;
                let session = session()?;
                if range.length != length {
                    return Err(CONTENT_RANGE.unreadable());
                }
                return Ok(Self::Fragment { session, range });
            }
            "close-session" => Self::CloseSession {
                session: session()?,
                content_name: content_name()?,
            },
            "cancel-session" => Self::CancelSession {
                session: session()?,
            },
            _ => return Err(PACKET_TYPE.unreadable()),
        };
        // Only a fragment has a body.
        if length == 0 {
            Ok(packet)
        } else {
            Err(CONTENT_LENGTH.unreadable())
        }
    }

    /// The headers of the request, `Content-Length` excepted: that goes with the
    /// body.
    pub(crate) fn write(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        put(&mut headers, &PACKET_TYPE, self.name());
        match self {
            Self::CreateSession { content_name } => {
                put(&mut headers, &SUPPORTED_PROTOCOLS, PROTOCOL);
                put_name(&mut headers, content_name.as_deref());
            }
            Self::Ping => {}
            Self::Fragment { session, range } => {
                put(&mut headers, &SESSION_ID, &session.0);
                put(&mut headers, &CONTENT_RANGE, &range.to_string());
            }
            Self::CloseSession {
                session,
                content_name,
            } => {
                put(&mut headers, &SESSION_ID, &session.0);
                put_name(&mut headers, content_name.as_deref());
            }
            Self::CancelSession { session } => put(&mut headers, &SESSION_ID, &session.0),
        }
        headers
    }

    /// `BITS-Packet-Type`, in the case that Windows sends.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::CreateSession { .. } => "Create-Session",
            Self::Ping => "Ping",
            Self::Fragment { .. } => "Fragment",
            Self::CloseSession { .. } => "Close-Session",
            Self::CancelSession { .. } => "Cancel-Session",
        }
    }
}

impl SessionId {
    /// Reads the header; `None` when it is empty, too long or not visible ASCII.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=MAX_SESSION_ID).contains(&text.len())
            && text.bytes().all(|octet| octet.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The text of the header.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FragmentRange {
    /// Reads `bytes FIRST-LAST/TOTAL`; `None` when it is not well-formed. A file
    /// without octets is `bytes */0`: [MC-BUP] has no form for it, and RFC 9110
    /// 14.4 has no other.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        let total = number(total.trim())?;
        if range.trim() == "*" {
            let nothing = Self {
                first: 0,
                length: 0,
                total: 0,
            };
            return (total == 0).then_some(nothing);
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first.trim())?, number(last.trim())?);
        let fits = first <= last && last < total;
        fits.then(|| Self {
            first,
            length: last - first + 1,
            total,
        })
    }

    /// The octet after the last.
    pub(crate) const fn end(self) -> u64 {
        self.first + self.length
    }
}

impl fmt::Display for FragmentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            length,
            total,
        } = self;
        match length.checked_sub(1) {
            Some(more) => write!(f, "bytes {first}-{}/{total}", first + more),
            None => write!(f, "bytes */{total}"),
        }
    }
}

impl Ack {
    /// Reads the headers of an answer; `None` when it is no Ack. What is wrong
    /// with a header that the packet did not ask for does not matter: only who
    /// needs a value misses it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when a header is too long.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, Malformed> {
        let kind = text(headers, &PACKET_TYPE)?;
        let error = AckError::read(headers)?;
        let is_ack = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("ack"));
        // Proxies and old servers drop the type of a refusal.
        if !is_ack && error.is_none() {
            return Ok(None);
        }
        let protocol = text(headers, &PROTOCOL_HEADER)?;
        let fall_back_after_s = text(headers, &HOST_ID_FALLBACK_TIMEOUT)?.and_then(number);
        let host = text(headers, &HOST_ID)?.filter(|host| !host.is_empty());
        let reply_url = text(headers, &REPLY_URL)?.filter(|url| !url.is_empty());
        Ok(Some(Self {
            has_chosen_protocol: protocol.is_some_and(same_protocol),
            session: text(headers, &SESSION_ID)?.and_then(SessionId::parse),
            host: host.map(|host| HostId {
                host: host.to_owned(),
                fall_back_after_s,
            }),
            next_octet: text(headers, &RECEIVED_CONTENT_RANGE)?.and_then(number),
            reply_url: reply_url.map(str::to_owned),
            error,
        }))
    }

    /// The headers of the answer, `Content-Length` excepted.
    pub(crate) fn write(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        put(&mut headers, &PACKET_TYPE, "Ack");
        if self.has_chosen_protocol {
            put(&mut headers, &PROTOCOL_HEADER, PROTOCOL);
            let identity = HeaderValue::from_static("identity");
            headers.insert(header::ACCEPT_ENCODING, identity);
        }
        if let Some(session) = &self.session {
            put(&mut headers, &SESSION_ID, session.as_str());
        }
        if let Some(host) = &self.host {
            put(&mut headers, &HOST_ID, &host.host);
            if let Some(seconds) = host.fall_back_after_s {
                put(
                    &mut headers,
                    &HOST_ID_FALLBACK_TIMEOUT,
                    &seconds.to_string(),
                );
            }
        }
        if let Some(octet) = self.next_octet {
            put(&mut headers, &RECEIVED_CONTENT_RANGE, &octet.to_string());
        }
        if let Some(url) = &self.reply_url {
            put(&mut headers, &REPLY_URL, url);
        }
        if let Some(error) = &self.error {
            let code = format!("0x{:08X}", error.code.number());
            put(&mut headers, &ERROR, &code);
            put(&mut headers, &ERROR_CODE, &code);
            let context = format!("0x{:X}", error.context as u32);
            put(&mut headers, &ERROR_CONTEXT, &context);
        }
        headers
    }
}

impl AckError {
    /// A code of 0 is no error: servers of Windows send it with a 416.
    fn read(headers: &HeaderMap) -> Result<Option<Self>, Malformed> {
        let code = text(headers, &ERROR)?.or(text(headers, &ERROR_CODE)?);
        let context = text(headers, &ERROR_CONTEXT)?.and_then(hexadecimal);
        let code = code.and_then(hexadecimal).filter(|code| *code != 0);
        Ok(code.map(|code| Self {
            code: Hresult::from_number(code),
            context: match context {
                Some(7) => ErrorContext::RemoteApplication,
                Some(_) | None => ErrorContext::RemoteFile,
            },
        }))
    }
}

/// Makes a `Content-Name` of a file's name: what no name of Windows and no header
/// can have becomes `_`.
pub(crate) fn content_name(name: &str) -> String {
    let fits = |c: char| (c.is_ascii_graphic() || c == ' ') && !NOT_IN_NAMES.contains(c);
    name.chars()
        .take(MAX_CONTENT_NAME)
        .map(|c| if fits(c) { c } else { '_' })
        .collect()
}

fn is_content_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= MAX_CONTENT_NAME
        && !name.chars().any(|c| NOT_IN_NAMES.contains(c))
}

/// Is ours among the first of the client's protocols, which stand between blanks
/// or commas?
fn check_protocols(list: &str) -> Result<(), Malformed> {
    let is_between = |c: char| c == ',' || c.is_ascii_whitespace();
    let mut each = list.split(is_between).filter(|text| !text.is_empty());
    if each.by_ref().take(MAX_PROTOCOLS).any(same_protocol) {
        return Ok(());
    }
    Err(Malformed::NoProtocol)
}

fn same_protocol(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case(PROTOCOL)
}

/// A header by both its forms: as it is looked up, and as it is shown.
struct Name {
    header: HeaderName,
    shown: &'static str,
}

impl Name {
    const fn new(lower: &'static str, shown: &'static str) -> Self {
        Self {
            header: HeaderName::from_static(lower),
            shown,
        }
    }

    const fn unreadable(&self) -> Malformed {
        Malformed::Unreadable(self.shown)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &Name) -> Result<Option<&'a str>, Malformed> {
    let Some(value) = headers.get(&name.header) else {
        return Ok(None);
    };
    if value.len() > MAX_VALUE {
        return Err(Malformed::TooLong(name.shown));
    }
    Ok(value.to_str().ok().map(str::trim))
}

fn required<'a>(headers: &'a HeaderMap, name: &Name) -> Result<&'a str, Malformed> {
    if !headers.contains_key(&name.header) {
        return Err(Malformed::Missing(name.shown));
    }
    text(headers, name)?.ok_or(name.unreadable())
}

/// A value that no header can have is left out: it came from a file's name or a
/// setting, and the packet says enough without it.
fn put(headers: &mut HeaderMap, name: &Name, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name.header.clone(), value);
    }
}

fn put_name(headers: &mut HeaderMap, name: Option<&str>) {
    if let Some(name) = name {
        put(headers, &CONTENT_NAME, name);
    }
}

/// Digits only: `parse` would also take a sign.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// With `0x` before it or not.
fn hexadecimal(text: &str) -> Option<u32> {
    let bare = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let bare = bare.unwrap_or(text);
    let is_number = bare.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_number
        .then(|| u32::from_str_radix(bare, 16).ok())
        .flatten()
}

const PACKET_TYPE: Name = Name::new("bits-packet-type", "BITS-Packet-Type");
const SUPPORTED_PROTOCOLS: Name = Name::new("bits-supported-protocols", "BITS-Supported-Protocols");
const PROTOCOL_HEADER: Name = Name::new("bits-protocol", "BITS-Protocol");
const SESSION_ID: Name = Name::new("bits-session-id", "BITS-Session-Id");
const HOST_ID: Name = Name::new("bits-host-id", "BITS-Host-Id");
const HOST_ID_FALLBACK_TIMEOUT: Name = Name::new(
    "bits-host-id-fallback-timeout",
    "BITS-Host-Id-Fallback-Timeout",
);
const RECEIVED_CONTENT_RANGE: Name =
    Name::new("bits-received-content-range", "BITS-Received-Content-Range");
const REPLY_URL: Name = Name::new("bits-reply-url", "BITS-Reply-URL");
/// [MC-BUP].
const ERROR: Name = Name::new("bits-error", "BITS-Error");
/// "BITS Response Packets".
const ERROR_CODE: Name = Name::new("bits-error-code", "BITS-Error-Code");
const ERROR_CONTEXT: Name = Name::new("bits-error-context", "BITS-Error-Context");
const CONTENT_NAME: Name = Name::new("content-name", "Content-Name");
const CONTENT_RANGE: Name = Name::new("content-range", "Content-Range");
const CONTENT_LENGTH: Name = Name::new("content-length", "Content-Length");

/// Octets of a header's value ([MC-BUP] 2.2).
const MAX_VALUE: usize = 4 * 1_024;

/// Octets.
const MAX_SESSION_ID: usize = 100;

/// Characters.
const MAX_CONTENT_NAME: usize = 260;

/// Protocols of a client that are looked at.
const MAX_PROTOCOLS: usize = 100;

const NOT_IN_NAMES: &str = "\\/:*?\"<>|";

#[cfg(test)]
mod tests;
