//! What the octets of a connection come and go over.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::BufReader;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::following::Following;
use super::memory::Memory;
use super::memory::Reserved;
use super::tcp::Tcp;

/// TCP, with TLS over it or without.
pub(super) enum Stream {
    /// TCP, and what goes over it behind a head.
    Plain(Tcp, Following),
    /// TLS over it.
    Tls {
        /// Over a [`buffered`] one.
        stream: Box<TlsStream<BufReader<Tcp>>>,
        /// The memory of that.
        #[expect(dead_code, reason = "held, not read")]
        reserved: Reserved,
    },
}

/// TCP for TLS, which would read one record at a time: what has come is taken
/// at once, into so much memory.
pub(super) fn buffered(tcp: TcpStream, memory: &Memory) -> (BufReader<Tcp>, Reserved) {
    let reserved = memory.grant(BUFFER, LEAST_BUFFER);
    let capacity = reserved.octets();
    (BufReader::with_capacity(capacity, Tcp::new(tcp)), reserved)
}

impl Stream {
    /// TCP without TLS.
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self::Plain(Tcp::new(tcp), Following::default())
    }

    /// The socket, if there is no TLS over it.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp, _) => Some(tcp.stream()),
            Self::Tls { .. } => None,
        }
    }

    /// For bodies that go behind their head, if they can.
    pub(super) fn following(&self) -> Option<&Following> {
        match self {
            Self::Plain(_, following) => Some(following),
            Self::Tls { .. } => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls { stream, .. } => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream, following) => {
                following.head_goes();
                Pin::new(stream).poll_write(context, octets)
            }
            Self::Tls { stream, .. } => Pin::new(stream).poll_write(context, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream, following) => {
                following.head_goes();
                Pin::new(stream).poll_write_vectored(context, pieces)
            }
            Self::Tls { stream, .. } => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    /// Else hyper copies what it sends.
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream, _) => stream.is_write_vectored(),
            Self::Tls { stream, .. } => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, following) => following.poll(stream.stream(), context),
            Self::Tls { stream, .. } => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream, _) => Pin::new(stream).poll_shutdown(context),
            Self::Tls { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Octets that are read at once below TLS, at most and at least.
const BUFFER: usize = 256 * 1_024;
const LEAST_BUFFER: usize = 32 * 1_024;
