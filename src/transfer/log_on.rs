//! The log-on of one request at one server or proxy: which answer it bears, and
//! what a challenge means for it.
//!
//! Each challenge is answered once. A second 401 or 407 is final, but when only
//! the nonce of a Digest was too old, or when the next leg of a log-on is due.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use tokio::sync::OwnedMutexGuard;
use tracing::debug;
use tracing::warn;
use zeroize::Zeroizing;

use super::Failure;
use super::attempt::Attempt;
use super::challenge::Challenge;
use super::challenge::Parameters;
use super::clock;
use super::credentials::Choice;
use super::credentials::Method;
use super::credentials::Realm;
use super::credentials::Standing;
use super::credentials::Wallet;
use super::credentials::best_prompt;
use super::digest::Asking;
use super::digest::Prompt;
use super::fault;
use super::kerberos::Held;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::mechanism::ChannelBinding;
use crate::mechanism::Unproven;

/// The log-on of one request.
pub(super) struct LogOn<'a> {
    wallet: &'a Wallet,
    realm: Realm,
    /// The name of the service is `HTTP/host`.
    host: &'a str,
    /// Held while it is not known whether the credentials are right.
    turn: Option<OwnedMutexGuard<()>>,
    /// Answers the next time.
    due: Option<Choice>,
    /// Stands in the request that was sent last.
    sent: Option<Choice>,
    /// A log-on that goes on, and by which credentials.
    attempt: Option<(Attempt, Arc<Held>)>,
    /// Schemes whose challenge was answered.
    answered: Vec<AuthScheme>,
    /// The nonce was renewed once.
    is_renewed: bool,
    /// A log-on was begun anew since the server had forgotten it.
    is_restarted: bool,
}

/// A connection, as far as it counts here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// This job has logged on over it already.
    pub(super) is_logged_on: bool,
    /// It is TLS, and this names it.
    pub(super) channel: Option<&'a ChannelBinding>,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is for the caller. `logs_on`: the connection is logged on now.
    Final {
        /// The connection is logged on now.
        logs_on: bool,
    },
    /// The same must be asked again, over the same connection if it stands.
    Again,
}

impl<'a> LogOn<'a> {
    /// At `realm`, whose host is `host`.
    pub(super) fn new(wallet: &'a Wallet, realm: Realm, host: &'a str) -> Self {
        Self {
            wallet,
            realm,
            host,
            turn: None,
            due: None,
            sent: None,
            attempt: None,
            answered: Vec::new(),
            is_renewed: false,
            is_restarted: false,
        }
    }

    /// The header that the next request bears.
    ///
    /// # Errors
    ///
    /// [`Failure`]: credentials that were right cannot be shown any more.
    pub(super) async fn answer(
        &mut self,
        method: &str,
        target: &str,
        line: Line<'_>,
    ) -> Result<Option<HeaderValue>, Failure> {
        if let Some((attempt, held)) = self.attempt.take() {
            if attempt.fits(line.channel) {
                let header = attempt.header();
                self.attempt = Some((attempt, held));
                return Ok(header.as_deref().and_then(secret));
            }
            let begun = self.begin(&held, attempt.scheme(), line).await;
            begun.map_err(|why| self.failure(&why))?;
            return Ok(self.token());
        }
        let Some(choice) = self.due.take().or_else(|| self.wallet.proven(&self.realm)) else {
            return Ok(None);
        };
        let header = match &choice.method {
            Method::Basic => {
                let own = &choice.held.credentials;
                let (user, password) = (own.user.reveal(), own.password.reveal());
                let pair = Zeroizing::new(format!("{user}:{password}"));
                let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
                secret(&Zeroizing::new(format!("Basic {}", *pair)))
            }
            Method::Digest(prompt) => {
                let answer = self.digest(&choice.held, prompt, method, target)?;
                secret(&answer)
            }
            Method::Connection {
                scheme,
                each_request,
            } => {
                if line.is_logged_on && !each_request {
                    return Ok(None);
                }
                let begun = self.begin(&choice.held, *scheme, line).await;
                begun.map_err(|why| self.failure(&why))?;
                return Ok(self.token());
            }
        };
        self.sent = Some(choice);
        Ok(header)
    }

    /// Holds when the request only asks the server something: its body would be
    /// sent in vain.
    pub(super) fn holds_back_body(&self) -> bool {
        let attempt = self.attempt.as_ref();
        attempt.is_some_and(|(attempt, _)| attempt.asks())
    }

    /// The connection is gone before the answer came: what belonged to it
    /// begins anew.
    pub(super) fn lost_connection(&mut self) {
        if let Some((attempt, held)) = self.attempt.take() {
            self.due = Some(Choice {
                held,
                method: Method::Connection {
                    scheme: attempt.scheme(),
                    each_request: false,
                },
            });
        } else if let Some(sent) = self.sent.take() {
            self.due = Some(sent);
        }
    }

    /// Holds when the request showed who we are by a log-on of its connection:
    /// it must not be repeated unless the server has answered.
    pub(super) fn has_shown_proof(&self) -> bool {
        let attempt = self.attempt.as_ref();
        attempt.is_some_and(|(attempt, _)| !attempt.asks())
    }

    /// The server wants no log-on for what was asked without its body.
    pub(super) fn give_up(&mut self) {
        self.attempt = None;
        self.turn = None;
    }

    /// Takes in an answer of `status` to the request that bore the header.
    ///
    /// # Errors
    ///
    /// [`Failure`]: nobody can log on so, or the server has not proved who it is.
    pub(super) async fn hear(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        line: Line<'_>,
    ) -> Result<Verdict, Failure> {
        let (challenged, name, info) = match self.realm.0 {
            AuthTarget::Server => (
                StatusCode::UNAUTHORIZED,
                header::WWW_AUTHENTICATE,
                "authentication-info",
            ),
            AuthTarget::Proxy => (
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                header::PROXY_AUTHENTICATE,
                "proxy-authentication-info",
            ),
        };
        let values = |name: &HeaderName| {
            let all = headers.get_all(name).iter();
            let all: Vec<&str> = all.filter_map(|value| value.to_str().ok()).collect();
            all
        };
        let challenges = Challenge::all(values(&name).into_iter());
        if status == challenged {
            return self.challenged(&challenges, line).await;
        }
        let info = values(&HeaderName::from_static(info)).join(", ");
        let logs_on = self.let_in(status, &challenges, &info).await?;
        Ok(Verdict::Final { logs_on })
    }

    /// The server has not asked again. Holds when the connection is logged on.
    async fn let_in(
        &mut self,
        status: StatusCode,
        challenges: &[Challenge],
        info: &str,
    ) -> Result<bool, Failure> {
        self.turn = None;
        // Who fails may not have looked.
        let says_nothing = status.is_server_error();
        if let Some((mut attempt, _)) = self.attempt.take() {
            if says_nothing || attempt.asks() {
                return Ok(false);
            }
            if let Some(token) = attempt.heard(challenges) {
                let stepped = attempt.step(Some(token)).await;
                stepped.map_err(|why| self.failure(&why))?;
            }
            attempt.conclude().map_err(|why| self.failure(&why))?;
            let method = Method::Connection {
                scheme: attempt.scheme(),
                each_request: false,
            };
            self.wallet.prove(&self.realm, method);
            return Ok(true);
        }
        if let Some(choice) = self.sent.take()
            && !says_nothing
        {
            self.wallet.prove(&self.realm, choice.method);
            if !info.is_empty() {
                self.wallet.take_info(&self.realm, &Parameters::read(info));
            }
        }
        Ok(false)
    }

    async fn challenged(
        &mut self,
        challenges: &[Challenge],
        line: Line<'_>,
    ) -> Result<Verdict, Failure> {
        if let Some((mut attempt, held)) = self.attempt.take() {
            if let Some(token) = attempt.heard(challenges) {
                let stepped = attempt.step(Some(token)).await;
                if stepped.map_err(|why| self.failure(&why))? {
                    self.attempt = Some((attempt, held));
                    return Ok(Verdict::Again);
                }
            }
            if !attempt.asks() || self.is_restarted {
                return Ok(self.rejected(&held, attempt.asks()));
            }
            // The server has forgotten what we have asked it, and nothing was
            // shown yet.
            self.is_restarted = true;
            let scheme = attempt.scheme();
            self.answered.retain(|answered| *answered != scheme);
        }
        if let Some(sent) = self.sent.take() {
            match sent.method {
                Method::Basic if asks(challenges, "basic") => {
                    return Ok(self.rejected(&sent.held, false));
                }
                Method::Digest(old) => {
                    if let Some(verdict) = self.digest_again(&old, &sent.held, challenges) {
                        return Ok(verdict);
                    }
                }
                Method::Basic | Method::Connection { .. } => {}
            }
        } else if line.is_logged_on {
            self.wallet.wants_each_request(&self.realm);
        }
        self.choose(challenges, line).await
    }

    /// A Digest was not taken: is it the nonce? None: it is another scheme that
    /// is asked for.
    fn digest_again(
        &mut self,
        old: &Prompt,
        held: &Arc<Held>,
        challenges: &[Challenge],
    ) -> Option<Verdict> {
        let prompt = best_prompt(challenges)?;
        // Sent on its own accord, it was no answer to any challenge.
        let was_answer = self.answered.contains(&AuthScheme::Digest);
        let is_new = !prompt.repeats(old);
        if is_new && ((prompt.stale && !self.is_renewed) || !was_answer) {
            self.is_renewed |= prompt.stale;
            self.answered.push(AuthScheme::Digest);
            let method = Method::Digest(Box::new(prompt));
            if matches!(self.wallet.standing(&self.realm), Some(Standing::Proven(_))) {
                self.wallet.prove(&self.realm, method.clone());
            }
            self.due = Some(Choice {
                held: Arc::clone(held),
                method,
            });
            return Some(Verdict::Again);
        }
        Some(self.rejected(held, false))
    }

    /// Chooses an answer to `challenges`, if there is one.
    async fn choose(
        &mut self,
        challenges: &[Challenge],
        line: Line<'_>,
    ) -> Result<Verdict, Failure> {
        const NONE: Verdict = Verdict::Final { logs_on: false };
        if self.wallet.choices(&self.realm, challenges).is_empty() {
            return Ok(NONE);
        }
        // INVARIANT: what may be wrong is tried by one file of the job at a
        // time, so that it is tried once.
        if self.turn.is_none() && self.wallet.standing(&self.realm).is_none() {
            self.turn = Some(self.wallet.turn(self.realm.0).await);
        }
        if self.wallet.standing(&self.realm).is_some() {
            self.turn = None;
        }
        let mut failed = None;
        for choice in self.wallet.choices(&self.realm, challenges) {
            let scheme = choice.method.scheme();
            if self.answered.contains(&scheme) {
                continue;
            }
            self.answered.push(scheme);
            if let Method::Connection { scheme, .. } = choice.method {
                match self.begin(&choice.held, scheme, line).await {
                    Ok(()) => return Ok(Verdict::Again),
                    Err(why @ Unproven::Rejected(_)) => {
                        self.wallet.reject(&self.realm, &choice.held);
                        return Err(self.failure(&why));
                    }
                    Err(why) => {
                        debug!(realm = self.realm.1, %why, "No log-on by this scheme");
                        if !matches!(failed, Some(Unproven::Later(_))) {
                            failed = Some(why);
                        }
                        continue;
                    }
                }
            }
            if scheme == AuthScheme::Basic && self.realm.1.starts_with("http:") {
                warn!(
                    server = self.realm.1,
                    "Basic credentials go over HTTP without TLS"
                );
            }
            self.due = Some(choice);
            return Ok(Verdict::Again);
        }
        self.turn = None;
        match failed {
            Some(why) => Err(self.failure(&why)),
            None => Ok(NONE),
        }
    }

    async fn begin(
        &mut self,
        held: &Arc<Held>,
        scheme: AuthScheme,
        line: Line<'_>,
    ) -> Result<(), Unproven> {
        let kerberos = &self.wallet.kerberos;
        let attempt = Attempt::begin(scheme, kerberos, held, self.host, line.channel).await?;
        self.attempt = Some((attempt, Arc::clone(held)));
        Ok(())
    }

    fn token(&self) -> Option<HeaderValue> {
        let (attempt, _) = self.attempt.as_ref()?;
        secret(&attempt.header()?)
    }

    fn digest(
        &self,
        held: &Held,
        prompt: &Prompt,
        method: &str,
        target: &str,
    ) -> Result<Zeroizing<String>, Failure> {
        let mut octets = [0; 16];
        aws_lc_rs::rand::fill(&mut octets).map_err(|_| {
            let why = "there are no random octets".to_owned();
            self.failure(&Unproven::Later(why))
        })?;
        let mut client_nonce = String::new();
        for octet in octets {
            let _ = write!(client_nonce, "{octet:02x}");
        }
        let asking = Asking {
            user: held.credentials.user.reveal(),
            password: held.credentials.password.reveal(),
            method,
            target,
            client_nonce: &client_nonce,
        };
        let mut prompt = prompt.clone();
        let answer = self
            .wallet
            .count_digest(&self.realm, &mut prompt, |prompt| prompt.answer(&asking));
        Ok(Zeroizing::new(format!("Digest {answer}")))
    }

    /// The answer was wrong. What has shown nothing is not wrong for ever.
    fn rejected(&mut self, held: &Held, has_shown_nothing: bool) -> Verdict {
        if !has_shown_nothing {
            debug!(realm = self.realm.1, "Credentials rejected");
            self.wallet.reject(&self.realm, held);
        }
        self.turn = None;
        Verdict::Final { logs_on: false }
    }

    fn failure(&self, why: &Unproven) -> Failure {
        let doing = format!("logging on to {}", self.realm.1);
        match why {
            Unproven::Rejected(_) | Unproven::Unable(_) => {
                let status = match self.realm.0 {
                    AuthTarget::Server => 401,
                    AuthTarget::Proxy => 407,
                };
                let mut failure = fault::from_status(status, None, clock::date(), &doing);
                let _ = write!(failure.detail, ": {why}");
                failure
            }
            Unproven::Later(_) => Failure::for_now(
                ErrorContext::GeneralTransport,
                Hresult::WININET_E_CANNOT_CONNECT,
                format!("{doing}: {why}"),
            ),
            Unproven::WrongAnswer(_) => Failure::fatal(
                ErrorContext::GeneralTransport,
                Hresult::WININET_E_INVALID_SERVER_RESPONSE,
                format!("{doing}: {why}"),
            ),
        }
    }
}

fn asks(challenges: &[Challenge], name: &str) -> bool {
    challenges.iter().any(|challenge| challenge.scheme == name)
}

/// A value that no log shows. User names may have any octets.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
