//! What jobs wait for, with clocks that the test sets.

use super::*;
use crate::bits::Now;
use crate::engine::standing::WaitsFor;

const FLOWS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nx";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
const HOUR: Duration = Duration::from_hours(1);

impl Bench {
    /// Moves both clocks, by different spans.
    fn pass(&self, date: Duration, steady: Duration) {
        let now = self.engine.core.now();
        self.engine.core.clock.set(Now {
            date: now.date + date,
            steady: now.steady + steady,
        });
        self.engine.core.look();
    }

    fn standing(&self, id: JobId) -> Standing {
        self.engine.standing(&self.anna, id).expect("there")
    }
}

#[tokio::test]
async fn a_job_is_ended_when_it_has_run_for_too_long() {
    let bench = Bench::new(FLOWS).await;
    let options = JobOptions {
        maximum_download_time_s: Some(3_600),
        ..JobOptions::default()
    };
    let id = bench.job_with("f", options).await;
    bench.reaches(id, State::Transferring).await;
    let ends_at = bench.standing(id).ends_at.expect("it has a limit");
    assert!(ends_at > bench.engine.core.now().date);
    // A calendar that is set does not end it.
    bench.pass(HOUR * 100, Duration::from_mins(59));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.standing(id).state, State::Transferring);
    bench.pass(Duration::ZERO, Duration::from_mins(2));
    bench.reaches(id, State::Error).await;
    let error = bench.standing(id).error.expect("it has failed");
    assert_eq!(error.code, Hresult::BG_E_MAXDOWNLOAD_TIMEOUT);
    bench.engine.stop().await;
}

#[tokio::test]
async fn a_job_starts_on_its_date() {
    let bench = Bench::new(FLOWS).await;
    let due = bench.engine.core.now().date + HOUR;
    let options = JobOptions {
        start_after: Some(due),
        ..JobOptions::default()
    };
    let id = bench.job_with("f", options).await;
    let standing = bench.standing(id);
    assert_eq!(standing.waits_for, Some(WaitsFor::StartAfter));
    assert_eq!((standing.state, standing.until), (State::Queued, Some(due)));
    bench.pass(Duration::ZERO, HOUR * 2);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.standing(id).state, State::Queued);
    bench.pass(HOUR, Duration::ZERO);
    bench.reaches(id, State::Transferring).await;
    bench.engine.stop().await;
}

#[tokio::test]
async fn a_delay_does_not_follow_the_calendar() {
    let bench = Bench::new(BUSY).await;
    let id = bench.job().await;
    bench.reaches(id, State::TransientError).await;
    let years = HOUR * 24 * 365 * 20;
    bench.pass(years, Duration::from_mins(1));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let standing = bench.standing(id);
    assert_eq!(standing.waits_for, Some(WaitsFor::Retry));
    let until = standing.until.expect("it is tried again");
    let wait = until.since(bench.engine.core.now().date);
    assert!(wait <= Duration::from_mins(9) && wait > Duration::from_mins(8));
    let count = |bench: &Bench| {
        bench
            .engine
            .job(&bench.anna, id)
            .expect("there")
            .transient_error_count
    };
    assert_eq!(count(&bench), 1);
    bench.pass(Duration::ZERO, Duration::from_mins(9));
    for _ in 0..1_000 {
        if count(&bench) == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&bench), 2);
    bench.engine.stop().await;
}

#[tokio::test]
async fn who_waits_is_told_for_which_limit_and_behind_whom() {
    let settings = EngineSettings {
        running_jobs: 2,
        running_jobs_per_host: 1,
        ..EngineSettings::default()
    };
    let bench = Bench::with(FLOWS, settings).await;
    let first = bench.job_with("1", JobOptions::default()).await;
    bench.reaches(first, State::Transferring).await;
    let standing = bench.standing(first);
    assert_eq!((standing.waits_for, standing.place), (None, None));
    assert!(standing.octets_per_s.is_some());
    let mut ahead = Vec::new();
    for name in ["2", "3"] {
        let id = bench.job_with(name, JobOptions::default()).await;
        let standing = bench.standing(id);
        assert_eq!(standing.waits_for, Some(WaitsFor::HostLimit));
        let place = standing.place.expect("it stands in the line");
        assert_eq!(place.accounts, 1);
        ahead.push(place.ahead);
    }
    assert_eq!(ahead, [0, 1]);
    bench
        .engine
        .command(&bench.anna, first, Command::Suspend)
        .await
        .expect("held");
    let standing = bench.standing(first);
    assert_eq!(standing.waits_for, Some(WaitsFor::Client));
    bench.engine.stop().await;
}

#[tokio::test]
async fn foreground_jobs_have_slots_of_their_own() {
    let settings = EngineSettings {
        running_jobs: 1,
        foreground_jobs: 2,
        ..EngineSettings::default()
    };
    let bench = Bench::with(FLOWS, settings).await;
    let background = bench.job_with("b", JobOptions::default()).await;
    bench.reaches(background, State::Transferring).await;
    let mut urgent = Vec::new();
    for name in ["1", "2", "3"] {
        let id = bench.job_with(name, JobOptions::default()).await;
        let changes = Changes {
            priority: Some(0),
            ..Changes::default()
        };
        bench
            .engine
            .set(&bench.anna, id, changes)
            .await
            .expect("set");
        urgent.push(id);
    }
    bench.reaches(urgent[0], State::Transferring).await;
    bench.reaches(urgent[1], State::Transferring).await;
    let standing = bench.standing(urgent[2]);
    assert_eq!(standing.waits_for, Some(WaitsFor::ForegroundLimit));
    assert_eq!(bench.standing(background).state, State::Transferring);
    bench.engine.stop().await;
}
