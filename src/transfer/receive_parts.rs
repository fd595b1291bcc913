//! Takes the wanted parts out of a whole remote file, from a server that has no
//! ranges: each octet goes where it belongs in the local file.
//!
//! The parts come in the order of the remote file, which need not be that of the
//! local one. So nothing is durable before all of it is, and an attempt that ends
//! early leaves nothing behind; such a server would begin anew in any case.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::Bytes;

use super::Failure;
use super::asking::Version;
use super::download::Download;
use super::download::failed;
use super::feed::Feed;
use super::hashing::Hashing;
use super::landing::temporary_name;
use super::pieces::Places;
use super::settle;
use super::spot::Spot;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Hresult;

/// Octets on their way to their places.
#[derive(Default)]
struct Batch {
    runs: Vec<(Bytes, u64)>,
    octets: usize,
}

impl Download<'_> {
    /// Takes in the parts; the file is whole then.
    ///
    /// # Errors
    ///
    /// [`Failure`]; nothing is left here.
    pub(super) async fn receive_parts(
        &mut self,
        feed: Feed<'_>,
        version: &Version,
        places: &Places,
        spot: Arc<Spot>,
    ) -> Result<(), Failure> {
        self.begin(version).await?;
        let (job, index) = (self.order.job, self.order.file.index);
        let name = temporary_name(job, index);
        self.record.forget(job, index);
        let file = Arc::new(spot.create_temporary(&name).map_err(failed)?);
        let ended = match self.scatter(feed, version, places, &file).await {
            Ok(octets) => self.conclude_parts(octets, &file, &spot).await,
            Err(failure) => Err(failure),
        };
        if ended.is_err() {
            self.order.written.store(0, Ordering::Relaxed);
            let _ = spot.remove(&name);
        }
        ended
    }

    /// Puts what comes in its places; says how many octets the local file has.
    async fn scatter(
        &mut self,
        mut feed: Feed<'_>,
        version: &Version,
        places: &Places,
        file: &Arc<fs::File>,
    ) -> Result<u64, Failure> {
        let stop = self.order.stop.clone();
        let mut batch = Batch::default();
        let (mut at, mut wanted) = (0_u64, 0_u64);
        let mut total = None;
        while !places.end_before(at) {
            let data = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Failure::stopped()),
                data = tokio::time::timeout(self.origin.idle_timeout, feed.data()) => data,
            };
            let data = data.map_err(|_| {
                Failure::transport(
                    Hresult::WININET_E_TIMEOUT,
                    format!("reading {}: nothing came in time", feed.shown()),
                )
            })?;
            let Some(data) = data.transpose()? else {
                total = Some(at);
                break;
            };
            for (from, length, local) in places.of(at, data.len()) {
                batch.runs.push((data.slice(from..from + length), local));
                batch.octets += length;
                wanted += length as u64;
            }
            at += data.len() as u64;
            self.claim_octets(wanted)?;
            if batch.octets >= BATCH {
                self.write(file, std::mem::take(&mut batch)).await?;
            }
            self.order.written.store(wanted, Ordering::Relaxed);
        }
        self.write(file, batch).await?;
        let size = version
            .size
            .or_else(|| self.pieces.size(total).ok().flatten());
        let shown = feed.shown().to_owned();
        feed.finish().await;
        size.filter(|size| *size == wanted).ok_or_else(|| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_RANGE,
                format!("reading {shown}: a range is not inside the file"),
            )
        })
    }

    async fn conclude_parts(
        &mut self,
        octets: u64,
        file: &Arc<fs::File>,
        spot: &Arc<Spot>,
    ) -> Result<(), Failure> {
        if self.order.file.sha256.is_some() {
            let hashing = Hashing::new();
            let copy = file.try_clone().map_err(failed)?;
            self.hash_file(&hashing, copy, octets).await?;
            self.hashing = Some(hashing);
            self.check_hash(spot).await?;
        }
        let (file, folder) = (Arc::clone(file), Arc::clone(spot));
        let times = settle::times(&self.order.file.validator);
        self.off_the_task(move || {
            settle::sync_whole(&file, times.as_ref())?;
            Ok(folder.sync()?)
        })
        .await?;
        self.report(FileReport::Done(octets)).await
    }

    async fn write(&self, file: &Arc<fs::File>, batch: Batch) -> Result<(), Failure> {
        let file = Arc::clone(file);
        self.off_the_task(move || {
            let mut runs = batch.runs.iter();
            runs.try_for_each(|(octets, at)| file.write_all_at(octets, *at))
        })
        .await
    }

    /// Does something with the file on a thread that may block; the right to write
    /// lasts until it has ended.
    async fn off_the_task(
        &self,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        let claim = Arc::clone(&self.claim);
        let done = tokio::task::spawn_blocking(move || {
            let _claim = claim;
            work()
        });
        let done = done.await.map_err(io::Error::other).map_err(failed)?;
        done.map_err(failed)
    }
}

/// Octets that are held before they are written.
const BATCH: usize = 1_024 * 1_024;
