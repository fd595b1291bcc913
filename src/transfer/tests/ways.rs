//! Redirects, trust, proxies and fences against the scripted origin.

use super::*;
use crate::bits::RedirectPolicy;
use crate::config::HostPattern;
use crate::config::Scheme;
use crate::trust::Thumbprint;

fn redirect(status: &'static str, to: String) -> impl Fn(&Asked) -> Reply + Send + Sync {
    move |_| Reply::new(status, &format!("Location: {to}\r\n"), b"")
}

async fn with_flags(url: &str, security_flags: u32) -> (Bench, Result<(), Failure>) {
    let mut bench = Bench::new(url);
    bench.access.options.security_flags = security_flags;
    let outcome = bench.attempt().await;
    (bench, outcome)
}

#[tokio::test]
async fn the_job_decides_what_becomes_of_redirects() {
    let goal = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"goal")).await;
    for status in [
        "300 Choices",
        "301 Moved",
        "302 Found",
        "303 Other",
        "307 Keep",
        "308 Keep",
    ] {
        let to = format!("{}?token=hush", goal.url());
        let start = FaultyOrigin::new(redirect(status, to.clone())).await;
        let (bench, outcome) = with_flags(&start.url(), 0).await;
        outcome.expect(status);
        bench.assert_lands(b"goal");
        assert_eq!(bench.file().remote_url, start.url(), "silently");

        let (bench, outcome) = with_flags(&start.url(), 0x100).await;
        outcome.expect(status);
        assert_eq!(bench.file().remote_url, to, "reported");
        let told = bench.told.lock().expect("lock").clone();
        let last: Vec<_> = told.iter().rev().take(2).collect();
        assert_eq!(last, [&FileReport::Done(4), &FileReport::Moved(to)]);

        let (bench, outcome) = with_flags(&start.url(), 0x200).await;
        let failure = outcome.expect_err(status);
        let number: u16 = status[..3].parse().expect("a status");
        assert_eq!(failure.kind, FailureKind::Fatal, "{failure}");
        assert_eq!(failure.code, Hresult::from_http_status(number));
        assert_eq!(failure.circumstances.status, Some(number));
        assert!(failure.detail.contains("0x200") && !failure.detail.contains("hush"));
        assert_eq!(bench.file().remote_url, start.url());
    }
    assert!(goal.asked().iter().all(|asked| asked.method == "GET"));
    let (bench, outcome) = with_flags(&goal.url(), 0x100).await;
    outcome.expect("no redirect at all");
    assert_eq!(bench.file().remote_url, goal.url());
}

#[tokio::test]
async fn a_redirect_out_of_tls_needs_a_flag() {
    let goal = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"goal")).await;
    let (config, certificate) = tls_server::signed_by_itself(&["127.0.0.1"], |_| ());
    let to = redirect("302 Found", goal.url());
    let start = FaultyOrigin::with_tls(Some(Arc::new(config)), to).await;
    let mut bench = Bench::new(&format!("https://{}/file", start.address));
    bench.transfer.server_thumbprints = vec![Thumbprint::sha256_of(certificate.der()).to_string()];
    let failure = bench.attempt().await.expect_err("downgraded");
    assert_eq!(failure.code, Hresult::WININET_E_REDIRECT_FAILED);
    assert!(failure.detail.contains("0x800"), "{failure}");
    assert!(goal.asked().is_empty());
    bench.access.options.security_flags = 0x800;
    bench.attempt().await.expect("allowed");
    bench.assert_lands(b"goal");
}

#[tokio::test]
async fn a_circle_of_redirects_is_named() {
    let origin = FaultyOrigin::new(|asked| {
        let to = if asked.target == "/file" {
            "/two"
        } else {
            "/file"
        };
        Reply::new("302 Found", &format!("Location: {to}\r\n"), b"")
    })
    .await;
    let failure = Bench::new(&origin.url()).attempt().await;
    let failure = failure.expect_err("a circle");
    assert_eq!(failure.code, Hresult::WININET_E_REDIRECT_FAILED);
    assert!(failure.detail.contains("in a circle"), "{failure}");
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn a_method_with_a_body_is_the_same_behind_a_redirect() {
    use super::super::http_origin::Ask;
    let goal = FaultyOrigin::new(|_| Reply::new("200 OK", "", b"")).await;
    // 303 says that it was taken, and is not followed.
    for status in ["301 Moved", "302 Found", "307 Keep", "308 Keep"] {
        let start = FaultyOrigin::new(redirect(status, goal.url())).await;
        let bench = Bench::new(&start.url());
        let session = bench.mover().session(bench.access.clone()).expect("usable");
        assert_eq!(session.origin.redirects, RedirectPolicy::Allow);
        let ask = Ask {
            method: hyper::Method::from_bytes(b"BITS_POST").expect("a method"),
            ..Ask::default()
        };
        let url = start.url().parse().expect("a URL");
        let answer = session.origin.ask(&url, &ask).await.expect(status);
        assert_eq!(answer.status.as_u16(), 200);
        assert!(answer.moved.is_none());
    }
    let methods: Vec<_> = goal.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, vec!["BITS_POST"; 4]);
}

/// With these flags, thumbprints of the job and of the settings: the code.
async fn trusts(
    url: &str,
    flags: u32,
    pins: &[String],
    setting: &[String],
) -> Result<(), (u32, String)> {
    let mut bench = Bench::new(url);
    bench.access.options.security_flags = flags;
    bench.access.options.thumbprints = pins.to_vec();
    bench.transfer.server_thumbprints = setting.to_vec();
    let outcome = bench.attempt().await;
    outcome.map_err(|failure| {
        assert_eq!(failure.kind, FailureKind::Fatal, "{failure}");
        (failure.code.number(), failure.detail)
    })
}

#[tokio::test]
async fn flags_and_thumbprints_decide_about_certificates() {
    let as_authority = |parameters: &mut rcgen::CertificateParams| {
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    let (config, certificate) = tls_server::signed_by_itself(&["elsewhere.example"], as_authority);
    let script = |asked: &Asked| Reply::right(asked, TAG, b"x");
    let origin = FaultyOrigin::with_tls(Some(Arc::new(config)), script).await;
    let url = format!("https://{}/file", origin.address);
    let sha1 = [Thumbprint::sha1_of(certificate.der()).to_string()];
    let sha256 = [Thumbprint::sha256_of(certificate.der()).to_string()];
    let other = ["ab".repeat(32)];
    for (flags, pins, setting, is_trusted) in [
        (0, &[][..], &[][..], false),
        (0x8, &[], &[], false),
        (0x2, &[], &[], false),
        (0xA, &[], &[], true),
        (0, &sha1, &[], true),
        (0, &sha256, &[], true),
        (0, &[], &sha1, true),
        (0, &[], &sha256, true),
        (0, &[], &other, false),
        // What the job pins is all that counts.
        (0, &other, &sha256, false),
        (0xA, &other, &[], false),
        // There is no list of an issuer that is trusted.
        (0xB, &[], &[], false),
        (0x1, &sha256, &[], true),
    ] {
        let outcome = trusts(&url, flags, pins, setting).await;
        assert_eq!(
            outcome.is_ok(),
            is_trusted,
            "{flags:#x} {pins:?} {outcome:?}"
        );
        if let Err((code, words)) = outcome {
            assert_eq!(code, 0x8007_2F8F);
            assert!(words.contains(&sha256[0]), "{words}");
        }
    }
    let words = trusts(&url, 0, &[], &[]).await.expect_err("unknown").1;
    assert!(words.contains("flags 0xa "), "{words}");
    let (code, _) = trusts(&url, 0x20, &[], &[]).await.expect_err("unknown bit");
    assert_eq!(code, 0x8000_4001);
    let (code, _) = trusts(&url, 0, &["xy".to_owned()], &[])
        .await
        .expect_err("no pin");
    assert_eq!(code, 0x8007_0057);
}

#[tokio::test]
async fn a_session_of_one_job_is_not_resumed_by_a_stricter_one() {
    let (config, _) = tls_server::signed_by_itself(&["127.0.0.1"], |_| ());
    let script = |asked: &Asked| Reply::right(asked, TAG, b"x");
    let origin = FaultyOrigin::with_tls(Some(Arc::new(config)), script).await;
    let mut bench = Bench::new(&format!("https://{}/file", origin.address));
    let mover = bench.mover();
    for (flags, is_trusted) in [(0x8, true), (0, false), (0x8, true), (0x9, false)] {
        bench.access.options.security_flags = flags;
        let session = mover.session(bench.access.clone()).expect("usable");
        let order = Order {
            job: JobId::new(),
            file: File::new(
                0,
                NewFile {
                    remote_url: bench.file().remote_url,
                    path: bench.file().path,
                    ..NewFile::default()
                },
            ),
            written: Arc::default(),
            stop: CancellationToken::new(),
        };
        let outcome = session.download(order, &bench).await;
        assert_eq!(outcome.is_ok(), is_trusted, "{flags:#x} {outcome:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_down_is_passed_over() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let down = closed.local_addr().expect("address");
    drop(closed);
    let proxy = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"proxied")).await;
    let mut bench = Bench::new("http://files.example/file");
    bench.access.proxy = Proxy::Override {
        list: format!("{down} {}", proxy.address),
        bypass: String::new(),
    };
    bench.attempt().await.expect("fetched");
    bench.assert_lands(b"proxied");
    // With none but that one, it is tried, and the reason is told.
    let mut alone = Bench::new("http://files.example/file");
    alone.access.proxy = Proxy::Override {
        list: down.to_string(),
        bypass: String::new(),
    };
    let failure = alone.attempt().await.expect_err("down");
    assert_eq!(failure.code, Hresult::WININET_E_CANNOT_CONNECT);
    assert!(failure.detail.contains(&down.to_string()), "{failure}");
    assert_eq!(failure.circumstances.phase, Some(Phase::Connecting));
    let url = failure.circumstances.url.as_deref();
    assert_eq!(url, Some("http://files.example/file"));
}

#[tokio::test]
async fn the_rules_for_hosts_hold_for_proxies_of_a_job_too() {
    let mut bench = Bench::new("http://files.example/file");
    let host = |text: &str| HostPattern::try_from(text.to_owned()).expect("a host");
    bench.transfer.allow_hosts = vec![host("files.example"), host("proxy.example")];
    let mover = bench.mover();
    for (list, code) in [
        ("proxy.example:3128", None),
        ("evil.example:3128", Some(Hresult::BG_E_BLOCKED_BY_POLICY)),
        ("http://wpad/wpad.dat", Some(Hresult::E_NOTIMPL)),
        ("socks=x", Some(Hresult::E_NOTIMPL)),
        ("x:99999", Some(Hresult::E_INVALIDARG)),
        (" ", Some(Hresult::E_INVALIDARG)),
    ] {
        let proxy = Proxy::Override {
            list: list.to_owned(),
            bypass: String::new(),
        };
        let outcome = mover.check_proxy(&proxy);
        assert_eq!(outcome.err().map(|failure| failure.code), code, "{list}");
        // A list that was stored before the settings changed.
        let access = Access {
            proxy,
            ..Access::default()
        };
        let outcome = mover.session(access).err().map(|failure| failure.code);
        let at_run_time = code.map(|code| match code {
            Hresult::BG_E_BLOCKED_BY_POLICY => code,
            _ => Hresult::BG_E_INVALID_PROXY_INFO,
        });
        assert_eq!(outcome, at_run_time, "{list}");
    }
}

#[tokio::test]
async fn rules_for_sources_hold_when_given_when_run_and_behind_redirects() {
    let goal = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"goal")).await;
    let start = FaultyOrigin::new(redirect("302 Found", goal.url())).await;
    let mut bench = Bench::new(&start.url());
    bench.transfer.allow_ports = vec![start.address.port()];
    let failure = bench.attempt().await.expect_err("another port");
    assert_eq!(failure.code, Hresult::BG_E_BLOCKED_BY_POLICY);
    assert_eq!(failure.kind, FailureKind::Fatal);
    assert!(failure.detail.contains("transfer.allow_ports"), "{failure}");
    assert!(goal.asked().is_empty());
    assert_eq!(start.asked().len(), 1);
    bench.transfer.allow_ports.push(goal.address.port());
    bench.attempt().await.expect("fetched");
    bench.transfer.schemes = vec![Scheme::Https];
    let refused = bench.mover().remote(&start.url()).expect_err("no http");
    assert_eq!(refused.code, Hresult::BG_E_BLOCKED_BY_POLICY);
    let failure = Bench {
        transfer: bench.transfer.clone(),
        ..Bench::new(&start.url())
    }
    .attempt()
    .await
    .expect_err("settings have changed");
    assert!(failure.detail.contains("transfer.schemes"), "{failure}");
    assert_eq!(start.asked().len(), 2);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_a_failure_for_now() {
    let mut bench = Bench::new("http://no-such-name.invalid/file?token=hush");
    bench.transfer.connect_timeout_s = 3;
    let failure = bench.attempt().await.expect_err("nowhere");
    assert_eq!(failure.code, Hresult::WININET_E_NAME_NOT_RESOLVED);
    assert_eq!(failure.kind, FailureKind::ForNow(None));
    assert_eq!(failure.circumstances.phase, Some(Phase::Resolving));
    let url = failure.circumstances.url.as_deref();
    assert_eq!(url, Some("http://no-such-name.invalid/file"));
}

#[tokio::test]
async fn every_failure_says_where_it_happened() {
    for (script, phase, status) in [
        (
            (|_| Reply::new("503 Busy", "Retry-After: 9\r\n", b"")) as fn(&Asked) -> Reply,
            Phase::Asking,
            Some(503),
        ),
        (|_| Reply::raw("", b"", Then::Stall), Phase::Asking, None),
        (
            |_| Reply::raw("HTTP/9\r\n\r\n", b"", Then::Close),
            Phase::Asking,
            None,
        ),
        (
            |_| {
                Reply::raw(
                    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                    b"x",
                    Then::Close,
                )
            },
            Phase::Receiving,
            None,
        ),
    ] {
        let origin = FaultyOrigin::new(script).await;
        let bench = Bench::new(&format!("{}?token=hush", origin.url()));
        let failure = bench.attempt().await.expect_err("failed");
        let at = &failure.circumstances;
        assert_eq!(at.phase, Some(phase), "{failure}");
        assert_eq!(at.status, status, "{failure}");
        assert_eq!(at.url.as_deref(), Some(origin.url().as_str()), "{failure}");
        assert_eq!(at.server_retry_at.is_some(), status.is_some());
    }
}
