//! A log-on that is an exchange of binary tokens (GSS-API, RFC 2743): `NTLM`,
//! Kerberos, both within SPNEGO, and `CredSSP` around any of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Acceptor;
use super::AuthError;
use super::Bound;
use super::Holds;
use super::LoggedOn;
use super::Peer;
use super::Proof;
use super::Proved;
use super::Seal;
use super::SealError;
use super::Step;
use super::Stepping;
use crate::config::AccessSettings;

/// One attempt, fed with the client's tokens.
pub(super) trait Exchange: Send {
    /// Takes the client's next token.
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a>;

    /// As [`Acceptor::claimed`].
    fn claimed(&self) -> Option<&str>;

    /// As [`Acceptor::farewell`].
    fn farewell(&mut self) -> Option<Vec<u8>> {
        None
    }
}

/// What [`Exchange::step`] gives.
pub(super) type Legs<'a> = Pin<Box<dyn Future<Output = Result<Leg, AuthError>> + Send + 'a>>;

/// What a token came to.
pub(super) enum Leg {
    /// The client must answer this.
    Continue(Vec<u8>),
    /// He has proved who he is.
    Done(Proven),
}

/// Somebody who has proved who he is.
pub(super) struct Proven {
    /// The account, as the lists of the settings name it.
    pub(super) account: Arc<str>,
    /// What the client still needs to trust us.
    pub(super) token: Option<Vec<u8>>,
    /// How the proof is tied to the connection.
    pub(super) bound: Bound,
    /// The keys that both sides have now.
    pub(super) context: Box<dyn SecurityContext>,
}

/// Keys that both sides of an exchange have.
pub(super) trait SecurityContext: Seal {
    /// Signs what was negotiated (`mechListMIC`, RFC 4178 5). It does not count
    /// among the messages that follow.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Checks the client's signature of the same.
    ///
    /// # Errors
    ///
    /// [`SealError`]: it is wrong.
    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError>;
}

/// What begins exchanges.
pub(super) trait Start: Send + Sync {
    /// Begins one with `peer`.
    fn start(&self, peer: &Peer) -> Box<dyn Exchange>;

    /// Holds when somebody could log on so: it is switched on, and has the
    /// library, keys or accounts that it needs. Asked for every 401: cheap.
    fn is_available(&self, access: &AccessSettings) -> bool;
}

/// An exchange as the door knows it: tokens are base64 in a header.
pub(super) struct InHeader {
    exchange: Box<dyn Exchange>,
}

impl InHeader {
    pub(super) fn new(exchange: Box<dyn Exchange>) -> Self {
        Self { exchange }
    }
}

impl Acceptor for InHeader {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            if token.is_empty() || token.len() > MAX_TOKEN {
                return Err(AuthError::Malformed);
            }
            let token = STANDARD.decode(token).map_err(|_| AuthError::Malformed)?;
            Ok(match self.exchange.step(&token).await? {
                Leg::Continue(token) => Step::Continue(STANDARD.encode(token)),
                Leg::Done(proven) => Step::Done(LoggedOn {
                    who: Proved::Account(proven.account),
                    token: proven.token.map(|token| STANDARD.encode(token)),
                    holds: Holds::Connection(Some(proven.context)),
                    proof: Proof::Fresh,
                    bound: proven.bound,
                }),
            })
        })
    }

    fn claimed(&self) -> Option<&str> {
        self.exchange.claimed()
    }

    fn farewell(&mut self) -> Option<String> {
        let token = self.exchange.farewell()?;
        Some(STANDARD.encode(token))
    }
}

/// Characters of a token: 64 KiB in base64, as Kerberos tickets with many
/// groups need them.
const MAX_TOKEN: usize = 88 * 1_024;
