//! `NTLM` with the responses of version 2 ([MS-NLMP]): messages, keys, both
//! sides of an exchange, and the security context that comes of it.
//!
//! Version 1, `LM` responses and anonymous log-ons are refused, and so is
//! whoever has no extended session security. Nothing in here reads a clock, a
//! file or random octets: who uses it does.

mod acceptor;
mod av_pairs;
mod flags;
mod initiator;
mod keys;
mod message;
mod seal;

#[cfg(test)]
pub(crate) mod client;
#[cfg(test)]
mod oracle;

pub(crate) use acceptor::Acceptor;
pub(crate) use acceptor::Claim;
pub(crate) use acceptor::FileTime;
pub(crate) use acceptor::Host;
pub(crate) use acceptor::IntegrityCode;
pub(crate) use acceptor::Refusal;
#[cfg(fuzzing)]
pub(crate) use acceptor::fuzz;
pub(crate) use initiator::Fresh;
pub(crate) use initiator::Initiator;
pub(crate) use initiator::Target;
pub(crate) use keys::NtHash;
pub(crate) use keys::nt_hash;
pub(crate) use message::MessageError;

#[cfg(test)]
mod tests;
