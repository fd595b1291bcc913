//! The body of a request: nothing, or a part of a file, which is read while it is
//! sent. Its sender waits for the answer as long as octets go.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Body;
use hyper::body::Bytes;
use hyper::body::Frame;
use hyper::body::SizeHint;

use super::clock;

/// The body of a request. A clone begins anew, for a request that is repeated.
#[derive(Clone, Debug, Default)]
pub(super) enum Outgoing {
    /// No body.
    #[default]
    Empty,
    /// `left` octets of a file from `at` on; perhaps none.
    Part {
        /// The file.
        file: Arc<fs::File>,
        /// The next octet.
        at: u64,
        /// Octets that are still to be sent.
        left: u64,
        /// For those who watch.
        sent: Arc<Sent>,
    },
}

/// How far a body has gone.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The octet of the file after the last that was taken.
    pub(super) octets: Arc<AtomicU64>,
    /// Why the file could not be read.
    pub(super) broken: OnceLock<io::Error>,
}

impl Sent {
    /// Notes why the file could not be read; gives the same for the connection.
    pub(super) fn blame(&self, error: io::Error) -> io::Error {
        let shown = io::Error::from(error.kind());
        // The first is as good as the last.
        let _ = self.broken.set(error);
        shown
    }
}

impl Outgoing {
    /// Waits for the answer to a request with this body: not longer than `idle`
    /// without a sign of life. While the body goes, its reader takes octets;
    /// once it has gone, the application behind the server may work on it for
    /// five minutes, as Windows lets it ([MC-BUP] 3.1.2).
    ///
    /// # Errors
    ///
    /// When nothing happened for so long.
    pub(super) async fn in_time<T>(
        &self,
        idle: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, tokio::time::error::Elapsed> {
        let Self::Part { at, left, sent, .. } = self else {
            return tokio::time::timeout(idle, answer).await;
        };
        let end = at + left;
        let mut answer = pin!(answer);
        let (mut seen, mut seen_at) = (None, clock::instant());
        loop {
            let now = Some(sent.octets.load(Ordering::Relaxed));
            if now != seen {
                (seen, seen_at) = (now, clock::instant());
            }
            let patience = match seen {
                Some(octets) if octets < end => idle.max(SEND_TIME),
                _ => idle.max(ANSWER_TIME),
            };
            let left = patience.saturating_sub(clock::instant() - seen_at);
            let waited = tokio::time::timeout(left.min(LOOK), answer.as_mut()).await;
            match waited {
                Ok(answer) => return Ok(answer),
                Err(elapsed) if left <= LOOK => return Err(elapsed),
                Err(_) => {}
            }
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self::Part {
            file,
            at,
            left,
            sent,
        } = self.get_mut()
        else {
            return Poll::Ready(None);
        };
        if *left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE);
        let mut octets = vec![0; wanted];
        // Some hundred microseconds at most: a task for it would cost more.
        if let Err(error) = file.read_exact_at(&mut octets, *at) {
            return Poll::Ready(Some(Err(sent.blame(error))));
        }
        *at += wanted as u64;
        *left -= wanted as u64;
        sent.octets.store(*at, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(octets.into()))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Part { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Part { left, .. } => SizeHint::with_exact(*left),
        }
    }
}

/// Octets that are read at once: what the allocator does not take from the system
/// each time. On a line that takes two minutes for so many nothing seems to move.
const PIECE: usize = 64 * 1_024;

/// Without an octet taken, "Client Timers" of [MC-BUP] 3.1.2.
const SEND_TIME: Duration = Duration::from_mins(2);

/// From the last octet to the answer, ibidem.
const ANSWER_TIME: Duration = Duration::from_mins(5);

/// Between two looks at how far it has gone.
const LOOK: Duration = Duration::from_secs(1);
