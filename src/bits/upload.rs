//! How far the upload of a file has come: what must outlive the process so that
//! the same session goes on ([MC-BUP] 3.1.1).

use serde::Deserialize;
use serde::Serialize;

use super::Timestamp;

/// The upload of one file. The octets that the server has confirmed are
/// `durable` of the file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Upload {
    /// The source as it was when the upload began: if it changes, the job fails
    /// (`BG_E_LOCAL_FILE_CHANGED`).
    pub(crate) source: Option<SourceStamp>,
    /// `BITS-Session-Id`, once the server has given one.
    pub(crate) session: Option<String>,
    /// `BITS-Host-Id`: the host that has the session.
    pub(crate) host: Option<String>,
    /// When that host may be given up for the one of the URL.
    pub(crate) fall_back_at: Option<Timestamp>,
    /// Close-Session was sent, or is about to be.
    pub(crate) is_closing: bool,
    /// `BITS-Reply-URL`, absolute.
    pub(crate) reply_url: Option<String>,
    /// How far the reply has come; it is there once the upload is done.
    pub(crate) reply: Option<ReplyProgress>,
}

/// A source file, by what tells that it has changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct SourceStamp {
    /// Octets.
    pub(crate) size: u64,
    /// Time of the last modification, nanoseconds since 1970 in UTC.
    pub(crate) modified_ns: i64,
    /// The number of the file in its file system.
    pub(crate) inode: u64,
}

/// How far the answer to an upload-reply has come.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct ReplyProgress {
    /// Octets, once the server has said so.
    pub(crate) size: Option<u64>,
    /// The version that is being fetched.
    pub(crate) validator: super::Validator,
    /// The octets from the start that lie on disk, synced.
    pub(crate) durable: u64,
    /// It lies whole in its temporary place, synced.
    pub(crate) transferred: bool,
    /// It lies at its destination.
    pub(crate) placed: bool,
}
