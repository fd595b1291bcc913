//! Log-on by `NTLM` against the user file: what `ntlm` decides, with a clock,
//! random octets and accounts.
//!
//! A wrong password, an unknown account and one without an NT hash are one
//! answer, after the same work. Whatever else is wrong is only looked at once
//! the password was right, so that nothing but a password can be guessed, and
//! every guess counts as a failure.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::debug;
use tracing::error;
use tracing::warn;

use super::AUDIT;
use super::AuthError;
use super::Channel;
use super::Peer;
use super::Users;
use super::binding::judge;
use super::exchange::Exchange;
use super::exchange::Leg;
use super::exchange::Legs;
use super::exchange::Proven;
use super::exchange::Start;
use crate::config::AccessSettings;
use crate::config::Current;
use crate::mechanism::Named;
use crate::mechanism::ntlm::Acceptor;
use crate::mechanism::ntlm::Claim;
use crate::mechanism::ntlm::FileTime;
use crate::mechanism::ntlm::Host;
use crate::mechanism::ntlm::IntegrityCode;
use crate::mechanism::ntlm::MessageError;
use crate::mechanism::ntlm::Refusal;

/// Log-on by `NTLM`.
#[derive(Debug)]
pub(super) struct Ntlm {
    users: Arc<Users>,
    settings: Arc<Current>,
    host: Arc<Host>,
}

/// One attempt.
struct Attempt {
    users: Arc<Users>,
    settings: Arc<Current>,
    host: Arc<Host>,
    peer: Peer,
    acceptor: Acceptor,
    /// The account that the client says he is, if there is such a one.
    claimed: Option<Arc<str>>,
}

impl Ntlm {
    /// Log-on for those of `users` that have an NT hash.
    pub(super) fn new(users: Arc<Users>, settings: Arc<Current>) -> Self {
        // Without a name we are `localhost`; clients only repeat it.
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            users,
            settings,
            host: Arc::new(Host::new(&name)),
        }
    }
}

impl Start for Ntlm {
    fn start(&self, peer: &Peer) -> Box<dyn Exchange> {
        Box::new(Attempt {
            users: Arc::clone(&self.users),
            settings: Arc::clone(&self.settings),
            host: Arc::clone(&self.host),
            peer: peer.clone(),
            acceptor: Acceptor::default(),
            claimed: None,
        })
    }

    fn is_available(&self, access: &AccessSettings) -> bool {
        access.ntlm && self.users.can_use_ntlm()
    }
}

impl Exchange for Attempt {
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a> {
        Box::pin(async move {
            if self.acceptor.has_challenged() {
                let claim = self.acceptor.claim(token);
                let claim = claim.map_err(|error| self.malformed(error))?;
                return self.conclude(&claim).map(Leg::Done);
            }
            let mut nonce = [0; 8];
            aws_lc_rs::rand::fill(&mut nonce).map_err(|_| AuthError::Unavailable)?;
            let now = FileTime::of(SystemTime::now());
            let challenge = self.acceptor.challenge(token, &self.host, nonce, now);
            challenge
                .map(Leg::Continue)
                .map_err(|error| self.malformed(error))
        })
    }

    fn claimed(&self) -> Option<&str> {
        self.claimed.as_deref()
    }
}

impl Attempt {
    /// Finds the account and checks what it claims.
    fn conclude(&mut self, claim: &Claim) -> Result<Proven, AuthError> {
        let accounts = self.users.accounts().map_err(|cause| {
            error!(
                cause = &cause as &dyn std::error::Error,
                "Accounts not readable"
            );
            AuthError::Unavailable
        })?;
        let mut names = claim.accounts().into_iter();
        let account = names.find(|name| accounts.hash(name).is_some());
        self.claimed = account.map(Arc::from);
        let nt_hash = self.users.nt_hash(&accounts, self.claimed());
        let nt_hash = nt_hash.ok_or(AuthError::Unavailable)?;

        let now = self.settings.get();
        let needed = if now.access.require_ntlm_mic {
            IntegrityCode::Needed
        } else {
            IntegrityCode::Optional
        };
        let time = FileTime::of(SystemTime::now());
        let checked = claim.check(&nt_hash, needed, time);
        let context = checked.map_err(|refusal| self.refused(refusal))?;
        let account = self.claimed.clone().ok_or(AuthError::Refused)?;
        let named = match &self.peer.channel {
            Channel::Plain => Named::Nothing,
            Channel::Tls(binding) => claim.named(binding),
        };
        Ok(Proven {
            bound: judge(now.access.channel_binding, &self.peer.channel, named)?,
            account,
            token: None,
            context,
        })
    }

    fn malformed(&self, error: MessageError) -> AuthError {
        debug!(target: AUDIT, address = %self.peer.address, %error, "No NTLM log-on");
        AuthError::Malformed
    }

    /// The client does not learn why. Who has the right password is no guesser,
    /// and the operator may help.
    fn refused(&self, refusal: Refusal) -> AuthError {
        let (address, account) = (self.peer.address, self.claimed());
        match refusal {
            Refusal::WrongProof => {}
            Refusal::NoIntegrityCode | Refusal::WrongIntegrityCode | Refusal::Clock => {
                warn!(target: AUDIT, %address, account, reason = %refusal, "NTLM with the right password refused");
            }
        }
        AuthError::Refused
    }
}

#[cfg(test)]
mod tests;
