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
        Self::fatal(ErrorContext::LocalFile, code, detail).at(Phase::LocalFile)
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

    /// The same, whichever step it was that failed, as part of this one.
    pub(super) fn in_phase(mut self, phase: Phase) -> Self {
        self.circumstances.phase = Some(phase);
        self
    }

    /// The same, for this address (without userinfo and query).
    pub(super) fn of(mut self, url: &str) -> Self {
        self.circumstances.url.get_or_insert_with(|| url.to_owned());
        self
    }

    /// A connection could not be made because the process, or the host, has too
    /// many files open; none when that is not the reason.
    pub(super) fn from_exhaustion(doing: &str, error: &io::Error) -> Option<Self> {
        let errno = Errno::from_raw_os_error(error.raw_os_error()?);
        matches!(errno, Errno::MFILE | Errno::NFILE).then(|| {
            Self::transport(
                Hresult::ERROR_TOO_MANY_OPEN_FILES,
                format!("{doing}: {error}"),
            )
        })
    }

    /// The same, for this HTTP status.
    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.circumstances.status = Some(status);
        self
    }

    /// The host at the other end could not be reached: it has heard nothing.
    pub(super) fn is_of_reaching(&self) -> bool {
        matches!(self.kind, FailureKind::ForNow(_))
            && matches!(
                self.circumstances.phase,
                Some(Phase::Resolving | Phase::Connecting)
            )
    }

    /// A call on a local file failed while `doing` something.
    ///
    /// What somebody may change while the job waits is transient, as
    /// `NoProgressTimeout` ends the waiting in any case: a full disk or quota is
    /// emptied, a file system is mounted, or mounted for writing, again, other
    /// files are closed.
    pub(crate) fn from_local_error(doing: &str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let (code, fatal) = match errno {
            Some(Errno::NOSPC | Errno::DQUOT) => (Hresult::ERROR_DISK_FULL, false),
            Some(Errno::ROFS) => (Hresult::ERROR_WRITE_PROTECT, false),
            Some(Errno::ACCESS | Errno::PERM | Errno::XDEV | Errno::LOOP) => {
                (Hresult::E_ACCESSDENIED, true)
            }
            Some(Errno::NOENT) => (Hresult::ERROR_PATH_NOT_FOUND, true),
            Some(Errno::NOTDIR | Errno::NAMETOOLONG) => (Hresult::ERROR_INVALID_NAME, true),
            Some(Errno::FBIG) => (Hresult::BG_E_TOO_LARGE, true),
            Some(Errno::MFILE | Errno::NFILE) => (Hresult::ERROR_TOO_MANY_OPEN_FILES, false),
            Some(Errno::NOMEM) => (Hresult::E_OUTOFMEMORY, false),
            Some(Errno::BUSY | Errno::AGAIN) => (Hresult::ERROR_SHARING_VIOLATION, false),
            // A file system that has gone away: over a network, or with its
            // disk.
            Some(Errno::STALE | Errno::NOTCONN | Errno::NODEV | Errno::NXIO | Errno::HOSTDOWN) => {
                (Hresult::BG_E_DESTINATION_LOCKED, false)
            }
            _ => (Hresult::ERROR_IO_DEVICE, true),
        };
        let detail = format!("{doing}: {error}");
        if fatal {
            Self::local(code, detail)
        } else {
            Self::for_now(ErrorContext::LocalFile, code, detail).at(Phase::LocalFile)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_of_a_disk_are_told_apart() {
        for (errno, code, fatal) in [
            (Errno::NOSPC, Hresult::ERROR_DISK_FULL, false),
            (Errno::DQUOT, Hresult::ERROR_DISK_FULL, false),
            (Errno::ROFS, Hresult::ERROR_WRITE_PROTECT, false),
            (Errno::MFILE, Hresult::ERROR_TOO_MANY_OPEN_FILES, false),
            (Errno::NFILE, Hresult::ERROR_TOO_MANY_OPEN_FILES, false),
            (Errno::NOMEM, Hresult::E_OUTOFMEMORY, false),
            (Errno::STALE, Hresult::BG_E_DESTINATION_LOCKED, false),
            (Errno::NOTCONN, Hresult::BG_E_DESTINATION_LOCKED, false),
            (Errno::IO, Hresult::ERROR_IO_DEVICE, true),
            (Errno::ACCESS, Hresult::E_ACCESSDENIED, true),
            (Errno::NOENT, Hresult::ERROR_PATH_NOT_FOUND, true),
            (Errno::FBIG, Hresult::BG_E_TOO_LARGE, true),
        ] {
            let failure = Failure::from_local_error("x", &errno.into());
            assert_eq!(failure.code, code, "{errno}");
            assert_eq!(failure.kind == FailureKind::Fatal, fatal, "{errno}");
            assert_eq!(failure.context, ErrorContext::LocalFile);
        }
    }

    #[test]
    fn too_many_open_files_are_no_fault_of_the_server() {
        let failure = Failure::from_exhaustion("x", &Errno::MFILE.into()).expect("exhausted");
        assert_eq!(failure.code, Hresult::ERROR_TOO_MANY_OPEN_FILES);
        assert_eq!(failure.kind, FailureKind::ForNow(None));
        assert!(Failure::from_exhaustion("x", &Errno::CONNREFUSED.into()).is_none());
        assert!(Failure::from_exhaustion("x", &io::ErrorKind::TimedOut.into()).is_none());
    }
}
