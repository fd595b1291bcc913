//! Gives and takes slots, as [`super::scheduler`] decides, wakes jobs whose time
//! has come, and ends those whose time is over.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::warn;

use super::Error;
use super::core::Core;
use super::core::Slot;
use super::runner;
use super::runner::Run;
use super::scheduler;
use super::scheduler::Line;
use super::scheduler::Running;
use super::scheduler::Slots;
use super::scheduler::Turns;
use super::scheduler::decide;
use crate::bits::Circumstances;
use crate::bits::Effect;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Input;
use crate::bits::Job;
use crate::bits::JobError;
use crate::bits::JobId;
use crate::bits::Now;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::Timestamp;
use crate::store;
use crate::store::Change;
use crate::store::Queued;
use crate::store::Store;

/// Gives and takes slots, and wakes jobs, until the service stops.
pub(super) async fn schedule(core: Arc<Core>) {
    let mut turns = Turns::default();
    let mut marked_at = core.now().steady;
    loop {
        let now = core.now();
        let wait = match look(&core, &mut turns, now).await {
            Ok(wait) => wait.unwrap_or(LONGEST_SLEEP),
            Err(error) => {
                error!(%error, "Scheduler could not read or write the store");
                STORE_PAUSE
            }
        };
        if now.steady.since(marked_at) >= MARK_EVERY {
            marked_at = now.steady;
            keep_clock(&core).await;
        }
        tokio::select! {
            () = core.stop.cancelled() => break,
            () = core.look.notified() => {}
            () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
        }
    }
    keep_clock(&core).await;
}

/// Keeps what the clocks show, for the next start.
pub(super) async fn keep_clock(core: &Core) {
    let mark = Change::Clock(core.clock.mark());
    if let Err(error) = core.store.commit(vec![mark]).await {
        warn!(%error, "What the clocks show could not be kept");
    }
}

/// Looks once, at this moment; says how long nothing is to do unless something
/// happens.
pub(super) async fn look(
    core: &Arc<Core>,
    turns: &mut Turns,
    now: Now,
) -> Result<Option<Duration>, Error> {
    let waits = [
        wake(core, now).await?,
        end_overdue(core, now).await?,
        serve(core, turns, scheduler::FOREGROUND, core.foreground(), now).await?,
        serve(core, turns, scheduler::BACKGROUND, core.background(), now).await?,
    ];
    Ok(waits.into_iter().flatten().min())
}

/// Wakes the jobs whose time has come, a page of them.
async fn wake(core: &Arc<Core>, now: Now) -> Result<Option<Duration>, Error> {
    let mut next = None;
    let retrying = |limit| core.store.retrying(None, limit);
    let put_off = |limit| core.store.put_off(limit);
    let lists: [(&ReadJobs<'_>, Timestamp); 2] = [(&retrying, now.steady), (&put_off, now.date)];
    for (read, today) in lists {
        let is_due = |job: &Job| job.wake_at.is_none_or(|at| at <= today);
        let mut page = read(1)?;
        if page.first().is_some_and(is_due) {
            page = read(WAITING_PAGE)?;
        }
        let due: Vec<JobId> = page
            .iter()
            .filter(|job| is_due(job))
            .map(|job| job.id)
            .collect();
        let is_full = due.len() == WAITING_PAGE;
        core.advance_all(due, &Input::Retry).await?;
        let wait = match page.iter().find(|job| !is_due(job)) {
            Some(job) => job.wake_at.map(|at| at.since(today)),
            None => is_full.then_some(Duration::ZERO),
        };
        next = [next, wait].into_iter().flatten().min();
    }
    Ok(next)
}

type ReadJobs<'a> = dyn Fn(usize) -> Result<Vec<Job>, store::Error> + Sync + 'a;

/// Ends the jobs that have been in CONNECTING and TRANSFERRING for as long as
/// they may.
async fn end_overdue(core: &Arc<Core>, now: Now) -> Result<Option<Duration>, Error> {
    let (mut overdue, mut next) = (Vec::new(), None);
    for (id, slot) in core.runs().iter() {
        match slot.time_over_at {
            Some(at) if at <= now.steady => overdue.push(*id),
            Some(at) => {
                let wait = at.since(now.steady);
                next = Some(next.map_or(wait, |known: Duration| known.min(wait)));
            }
            None => {}
        }
    }
    let error = JobError {
        context: ErrorContext::GeneralQueueManager,
        code: Hresult::BG_E_MAXDOWNLOAD_TIMEOUT,
        file: None,
        detail: String::new(),
        circumstances: Circumstances::default(),
    };
    core.advance_all(overdue, &Input::Failed(error)).await?;
    Ok(next)
}

/// Decides for the jobs of these priorities, and does it.
async fn serve(
    core: &Arc<Core>,
    turns: &mut Turns,
    levels: &[Priority],
    slots: Slots,
    now: Now,
) -> Result<Option<Duration>, Error> {
    let running: Vec<Running> = core
        .runs()
        .values()
        .map(|slot| Running {
            job: slot.job.clone(),
            started_at: slot.started_at,
            is_ending: slot.run.stop.is_cancelled(),
        })
        .collect();
    let line = &*core.store;
    let decision = decide(&line, levels, &running, slots, turns, now.steady)?;
    core.advance_all(decision.preempt, &Input::Preempt).await?;
    start(core, decision.start, now).await?;
    Ok(decision.look_at.map(|at| at.since(now.steady)))
}

/// Gives slots to these; they share commits.
async fn start(core: &Arc<Core>, jobs: Vec<JobId>, now: Now) -> Result<(), Error> {
    let mut starts = tokio::task::JoinSet::new();
    for id in jobs {
        let core = Arc::clone(core);
        starts.spawn(async move { start_run(&core, id, now).await });
    }
    let mut result = Ok(());
    while let Some(started) = starts.join_next().await {
        result = result.and(started.unwrap_or_else(|error| Err(Error::internal(&error))));
    }
    result
}

/// Gives the job a slot.
async fn start_run(core: &Arc<Core>, id: JobId, now: Now) -> Result<(), Error> {
    let run = Arc::new(Run::default());
    let ended = CancellationToken::new();
    {
        let Some(job) = core.store.job(id)? else {
            return Ok(());
        };
        let slot = Slot {
            run: Arc::clone(&run),
            job: Queued {
                id,
                owner: job.owner.clone(),
                host: job.host.clone(),
                priority: job.priority,
            },
            started_at: now.steady,
            time_over_at: None,
            ended: ended.clone(),
        };
        core.runs().insert(id, slot);
    }
    let done = EndOfRun {
        core: Arc::clone(core),
        id,
        ended,
    };
    // The slot is there before the state says so: whoever suspends the job
    // between the two finds the run to stop.
    if core.advance(id, Input::Start).await? == Effect::Changed {
        let core = Arc::clone(core);
        #[cfg(test)]
        if let Some(stage) = &core.stage {
            stage.enter(id, run, done);
            return Ok(());
        }
        core.tasks.clone().spawn(async move {
            runner::run(core, id, run).await;
            drop(done);
        });
    }
    Ok(())
}

impl Core {
    /// The slots of foreground jobs.
    pub(super) fn foreground(&self) -> Slots {
        Slots {
            count: self.settings.foreground_jobs,
            per_user: None,
            per_host: None,
            time_slice: Duration::from_secs(self.settings.time_slice_s),
        }
    }

    /// The slots of background jobs.
    pub(super) fn background(&self) -> Slots {
        let limit = |count: usize| (count > 0).then_some(count);
        Slots {
            count: self.settings.running_jobs,
            per_user: limit(self.settings.running_jobs_per_user),
            per_host: limit(self.settings.running_jobs_per_host),
            time_slice: Duration::from_secs(self.settings.time_slice_s),
        }
    }
}

impl Line for &dyn Store {
    type Error = store::Error;

    fn owners(
        &self,
        level: Priority,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, store::Error> {
        self.line_owners(level, after, limit)
    }

    fn of(
        &self,
        level: Priority,
        owner: &Owner,
        limit: usize,
    ) -> Result<Vec<Queued>, store::Error> {
        self.line_of(level, owner, limit)
    }

    fn hosts(
        &self,
        level: Priority,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, store::Error> {
        self.line_hosts(level, after, limit)
    }

    fn to(&self, level: Priority, host: &str, limit: usize) -> Result<Vec<Queued>, store::Error> {
        self.line_to(level, host, limit)
    }
}

/// Frees the slot, however the run ends.
pub(super) struct EndOfRun {
    core: Arc<Core>,
    id: JobId,
    ended: CancellationToken,
}

impl Drop for EndOfRun {
    fn drop(&mut self) {
        self.core.runs().remove(&self.id);
        self.ended.cancel();
        self.core.look();
    }
}

/// After a failure of the store, until the scheduler looks again.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Jobs to wake that are looked at together.
const WAITING_PAGE: usize = 64;

/// The calendar may be set, and the timer stands still while the host sleeps:
/// no longer than this on their word.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// How much of a wait a host may lose that starts with a calendar of long ago.
const MARK_EVERY: Duration = Duration::from_mins(30);
