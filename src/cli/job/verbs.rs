//! The verbs that change a job.

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
use super::args::AddArgs;
use super::args::CertificateArgs;
use super::args::CreateArgs;
use super::args::CredentialsArgs;
use super::args::ProxyArgs;
use super::args::SetArgs;
use super::args::Usage;
use super::connection;
use super::fields;
use super::lists;
use super::options;

/// Creates a job. With more than one file, or a priority, it is made suspended
/// and started at the end, so that it does not run half made; where something
/// is asked for that `BitsClientJob` has not, it is made in one call.
pub(super) async fn create(client: &Client, args: &CreateArgs, form: Form) -> Result<(), Failure> {
    let files = lists::files(&args.files)?;
    if !options::is_plain(args, &files) {
        let id = options::create(client, args, &files).await?;
        tell(form, &id, &format!("created job {id}"));
        return Ok(());
    }
    let Some((first, rest)) = files.split_first() else {
        return Err(Failure::Usage("there is no file".to_owned()));
    };
    let in_steps = !rest.is_empty() || args.priority.is_some();
    let mut arguments = vec![
        Argument::new("DisplayName", &args.name),
        Argument::new("RemoteUrl", &first.url),
        Argument::new("LocalFile", &first.local),
        Argument::new("Type", args.kind.map_or(0, |kind| kind as u16)),
        Argument::new("Suspend", args.suspended || in_steps),
    ];
    if let Some(description) = &args.description {
        arguments.push(Argument::new("Description", description));
    }
    let output = class::call(
        client,
        &Resource::class(class::JOB),
        "CreateJob",
        &arguments,
    )
    .await?;
    let id = output
        .text("JobId")
        .ok_or(crate::client::Error::Lacks("JobId"))?;
    let job = class::instance(id);
    let finished = finish(client, &job, args, rest).await;
    if finished.is_err() {
        // The job is there: who asked for it must know its name.
        output::complain(&format!("the job {id} is left suspended"));
    }
    finished?;
    tell(form, id, &format!("created job {id}"));
    Ok(())
}

async fn finish(
    client: &Client,
    job: &Resource,
    args: &CreateArgs,
    rest: &[FileSpec],
) -> Result<(), Failure> {
    if let Some(priority) = args.priority {
        let value = (priority as u32).to_string();
        client.put(job, &[("Priority", value)]).await?;
    }
    for file in rest {
        class::add_file(client, job, &file.url, &file.local).await?;
    }
    if (args.priority.is_some() || !rest.is_empty()) && !args.suspended {
        class::set_state(client, job, JobState::Resume).await?;
    }
    Ok(())
}

/// Adds files: a list, and what only `AddFileSet` takes, in sets of which each
/// comes whole or not at all; else one by one, which every host can do.
pub(super) async fn add(client: &Client, args: &AddArgs, form: Form) -> Result<(), Failure> {
    let files = lists::files(&args.files)?;
    let id = class::find(client, &args.job).await?;
    let job = class::instance(&id);
    let is_plain = args.files.from.is_none()
        && files
            .iter()
            .all(|file| file.ranges.is_none() && file.sha256.is_none());
    if is_plain {
        for FileSpec { url, local, .. } in &files {
            class::add_file(client, &job, url, local).await?;
            if form == Form::Words {
                output::line(&format!("added {url} -> {local} to job {id}"));
            }
        }
    } else {
        let mut added = 0;
        for set in bitsd_job::sets(&files) {
            options::add(client, &id, set).await?;
            added += set.len();
            if form == Form::Words {
                output::line(&format!(
                    "added {added} / {} files to job {id}",
                    files.len()
                ));
            }
        }
    }
    if form == Form::Json {
        output::json(&json!({ "JobId": id, "ReturnValue": 0 }));
    }
    Ok(())
}

/// Changes properties.
pub(super) async fn set(client: &Client, args: &SetArgs, form: Form) -> Result<(), Failure> {
    let id = class::find(client, &args.job).await?;
    let mut properties = Vec::new();
    let mut push = |name, value: Option<String>| {
        if let Some(value) = value {
            properties.push((name, value));
        }
    };
    push("DisplayName", args.display_name.clone());
    push("Description", args.description.clone());
    push("Priority", args.priority.map(|p| (p as u32).to_string()));
    push("MinimumRetryDelay", args.retry_delay.map(|s| s.to_string()));
    push(
        "NoProgressTimeout",
        args.no_progress_timeout.map(|s| s.to_string()),
    );
    let own = options::properties(&args.options);
    let job = if own.is_empty() {
        class::instance(&id)
    } else {
        bitsd_job::instance(&id)
    };
    properties.extend(own);
    let set = if properties.is_empty() {
        None
    } else {
        client.put(&job, &properties).await?
    };
    if args.options.headers_write_only {
        bitsd_job::call(client, &id, "MakeCustomHeadersWriteOnly", &[]).await?;
    }
    match (form, set) {
        (Form::Json, Some(job)) => output::json(&fields::json(&job)),
        _ => tell(form, &id, &format!("{id} changed.")),
    }
    Ok(())
}

/// Starts a job.
pub(super) async fn resume(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    command(client, name, JobState::Resume, "resumed", form).await
}

/// Holds a job.
pub(super) async fn suspend(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    command(client, name, JobState::Suspend, "suspended", form).await
}

/// Ends a job with what has arrived.
pub(super) async fn complete(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    command(client, name, JobState::Complete, "completed", form).await
}

/// Deletes a job.
pub(super) async fn cancel(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    command(client, name, JobState::Cancel, "canceled", form).await
}

async fn command(
    client: &Client,
    name: &str,
    to: JobState,
    done: &str,
    form: Form,
) -> Result<(), Failure> {
    let id = class::find(client, name).await?;
    class::set_state(client, &class::instance(&id), to).await?;
    tell(form, &id, &format!("{id} {done}."));
    Ok(())
}

/// Sets or removes credentials.
pub(super) async fn credentials(
    client: &Client,
    args: &CredentialsArgs,
    form: Form,
) -> Result<(), Failure> {
    let id = class::find(client, &args.job).await?;
    let job = class::instance(&id);
    let mut arguments = vec![
        Argument::new("Target", args.target as u16),
        Argument::new("Scheme", args.scheme as u16),
    ];
    let Some(account) = &args.account else {
        class::call(client, &job, "RemoveCredentials", &arguments).await?;
        tell(form, &id, &format!("{id}: credentials removed."));
        return Ok(());
    };
    let password = match &args.account_password_file {
        Some(path) => connection::password_in(path)?,
        None => connection::ask(&format!("Password of {account}: "))?,
    };
    arguments.push(Argument::new("UserName", account));
    arguments.push(Argument::new("Password", password.reveal()));
    class::call(client, &job, "SetCredentials", &arguments).await?;
    tell(form, &id, &format!("{id}: credentials set."));
    Ok(())
}

/// Sets the proxy.
pub(super) async fn proxy(client: &Client, args: &ProxyArgs, form: Form) -> Result<(), Failure> {
    let mut arguments = Vec::new();
    let usage = match &args.usage {
        Usage::Preconfig => 0,
        Usage::NoProxy => 1,
        Usage::Override { list, bypass } => {
            arguments.push(Argument::new("ProxyList", list));
            if let Some(bypass) = bypass {
                arguments.push(Argument::new("ProxyBypassList", bypass));
            }
            2
        }
        Usage::Autodetect => 3,
    };
    arguments.insert(0, Argument::new("ProxyUsage", usage));
    let id = class::find(client, &args.job).await?;
    class::call(
        client,
        &class::instance(&id),
        "SetProxySettings",
        &arguments,
    )
    .await?;
    tell(form, &id, &format!("{id}: proxy set."));
    Ok(())
}

/// Sets or removes the client certificate.
pub(super) async fn certificate(
    client: &Client,
    args: &CertificateArgs,
    form: Form,
) -> Result<(), Failure> {
    let store = [
        Argument::new("CertStoreLocation", args.location as u16),
        Argument::new("StoreName", &args.store),
    ];
    let (method, arguments, done) = match (&args.hash, &args.subject) {
        (Some(hash), _) => {
            let hash = Argument::array("CertHash", octets(hash)?);
            let [location, name] = store;
            let arguments = vec![location, name, hash];
            ("SetClientCertificateById", arguments, "set")
        }
        (None, Some(subject)) => {
            let [location, name] = store;
            let arguments = vec![location, name, Argument::new("SubjectName", subject)];
            ("SetClientCertificateByName", arguments, "set")
        }
        (None, None) => ("RemoveClientCertificate", Vec::new(), "removed"),
    };
    let id = class::find(client, &args.job).await?;
    class::call(client, &class::instance(&id), method, &arguments).await?;
    tell(form, &id, &format!("{id}: client certificate {done}."));
    Ok(())
}

/// The twenty octets of a SHA-1, with or without colons or blanks.
fn octets(hash: &str) -> Result<Vec<u8>, Failure> {
    let wrong = || Failure::Usage("--hash takes a SHA-1 of 40 hexadecimal digits".to_owned());
    let digits: Vec<u32> = hash
        .chars()
        .filter(|c| !matches!(c, ':' | ' '))
        .map(|c| c.to_digit(16).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    if digits.len() != 40 {
        return Err(wrong());
    }
    let octets = digits.chunks(2).map(|pair| {
        let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
        u8::try_from(value).map_err(|_| wrong())
    });
    octets.collect()
}

/// Says that it is done.
pub(super) fn tell(form: Form, id: &str, words: &str) {
    match form {
        Form::Words => output::line(words),
        Form::Json => output::json(&json!({ "JobId": id, "ReturnValue": 0 })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_twenty_octets() {
        let text = format!("FF:{}", "0a".repeat(19));
        let mut expected = vec![255];
        expected.extend([10; 19]);
        assert_eq!(octets(&text).ok(), Some(expected));
        assert!(octets("ff").is_err());
        assert!(octets(&"zz".repeat(20)).is_err());
    }
}
