//! One transfer of a file at a time.
//!
//! A transfer that is dropped half-way may leave a thread behind that still
//! writes what it was given. Whoever writes holds the claim, so the next
//! transfer of the file begins after the last octet of the one before.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::Failure;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::JobId;

/// The files that are being written. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(Arc<Mutex<HashSet<(JobId, u32)>>>);

/// The right to write a file; ends when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    of: Claims,
    key: (JobId, u32),
}

impl Claims {
    /// Claims a file; waits for a writer that has not ended yet.
    ///
    /// # Errors
    ///
    /// [`Failure`], for now, when it does not end.
    pub(super) async fn claim(&self, job: JobId, index: u32) -> Result<Arc<Claim>, Failure> {
        for _ in 0..TRIES {
            if let Some(claim) = self.try_claim((job, index)) {
                return Ok(Arc::new(claim));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Failure::for_now(
            ErrorContext::LocalFile,
            Hresult::ERROR_SHARING_VIOLATION,
            "the temporary file is still being written",
        ))
    }

    fn try_claim(&self, key: (JobId, u32)) -> Option<Claim> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key).then(|| Claim {
            of: self.clone(),
            key,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.key);
    }
}

const PAUSE: Duration = Duration::from_millis(20);

/// Three seconds: what is left to write then is a few MiB.
const TRIES: u32 = 150;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_has_one_writer_at_a_time() {
        let claims = Claims::default();
        let job = JobId::new();
        let first = claims.claim(job, 0).await.expect("free");
        assert!(claims.claim(job, 1).await.is_ok());
        let failure = claims.claim(job, 0).await.expect_err("taken");
        assert_eq!(failure.code, Hresult::ERROR_SHARING_VIOLATION);
        drop(first);
        assert!(claims.claim(job, 0).await.is_ok());
    }
}
