use std::net::IpAddr;

use proptest::prelude::*;

use super::strikes::HELD_STEPS;
use super::*;

const POLICY: Policy = Policy {
    failures: 5,
    window: Duration::from_mins(15),
    duration: Duration::from_mins(10),
};

const HOME: &str = "192.0.2.1";
const AWAY: &str = "198.51.100.7";

fn at(seconds: u64) -> Moment {
    Moment(1_800_000_000_000 + seconds * 1_000)
}

fn source(text: &str) -> Source {
    Source::of(text.parse().expect("an address"))
}

/// So many failures of an account, a second apart, each from a source of its
/// own.
fn attack(lockout: &mut Lockout, account: &str, failures: u8, from: u64) {
    for number in 0..failures {
        let source = Source::of(IpAddr::from([203, 0, 113, number]));
        lockout.fail(Some(account), source, &POLICY, at(from + u64::from(number)));
    }
}

#[test]
fn so_many_failures_lock_an_account_for_a_while() {
    let mut lockout = Lockout::default();
    attack(&mut lockout, "alice", 4, 0);
    assert!(!lockout.is_account_locked("alice", source(AWAY), &POLICY, at(4)));
    let struck = lockout.fail(Some("alice"), source(AWAY), &POLICY, at(4));
    assert!(struck.locks_account && !struck.locks_source);
    for (second, is_locked) in [(4, true), (603, true), (604, false)] {
        let found = lockout.is_account_locked("alice", source(HOME), &POLICY, at(second));
        assert_eq!(found, is_locked, "{second}");
    }
    assert!(!lockout.is_account_locked("bob", source(AWAY), &POLICY, at(4)));
    attack(&mut lockout, "alice", 4, 700);
    assert!(!lockout.is_account_locked("alice", source(HOME), &POLICY, at(704)));
}

#[test]
fn failures_count_as_long_as_the_window_and_no_longer() {
    let mut lockout = Lockout::default();
    for number in 0..20 {
        // Five of them never lie within 900 seconds.
        lockout.fail(Some("alice"), source(AWAY), &POLICY, at(number * 225));
        let now = at(number * 225);
        assert!(!lockout.is_account_locked("alice", source(HOME), &POLICY, now));
        assert!(!lockout.is_source_locked(source(AWAY), &POLICY, now));
    }
    let struck = lockout.fail(Some("alice"), source(AWAY), &POLICY, at(19 * 225 + 224));
    assert!(struck.locks_account && struck.locks_source);
}

#[test]
fn a_failure_during_a_lock_does_not_make_it_longer() {
    let mut lockout = Lockout::default();
    attack(&mut lockout, "alice", 5, 0);
    attack(&mut lockout, "alice", 50, 100);
    assert!(lockout.is_account_locked("alice", source(HOME), &POLICY, at(603)));
    assert!(!lockout.is_account_locked("alice", source(HOME), &POLICY, at(604)));
}

#[test]
fn names_that_are_no_accounts_count_for_their_source_alone() {
    let mut lockout = Lockout::default();
    for _ in 0..5 {
        lockout.fail(None, source(AWAY), &POLICY, at(0));
    }
    assert!(lockout.accounts.is_empty());
    assert!(lockout.is_source_locked(source(AWAY), &POLICY, at(599)));
    assert!(!lockout.is_source_locked(source(AWAY), &POLICY, at(600)));
    assert!(!lockout.is_source_locked(source(HOME), &POLICY, at(0)));
}

#[test]
fn an_ipv6_network_is_one_source_and_mapped_ipv4_is_ipv4() {
    assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
    assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
    assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    for console in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(source(console), Source::Console, "{console}");
    }
    for text in ["console", "192.0.2.1", "2001:db8::/64"] {
        let parsed: Source = text.parse().expect("a source");
        assert_eq!(parsed.to_string(), text);
    }
    assert!("192.0.2".parse::<Source>().is_err());
}

#[test]
fn nothing_locks_out_the_console() {
    let mut lockout = Lockout::default();
    attack(&mut lockout, "root", 50, 0);
    for _ in 0..200 {
        let struck = lockout.fail(Some("root"), Source::Console, &POLICY, at(50));
        assert!(!struck.locks_account && !struck.locks_source);
    }
    assert!(lockout.is_account_locked("root", source(HOME), &POLICY, at(50)));
    assert!(!lockout.is_account_locked("root", Source::Console, &POLICY, at(50)));
    assert!(!lockout.is_source_locked(Source::Console, &POLICY, at(50)));
}

#[test]
fn failures_at_the_console_lock_nobody_out_elsewhere() {
    let mut lockout = Lockout::default();
    for _ in 0..200 {
        lockout.fail(Some("root"), Source::Console, &POLICY, at(0));
    }
    assert!(!lockout.is_account_locked("root", source(HOME), &POLICY, at(0)));
    assert!(lockout.accounts.is_empty());
}

#[test]
fn answers_are_held_back_longer_and_longer_at_the_console_too() {
    for source in [source(AWAY), Source::Console] {
        let policy = Policy {
            failures: 100,
            ..POLICY
        };
        let mut lockout = Lockout::default();
        let held: Vec<_> = (0..12)
            .map(|_| lockout.fail(None, source, &policy, at(0)).held.as_millis())
            .collect();
        let longest = [8_000; 5];
        assert_eq!(held[..7], [0, 0, 500, 1_000, 2_000, 4_000, 8_000]);
        assert_eq!(held[7..], longest);
        assert!(!lockout.is_source_locked(source, &policy, at(0)));
    }
}

#[test]
fn nothing_is_held_back_where_lock_out_is_switched_off() {
    for source in [source(AWAY), Source::Console] {
        let policy = Policy {
            failures: 0,
            ..POLICY
        };
        let mut lockout = Lockout::default();
        for _ in 0..200 {
            let struck = lockout.fail(Some("alice"), source, &policy, at(0));
            assert_eq!(struck.held, Duration::ZERO);
            assert!(!struck.locks_account && !struck.locks_source);
        }
        // What was counted counts when it is switched on.
        let struck = lockout.fail(None, source, &POLICY, at(0));
        assert_eq!(struck.held, LONGEST_HELD);
    }
}

#[test]
fn an_account_is_not_locked_where_it_is_known_to_be_used() {
    let mut lockout = Lockout::default();
    assert!(lockout.succeed("alice", source(HOME), &POLICY, at(0)));
    attack(&mut lockout, "alice", 5, 10);
    assert!(lockout.is_account_locked("alice", source(AWAY), &POLICY, at(20)));
    assert!(!lockout.is_account_locked("alice", source(HOME), &POLICY, at(20)));
    // There it has a count of its own.
    for number in 1..=5 {
        let struck = lockout.fail(Some("alice"), source(HOME), &POLICY, at(20));
        assert_eq!(struck.locks_account, number == 5, "{number}");
    }
    assert!(lockout.is_account_locked("alice", source(HOME), &POLICY, at(20)));
}

#[test]
fn guesses_from_a_known_source_do_not_lock_out_the_others() {
    let mut lockout = Lockout::default();
    lockout.succeed("alice", source(HOME), &POLICY, at(0));
    for _ in 0..9 {
        lockout.fail(Some("alice"), source(HOME), &POLICY, at(1));
    }
    assert!(!lockout.is_account_locked("alice", source(AWAY), &POLICY, at(1)));
}

#[test]
fn a_known_source_is_forgotten_after_a_time_and_for_newer_ones() {
    let mut lockout = Lockout::default();
    lockout.succeed("alice", source(HOME), &POLICY, at(0));
    let later = KNOWN_FOR.as_secs();
    lockout.tidy(&POLICY, at(later - 1));
    assert_eq!(lockout.accounts.len(), 1);
    lockout.tidy(&POLICY, at(later));
    assert!(lockout.accounts.is_empty());

    lockout.succeed("alice", source(HOME), &POLICY, at(0));
    for number in 1..=8 {
        let other = Source::of(IpAddr::from([203, 0, 113, number]));
        lockout.succeed("alice", other, &POLICY, at(number.into()));
    }
    let known = &lockout.accounts["alice"].known;
    assert_eq!(known.len(), MAX_KNOWN);
    assert!(known.iter().all(|known| known.source != source(HOME)));
}

#[test]
fn a_success_clears_its_own_failures_and_no_others() {
    let mut lockout = Lockout::default();
    for (account, from) in [("alice", HOME), ("alice", AWAY), ("bob", HOME)] {
        for _ in 0..2 {
            lockout.fail(Some(account), source(from), &POLICY, at(0));
        }
    }
    assert!(lockout.succeed("alice", source(HOME), &POLICY, at(1)));
    assert_eq!(lockout.accounts["alice"].elsewhere.failures.len(), 2);
    assert_eq!(lockout.accounts["bob"].elsewhere.failures.len(), 2);
    assert_eq!(lockout.sources[&source(HOME)].failures.len(), 2);
    assert_eq!(lockout.sources[&source(AWAY)].failures.len(), 2);
}

#[test]
fn who_has_an_account_does_not_clear_his_address_between_guesses() {
    let mut lockout = Lockout::default();
    for _ in 0..5 {
        lockout.fail(Some("root"), source(AWAY), &POLICY, at(0));
        lockout.succeed("mallory", source(AWAY), &POLICY, at(0));
    }
    assert!(lockout.is_source_locked(source(AWAY), &POLICY, at(0)));
}

#[test]
fn a_log_on_with_every_request_changes_nothing_but_once_an_hour() {
    let mut lockout = Lockout::default();
    let mut succeed = |second| lockout.succeed("alice", source(HOME), &POLICY, at(second));
    assert!(succeed(0));
    assert!(!succeed(1) && !succeed(3_599));
    assert!(succeed(3_600) && !succeed(3_601));
}

#[test]
fn while_an_account_is_locked_its_source_still_counts() {
    let mut lockout = Lockout::default();
    attack(&mut lockout, "alice", 5, 0);
    let locks: Vec<_> = (0..5)
        .map(|_| lockout.fail(Some("alice"), source(AWAY), &POLICY, at(9)))
        .map(|struck| (struck.locks_account, struck.locks_source))
        .collect();
    assert_eq!(locks[..4], [(false, false); 4]);
    assert_eq!(locks[4], (false, true));
}

#[test]
fn a_clock_that_is_put_back_makes_no_lock_longer() {
    let mut lockout = Lockout::default();
    attack(&mut lockout, "alice", 5, 1_000_000);
    assert!(lockout.is_account_locked("alice", source(HOME), &POLICY, at(0)));
    assert!(lockout.is_account_locked("alice", source(HOME), &POLICY, at(599)));
    assert!(!lockout.is_account_locked("alice", source(HOME), &POLICY, at(600)));
    lockout.fail(Some("bob"), source(HOME), &POLICY, at(1_000_000));
    lockout.tidy(&POLICY, at(0));
    lockout.tidy(&POLICY, at(900));
    assert!(lockout.accounts.is_empty() && lockout.sources.is_empty());
}

#[test]
fn unlocking_forgets_what_was_before_and_not_what_comes_after() {
    let mut lockout = Lockout::default();
    lockout.succeed("alice", source(HOME), &POLICY, at(0));
    for from in [HOME, AWAY] {
        for _ in 0..5 {
            lockout.fail(Some("alice"), source(from), &POLICY, at(1));
        }
    }
    lockout.unlock_account("alice", at(0), at(2));
    assert!(lockout.is_account_locked("alice", source("203.0.113.9"), &POLICY, at(2)));
    lockout.unlock_account("alice", at(2), at(2));
    for from in [HOME, AWAY] {
        assert!(!lockout.is_account_locked("alice", source(from), &POLICY, at(2)));
        assert!(lockout.is_source_locked(source(from), &POLICY, at(2)));
        lockout.unlock_source(source(from), at(2), at(2));
        assert!(!lockout.is_source_locked(source(from), &POLICY, at(2)));
    }
    attack(&mut lockout, "alice", 5, 3);
    // The same once more, as it still stands in the list.
    lockout.unlock_account("alice", at(2), at(9));
    assert!(lockout.is_account_locked("alice", source(AWAY), &POLICY, at(9)));
    // The clock has been put back since.
    lockout.unlock_account("alice", at(0), at(0));
    assert!(!lockout.is_account_locked("alice", source(AWAY), &POLICY, at(0)));
}

#[test]
fn what_is_locked_is_listed_with_what_remains() {
    let mut lockout = Lockout::default();
    lockout.succeed("bob", source(HOME), &POLICY, at(0));
    attack(&mut lockout, "bob", 5, 0);
    for _ in 0..5 {
        lockout.fail(Some("bob"), source(HOME), &POLICY, at(4));
    }
    lockout.fail(Some("carol"), source(AWAY), &POLICY, at(4));
    let locked = lockout.locked(&POLICY, at(104));
    let remaining = Duration::from_secs(500);
    let one = |account: Option<&str>, source| Locked {
        account: account.map(Arc::from),
        source,
        remaining,
    };
    let home = Some(source(HOME));
    assert_eq!(
        locked,
        [
            one(Some("bob"), None),
            one(Some("bob"), home),
            one(None, home)
        ]
    );
    assert!(lockout.locked(&POLICY.without_lock(), at(104)).is_empty());
}

#[test]
fn what_is_kept_comes_back_as_it_was() {
    let mut lockout = Lockout::default();
    lockout.succeed("bob", source(HOME), &POLICY, at(0));
    attack(&mut lockout, "bob", 7, 0);
    lockout.fail(None, source("2001:db8::5"), &POLICY, at(4));
    lockout.fail(Some("alice"), Source::Console, &POLICY, at(4));
    let kept = lockout.encode();
    let mut back = Lockout::decode(&kept, &POLICY, at(9)).expect("it is whole");
    assert_eq!(back.encode(), lockout.encode());
    assert_eq!(back.locked(&POLICY, at(9)), lockout.locked(&POLICY, at(9)));
    let over = Lockout::decode(&kept, &POLICY, at(100_000)).expect("it is whole");
    assert_eq!((over.accounts.len(), over.sources.len()), (1, 0));
    for damaged in [&kept[..kept.len() - 1], b"", b"[]", b"{\"accounts\":{}}"] {
        assert!(Lockout::decode(damaged, &POLICY, at(0)).is_err());
    }
}

#[test]
fn a_table_that_is_too_long_is_cut() {
    let strikes = r#"{"failures":[],"locked_at":1800000000000}"#;
    let sources: Vec<_> = (0_u32..9_000)
        .map(|number| format!("\"{}\":{strikes}", IpAddr::from(number.to_be_bytes())))
        .collect();
    let failures = vec![r#"[1800000000000,"192.0.2.1"]"#; 5_000].join(",");
    let account =
        format!(r#"{{"elsewhere":{{"failures":[{failures}],"locked_at":null}},"known":[]}}"#);
    let text = format!(
        r#"{{"accounts":{{"alice":{account}}},"sources":{{{}}}}}"#,
        sources.join(",")
    );
    let table = Lockout::decode(text.as_bytes(), &POLICY, at(0)).expect("it is a table");
    assert!(table.sources.len() <= MAX_SOURCES);
    assert_eq!(table.accounts["alice"].elsewhere.failures.len(), 100);
}

#[test]
fn sources_without_number_evict_neither_accounts_nor_locks() {
    let mut lockout = Lockout::default();
    for _ in 0..5 {
        lockout.fail(Some("alice"), source(AWAY), &POLICY, at(0));
    }
    for number in 0..100_000_u32 {
        let address = IpAddr::from((0x0b00_0000 + number).to_be_bytes());
        lockout.fail(None, Source::of(address), &POLICY, at(1));
        assert!(lockout.sources.len() <= MAX_SOURCES);
    }
    assert!(lockout.is_account_locked("alice", source(HOME), &POLICY, at(2)));
    assert!(lockout.is_source_locked(source(AWAY), &POLICY, at(2)));
}

/// What can happen, a few seconds after what happened before.
#[derive(Clone, Debug)]
enum Event {
    Fail(Option<u8>, u8),
    Succeed(u8, u8),
    Unlock(u8),
    Wait(i32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (proptest::option::of(0..4_u8), 0..6_u8).prop_map(|(account, from)| Event::Fail(account, from)),
        2 => (0..4_u8, 0..6_u8).prop_map(|(account, from)| Event::Succeed(account, from)),
        1 => (0..4_u8).prop_map(Event::Unlock),
        2 => (-2_000..2_000_i32).prop_map(Event::Wait),
    ]
}

/// The first is the console, under several addresses.
fn numbered(number: u8, salt: u8) -> Source {
    if number == 0 {
        Source::of(IpAddr::from([127, 0, salt, 1]))
    } else {
        Source::of(IpAddr::from([192, 0, 2, number]))
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_console_is_open_and_every_lock_ends(
        events in proptest::collection::vec(event(), 0..200),
        failures in 0..7_usize,
    ) {
        let policy = Policy { failures, ..POLICY };
        let mut lockout = Lockout::default();
        let mut now = at(1_000_000);
        let name = |number: u8| format!("account {number}");
        for (number, event) in events.into_iter().enumerate() {
            let salt = u8::try_from(number % 200).expect("a small number");
            match event {
                Event::Fail(account, from) => {
                    let account = account.map(name);
                    let struck = lockout.fail(account.as_deref(), numbered(from, salt), &policy, now);
                    prop_assert!(struck.held <= LONGEST_HELD);
                }
                Event::Succeed(account, from) => {
                    lockout.succeed(&name(account), numbered(from, salt), &policy, now);
                }
                Event::Unlock(account) => {
                    lockout.unlock_account(&name(account), now, now);
                    for from in 1..6 {
                        let locked = lockout.is_account_locked(&name(account), numbered(from, 0), &policy, now);
                        prop_assert!(!locked);
                    }
                }
                Event::Wait(seconds) => {
                    now = Moment(now.0.saturating_add_signed(i64::from(seconds) * 1_000));
                }
            }
            prop_assert!(!lockout.is_source_locked(Source::Console, &policy, now));
            for account in 0..4 {
                prop_assert!(!lockout.is_account_locked(&name(account), Source::Console, &policy, now));
            }
            prop_assert!(lockout.accounts.len() <= 4 && lockout.sources.len() <= 6);
            for own in lockout.accounts.values() {
                prop_assert!(own.known.len() <= MAX_KNOWN);
                prop_assert!(own.known.iter().all(|known| known.source != Source::Console));
                prop_assert!(own.elsewhere.failures.len() <= HELD_STEPS);
            }
            prop_assert!(lockout.sources.values().all(|own| own.failures.len() <= HELD_STEPS));
        }
        let kept = lockout.encode();
        let back = Lockout::decode(&kept, &policy, now);
        prop_assert!(back.is_ok());
        // The first look brings back what lies in the future.
        lockout.tidy(&policy, now);
        prop_assert!(lockout.locked(&policy, now.after(policy.duration)).is_empty());
        lockout.tidy(&policy, now.after(policy.window));
        prop_assert!(lockout.sources.is_empty());
    }

    #[test]
    fn the_table_never_grows_beyond_its_bounds(
        seed in any::<u32>(),
        step in (0..u32::MAX / 2).prop_map(|half| half * 2 + 1),
    ) {
        let mut accounts: HashMap<u32, Strikes<()>> = HashMap::new();
        let mut number = seed;
        for second in 0..500_u32 {
            number = number.wrapping_add(step);
            let now = at(u64::from(number % 3 + second));
            if !accounts.contains_key(&number) {
                make_room(&mut accounts, 32, |own| own.worth(&POLICY, now));
            }
            accounts.entry(number).or_default().strike((), &POLICY, now);
            prop_assert!(accounts.len() <= 32);
        }
    }

    #[test]
    fn no_octets_make_the_reader_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Lockout::decode(&octets, &POLICY, at(0));
    }
}
