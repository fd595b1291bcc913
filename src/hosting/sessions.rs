//! The sessions that there are, by their names: who has them, and who works on
//! them.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::receive::Held;
use super::session::Session;
use crate::bits::JobId;
use crate::telemetry::counters::Gauge;

/// The sessions that there are.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    by_id: HashMap<JobId, Arc<Entry>>,
    /// Those that their clients have closed, the oldest first: kept for a client
    /// that has lost the answer.
    closed: VecDeque<JobId>,
}

/// A session, as it is looked up.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: JobId,
    pub(super) owner: Option<String>,
    pub(super) folder: String,
    pub(super) target: String,
    touched_at_s: AtomicU64,
    state: Mutex<State>,
    session: Arc<tokio::sync::Mutex<Option<Session>>>,
}

#[derive(Debug)]
struct State {
    /// The client has closed it.
    is_closed: bool,
    /// Ends the fragment that comes at the moment.
    give_way: CancellationToken,
}

/// No more sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Full;

impl Entry {
    pub(super) fn new(
        id: JobId,
        owner: Option<String>,
        folder: String,
        target: String,
        now_s: u64,
    ) -> Self {
        Self {
            id,
            owner,
            folder,
            target,
            touched_at_s: AtomicU64::new(now_s),
            state: Mutex::new(State {
                is_closed: false,
                give_way: CancellationToken::new(),
            }),
            session: Arc::default(),
        }
    }

    /// Works on the session alone; the fragment that comes at the moment ends.
    /// `None` when another packet takes too long.
    pub(super) async fn hold(&self) -> Option<(Held, CancellationToken)> {
        let mine = CancellationToken::new();
        let before = std::mem::replace(&mut lock(&self.state).give_way, mine.clone());
        before.cancel();
        let held = timeout(HELD_WITHIN, Arc::clone(&self.session).lock_owned()).await;
        Some((held.ok()?, mine))
    }

    /// The same, if nobody works on it.
    pub(super) fn try_hold(&self) -> Option<Held> {
        Arc::clone(&self.session).try_lock_owned().ok()
    }

    /// The client was heard.
    pub(super) fn touch(&self, now_s: u64) {
        self.touched_at_s.store(now_s, Ordering::Relaxed);
    }

    /// Seconds since the client was heard.
    pub(super) fn silent_for_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.touched_at_s.load(Ordering::Relaxed))
    }

    /// Has the client closed it?
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }
}

impl Sessions {
    /// Adds a session that somebody has from before.
    pub(super) fn take_up(&self, entry: Entry, session: Option<Session>) {
        let is_closed = session.is_none();
        let entry = Entry {
            session: Arc::new(tokio::sync::Mutex::new(session)),
            ..entry
        };
        lock(&entry.state).is_closed = is_closed;
        let mut all = lock(&self.0);
        if is_closed {
            all.closed.push_back(entry.id);
        } else {
            Gauge::UploadSessions.up();
        }
        all.by_id.insert(entry.id, Arc::new(entry));
    }

    /// Adds a session, if its owner has fewer than `most` in the folder (0: no
    /// limit).
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub(super) fn add(&self, entry: Entry, most: u32) -> Result<Arc<Entry>, Full> {
        let mut all = lock(&self.0);
        let is_same = |other: &&Arc<Entry>| {
            other.owner == entry.owner && other.folder == entry.folder && !other.is_closed()
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if all.by_id.len() >= MAX_SESSIONS
            || (most > 0 && all.by_id.values().filter(is_same).take(most).count() >= most)
        {
            return Err(Full);
        }
        let entry = Arc::new(entry);
        all.by_id.insert(entry.id, Arc::clone(&entry));
        Gauge::UploadSessions.up();
        Ok(entry)
    }

    /// The session of this name.
    pub(super) fn find(&self, id: JobId) -> Option<Arc<Entry>> {
        lock(&self.0).by_id.get(&id).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        lock(&self.0).by_id.values().cloned().collect()
    }

    /// The client has closed a session. Says which one, closed long ago, is not
    /// kept any more for that.
    pub(super) fn close(&self, entry: &Entry) -> Option<JobId> {
        let mut all = lock(&self.0);
        if !std::mem::replace(&mut lock(&entry.state).is_closed, true) {
            Gauge::UploadSessions.down();
            all.closed.push_back(entry.id);
        }
        if all.closed.len() <= MAX_CLOSED {
            return None;
        }
        let oldest = all.closed.pop_front()?;
        all.by_id.remove(&oldest);
        Some(oldest)
    }

    /// Forgets a session.
    pub(super) fn remove(&self, entry: &Entry) {
        let mut all = lock(&self.0);
        if all.by_id.remove(&entry.id).is_none() {
            return;
        }
        if entry.is_closed() {
            all.closed.retain(|id| *id != entry.id);
        } else {
            Gauge::UploadSessions.down();
        }
    }
}

/// Each change is whole before the lock is let go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a packet waits for the one before it: the application behind may
/// take five minutes.
const HELD_WITHIN: Duration = Duration::from_secs(330);

/// Sessions that there may be; each takes some 500 octets.
const MAX_SESSIONS: usize = 100_000;

/// Closed sessions that are kept for a client that has lost the answer.
const MAX_CLOSED: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(owner: &str) -> Entry {
        let owner = Some(owner.to_owned());
        Entry::new(JobId::new(), owner, "/upload".to_owned(), "x".to_owned(), 0)
    }

    #[test]
    fn an_account_has_so_many_open_sessions_and_no_more() {
        let sessions = Sessions::default();
        let first = sessions.add(entry("alice"), 2).expect("room");
        let second = sessions.add(entry("alice"), 2).expect("room");
        assert_eq!(sessions.add(entry("alice"), 2).err(), Some(Full));
        assert!(sessions.add(entry("bob"), 2).is_ok());
        assert_eq!(sessions.close(&first), None);
        sessions.remove(&second);
        for _ in 0..2 {
            assert!(sessions.add(entry("alice"), 2).is_ok());
        }
        assert!(sessions.add(entry("alice"), 0).is_ok());
        assert!(sessions.find(first.id).is_some());
        assert!(sessions.find(second.id).is_none());
    }

    #[test]
    fn closed_sessions_are_kept_up_to_a_bound() {
        let sessions = Sessions::default();
        let mut forgotten = Vec::new();
        let mut added = Vec::new();
        for _ in 0..MAX_CLOSED + 3 {
            let entry = sessions.add(entry("alice"), 1).expect("room");
            added.push(entry.id);
            forgotten.extend(sessions.close(&entry));
        }
        assert_eq!(forgotten, added[..3]);
        assert_eq!(sessions.all().len(), MAX_CLOSED);
    }

    #[tokio::test]
    async fn a_later_packet_has_the_one_before_it_give_way() {
        let entry = entry("alice");
        let (held, give_way) = entry.hold().await.expect("free");
        assert!(entry.try_hold().is_none());
        let later = async {
            let (_, mine) = entry.hold().await.expect("free in a moment");
            assert!(!mine.is_cancelled());
        };
        let earlier = async {
            give_way.cancelled().await;
            drop(held);
        };
        tokio::join!(later, earlier);
    }
}
