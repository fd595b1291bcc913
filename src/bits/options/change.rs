//! Which option of a job may be set to what, and when: the one table of rules.
//!
//! Follows the pages of `IBackgroundCopyJob4` and `5` and of
//! `IBackgroundCopyJobHttpOptions`, `2` and `3`. Setting what is set already is
//! never an error: clients put back what they got.

use super::JobOptions;
use super::JobType;
use super::ReplyFile;
use super::text::is_label;
use super::text::thumbprint;
use crate::bits::Hresult;
use crate::bits::Timestamp;
use crate::bits::is_token;

/// A new value for one option.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum OptionChange {
    /// `HttpMethod`; none: the usual one.
    Method(Option<String>),
    /// There are custom headers from now on, or none any more.
    CustomHeaders(bool),
    /// `MakeCustomHeadersWriteOnly`.
    HeadersWriteOnly,
    /// `SecurityFlags`.
    SecurityFlags(u32),
    /// `ServerThumbprints`.
    Thumbprints(Vec<String>),
    /// `MaximumDownloadTime`, seconds, 0 for no limit; none: as the service is set.
    MaximumDownloadTime(Option<u64>),
    /// `MaxDownloadSize`; none: no limit.
    MaxDownloadSize(Option<u64>),
    /// `DynamicContent`.
    DynamicContent(bool),
    /// `RequireRanges`.
    RequireRanges(bool),
    /// `ReplyFileName`; none: one is made up.
    Reply(Option<ReplyFile>),
    /// `Labels`.
    Labels(Vec<String>),
    /// `StartAfter`; none: at once.
    StartAfter(Option<Timestamp>),
}

/// An option cannot be set to this, or not now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{option}: {code}")]
pub(crate) struct OptionRefused {
    /// The name of its property.
    pub(crate) option: &'static str,
    /// Why.
    pub(crate) code: Hresult,
}

/// What the rules look at beside the options themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stage {
    /// Which way the job's octets go.
    pub(crate) kind: JobType,
    /// It was resumed once.
    pub(crate) was_resumed: bool,
}

impl OptionChange {
    /// The name of the property.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Method(_) => "HttpMethod",
            Self::CustomHeaders(_) => "CustomHeaders",
            Self::HeadersWriteOnly => "HeadersWriteOnly",
            Self::SecurityFlags(_) => "SecurityFlags",
            Self::Thumbprints(_) => "ServerThumbprints",
            Self::MaximumDownloadTime(_) => "MaximumDownloadTime",
            Self::MaxDownloadSize(_) => "MaxDownloadSize",
            Self::DynamicContent(_) => "DynamicContent",
            Self::RequireRanges(_) => "RequireRanges",
            Self::Reply(_) => "ReplyFileName",
            Self::Labels(_) => "Labels",
            Self::StartAfter(_) => "StartAfter",
        }
    }
}

impl JobOptions {
    /// Sets one option of a job at this stage.
    ///
    /// # Errors
    ///
    /// [`OptionRefused`]; the options are then as they were.
    pub(crate) fn set(&mut self, change: OptionChange, stage: Stage) -> Result<(), OptionRefused> {
        let option = change.name();
        let refused = |code| OptionRefused { option, code };
        let next = self.after(change, stage.kind).map_err(refused)?;
        if next == *self {
            return Ok(());
        }
        Self::check_stage(option, stage).map_err(refused)?;
        next.check_together().map_err(refused)?;
        *self = next;
        Ok(())
    }

    /// A download by another method than GET, which runs in the foreground for
    /// good ("`IBackgroundCopyJobHttpOptions2::SetHttpMethod`").
    pub(crate) fn is_foreground_only(&self, kind: JobType) -> bool {
        kind == JobType::Download && self.method.is_some()
    }

    /// A file with or without ranges, and with or without a hash, may be in such
    /// a job.
    ///
    /// # Errors
    ///
    /// `E_NOTIMPL` for ranges or a hash of an upload, `E_INVALIDARG` for ranges
    /// of dynamic content, `BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD` for
    /// ranges with another method than GET.
    pub(crate) fn check_file(
        &self,
        kind: JobType,
        has_ranges: bool,
        has_hash: bool,
    ) -> Result<(), Hresult> {
        match (kind.is_upload(), has_ranges) {
            (true, _) if has_ranges || has_hash => Err(Hresult::E_NOTIMPL),
            (false, true) if self.dynamic_content => Err(Hresult::E_INVALIDARG),
            (false, true) if self.method.is_some() => {
                Err(Hresult::BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD)
            }
            (true | false, _) => Ok(()),
        }
    }

    /// The options with this one set, if it can have the value at all.
    fn after(&self, change: OptionChange, kind: JobType) -> Result<Self, Hresult> {
        let mut next = self.clone();
        match change {
            OptionChange::Method(method) => next.method = method_of(kind, method)?,
            OptionChange::CustomHeaders(are_there) => next.has_custom_headers = are_there,
            OptionChange::HeadersWriteOnly => next.headers_are_write_only = true,
            OptionChange::SecurityFlags(flags) => {
                if !security_flags_are_known(flags) {
                    return Err(Hresult::E_NOTIMPL);
                }
                next.security_flags = flags;
            }
            OptionChange::Thumbprints(given) => {
                if given.len() > MAX_THUMBPRINTS {
                    return Err(Hresult::E_INVALIDARG);
                }
                let read = given.iter().map(|text| thumbprint(text));
                next.thumbprints = read.collect::<Option<_>>().ok_or(Hresult::E_INVALIDARG)?;
            }
            OptionChange::MaximumDownloadTime(seconds) => next.maximum_download_time_s = seconds,
            OptionChange::MaxDownloadSize(Some(0)) => {
                return Err(Hresult::BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE);
            }
            OptionChange::MaxDownloadSize(octets) => next.max_download_size = octets,
            OptionChange::DynamicContent(is_set) => next.dynamic_content = is_set,
            OptionChange::RequireRanges(is_set) => next.require_ranges = is_set,
            OptionChange::Reply(reply) => next.reply = reply,
            OptionChange::Labels(labels) => {
                if labels.len() > MAX_LABELS || !labels.iter().all(|label| is_label(label)) {
                    return Err(Hresult::E_INVALIDARG);
                }
                next.labels = labels;
            }
            OptionChange::StartAfter(at) => next.start_after = at,
        }
        Ok(next)
    }

    /// The option can be changed at this stage.
    fn check_stage(option: &str, stage: Stage) -> Result<(), Hresult> {
        let downloads_only = ["MaxDownloadSize", "DynamicContent", "RequireRanges"];
        if stage.kind.is_upload() && downloads_only.contains(&option) {
            return Err(Hresult::BG_E_PROPERTY_SUPPORTED_FOR_DOWNLOAD_JOBS_ONLY);
        }
        if stage.kind != JobType::UploadReply && option == "ReplyFileName" {
            return Err(Hresult::E_NOTIMPL);
        }
        let before_resume = ["HttpMethod", "MaxDownloadSize", "DynamicContent"];
        if stage.was_resumed && before_resume.contains(&option) {
            return Err(Hresult::BG_E_READ_ONLY_PROPERTY_AFTER_RESUME);
        }
        Ok(())
    }

    /// No option excludes another.
    fn check_together(&self) -> Result<(), Hresult> {
        if self.dynamic_content && self.method.is_some() {
            return Err(Hresult::BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD);
        }
        Ok(())
    }
}

/// The method as it is kept: none for the usual one of such a job.
fn method_of(kind: JobType, method: Option<String>) -> Result<Option<String>, Hresult> {
    let Some(method) = method else {
        return Ok(None);
    };
    if method.len() > MAX_METHOD || !is_token(&method) {
        return Err(Hresult::E_INVALIDARG);
    }
    match (kind.is_upload(), method.as_str()) {
        (false, "GET") | (true, "BITS_POST") => Ok(None),
        // What they are answered with is no file.
        (false, "HEAD" | "CONNECT" | "TRACE") => Err(Hresult::E_INVALIDARG),
        (false, _) | (true, "PUT" | "POST") => Ok(Some(method)),
        (true, _) => Err(Hresult::E_NOTIMPL),
    }
}

/// No bit of `flags` is unknown, and there is one redirect policy
/// ("`IBackgroundCopyJobHttpOptions::SetSecurityFlags`").
pub(crate) const fn security_flags_are_known(flags: u32) -> bool {
    flags & !KNOWN_FLAGS == 0 && flags & REDIRECT_POLICY <= 0x200
}

const REDIRECT_POLICY: u32 = 0x700;

/// Revocation, four faults to pass over, redirect policy, https to http.
const KNOWN_FLAGS: u32 = 0x1f | REDIRECT_POLICY | 0x800;

/// Longest method: those of the registry have 17 characters at most.
const MAX_METHOD: usize = 32;

const MAX_THUMBPRINTS: usize = 64;

const MAX_LABELS: usize = 64;

#[cfg(test)]
mod tests;
