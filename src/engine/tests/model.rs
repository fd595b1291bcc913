//! Random steps of the engine and its store (commands, reports, failures, clocks,
//! faults of the store, restarts) against a reference that is written anew.
//!
//! Each step runs to its end with the time as the test has set it. What the
//! transfers say is played; it goes the way of real ones. `SEED=N` repeats one.

#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers by chance, all of them small"
)]

mod reference;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use self::reference::Expected;
use self::reference::Fault;
use self::reference::Held;
use self::reference::Patience;
use self::reference::Piece;
use self::reference::Said;
use self::reference::Told;
use self::reference::Wanted;
use self::reference::World;
use super::*;
use crate::bits::Circumstances;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Intent;
use crate::bits::OptionChange;
use crate::bits::Validator;
use crate::engine::runner::played::End;
use crate::engine::runner::played::Played;
use crate::engine::runner::played::Stage;
use crate::engine::scheduler::Turns;
use crate::transfer::Failure;
use crate::transfer::FailureKind;

/// Seeds that have shown something; they run first.
const KEPT: &[u64] = &[5, 6, 13, 67, 137, 174];

const SEEDS: u64 = 200;

const STEPS: usize = 500;

const THREADS: u64 = 2;

#[test]
fn a_hundred_thousand_steps_agree_with_the_reference() {
    if let Ok(seed) = std::env::var("SEED") {
        return Play::new(seed.parse().expect("a number")).run(STEPS);
    }
    for seed in KEPT {
        Play::new(*seed).run(STEPS);
    }
    let plays = |first: u64| {
        move || {
            (first..SEEDS)
                .step_by(THREADS as usize)
                .for_each(|seed| Play::new(seed).run(STEPS));
        }
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|first| std::thread::spawn(plays(first)))
        .collect();
    for thread in threads {
        assert!(thread.join().is_ok(), "the seed is shown above");
    }
}

/// One queue, and what it must be.
struct Play {
    seed: u64,
    dice: Dice,
    settings: EngineSettings,
    mover: Mover,
    core: Option<Arc<Core>>,
    store: Option<Arc<Moody>>,
    turns: Turns,
    world: World,
    /// In the order in which they were made.
    jobs: Vec<JobId>,
    /// Their runs have ended, but hold their slots.
    lingering: BTreeSet<JobId>,
    /// How runs ended that could not be kept yet; none: well.
    owed: BTreeMap<JobId, Option<Fault>>,
    made: usize,
    log: Vec<String>,
    runtime: Option<tokio::runtime::Runtime>,
    folder: tempfile::TempDir,
}

impl Drop for Play {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let shown = if std::env::var("SEED").is_ok() {
                usize::MAX
            } else {
                25
            };
            let from = self.log.len().saturating_sub(shown);
            eprintln!(
                "SEED={} after {} steps, the last of them:",
                self.seed,
                self.log.len()
            );
            for line in &self.log[from..] {
                eprintln!("  {line}");
            }
        }
    }
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66);
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        }
        .expect("folder");
        for name in ["root", "state", "sources"] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        std::fs::write(folder.path().join("sources/s"), b"what is sent").expect("written");
        let transfer = TransferSettings {
            allow_addresses: vec![Network::try_from("127.0.0.1".to_owned()).expect("address")],
            ..TransferSettings::default()
        };
        let files = FilesSettings {
            write_roots: vec![folder.path().join("root")],
            read_roots: vec![folder.path().join("sources")],
            ..FilesSettings::default()
        };
        let mover =
            Mover::new(&transfer, &files, &folder.path().join("state"), &[]).expect("usable");
        let settings = EngineSettings {
            running_jobs: 1 + dice.below(4),
            foreground_jobs: 1 + dice.below(3),
            running_jobs_per_user: *dice.one_of(&[0, 0, 1, 2]),
            running_jobs_per_host: *dice.one_of(&[0, 0, 1, 2]),
            time_slice_s: *dice.one_of(&[60, 300]),
            max_download_time_s: *dice.one_of(&[0, 3_600, 7_776_000]),
            ..EngineSettings::default()
        };
        let now = Now {
            date: Timestamp::from_ticks(134_000_000_000_000_000),
            steady: Timestamp::from_ticks(120_000_000_000_000_000),
        };
        let world = World {
            now,
            jobs: BTreeMap::new(),
            slots: BTreeMap::new(),
            is_up: true,
            has_route: true,
            usual_time_limit_s: settings.max_download_time_s,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        Self {
            seed,
            dice,
            settings,
            mover,
            core: None,
            store: None,
            turns: Turns::default(),
            world,
            jobs: Vec::new(),
            lingering: BTreeSet::new(),
            owed: BTreeMap::new(),
            made: 0,
            log: Vec::new(),
            runtime: Some(runtime),
            folder,
        }
    }

    fn run(mut self, steps: usize) {
        let runtime = self.runtime.take().expect("there");
        runtime.block_on(self.start());
        for step in 0..steps {
            runtime.block_on(self.step());
            self.compare(step % 25 == 24);
        }
        runtime.block_on(self.restart());
        self.compare(true);
    }

    fn core(&self) -> Arc<Core> {
        Arc::clone(self.core.as_ref().expect("started"))
    }

    fn stage(core: &Core) -> &Stage {
        core.stage.as_ref().expect("there is a stage")
    }

    fn note(&mut self, what: impl fmt::Display) {
        self.log.push(what.to_string());
    }

    /// Lets the store keep `count` commits and fail after them.
    fn keep(&self, count: usize) -> Patience {
        let store = self.store.as_ref().expect("open");
        store.keeps.store(count, Ordering::Relaxed);
        Patience(count)
    }

    fn patience(&mut self) -> Patience {
        let count = if self.dice.percent(12) {
            self.dice.below(3)
        } else {
            usize::MAX
        };
        if count < usize::MAX {
            self.note(format_args!("the store fails after {count}"));
        }
        self.keep(count)
    }

    async fn start(&mut self) {
        let path = self.folder.path().join("jobs");
        let store = Arc::new(Moody {
            inner: Sqlite::open(&path, Arc::new(Vault::for_test(1))).expect("opened"),
            fails: AtomicBool::new(false),
            keeps: AtomicUsize::new(usize::MAX),
            places: Arc::new(Semaphore::new(1)),
        });
        let shared: Arc<dyn Store> = Arc::<Moody>::clone(&store);
        let core = Arc::new(Core {
            settings: self.settings.clone(),
            store: shared,
            mover: self.mover.clone(),
            bounds: Box::new(|_: &Owner| Bounds::default()),
            clock: Clock::resume(None),
            network: network::Network::new(),
            desk: Desk::default(),
            settling: Desk::default(),
            runs: Mutex::default(),
            look: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            stage: Some(Stage::default()),
        });
        core.clock.set(self.world.now);
        core.network.set(self.world.has_route);
        self.world.is_up = core.network.is_up();
        self.turns = Turns::default();
        settle::recover(&core).await.expect("recovered");
        core.tasks.close();
        core.tasks.wait().await;
        core.tasks.reopen();
        for id in self.world.restart() {
            let mut all = Patience(usize::MAX);
            self.world.settle(id, &mut all);
        }
        let running = self.world.jobs.values().any(Expected::runs);
        assert!(
            !running && core.runs().is_empty(),
            "something runs before a look"
        );
        self.store = Some(store);
        self.core = Some(core);
    }

    async fn restart(&mut self) {
        let core = self.core.take().expect("started");
        self.keep(usize::MAX);
        if self.dice.percent(30) {
            self.note("stops and starts");
            let running: Vec<JobId> = core.runs().keys().copied().collect();
            for id in running {
                core.advance(id, Input::Interrupted).await.expect("kept");
            }
        } else {
            self.note("is killed and starts");
        }
        let plays = std::mem::take(&mut *Self::stage(&core).plays());
        drop(plays);
        self.lingering.clear();
        self.owed.clear();
        assert_eq!(Arc::strong_count(&core), 1);
        drop(core);
        drop(self.store.take());
        self.start().await;
    }

    async fn step(&mut self) {
        // The store keeps spans in milliseconds.
        let span = 1 + self.dice.below(200) as u64;
        self.pass(Duration::from_millis(span));
        self.keep(usize::MAX);
        match self.dice.below(100) {
            0..8 => self.create().await,
            8..12 => self.add_file().await,
            12..18 => self.resume().await,
            18..22 => self.suspend().await,
            22..26 => self.settle(Command::Complete).await,
            26..29 => self.settle(Command::Cancel).await,
            29..36 => self.set().await,
            36..38 => self.take_ownership().await,
            38..60 => self.look().await,
            60..73 => self.say().await,
            73..84 => self.end().await,
            84..87 => self.network().await,
            87..97 => self.clock(),
            97..98 => self.block(),
            _ => self.restart().await,
        }
        // A run that has nothing to do any more ends soon.
        if self.dice.percent(60) {
            self.let_go();
        }
        self.keep(usize::MAX);
    }

    fn pass(&mut self, span: Duration) {
        self.world.now = self.world.now + span;
        self.core().clock.set(self.world.now);
    }

    fn some_job(&mut self) -> Option<JobId> {
        let world = &self.world;
        self.jobs.retain(|id| world.jobs.contains_key(id));
        (!self.jobs.is_empty()).then(|| *self.dice.one_of(&self.jobs))
    }

    /// Mostly its owner, or an administrator.
    fn by(&mut self, id: JobId) -> Caller {
        let owner = self.world.jobs[&id].owner;
        match self.dice.below(10) {
            0 => caller(OWNERS[self.dice.below(OWNERS.len())]),
            1 => caller("root"),
            _ => caller(owner),
        }
    }

    fn wanted(&mut self, percent: usize) -> Wanted {
        let dice = &mut self.dice;
        let now = self.world.now.date;
        let soon = now + Duration::from_secs(dice.below(5_000) as u64);
        Wanted {
            level: dice.percent(percent).then(|| dice.below(4) as u32),
            retry_delay_s: dice
                .percent(percent)
                .then(|| *dice.one_of(&[0, 5, 60, 900])),
            patience_s: dice
                .percent(percent)
                .then(|| *dice.one_of(&[0, 60, 600, 7_200, 1_209_600])),
            time_limit_s: dice
                .percent(percent)
                .then(|| *dice.one_of(&[None, Some(0), Some(90), Some(2_000)])),
            start_after: dice
                .percent(percent)
                .then(|| *dice.one_of(&[None, Some(soon)])),
        }
    }

    fn wished_file(&mut self, is_upload: bool) -> (WishedFile, &'static str) {
        let host = *self.dice.one_of(&HOSTS);
        self.made += 1;
        let local_file = if is_upload {
            self.folder.path().join("sources/s")
        } else {
            self.folder.path().join(format!("root/{}", self.made))
        };
        let file = WishedFile {
            remote_url: format!("http://{host}/{}", self.made),
            local_file: local_file.display().to_string(),
            ..WishedFile::default()
        };
        (file, host)
    }

    async fn create(&mut self) {
        if self.world.jobs.len() >= 14 {
            return;
        }
        let is_upload = self.dice.percent(20);
        let count = if is_upload {
            self.dice.below(2)
        } else {
            self.dice.below(5)
        };
        let (files, hosts): (Vec<_>, Vec<_>) =
            (0..count).map(|_| self.wished_file(is_upload)).unzip();
        let owner = *self.dice.one_of(&OWNERS);
        let suspended = count == 0 || self.dice.percent(30);
        let wanted = self.wanted(25);
        let mut store = self.patience();
        let wish = Wish {
            kind: if is_upload {
                JobType::Upload
            } else {
                JobType::Download
            },
            display_name: "a".to_owned(),
            files,
            suspended,
            changes: changes(&wanted),
            options: JobOptions {
                maximum_download_time_s: wanted.time_limit_s.flatten(),
                start_after: wanted.start_after.flatten(),
                ..JobOptions::default()
            },
            ..Wish::default()
        };
        self.note(format_args!(
            "create for {owner}: {hosts:?}, upload {is_upload}, suspended {suspended}, {wanted:?}"
        ));
        let made = self.core().create(&caller(owner), wish).await;
        match (made, store.keeps()) {
            (Ok(id), true) => {
                let job =
                    Expected::new(owner, is_upload, &hosts, suspended, &wanted, self.world.now);
                self.world.jobs.insert(id, job);
                self.jobs.push(id);
            }
            (Err(Error::Unavailable), false) => {}
            (made, keeps) => panic!("create: {made:?}, the store keeps it: {keeps}"),
        }
    }

    async fn add_file(&mut self) {
        let Some(id) = self.some_job() else { return };
        let by = self.by(id);
        let (file, host) = self.wished_file(self.world.jobs[&id].is_upload);
        let store = self.patience();
        self.note(format_args!("{} adds a file at {host} to {id}", by.owner));
        let told = told(self.core().add_file(&by, id, &file).await);
        assert_eq!(
            told,
            self.world.add_file(by.owner.as_str(), id, host, store)
        );
    }

    async fn resume(&mut self) {
        let Some(id) = self.some_job() else { return };
        let (by, store) = (self.by(id), self.patience());
        self.note(format_args!("{} resumes {id}", by.owner));
        let told = told(self.core().command(&by, id, Input::Resume).await);
        assert_eq!(told, self.world.resume(by.owner.as_str(), id, store));
    }

    async fn suspend(&mut self) {
        let Some(id) = self.some_job() else { return };
        let (by, store) = (self.by(id), self.patience());
        self.note(format_args!("{} suspends {id}", by.owner));
        let told = told(self.core().command(&by, id, Input::Suspend).await);
        assert_eq!(told, self.world.suspend(by.owner.as_str(), id, store));
    }

    /// Complete or Cancel; a run says a last word when it is stopped.
    async fn settle(&mut self, command: Command) {
        let Some(id) = self.some_job() else { return };
        let (by, mut store) = (self.by(id), self.patience());
        self.note(format_args!("{} wants {command:?} of {id}", by.owner));
        let (input, intent) = match command {
            Command::Complete => (Input::Complete, Intent::Complete),
            _ => (Input::Cancel, Intent::Cancel),
        };
        let core = self.core();
        let mut played = Self::stage(&core).plays().remove(&id);
        let was_ending = played
            .as_ref()
            .is_some_and(|played| played.run.stop.is_cancelled());
        let is_mute = was_ending || self.lingering.contains(&id);
        let last = (played.is_some() && !is_mute)
            .then(|| self.word(id))
            .flatten();
        let mut forecast = self.world.clone();
        let intends = forecast
            .intend(by.owner.as_str(), id, intent, &mut { store })
            .is_ok();
        if was_ending && intends {
            played = None;
            self.world.slots.remove(&id);
        }
        let running = played.as_ref().filter(|_| !was_ending);
        let stop = running.map(|played| played.run.stop.clone());
        let told = {
            let mut commanded = std::pin::pin!(Arc::clone(&core).command(&by, id, input));
            let stopped = async {
                match &stop {
                    Some(stop) => stop.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                result = &mut commanded => told(result),
                () = stopped => {
                    if let (Some(played), Some((index, said))) = (&mut played, &last) {
                        let _ = played.say(&core, *index as u32, reports(said)).await;
                    }
                    played = None;
                    told(commanded.await)
                }
            }
        };
        let intended = self.world.intend(by.owner.as_str(), id, intent, &mut store);
        let expected = if let Err(told) = intended {
            told
        } else {
            assert!(played.is_none(), "the run goes on");
            if let Some((index, said)) = &last {
                self.world.say(id, *index, said, &mut store);
            }
            self.world.slots.remove(&id);
            self.world.settle(id, &mut store)
        };
        assert_eq!(told, expected);
        if let Some(played) = played {
            Self::stage(&core).plays().insert(id, played);
        } else {
            self.lingering.remove(&id);
            self.owed.remove(&id);
        }
    }

    async fn set(&mut self) {
        let Some(id) = self.some_job() else { return };
        let (by, mut wanted, store) = (self.by(id), self.wanted(35), self.patience());
        if self.dice.percent(3) {
            wanted.level = Some(9);
        }
        self.note(format_args!("{} sets {wanted:?} of {id}", by.owner));
        let mut options = Vec::new();
        options.extend(wanted.time_limit_s.map(OptionChange::MaximumDownloadTime));
        options.extend(wanted.start_after.map(OptionChange::StartAfter));
        let options = WishedOptions {
            changes: options,
            headers: None,
        };
        let engine = Engine {
            core: self.core(),
            scheduler: Arc::default(),
        };
        let told = told(engine.set_all(&by, id, changes(&wanted), options).await);
        assert_eq!(told, self.world.set(by.owner.as_str(), id, &wanted, store));
    }

    async fn take_ownership(&mut self) {
        let Some(id) = self.some_job() else { return };
        let store = self.patience();
        self.note(format_args!("root takes {id}"));
        let engine = Engine {
            core: self.core(),
            scheduler: Arc::default(),
        };
        let told = told(engine.take_ownership(&caller("root"), id).await);
        assert_eq!(told, self.world.take_ownership(id, store));
    }

    async fn look(&mut self) {
        if self.dice.percent(5) {
            self.keep(0);
            self.note("the store fails");
        }
        self.note("looks");
        let core = self.core();
        let fails = self
            .store
            .as_ref()
            .is_some_and(|store| store.keeps.load(Ordering::Relaxed) == 0);
        let looked = slots::look(&core, &mut self.turns, self.world.now).await;
        if looked.is_err() {
            assert!(
                fails,
                "the look fails though the store does not: {looked:?}"
            );
            return;
        }
        self.world.wake_and_end();
        let before = self.world.clone();
        let (mut started, mut preempted) = (Vec::new(), Vec::new());
        for (id, job) in &before.jobs {
            let is = core.stored(*id).expect("there").state;
            if job.runs() && is == State::Queued {
                preempted.push(*id);
            } else if job.is_in_line() && is == State::Connecting {
                started.push(*id);
            }
        }
        for id in &preempted {
            self.world.preempt(*id);
        }
        for id in &started {
            self.world.start(*id);
        }
        self.note(format_args!("  starts {started:?}, preempts {preempted:?}"));
        for levels in [0..1, 1..4] {
            self.check_slots(levels, &before, &started, &preempted);
        }
    }

    /// What must hold of the slots of these levels after a look.
    fn check_slots(
        &self,
        levels: std::ops::Range<u32>,
        before: &World,
        started: &[JobId],
        preempted: &[JobId],
    ) {
        let world = &self.world;
        let is_foreground = levels.contains(&0);
        let limit = |limit: usize| (limit > 0 && !is_foreground).then_some(limit);
        let count = if is_foreground {
            self.settings.foreground_jobs
        } else {
            self.settings.running_jobs
        };
        let (per_user, per_host) = (
            limit(self.settings.running_jobs_per_user),
            limit(self.settings.running_jobs_per_host),
        );
        let level = |id: &JobId| world.jobs[id].level;
        let held: Vec<(&JobId, &Held)> = world
            .slots
            .iter()
            .filter(|(id, _)| levels.contains(&level(id)))
            .collect();
        let of = |owner: &str| {
            held.iter()
                .filter(|(id, _)| world.jobs[id].owner == owner)
                .count()
        };
        let to = |host: &str| held.iter().filter(|(_, slot)| slot.host == host).count();
        let started: Vec<&JobId> = started
            .iter()
            .filter(|id| levels.contains(&level(id)))
            .collect();
        if !started.is_empty() {
            assert!(held.len() <= count, "more run than there are slots");
        }
        for id in &started {
            let job = &world.jobs[id];
            assert!(
                per_user.is_none_or(|limit| of(job.owner) <= limit),
                "more of an account than may run"
            );
            assert!(
                per_host.is_none_or(|limit| to(job.host) <= limit),
                "more from a host than may run"
            );
        }
        let ending = held
            .iter()
            .filter(|(id, slot)| slot.is_ending || self.lingering.contains(id))
            .count();
        let has_limits = per_user.is_some() || per_host.is_some();
        let waiting: Vec<&Expected> = world
            .jobs
            .iter()
            .filter(|(id, job)| {
                job.is_in_line() && levels.contains(&job.level) && !world.slots.contains_key(id)
            })
            .map(|(_, job)| job)
            .filter(|job| {
                per_user.is_none_or(|limit| of(job.owner) < limit)
                    && per_host.is_none_or(|limit| to(job.host) < limit)
            })
            .collect();
        // With limits, who gets a slot that is being freed counts already.
        if !has_limits || ending == 0 {
            assert!(
                held.len() >= count || waiting.is_empty(),
                "a slot is idle while a job waits"
            );
            let first = waiting
                .iter()
                .map(|job| job.level)
                .min()
                .unwrap_or(u32::MAX);
            assert!(
                started.iter().all(|id| level(id) <= first),
                "one that is less urgent starts before one that is more"
            );
        }
        if !has_limits {
            let to_come = ending + count.saturating_sub(held.len());
            for (id, _) in held
                .iter()
                .filter(|(id, slot)| !slot.is_ending && !self.lingering.contains(id))
            {
                let more_urgent = waiting.iter().filter(|job| job.level < level(id)).count();
                assert!(
                    more_urgent <= to_come,
                    "one that is less urgent keeps its slot"
                );
            }
        }
        let slice = Duration::from_secs(self.settings.time_slice_s);
        for id in preempted.iter().filter(|id| levels.contains(&level(id))) {
            let is_over = world.now.steady.since(before.slots[id].started_at) >= slice;
            let has_reason = before.jobs.iter().any(|(other, job)| {
                job.is_in_line()
                    && levels.contains(&job.level)
                    && !before.slots.contains_key(other)
                    && (job.level < level(id) || (job.level == level(id) && is_over))
            });
            assert!(has_reason, "a slot is taken for nobody");
        }
    }

    /// What a transfer may say next of some missing file.
    fn word(&mut self, id: JobId) -> Option<(usize, Vec<Said>)> {
        let files = &self.world.jobs[&id].files;
        let missing: Vec<usize> = (0..files.len()).filter(|at| !files[*at].is_here).collect();
        if missing.is_empty() {
            return None;
        }
        let index = *self.dice.one_of(&missing);
        let (durable, size) = (files[index].durable, files[index].size);
        let dice = &mut self.dice;
        let said = match dice.below(10) {
            0..3 => vec![Said::Began {
                size: dice.percent(80).then(|| durable + dice.below(5_000) as u64),
                restarted: dice.percent(30),
            }],
            3..6 => vec![Said::Durable(
                size.unwrap_or(5_000)
                    .min(durable + dice.below(1_000) as u64),
            )],
            _ => {
                let octets = dice.below(3_000) as u64;
                vec![
                    Said::Began {
                        size: dice.percent(70).then_some(octets),
                        restarted: true,
                    },
                    Said::Done(octets),
                ]
            }
        };
        if let Some(Said::Done(octets)) = said.last()
            && !self.world.jobs[&id].is_upload
        {
            let file = self
                .core()
                .store
                .files(id, index as u32, 1)
                .expect("read")
                .remove(0);
            let number = u128::from_be_bytes(id.to_octets());
            let temporary = file
                .path
                .with_file_name(format!(".bitsd-{number:032x}-{index}.tmp"));
            std::fs::write(temporary, vec![7; *octets as usize]).expect("written");
        }
        Some((index, said))
    }

    /// A run, most often one that is not ending.
    fn some_run(&mut self) -> Option<(JobId, Played)> {
        let core = self.core();
        let mut plays = Self::stage(&core).plays();
        let ids: BTreeSet<JobId> = plays.keys().copied().collect();
        let ids: Vec<JobId> = ids.difference(&self.lingering).copied().collect();
        if ids.is_empty() {
            return None;
        }
        let id = *self.dice.one_of(&ids);
        let played = plays.remove(&id).expect("it is there");
        Some((id, played))
    }

    fn put_back(&self, id: JobId, played: Played) {
        Self::stage(&self.core()).plays().insert(id, played);
    }

    async fn say(&mut self) {
        let Some((id, mut played)) = self.some_run() else {
            return;
        };
        if !played.owes()
            && let Some((index, said)) = self.word(id)
        {
            let mut store = self.patience();
            self.note(format_args!("{id}: file {index}: {said:?}"));
            let kept = played
                .say(&self.core(), index as u32, reports(&said))
                .await
                .is_ok();
            assert_eq!(kept, self.world.say(id, index, &said, &mut store));
            if !kept {
                let failed = Fault::ForNow {
                    code: Hresult::E_FAIL,
                    retry_after: None,
                    is_of_the_way: false,
                };
                self.owed.insert(id, Some(failed));
                if let Some(slot) = self.world.slots.get_mut(&id) {
                    slot.is_ending = true;
                }
            }
        }
        self.put_back(id, played);
    }

    async fn end(&mut self) {
        let Some((id, mut played)) = self.some_run() else {
            return;
        };
        let mut store = self.patience();
        let is_stopped = played.run.stop.is_cancelled();
        let has_all = !self.world.jobs[&id].is_missing_something();
        let fault = self.fault();
        let end = match self.dice.below(10) {
            _ if played.owes() => End::Stopped,
            0..6 if is_stopped => End::Stopped,
            0..6 if has_all => End::Done,
            // It ends by itself only when something fails.
            0..3 => return self.put_back(id, played),
            _ => End::Failed(Some(0), failure(fault)),
        };
        let outcome = match (self.owed.remove(&id), &end) {
            (Some(outcome), _) => Some(outcome),
            (None, End::Failed(..)) => Some(Some(self.world.judged(id, fault))),
            (None, End::Done) => Some(None),
            (None, End::Stopped) => None,
        };
        self.note(format_args!("{id}: ends: {end:?}, so {outcome:?}"));
        let core = self.core();
        let mut next = self.world.clone();
        let mut is_over = true;
        match outcome {
            Some(Some(fault)) => {
                if let Some(slot) = self.world.slots.get_mut(&id) {
                    slot.is_ending = true;
                }
                next.fail(id, fault);
            }
            Some(None) => is_over = next.finish(id),
            None => {}
        }
        let commits = {
            let (old, new) = (&self.world.jobs[&id], &next.jobs[&id]);
            old.state != new.state
        };
        let result = played.end(&core, end).await;
        if commits && !store.keeps() {
            assert!(result.is_err(), "the store has failed");
            self.owed.extend(outcome.map(|outcome| (id, outcome)));
            return self.put_back(id, played);
        }
        let effect = result.expect("kept");
        assert_eq!(effect != Effect::Unchanged, commits);
        self.world.jobs = next.jobs;
        self.put_back(id, played);
        if is_over {
            self.lingering.insert(id);
        }
    }

    fn fault(&mut self) -> Fault {
        let dice = &mut self.dice;
        if dice.percent(20) {
            return Fault::Fatal(Hresult::E_ACCESSDENIED);
        }
        let is_of_the_way = dice.percent(40);
        Fault::ForNow {
            code: if is_of_the_way {
                Hresult::WININET_E_CANNOT_CONNECT
            } else {
                Hresult::E_FAIL
            },
            retry_after: dice
                .percent(30)
                .then(|| Duration::from_secs(dice.below(4_000) as u64)),
            is_of_the_way,
        }
    }

    /// Frees the slots of runs that have ended.
    fn let_go(&mut self) {
        let core = self.core();
        for id in std::mem::take(&mut self.lingering) {
            let played = Self::stage(&core).plays().remove(&id);
            drop(played);
            self.world.slots.remove(&id);
        }
    }

    async fn network(&mut self) {
        let core = self.core();
        if self.dice.percent(50) {
            let has_route = self.dice.percent(60);
            self.note(format_args!("there is a route: {has_route}"));
            self.world.has_route = has_route;
            core.network.set(has_route);
        }
        if self.dice.percent(70) {
            self.note("looks at the network");
            network::look(&core).await.expect("looked");
            self.world.look_at_network();
        }
    }

    fn clock(&mut self) {
        let now = self.world.now;
        let steps = [1, 5, 30, 61, 299, 601, 3_000, 90_000];
        match self.dice.below(10) {
            0..4 => {
                let span = Duration::from_secs(*self.dice.one_of(&steps));
                self.note(format_args!("{span:?} pass"));
                self.pass(span);
            }
            4..8 => self.pass_to_deadline(),
            _ => {
                let ticks = (1 + self.dice.below(200_000) as u64) * 10_000_000;
                let date = if self.dice.percent(50) {
                    now.date.ticks() + ticks
                } else {
                    now.date.ticks() - ticks
                };
                self.note("the calendar is set");
                self.world.now.date = Timestamp::from_ticks(date);
                self.pass(Duration::ZERO);
            }
        }
    }

    /// To what a job waits for, a moment before it, or behind it.
    fn pass_to_deadline(&mut self) {
        let Some(id) = self.some_job() else { return };
        let (job, now) = (&self.world.jobs[&id], self.world.now);
        let limit = job.time_limit_s.unwrap_or(self.world.usual_time_limit_s);
        let span = match (job.state, job.wake_at) {
            (State::Queued, Some(at)) => at.since(now.date),
            (_, Some(at)) => at.since(now.steady),
            (State::Connecting | State::Transferring, _) => {
                let since = job
                    .active_since
                    .map_or(Duration::ZERO, |at| now.steady.since(at));
                Duration::from_secs(limit).saturating_sub(job.spent + since)
            }
            _ => return,
        };
        let tick = Duration::from_millis(1);
        let span = match self.dice.below(3) {
            0 => span.saturating_sub(tick),
            1 => span,
            _ => span + tick,
        };
        // Years would end the patience of all others.
        if span < Duration::from_hours(24 * 20) {
            self.note(format_args!("{span:?} pass, for {id}"));
            self.pass(span);
        }
    }

    /// Puts a folder in the place of a file, or takes it away.
    fn block(&mut self) {
        let Some(id) = self.some_job() else { return };
        let files = self.core().store.files(id, 0, 10).expect("read");
        let job = self.world.jobs.get_mut(&id).expect("there");
        let at = files
            .iter()
            .zip(&mut job.files)
            .find(|(_, piece)| !piece.is_placed);
        let Some((file, piece)) = at.filter(|_| !job.is_upload) else {
            return;
        };
        let was_blocked = piece.is_blocked;
        piece.is_blocked = !was_blocked;
        if was_blocked {
            // Whoever was taken over has it elsewhere.
            std::fs::remove_dir(&file.path).expect("removed");
        } else if std::fs::create_dir(&file.path).is_err() {
            piece.is_blocked = false;
        }
        self.note(format_args!("{id}: a folder comes or goes"));
    }

    /// Everything is as the reference has it.
    fn compare(&self, with_files: bool) {
        let core = self.core();
        let count = core.store.count(None).expect("read");
        assert_eq!(count, self.world.jobs.len() as u64, "jobs");
        let held: BTreeSet<JobId> = core.runs().keys().copied().collect();
        assert!(
            held.iter().eq(self.world.slots.keys()),
            "slots: {held:?}, expected {:?}",
            self.world.slots
        );
        let listed = core
            .store
            .jobs(&Selection::all(), None, 100)
            .expect("read")
            .jobs;
        for (job, _) in &listed {
            let id = job.id;
            let expected = self
                .world
                .jobs
                .get(&id)
                .unwrap_or_else(|| panic!("{id} is still there"));
            let seen = Seen::of(job);
            assert_eq!(
                seen,
                Seen::expected(expected),
                "left the store, right the reference: {id}"
            );
            if with_files || held.contains(&id) {
                let files = core.store.files(id, 0, 50).expect("read");
                let files = files
                    .iter()
                    .map(|file| (file.size, file.durable, file.transferred, file.placed));
                let pieces = expected
                    .files
                    .iter()
                    .map(|one: &Piece| (one.size, one.durable, one.is_here, one.is_placed));
                assert!(
                    files.clone().eq(pieces),
                    "files of {id}: {:?}, expected {:?}",
                    files.collect::<Vec<_>>(),
                    expected.files
                );
            }
        }
        assert_eq!(listed.len() as u64, count, "listed");
    }
}

/// What is compared of a job.
#[derive(Debug, Eq, PartialEq)]
struct Seen {
    owner: String,
    level: u32,
    delays: (Duration, Duration),
    options: (Option<u64>, Option<Timestamp>),
    state: State,
    intent: Option<Intent>,
    error: Option<Hresult>,
    failures: u32,
    stalled_at: Option<Timestamp>,
    wake_at: Option<Timestamp>,
    queued_at: Timestamp,
    host: String,
    active: (Duration, Option<Timestamp>),
    modified_at: Timestamp,
    transferred_at: Option<Timestamp>,
    files: (usize, usize, usize),
    octets: (u64, u64),
}

impl Seen {
    fn of(job: &Job) -> Self {
        Self {
            owner: job.owner.to_string(),
            level: job.priority as u32,
            delays: (job.minimum_retry_delay, job.no_progress_timeout),
            options: (job.options.maximum_download_time_s, job.options.start_after),
            state: job.state,
            intent: job.intent,
            error: job.error.as_ref().map(|error| error.code),
            failures: job.transient_error_count,
            stalled_at: job.stalled_at,
            wake_at: job.wake_at,
            queued_at: job.queued_at,
            host: job.host.clone(),
            active: (job.active_for, job.active_since),
            modified_at: job.modified_at,
            transferred_at: job.transferred_at,
            files: (
                job.files_total as usize,
                job.files_transferred as usize,
                job.files_sized as usize,
            ),
            octets: (job.bytes_known, job.bytes_transferred),
        }
    }

    fn expected(job: &Expected) -> Self {
        let count = |is: &dyn Fn(&&Piece) -> bool| job.files.iter().filter(is).count();
        Self {
            owner: job.owner.to_owned(),
            level: job.level,
            delays: (job.retry_delay, job.patience),
            options: (job.time_limit_s, job.start_after),
            state: job.state,
            intent: job.intent,
            error: job.error,
            failures: job.failures,
            stalled_at: job.stalled_at,
            wake_at: job.wake_at,
            queued_at: job.queued_at,
            host: job.host.to_owned(),
            active: (job.spent, job.active_since),
            modified_at: job.modified_at,
            transferred_at: job.transferred_at,
            files: (
                job.files.len(),
                count(&|file| file.is_here),
                count(&|file| file.size.is_some()),
            ),
            octets: (
                job.files.iter().filter_map(|file| file.size).sum(),
                job.files.iter().map(|file| file.durable).sum(),
            ),
        }
    }
}

/// Numbers by chance, the same for the same seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn caller(name: &str) -> Caller {
    let whose = if name == "root" {
        Whose::All
    } else {
        Whose::Own
    };
    Caller::for_test(name, whose)
}

fn changes(wanted: &Wanted) -> Changes {
    Changes {
        priority: wanted.level,
        minimum_retry_delay_s: wanted.retry_delay_s,
        no_progress_timeout_s: wanted.patience_s,
        ..Changes::default()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it wraps what is awaited")]
fn told(result: Result<(), Error>) -> Told {
    match result {
        Ok(()) => Told::Done,
        Err(Error::NotFound | Error::Denied) => Told::NotFound,
        Err(Error::Refused { code, .. }) => Told::Refused(code),
        Err(Error::Unavailable) => Told::Unavailable,
    }
}

fn reports(said: &[Said]) -> Vec<FileReport> {
    let report = |said: &Said| match *said {
        Said::Began { size, restarted } => FileReport::Began {
            size,
            validator: Validator::default(),
            restarted,
        },
        Said::Durable(octets) => FileReport::Durable(octets),
        Said::Done(octets) => FileReport::Done(octets),
    };
    said.iter().map(report).collect()
}

fn failure(fault: Fault) -> Failure {
    let (kind, code) = match fault {
        Fault::ForNow {
            code, retry_after, ..
        } => (FailureKind::ForNow(retry_after), code),
        Fault::Fatal(code) => (FailureKind::Fatal, code),
        Fault::Disconnected => unreachable!("no transfer says so"),
    };
    Failure {
        kind,
        context: ErrorContext::GeneralTransport,
        code,
        detail: String::new(),
        circumstances: Circumstances::default(),
    }
}

const OWNERS: [&str; 3] = ["anna", "bert", "carl"];

const HOSTS: [&str; 4] = ["h1.test", "h2.test", "h3.test", "127.0.0.1"];
