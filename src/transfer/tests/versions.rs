//! What an attempt that goes on makes of a server that has another version by now,
//! or says so: the file is of one version.

use super::*;

type Script = fn(&Asked, &[u8], &[u8]) -> Reply;

/// First attempt cut, second with a fault: in the end the file is whole, of
/// one version. `resumed` tells whether the last request asked for a rest.
#[tokio::test]
async fn a_file_is_of_one_version_whatever_the_server_does() {
    one_version(|| tempfile::tempdir().expect("folder")).await;
}

#[tokio::test]
async fn a_file_in_memory_is_of_one_version_too() {
    one_version(|| tempfile::tempdir_in("/dev/shm").expect("folder")).await;
}

#[expect(
    clippy::single_match_else,
    reason = "what comes to which request reads best as rows"
)]
async fn one_version(folder: fn() -> tempfile::TempDir) {
    let rows: &[(&str, Script, Version, usize)] = &[
        (
            "resumes by a strong tag",
            |asked, one, _| match asked.number {
                0 => cut(TAG, one),
                _ => {
                    assert_eq!(asked.header("if-range"), Some("\"one\""));
                    Reply::right(asked, TAG, one)
                }
            },
            Version::One,
            2,
        ),
        (
            "resumes by an old date",
            |asked, one, _| match asked.number {
                0 => cut(OLD, one),
                _ => {
                    assert!(asked.header("if-range").is_some());
                    Reply::right(asked, OLD, one)
                }
            },
            Version::One,
            2,
        ),
        (
            "starts over after a young date",
            |asked, one, _| {
                assert_eq!(asked.from(), None);
                match asked.number {
                    0 => cut(YOUNG, one),
                    _ => Reply::right(asked, YOUNG, one),
                }
            },
            Version::One,
            2,
        ),
        (
            "starts over after a weak tag",
            |asked, one, _| {
                assert_eq!(asked.from(), None);
                match asked.number {
                    0 => cut("ETag: W/\"one\"\r\n", one),
                    _ => Reply::right(asked, TAG, one),
                }
            },
            Version::One,
            2,
        ),
        (
            "starts over without validators",
            |asked, one, two| {
                assert_eq!(asked.from(), None);
                match asked.number {
                    0 => cut("", one),
                    _ => Reply::right(asked, "", two),
                }
            },
            Version::Two,
            2,
        ),
        (
            "200 with another version",
            |asked, one, two| match asked.number {
                0 => cut(TAG, one),
                _ => Reply::new("200 OK", OTHER_TAG, two),
            },
            Version::Two,
            2,
        ),
        (
            "200 with the same version: no ranges here",
            |asked, one, _| match asked.number {
                0 => cut(TAG, one),
                _ => Reply::new("200 OK", TAG, one),
            },
            Version::One,
            2,
        ),
        (
            "206 that ignores If-Range, other tag",
            |asked, one, two| match asked.number {
                0 => cut(TAG, one),
                _ => Reply::right(asked, OTHER_TAG, two),
            },
            Version::Two,
            3,
        ),
        (
            "206 that ignores If-Range, no tag",
            |asked, one, two| match asked.number {
                0 => cut(TAG, one),
                _ => Reply::right(asked, "", two),
            },
            Version::Two,
            3,
        ),
        (
            "206 from an earlier start",
            |asked, one, _| match asked.from() {
                None => cut(TAG, one),
                Some(from) => Reply::part(TAG, one, from - 100_000, one.len() - 1),
            },
            Version::One,
            2,
        ),
        (
            "206 from a later start",
            |asked, one, _| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                None => Reply::right(asked, TAG, one),
                Some(from) => Reply::part(TAG, one, from + 1, one.len() - 1),
            },
            Version::One,
            3,
        ),
        (
            "206 whose length is not that of its range",
            |asked, one, _| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                None => Reply::right(asked, TAG, one),
                Some(from) => Reply::new(
                    "206 Partial Content",
                    &format!(
                        "{TAG}Content-Range: bytes {from}-{}/{}\r\n",
                        one.len() - 1,
                        one.len()
                    ),
                    &one[from + 1..],
                ),
            },
            Version::One,
            3,
        ),
        (
            "ranges cut short, each to 700,000 octets",
            |asked, one, _| match asked.from() {
                None => cut(TAG, one),
                Some(from) => {
                    assert_eq!(asked.header("if-range"), Some("\"one\""));
                    Reply::part(TAG, one, from, (from + 699_999).min(one.len() - 1))
                }
            },
            Version::One,
            3,
        ),
        (
            "a range cut short, and another version behind it",
            |asked, one, two| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                Some(from) if asked.number == 1 => Reply::part(TAG, one, from, from + 499_999),
                _ => Reply::right(asked, OTHER_TAG, two),
            },
            Version::Two,
            4,
        ),
        (
            "several parts where one was asked for",
            |asked, one, _| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                None => Reply::right(asked, TAG, one),
                Some(_) => Reply::new(
                    "206 Partial Content",
                    &format!("{TAG}Content-Type: multipart/byteranges; boundary=x\r\n"),
                    b"--x\r\nContent-Range: bytes 0-0/1\r\n\r\n!\r\n--x--\r\n",
                ),
            },
            Version::One,
            3,
        ),
        (
            "416 without the size",
            |asked, one, _| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                None => Reply::right(asked, TAG, one),
                Some(_) => Reply::new("416 Range Not Satisfiable", TAG, b""),
            },
            Version::One,
            3,
        ),
        (
            "200 to a range, of the same version: what is here is skipped",
            |asked, one, _| match asked.number {
                0 => cut(TAG, one),
                1 => Reply::new("200 OK", TAG, one).cut_by(100_000, Then::Cut),
                _ => {
                    assert!(asked.from() > Some(2_800_000), "{asked:?}");
                    Reply::right(asked, TAG, one)
                }
            },
            Version::One,
            3,
        ),
        (
            "HTTP/1.0 with its length, cut",
            |asked, one, _| match asked.number {
                0 => Reply::raw(
                    &format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", one.len()),
                    &one[..2_000_000],
                    Then::Close,
                ),
                _ => Reply::raw(
                    &format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", one.len()),
                    one,
                    Then::Close,
                ),
            },
            Version::One,
            2,
        ),
        (
            "a chunked body without validators, cut",
            |asked, one, _| {
                let whole = Reply::chunked("", one);
                match asked.number {
                    0 => whole.cut_by(1_000_000, Then::Close),
                    _ => whole,
                }
            },
            Version::One,
            2,
        ),
        (
            "206 with another total",
            |asked, one, _| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                None => Reply::right(asked, TAG, one),
                Some(from) => Reply::new(
                    "206 Partial Content",
                    &format!(
                        "{TAG}Content-Range: bytes {from}-{}/{}\r\n",
                        one.len(),
                        one.len() + 1
                    ),
                    &[&one[from..], b"!"].concat(),
                ),
            },
            Version::One,
            3,
        ),
        (
            "206 without Content-Range",
            |asked, one, _| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                None => Reply::right(asked, TAG, one),
                Some(from) => Reply::new("206 Partial Content", TAG, &one[from..]),
            },
            Version::One,
            3,
        ),
        (
            "416 for a file that shrank",
            |asked, one, _| match asked.from() {
                None if asked.number == 0 => cut(TAG, one),
                None => Reply::right(asked, OTHER_TAG, &one[..5_000]),
                Some(_) => Reply::new(
                    "416 Range Not Satisfiable",
                    "Content-Range: bytes */5000\r\n",
                    b"",
                ),
            },
            Version::OneShort,
            3,
        ),
        (
            "a body without length, closed cleanly",
            |_, one, _| Reply::raw("HTTP/1.0 200 OK\r\n\r\n", one, Then::Close),
            Version::One,
            1,
        ),
        (
            "a chunked body, cut and resumed",
            |asked, one, _| match asked.number {
                0 => {
                    let mut reply = Reply::raw(
                        &format!("HTTP/1.1 200 OK\r\n{TAG}Transfer-Encoding: chunked\r\n\r\n"),
                        b"",
                        Then::Cut,
                    );
                    for chunk in one[..2_500_000].chunks(70_000) {
                        reply
                            .octets
                            .extend(format!("{:x}\r\n", chunk.len()).bytes());
                        reply.octets.extend_from_slice(chunk);
                        reply.octets.extend(b"\r\n");
                    }
                    reply
                }
                _ => Reply::right(asked, TAG, one),
            },
            Version::One,
            2,
        ),
        (
            "a stall, then the rest",
            |asked, one, _| match asked.number {
                0 => Reply::new("200 OK", TAG, one).cut_by(2_000_000, Then::Stall),
                _ => Reply::right(asked, TAG, one),
            },
            Version::One,
            2,
        ),
        (
            "503, then all",
            |asked, one, _| match asked.number {
                0 => Reply::new("503 Busy", "Retry-After: 3\r\n", b"later"),
                _ => Reply::right(asked, TAG, one),
            },
            Version::One,
            2,
        ),
        (
            "changes twice",
            |asked, one, two| match asked.number {
                0 => cut(TAG, one),
                1 => cut(OTHER_TAG, two),
                _ => {
                    assert_eq!(asked.header("if-range"), Some("\"two\""));
                    Reply::right(asked, OTHER_TAG, two)
                }
            },
            Version::Two,
            3,
        ),
    ];
    for (name, script, lands, requests) in rows {
        let (one, two) = (content(3_000_001, 1), content(3_000_001, 2));
        let script = *script;
        let (sent_one, sent_two) = (one.clone(), two.clone());
        let origin = FaultyOrigin::new(move |asked| script(asked, &sent_one, &sent_two)).await;
        let bench = Bench::below(folder(), &origin.url());
        let mut attempts = 0;
        while let Err(failure) = bench.attempt().await {
            assert!(
                matches!(failure.kind, FailureKind::ForNow(_)),
                "{name}: {failure}"
            );
            attempts += 1;
            assert!(attempts < 4, "{name}: {failure}");
        }
        bench.assert_lands(match lands {
            Version::One => &one,
            Version::Two => &two,
            Version::OneShort => &one[..5_000],
        });
        assert_eq!(origin.asked().len(), *requests, "{name}");
    }
}

enum Version {
    One,
    Two,
    OneShort,
}
