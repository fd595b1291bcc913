//! The store in one `SQLite` database: write-ahead log, a sync with each commit,
//! one thread that writes, a few connections that read.
//!
//! The writer takes all commits that wait into one transaction, so that they
//! share its sync; each has a savepoint of its own and fails alone. Readers
//! see the last commit and never wait for the writer. Every listing is a
//! range of an index, or several in one order: it costs its page, whatever
//! else the store holds. A removed job is gone at once; its files, if there are
//! many, are deleted in steps between other commits.
//!
//! The folder belongs to one process at a time (a lock), to one account (modes
//! 0700 and 0600), and to one key (see [`Vault`]). It must not lie on a network
//! file system: the write-ahead log needs shared memory and locks that hold.

mod doomed;
mod folder;
mod line;
mod read;
mod row;
mod select;
mod write;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;
use tokio::sync::oneshot;

use self::read::Readers;
use self::write::Lasts;
use self::write::Request;
use super::Change;
use super::ClockMark;
use super::Committed;
use super::Error;
use super::Listing;
use super::Place;
use super::Queued;
use super::Selection;
use super::Store;
use super::StoredEvent;
use super::purpose::JobSecret;
use crate::bits::Credentials;
use crate::bits::File;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::Secret;
use crate::bits::Timestamp;
use crate::vault::Vault;

/// Jobs, files, credentials and events in the `SQLite` database of one folder.
///
/// Dropping it ends the writer after what it has taken in.
#[derive(Debug)]
pub(crate) struct Sqlite {
    readers: Readers,
    /// None once it is being dropped.
    requests: Option<mpsc::SyncSender<Request>>,
    writer: Option<thread::JoinHandle<()>>,
    /// Held, not read: the folder is ours until it is closed.
    _lock: fs::File,
}

impl Sqlite {
    /// Opens the store in `folder`, after making it if it is not there.
    ///
    /// Blocking. After an unclean stop the database is checked as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when another process has the folder, it lies on a
    /// network file system, it was written by a later version or under another
    /// key; [`Error::Damaged`] when the check fails; [`Error::Unavailable`]
    /// when the disk does.
    pub(crate) fn open(folder: &Path, vault: Arc<Vault>) -> Result<Self, Error> {
        let lock = folder::claim(folder)?;
        let path = folder.join(DATABASE);
        folder::make_private_file(&path)?;
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        configure_writer(&connection)?;
        migrate(&mut connection)?;
        check_key(&connection, &vault)?;
        check_after_unclean_stop(&connection)?;
        let readers = (0..READERS)
            .map(|_| connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY))
            .collect::<Result<_, _>>()?;
        let (requests, queue) = mpsc::sync_channel(MAX_WAITING_COMMITS);
        let writer = thread::Builder::new()
            .name("store".to_owned())
            .spawn({
                let vault = Arc::clone(&vault);
                move || write::run(connection, &queue, &vault)
            })
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self {
            readers: Readers::new(readers, vault),
            requests: Some(requests),
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// There is a store in `folder`.
    pub(crate) fn exists(folder: &Path) -> bool {
        // An interrupted first start leaves an empty file, or none.
        fs::metadata(folder.join(DATABASE)).is_ok_and(|metadata| metadata.len() > 0)
    }
}

impl Sqlite {
    fn write(&self, changes: Vec<Change>, lasts: Lasts) -> Committed {
        let (done, result) = oneshot::channel();
        // Sent before the first poll, so that the order of the calls is the
        // order of the commits and a dropped future loses nothing. A full
        // queue holds the caller for as long as one group takes; the writer
        // is a plain thread and needs no task to go on.
        let request = Request {
            changes,
            lasts,
            done,
        };
        let sent = self
            .requests
            .as_ref()
            .is_some_and(|requests| requests.send(request).is_ok());
        Box::pin(async move {
            if !sent {
                return Err(ended());
            }
            result.await.unwrap_or_else(|_| Err(ended()))
        })
    }
}

impl Store for Sqlite {
    fn commit(&self, changes: Vec<Change>) -> Committed {
        self.write(changes, Lasts::Now)
    }

    fn note(&self, changes: Vec<Change>) -> Committed {
        self.write(changes, Lasts::WithTheNext)
    }

    fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        self.readers.job(id)
    }

    fn jobs(
        &self,
        selection: &Selection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Listing, Error> {
        self.readers.jobs(selection, after, limit)
    }

    fn owners(&self, limit: usize) -> Result<Vec<Owner>, Error> {
        self.readers.owners(limit)
    }

    fn count(&self, owner: Option<&Owner>) -> Result<u64, Error> {
        self.readers.count(owner)
    }

    fn line_owners(
        &self,
        level: Priority,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, Error> {
        self.readers.line_owners(level, after, limit)
    }

    fn line_of(&self, level: Priority, owner: &Owner, limit: usize) -> Result<Vec<Queued>, Error> {
        self.readers.line_of(level, owner, limit)
    }

    fn line_hosts(
        &self,
        level: Priority,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.readers.line_hosts(level, after, limit)
    }

    fn line_to(&self, level: Priority, host: &str, limit: usize) -> Result<Vec<Queued>, Error> {
        self.readers.line_to(level, host, limit)
    }

    fn count_ahead(&self, job: &Job, limit: usize) -> Result<u64, Error> {
        self.readers.count_ahead(job, limit)
    }

    fn retrying(&self, after: Option<(Timestamp, JobId)>, limit: usize) -> Result<Vec<Job>, Error> {
        self.readers.retrying(after, limit)
    }

    fn put_off(&self, limit: usize) -> Result<Vec<Job>, Error> {
        self.readers.put_off(limit)
    }

    fn disconnected(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, Error> {
        self.readers.disconnected(after, limit)
    }

    fn clock(&self) -> Result<Option<ClockMark>, Error> {
        self.readers.clock()
    }

    fn interrupted(&self, after: Option<JobId>, limit: usize) -> Result<Vec<Job>, Error> {
        self.readers.interrupted(after, limit)
    }

    fn files(&self, job: JobId, from: u32, limit: usize) -> Result<Vec<File>, Error> {
        self.readers.files(job, from, limit)
    }

    fn missing_files(&self, job: JobId, from: u32, limit: usize) -> Result<Vec<File>, Error> {
        self.readers.missing_files(job, from, limit)
    }

    fn credentials(&self, job: JobId) -> Result<Vec<Credentials>, Error> {
        self.readers.credentials(job)
    }

    fn headers(&self, job: JobId) -> Result<Option<Secret>, Error> {
        self.readers.headers(job)
    }

    fn file_at(&self, job: JobId, path: &Path) -> Result<Option<u32>, Error> {
        self.readers.file_at(job, path)
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
        self.readers.events(after, limit)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the job store panicked");
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match &error {
            E::SqliteFailure(failure, _)
                if matches!(
                    failure.code,
                    rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase
                ) =>
            {
                Self::Damaged(error.to_string())
            }
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..) => Self::Damaged(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

fn ended() -> Error {
    Error::Unavailable("the thread that writes has ended".to_owned())
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, Error> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it the planner looks at the values, and a cached statement is
    // compiled anew each time they change.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", CACHE_SIZE)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

fn configure_writer(connection: &Connection) -> Result<(), Error> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Refused(format!(
            "the file system allows no write-ahead log (journal mode {mode})"
        )));
    }
    connection.pragma_update(None, "synchronous", Lasts::Now.synchronous())?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_SIZE_LIMIT)?;
    Ok(())
}

/// Brings the database to the newest form, one step and one transaction at a
/// time.
fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || version != 0) {
        return Err(Error::Refused("not a job store".to_owned()));
    }
    let newest = MIGRATIONS.last().map_or(0, |(number, _)| *number);
    if version > newest {
        return Err(Error::Refused(format!(
            "written by a later version (form {version}, this one knows {newest})"
        )));
    }
    for (number, statements) in MIGRATIONS.iter().filter(|(number, _)| *number > version) {
        if version > 0 {
            // A million jobs take some ten seconds.
            tracing::info!(form = number, "Job store is brought to a newer form");
        }
        let step =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        step.execute_batch(statements)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", number)?;
        step.commit()?;
    }
    Ok(())
}

/// Compares the key with the one that the store was made under.
fn check_key(connection: &Connection, vault: &Vault) -> Result<(), Error> {
    let nobody = JobId::from_octets([0; 16]);
    let Some(sealed) = meta(connection, "key_check")? else {
        let sealed = vault.seal(&JobSecret::KeyCheck.of(nobody), b"")?;
        return set_meta(connection, "key_check", &sealed);
    };
    vault
        .unseal(&JobSecret::KeyCheck.of(nobody), &sealed)
        .map(drop)
        .map_err(|_| Error::Refused("its secrets were written under another key".to_owned()))
}

/// Checks the database as a whole if the last process that had it did not
/// close it, then marks it as open.
fn check_after_unclean_stop(connection: &Connection) -> Result<(), Error> {
    if meta(connection, OPEN_MARK)?.is_some() {
        let answer: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if answer != "ok" {
            return Err(Error::Damaged(answer));
        }
        return Ok(());
    }
    set_meta(connection, OPEN_MARK, b"")
}

fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut statement = connection.prepare("SELECT value FROM meta WHERE name = ?1")?;
    let mut rows = statement.query([name])?;
    Ok(match rows.next()? {
        Some(row) => Some(row.get(0)?),
        None => None,
    })
}

fn set_meta(connection: &Connection, name: &str, value: &[u8]) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
        (name, value),
    )?;
    Ok(())
}

/// The database; its log and shared memory lie beside it.
const DATABASE: &str = "jobs.sqlite";

/// In the order of their numbers; a released one never changes.
const MIGRATIONS: &[(u32, &str)] = &[
    (1, include_str!("0001.sql")),
    (2, include_str!("0002.sql")),
    (3, include_str!("0003.sql")),
];

/// "BITS": what `file` and `sqlite3` show of the database.
const APPLICATION_ID: i64 = 0x4249_5453;

/// The row of `meta` that is there while a process has the store open.
const OPEN_MARK: &str = "open";

/// The row of `meta` that has the last [`ClockMark`].
const CLOCK: &str = "clock";

/// Commits that may wait for the writer. Each belongs to a request or to a
/// running job, and those are bounded; a group takes them all at once.
const MAX_WAITING_COMMITS: usize = 4_096;

/// A read takes microseconds: a few connections are enough for any number of
/// tasks.
const READERS: usize = 4;

/// More than there are different statements.
const STATEMENTS: usize = 64;

/// Nobody else writes, but an operator may look with a tool of his own.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Negative: KiB for each connection.
const CACHE_SIZE: i64 = -8_192;

const WAL_CHECKPOINT_PAGES: i64 = 4_000;

/// Octets that a log keeps after a checkpoint.
const WAL_SIZE_LIMIT: i64 = 64 << 20;

#[cfg(test)]
mod tests;
