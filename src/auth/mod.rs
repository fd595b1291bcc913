//! Who is this, and what may he do?
//!
//! A log-on mechanism is an [`Acceptor`]: one attempt on one connection, fed
//! with the tokens of its legs until it has proved an account. [`Door`] picks
//! the mechanism by the scheme of the `Authorization` header, keeps what a
//! connection has reached in its [`ConnectionAuth`], and turns the account into
//! a [`Principal`] by the lists and roles in the settings. Mechanisms whose
//! tokens are octets, and may stand within one another, are `Exchange`s. What
//! protects messages after the log-on is a [`Seal`]. Failed log-ons are counted
//! by [`Attempts`], which also says who is locked out.
//!
//! In force, as the settings switch them on:
//!
//! - `Negotiate` ([MS-SPNG], RFC 4178), `Kerberos` and `NTLM`, with Kerberos by
//!   the system's library (RFC 4121) and NTLM version 2 ([MS-NLMP]);
//! - `CredSSP` ([MS-CSSP]), with one of these inside;
//! - `Basic` (RFC 7617) over TLS, against the user file or PAM;
//! - client certificates ([MS-WSMV] 3.1.4.1.35).
//!
//! NTLM, SPNEGO, the framing of sealed bodies and the messages of `CredSSP` are
//! read and written by parts that do no I/O and know no clock. Sockets and HTTP
//! are left to `net` and `http`.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

mod access;
mod attempts;
mod audit;
mod basic;
mod binding;
mod caller;
mod certificate;
mod client_certificate;
mod client_trust;
mod connection;
mod credentials;
mod credssp;
mod door;
mod exchange;
#[cfg(test)]
pub(crate) mod fake;
mod holder;
mod identity;
mod kerberos;
mod lockout;
mod mapping;
mod negotiate;
mod ntlm_exchange;
mod pam;
mod passwords;
mod principal;
mod profile;
mod sealed;
mod secret_file;
mod unlock;
mod users;

use crate::config::AccessSettings;
pub(crate) use crate::mechanism::ChannelBinding;
pub(crate) use crate::mechanism::Parts;
pub(crate) use crate::mechanism::Seal;
pub(crate) use crate::mechanism::SealError;
pub(crate) use crate::mechanism::Sealed;
pub(crate) use crate::mechanism::Within;

pub(crate) use access::Access;
pub(crate) use attempts::Attempts;
pub(crate) use binding::Bound;
pub(crate) use caller::Caller;
pub(crate) use certificate::is_in_force as takes_certificates;
pub(crate) use client_certificate::ClientCertificate;
pub(crate) use client_trust::Authority;
pub(crate) use client_trust::ClientTrust;
pub(crate) use client_trust::CurrentTrust;
pub(crate) use client_trust::RevocationList;
pub(crate) use client_trust::Sources;
pub(crate) use connection::ConnectionAuth;
#[cfg(fuzzing)]
pub(crate) use credssp::fuzz as fuzz_ts_request;
pub(crate) use door::Admission;
pub(crate) use door::Door;
pub(crate) use door::Means;
pub(crate) use holder::ends_at;
pub(crate) use identity::CurrentIdentity;
pub(crate) use identity::Identity;
pub(crate) use kerberos::Kerberos;
pub(crate) use lockout::network;
pub(crate) use mapping::name_only;
pub(crate) use pam::Pam;
pub(crate) use principal::Principal;
pub(crate) use principal::Scope;
pub(crate) use profile::security_profiles;
pub(crate) use sealed::Style as SealStyle;
#[cfg(fuzzing)]
pub(crate) use sealed::fuzz as fuzz_sealed;
pub(crate) use sealed::is_sealed;
pub(crate) use secret_file::Ownership;
pub(crate) use secret_file::SecretFileError;
pub(crate) use secret_file::read_secret;
pub(crate) use secret_file::replace_file;
pub(crate) use unlock::Unlock;
pub(crate) use unlock::locked;
pub(crate) use unlock::unlock;
pub(crate) use users::Change;
pub(crate) use users::Users;

/// One attempt to log on, bound to one connection: several legs for the
/// mechanisms that need them. It dies with the connection.
pub(crate) trait Acceptor: Send {
    /// Takes what the client sent after the scheme, as text of the header.
    ///
    /// Dropping the future half-way ends the attempt: the connection is gone.
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a>;

    /// Takes the same token once more, and does all of the work: what is
    /// remembered would answer sooner, and so tell that it was right.
    fn step_afresh<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        self.step(token)
    }

    /// The account that the client says he is, as soon as he has said so,
    /// whether a step has failed or not: for the audit log, and to refuse an
    /// account that is locked out at the same leg whatever its password. Only
    /// one that exists: people type passwords where names belong.
    fn claimed(&self) -> Option<&str>;

    /// What goes to the client with the refusal, once a step has failed. It is
    /// asked for as well when the account is locked out, and must then be what
    /// a wrong password would have got.
    fn farewell(&mut self) -> Option<String> {
        None
    }
}

/// What [`Acceptor::step`] gives.
pub(crate) type Stepping<'a> = Pin<Box<dyn Future<Output = Result<Step, AuthError>> + Send + 'a>>;

/// What a leg of a log-on came to.
pub(crate) enum Step {
    /// The client must send another leg, in answer to this token.
    Continue(String),
    /// The client has proved who he is.
    Done(LoggedOn),
}

/// A proved account.
pub(crate) struct LoggedOn {
    /// Whose.
    who: Proved,
    /// What the client still needs to trust us.
    pub(crate) token: Option<String>,
    /// For what the proof holds.
    pub(crate) holds: Holds,
    /// Was it proved now, or remembered?
    pub(crate) proof: Proof,
    /// How it is tied to the connection.
    pub(crate) bound: Bound,
}

/// Who a log-on has proved to be.
enum Proved {
    /// An account, by its name as the lists of the settings have it.
    Account(Arc<str>),
    /// The holder of a certificate, and the accounts it can stand for.
    Certificate {
        /// Which one.
        certificate: crate::trust::Thumbprint,
        /// The weightiest first.
        candidates: Vec<mapping::Candidate<String>>,
    },
}

/// For what a proof holds.
pub(crate) enum Holds {
    /// For the request that carried it.
    Request,
    /// For the connection, whose messages the seal protects, if there is one.
    Connection(Option<Box<dyn Seal>>),
    /// For the connection, as long as these terms hold.
    Terms(client_certificate::Terms),
}

/// Where a proof comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Proof {
    /// The mechanism has just checked it.
    Fresh,
    /// It was checked a short time ago.
    Remembered,
}

/// A log-on mechanism: under which scheme it is offered, and how an attempt
/// begins.
pub(crate) struct Mechanism {
    /// The scheme: `Basic`.
    scheme: &'static str,
    /// What a 401 offers: `Basic realm="WSMAN"`.
    challenge: Option<&'static str>,
    /// On which connections.
    offered: Offered,
    /// Is it switched on, and can somebody log on so?
    is_in_force: Box<dyn Fn(&AccessSettings) -> bool + Send + Sync>,
    start: Start,
}

/// Begins an attempt on the connection of a peer.
type Start = Box<dyn Fn(&Peer) -> Box<dyn Acceptor> + Send + Sync>;

/// On which connections a mechanism is offered and accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offered {
    /// Only where TLS protects what it sends.
    OverTls,
    /// There, and over HTTP where the settings allow that passwords and messages
    /// go unprotected.
    OverTlsOrAllowed,
    /// Everywhere.
    Always,
}

/// The other end of a connection, as far as a log-on may ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    /// Where he connects from.
    pub(crate) address: SocketAddr,
    /// What the octets go through.
    pub(crate) channel: Channel,
    /// The certificate that he has shown, and whose key he has.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

/// What the octets of a connection go through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Channel {
    /// Nothing that protects them.
    Plain,
    /// TLS, with what binds a log-on to it.
    Tls(ChannelBinding),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum AuthError {
    /// He has not logged on, or not proved who he is: 401.
    #[error("the log-on failed")]
    Refused,
    /// What he sent cannot be a log-on: 401.
    #[error("what follows the scheme is no log-on")]
    Malformed,
    /// His log-on is bound to no TLS connection, and must be: 401. No failure
    /// of his: some clients find the binding at the second try.
    #[error("the log-on is not bound to this TLS connection (access.channel_binding)")]
    Unbound,
    /// His log-on is bound to another TLS connection: somebody passes it on, or
    /// TLS ends before us: 401.
    #[error("the log-on is bound to another TLS connection")]
    WrongBinding,
    /// He says that he has a certificate, and has none that is good: 401.
    #[error("the connection has no client certificate that is good")]
    NoCertificate,
    /// He has logged on, but is in no list of the settings: `AccessDenied`.
    #[error("the account is allowed nothing")]
    Forbidden,
    /// Too many password checks wait: 503.
    #[error("too many log-ons are waiting")]
    Busy,
    /// The accounts cannot be read, the log has the cause: 503.
    #[error("the accounts are not available")]
    Unavailable,
}

/// Log lines about who came in, and who did not.
pub(crate) const AUDIT: &str = "bitsd::audit";

impl Within {
    /// Its name in the log.
    fn name(self) -> &'static str {
        match self {
            Self::Kerberos => "Kerberos",
            Self::Ntlm => "NTLM",
        }
    }

    /// Holds while the settings switch it on.
    fn is_on(self, access: &AccessSettings) -> bool {
        match self {
            Self::Kerberos => access.kerberos,
            Self::Ntlm => access.ntlm,
        }
    }
}

impl fmt::Display for Proved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => f.write_str(account),
            Self::Certificate { certificate, .. } => write!(f, "certificate {certificate}"),
        }
    }
}

impl fmt::Debug for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mechanism")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}
