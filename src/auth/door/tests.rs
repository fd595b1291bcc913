use std::future::Future as _;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::time::SystemTime;

use super::super::Bound;
use super::super::ChannelBinding;
use super::super::LoggedOn;
use super::super::Parts;
use super::super::Principal;
use super::super::Proved;
use super::super::Scope;
use super::super::Seal;
use super::super::SealError;
use super::super::Sealed;
use super::super::Stepping;
use super::super::client_certificate::tests::AUTHORITIES;
use super::super::client_certificate::tests::certificate;
use super::super::lockout::Moment;
use super::*;
use crate::config::CertificateMapping;
use crate::config::Settings;

mod lockout;

/// A mechanism of two legs, as NTLM is: `one`, then `two`.
struct TwoLegs {
    has_begun: bool,
}

/// Seals nothing; that of a log-on by this mechanism within its scheme.
struct NoSeal(Option<Within>);

impl Seal for NoSeal {
    fn mechanism(&self) -> Option<Within> {
        self.0
    }

    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
        Ok(Sealed {
            signature: 0,
            octets: plain.to_vec(),
        })
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(message.to_vec())
    }

    fn parts(&self) -> Parts {
        Parts::Whole
    }
}

impl Acceptor for TwoLegs {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            let within = match (token, std::mem::replace(&mut self.has_begun, true)) {
                ("one", false) => return Ok(Step::Continue("prove-it".to_owned())),
                ("two", true) => None,
                ("two-by-ntlm", true) => Some(Within::Ntlm),
                ("two-by-kerberos", true) => Some(Within::Kerberos),
                _ => return Err(AuthError::Refused),
            };
            Ok(Step::Done(LoggedOn {
                who: Proved::Account(Arc::from("alice")),
                token: Some("welcome".to_owned()),
                holds: Holds::Connection(Some(Box::new(NoSeal(within)))),
                proof: Proof::Fresh,
                bound: Bound::NotApplicable,
            }))
        })
    }

    fn claimed(&self) -> Option<&str> {
        None
    }
}

/// A mechanism that refuses everybody, and says why.
struct Explains;

impl Acceptor for Explains {
    fn step<'a>(&'a mut self, _token: &'a str) -> Stepping<'a> {
        Box::pin(async { Err(AuthError::Refused) })
    }

    fn claimed(&self) -> Option<&str> {
        None
    }

    fn farewell(&mut self) -> Option<String> {
        Some("because".to_owned())
    }
}

fn door(account: &str) -> Door {
    let two_legs = Mechanism {
        scheme: "Two",
        challenge: Some("Two"),
        offered: Offered::Always,
        is_in_force: Box::new(|access| access.basic),
        start: Box::new(|_| Box::new(TwoLegs { has_begun: false })),
    };
    Door::for_test(vec![two_legs], account)
}

/// A user file with alice.
fn users() -> (tempfile::TempDir, Arc<Users>) {
    let folder = tempfile::tempdir().expect("a folder");
    let users = Arc::new(Users::open(&folder.path().join("users")).expect("opened"));
    users.add("alice", "x").expect("added");
    (folder, users)
}

fn means(users: Arc<Users>, settings: Arc<Current>) -> Means {
    Means {
        users,
        access: Arc::new(Access::new(&settings.get().access)),
        pam: None,
        kerberos: None,
        attempts: Attempts::for_test(&settings, || Moment::of(SystemTime::now())),
        settings,
        identity: CurrentIdentity::for_test(),
    }
}

fn tls() -> Channel {
    Channel::Tls(ChannelBinding::of_end_point(b""))
}

fn connection(channel: Channel) -> ConnectionAuth {
    ConnectionAuth::new(Peer {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        channel,
        certificate: None,
    })
}

#[tokio::test]
async fn a_context_belongs_to_its_connection() {
    let door = door("alice");
    let (own, other) = (connection(Channel::Plain), connection(Channel::Plain));
    let alice = Caller::for_test(&Principal::for_test("alice", Scope::Own));
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
async fn a_context_is_of_no_use_once_its_mechanism_is_switched_off() {
    let door = door("alice");
    let own = connection(Channel::Plain);
    assert!(door.admit(&own, Some("Two one")).await.is_ok());
    assert!(door.admit(&own, Some("Two two")).await.is_ok());
    assert!(door.admit(&own, None).await.is_ok());
    let mut off = Settings::clone(&door.settings.get());
    off.access.basic = false;
    door.settings.set(off);
    assert_eq!(door.admit(&own, None).await, Err(AuthError::Refused));
}

#[tokio::test]
async fn a_log_on_ends_with_its_keys_once_the_mechanism_within_its_scheme_is_switched_off() {
    for (token, is_kerberos) in [("two-by-ntlm", false), ("two-by-kerberos", true)] {
        let (_folder, users) = users();
        let door = Door {
            users,
            ..door("alice")
        };
        let own = connection(Channel::Plain);
        let switch = |ntlm, kerberos| {
            let mut other = Settings::clone(&door.settings.get());
            other.access.ntlm = ntlm;
            other.access.kerberos = kerberos;
            door.settings.set(other);
        };
        assert!(door.admit(&own, Some("Two one")).await.is_ok());
        let leg = door.admit(&own, Some(&format!("Two {token}"))).await;
        assert!(leg.is_ok(), "{token}");
        switch(!is_kerberos, is_kerberos);
        assert!(door.admit(&own, None).await.is_ok(), "{token}");
        switch(is_kerberos, !is_kerberos);
        for _ in 0..2 {
            let answer = door.admit(&own, None).await;
            assert_eq!(answer, Err(AuthError::Refused), "{token}");
            switch(true, true);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_on_may_take_a_minute() {
    let door = door("alice");
    for (seconds, is_taken) in [(59, true), (60, false)] {
        let own = connection(Channel::Plain);
        assert!(door.admit(&own, Some("Two one")).await.is_ok());
        tokio::time::advance(Duration::from_secs(seconds)).await;
        // Nor does a request without a header make it last.
        assert_eq!(door.admit(&own, None).await, Err(AuthError::Refused));
        let answer = door.admit(&own, Some("Two two")).await;
        assert_eq!(answer.is_ok(), is_taken, "{answer:?}");
    }
}

#[tokio::test]
async fn an_account_that_is_removed_before_the_last_leg_is_refused() {
    let (_folder, users) = users();
    let door = Door {
        users,
        ..door("alice")
    };
    let own = connection(Channel::Plain);
    assert!(door.admit(&own, Some("Two one")).await.is_ok());
    door.users.remove("alice").expect("removed");
    let answer = door.admit(&own, Some("Two two-by-ntlm")).await;
    assert_eq!(answer, Err(AuthError::Refused));
    assert_eq!(door.admit(&own, None).await, Err(AuthError::Refused));
    // A principal of a realm has no line.
    assert!(door.admit(&own, Some("Two one")).await.is_ok());
    let answer = door.admit(&own, Some("Two two-by-kerberos")).await;
    assert!(answer.is_ok());
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
async fn a_refusal_may_carry_the_last_token() {
    let explains = Mechanism {
        scheme: "Why",
        challenge: Some("Why"),
        offered: Offered::Always,
        is_in_force: Box::new(|_| true),
        start: Box::new(|_| Box::new(Explains)),
    };
    let door = Door::for_test(vec![explains], "alice");
    let own = connection(Channel::Plain);
    let leg = door.admit(&own, Some("Why x")).await;
    assert_eq!(leg, Ok(Admission::Refused("Why because".to_owned())));
    assert!(own.take_attempt("Why").is_none(), "the attempt goes on");
    assert_eq!(door.admit(&own, None).await, Err(AuthError::Refused));
}

#[tokio::test]
async fn an_account_in_no_list_is_forbidden() {
    let door = door("bob");
    let own = connection(Channel::Plain);
    assert!(door.admit(&own, Some("Two one")).await.is_ok());
    let token = "Two welcome".to_owned();
    assert_eq!(
        door.admit(&own, Some("Two two")).await,
        Ok(Admission::Forbidden(token))
    );
    assert_eq!(door.admit(&own, None).await, Err(AuthError::Forbidden));
}

#[tokio::test]
async fn a_log_on_starts_over_when_somebody_else_logs_on() {
    let door = door("alice");
    let own = connection(Channel::Plain);
    assert!(door.admit(&own, Some("Two one")).await.is_ok());
    assert!(door.admit(&own, Some("Two two")).await.is_ok());
    let failed = door.admit(&own, Some("Two x")).await;
    assert_eq!(failed, Err(AuthError::Refused));
    assert_eq!(door.admit(&own, None).await, Err(AuthError::Refused));
}

#[tokio::test]
async fn basic_is_neither_offered_nor_taken_without_tls() {
    let (_folder, users) = users();
    let access = AccessSettings {
        users: vec!["alice".to_owned()],
        administrators: Vec::new(),
        ..AccessSettings::default()
    };
    let settings = Settings {
        access,
        ..Settings::default()
    };
    let door = Door::new(means(users, Arc::new(Current::new(settings))));
    let (plain, tls) = (connection(Channel::Plain), connection(tls()));
    assert_eq!(door.challenges(plain.peer()).count(), 0);
    assert!(door.challenges(tls.peer()).eq(["Basic realm=\"WSMAN\""]));
    let token = Some("Basic YWxpY2U6eA==");
    assert_eq!(door.admit(&plain, token).await, Err(AuthError::Refused));
    assert!(door.admit(&tls, token).await.is_ok());
    assert!(door.admit(&tls, Some("basic YWxpY2U6eA")).await.is_ok());
    assert_eq!(door.admit(&tls, None).await, Err(AuthError::Refused));
    let mut allowed = Settings::clone(&door.settings.get());
    allowed.access.allow_unencrypted = true;
    door.settings.set(allowed);
    assert!(door.challenges(plain.peer()).eq(["Basic realm=\"WSMAN\""]));
    assert!(door.admit(&plain, token).await.is_ok());
}

/// The connection of the holder of a certificate that the issuer `abc` has
/// signed.
fn certified(name: &str) -> ConnectionAuth {
    ConnectionAuth::new(Peer {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        channel: tls(),
        certificate: Some(Arc::new(certificate(name, b"abc"))),
    })
}

fn mapping(subject: &str, user: &str) -> CertificateMapping {
    CertificateMapping {
        issuer: "a9993e364706816aba3e25717850c26c9cd0d89d".to_owned(),
        subject: subject.to_owned(),
        uri: "*".to_owned(),
        user: user.to_owned(),
        enabled: true,
    }
}

fn with_certificates(mappings: Vec<CertificateMapping>) -> Settings {
    Settings {
        access: AccessSettings {
            users: vec!["alice".to_owned()],
            administrators: vec!["root".to_owned()],
            certificate: true,
            client_ca_certificates: Some(AUTHORITIES.into()),
            certificate_mappings: mappings,
            ..AccessSettings::default()
        },
        ..Settings::default()
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    current: Arc<Current>,
    door: Door,
}

fn bench(settings: Settings) -> Bench {
    let (folder, users) = users();
    let current = Arc::new(Current::new(settings));
    Bench {
        door: Door::new(means(users, Arc::clone(&current))),
        current,
        _folder: folder,
    }
}

/// Who comes in; `Err` as the door says it.
async fn who(
    bench: &Bench,
    connection: &ConnectionAuth,
    authorization: Option<&str>,
) -> Result<String, AuthError> {
    match bench.door.admit(connection, authorization).await? {
        Admission::Admitted(caller, None) => {
            let at = caller
                .principal_at(|| "http://x".to_owned())
                .map(Principal::name);
            Ok(at.unwrap_or("nobody").to_owned())
        }
        other => panic!("{other:?}"),
    }
}

const ALICE: Option<&str> = Some("Basic YWxpY2U6eA==");
const MUTUAL: Option<&str> = Some(certificate::SCHEME);

#[tokio::test]
async fn a_certificate_logs_on_with_its_scheme_or_without_a_header() {
    let bench = bench(with_certificates(vec![mapping("bob", "alice")]));
    let alice = Ok("alice".to_owned());
    for header in [None, MUTUAL, Some(&*certificate::SCHEME.to_uppercase())] {
        let own = certified("bob");
        assert_eq!(who(&bench, &own, header).await, alice, "{header:?}");
        assert_eq!(who(&bench, &own, None).await, alice);
    }
    let without = connection(tls());
    assert_eq!(who(&bench, &without, None).await, Err(AuthError::Refused));
    let announced = who(&bench, &without, MUTUAL).await;
    assert_eq!(announced, Err(AuthError::NoCertificate));
    let other = who(&bench, &certified("eve"), None).await;
    assert_eq!(other, Err(AuthError::Forbidden));
    let plain = ConnectionAuth::new(Peer {
        channel: Channel::Plain,
        ..certified("bob").peer().clone()
    });
    assert_eq!(who(&bench, &plain, None).await, Err(AuthError::Refused));
}

#[tokio::test]
async fn a_mapped_account_must_stand_in_a_list() {
    let bench = bench(with_certificates(vec![
        mapping("bob", "nobody"),
        mapping("*root", "root"),
        mapping("tied", "root"),
        mapping("*tied", "root"),
    ]));
    let tied = who(&bench, &certified("tied"), None).await;
    assert_eq!(tied, Err(AuthError::Forbidden));
    let own = certified("bob");
    for _ in 0..2 {
        assert_eq!(who(&bench, &own, None).await, Err(AuthError::Forbidden));
    }
    assert_eq!(who(&bench, &own, ALICE).await, Ok("alice".to_owned()));
    let root = bench.door.admit(&certified("root"), None).await;
    let Ok(Admission::Admitted(caller, None)) = root else {
        panic!("{root:?}");
    };
    let principal = caller.principal_at(String::new).expect("root");
    assert_eq!(principal.name(), "root");
    assert!(principal.is_administrator());
}

#[tokio::test]
async fn who_is_tied_at_one_resource_is_let_in_for_others() {
    let at = |uri: &str| CertificateMapping {
        uri: uri.to_owned(),
        ..mapping("bob", "alice")
    };
    let tied = bench(with_certificates(vec![at("http://x"), at("http://x*")]));
    let admitted = tied.door.admit(&certified("bob"), None).await;
    let Ok(Admission::Admitted(caller, None)) = admitted else {
        panic!("{admitted:?}");
    };
    assert!(caller.principal_at(|| "http://x".to_owned()).is_none());
    assert!(caller.principal_at(|| "http://x/y".to_owned()).is_some());
}

#[tokio::test]
async fn changed_settings_count_from_the_next_request_on() {
    let bench = bench(with_certificates(vec![mapping("bob", "alice")]));
    let own = certified("bob");
    assert_eq!(who(&bench, &own, None).await, Ok("alice".to_owned()));
    bench
        .current
        .set(with_certificates(vec![mapping("bob", "root")]));
    assert_eq!(who(&bench, &own, None).await, Ok("root".to_owned()));
    assert_eq!(who(&bench, &own, MUTUAL).await, Ok("root".to_owned()));
    bench.current.set(with_certificates(Vec::new()));
    assert_eq!(who(&bench, &own, None).await, Err(AuthError::Forbidden));
    let mut others = with_certificates(vec![mapping("bob", "root")]);
    others.access.client_ca_certificates = Some("/etc/others.pem".into());
    bench.current.set(others);
    assert_eq!(who(&bench, &own, None).await, Err(AuthError::NoCertificate));
    let mut off = with_certificates(vec![mapping("bob", "root")]);
    off.access.certificate = false;
    bench.current.set(off);
    for header in [None, MUTUAL] {
        assert_eq!(who(&bench, &own, header).await, Err(AuthError::Refused));
    }
    bench
        .current
        .set(with_certificates(vec![mapping("bob", "root")]));
    assert_eq!(who(&bench, &own, None).await, Ok("root".to_owned()));
}

#[tokio::test]
async fn a_refused_certificate_leaves_basic_as_it_is() {
    let bench = bench(with_certificates(Vec::new()));
    let own = certified("bob");
    assert_eq!(who(&bench, &own, MUTUAL).await, Err(AuthError::Forbidden));
    assert_eq!(who(&bench, &own, ALICE).await, Ok("alice".to_owned()));
    assert_eq!(who(&bench, &own, None).await, Err(AuthError::Forbidden));
}

#[tokio::test]
async fn basic_that_is_switched_off_is_neither_offered_nor_taken() {
    let bench = bench(with_certificates(Vec::new()));
    let own = connection(tls());
    assert_eq!(who(&bench, &own, ALICE).await, Ok("alice".to_owned()));
    let mut off = with_certificates(Vec::new());
    off.access.basic = false;
    bench.current.set(off);
    assert_eq!(who(&bench, &own, ALICE).await, Err(AuthError::Refused));
    assert_eq!(bench.door.challenges(own.peer()).count(), 0);
    bench.current.set(with_certificates(Vec::new()));
    assert_eq!(who(&bench, &own, ALICE).await, Ok("alice".to_owned()));
    assert_eq!(bench.door.challenges(own.peer()).count(), 1);
}

#[tokio::test]
async fn a_check_that_ends_after_the_switch_lets_nobody_in() {
    let bench = bench(with_certificates(Vec::new()));
    let own = connection(tls());
    let mut off = with_certificates(Vec::new());
    off.access.basic = false;
    let mut admit = std::pin::pin!(bench.door.admit(&own, ALICE));
    let pending = std::future::poll_fn(|context| {
        std::task::Poll::Ready(admit.as_mut().poll(context).is_pending())
    });
    assert!(pending.await, "the check takes its time");
    bench.current.set(off);
    assert_eq!(admit.await, Err(AuthError::Refused));
}
