//! A log-on that is an exchange of binary tokens (GSS-API, RFC 2743): `NTLM`,
//! Kerberos, both within SPNEGO, and `CredSSP` around any of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;

use super::Acceptor;
use super::AuthError;
use super::Bound;
use super::Holds;
use super::LoggedOn;
use super::Peer;
use super::Proof;
use super::Proved;
use super::Step;
use super::Stepping;
use crate::config::AccessSettings;
use crate::mechanism::SecurityContext;

/// One attempt, fed with the client's tokens.
pub(super) trait Exchange: Send {
    /// Takes the client's next token.
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a>;

    /// As [`Acceptor::claimed`].
    fn claimed(&self) -> Option<&str>;

    /// As [`Acceptor::farewell`].
    fn farewell(&mut self) -> Option<Vec<u8>> {
        None
    }
}

/// What [`Exchange::step`] gives.
pub(super) type Legs<'a> = Pin<Box<dyn Future<Output = Result<Leg, AuthError>> + Send + 'a>>;

/// What a token came to.
pub(super) enum Leg {
    /// The client must answer this.
    Continue(Vec<u8>),
    /// He has proved who he is.
    Done(Proven),
}

/// Somebody who has proved who he is.
pub(super) struct Proven {
    /// The account, as the lists of the settings name it.
    pub(super) account: Arc<str>,
    /// What the client still needs to trust us.
    pub(super) token: Option<Vec<u8>>,
    /// How the proof is tied to the connection.
    pub(super) bound: Bound,
    /// The keys that both sides have now.
    pub(super) context: Box<dyn SecurityContext>,
}

/// What begins exchanges.
pub(super) trait Start: Send + Sync {
    /// Begins one with `peer`.
    fn start(&self, peer: &Peer) -> Box<dyn Exchange>;

    /// Holds when somebody could log on so: it is switched on, and has the
    /// library, keys or accounts that it needs. Asked for every 401: cheap.
    fn is_available(&self, access: &AccessSettings) -> bool;
}

/// An exchange as the door knows it: tokens are base64 in a header.
pub(super) struct InHeader {
    exchange: Box<dyn Exchange>,
}

impl InHeader {
    pub(super) fn new(exchange: Box<dyn Exchange>) -> Self {
        Self { exchange }
    }
}

impl Acceptor for InHeader {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            // Without a token, GSS-API would have the server begin. No client
            // of HTTP waits for that (RFC 4559 5).
            if token.is_empty() || token.len() > MAX_TOKEN {
                return Err(AuthError::Malformed);
            }
            let token = BASE64.decode(token).map_err(|_| AuthError::Malformed)?;
            Ok(match self.exchange.step(&token).await? {
                Leg::Continue(token) => Step::Continue(BASE64.encode(token)),
                Leg::Done(proven) => Step::Done(LoggedOn {
                    who: Proved::Account(proven.account),
                    token: proven.token.map(|token| BASE64.encode(token)),
                    holds: Holds::Connection(Some(proven.context)),
                    proof: Proof::Fresh,
                    bound: proven.bound,
                }),
            })
        })
    }

    fn claimed(&self) -> Option<&str> {
        self.exchange.claimed()
    }

    fn farewell(&mut self) -> Option<String> {
        let token = self.exchange.farewell()?;
        Some(BASE64.encode(token))
    }
}

/// What clients send. They all pad it, though `token68` of RFC 9110 11.2 need
/// not be.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters of a token: 66 KiB in base64, as Kerberos tickets with many
/// groups need them.
const MAX_TOKEN: usize = 88 * 1_024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::net::SocketAddr;

    use super::super::Channel;
    use super::super::Parts;
    use super::super::Seal;
    use super::super::SealError;
    use super::super::Sealed;
    use super::*;

    /// Repeats what it hears, until that is `in`.
    #[derive(Default)]
    struct Echo {
        heard: Vec<Vec<u8>>,
    }

    struct NoKeys;

    impl Exchange for Echo {
        fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a> {
            Box::pin(async move {
                self.heard.push(token.to_vec());
                Ok(match token {
                    b"in" => Leg::Done(Proven {
                        account: Arc::from("alice"),
                        token: Some(b"welcome".to_vec()),
                        bound: Bound::Yes,
                        context: Box::new(NoKeys),
                    }),
                    token => Leg::Continue(token.to_vec()),
                })
            })
        }

        fn claimed(&self) -> Option<&str> {
            self.heard.is_empty().then_some("nothing heard")
        }
    }

    impl Seal for NoKeys {
        fn seal(&mut self, _: &[u8]) -> Result<Sealed, SealError> {
            Err(SealError)
        }

        fn open(&mut self, _: &[u8]) -> Result<Vec<u8>, SealError> {
            Err(SealError)
        }

        fn parts(&self) -> Parts {
            Parts::Whole
        }
    }

    impl SecurityContext for NoKeys {
        fn sign(&mut self, _: &[u8]) -> Result<Vec<u8>, SealError> {
            Err(SealError)
        }

        fn verify(&mut self, _: &[u8], _: &[u8]) -> Result<(), SealError> {
            Err(SealError)
        }
    }

    impl Start for Echo {
        fn start(&self, _: &Peer) -> Box<dyn Exchange> {
            Box::new(Self::default())
        }

        fn is_available(&self, _: &AccessSettings) -> bool {
            true
        }
    }

    fn acceptor() -> InHeader {
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            channel: Channel::Plain,
            certificate: None,
        };
        InHeader::new(Echo::default().start(&peer))
    }

    /// What a token comes to that does not end the log-on.
    async fn answer(token: &str) -> Result<String, AuthError> {
        match acceptor().step(token).await? {
            Step::Continue(token) => Ok(token),
            Step::Done(_) => panic!("{token} is not the last one"),
        }
    }

    #[tokio::test]
    async fn a_token_is_base64_with_padding_or_without() {
        for octets in [&b"x"[..], b"xy", b"xyz", b"\xff\xfe\xfd\xfc"] {
            let padded = BASE64.encode(octets);
            let bare = padded.trim_end_matches('=');
            assert_eq!(answer(bare).await.as_ref(), Ok(&padded));
            assert_eq!(answer(&padded).await, Ok(padded));
        }
    }

    #[tokio::test]
    async fn what_is_no_token_never_reaches_the_mechanism() {
        let longest = BASE64.encode(vec![0; MAX_TOKEN / 4 * 3]);
        assert_eq!(answer(&longest).await.as_ref(), Ok(&longest));
        let long = format!("{longest}AAAA");
        for wrong in [
            "", "=", "====", "eA===", "eB==", "e", "e A=", "eA==eA==", "_-8=", "ä===", &long,
        ] {
            let mut acceptor = acceptor();
            let step = acceptor.step(wrong).await;
            assert_eq!(step.err(), Some(AuthError::Malformed), "{wrong}");
            assert_eq!(acceptor.claimed(), Some("nothing heard"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn who_has_proved_who_he_is_brings_his_keys_to_the_connection() {
        let step = acceptor().step(&BASE64.encode("in")).await;
        let Ok(Step::Done(done)) = step else {
            panic!("he is in");
        };
        assert_eq!(done.who.to_string(), "alice");
        assert_eq!(done.token, Some(BASE64.encode("welcome")));
        assert_eq!((done.proof, done.bound), (Proof::Fresh, Bound::Yes));
        assert!(matches!(done.holds, Holds::Connection(Some(_))));
    }
}
