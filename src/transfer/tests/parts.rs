//! Files of which only parts are wanted.

use super::*;
use crate::bits::Span;

fn spans(spans: &[(u64, Option<u64>)]) -> Vec<Span> {
    spans
        .iter()
        .map(|(offset, length)| Span {
            offset: *offset,
            length: *length,
        })
        .collect()
}

fn bench(url: &str, ranges: &[(u64, Option<u64>)]) -> Bench {
    let bench = Bench::new(url);
    bench.file.lock().expect("lock").ranges = spans(ranges);
    bench
}

const RANGES: &[(u64, Option<u64>)] = &[
    (2_000_000, Some(700_000)),
    (10, Some(5)),
    (2_900_000, None),
    (100_000, Some(1_500_000)),
];

/// What [`RANGES`] are of `body`.
fn wanted(body: &[u8]) -> Vec<u8> {
    [
        &body[2_000_000..2_700_000],
        &body[10..15],
        &body[2_900_000..],
        &body[100_000..1_600_000],
    ]
    .concat()
}

#[tokio::test]
async fn parts_are_put_together_in_the_order_of_the_client() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
    let bench = bench(&origin.url(), RANGES);
    bench.attempt().await.expect("fetched");
    bench.assert_lands(&wanted(&body));
    assert_eq!(bench.file().size, Some(2_300_005));
    let asked: Vec<_> = origin.asked().iter().map(Asked::range).collect();
    assert_eq!(
        asked,
        [
            Some((2_000_000, Some(2_699_999))),
            Some((10, Some(14))),
            Some((2_900_000, None)),
            Some((100_000, Some(1_599_999))),
        ]
    );
    assert_eq!(origin.asked()[0].header("if-range"), None);
    assert_eq!(origin.asked()[3].header("if-range"), Some("\"one\""));
}

#[tokio::test]
async fn parts_go_on_in_the_middle() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| {
        let reply = Reply::right(asked, TAG, &sent);
        match asked.number {
            3 => reply.cut_by(500_000, Then::Cut),
            _ => reply,
        }
    })
    .await;
    let bench = bench(&origin.url(), RANGES);
    bench.attempt().await.expect_err("cut");
    assert_eq!(bench.file().durable, 1_800_005);
    bench.attempt().await.expect("fetched");
    let (first, last) = origin.asked()[4].range().expect("a range");
    // 1,800,005 cut down to a block; 800,005 octets come before this part.
    assert_eq!(first, 100_000 + 1_800_005 / 4_096 * 4_096 - 800_005);
    assert_eq!(last, Some(1_599_999));
    bench.assert_lands(&wanted(&body));
}

/// What the server does beside being right, requests of the one attempt.
#[tokio::test]
async fn parts_are_of_one_version_whatever_the_server_does() {
    type Script = fn(&Asked, &[u8], &[u8]) -> Reply;
    let rows: &[(&str, Script, bool, usize)] = &[
        (
            "no ranges",
            |_, one, _| Reply::new("200 OK", TAG, one),
            true,
            1,
        ),
        (
            "no ranges, chunks, no version",
            |asked, one, _| match asked.number {
                // Where the last part ends must be known beforehand.
                0 => Reply::part("", one, 0, 0),
                _ => Reply::new("200 OK", "", one),
            },
            true,
            2,
        ),
        (
            "no version by which parts fit together",
            |asked, one, _| Reply::right(asked, "ETag: W/\"one\"\r\n", one),
            true,
            2,
        ),
        (
            "another version from the third part on",
            |asked, one, two| match asked.number {
                0 | 1 => Reply::right(asked, TAG, one),
                _ => Reply::right(asked, OTHER_TAG, two),
            },
            false,
            // The third in vain, then all anew.
            2 + 1 + 4,
        ),
        (
            "the whole of another version at the third part",
            |asked, one, two| match asked.number {
                0 | 1 => Reply::right(asked, TAG, one),
                _ => Reply::new("200 OK", OTHER_TAG, two),
            },
            false,
            3,
        ),
        (
            "parts cut short",
            |asked, one, _| {
                let (first, last) = asked.range().expect("a range");
                let last = last.unwrap_or(one.len() - 1).min(first + 399_999);
                Reply::part(TAG, one, first, last)
            },
            true,
            2 + 1 + 1 + 4,
        ),
        (
            "more than was asked for",
            |asked, one, _| {
                let (first, last) = asked.range().expect("a range");
                let last = last.map_or(one.len() - 1, |last| last + 1_000);
                Reply::part(TAG, one, first.saturating_sub(5), last)
            },
            true,
            4,
        ),
        (
            "several parts at once",
            |asked, one, _| match asked.range() {
                None => Reply::new("200 OK", TAG, one),
                Some(_) => Reply::new(
                    "206 Partial Content",
                    "Content-Type: multipart/byteranges; boundary=x\r\n",
                    b"--x--\r\n",
                ),
            },
            true,
            2,
        ),
    ];
    for (name, script, is_one, requests) in rows {
        let (one, two) = (content(3_000_000, 1), content(3_000_000, 2));
        let (sent_one, sent_two, script) = (one.clone(), two.clone(), *script);
        let origin = FaultyOrigin::new(move |asked| script(asked, &sent_one, &sent_two)).await;
        let bench = bench(&origin.url(), RANGES);
        bench.attempt().await.expect(name);
        assert_eq!(origin.asked().len(), *requests, "{name}");
        bench.assert_lands(&wanted(if *is_one { &one } else { &two }));
    }
}

#[tokio::test]
async fn a_range_that_is_not_inside_the_file_is_said_so() {
    type Script = fn(&Asked, &[u8]) -> Reply;
    let right: Script = |asked, body| Reply::right(asked, TAG, body);
    let whole: Script = |_, body| Reply::new("200 OK", TAG, body);
    let chunked: Script = |_, body| Reply::chunked(TAG, body);
    for ranges in [
        &[(1_000, Some(1))][..],
        &[(1_000, None)],
        &[(999, Some(2))],
        &[(0, Some(10)), (5_000, Some(1))],
        &[(0, Some(10)), (990, Some(11))],
    ] {
        for (name, script) in [("right", right), ("whole", whole), ("chunked", chunked)] {
            let body = content(1_000, 1);
            let origin = FaultyOrigin::new(move |asked| script(asked, &body)).await;
            let bench = bench(&origin.url(), ranges);
            let failure = bench.attempt().await.expect_err("outside");
            assert_eq!(
                failure.code,
                Hresult::BG_E_INVALID_RANGE,
                "{name} {ranges:?}: {failure}"
            );
            assert_eq!(failure.kind, FailureKind::Fatal);
            assert!(!bench.file().transferred);
        }
    }
}

#[tokio::test]
async fn a_strict_job_wants_its_parts_as_ranges() {
    let rows: &[fn(&Asked, &[u8]) -> Reply] = &[
        |_, body| Reply::new("200 OK", TAG, body),
        |asked, body| Reply::right(asked, "", body),
    ];
    for script in rows {
        let (body, script) = (content(3_000_000, 1), *script);
        let origin = FaultyOrigin::new(move |asked| script(asked, &body)).await;
        let mut bench = bench(&origin.url(), RANGES);
        bench.access.options.require_ranges = true;
        let failure = bench.attempt().await.expect_err("no ranges");
        assert_eq!(failure.code, Hresult::BG_E_INSUFFICIENT_RANGE_SUPPORT);
        assert_eq!(failure.kind, FailureKind::Fatal);
    }
}

/// Where the second part begins in the local file is nobody's guess.
#[tokio::test]
async fn a_whole_without_length_does_not_tell_where_parts_end() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |_| Reply::chunked(TAG, &sent)).await;
    let failing = bench(&origin.url(), RANGES);
    let failure = failing.attempt().await.expect_err("no length");
    assert_eq!(failure.code, Hresult::BG_E_INSUFFICIENT_RANGE_SUPPORT);
    let last = [(10, Some(5)), (2_900_000, None)];
    let bench = bench(&origin.url(), &last);
    bench.attempt().await.expect("the open part is the last");
    bench.assert_lands(&[&body[10..15], &body[2_900_000..]].concat());
}

#[tokio::test]
async fn a_hash_is_that_of_the_parts_together() {
    let body = content(3_000_000, 1);
    let hash = sha256(&wanted(&body));
    for has_ranges in [true, false] {
        let sent = body.clone();
        let origin = FaultyOrigin::new(move |asked| {
            if has_ranges {
                Reply::right(asked, TAG, &sent)
            } else {
                Reply::new("200 OK", TAG, &sent)
            }
        })
        .await;
        let bench = bench(&origin.url(), RANGES);
        bench.file.lock().expect("lock").sha256 = Some([7; 32]);
        let failure = bench.attempt().await.expect_err("another hash");
        assert_eq!(failure.code, Hresult::BG_E_VALIDATION_FAILED);
        bench.assert_nothing_lies_here();
        bench.file.lock().expect("lock").sha256 = Some(hash);
        bench.attempt().await.expect("fetched");
        bench.assert_lands(&wanted(&body));
    }
}

#[tokio::test]
async fn parts_of_a_whole_that_is_cut_leave_nothing_behind() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => cut(TAG, &sent),
        1 => Reply::new("200 OK", TAG, &sent).cut_by(1_000_000, Then::Stall),
        _ => Reply::new("200 OK", TAG, &sent),
    })
    .await;
    let bench = bench(&origin.url(), RANGES);
    for code in [
        Hresult::WININET_E_CONNECTION_ABORTED,
        Hresult::WININET_E_TIMEOUT,
    ] {
        let failure = bench.attempt().await.expect_err("cut");
        assert_eq!(failure.code, code);
        assert_eq!(failure.kind, FailureKind::ForNow(None));
        bench.assert_nothing_lies_here();
    }
    bench.attempt().await.expect("fetched");
    bench.assert_lands(&wanted(&body));
}
