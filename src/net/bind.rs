//! Binding addresses.

use std::io;
use std::net::SocketAddr;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use tokio::net::TcpListener;

use super::tls::TlsError;
use crate::config::Listening;

/// Why there are no listeners, or not those that were asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Somebody else listens there.
    #[error("{}: {} is in use: another process listens there", .0.transport.key(), .0.address)]
    InUse(Listening),
    /// The host has no such address.
    #[error("{}: {} is no address of this host", .0.transport.key(), .0.address)]
    NotOurs(Listening),
    /// The port is for root, or a capability is missing.
    #[error(
        "{}: {} is not allowed to this account (ports below 1024 are privileged)",
        .0.transport.key(), .0.address
    )]
    NotAllowed(Listening),
    /// Anything else.
    #[error("{}: cannot listen on {}", .wanted.transport.key(), .wanted.address)]
    Bind {
        /// Where.
        wanted: Listening,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nobody could reach the service any more.
    #[error("service.listen: at least one address")]
    Nowhere,
    /// The service is on its way out.
    #[error("the service stops")]
    Stopping,
    /// The authorities of client certificates cannot be used.
    #[error("access.client_ca_certificates, access.client_revocation_lists")]
    Authorities(#[source] TlsError),
}

/// A socket that listens on `wanted`, and where it really does: the system
/// chooses the port where 0 is asked for.
///
/// # Errors
///
/// [`Error`].
pub(super) fn listen(wanted: Listening) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = bind(wanted.address).and_then(|socket| {
        let address = socket.local_addr()?;
        Ok((socket, address))
    });
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(wanted),
        io::ErrorKind::AddrNotAvailable => Error::NotOurs(wanted),
        io::ErrorKind::PermissionDenied => Error::NotAllowed(wanted),
        _ => Error::Bind { wanted, source },
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
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

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;
