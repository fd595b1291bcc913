//! What happened to a job, as it is kept and logged.

use tracing::info;
use tracing::warn;

use crate::bits::File;
use crate::bits::Job;
use crate::bits::Owner;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::store::Change;
use crate::store::Event;

/// The event of this kind on `job`, to be committed with the change.
pub(super) fn event(
    job: &Job,
    kind: &'static str,
    by: Option<&Owner>,
    detail: String,
    now: Timestamp,
) -> Change {
    Change::Event(Event {
        at: now,
        job: job.id,
        owner: job.owner.clone(),
        kind,
        by: by.cloned(),
        detail,
    })
}

/// The event that says where `job` now stands.
pub(super) fn entered(job: &Job, by: Option<&Owner>, now: Timestamp) -> Change {
    let (kind, detail) = match job.state {
        State::Queued => ("queued", String::new()),
        State::Connecting => ("connecting", String::new()),
        State::Transferring => ("transferring", String::new()),
        State::Suspended => ("suspended", String::new()),
        State::Error => ("error", failure(job)),
        State::TransientError => ("transient_error", failure(job)),
        State::Transferred => ("transferred", String::new()),
        State::Acknowledged => ("completed", String::new()),
        State::Cancelled => ("cancelled", String::new()),
    };
    event(job, kind, by, detail, now)
}

/// The event that says that a server has no ranges.
pub(super) fn without_ranges(job: &Job, file: &File, now: Timestamp) -> Change {
    let detail = format!(
        "file {} ({}): the server has no ranges, the file is fetched whole",
        file.index, file.local_file
    );
    event(job, "no_ranges", None, detail, now)
}

/// Tells the log where `job` now stands, once that is committed.
pub(super) fn log_entered(job: &Job) {
    match job.state {
        State::Error => {
            warn!(job = %job.id, owner = %job.owner, error = failure(job), "Job failed");
        }
        State::TransientError => {
            info!(job = %job.id, owner = %job.owner, error = failure(job), "Job interrupted");
        }
        State::Transferred => {
            info!(
                job = %job.id,
                owner = %job.owner,
                files = job.files_total,
                octets = job.bytes_transferred,
                "Job transferred"
            );
        }
        State::Acknowledged => info!(job = %job.id, owner = %job.owner, "Job completed"),
        State::Cancelled => info!(job = %job.id, owner = %job.owner, "Job cancelled"),
        State::Suspended => info!(job = %job.id, owner = %job.owner, "Job suspended"),
        State::Queued | State::Connecting | State::Transferring => {}
    }
}

fn failure(job: &Job) -> String {
    job.error.as_ref().map_or_else(String::new, |error| {
        format!("{}: {}", error.code, error.detail)
    })
}
