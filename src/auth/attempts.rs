//! Failed log-ons, kept over restarts: the table of [`Lockout`], its clock and
//! its file, and the answers that are held back.
//!
//! The file is written at most a second after a change, by a task of its own,
//! so that a log-on never waits for the disk; a kill loses that second.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::lockout::Lockout;
use super::lockout::Moment;
use super::lockout::Policy;
use super::lockout::Source;
use super::lockout::Struck;
use super::secret_file::Ownership;
use super::secret_file::replace_file;
use super::unlock::TABLE_FILE;
use super::unlock::UNLOCKED_FILE;
use super::unlock::Unlocked;
use super::unlock::read_table;
use crate::config::Current;
use crate::telemetry::counters::Counter;

/// Who has failed to log on, and who is locked out.
pub(crate) struct Attempts {
    lockout: Mutex<Lockout>,
    settings: Arc<Current>,
    /// Where it is kept.
    state: PathBuf,
    has_changed: AtomicBool,
    changed: Notify,
    /// What told the list of what was unlocked from an older one.
    heeded: Mutex<Option<Stamp>>,
    /// Answers that are held back, by source; an entry lives while it has any.
    held: Mutex<HashMap<Source, usize>>,
    clock: Box<dyn Fn() -> Moment + Send + Sync>,
}

/// Writes the table while the service runs.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Why nobody is asked for a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bar {
    /// The source is locked.
    Locked,
    /// Too many wrong answers to it are held back.
    Busy,
}

/// Inode and time of a file: it is replaced whole.
type Stamp = (u64, i64, i64);

impl Attempts {
    /// Takes up what was kept below the state folder. A file that cannot be
    /// read is no reason not to start: then nobody is locked out.
    pub(crate) fn load(state: &Path, settings: &Arc<Current>) -> Arc<Self> {
        let attempts = Self::new(state, settings, || Moment::of(SystemTime::now()));
        let path = state.join(TABLE_FILE);
        match read_table(&path, &attempts.policy(), (attempts.clock)()) {
            Ok(table) => *lock(&attempts.lockout) = table,
            Err(cause) => error!(
                cause = &cause as &dyn std::error::Error,
                path = %path.display(),
                "Failed log-ons are forgotten and nobody is locked out"
            ),
        }
        attempts.heed_unlocked();
        Arc::new(attempts)
    }

    fn new(
        state: &Path,
        settings: &Arc<Current>,
        clock: impl Fn() -> Moment + Send + Sync + 'static,
    ) -> Self {
        Self {
            lockout: Mutex::default(),
            settings: Arc::clone(settings),
            state: state.to_owned(),
            has_changed: AtomicBool::new(false),
            changed: Notify::new(),
            heeded: Mutex::default(),
            held: Mutex::default(),
            clock: Box::new(clock),
        }
    }

    /// Begins to write what changes.
    pub(crate) fn keep(self: &Arc<Self>) -> Keeper {
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(self).write_changes(stop.clone()));
        Keeper { stop, task }
    }

    /// Says whether log-ons from `source` are refused unseen.
    pub(super) fn bar(&self, source: Source) -> Option<Bar> {
        let is_locked = || {
            let mut lockout = lock(&self.lockout);
            lockout.has_failed(source) && {
                let (policy, now) = (self.policy(), (self.clock)());
                lockout.is_source_locked(source, &policy, now)
            }
        };
        if is_locked() {
            self.heed_unlocked();
            if is_locked() {
                return Some(Bar::Locked);
            }
        }
        let held = lock(&self.held).get(&source).copied().unwrap_or(0);
        let most = match source {
            Source::Console => MAX_HELD,
            Source::Host(_) => MAX_HELD_PER_SOURCE,
        };
        (held >= most).then_some(Bar::Busy)
    }

    /// Says whether log-ons with `account` from `source` are refused, however
    /// right they are.
    pub(super) fn is_locked(&self, account: &str, source: Source) -> bool {
        let is_locked = || {
            let mut lockout = lock(&self.lockout);
            lockout.has_failed_with(account, source) && {
                let (policy, now) = (self.policy(), (self.clock)());
                lockout.is_account_locked(account, source, &policy, now)
            }
        };
        is_locked() && {
            self.heed_unlocked();
            is_locked()
        }
    }

    /// Counts a failed log-on; `account` is one that exists.
    pub(super) fn fail(&self, account: Option<&str>, source: Source) -> Struck {
        self.heed_unlocked();
        let (policy, now) = (self.policy(), (self.clock)());
        let struck = lock(&self.lockout).fail(account, source, &policy, now);
        self.note_change();
        struck
    }

    /// Counts one that was right.
    pub(super) fn succeed(&self, account: &str, source: Source) {
        let mut lockout = lock(&self.lockout);
        // The console is known everywhere: there is nothing to remember.
        if source == Source::Console && !lockout.has_failed(source) {
            return;
        }
        let (policy, now) = (self.policy(), (self.clock)());
        if lockout.succeed(account, source, &policy, now) {
            self.note_change();
        }
    }

    /// Waits as long as an answer to `source` is held back. Not, when too many
    /// are: those who fail so often are locked out soon.
    pub(super) async fn hold(&self, source: Source, time: Duration) {
        if time.is_zero() {
            return;
        }
        let Some(_held) = Held::begin(self, source) else {
            return;
        };
        Counter::LogOnDelayed.bump();
        sleep(time).await;
    }

    /// Takes off what the administrator has unlocked since the last time: one
    /// question to the file system.
    fn heed_unlocked(&self) {
        let path = self.state.join(UNLOCKED_FILE);
        let stamp = std::fs::metadata(&path)
            .ok()
            .map(|file| (file.ino(), file.mtime(), file.mtime_nsec()));
        let mut heeded = lock(&self.heeded);
        if *heeded == stamp {
            return;
        }
        *heeded = stamp;
        match Unlocked::read(&path) {
            Ok(Some(list)) => {
                list.apply(&mut lock(&self.lockout), (self.clock)());
                self.note_change();
            }
            Ok(None) => {}
            Err(cause) => error!(
                cause = &cause as &dyn std::error::Error,
                "What was unlocked is not known"
            ),
        }
    }

    fn policy(&self) -> Policy {
        Policy::of(&self.settings.get().access)
    }

    fn note_change(&self) {
        self.has_changed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Writes the table after each change, until `stop`.
    async fn write_changes(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = WRITTEN_AFTER;
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                () = stop.cancelled() => break,
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => break,
            }
            pause = match self.write().await {
                Ok(()) => WRITTEN_AFTER,
                Err(cause) => {
                    let path = self.state.join(TABLE_FILE);
                    error!(%cause, path = %path.display(), "Failed log-ons not written");
                    self.note_change();
                    WRITTEN_AGAIN_AFTER
                }
            };
        }
        if self.has_changed.load(Ordering::Acquire)
            && let Err(cause) = self.write().await
        {
            error!(%cause, "Failed log-ons not written");
        }
    }

    /// Writes the table, on a thread that may wait.
    async fn write(self: &Arc<Self>) -> io::Result<()> {
        let own = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            own.has_changed.store(false, Ordering::Release);
            let policy = own.policy();
            // Written out from a copy: log-ons do not wait for it.
            let table = {
                let mut lockout = lock(&own.lockout);
                lockout.tidy(&policy, (own.clock)());
                lockout.clone()
            };
            let ownership = Ownership {
                mode: 0o600,
                owner: None,
            };
            replace_file(&own.state.join(TABLE_FILE), &table.encode(), ownership)
        });
        written
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the table could not be written out")))
    }

    /// One that is kept nowhere, at a time of the test's choice.
    #[cfg(test)]
    pub(super) fn for_test(
        settings: &Arc<Current>,
        clock: impl Fn() -> Moment + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self::new(Path::new("/nonexistent"), settings, clock))
    }
}

impl Keeper {
    /// Writes what is left, and ends.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            error!("Failed log-ons not written");
        }
    }
}

/// An answer that is held back; it is let go when this is dropped.
struct Held<'a> {
    attempts: &'a Attempts,
    source: Source,
}

impl<'a> Held<'a> {
    fn begin(attempts: &'a Attempts, source: Source) -> Option<Self> {
        let mut held = lock(&attempts.held);
        let others = held.iter().filter(|(one, _)| **one != Source::Console);
        let others: usize = others.map(|(_, held)| held).sum();
        if source != Source::Console && others >= MAX_HELD {
            return None;
        }
        *held.entry(source).or_default() += 1;
        Some(Self { attempts, source })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = lock(&self.attempts.held);
        if let Some(own) = held.get_mut(&self.source) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.remove(&self.source);
            }
        }
    }
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempts").finish_non_exhaustive()
    }
}

/// A panic leaves these values whole: what they do half-way harms nobody.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long changes are gathered before they are written.
const WRITTEN_AFTER: Duration = Duration::from_millis(800);

/// The same after the disk has refused them.
const WRITTEN_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Answers that are held back: for all sources but the console, and for it.
const MAX_HELD: usize = 256;

/// The same for one source. While there are so many, its passwords are not
/// looked at.
const MAX_HELD_PER_SOURCE: usize = 8;

#[cfg(test)]
mod tests;
