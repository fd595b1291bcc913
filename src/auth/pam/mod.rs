//! The accounts of the host, by PAM (X/Open RFC 86.0, Linux-PAM).
//!
//! `pam_authenticate` asks the modules of the service's stack whether the
//! password is right, `pam_acct_mgmt` whether the account may be used now; no
//! session is opened and no credentials are set, since nothing runs as the
//! account. The name that counts is the one that the modules leave behind
//! (`PAM_USER`). A password that has expired is refused: there is nobody who
//! could be asked for a new one.

use std::ffi::CStr;
use std::ffi::CString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;

use tracing::debug;

#[allow(
    unsafe_code,
    reason = "PAM is a library of C, and asks for passwords by a function of ours"
)]
mod library;

use self::library::Folder;
use self::library::PamLibrary;
use self::library::Said;
use self::library::Status;
use super::AUDIT;
use crate::config::AccessSettings;

/// A service of PAM.
pub(crate) struct Pam {
    library: PamLibrary,
    service: CString,
    /// Where it is, if not where the host has it.
    folder: Option<CString>,
}

/// Why the start is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PamError {
    /// The host has no PAM.
    #[error("access.basic_accounts is \"pam\", and the library {LIBRARY} cannot be loaded")]
    Library(#[source] libloading::Error),
    /// Its PAM is older than version 1.4.
    #[error("access.pam_directory: the host's PAM has no folders but its own")]
    TooOld,
    /// There is no such service.
    #[error(
        "access.pam_service: there is no service {service:?} in {}",
        listed(folders)
    )]
    NoService {
        /// Its name.
        service: String,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// The service cannot be used.
    #[error("access.pam_service: PAM cannot use {service:?}: {reason}")]
    Service {
        /// Its name.
        service: String,
        /// What PAM says.
        reason: String,
    },
}

/// PAM cannot say whether a password is right; the text is its own.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("PAM: {0}")]
pub(super) struct NoVerdict(String);

/// What a message of a module is answered by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// It only says something.
    Nothing,
    /// It asks for something that may be seen.
    Name,
    /// It asks for something secret.
    Password,
    /// It wants something else.
    Refuse,
}

impl Pam {
    /// The service that the settings name.
    ///
    /// # Errors
    ///
    /// [`PamError`].
    pub(crate) fn load(settings: &AccessSettings) -> Result<Self, PamError> {
        let library = PamLibrary::open(LIBRARY).map_err(PamError::Library)?;
        let service = &settings.pam_service;
        let own = settings.pam_directory.as_deref();
        if own.is_some() && !library.has_folders() {
            return Err(PamError::TooOld);
        }
        // Without this, PAM takes the stack of `other` for it.
        let folders: Vec<&Path> = match own {
            Some(folder) => vec![folder],
            None => HOST_FOLDERS.iter().map(Path::new).collect(),
        };
        let missing = || PamError::NoService {
            service: service.clone(),
            folders: folders.iter().map(|folder| folder.to_path_buf()).collect(),
        };
        if !folders.iter().any(|folder| folder.join(service).is_file()) {
            return Err(missing());
        }
        let pam = Self {
            library,
            service: CString::new(service.as_str()).map_err(|_| missing())?,
            folder: match own {
                Some(folder) => {
                    let folder = CString::new(folder.as_os_str().as_bytes());
                    Some(folder.map_err(|_| missing())?)
                }
                None => None,
            },
        };
        pam.probe().map_err(|status| PamError::Service {
            service: service.clone(),
            reason: pam.library.text(status),
        })?;
        Ok(pam)
    }

    /// Whether PAM takes the service, before anybody logs on.
    fn probe(&self) -> Result<(), Status> {
        let said = Said::new("nobody", "").ok_or(Status(UNUSABLE))?;
        self.library
            .start(&self.service, self.folder(), said)
            .map(drop)
    }

    fn folder(&self) -> Folder<'_> {
        self.folder.as_deref().map_or(Folder::Host, Folder::Own)
    }

    /// The account whose name and password these are, of a client at `from`;
    /// none when they are wrong, or the account may not be used. Blocks, as
    /// long as the modules do.
    ///
    /// # Errors
    ///
    /// [`NoVerdict`]: nobody knows.
    pub(super) fn check(
        &self,
        name: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<Option<String>, NoVerdict> {
        let Some(said) = Said::new(name, password) else {
            return Ok(None);
        };
        match self.log_on(said, from) {
            Ok(account) => Ok(account.filter(|account| is_account(account))),
            Err(status) => {
                let reason = self.library.text(status);
                if is_refusal(status) {
                    debug!(target: AUDIT, address = %from, reason, "Refused by PAM");
                    return Ok(None);
                }
                Err(NoVerdict(reason))
            }
        }
    }

    fn log_on(&self, said: Said, from: IpAddr) -> Result<Option<String>, Status> {
        let from = CString::new(from.to_canonical().to_string()).unwrap_or_default();
        let mut transaction = self.library.start(&self.service, self.folder(), said)?;
        transaction.introduce(&from)?;
        transaction.authenticate()?;
        transaction.check_account()?;
        transaction.user()
    }
}

impl fmt::Debug for Pam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service: &CStr = &self.service;
        f.debug_struct("Pam")
            .field("service", &service)
            .finish_non_exhaustive()
    }
}

/// What a message of this style is answered by.
fn answer(style: i32) -> Answer {
    match style {
        // PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_ERROR_MSG, PAM_TEXT_INFO.
        1 => Answer::Password,
        2 => Answer::Name,
        3 | 4 => Answer::Nothing,
        _ => Answer::Refuse,
    }
}

/// The status says that this client may not come in, and not that PAM could not
/// find out.
fn is_refusal(Status(status): Status) -> bool {
    matches!(
        status,
        PERM_DENIED
            | AUTH_ERR
            | CRED_INSUFFICIENT
            | USER_UNKNOWN
            | MAXTRIES
            | NEW_AUTHTOK_REQD
            | ACCT_EXPIRED
            | CRED_EXPIRED
            | CONV_ERR
            | AUTHTOK_EXPIRED
    )
}

/// What modules leave behind as a name can be one.
fn is_account(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

fn listed(folders: &[PathBuf]) -> String {
    let folders: Vec<_> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    folders.join(", ")
}

const LIBRARY: &str = "libpam.so.0";

/// Where hosts have their services: their own, and those of packages.
const HOST_FOLDERS: &[&str] = &["/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"];

/// Octets of a name.
const MAX_NAME: usize = 256;

/// `PAM_SYSTEM_ERR`.
const UNUSABLE: i32 = 4;

const PERM_DENIED: i32 = 6;
const AUTH_ERR: i32 = 7;
const CRED_INSUFFICIENT: i32 = 8;
const USER_UNKNOWN: i32 = 10;
const MAXTRIES: i32 = 11;
const NEW_AUTHTOK_REQD: i32 = 12;
const ACCT_EXPIRED: i32 = 13;
const CRED_EXPIRED: i32 = 16;
const CONV_ERR: i32 = 19;
const AUTHTOK_EXPIRED: i32 = 27;

#[cfg(test)]
pub(super) mod tests;
