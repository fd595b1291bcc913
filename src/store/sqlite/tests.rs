use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::super::Among;
use super::super::battery;
use super::super::battery::Place;
use super::super::battery::battery;
use super::super::battery::commit;
use super::super::battery::plain_job;
use super::*;
use crate::bits::JobParts;
use crate::bits::Priority;
use crate::bits::State;
use crate::bits::Timestamp;
use crate::vault::Vault;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn open_with(&self, vault: Vault) -> Result<Sqlite, Error> {
        Sqlite::open(&self.0.path().join("store"), Arc::new(vault))
    }
}

impl Place for Folder {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.open_with(Vault::for_test(1)).expect("opened"))
    }
}

battery!(Folder::new());

fn all_statements() -> impl Iterator<Item = &'static (&'static str, usize)> {
    read::STATEMENTS
        .iter()
        .chain(line::STATEMENTS)
        .chain(select::STATEMENTS)
}

#[test]
fn no_listing_reads_more_than_its_page() {
    let folder = Folder::new();
    let store = folder.open_with(Vault::for_test(1)).expect("opened");
    let connection = store.readers.connection();
    for (statement, values) in all_statements() {
        let mut plan = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
            .expect("a plan");
        let rows: Vec<String> = plan
            .query_map(rusqlite::params_from_iter(vec![0; *values]), |row| {
                row.get(3)
            })
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("text");
        for row in rows {
            // A partial index with a fixed state is walked from its start:
            // only what is listed lies in it.
            let is_page = row.starts_with("SEARCH")
                || row.starts_with("SCALAR SUBQUERY")
                || row.contains("INDEX job_put_off")
                || row.contains("INDEX job_disconnected")
                || row.starts_with("CO-ROUTINE")
                || row.starts_with("SCAN (subquery")
                || row.contains("INDEX job_waiting");
            assert!(
                is_page && !row.contains("TEMP B-TREE"),
                "{statement}: {row}"
            );
        }
    }
}

#[test]
fn a_statement_is_not_compiled_again_for_other_values() {
    let folder = Folder::new();
    let store = folder.open_with(Vault::for_test(1)).expect("opened");
    let connection = store.readers.connection();
    for (text, values) in all_statements() {
        let mut statement = connection.prepare(text).expect("a statement");
        for value in 0..3 {
            let values = rusqlite::params_from_iter(vec![value; *values]);
            let mut rows = statement.query(values).expect("rows");
            while rows.next().expect("a row").is_some() {}
        }
        let again = statement.get_status(rusqlite::StatementStatus::RePrepare);
        assert_eq!(again, 0, "{text}");
    }
}

#[test]
fn another_process_is_kept_out_of_the_folder() {
    let folder = Folder::new();
    let store = folder.open_with(Vault::for_test(1)).expect("opened");
    assert!(matches!(
        folder.open_with(Vault::for_test(1)),
        Err(Error::Refused(_))
    ));
    drop(store);
    folder.open_with(Vault::for_test(1)).expect("opened again");
}

#[test]
fn another_key_is_a_refused_start() {
    let folder = Folder::new();
    drop(folder.open_with(Vault::for_test(1)).expect("opened"));
    let error = folder.open_with(Vault::for_test(2)).expect_err("refused");
    assert!(matches!(error, Error::Refused(_)), "{error}");
    // The refused start has changed nothing.
    folder.open_with(Vault::for_test(1)).expect("opened");
}

#[test]
fn nobody_else_can_read_the_files() {
    let folder = Folder::new();
    let path = folder.0.path().join("store");
    fs::create_dir(&path).expect("made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    let store = folder.open_with(Vault::for_test(1)).expect("opened");
    commit(&store, vec![Change::Job(plain_job(1))]).expect("kept");
    let mode = |path: &Path| {
        let metadata = fs::metadata(path).expect("there");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).expect("listed") {
        let entry = entry.expect("read").path();
        assert_eq!(mode(&entry), 0o600, "{}", entry.display());
    }
}

#[test]
fn secrets_do_not_lie_in_the_files_in_clear() {
    let folder = Folder::new();
    let store = folder.open();
    battery::commit_secrets(&*store, "hunter2hunter2");
    for entry in fs::read_dir(folder.0.path().join("store")).expect("listed") {
        let octets = fs::read(entry.expect("read").path()).expect("read");
        assert!(!octets.windows(14).any(|part| part == b"hunter2hunter2"));
    }
}

#[test]
fn a_copy_taken_while_it_is_open_has_every_commit_and_is_checked() {
    let folder = Folder::new();
    let store = folder.open();
    let jobs: Vec<Job> = (0..50).map(plain_job).collect();
    for job in &jobs {
        commit(&*store, vec![Change::Job(job.clone())]).expect("kept");
    }
    // What a killed process leaves: no checkpoint, the mark still there.
    let copy = Folder::new();
    let (from, to) = (folder.0.path().join("store"), copy.0.path().join("store"));
    fs::create_dir(&to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("read");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
    let after_kill = copy.open();
    assert_eq!(battery::listed(&*after_kill, &Selection::all(), 100), jobs);
}

#[test]
fn a_closed_store_is_whole_in_one_file() {
    let folder = Folder::new();
    let store = folder.open();
    commit(&*store, vec![Change::Job(plain_job(1))]).expect("kept");
    drop(store);
    let copy = Folder::new();
    let (from, to) = (folder.0.path().join("store"), copy.0.path().join("store"));
    fs::create_dir(&to).expect("made");
    fs::copy(from.join(DATABASE), to.join(DATABASE)).expect("copied");
    assert_eq!(copy.open().count(None).expect("read"), 1);
}

#[test]
fn a_damaged_database_is_a_refused_start_after_an_unclean_stop() {
    let folder = Folder::new();
    let store = folder.open();
    let jobs = (0..2_000).map(plain_job).map(Change::Job).collect();
    commit(&*store, jobs).expect("kept");
    drop(store);
    let path = folder.0.path().join("store").join(DATABASE);
    let connection = Connection::open(&path).expect("opened");
    set_meta(&connection, OPEN_MARK, b"").expect("marked");
    drop(connection);
    let mut octets = fs::read(&path).expect("read");
    let middle = octets.len() / 2;
    octets[middle..middle + 8_192].fill(0xAA);
    fs::write(&path, octets).expect("written");
    assert!(matches!(
        folder.open_with(Vault::for_test(1)),
        Err(Error::Damaged(_))
    ));
}

#[test]
fn a_later_form_and_a_strange_database_are_refused() {
    let folder = Folder::new();
    drop(folder.open());
    let path = folder.0.path().join("store").join(DATABASE);
    for (pragma, value) in [("user_version", 9_999), ("application_id", 1)] {
        let connection = Connection::open(&path).expect("opened");
        connection.pragma_update(None, pragma, value).expect("set");
        drop(connection);
        let error = folder.open_with(Vault::for_test(1)).expect_err("refused");
        assert!(matches!(error, Error::Refused(_)), "{error}");
    }
}

#[test]
fn a_store_of_the_first_form_is_brought_up_and_answers() {
    let folder = Folder::new();
    let path = folder.0.path().join("store");
    fs::create_dir(&path).expect("made");
    let old = Connection::open(path.join(DATABASE)).expect("opened");
    old.execute_batch(MIGRATIONS[0].1).expect("the first form");
    old.pragma_update(None, "application_id", APPLICATION_ID)
        .and_then(|()| old.pragma_update(None, "user_version", 1))
        .expect("marked");
    // What an earlier version wrote: rows without the columns that came later.
    let newest = folder.0.path().join("newest");
    let written = Connection::open(&newest).expect("opened");
    for (_, statements) in MIGRATIONS {
        written.execute_batch(statements).expect("tables");
    }
    let mut jobs: Vec<Job> = (0..500).map(plain_job).collect();
    for job in &jobs {
        row::write_job(&written, row::UPSERT_JOB, job).expect("written");
    }
    drop(written);
    let columns: String = old
        .query_row(
            "SELECT group_concat(name, ', ') FROM pragma_table_info('job')",
            [],
            |row| row.get(0),
        )
        .expect("columns");
    old.execute_batch(&format!(
        "ATTACH '{}' AS newest; \
         INSERT INTO job ({columns}) SELECT {columns} FROM newest.job; DETACH newest",
        newest.display()
    ))
    .expect("written");
    drop(old);
    // Nobody knows of them whether they were resumed.
    for job in &mut jobs {
        let mut parts = JobParts::clone(job);
        parts.was_resumed = true;
        *job = Job::restore(parts);
    }
    let store = folder.open();
    assert_eq!(battery::listed(&*store, &Selection::all(), 64), jobs);
    assert_eq!(store.count(None).expect("read"), 500);
    let mut selection = Selection::all();
    selection.owners = Among::one(Owner::new("owner 1"));
    selection.states = Among::one(State::Suspended);
    let found = battery::listed(&*store, &selection, 64);
    assert_eq!(found.len(), 167);
    selection.created_at.to = Timestamp::from_ticks(1);
    assert_eq!(battery::listed(&*store, &selection, 64), []);
    drop(store);
    // There is nothing to be done the second time.
    assert_eq!(folder.open().count(None).expect("read"), 500);
}

/// What the database does for a listing, in steps of its own machine.
fn steps(store: &Sqlite, selection: &Selection) -> i32 {
    let connection = store.readers.connection();
    let counted = || -> i32 {
        let statements = all_statements();
        statements
            .map(|(text, _)| {
                let statement = connection.prepare_cached(text).expect("a statement");
                statement.reset_status(rusqlite::StatementStatus::VmStep)
            })
            .sum()
    };
    counted();
    let mut after = None;
    loop {
        let listing = select::jobs(&connection, selection, after, 512).expect("read");
        if listing.is_last {
            return counted();
        }
        after = listing.reached;
    }
}

#[test]
fn the_way_with_the_fewest_rows_is_taken() {
    let folder = Folder::new();
    let store = folder.open_with(Vault::for_test(1)).expect("opened");
    // 5,000 jobs in one state; ten of them are urgent, ten are old, ten are
    // of one owner.
    let jobs = (0..5_000).map(|number| {
        let mut parts = JobParts::clone(&plain_job(number));
        parts.priority = if number % 500 == 7 {
            Priority::Foreground
        } else {
            Priority::Normal
        };
        parts.created_at = Timestamp::from_ticks(u64::from(1 + number / 10));
        if number % 500 == 9 {
            parts.owner = Owner::new("rare");
        }
        Change::Job(Job::restore(parts))
    });
    commit(&store, jobs.collect()).expect("kept");
    let all = {
        let mut selection = Selection::all();
        selection.states = Among::one(State::Suspended);
        selection
    };
    let whole = steps(&store, &all);
    let mut urgent = all.clone();
    urgent.priorities = Among::one(Priority::Foreground);
    let mut old = all.clone();
    old.created_at.to = Timestamp::from_ticks(1);
    let mut of_one = all.clone();
    of_one.owners = Among::one(Owner::new("rare"));
    for selection in [&urgent, &old, &of_one] {
        assert_eq!(battery::listed(&store, selection, 512).len(), 10);
        let few = steps(&store, selection);
        assert!(few * 50 < whole, "{few} of {whole} steps: {selection:?}");
    }
}

#[test]
fn the_oldest_events_make_room_in_small_steps() {
    let folder = Folder::new();
    let store = folder.open();
    let event = |count| vec![Change::Event(battery::event(JobId::new(), "created")); count];
    commit(&*store, event(1)).expect("kept");
    // As though the bound had been reached long ago.
    let path = folder.0.path().join("store").join(DATABASE);
    Connection::open(&path)
        .and_then(|connection| connection.execute("UPDATE sqlite_sequence SET seq = 100000", []))
        .expect("moved on");
    commit(&*store, event(2)).expect("kept");
    let kept = store.events(0, 10).expect("read");
    assert_eq!(
        kept.iter().map(|event| event.sequence).collect::<Vec<_>>(),
        [100_001, 100_002]
    );
}
#[test]
fn a_large_job_is_gone_at_once_and_its_files_soon() {
    let folder = Folder::new();
    let store = folder.open();
    let (job, files) = (plain_job(1), 5_000);
    let fill = || {
        let files = (0..files).map(|at| Change::File(job.id, battery::file_of(at)));
        [Change::Job(job.clone())]
            .into_iter()
            .chain(files)
            .collect()
    };
    let is_gone = || {
        store.files(job.id, 0, 1).expect("read").is_empty()
            && store.missing_files(job.id, 0, 1).expect("read").is_empty()
            && store
                .file_at(job.id, Path::new("/data/4999"))
                .expect("read")
                .is_none()
    };
    commit(&*store, fill()).expect("kept");
    commit(&*store, vec![Change::Remove(job.id)]).expect("kept");
    assert!(is_gone());
    // The key again: nothing of the old job shows through.
    let again = vec![
        Change::Job(job.clone()),
        Change::File(job.id, battery::file_of(7)),
    ];
    commit(&*store, again).expect("kept");
    assert_eq!(store.files(job.id, 0, 10).expect("read").len(), 1);
    commit(&*store, fill()).expect("kept");
    commit(&*store, vec![Change::Remove(job.id)]).expect("kept");
    assert!(is_gone());
    let path = folder.0.path().join("store").join(DATABASE);
    let left = || -> i64 {
        Connection::open(&path)
            .and_then(|connection| {
                let count = "SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM progress) \
                             + (SELECT count(*) FROM doomed)";
                connection.query_row(count, [], |row| row.get(0))
            })
            .expect("counted")
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while left() > 0 {
        assert!(std::time::Instant::now() < deadline, "{} rows left", left());
        thread::sleep(std::time::Duration::from_millis(5));
    }
}
