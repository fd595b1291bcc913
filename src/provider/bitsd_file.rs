//! `BitsdFile`: the files of jobs, each with an address of its own.
//!
//! Listed by keyset pages: a place in the listing is a job, the place of that
//! job among all, and the next file in it. So a job of a million files costs no
//! more memory than one of two.

use std::ops::RangeInclusive;
use std::sync::Arc;

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
use super::bits_client_job::caller;
use super::bits_client_job::class;
use super::bits_client_job::job_id;
use super::bits_client_job::selection;
use super::bitsd_job::NAMESPACE;
use super::bitsd_job::address;
use crate::auth::Principal;
use crate::bits::File;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::write_ranges;
use crate::bits::write_sha256;
use crate::cim::Catalog;
use crate::cim::Class;
use crate::cim::Comparison;
use crate::cim::Condition;
use crate::cim::Instance;
use crate::cim::Literal;
use crate::cim::NotInSchema;
use crate::cim::Value;
use crate::cim::Values;
use crate::config::Right;
use crate::engine::Caller;
use crate::engine::Engine;
use crate::engine::Error as EngineError;
use crate::store::Place;
use crate::store::Selection;

/// The provider of files.
pub(crate) struct BitsdFile {
    engine: Engine,
    class: Arc<Class>,
}

impl BitsdFile {
    /// Shows the files of the jobs of `engine` as instances of the class that
    /// `catalog` defines.
    ///
    /// # Errors
    ///
    /// [`NotInSchema`] when the catalog lacks the class.
    pub(crate) fn new(engine: Engine, catalog: &Catalog) -> Result<Self, NotInSchema> {
        Ok(Self {
            engine,
            class: class(catalog, NAMESPACE, CLASS)?,
        })
    }

    fn instance(&self, by: &Caller, job: &Job, file: File) -> Result<Instance, Error> {
        let onlooker = if job.shows_queries_to(&by.owner) {
            Onlooker::Owner
        } else {
            Onlooker::Other
        };
        let index = file.index;
        let ranges = (!file.ranges.is_empty()).then(|| write_ranges(&file.ranges));
        let sha256 = file.sha256.as_ref().map(write_sha256);
        let validator = file.validator.clone();
        let mut instance = bits_client_file::instance(&self.class, file, onlooker)?;
        instance.set("JobId", Value::String(job.id.to_string()))?;
        instance.set("Index", Value::Uint32(index))?;
        for (name, text) in [
            ("Ranges", ranges),
            ("ExpectedSha256", sha256),
            ("ETag", validator.etag),
            ("LastModified", validator.last_modified),
        ] {
            if let Some(text) = text {
                instance.set(name, Value::String(text))?;
            }
        }
        Ok(instance)
    }

    /// The job that a listing goes on in, and the place behind it: that of the
    /// cursor if it is still there, or the next one in `selection`.
    fn next_job(&self, by: &Caller, selection: &Selection, at: &mut Spot) -> Result<Next, Error> {
        if let Some(id) = at.job {
            match self.engine.job(by, id) {
                Ok(job) => return Ok(Next::Job(Box::new(job))),
                Err(EngineError::NotFound | EngineError::Denied) => at.job = None,
                Err(error @ (EngineError::Refused { .. } | EngineError::Unavailable)) => {
                    return Err(error.into());
                }
            }
        }
        let listing = self.engine.jobs(by, selection, at.behind, 1)?;
        let found = listing.jobs.into_iter().next();
        match found {
            Some((job, behind)) => {
                *at = Spot {
                    behind: Some(behind),
                    job: Some(job.id),
                    index: 0,
                };
                Ok(Next::Job(Box::new(job)))
            }
            None if listing.is_last => Ok(Next::End),
            None => {
                at.behind = listing.reached;
                Ok(Next::Nothing)
            }
        }
    }
}

/// What comes next in a listing.
enum Next {
    Job(Box<Job>),
    /// What was looked at is none.
    Nothing,
    End,
}

/// A place in the listing of files.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Spot {
    /// The place behind the job among all jobs.
    behind: Option<Place>,
    /// The job; none: the one that comes next.
    job: Option<JobId>,
    /// The next file in it.
    index: u32,
}

impl Provider for BitsdFile {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn get<'a>(&'a self, by: &'a Principal, keys: &'a Keys, _: View<'a>) -> Answer<'a, Instance> {
        Box::pin(async move {
            let by = caller(by, Right::Read);
            let (id, index) = (job_id(keys)?, index(keys)?);
            let job = self.engine.job(&by, id)?;
            let file = self.engine.files(&job, index, 1)?.into_iter().next();
            let file = file.filter(|file| file.index == index);
            self.instance(&by, &job, file.ok_or(Error::NotFound)?)
        })
    }

    fn create<'a>(&'a self, _: &'a Principal, _: Values) -> Answer<'a, Keys> {
        Box::pin(async { Err(Error::NotSupported) })
    }

    fn put<'a>(&'a self, _: &'a Principal, _: &'a Keys, _: Values) -> Answer<'a, ()> {
        Box::pin(async { Err(Error::NotSupported) })
    }

    fn delete<'a>(&'a self, _: &'a Principal, _: &'a Keys) -> Answer<'a, ()> {
        Box::pin(async { Err(Error::NotSupported) })
    }

    fn invoke<'a>(
        &'a self,
        by: &'a Principal,
        keys: &'a Keys,
        method: &'a str,
        arguments: Values,
    ) -> Answer<'a, Values> {
        Box::pin(async move {
            if method != "SetRemoteName" {
                return Err(Error::NotSupported);
            }
            let by = caller(by, Right::Invoke);
            let url = address(&arguments, "RemoteUrl")?;
            self.engine
                .set_remote_name(&by, job_id(keys)?, index(keys)?, url)
                .await?;
            Ok(Values::new())
        })
    }

    fn page<'a>(&'a self, by: &'a Principal, query: Query<'a>) -> Answer<'a, Page> {
        Box::pin(async move {
            let by = caller(by, Right::Read);
            let condition = query.condition;
            let selection = match condition {
                Some(condition) => selection::of(condition, &self.class, None)?,
                None => Selection::all(),
            };
            let indexes = condition.map_or(0..=u32::MAX, indexes);
            let limit = query.limit.max(1);
            let mut at = query
                .after
                .map(Spot::decode)
                .transpose()?
                .unwrap_or_default();
            let mut items = Vec::new();
            let (mut reached, mut used) = (None, 0);
            let (mut jobs, mut files_left) = (0, MOST_FILES);
            let is_last = 'page: loop {
                let job = match self.next_job(&by, &selection, &mut at)? {
                    Next::Job(job) => job,
                    Next::Nothing => {
                        reached = Some(at);
                        break false;
                    }
                    Next::End => break true,
                };
                jobs += 1;
                let from = at.index.max(*indexes.start());
                let most = FILES_PAGE.min(files_left).max(1);
                let files = self.engine.files(&job, from, most)?;
                let has_more = files.len() == most
                    && files.last().is_some_and(|file| file.index < *indexes.end());
                files_left = files_left.saturating_sub(files.len().max(1));
                for file in files {
                    let next = Spot {
                        index: file.index.saturating_add(1),
                        ..at
                    };
                    let is_within = indexes.contains(&file.index);
                    let instance = self.instance(&by, &job, file)?;
                    if is_within && condition.is_none_or(|condition| condition.matches(&instance)) {
                        // What does not fit into this answer is the next one's.
                        if items.len() == limit || used > query.view.room {
                            break 'page false;
                        }
                        used += size(&instance);
                        items.push((instance, next.encode()));
                        reached = None;
                    } else {
                        reached = Some(next);
                    }
                    at = next;
                }
                if !has_more {
                    at.job = None;
                    at.index = 0;
                    reached = Some(at);
                }
                // A read never waits: others have their turn.
                tokio::task::yield_now().await;
                if jobs == MOST_JOBS || files_left == 0 || items.len() == limit {
                    break false;
                }
            };
            Ok(Page {
                items,
                reached: reached.map(Spot::encode),
                is_last,
            })
        })
    }

    fn count<'a>(&'a self, by: &'a Principal) -> Answer<'a, u64> {
        Box::pin(async move {
            let by = caller(by, Right::Read);
            let (mut total, mut place) = (0, None);
            // An estimate is asked for: of very many jobs the first must do.
            for _ in 0..MOST_COUNTED {
                let listing = self.engine.jobs(&by, &Selection::all(), place, MOST_JOBS)?;
                total += listing
                    .jobs
                    .iter()
                    .map(|(job, _)| u64::from(job.files_total))
                    .sum::<u64>();
                if listing.is_last {
                    break;
                }
                place = listing.reached;
                tokio::task::yield_now().await;
            }
            Ok(total)
        })
    }
}

impl Spot {
    fn encode(self) -> Cursor {
        let mut octets = self.index.to_be_bytes().to_vec();
        octets.push(u8::from(self.job.is_some()) | (u8::from(self.behind.is_some()) << 1));
        if let Some(job) = self.job {
            octets.extend(job.to_octets());
        }
        if let Some(behind) = self.behind {
            octets.extend(behind.encode());
        }
        Cursor(octets)
    }

    fn decode(cursor: &Cursor) -> Result<Self, Error> {
        let read = || {
            let (index, rest) = cursor.0.split_first_chunk::<4>()?;
            let (has, rest) = rest.split_first()?;
            let (job, rest) = if has & 1 == 0 {
                (None, rest)
            } else {
                let (job, rest) = rest.split_first_chunk::<16>()?;
                (Some(JobId::from_octets(*job)), rest)
            };
            let behind = match has & 2 {
                0 => rest.is_empty().then_some(None)?,
                _ => Some(Place::decode(rest)?),
            };
            Some(Self {
                behind,
                job,
                index: u32::from_be_bytes(*index),
            })
        };
        read().ok_or(Error::Unavailable)
    }
}

/// The place in the job that the keys name.
fn index(keys: &Keys) -> Result<u32, Error> {
    let key = keys.iter().find(|(name, _)| name == INDEX);
    let value = key.map_or("", |(_, value)| value.as_str());
    value.trim().parse().map_err(|_| Error::BadKey {
        name: INDEX.to_owned(),
        value: value.to_owned(),
    })
}

/// The places that `condition` leaves of a job: those between the first and the
/// last.
fn indexes(condition: &Condition) -> RangeInclusive<u32> {
    let all = 0..=u32::MAX;
    match condition {
        Condition::And(parts) => parts.iter().map(indexes).fold(all, |one, other| {
            *one.start().max(other.start())..=*one.end().min(other.end())
        }),
        Condition::Compare {
            property,
            operator,
            literal: Literal::Integer(literal),
        } if property == INDEX => {
            let clamped = |number: i128| {
                u32::try_from(number.clamp(0, i128::from(u32::MAX))).unwrap_or(u32::MAX)
            };
            let literal = *literal;
            match operator {
                Comparison::Equal => clamped(literal)..=clamped(literal),
                Comparison::Less => 0..=clamped(literal.saturating_sub(1)),
                Comparison::LessOrEqual => 0..=clamped(literal),
                Comparison::Greater => clamped(literal.saturating_add(1))..=u32::MAX,
                Comparison::GreaterOrEqual => clamped(literal)..=u32::MAX,
                Comparison::NotEqual => all,
            }
        }
        Condition::Always(_)
        | Condition::Or(_)
        | Condition::Not(_)
        | Condition::Compare { .. }
        | Condition::Like { .. }
        | Condition::IsNull(_) => all,
    }
}

/// About how many octets an instance takes in an answer.
fn size(instance: &Instance) -> usize {
    let text = |value: &Option<Value>| match value {
        Some(Value::String(text)) => text.len(),
        _ => 0,
    };
    LEAST_SIZE + instance.values().iter().map(text).sum::<usize>()
}

const CLASS: &str = "BitsdFile";

const INDEX: &str = "Index";

/// Octets that a file at least takes in an answer.
const LEAST_SIZE: usize = 600;

/// Files that are read at once.
const FILES_PAGE: usize = 256;

/// Files that one page looks at.
const MOST_FILES: usize = 1_024;

/// Jobs that one page looks at.
const MOST_JOBS: usize = 128;

/// Slices of so many jobs whose files are counted.
const MOST_COUNTED: usize = 100;
