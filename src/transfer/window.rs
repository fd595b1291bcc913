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

    /// Does one lane fetch all that is left?
    pub(super) fn is_of_one(&self) -> bool {
        self.next >= self.size && self.chunks.len() == 1
    }

    /// A chunk that another lane may fetch of what one has to itself, so many
    /// octets ahead of it; nothing changes until [`Window::accept`].
    pub(super) fn probe(&mut self, ahead: u64) -> Option<Task> {
        let last = self.chunks.back().filter(|_| self.is_of_one())?;
        let first = last.at.checked_add(ahead.max(1))?;
        let end = first.checked_add(CHUNK)?;
        self.names += 1;
        (end < self.size).then_some(Task {
            name: self.names,
            first,
            end,
        })
    }

    /// The other lane has its chunk: the first one ends before it, and what lies
    /// behind is everybody's. Not when the first has come too far by now.
    pub(super) fn accept(&mut self, task: Task) -> bool {
        if !self.is_of_one() {
            return false;
        }
        let Some(last) = self.chunks.back_mut().filter(|last| last.at < task.first) else {
            return false;
        };
        last.end = task.first;
        self.next = task.end;
        self.chunks.push_back(Chunk {
            name: task.name,
            at: task.first,
            end: task.end,
            pieces: VecDeque::new(),
            has_lane: true,
        });
        true
    }

    /// Takes in what came of a chunk; what lies beyond its end is another's.
    pub(super) fn put(&mut self, name: u64, mut data: Bytes) -> Flow {
        let Some(at) = self.chunks.iter().position(|chunk| chunk.name == name) else {
            return Flow::Whole;
        };
        let chunk = &mut self.chunks[at];
        let missing = usize::try_from(chunk.end - chunk.at).unwrap_or(usize::MAX);
        data.truncate(missing);
        chunk.at += data.len() as u64;
        if !data.is_empty() {
            // A piece keeps the whole buffer in memory that it was read into: what
            // waits for its turn is copied.
            chunk.pieces.push_back(if at == 0 {
                data
            } else {
                Bytes::copy_from_slice(&data)
            });
        }
        if chunk.at < chunk.end {
            return Flow::More;
        }
        chunk.has_lane = false;
        Flow::Whole
    }

    /// Should more of a chunk come now? The first one is handed on as it comes, and
    /// no faster.
    pub(super) fn has_room(&self, name: u64) -> bool {
        self.chunks
            .front()
            .is_none_or(|head| head.name != name || head.pieces.is_empty())
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
        let second = window.probe(CHUNK).expect("there is room");
        assert_eq!((second.first, second.end), (5 + CHUNK, 5 + 2 * CHUNK));
        assert!(!window.has_work(), "only once it is accepted");
        assert!(window.accept(second));
        let third = window.assign(2, 4).expect("the rest");
        assert_eq!((third.first, third.end), (second.end, second.end + CHUNK));
        assert_eq!(window.probe(CHUNK), None);
    }

    #[test]
    fn a_chunk_that_the_first_lane_has_passed_is_not_accepted() {
        let mut window = Window::new(0, 100 * CHUNK);
        let all = window.assign(1, 1).expect("all");
        let second = window.probe(10).expect("there is room");
        assert_eq!(window.put(all.name, octets(0, 11)), Flow::More);
        assert!(!window.accept(second));
        assert_eq!(window.put(all.name, octets(11, 11)), Flow::More);
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
                        if what == 2
                            && let Some(task) = window.probe(count as u64)
                            && window.accept(task)
                        {
                            running.push(task);
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
