//! Taking a sealed body apart.

use super::Body;
use super::ContentType;
use super::Malformed;
use super::Media;
use super::Piece;
use super::Style;
use crate::auth::Parts;

/// Takes a body apart that has come with this `Content-Type`.
///
/// # Errors
///
/// [`Malformed::Parts`].
pub(in crate::auth) fn read<'a>(
    content_type: &ContentType,
    body: &'a [u8],
) -> Result<Body<'a>, Malformed> {
    let mut rest = Rest {
        octets: body,
        content_type,
    };
    rest.skip_line_end();
    let mut found: Option<(&str, &str)> = None;
    let mut pieces = Vec::new();
    if rest.delimiter().ok_or(Malformed::Parts)? == Delimiter::Last {
        return Err(Malformed::Parts);
    }
    loop {
        let (piece, own_type, indentation) = rest.pair().ok_or(Malformed::Parts)?;
        if found.is_some_and(|(first, _)| first != own_type) || pieces.len() == MAX_PIECES {
            return Err(Malformed::Parts);
        }
        let (content_type, indentation) = *found.get_or_insert((own_type, indentation));
        pieces.push(piece);
        match rest.delimiter().ok_or(Malformed::Parts)? {
            Delimiter::Next if rest.content_type.media == Media::Multiple => {}
            Delimiter::Next => return Err(Malformed::Parts),
            Delimiter::Last => {
                return Ok(Body {
                    style: Style {
                        protocol: rest.content_type.protocol,
                        boundary: rest.content_type.boundary.clone(),
                        indentation: indentation.to_owned(),
                    },
                    content_type,
                    pieces,
                });
            }
        }
    }
}

/// What of a body has not been read.
struct Rest<'a, 'b> {
    octets: &'a [u8],
    content_type: &'b ContentType,
}

/// What stands before a part, or behind the last one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Delimiter {
    Next,
    Last,
}

/// A header of a part.
struct Header<'a> {
    indentation: &'a str,
    name: &'a str,
    value: &'a str,
}

impl<'a> Rest<'a, '_> {
    /// Takes a delimiter, with its line end. The last one may lack what tells
    /// it from others (`--`), and its line end: then it is what ends the body.
    fn delimiter(&mut self) -> Option<Delimiter> {
        let behind = self.behind_boundary(self.octets)?;
        let (marked, behind) = match behind.strip_prefix(b"--") {
            Some(behind) => (true, behind),
            None => (false, behind),
        };
        let behind = behind.trim_prefix_of(BLANKS);
        let line_end = behind.strip_prefix(LINE_END);
        self.octets = line_end.unwrap_or(behind);
        match (marked, line_end.is_some(), self.octets.is_empty()) {
            (_, _, true) => Some(Delimiter::Last),
            (false, true, false) => Some(Delimiter::Next),
            (true, _, false) | (false, false, false) => None,
        }
    }

    /// What stands behind the boundary, if `octets` begin with it. Some write
    /// blanks between its dashes and its text.
    fn behind_boundary(&self, octets: &'a [u8]) -> Option<&'a [u8]> {
        let text = octets.strip_prefix(b"--")?.trim_prefix_of(BLANKS);
        text.strip_prefix(self.content_type.boundary.as_bytes())
    }

    /// Takes a pair of parts: the message, its type, and the indentation of
    /// its headers.
    fn pair(&mut self) -> Option<(Piece<'a>, &'a str, &'a str)> {
        let (content_type, length) = self.description()?;
        let indentation = self.binary()?;
        let (signature, octets) = self.octets.split_first_chunk::<4>()?;
        let signature = usize::try_from(u32::from_le_bytes(*signature)).ok()?;
        self.octets = octets;
        let parts = self.content_type.protocol.parts();
        let filled = signature.checked_add(length)?;
        let end = match (parts, self.content_type.media) {
            (Parts::Whole, Media::Single) => self.end_before_last(filled)?,
            (Parts::Whole, Media::Multiple) => filled,
            (Parts::Pieces, Media::Single | Media::Multiple) => end_of_records(octets)?,
        };
        let (octets, behind) = octets.split_at_checked(end)?;
        self.octets = behind;
        self.skip_line_end();
        let piece = Piece {
            length,
            may_be_filled: parts == Parts::Whole && octets.len() == filled,
            octets,
        };
        Some((piece, content_type, indentation))
    }

    /// Takes the first part with the delimiter behind it: what kind of message
    /// follows, and how long it is.
    fn description(&mut self) -> Option<(&'a str, usize)> {
        let (mut protocol, mut original) = (None, None);
        let mut lines = 0;
        while self.behind_boundary(self.octets).is_none() {
            lines += 1;
            let line = self.line().filter(|_| lines <= MAX_LINES)?;
            if line.trim().is_empty() {
                continue;
            }
            let header = Header::parse(line)?;
            let place = if header.name.eq_ignore_ascii_case("Content-Type") {
                &mut protocol
            } else if header.name.eq_ignore_ascii_case("OriginalContent") {
                &mut original
            } else {
                continue;
            };
            if place.replace(header.value).is_some() {
                return None;
            }
        }
        let name = self.content_type.protocol.name();
        if !protocol?.eq_ignore_ascii_case(name) || self.delimiter()? != Delimiter::Next {
            return None;
        }
        original_content(original?)
    }

    /// Takes the header of the second part: its indentation.
    fn binary(&mut self) -> Option<&'a str> {
        let header = Header::parse(self.line()?)?;
        let is_binary = header.name.eq_ignore_ascii_case("Content-Type")
            && header.value.eq_ignore_ascii_case(OCTET_STREAM);
        (is_binary && header.indentation.len() <= MAX_INDENTATION).then_some(header.indentation)
    }

    /// Takes a line of printable characters, without its end.
    fn line(&mut self) -> Option<&'a str> {
        let within = &self.octets[..self.octets.len().min(MAX_LINE)];
        let end = within
            .windows(LINE_END.len())
            .position(|octets| octets == LINE_END)?;
        let line = std::str::from_utf8(&within[..end]).ok()?;
        if line.contains(|character| !matches!(character, '\t' | ' '..='~')) {
            return None;
        }
        self.octets = &self.octets[end + LINE_END.len()..];
        Some(line)
    }

    fn skip_line_end(&mut self) {
        self.octets = self.octets.strip_prefix(LINE_END).unwrap_or(self.octets);
    }

    /// Where a message ends that is all there is before the last delimiter;
    /// with its signature, it should have `expected` octets.
    fn end_before_last(&self, expected: usize) -> Option<usize> {
        let boundary = self.content_type.boundary.as_bytes();
        let octets = self.octets.strip_suffix(LINE_END).unwrap_or(self.octets);
        let before = octets
            .strip_suffix(b"--")
            .and_then(|octets| octets.strip_suffix(boundary))
            .or_else(|| octets.strip_suffix(boundary))?;
        let blanks = before
            .iter()
            .rev()
            .take_while(|octet| BLANKS.contains(octet));
        let before = &before[..before.len() - blanks.count()];
        let message = before.strip_suffix(b"--")?;
        // Some put a line end before the delimiter, as MIME does. That it is
        // one, and nothing sealed, is known from the length: what clients seal
        // has the length that they tell.
        match message.strip_suffix(LINE_END) {
            Some(shorter) if shorter.len() == expected => Some(expected),
            Some(_) | None => Some(message.len()),
        }
    }
}

impl<'a> Header<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let text = line.trim_start_matches([' ', '\t']);
        let (name, value) = text.split_once(':')?;
        Some(Self {
            indentation: &line[..line.len() - text.len()],
            name: name.trim_end(),
            value: value.trim(),
        })
    }
}

/// Type and length of `type=application/soap+xml;charset=UTF-8;Length=1234`.
/// The length stands last.
fn original_content(value: &str) -> Option<(&str, usize)> {
    let (content_type, last) = value.rsplit_once(';')?;
    let (name, length) = last.split_once('=')?;
    let (kind, content_type) = content_type.split_once('=')?;
    let length = length.trim();
    let is_right = name.trim().eq_ignore_ascii_case("Length")
        && kind.trim().eq_ignore_ascii_case("type")
        && length.bytes().all(|octet| octet.is_ascii_digit());
    let length = length.parse::<u32>().ok().filter(|_| is_right)?;
    Some((content_type.trim(), usize::try_from(length).ok()?))
}

/// Where a row of TLS records ends: each has its length in its header (RFC 8446
/// 5.1), and begins with an octet that no delimiter begins with.
fn end_of_records(octets: &[u8]) -> Option<usize> {
    let mut rest = octets;
    while let [kind, _, _, high, low, behind @ ..] = rest
        && RECORD_TYPES.contains(kind)
    {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > MAX_RECORD {
            return None;
        }
        rest = behind.get(length..)?;
    }
    let end = octets.len() - rest.len();
    (end > 0).then_some(end)
}

/// Octets without those of a set at their beginning.
trait TrimPrefixOf {
    fn trim_prefix_of(&self, set: &[u8]) -> &Self;
}

impl TrimPrefixOf for [u8] {
    fn trim_prefix_of(&self, set: &[u8]) -> &Self {
        let count = self.iter().take_while(|octet| set.contains(octet)).count();
        &self[count..]
    }
}

const LINE_END: &[u8] = b"\r\n";

const BLANKS: &[u8] = b" \t";

const OCTET_STREAM: &str = "application/octet-stream";

/// Octets of a line in a part, with its end; clients send some 80.
const MAX_LINE: usize = 512;

/// Lines of the first part; clients send two.
const MAX_LINES: u32 = 16;

/// Octets before a header: a TAB, or eight blanks in its place.
const MAX_INDENTATION: usize = 8;

/// Pieces of a message: enough for the largest envelope that can be allowed
/// (8 MiB), in pieces of half the usual size.
const MAX_PIECES: usize = 1_024;

/// What TLS records begin with: change of cipher, alert, handshake, data.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;

/// Octets of a TLS record: 2^14, and what protects them (RFC 5246 6.2.3).
const MAX_RECORD: usize = 16_384 + 2_048;
