//! The rules of a job, one by one and on random walks.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::bits::OptionChange;

const NOW: Timestamp = Timestamp::from_ticks(1_000_000_000);

fn new_file(name: &str) -> NewFile {
    NewFile {
        remote_url: format!("http://server/{name}"),
        local_file: format!("/data/{name}"),
        path: PathBuf::from(format!("/data/{name}")),
        ..NewFile::default()
    }
}

fn suspended(files: usize) -> (Job, Vec<File>) {
    let new = NewJob {
        display_name: "Test".to_owned(),
        files: (0..files).map(|n| new_file(&n.to_string())).collect(),
        suspended: true,
        ..NewJob::default()
    };
    Job::create(JobId::new(), Owner::new("alice"), new, NOW).expect("fits")
}

fn error() -> JobError {
    JobError {
        context: ErrorContext::RemoteFile,
        code: Hresult::from_http_status(503),
        file: Some(0),
        detail: String::new(),
        circumstances: Circumstances::default(),
    }
}

fn interrupted() -> Input {
    Input::FailedForNow {
        error: error(),
        retry_after: None,
    }
}

fn running(files: usize) -> (Job, Vec<File>) {
    let (mut job, files) = suspended(files);
    for input in [Input::Resume, Input::Start, Input::Connected] {
        job.apply(input, NOW).expect("fits");
    }
    (job, files)
}

#[test]
fn resuming_a_job_without_files_leaves_it_suspended() {
    let (mut job, _) = suspended(0);
    assert_eq!(
        job.apply(Input::Resume, NOW),
        Err(Refused(Hresult::BG_E_EMPTY))
    );
    assert_eq!(job.state, State::Suspended);
}

#[test]
fn resuming_a_running_job_succeeds_and_changes_nothing() {
    let (mut job, _) = running(1);
    let before = job.clone();
    assert_eq!(job.apply(Input::Resume, NOW), Ok(Effect::Unchanged));
    assert_eq!(job, before);
}

#[test]
fn a_job_walks_from_queued_to_acknowledged() {
    let (mut job, mut files) = running(1);
    job.report(&mut files[0], FileReport::Done(10), NOW);
    assert_eq!(job.apply(Input::Transferred, NOW), Ok(Effect::Changed));
    assert_eq!(
        (job.state, job.bytes_total(), job.bytes_transferred),
        (State::Transferred, Some(10), 10)
    );
    assert_eq!(
        job.apply(Input::Complete, NOW),
        Ok(Effect::Settle(Intent::Complete))
    );
    assert_eq!(
        job.apply(Input::Suspend, NOW),
        Err(Refused(Hresult::BG_E_INVALID_STATE))
    );
    assert_eq!(job.apply(Input::Settled, NOW), Ok(Effect::Remove));
    assert_eq!(job.state, State::Acknowledged);
}

#[test]
fn a_failed_complete_leaves_a_transferred_job_transferred() {
    let (mut job, mut files) = running(1);
    job.report(&mut files[0], FileReport::Done(10), NOW);
    for input in [Input::Transferred, Input::Complete] {
        job.apply(input, NOW).expect("fits");
    }
    job.apply(Input::Unsettled(error()), NOW).expect("fits");
    assert_eq!((job.state, job.intent), (State::Transferred, None));
}

#[test]
fn a_job_is_not_transferred_while_a_file_is_missing() {
    let (mut job, mut files) = running(2);
    job.report(&mut files[0], FileReport::Done(10), NOW);
    assert_eq!(job.apply(Input::Transferred, NOW), Ok(Effect::Unchanged));
    assert_eq!(job.state, State::Transferring);
}

#[test]
fn a_transient_error_is_tried_again_after_the_minimum_delay() {
    let (mut job, _) = running(1);
    let effect = job.apply(interrupted(), NOW).expect("fits");
    assert_eq!(effect, Effect::WakeAt(NOW + DEFAULT_MINIMUM_RETRY_DELAY));
    assert_eq!(
        (job.state, job.transient_error_count),
        (State::TransientError, 1)
    );
    assert_eq!(
        job.apply(Input::Retry, NOW + DEFAULT_MINIMUM_RETRY_DELAY),
        Ok(Effect::Schedule)
    );
}

#[test]
fn a_server_that_asks_for_a_longer_delay_gets_it() {
    let (mut job, _) = running(1);
    let long = Duration::from_hours(2);
    let input = Input::FailedForNow {
        error: error(),
        retry_after: Some(long),
    };
    assert_eq!(job.apply(input, NOW), Ok(Effect::WakeAt(NOW + long)));
}

#[test]
fn no_progress_within_the_timeout_is_fatal() {
    let (mut job, _) = running(1);
    let changes = Changes {
        no_progress_timeout_s: Some(900),
        ..Changes::default()
    };
    job.set(changes, NOW).expect("fits");
    job.apply(interrupted(), NOW).expect("fits");
    let retry = NOW + DEFAULT_MINIMUM_RETRY_DELAY;
    for input in [Input::Retry, Input::Start] {
        job.apply(input, retry).expect("fits");
    }
    let deadline = NOW + Duration::from_mins(15);
    assert_eq!(
        job.apply(interrupted(), retry),
        Ok(Effect::WakeAt(deadline))
    );
    job.apply(Input::Retry, deadline).expect("fits");
    assert_eq!(job.state, State::Error);
}

#[test]
fn progress_starts_the_timeout_anew() {
    let (mut job, mut files) = running(1);
    job.apply(interrupted(), NOW).expect("fits");
    assert!(job.stalled_at.is_some());
    job.report(&mut files[0], FileReport::Durable(1), NOW);
    assert!(job.stalled_at.is_none());
}

#[test]
fn with_no_progress_timeout_zero_every_error_is_fatal() {
    let (mut job, _) = running(1);
    let changes = Changes {
        no_progress_timeout_s: Some(0),
        ..Changes::default()
    };
    job.set(changes, NOW).expect("fits");
    job.apply(interrupted(), NOW).expect("fits");
    assert_eq!(job.state, State::Error);
}

#[test]
fn a_restarted_file_gives_its_octets_back() {
    let (mut job, mut files) = running(1);
    let began = |restarted, size| FileReport::Began {
        size: Some(size),
        validator: Validator::default(),
        restarted,
    };
    job.report(&mut files[0], began(false, 100), NOW);
    job.report(&mut files[0], FileReport::Durable(60), NOW);
    job.report(&mut files[0], began(true, 80), NOW);
    assert_eq!((job.bytes_transferred, job.bytes_total()), (0, Some(80)));
}

#[test]
fn sizes_beyond_all_measure_are_counted_off_again() {
    let (mut job, mut files) = running(2);
    let began = |size| FileReport::Began {
        size: Some(size),
        validator: Validator::default(),
        restarted: true,
    };
    for file in &mut files {
        job.report(file, began(u64::MAX), NOW);
    }
    for file in &mut files {
        job.report(file, began(5), NOW);
    }
    assert_eq!(job.bytes_total(), Some(10));
}

#[test]
fn a_put_that_does_not_fit_changes_nothing() {
    let (mut job, _) = suspended(1);
    let before = job.clone();
    let changes = Changes {
        display_name: Some("New".to_owned()),
        priority: Some(9),
        ..Changes::default()
    };
    assert_eq!(job.set(changes, NOW), Err(Refused(Hresult::E_NOTIMPL)));
    assert_eq!(job, before);
}

/// Any input that can come from outside the table.
fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Resume),
        Just(Input::Suspend),
        Just(Input::Complete),
        Just(Input::Cancel),
        Just(Input::Start),
        Just(Input::Connected),
        Just(Input::Preempt),
        Just(Input::Interrupted),
        Just(Input::Transferred),
        Just(interrupted()),
        Just(Input::Failed(error())),
        Just(Input::Retry),
        Just(Input::Settled),
        Just(Input::Unsettled(error())),
    ]
}

/// A walk through the table, with files that arrive on the way.
#[derive(Clone, Debug)]
enum Step {
    Input(Input),
    Report(usize, FileReport),
    Add,
}

fn walk() -> impl Strategy<Value = Vec<Step>> {
    let report = (0_usize..4, 0_u64..100, 0_u8..4).prop_map(|(file, octets, kind)| {
        let report = match kind {
            0 => FileReport::Done(octets),
            1 => FileReport::Durable(octets),
            _ => FileReport::Began {
                size: Some(octets),
                validator: Validator::default(),
                restarted: kind == 3,
            },
        };
        Step::Report(file, report)
    });
    prop::collection::vec(
        prop_oneof![4 => input().prop_map(Step::Input), 2 => report, 1 => Just(Step::Add)],
        0..60,
    )
}

proptest! {
    #[test]
    fn the_rules_hold_on_every_walk(files in 0_usize..3, walk in walk(), pause_s in 0_u64..2_000) {
        let (mut job, mut files) = suspended(files);
        let mut now = NOW;
        for step in walk {
            now = now + Duration::from_secs(pause_s);
            let before = job.clone();
            match step {
                Step::Input(input) => match job.apply(input, now) {
                    Err(_) => prop_assert_eq!(&job, &before, "a refused input changes nothing"),
                    Ok(Effect::Unchanged) => prop_assert_eq!(&job, &before),
                    Ok(Effect::Remove) => prop_assert!(job.state.is_final()),
                    Ok(Effect::WakeAt(at)) => {
                        prop_assert_eq!(job.state, State::TransientError);
                        prop_assert_eq!(job.wake_at, Some(at));
                    }
                    Ok(Effect::Schedule) => prop_assert_eq!(job.state, State::Queued),
                    Ok(Effect::Stop) => prop_assert!(!job.state.is_running()),
                    Ok(Effect::Settle(intent)) => prop_assert_eq!(job.intent, Some(intent)),
                    Ok(Effect::Changed) => {}
                },
                // A transfer speaks of a file that is not whole only.
                Step::Report(at, report) => {
                    if let Some(file) = files.get_mut(at).filter(|file| !file.transferred) {
                        job.report(file, report, now);
                    }
                }
                Step::Add => {
                    if let Ok(file) = job.add_file(new_file("more"), now) {
                        files.push(file);
                    } else {
                        prop_assert_eq!(&job, &before);
                    }
                }
            }
            if before.state.is_final() {
                prop_assert_eq!(job.state, before.state, "a final state is final");
            }
            prop_assert_eq!(job.files_total as usize, files.len());
            prop_assert_eq!(job.files_transferred as usize, files.iter().filter(|file| file.transferred).count());
            prop_assert_eq!(job.files_sized as usize, files.iter().filter(|file| file.size.is_some()).count());
            prop_assert_eq!(job.bytes_transferred, files.iter().map(File::octets).sum::<u64>());
            prop_assert_eq!(job.wake_at.is_some(), job.state == State::TransientError);
            prop_assert!(job.state != State::Transferred || before.state == State::Transferred || job.files_transferred == job.files_total);
        }
    }

    #[test]
    fn the_table_has_an_answer_for_every_state_and_input(
        number in 0_u16..9, intent in prop::option::of(prop_oneof![Just(Intent::Complete), Just(Intent::Cancel)]),
        has_files: bool, has_work: bool, is_upload: bool, has_alarm: bool, input in input(),
    ) {
        let state = State::from_number(number).expect("in range");
        let at = Situation { state, intent, has_files, has_work: has_files && has_work, is_upload, has_alarm };
        let by_client = matches!(input, Input::Resume | Input::Suspend | Input::Complete | Input::Cancel);
        match step(at, &input) {
            super::Step::Refuse(_) => prop_assert!(by_client, "only a client is refused"),
            super::Step::To(to) => prop_assert!(!state.is_final() && (to == state || intent.is_none() || matches!(input, Input::Settled | Input::Unsettled(_)))),
            super::Step::Late => prop_assert!(!by_client, "a client gets an answer"),
            super::Step::Stay | super::Step::Intend(_) => {}
        }
    }
}

fn put_off(job: &mut Job, start_after: Option<Timestamp>, now: Timestamp) -> Effect {
    job.0.options.start_after = start_after;
    job.follow_start_after(now.into())
}

fn with_start_after(start_after: Timestamp) -> Job {
    let (mut job, _) = suspended(1);
    assert_eq!(put_off(&mut job, Some(start_after), NOW), Effect::Changed);
    job
}

/// A moment at which the two clocks show different times.
fn apart(date: Timestamp, steady: Timestamp) -> Now {
    Now { date, steady }
}

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn a_job_that_is_to_start_later_stands_in_no_line_until_then() {
    let due = NOW + HOUR;
    let mut job = with_start_after(due);
    assert_eq!(job.apply(Input::Resume, NOW), Ok(Effect::WakeAt(due)));
    assert_eq!((job.state, job.wake_at), (State::Queued, Some(due)));
    assert_eq!(job.apply(Input::Start, NOW), Ok(Effect::Unchanged));
    // Woken too early it waits on.
    assert_eq!(job.apply(Input::Retry, NOW), Ok(Effect::WakeAt(due)));
    assert_eq!(job.apply(Input::Retry, due), Ok(Effect::Schedule));
    assert_eq!((job.wake_at, job.queued_at), (None, due));
    assert_eq!(job.apply(Input::Start, due), Ok(Effect::Changed));
}

#[test]
fn a_time_to_start_that_has_gone_holds_nobody() {
    let mut job = with_start_after(NOW);
    assert_eq!(job.apply(Input::Resume, NOW), Ok(Effect::Schedule));
    assert_eq!(job.wake_at, None);
}

#[test]
fn the_time_to_start_can_be_changed_while_a_job_waits_for_it() {
    let mut job = with_start_after(NOW + HOUR);
    job.apply(Input::Resume, NOW).expect("fits");
    let later = NOW + HOUR + HOUR;
    assert_eq!(put_off(&mut job, Some(later), NOW), Effect::Schedule);
    assert_eq!(job.wake_at, Some(later));
    assert_eq!(put_off(&mut job, None, NOW), Effect::Schedule);
    assert_eq!((job.state, job.wake_at), (State::Queued, None));
    assert_eq!(put_off(&mut job, Some(later), NOW), Effect::Schedule);
    assert_eq!(job.wake_at, Some(later));
    assert_eq!(job.apply(Input::Suspend, NOW), Ok(Effect::Changed));
    assert_eq!((job.state, job.wake_at), (State::Suspended, None));
}

#[test]
fn a_date_to_start_follows_the_calendar_and_a_delay_does_not() {
    let due = NOW + HOUR;
    let mut job = with_start_after(due);
    job.apply(Input::Resume, NOW).expect("fits");
    // The calendar was set forward: nearly no time has passed.
    let jumped = apart(due, NOW + Duration::from_secs(1));
    assert_eq!(job.apply(Input::Retry, jumped), Ok(Effect::Schedule));

    let (mut job, _) = running(1);
    let failed = apart(NOW + HOUR * 1_000, NOW);
    let effect = job.apply(interrupted(), failed).expect("fits");
    assert_eq!(effect, Effect::WakeAt(NOW + DEFAULT_MINIMUM_RETRY_DELAY));
    assert_eq!(job.modified_at, NOW + HOUR * 1_000);
}

#[test]
fn no_jump_of_the_calendar_ends_a_job() {
    let (mut job, _) = running(1);
    job.apply(interrupted(), NOW).expect("fits");
    let years = Duration::from_hours(24 * 365 * 30);
    let jumped = apart(NOW + years, NOW + DEFAULT_MINIMUM_RETRY_DELAY);
    assert_eq!(job.apply(Input::Retry, jumped), Ok(Effect::Schedule));
    assert_eq!(job.queued_at, jumped.steady);
}

#[test]
fn time_counts_while_a_job_runs_and_until_it_is_resumed() {
    let minute = Duration::from_mins(1);
    let (mut job, mut files) = running(1);
    job.set_options([OptionChange::MaximumDownloadTime(Some(600))], NOW)
        .expect("open");
    assert_eq!(job.time_over_at(HOUR), Some(NOW + Duration::from_mins(10)));
    job.apply(Input::Preempt, NOW + minute).expect("fits");
    assert_eq!((job.active_for, job.time_over_at(HOUR)), (minute, None));
    // Waiting does not count.
    job.apply(Input::Start, NOW + HOUR).expect("fits");
    assert_eq!(job.time_over_at(HOUR), Some(NOW + HOUR + minute * 9));
    job.report(&mut files[0], FileReport::Durable(1), NOW + HOUR + minute);
    assert_eq!(job.time_over_at(HOUR), Some(NOW + HOUR + minute * 9));
    // The service was killed, and down for long.
    let start = NOW + HOUR * 9;
    assert_eq!(job.apply(Input::Interrupted, start), Ok(Effect::Stop));
    assert_eq!((job.state, job.active_for), (State::Queued, minute * 2));
    job.apply(Input::Suspend, start).expect("fits");
    job.apply(Input::Resume, start).expect("fits");
    assert_eq!(job.active_for, Duration::ZERO);
}

#[test]
fn reports_that_come_often_lose_no_time() {
    let (mut job, mut files) = running(1);
    let moment = Duration::from_micros(1_900);
    for count in 1..=10 {
        job.report(&mut files[0], FileReport::Durable(1), NOW + moment * count);
        assert_eq!(job.active_for.subsec_nanos() % 1_000_000, 0);
    }
    assert_eq!(job.active_for, Duration::from_millis(19));
}

#[test]
fn the_usual_time_counts_for_a_job_that_sets_none_and_zero_is_none() {
    let (mut job, _) = running(1);
    assert_eq!(job.time_over_at(HOUR), Some(NOW + HOUR));
    assert_eq!(job.time_over_at(Duration::ZERO), None);
    job.set_options([OptionChange::MaximumDownloadTime(Some(0))], NOW)
        .expect("open");
    assert_eq!(job.time_over_at(HOUR), None);
}

#[test]
fn an_interrupted_job_keeps_its_place_in_the_line() {
    let (mut job, _) = running(1);
    job.apply(Input::Interrupted, NOW + HOUR).expect("fits");
    assert_eq!(job.queued_at, NOW);
    let (mut job, _) = running(1);
    job.apply(Input::Preempt, NOW + HOUR).expect("fits");
    assert_eq!(job.queued_at, NOW + HOUR);
}

fn disconnected() -> Input {
    Input::FailedForNow {
        error: JobError {
            code: Hresult::BG_E_NETWORK_DISCONNECTED,
            ..error()
        },
        retry_after: None,
    }
}

#[test]
fn a_lost_network_is_not_counted_and_has_no_timer_but_the_last() {
    let (mut job, _) = running(1);
    let last = NOW + DEFAULT_NO_PROGRESS_TIMEOUT;
    assert_eq!(job.apply(disconnected(), NOW), Ok(Effect::WakeAt(last)));
    assert_eq!(
        (job.state, job.transient_error_count),
        (State::TransientError, 0)
    );
    // The network is back.
    let mut back = job.clone();
    assert_eq!(back.apply(Input::Retry, NOW + HOUR), Ok(Effect::Schedule));
    // It never comes back.
    job.apply(Input::Retry, last).expect("fits");
    assert_eq!(job.state, State::Error);
}

#[test]
fn the_host_is_that_of_the_first_missing_file() {
    let (mut job, mut files) = suspended(1);
    assert_eq!(job.host, "server");
    let more = |host: &str| NewFile {
        remote_url: format!("http://{host}:80/a"),
        ..new_file("a")
    };
    files.push(job.add_file(more("second"), NOW).expect("open"));
    assert_eq!(job.host, "server");
    for file in &mut files {
        job.report(file, FileReport::Done(1), NOW);
    }
    job.add_file(more("third"), NOW).expect("open");
    assert_eq!(job.host, "third");
}

proptest! {
    #[test]
    fn who_waits_for_a_date_starts_not_before_it(
        walk in prop::collection::vec((input(), 0_u64..4_000, prop::option::of(0_u64..40_000)), 0..60),
    ) {
        let (mut job, _) = suspended(1);
        let mut now = NOW;
        for (input, pause_s, start_after_s) in walk {
            now = now + Duration::from_secs(pause_s);
            if let Some(seconds) = start_after_s {
                let start_after = NOW + Duration::from_secs(seconds);
                if put_off(&mut job, Some(start_after), now) == Effect::Schedule {
                    prop_assert_eq!(job.wake_at.is_some(), start_after > now);
                }
            }
            let before = job.clone();
            let _ = job.apply(input, now);
            if before.state == State::Queued && job.state == State::Connecting {
                prop_assert!(before.wake_at.is_none());
            }
            if job.state == State::Queued && before.state != State::Queued {
                let due = job.options.start_after;
                prop_assert_eq!(job.wake_at, due.filter(|due| *due > now));
            }
        }
    }
}

#[test]
fn an_upload_has_one_file() {
    let new = |files: usize| NewJob {
        kind: JobType::Upload,
        display_name: "Test".to_owned(),
        files: (0..files).map(|n| new_file(&n.to_string())).collect(),
        suspended: true,
        ..NewJob::default()
    };
    let create = |files| Job::create(JobId::new(), Owner::new("alice"), new(files), NOW);
    let refused = Refused(Hresult::BG_E_TOO_MANY_FILES);
    assert_eq!(create(2).err(), Some(refused));
    let (mut job, _) = create(1).expect("fits");
    assert_eq!(job.add_file(new_file("b"), NOW).err(), Some(refused));
    assert_eq!(job.files_total, 1);
}

#[test]
fn an_upload_is_completed_only_when_the_server_has_all_of_it() {
    let new = NewJob {
        kind: JobType::Upload,
        display_name: "Test".to_owned(),
        files: vec![new_file("a")],
        ..NewJob::default()
    };
    let (mut job, mut files) =
        Job::create(JobId::new(), Owner::new("alice"), new, NOW).expect("fits");
    for input in [Input::Start, Input::Connected] {
        job.apply(input, NOW).expect("fits");
        let refused = Refused(Hresult::BG_E_INVALID_STATE);
        assert_eq!(job.apply(Input::Complete, NOW), Err(refused));
    }
    job.report(&mut files[0], FileReport::Done(5), NOW);
    job.apply(Input::Transferred, NOW).expect("fits");
    assert!(job.apply(Input::Complete, NOW).is_ok());
}

#[test]
fn a_file_that_has_moved_has_its_new_address_and_nothing_else_changes() {
    let (mut job, mut files) = running(1);
    let before = (job.clone(), files[0].clone());
    let to = "http://other/b?c".to_owned();
    job.report(&mut files[0], FileReport::Moved(to.clone()), NOW);
    assert_eq!(files[0].remote_url, to);
    files[0].remote_url.clone_from(&before.1.remote_url);
    assert_eq!(files[0], before.1);
    assert_eq!(job.bytes_transferred, before.0.bytes_transferred);
    assert_eq!(job.state, before.0.state);
}
