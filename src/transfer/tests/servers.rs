//! Who is at the other end: log-ons, proxies, certificates, and connections that
//! serve again.

use super::*;

fn credentials(target: AuthTarget, scheme: AuthScheme) -> Credentials {
    Credentials {
        target,
        scheme,
        user: Secret::new("Aladdin".to_owned()),
        password: Secret::new("open sesame".to_owned()),
    }
}

#[tokio::test]
async fn credentials_answer_a_challenge_and_are_kept_from_others() {
    let other = FaultyOrigin::new(|asked| {
        assert_eq!(asked.header("authorization"), None);
        match asked.number {
            0 => Reply::right(asked, TAG, b"here"),
            _ => Reply::new("401 Who", "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
        }
    })
    .await;
    let location = format!("Location: {}\r\n", other.url());
    let origin = FaultyOrigin::new(move |asked| match asked.header("authorization") {
        None => Reply::new(
            "401 Who",
            "WWW-Authenticate: Basic realm=\"x\"\r\n",
            b"who?",
        ),
        Some(own) => {
            assert_eq!(own, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
            Reply::new("302 Found", &location, b"")
        }
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    bench.access.credentials = vec![credentials(AuthTarget::Server, AuthScheme::Basic)];
    bench.attempt().await.expect("fetched");
    bench.assert_lands(b"here");
    let asked = origin.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(asked[1].connection, 0, "the connection is kept");
    let mut second = Bench::new(&origin.url());
    second.access = bench.access.clone();
    let failure = second.attempt().await.expect_err("challenged elsewhere");
    assert_eq!(failure.code.number(), 0x8019_0191);
}

#[tokio::test]
async fn digest_is_answered_and_rejection_is_fatal() {
    const CHALLENGE: &str =
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"abc\", qop=\"auth\", algorithm=SHA-256\r\n";
    let origin = FaultyOrigin::new(|asked| match asked.header("authorization") {
        Some(own) if own.contains("username=\"Aladdin\"") && own.contains("uri=\"/file\"") => {
            Reply::right(asked, TAG, b"here")
        }
        _ => Reply::new("401 Who", CHALLENGE, b"who?"),
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    bench.access.credentials = vec![credentials(AuthTarget::Server, AuthScheme::Digest)];
    bench.attempt().await.expect("fetched");
    bench.assert_lands(b"here");
    let deaf = FaultyOrigin::new(|_| Reply::new("401 Who", CHALLENGE, b"")).await;
    let mut bench = Bench::new(&deaf.url());
    bench.access.credentials = vec![credentials(AuthTarget::Server, AuthScheme::Digest)];
    let failure = bench.attempt().await.expect_err("rejected");
    assert_eq!(failure.kind, FailureKind::Fatal);
    assert_eq!(failure.code.number(), 0x8019_0191);
    assert_eq!(deaf.asked().len(), 2);
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_whole_address_and_may_challenge() {
    let proxy = FaultyOrigin::new(|asked| {
        assert_eq!(asked.target, "http://origin.example/file?q");
        match asked.header("proxy-authorization") {
            None => Reply::new("407 Who", "Proxy-Authenticate: Basic realm=\"p\"\r\n", b""),
            Some(_) => Reply::right(asked, TAG, b"through"),
        }
    })
    .await;
    let mut bench = Bench::new("http://origin.example/file?q");
    bench.access.proxy = Proxy::Override {
        list: format!("127.0.0.1:1 {}", proxy.address),
        bypass: "<local>".to_owned(),
    };
    let failure = bench.attempt().await.expect_err("no credentials");
    assert_eq!(failure.code.number(), 0x8019_0197);
    assert!(!failure.detail.contains("?q"), "{failure}");
    bench.access.credentials = vec![credentials(AuthTarget::Proxy, AuthScheme::Basic)];
    bench.attempt().await.expect("fetched");
    bench.assert_lands(b"through");
}

#[tokio::test]
async fn a_literal_address_is_checked_behind_a_proxy_too() {
    let proxy = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"through")).await;
    let mut bench = Bench::new("http://169.254.169.254/latest");
    bench.access.proxy = Proxy::Override {
        list: proxy.address.to_string(),
        bypass: String::new(),
    };
    let failure = bench.attempt().await.expect_err("denied");
    assert_eq!(failure.code, Hresult::BG_E_BLOCKED_BY_POLICY);
    assert!(proxy.asked().is_empty());
}

/// A server certificate for the loopback address, and the PEM to trust it by.
fn tls() -> (Arc<rustls::ServerConfig>, String) {
    let (config, certificate) =
        tls_server::signed_by_itself(&["127.0.0.1", "origin.example"], |_| ());
    (Arc::new(config), certificate.pem())
}

#[tokio::test]
async fn tls_is_checked_and_a_cut_is_no_end() {
    let (config, pem) = tls();
    let body = content(2_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::with_tls(Some(config), move |asked| match asked.number {
        0 => Reply::raw(
            &format!("HTTP/1.0 200 OK\r\n{TAG}\r\n"),
            &sent[..1_500_000],
            Then::Cut,
        ),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let mut bench = Bench::new(&format!("https://{}/file", origin.address));
    let failure = bench.attempt().await.expect_err("not trusted");
    assert_eq!(failure.kind, FailureKind::Fatal, "{failure}");
    assert_eq!(failure.code, Hresult::WININET_E_DECODING_FAILED);
    let authorities = bench.folder.path().join("ca.pem");
    std::fs::write(&authorities, pem).expect("written");
    bench.transfer.ca_certificates = Some(authorities);
    let failure = bench.attempt().await.expect_err("cut");
    assert_eq!(
        failure.code,
        Hresult::WININET_E_CONNECTION_ABORTED,
        "{failure}"
    );
    bench.attempt().await.expect("fetched");
    assert!(origin.asked()[1].from().is_some());
    bench.assert_lands(&body);
}

#[tokio::test]
async fn https_goes_through_a_tunnel() {
    let (config, pem) = tls();
    let origin =
        FaultyOrigin::with_tls(Some(config), |asked| Reply::right(asked, TAG, b"inside")).await;
    let to = origin.address;
    let proxy = FaultyOrigin::new(move |asked| {
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("CONNECT", "origin.example:443")
        );
        match asked.header("proxy-authorization") {
            None => Reply::raw(
                "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"p\"\r\n\r\n",
                b"",
                Then::Close,
            ),
            Some(_) => Reply::raw("HTTP/1.1 200 Go\r\n\r\n", b"", Then::Tunnel(to)),
        }
    })
    .await;
    let mut bench = Bench::new("https://origin.example/file");
    let authorities = bench.folder.path().join("ca.pem");
    std::fs::write(&authorities, pem).expect("written");
    bench.transfer.ca_certificates = Some(authorities);
    bench.access.proxy = Proxy::Override {
        list: proxy.address.to_string(),
        bypass: String::new(),
    };
    bench.access.credentials = vec![credentials(AuthTarget::Proxy, AuthScheme::Basic)];
    bench.attempt().await.expect("fetched");
    bench.assert_lands(b"inside");
    assert_eq!(origin.asked()[0].header("proxy-authorization"), None);
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_at_once() {
    let origin = FaultyOrigin::new(|asked| {
        let mut reply = Reply::right(asked, TAG, b"here");
        // Announces nothing, and hangs up.
        reply.then = Then::Close;
        reply
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
    }
    assert_eq!(origin.asked().len(), 3);
}

#[tokio::test]
async fn many_files_share_few_connections() {
    let origin = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"small")).await;
    let bench = Bench::new(&origin.url());
    let session = bench.mover().session(Access::default()).expect("open");
    for index in 0..20 {
        let mut file = bench.file();
        file.index = index;
        let order = Order {
            job: bench.job,
            file,
            written: Arc::default(),
            stop: CancellationToken::new(),
        };
        session.download(order, &bench).await.expect("fetched");
    }
    assert!(origin.asked().iter().all(|asked| asked.connection == 0));
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_the_chosen_one() {
    let key = rcgen::KeyPair::generate().expect("key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "client");
    let own = parameters.self_signed(&key).expect("certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.der().clone()).expect("root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .expect("verifier");
    let server_key = rcgen::KeyPair::generate().expect("key");
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .expect("names")
        .self_signed(&server_key)
        .expect("certificate");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![server.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(server_key.serialize_der()).expect("key"),
        )
        .expect("config");
    let config = Arc::new(config);
    let origin = FaultyOrigin::with_tls(Some(Arc::clone(&config)), |asked| {
        Reply::right(asked, TAG, b"known")
    })
    .await;
    let elsewhere = format!("Location: https://{}/file\r\n", origin.address);
    let other = FaultyOrigin::with_tls(Some(config), move |_| {
        Reply::new("302 Found", &elsewhere, b"")
    })
    .await;
    let mut bench = Bench::new(&format!("https://{}/file", origin.address));
    let authorities = bench.folder.path().join("ca.pem");
    std::fs::write(&authorities, server.pem()).expect("written");
    bench.transfer.ca_certificates = Some(authorities);
    let failure = bench.attempt().await.expect_err("without");
    assert_eq!(
        failure.code,
        Hresult::WININET_E_CLIENT_AUTH_CERT_NEEDED,
        "{failure}"
    );
    assert_eq!(failure.kind, FailureKind::Fatal);
    let stores = bench.folder.path().join("stores");
    std::fs::create_dir_all(stores.join("MY")).expect("store");
    std::fs::write(stores.join("MY/own.pem"), own.pem() + &key.serialize_pem()).expect("file");
    bench.transfer.client_certificates = Some(stores);
    let chosen = ClientCertificate {
        store_name: "MY".to_owned(),
        choice: crate::bits::CertificateChoice::Subject("client".to_owned()),
    };
    bench
        .mover()
        .check_client_certificate(&chosen)
        .expect("found");
    bench.access.client_certificate = Some(chosen);
    bench.attempt().await.expect("fetched");
    bench.assert_lands(b"known");
    // Where a redirect leads, nobody is told who we are.
    let mut second = Bench::new(&format!("https://{}/file", other.address));
    second.access = bench.access.clone();
    second.transfer = bench.transfer.clone();
    let failure = second.attempt().await.expect_err("without");
    assert_eq!(failure.code, Hresult::WININET_E_CLIENT_AUTH_CERT_NEEDED);
}
