//! Enumerations that take long: their time, and how they get on.

use tokio::time::Instant;
use tokio::time::timeout;

use super::enumeration::enumerate;
use super::enumeration::id;
use super::enumeration::pull;
use super::enumeration::take_apart;
use super::rows::equal;
use super::rows::open;
use super::*;
use crate::cim::Condition;
use crate::wsman::contexts::Mode;
use crate::wsman::resource::Form;

/// So many jobs, of which a page looks at one in the given time.
fn slow(count: usize, page_pause: Duration) -> Bench {
    let mut jobs = Jobs::new();
    jobs.most_looked_at = 1;
    jobs.page_pause = page_pause;
    for number in 0..count {
        jobs.add(&id(number), 1);
    }
    Bench::with(jobs, WsmanSettings::default())
}

fn search(bench: &Bench, condition: Condition) -> String {
    open(bench, Form::Wmi, Mode::Object, Some(condition), None)
}

#[tokio::test(start_paused = true)]
async fn a_search_that_finds_nothing_in_its_time_goes_on_where_it_was() {
    let second = "<w:OperationTimeout>PT1S</w:OperationTimeout>";
    for (more, wish, wanted) in [
        ("", "<n:MaxTime>PT1S</n:MaxTime>", "n:TimedOut 2150858780"),
        (second, "", "wsman:TimedOut 2150858793"),
        (
            second,
            "<n:MaxTime>PT9S</n:MaxTime>",
            "wsman:TimedOut 2150858793",
        ),
        (
            second,
            "<n:MaxTime>PT1S</n:MaxTime>",
            "n:TimedOut 2150858780",
        ),
    ] {
        let bench = slow(25, Duration::from_millis(99));
        let context = search(&bench, equal("JobId", &id(24)));
        let start = Instant::now();
        for _ in 0..2 {
            let fault = bench.fault(&pull(&context, more, wish)).await;
            assert_eq!(gist(&fault), wanted);
        }
        assert_eq!(start.elapsed().as_secs(), 2);
        let answer = bench.ok(&pull(&context, more, wish)).await;
        assert!(start.elapsed() < Duration::from_millis(2_600));
        assert_eq!(
            take_apart(&answer, ns::ENUMERATION),
            (String::new(), 1, true)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_whose_client_goes_away_is_not_done_again() {
    let bench = slow(25, Duration::from_millis(99));
    let context = search(&bench, equal("JobId", &id(24)));
    let envelope = pull(&context, "", "");
    let start = Instant::now();
    for _ in 0..2 {
        let answer = bench.post(&envelope);
        assert!(timeout(Duration::from_secs(1), answer).await.is_err());
    }
    let answer = bench.ok(&envelope).await;
    assert!(start.elapsed() < Duration::from_millis(2_600));
    assert_eq!(
        take_apart(&answer, ns::ENUMERATION),
        (String::new(), 1, true)
    );
}

#[tokio::test(start_paused = true)]
async fn a_search_gets_on_however_little_time_it_has() {
    let bench = slow(3, Duration::from_millis(90));
    let context = search(&bench, equal("JobId", &id(2)));
    let none = "<w:OperationTimeout>PT0S</w:OperationTimeout>";
    for _ in 0..2 {
        let fault = bench.fault(&pull(&context, none, "")).await;
        assert_eq!(gist(&fault), "wsman:TimedOut 2150858793");
    }
    let answer = bench.ok(&pull(&context, none, "")).await;
    assert_eq!(
        take_apart(&answer, ns::ENUMERATION),
        (String::new(), 1, true)
    );
}

#[tokio::test(start_paused = true)]
async fn what_has_been_found_does_not_wait_for_what_may_be() {
    let bench = slow(100, Duration::from_millis(500));
    let context = search(&bench, equal("JobId", &id(1)));
    let start = Instant::now();
    let wish = "<n:MaxElements>9</n:MaxElements><n:MaxTime>PT40S</n:MaxTime>";
    let answer = bench.ok(&pull(&context, "", wish)).await;
    let (_, items, is_last) = take_apart(&answer, ns::ENUMERATION);
    assert_eq!((items, is_last), (1, false));
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn an_optimized_enumeration_answers_before_its_time_is_up() {
    let wish = "<w:OptimizeEnumeration/><w:MaxElements>9</w:MaxElements>";
    for (timeout, milliseconds) in [("PT20S", 15_000), ("PT4S", 3_000), ("PT600S", 55_000)] {
        let bench = slow(2, Duration::from_secs(58));
        let more = format!("<w:OperationTimeout>{timeout}</w:OperationTimeout>");
        let start = Instant::now();
        let answer = bench.ok(&enumerate(WMI, &more, wish)).await;
        assert_eq!(start.elapsed().as_millis(), milliseconds);
        let (context, items, is_last) = take_apart(&answer, ns::WSMAN);
        assert!(context.starts_with("uuid:") && items == 0 && !is_last);
        let answer = bench.ok(&pull(&context, "", "")).await;
        assert_eq!(take_apart(&answer, ns::ENUMERATION).1, 1);
    }
}

#[tokio::test]
async fn others_have_their_turn_during_a_search() {
    let bench = slow(50, Duration::ZERO);
    let context = search(&bench, equal("JobId", &id(49)));
    let turns = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            *counted.lock().expect("no panic") += 1;
            tokio::task::yield_now().await;
        }
    });
    bench.ok(&pull(&context, "", "")).await;
    assert!(*turns.lock().expect("no panic") > 40);
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn a_context_that_nobody_pulls_ends_by_the_timeout_in_force() {
    let bench = slow(3, Duration::ZERO);
    let idle = WsmanSettings::default().enumeration_timeout_ms;
    let answer = bench.ok(&enumerate(WMI, "", "")).await;
    let (context, _, _) = take_apart(&answer, ns::WSMAN);
    tokio::time::sleep(Duration::from_millis(idle - 1)).await;
    bench.ok(&pull(&context, "", "")).await;
    tokio::time::sleep(Duration::from_millis(idle)).await;
    assert_eq!(
        gist(&bench.fault(&pull(&context, "", "")).await),
        "n:InvalidEnumerationContext 2150858779"
    );
}
