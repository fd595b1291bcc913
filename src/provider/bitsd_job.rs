//! `BitsdJob`: transfer jobs with all that can be set of them, in the namespace
//! `root/bitsd`.
//!
//! The jobs, keys and rights are those of `BitsClientJob`; what that class has
//! is answered by its provider. An enumeration of `BitsClientJob` never gives
//! these instances: classes of two namespaces have none in common.

mod arguments;
mod properties;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::About;
use super::Answer;
use super::Error;
use super::Keys;
use super::Page;
use super::Provider;
use super::Query;
use super::View;
use super::bits_client_job::BitsClientJob;
use super::bits_client_job::arguments as base;
use super::bits_client_job::caller;
use super::bits_client_job::job_id;
use crate::auth::Principal;
use crate::bits::Changes;
use crate::bits::Declined;
use crate::bits::OptionChange;
use crate::cim::Catalog;
use crate::cim::Instance;
use crate::cim::NotInSchema;
use crate::cim::Value;
use crate::cim::Values;
use crate::config::Right;
use crate::engine::Caller;
use crate::engine::Engine;
use crate::engine::WishedOptions;
pub(super) use arguments::address;

/// The provider of jobs with all their options.
pub(crate) struct BitsdJob {
    jobs: BitsClientJob,
}

impl BitsdJob {
    /// Shows the jobs of `engine` as instances of the class that `catalog`
    /// defines.
    ///
    /// # Errors
    ///
    /// [`NotInSchema`] when the catalog lacks the class, or that of the files.
    pub(crate) fn new(engine: Engine, catalog: &Catalog) -> Result<Self, NotInSchema> {
        let jobs = BitsClientJob::derived(engine, catalog, (NAMESPACE, CLASS), properties::fill)?;
        Ok(Self { jobs })
    }

    fn engine(&self) -> &Engine {
        &self.jobs.engine
    }

    /// One of the methods that the class adds or takes more with; none when it
    /// is another.
    async fn own(
        &self,
        by: &Caller,
        keys: &Keys,
        method: &str,
        arguments: &mut Values,
    ) -> Result<Option<Values>, Error> {
        let mut out = Values::new();
        if method == "CreateJob" {
            let wish = arguments::wish(arguments)?;
            let id = self.engine().create(by, wish).await?;
            out.insert("JobId", Some(Value::String(id.to_string())));
            return Ok(Some(out));
        }
        if let Some(declined) = declined(method) {
            // Who may not see the job learns nothing of it.
            self.engine().job(by, job_id(keys)?)?;
            return Err(declined.into());
        }
        let id = job_id(keys)?;
        match method {
            "AddFile" => {
                let file = arguments::file(arguments)?;
                self.engine().add_file(by, id, file).await?;
            }
            "AddFileSet" => {
                let files = arguments::files(arguments.take("Files"))?;
                self.engine().add_files(by, id, files).await?;
            }
            "ReplaceRemotePrefix" => {
                let old = base::text(arguments, "OldPrefix")?;
                let new = base::text(arguments, "NewPrefix")?;
                let engine = self.engine();
                let changed = engine.replace_remote_prefix(by, id, old, new).await?;
                out.insert("FilesChanged", Some(Value::Uint32(changed)));
            }
            "TakeOwnership" => self.engine().take_ownership(by, id).await?,
            "MakeCustomHeadersWriteOnly" => {
                self.set(by, keys, OptionChange::HeadersWriteOnly).await?;
            }
            "GetReplyData" => {
                let octets = self.engine().reply_data(by, id).await?;
                let length = u64::try_from(octets.len()).unwrap_or(u64::MAX);
                out.insert("Length", Some(Value::Uint64(length)));
                out.insert("ReplyData", Some(Value::String(STANDARD.encode(octets))));
            }
            "SetProperty" => {
                let change = arguments::numbered_property(arguments)?;
                self.set(by, keys, change).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(out))
    }

    async fn set(&self, by: &Caller, keys: &Keys, change: OptionChange) -> Result<(), Error> {
        let options = WishedOptions {
            changes: vec![change],
            headers: None,
        };
        let (id, nothing) = (job_id(keys)?, Changes::default());
        Ok(self.engine().set_all(by, id, nothing, options).await?)
    }
}

impl Provider for BitsdJob {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn get<'a>(
        &'a self,
        by: &'a Principal,
        keys: &'a Keys,
        view: View<'a>,
    ) -> Answer<'a, Instance> {
        self.jobs.get(by, keys, view)
    }

    fn create<'a>(&'a self, by: &'a Principal, values: Values) -> Answer<'a, Keys> {
        Box::pin(async move {
            let wish = arguments::creation(values)?;
            let id = self
                .engine()
                .create(&caller(by, Right::Write), wish)
                .await?;
            Ok(vec![(KEY.to_owned(), id.to_string())])
        })
    }

    fn put<'a>(&'a self, by: &'a Principal, keys: &'a Keys, mut values: Values) -> Answer<'a, ()> {
        Box::pin(async move {
            let id = job_id(keys)?;
            let options = arguments::options(&mut values)?;
            let changes = base::changes(&values)?;
            let by = caller(by, Right::Write);
            Ok(self.engine().set_all(&by, id, changes, options).await?)
        })
    }

    fn delete<'a>(&'a self, by: &'a Principal, keys: &'a Keys) -> Answer<'a, ()> {
        self.jobs.delete(by, keys)
    }

    fn invoke<'a>(
        &'a self,
        by: &'a Principal,
        keys: &'a Keys,
        method: &'a str,
        mut arguments: Values,
    ) -> Answer<'a, Values> {
        Box::pin(async move {
            let as_caller = caller(by, Right::Invoke);
            match self.own(&as_caller, keys, method, &mut arguments).await? {
                Some(out) => Ok(out),
                None => self.jobs.invoke(by, keys, method, arguments).await,
            }
        })
    }

    fn page<'a>(&'a self, by: &'a Principal, query: Query<'a>) -> Answer<'a, Page> {
        self.jobs.page(by, query)
    }

    fn count<'a>(&'a self, by: &'a Principal) -> Answer<'a, u64> {
        self.jobs.count(by)
    }
}

impl From<Declined> for Error {
    fn from(declined: Declined) -> Self {
        Self::Failed {
            code: declined.fault(),
            about: About::Detail(declined.sentence().to_owned()),
        }
    }
}

/// What a method that is declined would do.
fn declined(method: &str) -> Option<Declined> {
    Some(match method {
        "SetNotifyFlags" => Declined::Notifications,
        "SetNotifyCmdLine" => Declined::NotifyCommandLine,
        "SetFileACLFlags" => Declined::FileAcl,
        "SetPeerCachingFlags" => Declined::PeerCaching,
        "SetHelperToken" | "SetHelperTokenFlags" => Declined::HelperTokens,
        "SetServerCertificateValidationInterface" => Declined::CertificateCallback,
        "RequestFileRanges" => Declined::OnDemand,
        _ => return None,
    })
}

/// Namespace of our own classes.
pub(super) const NAMESPACE: &str = "root/bitsd";

const CLASS: &str = "BitsdJob";

const KEY: &str = "JobId";

#[cfg(test)]
mod tests;
