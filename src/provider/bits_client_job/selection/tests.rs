use std::time::Duration;

use proptest::prelude::*;

use super::super::BitsClientJob;
use super::super::SLICES;
use super::super::without_files;
use super::*;
use crate::auth::Principal;
use crate::auth::Scope;
use crate::bits::Job;
use crate::bits::JobOptions;
use crate::bits::JobParts;
use crate::bits::JobType;
use crate::bits::Proxy;
use crate::cim::Catalog;
use crate::cim::Part;
use crate::cim::Pattern;
use crate::config::Bounds;
use crate::config::EngineSettings;
use crate::config::FilesSettings;
use crate::config::TransferSettings;
use crate::engine::Engine;
use crate::provider::Page;
use crate::provider::Provider as _;
use crate::provider::Query;
use crate::provider::View;
use crate::store::Change;
use crate::store::Sqlite;
use crate::store::Store as _;
use crate::transfer::Mover;
use crate::vault::Vault;

fn class() -> Arc<Class> {
    let catalog = Catalog::bundled().expect("the schemas fit");
    let class = catalog.class("root/microsoft/bits", "BitsClientJob");
    Arc::clone(class.expect("a class"))
}

fn compare(property: &str, operator: Comparison, literal: Literal) -> Condition {
    Condition::Compare {
        property: property.to_owned(),
        operator,
        literal,
    }
}

fn is(property: &str, number: i128) -> Condition {
    compare(property, Comparison::Equal, Literal::Integer(number))
}

fn named(property: &str, text: &str) -> Condition {
    compare(
        property,
        Comparison::Equal,
        Literal::String(text.to_owned()),
    )
}

fn like(property: &str, parts: &[Part]) -> Condition {
    Condition::Like {
        property: property.to_owned(),
        pattern: Pattern(parts.to_vec()),
    }
}

/// Of jobs that Ann, Ben and Änne own.
fn selected(condition: &Condition) -> Selection {
    let owners = ["Ann", "Ben", "Änne"].map(Owner::new);
    of(condition, &class(), Some(&owners)).expect("in the schema")
}

fn owners(selection: &Selection) -> Vec<&str> {
    let owners = selection.owners.values().expect("not any");
    owners.iter().map(Owner::as_str).collect()
}

#[test]
fn state_and_owner_are_both_looked_for() {
    let both = Condition::And(vec![is("State", 4), named("Owner", "ANN")]);
    let selection = selected(&both);
    assert_eq!(selection.states, Among::one(State::Error));
    assert_eq!(owners(&selection), ["Ann"]);
    assert!(!selection.is_empty());
    // Who cannot be known is not looked for, the state still is.
    let selection = of(&both, &class(), None).expect("in the schema");
    assert_eq!(selection.owners, Among::Any);
    assert_eq!(selection.states, Among::one(State::Error));
}

#[test]
fn owners_are_compared_as_everywhere() {
    assert_eq!(owners(&selected(&named("Owner", "äNNE"))), ["Änne"]);
    let pattern = [Part::AnyRun, Part::One('n')];
    assert_eq!(owners(&selected(&like("Owner", &pattern))), ["Ann", "Ben"]);
    let later = Literal::String("ann".to_owned());
    let later = compare("Owner", Comparison::Greater, later);
    assert_eq!(owners(&selected(&later)), ["Ben", "Änne"]);
    let not = Condition::Not(Box::new(later));
    assert_eq!(owners(&selected(&not)), ["Ann"]);
}

#[test]
fn alternatives_of_one_property_are_a_set_and_of_two_are_all_jobs() {
    let either = Condition::Or(vec![is("State", 4), is("State", 5)]);
    let states = BTreeSet::from([State::Error, State::TransientError]);
    assert_eq!(selected(&either).states, Among::Only(states));
    let either = Condition::Or(vec![is("State", 4), is("Priority", 0)]);
    assert_eq!(selected(&either), Selection::all());
}

#[test]
fn a_key_is_looked_for_with_and_without_braces() {
    let id = JobId::new();
    let shown = id.to_string();
    for text in [
        shown.as_str(),
        &shown.to_lowercase(),
        shown.trim_matches(['{', '}']),
    ] {
        assert_eq!(
            selected(&named("JobId", text)).keys,
            Among::one(id),
            "{text}"
        );
    }
    assert!(selected(&named("JobId", "7")).is_empty());
    let not = Condition::Not(Box::new(named("JobId", &shown)));
    assert_eq!(selected(&not), Selection::all());
}

#[test]
fn times_become_spans() {
    let at = |operator, ticks| {
        let literal = Literal::Integer(ticks);
        let selection = selected(&compare("JobCreationTime", operator, literal));
        let span = selection.created_at;
        (!selection.is_empty()).then(|| (span.from.ticks(), span.to.ticks()))
    };
    assert_eq!(at(Comparison::Less, 7), Some((0, 6)));
    assert_eq!(at(Comparison::LessOrEqual, 7), Some((0, 7)));
    assert_eq!(at(Comparison::Equal, 7), Some((7, 7)));
    assert_eq!(at(Comparison::GreaterOrEqual, 7), Some((7, u64::MAX)));
    assert_eq!(at(Comparison::Greater, 7), Some((8, u64::MAX)));
    assert_eq!(at(Comparison::NotEqual, 7), Some((0, u64::MAX)));
    assert_eq!(at(Comparison::Less, 0), None);
    assert_eq!(at(Comparison::Greater, u64::MAX.into()), None);
    assert_eq!(at(Comparison::Less, i128::MAX), Some((0, u64::MAX)));
    assert_eq!(at(Comparison::Greater, i128::MIN), Some((0, u64::MAX)));
}

/// A provider over jobs that were there before.
struct Bench {
    provider: BitsClientJob,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(jobs: &[Job]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mover = Mover::new(
            &TransferSettings::default(),
            &FilesSettings::default(),
            folder.path(),
            &[],
        )
        .unwrap_or_else(|failure| panic!("{}", failure.detail));
        let store = Sqlite::open(&folder.path().join("jobs"), Arc::new(Vault::for_test(1)))
            .expect("a store");
        let changes = jobs.iter().cloned().map(Change::Job).collect();
        store.commit(changes).await.expect("kept");
        let engine = Engine::start(
            EngineSettings::default(),
            Arc::new(store),
            mover,
            Box::new(|_: &Owner| Bounds::default()),
        )
        .await
        .expect("an engine");
        Self {
            provider: BitsClientJob::new(engine, &Catalog::bundled().expect("valid"))
                .expect("defined"),
            _folder: folder,
        }
    }

    async fn page(
        &self,
        by: &Principal,
        condition: &Condition,
        after: Option<&crate::provider::Cursor>,
        limit: usize,
    ) -> Page {
        let view = View {
            only: None,
            room: 100_000,
        };
        let query = Query {
            after,
            limit,
            view,
            condition: Some(condition),
        };
        self.provider.page(by, query).await.expect("a page")
    }

    /// The keys of all that the condition holds for, and in how many pages.
    async fn listed(
        &self,
        by: &Principal,
        condition: &Condition,
        limit: usize,
    ) -> (Vec<String>, usize) {
        let (mut keys, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = self.page(by, condition, after.as_ref(), limit).await;
            pages += 1;
            assert!(page.items.len() <= limit);
            for (job, cursor) in page.items {
                match job.value("JobId") {
                    Some(Value::String(key)) => keys.push(key.clone()),
                    other => panic!("{other:?}"),
                }
                assert!(job.value("Files").is_some());
                assert!(cursor.0.len() <= 64);
                after = Some(cursor);
            }
            if page.is_last {
                keys.sort();
                return (keys, pages);
            }
            after = page.reached.or(after);
        }
    }
}

fn job(number: u32) -> JobParts {
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    JobParts {
        id: JobId::from_octets(octets),
        owner: Owner::new(["ann", "ben", "Cäsar"][number as usize % 3]),
        display_name: format!("job {number}"),
        description: String::new(),
        priority: PRIORITIES[number as usize % 4],
        minimum_retry_delay: Duration::from_mins(10),
        no_progress_timeout: Duration::from_hours(24),
        proxy: Proxy::Preconfig,
        client_certificate: None,
        kind: JobType::Download,
        options: JobOptions::default(),
        was_resumed: false,
        active_for: Duration::ZERO,
        active_since: None,
        // None that the engine would start.
        state: [State::Suspended, State::Error, State::Transferred][number as usize / 3 % 3],
        intent: None,
        error: None,
        transient_error_count: 0,
        stalled_at: None,
        wake_at: None,
        queued_at: Timestamp::from_ticks(1),
        host: String::new(),
        created_at: Timestamp::from_ticks(u64::from(number % 17)),
        modified_at: Timestamp::from_ticks(u64::from(number % 23)),
        transferred_at: number
            .is_multiple_of(2)
            .then(|| Timestamp::from_ticks(u64::from(number % 13))),
        files_total: 0,
        files_transferred: 0,
        files_sized: 0,
        bytes_known: 0,
        bytes_transferred: u64::from(number % 5),
    }
}

fn ann() -> Principal {
    Principal::for_test("ann", Scope::Own)
}

fn administrator() -> Principal {
    Principal::for_test("root", Scope::All)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn any_condition_finds_what_a_look_at_all_jobs_finds() {
    let runtime = runtime();
    let jobs: Vec<Job> = (0..300).map(|number| Job::restore(job(number))).collect();
    let bench = runtime.block_on(Bench::new(&jobs));
    let class = class();
    let config = ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(condition in condition(), limit in 1..300_usize)| {
        for by in [ann(), administrator()] {
            let expected: Vec<String> = jobs
                .iter()
                .filter(|job| by.widest_scope() == Scope::All || job.owner.as_str() == by.name())
                .filter(|job| {
                    condition.matches(&without_files(&class, job).expect("in the schema"))
                })
                .map(|job| job.id.to_string())
                .collect();
            let (found, _) = runtime.block_on(bench.listed(&by, &condition, limit));
            prop_assert_eq!(found, expected);
        }
    });
}

#[test]
fn a_condition_that_can_never_hold_is_an_empty_last_page() {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::new(&[Job::restore(job(0))]));
    for condition in [
        Condition::Always(false),
        Condition::And(vec![is("State", 3), is("State", 4)]),
        is("State", 77),
        named("Owner", "nobody"),
        compare("JobCreationTime", Comparison::Less, Literal::Integer(0)),
    ] {
        let page = runtime.block_on(bench.page(&administrator(), &condition, None, 10));
        assert!(page.is_last && page.items.is_empty() && page.reached.is_none());
    }
}

#[test]
fn a_page_looks_at_a_bounded_number_of_jobs() {
    let runtime = runtime();
    let count = 3 * SLICES * SLICE + 10;
    let jobs: Vec<Job> = (0..u32::try_from(count).expect("few"))
        .map(|number| Job::restore(job(number)))
        .collect();
    let bench = runtime.block_on(Bench::new(&jobs));
    let needle = like("DisplayName", &[Part::AnyRun, Part::One('x'), Part::AnyRun]);
    let page = runtime.block_on(bench.page(&administrator(), &needle, None, 10));
    assert!(page.items.is_empty() && page.reached.is_some() && !page.is_last);
    let (found, pages) = runtime.block_on(bench.listed(&administrator(), &needle, 10));
    assert_eq!((found.len(), pages), (0, 4));
    // One that is found by its index needs one page.
    let last = named("JobId", &jobs[count - 1].id.to_string());
    let (found, pages) = runtime.block_on(bench.listed(&administrator(), &last, 10));
    assert_eq!((found.len(), pages), (1, 1));
}

#[test]
fn a_filter_that_costs_much_looks_at_fewer_jobs_and_owners() {
    let slice = |condition: &Condition| {
        let sieve = Sieve::new(condition, &class(), None).expect("of the class");
        assert!(sieve.first_slice(1) <= sieve.slice && sieve.next_slice(1, 1) <= sieve.slice);
        sieve.slice
    };
    let long = |property, length| like(property, &vec![Part::Any; length]);
    assert_eq!(slice(&is("State", 4)), SLICE);
    assert_eq!(slice(&long("DisplayName", 40)), SLICE);
    assert_eq!(slice(&long("DisplayName", 2_048)), 3);
    let parts = vec![long("Description", 2_000), is("State", 4)];
    assert_eq!(slice(&Condition::Not(Box::new(Condition::Or(parts)))), 4);
    assert_eq!(slice(&long("Description", 1_000_000)), 1);

    assert_eq!(most_owners(&is("State", 4)), None);
    assert_eq!(most_owners(&named("Owner", "ann")), Some(1_024));
    assert_eq!(most_owners(&long("Owner", 15)), Some(1_024));
    assert_eq!(most_owners(&long("Owner", 2_047)), Some(8));
    let many = vec![named("Owner", "ann"); 256];
    assert_eq!(most_owners(&Condition::Or(many)), Some(64));
}

#[test]
fn a_long_look_gives_way_to_others() {
    let runtime = runtime();
    let jobs: Vec<Job> = (0..300).map(|number| Job::restore(job(number))).collect();
    let bench = runtime.block_on(Bench::new(&jobs));
    let _inside = runtime.enter();
    let by = administrator();
    let once = |condition: &Condition| {
        let mut page = std::pin::pin!(bench.page(&by, condition, None, 10));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        page.as_mut().poll(&mut context).is_ready()
    };
    assert!(!once(&like("DisplayName", &[Part::One('x')])));
    assert!(once(&named("JobId", &jobs[7].id.to_string())));
}

fn condition() -> impl Strategy<Value = Condition> {
    let operator = prop::sample::select(Comparison::ALL.to_vec());
    let number = prop_oneof![
        6 => (-1..24_i128).prop_map(Literal::Integer),
        1 => "[0-9]{1,2}".prop_map(Literal::Exact),
        1 => Just(Literal::Integer(i128::MAX)),
        1 => Just(Literal::String("7".to_owned())),
    ];
    let numeric = prop::sample::select(vec![
        "State",
        "Priority",
        "JobCreationTime",
        "JobLastModificationTime",
        "JobCompletionTime",
        "BytesTransferred",
    ]);
    let name = prop::sample::select(vec!["ann", "ANN", "ben", "cÄSAR", "bob", ""]);
    let key = (0..310_u32, any::<bool>()).prop_map(|(number, braces)| {
        let shown = job(number).id.to_string();
        if braces {
            shown.to_lowercase()
        } else {
            shown.trim_matches(['{', '}']).to_owned()
        }
    });
    let part = prop::sample::select(vec![
        Part::One('a'),
        Part::One('N'),
        Part::One('1'),
        Part::Any,
        Part::AnyRun,
    ]);
    let textual = prop::sample::select(vec!["Owner", "DisplayName", "State"]);
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Condition::Always),
        8 => (numeric.clone(), operator.clone(), number)
            .prop_map(|(property, operator, number)| compare(property, operator, number)),
        3 => (operator.clone(), name).prop_map(|(operator, name)| {
            compare("Owner", operator, Literal::String(name.to_owned()))
        }),
        3 => (operator, key).prop_map(|(operator, key)| {
            compare("JobId", operator, Literal::String(key))
        }),
        2 => (textual, prop::collection::vec(part, 0..5))
            .prop_map(|(property, parts)| like(property, &parts)),
        1 => numeric.prop_map(|property| Condition::IsNull(property.to_owned())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::And),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::Or),
            1 => inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}
