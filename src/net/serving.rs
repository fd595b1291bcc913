//! Serving: connections are accepted, each into a task of its own.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;
use tracing::debug;
use tracing::warn;

use super::acceptor::Acceptor;
use super::acceptor::Acceptors;
use super::budget::Budget;
use super::budget::Visitor;
use super::connection::Connection;
use super::connection::Due;
use super::connection::RECHECK;
use crate::auth::AUDIT;
use crate::auth::Channel;
use crate::auth::ClientCertificate;
use crate::auth::ConnectionAuth;
use crate::auth::Peer;
use crate::config::Current;
use crate::config::Transport;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;
use crate::telemetry::line_budget::LineBudget;

/// What every connection needs.
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) acceptors: Arc<Acceptors>,
    pub(super) budget: Arc<Budget>,
    pub(super) settings: Arc<Current>,
    /// For client certificates that are not good.
    pub(super) lines: LineBudget,
    pub(super) tasks: TaskTracker,
    /// Requests end, then connections.
    pub(super) stop: CancellationToken,
    /// Those who do not heed `stop` in time are ended by this one.
    pub(super) end: CancellationToken,
}

/// How long a connection may take, by the settings in force.
#[derive(Clone, Copy, Debug)]
struct Times {
    logon: Duration,
    idle: Duration,
}

impl Times {
    fn of(settings: &Current) -> Self {
        let wsman = &settings.get().wsman;
        Self {
            logon: Duration::from_secs(wsman.logon_timeout_s),
            idle: Duration::from_secs(wsman.idle_timeout_s),
        }
    }
}

/// Accepts connections until `close` or the stop, each into its own task.
pub(super) async fn accept(
    socket: TcpListener,
    transport: Transport,
    shared: Arc<Shared>,
    close: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = close.cancelled() => return,
            () = shared.stop.cancelled() => return,
            () = shared.end.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(visitor) = shared.budget.visit(address.ip()) else {
                    debug!(%address, "Too many connections without log-on");
                    continue;
                };
                let own = Arc::clone(&shared);
                shared.tasks.spawn(async move {
                    let end = own.end.clone();
                    tokio::select! {
                        () = run(stream, address, transport, visitor, &own) => {}
                        () = end.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors or memory: others must end first. A
                // client that has gone again is not worth a pause.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    warn!(%error, "Connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection.
async fn run(
    stream: TcpStream,
    address: SocketAddr,
    transport: Transport,
    visitor: Visitor,
    shared: &Shared,
) {
    let logon = Times::of(&shared.settings).logon;
    let Ok(place) = timeout(logon, visitor.place()).await else {
        Counter::Refused(Limit::AnonymousConnections).bump();
        return;
    };
    let begun_at = Instant::now();
    let logon_until = begun_at + logon;
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let begin = |peer| Connection::new(ConnectionAuth::new(peer), place, begun_at);
    match transport {
        Transport::Http => {
            let peer = Peer {
                address,
                channel: Channel::Plain,
                certificate: None,
            };
            serve(stream, begin(peer), logon_until, shared).await;
        }
        Transport::Https => {
            if let Some((stream, peer)) = shake_hands(stream, address, logon_until, shared).await {
                serve(stream, begin(peer), logon_until, shared).await;
            }
        }
    }
}

/// TLS, and who is at the other end of it.
async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    until: Instant,
    shared: &Shared,
) -> Option<(TlsStream<TcpStream>, Peer)> {
    let acceptor = shared.acceptors.under(&shared.settings.get());
    let stream = match timeout_at(until, acceptor.handshake.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%address, %error, "TLS handshake failed");
            return None;
        }
        Err(_) => {
            Counter::Refused(Limit::LogOnTime).bump();
            debug!(%address, "TLS handshake took too long");
            return None;
        }
    };
    let peer = Peer {
        address,
        channel: Channel::Tls(acceptor.end_point.clone()),
        certificate: certificate(&acceptor, &stream, address, shared),
    };
    Some((stream, peer))
}

/// Answers the requests of a connection until it ends.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    logon_until: Instant,
    shared: &Shared,
) {
    let Shared {
        router,
        settings,
        stop,
        ..
    } = shared;
    let address = connection.auth.peer().address;
    let connection = Arc::new(connection);
    let service = service_fn(|mut request: Request<Incoming>| {
        connection.begin();
        request.extensions_mut().insert(Arc::clone(&connection));
        let connection = Arc::clone(&connection);
        let answer = router.clone().call(request);
        async move {
            let answer = answer.await;
            connection.end(Instant::now());
            answer
        }
    });
    // The number of headers is left at hyper's 100: any other one costs an
    // allocation for every request.
    let serving = http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        .max_header_size(MAX_HEAD)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let mut due = pin!(tokio::time::sleep_until(logon_until));
    let mut stopped = pin!(stop.cancelled());
    let mut is_closing = false;
    loop {
        tokio::select! {
            biased;
            served = &mut serving => {
                if let Err(error) = served {
                    debug!(%address, %error, "Connection broken");
                }
                return;
            }
            () = &mut due => {
                let now = Instant::now();
                let times = Times::of(settings);
                match connection.due(times.logon, times.idle, now) {
                    Due::Now if is_closing => return,
                    Due::Now => {
                        if !connection.is_settled() {
                            Counter::Refused(Limit::LogOnTime).bump();
                        }
                        is_closing = true;
                        serving.as_mut().graceful_shutdown();
                        due.as_mut().reset(now + GOODBYE);
                    }
                    Due::AfterThis => {
                        if !is_closing {
                            Counter::Refused(Limit::LogOnTime).bump();
                            is_closing = true;
                            serving.as_mut().graceful_shutdown();
                        }
                        due.as_mut().reset(now + RECHECK);
                    }
                    Due::At(instant) => due.as_mut().reset(instant.min(now + LOOK_AGAIN)),
                }
            }
            () = &mut stopped, if !is_closing => {
                is_closing = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The certificate that the client has shown, good or not.
fn certificate(
    acceptor: &Acceptor,
    stream: &TlsStream<TcpStream>,
    address: SocketAddr,
    shared: &Shared,
) -> Option<Arc<ClientCertificate>> {
    let chain = stream.get_ref().1.peer_certificates()?;
    let shown = acceptor.client_certificate(chain)?;
    if let Err(error) = shown.check(&shared.settings.get(), SystemTime::now()) {
        Counter::CertificateRefused.bump();
        if shared.lines.take(Instant::now()) {
            warn!(target: AUDIT, %address, %error, "Client certificate refused");
        }
    }
    Some(Arc::new(shown))
}

/// Octets that hyper buffers: more than the longest head.
const MAX_BUFFER: usize = 128 * 1_024;

/// Octets of a request's head: a Kerberos token of 64 KiB in base64, and the
/// other headers.
const MAX_HEAD: usize = 96 * 1_024;

/// How long nothing is accepted when there is no room for more.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How soon it is seen that the times have been changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long TLS may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
