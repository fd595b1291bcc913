//! Why a job does not run, or how fast it does.

use super::Caller;
use super::Engine;
use super::Error;
use super::core::Core;
use crate::bits::Hresult;
use crate::bits::Job;
use crate::bits::JobError;
use crate::bits::JobId;
use crate::bits::Now;
use crate::bits::Priority;
use crate::bits::State;
use crate::bits::Timestamp;

/// Why a job does not run, or how fast it does. Its instants are dates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    /// Where it stands.
    pub(crate) state: State,
    /// What it waits for; none while it runs.
    pub(crate) waits_for: Option<WaitsFor>,
    /// Its place in the line; only of a job that is QUEUED and may start.
    pub(crate) place: Option<LinePlace>,
    /// When it goes on by itself.
    pub(crate) until: Option<Timestamp>,
    /// When the server wants to be asked again, if it has said so.
    pub(crate) server_retry_at: Option<Timestamp>,
    /// When `MaximumDownloadTime` ends it, if it runs and has such a limit.
    pub(crate) ends_at: Option<Timestamp>,
    /// The last failure.
    pub(crate) error: Option<JobError>,
    /// Octets a second over the last seconds; only of a job that runs.
    pub(crate) octets_per_s: Option<u64>,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitsFor {
    /// A client: Resume, or Complete.
    Client = 0,
    /// A slot: `engine.running_jobs` are taken, or it is just being started.
    Slot = 1,
    /// As many foreground jobs run as may (`engine.foreground_jobs`).
    ForegroundLimit = 2,
    /// As many jobs of its owner run as may (`engine.running_jobs_per_user`).
    UserLimit = 3,
    /// As many jobs fetch from its host as may
    /// (`engine.running_jobs_per_host`).
    HostLimit = 4,
    /// Its time to start (`start_after`).
    StartAfter = 5,
    /// The network.
    Network = 6,
    /// The next attempt (`MinimumRetryDelay`).
    Retry = 7,
    /// The next attempt, which the server has put off (`Retry-After`).
    ServerRetryAfter = 8,
}

/// A place in the line: accounts take turns at each priority, and the jobs of
/// an account are first come, first served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LinePlace {
    /// Jobs of its owner and priority that come before it;
    /// [`LinePlace::MOST_AHEAD`] means that, or more.
    pub(crate) ahead: u64,
    /// Accounts that take turns at its priority, its own included;
    /// [`LinePlace::MOST_ACCOUNTS`] means that, or more.
    pub(crate) accounts: u64,
}

impl LinePlace {
    /// So many jobs are counted.
    pub(crate) const MOST_AHEAD: usize = 1_000;

    /// So many accounts are.
    pub(crate) const MOST_ACCOUNTS: usize = 100;
}

impl WaitsFor {
    /// In a word or two.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Slot => "slot",
            Self::ForegroundLimit => "foreground limit",
            Self::UserLimit => "user limit",
            Self::HostLimit => "host limit",
            Self::StartAfter => "start after",
            Self::Network => "network",
            Self::Retry => "retry",
            Self::ServerRetryAfter => "server retry after",
        }
    }
}

impl Engine {
    /// Why the job does not run, or how fast it does. Does not wait for the
    /// disk.
    pub(crate) fn standing(&self, by: &Caller, id: JobId) -> Result<Standing, Error> {
        let core = &self.core;
        let job = core.visible(by, id)?;
        let now = core.now();
        let waits_for = core.waits_for(&job);
        let place = match waits_for {
            Some(
                WaitsFor::Slot
                | WaitsFor::ForegroundLimit
                | WaitsFor::UserLimit
                | WaitsFor::HostLimit,
            ) => Some(core.place(&job)?),
            Some(
                WaitsFor::Client
                | WaitsFor::StartAfter
                | WaitsFor::Network
                | WaitsFor::Retry
                | WaitsFor::ServerRetryAfter,
            )
            | None => None,
        };
        let until = match waits_for {
            Some(WaitsFor::StartAfter) => job.wake_at,
            Some(WaitsFor::Retry | WaitsFor::ServerRetryAfter) => {
                job.wake_at.map(|at| date_of(at, now))
            }
            // No timer ends the others, but that of `NoProgressTimeout`.
            Some(_) | None => None,
        };
        let circumstances = job.error.as_ref().map(|error| &error.circumstances);
        Ok(Standing {
            state: job.state,
            waits_for,
            place,
            until,
            server_retry_at: circumstances.and_then(|circumstances| circumstances.server_retry_at),
            ends_at: job
                .time_over_at(core.usual_time())
                .map(|at| date_of(at, now)),
            octets_per_s: core
                .run(id)
                .filter(|_| job.state.is_running())
                .map(|run| run.pace(&job, now.steady)),
            error: job.error.clone(),
        })
    }
}

impl Core {
    fn waits_for(&self, job: &Job) -> Option<WaitsFor> {
        match job.state {
            State::Connecting | State::Transferring | State::Acknowledged | State::Cancelled => {
                None
            }
            State::Queued if job.wake_at.is_some() => Some(WaitsFor::StartAfter),
            State::Queued => Some(self.limit(job)),
            State::TransientError => Some(reason_to_wait(job)),
            State::Suspended | State::Error | State::Transferred => Some(WaitsFor::Client),
        }
    }

    /// What keeps a job of the line from a slot.
    fn limit(&self, job: &Job) -> WaitsFor {
        let is_foreground = job.priority == Priority::Foreground;
        if is_foreground {
            let taken = self.count_runs(|other| other.priority == Priority::Foreground);
            return if taken >= self.settings.foreground_jobs {
                WaitsFor::ForegroundLimit
            } else {
                WaitsFor::Slot
            };
        }
        let slots = self.background();
        let in_background = |is: &dyn Fn(&crate::store::Queued) -> bool| {
            self.count_runs(|other| other.priority != Priority::Foreground && is(other))
        };
        let of_owner = in_background(&|other| other.owner == job.owner);
        let to_host = in_background(&|other| other.host == job.host);
        if slots.per_user.is_some_and(|limit| of_owner >= limit) {
            WaitsFor::UserLimit
        } else if !job.host.is_empty() && slots.per_host.is_some_and(|limit| to_host >= limit) {
            WaitsFor::HostLimit
        } else {
            WaitsFor::Slot
        }
    }

    fn count_runs(&self, is: impl Fn(&crate::store::Queued) -> bool) -> usize {
        self.runs().values().filter(|slot| is(&slot.job)).count()
    }

    fn place(&self, job: &Job) -> Result<LinePlace, Error> {
        let accounts = self
            .store
            .line_owners(job.priority, None, LinePlace::MOST_ACCOUNTS)?
            .len();
        Ok(LinePlace {
            ahead: self.store.count_ahead(job, LinePlace::MOST_AHEAD)?,
            accounts: accounts as u64,
        })
    }
}

fn reason_to_wait(job: &Job) -> WaitsFor {
    let Some(error) = &job.error else {
        return WaitsFor::Retry;
    };
    if error.code == Hresult::BG_E_NETWORK_DISCONNECTED {
        WaitsFor::Network
    } else if error.circumstances.server_retry_at.is_some() {
        WaitsFor::ServerRetryAfter
    } else {
        WaitsFor::Retry
    }
}

/// An instant of the steady clock as a date.
fn date_of(at: Timestamp, now: Now) -> Timestamp {
    now.date + at.since(now.steady)
}
