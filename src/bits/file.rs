//! One file of a job.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use super::Credentials;
use super::Upload;

/// A file as a client asks for it, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewFile {
    /// Absolute `http` or `https` URL without userinfo, at most 2,200
    /// characters.
    pub(crate) remote_url: String,
    /// The destination as the client wrote it; shown back verbatim.
    pub(crate) local_file: String,
    /// The native destination that it maps to.
    pub(crate) path: PathBuf,
    /// What stood as userinfo in the URL.
    pub(crate) userinfo: Option<Credentials>,
    /// The parts that are wanted, in this order; none: all of it.
    pub(crate) ranges: Vec<Span>,
    /// SHA-256 that the file must have.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// A part of a remote file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Span {
    /// The first octet.
    pub(crate) offset: u64,
    /// So many octets; none: to the end.
    pub(crate) length: Option<u64>,
}

/// A file of a job, and how far it has come.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_field_names,
    reason = "`LocalFile` is the property's name"
)]
pub(crate) struct File {
    /// Place in the job, from 0; never changes.
    pub(crate) index: u32,
    /// Absolute URL without userinfo. Its query is a secret.
    pub(crate) remote_url: String,
    /// The destination as the client wrote it.
    pub(crate) local_file: String,
    /// The native destination that it maps to, below a write root; of an upload
    /// the native source, below a read root.
    pub(crate) path: PathBuf,
    /// The parts that are wanted, in this order; none: all of it.
    pub(crate) ranges: Vec<Span>,
    /// SHA-256 that the file must have.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Octets, once the server has said so.
    pub(crate) size: Option<u64>,
    /// What the server said about the version that is being fetched.
    pub(crate) validator: Validator,
    /// The octets from the start that lie on disk, synced; of an upload those
    /// that the server has confirmed.
    pub(crate) durable: u64,
    /// The file lies whole in its temporary place, synced.
    pub(crate) transferred: bool,
    /// The file lies at its destination; set while a Complete is under way.
    pub(crate) placed: bool,
    /// How far its upload has come; none for downloads, and before it begins.
    pub(crate) upload: Option<Box<Upload>>,
}

impl File {
    /// The file `new` at place `index`, nothing of it here yet.
    pub(crate) fn new(index: u32, new: NewFile) -> Self {
        Self {
            index,
            remote_url: new.remote_url,
            local_file: new.local_file,
            path: new.path,
            ranges: new.ranges,
            sha256: new.sha256,
            size: None,
            validator: Validator::default(),
            durable: 0,
            transferred: false,
            placed: false,
            upload: None,
        }
    }

    /// Has a server said something about a version of it?
    pub(crate) fn is_begun(&self) -> bool {
        self.size.is_some() || self.validator != Validator::default()
    }

    /// The host of its address, as it is written there.
    pub(crate) fn host(&self) -> &str {
        host_of(&self.remote_url)
    }

    /// Octets that are here for good.
    pub(crate) fn octets(&self) -> u64 {
        if self.transferred {
            self.size.unwrap_or(self.durable)
        } else {
            self.durable
        }
    }
}

/// The host of an absolute URL without userinfo; empty when it has none.
fn host_of(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else {
        return "";
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// By what a server's version of a file is told from another
/// (RFC 9110 8.8).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Validator {
    /// The `ETag` header, quotes and weakness mark included.
    pub(crate) etag: Option<String>,
    /// The `Last-Modified` header, verbatim.
    pub(crate) last_modified: Option<String>,
    /// `Last-Modified` is at least a second older than `Date` was: only then
    /// it names one version (RFC 9110 8.8.2.2).
    pub(crate) last_modified_is_strong: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address() {
        for (url, host) in [
            ("http://h/a", "h"),
            ("https://h.test:8443/a:b", "h.test"),
            ("http://[::1]:80/a", "::1"),
            ("http://10.0.0.1?x", "10.0.0.1"),
            ("nothing", ""),
            ("http://[", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
