//! Answers the challenges of servers and proxies: Basic (RFC 7617) and Digest
//! (RFC 7616).
//!
//! Nothing is sent before a challenge; once one of an origin has been seen,
//! later requests to it carry the answer at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use digest_auth::AuthContext;
use digest_auth::HttpMethod;
use digest_auth::WwwAuthenticateHeader;

use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Credentials;

/// The credentials of a job and the challenges that it has met.
pub(super) struct Wallet {
    credentials: Vec<Credentials>,
    met: Mutex<HashMap<Realm, Challenge>>,
}

/// Who challenges: target, and `scheme://host:port`.
pub(super) type Realm = (AuthTarget, String);

enum Challenge {
    Basic,
    Digest(Box<WwwAuthenticateHeader>),
}

impl Wallet {
    /// With these credentials.
    pub(super) fn new(credentials: Vec<Credentials>) -> Self {
        Self {
            credentials,
            met: Mutex::default(),
        }
    }

    /// The header that answers the last challenge of `realm`; `None` when
    /// there was none that can be answered.
    pub(super) fn answer(&self, realm: &Realm, method: &str, uri: &str) -> Option<String> {
        let mut met = self.met();
        match met.get_mut(realm)? {
            Challenge::Basic => {
                let own = self.find(realm.0, AuthScheme::Basic)?;
                let pair = zeroize::Zeroizing::new(format!(
                    "{}:{}",
                    own.user.reveal(),
                    own.password.reveal()
                ));
                Some(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
            }
            Challenge::Digest(prompt) => {
                let own = self.find(realm.0, AuthScheme::Digest)?;
                let context = AuthContext::new_with_method(
                    own.user.reveal(),
                    own.password.reveal(),
                    uri,
                    None::<&[u8]>,
                    HttpMethod::from(method),
                );
                Some(prompt.respond(&context).ok()?.to_string())
            }
        }
    }

    /// Takes in the challenges of a 401 or 407; holds when one of them can be
    /// answered. Digest goes first: it does not show the password.
    pub(super) fn challenge<'a>(
        &self,
        realm: &Realm,
        headers: impl Iterator<Item = &'a str>,
    ) -> bool {
        let mut found = None;
        for header in headers {
            for challenge in split_challenges(header) {
                let scheme = challenge.split(' ').next().unwrap_or("");
                if scheme.eq_ignore_ascii_case("digest")
                    && self.find(realm.0, AuthScheme::Digest).is_some()
                {
                    let rest = challenge.get(scheme.len()..).unwrap_or("");
                    if let Ok(prompt) = WwwAuthenticateHeader::parse(rest) {
                        found = Some(Challenge::Digest(Box::new(prompt)));
                        break;
                    }
                } else if scheme.eq_ignore_ascii_case("basic")
                    && self.find(realm.0, AuthScheme::Basic).is_some()
                    && found.is_none()
                {
                    found = Some(Challenge::Basic);
                }
            }
            if matches!(found, Some(Challenge::Digest(_))) {
                break;
            }
        }
        let is_found = found.is_some();
        if let Some(challenge) = found {
            self.met().insert(realm.clone(), challenge);
        }
        is_found
    }

    fn find(&self, target: AuthTarget, scheme: AuthScheme) -> Option<&Credentials> {
        self.credentials
            .iter()
            .find(|own| own.target == target && own.scheme == scheme)
    }

    fn met(&self) -> MutexGuard<'_, HashMap<Realm, Challenge>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wallet(…)")
    }
}

/// One header may hold several challenges, parted by the same commas as the
/// parameters of each (RFC 9110 11.6.1): a part that begins with a word and a
/// blank, or a word alone, begins a challenge.
fn split_challenges(header: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let mut quoted = false;
    let mut escaped = false;
    let mut at_start = true;
    for (at, octet) in header.bytes().enumerate() {
        if at_start && !octet.is_ascii_whitespace() && octet != b',' {
            at_start = false;
            let rest = header.get(at..).unwrap_or("");
            let word = rest
                .bytes()
                .take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
                .count();
            let after = rest.get(word..).unwrap_or("").trim_start();
            if word > 0 && !after.starts_with('=') {
                starts.push(at);
            }
        }
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => at_start = true,
            _ => {}
        }
    }
    let ends = starts.iter().skip(1).copied().chain([header.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(start, end)| header.get(*start..end))
        .map(|challenge| challenge.trim_matches([' ', ',', '\t']))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bits::Secret;

    fn credentials(scheme: AuthScheme) -> Credentials {
        Credentials {
            target: AuthTarget::Server,
            scheme,
            user: Secret::new("Aladdin".to_owned()),
            password: Secret::new("open sesame".to_owned()),
        }
    }

    fn realm() -> Realm {
        (AuthTarget::Server, "http://h:80".to_owned())
    }

    #[test]
    fn nothing_is_sent_before_a_challenge() {
        let wallet = Wallet::new(vec![credentials(AuthScheme::Basic)]);
        assert_eq!(wallet.answer(&realm(), "GET", "/"), None);
        assert!(wallet.challenge(&realm(), ["Basic realm=\"x\""].into_iter()));
        assert_eq!(
            wallet.answer(&realm(), "GET", "/").as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        let other = (AuthTarget::Server, "http://other:80".to_owned());
        assert_eq!(wallet.answer(&other, "GET", "/"), None);
    }

    #[test]
    fn digest_goes_before_basic_wherever_it_stands() {
        let wallet = Wallet::new(vec![
            credentials(AuthScheme::Basic),
            credentials(AuthScheme::Digest),
        ]);
        let header = "Basic realm=\"a, b\", Digest realm=\"x\", nonce=\"n\", qop=\"auth\"";
        assert!(wallet.challenge(&realm(), [header].into_iter()));
        let answer = wallet.answer(&realm(), "GET", "/f?q").expect("answered");
        assert!(
            answer.starts_with("Digest username=\"Aladdin\""),
            "{answer}"
        );
        assert!(answer.contains("uri=\"/f?q\"") && answer.contains("nc=00000001"));
        let second = wallet.answer(&realm(), "GET", "/f?q").expect("answered");
        assert!(second.contains("nc=00000002"));
    }

    #[test]
    fn a_scheme_without_credentials_is_not_answered() {
        let wallet = Wallet::new(vec![credentials(AuthScheme::Basic)]);
        for header in ["Negotiate", "NTLM", "Digest realm=\"x\", nonce=\"n\""] {
            assert!(
                !wallet.challenge(&realm(), [header].into_iter()),
                "{header}"
            );
        }
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        assert_eq!(
            split_challenges("Negotiate, Basic realm=\"a, Digest b=\\\"c\", NTLM"),
            ["Negotiate", "Basic realm=\"a, Digest b=\\\"c\"", "NTLM"]
        );
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(header in ".*") {
            let wallet = Wallet::new(vec![credentials(AuthScheme::Digest)]);
            let _ = split_challenges(&header);
            wallet.challenge(&realm(), [header.as_str()].into_iter());
            let _ = wallet.answer(&realm(), "GET", "/");
        }
    }
}
