//! Fetches one file: asks for what is missing, checks that it is the same
//! version, writes it, and reports what is safe.

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header;
use url::Url;

use super::Failure;
use super::Order;
use super::Reports;
use super::claim::Claim;
use super::clock;
use super::disk_writer::ALIGNMENT;
use super::disk_writer::Progress;
use super::disk_writer::Target;
use super::feed::Feed;
use super::feed::Whole;
use super::http_origin::Answer;
use super::http_origin::Ask;
use super::http_origin::HttpOrigin;
use super::http_origin::Part;
use super::landing::Landing;
use super::landing::temporary_name;
use super::last_folder::LastFolder;
use super::range::ContentRange;
use super::settle;
use super::sink::Sink;
use super::spot::Spot;
use super::written::Entry;
use super::written::Written;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Hresult;
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
}

/// What lies in the temporary file.
struct Here {
    spot: Arc<Spot>,
    /// The file, when octets in it count.
    file: Option<fs::File>,
    /// So many.
    octets: u64,
}

/// The version that an answer begins to bring.
struct Version {
    size: Option<u64>,
    validator: Validator,
    /// The first octet that comes.
    from: u64,
}

impl<'a> Download<'a> {
    /// Runs to the end of the file.
    ///
    /// # Errors
    ///
    /// [`Failure`]; what is here by then is synced and reported.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let url = Url::parse(&self.order.file.remote_url).map_err(|error| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::E_INVALIDARG,
                format!("the remote address cannot be read: {error}"),
            )
        })?;
        let mut here = self.look()?;
        self.order.written.store(here.octets, Ordering::Relaxed);
        if let Some(file) = &here.file
            && self.order.file.size == Some(here.octets)
        {
            // Whole, but the last report was lost.
            file.sync_all().map_err(failed)?;
            here.spot.sync().map_err(failed)?;
            return self.report(FileReport::Done(here.octets)).await;
        }
        // A block is written anew as a whole.
        here.octets &= !(ALIGNMENT as u64 - 1);
        let stop = self.order.stop.clone();
        let (answer, version) = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Failure::stopped()),
            asked = self.ask(&url, &here) => asked?,
        };
        let Some(version) = version else {
            // Everything was here: the server has no more.
            let octets = here.octets;
            answer.discard().await;
            if let Some(file) = &here.file {
                file.set_len(octets)
                    .and_then(|()| file.sync_all())
                    .map_err(failed)?;
            }
            return self.report(FileReport::Done(octets)).await;
        };
        let whole = version.size.map(|size| Whole {
            url,
            from: version.from,
            size,
            validator: version.validator.clone(),
        });
        self.receive(Feed::new(answer, whole), version, here).await
    }

    /// What counts of the temporary file: the written offset if this boot and
    /// this file are meant, else the durable one; never its length.
    fn look(&self) -> Result<Here, Failure> {
        let file = &self.order.file;
        let spot = Arc::new(self.folder.spot(self.landing, &file.path)?);
        spot.check_replaceable()?;
        let written = self.record.find(self.order.job, file.index);
        if file.durable == 0 && written.is_none() {
            return Ok(Here {
                spot,
                file: None,
                octets: 0,
            });
        }
        let name = temporary_name(self.order.job, file.index);
        let temporary = spot.open_temporary(&name).map_err(failed)?;
        let Some(temporary) = temporary else {
            return Ok(Here {
                spot,
                file: None,
                octets: 0,
            });
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

    /// Asks for what is missing, or for everything when the rest cannot be
    /// had of the same version. No version: nothing is missing.
    async fn ask(&self, url: &Url, here: &Here) -> Result<(Answer<'a>, Option<Version>), Failure> {
        let known = &self.order.file;
        let rest = known
            .validator
            .if_range()
            .filter(|_| here.octets > 0)
            .map(|if_range| Part {
                first: here.octets,
                last: None,
                if_range: Some(if_range.to_owned()),
            });
        if let Some(rest) = rest {
            let from = rest.first;
            let answer = self.origin.ask(url, &Ask::get(Some(rest))).await?;
            let validator = validator_of(&answer);
            let range = answer
                .header(header::CONTENT_RANGE)
                .and_then(ContentRange::parse);
            let is_same = known.validator.is_same_version(&validator);
            match (answer.status, range) {
                (StatusCode::OK, _) => return begin(answer),
                (StatusCode::PARTIAL_CONTENT, Some(range)) if is_same => {
                    if let Some(total) = range.rest_from(from, known.size) {
                        check_coding(&answer)?;
                        let version = Version {
                            size: Some(total),
                            validator: known.validator.clone(),
                            from,
                        };
                        return Ok((answer, Some(version)));
                    }
                }
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(ContentRange::Unsatisfied { total }))
                    if is_same && total == from && known.size.is_none() =>
                {
                    return Ok((answer, None));
                }
                (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, _) => {}
                _ => return Err(answer.to_failure()),
            }
            // Another version, or an answer that cannot be trusted: all of it
            // anew, from a request that cannot be misunderstood.
            answer.discard().await;
        }
        let answer = self.origin.ask(url, &Ask::default()).await?;
        begin(answer)
    }

    async fn receive(
        &mut self,
        mut answer: Feed<'_>,
        version: Version,
        here: Here,
    ) -> Result<(), Failure> {
        let mut arrival = Arrival {
            held: Held::default(),
            sink: None,
            version,
            here,
        };
        let small = arrival.version.from == 0
            && answer
                .length()
                .is_none_or(|length| length <= MAX_HELD as u64);
        let ended = if small {
            self.pump(&mut answer, &mut arrival).await
        } else {
            match self.open(&mut arrival).await {
                Ok(()) => self.pump(&mut answer, &mut arrival).await,
                Err(failure) => Err(failure),
            }
        };
        if let Err(failure) = ended {
            return Err(self.keep(arrival, failure).await);
        }
        answer.finish();
        let octets = match arrival.sink.take() {
            Some(sink) => sink.finish().await?,
            None => self.land_small(arrival).await?,
        };
        self.order.written.store(octets, Ordering::Relaxed);
        self.report(FileReport::Done(octets)).await
    }

    /// Moves the body into memory or the file until it ends.
    async fn pump(&mut self, answer: &mut Feed<'_>, arrival: &mut Arrival) -> Result<(), Failure> {
        let stop = self.order.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let idle_timeout = self.origin.idle_timeout;
        let interval = self.checkpoint_interval.min(idle_timeout);
        let mut heard_at = clock::instant();
        let mut synced_at = heard_at;
        let mut tick = pin!(tokio::time::sleep(interval.min(HOLD_TIME)));
        loop {
            let synced = async {
                match &arrival.sink {
                    Some(sink) => sink.synced().await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                biased;
                () = &mut stopped => return Err(Failure::stopped()),
                octets = synced => Heard::Synced(octets),
                () = &mut tick => Heard::Tick,
                data = answer.data() => Heard::Data(data),
            };
            match heard {
                Heard::Synced(octets) => self.report_durable(octets).await?,
                Heard::Tick => {
                    let now = clock::instant();
                    if now - heard_at >= idle_timeout {
                        return Err(Failure::transport(
                            Hresult::WININET_E_TIMEOUT,
                            format!("reading {}: nothing came in time", answer.shown),
                        ));
                    }
                    let spills = !arrival.held.is_empty();
                    if spills {
                        self.spill(arrival).await?;
                    }
                    if let Some(sink) = &mut arrival.sink
                        && (spills || now - synced_at >= interval)
                    {
                        synced_at = now;
                        if sink.unsynced() > 0 {
                            sink.checkpoint().await?;
                        }
                    }
                    tick.as_mut().reset(if arrival.sink.is_some() {
                        (synced_at + interval).max(clock::instant() + LEAST_PAUSE)
                    } else {
                        now + interval.min(HOLD_TIME)
                    });
                }
                Heard::Data(None) => break,
                Heard::Data(Some(data)) => {
                    let data = data?;
                    self.take(arrival, data).await?;
                    // Only now: a slow disk is no silent server.
                    heard_at = clock::instant();
                }
            }
        }
        let received = arrival.taken();
        if arrival.version.size.is_some_and(|size| size != received) {
            return Err(Failure::transport(
                Hresult::WININET_E_CONNECTION_ABORTED,
                format!(
                    "reading {}: the body ended at octet {received}",
                    answer.shown
                ),
            ));
        }
        Ok(())
    }

    async fn take(&mut self, arrival: &mut Arrival, data: Bytes) -> Result<(), Failure> {
        if arrival.sink.is_none() {
            if arrival.held.len() + data.len() <= MAX_HELD {
                arrival.held.take(data, arrival.version.size);
                return Ok(());
            }
            self.spill(arrival).await?;
        }
        if let Some(sink) = &mut arrival.sink {
            sink.put(&data).await?;
            if sink.unsynced() >= self.checkpoint_octets {
                sink.checkpoint().await?;
            }
        }
        Ok(())
    }

    /// Moves what is held in memory into the file.
    async fn spill(&mut self, arrival: &mut Arrival) -> Result<(), Failure> {
        self.open(arrival).await?;
        let held = std::mem::take(&mut arrival.held);
        if let Some(sink) = &mut arrival.sink {
            sink.put(held.octets()).await?;
        }
        Ok(())
    }

    /// Opens the file for the version that has begun to come.
    async fn open(&mut self, arrival: &mut Arrival) -> Result<(), Failure> {
        if arrival.sink.is_some() {
            return Ok(());
        }
        self.begin(arrival).await?;
        let from = arrival.version.from;
        let (job, index) = (self.order.job, self.order.file.index);
        let name = temporary_name(job, index);
        let spot = &arrival.here.spot;
        let file = if let Some(file) = arrival.here.file.take().filter(|_| from > 0) {
            file
        } else {
            // INVARIANT: the slot goes before the file: its number may be
            // given to the next one.
            self.record.forget(job, index);
            let file = spot.create_temporary(&name).map_err(failed)?;
            spot.sync().map_err(failed)?;
            file
        };
        let entry = Entry {
            inode: file.metadata().map_err(failed)?.ino(),
            version: arrival.version.validator.mark(arrival.version.size),
            octets: from,
        };
        let in_memory = spot.in_memory;
        let target = Target {
            direct: if in_memory {
                None
            } else {
                spot.open_direct(&name, &file)
            },
            file,
            in_memory,
        };
        let progress = Progress {
            written: Arc::clone(&self.order.written),
            slot: self.record.begin(job, index, entry),
            claim: Some(Arc::clone(&self.claim)),
        };
        let memory = self.origin.pool.memory();
        let sink = Sink::new(target, from, arrival.version.size, progress, memory)?;
        arrival.sink = Some(sink);
        Ok(())
    }

    /// Has the version kept before any octet of it is written.
    async fn begin(&mut self, arrival: &Arrival) -> Result<(), Failure> {
        let version = &arrival.version;
        let file = &mut self.order.file;
        let restarted = version.from == 0
            && (file.durable > 0 || self.record.find(self.order.job, file.index).is_some());
        if restarted {
            file.durable = 0;
            self.order.written.store(0, Ordering::Relaxed);
        }
        file.size = version.size;
        file.validator = version.validator.clone();
        self.report(FileReport::Began {
            size: version.size,
            validator: version.validator.clone(),
            restarted,
        })
        .await
    }

    /// Writes a file that was held whole in memory.
    async fn land_small(&mut self, arrival: Arrival) -> Result<u64, Failure> {
        let (job, index) = (self.order.job, self.order.file.index);
        let known = &self.order.file;
        let had_octets = known.durable > 0 || self.record.find(job, index).is_some();
        // Nor may the version of an attempt that brought no octets be taken
        // for this one's.
        if had_octets || known.validator != arrival.version.validator && known.is_begun() {
            self.begin(&arrival).await?;
        }
        self.record.forget(job, index);
        let name = temporary_name(job, index);
        let spot = Arc::clone(&arrival.here.spot);
        // The version of such a file is kept nowhere: its time goes on now.
        let times = settle::times(&arrival.version.validator);
        let octets = arrival.held;
        let length = octets.len() as u64;
        let in_memory = spot.in_memory;
        let claim = Arc::clone(&self.claim);
        let write = move || -> std::io::Result<()> {
            let _claim = claim;
            let file = spot.create_temporary(&name)?;
            file.write_all_at(octets.octets(), 0)?;
            if let Some(times) = times {
                rustix::fs::futimens(&file, &times)?;
            }
            if !spot.in_memory {
                file.sync_data()?;
                spot.sync()?;
            }
            Ok(())
        };
        if in_memory {
            write().map_err(failed)?;
        } else {
            tokio::task::spawn_blocking(write)
                .await
                .map_err(|error| failed(std::io::Error::other(error)))?
                .map_err(failed)?;
        }
        Ok(length)
    }

    /// Keeps what came before a failure; the failure of that goes first.
    async fn keep(&mut self, mut arrival: Arrival, failure: Failure) -> Failure {
        // A disk that fails takes no more; what it synced is reported.
        if failure.context == ErrorContext::LocalFile {
            return failure;
        }
        if !arrival.held.is_empty()
            && let Err(other) = self.spill(&mut arrival).await
        {
            return other;
        }
        let Some(sink) = arrival.sink.take() else {
            return failure;
        };
        match sink.close().await {
            Ok(octets) => match self.report_durable(octets).await {
                Ok(()) => failure,
                Err(stopped) => stopped,
            },
            Err(other) => other,
        }
    }

    async fn report_durable(&mut self, octets: u64) -> Result<(), Failure> {
        // A file that goes on at the start of a block has more synced than
        // its sink knows.
        if octets <= self.order.file.durable {
            return Ok(());
        }
        self.order.file.durable = octets;
        self.report(FileReport::Durable(octets)).await
    }

    async fn report(&self, report: FileReport) -> Result<(), Failure> {
        let told = self.reports.report(report).await;
        told.map_err(|_| Failure::stopped())
    }
}

/// What has come of a body.
struct Arrival {
    held: Held,
    sink: Option<Sink>,
    version: Version,
    here: Here,
}

impl Arrival {
    /// Octets from the start of the file.
    fn taken(&self) -> u64 {
        match &self.sink {
            Some(sink) => sink.taken(),
            None => self.held.len() as u64,
        }
    }
}

/// The begin of a body, in memory.
#[derive(Default)]
struct Held {
    /// A body that came in one piece, where the network has put it.
    whole: Bytes,
    /// The pieces of another.
    pieces: Vec<u8>,
}

impl Held {
    /// Takes in the next piece of a body of `size` octets.
    fn take(&mut self, data: Bytes, size: Option<u64>) {
        if self.is_empty() && size == Some(data.len() as u64) {
            self.whole = data;
            return;
        }
        if self.pieces.is_empty()
            && let Some(size) = size.and_then(|size| usize::try_from(size).ok())
        {
            self.pieces.reserve_exact(size.min(MAX_HELD));
        }
        self.pieces.extend_from_slice(&data);
    }

    fn octets(&self) -> &[u8] {
        if self.pieces.is_empty() {
            &self.whole
        } else {
            &self.pieces
        }
    }

    fn len(&self) -> usize {
        self.octets().len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

enum Heard {
    Synced(u64),
    Tick,
    Data(Option<Result<Bytes, Failure>>),
}

/// The version that an answer to a request for everything brings.
fn begin(answer: Answer<'_>) -> Result<(Answer<'_>, Option<Version>), Failure> {
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
    check_coding(&answer)?;
    let version = Version {
        size: answer.length(),
        validator: validator_of(&answer),
        from: 0,
    };
    Ok((answer, Some(version)))
}

fn check_coding(answer: &Answer<'_>) -> Result<(), Failure> {
    match answer.header(header::CONTENT_ENCODING) {
        Some(coding) if !coding.trim().is_empty() && !coding.eq_ignore_ascii_case("identity") => {
            Err(Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!("asking for {}: the body is encoded, unasked", answer.shown),
            ))
        }
        _ => Ok(()),
    }
}

fn validator_of(answer: &Answer<'_>) -> Validator {
    Validator::read(
        answer.header(header::ETAG),
        answer.header(header::LAST_MODIFIED),
        answer.header(header::DATE),
    )
}

fn failed(error: impl Into<std::io::Error>) -> Failure {
    Failure::from_local_error("writing the temporary file", &error.into())
}

/// Octets that are held in memory before a file is opened for them: what a
/// crash may cost beside the buffers of the network.
const MAX_HELD: usize = 1_024 * 1_024;

/// How long octets are held: what trickles in shows, and outlives a crash.
const HOLD_TIME: Duration = Duration::from_millis(500);

/// Between two looks at the clock.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
