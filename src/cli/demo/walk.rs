//! The walk-through: each step as it is sent, in one line, and what came back.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::cli::Failure;
use crate::cli::bits_client_job as class;
use crate::cli::bits_client_job::JobState;
use crate::cli::bits_client_job::Polling;
use crate::cli::bits_client_job::Standing;
use crate::cli::job::ask_error;
use crate::cli::job::error_line;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::client::Argument;
use crate::client::Client;
use crate::client::Error;
use crate::client::Resource;

use super::content::Content;

/// What is to be fetched.
#[derive(Debug)]
pub(super) struct Task {
    /// The files, one or more.
    pub(super) sources: Vec<Source>,
}

/// A file to fetch.
#[derive(Debug)]
pub(super) struct Source {
    /// Where from.
    pub(super) url: String,
    /// Where to, as the job is told.
    pub(super) local_file: String,
    /// Where to, in the file system.
    pub(super) path: PathBuf,
    /// What it must hold, where that is known.
    pub(super) content: Option<Content>,
}

/// Takes every step, and checks what has come.
///
/// # Errors
///
/// [`Failure`].
pub(super) async fn walk(client: &Client, task: &Task) -> Result<(), Failure> {
    let Some((first, rest)) = task.sources.split_first() else {
        return Err(Failure::Demo("there is nothing to fetch".to_owned()));
    };
    let arguments = [
        Argument::new("DisplayName", "demo"),
        Argument::new("RemoteUrl", &first.url),
        Argument::new("LocalFile", &first.local_file),
        Argument::new("Type", 0),
        Argument::new("Suspend", true),
    ];
    let created = class::call(
        client,
        &Resource::class(class::JOB),
        "CreateJob",
        &arguments,
    )
    .await?;
    let id = created.text("JobId").ok_or(Error::Lacks("JobId"))?;
    output::line(&format!(
        "CreateJob DisplayName=demo RemoteUrl={} LocalFile={} Type=0 Suspend=true -> JobId={id}",
        first.url, first.local_file
    ));
    let job = class::instance(id);
    for source in rest {
        class::add_file(client, &job, &source.url, &source.local_file).await?;
        output::line(&format!(
            "AddFile   remoteUrl={} localFile={} -> ReturnValue=0",
            source.url, source.local_file
        ));
    }
    let put = client.put(&job, &[("Priority", "0".to_owned())]).await?;
    let priority = put.as_ref().and_then(|job| job.text("Priority"));
    if priority != Some("0") {
        return Err(Error::Lacks("Priority 0").into());
    }
    output::line("Put       Priority=0 -> Priority=0 (Foreground)");
    class::set_state(client, &job, JobState::Resume).await?;
    output::line("SetJobState JobState=2 (Resume) -> ReturnValue=0");
    let standing = follow(client, &job).await?;
    output::line(&format!(
        "Get       -> State=6 (Transferred) BytesTransferred={} FilesTransferred={}/{}",
        standing.transferred, standing.files_transferred, standing.files_total
    ));
    class::set_state(client, &job, JobState::Complete).await?;
    output::line("SetJobState JobState=1 (Complete) -> ReturnValue=0");
    for source in &task.sources {
        check(source).await?;
    }
    Ok(())
}

/// Polls until the job is transferred.
async fn follow(client: &Client, job: &Resource) -> Result<Standing, Failure> {
    let mut polling = Polling::SmallGet;
    let mut progress = Progress::new();
    let end = loop {
        let standing = match Standing::ask(client, job, &mut polling).await {
            Ok(standing) => standing,
            Err(error) => break Err(error.into()),
        };
        let word = class::state_word(standing.state);
        progress.show(word, standing.transferred, standing.total);
        match standing.state {
            class::TRANSFERRED => break Ok(standing),
            // Microsoft's script gives up in both; the second would be tried
            // again, but later than anybody watches a demonstration.
            class::ERROR | class::TRANSIENT_ERROR => {
                break Err(match ask_error(client, job).await {
                    Ok(error) => Failure::Demo(format!("the job failed: {}", error_line(&error))),
                    Err(failure) => failure,
                });
            }
            class::ACKNOWLEDGED | class::CANCELLED => {
                break Err(Failure::Demo(format!("the job is {word}")));
            }
            _ => tokio::time::sleep(BETWEEN_POLLS).await,
        }
    };
    progress.finish();
    end
}

/// Compares what lies at the destination with what was sent.
async fn check(source: &Source) -> Result<(), Failure> {
    let path = source.path.clone();
    let content = source.content;
    let sums = tokio::task::spawn_blocking(move || {
        Ok::<_, std::io::Error>((sum_of_file(&path)?, content.map(sum_of_content)))
    });
    let unreadable = |e| Failure::File(format!("cannot read {}", source.path.display()), e);
    let (found, expected) = sums
        .await
        .map_err(|e| unreadable(std::io::Error::other(e)))?
        .map_err(unreadable)?;
    let verdict = match &expected {
        None => "",
        Some(expected) if *expected == found => ", as the origin has it",
        Some(expected) => {
            return Err(Failure::Demo(format!(
                "{} has the SHA-256 {found}, the origin sent {expected}",
                source.path.display()
            )));
        }
    };
    output::line(&format!(
        "SHA-256   {found} {}{verdict}",
        source.path.display()
    ));
    Ok(())
}

fn sum_of_file(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut octets = vec![0; CHUNK];
    loop {
        let read = file.read(&mut octets)?;
        match octets.get(..read) {
            Some(octets) if read > 0 => context.update(octets),
            _ => return Ok(hex(context)),
        }
    }
}

fn sum_of_content(content: Content) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut from = 0;
    while from < content.octets {
        let octets = content.read(from, CHUNK);
        context.update(&octets);
        from += octets.len() as u64;
    }
    hex(context)
}

fn hex(context: digest::Context) -> String {
    let mut text = String::with_capacity(64);
    for octet in context.finish().as_ref() {
        // Writing to a string does not fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// Often enough for a bar that moves.
const BETWEEN_POLLS: Duration = Duration::from_millis(250);

const CHUNK: usize = 1_048_576;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canned::endpoint;
    use crate::client::canned::envelope;
    use crate::client::canned::pinned;

    #[tokio::test]
    async fn the_steps_are_those_of_the_documentation() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = |name: &str, seed| {
            let content = Content {
                seed,
                octets: 1_000,
            };
            let path = folder.path().join(name);
            std::fs::write(&path, content.read(0, usize::MAX)).expect("written");
            Source {
                url: format!("http://h/{name}"),
                local_file: format!("C:\\{name}"),
                path,
                content: Some(content),
            }
        };
        let task = Task {
            sources: vec![source("a", 1), source("b", 2)],
        };
        let answers = [
            "<o><JobId>{1}</JobId><ReturnValue>0</ReturnValue></o>",
            "<o><ReturnValue>0</ReturnValue></o>",
            "<o><Priority>0</Priority></o>",
            "<o><ReturnValue>0</ReturnValue></o>",
            "<o><State>2</State><BytesTotal>2000</BytesTotal></o>",
            "<o><State>6</State><BytesTransferred>2000</BytesTransferred></o>",
            "<o><ReturnValue>0</ReturnValue></o>",
        ];
        let endpoint = endpoint(answers.map(|a| (200, envelope(a))).into(), true).await;
        walk(&pinned(&endpoint), &task).await.expect("every step");
        let seen = endpoint.seen.lock().expect("lock");
        let expected = [
            "<p:Suspend>true<",
            "<p:remoteUrl>http://h/b<",
            "<p:Priority>0<",
            "<p:JobState>2<",
            "transfer/Get<",
            "transfer/Get<",
            "<p:JobState>1<",
        ];
        assert_eq!(seen.len(), expected.len());
        for (seen, expected) in seen.iter().zip(expected) {
            assert!(seen.contains(expected), "{expected}: {seen}");
        }
    }

    #[tokio::test]
    async fn a_file_that_differs_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let content = Content {
            seed: 1,
            octets: 3_000_000,
        };
        let mut source = Source {
            url: String::new(),
            local_file: String::new(),
            path: folder.path().join("f"),
            content: Some(content),
        };
        std::fs::write(&source.path, content.read(0, usize::MAX)).expect("written");
        assert!(check(&source).await.is_ok());
        source.content = Some(Content { seed: 2, ..content });
        assert!(matches!(check(&source).await, Err(Failure::Demo(_))));
    }
}
