//! The verbs that show a job.

use std::time::SystemTime;

use serde_json::Value;

use crate::cli::Failure;
use crate::cli::bits_client_job as class;
use crate::cli::bitsd_job;
use crate::cli::output;
use crate::client::Argument;
use crate::client::Client;
use crate::client::Error;
use crate::client::Item;
use crate::client::Resource;

use super::Form;
use super::args::FilesArgs;
use super::fields;

/// Lists the jobs, all or those that `filter` holds for.
pub(super) async fn list(client: &Client, form: Form, filter: Option<&str>) -> Result<(), Failure> {
    let jobs = class::list(client, filter).await?;
    if form == Form::Json {
        output::json(&Value::Array(jobs.iter().map(fields::json).collect()));
        return Ok(());
    }
    for job in &jobs {
        output::line(&summary(job));
    }
    output::line(&format!("Listed {} job(s).", jobs.len()));
    Ok(())
}

/// A job in one line: `{GUID} 'name' STATE files / files octets / octets`.
fn summary(job: &Item) -> String {
    format!(
        "{} '{}' {} {} / {} {} / {}",
        job.text("JobId").unwrap_or_default(),
        printable(job.text("DisplayName").unwrap_or_default()),
        class::state_word(job.number("State").unwrap_or(u16::MAX)),
        job.text("FilesTransferred").unwrap_or("0"),
        job.text("FilesTotal").unwrap_or("0"),
        fields::octets(job, "BytesTransferred"),
        fields::octets(job, "BytesTotal"),
    )
}

/// Shows everything about a job.
pub(super) async fn show(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    let id = class::find(client, name).await?;
    let job = class::instance(&id);
    let item = bitsd_job::get(client, &id).await?;
    let state = item.number("State").unwrap_or(u16::MAX);
    let error = match state {
        class::ERROR | class::TRANSIENT_ERROR => Some(ask_error(client, &job).await?),
        _ => None,
    };
    if form == Form::Json {
        let mut object = fields::json(&item);
        if let (Value::Object(object), Some(Value::Object(error))) =
            (&mut object, error.as_ref().map(fields::json))
        {
            object.extend(error.into_iter().filter(|(key, _)| key != "ReturnValue"));
        }
        output::json(&object);
        return Ok(());
    }
    let text = |name| printable(item.text(name).unwrap_or_default());
    let lines = [
        ("GUID", text("JobId")),
        ("DISPLAY", format!("'{}'", text("DisplayName"))),
        ("DESCRIPTION", text("Description")),
        ("STATE", class::state_word(state).to_owned()),
        ("OWNER", text("Owner")),
        (
            "PRIORITY",
            class::priority_word(item.number("Priority").unwrap_or(u32::MAX)).to_owned(),
        ),
        (
            "FILES",
            format!("{} / {}", text("FilesTransferred"), text("FilesTotal")),
        ),
        (
            "BYTES",
            format!(
                "{} / {}",
                fields::octets(&item, "BytesTransferred"),
                fields::octets(&item, "BytesTotal")
            ),
        ),
        ("CREATION TIME", fields::time(&item, "JobCreationTime")),
        (
            "MODIFICATION TIME",
            fields::time(&item, "JobLastModificationTime"),
        ),
        ("COMPLETION TIME", fields::time(&item, "JobCompletionTime")),
        ("RETRY DELAY", format!("{} s", text("MinimumRetryDelay"))),
        (
            "NO PROGRESS TIMEOUT",
            format!("{} s", text("NoProgressTimeout")),
        ),
        ("ERROR COUNT", text("TransientErrorCount")),
    ];
    for (label, value) in lines {
        output::line(&format!("{label}: {value}"));
    }
    for (label, value) in more(&item) {
        output::line(&format!("{label}: {}", printable(&value)));
    }
    if let Some(error) = error {
        print_error(&error);
    }
    output::line("JOB FILES:");
    if left_out(&item) {
        output::line(&format!("  too many to show here: bitsd job files {id}"));
    }
    for file in item.all("Files").filter(|f| f.text.is_some()) {
        output::line(&format!("  {}", file_line(file)));
    }
    Ok(())
}

/// What only `BitsdJob` tells.
fn more(item: &Item) -> Vec<(&'static str, String)> {
    let text = |name| item.text(name).map(str::to_owned);
    let several = |name| {
        let all: Vec<&str> = item
            .all(name)
            .filter_map(|one| one.text.as_deref())
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    };
    let is_set = |name| text(name).filter(|word| word == "true" || word == "1");
    let kind = item.number::<usize>("Type");
    let kind = kind.and_then(|kind| ["Download", "Upload", "UploadReply"].get(kind));
    let flags = item
        .number::<u32>("SecurityFlags")
        .filter(|flags| *flags != 0);
    let all = [
        ("TYPE", kind.map(|kind| (*kind).to_owned())),
        ("STANDING", bitsd_job::standing(item, SystemTime::now())),
        ("LAST ERROR", bitsd_job::last_error(item)),
        ("HTTP METHOD", text("HttpMethod")),
        (
            "CUSTOM HEADERS",
            text("CustomHeaders").map(|lines| lines.trim_end().replace("\r\n", " | ")),
        ),
        ("HEADERS WRITE-ONLY", is_set("HeadersWriteOnly")),
        ("SECURITY FLAGS", flags.map(|flags| format!("0x{flags:X}"))),
        ("SERVER THUMBPRINTS", several("ServerThumbprints")),
        (
            "MAXIMUM DOWNLOAD TIME",
            text("MaximumDownloadTime").map(|seconds| format!("{seconds} s")),
        ),
        ("MAXIMUM DOWNLOAD SIZE", text("MaxDownloadSize")),
        ("DYNAMIC CONTENT", is_set("DynamicContent")),
        ("REQUIRES RANGES", is_set("RequireRanges")),
        ("REPLY FILE", text("ReplyFileName")),
        (
            "REPLY BYTES",
            text("ReplyBytesTransferred")
                .map(|octets| format!("{octets} / {}", fields::octets(item, "ReplyBytesTotal"))),
        ),
        ("LABELS", several("Labels")),
        (
            "START AFTER",
            text("StartAfter").map(|_| fields::time(item, "StartAfter")),
        ),
        ("PROXY", text("ProxyList")),
    ];
    let told = all.into_iter();
    told.filter_map(|(label, value)| Some((label, value?)))
        .collect()
}

/// Lists the files of a job: as `BitsdFile`, page by page. Where the host has no
/// such class, from the instance if they fit one answer, and else one by one,
/// by fragment Gets of `Files[n]`.
pub(super) async fn files(client: &Client, args: &FilesArgs, form: Form) -> Result<(), Failure> {
    let id = class::find(client, &args.job).await?;
    let job = class::instance(&id);
    let item = class::get(client, &job).await?;
    let total: u32 = item.number("FilesTotal").unwrap_or(0);
    let skip = usize::try_from(args.first - 1).unwrap_or(usize::MAX);
    let most = if left_out(&item) { args.most } else { u32::MAX };
    let end = total.min(args.first.saturating_add(most).saturating_sub(1));
    let files = match bitsd_job::files(client, &id, args.first - 1, most).await {
        Ok(files) => files,
        Err(Error::Fault(_)) if left_out(&item) => {
            let mut files = Vec::new();
            for number in args.first..=end {
                let path = format!("Files[{number}]");
                let fragment = client.get_fragment(&job, &path).await?;
                files.extend(fragment.into_iter().filter(|f| f.text.is_some()));
            }
            files
        }
        Err(Error::Fault(_)) => {
            let whole = item.all("Files").filter(|f| f.text.is_some());
            whole.skip(skip).cloned().collect()
        }
        Err(error) => return Err(error.into()),
    };
    if end < total {
        output::note(&format!(
            "these are the files {} to {end} of {total}; go on with --first {}",
            args.first,
            end + 1
        ));
    }
    if form == Form::Json {
        output::json(&Value::Array(files.iter().map(fields::json).collect()));
        return Ok(());
    }
    for file in &files {
        output::line(&file_line(file));
    }
    output::line(&format!("Listed {} file(s).", files.len()));
    Ok(())
}

/// Shows why a job failed.
pub(super) async fn error(client: &Client, name: &str, form: Form) -> Result<(), Failure> {
    let id = class::find(client, name).await?;
    let error = ask_error(client, &class::instance(&id)).await?;
    if form == Form::Json {
        output::json(&fields::json(&error));
    } else {
        print_error(&error);
    }
    Ok(())
}

/// Asks a job for its last error, in English.
pub(in crate::cli) async fn ask_error(client: &Client, job: &Resource) -> Result<Item, Failure> {
    let arguments = [Argument::new("LanguageId", ENGLISH)];
    class::call(client, job, "GetError", &arguments).await
}

fn print_error(error: &Item) {
    let text = |name| printable(error.text(name).unwrap_or_default());
    output::line(&format!("ERROR CODE: {}", error_line(error)));
    output::line(&format!(
        "ERROR CONTEXT: {} - {}",
        text("ErrorContext"),
        text("ContextDescription")
    ));
}

/// The code of an error, and what it means.
pub(in crate::cli) fn error_line(error: &Item) -> String {
    let code: u32 = error.number("ErrorCode").unwrap_or(0);
    let words = printable(error.text("ErrorDescription").unwrap_or_default());
    format!("0x{code:08X} - {words}")
}

/// Whether the job has files that the answer does not list.
fn left_out(job: &Item) -> bool {
    job.number::<u32>("FilesTotal").unwrap_or(0) > 0 && !job.all("Files").any(|f| f.text.is_some())
}

/// A file in one line: `octets / octets STATUS url -> local`.
fn file_line(file: &Item) -> String {
    let transferred = file.number::<u64>("BytesTransferred");
    let completed = matches!(
        file.text("Completed").map(str::trim),
        Some("true" | "TRUE" | "True" | "1")
    );
    let whole = transferred.is_some() && transferred == file.number("BytesTotal");
    format!(
        "{} / {} {} {} -> {}",
        fields::octets(file, "BytesTransferred"),
        fields::octets(file, "BytesTotal"),
        if completed || whole {
            "COMPLETED"
        } else {
            "WORKING"
        },
        printable(file.text("RemoteUrl").unwrap_or_default()),
        printable(file.text("LocalFile").unwrap_or_default()),
    )
}

/// Text of others, without what would steer the terminal.
fn printable(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(printable).collect()
}

/// `LANG_ENGLISH`, `SUBLANG_ENGLISH_US`.
const ENGLISH: u32 = 0x0409;

#[cfg(test)]
mod tests {
    use super::*;

    fn item(properties: &[(&str, Option<&str>)]) -> Item {
        let child = |(name, text): &(&str, Option<&str>)| Item {
            name: (*name).to_owned(),
            text: text.map(str::to_owned),
            children: Vec::new(),
        };
        Item {
            children: properties.iter().map(child).collect(),
            ..Item::default()
        }
    }

    #[test]
    fn a_job_is_told_in_one_line() {
        let job = item(&[
            ("JobId", Some("{1}")),
            ("DisplayName", Some("a\u{1b}b")),
            ("State", Some("5")),
            ("FilesTransferred", Some("1")),
            ("FilesTotal", Some("2")),
            ("BytesTransferred", Some("10")),
            ("BytesTotal", Some("18446744073709551615")),
        ]);
        assert_eq!(summary(&job), "{1} 'a?b' TransientError 1 / 2 10 / UNKNOWN");
        assert!(left_out(&job));
    }

    #[test]
    fn an_error_is_told_with_its_code() {
        let error = item(&[
            ("ErrorCode", Some("2149122452")),
            ("ErrorDescription", Some("not there")),
        ]);
        assert_eq!(error_line(&error), "0x80190194 - not there");
    }

    #[test]
    fn a_file_is_told_in_one_line() {
        let file = item(&[
            ("RemoteUrl", Some("http://h/f")),
            ("LocalFile", Some("C:\\f")),
            ("BytesTransferred", Some("5")),
            ("BytesTotal", Some("5")),
            ("Completed", Some("false")),
        ]);
        assert_eq!(file_line(&file), "5 / 5 COMPLETED http://h/f -> C:\\f");
    }
}
