//! Connections that read.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::TryLockError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::Params;
use rusqlite::Row;
use rusqlite::params;

use super::row;
use super::select;
use crate::bits::Credentials;
use crate::bits::File;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Secret;
use crate::bits::Timestamp;
use crate::store::ClockMark;
use crate::store::Error;
use crate::store::Listing;
use crate::store::Place;
use crate::store::Selection;
use crate::store::StoredEvent;
use crate::vault::Vault;

/// A few connections that read what was committed last.
pub(super) struct Readers {
    connections: Box<[Mutex<Connection>]>,
    vault: Arc<Vault>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>, vault: Arc<Vault>) -> Self {
        Self {
            connections: connections.into_iter().map(Mutex::new).collect(),
            vault,
        }
    }

    pub(super) fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        self.first(JOB, [id.to_octets()], row::job)
    }

    pub(super) fn jobs(
        &self,
        selection: &Selection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Listing, Error> {
        select::jobs(&self.connection(), selection, after, limit)
    }

    pub(super) fn owners(&self, limit: usize) -> Result<Vec<Owner>, Error> {
        self.all(OWNERS, [bounded(limit)], |row| {
            let name = row.get_ref(0)?.as_str().map_err(row::damaged)?;
            Ok(Owner::new(name))
        })
    }

    pub(super) fn count(&self, owner: Option<&Owner>) -> Result<u64, Error> {
        let (kind, owner) = owner.map_or((0, ""), |owner| (1, owner.as_str()));
        let count = self.first(COUNT, params![kind, owner], |row| row::unsigned(row, 0))?;
        Ok(count.unwrap_or(0))
    }

    pub(super) fn retrying(
        &self,
        after: Option<(Timestamp, JobId)>,
        limit: usize,
    ) -> Result<Vec<Job>, Error> {
        let (wake_at, id) = match after {
            Some((wake_at, id)) => (row::ticks(wake_at), Some(id.to_octets())),
            None => (0, None),
        };
        let id = id.as_ref().map_or(BEFORE_ALL, |octets| octets.as_slice());
        self.all(RETRYING, params![wake_at, id, bounded(limit)], row::job)
    }

    pub(super) fn put_off(&self, limit: usize) -> Result<Vec<Job>, Error> {
        self.all(PUT_OFF, [bounded(limit)], row::job)
    }

    pub(super) fn disconnected(
        &self,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobId>, Error> {
        let after = after.map(JobId::to_octets);
        let after = after
            .as_ref()
            .map_or(BEFORE_ALL, |octets| octets.as_slice());
        self.all(DISCONNECTED, params![after, bounded(limit)], |row| {
            Ok(JobId::from_octets(row.get(0)?))
        })
    }

    pub(super) fn interrupted(
        &self,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Job>, Error> {
        let after = after.map(JobId::to_octets);
        let after = after
            .as_ref()
            .map_or(BEFORE_ALL, |octets| octets.as_slice());
        self.all(INTERRUPTED, params![after, bounded(limit)], row::job)
    }

    pub(super) fn files(&self, job: JobId, from: u32, limit: usize) -> Result<Vec<File>, Error> {
        self.all(
            FILES,
            params![job.to_octets(), from, bounded(limit)],
            |row| row::file(row, &self.vault, job),
        )
    }

    pub(super) fn missing_files(
        &self,
        job: JobId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<File>, Error> {
        self.all(
            MISSING_FILES,
            params![job.to_octets(), from, bounded(limit)],
            |row| row::file(row, &self.vault, job),
        )
    }

    pub(super) fn credentials(&self, job: JobId) -> Result<Vec<Credentials>, Error> {
        self.all(CREDENTIALS, [job.to_octets()], |row| {
            row::credentials(row, &self.vault, job)
        })
    }

    pub(super) fn headers(&self, job: JobId) -> Result<Option<Secret>, Error> {
        self.first(HEADERS, [job.to_octets()], |row| {
            row::headers(row, &self.vault, job)
        })
    }

    pub(super) fn file_at(&self, job: JobId, path: &Path) -> Result<Option<u32>, Error> {
        self.first(
            FILE_AT,
            params![job.to_octets(), row::folded(path)],
            |row| Ok(row.get(0)?),
        )
    }

    pub(super) fn events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.all(EVENTS, [after, bounded(limit)], row::event)
    }

    pub(super) fn clock(&self) -> Result<Option<ClockMark>, Error> {
        let mark = super::meta(&self.connection(), super::CLOCK)?;
        mark.map(|mark| serde_json::from_slice(&mark).map_err(row::damaged))
            .transpose()
    }

    /// The first row of a statement, if there is one.
    pub(super) fn first<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(statement)?;
        let mut rows = statement.query(values)?;
        rows.next()?.map(read).transpose()
    }

    /// Every row of a statement, which bounds them itself.
    pub(super) fn all<T>(
        &self,
        statement: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(statement)?;
        let mut rows = statement.query(values)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    /// A connection that nobody else uses now: this thread's own if it is
    /// free, whose pages are warm.
    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        let home = HOME.with(Cell::get) % self.connections.len();
        for connection in self.connections[home..]
            .iter()
            .chain(&self.connections[..home])
        {
            match connection.try_lock() {
                Ok(connection) => return connection,
                // A reader leaves nothing half done: statements are reset
                // when they are dropped.
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.connections[home]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readers({})", self.connections.len())
    }
}

thread_local! {
    /// Which connection a thread tries first.
    static HOME: Cell<usize> = Cell::new(NEXT_HOME.fetch_add(1, Ordering::Relaxed));
}

static NEXT_HOME: AtomicUsize = AtomicUsize::new(0);

pub(super) fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A key that comes before every other.
pub(super) const BEFORE_ALL: &[u8] = &[];

// `INDEXED BY`: a statement that could not use its index must fail a test,
// not scan a million jobs.

pub(super) const JOB: &str = concat!("SELECT ", row::job_columns!(), " FROM job WHERE id = ?1");

const OWNERS: &str = "SELECT owner FROM tally WHERE kind = 1 ORDER BY owner LIMIT ?1";

const COUNT: &str = "SELECT jobs FROM tally WHERE kind = ?1 AND owner = ?2";

const RETRYING: &str = concat!(
    "SELECT ",
    row::job_columns!(),
    " FROM job INDEXED BY job_waiting WHERE state = 5 AND intent IS NULL \
     AND (wake_at, id) > (?1, ?2) ORDER BY wake_at, id LIMIT ?3"
);

const PUT_OFF: &str = concat!(
    "SELECT ",
    row::job_columns!(),
    " FROM job INDEXED BY job_put_off WHERE state = 0 AND wake_at IS NOT NULL \
     AND intent IS NULL ORDER BY wake_at, id LIMIT ?1"
);

/// The code as the index has it.
const DISCONNECTED: &str = "SELECT id FROM job INDEXED BY job_disconnected \
     WHERE state = 5 AND error_code = 2149580816 AND intent IS NULL AND id > ?1 \
     ORDER BY id LIMIT ?2";

const INTERRUPTED: &str = concat!(
    "SELECT ",
    row::job_columns!(),
    " FROM job INDEXED BY job_interrupted \
     WHERE (state = 1 OR state = 2 OR intent IS NOT NULL) AND id > ?1 ORDER BY id LIMIT ?2"
);

// `CROSS JOIN` keeps the order of the tables.

const FILES: &str = concat!(
    "SELECT ",
    row::file_columns!(),
    " FROM file f CROSS JOIN progress p ON p.job = f.job AND p.place = f.place \
     WHERE f.job = ?1 AND f.place >= ?2 \
     AND NOT EXISTS (SELECT 1 FROM doomed WHERE job = ?1) ORDER BY f.place LIMIT ?3"
);

const MISSING_FILES: &str = concat!(
    "SELECT ",
    row::file_columns!(),
    " FROM progress p INDEXED BY progress_missing \
     CROSS JOIN file f ON f.job = p.job AND f.place = p.place \
     WHERE p.job = ?1 AND p.place >= ?2 AND p.transferred = 0 \
     AND NOT EXISTS (SELECT 1 FROM doomed WHERE job = ?1) ORDER BY p.place LIMIT ?3"
);

const HEADERS: &str = "SELECT sealed FROM headers WHERE job = ?1";

const CREDENTIALS: &str =
    "SELECT target, scheme, sealed FROM credentials WHERE job = ?1 ORDER BY target, scheme";

const FILE_AT: &str = "SELECT place FROM file INDEXED BY file_by_path WHERE job = ?1 AND folded = ?2 \
     AND NOT EXISTS (SELECT 1 FROM doomed WHERE job = ?1) ORDER BY place LIMIT 1";

const EVENTS: &str = "SELECT sequence, at, job, owner, kind, by, detail FROM event \
     WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";

/// Every statement with how many values it takes, for the test that holds them
/// to their indexes.
#[cfg(test)]
pub(super) const STATEMENTS: &[(&str, usize)] = &[
    (JOB, 1),
    (OWNERS, 1),
    (COUNT, 2),
    (RETRYING, 3),
    (PUT_OFF, 1),
    (DISCONNECTED, 2),
    (INTERRUPTED, 2),
    (FILES, 3),
    (MISSING_FILES, 3),
    (CREDENTIALS, 1),
    (FILE_AT, 2),
    (EVENTS, 2),
];
