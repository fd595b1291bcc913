//! Which certificates are taken for a server's, and why one is not.
//!
//! One verifier for both sides that connect: transfers, and the command line.
//! rustls' own refuses a self-signed certificate that is marked as an authority,
//! cannot leave single checks out, and names the first thing that is wrong only.
//! Whatever is left out here, the server proves by its signature in the
//! handshake that it has the key of the certificate that it shows.

mod authorities;
mod refused;
mod thumbprint;
mod verifier;

pub(crate) use authorities::Authorities;
pub(crate) use refused::Refused;
pub(crate) use refused::Wrong;
pub(crate) use thumbprint::Thumbprint;
pub(crate) use verifier::Leniency;
pub(crate) use verifier::Pins;
pub(crate) use verifier::RevocationLists;
pub(crate) use verifier::Verifier;
