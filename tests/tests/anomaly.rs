//! Ransomware on a PD's server, with the real programs: the backup that shows it raises an alarm that names the folder, and
//! both sites hold the last snapshot from before for as long as nobody has said that it was harmless.

use std::fs;
use std::path::{Path, PathBuf};

use lumbung_model::ManifestId;
use lumbung_pack::Manifest;
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::evidence;
use lumbung_tests::process::{eventually, next_second, output};
use serde_json::Value;
use tempfile::TempDir;

const FILES: u64 = 60;

/// Bytes that do not compress, from a number.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| byte()).collect()
}

fn back_up(city: &City, data: &Path, day: u64) -> ManifestId {
    fs::write(data.join("pasien/baru.csv"), format!("hari {day}\n").repeat(500)).unwrap();
    let pd = &city.pds[0];
    output(pd.agent().arg("backup")).unwrap();
    evidence::newest(&city.pusat.repository(&pd.repository)).unwrap().id
}

/// Every file encrypted, under another name.
fn encrypt_everything(folder: &Path) {
    for n in 0..FILES {
        let file = folder.join(format!("{n:03}.csv"));
        let length = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        fs::write(folder.join(format!("{n:03}.csv.lokd")), noise(n + 1, length)).unwrap();
        fs::remove_file(file).unwrap();
    }
}

fn anomalies(city: &City) -> Vec<Value> {
    let listed = output(city.operator().args(["--json", "anomaly", "list"])).unwrap();
    serde_json::from_str(&listed).unwrap()
}

/// The snapshots that a site's vault holds by itself.
fn held(city: &City, site: &Site) -> String {
    let repository = city.pds[0].repository.to_string();
    output(site.command().args(["hold", "list", "--json", "--repository", &repository])).unwrap()
}

/// A city whose hospital was attacked: both sites hold the last snapshot from before.
struct Attacked {
    city: City,
    data: PathBuf,
    good: ManifestId,
    bad: ManifestId,
    /// As the controller lists it.
    anomaly: Value,
    /// Days since.
    days: u32,
    _directory: TempDir,
}

impl Attacked {
    fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-anomaly-").unwrap();
        let data = directory.path().join("srv");
        let folder = data.join("pasien");
        fs::create_dir_all(&folder).unwrap();
        for n in 0..FILES {
            let text = format!("{n};nama;alamat;diagnosis\n").repeat(400);
            fs::write(folder.join(format!("{n:03}.csv")), text).unwrap();
        }
        let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
        let mut city = City::found(directory.path(), vec![plan], |_| ()).unwrap();
        city.pds[0].start().unwrap();
        let mut good = None;
        for day in 0..4 {
            good = Some(back_up(&city, &data, day));
        }
        let good = good.unwrap();
        city.arrives(good).unwrap();
        next_second().unwrap();
        assert!(anomalies(&city).is_empty());

        encrypt_everything(&folder);
        let bad = back_up(&city, &data, 4);
        let anomaly = both_hold(&city, good, 0);
        Self { city, data, good, bad, anomaly, days: 0, _directory: directory }
    }

    /// Days pass; then there is another backup, which both sites have.
    fn days_later(&mut self, days: u32) {
        self.city.pass_days(days).unwrap();
        self.days += days;
        let newest = back_up(&self.city, &self.data, u64::from(self.days));
        self.city.arrives(newest).unwrap();
    }

    /// Whether a snapshot is gone from both sites.
    fn gone(&self, snapshot: ManifestId) -> bool {
        let sites = [&self.city.pusat, &self.city.drc];
        sites.iter().all(|site| !self.snapshots(site).contains(&snapshot))
    }

    /// What a site has.
    fn snapshots(&self, site: &Site) -> Vec<ManifestId> {
        let repository = site.repository(&self.city.pds[0].repository);
        let manifests = evidence::objects::<Manifest>(&repository).unwrap();
        manifests.iter().map(|manifest| manifest.id).collect()
    }
}

/// Waits until both sites have said after that time that they hold a snapshot; the anomaly.
fn both_hold(city: &City, snapshot: ManifestId, since_s: i64) -> Value {
    eventually("both sites hold the snapshot from before", || {
        let all = anomalies(city);
        let Some(one) = all.first() else { return Ok(Err("no anomaly".to_owned())) };
        let holds = one["holds"].as_array().unwrap();
        let of_it = holds.iter().filter(|hold| hold["manifest"] == snapshot.to_string());
        let placed = of_it.filter(|hold| hold["placed"].as_i64() > Some(since_s)).count();
        Ok(if placed == 2 { Ok(one.clone()) } else { Err(format!("{all:?}")) })
    })
    .unwrap()
}

#[test]
fn ransomware_on_a_server_is_alarmed_and_both_sites_hold_the_snapshot_before() {
    let Attacked { city, data, good, bad, anomaly: found, .. } = &Attacked::new();
    assert_eq!((&found["state"], &found["new_extension"]), (&"open".into(), &"lokd".into()));
    let folder = data.join("pasien");
    assert_eq!(found["folders"][0]["path"], folder.to_str().unwrap());
    assert_eq!(found["folders"][0]["renamed_files"], FILES);
    for site in [&city.pusat, &city.drc] {
        let holds = held(city, site);
        assert!(holds.contains(&good.to_string()), "{}: {holds}", site.name);
        assert!(!holds.contains(&bad.to_string()), "{}: {holds}", site.name);
    }

    let id = found["id"].as_str().unwrap();
    let dismissed = ["--json", "anomaly", "dismiss", id, "--reason", "latihan pemulihan"];
    let dismissed = output(city.operator().args(dismissed)).unwrap();
    assert!(dismissed.contains("\"dismissed\""), "{dismissed}");
}

#[test]
fn what_is_held_survives_at_both_sites_whatever_retention_says_until_the_anomaly_is_settled() {
    let mut attacked = Attacked::new();
    for site in [&attacked.city.pusat, &attacked.city.drc] {
        let file = site.dir.join("vault.toml");
        let text = fs::read_to_string(&file).unwrap();
        let text = format!("retention_interval = \"1s\"\n{text}\n[retention]\nkeep_last = 1\n");
        fs::write(file, text).unwrap();
    }
    // The lock of 30 days passes, and 30 days more since something newer took the place.
    let Attacked { good, bad, .. } = attacked;
    let mut asked_s = 0;
    while !attacked.gone(bad) {
        assert!(attacked.days < 300, "retention lets nothing go");
        attacked.days_later(20);
        let anomaly = both_hold(&attacked.city, good, asked_s);
        let asked = anomaly["holds"].as_array().unwrap().iter();
        asked_s = asked.filter_map(|hold| hold["placed"].as_i64()).max().unwrap() + 86_400;
    }
    for site in [&attacked.city.pusat, &attacked.city.drc] {
        let left = attacked.snapshots(site);
        assert!(left.contains(&good), "{}: {left:?}", site.name);
    }
    let there = attacked.city.dir.join("restored");
    fs::create_dir(&there).unwrap();
    let mut restore = attacked.city.lumbung();
    restore.args(["restore", &attacked.city.drc.url, &good.to_string(), "--target"]).arg(&there);
    output(restore.arg("--key").arg(attacked.city.pds[0].key())).unwrap();
    let first = attacked.data.join("pasien/000.csv");
    let first = there.join(first.strip_prefix("/").unwrap());
    assert!(fs::read_to_string(first).unwrap().starts_with("0;nama;alamat;diagnosis\n"));

    let id = attacked.anomaly["id"].as_str().unwrap().to_owned();
    let dismiss = ["anomaly", "dismiss", &id, "--reason", "sudah dipulihkan"];
    output(attacked.city.operator().args(dismiss)).unwrap();
    while !attacked.gone(good) {
        assert!(attacked.days < 600, "nothing holds it any more, and it stays");
        attacked.days_later(20);
    }
}
