//! What a job can do beside what Microsoft's class of jobs shows: the properties
//! of the native interfaces (`IBackgroundCopyJob5`, `…HttpOptions`), and ours.

mod change;
mod text;

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use super::Timestamp;
pub(crate) use change::OptionChange;
pub(crate) use change::OptionRefused;
pub(crate) use change::Stage;
pub(crate) use text::check_headers;
pub(crate) use text::read_ranges;
pub(crate) use text::read_sha256;
pub(crate) use text::write_ranges;
pub(crate) use text::write_sha256;

/// Which way the octets of a job go (`BG_JOB_TYPE`).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum JobType {
    /// From servers to this host.
    #[default]
    Download = 0,
    /// From this host to a server; one file.
    Upload = 1,
    /// The same, and the server's answer comes back as a file.
    UploadReply = 2,
}

impl JobType {
    /// The type with this number.
    pub(crate) const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Download),
            1 => Some(Self::Upload),
            2 => Some(Self::UploadReply),
            _ => None,
        }
    }

    /// It has one file, which goes to a server.
    pub(crate) const fn is_upload(self) -> bool {
        matches!(self, Self::Upload | Self::UploadReply)
    }
}

/// What a client may set of a job beside the properties of Microsoft's class.
/// Each default is that of BITS.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(crate) struct JobOptions {
    /// The HTTP method. None: `GET` for downloads, `BITS_POST` for uploads, which
    /// may also be `PUT` or `POST`.
    pub(crate) method: Option<String>,
    /// Security flags and redirect policy, as numbers of `SetSecurityFlags`.
    pub(crate) security_flags: u32,
    /// SHA-256 (64 hexadecimal digits) or SHA-1 (40) of server certificates, of
    /// which one is enough to trust the server. Empty: the authorities decide.
    pub(crate) thumbprints: Vec<String>,
    /// Longest time in CONNECTING and TRANSFERRING. None: as the settings say.
    pub(crate) maximum_download_time_s: Option<u64>,
    /// `MAX_DOWNLOAD_SIZE`: most octets of all files together.
    pub(crate) max_download_size: Option<u64>,
    /// `DYNAMIC_CONTENT`: neither size nor ranges are asked of the server.
    pub(crate) dynamic_content: bool,
    /// A server without ranges is an error (0x80200013), as with Windows.
    pub(crate) require_ranges: bool,
    /// There are custom headers; they are kept as a secret.
    pub(crate) has_custom_headers: bool,
    /// Nobody is shown them any more; cannot be undone.
    pub(crate) headers_are_write_only: bool,
    /// The job was taken over: the queries of its addresses are shown to nobody.
    pub(crate) hides_queries: bool,
    /// Where the answer to an upload-reply lands.
    pub(crate) reply: Option<ReplyFile>,
    /// Words by which people find the job: `NAME=VALUE`.
    pub(crate) labels: Vec<String>,
    /// Not before this, though it is resumed.
    pub(crate) start_after: Option<Timestamp>,
}

/// Where the answer to an upload-reply lands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct ReplyFile {
    /// As the client wrote it.
    pub(crate) local_file: String,
    /// The native destination that it maps to, below a write root.
    pub(crate) path: PathBuf,
}
