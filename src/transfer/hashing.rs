//! The SHA-256 of a file, worked out while its octets pass.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use aws_lc_rs::digest;
use rustix::fs::Advice;
use tokio_util::sync::CancellationToken;

/// A hash under way. Cheap to clone: whoever writes the file adds to it, whoever
/// began it reads it in the end.
#[derive(Clone, Debug)]
pub(super) struct Hashing(Arc<Mutex<State>>);

struct State {
    context: digest::Context,
    octets: u64,
}

impl Hashing {
    /// Of nothing yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            context: digest::Context::new(&digest::SHA256),
            octets: 0,
        })))
    }

    /// Takes the next octets of the file in.
    pub(super) fn add(&self, octets: &[u8]) {
        let mut state = self.state();
        state.context.update(octets);
        state.octets += octets.len() as u64;
    }

    /// Octets that were taken in.
    pub(super) fn octets(&self) -> u64 {
        self.state().octets
    }

    /// The hash of what was taken in.
    pub(super) fn finish(&self) -> [u8; 32] {
        let digest = self.state().context.clone().finish();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        hash
    }

    /// Takes in the first `octets` of `file`. Blocking; ends early when `stop` is
    /// called.
    ///
    /// # Errors
    ///
    /// Of the file; [`io::ErrorKind::Interrupted`] after a stop.
    pub(super) fn add_file(
        &self,
        file: &fs::File,
        octets: u64,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        // The host's page cache is for others.
        let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        while at < octets {
            if stop.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let left = usize::try_from(octets - at).unwrap_or(BUFFER);
            let part = &mut buffer[..left.min(BUFFER)];
            file.read_exact_at(part, at)?;
            self.add(part);
            let length = std::num::NonZeroU64::new(part.len() as u64);
            let _ = rustix::fs::fadvise(file, at, length, Advice::DontNeed);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({} octets)", self.octets)
    }
}

/// Octets that are read at a time.
const BUFFER: usize = 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_that_pass_and_octets_of_a_file_come_to_one_hash() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("file");
        let octets: Vec<u8> = (0..2_500_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        fs::write(&path, &octets).expect("written");
        let (passing, both) = (Hashing::new(), Hashing::new());
        for part in octets.chunks(7_777) {
            passing.add(part);
        }
        let (file, stop) = (
            fs::File::open(&path).expect("there"),
            CancellationToken::new(),
        );
        both.add_file(&file, 1_500_000, &stop).expect("read");
        assert_eq!(both.octets(), 1_500_000);
        both.clone().add(&octets[1_500_000..]);
        assert_eq!(both.finish(), passing.finish());
        assert_eq!(
            &passing.finish(),
            digest::digest(&digest::SHA256, &octets).as_ref()
        );
        stop.cancel();
        assert!(both.add_file(&file, 1, &stop).is_err());
    }
}
