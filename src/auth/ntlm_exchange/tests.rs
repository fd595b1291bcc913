use std::time::Duration;

use super::*;
use crate::auth::Bound;
use crate::auth::ChannelBinding;
use crate::config::ChannelBindingLevel;
use crate::config::Settings;
use crate::mechanism::ntlm::client::CURL;
use crate::mechanism::ntlm::client::Client;
use crate::mechanism::ntlm::client::Mic;
use crate::vault::Vault;

struct Bench {
    folder: tempfile::TempDir,
    ntlm: Ntlm,
}

/// A service with an account `alice`, whose settings are not the usual ones.
fn bench(change: impl FnOnce(&mut AccessSettings)) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let users = Users::open(&folder.path().join("users")).expect("opened");
    let users = users
        .with_vault(Arc::new(Vault::for_test(1)))
        .expect("a vault");
    users.add_for_ntlm("alice", "Password").expect("added");
    users.add("bob", "Password").expect("added");
    let mut settings = Settings::default();
    change(&mut settings.access);
    let settings = Arc::new(Current::new(settings));
    Bench {
        folder,
        ntlm: Ntlm::new(Arc::new(users), settings),
    }
}

fn peer(channel: Channel) -> Peer {
    Peer {
        address: ([127, 0, 0, 1], 9).into(),
        channel,
        certificate: None,
    }
}

fn tls() -> Channel {
    Channel::Tls(ChannelBinding::of_end_point(b"ours"))
}

/// The hash by which a client names the server with this certificate.
fn channel_of(certificate: &[u8]) -> [u8; 16] {
    let binding = ChannelBinding::of_end_point(certificate);
    let parts = [&[0; 16][..], &53_u32.to_le_bytes(), binding.octets()].concat();
    <md5::Md5 as md5::Digest>::digest(parts).into()
}

async fn challenged(exchange: &mut Box<dyn Exchange>, client: &Client) -> Vec<u8> {
    match exchange.step(&client.negotiate()).await.expect("a leg") {
        Leg::Continue(challenge) => challenge,
        Leg::Done(_) => panic!("nothing is proved yet"),
    }
}

/// What a log-on over `channel` comes to: the account, how it is bound, and
/// who is claimed.
async fn log_on_over(
    bench: &Bench,
    channel: Channel,
    client: &Client,
) -> (Result<(String, Bound), AuthError>, Option<String>) {
    let mut exchange = bench.ntlm.start(&peer(channel));
    let challenge = challenged(&mut exchange, client).await;
    let (authenticate, mut context) = client.authenticate(&challenge);
    let done = match exchange.step(&authenticate).await {
        Ok(Leg::Done(mut proven)) => {
            assert!(proven.token.is_none());
            if let Ok(sealed) = context.seal(b"request") {
                let opened = proven.context.open(&sealed.octets);
                assert_eq!(opened, Ok(b"request".to_vec()));
            }
            Ok((proven.account.to_string(), proven.bound))
        }
        Ok(Leg::Continue(_)) => panic!("there is no third message"),
        Err(error) => Err(error),
    };
    (done, exchange.claimed().map(str::to_owned))
}

async fn log_on(bench: &Bench, client: &Client) -> Result<String, AuthError> {
    let (done, _) = log_on_over(bench, Channel::Plain, client).await;
    done.map(|(account, _)| account)
}

/// All that a client can do about the integrity code.
fn with_each_mic(client: &Client) -> [Client; 4] {
    [Mic::Sent, Mic::Zero, Mic::Missing, Mic::None].map(|mic| Client {
        mic,
        ..client.clone()
    })
}

#[tokio::test]
async fn the_right_password_logs_on_with_and_without_integrity_code() {
    let bench = bench(|_| {});
    let right = Client::new("alice", "Password");
    assert_eq!(log_on(&bench, &right).await, Ok("alice".to_owned()));
    let right = right.without_mic();
    assert_eq!(log_on(&bench, &right).await, Ok("alice".to_owned()));
    let curl = Client {
        flags: CURL,
        ..right
    };
    assert_eq!(log_on(&bench, &curl).await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn a_wrong_password_is_refused_in_every_case() {
    for needs_mic in [false, true] {
        let bench = bench(|access| {
            access.require_ntlm_mic = needs_mic;
            access.channel_binding = ChannelBindingLevel::None;
        });
        for channel in [Channel::Plain, tls()] {
            for user in ["alice", "bob", "nobody", "alice@x"] {
                for flags in [crate::mechanism::ntlm::client::SEALING, CURL] {
                    let mut wrong = Client::new(user, "password");
                    wrong.flags = flags;
                    for wrong in with_each_mic(&wrong) {
                        let (done, claimed) = log_on_over(&bench, channel.clone(), &wrong).await;
                        assert_eq!(done, Err(AuthError::Refused), "{user} {:?}", wrong.mic);
                        let known = match user {
                            "alice" | "alice@x" => Some("alice"),
                            "bob" => Some("bob"),
                            _ => None,
                        };
                        assert_eq!(claimed.as_deref(), known);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn an_announced_integrity_code_must_be_there_and_right() {
    let bench = bench(|_| {});
    let [sent, zero, missing, none] = with_each_mic(&Client::new("alice", "Password"));
    assert!(log_on(&bench, &sent).await.is_ok());
    assert!(log_on(&bench, &none).await.is_ok());
    assert_eq!(log_on(&bench, &zero).await, Err(AuthError::Refused));
    assert_eq!(log_on(&bench, &missing).await, Err(AuthError::Refused));
}

#[tokio::test]
async fn flags_that_were_changed_on_their_way_are_found_by_the_integrity_code() {
    let bench = bench(|_| {});
    let client = Client::new("alice", "Password");
    let mut exchange = bench.ntlm.start(&peer(Channel::Plain));
    let mut weakened = client.clone();
    weakened.flags &= !0x30;
    let challenge = challenged(&mut exchange, &weakened).await;
    let (authenticate, _) = client.authenticate(&challenge);
    let answer = exchange.step(&authenticate).await.map(|_| ());
    assert_eq!(answer, Err(AuthError::Refused));
}

#[tokio::test]
async fn a_client_without_integrity_code_can_be_refused() {
    let bench = bench(|access| access.require_ntlm_mic = true);
    let [sent, zero, missing, none] = with_each_mic(&Client::new("alice", "Password"));
    assert!(log_on(&bench, &sent).await.is_ok());
    for without in [zero, missing, none] {
        assert_eq!(log_on(&bench, &without).await, Err(AuthError::Refused));
    }
}

#[tokio::test]
async fn any_domain_is_taken_and_the_likeliest_account_is_meant() {
    let bench = bench(|_| {});
    bench
        .ntlm
        .users
        .add_for_ntlm("CORP\\alice", "Other")
        .expect("added");
    bench
        .ntlm
        .users
        .add_for_ntlm("carol@example.org", "Third")
        .expect("added");
    bench
        .ntlm
        .users
        .add_for_ntlm("carol", "Fourth")
        .expect("added");
    for (domain, user, password, account) in [
        ("", "alice", "Password", Some("alice")),
        ("HOST", "alice", "Password", Some("alice")),
        ("anything.at.all", "alice", "Password", Some("alice")),
        ("CORP", "alice", "Other", Some("CORP\\alice")),
        ("CORP", "alice", "Password", None),
        ("corp", "alice", "Password", Some("alice")),
        ("", "alice@EXAMPLE.ORG", "Password", Some("alice")),
        ("", "carol@example.org", "Third", Some("carol@example.org")),
        ("", "carol@example.org", "Fourth", None),
        ("", "carol@other.org", "Fourth", Some("carol")),
        ("", "ALICE", "Password", None),
    ] {
        let client = Client {
            domain: domain.to_owned(),
            ..Client::new(user, password)
        };
        let done = log_on(&bench, &client).await;
        assert_eq!(done.ok().as_deref(), account, "{domain} {user}");
    }
}

#[tokio::test]
async fn the_channel_is_judged_once_the_password_was_right() {
    let right = Client::new("alice", "Password");
    let naming = |channel| Client {
        channel,
        ..right.clone()
    };
    let (this, other) = (
        naming(Some(channel_of(b"ours"))),
        naming(Some(channel_of(b"theirs"))),
    );
    let (none, zero) = (naming(None), naming(Some([0; 16])));
    let (unbound, wrong) = (Err(AuthError::Unbound), Err(AuthError::WrongBinding));
    for (level, of_none, of_other) in [
        (ChannelBindingLevel::None, Ok(Bound::No), Ok(Bound::No)),
        (ChannelBindingLevel::Relaxed, Ok(Bound::No), wrong),
        (ChannelBindingLevel::Strict, unbound, wrong),
    ] {
        let bench = bench(|access| access.channel_binding = level);
        for (client, expected) in [
            (&this, Ok(Bound::Yes)),
            (&none, of_none),
            (&zero, of_none),
            (&other, of_other),
        ] {
            let (done, _) = log_on_over(&bench, tls(), client).await;
            assert_eq!(done.map(|(_, bound)| bound), expected, "{level:?}");
            let guess = Client {
                password: "password".to_owned(),
                ..client.clone()
            };
            let (done, claimed) = log_on_over(&bench, tls(), &guess).await;
            assert_eq!(done, Err(AuthError::Refused), "{level:?}");
            assert_eq!(claimed.as_deref(), Some("alice"));
        }
        let (done, _) = log_on_over(&bench, Channel::Plain, &none).await;
        assert_eq!(done.map(|(_, bound)| bound), Ok(Bound::NotApplicable));
    }
}

#[tokio::test]
async fn a_proof_for_another_challenge_is_a_wrong_one() {
    let bench = bench(|_| {});
    let client = Client::new("alice", "Password").without_mic();
    let mut first = bench.ntlm.start(&peer(Channel::Plain));
    let mut second = bench.ntlm.start(&peer(Channel::Plain));
    let challenge = challenged(&mut first, &client).await;
    assert_ne!(challenged(&mut second, &client).await, challenge);
    let (authenticate, _) = client.authenticate(&challenge);
    let carried_over = second.step(&authenticate).await.map(|_| ());
    assert_eq!(carried_over, Err(AuthError::Refused));
    assert!(first.step(&authenticate).await.is_ok());
    let again = first.step(&authenticate).await.map(|_| ());
    assert_eq!(again, Err(AuthError::Malformed));
}

#[tokio::test]
async fn messages_out_of_turn_are_no_log_on() {
    let bench = bench(|_| {});
    let client = Client::new("alice", "Password");
    let mut exchange = bench.ntlm.start(&peer(Channel::Plain));
    let challenge = challenged(&mut exchange, &client).await;
    let twice = exchange.step(&client.negotiate()).await.map(|_| ());
    assert_eq!(twice, Err(AuthError::Malformed));
    let (authenticate, _) = client.authenticate(&challenge);
    let late = exchange.step(&authenticate).await.map(|_| ());
    assert_eq!(late, Err(AuthError::Malformed));

    let mut exchange = bench.ntlm.start(&peer(Channel::Plain));
    let first = exchange.step(&authenticate).await.map(|_| ());
    assert_eq!(first, Err(AuthError::Malformed));
    let mut exchange = bench.ntlm.start(&peer(Channel::Plain));
    let mut weak = client;
    weak.flags &= !0x0008_0000;
    let weak = exchange.step(&weak.negotiate()).await.map(|_| ());
    assert_eq!(weak, Err(AuthError::Malformed));
    assert_eq!(exchange.claimed(), None);
}

#[tokio::test]
async fn the_clocks_may_differ_by_36_hours() {
    let bench = bench(|_| {});
    let now = SystemTime::now();
    let hours = |hours: u64| Duration::from_hours(hours);
    for (time, is_taken) in [
        (now - hours(35), true),
        (now + hours(35), true),
        (now - hours(37), false),
        (now + hours(37), false),
    ] {
        let mut client = Client::new("alice", "Password");
        let since_1601 = time.duration_since(SystemTime::UNIX_EPOCH).expect("later")
            + Duration::from_hours(3_234_576);
        client.time = Some(u64::try_from(since_1601.as_nanos() / 100).expect("small"));
        let done = log_on(&bench, &client).await;
        assert_eq!(done.is_ok(), is_taken, "{time:?}");
    }
}

#[tokio::test]
async fn it_is_available_when_it_is_switched_on_and_somebody_can_use_it() {
    let bench = bench(|_| {});
    let mut access = AccessSettings::default();
    assert!(bench.ntlm.is_available(&access));
    access.ntlm = false;
    assert!(!bench.ntlm.is_available(&access));
    access.ntlm = true;
    // A switch of schemes: CredSSP does without.
    access.negotiate = false;
    assert!(bench.ntlm.is_available(&access));
    bench.ntlm.users.remove("alice").expect("removed");
    assert!(!bench.ntlm.is_available(&access), "bob has no NT hash");
}

#[tokio::test]
async fn a_changed_password_counts_at_once_and_a_hash_of_another_key_never() {
    let bench = bench(|_| {});
    let client = Client::new("alice", "Password");
    let users = &bench.ntlm.users;
    users.add_for_ntlm("alice", "Other").expect("replaced");
    assert_eq!(log_on(&bench, &client).await, Err(AuthError::Refused));
    let other = Client::new("alice", "Other");
    assert_eq!(log_on(&bench, &other).await, Ok("alice".to_owned()));
    users.add("alice", "Other").expect("replaced");
    assert_eq!(log_on(&bench, &other).await, Err(AuthError::Refused));

    let path = bench.folder.path().join("users");
    let elsewhere = Users::open(&path).expect("opened");
    let elsewhere = elsewhere.with_vault(Arc::new(Vault::for_test(2)));
    let elsewhere = elsewhere.expect("a vault");
    elsewhere.add_for_ntlm("alice", "Other").expect("replaced");
    let (done, claimed) = log_on_over(&bench, Channel::Plain, &other).await;
    assert_eq!(done, Err(AuthError::Refused));
    assert_eq!(claimed.as_deref(), Some("alice"));
}
