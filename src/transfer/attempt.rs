//! A log-on by `NTLM` or Negotiate, which belongs to one connection: tokens go
//! to and fro in the headers of a request that is repeated.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use zeroize::Zeroizing;

use super::challenge::Challenge;
use super::clock;
use super::kerberos::Held;
use super::kerberos::Kerberos;
use super::kerberos::KerberosLogOn;
use crate::bits::AuthScheme;
use crate::mechanism::Candidate;
use crate::mechanism::ChannelBinding;
use crate::mechanism::Initiate;
use crate::mechanism::Negotiation;
use crate::mechanism::Next;
use crate::mechanism::SealError;
use crate::mechanism::SecurityContext;
use crate::mechanism::Told;
use crate::mechanism::Unproven;
use crate::mechanism::ntlm;
use crate::mechanism::spnego::MechType;

/// One log-on, on one connection.
pub(super) struct Attempt {
    scheme: AuthScheme,
    kerberos: Arc<Kerberos>,
    /// None while a thread has it.
    log_on: Option<Box<dyn Initiate>>,
    /// What the server must hear, until it has answered.
    token: Option<Vec<u8>>,
    next: Next,
    legs: u8,
    channel: Option<ChannelBinding>,
}

/// `NTLM` with a clock and random octets.
struct NtlmLogOn {
    held: Arc<Held>,
    target: ntlm::Target,
    has_begun: bool,
    context: Option<Box<dyn SecurityContext>>,
}

impl Attempt {
    /// Begins one with `held` at `host`, over the TLS connection that `channel`
    /// names.
    ///
    /// # Errors
    ///
    /// [`Unproven`].
    pub(super) async fn begin(
        scheme: AuthScheme,
        kerberos: &Arc<Kerberos>,
        held: &Arc<Held>,
        host: &str,
        channel: Option<&ChannelBinding>,
    ) -> Result<Self, Unproven> {
        let ntlm = NtlmLogOn::new(held, host, channel);
        let log_on: Box<dyn Initiate> = if scheme == AuthScheme::Negotiate {
            let by_ticket = KerberosLogOn::new(
                Arc::clone(kerberos),
                Arc::clone(held),
                host.to_owned(),
                channel.cloned(),
            );
            let mut candidates = vec![Candidate {
                mech: MechType::Kerberos,
                log_on: Box::new(by_ticket),
            }];
            // The service has no password.
            if !held.credentials.is_implicit() {
                candidates.push(Candidate {
                    mech: MechType::Ntlm,
                    log_on: Box::new(ntlm),
                });
            }
            Box::new(Negotiation::new(candidates))
        } else {
            Box::new(ntlm)
        };
        let mut attempt = Self {
            scheme,
            kerberos: Arc::clone(kerberos),
            log_on: Some(log_on),
            token: None,
            next: Next::Question,
            legs: 0,
            channel: channel.cloned(),
        };
        attempt.step(None).await?;
        Ok(attempt)
    }

    /// By which scheme.
    pub(super) fn scheme(&self) -> AuthScheme {
        self.scheme
    }

    /// The value of the header.
    pub(super) fn header(&self) -> Option<String> {
        let token = BASE64.encode(self.token.as_deref()?);
        let scheme = match self.scheme {
            AuthScheme::Ntlm => "NTLM",
            AuthScheme::Basic
            | AuthScheme::Digest
            | AuthScheme::Negotiate
            | AuthScheme::Passport => "Negotiate",
        };
        Some(format!("{scheme} {token}"))
    }

    /// Holds as long as the server has been shown no proof.
    pub(super) fn asks(&self) -> bool {
        self.next == Next::Question
    }

    /// Holds when the log-on can go on over the connection that `channel` names:
    /// at its beginning it may be another one.
    pub(super) fn fits(&self, channel: Option<&ChannelBinding>) -> bool {
        self.legs > 1 || self.channel.as_ref() == channel
    }

    /// The server's token among its challenges.
    pub(super) fn heard(&self, challenges: &[Challenge]) -> Option<Vec<u8>> {
        let name = match self.scheme {
            AuthScheme::Ntlm => "ntlm",
            AuthScheme::Basic
            | AuthScheme::Digest
            | AuthScheme::Negotiate
            | AuthScheme::Passport => "negotiate",
        };
        let token = challenges
            .iter()
            .find(|challenge| challenge.scheme == name && !challenge.rest.is_empty())?;
        if token.rest.len() > MAX_TOKEN {
            return None;
        }
        BASE64.decode(&token.rest).ok()
    }

    /// Takes the server's token; holds when it must hear another one.
    ///
    /// # Errors
    ///
    /// [`Unproven`].
    pub(super) async fn step(&mut self, token: Option<Vec<u8>>) -> Result<bool, Unproven> {
        self.legs += 1;
        let log_on = self.log_on.take().filter(|_| self.legs <= MAX_LEGS);
        let mut log_on = log_on.ok_or_else(|| wrong("the log-on has no end"))?;
        let (log_on, told) = if self.scheme == AuthScheme::Negotiate {
            let turns = Arc::clone(&self.kerberos.turns);
            let stepping = async move {
                let turn = turns.acquire_owned().await;
                tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    let told = log_on.step(token.as_deref());
                    (log_on, told)
                })
                .await
            };
            let stepped = tokio::time::timeout(STEP_TIME, stepping).await;
            let late = || Unproven::Later("the KDC does not answer in time".to_owned());
            stepped
                .map_err(|_| late())?
                .map_err(|_| wrong("the log-on has failed"))?
        } else {
            let told = log_on.step(token.as_deref());
            (log_on, told)
        };
        self.log_on = Some(log_on);
        let told = told?;
        self.next = told.next;
        self.token = told.token;
        Ok(self.token.is_some())
    }

    /// The server has let us in: has it proved what it must?
    ///
    /// # Errors
    ///
    /// [`Unproven`].
    pub(super) fn conclude(&mut self) -> Result<(), Unproven> {
        let log_on = self.log_on.as_mut();
        log_on.map_or(Ok(()), |log_on| log_on.conclude())
    }
}

impl NtlmLogOn {
    fn new(held: &Arc<Held>, host: &str, channel: Option<&ChannelBinding>) -> Self {
        Self {
            held: Arc::clone(held),
            target: ntlm::Target {
                service: format!("HTTP/{host}"),
                channel: channel.cloned(),
            },
            has_begun: false,
            context: None,
        }
    }

    fn authenticate(&mut self, challenge: &[u8]) -> Result<Told, Unproven> {
        let user = self.held.credentials.user.reveal();
        // `user@realm` goes as it is, without a domain.
        let (domain, user) = user.split_once('\\').unwrap_or(("", user));
        let password = self.held.credentials.password.reveal();
        let initiator = ntlm::Initiator::new(domain, user, password);
        let mut fresh = ntlm::Fresh {
            nonce: [0; 8],
            session_key: Zeroizing::new([0; 16]),
            now: ntlm::FileTime::of(clock::date()),
        };
        let filled = aws_lc_rs::rand::fill(&mut fresh.nonce)
            .and_then(|()| aws_lc_rs::rand::fill(&mut *fresh.session_key));
        filled.map_err(|_| Unproven::Later("there are no random octets".to_owned()))?;
        let (token, context) = initiator
            .authenticate(challenge, &self.target, &fresh)
            .map_err(|error| wrong(&error.to_string()))?;
        self.context = Some(context);
        Ok(Told {
            token: Some(token),
            next: Next::Nothing,
        })
    }
}

impl Initiate for NtlmLogOn {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Told, Unproven> {
        if self.held.credentials.is_implicit() {
            let why = "NTLM needs a user and a password".to_owned();
            return Err(Unproven::Unable(why));
        }
        match token {
            None => {
                self.has_begun = true;
                Ok(Told {
                    token: Some(ntlm::Initiator::negotiate()),
                    next: Next::Question,
                })
            }
            Some(token) if self.has_begun && self.context.is_none() => self.authenticate(token),
            Some(_) => Err(wrong("a token too many")),
        }
    }

    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError> {
        self.context.as_mut().ok_or(SealError)?.sign(data)
    }

    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError> {
        let context = self.context.as_mut().ok_or(SealError)?;
        // A signature that everybody has proves nothing.
        if !context.signs_by_key() {
            return Err(SealError);
        }
        context.verify(data, signature)
    }

    fn signs_always(&self) -> bool {
        let context = self.context.as_ref();
        context.is_some_and(|context| context.signs_by_key())
    }
}

fn wrong(what: &str) -> Unproven {
    Unproven::WrongAnswer(what.to_owned())
}

/// Servers leave the padding out, or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters of a token.
const MAX_TOKEN: usize = 88 * 1_024;

/// Tokens of ours: `NTLM` in SPNEGO behind Kerberos takes four.
const MAX_LEGS: u8 = 8;

/// For one step, which may ask a KDC for two tickets.
const STEP_TIME: Duration = Duration::from_mins(1);
