//! The unsynced record of what was written.
//!
//! A file of fixed slots, each stamped with the boot that wrote it: after a
//! crash of the process alone the page cache is whole, so the record tells
//! how far each file really came; after a crash of the host no slot counts.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use rustix::fs::OFlags;

use super::validator::Fnv;
use crate::bits::JobId;

/// The record. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Written(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: fs::File,
    boot: [u8; 16],
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    used: HashMap<Key, Used>,
    free: Vec<usize>,
    count: usize,
}

type Key = (JobId, u32);

#[derive(Debug)]
struct Used {
    at: usize,
    entry: Entry,
    /// A transfer is under way; the others give way when slots run out.
    live: bool,
}

/// How far one temporary file came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// The temporary file.
    pub(super) inode: u64,
    /// A mark of the device that it lies on.
    pub(super) device: u32,
    /// The version that lies in it ([`Validator::mark`]).
    ///
    /// [`Validator::mark`]: crate::bits::Validator
    pub(super) version: u64,
    /// Octets from its start.
    pub(super) octets: u64,
}

/// The slot of one file.
#[derive(Debug)]
pub(super) struct Slot {
    of: Written,
    key: Key,
    entry: Entry,
    at: usize,
}

impl Written {
    /// Opens the record at `path`, or makes it, and reads what this boot
    /// wrote.
    ///
    /// # Errors
    ///
    /// Of the file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        let boot = boot_id()?;
        let mut slots = Slots::default();
        let limit = u64::try_from(MAX_SLOTS * SLOT).unwrap_or(u64::MAX);
        let length = usize::try_from(file.metadata()?.len().min(limit)).unwrap_or(0);
        let mut octets = vec![0; length];
        file.read_exact_at(&mut octets, 0)?;
        for (at, slot) in octets.chunks_exact(SLOT).enumerate() {
            match decode(slot, &boot) {
                Some((key, entry)) if !slots.used.contains_key(&key) => {
                    let live = false;
                    slots.used.insert(key, Used { at, entry, live });
                }
                _ => slots.free.push(at),
            }
            slots.count = at + 1;
        }
        Ok(Self(Arc::new(Inner {
            file,
            boot,
            slots: Mutex::new(slots),
        })))
    }

    /// What is known of a file.
    pub(super) fn find(&self, job: JobId, index: u32) -> Option<Entry> {
        self.slots().used.get(&(job, index)).map(|used| used.entry)
    }

    /// Takes the slot of a file, or a new one, and sets it to `entry`; `None`
    /// when all are taken: the durable offset must do then.
    pub(super) fn begin(&self, job: JobId, index: u32, entry: Entry) -> Option<Slot> {
        let key = (job, index);
        let at = {
            let mut slots = self.slots();
            let at = match slots.used.get(&key) {
                Some(used) => used.at,
                None => match slots.free.pop() {
                    Some(at) => at,
                    None if slots.count < MAX_SLOTS => {
                        slots.count += 1;
                        slots.count - 1
                    }
                    None => slots.evict()?,
                },
            };
            let live = true;
            slots.used.insert(key, Used { at, entry, live });
            at
        };
        let mut slot = Slot {
            of: self.clone(),
            key,
            entry,
            at,
        };
        slot.advance(entry.octets);
        Some(slot)
    }

    /// Forgets a file.
    pub(super) fn forget(&self, job: JobId, index: u32) {
        let mut slots = self.slots();
        if let Some(Used { at, .. }) = slots.used.remove(&(job, index)) {
            // A slot that cannot be cleared is never told from a living one
            // after a crash; the inode and the version in it still guard.
            let _ = self.0.file.write_all_at(&[0; SLOT], offset(at));
            slots.free.push(at);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// So many octets are written. A record that cannot be kept costs octets
    /// after a crash, nothing else.
    pub(super) fn advance(&mut self, octets: u64) {
        self.entry.octets = octets;
        let encoded = encode(&self.of.0.boot, self.key, self.entry);
        let mut slots = self.of.slots();
        // A file that was forgotten while its last writes went on has no slot
        // any more: it may be another file's by now.
        let own = slots.used.get_mut(&self.key);
        if let Some(used) = own.filter(|used| used.at == self.at) {
            used.entry = self.entry;
            // Under the lock, so that it comes before the slot is cleared.
            let _ = self.of.0.file.write_all_at(&encoded, offset(self.at));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = self.of.slots();
        let own = slots.used.get_mut(&self.key);
        if let Some(used) = own.filter(|used| used.at == self.at) {
            used.live = false;
        }
    }
}

impl Slots {
    /// Takes the slot of a file that is not under way.
    fn evict(&mut self) -> Option<usize> {
        let key = *self.used.iter().find(|(_, used)| !used.live)?.0;
        self.used.remove(&key).map(|used| used.at)
    }
}

fn offset(at: usize) -> u64 {
    u64::try_from(at * SLOT).unwrap_or(u64::MAX)
}

fn encode(boot: &[u8; 16], (job, index): Key, entry: Entry) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..16].copy_from_slice(boot);
    slot[16..32].copy_from_slice(&job.to_octets());
    slot[32..36].copy_from_slice(&index.to_le_bytes());
    slot[36..40].copy_from_slice(&entry.device.to_le_bytes());
    slot[40..48].copy_from_slice(&entry.inode.to_le_bytes());
    slot[48..56].copy_from_slice(&entry.version.to_le_bytes());
    slot[56..64].copy_from_slice(&entry.octets.to_le_bytes());
    let sum = checksum(&slot[..64]);
    slot[64..72].copy_from_slice(&sum.to_le_bytes());
    slot
}

fn decode(slot: &[u8], boot: &[u8; 16]) -> Option<(Key, Entry)> {
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?))
    };
    if slot.get(..16)? != boot || number(64)? != checksum(slot.get(..64)?) {
        return None;
    }
    let job = JobId::from_octets(slot.get(16..32)?.try_into().ok()?);
    let index = u32::from_le_bytes(slot.get(32..36)?.try_into().ok()?);
    let entry = Entry {
        inode: number(40)?,
        device: u32::from_le_bytes(slot.get(36..40)?.try_into().ok()?),
        version: number(48)?,
        octets: number(56)?,
    };
    Some(((job, index), entry))
}

fn checksum(octets: &[u8]) -> u64 {
    let mut hash = Fnv::default();
    hash.add(octets);
    hash.finish()
}

/// The identity of this run of the kernel.
fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    uuid::Uuid::try_parse(text.trim())
        .map(uuid::Uuid::into_bytes)
        .map_err(io::Error::other)
}

/// Octets of a slot: 72 in use; a power of two never crosses a page.
const SLOT: usize = 128;

/// 128 KiB of record: far more files than are ever under way at once.
const MAX_SLOTS: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(octets: u64) -> Entry {
        Entry {
            inode: 7,
            device: 3,
            version: 9,
            octets,
        }
    }

    #[test]
    fn the_record_is_found_again_until_it_is_forgotten() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("written");
        let job = JobId::new();
        let record = Written::open(&path).expect("open");
        let mut slot = record.begin(job, 3, entry(0)).expect("room");
        slot.advance(42);
        assert_eq!(record.find(job, 3), Some(entry(42)));
        let again = Written::open(&path).expect("open");
        assert_eq!(again.find(job, 3), Some(entry(42)));
        assert_eq!(again.find(job, 4), None);
        again.forget(job, 3);
        assert_eq!(Written::open(&path).expect("open").find(job, 3), None);
    }

    #[test]
    fn a_late_write_leaves_the_slot_of_another_file_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("written");
        let (gone, other) = (JobId::new(), JobId::new());
        let record = Written::open(&path).expect("open");
        let mut late = record.begin(gone, 0, entry(1)).expect("room");
        record.forget(gone, 0);
        let _other = record.begin(other, 0, entry(5)).expect("room");
        late.advance(2);
        drop(late);
        let again = Written::open(&path).expect("open");
        assert_eq!(again.find(other, 0), Some(entry(5)));
        assert_eq!(again.find(gone, 0), None);
    }

    #[test]
    fn another_boot_and_a_torn_slot_do_not_count() {
        let key = (JobId::new(), 1);
        let slot = encode(&[1; 16], key, entry(5));
        assert_eq!(decode(&slot, &[1; 16]), Some((key, entry(5))));
        assert_eq!(decode(&slot, &[2; 16]), None);
        let mut torn = slot;
        torn[56] ^= 1;
        assert_eq!(decode(&torn, &[1; 16]), None);
    }

    #[test]
    fn the_record_does_not_grow_beyond_its_bound() {
        let folder = tempfile::tempdir().expect("folder");
        let record = Written::open(&folder.path().join("written")).expect("open");
        let job = JobId::new();
        let mut live: Vec<_> = (0..u32::try_from(MAX_SLOTS).expect("small"))
            .map(|index| record.begin(job, index, entry(1)).expect("room"))
            .collect();
        assert!(record.begin(job, 9_999, entry(1)).is_none());
        live.pop();
        assert!(record.begin(job, 9_999, entry(1)).is_some());
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&octets, &[0; 16]);
        }
    }
}
