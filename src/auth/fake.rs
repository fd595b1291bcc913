//! Log-on and seal of the tests: two legs as NTLM has them, and keys that seal
//! in the shape of real ones, so that tampering, replay and loss are seen.

use std::sync::Arc;

use super::Acceptor;
use super::AuthError;
use super::Bound;
use super::Door;
use super::Holds;
use super::LoggedOn;
use super::Mechanism;
use super::Offered;
use super::Parts;
use super::Proof;
use super::Proved;
use super::Seal;
use super::SealError;
use super::Sealed;
use super::Step;
use super::Stepping;
use crate::config::Current;

/// One end of a context; the other end is one as well.
pub(crate) struct FakeSeal {
    parts: Parts,
    sent: u32,
    received: u32,
}

impl FakeSeal {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            sent: 0,
            received: 0,
        }
    }

    /// Signature and sealed octets; the TLS record that has them.
    fn protect(&self, plain: &[u8], number: u32) -> Sealed {
        let body = plain.iter().map(|octet| octet ^ KEY);
        let mut octets = Vec::new();
        if self.parts == Parts::Pieces {
            let length = u16::try_from(plain.len() + SIGNATURE).expect("a piece fits a record");
            octets.extend_from_slice(&[23, 3, 3]);
            octets.extend_from_slice(&length.to_be_bytes());
        }
        let sum = plain.iter().fold(u64::from(number), |sum, octet| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*octet))
        });
        octets.extend_from_slice(&1_u32.to_le_bytes());
        octets.extend_from_slice(&sum.to_le_bytes());
        octets.extend_from_slice(&number.to_le_bytes());
        octets.extend(body);
        Sealed {
            signature: 16,
            octets,
        }
    }
}

impl Seal for FakeSeal {
    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
        let sealed = self.protect(plain, self.sent);
        self.sent += 1;
        Ok(sealed)
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let head = match self.parts {
            Parts::Whole => SIGNATURE,
            Parts::Pieces => SIGNATURE + RECORD_HEADER,
        };
        let sealed = message.get(head..).ok_or(SealError)?;
        let plain: Vec<u8> = sealed.iter().map(|octet| octet ^ KEY).collect();
        if self.protect(&plain, self.received).octets != message {
            return Err(SealError);
        }
        self.received += 1;
        Ok(plain)
    }

    fn parts(&self) -> Parts {
        self.parts
    }
}

/// `one`, then `two:ACCOUNT`.
struct TwoLegs {
    parts: Parts,
    has_begun: bool,
}

impl Acceptor for TwoLegs {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            let has_begun = std::mem::replace(&mut self.has_begun, true);
            match (token.strip_prefix("two:"), has_begun) {
                (None, false) if token == "one" => Ok(Step::Continue("prove-it".to_owned())),
                (Some(account), true) => Ok(Step::Done(LoggedOn {
                    who: Proved::Account(Arc::from(account)),
                    token: Some("welcome".to_owned()),
                    holds: Holds::Connection(Some(Box::new(FakeSeal::new(self.parts)))),
                    proof: Proof::Fresh,
                    bound: Bound::NotApplicable,
                })),
                (None | Some(_), _) => Err(AuthError::Refused),
            }
        })
    }

    fn claimed(&self) -> Option<&str> {
        None
    }
}

/// Takes an account at its word, for one request.
struct Once;

impl Acceptor for Once {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            Ok(Step::Done(LoggedOn {
                who: Proved::Account(Arc::from(token)),
                token: None,
                holds: Holds::Request,
                proof: Proof::Fresh,
                bound: Bound::NotApplicable,
            }))
        })
    }

    fn claimed(&self) -> Option<&str> {
        None
    }
}

/// A door with mechanisms whose contexts seal, `Whole` and `Pieces`, and one
/// without context: `Once`.
pub(crate) fn door(settings: &Arc<Current>) -> Door {
    let mechanism = |scheme, parts| Mechanism {
        scheme,
        challenge: Some(scheme),
        offered: Offered::Always,
        is_in_force: Box::new(|_| true),
        start: Box::new(move |_| {
            Box::new(TwoLegs {
                parts,
                has_begun: false,
            })
        }),
    };
    let once = Mechanism {
        scheme: "Once",
        challenge: None,
        offered: Offered::Always,
        is_in_force: Box::new(|_| true),
        start: Box::new(|_| Box::new(Once)),
    };
    Door::with_mechanisms(
        vec![
            once,
            mechanism("Whole", Parts::Whole),
            mechanism("Pieces", Parts::Pieces),
        ],
        settings,
    )
}

const KEY: u8 = 0x55;

const SIGNATURE: usize = 16;

const RECORD_HEADER: usize = 5;
