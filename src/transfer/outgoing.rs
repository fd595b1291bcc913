//! The body of a request: nothing, some octets, or a part of a file, which is
//! read while it is sent.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use hyper::body::Body;
use hyper::body::Bytes;
use hyper::body::Frame;
use hyper::body::SizeHint;

/// The body of a request. A clone begins anew, for a request that is repeated.
#[derive(Clone, Debug, Default)]
pub(super) enum Outgoing {
    /// No body.
    #[default]
    Empty,
    /// `left` octets of a file from `at` on.
    Part {
        /// The file.
        file: Arc<fs::File>,
        /// The next octet.
        at: u64,
        /// Octets that are still to be sent.
        left: u64,
    },
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self::Part { file, at, left } = self.get_mut() else {
            return Poll::Ready(None);
        };
        if *left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE);
        let mut octets = vec![0; wanted];
        // Some hundred microseconds at most: a task for it would cost more.
        if let Err(error) = file.read_exact_at(&mut octets, *at) {
            return Poll::Ready(Some(Err(error)));
        }
        *at += wanted as u64;
        *left -= wanted as u64;
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

/// Octets that are read at once.
const PIECE: usize = 1_024 * 1_024;
