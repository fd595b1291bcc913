//! The engine with a store that fails or waits when it is told to.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;
use crate::bits::Priority;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::config::FilesSettings;
use crate::config::Network;
use crate::config::TransferSettings;
use crate::store;
use crate::store::ClockMark;
use crate::store::Committed;
use crate::store::Listing;
use crate::store::Place;
use crate::store::Queued;
use crate::store::Selection;
use crate::store::Sqlite;
use crate::store::StoredEvent;
use crate::vault::Vault;

/// A store that can be told to keep nothing, or to wait before it keeps that
/// a file is in its place.
struct Moody {
    inner: Sqlite,
    fails: AtomicBool,
    /// So many commits are kept before it fails; all, unless said otherwise.
    keeps: AtomicUsize,
    places: Arc<Semaphore>,
}

impl Store for Moody {
    fn commit(&self, changes: Vec<Change>) -> Committed {
        let count = |left: usize| match left {
            usize::MAX => Some(left),
            _ => left.checked_sub(1),
        };
        let left = self
            .keeps
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        if self.fails.load(Ordering::Relaxed) || left.is_err() {
            return Box::pin(async { Err(store::Error::Unavailable("for a test".to_owned())) });
        }
        let waits = changes
            .iter()
            .any(|change| matches!(change, Change::Progress(_, file) if file.placed));
        let committed = self.inner.commit(changes);
        let places = Arc::clone(&self.places);
        Box::pin(async move {
            let _place = if waits {
                Some(places.acquire_owned().await)
            } else {
                None
            };
            committed.await
        })
    }

    fn job(&self, id: JobId) -> Result<Option<Job>, store::Error> {
        self.inner.job(id)
    }

    fn jobs(
        &self,
        selection: &Selection,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Listing, store::Error> {
        self.inner.jobs(selection, after, limit)
    }

    fn owners(&self, limit: usize) -> Result<Vec<Owner>, store::Error> {
        self.inner.owners(limit)
    }

    fn count(&self, owner: Option<&Owner>) -> Result<u64, store::Error> {
        self.inner.count(owner)
    }

    fn line_owners(
        &self,
        level: Priority,
        after: Option<&Owner>,
        limit: usize,
    ) -> Result<Vec<Owner>, store::Error> {
        self.inner.line_owners(level, after, limit)
    }

    fn line_of(
        &self,
        level: Priority,
        owner: &Owner,
        limit: usize,
    ) -> Result<Vec<Queued>, store::Error> {
        self.inner.line_of(level, owner, limit)
    }

    fn line_hosts(
        &self,
        level: Priority,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, store::Error> {
        self.inner.line_hosts(level, after, limit)
    }

    fn line_to(
        &self,
        level: Priority,
        host: &str,
        limit: usize,
    ) -> Result<Vec<Queued>, store::Error> {
        self.inner.line_to(level, host, limit)
    }

    fn count_ahead(&self, job: &Job, limit: usize) -> Result<u64, store::Error> {
        self.inner.count_ahead(job, limit)
    }

    fn retrying(
        &self,
        after: Option<(Timestamp, JobId)>,
        limit: usize,
    ) -> Result<Vec<Job>, store::Error> {
        self.inner.retrying(after, limit)
    }

    fn put_off(&self, limit: usize) -> Result<Vec<Job>, store::Error> {
        self.inner.put_off(limit)
    }

    fn disconnected(&self, after: Option<JobId>, limit: usize) -> Result<Vec<JobId>, store::Error> {
        self.inner.disconnected(after, limit)
    }

    fn clock(&self) -> Result<Option<ClockMark>, store::Error> {
        self.inner.clock()
    }

    fn interrupted(&self, after: Option<JobId>, limit: usize) -> Result<Vec<Job>, store::Error> {
        self.inner.interrupted(after, limit)
    }

    fn files(&self, job: JobId, from: u32, limit: usize) -> Result<Vec<File>, store::Error> {
        self.inner.files(job, from, limit)
    }

    fn missing_files(
        &self,
        job: JobId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<File>, store::Error> {
        self.inner.missing_files(job, from, limit)
    }

    fn credentials(&self, job: JobId) -> Result<Vec<Credentials>, store::Error> {
        self.inner.credentials(job)
    }

    fn headers(&self, job: JobId) -> Result<Option<Secret>, store::Error> {
        self.inner.headers(job)
    }

    fn file_at(&self, job: JobId, path: &std::path::Path) -> Result<Option<u32>, store::Error> {
        self.inner.file_at(job, path)
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, store::Error> {
        self.inner.events(after, limit)
    }
}

/// An engine, its store, and a server that sends `head` to everybody and then
/// nothing more.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    store: Arc<Moody>,
    pub(super) engine: Engine,
    pub(super) url: String,
    pub(super) anna: Caller,
    /// How many connections the server has had.
    pub(super) asked: Arc<AtomicUsize>,
}

impl Bench {
    pub(super) async fn new(head: &'static str) -> Self {
        Self::with(head, EngineSettings::default()).await
    }

    async fn with(head: &'static str, settings: EngineSettings) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["root", "state"] {
            std::fs::create_dir(at(name)).expect("made");
        }
        let store = Arc::new(Moody {
            inner: Sqlite::open(&at("jobs"), Arc::new(Vault::for_test(1))).expect("opened"),
            fails: AtomicBool::new(false),
            keeps: AtomicUsize::new(usize::MAX),
            places: Arc::new(Semaphore::new(1)),
        });
        let transfer = TransferSettings {
            allow_addresses: vec![Network::try_from("127.0.0.1".to_owned()).expect("address")],
            ..TransferSettings::default()
        };
        let files = FilesSettings {
            write_roots: vec![at("root")],
            read_roots: vec![at("root")],
            ..FilesSettings::default()
        };
        let mover = Mover::new(&transfer, &files, &at("state"), &[]).expect("usable");
        let shared: Arc<dyn Store> = Arc::<Moody>::clone(&store);
        let unbounded = Box::new(|_: &Owner| Bounds::default());
        let engine = Engine::start(settings, shared, mover, unbounded)
            .await
            .expect("started");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/f", listener.local_addr().expect("bound"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let mut request = [0; 4_096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(head.as_bytes()).await;
                open.push(socket);
            }
        });
        let anna = Caller::for_test("anna", Whose::Own);
        Self {
            folder,
            store,
            engine,
            url,
            anna,
            asked,
        }
    }

    pub(super) async fn job(&self) -> JobId {
        self.job_with("f", JobOptions::default()).await
    }

    async fn job_with(&self, name: &str, options: JobOptions) -> JobId {
        let wish = Wish {
            options,
            suspended: false,
            ..self.wish(name)
        };
        self.engine.create(&self.anna, wish).await.expect("made")
    }

    /// A job of one file that waits for its Resume.
    pub(super) fn wish(&self, name: &str) -> Wish {
        let path = self.folder.path().join("root").join(name);
        Wish {
            display_name: "a".to_owned(),
            files: vec![WishedFile {
                remote_url: self.url.clone(),
                local_file: path.display().to_string(),
                ..WishedFile::default()
            }],
            suspended: true,
            ..Wish::default()
        }
    }

    pub(super) async fn reaches(&self, id: JobId, state: State) {
        for _ in 0..1_000 {
            if self.engine.job(&self.anna, id).expect("there").state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the job does not reach {state:?}");
    }
}

mod model;
mod waiting;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_stop_ends_transfers_though_the_store_fails() {
    let bench = Bench::new("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nx").await;
    let id = bench.job().await;
    bench.reaches(id, State::Transferring).await;
    bench.store.fails.store(true, Ordering::Relaxed);
    let stopped = timeout(SOON, bench.engine.stop()).await;
    assert!(stopped.is_ok(), "the stop waits for the transfer");
}

#[tokio::test]
async fn nobody_waits_for_a_job_that_is_being_completed() {
    let bench = Bench::new("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
    let id = bench.job().await;
    bench.reaches(id, State::Transferred).await;
    let held = bench.store.places.acquire().await.expect("open");
    let complete = |engine: Engine, anna: Caller| {
        tokio::spawn(async move { engine.command(&anna, id, Command::Complete).await })
    };
    let first = complete(bench.engine.clone(), bench.anna.clone());
    let path = bench.folder.path().join("root/f");
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // As the scheduler does: it must not stand still meanwhile.
    let late = timeout(SOON, bench.engine.core.advance(id, Input::Start)).await;
    assert_eq!(late.expect("at once").ok(), Some(Effect::Unchanged));
    let suspend = bench.engine.command(&bench.anna, id, Command::Suspend);
    let refused = timeout(SOON, suspend).await.expect("at once");
    assert!(matches!(
        refused,
        Err(Error::Refused {
            code: Hresult::BG_E_INVALID_STATE,
            ..
        })
    ));
    let second = complete(bench.engine.clone(), bench.anna.clone());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!first.is_finished() && !second.is_finished());
    drop(held);
    assert!(first.await.expect("no panic").is_ok());
    assert!(second.await.expect("no panic").is_ok());
    assert!(matches!(
        bench.engine.job(&bench.anna, id),
        Err(Error::NotFound)
    ));
    bench.engine.stop().await;
}

#[tokio::test]
async fn whoever_waits_for_a_complete_that_fails_is_told_so() {
    let bench = Bench::new("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
    let id = bench.job().await;
    bench.reaches(id, State::Transferred).await;
    // Nobody can put a file in the place of a folder.
    std::fs::create_dir(bench.folder.path().join("root/f")).expect("made");
    let settling = bench.engine.core.settling.hold(id).await;
    let complete = || {
        let (engine, anna) = (bench.engine.clone(), bench.anna.clone());
        tokio::spawn(async move { engine.command(&anna, id, Command::Complete).await })
    };
    let (first, second) = (complete(), complete());
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(settling);
    for told in [first.await, second.await] {
        assert!(matches!(
            told.expect("no panic"),
            Err(Error::Refused {
                code: Hresult::E_ACCESSDENIED,
                ..
            })
        ));
    }
    bench.engine.stop().await;
}
