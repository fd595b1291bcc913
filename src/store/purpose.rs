//! What the store seals secrets for.

use crate::bits::JobId;
use crate::vault;

/// A secret of a job; it opens as nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose {
    /// Whose.
    job: JobId,
    /// Which.
    secret: JobSecret,
}

/// Which secret of a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum JobSecret {
    /// A user name and password: target and scheme by their numbers.
    Credentials { target: u8, scheme: u8 },
    /// The query of a file's remote URL: the file's place.
    Query(u32),
    /// The value by which a store knows its key.
    KeyCheck,
    /// The custom headers.
    Headers,
}

impl JobSecret {
    /// The one of `job`.
    pub(super) fn of(self, job: JobId) -> Purpose {
        Purpose { job, secret: self }
    }
}

impl vault::Purpose for Purpose {
    /// The job, then the kind of the secret, and its place.
    fn octets(&self) -> Vec<u8> {
        let mut data = vec![0; 21];
        data[..16].copy_from_slice(&self.job.to_octets());
        match self.secret {
            JobSecret::Credentials { target, scheme } => {
                data[16] = 1;
                data[17] = target;
                data[18] = scheme;
            }
            JobSecret::Query(index) => {
                data[16] = 2;
                data[17..].copy_from_slice(&index.to_be_bytes());
            }
            JobSecret::KeyCheck => data[16] = 3,
            JobSecret::Headers => data[16] = 4,
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Vault;

    #[test]
    fn a_secret_opens_for_its_job_and_purpose_only() {
        let vault = Vault::for_test(1);
        let (job, other) = (JobId::new(), JobId::new());
        let own = JobSecret::Query(7).of(job);
        let sealed = vault.seal(&own, b"sig=abc").expect("sealed");
        assert!(vault.unseal(&own, &sealed).is_ok());
        for wrong in [
            JobSecret::Query(7).of(other),
            JobSecret::Query(8).of(job),
            JobSecret::KeyCheck.of(job),
            JobSecret::Credentials {
                target: 7,
                scheme: 0,
            }
            .of(job),
        ] {
            assert!(vault.unseal(&wrong, &sealed).is_err(), "{wrong:?}");
        }
    }
}
