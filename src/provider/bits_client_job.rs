//! `BitsClientJob`: transfer jobs as the BITS provider shows them.
//!
//! Follows the pages "`BitsClientJob` class" and those of its methods. What
//! they leave open is decided here: `Description` is empty and
//! `JobCompletionTime` 0 when unset, `Owner` is the account name, `JobId` is
//! shown in braces and upper case, and `Files` is null where it cannot fit
//! (`FilesTotal` still says how many there are).

pub(super) mod arguments;
pub(super) mod selection;

use std::sync::Arc;

use self::selection::Sieve;
use super::About;
use super::Answer;
use super::Cursor;
use super::Error;
use super::Keys;
use super::Page;
use super::Provider;
use super::Query;
use super::View;
use super::bits_client_file;
use super::bits_client_file::Onlooker;
use crate::auth::Principal;
use crate::auth::Scope;
use crate::bits::ClientCertificate;
use crate::bits::Hresult;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Language;
use crate::bits::Owner;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::bits::names;
use crate::cim::Catalog;
use crate::cim::Class;
use crate::cim::Condition;
use crate::cim::Instance;
use crate::cim::NotInSchema;
use crate::cim::Value;
use crate::cim::Values;
use crate::config::Right;
use crate::engine;
use crate::engine::Caller;
use crate::engine::Command;
use crate::engine::Engine;
use crate::engine::Whose;
use crate::store::Place;

/// The provider of jobs.
pub(crate) struct BitsClientJob {
    pub(super) engine: Engine,
    job_class: Arc<Class>,
    file_class: Arc<Class>,
    /// What fills in the properties that a derived class adds.
    more: Option<More>,
}

/// Sets those properties of a derived class that are wanted; gives about how
/// many octets they take.
pub(super) type More = fn(
    engine: &Engine,
    by: &Caller,
    job: &Job,
    instance: &mut Instance,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<usize, Error>;

impl BitsClientJob {
    /// Shows the jobs of `engine` as instances of the class that `catalog`
    /// defines.
    ///
    /// # Errors
    ///
    /// [`NotInSchema`] when the catalog lacks the class, or that of the files.
    pub(crate) fn new(engine: Engine, catalog: &Catalog) -> Result<Self, NotInSchema> {
        Ok(Self {
            engine,
            job_class: class(catalog, NAMESPACE, CLASS)?,
            file_class: class(catalog, NAMESPACE, bits_client_file::CLASS)?,
            more: None,
        })
    }

    /// The same jobs as instances of a derived class, whose own properties `more`
    /// fills in.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub(super) fn derived(
        engine: Engine,
        catalog: &Catalog,
        (namespace, name): (&str, &str),
        more: More,
    ) -> Result<Self, NotInSchema> {
        Ok(Self {
            engine,
            job_class: class(catalog, namespace, name)?,
            file_class: class(catalog, namespace, bits_client_file::CLASS)?,
            more: Some(more),
        })
    }

    /// Those properties of `job` that are wanted, without its files, and about
    /// how many octets they take.
    fn properties(
        &self,
        by: &Caller,
        job: &Job,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<(Instance, usize), Error> {
        let mut instance = some_properties(&self.job_class, job, is_wanted)?;
        let more = match self.more {
            Some(more) => more(&self.engine, by, job, &mut instance, is_wanted)?,
            None => 0,
        };
        Ok((instance, LEAST_SIZE + more))
    }

    /// What finds the jobs that `condition` holds for.
    fn sieve<'c>(&self, by: &Caller, condition: Option<&'c Condition>) -> Result<Sieve<'c>, Error> {
        let Some(condition) = condition else {
            return Ok(Sieve::all());
        };
        let owners = match selection::most_owners(condition) {
            Some(most) => self.engine.owners(by, most)?,
            None => None,
        };
        Ok(Sieve::new(condition, &self.job_class, owners.as_deref())?)
    }

    /// The instance of `job`, and about how many octets it takes.
    async fn instance(
        &self,
        by: &Caller,
        job: &Job,
        view: View<'_>,
    ) -> Result<(Instance, usize), Error> {
        let is_wanted = |name: &str| {
            view.only
                .is_none_or(|only| only.iter().any(|wanted| wanted == name))
        };
        let (mut instance, mut size) = self.properties(by, job, &is_wanted)?;
        if is_wanted(FILES)
            && let Some((files, files_size)) = self.files(by, job, view.room).await?
        {
            instance.set(FILES, Value::Array(files))?;
            size += files_size;
        }
        Ok((instance, size))
    }

    /// The files of a job and about how many octets they take; none when that
    /// is more than `room`.
    async fn files(
        &self,
        by: &Caller,
        job: &Job,
        room: usize,
    ) -> Result<Option<(Vec<Value>, usize)>, Error> {
        let total = usize::try_from(job.files_total).unwrap_or(usize::MAX);
        if total.saturating_mul(bits_client_file::LEAST_SIZE) > room {
            return Ok(None);
        }
        let onlooker = if job.shows_queries_to(&by.owner) {
            Onlooker::Owner
        } else {
            Onlooker::Other
        };
        let mut size = 0;
        let mut values = Vec::with_capacity(total);
        let mut from = 0;
        loop {
            let files = self.engine.files(job, from, FILES_PAGE)?;
            let is_last = files.len() < FILES_PAGE;
            for file in files {
                from = file.index.saturating_add(1);
                size +=
                    bits_client_file::LEAST_SIZE + file.remote_url.len() + file.local_file.len();
                let file = bits_client_file::instance(&self.file_class, file, onlooker)?;
                values.push(Value::Instance(Box::new(file)));
            }
            if size > room {
                return Ok(None);
            }
            if is_last {
                return Ok(Some((values, size)));
            }
            // There may be tens of thousands.
            tokio::task::yield_now().await;
        }
    }

    async fn create_job(&self, by: &Caller, arguments: &Values) -> Result<Values, Error> {
        let id = self.engine.create(by, arguments::wish(arguments)?).await?;
        let mut out = Values::new();
        out.insert("JobId", Some(Value::String(id.to_string())));
        Ok(out)
    }

    async fn set_certificate(
        &self,
        by: &Caller,
        id: JobId,
        certificate: ClientCertificate,
    ) -> Result<(), Error> {
        // Who may not see the job learns nothing of certificates.
        self.engine.job(by, id)?;
        self.engine
            .set_client_certificate(by, id, Some(certificate))
            .await?;
        Ok(())
    }
}

impl Provider for BitsClientJob {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn get<'a>(
        &'a self,
        by: &'a Principal,
        keys: &'a Keys,
        view: View<'a>,
    ) -> Answer<'a, Instance> {
        Box::pin(async move {
            let by = caller(by, Right::Read);
            let job = self.engine.job(&by, job_id(keys)?)?;
            Ok(self.instance(&by, &job, view).await?.0)
        })
    }

    fn create<'a>(&'a self, by: &'a Principal, values: Values) -> Answer<'a, Keys> {
        Box::pin(async move {
            let wish = arguments::creation(values)?;
            let id = self.engine.create(&caller(by, Right::Write), wish).await?;
            Ok(vec![(KEY.to_owned(), id.to_string())])
        })
    }

    fn put<'a>(&'a self, by: &'a Principal, keys: &'a Keys, values: Values) -> Answer<'a, ()> {
        Box::pin(async move {
            let (id, changes) = (job_id(keys)?, arguments::changes(&values)?);
            Ok(self
                .engine
                .set(&caller(by, Right::Write), id, changes)
                .await?)
        })
    }

    fn delete<'a>(&'a self, by: &'a Principal, keys: &'a Keys) -> Answer<'a, ()> {
        Box::pin(async move {
            let id = job_id(keys)?;
            Ok(self
                .engine
                .command(&caller(by, Right::Write), id, Command::Cancel)
                .await?)
        })
    }

    fn invoke<'a>(
        &'a self,
        by: &'a Principal,
        keys: &'a Keys,
        method: &'a str,
        arguments: Values,
    ) -> Answer<'a, Values> {
        Box::pin(async move {
            let (by, arguments) = (caller(by, Right::Invoke), &arguments);
            if method == "CreateJob" {
                return self.create_job(&by, arguments).await;
            }
            let id = job_id(keys)?;
            match method {
                "AddFile" => {
                    let file = arguments::file(arguments)?;
                    self.engine.add_file(&by, id, file).await?;
                }
                "SetJobState" => {
                    let command = arguments::command(arguments)?;
                    self.engine.command(&by, id, command).await?;
                }
                "GetError" => {
                    let language = arguments::language(arguments)?;
                    return error_of(&self.engine.job(&by, id)?, language);
                }
                "SetCredentials" => {
                    let credentials = arguments::credentials(arguments)?;
                    self.engine.set_credentials(&by, id, credentials).await?;
                }
                "RemoveCredentials" => {
                    let (target, scheme) = arguments::target_and_scheme(arguments)?;
                    self.engine
                        .remove_credentials(&by, id, target, scheme)
                        .await?;
                }
                "SetClientCertificateById" => {
                    let certificate = arguments::certificate_by_hash(arguments)?;
                    self.set_certificate(&by, id, certificate).await?;
                }
                "SetClientCertificateByName" => {
                    let certificate = arguments::certificate_by_name(arguments)?;
                    self.set_certificate(&by, id, certificate).await?;
                }
                "RemoveClientCertificate" => {
                    self.engine.set_client_certificate(&by, id, None).await?;
                }
                "SetProxySettings" => {
                    let proxy = arguments::proxy(arguments)?;
                    self.engine.set_proxy(&by, id, proxy).await?;
                }
                _ => return Err(Error::NotSupported),
            }
            Ok(Values::new())
        })
    }

    fn page<'a>(&'a self, by: &'a Principal, query: Query<'a>) -> Answer<'a, Page> {
        Box::pin(async move {
            let by = caller(by, Right::Read);
            let sieve = self.sieve(&by, query.condition)?;
            let (limit, room) = (query.limit.max(1), query.view.room);
            let mut place = query.after.map(read_cursor).transpose()?;
            let mut items = Vec::with_capacity(limit.min(SLICE));
            // The place behind what was looked at since the last item.
            let mut reached = None;
            let (mut used, mut looked_at, mut since_yield) = (0, 0, 0);
            let mut slice = sieve.first_slice(limit);
            let most_looked_at = SLICES * sieve.slice;
            let is_last = 'page: loop {
                let most = slice.min(most_looked_at - looked_at);
                let listing = self.engine.jobs(&by, &sieve.selection, place, most)?;
                for (job, behind) in &listing.jobs {
                    let passes = sieve.passes(|is_wanted| {
                        let (instance, _) = self.properties(&by, job, is_wanted)?;
                        Ok(instance)
                    })?;
                    if passes {
                        // What does not fit into this answer is the next one's.
                        if items.len() == limit || used > room {
                            break 'page false;
                        }
                        let (instance, size) = self.instance(&by, job, query.view).await?;
                        used += size;
                        items.push((instance, write_cursor(*behind)));
                        reached = None;
                    } else {
                        reached = Some(*behind);
                    }
                    place = Some(*behind);
                }
                if listing.reached.is_some() && listing.reached != place {
                    place = listing.reached;
                    reached = place;
                }
                if listing.is_last {
                    break true;
                }
                looked_at += most;
                since_yield += most;
                if since_yield >= sieve.slice {
                    since_yield = 0;
                    // A read never waits: without this, others would, and
                    // nothing could end the operation when its time is over.
                    tokio::task::yield_now().await;
                }
                if items.len() == limit || used > room || looked_at == most_looked_at {
                    break false;
                }
                slice = sieve.next_slice(slice, limit - items.len());
            };
            Ok(Page {
                items,
                reached: reached.map(write_cursor),
                is_last,
            })
        })
    }

    fn count<'a>(&'a self, by: &'a Principal) -> Answer<'a, u64> {
        Box::pin(async move { Ok(self.engine.count(&caller(by, Right::Read))?) })
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::NotFound => Self::NotFound,
            engine::Error::Denied => Self::Denied,
            engine::Error::Refused { code, detail } => Self::Failed {
                code,
                about: if detail.is_empty() {
                    About::Nothing
                } else {
                    About::Detail(detail)
                },
            },
            engine::Error::Unavailable => Self::Unavailable,
        }
    }
}

/// A schema that lacks what its provider fills is a fault of this program; a
/// test holds the two together.
impl From<NotInSchema> for Error {
    fn from(error: NotInSchema) -> Self {
        tracing::error!(%error, "Schema and provider differ");
        Self::Unavailable
    }
}

/// The class with this name.
pub(super) fn class(
    catalog: &Catalog,
    namespace: &str,
    name: &str,
) -> Result<Arc<Class>, NotInSchema> {
    let class = catalog.class(namespace, name).cloned();
    class.ok_or_else(|| NotInSchema {
        class: name.to_owned(),
        property: String::new(),
    })
}

/// Every property of a job but its files.
#[cfg(test)]
fn without_files(class: &Arc<Class>, job: &Job) -> Result<Instance, NotInSchema> {
    some_properties(class, job, |_| true)
}

/// The properties of a job that are wanted, without its files.
fn some_properties(
    class: &Arc<Class>,
    job: &Job,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Instance, NotInSchema> {
    let mut instance = Instance::new(class);
    let mut set = |name, value: &dyn Fn() -> Value| {
        if is_wanted(name) {
            instance.set(name, value())?;
        }
        Ok(())
    };
    set("JobId", &|| Value::String(job.id.to_string()))?;
    set("DisplayName", &|| Value::String(job.display_name.clone()))?;
    set("Description", &|| Value::String(job.description.clone()))?;
    set("Priority", &|| Value::Uint32(job.priority as u32))?;
    set("MinimumRetryDelay", &|| seconds(job.minimum_retry_delay))?;
    set("NoProgressTimeout", &|| seconds(job.no_progress_timeout))?;
    set("JobCreationTime", &|| Value::Uint64(job.created_at.ticks()))?;
    set("JobLastModificationTime", &|| {
        Value::Uint64(job.modified_at.ticks())
    })?;
    set("JobCompletionTime", &|| {
        Value::Uint64(job.transferred_at.map_or(0, Timestamp::ticks))
    })?;
    set("BytesTotal", &|| {
        Value::Uint64(job.bytes_total().unwrap_or(bits_client_file::UNKNOWN))
    })?;
    set("BytesTransferred", &|| Value::Uint64(job.bytes_transferred))?;
    set("FilesTotal", &|| Value::Uint32(job.files_total))?;
    set("FilesTransferred", &|| Value::Uint32(job.files_transferred))?;
    set("TransientErrorCount", &|| {
        Value::Uint32(job.transient_error_count)
    })?;
    set("State", &|| Value::Uint16(job.state as u16))?;
    set("Owner", &|| Value::String(job.owner.as_str().to_owned()))?;
    Ok(instance)
}

/// What `GetError` answers: in `ERROR` and in `TRANSIENT_ERROR`, as the page of
/// the native method says. The details of a failure are in English; other
/// languages get the addresses and paths in them.
fn error_of(job: &Job, language: Language) -> Result<Values, Error> {
    let failed = matches!(job.state, State::Error | State::TransientError);
    let Some(error) = job.error.as_ref().filter(|_| failed) else {
        return Err(Error::Failed {
            code: Hresult::BG_E_ERROR_INFORMATION_UNAVAILABLE,
            about: About::Nothing,
        });
    };
    let detail = match language {
        Language::English => error.detail.clone(),
        Language::Portuguese => names(&error.detail),
    };
    let message = error.code.message(language);
    let description = if detail.is_empty() {
        sentence(message)
    } else {
        sentence(&[message, ": ", &detail].concat())
    };
    let mut out = Values::new();
    out.insert("ErrorContext", Some(Value::Uint32(error.context as u32)));
    out.insert("ErrorCode", Some(Value::Uint32(error.code.number())));
    out.insert(
        "ContextDescription",
        Some(Value::String(sentence(error.context.message(language)))),
    );
    out.insert("ErrorDescription", Some(Value::String(description)));
    Ok(out)
}

/// A lower-case fragment as a sentence.
pub(super) fn sentence(fragment: &str) -> String {
    let mut rest = fragment.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).chain(['.']).collect()
}

/// On whose behalf something is asked for which `right` is needed.
pub(super) fn caller(by: &Principal, right: Right) -> Caller {
    Caller {
        owner: Owner::new(by.name()),
        may: whose(by.scope(right)),
        knows: whose(by.widest_scope()),
        is_administrator: by.is_administrator(),
        max_jobs: by.max_jobs(),
        write_roots: by.write_roots().cloned(),
        read_roots: by.read_roots().cloned(),
    }
}

fn whose(scope: Scope) -> Whose {
    match scope {
        Scope::Own => Whose::Own,
        Scope::All => Whose::All,
    }
}

/// The job that the keys name.
pub(super) fn job_id(keys: &Keys) -> Result<JobId, Error> {
    let bad = |value: &str| Error::BadKey {
        name: KEY.to_owned(),
        value: value.to_owned(),
    };
    let (_, value) = keys
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(KEY))
        .ok_or_else(|| bad(""))?;
    value.parse().map_err(|_| bad(value))
}

fn read_cursor(cursor: &Cursor) -> Result<Place, Error> {
    Place::decode(&cursor.0).ok_or(Error::Unavailable)
}

fn write_cursor(place: Place) -> Cursor {
    Cursor(place.encode().to_vec())
}

/// A span as the properties have it; longer than 2^32 seconds it is no
/// different from for ever.
pub(super) fn seconds(span: std::time::Duration) -> Value {
    Value::Uint32(u32::try_from(span.as_secs()).unwrap_or(u32::MAX))
}

const CLASS: &str = "BitsClientJob";

/// Namespace of the classes of BITS.
const NAMESPACE: &str = "root/microsoft/bits";

const KEY: &str = "JobId";

const FILES: &str = "Files";

/// Files that are read at once.
const FILES_PAGE: usize = 256;

/// Octets that a job at least takes in an answer, beside its files.
const LEAST_SIZE: usize = 800;

/// Jobs that are looked at in a row, before others have their turn: some
/// hundred microseconds. With a filter that costs much they are fewer.
const SLICE: usize = 128;

/// Slices that one page looks at.
const SLICES: usize = 4;

#[cfg(test)]
mod tests;
