//! Runs one job that has a slot: fetches its missing files, several at a time,
//! and keeps what the transfers report.

use std::collections::HashMap;
use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use tracing::warn;

use super::Error;
use super::core::Core;
use super::events;
use super::pace::Pace;
use crate::bits::Circumstances;
use crate::bits::Effect;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::bits::Input;
use crate::bits::Job;
use crate::bits::JobError;
use crate::bits::JobId;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::store::Change;
use crate::transfer::Access;
use crate::transfer::Failure;
use crate::transfer::FailureKind;
use crate::transfer::Order;
use crate::transfer::Reports;
use crate::transfer::Session;
use crate::transfer::Stopped;

/// What is known of a running job beside the store: how far its open files
/// have come since their last checkpoint.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Ends every transfer of the job.
    pub(super) stop: CancellationToken,
    ahead: Mutex<Ahead>,
    pace: Mutex<Pace>,
}

/// How far the files are ahead of the store.
#[derive(Debug, Default)]
struct Ahead {
    open: HashMap<u32, Open>,
    /// Octets of the job by the last commit of this run. INVARIANT: it changes
    /// together with `open`. The store is ahead of both for a moment, and its
    /// own count with the old `open` would count what was committed twice.
    kept: Option<u64>,
    /// The largest count that anybody was shown, so that it never goes back.
    shown: u64,
}

/// A file that is being fetched.
#[derive(Clone, Debug)]
struct Open {
    written: Arc<AtomicU64>,
    durable: u64,
}

impl Run {
    /// Octets of `job`, as the store has it, with those that came since.
    pub(super) fn overlay(&self, job: &Job) -> u64 {
        let mut ahead = self.ahead();
        let fresh: u64 = ahead
            .open
            .values()
            .map(|file| {
                file.written
                    .load(Ordering::Relaxed)
                    .saturating_sub(file.durable)
            })
            .sum();
        let total = job.bytes_total().unwrap_or(u64::MAX);
        let kept = ahead.kept.unwrap_or(job.bytes_transferred);
        ahead.shown = ahead.shown.max(kept.saturating_add(fresh).min(total));
        ahead.shown.min(total)
    }

    /// Octets of a file that is being fetched.
    pub(super) fn written(&self, index: u32) -> Option<u64> {
        let ahead = self.ahead();
        let file = ahead.open.get(&index)?;
        Some(file.written.load(Ordering::Relaxed))
    }

    /// Octets a second over the last seconds; `job` is as the store has it.
    pub(super) fn pace(&self, job: &Job, now: Timestamp) -> u64 {
        let octets = self.overlay(job);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.note(octets, now);
        pace.octets_per_s(octets, now)
    }

    fn note_pace(&self, octets: u64, now: Timestamp) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.note(octets, now);
    }

    fn ahead(&self) -> std::sync::MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the job until nothing is missing, something fails, or it is stopped.
/// The job is in CONNECTING, committed, when this begins.
pub(super) async fn run(core: Arc<Core>, id: JobId, run: Arc<Run>) {
    loop {
        let (sender, receiver) = mpsc::channel(REPORTS);
        let recorder = tokio::spawn(record(Arc::clone(&core), id, Arc::clone(&run), receiver));
        let fetched = fetch(&core, id, &run, sender).await;
        let recorded = match recorder.await {
            Ok(recorded) => recorded,
            Err(panicked) => Err(Error::internal(&panicked)),
        };
        let Some(input) = outcome(&core, id, fetched, recorded) else {
            return;
        };
        let is_done = matches!(input, Input::Transferred);
        match keep_outcome(&core, id, input).await {
            // A file was added after the last one was seen.
            Some(Effect::Unchanged) if is_done && core.has_work_to_run(id) => {}
            Some(_) | None => return,
        }
    }
}

/// What becomes of the job, in the light of whether there is a network; nothing
/// when it was stopped.
fn outcome(
    core: &Core,
    id: JobId,
    fetched: Result<Ended, Failed>,
    recorded: Result<(), Error>,
) -> Option<Input> {
    let outcome = match (fetched, recorded) {
        (Ok(Ended::Stopped), Ok(())) => return None,
        (Ok(Ended::Done), Ok(())) => Input::Transferred,
        (Err(failed), Ok(())) => failed.into_input(),
        (_, Err(error)) => Failed::from(error).into_input(),
    };
    let host = core.runs().get(&id).map(|slot| slot.job.host.clone());
    Some(core.network.judge(outcome, &host.unwrap_or_default()))
}

/// Keeps how a run ended, as soon as the store can; a start after a stop finds
/// the job as interrupted.
async fn keep_outcome(core: &Core, id: JobId, outcome: Input) -> Option<Effect> {
    loop {
        match core.advance(id, outcome.clone()).await {
            Ok(effect) => return Some(effect),
            Err(error) => warn!(job = %id, %error, "Outcome of a job could not be kept yet"),
        }
        tokio::select! {
            () = core.stop.cancelled() => return None,
            () = tokio::time::sleep(super::slots::STORE_PAUSE) => {}
        }
    }
}

/// How fetching ended without a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    Done,
    Stopped,
}

/// A failure and the file that it happened to.
#[derive(Debug)]
pub(super) struct Failed {
    file: Option<u32>,
    failure: Failure,
}

impl Failed {
    fn into_input(self) -> Input {
        let error = JobError {
            context: self.failure.context,
            code: self.failure.code,
            file: self.file,
            detail: self.failure.detail,
            circumstances: self.failure.circumstances,
        };
        match self.failure.kind {
            FailureKind::Fatal => Input::Failed(error),
            FailureKind::ForNow(retry_after) => Input::FailedForNow { error, retry_after },
            FailureKind::Stopped => Input::Preempt,
        }
    }

    fn is_worse_than(&self, other: &Self) -> bool {
        self.failure.kind == FailureKind::Fatal && other.failure.kind != FailureKind::Fatal
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            file: None,
            failure: Failure {
                kind: FailureKind::ForNow(None),
                context: ErrorContext::GeneralQueueManager,
                code: Hresult::E_FAIL,
                detail: error.to_string(),
                circumstances: Circumstances::default(),
            },
        }
    }
}

/// Fetches every missing file, in order, at most `files_per_job` at a time.
async fn fetch(
    core: &Arc<Core>,
    id: JobId,
    run: &Arc<Run>,
    reports: mpsc::Sender<Report>,
) -> Result<Ended, Failed> {
    let lane = Lane {
        core: Arc::clone(core),
        id,
        run: Arc::clone(run),
        session: open_session(core, id, run)?,
        missing: Arc::default(),
        reports,
    };
    let mut lanes: JoinSet<Result<(), Failed>> = JoinSet::new();
    for _ in 0..core.settings.files_per_job.max(1) {
        lanes.spawn(lane.clone().run());
    }
    drop(lane);
    let mut failed: Option<Failed> = None;
    while let Some(ended) = lanes.join_next().await {
        let failure = match ended {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure,
            Err(panicked) => Failed::from(Error::internal(&panicked)),
        };
        // One failing file stops the job (bits.md 2.3); the others end at a
        // point from which they go on.
        run.stop.cancel();
        if failure.failure.kind == FailureKind::Stopped {
            continue;
        }
        if failed
            .as_ref()
            .is_none_or(|worst| failure.is_worse_than(worst))
        {
            failed = Some(failure);
        }
    }
    match failed {
        Some(failed) => Err(failed),
        None if run.stop.is_cancelled() => Ok(Ended::Stopped),
        None => Ok(Ended::Done),
    }
}

/// Fetches one file after the other; several work side by side. A task for
/// each file would cost two hops between threads a file.
#[derive(Clone)]
struct Lane {
    core: Arc<Core>,
    id: JobId,
    run: Arc<Run>,
    session: Session,
    missing: Arc<Mutex<Missing>>,
    reports: mpsc::Sender<Report>,
}

impl Lane {
    async fn run(self) -> Result<(), Failed> {
        while !self.run.stop.is_cancelled() {
            let Some(file) = self.next()? else {
                break;
            };
            self.transfer(open_file(self.id, &self.run, file)).await?;
        }
        Ok(())
    }

    fn next(&self) -> Result<Option<File>, Error> {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.next(&self.core, self.id)
    }

    async fn transfer(&self, order: Order) -> Result<(), Failed> {
        let index = order.file.index;
        let desk = ToRecorder {
            file: Mutex::new(Some(order.file.clone())),
            index,
            reports: self.reports.clone(),
        };
        let result = self.session.transfer(order, &desk).await;
        if result.is_err() {
            self.run.ahead().open.remove(&index);
        }
        result.map_err(|failure| Failed {
            file: Some(index),
            failure,
        })
    }
}

fn open_session(core: &Core, id: JobId, run: &Run) -> Result<Session, Failed> {
    let job = core.stored(id)?;
    run.ahead().kept = Some(job.bytes_transferred);
    session_of(core, &job)
}

/// The connections of a job.
pub(super) fn session_of(core: &Core, job: &Job) -> Result<Session, Failed> {
    let access = Access {
        kind: job.kind,
        options: job.options.clone(),
        headers: core.store.headers(job.id).map_err(Error::from)?,
        credentials: core.store.credentials(job.id).map_err(Error::from)?,
        client_certificate: job.client_certificate.clone(),
        proxy: job.proxy.clone(),
        bounds: (core.bounds)(&job.owner),
        octets: job.bytes_transferred,
    };
    core.mover.session(access).map_err(|failure| Failed {
        file: None,
        failure,
    })
}

fn open_file(job: JobId, run: &Run, file: File) -> Order {
    let written = Arc::new(AtomicU64::new(file.durable));
    run.ahead().open.insert(
        file.index,
        Open {
            written: Arc::clone(&written),
            durable: file.durable,
        },
    );
    Order {
        job,
        file,
        written,
        stop: run.stop.child_token(),
    }
}

/// The files that are not here yet, a page at a time.
#[derive(Debug, Default)]
struct Missing {
    page: std::vec::IntoIter<File>,
    from: u32,
}

impl Missing {
    fn next(&mut self, core: &Core, id: JobId) -> Result<Option<File>, Error> {
        if let Some(file) = self.page.next() {
            return Ok(Some(file));
        }
        let page = core.store.missing_files(id, self.from, FILES_PAGE)?;
        if let Some(last) = page.last() {
            self.from = last.index + 1;
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}

/// Something that a transfer says, on its way to the recorder.
#[derive(Debug)]
struct Report {
    index: u32,
    /// With the first report of a file: the file as the store has it.
    file: Option<File>,
    said: FileReport,
    /// Told once the report is kept for good.
    kept: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct ToRecorder {
    index: u32,
    file: Mutex<Option<File>>,
    reports: mpsc::Sender<Report>,
}

impl Reports for ToRecorder {
    fn report(
        &self,
        report: FileReport,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>> {
        Box::pin(async move {
            let file = self
                .file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let (kept, wait) = match report {
                FileReport::Began { .. } | FileReport::Upload(_) => {
                    let (kept, wait) = oneshot::channel();
                    (Some(kept), Some(wait))
                }
                FileReport::Durable(_)
                | FileReport::Done(_)
                | FileReport::Moved(_)
                | FileReport::WithoutRanges => (None, None),
            };
            let report = Report {
                index: self.index,
                file,
                said: report,
                kept,
            };
            self.reports.send(report).await.map_err(|_| Stopped)?;
            match wait {
                Some(wait) => wait.await.map_err(|_| Stopped),
                None => Ok(()),
            }
        })
    }
}

/// The files that are under way, as the recorder knows them.
#[derive(Debug, Default)]
struct Files {
    open: HashMap<u32, File>,
    /// Those that servers had elsewhere.
    moved: HashSet<u32>,
    /// The last commit that was durable at once.
    committed_at: Option<Timestamp>,
}

/// Takes reports in, as many at a time as have come, and commits them.
async fn record(
    core: Arc<Core>,
    id: JobId,
    run: Arc<Run>,
    mut reports: mpsc::Receiver<Report>,
) -> Result<(), Error> {
    let mut files = Files::default();
    let mut batch = Vec::with_capacity(REPORTS);
    let mut has_begun = false;
    while reports.recv_many(&mut batch, REPORTS).await > 0 {
        // The first shows that data flows.
        if has_begun {
            gather(&mut reports, &mut batch).await;
        }
        has_begun = true;
        let result = record_batch(&core, id, &run, &mut files, &mut batch).await;
        if let Err(error) = result {
            // What was not kept will be fetched again; nobody may go on as if
            // it had been.
            run.stop.cancel();
            reports.close();
            return Err(error);
        }
    }
    Ok(())
}

/// Waits a little for more reports, so that many small files share a commit;
/// not when somebody waits for one of these, nor after the last.
async fn gather(reports: &mut mpsc::Receiver<Report>, batch: &mut Vec<Report>) {
    let mut is_over = pin!(tokio::time::sleep(GATHER));
    while batch.len() < REPORTS && batch.iter().all(|report| report.kept.is_none()) {
        let room = REPORTS - batch.len();
        tokio::select! {
            biased;
            more = reports.recv_many(batch, room) => if more == 0 { return },
            () = &mut is_over => return,
        }
    }
}

async fn record_batch(
    core: &Core,
    id: JobId,
    run: &Run,
    files: &mut Files,
    batch: &mut Vec<Report>,
) -> Result<(), Error> {
    let hold = core.desk.hold(id).await;
    let now = core.now();
    let mut job = core.stored(id)?;
    let mut changes = Vec::with_capacity(batch.len() + 2);
    let mut touched: Vec<u32> = Vec::with_capacity(batch.len());
    let mut waiting = Vec::new();
    let mut has_restarted = false;
    let Files {
        open: files,
        moved,
        committed_at,
    } = files;
    if job.state == State::Connecting && job.apply(Input::Connected, now)? == Effect::Changed {
        changes.push(events::entered(&job, None, now.date));
    }
    // Many small files need not each last at once: they come again.
    let is_small = |said: &FileReport| matches!(said, FileReport::Done(octets) if *octets <= SMALL);
    let is_note = batch.iter().all(|report| is_small(&report.said))
        && committed_at.is_some_and(|at| now.steady.since(at) < NOTES);
    for report in batch.drain(..) {
        if let Some(file) = report.file {
            files.insert(report.index, file);
        }
        waiting.extend(report.kept);
        let Some(file) = files.get_mut(&report.index) else {
            debug!(job = %id, file = report.index, "Report on an unknown file");
            continue;
        };
        has_restarted |= matches!(
            report.said,
            FileReport::Began {
                restarted: true,
                ..
            }
        );
        if report.said == FileReport::WithoutRanges {
            changes.push(events::without_ranges(&job, file, now.date));
        }
        if matches!(report.said, FileReport::Moved(_)) {
            moved.insert(report.index);
        }
        job.report(file, report.said, now);
        if !touched.contains(&report.index) {
            touched.push(report.index);
        }
    }
    for index in &touched {
        if let Some(file) = files.get(index) {
            // INVARIANT: an address that a server named is kept with the end of
            // the file only: the job would log on there if it began anew.
            changes.push(if file.transferred && moved.remove(index) {
                Change::File(id, file.clone())
            } else {
                Change::Progress(id, file.clone())
            });
        }
    }
    let octets = job.bytes_transferred;
    changes.push(Change::Job(job));
    if is_note {
        core.store.note(changes).await?;
    } else {
        core.store.commit(changes).await?;
        *committed_at = Some(now.steady);
    }
    drop(hold);
    run.note_pace(octets, now.steady);
    let mut ahead = run.ahead();
    ahead.kept = Some(octets);
    if has_restarted {
        ahead.shown = 0;
    }
    for index in touched {
        let Some(file) = files.get(&index) else {
            continue;
        };
        if file.transferred {
            ahead.open.remove(&index);
            files.remove(&index);
        } else if let Some(open) = ahead.open.get_mut(&index) {
            open.durable = file.durable;
        }
    }
    drop(ahead);
    for kept in waiting {
        // A transfer that was stopped meanwhile does not wait any more.
        let _ = kept.send(());
    }
    Ok(())
}

/// Reports that wait to be kept; a few for each file that is fetched.
const REPORTS: usize = 256;

/// What a crash may cost beside the buffers: files that came within this time
/// are whole, but not known to be.
const GATHER: Duration = Duration::from_millis(20);

/// The same for a crash of the host: small files that came within this time come
/// again.
const NOTES: Duration = Duration::from_millis(500);

/// Octets of a small file.
const SMALL: u64 = 1_024 * 1_024;

/// Files that are read from the store at a time.
const FILES_PAGE: usize = 256;

#[cfg(test)]
pub(super) mod played;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::NewFile;
    use crate::bits::NewJob;
    use crate::bits::Owner;
    use crate::bits::Validator;

    fn job_of_one_file() -> (Job, File) {
        let new = NewJob {
            display_name: "a".to_owned(),
            files: vec![NewFile {
                remote_url: "http://h/a".to_owned(),
                local_file: "/a".to_owned(),
                path: "/a".into(),
                ..NewFile::default()
            }],
            ..NewJob::default()
        };
        let now = Timestamp::default();
        let (mut job, mut files) =
            Job::create(JobId::new(), Owner::new("anna"), new, now).expect("fits");
        let mut file = files.remove(0);
        let began = FileReport::Began {
            size: Some(1_000),
            validator: Validator::default(),
            restarted: false,
        };
        job.report(&mut file, began, now);
        (job, file)
    }

    #[test]
    fn what_was_just_committed_is_not_counted_twice() {
        let (mut job, mut file) = job_of_one_file();
        let run = Run::default();
        let order = open_file(job.id, &run, file.clone());
        run.ahead().kept = Some(0);
        order.written.store(300, Ordering::Relaxed);
        assert_eq!(run.overlay(&job), 300);
        // The store has the checkpoint already, the recorder has not gone on.
        job.report(&mut file, FileReport::Durable(300), Timestamp::default());
        assert_eq!(run.overlay(&job), 300);
    }

    #[tokio::test]
    async fn where_a_server_has_a_file_is_kept_once_the_file_is_here() {
        let bench = super::super::tests::Bench::new("").await;
        let (core, wish) = (&bench.engine.core, bench.wish("f"));
        let id = bench.engine.create(&bench.anna, wish).await.expect("made");
        let kept = || core.store.files(id, 0, 1).expect("read").remove(0);
        let (run, mut files) = (Run::default(), Files::default());
        let report = |said, file| Report {
            index: 0,
            file,
            said,
            kept: None,
        };
        let moved = FileReport::Moved("http://elsewhere/f".to_owned());
        let mut batch = vec![report(moved, Some(kept()))];
        let done = record_batch(core, id, &run, &mut files, &mut batch).await;
        done.expect("kept");
        assert_eq!(kept().remote_url, bench.url);
        batch.push(report(FileReport::Done(1), None));
        let done = record_batch(core, id, &run, &mut files, &mut batch).await;
        done.expect("kept");
        assert!(kept().transferred);
        assert_eq!(kept().remote_url, "http://elsewhere/f");
    }
}
