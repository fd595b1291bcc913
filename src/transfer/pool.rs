//! Idle connections, kept for the next file of the job.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use super::connection::Connection;
use super::connection::Way;

/// Idle connections; the youngest goes out first.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Idle>>);

#[derive(Debug)]
struct Idle {
    way: Way,
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// A connection along `way` that still stands, if there is one.
    pub(super) async fn take(&self, way: &Way) -> Option<Connection> {
        loop {
            let mut connection = self.pop(way)?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for others.
    pub(super) fn put(&self, way: Way, connection: Connection) {
        let mut idle = self.idle();
        idle.retain(|idle| clock::instant() - idle.since < MAX_IDLE);
        if idle.len() == MAX_CONNECTIONS {
            idle.remove(0);
        }
        idle.push(Idle {
            way,
            connection,
            since: clock::instant(),
        });
    }

    fn pop(&self, way: &Way) -> Option<Connection> {
        let mut idle = self.idle();
        let at = idle.iter().rposition(|idle| idle.way == *way)?;
        let taken = idle.remove(at);
        (clock::instant() - taken.since < MAX_IDLE).then_some(taken.connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Idle connections of one job: as many as it fetches files at once, and as
/// many again for redirects to a second host.
const MAX_CONNECTIONS: usize = 32;

/// Servers close idle connections after 5 to 75 s.
const MAX_IDLE: Duration = Duration::from_secs(30);
