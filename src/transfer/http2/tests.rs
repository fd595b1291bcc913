//! Jobs against a server that speaks both versions of HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::super::Access;
use super::super::Mover;
use super::super::Session;
use super::super::http_origin::Ask;
use super::super::tls_server;
use super::*;
use crate::config::FilesSettings;
use crate::config::Network;
use crate::config::TransferSettings;

/// A server on loopback; ends when dropped.
struct Server {
    address: SocketAddr,
    /// Connections of HTTP/1.1 and of HTTP/2.
    made: Arc<[AtomicUsize; 2]>,
    certificate: String,
    task: tokio::task::JoinHandle<()>,
}

/// How long a connection of HTTP/2 lasts.
#[derive(Clone, Copy, PartialEq)]
enum Lasts {
    Always,
    /// The server says good-bye after the first answer.
    OneAnswer,
}

impl Server {
    async fn new(protocols: &[&str], lasts: Lasts) -> Self {
        let (mut tls, certificate) = tls_server::signed_by_itself(&["127.0.0.1"], |_| ());
        tls.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let made: Arc<[AtomicUsize; 2]> = Arc::default();
        let count = Arc::clone(&made);
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("accept");
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let is_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    count[usize::from(is_two)].fetch_add(1, Ordering::Relaxed);
                    serve(stream, is_two, lasts).await;
                });
            }
        });
        Self {
            address,
            made,
            certificate: certificate.pem(),
            task,
        }
    }

    fn session(&self, http2: bool, connections: usize) -> (tempfile::TempDir, Session) {
        let folder = tempfile::tempdir().expect("folder");
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, &self.certificate).expect("written");
        let transfer = TransferSettings {
            allow_addresses: vec![Network::try_from("127.0.0.1".to_owned()).expect("address")],
            ca_certificates: Some(authority),
            connections_per_origin: connections,
            http2,
            ..TransferSettings::default()
        };
        let mover = Mover::new(&transfer, &FilesSettings::default(), folder.path(), &[]);
        let session = mover.expect("usable").session(Access::default());
        (folder, session.expect("usable"))
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("https://{}{path}", self.address)).expect("url")
    }

    fn made(&self) -> (usize, usize) {
        let count = |at: usize| self.made[at].load(Ordering::Relaxed);
        (count(0), count(1))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    is_two: bool,
    lasts: Lasts,
) {
    let answered = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&answered);
    let service = service_fn(move |request: Request<Incoming>| {
        let (path, told) = (request.uri().path().to_owned(), Arc::clone(&told));
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            told.notify_one();
            let body = if path == "/big" {
                Bytes::from(vec![7; BIG])
            } else {
                Bytes::from(path.clone())
            };
            let mut answer = Response::new(Full::new(body));
            if path == "/misdirected" && is_two {
                *answer.status_mut() = StatusCode::MISDIRECTED_REQUEST;
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let stream = TokioIo::new(stream);
    if !is_two {
        let _ = http1::Builder::new()
            .serve_connection(stream, service)
            .await;
        return;
    }
    let mut served = std::pin::pin!(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(4)
            .serve_connection(stream, service)
    );
    tokio::select! {
        _ = &mut served => return,
        () = answered.notified(), if lasts == Lasts::OneAnswer => {}
    }
    if lasts == Lasts::OneAnswer {
        served.as_mut().graceful_shutdown();
    }
    let _ = served.await;
}

async fn fetch(session: Session, url: Url) -> (Version, Vec<u8>) {
    let mut answer = session
        .origin
        .ask(&url, &Ask::default())
        .await
        .expect("answered");
    assert_eq!(answer.status, StatusCode::OK);
    let version = answer.version;
    let mut all = Vec::new();
    while let Some(data) = answer.data().await {
        all.extend_from_slice(&data.expect("whole"));
    }
    answer.finish();
    (version, all)
}

/// Fetches so many files at once, again and again.
async fn fetch_many(session: &Session, server: &Server, at_once: usize, times: usize) {
    for time in 0..times {
        let mut all = JoinSet::new();
        for number in 0..at_once {
            let path = format!("/{time}/{number}");
            let (session, url) = (session.clone(), server.url(&path));
            all.spawn(async move { (fetch(session, url).await.1, path) });
        }
        while let Some(done) = all.join_next().await {
            let (body, path) = done.expect("no panic");
            assert_eq!(body, path.as_bytes());
        }
    }
}

#[tokio::test]
async fn the_files_of_a_job_share_one_connection() {
    let server = Server::new(&["h2", "http/1.1"], Lasts::Always).await;
    let (_folder, session) = server.session(true, 64);
    // Before the server has said how many streams it takes, it refuses some:
    // those get a connection of HTTP/1.1.
    fetch_many(&session, &server, 16, 1).await;
    let first = server.made();
    assert_eq!(first.1, 1);
    fetch_many(&session, &server, 16, 4).await;
    assert_eq!(server.made(), first);
}

#[tokio::test]
async fn a_job_of_one_file_and_a_service_without_http2_use_http_1() {
    let server = Server::new(&["h2", "http/1.1"], Lasts::Always).await;
    let (_folder, session) = server.session(true, 64);
    fetch_many(&session, &server, 1, 3).await;
    assert_eq!(server.made(), (1, 0));
    let (_folder, session) = server.session(false, 64);
    fetch_many(&session, &server, 4, 3).await;
    assert_eq!(server.made(), (5, 0));
}

#[tokio::test]
async fn a_server_without_http2_is_asked_for_it_once() {
    let server = Server::new(&["http/1.1"], Lasts::Always).await;
    let (_folder, session) = server.session(true, 64);
    fetch_many(&session, &server, 8, 4).await;
    let (one, two) = server.made();
    assert!(one <= 8 && two == 0, "{one}");
}

#[tokio::test]
async fn a_big_body_and_a_misdirected_request_get_a_connection_to_themselves() {
    let server = Server::new(&["h2", "http/1.1"], Lasts::Always).await;
    let (_folder, session) = server.session(true, 64);
    fetch_many(&session, &server, 4, 2).await;
    let (version, body) = fetch(session.clone(), server.url("/small")).await;
    assert_eq!((version, body.len()), (Version::HTTP_2, 6));
    let (version, body) = fetch(session.clone(), server.url("/big")).await;
    assert_eq!((version, body.len()), (Version::HTTP_11, BIG));
    let (version, _) = fetch(session, server.url("/misdirected")).await;
    assert_eq!(version, Version::HTTP_11);
}

#[tokio::test]
async fn a_server_that_says_good_bye_is_connected_to_again() {
    let server = Server::new(&["h2", "http/1.1"], Lasts::OneAnswer).await;
    let (_folder, session) = server.session(true, 64);
    fetch_many(&session, &server, 8, 8).await;
}

#[tokio::test]
async fn one_place_for_two_jobs_is_enough() {
    let server = Server::new(&["h2", "http/1.1"], Lasts::Always).await;
    let (_folder, one) = server.session(true, 1);
    let other = one.mover.session(Access::default()).expect("usable");
    let both = async {
        tokio::join!(
            fetch_many(&one, &server, 6, 3),
            fetch_many(&other, &server, 6, 3),
        );
        // A shared connection gives way to one for many octets.
        fetch(one.clone(), server.url("/big")).await;
    };
    tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .expect("nobody waits for ever");
}

#[test]
fn the_target_names_the_host_as_the_header_did() {
    let way = Way {
        tls: true,
        host: "h.test".to_owned(),
        port: 8443,
        proxy: None,
        trusted: true,
    };
    let mut request = Request::new(Outgoing::Empty);
    *request.uri_mut() = "/a/b?c=d".parse().expect("target");
    let host = "h.test:8443".parse().expect("value");
    request.headers_mut().insert(header::HOST, host);
    let adapted = adapted(request, &way);
    assert_eq!(adapted.uri(), "https://h.test:8443/a/b?c=d");
    assert!(adapted.headers().is_empty());
}

/// More than is taken over a shared connection.
const BIG: usize = 9 << 20;
