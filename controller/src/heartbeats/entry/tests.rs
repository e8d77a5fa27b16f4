//! Spans, and what is due when, without a database.

use lumbung_wire::messages::{HostHealth, JobPhase};

use super::*;

const LATE_S: i64 = 150;

fn job(n: u8, state: JobPhase) -> JobState {
    JobState {
        dataset: DatasetId::from_bytes([n; 16]),
        name: format!("job-{n}"),
        state,
        last_ok: None,
        next_run: None,
        message: None,
    }
}

fn said(version: &str, uptime_s: u64, jobs: Vec<JobState>) -> Said {
    let health = HostHealth { uptime_s, ..HostHealth::default() };
    let now = Timestamp(7);
    let version = version.to_owned();
    Said::of(&HeartbeatRequest { now, version, health, jobs, policy: None }).unwrap()
}

fn beat(uptime_s: u64) -> Said {
    said("1", uptime_s, vec![job(1, JobPhase::Waiting)])
}

/// An agent all of whose words are written.
fn settled(now: i64) -> Entry {
    let mut entry = Entry::new(Timestamp(now), Stored::default());
    entry.hear(Timestamp(now), beat(0), LATE_S);
    write(&mut entry, now);
    entry
}

/// Writes what is due, as the keeper does.
fn write(entry: &mut Entry, now: i64) -> Kept {
    let told = matches!(entry.due(Timestamp(now)), Due::Old | Due::All);
    let kept = entry.to_keep(told);
    entry.kept(Timestamp(now), &kept);
    kept
}

fn span(first: i64, last: i64, beats: i64) -> Span {
    Span { first: Timestamp(first), last: Timestamp(last), beats, booted: None }
}

/// The same, of a host that had told when it started.
fn started(booted: i64, span: Span) -> Span {
    Span { booted: Some(Timestamp(booted)), ..span }
}

#[test]
fn a_span_goes_on_until_a_silence_and_is_written_with_its_beginning() {
    let stored = Stored { span: Some(span(0, 100, 9)), ..Stored::default() };
    let mut entry = Entry::new(Timestamp(200), stored);
    entry.hear(Timestamp(250), beat(1), LATE_S);
    assert_eq!(write(&mut entry, 250).spans, [span(0, 250, 10)], "150 s are no silence");
    entry.hear(Timestamp(401), beat(2), LATE_S);
    entry.hear(Timestamp(410), beat(3), LATE_S);
    entry.hear(Timestamp(600), beat(4), LATE_S);
    assert_eq!(
        write(&mut entry, 600).spans,
        [span(0, 250, 10), started(399, span(401, 410, 2)), started(596, span(600, 600, 1))]
    );
    entry.hear(Timestamp(610), beat(5), LATE_S);
    assert_eq!(
        write(&mut entry, 610).spans,
        [started(596, span(600, 610, 2))],
        "the others are written"
    );
    entry.hear(Timestamp(605), beat(6), LATE_S);
    assert_eq!(write(&mut entry, 611).spans, [started(596, span(600, 610, 3))], "a clock set back");
    assert_eq!(entry.seen(), Some((Timestamp(605), Timestamp(7))));
}

#[test]
fn what_a_failed_write_left_is_due_again() {
    let mut entry = settled(0);
    entry.hear(Timestamp(10), beat(1), LATE_S);
    let lost = entry.to_keep(false);
    entry.hear(Timestamp(500), beat(2), LATE_S);
    // The first write was never acknowledged.
    drop(lost);
    assert_eq!(write(&mut entry, 500).spans, [span(0, 10, 2), started(498, span(500, 500, 1))]);
    assert_eq!(entry.due(Timestamp(501)), Due::Written);
}

#[test]
fn a_heartbeat_during_a_write_stays_due() {
    let mut entry = settled(0);
    entry.hear(Timestamp(10), beat(1), LATE_S);
    let kept = entry.to_keep(false);
    entry.hear(Timestamp(11), beat(2), LATE_S);
    entry.kept(Timestamp(12), &kept);
    assert_eq!(entry.due(Timestamp(12)), Due::Seen);
    let running = said("1", 3, vec![job(1, JobPhase::Running)]);
    entry.hear(Timestamp(13), running.clone(), LATE_S);
    let kept = entry.to_keep(true);
    entry.hear(Timestamp(14), beat(4), LATE_S);
    entry.kept(Timestamp(15), &kept);
    assert_eq!(entry.due(Timestamp(15)), Due::All, "the jobs changed once more");
    assert_eq!(write(&mut entry, 16).told.unwrap().jobs, Some(beat(4).jobs));
    assert_eq!(entry.jobs(), None, "they are in the database");
}

#[test]
fn health_is_written_when_it_is_old_and_jobs_and_version_at_once() {
    let mut entry = settled(0);
    entry.hear(Timestamp(100), beat(1), LATE_S);
    assert_eq!(entry.due(Timestamp(101)), Due::Seen);
    assert_eq!(write(&mut entry, 101).told, None);
    entry.hear(Timestamp(TOLD_EVERY_S), beat(2), LATE_S);
    assert_eq!(entry.due(Timestamp(TOLD_EVERY_S)), Due::Old);
    let told = write(&mut entry, TOLD_EVERY_S).told.unwrap();
    assert_eq!((&*told.health, told.jobs), (&*beat(2).health, None), "the jobs are there");
    assert_eq!(entry.due(Timestamp(TOLD_EVERY_S + 1)), Due::Nothing);
    for change in [
        said("2", 3, vec![job(1, JobPhase::Waiting)]),
        said("2", 3, vec![job(1, JobPhase::Running)]),
    ] {
        entry.hear(Timestamp(1000), change, LATE_S);
        assert_eq!(entry.due(Timestamp(1000)), Due::All);
        write(&mut entry, 1000);
    }
}

#[test]
fn datasets_are_held_against_the_register_when_they_are_new_and_while_they_are_unknown() {
    let mut entry = Entry::new(Timestamp(0), Stored::default());
    let mut note = |at: i64, jobs: Vec<JobState>, unknown: Option<bool>| {
        let heard = entry.hear(Timestamp(at), said("1", 0, jobs), LATE_S);
        match unknown {
            Some(unknown) if heard.note_jobs => entry.noted(Timestamp(at), unknown),
            None => entry.not_noted(),
            Some(_) => {}
        }
        heard.note_jobs
    };
    let one = |state| vec![job(1, state)];
    assert!(note(0, one(JobPhase::Waiting), None), "and the database failed");
    assert!(note(1, one(JobPhase::Waiting), Some(false)));
    assert!(!note(2, one(JobPhase::Running), Some(false)), "the same datasets");
    assert!(!note(9000, one(JobPhase::Running), Some(false)), "which the register knows");
    assert!(note(9001, vec![job(2, JobPhase::Waiting)], Some(true)));
    assert!(!note(9002, vec![job(2, JobPhase::Waiting)], Some(true)));
    assert!(note(9001 + TOLD_EVERY_S, vec![job(2, JobPhase::Waiting)], Some(true)));
}

#[test]
fn an_agent_that_comes_back_is_known_by_what_is_stored() {
    let stored = Stored {
        span: Some(span(0, 100, 9)),
        version: Some("1".to_owned()),
        jobs: Some(beat(0).jobs.into()),
        unregistered: false,
    };
    let mut entry = Entry::new(Timestamp(110), stored);
    assert_eq!((entry.seen(), entry.health()), (None, None), "the database is right");
    assert_eq!(entry.due(Timestamp(110)), Due::Nothing);
    assert!(!entry.hear(Timestamp(115), beat(9), LATE_S).note_jobs);
    assert_eq!(entry.due(Timestamp(115)), Due::Seen, "neither jobs nor version are new");
}
