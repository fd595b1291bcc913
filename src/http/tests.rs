//! The routes behind a real listener, with a client that speaks TLS, and an
//! endpoint that says who asked.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::Access;
use crate::auth::Attempts;
use crate::auth::CurrentIdentity;
use crate::auth::Means;
use crate::auth::Users;
use crate::config::AccessSettings;
use crate::config::ServiceSettings;
use crate::config::Settings;
use crate::config::WsmanSettings;
use crate::net;

mod certificates;
mod changes;
mod reloads;
mod sealing;

/// Says who asked what.
struct Echo;

impl Answering for Echo {
    async fn answer(&self, by: &Caller, envelope: &str, _: Encoding) -> Answer {
        Answer {
            status: if envelope == "fault" { 500 } else { 200 },
            envelope: (envelope != "nothing").then(|| format!("{by}: {envelope}")),
        }
    }

    fn answer_anonymous(&self, envelope: &str) -> Option<Answer> {
        (envelope == "identify").then(|| Answer {
            status: 200,
            envelope: Some("masked".to_owned()),
        })
    }

    fn denied(&self, envelope: &str) -> Answer {
        Answer {
            status: 500,
            envelope: Some(format!("denied: {envelope}")),
        }
    }

    fn unsealed(&self, envelope: &str) -> Answer {
        Answer {
            status: 500,
            envelope: Some(format!("unsealed: {envelope}")),
        }
    }

    fn undecodable(&self) -> Answer {
        Answer {
            status: 500,
            envelope: Some("undecodable".to_owned()),
        }
    }
}

struct Server {
    folder: tempfile::TempDir,
    current: Arc<Current>,
    address: SocketAddr,
    sockets: net::Sockets,
    reload: Arc<net::Reload>,
    /// Whom clients trust.
    roots: RootCertStore,
    client: TlsConnector,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    is_healthy: Arc<AtomicBool>,
}

impl Server {
    fn start(wsman: &WsmanSettings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let service = ServiceSettings {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            state_directory: folder.path().to_owned(),
            stop_timeout_s: 1,
            ..ServiceSettings::default()
        };
        let users = Arc::new(Users::open(&folder.path().join("users")).expect("opened"));
        users.add("alice", "secret").expect("added");
        users.add("eve", "secret").expect("added");
        users.add("root", "secret").expect("added");
        let access = AccessSettings {
            users: vec!["alice".to_owned()],
            administrators: vec!["root".to_owned()],
            ..AccessSettings::default()
        };
        let current = Arc::new(Current::new(Settings {
            service: service.clone(),
            access,
            wsman: wsman.clone(),
            ..Settings::default()
        }));
        let door = Arc::new(Door::new(Means {
            users,
            access: Arc::new(Access::new(&current.get().access)),
            pam: None,
            kerberos: None,
            attempts: Attempts::load(folder.path(), &current),
            settings: Arc::clone(&current),
            identity: CurrentIdentity::for_test(),
        }));
        let tls = net::Tls::load(&service).expect("a certificate");
        let listener = net::bind(&current, &tls).expect("bound");
        let (sockets, address) = (listener.sockets(), listener.listening()[0].address);
        let reload = listener.reload();
        let is_healthy = Arc::new(AtomicBool::new(true));
        let health = Arc::clone(&is_healthy);
        let router = routes(Arc::new(Echo), door, &current, move || {
            health.load(Ordering::Relaxed).then_some(7)
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener.serve(router, stop.clone()));
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(tls.certificate()).expect("PEM");
        roots.add(certificate).expect("an anchor");
        let client = client_config(&roots).with_no_client_auth();
        Self {
            folder,
            current,
            address,
            sockets,
            reload,
            roots,
            client: TlsConnector::from(Arc::new(client)),
            stop,
            serving,
            is_healthy,
        }
    }

    /// Puts other settings in force.
    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.current.get());
        change(&mut settings);
        self.current.set(settings);
    }

    async fn connect(&self) -> Client {
        self.connect_by(&self.client).await
    }

    async fn connect_by(&self, client: &TlsConnector) -> Client {
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        Client(client.connect(name, stream).await.expect("TLS"))
    }
}

/// A client that trusts `roots`; what he shows is still open.
fn client_config(
    roots: &RootCertStore,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots.clone())
}

struct Client(TlsStream<TcpStream>);

#[derive(Debug)]
struct Reply {
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    fn has(&self, line: &str) -> bool {
        self.head.lines().any(|own| own.eq_ignore_ascii_case(line))
    }
}

impl Client {
    async fn write(&mut self, octets: &[u8]) {
        self.0.write_all(octets).await.expect("written");
        self.0.flush().await.expect("flushed");
    }

    /// The next answer; none when the connection has closed.
    async fn read(&mut self) -> Option<Reply> {
        let head = self.read_head().await?;
        let length = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then_some(value)
            })
            .map_or(0, |value| value.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("a whole body");
        Some(Reply { head, body })
    }

    /// The head of the next answer.
    async fn read_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let read = timeout(Duration::from_secs(10), self.0.read_u8());
            head.push(read.await.expect("in time").ok()?);
        }
        Some(String::from_utf8(head).expect("UTF-8"))
    }

    async fn ask(&mut self, head: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let head = format!("{head}\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        self.write(head.as_bytes()).await;
        self.write(body).await;
        self.read().await.expect("an answer")
    }
}

/// `alice:secret`.
const ALICE: &str = "POST /wsman HTTP/1.1\r\nAuthorization: Basic YWxpY2U6c2VjcmV0";

/// `eve:secret`, who is in no list.
const EVE: &str = "POST /wsman HTTP/1.1\r\nAuthorization: Basic ZXZlOnNlY3JldA==";

/// `root:secret`, an administrator.
const ROOT: &str = "POST /wsman HTTP/1.1\r\nAuthorization: Basic cm9vdDpzZWNyZXQ=";

const NOBODY: &str = "POST /wsman HTTP/1.1";

const SOAP: &str = "\r\nContent-Type: application/soap+xml;charset=UTF-8";

#[tokio::test]
async fn a_401_keeps_the_connection_and_has_read_the_body() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let body = vec![b'x'; 100_000];
    for head in [
        NOBODY,
        "POST /wsman/?PSVersion=5.1 HTTP/1.1",
        "POST /wsman HTTP/1.1\r\nAuthorization: Basic YWxpY2U6d3Jvbmc=",
        "POST /wsman HTTP/1.1\r\nAuthorization: Negotiate YII=",
        "POST /wsman HTTP/1.1\r\nAuthorization: \u{e4}",
        "POST /wsman-anon/identify HTTP/1.1",
    ] {
        let body = if head.contains("anon") {
            &body[..9]
        } else {
            &body
        };
        let reply = client.ask(head, body).await;
        assert_eq!(reply.status(), 401, "{head}");
        assert!(
            reply.has("WWW-Authenticate: Basic realm=\"WSMAN\""),
            "{}",
            reply.head
        );
        assert!(reply.has("Content-Length: 0"), "{}", reply.head);
        assert!(!reply.head.to_lowercase().contains("connection: close"));
    }
    let reply = client.ask(&format!("{ALICE}{SOAP}"), b"hello").await;
    assert_eq!((reply.status(), reply.text()), (200, "alice: hello"));
    assert!(reply.has("Content-Type: application/soap+xml;charset=UTF-8"));
}

#[tokio::test]
async fn every_route_but_health_and_identify_needs_a_logon() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let cases = [
        ("POST /wsman", 401),
        ("POST /wsman/", 401),
        ("POST /wsman?x=y", 401),
        ("POST /wsman-anon/identify", 401),
        ("GET /wsman", 405),
        ("PUT /wsman/", 405),
        ("GET /wsman-anon/identify", 405),
        ("GET /health", 200),
        ("GET /metrics", 401),
        ("DELETE /health", 405),
        ("GET /", 404),
        ("POST /wsman/subscriptions", 404),
        ("POST /WSMAN", 404),
    ];
    for (line, status) in cases {
        let reply = client.ask(&format!("{line} HTTP/1.1"), b"<x/>").await;
        assert_eq!(reply.status(), status, "{line}");
    }
    let reply = client.ask("GET /wsman HTTP/1.1", b"").await;
    assert!(reply.has("Allow: POST"), "{}", reply.head);
}

#[tokio::test]
async fn probes_by_head_are_answered_without_a_body() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    for (path, status) in [("/health", 200), ("/wsman", 405), ("/metrics", 401)] {
        client
            .write(format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await;
        let head = client.read_head().await.expect("an answer");
        assert_eq!(&head[9..12], status.to_string(), "{path}");
    }
    // Not one octet of a body lies before the next answer.
    assert_eq!(client.ask("GET /health HTTP/1.1", b"").await.text(), "ok\n");
}

#[tokio::test]
async fn identify_needs_no_logon_when_the_client_says_so() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let asked = format!("{NOBODY}\r\nWSMANIDENTIFY: unauthenticated{SOAP}");
    let reply = client.ask(&asked, b"identify").await;
    assert_eq!((reply.status(), reply.text()), (200, "masked"));
    assert_eq!(client.ask(&asked, b"get").await.status(), 401);
    let path = format!("POST /wsman-anon/identify HTTP/1.1{SOAP}");
    let reply = client.ask(&path, b"identify").await;
    assert_eq!((reply.status(), reply.text()), (200, "masked"));
    assert_eq!(client.ask(&path, &vec![b' '; 20_000]).await.status(), 413);
    let known = format!("{ALICE}\r\nWSMANIDENTIFY: unauthenticated{SOAP}");
    assert_eq!(
        client.ask(&known, b"identify").await.text(),
        "alice: identify"
    );
}

#[tokio::test]
async fn answers_come_in_kind() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let reply = client.ask(ALICE, b"hello").await;
    assert_eq!(reply.text(), "alice: hello");
    assert!(reply.has("Content-Type: application/soap+xml;charset=UTF-8"));
    let wide = format!("{ALICE}\r\nContent-Type: application/soap+xml;charset=utf-16");
    let body = charset::encode("hä".to_owned(), Encoding::Utf16);
    let reply = client.ask(&wide, &body).await;
    assert!(reply.has("Content-Type: application/soap+xml;charset=utf-16"));
    assert_eq!(
        reply.body,
        charset::encode("alice: hä".to_owned(), Encoding::Utf16)
    );
    let reply = client
        .ask(&format!("{ALICE}{SOAP}"), b"\xff\xfeh\x00")
        .await;
    assert_eq!((reply.status(), reply.text()), (500, "undecodable"));
    let reply = client.ask(&wide, b"\xff\xfe\x00\xd8").await;
    assert!(reply.has("Content-Type: application/soap+xml;charset=utf-16"));
    let expected = charset::encode("undecodable".to_owned(), Encoding::Utf16);
    assert_eq!((reply.status(), reply.body), (500, expected));
    let reply = client.ask(&wide, &body[2..]).await;
    let expected = charset::encode("alice: hä".to_owned(), Encoding::Utf16);
    assert_eq!(reply.body, expected, "a mark goes out where none came in");
    let text = format!("{ALICE}\r\nContent-Type: text/xml; charset=Utf-8");
    let reply = client.ask(&text, b"hello").await;
    assert!(reply.has("Content-Type: text/xml;charset=Utf-8"));
    let form = format!("{ALICE}\r\nContent-Type: text/plain");
    assert_eq!(client.ask(&form, b"hello").await.status(), 415);
    let page = format!("{ALICE}\r\nOrigin: https://example.org");
    assert_eq!(client.ask(&page, b"hello").await.status(), 415);
    let reply = client.ask(ALICE, b"fault").await;
    assert_eq!((reply.status(), reply.text()), (500, "alice: fault"));
    assert_eq!(client.ask(ALICE, b"nothing").await.body, b"");
}

#[tokio::test]
async fn an_empty_body_only_logs_on() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let wide = "\r\nContent-Type: application/soap+xml;charset=UTF-16";
    for head in [ALICE.to_owned(), format!("{ALICE}{wide}"), EVE.to_owned()] {
        let reply = client.ask(&head, b"").await;
        assert_eq!((reply.status(), reply.text()), (200, ""));
        assert!(reply.has("Content-Length: 0"), "{}", reply.head);
    }
}

#[tokio::test]
async fn an_account_in_no_list_is_denied_by_a_fault() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let reply = client.ask(EVE, b"hello").await;
    assert_eq!((reply.status(), reply.text()), (500, "denied: hello"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_before_and_after_logon() {
    let server = Server::start(&WsmanSettings {
        max_envelope_size_kb: 32,
        ..WsmanSettings::default()
    });
    let mut client = server.connect().await;
    let body = vec![b'x'; 32 * 1_024 + 1];
    assert_eq!(client.ask(NOBODY, &body).await.status(), 413);
    assert_eq!(client.ask(ALICE, &body).await.status(), 413);
    assert_eq!(client.ask(ALICE, &body[1..]).await.status(), 200);
    let chunked = format!("{ALICE}\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9000\r\n");
    client.write(chunked.as_bytes()).await;
    client.write(&vec![b'x'; 0x9000]).await;
    client.write(b"\r\n0\r\n\r\n").await;
    assert_eq!(client.read().await.expect("an answer").status(), 413);
    let endless = format!("{NOBODY}\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    client.write(endless.as_bytes()).await;
    let body = vec![b'x'; 1_024 * 1_024 + 64 * 1_024];
    client.write(&body).await;
    let reply = client.read().await.expect("an answer");
    assert_eq!(reply.status(), 413);
    assert!(reply.has("Connection: close"), "{}", reply.head);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let head = format!("{ALICE}\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    client.write(head.as_bytes()).await;
    assert_eq!(client.read().await.expect("an answer").status(), 100);
    client.write(b"hi").await;
    assert_eq!(client.read().await.expect("an answer").text(), "alice: hi");
}

#[tokio::test]
async fn a_slow_body_is_cut_off() {
    let server = Server::start(&WsmanSettings {
        logon_timeout_s: 1,
        max_packet_retrieval_time_s: 1,
        ..WsmanSettings::default()
    });
    for (head, status) in [(NOBODY, 408), (ALICE, 500)] {
        let mut client = server.connect().await;
        let head = format!("{head}\r\nHost: x\r\nContent-Length: 9\r\n\r\nx");
        client.write(head.as_bytes()).await;
        let reply = client.read().await.expect("an answer");
        assert_eq!(reply.status(), status);
        assert!(client.read().await.is_none(), "the connection closes");
    }
}

#[tokio::test]
async fn a_connection_without_logon_ends_though_it_is_used() {
    let server = Server::start(&WsmanSettings {
        logon_timeout_s: 1,
        ..WsmanSettings::default()
    });
    let mut named = server.connect().await;
    assert_eq!(named.ask(ALICE, b"hi").await.status(), 200);
    let mut client = server.connect().await;
    let mut silent = TcpStream::connect(server.address).await.expect("connected");
    let mut trickle = server.connect().await;
    trickle.write(b"POST /wsman HT").await;
    assert_eq!(client.ask(NOBODY, b"").await.status(), 401);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.ask(NOBODY, b"").await.status(), 401);
    assert!(client.read().await.is_none());
    let mut octet = [0];
    let read = timeout(Duration::from_secs(2), silent.read(&mut octet)).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "no handshake: {read:?}");
    // What goes back may be a 400, but it is the end.
    while trickle.read().await.is_some() {}
    assert_eq!(named.ask(ALICE, b"hi").await.status(), 200);
}

#[tokio::test]
async fn half_open_connections_keep_nobody_out_who_waits() {
    let server = Server::start(&WsmanSettings {
        logon_timeout_s: 1,
        max_anonymous_connections_per_address: 2,
        ..WsmanSettings::default()
    });
    let mut half_open = Vec::new();
    for _ in 0..2 {
        half_open.push(TcpStream::connect(server.address).await.expect("connected"));
    }
    let early = timeout(Duration::from_millis(300), server.connect()).await;
    assert!(early.is_err(), "there is no place");
    let mut client = timeout(Duration::from_secs(5), server.connect())
        .await
        .expect("the places of the half-open ones come free");
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
}

#[tokio::test]
async fn many_clients_that_log_on_at_once_are_all_served() {
    let server = Arc::new(Server::start(&WsmanSettings::default()));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let server = Arc::clone(&server);
        clients.spawn(async move {
            let mut client = server.connect().await;
            let status = client.ask(ALICE, b"hi").await.status();
            (client, status)
        });
    }
    let clients = clients.join_all().await;
    assert!(clients.iter().all(|(_, status)| *status == 200));
}

#[tokio::test]
async fn beyond_the_connections_with_a_principal_there_is_503() {
    let server = Server::start(&WsmanSettings {
        max_connections: 1,
        ..WsmanSettings::default()
    });
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert_eq!(first.ask(ALICE, b"hi").await.status(), 200);
    let reply = second.ask(ALICE, b"hi").await;
    assert_eq!(reply.status(), 503);
    assert!(reply.has("Retry-After: 1"), "{}", reply.head);
    drop(first);
    for _ in 0..50 {
        if second.ask(ALICE, b"hi").await.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place does not come free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_of_checks_is_503() {
    let server = Server::start(&WsmanSettings {
        max_waiting_logons: 1,
        ..WsmanSettings::default()
    });
    let mut connected = Vec::new();
    for _ in 0..10 {
        connected.push(server.connect().await);
    }
    // All at once, so that no check ends before the others come.
    let mut clients = tokio::task::JoinSet::new();
    for (mut client, last) in connected.into_iter().zip("hijklmnopq".chars()) {
        clients.spawn(async move {
            // `x:0` and so on, in base64.
            let head = format!("{NOBODY}\r\nAuthorization: Basic eDp{last}");
            client.ask(&head, b"hi").await.status()
        });
    }
    let answers = clients.join_all().await;
    assert!(answers.contains(&503), "{answers:?}");
    assert!(answers.contains(&401), "{answers:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_though_somebody_has_logged_on() {
    let server = Server::start(&WsmanSettings {
        logon_timeout_s: 1,
        idle_timeout_s: 2,
        ..WsmanSettings::default()
    });
    let mut client = server.connect().await;
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
    let idle_since = tokio::time::Instant::now();
    assert!(client.read().await.is_none());
    assert!(idle_since.elapsed() > Duration::from_millis(1_900));
}

#[tokio::test]
async fn a_head_has_its_limits() {
    let server = Server::start(&WsmanSettings::default());
    let many = "X: y\r\n".repeat(200);
    let large = format!("X: {}\r\n", "y".repeat(100_000));
    let fine = format!("X: {}\r\n", "y".repeat(80_000));
    for (headers, status) in [(many, 431), (large, 431), (fine, 200)] {
        let mut client = server.connect().await;
        let reply = client
            .ask(&format!("{ALICE}\r\n{headers}Y: z"), b"hi")
            .await;
        assert_eq!(reply.status(), status);
    }
}

#[tokio::test]
async fn health_says_whether_the_store_is_there() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let reply = client.ask("GET /health HTTP/1.1", b"").await;
    assert_eq!((reply.status(), reply.text()), (200, "ok\n"));
    server.is_healthy.store(false, Ordering::Relaxed);
    assert_eq!(client.ask("GET /health HTTP/1.1", b"").await.status(), 503);
}

#[tokio::test]
async fn a_stop_ends_idle_connections_at_once_and_others_in_time() {
    let server = Server::start(&WsmanSettings::default());
    let mut idle = server.connect().await;
    assert_eq!(idle.ask(ALICE, b"hi").await.status(), 200);
    let mut slow = server.connect().await;
    let head = format!("{ALICE}\r\nHost: x\r\nContent-Length: 9\r\n\r\nx");
    slow.write(head.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    assert!(idle.read().await.is_none());
    assert!(TcpStream::connect(server.address).await.is_err());
    timeout(Duration::from_secs(3), server.serving)
        .await
        .expect("within the stop timeout")
        .expect("no panic");
    assert!(slow.read().await.is_none());
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_nothing_behind() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
    server.serving.abort();
    assert!(client.read().await.is_none());
    for _ in 0..100 {
        if TcpStream::connect(server.address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the port is still listened to");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = Server::start(&WsmanSettings::default());
    let service = ServiceSettings {
        listen: vec![server.address],
        state_directory: server.folder.path().to_owned(),
        ..ServiceSettings::default()
    };
    let tls = net::Tls::load(&service).expect("a certificate");
    let current = Arc::new(Current::new(Settings {
        service,
        ..Settings::default()
    }));
    let error = net::bind(&current, &tls).expect_err("taken");
    let expected = format!("service.listen: {} is in use", server.address);
    assert!(error.to_string().starts_with(&expected), "{error}");
}
