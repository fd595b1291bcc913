//! `BitsClientJob` as its clients see it: its address, its words, and the
//! calls that the commands are made of.

use crate::bits::Hresult;
use crate::bits::JobId;
use crate::bits::Language;
use crate::client::Argument;
use crate::client::Client;
use crate::client::Error;
use crate::client::Item;
use crate::client::LARGE;
use crate::client::Resource;
use crate::client::SMALL;

use super::Failure;

/// The class of jobs ("BITS Provider Classes").
pub(super) const JOB: &str =
    "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/BitsClientJob";

/// Every class of its namespace.
const ALL: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/*";

/// What `SetJobState` takes: commands, not states.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum JobState {
    /// Delete the job and what it has fetched.
    Cancel = 0,
    /// Put the files in their places, and end the job.
    Complete = 1,
    /// Start, or go on.
    Resume = 2,
    /// Hold.
    Suspend = 3,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    /// The state's number.
    pub(super) state: u16,
    /// Octets fetched.
    pub(super) transferred: u64,
    /// Octets in all, when known.
    pub(super) total: Option<u64>,
    /// Whole files fetched.
    pub(super) files_transferred: u32,
    /// Files in all.
    pub(super) files_total: u32,
}

/// How a job is asked for its standing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Polling {
    /// By Get in a small envelope: the list of files is left out when it does
    /// not fit, so that a job of 100,000 files costs no more than one of two.
    SmallGet,
    /// By a fragment Get for each property, where a service refuses an
    /// instance that does not fit.
    Fragments,
}

impl Standing {
    fn of(job: &Item) -> Result<Self, Error> {
        Ok(Self {
            state: job.number("State").ok_or(Error::Lacks("State"))?,
            transferred: job.number("BytesTransferred").unwrap_or(0),
            total: job.number("BytesTotal").filter(|t| *t != UNKNOWN),
            files_transferred: job.number("FilesTransferred").unwrap_or(0),
            files_total: job.number("FilesTotal").unwrap_or(0),
        })
    }

    /// Asks the endpoint.
    ///
    /// # Errors
    ///
    /// [`Error`]; a fault too when the job is gone.
    pub(super) async fn ask(
        client: &Client,
        job: &Resource,
        polling: &mut Polling,
    ) -> Result<Self, Error> {
        if *polling == Polling::SmallGet {
            match client.get(job, SMALL).await {
                Ok(item) => return Self::of(&item),
                Err(error) if error.is_fault("EncodingLimit") => *polling = Polling::Fragments,
                Err(error) => return Err(error),
            }
        }
        let mut item = Item::default();
        for property in POLLED {
            item.children
                .extend(client.get_fragment(job, property).await?);
        }
        Self::of(&item)
    }
}

/// The instance with this identifier.
pub(super) fn instance(id: &str) -> Resource {
    Resource::instance(JOB, "JobId", id)
}

/// The jobs that the account may see, page by page; those alone that the WQL
/// condition `filter` holds for, if there is one.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn list(client: &Client, filter: Option<&str>) -> Result<Vec<Item>, Error> {
    let query = filter.map(|filter| format!("SELECT * FROM BitsClientJob WHERE {filter}"));
    // Windows takes queries for all classes of a namespace only.
    let class = Resource::class(if query.is_some() { ALL } else { JOB });
    let mut page = client.enumerate(&class, query.as_deref(), PAGE).await?;
    let mut jobs = page.items;
    while let Some(context) = page.context {
        page = client.pull(&class, &context, PAGE).await?;
        jobs.append(&mut page.items);
    }
    Ok(jobs)
}

/// The identifier of the job that `name` names: by itself, or by the display
/// name, which one job alone must have.
///
/// # Errors
///
/// [`Failure`].
pub(super) async fn find(client: &Client, name: &str) -> Result<String, Failure> {
    if let Ok(id) = name.parse::<JobId>() {
        return Ok(id.to_string());
    }
    let class = Resource::class(JOB);
    let mut found: Vec<String> = Vec::new();
    let mut page = client.enumerate(&class, None, PAGE).await?;
    loop {
        for job in &page.items {
            if job.text("DisplayName") == Some(name)
                && let Some(id) = job.text("JobId")
            {
                found.push(id.to_owned());
            }
        }
        let Some(context) = page.context else {
            break;
        };
        if found.len() > 1 {
            // The rest makes no difference; a listing left behind would lapse.
            client.release(&class, &context).await?;
            break;
        }
        page = client.pull(&class, &context, PAGE).await?;
    }
    match found.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(Failure::Job(format!("no job has the name {name}"))),
        many => Err(Failure::Job(format!(
            "several jobs have the name {name}, give the JobId: {}",
            many.join(", ")
        ))),
    }
}

/// Gives a job a command.
///
/// # Errors
///
/// [`Error`], also where the service answers a number that means failure.
pub(super) async fn set_state(
    client: &Client,
    job: &Resource,
    to: JobState,
) -> Result<(), Failure> {
    let arguments = [Argument::new("JobState", to as u16)];
    call(client, job, "SetJobState", &arguments)
        .await
        .map(|_| ())
}

/// Adds a file to a job.
///
/// # Errors
///
/// As [`call`].
pub(super) async fn add_file(
    client: &Client,
    job: &Resource,
    url: &str,
    local: &str,
) -> Result<(), Failure> {
    let arguments = [
        Argument::new("remoteUrl", url),
        Argument::new("localFile", local),
    ];
    call(client, job, "AddFile", &arguments).await.map(|_| ())
}

/// Calls a method, and takes a `ReturnValue` other than 0 for a failure.
///
/// # Errors
///
/// [`Failure`].
pub(super) async fn call(
    client: &Client,
    job: &Resource,
    method: &str,
    arguments: &[Argument<'_>],
) -> Result<Item, Failure> {
    let output = client.invoke(job, method, arguments).await?;
    match output.text("ReturnValue").map(str::trim) {
        None | Some("" | "0") => Ok(output),
        Some(code) => {
            let code = code
                .parse()
                .map_or_else(|_| code.to_owned(), |code: u32| hresult(code));
            Err(Failure::Job(format!("{method} failed with {code}")))
        }
    }
}

/// An instance whole, or without its list of files where that does not fit.
///
/// # Errors
///
/// [`Error`].
pub(super) async fn get(client: &Client, job: &Resource) -> Result<Item, Error> {
    client.get(job, LARGE).await
}

/// A code as people look it up, with its name and sentence where they are
/// known.
pub(super) fn hresult(code: u32) -> String {
    let code = Hresult::from_number(code);
    let number = code.number();
    match code.name() {
        Some(name) => format!(
            "0x{number:08X} {name} ({})",
            code.message(Language::English)
        ),
        None => format!("0x{number:08X}"),
    }
}

/// A state's word, as `BitsTransfer` has them.
pub(super) fn state_word(state: u16) -> &'static str {
    let word = STATES.get(usize::from(state));
    word.copied().unwrap_or("Unknown")
}

/// A priority's word.
pub(super) fn priority_word(priority: u32) -> &'static str {
    let word = usize::try_from(priority)
        .ok()
        .and_then(|p| PRIORITIES.get(p));
    word.copied().unwrap_or("Unknown")
}

const STATES: [&str; 9] = [
    "Queued",
    "Connecting",
    "Transferring",
    "Suspended",
    "Error",
    "TransientError",
    "Transferred",
    "Acknowledged",
    "Cancelled",
];

const PRIORITIES: [&str; 4] = ["Foreground", "High", "Normal", "Low"];

/// What a size says that is not known (`BG_SIZE_UNKNOWN`).
pub(super) const UNKNOWN: u64 = u64::MAX;

/// State: nothing goes on by itself any more, and something is wrong.
pub(super) const ERROR: u16 = 4;
/// State: tried again by itself.
pub(super) const TRANSIENT_ERROR: u16 = 5;
/// State: every file is fetched, and waits for Complete.
pub(super) const TRANSFERRED: u16 = 6;
/// State: completed.
pub(super) const ACKNOWLEDGED: u16 = 7;
/// State: cancelled.
pub(super) const CANCELLED: u16 = 8;

/// What polling by fragments asks for.
const POLLED: [&str; 5] = [
    "State",
    "BytesTransferred",
    "BytesTotal",
    "FilesTransferred",
    "FilesTotal",
];

/// Jobs asked for at a time; the envelope bounds them further.
const PAGE: u32 = 500;
