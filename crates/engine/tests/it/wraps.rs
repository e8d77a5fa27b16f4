//! Sessions opened by wraps, among false and damaged ones.

use std::sync::Arc;

use lumbung_engine::{
    Depot, MemoryDepot, RestoreOptions, SnapshotError, SnapshotReader, read_session,
};
use lumbung_model::{ManifestId, PublicKey, RosterId, SessionId, Timestamp};
use lumbung_pack::{
    Kind, RootKey, RootRole, Roster, Session, SigningKey, Wrap, WrappedSession, object_id,
    open_signed, sign,
};
use lumbung_seal::{
    DomainSecret, OpenedSession, RecoveryKey, SessionKey, open_session, wrap_session,
};

use crate::world::{World, noise, put_roster};

/// A snapshot, and somebody who is no recipient of its sessions.
struct Scene {
    world: World,
    snapshot: ManifestId,
    sessions: Vec<(SessionId, Session)>,
    later: RecoveryKey,
    /// Was a root key, and is no more.
    former: SigningKey,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        world.write("a.txt", noise(1, 40_000));
        world.backup();
        world.write("b.txt", noise(2, 40_000));
        // Of two sessions: the first one's root, the second one's packs.
        let snapshot = world.backup().manifest;
        let sessions = world.depot.list(Kind::Session).unwrap().into_iter().map(|id| {
            let id = SessionId::from_bytes(id);
            let session = read_session(world.depot.as_ref(), &id).unwrap();
            (id, session)
        });
        let sessions: Vec<_> = sessions.collect();
        assert_eq!(sessions.len(), 2);
        let next = SigningKey::generate();
        let body = open_signed::<Roster>(&world.roster).unwrap().body;
        let roster = Roster {
            repository: world.repository,
            number: 2,
            previous: RosterId::from_bytes(object_id(&world.roster)),
            root_keys: vec![RootKey {
                key: next.public(),
                role: RootRole::Working,
                label: "baru".into(),
            }],
            ..body
        };
        put_roster(world.depot.as_ref(), &sign(&roster, &world.root));
        let former = std::mem::replace(&mut world.root, next);
        Self { world, snapshot, sessions, later: RecoveryKey::generate(), former }
    }

    /// A wrap of every session, of what `secrets` makes of it.
    fn wrap(
        &self,
        made: i64,
        signer: &SigningKey,
        secrets: fn(OpenedSession) -> OpenedSession,
    ) -> Vec<u8> {
        let recipient: PublicKey = self.later.public();
        let sealed = |(id, session): &(SessionId, Session)| {
            let opened = secrets(open_session(session, &self.world.recovery).unwrap());
            wrap_session(&self.world.repository, id, &opened, &recipient).unwrap()
        };
        let mut sessions: Vec<WrappedSession> = self.sessions.iter().map(sealed).collect();
        sessions.sort_by_key(|one| one.session);
        let repository = self.world.repository;
        sign(&Wrap { repository, made: Timestamp(made), recipient, sessions }, signer)
    }

    fn open(&self, fallback: Option<Arc<dyn Depot>>) -> Result<SnapshotReader, SnapshotError> {
        let depot = self.world.depot.clone();
        let repository = Some(self.world.repository);
        SnapshotReader::open_with_fallback(depot, fallback, repository, &self.snapshot, &self.later)
    }

    fn restores(&self, fallback: Option<Arc<dyn Depot>>) {
        let reader = self.open(fallback).unwrap();
        let target = tempfile::tempdir().unwrap();
        let done = self.world.restore_with(&reader, target.path(), RestoreOptions::default());
        assert_eq!(done.failures, []);
        assert_eq!(self.world.compare(&reader, target.path()).differences, []);
    }
}

fn put(depot: &MemoryDepot, wrap: &[u8]) -> [u8; 32] {
    depot.put(Kind::Wrap, &object_id(wrap), wrap).unwrap();
    object_id(wrap)
}

fn same(opened: OpenedSession) -> OpenedSession {
    opened
}

fn other_key(opened: OpenedSession) -> OpenedSession {
    OpenedSession { key: SessionKey::random(), domain: opened.domain }
}

fn other_domain(opened: OpenedSession) -> OpenedSession {
    OpenedSession { key: opened.key, domain: DomainSecret::random() }
}

/// Whoever has, or had, a root key makes wraps that open to something else. They stand before the genuine one.
#[test]
fn a_false_wrap_keeps_nobody_from_the_genuine_one() {
    let scene = Scene::new();
    let depot = &scene.world.depot;
    put(depot, &scene.wrap(30, &scene.world.root, other_key));
    put(depot, &scene.wrap(20, &scene.world.root, other_domain));
    put(depot, &scene.wrap(40, &scene.former, other_key));
    assert!(scene.open(None).is_err());
    put(depot, &scene.wrap(10, &scene.world.root, same));
    scene.restores(None);
}

#[test]
fn a_damaged_wrap_closes_nothing_that_another_opens() {
    let scene = Scene::new();
    let depot = &scene.world.depot;
    let id = put(depot, &scene.wrap(20, &scene.world.root, same));
    depot.damage(Kind::Wrap, &id, |bytes| bytes[100] ^= 1);
    let told = scene.open(None).err().unwrap();
    assert!(matches!(told, SnapshotError::WrapUnreadable { .. }), "{told}");
    // The other site has it whole.
    let other = scene.world.another_depot("two");
    put(&other, &scene.wrap(20, &scene.world.root, same));
    scene.restores(Some(other));
    put(depot, &scene.wrap(10, &scene.former, same));
    scene.restores(None);
}
