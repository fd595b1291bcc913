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
mod core;
mod desk;
mod events;
mod farewell;
mod jumps;
mod network;
mod options;
mod pace;
mod readable;
mod routes;
mod runner;
mod scheduler;
mod settle;
mod slots;
mod standing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;
use tracing::warn;

use self::clock::Clock;
use self::core::Core;
use self::core::refused_by_transfer;
use self::desk::Desk;
use self::network::Network;
pub(crate) use self::options::WishedOptions;
use self::runner::Run;
pub(crate) use self::standing::Standing;
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
use crate::bits::JobOptions;
use crate::bits::JobType;
use crate::bits::Now;
use crate::bits::Owner;
use crate::bits::Proxy;
use crate::bits::Refused;
use crate::bits::ReplyProgress;
use crate::bits::Secret;
use crate::bits::Span;
use crate::config::Bounds;
use crate::config::EngineSettings;
use crate::store::Change;
use crate::store::Listing;
use crate::store::Place;
use crate::store::Selection;
use crate::store::Store;
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
    /// To whose jobs he may do what he asks for.
    pub(crate) may: Whose,
    /// Whose jobs he may know of: to him there are no others.
    pub(crate) knows: Whose,
    /// Limits for everybody are not for him.
    pub(crate) is_administrator: bool,
    /// How many jobs he may have, 0: no limit; none: as everybody.
    pub(crate) max_jobs: Option<u64>,
    /// Below which folders files that he adds may land; none: wherever any may.
    pub(crate) write_roots: Option<Arc<[PathBuf]>>,
    /// Below which folders the sources of uploads that he adds may lie; none:
    /// below any read root.
    pub(crate) read_roots: Option<Arc<[PathBuf]>>,
}

/// Of whose jobs something holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whose {
    /// One's own.
    Own,
    /// Everybody's.
    All,
}

/// Says what the jobs of an account may not go beyond.
pub(crate) type BoundsOf = Box<dyn Fn(&Owner) -> Bounds + Send + Sync>;

/// A job as a client asks for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Which way its octets go.
    pub(crate) kind: JobType,
    /// Its name.
    pub(crate) display_name: String,
    /// What it is for.
    pub(crate) description: String,
    /// Its files, in order.
    pub(crate) files: Vec<WishedFile>,
    /// Suspended rather than started at once.
    pub(crate) suspended: bool,
    /// What is set of it before anybody sees it.
    pub(crate) changes: Changes,
    /// What else is set of it.
    pub(crate) options: JobOptions,
    /// Custom headers, checked.
    pub(crate) headers: Option<Secret>,
}

/// A file as a client asks for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct WishedFile {
    /// Where it comes from; of an upload, where it goes.
    pub(crate) remote_url: String,
    /// Where it goes; of an upload, where it comes from.
    pub(crate) local_file: String,
    /// The parts that are wanted, in this order; none: all of it.
    pub(crate) ranges: Vec<Span>,
    /// SHA-256 that it must have.
    pub(crate) sha256: Option<[u8; 32]>,
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
    /// The caller may know of the job, but not do this to it.
    #[error("the job is another's")]
    Denied,
    /// It does not fit; nothing was changed.
    #[error("{code}{}{detail}", if detail.is_empty() { "" } else { ": " })]
    Refused {
        /// Which error.
        code: Hresult,
        /// What a person needs beside the code's sentence; often nothing.
        detail: String,
    },
    /// The store cannot keep it; the log has the cause.
    #[error("the job store is not available")]
    Unavailable,
}

impl Engine {
    /// Finishes what a stop interrupted, then starts to run jobs. Their owners'
    /// `bounds` count whenever files are added, fetched and put in their places.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the store cannot be read.
    pub(crate) async fn start(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        mover: Mover,
        bounds: BoundsOf,
    ) -> Result<Self, Error> {
        let clock = Clock::resume(store.clock()?.as_ref());
        let core = Arc::new(Core {
            settings,
            store,
            mover,
            bounds,
            clock,
            network: Network::new(),
            desk: Desk::default(),
            settling: Desk::default(),
            runs: Mutex::default(),
            look: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            #[cfg(test)]
            stage: None,
        });
        slots::keep_clock(&core).await;
        settle::recover(&core).await?;
        let scheduler = tokio::spawn(slots::schedule(Arc::clone(&core)));
        core.tasks.spawn(network::watch(Arc::clone(&core)));
        core.tasks.spawn(jumps::watch(Arc::clone(&core)));
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
            if let Err(error) = self.core.advance(id, Input::Interrupted).await {
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
        file: WishedFile,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.to_its_end(|core| async move { core.add_file(&by, id, &file).await })
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
        self.core
            .mover
            .check_credentials(&credentials)
            .map_err(refused_by_transfer)?;
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
    ///
    /// # Errors
    ///
    /// As those of [`crate::transfer::Mover::check_proxy`], too.
    pub(crate) async fn set_proxy(
        &self,
        by: &Caller,
        id: JobId,
        proxy: Proxy,
    ) -> Result<(), Error> {
        self.core
            .mover
            .check_proxy(&proxy)
            .map_err(refused_by_transfer)?;
        self.core.check_secrets(by, &self.core.visible(by, id)?)?;
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

    /// What came back for an upload-reply that is transferred, at most a MiB
    /// (`GetReplyData`).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with `E_NOTIMPL` when the job is no upload-reply,
    /// `BG_E_INVALID_STATE` when the reply is not here yet, `BG_E_TOO_LARGE` when
    /// it is larger.
    pub(crate) async fn reply_data(&self, by: &Caller, id: JobId) -> Result<Vec<u8>, Error> {
        let job = self.core.visible(by, id)?;
        if !self.reply_progress(by, id)?.transferred {
            return Err(Error::refused(Hresult::BG_E_INVALID_STATE));
        }
        let Some(reply) = job.options.reply.clone() else {
            return Err(Error::refused(Hresult::BG_E_INVALID_STATE));
        };
        let bounds = (self.core.bounds)(&job.owner);
        let mover = self.core.mover.clone();
        let read = tokio::task::spawn_blocking(move || mover.reply_data(id, &reply, &bounds));
        match read.await {
            Ok(read) => read.map_err(refused_by_transfer),
            Err(panicked) => Err(Error::internal(&panicked)),
        }
    }

    /// How far the reply of an upload-reply has come (`GetReplyProgress`).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with `E_NOTIMPL` when the job is no upload-reply.
    pub(crate) fn reply_progress(&self, by: &Caller, id: JobId) -> Result<ReplyProgress, Error> {
        let job = self.core.visible(by, id)?;
        if job.kind != JobType::UploadReply {
            return Err(Error::refused(Hresult::E_NOTIMPL));
        }
        let file = self.core.store.files(id, 0, 1)?.into_iter().next();
        let upload = file.and_then(|file| file.upload);
        Ok(upload.and_then(|upload| upload.reply).unwrap_or_default())
    }

    /// Jobs of `selection` that the caller may have listed, in a stable order: looks at
    /// `limit` jobs at most that come after `after`.
    pub(crate) fn jobs(
        &self,
        by: &Caller,
        selection: &Selection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Listing, Error> {
        // INVARIANT: whatever way the store takes, it gives nothing that is
        // not in its selection.
        let visible = selection.of(by.lists_only());
        let mut listing = self.core.store.jobs(&visible, after, limit)?;
        listing.jobs = listing
            .jobs
            .into_iter()
            .filter(|(job, _)| !job.is_leaving())
            .map(|(job, place)| (self.core.as_of_now(job), place))
            .collect();
        Ok(listing)
    }

    /// Those who own the jobs that the caller may see; none when there are
    /// more than `most`.
    pub(crate) fn owners(&self, by: &Caller, most: usize) -> Result<Option<Vec<Owner>>, Error> {
        if let Some(owner) = by.lists_only() {
            return Ok(Some(vec![owner.clone()]));
        }
        let owners = self.core.store.owners(most.saturating_add(1))?;
        Ok((owners.len() <= most).then_some(owners))
    }

    /// How many jobs the caller may see.
    pub(crate) fn count(&self, by: &Caller) -> Result<u64, Error> {
        Ok(self.core.store.count(by.lists_only())?)
    }

    async fn change(
        &self,
        by: &Caller,
        id: JobId,
        kind: &'static str,
        change: impl FnOnce(&mut Job, Now) -> Result<(Effect, Option<Change>), Refused> + Send + 'static,
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
    /// A job as he may have it for what he asks.
    fn check(&self, job: Job) -> Result<Job, Error> {
        let is_of = |whose| whose == Whose::All || job.owner == self.owner;
        match (is_of(self.may), is_of(self.knows)) {
            (true, _) => Ok(job),
            (false, true) => Err(Error::Denied),
            (false, false) => Err(Error::NotFound),
        }
    }

    /// The one owner whose jobs are listed for him.
    fn lists_only(&self) -> Option<&Owner> {
        match self.may {
            Whose::Own => Some(&self.owner),
            Whose::All => None,
        }
    }

    /// Somebody with all rights on his own jobs, or an administrator.
    #[cfg(test)]
    pub(crate) fn for_test(owner: &str, whose: Whose) -> Self {
        Self {
            owner: Owner::new(owner),
            may: whose,
            knows: whose,
            is_administrator: whose == Whose::All,
            max_jobs: None,
            write_roots: None,
            read_roots: None,
        }
    }
}

impl Error {
    fn refused(code: Hresult) -> Self {
        Self::Refused {
            code,
            detail: String::new(),
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

#[cfg(test)]
mod tests;
