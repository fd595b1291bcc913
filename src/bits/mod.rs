//! What a transfer job is, and the rules by which it changes.
//!
//! Values and pure functions: nothing here does I/O or reads a clock. A job's
//! state changes only through [`Job::apply`]; every state × every input is in
//! the one table of [`state`]. Property limits and defaults follow the BITS
//! reference pages ("`IBackgroundCopyJob`", "`BG_JOB_STATE`").

mod code;
mod declined;
mod detail;
mod file;
mod headers;
mod id;
mod job;
mod language;
mod options;
mod policy;
mod ranges;
mod security_flags;
mod state;
mod time;
mod upload;

pub(crate) use code::ErrorContext;
pub(crate) use code::Hresult;
pub(crate) use declined::Declined;
pub(crate) use declined::NumberedProperty;
pub(crate) use detail::names;
pub(crate) use file::File;
pub(crate) use file::NewFile;
pub(crate) use file::Span;
pub(crate) use file::Validator;
pub(crate) use headers::is_token;
pub(crate) use headers::parse_headers;
pub(crate) use headers::read_headers;
pub(crate) use id::JobId;
pub(crate) use id::Owner;
pub(crate) use job::Changes;
pub(crate) use job::Circumstances;
pub(crate) use job::FileReport;
pub(crate) use job::Job;
pub(crate) use job::JobError;
pub(crate) use job::JobParts;
pub(crate) use job::NewJob;
pub(crate) use job::Phase;
pub(crate) use language::Language;
pub(crate) use options::JobOptions;
pub(crate) use options::JobType;
pub(crate) use options::OptionChange;
pub(crate) use options::OptionRefused;
pub(crate) use options::ReplyFile;
pub(crate) use options::Stage;
pub(crate) use options::check_headers;
pub(crate) use options::read_ranges;
pub(crate) use options::read_sha256;
pub(crate) use options::write_ranges;
pub(crate) use options::write_sha256;
pub(crate) use policy::AuthScheme;
pub(crate) use policy::AuthTarget;
pub(crate) use policy::CertificateChoice;
pub(crate) use policy::ClientCertificate;
pub(crate) use policy::Credentials;
pub(crate) use policy::Proxy;
pub(crate) use policy::Secret;
pub(crate) use ranges::check_ranges;
pub(crate) use security_flags::RedirectPolicy;
pub(crate) use security_flags::SecurityFlags;
pub(crate) use state::Effect;
pub(crate) use state::Input;
pub(crate) use state::Intent;
pub(crate) use state::Priority;
pub(crate) use state::Refused;
pub(crate) use state::State;
pub(crate) use time::Now;
pub(crate) use time::Timestamp;
pub(crate) use upload::ReplyProgress;
pub(crate) use upload::SourceStamp;
pub(crate) use upload::Upload;
