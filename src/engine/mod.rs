//! Runs jobs: takes commands, gives slots to what is most urgent, keeps what
//! transfers report, finishes what a stop interrupted.
//!
//! ```text
//! command ─ desk (one hand on a job) ─ bits::Job::apply ─ store.commit ─ effect
//!                                                                         │
//!            scheduler.decide ◄─ look ◄──────────────────────────────────┤
//!                  │                                                      │
//!               runner ─ transfer ─ reports ─ desk ─ Job::report ─ commit │
//!               settle ◄──────────────────────────────────────────────────┘
//! ```
//!
//! Knows nothing of SOAP, CIM or serving HTTP.

mod clock;
mod desk;
mod events;
mod runner;
mod scheduler;
mod settle;

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;
use tracing::warn;

use self::desk::Desk;
use self::runner::Run;
use self::scheduler::Running;
use self::scheduler::Slots;
use self::scheduler::Waiting;
use self::scheduler::decide;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Changes;
use crate::bits::ClientCertificate;
use crate::bits::Credentials;
use crate::bits::Effect;
use crate::bits::File;
use crate::bits::Hresult;
use crate::bits::Input;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::NewFile;
use crate::bits::NewJob;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::Proxy;
use crate::bits::Refused;
use crate::bits::Timestamp;
use crate::config::EngineSettings;
use crate::store::Change;
use crate::store::Store;
use crate::transfer::Failure;
use crate::transfer::Mover;

/// The one engine of the service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    core: Arc<Core>,
    /// Taken by who stops the engine.
    scheduler: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

/// On whose behalf something is asked.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose jobs are his own.
    pub(crate) owner: Owner,
    /// May see and touch everybody's.
    pub(crate) is_administrator: bool,
}

/// A job as a client asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Its name.
    pub(crate) display_name: String,
    /// What it is for.
    pub(crate) description: String,
    /// Remote address and destination of each file.
    pub(crate) files: Vec<(String, String)>,
    /// Suspended rather than started at once.
    pub(crate) suspended: bool,
}

/// What `SetJobState` commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    /// 0
    Cancel,
    /// 1
    Complete,
    /// 2
    Resume,
    /// 3
    Suspend,
}

/// Why the engine did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such job, or the caller may not know of it.
    #[error("there is no such job")]
    NotFound,
    /// It does not fit; nothing was changed.
    #[error("{detail}")]
    Refused {
        /// Which error.
        code: Hresult,
        /// The sentence for the user.
        detail: String,
    },
    /// The store cannot keep it; the log has the cause.
    #[error("the job store is not available")]
    Unavailable,
}

impl Engine {
    /// Finishes what a stop interrupted, then starts to run jobs.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the store cannot be read.
    pub(crate) async fn start(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        mover: Mover,
    ) -> Result<Self, Error> {
        let core = Arc::new(Core {
            settings,
            store,
            mover,
            desk: Desk::default(),
            settling: Desk::default(),
            runs: Mutex::default(),
            look: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        settle::recover(&core).await?;
        let scheduler = tokio::spawn(schedule(Arc::clone(&core)));
        core.look();
        Ok(Self {
            core,
            scheduler: Arc::new(tokio::sync::Mutex::new(Some(scheduler))),
        })
    }

    /// Ends every transfer at a point from which it goes on after a start.
    pub(crate) async fn stop(&self) {
        self.core.stop.cancel();
        let Some(scheduler) = self.scheduler.lock().await.take() else {
            return;
        };
        if let Err(error) = scheduler.await {
            error!(%error, "Scheduler failed");
        }
        let running: Vec<(JobId, Arc<Run>)> = {
            let runs = self.core.runs();
            runs.iter()
                .map(|(id, slot)| (*id, Arc::clone(&slot.run)))
                .collect()
        };
        for (id, run) in running {
            if let Err(error) = self.core.advance(id, Input::Preempt).await {
                warn!(job = %id, %error, "A running job could not be put back");
            }
            // Also when the store fails: the next start puts the job back then.
            run.stop.cancel();
        }
        self.core.tasks.close();
        self.core.tasks.wait().await;
    }

    /// Makes a job. Durable when it answers, as is every change below; each
    /// runs to its end though the caller has gone.
    pub(crate) async fn create(&self, by: &Caller, wish: Wish) -> Result<JobId, Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.create(&by, wish).await })
            .await
    }

    /// Adds a file at the end of a job.
    pub(crate) async fn add_file(
        &self,
        by: &Caller,
        id: JobId,
        remote_url: String,
        local_file: String,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.to_its_end(
            |core| async move { core.add_file(&by, id, &remote_url, &local_file).await },
        )
        .await
    }

    /// Starts, holds, completes or cancels a job. After Complete and Cancel
    /// the job is gone.
    pub(crate) async fn command(
        &self,
        by: &Caller,
        id: JobId,
        command: Command,
    ) -> Result<(), Error> {
        let input = match command {
            Command::Cancel => Input::Cancel,
            Command::Complete => Input::Complete,
            Command::Resume => Input::Resume,
            Command::Suspend => Input::Suspend,
        };
        let by = by.clone();
        self.to_its_end(|core| async move { core.command(&by, id, input).await })
            .await
    }

    /// Sets what a client may set.
    pub(crate) async fn set(&self, by: &Caller, id: JobId, changes: Changes) -> Result<(), Error> {
        self.change(by, id, "modified", |job, now| {
            Ok((job.set(changes, now)?, None))
        })
        .await
    }

    /// Keeps credentials, encrypted, in the place of those for the same target
    /// and scheme.
    pub(crate) async fn set_credentials(
        &self,
        by: &Caller,
        id: JobId,
        credentials: Credentials,
    ) -> Result<(), Error> {
        self.change(by, id, "credentials_set", move |job, now| {
            let kept = Change::Credentials(id, credentials);
            Ok((job.touch(now)?, Some(kept)))
        })
        .await
    }

    /// Forgets credentials.
    pub(crate) async fn remove_credentials(
        &self,
        by: &Caller,
        id: JobId,
        target: AuthTarget,
        scheme: AuthScheme,
    ) -> Result<(), Error> {
        self.change(by, id, "credentials_removed", move |job, now| {
            let gone = Change::RemoveCredentials(id, target, scheme);
            Ok((job.touch(now)?, Some(gone)))
        })
        .await
    }

    /// Sets or removes the client certificate.
    pub(crate) async fn set_client_certificate(
        &self,
        by: &Caller,
        id: JobId,
        certificate: Option<ClientCertificate>,
    ) -> Result<(), Error> {
        if let Some(certificate) = &certificate {
            self.core
                .mover
                .check_client_certificate(certificate)
                .map_err(refused_by_transfer)?;
        }
        self.change(by, id, "certificate_set", move |job, now| {
            Ok((job.set_client_certificate(certificate, now)?, None))
        })
        .await
    }

    /// Sets the proxy.
    pub(crate) async fn set_proxy(
        &self,
        by: &Caller,
        id: JobId,
        proxy: Proxy,
    ) -> Result<(), Error> {
        self.change(by, id, "proxy_set", move |job, now| {
            Ok((job.set_proxy(proxy, now)?, None))
        })
        .await
    }

    /// The job as it is at this moment. Does not wait for the disk.
    pub(crate) fn job(&self, by: &Caller, id: JobId) -> Result<Job, Error> {
        let job = self.core.visible(by, id)?;
        Ok(self.core.as_of_now(job))
    }

    /// Files of a job in order, as they are at this moment: at most `limit`
    /// with an index of at least `from`. `job` is one that [`Engine::job`] or
    /// [`Engine::jobs`] has shown to who asks: it is not looked up again.
    pub(crate) fn files(&self, job: &Job, from: u32, limit: usize) -> Result<Vec<File>, Error> {
        let mut files = self.core.store.files(job.id, from, limit)?;
        if let Some(run) = self.core.run(job.id) {
            for file in &mut files {
                if let Some(written) = run.written(file.index) {
                    file.durable = file.durable.max(written);
                }
            }
        }
        Ok(files)
    }

    /// Jobs that the caller may see, in the order of their keys: at most
    /// `limit` that come after `after`.
    pub(crate) fn jobs(
        &self,
        by: &Caller,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Job>, Error> {
        let jobs = self.core.store.jobs(by.sees_only(), after, limit)?;
        Ok(jobs
            .into_iter()
            .map(|job| self.core.as_of_now(job))
            .collect())
    }

    /// How many jobs the caller may see.
    pub(crate) fn count(&self, by: &Caller) -> Result<u64, Error> {
        Ok(self.core.store.count(by.sees_only())?)
    }

    async fn change(
        &self,
        by: &Caller,
        id: JobId,
        kind: &'static str,
        change: impl FnOnce(&mut Job, Timestamp) -> Result<(Effect, Option<Change>), Refused>
        + Send
        + 'static,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.change(&by, id, kind, change).await })
            .await
    }

    async fn to_its_end<T, F>(&self, work: impl FnOnce(Arc<Core>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let task = self.core.tasks.spawn(work(Arc::clone(&self.core)));
        task.await
            .unwrap_or_else(|error| Err(Error::internal(&error)))
    }
}

impl Caller {
    fn may_touch(&self, job: &Job) -> bool {
        self.is_administrator || job.owner == self.owner
    }

    fn sees_only(&self) -> Option<&Owner> {
        (!self.is_administrator).then_some(&self.owner)
    }
}

/// What all parts of the engine share.
struct Core {
    settings: EngineSettings,
    store: Arc<dyn Store>,
    mover: Mover,
    desk: Desk,
    /// Who works on disk for a committed intent. Not the desk above: that work
    /// may take minutes, and the intent alone keeps everybody else away from
    /// the job.
    settling: Desk,
    /// Jobs that hold a slot.
    runs: Mutex<HashMap<JobId, Slot>>,
    /// Wakes the scheduler.
    look: Notify,
    /// No more slots are given.
    stop: CancellationToken,
    /// Everything that must end before the service does.
    tasks: TaskTracker,
}

/// A slot and who has it.
struct Slot {
    run: Arc<Run>,
    priority: Priority,
    started_at: Timestamp,
    /// Cancelled when the run has ended.
    ended: CancellationToken,
}

impl Core {
    async fn create(self: Arc<Self>, by: &Caller, wish: Wish) -> Result<JobId, Error> {
        let limit = self.settings.max_jobs_per_user;
        if limit > 0 && !by.is_administrator && self.store.count(Some(&by.owner))? >= limit {
            return Err(Error::refused(Hresult::BG_E_TOO_MANY_JOBS_PER_USER));
        }
        let mut files = Vec::with_capacity(wish.files.len());
        let mut destinations: HashSet<PathBuf> = HashSet::new();
        for (remote_url, local_file) in &wish.files {
            let file = self.check_file(remote_url, local_file)?;
            if !destinations.insert(folded(&file.path)) {
                return Err(lands_twice(local_file));
            }
            files.push(file);
        }
        self.check_file_count(by, files.len())?;
        let userinfo: Vec<Credentials> = files
            .iter()
            .filter_map(|file| file.userinfo.clone())
            .collect();
        let new = NewJob {
            display_name: wish.display_name,
            description: wish.description,
            files,
            suspended: wish.suspended,
        };
        let now = clock::now();
        let id = JobId::new();
        let (job, files) = Job::create(id, by.owner.clone(), new, now)?;
        let created = events::event(
            &job,
            "created",
            Some(&by.owner),
            format!("{} files", files.len()),
            now,
        );
        let mut changes = vec![Change::Job(job.clone()), created];
        if !wish.suspended {
            changes.push(events::entered(&job, Some(&by.owner), now));
        }
        changes.extend(files.into_iter().map(|file| Change::File(id, file)));
        changes.extend(
            userinfo
                .into_iter()
                .map(|user| Change::Credentials(id, user)),
        );
        self.store.commit(changes).await?;
        tracing::info!(job = %id, owner = %job.owner, files = job.files_total, "Job created");
        self.look();
        Ok(id)
    }

    async fn add_file(
        self: Arc<Self>,
        by: &Caller,
        id: JobId,
        remote_url: &str,
        local_file: &str,
    ) -> Result<(), Error> {
        let new = self.check_file(remote_url, local_file)?;
        let _hold = self.desk.hold(id).await;
        let mut job = self.visible(by, id)?;
        self.check_file_count(by, job.files_total as usize + 1)?;
        if self.store.file_at(id, &new.path)?.is_some() {
            return Err(lands_twice(local_file));
        }
        let userinfo = new.userinfo.clone();
        let file = job.add_file(new, clock::now())?;
        let mut changes = vec![Change::Job(job), Change::File(id, file)];
        changes.extend(userinfo.map(|user| Change::Credentials(id, user)));
        Ok(self.store.commit(changes).await?)
    }

    async fn command(self: Arc<Self>, by: &Caller, id: JobId, input: Input) -> Result<(), Error> {
        let effect = self
            .apply(id, input, Some(&by.owner), |core| core.visible(by, id))
            .await?;
        if matches!(effect, Effect::Settle(_)) {
            return settle::settle(&self, id, Some(&by.owner)).await;
        }
        Ok(())
    }

    async fn change(
        self: Arc<Self>,
        by: &Caller,
        id: JobId,
        kind: &'static str,
        change: impl FnOnce(&mut Job, Timestamp) -> Result<(Effect, Option<Change>), Refused>,
    ) -> Result<(), Error> {
        let _hold = self.desk.hold(id).await;
        let mut job = self.visible(by, id)?;
        let now = clock::now();
        let (effect, beside) = change(&mut job, now)?;
        if effect == Effect::Unchanged {
            return Ok(());
        }
        let priority = job.priority;
        let modified = events::event(&job, kind, Some(&by.owner), String::new(), now);
        let mut changes = vec![Change::Job(job), modified];
        changes.extend(beside);
        self.store.commit(changes).await?;
        if effect == Effect::Schedule {
            if let Some(slot) = self.runs().get_mut(&id) {
                slot.priority = priority;
            }
            self.look();
        }
        Ok(())
    }

    /// Moves a job on, of the engine's own accord. A job that has gone
    /// meanwhile is no error.
    async fn advance(&self, id: JobId, input: Input) -> Result<Effect, Error> {
        match self.apply(id, input, None, |core| core.stored(id)).await {
            Err(Error::NotFound) => Ok(Effect::Unchanged),
            other => other,
        }
    }

    async fn apply(
        &self,
        id: JobId,
        input: Input,
        by: Option<&Owner>,
        read: impl FnOnce(&Self) -> Result<Job, Error>,
    ) -> Result<Effect, Error> {
        let _hold = self.desk.hold(id).await;
        let mut job = read(self)?;
        let now = clock::now();
        let before = job.state;
        let effect = job.apply(input, now)?;
        if effect == Effect::Unchanged {
            return Ok(effect);
        }
        let mut changes = vec![Change::Job(job.clone())];
        let has_moved = job.state != before;
        if has_moved {
            changes.push(events::entered(&job, by, now));
        }
        self.store.commit(changes).await?;
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

    /// Ends the job's transfers, if there are any, and waits for it.
    async fn end_run(&self, id: JobId) {
        let ended = self.runs().get(&id).map(|slot| {
            slot.run.stop.cancel();
            slot.ended.clone()
        });
        if let Some(ended) = ended {
            ended.cancelled().await;
        }
    }

    fn check_file(&self, remote_url: &str, local_file: &str) -> Result<NewFile, Error> {
        let remote = self.mover.remote(remote_url).map_err(refused_by_transfer)?;
        let path = self
            .mover
            .destination(local_file)
            .map_err(refused_by_transfer)?;
        Ok(NewFile {
            remote_url: remote.url,
            local_file: local_file.to_owned(),
            path,
            userinfo: remote.userinfo,
        })
    }

    fn check_file_count(&self, by: &Caller, count: usize) -> Result<(), Error> {
        let limit = self.settings.max_files_per_job as usize;
        if limit > 0 && !by.is_administrator && count > limit {
            return Err(Error::refused(Hresult::BG_E_TOO_MANY_FILES_IN_JOB));
        }
        Ok(())
    }

    fn stored(&self, id: JobId) -> Result<Job, Error> {
        self.store.job(id)?.ok_or(Error::NotFound)
    }

    /// The job still holds its slot, and a file of it is missing; also when the
    /// store cannot say: a run that ended on a guess would leave the job in
    /// TRANSFERRING for good.
    fn has_work_to_run(&self, id: JobId) -> bool {
        match self.stored(id) {
            Ok(job) => {
                job.state.is_running()
                    && job.intent.is_none()
                    && job.files_transferred < job.files_total
            }
            Err(Error::NotFound | Error::Refused { .. }) => false,
            Err(Error::Unavailable) => true,
        }
    }

    fn visible(&self, by: &Caller, id: JobId) -> Result<Job, Error> {
        self.store
            .job(id)?
            .filter(|job| by.may_touch(job))
            .ok_or(Error::NotFound)
    }

    fn as_of_now(&self, job: Job) -> Job {
        match self.run(job.id) {
            Some(run) => {
                let octets = run.overlay(&job);
                job.with_progress(octets)
            }
            None => job,
        }
    }

    fn run(&self, id: JobId) -> Option<Arc<Run>> {
        self.runs().get(&id).map(|slot| Arc::clone(&slot.run))
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<JobId, Slot>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the scheduler look.
    fn look(&self) {
        self.look.notify_one();
    }
}

/// Gives and takes slots, and wakes jobs whose delay is over, until the
/// service stops.
async fn schedule(core: Arc<Core>) {
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

impl Error {
    fn refused(code: Hresult) -> Self {
        Self::Refused {
            code,
            detail: code.to_string(),
        }
    }

    /// Something that cannot happen did; the log has it.
    fn internal(cause: &tokio::task::JoinError) -> Self {
        error!(%cause, "Part of the engine failed");
        Self::Unavailable
    }
}

impl From<Refused> for Error {
    fn from(Refused(code): Refused) -> Self {
        Self::refused(code)
    }
}

impl From<crate::store::Error> for Error {
    fn from(error: crate::store::Error) -> Self {
        error!(%error, "Job store failed");
        Self::Unavailable
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn refused_by_transfer(failure: Failure) -> Error {
    Error::Refused {
        code: failure.code,
        detail: format!("{}: {}", failure.code, failure.detail),
    }
}

fn lands_twice(local_file: &str) -> Error {
    let code = Hresult::ERROR_FILE_EXISTS;
    Error::Refused {
        code,
        detail: format!("{code}: another file of the job lands at {local_file}"),
    }
}

/// The path as names are compared without regard to case.
fn folded(path: &std::path::Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().to_lowercase())
}

/// After a failure of the store, until the scheduler looks again.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Jobs to wake that are looked at together.
const WAITING_PAGE: usize = 64;

/// The clock of the day may be set; sleep no longer than this on its word.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
