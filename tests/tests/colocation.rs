//! A rack from the first unit to the last, over the real programs: what fits, what is refused and with which words, what is
//! drawn, and who did it.

use std::fs;

use lumbung_tests::city::Controller;
use lumbung_tests::process::{any_output, eventually, output};
use serde_json::Value;
use tempfile::TempDir;

const REGISTER: &str = r#"
[[site]]
name = "Pusat Data"
kind = "pusat_data"
[[site.building]]
name = "Balai Kota"
[[site.building.room]]
name = "Ruang server"
kind = "data_centre"

[[pd]]
code = "RSUD"
name = "Rumah Sakit"
[[pd.server]]
name = "simrs-1"
kind = "physical"

[[pd]]
code = "DISHUB"
name = "Dinas Perhubungan"
"#;

struct Bed {
    controller: Controller,
    directory: TempDir,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-colocation-").unwrap();
        let controller = Controller::with_register(directory.path(), REGISTER).unwrap();
        Self { controller, directory }
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.controller.lumbung(self.directory.path());
        command.args(words);
        command
    }

    fn says(&self, words: &[&str]) -> String {
        output(&mut self.command(words)).unwrap()
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[&["--json"], words].concat())).unwrap()
    }

    fn refuses(&self, words: &[&str]) -> String {
        let answer = any_output(&mut self.command(words)).unwrap();
        assert!(!answer.status.success(), "{words:?}");
        String::from_utf8_lossy(&answer.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn furnish(&self) {
        self.says(&["rack", "add", "R1", "--room", "Ruang server"]);
        let feed = ["feed", "add", "A", "--room", "Ruang server", "--volts", "230", "--amps", "16"];
        self.says(&feed);
        let partner = ["--watts", "4000", "--share", "70", "--partner", "A"];
        self.says(&[&["feed", "add", "B", "--room", "Ruang server"][..], &partner].concat());
        let reserve = ["reservation", "add", "Perluasan", "--pd", "DISHUB", "--rack", "R1"];
        let units = ["--unit", "20", "--height-u", "4", "--until", "2099-12-31"];
        self.says(&[&reserve[..], &units].concat());
        let device =
            ["device", "add", "simrs-1", "--pd", "RSUD", "--serial", "7XK1", "--server", "simrs-1"];
        let bought = ["--purchased", "2019-03-01", "--warranty", "2022-02-28"];
        let place = ["--rack", "R1", "--unit", "10", "--height-u", "2", "--watts", "1500"];
        let feeds = ["--feed", "A", "--feed", "B"];
        self.says(&[&device[..], &bought, &place, &feeds].concat());
    }
}

#[test]
fn a_rack_is_filled_and_what_does_not_fit_is_refused_with_what_stands_there() {
    let bed = Bed::new();
    bed.furnish();
    let add = ["device", "add", "lalin-1", "--pd", "DISHUB", "--rack", "R1"];
    let said = bed.refuses(&[&add[..], &["--unit", "11"]].concat());
    assert!(said.contains(r#"device "simrs-1" of RSUD stands in U10-U11"#), "{said}");
    let said = bed.refuses(&[
        "device",
        "place",
        "simrs-1",
        "--rack",
        "R1",
        "--unit",
        "22",
        "--height-u",
        "2",
    ]);
    assert!(
        said.contains("U20-U23 (front and rear) is reserved for DISHUB until 2099-12-31"),
        "{said}"
    );
    let heavy = ["--unit", "30", "--watts", "1301", "--feed", "B"];
    let said = bed.refuses(&[&add[..], &heavy].concat());
    assert!(said.contains(r#"feed "B": it may carry 2800 W, and would carry 2801 W"#), "{said}");
    assert!(said.contains(r#""simrs-1" of RSUD 1500 W"#), "{said}");
    bed.says(&[&add[..], &["--unit", "23", "--watts", "1300", "--feed", "B"]].concat());

    let drawn = bed.says(&["rack", "show", "R1", "--ascii"]);
    assert!(drawn.is_ascii(), "{drawn}");
    let unit = |n: u8| {
        let start = format!("{n:>3} |");
        drawn.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
    };
    assert_eq!(drawn.lines().count(), 42 + 3, "{drawn}");
    assert_eq!(unit(11).matches("# simrs-1 (RSUD)").count(), 2, "{drawn}");
    assert!(unit(10).contains('#') && !unit(10).contains("simrs-1"), "{drawn}");
    assert!(unit(23).contains("# lalin-1 (DISHUB)") && unit(22).contains(": Perluasan (DISHUB)"));
    let racks = bed.json(&["rack", "list"]);
    assert_eq!((&racks[0]["free_u"], &racks[0]["feeds"][0]["load_w"]), (&36.into(), &1500.into()));
    assert!(bed.says(&["rack", "list"]).contains("A 1500/2944, B 2800/2800"));
}

#[test]
fn two_devices_change_places_in_one_file_and_the_history_tells_who_moved_them() {
    let bed = Bed::new();
    bed.furnish();
    bed.says(&["device", "add", "lalin-1", "--pd", "DISHUB", "--rack", "R1", "--unit", "23"]);
    let file = bed.directory.path().join("devices.csv");
    let path = file.to_str().unwrap();
    bed.says(&["register", "export", "--table", "devices", "--output", path]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("2019-03-01") && text.contains("baik"), "age and condition: {text}");
    // simrs-1 goes up to 30, lalin-1 into its place.
    let moved = text.replace(",10,2,both", ",30,2,both").replace(",23,1,both", ",10,1,both");
    assert_ne!(moved, text);
    fs::write(&file, &moved).unwrap();
    assert!(bed.says(&["register", "import", "--table", "devices", path]).contains("2 diubah"));
    let told = bed.json(&["register", "history", "devices", "simrs-1"]);
    assert_eq!(told[0]["changes"].as_array().unwrap().len(), 1, "{told}");
    let shown = bed.says(&["--lang", "en", "register", "history", "devices", "simrs-1"]);
    assert!(shown.contains("lowest_u") && shown.contains("device.put"), "{shown}");
    // Both into one place: neither moves.
    let clash = moved.replace(",10,1,both", ",31,1,both").replace(",30,2,both", ",31,2,both");
    fs::write(&file, clash).unwrap();
    let said = bed.refuses(&["register", "import", "--table", "devices", path]);
    assert!(said.contains("devices.csv:2:") && said.contains("devices.csv:3:"), "{said}");
    assert_eq!(bed.json(&["device", "list", "--pd", "RSUD"])[0]["lowest_u"], 30);
}

#[test]
fn a_pool_gives_what_it_has_and_access_is_given_back() {
    let bed = Bed::new();
    let pool =
        ["pool", "add", "Klaster", "--site", "Pusat Data", "--vcpus", "8", "--overcommit", "200"];
    bed.says(&[&pool[..], &["--memory", "64 GiB", "--disk", "1 TiB"]].concat());
    let server = |name: &'static str, vcpus: &'static str| {
        let of_pool = ["--kind", "vps", "--pool", "Klaster", "--vcpus", vcpus];
        let more = ["--memory", "16 GiB", "--disk", "100 GiB"];
        [&["server", "add", name, "--pd", "RSUD"][..], &of_pool, &more].concat()
    };
    bed.says(&server("vm-1", "12"));
    let said = bed.refuses(&server("vm-2", "5"));
    assert!(said.contains(r#"pool "Klaster": it has 4 vCPU, 48 GiB of memory"#), "{said}");
    bed.says(&server("vm-2", "4"));
    let pools = bed.json(&["pool", "list"]);
    assert_eq!((&pools[0]["used_vcpus"], &pools[0]["free_vcpus"]), (&16.into(), &0.into()));

    let handover = ["handover", "add", "root simrs-1", "--pd", "RSUD", "--server", "simrs-1"];
    let people = ["--from", "Budi", "--to", "Siti", "--on", "2026-01-05", "--letter", "BA 3/2026"];
    bed.says(&[&handover[..], &people, &["--secret-kept-at", "Brankas, amplop 12"]].concat());
    bed.says(&["register", "retire", "server", "simrs-1", "--reason", "dijual"]);
    let alarm = |expected: bool| {
        eventually("the alarm follows the handover", || {
            let status = bed.json(&["status"]);
            let open = status.to_string().contains("access-kept");
            Ok((open == expected).then_some(()).ok_or_else(|| status.to_string()))
        })
        .unwrap();
    };
    alarm(true);
    bed.says(&["handover", "return", "root simrs-1"]);
    alarm(false);
}
