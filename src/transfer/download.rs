//! Fetches one file: looks what lies here of it, has the rest asked for
//! ([`asking`](super::asking)) and taken in ([`receive`](super::receive)), and
//! compares the hash.
//!
//! Several requests may make up one attempt: a range that the server cut short,
//! the next of the parts that a client wants, a version that changed meanwhile.
//! Their number is bounded ([`Turns`]), so that a server that goes wrong costs a
//! few requests and then the retry delay of the job.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use url::Url;

use super::Failure;
use super::FailureKind;
use super::Order;
use super::Reports;
use super::asking::Known;
use super::asking::Start;
use super::claim::Claim;
use super::disk_writer::ALIGNMENT;
use super::hashing::Hashing;
use super::http_origin::HttpOrigin;
use super::landing::Landing;
use super::landing::temporary_name;
use super::last_folder::LastFolder;
use super::pieces::Pieces;
use super::quota::Exceeded;
use super::quota::Quota;
use super::settle;
use super::spot;
use super::spot::Spot;
use super::terms::Terms;
use super::terms::Turns;
use super::written::Written;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::bits::Validator;

/// One file on its way.
pub(super) struct Download<'a> {
    /// Where it comes from.
    pub(super) origin: &'a HttpOrigin,
    /// Where it goes.
    pub(super) landing: &'a Landing,
    /// Where the file before went.
    pub(super) folder: &'a LastFolder,
    /// The unsynced record.
    pub(super) record: &'a Written,
    /// What all files of the job may come to.
    pub(super) quota: &'a Quota,
    /// How it is asked for.
    pub(super) terms: &'a Terms,
    /// The right to write.
    pub(super) claim: Arc<Claim>,
    /// Data is synced at least this often…
    pub(super) checkpoint_interval: Duration,
    /// …and after so many octets.
    pub(super) checkpoint_octets: u64,
    /// What is wanted.
    pub(super) order: Order,
    /// Who is told.
    pub(super) reports: &'a dyn Reports,
    /// Which octets of the remote file.
    pub(super) pieces: Pieces,
    /// How often it was asked for in vain.
    pub(super) turns: Turns,
    /// Of the octets that were put into the file until now, if a hash is wanted.
    pub(super) hashing: Option<Hashing>,
    /// The server was found to have no ranges.
    pub(super) is_without_ranges: bool,
    /// Where redirects led, if the job wants to know.
    pub(super) moved: Option<Url>,
}

/// What lies in the temporary file.
pub(super) struct Here {
    pub(super) spot: Arc<Spot>,
    /// The file, when octets in it count.
    pub(super) file: Option<fs::File>,
    /// So many.
    pub(super) octets: u64,
}

impl Download<'_> {
    /// Runs to the end of the file.
    ///
    /// # Errors
    ///
    /// [`Failure`]; what is here by then is synced and reported.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let index = self.order.file.index;
        self.quota.begin(index, self.order.file.durable);
        let ended = self.fetch().await;
        ended.map_err(|mut failure| {
            if failure.kind == FailureKind::Stopped {
                return failure;
            }
            if self.is_without_ranges {
                failure
                    .detail
                    .push_str("; the server has no ranges, the file was fetched whole");
            }
            // "IBackgroundCopyJobHttpOptions2::SetHttpMethod": nobody knows what
            // a second request would do at the server.
            if self.terms.method.is_some() {
                failure.kind = FailureKind::Fatal;
            }
            failure
        })?;
        self.quota.end(index);
        Ok(())
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        let url = Url::parse(&self.order.file.remote_url).map_err(|error| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::E_INVALIDARG,
                format!("the remote address cannot be read: {error}"),
            )
        })?;
        let mut here = self.look()?;
        let known = Known {
            size: self.order.file.size,
            validator: self.order.file.validator.clone(),
        };
        let is_whole = here.file.is_some() && known.size == Some(here.octets);
        if !is_whole {
            let resumes = self.terms.has_ranges() && known.validator.if_range().is_some();
            // A block is written anew as a whole.
            here.octets &= if resumes { !(ALIGNMENT as u64 - 1) } else { 0 };
            here.file = here.file.filter(|_| here.octets > 0);
        }
        self.order.written.store(here.octets, Ordering::Relaxed);
        self.hash_here(&here).await?;
        if is_whole {
            // Only the last report was lost.
            return self.conclude_here(&here).await;
        }
        let stop = self.order.stop.clone();
        let start = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Failure::stopped()),
            start = self.ask(&url, &known, here.octets) => start?,
        };
        let Start::Comes(begun) = start else {
            return self.conclude_here(&here).await;
        };
        let mut begun = *begun;
        let spot = Arc::clone(&here.spot);
        while let Some(next) = self.receive(&url, begun, here).await? {
            begun = next;
            here = Here {
                spot: Arc::clone(&spot),
                file: None,
                octets: 0,
            };
        }
        Ok(())
    }

    /// What counts of the temporary file: the written offset if this boot and
    /// this file are meant, else the durable one; never its length.
    fn look(&self) -> Result<Here, Failure> {
        let file = &self.order.file;
        let written = self.record.find(self.order.job, file.index);
        let name = || temporary_name(self.order.job, file.index);
        if let Some(entry) = &written {
            let temporary = file.path.with_file_name(name());
            spot::check_volume(&temporary, entry.device)?;
        }
        let spot = Arc::new(self.folder.spot(self.landing, &file.path)?);
        spot.check_replaceable()?;
        let nothing = |spot| Here {
            spot,
            file: None,
            octets: 0,
        };
        if file.durable == 0 && written.is_none() {
            return Ok(nothing(spot));
        }
        let temporary = spot.open_temporary(&name()).map_err(failed)?;
        let Some(temporary) = temporary else {
            return Ok(nothing(spot));
        };
        let metadata = temporary.metadata().map_err(failed)?;
        let version = file.validator.mark(file.size);
        let written = written
            .filter(|entry| entry.inode == metadata.ino() && entry.version == version)
            .map_or(0, |entry| entry.octets);
        let octets = [written, file.durable]
            .into_iter()
            .filter(|octets| *octets <= metadata.len())
            .max()
            .unwrap_or(0);
        Ok(Here {
            spot,
            file: Some(temporary).filter(|_| octets > 0),
            octets,
        })
    }

    /// Begins the hash with the octets that lie here.
    async fn hash_here(&mut self, here: &Here) -> Result<(), Failure> {
        if self.order.file.sha256.is_none() {
            return Ok(());
        }
        let hashing = Hashing::new();
        if let Some(file) = &here.file {
            let file = file.try_clone().map_err(failed)?;
            self.hash_file(&hashing, file, here.octets).await?;
        }
        self.hashing = Some(hashing);
        Ok(())
    }

    /// Takes the first `octets` of a file into a hash, off the task.
    pub(super) async fn hash_file(
        &self,
        hashing: &Hashing,
        file: fs::File,
        octets: u64,
    ) -> Result<(), Failure> {
        let (hashing, stop) = (hashing.clone(), self.order.stop.clone());
        let read = tokio::task::spawn_blocking(move || hashing.add_file(&file, octets, &stop));
        let read = read.await.map_err(std::io::Error::other).map_err(failed)?;
        match read {
            Err(_) if self.order.stop.is_cancelled() => Err(Failure::stopped()),
            read => read.map_err(|error| {
                Failure::from_local_error("reading the temporary file", &error).at(Phase::Verifying)
            }),
        }
    }

    /// Ends a file of which nothing is missing any more.
    async fn conclude_here(&mut self, here: &Here) -> Result<(), Failure> {
        let Some(file) = &here.file else {
            return Err(failed(std::io::ErrorKind::NotFound));
        };
        self.check_hash(&here.spot).await?;
        let times = settle::times(&self.order.file.validator);
        file.set_len(here.octets)
            .and_then(|()| settle::sync_whole(file, times.as_ref()))
            .map_err(failed)?;
        here.spot.sync().map_err(failed)?;
        self.report(FileReport::Done(here.octets)).await
    }

    /// Has the size of the file counted among those of the job.
    pub(super) fn claim_octets(&self, octets: u64) -> Result<(), Failure> {
        let claimed = self.quota.claim(self.order.file.index, octets);
        claimed.map_err(|Exceeded { most }| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED,
                format!("the files of the job have more than {most} octets"),
            )
        })
    }

    /// Compares the hash, if one is wanted. A file with another one is gone
    /// afterwards, and nothing of it counts.
    pub(super) async fn check_hash(&mut self, spot: &Spot) -> Result<(), Failure> {
        let Some((wanted, hashing)) = self.order.file.sha256.zip(self.hashing.as_ref()) else {
            return Ok(());
        };
        let found = hashing.finish();
        if found == wanted {
            return Ok(());
        }
        let failure = Failure::local(
            Hresult::BG_E_VALIDATION_FAILED,
            format!(
                "the SHA-256 of what came is {}, not {}",
                hexadecimal(&found),
                hexadecimal(&wanted)
            ),
        )
        .at(Phase::Verifying);
        self.drop_all(spot).await?;
        Err(failure)
    }

    /// Drops what is here; the next attempt begins with nothing.
    pub(super) async fn drop_all(&mut self, spot: &Spot) -> Result<(), Failure> {
        let (job, index) = (self.order.job, self.order.file.index);
        let file = &mut self.order.file;
        file.durable = 0;
        file.validator = Validator::default();
        let size = file.size;
        self.order.written.store(0, Ordering::Relaxed);
        self.report(FileReport::Began {
            size,
            validator: Validator::default(),
            restarted: true,
        })
        .await?;
        self.record.forget(job, index);
        spot.remove(&temporary_name(job, index)).map_err(failed)?;
        Ok(())
    }

    pub(super) async fn report(&self, report: FileReport) -> Result<(), Failure> {
        if let (FileReport::Done(_), Some(moved)) = (&report, &self.moved) {
            let told = self.reports.report(FileReport::Moved(moved.to_string()));
            told.await.map_err(|_| Failure::stopped())?;
        }
        let told = self.reports.report(report).await;
        told.map_err(|_| Failure::stopped())
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

pub(super) fn failed(error: impl Into<std::io::Error>) -> Failure {
    Failure::from_local_error("writing the temporary file", &error.into()).at(Phase::LocalFile)
}
