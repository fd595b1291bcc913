//! What all parts of the engine share, and how one job is changed: hold it,
//! read it, apply, commit, let the effect happen.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::BoundsOf;
use super::Caller;
use super::Error;
use super::Wish;
use super::WishedFile;
use super::clock::Clock;
use super::desk::Desk;
use super::events;
use super::farewell;
use super::network::Network;
use super::options;
use super::runner::Run;
use super::settle;
use crate::bits::Credentials;
use crate::bits::Effect;
use crate::bits::Hresult;
use crate::bits::Input;
use crate::bits::Intent;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::JobOptions;
use crate::bits::JobType;
use crate::bits::NewFile;
use crate::bits::NewJob;
use crate::bits::Now;
use crate::bits::Owner;
use crate::bits::Refused;
use crate::bits::ReplyFile;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::config::EngineSettings;
use crate::store::Change;
use crate::store::Queued;
use crate::store::Store;
use crate::transfer::Failure;
use crate::transfer::Mover;

/// What all parts of the engine share.
pub(super) struct Core {
    pub(super) settings: EngineSettings,
    pub(super) store: Arc<dyn Store>,
    pub(super) mover: Mover,
    pub(super) bounds: BoundsOf,
    pub(super) clock: Clock,
    pub(super) network: Network,
    pub(super) desk: Desk,
    /// Who works on disk for a committed intent. Not the desk above: that work
    /// may take minutes, and the intent alone keeps everybody else away from
    /// the job.
    pub(super) settling: Desk,
    /// Jobs that hold a slot.
    pub(super) runs: Mutex<HashMap<JobId, Slot>>,
    /// Wakes the scheduler.
    pub(super) look: Notify,
    /// No more slots are given.
    pub(super) stop: CancellationToken,
    /// Everything that must end before the service does.
    pub(super) tasks: TaskTracker,
    /// A test plays the transfers.
    #[cfg(test)]
    pub(super) stage: Option<super::runner::played::Stage>,
}

/// A slot and who has it.
pub(super) struct Slot {
    pub(super) run: Arc<Run>,
    pub(super) job: Queued,
    /// By the steady clock.
    pub(super) started_at: Timestamp,
    /// When its time in CONNECTING and TRANSFERRING is over.
    pub(super) time_over_at: Option<Timestamp>,
    /// Cancelled when the run has ended.
    pub(super) ended: CancellationToken,
}

impl Core {
    pub(super) async fn create(self: Arc<Self>, by: &Caller, wish: Wish) -> Result<JobId, Error> {
        let limit = by.max_jobs.unwrap_or(if by.is_administrator {
            0
        } else {
            self.settings.max_jobs_per_user
        });
        if limit > 0 && self.store.count(Some(&by.owner))? >= limit {
            return Err(Error::refused(Hresult::BG_E_TOO_MANY_JOBS_PER_USER));
        }
        let wish = self.checked(by, wish)?;
        if wish.kind.is_upload() && wish.files.len() > 1 {
            return Err(Error::refused(Hresult::BG_E_TOO_MANY_FILES));
        }
        let mut files = Vec::with_capacity(wish.files.len());
        let mut destinations: HashSet<PathBuf> = HashSet::new();
        for wished in &wish.files {
            let file = self.check_file(by, &by.owner, wish.kind, wished)?;
            if !destinations.insert(folded(&file.path)) {
                return Err(lands_twice(&wished.local_file));
            }
            files.push(file);
        }
        self.check_file_count(by, files.len())?;
        let userinfo: Vec<Credentials> = files
            .iter()
            .filter_map(|file| file.userinfo.clone())
            .collect();
        let id = JobId::new();
        let reply = self.reply_file(by, &by.owner, id, wish.kind, &wish.options, files.first());
        let reply = reply?;
        let new = NewJob {
            kind: wish.kind,
            display_name: wish.display_name,
            description: wish.description,
            files,
            suspended: wish.suspended,
            options: JobOptions {
                has_custom_headers: wish.headers.is_some(),
                reply,
                ..wish.options
            },
        };
        let now = self.now();
        let (mut job, files) = Job::create(id, by.owner.clone(), new, now)?;
        job.set(wish.changes, now)?;
        let created = events::event(
            &job,
            "created",
            Some(&by.owner),
            format!("{} files", files.len()),
            now.date,
        );
        let mut changes = vec![Change::Job(job.clone()), created];
        if !wish.suspended {
            changes.push(events::entered(&job, Some(&by.owner), now.date));
        }
        changes.extend(files.into_iter().map(|file| Change::File(id, file)));
        changes.extend(
            userinfo
                .into_iter()
                .map(|user| Change::Credentials(id, user)),
        );
        if wish.headers.is_some() {
            changes.push(Change::Headers(id, wish.headers));
        }
        self.store.commit(changes).await?;
        tracing::info!(job = %id, owner = %job.owner, files = job.files_total, "Job created");
        self.look();
        Ok(id)
    }

    pub(super) async fn add_file(
        self: Arc<Self>,
        by: &Caller,
        id: JobId,
        wished: &WishedFile,
    ) -> Result<(), Error> {
        let _hold = self.desk.hold(id).await;
        let mut job = self.visible(by, id)?;
        if job.kind.is_upload() && job.files_total > 0 {
            return Err(Error::refused(Hresult::BG_E_TOO_MANY_FILES));
        }
        self.check_secrets(by, &job)?;
        options::check_file(&job.options, job.kind, wished)?;
        let new = self.check_file(by, &job.owner, job.kind, wished)?;
        self.check_file_count(by, job.files_total as usize + 1)?;
        if self.store.file_at(id, &new.path)?.is_some() {
            return Err(lands_twice(&wished.local_file));
        }
        let userinfo = new.userinfo.clone();
        let reply = self.reply_file(by, &job.owner, id, job.kind, &job.options, Some(&new))?;
        let file = job.add_file(new, self.now())?;
        if reply != job.options.reply {
            job.set_reply(reply);
        }
        let mut changes = vec![Change::Job(job), Change::File(id, file)];
        changes.extend(userinfo.map(|user| Change::Credentials(id, user)));
        Ok(self.store.commit(changes).await?)
    }

    pub(super) async fn command(
        self: Arc<Self>,
        by: &Caller,
        id: JobId,
        input: Input,
    ) -> Result<(), Error> {
        let effect = self
            .apply(id, input, Some(&by.owner), |core| core.visible(by, id))
            .await?;
        match effect {
            Effect::Settle(Intent::Cancel) if self.is_leaving(id)? => {
                farewell::begin(&self, id, Some(by.owner.clone())).await
            }
            Effect::Settle(_) => settle::settle(&self, id, Some(&by.owner)).await,
            Effect::Unchanged
            | Effect::Changed
            | Effect::Schedule
            | Effect::Stop
            | Effect::WakeAt(_)
            | Effect::Remove => Ok(()),
        }
    }

    pub(super) async fn change(
        self: Arc<Self>,
        by: &Caller,
        id: JobId,
        kind: &'static str,
        change: impl FnOnce(&mut Job, Now) -> Result<(Effect, Option<Change>), Refused>,
    ) -> Result<(), Error> {
        let _hold = self.desk.hold(id).await;
        let mut job = self.visible(by, id)?;
        let now = self.now();
        let (effect, beside) = change(&mut job, now)?;
        if effect == Effect::Unchanged {
            return Ok(());
        }
        let modified = events::event(&job, kind, Some(&by.owner), String::new(), now.date);
        let mut changes = vec![Change::Job(job.clone()), modified];
        changes.extend(beside);
        self.store.commit(changes).await?;
        self.note_in_slot(&job);
        self.look();
        Ok(())
    }

    /// Moves a job on, of the engine's own accord. A job that has gone
    /// meanwhile is no error.
    pub(super) async fn advance(&self, id: JobId, input: Input) -> Result<Effect, Error> {
        match self.apply(id, input, None, |core| core.stored(id)).await {
            Err(Error::NotFound) => Ok(Effect::Unchanged),
            other => other,
        }
    }

    /// The same for several, which share commits.
    pub(super) async fn advance_all(
        self: &Arc<Self>,
        jobs: Vec<JobId>,
        input: &Input,
    ) -> Result<(), Error> {
        let mut steps = JoinSet::new();
        for id in jobs {
            let (core, input) = (Arc::clone(self), input.clone());
            steps.spawn(async move { core.advance(id, input).await.map(drop) });
        }
        let mut result = Ok(());
        while let Some(step) = steps.join_next().await {
            result = result.and(step.unwrap_or_else(|error| Err(Error::internal(&error))));
        }
        result
    }

    pub(super) async fn apply(
        &self,
        id: JobId,
        input: Input,
        by: Option<&Owner>,
        read: impl FnOnce(&Self) -> Result<Job, Error>,
    ) -> Result<Effect, Error> {
        let _hold = self.desk.hold(id).await;
        let mut job = read(self)?;
        let now = self.now();
        let before = job.state;
        // Nobody has asked for it, and after a loss of power the job is given a
        // slot again.
        let is_note = matches!(input, Input::Start);
        let effect = job.apply(input, now)?;
        if effect == Effect::Unchanged {
            return Ok(effect);
        }
        if job.state == State::Queued {
            self.find_host(&mut job)?;
        }
        let mut changes = vec![Change::Job(job.clone())];
        let has_moved = job.state != before;
        if has_moved {
            changes.push(events::entered(&job, by, now.date));
        }
        if is_note {
            self.store.note(changes).await?;
        } else {
            self.store.commit(changes).await?;
        }
        self.note_in_slot(&job);
        if has_moved {
            events::log_entered(&job);
        }
        match effect {
            Effect::Stop => {
                if let Some(run) = self.run(id) {
                    run.stop.cancel();
                }
                self.look();
            }
            Effect::Schedule | Effect::WakeAt(_) => self.look(),
            Effect::Unchanged | Effect::Changed | Effect::Settle(_) | Effect::Remove => {}
        }
        Ok(effect)
    }

    /// From which host it fetches next.
    pub(super) fn find_host(&self, job: &mut Job) -> Result<(), Error> {
        if let Some(file) = self.store.missing_files(job.id, 0, 1)?.first() {
            job.set_host(file.host());
        }
        Ok(())
    }

    /// Lets the slot of the job, if it has one, know what has changed.
    pub(super) fn note_in_slot(&self, job: &Job) {
        if let Some(slot) = self.runs().get_mut(&job.id) {
            slot.job.priority = job.priority;
            slot.job.owner.clone_from(&job.owner);
            slot.time_over_at = job.time_over_at(self.usual_time());
        }
    }

    /// `MaximumDownloadTime` of a job that sets none; zero: no limit.
    pub(super) fn usual_time(&self) -> Duration {
        Duration::from_secs(self.settings.max_download_time_s)
    }

    /// This moment.
    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// May he have the job ask elsewhere?
    ///
    /// INVARIANT: what the owner has given a job to log on with goes where the
    /// owner sends it. Whoever else may change the job could have it sent to
    /// himself; taking the job over takes it away.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with `E_ACCESSDENIED` when he may not.
    pub(super) fn check_secrets(&self, by: &Caller, job: &Job) -> Result<(), Error> {
        if by.owner == job.owner {
            return Ok(());
        }
        if job.options.has_custom_headers || !self.store.credentials(job.id)?.is_empty() {
            return Err(Error::Refused {
                code: Hresult::E_ACCESSDENIED,
                detail: "the job has credentials or headers of its owner".to_owned(),
            });
        }
        Ok(())
    }

    /// Ends the job's transfers, if there are any, and waits for it.
    pub(super) async fn end_run(&self, id: JobId) {
        let ended = self.runs().get(&id).map(|slot| {
            slot.run.stop.cancel();
            slot.ended.clone()
        });
        if let Some(ended) = ended {
            ended.cancelled().await;
        }
    }

    /// A new file of a job of `owner`: it must land (an upload: lie) where he
    /// may, and where whoever adds it may.
    pub(super) fn check_file(
        &self,
        by: &Caller,
        owner: &Owner,
        kind: JobType,
        wished: &WishedFile,
    ) -> Result<NewFile, Error> {
        let remote = self
            .mover
            .remote(&wished.remote_url)
            .map_err(refused_by_transfer)?;
        let owners = (self.bounds)(owner);
        let local_file = &wished.local_file;
        if kind.is_upload() && (!wished.ranges.is_empty() || wished.sha256.is_some()) {
            return Err(Error::Refused {
                code: Hresult::E_NOTIMPL,
                detail: "ranges and an expected hash are for downloads".to_owned(),
            });
        }
        let path = if kind.is_upload() {
            let bounds = [owners.read_roots.as_ref(), by.read_roots.as_ref()];
            self.mover.source(local_file, &bounds)
        } else {
            let bounds = [owners.write_roots.as_ref(), by.write_roots.as_ref()];
            self.mover.destination(local_file, &bounds)
        };
        Ok(NewFile {
            remote_url: remote.url,
            local_file: local_file.clone(),
            path: path.map_err(refused_by_transfer)?,
            userinfo: remote.userinfo,
            ranges: wished.ranges.clone(),
            sha256: wished.sha256,
        })
    }

    /// Where the reply of an upload-reply lands: where the client says or, as soon
    /// as it has a file, beside that file under a name that no other job has
    /// ("`IBackgroundCopyJob2::SetReplyFileName`").
    pub(super) fn reply_file(
        &self,
        by: &Caller,
        owner: &Owner,
        id: JobId,
        kind: JobType,
        options: &JobOptions,
        file: Option<&NewFile>,
    ) -> Result<Option<ReplyFile>, Error> {
        if kind != JobType::UploadReply {
            return match options.reply {
                None => Ok(None),
                Some(_) => Err(Error::refused(Hresult::E_NOTIMPL)),
            };
        }
        let (local_file, is_ours) = match (&options.reply, file) {
            (Some(reply), _) => (reply.local_file.clone(), false),
            (None, Some(file)) => (format!("{}.{id}.reply", file.local_file), true),
            (None, None) => return Ok(None),
        };
        let owners = (self.bounds)(owner);
        let bounds = [owners.write_roots.as_ref(), by.write_roots.as_ref()];
        let path = self.mover.destination(&local_file, &bounds);
        let path = path.map_err(|failure| match refused_by_transfer(failure) {
            Error::Refused { code, detail } if is_ours => Error::Refused {
                code,
                detail: format!(
                    "the reply cannot land beside its upload, and the job names no reply file: {detail}"
                ),
            },
            other => other,
        })?;
        Ok(Some(ReplyFile { local_file, path }))
    }

    pub(super) fn check_file_count(&self, by: &Caller, count: usize) -> Result<(), Error> {
        let limit = self.settings.max_files_per_job as usize;
        if limit > 0 && !by.is_administrator && count > limit {
            return Err(Error::refused(Hresult::BG_E_TOO_MANY_FILES_IN_JOB));
        }
        Ok(())
    }

    pub(super) fn stored(&self, id: JobId) -> Result<Job, Error> {
        self.store.job(id)?.ok_or(Error::NotFound)
    }

    /// The job still holds its slot, and a file of it is missing; also when the
    /// store cannot say: a run that ended on a guess would leave the job in
    /// TRANSFERRING for good.
    pub(super) fn has_work_to_run(&self, id: JobId) -> bool {
        match self.stored(id) {
            Ok(job) => {
                job.state.is_running()
                    && job.intent.is_none()
                    && job.files_transferred < job.files_total
            }
            Err(Error::NotFound | Error::Denied | Error::Refused { .. }) => false,
            Err(Error::Unavailable) => true,
        }
    }

    /// A job that somebody may know of. One that only takes its leave of a server
    /// is there for nobody.
    pub(super) fn visible(&self, by: &Caller, id: JobId) -> Result<Job, Error> {
        let job = by.check(self.stored(id)?)?;
        if job.is_leaving() {
            return Err(Error::NotFound);
        }
        Ok(job)
    }

    fn is_leaving(&self, id: JobId) -> Result<bool, Error> {
        Ok(self.store.job(id)?.is_some_and(|job| job.is_leaving()))
    }

    pub(super) fn as_of_now(&self, job: Job) -> Job {
        match self.run(job.id) {
            Some(run) => {
                let octets = run.overlay(&job);
                job.with_progress(octets)
            }
            None => job,
        }
    }

    pub(super) fn run(&self, id: JobId) -> Option<Arc<Run>> {
        self.runs().get(&id).map(|slot| Arc::clone(&slot.run))
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, HashMap<JobId, Slot>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the scheduler look.
    pub(super) fn look(&self) {
        self.look.notify_one();
    }
}

pub(super) fn refused_by_transfer(failure: Failure) -> Error {
    Error::Refused {
        code: failure.code,
        detail: failure.detail,
    }
}

pub(super) fn lands_twice(local_file: &str) -> Error {
    Error::Refused {
        code: Hresult::ERROR_FILE_EXISTS,
        detail: format!("{local_file}: another file of the job lands there"),
    }
}

/// The path as names are compared without regard to case.
pub(super) fn folded(path: &std::path::Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().to_lowercase())
}
