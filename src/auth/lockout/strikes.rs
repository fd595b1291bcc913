//! Failures in a row, until they lock.

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;
use super::Policy;

/// Failures in a row, and the lock that they led to.
#[derive(Clone, Debug)]
pub(super) struct Strikes<W> {
    /// The oldest first; those that have led to a lock are gone.
    pub(super) failures: VecDeque<Failure<W>>,
    /// When they led to one.
    pub(super) locked_at: Option<Moment>,
}

/// One failure.
#[derive(Clone, Debug)]
pub(super) struct Failure<W> {
    /// When.
    pub(super) at: Moment,
    /// What else tells one from the other.
    pub(super) with: W,
}

/// What one more failure did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Count {
    /// Failures that count, this one included.
    pub(super) failures: usize,
    /// It led to a lock.
    pub(super) locks: bool,
}

impl<W> Strikes<W> {
    /// Brings back what lies in the future, and drops what is over.
    pub(super) fn look(&mut self, policy: &Policy, now: Moment) {
        for failure in &mut self.failures {
            failure.at = failure.at.min(now);
        }
        while let Some(oldest) = self.failures.front()
            && oldest.at.after(policy.window) <= now
        {
            self.failures.pop_front();
        }
        self.locked_at = self
            .locked_at
            .map(|at| at.min(now))
            .filter(|at| at.after(policy.duration) > now);
    }

    pub(super) fn is_locked(&mut self, policy: &Policy, now: Moment) -> bool {
        self.remaining(policy, now).is_some()
    }

    /// How long the lock holds, if there is one.
    pub(super) fn remaining(&mut self, policy: &Policy, now: Moment) -> Option<Duration> {
        self.look(policy, now);
        let locked_at = self.locked_at.filter(|_| policy.locks())?;
        Some(now.until(locked_at.after(policy.duration)))
    }

    /// Counts a failure, unless there is a lock already.
    pub(super) fn strike(&mut self, with: W, policy: &Policy, now: Moment) -> Count {
        if self.is_locked(policy, now) {
            return Count {
                failures: usize::MAX,
                locks: false,
            };
        }
        self.failures.push_back(Failure { at: now, with });
        // INVARIANT: no more are kept than can matter.
        while self.failures.len() > policy.failures.max(HELD_STEPS) {
            self.failures.pop_front();
        }
        let failures = self.failures.len();
        let locks = policy.locks() && failures >= policy.failures;
        if locks {
            self.failures.clear();
            self.locked_at = Some(now);
        }
        Count { failures, locks }
    }

    /// Forgets some failures; says whether there were any. A lock stays.
    pub(super) fn forget(&mut self, is_one: impl Fn(&Failure<W>) -> bool) -> bool {
        let before = self.failures.len();
        self.failures.retain(|failure| !is_one(failure));
        self.failures.len() < before
    }

    /// Forgets what was before `at`, or is yet to come: a clock that was put
    /// back must not keep a lock that the administrator has taken off.
    pub(super) fn unlock(&mut self, at: Moment, now: Moment) {
        let is_over = |one: Moment| one <= at || one > now;
        self.failures.retain(|failure| !is_over(failure.at));
        self.locked_at = self.locked_at.filter(|locked_at| !is_over(*locked_at));
    }

    /// How much would be lost with it: locks are worth more than failures,
    /// later ones more than earlier ones. Nothing, if nothing would.
    pub(super) fn worth(&mut self, policy: &Policy, now: Moment) -> Option<(bool, Moment)> {
        self.look(policy, now);
        let lock = self.locked_at.map(|at| (true, at));
        lock.or_else(|| self.failures.back().map(|failure| (false, failure.at)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.locked_at.is_none()
    }
}

impl<W> Default for Strikes<W> {
    fn default() -> Self {
        Self {
            failures: VecDeque::new(),
            locked_at: None,
        }
    }
}

/// Failures after which the delay grows no more.
pub(super) const HELD_STEPS: usize = 8;
