//! The user file: a line an account, `name:hash` or `name:hash:ntlm`, the hash
//! as argon2id PHC string. Blank lines and lines that begin with `#` stay as
//! they are.
//!
//! The third field is what `NTLM` needs, the NT hash of the password, in base64
//! and sealed by the vault for this account: it is worth as much as the
//! password.
//!
//! The file is replaced whole, so a reader finds the old accounts or the new
//! ones; it is read again when it is another file than the one last read.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use argon2::Argon2;
use argon2::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing::error;
use zeroize::Zeroizing;

use super::secret_file::Ownership;
use super::secret_file::SecretFileError;
use super::secret_file::read_secret;
use super::secret_file::replace_file;
use crate::mechanism::ntlm::NtHash;
use crate::mechanism::ntlm::nt_hash;
use crate::vault::Purpose;
use crate::vault::Vault;
use crate::vault::VaultError;

/// The accounts in a user file.
#[derive(Debug)]
pub(crate) struct Users {
    path: PathBuf,
    known: Mutex<Known>,
    sealing: Option<Sealing>,
}

/// What NT hashes are sealed with.
#[derive(Debug)]
struct Sealing {
    vault: Arc<Vault>,
    /// The hash of no password, sealed like the others: what is checked for
    /// accounts that have none, so that they cost the same.
    decoy: Vec<u8>,
}

/// For what an NT hash is sealed: an account by its name.
struct NtHashOf<'a>(&'a str);

/// What was last read.
#[derive(Debug)]
struct Known {
    stamp: Option<Stamp>,
    accounts: Arc<Accounts>,
}

/// Name and hashes of each account at one moment.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    hashes: HashMap<String, Arc<str>>,
    /// The sealed NT hashes.
    nt_hashes: HashMap<String, Arc<[u8]>>,
}

/// What an account logs on by: with another password it is another one.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Secrets {
    hash: Arc<str>,
    /// Sealed.
    nt_hash: Option<Arc<[u8]>>,
}

/// What tells one state of the file from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What [`Users::add`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// There is a new account.
    Added,
    /// The account has another password.
    Replaced,
    /// The account has another password, and its NT hash is gone.
    WithoutNtlm,
}

/// Why the accounts cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsersError {
    /// The file is not as it must be.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A line is no account.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The user file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The name is not allowed.
    #[error(
        "{0:?} is no account name: 1 to {MAX_NAME} letters, digits or any of . _ - @ \\, \
         the first one a letter or a digit"
    )]
    Name(String),
    /// The password is empty or too long.
    #[error("a password has 1 to {MAX_PASSWORD} octets")]
    Password,
    /// There is no such account.
    #[error("there is no account {0:?}")]
    NoAccount(String),
    /// The password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    /// The NT hash could not be sealed.
    #[error("the NT hash of the password cannot be kept")]
    Vault(#[from] VaultError),
    /// There is an NT hash that was sealed under another key.
    #[error(
        "the NT hash of {0} cannot be decrypted: this is not the key that it was sealed under. \
         If that key is lost, add {0} again without --ntlm first"
    )]
    OtherKey(String),
    /// The new file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The user file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Users {
    /// Opens the user file at `path`; a file that does not exist has no
    /// accounts.
    ///
    /// # Errors
    ///
    /// [`UsersError`] when others may read it, or a line is no account.
    pub(crate) fn open(path: &Path) -> Result<Self, UsersError> {
        let users = Self {
            path: path.to_owned(),
            known: Mutex::new(Known {
                stamp: None,
                accounts: Arc::default(),
            }),
            sealing: None,
        };
        users.accounts()?;
        Ok(users)
    }

    /// With the vault that NT hashes are sealed by; without one there is no
    /// log-on by `NTLM`. The log has the accounts whose hash it cannot open.
    ///
    /// # Errors
    ///
    /// [`UsersError`].
    pub(crate) fn with_vault(mut self, vault: Arc<Vault>) -> Result<Self, UsersError> {
        let mut decoy = Zeroizing::new([0; 16]);
        aws_lc_rs::rand::fill(&mut *decoy).map_err(|_| VaultError::NotSealed)?;
        let decoy = vault.seal(&NtHashOf(""), &*decoy)?;
        let sealing = Sealing { vault, decoy };
        for (name, sealed) in &self.accounts()?.nt_hashes {
            // What is wrong is said there.
            let _ = sealing.open(name, sealed);
        }
        self.sealing = Some(sealing);
        Ok(self)
    }

    /// Holds when some account has an NT hash.
    ///
    /// # Errors
    ///
    /// As [`Users::open`].
    pub(crate) fn have_nt_hashes(&self) -> Result<bool, UsersError> {
        Ok(!self.accounts()?.nt_hashes.is_empty())
    }

    /// Holds when somebody could log on by `NTLM`.
    pub(super) fn can_use_ntlm(&self) -> bool {
        self.sealing.is_some() && self.have_nt_hashes().unwrap_or(false)
    }

    /// The NT hash of an account, or for one that has none that of no password,
    /// after the same work. None without a vault.
    pub(super) fn nt_hash(&self, accounts: &Accounts, name: Option<&str>) -> Option<NtHash> {
        let sealing = self.sealing.as_ref()?;
        let own = name.and_then(|name| Some((name, accounts.nt_hashes.get(name)?)));
        let hash = own.and_then(|(name, sealed)| sealing.open(name, sealed));
        hash.or_else(|| sealing.open("", &sealing.decoy))
    }

    /// The accounts as they are now: one question to the file system, and
    /// another reading when the file has changed.
    ///
    /// # Errors
    ///
    /// As [`Users::open`]; nobody can log on then.
    pub(super) fn accounts(&self) -> Result<Arc<Accounts>, UsersError> {
        let stamp = match std::fs::metadata(&self.path) {
            Ok(metadata) => Some(Stamp::of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(SecretFileError::Read {
                    path: self.path.clone(),
                    source,
                }
                .into());
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.stamp == stamp {
            return Ok(Arc::clone(&known.accounts));
        }
        let Some((lines, stamp)) = self.read()? else {
            known.stamp = None;
            known.accounts = Arc::default();
            return Ok(Arc::clone(&known.accounts));
        };
        let mut accounts = Accounts::default();
        for line in lines {
            if let Line::Account {
                name,
                hash,
                nt_hash,
            } = line
            {
                if let Some(sealed) = nt_hash {
                    accounts.nt_hashes.insert(name.clone(), sealed.into());
                }
                accounts.hashes.insert(name, Arc::from(hash));
            }
        }
        known.accounts = Arc::new(accounts);
        known.stamp = Some(stamp);
        Ok(Arc::clone(&known.accounts))
    }

    /// The names of all accounts, in order.
    ///
    /// # Errors
    ///
    /// As [`Users::open`].
    fn names(&self) -> Result<Vec<String>, UsersError> {
        let mut names: Vec<String> = self.accounts()?.hashes.keys().cloned().collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Names and whether they have an NT hash, in order.
    ///
    /// # Errors
    ///
    /// As [`Users::open`].
    pub(crate) fn names_and_ntlm(&self) -> Result<Vec<(String, bool)>, UsersError> {
        let accounts = self.accounts()?;
        let names = self.names()?.into_iter();
        let with_ntlm = |name: String| {
            let has_hash = accounts.nt_hashes.contains_key(&name);
            (name, has_hash)
        };
        Ok(names.map(with_ntlm).collect())
    }

    /// Adds an account, or gives it another password; an NT hash that it had is
    /// gone then, since it would still open with the old one. Takes some tenths
    /// of a second.
    ///
    /// # Errors
    ///
    /// [`UsersError`]; the file is then as it was.
    pub(crate) fn add(&self, name: &str, password: &str) -> Result<Change, UsersError> {
        self.put(name, password, None)
    }

    /// As [`Users::add`], but the account has an NT hash of the new password.
    ///
    /// # Errors
    ///
    /// [`UsersError`]; the file is then as it was.
    pub(crate) fn add_for_ntlm(&self, name: &str, password: &str) -> Result<Change, UsersError> {
        let sealing = self.sealing.as_ref().ok_or(VaultError::NotSealed)?;
        for (other, sealed) in &self.accounts()?.nt_hashes {
            if other != name && sealing.open(other, sealed).is_none() {
                return Err(UsersError::OtherKey(other.clone()));
            }
        }
        let sealed = sealing.vault.seal(&NtHashOf(name), &*nt_hash(password))?;
        self.put(name, password, Some(sealed))
    }

    /// Writes the line of an account.
    fn put(
        &self,
        name: &str,
        password: &str,
        nt_hash: Option<Vec<u8>>,
    ) -> Result<Change, UsersError> {
        if !is_name(name) {
            return Err(UsersError::Name(name.to_owned()));
        }
        if !(1..=MAX_PASSWORD).contains(&password.len()) {
            return Err(UsersError::Password);
        }
        let hash: PasswordHash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(UsersError::Hash)?;
        let hash = hash.to_string();
        self.rewrite(|lines| {
            let own = lines
                .iter_mut()
                .find(|line| matches!(line, Line::Account { name: own, .. } if own == name));
            let is_without = nt_hash.is_none();
            let new = Line::Account {
                name: name.to_owned(),
                hash,
                nt_hash,
            };
            if let Some(line) = own {
                let old = std::mem::replace(line, new);
                let had_one = matches!(
                    old,
                    Line::Account {
                        nt_hash: Some(_),
                        ..
                    }
                );
                return Ok(if had_one && is_without {
                    Change::WithoutNtlm
                } else {
                    Change::Replaced
                });
            }
            lines.push(new);
            Ok(Change::Added)
        })
    }

    /// Removes an account; whoever is logged on with it is not any more.
    ///
    /// # Errors
    ///
    /// [`UsersError`]; the file is then as it was.
    pub(crate) fn remove(&self, name: &str) -> Result<(), UsersError> {
        self.rewrite(|lines| {
            let before = lines.len();
            lines.retain(|line| !matches!(line, Line::Account { name: own, .. } if own == name));
            if lines.len() == before {
                return Err(UsersError::NoAccount(name.to_owned()));
            }
            Ok(())
        })
    }

    /// The lines of the file and what tells its state, if it exists.
    fn read(&self) -> Result<Option<(Vec<Line>, Stamp)>, UsersError> {
        let (octets, metadata) = match read_secret(&self.path, MAX_FILE) {
            Ok(read) => read,
            Err(SecretFileError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let wrong = |line, reason| UsersError::Line {
            path: self.path.clone(),
            line,
            reason,
        };
        let text = String::from_utf8(octets).map_err(|_| wrong(1, "the file is no UTF-8"))?;
        let mut names = std::collections::HashSet::new();
        let lines = text
            .lines()
            .enumerate()
            .map(|(index, text)| {
                let line = Line::parse(text).map_err(|reason| wrong(index + 1, reason))?;
                match &line {
                    Line::Account { name, .. } if !names.insert(name.clone()) => {
                        Err(wrong(index + 1, "the account stands there twice"))
                    }
                    Line::Account { .. } | Line::Other(_) => Ok(line),
                }
            })
            .collect::<Result<_, UsersError>>()?;
        Ok(Some((lines, Stamp::of(&metadata))))
    }

    /// Replaces the file by what `change` makes of its lines. Two processes
    /// that do so at once wait for each other.
    fn rewrite<T>(
        &self,
        change: impl FnOnce(&mut Vec<Line>) -> Result<T, UsersError>,
    ) -> Result<T, UsersError> {
        let failed = |source| UsersError::Write {
            path: self.path.clone(),
            source,
        };
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(folder)
            .map_err(failed)?;
        let handle = File::open(folder).map_err(failed)?;
        rustix::fs::flock(&handle, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| failed(error.into()))?;

        let mut lines = self.read()?.map(|(lines, _)| lines).unwrap_or_default();
        let done = change(&mut lines)?;
        let text: String = lines.iter().map(Line::to_string).collect();
        // The file belongs to whom the old one, else the folder, belongs to:
        // who adds an account is not the account of the service.
        let old = std::fs::metadata(&self.path).ok();
        let mode = old.as_ref().map_or(0o600, |old| old.mode() & 0o640);
        let like = old.map_or_else(|| handle.metadata(), Ok).map_err(failed)?;
        let ownership = Ownership {
            mode,
            owner: Some((like.uid(), like.gid())),
        };
        replace_file(&self.path, text.as_bytes(), ownership).map_err(failed)?;
        Ok(done)
    }
}

impl Accounts {
    /// The hash of an account's password.
    pub(super) fn hash(&self, name: &str) -> Option<&Arc<str>> {
        self.hashes.get(name)
    }

    /// What an account logs on by, if there is such a one.
    pub(super) fn secrets(&self, name: &str) -> Option<Secrets> {
        let hash = Arc::clone(self.hashes.get(name)?);
        let nt_hash = self.nt_hashes.get(name).cloned();
        Some(Secrets { hash, nt_hash })
    }
}

impl Sealing {
    /// The NT hash of an account. One that is not ours is as good as none, and
    /// an operator must know.
    fn open(&self, name: &str, sealed: &[u8]) -> Option<NtHash> {
        let opened = self.vault.unseal(&NtHashOf(name), sealed);
        let hash = opened.ok().and_then(|hash| hash.as_slice().try_into().ok());
        if hash.is_none() {
            error!(
                account = name,
                "NT hash cannot be decrypted: no log-on by NTLM until the account is added again"
            );
        }
        hash.map(Zeroizing::new)
    }
}

impl Purpose for NtHashOf<'_> {
    /// Longer than what any secret of a job is sealed for.
    fn octets(&self) -> Vec<u8> {
        [b"NT hash of the account: ".as_slice(), self.0.as_bytes()].concat()
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A line of the user file.
enum Line {
    Account {
        name: String,
        hash: String,
        /// Sealed.
        nt_hash: Option<Vec<u8>>,
    },
    Other(String),
}

impl Line {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.trim().is_empty() || text.starts_with('#') {
            return Ok(Self::Other(text.to_owned()));
        }
        let (name, rest) = text
            .split_once(':')
            .ok_or("an account is written name:hash")?;
        let (hash, nt_hash) = match rest.split_once(':') {
            Some((hash, nt_hash)) => (hash, Some(nt_hash)),
            None => (rest, None),
        };
        if !is_name(name) {
            return Err("the name is no account name");
        }
        let parsed = PasswordHash::new(hash).map_err(|_| "the hash is no PHC string")?;
        let is_whole = parsed.salt.is_some() && parsed.hash.is_some();
        if parsed.algorithm.as_str() != "argon2id" || !is_whole {
            return Err("the hash is no argon2id hash with salt");
        }
        let nt_hash = nt_hash.map(|text| STANDARD.decode(text)).transpose();
        Ok(Self::Account {
            name: name.to_owned(),
            hash: hash.to_owned(),
            nt_hash: nt_hash.map_err(|_| "the NT hash is no base64")?,
        })
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account {
                name,
                hash,
                nt_hash: None,
            } => writeln!(f, "{name}:{hash}"),
            Self::Account {
                name,
                hash,
                nt_hash: Some(sealed),
            } => writeln!(f, "{name}:{hash}:{}", STANDARD.encode(sealed)),
            Self::Other(text) => writeln!(f, "{text}"),
        }
    }
}

/// Holds when `name` may be the name of an account.
pub(super) fn is_name(name: &str) -> bool {
    name.chars().count() <= MAX_NAME
        && name.chars().next().is_some_and(char::is_alphanumeric)
        && name
            .chars()
            .all(|char| char.is_alphanumeric() || "._-@\\".contains(char))
}

/// Characters of a name.
const MAX_NAME: usize = 64;

/// Octets of a password.
pub(super) const MAX_PASSWORD: usize = 1_024;

/// Octets of the user file: some hundred thousand accounts.
const MAX_FILE: u64 = 32 * 1_024 * 1_024;

#[cfg(test)]
mod tests;
