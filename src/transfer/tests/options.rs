//! What a client may set of a job: the hash of a file, a limit, the method, headers.

use super::*;

fn with_hash(url: &str, body: &[u8]) -> Bench {
    let bench = Bench::new(url);
    bench.file.lock().expect("lock").sha256 = Some(sha256(body));
    bench
}

#[tokio::test]
async fn a_file_with_the_expected_hash_arrives() {
    for octets in [0, 100_000, 5_000_000] {
        for folder in [tempfile::tempdir(), tempfile::tempdir_in("/dev/shm")] {
            let body = content(octets, 1);
            let sent = body.clone();
            let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
            let bench = Bench::below(folder.expect("folder"), &origin.url());
            bench.file.lock().expect("lock").sha256 = Some(sha256(&body));
            bench.attempt().await.expect("fetched");
            bench.assert_lands(&body);
        }
    }
}

#[tokio::test]
async fn a_file_with_another_hash_is_dropped_and_fetched_again() {
    for octets in [10, 100_000, 5_000_000] {
        let (body, other) = (content(octets, 1), content(octets, 2));
        let sent = body.clone();
        let origin = FaultyOrigin::new(move |asked| {
            assert_eq!(asked.from(), None);
            let now = if asked.number == 0 { &other } else { &sent };
            Reply::right(asked, TAG, now)
        })
        .await;
        let bench = with_hash(&origin.url(), &body);
        let failure = bench.attempt().await.expect_err("another hash");
        assert_eq!(failure.code, Hresult::BG_E_VALIDATION_FAILED, "{failure}");
        assert_eq!(failure.context, ErrorContext::LocalFile);
        assert_eq!(failure.kind, FailureKind::Fatal);
        assert!(failure.detail.contains("SHA-256"), "{failure}");
        bench.assert_nothing_lies_here();
        bench.attempt().await.expect("fetched");
        bench.assert_lands(&body);
    }
}

#[tokio::test]
async fn the_hash_counts_what_lay_here_before() {
    let body = content(5_000_000, 1);
    let sent = body.clone();
    let script = move |asked: &Asked| match asked.number % 3 {
        0 => cut(TAG, &sent),
        1 => Reply::right(asked, TAG, &sent).cut_by(500_000, Then::Cut),
        _ => Reply::right(asked, TAG, &sent),
    };
    let origin = FaultyOrigin::new(script).await;
    let bench = with_hash(&origin.url(), &body);
    for _ in 0..2 {
        bench.attempt().await.expect_err("cut");
    }
    bench.attempt().await.expect("fetched");
    assert!(origin.asked()[2].from() > Some(4_000_000));
    bench.assert_lands(&body);
}

#[tokio::test]
async fn octets_that_were_changed_on_disk_do_not_pass() {
    let body = content(5_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => cut(TAG, &sent),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let bench = with_hash(&origin.url(), &body);
    bench.attempt().await.expect_err("cut");
    let name = landing::temporary_name(bench.job, 0);
    let path = bench.file().path.with_file_name(name);
    let mut octets = std::fs::read(&path).expect("there");
    octets[1_234_567] ^= 1;
    std::fs::write(&path, octets).expect("written");
    let failure = bench.attempt().await.expect_err("changed");
    assert_eq!(failure.code, Hresult::BG_E_VALIDATION_FAILED);
    bench.assert_nothing_lies_here();
}

#[tokio::test]
async fn a_whole_file_whose_last_report_was_lost_is_still_checked() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
    let bench = with_hash(&origin.url(), &body);
    bench.attempt().await.expect("fetched");
    bench.file.lock().expect("lock").transferred = false;
    bench.attempt().await.expect("it is here");
    bench.assert_lands(&body);
    let bench = with_hash(&origin.url(), &body);
    bench.attempt().await.expect("fetched");
    {
        let mut file = bench.file.lock().expect("lock");
        file.transferred = false;
        file.sha256 = Some([0; 32]);
    }
    let failure = bench.attempt().await.expect_err("another hash");
    assert_eq!(failure.code, Hresult::BG_E_VALIDATION_FAILED);
    bench.assert_nothing_lies_here();
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn another_version_has_a_hash_of_its_own() {
    let (one, two) = (content(3_000_000, 1), content(4_000_000, 2));
    let sent = two.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => cut(TAG, &one),
        _ => Reply::right(asked, OTHER_TAG, &sent),
    })
    .await;
    let bench = with_hash(&origin.url(), &two);
    bench.attempt().await.expect_err("cut");
    bench.attempt().await.expect("fetched");
    bench.assert_lands(&two);
}

#[tokio::test]
async fn dynamic_content_starts_over() {
    let (one, two) = (content(3_000_000, 1), content(2_000_000, 2));
    let sent = two.clone();
    let origin = FaultyOrigin::new(move |asked| {
        assert_eq!(asked.header("range"), None);
        match asked.number {
            0 => cut(OLD, &one),
            _ => Reply::new("200 OK", OLD, &sent),
        }
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    bench.access.options.dynamic_content = true;
    // Not even a strict host asks for ranges then.
    bench.transfer.require_ranges = true;
    bench.attempt().await.expect_err("cut");
    bench.attempt().await.expect("fetched");
    bench.assert_lands(&two);
}

#[tokio::test]
async fn a_job_does_not_go_beyond_its_limit() {
    type Script = fn(&Asked, &[u8]) -> Reply;
    let announced: Script = |asked, body| Reply::right(asked, TAG, body);
    let flowing: Script = |_, body| Reply::chunked(TAG, body);
    for (script, most, here, fits) in [
        (announced, 3_000_000, 0, true),
        (announced, 2_999_999, 0, false),
        (announced, 3_000_000, 1, false),
        (announced, 3_000_001, 1, true),
        (flowing, 3_000_000, 0, true),
        (flowing, 2_999_999, 0, false),
    ] {
        let body = content(3_000_000, 1);
        let sent = body.clone();
        let origin = FaultyOrigin::new(move |asked| script(asked, &sent)).await;
        let mut bench = Bench::new(&origin.url());
        bench.access.options.max_download_size = Some(most);
        bench.access.octets = here;
        let ended = bench.attempt().await;
        if fits {
            ended.expect("fits");
            bench.assert_lands(&body);
            continue;
        }
        let failure = ended.expect_err("too large");
        assert_eq!(failure.code, Hresult::BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED);
        assert_eq!(failure.kind, FailureKind::Fatal);
        assert!(!bench.file().transferred);
    }
}

#[tokio::test]
async fn the_limit_counts_every_file_once() {
    let body = content(100, 1);
    let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &body)).await;
    let mut bench = Bench::new(&origin.url());
    bench.access.options.max_download_size = Some(250);
    let session = bench.mover().session(bench.access.clone()).expect("open");
    let new = bench.file();
    for index in 0..3 {
        let mut file = new.clone();
        file.index = index;
        let order = Order {
            job: bench.job,
            file,
            written: Arc::default(),
            stop: CancellationToken::new(),
        };
        let ended = session.download(order, &bench).await;
        assert_eq!(ended.is_ok(), index < 2, "{index}");
    }
}

#[tokio::test]
async fn another_method_is_asked_once_and_from_the_start() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| {
        assert_eq!(asked.method, "POST");
        assert_eq!(asked.header("content-length"), Some("0"));
        assert_eq!(asked.header("range"), None);
        match asked.number {
            0 => cut(TAG, &sent),
            1 => Reply::new("503 Busy", "", b""),
            _ => Reply::right(asked, TAG, &sent),
        }
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    bench.access.options.method = Some("POST".to_owned());
    bench.transfer.require_ranges = true;
    for _ in 0..2 {
        let failure = bench.attempt().await.expect_err("for good");
        assert_eq!(failure.kind, FailureKind::Fatal, "{failure}");
    }
    bench.attempt().await.expect("fetched");
    bench.assert_lands(&body);
    bench.access.options.method = Some("HEAD".to_owned());
    let failure = bench.mover().session(bench.access.clone());
    assert_eq!(failure.expect_err("no file").code, Hresult::E_INVALIDARG);
}

#[tokio::test]
async fn custom_headers_go_with_every_request_to_the_own_server() {
    let other = FaultyOrigin::new(|asked| {
        assert_eq!(asked.header("x-token"), None);
        assert_eq!(asked.header("authorization"), None);
        Reply::right(asked, TAG, b"here")
    })
    .await;
    let location = format!("Location: {}\r\n", other.url());
    let origin = FaultyOrigin::new(move |asked| {
        assert_eq!(asked.header("x-token"), Some("secret"));
        assert_eq!(asked.header("authorization"), Some("Bearer abc"));
        assert_eq!(asked.header("user-agent"), Some("mine"));
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
        match asked.number {
            0 => Reply::new("302 Found", "Location: /again\r\n", b""),
            _ => Reply::new("302 Found", &location, b""),
        }
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    let headers = "X-Token: secret\r\nAuthorization: Bearer abc\r\nUser-Agent: mine";
    bench.access.headers = Some(Secret::new(headers.to_owned()));
    bench.attempt().await.expect("fetched");
    assert_eq!(origin.asked().len(), 2);
    bench.assert_lands(b"here");
    bench.access.headers = Some(Secret::new("Range: bytes=0-1".to_owned()));
    let failure = bench.mover().session(bench.access.clone());
    assert_eq!(failure.expect_err("ours").code, Hresult::E_INVALIDARG);
}
