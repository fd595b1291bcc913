//! Sockets: listeners, TLS, and one task a connection.
//!
//! HTTP/1.1 only, since a security context belongs to one TCP connection.
//! Routes and log-on are left to the router that is served; it finds the
//! [`Connection`] among the extensions of a request.

mod bind;
mod budget;
mod certificate;
mod client_trust;
mod connection;
mod serving;
mod sockets;
mod tls;

pub(crate) use connection::Connection;
pub(crate) use sockets::Sockets;
pub(crate) use sockets::bind;
pub(crate) use tls::Acceptors;
pub(crate) use tls::Tls;
