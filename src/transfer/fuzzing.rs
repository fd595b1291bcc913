//! What the fuzz targets of `tests/fuzz/` feed to the decoders of transfers: what
//! servers and clients of uploads say. Only built with `--cfg fuzzing`.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;

use super::challenge::Challenge;
use super::challenge::Parameters;
use super::credentials::best_prompt;
use super::custom;
use super::digest::Asking;
use super::pieces::Pieces;
use super::range::ContentRange;
use super::upload_packet::Ack;
use super::upload_packet::Packet;
use super::verdict::Said;
use super::verdict::Verdict;
use super::verdict::Wanted;
use crate::bits::Secret;
use crate::bits::Span;
use crate::bits::Validator;
use crate::bits::check_headers;

/// The headers of a packet or an Ack. What is read and written again is the same.
pub(crate) fn upload_packet(octets: &[u8]) {
    let headers = lines(octets);
    if let Ok(packet) = Packet::read(&headers) {
        let mut again = packet.write();
        let length = match &packet {
            Packet::Fragment { range, .. } => range.length,
            Packet::CreateSession { .. }
            | Packet::Ping
            | Packet::CloseSession { .. }
            | Packet::CancelSession { .. } => 0,
        };
        again.insert("content-length", HeaderValue::from(length));
        assert_eq!(Packet::read(&again).as_ref(), Ok(&packet));
    }
    if let Ok(Some(ack)) = Ack::read(&headers) {
        assert_eq!(Ack::read(&ack.write()), Ok(Some(ack)));
    }
}

/// An answer to a request for a part: three numbers, then `Content-Range`.
pub(crate) fn content_range(octets: &[u8]) {
    let Some((numbers, text)) = octets.split_at_checked(26) else {
        return;
    };
    let number = |at: usize| {
        let octets = numbers[at..at + 8].try_into();
        u64::from_le_bytes(octets.unwrap_or_default())
    };
    let (first, more, length) = (number(0), number(8), number(16));
    let last = (numbers[24] & 1 == 0).then(|| first.saturating_add(more));
    let (here, other) = (tag("\"a\""), tag("\"b\""));
    let wanted = Wanted {
        first,
        last,
        here: (numbers[24] & 2 == 0).then_some(&here),
    };
    let range = std::str::from_utf8(text).ok().and_then(ContentRange::parse);
    let verdict = wanted.judge(Said {
        status: [200, 206, 416, 500][usize::from(numbers[25] & 3)],
        range,
        length: (numbers[24] & 4 == 0).then_some(length),
        validator: if numbers[24] & 8 == 0 { &here } else { &other },
    });
    if let Verdict::Part(part) = verdict {
        let Some(ContentRange::Part {
            first: from,
            last: to,
            ..
        }) = range
        else {
            panic!("a part without its range");
        };
        assert_eq!(from + part.skip, first);
        let end = first + (part.octets - 1);
        assert!(end <= to && last.is_none_or(|last| end <= last));
    }
    let total = match range {
        Some(ContentRange::Part { total, .. }) => total,
        Some(ContentRange::Unsatisfied { total }) => Some(total),
        None => None,
    };
    // As they are when a client has set them.
    let spans = [
        Span {
            offset: first,
            length: Some(more % 1_000 + 1),
        },
        Span {
            offset: length,
            length: None,
        },
    ];
    for spans in [&spans[..0], &spans[..1], &spans] {
        let pieces = Pieces::of(spans);
        let _ = pieces.from(more, total);
        if let Ok(Some(size)) = pieces.size(total) {
            let _ = pieces.total(size);
        }
        if let Ok(Some(places)) = pieces.places(total) {
            for (from, length, _) in places.of(more, 4_096) {
                assert!(from + length <= 4_096);
            }
            let _ = places.end_before(more);
        }
    }
}

/// `WWW-Authenticate` headers, a line each, and `Authentication-Info` in the last.
pub(crate) fn digest(octets: &[u8]) {
    let headers: Vec<HeaderValue> = octets
        .split(|octet| *octet == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    let texts: Vec<&str> = headers.iter().filter_map(|one| one.to_str().ok()).collect();
    let challenges = Challenge::all(texts.iter().copied());
    let Some(mut prompt) = best_prompt(&challenges) else {
        return;
    };
    let asking = Asking {
        user: "us\"er\\",
        password: "hush",
        method: "GET",
        target: "/a?b=\"c\"",
        client_nonce: "00",
    };
    for _ in 0..2 {
        let answer = prompt.answer(&asking);
        assert!(HeaderValue::from_str(&answer).is_ok(), "{answer:?}");
        prompt.take_next_nonce(&Parameters::read(texts.last().unwrap_or(&"")));
    }
}

/// Custom headers: what a client may set can be sent.
pub(crate) fn custom_headers(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(checked) = check_headers(text) {
        let kept = Secret::new(checked);
        let Ok(headers) = custom::read(Some(&kept)) else {
            panic!("kept, and not sent");
        };
        let mut request = HeaderMap::new();
        custom::add(&mut request, &headers);
        assert_eq!(request, headers);
    }
}

fn tag(etag: &str) -> Validator {
    Validator {
        etag: Some(etag.to_owned()),
        ..Validator::default()
    }
}

/// Headers, one a line.
fn lines(octets: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in octets.split(|octet| *octet == b'\n').take(100) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}
