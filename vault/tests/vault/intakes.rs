//! Packs that come in by two ways at once, and by pieces where something is damaged.

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, Kind, PackUse};
use lumbung_store::{PutOutcome, StoreError};
use lumbung_vault::scrub::{FullSpeed, NoCopies};
use lumbung_vault::{FramesIntake, PackIntake, Sender, VaultError};

use crate::support::{Agent, Bench, Owner, Snapshot, TestPack};

struct Bed {
    bench: Bench,
    owner: Owner,
    agent: Agent,
    /// Of which nothing is here but its session.
    snapshot: Snapshot,
}

impl Bed {
    fn new() -> Self {
        let bench = Bench::new("");
        let agent = Agent::new();
        let owner = Owner::new(&[&agent], &[]);
        let snapshot = Snapshot::new(&owner, &agent, None);
        owner.rosters.iter().for_each(|roster| bench.found(&owner, roster));
        let (id, session) = (*snapshot.session_id.as_bytes(), &snapshot.session);
        bench.put(&owner, &agent, Kind::Session, id, session);
        Self { bench, owner, agent, snapshot }
    }

    fn pack(&self) -> &TestPack {
        &self.snapshot.packs[0]
    }

    fn sender(&self) -> Sender {
        Sender::Agent { agent: self.agent.id, key: self.agent.key.public() }
    }

    /// The whole pack, but for the end of its way.
    fn whole(&self) -> PackIntake {
        let repository = self.bench.repository(&self.owner);
        let mut intake =
            self.bench.vault().receive_pack(&repository, self.pack().id, self.sender()).unwrap();
        intake.write(&self.pack().bytes).unwrap();
        intake
    }

    /// Some frames of it, but for the end of their way.
    fn some(&self, frames: &[usize]) -> FramesIntake {
        let (repository, pack) = (self.bench.repository(&self.owner), self.pack());
        let vault = self.bench.vault();
        let mut intake =
            vault.receive_frames(&repository, pack.table.clone(), self.sender()).unwrap();
        for frame in frames {
            intake.write(*frame, frame_of(pack, *frame)).unwrap();
        }
        intake
    }

    /// Frames that a sender is told to send.
    fn missing(&self) -> Vec<u32> {
        let frames = u32::try_from(self.pack().table.frames.len()).unwrap();
        let all = PackUse { pack: self.pack().id, used: Bitmap::full(frames) };
        let missing = self.bench.have(&self.owner, &[all]);
        missing.first().map_or_else(Vec::new, |pack| pack.used.iter_ones().collect())
    }

    fn scrub(&self) {
        let repository = self.bench.repository(&self.owner);
        self.bench.vault().scrub(&repository, &NoCopies, &FullSpeed).unwrap();
    }
}

fn frame_of(pack: &TestPack, frame: usize) -> &[u8] {
    let range = pack.table.frame_range(frame);
    &pack.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

#[test]
fn a_whole_pack_that_finds_some_frames_of_it_there_does_not_pass_for_whole() {
    let mut bed = Bed::new();
    assert_eq!(bed.pack().table.frames.len(), 3);
    let whole = bed.whole();
    bed.some(&[1]).finish().unwrap();
    assert_eq!(whole.finish().unwrap(), PutOutcome::AlreadyThere);
    assert_eq!(bed.missing(), [0, 2]);
    assert_eq!(bed.whole().finish().unwrap(), PutOutcome::Created);
    assert_eq!(bed.missing(), [0; 0]);
    bed.bench.reindex();
    assert_eq!(bed.missing(), [0; 0]);
    assert!(bed.bench.is_whole_in(&bed.owner, bed.pack(), &[0, 1, 2]));
}

#[test]
fn some_frames_of_a_pack_that_came_whole_meanwhile_take_nothing_from_it() {
    let mut bed = Bed::new();
    let some = bed.some(&[1]);
    assert_eq!(bed.whole().finish().unwrap(), PutOutcome::Created);
    let late = some.finish();
    assert!(matches!(late, Err(VaultError::Store(StoreError::Changed { .. }))), "{late:?}");
    assert_eq!(bed.missing(), [0; 0]);
    bed.bench.restart();
    assert_eq!(bed.missing(), [0; 0]);
}

#[test]
fn frames_that_come_again_leave_the_damage_of_others_known() {
    let bed = Bed::new();
    bed.whole().finish().unwrap();
    let file = bed.bench.lying(&bed.owner, Kind::Pack, bed.pack().id.as_bytes());
    let mut damaged = file.read();
    for frame in [0, 2] {
        let at = usize::try_from(bed.pack().table.frame_range(frame).start).unwrap();
        damaged[at] ^= 1;
    }
    file.write(damaged);
    bed.scrub();
    assert_eq!(bed.missing(), [0, 2]);
    bed.some(&[0]).finish().unwrap();
    assert_eq!(bed.missing(), [2]);
    bed.some(&[2]).finish().unwrap();
    assert_eq!(bed.missing(), [0; 0]);
    assert_eq!(file.read(), bed.pack().bytes);
}

#[test]
fn a_file_that_was_cut_short_and_got_its_end_back_lacks_its_middle() {
    let bed = Bed::new();
    bed.whole().finish().unwrap();
    let file = bed.bench.lying(&bed.owner, Kind::Pack, bed.pack().id.as_bytes());
    let end_of_first = usize::try_from(bed.pack().table.frame_range(0).end).unwrap();
    file.write(bed.pack().bytes[..end_of_first].to_vec());
    bed.some(&[2]).finish().unwrap();
    assert_eq!(bed.missing(), [1]);
    bed.some(&[1]).finish().unwrap();
    assert_eq!(bed.missing(), [0; 0]);
    assert_eq!(file.read(), bed.pack().bytes);
}

#[test]
fn a_pack_that_only_the_scrub_finds_is_taken_up_with_its_holes() {
    let bed = Bed::new();
    bed.some(&[1]).finish().unwrap();
    let index = rusqlite::Connection::open(bed.bench.dir.path().join("index.sqlite")).unwrap();
    let id: PackId = bed.pack().id;
    for table in ["packs", "pack_states"] {
        let statement = format!("DELETE FROM {table} WHERE pack = ?1");
        assert_eq!(index.execute(&statement, [id.as_bytes()]).unwrap(), 1);
    }
    bed.scrub();
    assert_eq!(bed.missing(), [0, 2]);
}
