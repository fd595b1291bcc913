//! How attempts end at servers that go wrong: which code, how often they are
//! asked, what is kept.

use super::*;

/// One row: what the server does once something lies here; code, fatal, requests
/// of the second attempt.
type Row = (
    &'static str,
    fn(&Asked, &[u8]) -> Reply,
    Hresult,
    bool,
    usize,
);

#[tokio::test]
async fn a_server_that_goes_wrong_is_asked_a_few_times_only() {
    let rows: &[Row] = &[
        (
            "a new version in each answer",
            |asked, body| {
                let tag = format!("ETag: \"{}\"\r\n", asked.number);
                match asked.from() {
                    None => Reply::new("200 OK", &tag, body).cut_by(1_000_000, Then::Cut),
                    Some(from) => Reply::part(&tag, body, from, body.len() - 1),
                }
            },
            Hresult::WININET_E_CONNECTION_ABORTED,
            false,
            2,
        ),
        (
            "ranges of one octet",
            |asked, body| {
                let from = asked.from().expect("a range");
                Reply::part(TAG, body, from, from)
            },
            Hresult::WININET_E_INVALID_SERVER_RESPONSE,
            false,
            17,
        ),
        (
            "416 to everything",
            |_, _| Reply::new("416 Range Not Satisfiable", "", b""),
            Hresult::from_http_status(416),
            true,
            2,
        ),
        (
            "an encoded range",
            |asked, body| {
                let from = asked.from().expect("a range");
                let headers = format!("{TAG}Content-Encoding: gzip\r\n");
                Reply::part(&headers, body, from, body.len() - 1)
            },
            Hresult::BG_E_INVALID_SERVER_RESPONSE,
            true,
            1,
        ),
        (
            "an encoded whole to a range",
            |_, body| Reply::new("200 OK", &format!("{TAG}Content-Encoding: br\r\n"), body),
            Hresult::BG_E_INVALID_SERVER_RESPONSE,
            true,
            1,
        ),
        (
            "wrong ranges and unasked parts",
            |_, body| Reply::part(TAG, body, 17, 99),
            Hresult::WININET_E_INVALID_SERVER_RESPONSE,
            false,
            2,
        ),
        (
            "503 to a range",
            |_, _| Reply::new("503 Busy", "Retry-After: 9\r\n", b""),
            Hresult::from_http_status(503),
            false,
            1,
        ),
        (
            "404 to a range",
            |_, _| Reply::new("404 Gone", "", b""),
            Hresult::from_http_status(404),
            true,
            1,
        ),
    ];
    for (name, script, code, fatal, requests) in rows {
        let (body, script) = (content(3_000_000, 1), *script);
        let origin = FaultyOrigin::new(move |asked| match asked.number {
            0 => cut(TAG, &body),
            _ => script(asked, &body),
        })
        .await;
        let bench = Bench::new(&origin.url());
        bench.attempt().await.expect_err("cut");
        assert_eq!(bench.file().durable, 2_000_000);
        let failure = bench.attempt().await.expect_err(name);
        assert_eq!(failure.code, *code, "{name}: {failure}");
        assert_eq!(failure.kind == FailureKind::Fatal, *fatal, "{name}");
        assert_eq!(origin.asked().len(), 1 + requests, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_changes_all_the_time_is_put_off() {
    let body = content(4_000_000, 1);
    let origin = FaultyOrigin::new(move |asked| {
        let tag = format!("ETag: \"{}\"\r\n", asked.number);
        match asked.from() {
            None => Reply::part(&tag, &body, 0, 999_999),
            Some(from) => Reply::part(&tag, &body, from, from + 999_999),
        }
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    bench.transfer.require_ranges = true;
    let failure = bench.attempt().await.expect_err("changes");
    assert_eq!(failure.code, Hresult::BG_E_REMOTE_FILE_CHANGED, "{failure}");
    assert_eq!(failure.kind, FailureKind::ForNow(None));
    assert!(origin.asked().len() < 10, "{}", origin.asked().len());
    assert!(!bench.file().transferred);
}

#[tokio::test]
async fn a_server_with_our_own_size_has_no_more() {
    let body = content(8_192 * 100, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        // Everything comes but the end of the chunks.
        0 => Reply::chunked(TAG, &sent).cut_by(5, Then::Cut),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let bench = Bench::new(&origin.url());
    bench.attempt().await.expect_err("cut");
    bench.attempt().await.expect("nothing is missing");
    assert_eq!(origin.asked()[1].from(), Some(body.len()));
    assert_eq!(origin.asked().len(), 2);
    bench.assert_lands(&body);
}

#[tokio::test]
async fn a_file_without_a_version_says_why_it_starts_over() {
    let body = content(3_000_000, 1);
    let origin = FaultyOrigin::new(move |_| cut("ETag: W/\"one\"\r\n", &body)).await;
    let failure = Bench::new(&origin.url()).attempt().await.expect_err("cut");
    assert!(failure.detail.contains("names no version"), "{failure}");
}

#[tokio::test]
async fn a_server_without_ranges_is_told_of() {
    let body = content(3_000_000, 1);
    let origin = FaultyOrigin::new(move |_| cut(TAG, &body)).await;
    let bench = Bench::new(&origin.url());
    for _ in 0..2 {
        bench.attempt().await.expect_err("cut");
    }
    let failure = bench.attempt().await.expect_err("cut");
    assert!(failure.detail.contains("has no ranges"), "{failure}");
    let told = bench.told.lock().expect("lock").clone();
    let notices = told
        .iter()
        .filter(|report| **report == FileReport::WithoutRanges);
    assert_eq!(notices.count(), 2, "{told:?}");
    assert_eq!(bench.file().durable, 2_000_000, "nothing falls back");
}

#[tokio::test]
async fn a_strict_job_refuses_a_server_without_ranges() {
    type Script = fn(&Asked, &[u8]) -> Reply;
    let rows: &[(&str, Script)] = &[
        ("the whole file", |_, body| Reply::new("200 OK", TAG, body)),
        ("a part that is not named", |_, body| {
            Reply::new("206 Partial Content", TAG, body)
        }),
        ("416", |_, _| Reply::new("416 No", "", b"")),
        ("short, and without a version", |_, body| {
            Reply::part("", body, 0, 9)
        }),
    ];
    for (name, script) in rows {
        let (body, script) = (content(100_000, 1), *script);
        let origin = FaultyOrigin::new(move |asked| script(asked, &body)).await;
        for by_setting in [true, false] {
            let mut bench = Bench::new(&origin.url());
            bench.transfer.require_ranges = by_setting;
            bench.access.options.require_ranges = !by_setting;
            let failure = bench.attempt().await.expect_err(name);
            assert_eq!(failure.code, Hresult::BG_E_INSUFFICIENT_RANGE_SUPPORT);
            assert_eq!(failure.kind, FailureKind::Fatal, "{name}");
            assert_eq!(origin.asked()[0].from(), Some(0));
        }
    }
}

#[tokio::test]
async fn a_strict_job_fetches_from_a_server_with_ranges() {
    for octets in [0, 1, 100_000, 3_000_000] {
        let body = content(octets, 1);
        let sent = body.clone();
        let origin = FaultyOrigin::new(move |asked| {
            let reply = Reply::right(asked, TAG, &sent);
            match asked.number {
                0 if sent.len() > 1_000_000 => reply.cut_by(1_000_000, Then::Cut),
                _ => reply,
            }
        })
        .await;
        let mut bench = Bench::new(&origin.url());
        bench.transfer.require_ranges = true;
        if octets > 1_000_000 {
            bench.attempt().await.expect_err("cut");
        }
        bench.attempt().await.expect("fetched");
        bench.assert_lands(&body);
    }
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_no_answer() {
    let head = |length: &str| format!("HTTP/1.1 200 OK\r\n{length}\r\n");
    for (length, fits) in [
        ("Content-Length: 4\r\nContent-Length: 5\r\n", false),
        ("Content-Length: 4, 5\r\n", false),
        ("Content-Length: -4\r\n", false),
        ("Content-Length: four\r\n", false),
        ("Content-Length: 4\r\nContent-Length: 4\r\n", true),
        ("Content-Length: 4, 4\r\n", true),
    ] {
        let reply = Reply::raw(&head(length), b"four", Then::Close);
        let origin = FaultyOrigin::new(move |_| reply.clone()).await;
        let bench = Bench::new(&origin.url());
        if fits {
            bench.attempt().await.expect(length);
            bench.assert_lands(b"four");
            continue;
        }
        let failure = bench.attempt().await.expect_err(length);
        assert_eq!(failure.code, Hresult::WININET_E_INVALID_SERVER_RESPONSE);
        assert_eq!(failure.kind, FailureKind::ForNow(None), "{length}");
    }
}

/// What stands behind a body that was announced too short is nobody's answer.
#[tokio::test]
async fn octets_behind_a_short_length_do_not_reach_the_next_file() {
    let origin = FaultyOrigin::new(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
        let poison = b"fourHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        Reply::raw(head, poison, Then::Next)
    })
    .await;
    let bench = Bench::new(&origin.url());
    let session = bench.mover().session(Access::default()).expect("open");
    for index in 0..3 {
        let mut file = bench.file();
        file.index = index;
        let order = Order {
            job: bench.job,
            file,
            written: Arc::default(),
            stop: CancellationToken::new(),
        };
        session.download(order, &bench).await.expect("fetched");
        assert_eq!(bench.file().size, Some(4), "{index}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_is_never_whole() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (name, reply) in [
        (
            "less than was announced",
            Reply::new("200 OK", "", b"twelve octet").cut_by(4, Then::Close),
        ),
        (
            "no last chunk",
            Reply::raw(chunks, b"4\r\nfour\r\n", Then::Close),
        ),
        (
            "a chunk without its end",
            Reply::raw(chunks, b"8\r\nfour", Then::Close),
        ),
        (
            "a chunk that is none",
            Reply::raw(chunks, b"x\r\nfour\r\n0\r\n\r\n", Then::Close),
        ),
    ] {
        let origin = FaultyOrigin::new(move |_| reply.clone()).await;
        let bench = Bench::new(&origin.url());
        let failure = bench.attempt().await.expect_err(name);
        assert!(
            [
                Hresult::WININET_E_CONNECTION_ABORTED,
                Hresult::WININET_E_INVALID_SERVER_RESPONSE
            ]
            .contains(&failure.code),
            "{name}: {failure}"
        );
        assert_eq!(failure.kind, FailureKind::ForNow(None), "{name}");
        assert!(!bench.file().transferred, "{name}");
    }
}
