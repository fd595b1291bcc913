//! Connections of all jobs: how many an origin gets, whose turn it is, and
//! those that wait for the next file of their job.
//!
//! An idle connection counts as one. It serves its own job only, for a log-on
//! may stick to it; who needs its place closes it. Whoever finds no place waits
//! in a line, and gets the next one whichever job had it.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::sync::oneshot;
use tokio::time::Instant;
use url::Url;

use super::clock;
use super::connection::Connection;
use super::connection::Way;
use super::http2::Lease;
use super::http2::Shared;
use super::memory::Memory;

/// The connections of the service. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// To one origin at once.
    per_origin: usize,
    /// Of one file at once.
    ranges: usize,
    /// Is HTTP/2 offered?
    http2: bool,
    memory: Memory,
    sessions: AtomicU64,
    /// INVARIANT: no connection and no place is dropped while this is locked:
    /// both lock it themselves.
    origins: Mutex<HashMap<Origin, Line>>,
}

/// Who is connected to, whichever way.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

/// The connections to one origin.
///
/// INVARIANT: while somebody waits, all places are taken and none is idle, shared
/// ones but for the moment in which their last lease ends.
#[derive(Debug, Default)]
struct Line {
    open: usize,
    idle: Vec<Idle>,
    shared: Vec<(u64, Way, Shared)>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Idle {
    session: u64,
    way: Way,
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Waiting {
    session: u64,
    way: Way,
    turn: oneshot::Sender<Turn>,
}

/// What somebody who needs a connection gets.
#[derive(Debug)]
pub(super) enum Turn {
    /// A connection that still stands.
    Use(Box<Connection>),
    /// The right to make one.
    Dial(Place),
    /// The right to make one that may be of HTTP/2; meanwhile nobody else of
    /// the job tries.
    Offer(Place, Agreeing),
}

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Load {
    /// Nobody knows yet: many small files, it may be.
    Unknown,
    /// Many octets.
    Long,
}

/// Finds out which version of HTTP a server speaks.
#[derive(Debug)]
pub(super) struct Agreeing {
    of: Connections,
    session: u64,
    known: OwnedMutexGuard<HashMap<Way, Version>>,
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    /// A connection of HTTP/1.1 was made, for the first file: a job of one file
    /// needs no other.
    Untried,
    /// Nothing else.
    One,
    /// HTTP/2 was agreed on.
    Two,
}

/// The right to have one connection to an origin; ends when dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Connections,
    /// None once somebody else has it.
    origin: Option<Origin>,
}

/// The connections of one job.
#[derive(Debug)]
pub(super) struct Pool {
    of: Connections,
    session: u64,
    /// Origins that refused parallel ranges.
    refused: Mutex<HashSet<String>>,
    /// What is known of servers with TLS.
    known: Arc<tokio::sync::Mutex<HashMap<Way, Version>>>,
}

/// What [`Connections::find`] found.
enum Found {
    Idle(Box<Connection>),
    Place(Place),
    Wait(oneshot::Receiver<Turn>),
}

impl Connections {
    /// At most `per_origin` to one origin, `ranges` of them for one file.
    pub(super) fn new(per_origin: usize, ranges: usize, http2: bool, memory: Memory) -> Self {
        Self(Arc::new(Inner {
            per_origin: per_origin.max(1),
            ranges: ranges.min(per_origin),
            http2,
            memory,
            sessions: AtomicU64::new(0),
            origins: Mutex::default(),
        }))
    }

    /// Those of a new job.
    pub(super) fn session(&self) -> Pool {
        Pool {
            of: self.clone(),
            session: self.0.sessions.fetch_add(1, Ordering::Relaxed),
            refused: Mutex::default(),
            known: Arc::default(),
        }
    }

    /// The memory of all transfers.
    pub(super) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    fn find(&self, session: u64, way: &Way) -> Found {
        let mut late = Vec::new();
        let mut unused = Vec::new();
        let mut origins = self.origins();
        let line = origins.entry(Origin::of(way)).or_default();
        let own = |idle: &Idle| idle.session == session && idle.way == *way;
        while let Some(at) = line.idle.iter().rposition(own) {
            let idle = line.idle.remove(at);
            if clock::instant() - idle.since < MAX_IDLE {
                drop(origins);
                return Found::Idle(Box::new(idle.connection));
            }
            late.push(idle);
        }
        let found = if line.open < self.0.per_origin {
            line.open += 1;
            Found::Place(self.place(way))
        } else if let Some(at) = line.shared.iter().position(|shared| shared.2.is_idle()) {
            let (.., shared) = line.shared.remove(at);
            let place = shared.take_place();
            unused.push(shared);
            Found::Place(place.unwrap_or_else(|| {
                line.open += 1;
                self.place(way)
            }))
        } else if line.idle.is_empty() {
            let (turn, wait) = oneshot::channel();
            line.waiting.push_back(Waiting {
                session,
                way: way.clone(),
                turn,
            });
            Found::Wait(wait)
        } else {
            // The one that waits longest.
            let mut idle = line.idle.remove(0);
            let place = idle.connection.take_place();
            late.push(idle);
            Found::Place(place.unwrap_or_else(|| {
                line.open += 1;
                self.place(way)
            }))
        };
        drop(origins);
        drop((late, unused));
        found
    }

    /// A part of a shared connection of the job.
    fn lease(&self, session: u64, way: &Way) -> Option<Connection> {
        let mut origins = self.origins();
        let line = origins.get_mut(&Origin::of(way))?;
        let closed: Vec<_> = line
            .shared
            .extract_if(.., |(.., shared)| !shared.is_open())
            .collect();
        let shared = line
            .shared
            .iter()
            .find(|(of, along, _)| *of == session && along == way)
            .map(|(.., shared)| shared.clone());
        drop(origins);
        drop(closed);
        Some(Connection::leased(Lease::new(
            shared?,
            self.clone(),
            way.clone(),
        )))
    }

    /// A lease of a shared connection has ended: if it was the last, who waits
    /// gets the place.
    pub(super) fn lease_ended(&self, way: &Way) {
        let mut origins = self.origins();
        let Some(line) = origins.get_mut(&Origin::of(way)) else {
            return;
        };
        if line.waiting.is_empty() {
            return;
        }
        let unused: Vec<_> = line
            .shared
            .extract_if(.., |(.., shared)| shared.is_idle())
            .collect();
        drop(origins);
        drop(unused);
    }

    fn put(&self, session: u64, way: Way, connection: Connection) {
        if connection.is_leased() {
            return;
        }
        let mut connection = Box::new(connection);
        let mut origins = self.origins();
        let Some(line) = origins.get_mut(&Origin::of(&way)) else {
            return;
        };
        while let Some(next) = line.waiting.pop_front() {
            if next.session == session && next.way == way {
                match next.turn.send(Turn::Use(connection)) {
                    Err(Turn::Use(again)) => connection = again,
                    Ok(()) | Err(Turn::Dial(_) | Turn::Offer(..)) => return,
                }
                continue;
            }
            let Some(place) = connection.take_place() else {
                break;
            };
            match next.turn.send(Turn::Dial(place)) {
                Err(Turn::Dial(place)) => connection.give_place(place),
                Ok(()) | Err(Turn::Use(_) | Turn::Offer(..)) => {
                    drop(origins);
                    return;
                }
            }
        }
        let now = clock::instant();
        let mut late: Vec<Idle> = line
            .idle
            .extract_if(.., |idle| now - idle.since >= MAX_IDLE)
            .collect();
        if line.idle.len() >= MAX_CONNECTIONS {
            late.push(line.idle.remove(0));
        }
        line.idle.push(Idle {
            session,
            way,
            connection: *connection,
            since: now,
        });
        drop(origins);
        drop(late);
    }

    /// A connection has gone: its place is the next one's.
    fn release(&self, origin: &Origin) {
        let mut origins = self.origins();
        let Some(line) = origins.get_mut(origin) else {
            return;
        };
        while let Some(next) = line.waiting.pop_front() {
            let place = Place {
                of: self.clone(),
                origin: Some(origin.clone()),
            };
            match next.turn.send(Turn::Dial(place)) {
                // He does not wait any more.
                Err(Turn::Dial(mut place)) => place.origin = None,
                Ok(()) | Err(Turn::Use(_) | Turn::Offer(..)) => return,
            }
        }
        line.open = line.open.saturating_sub(1);
        if line.open == 0 {
            origins.remove(origin);
        }
    }

    fn close(&self, session: u64) {
        let mut origins = self.origins();
        let gone: Vec<Idle> = origins
            .values_mut()
            .flat_map(|line| {
                line.idle
                    .extract_if(.., |idle| idle.session == session)
                    .collect::<Vec<_>>()
            })
            .collect();
        let unshared: Vec<_> = origins
            .values_mut()
            .flat_map(|line| {
                line.shared
                    .extract_if(.., |(of, ..)| *of == session)
                    .collect::<Vec<_>>()
            })
            .collect();
        drop(origins);
        drop((gone, unshared));
    }

    fn place(&self, way: &Way) -> Place {
        Place {
            of: self.clone(),
            origin: Some(Origin::of(way)),
        }
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<Origin, Line>> {
        self.0
            .origins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A connection along `way` that still stands, or the right to make one;
    /// waits while the origin has as many as it gets.
    ///
    /// Dropping the future half-way gives the turn to the next.
    pub(super) async fn take(&self, way: &Way, load: Load) -> Turn {
        if load == Load::Unknown && way.tls && self.of.0.http2 {
            return self.take_shared(way).await;
        }
        self.take_own(way).await
    }

    /// A part of a shared connection, if the server speaks HTTP/2.
    async fn take_shared(&self, way: &Way) -> Turn {
        if let Some(leased) = self.of.lease(self.session, way) {
            return Turn::Use(Box::new(leased));
        }
        let mut known = Arc::clone(&self.known).lock_owned().await;
        // Somebody else may just have made one.
        if let Some(leased) = self.of.lease(self.session, way) {
            return Turn::Use(Box::new(leased));
        }
        match known.get(way) {
            Some(Version::One) => {}
            None => {
                if known.len() < MAX_KNOWN {
                    known.insert(way.clone(), Version::Untried);
                }
            }
            Some(Version::Untried | Version::Two) => match self.take_own(way).await {
                Turn::Dial(place) => {
                    return Turn::Offer(
                        place,
                        Agreeing {
                            of: self.of.clone(),
                            session: self.session,
                            known,
                        },
                    );
                }
                other => return other,
            },
        }
        drop(known);
        self.take_own(way).await
    }

    async fn take_own(&self, way: &Way) -> Turn {
        loop {
            let turn = match self.of.find(self.session, way) {
                Found::Idle(connection) => Turn::Use(connection),
                Found::Place(place) => return Turn::Dial(place),
                Found::Wait(wait) => match wait.await {
                    Ok(turn) => turn,
                    // Never: whoever has the sender sends.
                    Err(_) => continue,
                },
            };
            match turn {
                Turn::Use(mut connection) => {
                    if connection.is_usable().await {
                        return Turn::Use(connection);
                    }
                }
                other => return other,
            }
        }
    }

    /// Keeps a connection for the job's next file, or gives its place to who
    /// waits.
    pub(super) fn put(&self, way: Way, connection: Connection) {
        self.of.put(self.session, way, connection);
    }

    /// Parallel ranges that a file at `url` may have now.
    pub(super) fn ranges(&self, url: &Url) -> usize {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if !refused.is_empty() && refused.contains(&url.origin().ascii_serialization()) {
            1
        } else {
            self.of.0.ranges
        }
    }

    /// The origin of `url` refused a parallel range.
    pub(super) fn forbid_ranges(&self, url: &Url) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < MAX_REFUSED {
            refused.insert(url.origin().ascii_serialization());
        }
    }

    /// The memory of all transfers.
    pub(super) fn memory(&self) -> &Memory {
        self.of.memory()
    }
}

impl Agreeing {
    /// The server speaks HTTP/1.1 only.
    pub(super) fn refused(mut self, way: &Way) {
        self.known.insert(way.clone(), Version::One);
    }

    /// The server speaks HTTP/2: the job shares the connection.
    pub(super) fn agreed(mut self, way: &Way, shared: Shared) -> Connection {
        self.known.insert(way.clone(), Version::Two);
        let mut origins = self.of.origins();
        let line = origins.entry(Origin::of(way)).or_default();
        line.shared
            .push((self.session, way.clone(), shared.clone()));
        drop(origins);
        Connection::leased(Lease::new(shared, self.of.clone(), way.clone()))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.of.close(self.session);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(origin) = self.origin.take() {
            self.of.release(&origin);
        }
    }
}

impl Origin {
    fn of(way: &Way) -> Self {
        Self {
            tls: way.tls,
            host: way.host.clone(),
            port: way.port,
        }
    }
}

/// Idle connections to one origin.
const MAX_CONNECTIONS: usize = 64;

/// Servers close idle connections after 5 to 75 s.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// Origins of one job that are remembered: redirects may lead to many.
const MAX_REFUSED: usize = 64;
const MAX_KNOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(per_origin: usize) -> Connections {
        Connections::new(per_origin, 8, false, Memory::new(1 << 20))
    }

    fn way(host: &str) -> Way {
        Way {
            tls: false,
            host: host.to_owned(),
            port: 80,
            proxy: None,
            trusted: true,
        }
    }

    async fn dial(pool: &Pool, host: &str) -> Place {
        match pool.take(&way(host), Load::Unknown).await {
            Turn::Dial(place) => place,
            Turn::Use(_) | Turn::Offer(..) => panic!("none is idle"),
        }
    }

    #[tokio::test]
    async fn an_origin_gets_so_many_connections_of_all_jobs_together() {
        let all = connections(2);
        let (one, other) = (all.session(), all.session());
        let first = dial(&one, "a").await;
        let _second = dial(&other, "a").await;
        let _elsewhere = dial(&other, "b").await;
        let mut third = Box::pin(dial(&other, "a"));
        let pause = Duration::from_millis(20);
        assert!(tokio::time::timeout(pause, &mut third).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(pause, &mut third).await.is_ok());
    }

    #[tokio::test]
    async fn who_waits_longest_is_next_and_who_has_gone_is_passed_over() {
        let all = connections(1);
        let pool = all.session();
        let held = dial(&pool, "a").await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..6 {
            let (all, order) = (all.clone(), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let pool = all.session();
                let _place = dial(&pool, "a").await;
                order.lock().expect("not poisoned").push(number);
                tokio::task::yield_now().await;
            }));
            tokio::task::yield_now().await;
        }
        waiting[1].abort();
        waiting[4].abort();
        tokio::task::yield_now().await;
        drop(held);
        for task in waiting {
            let _ = task.await;
        }
        assert_eq!(*order.lock().expect("not poisoned"), [0, 2, 3, 5]);
        assert!(all.origins().is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_nobody_takes_any_more_is_not_lost() {
        let all = connections(1);
        let pool = all.session();
        let held = dial(&pool, "a").await;
        let mut gone = Box::pin(dial(&pool, "a"));
        assert!(futures_ready(&mut gone).is_none());
        // The turn is sent, and never received.
        drop(held);
        drop(gone);
        drop(dial(&pool, "a").await);
        assert!(all.origins().is_empty());
    }

    fn futures_ready<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn an_origin_that_refused_ranges_gets_none_from_this_job() {
        let all = connections(64);
        let (one, other) = (all.session(), all.session());
        let url = Url::parse("http://h.test/a").expect("url");
        one.forbid_ranges(&url);
        assert_eq!(one.ranges(&url.join("/b").expect("url")), 1);
        assert_eq!(other.ranges(&url), 8);
        assert_eq!(connections(4).session().ranges(&url), 4);
    }
}
