//! The schemes `Negotiate`, `Kerberos` and `NTLM`: Kerberos and `NTLM`, each as
//! it is or negotiated by SPNEGO (RFC 4178, RFC 4559, [MS-SPNG]).
//!
//! The first token says which. In a negotiation the mechanism is the one that
//! the client likes best of those that we have. Nothing protects the client's
//! list on its way, so somebody could strike the better mechanisms from it.
//! Therefore both sides sign it (`mechListMIC`, RFC 4178 5) where the mechanism
//! is not the first of the list, and where the client signs it of his own
//! accord. Where it is the first and he does not sign, there is nothing that
//! he could have been talked out of. A signature that needs no key, as `NTLM`
//! has one, signs nothing.
//!
//! A log-on that fails ends without a `NegTokenResp` that says `reject`: the 401
//! with the schemes says it, and tells what else is there.

use std::sync::Arc;

use tracing::debug;

use super::AuthError;
use super::Mechanism;
use super::Offered;
use super::Peer;
use super::SealError;
use super::exchange::Exchange;
use super::exchange::InHeader;
use super::exchange::Leg;
use super::exchange::Legs;
use super::exchange::Proven;
use super::exchange::Start;
use crate::config::AccessSettings;
use crate::config::Current;
use crate::mechanism::spnego::DecodeError;
use crate::mechanism::spnego::FirstToken;
use crate::mechanism::spnego::MechType;
use crate::mechanism::spnego::NegState;
use crate::mechanism::spnego::NegTokenInit;
use crate::mechanism::spnego::NegTokenResp;

/// Begins log-ons by Kerberos or `NTLM`, as the client likes.
#[derive(Clone)]
pub(super) struct Negotiate {
    ntlm: Option<Arc<dyn Start>>,
    kerberos: Option<Arc<dyn Start>>,
    settings: Arc<Current>,
}

impl Negotiate {
    /// Between these. Without `kerberos` the library or the keytab is missing.
    pub(super) fn new(
        ntlm: Arc<dyn Start>,
        kerberos: Option<Arc<dyn Start>>,
        settings: Arc<Current>,
    ) -> Self {
        Self {
            ntlm: Some(ntlm),
            kerberos,
            settings,
        }
    }

    /// The mechanisms as the door offers them, in this order: clients that
    /// take the first one that they know should negotiate.
    pub(super) fn mechanisms(&self) -> Vec<Mechanism> {
        let kerberos = Self {
            ntlm: None,
            ..self.clone()
        };
        let ntlm = Self {
            kerberos: None,
            ..self.clone()
        };
        vec![
            self.clone()
                .mechanism("Negotiate", |access| access.negotiate),
            kerberos.mechanism("Kerberos", |_| true),
            // What curl sends for `--ntlm`. It is NTLM within Negotiate by
            // another name, so both are switched off together.
            ntlm.mechanism("NTLM", |access| access.negotiate),
        ]
    }

    /// What it has, under the name of a scheme. Each takes SPNEGO as well.
    fn mechanism(self, scheme: &'static str, is_on: fn(&AccessSettings) -> bool) -> Mechanism {
        let starting = self.clone();
        Mechanism {
            scheme,
            challenge: Some(scheme),
            offered: Offered::Always,
            is_in_force: Box::new(move |access| is_on(access) && self.is_available(access)),
            start: Box::new(move |peer| Box::new(InHeader::new(starting.start(peer)))),
        }
    }

    /// What begins exchanges of this mechanism, if somebody could log on so.
    fn start_of(&self, mech: MechType, access: &AccessSettings) -> Option<&dyn Start> {
        let start = match mech {
            MechType::Ntlm => self.ntlm.as_deref(),
            MechType::Kerberos | MechType::MicrosoftKerberos => {
                self.kerberos.as_deref().filter(|_| access.kerberos)
            }
        };
        start.filter(|start| start.is_available(access))
    }

    /// Begins an exchange of this mechanism.
    fn begin(&self, mech: MechType, peer: &Peer) -> Option<Inner> {
        let start = self.start_of(mech, &self.settings.get().access)?;
        Some(Inner {
            mech,
            exchange: start.start(peer),
        })
    }

    /// Holds when one that was chosen can still be used.
    fn has(&self, mech: MechType) -> bool {
        self.start_of(mech, &self.settings.get().access).is_some()
    }
}

impl Start for Negotiate {
    fn start(&self, peer: &Peer) -> Box<dyn Exchange> {
        Box::new(Attempt {
            negotiate: self.clone(),
            peer: peer.clone(),
            stage: Stage::Begin,
            legs: 0,
        })
    }

    fn is_available(&self, access: &AccessSettings) -> bool {
        [MechType::Kerberos, MechType::Ntlm]
            .into_iter()
            .any(|mech| self.start_of(mech, access).is_some())
    }
}

/// One log-on.
struct Attempt {
    negotiate: Negotiate,
    peer: Peer,
    stage: Stage,
    /// Tokens that have come.
    legs: u8,
}

/// How far it is.
enum Stage {
    /// Nothing has come.
    Begin,
    /// The mechanism's own tokens come.
    Bare(Inner),
    /// They come in those of SPNEGO.
    Negotiated(Negotiation),
}

/// The mechanism that was chosen.
struct Inner {
    mech: MechType,
    exchange: Box<dyn Exchange>,
}

impl Exchange for Attempt {
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a> {
        Box::pin(async move {
            if self.legs == MAX_LEGS {
                return Err(AuthError::Malformed);
            }
            self.legs += 1;
            // It can have been switched off since the last leg.
            let leg = match self.mech() {
                Some(mech) if !self.negotiate.has(mech) => Err(AuthError::Refused),
                Some(_) | None => self.take(token).await,
            };
            if !matches!(leg, Ok(Leg::Continue(_))) {
                self.legs = MAX_LEGS;
            }
            leg
        })
    }

    fn claimed(&self) -> Option<&str> {
        match &self.stage {
            Stage::Begin => None,
            Stage::Bare(inner) => inner.exchange.claimed(),
            Stage::Negotiated(negotiation) => negotiation.claimed(),
        }
    }
}

impl Attempt {
    async fn take(&mut self, token: &[u8]) -> Result<Leg, AuthError> {
        match &mut self.stage {
            Stage::Begin => self.begin(token).await,
            Stage::Bare(inner) => inner.exchange.step(token).await,
            Stage::Negotiated(negotiation) => {
                let token = NegTokenResp::decode(token).map_err(malformed)?;
                negotiation.go_on(token).await
            }
        }
    }

    /// Chooses by the first token.
    async fn begin(&mut self, token: &[u8]) -> Result<Leg, AuthError> {
        match FirstToken::decode(token).map_err(malformed)? {
            FirstToken::Ntlm => self.begin_bare(MechType::Ntlm, token).await,
            FirstToken::Kerberos => self.begin_bare(MechType::Kerberos, token).await,
            FirstToken::Spnego(init) => self.begin_negotiation(init).await,
        }
    }

    async fn begin_bare(&mut self, mech: MechType, token: &[u8]) -> Result<Leg, AuthError> {
        let inner = self.negotiate.begin(mech, &self.peer);
        let mut inner = inner.ok_or_else(without_mechanism)?;
        let leg = inner.exchange.step(token).await;
        self.stage = Stage::Bare(inner);
        leg
    }

    /// Takes the mechanism that the client likes best of those that we have.
    async fn begin_negotiation(&mut self, init: NegTokenInit<'_>) -> Result<Leg, AuthError> {
        let mut types = init.mech_types.types.iter().enumerate();
        let (place, inner) = types
            .find_map(|(place, mech)| Some((place, self.negotiate.begin((*mech)?, &self.peer)?)))
            .ok_or_else(without_mechanism)?;
        let mut negotiation = Negotiation {
            inner,
            mech_types: init.mech_types.octets.to_vec(),
            needs_mic: place != 0,
            has_answered: false,
            proven: None,
            refused: None,
        };
        let leg = negotiation.begin(init).await;
        self.stage = Stage::Negotiated(negotiation);
        leg
    }

    /// The mechanism, once it is chosen.
    fn mech(&self) -> Option<MechType> {
        match &self.stage {
            Stage::Begin => None,
            Stage::Bare(inner) => Some(inner.mech),
            Stage::Negotiated(negotiation) => Some(negotiation.inner.mech),
        }
    }
}

/// A negotiation whose mechanism is chosen.
struct Negotiation {
    inner: Inner,
    /// The client's list, as he sent it.
    mech_types: Vec<u8>,
    /// Must both sides sign the list?
    needs_mic: bool,
    /// Has the client heard which mechanism it is?
    has_answered: bool,
    /// He has proved who he is, and has our signature; his is to come.
    proven: Option<Proven>,
    /// Who has proved who he is, and is refused for his signature.
    refused: Option<Arc<str>>,
}

impl Negotiation {
    /// Answers the first message.
    async fn begin(&mut self, init: NegTokenInit<'_>) -> Result<Leg, AuthError> {
        match init.mech_token {
            // Token and signature are those of another mechanism, if there.
            _ if self.needs_mic => Ok(self.answer(NegState::RequestMic, None, None)),
            Some(token) => self.advance(token, init.mech_list_mic).await,
            // Nothing can be signed before there are keys.
            None if init.mech_list_mic.is_some() => Err(AuthError::Malformed),
            None => Ok(self.answer(NegState::AcceptIncomplete, None, None)),
        }
    }

    /// Answers a later one.
    async fn go_on(&mut self, message: NegTokenResp<'_>) -> Result<Leg, AuthError> {
        if message.neg_state == Some(NegState::Reject) {
            return Err(AuthError::Refused);
        }
        match (self.proven.take(), message.response_token) {
            (None, Some(token)) => self.advance(token, message.mech_list_mic).await,
            (Some(proven), None) => self.conclude(proven, message.mech_list_mic),
            (None, None) | (Some(_), Some(_)) => Err(AuthError::Malformed),
        }
    }

    /// Hands the mechanism its token. Who sends its last one signs the list
    /// with it, and the other side then answers by its signature (RFC 4178 5).
    async fn advance(&mut self, token: &[u8], mic: Option<&[u8]>) -> Result<Leg, AuthError> {
        let mut proven = match self.inner.exchange.step(token).await? {
            Leg::Done(proven) => proven,
            Leg::Continue(token) if mic.is_none() => {
                return Ok(self.answer(NegState::AcceptIncomplete, Some(&token), None));
            }
            Leg::Continue(_) => return Err(AuthError::Malformed),
        };
        match mic {
            Some(mic) => {
                self.check(&mut proven, mic)?;
                let ours = self.sign(&mut proven)?;
                Ok(self.complete(proven, Some(&ours)))
            }
            None if !self.needs_mic => Ok(self.complete(proven, None)),
            None if proven.token.is_some() => {
                let (token, ours) = (proven.token.take(), self.sign(&mut proven)?);
                self.proven = Some(proven);
                Ok(self.answer(NegState::AcceptIncomplete, token.as_deref(), Some(&ours)))
            }
            None => Err(self.refuse(&proven)),
        }
    }

    /// Checks the signature that answers ours: the last message of all.
    fn conclude(&mut self, mut proven: Proven, mic: Option<&[u8]>) -> Result<Leg, AuthError> {
        match mic {
            Some(mic) => self.check(&mut proven, mic)?,
            None => return Err(self.refuse(&proven)),
        }
        Ok(Leg::Done(proven))
    }

    fn complete(&mut self, mut proven: Proven, mic: Option<&[u8]>) -> Leg {
        let token = proven.token.take();
        proven.token = Some(self.encode(NegState::AcceptCompleted, token.as_deref(), mic));
        Leg::Done(proven)
    }

    fn answer(&mut self, state: NegState, token: Option<&[u8]>, mic: Option<&[u8]>) -> Leg {
        Leg::Continue(self.encode(state, token, mic))
    }

    /// A message; the first one names the mechanism.
    fn encode(&mut self, state: NegState, token: Option<&[u8]>, mic: Option<&[u8]>) -> Vec<u8> {
        let is_first = !std::mem::replace(&mut self.has_answered, true);
        let message = NegTokenResp {
            neg_state: Some(state),
            supported_mech: is_first.then_some(self.inner.mech),
            response_token: token,
            mech_list_mic: mic,
        };
        message.encode()
    }

    fn check(&mut self, proven: &mut Proven, mic: &[u8]) -> Result<(), AuthError> {
        // `NTLM` that was not asked to sign has a signature that everybody has.
        if self.needs_mic && !proven.context.signs_by_key() {
            return Err(self.refuse(proven));
        }
        let checked = proven.context.verify(&self.mech_types, mic);
        checked.map_err(|SealError| self.refuse(proven))
    }

    fn sign(&mut self, proven: &mut Proven) -> Result<Vec<u8>, AuthError> {
        let signed = proven.context.sign(&self.mech_types);
        signed.map_err(|SealError| self.refuse(proven))
    }

    /// Refuses somebody though he is who he says: his list may not be what he
    /// sent.
    fn refuse(&mut self, proven: &Proven) -> AuthError {
        debug!("The list of mechanisms is not signed as it must be (mechListMIC)");
        self.refused = Some(Arc::clone(&proven.account));
        AuthError::Refused
    }

    fn claimed(&self) -> Option<&str> {
        let refused = self.refused.as_deref();
        refused.or_else(|| self.inner.exchange.claimed())
    }
}

fn malformed(error: DecodeError) -> AuthError {
    debug!(error = &error as &dyn std::error::Error, "Log-on not read");
    AuthError::Malformed
}

/// Nobody has tried to be somebody: this is no failure to count.
fn without_mechanism() -> AuthError {
    debug!("The client has no mechanism that is switched on and has accounts or keys");
    AuthError::Malformed
}

/// Tokens of one log-on: `NTLM` takes three with SPNEGO's own first one,
/// Kerberos up to four.
const MAX_LEGS: u8 = 8;

#[cfg(test)]
mod tests;
