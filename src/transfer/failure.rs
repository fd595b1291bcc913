//! Makes [`Failure`]s, and turns errors of the system into them.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::Failure;
use super::FailureKind;
use crate::bits::Circumstances;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Phase;

impl Failure {
    /// Another attempt would fail too.
    pub(super) fn fatal(context: ErrorContext, code: Hresult, detail: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Fatal,
            context,
            code,
            detail: detail.into(),
            circumstances: Circumstances::default(),
        }
    }

    /// Another attempt may do it.
    pub(super) fn for_now(context: ErrorContext, code: Hresult, detail: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::ForNow(None),
            context,
            code,
            detail: detail.into(),
            circumstances: Circumstances::default(),
        }
    }

    /// The way to the server failed; another attempt may do it.
    pub(super) fn transport(code: Hresult, detail: impl Into<String>) -> Self {
        Self::for_now(ErrorContext::GeneralTransport, code, detail)
    }

    /// The local name or file cannot be used.
    pub(super) fn local(code: Hresult, detail: impl Into<String>) -> Self {
        Self::fatal(ErrorContext::LocalFile, code, detail)
    }

    /// A setting cannot be used.
    pub(super) fn setting(key: &str, why: impl fmt::Display) -> Self {
        Self::fatal(
            ErrorContext::GeneralQueueManager,
            Hresult::E_INVALIDARG,
            format!("setting {key}: {why}"),
        )
    }

    /// Someone asked for the end; nothing is wrong.
    pub(super) fn stopped() -> Self {
        Self {
            kind: FailureKind::Stopped,
            context: ErrorContext::None,
            code: Hresult::E_FAIL,
            detail: "the transfer was stopped".to_owned(),
            circumstances: Circumstances::default(),
        }
    }

    /// The same, but not again before `delay`.
    pub(super) fn after(mut self, delay: Option<Duration>) -> Self {
        if let FailureKind::ForNow(at_least) = &mut self.kind {
            *at_least = delay;
        }
        self
    }

    /// The same, at this step.
    pub(super) fn at(mut self, phase: Phase) -> Self {
        self.circumstances.phase.get_or_insert(phase);
        self
    }

    /// The same, for this address (without userinfo and query).
    pub(super) fn of(mut self, url: &str) -> Self {
        self.circumstances.url.get_or_insert_with(|| url.to_owned());
        self
    }

    /// A call on a local file failed while `doing` something.
    ///
    /// A full disk (or quota) may be emptied by someone: it is transient, as
    /// `NoProgressTimeout` ends the waiting in any case.
    pub(crate) fn from_local_error(doing: &str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let (code, fatal) = match errno {
            Some(Errno::NOSPC | Errno::DQUOT) => (Hresult::ERROR_DISK_FULL, false),
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::XDEV | Errno::LOOP) => {
                (Hresult::E_ACCESSDENIED, true)
            }
            Some(Errno::NOENT) => (Hresult::ERROR_PATH_NOT_FOUND, true),
            Some(Errno::NOTDIR | Errno::NAMETOOLONG) => (Hresult::ERROR_INVALID_NAME, true),
            Some(Errno::FBIG) => (Hresult::BG_E_TOO_LARGE, true),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::BUSY | Errno::AGAIN) => {
                (Hresult::ERROR_SHARING_VIOLATION, false)
            }
            _ => (Hresult::ERROR_IO_DEVICE, true),
        };
        let detail = format!("{doing}: {error}");
        if fatal {
            Self::local(code, detail)
        } else {
            Self::for_now(ErrorContext::LocalFile, code, detail)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Failure {}
