//! The sweep: what is used stays, what is not used goes, whatever comes in between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use lumbung_model::{ManifestId, PackId};
use lumbung_pack::{Bitmap, Kind, PackUse};
use lumbung_vault::{Sender, VaultError};

use crate::backing;
use crate::support::{Agent, Bench, City, Owner, Site, Snapshot, TestPack, publish};

pub(crate) const QUICK: &str = "lock = \"0 s\"\n[retention]\nkeep_last = 1\n";

fn found(extra: &str) -> (Bench, Owner, Agent) {
    let bench = Bench::new(extra);
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    (bench, owner, agent)
}

/// Waits until what is unused now is gone.
fn sweep_all(bench: &Bench, owner: &Owner) -> u64 {
    let mut dropped = bench.sweep(owner).dropped;
    for hours in [48, 24] {
        bench.time.pass(hours * 3600);
        dropped += bench.sweep(owner).dropped;
    }
    dropped
}

fn expire(bench: &Bench, owner: &Owner) -> Vec<ManifestId> {
    bench.retain(owner);
    bench.time.pass(1);
    bench.retain(owner)
}

#[test]
fn a_snapshot_that_uses_frames_of_one_that_expired_keeps_them() {
    let (mut bench, owner, agent) = found(QUICK);
    let first = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &first);
    let second =
        Snapshot::of_frames(&owner, &agent, Some(&first), &[(first.packs[0].clone(), vec![1])]);
    bench.publish(&owner, &agent, &second);
    let bytes = bench.repository(&owner).store().pack_len(&first.packs[1].id).unwrap();
    assert!(bytes > 0);
    expire(&bench, &owner);
    assert_eq!(bench.listed(&owner), [second.id]);
    // The first round sees them unused, 48 h later they are condemned, 24 h later they go. A dry run sees nothing: no
    // time runs from it on.
    bench.vault().sweep(&bench.repository(&owner), true, &|| true).unwrap();
    bench.time.pass(48 * 3600);
    let sweep = bench.sweep(&owner);
    assert_eq!((sweep.waiting, sweep.condemned, sweep.dropped), (3, 0, 0));
    assert_eq!(sweep.packs, 3);
    bench.time.pass(48 * 3600 - 1);
    assert_eq!(bench.sweep(&owner).condemned, 0);
    bench.time.pass(1);
    assert_eq!(bench.sweep(&owner).condemned, 3);
    bench.time.pass(24 * 3600 - 1);
    assert_eq!(bench.sweep(&owner).dropped, 0);
    bench.time.pass(1);
    let dry = bench.vault().sweep(&bench.repository(&owner), true, &|| true).unwrap();
    assert_eq!((dry.dropped, dry.packs_removed), (3, 0));
    let sweep = bench.sweep(&owner);
    assert_eq!((sweep.dropped, sweep.packs_removed), (3, 1), "the small pack is gone whole");
    let repository = bench.repository(&owner);
    assert!(!repository.store().contains(Kind::Pack, first.packs[1].id.as_bytes()).unwrap());
    let table = &first.packs[0].table;
    let present = repository.store().presence(&first.packs[0].id, table).unwrap().unwrap();
    assert_eq!(present.iter_ones().collect::<Vec<_>>(), [1]);
    let reads =
        |i| repository.store().open_pack(&first.packs[0].id).unwrap().read_frame(table, i).is_ok();
    assert_eq!([reads(0), reads(1), reads(2)], [false, true, false]);
    drop(repository);
    // A later snapshot cannot count on what is gone.
    let third =
        Snapshot::of_frames(&owner, &agent, Some(&second), &[(first.packs[0].clone(), vec![0, 1])]);
    bench.send_without_old_packs(&owner, &agent, &third);
    let Err(VaultError::Incomplete(missing)) = bench.commit(&owner, &agent, &third) else {
        panic!("it was taken")
    };
    assert_eq!(missing.packs.len(), 1);
    assert_eq!(missing.packs[0].used.iter_ones().collect::<Vec<_>>(), [0]);
    let before = crate::support::dump(bench.dir.path());
    bench.reindex();
    assert_eq!(
        crate::support::dump(bench.dir.path()),
        before,
        "the index is rebuilt with its holes"
    );
    assert!(bench.commit(&owner, &agent, &third).is_err());
    // Sent again as a whole, the pack is whole again.
    bench.publish(&owner, &agent, &{
        let mut with = Snapshot::of_frames(
            &owner,
            &agent,
            Some(&second),
            &[(first.packs[0].clone(), vec![0, 1])],
        );
        with.packs.push(first.packs[0].clone());
        with
    });
    assert_eq!(bench.repository(&owner).store().presence(&first.packs[0].id, table).unwrap(), None);
}

#[test]
fn a_condemned_frame_is_answered_as_absent_and_a_commit_brings_it_back() {
    let (bench, owner, agent, first, second) = all_condemned_at(Bench::new(QUICK));
    let third =
        Snapshot::of_frames(&owner, &agent, Some(&second), &[(first.packs[0].clone(), vec![2])]);
    bench.send_without_old_packs(&owner, &agent, &third);
    bench.commit(&owner, &agent, &third).unwrap();
    bench.time.pass(24 * 3600);
    // Of its pack the others are still due; the one that was named stays.
    let swept = bench.sweep(&owner);
    assert!(swept.dropped >= 1, "{swept:?}");
    let file = bench.repository(&owner);
    let pack = file.store().open_pack(&first.packs[0].id).unwrap();
    assert!(pack.read_frame(&first.packs[0].table, 2).is_ok());
}

#[test]
fn a_segment_of_which_frames_are_gone_is_looked_through_again() {
    let (bench, owner, agent, first, second) = all_due();
    // A sweep that is stopped behind the first of the two packs: the segment that names them stays.
    let sweep_with = |answers: u32| {
        let left = Cell::new(answers);
        let go_on = || left.replace(left.get().saturating_sub(1)) > 0;
        bench.vault().sweep(&bench.repository(&owner), false, &go_on)
    };
    let packs = || bench.repository(&owner).store().list(Kind::Pack).unwrap().len();
    let before = packs();
    assert!(matches!(sweep_with(0), Err(VaultError::Stopping)));
    assert_eq!(packs(), before, "nothing was asked of it");
    assert!(matches!(sweep_with(2), Err(VaultError::Stopping)));
    assert_eq!(packs(), before - 1);
    let third = Snapshot::with_usage_of(&owner, &agent, &second, &first);
    bench.send(&owner, &agent, &third);
    let Err(VaultError::Incomplete(missing)) = bench.commit(&owner, &agent, &third) else {
        panic!("it was taken")
    };
    assert!(!missing.packs.is_empty());
}

#[test]
fn a_first_copy_that_takes_28_nights_loses_nothing() {
    let (bench, owner, agent) = found(QUICK);
    let other = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &other);
    let seed = Snapshot::apart(&owner, &agent, &other);
    let mut objects = seed.objects();
    // The session opens; a pack comes each night, with a sweep each day.
    let (kind, id, bytes) = objects.remove(0);
    bench.put(&owner, &agent, kind, id, &bytes);
    for (kind, id, bytes) in &objects {
        bench.time.pass_days(7);
        bench.put(&owner, &agent, *kind, *id, bytes);
        bench.sweep(&owner);
    }
    bench.commit(&owner, &agent, &seed).unwrap();
    assert!(bench.is_whole(&owner, &seed));
}

#[test]
fn what_a_run_left_behind_goes_when_nobody_comes_back_for_it() {
    let (bench, owner, agent) = found(QUICK);
    let first = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &first);
    let abandoned = Snapshot::apart(&owner, &agent, &first);
    bench.send(&owner, &agent, &abandoned);
    let count = |kind| bench.repository(&owner).store().list(kind).unwrap().len();
    let packs = count(Kind::Pack);
    assert_eq!(sweep_all(&bench, &owner), 0, "its lease runs");
    bench.time.pass_days(12);
    assert_eq!(sweep_all(&bench, &owner), 4);
    assert_eq!(count(Kind::Pack), packs - 2);
    assert_eq!((count(Kind::Session), count(Kind::Usage)), (1, 1));
    assert!(bench.is_whole(&owner, &first));
}

#[test]
fn objects_wait_for_runs_that_began_before_they_did_and_for_no_later_one() {
    for (later_s, expected) in [(0, 0), (1, 3)] {
        let (bench, owner, agent) = found(QUICK);
        let first = Snapshot::new(&owner, &agent, None);
        bench.publish(&owner, &agent, &first);
        let second = Snapshot::apart(&owner, &agent, &first);
        bench.publish(&owner, &agent, &second);
        expire(&bench, &owner);
        let (kind, id, session) = Snapshot::apart(&owner, &agent, &second).objects().remove(0);
        bench.sweep(&owner);
        bench.time.pass(later_s);
        bench.put(&owner, &agent, kind, id, &session);
        let mut removed = 0;
        for hours in [48, 24] {
            bench.time.pass(hours * 3600);
            removed += bench.sweep(&owner).objects_removed;
        }
        assert_eq!(removed, expected, "a run that began {later_s} s later");
    }
}

#[test]
fn one_manifest_that_cannot_be_read_stops_the_sweep() {
    let (mut bench, owner, agent) = found(QUICK);
    let first = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &first);
    let second = Snapshot::new(&owner, &agent, Some(&first));
    bench.publish(&owner, &agent, &second);
    let usage = bench.lying(&owner, Kind::Usage, second.usage.usage_id.as_bytes());
    for object in [usage, bench.lying(&owner, Kind::Manifest, second.id.as_bytes())] {
        let good = object.read();
        let mut bad = good.clone();
        bad[60] ^= 1;
        object.write(bad);
        for lose_index in [false, true] {
            if lose_index {
                bench.reindex();
            }
            let swept = bench.vault().sweep(&bench.repository(&owner), false, &|| true);
            assert!(matches!(swept, Err(VaultError::Unreadable { .. })), "{swept:?}");
        }
        object.write(good);
        bench.reindex();
        bench.sweep(&owner);
    }
}

/// A site on which all four frames of two packs are due: the snapshot that used them has expired, the second is there.
fn all_due() -> (Bench, Owner, Agent, Snapshot, Snapshot) {
    all_due_at(Bench::new(QUICK))
}

/// The same over a bench that keeps only the last snapshot.
pub(crate) fn all_due_at(bench: Bench) -> (Bench, Owner, Agent, Snapshot, Snapshot) {
    let all = all_condemned_at(bench);
    all.0.time.pass(24 * 3600);
    all
}

/// As [`all_due_at`], a day earlier.
fn all_condemned_at(bench: Bench) -> (Bench, Owner, Agent, Snapshot, Snapshot) {
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    let first = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &first);
    let second = Snapshot::apart(&owner, &agent, &first);
    bench.publish(&owner, &agent, &second);
    expire(&bench, &owner);
    bench.sweep(&owner);
    bench.time.pass(48 * 3600);
    assert_eq!(bench.sweep(&owner).condemned, 4);
    (bench, owner, agent, first, second)
}

#[test]
fn a_pack_that_cannot_be_read_is_passed_over_and_the_others_give_back_theirs() {
    let (bench, owner, _, first, _) = all_due();
    let pack = bench.lying(&owner, Kind::Pack, first.packs[0].id.as_bytes());
    let good = pack.read();
    let mut bad = good.clone();
    bad[100] ^= 1;
    pack.write(bad);
    let swept = bench.sweep(&owner);
    assert_eq!((swept.dropped, swept.packs_removed), (1, 1));
    pack.write(good);
    let swept = bench.sweep(&owner);
    assert_eq!((swept.dropped, swept.packs_removed), (3, 1));
    assert!(swept.dropped_bytes > 40_000, "{swept:?}");
    assert!(!pack.is_there());
}

#[test]
fn a_map_or_head_that_cannot_be_read_keeps_no_start_away_and_no_sweep() {
    let (mut bench, owner, agent, [first, second], _) = with_a_hole();
    let pack = &first.packs[0];
    let map = backing::lying(
        bench.dir.path(),
        format!("repositories/{}/presence/{}", owner.repository, pack.id),
    );
    let head = bench.lying(&owner, Kind::Pack, pack.id.as_bytes());
    let damaged = |object: &backing::Lying, at: usize| {
        let good = object.read();
        let mut bad = good.clone();
        bad[at] ^= 1;
        object.write(bad);
        good
    };
    for (object, at) in [(&map, 20), (&head, 100)] {
        if !object.is_there() {
            // A store keeps map and head in one object.
            continue;
        }
        let good = damaged(object, at);
        for pending in [false, true] {
            if pending {
                interrupt(&mut bench);
            }
            bench.restart();
            let asked = PackUse { pack: pack.id, used: Bitmap::full(3) };
            let absent: Vec<u32> = bench.have(&owner, &[asked])[0].used.iter_ones().collect();
            assert!(absent.contains(&0) && absent.contains(&2), "{absent:?}");
        }
        object.write(good);
    }
    bench.restart();
    // What is left of it is due, and the map cannot be read again.
    let last = Snapshot::apart(&owner, &agent, &second);
    bench.publish(&owner, &agent, &last);
    expire(&bench, &owner);
    damaged(&map, 20);
    sweep_all(&bench, &owner);
    assert!(!map.is_there(), "the map was drawn up from the holes");
    assert!(bench.is_whole(&owner, &last));
}

#[test]
fn a_pack_that_is_not_there_is_passed_over() {
    let (bench, owner, _, first, _) = all_due();
    bench.lying(&owner, Kind::Pack, first.packs[0].id.as_bytes()).remove();
    let swept = bench.sweep(&owner);
    assert_eq!((swept.dropped, swept.packs_removed), (1, 1));
}

#[test]
fn a_pack_of_which_a_frame_is_named_meanwhile_is_left_to_the_next_round() {
    let (bench, owner, agent, first, second) = all_due();
    let third =
        Snapshot::of_frames(&owner, &agent, Some(&second), &[(first.packs[0].clone(), vec![2])]);
    bench.send_without_old_packs(&owner, &agent, &third);
    let committed = Cell::new(false);
    let asked = Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        // Behind the look at the packs, before the first of them gives anything back.
        if asked.get() == 2 {
            bench.commit(&owner, &agent, &third).unwrap();
            committed.set(true);
        }
        true
    };
    let swept = bench.vault().sweep(&bench.repository(&owner), false, &go_on).unwrap();
    assert!(committed.get());
    assert_eq!((swept.dropped, swept.packs_removed), (1, 1), "the other pack's");
    assert!(bench.is_whole_in(&owner, &first.packs[0], &[0, 1, 2]));
    assert_eq!(bench.sweep(&owner).dropped, 2);
    assert!(bench.is_whole_in(&owner, &first.packs[0], &[2]));
}

/// A site on which a pack of three frames has lost the first and the last, with the pack's file as it was when it was whole.
fn with_a_hole() -> (Bench, Owner, Agent, [Snapshot; 2], Vec<u8>) {
    let (bench, owner, agent) = found(QUICK);
    let first = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &first);
    let second =
        Snapshot::of_frames(&owner, &agent, Some(&first), &[(first.packs[0].clone(), vec![1])]);
    bench.publish(&owner, &agent, &second);
    let whole = bench.lying(&owner, Kind::Pack, first.packs[0].id.as_bytes()).read();
    expire(&bench, &owner);
    sweep_all(&bench, &owner);
    (bench, owner, agent, [first, second], whole)
}

/// The index says that it was interrupted while it gave frames back.
fn interrupt(bench: &mut Bench) {
    bench.vault = None;
    let index = rusqlite::Connection::open(bench.dir.path().join("index.sqlite")).unwrap();
    index.execute("UPDATE pack_states SET pending = 1", []).unwrap();
}

#[test]
fn an_interrupted_index_that_counts_on_frames_which_the_map_gave_up_says_that_it_is_old() {
    let (mut bench, owner, _, [first, _], _) = with_a_hole();
    bench.vault = None;
    let index = rusqlite::Connection::open(bench.dir.path().join("index.sqlite")).unwrap();
    let mut only_first = Bitmap::new(3);
    only_first.set(0);
    let change = "UPDATE pack_states SET pending = 1, absent = ?1 WHERE absent IS NOT NULL";
    assert_eq!(index.execute(change, [only_first.as_bytes()]).unwrap(), 1);
    drop(index);
    bench.restart();
    let alarms = bench.vault().alarms(9).unwrap();
    assert!(alarms.iter().any(|alarm| alarm.kind == "old-index"), "{alarms:?}");
    let asked = PackUse { pack: first.packs[0].id, used: Bitmap::full(3) };
    assert_eq!(bench.have(&owner, &[asked])[0].used.iter_ones().collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn frames_that_the_index_gave_up_and_the_map_did_not_are_looked_at_anew() {
    let (mut bench, owner, _, [first, _], whole) = with_a_hole();
    let pack = bench.lying(&owner, Kind::Pack, first.packs[0].id.as_bytes());
    let map = format!("repositories/{}/presence/{}", owner.repository, first.packs[0].id);
    let map = backing::lying(bench.dir.path(), map);
    pack.write(whole.clone());
    map.remove();
    interrupt(&mut bench);
    bench.restart();
    assert_eq!(pack.read(), whole, "it cannot be told from frames that came back");
    assert!(bench.is_whole_in(&owner, &first.packs[0], &[0, 1, 2]));
    sweep_all(&bench, &owner);
    assert_ne!(pack.read(), whole);
    assert!(map.is_there() && bench.is_whole_in(&owner, &first.packs[0], &[1]));
}

#[test]
fn frames_that_the_map_gave_up_go_from_the_file() {
    if crate::S3 {
        // A store keeps map and frames in one object.
        return;
    }
    let (mut bench, owner, _, [first, _], whole) = with_a_hole();
    let pack = bench.lying(&owner, Kind::Pack, first.packs[0].id.as_bytes());
    let holes = pack.read();
    pack.write(whole);
    interrupt(&mut bench);
    bench.restart();
    assert_eq!(pack.read(), holes);
}

#[test]
fn a_map_that_was_lost_brings_no_frame_back() {
    let (mut bench, owner, _, [first, _], _) = with_a_hole();
    let map = format!("repositories/{}/presence/{}", owner.repository, first.packs[0].id);
    let map = backing::lying(bench.dir.path(), map);
    map.remove();
    for pending in [false, true] {
        if pending {
            interrupt(&mut bench);
        }
        bench.restart();
        let asked = PackUse { pack: first.packs[0].id, used: Bitmap::full(3) };
        let absent: Vec<u32> = bench.have(&owner, &[asked])[0].used.iter_ones().collect();
        assert_eq!(absent, [0, 2], "interrupted: {pending}");
    }
}

#[test]
fn a_map_that_was_lost_brings_no_frame_back_with_another() {
    let (bench, owner, agent, [first, _], _) = with_a_hole();
    let pack = &first.packs[0];
    let map = format!("repositories/{}/presence/{}", owner.repository, pack.id);
    backing::lying(bench.dir.path(), map).remove();
    let sender = Sender::Agent { agent: agent.id, key: agent.key.public() };
    let repository = bench.repository(&owner);
    let mut intake = bench.vault().receive_frames(&repository, pack.table.clone(), sender).unwrap();
    let range = pack.table.frame_range(2);
    let at = |n: u64| usize::try_from(n).unwrap();
    intake.write(2, &pack.bytes[at(range.start)..at(range.end)]).unwrap();
    intake.finish().unwrap();
    let asked = PackUse { pack: pack.id, used: Bitmap::full(3) };
    let absent: Vec<u32> = bench.have(&owner, &[asked])[0].used.iter_ones().collect();
    assert_eq!(absent, [0]);
    assert_eq!(
        repository.store().presence(&pack.id, &pack.table).unwrap().unwrap().count_ones(),
        2
    );
}

#[test]
fn an_older_index_takes_nothing_away_that_came_back_since() {
    let (mut bench, owner, agent, [first, _], whole) = with_a_hole();
    interrupt(&mut bench);
    let index = bench.dir.path().join("index.sqlite");
    let older = std::fs::read(&index).unwrap();
    bench.restart();
    let again =
        Snapshot::of_frames(&owner, &agent, None, &[(first.packs[0].clone(), vec![0, 1, 2])]);
    bench.send_without_old_packs(&owner, &agent, &again);
    let pack = &first.packs[0];
    bench.put(&owner, &agent, Kind::Pack, *pack.id.as_bytes(), &pack.bytes);
    bench.commit(&owner, &agent, &again).unwrap();
    bench.vault = None;
    for file in ["index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(bench.dir.path().join(file));
    }
    std::fs::write(&index, older).unwrap();
    bench.restart();
    let pack = bench.lying(&owner, Kind::Pack, first.packs[0].id.as_bytes());
    assert_eq!(pack.read(), whole);
    sweep_all(&bench, &owner);
    assert!(bench.is_whole_in(&owner, &first.packs[0], &[0, 1, 2]));
    let asked = PackUse { pack: first.packs[0].id, used: Bitmap::full(3) };
    let absent = bench.have(&owner, &[asked]);
    assert!(absent.is_empty(), "{absent:?}");
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

/// Some frames of some packs.
type Frames = Vec<(TestPack, Vec<u32>)>;

/// A site that lives at random: what it was told is here, frame by frame.
struct Life {
    bench: Bench,
    owner: Owner,
    agent: Agent,
    random: RefCell<Random>,
    /// Packs ever made.
    packs: RefCell<Vec<TestPack>>,
    /// Snapshots that were committed, with the frames they use.
    committed: RefCell<BTreeMap<ManifestId, Frames>>,
    last: RefCell<Option<Snapshot>>,
    /// Sent, and not committed yet.
    open: RefCell<Vec<(Snapshot, Frames)>>,
    refused: Cell<u32>,
}

impl Life {
    fn begin(seed: u64) -> Self {
        let (bench, owner, agent) =
            found("lock = \"20 h\"\n[retention]\nkeep_last = 2\nkeep_daily = 2\n");
        for roster in &owner.rosters {
            bench.found(&owner, roster);
        }
        Self {
            bench,
            owner,
            agent,
            random: RefCell::new(Random(seed)),
            packs: RefCell::default(),
            committed: RefCell::default(),
            last: RefCell::default(),
            open: RefCell::default(),
            refused: Cell::new(0),
        }
    }

    fn below(&self, n: usize) -> usize {
        self.random.borrow_mut().below(n)
    }

    /// Frames of packs that were made before, whether they are still here or not.
    fn some_old_frames(&self) -> Frames {
        let packs = self.packs.borrow();
        let mut old: BTreeMap<PackId, (TestPack, Vec<u32>)> = BTreeMap::new();
        for _ in 0..self.below(6).min(packs.len()) {
            let pack = &packs[packs.len() - 1 - self.below(packs.len().min(12))];
            let frames = (0..3).filter(|_| self.below(2) == 0).collect::<Vec<u32>>();
            if !frames.is_empty() {
                old.entry(pack.id).or_insert((pack.clone(), frames));
            }
        }
        old.into_values().collect()
    }

    /// A run sends what it has; it asks first for what it wants to use again.
    fn send(&self) {
        let mut old = self.some_old_frames();
        let asked: Vec<PackUse> = old
            .iter()
            .map(|(pack, frames)| {
                let mut used = Bitmap::new(3);
                frames.iter().for_each(|frame| used.set(*frame));
                PackUse { pack: pack.id, used }
            })
            .collect();
        let gone = self.bench.have(&self.owner, &asked);
        // Most runs believe the answer; some are stubborn, and must be refused if they are wrong.
        if self.below(4) > 0 {
            old.retain(|(pack, _)| gone.iter().all(|one| one.pack != pack.id));
        }
        let last = self.last.borrow();
        let snapshot = Snapshot::of_frames(&self.owner, &self.agent, last.as_ref(), &old);
        self.bench.send_without_old_packs(&self.owner, &self.agent, &snapshot);
        self.packs.borrow_mut().push(snapshot.packs[0].clone());
        self.open.borrow_mut().push((snapshot, old));
    }

    fn commit(&self) {
        if self.open.borrow().is_empty() {
            return;
        }
        let at = self.below(self.open.borrow().len());
        let (snapshot, mut used) = self.open.borrow_mut().remove(at);
        match self.bench.commit(&self.owner, &self.agent, &snapshot) {
            Ok(_) => {
                used.push((snapshot.packs[0].clone(), vec![0, 1, 2]));
                self.committed.borrow_mut().insert(snapshot.id, used);
                *self.last.borrow_mut() = Some(snapshot);
            }
            Err(VaultError::Incomplete(_)) => self.refused.set(self.refused.get() + 1),
            Err(error) => panic!("{error}"),
        }
    }

    fn step(&mut self) {
        match self.below(12) {
            0..3 => self.send(),
            3..6 => self.commit(),
            6 | 7 => self.bench.time.pass(self.below(120) as u64 * 3600),
            8 => self.forget(self.bench.retain(&self.owner)),
            9 | 10 => self.sweep(),
            _ if self.below(4) == 0 => self.bench.reindex(),
            _ => self.bench.restart(),
        }
        self.check();
    }

    /// A sweep, in the middle of which runs go on.
    fn sweep(&self) {
        let between = || {
            match self.below(4) {
                0 => self.send(),
                1 | 2 => self.commit(),
                _ => {}
            }
            true
        };
        let repository = self.bench.repository(&self.owner);
        self.bench.vault().sweep(&repository, false, &between).unwrap();
    }

    fn forget(&self, expired: Vec<ManifestId>) {
        expired.iter().for_each(|gone| {
            self.committed.borrow_mut().remove(gone);
        });
    }

    /// No frame that a live manifest names is ever missing.
    fn check(&self) {
        for (manifest, used) in self.committed.borrow().iter() {
            for (pack, frames) in used {
                assert!(
                    self.bench.is_whole_in(&self.owner, pack, frames),
                    "snapshot {manifest} misses frames of pack {}",
                    pack.id
                );
            }
        }
        let repository = self.bench.repository(&self.owner);
        // A store may go on listing what was deleted.
        let here = |id: &[u8; 32]| repository.store().contains(Kind::Manifest, id).unwrap();
        let mut held = repository.store().list(Kind::Manifest).unwrap();
        held.retain(here);
        assert_eq!(held.len(), self.committed.borrow().len());
    }
}

/// `LUMBUNG_TEST_CASES` sets how many lives (6 otherwise), each of its own seed.
#[test]
fn no_frame_of_a_live_snapshot_ever_goes_whatever_the_order_of_things() {
    let lives: u64 = std::env::var("LUMBUNG_TEST_CASES").map_or(6, |text| text.parse().unwrap());
    let (mut refused, mut dropped) = (0, 0);
    for seed in 0..lives {
        let mut life = Life::begin(seed);
        for _ in 0..150 {
            life.step();
        }
        refused += life.refused.get();
        dropped += life.bench.repository(&life.owner).store().list_presence().unwrap().len();
    }
    assert!(
        refused > 0 && dropped > 0,
        "the lives were too quiet: {refused} refused, {dropped} with holes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_puller_takes_what_is_used_and_left_of_a_pack() {
    let city = City::new();
    let centre = Site::start(&city, "lock = \"0 s\"\n[retention]\nkeep_last = 1\n").await;
    let drc = Site::start(&city, &centre.as_source()).await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &first).await;
    let old = first.packs[0].clone();
    let second = Snapshot::of_frames(&owner, &agent, Some(&first), &[(old.clone(), vec![1])]);
    publish(&client, &owner, &second).await;
    let repository = centre.repository(&owner);
    for _ in 0..2 {
        centre.vault.retain(&repository, false).unwrap();
    }
    for hours in [0, 48, 24] {
        centre.time.pass(hours * 3600);
        centre.vault.sweep(&repository, false, &|| true).unwrap();
    }
    assert!(repository.store().presence(&old.id, &old.table).unwrap().is_some());
    let pulled = drc.pull().await;
    assert_eq!((pulled.snapshots, pulled.failures), (1, 0), "{:?}", drc.vault.alarms(3));
    let there = drc.repository(&owner);
    let present = there.store().presence(&old.id, &old.table).unwrap().unwrap();
    assert_eq!(present.iter_ones().collect::<Vec<_>>(), [1]);
    let scrubbed = drc.scrub(&owner).await;
    assert_eq!(
        (scrubbed.report.bad, scrubbed.report.verified.len()),
        (0, 1),
        "a hole is no damage"
    );
    // What was dropped at the source cannot be read there.
    let root = centre.root_client(&owner);
    assert!(root.read_frames(&owner.repository, &old.id, &old.table, 0..1).await.is_err());
    assert!(root.read_frames(&owner.repository, &old.id, &old.table, 1..2).await.is_ok());
    // Another snapshot uses another frame of it, sent anew to the source: the hole here is filled.
    let mut third =
        Snapshot::of_frames(&owner, &agent, Some(&second), &[(old.clone(), vec![0, 1])]);
    third.packs.push(old.clone());
    publish(&client, &owner, &third).await;
    let pulled = drc.pull().await;
    assert_eq!((pulled.snapshots, pulled.failures), (1, 0));
    let present = there.store().presence(&old.id, &old.table).unwrap().unwrap();
    assert_eq!(present.iter_ones().collect::<Vec<_>>(), [0, 1]);
}
