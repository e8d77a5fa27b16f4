use lumbung_engine::Warning;
use lumbung_model::{DatasetId, ManifestId, RepositoryId};
use lumbung_wire::messages::Outcome;

use super::*;

fn unavailable() -> DepotError {
    DepotError::Unavailable {
        depot: "Pusat Data".to_owned(),
        what: "commit".to_owned(),
        source: None,
    }
}

fn outcome(warnings: &[&str], authorized: bool) -> BackupOutcome {
    let warning = |reason: &&str| Warning { path: b"srv/a".to_vec(), reason: (*reason).to_owned() };
    BackupOutcome {
        manifest: ManifestId::from_bytes([5; 32]),
        receipt: None,
        receipt_object: None,
        depot: "DRC".to_owned(),
        depot_index: 1,
        statistics: lumbung_pack::Statistics { files: 3, ..Default::default() },
        warnings: warnings.iter().map(warning).collect(),
        warnings_total: warnings.len() as u64,
        authorized,
        epoch: 1,
        sequence: 1,
        started: Timestamp(10),
        finished: Timestamp(20),
        read_bytes: 0,
        sent_bytes: 0,
        changes: None,
        partials: Vec::new(),
    }
}

fn finished(result: Result<BackupOutcome, RunError>) -> Finished {
    Finished {
        ending: ending(&result, &[]),
        result,
        notes: Vec::new(),
        started: Timestamp(10),
        ended: Timestamp(20),
    }
}

fn job() -> Job {
    let text = "[[job]]\nname = \"files\"\ndataset = \"00112233445566778899aabbccddeeff\"\npaths = [\"/srv\"]\nschedule = \"0 2 * * *\"\n";
    Config::parse(std::path::Path::new("agent.toml"), text).unwrap().jobs.remove(0)
}

#[test]
fn only_what_time_may_heal_is_tried_again() {
    let of = |error: BackupError| ending(&Err(RunError::Backup(error)), &[]);
    let full = DepotError::Full { depot: "DRC".to_owned() };
    let refused = DepotError::Refused { depot: "DRC".to_owned(), reason: "no".to_owned() };
    assert_eq!(of(BackupError::Depot(unavailable())), Some(Ending::Transient));
    assert_eq!(
        of(BackupError::Unavailable { tried: "x".to_owned(), source: unavailable() }),
        Some(Ending::Transient)
    );
    assert_eq!(of(BackupError::Depot(full)), Some(Ending::Transient));
    assert_eq!(of(BackupError::State(EngineState::Depot(unavailable()))), Some(Ending::Transient));
    assert_eq!(of(BackupError::Depot(refused)), Some(Ending::Permanent));
    assert_eq!(of(BackupError::NoSource("/srv".to_owned())), Some(Ending::Permanent));
    assert_eq!(of(BackupError::Cancelled), Some(Ending::Interrupted));
    assert_eq!(ending(&Err(RunError::Busy), &[]), None);
    let ok = |warnings: &[&str], authorized, notes: &[Note]| {
        ending(&Ok(outcome(warnings, authorized)), notes)
    };
    assert_eq!(ok(&[], true, &[Note::LeftOut("DRC".to_owned())]), Some(Ending::Ok));
    assert_eq!(ok(&["changed"], true, &[]), Some(Ending::Warnings));
    assert_eq!(ok(&[], false, &[]), Some(Ending::Warnings));
    assert_eq!(ok(&[], true, &[Note::Clock("2 h".to_owned())]), Some(Ending::Warnings));
}

#[test]
fn a_run_leaves_a_record_and_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("agent.db")).unwrap();
    let identity = AgentIdentity::generate(RepositoryId::from_bytes([1; 32]));
    let plan = job_plan(&job(), &identity);
    let known = db.record("files", Timestamp(0)).unwrap().started(Timestamp(10), None);
    let next =
        record(&db, &job(), &plan, &known, &finished(Ok(outcome(&["changed"], true)))).unwrap();
    assert_eq!(db.peek("files").unwrap(), Some(next.clone()));
    assert_eq!((next.last_ok, next.outcome), (Some(Timestamp(20)), Some(Outcome::Warnings)));
    assert_eq!(next.manifest, Some(ManifestId::from_bytes([5; 32])));
    let reports = db.reports(0, false, 10).unwrap();
    let report = &reports[0].1;
    assert_eq!((report.outcome, report.statistics.files), (Outcome::Warnings, 3));
    assert_eq!(report.dataset, "00112233445566778899aabbccddeeff".parse::<DatasetId>().unwrap());
    assert!(
        report.message.contains("written to DRC") && report.message.contains("/srv/a: changed"),
        "{}",
        report.message
    );
}

#[test]
fn a_failure_is_told_with_its_causes_and_planned_again() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("agent.db")).unwrap();
    let identity = AgentIdentity::generate(RepositoryId::from_bytes([1; 32]));
    let plan = job_plan(&job(), &identity);
    let known = db.record("files", Timestamp(0)).unwrap().started(Timestamp(10), None);
    let failed = finished(Err(RunError::Backup(BackupError::Depot(unavailable()))));
    let next = record(&db, &job(), &plan, &known, &failed).unwrap();
    assert!(next.retry_at.is_some_and(|at| at > Timestamp(20)));
    let message = next.message.unwrap();
    assert!(
        message.contains("no snapshot was made") && message.contains("Pusat Data did not answer"),
        "{message}"
    );
    assert_eq!(db.spool().unwrap().waiting, 1);
}

#[test]
fn a_run_that_could_not_begin_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("agent.db")).unwrap();
    let identity = AgentIdentity::generate(RepositoryId::from_bytes([1; 32]));
    let known = db.record("files", Timestamp(0)).unwrap();
    let next =
        record(&db, &job(), &job_plan(&job(), &identity), &known, &finished(Err(RunError::Busy)))
            .unwrap();
    assert_eq!(next, known);
    assert_eq!(db.spool().unwrap().waiting, 0);
}

#[test]
fn the_summary_says_where_the_snapshot_is() {
    let text = RunSummary::new(&job(), &finished(Ok(outcome(&["changed"], false)))).to_text();
    for part in [
        "files: snapshot 0505",
        "at DRC, which gave no receipt",
        "belum disahkan",
        "warning: /srv/a: changed",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let busy = RunSummary::new(&job(), &finished(Err(RunError::Busy)));
    assert_eq!(busy.outcome, "busy");
    assert!(busy.to_text().contains("another backup of this agent is running"));
}

#[test]
fn names_leave_the_server_only_where_they_may() {
    let folder = |path: &str| lumbung_model::anomaly::FolderFigures {
        path: path.to_owned(),
        changed_files: 3,
        ..Default::default()
    };
    let changes = RunFigures {
        changed_files: 3,
        new_extension: "lokd".to_owned(),
        folders: vec![folder("/srv/data")],
        ..RunFigures::default()
    };
    assert_eq!(told(changes.clone(), true), changes);
    let quiet = told(changes.clone(), false);
    assert!(quiet.folders.is_empty() && quiet.new_extension.is_empty());
    assert_eq!(quiet.changed_files, changes.changed_files);
    let parsed = |text: &str| Config::parse(std::path::Path::new("agent.toml"), text).unwrap();
    assert!(parsed("").report_folders);
    assert!(!parsed("[agent]\nreport_folders = false\n").report_folders);
}
