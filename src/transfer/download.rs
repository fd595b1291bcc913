//! Fetches one file: asks for what is missing, checks that it is the same
//! version, and begins again where it is not. What comes is taken in by
//! [`receive`](super::receive).
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

use hyper::StatusCode;
use hyper::header;
use tracing::info;
use url::Url;

use super::Failure;
use super::FailureKind;
use super::Order;
use super::Reports;
use super::claim::Claim;
use super::disk_writer::ALIGNMENT;
use super::feed::Feed;
use super::hashing::Hashing;
use super::http_origin::Answer;
use super::http_origin::HttpOrigin;
use super::http_origin::Part;
use super::landing::Landing;
use super::landing::temporary_name;
use super::last_folder::LastFolder;
use super::pieces::Outside;
use super::pieces::Pieces;
use super::pieces::Places;
use super::quota::Exceeded;
use super::quota::Quota;
use super::range::ContentRange;
use super::spot;
use super::spot::Spot;
use super::terms::Terms;
use super::terms::Turns;
use super::verdict;
use super::verdict::Said;
use super::verdict::Verdict;
use super::verdict::Wanted;
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
}

/// What lies in the temporary file.
pub(super) struct Here {
    pub(super) spot: Arc<Spot>,
    /// The file, when octets in it count.
    pub(super) file: Option<fs::File>,
    /// So many.
    pub(super) octets: u64,
}

/// The version that an answer begins to bring.
pub(super) struct Version {
    /// Octets of the local file.
    pub(super) size: Option<u64>,
    pub(super) validator: Validator,
    /// The first octet of the local file that comes.
    pub(super) from: u64,
}

/// An answer that has begun.
pub(super) struct Begun<'a> {
    pub(super) feed: Feed<'a>,
    pub(super) version: Version,
    /// The whole remote file comes, of which only these parts are wanted.
    pub(super) places: Option<Places>,
}

/// What a request came to.
pub(super) enum Start<'a> {
    /// Octets come.
    Comes(Box<Begun<'a>>),
    /// Everything is here: the server has no more.
    IsHere,
}

/// The version whose octets lie here.
#[derive(Clone)]
pub(super) struct Known {
    /// Octets of the local file.
    pub(super) size: Option<u64>,
    pub(super) validator: Validator,
}

impl<'a> Download<'a> {
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
        let name = temporary_name(self.order.job, file.index);
        if let Some(entry) = &written {
            let temporary = file.path.with_file_name(&name);
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
        let temporary = spot.open_temporary(&name).map_err(failed)?;
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
        file.set_len(here.octets)
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        here.spot.sync().map_err(failed)?;
        self.report(FileReport::Done(here.octets)).await
    }

    /// Asks for what is missing from octet `at` of the local file on, or for
    /// everything when the rest cannot be had of the same version.
    pub(super) async fn ask(
        &mut self,
        url: &Url,
        known: &Known,
        mut at: u64,
    ) -> Result<Start<'a>, Failure> {
        if known.validator.if_range().is_none() {
            at = 0;
        }
        let mut is_empty = false;
        while let Some(part) = self.part(known, at) {
            let ask = self.terms.ask(Some(part.clone()));
            let answer = self.origin.ask(url, &ask).await?;
            check_coding(&answer)?;
            let validator = self.validator_of(&answer);
            let wanted = Wanted {
                first: part.first,
                last: part.last,
                here: (at > 0).then_some(&known.validator),
            };
            let said = Said {
                status: answer.status.as_u16(),
                range: answer
                    .header(header::CONTENT_RANGE)
                    .and_then(ContentRange::parse),
                length: answer.length(),
                validator: &validator,
            };
            let verdict = wanted.judge(said);
            let misfit = match verdict {
                Verdict::Part(part) => match self.fit(part, known, at, validator) {
                    Ok(version) => {
                        return Ok(Start::Comes(Box::new(Begun {
                            feed: Feed::part(answer, part.skip, part.octets),
                            version,
                            places: None,
                        })));
                    }
                    Err(misfit) => misfit,
                },
                Verdict::Whole { is_same } => {
                    return self
                        .whole(answer, known, at, is_same)
                        .await
                        .map(|begun| Start::Comes(Box::new(begun)));
                }
                Verdict::Beyond { total, is_same } if self.pieces.are_whole() => {
                    if is_same && at > 0 && total == Some(at) && known.size.is_none() {
                        answer.discard().await;
                        return Ok(Start::IsHere);
                    }
                    is_empty = at == 0 && total == Some(0);
                    Misfit::Unfit("the server has nothing there")
                }
                Verdict::Beyond { is_same, .. } if at == 0 || is_same => Misfit::Outside,
                Verdict::Beyond { .. } => Misfit::Unfit("the server has nothing there"),
                Verdict::Changed => Misfit::Changed,
                Verdict::Unfit(why) => Misfit::Unfit(why),
                Verdict::Other => return Err(answer.to_failure()),
            };
            let shown = answer.shown.clone();
            answer.discard().await;
            if is_empty {
                break;
            }
            self.begin_again(misfit, &shown, at)?;
            if at == 0 || self.pieces.are_whole() && !self.terms.require_ranges {
                break;
            }
            at = 0;
        }
        // All of it anew, by a request that cannot be misunderstood.
        let answer = self.origin.ask(url, &self.terms.ask(None)).await?;
        if self.requires_ranges() && !(is_empty && answer.length() == Some(0)) {
            return Err(insufficient(&answer.shown, "the server has none"));
        }
        let begun = begin(&answer).and_then(|()| self.anew(answer));
        begun.map(|begun| Start::Comes(Box::new(begun)))
    }

    /// The part that is to be asked for; none: all of the remote file.
    fn part(&self, known: &Known, at: u64) -> Option<Part> {
        if !self.terms.has_ranges() {
            return None;
        }
        let if_range = known.validator.if_range().filter(|_| at > 0);
        if at == 0 && self.pieces.are_whole() && !self.terms.require_ranges {
            return None;
        }
        let total = known.size.filter(|_| at > 0);
        let total = total.and_then(|size| self.pieces.total(size));
        let piece = self.pieces.from(at, total)?;
        Some(Part {
            first: piece.first,
            last: piece.last,
            if_range: if_range.map(str::to_owned),
        })
    }

    /// Is a server without ranges an error?
    fn requires_ranges(&self) -> bool {
        self.terms.require_ranges && self.terms.has_ranges()
    }

    /// The version of which a part comes, if that part is of use.
    fn fit(
        &self,
        part: verdict::Part,
        known: &Known,
        at: u64,
        validator: Validator,
    ) -> Result<Version, Misfit> {
        let (size, validator) = if at > 0 {
            let total = part
                .total
                .or_else(|| known.size.and_then(|size| self.pieces.total(size)));
            let size = self.pieces.size(total).map_err(|Outside| Misfit::Outside)?;
            if known.size.is_some() && known.size != size {
                return Err(Misfit::Unfit("the file has another size under one version"));
            }
            (size, known.validator.clone())
        } else {
            let size = self.pieces.size(part.total);
            (size.map_err(|Outside| Misfit::Outside)?, validator)
        };
        let Some(size) = size else {
            return Err(Misfit::Unfit("the server does not say where the file ends"));
        };
        if validator.if_range().is_none() && part.octets < size - at {
            return Err(Misfit::Versionless);
        }
        Ok(Version {
            size: Some(size),
            validator,
            from: at,
        })
    }

    /// May another request be made, after an answer that was of no use?
    fn begin_again(&mut self, misfit: Misfit, shown: &str, at: u64) -> Result<(), Failure> {
        let doing = format!("asking for a part of {shown}");
        let why = match misfit {
            Misfit::Outside => {
                return Err(Failure::fatal(
                    ErrorContext::RemoteFile,
                    Hresult::BG_E_INVALID_RANGE,
                    format!("{doing}: a range is not inside the file"),
                ));
            }
            Misfit::Versionless => "the server names no version by which parts fit together",
            Misfit::Changed => "the file has changed",
            Misfit::Unfit(why) => why,
        };
        if self.requires_ranges() && at == 0 {
            return Err(insufficient(shown, why));
        }
        if !self.turns.may_begin_again() {
            let code = match misfit {
                Misfit::Changed => Hresult::BG_E_REMOTE_FILE_CHANGED,
                Misfit::Outside | Misfit::Versionless | Misfit::Unfit(_) => {
                    Hresult::WININET_E_INVALID_SERVER_RESPONSE
                }
            };
            return Err(Failure::for_now(
                ErrorContext::RemoteFile,
                code,
                format!("{doing}: {why}, once more"),
            ));
        }
        Ok(())
    }

    /// The whole remote file comes where a part was asked for.
    async fn whole(
        &mut self,
        answer: Answer<'a>,
        known: &Known,
        at: u64,
        is_same: bool,
    ) -> Result<Begun<'a>, Failure> {
        let length = answer.length();
        let is_same = is_same
            && known
                .size
                .is_none_or(|size| length.is_none_or(|it| it == size));
        if at > 0 && !is_same {
            self.begin_again(Misfit::Changed, &answer.shown, at)?;
            return self.anew(answer);
        }
        if self.requires_ranges() {
            return Err(insufficient(&answer.shown, "the whole file came"));
        }
        if !self.is_without_ranges {
            self.is_without_ranges = true;
            info!(
                job = %self.order.job,
                file = self.order.file.index,
                url = %answer.shown,
                "The server has no ranges: the file is fetched whole"
            );
            self.report(FileReport::WithoutRanges).await?;
        }
        if !self.pieces.are_whole() {
            return self.anew(answer);
        }
        // What lies here is of this version: it need not be written again.
        Ok(Begun {
            feed: Feed::whole(answer, at),
            version: Version {
                size: length.or(known.size),
                validator: known.validator.clone(),
                from: at,
            },
            places: None,
        })
    }

    /// The whole remote file comes, from its first octet.
    fn anew(&self, answer: Answer<'a>) -> Result<Begun<'a>, Failure> {
        let length = answer.length();
        let outside = |Outside| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_RANGE,
                format!(
                    "asking for {}: a range is not inside the file",
                    answer.shown
                ),
            )
        };
        let size = self.pieces.size(length).map_err(outside)?;
        let places =
            if self.pieces.are_whole() {
                None
            } else {
                let places = self.pieces.places(length).map_err(outside)?;
                Some(places.ok_or_else(|| {
                    insufficient(&answer.shown, "nobody says where the file ends")
                })?)
            };
        let validator = self.validator_of(&answer);
        Ok(Begun {
            feed: Feed::whole(answer, 0),
            version: Version {
                size,
                validator,
                from: 0,
            },
            places,
        })
    }

    fn validator_of(&self, answer: &Answer<'_>) -> Validator {
        let validator = Validator::read(
            answer.header(header::ETAG),
            answer.header(header::LAST_MODIFIED),
            answer.header(header::DATE),
        );
        if self.terms.has_ranges() {
            validator
        } else {
            validator.without_version()
        }
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
        let told = self.reports.report(report).await;
        told.map_err(|_| Failure::stopped())
    }
}

/// Why an answer to a request for a part is of no use.
#[derive(Clone, Copy)]
enum Misfit {
    /// A part that was asked for is not inside the remote file.
    Outside,
    /// It is of another version.
    Changed,
    /// More parts are to come, and nobody could say that they are of one version.
    Versionless,
    /// It does not fit what was asked for.
    Unfit(&'static str),
}

/// Does an answer to a request for everything bring it?
fn begin(answer: &Answer<'_>) -> Result<(), Failure> {
    match answer.status {
        StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {}
        StatusCode::PARTIAL_CONTENT => {
            return Err(Failure::transport(
                Hresult::WININET_E_INVALID_SERVER_RESPONSE,
                format!("asking for {}: a part came unasked", answer.shown),
            ));
        }
        status if status.is_success() => {
            return Err(Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!(
                    "asking for {}: HTTP status {}",
                    answer.shown,
                    status.as_u16()
                ),
            ));
        }
        _ => return Err(answer.to_failure()),
    }
    check_coding(answer)
}

fn check_coding(answer: &Answer<'_>) -> Result<(), Failure> {
    match answer.header(header::CONTENT_ENCODING) {
        Some(coding)
            if answer.status.is_success()
                && !coding.trim().is_empty()
                && !coding.eq_ignore_ascii_case("identity") =>
        {
            Err(Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!("asking for {}: the body is encoded, unasked", answer.shown),
            ))
        }
        _ => Ok(()),
    }
}

fn insufficient(shown: &str, why: &str) -> Failure {
    Failure::fatal(
        ErrorContext::RemoteFile,
        Hresult::BG_E_INSUFFICIENT_RANGE_SUPPORT,
        format!("asking for a part of {shown}: {why}"),
    )
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
