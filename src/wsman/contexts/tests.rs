use crate::auth;
use crate::config::Settings;
use crate::wsman::scope::Selection;

use super::*;

fn enumeration(filter: usize) -> Enumeration {
    let selection = Selection {
        condition: None,
        columns: None,
        view: None,
        octets: filter,
    };
    Enumeration {
        scope: Scope {
            served: Some(0),
            selection: (filter > 0).then(|| Arc::new(selection)),
        },
        form: Form::Wmi,
        mode: Mode::Object,
        arrays: Arrays::Plain,
    }
}

/// Two for each user and three for all, a minute long.
fn contexts() -> Contexts {
    let mut settings = Settings::default();
    settings.wsman.enumeration_timeout_ms = 60_000;
    settings.wsman.max_enumerations_per_user = 2;
    settings.wsman.max_enumerations = 3;
    Contexts::new(Arc::new(Current::new(settings)))
}

fn user(name: &str) -> Principal {
    Principal::for_test(name, auth::Scope::Own)
}

#[tokio::test]
async fn a_context_belongs_to_its_user() {
    let (anna, otto) = (user("anna"), Principal::for_test("otto", auth::Scope::All));
    let contexts = contexts();
    let name = contexts
        .open(&anna, enumeration(0), None, None)
        .expect("below the limit");
    assert!(matches!(
        contexts.lease(&otto, &name),
        Err(Error::NoContext)
    ));
    let lease = contexts.lease(&anna, &name).expect("her own");
    assert!(matches!(
        contexts.lease(&anna, &name),
        Err(Error::ContextBusy)
    ));
    drop(lease);
    let mut lease = contexts.lease(&anna, &name).expect("free again");
    assert_eq!(lease.after, None);
    lease.after = Some(Cursor(vec![7]));
    drop(lease);
    drop(contexts.lease(&anna, &name).expect("free again"));
    let lease = contexts.lease(&anna, &name).expect("free again");
    assert_eq!(lease.after, Some(Cursor(vec![7])));
    lease.end();
    assert!(matches!(
        contexts.release(&anna, &name),
        Err(Error::NoContext)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_context_that_has_ended_makes_room_at_once() {
    let anna = user("anna");
    let contexts = contexts();
    let name = contexts
        .open(&anna, enumeration(0), None, None)
        .expect("one");
    let second = Duration::from_secs(1);
    contexts
        .open(&anna, enumeration(0), None, Some(second))
        .expect("two");
    assert!(matches!(
        contexts.open(&anna, enumeration(0), None, None),
        Err(Error::TooManyEnumerations)
    ));
    sleep(second).await;
    contexts
        .open(&anna, enumeration(0), None, None)
        .expect("one had expired");
    sleep(Duration::from_secs(59)).await;
    assert!(matches!(
        contexts.lease(&anna, &name),
        Err(Error::NoContext)
    ));
}

#[tokio::test(start_paused = true)]
async fn contexts_of_short_lives_do_not_pile_up_before_the_next_sweep() {
    let (anna, contexts) = (user("anna"), contexts());
    let life = Duration::from_millis(1);
    for _ in 0..50 {
        contexts
            .open(&anna, enumeration(9), None, Some(life))
            .expect("those before have ended");
        sleep(life).await;
    }
    assert_eq!(contexts.lock().contexts.len(), 1);
}

#[tokio::test]
async fn all_users_together_have_a_limit() {
    let contexts = contexts();
    for name in ["anna", "anna", "otto"] {
        contexts
            .open(&user(name), enumeration(0), None, None)
            .expect("below both limits");
    }
    assert!(matches!(
        contexts.open(&user("otto"), enumeration(0), None, None),
        Err(Error::NoRoomForEnumerations)
    ));
}

#[tokio::test]
async fn the_text_of_filters_is_bounded() {
    let contexts = contexts();
    let (anna, most) = (user("anna"), MAX_FILTERS_PER_USER);
    contexts
        .open(&anna, enumeration(most), None, None)
        .expect("all");
    assert!(matches!(
        contexts.open(&anna, enumeration(1), None, None),
        Err(Error::TooManyEnumerations)
    ));
    contexts
        .open(&anna, enumeration(0), None, None)
        .expect("it has no filter");
    for octets in [MAX_FILTERS - most + 1, MAX_FILTERS] {
        assert!(
            contexts
                .open(&user("otto"), enumeration(octets), None, None)
                .is_err()
        );
    }
    contexts
        .open(&user("otto"), enumeration(most), None, None)
        .expect("his own share");
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_leaves_the_memory_though_nobody_asks() {
    let contexts = contexts();
    let kept = || contexts.lock().contexts.len();
    for round in 0..2 {
        contexts
            .open(&user("anna"), enumeration(9), None, None)
            .expect("one");
        let long = Duration::from_secs(90);
        let name = contexts
            .open(&user("anna"), enumeration(9), None, Some(long))
            .expect("two");
        // Busy: not idle, however long.
        let lease = contexts.lease(&user("anna"), &name).expect("her own");
        sleep(Duration::from_secs(59)).await;
        assert_eq!(kept(), 2, "{round}");
        sleep(SWEEP + Duration::from_secs(1)).await;
        assert_eq!(kept(), 1, "{round}");
        sleep(Duration::from_secs(30)).await;
        assert_eq!(kept(), 0, "{round}");
        assert!(contexts.lock().sweeper.is_none());
        drop(lease);
    }
}

#[test]
fn a_context_is_small() {
    let size = size_of::<(Uuid, Context)>();
    assert!(size <= 192, "{size}");
    // What MAX_FILTERS counts on.
    let part = size_of::<crate::cim::Part>();
    assert!(part <= 32, "{part}");
}
