//! Plans, runs, figures and the *berita acara*: a plan of a city that fails over its hospital's system.

mod actas;
mod plans;
mod random;
mod runs;
mod standings;

use super::*;
use crate::Timestamp;

/// 2026-11-30 09:00 in Jakarta.
const NINE: Timestamp = Timestamp(1_796_004_000);

/// A failover of SIMRS, as an operator would write it.
const FAILOVER: &str = r#"
title = "Failover SIMRS ke DRC"
kind = "failover"
scenario = "Pusat Data padam karena gangguan listrik; SIMRS dijalankan dari DRC."
place = "Ruang NOC DRC"
runner = "0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d"
isolates = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
targets = { rto = "1 h", rpo = "6 h" }

[[participants]]
name = "Rahmat Hidayat, S.Kom."
role = "pemimpin uji"
organisation = "Diskominfo"
contact = "0812-0000-0001"

[[participants]]
name = "dr. Siti Aminah"
role = "pemilik data"
organisation = "RSUD"

[[datasets]]
key = "simrs-db"
dataset = "01010101010101010101010101010101"
approval = "445/17/RSUD/2026"

[[services]]
key = "simrs"
service = "02020202020202020202020202020202"

[[steps]]
id = "putus"
title = "Putuskan Pusat Data"
limit = "2 min"
action = { kind = "isolate", hook = "putus-pusat-data" }
undo = { hook = "sambung-pusat-data", limit = "2 min" }

[[steps]]
id = "pulihkan"
title = "Pulihkan basis data SIMRS di server siaga"
after = ["putus"]
limit = "40 min"
action = { kind = "restore", dataset = "simrs-db", to = "standby", place = "db-siaga" }
undo = { hook = "hapus-db-siaga", limit = "5 min" }

[[steps]]
id = "alih-dns"
title = "Alihkan nama simrs ke DRC"
after = ["pulihkan"]
limit = "1 min"
action = { kind = "switch", hook = "dns-ke-drc" }
undo = { hook = "dns-ke-pusat", limit = "1 min" }

[[steps]]
id = "cek-simrs"
title = "SIMRS menjawab dari DRC"
after = ["alih-dns"]
limit = "10 min"
action = { kind = "check", service = "simrs", health = { probe = { target = "https://simrs.kota.go.id/sehat", contains = "OK" } } }

[[steps]]
id = "dokter"
title = "Dokter jaga membuka rekam medis"
after = ["alih-dns"]
limit = "15 min"
on_failure = "go_on"
action = { kind = "confirm", text = "Rekam medis pasien uji terbuka.", who = "pemilik data" }
"#;

fn plan() -> DrillPlan {
    crate::toml_text::parse("rencana.toml", FAILOVER).unwrap()
}

/// The plan with a piece of its text in place of another.
fn changed(from: &str, to: &str) -> DrillPlan {
    assert!(FAILOVER.contains(from), "{from}");
    crate::toml_text::parse("rencana.toml", &FAILOVER.replacen(from, to, 1)).unwrap()
}

fn id(text: &str) -> StepId {
    text.parse().unwrap()
}

/// A journal that is being written.
struct Journal<'p> {
    run: Run<'p>,
    events: Vec<DrillEvent>,
    now: Timestamp,
}

impl<'p> Journal<'p> {
    fn new(plan: &'p DrillPlan) -> Self {
        Self { run: Run::new(plan), events: Vec::new(), now: NINE }
    }

    /// A journal that has begun.
    fn begun(plan: &'p DrillPlan, mode: DrillMode) -> Self {
        let outage = (mode == DrillMode::Real).then(|| NINE.plus_seconds(-600));
        let mut journal = Self::new(plan);
        journal.write(0, Happened::Started { mode, outage });
        journal
    }

    /// What comes of writing that down after so many seconds.
    fn try_write(&mut self, after_s: i64, what: Happened) -> Result<(), Refusal> {
        let at = self.now.plus_seconds(after_s);
        let event = DrillEvent { number: self.run.next_number(), at, what };
        self.run.apply(&event)?;
        self.now = at;
        self.events.push(event);
        Ok(())
    }

    fn write(&mut self, after_s: i64, what: Happened) {
        let shown = format!("{what:?}");
        self.try_write(after_s, what).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }

    fn start(&mut self, after_s: i64, step: &str) {
        self.write(after_s, Happened::StepStarted { step: id(step) });
    }

    fn finish(&mut self, after_s: i64, step: &str) {
        self.write(
            after_s,
            Happened::StepFinished { step: id(step), outcome: StepOutcome::default() },
        );
    }

    fn fail(&mut self, after_s: i64, step: &str, reason: &str) {
        let (step, reason) = (id(step), reason.to_owned());
        let outcome = StepOutcome::default();
        self.write(after_s, Happened::StepFailed { step, reason, outcome });
    }

    fn undo(&mut self, after_s: i64, step: &str) {
        self.write(0, Happened::UndoStarted { step: id(step) });
        self.write(after_s, Happened::UndoFinished { step: id(step) });
    }
}

/// A restore of data that was five hours old at nine.
fn restored() -> StepOutcome {
    let compared = |kind, subject: &str, expected: &str| Integrity {
        kind,
        subject: subject.to_owned(),
        expected: expected.to_owned(),
        found: expected.to_owned(),
        good: true,
    };
    StepOutcome {
        recovery_point: Some(RecoveryPoint {
            snapshot: crate::ManifestId::from_bytes([0x5a; 32]),
            taken: NINE.plus_seconds(-5 * 3600),
            site: Some(crate::SiteId::from_bytes([0x0b; 16])),
            entries: 214,
            bytes: 9_812_345_678,
            sha256: Some(crate::DocumentHash::from_bytes([0xc3; 32])),
        }),
        integrity: vec![
            compared(IntegrityKind::Hash, "seluruh isi", "c3c3c3c3"),
            compared(IntegrityKind::Rows, "pasien", "182334"),
        ],
        note: String::new(),
    }
}

/// A drill that goes well until its steps are over, with the runner killed once.
fn carried_through(plan: &DrillPlan) -> Journal<'_> {
    let mut journal = Journal::begun(plan, DrillMode::Drill);
    journal.start(5, "putus");
    journal.finish(20, "putus");
    journal.start(1, "pulihkan");
    journal.write(300, Happened::Interrupted { reason: "pelaksana dijalankan ulang".into() });
    journal.start(10, "pulihkan");
    journal.write(1200, Happened::StepFinished { step: id("pulihkan"), outcome: restored() });
    journal.start(1, "alih-dns");
    journal.finish(9, "alih-dns");
    journal.start(0, "cek-simrs");
    journal.start(0, "dokter");
    journal.finish(45, "cek-simrs");
    let (by, note) = ("dr. Siti Aminah".to_owned(), "rekam medis 00-01 terbuka".to_owned());
    journal.write(120, Happened::StepConfirmed { step: id("dokter"), by, note });
    journal
}

/// The same, put back and over.
fn good(plan: &DrillPlan) -> Journal<'_> {
    let mut journal = carried_through(plan);
    journal.write(60, Happened::Failback { why: FailbackWhy::Completed, by: String::new() });
    journal.undo(8, "alih-dns");
    journal.undo(30, "pulihkan");
    journal.undo(15, "putus");
    journal.write(1, Happened::Cleaned {});
    journal.write(240, Happened::Reconciled { both: 1204, missing: 0, note: String::new() });
    journal.write(1, Happened::Finished {});
    journal
}
