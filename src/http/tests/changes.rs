//! Settings that change while requests are answered: listeners, limits, ways
//! to log on.

use tokio::time::Instant;

use super::certificates::Authority;
use super::certificates::with_certificates;
use super::*;
use crate::config::Listening;
use crate::config::Transport;

#[tokio::test]
async fn switching_certificates_off_and_on_counts_at_once() {
    let authority = Authority::new();
    let server = with_certificates(&authority);
    let own = authority.client(&server, "bob@example.org");
    let mut before = server.connect_by(&own).await;
    assert_eq!(before.ask(NOBODY, b"hi").await.text(), "alice: hi");
    server.change(|settings| settings.access.certificate = false);
    assert_eq!(before.ask(NOBODY, b"hi").await.status(), 401);
    let mut during = server.connect_by(&own).await;
    assert_eq!(during.ask(NOBODY, b"hi").await.status(), 401);
    server.change(|settings| {
        settings.access.certificate = true;
        settings.access.certificate_mappings = vec![authority.mapping("bob@example.org", "root")];
    });
    assert_eq!(before.ask(NOBODY, b"hi").await.text(), "root: hi");
    assert_eq!(
        during.ask(NOBODY, b"hi").await.status(),
        401,
        "none was asked for"
    );
    let mut after = server.connect_by(&own).await;
    assert_eq!(after.ask(NOBODY, b"hi").await.text(), "root: hi");
    server.change(|settings| {
        settings.access.client_ca_certificates = Some("/nonexistent/authorities.pem".into());
    });
    assert_eq!(after.ask(NOBODY, b"hi").await.status(), 401);
    let mut unreadable = server.connect_by(&own).await;
    assert_eq!(unreadable.ask(NOBODY, b"hi").await.status(), 401);
    assert_eq!(unreadable.ask(ALICE, b"hi").await.text(), "alice: hi");
}

#[tokio::test]
async fn basic_that_is_switched_off_is_not_offered() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
    server.change(|settings| settings.access.basic = false);
    let reply = client.ask(ALICE, b"hi").await;
    assert_eq!(reply.status(), 401);
    assert!(!reply.head.to_lowercase().contains("www-authenticate"));
    server.change(|settings| settings.access.basic = true);
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
}

#[tokio::test]
async fn a_request_on_its_way_outlives_its_address() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let head = format!("{ALICE}{SOAP}\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
    client.write(head.as_bytes()).await;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let kept = server.sockets.listen_on(vec![https(any)]).await;
    kept.expect("the same");
    assert_eq!(server.sockets.listening(), [https(server.address)]);
    let moved = SocketAddr::from(([127, 0, 0, 2], server.address.port()));
    server
        .sockets
        .listen_on(vec![https(moved)])
        .await
        .expect("moved");
    assert!(TcpStream::connect(server.address).await.is_err());
    client.write(b"llo").await;
    let reply = client.read().await.expect("an answer");
    assert_eq!((reply.status(), reply.text()), (200, "alice: hello"));
    assert_eq!(client.ask(ALICE, b"more").await.text(), "alice: more");
    let stream = TcpStream::connect(moved).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut other = Client(server.client.connect(name, stream).await.expect("TLS"));
    assert_eq!(other.ask(ALICE, b"hi").await.text(), "alice: hi");
    server.stop.cancel();
    assert!(client.read().await.is_none(), "a stop ends them all");
}

#[tokio::test]
async fn limits_of_connections_change_at_once() {
    let server = Server::start(&WsmanSettings {
        max_connections: 1,
        ..WsmanSettings::default()
    });
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert_eq!(first.ask(ALICE, b"hi").await.status(), 200);
    assert_eq!(second.ask(ALICE, b"hi").await.status(), 503);
    server.change(|settings| settings.wsman.max_connections = 2);
    assert_eq!(second.ask(ALICE, b"hi").await.status(), 200);
    server.change(|settings| {
        settings.wsman.max_connections = 1;
        settings.wsman.max_envelope_size_kb = 32;
    });
    assert_eq!(second.ask(ALICE, b"hi").await.status(), 200, "it is there");
    let body = vec![b'x'; 40_000];
    assert_eq!(second.ask(ALICE, &body).await.status(), 413);
    let mut third = server.connect().await;
    assert_eq!(third.ask(ALICE, b"hi").await.status(), 503);
}

#[tokio::test]
async fn a_shorter_idle_time_counts_for_connections_that_are_there() {
    let server = Server::start(&WsmanSettings {
        logon_timeout_s: 1,
        idle_timeout_s: 100,
        ..WsmanSettings::default()
    });
    let mut client = server.connect().await;
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
    // Its end has been set by now, a hundred seconds away.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.change(|settings| settings.wsman.idle_timeout_s = 1);
    let closed = timeout(Duration::from_secs(9), client.read()).await;
    assert!(closed.expect("closed in time").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identify_is_fast_while_password_checks_are_busy() {
    let authority = Authority::new();
    let server = Arc::new(with_certificates(&authority));
    let mut known = server.connect().await;
    assert_eq!(known.ask(ALICE, b"hi").await.status(), 200);
    let own = authority.client(&server, "bob@example.org");
    let mut certified = server.connect_by(&own).await;
    let mut anonymous = server.connect().await;
    let mut checks = tokio::task::JoinSet::new();
    let attempts = 48;
    for digit in ('A'..='Z').chain('a'..='z').take(attempts) {
        let server = Arc::clone(&server);
        checks.spawn(async move {
            let mut client = server.connect().await;
            let head = format!("{NOBODY}\r\nAuthorization: Basic eDp{digit}");
            client.ask(&head, b"hi").await.status()
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = format!("{NOBODY}\r\nWSMANIDENTIFY: unauthenticated{SOAP}");
    let mut done = 0;
    // Another process may take the cores for one round, hardly for all.
    loop {
        let begun_at = Instant::now();
        assert_eq!(anonymous.ask(&asked, b"identify").await.text(), "masked");
        assert_eq!(known.ask(ALICE, b"hi").await.status(), 200);
        assert_eq!(certified.ask(NOBODY, b"hi").await.text(), "alice: hi");
        let taken = begun_at.elapsed();
        while checks.try_join_next().is_some() {
            done += 1;
        }
        assert!(done < attempts, "no round was fast before all checks ended");
        if taken < Duration::from_secs(1) {
            break;
        }
    }
}

#[tokio::test]
async fn metrics_are_for_administrators() {
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let get = |head: &str| head.replace("POST /wsman", "GET /metrics");
    let reply = client.ask(&get(NOBODY), b"").await;
    assert_eq!(reply.status(), 401);
    assert!(
        reply.has("WWW-Authenticate: Basic realm=\"WSMAN\""),
        "{}",
        reply.head
    );
    for head in [ALICE, EVE] {
        let reply = client.ask(&get(head), b"").await;
        assert_eq!((reply.status(), reply.text()), (403, ""), "{head}");
    }
    assert_eq!(
        client.ask("POST /metrics HTTP/1.1", b"").await.status(),
        405
    );
    let large = vec![b'x'; 600 * 1_024];
    assert_eq!(client.ask(ROOT, &large).await.status(), 413);
    let reply = client.ask(&get(ROOT), b"").await;
    assert_eq!(reply.status(), 200);
    assert!(reply.has("Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    let text = reply.text();
    assert!(text.contains("\nbitsd_jobs 7\n"), "{text}");
    assert!(!text.contains("request_size\"} 0\n"), "{text}");
    assert!(!text.contains("\nbitsd_connections 0\n"), "{text}");
    server.is_healthy.store(false, Ordering::Relaxed);
    let reply = client.ask(&get(ROOT), b"").await;
    assert!(!reply.text().contains("bitsd_jobs"));
}

fn https(address: SocketAddr) -> Listening {
    Listening {
        address,
        transport: Transport::Https,
    }
}
