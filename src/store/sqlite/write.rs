//! The one thread that writes: groups of commits, one sync for each group.

use std::sync::mpsc;

use rusqlite::Connection;
use rusqlite::params;
use tokio::sync::oneshot;

use super::doomed;
use super::row;
use crate::bits::Credentials;
use crate::bits::File;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Secret;
use crate::store::Change;
use crate::store::Error;
use crate::store::Event;
use crate::store::purpose::JobSecret;
use crate::vault::Vault;

/// A commit that waits, and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    /// All of it or nothing.
    pub(super) changes: Vec<Change>,
    /// When it is durable.
    pub(super) lasts: Lasts,
    /// Is told the outcome; nobody may listen any more.
    pub(super) done: oneshot::Sender<Result<(), Error>>,
}

/// When a commit is durable.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Lasts {
    /// Once the next one is that must be now.
    WithTheNext,
    /// When its outcome is told.
    Now,
}

impl Lasts {
    /// What `SQLite` calls it: with `NORMAL` it syncs the log before a checkpoint
    /// only. A sync is of the whole log: whatever was written before lasts too.
    pub(super) fn synchronous(self) -> &'static str {
        match self {
            Self::WithTheNext => "NORMAL",
            Self::Now => "FULL",
        }
    }
}

/// Writes what comes through `queue` until its other end is dropped, then
/// closes the database as cleanly stopped.
///
/// Between the groups it deletes what large jobs have left behind.
pub(super) fn run(connection: Connection, queue: &mpsc::Receiver<Request>, vault: &Vault) {
    // An earlier process may have left some.
    let mut has_doomed = true;
    loop {
        let first = if has_doomed {
            match queue.try_recv() {
                Ok(first) => Some(first),
                Err(mpsc::TryRecvError::Empty) => None,
                Err(mpsc::TryRecvError::Disconnected) => break,
            }
        } else {
            match queue.recv() {
                Ok(first) => Some(first),
                Err(mpsc::RecvError) => break,
            }
        };
        if let Some(first) = first {
            let group = take_group(first, queue);
            has_doomed |= group.iter().any(Request::removes);
            write_group(&connection, vault, group);
        }
        if has_doomed {
            has_doomed = doomed::step(&connection).unwrap_or_else(|error| {
                roll_back(&connection);
                tracing::warn!(%error, "Files of removed jobs stay in the store for now");
                false
            });
        }
    }
    if let Err(error) = close(connection) {
        tracing::warn!(%error, "Job store closed uncleanly: the next start checks it");
    }
}

/// Marks the database as cleanly stopped, and leaves all of it in one file: an
/// operator may copy it then.
fn close(connection: Connection) -> Result<(), Error> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [super::OPEN_MARK])?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error.into())
}

/// All commits that wait, up to a bound.
fn take_group(first: Request, queue: &mpsc::Receiver<Request>) -> Vec<Request> {
    let mut size = first.changes.len();
    let mut group = vec![first];
    while size < MAX_GROUP_CHANGES {
        let Ok(next) = queue.try_recv() else { break };
        size += next.changes.len();
        group.push(next);
    }
    group
}

/// Writes the commits of `group` in one transaction and tells each its
/// outcome. If the transaction as a whole fails, each is tried by itself: one
/// that does not fit on the disk must not take the others with it.
fn write_group(connection: &Connection, vault: &Vault, group: Vec<Request>) {
    match try_group(connection, vault, &group) {
        Ok(outcomes) => {
            for (request, outcome) in group.into_iter().zip(outcomes) {
                request.tell(outcome);
            }
        }
        Err(error) => {
            roll_back(connection);
            if group.len() == 1 {
                for request in group {
                    request.tell(Err(error.clone()));
                }
                return;
            }
            for request in group {
                write_group(connection, vault, vec![request]);
            }
        }
    }
}

/// The outcome of each commit, all of them as durable as the most durable is to
/// be; or why there is none.
fn try_group(
    connection: &Connection,
    vault: &Vault,
    group: &[Request],
) -> Result<Vec<Result<(), Error>>, Error> {
    let lasts = group.iter().map(|request| request.lasts).max();
    let lasts = lasts.unwrap_or(Lasts::Now);
    connection.pragma_update(None, "synchronous", lasts.synchronous())?;
    run_cached(connection, "BEGIN IMMEDIATE")?;
    let mut outcomes = Vec::with_capacity(group.len());
    for request in group {
        run_cached(connection, "SAVEPOINT one")?;
        let outcome = apply(connection, vault, &request.changes);
        if let Err(error) = &outcome {
            // A full disk ends the whole transaction, not the savepoint.
            if connection.is_autocommit() {
                return Err(error.clone());
            }
            run_cached(connection, "ROLLBACK TO one")?;
        }
        run_cached(connection, "RELEASE one")?;
        outcomes.push(outcome);
    }
    run_cached(connection, "COMMIT")?;
    Ok(outcomes)
}

/// Ends a transaction that failed, if it is still there.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "Job store could not be rolled back");
    }
}

impl Request {
    fn removes(&self) -> bool {
        self.changes
            .iter()
            .any(|change| matches!(change, Change::Remove(_)))
    }

    fn tell(self, outcome: Result<(), Error>) {
        if let Err(error) = &outcome {
            tracing::error!(%error, "Job store did not keep a commit");
        }
        // Whoever asked may have gone; the commit stands.
        let _ = self.done.send(outcome);
    }
}

fn apply(connection: &Connection, vault: &Vault, changes: &[Change]) -> Result<(), Error> {
    let mut events = 0;
    for change in changes {
        match change {
            Change::Job(job) => put_job(connection, job)?,
            Change::File(job, file) => put_file(connection, vault, *job, file)?,
            Change::Progress(job, file) => put_progress(connection, *job, file)?,
            Change::Remove(job) => remove(connection, *job)?,
            Change::Credentials(job, credentials) => {
                put_credentials(connection, vault, *job, credentials)?;
            }
            Change::RemoveCredentials(job, target, scheme) => {
                connection
                    .prepare_cached(
                        "DELETE FROM credentials WHERE job = ?1 AND target = ?2 AND scheme = ?3",
                    )?
                    .execute(params![job.to_octets(), *target as u8, *scheme as u8])?;
            }
            Change::Headers(job, headers) => {
                put_headers(connection, vault, *job, headers.as_ref())?;
            }
            Change::RemotePrefix(job, old, new) => {
                // The query, which is sealed, stands by itself.
                connection
                    .prepare_cached(
                        "UPDATE file SET remote_url = ?3 || substr(remote_url, length(?2) + 1)
                         WHERE job = ?1 AND substr(remote_url, 1, length(?2)) = ?2",
                    )?
                    .execute(params![job.to_octets(), old, new])?;
            }
            Change::Clock(mark) => {
                let mark = serde_json::to_vec(mark)
                    .map_err(|error| Error::Unavailable(error.to_string()))?;
                super::set_meta(connection, super::CLOCK, &mark)?;
            }
            Change::Event(event) => {
                append(connection, event)?;
                events += 1;
            }
        }
    }
    if events > 0 {
        // A few more than were added, so that a store whose bound was lowered
        // comes down to it without one long commit.
        connection
            .prepare_cached(
                "DELETE FROM event WHERE sequence IN (
                     SELECT sequence FROM event
                     WHERE sequence <= (SELECT max(sequence) FROM event) - ?1
                     ORDER BY sequence LIMIT ?2)",
            )?
            .execute([KEPT_EVENTS, events + 64])?;
    }
    Ok(())
}

fn put_job(connection: &Connection, job: &Job) -> Result<(), Error> {
    // Almost always the job is there and keeps its owner, and mostly its state
    // too: that leaves the indexes alone.
    for statement in [row::UPDATE_PROGRESS_OF_JOB, row::UPDATE_JOB] {
        if row::write_job(connection, statement, job)? > 0 {
            return Ok(());
        }
    }
    doomed::finish(connection, job.id)?;
    row::write_job(connection, row::UPSERT_JOB, job)?;
    Ok(())
}

fn put_file(connection: &Connection, vault: &Vault, job: JobId, file: &File) -> Result<(), Error> {
    doomed::finish(connection, job)?;
    if !is_asked_for_so(connection, vault, job, file)? {
        let (clear, query) = row::split_query(&file.remote_url);
        let query = query
            .map(|query| vault.seal(&JobSecret::Query(file.index).of(job), query.as_bytes()))
            .transpose()?;
        connection
            .prepare_cached(
                "INSERT INTO file VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO UPDATE SET remote_url = excluded.remote_url,
                     query = excluded.query, local_file = excluded.local_file,
                     path = excluded.path, folded = excluded.folded,
                     ranges = excluded.ranges, sha256 = excluded.sha256",
            )?
            .execute(params![
                job.to_octets(),
                file.index,
                clear,
                query,
                file.local_file,
                row::path_octets(&file.path),
                row::folded(&file.path),
                row::unless_default(&file.ranges)?,
                file.sha256,
            ])?;
    }
    // The index of missing files is touched only when the file arrives.
    if row::write_progress(connection, row::UPDATE_PROGRESS, job, file)? == 0 {
        row::write_progress(connection, row::UPSERT_PROGRESS, job, file)?;
    }
    Ok(())
}

fn put_progress(connection: &Connection, job: JobId, file: &File) -> Result<(), Error> {
    if row::write_progress(connection, row::UPDATE_PROGRESS, job, file)? == 0 {
        row::write_progress(connection, row::UPDATE_ARRIVAL, job, file)?;
    }
    Ok(())
}

/// The store has the file with the same address and destination: then only
/// its progress is written.
fn is_asked_for_so(
    connection: &Connection,
    vault: &Vault,
    job: JobId,
    file: &File,
) -> Result<bool, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT remote_url, query, local_file, path, ranges, sha256 FROM file WHERE job = ?1 AND place = ?2",
    )?;
    let mut rows = statement.query(params![job.to_octets(), file.index])?;
    let Some(row) = rows.next()? else {
        return Ok(false);
    };
    let (clear, query) = row::split_query(&file.remote_url);
    if row.get_ref(0)?.as_bytes().ok() != Some(clear.as_bytes())
        || row.get_ref(2)?.as_bytes().ok() != Some(file.local_file.as_bytes())
        || row.get_ref(3)?.as_bytes().ok() != Some(row::path_octets(&file.path))
        || row.get::<_, Option<String>>(4)? != row::unless_default(&file.ranges)?
        || row.get::<_, Option<[u8; 32]>>(5)? != file.sha256
    {
        return Ok(false);
    }
    let sealed = row.get_ref(1)?.as_blob_or_null().map_err(row::damaged)?;
    Ok(match (sealed, query) {
        (None, None) => true,
        (Some(sealed), Some(query)) => vault
            .unseal(&JobSecret::Query(file.index).of(job), sealed)
            .is_ok_and(|kept| kept.as_slice() == query.as_bytes()),
        (None, Some(_)) | (Some(_), None) => false,
    })
}

fn remove(connection: &Connection, job: JobId) -> Result<(), Error> {
    for statement in [
        "DELETE FROM job WHERE id = ?1",
        "DELETE FROM credentials WHERE job = ?1",
        "DELETE FROM headers WHERE job = ?1",
    ] {
        connection
            .prepare_cached(statement)?
            .execute([job.to_octets()])?;
    }
    doomed::begin(connection, job)
}

fn put_credentials(
    connection: &Connection,
    vault: &Vault,
    job: JobId,
    credentials: &Credentials,
) -> Result<(), Error> {
    let (target, scheme) = (credentials.target as u8, credentials.scheme as u8);
    let sealed = vault.seal(
        &JobSecret::Credentials { target, scheme }.of(job),
        &row::encode_credentials(credentials),
    )?;
    connection
        .prepare_cached(
            "INSERT INTO credentials VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
        )?
        .execute(params![job.to_octets(), target, scheme, sealed])?;
    Ok(())
}

fn put_headers(
    connection: &Connection,
    vault: &Vault,
    job: JobId,
    headers: Option<&Secret>,
) -> Result<(), Error> {
    let Some(headers) = headers else {
        connection
            .prepare_cached("DELETE FROM headers WHERE job = ?1")?
            .execute([job.to_octets()])?;
        return Ok(());
    };
    let sealed = vault.seal(&JobSecret::Headers.of(job), headers.reveal().as_bytes())?;
    connection
        .prepare_cached(
            "INSERT INTO headers VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
        )?
        .execute(params![job.to_octets(), sealed])?;
    Ok(())
}

fn append(connection: &Connection, event: &Event) -> Result<(), Error> {
    #[cfg(test)]
    if event.kind == crate::store::battery::FAILS {
        return Err(Error::Unavailable("for a test".to_owned()));
    }
    connection
        .prepare_cached(
            "INSERT INTO event (at, job, owner, kind, by, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            row::ticks(event.at),
            event.job.to_octets(),
            event.owner.as_str(),
            event.kind,
            event.by.as_ref().map(crate::bits::Owner::as_str),
            event.detail,
        ])?;
    Ok(())
}

pub(super) fn run_cached(connection: &Connection, statement: &str) -> Result<(), Error> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

/// A group ends at this many changes: the first in it should not wait for the
/// last for more than some 100 ms.
const MAX_GROUP_CHANGES: usize = 8_192;

/// Events that the store keeps.
const KEPT_EVENTS: i64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::battery::file_of;
    use crate::store::battery::plain_job;

    /// A database that cannot grow past `pages`.
    fn small_disk(pages: u32) -> Connection {
        let connection = Connection::open_in_memory().expect("opened");
        for (_, statements) in crate::store::sqlite::MIGRATIONS {
            connection.execute_batch(statements).expect("tables");
        }
        connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .expect("bounded");
        connection
    }

    #[test]
    fn a_commit_that_does_not_fit_on_the_disk_fails_alone() {
        let connection = small_disk(60);
        let large = (0..5_000).map(|at| Change::File(plain_job(2).id, file_of(at)));
        let mut waiting = Vec::new();
        let group = [
            vec![Change::Job(plain_job(1))],
            [Change::Job(plain_job(2))]
                .into_iter()
                .chain(large)
                .collect(),
            vec![Change::Job(plain_job(3))],
        ]
        .map(|changes| {
            let (done, outcome) = oneshot::channel();
            waiting.push(outcome);
            let lasts = Lasts::Now;
            Request {
                changes,
                lasts,
                done,
            }
        });
        write_group(&connection, &Vault::for_test(1), Vec::from(group));
        let kept: Vec<bool> = waiting
            .into_iter()
            .map(|mut outcome| outcome.try_recv().expect("told").is_ok())
            .collect();
        assert_eq!(kept, [true, false, true]);
        assert!(connection.is_autocommit());
        let jobs: u32 = connection
            .query_row("SELECT count(*) FROM job", [], |row| row.get(0))
            .expect("counted");
        assert_eq!(jobs, 2);
    }

    #[test]
    fn one_that_must_last_makes_its_group_last() {
        let connection = small_disk(600);
        connection
            .pragma_update(None, "synchronous", "FULL")
            .expect("set");
        for (group, mode) in [
            (vec![Lasts::WithTheNext], 1),
            (vec![Lasts::WithTheNext, Lasts::Now], 2),
            (vec![Lasts::WithTheNext, Lasts::WithTheNext], 1),
            (vec![Lasts::Now], 2),
        ] {
            let group = group.into_iter().map(|lasts| Request {
                changes: vec![Change::Job(plain_job(1))],
                lasts,
                done: oneshot::channel().0,
            });
            write_group(&connection, &Vault::for_test(1), group.collect());
            let found: u32 = connection
                .pragma_query_value(None, "synchronous", |row| row.get(0))
                .expect("read");
            assert_eq!(found, mode);
        }
    }
}
