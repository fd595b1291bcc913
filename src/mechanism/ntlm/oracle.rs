//! Exchanges of pyspnego, in both roles (`tests/oracle/ntlm.py`).

use serde::Deserialize;

use super::acceptor::Acceptor;
use super::acceptor::FileTime;
use super::acceptor::Host;
use super::acceptor::IntegrityCode;
use super::acceptor::Refusal;
use super::client::Client;
use super::keys;
use crate::mechanism::Named;
use crate::mechanism::SealError;

#[derive(Deserialize)]
struct Recorded {
    binding: Hex,
    lists: Hex,
    first: Hex,
    second: Hex,
    exchange: Vec<Exchange>,
    accepted: Accepted,
}

/// Pyspnego is the client.
#[derive(Deserialize)]
struct Exchange {
    name: String,
    user: String,
    password: String,
    bound: bool,
    negotiate: Hex,
    challenge: Hex,
    authenticate: Hex,
    client_signature: Option<Hex>,
    server_signature: Option<Hex>,
    client_first: Option<Hex>,
    client_second: Option<Hex>,
    server_first: Option<Hex>,
    server_second: Option<Hex>,
}

/// Pyspnego is the server, and has accepted this.
#[derive(Deserialize)]
struct Accepted {
    negotiate: Hex,
    challenge: Hex,
    authenticate: Hex,
    server_first: Hex,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let octets = (0..text.len()).step_by(2);
        let octets = octets.map(|at| u8::from_str_radix(&text[at..at + 2], 16));
        octets.collect::<Result<_, _>>().map(Self)
    }
}

fn recorded() -> Recorded {
    let text = include_str!("../../../tests/oracle/ntlm.toml");
    toml::from_str(text).expect("as it was recorded")
}

/// 2026-01-02 03:04:05.678901 UTC.
fn time() -> FileTime {
    let since_1970 = std::time::Duration::from_micros(1_767_323_045_678_901);
    FileTime::of(std::time::SystemTime::UNIX_EPOCH + since_1970)
}

#[test]
fn what_pyspnego_sends_is_accepted_and_what_we_send_is_what_it_would() {
    let recorded = recorded();
    assert_eq!(recorded.exchange.len(), 4);
    for exchange in &recorded.exchange {
        let name = &exchange.name;
        let mut acceptor = Acceptor::default();
        let (host, nonce) = (Host::new("host.example.org\n"), NONCE);
        let challenge = acceptor.challenge(&exchange.negotiate.0, &host, nonce, time());
        assert_eq!(challenge.expect(name), exchange.challenge.0, "{name}");
        let claim = acceptor.claim(&exchange.authenticate.0).expect(name);
        assert!(claim.accounts().contains(&exchange.user), "{name}");

        let binding = crate::mechanism::ChannelBinding::of_end_point(b"another");
        let other = if exchange.bound {
            Named::Other
        } else {
            Named::Nothing
        };
        assert_eq!(claim.named(&binding), other, "{name}");

        let wrong = keys::nt_hash("password");
        let refused = claim.check(&wrong, IntegrityCode::Needed, time());
        assert_eq!(refused.map(|_| ()), Err(Refusal::WrongProof), "{name}");
        let hash = keys::nt_hash(&exchange.password);
        let mut context = claim
            .check(&hash, IntegrityCode::Needed, time())
            .expect(name);
        if let (Some(theirs), Some(ours)) = (&exchange.client_signature, &exchange.server_signature)
        {
            assert_eq!(
                context.verify(&recorded.lists.0, &theirs.0),
                Ok(()),
                "{name}"
            );
            assert_eq!(
                context.sign(&recorded.lists.0),
                Ok(ours.0.clone()),
                "{name}"
            );
        }
        let messages = [
            (
                &exchange.client_first,
                &exchange.server_first,
                &recorded.first,
            ),
            (
                &exchange.client_second,
                &exchange.server_second,
                &recorded.second,
            ),
        ];
        for (theirs, ours, plain) in messages {
            if let (Some(theirs), Some(ours)) = (theirs, ours) {
                assert_eq!(context.open(&theirs.0), Ok(plain.0.clone()), "{name}");
                let sealed = context.seal(&plain.0).expect(name);
                assert_eq!(
                    (sealed.octets, sealed.signature),
                    (ours.0.clone(), 16),
                    "{name}"
                );
            } else {
                assert_eq!(context.open(b""), Err(SealError), "{name}");
                assert_eq!(context.seal(b"x"), Err(SealError), "{name}");
            }
        }
    }
}

#[test]
fn the_channel_that_pyspnego_names_is_known_again() {
    let recorded = recorded();
    let hash = keys::channel_hash(&recorded.binding.0);
    for exchange in &recorded.exchange {
        let message = super::message::Authenticate::decode(&exchange.authenticate.0);
        let channel = message.expect("a message").response.channel;
        assert_eq!(channel, exchange.bound.then_some(hash), "{}", exchange.name);
    }
}

#[test]
fn pyspnego_accepts_what_the_client_of_the_tests_sends() {
    let Recorded {
        accepted, first, ..
    } = recorded();
    let client = Client::new("alice", "Password");
    assert_eq!(client.negotiate(), accepted.negotiate.0);
    let (authenticate, mut context) = client.authenticate(&accepted.challenge.0);
    assert_eq!(authenticate, accepted.authenticate.0, "{authenticate:02x?}");
    assert_eq!(context.open(&accepted.server_first.0), Ok(first.0));
}

const NONCE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
