//! What only hosts with `BitsdJob` do.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::bits_client_job as class;
use crate::cli::bits_client_job::JobState;
use crate::cli::bitsd_job;
use crate::cli::bitsd_job::FileSpec;
use crate::cli::output;
use crate::client::Argument;
use crate::client::Client;
use crate::client::Resource;

use super::Form;
use super::args::CreateArgs;
use super::args::Kind;
use super::args::OptionArgs;
use super::args::ReplacePrefixArgs;
use super::verbs::tell;

/// The job needs nothing but `BitsClientJob`: a host without other classes can
/// have it.
pub(super) fn is_plain(args: &CreateArgs, files: &[FileSpec]) -> bool {
    args.kind.is_none_or(|kind| kind != Kind::UploadReply)
        && properties(&args.options).is_empty()
        && !args.options.headers_write_only
        && args.files.from.is_none()
        && files
            .iter()
            .all(|file| file.ranges.is_none() && file.sha256.is_none())
}

/// The options as properties, an array as several.
pub(super) fn properties(options: &OptionArgs) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut push = |name, value: Option<String>| all.extend(value.map(|value| (name, value)));
    let lines = options.header.join("\r\n");
    push("HttpMethod", options.method.clone());
    push(
        "CustomHeaders",
        Some(lines).filter(|lines| !lines.is_empty()),
    );
    push(
        "SecurityFlags",
        options.security_flags.map(|f| f.to_string()),
    );
    for thumbprint in &options.thumbprint {
        push("ServerThumbprints", Some(thumbprint.clone()));
    }
    push(
        "MaximumDownloadTime",
        options.max_time.map(|s| s.to_string()),
    );
    push("MaxDownloadSize", options.max_size.map(|s| s.to_string()));
    let set = |is_set: bool| is_set.then(|| "true".to_owned());
    push("DynamicContent", set(options.dynamic));
    push("RequireRanges", set(options.require_ranges));
    push("ReplyFileName", options.reply_file.clone());
    for label in &options.label {
        push("Labels", Some(label.clone()));
    }
    push(
        "StartAfter",
        options.start_after.map(|at| at.ticks().to_string()),
    );
    all
}

/// Creates a job in one call, as far as its files fit one: then it is whole
/// before it runs.
pub(super) async fn create(
    client: &Client,
    args: &CreateArgs,
    files: &[FileSpec],
) -> Result<String, Failure> {
    let sets = bitsd_job::sets(files);
    let (first, rest) = sets
        .split_first()
        .map_or((files, &[][..]), |(f, r)| (*f, r));
    let mut arguments = vec![
        Argument::new("DisplayName", &args.name),
        Argument::new("Type", args.kind.map_or(0, |kind| kind as u16)),
        Argument::new("Suspend", args.suspended || !rest.is_empty()),
        bitsd_job::files_argument(first),
    ];
    let optional = [
        ("Description", args.description.clone()),
        ("Priority", args.priority.map(|p| (p as u32).to_string())),
        (
            "HeadersWriteOnly",
            args.options.headers_write_only.then(|| "true".to_owned()),
        ),
    ];
    for (name, value) in optional {
        arguments.extend(value.map(|value| Argument::new(name, value)));
    }
    for (name, value) in properties(&args.options) {
        arguments.push(Argument::new(name, value));
    }
    let class = Resource::class(bitsd_job::JOB);
    let output = class::call(client, &class, "CreateJob", &arguments).await?;
    let id = output
        .text("JobId")
        .ok_or(crate::client::Error::Lacks("JobId"))?
        .to_owned();
    let finished = finish(client, &id, rest, args.suspended).await;
    if finished.is_err() {
        // The job is there: who asked for it must know its name.
        output::complain(&format!("the job {id} is left suspended"));
    }
    finished?;
    Ok(id)
}

async fn finish(
    client: &Client,
    id: &str,
    rest: &[&[FileSpec]],
    suspended: bool,
) -> Result<(), Failure> {
    for set in rest {
        add(client, id, set).await?;
    }
    if !rest.is_empty() && !suspended {
        class::set_state(client, &class::instance(id), JobState::Resume).await?;
    }
    Ok(())
}

/// Adds a set of files: all or none.
pub(super) async fn add(client: &Client, id: &str, set: &[FileSpec]) -> Result<(), Failure> {
    let files = [bitsd_job::files_argument(set)];
    bitsd_job::call(client, id, "AddFileSet", &files).await?;
    Ok(())
}

/// Takes a job.
pub(super) async fn take(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    let id = class::find(client, name).await?;
    bitsd_job::call(client, &id, "TakeOwnership", &[]).await?;
    tell(form, &id, &format!("{id} taken."));
    Ok(())
}

/// Replaces the beginning of addresses.
pub(super) async fn replace_prefix(
    client: &Client,
    args: &ReplacePrefixArgs,
    form: Form,
) -> Result<(), Failure> {
    let id = class::find(client, &args.job).await?;
    let arguments = [
        Argument::new("OldPrefix", &args.old),
        Argument::new("NewPrefix", &args.new),
    ];
    let out = bitsd_job::call(client, &id, "ReplaceRemotePrefix", &arguments).await?;
    let changed: u32 = out.number("FilesChanged").unwrap_or(0);
    match form {
        Form::Words => output::line(&format!("{id}: {changed} URL(s) changed.")),
        Form::Json => output::json(&json!({ "JobId": id, "FilesChanged": changed })),
    }
    Ok(())
}

/// Prints the answer to an upload.
pub(super) async fn reply(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    let id = class::find(client, name).await?;
    let out = bitsd_job::call(client, &id, "GetReplyData", &[]).await?;
    let text = out.text("ReplyData").unwrap_or_default();
    if form == Form::Json {
        output::json(&json!({ "JobId": id, "ReplyData": text }));
        return Ok(());
    }
    let octets = STANDARD
        .decode(text.trim())
        .map_err(|_| Failure::Job("the answer is no base64".to_owned()))?;
    // That nobody reads it is no failure.
    let _ = std::io::stdout().lock().write_all(&octets);
    Ok(())
}
