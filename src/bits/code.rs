//! Error codes and their sentences.
//!
//! Facility 0x20 is BITS' own ("BITS Return Values"), 0x19 carries HTTP
//! statuses (`0x8019_0000` + status), 7 carries Win32 codes.

mod status;
mod table;
mod words;

use std::fmt;

use super::Language;
use table::Row;
use words::Words;

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
        self.row().map(|row| row.name)
    }

    /// What it means: a lower-case fragment without a full stop.
    pub(crate) fn message(self, language: Language) -> &'static str {
        let words = match self.row() {
            Some(row) => row.words,
            None => status_words(self.0.wrapping_sub(HTTP)),
        };
        words.of(language)
    }

    /// The same with its number: `the file exists (0x80070050)`. This is how
    /// users see a code, wherever they see one.
    pub(crate) fn numbered(self, language: Language) -> String {
        format!("{} (0x{:08X})", self.message(language), self.0)
    }

    fn row(self) -> Option<&'static Row> {
        table::TABLE
            .binary_search_by_key(&self.0, |row| row.code)
            .ok()
            .map(|at| &table::TABLE[at])
    }

    /// Not implemented.
    pub(crate) const E_NOTIMPL: Self = Self(0x8000_4001);

    /// Unspecified failure.
    pub(crate) const E_FAIL: Self = Self(0x8000_4005);

    /// The system cannot find the file specified.
    pub(crate) const ERROR_FILE_NOT_FOUND: Self = Self(0x8007_0002);

    /// The system cannot find the path specified.
    pub(crate) const ERROR_PATH_NOT_FOUND: Self = Self(0x8007_0003);

    /// The system cannot open the file: too many are open.
    pub(crate) const ERROR_TOO_MANY_OPEN_FILES: Self = Self(0x8007_0004);

    /// Access is denied.
    pub(crate) const E_ACCESSDENIED: Self = Self(0x8007_0005);

    /// There is not enough memory.
    pub(crate) const E_OUTOFMEMORY: Self = Self(0x8007_000E);

    /// The disk is write protected.
    pub(crate) const ERROR_WRITE_PROTECT: Self = Self(0x8007_0013);

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

    /// There are no credentials to log on with.
    pub(crate) const SEC_E_NO_CREDENTIALS: Self = Self(0x8009_030E);

    /// The certificate was not found.
    pub(crate) const CRYPT_E_NOT_FOUND: Self = Self(0x8009_2004);

    /// The requested action is not allowed in the current state of the job.
    pub(crate) const BG_E_INVALID_STATE: Self = Self(0x8020_0002);

    /// There are no files attached to this job.
    pub(crate) const BG_E_EMPTY: Self = Self(0x8020_0003);

    /// The destination volume is locked.
    pub(crate) const BG_E_DESTINATION_LOCKED: Self = Self(0x8020_000D);

    /// The destination volume is another one than before.
    pub(crate) const BG_E_VOLUME_CHANGED: Self = Self(0x8020_000E);

    /// The job holds no error information in its current state.
    pub(crate) const BG_E_ERROR_INFORMATION_UNAVAILABLE: Self = Self(0x8020_000F);

    /// There is no network.
    pub(crate) const BG_E_NETWORK_DISCONNECTED: Self = Self(0x8020_0010);

    /// The server does not support HTTP/1.1.
    pub(crate) const BG_E_INSUFFICIENT_HTTP_SUPPORT: Self = Self(0x8020_0012);

    /// The server does not support the necessary HTTP protocol; ranges are required.
    pub(crate) const BG_E_INSUFFICIENT_RANGE_SUPPORT: Self = Self(0x8020_0013);

    /// The new owner may not have the files of the job.
    pub(crate) const BG_E_NEW_OWNER_NO_FILE_ACCESS: Self = Self(0x8020_0016);

    /// The proxy list is longer than 32 KB.
    pub(crate) const BG_E_PROXY_LIST_TOO_LARGE: Self = Self(0x8020_0018);

    /// The proxy bypass list is longer than 32 KB.
    pub(crate) const BG_E_PROXY_BYPASS_LIST_TOO_LARGE: Self = Self(0x8020_0019);

    /// The server's response was not valid.
    pub(crate) const BG_E_INVALID_SERVER_RESPONSE: Self = Self(0x8020_001B);

    /// A job of this type has one file only.
    pub(crate) const BG_E_TOO_MANY_FILES: Self = Self(0x8020_001C);

    /// The source of an upload has changed since it began.
    pub(crate) const BG_E_LOCAL_FILE_CHANGED: Self = Self(0x8020_001D);

    /// The server does not know the upload session.
    pub(crate) const BG_E_SESSION_NOT_FOUND: Self = Self(0x8020_001F);

    /// The file is larger than the server's limit.
    pub(crate) const BG_E_TOO_LARGE: Self = Self(0x8020_0020);

    /// The server speaks another upload protocol.
    pub(crate) const BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH: Self = Self(0x8020_0022);

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

    /// A range is not inside the file.
    pub(crate) const BG_E_INVALID_RANGE: Self = Self(0x8020_002B);

    /// Two ranges have octets in common.
    pub(crate) const BG_E_OVERLAPPING_RANGES: Self = Self(0x8020_002C);

    /// The policy of this host does not allow it.
    pub(crate) const BG_E_BLOCKED_BY_POLICY: Self = Self(0x8020_003E);

    /// The proxy settings cannot be used.
    pub(crate) const BG_E_INVALID_PROXY_INFO: Self = Self(0x8020_003F);

    /// The user has reached the limit of jobs.
    pub(crate) const BG_E_TOO_MANY_JOBS_PER_USER: Self = Self(0x8020_0049);

    /// The job has reached its limit of files.
    pub(crate) const BG_E_TOO_MANY_FILES_IN_JOB: Self = Self(0x8020_0051);

    /// The file has reached its limit of ranges.
    pub(crate) const BG_E_TOO_MANY_RANGES_IN_FILE: Self = Self(0x8020_0052);

    /// The content of the file is not what was expected.
    pub(crate) const BG_E_VALIDATION_FAILED: Self = Self(0x8020_0053);

    /// The job was too long in CONNECTING and TRANSFERRING.
    pub(crate) const BG_E_MAXDOWNLOAD_TIMEOUT: Self = Self(0x8020_0054);

    /// The files of the job are larger than it may fetch.
    pub(crate) const BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED: Self = Self(0x8020_0064);

    /// The remote file changed while it was transferred.
    pub(crate) const BG_E_REMOTE_FILE_CHANGED: Self = Self(0x8020_0073);

    /// There is no property of that number.
    pub(crate) const BG_E_UNKNOWN_PROPERTY_ID: Self = Self(0x8020_0057);

    /// The property cannot be changed.
    pub(crate) const BG_E_READ_ONLY_PROPERTY: Self = Self(0x8020_0058);

    /// Only downloads have the property.
    pub(crate) const BG_E_PROPERTY_SUPPORTED_FOR_DOWNLOAD_JOBS_ONLY: Self = Self(0x8020_0060);

    /// The property cannot be changed once the job was resumed.
    pub(crate) const BG_E_READ_ONLY_PROPERTY_AFTER_RESUME: Self = Self(0x8020_0062);

    /// The most that a job may fetch is less than one octet.
    pub(crate) const BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE: Self = Self(0x8020_0063);

    /// There are no stored credentials.
    pub(crate) const BG_E_USE_STORED_CREDENTIALS_NOT_SUPPORTED: Self = Self(0x8020_0066);

    /// Files come from their beginning to their end.
    pub(crate) const BG_E_RANDOM_ACCESS_NOT_SUPPORTED: Self = Self(0x8020_006D);

    /// It does not go with an HTTP method other than GET.
    pub(crate) const BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD: Self = Self(0x8020_0071);
}

impl fmt::Debug for Hresult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

/// [`Hresult::numbered`] in English.
impl fmt::Display for Hresult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.numbered(Language::English))
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
    pub(crate) const fn message(self, language: Language) -> &'static str {
        let words = match self {
            Self::None => Words::new("there is no error", "não há nenhum erro"),
            Self::Unknown => Words::new(
                "the error occurred in an unknown place",
                "o erro ocorreu em um lugar desconhecido",
            ),
            Self::GeneralQueueManager => Words::new(
                "the error occurred in the queue manager",
                "o erro ocorreu no gerenciador da fila",
            ),
            Self::QueueManagerNotification => Words::new(
                "the error occurred while the queue manager notified the client",
                "o erro ocorreu enquanto o gerenciador da fila notificava o cliente",
            ),
            Self::LocalFile => Words::new(
                "the error occurred while the local file was being processed",
                "o erro ocorreu enquanto o arquivo local era processado",
            ),
            Self::RemoteFile => Words::new(
                "the error occurred while the remote file was being processed",
                "o erro ocorreu enquanto o arquivo remoto era processado",
            ),
            Self::GeneralTransport => Words::new(
                "the error occurred in the transport layer",
                "o erro ocorreu na camada de transporte",
            ),
            Self::RemoteApplication => Words::new(
                "the error occurred while the server application was processing the upload",
                "o erro ocorreu enquanto o aplicativo do servidor processava o envio",
            ),
        };
        words.of(language)
    }
}

fn status_words(status: u32) -> Words {
    match status::TABLE.binary_search_by_key(&status, |row| row.0) {
        Ok(at) => status::TABLE[at].1,
        Err(_) if (100..600).contains(&status) => status::OTHER,
        Err(_) => table::UNKNOWN,
    }
}

const HTTP: u32 = 0x8019_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_in_order() {
        assert!(table::TABLE.is_sorted_by(|a, b| a.code < b.code));
        assert!(status::TABLE.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_sentence_is_there_in_both_languages() {
        let codes = table::TABLE.iter().map(|row| row.words);
        let statuses = status::TABLE.iter().map(|row| row.1);
        for words in codes.chain(statuses).chain([status::OTHER, table::UNKNOWN]) {
            check(words.english, words.portuguese);
        }
        for number in 0.. {
            let Some(context) = ErrorContext::from_number(number) else {
                assert_eq!(number, 8);
                break;
            };
            check(
                context.message(Language::English),
                context.message(Language::Portuguese),
            );
        }
    }

    fn check(english: &str, portuguese: &str) {
        assert_ne!(english, portuguese);
        for fragment in [english, portuguese] {
            assert!(fragment.chars().count() > 8, "{fragment}");
            assert!(!fragment.ends_with('.'), "{fragment}");
            assert!(fragment.starts_with(char::is_lowercase), "{fragment}");
        }
    }

    #[test]
    fn a_missing_file_on_the_server_has_the_code_that_bits_gives_it() {
        let code = Hresult::from_http_status(404);
        assert_eq!(code.number(), 0x8019_0194);
        assert_eq!(
            code.to_string(),
            "the file does not exist on the server (0x80190194)"
        );
        assert_eq!(
            code.numbered(Language::Portuguese),
            "o arquivo não existe no servidor (0x80190194)"
        );
    }

    #[test]
    fn a_code_is_found_by_its_number() {
        assert_eq!(
            Hresult::from_number(0x8020_0013).name(),
            Some("BG_E_INSUFFICIENT_RANGE_SUPPORT")
        );
        for (number, english, portuguese) in [
            (0x8765_4321, "unknown error", "erro desconhecido"),
            (
                0x8019_0212,
                "the server answered with an unexpected status",
                "o servidor respondeu com um status inesperado",
            ),
        ] {
            let code = Hresult::from_number(number);
            assert_eq!(code.message(Language::English), english);
            assert_eq!(code.message(Language::Portuguese), portuguese);
        }
    }
}
