//! Mechanisms of log-ons that are exchanges of binary tokens, for both sides:
//! `auth` accepts with them who comes to us, `transfer` logs on with them to
//! servers and proxies.
//!
//! - `ntlm`: version 2 ([MS-NLMP]);
//! - `gss`: Kerberos by the system's library (RFC 4121), the one unsafe part;
//! - `spnego`: the tokens that choose between the two (RFC 4178, [MS-SPNG]);
//! - `initiate`: the client's side of that choice;
//! - `binding`: what ties a log-on to a TLS connection (RFC 5929).
//!
//! `ntlm` and `spnego` read no clock, no file and no random octets. Whether a
//! log-on is good is decided by those who use them.

mod binding;
mod context;
pub(crate) mod gss;
mod initiate;
pub(crate) mod ntlm;
pub(crate) mod spnego;

pub(crate) use binding::ChannelBinding;
pub(crate) use binding::Named;
pub(crate) use context::Parts;
pub(crate) use context::Seal;
pub(crate) use context::SealError;
pub(crate) use context::Sealed;
pub(crate) use context::SecurityContext;
pub(crate) use context::Within;
pub(crate) use initiate::Candidate;
pub(crate) use initiate::Initiate;
pub(crate) use initiate::Negotiation;
pub(crate) use initiate::Next;
pub(crate) use initiate::Told;
pub(crate) use initiate::Unproven;
#[cfg(fuzzing)]
pub(crate) use ntlm::fuzz as fuzz_ntlm;
#[cfg(fuzzing)]
pub(crate) use spnego::fuzz as fuzz_spnego;
