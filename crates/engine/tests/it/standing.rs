//! Standing approval: a verifier opens what comes next of one dataset, whole, and nothing of the server's other datasets.

use std::collections::BTreeSet;
use std::sync::Arc;

use lumbung_engine::depot::Injection;
use lumbung_engine::{
    BackupOutcome, Depot, DepotError, FaultyDepot, MemoryDepot, RestoreOptions, SnapshotError,
    SnapshotReader, open_for_consent,
};
use lumbung_model::{Clock as _, ConsentId, DatasetId, ManifestId, SystemClock};
use lumbung_pack::{
    Grant, Kind, Revocation, SessionOpening, Signed, SigningKey, StandingApproval, object_id,
    open_signed, sign,
};
use lumbung_seal::{Openings, RequesterIdentity, open_grants, open_opening, seal_grants};

use crate::world::{World, noise};

const DAY_S: i64 = 86_400;

fn put<T: lumbung_pack::Object>(depot: &dyn Depot, object: &T, key: &SigningKey) {
    let bytes = sign(object, key);
    depot.put(T::KIND, &object_id(&bytes), &bytes).unwrap();
}

fn all<T: lumbung_pack::Object>(depot: &dyn Depot) -> Vec<Signed<T>> {
    let ids = depot.list(T::KIND).unwrap().into_iter();
    ids.map(|id| open_signed(&depot.get(T::KIND, &id).unwrap()).unwrap()).collect()
}

/// A server's dataset, and somebody who tests its snapshots.
struct Scene {
    world: World,
    verifier: RequesterIdentity,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        world.options.attempts = 1;
        Self { world, verifier: RequesterIdentity::generate("penguji DRC") }
    }

    fn depot(&self) -> &MemoryDepot {
        &self.world.depot
    }

    fn approval(&self, base: &[ManifestId]) -> StandingApproval {
        let now = SystemClock.now();
        StandingApproval {
            repository: self.world.repository,
            consent: ConsentId::random(),
            grantee: self.verifier.grantee(),
            dataset: self.world.dataset,
            name: "penguji DRC".into(),
            letter: "445/871".into(),
            purpose: "uji pulih".into(),
            issued: now,
            from: now.plus_seconds(-DAY_S),
            until: now.plus_seconds(DAY_S),
            base: base.to_vec(),
        }
    }

    /// As the custodian does: the base's grants, then the approval.
    fn approve(&self, base: &[ManifestId]) -> StandingApproval {
        let approval = self.approval(base);
        if !base.is_empty() {
            let chain = lumbung_pack::RosterChain::begin(&self.world.roster, None).unwrap();
            let opened =
                open_for_consent(self.depot(), &chain, base, &self.world.recovery).unwrap();
            let grant = Grant {
                repository: approval.repository,
                consent: approval.consent,
                part: 1,
                parts: 1,
                grantee: approval.grantee,
                name: String::new(),
                letter: "445/871".into(),
                purpose: String::new(),
                issued: approval.issued,
                from: approval.from,
                until: approval.until,
                snapshots: base.to_vec(),
                encapsulated: [0; 32],
                sealed: Vec::new(),
            };
            for grant in seal_grants(&grant, &opened.openings).unwrap() {
                put(self.depot(), &grant, &self.world.root);
            }
        }
        put(self.depot(), &approval, &self.world.root);
        approval
    }

    /// What the verifier holds: its grants, and the sessions that were opened to it.
    fn openings(&self) -> Arc<Openings> {
        let grants = all::<Grant>(self.depot());
        let mut openings =
            open_grants(grants.iter().map(|grant| &grant.body), self.verifier.recipient()).unwrap();
        for opening in all::<SessionOpening>(self.depot()) {
            let key = open_opening(&opening.body, self.verifier.recipient()).unwrap();
            openings.add_session(opening.body.session, key);
        }
        Arc::new(openings)
    }

    fn open(&self, snapshot: &ManifestId) -> Result<SnapshotReader, SnapshotError> {
        let repository = Some(self.world.repository);
        SnapshotReader::open(self.world.depot.clone(), repository, snapshot, &self.openings())
    }

    /// The verifier restores it whole, with its own key only.
    fn restores(&self, done: &BackupOutcome) {
        let reader = self.open(&done.manifest).unwrap();
        let target = tempfile::tempdir().unwrap();
        let restored = self.world.restore_with(&reader, target.path(), RestoreOptions::default());
        assert_eq!(restored.failures, []);
        assert_eq!(self.world.compare(&reader, target.path()).differences, []);
    }

    /// Another dataset of the same server, with the same state and domain.
    fn backup_other(&mut self, dataset: DatasetId) -> BackupOutcome {
        let own = std::mem::replace(&mut self.world.dataset, dataset);
        let done = self.world.backup();
        self.world.dataset = own;
        done
    }

    fn openings_there(&self) -> usize {
        self.depot().list(Kind::Opening).unwrap().len()
    }
}

#[test]
fn the_next_days_snapshots_open_with_the_verifiers_key_alone() {
    let scene = Scene::new();
    scene.world.write("a", noise(1, 60_000));
    scene.world.write("b", noise(2, 60_000));
    let first = scene.world.backup();
    assert!(scene.open(&first.manifest).is_err(), "before it was approved");
    let approval = scene.approve(&[first.manifest]);
    scene.restores(&first);
    scene.world.trust_cache();
    scene.world.write("a", noise(3, 60_000));
    let next = scene.world.backup();
    assert!(next.sent_bytes < 90_000, "the base is not stored anew: {}", next.sent_bytes);
    scene.restores(&next);
    // What that run stored is reused by the next one, and so is the base.
    scene.world.trust_cache();
    scene.world.write("c", noise(4, 1000));
    let last = scene.world.backup();
    assert!(last.sent_bytes < 30_000, "{}", last.sent_bytes);
    scene.restores(&last);
    for opening in all::<SessionOpening>(scene.depot()) {
        assert_eq!(opening.signer, scene.world.identity.key.public());
        assert_eq!(opening.body.consent, approval.consent);
    }
    assert_eq!(scene.openings_there(), 2, "one a run");
}

#[test]
fn without_a_snapshot_yet_the_first_run_is_opened_whole() {
    let scene = Scene::new();
    scene.approve(&[]);
    scene.world.write("a", noise(1, 60_000));
    scene.restores(&scene.world.backup());
}

#[test]
fn what_another_dataset_stored_stays_closed_and_is_stored_anew() {
    let mut scene = Scene::new();
    let other = DatasetId::random();
    scene.world.write("shared", noise(1, 100_000));
    // The other dataset has it first: its session, its packs.
    let theirs = scene.backup_other(other);
    scene.approve(&[]);
    let ours = scene.world.backup();
    assert!(ours.sent_bytes >= 100_000, "it is stored anew: {}", ours.sent_bytes);
    scene.restores(&ours);
    let closed = scene.open(&theirs.manifest);
    assert!(matches!(closed, Err(SnapshotError::Open { .. })), "the other dataset is closed");
    // Its next run is nobody's but the recipients'; it may use what this dataset stored.
    scene.world.write("more", noise(2, 30_000));
    let theirs = scene.backup_other(other);
    assert!(scene.open(&theirs.manifest).is_err());
    assert_eq!(scene.openings_there(), 1);
    // And what it stored since stays closed, though this dataset has it too.
    let ours = scene.world.backup();
    assert!(ours.sent_bytes >= 30_000, "{}", ours.sent_bytes);
    scene.restores(&ours);
    let sessions = scene.open(&ours.manifest).unwrap().manifest().body.sessions.clone();
    let opened: BTreeSet<_> =
        all::<SessionOpening>(scene.depot()).iter().map(|one| one.body.session).collect();
    assert!(sessions.iter().all(|session| opened.contains(session)), "no session of the other");
}

#[test]
fn nobody_is_sealed_to_after_the_end_after_a_revocation_or_by_a_strangers_word() {
    let scene = Scene::new();
    scene.world.write("a", noise(1, 20_000));
    let now = SystemClock.now();
    let over = StandingApproval {
        issued: now.plus_seconds(-9 * DAY_S),
        from: now.plus_seconds(-9 * DAY_S),
        until: now.plus_seconds(-1),
        ..scene.approval(&[])
    };
    put(scene.depot(), &over, &scene.world.root);
    let later = StandingApproval { from: now.plus_seconds(3600), ..scene.approval(&[]) };
    put(scene.depot(), &later, &scene.world.root);
    let elsewhere = StandingApproval { dataset: DatasetId::random(), ..scene.approval(&[]) };
    put(scene.depot(), &elsewhere, &scene.world.root);
    for forger in [&scene.world.identity.key, &SigningKey::generate()] {
        put(scene.depot(), &scene.approval(&[]), forger);
    }
    scene.world.backup();
    assert_eq!(scene.openings_there(), 0);

    let approval = scene.approve(&[]);
    scene.world.write("a", noise(2, 20_000));
    scene.world.backup();
    assert_eq!(scene.openings_there(), 1);
    let revocation = Revocation {
        repository: scene.world.repository,
        consent: approval.consent,
        revoked: now,
        reason: "selesai".into(),
    };
    put(scene.depot(), &revocation, &scene.world.identity.key);
    scene.world.write("a", noise(3, 20_000));
    scene.world.backup();
    assert_eq!(scene.openings_there(), 2, "an agent's key revokes nothing");
    // Another site has the revocation, the one that is written to withholds it.
    let drc = scene.world.another_depot("two");
    put(drc.as_ref(), &revocation, &scene.world.root);
    scene.world.write("a", noise(4, 20_000));
    let both: [Arc<dyn Depot>; 2] = [scene.world.depot.clone(), drc];
    let closed = scene.world.backup_to(&both).unwrap();
    assert_eq!(scene.openings_there(), 2);
    assert!(scene.open(&closed.manifest).is_err());
    // It is remembered.
    scene.world.write("a", noise(5, 20_000));
    scene.world.backup();
    assert_eq!(scene.openings_there(), 2);
}

/// The run dies at any call; what it sent is adopted by the next one, and the verifier opens that too.
#[test]
fn a_run_that_died_leaves_nothing_that_the_verifier_lacks() {
    let calls = {
        let scene = Scene::new();
        scene.approve(&[]);
        scene.world.write("a", noise(1, 150_000));
        let depot = Arc::new(FaultyDepot::new(scene.world.depot.clone(), Injection::Never, true));
        scene.world.backup_to(&[depot.clone()]).unwrap();
        depot.calls()
    };
    let mut adopted = 0;
    for n in 1..=calls {
        let mut scene = Scene::new();
        scene.world.options.uploaders = 1;
        scene.approve(&[]);
        scene.world.write("a", noise(1, 150_000));
        let dying = Arc::new(FaultyDepot::new(scene.world.depot.clone(), Injection::From(n), true));
        assert!(scene.world.backup_to(&[dying.clone()]).is_err(), "call {n}");
        let done = scene.world.backup();
        scene.restores(&done);
        adopted += u64::from(dying.packs() > 0 && done.sent_bytes < 150_000);
    }
    assert!(adopted > 0, "no run was adopted");
}

#[test]
fn an_agent_that_lost_its_state_finds_what_it_opened() {
    let scene = Scene::new();
    scene.approve(&[]);
    scene.world.write("a", noise(1, 100_000));
    scene.world.backup();
    std::fs::remove_dir_all(scene.world.state()).unwrap();
    let state = scene.world.state();
    lumbung_engine::import_rosters(&state, scene.world.repository, &[scene.world.roster.clone()])
        .unwrap();
    let done = scene.world.backup();
    assert!(done.sent_bytes < 50_000, "what is opened is reused: {}", done.sent_bytes);
    scene.restores(&done);
}

/// Takes no openings: as a site that refuses, or as one of an older version, which has no folder for them.
struct Older(Arc<MemoryDepot>, bool);

impl Depot for Older {
    fn describe(&self) -> String {
        "older".into()
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        self.0.list(kind)
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        self.0.get(kind, id)
    }

    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        if kind == Kind::Opening {
            let depot = self.describe();
            let reason = "the approval does not hold".to_owned();
            return Err(match self.1 {
                true => DepotError::NotFound { kind, id: *id, depot },
                false => DepotError::Refused { depot, reason },
            });
        }
        self.0.put(kind, id, bytes)
    }

    fn put_pack(
        &self,
        id: &lumbung_model::PackId,
        head: &bytes::Bytes,
        pieces: &[bytes::Bytes],
    ) -> Result<(), DepotError> {
        self.0.put_pack(id, head, pieces)
    }

    fn read_pack(
        &self,
        id: &lumbung_model::PackId,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, DepotError> {
        self.0.read_pack(id, range)
    }

    fn have(
        &self,
        packs: &[lumbung_pack::PackUse],
    ) -> Result<Vec<lumbung_pack::PackUse>, DepotError> {
        self.0.have(packs)
    }

    fn commit(
        &self,
        id: &ManifestId,
        manifest: &[u8],
    ) -> Result<lumbung_engine::Commit, DepotError> {
        self.0.commit(id, manifest)
    }
}

#[test]
fn a_depot_that_takes_no_opening_gets_its_backup_and_the_run_says_so() {
    for is_older in [true, false] {
        let scene = Scene::new();
        scene.world.write("a", noise(1, 100_000));
        scene.world.backup();
        let approval = scene.approve(&[]);
        let older: Arc<dyn Depot> = Arc::new(Older(scene.world.depot.clone(), is_older));
        let done = scene.world.backup_to(&[older]).unwrap();
        assert!(done.sent_bytes < 50_000, "nothing is stored anew in vain: {}", done.sent_bytes);
        let told = format!("{:?}", done.warnings);
        assert!(told.contains(&approval.consent.to_string()), "{told}");
        // One that does take them mends it.
        let done = scene.world.backup();
        assert!(done.sent_bytes >= 100_000, "{}", done.sent_bytes);
        scene.restores(&done);
    }
}

#[test]
fn every_verifier_opens_all_of_it() {
    let mut scene = Scene::new();
    scene.world.write("a", noise(1, 60_000));
    scene.approve(&[]);
    scene.world.backup();
    // A second one comes later, without a base: what only the first can open is stored anew.
    let first = std::mem::replace(&mut scene.verifier, RequesterIdentity::generate("Inspektorat"));
    scene.approve(&[]);
    scene.world.trust_cache();
    let done = scene.world.backup();
    assert!(done.sent_bytes >= 60_000, "{}", done.sent_bytes);
    for verifier in [first, RequesterIdentity::generate("siapa pun")] {
        let mut openings = Openings::new();
        for opening in all::<SessionOpening>(scene.depot()) {
            if let Ok(key) = open_opening(&opening.body, verifier.recipient()) {
                openings.add_session(opening.body.session, key);
            }
        }
        let approved = all::<StandingApproval>(scene.depot())
            .iter()
            .any(|one| one.body.grantee == verifier.grantee());
        let openings = Arc::new(openings);
        let repository = Some(scene.world.repository);
        let depot = scene.world.depot.clone();
        let opened = SnapshotReader::open(depot, repository, &done.manifest, &openings);
        assert_eq!(opened.is_ok(), approved);
    }
}
