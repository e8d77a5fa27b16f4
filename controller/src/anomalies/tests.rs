//! Figures taken in, anomalies begun and settled, and which snapshots are wanted.

use lumbung_model::anomaly::{FolderFigures, NewData};
use lumbung_model::{DatasetId, ManifestId, SiteId};
use lumbung_wire::messages::register::{RetiredKind, RetirementInput};
use lumbung_wire::messages::{Outcome, ReportId, Statistics};

use super::*;
use crate::db::alarms::Wanted;
use crate::testing::{City, START};

const DAY_S: i64 = 86_400;

fn work() -> RunFigures {
    RunFigures {
        before_files: 1000,
        before_bytes: 1_000_000,
        changed_files: 10,
        rewritten: NewData {
            read_bytes: 10_000,
            deduplicated_bytes: 1000,
            incompressible_bytes: 2000,
        },
        ..RunFigures::default()
    }
}

fn attack() -> RunFigures {
    RunFigures {
        changed_files: 600,
        rewritten: NewData {
            read_bytes: 600_000,
            deduplicated_bytes: 0,
            incompressible_bytes: 599_000,
        },
        folders: vec![FolderFigures {
            path: "/srv/data".to_owned(),
            changed_files: 600,
            ..FolderFigures::default()
        }],
        ..work()
    }
}

fn report(city: &City, day: u8, changes: RunFigures) -> Report {
    Report {
        id: ReportId::from_bytes([day; 16]),
        kind: ReportKind::Backup,
        at: START.plus_seconds(i64::from(day) * DAY_S),
        dataset: city.dataset,
        manifest: Some(ManifestId::from_bytes([day; 32])),
        outcome: Outcome::Ok,
        statistics: Statistics::default(),
        message: String::new(),
        cause: None,
        changes: Some(changes),
    }
}

/// Takes a report in a minute after it was made; whether it is suspicious.
fn take(city: &City, report: &Report) -> bool {
    let now = report.at.plus_seconds(60);
    city.db.write(|tx| take_in(tx, now, &city.agent, report)).unwrap()
}

fn worked(days: u8) -> City {
    let city = City::new();
    for day in 0..days {
        assert!(!take(&city, &report(&city, day, work())));
    }
    city
}

fn all(city: &City) -> Vec<Anomaly> {
    city.db.read(|tx| rows::anomalies(tx, None, None, 100)).unwrap()
}

fn alarms_of(city: &City) -> Vec<alarms::AlarmRow> {
    let wanted = Wanted { kind: Some(ALARM.to_owned()), ..Wanted::default() };
    city.db.read(|tx| alarms::list(tx, None, &wanted, 100)).unwrap()
}

fn say(city: &City, state: AnomalyState, reason: &str) -> Result<Anomaly, AnomalyError> {
    let (act, id) = (Act::console(START.plus_seconds(100 * DAY_S)), all(city)[0].id);
    city.db.write(|tx| decide(tx, &act, &id, state, reason))
}

#[test]
fn a_suspicious_run_is_one_alarm_that_names_the_folder() {
    let city = worked(20);
    let first = report(&city, 20, attack());
    assert!(take(&city, &first));
    assert!(!take(&city, &first), "told twice, it counts once");
    assert!(take(&city, &report(&city, 21, attack())));
    let found = all(&city);
    assert_eq!((found.len(), found[0].runs, found[0].state), (1, 2, AnomalyState::Open));
    assert_eq!((found[0].since, found[0].pd), (first.at, city.pd));
    let alarms = alarms_of(&city);
    assert_eq!(alarms.len(), 1);
    let finding = &alarms[0].finding;
    assert_eq!((finding.subject.clone(), finding.pd), (city.dataset.to_string(), Some(city.pd)));
    for told in
        ["/srv/data (600 changed, 0 gone)", "no snapshot from before", &found[0].id.to_string()]
    {
        assert!(finding.detail.contains(told), "{}", finding.detail);
    }
}

#[test]
fn what_is_dismissed_is_history_and_what_is_confirmed_is_not() {
    let city = worked(20);
    take(&city, &report(&city, 20, attack()));
    assert!(matches!(say(&city, AnomalyState::Dismissed, " "), Err(AnomalyError::Reason)));
    assert!(matches!(say(&city, AnomalyState::Closed, "done"), Err(AnomalyError::Open)));
    let dismissed = say(&city, AnomalyState::Dismissed, "tutup buku akhir bulan").unwrap();
    assert_eq!(dismissed.note, "tutup buku akhir bulan");
    assert!(alarms_of(&city).is_empty());
    assert!(matches!(
        say(&city, AnomalyState::Confirmed, "x"),
        Err(AnomalyError::Settled(AnomalyState::Dismissed))
    ));
    assert!(!take(&city, &report(&city, 21, attack())), "its like is usual now");

    let city = worked(20);
    take(&city, &report(&city, 20, attack()));
    say(&city, AnomalyState::Confirmed, "ransomware").unwrap();
    assert_eq!(alarms_of(&city).len(), 1, "it stands until it is dealt with");
    assert!(take(&city, &report(&city, 21, attack())));
    assert_eq!(all(&city).len(), 1, "it goes on");
    say(&city, AnomalyState::Closed, "dipulihkan").unwrap();
    assert!(alarms_of(&city).is_empty());
    assert!(take(&city, &report(&city, 22, attack())), "an attack is never usual");
    assert_eq!(all(&city).len(), 2);
}

#[test]
fn figures_that_cannot_be_or_are_of_another_count_for_nothing() {
    let city = worked(20);
    let wrong = RunFigures { changed_files: 2000, ..attack() };
    assert!(!take(&city, &report(&city, 20, wrong)));
    let other = Report { dataset: DatasetId::random(), ..report(&city, 21, attack()) };
    assert!(!take(&city, &other));
    let restore = Report { kind: ReportKind::Restore, ..report(&city, 22, attack()) };
    assert!(!take(&city, &restore));
    assert!(all(&city).is_empty());
    // A clock that is a year ahead does not put its run behind all that follow.
    let ahead = report(&city, 23, work());
    let now = ahead.at;
    let ahead = Report { at: now.plus_seconds(365 * DAY_S), ..ahead };
    city.db.write(|tx| take_in(tx, now, &city.agent, &ahead)).unwrap();
    let after = now.plus_seconds(1);
    let history = city.db.read(|tx| rows::history(tx, &city.dataset, after, 100)).unwrap();
    assert_eq!(history.last().unwrap().at, now);
    assert!(history.iter().all(|run| run.figures.folders.is_empty()));
}

/// Shows a site's snapshots of these days, oldest first.
fn show(city: &City, site: &crate::testing::TestSite, days: &[i64]) {
    for day in days {
        let at = START.plus_seconds(day * DAY_S);
        let sequence = u64::try_from(*day).unwrap();
        let (_, object) = city.signed_manifest(sequence, ManifestId::ZERO, at);
        site.take(city, &object, at.plus_seconds(120));
    }
}

#[tokio::test]
async fn each_site_holds_its_newest_snapshot_and_one_from_a_week_before() {
    let city = worked(20);
    let suspicious = Report { manifest: None, ..report(&city, 31, attack()) };
    assert!(take(&city, &suspicious));
    let found = &all(&city)[0];
    let wanted = |before_day: i64| -> Vec<(SiteId, i64)> {
        let before = START.plus_seconds(before_day * DAY_S);
        let kept = city.db.read(|tx| rows::wanted_before(tx, found, before)).unwrap();
        let day = |finished: Timestamp| finished.seconds_since(START) / DAY_S;
        kept.iter().map(|one| (one.site, day(one.finished))).collect()
    };
    assert_eq!(wanted(31), []);
    // The Pusat Data has many more of late than the DRC.
    show(&city, &city.pusat, &[22, 23, 24, 27, 28, 29, 30, 31]);
    show(&city, &city.drc, &[21, 28]);
    city.poll_both().await;
    let (pusat, drc) = (city.pusat.id, city.drc.id);
    assert_eq!(wanted(31), [(pusat, 30), (drc, 28), (pusat, 23), (drc, 21)]);
    assert_eq!(wanted(24), [(pusat, 23), (drc, 21)]);
}

#[test]
fn what_was_found_in_a_dataset_that_is_retired_stands_until_a_person_settles_it() {
    let city = worked(20);
    take(&city, &report(&city, 20, attack()));
    let act = Act::console(START.plus_seconds(21 * DAY_S));
    let input = RetirementInput {
        kind: RetiredKind::Dataset,
        id: city.dataset.to_string(),
        from: act.now,
        reason: "diganti".to_owned(),
        with_contents: false,
    };
    city.db.write(|tx| crate::retire::retire(tx, &act, &input)).unwrap();
    assert_eq!((all(&city).len(), alarms_of(&city).len()), (1, 1));
    say(&city, AnomalyState::Dismissed, "server lama").unwrap();
    assert!(alarms_of(&city).is_empty());
}
