//! SIGKILL at random moments: no receipt is ever lost, every receipted snapshot restores bit by bit, and the next run
//! simply continues.
//!
//! `LUMBUNG_TEST_KILLS` sets how many (100 otherwise), `LUMBUNG_TEST_SEED` the random moments.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use lumbung_model::{ManifestId, ReceiptId};
use lumbung_pack::Receipt;
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::process::{eventually, output};
use lumbung_tests::{evidence, tree};

/// The most that are killed in one round, and the longest pause before each.
const KILLS_A_ROUND: u64 = 8;
const PAUSE_MS: u64 = 200;

/// splitmix64: random enough for moments, and the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

/// Every receipt that a site has ever given, by manifest.
type Receipts = BTreeMap<(String, ManifestId), ReceiptId>;

fn receipts_of(site: &Site, repository: &Path) -> Receipts {
    let receipts = evidence::objects::<Receipt>(repository).unwrap().into_iter();
    let own = receipts.filter(|receipt| receipt.body.site.to_string() == site.public.site);
    own.map(|receipt| ((site.public.site.clone(), receipt.body.manifest), receipt.id)).collect()
}

struct Chaos {
    city: City,
    random: Random,
    data: PathBuf,
    receipts: Receipts,
    /// What the data were when a snapshot was begun with nobody changing them.
    states: BTreeMap<ManifestId, tree::Tree>,
}

impl Chaos {
    /// Changes, adds and removes files.
    fn change(&mut self, round: u64) {
        for _ in 0..3 {
            let name = self.data.join(format!("berkas-{}", self.random.next(30)));
            let length = self.random.next(3 << 20);
            let mut content = vec![0; usize::try_from(length).unwrap()];
            blake3::Hasher::new()
                .update(&round.to_le_bytes())
                .update(name.as_os_str().as_encoded_bytes())
                .finalize_xof()
                .fill(&mut content);
            fs::write(name, content).unwrap();
        }
        let removed = self.data.join(format!("berkas-{}", self.random.next(30)));
        let _ = fs::remove_file(removed);
    }

    fn backup(&self) -> Child {
        let mut backup = self.city.pds[0].agent();
        backup
            .args(["--json", "backup"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        backup.spawn().unwrap()
    }

    /// Kills programs at random moments of a backup and starts them again, then lets a backup end. Says how many were
    /// killed.
    fn round(&mut self, round: u64) -> u64 {
        self.change(round);
        let mut backup = self.backup();
        let (mut killed, planned) = (0, 1 + self.random.next(KILLS_A_ROUND));
        for _ in 0..planned {
            // The random moment is the point of this test: there is no event to wait for.
            std::thread::sleep(Duration::from_millis(self.random.next(PAUSE_MS)));
            killed += self.kill(&mut backup);
            // A killed vault is away for a moment: the backup goes on at the other site, or waits, or fails.
            self.city.restart_the_dead().unwrap();
        }
        let _ = backup.wait().unwrap();
        let status = self.backup().wait().unwrap();
        assert_eq!(status.code(), Some(0), "round {round}: the next run continues");
        self.check(round);
        killed
    }

    /// Kills one program. A backup that was killed, or has ended, begins anew.
    fn kill(&mut self, backup: &mut Child) -> u64 {
        match self.random.next(4) {
            0 => self.city.pusat.kill().unwrap(),
            1 => self.city.drc.kill().unwrap(),
            2 => self.city.controller.kill().unwrap(),
            _ => {
                let runs = backup.try_wait().unwrap().is_none();
                backup.kill().unwrap();
                backup.wait().unwrap();
                *backup = self.backup();
                return u64::from(runs);
            }
        }
        1
    }

    fn check(&mut self, round: u64) {
        let repository = self.city.pds[0].repository;
        for site in [&self.city.pusat, &self.city.drc] {
            let now = receipts_of(site, &site.repository(&repository));
            for (key, id) in self.receipts.iter().filter(|(key, _)| key.0 == site.public.site) {
                assert_eq!(
                    now.get(key),
                    Some(id),
                    "round {round}: a receipt of {} was lost",
                    site.name
                );
            }
            self.receipts.extend(now);
        }
        let newest = [&self.city.pusat, &self.city.drc]
            .into_iter()
            .filter_map(|site| evidence::newest(&site.repository(&repository)).ok())
            .max_by_key(|manifest| (manifest.body.epoch, manifest.body.sequence))
            .unwrap();
        assert_eq!(newest.body.epoch, 1, "round {round}: the agent kept its chain");
        self.states.insert(newest.id, tree::read(&self.data).unwrap());
    }

    /// Restores every snapshot whose state is known, from the given site.
    fn restore_all(&self, site: &Site) {
        let pd = &self.city.pds[0];
        let every = self.states.len().div_ceil(12).max(1);
        for (manifest, expected) in self.states.iter().step_by(every) {
            let target = self.city.dir.join("restored").join(site.name).join(manifest.to_string());
            let mut restore = self.city.lumbung();
            restore
                .arg("restore")
                .arg(&site.url)
                .arg(manifest.to_string())
                .arg("--key")
                .arg(pd.key());
            output(restore.arg("--target").arg(&target)).unwrap();
            let found = tree::read(&target.join(self.data.strip_prefix("/").unwrap())).unwrap();
            assert_eq!(
                tree::differences(expected, &found, 3),
                (vec![], 0),
                "{manifest} from {}",
                site.name
            );
        }
    }
}

#[test]
fn chaos_loses_nothing() {
    let kills = setting("LUMBUNG_TEST_KILLS", 100);
    let seed = setting("LUMBUNG_TEST_SEED", 20_240_620);
    println!("{kills} kills, seed {seed}");
    let directory = tempfile::TempDir::with_prefix("lumbung-chaos-").unwrap();
    let data = directory.path().join("srv");
    fs::create_dir(&data).unwrap();
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
    let city = City::found(directory.path(), vec![plan], |_| ()).unwrap();
    let mut chaos = Chaos {
        city,
        random: Random(seed),
        data,
        receipts: Receipts::new(),
        states: BTreeMap::new(),
    };
    let (mut round, mut killed) = (0, 0);
    while killed < kills {
        killed += chaos.round(round);
        round += 1;
    }
    println!("{killed} killed in {round} rounds");
    let repository = chaos.city.pds[0].repository;
    eventually("both sites hold the same snapshots", || {
        let of =
            |site: &Site| evidence::inventory(&site.repository(&repository), &site.public.site);
        let (pusat, drc) = (of(&chaos.city.pusat)?, of(&chaos.city.drc)?);
        let all =
            chaos.states.keys().all(|manifest| pusat.contains(manifest) && drc.contains(manifest));
        Ok(all.then_some(()).ok_or_else(|| format!("{} and {}", pusat.len(), drc.len())))
    })
    .unwrap();
    chaos.restore_all(&chaos.city.pusat);
    chaos.restore_all(&chaos.city.drc);
}
