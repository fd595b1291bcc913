//! The arguments of `bitsd job`.
#![expect(
    clippy::doc_markdown,
    reason = "the documentation of arguments is their help text, and shows as it stands"
)]

use std::path::PathBuf;
use std::time::SystemTime;

use clap::ArgGroup;
use clap::Subcommand;
use clap::ValueEnum;

use super::connection::ConnectionArgs;
use super::moment;
use crate::bits::Timestamp;

/// Arguments of `bitsd job`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A JOB is a JobId or the display name that one job alone has.\n\
    Exit codes: 0 done, 1 the job or a request failed, 2 wrong command line,\n\
    3 the endpoint cannot be reached or is not trusted, 4 log-on refused."
)]
pub(crate) struct Args {
    /// Print JSON; its keys are the properties of BitsClientJob.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Create a job, and start it unless --suspended.
    Create(CreateArgs),
    /// Add files to a job.
    Add(AddArgs),
    /// List the jobs that the account may see.
    List(ListArgs),
    /// List the files of a job.
    Files(FilesArgs),
    /// Become the owner of a job, as an administrator. What it was trusted
    /// with (credentials, certificate, headers) is forgotten.
    Take(JobArgs),
    /// Replace the beginning of the URLs of a job.
    ReplacePrefix(ReplacePrefixArgs),
    /// Print the answer to an upload-reply job, as it came.
    Reply(JobArgs),
    /// Show everything about a job.
    Show(JobArgs),
    /// Change properties of a job.
    Set(SetArgs),
    /// Start a job, or let it go on.
    Resume(JobArgs),
    /// Hold a job.
    Suspend(JobArgs),
    /// Put the files that have arrived in their places, and end the job.
    Complete(JobArgs),
    /// Delete a job with what it has fetched.
    Cancel(JobArgs),
    /// Show why a job failed.
    Error(JobArgs),
    /// Set or remove the credentials for a server or proxy.
    Credentials(CredentialsArgs),
    /// Set the proxy of a job.
    Proxy(ProxyArgs),
    /// Set or remove the client certificate of a job.
    Certificate(CertificateArgs),
    /// Watch a job until it is transferred or has failed.
    Watch(WatchArgs),
}

/// A job alone.
#[derive(Debug, clap::Args)]
pub(super) struct JobArgs {
    /// JobId or display name.
    pub(super) job: String,
}

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only jobs that this WQL condition holds for, such as
    /// "State = 4 AND DisplayName LIKE 'nightly%'".
    #[arg(long = "where", value_name = "CONDITION")]
    pub(super) filter: Option<String>,
}

/// Arguments of `create`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("property").multiple(true))]
pub(super) struct CreateArgs {
    /// Display name of the job.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) files: FileArgs,
    /// Leave the job suspended.
    #[arg(long)]
    pub(super) suspended: bool,
    /// Description of the job.
    #[arg(long)]
    pub(super) description: Option<String>,
    /// Priority of the job.
    #[arg(long)]
    pub(super) priority: Option<Priority>,
    /// Which way the files go. An upload has one file: the URL it goes to, and
    /// the file it comes from.
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) kind: Option<Kind>,
    #[command(flatten)]
    pub(super) options: OptionArgs,
}

/// Which files.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// URL and destination, as often as there are files.
    #[arg(required_unless_present = "from", num_args = 2.., value_names = ["URL", "LOCAL_FILE"])]
    pub(super) files: Vec<String>,
    /// Read files from this list: a line has URL, destination and, if there is
    /// one, SHA-256, separated by blanks or tabs; # begins a comment.
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
    /// SHA-256 that the file must have; of several files, once for each, in
    /// their order.
    #[arg(long, value_name = "HEX")]
    pub(super) sha256: Vec<String>,
    /// Parts of the file, OFFSET:LENGTH,OFFSET:eof; of several files, once for
    /// each, in their order.
    #[arg(long, value_name = "RANGES")]
    pub(super) range: Vec<String>,
}

/// What can be set of a job beside the properties of BitsClientJob. Such a job
/// needs a host with BitsdJob.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Options of jobs on bitsd hosts")]
pub(super) struct OptionArgs {
    /// HttpMethod.
    #[arg(long, value_name = "METHOD", group = "property")]
    pub(super) method: Option<String>,
    /// A header line for every request; as often as there are lines.
    #[arg(long, value_name = "NAME: VALUE", group = "property")]
    pub(super) header: Vec<String>,
    /// Show nobody the headers again.
    #[arg(long, group = "property")]
    pub(super) headers_write_only: bool,
    /// SecurityFlags, a number.
    #[arg(long, value_name = "FLAGS", group = "property")]
    pub(super) security_flags: Option<u32>,
    /// SHA-256 or SHA-1 of a server certificate to trust; as often as there
    /// are.
    #[arg(long, value_name = "HEX", group = "property")]
    pub(super) thumbprint: Vec<String>,
    /// MaximumDownloadTime.
    #[arg(long, value_name = "SECONDS", group = "property")]
    pub(super) max_time: Option<u32>,
    /// MaxDownloadSize.
    #[arg(long, value_name = "OCTETS", group = "property")]
    pub(super) max_size: Option<u64>,
    /// DynamicContent.
    #[arg(long, group = "property")]
    pub(super) dynamic: bool,
    /// RequireRanges.
    #[arg(long, group = "property")]
    pub(super) require_ranges: bool,
    /// ReplyFileName, of an upload-reply job.
    #[arg(long, value_name = "FILE", group = "property")]
    pub(super) reply_file: Option<String>,
    /// A label; as often as there are.
    #[arg(long, value_name = "LABEL", group = "property")]
    pub(super) label: Vec<String>,
    /// Not before this: 2026-01-31T23:30:00Z, or a span from now such as 90s,
    /// 10m, 2h, 1d.
    #[arg(long, value_name = "TIME", group = "property", value_parser = moment)]
    pub(super) start_after: Option<Timestamp>,
}

/// Arguments of `replace-prefix`.
#[derive(Debug, clap::Args)]
pub(super) struct ReplacePrefixArgs {
    /// JobId or display name.
    pub(super) job: String,
    /// How the URLs begin.
    pub(super) old: String,
    /// How they shall begin.
    pub(super) new: String,
}

/// Arguments of `add`.
#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// JobId or display name.
    pub(super) job: String,
    #[command(flatten)]
    pub(super) files: FileArgs,
}

/// Arguments of `files`.
#[derive(Debug, clap::Args)]
pub(super) struct FilesArgs {
    /// JobId or display name.
    pub(super) job: String,
    /// Begin with this file; the first is 1.
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) first: u32,
    /// List at most so many of a job whose files do not fit one answer: each
    /// is then asked for by itself.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub(super) most: u32,
}

/// Arguments of `set`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("property").required(true).multiple(true))]
pub(super) struct SetArgs {
    /// JobId or display name.
    pub(super) job: String,
    /// DisplayName.
    #[arg(long, group = "property")]
    pub(super) display_name: Option<String>,
    /// Description.
    #[arg(long, group = "property")]
    pub(super) description: Option<String>,
    /// Priority.
    #[arg(long, group = "property")]
    pub(super) priority: Option<Priority>,
    /// MinimumRetryDelay.
    #[arg(long, group = "property", value_name = "SECONDS")]
    pub(super) retry_delay: Option<u32>,
    /// NoProgressTimeout.
    #[arg(long, group = "property", value_name = "SECONDS")]
    pub(super) no_progress_timeout: Option<u32>,
    #[command(flatten)]
    pub(super) options: OptionArgs,
}

/// Arguments of `credentials`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["account", "remove"]))]
pub(super) struct CredentialsArgs {
    /// JobId or display name.
    pub(super) job: String,
    /// Whom they are for.
    pub(super) target: Target,
    /// How they are proved.
    pub(super) scheme: Scheme,
    /// Name of the account at the server or proxy.
    #[arg(long, value_name = "NAME")]
    pub(super) account: Option<String>,
    /// Read its password from the first line of this file, not from the
    /// terminal.
    #[arg(long, value_name = "FILE", requires = "account")]
    pub(super) account_password_file: Option<PathBuf>,
    /// Remove the credentials.
    #[arg(long)]
    pub(super) remove: bool,
}

/// Arguments of `proxy`.
#[derive(Debug, clap::Args)]
pub(super) struct ProxyArgs {
    /// JobId or display name.
    pub(super) job: String,
    #[command(subcommand)]
    pub(super) usage: Usage,
}

/// Where the proxy comes from (`BG_JOB_PROXY_USAGE`).
#[derive(Debug, Subcommand)]
#[command(
    rename_all = "snake_case",
    subcommand_value_name = "USAGE",
    subcommand_help_heading = "Usages"
)]
pub(super) enum Usage {
    /// The service's own settings.
    Preconfig,
    /// No proxy.
    NoProxy,
    /// The proxies given here.
    Override {
        /// Proxies, `[protocol=]server[:port]`, separated by blanks.
        #[arg(long)]
        list: String,
        /// Hosts to be reached directly, separated by blanks.
        #[arg(long)]
        bypass: Option<String>,
    },
    /// What the network announces.
    Autodetect,
}

/// Arguments of `certificate`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["hash", "subject", "remove"]))]
pub(super) struct CertificateArgs {
    /// JobId or display name.
    pub(super) job: String,
    /// SHA-1 of the certificate, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    pub(super) hash: Option<String>,
    /// Simple name of its subject.
    #[arg(long, value_name = "NAME")]
    pub(super) subject: Option<String>,
    /// Remove the certificate.
    #[arg(long)]
    pub(super) remove: bool,
    /// Where the store is.
    #[arg(long, default_value = "local-machine", conflicts_with = "remove")]
    pub(super) location: StoreLocation,
    /// Name of the store.
    #[arg(long, default_value = "MY", conflicts_with = "remove")]
    pub(super) store: String,
}

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// JobId or display name.
    pub(super) job: String,
    /// Complete the job once it is transferred.
    #[arg(long)]
    pub(super) complete: bool,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) interval: u64,
}

/// A type's word and number (`BG_JOB_TYPE`).
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Kind {
    /// From a server.
    Download = 0,
    /// To a server.
    Upload = 1,
    /// To a server, and its answer back.
    UploadReply = 2,
}

/// A priority's word and number (`BG_JOB_PRIORITY`).
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Priority {
    /// Before all others.
    Foreground = 0,
    /// Before normal.
    High = 1,
    /// The default.
    Normal = 2,
    /// After all others.
    Low = 3,
}

/// Whom credentials are for, with the number that `SetCredentials` takes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Target {
    /// The server of the files.
    Server = 0,
    /// The proxy before it.
    Proxy = 1,
}

/// How credentials are proved, with the number that `SetCredentials` takes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Scheme {
    /// In the clear, but for TLS.
    Basic = 0,
    /// By digest.
    Digest = 1,
    /// By NTLM version 2.
    Ntlm = 2,
    /// By Kerberos, or NTLM.
    Negotiate = 3,
}

/// Where a certificate store is (`BG_CERT_STORE_LOCATION`).
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum StoreLocation {
    /// 0.
    CurrentUser = 0,
    /// 1.
    LocalMachine = 1,
    /// 2.
    CurrentService = 2,
    /// 3.
    Services = 3,
    /// 4.
    Users = 4,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    moment::read(text, SystemTime::now())
        .ok_or_else(|| "takes a time such as 2026-01-31T23:30:00Z, or 90s, 10m, 2h, 1d".to_owned())
}

/// The pairs in a list of URLs and destinations.
///
/// # Errors
///
/// When the last URL has no destination.
pub(super) fn pairs(files: &[String]) -> Result<Vec<(&str, &str)>, super::Failure> {
    files
        .chunks(2)
        .map(|pair| match pair {
            [url, local] => Ok((url.as_str(), local.as_str())),
            _ => Err(super::Failure::Usage(format!(
                "there is no destination for {}",
                pair.join(" ")
            ))),
        })
        .collect()
}
