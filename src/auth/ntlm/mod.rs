//! `NTLM` with the responses of version 2 ([MS-NLMP]): messages, keys, the
//! server's side of an exchange, and the security context that comes of it.
//!
//! Version 1, `LM` responses and anonymous log-ons are refused, and so is
//! whoever has no extended session security. Nothing in here reads a clock, a
//! file or random octets: `ntlm_exchange` does, and finds the accounts.

mod acceptor;
mod av_pairs;
mod flags;
mod keys;
mod message;
mod seal;

#[cfg(test)]
pub(super) mod client;
#[cfg(test)]
mod oracle;

pub(super) use acceptor::Acceptor;
pub(super) use acceptor::Claim;
pub(super) use acceptor::FileTime;
pub(super) use acceptor::Host;
pub(super) use acceptor::IntegrityCode;
pub(super) use acceptor::Refusal;
#[cfg(fuzzing)]
pub(crate) use acceptor::fuzz;
pub(super) use keys::NtHash;
pub(super) use keys::nt_hash;
pub(super) use message::MessageError;

#[cfg(test)]
mod tests;
