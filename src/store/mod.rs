//! What must outlive the process: jobs, files, credentials, events.
//!
//! A store keeps what it is given, all or nothing, and decides nothing. When
//! [`Store::commit`] answers, `kill -9` and power loss do not undo it.

use std::future::Future;
use std::pin::Pin;

use serde::Deserialize;
use serde::Serialize;

use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Credentials;
use crate::bits::File;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::Secret;
use crate::bits::Timestamp;

#[cfg(test)]
mod battery;
mod place;
mod purpose;
mod selection;
mod sqlite;

use crate::vault::VaultError;
pub(crate) use place::Place;
use place::Way;
pub(crate) use selection::Among;
pub(crate) use selection::Selection;
pub(crate) use selection::Span;
pub(crate) use sqlite::Sqlite;

/// A place that keeps jobs. Readers never wait for a writer, and may be called
/// from a task: they answer within microseconds from what is in memory.
pub(crate) trait Store: Send + Sync + 'static {
    /// Keeps all of `changes`, or none. Durable when the future resolves; it
    /// goes on to its end when the future is dropped. Groups of several
    /// callers may share one sync.
    fn commit(&self, changes: Vec<Change>) -> Committed;

    /// The same, but for what a loss of power may take back: it is durable once
    /// a later commit is. Readers and a crash of the process alone see no
    /// difference.
    fn note(&self, changes: Vec<Change>) -> Committed {
        self.commit(changes)
    }

    /// The job, unless there is none.
    fn job(&self, id: JobId) -> Result<Option<Job>, Error>;

    /// The jobs in `selection`, in a stable order that the store chooses when
    /// `after` is none: looks at `limit` jobs at most that come after `after`,
    /// and gives those of them that are in it.
    fn jobs(
        &self,
        selection: &Selection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Listing, Error>;

    /// Those who own jobs, in the order of their names; at most `limit`.
    fn owners(&self, limit: usize) -> Result<Vec<Owner>, Error>;

    /// How many jobs there are, those of `owner` only if there is one.
    fn count(&self, owner: Option<&Owner>) -> Result<u64, Error>;

    /// Owners who have jobs of this priority in the line (QUEUED, without an
    /// intent and a time to wake), in the order of their names: at most `limit`
    /// that come after `after`. The line is read by index: no answer costs more
    /// than what it gives.
    fn line_owners(
        &self,
        level: Priority,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, Error>;

    /// Jobs of `owner` and this priority in the line, first come first
    /// (`queued_at`, then key); at most `limit`.
    fn line_of(&self, level: Priority, owner: &Owner, limit: usize) -> Result<Vec<Queued>, Error>;

    /// Hosts to which jobs of this priority in the line want, in the order of
    /// their names: at most `limit` that come after `after`.
    fn line_hosts(
        &self,
        level: Priority,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error>;

    /// Jobs of this priority in the line that want to `host`, by owner, then
    /// first come first; at most `limit`.
    fn line_to(&self, level: Priority, host: &str, limit: usize) -> Result<Vec<Queued>, Error>;

    /// How many jobs of its owner and priority stand in the line before `job`;
    /// counts to `limit` only.
    fn count_ahead(&self, job: &Job, limit: usize) -> Result<u64, Error>;

    /// Jobs in `TRANSIENT_ERROR` without an intent, next to wake first: at most
    /// `limit` that come after `after`.
    fn retrying(&self, after: Option<(Timestamp, JobId)>, limit: usize) -> Result<Vec<Job>, Error>;

    /// QUEUED jobs that have a time to wake, without an intent, next to wake
    /// first; at most `limit`.
    fn put_off(&self, limit: usize) -> Result<Vec<Job>, Error>;

    /// Jobs in `TRANSIENT_ERROR` that wait for the network, without an intent: at
    /// most `limit` that come after `after`.
    fn disconnected(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, Error>;

    /// What was last kept of the clocks.
    fn clock(&self) -> Result<Option<ClockMark>, Error>;

    /// Jobs that a stop found in CONNECTING or TRANSFERRING, or with an
    /// intent: at most `limit` that come after `after`.
    fn interrupted(&self, after: Option<JobId>, limit: usize) -> Result<Vec<Job>, Error>;

    /// Files of a job in the order of their index: at most `limit` with an
    /// index of at least `from`.
    fn files(&self, job: JobId, from: u32, limit: usize) -> Result<Vec<File>, Error>;

    /// The same, of those that are not here yet.
    fn missing_files(&self, job: JobId, from: u32, limit: usize) -> Result<Vec<File>, Error>;

    /// The credentials of a job, decrypted.
    fn credentials(&self, job: JobId) -> Result<Vec<Credentials>, Error>;

    /// The custom headers of a job, decrypted.
    fn headers(&self, job: JobId) -> Result<Option<Secret>, Error>;

    /// The file of `job` that is to land at `path` when names are compared
    /// without regard to case.
    fn file_at(&self, job: JobId, path: &std::path::Path) -> Result<Option<u32>, Error>;

    /// Events in the order of their sequence: at most `limit` that come after
    /// `after`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for subscriptions to events"))]
    fn events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error>;
}

/// A slice of a listing of jobs.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The jobs, each with the place behind it.
    pub(crate) jobs: Vec<(Job, Place)>,
    /// The place behind the last job that was looked at; none when there was
    /// none.
    pub(crate) reached: Option<Place>,
    /// Nothing comes after it.
    pub(crate) is_last: bool,
}

/// One step of a commit.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most changes are jobs, and few wait at a time"
)]
pub(crate) enum Change {
    /// Insert the job, or put it in the place of the one with its key.
    Job(Job),
    /// Insert the file, or put it in the place of the one with its index.
    File(JobId, File),
    /// Keep how far the file has come; it is there, and asked for as it was.
    Progress(JobId, File),
    /// Forget the job, its files and its secrets.
    Remove(JobId),
    /// Insert the credentials, or put them in the place of those for the same
    /// target and scheme. They are encrypted, bound to the job.
    Credentials(JobId, Credentials),
    /// Forget credentials.
    RemoveCredentials(JobId, AuthTarget, AuthScheme),
    /// Keep the custom headers, encrypted, or forget them.
    Headers(JobId, Option<Secret>),
    /// Put the second text in the place of the first, at the beginning of all
    /// remote addresses of a job that begin with it. Neither has a query.
    RemotePrefix(JobId, String, String),
    /// Keep what the clocks show.
    Clock(ClockMark),
    /// Append an event.
    Event(Event),
}

/// A job in the line: as much of it as the scheduler needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Queued {
    /// Which.
    pub(crate) id: JobId,
    /// Whose.
    pub(crate) owner: Owner,
    /// From which host it fetches next.
    pub(crate) host: String,
    /// How urgent.
    pub(crate) priority: Priority,
}

/// What the clocks showed at one moment: from it the steady clock goes on after
/// a start.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct ClockMark {
    /// The calendar.
    pub(crate) date: Timestamp,
    /// The one that never jumps.
    pub(crate) steady: Timestamp,
    /// Which boot of the host.
    pub(crate) boot: String,
    /// Time since that boot, sleep included, in milliseconds.
    pub(crate) since_boot_ms: u64,
}

/// Something that happened to a job, kept after the job has gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    /// When.
    pub(crate) at: Timestamp,
    /// To which job.
    pub(crate) job: JobId,
    /// Whose job it is.
    pub(crate) owner: Owner,
    /// What: a word such as `created`, `resumed`, `error`.
    pub(crate) kind: &'static str,
    /// Who asked for it; nobody when the engine did it by itself.
    pub(crate) by: Option<Owner>,
    /// For people; no secrets.
    pub(crate) detail: String,
}

/// An event with its place in the order of commits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct StoredEvent {
    /// Grows by each event, never reused.
    pub(crate) sequence: u64,
    /// When, to which job, and so on.
    pub(crate) at: Timestamp,
    /// To which job.
    pub(crate) job: JobId,
    /// Whose job it is.
    pub(crate) owner: Owner,
    /// What happened.
    pub(crate) kind: String,
    /// Who asked for it.
    pub(crate) by: Option<Owner>,
    /// For people.
    pub(crate) detail: String,
}

impl Listing {
    /// The end of a listing.
    const fn end() -> Self {
        Self {
            jobs: Vec::new(),
            reached: None,
            is_last: true,
        }
    }
}

/// Resolves when a commit is durable. Dropping it does not undo the commit.
pub(crate) type Committed = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The store could not do it; nothing was kept.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The disk or the database failed.
    #[error("job store unavailable: {0}")]
    Unavailable(String),
    /// What lies there is not what was written.
    #[error("job store damaged: {0}")]
    Damaged(String),
    /// A start with another key than the one that the secrets were written
    /// under, or another's folder.
    #[error("job store refused: {0}")]
    Refused(String),
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::KeyFile { .. } => Self::Refused(error.to_string()),
            VaultError::NotSealed => Self::Unavailable(error.to_string()),
            VaultError::NotOurs => Self::Damaged(error.to_string()),
        }
    }
}
