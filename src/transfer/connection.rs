//! Connections to servers and proxies: dialled within the fence, driven by
//! whoever reads from them, kept for the next request.
//!
//! A connection has no task of its own: its owner polls it while waiting for
//! the answer or the next piece of body. That saves a hop between threads a
//! piece, and an idle connection costs nothing. Only one of HTTP/2, which several
//! share, has a task ([`Shared`]).

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use hyper::Request;
use hyper::Response;
use hyper::body::Body as _;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use super::credentials::Wallet;
use super::fault;
use super::fence::Fence;
use super::following::Following;
use super::http2::Lease;
use super::http2::Shared;
use super::log_on::Line;
use super::memory::Memory;
use super::memory::Reserved;
use super::outgoing::Outgoing;
use super::pool::Place;
use super::proxy::ProxyEndpoint;
use super::race;
use super::resolver::Resolver;
use super::rest;
use super::rest::Rest;
use super::splice;
use super::stream;
use super::stream::Stream;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::mechanism::ChannelBinding;

/// Where a connection leads. Two requests with the same way may share one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Way {
    /// TLS to the server?
    pub(super) tls: bool,
    /// The server, without the brackets of IPv6.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Through this proxy.
    pub(super) proxy: Option<ProxyEndpoint>,
    /// It is the server that the job names: it may see the job's certificate.
    pub(super) trusted: bool,
}

/// What all connections of a job have in common.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    /// Where connections may lead.
    pub(super) fence: Arc<Fence>,
    /// For one connection, TLS included.
    pub(super) timeout: Duration,
    /// Trust and client certificate.
    pub(super) tls: Arc<rustls::ClientConfig>,
    /// Trust without the certificate.
    pub(super) anonymous_tls: Arc<rustls::ClientConfig>,
    /// For proxies that challenge a CONNECT.
    pub(super) wallet: Arc<Wallet>,
    /// Header `User-Agent`.
    pub(super) user_agent: String,
    /// For the addresses of names.
    pub(super) resolver: Resolver,
    /// What buffers may have.
    pub(super) memory: Memory,
}

/// A connection on which one request at a time can be sent.
pub(super) struct Connection {
    kind: Kind,
    /// Given back once the socket is closed.
    place: Option<Place>,
    /// Where this job has logged on over it.
    pub(super) log_ons: LogOns,
    /// What names it, if it is TLS (RFC 5929 4).
    pub(super) end_point: Option<ChannelBinding>,
}

/// Log-ons that belong to a connection.
//
// INVARIANT: such a connection serves no other job.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogOns {
    /// At the server.
    pub(super) server: bool,
    /// At the proxy.
    pub(super) proxy: bool,
}

enum Kind {
    /// Of HTTP/1.1.
    Own {
        sender: http1::SendRequest<Outgoing>,
        reading: Reading,
    },
    /// A part of one of HTTP/2.
    Leased(Lease),
}

/// Who reads from a connection of HTTP/1.1.
enum Reading {
    /// Nobody any more.
    Over,
    /// hyper.
    Driver {
        driver: Pin<Box<Driver>>,
        /// For its read buffer.
        reserved: Reserved,
        /// Behind what it writes, if there is no TLS.
        following: Option<Following>,
    },
    /// We do, to the end of a long body.
    Rest(Box<Rest>),
}

/// Why no more of a body comes.
pub(super) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Which versions of HTTP a server may choose from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Offer {
    /// HTTP/1.1.
    One,
    /// HTTP/2 too.
    Both,
}

/// A connection by the version that the server chose.
pub(super) enum Dialled {
    /// HTTP/1.1.
    Own(Connection),
    /// HTTP/2.
    Shared(Shared),
}

type Driver = http1::Connection<TokioIo<Stream>, Outgoing>;

impl Dialer {
    /// Makes a connection.
    ///
    /// # Errors
    ///
    /// [`Failure`]; fatal when the fence or the certificate is against it.
    pub(super) async fn dial(
        &self,
        way: &Way,
        place: Place,
        offer: Offer,
    ) -> Result<Dialled, Failure> {
        let dialled = tokio::time::timeout(self.timeout, self.dial_slowly(way, offer)).await;
        let mut dialled = dialled.unwrap_or_else(|_| {
            Err(Failure::transport(
                Hresult::WININET_E_TIMEOUT,
                format!("connecting to {way}: timed out"),
            )
            .at(Phase::Connecting))
        })?;
        match &mut dialled {
            Dialled::Own(connection) => connection.place = Some(place),
            Dialled::Shared(shared) => shared.give_place(place),
        }
        Ok(dialled)
    }

    async fn dial_slowly(&self, way: &Way, offer: Offer) -> Result<Dialled, Failure> {
        let mut tcp = match &way.proxy {
            None => self.reach(&way.host, way.port).await?,
            Some(proxy) => {
                // The proxy goes there for us: no address is inside for it
                // that is outside for us.
                if let Ok(literal) = way.host.parse() {
                    self.check(literal, &way.host)?;
                }
                self.reach(&proxy.host, proxy.port).await?
            }
        };
        let mut end_point = None;
        let stream = if way.tls {
            if way.proxy.is_some() {
                tcp = self.tunnel(tcp, way).await?;
            }
            // Certificates name hosts without the dot of a full name.
            let name = way.host.strip_suffix('.').unwrap_or(&way.host);
            let name = ServerName::try_from(name.to_owned()).map_err(|_| {
                Failure::fatal(
                    ErrorContext::GeneralTransport,
                    Hresult::WININET_E_DECODING_FAILED,
                    format!("connecting to {way}: no certificate can have this name"),
                )
                .at(Phase::Securing)
            })?;
            // INVARIANT: as with credentials, a server that only another
            // server names does not learn who the job is.
            let config = if way.trusted {
                &self.tls
            } else {
                &self.anonymous_tls
            };
            let connector = TlsConnector::from(offering(config, offer));
            let (tcp, reserved) = stream::buffered(tcp, &self.memory);
            let tls = connector.connect(name, tcp).await.map_err(|error| {
                fault::classify(&error, &format!("securing {way}")).at(Phase::Securing)
            })?;
            let chain = tls.get_ref().1.peer_certificates();
            end_point = chain
                .and_then(<[_]>::first)
                .map(|shown| ChannelBinding::of_end_point(shown));
            let is_shared = tls.get_ref().1.alpn_protocol() == Some(HTTP_2);
            let stream = Stream::Tls {
                stream: Box::new(tls),
                reserved,
            };
            if is_shared {
                return Shared::begin(TokioIo::new(stream))
                    .await
                    .map(Dialled::Shared)
                    .map_err(|error| fault::classify(&error, &format!("connecting to {way}")));
            }
            stream
        } else {
            Stream::plain(tcp)
        };
        let (sender, reading) = Reading::begin(stream, &self.memory)
            .await
            .map_err(|error| fault::classify(&error, &format!("connecting to {way}")))?;
        Ok(Dialled::Own(Connection {
            kind: Kind::Own { sender, reading },
            place: None,
            log_ons: LogOns::default(),
            end_point,
        }))
    }

    fn check(&self, address: std::net::IpAddr, host: &str) -> Result<(), Failure> {
        self.fence.check(address).map_err(|why| {
            Failure::fatal(
                ErrorContext::GeneralTransport,
                Hresult::BG_E_BLOCKED_BY_POLICY,
                format!("connecting to {host}: the address {address} is {why}"),
            )
            .at(Phase::Connecting)
        })
    }

    /// A TCP connection to the first address of `host` that is inside the
    /// fence and answers.
    pub(super) async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let addresses = match host.parse() {
            Ok(literal) => vec![literal],
            // The rest of the time is for connecting.
            Err(_) => self.resolver.resolve(host, self.timeout / 4 * 3).await?,
        };
        let mut inside = Vec::with_capacity(addresses.len());
        let mut denied = Ok(());
        for address in addresses {
            match self.check(address, host) {
                Ok(()) => inside.push(SocketAddr::new(address, port)),
                Err(failure) => denied = Err(failure),
            }
        }
        if inside.is_empty() {
            denied?;
        }
        let doing = || format!("connecting to {host}:{port}");
        let stream = race::first(&inside, connect).await.map_err(|error| {
            if let Some(exhausted) = Failure::from_exhaustion(&doing(), &error) {
                return exhausted.at(Phase::Connecting);
            }
            let code = match error.kind() {
                io::ErrorKind::TimedOut => Hresult::WININET_E_TIMEOUT,
                _ => Hresult::WININET_E_CANNOT_CONNECT,
            };
            Failure::transport(code, format!("{}: {error}", doing())).at(Phase::Connecting)
        })?;
        // What was asked for and what was reached may differ where the kernel
        // rewrites addresses for local policy.
        let peer = stream
            .peer_addr()
            .map_err(|error| fault::classify(&error, &doing()).at(Phase::Connecting))?;
        self.check(peer.ip(), host)?;
        Ok(stream)
    }
}

impl Way {
    /// `host:port`, with the brackets of IPv6.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())?;
        match &self.proxy {
            Some(proxy) => write!(f, " through the proxy {}:{}", proxy.host, proxy.port),
            None => Ok(()),
        }
    }
}

impl Reading {
    /// A new exchange of requests over `stream`.
    async fn begin(
        stream: Stream,
        memory: &Memory,
    ) -> hyper::Result<(http1::SendRequest<Outgoing>, Self)> {
        let reserved = memory.grant(GROWTH * MAX_BUFFER, GROWTH * LEAST_BUFFER);
        let following = stream.following().cloned();
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(reserved.octets() / GROWTH)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await?;
        let reading = Self::Driver {
            driver: Box::pin(driver),
            reserved,
            following,
        };
        Ok((sender, reading))
    }

    fn following(&self) -> Option<&Following> {
        match self {
            Self::Driver { following, .. } => following.as_ref(),
            Self::Over | Self::Rest(_) => None,
        }
    }

    /// Lets the connection read and write. How it ends is seen by who waits for
    /// the answer or its body.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Self::Driver { driver, .. } = self
            && driver.as_mut().poll(context).is_ready()
        {
            *self = Self::Over;
        }
    }
}

impl Connection {
    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// Of hyper; the connection is then of no more use.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Outgoing>,
    ) -> hyper::Result<Response<Incoming>> {
        let (sender, reading) = match &mut self.kind {
            Kind::Own { sender, reading } => (sender, reading),
            Kind::Leased(lease) => return lease.send(request).await,
        };
        if let Some(following) = reading.following() {
            following.take_body(&mut request);
        }
        let mut answer = pin!(sender.send_request(request));
        std::future::poll_fn(|context| {
            reading.drive(context);
            answer.as_mut().poll(context)
        })
        .await
    }

    /// Has the rest of `body`, of which nothing was taken yet, read from the
    /// stream itself, if it is long and has the connection to itself. With
    /// `keeps`, another request may follow.
    ///
    /// INVARIANT: all of the request was sent.
    pub(super) fn take_rest(&mut self, body: &mut Incoming, keeps: bool) {
        let length = body.size_hint().exact();
        let Some(length) = length.filter(|length| *length >= rest::LEAST) else {
            return;
        };
        let Kind::Own { reading, .. } = &mut self.kind else {
            return;
        };
        let Reading::Driver {
            driver, reserved, ..
        } = std::mem::replace(reading, Reading::Over)
        else {
            return;
        };
        // What hyper has handed out already.
        let mut first = VecDeque::new();
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *body).poll_frame(&mut context) {
            first.extend(frame.into_data());
        }
        let parts = Pin::into_inner(driver).into_parts();
        first.push_back(parts.read_buf);
        let memory = reserved.memory().clone();
        drop(reserved);
        let rest = Rest::new(parts.io.into_inner(), first, length, keeps, &memory);
        *reading = Reading::Rest(Box::new(rest));
    }

    /// Octets that are left of a body that is read so.
    pub(super) fn rest(&self) -> Option<u64> {
        match &self.kind {
            Kind::Own {
                reading: Reading::Rest(rest),
                ..
            } => Some(rest.left()),
            Kind::Own { .. } | Kind::Leased(_) => None,
        }
    }

    /// The next octets of `body`, which came over this connection; `None` at
    /// its end.
    ///
    /// # Errors
    ///
    /// Of hyper, or of the stream.
    pub(super) async fn data(&mut self, body: &mut Incoming) -> Option<Result<Bytes, Broken>> {
        let mut none = Reading::Over;
        let reading = match &mut self.kind {
            Kind::Own { reading, .. } => reading,
            // Its own task drives it.
            Kind::Leased(_) => &mut none,
        };
        if let Reading::Rest(rest) = reading {
            let data = rest.data().await?;
            if rest.left() == 0 {
                self.renew().await;
            }
            return Some(data.map_err(Broken::from));
        }
        let data = std::future::poll_fn(|context| {
            let mut driven = false;
            loop {
                match Pin::new(&mut *body).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => {
                        // Trailers say nothing that we ask for.
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                        driven = false;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending if driven => return Poll::Pending,
                    Poll::Pending => {
                        reading.drive(context);
                        driven = true;
                    }
                }
            }
        })
        .await?;
        Some(data.map_err(Broken::from))
    }

    /// Moves what comes next of a body into `file` at `at`, at most `most` octets;
    /// none means that [`Connection::data`] is to be used.
    ///
    /// # Errors
    ///
    /// Of the stream or the file.
    pub(super) async fn pass(
        &mut self,
        file: &fs::File,
        at: u64,
        most: u64,
    ) -> Result<u64, splice::Broken> {
        let Kind::Own {
            reading: Reading::Rest(rest),
            ..
        } = &mut self.kind
        else {
            return Ok(0);
        };
        let octets = rest.pass(file, at, most).await?;
        if rest.left() == 0 {
            self.renew().await;
        }
        Ok(octets)
    }

    /// Gives a stream whose body has ended back to hyper. That waits for
    /// nothing.
    async fn renew(&mut self) {
        let Kind::Own { sender, reading } = &mut self.kind else {
            return;
        };
        let Reading::Rest(rest) = std::mem::replace(reading, Reading::Over) else {
            return;
        };
        let memory = rest.memory().clone();
        if let Some(stream) = rest.into_stream()
            && let Ok(renewed) = Reading::begin(stream, &memory).await
        {
            (*sender, *reading) = renewed;
        }
    }

    /// Takes the right to be out of it.
    pub(super) fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    /// Gives the right to be back.
    pub(super) fn give_place(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Can another request be sent? Looks whether the server has hung up
    /// meanwhile.
    pub(super) async fn is_usable(&mut self) -> bool {
        match &mut self.kind {
            Kind::Leased(lease) => lease.is_open(),
            Kind::Own { sender, reading } => {
                std::future::poll_fn(|context| {
                    reading.drive(context);
                    Poll::Ready(())
                })
                .await;
                let all_sent = reading.following().is_none_or(Following::is_over);
                matches!(reading, Reading::Driver { .. }) && sender.is_ready() && all_sent
            }
        }
    }

    /// A part of a shared connection.
    pub(super) fn leased(lease: Lease) -> Self {
        Self {
            kind: Kind::Leased(lease),
            place: None,
            log_ons: LogOns::default(),
            end_point: None,
        }
    }

    /// Is it a part of a shared one?
    pub(super) fn is_leased(&self) -> bool {
        matches!(self.kind, Kind::Leased(_))
    }
}

impl LogOns {
    /// The connection as the log-on at its server sees it.
    pub(super) fn server(self, channel: Option<&ChannelBinding>) -> Line<'_> {
        Line {
            is_logged_on: self.server,
            channel,
        }
    }

    /// The same for its proxy, to which there is no TLS.
    pub(super) fn proxy(self) -> Line<'static> {
        Line {
            is_logged_on: self.proxy,
            channel: None,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection(…)")
    }
}

/// The TLS that offers these versions by ALPN (RFC 7301); without an offer it is
/// HTTP/1.1.
fn offering(config: &Arc<rustls::ClientConfig>, offer: Offer) -> Arc<rustls::ClientConfig> {
    match offer {
        Offer::One => Arc::clone(config),
        Offer::Both => {
            let mut config = rustls::ClientConfig::clone(config);
            config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
            Arc::new(config)
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Of what comes from this host much lies here at once. Through a network the
    // kernel's own choice stays: it knows how long the way is, and grows only as
    // fast as we read, for what lies here unread is lost with the process and
    // sent again.
    if address.ip().is_loopback() && receive_buffer_limit() >= RECEIVE_BUFFER {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What the host grants a receive buffer at most.
fn receive_buffer_limit() -> u32 {
    static LIMIT: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *LIMIT.get_or_init(|| {
        fs::read_to_string("/proc/sys/net/core/rmem_max")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    })
}

/// Octets; the kernel takes twice that for its own bookkeeping.
const RECEIVE_BUFFER: u32 = 2 * 1_024 * 1_024;

/// HTTP/2 over TLS, as ALPN names it.
const HTTP_2: &[u8] = b"h2";

/// Octets of the head of an answer.
const MAX_HEAD: usize = 64 * 1_024;

/// hyper's read buffer, octets: it grows to that when a body fills it.
const MAX_BUFFER: usize = 256 * 1_024;
const LEAST_BUFFER: usize = 64 * 1_024;

/// What it may take of memory while it grows and is handed out: so many times
/// that.
const GROWTH: usize = 2;

/// Headers of an answer.
const MAX_HEADERS: usize = 100;
