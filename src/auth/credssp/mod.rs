//! `CredSSP` as acceptor ([MS-CSSP]), versions 5 and 6: a TLS connection in the
//! tokens, within it another log-on, and at its end the client's password,
//! which he hands over for us to act as him elsewhere.
//!
//! Nothing here acts as him: the password is looked at for its form, wiped, and
//! proves nothing. Who he is, the log-on within has proved. It is bound to the
//! connection within by a hash of its key (`pubKeyAuth`), so
//! `access.channel_binding` does not matter: whoever passes the tokens on reads
//! nothing and logs on as nobody, whatever they go through.
//!
//! Versions 2 to 4 are refused: what they bind by can be forged
//! (CVE-2018-0886).

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use tracing::debug;
use tracing::error;
use zeroize::Zeroizing;

use super::AuthError;
use super::Bound;
use super::Channel;
use super::CurrentIdentity;
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
use certificate::Certificates;
use tls::InnerTls;
use tls::InnerTlsError;
use tls::Sealing;
use ts_request::CredentialsError;
use ts_request::Nonce;
use ts_request::TsRequest;
use ts_request::TsRequestError;

mod certificate;
mod tls;
mod ts_request;

#[cfg(fuzzing)]
pub(crate) use ts_request::fuzz;

/// The mechanism.
pub(super) struct CredSsp {
    /// What proves who somebody is.
    inner: Arc<dyn Start>,
    certificates: Arc<Certificates>,
    is_locked: Arc<IsLocked>,
}

/// Says whether log-ons with an account from an address are refused.
pub(super) type IsLocked = dyn Fn(&str, IpAddr) -> bool + Send + Sync;

impl CredSsp {
    /// `inner` takes the tokens of SPNEGO, or those of Kerberos and NTLM as
    /// they are; `identity` is shown to clients if they can work with it.
    /// Whoever `is_locked` hears what he would to a wrong password: the answer
    /// goes through a cipher that counts, so it must be known before.
    pub(super) fn new(
        inner: Arc<dyn Start>,
        identity: Arc<CurrentIdentity>,
        is_locked: Arc<IsLocked>,
    ) -> Self {
        Self {
            inner,
            certificates: Arc::new(Certificates::new(identity)),
            is_locked,
        }
    }

    /// The mechanism as the door offers it.
    pub(super) fn mechanism(self) -> Mechanism {
        let begins = Arc::new(self);
        let offers = Arc::clone(&begins);
        Mechanism {
            scheme: "CredSSP",
            challenge: Some("CredSSP"),
            offered: Offered::Always,
            is_in_force: Box::new(move |access| offers.is_available(access)),
            start: Box::new(move |peer| Box::new(InHeader::new(begins.start(peer)))),
        }
    }
}

impl Start for CredSsp {
    fn start(&self, peer: &Peer) -> Box<dyn Exchange> {
        // The log-on within is bound by `pubKeyAuth`, and to no other channel.
        let within = Peer {
            channel: Channel::Plain,
            ..peer.clone()
        };
        Box::new(Attempt {
            certificates: Arc::clone(&self.certificates),
            inner: self.inner.start(&within),
            from: peer.address.ip(),
            is_locked: Arc::clone(&self.is_locked),
            tls: None,
            version: None,
            legs: 0,
            stage: Stage::LoggingOn,
            farewell: None,
        })
    }

    fn is_available(&self, access: &AccessSettings) -> bool {
        access.credssp && self.inner.is_available(access)
    }
}

/// One attempt.
struct Attempt {
    certificates: Arc<Certificates>,
    /// The log-on within.
    inner: Box<dyn Exchange>,
    /// Where the client is.
    from: IpAddr,
    is_locked: Arc<IsLocked>,
    /// The TLS connection in the tokens, from the first one on.
    tls: Option<InnerTls>,
    /// The client's version, from his first message on.
    version: Option<u32>,
    /// Tokens so far.
    legs: u32,
    stage: Stage,
    farewell: Option<Vec<u8>>,
}

/// What the client must send next.
enum Stage {
    /// Tokens of the log-on within, once TLS is there.
    LoggingOn,
    /// He has logged on, and must show which key he has seen.
    Key(Proven),
    /// He has seen ours, and must hand over his password.
    Password(Proven),
    /// Nothing: he has failed, or is through.
    Over,
}

/// Why the attempt has failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The log-on within.
    #[error(transparent)]
    LogOn(#[from] AuthError),
    /// The connection within.
    #[error(transparent)]
    Tls(#[from] InnerTlsError),
    /// No message.
    #[error(transparent)]
    Message(#[from] TsRequestError),
    /// A version whose binding can be forged.
    #[error("version {0} of CredSSP is refused")]
    Version(u32),
    /// A message that has no place here: parts are missing or too many, or its
    /// version is another than before.
    #[error("the TSRequest is not the one that must follow")]
    OutOfOrder,
    /// More than [`MAX_LEGS`] tokens.
    #[error("the log-on takes too many legs")]
    TooLong,
    /// Not sealed by the keys of the log-on within.
    #[error("a part of the TSRequest is not sealed by the log-on within")]
    Seal(#[from] SealError),
    /// The client has seen another key than ours.
    #[error("the client has seen another key")]
    OtherKey,
    /// What is delegated.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No certificate.
    #[error("there is no certificate")]
    NoCertificate,
}

impl Failure {
    /// What the door hears of it.
    fn verdict(&self) -> AuthError {
        match self {
            Self::LogOn(error) => *error,
            Self::Seal(_) => AuthError::Refused,
            Self::OtherKey => AuthError::WrongBinding,
            Self::NoCertificate => AuthError::Unavailable,
            Self::Tls(_)
            | Self::Message(_)
            | Self::Version(_)
            | Self::OutOfOrder
            | Self::TooLong
            | Self::Credentials(_) => AuthError::Malformed,
        }
    }

    /// What the client hears of it.
    fn status(&self) -> i32 {
        match self {
            Self::Version(_) => STATUS_REVISION_MISMATCH,
            Self::Credentials(CredentialsError::Kind(_)) => STATUS_NOT_SUPPORTED,
            Self::LogOn(_)
            | Self::Tls(_)
            | Self::Message(_)
            | Self::OutOfOrder
            | Self::TooLong
            | Self::Seal(_)
            | Self::OtherKey
            | Self::Credentials(CredentialsError::Malformed)
            | Self::NoCertificate => STATUS_LOGON_FAILURE,
        }
    }
}

impl Exchange for Attempt {
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a> {
        Box::pin(async move {
            let failure = match self.leg(token).await {
                Ok(leg) => return Ok(leg),
                Err(failure) => failure,
            };
            debug!(%failure, "CredSSP refused");
            self.stage = Stage::Over;
            let verdict = failure.verdict();
            // Whoever is to come again later gets no answer about his password.
            if !matches!(verdict, AuthError::Busy | AuthError::Unavailable) {
                self.farewell = self.last_token(failure.status());
            }
            Err(verdict)
        })
    }

    fn claimed(&self) -> Option<&str> {
        self.inner.claimed()
    }

    fn farewell(&mut self) -> Option<Vec<u8>> {
        self.farewell.take()
    }
}

impl Attempt {
    async fn leg(&mut self, token: &[u8]) -> Result<Leg, Failure> {
        self.legs += 1;
        if self.legs > MAX_LEGS {
            return Err(Failure::TooLong);
        }
        if self.tls.is_none() {
            let shown = self.certificates.current().await.map_err(|cause| {
                error!(
                    cause = &cause as &dyn std::error::Error,
                    "No certificate for CredSSP"
                );
                Failure::NoCertificate
            })?;
            self.tls = Some(InnerTls::new(shown)?);
        }
        let tls = self.tls.as_mut().ok_or(InnerTlsError)?;
        let message = tls.take(token)?;
        if message.is_empty() {
            // The end of a handshake by TLS 1.3 has no answer: an empty token.
            return Ok(Leg::Continue(tls.waiting()));
        }
        let request = TsRequest::decode(&message)?;
        self.agree(request.version)?;
        // Whatever ends here before it is set again is over.
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::LoggingOn => self.log_on(&request).await,
            Stage::Key(_) if has_token(&request) => Err(Failure::OutOfOrder),
            Stage::Key(proven) => self.key(proven, &request, None),
            Stage::Password(proven) => self.password(proven, &request),
            Stage::Over => Err(Failure::OutOfOrder),
        }
    }

    /// Holds the client to a version, which must bind by a hash. One that is
    /// higher than ours means ours ([MS-CSSP] 2.2.1).
    fn agree(&mut self, version: u32) -> Result<(), Failure> {
        if *self.version.get_or_insert(version) != version {
            return Err(Failure::OutOfOrder);
        }
        if version < LEAST_VERSION {
            return Err(Failure::Version(version));
        }
        Ok(())
    }

    /// A leg of the log-on within. With NTLM, what follows it comes with the
    /// client's last token.
    async fn log_on(&mut self, request: &TsRequest<'_>) -> Result<Leg, Failure> {
        let (Some(token), None, None) = (request.nego_token, request.auth_info, request.error_code)
        else {
            return Err(Failure::OutOfOrder);
        };
        let leg = self.inner.step(token).await?;
        if let Some(account) = self.inner.claimed()
            && (self.is_locked)(account, self.from)
        {
            return Err(AuthError::Refused.into());
        }
        match leg {
            Leg::Continue(_) if request.pub_key_auth.is_some() => Err(Failure::OutOfOrder),
            Leg::Continue(token) => {
                self.stage = Stage::LoggingOn;
                self.answer(&TsRequest {
                    nego_token: Some(&token),
                    ..TsRequest::default()
                })
            }
            Leg::Done(mut proven) => {
                let last = proven.token.take();
                if request.pub_key_auth.is_some() {
                    return self.key(proven, request, last.as_deref());
                }
                self.stage = Stage::Key(proven);
                // pyspnego wants a token in the answer to a token.
                self.answer(&TsRequest {
                    nego_token: Some(last.as_deref().unwrap_or_default()),
                    ..TsRequest::default()
                })
            }
        }
    }

    /// Compares the key that the client has seen with ours, and shows that we
    /// know it. `token` is the last one of the log-on within, if the client has
    /// none yet.
    fn key(
        &mut self,
        mut proven: Proven,
        request: &TsRequest<'_>,
        token: Option<&[u8]>,
    ) -> Result<Leg, Failure> {
        let (Some(sealed), Some(nonce), None, None) = (
            request.pub_key_auth,
            request.client_nonce,
            request.auth_info,
            request.error_code,
        ) else {
            return Err(Failure::OutOfOrder);
        };
        let tls = self.tls.as_ref().ok_or(InnerTlsError)?;
        let seen = proven.context.open(sealed)?;
        let expected = binding(CLIENT_TO_SERVER, nonce, tls.public_key());
        verify_slices_are_equal(&seen, expected.as_ref()).map_err(|_| Failure::OtherKey)?;
        let own = binding(SERVER_TO_CLIENT, nonce, tls.public_key());
        let own = proven.context.seal(own.as_ref())?;
        self.stage = Stage::Password(proven);
        self.answer(&TsRequest {
            nego_token: token,
            pub_key_auth: Some(&own.octets),
            ..TsRequest::default()
        })
    }

    /// Takes the password, and forgets it.
    fn password(&mut self, mut proven: Proven, request: &TsRequest<'_>) -> Result<Leg, Failure> {
        let (Some(sealed), None, None, false) = (
            request.auth_info,
            request.pub_key_auth,
            request.error_code,
            has_token(request),
        ) else {
            return Err(Failure::OutOfOrder);
        };
        let credentials = Zeroizing::new(proven.context.open(sealed)?);
        ts_request::check_credentials(&credentials)?;
        drop(credentials);
        let tls = self.tls.take().ok_or(InnerTlsError)?;
        Ok(Leg::Done(Proven {
            account: proven.account,
            token: None,
            bound: Bound::NotApplicable,
            context: Box::new(Sealing {
                tls,
                mechanism: proven.context.mechanism(),
            }),
        }))
    }

    /// A message to the client, as the next token.
    fn answer(&mut self, message: &TsRequest<'_>) -> Result<Leg, Failure> {
        let tls = self.tls.as_mut().ok_or(InnerTlsError)?;
        let message = TsRequest {
            version: VERSION,
            ..*message
        };
        Ok(Leg::Continue(tls.send(&message.encode()?)?))
    }

    /// What the client gets with the refusal: the alert of TLS, or else the
    /// reason, if he knows such a field ([MS-CSSP] 2.2.1: versions 3, 4 and 6).
    fn last_token(&mut self, status: i32) -> Option<Vec<u8>> {
        let tls = self.tls.as_mut()?;
        let alert = tls.waiting();
        if !alert.is_empty() {
            return Some(alert);
        }
        let version = self.version?;
        if !matches!(version, 3 | 4 | 6..) {
            return None;
        }
        let message = TsRequest {
            version: VERSION,
            error_code: Some(status),
            ..TsRequest::default()
        };
        tls.send(&message.encode().ok()?).ok()
    }
}

/// Holds when the client sends a token, though there is nothing to answer: an
/// empty one is none.
fn has_token(request: &TsRequest<'_>) -> bool {
    request.nego_token.is_some_and(|token| !token.is_empty())
}

/// The hash by which one side shows the other which key it has seen ([MS-CSSP]
/// 3.1.5, step 3).
fn binding(direction: &[u8], nonce: &Nonce, public_key: &[u8]) -> digest::Digest {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(direction);
    hash.update(nonce);
    hash.update(public_key);
    hash.finish()
}

const CLIENT_TO_SERVER: &[u8] = b"CredSSP Client-To-Server Binding Hash\0";

const SERVER_TO_CLIENT: &[u8] = b"CredSSP Server-To-Client Binding Hash\0";

/// Ours.
const VERSION: u32 = 6;

/// The first one that binds by a hash.
const LEAST_VERSION: u32 = 5;

/// Tokens of the client: two or three for TLS, as many for the log-on within,
/// his password, and some for a log-on that changes its mechanism.
const MAX_LEGS: u32 = 16;

/// The names and numbers of [MS-ERREF] 2.3.1.
const STATUS_LOGON_FAILURE: i32 = 0xC000_006D_u32.cast_signed();

const STATUS_NOT_SUPPORTED: i32 = 0xC000_00BB_u32.cast_signed();

const STATUS_REVISION_MISMATCH: i32 = 0xC000_0059_u32.cast_signed();

#[cfg(test)]
mod tests;
