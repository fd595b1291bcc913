//! The memory that all transfers share for their buffers.
//!
//! Nobody ever waits for it: who comes gets a share of what is left, so the
//! shares shrink as there are more of them, and each of sixteen big files moves
//! as well as one. A buffer is refitted whenever it is empty, so shares even
//! out. When nothing is left everybody still gets the least that is of use;
//! only that goes beyond the bound.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// The memory. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    octets: usize,
    used: AtomicUsize,
}

/// A piece of the memory; given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    of: Memory,
    octets: usize,
}

impl Memory {
    /// So many octets.
    pub(super) fn new(octets: usize) -> Self {
        Self(Arc::new(Inner {
            octets,
            used: AtomicUsize::new(0),
        }))
    }

    /// What a buffer of `most` octets should have now: no less than `least`,
    /// whole units of it.
    pub(super) fn share(&self, most: usize, least: usize) -> usize {
        let used = self.0.used.load(Ordering::Relaxed);
        let share = self.0.octets.saturating_sub(used) / SHARES;
        (share / least.max(1) * least).clamp(least, most.max(least))
    }

    /// Takes a share for a buffer ([`Memory::share`]).
    pub(super) fn grant(&self, most: usize, least: usize) -> Reserved {
        let octets = self.share(most, least);
        self.0.used.fetch_add(octets, Ordering::Relaxed);
        Reserved {
            of: self.clone(),
            octets,
        }
    }

    /// Takes `octets` for something that one can do without: only while a
    /// quarter of the memory stays free.
    pub(super) fn reserve(&self, octets: usize) -> Option<Reserved> {
        let most = self.0.octets / 4 * 3;
        let used = &self.0.used;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(octets).filter(|used| *used <= most)
        })
        .ok()?;
        Some(Reserved {
            of: self.clone(),
            octets,
        })
    }
}

impl Reserved {
    /// How much it is.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Is a share now less than half of this, or more than twice as much?
    pub(super) fn is_unfit(&self, most: usize, least: usize) -> bool {
        let share = self.of.share(most, least);
        share < self.octets / 2 || share > self.octets * 2
    }

    /// The memory that it is of.
    pub(super) fn memory(&self) -> &Memory {
        &self.of
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.of.0.used.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// A newcomer gets one of so many parts of what is left.
const SHARES: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1_024 * 1_024;

    #[test]
    fn shares_shrink_and_grow_again() {
        let memory = Memory::new(96 * MIB);
        let held: Vec<_> = (0..200).map(|_| memory.grant(2 * MIB, MIB / 8)).collect();
        assert_eq!(held[0].octets(), 2 * MIB);
        assert_eq!(held[199].octets(), MIB / 8);
        assert!(held[0].is_unfit(2 * MIB, MIB / 8));
        drop(held);
        assert_eq!(memory.share(2 * MIB, MIB / 8), 2 * MIB);
    }

    #[test]
    fn extras_leave_a_quarter_to_others() {
        let memory = Memory::new(96 * MIB);
        let held: Vec<_> = std::iter::from_fn(|| memory.reserve(8 * MIB)).collect();
        assert_eq!(held.len(), 9);
        drop(held);
        let _first = memory.grant(2 * MIB, MIB);
        assert!(memory.reserve(72 * MIB).is_none());
    }

    proptest! {
        #[test]
        fn the_bound_is_passed_by_the_least_pieces_only(
            steps in prop::collection::vec((any::<bool>(), 1_usize..64, 0_usize..40), 0..200),
        ) {
            let memory = Memory::new(8 * MIB);
            let mut held: Vec<Reserved> = Vec::new();
            for (takes, most, which) in steps {
                if takes {
                    held.push(memory.grant(most * 65_536, 65_536));
                } else if !held.is_empty() {
                    held.swap_remove(which % held.len());
                }
                let all: usize = held.iter().map(Reserved::octets).sum();
                prop_assert_eq!(all, memory.0.used.load(Ordering::Relaxed));
                prop_assert!(all <= 8 * MIB + held.len() * 65_536);
            }
        }
    }
}
