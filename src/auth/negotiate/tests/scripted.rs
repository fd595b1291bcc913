//! Mechanisms that follow a script.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::super::super::AuthError;
use super::super::super::Bound;
use super::super::super::Parts;
use super::super::super::Peer;
use super::super::super::Seal;
use super::super::super::SealError;
use super::super::super::Sealed;
use super::super::super::exchange::Exchange;
use super::super::super::exchange::Leg;
use super::super::super::exchange::Legs;
use super::super::super::exchange::Proven;
use super::super::super::exchange::Start;
use crate::config::AccessSettings;
use crate::mechanism::SecurityContext;

/// What a mechanism of the tests says to a token.
#[derive(Clone)]
pub(super) enum Said {
    More(Vec<u8>),
    In(Option<Vec<u8>>),
    No(AuthError),
}

/// A mechanism that follows a script: what it says to a token of a leg.
#[derive(Clone)]
pub(super) struct Scripted {
    script: Arc<Script>,
    keys: Keys,
    pub(super) is_available: Arc<AtomicBool>,
}

type Script = dyn Fn(usize, &[u8]) -> Said + Send + Sync;

/// How its contexts sign.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Keys {
    /// The client by `theirs`, we by `ours`, before what is signed.
    Usual,
    /// Always the same, whatever is signed.
    Constant,
    /// Not at all.
    None,
    /// As it was recorded.
    Recorded {
        list: Vec<u8>,
        theirs: Vec<u8>,
        ours: Vec<u8>,
    },
}

struct Scene {
    of: Scripted,
    leg: usize,
    has_failed: bool,
}

impl Scripted {
    pub(super) fn new(script: impl Fn(usize, &[u8]) -> Said + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            keys: Keys::Usual,
            is_available: Arc::new(AtomicBool::new(true)),
        }
    }

    /// As NTLM goes: three messages.
    pub(super) fn ntlm() -> Self {
        Self::new(|leg, token| match (leg, token) {
            (0, b"NTLMSSP\0negotiate") => Said::More(b"challenge".to_vec()),
            (1, b"authenticate") => Said::In(None),
            (1, b"wrong password") => Said::No(AuthError::Refused),
            (1, b"no binding") => Said::No(AuthError::Unbound),
            (_, _) => Said::No(AuthError::Malformed),
        })
    }

    /// As Kerberos goes: one message, whose answer the client may want; or
    /// three.
    pub(super) fn kerberos() -> Self {
        let is = |token: &[u8], what: &[u8]| token.ends_with(what);
        Self::new(move |leg, token| match (leg, token) {
            (0, token) if is(token, b"quiet ticket") => Said::In(None),
            (0, token) if is(token, b"ticket of three") => Said::More(b"reply".to_vec()),
            (0, token) if is(token, b"bad ticket") => Said::No(AuthError::Refused),
            (0, token) if is(token, b"ticket") => Said::In(Some(b"reply".to_vec())),
            (1, b"third") => Said::In(None),
            (_, b"again") => Said::More(b"again".to_vec()),
            (_, _) => Said::No(AuthError::Malformed),
        })
    }

    pub(super) fn with(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }
}

impl Start for Scripted {
    fn start(&self, _: &Peer) -> Box<dyn Exchange> {
        Box::new(Scene {
            of: self.clone(),
            leg: 0,
            has_failed: false,
        })
    }

    fn is_available(&self, _: &AccessSettings) -> bool {
        self.is_available.load(Ordering::SeqCst)
    }
}

impl Exchange for Scene {
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a> {
        Box::pin(async move {
            let said = (self.of.script)(self.leg, token);
            self.leg += 1;
            match said {
                Said::More(token) => Ok(Leg::Continue(token)),
                Said::In(token) => Ok(Leg::Done(Proven {
                    account: Arc::from("alice"),
                    token,
                    bound: Bound::Yes,
                    context: Box::new(self.of.keys.clone()),
                })),
                Said::No(error) => {
                    self.has_failed = true;
                    Err(error)
                }
            }
        })
    }

    fn claimed(&self) -> Option<&str> {
        self.has_failed.then_some("bob")
    }
}

impl Seal for Keys {
    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
        Ok(Sealed {
            signature: 0,
            octets: plain.to_vec(),
        })
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(message.to_vec())
    }

    fn parts(&self) -> Parts {
        Parts::Whole
    }
}

impl SecurityContext for Keys {
    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError> {
        match self {
            Self::Usual => Ok([b"ours", data].concat()),
            Self::Recorded { list, ours, .. } if list == data => Ok(ours.clone()),
            Self::Constant => Ok(CONSTANT.to_vec()),
            Self::Recorded { .. } | Self::None => Err(SealError),
        }
    }

    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError> {
        let is_right = match self {
            Self::Usual => signature == theirs(data),
            Self::Recorded { list, theirs, .. } => list == data && theirs == signature,
            Self::Constant => signature == CONSTANT,
            Self::None => false,
        };
        is_right.then_some(()).ok_or(SealError)
    }

    fn signs_by_key(&self) -> bool {
        *self != Self::Constant
    }
}

/// How the client signs.
pub(super) fn theirs(data: &[u8]) -> Vec<u8> {
    [b"theirs", data].concat()
}

/// The signature of who does not sign.
pub(super) const CONSTANT: &[u8] = b"constant";
