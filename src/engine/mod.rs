//! Runs jobs: takes commands, gives slots to what is most urgent, keeps what
//! transfers report, finishes what a stop interrupted.
//!
//! Knows nothing of SOAP, CIM or serving HTTP.

use std::sync::Arc;

use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Changes;
use crate::bits::ClientCertificate;
use crate::bits::Credentials;
use crate::bits::File;
use crate::bits::Hresult;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Proxy;
use crate::config::EngineSettings;
use crate::store::Store;
use crate::transfer::Mover;

/// The one engine of the service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine;

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
        let _ = (settings, store, mover);
        todo!()
    }

    /// Ends every transfer at a point from which it goes on after a start.
    pub(crate) async fn stop(&self) {
        todo!()
    }

    /// Makes a job. Durable when it answers, as is every change below.
    pub(crate) async fn create(&self, by: &Caller, wish: Wish) -> Result<JobId, Error> {
        let _ = (by, wish);
        todo!()
    }

    /// Adds a file at the end of a job.
    pub(crate) async fn add_file(
        &self,
        by: &Caller,
        id: JobId,
        remote_url: String,
        local_file: String,
    ) -> Result<(), Error> {
        let _ = (by, id, remote_url, local_file);
        todo!()
    }

    /// Starts, holds, completes or cancels a job. After Complete and Cancel
    /// the job is gone.
    pub(crate) async fn command(
        &self,
        by: &Caller,
        id: JobId,
        command: Command,
    ) -> Result<(), Error> {
        let _ = (by, id, command);
        todo!()
    }

    /// Sets what a client may set.
    pub(crate) async fn set(&self, by: &Caller, id: JobId, changes: Changes) -> Result<(), Error> {
        let _ = (by, id, changes);
        todo!()
    }

    /// Keeps credentials, encrypted, in the place of those for the same target
    /// and scheme.
    pub(crate) async fn set_credentials(
        &self,
        by: &Caller,
        id: JobId,
        credentials: Credentials,
    ) -> Result<(), Error> {
        let _ = (by, id, credentials);
        todo!()
    }

    /// Forgets credentials.
    pub(crate) async fn remove_credentials(
        &self,
        by: &Caller,
        id: JobId,
        target: AuthTarget,
        scheme: AuthScheme,
    ) -> Result<(), Error> {
        let _ = (by, id, target, scheme);
        todo!()
    }

    /// Sets or removes the client certificate.
    pub(crate) async fn set_client_certificate(
        &self,
        by: &Caller,
        id: JobId,
        certificate: Option<ClientCertificate>,
    ) -> Result<(), Error> {
        let _ = (by, id, certificate);
        todo!()
    }

    /// Sets the proxy.
    pub(crate) async fn set_proxy(
        &self,
        by: &Caller,
        id: JobId,
        proxy: Proxy,
    ) -> Result<(), Error> {
        let _ = (by, id, proxy);
        todo!()
    }

    /// The job as it is at this moment. Does not wait for the disk.
    pub(crate) fn job(&self, by: &Caller, id: JobId) -> Result<Job, Error> {
        let _ = (by, id);
        todo!()
    }

    /// Files of a job in order, as they are at this moment: at most `limit`
    /// with an index of at least `from`.
    pub(crate) fn files(
        &self,
        by: &Caller,
        id: JobId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<File>, Error> {
        let _ = (by, id, from, limit);
        todo!()
    }

    /// Jobs that the caller may see, in the order of their keys: at most
    /// `limit` that come after `after`.
    pub(crate) fn jobs(
        &self,
        by: &Caller,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<Job>, Error> {
        let _ = (by, after, limit);
        todo!()
    }

    /// How many jobs the caller may see.
    pub(crate) fn count(&self, by: &Caller) -> Result<u64, Error> {
        let _ = by;
        todo!()
    }
}
