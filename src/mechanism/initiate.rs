//! The client's side of log-ons: what one mechanism does, and SPNEGO around
//! several of them (RFC 4178, [MS-SPNG] 3.2).
//!
//! The mechanism that is liked best sends its first token at once. A server that
//! chooses another one must sign the list of mechanisms (`mechListMIC`), so that
//! nobody between us can have taken the better one off it.

use std::collections::VecDeque;

use super::SealError;
use super::spnego;
use super::spnego::MechType;
use super::spnego::NegState;
use super::spnego::NegTokenResp;

/// One log-on by one mechanism. Steps may take long, and wait for other hosts.
pub(crate) trait Initiate: Send {
    /// Takes the server's token, none at the beginning.
    ///
    /// # Errors
    ///
    /// [`Unproven`]; the log-on is over.
    fn step(&mut self, token: Option<&[u8]>) -> Result<Told, Unproven>;

    /// Signs what was negotiated.
    ///
    /// # Errors
    ///
    /// [`SealError`]: there are no keys yet.
    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Checks the server's signature of the same.
    ///
    /// # Errors
    ///
    /// [`SealError`]: it is wrong.
    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError>;

    /// Holds when the list of mechanisms is signed even if the server takes
    /// this one, liked best ([MS-SPNG] 3.3.5.1).
    fn signs_always(&self) -> bool {
        false
    }

    /// Is the log-on over, and all in order, if the server says nothing more?
    ///
    /// # Errors
    ///
    /// [`Unproven`]: the server owes a proof.
    fn conclude(&mut self) -> Result<(), Unproven> {
        Ok(())
    }
}

/// What a step came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    /// What the server must hear.
    pub(crate) token: Option<Vec<u8>>,
    /// Must the server answer before it can know who we are?
    pub(crate) next: Next,
}

/// What follows a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// The server asks something: this token proves nothing.
    Question,
    /// The server has all that it needs.
    Nothing,
}

/// Why there is no proof of who we are.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unproven {
    /// Somebody who knows says that the password or key is wrong.
    #[error("the credentials are rejected: {0}")]
    Rejected(String),
    /// This mechanism cannot prove it, whenever.
    #[error("{0}")]
    Unable(String),
    /// It may do so later.
    #[error("{0}")]
    Later(String),
    /// What the server says is no answer, or not signed as it must be.
    #[error("the server's answer is wrong: {0}")]
    WrongAnswer(String),
}

/// A log-on by one of several mechanisms.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is true by itself, whatever the others are"
)]
pub(crate) struct Negotiation {
    /// Those that are left, the one that we like best first.
    candidates: VecDeque<Candidate>,
    /// `MechTypeList`, as sent.
    list: Vec<u8>,
    /// Must both sides sign the list?
    needs_mic: bool,
    /// The server has signed it.
    is_signed: bool,
    /// We have signed it.
    has_signed: bool,
    /// The mechanism has nothing more to say.
    is_done: bool,
}

/// A mechanism that may be taken.
pub(crate) struct Candidate {
    /// Which.
    pub(crate) mech: MechType,
    /// Its log-on.
    pub(crate) log_on: Box<dyn Initiate>,
}

impl Negotiation {
    /// By one of these, the best first.
    pub(crate) fn new(candidates: Vec<Candidate>) -> Self {
        Self {
            candidates: candidates.into(),
            list: Vec::new(),
            needs_mic: false,
            is_signed: false,
            has_signed: false,
            is_done: false,
        }
    }

    /// The first token: that of the first mechanism that has one.
    fn begin(&mut self) -> Result<Told, Unproven> {
        let mut why = Unproven::Unable("there is no mechanism to log on with".to_owned());
        while let Some(best) = self.candidates.front_mut() {
            match best.log_on.step(None) {
                Ok(told) => {
                    let mechs: Vec<MechType> = self.candidates.iter().map(|own| own.mech).collect();
                    let token = told.token.unwrap_or_default();
                    let (list, token) = spnego::first_token(&mechs, &token);
                    self.list = list;
                    return Ok(Told {
                        token: Some(token),
                        next: told.next,
                    });
                }
                // A wrong password is no better by another mechanism, and
                // counts once more.
                Err(rejected @ Unproven::Rejected(_)) => return Err(rejected),
                Err(other) => {
                    if !matches!(why, Unproven::Later(_)) {
                        why = other;
                    }
                    self.candidates.pop_front();
                }
            }
        }
        Err(why)
    }

    fn hear(&mut self, token: &[u8]) -> Result<Told, Unproven> {
        let answer = NegTokenResp::decode(token).map_err(|error| wrong(&error.to_string()))?;
        if answer.neg_state == Some(NegState::Reject) {
            return Err(Unproven::Rejected("the server ends the log-on".to_owned()));
        }
        self.needs_mic |= answer.neg_state == Some(NegState::RequestMic);
        let mut told = Told {
            token: None,
            next: Next::Nothing,
        };
        if self.is_another(answer.supported_mech) {
            // The token was that of another mechanism; this one begins.
            if answer.response_token.is_some() {
                return Err(wrong("a token of a mechanism that was not begun"));
            }
            told = self.current()?.log_on.step(None)?;
        } else if let Some(token) = answer.response_token {
            if self.is_done {
                return Err(wrong("a token too many"));
            }
            told = self.current()?.log_on.step(Some(token))?;
            self.is_done = told.next == Next::Nothing;
        }
        if let Some(mic) = answer.mech_list_mic {
            let list = self.list.clone();
            let checked = self.current()?.log_on.verify(&list, mic);
            checked.map_err(|SealError| wrong("the list of mechanisms is not signed by it"))?;
            self.is_signed = true;
        }
        let mic = self.mic(told.next)?;
        if told.token.is_none() && mic.is_none() {
            return Ok(told);
        }
        // State and mechanism are the server's to say.
        let answer = NegTokenResp {
            response_token: told.token.as_deref(),
            mech_list_mic: mic.as_deref(),
            ..NegTokenResp::default()
        };
        Ok(Told {
            token: Some(answer.encode()),
            next: told.next,
        })
    }

    /// Takes the mechanism that the server has chosen; holds when it is not the
    /// one that was begun.
    fn is_another(&mut self, chosen: Option<MechType>) -> bool {
        let Some(chosen) = chosen else {
            return false;
        };
        let place = self.candidates.iter().position(|own| {
            // Kerberos has two names.
            (own.mech == MechType::Ntlm) == (chosen == MechType::Ntlm)
        });
        let Some(place @ 1..) = place else {
            return false;
        };
        self.candidates.drain(..place);
        self.needs_mic = true;
        true
    }

    /// Our signature of the list, when it is due.
    fn mic(&mut self, next: Next) -> Result<Option<Vec<u8>>, Unproven> {
        let needs = self.needs_mic || self.is_signed;
        let list = std::mem::take(&mut self.list);
        let current = self.current()?;
        let is_due = next == Next::Nothing && (needs || current.log_on.signs_always());
        let mic = if is_due && !self.has_signed {
            let signed = self.current()?.log_on.sign(&list);
            Some(signed.map_err(|SealError| wrong("there are no keys to sign with"))?)
        } else {
            None
        };
        self.has_signed |= mic.is_some();
        self.list = list;
        Ok(mic)
    }

    fn current(&mut self) -> Result<&mut Candidate, Unproven> {
        let current = self.candidates.front_mut();
        current.ok_or_else(|| wrong("it comes before our first token"))
    }
}

impl Initiate for Negotiation {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Told, Unproven> {
        match token {
            None => self.begin(),
            Some(token) => self.hear(token),
        }
    }

    fn sign(&mut self, _: &[u8]) -> Result<Vec<u8>, SealError> {
        Err(SealError)
    }

    fn verify(&mut self, _: &[u8], _: &[u8]) -> Result<(), SealError> {
        Err(SealError)
    }

    fn conclude(&mut self) -> Result<(), Unproven> {
        if self.needs_mic && !self.is_signed {
            return Err(wrong("the list of mechanisms is not signed"));
        }
        self.current()?.log_on.conclude()
    }
}

fn wrong(what: &str) -> Unproven {
    Unproven::WrongAnswer(what.to_owned())
}

#[cfg(test)]
mod tests;
