//! `Basic` (RFC 7617) against the user file, or the accounts of the host.
//!
//! A check by argon2id takes some 90 ms and 19 MiB, one by PAM a thread for as
//! long as its modules want, so at most two run at a time, and those that wait
//! are counted. What was right is remembered for a minute (PAM: 15 s, for the
//! same address) as a MAC under a key that lives as long as the process; it is
//! forgotten at once when the account's line changes. An unknown name costs
//! the same check as a known one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use aws_lc_rs::hmac;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Acceptor;
use super::AuthError;
use super::Bound;
use super::Holds;
use super::LoggedOn;
use super::Mechanism;
use super::Offered;
use super::Proof;
use super::Proved;
use super::Step;
use super::Stepping;
use super::credentials::Credentials;
use super::passwords::Known;
use super::passwords::Passwords;
use super::passwords::Right;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;

/// Checks passwords.
pub(super) struct Basic {
    passwords: Passwords,
    /// Under which credentials are remembered; never leaves the process.
    key: hmac::Key,
    /// What was right a short time ago.
    remembered: Mutex<HashMap<Mac, Remembered>>,
    /// Checks that run or wait, so that clients with the same credentials
    /// share one.
    underway: Mutex<HashMap<Mac, watch::Receiver<Option<Verdict>>>>,
    /// A permit for each check that runs or waits.
    places: Arc<Semaphore>,
    /// A permit for each check that runs.
    turns: Arc<Semaphore>,
}

/// Credentials as they are remembered.
type Mac = [u8; 32];

/// What a check came to: the name of the account.
type Verdict = Result<Arc<str>, AuthError>;

/// Credentials that were right.
struct Remembered {
    right: Right,
    /// Not beyond this.
    until: Instant,
}

impl Basic {
    /// Checks against `passwords`; beside the two checks that run, `max_waiting`
    /// may wait.
    pub(super) fn new(passwords: Passwords, max_waiting: u32) -> Self {
        let waiting = usize::try_from(max_waiting)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(Semaphore::MAX_PERMITS - RUNNING);
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)
            .expect("the kernel gives random octets once it has started");
        Self {
            passwords,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            remembered: Mutex::default(),
            underway: Mutex::default(),
            places: Arc::new(Semaphore::new(waiting + RUNNING)),
            turns: Arc::new(Semaphore::new(RUNNING)),
        }
    }

    /// The mechanism as the door offers it.
    pub(super) fn mechanism(self) -> Mechanism {
        let basic = Arc::new(self);
        Mechanism {
            scheme: "Basic",
            challenge: Some("Basic realm=\"WSMAN\""),
            offered: Offered::OverTlsOrAllowed,
            is_in_force: Box::new(|access| access.basic),
            start: Box::new(move |peer| Box::new(Attempt::new(&basic, peer.address.ip()))),
        }
    }

    /// Says whose credentials `token` holds, of a client at `from`. When the
    /// future is dropped, a check that has begun runs on.
    async fn log_on(
        self: &Arc<Self>,
        token: &str,
        from: IpAddr,
        memory: Memory,
    ) -> Result<(Arc<str>, Proof), AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Malformed);
        }
        let mac = self.mac(token, from);
        let known = self.passwords.known()?;
        if memory == Memory::Asked
            && let Some(account) = self.recall(&mac, &known, Instant::now())
        {
            return Ok((account, Proof::Remembered));
        }
        let credentials = Credentials::decode(token).ok_or(AuthError::Malformed)?;
        let mut verdict = self.begin(mac, credentials, known, from)?;
        let verdict = verdict.wait_for(Option::is_some).await;
        match verdict.as_deref() {
            Ok(Some(verdict)) => verdict.clone().map(|account| (account, Proof::Fresh)),
            Ok(None) | Err(_) => Err(AuthError::Unavailable),
        }
    }

    /// The name in `token`, if there is such an account.
    fn known_name(&self, token: &str) -> Option<String> {
        self.passwords.known_name(Credentials::decode(token)?)
    }

    fn mac(&self, token: &str, from: IpAddr) -> Mac {
        let mut signed = hmac::Context::with_key(&self.key);
        if self.passwords.depend_on_address() {
            signed.update(from.to_canonical().to_string().as_bytes());
            // No address and no token has it.
            signed.update(&[0]);
        }
        signed.update(token.as_bytes());
        let mut mac = [0; 32];
        mac.copy_from_slice(signed.sign().as_ref());
        mac
    }

    /// The account, if these credentials were right a short time ago and it has
    /// not changed, as far as is known.
    fn recall(&self, mac: &Mac, known: &Known, now: Instant) -> Option<Arc<str>> {
        let mut remembered = lock(&self.remembered);
        let found = remembered.get(mac)?;
        if found.right.holds(known) && now < found.until {
            return Some(Arc::clone(&found.right.account));
        }
        remembered.remove(mac);
        None
    }

    fn remember(&self, mac: Mac, right: Right, now: Instant) {
        let mut remembered = lock(&self.remembered);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, known| now < known.until);
        }
        if remembered.len() >= MAX_REMEMBERED {
            let oldest = remembered
                .iter()
                .min_by_key(|(_, known)| known.until)
                .map(|(mac, _)| *mac);
            if let Some(oldest) = oldest {
                remembered.remove(&oldest);
            }
        }
        let until = now + self.passwords.remembered_for();
        remembered.insert(mac, Remembered { right, until });
    }

    /// Joins the check of these credentials, or begins it.
    fn begin(
        self: &Arc<Self>,
        mac: Mac,
        credentials: Credentials,
        known: Known,
        from: IpAddr,
    ) -> Result<watch::Receiver<Option<Verdict>>, AuthError> {
        let mut underway = lock(&self.underway);
        if let Some(verdict) = underway.get(&mac) {
            return Ok(verdict.clone());
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Counter::Refused(Limit::WaitingLogOns).bump();
            AuthError::Busy
        })?;
        let (sender, verdict) = watch::channel(None);
        underway.insert(mac, verdict.clone());
        drop(underway);

        let basic = Arc::clone(self);
        // Not awaited, so that it outlives a client who goes; there are never
        // more of these tasks than places, and each ends by itself.
        tokio::spawn(async move {
            let turn = Arc::clone(&basic.turns).acquire_owned().await;
            let checker = Arc::clone(&basic);
            let checked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                checker.passwords.find(&credentials, &known, from)
            });
            let verdict = match checked.await {
                Ok(Ok(Some(right))) => {
                    let account = Arc::clone(&right.account);
                    basic.remember(mac, right, Instant::now());
                    Ok(account)
                }
                Ok(Ok(None)) => Err(AuthError::Refused),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(AuthError::Unavailable),
            };
            lock(&basic.underway).remove(&mac);
            drop(place);
            sender.send_replace(Some(verdict));
        });
        Ok(verdict)
    }
}

/// May a remembered check stand for one?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Memory {
    Asked,
    Passed,
}

/// One request's log-on.
struct Attempt {
    basic: Arc<Basic>,
    /// Where the client is.
    from: IpAddr,
    /// Set when the check fails, to an account that exists.
    claimed: Option<String>,
}

impl Attempt {
    fn new(basic: &Arc<Basic>, from: IpAddr) -> Self {
        Self {
            basic: Arc::clone(basic),
            from,
            claimed: None,
        }
    }

    async fn log_on(&mut self, token: &str, memory: Memory) -> Result<Step, AuthError> {
        let logged_on = self.basic.log_on(token, self.from, memory).await;
        if logged_on == Err(AuthError::Refused) {
            self.claimed = self.basic.known_name(token);
        }
        let (account, proof) = logged_on?;
        Ok(Step::Done(LoggedOn {
            who: Proved::Account(account),
            token: None,
            holds: Holds::Request,
            proof,
            bound: Bound::NotApplicable,
        }))
    }
}

impl Acceptor for Attempt {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(self.log_on(token, Memory::Asked))
    }

    fn step_afresh<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(self.log_on(token, Memory::Passed))
    }

    fn claimed(&self) -> Option<&str> {
        self.claimed.as_deref()
    }
}

/// A panic leaves these maps whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks that run at a time: each takes a core and 19 MiB, or a thread.
const RUNNING: usize = 2;

/// Octets of a token: the longest name and password, in base64.
const MAX_TOKEN: usize = 2_048;

/// Credentials that are remembered.
const MAX_REMEMBERED: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use argon2::password_hash::phc::PasswordHash;
    use base64::Engine as _;

    use super::super::Users;
    use super::super::access::Access;
    use super::super::pam::tests::Stack;
    use super::super::passwords::File;
    use super::super::passwords::is_password;
    use super::*;
    use crate::config::AccessSettings;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn encode(octets: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(octets)
    }

    struct Bench {
        _folder: tempfile::TempDir,
        users: Arc<Users>,
        basic: Arc<Basic>,
    }

    fn bench(max_waiting: u32, check: fn(&[u8], &str) -> bool) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let users = Arc::new(Users::open(&folder.path().join("users")).expect("opened"));
        users.add("alice", "pässword").expect("added");
        let passwords = Passwords::File(File::new(Arc::clone(&users), check));
        let basic = Basic::new(passwords, max_waiting);
        Bench {
            _folder: folder,
            users,
            basic: Arc::new(basic),
        }
    }

    async fn log_on(bench: &Bench, octets: &[u8]) -> Result<Proof, AuthError> {
        let (account, proof) = bench
            .basic
            .log_on(&encode(octets), HERE, Memory::Asked)
            .await?;
        assert_eq!(&*account, "alice");
        Ok(proof)
    }

    #[tokio::test]
    async fn the_password_may_be_in_utf8_or_latin1() {
        let bench = bench(8, is_password);
        assert_eq!(
            log_on(&bench, "alice:pässword".as_bytes()).await,
            Ok(Proof::Fresh)
        );
        assert_eq!(log_on(&bench, b"alice:p\xe4ssword").await, Ok(Proof::Fresh));
        for wrong in ["alice:password", "bob:pässword", ":x"] {
            let answer = log_on(&bench, wrong.as_bytes()).await;
            assert_eq!(answer, Err(AuthError::Refused), "{wrong}");
        }
        let long = format!("alice:{}", "x".repeat(1_025));
        for wrong in ["alice:", "alice", "", &long, &long.repeat(2)] {
            let answer = log_on(&bench, wrong.as_bytes()).await;
            assert_eq!(answer, Err(AuthError::Malformed), "{wrong}");
        }
        let answer = bench.basic.log_on("%%%", HERE, Memory::Asked).await;
        assert_eq!(answer.map(|_| ()), Err(AuthError::Malformed));
    }

    #[tokio::test]
    async fn a_failed_attempt_names_only_accounts_that_exist() {
        let bench = bench(8, |_, _| false);
        for (sent, claimed) in [("alice:x", Some("alice")), ("secret:x", None)] {
            let mut attempt = Attempt::new(&bench.basic, HERE);
            let token = encode(sent.as_bytes());
            assert!(attempt.step(&token).await.is_err());
            assert_eq!(attempt.claimed(), claimed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn right_credentials_are_remembered_for_a_minute() {
        let bench = bench(8, is_password);
        let right = "alice:pässword".as_bytes();
        assert_eq!(log_on(&bench, right).await, Ok(Proof::Fresh));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(log_on(&bench, right).await, Ok(Proof::Remembered));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(log_on(&bench, right).await, Ok(Proof::Fresh));
    }

    #[tokio::test]
    async fn a_changed_account_is_forgotten_at_once() {
        let bench = bench(8, is_password);
        let right = "alice:pässword".as_bytes();
        assert_eq!(log_on(&bench, right).await, Ok(Proof::Fresh));
        bench.users.add("bob", "x").expect("added");
        assert_eq!(log_on(&bench, right).await, Ok(Proof::Remembered));
        bench.users.add("alice", "other").expect("replaced");
        assert_eq!(log_on(&bench, right).await, Err(AuthError::Refused));
        assert_eq!(log_on(&bench, b"alice:other").await, Ok(Proof::Fresh));
        bench.users.remove("alice").expect("removed");
        assert_eq!(
            log_on(&bench, b"alice:other").await,
            Err(AuthError::Refused)
        );
    }

    #[tokio::test]
    async fn an_unknown_name_costs_one_check_with_the_same_parameters() {
        static CHECKS: AtomicUsize = AtomicUsize::new(0);
        let bench = bench(8, |_, hash| {
            CHECKS.fetch_add(1, Ordering::SeqCst);
            let hash = PasswordHash::new(hash).expect("the decoy is a hash");
            let parameters = argon2::Params::try_from(&hash).expect("parameters");
            assert_eq!(parameters.m_cost(), argon2::Params::DEFAULT.m_cost());
            assert_eq!(hash.hash.expect("a hash").len(), 32);
            false
        });
        for name in ["alice:x", "nobody:x", "a b:x"] {
            let before = CHECKS.load(Ordering::SeqCst);
            let answer = log_on(&bench, name.as_bytes()).await;
            assert_eq!(answer, Err(AuthError::Refused));
            assert_eq!(CHECKS.load(Ordering::SeqCst), before + 1, "{name}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn beyond_the_queue_log_ons_are_turned_away() {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let bench = Arc::new(bench(3, |_, _| {
            let now = RUNS.fetch_add(1, Ordering::SeqCst) + 1;
            MOST.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(60));
            RUNS.fetch_sub(1, Ordering::SeqCst);
            false
        }));
        let mut answers = tokio::task::JoinSet::new();
        for number in 0..20 {
            let bench = Arc::clone(&bench);
            answers.spawn(async move { log_on(&bench, format!("x:{number}").as_bytes()).await });
        }
        let answers = answers.join_all().await;
        let busy = answers
            .iter()
            .filter(|answer| **answer == Err(AuthError::Busy))
            .count();
        assert_eq!(busy, 15, "{answers:?}");
        assert_eq!(MOST.load(Ordering::SeqCst), RUNNING);
    }

    #[tokio::test]
    async fn clients_with_the_same_credentials_share_one_check() {
        static CHECKS: AtomicUsize = AtomicUsize::new(0);
        let bench = Arc::new(bench(1, |_, _| {
            CHECKS.fetch_add(1, Ordering::SeqCst);
            true
        }));
        let mut answers = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let bench = Arc::clone(&bench);
            answers.spawn(async move { log_on(&bench, b"alice:x").await });
        }
        assert!(answers.join_all().await.iter().all(Result::is_ok));
        assert_eq!(CHECKS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let bench = bench(1, is_password);
        let now = Instant::now();
        for number in 0..2_000_u32 {
            let mut mac = [0; 32];
            mac[..4].copy_from_slice(&number.to_be_bytes());
            bench.basic.remember(mac, Right::for_test("alice"), now);
        }
        assert_eq!(lock(&bench.basic.remembered).len(), MAX_REMEMBERED);
    }

    /// Basic against a script that has the password on its standard input, and
    /// counts how often it is asked.
    fn of_script(script: &str) -> (Stack, Arc<Basic>) {
        let script = format!("read -r password\necho x >> \"$(dirname \"$0\")/asked\"\n{script}");
        let stack = Stack::of_script(&script);
        let passwords = Passwords::Pam {
            pam: Arc::new(stack.load().expect("a service")),
            access: Arc::new(Access::new(&AccessSettings {
                users: vec!["alice".to_owned(), "*@A.TEST".to_owned()],
                ..AccessSettings::default()
            })),
        };
        (stack, Arc::new(Basic::new(passwords, 8)))
    }

    fn asked(stack: &Stack) -> usize {
        let asked = std::fs::read_to_string(stack.path().join("asked"));
        asked.map_or(0, |text| text.lines().count())
    }

    #[tokio::test]
    async fn the_host_is_asked_once_for_an_address_and_a_while() {
        let (stack, basic) = of_script("test \"$PAM_USER:$password\" = alice:right");
        let right = encode(b"alice:right");
        let proof = async |from: IpAddr| {
            basic
                .log_on(&right, from, Memory::Asked)
                .await
                .map(|(_, proof)| proof)
        };
        assert_eq!(proof(HERE).await, Ok(Proof::Fresh));
        assert_eq!(proof(HERE).await, Ok(Proof::Remembered));
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert_eq!(proof(mapped.into()).await, Ok(Proof::Remembered));
        assert_eq!(asked(&stack), 1);
        // The stack may not let him in from everywhere.
        let elsewhere = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(proof(elsewhere.into()).await, Ok(Proof::Fresh));
        assert_eq!(asked(&stack), 2);
        assert_eq!(basic.passwords.remembered_for(), Duration::from_secs(15));
        for wrong in ["alice:wrong", "bob:right"] {
            let answer = basic
                .log_on(&encode(wrong.as_bytes()), HERE, Memory::Asked)
                .await;
            assert_eq!(answer, Err(AuthError::Refused), "{wrong}");
        }
    }

    #[tokio::test]
    async fn the_host_is_asked_by_the_likeliest_reading_and_for_names_only() {
        let (stack, basic) = of_script("false");
        for (sent, expected) in [
            ("alice:p\u{e4}ssword", 1),
            ("a b:x", 0),
            (":x", 0),
            ("../alice:x", 0),
            ("alice:a\0b", 0),
        ] {
            let before = asked(&stack);
            let answer = basic
                .log_on(&encode(sent.as_bytes()), HERE, Memory::Asked)
                .await;
            assert_eq!(answer, Err(AuthError::Refused), "{sent:?}");
            assert_eq!(asked(&stack) - before, expected, "{sent:?}");
        }
    }

    #[tokio::test]
    async fn only_names_of_the_settings_are_claimed_where_the_host_knows_them() {
        let (_stack, basic) = of_script("false");
        for (sent, claimed) in [
            ("alice:x", Some("alice")),
            ("secret:x", None),
            ("secret@A.TEST:x", None),
        ] {
            let mut attempt = Attempt::new(&basic, HERE);
            assert!(attempt.step(&encode(sent.as_bytes())).await.is_err());
            assert_eq!(attempt.claimed(), claimed);
        }
    }

    #[tokio::test]
    async fn a_host_that_does_not_know_is_no_refusal() {
        let stack = Stack::new("auth required pam_of_nobody.so\naccount required pam_permit.so\n");
        let passwords = Passwords::Pam {
            pam: Arc::new(stack.load().expect("a service")),
            access: Arc::new(Access::new(&AccessSettings::default())),
        };
        let basic = Arc::new(Basic::new(passwords, 8));
        let answer = basic.log_on(&encode(b"alice:x"), HERE, Memory::Asked).await;
        assert_eq!(answer, Err(AuthError::Unavailable));
    }
}
