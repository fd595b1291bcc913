//! `BitsdJob` and `BitsdFile` as their clients see them. Hosts that are not ours
//! do not have them: what can be had without falls back to `BitsClientJob`.

use std::time::Duration;
use std::time::SystemTime;

use crate::bits::Timestamp;
use crate::client::Argument;
use crate::client::Client;
use crate::client::Error;
use crate::client::Item;
use crate::client::Resource;

use super::Failure;
use super::bits_client_job as class;

/// The class of jobs with all that can be set of them.
pub(super) const JOB: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/bitsd/BitsdJob";

/// Every class of its namespace.
const ALL: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/bitsd/*";

/// The instance with this identifier.
pub(super) fn instance(id: &str) -> Resource {
    Resource::instance(JOB, "JobId", id)
}

/// The job with all that is known of it: as `BitsdJob`, or as `BitsClientJob`
/// where the host has no other class.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn get(client: &Client, id: &str) -> Result<Item, Error> {
    match class::get(client, &instance(id)).await {
        Err(Error::Fault(_)) => class::get(client, &class::instance(id)).await,
        other => other,
    }
}

/// A file that a job is to have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct FileSpec {
    /// Where it comes from.
    pub(super) url: String,
    /// Where it goes.
    pub(super) local: String,
    /// Parts, `offset:length,offset:eof`.
    pub(super) ranges: Option<String>,
    /// SHA-256 in hexadecimal digits.
    pub(super) sha256: Option<String>,
}

impl FileSpec {
    fn members(&self) -> Vec<(&'static str, String)> {
        let mut members = vec![
            ("RemoteUrl", self.url.clone()),
            ("LocalFile", self.local.clone()),
        ];
        members.extend(self.ranges.clone().map(|ranges| ("Ranges", ranges)));
        members.extend(self.sha256.clone().map(|hash| ("ExpectedSha256", hash)));
        members
    }

    fn octets(&self) -> usize {
        let text: usize = self.members().iter().map(|(_, text)| text.len()).sum();
        text + LEAST_SPEC
    }
}

/// The argument that carries files.
pub(super) fn files_argument(files: &[FileSpec]) -> Argument<'static> {
    Argument::instances("Files", files.iter().map(FileSpec::members))
}

/// The sets in which `files` go: each fits an envelope.
pub(super) fn sets(files: &[FileSpec]) -> Vec<&[FileSpec]> {
    let mut sets = Vec::new();
    let (mut start, mut octets) = (0, 0);
    for (at, file) in files.iter().enumerate() {
        octets += file.octets();
        if octets > SET && at > start {
            sets.push(&files[start..at]);
            (start, octets) = (at, file.octets());
        }
    }
    sets.push(&files[start..]);
    sets
}

/// Files of a job from a place on, at most so many.
///
/// # Errors
///
/// [`Error`]; a fault where the host has no such class.
pub(super) async fn files(
    client: &Client,
    id: &str,
    from: u32,
    most: u32,
) -> Result<Vec<Item>, Error> {
    let query = format!("SELECT * FROM BitsdFile WHERE JobId = '{id}' AND Index >= {from}");
    let class = Resource::class(ALL);
    let wanted = usize::try_from(most).unwrap_or(usize::MAX);
    let mut page = client
        .enumerate(&class, Some(&query), most.min(PAGE))
        .await?;
    let mut files = page.items;
    while let Some(context) = page.context {
        if files.len() >= wanted {
            client.release(&class, &context).await?;
            break;
        }
        page = client.pull(&class, &context, PAGE).await?;
        files.append(&mut page.items);
    }
    files.truncate(wanted);
    Ok(files)
}

/// Calls a method that only our own class has.
///
/// # Errors
///
/// [`Failure`].
pub(super) async fn call(
    client: &Client,
    id: &str,
    method: &str,
    arguments: &[Argument<'_>],
) -> Result<Item, Failure> {
    class::call(client, &instance(id), method, arguments).await
}

/// Why the job does not run, or how fast it does, in words; nothing where the
/// host does not say.
pub(super) fn standing(job: &Item, now: SystemTime) -> Option<String> {
    let until = |name| job.number::<u64>(name).map(|ticks| in_words(ticks, now));
    let server = until("ServerRetryAt");
    let retry = || match (until("RetryAt"), &server) {
        (Some(at), Some(server)) => format!("retry {at}, server asked for {server}"),
        (Some(at), None) => format!("retry {at}"),
        (None, _) => "retry".to_owned(),
    };
    let Some(what) = job.text("WaitingFor") else {
        let rate: u64 = job.number("BytesPerSecond")?;
        let ends = until("EndsAt").map(|at| format!(", must end {at}"));
        return Some(format!(
            "running: {rate} octets a second{}",
            ends.unwrap_or_default()
        ));
    };
    Some(match what {
        "retry" | "server retry after" => format!("waiting: {}", retry()),
        "client" => "waiting for Resume, Complete or Cancel".to_owned(),
        "start after" => match until("RetryAt").or_else(|| until("StartAfter")) {
            Some(at) => format!("waiting: starts {at}"),
            None => "waiting for its start".to_owned(),
        },
        what => {
            let line = job.number::<u64>("QueuePosition").map(|position| {
                let accounts = job.number::<u64>("QueueAccounts").unwrap_or(1);
                let turns = match accounts {
                    0 | 1 => String::new(),
                    many => format!(" of its account, {many} accounts take turns"),
                };
                format!("{} in line{turns}, ", ordinal(position))
            });
            format!("waiting: {}for a {what}", line.unwrap_or_default())
        }
    })
}

/// The last error with what it happened at; nothing when there is none.
pub(super) fn last_error(job: &Item) -> Option<String> {
    let code: u32 = job.number("ErrorCode")?;
    let mut line = format!(
        "0x{code:08X} - {}",
        job.text("ErrorDescription").unwrap_or_default()
    );
    let about = [
        job.text("ErrorPhase")
            .map(|phase| format!("while {}", phase.to_lowercase())),
        job.text("ErrorHttpStatus")
            .map(|status| format!("HTTP {status}")),
        job.text("ErrorUrl").map(str::to_owned),
        job.number::<u32>("ErrorFileIndex")
            .map(|index| format!("file {}", u64::from(index) + 1)),
    ];
    let about: Vec<String> = about.into_iter().flatten().collect();
    if !about.is_empty() {
        line = [&line, " (", &about.join(", "), ")"].concat();
    }
    Some(line)
}

/// A time by how far it is away.
fn in_words(ticks: u64, now: SystemTime) -> String {
    let at = Timestamp::from_ticks(ticks);
    let far = |span: Duration| match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    };
    let now = Timestamp::from(now);
    if at <= now {
        "now".to_owned()
    } else {
        format!("in {}", far(at.since(now)))
    }
}

fn ordinal(number: u64) -> String {
    let end = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

/// Files asked for at a time.
const PAGE: u32 = 500;

/// Octets of files in one call: half of what an envelope holds.
const SET: usize = 250_000;

/// Octets that a file at least takes in a call.
const LEAST_SPEC: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn item(properties: &[(&str, &str)]) -> Item {
        let child = |(name, text): &(&str, &str)| Item {
            name: (*name).to_owned(),
            text: Some((*text).to_owned()),
            children: Vec::new(),
        };
        Item {
            children: properties.iter().map(child).collect(),
            ..Item::default()
        }
    }

    fn after(seconds: u64) -> String {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Timestamp::from(at).ticks().to_string()
    }

    #[test]
    fn a_job_says_why_it_waits() {
        let now = SystemTime::UNIX_EPOCH;
        let told = |properties: &[(&str, &str)]| standing(&item(properties), now);
        assert_eq!(
            told(&[
                ("WaitingFor", "slot"),
                ("QueuePosition", "3"),
                ("QueueAccounts", "1")
            ]),
            Some("waiting: 3rd in line, for a slot".to_owned())
        );
        assert_eq!(
            told(&[
                ("WaitingFor", "user limit"),
                ("QueuePosition", "11"),
                ("QueueAccounts", "4")
            ]),
            Some(
                "waiting: 11th in line of its account, 4 accounts take turns, for a user limit"
                    .to_owned()
            )
        );
        assert_eq!(
            told(&[
                ("WaitingFor", "server retry after"),
                ("RetryAt", &after(600)),
                ("ServerRetryAt", &after(90))
            ]),
            Some("waiting: retry in 10 min, server asked for in 90 s".to_owned())
        );
        assert_eq!(
            told(&[
                ("WaitingFor", "start after"),
                ("StartAfter", &after(10_000))
            ]),
            Some("waiting: starts in 2 h".to_owned())
        );
        assert_eq!(
            told(&[("BytesPerSecond", "5")]),
            Some("running: 5 octets a second".to_owned())
        );
        assert_eq!(told(&[("State", "2")]), None);
    }

    #[test]
    fn an_error_says_what_it_happened_at() {
        let job = item(&[
            ("ErrorCode", "2149122551"),
            ("ErrorDescription", "Busy."),
            ("ErrorPhase", "Asking"),
            ("ErrorHttpStatus", "503"),
            ("ErrorUrl", "http://h/f"),
            ("ErrorFileIndex", "0"),
        ]);
        assert_eq!(
            last_error(&job).as_deref(),
            Some("0x801901F7 - Busy. (while asking, HTTP 503, http://h/f, file 1)")
        );
        assert_eq!(last_error(&item(&[])), None);
    }

    #[test]
    fn files_go_in_sets_that_fit() {
        let file = FileSpec {
            url: "u".repeat(1_000),
            ..FileSpec::default()
        };
        let all = vec![file; 1_000];
        let sets = sets(&all);
        assert!(sets.len() > 4);
        assert_eq!(sets.iter().map(|set| set.len()).sum::<usize>(), 1_000);
        assert!(sets.iter().all(|set| set.len() * 1_160 <= SET));
    }
}
