//! Random changes against a model in memory.

use super::*;

pub(crate) fn random_changes_agree_with_a_model(place: &impl Place) {
    let store = std::cell::RefCell::new(Some(place.open()));
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(commits in prop::collection::vec(
        (prop::collection::vec(step(), 1..8), any::<bool>()), 1..12))| {
        let mut slot = store.borrow_mut();
        let mut model = Model::default();
        let clear = (0..JOBS).map(|number| Change::Remove(plain_job(number).id)).collect();
        commit(&**slot.as_ref().expect("open"), clear).expect("kept");
        for (steps, reopen) in commits {
            let changes: Vec<Change> = steps.iter().map(Step::change).collect();
            for change in &changes {
                model.apply(change);
            }
            commit(&**slot.as_ref().expect("open"), changes).expect("kept");
            if reopen {
                *slot = None;
                *slot = Some(place.open());
            }
            model.check(&**slot.as_ref().expect("open"));
        }
    });
}

/// A change in few words.
#[derive(Clone, Debug)]
enum Step {
    Job {
        job: u32,
        state: State,
        priority: u32,
        at: u64,
        intent: Option<Intent>,
    },
    File {
        job: u32,
        index: u32,
        transferred: bool,
        durable: u64,
        query: bool,
    },
    Progress {
        job: u32,
        index: u32,
        transferred: bool,
        durable: u64,
    },
    Remove(u32),
    Credentials(u32, u16),
    Headers(u32, bool),
    RemotePrefix(u32, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop::sample::select(State::ALL.to_vec());
    let intent = prop::option::of(prop::sample::select(vec![Intent::Complete, Intent::Cancel]));
    prop_oneof![
        4 => (0..JOBS, state, 0..4_u32, 0..50_u64, intent).prop_map(
            |(job, state, priority, at, intent)| Step::Job { job, state, priority, at, intent }
        ),
        4 => (0..JOBS, 0..5_u32, any::<bool>(), any::<u64>(), any::<bool>()).prop_map(
            |(job, index, transferred, durable, query)| {
                Step::File { job, index, transferred, durable, query }
            }
        ),
        4 => (0..JOBS, 0..5_u32, any::<bool>(), any::<u64>()).prop_map(
            |(job, index, transferred, durable)| {
                Step::Progress { job, index, transferred, durable }
            }
        ),
        1 => (0..JOBS).prop_map(Step::Remove),
        1 => (0..JOBS, 0..2_u16).prop_map(|(job, target)| Step::Credentials(job, target)),
        1 => (0..JOBS, any::<bool>()).prop_map(|(job, some)| Step::Headers(job, some)),
        1 => (0..JOBS, 0..PREFIXES.len()).prop_map(|(job, at)| Step::RemotePrefix(job, at)),
    ]
}

impl Step {
    fn change(&self) -> Change {
        match *self {
            Self::Job {
                job,
                state,
                priority,
                at,
                intent,
            } => Change::Job(altered(&plain_job(job), |parts| {
                parts.state = state;
                parts.priority = Priority::from_number(priority).expect("a priority");
                parts.queued_at = Timestamp::from_ticks(at);
                parts.wake_at = at.is_multiple_of(2).then(|| Timestamp::from_ticks(at));
                parts.intent = intent;
            })),
            Self::File {
                job,
                index,
                transferred,
                durable,
                query,
            } => {
                let mut file = plain_file(index, &format!("/data/{index}"));
                file.transferred = transferred;
                file.durable = durable;
                if query {
                    file.remote_url.push_str("?sig=1");
                }
                Change::File(plain_job(job).id, file)
            }
            Self::Progress {
                job,
                index,
                transferred,
                durable,
            } => {
                let mut file = plain_file(index, "/not/looked/at");
                file.transferred = transferred;
                file.durable = durable;
                Change::Progress(plain_job(job).id, file)
            }
            Self::Remove(job) => Change::Remove(plain_job(job).id),
            Self::Credentials(job, target) => Change::Credentials(
                plain_job(job).id,
                credentials(AuthTarget::from_number(target).expect("a target"), "p"),
            ),
            Self::Headers(job, some) => {
                let headers = some.then(|| Secret::new(format!("X: {job}")));
                Change::Headers(plain_job(job).id, headers)
            }
            Self::RemotePrefix(job, at) => {
                let (old, new) = PREFIXES[at];
                Change::RemotePrefix(plain_job(job).id, old.to_owned(), new.to_owned())
            }
        }
    }
}

/// Beginnings of addresses, and what comes in their place.
const PREFIXES: [(&str, &str); 4] = [
    ("http://", "https://é/%/_"),
    ("https://é/%/_", "http://"),
    ("https://É", "http://other"),
    ("h", "hh"),
];

/// The store as it should be, in memory.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<JobId, Job>,
    files: BTreeMap<(JobId, u32), File>,
    credentials: BTreeMap<(JobId, u8), Credentials>,
    headers: BTreeMap<JobId, Secret>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Job(job) => {
                self.jobs.insert(job.id, job.clone());
            }
            Change::File(job, file) => {
                self.files.insert((*job, file.index), file.clone());
            }
            Change::Progress(job, file) => {
                if let Some(known) = self.files.get_mut(&(*job, file.index)) {
                    known.transferred = file.transferred;
                    known.durable = file.durable;
                }
            }
            Change::Remove(job) => {
                self.jobs.remove(job);
                self.files.retain(|(of, _), _| of != job);
                self.credentials.retain(|(of, _), _| of != job);
                self.headers.remove(job);
            }
            Change::Credentials(job, credentials) => {
                self.credentials
                    .insert((*job, credentials.target as u8), credentials.clone());
            }
            Change::Headers(job, Some(headers)) => {
                self.headers.insert(*job, headers.clone());
            }
            Change::Headers(job, None) => {
                self.headers.remove(job);
            }
            Change::RemotePrefix(job, old, new) => {
                let files = self.files.iter_mut().filter(|((of, _), _)| of == job);
                for (_, file) in files {
                    if let Some(rest) = file.remote_url.strip_prefix(old) {
                        file.remote_url = [new.as_str(), rest].concat();
                    }
                }
            }
            Change::RemoveCredentials(..) | Change::Clock(_) | Change::Event(_) => {}
        }
    }

    fn check_line(&self, store: &dyn Store) {
        for level in (0..4).filter_map(Priority::from_number) {
            let mut line: Vec<&Job> = self
                .jobs
                .values()
                .filter(|job| {
                    job.state == State::Queued && job.intent.is_none() && job.wake_at.is_none()
                })
                .filter(|job| job.priority == level)
                .collect();
            line.sort_by_key(|job| (job.owner.clone(), job.queued_at, job.id));
            let mut seen = Vec::new();
            for owner in store.line_owners(level, None, 100).expect("read") {
                let of_him = store.line_of(level, &owner, 100).expect("read");
                assert!(!of_him.is_empty() && of_him.iter().all(|job| job.owner == owner));
                seen.extend(of_him.into_iter().map(|job| job.id));
            }
            assert_eq!(seen, line.iter().map(|job| job.id).collect::<Vec<_>>());
        }
    }

    fn check(&self, store: &dyn Store) {
        let sorted = |wanted: &dyn Fn(&&Job) -> bool, key: &dyn Fn(&Job) -> (u8, u64)| {
            let mut jobs: Vec<Job> = self.jobs.values().filter(wanted).cloned().collect();
            jobs.sort_by_key(|job| (key(job), job.id));
            jobs
        };
        let by_id = |_: &Job| (0, 0);
        assert_eq!(
            listed(store, &Selection::all(), 100),
            sorted(&|_| true, &by_id)
        );
        assert_eq!(store.count(None).expect("read"), self.jobs.len() as u64);
        self.check_line(store);
        for (state, found) in [
            (State::TransientError, store.retrying(None, 100)),
            (State::Queued, store.put_off(100)),
        ] {
            assert_eq!(
                found.expect("read"),
                sorted(
                    &|job| job.state == state && job.intent.is_none() && job.wake_at.is_some(),
                    &|job| (0, job.wake_at.unwrap_or_default().ticks())
                )
            );
        }
        assert_eq!(
            store.interrupted(None, 100).expect("read"),
            sorted(
                &|job| job.state.is_running() || job.intent.is_some(),
                &by_id
            )
        );
        for number in 0..JOBS {
            let id = plain_job(number).id;
            let files = |missing: bool| -> Vec<File> {
                self.files
                    .range((id, 0)..=(id, u32::MAX))
                    .map(|(_, file)| file.clone())
                    .filter(|file| !missing || !file.transferred)
                    .collect()
            };
            assert_eq!(store.files(id, 0, 100).expect("read"), files(false));
            assert_eq!(store.missing_files(id, 0, 100).expect("read"), files(true));
            let credentials: Vec<Credentials> = self
                .credentials
                .range((id, 0)..=(id, u8::MAX))
                .map(|(_, credentials)| credentials.clone())
                .collect();
            assert_eq!(store.credentials(id).expect("read"), credentials);
            let headers = self.headers.get(&id).cloned();
            assert_eq!(store.headers(id).expect("read"), headers);
        }
    }
}

/// Jobs that random changes are about.
const JOBS: u32 = 5;
