//! Writes the octets of a large file where they belong, and says how far it
//! came: written, and synced.
//!
//! On a disk a thread writes aligned buffers past the page cache, so that the
//! network goes on meanwhile and the host keeps its cache; where the file
//! system has no such way, through the cache. In memory (tmpfs) a write is a
//! copy, and done in place.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Failure;
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
}

/// Takes octets in order, from an offset on.
#[derive(Debug)]
pub(super) struct Sink {
    /// Octets from the start of the file that were taken in.
    taken: u64,
    /// How far the last sync was asked for.
    asked: u64,
    shared: Arc<Shared>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    InPlace {
        file: fs::File,
        progress: Progress,
    },
    Thread {
        buffer: Option<Buffer>,
        commands: mpsc::Sender<Command>,
        free: mpsc::Receiver<Buffer>,
        /// `None` once its end is known.
        thread: Option<JoinHandle<io::Result<()>>>,
    },
}

/// What a writer has synced.
#[derive(Debug)]
struct Shared {
    durable: AtomicU64,
    changed: Notify,
}

#[derive(Debug)]
enum Command {
    /// Write the aligned buffer at the offset.
    Write(Buffer, u64),
    /// Sync; all before the offset was written.
    Sync(u64),
    /// The file ends here.
    End(u64),
}

impl Sink {
    /// A sink for `target` from `offset` on, a multiple of [`ALIGNMENT`].
    /// `size` octets are set aside at once.
    ///
    /// # Errors
    ///
    /// [`Failure`], for now, when the disk is full.
    pub(super) fn new(
        target: Target,
        offset: u64,
        size: Option<u64>,
        progress: Progress,
    ) -> Result<Self, Failure> {
        progress.written.store(offset, Ordering::Relaxed);
        let shared = Arc::new(Shared {
            durable: AtomicU64::new(0),
            changed: Notify::new(),
        });
        let way = if target.in_memory {
            // No space is set aside: the kernel would clear it first.
            Way::InPlace {
                file: target.file,
                progress,
            }
        } else {
            if let Some(size) = size.filter(|size| *size > offset) {
                set_aside(&target.file, size)?;
            }
            let (commands, inbox) = mpsc::channel(BUFFERS + 2);
            let (outbox, free) = mpsc::channel(BUFFERS);
            for _ in 0..BUFFERS {
                // There is room for each of them.
                let _ = outbox.try_send(Buffer::new());
            }
            let writer = Writer {
                target,
                progress,
                shared: Arc::clone(&shared),
                outbox,
            };
            Way::Thread {
                buffer: None,
                commands,
                free,
                thread: Some(tokio::task::spawn_blocking(move || writer.run(inbox))),
            }
        };
        Ok(Self {
            taken: offset,
            asked: offset,
            shared,
            way,
        })
    }

    /// Octets from the start of the file that were taken in.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Octets that no sync was asked for.
    pub(super) fn unsynced(&self) -> u64 {
        self.taken - self.asked
    }

    /// Takes octets in; waits while the disk is behind.
    ///
    /// Dropped half-way it leaves the sink at an unknown place: only
    /// [`Sink::close`] is of use then.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the disk.
    pub(super) async fn put(&mut self, mut octets: &[u8]) -> Result<(), Failure> {
        if let Way::InPlace { file, progress } = &mut self.way {
            file.write_all_at(octets, self.taken)
                .map_err(|error| failed(&error))?;
            self.taken += length(octets);
            progress.advance(self.taken);
            return Ok(());
        }
        while !octets.is_empty() {
            let Way::Thread { buffer, free, .. } = &mut self.way else {
                break;
            };
            let taken = match buffer {
                Some(buffer) => buffer.fill(octets),
                None => match free.recv().await {
                    Some(mut next) => {
                        let taken = next.fill(octets);
                        *buffer = Some(next);
                        taken
                    }
                    None => return Err(self.cause().await),
                },
            };
            self.taken += length(&octets[..taken]);
            octets = &octets[taken..];
            let is_full = buffer.as_ref().is_some_and(Buffer::is_full);
            if is_full {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Has everything synced that was taken in, but for a last unaligned
    /// piece; [`Sink::synced`] tells when it is.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the disk.
    pub(super) async fn checkpoint(&mut self) -> Result<(), Failure> {
        match &mut self.way {
            Way::InPlace { file, .. } => {
                file.sync_data().map_err(|error| failed(&error))?;
                self.asked = self.taken;
                self.shared.set_durable(self.taken);
            }
            Way::Thread { buffer, free, .. } => {
                let Some(mut current) = buffer.take() else {
                    let taken = self.taken;
                    return self.sync(taken).await;
                };
                let tail = current.split_tail();
                if current.filled > 0 {
                    // The next buffer begins with the piece that is left over.
                    let Some(mut next) = free.recv().await else {
                        return Err(self.cause().await);
                    };
                    next.fill(&tail);
                    *buffer = Some(next);
                    let at = self.taken - length(&tail) - current.octets();
                    self.command(Command::Write(current, at)).await?;
                } else {
                    current.fill(&tail);
                    *buffer = Some(current);
                }
                let aligned = self.taken - length(&tail);
                self.sync(aligned).await?;
            }
        }
        Ok(())
    }

    /// Resolves when more was synced; says how far.
    ///
    /// Dropping the future half-way loses nothing.
    pub(super) async fn synced(&self) -> u64 {
        self.shared.changed.notified().await;
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Writes and syncs all that was taken in; says how much. The file may go
    /// on there later.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the disk.
    pub(super) async fn close(self) -> Result<u64, Failure> {
        self.end(None).await
    }

    /// Writes and syncs all that was taken in: the file is whole.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the disk.
    pub(super) async fn finish(self) -> Result<u64, Failure> {
        let taken = self.taken;
        self.end(Some(taken)).await
    }

    async fn end(mut self, size: Option<u64>) -> Result<u64, Failure> {
        let taken = self.taken;
        if let Way::InPlace { file, .. } = &self.way {
            if let Some(size) = size {
                file.set_len(size).map_err(|error| failed(&error))?;
            }
            file.sync_all().map_err(|error| failed(&error))?;
            return Ok(taken);
        }
        self.flush().await?;
        if let Some(size) = size {
            self.command(Command::End(size)).await?;
        }
        self.sync(taken).await?;
        let Way::Thread {
            commands, thread, ..
        } = self.way
        else {
            return Ok(taken);
        };
        drop(commands);
        join(thread).await?;
        Ok(taken)
    }

    /// Hands the current buffer over.
    async fn flush(&mut self) -> Result<(), Failure> {
        let Way::Thread { buffer, .. } = &mut self.way else {
            return Ok(());
        };
        let Some(current) = buffer.take() else {
            return Ok(());
        };
        let at = self.taken - current.octets();
        self.command(Command::Write(current, at)).await
    }

    async fn sync(&mut self, octets: u64) -> Result<(), Failure> {
        self.asked = octets;
        self.command(Command::Sync(octets)).await
    }

    async fn command(&mut self, command: Command) -> Result<(), Failure> {
        let Way::Thread { commands, .. } = &self.way else {
            return Ok(());
        };
        if commands.send(command).await.is_err() {
            return Err(self.cause().await);
        }
        Ok(())
    }

    /// Why the writer has gone.
    async fn cause(&mut self) -> Failure {
        let Way::Thread { thread, .. } = &mut self.way else {
            return failed(&io::ErrorKind::Other.into());
        };
        match join(thread.take()).await {
            Ok(()) => failed(&io::ErrorKind::BrokenPipe.into()),
            Err(failure) => failure,
        }
    }
}

impl Shared {
    fn set_durable(&self, octets: u64) {
        self.durable.store(octets, Ordering::Release);
        self.changed.notify_one();
    }
}

impl Progress {
    fn advance(&mut self, octets: u64) {
        self.written.store(octets, Ordering::Relaxed);
        if let Some(slot) = &mut self.slot {
            slot.advance(octets);
        }
    }
}

/// The thread's side.
struct Writer {
    target: Target,
    progress: Progress,
    shared: Arc<Shared>,
    outbox: mpsc::Sender<Buffer>,
}

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Command>) -> io::Result<()> {
        while let Some(command) = inbox.blocking_recv() {
            match command {
                Command::Write(mut buffer, offset) => {
                    self.write(&buffer, offset)?;
                    self.progress.advance(offset + buffer.octets());
                    buffer.filled = 0;
                    // Nobody may want it any more.
                    let _ = self.outbox.try_send(buffer);
                }
                Command::Sync(octets) => {
                    self.target.file.sync_data()?;
                    self.shared.set_durable(octets);
                }
                Command::End(size) => self.target.file.set_len(size)?,
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
struct Buffer {
    storage: Vec<u8>,
    start: usize,
    filled: usize,
}

impl Buffer {
    fn new() -> Self {
        let storage = vec![0; BUFFER + ALIGNMENT];
        let start = storage.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            storage,
            start,
            filled: 0,
        }
    }

    /// Takes in as much as there is room for; says how much.
    fn fill(&mut self, octets: &[u8]) -> usize {
        let taken = octets.len().min(BUFFER - self.filled);
        let at = self.start + self.filled;
        self.storage[at..at + taken].copy_from_slice(&octets[..taken]);
        self.filled += taken;
        taken
    }

    fn filled(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.filled]
    }

    fn is_full(&self) -> bool {
        self.filled == BUFFER
    }

    fn octets(&self) -> u64 {
        length(self.filled())
    }

    /// Cuts off what lies behind the last aligned place.
    fn split_tail(&mut self) -> Vec<u8> {
        let aligned = self.filled & !(ALIGNMENT - 1);
        let tail = self.filled()[aligned..].to_vec();
        self.filled = aligned;
        tail
    }
}

async fn join(thread: Option<JoinHandle<io::Result<()>>>) -> Result<(), Failure> {
    let Some(thread) = thread else {
        return Err(failed(&io::ErrorKind::BrokenPipe.into()));
    };
    match thread.await {
        Ok(ended) => ended.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&io::Error::other(error))),
    }
}

fn set_aside(file: &fs::File, size: u64) -> Result<(), Failure> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        // Only the space counts: without it the writes themselves tell.
        Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(failed(&error.into())),
        _ => Ok(()),
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::from_local_error("writing the temporary file", error)
}

fn length(octets: &[u8]) -> u64 {
    octets.len() as u64
}

/// What devices want at most, and the size of a page.
pub(super) const ALIGNMENT: usize = 4_096;

/// Octets of one write.
const BUFFER: usize = 2 * 1_024 * 1_024;

/// One is filled while one is written and one waits: 6 MiB for each file.
const BUFFERS: usize = 3;
