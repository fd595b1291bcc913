//! Sealed bodies: how messages that a security context protects are put into
//! `multipart/encrypted` and `multipart/x-multi-encrypted` ([MS-WSMV] 2.2.9.1).
//!
//! ```text
//! --Encrypted Boundary
//! <TAB>Content-Type: application/HTTP-SPNEGO-session-encrypted
//! <TAB>OriginalContent: type=application/soap+xml;charset=UTF-8;Length=1234
//! --Encrypted Boundary
//! <TAB>Content-Type: application/octet-stream
//! <u32 LE: octets of the signature><signature><sealed octets>--Encrypted Boundary--
//! ```
//!
//! It looks like MIME (RFC 2046), and is none: no blank line ends the headers,
//! and the sealed octets are neither encoded nor followed by a line end. They
//! may contain the boundary, so it is never looked for in them. Where they end
//! is known from the end of the body, from `Length`, or from the headers of the
//! TLS records that `CredSSP` seals with.
//!
//! Clients differ in what they write and insist on the same in answers: with
//! or without a TAB before the headers. [`Style`] is what an answer repeats.
//! Keys are left to the context ([`super::Seal`]), charsets to `http`.

use super::Parts;

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::Writer;

/// What `Content-Type` says of a sealed body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ContentType {
    pub(super) media: Media,
    pub(super) protocol: Protocol,
    pub(super) boundary: String,
}

/// How many messages a body holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Media {
    /// `multipart/encrypted`: one.
    Single,
    /// `multipart/x-multi-encrypted`: the pieces of one that was too long.
    Multiple,
}

/// What kind of context seals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    /// That of `Negotiate`.
    Spnego,
    /// Kerberos; some clients say [`Self::Spnego`] for it.
    Kerberos,
    /// `CredSSP`.
    CredSsp,
}

/// How a client writes sealed bodies, and wants to read them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Style {
    protocol: Protocol,
    boundary: String,
    /// What stands before the headers of a part: a TAB, or nothing.
    indentation: String,
}

/// A sealed body, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Body<'a> {
    /// How the answer is to be written.
    pub(super) style: Style,
    /// `Content-Type` of the message.
    pub(super) content_type: &'a str,
    /// The message, or its pieces in order.
    pub(super) pieces: Vec<Piece<'a>>,
}

/// A message or a piece of it, sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Piece<'a> {
    /// Octets of it, as the client says.
    length: usize,
    /// It is as long as what has been sealed: a context can have put something
    /// behind it before, which counts.
    may_be_filled: bool,
    /// Signature and sealed octets.
    pub(super) octets: &'a [u8],
}

/// What is no sealed body.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Malformed {
    /// `Content-Type` lacks a parameter, or has one that cannot be.
    #[error("Content-Type names no protocol or no boundary that is known")]
    ContentType,
    /// The parts of the body do not follow each other as they must.
    #[error("the parts of the body are not those of a sealed message")]
    Parts,
    /// The message has another length than the client says.
    #[error("the message has another length than OriginalContent says")]
    Length,
}

/// Holds when a body of this type is a sealed one.
pub(crate) fn is_sealed(content_type: &[u8]) -> bool {
    Media::of(content_type).is_some()
}

/// Takes apart what a fuzzer has made: `Content-Type`, a line feed, the body.
/// What is taken must be answered in a type that is taken as well.
#[cfg(fuzzing)]
pub(crate) fn fuzz(octets: &[u8]) {
    let end = octets.iter().position(|octet| *octet == b'\n');
    let (content_type, body) = octets.split_at(end.unwrap_or(octets.len()));
    let Ok(content_type) = ContentType::parse(content_type) else {
        return;
    };
    let Ok(read) = read(&content_type, body.get(1..).unwrap_or_default()) else {
        return;
    };
    let sealed: usize = read.pieces.iter().map(|piece| piece.octets.len()).sum();
    assert!(sealed < body.len() && !read.content_type.contains(['\r', '\n']));
    let mut writer = Writer::new(&read.style, read.content_type, sealed);
    for piece in &read.pieces {
        let _ = piece.cut(piece.octets.to_vec());
        let sealed = super::Sealed {
            signature: 0,
            octets: piece.octets.to_vec(),
        };
        writer.push(piece.octets.len(), &sealed);
    }
    let answer = ContentType {
        media: Media::Multiple,
        ..content_type
    };
    let own = ContentType::parse(read.style.content_type(answer.media).as_bytes());
    assert_eq!(own.as_ref(), Ok(&answer));
    let written = writer.end();
    let again = self::read(&answer, &written).expect("what we write");
    assert!(
        again
            .pieces
            .iter()
            .map(|piece| piece.octets)
            .eq(read.pieces.iter().map(|piece| piece.octets))
    );
}

impl ContentType {
    /// Reads the value of the header.
    ///
    /// # Errors
    ///
    /// [`Malformed::ContentType`].
    pub(super) fn parse(value: &[u8]) -> Result<Self, Malformed> {
        if value.len() > MAX_CONTENT_TYPE {
            return Err(Malformed::ContentType);
        }
        let text = std::str::from_utf8(value).map_err(|_| Malformed::ContentType)?;
        let media = Media::of(value).ok_or(Malformed::ContentType)?;
        let (_, mut rest) = text.split_once(';').unwrap_or((text, ""));
        let (mut protocol, mut boundary) = (None, None);
        while let Some((name, value, behind)) = parameter(rest) {
            let place = if name.eq_ignore_ascii_case("protocol") {
                Some(&mut protocol)
            } else if name.eq_ignore_ascii_case("boundary") {
                Some(&mut boundary)
            } else {
                None
            };
            if place.is_some_and(|place| place.replace(value).is_some()) {
                return Err(Malformed::ContentType);
            }
            rest = behind;
        }
        let protocol = protocol.and_then(Protocol::parse);
        let boundary = boundary.filter(|boundary| is_boundary(boundary));
        let (Some(protocol), Some(boundary)) = (protocol, boundary) else {
            return Err(Malformed::ContentType);
        };
        Ok(Self {
            media,
            protocol,
            boundary: boundary.to_owned(),
        })
    }
}

impl Media {
    /// That of a value of `Content-Type`, if it is one of a sealed body.
    fn of(content_type: &[u8]) -> Option<Self> {
        let media_type = content_type.split(|octet| *octet == b';').next()?;
        let media_type = media_type.trim_ascii();
        [Self::Single, Self::Multiple]
            .into_iter()
            .find(|media| media_type.eq_ignore_ascii_case(media.name().as_bytes()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Single => "multipart/encrypted",
            Self::Multiple => "multipart/x-multi-encrypted",
        }
    }
}

impl Protocol {
    fn parse(text: &str) -> Option<Self> {
        [Self::Spnego, Self::Kerberos, Self::CredSsp]
            .into_iter()
            .find(|protocol| text.eq_ignore_ascii_case(protocol.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Spnego => "application/HTTP-SPNEGO-session-encrypted",
            Self::Kerberos => "application/HTTP-Kerberos-session-encrypted",
            Self::CredSsp => "application/HTTP-CredSSP-session-encrypted",
        }
    }

    /// How its messages are put into parts.
    pub(super) fn parts(self) -> Parts {
        match self {
            Self::Spnego | Self::Kerberos => Parts::Whole,
            Self::CredSsp => Parts::Pieces,
        }
    }
}

impl Piece<'_> {
    /// The piece that has been opened, without what the client has put behind
    /// it to fill a block.
    ///
    /// # Errors
    ///
    /// [`Malformed::Length`] when it has not the length that it should have.
    pub(super) fn cut(&self, mut opened: Vec<u8>) -> Result<Vec<u8>, Malformed> {
        if opened.len() < self.length {
            // Kerberos' old ciphers fill the last block, and take off again
            // what they filled it with: pypsrp and WinRb count it.
            if self.may_be_filled && self.length - opened.len() <= MAX_BLOCK {
                return Ok(opened);
            }
            return Err(Malformed::Length);
        }
        if opened[self.length..].iter().any(|octet| *octet != 0) {
            return Err(Malformed::Length);
        }
        opened.truncate(self.length);
        Ok(opened)
    }
}

/// The first parameter of `text`, `name=value`, and what stands behind it.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches([' ', '\t', ';']);
    let (name, rest) = text.split_once('=')?;
    let rest = rest.trim_start_matches([' ', '\t']);
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, behind) = quoted.split_once('"')?;
        return Some((name.trim(), value, behind));
    }
    let (value, behind) = rest.split_once(';').unwrap_or((rest, ""));
    Some((name.trim(), value.trim(), behind))
}

/// Holds for a boundary as RFC 2046 5.1.1 has it.
fn is_boundary(text: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&octet);
    (1..=MAX_BOUNDARY).contains(&text.len())
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && text.bytes().all(is_allowed)
}

/// Octets of a message that are sealed at a time by `CredSSP`: a TLS record.
pub(super) const PIECE: usize = 16_384;

/// Octets of `Content-Type`; clients send some 110.
const MAX_CONTENT_TYPE: usize = 512;

/// Octets of a boundary (RFC 2046 5.1.1); all known clients use the same, of
/// 18.
const MAX_BOUNDARY: usize = 70;

/// Octets of a block that is filled: that of DES.
const MAX_BLOCK: usize = 8;

#[cfg(test)]
mod tests;
