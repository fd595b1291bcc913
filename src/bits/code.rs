//! Error codes and their sentences.
//!
//! Facility 0x20 is BITS' own ("BITS Return Values"), 0x19 carries HTTP
//! statuses (`0x8019_0000` + status), 7 carries Win32 codes.

use std::fmt;

/// A Windows result code.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct Hresult(u32);

impl Hresult {
    /// The code with this number.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number that goes over the wire.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The code of an HTTP status.
    pub(crate) const fn from_http_status(status: u16) -> Self {
        Self(HTTP + status as u32)
    }

    /// The name in the headers of Windows, if it has one here.
    pub(crate) fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.1)
    }

    /// What it means: a lower-case fragment without a full stop.
    pub(crate) fn message(self) -> &'static str {
        if let Some(row) = self.row() {
            return row.2;
        }
        let status = self.0.wrapping_sub(HTTP);
        match HTTP_MESSAGES.binary_search_by_key(&status, |row| row.0) {
            Ok(at) => HTTP_MESSAGES[at].1,
            Err(_) if (100..600).contains(&status) => {
                "the server answered with an unexpected status"
            }
            Err(_) => "unknown error",
        }
    }

    fn row(self) -> Option<&'static (u32, &'static str, &'static str)> {
        TABLE
            .binary_search_by_key(&self.0, |row| row.0)
            .ok()
            .map(|at| &TABLE[at])
    }

    /// Not implemented.
    pub(crate) const E_NOTIMPL: Self = Self(0x8000_4001);

    /// Unspecified failure.
    pub(crate) const E_FAIL: Self = Self(0x8000_4005);

    /// The system cannot find the file specified.
    pub(crate) const ERROR_FILE_NOT_FOUND: Self = Self(0x8007_0002);

    /// The system cannot find the path specified.
    pub(crate) const ERROR_PATH_NOT_FOUND: Self = Self(0x8007_0003);

    /// Access is denied.
    pub(crate) const E_ACCESSDENIED: Self = Self(0x8007_0005);

    /// The file is in use by another job.
    pub(crate) const ERROR_SHARING_VIOLATION: Self = Self(0x8007_0020);

    /// The file exists.
    pub(crate) const ERROR_FILE_EXISTS: Self = Self(0x8007_0050);

    /// A parameter is not valid.
    pub(crate) const E_INVALIDARG: Self = Self(0x8007_0057);

    /// There is not enough space on the disk.
    pub(crate) const ERROR_DISK_FULL: Self = Self(0x8007_0070);

    /// The file name, directory name or volume label syntax is not valid.
    pub(crate) const ERROR_INVALID_NAME: Self = Self(0x8007_007B);

    /// The disk could not be read or written.
    pub(crate) const ERROR_IO_DEVICE: Self = Self(0x8007_045D);

    /// The operation timed out.
    pub(crate) const WININET_E_TIMEOUT: Self = Self(0x8007_2EE2);

    /// The server name could not be resolved.
    pub(crate) const WININET_E_NAME_NOT_RESOLVED: Self = Self(0x8007_2EE7);

    /// A connection with the server could not be made.
    pub(crate) const WININET_E_CANNOT_CONNECT: Self = Self(0x8007_2EFD);

    /// The connection with the server was broken.
    pub(crate) const WININET_E_CONNECTION_ABORTED: Self = Self(0x8007_2EFE);

    /// The server wants a client certificate.
    pub(crate) const WININET_E_CLIENT_AUTH_CERT_NEEDED: Self = Self(0x8007_2F0C);

    /// The server's response could not be parsed.
    pub(crate) const WININET_E_INVALID_SERVER_RESPONSE: Self = Self(0x8007_2F78);

    /// The redirects lead nowhere.
    pub(crate) const WININET_E_REDIRECT_FAILED: Self = Self(0x8007_2F7C);

    /// The server's certificate or its TLS handshake is not acceptable.
    pub(crate) const WININET_E_DECODING_FAILED: Self = Self(0x8007_2F8F);

    /// The certificate was not found.
    pub(crate) const CRYPT_E_NOT_FOUND: Self = Self(0x8009_2004);

    /// The requested action is not allowed in the current state of the job.
    pub(crate) const BG_E_INVALID_STATE: Self = Self(0x8020_0002);

    /// There are no files attached to this job.
    pub(crate) const BG_E_EMPTY: Self = Self(0x8020_0003);

    /// The job holds no error information in its current state.
    pub(crate) const BG_E_ERROR_INFORMATION_UNAVAILABLE: Self = Self(0x8020_000F);

    /// The server does not support HTTP/1.1.
    pub(crate) const BG_E_INSUFFICIENT_HTTP_SUPPORT: Self = Self(0x8020_0012);

    /// The server does not support the necessary HTTP protocol; ranges are required.
    #[cfg(test)]
    pub(crate) const BG_E_INSUFFICIENT_RANGE_SUPPORT: Self = Self(0x8020_0013);

    /// The proxy list is longer than 32 KB.
    pub(crate) const BG_E_PROXY_LIST_TOO_LARGE: Self = Self(0x8020_0018);

    /// The proxy bypass list is longer than 32 KB.
    pub(crate) const BG_E_PROXY_BYPASS_LIST_TOO_LARGE: Self = Self(0x8020_0019);

    /// The server's response was not valid.
    pub(crate) const BG_E_INVALID_SERVER_RESPONSE: Self = Self(0x8020_001B);

    /// The file is larger than the server's limit.
    pub(crate) const BG_E_TOO_LARGE: Self = Self(0x8020_0020);

    /// The text is too long.
    pub(crate) const BG_E_STRING_TOO_LONG: Self = Self(0x8020_0021);

    /// The user name is longer than 300 characters.
    pub(crate) const BG_E_USERNAME_TOO_LARGE: Self = Self(0x8020_0025);

    /// The password is longer than 65,535 characters.
    pub(crate) const BG_E_PASSWORD_TOO_LARGE: Self = Self(0x8020_0026);

    /// The authentication target is not valid.
    pub(crate) const BG_E_INVALID_AUTH_TARGET: Self = Self(0x8020_0027);

    /// The authentication scheme is not valid.
    pub(crate) const BG_E_INVALID_AUTH_SCHEME: Self = Self(0x8020_0028);

    /// The policy of this host does not allow it.
    pub(crate) const BG_E_BLOCKED_BY_POLICY: Self = Self(0x8020_003E);

    /// The proxy settings cannot be used.
    pub(crate) const BG_E_INVALID_PROXY_INFO: Self = Self(0x8020_003F);

    /// The user has reached the limit of jobs.
    pub(crate) const BG_E_TOO_MANY_JOBS_PER_USER: Self = Self(0x8020_0049);

    /// The job has reached its limit of files.
    pub(crate) const BG_E_TOO_MANY_FILES_IN_JOB: Self = Self(0x8020_0051);

    /// The content of the file is not what was expected.
    pub(crate) const BG_E_VALIDATION_FAILED: Self = Self(0x8020_0053);
}

impl fmt::Debug for Hresult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

/// The sentence with its number: `the file exists (0x80070050)`.
impl fmt::Display for Hresult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:08X})", self.message(), self.0)
    }
}

/// In which part a job failed (`BG_ERROR_CONTEXT`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ErrorContext {
    /// It did not fail.
    #[default]
    None = 0,
    /// Nobody knows.
    Unknown = 1,
    /// The engine.
    GeneralQueueManager = 2,
    /// Telling someone.
    QueueManagerNotification = 3,
    /// The file on this host.
    LocalFile = 4,
    /// The file on the server.
    RemoteFile = 5,
    /// The way between.
    GeneralTransport = 6,
    /// The application behind the server.
    RemoteApplication = 7,
}

impl ErrorContext {
    /// The context with this number.
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::Unknown,
            2 => Self::GeneralQueueManager,
            3 => Self::QueueManagerNotification,
            4 => Self::LocalFile,
            5 => Self::RemoteFile,
            6 => Self::GeneralTransport,
            7 => Self::RemoteApplication,
            _ => return None,
        })
    }

    /// `ContextDescription`: a lower-case fragment without a full stop.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::None => "there is no error",
            Self::Unknown => "the error occurred in an unknown place",
            Self::GeneralQueueManager => "the error occurred in the queue manager",
            Self::QueueManagerNotification => {
                "the error occurred while the queue manager notified the client"
            }
            Self::LocalFile => "the error occurred while the local file was being processed",
            Self::RemoteFile => "the error occurred while the remote file was being processed",
            Self::GeneralTransport => "the error occurred in the transport layer",
            Self::RemoteApplication => {
                "the error occurred while the server application was processing the upload"
            }
        }
    }
}

const HTTP: u32 = 0x8019_0000;

/// Code, name, sentence; in the order of the codes.
const TABLE: &[(u32, &str, &str)] = &[
    (
        0x0020_0017,
        "BG_S_PARTIAL_COMPLETE",
        "only some of the files were kept",
    ),
    (0x8000_4001, "E_NOTIMPL", "not implemented"),
    (0x8000_4005, "E_FAIL", "unspecified failure"),
    (
        0x8007_0002,
        "ERROR_FILE_NOT_FOUND",
        "the system cannot find the file specified",
    ),
    (
        0x8007_0003,
        "ERROR_PATH_NOT_FOUND",
        "the system cannot find the path specified",
    ),
    (0x8007_0005, "E_ACCESSDENIED", "access is denied"),
    (
        0x8007_0020,
        "ERROR_SHARING_VIOLATION",
        "the file is in use by another job",
    ),
    (0x8007_0050, "ERROR_FILE_EXISTS", "the file exists"),
    (0x8007_0057, "E_INVALIDARG", "a parameter is not valid"),
    (
        0x8007_0070,
        "ERROR_DISK_FULL",
        "there is not enough space on the disk",
    ),
    (
        0x8007_007B,
        "ERROR_INVALID_NAME",
        "the file name, directory name or volume label syntax is not valid",
    ),
    (
        0x8007_045D,
        "ERROR_IO_DEVICE",
        "the disk could not be read or written",
    ),
    (0x8007_2EE2, "WININET_E_TIMEOUT", "the operation timed out"),
    (
        0x8007_2EE7,
        "WININET_E_NAME_NOT_RESOLVED",
        "the server name could not be resolved",
    ),
    (
        0x8007_2EFD,
        "WININET_E_CANNOT_CONNECT",
        "a connection with the server could not be made",
    ),
    (
        0x8007_2EFE,
        "WININET_E_CONNECTION_ABORTED",
        "the connection with the server was broken",
    ),
    (
        0x8007_2F0C,
        "WININET_E_CLIENT_AUTH_CERT_NEEDED",
        "the server wants a client certificate",
    ),
    (
        0x8007_2F78,
        "WININET_E_INVALID_SERVER_RESPONSE",
        "the server's response could not be parsed",
    ),
    (
        0x8007_2F7C,
        "WININET_E_REDIRECT_FAILED",
        "the redirects lead nowhere",
    ),
    (
        0x8007_2F8F,
        "WININET_E_DECODING_FAILED",
        "the server's certificate or its TLS handshake is not acceptable",
    ),
    (
        0x8009_2004,
        "CRYPT_E_NOT_FOUND",
        "the certificate was not found",
    ),
    (
        0x8020_0001,
        "BG_E_NOT_FOUND",
        "the requested job was not found",
    ),
    (
        0x8020_0002,
        "BG_E_INVALID_STATE",
        "the requested action is not allowed in the current state of the job",
    ),
    (
        0x8020_0003,
        "BG_E_EMPTY",
        "there are no files attached to this job",
    ),
    (
        0x8020_0004,
        "BG_E_FILE_NOT_AVAILABLE",
        "no file is available because no URL generated an error",
    ),
    (
        0x8020_0005,
        "BG_E_PROTOCOL_NOT_AVAILABLE",
        "no protocol is available because no URL generated an error",
    ),
    (
        0x8020_000D,
        "BG_E_DESTINATION_LOCKED",
        "the destination volume is locked",
    ),
    (
        0x8020_000F,
        "BG_E_ERROR_INFORMATION_UNAVAILABLE",
        "the job holds no error information in its current state",
    ),
    (
        0x8020_0010,
        "BG_E_NETWORK_DISCONNECTED",
        "there is no network connection",
    ),
    (
        0x8020_0011,
        "BG_E_MISSING_FILE_SIZE",
        "the server did not return the file size",
    ),
    (
        0x8020_0012,
        "BG_E_INSUFFICIENT_HTTP_SUPPORT",
        "the server does not support HTTP/1.1",
    ),
    (
        0x8020_0013,
        "BG_E_INSUFFICIENT_RANGE_SUPPORT",
        "the server does not support the necessary HTTP protocol; ranges are required",
    ),
    (
        0x8020_0018,
        "BG_E_PROXY_LIST_TOO_LARGE",
        "the proxy list is longer than 32 KB",
    ),
    (
        0x8020_0019,
        "BG_E_PROXY_BYPASS_LIST_TOO_LARGE",
        "the proxy bypass list is longer than 32 KB",
    ),
    (
        0x8020_001B,
        "BG_E_INVALID_SERVER_RESPONSE",
        "the server's response was not valid",
    ),
    (
        0x8020_001C,
        "BG_E_TOO_MANY_FILES",
        "the job can have only one file",
    ),
    (
        0x8020_0020,
        "BG_E_TOO_LARGE",
        "the file is larger than the server's limit",
    ),
    (0x8020_0021, "BG_E_STRING_TOO_LONG", "the text is too long"),
    (
        0x8020_0024,
        "BG_E_NO_PROGRESS",
        "the job made no progress in its allotted time",
    ),
    (
        0x8020_0025,
        "BG_E_USERNAME_TOO_LARGE",
        "the user name is longer than 300 characters",
    ),
    (
        0x8020_0026,
        "BG_E_PASSWORD_TOO_LARGE",
        "the password is longer than 65,535 characters",
    ),
    (
        0x8020_0027,
        "BG_E_INVALID_AUTH_TARGET",
        "the authentication target is not valid",
    ),
    (
        0x8020_0028,
        "BG_E_INVALID_AUTH_SCHEME",
        "the authentication scheme is not valid",
    ),
    (
        0x8020_002D,
        "BG_E_CONNECT_FAILURE",
        "the connection to the server could not be made",
    ),
    (
        0x8020_002E,
        "BG_E_CONNECTION_CLOSED",
        "the server closed the connection early",
    ),
    (
        0x8020_003E,
        "BG_E_BLOCKED_BY_POLICY",
        "the policy of this host does not allow it",
    ),
    (
        0x8020_003F,
        "BG_E_INVALID_PROXY_INFO",
        "the proxy settings cannot be used",
    ),
    (
        0x8020_0040,
        "BG_E_INVALID_CREDENTIALS",
        "the format of the credentials is not valid",
    ),
    (
        0x8020_0049,
        "BG_E_TOO_MANY_JOBS_PER_USER",
        "the user has reached the limit of jobs",
    ),
    (
        0x8020_0050,
        "BG_E_TOO_MANY_JOBS_PER_MACHINE",
        "this host has reached its limit of jobs",
    ),
    (
        0x8020_0051,
        "BG_E_TOO_MANY_FILES_IN_JOB",
        "the job has reached its limit of files",
    ),
    (
        0x8020_0053,
        "BG_E_VALIDATION_FAILED",
        "the content of the file is not what was expected",
    ),
    (
        0x8020_006C,
        "BG_E_DATABASE_CORRUPT",
        "the job store is damaged",
    ),
    (
        0x8020_0073,
        "BG_E_REMOTE_FILE_CHANGED",
        "the remote file changed while it was transferred",
    ),
];

/// Status, sentence; in the order of the statuses.
const HTTP_MESSAGES: &[(u32, &str)] = &[
    (100, "continue"),
    (300, "the server offers several choices"),
    (301, "the file has moved for good"),
    (302, "the file has moved for now"),
    (303, "the file is elsewhere"),
    (304, "the server's response was not valid"),
    (305, "the file must be fetched through a proxy"),
    (307, "the file has moved for now"),
    (400, "the request was not valid"),
    (401, "the server wants other credentials"),
    (402, "the server wants payment"),
    (403, "the server refuses access"),
    (404, "the file does not exist on the server"),
    (405, "the server does not allow the method"),
    (406, "the server has no acceptable form of the file"),
    (407, "the proxy wants other credentials"),
    (408, "the server timed out waiting for the request"),
    (409, "the request conflicts with the state of the file"),
    (410, "the file is gone from the server for good"),
    (411, "the server wants a content length"),
    (412, "a precondition of the request was not met"),
    (413, "the request is too large for the server"),
    (414, "the URL is too long for the server"),
    (415, "the server's response was not valid"),
    (416, "the requested range is not in the file"),
    (417, "an expectation of the request was not met"),
    (429, "too many requests"),
    (449, "the server's response was not valid"),
    (500, "the server failed"),
    (501, "the server does not support the request"),
    (502, "a gateway on the way got no valid response"),
    (503, "the server is overloaded or down for now"),
    (504, "a gateway on the way timed out"),
    (505, "the server does not support the HTTP version"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_in_order() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        assert!(HTTP_MESSAGES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_missing_file_on_the_server_has_the_code_that_bits_gives_it() {
        let code = Hresult::from_http_status(404);
        assert_eq!(code.number(), 0x8019_0194);
        assert_eq!(
            code.to_string(),
            "the file does not exist on the server (0x80190194)"
        );
    }

    #[test]
    fn a_code_is_found_by_its_number() {
        assert_eq!(
            Hresult::from_number(0x8020_0013).name(),
            Some("BG_E_INSUFFICIENT_RANGE_SUPPORT")
        );
        assert_eq!(Hresult::from_number(0x8765_4321).message(), "unknown error");
    }
}
