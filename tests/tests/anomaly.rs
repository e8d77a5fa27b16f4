//! Ransomware on a PD's server, with the real programs: the backup that shows it raises an alarm that names the folder, and
//! both sites hold the last snapshot from before.

use std::fs;
use std::path::Path;

use lumbung_model::{Clock as _, ManifestId, SystemClock};
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::evidence;
use lumbung_tests::process::{eventually, output};
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

#[test]
fn ransomware_on_a_server_is_alarmed_and_both_sites_hold_the_snapshot_before() {
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
    let (good, made) = (good.unwrap(), SystemClock.now());
    eventually("the DRC has pulled the last good snapshot", || {
        Ok(match evidence::newest(&city.drc.repository(&city.pds[0].repository)) {
            Ok(there) if there.id == good => Ok(()),
            Ok(there) => Err(there.id.to_string()),
            // It has none yet.
            Err(error) => Err(error.to_string()),
        })
    })
    .unwrap();
    // Runs are told apart by the second.
    eventually("the next second", || {
        let now = SystemClock.now();
        Ok(if now > made { Ok(()) } else { Err(now.to_string()) })
    })
    .unwrap();
    assert!(anomalies(&city).is_empty());

    encrypt_everything(&folder);
    let bad = back_up(&city, &data, 4);
    let found = std::cell::RefCell::new(Value::Null);
    eventually("both sites hold the snapshot from before", || {
        let all = anomalies(&city);
        let placed = all.first().map_or(0, |one| {
            let holds = one["holds"].as_array().unwrap();
            let of_good = |hold: &&Value| hold["manifest"] == good.to_string();
            holds.iter().filter(of_good).filter(|hold| hold["placed"].is_number()).count()
        });
        found.replace(all.first().cloned().unwrap_or_default());
        Ok(if placed == 2 { Ok(()) } else { Err(format!("{all:?}")) })
    })
    .unwrap();
    let found = found.into_inner();
    assert_eq!((&found["state"], &found["new_extension"]), (&"open".into(), &"lokd".into()));
    assert_eq!(found["folders"][0]["path"], folder.to_str().unwrap());
    assert_eq!(found["folders"][0]["renamed_files"], FILES);
    for site in [&city.pusat, &city.drc] {
        let holds = held(&city, site);
        assert!(holds.contains(&good.to_string()), "{}: {holds}", site.name);
        assert!(!holds.contains(&bad.to_string()), "{}: {holds}", site.name);
    }

    let id = found["id"].as_str().unwrap();
    let dismissed = ["--json", "anomaly", "dismiss", id, "--reason", "latihan pemulihan"];
    let dismissed = output(city.operator().args(dismissed)).unwrap();
    assert!(dismissed.contains("\"dismissed\""), "{dismissed}");
}
