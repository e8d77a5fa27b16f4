//! A controller that is killed at its work, and one whose database comes back from an older copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use lumbung_model::DatasetId;
use lumbung_tests::city::{City, Controller, PdPlan};
use lumbung_tests::evidence;
use lumbung_tests::process::{any_output, eventually, output};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

fn database(controller: &Controller) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let db = Connection::open_with_flags(controller.database(), flags).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    db
}

fn count(db: &Connection, sql: &str) -> u32 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

const PDS: u32 = 20;
const DATASETS: u32 = 600;

/// Twenty PD with thirty datasets each; what is said of them differs with whether they have an owner.
fn register(ids: &[DatasetId], owner: &str) -> String {
    let mut text = String::new();
    for (pd, datasets) in ids.chunks((DATASETS / PDS) as usize).enumerate() {
        write!(
            text,
            "[[pd]]\ncode = \"PD{pd}\"\nname = \"Dinas {pd}\"\n[[pd.server]]\nname = \"srv-{pd}\"\nkind = \"vps\"\n"
        )
        .unwrap();
        for (number, id) in datasets.iter().enumerate() {
            write!(
                text,
                "[[pd.server.dataset]]\nid = \"{id}\"\nname = \"data {number}\"\nkind = \"files\"\n\
                 classification = \"public\"\nurgency = \"normal\"\npaths = [\"/srv/{number}\"]\nowner = \"{owner}\"\n"
            )
            .unwrap();
        }
    }
    text
}

/// Open verdicts by subject and rule, and standings by dataset: what the reconciler has written down for now.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    verdicts: BTreeSet<(Vec<u8>, String, bool, String)>,
    standings: BTreeMap<Vec<u8>, (i64, bool, i64)>,
}

fn said(db: &Connection) -> Said {
    let mut rows =
        db.prepare("SELECT subject, rule, met, codes FROM verdicts WHERE until_s IS NULL").unwrap();
    let verdicts =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    let mut rows = db.prepare("SELECT dataset, met, never, bytes FROM standings").unwrap();
    let standings = rows
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))
        .unwrap();
    Said {
        verdicts: verdicts.collect::<Result<_, _>>().unwrap(),
        standings: standings.collect::<Result<_, _>>().unwrap(),
    }
}

/// What holds of the database after every end of the controller.
fn is_consistent(db: &Connection) {
    let integrity: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    assert_eq!(count(db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    let overlaps = "SELECT count(*) FROM (
        SELECT from_s, lag(until_s) OVER of AS until_before, sequence,
            row_number() OVER of AS number
        FROM verdicts WINDOW of AS (PARTITION BY subject, rule ORDER BY sequence))
        WHERE number > 1 AND (until_before IS NULL OR until_before > from_s)";
    assert_eq!(count(db, overlaps), 0, "intervals of one rule and subject overlap");
    // Whoever is not marked has been weighed, and judged by every rule as whoever is written down with it.
    let unweighed = "SELECT count(*) FROM datasets AS d
        WHERE NOT EXISTS (SELECT 1 FROM stale WHERE kind = 'all' OR (kind = 'dataset' AND id = d.id)
            OR (kind = 'pd' AND id = d.pd))
        AND NOT (EXISTS (SELECT 1 FROM standings WHERE dataset = d.id)
            AND EXISTS (SELECT 1 FROM verdicts WHERE subject = d.id AND until_s IS NULL))";
    assert_eq!(count(db, unweighed), 0, "a mark went without its work");
}

fn until_worked_off(controller: &Controller) {
    let db = database(controller);
    eventually("the reconciler has worked off every mark", || {
        let left = count(&db, "SELECT count(*) FROM stale");
        Ok((left == 0).then_some(()).ok_or_else(|| format!("{left} marks")))
    })
    .unwrap();
}

#[test]
fn a_controller_that_is_killed_while_it_reconciles_goes_on_where_it_was() {
    let kills: u32 =
        std::env::var("LUMBUNG_TEST_KILLS").map_or(100, |value| value.parse().unwrap()) / 20;
    let dir = TempDir::with_prefix("lumbung-reconciles-").unwrap();
    let mut controller = Controller::create(dir.path()).unwrap();
    let ids: Vec<DatasetId> = (0..DATASETS).map(|_| DatasetId::random()).collect();
    let file = dir.path().join("register.toml");
    let import = |controller: &Controller, owner: &str| {
        fs::write(&file, register(&ids, owner)).unwrap();
        output(controller.command().arg("import").arg(&file)).unwrap();
    };
    let mut in_the_midst = 0;
    for round in 0..kills.max(1) {
        import(&controller, ["", "Kepala bidang"][round as usize % 2]);
        let db = database(&controller);
        assert_ne!(count(&db, "SELECT count(*) FROM stale"), 0, "the import marks what it changes");
        // Another moment each time, told by the work that is left.
        let left = DATASETS * (kills - round) / (kills + 1);
        controller.start().unwrap();
        let marks = "SELECT count(*) FROM stale WHERE kind = 'dataset'";
        let weighed = "SELECT count(*) FROM standings AS s WHERE NOT EXISTS \
            (SELECT 1 FROM stale WHERE kind = 'dataset' AND id = s.dataset)";
        while count(&db, marks) > left || count(&db, weighed) == 0 {
            std::thread::yield_now();
        }
        controller.kill().unwrap();
        in_the_midst += u32::from(count(&db, marks) > 0);
        is_consistent(&db);
    }
    assert_ne!(in_the_midst, 0, "never was anything left to do");
    controller.start().unwrap();
    until_worked_off(&controller);
    controller.stop().unwrap();
    let db = database(&controller);
    is_consistent(&db);
    let resumed = said(&db);
    assert_eq!(resumed.standings.len(), ids.len());

    // As if nothing had ever been written down.
    db.execute_batch(
        "DELETE FROM verdicts; DELETE FROM standings;
         INSERT OR IGNORE INTO stale VALUES ('all', x''), ('register', x'')",
    )
    .unwrap();
    controller.start().unwrap();
    until_worked_off(&controller);
    controller.stop().unwrap();
    assert_eq!(said(&db), resumed);
}

/// Everything that the controller has heard and fetched, as far as it must come back.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    reports: BTreeSet<Vec<u8>>,
    manifests: BTreeSet<Vec<u8>>,
    receipts: BTreeSet<Vec<u8>>,
    /// The snapshot by which the dataset is weighed, and how far it has come in what no person has to do.
    standing: Value,
    /// Snapshots that the achieved RPO was counted from, at the Pusat Data and at the DRC.
    counted: Value,
}

fn known(city: &City) -> anyhow::Result<Known> {
    let db = database(&city.controller);
    let ids = |sql: &str| -> BTreeSet<Vec<u8>> {
        let mut rows = db.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let row = city.compliance()?["rows"][0].clone();
    let mut rpo = city.operator();
    rpo.args(["--json", "rpo", &city.pds[0].dataset.to_string()]);
    let rpo: Value = serde_json::from_str(&output(&mut rpo)?)?;
    Ok(Known {
        reports: ids("SELECT id FROM reports"),
        manifests: ids("SELECT id FROM manifests"),
        receipts: ids("SELECT id FROM receipts"),
        standing: json!([
            row["snapshot"],
            row["backed_up"]["state"],
            row["at_drc"]["state"],
            row["verified"]["state"]
        ]),
        counted: rpo["achieved"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["snapshots"].clone())
            .collect(),
    })
}

/// Waits until the controller knows so many reports, and so many snapshots at both sites, and weighs the dataset by the newest.
fn until_known(city: &City, reports: usize, snapshots: usize) -> Known {
    let newest = evidence::newest(&city.pusat.repository(&city.pds[0].repository)).unwrap().id;
    eventually("everything is known", || {
        let now = known(city)?;
        let all = now.reports.len() == reports
            && now.manifests.len() == snapshots
            && now.receipts.len() == 2 * snapshots
            && now.counted == json!([snapshots, snapshots])
            && now.standing == json!([newest.to_string(), "met", "met", "met"]);
        Ok(if all { Ok(now) } else { Err(format!("{now:?}")) })
    })
    .unwrap()
}

#[test]
fn a_controller_restored_from_an_older_copy_catches_up_without_a_hole() {
    let dir = TempDir::with_prefix("lumbung-restored-").unwrap();
    let data = dir.path().join("srv");
    fs::create_dir(&data).unwrap();
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
    let mut city = City::found(dir.path(), vec![plan], |_| ()).unwrap();
    let back_up = |city: &City, content: &str| {
        fs::write(data.join("data.csv"), content).unwrap();
        output(city.pds[0].agent().arg("backup")).unwrap();
    };
    back_up(&city, "before the copy");
    city.pds[0].start().unwrap();
    until_known(&city, 1, 1);
    city.controller.stop().unwrap();
    let copy = dir.path().join("controller.db.copy");
    fs::copy(city.controller.database(), &copy).unwrap();
    city.controller.start().unwrap();

    back_up(&city, "after the copy");
    until_known(&city, 2, 2);
    // What no site could tell: a run that failed.
    let away = dir.path().join("away");
    fs::rename(&data, &away).unwrap();
    let failed = any_output(city.pds[0].agent().arg("backup")).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    fs::rename(&away, &data).unwrap();
    back_up(&city, "and once more");
    let before = until_known(&city, 4, 3);

    // The agent and both vaults go on; all that the controller has is the copy.
    city.controller.kill().unwrap();
    for end in ["", "-wal", "-shm"] {
        let mut file = city.controller.database().into_os_string();
        file.push(end);
        let gone = fs::remove_file(&file);
        assert!(!end.is_empty() || gone.is_ok());
    }
    fs::copy(&copy, city.controller.database()).unwrap();
    assert_eq!(count(&database(&city.controller), "SELECT count(*) FROM reports"), 1);
    back_up(&city, "while it was away");
    city.controller.start().unwrap();
    let after = until_known(&city, 5, 4);
    assert!(before.reports.is_subset(&after.reports), "a report is lost");
    assert!(before.manifests.is_subset(&after.manifests), "a snapshot is lost");
    assert!(before.receipts.is_subset(&after.receipts), "a receipt is lost");
    is_consistent(&database(&city.controller));
}
