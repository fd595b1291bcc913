//! `bitsd job`: jobs of this or another machine, over WS-Management.
//!
//! The words are those of `bitsadmin` and of the `BitsTransfer` cmdlets; with
//! `--json` the keys are the names of the class's properties.

mod args;
mod connection;
mod fields;
mod lists;
mod moment;
mod options;
mod show;
mod verbs;
mod watch;

use std::process::ExitCode;

use crate::client::Client;

use super::Failure;
use args::Verb;

pub(crate) use args::Args;
pub(super) use show::ask_error;
pub(super) use show::error_line;

/// Does what the command line asks for, and gives the exit code.
pub(crate) async fn run(args: Args) -> ExitCode {
    match attempt(args).await {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

async fn attempt(args: Args) -> Result<ExitCode, Failure> {
    let form = if args.json { Form::Json } else { Form::Words };
    let client = Client::new(args.connection.settings()?)?;
    match &args.verb {
        Verb::Create(create) => verbs::create(&client, create, form).await?,
        Verb::Add(add) => verbs::add(&client, add, form).await?,
        Verb::List(args) => show::list(&client, form, args.filter.as_deref()).await?,
        Verb::Files(files) => show::files(&client, files, form).await?,
        Verb::Take(job) => options::take(&client, &job.job, form).await?,
        Verb::ReplacePrefix(args) => options::replace_prefix(&client, args, form).await?,
        Verb::Reply(job) => options::reply(&client, &job.job, form).await?,
        Verb::Show(job) => show::show(&client, &job.job, form).await?,
        Verb::Set(set) => verbs::set(&client, set, form).await?,
        Verb::Resume(job) => verbs::resume(&client, &job.job, form).await?,
        Verb::Suspend(job) => verbs::suspend(&client, &job.job, form).await?,
        Verb::Complete(job) => verbs::complete(&client, &job.job, form).await?,
        Verb::Cancel(job) => verbs::cancel(&client, &job.job, form).await?,
        Verb::Error(job) => show::error(&client, &job.job, form).await?,
        Verb::Credentials(credentials) => verbs::credentials(&client, credentials, form).await?,
        Verb::Proxy(proxy) => verbs::proxy(&client, proxy, form).await?,
        Verb::Certificate(certificate) => verbs::certificate(&client, certificate, form).await?,
        Verb::Watch(watch) => return watch::watch(&client, watch, form).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// For whom the output is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// People.
    Words,
    /// Programs.
    Json,
}

#[cfg(test)]
mod tests;
