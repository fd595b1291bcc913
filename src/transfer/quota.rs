//! How many octets the files of a job may have together
//! (`BITS_JOB_PROPERTY_MAX_DOWNLOAD_SIZE`). Pure.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

/// What the files of one running job come to.
#[derive(Debug)]
pub(super) struct Quota {
    /// Octets of all files together; none: as many as there are.
    most: Option<u64>,
    claims: Mutex<Claims>,
}

#[derive(Debug)]
struct Claims {
    /// Of all files: those that are here, and those that are claimed.
    total: u64,
    /// Octets of the files that are under way, at least.
    open: HashMap<u32, u64>,
}

/// The files would have more octets than the job may fetch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Exceeded {
    /// So many are allowed.
    pub(super) most: u64,
}

impl Quota {
    /// At most `most` octets; `here` lie here already, parts of files included.
    pub(super) fn new(most: Option<u64>, here: u64) -> Self {
        let claims = Claims {
            total: here,
            open: HashMap::new(),
        };
        Self {
            most,
            claims: Mutex::new(claims),
        }
    }

    /// Begins a file of which `here` octets were counted as lying here.
    pub(super) fn begin(&self, file: u32, here: u64) {
        if self.most.is_some() {
            self.claims().open.insert(file, here);
        }
    }

    /// The file has `octets` octets, or at least these.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] when all files together have too many.
    pub(super) fn claim(&self, file: u32, octets: u64) -> Result<(), Exceeded> {
        let Some(most) = self.most else {
            return Ok(());
        };
        let mut claims = self.claims();
        let before = claims.open.insert(file, octets).unwrap_or(0);
        claims.total = claims.total.saturating_sub(before).saturating_add(octets);
        if claims.total > most {
            return Err(Exceeded { most });
        }
        Ok(())
    }

    /// Ends a file; what it has claimed stays.
    pub(super) fn end(&self, file: u32) {
        if self.most.is_some() {
            self.claims().open.remove(&file);
        }
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_stay_within_the_limit() {
        let quota = Quota::new(Some(100), 30);
        quota.begin(0, 10);
        quota.claim(0, 50).expect("30 - 10 + 50");
        quota.end(0);
        quota.begin(1, 0);
        quota.claim(1, 20).expect("90");
        quota.claim(1, 30).expect("100");
        assert_eq!(quota.claim(1, 31), Err(Exceeded { most: 100 }));
        quota.claim(1, 5).expect("another version is smaller");
        quota.begin(2, 0);
        quota.claim(2, 25).expect("100");
        assert!(quota.claim(2, u64::MAX).is_err());
    }

    #[test]
    fn without_a_limit_everything_fits() {
        let quota = Quota::new(None, u64::MAX);
        quota.begin(0, 0);
        quota.claim(0, u64::MAX).expect("no limit");
    }
}
