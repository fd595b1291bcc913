use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::SystemTime;

use base64::Engine as _;
use hyper::Method as HttpMethod;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use url::Url;

use super::*;
use crate::bits::Credentials;
use crate::bits::Secret;
use crate::config::FilesSettings;
use crate::config::Network;
use crate::config::TransferSettings;
use crate::mechanism::ntlm;
use crate::transfer::Access;
use crate::transfer::Mover;
use crate::transfer::Session;
use crate::transfer::http_origin::Ask;
use crate::transfer::outgoing::Outgoing;

/// A request as the server has seen it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen {
    connection: usize,
    /// Octets of its body.
    body: usize,
    /// `Authorization`, without its token.
    scheme: Option<String>,
    status: u16,
}

/// What a server does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wants {
    /// NTLM, as IIS does it.
    Ntlm,
    /// The same, and it closes a connection with each answer but challenges.
    NtlmEachConnection,
    /// NTLM of the first request, and then nothing.
    NtlmNoMore,
    /// Digest, whose every nonce is too old.
    StaleForEver,
    /// The same, but only the first one is.
    StaleOnce,
    /// NTLM; it hangs up when it is shown a proof.
    HangUp,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn new(wants: Wants) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("accept");
                let log = Arc::clone(&log);
                tokio::spawn(serve(stream, connection, wants, log));
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    /// What was asked since the last time: connection, octets, scheme, status.
    fn seen(&self) -> Vec<(usize, usize, Option<String>, u16)> {
        let seen = std::mem::take(&mut *self.seen.lock().expect("lock"));
        let seen = seen.into_iter();
        seen.map(|one| (one.connection, one.body, one.scheme, one.status))
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, connection: usize, wants: Wants, log: Arc<Mutex<Vec<Seen>>>) {
    let (mut acceptor, mut is_in) = (ntlm::Acceptor::default(), false);
    while let Some((authorization, body)) = read(&mut stream).await {
        let scheme = authorization.split(' ').next().unwrap_or("").to_owned();
        let count = log.lock().expect("lock").len();
        let (status, more) = match wants {
            Wants::StaleForEver | Wants::StaleOnce => {
                let good = wants == Wants::StaleOnce && authorization.contains("nonce=\"n1\"");
                let fresh = usize::from(!authorization.is_empty());
                let nonce = if wants == Wants::StaleOnce {
                    fresh
                } else {
                    count
                };
                let stale = if authorization.is_empty() {
                    ""
                } else {
                    ", stale=true"
                };
                let challenge = format!("Digest realm=\"r\", nonce=\"n{nonce}\", qop=auth{stale}");
                (if good { 201 } else { 401 }, Some(challenge))
            }
            Wants::NtlmNoMore if count > 0 => (201, None),
            Wants::Ntlm | Wants::NtlmEachConnection | Wants::NtlmNoMore | Wants::HangUp => {
                let token = authorization.strip_prefix("NTLM ").map(|token| {
                    let token = STANDARD.decode(token).expect("base64");
                    step(&mut acceptor, &mut is_in, &token)
                });
                if wants == Wants::HangUp && token == Some(None) {
                    log.lock().expect("lock").push(Seen {
                        connection,
                        body,
                        scheme: Some(scheme),
                        status: 0,
                    });
                    return;
                }
                let challenge = match token.flatten() {
                    Some(token) => format!("NTLM {token}"),
                    None => "NTLM".to_owned(),
                };
                (if is_in { 201 } else { 401 }, Some(challenge))
            }
        };
        log.lock().expect("lock").push(Seen {
            connection,
            body,
            scheme: (!scheme.is_empty()).then_some(scheme),
            status,
        });
        let more = match more.filter(|_| status == 401) {
            Some(challenge) => format!("WWW-Authenticate: {challenge}\r\n"),
            None => String::new(),
        };
        let closes = wants == Wants::NtlmEachConnection && status == 201;
        let close = if closes { "Connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 {status} So\r\n{more}{close}Content-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok();
        if closes {
            return;
        }
    }
}

/// The challenge, if it is due; none once somebody has shown a proof.
fn step(acceptor: &mut ntlm::Acceptor, is_in: &mut bool, token: &[u8]) -> Option<String> {
    let now = ntlm::FileTime::of(SystemTime::now());
    if !acceptor.has_challenged() {
        *acceptor = ntlm::Acceptor::default();
        let host = ntlm::Host::new("server");
        let challenge = acceptor.challenge(token, &host, *b"01234567", now);
        return Some(STANDARD.encode(challenge.expect("a good NEGOTIATE")));
    }
    let claim = acceptor.claim(token).expect("a good AUTHENTICATE");
    let hash = ntlm::nt_hash("open sesame");
    *is_in = claim.check(&hash, ntlm::IntegrityCode::Needed, now).is_ok();
    None
}

/// `Authorization` and the octets of the body.
async fn read(stream: &mut TcpStream) -> Option<(String, usize)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("text");
    let value = |name: &str| {
        let found = head.lines().filter_map(|line| line.split_once(": "));
        let mut found = found.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    };
    let length = value("content-length").map_or(0, |text| text.parse().expect("a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((value("authorization").unwrap_or_default(), length))
}

struct Bench {
    folder: tempfile::TempDir,
    session: Session,
}

impl Bench {
    fn new(scheme: AuthScheme, password: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let transfer = TransferSettings {
            allow_addresses: vec![Network::try_from("127.0.0.1".to_owned()).expect("address")],
            ..TransferSettings::default()
        };
        let files = FilesSettings::default();
        let mover = Mover::new(&transfer, &files, folder.path(), &[]).expect("usable");
        let access = Access {
            credentials: vec![Credentials {
                target: AuthTarget::Server,
                scheme,
                user: Secret::new("DOMAIN\\alice".to_owned()),
                password: Secret::new(password.to_owned()),
            }],
            ..Access::default()
        };
        let session = mover.session(access).expect("a session");
        Self { folder, session }
    }

    /// Uploads `OCTETS`; the status.
    async fn upload(&self, server: &Server) -> Result<u16, Failure> {
        let path = self.folder.path().join("source");
        std::fs::write(&path, vec![7; OCTETS]).expect("written");
        let ask = Ask {
            method: HttpMethod::PUT,
            body: Outgoing::Part {
                file: Arc::new(std::fs::File::open(&path).expect("there")),
                at: 0,
                left: OCTETS as u64,
                sent: Arc::default(),
            },
            ..Ask::default()
        };
        self.ask(server, &ask).await
    }

    async fn ask(&self, server: &Server, ask: &Ask) -> Result<u16, Failure> {
        let url = format!("http://{}/file", server.address);
        let url = Url::parse(&url).expect("a URL");
        let answer = self.session.origin.ask(&url, ask).await?;
        let status = answer.status.as_u16();
        answer.discard().await;
        Ok(status)
    }
}

const OCTETS: usize = 300_000;

#[expect(clippy::unnecessary_wraps, reason = "as it stands in what was seen")]
fn ntlm_scheme() -> Option<String> {
    Some("NTLM".to_owned())
}

#[tokio::test]
async fn the_body_of_an_upload_is_for_whom_the_server_knows() {
    let server = Server::new(Wants::Ntlm).await;
    let bench = Bench::new(AuthScheme::Ntlm, "open sesame");
    assert_eq!(bench.upload(&server).await.expect("sent"), 201);
    let handshake = [
        (0, OCTETS, None, 401),
        (0, 0, ntlm_scheme(), 401),
        (0, OCTETS, ntlm_scheme(), 201),
    ];
    assert_eq!(server.seen(), handshake);
    // The connection stays logged on.
    assert_eq!(bench.upload(&server).await.expect("sent"), 201);
    assert_eq!(server.seen(), [(0, OCTETS, None, 201)]);
}

#[tokio::test]
async fn a_new_connection_to_a_known_server_logs_on_before_it_sends() {
    let server = Server::new(Wants::NtlmEachConnection).await;
    let bench = Bench::new(AuthScheme::Ntlm, "open sesame");
    assert_eq!(bench.upload(&server).await.expect("sent"), 201);
    server.seen();
    assert_eq!(bench.upload(&server).await.expect("sent"), 201);
    let handshake = [(1, 0, ntlm_scheme(), 401), (1, OCTETS, ntlm_scheme(), 201)];
    assert_eq!(server.seen(), handshake);
}

#[tokio::test]
async fn a_server_that_asks_no_more_gets_the_body_all_the_same() {
    let server = Server::new(Wants::NtlmNoMore).await;
    let bench = Bench::new(AuthScheme::Ntlm, "open sesame");
    assert_eq!(bench.upload(&server).await.expect("sent"), 201);
    let sent = [
        (0, OCTETS, None, 401),
        (0, 0, ntlm_scheme(), 201),
        (0, OCTETS, None, 201),
    ];
    assert_eq!(server.seen(), sent);
}

#[tokio::test]
async fn a_wrong_password_is_shown_once_however_many_ask() {
    let server = Server::new(Wants::Ntlm).await;
    let bench = Bench::new(AuthScheme::Ntlm, "wrong");
    let ask = Ask::default();
    let asking = (0..16).map(|_| bench.ask(&server, &ask));
    for status in futures_of(asking).await {
        assert_eq!(status.expect("an answer"), 401);
    }
    assert_eq!(bench.ask(&server, &ask).await.expect("an answer"), 401);
    // NEGOTIATE and AUTHENTICATE, once.
    let seen = server.seen();
    let shown = seen.iter().filter(|(_, _, scheme, _)| scheme.is_some());
    assert_eq!(shown.count(), 2, "{seen:?}");
}

#[tokio::test]
async fn a_nonce_is_renewed_once() {
    let ask = Ask::default();
    for (wants, status, count) in [(Wants::StaleOnce, 201, 3), (Wants::StaleForEver, 401, 3)] {
        let server = Server::new(wants).await;
        let bench = Bench::new(AuthScheme::Digest, "open sesame");
        let found = bench.ask(&server, &ask).await.expect("an answer");
        assert_eq!(found, status, "{wants:?}");
        assert_eq!(server.seen().len(), count, "{wants:?}");
    }
}

#[tokio::test]
async fn a_proof_is_not_shown_again_to_a_server_that_hangs_up() {
    let server = Server::new(Wants::HangUp).await;
    let bench = Bench::new(AuthScheme::Ntlm, "open sesame");
    let failure = bench.ask(&server, &Ask::default()).await;
    let failure = failure.expect_err("no answer");
    assert_eq!(failure.code, Hresult::WININET_E_CONNECTION_ABORTED);
    let shown = server.seen();
    let proofs = shown.iter().filter(|(_, _, _, status)| *status == 0);
    assert_eq!(proofs.count(), 1, "{shown:?}");
}

/// All at once.
async fn futures_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(found) = future.as_mut().poll(context)
            {
                *done = Some(found);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
