//! The planner, and a virtual month of the daemon's loop around it.

use lumbung_model::schedule::{Period, Schedule, parse_zone};
use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp(1_795_305_600); // 2026-11-22 00:00 UTC

fn job(expression: &str, catch_up: bool, jitter_s: u32) -> JobPlan {
    let schedule = Schedule::new(expression.parse().unwrap(), parse_zone("UTC").unwrap());
    let retry = Backoff { attempts: 4, first: Period::seconds(60), cap: Period::seconds(600) };
    let trigger = Trigger { schedule, jitter: Period::seconds(jitter_s), catch_up, seed: 9 };
    JobPlan { trigger: Some(trigger), retry, seed: 9, enabled: true }
}

fn at(hours: i64) -> Timestamp {
    START.plus_seconds(hours * 3600)
}

#[test]
fn nothing_starts_while_something_runs_or_is_switched_off() {
    let due = Record::new(at(0));
    let jobs = [(job("0 * * * *", true, 0), due.clone())];
    assert_eq!(plan(at(1), &jobs, false), [Action::Start(0, Reason::Scheduled(at(1)))]);
    assert_eq!(plan(at(1), &jobs, true), []);
    let off = [(JobPlan { enabled: false, ..job("0 * * * *", true, 0) }, due.clone())];
    assert_eq!(plan(at(1), &off, false), []);
    let by_hand = [(JobPlan { trigger: None, ..job("0 * * * *", true, 0) }, due)];
    assert_eq!(plan(at(1), &by_hand, false), []);
    assert_eq!(next_run(at(1), &by_hand[0].0, &by_hand[0].1), None);
}

#[test]
fn the_job_that_is_due_longest_goes_first() {
    let jobs = [
        (job("0 3 * * *", true, 0), Record::new(at(0))),
        (job("0 2 * * *", true, 0), Record::new(at(0))),
    ];
    assert_eq!(plan(at(0), &jobs, false), [Action::WakeAt(at(2))]);
    assert_eq!(plan(at(4), &jobs, false), [Action::Start(1, Reason::Scheduled(at(2)))]);
}

#[test]
fn a_transient_failure_is_tried_again_until_tries_run_out() {
    let job = job("0 2 * * *", true, 0);
    let mut record = Record::new(at(0)).started(at(2), Some(Reason::Scheduled(at(2))));
    let mut now = at(2);
    for tries in 1..4 {
        record = record.finished(&job, now, Ending::Transient, Some("no answer".to_owned()));
        assert_eq!(record.failures, tries);
        let retry = record.retry_at.unwrap();
        assert!(retry > now && retry <= now.plus_seconds(600));
        let jobs = [(job.clone(), record.clone())];
        assert_eq!(plan(now, &jobs, false), [Action::WakeAt(retry)]);
        assert_eq!(plan(retry, &jobs, false), [Action::Start(0, Reason::Again)]);
        now = retry;
        record = record.started(now, Some(Reason::Again));
    }
    record = record.finished(&job, now, Ending::Transient, None);
    assert_eq!(record.retry_at, None);
    let jobs = [(job, record.clone())];
    assert_eq!(plan(now, &jobs, false), [Action::WakeAt(at(26))], "the next night");
    assert_eq!(record.started(at(26), Some(Reason::Scheduled(at(26)))).failures, 0);
}

#[test]
fn a_permanent_failure_waits_for_the_schedule() {
    let job = job("0 2 * * *", true, 0);
    let record = Record::new(at(0)).started(at(2), Some(Reason::Scheduled(at(2))));
    let record = record.finished(&job, at(3), Ending::Permanent, Some("no such path".to_owned()));
    assert_eq!((record.retry_at, record.outcome), (None, Some(Outcome::Failed)));
    assert_eq!(plan(at(3), &[(job, record)], false), [Action::WakeAt(at(26))]);
}

#[test]
fn what_was_killed_goes_on_at_once() {
    let job = job("0 2 * * *", false, 0);
    let killed = Record::new(at(0)).started(at(2), None);
    let recovered = killed.recovered(at(9));
    assert_eq!(recovered.outcome, Some(Outcome::Interrupted));
    assert_eq!(plan(at(9), &[(job.clone(), recovered)], false), [Action::Start(0, Reason::Again)]);
    let ended = killed.finished(&job, at(3), Ending::Ok, None);
    assert_eq!(ended.recovered(at(9)), ended);
    let stopped = killed.finished(&job, at(3), Ending::Interrupted, None);
    assert_eq!(plan(at(4), &[(job, stopped)], false), [Action::Start(0, Reason::Again)]);
}

#[test]
fn a_clock_that_was_put_back_silences_nothing() {
    let job = job("0 2 * * *", true, 0);
    let record =
        Record { retry_at: Some(at(50_000)), last_started: Some(at(50_000)), ..Record::new(at(0)) };
    assert_eq!(plan(at(3), &[(job, record)], false), [Action::Start(0, Reason::Again)]);
}

/// The daemon's loop over a clock that is moved by hand: every start with its end.
fn simulate(
    job: &JobPlan,
    hours: i64,
    run_s: i64,
    endings: &[Ending],
    down: &[(i64, i64)],
) -> Vec<(Timestamp, Timestamp, Ending)> {
    let mut endings = endings.iter().copied().cycle();
    let mut record = Record::new(START);
    let (mut now, mut runs) = (START, Vec::new());
    while now < at(hours) {
        if let Some((_, up)) = down.iter().find(|(from, to)| (at(*from)..at(*to)).contains(&now)) {
            now = at(*up);
            record = record.recovered(now);
        }
        match plan(now, &[(job.clone(), record.clone())], false)[..] {
            [Action::Start(0, reason)] => {
                record = record.started(now, Some(reason));
                let (start, ending) = (now, endings.next().unwrap());
                now = now.plus_seconds(run_s);
                record = record.finished(job, now, ending, None);
                runs.push((start, now, ending));
            }
            [Action::WakeAt(wake)] => {
                assert!(wake > now, "the daemon would spin");
                now = wake;
            }
            ref other => panic!("{other:?}"),
        }
    }
    runs
}

#[test]
fn a_month_of_nights() {
    let runs = simulate(&job("0 2 * * *", true, 0), 30 * 24, 3600, &[Ending::Ok], &[]);
    let starts: Vec<Timestamp> = runs.iter().map(|(start, ..)| *start).collect();
    assert_eq!(starts, (0..30).map(|day| at(24 * day + 2)).collect::<Vec<_>>());
}

#[test]
fn a_host_that_was_down_for_three_nights_catches_up_once() {
    let down = [(25, 100)]; // nights 2, 3 and 4 are missed
    let starts = |catch_up| {
        let runs = simulate(&job("0 2 * * *", catch_up, 0), 6 * 24, 60, &[Ending::Ok], &down);
        runs.iter().map(|(start, ..)| (start.0 - START.0) / 3600).collect::<Vec<_>>()
    };
    assert_eq!(starts(true), [2, 100, 122]);
    assert_eq!(starts(false), [2, 122]);
}

proptest! {
    #[test]
    fn runs_never_overlap_and_no_night_is_lost(
        run_s in 1_i64..20_000, jitter in 0_u32..7200,
        endings in proptest::collection::vec(prop::sample::select(vec![
            Ending::Ok, Ending::Warnings, Ending::Transient, Ending::Permanent,
        ]), 1..20),
    ) {
        let job = job("0 2 * * *", true, jitter);
        let runs = simulate(&job, 14 * 24, run_s, &endings, &[]);
        for pair in runs.windows(2) {
            prop_assert!(pair[1].0 >= pair[0].1, "overlap");
        }
        for day in 0..13 {
            let due = at(24 * day + 2);
            let night = |t: Timestamp| t >= due && t < due.plus_seconds(86_400);
            prop_assert!(runs.iter().any(|(start, ..)| night(*start)), "day {} has no run", day);
        }
    }
}
