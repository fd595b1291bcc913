//! Sealed bodies, and those that should be: over HTTP and HTTPS, with a log-on
//! of two legs and keys as they come out of real ones.

use axum::http::HeaderMap;
use tower::ServiceExt as _;

use super::*;
use crate::auth::ChannelBinding;
use crate::auth::ConnectionAuth;
use crate::auth::Parts;
use crate::auth::Peer;
use crate::auth::Seal as _;
use crate::auth::fake;
use crate::auth::fake::FakeSeal;
use crate::telemetry::counters::Counter;

/// A connection to the routes, and the client's end of its keys.
struct Bench {
    current: Arc<Current>,
    router: Router,
    connection: Arc<Connection>,
    seal: FakeSeal,
    parts: Parts,
}

#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().expect("the header");
        assert!(values.next().is_none(), "{name} stands there twice");
        value.to_str().expect("text")
    }

    /// Status, and text that is not sealed.
    fn plain(&self) -> (u16, &str) {
        let kind = self.headers.get("content-type");
        assert!(kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"multipart")));
        (
            self.status,
            std::str::from_utf8(&self.body).expect("not sealed"),
        )
    }

    /// Holds for the 401 that asks for any log-on.
    fn asks_for_logon(&self) -> bool {
        let offered = self.headers.get_all("www-authenticate").iter();
        self.status == 401 && self.body.is_empty() && offered.eq(["Whole", "Pieces"])
    }
}

impl Bench {
    async fn new(channel: Channel, parts: Parts) -> Self {
        let current = Arc::new(Current::new(Settings {
            access: AccessSettings {
                users: vec!["alice".to_owned()],
                administrators: vec!["root".to_owned()],
                ..AccessSettings::default()
            },
            wsman: WsmanSettings {
                max_envelope_size_kb: 64,
                ..WsmanSettings::default()
            },
            ..Settings::default()
        }));
        let door = Arc::new(fake::door(&current));
        let router = routes(Arc::new(Echo), door, &current, || Some(7));
        let peer = Peer {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            channel,
            certificate: None,
        };
        Self {
            connection: Arc::new(Connection::for_test(ConnectionAuth::new(peer)).await),
            current,
            router,
            seal: FakeSeal::new(parts),
            parts,
        }
    }

    async fn plain() -> Self {
        Self::new(Channel::Plain, Parts::Whole).await
    }

    async fn tls() -> Self {
        let channel = Channel::Tls(ChannelBinding::of_end_point(b""));
        Self::new(channel, Parts::Whole).await
    }

    fn allow_unencrypted(&self) {
        let mut settings = Settings::clone(&self.current.get());
        settings.access.allow_unencrypted = true;
        self.current.set(settings);
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
        let (method, path) = line.split_once(' ').expect("method and path");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_vec())).expect("a request");
        request
            .extensions_mut()
            .insert(Arc::clone(&self.connection));
        let answer = self.router.clone().oneshot(request).await;
        let (parts, body) = answer.expect("infallible").into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("whole");
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.to_vec(),
        }
    }

    fn scheme(&self) -> &'static str {
        match self.parts {
            Parts::Whole => "Whole",
            Parts::Pieces => "Pieces",
        }
    }

    fn protocol(&self) -> &'static str {
        match self.parts {
            Parts::Whole => "application/HTTP-SPNEGO-session-encrypted",
            Parts::Pieces => "application/HTTP-CredSSP-session-encrypted",
        }
    }

    /// The first leg; what the second one sends.
    async fn first_leg(&self, account: &str) -> String {
        let one = format!("{} one", self.scheme());
        let got = self
            .send("POST /wsman", &[("authorization", &one)], b"")
            .await;
        let challenge = format!("{} prove-it", self.scheme());
        assert_eq!(got.plain(), (401, ""));
        assert_eq!(got.header("www-authenticate"), challenge);
        format!("{} two:{account}", self.scheme())
    }

    /// Logs on by an empty request, as clients do.
    async fn log_on(&mut self, account: &str) {
        let two = self.first_leg(account).await;
        let got = self
            .send("POST /wsman", &[("authorization", &two)], b"")
            .await;
        assert_eq!(got.plain(), (200, ""), "no multipart");
        assert!(!got.headers.contains_key("content-type"));
        let token = format!("{} welcome", self.scheme());
        assert_eq!(got.header("www-authenticate"), token);
        self.seal = FakeSeal::new(self.parts);
    }

    fn content_type(&self, media: &str) -> String {
        let protocol = self.protocol();
        format!("{media};protocol=\"{protocol}\";boundary=\"Encrypted Boundary\"")
    }

    /// A body in the framing of pypsrp.
    fn sealed(&mut self, content_type: &str, plain: &[u8]) -> Vec<u8> {
        let size = match self.parts {
            Parts::Whole => plain.len(),
            Parts::Pieces => 16_384,
        };
        let mut body = Vec::new();
        for piece in plain.chunks(size) {
            let head = format!(
                "--Encrypted Boundary\r\n\tContent-Type: {}\r\n\
                \tOriginalContent: type={content_type};Length={}\r\n\
                --Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n",
                self.protocol(),
                piece.len(),
            );
            let sealed = self.seal.seal(piece).expect("sealed");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(&sealed.signature.to_le_bytes());
            body.extend_from_slice(&sealed.octets);
        }
        body.extend_from_slice(b"--Encrypted Boundary--\r\n");
        body
    }

    /// What pypsrp reads of a sealed answer: type and message.
    fn opened(&mut self, got: &Got) -> (String, Vec<u8>) {
        let own = got.header("content-type");
        let (media, _) = own.split_once(';').expect("parameters");
        assert_eq!(own, self.content_type(media));
        let mut rest = got.body.as_slice();
        let (mut content_type, mut plain, mut pieces) = (String::new(), Vec::new(), 0);
        while rest != b"--Encrypted Boundary--\r\n" {
            pieces += 1;
            let text = String::from_utf8_lossy(rest);
            let (head, _) = text.split_once("octet-stream\r\n").expect("a part");
            let octets = &rest[head.len() + 14..];
            let (kind, length) = head.split_once(";Length=").expect("a length");
            content_type = kind.split_once("type=").expect("a type").1.to_owned();
            let length: usize = length
                .split_once("\r\n--Encrypted Boundary\r\n\tContent-Type: ")
                .expect("the second part")
                .0
                .parse()
                .expect("a number");
            assert_eq!(octets[..4], 16_u32.to_le_bytes());
            let end = 4 + 16 + length + if self.parts == Parts::Pieces { 5 } else { 0 };
            let opened = self.seal.open(&octets[4..end]).expect("our own keys");
            assert_eq!(opened.len(), length);
            plain.extend_from_slice(&opened);
            rest = &octets[end..];
        }
        let expected = if pieces > 1 {
            "multipart/x-multi-encrypted"
        } else {
            "multipart/encrypted"
        };
        assert_eq!(media, expected);
        (content_type, plain)
    }

    async fn send_sealed(&self, body: &[u8]) -> Got {
        let content_type = self.content_type("multipart/encrypted");
        self.send("POST /wsman", &[("content-type", &content_type)], body)
            .await
    }

    /// Asks something sealed: status, type, text.
    async fn ask(&mut self, content_type: &str, plain: &[u8]) -> (u16, String, Vec<u8>) {
        let body = self.sealed(content_type, plain);
        let got = self.send_sealed(&body).await;
        let (content_type, plain) = self.opened(&got);
        (got.status, content_type, plain)
    }

    async fn ask_text(&mut self, text: &str) -> (u16, String) {
        let (status, content_type, plain) = self.ask(UTF8, text.as_bytes()).await;
        assert_eq!(content_type, UTF8);
        (status, String::from_utf8(plain).expect("UTF-8"))
    }
}

const UTF8: &str = "application/soap+xml;charset=UTF-8";

const SOAP: &[(&str, &str)] = &[("content-type", UTF8)];

#[tokio::test]
async fn whatever_answers_a_sealed_request_is_sealed() {
    for mut bench in [Bench::plain().await, Bench::tls().await] {
        bench.log_on("alice").await;
        assert_eq!(bench.ask_text("hi").await, (200, "alice: hi".to_owned()));
        let fault = bench.ask_text("fault").await;
        assert_eq!(fault, (500, "alice: fault".to_owned()));
        let (status, _, plain) = bench.ask(UTF8, b"\xff\xff").await;
        assert_eq!((status, plain.as_slice()), (500, b"undecodable".as_slice()));
        let other = "application/soap+xml;charset=EBCDIC-CP-DE";
        let (status, kind, plain) = bench.ask(other, b"hi").await;
        assert_eq!((status, kind.as_str()), (500, UTF8));
        assert_eq!(plain, b"undecodable");
    }
}

#[tokio::test]
async fn the_charset_is_that_of_the_sealed_message() {
    let mut bench = Bench::plain().await;
    bench.log_on("alice").await;
    let wide = "application/soap+xml;charset=UTF-16";
    let mut text = charset::encode("hä".to_owned(), Encoding::Utf16);
    let expected = charset::encode("alice: hä".to_owned(), Encoding::Utf16);
    let answer = (200, wide.to_owned(), expected);
    assert_eq!(bench.ask(wide, &text).await, answer);
    // libmi fills the last 16 octets with NUL, and counts them.
    text.resize(16, 0);
    assert_eq!(bench.ask(wide, &text).await, answer);
    let filled = bench.ask_text("hi\0\0\0\0\0\0\0\0\0\0\0\0\0\0").await;
    assert_eq!(filled, (200, "alice: hi".to_owned()));
    // Others do not count them.
    let body = bench.sealed(UTF8, b"hi\0\0\0");
    let body = replaced(&body, "Length=5", "Length=2");
    let got = bench.send_sealed(&body).await;
    assert_eq!(bench.opened(&got).1, b"alice: hi");
}

fn replaced(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let at = body
        .windows(from.len())
        .position(|octets| octets == from)
        .expect("it is there");
    [&body[..at], to, &body[at + from.len()..]].concat()
}

#[tokio::test]
async fn an_answer_without_a_body_is_not_sealed() {
    let mut bench = Bench::plain().await;
    bench.log_on("alice").await;
    let body = bench.sealed(UTF8, b"nothing");
    assert_eq!(bench.send_sealed(&body).await.plain(), (200, ""));
    let body = bench.sealed("text/plain", b"hi");
    assert_eq!(bench.send_sealed(&body).await.plain(), (415, ""));
    assert_eq!(bench.send_sealed(b"").await.plain(), (200, ""));
    assert_eq!(bench.ask_text("hi").await.0, 200, "the keys keep step");
}

#[tokio::test]
async fn an_answer_is_indented_as_its_request() {
    let mut bench = Bench::plain().await;
    bench.log_on("alice").await;
    let body = bench.sealed(UTF8, b"hi");
    let text: Vec<u8> = body.into_iter().filter(|octet| *octet != b'\t').collect();
    let got = bench.send_sealed(&text).await;
    assert_eq!(got.status, 200);
    assert!(!got.body.contains(&b'\t'));
    assert!(
        got.body
            .starts_with(b"--Encrypted Boundary\r\nContent-Type: ")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_sealed_body_ends_the_logon() {
    type Change = fn(&mut Bench, Vec<u8>) -> Vec<u8>;
    let changes: [Change; 7] = [
        // Tampered with, in the message and in the signature.
        |_, mut body| {
            let at = body.len() - 25;
            body[at] ^= 1;
            body
        },
        |_, mut body| {
            let at = body.len() - 30;
            body[at] ^= 1;
            body
        },
        |_, body| replaced(&body, "Length=2", "Length=3"),
        |_, body| replaced(&body, "Length=2", "Length=1"),
        |_, body| replaced(&body, "SPNEGO", "CredSSP"),
        |_, body| body[..100].to_vec(),
        // One message has been left out.
        |bench, _| bench.sealed(UTF8, b"hi"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        for mut bench in [Bench::plain().await, Bench::tls().await] {
            bench.log_on("alice").await;
            assert_eq!(bench.ask_text("hi").await.0, 200);
            let body = bench.sealed(UTF8, b"hi");
            let body = change(&mut bench, body);
            let before = Counter::SealBroken.count();
            let got = bench.send_sealed(&body).await;
            assert!(Counter::SealBroken.count() > before);
            assert!(got.asks_for_logon(), "{number}: {got:?}");
            bench.seal = FakeSeal::new(Parts::Whole);
            let body = bench.sealed(UTF8, b"hi");
            assert!(bench.send_sealed(&body).await.asks_for_logon());
            let got = bench.send("POST /wsman", SOAP, b"hi").await;
            assert!(got.asks_for_logon());
            bench.log_on("alice").await;
            assert_eq!(bench.ask_text("hi").await.0, 200);
        }
    }
}

#[tokio::test]
async fn a_message_that_comes_again_ends_the_logon() {
    let mut bench = Bench::plain().await;
    bench.log_on("alice").await;
    let body = bench.sealed(UTF8, b"hi");
    assert_eq!(bench.send_sealed(&body).await.status, 200);
    assert!(bench.send_sealed(&body).await.asks_for_logon());
    let next = bench.sealed(UTF8, b"hi");
    assert!(bench.send_sealed(&next).await.asks_for_logon());
}

#[tokio::test]
async fn a_protocol_fits_the_keys() {
    for (parts, others) in [(Parts::Whole, ["CredSSP"]), (Parts::Pieces, ["SPNEGO"])] {
        for other in others {
            let mut bench = Bench::new(Channel::Plain, parts).await;
            bench.log_on("alice").await;
            let name = if parts == Parts::Whole {
                "SPNEGO"
            } else {
                "CredSSP"
            };
            let body = bench.sealed(UTF8, b"hi");
            let body = replaced(&body, name, other);
            let kind = bench
                .content_type("multipart/encrypted")
                .replace(name, other);
            let got = bench
                .send("POST /wsman", &[("content-type", &kind)], &body)
                .await;
            assert!(got.asks_for_logon());
            let got = bench.send("POST /wsman", SOAP, b"").await;
            assert!(got.asks_for_logon(), "the log-on is over");
        }
    }
    // Some say SPNEGO for Kerberos, some Kerberos.
    let mut bench = Bench::plain().await;
    bench.log_on("alice").await;
    let body = bench.sealed(UTF8, b"hi");
    let body = replaced(&body, "SPNEGO", "Kerberos");
    let kind = bench.content_type("multipart/encrypted");
    let kind = kind.replace("SPNEGO", "Kerberos");
    let got = bench
        .send("POST /wsman", &[("content-type", &kind)], &body)
        .await;
    assert_eq!(got.header("content-type"), kind, "so is the answer");
}

#[tokio::test]
async fn a_sealed_body_needs_a_logon_that_gives_keys() {
    for mut bench in [Bench::plain().await, Bench::tls().await] {
        let body = bench.sealed(UTF8, b"hi");
        assert!(bench.send_sealed(&body).await.asks_for_logon());
        bench.first_leg("alice").await;
        assert!(bench.send_sealed(&body).await.asks_for_logon());
        let kind = bench.content_type("multipart/encrypted");
        let headers = [
            ("content-type", &*kind),
            ("wsmanidentify", "unauthenticated"),
        ];
        let body = bench.sealed(UTF8, b"identify");
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert!(got.asks_for_logon());
        let got = bench
            .send("POST /wsman-anon/identify", &headers, &body)
            .await;
        assert!(got.asks_for_logon());
    }
    let server = Server::start(&WsmanSettings::default());
    let mut client = server.connect().await;
    let kind = Bench::plain().await.content_type("multipart/encrypted");
    let head = format!("{ALICE}\r\nContent-Type: {kind}");
    let reply = client.ask(&head, b"hi").await;
    assert_eq!(reply.status(), 401, "Basic gives none");
    assert_eq!(client.ask(ALICE, b"hi").await.status(), 200);
}

#[tokio::test]
async fn over_http_an_unsealed_body_is_refused_unless_it_is_allowed() {
    let mut bench = Bench::plain().await;
    bench.log_on("alice").await;
    let got = bench.send("POST /wsman", SOAP, b"hi").await;
    assert_eq!(got.plain(), (500, "unsealed: hi"));
    assert_eq!(got.header("content-type"), UTF8);
    let two = bench.first_leg("alice").await;
    let with_body = [SOAP[0], ("authorization", &*two)];
    let got = bench.send("POST /wsman", &with_body, b"hi").await;
    assert_eq!(got.plain(), (500, "unsealed: hi"), "with the last leg, too");
    assert_eq!(got.header("www-authenticate"), "Whole welcome");
    bench.seal = FakeSeal::new(Parts::Whole);
    assert_eq!(bench.ask_text("hi").await.0, 200, "the log-on goes on");
    bench.allow_unencrypted();
    let got = bench.send("POST /wsman", SOAP, b"hi").await;
    assert_eq!(got.plain(), (200, "alice: hi"));
    assert_eq!(
        bench.ask_text("hi").await.0,
        200,
        "sealed ones are still taken"
    );
}

#[tokio::test]
async fn over_tls_a_body_may_be_sealed_or_not() {
    let mut bench = Bench::tls().await;
    bench.log_on("alice").await;
    let got = bench.send("POST /wsman", SOAP, b"hi").await;
    assert_eq!(got.plain(), (200, "alice: hi"));
    assert_eq!(bench.ask_text("hi").await, (200, "alice: hi".to_owned()));
    let got = bench.send("POST /wsman", SOAP, b"fault").await;
    assert_eq!(got.plain(), (500, "alice: fault"));
}

#[tokio::test]
async fn identify_without_logon_needs_no_seal() {
    let mut bench = Bench::plain().await;
    let asked = [SOAP[0], ("wsmanidentify", "unauthenticated")];
    let got = bench.send("POST /wsman", &asked, b"identify").await;
    assert_eq!(got.plain(), (200, "masked"));
    bench.log_on("alice").await;
    let got = bench
        .send("POST /wsman-anon/identify", SOAP, b"identify")
        .await;
    assert_eq!(got.plain(), (200, "masked"));
    assert!(
        bench
            .send("POST /wsman", &asked, b"get")
            .await
            .asks_for_logon()
    );
}

#[tokio::test]
async fn a_sealed_body_may_come_with_the_last_leg() {
    for parts in [Parts::Whole, Parts::Pieces] {
        let mut bench = Bench::new(Channel::Plain, parts).await;
        let two = bench.first_leg("alice").await;
        let body = bench.sealed(UTF8, b"hi");
        let kind = bench.content_type("multipart/encrypted");
        let headers = [("content-type", &*kind), ("authorization", &*two)];
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert_eq!(got.status, 200);
        let token = format!("{} welcome", bench.scheme());
        assert_eq!(got.header("www-authenticate"), token);
        assert_eq!(bench.opened(&got).1, b"alice: hi");
        assert_eq!(bench.ask_text("hi").await.0, 200);
        // Another log-on starts over, and its keys are others.
        let two = bench.first_leg("root").await;
        bench.seal = FakeSeal::new(parts);
        let headers = [("content-type", &*kind), ("authorization", &*two)];
        let body = bench.sealed(UTF8, b"hi");
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert_eq!(bench.opened(&got).1, b"root: hi");
        let two = bench.first_leg("root").await;
        let headers = [("content-type", &*kind), ("authorization", &*two)];
        let got = bench.send("POST /wsman", &headers, b"no such").await;
        assert!(got.asks_for_logon(), "no token of a log-on that has ended");
    }
}

#[tokio::test]
async fn nobody_is_served_with_the_keys_of_somebody_else() {
    let mut bench = Bench::tls().await;
    bench.log_on("alice").await;
    let body = bench.sealed(UTF8, b"hi");
    let kind = bench.content_type("multipart/encrypted");
    let headers = [("content-type", &*kind), ("authorization", "Once root")];
    let got = bench.send("POST /wsman", &headers, &body).await;
    assert!(got.asks_for_logon());
    assert!(bench.send_sealed(&body).await.asks_for_logon());
    let headers = [SOAP[0], ("authorization", "Once root")];
    let got = bench.send("POST /wsman", &headers, b"hi").await;
    assert_eq!(got.plain(), (200, "root: hi"));
    assert!(
        bench
            .send("POST /wsman", SOAP, b"hi")
            .await
            .asks_for_logon()
    );
}

#[tokio::test]
async fn whoever_may_do_nothing_is_told_so_sealed() {
    for mut bench in [Bench::plain().await, Bench::tls().await] {
        bench.log_on("eve").await;
        let denied = (500, "denied: hi".to_owned());
        assert_eq!(bench.ask_text("hi").await, denied);
        assert_eq!(bench.ask_text("hi").await, denied);
        assert_eq!(bench.send("GET /metrics", &[], b"").await.status, 403);
        let two = bench.first_leg("eve").await;
        bench.seal = FakeSeal::new(Parts::Whole);
        let body = bench.sealed(UTF8, b"hi");
        let kind = bench.content_type("multipart/encrypted");
        let headers = [("content-type", &*kind), ("authorization", &*two)];
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert_eq!(got.header("www-authenticate"), "Whole welcome");
        assert_eq!(bench.opened(&got).1, b"denied: hi");
    }
}

#[tokio::test]
async fn a_long_message_comes_and_goes_in_pieces() {
    for parts in [Parts::Whole, Parts::Pieces] {
        let mut bench = Bench::new(Channel::Plain, parts).await;
        bench.log_on("alice").await;
        for length in [16_384 - 7, 16_384 - 6, 16_384, 16_385, 60_000] {
            let text = "x".repeat(length);
            let body = bench.sealed(UTF8, text.as_bytes());
            let media = if parts == Parts::Pieces && length > 16_384 {
                "multipart/x-multi-encrypted"
            } else {
                "multipart/encrypted"
            };
            let kind = bench.content_type(media);
            let got = bench
                .send("POST /wsman", &[("content-type", &kind)], &body)
                .await;
            assert_eq!(got.status, 200, "{length}");
            let multiple = got.header("content-type").contains("x-multi");
            assert_eq!(multiple, parts == Parts::Pieces && length + 7 > 16_384);
            let expected = format!("alice: {text}").into_bytes();
            assert_eq!(bench.opened(&got).1, expected);
        }
    }
}

#[tokio::test]
async fn the_limit_is_that_of_the_envelope() {
    for parts in [Parts::Whole, Parts::Pieces] {
        let mut bench = Bench::new(Channel::Plain, parts).await;
        bench.log_on("alice").await;
        let kind = bench.content_type("multipart/x-multi-encrypted");
        let headers = [("content-type", &*kind)];
        let most = vec![b'x'; 64 * 1_024];
        let body = bench.sealed(UTF8, &most);
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert_eq!(got.status, 200);
        assert_eq!(bench.opened(&got).1.len(), most.len() + 7);
        let body = bench.sealed(UTF8, &vec![b'x'; 64 * 1_024 + 1]);
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert_eq!(got.plain(), (413, ""));
        assert_eq!(bench.ask_text("hi").await.0, 200, "it was opened");
        let body = bench.sealed(UTF8, &vec![b'x'; 80 * 1_024]);
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert_eq!(got.plain(), (413, ""));
        let body = bench.sealed(UTF8, b"hi");
        let got = bench.send_sealed(&body).await;
        assert!(got.asks_for_logon(), "it was not");
        let body = bench.sealed(UTF8, &most);
        let got = bench.send("POST /wsman", &headers, &body).await;
        assert!(got.asks_for_logon(), "before log-on it is the same limit");
    }
}

#[tokio::test]
async fn metrics_do_not_go_over_http_unsealed() {
    let mut bench = Bench::plain().await;
    bench.log_on("root").await;
    assert_eq!(
        bench.send("GET /metrics", &[], b"").await.plain(),
        (403, "")
    );
    assert_eq!(bench.ask_text("hi").await.0, 200);
    bench.allow_unencrypted();
    let got = bench.send("GET /metrics", &[], b"").await;
    assert_eq!(got.status, 200);
    assert!(
        got.plain()
            .1
            .contains("bitsd_sealed_messages_refused_total")
    );
    let mut bench = Bench::tls().await;
    bench.log_on("root").await;
    assert_eq!(bench.send("GET /metrics", &[], b"").await.status, 200);
}

#[tokio::test]
async fn no_state_of_a_connection_lets_anybody_in_without_a_logon() {
    let kind = Bench::plain().await.content_type("multipart/encrypted");
    let bodies: [(&str, &[u8]); 4] = [
        (UTF8, b"hi"),
        (UTF8, b""),
        (&kind, b"hi"),
        ("text/plain", b"hi"),
    ];
    for channel in [
        Channel::Plain,
        Channel::Tls(ChannelBinding::of_end_point(b"")),
    ] {
        for state in 0..5 {
            let mut bench = Bench::new(channel.clone(), Parts::Whole).await;
            bench.allow_unencrypted();
            match state {
                // Nobody, and underway.
                0 => {}
                1 => drop(bench.first_leg("alice").await),
                // A failed leg, after a log-on and without.
                2 | 3 => {
                    if state == 3 {
                        bench.log_on("alice").await;
                    }
                    let wrong = [("authorization", "Whole two:alice")];
                    let got = bench.send("POST /wsman", &wrong, b"").await;
                    assert!(got.asks_for_logon());
                }
                // Keys out of step.
                _ => {
                    bench.log_on("alice").await;
                    assert!(bench.send_sealed(b"x").await.asks_for_logon());
                }
            }
            for line in [
                "POST /wsman",
                "POST /wsman/",
                "POST /wsman?PSVersion=5.1",
                "POST /wsman-anon/identify",
                "GET /metrics",
            ] {
                for (kind, body) in bodies {
                    let headers = [("content-type", kind)];
                    let got = bench.send(line, &headers, body).await;
                    assert!(got.asks_for_logon(), "{state}: {line}: {got:?}");
                    let headers = [("content-type", kind), ("authorization", "")];
                    let got = bench.send(line, &headers, body).await;
                    assert_eq!(got.status, 401, "{state}: {line}");
                }
            }
        }
    }
}
