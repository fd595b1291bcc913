//! The octets of a fragment on their way to disk: written while the next ones
//! come, never held whole.

use std::time::Duration;

use hyper::body::Body;
use hyper::body::Bytes;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use crate::transfer::Failure;

/// A session that nobody else works on; none once it has ended.
pub(super) type Held = OwnedMutexGuard<Option<Session>>;

/// How the octets of a fragment ended. What came by then is written and counts.
#[derive(Debug)]
pub(super) enum End {
    /// All came.
    Whole,
    /// No more came in time.
    Late,
    /// The client has gone.
    Broken,
    /// Somebody wants the session, or the service stops.
    GivenWay,
    /// They could not be written.
    Failed(Failure),
}

/// Who may end a fragment.
pub(super) struct Patience<'a> {
    /// Between two pieces.
    pub(super) stall: Duration,
    /// Another packet for the session has come.
    pub(super) give_way: &'a CancellationToken,
    /// The service stops.
    pub(super) stop: &'a CancellationToken,
}

/// Does blocking work on a session; nothing comes back of a session that has
/// ended, or when the work panics.
pub(super) async fn work<T: Send + 'static>(
    mut held: Held,
    work: impl FnOnce(&mut Session) -> T + Send + 'static,
) -> Option<(Held, T)> {
    let done = spawn_blocking(move || {
        let done = work(held.as_mut()?);
        Some((held, done))
    });
    done.await.ok().flatten()
}

/// Takes in `octets` of a body, of which the first `skip` are here already.
/// Nothing comes back when the session has ended.
pub(super) async fn receive<B>(
    held: Held,
    body: &mut B,
    skip: u64,
    octets: u64,
    patience: Patience<'_>,
) -> Option<(Held, End)>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut skip, mut left) = (skip, octets);
    let mut writer = Writer::Idle(held);
    let mut batch = Batch::default();
    let end = loop {
        if left == 0 {
            break End::Whole;
        }
        let frame = tokio::select! {
            biased;
            () = patience.stop.cancelled() => break End::GivenWay,
            () = patience.give_way.cancelled() => break End::GivenWay,
            frame = timeout(patience.stall, next(body)) => frame,
        };
        let mut piece = match frame {
            Err(_) => break End::Late,
            Ok(None) => break End::Broken,
            Ok(Some(piece)) => piece,
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX).min(left);
        left -= length;
        // Without loss: neither is longer than the piece.
        let at = |octets: u64| usize::try_from(octets).unwrap_or(usize::MAX);
        piece.truncate(at(length));
        let passed = skip.min(length);
        skip -= passed;
        let piece = piece.split_off(at(passed));
        batch.push(piece);
        if batch.octets >= BATCH {
            match writer.write(&mut batch).await? {
                Ok(next) => writer = next,
                Err((held, failure)) => return Some((held, End::Failed(failure))),
            }
        }
    };
    let writer = match writer.write(&mut batch).await? {
        Ok(writer) => writer,
        Err((held, failure)) => return Some((held, End::Failed(failure))),
    };
    Some(match writer.end().await? {
        Ok(held) => (held, end),
        Err((held, failure)) => (held, End::Failed(failure)),
    })
}

/// Reads what is left of a body and throws it away, so that the connection can
/// go on: but not without end.
pub(super) async fn drain<B>(body: &mut B, stall: Duration)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut octets = 0;
    while octets < MAX_DRAINED && !body.is_end_stream() {
        match timeout(stall, next(body)).await {
            Ok(Some(piece)) => octets += piece.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// The next octets; none when there are no more, or the client has gone.
async fn next<B>(body: &mut B) -> Option<Bytes>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        let frame =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context));
        if let Ok(octets) = frame.await?.ok()?.into_data() {
            return Some(octets);
        }
    }
}

/// Octets that wait to be written.
#[derive(Default)]
struct Batch {
    pieces: Vec<Bytes>,
    octets: usize,
}

impl Batch {
    fn push(&mut self, piece: Bytes) {
        self.octets += piece.len();
        self.pieces.push(piece);
    }
}

type Written = (Held, Result<(), Failure>);

/// Writes one batch at a time.
enum Writer {
    Idle(Held),
    Busy(JoinHandle<Option<Written>>),
}

impl Writer {
    /// Writes a batch once the last one is written.
    async fn write(self, batch: &mut Batch) -> Option<Result<Self, (Held, Failure)>> {
        let Batch { pieces, octets } = std::mem::take(batch);
        if octets == 0 {
            return Some(Ok(self));
        }
        let mut held = match self.end().await? {
            Ok(held) => held,
            failed @ Err(_) => return Some(failed.map(Self::Idle)),
        };
        Some(Ok(Self::Busy(spawn_blocking(move || {
            let done = held.as_mut()?.write(&pieces);
            Some((held, done))
        }))))
    }

    /// Waits until the last batch is written.
    async fn end(self) -> Option<Result<Held, (Held, Failure)>> {
        let (held, done) = match self {
            Self::Idle(held) => return Some(Ok(held)),
            Self::Busy(writing) => writing.await.ok().flatten()?,
        };
        Some(match done {
            Ok(()) => Ok(held),
            Err(failure) => Err((held, failure)),
        })
    }
}

/// Octets that are written at a time; twice as many are held for a fragment.
const BATCH: usize = 256 * 1_024;

/// Octets of a refused fragment that are read, so that a client which reads only
/// when it has sent all learns why: Windows sends 13 MB at the most.
const MAX_DRAINED: usize = 64 * 1_024 * 1_024;
