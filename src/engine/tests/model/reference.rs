//! What a queue of jobs is, once more: plain values and the rules of bits.md 2.3
//! to 2.5 and 3.5, written without a look at `bits::Job`, the scheduler or the store.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bits::Hresult;
use crate::bits::Intent;
use crate::bits::JobId;
use crate::bits::Now;
use crate::bits::State;
use crate::bits::Timestamp;

/// A job as it must be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) owner: &'static str,
    pub(super) is_upload: bool,
    /// 0 is the most urgent.
    pub(super) level: u32,
    pub(super) retry_delay: Duration,
    pub(super) patience: Duration,
    pub(super) time_limit_s: Option<u64>,
    pub(super) start_after: Option<Timestamp>,
    pub(super) state: State,
    pub(super) intent: Option<Intent>,
    pub(super) error: Option<Hresult>,
    pub(super) failures: u32,
    pub(super) stalled_at: Option<Timestamp>,
    pub(super) wake_at: Option<Timestamp>,
    pub(super) queued_at: Timestamp,
    pub(super) host: &'static str,
    pub(super) files: Vec<Piece>,
    pub(super) spent: Duration,
    pub(super) active_since: Option<Timestamp>,
    pub(super) modified_at: Timestamp,
    pub(super) transferred_at: Option<Timestamp>,
}

/// A file as it must be.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) host: &'static str,
    pub(super) size: Option<u64>,
    pub(super) durable: u64,
    pub(super) is_here: bool,
    pub(super) is_placed: bool,
    /// A folder stands in its place.
    pub(super) is_blocked: bool,
}

/// A slot as it must be.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) started_at: Timestamp,
    pub(super) host: &'static str,
    /// The transfers are told to end, or have ended.
    pub(super) is_ending: bool,
}

/// How a command must be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    Done,
    NotFound,
    Refused(Hresult),
    Unavailable,
}

/// How many commits the store keeps before it fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(pub(super) usize);

impl Patience {
    pub(super) fn keeps(&mut self) -> bool {
        let keeps = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        keeps
    }
}

/// What the transfers of a job said of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    Began { size: Option<u64>, restarted: bool },
    Durable(u64),
    Done(u64),
}

/// Why a run failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    ForNow {
        code: Hresult,
        retry_after: Option<Duration>,
        /// Between the hosts.
        is_of_the_way: bool,
    },
    Fatal(Hresult),
    /// There was no network when it failed.
    Disconnected,
}

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Now,
    pub(super) jobs: BTreeMap<JobId, Expected>,
    pub(super) slots: BTreeMap<JobId, Held>,
    /// The service knows of a way to other hosts.
    pub(super) is_up: bool,
    /// There is one.
    pub(super) has_route: bool,
    pub(super) usual_time_limit_s: u64,
}

impl Expected {
    pub(super) fn runs(&self) -> bool {
        matches!(self.state, State::Connecting | State::Transferring)
    }

    pub(super) fn is_missing_something(&self) -> bool {
        self.files.iter().any(|file| !file.is_here)
    }

    /// Could be given a slot.
    pub(super) fn is_in_line(&self) -> bool {
        self.state == State::Queued && self.intent.is_none() && self.wake_at.is_none()
    }

    fn is_hidden(&self) -> bool {
        self.is_upload && self.intent == Some(Intent::Cancel)
    }

    fn leave_running(&mut self, now: Now) {
        if let Some(since) = self.active_since.take() {
            self.spent += now.steady.since(since);
        }
    }

    fn put_off(&self, now: Now) -> Option<Timestamp> {
        self.start_after.filter(|at| *at > now.date)
    }

    fn enter_line(&mut self, now: Now) {
        self.state = State::Queued;
        self.queued_at = now.steady;
        self.wake_at = self.put_off(now);
        self.find_host();
    }

    fn find_host(&mut self) {
        if let Some(next) = self.files.iter().find(|file| !file.is_here) {
            self.host = next.host;
        }
    }

    fn has_waited_too_long(&self, now: Now) -> bool {
        self.stalled_at
            .is_some_and(|at| now.steady.since(at) >= self.patience)
    }

    fn octets(&self) -> u64 {
        self.files.iter().map(|file| file.durable).sum()
    }

    fn time_is_over(&self, usual_s: u64, now: Now) -> bool {
        let limit = Duration::from_secs(self.time_limit_s.unwrap_or(usual_s));
        let Some(since) = self.active_since.filter(|_| !limit.is_zero()) else {
            return false;
        };
        self.spent + now.steady.since(since) >= limit
    }

    /// Its slot is taken from it.
    fn lose_slot(&mut self, now: Now) {
        self.leave_running(now);
        self.enter_line(now);
        self.modified_at = now.date;
    }

    fn retry(&mut self, now: Now) {
        self.modified_at = now.date;
        self.wake_at = None;
        if self.state == State::TransientError && self.has_waited_too_long(now) {
            self.state = State::Error;
        } else {
            self.enter_line(now);
        }
    }
}

impl World {
    fn told(&self, id: JobId, by: &str) -> Option<Told> {
        match self.jobs.get(&id) {
            Some(job) if !job.is_hidden() && (by == "root" || job.owner == by) => None,
            Some(_) | None => Some(Told::NotFound),
        }
    }

    fn job(&mut self, id: JobId) -> &mut Expected {
        self.jobs.get_mut(&id).expect("it is there")
    }

    /// A change of a job that takes one commit.
    fn change(&mut self, id: JobId, store: &mut Patience, next: Expected) -> Told {
        if !store.keeps() {
            return Told::Unavailable;
        }
        *self.job(id) = next;
        Told::Done
    }

    fn let_end(&mut self, id: JobId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.is_ending = true;
        }
    }

    pub(super) fn add_file(
        &mut self,
        by: &str,
        id: JobId,
        host: &'static str,
        mut store: Patience,
    ) -> Told {
        if let Some(told) = self.told(id, by) {
            return told;
        }
        let now = self.now;
        let mut job = self.job(id).clone();
        if job.is_upload && !job.files.is_empty() {
            return Told::Refused(Hresult::BG_E_TOO_MANY_FILES);
        }
        if job.intent.is_some() {
            return Told::Refused(Hresult::BG_E_INVALID_STATE);
        }
        if !job.is_missing_something() {
            job.host = host;
        }
        job.files.push(Piece::new(host));
        job.modified_at = now.date;
        self.change(id, &mut store, job)
    }

    pub(super) fn resume(&mut self, by: &str, id: JobId, mut store: Patience) -> Told {
        if let Some(told) = self.told(id, by) {
            return told;
        }
        let now = self.now;
        let mut job = self.job(id).clone();
        if job.intent.is_some() {
            return Told::Refused(Hresult::BG_E_INVALID_STATE);
        }
        if job.files.is_empty() {
            return Told::Refused(Hresult::BG_E_EMPTY);
        }
        let has_work = job.is_missing_something();
        match job.state {
            State::Queued | State::Connecting | State::Transferring => return Told::Done,
            State::Transferred if !has_work => return Told::Done,
            _ => {}
        }
        job.resume(now);
        self.change(id, &mut store, job)
    }

    pub(super) fn suspend(&mut self, by: &str, id: JobId, mut store: Patience) -> Told {
        if let Some(told) = self.told(id, by) {
            return told;
        }
        let now = self.now;
        let mut job = self.job(id).clone();
        if job.intent.is_some() {
            return Told::Refused(Hresult::BG_E_INVALID_STATE);
        }
        let ran = job.runs();
        if !ran && !matches!(job.state, State::Queued | State::TransientError) {
            return Told::Done;
        }
        job.leave_running(now);
        job.state = State::Suspended;
        job.wake_at = None;
        job.modified_at = now.date;
        let told = self.change(id, &mut store, job);
        if told == Told::Done && ran {
            self.let_end(id);
        }
        told
    }

    /// The first half of Complete and Cancel: whether there is a second one.
    pub(super) fn intend(
        &mut self,
        by: &str,
        id: JobId,
        intent: Intent,
        store: &mut Patience,
    ) -> Result<(), Told> {
        if let Some(told) = self.told(id, by) {
            return Err(told);
        }
        let now = self.now;
        let mut job = self.job(id).clone();
        let is_too_early =
            intent == Intent::Complete && job.is_upload && job.state != State::Transferred;
        if job.intent.is_some_and(|other| other != intent) || (job.intent.is_none() && is_too_early)
        {
            return Err(Told::Refused(Hresult::BG_E_INVALID_STATE));
        }
        job.intent = Some(intent);
        if job.state == State::Queued {
            job.find_host();
        }
        job.modified_at = now.date;
        match self.change(id, store, job) {
            Told::Done => Ok(()),
            other => Err(other),
        }
    }

    /// The second half, once the transfers have ended.
    pub(super) fn settle(&mut self, id: JobId, store: &mut Patience) -> Told {
        let now = self.now;
        let mut job = self.job(id).clone();
        let intent = job.intent.expect("it has one");
        let mut broken = None;
        if intent == Intent::Complete && !job.is_upload {
            let mut count = 0;
            for file in job
                .files
                .iter_mut()
                .filter(|file| file.is_here && !file.is_placed)
            {
                if file.is_blocked {
                    broken = Some(Hresult::E_ACCESSDENIED);
                    break;
                }
                file.is_placed = true;
                count += 1;
            }
            if count > 0 {
                if !store.keeps() {
                    return Told::Unavailable;
                }
                *self.job(id) = job.clone();
            }
        }
        if !store.keeps() {
            return Told::Unavailable;
        }
        let Some(code) = broken else {
            self.jobs.remove(&id);
            return Told::Done;
        };
        job.leave_running(now);
        if job.state != State::Transferred {
            job.state = State::Suspended;
        }
        job.intent = None;
        job.error = Some(code);
        job.wake_at = None;
        job.modified_at = now.date;
        *self.job(id) = job;
        Told::Refused(code)
    }

    pub(super) fn set(&mut self, by: &str, id: JobId, wish: &Wanted, mut store: Patience) -> Told {
        if let Some(told) = self.told(id, by) {
            return told;
        }
        let now = self.now;
        let mut job = self.job(id).clone();
        if job.intent.is_some() {
            return Told::Refused(Hresult::BG_E_INVALID_STATE);
        }
        if wish.level.is_some_and(|level| level > 3) {
            return Told::Refused(Hresult::E_NOTIMPL);
        }
        let before = job.settable();
        job.level = wish.level.unwrap_or(job.level);
        if let Some(seconds) = wish.retry_delay_s {
            job.retry_delay = Duration::from_secs(seconds.max(5).into());
        }
        if let Some(seconds) = wish.patience_s {
            job.patience = Duration::from_secs(seconds.into());
        }
        if let Some(limit) = wish.time_limit_s {
            job.time_limit_s = limit;
        }
        if let Some(at) = wish.start_after {
            let changes = job.start_after != at;
            job.start_after = at;
            if changes && job.state == State::Queued {
                let waited = job.wake_at.is_some();
                job.wake_at = job.put_off(now);
                if waited && job.wake_at.is_none() {
                    job.queued_at = now.steady;
                }
            }
        }
        if job.settable() == before {
            return Told::Done;
        }
        job.modified_at = now.date;
        self.change(id, &mut store, job)
    }

    pub(super) fn take_ownership(&mut self, id: JobId, mut store: Patience) -> Told {
        if let Some(told) = self.told(id, "root") {
            return told;
        }
        let now = self.now;
        let mut job = self.job(id).clone();
        if job.intent.is_some() {
            return Told::Refused(Hresult::BG_E_INVALID_STATE);
        }
        if job.owner == "root" {
            return Told::Done;
        }
        if job.files.iter().any(|file| file.is_blocked) {
            return Told::Refused(Hresult::BG_E_NEW_OWNER_NO_FILE_ACCESS);
        }
        job.owner = "root";
        job.modified_at = now.date;
        let told = self.change(id, &mut store, job);
        if told != Told::Done || !self.slots.contains_key(&id) || !self.job(id).runs() {
            return told;
        }
        if !store.keeps() {
            return Told::Unavailable;
        }
        self.job(id).lose_slot(now);
        self.let_end(id);
        Told::Done
    }

    /// What a look does before it gives slots.
    pub(super) fn wake_and_end(&mut self) {
        let (now, usual) = (self.now, self.usual_time_limit_s);
        let mut over = Vec::new();
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| job.intent.is_none()) {
            let is_due = match job.state {
                State::TransientError => job.wake_at.is_none_or(|at| at <= now.steady),
                State::Queued => job.wake_at.is_some_and(|at| at <= now.date),
                _ => false,
            };
            if is_due {
                job.retry(now);
            }
            if job.time_is_over(usual, now) {
                over.push(*id);
            }
        }
        for id in over {
            self.fail(id, Fault::Fatal(Hresult::BG_E_MAXDOWNLOAD_TIMEOUT));
            self.let_end(id);
        }
    }

    pub(super) fn start(&mut self, id: JobId) {
        let now = self.now;
        let job = self.job(id);
        assert!(job.is_in_line(), "a job starts that does not stand in line");
        job.state = State::Connecting;
        job.active_since = Some(now.steady);
        job.modified_at = now.date;
        let held = Held {
            started_at: now.steady,
            host: job.host,
            is_ending: false,
        };
        let other = self.slots.insert(id, held);
        assert!(other.is_none(), "a job starts that has a slot");
    }

    pub(super) fn preempt(&mut self, id: JobId) {
        let now = self.now;
        self.job(id).lose_slot(now);
        self.let_end(id);
    }

    pub(super) fn say(
        &mut self,
        id: JobId,
        index: usize,
        said: &[Said],
        store: &mut Patience,
    ) -> bool {
        if !store.keeps() {
            return false;
        }
        let now = self.now;
        let job = self.job(id);
        if job.state == State::Connecting && job.intent.is_none() {
            job.state = State::Transferring;
            job.error = None;
        }
        for said in said {
            let before = job.octets();
            let file = &mut job.files[index];
            match *said {
                Said::Began { size, restarted } => {
                    file.size = size;
                    if restarted {
                        file.durable = 0;
                    }
                }
                Said::Durable(octets) => file.durable = octets,
                Said::Done(octets) => {
                    file.durable = octets;
                    file.size = Some(octets);
                    file.is_here = true;
                }
            }
            if job.octets() > before {
                job.stalled_at = None;
            }
        }
        // What is counted with a report outlives a crash.
        if job.active_since.is_some() {
            job.leave_running(now);
            job.active_since = Some(now.steady);
        }
        job.modified_at = now.date;
        true
    }

    /// Every file is said to be here: whether the run is over.
    pub(super) fn finish(&mut self, id: JobId) -> bool {
        let now = self.now;
        let job = self.job(id);
        if !job.runs() || job.intent.is_some() {
            return true;
        }
        if job.is_missing_something() {
            return false;
        }
        job.leave_running(now);
        job.enter_transferred(now);
        true
    }

    /// What a failure means at this moment.
    pub(super) fn judged(&self, id: JobId, fault: Fault) -> Fault {
        let is_offline = !(self.is_up && self.has_route);
        let is_far = self.slots.get(&id).is_some_and(|slot| !is_local(slot.host));
        match fault {
            Fault::ForNow {
                is_of_the_way: true,
                ..
            } if is_offline && is_far => Fault::Disconnected,
            other => other,
        }
    }

    pub(super) fn fail(&mut self, id: JobId, fault: Fault) {
        let now = self.now;
        let job = self.job(id);
        if !job.runs() || job.intent.is_some() {
            return;
        }
        job.leave_running(now);
        job.modified_at = now.date;
        job.wake_at = None;
        match fault {
            Fault::Fatal(code) => {
                job.state = State::Error;
                job.error = Some(code);
                job.failures += 1;
            }
            Fault::Disconnected => {
                job.error = Some(Hresult::BG_E_NETWORK_DISCONNECTED);
                let since = *job.stalled_at.get_or_insert(now.steady);
                if job.has_waited_too_long(now) {
                    job.state = State::Error;
                } else {
                    job.state = State::TransientError;
                    job.wake_at = Some(since + job.patience);
                }
            }
            Fault::ForNow {
                code, retry_after, ..
            } => {
                job.error = Some(code);
                job.failures += 1;
                let since = *job.stalled_at.get_or_insert(now.steady);
                if job.has_waited_too_long(now) || job.retry_delay > job.patience {
                    job.state = State::Error;
                } else {
                    job.state = State::TransientError;
                    let delay = retry_after.map_or(job.retry_delay, |at| at.max(job.retry_delay));
                    job.wake_at = Some((now.steady + delay).min(since + job.patience));
                }
            }
        }
    }

    /// The service looks at the network.
    pub(super) fn look_at_network(&mut self) {
        let now = self.now;
        let was_up = std::mem::replace(&mut self.is_up, self.has_route);
        if was_up && !self.is_up {
            let far = self.slots.iter().filter(|(_, slot)| !is_local(slot.host));
            let far: Vec<JobId> = far.map(|(id, _)| *id).collect();
            for id in far {
                if self.job(id).runs() && self.job(id).intent.is_none() {
                    self.preempt(id);
                }
            }
        }
        if !self.is_up {
            return;
        }
        for job in self.jobs.values_mut() {
            let waits = job.state == State::TransientError && job.intent.is_none();
            let for_network = job.error == Some(Hresult::BG_E_NETWORK_DISCONNECTED);
            if waits && (!was_up || for_network) {
                job.retry(now);
            }
        }
    }

    /// The service was killed and starts again; each intent is settled apart.
    pub(super) fn restart(&mut self) -> Vec<JobId> {
        let now = self.now;
        self.slots.clear();
        let mut unsettled = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.intent.is_some() {
                unsettled.push(*id);
            } else if job.runs() {
                // Nobody knows when it ended, and nobody else had its turn.
                job.active_since = None;
                let queued_at = job.queued_at;
                job.lose_slot(now);
                job.queued_at = queued_at;
            }
        }
        unsettled
    }
}

/// What a Put sets.
#[expect(clippy::option_option, reason = "the outer one is whether it is set")]
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) level: Option<u32>,
    pub(super) retry_delay_s: Option<u32>,
    pub(super) patience_s: Option<u32>,
    pub(super) time_limit_s: Option<Option<u64>>,
    pub(super) start_after: Option<Option<Timestamp>>,
}

impl Expected {
    fn resume(&mut self, now: Now) {
        self.modified_at = now.date;
        self.wake_at = None;
        if self.is_missing_something() {
            self.stalled_at = None;
            self.spent = Duration::ZERO;
            self.enter_line(now);
        } else {
            self.enter_transferred(now);
        }
    }

    fn enter_transferred(&mut self, now: Now) {
        self.state = State::Transferred;
        self.error = None;
        self.stalled_at = None;
        self.transferred_at = Some(now.date);
        self.modified_at = now.date;
    }

    /// A new job.
    pub(super) fn new(
        owner: &'static str,
        is_upload: bool,
        hosts: &[&'static str],
        is_suspended: bool,
        wish: &Wanted,
        now: Now,
    ) -> Self {
        let mut job = Self {
            owner,
            is_upload,
            level: wish.level.unwrap_or(2),
            retry_delay: Duration::from_secs(wish.retry_delay_s.unwrap_or(600).max(5).into()),
            patience: Duration::from_secs(wish.patience_s.unwrap_or(1_209_600).into()),
            time_limit_s: wish.time_limit_s.flatten(),
            start_after: wish.start_after.flatten(),
            state: State::Suspended,
            intent: None,
            error: None,
            failures: 0,
            stalled_at: None,
            wake_at: None,
            queued_at: now.steady,
            host: hosts.first().copied().unwrap_or(""),
            files: hosts.iter().map(|host| Piece::new(host)).collect(),
            spent: Duration::ZERO,
            active_since: None,
            modified_at: now.date,
            transferred_at: None,
        };
        if !is_suspended {
            job.resume(now);
        }
        job
    }

    fn settable(&self) -> (u32, Duration, Duration, Option<u64>, Option<Timestamp>) {
        (
            self.level,
            self.retry_delay,
            self.patience,
            self.time_limit_s,
            self.start_after,
        )
    }
}

impl Piece {
    fn new(host: &'static str) -> Self {
        Self {
            host,
            size: None,
            durable: 0,
            is_here: false,
            is_placed: false,
            is_blocked: false,
        }
    }
}

pub(super) fn is_local(host: &str) -> bool {
    host == "127.0.0.1"
}
