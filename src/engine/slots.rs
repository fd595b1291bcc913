//! Gives and takes slots, as [`super::scheduler`] decides, and wakes jobs whose
//! delay is over.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Error;
use super::clock;
use super::core::Core;
use super::core::Slot;
use super::runner;
use super::runner::Run;
use super::scheduler::Running;
use super::scheduler::Slots;
use super::scheduler::Waiting;
use super::scheduler::decide;
use crate::bits::Effect;
use crate::bits::Input;
use crate::bits::JobId;
use crate::bits::Timestamp;

/// Gives and takes slots, and wakes jobs whose delay is over, until the
/// service stops.
pub(super) async fn schedule(core: Arc<Core>) {
    loop {
        let wait = match schedule_once(&core).await {
            Ok(look_at) => look_at.map(|at| at.since(clock::now())),
            Err(error) => {
                error!(%error, "Scheduler could not read or write the store");
                Some(STORE_PAUSE)
            }
        };
        let timer = async {
            match wait {
                Some(span) => tokio::time::sleep(span.min(LONGEST_SLEEP)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = core.look.notified() => {}
            () = timer => {}
        }
    }
}

/// Looks once; says when to look again though nothing happens.
async fn schedule_once(core: &Arc<Core>) -> Result<Option<Timestamp>, Error> {
    let now = clock::now();
    let mut wake_at = None;
    for job in core.store.waiting(WAITING_PAGE)? {
        match job.wake_at {
            Some(at) if at > now => {
                wake_at = Some(at);
                break;
            }
            Some(_) | None => {
                core.advance(job.id, Input::Retry).await?;
                // There may be more than a page of them.
                wake_at = Some(now);
            }
        }
    }
    let running: Vec<Running> = core
        .runs()
        .iter()
        .map(|(id, slot)| Running {
            id: *id,
            priority: slot.priority,
            started_at: slot.started_at,
            is_ending: slot.run.stop.is_cancelled(),
        })
        .collect();
    let slots = Slots {
        count: core.settings.running_jobs,
        time_slice: Duration::from_secs(core.settings.time_slice_s),
    };
    // Those that are ending may stand in line again already.
    let line = core.store.queued(slots.count + running.len())?;
    let waiting: Vec<Waiting> = line
        .iter()
        .filter(|job| running.iter().all(|other| other.id != job.id))
        .map(|job| Waiting {
            id: job.id,
            priority: job.priority,
        })
        .collect();
    let decision = decide(&running, &waiting, slots, now);
    for id in decision.preempt {
        core.advance(id, Input::Preempt).await?;
    }
    for id in decision.start {
        start_run(core, id).await?;
    }
    Ok([wake_at, decision.look_at].into_iter().flatten().min())
}

/// Gives the job a slot.
async fn start_run(core: &Arc<Core>, id: JobId) -> Result<(), Error> {
    let run = Arc::new(Run::default());
    let ended = CancellationToken::new();
    {
        let Some(job) = core.store.job(id)? else {
            return Ok(());
        };
        let slot = Slot {
            run: Arc::clone(&run),
            priority: job.priority,
            started_at: clock::now(),
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
        core.tasks.clone().spawn(async move {
            runner::run(core, id, run).await;
            drop(done);
        });
    }
    Ok(())
}

/// Frees the slot, however the run ends.
struct EndOfRun {
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

/// The clock of the day may be set; sleep no longer than this on its word.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
