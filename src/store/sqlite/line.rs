//! The line of jobs that want a slot, read by the scheduler: each answer costs
//! what it gives, however long the line is.

use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::read::Readers;
use super::read::bounded;
use super::row;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::store::Error;
use crate::store::Queued;

impl Readers {
    pub(super) fn line_owners(
        &self,
        level: Priority,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(NEXT_OWNER)?;
        let mut found: Vec<Owner> = Vec::new();
        while found.len() < limit {
            let last = found.last().or(after).map_or("", Owner::as_str);
            let next: Option<String> = statement
                .query_row(params![level as u8, last], |row| row.get(0))
                .optional()?;
            let Some(next) = next else { break };
            found.push(Owner::new(&next));
        }
        Ok(found)
    }

    pub(super) fn line_of(
        &self,
        level: Priority,
        owner: &Owner,
        limit: usize,
    ) -> Result<Vec<Queued>, Error> {
        let values = params![level as u8, owner.as_str(), bounded(limit)];
        self.all(OF_OWNER, values, row::queued)
    }

    pub(super) fn line_to(
        &self,
        level: Priority,
        host: &str,
        limit: usize,
    ) -> Result<Vec<Queued>, Error> {
        self.all(
            TO_HOST,
            params![level as u8, host, bounded(limit)],
            row::queued,
        )
    }

    pub(super) fn line_hosts(
        &self,
        level: Priority,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let connection = self.connection();
        let mut first = connection.prepare_cached(FIRST_HOST)?;
        let mut next = connection.prepare_cached(NEXT_HOST)?;
        let mut found: Vec<String> = Vec::new();
        while found.len() < limit {
            let last = found.last().map(String::as_str).or(after);
            let host: Option<String> = match last {
                None => first.query_row([level as u8], |row| row.get(0)),
                Some(last) => next.query_row(params![level as u8, last], |row| row.get(0)),
            }
            .optional()?;
            let Some(host) = host else { break };
            found.push(host);
        }
        Ok(found)
    }

    pub(super) fn count_ahead(&self, job: &crate::bits::Job, limit: usize) -> Result<u64, Error> {
        let values = params![
            job.priority as u8,
            job.owner.as_str(),
            row::ticks(job.queued_at),
            job.id.to_octets(),
            bounded(limit)
        ];
        let count = self.first(AHEAD, values, |row| row::unsigned(row, 0))?;
        Ok(count.unwrap_or(0))
    }
}

const NEXT_OWNER: &str = "SELECT owner FROM job INDEXED BY job_queued \
     WHERE state = 0 AND intent IS NULL AND wake_at IS NULL AND priority = ?1 AND owner > ?2 \
     ORDER BY owner LIMIT 1";

const OF_OWNER: &str = "SELECT id, owner, host, priority FROM job INDEXED BY job_queued \
     WHERE state = 0 AND intent IS NULL AND wake_at IS NULL AND priority = ?1 AND owner = ?2 \
     ORDER BY queued_at, id LIMIT ?3";

const TO_HOST: &str = "SELECT id, owner, host, priority FROM job INDEXED BY job_queued_by_host \
     WHERE state = 0 AND intent IS NULL AND wake_at IS NULL AND priority = ?1 AND host = ?2 \
     ORDER BY owner, queued_at, id LIMIT ?3";

const FIRST_HOST: &str = "SELECT host FROM job INDEXED BY job_queued_by_host \
     WHERE state = 0 AND intent IS NULL AND wake_at IS NULL AND priority = ?1 \
     ORDER BY host LIMIT 1";

const NEXT_HOST: &str = "SELECT host FROM job INDEXED BY job_queued_by_host \
     WHERE state = 0 AND intent IS NULL AND wake_at IS NULL AND priority = ?1 AND host > ?2 \
     ORDER BY host LIMIT 1";

const AHEAD: &str = "SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_queued \
     WHERE state = 0 AND intent IS NULL AND wake_at IS NULL AND priority = ?1 AND owner = ?2 \
     AND (queued_at, id) < (?3, ?4) LIMIT ?5)";

/// Every statement with how many values it takes.
#[cfg(test)]
pub(super) const STATEMENTS: &[(&str, usize)] = &[
    (NEXT_OWNER, 2),
    (OF_OWNER, 3),
    (TO_HOST, 3),
    (FIRST_HOST, 1),
    (NEXT_HOST, 2),
    (AHEAD, 5),
];
