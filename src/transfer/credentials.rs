//! What a job can log on with, and what it has found out: which servers and
//! proxies ask for which scheme, and which credentials are wrong.
//!
//! Nothing is sent before a challenge; once an answer has proved right, later
//! requests to that origin carry one at once. Credentials that were rejected
//! are not shown again to anybody: an account must not be locked for a wrong
//! password in a script.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::OwnedMutexGuard;

use super::challenge::Challenge;
use super::challenge::Parameters;
use super::digest::Prompt;
use super::kerberos::Held;
use super::kerberos::Kerberos;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Credentials;

/// The credentials of a job and what it knows of those who ask for them.
pub(super) struct Wallet {
    held: Vec<Arc<Held>>,
    pub(super) kerberos: Arc<Kerberos>,
    known: Mutex<Known>,
    /// One at a time tries credentials of which it is not known that they are
    /// right: one turn for servers, one for proxies.
    turns: [Arc<tokio::sync::Mutex<()>>; 2],
}

#[derive(Default)]
struct Known {
    places: HashMap<Realm, Standing>,
    /// Places in `held` of what was rejected.
    rejected: Vec<usize>,
}

/// Who challenges: target, and `scheme://host:port`.
pub(super) type Realm = (AuthTarget, String);

/// How far the job has come with somebody who challenges.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// What the job has shown was right.
    Proven(Method),
    /// It was wrong, and there is no more to show.
    Rejected,
}

/// How a challenge is answered.
#[derive(Clone, Debug)]
pub(super) enum Method {
    /// RFC 7617.
    Basic,
    /// RFC 7616.
    Digest(Box<Prompt>),
    /// `NTLM` or Negotiate: a connection is logged on. Some servers want each
    /// request logged on (Apache does).
    Connection {
        /// Which of the two.
        scheme: AuthScheme,
        /// Each request by itself.
        each_request: bool,
    },
}

/// A way to answer.
#[derive(Clone)]
pub(super) struct Choice {
    /// By this.
    pub(super) held: Arc<Held>,
    /// So.
    pub(super) method: Method,
}

impl Wallet {
    /// With these credentials.
    pub(super) fn new(credentials: Vec<Credentials>, kerberos: Arc<Kerberos>) -> Self {
        let held = credentials.into_iter().map(|own| Arc::new(Held::new(own)));
        Self {
            held: held.collect(),
            kerberos,
            known: Mutex::default(),
            turns: <[Arc<_>; 2]>::default(),
        }
    }

    /// Waits until nobody else of this job tries what may be wrong.
    pub(super) async fn turn(&self, target: AuthTarget) -> OwnedMutexGuard<()> {
        let turn = match target {
            AuthTarget::Server => &self.turns[0],
            AuthTarget::Proxy => &self.turns[1],
        };
        Arc::clone(turn).lock_owned().await
    }

    /// How far it is with `realm`; none: nobody there has taken or rejected
    /// anything.
    pub(super) fn standing(&self, realm: &Realm) -> Option<Standing> {
        self.known().places.get(realm).cloned()
    }

    /// Must requests to `realm` go over connections of their own, by HTTP/1.1?
    pub(super) fn binds_connections(&self, realm: &Realm) -> bool {
        let standing = self.standing(realm);
        matches!(standing, Some(Standing::Proven(Method::Connection { .. })))
    }

    /// What answers at once, since it has proved right there.
    pub(super) fn proven(&self, realm: &Realm) -> Option<Choice> {
        let known = self.known();
        let Some(Standing::Proven(method)) = known.places.get(realm) else {
            return None;
        };
        let held = self.find(&known, realm.0, method.scheme())?;
        Some(Choice {
            held,
            method: method.clone(),
        })
    }

    /// What can answer one of `challenges`, the best first: Negotiate, `NTLM`,
    /// Digest by the best hash, Basic.
    pub(super) fn choices(&self, realm: &Realm, challenges: &[Challenge]) -> Vec<Choice> {
        let known = self.known();
        if matches!(known.places.get(realm), Some(Standing::Rejected)) {
            return Vec::new();
        }
        let asks = |name: &str| challenges.iter().any(|asked| asked.scheme == name);
        let connection = |scheme| Method::Connection {
            scheme,
            each_request: false,
        };
        [
            asks("negotiate").then(|| connection(AuthScheme::Negotiate)),
            asks("ntlm").then(|| connection(AuthScheme::Ntlm)),
            best_prompt(challenges).map(|prompt| Method::Digest(Box::new(prompt))),
            asks("basic").then_some(Method::Basic),
        ]
        .into_iter()
        .flatten()
        .filter_map(|method| {
            let held = self.find(&known, realm.0, method.scheme())?;
            Some(Choice { held, method })
        })
        .collect()
    }

    /// The next answer to a prompt of `realm`: the count of the answers to a
    /// nonce is that of the whole job.
    pub(super) fn count_digest<T>(
        &self,
        realm: &Realm,
        prompt: &mut Prompt,
        answer: impl Fn(&mut Prompt) -> T,
    ) -> T {
        let mut known = self.known();
        if let Some(Standing::Proven(Method::Digest(shared))) = known.places.get_mut(realm)
            && shared.repeats(prompt)
        {
            return answer(shared);
        }
        answer(prompt)
    }

    /// Remembers that `method` was right.
    pub(super) fn prove(&self, realm: &Realm, method: Method) {
        let mut known = self.known();
        let place = known.places.entry(realm.clone());
        let place = place.or_insert_with(|| Standing::Proven(method.clone()));
        match (&*place, &method) {
            // What is known of the server, or counted, is newer.
            (
                Standing::Proven(Method::Connection { scheme, .. }),
                Method::Connection { scheme: now, .. },
            ) if scheme == now => {}
            (Standing::Proven(Method::Digest(old)), Method::Digest(now)) if old.repeats(now) => {}
            (Standing::Proven(_) | Standing::Rejected, _) => *place = Standing::Proven(method),
        }
    }

    /// Takes the next nonce that a server wishes.
    pub(super) fn take_info(&self, realm: &Realm, info: &Parameters) {
        if let Some(Standing::Proven(Method::Digest(prompt))) = self.known().places.get_mut(realm) {
            prompt.take_next_nonce(info);
        }
    }

    /// Remembers that `realm` wants each request logged on. With `NTLM` nobody
    /// does: such a server has forgotten its connection.
    pub(super) fn wants_each_request(&self, realm: &Realm) {
        if let Some(Standing::Proven(Method::Connection {
            scheme: AuthScheme::Negotiate,
            each_request,
        })) = self.known().places.get_mut(realm)
        {
            *each_request = true;
        }
    }

    /// Remembers that `held` is wrong, and all that is the same by another
    /// scheme: nobody is shown it again.
    pub(super) fn reject(&self, realm: &Realm, held: &Held) {
        let mut known = self.known();
        let wrong = &held.credentials;
        for (place, own) in self.held.iter().enumerate() {
            let own = &own.credentials;
            if own.target == wrong.target
                && own.user == wrong.user
                && own.password == wrong.password
            {
                known.rejected.push(place);
            }
        }
        known.places.insert(realm.clone(), Standing::Rejected);
    }

    fn find(&self, known: &Known, target: AuthTarget, scheme: AuthScheme) -> Option<Arc<Held>> {
        let is = |place: usize, target, scheme| {
            let own = &self.held[place].credentials;
            let is_wrong = known.rejected.contains(&place);
            own.target == target && own.scheme == scheme && !is_wrong
        };
        let mut places = 0..self.held.len();
        let found = places.find(|place| is(*place, target, scheme));
        // "Implicit proxy credentials also cover the server unless explicit
        // ones exist for it" (BITS reference, "SetCredentials").
        let covers = || {
            let has_own = self
                .held
                .iter()
                .any(|own| own.credentials.target == AuthTarget::Server);
            (0..self.held.len()).find(|place| {
                target == AuthTarget::Server
                    && !has_own
                    && self.held[*place].credentials.is_implicit()
                    && is(*place, AuthTarget::Proxy, scheme)
            })
        };
        let place = found.or_else(covers)?;
        Some(Arc::clone(&self.held[place]))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Method {
    /// Its scheme.
    pub(super) fn scheme(&self) -> AuthScheme {
        match self {
            Self::Basic => AuthScheme::Basic,
            Self::Digest(_) => AuthScheme::Digest,
            Self::Connection { scheme, .. } => *scheme,
        }
    }
}

/// The prompt with the best hash.
pub(super) fn best_prompt(challenges: &[Challenge]) -> Option<Prompt> {
    let digests = challenges.iter().filter(|asked| asked.scheme == "digest");
    let prompts = digests.filter_map(|asked| Prompt::read(&asked.parameters()));
    // Of equal ones the first, which the server likes best.
    prompts.reduce(|best, other| {
        if other.algorithm() > best.algorithm() {
            other
        } else {
            best
        }
    })
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wallet(…)")
    }
}

#[cfg(test)]
mod tests;
