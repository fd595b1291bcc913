//! Custom headers of a job ("`IBackgroundCopyJobHttpOptions::SetCustomHeaders`").

use super::Hresult;
use super::Refused;

/// Reads custom headers that a client sets.
///
/// # Errors
///
/// [`Refused`] with `BG_E_STRING_TOO_LONG` for more than 16,383 characters, and
/// as [`read_headers`].
pub(crate) fn parse_headers(text: &str) -> Result<Vec<(&str, &str)>, Refused> {
    // Windows counts UTF-16, and the NUL at the end.
    if text.encode_utf16().count() >= MAX_CHARACTERS {
        return Err(Refused(Hresult::BG_E_STRING_TOO_LONG));
    }
    read_headers(text)
}

/// Reads custom headers as they are kept: lines `Name: value`, each with a line end (CR LF, or LF
/// alone) between it and the next. Lines without anything in them are passed
/// over.
///
/// # Errors
///
/// [`Refused`] with `E_INVALIDARG` for a line that is no header, and for a header
/// that belongs to the transfer itself ([`is_reserved`]).
pub(crate) fn read_headers(text: &str) -> Result<Vec<(&str, &str)>, Refused> {
    let invalid = || Refused(Hresult::E_INVALIDARG);
    let mut headers = Vec::new();
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(invalid)?;
        let value = value.trim_matches([' ', '\t']);
        let is_value = value.chars().all(|c| c == '\t' || !c.is_control());
        if !is_token(name) || !is_value || is_reserved(name) {
            return Err(invalid());
        }
        headers.push((name, value));
    }
    Ok(headers)
}

/// Does the header belong to the transfer itself: to how a message is framed, to
/// which part of a file is meant, to the connection (RFC 9110 7.6.1)?
fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    RESERVED.contains(&lower.as_str()) || lower.starts_with("bits-")
}

/// Can `text` be the name of a header or a method (RFC 9110 5.6.2)?
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
}

/// With the NUL at the end.
const MAX_CHARACTERS: usize = 16_384;

/// In lower case. A coding would have the file arrive as another one.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "expect",
    "host",
    "if-range",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_headers() {
        assert_eq!(
            parse_headers("X-One: a b \r\nAuthorization:Bearer x:y\r\n\r\nX-Two:\nX-One: ä"),
            Ok(vec![
                ("X-One", "a b"),
                ("Authorization", "Bearer x:y"),
                ("X-Two", ""),
                ("X-One", "ä"),
            ])
        );
        assert_eq!(parse_headers(""), Ok(vec![]));
    }

    #[test]
    fn what_is_no_header_or_ours_is_refused() {
        for text in [
            "no colon",
            ": nameless",
            "a b: c",
            "X: a\0b",
            "X: a\rY: b",
            "X: a\r\n folded",
            "Host: elsewhere",
            "RANGE: bytes=0-1",
            "if-range: \"x\"",
            "Content-Length: 3",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "BITS-Packet-Type: Ping",
        ] {
            let refused = Err(Refused(Hresult::E_INVALIDARG));
            assert_eq!(parse_headers(text), refused, "{text}");
        }
    }

    #[test]
    fn the_limit_is_that_of_windows() {
        let text = format!("X: {}", "a".repeat(16_380));
        assert!(parse_headers(&text).is_ok());
        assert_eq!(
            parse_headers(&(text + "a")),
            Err(Refused(Hresult::BG_E_STRING_TOO_LONG))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([A-Za-z-]{0,8}:?[^\\n]{0,9}\\r?\\n?){0,6}") {
            for (name, value) in parse_headers(&text).unwrap_or_default() {
                prop_assert!(is_token(name) && !is_reserved(name));
                prop_assert!(!value.contains(['\r', '\n']));
            }
        }
    }
}
