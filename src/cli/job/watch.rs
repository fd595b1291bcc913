//! `bitsd job watch`: how far a job has come, until it goes no further.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::cli::Failure;
use crate::cli::bits_client_job as class;
use crate::cli::bits_client_job::JobState;
use crate::cli::bits_client_job::Polling;
use crate::cli::bits_client_job::Standing;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::client::Client;
use crate::client::Error;
use crate::client::Resource;

use super::Form;
use super::args::WatchArgs;
use super::show;

/// Watches a job. Ends with 0 when it is transferred (and completed, where
/// that is asked for), with 1 when it fails or is cancelled.
pub(super) async fn watch(
    client: &Client,
    args: &WatchArgs,
    form: Form,
) -> Result<ExitCode, Failure> {
    let id = class::find(client, &args.job).await?;
    let job = class::instance(&id);
    let mut progress = (form == Form::Words).then(Progress::new);
    let end = follow(client, &job, &id, args, form, &mut progress).await;
    if let Some(progress) = progress {
        progress.finish();
    }
    match end? {
        End::Transferred if args.complete => {
            class::set_state(client, &job, JobState::Complete).await?;
            if form == Form::Words {
                output::line(&format!("{id} completed."));
            }
            Ok(ExitCode::SUCCESS)
        }
        End::Transferred | End::Completed => Ok(ExitCode::SUCCESS),
        End::Error => {
            let error = show::ask_error(client, &job).await?;
            output::complain(&format!("the job failed: {}", show::error_line(&error)));
            Ok(ExitCode::FAILURE)
        }
        End::Gone => {
            output::complain("the job was cancelled, or completed before it was transferred");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Where watching ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Transferred,
    Completed,
    Error,
    Gone,
}

/// Looks again and again, and shows what it sees.
async fn follow(
    client: &Client,
    job: &Resource,
    id: &str,
    args: &WatchArgs,
    form: Form,
    progress: &mut Option<Progress>,
) -> Result<End, Failure> {
    let mut polling = Polling::SmallGet;
    let mut last: Option<Standing> = None;
    loop {
        let standing = match Standing::ask(client, job, &mut polling).await {
            Ok(standing) => standing,
            Err(error) if last.is_some() && is_gone(&error) => {
                return Ok(gone(last));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(progress) = progress {
            let word = class::state_word(standing.state);
            progress.show(word, standing.transferred, standing.total);
        }
        if form == Form::Json && last != Some(standing) {
            output::line(&line(id, standing));
        }
        last = Some(standing);
        match standing.state {
            class::TRANSFERRED => return Ok(End::Transferred),
            class::ACKNOWLEDGED => return Ok(End::Completed),
            class::ERROR => return Ok(End::Error),
            class::CANCELLED => return Ok(End::Gone),
            _ => tokio::time::sleep(Duration::from_secs(args.interval)).await,
        }
    }
}

/// A standing as one line of JSON.
fn line(id: &str, standing: Standing) -> String {
    json!({
        "JobId": id,
        "State": standing.state,
        "BytesTransferred": standing.transferred,
        "BytesTotal": standing.total.unwrap_or(class::UNKNOWN),
        "FilesTransferred": standing.files_transferred,
        "FilesTotal": standing.files_total,
    })
    .to_string()
}

/// Whether a fault says that there is no such job: `BG_E_NOT_FOUND`, or the
/// code of WS-Management for an instance that is not there.
fn is_gone(error: &Error) -> bool {
    matches!(error.code(), Some(0x8020_0001 | 2_150_858_752))
        || error.is_fault("DestinationUnreachable")
}

/// What it means that the job is not there any more: another client completed
/// or cancelled it. Which, shows in what was fetched.
fn gone(last: Option<Standing>) -> End {
    match last {
        Some(last) if last.total == Some(last.transferred) => End::Completed,
        _ => End::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_vanishes_counts_as_completed_when_it_was_whole() {
        let standing = |transferred| Standing {
            state: 2,
            transferred,
            total: Some(10),
            files_transferred: 0,
            files_total: 1,
        };
        assert_eq!(gone(Some(standing(10))), End::Completed);
        assert_eq!(gone(Some(standing(9))), End::Gone);
    }
}
