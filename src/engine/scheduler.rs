//! Who runs: a pure decision over what waits and what runs.
//!
//! The most urgent jobs have the slots. A waiting job takes the slot of one
//! that is less urgent, or of an equally urgent one whose time slice is over
//! (bits.md 2.4; the length of a slice is nowhere documented, so it is a
//! setting).

use std::time::Duration;

use crate::bits::JobId;
use crate::bits::Priority;
use crate::bits::Timestamp;

/// A job that has a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Running {
    pub(super) id: JobId,
    pub(super) priority: Priority,
    pub(super) started_at: Timestamp,
    /// Its transfers are being ended: the slot is as good as free.
    pub(super) is_ending: bool,
}

/// A job that wants a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Waiting {
    pub(super) id: JobId,
    pub(super) priority: Priority,
}

/// How many may run, and for how long when others wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slots {
    pub(super) count: usize,
    pub(super) time_slice: Duration,
}

/// What to do now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Decision {
    /// Give these a slot.
    pub(super) start: Vec<JobId>,
    /// Take the slot from these; whoever gets it starts once they have ended.
    pub(super) preempt: Vec<JobId>,
    /// Look again then, though nothing happens until then.
    pub(super) look_at: Option<Timestamp>,
}

/// Decides. `waiting` comes most urgent first, and has nobody who still runs.
pub(super) fn decide(
    running: &[Running],
    waiting: &[Waiting],
    slots: Slots,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    let mut holders: Vec<&Running> = running.iter().filter(|job| !job.is_ending).collect();
    // Least urgent first, then the one that has run longest.
    holders.sort_by_key(|job| (std::cmp::Reverse(job.priority), job.started_at));
    let mut free_now = slots.count.saturating_sub(running.len());
    let mut free_soon = slots.count.saturating_sub(holders.len());
    for wanting in waiting {
        if free_soon > 0 {
            free_soon -= 1;
            if free_now > 0 {
                free_now -= 1;
                decision.start.push(wanting.id);
            }
            continue;
        }
        let Some(at) = holders.iter().position(|holder| {
            holder.priority > wanting.priority
                || (holder.priority == wanting.priority
                    && holder.started_at + slots.time_slice <= now)
        }) else {
            decision.look_at = holders
                .iter()
                .filter(|holder| holder.priority == wanting.priority)
                .map(|holder| holder.started_at + slots.time_slice)
                .min();
            break;
        };
        decision.preempt.push(holders.remove(at).id);
    }
    decision
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOTS: Slots = Slots {
        count: 2,
        time_slice: Duration::from_secs(10),
    };

    fn id(number: u8) -> JobId {
        JobId::from_octets([number; 16])
    }

    fn waiting(number: u8, priority: Priority) -> Waiting {
        Waiting {
            id: id(number),
            priority,
        }
    }

    fn running(number: u8, priority: Priority, started_s: u64) -> Running {
        Running {
            id: id(number),
            priority,
            started_at: at(started_s),
            is_ending: false,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn free_slots_go_to_the_first_in_line() {
        let line = [
            waiting(1, Priority::High),
            waiting(2, Priority::Normal),
            waiting(3, Priority::Low),
        ];
        let decision = decide(&[], &line, SLOTS, at(0));
        assert_eq!(decision.start, [id(1), id(2)]);
        assert!(decision.preempt.is_empty());
    }

    #[test]
    fn a_foreground_job_takes_the_slot_of_the_least_urgent() {
        let holders = [
            running(1, Priority::Low, 5),
            running(2, Priority::Normal, 0),
        ];
        let decision = decide(&holders, &[waiting(3, Priority::Foreground)], SLOTS, at(6));
        assert_eq!(decision.preempt, [id(1)]);
        assert!(decision.start.is_empty());
    }

    #[test]
    fn a_slot_that_is_being_freed_is_not_freed_twice() {
        let mut ending = running(1, Priority::Low, 5);
        ending.is_ending = true;
        let holders = [ending, running(2, Priority::Normal, 0)];
        let decision = decide(&holders, &[waiting(3, Priority::Foreground)], SLOTS, at(6));
        assert_eq!(decision, Decision::default());
    }

    #[test]
    fn equals_take_turns_when_the_slice_is_over() {
        let holders = [
            running(1, Priority::Normal, 0),
            running(2, Priority::Normal, 4),
        ];
        let line = [waiting(3, Priority::Normal)];
        let early = decide(&holders, &line, SLOTS, at(9));
        assert_eq!(
            early,
            Decision {
                look_at: Some(at(10)),
                ..Decision::default()
            }
        );
        assert_eq!(decide(&holders, &line, SLOTS, at(10)).preempt, [id(1)]);
    }

    fn priority() -> impl Strategy<Value = Priority> {
        (0_u32..4).prop_map(|number| Priority::from_number(number).expect("in range"))
    }

    proptest! {
        #[test]
        fn nobody_waits_while_someone_less_urgent_keeps_a_slot(
            held in prop::collection::vec((priority(), 0_u64..20, any::<bool>()), 0..4),
            mut wanted in prop::collection::vec(priority(), 0..6),
            count in 1_usize..4,
        ) {
            wanted.sort();
            let held: Vec<Running> = held.iter().take(count).enumerate().map(|(n, (priority, start, is_ending))| Running {
                id: id(u8::try_from(n).expect("few")), priority: *priority, started_at: at(*start), is_ending: *is_ending,
            }).collect();
            let line: Vec<Waiting> = wanted.iter().enumerate().map(|(n, priority)| waiting(100 + u8::try_from(n).expect("few"), *priority)).collect();
            let decision = decide(&held, &line, Slots { count, time_slice: Duration::from_secs(10) }, at(30));
            prop_assert!(held.len() + decision.start.len() <= count.max(held.len()));
            let kept: Vec<&Running> = held.iter().filter(|job| !job.is_ending && !decision.preempt.contains(&job.id)).collect();
            let served = decision.start.len() + decision.preempt.len() + held.iter().filter(|job| job.is_ending).count();
            for left in line.iter().skip(served) {
                prop_assert!(kept.iter().all(|job| job.priority <= left.priority));
            }
        }
    }
}
