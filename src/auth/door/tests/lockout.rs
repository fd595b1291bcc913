//! What failed log-ons do, with a mechanism whose work can be counted.

use std::io::Write;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::telemetry::counters;

/// A token is `name:password`, or says what comes of it. There are `alice`,
/// `bob` and `carol`, all with the password `right`; carol is told more.
struct Fake {
    work: Arc<AtomicU32>,
    proof: Proof,
    claimed: Option<&'static str>,
}

impl Fake {
    fn take(&mut self, token: &str, proof: Proof) -> Result<Step, AuthError> {
        self.work.fetch_add(1, Ordering::Relaxed);
        let is_afresh = proof == Proof::Fresh && self.proof == Proof::Remembered;
        let (name, password) = token.split_once(':').unwrap_or((token, ""));
        self.claimed = ["alice", "bob", "carol"]
            .into_iter()
            .find(|known| *known == name);
        match (self.claimed, password) {
            (_, "crowded") if is_afresh => Err(AuthError::Busy),
            (Some(name), "right" | "crowded") => Ok(Step::Done(LoggedOn {
                who: Proved::Account(Arc::from(name)),
                token: None,
                holds: Holds::Connection(Some(Box::new(NoSeal(None)))),
                proof,
                bound: Bound::No,
            })),
            (_, "more") => Ok(Step::Continue("go-on".to_owned())),
            (_, "unbound") => Err(AuthError::Unbound),
            (_, "misbound") => Err(AuthError::WrongBinding),
            (_, "malformed") => Err(AuthError::Malformed),
            (_, "busy") => Err(AuthError::Busy),
            (_, "unavailable") => Err(AuthError::Unavailable),
            (Some(_) | None, _) => Err(AuthError::Refused),
        }
    }
}

impl Acceptor for Fake {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move { self.take(token, self.proof) })
    }

    fn step_afresh<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move { self.take(token, Proof::Fresh) })
    }

    fn claimed(&self) -> Option<&str> {
        self.claimed
    }

    fn farewell(&mut self) -> Option<String> {
        (self.claimed == Some("carol")).then(|| "farewell".to_owned())
    }
}

struct Bench {
    folder: tempfile::TempDir,
    door: Door,
    /// Steps that the mechanism was asked for.
    work: Arc<AtomicU32>,
    /// Seconds of the host's clock.
    clock: Arc<AtomicU64>,
}

fn bench(proof: Proof) -> Bench {
    let (folder, users) = users();
    let mut settings = with_certificates(vec![mapping("eve", "alice")]);
    settings.access.users.push("bob".to_owned());
    settings.access.lockout_failures = 5;
    let current = Arc::new(Current::new(settings));
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let own = Arc::clone(&clock);
    let attempts = Attempts::for_test(&current, move || {
        let seconds = Duration::from_secs(own.load(Ordering::Relaxed));
        Moment::of(SystemTime::UNIX_EPOCH + seconds)
    });
    let mut door = Door::new(Means {
        pam: None,
        kerberos: None,
        users,
        access: Arc::new(Access::new(&current.get().access)),
        attempts,
        settings: current,
        identity: CurrentIdentity::for_test(),
    });
    let work = Arc::new(AtomicU32::new(0));
    let own = Arc::clone(&work);
    door.mechanisms.push(Mechanism {
        scheme: "Fake",
        challenge: Some("Fake"),
        offered: Offered::Always,
        is_in_force: Box::new(|_| true),
        start: Box::new(move |_| {
            Box::new(Fake {
                work: Arc::clone(&own),
                proof,
                claimed: None,
            })
        }),
    });
    Bench {
        folder,
        door,
        work,
        clock,
    }
}

impl Bench {
    /// What the door says to a token, on a connection of its own.
    async fn try_from(&self, address: &str, token: &str) -> Result<Admission, AuthError> {
        self.try_over(&from(address), token).await
    }

    async fn try_over(
        &self,
        connection: &ConnectionAuth,
        token: &str,
    ) -> Result<Admission, AuthError> {
        let header = format!("Fake {token}");
        self.door.admit(connection, Some(&header)).await
    }

    /// Locks alice, by guesses from five addresses.
    async fn lock_alice(&self) {
        for number in 1..=5 {
            let address = format!("203.0.113.{number}");
            let answer = self.try_from(&address, "alice:wrong").await;
            assert_eq!(answer, Err(AuthError::Refused));
        }
    }

    fn work(&self) -> u32 {
        self.work.load(Ordering::Relaxed)
    }
}

fn from(address: &str) -> ConnectionAuth {
    let address: IpAddr = address.parse().expect("an address");
    ConnectionAuth::new(Peer {
        address: SocketAddr::new(address, 1),
        channel: tls(),
        certificate: None,
    })
}

const AWAY: &str = "198.51.100.7";

#[tokio::test(start_paused = true)]
async fn a_locked_account_is_refused_like_a_wrong_password_and_at_the_same_work() {
    let bench = bench(Proof::Fresh);
    assert!(bench.try_from(AWAY, "alice:right").await.is_ok());
    bench.lock_alice().await;
    for (address, token) in [
        ("192.0.2.9", "alice:right"),
        ("192.0.2.8", "alice:wrong"),
        ("192.0.2.7", "nobody:right"),
    ] {
        let before = bench.work();
        let answer = bench.try_from(address, token).await;
        assert_eq!(answer, Err(AuthError::Refused), "{token}");
        assert_eq!(bench.work(), before + 1, "{token}");
    }
    for address in ["127.0.0.1", "::1", "127.8.8.8", AWAY] {
        let answer = bench.try_from(address, "alice:right").await;
        assert!(answer.is_ok(), "{address}: {answer:?}");
    }
    assert!(bench.try_from("192.0.2.9", "bob:right").await.is_ok());
    bench.clock.fetch_add(900, Ordering::Relaxed);
    assert!(bench.try_from("192.0.2.9", "alice:right").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_remembered_proof_of_a_locked_account_is_checked_anew() {
    let bench = bench(Proof::Remembered);
    bench.lock_alice().await;
    let before = bench.work();
    let answer = bench.try_from(AWAY, "alice:right").await;
    assert_eq!(answer, Err(AuthError::Refused));
    assert_eq!(
        bench.work(),
        before + 2,
        "it was remembered, and then checked"
    );
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_checked_a_remembered_proof_of_a_locked_account_is_told_so() {
    let bench = bench(Proof::Remembered);
    bench.lock_alice().await;
    for password in ["crowded", "busy"] {
        let answer = bench.try_from(AWAY, &format!("alice:{password}")).await;
        assert_eq!(answer, Err(AuthError::Busy), "{password}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_password_for_a_locked_account_counts_for_the_address_as_a_wrong_one() {
    for token in [
        "alice:right",
        "alice:wrong",
        "alice:unbound",
        "alice:misbound",
        "alice:more",
    ] {
        let bench = bench(Proof::Fresh);
        bench.lock_alice().await;
        for number in 1..=6 {
            let before = bench.work();
            let answer = bench.try_from(AWAY, token).await;
            assert_eq!(answer, Err(AuthError::Refused), "{token}, {number}");
            let has_worked = bench.work() > before;
            assert_eq!(
                has_worked,
                number < 6,
                "{token}: the address is locked then"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_mechanism_says_with_a_refusal_is_said_to_the_locked_out_too() {
    let bench = bench(Proof::Fresh);
    let told = Ok(Admission::Refused("Fake farewell".to_owned()));
    for number in 1..=5 {
        let address = format!("203.0.113.{number}");
        assert_eq!(bench.try_from(&address, "carol:wrong").await, told);
    }
    for token in ["carol:right", "carol:wrong", "carol:more"] {
        assert_eq!(bench.try_from(AWAY, token).await, told, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_locked_address_is_refused_before_any_work_but_for_certificates() {
    let bench = bench(Proof::Fresh);
    for _ in 0..5 {
        let answer = bench.try_from("2001:db8::1", "nobody:wrong").await;
        assert_eq!(answer, Err(AuthError::Refused));
    }
    let before = bench.work();
    for address in ["2001:db8::1", "2001:db8::ffff"] {
        let answer = bench.try_from(address, "bob:right").await;
        assert_eq!(answer, Err(AuthError::Refused));
    }
    assert_eq!(bench.work(), before);
    let mut peer = certified("eve").peer().clone();
    peer.address = SocketAddr::new("2001:db8::1".parse().expect("an address"), 1);
    let certified = ConnectionAuth::new(peer);
    assert!(bench.door.admit(&certified, None).await.is_ok());
    let other = bench.try_from("2001:db8:0:1::1", "bob:right").await;
    assert!(other.is_ok(), "{other:?}");
    bench.clock.fetch_add(900, Ordering::Relaxed);
    assert!(bench.try_from("2001:db8::1", "bob:right").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_console_is_never_locked() {
    let bench = bench(Proof::Fresh);
    for _ in 0..100 {
        let answer = bench.try_from("127.0.0.1", "alice:wrong").await;
        assert_eq!(answer, Err(AuthError::Refused));
    }
    for address in ["127.0.0.1", AWAY] {
        assert!(bench.try_from(address, "alice:right").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_guess_does_not_count() {
    let bench = bench(Proof::Fresh);
    for (token, error) in [
        ("bob:unbound", AuthError::Unbound),
        ("bob:misbound", AuthError::WrongBinding),
        ("bob:malformed", AuthError::Malformed),
        ("bob:busy", AuthError::Busy),
        ("bob:unavailable", AuthError::Unavailable),
    ] {
        for _ in 0..30 {
            let begun_at = Instant::now();
            assert_eq!(bench.try_from(AWAY, token).await, Err(error));
            assert_eq!(begun_at.elapsed(), Duration::ZERO);
        }
    }
    assert!(bench.try_from(AWAY, "bob:right").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_missing_binding_leaves_the_connection_for_another_try() {
    let bench = bench(Proof::Fresh);
    let own = from(AWAY);
    let answer = bench.try_over(&own, "bob:unbound").await;
    assert_eq!(answer, Err(AuthError::Unbound));
    assert!(!own.is_exhausted());
    assert!(bench.try_over(&own, "bob:right").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn answers_to_failures_are_held_back_and_to_no_others() {
    let bench = bench(Proof::Fresh);
    let mut held = Vec::new();
    for token in [
        "alice:wrong",
        "nobody:wrong",
        "alice:wrong",
        "bob:right",
        "bob:wrong",
    ] {
        let begun_at = Instant::now();
        let _ = bench.try_from(AWAY, token).await;
        held.push(begun_at.elapsed().as_millis());
    }
    assert_eq!(held, [0, 0, 500, 0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn who_goes_while_his_answer_is_held_back_has_failed_all_the_same() {
    let bench = bench(Proof::Fresh);
    for _ in 0..5 {
        let answer = bench.try_from(AWAY, "nobody:wrong");
        // Shorter than any delay.
        let _ = tokio::time::timeout(Duration::from_millis(1), answer).await;
    }
    let before = bench.work();
    let answer = bench.try_from(AWAY, "bob:right").await;
    assert_eq!((answer, bench.work()), (Err(AuthError::Refused), before));
}

#[tokio::test(start_paused = true)]
async fn an_address_with_many_answers_held_back_is_turned_away_unseen() {
    let mut bench = bench(Proof::Fresh);
    let mut settings = Settings::clone(&bench.door.settings.get());
    settings.access.lockout_failures = 100;
    bench.door.settings.set(settings);
    bench.door.audit = Audit::default();
    let held: Vec<_> = (0..10).map(|_| from(AWAY)).collect();
    let mut answers: Vec<Pin<Box<_>>> = held
        .iter()
        .map(|own| Box::pin(bench.try_over(own, "nobody:wrong")))
        .collect();
    for answer in &mut answers {
        let pending = std::future::poll_fn(|context| {
            let _ = answer.as_mut().poll(context);
            std::task::Poll::Ready(())
        });
        pending.await;
    }
    let before = bench.work();
    let answer = bench.try_from(AWAY, "bob:right").await;
    assert_eq!((answer, bench.work()), (Err(AuthError::Busy), before));
    assert!(bench.try_from("192.0.2.1", "bob:right").await.is_ok());
    assert!(bench.try_from("127.0.0.1", "bob:right").await.is_ok());
    drop(answers);
    assert!(bench.try_from(AWAY, "bob:right").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_so_many_legs_and_a_connection_so_many_attempts() {
    let bench = bench(Proof::Fresh);
    let own = from(AWAY);
    for number in 1..=20 {
        for _ in 0..MOST_LEGS {
            let leg = bench.try_over(&own, "bob:more").await;
            assert_eq!(leg, Ok(Admission::Continue("Fake go-on".to_owned())));
        }
        let last = bench.try_over(&own, "bob:more").await;
        assert_eq!(last, Err(AuthError::Malformed));
        assert_eq!(own.is_exhausted(), number == 20);
    }
    let own = from(AWAY);
    for _ in 0..19 {
        let _ = bench.try_over(&own, "bob:malformed").await;
    }
    assert!(bench.try_over(&own, "bob:right").await.is_ok());
    let _ = bench.try_over(&own, "bob:malformed").await;
    assert!(!own.is_exhausted(), "who has logged on begins anew");
}

#[tokio::test]
async fn a_log_on_ends_with_its_line_in_the_user_file() {
    let bench = bench(Proof::Fresh);
    let (alice, bob) = (from(AWAY), from(AWAY));
    assert!(bench.try_over(&alice, "alice:right").await.is_ok());
    // He has none: a principal of a realm, say.
    assert!(bench.try_over(&bob, "bob:right").await.is_ok());
    assert!(bench.door.admit(&alice, None).await.is_ok());
    bench.door.users.add("carol", "x").expect("added");
    assert!(bench.door.admit(&alice, None).await.is_ok());
    bench.door.users.add("alice", "y").expect("changed");
    let answer = bench.door.admit(&alice, None).await;
    assert_eq!(answer, Err(AuthError::Refused));
    // The NT hash alone comes, and goes.
    let path = bench.folder.path().join("users");
    let without = std::fs::read_to_string(&path).expect("read");
    let with: Vec<_> = without.lines().map(|line| format!("{line}:AAAA")).collect();
    for text in [with.join("\n"), without] {
        assert!(bench.try_over(&alice, "alice:right").await.is_ok());
        assert!(bench.door.admit(&alice, None).await.is_ok());
        std::fs::write(&path, text).expect("written");
        let answer = bench.door.admit(&alice, None).await;
        assert_eq!(answer, Err(AuthError::Refused));
    }
    assert!(bench.try_over(&alice, "alice:right").await.is_ok());
    bench.door.users.remove("alice").expect("removed");
    for _ in 0..2 {
        let answer = bench.door.admit(&alice, None).await;
        assert_eq!(answer, Err(AuthError::Refused));
    }
    assert!(bench.door.admit(&bob, None).await.is_ok());
    drop(bench.folder);
}

#[tokio::test(start_paused = true)]
async fn a_log_on_holds_for_ten_hours() {
    let bench = bench(Proof::Fresh);
    let own = from(AWAY);
    assert!(bench.try_over(&own, "bob:right").await.is_ok());
    tokio::time::advance(Duration::from_secs(36_000 - 1)).await;
    assert!(bench.door.admit(&own, None).await.is_ok());
    tokio::time::advance(Duration::from_secs(1)).await;
    let answer = bench.door.admit(&own, None).await;
    assert_eq!(answer, Err(AuthError::Refused));
}

#[tokio::test(start_paused = true)]
async fn a_lock_ends_no_log_on() {
    let bench = bench(Proof::Fresh);
    let own = from(AWAY);
    assert!(bench.try_over(&own, "alice:right").await.is_ok());
    bench.lock_alice().await;
    for _ in 0..5 {
        let _ = bench.try_from(AWAY, "nobody:wrong").await;
    }
    assert!(bench.door.admit(&own, None).await.is_ok());
}

/// What has been logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        // With one subscriber alone, a line that another thread writes first is
        // taken as one that nobody wants.
        static OTHER: OnceLock<Dispatch> = OnceLock::new();
        OTHER.get_or_init(|| {
            let lines = tracing_subscriber::fmt().with_writer(std::io::sink);
            Dispatch::new(lines.with_max_level(tracing::Level::TRACE).finish())
        });
        let log = Self::default();
        let lines = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(lines))
    }

    fn text(&self) -> String {
        let octets = self.0.lock().expect("no panic").clone();
        String::from_utf8(octets).expect("text")
    }
}

#[tokio::test]
async fn no_password_token_or_invented_name_is_logged() {
    let (log, _guard) = Log::begin();
    let bench = bench(Proof::Fresh);
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let own = from("127.0.0.1");
    for header in [
        &basic("alice:x"),
        &basic("alice:hunter2-wrong"),
        &basic("hunter2-name:hunter2-pass"),
        &basic("hunter2-without-colon"),
        "Basic hunter2%",
        "hunter2 hunter2",
        "Fake hunter2:unbound",
        "Fake alice:unbound",
        "Fake alice:misbound",
        "Fake alice:hunter2",
        "Fake alice:malformed",
        "Fake alice:right",
    ] {
        let _ = bench.door.admit(&own, Some(header)).await;
        let token = header.split_once(' ').map_or("", |(_, token)| token);
        assert!(!log.text().contains(token), "{header}");
    }
    let text = log.text();
    assert!(!text.contains("hunter2"), "{text}");
    for line in [
        "Logged on address=127.0.0.1:1 scheme=\"Basic\" account=alice who=\"alice\" scope=Own \
         binding=\"none to make\"",
        "Log-on refused address=127.0.0.1:1 scheme=\"Basic\" account=\"alice\" why=not proved",
        "Log-on refused address=127.0.0.1:1 scheme=\"Basic\" why=not proved",
        "set access.channel_binding = \"Relaxed\" address=127.0.0.1:1 scheme=\"Fake\"",
        "scheme=\"Fake\" account=alice who=\"alice\" scope=Own binding=\"not bound\"",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_cannot_fill_the_log_nor_crowd_out_lines_about_accounts() {
    let (log, _guard) = Log::begin();
    let bench = bench(Proof::Fresh);
    for number in 0..200_u8 {
        let address = format!("203.0.113.{number}");
        let _ = bench.try_from(&address, "nobody:wrong").await;
    }
    let refused = |text: &str| text.matches("Log-on refused address").count();
    assert_eq!(refused(&log.text()), 10);
    let _ = bench.try_from(AWAY, "alice:wrong").await;
    assert_eq!(refused(&log.text()), 11);
    tokio::time::advance(Duration::from_secs(1)).await;
    let _ = bench.try_from(AWAY, "nobody:wrong").await;
    let text = log.text();
    assert!(
        text.contains("Lines left out kind=\"Log-on refused\" left_out=190"),
        "{text}"
    );
    bench.lock_alice().await;
    let text = log.text();
    assert!(text.contains("Account locked out"), "{text}");
    for _ in 0..3 {
        let _ = bench.try_from(AWAY, "alice:right").await;
    }
    let text = log.text();
    for line in [
        "account=\"alice\" why=account locked out",
        "Address locked out address=198.51.100.7:1 duration_s=900",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let _ = bench.try_from(AWAY, "alice:right").await;
    assert!(log.text().contains("why=address locked out"));
}

#[tokio::test(start_paused = true)]
async fn log_ons_are_counted_by_scheme_and_outcome() {
    let value = |sample: &str| -> u64 {
        let text = counters::text(None);
        let line = text.lines().find_map(|line| line.strip_prefix(sample));
        line.map_or(0, |value| value.trim().parse().expect("a number"))
    };
    let samples = [
        "bitsd_log_ons_total{scheme=\"Fake\"}",
        "bitsd_log_ons_refused_total{scheme=\"Fake\"}",
        "bitsd_lock_outs_total{of=\"account\"}",
        "bitsd_lock_outs_total{of=\"address\"}",
        "bitsd_log_ons_locked_out_total",
        "bitsd_log_ons_delayed_total",
        "bitsd_log_ons_unbound_total",
        "bitsd_log_ons_misbound_total",
    ];
    let before = samples.map(value);
    let bench = bench(Proof::Fresh);
    bench.lock_alice().await;
    for _ in 0..6 {
        let _ = bench.try_from(AWAY, "alice:right").await;
    }
    for token in ["bob:right", "bob:unbound", "bob:misbound"] {
        let _ = bench.try_from("192.0.2.1", token).await;
    }
    for (sample, before) in samples.into_iter().zip(before) {
        // Other tests of this process count too.
        assert!(value(sample) > before, "{sample}");
    }
}
