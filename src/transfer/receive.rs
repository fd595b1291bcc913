//! Takes in what a server sends of one file: into memory, into the temporary file,
//! and reports what is safe.

use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Bytes;
use rustix::fs::Timestamps;
use url::Url;

use super::Failure;
use super::FailureKind;
use super::asking::Begun;
use super::asking::Known;
use super::asking::Start;
use super::asking::Version;
use super::clock;
use super::disk_writer::Progress;
use super::disk_writer::Target;
use super::download::Download;
use super::download::Here;
use super::download::failed;
use super::feed::Feed;
use super::hashing::Hashing;
use super::held::Held;
use super::held::MAX_HELD;
use super::landing::temporary_name;
use super::settle;
use super::sink::Sink;
use super::spot::Spot;
use super::written::Entry;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Hresult;

/// What has come of a file.
struct Arrival {
    held: Held,
    sink: Option<Sink>,
    version: Version,
    here: Here,
}

/// How far an answer, and those that go on with it, have led.
enum Gathered<'a> {
    /// Nothing is missing.
    All,
    /// Another version comes, or the same from its start.
    Other(Box<Begun<'a>>),
}

impl<'a> Download<'a> {
    /// Takes in what an answer brings, and asks for the rest if it is a part.
    /// Says what comes instead, when that has to be begun anew.
    ///
    /// # Errors
    ///
    /// [`Failure`]; what is here by then is synced and reported.
    pub(super) async fn receive(
        &mut self,
        url: &Url,
        begun: Begun<'a>,
        here: Here,
    ) -> Result<Option<Begun<'a>>, Failure> {
        if let Some(size) = begun.version.size
            && let Err(failure) = self.claim_octets(size)
        {
            return Err(failure);
        }
        if let Some(places) = begun.places {
            let spot = here.spot;
            let parts = self.receive_parts(begun.feed, &begun.version, &places, spot);
            return parts.await.map(|()| None);
        }
        let mut arrival = Arrival {
            held: Held::default(),
            sink: None,
            version: begun.version,
            here,
        };
        match self.gather(url, begun.feed, &mut arrival).await {
            Err(failure) => Err(self.keep(arrival, failure).await),
            Ok(Gathered::Other(next)) => {
                // Its last write comes before the first of what comes now.
                if let Some(sink) = arrival.sink.take() {
                    sink.close().await?;
                }
                Ok(Some(*next))
            }
            Ok(Gathered::All) => self.conclude(arrival).await.map(|()| None),
        }
    }

    async fn gather(
        &mut self,
        url: &Url,
        mut feed: Feed<'a>,
        arrival: &mut Arrival,
    ) -> Result<Gathered<'a>, Failure> {
        let version = &arrival.version;
        let is_small = version.from == 0 && version.size.is_none_or(|size| size <= MAX_HELD as u64);
        if !is_small {
            self.open(arrival).await?;
        }
        let stop = self.order.stop.clone();
        loop {
            let before = arrival.taken();
            self.pump(&mut feed, arrival).await?;
            let taken = arrival.taken();
            let is_part = feed.is_part();
            let is_whole = match arrival.version.size {
                Some(size) => size == taken,
                None => !is_part,
            };
            if is_whole {
                feed.finish().await;
                return Ok(Gathered::All);
            }
            let shown = feed.shown();
            if !is_part {
                return Err(Failure::transport(
                    Hresult::WININET_E_CONNECTION_ABORTED,
                    format!("reading {shown}: the body ended at octet {taken}"),
                ));
            }
            if !self.turns.may_go_on(taken - before) {
                return Err(Failure::transport(
                    Hresult::WININET_E_INVALID_SERVER_RESPONSE,
                    format!("reading {shown}: the server cuts ranges short"),
                ));
            }
            feed.finish().await;
            let known = Known {
                size: arrival.version.size,
                validator: arrival.version.validator.clone(),
            };
            let start = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Failure::stopped()),
                start = self.ask(url, &known, taken) => start?,
            };
            match start {
                Start::IsHere => return Ok(Gathered::All),
                Start::Comes(next)
                    if taken > 0 && next.version.from == taken && next.places.is_none() =>
                {
                    feed = next.feed;
                }
                Start::Comes(next) => return Ok(Gathered::Other(next)),
            }
        }
    }

    /// Ends a file of which everything has come.
    async fn conclude(&mut self, mut arrival: Arrival) -> Result<(), Failure> {
        let spot = Arc::clone(&arrival.here.spot);
        let times = settle::times(&arrival.version.validator);
        let landed = match arrival.sink.take() {
            Some(sink) => match sink.finish(times).await {
                Ok(octets) => self.check_hash(&spot).await.map(|()| octets),
                Err(failure) => Err(failure),
            },
            None => self.land_small(arrival, times).await,
        };
        let octets = match landed {
            Ok(octets) => octets,
            Err(failure) => {
                self.free(&spot, &failure);
                return Err(failure);
            }
        };
        self.order.written.store(octets, Ordering::Relaxed);
        self.report(FileReport::Done(octets)).await
    }

    /// Moves the body into memory or the file until it ends.
    async fn pump(&mut self, feed: &mut Feed<'_>, arrival: &mut Arrival) -> Result<(), Failure> {
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
                heard = hear(feed, arrival.sink.as_ref()) => heard?,
            };
            match heard {
                Heard::Synced(octets) => self.report_durable(octets).await?,
                Heard::Tick => {
                    let now = clock::instant();
                    if now - heard_at >= idle_timeout {
                        return Err(Failure::transport(
                            Hresult::WININET_E_TIMEOUT,
                            format!("reading {}: nothing came in time", feed.shown()),
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
                Heard::Passed(octets) => {
                    if let Some(sink) = &mut arrival.sink {
                        sink.passed(octets);
                        if sink.unsynced() >= self.checkpoint_octets {
                            sink.checkpoint().await?;
                        }
                    }
                    heard_at = clock::instant();
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
        Ok(())
    }

    async fn take(&mut self, arrival: &mut Arrival, data: Bytes) -> Result<(), Failure> {
        if arrival.version.size.is_none() {
            self.claim_octets(arrival.taken() + data.len() as u64)?;
        }
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
        self.begin(&arrival.version).await?;
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
        let metadata = file.metadata().map_err(failed)?;
        let entry = Entry {
            inode: metadata.ino(),
            device: spot.device().map_err(failed)?,
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
            hashing: self.hash_from(from),
        };
        let memory = self.origin.pool.memory();
        let sink = Sink::new(target, from, arrival.version.size, progress, memory)?;
        arrival.sink = Some(sink);
        Ok(())
    }

    /// The hash of what lies before octet `from`, if one is wanted.
    fn hash_from(&mut self, from: u64) -> Option<Hashing> {
        let hashing = self.hashing.take()?;
        // What was hashed before another version began is void.
        let hashing = if hashing.octets() == from {
            hashing
        } else {
            Hashing::new()
        };
        self.hashing = Some(hashing.clone());
        Some(hashing)
    }

    /// Has the version kept before any octet of it is written.
    pub(super) async fn begin(&mut self, version: &Version) -> Result<(), Failure> {
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
    async fn land_small(
        &mut self,
        arrival: Arrival,
        times: Option<Timestamps>,
    ) -> Result<u64, Failure> {
        let (job, index) = (self.order.job, self.order.file.index);
        let known = &self.order.file;
        let had_octets = known.durable > 0 || self.record.find(job, index).is_some();
        // Nor may the version of an attempt that brought no octets be taken
        // for this one's.
        if had_octets || known.validator != arrival.version.validator && known.is_begun() {
            self.begin(&arrival.version).await?;
        }
        let spot = Arc::clone(&arrival.here.spot);
        if let Some(hashing) = self.hash_from(0) {
            hashing.add(arrival.held.octets());
            self.check_hash(&spot).await?;
        }
        self.record.forget(job, index);
        let name = temporary_name(job, index);
        let octets = arrival.held;
        let length = octets.len() as u64;
        let in_memory = spot.in_memory;
        let claim = Arc::clone(&self.claim);
        let write = move || -> std::io::Result<()> {
            let _claim = claim;
            let file = spot.create_temporary(&name)?;
            file.write_all_at(octets.octets(), 0)?;
            if spot.in_memory {
                return settle::stamp(&file, times.as_ref());
            }
            settle::sync_whole(&file, times.as_ref())?;
            Ok(spot.sync()?)
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
    async fn keep(&mut self, mut arrival: Arrival, mut failure: Failure) -> Failure {
        let spot = Arc::clone(&arrival.here.spot);
        // A disk that fails takes no more; what it synced is reported.
        if failure.context == ErrorContext::LocalFile {
            // What could be synced counts; its thread has ended then.
            if let Some(sink) = arrival.sink.take()
                && let Ok(octets) = sink.close().await
                && let Err(stopped) = self.report_durable(octets).await
            {
                return stopped;
            }
            self.free(&spot, &failure);
            return failure;
        }
        if matches!(failure.kind, FailureKind::ForNow(_))
            && self.terms.has_ranges()
            && arrival.version.validator.if_range().is_none()
        {
            failure
                .detail
                .push_str("; the server names no version of the file, so it starts over");
        }
        if !arrival.held.is_empty()
            && let Err(other) = self.spill(&mut arrival).await
        {
            self.free(&spot, &other);
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
            Err(other) => {
                self.free(&spot, &other);
                other
            }
        }
    }

    /// When the disk is full, gives back what was set aside or written
    /// beyond the octets that count: while the job waits, others may need it.
    pub(super) fn free(&self, spot: &Spot, failure: &Failure) {
        if failure.code != Hresult::ERROR_DISK_FULL {
            return;
        }
        let (job, index) = (self.order.job, self.order.file.index);
        let name = temporary_name(job, index);
        let durable = self.order.file.durable;
        if durable == 0 {
            self.record.forget(job, index);
            let _ = spot.remove(&name);
        } else if let Ok(Some(file)) = spot.open_temporary(&name)
            && file
                .metadata()
                .is_ok_and(|metadata| metadata.len() > durable)
        {
            let _ = file.set_len(durable);
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

enum Heard {
    Synced(u64),
    Tick,
    Data(Option<Result<Bytes, Failure>>),
    /// So many octets are in the file.
    Passed(u64),
}

/// What comes next; in the file already, where that can be.
async fn hear(feed: &mut Feed<'_>, sink: Option<&Sink>) -> Result<Heard, Failure> {
    if let Some(sink) = sink
        && let Some(file) = sink.in_place()
    {
        let octets = feed.pass(file, sink.taken()).await?;
        if octets > 0 {
            return Ok(Heard::Passed(octets));
        }
    }
    Ok(Heard::Data(feed.data().await))
}

/// How long octets are held: what trickles in shows, and outlives a crash.
const HOLD_TIME: Duration = Duration::from_millis(500);

/// Between two looks at the clock.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
