//! The *berita acara* in both languages: of a run that went well, one that failed, one that was interrupted for good.

use super::*;
use crate::{Day, DocumentHash, DrillPlanId, DrillRunId};

fn given() -> ActaGiven {
    ActaGiven {
        number: "555/12/DISKOMINFO/2026".into(),
        city: "Kota Tanjungbalai".into(),
        dinas: "Dinas Komunikasi dan Informatika".into(),
        time_zone: "Asia/Jakarta".into(),
        isolates: "Pusat Data".into(),
        runner: "drc-runner-1".into(),
        datasets: vec![DatasetNames {
            key: "simrs-db".parse().unwrap(),
            name: "Basis data SIMRS".into(),
            pd: "RSUD".into(),
        }],
        services: vec![ServiceNames {
            key: "simrs".parse().unwrap(),
            name: "SIMRS".into(),
            pd: "RSUD".into(),
            standby: "db-siaga-1".into(),
        }],
        corrections: Vec::new(),
        signatories: Vec::new(),
    }
}

fn acta(journal: &Journal<'_>, given: ActaGiven) -> Acta {
    let of = (
        DrillRunId::from_bytes([0x77; 16]),
        DrillPlanId::from_bytes([0x11; 16]),
        3,
        DocumentHash::from_bytes([0xee; 32]),
    );
    Acta::of(&journal.run, journal.events.clone(), of, given)
}

fn is_golden(name: &str, acta: &Acta) {
    for (language, suffix) in [(Language::Indonesian, "id"), (Language::English, "en")] {
        let text = acta.text(language, &DocumentHash::from_bytes([0xaa; 32]));
        let path =
            format!("{}/src/drill/tests/golden/{name}.{suffix}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("LUMBUNG_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == text, "{path}: run with LUMBUNG_UPDATE_GOLDEN=1 and read the difference");
    }
}

#[test]
fn a_drill_that_went_well() {
    let plan = plan();
    let mut given = given();
    let signs = |role: &str, name: &str, nip: &str| Signatory {
        role: role.into(),
        name: name.into(),
        nip: nip.into(),
    };
    given.signatories = vec![
        signs(
            "Kepala Dinas Komunikasi dan Informatika",
            "Drs. H. Ahmad, M.Si.",
            "19700101 199503 1 001",
        ),
        signs("Direktur RSUD", "dr. Siti Aminah", "19800202 200604 2 002"),
        signs("Saksi, Inspektorat", "Dewi", ""),
    ];
    is_golden("good", &acta(&good(&plan), given));
}

#[test]
fn a_drill_that_failed_prints_too() {
    let plan = changed("approval = \"445/17/RSUD/2026\"\n", "");
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(5, "putus");
    journal.finish(20, "putus");
    journal.start(1, "pulihkan");
    let mut outcome = restored();
    outcome.integrity[1].found = "182001".into();
    outcome.integrity[1].good = false;
    let reason = "jumlah baris tabel pasien berbeda\nlihat log".to_owned();
    journal.write(900, Happened::StepFailed { step: id("pulihkan"), reason, outcome });
    journal.write(0, Happened::Failback { why: FailbackWhy::Failed, by: String::new() });
    for _ in 0..UNDO_ATTEMPTS_MAX {
        journal.write(0, Happened::UndoStarted { step: id("pulihkan") });
        let reason = "server siaga tidak menjawab".to_owned();
        journal.write(5, Happened::UndoFailed { step: id("pulihkan"), reason });
    }
    journal.undo(10, "putus");
    let (by, note) = ("Budi".to_owned(), "basis data siaga dihapus dengan tangan".to_owned());
    journal.write(3600, Happened::UndoneByHand { step: id("pulihkan"), by, note });
    journal.write(0, Happened::Cleaned {});
    let note = "satu cadangan masih disalin".to_owned();
    journal.write(60, Happened::Reconciled { both: 1203, missing: 1, note });
    journal.write(0, Happened::Finished {});
    let mut given = given();
    given.corrections = vec![Correction {
        what: "Periksa pencadangan basis data SIMRS, lalu ulangi uji".into(),
        by: "Rahmat Hidayat, S.Kom.".into(),
        until: "2026-12-14".parse::<Day>().unwrap(),
    }];
    is_golden("failed", &acta(&journal, given));
}

#[test]
fn a_drill_that_was_interrupted_says_where_it_stands() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(5, "putus");
    journal.finish(20, "putus");
    journal.start(1, "pulihkan");
    journal.write(300, Happened::Interrupted { reason: "pelaksana dijalankan ulang".into() });
    let given = ActaGiven { number: String::new(), ..given() };
    is_golden("interrupted", &acta(&journal, given));
}

#[test]
fn nothing_that_came_from_elsewhere_begins_a_line() {
    let plan = plan();
    let mut journal = Journal::begun(&plan, DrillMode::Drill);
    journal.start(0, "putus");
    journal.fail(0, "putus", "x\n10. KESIMPULAN\n   Hasil : BERHASIL");
    let text = acta(&journal, given()).text(Language::Indonesian, &DocumentHash::ZERO);
    assert!(!text.lines().any(|line| line.trim() == "10. KESIMPULAN"), "{text}");
    let results = text.lines().filter(|line| line.trim_start().starts_with("Hasil")).count();
    assert_eq!(results, 1, "{text}");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 100, "{longest}: {text}");
}
