//! A depot that fails at any call, dies in the middle, or loses answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use lumbung_engine::depot::Injection;
use lumbung_engine::{Commit, Depot, DepotError, FaultyDepot, MemoryDepot, list_snapshots};
use lumbung_model::{AgentId, ManifestId, PackId};
use lumbung_pack::{Kind, PackUse};

use crate::world::{World, noise};

fn small_world() -> World {
    let mut world = World::new();
    world.options.attempts = 1;
    world.options.uploaders = 1;
    world.write("a", noise(1, 90_000));
    world.write("b/c", noise(2, 500));
    world.write("b/d", vec![7; 40_000]);
    world
}

/// Whether the chain has neither forks nor gaps.
fn check_chain(world: &World, depot: &dyn Depot) {
    let (snapshots, bad) = list_snapshots(depot, Some(world.repository)).unwrap();
    assert!(bad.is_empty());
    let places: BTreeSet<_> = snapshots.iter().map(|s| (s.epoch, s.sequence)).collect();
    assert_eq!(places.len(), snapshots.len(), "two snapshots have one place in the chain");
    for snapshot in &snapshots {
        let known = snapshots.iter().any(|other| other.id == snapshot.previous);
        assert!(known || snapshot.previous.is_zero(), "a gap before {}", snapshot.id);
    }
}

fn fail_each_call(injection: impl Fn(u64) -> Injection, transient: bool) {
    let calls = {
        let world = small_world();
        let depot = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::Never, true));
        world.backup_to(&[depot.clone()]).unwrap();
        depot.calls()
    };
    assert!(calls > 8, "{calls}");
    for n in 1..=calls + 1 {
        let world = small_world();
        let faulty = Arc::new(FaultyDepot::new(world.depot.clone(), injection(n), transient));
        let first = world.backup_to(&[faulty.clone()]);
        if faulty.calls() < n {
            assert!(first.is_ok());
        }
        world.trust_cache();
        world.write("b/e", noise(n, 700));
        let second = world.backup_to(&[world.depot.clone()]).unwrap();
        world.check_at(world.depot.clone(), &second.manifest);
        check_chain(&world, world.depot.as_ref());
        if let Ok(first) = first {
            assert!(second.sequence > first.sequence);
        }
    }
}

#[test]
fn any_call_may_fail_before_it_is_carried_out() {
    fail_each_call(Injection::Before, true);
}

#[test]
fn any_call_may_be_refused() {
    fail_each_call(Injection::Before, false);
}

#[test]
fn any_answer_may_be_lost() {
    fail_each_call(Injection::After, true);
}

#[test]
fn a_depot_may_die_at_any_call() {
    fail_each_call(Injection::From, true);
}

#[test]
fn a_passing_failure_is_tried_again() {
    let mut world = small_world();
    world.options.attempts = 2;
    let faulty = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::Every(3), true));
    let outcome = world.backup_to(&[faulty]).unwrap();
    world.check_at(world.depot.clone(), &outcome.manifest);
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let mut world = World::new();
    world.options.attempts = 1;
    for n in 0..300 {
        world.write(&format!("d{}/f{n:03}", n / 50), noise(n, 10_000));
    }
    let total = 300 * 10_000;
    let pack = 64 << 10;
    let faulty = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::From(30), true));
    assert!(world.backup_to(&[faulty.clone()]).is_err());
    let sent = faulty.pack_bytes();
    assert!(sent > 10 * pack, "{sent}");
    world.trust_cache();
    let counting = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::Never, true));
    let outcome = world.backup_to(&[counting.clone()]).unwrap();
    // What was acknowledged is neither read nor sent again, but for what was on its way between the threads.
    let on_its_way = 64 * 10_000 + 2 * pack;
    assert!(
        outcome.read_bytes <= total - sent + on_its_way,
        "{} read, {sent} had been sent",
        outcome.read_bytes
    );
    let catalogue = 100_000;
    assert!(
        counting.pack_bytes() <= total - sent + 2 * pack + catalogue,
        "{}",
        counting.pack_bytes()
    );
    world.check_at(world.depot.clone(), &outcome.manifest);
}

#[test]
fn an_interrupted_large_file_goes_on_where_it_was() {
    let mut world = World::new();
    world.options.attempts = 1;
    world.write("large", noise(1, 24 << 20));
    let faulty = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::From(300), true));
    assert!(world.backup_to(&[faulty.clone()]).is_err());
    let sent = faulty.pack_bytes();
    assert!(sent > 15 << 20, "{sent}");
    world.trust_cache();
    let outcome = world.backup();
    let note_and_window = 9 << 20;
    let limit = (24 << 20) - sent + note_and_window;
    assert!(outcome.read_bytes <= limit, "{} read, {sent} had been sent", outcome.read_bytes);
    let left = std::fs::read_dir(world.state().join(world.dataset.to_string())).unwrap();
    assert!(
        !left.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("partial."))
    );
    world.check_at(world.depot.clone(), &outcome.manifest);
}

#[test]
fn the_second_depot_takes_over_in_the_middle() {
    let mut world = World::new();
    world.options.attempts = 1;
    for n in 0..100 {
        world.write(&format!("f{n:03}"), noise(n, 10_000));
    }
    let second: Arc<MemoryDepot> = world.another_depot("two");
    let first = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::From(12), true));
    let outcome = world.backup_to(&[first.clone(), second.clone()]).unwrap();
    assert!(first.packs() > 0, "the first depot had taken something");
    assert_eq!((outcome.depot_index, outcome.depot.as_str()), (1, "memory:two"));
    world.check_at(second.clone(), &outcome.manifest);
    // The first comes back: what it has is used, what it lacks is sent.
    world.trust_cache();
    let back = world.backup();
    assert_eq!(back.sequence, 2);
    world.check_at(world.depot.clone(), &back.manifest);
}

#[test]
fn nothing_answers() {
    let world = small_world();
    let dead = || {
        Arc::new(FaultyDepot::new(world.depot.clone(), Injection::From(1), true)) as Arc<dyn Depot>
    };
    let error = world.backup_to(&[dead(), dead()]).unwrap_err();
    assert!(error.to_string().contains("no depot could take the backup"), "{error}");
    let error = world.backup_to(&[]).unwrap_err();
    assert!(error.to_string().contains("no depot was given"), "{error}");
}

#[test]
fn partial_manifests_protect_a_long_run() {
    let mut world = World::new();
    world.options.partial_after_bytes = 200_000;
    world.write("large", noise(1, 3 << 20));
    let outcome = world.backup();
    assert!(outcome.partials.len() > 3, "{}", outcome.partials.len());
    assert_eq!(outcome.sequence, outcome.partials.len() as u64 + 1);
    check_chain(&world, world.depot.as_ref());
    let (snapshots, _) = list_snapshots(world.depot.as_ref(), None).unwrap();
    let latest = lumbung_engine::select_snapshot(&snapshots, "latest").unwrap();
    assert_eq!(latest.id, outcome.manifest);
    world.check_at(world.depot.clone(), &outcome.manifest);
    let partial = lumbung_engine::SnapshotReader::open(
        world.depot.clone(),
        None,
        &outcome.partials[0],
        &world.recovery,
    );
    assert!(partial.err().unwrap().to_string().contains("partial"));
}

/// A depot that loses the answer to its first commit.
struct LosesFirstAnswer(Arc<MemoryDepot>, std::sync::atomic::AtomicU64);

impl Depot for LosesFirstAnswer {
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        self.0.list(kind)
    }
    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        self.0.get(kind, id)
    }
    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        self.0.put(kind, id, bytes)
    }
    fn put_pack(&self, id: &PackId, head: &Bytes, pieces: &[Bytes]) -> Result<(), DepotError> {
        self.0.put_pack(id, head, pieces)
    }
    fn read_pack(&self, id: &PackId, range: std::ops::Range<u64>) -> Result<Vec<u8>, DepotError> {
        self.0.read_pack(id, range)
    }
    fn have(&self, packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError> {
        self.0.have(packs)
    }
    fn commit(&self, id: &ManifestId, manifest: &[u8]) -> Result<Commit, DepotError> {
        let taken = self.0.commit(id, manifest)?;
        if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            return Ok(taken);
        }
        Err(DepotError::Unavailable { depot: self.describe(), what: "commit".into(), source: None })
    }
    fn manifests(&self, agent: Option<&AgentId>) -> Result<Vec<ManifestId>, DepotError> {
        self.0.manifests(agent)
    }
}

#[test]
fn a_partial_manifest_whose_answer_is_lost_does_not_fork_the_chain() {
    let mut world = World::new();
    world.options.partial_after_bytes = 200_000;
    world.options.attempts = 1;
    world.write("large", noise(1, 2 << 20));
    let depot = Arc::new(LosesFirstAnswer(world.depot.clone(), 0.into()));
    let outcome = world.backup_to(&[depot]).unwrap();
    assert!(outcome.sequence > 2, "{}", outcome.sequence);
    check_chain(&world, world.depot.as_ref());
    world.check_at(world.depot.clone(), &outcome.manifest);
}

/// Says that it has everything.
struct Boaster(Arc<MemoryDepot>);

impl Depot for Boaster {
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn list(&self, kind: lumbung_pack::Kind) -> Result<Vec<[u8; 32]>, lumbung_engine::DepotError> {
        self.0.list(kind)
    }
    fn get(
        &self,
        kind: lumbung_pack::Kind,
        id: &[u8; 32],
    ) -> Result<Vec<u8>, lumbung_engine::DepotError> {
        self.0.get(kind, id)
    }
    fn put(
        &self,
        kind: lumbung_pack::Kind,
        id: &[u8; 32],
        bytes: &[u8],
    ) -> Result<(), lumbung_engine::DepotError> {
        self.0.put(kind, id, bytes)
    }
    fn put_pack(
        &self,
        id: &lumbung_model::PackId,
        head: &bytes::Bytes,
        pieces: &[bytes::Bytes],
    ) -> Result<(), lumbung_engine::DepotError> {
        self.0.put_pack(id, head, pieces)
    }
    fn read_pack(
        &self,
        id: &lumbung_model::PackId,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, lumbung_engine::DepotError> {
        self.0.read_pack(id, range)
    }
    fn have(
        &self,
        _packs: &[lumbung_pack::PackUse],
    ) -> Result<Vec<lumbung_pack::PackUse>, lumbung_engine::DepotError> {
        Ok(Vec::new())
    }
    fn commit(
        &self,
        id: &lumbung_model::ManifestId,
        manifest: &[u8],
    ) -> Result<lumbung_engine::Commit, lumbung_engine::DepotError> {
        self.0.commit(id, manifest)
    }
}

#[test]
fn what_a_commit_lacks_is_read_again_in_the_same_run() {
    let world = World::new();
    for n in 0..30 {
        world.write(&format!("f{n}"), noise(n, 20_000));
    }
    world.backup();
    world.trust_cache();
    let packs = world.depot.list(lumbung_pack::Kind::Pack).unwrap();
    for pack in packs.iter().step_by(3) {
        world.depot.lose(lumbung_pack::Kind::Pack, pack);
    }
    let outcome = world.backup_to(&[Arc::new(Boaster(world.depot.clone()))]).unwrap();
    assert!(outcome.read_bytes > 0 && outcome.read_bytes < 600_000, "{}", outcome.read_bytes);
    world.check_at(world.depot.clone(), &outcome.manifest);
}
