//! Destruction by order, as the PD's custodian, the Dinas and two site operators do it: both have to sign, and each site
//! is told at its own console.

use std::fs;
use std::path::{Path, PathBuf};

use lumbung_model::ManifestId;
use lumbung_pack::{Kind, Tombstone};
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::process::{any_output, eventually, output};
use lumbung_tests::{evidence, tree};
use serde_json::Value;
use tempfile::TempDir;

const LETTER: &str = "800/12/2026";

/// A city whose vaults know the Dinas' key, and a PD with three snapshots at both sites.
struct Bed {
    city: City,
    /// In the order in which they were made, each with what the server held then.
    snapshots: Vec<(ManifestId, tree::Tree)>,
    data: PathBuf,
    directory: TempDir,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-orders-").unwrap();
        let data = directory.path().join("srv");
        fs::create_dir(&data).unwrap();
        let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
        let city = City::found(directory.path(), vec![plan], |_| ()).unwrap();
        let mut bed = Self { city, snapshots: Vec::new(), data, directory };
        bed.make_the_dinas_known();
        for n in 0..3 {
            bed.back_up(&format!("pasien-{n}.csv"));
        }
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The Dinas' custodian makes a key; each operator enters it and starts the vault again.
    fn make_the_dinas_known(&mut self) {
        let key = self.path("dinas.key");
        let made = output(self.city.lumbung().args(["--json", "key", "new"]).arg(&key)).unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        for site in [&mut self.city.pusat, &mut self.city.drc] {
            let file = site.dir.join("vault.toml");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, format!("dinas_keys = [{}]\n{text}", made["root_public"])).unwrap();
            site.kill().unwrap();
            site.start().unwrap();
        }
    }

    /// Backs up with one more file, and waits until the DRC has it.
    fn back_up(&mut self, name: &str) {
        fs::write(self.data.join(name), format!("NIK {name}\n").repeat(2_000)).unwrap();
        let pd = &self.city.pds[0];
        output(pd.agent().arg("backup")).unwrap();
        let manifest = evidence::newest(&self.city.pusat.repository(&pd.repository)).unwrap().id;
        eventually("the DRC has pulled it", || {
            let there = self.kept(&self.city.drc);
            Ok(if there.contains(&manifest) { Ok(()) } else { Err(format!("{there:?}")) })
        })
        .unwrap();
        self.snapshots.push((manifest, tree::read(&self.data).unwrap()));
    }

    /// The manifests in a site's directory.
    fn kept(&self, site: &Site) -> Vec<ManifestId> {
        let repository = site.repository(&self.city.pds[0].repository);
        let names = fs::read_dir(repository.join(Kind::Manifest.folder())).unwrap();
        names.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
    }

    /// The PD's custodian draws up the destruction of a snapshot, by its first digits.
    fn draw_up(&self, snapshot: &ManifestId) -> PathBuf {
        let (pd, file) = (&self.city.pds[0], self.path("order.txt"));
        let mut new = self.city.lumbung();
        new.args(["order", "new"]).arg(&file).args(["--depot", &self.city.pusat.url]);
        new.args(["--destroy-snapshot", &snapshot.to_string()[..12], "--letter", LETTER]);
        output(new.args(["--reason", "Pasal 16 UU 27/2022", "--key"]).arg(pd.key())).unwrap();
        file
    }

    fn sign_as_dinas(&self, file: &Path) {
        let mut sign = self.city.lumbung();
        sign.args(["order", "sign"]).arg(file).arg("--key").arg(self.path("dinas.key"));
        output(sign.arg("--yes")).unwrap();
    }

    /// Restores a snapshot from a site; whether that went well.
    fn restores(&self, site: &Site, index: usize) -> bool {
        let (id, expected) = &self.snapshots[index];
        let target = TempDir::new_in(self.directory.path()).unwrap();
        let mut restore = self.city.lumbung();
        restore.args(["restore", &site.url, &id.to_string(), "--key"]).arg(self.city.pds[0].key());
        let ended = any_output(restore.arg("--target").arg(target.path())).unwrap();
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(said.contains("has no snapshot"), "{} failed with: {said}", site.name);
            return false;
        }
        let found = tree::read(&target.path().join(self.data.strip_prefix("/").unwrap())).unwrap();
        assert_eq!(tree::differences(expected, &found, 3), (vec![], 0), "{}", site.name);
        true
    }

    /// The Pusat Data loses its index, and with it all that it knows of what it has pulled; then it pulls anew.
    fn pull_from_the_beginning(&mut self) {
        let pusat = &mut self.city.pusat;
        pusat.kill().unwrap();
        output(pusat.command().arg("reindex")).unwrap();
        pusat.start().unwrap();
        self.pull();
    }

    /// Fetches at both sites what the other one has.
    fn pull(&self) {
        for site in [&self.city.pusat, &self.city.drc] {
            output(site.command().arg("pull")).unwrap();
        }
    }
}

/// Gives the order to a site's vault; what it says, and whether it carried it out.
fn order(site: &Site, file: &Path, options: &[&str]) -> (bool, String) {
    let ended = any_output(site.command().arg("order").arg(file).args(options)).unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn what_two_parties_order_is_destroyed_at_both_sites() {
    let mut bed = Bed::new();
    let gone = bed.snapshots[1].0;
    let file = bed.draw_up(&gone);
    for site in [&bed.city.pusat, &bed.city.drc] {
        let (done, said) = order(site, &file, &[]);
        assert!(!done && said.contains("key of the Dinas"), "{}: {said}", site.name);
        assert!(bed.kept(site).contains(&gone), "{}", site.name);
    }
    bed.sign_as_dinas(&file);
    for site in [&bed.city.pusat, &bed.city.drc] {
        let (fine, said) = order(site, &file, &["--dry-run"]);
        assert!(fine && said.contains(&gone.to_string()), "{}: {said}", site.name);
        assert!(said.contains("would be destroyed"), "{said}");
        assert!(bed.kept(site).contains(&gone), "{}: a dry run", site.name);
    }
    let carried_out = |bed: &Bed, site: &Site| {
        let (done, said) = order(site, &file, &[]);
        assert!(done && said.contains(LETTER) && said.contains(&gone.to_string()), "{said}");
        assert!(!said.contains("would be"), "{said}");
        assert!(!bed.kept(site).contains(&gone), "{}", site.name);
        let why = output(site.command().arg("why").arg(gone.to_string())).unwrap();
        assert!(why.contains(LETTER), "{}: {why}", site.name);
    };
    carried_out(&bed, &bed.city.pusat);
    // The DRC still has it.
    bed.pull_from_the_beginning();
    carried_out(&bed, &bed.city.drc);
    bed.pull();
    // A run of the agent and the pull after it bring nothing back either.
    bed.back_up("pasien-3.csv");
    for site in [&bed.city.pusat, &bed.city.drc] {
        assert!(!bed.kept(site).contains(&gone), "{}: it came back", site.name);
        let restored: Vec<bool> = (0..4).map(|index| bed.restores(site, index)).collect();
        assert_eq!(restored, [true, false, true, true], "{}", site.name);
        let stones = evidence::objects::<Tombstone>(&site.repository(&bed.city.pds[0].repository));
        assert!(stones.unwrap().iter().any(|stone| stone.body.manifest == gone), "{}", site.name);
    }
    the_controller_knows_the_letter(&bed, &gone);
}

/// It shows both removals with their letter, and holds neither site to have hidden something.
fn the_controller_knows_the_letter(bed: &Bed, gone: &ManifestId) {
    let about = eventually("the controller has read both removals", || {
        let status = output(bed.city.operator().args(["--json", "status"]))?;
        let status: Value = serde_json::from_str(&status)?;
        let alarms = status["alarms"].as_array().cloned().unwrap_or_default();
        let orders = alarms.iter().filter(|alarm| alarm["kind"] == "order").count();
        Ok(if orders == 2 { Ok(alarms) } else { Err(format!("{alarms:?}")) })
    })
    .unwrap();
    let detail = |alarm: &Value| alarm["detail"].as_str().unwrap_or_default().to_owned();
    let mut orders = about.iter().filter(|alarm| alarm["kind"] == "order").map(detail);
    assert!(orders.all(|said| said.contains(LETTER) && said.contains(&gone.to_string())));
    let wrong = ["hidden", "removal", "receipt-gap", "inventory"];
    let blamed: Vec<&Value> =
        about.iter().filter(|alarm| wrong.iter().any(|kind| alarm["kind"] == *kind)).collect();
    assert!(blamed.is_empty(), "{blamed:?}");
}

#[test]
fn an_order_carried_out_at_the_pusat_data_does_nothing_at_the_drc() {
    let mut bed = Bed::new();
    let gone = bed.snapshots[1].0;
    let file = bed.draw_up(&gone);
    bed.sign_as_dinas(&file);
    let (done, said) = order(&bed.city.pusat, &file, &[]);
    assert!(done, "{said}");
    bed.pull_from_the_beginning();
    assert!(bed.kept(&bed.city.drc).contains(&gone));
    let restored: Vec<bool> = (0..3).map(|index| bed.restores(&bed.city.drc, index)).collect();
    assert_eq!(restored, [true; 3]);
    // And the Pusat Data does not take back what it destroyed, although the DRC has it.
    assert!(!bed.kept(&bed.city.pusat).contains(&gone));
    assert!(!bed.restores(&bed.city.pusat, 1));
}
