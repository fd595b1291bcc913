//! A client of rustls plays its part against the acceptor; the log-on within
//! is one of a script.

use std::io::Write as _;

use proptest::prelude::*;
use rustls::ClientConnection;
use rustls::ProtocolVersion;
use rustls::sign::CertifiedKey;
use rustls::version::TLS12;
use rustls::version::TLS13;

use super::*;
use crate::auth::Identity;
use crate::auth::Parts;
use crate::auth::Seal as _;
use played::Client;
use played::NONCE;
use played::RSA;
use played::Script;
use played::credssp;
use played::identity;
use played::peer;
use played::receive;
use played::records;
use played::send;

mod played;

/// `TSCredentials` with an empty password, and of another name: carol.
const PASSWORD: &[u8] = b"\x30\x21\xa0\x03\x02\x01\x01\xa1\x1a\x04\x18\x30\x16\xa0\x02\x04\x00\
      \xa1\x0c\x04\x0ac\0a\0r\0o\0l\0\xa2\x02\x04\x00";

const SMART_CARD: &[u8] = b"\x30\x0b\xa0\x03\x02\x01\x02\xa1\x04\x04\x02\x30\x00";

const LOGON_FAILURE: Option<u32> = Some(0xC000_006D);

#[tokio::test]
async fn a_client_logs_on_by_tls_1_2_and_1_3() {
    for (protocol, version) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let (tls, proven) = Client::through(&credssp(), protocol).await;
        assert_eq!(tls.protocol_version(), Some(version));
        assert_eq!(&*proven.account, "alice");
        assert_eq!(proven.token, None);
        assert_eq!(proven.bound, Bound::NotApplicable);
        assert_eq!(proven.context.parts(), Parts::Pieces);
    }
}

#[tokio::test]
async fn versions_from_5_on_are_taken() {
    for version in [5, 6, 7, u32::MAX] {
        let mut client = Client::connected(&credssp(), &TLS13).await;
        client.version = version;
        client.ask(&client.nego(b"hello")).await.expect("taken");
        client.show(Some(b"proof")).await.expect("taken");
        assert!(client.delegate(PASSWORD).await.is_ok(), "{version}");
    }
}

#[tokio::test]
async fn older_versions_are_refused_and_told_so_if_they_know_how() {
    for (version, status) in [
        (0, None),
        (2, None),
        (3, Some(0xC000_0059)),
        (4, Some(0xC000_0059)),
    ] {
        let mut client = Client::connected(&credssp(), &TLS12).await;
        client.version = version;
        let refused = client.refused(&client.nego(b"hello")).await;
        assert_eq!(refused, (AuthError::Malformed, status), "{version}");
    }
}

#[tokio::test]
async fn the_log_on_within_may_end_before_the_key_is_shown() {
    let mut client = Client::connected(&credssp(), &TLS13).await;
    let answer = client.ask(&client.nego(b"ticket")).await.expect("taken");
    let answer = TsRequest::decode(&answer).expect("a message");
    assert_eq!(answer.nego_token, Some(&b"reply"[..]));
    assert_eq!(client.show(None).await.expect("taken"), b"");
    assert!(client.delegate(PASSWORD).await.is_ok());

    let mut client = Client::connected(&credssp(), &TLS13).await;
    let answer = client.ask(&client.nego(b"raw proof")).await.expect("taken");
    let answer = TsRequest::decode(&answer).expect("a message");
    assert_eq!(answer.nego_token, Some(&b""[..]));
    assert_eq!(client.show(Some(b"")).await.expect("taken"), b"");
    assert!(client.delegate(PASSWORD).await.is_ok());

    let mut client = Client::connected(&credssp(), &TLS13).await;
    assert_eq!(client.show(Some(b"raw proof")).await.expect("taken"), b"");
    assert!(client.delegate(PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_message_may_come_with_the_end_of_the_handshake() {
    for protocol in [&TLS12, &TLS13] {
        let mut client = Client::new(&credssp(), protocol);
        let hello = client.records();
        let Ok(Leg::Continue(token)) = client.attempt.step(&hello).await else {
            panic!("a handshake");
        };
        client.feed(&token);
        // By TLS 1.2 it waits until the server has ended the handshake.
        let message = client.nego(b"hello").encode().expect("written");
        let token = client.token_of(&message);
        let Ok(Leg::Continue(token)) = client.attempt.step(&token).await else {
            panic!("a handshake");
        };
        let mut answer = receive(&mut client.tls, &token).expect("records");
        if protocol.version == ProtocolVersion::TLSv1_2 {
            let token = client.records();
            let Ok(Leg::Continue(token)) = client.attempt.step(&token).await else {
                panic!("an answer");
            };
            answer = receive(&mut client.tls, &token).expect("records");
        }
        let answer = TsRequest::decode(&answer).expect("a message");
        assert_eq!(answer.nego_token, Some(&b"challenge"[..]));
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_with_the_reason() {
    for (version, status) in [(5, None), (6, LOGON_FAILURE)] {
        let mut client = Client::connected(&credssp(), &TLS13).await;
        client.version = version;
        client.ask(&client.nego(b"hello")).await.expect("taken");
        let refused = client.refused(&client.nego(b"lie")).await;
        assert_eq!(refused, (AuthError::Refused, status));
        assert_eq!(client.attempt.claimed(), Some("alice"));
    }
}

#[tokio::test]
async fn who_shall_come_again_hears_nothing_of_his_password() {
    let mut client = Client::connected(&credssp(), &TLS13).await;
    let refused = client.refused(&client.nego(b"later")).await;
    assert_eq!(refused, (AuthError::Busy, None));
}

#[tokio::test]
async fn a_log_on_that_somebody_passes_on_is_refused() {
    let other = [1; 256];
    let ours = Client::at_key(&credssp()).await.public_key();
    for (key, direction, nonce) in [
        (&other[..], CLIENT_TO_SERVER, NONCE),
        (&ours, SERVER_TO_CLIENT, NONCE),
        (&ours, CLIENT_TO_SERVER, [8; 32]),
    ] {
        let mut client = Client::at_key(&credssp()).await;
        let hash = binding(direction, &nonce, key);
        let sealed = client.keys.seal(hash.as_ref()).expect("sealed").octets;
        let message = TsRequest {
            pub_key_auth: Some(&sealed),
            client_nonce: Some(&NONCE),
            ..client.nothing()
        };
        let refused = client.refused(&message).await;
        assert_eq!(refused, (AuthError::WrongBinding, LOGON_FAILURE));
    }
    // As before version 5: the key itself.
    let mut client = Client::at_key(&credssp()).await;
    let sealed = client.keys.seal(&ours).expect("sealed").octets;
    let message = TsRequest {
        pub_key_auth: Some(&sealed),
        client_nonce: Some(&NONCE),
        ..client.nothing()
    };
    let refused = client.refused(&message).await;
    assert_eq!(refused, (AuthError::WrongBinding, LOGON_FAILURE));
}

#[tokio::test]
async fn what_the_log_on_within_has_not_sealed_is_refused() {
    let mut client = Client::at_key(&credssp()).await;
    let message = TsRequest {
        pub_key_auth: Some(b"\0"),
        client_nonce: Some(&NONCE),
        ..client.nothing()
    };
    let refused = client.refused(&message).await;
    assert_eq!(refused, (AuthError::Refused, LOGON_FAILURE));

    let mut client = Client::at_password(&credssp()).await;
    let message = TsRequest {
        auth_info: Some(PASSWORD),
        ..client.nothing()
    };
    let refused = client.refused(&message).await;
    assert_eq!(refused, (AuthError::Refused, LOGON_FAILURE));
}

#[tokio::test]
async fn parts_that_have_no_place_are_refused() {
    let refusal = (AuthError::Malformed, LOGON_FAILURE);
    let credssp = credssp();

    let nothing = Client::connected(&credssp, &TLS13).await.nothing();
    let (sealed, wrong) = (vec![0; 64], Some(&b"wrong"[..]));
    let nego = TsRequest {
        nego_token: Some(b"hello"),
        ..nothing
    };
    for message in [
        nothing,
        TsRequest {
            auth_info: Some(&sealed),
            ..nego
        },
        TsRequest {
            auth_info: Some(&sealed),
            ..nothing
        },
        TsRequest {
            pub_key_auth: Some(&sealed),
            client_nonce: Some(&NONCE),
            ..nothing
        },
        // The log-on within is not over.
        TsRequest {
            pub_key_auth: Some(&sealed),
            client_nonce: Some(&NONCE),
            ..nego
        },
        TsRequest {
            error_code: Some(0),
            ..nego
        },
    ] {
        let mut client = Client::connected(&credssp, &TLS13).await;
        assert_eq!(client.refused(&message).await, refusal, "{message:?}");
    }

    for at in 0..6 {
        let mut client = Client::at_key(&credssp).await;
        let seen = client.seen();
        let right = TsRequest {
            pub_key_auth: Some(&seen),
            client_nonce: Some(&NONCE),
            ..nothing
        };
        let message = match at {
            0 => TsRequest {
                client_nonce: None,
                ..right
            },
            1 => TsRequest {
                auth_info: Some(&sealed),
                ..right
            },
            2 => TsRequest {
                pub_key_auth: None,
                auth_info: Some(&sealed),
                ..right
            },
            3 => TsRequest {
                nego_token: wrong,
                ..right
            },
            4 => TsRequest {
                error_code: Some(1),
                ..right
            },
            _ => TsRequest {
                version: 5,
                ..right
            },
        };
        assert_eq!(client.refused(&message).await, refusal, "{message:?}");
    }

    for at in 0..5 {
        let mut client = Client::at_password(&credssp).await;
        let sealed = client.keys.seal(PASSWORD).expect("sealed").octets;
        let right = TsRequest {
            auth_info: Some(&sealed),
            ..nothing
        };
        let message = match at {
            0 => nothing,
            1 => TsRequest {
                nego_token: wrong,
                ..right
            },
            2 => TsRequest {
                pub_key_auth: wrong,
                ..right
            },
            3 => TsRequest {
                error_code: Some(1),
                ..right
            },
            _ => TsRequest {
                version: 7,
                ..right
            },
        };
        assert_eq!(client.refused(&message).await, refusal, "{message:?}");
    }
}

#[tokio::test]
async fn only_a_password_is_taken() {
    for (credentials, status) in [
        (SMART_CARD, 0xC000_00BB),
        (&PASSWORD[..30], 0xC000_006D),
        (b"", 0xC000_006D),
    ] {
        let mut client = Client::at_password(&credssp()).await;
        let sealed = client.keys.seal(credentials).expect("sealed").octets;
        let message = TsRequest {
            auth_info: Some(&sealed),
            ..client.nothing()
        };
        let refused = client.refused(&message).await;
        assert_eq!(refused, (AuthError::Malformed, Some(status)));
    }
}

#[tokio::test]
async fn what_is_no_message_within_tls_is_refused() {
    let long = vec![0x30; 40_000];
    for octets in [&b"garbage"[..], &long, b"\0"] {
        let mut client = Client::connected(&credssp(), &TLS13).await;
        let token = client.token_of(octets);
        let refused = client.refused_token(&token).await;
        assert_eq!(refused, (AuthError::Malformed, None));

        let mut client = Client::at_key(&credssp()).await;
        let token = client.token_of(octets);
        let refused = client.refused_token(&token).await;
        assert_eq!(refused, (AuthError::Malformed, LOGON_FAILURE));
    }
}

#[tokio::test]
async fn a_message_is_one_token() {
    let mut client = Client::connected(&credssp(), &TLS12).await;
    let message = client.nego(b"hello").encode().expect("written");
    let token = client.token_of(&message[..10]);
    let refused = client.refused_token(&token).await;
    assert_eq!(refused, (AuthError::Malformed, None));

    // One that fills several records is.
    let mut client = Client::connected(&credssp(), &TLS12).await;
    let long = vec![0; 40_000];
    let refused = client.refused(&client.nego(&long)).await;
    assert_eq!(refused, (AuthError::Refused, LOGON_FAILURE));
}

#[tokio::test]
async fn what_is_no_tls_is_refused_with_an_alert() {
    let credssp = credssp();
    let mut client = Client::new(&credssp, &TLS13);
    let answer = client.attempt.step(b"\x16\x03\x01\0\x04\x01\0\0\0").await;
    assert!(matches!(answer, Err(AuthError::Malformed)));
    let alert = client.attempt.farewell().expect("an alert");
    assert_eq!(alert[0], 21);

    for token in [
        &b"hello"[..],
        b"",
        b"\x16\x03\x01\0\x05hell",
        b"\x16\x03\x01\xff\xff",
    ] {
        let mut client = Client::new(&credssp, &TLS13);
        let answer = client.attempt.step(token).await;
        assert!(matches!(answer, Err(AuthError::Malformed)));
        assert_eq!(client.attempt.farewell(), None);
    }

    // A client of TLS 1.3 alone has no session to resume, and gets no ticket.
    let mut client = Client::new(&credssp, &TLS13);
    let hello = client.records();
    let Ok(Leg::Continue(token)) = client.attempt.step(&hello).await else {
        panic!("a handshake");
    };
    client.feed(&token);
    let end = client.records();
    let answer = client.attempt.step(&end).await;
    assert!(matches!(answer, Ok(Leg::Continue(token)) if token.is_empty()));
}

#[tokio::test]
async fn an_alert_of_the_client_ends_the_attempt() {
    for protocol in [&TLS12, &TLS13] {
        let mut client = Client::connected(&credssp(), protocol).await;
        client.ask(&client.nego(b"hello")).await.expect("taken");
        client.tls.send_close_notify();
        let token = client.records();
        let answer = client.attempt.step(&token).await;
        assert!(matches!(answer, Err(AuthError::Malformed)));
    }
}

#[tokio::test]
async fn legs_are_numbered() {
    let mut client = Client::connected(&credssp(), &TLS13).await;
    let before = 2;
    for _ in before..MAX_LEGS {
        client.ask(&client.nego(b"hello")).await.expect("taken");
    }
    let refused = client.refused(&client.nego(b"hello")).await;
    assert_eq!(refused, (AuthError::Malformed, LOGON_FAILURE));
}

#[tokio::test]
async fn the_log_on_within_knows_of_no_channel() {
    let script = Script::default();
    let peers = Arc::clone(&script.peers);
    let credssp = CredSsp::new(
        Arc::new(script),
        CurrentIdentity::for_test(),
        Arc::new(|_, _| false),
    );
    let _attempt = credssp.start(&peer());
    let peers = peers.lock().expect("no panic");
    assert_eq!(peers[0].channel, Channel::Plain);
    assert_eq!(peers[0].address, peer().address);
}

#[test]
fn it_is_offered_where_the_log_on_within_is_there() {
    let mechanism = credssp().mechanism();
    for (negotiate, credssp) in [(false, false), (false, true), (true, false), (true, true)] {
        let access = AccessSettings {
            negotiate,
            credssp,
            ..AccessSettings::default()
        };
        assert_eq!((mechanism.is_in_force)(&access), negotiate && credssp);
    }
    assert!(!AccessSettings::default().credssp);
}

/// pyspnego 0.12.4 binds to no other key than one of RSA.
#[tokio::test]
async fn a_client_is_shown_an_rsa_key_whatever_the_service_has() {
    let current = Arc::new(CurrentIdentity::new(identity(&RSA)));
    let credssp = CredSsp::new(
        Arc::new(Script::default()),
        Arc::clone(&current),
        Arc::new(|_, _| false),
    );
    let own = |key: &Arc<CertifiedKey>| {
        let (_, parsed) = x509_parser::parse_x509_certificate(&key.cert[0]).expect("X.509");
        parsed.public_key().subject_public_key.data.to_vec()
    };
    let seen = Client::connected(&credssp, &TLS12).await.public_key();
    assert_eq!(seen, own(&RSA));

    // A new one counts from the next attempt on.
    let mut before = Client::at_key(&credssp).await;
    let other = certificate::make().expect("made");
    current.set(identity(&other));
    let seen = Client::connected(&credssp, &TLS12).await.public_key();
    assert_eq!(seen, own(&other));
    before.show(None).await.expect("the one that it has seen");
    assert!(before.delegate(PASSWORD).await.is_ok());

    let ecdsa = CurrentIdentity::for_test().get();
    current.set(Identity::clone(&ecdsa));
    for protocol in [&TLS12, &TLS13] {
        let (tls, _) = Client::through(&credssp, protocol).await;
        let chain = tls.peer_certificates().expect("a certificate");
        let (_, parsed) = x509_parser::parse_x509_certificate(&chain[0]).expect("X.509");
        let key = parsed.public_key().parsed().expect("a key");
        assert!(matches!(key, x509_parser::public_key::PublicKey::RSA(_)));
    }
    let mut keys = Vec::new();
    for _ in 0..2 {
        keys.push(Client::connected(&credssp, &TLS13).await.public_key());
    }
    assert_eq!(keys[0], keys[1], "made anew");
}

#[tokio::test]
async fn messages_of_a_mebibyte_go_both_ways_in_pieces() {
    for (protocol, trailer) in [(&TLS12, 16), (&TLS13, 17)] {
        let (mut tls, mut proven) = Client::through(&credssp(), protocol).await;
        let text: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
        for piece in text.chunks(16 * 1_024) {
            let sealed = proven.context.seal(piece).expect("sealed");
            assert_eq!(sealed.signature, trailer);
            assert_ne!(sealed.octets[5..105], piece[..100]);
            let opened = receive(&mut tls, &sealed.octets).expect("opened");
            assert!(opened == piece);
            let message = send(&mut tls, piece);
            let opened = proven.context.open(&message).expect("opened");
            assert!(opened == piece);
        }
        // And whole, for whoever does not cut.
        let sealed = proven.context.seal(&text).expect("sealed");
        assert!(receive(&mut tls, &sealed.octets).expect("opened") == text);
        assert_eq!(proven.context.seal(b""), Err(SealError));
    }
}

#[tokio::test]
async fn a_message_that_is_not_the_next_one_ends_the_context() {
    type Change = fn(&mut ClientConnection, Vec<u8>) -> Vec<u8>;
    let changes: [(&str, Change); 9] = [
        ("tampered", |_, mut message| {
            let last = message.len() - 1;
            message[last] ^= 1;
            message
        }),
        ("cut", |_, message| message[..message.len() - 1].to_vec()),
        ("longer", |_, mut message| {
            message.push(0);
            message
        }),
        ("empty", |_, _| Vec::new()),
        ("skipped", |tls, _| send(tls, b"next")),
        ("closed", |tls, mut message| {
            tls.send_close_notify();
            message.append(&mut records(tls));
            message
        }),
        ("of another type", |_, mut message| {
            message[0] = 22;
            message
        }),
        ("with a record behind it", |_, mut message| {
            message.extend(b"\x14\x03\x03\0\x01\x01");
            message
        }),
        ("plain", |_, _| b"text".to_vec()),
    ];
    for protocol in [&TLS12, &TLS13] {
        for (name, change) in changes {
            let (mut tls, mut proven) = Client::through(&credssp(), protocol).await;
            let message = send(&mut tls, b"text");
            let message = change(&mut tls, message);
            assert_eq!(proven.context.open(&message), Err(SealError), "{name}");
            let next = send_again(&mut tls);
            assert_eq!(proven.context.open(&next), Err(SealError), "{name}");
            assert_eq!(proven.context.seal(b"text"), Err(SealError), "{name}");
        }
        let (mut tls, mut proven) = Client::through(&credssp(), protocol).await;
        let message = send(&mut tls, b"text");
        assert_eq!(proven.context.open(&message), Ok(b"text".to_vec()));
        assert_eq!(proven.context.open(&message), Err(SealError), "replayed");
    }
}

/// A right message, as far as the client can still make one.
fn send_again(tls: &mut ClientConnection) -> Vec<u8> {
    let _ = tls.writer().write_all(b"text");
    records(tls)
}

#[tokio::test]
async fn new_keys_are_not_taken() {
    let (mut tls, mut proven) = Client::through(&credssp(), &TLS13).await;
    tls.refresh_traffic_keys().expect("TLS 1.3");
    let message = send(&mut tls, b"text");
    assert_eq!(proven.context.open(&message), Err(SealError));
}

#[tokio::test]
async fn a_message_of_another_connection_is_not_taken() {
    let credssp = credssp();
    let (mut tls, _) = Client::through(&credssp, &TLS13).await;
    let (_, mut other) = Client::through(&credssp, &TLS13).await;
    let message = send(&mut tls, b"text");
    assert_eq!(other.context.open(&message), Err(SealError));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_token_makes_the_acceptor_panic(token: Vec<u8>, at: prop::sample::Index, octet: u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let credssp = credssp();
            let mut client = Client::new(&credssp, &TLS13);
            let mut hello = client.records();
            prop_assert!(client.attempt.step(&token).await.is_err());

            let mut attempt = credssp.start(&peer());
            let at = at.index(hello.len());
            hello[at] ^= octet;
            if attempt.step(&hello).await.is_err() {
                let alert = attempt.farewell();
                prop_assert!(alert.is_none_or(|alert| alert[0] == 21));
            }
            Ok(())
        })?;
    }
}
