//! Listings of some of the jobs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::Place as Folder;
use super::altered;
use super::commit;
use super::listed;
use super::plain_job;
use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::store::Among;
use crate::store::Change;
use crate::store::Place;
use crate::store::Selection;
use crate::store::Span;

pub(crate) fn every_selection_finds_what_a_look_at_all_jobs_finds(place: &impl Folder) {
    let store = place.open();
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(jobs in prop::collection::vec(traits(), 1..200),
                        selections in prop::collection::vec(selection(), 20))| {
        let clear = (0..200).map(|number| Change::Remove(plain_job(number).id)).collect();
        commit(&*store, clear).expect("kept");
        let jobs: Vec<Job> = (0..).zip(&jobs).map(|(number, traits)| traits.job(number)).collect();
        // First as something else: the indexes must follow.
        let before = jobs.iter().enumerate().map(|(at, job)| {
            Change::Job(altered(&jobs[(at + 7) % jobs.len()], |parts| parts.id = job.id))
        });
        commit(&*store, before.collect()).expect("kept");
        commit(&*store, jobs.iter().cloned().map(Change::Job).collect()).expect("kept");
        for (selection, limit) in &selections {
            for user in [None, Some(owner(1))] {
                let seen = listed(&*store, &selection.of(user.as_ref()), *limit);
                let mut keys: Vec<JobId> = seen.iter().map(|job| job.id).collect();
                keys.sort();
                // `admits` is what the store asks; this is what it means.
                let expected: Vec<JobId> = jobs
                    .iter()
                    .filter(|job| user.as_ref().is_none_or(|user| job.owner == *user))
                    .filter(|job| is_in(job, selection))
                    .map(|job| job.id)
                    .collect();
                prop_assert_eq!(keys, expected);
                prop_assert!(seen.iter().all(|job| jobs.contains(job)));
            }
        }
    });
}

pub(crate) fn a_place_from_elsewhere_does_no_harm(place: &impl Folder) {
    let store = place.open();
    let jobs = (0..30).map(plain_job).map(Change::Job).collect();
    commit(&*store, jobs).expect("kept");
    let mut own = Selection::all();
    own.owners = Among::one(owner(1));
    for way in 0..=u8::MAX {
        for (at, key) in [(0, 0), (2, 3), (u64::MAX, u8::MAX)] {
            let octets = [[way].as_slice(), &at.to_be_bytes(), &[key; 16]].concat();
            let Some(forged) = Place::decode(&octets) else {
                continue;
            };
            let listing = store.jobs(&own, Some(forged), 100).expect("read");
            assert!(listing.jobs.iter().all(|(job, _)| job.owner == owner(1)));
        }
    }
}

pub(crate) fn owners_are_those_who_have_jobs(place: &impl Folder) {
    let store = place.open();
    assert_eq!(store.owners(10).expect("read"), []);
    let jobs = (0..30).map(plain_job).map(Change::Job).collect();
    commit(&*store, jobs).expect("kept");
    let owners = [owner(0), owner(1), owner(2)];
    assert_eq!(store.owners(10).expect("read"), owners);
    assert_eq!(store.owners(2).expect("read"), owners[..2]);
    let gone = (0..10).map(|number| Change::Remove(plain_job(number * 3).id));
    commit(&*store, gone.collect()).expect("kept");
    assert_eq!(store.owners(10).expect("read"), owners[1..]);
}

/// What selections look at in a job.
#[derive(Clone, Debug)]
struct Traits {
    owner: u32,
    state: State,
    priority: Priority,
    times: [u64; 2],
    transferred_at: Option<u64>,
}

impl Traits {
    fn job(&self, number: u32) -> Job {
        altered(&plain_job(number), |parts| {
            parts.owner = owner(self.owner);
            parts.state = self.state;
            parts.priority = self.priority;
            parts.created_at = Timestamp::from_ticks(self.times[0]);
            parts.modified_at = Timestamp::from_ticks(self.times[1]);
            parts.transferred_at = self.transferred_at.map(Timestamp::from_ticks);
        })
    }
}

fn traits() -> impl Strategy<Value = Traits> {
    let times = [0..TIMES, 0..TIMES];
    (
        0..4_u32,
        state(),
        priority(),
        times,
        prop::option::of(0..TIMES),
    )
        .prop_map(|(owner, state, priority, times, transferred_at)| Traits {
            owner,
            state,
            priority,
            times,
            transferred_at,
        })
}

/// A selection, and how many jobs a page looks at.
fn selection() -> impl Strategy<Value = (Selection, usize)> {
    let key = (0..220_u32).prop_map(|number| plain_job(number).id);
    // Owners without jobs too, and more of them than one listing merges.
    let owners = prop_oneof![
        3 => among((0..6_u32).prop_map(owner).boxed(), 4),
        1 => Just(Among::Only((0..90).map(owner).collect())),
    ];
    (
        (among(key.boxed(), 40), owners, among(state().boxed(), 5)),
        (among(priority().boxed(), 3), span(), span(), span()),
        1..50_usize,
    )
        .prop_map(
            |(
                (keys, owners, states),
                (priorities, created_at, modified_at, transferred_at),
                limit,
            )| {
                let selection = Selection {
                    keys,
                    owners,
                    states,
                    priorities,
                    created_at,
                    modified_at,
                    transferred_at,
                };
                (selection, limit)
            },
        )
}

fn among<T: Ord + Clone + std::fmt::Debug + 'static>(
    value: BoxedStrategy<T>,
    most: usize,
) -> impl Strategy<Value = Among<T>> {
    prop_oneof![
        3 => Just(Among::Any),
        1 => prop::collection::btree_set(value, 0..=most).prop_map(Among::Only),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    let end = prop_oneof![Just(u64::MAX), 0..TIMES];
    let bounded = (prop_oneof![Just(0), 0..TIMES], end).prop_map(|(from, to)| Span {
        from: Timestamp::from_ticks(from),
        to: Timestamp::from_ticks(to),
    });
    prop_oneof![3 => Just(Span::EVER), 1 => bounded]
}

fn state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL.to_vec())
}

fn priority() -> impl Strategy<Value = Priority> {
    (0..4_u32).prop_map(|number| Priority::from_number(number).expect("a priority"))
}

fn owner(number: u32) -> Owner {
    Owner::new(&format!("owner {number}"))
}

fn is_in(job: &Job, selection: &Selection) -> bool {
    fn among<T: Ord>(values: Option<&BTreeSet<T>>, value: &T) -> bool {
        values.is_none_or(|values| values.contains(value))
    }
    let during = |span: Span, at: u64| (span.from.ticks()..=span.to.ticks()).contains(&at);
    among(selection.keys.values(), &job.id)
        && among(selection.owners.values(), &job.owner)
        && among(selection.states.values(), &job.state)
        && among(selection.priorities.values(), &job.priority)
        && during(selection.created_at, job.created_at.ticks())
        && during(selection.modified_at, job.modified_at.ticks())
        && during(
            selection.transferred_at,
            job.transferred_at.map_or(0, Timestamp::ticks),
        )
}

/// Few instants, so that many jobs share one.
const TIMES: u64 = 20;
