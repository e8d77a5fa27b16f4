//! The ransomware exercise: an attacker with root on a PD's server and on the Pusat Data vault's machine takes and destroys whatever it
//! can, over the real programs; afterwards the city recovers from the DRC.
//!
//! Invariants: the attacker uses everything that lies on the two machines and nothing else; what is said of what it could and could not do
//! was seen, each with the same attack succeeding where the key that is missing is at hand; what was restored is read and compared by code that
//! is not Lumbung's.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lumbung_model::{ManifestId, Secret};
use lumbung_pack::{Kind, Session, Signed};
use lumbung_seal::{KeyBundle, RecoveryKey, open_session};

use crate::city::{City, PASSPHRASE, Pd, PdPlan, Site};
use crate::evidence;
use crate::process::{any_output, eventually, next_second, output};
use crate::requests::Requests;
use crate::tree;

/// What ransomware calls the files that it has encrypted.
const ENDING: &str = "lokd";
/// Keys are looked for in files that are no longer than this: those that hold data hold no keys.
const LOOT_MAX_BYTES: u64 = 4 << 20;

/// Something that the attacker tried.
#[derive(Debug)]
pub struct Deed {
    /// What.
    pub what: &'static str,
    /// Whether it could.
    pub could: bool,
    /// What was seen.
    pub seen: String,
}

/// What came of the exercise.
#[derive(Debug)]
pub struct Outcome {
    /// What the attacker tried, in that order.
    pub deeds: Vec<Deed>,
    /// Entries that were restored and compared.
    pub entries: usize,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Entries that differ from what there was before the attack.
    pub differences: usize,
    /// From the alarm until everything was back.
    pub recovery: Duration,
    /// From the last clean backup until the attack: what was written in between is lost.
    pub lost: Duration,
}

/// Tells what happens.
pub type Story<'a> = &'a mut dyn FnMut(&str);

/// Holds the exercise in a directory, over so many files.
///
/// # Errors
/// If the city does not come about, or does not recover.
pub fn exercise(directory: &Path, files: u32, story: Story<'_>) -> Result<Outcome> {
    let data = directory.join("srv");
    write_files(&data.join("pasien"), files)?;
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
    let mut city = City::found(directory, vec![plan], &mut *story)?;
    city.pds[0].start()?;
    story("four backups");
    let mut clean = None;
    for day in 0..4 {
        fs::write(data.join("pasien/baru.csv"), format!("hari {day}\n").repeat(500))?;
        clean = Some(back_up(&city)?);
        next_second()?;
    }
    let clean = clean.context("no backup")?;
    city.arrives(clean)?;
    let (before, backed_up) = (tree::read(&data)?, Instant::now());
    let attack = Attack::new(&mut city, &data, story)?;
    let lost = backed_up.elapsed();
    let deeds = attack.deeds;

    story("the city recovers: the alarm names the last snapshot from before, which the DRC holds");
    let begun = Instant::now();
    let held = held_at(&city, &city.drc)?;
    ensure!(held == clean, "the DRC holds {held}, and {clean} is the last clean one");
    let target = directory.join("pulih");
    let mut restore = city.lumbung();
    restore
        .args(["restore", &city.drc.url, &held.to_string(), "--verify", "--target"])
        .arg(&target);
    output(restore.arg("--key").arg(city.pds[0].key()))?;
    let recovery = begun.elapsed();
    let restored = tree::read(&target.join(data.strip_prefix("/")?))?;
    let (differ, differences) = tree::differences(&before, &restored, 10);
    for one in differ {
        story(&format!("differs: {one}"));
    }
    let (entries, bytes) = tree::extent(&restored);
    Ok(Outcome { deeds, entries, bytes, differences, recovery, lost })
}

fn write_files(folder: &Path, files: u32) -> Result<()> {
    fs::create_dir_all(folder)?;
    for number in 0..files {
        let mut text = String::new();
        for line in 0..200 {
            let value = blake3::hash(format!("{number} {line}").as_bytes());
            writeln!(text, "NIK 1271{line:012};{number};{}", &value.to_hex()[..24])?;
        }
        fs::write(folder.join(format!("{number:05}.csv")), text)?;
    }
    Ok(())
}

fn back_up(city: &City) -> Result<ManifestId> {
    output(city.pds[0].agent().args(["backup", "--quiet"]))?;
    Ok(evidence::newest(&city.pusat.repository(&city.pds[0].repository))?.id)
}

/// The snapshot that a site holds for the anomaly.
fn held_at(city: &City, site: &Site) -> Result<ManifestId> {
    let listed = output(city.operator().args(["--json", "anomaly", "list"]))?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let holds = listed[0]["holds"].as_array().cloned().unwrap_or_default();
    let of_site = |hold: &&serde_json::Value| hold["site"] == site.public.site.as_str();
    let hold = holds.iter().find(of_site).or_else(|| holds.first());
    let manifest = hold.and_then(|hold| hold["manifest"].as_str());
    Ok(manifest.with_context(|| format!("nothing is held: {listed}"))?.parse()?)
}

/// The attack, step by step.
struct Attack {
    deeds: Vec<Deed>,
}

impl Attack {
    fn new(city: &mut City, data: &Path, story: Story<'_>) -> Result<Self> {
        let mut attack = Self { deeds: Vec::new() };
        story(
            "root on the PD's server: it looks for keys, encrypts everything, and tries both vaults",
        );
        attack.read_with_loot_of(
            "read earlier backups with the PD server's files",
            city,
            &city.pds[0].server,
        )?;
        encrypt_everything(&data.join("pasien"))?;
        attack.note("encrypt every file of the PD's server", true, "each under another name");
        let bad = back_up(city)?;
        attack.note("have the encrypted files backed up as well", true, &format!("snapshot {bad}"));
        attack.is_noticed(city)?;
        city.arrives(bad)?;
        let identity = city.pds[0].server.join("state/tls.pem");
        attack.wreck(
            "delete or overwrite at the Pusat Data with the PD's certificate",
            &city.pusat,
            &city.pds[0],
            &identity,
        )?;
        attack.wreck(
            "delete or overwrite at the DRC with the PD's certificate",
            &city.drc,
            &city.pds[0],
            &identity,
        )?;

        story(
            "root on the Pusat Data's machine: it looks for keys, tries the DRC, and destroys the vault",
        );
        attack.read_with_loot_of(
            "read backups with the Pusat Data's files",
            city,
            &city.pusat.dir,
        )?;
        let identity = city.pusat.dir.join("stolen.pem");
        city.pusat.steal_identity(&identity)?;
        attack.wreck(
            "delete or overwrite at the DRC with the Pusat Data's certificate",
            &city.drc,
            &city.pds[0],
            &identity,
        )?;
        attack.destroy(city, bad)?;
        Ok(attack)
    }

    fn note(&mut self, what: &'static str, could: bool, seen: &str) {
        self.deeds.push(Deed { what, could, seen: seen.to_owned() });
    }

    /// The controller raises an alarm, and both sites hold the snapshot from before.
    fn is_noticed(&mut self, city: &City) -> Result<()> {
        eventually("both sites hold the last clean snapshot", || {
            let listed = output(city.operator().args(["--json", "anomaly", "list"]))?;
            let found: serde_json::Value = serde_json::from_str(&listed)?;
            let holds = found[0]["holds"].as_array().map_or(0, Vec::len);
            let named = found[0]["new_extension"] == ENDING;
            Ok(if holds == 2 && named { Ok(()) } else { Err(listed) })
        })?;
        let seen = "the controller raised an alarm that names folder and ending; both sites hold the last clean snapshot";
        self.note("go unnoticed", false, seen);
        Ok(())
    }

    /// Tries every 32 bytes of every small file as the key of every session that the Pusat Data keeps.
    fn read_with_loot_of(&mut self, what: &'static str, city: &City, loot: &Path) -> Result<()> {
        let pd = &city.pds[0];
        let sessions = evidence::objects::<Session>(&city.pusat.repository(&pd.repository))?;
        ensure!(!sessions.is_empty(), "there is no session to be opened");
        let keys = keys_in(loot)?;
        let opens =
            |key: &RecoveryKey, session: &Signed<Session>| open_session(&session.body, key).is_ok();
        let opened = keys.iter().any(|key| {
            let key = RecoveryKey::from_seed(Secret::new(*key));
            sessions.iter().any(|session| opens(&key, session))
        });
        // The same attempt with the owner's key succeeds: it is the key that is missing, and not the method.
        let bundle = KeyBundle::from_text(&fs::read_to_string(pd.key())?, PASSPHRASE.as_bytes())?;
        ensure!(opens(bundle.recovery(), &sessions[0]), "the owner's key opens nothing either");
        let tried = format!("{} candidates for a key, {} sessions", keys.len(), sessions.len());
        self.note(what, opened, &tried);
        Ok(())
    }

    /// Sends DELETE, PUT and POST for every object of the repository with a stolen certificate; looks at what has changed.
    fn wreck(&mut self, what: &'static str, site: &Site, pd: &Pd, identity: &Path) -> Result<()> {
        let before = objects_of(site, pd)?;
        let mut requests = Requests::new(site, identity, &site.dir)?;
        for path in before.keys() {
            let (Some(kind), Some(id)) = (kind_of(path), path.file_name()) else { continue };
            let path = format!(
                "/v1/repositories/{}/{}/{}",
                pd.repository,
                kind.folder(),
                id.to_string_lossy()
            );
            for method in ["DELETE", "PUT", "POST", "PATCH"] {
                requests.add(method, &path)?;
            }
        }
        let answers = requests.send()?;
        let taken = answers.lines().filter(|status| !status.starts_with('4')).count();
        let after = objects_of(site, pd)?;
        let lost = before.iter().filter(|(path, hash)| after.get(*path) != Some(hash)).count();
        let tried = answers.lines().count();
        ensure!(tried > 40, "only {tried} requests were made");
        let seen = format!(
            "{tried} requests, {taken} not refused, {lost} of {} objects changed",
            before.len()
        );
        self.note(what, taken > 0 || lost > 0, &seen);
        Ok(())
    }

    /// Removes everything at the Pusat Data, and lets an empty vault run in its place.
    fn destroy(&mut self, city: &mut City, newest: ManifestId) -> Result<()> {
        let repository = city.pds[0].repository;
        city.pusat.kill()?;
        fs::remove_dir_all(city.pusat.repository(&repository))?;
        self.note("destroy the Pusat Data's copy", true, "its repository is gone");
        let before = objects_of(&city.drc, &city.pds[0])?;
        // An empty vault runs in its place, with its keys, and the DRC pulls from it.
        city.pusat.start()?;
        any_output(city.drc.command().arg("pull"))?;
        let after = objects_of(&city.drc, &city.pds[0])?;
        let lost = before.iter().filter(|(path, hash)| after.get(*path) != Some(hash)).count();
        let there = evidence::newest(&city.drc.repository(&repository))?.id == newest;
        ensure!(there, "the DRC has lost its newest snapshot");
        let seen = format!("{lost} of {} objects of the DRC changed", before.len());
        self.note("have the DRC forget it too", lost > 0, &seen);
        Ok(())
    }
}

/// Every run of 32 bytes in the small files of a folder, as they are and decoded.
fn keys_in(folder: &Path) -> Result<HashSet<[u8; 32]>> {
    let mut keys = HashSet::new();
    for file in tree::files(folder)? {
        if fs::metadata(&file)?.len() > LOOT_MAX_BYTES || is_object(&file) {
            continue;
        }
        let bytes = fs::read(&file)?;
        let unpacked = zstd::decode_all(&bytes[..]).unwrap_or_default();
        let decoded = decoded(&bytes);
        for candidate in [bytes, unpacked, decoded] {
            keys.extend(
                candidate.windows(32).filter_map(|window| <[u8; 32]>::try_from(window).ok()),
            );
        }
    }
    Ok(keys)
}

/// The bytes that a file of base32 lines stands for; of anything else, nothing.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let (mut decoded, mut held, mut bits) = (Vec::new(), 0_u32, 0_u32);
    let letters = text.lines().skip(1).flat_map(str::bytes);
    for value in letters.filter_map(|letter| match letter.to_ascii_lowercase() {
        letter @ b'a'..=b'z' => Some(u32::from(letter - b'a')),
        digit @ b'2'..=b'7' => Some(u32::from(digit - b'2') + 26),
        _ => None,
    }) {
        (held, bits) = ((held << 5) | value, bits + 5);
        if bits >= 8 {
            bits -= 8;
            decoded.push(u8::try_from((held >> bits) & 0xff).unwrap_or_default());
        }
    }
    decoded
}

/// Whether a file is an object of a repository: those are tried as what is to be opened, not as what opens it.
fn is_object(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "repositories")
}

/// Of what kind an object is, by the folder that it lies in.
fn kind_of(path: &Path) -> Option<Kind> {
    let within = |kind: &&Kind| path.components().any(|part| part.as_os_str() == kind.folder());
    Kind::REPOSITORY.iter().find(within).copied()
}

/// The objects that a site keeps of a PD, by path, with what is in them.
fn objects_of(site: &Site, pd: &Pd) -> Result<BTreeMap<PathBuf, blake3::Hash>> {
    let mut objects = BTreeMap::new();
    let top = site.repository(&pd.repository);
    for file in tree::files(&top)? {
        let unfinished =
            file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let within = file.strip_prefix(&top)?.to_owned();
        // What the site itself signs day by day comes and goes by its own rules.
        if !unfinished && kind_of(&within).is_some() {
            objects.insert(within, blake3::hash(&fs::read(&file)?));
        }
    }
    Ok(objects)
}

/// Encrypts each file with a keystream of its own, and gives it another name.
fn encrypt_everything(folder: &Path) -> Result<()> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    for file in tree::files(folder)? {
        let mut bytes = fs::read(&file)?;
        let mut stream = blake3::Hasher::new_keyed(&key);
        let name = file.as_os_str().as_encoded_bytes();
        let mut stream = stream.update(name).finalize_xof();
        let mut pad = vec![0; bytes.len()];
        stream.fill(&mut pad);
        bytes.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        let mut locked = file.clone().into_os_string();
        locked.push(format!(".{ENDING}"));
        fs::write(locked, bytes)?;
        fs::remove_file(file)?;
    }
    Ok(())
}
