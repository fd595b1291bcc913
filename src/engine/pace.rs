//! How fast a job is: octets a second over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::bits::Timestamp;

/// What a job had at some moments of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seen: VecDeque<(Timestamp, u64)>,
}

impl Pace {
    /// The job has so many octets at this moment of the steady clock.
    pub(super) fn note(&mut self, octets: u64, now: Timestamp) {
        if self.seen.back().is_some_and(|(_, last)| octets < *last) {
            // A file began anew.
            self.seen.clear();
        }
        let is_new = |(at, _): &(Timestamp, u64)| now.since(*at) >= STEP;
        if self.seen.back().is_none_or(is_new) {
            self.seen.push_back((now, octets));
        }
        // One that is older stays: what came since then is known.
        while self
            .seen
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) > SPAN)
        {
            self.seen.pop_front();
        }
    }

    /// Octets a second, when it has `octets` now.
    pub(super) fn octets_per_s(&self, octets: u64, now: Timestamp) -> u64 {
        let Some((at, before)) = self.seen.front() else {
            return 0;
        };
        let milliseconds = now.since(*at).as_millis().max(1);
        let came = u128::from(octets.saturating_sub(*before));
        u64::try_from(came * 1_000 / milliseconds).unwrap_or(u64::MAX)
    }
}

/// From one moment that is noted to the next.
const STEP: Duration = Duration::from_millis(500);

/// How far back they go.
const SPAN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_last_seconds_count() {
        let mut pace = Pace::default();
        // Fast for five seconds, then slow for ten.
        let octets = |step: u64| 9_000 * step.min(50) + 100 * step.saturating_sub(50);
        for step in 0..150 {
            pace.note(octets(step), at(step * 100));
            assert!(pace.seen.len() <= 12);
        }
        assert_eq!(pace.octets_per_s(octets(150), at(15_000)), 1_000);
        assert_eq!(pace.octets_per_s(0, at(15_000)), 0);
    }

    #[test]
    fn a_file_that_begins_anew_is_no_speed() {
        let mut pace = Pace::default();
        pace.note(1_000, at(0));
        pace.note(10, at(1_000));
        assert_eq!(pace.octets_per_s(1_010, at(2_000)), 1_000);
    }
}
