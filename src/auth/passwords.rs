//! Who checks the passwords of `Basic`: the user file, or the host by PAM.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use base64::Engine as _;
use tracing::error;

use super::AuthError;
use super::Users;
use super::access::Access;
use super::credentials::Credentials;
use super::pam::Pam;
use super::users::Accounts;

/// What knows the passwords.
pub(super) enum Passwords {
    /// The user file.
    File(File),
    /// The host.
    Pam {
        /// By this service.
        pam: Arc<Pam>,
        /// Tells names that are somebody's from what people type in place of
        /// names.
        access: Arc<Access>,
    },
}

/// The user file, and what a name costs that is not in it.
pub(super) struct File {
    users: Arc<Users>,
    /// A hash that no password has, checked for names that are unknown.
    decoy: String,
    /// Runs a check: argon2id, but for tests that count.
    pub(super) check: fn(&[u8], &str) -> bool,
}

/// What is known at the start of a check.
#[derive(Clone)]
pub(super) enum Known {
    /// The accounts of the user file.
    File(Arc<Accounts>),
    /// The host is asked.
    Pam,
}

/// Credentials that are right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Right {
    /// Whose.
    pub(super) account: Arc<str>,
    /// The hash that they are right for, if it is known: with another one they
    /// are wrong.
    hash: Option<Arc<str>>,
}

impl Passwords {
    /// Those of the user file.
    pub(super) fn of_file(users: Arc<Users>) -> Self {
        Self::File(File::new(users, is_password))
    }

    /// What is known now.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unavailable`], the log has the cause.
    pub(super) fn known(&self) -> Result<Known, AuthError> {
        match self {
            Self::File(file) => file.users.accounts().map(Known::File).map_err(|cause| {
                error!(
                    cause = &cause as &dyn std::error::Error,
                    "Accounts not readable"
                );
                AuthError::Unavailable
            }),
            Self::Pam { .. } => Ok(Known::Pam),
        }
    }

    /// Whose credentials these are, by one reading of them; none when they are
    /// wrong. Blocks. Every reading costs the same, be the name known or not;
    /// PAM is asked for the likeliest reading only, since it may count what is
    /// wrong, and not for a name that no account can have.
    ///
    /// # Errors
    ///
    /// [`AuthError::Unavailable`], the log has the cause.
    pub(super) fn find(
        &self,
        credentials: &Credentials,
        known: &Known,
        from: IpAddr,
    ) -> Result<Option<Right>, AuthError> {
        match (self, known) {
            (Self::File(file), Known::File(accounts)) => Ok(file.find(credentials, accounts)),
            (Self::Pam { pam, .. }, Known::Pam) => {
                let likeliest = credentials.readings.first();
                let Some((name, password)) = likeliest.filter(|(name, _)| !name.is_empty()) else {
                    return Ok(None);
                };
                let account = pam.check(name, password, from).map_err(|cause| {
                    error!(%cause, "Accounts of the host not available");
                    AuthError::Unavailable
                })?;
                Ok(account.map(|account| Right {
                    account: account.into(),
                    hash: None,
                }))
            }
            (Self::File(_), Known::Pam) | (Self::Pam { .. }, Known::File(_)) => {
                Err(AuthError::Unavailable)
            }
        }
    }

    /// The name in `credentials`, if there is such an account. What the host has
    /// is not looked up: only a name that the settings name is known to be one.
    pub(super) fn known_name(&self, credentials: Credentials) -> Option<String> {
        let is_known: Box<dyn Fn(&str) -> bool> = match self {
            Self::File(file) => {
                let accounts = file.users.accounts().ok()?;
                Box::new(move |name| accounts.hash(name).is_some())
            }
            Self::Pam { access, .. } => Box::new(|name| access.names(name)),
        };
        let mut names = credentials.readings.into_iter().map(|(name, _)| name);
        names.find(|name| is_known(name))
    }

    /// How long what was right is remembered: the user file shows that an
    /// account has changed, the host does not.
    pub(super) fn remembered_for(&self) -> Duration {
        match self {
            Self::File(_) => Duration::from_mins(1),
            Self::Pam { .. } => Duration::from_secs(15),
        }
    }

    /// Does it matter where the client is? The host's modules may ask.
    pub(super) fn depend_on_address(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Pam { .. } => true,
        }
    }
}

impl File {
    /// The accounts of `users`, by this check.
    pub(super) fn new(users: Arc<Users>, check: fn(&[u8], &str) -> bool) -> Self {
        let mut salt_and_hash = [0; 48];
        aws_lc_rs::rand::fill(&mut salt_and_hash)
            .expect("the kernel gives random octets once it has started");
        let encode =
            |octets: &[u8]| base64::engine::general_purpose::STANDARD_NO_PAD.encode(octets);
        let (salt, hash) = salt_and_hash.split_at(16);
        let parameters = argon2::Params::DEFAULT;
        let decoy = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            parameters.m_cost(),
            parameters.t_cost(),
            parameters.p_cost(),
            encode(salt),
            encode(hash)
        );
        Self {
            users,
            decoy,
            check,
        }
    }

    /// Every reading is checked, be another one right or not: while an account
    /// is locked out, time must not tell.
    fn find(&self, credentials: &Credentials, accounts: &Accounts) -> Option<Right> {
        let mut found = None;
        for (name, password) in &credentials.readings {
            let hash = accounts.hash(name);
            let is_right = (self.check)(password.as_bytes(), hash.map_or(&self.decoy, |hash| hash));
            if let (true, None, Some(hash)) = (is_right, &found, hash) {
                found = Some(Right {
                    account: Arc::from(name.as_str()),
                    hash: Some(Arc::clone(hash)),
                });
            }
        }
        found
    }
}

impl Right {
    /// Are they still right, as far as that is known without a check?
    pub(super) fn holds(&self, known: &Known) -> bool {
        match known {
            Known::File(accounts) => {
                let hash = accounts.hash(&self.account);
                hash.is_some_and(|hash| self.hash.as_deref() == Some(&**hash))
            }
            Known::Pam => true,
        }
    }

    /// Some, for tests.
    #[cfg(test)]
    pub(super) fn for_test(account: &str) -> Self {
        Self {
            account: Arc::from(account),
            hash: None,
        }
    }
}

/// Holds when `hash` is that of `password`.
pub(super) fn is_password(password: &[u8], hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}
