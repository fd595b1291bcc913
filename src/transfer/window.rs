//! The part of a file that several connections fetch at once: chunks are given
//! out, what comes is put in order. Pure.
//!
//! Chunks lie side by side from the first octet that nobody has taken yet; no
//! more are given out than are wanted ahead, so what is held is bounded.

use std::collections::VecDeque;

use hyper::body::Bytes;

/// Octets of a chunk, unless there is one lane only.
pub(super) const CHUNK: u64 = 4 * 1_024 * 1_024;

/// The chunks of a file under way.
#[derive(Debug)]
pub(super) struct Window {
    /// In the order of the file, without gaps.
    chunks: VecDeque<Chunk>,
    /// The first octet that is in no chunk.
    next: u64,
    /// Octets of the file.
    size: u64,
    names: u64,
}

/// What a lane fetches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Task {
    /// Which chunk.
    pub(super) name: u64,
    /// The first octet that is missing.
    pub(super) first: u64,
    /// The octet after the last.
    pub(super) end: u64,
}

/// Goes a lane on with its chunk?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flow {
    /// More is missing.
    More,
    /// All of it is here.
    Whole,
}

#[derive(Debug)]
struct Chunk {
    name: u64,
    /// The first octet that did not come yet.
    at: u64,
    end: u64,
    pieces: VecDeque<Bytes>,
    has_lane: bool,
}

impl Window {
    /// What is left of a file of `size` octets from `next` on.
    pub(super) fn new(next: u64, size: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            next,
            size,
            names: 0,
        }
    }

    /// The next chunk to fetch: one that a lane gave back, else a new one, when
    /// there are fewer than `ahead`. With `lanes` of one it is all that is left.
    pub(super) fn assign(&mut self, lanes: usize, ahead: usize) -> Option<Task> {
        if let Some(chunk) = self.chunks.iter_mut().find(|chunk| chunk.is_free()) {
            chunk.has_lane = true;
            return Some(chunk.task());
        }
        if self.next >= self.size || self.chunks.len() >= ahead.max(1) {
            return None;
        }
        let end = if lanes <= 1 {
            self.size
        } else {
            self.size.min(self.next + CHUNK)
        };
        self.names += 1;
        let chunk = Chunk {
            name: self.names,
            at: self.next,
            end,
            pieces: VecDeque::new(),
            has_lane: true,
        };
        let task = chunk.task();
        self.next = end;
        self.chunks.push_back(chunk);
        Some(task)
    }

    /// Leaves the far end of the last chunk, if it is a long one, to others.
    pub(super) fn share(&mut self) {
        if let Some(last) = self.chunks.back_mut()
            && last.end == self.next
            && last.end - last.at > 2 * CHUNK
        {
            last.end = last.at + CHUNK;
            self.next = last.end;
        }
    }

    /// Takes in what came of a chunk; what lies beyond its end is another's.
    pub(super) fn put(&mut self, name: u64, mut data: Bytes) -> Flow {
        let Some(chunk) = self.chunks.iter_mut().find(|chunk| chunk.name == name) else {
            return Flow::Whole;
        };
        let missing = usize::try_from(chunk.end - chunk.at).unwrap_or(usize::MAX);
        data.truncate(missing);
        chunk.at += data.len() as u64;
        if !data.is_empty() {
            chunk.pieces.push_back(data);
        }
        if chunk.at < chunk.end {
            return Flow::More;
        }
        chunk.has_lane = false;
        Flow::Whole
    }

    /// A lane does not go on with its chunk.
    pub(super) fn give_back(&mut self, name: u64) {
        if let Some(chunk) = self.chunks.iter_mut().find(|chunk| chunk.name == name) {
            chunk.has_lane = false;
        }
    }

    /// The next octets of the file, if they are here.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        loop {
            let head = self.chunks.front_mut()?;
            if let Some(piece) = head.pieces.pop_front() {
                return Some(piece);
            }
            if head.at < head.end {
                return None;
            }
            self.chunks.pop_front();
        }
    }

    /// Is there something that no lane fetches?
    pub(super) fn has_work(&self) -> bool {
        self.next < self.size || self.chunks.iter().any(Chunk::is_free)
    }

    /// Was everything taken?
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.next >= self.size
    }
}

impl Chunk {
    fn is_free(&self) -> bool {
        !self.has_lane && self.at < self.end
    }

    fn task(&self) -> Task {
        Task {
            name: self.name,
            first: self.at,
            end: self.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What lies at an offset of the file.
    fn octet(at: u64) -> u8 {
        u8::try_from(at % 251).expect("small")
    }

    fn octets(first: u64, count: usize) -> Bytes {
        (first..).take(count).map(octet).collect()
    }

    #[test]
    fn one_lane_gets_all_and_leaves_the_rest_to_the_second() {
        let size = 10 * CHUNK;
        let mut window = Window::new(5, size);
        let all = window.assign(1, 1).expect("all");
        assert_eq!((all.first, all.end), (5, size));
        assert_eq!(window.assign(2, 4), None);
        window.share();
        let second = window.assign(2, 4).expect("the rest");
        assert_eq!((second.first, second.end), (5 + CHUNK, 5 + 2 * CHUNK));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_lanes_do_the_file_comes_out_in_order_and_little_is_held(
            start in 0_u64..10_000,
            length in 1_u64..6 * CHUNK,
            steps in prop::collection::vec((0_usize..6, 0_u8..20, 1_usize..3_000_000), 0..60),
            lanes in 1_usize..5,
        ) {
            let size = start + length;
            let mut window = Window::new(start, size);
            let mut running: Vec<Task> = Vec::new();
            let mut taken = start;
            let mut steps = steps.into_iter().chain(std::iter::repeat((0, 0, 1_000_000)));
            let mut turn = 0_usize;
            while !window.is_empty() {
                while running.len() < lanes {
                    let Some(task) = window.assign(lanes, 2 * lanes) else { break };
                    prop_assert!(task.first < task.end);
                    running.push(task);
                }
                let (which, what, count) = steps.next().expect("endless");
                turn += 1;
                if !running.is_empty() {
                    let at = (which + turn) % running.len();
                    if what == 1 {
                        window.give_back(running.remove(at).name);
                    } else {
                        if what == 2 {
                            window.share();
                        }
                        let task = &mut running[at];
                        let flow = window.put(task.name, octets(task.first, count));
                        task.first += count as u64;
                        if flow == Flow::Whole {
                            running.remove(at);
                        }
                    }
                }
                while let Some(piece) = window.take() {
                    prop_assert_eq!(&piece, &octets(taken, piece.len()));
                    taken += piece.len() as u64;
                }
                prop_assert!(window.chunks.len() <= 2 * lanes + 1);
            }
            prop_assert_eq!(taken, size);
            prop_assert!(!window.has_work());
        }
    }
}
