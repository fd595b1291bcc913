//! Lets requests in, or says why not.

use std::sync::Arc;

use tracing::debug;
use tracing::info;
use tracing::warn;

use super::AuthError;
use super::Channel;
use super::ConnectionAuth;
use super::Holds;
use super::Mechanism;
use super::Offered;
use super::Peer;
use super::Principal;
use super::Proof;
use super::Step;
use super::Users;
use super::access::Access;
use super::basic::Basic;
use super::connection::State;
use crate::config::Current;

/// Where every request must pass.
#[derive(Debug)]
pub(crate) struct Door {
    mechanisms: Vec<Mechanism>,
    access: Access,
}

/// What the door says to a request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    /// Come in. The token, if there is one, goes back in `WWW-Authenticate`.
    Admitted(Principal, Option<String>),
    /// The log-on goes on: 401 with this challenge and no other.
    Continue(String),
}

impl Door {
    /// A door for the accounts in `users` that the settings list.
    pub(crate) fn new(users: Arc<Users>, settings: &Arc<Current>) -> Self {
        let now = settings.get();
        let basic = Basic::new(users, now.wsman.max_waiting_logons);
        Self {
            mechanisms: vec![basic.mechanism()],
            access: Access::new(&now.access),
        }
    }

    /// What a 401 to `peer` offers, one header each.
    pub(crate) fn challenges(&self, peer: &Peer) -> impl Iterator<Item = &'static str> {
        let channel = peer.channel.clone();
        self.mechanisms
            .iter()
            .filter(move |mechanism| mechanism.is_for(&channel))
            .map(|mechanism| mechanism.challenge)
    }

    /// Lets a request in that came over `connection` with this value of the
    /// `Authorization` header. Without one, whoever has logged on to the
    /// connection comes in again.
    ///
    /// When the future is dropped, a log-on of several legs has failed; the
    /// connection is gone then anyway.
    ///
    /// # Errors
    ///
    /// [`AuthError`].
    pub(crate) async fn admit(
        &self,
        connection: &ConnectionAuth,
        authorization: Option<&str>,
    ) -> Result<Admission, AuthError> {
        let Some(authorization) = authorization else {
            return match connection.principal() {
                Some(principal) => Ok(Admission::Admitted(principal, None)),
                None => Err(AuthError::Refused),
            };
        };
        let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let Some(mechanism) = self.mechanisms.iter().find(|mechanism| {
            mechanism.scheme.eq_ignore_ascii_case(scheme)
                && mechanism.is_for(&connection.peer().channel)
        }) else {
            return Err(AuthError::Refused);
        };
        let mut acceptor = connection
            .take_attempt(mechanism.scheme)
            .unwrap_or_else(|| (mechanism.start)(connection.peer()));
        let step = acceptor.step(token.trim_matches(' ')).await;
        let address = connection.peer().address;
        let done = match step {
            Ok(Step::Continue(token)) => {
                connection.set(State::Underway {
                    scheme: mechanism.scheme,
                    acceptor,
                });
                return Ok(Admission::Continue(format!("{} {token}", mechanism.scheme)));
            }
            Ok(Step::Done(done)) => done,
            Err(error) => {
                connection.set(State::Nobody);
                let account = acceptor.claimed();
                // What costs the client nothing must not fill the log.
                if error == AuthError::Refused {
                    let scheme = mechanism.scheme;
                    warn!(target: AUDIT, %address, scheme, account, "Log-on refused");
                } else {
                    debug!(target: AUDIT, %address, %error, "Log-on not tried");
                }
                return Err(error);
            }
        };
        let Some(principal) = self.access.principal(&done.account) else {
            connection.set(State::Nobody);
            if done.proof == Proof::Fresh {
                let account = &*done.account;
                warn!(target: AUDIT, %address, account, "Account in no list of [access]");
            }
            return Err(AuthError::Forbidden);
        };
        if done.proof == Proof::Fresh {
            info!(
                target: AUDIT,
                %address,
                scheme = mechanism.scheme,
                account = %done.account,
                scope = ?principal.scope(),
                "Logged on"
            );
        }
        if let Holds::Connection(seal) = done.holds {
            connection.set(State::Established {
                principal: principal.clone(),
                seal,
            });
        }
        let token = done
            .token
            .map(|token| format!("{} {token}", mechanism.scheme));
        Ok(Admission::Admitted(principal, token))
    }

    /// A door with the mechanisms of a test, and one account that may come in.
    #[cfg(test)]
    pub(super) fn for_test(mechanisms: Vec<Mechanism>, account: &str) -> Self {
        Self {
            mechanisms,
            access: Access::new(&crate::config::AccessSettings {
                users: vec![account.to_owned()],
                ..crate::config::AccessSettings::default()
            }),
        }
    }
}

impl Mechanism {
    fn is_for(&self, channel: &Channel) -> bool {
        match self.offered {
            Offered::Always => true,
            Offered::OverTls => *channel == Channel::Tls,
        }
    }
}

/// Log lines about who came in, and who did not.
const AUDIT: &str = "bitsd::audit";

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::net::SocketAddr;

    use super::super::Acceptor;
    use super::super::LoggedOn;
    use super::super::Seal;
    use super::super::SealError;
    use super::super::Sealed;
    use super::super::Stepping;
    use super::*;
    use crate::config::AccessSettings;
    use crate::config::Settings;

    /// A mechanism of two legs, as NTLM is: `one`, then `two`.
    struct TwoLegs {
        has_begun: bool,
    }

    struct NoSeal;

    impl Seal for NoSeal {
        fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
            Ok(Sealed {
                signature: Vec::new(),
                octets: plain.to_vec(),
            })
        }

        fn open(&mut self, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
            Ok(sealed.octets.clone())
        }
    }

    impl Acceptor for TwoLegs {
        fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
            Box::pin(async move {
                match (token, std::mem::replace(&mut self.has_begun, true)) {
                    ("one", false) => Ok(Step::Continue("prove-it".to_owned())),
                    ("two", true) => Ok(Step::Done(LoggedOn {
                        account: Arc::from("alice"),
                        token: Some("welcome".to_owned()),
                        holds: Holds::Connection(Some(Box::new(NoSeal))),
                        proof: Proof::Fresh,
                    })),
                    _ => Err(AuthError::Refused),
                }
            })
        }

        fn claimed(&self) -> Option<&str> {
            None
        }
    }

    fn door(account: &str) -> Door {
        let two_legs = Mechanism {
            scheme: "Two",
            challenge: "Two",
            offered: Offered::Always,
            start: Box::new(|_| Box::new(TwoLegs { has_begun: false })),
        };
        Door::for_test(vec![two_legs], account)
    }

    fn connection(channel: Channel) -> ConnectionAuth {
        ConnectionAuth::new(Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            channel,
        })
    }

    #[tokio::test]
    async fn a_context_belongs_to_its_connection() {
        let door = door("alice");
        let (own, other) = (connection(Channel::Plain), connection(Channel::Plain));
        let alice = Principal::for_test("alice", super::super::Scope::Own);
        assert_eq!(door.admit(&own, None).await, Err(AuthError::Refused));
        let leg = door.admit(&own, Some("two one")).await;
        assert_eq!(leg, Ok(Admission::Continue("Two prove-it".to_owned())));
        assert_eq!(
            door.admit(&other, Some("Two two")).await,
            Err(AuthError::Refused)
        );
        let leg = door.admit(&own, Some("Two  two")).await;
        let token = Some("Two welcome".to_owned());
        assert_eq!(leg, Ok(Admission::Admitted(alice.clone(), token)));
        assert_eq!(
            door.admit(&own, None).await,
            Ok(Admission::Admitted(alice, None))
        );
        assert_eq!(door.admit(&other, None).await, Err(AuthError::Refused));
    }

    #[tokio::test]
    async fn a_failed_leg_ends_the_attempt() {
        let door = door("alice");
        let own = connection(Channel::Plain);
        assert!(door.admit(&own, Some("Two one")).await.is_ok());
        assert_eq!(
            door.admit(&own, Some("Two x")).await,
            Err(AuthError::Refused)
        );
        assert_eq!(
            door.admit(&own, Some("Two two")).await,
            Err(AuthError::Refused)
        );
    }

    #[tokio::test]
    async fn an_account_in_no_list_is_forbidden() {
        let door = door("bob");
        let own = connection(Channel::Plain);
        assert!(door.admit(&own, Some("Two one")).await.is_ok());
        assert_eq!(
            door.admit(&own, Some("Two two")).await,
            Err(AuthError::Forbidden)
        );
        assert_eq!(door.admit(&own, None).await, Err(AuthError::Refused));
    }

    #[tokio::test]
    async fn basic_is_neither_offered_nor_taken_without_tls() {
        let folder = tempfile::tempdir().expect("a folder");
        let users = Arc::new(Users::open(&folder.path().join("users")).expect("opened"));
        users.add("alice", "x").expect("added");
        let access = AccessSettings {
            users: vec!["alice".to_owned()],
            ..AccessSettings::default()
        };
        let settings = Settings {
            access,
            ..Settings::default()
        };
        let door = Door::new(users, &Arc::new(Current::new(settings)));
        let (plain, tls) = (connection(Channel::Plain), connection(Channel::Tls));
        assert_eq!(door.challenges(plain.peer()).count(), 0);
        assert!(door.challenges(tls.peer()).eq(["Basic realm=\"WSMAN\""]));
        let token = Some("Basic YWxpY2U6eA==");
        assert_eq!(door.admit(&plain, token).await, Err(AuthError::Refused));
        assert!(door.admit(&tls, token).await.is_ok());
        assert!(door.admit(&tls, Some("basic YWxpY2U6eA")).await.is_ok());
        assert_eq!(door.admit(&tls, None).await, Err(AuthError::Refused));
    }
}
