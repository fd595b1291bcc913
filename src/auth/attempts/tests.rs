use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicU64;

use super::super::unlock::Unlock;
use super::super::unlock::locked;
use super::super::unlock::unlock;
use super::*;
use crate::config::AccessSettings;

fn settings() -> Arc<Current> {
    Arc::new(Current::new(crate::config::Settings {
        access: AccessSettings {
            lockout_failures: 3,
            ..AccessSettings::default()
        },
        ..crate::config::Settings::default()
    }))
}

fn source(text: &str) -> Source {
    text.parse().expect("a source")
}

fn lock_alice(attempts: &Attempts) {
    for number in 1..=3 {
        attempts.fail(Some("alice"), source(&format!("203.0.113.{number}")));
    }
}

const HOME: &str = "192.0.2.1";

#[tokio::test]
async fn a_lock_survives_a_stop_and_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let current = settings();
    let attempts = Attempts::load(folder.path(), &current);
    let keeper = attempts.keep();
    lock_alice(&attempts);
    keeper.stop().await;

    let attempts = Attempts::load(folder.path(), &current);
    assert!(attempts.is_locked("alice", source(HOME)));
    let file = folder.path().join(TABLE_FILE);
    let mode = std::fs::metadata(&file).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);

    let keeper = attempts.keep();
    for _ in 0..3 {
        attempts.fail(None, source(HOME));
    }
    // The second within which it must be written, and what the disk takes.
    let mut looks = 0;
    while Attempts::load(folder.path(), &current)
        .bar(source(HOME))
        .is_none()
    {
        looks += 1;
        assert!(looks < 100, "not written");
        sleep(Duration::from_millis(50)).await;
    }
    drop(keeper);
    assert_eq!(attempts.bar(source(HOME)), Some(Bar::Locked));
}

#[tokio::test]
async fn without_changes_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let attempts = Attempts::load(folder.path(), &settings());
    let keeper = attempts.keep();
    attempts.succeed("alice", Source::Console);
    assert!(!attempts.is_locked("alice", source(HOME)));
    keeper.stop().await;
    assert!(!folder.path().join(TABLE_FILE).exists());
}

#[test]
fn a_damaged_table_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(TABLE_FILE);
    for octets in [&b"{"[..], b"", b"\xff\xff", b"{\"accounts\":7}"] {
        std::fs::write(&file, octets).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let attempts = Attempts::load(folder.path(), &settings());
        lock_alice(&attempts);
        assert!(attempts.is_locked("alice", source(HOME)));
    }
    // Nor is one that others may write to: it is not believed.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("a mode");
    Attempts::load(folder.path(), &settings());
}

#[test]
fn what_the_administrator_unlocks_counts_at_once_and_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let current = settings();
    let access = current.get().access.clone();
    // As the command line tells the time, but for what is cut off.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let clock = Arc::new(AtomicU64::new(since.expect("after 1970").as_secs()));
    let own = Arc::clone(&clock);
    let attempts = Attempts::new(folder.path(), &current, move || {
        let seconds = Duration::from_secs(own.load(Ordering::Relaxed));
        Moment::of(SystemTime::UNIX_EPOCH + seconds)
    });
    let write = || {
        let octets = lock(&attempts.lockout).encode();
        let ownership = Ownership {
            mode: 0o600,
            owner: None,
        };
        replace_file(&folder.path().join(TABLE_FILE), &octets, ownership).expect("written");
    };
    lock_alice(&attempts);
    for _ in 0..3 {
        attempts.fail(None, source(HOME));
    }
    write();
    let shown = locked(folder.path(), &access).expect("readable");
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].starts_with("account alice, from addresses that it is not known to use: "));
    assert!(shown[1].starts_with("address 192.0.2.1: "));

    let unlocked = unlock(folder.path(), &access, Unlock::Account("alice")).expect("unlocked");
    assert_eq!(unlocked.len(), 1);
    assert!(!attempts.is_locked("alice", source(HOME)));
    assert_eq!(attempts.bar(source(HOME)), Some(Bar::Locked));
    let home = HOME.parse().expect("an address");
    unlock(folder.path(), &access, Unlock::Address(home)).expect("unlocked");
    assert_eq!(attempts.bar(source(HOME)), None);
    let again = unlock(folder.path(), &access, Unlock::Account("alice")).expect("no error");
    assert!(again.is_empty(), "{again:?}");
    assert!(locked(folder.path(), &access).expect("readable").is_empty());

    // The service ran not, and has the table from before.
    let next = Attempts::load(folder.path(), &current);
    assert!(!next.is_locked("alice", source(HOME)));
    assert_eq!(next.bar(source(HOME)), None);

    clock.fetch_add(60, Ordering::Relaxed);
    lock_alice(&attempts);
    assert!(
        attempts.is_locked("alice", source(HOME)),
        "what comes after counts"
    );
    let console = "127.0.0.1".parse().expect("an address");
    assert!(unlock(folder.path(), &access, Unlock::Address(console)).is_err());
}

#[test]
fn a_table_that_cannot_be_read_keeps_nobody_from_unlocking() {
    let folder = tempfile::tempdir().expect("a folder");
    let access = AccessSettings::default();
    std::fs::write(folder.path().join(TABLE_FILE), b"{").expect("written");
    assert!(locked(folder.path(), &access).is_err());
    assert!(unlock(folder.path(), &access, Unlock::Account("alice")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_answers_are_held_back() {
    let attempts = Arc::new(Attempts::new(
        Path::new("/nonexistent"),
        &settings(),
        || Moment::of(SystemTime::UNIX_EPOCH),
    ));
    let hold = |source: Source| {
        let own = Arc::clone(&attempts);
        tokio::spawn(async move { own.hold(source, Duration::from_secs(8)).await })
    };
    let mut tasks: Vec<_> = (0_u32..2 * 256)
        .map(|number| hold(Source::Host(IpAddr::from(number.to_be_bytes()))))
        .collect();
    tasks.extend((0..MAX_HELD).map(|_| hold(Source::Console)));
    sleep(Duration::from_millis(1)).await;
    let held: usize = lock(&attempts.held).values().sum();
    assert_eq!(held, 2 * MAX_HELD);
    assert_eq!(attempts.bar(Source::Console), Some(Bar::Busy));
    assert_eq!(
        attempts.bar(source(HOME)),
        None,
        "one of many is not held back"
    );
    for task in tasks {
        task.await.expect("no panic");
    }
    assert!(lock(&attempts.held).is_empty());
    assert_eq!(attempts.bar(Source::Console), None);
}
