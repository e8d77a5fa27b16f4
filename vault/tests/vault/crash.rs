//! What a loss of power leaves of a vault: every operation, every moment, any order of what was not synced, with
//! the index of that moment, an older one, or none.
//!
//! After each crash the vault opens without an alarm; what a sender was told is true, byte for byte; nothing that
//! has a name is half-written; numbers that were given are not given again; sending everything again works;
//! and an index that is built from the files says the same as the one that was carried on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::Barrier;

use lumbung_model::{PackId, RepositoryId};
use lumbung_pack::{Inventory, Kind, PackTable, Receipt, ScrubReport, object_id, open_signed};
use lumbung_store::recording::{
    Depth, Op, Recorded, Recording, State, Survey, crashes, exhaustive,
};
use lumbung_store::{RepositoryDir, durable};
use lumbung_vault::pull::{Sources, pull_all};
use lumbung_vault::scrub::{FullSpeed, GoodCopies, NoCopies};
use lumbung_vault::state::State as SiteState;
use lumbung_vault::{Config, Founder, Occasion, Repository, Sender, Vault};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{Agent, City, Owner, Site, Snapshot, TestPack, clock, dump, publish};

/// Memory rather than a disk, where there is some: nothing here is about real power.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What was said to somebody outside.
#[derive(Clone)]
enum What {
    /// An object was taken.
    Object(Kind, Vec<u8>),
    /// A snapshot, by its number in the play, has this receipt.
    Receipt(usize, Vec<u8>),
    /// An inventory or a scrub report was signed.
    Statement(Kind, [u8; 32]),
}

#[derive(Clone)]
struct Promise {
    from: usize,
    what: What,
}

/// Who acts, with what.
struct Cast {
    keys: TempDir,
    agent: Agent,
    owner: Owner,
    snapshots: Vec<Snapshot>,
}

impl Cast {
    fn new() -> Self {
        let keys = scratch();
        SiteState::at(keys.path().join("state")).init().unwrap();
        let agent = Agent::new();
        let mut owner = Owner::new(&[&agent], &[]);
        let first = Snapshot::with(&owner, &agent, None, |manifest| manifest.partial = true);
        owner.next_roster(|roster| roster.agents[0].label = "server two".into());
        let second = Snapshot::new(&owner, &agent, Some(&first));
        Self { keys, agent, owner, snapshots: vec![first, second] }
    }

    fn sender(&self) -> Sender {
        Sender::Agent { agent: self.agent.id, key: self.agent.key.public() }
    }

    fn config(&self, data: &Path, sources: &str) -> Config {
        let file = tempfile::NamedTempFile::new_in(self.keys.path()).unwrap();
        let text = format!("data = {data:?}\nlisten = \"127.0.0.1:0\"\nreserve = \"0\"\n{sources}");
        std::fs::write(file.path(), text).unwrap();
        Config::load(file.path()).unwrap()
    }

    fn open(&self, data: &Path, sources: &str) -> Result<Arc<Vault>, String> {
        let config = self.config(data, sources);
        let identity = SiteState::at(self.keys.path().join("state")).identity().unwrap();
        let vault = Vault::open(config, identity, clock()).map_err(|e| error(&e))?;
        vault.reconcile().map_err(|e| error(&e))?;
        Ok(Arc::new(vault))
    }
}

/// An error with its causes.
pub(crate) fn error(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn put_pack(
    vault: &Arc<Vault>,
    repository: &Arc<Repository>,
    pack: &TestPack,
    sender: Sender,
) -> Result<(), String> {
    let mut intake = vault.receive_pack(repository, pack.id, sender).map_err(|e| error(&e))?;
    for piece in pack.bytes.chunks(40_000) {
        intake.write(piece).map_err(|e| error(&e))?;
    }
    intake.finish().map(|_| ()).map_err(|e| error(&e))
}

/// Sends rosters up to one's number, as whoever founds the repository.
fn send_rosters(vault: &Vault, cast: &Cast, count: usize) -> Result<Arc<Repository>, String> {
    for roster in &cast.owner.rosters[..count] {
        vault
            .put_roster(&cast.owner.repository, &object_id(roster), roster, Founder::Entitled)
            .map_err(|e| error(&e))?;
    }
    vault.repository(&cast.owner.repository).map_err(|e| error(&e))
}

/// Sends one object of a snapshot.
pub(crate) fn send_object(
    vault: &Arc<Vault>,
    repository: &Arc<Repository>,
    sender: Sender,
    (kind, id, bytes): (Kind, [u8; 32], &[u8]),
) -> Result<(), String> {
    if kind == Kind::Pack {
        let (id, table) = (PackId::from_bytes(id), PackTable::decode(head(bytes)).unwrap());
        let pack = TestPack { id, table, bytes: bytes.to_vec() };
        return put_pack(vault, repository, &pack, sender);
    }
    vault.put_object(repository, kind, &id, bytes, sender).map(|_| ()).map_err(|e| error(&e))
}

fn head(pack: &[u8]) -> &[u8] {
    &pack[..PackTable::head_length(&pack[..lumbung_pack::limits::PACK_FIXED_BYTES]).unwrap()]
}

/// Everything that agents and the vault's own work do, with what each was told.
fn play(vault: &Arc<Vault>, cast: &Cast, recording: &Recording) -> Vec<Promise> {
    let mut promises = Vec::new();
    let promise = |what| Promise { from: recording.length(), what };
    for (number, snapshot) in cast.snapshots.iter().enumerate() {
        let repository = send_rosters(vault, cast, number + 1).unwrap();
        for roster in &cast.owner.rosters[..=number] {
            promises.push(promise(What::Object(Kind::Roster, roster.clone())));
        }
        // Two transfers of one pack at once.
        let twice = &snapshot.packs[0];
        let both = Barrier::new(2);
        let (kind, id, bytes) = &snapshot.objects()[0];
        send_object(vault, &repository, cast.sender(), (*kind, *id, bytes)).unwrap();
        promises.push(promise(What::Object(*kind, bytes.clone())));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    both.wait();
                    put_pack(vault, &repository, twice, cast.sender()).unwrap();
                });
            }
        });
        promises.push(promise(What::Object(Kind::Pack, twice.bytes.clone())));
        for (kind, id, bytes) in snapshot.objects() {
            send_object(vault, &repository, cast.sender(), (kind, id, &bytes)).unwrap();
            promises.push(promise(What::Object(kind, bytes)));
        }
        for _ in 0..2 {
            let given = vault.commit(&repository, &snapshot.id, &snapshot.bytes, cast.sender());
            promises.push(promise(What::Receipt(number, given.unwrap().receipt)));
        }
        let inventory = vault.make_inventory(&repository, Occasion::Demand).unwrap().unwrap();
        promises.push(promise(What::Statement(Kind::Inventory, *inventory.as_bytes())));
        let report = vault.scrub(&repository, &NoCopies, &FullSpeed).unwrap();
        promises.push(promise(What::Statement(Kind::Scrub, *report.id.as_bytes())));
    }
    promises
}

/// A change that is left out, by name.
type Omission<'a> = (&'a str, &'a dyn Fn(&Op) -> bool);

pub(crate) fn ensure(right: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(what()) }
}

pub(crate) fn unfinished(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(unfinished(&path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with(durable::UNFINISHED) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The bytes of an object, every frame of a pack read and compared.
fn whole(dir: &RepositoryDir, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, String> {
    let bytes = dir.get(kind, id).map_err(|e| error(&e))?;
    if kind == Kind::Pack {
        let id = PackId::from_bytes(*id);
        let table = dir.pack_head(&id).map_err(|e| error(&e))?;
        for frame in 0..table.frames.len() {
            dir.read_frame(&id, &table, frame).map_err(|e| error(&e))?;
        }
    }
    Ok(bytes)
}

fn id_of(kind: Kind, bytes: &[u8]) -> [u8; 32] {
    object_id(if kind == Kind::Pack { head(bytes) } else { bytes })
}

/// Whether no number of a receipt, an inventory or a report stands for two of them.
fn numbers_are_used_once(dir: &RepositoryDir) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for kind in [Kind::Receipt, Kind::Inventory, Kind::Scrub] {
        for id in dir.list(kind).map_err(|e| error(&e))? {
            let bytes = dir.get(kind, &id).map_err(|e| error(&e))?;
            let (site, number) = match kind {
                Kind::Receipt => {
                    let receipt = open_signed::<Receipt>(&bytes).unwrap().body;
                    (receipt.site, receipt.number)
                }
                Kind::Inventory => {
                    let inventory = open_signed::<Inventory>(&bytes).unwrap().body;
                    (inventory.site, inventory.number)
                }
                _ => {
                    let report = open_signed::<ScrubReport>(&bytes).unwrap().body;
                    (report.site, report.number)
                }
            };
            let before = seen.insert((kind.name(), site, number), id);
            ensure(before.is_none(), || format!("two {}s have the number {number}", kind.name()))?;
        }
    }
    Ok(())
}

fn no_alarm(vault: &Vault) -> Result<(), String> {
    let alarms = vault.alarms(10).map_err(|e| error(&e))?;
    ensure(alarms.is_empty(), || format!("alarms: {alarms:?}"))
}

/// Whether the vault keeps every promise, as it is after its start.
fn promises_hold(
    vault: &Vault,
    cast: &Cast,
    data: &Path,
    promised: &[&What],
) -> Result<(), String> {
    if promised.is_empty() {
        return Ok(());
    }
    let repository = vault.repository(&cast.owner.repository).map_err(|e| error(&e))?;
    let dir = RepositoryDir::open(path_of(data, &cast.owner.repository)).unwrap();
    for what in promised {
        match what {
            What::Object(kind, bytes) => {
                let there = whole(&dir, *kind, &id_of(*kind, bytes))?;
                ensure(there == *bytes, || format!("another {}", kind.name()))?;
            }
            What::Statement(kind, id) => drop(whole(&dir, *kind, id)?),
            What::Receipt(number, receipt) => {
                let snapshot = &cast.snapshots[*number];
                let again = vault
                    .commit(&repository, &snapshot.id, &snapshot.bytes, cast.sender())
                    .map_err(|e| error(&e))?;
                ensure(again.receipt == *receipt, || "another receipt".into())?;
                whole(&dir, Kind::Receipt, &object_id(receipt))?;
            }
        }
    }
    let scrubbed = vault.scrub(&repository, &NoCopies, &FullSpeed).map_err(|e| error(&e))?;
    let verified: BTreeSet<_> = scrubbed.report.verified.iter().copied().collect();
    for what in promised {
        if let What::Receipt(number, _) = what {
            let id = cast.snapshots[*number].id;
            ensure(verified.contains(&id), || format!("snapshot {number} is not whole"))?;
        }
    }
    let bad = (scrubbed.report.bad, scrubbed.objects_bad, scrubbed.report.damaged.len());
    ensure(bad == (0, 0, 0), || format!("the scrub finds {bad:?}"))
}

pub(crate) fn path_of(data: &Path, repository: &RepositoryId) -> std::path::PathBuf {
    data.join("repositories").join(repository.to_string())
}

/// Every name stands for what it says.
fn nothing_is_half_written(data: &Path, repository: &RepositoryId) -> Result<(), String> {
    let left = unfinished(data);
    ensure(left.is_empty(), || format!("unfinished files stay: {left:?}"))?;
    let Ok(dir) = RepositoryDir::open(path_of(data, repository)) else { return Ok(()) };
    for kind in Kind::REPOSITORY {
        for id in dir.list(kind).map_err(|e| error(&e))? {
            whole(&dir, kind, &id)?;
        }
    }
    Ok(())
}

/// The senders repeat what was interrupted, and the vault goes on signing.
fn goes_on(vault: &Arc<Vault>, cast: &Cast, data: &Path) -> Result<(), String> {
    let repository = send_rosters(vault, cast, cast.owner.rosters.len())?;
    for snapshot in &cast.snapshots {
        for (kind, id, bytes) in snapshot.objects() {
            send_object(vault, &repository, cast.sender(), (kind, id, &bytes))?;
        }
        vault
            .commit(&repository, &snapshot.id, &snapshot.bytes, cast.sender())
            .map_err(|e| error(&e))?;
    }
    vault.make_inventory(&repository, Occasion::Demand).map_err(|e| error(&e))?;
    numbers_are_used_once(&RepositoryDir::open(path_of(data, &repository.id())).unwrap())
}

/// The index as it was carried on says what one says that is built from the files.
fn reindexes(vault: Arc<Vault>, cast: &Cast, data: &Path) -> Result<(), String> {
    let close = |vault| ensure(Arc::into_inner(vault).is_some(), || "somebody holds it".into());
    close(vault)?;
    let before = dump(data);
    lumbung_vault::forget_index(data).map_err(|e| error(&e))?;
    let vault = cast.open(data, "")?;
    no_alarm(&vault)?;
    close(vault)?;
    let after = dump(data);
    let differing = before.keys().filter(|row| !after.contains_key(*row));
    let differing: Vec<_> =
        differing.chain(after.keys().filter(|row| !before.contains_key(*row))).collect();
    ensure(differing.is_empty(), || format!("rebuilt, the index differs: {differing:?}"))
}

fn check(cast: &Cast, promises: &[Promise], state: &State) -> Result<(), String> {
    let dir = scratch();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    state.write(&data).unwrap();
    let promised: Vec<&What> =
        promises.iter().filter(|one| one.from <= state.prefix).map(|one| &one.what).collect();
    let vault = cast.open(&data, "")?;
    no_alarm(&vault)?;
    nothing_is_half_written(&data, &cast.owner.repository)?;
    promises_hold(&vault, cast, &data, &promised)?;
    goes_on(&vault, cast, &data)?;
    no_alarm(&vault)?;
    promises_hold(&vault, cast, &data, &promised)?;
    reindexes(vault, cast, &data)
}

/// At most so many of the states that a crash may leave, and how many there are.
pub(crate) fn thinned<'a>(name: &str, recorded: &'a Recorded, most: usize) -> Survey<'a> {
    let survey = crashes(recorded, &[""], Depth::from_env());
    let (considered, different) = (survey.considered, survey.len());
    let survey = survey.thinned(most);
    println!(
        "{name}: {} changes, {considered} crashes, {different} different states, {} checked",
        recorded.ops.len(),
        survey.len()
    );
    survey
}

/// The first thing that is wrong after some crash, if anything is.
fn search(
    name: &str,
    (cast, promises): (&Cast, &[Promise]),
    recorded: &Recorded,
    most: usize,
) -> Option<String> {
    thinned(name, recorded, most).check(&|state| check(cast, promises, state))
}

struct Played {
    cast: Cast,
    promises: Vec<Promise>,
    recorded: Recorded,
}

fn played() -> Played {
    let cast = Cast::new();
    let dir = scratch();
    let recording = Recording::start(dir.path()).unwrap();
    let vault = cast.open(dir.path(), "").unwrap();
    let promises = play(&vault, &cast, &recording);
    Played { cast, promises, recorded: recording.finish() }
}

#[test]
fn a_vault_that_loses_power_keeps_what_it_said() {
    let Played { cast, promises, recorded } = played();
    assert_eq!(search("vault", (&cast, &promises), &recorded, 500), None);
}

#[test]
fn a_vault_that_leaves_out_a_sync_is_caught() {
    let Played { cast, promises, recorded } = played();
    let omissions: [Omission<'_>; 4] = [
        ("fsync of files", &|op| matches!(op, Op::SyncFile { .. })),
        ("fsync of directories", &|op| matches!(op, Op::SyncDirectory { .. })),
        (
            "fsync of the folder of manifests",
            &|op| matches!(op, Op::SyncDirectory { path } if path.ends_with("manifests")),
        ),
        (
            "fsync of the folder of receipts",
            &|op| matches!(op, Op::SyncDirectory { path } if path.ends_with("receipts")),
        ),
    ];
    for (name, omission) in omissions {
        let recorded = recorded.clone().without(omission);
        let found = search(name, (&cast, &promises), &recorded, 500);
        assert!(found.is_some(), "nobody noticed that {name} was left out");
    }
}

/// A process is killed, and what it left is seen but not durable; the next one goes on with it; then power fails.
#[test]
fn what_a_killed_vault_left_is_durable_before_anybody_relies_on_it() {
    let Played { cast, promises, recorded } = played();
    let step = if exhaustive() { 1 } else { 3 };
    for prefix in after_renames(&recorded).step_by(step) {
        let dir = scratch();
        let recording = Recording::after_kill(dir.path(), &recorded.at(prefix)).unwrap();
        let mut promises: Vec<Promise> = promises
            .iter()
            .filter(|one| one.from <= prefix)
            .map(|one| Promise { from: 0, what: one.what.clone() })
            .collect();
        let vault = cast.open(dir.path(), "").unwrap();
        promises.extend(play(&vault, &cast, &recording));
        drop(vault);
        let found =
            search(&format!("killed after {prefix}"), (&cast, &promises), &recording.finish(), 12);
        assert_eq!(found, None, "killed after {prefix} changes");
    }
}

/// Moments at which a name is seen and not durable.
fn after_renames(recorded: &Recorded) -> impl Iterator<Item = usize> {
    let renames = (1..).zip(&recorded.ops).filter(|(_, op)| matches!(op, Op::Rename { .. }));
    renames.map(|(prefix, _)| prefix)
}

#[test]
fn a_start_that_relies_on_what_is_not_durable_is_caught() {
    let Played { cast, promises, recorded } = played();
    let caught = after_renames(&recorded).any(|prefix| {
        let dir = scratch();
        let recording = Recording::after_kill(dir.path(), &recorded.at(prefix)).unwrap();
        drop(cast.open(dir.path(), "").unwrap());
        let syncs = |op: &Op| matches!(op, Op::SyncAll | Op::SyncDirectory { .. });
        let recovered = recording.finish().without(syncs);
        let promises: Vec<Promise> = promises
            .iter()
            .filter(|one| one.from <= prefix)
            .map(|one| Promise { from: 0, what: one.what.clone() })
            .collect();
        search(&format!("killed after {prefix}"), (&cast, &promises), &recovered, 20).is_some()
    });
    assert!(caught, "nobody noticed that the start relies on names that are not durable");
}

/// Another request has written a usage list that a commit relies on, and has not come to its fsync.
#[test]
fn a_commit_makes_durable_what_it_read_and_the_index_does_not_know() {
    let cast = Cast::new();
    let dir = scratch();
    let recording = Recording::start(dir.path()).unwrap();
    let vault = cast.open(dir.path(), "").unwrap();
    let repository = send_rosters(&vault, &cast, 1).unwrap();
    let snapshot = &cast.snapshots[0];
    let mut unsynced = Vec::new();
    for (kind, id, bytes) in snapshot.objects() {
        if matches!(kind, Kind::Usage | Kind::Segment) {
            let before = recording.length();
            repository.store().put(kind, &id, &bytes).unwrap();
            unsynced.push(before..recording.length());
        } else {
            send_object(&vault, &repository, cast.sender(), (kind, id, &bytes)).unwrap();
        }
    }
    let given = vault.commit(&repository, &snapshot.id, &snapshot.bytes, cast.sender()).unwrap();
    let promises =
        vec![Promise { from: recording.length(), what: What::Receipt(0, given.receipt) }];
    let mut recorded = recording.finish();
    for op in unsynced.into_iter().flatten() {
        if matches!(recorded.ops[op], Op::SyncDirectory { .. }) {
            recorded.ops[op] = Op::Omitted;
        }
    }
    assert_eq!(search("commit", (&cast, &promises), &recorded, 150), None);
    let recorded = recorded.without(|op| {
        let unread = |path: &Path| path.ends_with("usages") || path.ends_with("segments");
        matches!(op, Op::SyncDirectory { path } if unread(path))
    });
    let found = search("commit without", (&cast, &promises), &recorded, 300);
    assert!(found.is_some(), "nobody noticed that a receipt rests on what is not durable");
}

/// Copies as another site has them.
struct Copies(Vec<(Kind, [u8; 32], Vec<u8>)>);

impl Copies {
    fn find(&self, kind: Kind, id: &[u8; 32]) -> Option<&[u8]> {
        let found = self.0.iter().find(|(k, i, _)| *k == kind && i == id);
        found.map(|(.., bytes)| bytes.as_slice())
    }
}

impl GoodCopies for Copies {
    fn object(&self, _: &RepositoryId, kind: Kind, id: &[u8; 32]) -> Option<Vec<u8>> {
        self.find(kind, id).map(<[u8]>::to_vec)
    }

    fn head(&self, _: &RepositoryId, pack: &PackId) -> Option<PackTable> {
        PackTable::decode(head(self.find(Kind::Pack, pack.as_bytes())?)).ok()
    }

    fn frame(
        &self,
        _: &RepositoryId,
        pack: &PackId,
        table: &PackTable,
        frame: usize,
    ) -> Option<Vec<u8>> {
        let range = table.frame_range(frame);
        let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        self.find(Kind::Pack, pack.as_bytes())?.get(range).map(<[u8]>::to_vec)
    }
}

/// A scrub repairs while power fails: nothing good is lost, and another scrub heals what is left.
#[test]
fn a_repair_that_loses_power_can_be_repeated() {
    let cast = Cast::new();
    let dir = scratch();
    let before = Recording::start(dir.path()).unwrap();
    let vault = cast.open(dir.path(), "").unwrap();
    let given = play(&vault, &cast, &before);
    drop(vault);
    drop(before);
    let snapshot = &cast.snapshots[1];
    let files = RepositoryDir::open(path_of(dir.path(), &cast.owner.repository)).unwrap();
    for (kind, id, _) in snapshot.objects().iter().filter(|(kind, ..)| *kind != Kind::Session) {
        let path = files.object_path(*kind, id);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let copies = Copies(snapshot.objects());
    let recording = Recording::start(dir.path()).unwrap();
    let vault = cast.open(dir.path(), "").unwrap();
    let repository = vault.repository(&cast.owner.repository).unwrap();
    let scrubbed = vault.scrub(&repository, &copies, &FullSpeed).unwrap();
    assert_eq!((scrubbed.report.bad, scrubbed.report.damaged.len()), (0, 0));
    let healed = recording.length();
    let report = What::Statement(Kind::Scrub, *scrubbed.id.as_bytes());
    let recorded = recording.finish();
    let survey = crashes(&recorded, &[""], Depth::from_env()).thinned(250);
    println!("repair: {} changes, {} states checked", recorded.ops.len(), survey.len());
    let wrong = survey.check(&|state| {
        let dir = scratch();
        state.write(dir.path()).unwrap();
        let vault = cast.open(dir.path(), "")?;
        let repository = vault.repository(&cast.owner.repository).map_err(|e| error(&e))?;
        if state.prefix < healed {
            vault.scrub(&repository, &copies, &FullSpeed).map_err(|e| error(&e))?;
        }
        let report = (state.prefix >= healed).then_some(&report);
        let promised: Vec<&What> = given.iter().map(|one| &one.what).chain(report).collect();
        promises_hold(&vault, &cast, dir.path(), &promised)?;
        numbers_are_used_once(&RepositoryDir::open(path_of(dir.path(), &repository.id())).unwrap())
    });
    assert_eq!(wrong, None);
}

/// A site that pulls loses power: what it keeps is whole, and the next pull brings the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_loses_power_goes_on() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let mut cast = Cast::new();
    cast.owner = Owner::new(&[&cast.agent], &[&centre]);
    let first = Snapshot::new(&cast.owner, &cast.agent, None);
    let second = Snapshot::new(&cast.owner, &cast.agent, Some(&first));
    cast.snapshots = vec![first, second];
    let client = centre.client(Some(&city.agent_identity(&cast.owner, &cast.agent)));
    for snapshot in &cast.snapshots {
        publish(&client, &cast.owner, snapshot).await;
    }
    let source = centre.as_source();
    let state = SiteState::at(cast.keys.path().join("state"));
    city.enroll(&cast.keys.path().join("state"), &state.public().unwrap());
    let pull = async |vault: &Arc<Vault>, config: Config| {
        let tls = state.tls_identity().unwrap();
        let sources = Sources::connect(&config, &tls, &clock()).unwrap();
        pull_all(vault, &sources, &CancellationToken::new()).await
    };
    let dir = scratch();
    let recording = Recording::start(dir.path()).unwrap();
    let vault = cast.open(dir.path(), &source).unwrap();
    assert_eq!(pull(&vault, cast.config(dir.path(), &source)).await.snapshots, 2);
    let end = recording.length();
    let repository = vault.repository(&cast.owner.repository).unwrap();
    let given = cast.snapshots.iter().enumerate().map(|(number, snapshot)| {
        let given = vault.commit(&repository, &snapshot.id, &snapshot.bytes, cast.sender());
        Promise { from: end, what: What::Receipt(number, given.unwrap().receipt) }
    });
    let promises: Vec<Promise> = given.collect();
    drop((repository, vault));
    let recorded = recording.finish();
    let survey = crashes(&recorded, &[""], Depth::from_env()).thinned(250);
    println!("pull: {} changes, {} states checked", recorded.ops.len(), survey.len());
    let runtime = tokio::runtime::Handle::current();
    let (cast, promises, pull, runtime) = (&cast, &promises, &pull, &runtime);
    let wrong = tokio::task::block_in_place(|| {
        survey.check(&|state| {
            let dir = scratch();
            state.write(dir.path()).unwrap();
            let vault = cast.open(dir.path(), &source)?;
            no_alarm(&vault)?;
            nothing_is_half_written(dir.path(), &cast.owner.repository)?;
            let pulled = runtime.block_on(pull(&vault, cast.config(dir.path(), &source)));
            ensure(pulled.failures == 0, || format!("the next pull: {pulled:?}"))?;
            let promised: Vec<&What> = promises
                .iter()
                .filter(|one| one.from <= state.prefix)
                .map(|one| &one.what)
                .collect();
            promises_hold(&vault, cast, dir.path(), &promised)?;
            goes_on(&vault, cast, dir.path())?;
            let repository = vault.repository(&cast.owner.repository).map_err(|e| error(&e))?;
            let scrubbed =
                vault.scrub(&repository, &NoCopies, &FullSpeed).map_err(|e| error(&e))?;
            ensure(scrubbed.report.verified.len() == 2, || "not all was pulled".into())?;
            drop(repository);
            reindexes(vault, cast, dir.path())
        })
    });
    assert_eq!(wrong, None);
}
