//! Why a job does not run, or how fast it does.

use super::Caller;
use super::Engine;
use super::Error;
use crate::bits::Job;
use crate::bits::JobError;
use crate::bits::JobId;
use crate::bits::State;
use crate::bits::Timestamp;

/// Why a job does not run, or how fast it does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    /// Where it stands.
    pub(crate) state: State,
    /// What it waits for; none while it runs.
    pub(crate) waits_for: Option<WaitsFor>,
    /// Its place in the line; only of a job that is QUEUED and may start.
    pub(crate) place: Option<LinePlace>,
    /// When it goes on by itself: start-after, or the next attempt.
    pub(crate) until: Option<Timestamp>,
    /// When the server wants to be asked again (`Retry-After`), if it said so.
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
    Client,
    /// A slot.
    Slot,
    /// Its start-after has not come.
    StartAfter,
    /// The next attempt after a failure.
    Retry,
    /// The next attempt, which the server has put off.
    ServerRetryAfter,
}

/// A place in the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LinePlace {
    /// Jobs of the same account and priority that come before it.
    pub(crate) ahead: u64,
    /// Accounts that take turns at its priority, its own included.
    pub(crate) accounts: u64,
}

impl WaitsFor {
    /// In words.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Slot => "slot",
            Self::StartAfter => "start-after",
            Self::Retry => "retry",
            Self::ServerRetryAfter => "server retry-after",
        }
    }
}

impl Engine {
    /// Where a job stands.
    pub(crate) fn standing(&self, by: &Caller, id: JobId) -> Result<Standing, Error> {
        let job = self.job(by, id)?;
        Ok(Standing::of(&job))
    }
}

impl Standing {
    fn of(job: &Job) -> Self {
        let circumstances = job.error.as_ref().map(|error| &error.circumstances);
        let server_retry_at = circumstances.and_then(|about| about.server_retry_at);
        let waits_for = match job.state {
            State::Queued if job.wake_at.is_some() => Some(WaitsFor::StartAfter),
            State::Queued => Some(WaitsFor::Slot),
            State::TransientError if server_retry_at.is_some() => Some(WaitsFor::ServerRetryAfter),
            State::TransientError => Some(WaitsFor::Retry),
            State::Suspended | State::Error | State::Transferred => Some(WaitsFor::Client),
            State::Connecting | State::Transferring | State::Acknowledged | State::Cancelled => {
                None
            }
        };
        Self {
            state: job.state,
            waits_for,
            place: None,
            until: job.wake_at,
            server_retry_at,
            ends_at: None,
            error: job.error.clone(),
            octets_per_s: None,
        }
    }
}
