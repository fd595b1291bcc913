//! Complete and Cancel on disk. The intent is committed first, so that a
//! crash in the middle is redone, as often as it must.

use std::sync::Arc;

use tracing::info;
use tracing::warn;

use super::Error;
use super::core::Core;
use super::events;
use crate::bits::Effect;
use crate::bits::File;
use crate::bits::Hresult;
use crate::bits::Input;
use crate::bits::Intent;
use crate::bits::JobError;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::store::Change;
use crate::transfer::Failure;

/// Does what the job's committed intent says, then lets the job go. When
/// somebody else has done it meanwhile, that is fine too; when he could not,
/// this one fails as he did.
pub(super) async fn settle(core: &Arc<Core>, id: JobId, by: Option<&Owner>) -> Result<(), Error> {
    core.end_run(id).await;
    let _settling = core.settling.hold(id).await;
    let Some(job) = core.store.job(id)? else {
        return Ok(());
    };
    let Some(intent) = job.intent else {
        let failed = job.error.clone();
        return Err(failed.map_or_else(
            || Error::refused(Hresult::BG_E_INVALID_STATE),
            |error| refused(&error),
        ));
    };
    let done = match intent {
        Intent::Complete => complete(core, id, &job.owner).await,
        Intent::Cancel => cancel(core, id).await,
    };
    let _hold = core.desk.hold(id).await;
    let mut job = core.stored(id)?;
    let now = core.now();
    let (input, result) = match done {
        Ok(()) => (Input::Settled, Ok(())),
        Err(Broken::Store(error)) => return Err(error),
        Err(Broken::Disk(error)) => {
            let refused = refused(&error);
            (Input::Unsettled(error), Err(refused))
        }
    };
    let effect = job.apply(input, now)?;
    let entered = events::entered(&job, by, now.date);
    let changes = if effect == Effect::Remove {
        vec![Change::Remove(id), entered]
    } else {
        vec![Change::Job(job.clone()), entered]
    };
    core.store.commit(changes).await?;
    events::log_entered(&job);
    core.look();
    result
}

fn refused(error: &JobError) -> Error {
    Error::Refused {
        code: error.code,
        detail: error.detail.clone(),
    }
}

/// What stopped the work.
#[derive(Debug)]
enum Broken {
    Store(Error),
    Disk(JobError),
}

impl From<crate::store::Error> for Broken {
    fn from(error: crate::store::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Puts what is here in its place, drops the rest.
async fn complete(core: &Arc<Core>, id: JobId, owner: &Owner) -> Result<(), Broken> {
    let bounds = (core.bounds)(owner);
    let mut from = 0;
    loop {
        let page = core.store.files(id, from, FILES_PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        from = last.index + 1;
        let (here, rest): (Vec<File>, Vec<File>) =
            page.into_iter().partition(|file| file.transferred);
        let here: Vec<File> = here.into_iter().filter(|file| !file.placed).collect();
        let (mover, bounds) = (core.mover.clone(), bounds.clone());
        let (here, placed) = off_the_task(move || {
            let placed = mover.place(id, &here, &bounds);
            (here, placed)
        })
        .await;
        let count = placed
            .as_ref()
            .map_or_else(|failed| failed.0, |()| here.len());
        if count > 0 {
            let placed = here.iter().take(count).map(|file| {
                let file = File {
                    placed: true,
                    ..file.clone()
                };
                Change::Progress(id, file)
            });
            core.store.commit(placed.collect()).await?;
        }
        if let Err((at, failure)) = placed {
            return Err(Broken::Disk(job_error(failure, here.get(at))));
        }
        drop_files(core, id, rest).await;
    }
}

/// Drops everything that has not been put in its place.
async fn cancel(core: &Arc<Core>, id: JobId) -> Result<(), Broken> {
    let mut from = 0;
    loop {
        let page = core.store.files(id, from, FILES_PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        from = last.index + 1;
        drop_files(
            core,
            id,
            page.into_iter().filter(|file| !file.placed).collect(),
        )
        .await;
    }
}

/// Removes temporary files. One that cannot be removed does not keep the job
/// (`BG_S_UNABLE_TO_DELETE_FILES` is a success).
async fn drop_files(core: &Arc<Core>, id: JobId, files: Vec<File>) {
    if files.is_empty() {
        return;
    }
    let mover = core.mover.clone();
    let dropped = off_the_task(move || mover.discard(id, &files)).await;
    if let Err((_, failure)) = dropped {
        warn!(job = %id, error = %failure.code, detail = failure.detail, "A temporary file stays behind");
    }
}

fn job_error(failure: Failure, file: Option<&File>) -> JobError {
    JobError {
        context: failure.context,
        code: failure.code,
        file: file.map(|file| file.index),
        detail: failure.detail,
        circumstances: failure.circumstances,
    }
}

/// Finishes, after a start, what a stop interrupted.
pub(super) async fn recover(core: &Arc<Core>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = core.store.interrupted(after, JOBS_PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.id);
        for job in page {
            if job.intent.is_some() {
                info!(job = %job.id, "Finishing what a stop interrupted");
                match settle(core, job.id, None).await {
                    // The job stands as a failed Complete leaves it.
                    Ok(()) | Err(Error::Refused { .. } | Error::NotFound | Error::Denied) => {}
                    Err(Error::Unavailable) => return Err(Error::Unavailable),
                }
            } else {
                core.advance(job.id, Input::Interrupted).await?;
            }
        }
    }
}

/// Runs blocking work on a thread that may block.
async fn off_the_task<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is being torn down cancels blocking work;
            // then nobody waits for this task either.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Files that are put in place between two commits.
const FILES_PAGE: usize = 512;

/// Jobs that are looked through at a time.
const JOBS_PAGE: usize = 128;
