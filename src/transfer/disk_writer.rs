//! The thread that writes one large file past the page cache, and what goes
//! between it and its sink.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rustix::fs::Timestamps;
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::sync::mpsc;

use super::claim::Claim;
use super::hashing::Hashing;
use super::memory::Memory;
use super::memory::Reserved;
use super::settle;
use super::written::Slot;

/// A temporary file, open for writing.
#[derive(Debug)]
pub(super) struct Target {
    /// The file.
    pub(super) file: fs::File,
    /// The same, past the page cache.
    pub(super) direct: Option<fs::File>,
    /// It lies in memory.
    pub(super) in_memory: bool,
}

/// Both records of how much was written.
#[derive(Debug)]
pub(super) struct Progress {
    /// For those who watch.
    pub(super) written: Arc<AtomicU64>,
    /// For after a crash.
    pub(super) slot: Option<Slot>,
    /// The right to write; kept until the last write.
    #[expect(dead_code, reason = "held, not read")]
    pub(super) claim: Option<Arc<Claim>>,
    /// The hash of the file, when one is wanted.
    pub(super) hashing: Option<Hashing>,
}

/// What a writer has synced.
#[derive(Debug)]
pub(super) struct Shared {
    /// Octets from the start of the file.
    pub(super) durable: AtomicU64,
    /// There are more of them.
    pub(super) changed: Notify,
}

#[derive(Debug)]
pub(super) enum Command {
    /// Write the aligned buffer at the offset.
    Write(Buffer, u64),
    /// Sync; all before the offset was written.
    Sync(u64),
    /// The file ends here, and is of this time; sync both.
    End(u64, Option<Timestamps>),
}

impl Shared {
    /// So many octets are synced.
    pub(super) fn set_durable(&self, octets: u64) {
        self.durable.store(octets, Ordering::Release);
        self.changed.notify_one();
    }
}

impl Progress {
    /// These octets come next in the file. INVARIANT: each is passed once, in
    /// order.
    pub(super) fn pass(&self, octets: &[u8]) {
        if let Some(hashing) = &self.hashing {
            hashing.add(octets);
        }
    }

    /// So many octets are written.
    pub(super) fn advance(&mut self, octets: u64) {
        self.written.store(octets, Ordering::Relaxed);
        if let Some(slot) = &mut self.slot {
            slot.advance(octets);
        }
    }
}

/// The thread's side.
pub(super) struct Writer {
    /// Where it writes.
    pub(super) target: Target,
    /// Who knows what was written.
    pub(super) progress: Progress,
    /// Who knows what was synced.
    pub(super) shared: Arc<Shared>,
    /// Where written buffers go back to.
    pub(super) outbox: mpsc::Sender<Buffer>,
}

impl Writer {
    /// Does what it is told until nobody tells any more.
    ///
    /// # Errors
    ///
    /// Of the disk; nothing is written after that.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Command>) -> io::Result<()> {
        while let Some(command) = inbox.blocking_recv() {
            match command {
                Command::Write(mut buffer, offset) => {
                    self.write(&buffer, offset)?;
                    self.progress.pass(buffer.filled());
                    self.progress.advance(offset + buffer.octets());
                    buffer.filled = 0;
                    // Nobody may want it any more.
                    let _ = self.outbox.try_send(buffer);
                }
                Command::Sync(octets) => {
                    self.target.file.sync_data()?;
                    self.shared.set_durable(octets);
                }
                Command::End(size, times) => {
                    self.target.file.set_len(size)?;
                    settle::sync_whole(&self.target.file, times.as_ref())?;
                }
            }
        }
        Ok(())
    }

    /// Writes a buffer; an unaligned last piece goes through the page cache.
    fn write(&mut self, buffer: &Buffer, offset: u64) -> io::Result<()> {
        let octets = buffer.filled();
        let mut done = 0;
        if let Some(direct) = &self.target.direct {
            let aligned = octets.len() & !(ALIGNMENT - 1);
            match direct.write_all_at(&octets[..aligned], offset) {
                Ok(()) => done = aligned,
                // The device wants another alignment.
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    self.target.direct = None;
                }
                Err(error) => return Err(error),
            }
        }
        self.target
            .file
            .write_all_at(&octets[done..], offset + length(&octets[..done]))
    }
}

/// Octets on their way to the disk, aligned in memory.
#[derive(Debug)]
pub(super) struct Buffer {
    storage: Vec<u8>,
    start: usize,
    /// Room in it.
    reserved: Reserved,
    /// Octets in it.
    pub(super) filled: usize,
}

impl Buffer {
    /// An empty buffer, as large as there is memory for.
    pub(super) fn new(memory: &Memory) -> Self {
        let reserved = memory.grant(BUFFER, LEAST_BUFFER);
        let storage = vec![0; reserved.octets() + ALIGNMENT];
        let start = storage.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            storage,
            start,
            reserved,
            filled: 0,
        }
    }

    /// This buffer, empty, or another where there is much less or much more
    /// memory now.
    pub(super) fn refitted(self) -> Self {
        if !self.reserved.is_unfit(BUFFER, LEAST_BUFFER) {
            return self;
        }
        let memory = self.reserved.memory().clone();
        drop(self);
        Self::new(&memory)
    }

    /// Takes in as much as there is room for; says how much.
    pub(super) fn fill(&mut self, octets: &[u8]) -> usize {
        let taken = octets.len().min(self.reserved.octets() - self.filled);
        let at = self.start + self.filled;
        self.storage[at..at + taken].copy_from_slice(&octets[..taken]);
        self.filled += taken;
        taken
    }

    /// What is in it.
    pub(super) fn filled(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.filled]
    }

    /// Is there no room?
    pub(super) fn is_full(&self) -> bool {
        self.filled == self.reserved.octets()
    }

    /// How much is in it.
    pub(super) fn octets(&self) -> u64 {
        length(self.filled())
    }

    /// Cuts off what lies behind the last aligned place.
    pub(super) fn split_tail(&mut self) -> Vec<u8> {
        let aligned = self.filled & !(ALIGNMENT - 1);
        let tail = self.filled()[aligned..].to_vec();
        self.filled = aligned;
        tail
    }
}

/// How many octets these are.
pub(super) fn length(octets: &[u8]) -> u64 {
    octets.len() as u64
}

/// What devices want at most, and the size of a page.
pub(super) const ALIGNMENT: usize = 4_096;

/// Octets of one write, at most and at least.
const BUFFER: usize = 2 * 1_024 * 1_024;
const LEAST_BUFFER: usize = 128 * 1_024;

/// One is filled while one is written and one waits: 6 MiB for each file.
pub(super) const BUFFERS: usize = 3;
