//! Failed log-ons, and whom they lock out: by account, and by where they come
//! from. A value; the time is an argument.
//!
//! Three rules keep a lock-out from being a weapon:
//!
//! - The console (any loopback address) is never locked, as a source or for an
//!   account, and what fails there counts for no account. Its wrong answers are
//!   only held back.
//! - An account keeps the last sources from which somebody has logged on with
//!   it. Each has a count of its own: who guesses from elsewhere locks out
//!   himself and other strangers.
//! - Only accounts that exist have an entry. Names that somebody invents count
//!   for his source alone.
//!
//! A right password does not undo what others did: it clears the failures of
//! its own account from its own source.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use crate::config::AccessSettings;

mod kept;
mod source;
mod strikes;

pub(super) use kept::Damaged;
pub(super) use source::Source;
pub(crate) use source::network;
use strikes::Strikes;

/// Failures, and who is locked out.
#[derive(Clone, Debug, Default)]
pub(super) struct Lockout {
    accounts: HashMap<Arc<str>, Account>,
    /// With each failure the account that it was for, if there is one.
    sources: HashMap<Source, Strikes<Option<Arc<str>>>>,
}

/// When failures lock out, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Policy {
    /// So many; 0: never, and nothing is held back.
    failures: usize,
    /// As long as a failure counts.
    window: Duration,
    /// As long as a lock holds.
    duration: Duration,
}

/// An instant of the host's clock, in milliseconds since 1970. That clock may
/// jump: what lies in the future is taken as being now.
#[derive(
    Clone, Copy, Debug, serde::Deserialize, Eq, Ord, PartialEq, PartialOrd, serde::Serialize,
)]
pub(super) struct Moment(u64);

/// What a failure came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Struck {
    /// How long its answer is held back.
    pub(super) held: Duration,
    /// It has locked the account.
    pub(super) locks_account: bool,
    /// It has locked the source.
    pub(super) locks_source: bool,
}

/// Somebody, or some place, that is locked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Locked {
    /// The account; none: the source, whatever the account.
    pub(super) account: Option<Arc<str>>,
    /// The source; none: all but the console and those that the account is
    /// known to come from.
    pub(super) source: Option<Source>,
    /// As long as this.
    pub(super) remaining: Duration,
}

/// An account's failures.
#[derive(Clone, Debug, Default)]
struct Account {
    /// From sources that are not known to be its own.
    elsewhere: Strikes<Source>,
    /// Where it was logged on from.
    known: Vec<Known>,
}

/// A source from which somebody has logged on with an account.
#[derive(Clone, Debug)]
struct Known {
    source: Source,
    /// The last time, or up to [`REFRESHED`] before.
    last_at: Moment,
    strikes: Strikes<Source>,
}

impl Lockout {
    /// Holds when a log-on from `source` has failed, as far as is remembered:
    /// without, it is not locked, whatever the time is.
    pub(super) fn has_failed(&self, source: Source) -> bool {
        self.sources.contains_key(&source)
    }

    /// The same of log-ons with `account` that count for those from `source`.
    pub(super) fn has_failed_with(&self, account: &str, source: Source) -> bool {
        let own = self.accounts.get(account);
        own.is_some_and(|own| !own.strikes_from(source).is_empty())
    }

    /// Holds when nobody may log on from `source`.
    pub(super) fn is_source_locked(
        &mut self,
        source: Source,
        policy: &Policy,
        now: Moment,
    ) -> bool {
        source != Source::Console
            && self
                .sources
                .get_mut(&source)
                .is_some_and(|strikes| strikes.is_locked(policy, now))
    }

    /// Holds when nobody may log on with `account` from `source`.
    pub(super) fn is_account_locked(
        &mut self,
        account: &str,
        source: Source,
        policy: &Policy,
        now: Moment,
    ) -> bool {
        source != Source::Console
            && self
                .accounts
                .get_mut(account)
                .is_some_and(|own| own.strikes(source).is_locked(policy, now))
    }

    /// Counts a failure. `account` is one that exists. While it is locked it
    /// counts no further, but the source does: else a right password could be
    /// told from a wrong one.
    pub(super) fn fail(
        &mut self,
        account: Option<&str>,
        source: Source,
        policy: &Policy,
        now: Moment,
    ) -> Struck {
        let name = account.map(|account| match self.accounts.get_key_value(account) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(account),
        });
        let locks_account = match &name {
            Some(name) if source != Source::Console && policy.locks() => {
                if !self.accounts.contains_key(name) {
                    make_room(&mut self.accounts, MAX_ACCOUNTS, |own| {
                        own.worth(policy, now)
                    });
                }
                let own = self.accounts.entry(Arc::clone(name)).or_default();
                own.strikes(source).strike(source, policy, now).locks
            }
            Some(_) | None => false,
        };
        if !self.sources.contains_key(&source) {
            make_room(&mut self.sources, MAX_SOURCES, |own| own.worth(policy, now));
        }
        let is_on = policy.locks();
        let policy = match source {
            Source::Console => &policy.without_lock(),
            Source::Host(_) => policy,
        };
        let own = self.sources.entry(source).or_default();
        let count = own.strike(name, policy, now);
        Struck {
            held: if is_on {
                held(count.failures)
            } else {
                Duration::ZERO
            },
            locks_account,
            locks_source: count.locks,
        }
    }

    /// Forgets the failures of `account` from `source`, and remembers that it
    /// is used from there. Says whether anything has changed.
    pub(super) fn succeed(
        &mut self,
        account: &str,
        source: Source,
        policy: &Policy,
        now: Moment,
    ) -> bool {
        let mut has_changed = false;
        if let Some(strikes) = self.sources.get_mut(&source) {
            has_changed |= strikes.forget(|failure| failure.with.as_deref() == Some(account));
            if strikes.is_empty() {
                self.sources.remove(&source);
            }
        }
        if source == Source::Console || !policy.locks() {
            return has_changed;
        }
        if let Some(own) = self.accounts.get_mut(account) {
            has_changed |= own.elsewhere.forget(|failure| failure.with == source);
            return own.know(source, now) || has_changed;
        }
        make_room(&mut self.accounts, MAX_ACCOUNTS, |own| {
            own.worth(policy, now)
        });
        let mut own = Account::default();
        own.know(source, now);
        self.accounts.insert(Arc::from(account), own);
        true
    }

    /// Takes the lock off an account, and forgets its failures, as far as they
    /// lie before `at`.
    pub(super) fn unlock_account(&mut self, account: &str, at: Moment, now: Moment) {
        if let Some(own) = self.accounts.get_mut(account) {
            own.elsewhere.unlock(at, now);
            for known in &mut own.known {
                known.strikes.unlock(at, now);
            }
        }
    }

    /// The same for a source.
    pub(super) fn unlock_source(&mut self, source: Source, at: Moment, now: Moment) {
        if let Some(own) = self.sources.get_mut(&source) {
            own.unlock(at, now);
        }
    }

    /// Everything that is locked, accounts first, by name.
    pub(super) fn locked(&mut self, policy: &Policy, now: Moment) -> Vec<Locked> {
        let mut found = Vec::new();
        for (name, own) in &mut self.accounts {
            let mut add = |source, strikes: &mut Strikes<Source>| {
                if let Some(remaining) = strikes.remaining(policy, now) {
                    found.push(Locked {
                        account: Some(Arc::clone(name)),
                        source,
                        remaining,
                    });
                }
            };
            add(None, &mut own.elsewhere);
            for known in &mut own.known {
                add(Some(known.source), &mut known.strikes);
            }
        }
        for (source, strikes) in &mut self.sources {
            if let (Source::Host(_), Some(remaining)) = (source, strikes.remaining(policy, now)) {
                found.push(Locked {
                    account: None,
                    source: Some(*source),
                    remaining,
                });
            }
        }
        found.sort_by(|one, other| {
            let key = |locked: &Locked| (locked.account.is_none(), locked.source);
            (key(one).0, &one.account, key(one).1).cmp(&(
                key(other).0,
                &other.account,
                key(other).1,
            ))
        });
        found
    }

    /// Drops what is over.
    pub(super) fn tidy(&mut self, policy: &Policy, now: Moment) {
        self.accounts.retain(|_, own| {
            own.look(policy, now);
            !own.elsewhere.is_empty() || !own.known.is_empty()
        });
        self.sources.retain(|_, own| {
            own.look(policy, now);
            !own.is_empty()
        });
    }
}

impl Account {
    /// The failures that count for a log-on from `source`.
    fn strikes(&mut self, source: Source) -> &mut Strikes<Source> {
        match self.known.iter_mut().find(|known| known.source == source) {
            Some(known) => &mut known.strikes,
            None => &mut self.elsewhere,
        }
    }

    /// The same, only to look at them.
    fn strikes_from(&self, source: Source) -> &Strikes<Source> {
        let known = self.known.iter().find(|known| known.source == source);
        known.map_or(&self.elsewhere, |known| &known.strikes)
    }

    /// Remembers a source, in place of the one that was not used for longest.
    /// Says whether anything has changed.
    fn know(&mut self, source: Source, now: Moment) -> bool {
        if let Some(known) = self.known.iter_mut().find(|known| known.source == source) {
            let mut has_changed = known.strikes.forget(|_| true);
            if now < known.last_at || now >= known.last_at.after(REFRESHED) {
                known.last_at = now;
                has_changed = true;
            }
            return has_changed;
        }
        if self.known.len() >= MAX_KNOWN {
            let oldest = (0..self.known.len()).min_by_key(|at| self.known[*at].last_at);
            self.known.swap_remove(oldest.unwrap_or(0));
        }
        self.known.push(Known {
            source,
            last_at: now,
            strikes: Strikes::default(),
        });
        true
    }

    fn look(&mut self, policy: &Policy, now: Moment) {
        self.elsewhere.look(policy, now);
        for known in &mut self.known {
            known.last_at = known.last_at.min(now);
            known.strikes.look(policy, now);
        }
        self.known
            .retain(|known| known.last_at.after(KNOWN_FOR) > now);
    }

    /// As [`Strikes::worth`]; sources that are known count as well.
    fn worth(&mut self, policy: &Policy, now: Moment) -> Option<(bool, Moment)> {
        self.look(policy, now);
        let known = self.known.iter_mut().flat_map(|known| {
            let strikes = known.strikes.worth(policy, now);
            [strikes, Some((false, known.last_at))]
        });
        known.fold(self.elsewhere.worth(policy, now), Option::max)
    }
}

impl Policy {
    /// What the settings say.
    pub(super) fn of(access: &AccessSettings) -> Self {
        Self {
            failures: usize::try_from(access.lockout_failures).unwrap_or(usize::MAX),
            window: Duration::from_secs(access.lockout_window_s),
            duration: Duration::from_secs(access.lockout_duration_s),
        }
    }

    fn locks(&self) -> bool {
        self.failures > 0
    }

    fn without_lock(self) -> Self {
        Self {
            failures: 0,
            ..self
        }
    }
}

impl Moment {
    /// Before 1970 it is 1970.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, in_milliseconds))
    }

    /// So much later.
    pub(super) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(in_milliseconds(duration)))
    }

    fn until(self, other: Self) -> Duration {
        Duration::from_millis(other.0.saturating_sub(self.0))
    }
}

/// How long the answer to a failure is held back, the n-th that counts from
/// its source. The account has no say: a delay would tell that it exists.
fn held(failures: usize) -> Duration {
    let Some(step) = failures.checked_sub(FREE_FAILURES + 1) else {
        return Duration::ZERO;
    };
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    let factor = 1_u32.checked_shl(step).unwrap_or(u32::MAX);
    FIRST_HELD.saturating_mul(factor).min(LONGEST_HELD)
}

/// Drops entries when there is no room for one more: those that are worth
/// nothing, and if there are none, the sixteenth that is worth least. So one
/// failure in many pays for looking at them all.
fn make_room<K: Clone + Eq + std::hash::Hash, V>(
    entries: &mut HashMap<K, V>,
    most: usize,
    mut worth: impl FnMut(&mut V) -> Option<(bool, Moment)>,
) {
    if entries.len() < most {
        return;
    }
    entries.retain(|_, entry| worth(entry).is_some());
    if entries.len() < most {
        return;
    }
    let mut by_worth: Vec<_> = entries
        .iter_mut()
        .map(|(key, entry)| (worth(entry), key.clone()))
        .collect();
    by_worth.sort_by_key(|(worth, _)| *worth);
    let surplus = entries.len() - most + most / 16 + 1;
    for (_, key) in by_worth.into_iter().take(surplus) {
        entries.remove(&key);
    }
}

fn in_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Accounts with failures, or sources that they are known to come from.
const MAX_ACCOUNTS: usize = 4_096;

/// Sources with failures.
const MAX_SOURCES: usize = 8_192;

/// Sources that an account is known to come from.
const MAX_KNOWN: usize = 8;

/// How long a source is known after the last log-on from there.
const KNOWN_FOR: Duration = Duration::from_hours(90 * 24);

/// How exactly the last log-on is known: a client that logs on with every
/// request does not have the table written with every request.
const REFRESHED: Duration = Duration::from_hours(1);

/// Failures from a source whose answers are not held back.
const FREE_FAILURES: usize = 2;

/// How long the next one is; each one after it twice as long…
const FIRST_HELD: Duration = Duration::from_millis(500);

/// …but no longer than this.
const LONGEST_HELD: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests;
