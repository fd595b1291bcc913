//! How many parallel ranges a file is fetched in: starts with one, takes four before
//! that one has found its speed, then doubles or halves them while that raises the
//! total goodput, and goes back when it does not. Pure.
//!
//! More ranges pay against senders that take loss for congestion and against
//! limits per connection; against others they cost (a shorter queue for each,
//! more memory), so fewer are tried again and again, too.

use std::time::Duration;

use super::window;
use super::window::Bounds;

/// The controller of one file. Its time is the sum of what it is told.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    most: usize,
    now: usize,
    phase: Phase,
    /// To the server and back, within bounds.
    trip: Duration,
    /// Of the measurement under way.
    octets: u64,
    elapsed: Duration,
    /// From the end of one trial to the next.
    pause: Duration,
    /// The last trial was one of more lanes.
    went_up: bool,
    /// As it was last measured; zero before.
    octets_per_s: f64,
    /// It was measured when the lanes had found their speed.
    is_known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// One lane, and nothing is known.
    Alone,
    /// What comes just after a change says nothing.
    Settling { before: Option<Before> },
    /// Measuring what `now` lanes bring.
    Measuring { before: Option<Before> },
    /// Nothing is tried until so much time has passed.
    Resting { left: Duration },
}

/// What a trial is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Before {
    lanes: usize,
    octets_per_s: f64,
}

impl Lanes {
    /// One lane of at most `most`, to a server that answers after `trip`.
    pub(super) fn new(most: usize, trip: Duration) -> Self {
        Self {
            most: most.max(1),
            now: 1,
            trip: trip.clamp(LEAST_TRIP, LONGEST_TRIP),
            phase: Phase::Alone,
            octets: 0,
            elapsed: Duration::ZERO,
            pause: FIRST_PAUSE,
            went_up: false,
            octets_per_s: 0.0,
            is_known: false,
        }
    }

    /// Always so many lanes, unless there is a limit; fast ones, so that the first
    /// does not get far before the second is there, and patient ones, so that only
    /// one that stalls is overtaken.
    #[cfg(test)]
    pub(super) fn fixed(count: usize) -> Self {
        Self {
            now: count,
            phase: Phase::Resting {
                left: Duration::MAX,
            },
            octets_per_s: 64e6,
            ..Self::new(count, LONGEST_TRIP)
        }
    }

    /// Octets that come in such a time; before the lanes have found their speed by the
    /// first look at one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, and not negative"
    )]
    pub(super) fn octets_in(&self, time: Duration) -> u64 {
        (self.octets_per_s * time.as_secs_f64()) as u64
    }

    /// To the server and back, within bounds.
    pub(super) fn trip(&self) -> Duration {
        self.trip
    }

    /// How many lanes there should be.
    pub(super) fn count(&self) -> usize {
        self.now
    }

    /// How the lanes cut the file, with so much memory `reserved` for what waits for
    /// its turn.
    pub(super) fn bounds(&self, reserved: u64) -> Bounds {
        let lanes = self.now;
        let each = |time: Duration| self.octets_in(time) / lanes as u64;
        let (memory, least) = if self.is_known {
            let least = each(CHUNK_TIME).clamp(LEAST_CHUNK, window::LEAST);
            let memory = self.octets_in(WAITING_TIME);
            (memory.max(Bounds::memory_for(lanes, least)), least)
        } else {
            (reserved, window::LEAST)
        };
        Bounds {
            lanes,
            memory: memory.min(reserved),
            least,
            least_half: each(self.trip).clamp(LEAST_HALF, window::LEAST),
        }
    }

    /// Takes in that `octets` came in the time `elapsed`, and that `left` are
    /// still to come.
    pub(super) fn sample(&mut self, octets: u64, elapsed: Duration, left: u64) {
        self.octets = self.octets.saturating_add(octets);
        self.elapsed = self.elapsed.saturating_add(elapsed);
        match self.phase {
            Phase::Alone if self.elapsed >= self.trip * ALONE => self.take_help(left),
            Phase::Settling { before } if self.elapsed >= self.trip * TRIAL_SETTLES => {
                self.enter(Phase::Measuring { before });
            }
            Phase::Measuring { before } if self.elapsed >= self.trip * MEASURED => {
                self.judge(before, left);
            }
            Phase::Resting { left } if self.elapsed >= left => {
                self.enter(Phase::Measuring { before: None });
            }
            Phase::Alone
            | Phase::Settling { .. }
            | Phase::Measuring { .. }
            | Phase::Resting { .. } => {}
        }
    }

    /// The server takes no more than one connection, or a lane was lost: no
    /// more than `most` lanes from now on.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = self.most.min(most.max(1));
        if self.now > self.most {
            self.now = self.most;
            self.rest();
        }
    }

    /// The first look at the one lane.
    fn take_help(&mut self, left: u64) {
        if self.measure(left, WORTH_HELP) {
            self.now = FIRST_STEP.min(self.most);
            self.went_up = true;
            self.enter(Phase::Settling { before: None });
        } else {
            self.rest();
        }
    }

    /// A measurement is over.
    fn judge(&mut self, before: Option<Before>, left: u64) {
        let is_worth_it = self.measure(left, WORTH_TRIAL);
        self.is_known = true;
        let octets_per_s = self.octets_per_s;
        let Some(before) = before else {
            self.try_another(octets_per_s, is_worth_it);
            return;
        };
        let gain = octets_per_s / before.octets_per_s.max(1.0);
        let is_better = if self.now > before.lanes {
            gain >= WORTHWHILE
        } else {
            gain >= AS_GOOD
        };
        #[expect(clippy::cast_precision_loss, reason = "few lanes")]
        let is_nearly_full = gain * (before.lanes as f64) < NEARLY_FULL * self.now as f64;
        if is_better {
            self.pause = FIRST_PAUSE;
            if self.now > before.lanes && is_nearly_full {
                // Fewer may do as well: they are next.
                self.rest();
                self.pause *= 2;
            } else {
                self.try_another(octets_per_s, is_worth_it);
            }
        } else {
            self.now = before.lanes.min(self.most);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            self.rest();
        }
    }

    /// Takes in what came; says whether the `left` octets will take more than so many
    /// trips.
    fn measure(&mut self, left: u64, trips: u32) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no last octet")]
        let octets_per_s = self.octets as f64 / self.elapsed.as_secs_f64();
        self.octets_per_s = octets_per_s;
        #[expect(clippy::cast_precision_loss, reason = "a time needs no last octet")]
        let is_long = left as f64 > octets_per_s * (self.trip * trips).as_secs_f64();
        is_long && octets_per_s < FAST
    }

    /// Begins a trial: further the way that has just paid, else the other one.
    fn try_another(&mut self, octets_per_s: f64, is_worth_it: bool) {
        let more = match self.now {
            1 => FIRST_STEP,
            now => now * 2,
        };
        let more = more.min(self.most);
        let fewer = (self.now / 2).max(1);
        let next = match (self.went_up, more > self.now, fewer < self.now) {
            (_, false, false) => None,
            // The first way is up, and so it is as long as up has paid.
            (false, true, _) | (true, true, false) => Some(more),
            (true, true, true) if self.pause == FIRST_PAUSE => Some(more),
            (_, _, true) => Some(fewer),
        };
        let Some(next) = next.filter(|_| is_worth_it) else {
            self.rest();
            return;
        };
        let before = Some(Before {
            lanes: self.now,
            octets_per_s,
        });
        self.went_up = next > self.now;
        self.now = next;
        self.enter(Phase::Settling { before });
    }

    fn rest(&mut self) {
        self.enter(Phase::Resting { left: self.pause });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.octets = 0;
        self.elapsed = Duration::ZERO;
    }
}

/// Trips before others help the first lane. It has not found its speed by then, and
/// they find theirs beside it; if they are not needed later, fewer are tried.
const ALONE: u32 = 2;

/// Trips in which the lanes of a trial are made, and find their speed.
const TRIAL_SETTLES: u32 = 15;

/// Trips in which a rate is measured: many new connections make it uneven.
const MEASURED: u32 = 20;

const LEAST_TRIP: Duration = Duration::from_millis(20);
const LONGEST_TRIP: Duration = Duration::from_millis(200);

/// Lanes of the first trial: against a sender that takes loss for congestion two
/// are too few, and each trial takes its time.
const FIRST_STEP: usize = 4;

/// Between trials; twice as long after each that did not pay.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// More lanes must bring so much more.
const WORTHWHILE: f64 = 1.15;

/// When lanes bring no more than this part of what so many should, the line is nearly
/// full.
const NEARLY_FULL: f64 = 0.65;

/// Half the lanes are as good if they bring so much.
const AS_GOOD: f64 = 0.97;

/// A file that will be here within so many trips is left to one lane: when it is
/// stopped, what waits for its turn comes again.
const WORTH_HELP: u32 = 100;

/// Within so many trips other trials do not pay: each takes an eighth of that, and
/// new connections hold up those that have found their speed.
const WORTH_TRIAL: u32 = 8 * (TRIAL_SETTLES + MEASURED);

/// No more waits for its turn than comes in this time: after a stop it comes again.
const WAITING_TIME: Duration = Duration::from_secs(10);

/// A lane that takes so long for the least chunk gets a smaller one, but no smaller
/// than [`LEAST_CHUNK`].
const CHUNK_TIME: Duration = Duration::from_secs(1);
const LEAST_CHUNK: u64 = 256 * 1_024;

/// The back half of a chunk has so many octets at least. A smaller chunk is here
/// before the answer to a new request comes.
const LEAST_HALF: u64 = 64 * 1_024;

/// A lane that brings so much is held up by the processor, octets a second.
const FAST: f64 = 250e6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: Duration = Duration::from_millis(100);
    const TRIP: Duration = Duration::from_millis(50);

    /// Fetches for so many seconds along a line that brings `rate(lanes)`
    /// octets a second; the lanes over time, one entry a tick.
    fn fetch(lanes: &mut Lanes, seconds: u32, mut rate: impl FnMut(usize) -> u64) -> Vec<usize> {
        (0..seconds * 10)
            .map(|_| {
                lanes.sample(rate(lanes.count()) / 10, TICK, u64::MAX / 2);
                lanes.count()
            })
            .collect()
    }

    fn share(all: &[usize], wanted: usize) -> usize {
        all.iter().filter(|lanes| **lanes == wanted).count() * 100 / all.len()
    }

    #[test]
    fn a_limit_for_each_connection_brings_all_lanes_within_ten_seconds() {
        let mut lanes = Lanes::new(8, TRIP);
        fetch(&mut lanes, 10, |lanes| lanes as u64 * 1_000_000);
        assert_eq!(lanes.count(), 8);
        let later = fetch(&mut lanes, 300, |lanes| lanes as u64 * 1_000_000);
        assert!(share(&later, 8) >= 90, "{}", share(&later, 8));
    }

    #[test]
    fn lanes_that_came_while_the_first_found_its_speed_are_given_up() {
        let mut lanes = Lanes::new(8, TRIP);
        let mut early = 0;
        fetch(&mut lanes, 20, |lanes| {
            early += 1;
            if early < 8 {
                20_000_000
            } else {
                80_000_000 + lanes as u64
            }
        });
        let later = fetch(&mut lanes, 300, |_| 80_000_000);
        assert!(share(&later, 1) >= 85, "{}", share(&later, 1));
    }

    #[test]
    fn a_line_that_four_more_than_fill_keeps_two() {
        let mut lanes = Lanes::new(8, TRIP);
        let all = fetch(&mut lanes, 300, |lanes| 40_000_000 * lanes.min(2) as u64);
        assert!(share(&all, 2) >= 80, "{}", share(&all, 2));
    }

    #[test]
    fn a_line_that_is_nearly_full_is_left_at_that() {
        let mut lanes = Lanes::new(8, TRIP);
        fetch(&mut lanes, 60, |_| 40_000_000);
        assert_eq!(lanes.count(), 1);
        let all = fetch(&mut lanes, 120, |lanes| 40_000_000 * lanes.min(2) as u64);
        assert!(share(&all, 2) >= 40, "{}", share(&all, 2));
        assert!(!all.contains(&8), "{all:?}");
    }

    #[test]
    fn a_line_that_one_connection_fills_keeps_one() {
        let mut lanes = Lanes::new(8, TRIP);
        let all = fetch(&mut lanes, 300, |_| 100_000_000);
        assert!(share(&all, 1) >= 85, "{}", share(&all, 1));
    }

    #[test]
    fn lanes_that_no_longer_pay_are_given_up() {
        let mut lanes = Lanes::new(8, TRIP);
        fetch(&mut lanes, 20, |lanes| lanes as u64 * 1_000_000);
        let later = fetch(&mut lanes, 300, |_| 8_000_000);
        assert_eq!(share(&later[1_500..], 8), 0);
    }

    #[test]
    fn a_file_that_is_nearly_here_is_left_alone() {
        let mut lanes = Lanes::new(8, TRIP);
        for _ in 0..600 {
            lanes.sample(100_000_000, TICK, 1_000_000_000);
            assert_eq!(lanes.count(), 1);
        }
    }

    #[test]
    fn a_server_that_takes_one_connection_gets_one() {
        let mut lanes = Lanes::new(8, TRIP);
        fetch(&mut lanes, 20, |lanes| lanes as u64 * 1_000_000);
        lanes.limit(1);
        let later = fetch(&mut lanes, 300, |lanes| lanes as u64 * 1_000_000);
        assert_eq!(share(&later, 1), 100);
    }

    #[test]
    fn on_a_slow_line_little_waits_and_chunks_are_small() {
        const RESERVED: u64 = 56 << 20;
        let mut lanes = Lanes::new(4, TRIP);
        lanes.sample(1_000, TRIP * ALONE, u64::MAX / 2);
        let unknown = lanes.bounds(RESERVED);
        assert_eq!((unknown.lanes, unknown.memory), (4, RESERVED));
        assert_eq!(unknown.least, window::LEAST);
        for (octets_per_s, memory, least) in [
            (100_000, 6 * LEAST_CHUNK, LEAST_CHUNK),
            (4_000_000, 40_000_000, 1_000_000),
            (80_000_000, RESERVED, window::LEAST),
        ] {
            fetch(&mut lanes, 60, |_| octets_per_s);
            lanes.now = 4;
            let bounds = lanes.bounds(RESERVED);
            assert_eq!((bounds.memory, bounds.least), (memory, least));
        }
    }

    proptest! {
        #[test]
        fn there_are_never_none_nor_too_many(
            most in 0_usize..12,
            samples in prop::collection::vec((any::<u64>(), 0_u64..5_000, any::<u64>(), 0_usize..40), 0..400),
        ) {
            let mut lanes = Lanes::new(most, TRIP);
            let mut limit = most.max(1);
            for (octets, milliseconds, left, new) in samples {
                if new < 8 {
                    lanes.limit(new);
                    limit = limit.min(new.max(1));
                }
                lanes.sample(octets, Duration::from_millis(milliseconds), left);
                prop_assert!((1..=limit).contains(&lanes.count()));
            }
        }

        #[test]
        fn it_settles_at_what_the_line_can_use(knee in 1_usize..9) {
            let mut lanes = Lanes::new(8, TRIP);
            let rate = |lanes: usize| lanes.min(knee) as u64 * 1_000_000;
            let all = fetch(&mut lanes, 400, rate);
            let goodput: u64 = all.iter().map(|lanes| rate(*lanes)).sum();
            // Doubling reaches it or steps over it.
            let ideal = rate(8) * all.len() as u64;
            prop_assert!(goodput * 100 >= ideal * 75, "{}", goodput * 100 / ideal);
        }
    }
}
