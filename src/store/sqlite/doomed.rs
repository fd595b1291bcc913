//! Files of removed jobs, deleted step by step: a job of a million files must
//! not hold up the commits of others.
//!
//! A job whose files are not all deleted yet stands in the table `doomed`;
//! readers see none of them.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::write::run_cached;
use crate::bits::JobId;
use crate::store::Error;

/// Deletes the first files of a job that is being removed, within the
/// transaction of the commit that removes it; notes what is left.
pub(super) fn begin(connection: &Connection, job: JobId) -> Result<(), Error> {
    if !delete_some(connection, job)? {
        connection
            .prepare_cached("INSERT INTO doomed VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([job.to_octets()])?;
    }
    Ok(())
}

/// Deletes what an earlier job with this key has left, before a new one gets
/// it.
pub(super) fn finish(connection: &Connection, job: JobId) -> Result<(), Error> {
    let is_doomed = connection
        .prepare_cached("SELECT 1 FROM doomed WHERE job = ?1")?
        .exists([job.to_octets()])?;
    if is_doomed {
        while !delete_some(connection, job)? {}
        forget(connection, job)?;
    }
    Ok(())
}

/// Deletes some files of some removed job, in a transaction of its own; says
/// whether there may be more.
pub(super) fn step(connection: &Connection) -> Result<bool, Error> {
    let job = connection
        .prepare_cached("SELECT job FROM doomed LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(job) = job.map(JobId::from_octets) else {
        return Ok(false);
    };
    run_cached(connection, "BEGIN IMMEDIATE")?;
    if delete_some(connection, job)? {
        forget(connection, job)?;
    }
    run_cached(connection, "COMMIT")?;
    Ok(true)
}

/// Deletes the first files of a job; says whether those were all.
fn delete_some(connection: &Connection, job: JobId) -> Result<bool, Error> {
    let end: Option<i64> = connection
        .prepare_cached("SELECT place FROM file WHERE job = ?1 ORDER BY place LIMIT 1 OFFSET ?2")?
        .query_row(params![job.to_octets(), STEP], |row| row.get(0))
        .optional()?;
    for statement in [
        "DELETE FROM file WHERE job = ?1 AND place < ?2",
        "DELETE FROM progress WHERE job = ?1 AND place < ?2",
    ] {
        connection
            .prepare_cached(statement)?
            .execute(params![job.to_octets(), end.unwrap_or(i64::MAX)])?;
    }
    Ok(end.is_none())
}

fn forget(connection: &Connection, job: JobId) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM doomed WHERE job = ?1")?
        .execute([job.to_octets()])?;
    Ok(())
}

/// Files that are deleted at once: a few milliseconds.
const STEP: u32 = 2_000;
