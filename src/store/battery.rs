//! What every store must hold: one battery of tests, run against each.

mod model;
mod selections;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::Change;
use super::ClockMark;
use super::Error;
use super::Event;
use super::Selection;
use super::Store;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::CertificateChoice;
use crate::bits::Circumstances;
use crate::bits::ClientCertificate;
use crate::bits::Credentials;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::Hresult;
use crate::bits::Intent;
use crate::bits::Job;
use crate::bits::JobError;
use crate::bits::JobId;
use crate::bits::JobOptions;
use crate::bits::JobParts;
use crate::bits::JobType;
use crate::bits::NewFile;
use crate::bits::Owner;
use crate::bits::Phase;
use crate::bits::Priority;
use crate::bits::Proxy;
use crate::bits::ReplyFile;
use crate::bits::ReplyProgress;
use crate::bits::Secret;
use crate::bits::SourceStamp;
use crate::bits::Span;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::bits::Upload;
use crate::bits::Validator;

/// A place where a store lies between openings.
pub(crate) trait Place {
    /// Opens the store; the one opened before has been dropped.
    fn open(&self) -> Box<dyn Store>;
}

/// Makes the tests of the battery for the place that `$place` gives.
macro_rules! battery {
    ($place:expr) => {
        $crate::store::battery::battery!(@ $place,
            what_was_committed_is_there_after_reopening
            what_was_noted_is_read_like_all_else
            a_commit_with_a_change_that_fails_keeps_nothing
            many_commits_at_once_are_all_kept
            a_dropped_commit_is_kept
            pages_follow_each_other_without_gap
            every_selection_finds_what_a_look_at_all_jobs_finds
            a_place_from_elsewhere_does_no_harm
            owners_are_those_who_have_jobs
            counts_follow_the_jobs
            the_line_is_by_priority_owner_and_age
            the_line_is_by_host_too
            waiting_jobs_come_by_the_time_they_wake
            jobs_without_a_network_are_found
            the_clock_is_kept
            interrupted_jobs_are_those_that_ran_or_have_an_intent
            missing_files_are_those_not_yet_here
            a_file_is_found_by_its_path_in_any_case
            a_removed_job_leaves_its_events_only
            credentials_replace_those_of_the_same_target_and_scheme
            events_have_growing_sequences
            random_changes_agree_with_a_model
        );
    };
    (@ $place:expr, $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::store::battery::$name(&$place);
            }
        )*
    };
}

pub(crate) use battery;
pub(crate) use model::random_changes_agree_with_a_model;
pub(crate) use selections::a_place_from_elsewhere_does_no_harm;
pub(crate) use selections::every_selection_finds_what_a_look_at_all_jobs_finds;
pub(crate) use selections::owners_are_those_who_have_jobs;

pub(crate) fn what_was_noted_is_read_like_all_else(place: &impl Place) {
    let store = place.open();
    let [noted, committed, last] = [1, 2, 3].map(plain_job);
    in_runtime(store.note(vec![Change::Job(noted.clone())])).expect("kept");
    assert_eq!(store.job(noted.id).expect("read"), Some(noted.clone()));
    commit(&*store, vec![Change::Job(committed.clone())]).expect("kept");
    in_runtime(store.note(vec![Change::Job(last.clone())])).expect("kept");
    drop(store);
    let store = place.open();
    for job in [noted, committed, last] {
        assert_eq!(store.job(job.id).expect("read"), Some(job));
    }
}

pub(crate) fn what_was_committed_is_there_after_reopening(place: &impl Place) {
    let (store, job) = (place.open(), rich_job(1));
    let files = [rich_file(0), plain_file(1, "/data/b")];
    let automatic = altered(&plain_job(2), |parts| parts.proxy = Proxy::Automatic);
    commit(
        &*store,
        vec![
            Change::Job(automatic.clone()),
            Change::Job(job.clone()),
            Change::File(job.id, files[0].clone()),
            Change::File(job.id, files[1].clone()),
            Change::Credentials(job.id, credentials(AuthTarget::Server, "hush")),
            Change::Event(event(job.id, "created")),
        ],
    )
    .expect("kept");
    drop(store);
    let store = place.open();
    let read = store.job(automatic.id).expect("read");
    assert_eq!(read, Some(automatic));
    assert_eq!(store.job(job.id).expect("read"), Some(job.clone()));
    assert_eq!(store.files(job.id, 0, 10).expect("read"), files);
    assert_eq!(store.files(job.id, 1, 10).expect("read"), files[1..]);
    assert_eq!(store.files(job.id, 0, 1).expect("read"), files[..1]);
    assert_eq!(
        store.credentials(job.id).expect("read"),
        [credentials(AuthTarget::Server, "hush")]
    );
    assert_eq!(store.events(0, 10).expect("read").len(), 1);
    assert_eq!(store.job(JobId::new()).expect("read"), None);
}

pub(crate) fn a_commit_with_a_change_that_fails_keeps_nothing(place: &impl Place) {
    let store = place.open();
    let (good, bad) = (plain_job(1), plain_job(2));
    let outcomes = in_runtime(async {
        let first = store.commit(vec![Change::Job(good.clone())]);
        let second = store.commit(vec![
            Change::Job(bad.clone()),
            Change::Event(event(bad.id, "created")),
            Change::Event(event(bad.id, FAILS)),
        ]);
        let third = store.commit(vec![Change::Event(event(good.id, "created"))]);
        [first.await, second.await, third.await]
    });
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    assert!(
        matches!(outcomes[1], Err(Error::Unavailable(_))),
        "{outcomes:?}"
    );
    assert_eq!(store.job(bad.id).expect("read"), None);
    assert_eq!(store.count(None).expect("read"), 1);
    assert_eq!(store.events(0, 10).expect("read").len(), 1);
}

pub(crate) fn many_commits_at_once_are_all_kept(place: &impl Place) {
    let store = place.open();
    let jobs: Vec<Job> = (0..500).map(plain_job).collect();
    std::thread::scope(|scope| {
        for share in jobs.chunks(100) {
            let store = &store;
            scope.spawn(move || {
                in_runtime(async {
                    let waiting: Vec<_> = share
                        .iter()
                        .map(|job| store.commit(vec![Change::Job(job.clone())]))
                        .collect();
                    for committed in waiting {
                        committed.await.expect("kept");
                    }
                });
            });
        }
    });
    drop(store);
    let store = place.open();
    assert_eq!(store.count(None).expect("read"), 500);
    for job in jobs {
        assert_eq!(store.job(job.id).expect("read"), Some(job));
    }
}

pub(crate) fn a_dropped_commit_is_kept(place: &impl Place) {
    let (store, job) = (place.open(), plain_job(1));
    drop(store.commit(vec![Change::Job(job.clone())]));
    drop(store);
    assert_eq!(place.open().job(job.id).expect("read"), Some(job));
}

pub(crate) fn pages_follow_each_other_without_gap(place: &impl Place) {
    let store = place.open();
    let jobs: Vec<Job> = (0..25).map(plain_job).collect();
    commit(
        &*store,
        jobs.iter().rev().cloned().map(Change::Job).collect(),
    )
    .expect("kept");
    for owner in [None, Some(Owner::new("owner 1"))] {
        let selection = Selection::all();
        let seen = listed(&*store, &selection.of(owner.as_ref()), 4);
        let mut expected: Vec<Job> = jobs
            .iter()
            .filter(|job| owner.as_ref().is_none_or(|owner| job.owner == *owner))
            .cloned()
            .collect();
        expected.sort_by_key(|job| job.id);
        assert_eq!(seen, expected);
    }
}

pub(crate) fn counts_follow_the_jobs(place: &impl Place) {
    let store = place.open();
    let count = |owner: &str| store.count(Some(&Owner::new(owner))).expect("read");
    assert_eq!(store.count(None).expect("read"), 0);
    let jobs: Vec<Job> = (0..6).map(plain_job).collect();
    commit(&*store, jobs.iter().cloned().map(Change::Job).collect()).expect("kept");
    // Committed again: still one job.
    commit(&*store, vec![Change::Job(jobs[0].clone())]).expect("kept");
    assert_eq!(store.count(None).expect("read"), 6);
    assert_eq!((count("owner 0"), count("owner 1"), count("")), (2, 2, 0));
    let moved = altered(&jobs[0], |parts| parts.owner = Owner::new("owner 1"));
    commit(
        &*store,
        vec![Change::Job(moved), Change::Remove(jobs[1].id)],
    )
    .expect("kept");
    commit(&*store, vec![Change::Remove(jobs[1].id)]).expect("kept");
    assert_eq!(store.count(None).expect("read"), 5);
    assert_eq!((count("owner 0"), count("owner 1")), (1, 2));
}

pub(crate) fn the_line_is_by_priority_owner_and_age(place: &impl Place) {
    let store = place.open();
    let queued = |number, priority, queued_at, state, intent| {
        altered(&plain_job(number), |parts| {
            parts.owner = Owner::new(if number == 7 { "berta" } else { "anna" });
            parts.priority = priority;
            parts.queued_at = Timestamp::from_ticks(queued_at);
            parts.state = state;
            parts.intent = intent;
        })
    };
    let jobs = [
        queued(1, Priority::Normal, 5, State::Queued, None),
        queued(2, Priority::Normal, 4, State::Queued, None),
        queued(3, Priority::Foreground, 9, State::Queued, None),
        queued(4, Priority::High, 1, State::Suspended, None),
        queued(5, Priority::High, 1, State::Queued, Some(Intent::Cancel)),
        queued(6, Priority::Normal, 4, State::Queued, None),
        queued(7, Priority::Normal, 1, State::Queued, None),
    ];
    commit(&*store, jobs.iter().cloned().map(Change::Job).collect()).expect("kept");
    let (anna, berta) = (Owner::new("anna"), Owner::new("berta"));
    let owners =
        |level, after: Option<&Owner>, limit| store.line_owners(level, after, limit).expect("read");
    assert_eq!(
        owners(Priority::Normal, None, 9),
        [anna.clone(), berta.clone()]
    );
    assert_eq!(
        owners(Priority::Normal, None, 1),
        std::slice::from_ref(&anna)
    );
    assert_eq!(
        owners(Priority::Normal, Some(&anna), 9),
        std::slice::from_ref(&berta)
    );
    assert_eq!(owners(Priority::High, None, 9), []);
    let order = |owner, limit| -> Vec<JobId> {
        let line = store.line_of(Priority::Normal, owner, limit).expect("read");
        line.into_iter().map(|job| job.id).collect()
    };
    assert_eq!(order(&anna, 9), [jobs[1].id, jobs[5].id, jobs[0].id]);
    assert_eq!(order(&anna, 2), [jobs[1].id, jobs[5].id]);
    assert_eq!(order(&berta, 9), [jobs[6].id]);
    let ahead = |at: usize, limit| store.count_ahead(&jobs[at], limit).expect("read");
    assert_eq!(
        [ahead(1, 9), ahead(5, 9), ahead(0, 9), ahead(0, 1)],
        [0, 1, 2, 1]
    );
    let started = altered(&jobs[1], |parts| parts.state = State::Connecting);
    commit(&*store, vec![Change::Job(started)]).expect("kept");
    assert_eq!(order(&anna, 9), [jobs[5].id, jobs[0].id]);
}

pub(crate) fn the_line_is_by_host_too(place: &impl Place) {
    let store = place.open();
    let queued = |number: u32, host: &str| {
        altered(&plain_job(number), |parts| {
            parts.state = State::Queued;
            host.clone_into(&mut parts.host);
        })
    };
    let jobs = [
        queued(1, "b"),
        queued(2, ""),
        queued(4, "b"),
        queued(5, "c"),
    ];
    commit(&*store, jobs.iter().cloned().map(Change::Job).collect()).expect("kept");
    let hosts = |after, limit| {
        store
            .line_hosts(Priority::Normal, after, limit)
            .expect("read")
    };
    assert_eq!(hosts(None, 9), ["", "b", "c"]);
    assert_eq!(hosts(Some(""), 1), ["b"]);
    assert_eq!(hosts(Some("c"), 1), [""; 0]);
    let to = |host| -> Vec<JobId> {
        let line = store.line_to(Priority::Normal, host, 9).expect("read");
        line.into_iter().map(|job| job.id).collect()
    };
    assert_eq!(to("b"), [jobs[0].id, jobs[2].id]);
    let moved = altered(&jobs[0], |parts| "c".clone_into(&mut parts.host));
    commit(&*store, vec![Change::Job(moved)]).expect("kept");
    assert_eq!(to("b"), [jobs[2].id]);
}

pub(crate) fn jobs_without_a_network_are_found(place: &impl Place) {
    let store = place.open();
    let failed = |number, code, state| {
        altered(&plain_job(number), |parts| {
            parts.state = state;
            parts.wake_at = Some(Timestamp::from_ticks(1));
            parts.error = Some(JobError {
                context: ErrorContext::GeneralTransport,
                code,
                file: None,
                detail: String::new(),
                circumstances: Circumstances::default(),
            });
        })
    };
    let lost = Hresult::BG_E_NETWORK_DISCONNECTED;
    let jobs = [
        failed(1, lost, State::TransientError),
        failed(2, Hresult::E_FAIL, State::TransientError),
        failed(3, lost, State::Error),
        failed(4, lost, State::TransientError),
    ];
    commit(&*store, jobs.iter().cloned().map(Change::Job).collect()).expect("kept");
    let found = |after, limit| store.disconnected(after, limit).expect("read");
    assert_eq!(found(None, 9), [jobs[0].id, jobs[3].id]);
    assert_eq!(found(None, 1), [jobs[0].id]);
    assert_eq!(found(Some(jobs[0].id), 9), [jobs[3].id]);
}

pub(crate) fn the_clock_is_kept(place: &impl Place) {
    let mark = |steady| ClockMark {
        date: Timestamp::from_ticks(9),
        steady: Timestamp::from_ticks(steady),
        boot: "b".to_owned(),
        since_boot_ms: 7,
    };
    let store = place.open();
    assert_eq!(store.clock().expect("read"), None);
    for steady in [4, 5] {
        commit(&*store, vec![Change::Clock(mark(steady))]).expect("kept");
    }
    drop(store);
    assert_eq!(place.open().clock().expect("read"), Some(mark(5)));
}

pub(crate) fn waiting_jobs_come_by_the_time_they_wake(place: &impl Place) {
    let store = place.open();
    let waiting = |number, wake_at, state, intent| {
        altered(&plain_job(number), |parts| {
            parts.wake_at = Some(Timestamp::from_ticks(wake_at));
            parts.state = state;
            parts.intent = intent;
        })
    };
    let jobs = [
        waiting(1, 30, State::TransientError, None),
        waiting(2, 10, State::TransientError, None),
        waiting(3, i64::MAX.cast_unsigned(), State::TransientError, None),
        waiting(4, 1, State::Error, None),
        waiting(5, 1, State::TransientError, Some(Intent::Complete)),
        waiting(6, 8, State::Queued, None),
        waiting(7, 7, State::Queued, None),
    ];
    commit(&*store, jobs.iter().cloned().map(Change::Job).collect()).expect("kept");
    assert_eq!(
        ids(&store.retrying(None, 10).expect("read")),
        [jobs[1].id, jobs[0].id, jobs[2].id]
    );
    assert_eq!(ids(&store.retrying(None, 1).expect("read")), [jobs[1].id]);
    let after = Some((Timestamp::from_ticks(30), jobs[0].id));
    assert_eq!(ids(&store.retrying(after, 9).expect("read")), [jobs[2].id]);
    assert_eq!(
        ids(&store.put_off(9).expect("read")),
        [jobs[6].id, jobs[5].id]
    );
}

pub(crate) fn interrupted_jobs_are_those_that_ran_or_have_an_intent(place: &impl Place) {
    let store = place.open();
    let mut expected = Vec::new();
    for (number, state) in (0..).zip(State::ALL) {
        for (half, intent) in (0..).zip([None, Some(Intent::Complete), Some(Intent::Cancel)]) {
            let job = altered(&plain_job(number * 3 + half), |parts| {
                parts.state = state;
                parts.intent = intent;
            });
            if state.is_running() || intent.is_some() {
                expected.push(job.id);
            }
            commit(&*store, vec![Change::Job(job)]).expect("kept");
        }
    }
    expected.sort();
    let first = ids(&store.interrupted(None, 7).expect("read"));
    let rest = ids(&store.interrupted(first.last().copied(), 100).expect("read"));
    assert_eq!([first, rest].concat(), expected);
}

pub(crate) fn missing_files_are_those_not_yet_here(place: &impl Place) {
    let (store, job) = (place.open(), plain_job(1));
    let mut files: Vec<File> = (0..6).map(|at| plain_file(at, "/data/x")).collect();
    let changes = files.iter().map(|file| Change::File(job.id, file.clone()));
    commit(
        &*store,
        [Change::Job(job.clone())]
            .into_iter()
            .chain(changes)
            .collect(),
    )
    .expect("kept");
    for at in [0, 1, 4] {
        files[at].transferred = true;
        files[at].size = Some(7);
        commit(&*store, vec![Change::File(job.id, files[at].clone())]).expect("kept");
    }
    let missing = |from, limit| -> Vec<u32> {
        let files = store.missing_files(job.id, from, limit).expect("read");
        files.iter().map(|file| file.index).collect()
    };
    assert_eq!(missing(0, 10), [2, 3, 5]);
    assert_eq!(missing(3, 1), [3]);
    // A changed source: the file is to be fetched again.
    files[1].transferred = false;
    commit(&*store, vec![Change::File(job.id, files[1].clone())]).expect("kept");
    assert_eq!(missing(0, 10), [1, 2, 3, 5]);
    assert_eq!(store.files(job.id, 0, 10).expect("read"), files);
}

pub(crate) fn a_file_is_found_by_its_path_in_any_case(place: &impl Place) {
    let (store, job, other) = (place.open(), plain_job(1), plain_job(2));
    commit(
        &*store,
        vec![
            Change::Job(job.clone()),
            Change::Job(other.clone()),
            Change::File(job.id, plain_file(0, "/data/A.bin")),
            Change::File(job.id, plain_file(1, "/data/Straße.BIN")),
        ],
    )
    .expect("kept");
    let at = |job: &Job, path: &str| store.file_at(job.id, Path::new(path)).expect("read");
    assert_eq!(at(&job, "/DATA/a.BIN"), Some(0));
    assert_eq!(at(&job, "/data/straße.bin"), Some(1));
    assert_eq!(at(&job, "/data/b.bin"), None);
    assert_eq!(at(&other, "/data/a.bin"), None);
}

pub(crate) fn a_removed_job_leaves_its_events_only(place: &impl Place) {
    let (store, job) = (place.open(), rich_job(1));
    commit(
        &*store,
        vec![
            Change::Job(job.clone()),
            Change::File(job.id, rich_file(0)),
            Change::Credentials(job.id, credentials(AuthTarget::Proxy, "p")),
            Change::Event(event(job.id, "created")),
        ],
    )
    .expect("kept");
    commit(
        &*store,
        vec![
            Change::Event(event(job.id, "completed")),
            Change::Remove(job.id),
        ],
    )
    .expect("kept");
    assert_eq!(store.job(job.id).expect("read"), None);
    assert_eq!(store.files(job.id, 0, 10).expect("read"), []);
    assert_eq!(store.missing_files(job.id, 0, 10).expect("read"), []);
    assert_eq!(store.credentials(job.id).expect("read"), []);
    assert_eq!(
        store.file_at(job.id, &rich_file(0).path).expect("read"),
        None
    );
    assert_eq!(store.events(0, 10).expect("read").len(), 2);
}

pub(crate) fn credentials_replace_those_of_the_same_target_and_scheme(place: &impl Place) {
    let (store, job) = (place.open(), plain_job(1));
    commit(
        &*store,
        vec![
            Change::Job(job.clone()),
            Change::Credentials(job.id, credentials(AuthTarget::Server, "old")),
            Change::Credentials(job.id, credentials(AuthTarget::Proxy, "")),
            Change::Credentials(job.id, credentials(AuthTarget::Server, "new")),
        ],
    )
    .expect("kept");
    assert_eq!(
        store.credentials(job.id).expect("read"),
        [
            credentials(AuthTarget::Server, "new"),
            credentials(AuthTarget::Proxy, "")
        ]
    );
    commit(
        &*store,
        vec![
            Change::RemoveCredentials(job.id, AuthTarget::Server, AuthScheme::Basic),
            Change::RemoveCredentials(job.id, AuthTarget::Proxy, AuthScheme::Digest),
        ],
    )
    .expect("kept");
    assert_eq!(
        store.credentials(job.id).expect("read"),
        [credentials(AuthTarget::Proxy, "")]
    );
}

pub(crate) fn events_have_growing_sequences(place: &impl Place) {
    let (store, job) = (place.open(), JobId::new());
    for kind in ["created", "resumed", "error"] {
        commit(&*store, vec![Change::Event(event(job, kind))]).expect("kept");
    }
    let events = store.events(0, 10).expect("read");
    assert_eq!(
        events
            .iter()
            .map(|event| event.kind.as_str())
            .collect::<Vec<_>>(),
        ["created", "resumed", "error"]
    );
    assert!(events.is_sorted_by_key(|event| event.sequence));
    assert!(events[0].sequence > 0);
    let expected = event(job, "resumed");
    assert_eq!(
        (
            &events[1].at,
            &events[1].owner,
            &events[1].by,
            &events[1].detail
        ),
        (
            &expected.at,
            &expected.owner,
            &expected.by,
            &expected.detail
        )
    );
    assert_eq!(
        store.events(events[0].sequence, 1).expect("read"),
        events[1..2]
    );
    drop(store);
    let store = place.open();
    commit(&*store, vec![Change::Event(event(job, "late"))]).expect("kept");
    let late = store.events(events[2].sequence, 10).expect("read");
    assert_eq!(late.len(), 1);
}

pub(crate) fn commit(store: &dyn Store, changes: Vec<Change>) -> Result<(), Error> {
    in_runtime(store.commit(changes))
}

/// All jobs in `selection`, in pages that look at `limit` jobs each.
pub(crate) fn listed(store: &dyn Store, selection: &Selection, limit: usize) -> Vec<Job> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let listing = store.jobs(selection, after, limit).expect("read");
        assert!(listing.jobs.len() <= limit);
        seen.extend(listing.jobs.into_iter().map(|(job, _)| job));
        if listing.is_last {
            return seen;
        }
        // Only a place that goes on ends.
        assert!(listing.reached.is_some() && listing.reached != after);
        after = listing.reached;
    }
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

fn altered(job: &Job, alter: impl FnOnce(&mut JobParts)) -> Job {
    let mut parts = JobParts::clone(job);
    alter(&mut parts);
    Job::restore(parts)
}

/// A suspended job of one of three owners; the number makes its key.
pub(crate) fn plain_job(number: u32) -> Job {
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    Job::restore(JobParts {
        id: JobId::from_octets(octets),
        owner: Owner::new(&format!("owner {}", number % 3)),
        display_name: format!("job {number}"),
        description: String::new(),
        priority: Priority::Normal,
        minimum_retry_delay: Duration::from_secs(601),
        no_progress_timeout: Duration::from_secs(1_209_601),
        proxy: Proxy::Preconfig,
        client_certificate: None,
        kind: JobType::Download,
        options: JobOptions::default(),
        was_resumed: false,
        active_for: Duration::ZERO,
        active_since: None,
        state: State::Suspended,
        intent: None,
        error: None,
        transient_error_count: 0,
        stalled_at: None,
        wake_at: None,
        queued_at: Timestamp::from_ticks(1),
        host: String::new(),
        created_at: Timestamp::from_ticks(2),
        modified_at: Timestamp::from_ticks(3),
        transferred_at: None,
        files_total: 0,
        files_transferred: 0,
        files_sized: 0,
        bytes_known: 0,
        bytes_transferred: 0,
    })
}

/// A job in which nothing is left at its default.
fn rich_job(number: u32) -> Job {
    altered(&plain_job(number), |parts| {
        parts.description = "für \u{1F600} 'and' \"so\" on".to_owned();
        parts.priority = Priority::Low;
        parts.proxy = Proxy::Override {
            list: "http=p:1 q:2".to_owned(),
            bypass: "<local>".to_owned(),
        };
        parts.client_certificate = Some(ClientCertificate {
            store_name: "MY".to_owned(),
            choice: CertificateChoice::Hash([9; 20]),
        });
        parts.state = State::TransientError;
        parts.intent = Some(Intent::Cancel);
        parts.error = Some(JobError {
            context: ErrorContext::RemoteFile,
            code: Hresult::BG_E_EMPTY,
            file: Some(u32::MAX),
            detail: "HTTP 503".to_owned(),
            circumstances: Circumstances {
                phase: Some(Phase::Asking),
                url: Some("https://origin/a".to_owned()),
                status: Some(503),
                server_retry_at: Some(Timestamp::from_ticks(7)),
            },
        });
        parts.kind = JobType::UploadReply;
        parts.options = JobOptions {
            hides_queries: true,
            method: Some("PUT".to_owned()),
            security_flags: 0x802,
            thumbprints: vec!["00".repeat(32)],
            maximum_download_time_s: Some(1),
            max_download_size: Some(u64::MAX),
            dynamic_content: true,
            require_ranges: true,
            has_custom_headers: true,
            headers_are_write_only: true,
            reply: Some(ReplyFile {
                local_file: "C:\\reply".to_owned(),
                path: PathBuf::from("/data/reply"),
            }),
            labels: vec!["für=\u{1F600}".to_owned()],
            start_after: Some(Timestamp::from_ticks(8)),
        };
        parts.was_resumed = true;
        parts.active_for = Duration::from_millis(12_345);
        parts.active_since = Some(Timestamp::from_ticks(9));
        parts.transient_error_count = u32::MAX;
        parts.stalled_at = Some(Timestamp::from_ticks(4));
        parts.wake_at = Some(Timestamp::from_ticks(5));
        parts.transferred_at = Some(Timestamp::from_ticks(6));
        parts.files_total = 7;
        parts.files_transferred = 8;
        parts.files_sized = 9;
        parts.bytes_known = u64::MAX;
        parts.bytes_transferred = 1 << 63;
    })
}

fn plain_file(index: u32, path: &str) -> File {
    File::new(
        index,
        NewFile {
            remote_url: format!("http://origin/{index}"),
            local_file: path.to_owned(),
            path: PathBuf::from(path),
            ..NewFile::default()
        },
    )
}

/// A file with a path of its own.
pub(crate) fn file_of(index: u32) -> File {
    plain_file(index, &format!("/data/{index}"))
}

/// A file in which nothing is left at its default.
fn rich_file(index: u32) -> File {
    File {
        remote_url: "https://origin/a%20b?sig=secret&x=1?".to_owned(),
        local_file: "C:\\Data\\a b".to_owned(),
        size: Some(u64::MAX),
        validator: Validator {
            etag: Some("W/\"1\"".to_owned()),
            last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            last_modified_is_strong: true,
        },
        durable: 12,
        transferred: true,
        placed: true,
        ranges: vec![
            Span {
                offset: 5,
                length: Some(u64::MAX),
            },
            Span {
                offset: 0,
                length: None,
            },
        ],
        sha256: Some([7; 32]),
        upload: Some(Box::new(Upload {
            source: Some(SourceStamp {
                size: 1,
                modified_ns: -2,
                inode: 3,
            }),
            session: Some("{GUID}".to_owned()),
            host: Some("other:8080".to_owned()),
            is_closing: true,
            fall_back_at: Some(Timestamp::from_ticks(1)),
            reply_url: Some("http://origin/reply".to_owned()),
            reply: Some(ReplyProgress {
                size: Some(9),
                durable: 4,
                ..ReplyProgress::default()
            }),
        })),
        ..plain_file(index, "/data/a b")
    }
}

fn credentials(target: AuthTarget, password: &str) -> Credentials {
    Credentials {
        target,
        scheme: AuthScheme::Basic,
        user: Secret::new("Jörg".to_owned()),
        password: Secret::new(password.to_owned()),
    }
}

/// Commits `secret` in each place where one may stand.
pub(crate) fn commit_secrets(store: &dyn Store, secret: &str) {
    let (job, mut file) = (plain_job(1), plain_file(0, "/data/a"));
    file.remote_url = format!("https://origin/a?sig={secret}");
    commit(
        store,
        vec![
            Change::Job(job.clone()),
            Change::File(job.id, file),
            Change::Credentials(job.id, credentials(AuthTarget::Server, secret)),
            Change::Headers(job.id, Some(Secret::new(format!("X-Key: {secret}")))),
        ],
    )
    .expect("kept");
}

pub(crate) fn event(job: JobId, kind: &'static str) -> Event {
    Event {
        at: Timestamp::from_ticks(77),
        job,
        owner: Owner::new("owner 1"),
        kind,
        by: Some(Owner::new("admin")),
        detail: "for people".to_owned(),
    }
}

/// A kind of event that no store takes: makes a commit fail after its first
/// changes.
pub(crate) const FAILS: &str = "(fails)";
