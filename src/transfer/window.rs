//! The part of a file that several connections fetch at once: chunks are given
//! out, what comes is put in order. Pure.
//!
//! Chunks lie side by side from the first octet that nobody has taken yet. The first
//! is handed on as it comes; those behind it are no longer than there is memory for
//! what waits in them.

use std::collections::VecDeque;

use bytes::Buf;
use hyper::body::Bytes;

/// Octets of a chunk at most, unless there is one lane only: a connection rests for
/// a trip between two of them.
pub(super) const MOST: u64 = 8 * 1_024 * 1_024;

/// Octets of a chunk at least, unless a lane takes long for them. Those at the end of
/// a file are no larger than makes all lanes end at about the same time.
pub(super) const LEAST: u64 = 2 * 1_024 * 1_024;

/// How the chunks of a file are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Lanes that there should be.
    pub(super) lanes: usize,
    /// Octets that may wait for their turn.
    pub(super) memory: u64,
    /// Octets of a chunk at least.
    pub(super) least: u64,
    /// Octets of the back half of a chunk at least.
    pub(super) least_half: u64,
}

/// The chunks of a file under way.
#[derive(Debug)]
pub(super) struct Window {
    /// In the order of the file, without gaps.
    chunks: VecDeque<Chunk>,
    /// Of what one lane has to itself: what others ask for ahead of it.
    ahead: VecDeque<Chunk>,
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
    /// Who fetches it: one, or a second one, too, where it holds up the others.
    lanes: u8,
}

impl Bounds {
    /// One lane, which has all that there is.
    pub(super) const ONE: Self = Self {
        lanes: 1,
        memory: 0,
        least: LEAST,
        least_half: LEAST,
    };

    /// What waits when each of `lanes` but one has two chunks of so many octets: while
    /// that one is slow the others go on.
    pub(super) fn memory_for(lanes: usize, chunk: u64) -> u64 {
        chunk * 2 * (lanes as u64).saturating_sub(1)
    }

    /// So many lanes have enough of this memory.
    pub(super) fn most_lanes(memory: u64) -> usize {
        usize::try_from(memory / Self::memory_for(2, LEAST) + 1).unwrap_or(usize::MAX)
    }

    /// Octets of a chunk for one of `lanes`, with so many octets `left`.
    fn chunk(&self, lanes: usize, left: u64) -> u64 {
        let fits = self.memory / Self::memory_for(lanes.max(2), 1);
        let chunk = fits.min(left / lanes.max(2) as u64);
        chunk.clamp(self.least, MOST).min(left)
    }
}

impl Window {
    /// What is left of a file of `size` octets from `next` on.
    pub(super) fn new(next: u64, size: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            ahead: VecDeque::new(),
            next,
            size,
            names: 0,
        }
    }

    /// The next chunk to fetch: one that a lane gave back, else a new one that fits
    /// into the memory for what waits, and has `most` octets. With one lane it is all
    /// that is left.
    pub(super) fn assign(&mut self, bounds: &Bounds, most: u64) -> Option<Task> {
        if let Some(chunk) = self.chunks.iter_mut().find(|chunk| chunk.is_free()) {
            chunk.lanes = 1;
            return Some(chunk.task());
        }
        let left = self.size.checked_sub(self.next).filter(|left| *left > 0)?;
        let octets = if bounds.lanes <= 1 {
            left
        } else {
            bounds.chunk(bounds.lanes, left).min(most)
        };
        if let Some(first) = self.chunks.front()
            && (bounds.lanes <= 1 || self.next + octets - first.end > bounds.memory)
        {
            return None;
        }
        let chunk = self.chunk(self.next, self.next + octets);
        let task = chunk.task();
        self.next = task.end;
        self.chunks.push_back(chunk);
        Some(task)
    }

    /// Does one lane fetch all that is left?
    pub(super) fn is_of_one(&self) -> bool {
        self.next >= self.size && self.chunks.len() == 1
    }

    /// Chunks that `others` may fetch of what one lane has to itself, so many octets
    /// ahead of it; nothing changes until [`Window::accept`].
    pub(super) fn probe(&mut self, bounds: &Bounds, ahead: u64, others: usize) -> Vec<Task> {
        self.ahead.clear();
        let Some(last) = self.chunks.back().filter(|_| self.is_of_one()) else {
            return Vec::new();
        };
        let mut first = last.at.saturating_add(ahead.max(1));
        let left = self.size.saturating_sub(first);
        let octets = bounds.chunk(others + 1, left);
        while self.ahead.len() < others && first.saturating_add(octets) < self.size {
            let chunk = self.chunk(first, first + octets);
            first = chunk.end;
            self.ahead.push_back(chunk);
        }
        self.ahead.iter().map(Chunk::task).collect()
    }

    /// Has the first lane come to where others would begin?
    pub(super) fn has_passed(&self, task: Task) -> bool {
        if self.chunks.iter().any(|chunk| chunk.name == task.name) {
            return false;
        }
        let is_ahead = self.ahead.iter().any(|chunk| chunk.name == task.name);
        let first = self.ahead.front().filter(|_| is_ahead);
        let last = self.chunks.back();
        first.is_none_or(|first| last.is_none_or(|last| last.at >= first.at))
    }

    /// Another lane has its chunk: the first one ends before all that were asked for
    /// ahead of it, and what lies behind is everybody's. Not when the first has come
    /// too far by now.
    pub(super) fn accept(&mut self, task: Task) -> bool {
        if self.has_passed(task) {
            return false;
        }
        if let (Some(last), Some(first)) = (self.chunks.back_mut(), self.ahead.front()) {
            last.end = first.at;
            self.chunks.append(&mut self.ahead);
            self.next = self.chunks.back().map_or(self.next, |last| last.end);
        }
        true
    }

    /// A chunk that somebody fetches and all wait for: the first one, or at the end
    /// of the file any. Whoever is faster brings it.
    pub(super) fn second(&mut self) -> Option<Task> {
        let candidates = if self.next < self.size { 1 } else { usize::MAX };
        let mut chunks = self.chunks.iter_mut().take(candidates);
        let chunk = chunks.find(|chunk| chunk.lanes == 1 && chunk.at < chunk.end)?;
        chunk.lanes = 2;
        Some(chunk.task())
    }

    /// At the end of the file: the back half of the chunk of which most is missing,
    /// unless it would have too few octets, or not fit into the memory.
    pub(super) fn halve(&mut self, bounds: &Bounds) -> Option<Task> {
        if self.next < self.size {
            return None;
        }
        let chunks = self.chunks.iter().enumerate();
        let (place, most) = chunks.max_by_key(|(_, chunk)| chunk.end - chunk.at)?;
        let half = (most.end - most.at) / 2;
        let first = most.end - half;
        if half < bounds.least_half.max(1) || (place == 0 && self.next - first > bounds.memory) {
            return None;
        }
        let back = self.chunk(first, most.end);
        let task = back.task();
        self.chunks[place].end = task.first;
        self.chunks.insert(place + 1, back);
        Some(task)
    }

    fn chunk(&mut self, first: u64, end: u64) -> Chunk {
        self.names += 1;
        Chunk {
            name: self.names,
            at: first,
            end,
            pieces: VecDeque::new(),
            lanes: 1,
        }
    }

    /// Takes in what came of a chunk from octet `from` on; what lies beyond its end
    /// is another's, and what another has brought is here.
    pub(super) fn put(&mut self, name: u64, from: u64, mut data: Bytes) -> Flow {
        let Some(at) = self.chunks.iter().position(|chunk| chunk.name == name) else {
            return Flow::Whole;
        };
        let chunk = &mut self.chunks[at];
        // INVARIANT: a lane begins at the first octet that is missing, so that none has
        // come further than its chunk.
        debug_assert!(from <= chunk.at);
        let here = usize::try_from(chunk.at.saturating_sub(from)).unwrap_or(usize::MAX);
        data.advance(here.min(data.len()));
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
        chunk.lanes = 0;
        Flow::Whole
    }

    /// Is all of a chunk here?
    pub(super) fn is_whole(&self, name: u64) -> bool {
        let mut chunks = self.chunks.iter();
        chunks.all(|chunk| chunk.name != name || chunk.at >= chunk.end)
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
        let mut chunks = self.chunks.iter_mut().chain(&mut self.ahead);
        if let Some(chunk) = chunks.find(|chunk| chunk.name == name) {
            chunk.lanes = chunk.lanes.saturating_sub(1);
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

    /// Has all of the file come?
    pub(super) fn is_here(&self) -> bool {
        self.next >= self.size && self.chunks.iter().all(|chunk| chunk.at >= chunk.end)
    }

    /// Was everything taken?
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.next >= self.size
    }
}

impl Chunk {
    fn is_free(&self) -> bool {
        self.lanes == 0 && self.at < self.end
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
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    /// What lies in the file from octet `first` on.
    fn octets(first: u64, count: usize) -> Bytes {
        static SOME: LazyLock<Bytes> = LazyLock::new(|| (0..251).cycle().take(4_000_000).collect());
        let first = usize::try_from(first % 251).expect("small");
        SOME.slice(first..first + count)
    }

    fn bounds(lanes: usize, memory: u64) -> Bounds {
        Bounds {
            lanes,
            memory,
            ..Bounds::ONE
        }
    }

    #[test]
    fn one_lane_gets_all_and_leaves_the_rest_to_the_second() {
        let size = 10 * MOST;
        let mut window = Window::new(5, size);
        let all = window.assign(&Bounds::ONE, MOST).expect("all");
        assert_eq!((all.first, all.end), (5, size));
        assert_eq!(window.assign(&bounds(2, 4 * MOST), MOST), None);
        let second = window.probe(&bounds(2, 4 * MOST), MOST, 1)[0];
        assert_eq!((second.first, second.end), (5 + MOST, 5 + 2 * MOST));
        assert!(!window.has_work(), "only once it is accepted");
        assert!(window.accept(second));
        assert_eq!(window.assign(&bounds(2, MOST), MOST), None, "no memory");
        let third = window.assign(&bounds(2, 2 * MOST), MOST).expect("the rest");
        assert_eq!((third.first, third.end), (second.end, second.end + MOST));
        assert_eq!(window.probe(&bounds(2, 4 * MOST), MOST, 1), []);
    }

    #[test]
    fn others_ask_side_by_side_and_one_answer_is_enough() {
        let mut window = Window::new(0, 100 * MOST);
        window.assign(&Bounds::ONE, MOST).expect("all");
        let asked = window.probe(&bounds(4, 12 * MOST), 10, 3);
        let firsts: Vec<u64> = asked.iter().map(|task| task.first).collect();
        assert_eq!(firsts, [10, 10 + MOST, 10 + 2 * MOST]);
        window.give_back(asked[2].name);
        assert!(window.accept(asked[1]));
        assert!(!window.has_passed(asked[0]), "it is nobody else's");
        assert!(window.accept(asked[0]));
        let again = window
            .assign(&bounds(4, 12 * MOST), MOST)
            .expect("given back");
        assert_eq!(again, asked[2]);
        let next = window
            .assign(&bounds(4, 12 * MOST), MOST)
            .expect("the rest");
        assert_eq!(next.first, asked[2].end);
    }

    #[test]
    fn the_end_of_a_file_is_shared() {
        let mut window = Window::new(0, 2 * LEAST);
        let slow = window.assign(&bounds(2, MOST), MOST).expect("a chunk");
        let fast = window.assign(&bounds(2, MOST), MOST).expect("a chunk");
        assert_eq!(
            window.put(
                fast.name,
                LEAST,
                octets(LEAST, usize::try_from(LEAST).expect("small"))
            ),
            Flow::Whole
        );
        let halves = |least_half, memory| Bounds {
            least_half,
            ..bounds(2, memory)
        };
        assert_eq!(window.halve(&halves(LEAST, MOST)), None, "too little");
        let half = window.halve(&halves(LEAST / 2, MOST)).expect("enough");
        assert_eq!((half.first, half.end), (LEAST / 2, LEAST));
        let front = octets(0, usize::try_from(LEAST).expect("small"));
        assert_eq!(window.put(slow.name, 0, front), Flow::Whole);
        let half = window.halve(&halves(LEAST / 4, 0)).expect("all of it fits");
        assert_eq!(half.end, LEAST);
        assert!(!window.is_here());
    }

    #[test]
    fn a_chunk_that_the_first_lane_has_passed_is_not_accepted() {
        let mut window = Window::new(0, 100 * MOST);
        let all = window.assign(&Bounds::ONE, MOST).expect("all");
        let second = window.probe(&bounds(2, MOST), 10, 1)[0];
        assert_eq!(window.put(all.name, 0, octets(0, 11)), Flow::More);
        assert!(!window.accept(second));
        assert_eq!(window.put(all.name, 11, octets(11, 11)), Flow::More);
    }

    #[test]
    fn who_is_slow_is_overtaken() {
        let mut window = Window::new(0, 64 * MOST);
        let all = window.assign(&Bounds::ONE, MOST).expect("all");
        let probe = window.probe(&bounds(2, 4 * MOST), MOST, 1)[0];
        assert!(window.accept(probe));
        let other = window.second().expect("the first holds up the others");
        assert_eq!((other.name, other.first, other.end), (all.name, 0, MOST));
        assert_eq!(window.second(), None, "two are enough");
        assert_eq!(window.put(all.name, 0, octets(0, 7)), Flow::More);
        assert_eq!(window.put(other.name, 0, octets(0, 9)), Flow::More);
        assert_eq!(window.put(all.name, 7, octets(7, 1)), Flow::More);
        let came: Vec<u8> = std::iter::from_fn(|| window.take()).flatten().collect();
        assert_eq!(came, octets(0, 9));
        window.give_back(other.name);
        assert_eq!(
            window.assign(&bounds(2, 0), MOST),
            None,
            "the slow one has it still"
        );
        window.give_back(all.name);
        let again = window.assign(&bounds(2, 0), MOST).expect("nobody has it");
        assert_eq!((again.first, again.end), (9, MOST));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_lanes_do_the_file_comes_out_in_order_and_little_is_held(
            start in 0_u64..10_000,
            length in 1_u64..12 * LEAST,
            steps in prop::collection::vec((0_usize..6, 0_u8..20, 1_usize..3_000_000), 0..60),
            lanes in 1_usize..5,
            memory in MOST..12 * LEAST,
            least in LEAST / 8..LEAST,
            most in LEAST..2 * MOST,
        ) {
            let size = start + length;
            let bounds = Bounds { lanes, memory, least, least_half: 1_000 };
            let mut window = Window::new(start, size);
            let mut running: Vec<Task> = Vec::new();
            let mut taken = start;
            let mut steps = steps.into_iter().chain(std::iter::repeat((0, 0, 1_000_000)));
            let mut turn = 0_usize;
            while !window.is_empty() {
                while running.len() < lanes {
                    let next = window.assign(&bounds, most);
                    let next = next.or_else(|| window.halve(&bounds));
                    let Some(task) = next.or_else(|| window.second()) else { break };
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
                            let asked = window.probe(&bounds, count as u64, lanes - 1);
                            // The last to be asked is the first to answer.
                            for task in asked.into_iter().rev() {
                                if window.accept(task) {
                                    running.push(task);
                                }
                            }
                        }
                        let task = &mut running[at];
                        let flow = window.put(task.name, task.first, octets(task.first, count));
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
                let first = window.chunks.front();
                let waiting = window.chunks.iter().skip(1).flat_map(|chunk| &chunk.pieces);
                let held: u64 = waiting.map(|piece| piece.len() as u64).sum();
                prop_assert!(held <= memory);
                prop_assert!(first.is_none_or(|first| window.next - first.end <= memory || lanes == 1));
            }
            prop_assert_eq!(taken, size);
            prop_assert!(!window.has_work());
        }
    }
}
