//! What is remembered of sessions, in a folder of the service's state: for each
//! a record that is synced, and a mark that is not.
//!
//! The record says up to which octet the upload is synced. The mark says how far
//! it was written, stamped with the boot: after a crash of the process alone the
//! page cache is whole, and the mark counts; after anything else the record. All
//! calls block.

use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use tracing::warn;

use super::clock;
use crate::bits::JobId;

/// What is remembered of sessions.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    boot: [u8; 16],
}

/// A session, as it is remembered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Whose it is; nobody's if he has not logged on.
    pub(super) owner: Option<String>,
    /// The upload folder, by its path in URLs.
    pub(super) folder: String,
    /// The destination below it.
    pub(super) target: String,
    /// The file that has the octets.
    pub(super) inode: u64,
    /// Octets of the whole, once a fragment has said so.
    pub(super) total: Option<u64>,
    /// Octets that are synced.
    pub(super) synced: u64,
    /// How far the upload is.
    pub(super) phase: Phase,
    /// What answers it.
    pub(super) reply: Option<Reply>,
    /// When the client was heard last, in seconds since 1970.
    pub(super) touched_at: u64,
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Octets are still to come.
    Receiving,
    /// All are here; the application behind is to be told.
    Received,
    /// It was told, and wants the file at its destination.
    Wanted,
    /// Nothing is left to be done but to be closed.
    Done,
    /// The octets are gone.
    Lost,
    /// The client has closed it: kept for a client that asks again.
    Closed,
}

/// What answers an upload.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// The hidden file beside the destination.
    File,
    /// A file at another address, which stays there.
    Elsewhere(String),
}

/// Must a record outlive a power cut?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keeping {
    Durable,
    Likely,
}

/// How far one upload was written.
#[derive(Debug)]
pub(super) struct Mark {
    file: fs::File,
    boot: [u8; 16],
    inode: u64,
}

impl Ledger {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    ///
    /// Of the file system.
    pub(super) fn open(state_directory: &Path) -> io::Result<Self> {
        let folder = state_directory.join(FOLDER);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        fs::File::open(state_directory)?.sync_all()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let boot = uuid::Uuid::try_parse(boot.trim()).map_err(io::Error::other)?;
        Ok(Self {
            folder,
            boot: boot.into_bytes(),
        })
    }

    /// Every session that is remembered. One that cannot be read is left where
    /// it is, and said.
    ///
    /// # Errors
    ///
    /// Of the folder.
    pub(super) fn load(&self) -> io::Result<Vec<(JobId, Record)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != RECORD) {
                // A crash came between the two of one session.
                if !path.with_extension(RECORD).exists() {
                    let _ = fs::remove_file(&path);
                }
                continue;
            }
            let id = path.file_stem().and_then(|stem| stem.to_str());
            let id = id.and_then(|stem| stem.parse().ok());
            let octets = fs::read(&path)?;
            let (Some(id), Ok(mut record)) = (id, serde_json::from_slice::<Record>(&octets)) else {
                warn!(path = %path.display(), "Record of an upload cannot be read");
                continue;
            };
            let marked_at = fs::metadata(self.path(id, MARK)).and_then(|it| it.modified());
            let marked_at = marked_at.map_or(0, clock::seconds);
            record.touched_at = record.touched_at.max(marked_at);
            all.push((id, record));
        }
        Ok(all)
    }

    /// Keeps a record in place of the last one.
    ///
    /// # Errors
    ///
    /// Of the file system.
    pub(super) fn keep(&self, id: JobId, record: &Record, how: Keeping) -> io::Result<()> {
        let path = self.path(id, RECORD);
        let new = self.path(id, NEW);
        let octets = serde_json::to_vec(record).map_err(io::Error::other)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&octets)?;
        if how == Keeping::Durable {
            file.sync_data()?;
        }
        fs::rename(&new, &path)?;
        if how == Keeping::Durable {
            fs::File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Forgets a session.
    pub(super) fn forget(&self, id: JobId) {
        for extension in [RECORD, MARK, NEW] {
            // What is left is cleared away by a later start.
            let _ = fs::remove_file(self.path(id, extension));
        }
    }

    /// Opens the mark of an upload whose octets are in the file `inode`.
    ///
    /// # Errors
    ///
    /// Of the file system.
    pub(super) fn mark(&self, id: JobId, inode: u64) -> io::Result<Mark> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path(id, MARK))?;
        let boot = self.boot;
        Ok(Mark { file, boot, inode })
    }

    /// Octets that the mark of this boot says; nothing of another boot, of
    /// another file, or torn.
    pub(super) fn written(&self, id: JobId, inode: u64) -> Option<u64> {
        let file = fs::File::open(self.path(id, MARK)).ok()?;
        let mut octets = [0; MARK_OCTETS];
        file.read_exact_at(&mut octets, 0).ok()?;
        decode(&octets, &self.boot, inode)
    }

    fn path(&self, id: JobId, extension: &str) -> PathBuf {
        let number = u128::from_be_bytes(id.to_octets());
        let id = uuid::Uuid::from_u128(number);
        self.folder.join(format!("{id}.{extension}"))
    }
}

impl Mark {
    /// So many octets are written. A mark that cannot be kept costs octets after
    /// a crash, nothing else.
    pub(super) fn advance(&self, octets: u64) {
        let encoded = encode(&self.boot, self.inode, octets);
        let _ = self.file.write_all_at(&encoded, 0);
    }
}

fn encode(boot: &[u8; 16], inode: u64, octets: u64) -> [u8; MARK_OCTETS] {
    let mut mark = [0; MARK_OCTETS];
    mark[..16].copy_from_slice(boot);
    mark[16..24].copy_from_slice(&inode.to_le_bytes());
    mark[24..32].copy_from_slice(&octets.to_le_bytes());
    let sum = checksum(&mark[..32]);
    mark[32..].copy_from_slice(&sum.to_le_bytes());
    mark
}

fn decode(mark: &[u8; MARK_OCTETS], boot: &[u8; 16], inode: u64) -> Option<u64> {
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(mark.get(at..at + 8)?.try_into().ok()?))
    };
    let is_ours =
        mark[..16] == *boot && number(16)? == inode && number(32)? == checksum(&mark[..32]);
    is_ours.then(|| number(24)).flatten()
}

/// FNV-1a.
fn checksum(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Below the state folder.
const FOLDER: &str = "uploads";

/// Extensions of a session's files.
const RECORD: &str = "json";
const MARK: &str = "mark";
/// A record until it is whole.
const NEW: &str = "new";

/// Octets of a mark.
const MARK_OCTETS: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            owner: Some("alice".to_owned()),
            folder: "/upload".to_owned(),
            target: "sub/x".to_owned(),
            inode: 7,
            total: Some(9),
            synced: 5,
            phase: Phase::Receiving,
            reply: Some(Reply::Elsewhere("http://h/r".to_owned())),
            touched_at: 3,
        }
    }

    #[test]
    fn records_are_found_again_until_they_are_forgotten() {
        let folder = tempfile::tempdir().expect("folder");
        let ledger = Ledger::open(folder.path()).expect("open");
        let id = JobId::new();
        ledger.keep(id, &record(), Keeping::Durable).expect("kept");
        fs::write(folder.path().join("uploads/torn.json"), "{").expect("written");
        let again = Ledger::open(folder.path()).expect("open");
        fs::write(folder.path().join("uploads/left.mark"), "").expect("written");
        again.mark(id, 7).expect("made").advance(1);
        let mut found = again.load().expect("read");
        found[0].1.touched_at = 3;
        assert_eq!(found, [(id, record())]);
        assert!(!folder.path().join("uploads/left.mark").exists());
        assert_eq!(again.written(id, 7), Some(1));
        again.forget(id);
        assert_eq!(again.load().expect("read"), []);
    }

    #[test]
    fn a_mark_counts_for_its_boot_and_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        let mut ledger = Ledger::open(folder.path()).expect("open");
        let id = JobId::new();
        assert_eq!(ledger.written(id, 7), None);
        ledger.mark(id, 7).expect("made").advance(42);
        assert_eq!(ledger.written(id, 7), Some(42));
        assert_eq!(ledger.written(id, 8), None);
        ledger.boot = [1; 16];
        assert_eq!(ledger.written(id, 7), None);
    }

    proptest! {
        #[test]
        fn a_torn_mark_does_not_count(at in 0..MARK_OCTETS, bit in 0_u8..8) {
            let mut mark = encode(&[3; 16], 7, 42);
            prop_assert_eq!(decode(&mark, &[3; 16], 7), Some(42));
            mark[at] ^= 1 << bit;
            prop_assert_eq!(decode(&mark, &[3; 16], 7), None);
        }
    }
}
