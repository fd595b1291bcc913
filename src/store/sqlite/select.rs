//! Listings of jobs: which way has the fewest rows, and the walk along it.
//!
//! Nothing is sorted. A way is a range of one index, or several ranges with
//! the same order, which are merged; what a way does not hold to is looked at
//! in the job itself.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::collections::BinaryHeap;
use std::ops::Bound;
use std::vec;

use rusqlite::CachedStatement;
use rusqlite::Connection;
use rusqlite::Rows;
use rusqlite::params;

use super::read::BEFORE_ALL;
use super::read::JOB;
use super::read::bounded;
use super::row;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Timestamp;
use crate::store::Error;
use crate::store::Listing;
use crate::store::Place;
use crate::store::Selection;
use crate::store::Span;
use crate::store::Way;

/// A slice of the jobs in `selection`; see [`Store::jobs`](crate::store::Store).
pub(super) fn jobs(
    connection: &Connection,
    selection: &Selection,
    after: Option<Place>,
    limit: usize,
) -> Result<Listing, Error> {
    if selection.is_empty() {
        return Ok(Listing::end());
    }
    let mut routes = routes(selection);
    let route = match after {
        None => choose(connection, routes)?,
        // Every page goes on along the way of the first one. When that is not
        // there any more, for it has too many branches by now, the order of
        // the keys is.
        Some(place) => routes
            .iter()
            .position(|route| route.way == place.way())
            .map_or(ALL, |at| routes.swap_remove(at)),
    };
    route.walk(connection, selection, after, limit)
}

/// A way, and what a selection makes of it.
struct Route<'s> {
    way: Way,
    kind: Kind<'s>,
}

enum Kind<'s> {
    /// The table itself.
    All,
    /// One job after the other.
    Keys(&'s BTreeSet<JobId>),
    /// Ranges of an index, each in the order of the keys.
    Branches(&'static Index, Vec<Branch<'s>>),
    /// A range in the order of a time.
    Time(&'static Index, Span),
}

/// What each row in a range of an index has in common.
#[derive(Clone, Copy)]
struct Branch<'s> {
    owner: Option<&'s Owner>,
    number: Option<u8>,
}

/// The statements over an index.
struct Index {
    /// Gives whole rows.
    rows: &'static str,
    /// Gives keys, without a look at the table.
    keys: &'static str,
}

/// The ways that do not walk through all jobs, the likelier short ones first.
fn routes(selection: &Selection) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    let mut add = |way, kind| routes.push(Route { way, kind });
    if let Some(keys) = selection.keys.values() {
        add(Way::Keys, Kind::Keys(keys));
    }
    let owners = selection.owners.values();
    let owners = owners.filter(|owners| owners.len() <= MAX_BRANCHES);
    let states = selection.states.values();
    let both = owners
        .zip(states)
        .filter(|(owners, states)| owners.len() * states.len() <= MAX_BRANCHES);
    let times = [
        (Way::CreatedAt, &BY_CREATED_AT, selection.created_at),
        (
            Way::TransferredAt,
            &BY_TRANSFERRED_AT,
            selection.transferred_at,
        ),
        (Way::ModifiedAt, &BY_MODIFIED_AT, selection.modified_at),
    ]
    .into_iter()
    // The index does not have those without the time.
    .filter(|(way, _, span)| *way != Way::TransferredAt || span.from > Timestamp::default());
    if let Some((owners, states)) = both {
        let branches = owners.iter().flat_map(|owner| {
            states.iter().map(move |state| Branch {
                owner: Some(owner),
                number: Some(*state as u8),
            })
        });
        add(
            Way::OwnerState,
            Kind::Branches(&BY_OWNER_STATE, branches.collect()),
        );
    }
    for (way, index, span) in times.clone().filter(|(_, _, span)| span.is_closed()) {
        add(way, Kind::Time(index, span));
    }
    let numbers = |numbers: &mut dyn Iterator<Item = u8>| {
        numbers
            .map(|number| Branch {
                owner: None,
                number: Some(number),
            })
            .collect()
    };
    if let Some(priorities) = selection.priorities.values() {
        let branches = numbers(&mut priorities.iter().map(|priority| *priority as u8));
        add(Way::Priority, Kind::Branches(&BY_PRIORITY, branches));
    }
    if both.is_none() {
        if let Some(states) = states {
            let branches = numbers(&mut states.iter().map(|state| *state as u8));
            add(Way::State, Kind::Branches(&BY_STATE, branches));
        }
        if let Some(owners) = owners {
            let branches = owners.iter().map(|owner| Branch {
                owner: Some(owner),
                number: None,
            });
            add(Way::Owner, Kind::Branches(&BY_OWNER, branches.collect()));
        }
    }
    for (way, index, span) in times.filter(|(_, _, span)| span.is_bounded() && !span.is_closed()) {
        add(way, Kind::Time(index, span));
    }
    routes
}

/// The route with the fewest rows, about: each is tried for a few rows, then
/// for more. Where all have many, the first is as good as any.
fn choose<'s>(connection: &Connection, mut routes: Vec<Route<'s>>) -> Result<Route<'s>, Error> {
    if routes.len() > 1 {
        for most in PROBES {
            for at in 0..routes.len() {
                if routes[at].is_within(connection, most)? {
                    return Ok(routes.swap_remove(at));
                }
            }
        }
    }
    Ok(routes.into_iter().next().unwrap_or(ALL))
}

const ALL: Route<'static> = Route {
    way: Way::All,
    kind: Kind::All,
};

impl Route<'_> {
    /// It has at most so many rows.
    fn is_within(&self, connection: &Connection, most: usize) -> Result<bool, Error> {
        let mut left = most;
        let mut count = |rows: &mut Rows<'_>| -> Result<bool, Error> {
            while rows.next()?.is_some() {
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
            }
            Ok(true)
        };
        match &self.kind {
            Kind::All => Ok(false),
            Kind::Keys(keys) => Ok(keys.len() <= most),
            Kind::Branches(index, branches) => {
                let mut statement = connection.prepare_cached(index.keys)?;
                for branch in branches {
                    if !count(&mut branch.rows(&mut statement, BEFORE_ALL, most + 1)?)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Kind::Time(index, span) => {
                let mut statement = connection.prepare_cached(index.keys)?;
                count(&mut in_span(&mut statement, *span, None, most + 1)?)
            }
        }
    }

    /// Looks at the next `limit` jobs.
    fn walk(
        &self,
        connection: &Connection,
        selection: &Selection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Listing, Error> {
        let key = after.map(|place| place.id().to_octets());
        let key = key.as_ref().map_or(BEFORE_ALL, |key| key.as_slice());
        // One more, to know whether it is the last slice.
        let most = limit.saturating_add(1);
        match &self.kind {
            Kind::All => {
                let mut statement = connection.prepare_cached(JOBS)?;
                let rows = statement.query(params![key, bounded(most)])?;
                self.list(rows, selection, limit)
            }
            Kind::Keys(keys) => {
                let start = after.map_or(Bound::Unbounded, |place| Bound::Excluded(place.id()));
                let keys = keys.range((start, Bound::Unbounded)).copied();
                self.look_up(connection, keys.take(most).collect(), selection, limit)
            }
            Kind::Branches(index, branches) if branches.len() == 1 => {
                let mut statement = connection.prepare_cached(index.rows)?;
                let rows = branches[0].rows(&mut statement, key, most)?;
                self.list(rows, selection, limit)
            }
            Kind::Branches(index, branches) => {
                // One view for all: a job must not go from one branch to
                // another between two looks.
                let _view = connection.unchecked_transaction()?;
                let keys = merge(connection, index.keys, branches, key, most)?;
                self.look_up(connection, keys, selection, limit)
            }
            Kind::Time(index, span) => {
                let mut statement = connection.prepare_cached(index.rows)?;
                let rows = in_span(&mut statement, *span, after, most)?;
                self.list(rows, selection, limit)
            }
        }
    }

    /// Reads jobs from their rows, of which there is one more than `limit`
    /// unless it is the last slice.
    fn list(
        &self,
        mut rows: Rows<'_>,
        selection: &Selection,
        limit: usize,
    ) -> Result<Listing, Error> {
        let mut listing = Listing::end();
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            if looked_at == limit {
                listing.is_last = false;
                break;
            }
            let job = row::job(row)?;
            let place = Place::behind(self.way, &job);
            listing.reached = Some(place);
            looked_at += 1;
            if selection.admits(&job) {
                listing.jobs.push((job, place));
            }
        }
        Ok(listing)
    }

    /// The same with the keys at hand; a job that is not there is passed over.
    fn look_up(
        &self,
        connection: &Connection,
        mut keys: Vec<JobId>,
        selection: &Selection,
        limit: usize,
    ) -> Result<Listing, Error> {
        let mut listing = Listing::end();
        listing.is_last = keys.len() <= limit;
        keys.truncate(limit);
        let mut statement = connection.prepare_cached(JOB)?;
        for key in keys {
            let place = Place::behind_key(self.way, key);
            listing.reached = Some(place);
            let mut rows = statement.query([key.to_octets()])?;
            if let Some(row) = rows.next()? {
                let job = row::job(row)?;
                if selection.admits(&job) {
                    listing.jobs.push((job, place));
                }
            }
        }
        Ok(listing)
    }
}

impl Branch<'_> {
    /// Its rows after a key, at most so many.
    fn rows<'r>(
        self,
        statement: &'r mut CachedStatement<'_>,
        after: &[u8],
        most: usize,
    ) -> Result<Rows<'r>, Error> {
        let most = bounded(most);
        let owner = self.owner.map(Owner::as_str);
        Ok(match (owner, self.number) {
            (Some(owner), Some(number)) => statement.query(params![after, most, owner, number]),
            (Some(owner), None) => statement.query(params![after, most, owner]),
            (None, number) => statement.query(params![after, most, number]),
        }?)
    }
}

/// The rows of a span after a place, at most so many.
fn in_span<'r>(
    statement: &'r mut CachedStatement<'_>,
    span: Span,
    after: Option<Place>,
    most: usize,
) -> Result<Rows<'r>, Error> {
    let (to, most) = (row::ticks(span.to), bounded(most));
    Ok(match after.filter(|place| place.at() >= span.from) {
        Some(place) => statement.query(params![
            row::ticks(place.at()),
            place.id().to_octets(),
            to,
            most
        ]),
        None => statement.query(params![row::ticks(span.from), BEFORE_ALL, to, most]),
    }?)
}

/// The keys of all branches in one order: at most `most` that come after
/// `after`. Each branch is read a piece at a time, so that some three times as
/// many are read as are given, or a few of each branch.
fn merge(
    connection: &Connection,
    statement: &str,
    branches: &[Branch<'_>],
    after: &[u8],
    most: usize,
) -> Result<Vec<JobId>, Error> {
    let piece = (2 * most / branches.len().max(1)).max(LEAST_PIECE);
    let mut statement = connection.prepare_cached(statement)?;
    let mut read = |branch: Branch<'_>, after: &[u8]| -> Result<vec::IntoIter<JobId>, Error> {
        let mut rows = branch.rows(&mut statement, after, piece)?;
        let mut keys = Vec::with_capacity(piece);
        while let Some(row) = rows.next()? {
            keys.push(JobId::from_octets(row.get(0)?));
        }
        Ok(keys.into_iter())
    };
    let mut pieces = Vec::with_capacity(branches.len());
    let mut heads = BinaryHeap::with_capacity(branches.len());
    for (at, branch) in branches.iter().enumerate() {
        let mut keys = read(*branch, after)?;
        heads.extend(keys.next().map(|key| Reverse((key, at))));
        pieces.push(keys);
    }
    let mut merged = Vec::with_capacity(most.min(piece * branches.len()));
    while let Some(Reverse((key, at))) = heads.pop() {
        merged.push(key);
        if merged.len() == most {
            break;
        }
        if pieces[at].len() == 0 {
            pieces[at] = read(branches[at], &key.to_octets())?;
        }
        heads.extend(pieces[at].next().map(|key| Reverse((key, at))));
    }
    Ok(merged)
}

const JOBS: &str = concat!(
    "SELECT ",
    row::job_columns!(),
    " FROM job WHERE id > ?1 ORDER BY id LIMIT ?2"
);

/// Ranges of an index in the order of the keys: after ?1, at most ?2.
macro_rules! by_key {
    ($index:literal, $range:literal) => {
        by_key!(@ concat!(" FROM job INDEXED BY ", $index, " WHERE ", $range,
            " AND id > ?1 ORDER BY id LIMIT ?2"))
    };
    (@ $rest:expr) => {
        Index {
            rows: concat!("SELECT ", row::job_columns!(), $rest),
            keys: concat!("SELECT id", $rest),
        }
    };
}

/// Ranges of an index in the order of a time, then of the keys: after ?1 and
/// ?2, not after ?3, at most ?4.
macro_rules! by_time {
    ($index:literal, $time:literal, $range:literal) => {
        by_key!(@ concat!(" FROM job INDEXED BY ", $index, " WHERE ", $range,
            "(", $time, ", id) > (?1, ?2) AND ", $time, " <= ?3 ORDER BY ", $time,
            ", id LIMIT ?4"))
    };
}

const BY_OWNER: Index = by_key!("job_by_owner", "owner = ?3");

const BY_STATE: Index = by_key!("job_by_state", "state = ?3");

const BY_OWNER_STATE: Index = by_key!("job_by_owner_state", "owner = ?3 AND state = ?4");

const BY_PRIORITY: Index = by_key!("job_by_priority", "priority = ?3");

const BY_CREATED_AT: Index = by_time!("job_by_created_at", "created_at", "");

const BY_MODIFIED_AT: Index = by_time!("job_by_modified_at", "modified_at", "");

const BY_TRANSFERRED_AT: Index = by_time!(
    "job_by_transferred_at",
    "transferred_at",
    "transferred_at IS NOT NULL AND "
);

/// Ranges that one listing merges: each is a search of its own on every page.
const MAX_BRANCHES: usize = 64;

/// Keys that a merge reads of a branch at a time, at least.
const LEAST_PIECE: usize = 4;

/// Rows up to which the ways are tried. The first page of a listing does this
/// once, and all of it takes a millisecond or two.
const PROBES: [usize; 3] = [64, 512, 4_096];

/// As in [`read`](super::read).
#[cfg(test)]
pub(super) const STATEMENTS: &[(&str, usize)] = &[
    (JOBS, 2),
    (BY_OWNER.rows, 3),
    (BY_OWNER.keys, 3),
    (BY_STATE.rows, 3),
    (BY_STATE.keys, 3),
    (BY_OWNER_STATE.rows, 4),
    (BY_OWNER_STATE.keys, 4),
    (BY_PRIORITY.rows, 3),
    (BY_PRIORITY.keys, 3),
    (BY_CREATED_AT.rows, 4),
    (BY_CREATED_AT.keys, 4),
    (BY_MODIFIED_AT.rows, 4),
    (BY_MODIFIED_AT.keys, 4),
    (BY_TRANSFERRED_AT.rows, 4),
    (BY_TRANSFERRED_AT.keys, 4),
];
