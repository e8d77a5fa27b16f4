//! Packs that come in by two ways at once, and by pieces where something is damaged.

use std::sync::Barrier;

use lumbung_model::{PackId, RepositoryId};
use lumbung_pack::{Bitmap, Kind, PackTable, PackUse};
use lumbung_store::{PutOutcome, StoreError};
use lumbung_vault::scrub::{FullSpeed, GoodCopies, NoCopies};
use lumbung_vault::{FramesIntake, PackIntake, Sender, VaultError};

use crate::backing::Lying;
use crate::support::{Agent, Bench, Owner, Snapshot, TestPack, pack_of};

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
        self.scrub_from(&NoCopies);
    }

    fn scrub_from(&self, copies: &dyn GoodCopies) {
        let repository = self.bench.repository(&self.owner);
        self.bench.vault().scrub(&repository, copies, &FullSpeed).unwrap();
    }

    fn file(&self) -> Lying {
        self.bench.lying(&self.owner, Kind::Pack, self.pack().id.as_bytes())
    }

    fn is_whole_in(&self, frames: &[u32]) -> bool {
        self.bench.is_whole_in(&self.owner, self.pack(), frames)
    }

    /// Two frames of three, with a flipped bit before them.
    fn two_frames_behind_a_damaged_head(&self) {
        self.some(&[1, 2]).finish().unwrap();
        let mut bytes = self.file().read();
        bytes[60] ^= 1;
        self.file().write(bytes);
    }
}

/// Another site that has a pack's table and these of its frames.
struct Elsewhere<'a>(&'a TestPack, &'a [usize]);

impl GoodCopies for Elsewhere<'_> {
    fn object(&self, _: &RepositoryId, _: Kind, _: &[u8; 32]) -> Option<Vec<u8>> {
        None
    }

    fn head(&self, _: &RepositoryId, pack: &PackId) -> Option<PackTable> {
        (*pack == self.0.id).then(|| self.0.table.clone())
    }

    fn frame(
        &self,
        _: &RepositoryId,
        pack: &PackId,
        _: &PackTable,
        frame: usize,
    ) -> Option<Vec<u8>> {
        let has = *pack == self.0.id && self.1.contains(&frame);
        has.then(|| frame_of(self.0, frame).to_vec())
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
    let cut = bed.pack().bytes[..end_of_first].to_vec();
    file.write(cut.clone());
    drop(bed.some(&[2]));
    assert_eq!(file.read(), cut, "frames that break off on their way leave nothing");
    assert_eq!(bed.missing(), [0, 1, 2]);
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

#[test]
fn frames_that_come_behind_a_damaged_head_leave_those_that_are_there() {
    let bed = Bed::new();
    bed.two_frames_behind_a_damaged_head();
    bed.some(&[0]).finish().unwrap();
    assert_eq!(bed.missing(), [0; 0]);
    assert!(bed.is_whole_in(&[0, 1, 2]));
    assert_eq!(bed.file().read(), bed.pack().bytes);
}

#[test]
fn a_head_that_the_scrub_mends_leaves_the_frames_behind_it() {
    for others in [&[][..], &[2]] {
        let bed = Bed::new();
        bed.two_frames_behind_a_damaged_head();
        bed.scrub_from(&Elsewhere(bed.pack(), others));
        assert!(bed.is_whole_in(&[1, 2]));
        assert_eq!(bed.missing(), [0], "it was never here");
    }
}

#[test]
fn a_lost_pack_of_which_some_comes_is_not_taken_for_what_the_sweep_left() {
    let bed = Bed::new();
    bed.bench.publish(&bed.owner, &bed.agent, &bed.snapshot);
    bed.file().remove();
    bed.some(&[1]).finish().unwrap();
    assert_eq!(bed.missing(), [0, 2]);
    let next = Snapshot::new(&bed.owner, &bed.agent, Some(&bed.snapshot));
    for (kind, id, bytes) in next.objects() {
        if id != *bed.pack().id.as_bytes() {
            bed.bench.put(&bed.owner, &bed.agent, kind, id, &bytes);
        }
    }
    let refused = bed.bench.commit(&bed.owner, &bed.agent, &next);
    assert!(refused.is_err(), "a segment that was verified before is looked into again");
    let alarms = bed.bench.vault().alarms(10).unwrap();
    assert!(alarms.iter().any(|alarm| alarm.detail.contains("2 frames of pack")), "{alarms:?}");
    bed.scrub_from(&Elsewhere(bed.pack(), &[0, 2]));
    assert_eq!(bed.missing(), [0; 0]);
    assert_eq!(bed.file().read(), bed.pack().bytes);
    bed.bench.commit(&bed.owner, &bed.agent, &next).unwrap();
}

#[test]
fn frames_that_a_whole_pack_overtakes_say_nothing_bad_of_it() {
    let bed = Bed::new();
    bed.whole().finish().unwrap();
    bed.file().remove();
    let late = bed.some(&[1]);
    bed.whole().finish().unwrap();
    assert!(matches!(late.finish(), Err(VaultError::Store(StoreError::Changed { .. }))));
    assert_eq!(bed.missing(), [0; 0]);
    assert_eq!(bed.bench.vault().alarms(10).unwrap().len(), 0);
}

/// Many times over, since what two threads do first is theirs to choose.
#[test]
fn whole_packs_and_some_of_their_frames_that_come_at_once_leave_an_index_that_is_right() {
    let mut bed = Bed::new();
    for round in 0..60 {
        let session = bed.snapshot.session_id;
        let (repository, domain) = (bed.owner.repository, bed.agent.domain);
        bed.snapshot.packs[0] = pack_of(repository, domain, session, &[4000, 100, 7000]);
        let begin = Barrier::new(2);
        let (whole, some) = (bed.whole(), bed.some(&[1]));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                whole.finish().unwrap();
            });
            begin.wait();
            // The whole pack may be there by now.
            let _ = some.finish();
        });
        let missing = bed.missing();
        let here: Vec<u32> = (0..3).filter(|frame| !missing.contains(frame)).collect();
        assert!(here.contains(&1) && bed.is_whole_in(&here), "round {round}: {missing:?}");
        let all_read = bed.is_whole_in(&[0, 1, 2]);
        assert_eq!(all_read, missing.is_empty(), "round {round}: {missing:?}");
    }
}
