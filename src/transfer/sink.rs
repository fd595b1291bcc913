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
use rustix::fs::Timestamps;
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Failure;
use super::disk_writer::BUFFERS;
use super::disk_writer::Buffer;
use super::disk_writer::Command;
use super::disk_writer::Progress;
use super::disk_writer::Shared;
use super::disk_writer::Target;
use super::disk_writer::Writer;
use super::disk_writer::length;
use super::memory::Memory;
use super::settle;

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

/// How a sink ends.
enum End {
    /// The file may go on there later.
    Open,
    /// The file is whole, and of this time.
    Whole(Option<Timestamps>),
}

impl Sink {
    /// A sink for `target` from `offset` on, a multiple of
    /// [`ALIGNMENT`](super::disk_writer::ALIGNMENT).
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
        memory: &Memory,
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
                let _ = outbox.try_send(Buffer::new(memory));
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
            progress.pass(octets);
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
                    Some(next) => {
                        let mut next = next.refitted();
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

    /// The file, where octets may be written at [`Sink::taken`] by others, too:
    /// in memory, when nobody needs to see them. [`Sink::passed`] follows.
    pub(super) fn in_place(&self) -> Option<&fs::File> {
        match &self.way {
            Way::InPlace { file, progress } if progress.hashing.is_none() => Some(file),
            Way::InPlace { .. } | Way::Thread { .. } => None,
        }
    }

    /// So many octets were written there.
    pub(super) fn passed(&mut self, octets: u64) {
        if let Way::InPlace { progress, .. } = &mut self.way {
            self.taken += octets;
            progress.advance(self.taken);
        }
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
        self.end(End::Open).await
    }

    /// Writes and syncs all that was taken in: the file is whole, and of this
    /// time.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the disk.
    pub(super) async fn finish(self, times: Option<Timestamps>) -> Result<u64, Failure> {
        self.end(End::Whole(times)).await
    }

    async fn end(mut self, end: End) -> Result<u64, Failure> {
        let taken = self.taken;
        if let Way::InPlace { file, .. } = &self.way {
            let ended = match end {
                End::Whole(times) => file
                    .set_len(taken)
                    .and_then(|()| settle::sync_whole(file, times.as_ref())),
                End::Open => file.sync_all(),
            };
            return ended.map(|()| taken).map_err(|error| failed(&error));
        }
        self.flush().await?;
        if let End::Whole(times) = end {
            self.command(Command::End(taken, times)).await?;
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
    Failure::from_local_error(WRITING, error)
}

/// What goes on when a write fails.
pub(super) const WRITING: &str = "writing the temporary file";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::disk_writer::ALIGNMENT;
    use super::*;

    fn progress() -> Progress {
        Progress {
            written: Arc::default(),
            slot: None,
            claim: None,
            hashing: None,
        }
    }

    fn target(path: &std::path::Path, in_memory: bool, direct: bool) -> Target {
        let open = || fs::OpenOptions::new().read(true).write(true).open(path);
        Target {
            file: open().expect("opened"),
            direct: direct.then(|| {
                use std::os::unix::fs::OpenOptionsExt;
                let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
                let mut options = fs::OpenOptions::new();
                options.write(true).custom_flags(flags);
                options.open(path).expect("opened")
            }),
            in_memory,
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_said_once_and_for_now() {
        let full = std::path::Path::new("/dev/full");
        for in_memory in [true, false] {
            let target = target(full, in_memory, false);
            let mut sink =
                Sink::new(target, 0, None, progress(), &Memory::new(1 << 24)).expect("opened");
            let mut failure = None;
            for _ in 0..8 {
                if failure.is_none() {
                    failure = sink.put(&vec![1; 3 << 20]).await.err();
                }
            }
            let failure = failure.expect("full");
            assert_eq!(failure.code, crate::bits::Hresult::ERROR_DISK_FULL);
            assert!(matches!(
                failure.kind,
                crate::transfer::FailureKind::ForNow(None)
            ));
            if !in_memory {
                assert!(sink.close().await.is_err());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn octets_lie_where_they_belong_however_they_come(
            pieces in proptest::collection::vec((1_usize..3_000_000, any::<bool>()), 0..8),
            blocks in 0_usize..3,
            way in 0..3,
            known: bool,
            memory in 0_usize..20_000_000,
        ) {
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("file");
            let start = blocks * ALIGNMENT;
            let total = start + pieces.iter().map(|(length, _)| length).sum::<usize>();
            let mut expected = vec![9; start];
            // Left over from before, longer than what comes.
            fs::write(&path, vec![9; total + 10_000]).expect("written");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            runtime.block_on(async {
                let target = target(&path, way == 0, way == 1);
                let size = known.then_some(total as u64);
                let mut sink = Sink::new(target, start as u64, size, progress(), &Memory::new(memory)).expect("opened");
                for (at, (length, checkpoint)) in pieces.iter().enumerate() {
                    let piece = vec![u8::try_from(at).expect("few"); *length];
                    sink.put(&piece).await.expect("taken");
                    expected.extend(piece);
                    if *checkpoint {
                        sink.checkpoint().await.expect("synced");
                        let synced = sink.synced().await;
                        assert!(synced <= sink.taken());
                        let on_disk = fs::read(&path).expect("read");
                        let synced = usize::try_from(synced).expect("small");
                        assert!(on_disk[..synced] == expected[..synced]);
                    }
                }
                assert_eq!(sink.finish(None).await.expect("whole"), total as u64);
            });
            prop_assert!(fs::read(&path).expect("read") == expected);
        }
    }
}
