//! Between octets and text: which charset a request has, and an answer in
//! kind.
//!
//! The charset is that of `Content-Type`, else that of the byte order mark,
//! else UTF-8. An answer has the media type and the charset token of its
//! request: Windows clients compare both ([MS-WSMV] 3.1.5.2; codes 2150858999
//! and 2150859000).

use std::borrow::Cow;

use axum::http::HeaderValue;

use crate::wsman::Encoding;

/// A request as text.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Message<'a> {
    /// The envelope, without byte order mark.
    pub(super) text: Cow<'a, str>,
    /// How it was encoded.
    pub(super) encoding: Encoding,
    /// `Content-Type` of the answer.
    pub(super) reply: HeaderValue,
}

/// Why a request is no text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum NoText {
    /// Its media type is not one of SOAP's.
    MediaType,
    /// Its charset is unknown.
    Charset,
    /// The octets are not in its charset.
    Octets {
        /// Which one: that of the answer too.
        encoding: Encoding,
        /// `Content-Type` of the answer.
        reply: HeaderValue,
    },
}

/// Reads a body.
///
/// # Errors
///
/// [`NoText`].
pub(super) fn decode<'a>(
    content_type: Option<&HeaderValue>,
    body: &'a [u8],
) -> Result<Message<'a>, NoText> {
    let Some(content_type) = content_type else {
        let encoding = by_mark(body);
        return in_charset(body, encoding, || match encoding {
            Encoding::Utf8 => USUAL,
            Encoding::Utf16 => HeaderValue::from_static("application/soap+xml;charset=UTF-16"),
        });
    };
    if content_type.as_bytes() == USUAL_TEXT.as_bytes() {
        return in_charset(body, Encoding::Utf8, || USUAL);
    }
    let value = content_type.to_str().map_err(|_| NoText::MediaType)?;
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !["application/soap+xml", "text/xml"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
    {
        return Err(NoText::MediaType);
    }
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim_end()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    let (encoding, charset) = match charset {
        Some(charset) if charset.eq_ignore_ascii_case("utf-8") => (Encoding::Utf8, charset),
        Some(charset)
            if charset.eq_ignore_ascii_case("utf-16")
                || charset.eq_ignore_ascii_case("utf-16le") =>
        {
            (Encoding::Utf16, charset)
        }
        Some(_) => return Err(NoText::Charset),
        None => match by_mark(body) {
            Encoding::Utf8 => (Encoding::Utf8, "UTF-8"),
            Encoding::Utf16 => (Encoding::Utf16, "UTF-16"),
        },
    };
    in_charset(body, encoding, || {
        HeaderValue::try_from(format!("{media_type};charset={charset}")).unwrap_or(USUAL)
    })
}

/// The octets of an answer.
pub(super) fn encode(text: String, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Utf8 => text.into_bytes(),
        Encoding::Utf16 => {
            let mut octets = Vec::with_capacity(2 + 2 * text.len());
            octets.extend_from_slice(&UTF16_MARK);
            for unit in text.encode_utf16() {
                octets.extend_from_slice(&unit.to_le_bytes());
            }
            octets
        }
    }
}

fn in_charset(
    body: &[u8],
    encoding: Encoding,
    reply: impl FnOnce() -> HeaderValue,
) -> Result<Message<'_>, NoText> {
    match text(body, encoding) {
        Some(text) => Ok(Message {
            text,
            encoding,
            reply: reply(),
        }),
        None => Err(NoText::Octets {
            encoding,
            reply: reply(),
        }),
    }
}

/// The text of octets without their byte order mark; nothing if it is none.
fn text(body: &[u8], encoding: Encoding) -> Option<Cow<'_, str>> {
    match encoding {
        Encoding::Utf8 => {
            let octets = body.strip_prefix(&UTF8_MARK).unwrap_or(body);
            std::str::from_utf8(octets).ok().map(Cow::Borrowed)
        }
        Encoding::Utf16 => {
            let octets = body.strip_prefix(&UTF16_MARK).unwrap_or(body);
            let (pairs, rest) = octets.as_chunks::<2>();
            if !rest.is_empty() {
                return None;
            }
            let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.ok().map(Cow::Owned)
        }
    }
}

/// The charset of a body that does not say.
fn by_mark(body: &[u8]) -> Encoding {
    if body.starts_with(&UTF16_MARK) {
        return Encoding::Utf16;
    }
    Encoding::Utf8
}

/// `Content-Type` of an answer to a request that has none.
pub(super) const USUAL: HeaderValue = HeaderValue::from_static(USUAL_TEXT);

const USUAL_TEXT: &str = "application/soap+xml;charset=UTF-8";

const UTF8_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

const UTF16_MARK: [u8; 2] = [0xff, 0xfe];

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        encode(text.to_owned(), Encoding::Utf16)
    }

    fn decoded(
        content_type: Option<&'static str>,
        body: &[u8],
    ) -> Result<(String, Encoding, String), NoText> {
        let content_type = content_type.map(HeaderValue::from_static);
        let message = decode(content_type.as_ref(), body)?;
        let reply = message.reply.to_str().expect("ASCII").to_owned();
        Ok((message.text.into_owned(), message.encoding, reply))
    }

    #[test]
    fn the_answer_has_media_type_and_charset_token_of_the_request() {
        let cases = [
            (
                Some("application/soap+xml;charset=UTF-8"),
                "application/soap+xml;charset=UTF-8",
            ),
            (
                Some("application/soap+xml; charset=utf-8"),
                "application/soap+xml;charset=utf-8",
            ),
            (
                Some("application/soap+xml;charset=\"Utf-8\""),
                "application/soap+xml;charset=Utf-8",
            ),
            (
                Some("application/soap+xml; action=\"x\"; Charset=utf-8"),
                "application/soap+xml;charset=utf-8",
            ),
            (Some("text/xml"), "text/xml;charset=UTF-8"),
            (None, "application/soap+xml;charset=UTF-8"),
        ];
        for (sent, answered) in cases {
            let expected = ("<ä/>".to_owned(), Encoding::Utf8, answered.to_owned());
            assert_eq!(decoded(sent, "<ä/>".as_bytes()), Ok(expected.clone()));
            assert_eq!(decoded(sent, "\u{feff}<ä/>".as_bytes()), Ok(expected));
        }
    }

    #[test]
    fn utf16_is_known_by_its_charset_or_by_its_mark() {
        let body = utf16("<ä🙂/>");
        assert!(body.starts_with(&[0xff, 0xfe, b'<', 0]));
        let cases = [
            (
                Some("application/soap+xml;charset=UTF-16"),
                "application/soap+xml;charset=UTF-16",
            ),
            (
                Some("application/soap+xml;charset=utf-16"),
                "application/soap+xml;charset=utf-16",
            ),
            (
                Some("application/soap+xml"),
                "application/soap+xml;charset=UTF-16",
            ),
            (None, "application/soap+xml;charset=UTF-16"),
        ];
        for (sent, answered) in cases {
            let expected = ("<ä🙂/>".to_owned(), Encoding::Utf16, answered.to_owned());
            assert_eq!(decoded(sent, &body), Ok(expected));
        }
        let unmarked = decoded(Some("application/soap+xml;charset=UTF-16"), &body[2..]);
        assert_eq!(unmarked.map(|(text, ..)| text), Ok("<ä🙂/>".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let soap = Some("application/soap+xml;charset=UTF-8");
        let none = |encoding, reply| {
            let reply = HeaderValue::from_static(reply);
            Err(NoText::Octets { encoding, reply })
        };
        let narrow = none(Encoding::Utf8, "application/soap+xml;charset=UTF-8");
        assert_eq!(decoded(soap, b"\xff\xfe<"), narrow);
        assert_eq!(decoded(soap, b"\xe4"), narrow);
        assert_eq!(decoded(None, b"\xe4"), narrow);
        let other = Some("application/soap+xml;charset=EBCDIC-CP-DE");
        assert_eq!(decoded(other, b"x"), Err(NoText::Charset));
        let token = "application/soap+xml;charset=utf-16";
        for octets in [b"\xff\xfe<".as_slice(), b"\xff\xfe\x00\xd8", b"\x00\xdc"] {
            let refused = decoded(Some(token), octets);
            assert_eq!(refused, none(Encoding::Utf16, token), "{octets:?}");
        }
        let form = Some("application/x-www-form-urlencoded");
        assert_eq!(decoded(form, b"x"), Err(NoText::MediaType));
    }

    proptest::proptest! {
        /// What an answer says is what its client reads, whatever the charset.
        #[test]
        fn text_that_is_encoded_is_decoded_as_it_was(text in "[^\u{FEFF}]\\PC{0,40}") {
            for (encoding, charset) in [
                (Encoding::Utf8, "application/soap+xml;charset=UTF-8"),
                (Encoding::Utf16, "application/soap+xml;charset=UTF-16"),
            ] {
                let octets = encode(text.clone(), encoding);
                let content_type = HeaderValue::from_static(charset);
                let message = decode(Some(&content_type), &octets).expect("our own octets");
                proptest::prop_assert_eq!(message.text.as_ref(), text.as_str());
                proptest::prop_assert_eq!(message.encoding, encoding);
                proptest::prop_assert_eq!(message.reply, content_type);
            }
        }

        #[test]
        fn any_octets_are_text_or_not(
            octets: Vec<u8>,
            content_type in "[ -~]{0,60}",
        ) {
            let content_type = HeaderValue::from_str(&content_type).expect("printable");
            let _ = decode(Some(&content_type), &octets);
            let _ = decode(Some(&HeaderValue::from_static("text/xml;charset=utf-16")), &octets);
            let _ = decode(None, &octets);
        }
    }
}
