//! The begin of a body, held in memory until it is worth a file. Pure.

use hyper::body::Bytes;

/// The begin of a body, in memory.
#[derive(Default)]
pub(super) struct Held {
    /// A body that came in one piece, where the network has put it.
    whole: Bytes,
    /// The pieces of another.
    pieces: Vec<u8>,
}

impl Held {
    /// Takes in the next piece of a body of `size` octets.
    pub(super) fn take(&mut self, data: Bytes, size: Option<u64>) {
        if self.is_empty() && size == Some(data.len() as u64) {
            self.whole = data;
            return;
        }
        if self.pieces.is_empty()
            && let Some(size) = size.and_then(|size| usize::try_from(size).ok())
        {
            self.pieces.reserve_exact(size.min(MAX_HELD));
        }
        self.pieces.extend_from_slice(&data);
    }

    /// What is held.
    pub(super) fn octets(&self) -> &[u8] {
        if self.pieces.is_empty() {
            &self.whole
        } else {
            &self.pieces
        }
    }

    /// How many octets.
    pub(super) fn len(&self) -> usize {
        self.octets().len()
    }

    /// Is nothing held?
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Octets that are held in memory before a file is opened for them: what a
/// crash may cost beside the buffers of the network.
pub(super) const MAX_HELD: usize = 1_024 * 1_024;
