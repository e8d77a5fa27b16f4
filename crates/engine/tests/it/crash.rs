//! What a loss of power leaves of an agent's state and of what keeps its repository, a directory or a vault over the
//! network, while backups run.
//!
//! After each crash, of the agent's machine, of the repository's, or of both at once: every snapshot that a run
//! had returned restores, the journal names no pack that is not in the repository, the next run succeeds, and
//! what it publishes restores to what is in the source.

mod served;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_engine::{
    BackupError, BackupOutcome, BackupRequest, Cancel, Depot, LocalDepot, NoProgress, NoThrottle,
    RestoreOptions, Source, backup, list_snapshots,
};
use lumbung_model::{ManifestId, SystemClock};
use lumbung_pack::{Kind, PackTable};
use lumbung_store::RepositoryDir;
use lumbung_store::recording::{Depth, Op, Recorded, Recording, State, crashes};
use tempfile::TempDir;

use self::served::Served;
use crate::world::{SMALL, World, noise, put_roster};

/// Memory rather than a disk, where there is some: nothing here is about real power.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What keeps the repository.
trait Keeper: Sync {
    /// Where, beneath the root.
    fn folder(&self) -> &'static str;

    /// Makes it beneath the root; the recording begins before.
    fn found(&self, world: &World, root: &Path);

    /// Opens what a crash left, and repairs it as a start does.
    fn open(&self, world: &World, root: &Path) -> Result<Box<dyn Opened>, String>;
}

/// A keeper at work.
trait Opened {
    /// As the agent sees it.
    fn depot(&self) -> Arc<dyn Depot>;

    /// Its files.
    fn directory(&self) -> RepositoryDir;

    /// What it has to complain of.
    fn complaint(&self) -> Option<String>;
}

struct Directory;

impl Keeper for Directory {
    fn folder(&self) -> &'static str {
        "depot"
    }

    fn found(&self, world: &World, root: &Path) {
        let depot = LocalDepot::create(root.join("depot")).unwrap();
        put_roster(&depot, &world.roster);
    }

    fn open(&self, _: &World, root: &Path) -> Result<Box<dyn Opened>, String> {
        let depot = LocalDepot::open(root.join("depot")).map_err(|e| e.to_string())?;
        depot.directory().sweep_unfinished().map_err(|e| e.to_string())?;
        Ok(Box::new(depot))
    }
}

impl Opened for LocalDepot {
    fn depot(&self) -> Arc<dyn Depot> {
        Arc::new(self.clone())
    }

    fn directory(&self) -> RepositoryDir {
        self.directory().clone()
    }

    fn complaint(&self) -> Option<String> {
        None
    }
}

struct Played<K> {
    keeper: K,
    world: World,
    /// Snapshots that a run returned, and when.
    returned: Vec<(usize, ManifestId)>,
    /// When the repository was there.
    founded: usize,
    recorded: Recorded,
}

/// One run with the state beneath `root`.
fn run(world: &World, root: &Path, depot: Arc<dyn Depot>) -> Result<BackupOutcome, BackupError> {
    backup(&BackupRequest {
        depots: &[depot],
        identity: &world.identity,
        state_dir: &root.join("state"),
        dataset: world.dataset,
        label: "data",
        host: "server",
        source: Source::Paths(&[world.source()]),
        options: world.options.clone(),
        progress: &NoProgress,
        throttle: &NoThrottle,
        cancel: &Cancel::default(),
        clock: &SystemClock,
    })
}

/// Two runs with partial manifests, files changed in between, and a third that finds nothing new.
fn play<K: Keeper>(keeper: K, mut world: World) -> Played<K> {
    world.options.attempts = 1;
    world.options.partial_after_bytes = 100 << 10;
    for n in 0..12 {
        world.write(&format!("d{}/f{n:02}", n / 5), noise(n, 9000));
    }
    world.write("large", noise(99, 200 << 10));
    let root = scratch();
    let recording = Recording::start(root.path()).unwrap();
    keeper.found(&world, root.path());
    let founded = recording.length();
    let opened = keeper.open(&world, root.path()).unwrap();
    let mut returned = Vec::new();
    for round in 0..3 {
        let outcome = run(&world, root.path(), opened.depot()).unwrap();
        returned.push((recording.length(), outcome.manifest));
        if round == 0 {
            world.write("d1/f05", noise(7, 5000));
            world.write("new", noise(8, 90_000));
        }
    }
    drop(opened);
    Played { keeper, world, returned, founded, recorded: recording.finish() }
}

/// A change that is left out, by name.
type Omission<'a> = (&'a str, &'a dyn Fn(&Op) -> bool);

fn ensure(right: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(what()) }
}

/// Heads of the packs in a journal, up to the first record that is not whole (the layout is in `state::journal`).
fn journal(state: &Path) -> Vec<PackTable> {
    let bytes = std::fs::read(state.join("journal")).unwrap_or_default();
    let (mut rest, mut packs) = (bytes.as_slice(), Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((content, after)) = after.split_at_checked(length) else { break };
        let Some((hash, after)) = after.split_at_checked(32) else { break };
        if length == 0 || blake3::hash(content).as_bytes() != hash {
            break;
        }
        if content[0] == 1 {
            packs.push(PackTable::decode(&content[1..]).unwrap());
        }
        rest = after;
    }
    packs
}

fn journal_tells_the_truth(root: &Path, directory: &RepositoryDir) -> Result<(), String> {
    for table in journal(&root.join("state")) {
        let id = table.id();
        for frame in 0..table.frames.len() {
            directory
                .read_frame(&id, &table, frame)
                .map_err(|e| format!("the journal counts on pack {id}: {e}"))?;
        }
    }
    Ok(())
}

fn restores(world: &World, depot: &Arc<dyn Depot>, id: &ManifestId) -> Result<TempDir, String> {
    let target = scratch();
    let reader = world.open_at(Arc::clone(depot), id);
    let outcome = world.restore_with(&reader, target.path(), RestoreOptions::default());
    ensure(outcome.failures.is_empty(), || format!("{:?}", outcome.failures))?;
    Ok(target)
}

/// Lets the caches trust files that were written just now, as if the last scan had been later.
fn trust_caches(world: &World, root: &Path) {
    use std::os::unix::fs::FileExt as _;
    let folder: PathBuf = root.join("state").join(world.dataset.to_string());
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let scan_start = match &name {
            name if name == "cache" || name.starts_with("progress.") => 8 + 32 + 16,
            name if name.starts_with("partial.") => 16,
            _ => continue,
        };
        let file = std::fs::File::options().write(true).open(path).unwrap();
        if file.metadata().unwrap().len() >= scan_start + 8 {
            file.write_all_at(&(1_i64 << 40).to_le_bytes(), scan_start).unwrap();
        }
    }
}

fn check<K: Keeper>(played: &Played<K>, state: &State) -> Result<(), String> {
    let Played { keeper, world, returned, founded, .. } = played;
    let root = scratch();
    let root = root.path();
    state.write(root).unwrap();
    if state.prefix < *founded {
        keeper.found(world, root);
    }
    let opened = keeper.open(world, root)?;
    let (depot, directory) = (opened.depot(), opened.directory());
    for kind in Kind::REPOSITORY {
        for id in directory.list(kind).map_err(|e| e.to_string())? {
            directory.get(kind, &id).map_err(|e| e.to_string())?;
        }
    }
    journal_tells_the_truth(root, &directory)?;
    let promised = || returned.iter().filter(|(from, _)| *from <= state.prefix);
    for (_, id) in promised() {
        restores(world, &depot, id)?;
    }
    if state.prefix.is_multiple_of(2) {
        trust_caches(world, root);
    }
    let outcome =
        run(world, root, Arc::clone(&depot)).map_err(|e| format!("the next run: {e}: {e:?}"))?;
    let target = restores(world, &depot, &outcome.manifest)?;
    let reader = world.open_at(Arc::clone(&depot), &outcome.manifest);
    for place in [target.path(), Path::new("/")] {
        let differences = world.compare(&reader, place).differences;
        ensure(differences.is_empty(), || format!("restored otherwise: {differences:?}"))?;
    }
    journal_tells_the_truth(root, &directory)?;
    for (_, id) in promised() {
        restores(world, &depot, id)?;
    }
    let (snapshots, bad) = list_snapshots(depot.as_ref(), Some(world.repository)).unwrap();
    ensure(bad.is_empty(), || format!("manifests that cannot be read: {bad:?}"))?;
    let places: BTreeSet<_> = snapshots.iter().map(|s| (s.epoch, s.sequence)).collect();
    ensure(places.len() == snapshots.len(), || "two snapshots have one place".into())?;
    opened.complaint().map_or(Ok(()), Err)
}

/// The first thing that is wrong after some crash beneath `affected`, if anything is.
fn search<K: Keeper>(played: &Played<K>, affected: &[&str], most: usize) -> Option<String> {
    let survey = crashes(&played.recorded, affected, Depth::from_env());
    let (considered, different) = (survey.considered, survey.len());
    let survey = survey.thinned(most);
    println!(
        "crash of {affected:?}: {} changes, {considered} crashes, {different} different states, {} checked",
        played.recorded.ops.len(),
        survey.len()
    );
    survey.check(&|state| check(played, state))
}

fn in_a_directory() -> Played<Directory> {
    play(Directory, World::new())
}

fn over_a_vault() -> Played<Served> {
    let keeper = Served::new();
    let world = World::kept_at(vec![keeper.listed()], SMALL);
    play(keeper, world)
}

#[test]
fn an_agent_that_loses_power_goes_on() {
    assert_eq!(search(&in_a_directory(), &["state"], 150), None);
}

#[test]
fn a_repository_that_loses_power_keeps_what_it_took() {
    assert_eq!(search(&in_a_directory(), &[Directory.folder()], 150), None);
}

#[test]
fn one_machine_that_loses_power_loses_nothing_that_was_returned() {
    assert_eq!(search(&in_a_directory(), &[""], 150), None);
}

#[test]
fn an_agent_that_loses_power_goes_on_at_its_vault() {
    assert_eq!(search(&over_a_vault(), &["state"], 100), None);
}

#[test]
fn a_vault_that_loses_power_keeps_what_its_agent_counts_on() {
    let played = over_a_vault();
    assert_eq!(search(&played, &[played.keeper.folder()], 100), None);
}

#[test]
fn an_agent_and_its_vault_that_lose_power_at_once_lose_nothing_that_was_returned() {
    assert_eq!(search(&over_a_vault(), &[""], 100), None);
}

fn leaves_out_a_sync_and_is_caught<K: Keeper>(mut played: Played<K>) {
    let recorded = played.recorded.clone();
    let omissions: [Omission<'_>; 2] = [
        ("fsync of files", &|op| matches!(op, Op::SyncFile { .. })),
        ("fsync of directories", &|op| matches!(op, Op::SyncDirectory { .. })),
    ];
    for (name, omission) in omissions {
        played.recorded = recorded.clone().without(omission);
        let found = search(&played, &[played.keeper.folder()], 200);
        assert!(found.is_some(), "nobody noticed that {name} was left out");
    }
}

#[test]
fn a_repository_that_leaves_out_a_sync_is_caught() {
    leaves_out_a_sync_and_is_caught(in_a_directory());
}

#[test]
fn a_vault_that_leaves_out_a_sync_is_caught_by_its_agent() {
    leaves_out_a_sync_and_is_caught(over_a_vault());
}
