//! Portable media between the real programs: a site's copy by disk, a first full copy by disk, and disks that are too small.
//!
//! Needs root, for small file systems: it fails where it cannot mount one, rather than pass untested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_pack::Receipt;
use lumbung_tests::alone::Alone;
use lumbung_tests::city::{City, Pd, PdPlan, Site};
use lumbung_tests::process::{any_output, output};
use lumbung_tests::{evidence, tree};
use serde_json::Value;
use tempfile::TempDir;

fn noise(path: &Path, seed: u8, length: usize) {
    let mut content = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut content);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&output(command).unwrap()).unwrap()
}

/// A city whose DRC pulls from nobody: what it has came by disk.
fn apart(directory: &Path, data: &Path) -> City {
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.to_path_buf()] };
    let mut city = City::found(directory, vec![plan], |_| ()).unwrap();
    city.drc.kill().unwrap();
    city.drc.configure(&[]).unwrap();
    city.drc.start().unwrap();
    city
}

fn import_at(site: &Site, disk: &Path) -> Value {
    json(site.command().args(["import-media", "--json"]).arg(disk))
}

fn receipts(site: &Site, pd: &Pd) -> Vec<Receipt> {
    let all = evidence::objects::<Receipt>(&site.repository(&pd.repository)).unwrap();
    let own = all.into_iter().map(|receipt| receipt.body);
    own.filter(|receipt| receipt.site.to_string() == site.public.site).collect()
}

fn assert_restores(city: &City, pd: &Pd, depot: &str, data: &Path) {
    let out = TempDir::new().unwrap();
    let mut restore = city.lumbung();
    restore.args(["restore", depot, "latest", "--verify", "--key"]).arg(pd.key());
    output(restore.arg("--target").arg(out.path().join("out"))).unwrap();
    let found = out.path().join("out").join(data.strip_prefix("/").unwrap());
    let (lines, count) =
        tree::differences(&tree::read(data).unwrap(), &tree::read(&found).unwrap(), 3);
    assert_eq!(count, 0, "{lines:?}");
}

#[test]
fn a_sites_copy_travels_by_disk_to_another_site() {
    let directory = TempDir::with_prefix("lumbung-media-").unwrap();
    let (data, disk) = (directory.path().join("srv"), directory.path().join("disk"));
    noise(&data.join("a.bin"), 1, 5_000_000);
    let city = apart(directory.path(), &data);
    let pd = &city.pds[0];
    output(pd.agent().arg("backup")).unwrap();
    noise(&data.join("b.bin"), 2, 1_200_000);
    output(pd.agent().arg("backup")).unwrap();

    // At the vault's console: its data directory, read beside the running vault, signed with its own key.
    let export = || {
        let mut export = city.lumbung();
        export.args(["--json", "media", "export", "--all"]).arg(city.pusat.data()).arg(&disk);
        json(export.arg("--site-key").arg(city.pusat.data().join("state/site.key")))
    };
    let exported = export();
    assert_eq!(exported["repositories"][0]["list"]["snapshots"], 2, "{exported}");
    assert_eq!(export()["repositories"][0]["copied"]["objects"], 0);
    let verified = json(city.lumbung().args(["--json", "media", "verify"]).arg(&disk));
    assert_eq!(verified["repositories"][0]["list"]["signer"]["kind"], "site", "{verified}");

    let imported = import_at(&city.drc, &disk);
    assert_eq!(
        (&imported[0]["snapshots"], &imported[0]["failures"]),
        (&2.into(), &0.into()),
        "{imported}"
    );
    let given = receipts(&city.drc, pd);
    assert_eq!(given.len(), 2);
    let from = |receipt: &Receipt| receipt.pulled_from.map(|site| site.to_string());
    assert!(given.iter().all(|receipt| from(receipt) == Some(city.pusat.public.site.clone())));
    assert_restores(&city, pd, &city.drc.url, &data);
    assert_eq!(import_at(&city.drc, &disk)[0]["packs"], 0, "nothing is new");

    // The same on the owner's word, over the network: a third snapshot, to the site that lacks it.
    noise(&data.join("c.bin"), 3, 1_200_000);
    output(pd.agent().arg("backup")).unwrap();
    let mut export = city.lumbung();
    export
        .args(["--json", "media", "export", &city.pusat.url])
        .arg(&disk)
        .arg("--key")
        .arg(pd.key());
    assert_eq!(json(&mut export)["repositories"][0]["list"]["number"], 3);
    let mut import = city.lumbung();
    import
        .args(["--json", "media", "import"])
        .arg(&disk)
        .arg(&city.drc.url)
        .arg("--key")
        .arg(pd.key());
    let imported = json(&mut import);
    assert_eq!(imported["snapshots"].as_array().map(Vec::len), Some(1), "{imported}");
    assert!(imported["bytes"].as_u64().unwrap() < 1_400_000, "only the difference: {imported}");
    assert!(receipts(&city.drc, pd).iter().any(|receipt| receipt.pulled_from.is_none()));
    assert_restores(&city, pd, &city.drc.url, &data);
    let status = json(city.drc.command().args(["status", "--json"]));
    assert_eq!(status["alarms"], serde_json::json!([]), "{status}");
}

#[test]
fn a_first_full_copy_goes_by_disk_and_increments_over_the_line() {
    let directory = TempDir::with_prefix("lumbung-seed-").unwrap();
    let (data, disk) = (directory.path().join("srv"), directory.path().join("disk"));
    noise(&data.join("besar.bin"), 1, 30_000_000);
    let city = apart(directory.path(), &data);
    let pd = &city.pds[0];
    // The custodian prepares the disk: the rosters are on it, and nothing else.
    let mut prepare = city.lumbung();
    prepare
        .args(["--json", "media", "export", &city.pusat.url])
        .arg(&disk)
        .arg("--key")
        .arg(pd.key());
    json(&mut prepare);
    // At the server: with the agent's own identity and state, so that the daemon knows what was sent.
    let state = pd.server.join("state");
    let mut backup = city.lumbung();
    backup.args(["--json", "backup"]).arg(&disk).arg("--agent").arg(state.join("agent.id"));
    backup.arg("--state").arg(state.join("engine")).args(["--dataset", &pd.dataset.to_string()]);
    let sent = json(backup.args(&pd.paths))["sent_bytes"].as_u64().unwrap();
    assert!(sent > 29_000_000);
    let mut sign = city.lumbung();
    sign.args(["media", "export"]).arg(&disk).arg(&disk).arg("--agent").arg(state.join("agent.id"));
    output(&mut sign).unwrap();

    // At the Pusat Data.
    let imported = import_at(&city.pusat, &disk);
    assert_eq!(
        (&imported[0]["snapshots"], &imported[0]["failures"]),
        (&1.into(), &0.into()),
        "{imported}"
    );
    assert_eq!(receipts(&city.pusat, pd)[0].pulled_from, None);
    noise(&data.join("baru.bin"), 2, 200_000);
    let runs = json(pd.agent().args(["--json", "backup"]));
    let sent = runs[0]["sent_bytes"].as_u64().unwrap();
    assert!((200_000..300_000).contains(&sent), "only the difference goes over the line: {runs}");
    let newest = evidence::newest(&city.pusat.repository(&pd.repository)).unwrap();
    assert_eq!((newest.body.epoch, newest.body.sequence), (1, 2), "the chain goes on");
    assert_restores(&city, pd, &city.pusat.url, &data);
    let status = json(city.pusat.command().args(["status", "--json"]));
    assert_eq!(status["alarms"], serde_json::json!([]), "{status}");
}

#[test]
fn a_vault_takes_nothing_that_it_may_not_have() {
    let directory = TempDir::with_prefix("lumbung-media-hostile-").unwrap();
    let (data, disk) = (directory.path().join("srv"), directory.path().join("disk"));
    noise(&data.join("a.bin"), 1, 3_000_000);
    let city = apart(directory.path(), &data);
    let pd = &city.pds[0];
    output(pd.agent().arg("backup")).unwrap();
    let mut export = city.lumbung();
    export.args(["media", "export", &city.pusat.url]).arg(&disk).arg("--key").arg(pd.key());
    output(&mut export).unwrap();
    let alone = Alone::new().unwrap();
    noise(&alone.source().join("x"), 9, 1000);
    alone.backup().unwrap();
    let mut stranger = alone.lumbung();
    stranger.args(["media", "export"]).arg(alone.depot()).arg(&disk).arg("--key").arg(alone.key());
    output(&mut stranger).unwrap();

    let ask = |more: &[&str]| {
        let ended =
            any_output(city.drc.command().args(["import-media", "--json"]).args(more).arg(&disk))
                .unwrap();
        (ended.status.code(), String::from_utf8(ended.stdout).unwrap())
    };
    // One repository was admitted here, the other is a stranger's; and a frame of the first is damaged.
    let repository = disk.join("repositories").join(pd.repository.to_string());
    let pack = walk(&repository.join("packs")).pop().unwrap();
    let good = fs::read(&pack).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&pack, &bad).unwrap();
    let (code, said) = ask(&[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("is not admitted") && said.contains("does not match"), "{said}");
    assert!(receipts(&city.drc, pd).is_empty());
    assert_eq!(fs::read_dir(city.drc.data().join("repositories")).unwrap().count(), 1);
    // A link to another file of the same bytes is still no object.
    fs::write(directory.path().join("elsewhere"), &good).unwrap();
    fs::remove_file(&pack).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &pack).unwrap();
    assert_eq!(ask(&[]).0, Some(3));
    assert!(receipts(&city.drc, pd).is_empty());
    // No list, no entry, unless the operator says so.
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, &good).unwrap();
    for list in walk(&disk.join("lists")) {
        fs::remove_file(list).unwrap();
    }
    let (code, said) = ask(&[]);
    assert!(code == Some(3) && said.contains("nobody entitled"), "{said}");
    assert!(receipts(&city.drc, pd).is_empty());
    assert_eq!(ask(&["--unsigned"]).0, Some(3), "the stranger's is still left out");
    assert_eq!(receipts(&city.drc, pd).len(), 1);
    assert_restores(&city, pd, &city.drc.url, &data);
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// A file system of its own, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "lumbung-test"]).arg(&at);
        assert!(mount.status().unwrap().success(), "this test mounts a tmpfs: run it as root");
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_snapshot_larger_than_any_disk_goes_on_several() {
    let alone = Alone::new().unwrap();
    noise(&alone.source().join("besar.bin"), 1, 60_000_000);
    alone.backup().unwrap();
    let disks = ["satu", "dua", "tiga"].map(|name| Small::mount(alone.path().join(name), "28m"));
    let export = |disk: &Small, more: &[&Path]| {
        let mut export = alone.lumbung();
        export.args(["--json", "media", "export"]).arg(alone.depot()).arg(&disk.0);
        export.arg("--key").arg(alone.key()).arg("--keep-list").arg(alone.path().join("daftar"));
        more.iter().for_each(|list| {
            export.arg("--since").arg(list);
        });
        export
    };
    // Without --fill nothing is written but the marker.
    let refused = any_output(&mut export(&disks[0], &[])).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("are needed on") && said.contains("--fill"), "{said}");
    assert_eq!(walk(&disks[0].0).len(), 1);

    let mut lists: Vec<PathBuf> = Vec::new();
    for (number, disk) in disks.iter().enumerate() {
        let before: Vec<&Path> = lists.iter().map(PathBuf::as_path).collect();
        let ended = any_output(export(disk, &before).arg("--fill")).unwrap();
        let said: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let last = number == 2;
        assert_eq!(ended.status.code(), Some(if last { 0 } else { 3 }), "{said}");
        let done = &said["repositories"][0];
        assert_eq!(done["remaining"]["snapshots"], i32::from(!last), "{said}");
        assert_eq!(done["list"]["snapshots"], i32::from(last), "{said}");
        lists.push(done["list"]["file"].as_str().unwrap().into());
        let verified = json(alone.lumbung().args(["--json", "media", "verify"]).arg(&disk.0));
        assert_eq!(
            (&verified["sound"], &verified["repositories"][0]["unlisted"]),
            (&true.into(), &0.into()),
            "{verified}"
        );
    }
    // All of them, one after the other.
    let copy = alone.path().join("copy");
    for disk in &disks {
        output(alone.lumbung().args(["media", "import"]).arg(&disk.0).arg(&copy)).unwrap();
    }
    let out = alone.path().join("out");
    output(alone.restore(&copy, &out).arg("--verify")).unwrap();
    assert_eq!(
        fs::read(alone.restored(&out).join("besar.bin")).unwrap(),
        fs::read(alone.source().join("besar.bin")).unwrap()
    );
}

#[test]
fn the_reference_reader_restores_from_a_medium() {
    let alone = Alone::new().unwrap();
    noise(&alone.source().join("a.bin"), 1, 2_000_000);
    alone.backup().unwrap();
    let disk = alone.path().join("disk");
    let mut export = alone.lumbung();
    export.args(["media", "export"]).arg(alone.depot()).arg(&disk).arg("--key").arg(alone.key());
    output(&mut export).unwrap();
    let repository =
        fs::read_dir(disk.join("repositories")).unwrap().next().unwrap().unwrap().path();
    super::reader::restores(&alone, &repository);
}
