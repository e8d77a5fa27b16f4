//! Passes of the scrub: on several threads, stopped and gone on with, and while the repository changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lumbung_model::{PackId, RepositoryId};
use lumbung_pack::{Kind, PackTable};
use lumbung_vault::VaultError;
use lumbung_vault::scrub::{Found, FullSpeed, GoodCopies, NoCopies, Pace, ScrubOptions, Scrubbed};

use crate::backing::Lying;
use crate::support::{Agent, City, Owner, Site, Snapshot, TestPack, pack_of, publish};

/// One vault with a chain of snapshots.
struct World {
    city: City,
    site: Site,
    agent: Agent,
    owner: Owner,
    snapshots: Vec<Snapshot>,
}

impl World {
    async fn new(snapshots: usize) -> Self {
        let city = City::new();
        let site = Site::start(&city, "").await;
        let agent = Agent::new();
        let owner = Owner::new(&[&agent], &[&site]);
        let client = site.client(Some(&city.agent_identity(&owner, &agent)));
        let mut chain: Vec<Snapshot> = Vec::new();
        for _ in 0..snapshots {
            let next = Snapshot::new(&owner, &agent, chain.last());
            publish(&client, &owner, &next).await;
            chain.push(next);
        }
        Self { city, site, agent, owner, snapshots: chain }
    }

    fn last(&self) -> &Snapshot {
        self.snapshots.last().unwrap()
    }

    fn object(&self, kind: Kind, id: &[u8; 32]) -> Lying {
        self.site.lying(&self.owner, kind, id)
    }

    /// Flips the last byte of a pack, and so of its last frame.
    fn spoil(&self, pack: &PackId) {
        let object = self.object(Kind::Pack, pack.as_bytes());
        let mut bytes = object.read();
        *bytes.last_mut().unwrap() ^= 1;
        object.write(bytes);
    }

    fn options(&self, workers: usize, resume: bool) -> ScrubOptions {
        ScrubOptions { workers, resume, ..self.site.vault.scrub_options() }
    }

    fn scrub(&self, copies: &dyn GoodCopies, pace: &dyn Pace, options: ScrubOptions) -> Scrubbed {
        let repository = self.site.repository(&self.owner);
        self.site.vault.scrub_with(&repository, copies, pace, options).unwrap()
    }

    /// A pack that no snapshot uses.
    async fn put_unused(&self) -> TestPack {
        let client = self.site.client(Some(&self.city.agent_identity(&self.owner, &self.agent)));
        let (repository, session) = (self.owner.repository, self.last().session_id);
        let pack = pack_of(repository, self.agent.domain, session, &[9000, 8000, 30_000]);
        let bytes = vec![pack.bytes.clone().into()];
        client.put_pack(&repository, &pack.id, bytes).await.unwrap();
        pack
    }

    /// Takes a frame away, and has the index know of it.
    async fn drop_frame(&mut self, pack: &TestPack, frame: u32) {
        self.take_frame_away(pack, frame);
        self.restart().await;
    }

    async fn restart(&mut self) {
        let (dir, data) =
            std::mem::replace(&mut self.site, Site::start(&self.city, "").await).stop().await;
        self.site = Site::launch(&self.city, dir, data, "").await;
    }

    /// As if the sweep had, but the index does not know of it.
    fn take_frame_away(&self, pack: &TestPack, frame: u32) {
        let mut dropped = pack.table.no_frames();
        dropped.set(frame);
        let repository = self.site.repository(&self.owner);
        repository.store().drop_frames(&pack.id, &pack.table, &dropped).unwrap();
    }

    fn look(&self, workers: usize) -> Found {
        let repository = self.site.repository(&self.owner);
        let options = self.options(workers, false);
        self.site.vault.scrub_dry_run(&repository, &FullSpeed, options).unwrap()
    }
}

/// What does not depend on when a pass ran.
fn timeless(mut found: Found) -> Found {
    (found.report.started, found.report.finished) = Default::default();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_threads_read_they_find_the_same_damage_and_change_nothing() {
    let world = World::new(4).await;
    // So that the daemon's own pass is not due before this test ends.
    world.scrub(&NoCopies, &FullSpeed, world.options(1, false));
    let whole = world.look(1);
    assert_eq!((whole.report.verified.len(), whole.report.bad), (4, 0));
    let mut objects: BTreeMap<Kind, BTreeSet<[u8; 32]>> = BTreeMap::new();
    for snapshot in &world.snapshots {
        for (kind, id, _) in snapshot.objects() {
            objects.entry(kind).or_default().insert(id);
        }
        objects.entry(Kind::Manifest).or_default().insert(*snapshot.id.as_bytes());
    }
    let receipts = world.site.repository(&world.owner).store().list(Kind::Receipt).unwrap();
    objects.insert(Kind::Receipt, receipts.into_iter().collect());
    type How = fn(Vec<u8>, &[u8]) -> Option<Vec<u8>>;
    let hows: [(&str, How); 5] = [
        ("delete", |_, _| None),
        ("truncate", |bytes, _| Some(bytes[..bytes.len() - 1].to_vec())),
        ("flip in front", |mut bytes, _| {
            bytes[60] ^= 1;
            Some(bytes)
        }),
        ("flip at the end", |mut bytes, _| {
            *bytes.last_mut().unwrap() ^= 1;
            Some(bytes)
        }),
        ("swap", |_, other| Some(other.to_vec())),
    ];
    for (kind, ids) in objects {
        let ids: Vec<_> = ids.into_iter().collect();
        let lying: Vec<Lying> = ids.iter().map(|id| world.object(kind, id)).collect();
        let good: Vec<Vec<u8>> = lying.iter().map(Lying::read).collect();
        for (name, how) in hows {
            // Every other object of the kind.
            for n in (0..lying.len()).step_by(2) {
                lying[n].set(how(good[n].clone(), &good[(n + 1) % good.len()]));
            }
            let before = world.site.fingerprint();
            let (one, many) = (timeless(world.look(1)), timeless(world.look(4)));
            let what = format!("{name} of {kind}");
            assert_eq!(one, many, "{what}");
            let harmless = name == "swap" && ids.len() == 1;
            let found = one.report.bad > 0 || one.objects_bad > 0 || !one.report.damaged.is_empty();
            // A pack whose length alone is wrong has lost its last frame.
            assert_eq!(found, !harmless, "{what}: {one:?}");
            assert_eq!(world.site.fingerprint(), before, "{what}: nothing was changed");
            for (object, bytes) in lying.iter().zip(&good) {
                object.write(bytes.clone());
            }
        }
    }
    assert_eq!(timeless(world.look(4)), timeless(whole));
}

/// Counts frames, and stops after so many calls.
struct StopsAfter {
    calls: AtomicU64,
    limit: u64,
}

impl StopsAfter {
    const fn new(limit: u64) -> Self {
        Self { calls: AtomicU64::new(0), limit }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Pace for StopsAfter {
    fn after(&self, _: u64) -> bool {
        self.calls.fetch_add(1, Ordering::SeqCst) + 1 < self.limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_stopped_goes_on_where_it_was() {
    let mut world = World::new(4).await;
    let packs: u64 = world.last().packs.len().try_into().unwrap();
    let frames: u64 = world.last().packs.iter().map(|pack| pack.table.frames.len() as u64).sum();
    let everything = StopsAfter::new(u64::MAX);
    let whole = world.scrub(&NoCopies, &everything, world.options(1, false)).report;
    assert_eq!((whole.frames, whole.verified.len()), (frames, 4));
    let small = everything.calls() - frames;
    // Two threads may each leave two frames of a pack of three behind: with five frames, one pack is done.
    let at_once = 6;
    let mut started = None;
    let (mut read, mut stops) = (0, 0);
    // Stopped again and again, each time a few frames further on, over restarts of the vault.
    loop {
        let repository = world.site.repository(&world.owner);
        // Reading the report of the pass before is one call more.
        let pace = StopsAfter::new(small + 1 + at_once);
        let options = world.options(2, started.is_some());
        let result = world.site.vault.scrub_with(&repository, &NoCopies, &pace, options);
        read += pace.calls().saturating_sub(small + 1);
        match result {
            Err(VaultError::Stopping) => stops += 1,
            Ok(done) => {
                assert_eq!(Some(done.report.started), started);
                assert_eq!((done.report.frames, done.report.number), (frames, 2));
                assert_eq!(done.report.verified, whole.verified);
                break;
            }
            Err(error) => panic!("{error}"),
        }
        let config = lumbung_vault::Config::load(&world.site.data.join("vault.toml")).unwrap();
        let status = lumbung_vault::status::status(&config).unwrap();
        let progress = status.repositories.values().next().unwrap().scrubbing.unwrap();
        assert_eq!(progress.of_packs, packs);
        assert!(progress.packs > 0 && progress.packs <= packs);
        started.get_or_insert(progress.started);
        assert_eq!(Some(progress.started), started);
        drop(repository);
        world.site = world.site.restart(&world.city, "").await;
    }
    // At each stop the packs that two threads were at are read again, and no others.
    assert!(stops > 2 && read >= frames, "{read} in {stops} stops");
    assert!(read <= frames + stops * 6, "{read} for {frames} frames in {stops} stops");
    // The next pass begins anew.
    let next = world.scrub(&NoCopies, &FullSpeed, world.options(2, true)).report;
    assert_eq!((next.frames, next.number), (frames, 3));
}

/// Does something once, when so many calls were made.
struct Meanwhile<F> {
    at: u64,
    calls: AtomicU64,
    what: Mutex<Option<F>>,
}

impl<F: FnOnce() + Send> Meanwhile<F> {
    const fn new(at: u64, what: F) -> Self {
        Self { at, calls: AtomicU64::new(0), what: Mutex::new(Some(what)) }
    }
}

impl<F: FnOnce() + Send> Pace for Meanwhile<F> {
    fn after(&self, _: u64) -> bool {
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            let what = self.what.lock().unwrap().take();
            what.unwrap()();
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_comes_meanwhile_is_verified_if_it_was_read_and_never_damaged() {
    for spoiled in [false, true] {
        let world = World::new(2).await;
        let late = Snapshot::new(&world.owner, &world.agent, Some(world.last()));
        let client =
            world.site.client(Some(&world.city.agent_identity(&world.owner, &world.agent)));
        let runtime = tokio::runtime::Handle::current();
        let scrubbed = std::thread::scope(|scope| {
            let pass = scope.spawn(|| {
                let publishing = Meanwhile::new(1, || {
                    runtime.block_on(publish(&client, &world.owner, &late));
                    if spoiled {
                        world.spoil(&late.packs[0].id);
                    }
                });
                world.scrub(&NoCopies, &publishing, world.options(1, false))
            });
            pass.join().unwrap()
        });
        let mut expected: Vec<_> = world.snapshots.iter().map(|snapshot| snapshot.id).collect();
        expected.extend((!spoiled).then_some(late.id));
        expected.sort_unstable();
        assert_eq!((scrubbed.report.verified, scrubbed.report.damaged), (expected, vec![]));
        assert_eq!(scrubbed.report.bad, u32::from(spoiled));
        // To the next pass it is one like the others.
        let next = world.scrub(&NoCopies, &FullSpeed, world.options(2, false)).report;
        assert_eq!(next.damaged.len(), usize::from(spoiled));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_after_it_was_read_is_found_by_the_next_pass() {
    let world = World::new(2).await;
    let everything = StopsAfter::new(u64::MAX);
    let whole = world.scrub(&NoCopies, &everything, world.options(1, false));
    // One report more is read in the second pass; the frames come last.
    let last = everything.calls() + 1;
    let first = world.last().packs.iter().map(|pack| pack.id).min().unwrap();
    let breaking = Meanwhile::new(last, || world.spoil(&first));
    let pass = world.scrub(&NoCopies, &breaking, world.options(1, false));
    assert_eq!(pass.report.verified, whole.report.verified);
    let next = world.scrub(&NoCopies, &FullSpeed, world.options(1, false));
    assert_eq!(next.report.bad, 1);
    assert!(!next.report.damaged.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_sent_again_meanwhile_is_not_said_to_be_bad() {
    let world = World::new(2).await;
    let pack = world.last().packs.iter().min_by_key(|pack| pack.id).unwrap().clone();
    world.spoil(&pack.id);
    let client = world.site.client(Some(&world.city.agent_identity(&world.owner, &world.agent)));
    let runtime = tokio::runtime::Handle::current();
    let counting = StopsAfter::new(u64::MAX);
    let before = std::thread::scope(|scope| {
        let looking = || world.scrub(&NoCopies, &counting, world.options(1, false));
        scope.spawn(looking).join().unwrap()
    });
    assert_eq!((before.report.bad, before.report.damaged.is_empty()), (1, false));
    // With the last frame of the pass, when the pack was long found to be bad.
    let last = before.report.frames;
    let small = counting.calls() - last - pack.table.frames.len() as u64;
    let scrubbed = std::thread::scope(|scope| {
        let pass = || {
            let sending = Meanwhile::new(small + 1 + last, || {
                let bytes = vec![pack.bytes.clone().into()];
                let sent = client.put_pack(&world.owner.repository, &pack.id, bytes);
                runtime.block_on(sent).unwrap();
            });
            world.scrub(&NoCopies, &sending, world.options(1, false))
        };
        scope.spawn(pass).join().unwrap()
    });
    assert_eq!((scrubbed.report.bad, scrubbed.report.damaged.len()), (0, 0));
    assert_eq!((scrubbed.report.verified.len(), scrubbed.report.frames), (2, last));
    // The index knows as well: a snapshot that uses it is taken.
    let next = Snapshot::new(&world.owner, &world.agent, Some(world.last()));
    publish(&client, &world.owner, &next).await;
}

/// Gives what it has, and remembers what it was asked for.
#[derive(Default)]
struct Copies {
    packs: BTreeMap<PackId, TestPack>,
    /// Gives something else than what was asked for.
    lies: bool,
    heads: Mutex<Vec<PackId>>,
    frames: Mutex<Vec<(PackId, usize)>>,
}

impl Copies {
    fn of(snapshot: &Snapshot) -> Self {
        let packs = snapshot.packs.iter().map(|pack| (pack.id, pack.clone())).collect();
        Self { packs, ..Self::default() }
    }

    fn asked(&self) -> (Vec<PackId>, Vec<(PackId, usize)>) {
        (
            std::mem::take(&mut self.heads.lock().unwrap()),
            std::mem::take(&mut self.frames.lock().unwrap()),
        )
    }
}

impl GoodCopies for Copies {
    fn object(&self, _: &RepositoryId, _: Kind, _: &[u8; 32]) -> Option<Vec<u8>> {
        None
    }

    fn head(&self, _: &RepositoryId, pack: &PackId) -> Option<PackTable> {
        self.heads.lock().unwrap().push(*pack);
        if self.lies {
            return self.packs.values().find(|other| other.id != *pack).map(|p| p.table.clone());
        }
        self.packs.get(pack).map(|pack| pack.table.clone())
    }

    fn frame(
        &self,
        _: &RepositoryId,
        pack: &PackId,
        table: &PackTable,
        frame: usize,
    ) -> Option<Vec<u8>> {
        self.frames.lock().unwrap().push((*pack, frame));
        let range = table.frame_range(frame);
        let place = |n: u64| usize::try_from(n).unwrap();
        let mut bytes = self.packs[pack].bytes[place(range.start)..place(range.end)].to_vec();
        bytes[0] ^= u8::from(self.lies);
        Some(bytes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_bad_is_fetched_and_only_what_matches_is_kept() {
    let world = World::new(1).await;
    let copies = Copies::of(world.last());
    let liar = Copies { lies: true, ..Copies::of(world.last()) };
    let pack = world.last().packs.iter().find(|pack| pack.table.frames.len() == 3).unwrap();
    let object = world.object(Kind::Pack, pack.id.as_bytes());
    let good = object.read();
    // One bad frame; a lost head; both; a lost file.
    let bad_head = |mut bytes: Vec<u8>| {
        bytes[170] ^= 1;
        bytes
    };
    let bad_frame = |mut bytes: Vec<u8>| {
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let cases: [(Option<Vec<u8>>, usize, Vec<usize>); 4] = [
        (Some(bad_frame(good.clone())), 0, vec![2]),
        (Some(bad_head(good.clone())), 1, vec![]),
        (Some(bad_head(bad_frame(good.clone()))), 1, vec![2]),
        (None, 1, vec![0, 1, 2]),
    ];
    for (spoiled, heads, frames) in cases {
        object.set(spoiled.clone());
        let lied = world.scrub(&liar, &FullSpeed, world.options(2, false));
        assert_eq!((lied.report.repaired, lied.report.damaged.len()), (0, 1));
        assert_eq!(object.find(), spoiled, "a bad copy changes nothing");
        liar.asked();
        let told = world.scrub(&copies, &FullSpeed, world.options(2, false));
        let (asked_heads, asked_frames) = copies.asked();
        assert_eq!(asked_heads, vec![pack.id; heads]);
        let expected: Vec<_> = frames.iter().map(|frame| (pack.id, *frame)).collect();
        assert_eq!(asked_frames, expected);
        let repaired = u32::try_from(frames.len()).unwrap();
        assert_eq!((told.report.repaired, told.report.bad), (repaired, 0));
        assert_eq!((told.report.verified.len(), told.report.damaged.len()), (1, 0));
        assert_eq!(object.read(), good);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_the_sweep_dropped_are_no_damage_unless_a_snapshot_needs_them() {
    let mut world = World::new(1).await;
    let copies = Copies::of(world.last());
    let unused = world.put_unused().await;
    world.drop_frame(&unused, 1).await;
    let scrubbed = world.scrub(&copies, &FullSpeed, world.options(2, false)).report;
    assert_eq!((scrubbed.frames, scrubbed.bad, scrubbed.repaired), (6, 0, 0));
    assert_eq!((scrubbed.verified.len(), scrubbed.damaged.len()), (1, 0));
    // Damage beside it is found, and what was dropped stays away when the pack is written anew.
    world.spoil(&unused.id);
    let with_it =
        Copies { packs: BTreeMap::from([(unused.id, unused.clone())]), ..Copies::default() };
    let scrubbed = world.scrub(&with_it, &FullSpeed, world.options(2, false)).report;
    assert_eq!((scrubbed.frames, scrubbed.bad, scrubbed.repaired), (6, 0, 1));
    assert_eq!(with_it.asked(), (vec![], vec![(unused.id, 2)]));
    // The file is lost as well: the frames that should be here come back, and no others.
    world.object(Kind::Pack, unused.id.as_bytes()).remove();
    let scrubbed = world.scrub(&with_it, &FullSpeed, world.options(2, false)).report;
    assert_eq!((scrubbed.bad, scrubbed.repaired), (0, 2));
    assert_eq!(with_it.asked(), (vec![unused.id], vec![(unused.id, 0), (unused.id, 2)]));
    let scrubbed = world.scrub(&NoCopies, &FullSpeed, world.options(2, false)).report;
    assert_eq!((scrubbed.frames, scrubbed.bad), (6, 0));
    // A snapshot that needs what is not here is not whole: what is called dropped there was lost, and is fetched next.
    let needed = world.last().packs[0].clone();
    world.drop_frame(&needed, 0).await;
    let scrubbed = world.scrub(&copies, &FullSpeed, world.options(2, false)).report;
    assert_eq!((scrubbed.bad, scrubbed.verified.len(), scrubbed.damaged.len()), (0, 0, 1));
    assert_eq!(copies.asked(), (vec![], vec![]));
    // A start meanwhile does not take it for a hole again.
    world.restart().await;
    let scrubbed = world.scrub(&copies, &FullSpeed, world.options(2, false)).report;
    assert_eq!((scrubbed.repaired, scrubbed.bad, scrubbed.verified.len()), (1, 0, 1));
    assert_eq!(world.object(Kind::Pack, needed.id.as_bytes()).read(), needed.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_its_map_lacks_and_the_index_counts_on_is_damage() {
    let world = World::new(1).await;
    let pack = world.last().packs[0].clone();
    world.take_frame_away(&pack, 1);
    let found = world.look(1).report;
    assert_eq!((found.bad, found.verified.len(), found.damaged.len()), (1, 0, 1));
    let copies = Copies::of(world.last());
    let scrubbed = world.scrub(&copies, &FullSpeed, world.options(1, false)).report;
    assert_eq!((scrubbed.bad, scrubbed.repaired, scrubbed.verified.len()), (0, 1, 1));
    assert_eq!(copies.asked(), (vec![], vec![(pack.id, 1)]));
    assert_eq!(world.object(Kind::Pack, pack.id.as_bytes()).read(), pack.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_taken_away_meanwhile_is_not_fetched_again() {
    let world = World::new(2).await;
    let highest = |snapshot: &Snapshot| snapshot.packs.iter().map(|pack| pack.id).max().unwrap();
    // One whose pack is the last to be read, so that it goes after it was listed and before it is read.
    let apart = loop {
        let epoch = |manifest: &mut lumbung_pack::Manifest| manifest.epoch = 2;
        let apart = Snapshot::with(&world.owner, &world.agent, None, epoch);
        if highest(&apart) > highest(world.last()) {
            break apart;
        }
    };
    let client = world.site.client(Some(&world.city.agent_identity(&world.owner, &world.agent)));
    publish(&client, &world.owner, &apart).await;
    let counting = StopsAfter::new(u64::MAX);
    let whole = world.scrub(&NoCopies, &counting, world.options(1, false)).report;
    let first_frame = counting.calls() - whole.frames + 2;
    let index = rusqlite::Connection::open(world.site.data.join("index.sqlite")).unwrap();
    let (manifest, pack) = (*apart.id.as_bytes(), *highest(&apart).as_bytes());
    let lying = [world.object(Kind::Manifest, &manifest), world.object(Kind::Pack, &pack)];
    let removing = Meanwhile::new(first_frame, move || {
        lying.iter().for_each(Lying::remove);
        index.execute("DELETE FROM manifests WHERE manifest = ?1", [manifest]).unwrap();
        index.execute("DELETE FROM packs WHERE pack = ?1", [pack]).unwrap();
    });
    let copies = Copies::of(&apart);
    let scrubbed = world.scrub(&copies, &removing, world.options(1, false));
    assert_eq!((scrubbed.report.bad, scrubbed.objects_bad, scrubbed.report.repaired), (0, 0, 0));
    assert_eq!((scrubbed.report.verified.len(), scrubbed.report.damaged.len()), (2, 0));
    assert_eq!(copies.asked(), (vec![], vec![]));
}
