//! `bitsd demo`: the documented walk-through, end to end, on this machine.
//!
//! It starts the service as a child of its own, with a configuration, a state
//! and an account made for it, and a small origin; then it does what Microsoft's
//! page "Using `WinRM` Windows PowerShell Cmdlets to Manage BITS Transfer Jobs"
//! does, over HTTPS and WS-Management like any client.

mod commands;
mod content;
mod endpoint;
mod origin;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use super::Failure;
use super::output;
use endpoint::Endpoint;
use endpoint::Place;
use origin::Origin;
use walk::Source;
use walk::Task;

/// Arguments of `bitsd demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End when the job is done, instead of keeping the endpoint until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Fetch this file instead of a generated one.
    #[arg(long, requires = "to")]
    url: Option<String>,
    /// Where the file of --url goes.
    #[arg(long, value_name = "FILE", requires = "url")]
    to: Option<PathBuf>,
    /// Size of the generated file.
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    size: u64,
}

/// Does the demonstration, and gives the exit code. Ctrl-C and SIGTERM end it
/// at any point; the service is stopped and its folder removed either way.
pub(crate) async fn run(args: Args) -> ExitCode {
    match attempt(args).await {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

async fn attempt(args: Args) -> Result<ExitCode, Failure> {
    let signals = |e| Failure::File("cannot wait for signals".to_owned(), e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let place = Place::new(args.to.as_deref())?;
    let mut endpoint = None;
    let end = tokio::select! {
        done = demonstrate(&args, &place, &mut endpoint) => done.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    };
    let mut kept = Ok(());
    if end.as_ref().is_ok_and(|code| *code == ExitCode::SUCCESS)
        && !args.exit
        && let Some(endpoint) = &mut endpoint
    {
        output::line("\nThe endpoint keeps running until Ctrl-C.");
        kept = tokio::select! {
            failure = endpoint.ended() => Err(failure),
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
    }
    if end.is_err() || kept.is_err() {
        place.tell_log();
    }
    if let Some(endpoint) = endpoint {
        endpoint.stop().await;
    }
    place.remove();
    kept.and(end)
}

/// The demonstration itself; the endpoint is left to the caller to stop.
async fn demonstrate(
    args: &Args,
    place: &Place,
    running: &mut Option<Endpoint>,
) -> Result<(), Failure> {
    let endpoint = running.insert(Endpoint::start(place).await?);
    let client = endpoint.client().await?;
    let task = match (&args.url, &args.to) {
        (Some(url), Some(_)) => Task {
            sources: vec![Source {
                url: url.clone(),
                local_file: place.target().display().to_string(),
                path: place.target().to_owned(),
                content: None,
            }],
        },
        _ => generated(args.size, place).await?,
    };
    walk::walk(&client, &task).await?;
    commands::print(endpoint, &task);
    Ok(())
}

/// Starts the origin: one file of the size asked for, and a small one for the
/// second step. It serves until the process ends.
async fn generated(mib: u64, place: &Place) -> Result<Task, Failure> {
    let failed = |e| Failure::File("cannot start the origin".to_owned(), e);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let sizes = [("data.bin", mib * MIB), ("notes.bin", MIB)];
    let origin = Origin::new(&sizes);
    let sources = sizes
        .iter()
        .zip(origin.contents())
        .map(|((name, _), content)| Source {
            url: format!("http://{address}/{name}"),
            local_file: format!("C:\\demo\\{name}"),
            path: place.files().join("demo").join(name),
            content: Some(content),
        })
        .collect();
    output::line(&format!(
        "origin    http://{address}/ has a generated file of {mib} MiB and one of 1 MiB"
    ));
    tokio::spawn(Arc::new(origin).serve(listener));
    Ok(Task { sources })
}

const MIB: u64 = 1_048_576;
