//! Cancel of an upload: the server that holds a part of the file is told, so that
//! it drops it ([MC-BUP] 3.1.4.6).
//!
//! The intent is committed, nobody sees the job any more, and the client has its
//! answer after some seconds at the most. A server that cannot be reached is told
//! later, for a day; the job's credentials and proxy stay until then. A start goes
//! on with it.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use tracing::info;
use tracing::warn;

use super::Error;
use super::core::Core;
use super::runner;
use super::settle;
use crate::bits::File;
use crate::bits::Intent;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Timestamp;
use crate::transfer::Failure;

/// Tells the server and lets the job go, but keeps the caller no longer than some
/// seconds.
pub(super) async fn begin(core: &Arc<Core>, id: JobId, by: Option<Owner>) -> Result<(), Error> {
    let told = core.tasks.spawn(tell_and_settle(Arc::clone(core), id, by));
    match tokio::time::timeout(CALLER_TIME, told).await {
        Ok(Ok(done)) => done,
        Ok(Err(panicked)) => Err(Error::internal(&panicked)),
        Err(_) => Ok(()),
    }
}

/// The same for a start: nobody waits.
pub(super) fn resume(core: &Arc<Core>, id: JobId) {
    let work = tell_and_settle(Arc::clone(core), id, None);
    core.tasks.spawn(async move {
        if let Err(error) = work.await {
            warn!(job = %id, %error, "A cancelled upload stays behind until the next start");
        }
    });
}

async fn tell_and_settle(core: Arc<Core>, id: JobId, by: Option<Owner>) -> Result<(), Error> {
    core.end_run(id).await;
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(job) = core.store.job(id)?.filter(Job::is_leaving) else {
            return Ok(());
        };
        let file = core.store.files(id, 0, 1)?.into_iter().next();
        let told = tokio::select! {
            biased;
            () = core.stop.cancelled() => return Ok(()),
            told = tell(&core, &job, file.as_ref()) => told,
        };
        let Err(failure) = told else {
            break;
        };
        let detail = failure.detail;
        if core.now().date >= give_up_at(&job) {
            info!(job = %id, detail, "The server was not told of a cancelled upload");
            break;
        }
        debug!(job = %id, detail, "The server is told of a cancelled upload later");
        tokio::select! {
            () = core.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    settle::settle(&core, id, by.as_ref()).await
}

/// # Errors
///
/// [`Failure`] when another try may do it.
async fn tell(core: &Core, job: &Job, file: Option<&File>) -> Result<(), Failure> {
    let Some(file) = file.filter(|file| !file.transferred && file.upload.is_some()) else {
        return Ok(());
    };
    // What it cannot log on with now, it can log on with never.
    let Ok(session) = runner::session_of(core, job) else {
        return Ok(());
    };
    session.cancel_upload(file).await
}

/// "Cancel-Session": a day from when it was wished, or the job's own patience.
fn give_up_at(job: &Job) -> Timestamp {
    debug_assert!(job.intent == Some(Intent::Cancel), "it is leaving");
    job.modified_at + job.no_progress_timeout.min(LONGEST)
}

/// A client waits no longer.
const CALLER_TIME: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_secs(5);

const LONGEST_PAUSE: Duration = Duration::from_mins(10);

const LONGEST: Duration = Duration::from_hours(24);
