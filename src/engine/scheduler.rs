//! Who runs: a pure decision over what waits and what runs.
//!
//! Foreground jobs run all at once, in slots of their own (bits.md 2.4). The
//! slots of background jobs go to the most urgent: a lower priority gets
//! nothing that a higher one can use. At one priority they go round the
//! accounts, not the jobs, so that one with thousands of jobs does not starve
//! another with one; the jobs of an account are first come, first served. A
//! waiting job takes the slot of one that is less urgent, or of an equally
//! urgent one whose time slice is over (the length of a slice is nowhere
//! documented, so it is a setting): one of its own account, or of one that
//! holds more slots.
//!
//! Background jobs of an account, and those that fetch from one host, may have
//! limits. Who is held back by one takes the slot only of a job that counts
//! towards the same limit.
//!
//! The line is asked a bounded number of times, however long it is.

use std::cmp::Reverse;
use std::time::Duration;

use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::Timestamp;
use crate::store::Queued;

/// A job that has a slot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Running {
    pub(super) job: Queued,
    /// By the steady clock.
    pub(super) started_at: Timestamp,
    /// Its transfers are being ended: the slot is as good as free.
    pub(super) is_ending: bool,
}

/// How many may run, and for how long when others wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slots {
    /// Jobs at the same time.
    pub(super) count: usize,
    /// Jobs of one account, if there is a limit.
    pub(super) per_user: Option<usize>,
    /// Jobs that fetch from one host, if there is a limit.
    pub(super) per_host: Option<usize>,
    pub(super) time_slice: Duration,
}

/// The jobs that want a slot.
pub(super) trait Line {
    type Error;

    /// Accounts that have jobs at this level, in the order of their names: at
    /// most `limit` that come after `after`.
    fn owners(
        &self,
        level: Priority,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, Self::Error>;

    /// Jobs of an account, first come first; at most `limit`.
    fn of(&self, level: Priority, owner: &Owner, limit: usize) -> Result<Vec<Queued>, Self::Error>;

    /// Hosts that jobs want to, in the order of their names: at most `limit`
    /// that come after `after`.
    fn hosts(
        &self,
        level: Priority,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Self::Error>;

    /// Jobs that want to a host; at most `limit`.
    fn to(&self, level: Priority, host: &str, limit: usize) -> Result<Vec<Queued>, Self::Error>;
}

/// Whose turn it is at each priority.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns([Turn; 4]);

/// Where the round of the accounts goes on.
#[derive(Clone, Debug, Default)]
struct Turn {
    /// The account that was served last.
    after: Option<Owner>,
    /// Slots are being freed for these: they come first. INVARIANT: whoever
    /// lost the slot stands in line again at once, and does not get it back.
    promised: Vec<Queued>,
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

/// The priorities that have slots of their own together, most urgent first.
pub(super) const FOREGROUND: &[Priority] = &[Priority::Foreground];

/// The priorities of background jobs.
pub(super) const BACKGROUND: &[Priority] = &[Priority::High, Priority::Normal, Priority::Low];

/// Decides for the jobs of `levels`, of which `running` hold slots.
///
/// # Errors
///
/// Those of the line; `turns` may then have gone on.
pub(super) fn decide<L: Line>(
    line: &L,
    levels: &[Priority],
    running: &[Running],
    slots: Slots,
    turns: &mut Turns,
    now: Timestamp,
) -> Result<Decision, L::Error> {
    let holders = running
        .iter()
        .filter(|running| levels.contains(&running.job.priority));
    let (ending, holders): (Vec<Running>, Vec<Running>) =
        holders.cloned().partition(|job| job.is_ending);
    let mut table = Table {
        line,
        slots,
        turns,
        now,
        were_ending: ending.len(),
        ending,
        holders,
        served: Vec::new(),
        decision: Decision::default(),
    };
    for level in levels {
        table.serve(*level)?;
    }
    if table.ending.is_empty() {
        for level in levels {
            table.turn(*level).promised.clear();
        }
    }
    Ok(table.decision)
}

/// The slots while they are being given.
struct Table<'a, L> {
    line: &'a L,
    slots: Slots,
    turns: &'a mut Turns,
    now: Timestamp,
    /// They keep their slots for a moment.
    ending: Vec<Running>,
    /// So many of them were ending before this decision.
    were_ending: usize,
    /// They keep their slots unless somebody takes them.
    holders: Vec<Running>,
    /// Have a slot by this decision, or will get one that is being freed.
    served: Vec<Queued>,
    decision: Decision,
}

impl<L: Line> Table<'_, L> {
    /// Serves those who wait at this level.
    fn serve(&mut self, level: Priority) -> Result<(), L::Error> {
        while self.has_room(level)
            && let Some(job) = self.next(level)?
        {
            if self.slots.count > self.holders.len() + self.served.len() {
                self.give(job);
            } else if let Some(at) = self.victim(&job, |holder| self.is_fair(holder, &job)) {
                self.swap(at, job);
            } else {
                break;
            }
        }
        self.rotate_accounts(level)?;
        self.rotate_hosts(level)?;
        self.look_again(level)
    }

    /// There is a slot for this level, or one that could be had.
    fn has_room(&self, level: Priority) -> bool {
        self.slots.count > self.holders.len() + self.served.len()
            || self
                .holders
                .iter()
                .any(|holder| self.may_lose(holder, level))
    }

    /// Gives the job a slot that is free, or will be once somebody has ended.
    fn give(&mut self, job: Queued) {
        let taken = self.holders.len() + self.ending.len() + self.decision.start.len();
        if taken < self.slots.count && self.fits_now(&job) {
            self.decision.start.push(job.id);
            let turn = self.turn(job.priority);
            turn.after = Some(job.owner.clone());
            turn.promised.retain(|other| other.id != job.id);
        }
        self.served.push(job);
    }

    /// No limit is gone beyond even before those have ended who lose their slots
    /// by this decision; else the job starts after that.
    fn fits_now(&self, job: &Queued) -> bool {
        let running = self.holders.iter().chain(&self.ending);
        let is_started = |other: &&Queued| self.decision.start.contains(&other.id);
        let started = self.served.iter().filter(is_started);
        let others: Vec<&Queued> = running.map(|running| &running.job).chain(started).collect();
        let of_owner = others.iter().filter(|other| other.owner == job.owner);
        let to_host = others.iter().filter(|other| other.host == job.host);
        let per_host = self.slots.per_host.filter(|_| !job.host.is_empty());
        let is_below = |count: usize, limit: Option<usize>| limit.is_none_or(|most| count < most);
        is_below(of_owner.count(), self.slots.per_user) && is_below(to_host.count(), per_host)
    }

    /// Takes the slot of a holder for the job.
    fn swap(&mut self, holder: usize, job: Queued) {
        let holder = self.holders.remove(holder);
        self.decision.preempt.push(holder.job.id);
        let promised = &mut self.turn(job.priority).promised;
        if promised.iter().all(|other| other.id != job.id) {
            promised.push(job.clone());
        }
        self.ending.push(holder);
        self.served.push(job);
    }

    /// Accounts whose own jobs take turns, though the account as a whole has
    /// what it may have.
    fn rotate_accounts(&mut self, level: Priority) -> Result<(), L::Error> {
        for owner in self.accounts_to_rotate(level) {
            loop {
                let Some(job) = self.first_of(level, &owner)? else {
                    break;
                };
                let Some(at) = self.victim(&job, |holder| holder.job.owner == owner) else {
                    break;
                };
                self.swap(at, job);
            }
        }
        Ok(())
    }

    fn accounts_to_rotate(&self, level: Priority) -> Vec<Owner> {
        let mut owners: Vec<Owner> = self
            .holders
            .iter()
            .filter(|holder| self.may_lose(holder, level))
            .map(|holder| holder.job.owner.clone())
            .collect();
        owners.sort();
        owners.dedup();
        owners
    }

    /// The same for hosts that have as many jobs as they may have.
    fn rotate_hosts(&mut self, level: Priority) -> Result<(), L::Error> {
        let mut hosts: Vec<String> = self
            .holders
            .iter()
            .filter(|holder| self.is_host_full(&holder.job.host) && self.may_lose(holder, level))
            .map(|holder| holder.job.host.clone())
            .collect();
        hosts.sort();
        hosts.dedup();
        for host in hosts {
            let line = self.line.to(level, &host, self.page())?;
            for job in line {
                if self.is_served(&job) {
                    continue;
                }
                let is_full = self.is_owner_full(&job.owner);
                let victim = self.victim(&job, |holder| {
                    holder.job.host == host && (!is_full || holder.job.owner == job.owner)
                });
                if let Some(at) = victim {
                    self.swap(at, job);
                }
            }
        }
        Ok(())
    }

    /// Whose slot `job` takes, among those that `fits` lets through: the least
    /// urgent; of equals one of the account that holds most, and of its jobs
    /// the one that has run longest.
    fn victim(&self, job: &Queued, fits: impl Fn(&Running) -> bool) -> Option<usize> {
        self.holders
            .iter()
            .enumerate()
            .filter(|(_, holder)| self.may_lose(holder, job.priority) && fits(holder))
            .max_by_key(|(_, holder)| {
                (
                    holder.job.priority,
                    self.held_by(&holder.job.owner),
                    Reverse(holder.started_at),
                )
            })
            .map(|(at, _)| at)
    }

    /// Whoever is less urgent makes room, and of equals those of one's own
    /// account, or of one that holds more.
    fn is_fair(&self, holder: &Running, job: &Queued) -> bool {
        holder.job.priority > job.priority
            || holder.job.owner == job.owner
            || self.held_by(&holder.job.owner) > self.held_by(&job.owner)
    }

    /// Notes when the next slice is over, if somebody waits for that.
    fn look_again(&mut self, level: Priority) -> Result<(), L::Error> {
        let next = self
            .holders
            .iter()
            .filter(|holder| holder.job.priority == level)
            .map(|holder| holder.started_at + self.slots.time_slice)
            .filter(|at| *at > self.now)
            .min();
        let is_sooner = next.is_some_and(|next| {
            let known = self.decision.look_at;
            known.is_none_or(|known| next < known)
        });
        if is_sooner && !self.line.owners(level, None, 1)?.is_empty() {
            self.decision.look_at = next;
        }
        Ok(())
    }

    /// Somebody at this level could have its slot.
    fn may_lose(&self, holder: &Running, level: Priority) -> bool {
        holder.job.priority > level
            || (holder.job.priority == level
                && holder.started_at + self.slots.time_slice <= self.now)
    }

    /// Who is next at this level, unless a limit is against it: of the accounts
    /// that hold least the next in the round.
    fn next(&self, level: Priority) -> Result<Option<Queued>, L::Error> {
        let turn = &self.turns.0[level as usize];
        for job in &turn.promised {
            if self.may_have(job) && self.is_in_line(job)? {
                return Ok(Some(job.clone()));
            }
        }
        let mut best: Option<(usize, Queued)> = None;
        let mut looked = 0;
        for (mut after, end) in [(turn.after.clone(), None), (None, turn.after.as_ref())] {
            'round: while looked < MOST_OWNERS + self.slots.count {
                let page = self.line.owners(level, after.as_ref(), OWNERS_PAGE)?;
                let is_last = page.len() < OWNERS_PAGE;
                for owner in page {
                    if end.is_some_and(|end| owner > *end) {
                        break 'round;
                    }
                    looked += 1;
                    let held = self.held_by(&owner);
                    let is_better = best.as_ref().is_none_or(|(least, _)| held < *least);
                    if is_better && let Some(job) = self.eligible(level, &owner)? {
                        if held == 0 {
                            return Ok(Some(job));
                        }
                        best = Some((held, job));
                    }
                    after = Some(owner);
                }
                if is_last {
                    break;
                }
            }
            if end.is_none() && turn.after.is_none() {
                break;
            }
        }
        match best {
            Some((_, job)) => Ok(Some(job)),
            None if looked > 0 && self.slots.per_host.is_some() => self.at_another_host(level),
            None => Ok(None),
        }
    }

    /// The first job of an account that no limit is against.
    fn eligible(&self, level: Priority, owner: &Owner) -> Result<Option<Queued>, L::Error> {
        if self.is_owner_full(owner) {
            return Ok(None);
        }
        self.first_of(level, owner)
    }

    /// The same, though the account has what it may have.
    fn first_of(&self, level: Priority, owner: &Owner) -> Result<Option<Queued>, L::Error> {
        let line = self.line.of(level, owner, self.page())?;
        Ok(line
            .into_iter()
            .find(|job| !self.is_served(job) && !self.is_host_full(&job.host)))
    }

    /// Nothing is against a slot for the job.
    fn may_have(&self, job: &Queued) -> bool {
        !self.is_served(job) && !self.is_owner_full(&job.owner) && !self.is_host_full(&job.host)
    }

    /// The job still stands where it stood.
    fn is_in_line(&self, job: &Queued) -> Result<bool, L::Error> {
        let of_owner = self.line.of(job.priority, &job.owner, self.page())?;
        if of_owner.contains(job) {
            return Ok(true);
        }
        Ok(self
            .line
            .to(job.priority, &job.host, self.page())?
            .contains(job))
    }

    /// A job that wants to a host which may have more, when those at the head
    /// of the line all want to others.
    fn at_another_host(&self, level: Priority) -> Result<Option<Queued>, L::Error> {
        let mut after: Option<String> = None;
        for _ in 0..MOST_HOSTS / OWNERS_PAGE {
            let hosts = self.line.hosts(level, after.as_deref(), OWNERS_PAGE)?;
            let is_last = hosts.len() < OWNERS_PAGE;
            for host in hosts {
                if !self.is_host_full(&host) {
                    let line = self.line.to(level, &host, self.page())?;
                    let found = line
                        .into_iter()
                        .find(|job| !self.is_served(job) && !self.is_owner_full(&job.owner));
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                after = Some(host);
            }
            if is_last {
                break;
            }
        }
        Ok(None)
    }

    fn turn(&mut self, level: Priority) -> &mut Turn {
        &mut self.turns.0[level as usize]
    }

    /// Who ends may stand in line again already: it waits for its end.
    fn is_served(&self, job: &Queued) -> bool {
        let mut running = self.ending.iter().chain(&self.holders);
        running.any(|other| other.job.id == job.id)
            || self.served.iter().any(|other| other.id == job.id)
    }

    /// Enough of a line to find somebody who is not served.
    fn page(&self) -> usize {
        self.served.len() + self.ending.len() + JOBS_PAGE
    }

    /// Slots of an account.
    fn held_by(&self, owner: &Owner) -> usize {
        let holders = self.holders.iter().map(|holder| &holder.job);
        let all = holders.chain(&self.served);
        all.filter(|job| job.owner == *owner).count()
    }

    fn is_owner_full(&self, owner: &Owner) -> bool {
        let ending = self.were_ending().filter(|job| job.owner == *owner);
        self.slots
            .per_user
            .is_some_and(|limit| self.held_by(owner) + ending.count() >= limit)
    }

    fn is_host_full(&self, host: &str) -> bool {
        let Some(limit) = self.slots.per_host.filter(|_| !host.is_empty()) else {
            return false;
        };
        let holders = self.holders.iter().map(|holder| &holder.job);
        let held = holders.chain(&self.served).filter(|job| job.host == host);
        let ending = self.were_ending().filter(|job| job.host == host);
        held.count() + ending.count() >= limit
    }

    /// Those that still count towards limits though they end; of those that end
    /// by this decision the ones who get their slots count instead.
    fn were_ending(&self) -> impl Iterator<Item = &Queued> {
        let ending = self.ending.iter().take(self.were_ending);
        ending.map(|running| &running.job)
    }
}

/// Accounts that are asked for at a time.
const OWNERS_PAGE: usize = 8;

/// Accounts that are looked at for one slot. More than that are behind a limit
/// at once only where hosts are limited, and then the line is looked at by
/// host.
const MOST_OWNERS: usize = 256;

/// Hosts that are looked at for one slot.
const MOST_HOSTS: usize = 256;

/// Jobs of an account, or to a host, that are looked at for one slot.
const JOBS_PAGE: usize = 16;

#[cfg(test)]
mod tests;
