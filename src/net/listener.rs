//! Listeners: bound first, then served until a stop.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;
use tracing::debug;
use tracing::warn;

use super::Tls;
use super::budget::Budget;
use super::budget::Visitor;
use super::connection::Connection;
use super::connection::Due;
use crate::auth::Channel;
use crate::auth::ConnectionAuth;
use crate::auth::Peer;
use crate::config::Current;

/// Sockets that are bound, and what is needed to serve them. Clients can
/// connect from here on; they are answered once [`Listener::serve`] runs.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Vec<(TcpListener, SocketAddr)>,
    addresses: Vec<SocketAddr>,
    tls: Tls,
    budget: Arc<Budget>,
    times: Times,
    stop_timeout: Duration,
}

/// Why an address is not listened to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Somebody else listens there.
    #[error("service.listen: {0} is in use: another process listens there")]
    InUse(SocketAddr),
    /// The host has no such address.
    #[error("service.listen: {0} is no address of this host")]
    NotOurs(SocketAddr),
    /// The port is for root, or a capability is missing.
    #[error("service.listen: {0} is not allowed to this account (ports below 1024 are privileged)")]
    NotAllowed(SocketAddr),
    /// Anything else.
    #[error("service.listen: cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
struct Times {
    logon: Duration,
    idle: Duration,
}

/// Binds every address of the settings. Needs a runtime around it.
///
/// # Errors
///
/// [`Error`], and then none is bound.
pub(crate) fn bind(settings: &Arc<Current>, tls: &Tls) -> Result<Listener, Error> {
    let now = settings.get();
    let (service, wsman) = (&now.service, &now.wsman);
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for &address in &service.listen {
        let bound = bind_one(address).and_then(|socket| {
            let address = socket.local_addr()?;
            Ok((socket, address))
        });
        let (socket, bound) = bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::InUse(address),
            io::ErrorKind::AddrNotAvailable => Error::NotOurs(address),
            io::ErrorKind::PermissionDenied => Error::NotAllowed(address),
            _ => Error::Bind { address, source },
        })?;
        sockets.push((socket, bound));
        addresses.push(bound);
    }
    Ok(Listener {
        sockets,
        addresses,
        tls: tls.clone(),
        budget: Arc::new(Budget::new(wsman)),
        times: Times {
            logon: Duration::from_secs(wsman.logon_timeout_s),
            idle: Duration::from_secs(wsman.idle_timeout_s),
        },
        stop_timeout: Duration::from_secs(service.stop_timeout_s),
    })
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that `0.0.0.0` and `::` can both be listened to.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Listener {
    /// The addresses, with the port that the system chose where the settings
    /// say 0.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves `router` until `stop`, then lets requests end, but not beyond
    /// the stop timeout. Each request has its `Arc<Connection>` among its
    /// extensions. All tasks have ended when it returns; dropping the future
    /// cuts all connections off.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        // Those who do not heed `stop` in time are ended by this one.
        let end = CancellationToken::new();
        let shared = Arc::new(Shared {
            router,
            acceptor: TlsAcceptor::from(Arc::clone(&self.tls.config)),
            times: self.times,
            stop: stop.clone(),
            end: end.clone(),
        });
        let _end_with_us = end.clone().drop_guard();
        for (socket, _) in self.sockets {
            let budget = Arc::clone(&self.budget);
            tasks.spawn(accept(socket, budget, Arc::clone(&shared), tasks.clone()));
        }
        stop.cancelled().await;
        tasks.close();
        if timeout(self.stop_timeout, tasks.wait()).await.is_err() {
            warn!(connections = tasks.len(), "Connections cut off");
            end.cancel();
            tasks.wait().await;
        }
    }
}

/// What every connection needs.
struct Shared {
    router: Router,
    acceptor: TlsAcceptor,
    times: Times,
    stop: CancellationToken,
    end: CancellationToken,
}

/// Accepts connections until the stop, each into its own task.
async fn accept(socket: TcpListener, budget: Arc<Budget>, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = shared.stop.cancelled() => return,
            () = shared.end.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(visitor) = budget.visit(address.ip()) else {
                    debug!(%address, "Too many connections without log-on");
                    continue;
                };
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let end = shared.end.clone();
                    tokio::select! {
                        () = run(stream, address, visitor, &shared) => {}
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
async fn run(stream: TcpStream, address: SocketAddr, visitor: Visitor, shared: &Arc<Shared>) {
    let Shared {
        router,
        acceptor,
        times,
        stop,
        ..
    } = &**shared;
    let Ok(Some(place)) = timeout(times.logon, visitor.place()).await else {
        return;
    };
    let begun_at = Instant::now();
    let logon_until = begun_at + times.logon;
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = match timeout_at(logon_until, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            debug!(%address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            debug!(%address, "TLS handshake took too long");
            return;
        }
    };
    let peer = Peer {
        address,
        channel: Channel::Tls,
        certificate: None,
    };
    let connection = Arc::new(Connection::new(ConnectionAuth::new(peer), place, begun_at));
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
                match connection.due(times.logon, times.idle, now) {
                    Due::Now if is_closing => return,
                    Due::Now => {
                        is_closing = true;
                        serving.as_mut().graceful_shutdown();
                        due.as_mut().reset(now + GOODBYE);
                    }
                    Due::At(instant) => due.as_mut().reset(instant),
                }
            }
            () = &mut stopped, if !is_closing => {
                is_closing = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;

/// Octets that hyper buffers: more than the longest head.
const MAX_BUFFER: usize = 128 * 1_024;

/// Octets of a request's head: a Kerberos token of 64 KiB in base64, and the
/// other headers.
const MAX_HEAD: usize = 96 * 1_024;

/// How long nothing is accepted when there is no room for more.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long TLS may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
