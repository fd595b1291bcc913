//! Sockets: listeners with TLS and without, and one task a connection.
//!
//! HTTP/1.1 only, since a security context belongs to one TCP connection.
//! Certificate and key, the authorities of clients and the lists of what they
//! revoked are read again while connections are served.
//! Routes and log-on are left to the router that is served; it finds the
//! [`Connection`] among the extensions of a request.

mod acceptor;
mod bind;
mod budget;
mod certificate;
mod client_trust;
mod connection;
mod reload;
mod serving;
mod sockets;
mod tls;

pub(crate) use acceptor::Acceptors;
pub(crate) use connection::Connection;
pub(crate) use reload::Reload;
pub(crate) use reload::Why;
pub(crate) use sockets::Sockets;
pub(crate) use sockets::bind;
pub(crate) use tls::Tls;
