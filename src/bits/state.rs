//! The states of a job and the one table by which they change.
//!
//! The table follows "BITS Job states" and the method pages of
//! `IBackgroundCopyJob`. What those leave open is decided here: Suspend on a
//! job in ERROR or TRANSFERRED succeeds and changes nothing (the page counts
//! such jobs as suspended already), and so does Resume on a TRANSFERRED job to
//! which nothing was added.

use std::time::Duration;

use super::Hresult;
use super::JobError;
use super::Timestamp;

/// Where a job stands (`BG_JOB_STATE`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum State {
    /// Waits for a slot.
    Queued = 0,
    /// Has a slot, no answer yet.
    Connecting = 1,
    /// Data flows.
    Transferring = 2,
    /// Waits for Resume.
    Suspended = 3,
    /// Failed for good; Resume tries again.
    Error = 4,
    /// Failed, is tried again by itself.
    TransientError = 5,
    /// Every file is here; waits for Complete.
    Transferred = 6,
    /// Completed; gone from the queue.
    Acknowledged = 7,
    /// Cancelled; gone from the queue.
    Cancelled = 8,
}

impl State {
    /// Every state, in the order of their numbers.
    pub(crate) const ALL: [Self; 9] = [
        Self::Queued,
        Self::Connecting,
        Self::Transferring,
        Self::Suspended,
        Self::Error,
        Self::TransientError,
        Self::Transferred,
        Self::Acknowledged,
        Self::Cancelled,
    ];

    /// The state with this number.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Completed or cancelled: the job takes no more input.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Cancelled)
    }

    /// Holds a slot.
    pub(crate) const fn is_running(self) -> bool {
        matches!(self, Self::Connecting | Self::Transferring)
    }
}

/// How urgent a job is (`BG_JOB_PRIORITY`); a smaller number comes first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Priority {
    /// Before all others, without throttle.
    Foreground = 0,
    /// Before normal.
    High = 1,
    /// Unless said otherwise.
    #[default]
    Normal = 2,
    /// After all others.
    Low = 3,
}

impl Priority {
    /// The priority with this number.
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Foreground),
            1 => Some(Self::High),
            2 => Some(Self::Normal),
            3 => Some(Self::Low),
            _ => None,
        }
    }
}

/// What happens to a job.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A client starts it, or tries again.
    Resume,
    /// A client holds it.
    Suspend,
    /// A client wants what has arrived; the rest is dropped.
    Complete,
    /// A client wants nothing of it.
    Cancel,
    /// The scheduler gives it a slot.
    Start,
    /// The first file's answer has begun.
    Connected,
    /// The scheduler takes its slot for another.
    Preempt,
    /// The service stops while it runs, or a start finds that it did.
    Interrupted,
    /// The last file is here, synced.
    Transferred,
    /// An attempt failed; it may be tried again.
    FailedForNow {
        /// What went wrong.
        error: JobError,
        /// The server's `Retry-After`, when it is longer than the job's own
        /// delay.
        retry_after: Option<Duration>,
    },
    /// An attempt failed, and another would too.
    Failed(JobError),
    /// What it waits for by itself is there: the delay after a transient error
    /// is over, the network is back, or its time to start has come.
    Retry,
    /// What Complete or Cancel intended is done on disk.
    Settled,
    /// What Complete intended could not be done.
    Unsettled(JobError),
}

/// What the caller of [`super::Job::apply`] must now do, once the job is
/// committed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Nothing: the input changed nothing, and nothing needs a commit.
    Unchanged,
    /// Commit; nobody waits for it.
    Changed,
    /// Commit, then let the scheduler look: the job wants a slot.
    Schedule,
    /// Commit, then end its transfers.
    Stop,
    /// Commit, then wake it at this instant with [`Input::Retry`]: by the steady
    /// clock in `TRANSIENT_ERROR`, by the calendar in QUEUED.
    WakeAt(Timestamp),
    /// Commit the intent, end its transfers, do on disk what is intended,
    /// then apply [`Input::Settled`] or [`Input::Unsettled`].
    Settle(Intent),
    /// Commit: the job leaves the store.
    Remove,
}

/// What Complete or Cancel is doing on disk. It is committed before the first
/// rename or delete and redone after a crash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Intent {
    /// Put the transferred files in their places, drop the rest.
    Complete,
    /// Drop every file.
    Cancel,
}

/// The input does not fit; the job is as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) Hresult);

/// Where the table leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Stay, nothing to do.
    Stay,
    /// Go there.
    To(State),
    /// Stay, and do that on disk.
    Intend(Intent),
    /// Refuse.
    Refuse(Hresult),
    /// The engine offers what no longer fits (a slot to a job that was just
    /// suspended): let it pass.
    Late,
}

/// What the table needs to know of a job.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
pub(super) struct Situation {
    pub(super) state: State,
    pub(super) intent: Option<Intent>,
    /// The job has a file.
    pub(super) has_files: bool,
    /// Some file is not here yet.
    pub(super) has_work: bool,
    /// Its files go to a server.
    pub(super) is_upload: bool,
    /// It waits for an instant.
    pub(super) has_alarm: bool,
}

/// The table: every state × every input.
#[expect(clippy::match_same_arms, reason = "a table is read row by row")]
pub(super) fn step(at: Situation, input: &Input) -> Step {
    use State::{
        Acknowledged, Cancelled, Connecting, Error, Queued, Suspended, Transferred, Transferring,
        TransientError,
    };

    if at.state.is_final() {
        return match input {
            Input::Resume | Input::Suspend | Input::Complete | Input::Cancel => {
                Step::Refuse(Hresult::BG_E_INVALID_STATE)
            }
            Input::Start
            | Input::Connected
            | Input::Preempt
            | Input::Interrupted
            | Input::Transferred
            | Input::FailedForNow { .. }
            | Input::Failed(_)
            | Input::Retry
            | Input::Settled
            | Input::Unsettled(_) => Step::Late,
        };
    }
    if let Some(intent) = at.intent {
        return match (input, intent) {
            // Asked twice: the second call waits for the same end.
            (Input::Complete, Intent::Complete) | (Input::Cancel, Intent::Cancel) => {
                Step::Intend(intent)
            }
            (Input::Settled, Intent::Complete) => Step::To(Acknowledged),
            (Input::Settled, Intent::Cancel) => Step::To(Cancelled),
            (Input::Unsettled(_), _) if at.state == Transferred => Step::To(Transferred),
            (Input::Unsettled(_), _) => Step::To(Suspended),
            (Input::Resume | Input::Suspend | Input::Complete | Input::Cancel, _) => {
                Step::Refuse(Hresult::BG_E_INVALID_STATE)
            }
            (
                Input::Start
                | Input::Connected
                | Input::Preempt
                | Input::Interrupted
                | Input::Transferred
                | Input::FailedForNow { .. }
                | Input::Failed(_)
                | Input::Retry,
                _,
            ) => Step::Late,
        };
    }
    match (input, at.state) {
        (Input::Resume, _) if !at.has_files => Step::Refuse(Hresult::BG_E_EMPTY),
        // A script resumes a job that already runs: that is no error.
        (Input::Resume, Queued | Connecting | Transferring) => Step::Stay,
        (Input::Resume, Transferred) if !at.has_work => Step::Stay,
        (Input::Resume, _) if !at.has_work => Step::To(Transferred),
        (Input::Resume, Suspended | TransientError | Error | Transferred) => Step::To(Queued),

        (Input::Suspend, Queued | Connecting | Transferring | TransientError) => {
            Step::To(Suspended)
        }
        (Input::Suspend, Suspended | Error | Transferred) => Step::Stay,

        // What a server has of an upload that is not whole is of no use.
        (Input::Complete, state) if at.is_upload && state != Transferred => {
            Step::Refuse(Hresult::BG_E_INVALID_STATE)
        }
        (Input::Complete, _) => Step::Intend(Intent::Complete),
        (Input::Cancel, _) => Step::Intend(Intent::Cancel),

        (Input::Start, Queued) if at.has_alarm => Step::Late,
        (Input::Start, Queued) => Step::To(Connecting),
        (Input::Connected, Connecting) => Step::To(Transferring),
        (Input::Connected, Transferring) => Step::Stay,
        (Input::Preempt | Input::Interrupted, Connecting | Transferring) => Step::To(Queued),
        (Input::Transferred, Connecting | Transferring) if !at.has_work => Step::To(Transferred),
        (Input::FailedForNow { .. }, Connecting | Transferring) => Step::To(TransientError),
        (Input::Failed(_), Connecting | Transferring) => Step::To(Error),
        (Input::Retry, TransientError) => Step::To(Queued),
        (Input::Retry, Queued) if at.has_alarm => Step::To(Queued),

        (
            Input::Start
            | Input::Connected
            | Input::Preempt
            | Input::Interrupted
            | Input::Transferred
            | Input::FailedForNow { .. }
            | Input::Failed(_)
            | Input::Retry
            | Input::Settled
            | Input::Unsettled(_),
            _,
        ) => Step::Late,

        (Input::Resume | Input::Suspend, Acknowledged | Cancelled) => {
            Step::Refuse(Hresult::BG_E_INVALID_STATE)
        }
    }
}
