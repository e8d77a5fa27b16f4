use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use lumbung_model::DatasetId;
use lumbung_wire::messages::ReportKind;

use super::*;

fn report(at: i64) -> Report {
    Report {
        id: ReportId::random(),
        kind: ReportKind::Backup,
        at: Timestamp(at),
        dataset: DatasetId::from_bytes([7; 16]),
        manifest: Some(ManifestId::from_bytes([9; 32])),
        outcome: Outcome::Warnings,
        statistics: lumbung_wire::messages::Statistics { files: 3, ..Default::default() },
        message: "two files changed".to_owned(),
        cause: None,
        changes: None,
    }
}

fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("agent.db")).unwrap();
    (dir, db)
}

fn waiting(db: &Db) -> Vec<Report> {
    db.reports(0, false, 100).unwrap().into_iter().map(|(_, report)| report).collect()
}

#[test]
fn reports_wait_until_acknowledged_and_seven_days_more() {
    let (_dir, mut db) = open();
    let (a, b) = (report(1), report(2));
    db.push_report(&a).unwrap();
    db.push_report(&b).unwrap();
    db.push_report(&a).unwrap();
    assert_eq!(waiting(&db), [a.clone(), b.clone()]);
    db.acknowledge(&[a.id], Timestamp(1000)).unwrap();
    // Acknowledged again after it was sent again: the first time counts.
    db.acknowledge(&[a.id, ReportId::random()], Timestamp(500_000)).unwrap();
    assert_eq!(waiting(&db), std::slice::from_ref(&b));
    assert_eq!(db.spool().unwrap(), SpoolCount { waiting: 1, kept: 1 });
    assert_eq!(db.reports(0, true, 100).unwrap().len(), 2);
    let week = KEEP_DAYS * 86_400;
    assert_eq!(db.prune(Timestamp(1000 + week)).unwrap(), 0);
    assert_eq!(db.prune(Timestamp(1001 + week)).unwrap(), 1);
    assert_eq!(
        db.reports(0, true, 100).unwrap().len(),
        1,
        "what is not acknowledged is kept for ever"
    );
    assert_eq!(db.prune(Timestamp(i64::MAX)).unwrap(), 0);
}

#[test]
fn reports_come_in_pages() {
    let (_dir, db) = open();
    let all: Vec<Report> = (0..7).map(report).collect();
    all.iter().for_each(|r| db.push_report(r).unwrap());
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = db.reports(after, true, 3).unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        seen.extend(page.into_iter().map(|(_, r)| r));
    }
    assert_eq!(seen, all);
}

#[test]
fn a_record_comes_back_as_it_was() {
    let (_dir, db) = open();
    assert_eq!(db.peek("files").unwrap(), None);
    assert_eq!(db.record("files", Timestamp(5)).unwrap(), Record::new(Timestamp(5)));
    assert_eq!(db.record("files", Timestamp(9)).unwrap().known_since, Timestamp(5));
    let record = Record {
        last_started: Some(Timestamp(10)),
        last_finished: Some(Timestamp(20)),
        last_ok: Some(Timestamp(-3)),
        failures: 2,
        retry_at: Some(Timestamp(30)),
        outcome: Some(Outcome::Interrupted),
        message: Some("stopped".to_owned()),
        manifest: Some(ManifestId::from_bytes([1; 32])),
        ..Record::new(Timestamp(5))
    };
    db.write_record("files", &record).unwrap();
    assert_eq!(db.peek("files").unwrap(), Some(record));
    db.set_memo(Memo::ClockAhead, -7300).unwrap();
    assert_eq!(db.memo(Memo::ClockAhead).unwrap(), Some(-7300));
    assert_eq!(db.memo(Memo::ControllerSeen).unwrap(), None);
}

#[test]
fn a_later_schema_is_refused() {
    let (dir, db) = open();
    db.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let error = Db::open(&dir.path().join("agent.db")).err().unwrap();
    assert!(matches!(error, DbError::TooNew { found: 99, .. }), "{error}");
}

#[test]
fn two_programs_use_it_at_once() {
    let (dir, db) = open();
    let other = Db::open(&dir.path().join("agent.db")).unwrap();
    other.push_report(&report(1)).unwrap();
    db.push_report(&report(2)).unwrap();
    assert_eq!(waiting(&other).len(), 2);
}

const CHILD: &str = "LUMBUNG_TEST_SPOOL";

/// The body of the child that [`no_report_is_lost_to_a_kill`] starts and kills.
#[test]
fn spool_child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let db = Db::open(Path::new(&path)).unwrap();
    let mut out = std::io::stdout();
    for at in 0.. {
        let report = report(at);
        db.push_report(&report).unwrap();
        if writeln!(out, "\nid {}", report.id).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn no_report_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let mut promised = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "db::tests::spool_child", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ids = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("id ")?.parse::<ReportId>().ok());
        promised.extend(ids.take(3 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(promised.len(), 45);
    let db = Db::open(&path).unwrap();
    let kept: Vec<ReportId> =
        db.reports(0, false, 1_000_000).unwrap().iter().map(|(_, r)| r.id).collect();
    for id in promised {
        assert!(kept.contains(&id), "report {id} was lost");
    }
}

#[test]
fn a_page_that_cannot_be_read_holds_up_nothing() {
    let (_dir, db) = open();
    db.push_report(&report(1)).unwrap();
    db.connection.execute("UPDATE report SET body = 'of another version'", []).unwrap();
    let later = report(2);
    db.push_report(&later).unwrap();
    let page = db.reports(0, false, 1).unwrap();
    assert_eq!(page.iter().map(|(_, report)| report).collect::<Vec<_>>(), [&later]);
}

#[test]
fn the_spool_has_a_bound() {
    let (_dir, db) = open();
    let (first, last) = (report(1), report(2));
    db.push_report(&first).unwrap();
    db.connection
        .execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'report'", [KEEP_REPORTS])
        .unwrap();
    db.push_report(&last).unwrap();
    assert_eq!(waiting(&db), [last]);
}
