//! Drills over the real programs: a plan from its file, a tabletop that is killed in its middle and goes on, its berita acara.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lumbung_tests::city::Controller;
use lumbung_tests::process::{any_output, eventually, output};
use serde_json::Value;
use tempfile::TempDir;

const EXAMPLE: &str = include_str!("../../config/drill.example.toml");
/// What the example's plan is about.
const REGISTER: &str = r#"
[[site]]
name = "Pusat Data"
kind = "pusat_data"
latitude = 3.5952
longitude = 98.6722
address = "Medan"

[[pd]]
code = "DISKOMINFO"
name = "Dinas Komunikasi dan Informatika"

[[pd.server]]
name = "drc-runner-1"
kind = "physical"

[[pd]]
code = "RSUD"
name = "RSUD Dr. Pirngadi"

[[pd.service]]
name = "SIMRS"
critical = true

[[pd.server]]
name = "simrs-siaga"
kind = "vps"

[[pd.server.dataset]]
name = "simrs-db"
kind = "mysql"
owner = "Direktur RSUD"
classification = "non_public"
urgency = "critical"
"#;

struct Bed {
    controller: Controller,
    directory: TempDir,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-drills-").unwrap();
        let controller = Controller::with_register(directory.path(), REGISTER).unwrap();
        Self { controller, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `lumbung drill` of an operator.
    fn drill(&self, words: &[&str]) -> Command {
        let mut command = self.controller.lumbung(self.directory.path());
        command.env("LUMBUNG_TIME_ZONE", "Asia/Jakarta").arg("drill").args(words);
        command
    }

    fn json(&self, words: &[&str]) -> Value {
        let text = output(self.drill(words).arg("--json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn planned(&self, text: &str) {
        let file = self.path("rencana.toml");
        fs::write(&file, text).unwrap();
        output(self.drill(&["plan", "add"]).arg(&file)).unwrap();
    }

    /// The tabletop of the example's plan, with a pipe for what is said.
    fn tabletop(&self) -> Child {
        let mut command = self.drill(&["tabletop", "Failover SIMRS ke DRC"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Events of the only run.
    fn events(&self) -> u64 {
        self.json(&["run", "list"])[0]["events"].as_u64().unwrap_or(0)
    }
}

/// Says this to a tabletop, and nothing more; its exit code and what it printed.
fn said(mut child: Child, lines: &str) -> (Option<i32>, String, String) {
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

#[test]
fn a_tabletop_that_was_killed_goes_on_where_it_was_and_prints_its_berita_acara() {
    let mut bed = Bed::new();
    bed.planned(EXAMPLE);
    let plans = bed.json(&["plan", "list"]);
    assert_eq!((&plans[0]["state"], &plans[0]["why"]), (&"not_verified".into(), &"never".into()));

    // Two steps are confirmed; while the third is read out, the program is killed, and the controller with it.
    let mut child = bed.tabletop();
    child.stdin.as_mut().unwrap().write_all(b"ya\nya data di vault DRC\n").unwrap();
    eventually("the third step is read out", || {
        let events = bed.events();
        Ok(if events == 6 { Ok(()) } else { Err(events.to_string()) })
    })
    .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    bed.controller.kill().unwrap();
    bed.controller.start().unwrap();

    let (code, stdout, stderr) =
        said(bed.tabletop(), "mungkin\ntidak zona tidak dapat diubah\nnanti\n");
    assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(stderr.contains("belum selesai; lanjutkan dengan: lumbung drill tabletop"), "{stderr}");
    let (code, acta, stderr) = said(bed.tabletop(), "lewati sudah jelas\nya\nya semua tercatat\n");
    assert_eq!(code, Some(0), "{stderr}");
    for part in [
        "BERITA ACARA SIMULASI MEJA",
        "[gagal] alih-dns: Alihkan nama simrs ke DRC",
        "zona tidak dapat diubah",
        "[dilewati] tunggu-dns",
        "data di vault DRC",
        "Hasil                : SEBAGIAN",
        "dataset simrs-db (simrs-db), pemilik RSUD; persetujuan nomor 445/17/RSUD/2026",
        "pelaksana terputus dan dilanjutkan",
        "Tidak diukur: pada simulasi meja tidak ada yang dijalankan.",
    ] {
        assert!(acta.contains(part), "{part}\n{acta}");
    }
    // A talk at a table verifies nothing that is carried out.
    assert_eq!(bed.json(&["plan", "list"])[0]["why"], "never");

    let run = bed.json(&["run", "list"])[0]["id"].as_str().unwrap().to_owned();
    fs::write(
        bed.path("catatan.toml"),
        "number = \"555/7/2026\"\n[[signatories]]\nrole = \"Kepala Dinas\"\nname = \"Ahmad\"\n",
    )
    .unwrap();
    output(bed.drill(&["run", "note", &run]).arg(bed.path("catatan.toml"))).unwrap();
    let english = output(&mut bed.drill(&["acta", &run, "--lang", "en"])).unwrap();
    for part in [
        "RECORD (BERITA ACARA) OF THE TABLETOP EXERCISE",
        "Number: 555/7/2026",
        "PARTLY",
        "Kepala Dinas",
    ] {
        assert!(english.contains(part), "{part}\n{english}");
    }
    let data = bed.json(&["acta", &run]);
    assert!(english.contains(data["sha256"].as_str().unwrap()), "{english}");
}

#[test]
fn a_plan_is_printed_as_the_file_that_enters_it() {
    let bed = Bed::new();
    bed.planned(EXAMPLE);
    let file = bed.path("lagi.toml");
    let printed =
        output(&mut bed.drill(&["plan", "show", "Failover SIMRS ke DRC", "--toml"])).unwrap();
    fs::write(&file, &printed).unwrap();
    output(bed.drill(&["plan", "set", "Failover SIMRS ke DRC"]).arg(&file)).unwrap();
    assert_eq!(bed.json(&["plan", "list"])[0]["revision"], 1, "nothing changed\n{printed}");
    fs::write(&file, printed.replace("limit = \"2 min\"", "limit = \"3 min\"")).unwrap();
    output(bed.drill(&["plan", "set", "Failover SIMRS ke DRC"]).arg(&file)).unwrap();
    assert_eq!(bed.json(&["plan", "list"])[0]["revision"], 2);
    assert_eq!(bed.json(&["calendar"])[0]["overdue"], false);

    // What names nothing of the register is refused by its name; without an agent nobody carries it out.
    let refused = |words: &[&str], file: Option<&Path>| {
        let done = any_output(bed.drill(words).args(file)).unwrap();
        assert!(!done.status.success(), "{words:?}");
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    fs::write(&file, EXAMPLE.replace("RSUD/simrs-db", "RSUD/simrs-lama")).unwrap();
    let said = refused(&["plan", "add"], Some(&file));
    assert!(
        said.contains("there is no dataset \"simrs-lama\"") && said.contains("simrs-db"),
        "{said}"
    );
    let said = refused(&["start", "Failover SIMRS ke DRC", "--reason", "uji"], None);
    assert!(said.contains("runner has no agent"), "{said}");
    let said = refused(&["plan", "show", "Failover"], None);
    assert!(said.contains("there is no drill plan \"Failover\""), "{said}");
}
