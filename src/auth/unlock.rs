//! Locks as the administrator sees them at the console, and how he takes them
//! off, whether the service runs or not.
//!
//! The service alone writes the table of failed log-ons. What is to be unlocked
//! stands in a file beside it, with the time; the service looks for a new one
//! before it refuses anybody, and when it starts.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use serde::Deserialize;
use serde::Serialize;

use super::lockout::Damaged;
use super::lockout::Locked;
use super::lockout::Lockout;
use super::lockout::Moment;
use super::lockout::Policy;
use super::lockout::Source;
use super::secret_file::Ownership;
use super::secret_file::SecretFileError;
use super::secret_file::read_secret;
use super::secret_file::replace_file;
use crate::config::AccessSettings;

/// What has been unlocked, and when.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unlocked {
    accounts: BTreeMap<String, Moment>,
    sources: BTreeMap<Source, Moment>,
}

/// What is to be unlocked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unlock<'a> {
    /// An account, wherever its failures came from.
    Account(&'a str),
    /// An address, whatever accounts its failures were for.
    Address(IpAddr),
}

impl fmt::Display for Unlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => write!(f, "account {name}"),
            Self::Address(address) => write!(f, "address {}", Source::of(*address)),
        }
    }
}

/// Why locks cannot be shown or taken off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnlockError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] SecretFileError),
    /// The table is none.
    #[error("{path} is damaged")]
    Table {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Damaged,
    },
    /// The list of what was unlocked is none.
    #[error("{path} is damaged; it can be removed")]
    List {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The list cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is nothing to unlock.
    #[error("loopback addresses are never locked")]
    Console,
}

/// Takes locks off, and forgets the failures before them. Says what was
/// locked.
///
/// # Errors
///
/// [`UnlockError`]; nothing is unlocked then.
pub(crate) fn unlock(
    state: &Path,
    access: &AccessSettings,
    what: Unlock<'_>,
) -> Result<Vec<String>, UnlockError> {
    let now = Moment::of(SystemTime::now());
    let source = match what {
        Unlock::Account(_) => None,
        Unlock::Address(address) => Some(Source::of(address)),
    };
    if source == Some(Source::Console) {
        return Err(UnlockError::Console);
    }
    let is_meant = |locked: &Locked| match what {
        Unlock::Account(name) => locked.account.as_deref() == Some(name),
        Unlock::Address(_) => locked.account.is_none() && locked.source == source,
    };
    let mut lines = table(state, access, now).map_or_else(
        // A damaged table must not keep anybody from unlocking: the service
        // has none then either.
        |_| Vec::new(),
        |mut table| table.locked(&Policy::of(access), now),
    );
    lines.retain(is_meant);

    let path = state.join(UNLOCKED_FILE);
    let failed = |source| UnlockError::Write {
        path: path.clone(),
        source,
    };
    let folder = File::open(state).map_err(failed)?;
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| failed(error.into()))?;
    let mut list = Unlocked::read(&path)?.unwrap_or_default();
    list.add(what, source, now);
    // The list belongs to whom the folder belongs to: who unlocks is not the
    // account of the service.
    let like = folder.metadata().map_err(failed)?;
    let ownership = Ownership {
        mode: 0o600,
        owner: Some((like.uid(), like.gid())),
    };
    let octets = serde_json::to_vec(&list).expect("names of accounts and sources are the keys");
    replace_file(&path, &octets, ownership).map_err(failed)?;
    Ok(lines.iter().map(line).collect())
}

/// What is locked, a line each; a running service may be a second ahead.
///
/// # Errors
///
/// [`UnlockError`].
pub(crate) fn locked(state: &Path, access: &AccessSettings) -> Result<Vec<String>, UnlockError> {
    let now = Moment::of(SystemTime::now());
    let mut table = table(state, access, now)?;
    Ok(table
        .locked(&Policy::of(access), now)
        .iter()
        .map(line)
        .collect())
}

/// The table as it was written last, without what has been unlocked since.
fn table(state: &Path, access: &AccessSettings, now: Moment) -> Result<Lockout, UnlockError> {
    let path = state.join(TABLE_FILE);
    let mut table = read_table(&path, &Policy::of(access), now)?;
    if let Some(list) = Unlocked::read(&state.join(UNLOCKED_FILE))? {
        list.apply(&mut table, now);
    }
    Ok(table)
}

/// The table in a file; an empty one if there is none.
///
/// # Errors
///
/// [`UnlockError`].
pub(super) fn read_table(
    path: &Path,
    policy: &Policy,
    now: Moment,
) -> Result<Lockout, UnlockError> {
    let Some(octets) = read(path, MAX_TABLE)? else {
        return Ok(Lockout::default());
    };
    Lockout::decode(&octets, policy, now).map_err(|source| UnlockError::Table {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, UnlockError> {
    match read_secret(path, limit) {
        Ok((octets, _)) => Ok(Some(octets)),
        Err(SecretFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// `alice, from other addresses than its own: 840 s`.
fn line(locked: &Locked) -> String {
    let seconds = locked.remaining.as_secs().max(1);
    match (&locked.account, locked.source) {
        (Some(account), None) => {
            format!("account {account}, from addresses that it is not known to use: {seconds} s")
        }
        (Some(account), Some(source)) => format!("account {account}, from {source}: {seconds} s"),
        (None, Some(source)) => format!("address {source}: {seconds} s"),
        (None, None) => format!("everything: {seconds} s"),
    }
}

impl Unlocked {
    /// The list in a file, if there is one.
    ///
    /// # Errors
    ///
    /// [`UnlockError`].
    pub(super) fn read(path: &Path) -> Result<Option<Self>, UnlockError> {
        let Some(octets) = read(path, MAX_LIST)? else {
            return Ok(None);
        };
        let list = serde_json::from_slice(&octets).map_err(|source| UnlockError::List {
            path: path.to_owned(),
            source,
        })?;
        Ok(Some(list))
    }

    /// Takes off what it says.
    pub(super) fn apply(&self, table: &mut Lockout, now: Moment) {
        for (account, at) in &self.accounts {
            table.unlock_account(account, *at, now);
        }
        for (source, at) in &self.sources {
            table.unlock_source(*source, *at, now);
        }
    }

    /// Adds an entry, and drops those that are of no more use.
    fn add(&mut self, what: Unlock<'_>, source: Option<Source>, now: Moment) {
        let is_of_use = |at: Moment| at.after(LISTED_FOR) > now;
        self.accounts.retain(|_, at| is_of_use(*at));
        self.sources.retain(|_, at| is_of_use(*at));
        match (what, source) {
            (Unlock::Account(name), _) => {
                self.accounts.insert(name.to_owned(), now);
            }
            (Unlock::Address(_), Some(source)) => {
                self.sources.insert(source, now);
            }
            (Unlock::Address(_), None) => {}
        }
    }
}

/// The table, below the state folder.
pub(super) const TABLE_FILE: &str = "lockout.json";

/// The list of what was unlocked.
pub(super) const UNLOCKED_FILE: &str = "lockout-unlocked.json";

/// Octets of the table: every entry with as many failures as the settings can
/// ask for.
const MAX_TABLE: u64 = 64 * 1_024 * 1_024;

/// Octets of the list: some ten thousand entries.
const MAX_LIST: u64 = 1_024 * 1_024;

/// How long an entry is of use: the longest time that the settings allow for a
/// failure to count and a lock to hold.
const LISTED_FOR: Duration = Duration::from_hours(8 * 24);
