//! `Basic` (RFC 7617) against the user file.
//!
//! A check by argon2id takes some 90 ms and 19 MiB, so at most two run at a
//! time, and those that wait are counted. What was right is remembered for a
//! minute as a MAC under a key that lives as long as the process; it is
//! forgotten at once when the account's line changes. An unknown name costs
//! the same check as a known one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use argon2::Argon2;
use argon2::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::hmac;
use base64::Engine as _;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::error;

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
use super::Users;
use super::credentials::Credentials;
use super::users::Accounts;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;

/// Checks passwords against the user file.
pub(super) struct Basic {
    users: Arc<Users>,
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
    /// A hash that no password has, checked for names that are unknown.
    decoy: String,
    /// Runs a check: argon2id, but for tests that count.
    check: fn(&[u8], &str) -> bool,
}

/// Credentials as they are remembered.
type Mac = [u8; 32];

/// What a check came to: the name of the account.
type Verdict = Result<Arc<str>, AuthError>;

/// Credentials that were right.
struct Remembered {
    account: Arc<str>,
    /// The hash that they were right for: with another one they are forgotten.
    hash: Arc<str>,
    /// Not beyond this.
    until: Instant,
}

impl Basic {
    /// Checks against `users`; beside the two checks that run, `max_waiting`
    /// may wait.
    pub(super) fn new(users: Arc<Users>, max_waiting: u32) -> Self {
        let waiting = usize::try_from(max_waiting)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(Semaphore::MAX_PERMITS - RUNNING);
        let mut salt_and_hash = [0; 48];
        let mut key = [0; 32];
        fill_random(&mut salt_and_hash);
        fill_random(&mut key);
        let encode =
            |octets: &[u8]| base64::engine::general_purpose::STANDARD_NO_PAD.encode(octets);
        let (salt, hash) = salt_and_hash.split_at(16);
        let parameters = argon2::Params::DEFAULT;
        let decoy = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            parameters.m_cost(),
            parameters.t_cost(),
            parameters.p_cost(),
            encode(salt),
            encode(hash)
        );
        Self {
            users,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            remembered: Mutex::default(),
            underway: Mutex::default(),
            places: Arc::new(Semaphore::new(waiting + RUNNING)),
            turns: Arc::new(Semaphore::new(RUNNING)),
            decoy,
            check: is_password,
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
            start: Box::new(move |_| Box::new(Attempt::new(&basic))),
        }
    }

    /// Says whose credentials `token` holds. When the future is dropped, a
    /// check that has begun runs on.
    async fn log_on(self: &Arc<Self>, token: &str) -> Result<(Arc<str>, Proof), AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Malformed);
        }
        let mac = self.mac(token);
        let accounts = self.users.accounts().map_err(|cause| {
            error!(
                cause = &cause as &dyn std::error::Error,
                "Accounts not readable"
            );
            AuthError::Unavailable
        })?;
        if let Some(account) = self.recall(&mac, &accounts, Instant::now()) {
            return Ok((account, Proof::Remembered));
        }
        let credentials = Credentials::decode(token).ok_or(AuthError::Malformed)?;
        let mut verdict = self.begin(mac, credentials, accounts)?;
        let verdict = verdict.wait_for(Option::is_some).await;
        match verdict.as_deref() {
            Ok(Some(verdict)) => verdict.clone().map(|account| (account, Proof::Fresh)),
            Ok(None) | Err(_) => Err(AuthError::Unavailable),
        }
    }

    /// The name in `token`, if there is such an account.
    fn known_name(&self, token: &str) -> Option<String> {
        let accounts = self.users.accounts().ok()?;
        let credentials = Credentials::decode(token)?;
        let mut names = credentials.readings.into_iter().map(|(name, _)| name);
        names.find(|name| accounts.hash(name).is_some())
    }

    fn mac(&self, token: &str) -> Mac {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.key, token.as_bytes()).as_ref());
        mac
    }

    /// The account, if these credentials were right a short time ago and its
    /// line is still the same.
    fn recall(&self, mac: &Mac, accounts: &Accounts, now: Instant) -> Option<Arc<str>> {
        let mut remembered = lock(&self.remembered);
        let known = remembered.get(mac)?;
        let is_same = accounts
            .hash(&known.account)
            .is_some_and(|hash| **hash == *known.hash);
        if is_same && now < known.until {
            return Some(Arc::clone(&known.account));
        }
        remembered.remove(mac);
        None
    }

    fn remember(&self, mac: Mac, account: Arc<str>, hash: Arc<str>, now: Instant) {
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
        let until = now + REMEMBERED_FOR;
        remembered.insert(
            mac,
            Remembered {
                account,
                hash,
                until,
            },
        );
    }

    /// Joins the check of these credentials, or begins it.
    fn begin(
        self: &Arc<Self>,
        mac: Mac,
        credentials: Credentials,
        accounts: Arc<Accounts>,
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
                checker.find(&credentials, &accounts)
            });
            let verdict = match checked.await {
                Ok(Some((account, hash))) => {
                    basic.remember(mac, Arc::clone(&account), hash, Instant::now());
                    Ok(account)
                }
                Ok(None) => Err(AuthError::Refused),
                Err(_) => Err(AuthError::Unavailable),
            };
            lock(&basic.underway).remove(&mac);
            drop(place);
            sender.send_replace(Some(verdict));
        });
        Ok(verdict)
    }

    /// The account and hash that one reading of the credentials fits. Every
    /// reading costs one check, be the name known or not.
    fn find(&self, credentials: &Credentials, accounts: &Accounts) -> Option<(Arc<str>, Arc<str>)> {
        for (name, password) in &credentials.readings {
            let hash = accounts.hash(name);
            let is_right = (self.check)(password.as_bytes(), hash.map_or(&self.decoy, |hash| hash));
            if let (true, Some(hash)) = (is_right, hash) {
                return Some((Arc::from(name.as_str()), Arc::clone(hash)));
            }
        }
        None
    }
}

/// One request's log-on.
struct Attempt {
    basic: Arc<Basic>,
    /// Set when the check fails, to an account that exists.
    claimed: Option<String>,
}

impl Attempt {
    fn new(basic: &Arc<Basic>) -> Self {
        Self {
            basic: Arc::clone(basic),
            claimed: None,
        }
    }
}

impl Acceptor for Attempt {
    fn step<'a>(&'a mut self, token: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            let logged_on = self.basic.log_on(token).await;
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
        })
    }

    fn claimed(&self) -> Option<&str> {
        self.claimed.as_deref()
    }
}

/// Holds when `hash` is that of `password`.
fn is_password(password: &[u8], hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

fn fill_random(octets: &mut [u8]) {
    aws_lc_rs::rand::fill(octets).expect("the kernel gives random octets once it has started");
}

/// A panic leaves these maps whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks that run at a time: each takes a core and 19 MiB.
const RUNNING: usize = 2;

/// Octets of a token: the longest name and password, in base64.
const MAX_TOKEN: usize = 2_048;

/// How long right credentials are remembered.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);

/// Credentials that are remembered.
const MAX_REMEMBERED: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use super::*;

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
        let mut basic = Basic::new(Arc::clone(&users), max_waiting);
        basic.check = check;
        Bench {
            _folder: folder,
            users,
            basic: Arc::new(basic),
        }
    }

    async fn log_on(bench: &Bench, octets: &[u8]) -> Result<Proof, AuthError> {
        let (account, proof) = bench.basic.log_on(&encode(octets)).await?;
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
        let answer = bench.basic.log_on("%%%").await;
        assert_eq!(answer.map(|_| ()), Err(AuthError::Malformed));
    }

    #[tokio::test]
    async fn a_failed_attempt_names_only_accounts_that_exist() {
        let bench = bench(8, |_, _| false);
        for (sent, claimed) in [("alice:x", Some("alice")), ("secret:x", None)] {
            let mut attempt = Attempt::new(&bench.basic);
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
            bench
                .basic
                .remember(mac, Arc::from("alice"), Arc::from("x"), now);
        }
        assert_eq!(lock(&bench.basic.remembered).len(), MAX_REMEMBERED);
    }
}
