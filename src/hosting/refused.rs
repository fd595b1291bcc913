//! Why a packet is refused: HTTP status, code and context ([MC-BUP] 2.2.1.2,
//! 3.2.5). Pure.

use hyper::StatusCode;

use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::transfer::Failure;
use crate::transfer::upload_packet::Ack;
use crate::transfer::upload_packet::AckError;
use crate::transfer::upload_packet::Malformed;

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// `BITS-Error`.
    pub(crate) code: Hresult,
    /// `BITS-Error-Context`.
    pub(crate) context: ErrorContext,
    /// `BITS-Received-Content-Range`: the octet that is expected.
    pub(crate) next: Option<u64>,
}

impl Refused {
    const fn server(status: StatusCode, code: Hresult) -> Self {
        Self {
            status,
            code,
            context: ErrorContext::RemoteFile,
            next: None,
        }
    }

    /// No packet of the protocol, or one that does not fit what came before.
    pub(crate) const INVALID: Self = Self::server(StatusCode::BAD_REQUEST, Hresult::E_INVALIDARG);

    /// Not allowed here, or the destination is there and may not be replaced.
    pub(crate) const DENIED: Self = Self::server(StatusCode::FORBIDDEN, Hresult::E_ACCESSDENIED);

    /// No uploads are taken there.
    pub(crate) const NOT_ENABLED: Self =
        Self::server(StatusCode::NOT_FOUND, Hresult::E_ACCESSDENIED);

    /// The session is not there, or another account's.
    pub(super) const NO_SESSION: Self =
        Self::server(StatusCode::INTERNAL_SERVER_ERROR, BG_E_SESSION_NOT_FOUND);

    /// More octets than the folder takes.
    pub(super) const TOO_LARGE: Self =
        Self::server(StatusCode::INTERNAL_SERVER_ERROR, Hresult::BG_E_TOO_LARGE);

    /// All sessions are taken.
    pub(super) const TOO_MANY: Self =
        Self::server(StatusCode::SERVICE_UNAVAILABLE, ERROR_TOO_MANY_SESS);

    /// What had been uploaded is gone.
    pub(super) const GONE: Self =
        Self::server(StatusCode::NOT_FOUND, Hresult::ERROR_FILE_NOT_FOUND);

    /// Something of ours went wrong.
    pub(super) const BROKEN: Self =
        Self::server(StatusCode::INTERNAL_SERVER_ERROR, Hresult::E_FAIL);

    /// The service stops, or the client has begun anew on another connection.
    pub(super) const GIVEN_WAY: Self =
        Self::server(StatusCode::SERVICE_UNAVAILABLE, Hresult::E_FAIL);

    /// The octets have not come in time.
    pub(super) const LATE: Self =
        Self::server(StatusCode::REQUEST_TIMEOUT, Hresult::WININET_E_TIMEOUT);

    /// The fragment does not begin with the `next` octet.
    pub(super) const fn out_of_step(next: u64) -> Self {
        Self {
            next: Some(next),
            ..Self::server(StatusCode::RANGE_NOT_SATISFIABLE, Hresult::from_number(0))
        }
    }

    /// The application behind did not do its part.
    pub(super) const fn application(status: StatusCode, code: Hresult) -> Self {
        Self {
            context: ErrorContext::RemoteApplication,
            ..Self::server(status, code)
        }
    }

    /// The answer that says so.
    pub(crate) fn ack(self) -> Ack {
        Ack {
            next_octet: self.next,
            error: Some(AckError {
                code: self.code,
                context: self.context,
            }),
            ..Ack::default()
        }
    }
}

impl From<Malformed> for Refused {
    fn from(why: Malformed) -> Self {
        match why {
            Malformed::Missing("Content-Length") => Self {
                status: StatusCode::LENGTH_REQUIRED,
                ..Self::INVALID
            },
            Malformed::Missing(_)
            | Malformed::TooLong(_)
            | Malformed::Unreadable(_)
            | Malformed::NoProtocol => Self::INVALID,
        }
    }
}

/// A failure of the file system.
impl From<&Failure> for Refused {
    fn from(failure: &Failure) -> Self {
        let code = failure.code;
        match code {
            Hresult::E_ACCESSDENIED => Self::DENIED,
            Hresult::ERROR_PATH_NOT_FOUND
            | Hresult::ERROR_FILE_NOT_FOUND
            | Hresult::ERROR_INVALID_NAME => {
                Self::server(StatusCode::NOT_FOUND, Hresult::ERROR_PATH_NOT_FOUND)
            }
            // Disk full and too large among them.
            _ => Self::server(StatusCode::INTERNAL_SERVER_ERROR, code),
        }
    }
}

/// The session is not there.
const BG_E_SESSION_NOT_FOUND: Hresult = Hresult::from_number(0x8020_001F);

/// `ERROR_TOO_MANY_SESS`, 69: there are no more sessions.
const ERROR_TOO_MANY_SESS: Hresult = Hresult::from_number(0x8007_0045);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_code_under_both_names() {
        let headers = Refused::NO_SESSION.ack().write();
        assert_eq!(headers["bits-error"], "0x8020001F");
        assert_eq!(headers["bits-error-code"], "0x8020001F");
        assert_eq!(headers["bits-error-context"], "0x5");
    }

    #[test]
    fn out_of_step_is_no_error_and_says_what_is_expected() {
        let refused = Refused::out_of_step(213);
        let headers = refused.ack().write();
        assert_eq!(refused.status, 416);
        assert_eq!(headers["bits-received-content-range"], "213");
        assert_eq!(headers["bits-error"], "0x00000000");
    }

    #[test]
    fn a_missing_length_has_a_status_of_its_own() {
        assert_eq!(
            Refused::from(Malformed::Missing("Content-Length")).status,
            411
        );
        assert_eq!(
            Refused::from(Malformed::Missing("Content-Range")).status,
            400
        );
        assert_eq!(Refused::from(Malformed::NoProtocol).status, 400);
    }
}
