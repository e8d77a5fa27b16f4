//! Round trips, and files with faults.

use lumbung_model::Timestamp;

use super::entries::{Entry, columns};
use super::*;
use crate::db::Db;

mod roster;

/// 2027-01-15 15:00 in the city.
const NOW: Timestamp = Timestamp(1_800_000_000);
const AT: (Timestamp, Tz) = (NOW, Tz::Asia__Jakarta);

/// Everything that a register holds, with texts that break careless formats.
const CITY: &str = r#"
[[site]]
name = "Pusat Data"
kind = "pusat_data"
latitude = 3.595
longitude = 98.672
link = "1 Gbit/s"
[[site.building]]
name = "Gedung A"
address = "Jl. Kapten Maulana Lubis 2, Medan"
jurisdiction = "Kota Medan"
hazard_assessment = "=HYPERLINK(\"x\")"
[[site.building.room]]
name = "Ruang server; lantai 2"
kind = "data_centre"
[[site.building.room.rack]]
name = "R 1"
height_u = 42
note = "=1+1"
[[site.building.room.feed]]
name = "B"
rack = "R 1"
volts = 230
amps = 16
partner = "A"
[[site.building.room.feed]]
name = "A"
rated_w = 4000
share_percent = 70
[[site.pool]]
name = "Klaster, utama"
vcpus = 64
overcommit_percent = 400
memory_bytes = 549755813888
disk_bytes = 10995116277760

[[site]]
name = "DRC"
kind = "drc"
latitude = -6.2
longitude = 106.8

[[pd]]
code = "KOMINFO"
name = "Dinas Kominfo"
kind = "dinas"
runs_pusat_data = true
link = "100 Mbit/s"
rate = "50 Mbit/s"
windows = ["07:30-16:00 mon-fri 5 Mbit/s", "00:00-24:00 sat,sun unlimited"]
[[pd.server]]
name = "standby/1"
kind = "physical"
site = "DRC"

[[pd]]
code = "RSUD"
name = 'RSUD "dr. Pirngadi"'
kind = "rsud"
mandiri_tik = true
contact = """dua
baris"""
[[pd.service]]
name = "Pendaftaran, pasien"
critical = true
sla_millipercent = 99500
hours = "24 × 7"
rto_s = 14400
sla_document = "Keputusan Direktur 7/2026"
standby = "KOMINFO/standby/1"
[[pd.service.contact_person]]
name = "Budi"
phone = "+62 61 4512345"
email = "budi@rsud.example.go.id"
[[pd.contact_person]]
name = "Budi"
tier = 2
[[pd.application]]
name = "SIMRS"
service = "Pendaftaran, pasien"
technology = "Java, MariaDB"
servers = ["simrs-1", "KOMINFO/standby/1"]
[[pd.server]]
name = "simrs-1"
kind = "physical"
site = "Pusat Data"
building = "Gedung A"
room = "Ruang server; lantai 2"
[[pd.server.dataset]]
name = "Basis data SIMRS"
kind = "mysql"
application = "SIMRS"
owner = "'=Kepala, Instalasi"
classification = "non_public"
distribution = "@internal"
location = "/var/lib/mysql"
urgency = "critical"
rpo_s = 3600
schedule = "*/30 * * * *"
retention = "10 tahun"
period = "tiap jam"
media = "vault"
paths = ["/var/lib/mysql", "-x, y"]
exclude = ["*.tmp"]
[[pd.dataset]]
name = "Kode sumber"
kind = "source_code"
classification = "public"
urgency = "low"
[[pd.server]]
name = "vm-1"
kind = "vps"
site = "Pusat Data"
pool = "Klaster, utama"
vcpus = 8
memory_bytes = 17179869184
disk_bytes = 1099511627776
[[pd.server.care]]
name = "Pembaruan; bulanan"
kind = "patching"
done_on = "2026-12-01"
by = "Budi, tim VPS"
note = """dua
baris"""
due_on = "2027-01-01"
[[pd.server.care]]
name = "Pembaruan; bulanan"
kind = "patching"
done_on = "2026-11-01"
by = "Siti"
[[pd.device]]
name = "simrs-1"
kind = "server"
model = "PowerEdge R740"
serial = "-7XK1"
purchased_on = "2022-03-01"
warranty_until = "2025-02-28"
condition = "rusak_ringan"
server = "simrs-1"
site = "Pusat Data"
building = "Gedung A"
room = "Ruang server; lantai 2"
rack = "R 1"
lowest_u = 10
height_u = 2
face = "both"
draw_w = 750
feeds = ["B", "A"]
[[pd.device]]
name = "UPS lantai"
kind = "ups"
condition = "baik"
site = "Pusat Data"
building = "Gedung A"
room = "Ruang server; lantai 2"
draw_w = 100
feeds = ["A"]
[[pd.reservation]]
name = "Peladen baru"
site = "Pusat Data"
building = "Gedung A"
room = "Ruang server; lantai 2"
rack = "R 1"
lowest_u = 12
height_u = 4
face = "front"
until = "2027-12-31"
reason = "Surat 7/2026"
[[pd.handover]]
name = "root simrs-1"
server = "simrs-1"
from_person = "Budi"
to_person = "Siti"
handed_on = "2026-05-04"
letter = "BA 3/2026"
secret_kept_at = "Brankas, amplop 12"
[[pd.handover]]
name = "basis data"
server = "simrs-1"
dataset = "Basis data SIMRS"
from_person = "Budi"
to_person = "Siti"
handed_on = "2026-05-04"
returned_on = "2026-06-04"
[[pd.handover]]
name = "SIMRS"
application = "SIMRS"
from_person = "Budi"
to_person = "Siti"
handed_on = "2026-05-04"
[[on_call]]
name = "Rina, piket"
from = "2027-01-15 08:00"
until = "2027-01-22 08:00"
phone = "+62 811 234"
[[on_call]]
tier = 3
name = "Rina, piket"
from = "2027-01-15 08:00"
until = "2027-01-22T08:00:00+07:00"
email = "rina@example.go.id"
telegram = "-100123"
"#;

fn db() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::create(&dir.path().join("c.db")).unwrap();
    (dir, db)
}

fn enter(db: &Db, source: Source<'_>) -> Result<ImportOutcome, ImportError> {
    let act = Act::console(NOW);
    db.write(|tx| import(tx, &act, ("r", source), &crate::testing::profile(), false))
}

fn faults(db: &Db, source: Source<'_>) -> Vec<(usize, String)> {
    match enter(db, source).unwrap_err() {
        ImportError::Refused(faults) => {
            faults.first.into_iter().map(|fault| (fault.line, fault.detail)).collect()
        }
        other => panic!("{other}"),
    }
}

fn written(db: &Db, form: Form) -> String {
    db.read(|tx| export(tx, form, None, AT)).unwrap()
}

#[test]
fn what_is_exported_as_toml_is_the_same_register_elsewhere_and_changes_nothing_here() {
    let ((_a, first), (_b, second)) = (db(), db());
    let outcome = enter(&first, Source::Toml(CITY)).unwrap();
    assert_eq!((outcome.created, outcome.updated, outcome.unchanged), (29, 0, 0));
    let text = written(&first, Form::Toml);
    let again = enter(&first, Source::Toml(&text)).unwrap();
    assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 29), "{text}");
    enter(&second, Source::Toml(&text)).unwrap();
    assert_eq!(written(&second, Form::Toml), text);
    // The file that it came from still changes nothing.
    assert_eq!(enter(&first, Source::Toml(CITY)).unwrap().unchanged, 29);
}

#[test]
fn what_is_exported_as_csv_is_the_same_register_elsewhere() {
    let ((_a, first), (_b, second)) = (db(), db());
    enter(&first, Source::Toml(CITY)).unwrap();
    for table in RegisterTable::ALL {
        let text = written(&first, Form::Csv(*table));
        let here = enter(&first, Source::Csv(*table, &text)).unwrap();
        assert_eq!((here.created, here.updated), (0, 0), "{text}");
        enter(&second, Source::Csv(*table, &text)).unwrap();
        // What a spreadsheet in Indonesia saves.
        if !text.contains(';') && !text.contains('"') {
            let semicolons = format!("\u{feff}{}", text.replace(',', ";"));
            let outcome = enter(&second, Source::Csv(*table, &semicolons)).unwrap();
            assert_eq!(outcome.created + outcome.updated, 0, "{semicolons}");
        }
    }
    assert_eq!(written(&second, Form::Toml), written(&first, Form::Toml));
    let datasets = written(&first, Form::Csv(RegisterTable::Datasets));
    for guarded in ["'@internal", "''=Kepala", "\"/var/lib/mysql\n-x, y\""] {
        assert!(datasets.contains(guarded), "{guarded} in {datasets}");
    }
}

#[test]
fn a_pds_export_holds_nothing_of_another_and_no_place() {
    let (_dir, db) = db();
    enter(&db, Source::Toml(CITY)).unwrap();
    let pd = db.read(|tx| crate::db::register::pd_by_code(tx, "RSUD")).unwrap().unwrap();
    let text = db.read(|tx| export(tx, Form::Toml, Some(pd.id), AT)).unwrap();
    assert!(text.contains("Basis data SIMRS"));
    for foreign in [
        "Dinas Kominfo",
        "[[site",
        "Gedung A",
        "latitude",
        "R 1",
        "Klaster",
        "feeds",
        "lowest_u",
        "Rina",
    ] {
        assert!(!text.contains(foreign), "{foreign} in {text}");
    }
}

#[test]
fn of_ten_thousand_rows_three_bad_ones_are_told_and_none_is_entered() {
    let (_dir, db) = db();
    enter(&db, Source::Toml("[[pd]]\ncode = 'A'\nname = 'A'\n")).unwrap();
    let row = |n: usize, urgency: &str, rpo: &str| {
        format!("A,data {n},files,non_public,{urgency},{rpo}\n")
    };
    let mut text = String::from("pd,name,kind,classification,urgency,rpo_s\n");
    for n in 0..10_000 {
        text += &match n {
            17 => row(n, "urgent", ""),
            4_999 => row(n, "normal", "5"),
            9_998 => row(3, "normal", ""),
            _ => row(n, "normal", "86400"),
        };
    }
    let source = Source::Csv(RegisterTable::Datasets, &text);
    let found = faults(&db, source);
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [19, 5_001, 10_000]);
    for (fault, part) in found.iter().zip(["`urgent`", "rpo_s 5", "stands twice"]) {
        assert!(fault.1.contains(part), "{fault:?}");
    }
    let count = || db.read(|tx| crate::db::register::datasets(tx, None)).unwrap().len();
    assert_eq!(count(), 0);
    let lines: Vec<_> = text.lines().collect();
    let good = |(index, _): &(usize, &&str)| ![18, 5_000, 9_999].contains(index);
    let mended: Vec<_> = lines.iter().enumerate().filter(good).map(|(_, line)| *line).collect();
    let outcome = enter(&db, Source::Csv(RegisterTable::Datasets, &mended.join("\n"))).unwrap();
    assert_eq!((outcome.created, count()), (9_997, 9_997));
}

#[test]
fn every_fault_of_a_toml_file_has_its_line_and_none_is_told_twice() {
    let (_dir, db) = db();
    let text = "[[pd]]\ncode = \"A\"\nname = \"A\"\n\
        [[pd.server]]\nname = \"web\"\nkind = \"cloud\"\n\
        [[pd.server.dataset]]\nname = \"d\"\nkind = \"files\"\nclassification = \"public\"\nurgency = \"low\"\n\
        [[pd]]\ncode = \"B B\"\nname = \"B\"\n\
        [[pd.dataset]]\nname = \"d\"\nkind = \"files\"\nclassification = \"public\"\nurgency = \"low\"\nrpo_s = 1\n\
        [[pd]]\ncode = \"C\"\nname = \"C\"\n\
        [[pd.service]]\npd = \"A\"\nname = \"s\"\n\
        [[satuan]]\nname = \"x\"\n";
    let found = faults(&db, Source::Toml(text));
    let expected = [
        (6, "unknown variant `cloud`"),
        (13, "code \"B B\""),
        (25, "leave it out"),
        (27, "unknown key `satuan`"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((line, detail), (expected, part)) in found.iter().zip(expected) {
        assert!(*line == expected && detail.contains(part), "{line}: {detail}");
    }
    let found = faults(&db, Source::Toml("[[pd]]\ncode = \n"));
    assert_eq!(found[0].0, 2);
}

#[test]
fn what_belongs_to_nothing_is_refused_by_the_field_that_names_it() {
    let (_dir, db) = db();
    enter(&db, Source::Toml(CITY)).unwrap();
    let cases = [
        (
            "[[dataset]]\npd = 'X'\nname = 'd'\nkind = 'files'\nclassification = 'public'\nurgency = 'low'",
            2,
            "PD \"X\"",
        ),
        ("[[room]]\nsite = 'DRC'\nbuilding = 'B'\nname = 'r'\nkind = 'other'", 3, "building \"B\""),
        (
            "[[server]]\npd = 'RSUD'\nname = 's'\nkind = 'vps'\nsite = 'DRC'\nbuilding = 'B'",
            6,
            "name the room too",
        ),
        ("[[application]]\npd = 'RSUD'\nname = 'a'\nservers = ['KOMINFO/no']", 4, "server \"no\""),
        ("[[contact_person]]\npd = 'RSUD'\nname = 'a'\nemail = 'a b@c'", 4, "NAME@HOST"),
        ("[[service]]\npd = 'RSUD'\nname = 'a'\nsla_millipercent = 100001", 4, "99.5 %"),
        ("[[service]]\npd = 'KOMINFO'\nname = 'a'\nstandby = 'RSUD/simrs-1'", 4, "another PD"),
        (
            "[[dataset]]\npd = 'RSUD'\nname = 'd'\nkind = 'files'\nclassification = 'public'\nurgency = 'low'\nschedule = '61 * * * *'",
            7,
            "schedule",
        ),
    ];
    for (text, line, part) in cases {
        let found = faults(&db, Source::Toml(text));
        assert!(found.len() == 1 && found[0].0 == line && found[0].1.contains(part), "{found:?}");
    }
}

#[test]
fn a_header_that_is_not_the_tables_is_refused_before_any_row() {
    let (_dir, db) = db();
    for (header, part) in [
        ("pd,nama\n", "unknown column `nama`; did you mean `name`?"),
        ("pd,name,pd\n", "stands twice"),
        ("", "column"),
    ] {
        let text = format!("{header}A,b\n");
        let found = faults(&db, Source::Csv(RegisterTable::Servers, &text));
        assert!(found[0].0 == 1 && found[0].1.contains(part), "{found:?}");
    }
    let found = faults(&db, Source::Csv(RegisterTable::Pd, "code,name\nA,b,c\n"));
    assert!(found[0].0 == 2 && found[0].1.contains("3 cells under 2 columns"), "{found:?}");
}

#[test]
fn a_dry_run_tells_what_it_would_do_and_does_nothing() {
    let (_dir, db) = db();
    let act = Act::console(NOW);
    let tried = db
        .write(|tx| import(tx, &act, ("r", Source::Toml(CITY)), &crate::testing::profile(), true));
    assert!(matches!(tried, Err(ImportError::Tried(outcome)) if outcome.created == 29));
    assert_eq!(db.read(|tx| crate::db::register::pds(tx)).unwrap(), []);
}

#[test]
fn the_columns_of_a_table_are_the_fields_of_its_entries() {
    let (_dir, db) = db();
    enter(&db, Source::Toml(CITY)).unwrap();
    let entries = db.read(|tx| super::collect::entries(tx, None, AT)).unwrap();
    for table in RegisterTable::ALL {
        let known: Vec<_> = columns(*table).iter().map(|(name, _)| *name).collect();
        let mut used = std::collections::BTreeSet::new();
        for entry in entries.iter().filter(|entry| entry.table() == *table) {
            used.extend(entry.to_table().unwrap().keys().cloned());
        }
        assert!(used.iter().all(|name| known.contains(&name.as_str())), "{table}: {used:?}");
        // Each column is a field: what it names is not unknown.
        for name in known {
            let fields = toml::Table::from_iter([(name.to_owned(), toml::Value::Integer(1))]);
            let error = Entry::read(*table, toml::Value::Table(fields)).unwrap_err().to_string();
            assert!(!error.contains("unknown field"), "{table}.{name}: {error}");
        }
    }
}
