//! Attackers: repositories that want to write elsewhere, frames planted for reuse, rosters of old.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lumbung_engine::{
    BackupError, Cancel, Depot, Include, MemoryDepot, NoProgress, OverwritePolicy, RestoreOptions,
    RestoreRequest, SnapshotReader, StateError, import_rosters, load_rosters, restore,
};
use lumbung_model::{ChunkId, ManifestId, SessionId, Timestamp};
use lumbung_pack::codec::Writer;
use lumbung_pack::{
    Content, Kind, Manifest, PackTable, Recipient, Roster, Session, Signed, SigningKey, Statistics,
    UsageBuilder, object_id, open_signed, sign,
};
use lumbung_seal::catalogue::{IndexEntry, encode_index};
use lumbung_seal::{
    PackSealer, RecoveryKey, RootPlain, Scratch, SessionKey, seal_root, seal_session,
};

use crate::world::{World, noise, put_roster};

/// An entry as it stands in the catalogue, whatever the path says: file with no content, link or directory.
fn raw_entry(path: &[u8], kind: u8, target: &[u8]) -> Vec<u8> {
    let mut body = Writer::new();
    body.varint(0).varint(path.len() as u64).raw(path).u8(kind).u8(0).varint(0o755);
    body.varint(0).varint(0).varint(0).varint(0).svarint(0).varint(0);
    match kind {
        1 => {
            body.varint(0).varint(0);
        }
        3 | 8 => {
            body.varint(target.len() as u64).raw(target);
        }
        _ => {}
    }
    let mut entry = Writer::new();
    entry.varint(body.as_bytes().len() as u64).raw(body.as_bytes());
    entry.into_bytes()
}

/// Publishes a snapshot with this catalogue: the agent itself is hostile.
fn publish(world: &World, groups: &[(Vec<u8>, u64, Vec<u8>)]) -> ManifestId {
    let identity = &world.identity;
    let depot = world.depot.as_ref();
    let key = SessionKey::random();
    let session = Session {
        repository: world.repository,
        agent: identity.agent,
        domain: identity.domain,
        dataset: world.dataset,
        started: Timestamp(0),
        roster_number: 1,
        sealed: Vec::new(),
    };
    let session =
        seal_session(session, &key, &identity.secret, &[world.recovery.public()]).unwrap();
    let object = sign(&session, &identity.key);
    let session = SessionId::from_bytes(object_id(&object));
    depot.put(Kind::Session, session.as_bytes(), &object).unwrap();

    let id_key = identity.secret.id_key();
    let sealer =
        PackSealer::new(world.repository, identity.domain, session, &key, Content::Catalogue);
    let mut scratch = Scratch::new().unwrap();
    let (mut frames, mut stored) = (Vec::new(), Vec::new());
    let mut seal = |plain: &[u8]| -> ChunkId {
        let chunk = id_key.chunk_id(plain);
        let number = u32::try_from(frames.len()).unwrap();
        let (entry, bytes) = sealer.seal(number, &chunk, plain, &mut scratch).unwrap();
        frames.push(entry);
        stored.push(Bytes::copy_from_slice(bytes));
        chunk
    };
    let index: Vec<IndexEntry> = groups
        .iter()
        .map(|(first, entries, bytes)| IndexEntry {
            first_path: first.clone(),
            chunk: seal(bytes),
            length: u32::try_from(bytes.len()).unwrap(),
            entries: *entries,
        })
        .collect();
    let index_bytes = encode_index(&index);
    let root_chunk = (seal(&index_bytes), u32::try_from(index_bytes.len()).unwrap());
    let table = PackTable::new(*sealer.header(), frames).unwrap();
    let head = Bytes::from(table.encode());
    depot.put_pack(&table.id(), &head, &stored).unwrap();

    let mut usage = UsageBuilder::new(world.repository, identity.domain);
    for (frame, entry) in (0..).zip(&table.frames) {
        usage.add(
            table.id(),
            u32::try_from(table.frames.len()).unwrap(),
            frame,
            entry.stored_length,
        );
    }
    let usage = usage.build();
    depot.put(Kind::Usage, usage.usage_id.as_bytes(), &usage.usage).unwrap();
    for (id, bytes) in &usage.segments {
        depot.put(Kind::Segment, id.as_bytes(), bytes).unwrap();
    }
    let mut manifest = Manifest {
        repository: world.repository,
        agent: identity.agent,
        dataset: world.dataset,
        domain: identity.domain,
        partial: false,
        epoch: 1,
        sequence: 1,
        previous: ManifestId::ZERO,
        started: Timestamp(0),
        finished: Timestamp(0),
        roster_number: 1,
        statistics: Statistics::default(),
        usage: usage.usage_id,
        sessions: vec![session],
        root_salt: [0; 32],
        sealed_root: Vec::new(),
    };
    let entries = groups.iter().map(|(_, entries, _)| entries).sum();
    let root = RootPlain {
        sources: vec![b"/".to_vec()],
        entries,
        root_chunks: vec![root_chunk],
        ..RootPlain::default()
    };
    seal_root(&key, &mut manifest, &root).unwrap();
    let object = sign(&manifest, &identity.key);
    let id = ManifestId::from_bytes(object_id(&object));
    depot.commit(&id, &object).unwrap();
    id
}

/// Everything beneath a directory, as text.
fn all(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            found.extend(all(&path));
        }
    }
    found
}

#[test]
fn no_catalogue_makes_a_restore_write_outside_its_target() {
    let outside = tempfile::tempdir().unwrap();
    let away = outside.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let link = away.to_str().unwrap().as_bytes().to_vec();
    let dot_dots = [b"../".repeat(12), link[1..].to_vec(), b"/x".to_vec()].concat();
    let absolute = [&link[..], b"/x"].concat();
    // Each a list of entries: path, type, what a link says.
    type Attack = Vec<(Vec<u8>, u8, Vec<u8>)>;
    let attacks: Vec<Attack> = vec![
        vec![(b"../escaped".to_vec(), 1, vec![])],
        vec![(dot_dots.clone(), 1, vec![])],
        vec![(absolute, 1, vec![])],
        vec![(b"a".to_vec(), 2, vec![]), (b"a/../../escaped".to_vec(), 1, vec![])],
        vec![(b"a//x".to_vec(), 1, vec![])],
        // A link, and then something beneath it.
        vec![(b"a".to_vec(), 3, link.clone()), (b"a/x".to_vec(), 1, vec![])],
        vec![(b"a".to_vec(), 3, link.clone()), (b"a/x".to_vec(), 2, vec![])],
        vec![(b"a".to_vec(), 3, b"..".to_vec()), (b"a/x".to_vec(), 1, vec![])],
        // Hard links to and through what is outside.
        vec![(b"b".to_vec(), 8, dot_dots)],
        vec![(b"a".to_vec(), 3, link.clone()), (b"b".to_vec(), 8, b"a/secret".to_vec())],
    ];
    std::fs::write(away.join("secret"), "not yours").unwrap();
    let before = all(outside.path());
    for attack in attacks {
        // In one chunk of the catalogue, and each entry in a chunk of its own, where the order is only
        // checked across chunks.
        for together in [true, false] {
            let world = World::new();
            let root = raw_entry(b"", 2, b"");
            let entries: Vec<(Vec<u8>, Vec<u8>)> = attack
                .iter()
                .map(|(path, kind, target)| (path.clone(), raw_entry(path, *kind, target)))
                .collect();
            let groups = if together {
                let bytes =
                    entries.iter().fold(root, |bytes, (_, entry)| [bytes, entry.clone()].concat());
                vec![(Vec::new(), 1 + entries.len() as u64, bytes)]
            } else {
                let rest = entries.into_iter().map(|(path, entry)| (path, 1, entry));
                std::iter::once((Vec::new(), 1, root)).chain(rest).collect()
            };
            let snapshot = publish(&world, &groups);
            for use_openat2 in [true, false] {
                for overwrite in [OverwritePolicy::Never, OverwritePolicy::Always] {
                    let target = tempfile::tempdir_in(outside.path()).unwrap();
                    try_restore(
                        &world,
                        &snapshot,
                        target.path(),
                        RestoreOptions { use_openat2, overwrite, ..RestoreOptions::default() },
                    );
                    drop(target);
                    assert_eq!(all(outside.path()), before, "{attack:?}");
                    assert_eq!(std::fs::read(away.join("secret")).unwrap(), b"not yours");
                }
            }
        }
    }
}

fn try_restore(world: &World, snapshot: &ManifestId, target: &Path, options: RestoreOptions) {
    // Refused as a whole, or with failures: both are fine.
    let Ok(reader) = SnapshotReader::open(
        world.depot.clone(),
        Some(world.repository),
        snapshot,
        &world.recovery,
    ) else {
        return;
    };
    let request = RestoreRequest {
        snapshot: &reader,
        fallback: None,
        target,
        include: Include::all(),
        options,
        progress: &NoProgress,
        cancel: &Cancel::default(),
    };
    let outcome = restore(&request);
    assert!(outcome.is_err() || outcome.unwrap().failures_total > 0);
}

#[test]
fn what_merely_lies_in_the_target_gets_no_further_name() {
    let world = World::new();
    let bytes = [
        raw_entry(b"", 2, b""),
        raw_entry(b"a", 2, b""),
        raw_entry(b"y", 8, b"secret"),
        raw_entry(b"z", 8, b"a"),
    ]
    .concat();
    let snapshot = publish(&world, &[(Vec::new(), 4, bytes)]);
    let reader = world.open(&snapshot);
    let target = tempfile::tempdir().unwrap();
    std::fs::write(target.path().join("secret"), "not yours").unwrap();
    let outcome = world.restore_with(&reader, target.path(), RestoreOptions::default());
    assert_eq!(outcome.failures_total, 2, "{outcome:?}");
    assert!(!target.path().join("y").exists() && !target.path().join("z").exists());
}

#[test]
fn a_wholesome_crafted_catalogue_does_restore() {
    // What the attacks above are made with works: they fail for what they are.
    let world = World::new();
    let bytes =
        [raw_entry(b"", 2, b""), raw_entry(b"a", 2, b""), raw_entry(b"a/x", 1, b"")].concat();
    let snapshot = publish(&world, &[(Vec::new(), 3, bytes)]);
    let target = tempfile::tempdir().unwrap();
    let outcome =
        world.restore_with(&world.open(&snapshot), target.path(), RestoreOptions::default());
    assert_eq!((outcome.failures_total, outcome.entries), (0, 2));
    assert!(target.path().join("a/x").exists());
}

#[test]
fn frames_of_a_foreign_key_are_never_reused() {
    let world = World::new();
    world.write("a", noise(1, 200_000));
    // Whoever has the domain's secret, but not the agent's key, publishes frames for the same chunks.
    let mut thief = World::new();
    thief.identity.repository = world.repository;
    thief.identity.domain = world.identity.domain;
    thief.identity.secret = lumbung_seal::DomainSecret::new(lumbung_model::Secret::new(
        *world.identity.secret.expose(),
    ));
    thief.depot = world.depot.clone();
    thief.write("a", noise(1, 200_000));
    let planted = thief.backup();
    assert!(!planted.authorized && planted.sent_bytes > 200_000);
    let outcome = world.backup();
    assert!(outcome.sent_bytes > 200_000, "{}", outcome.sent_bytes);
    world.check_at(world.depot.clone(), &outcome.manifest);
    // Nor is what the thief published ever the latest.
    let (snapshots, _) = lumbung_engine::list_snapshots(world.depot.as_ref(), None).unwrap();
    assert_eq!(snapshots.len(), 2);
    assert_eq!(lumbung_engine::select_snapshot(&snapshots, "latest").unwrap().id, outcome.manifest);
}

fn next_roster(
    world: &World,
    before: &[u8],
    key: &SigningKey,
    change: impl FnOnce(&mut Roster),
) -> Vec<u8> {
    let Signed { mut body, id, .. } = open_signed::<Roster>(before).unwrap();
    body.repository = world.repository;
    body.number += 1;
    body.previous = id;
    change(&mut body);
    sign(&body, key)
}

#[test]
fn rosters_only_go_forward() {
    let world = World::new();
    world.write("a", "x");
    world.backup();
    let added = RecoveryKey::generate().public();
    let second = next_roster(&world, &world.roster, &world.root, |roster| {
        roster.recipients.push(Recipient { key: added, label: "second".into() });
    });
    // An agent brings newer rosters to a depot that lacks them.
    import_rosters(&world.state(), world.repository, &[second.clone()]).unwrap();
    world.backup();
    assert_eq!(world.depot.list(Kind::Roster).unwrap().len(), 2);
    assert_eq!(
        load_rosters(&world.state(), world.repository).unwrap().unwrap().current().body.number,
        2
    );

    // A depot that shows another second roster, signed by the same root key, is refused.
    let forked =
        next_roster(&world, &world.roster, &world.root, |roster| roster.created = Timestamp(77));
    let fork = Arc::new(MemoryDepot::new("fork"));
    put_roster(fork.as_ref(), &world.roster);
    put_roster(fork.as_ref(), &forked);
    let error = world.backup_to(&[fork]).unwrap_err();
    assert!(matches!(error, BackupError::State(StateError::Roster { .. })), "{error:?}");

    // One that a thief signed, too.
    let thief = SigningKey::generate();
    let third = next_roster(&world, &second, &thief, |roster| {
        roster.recipients =
            vec![Recipient { key: RecoveryKey::generate().public(), label: "thief".into() }];
    });
    let hostile = Arc::new(MemoryDepot::new("hostile"));
    for roster in [&world.roster, &second, &third] {
        put_roster(hostile.as_ref(), roster);
    }
    let error = world.backup_to(&[hostile]).unwrap_err();
    assert!(matches!(error, BackupError::State(StateError::Roster { .. })), "{error:?}");

    // An older depot is brought up to date, not believed.
    let old = world.another_depot("old");
    world.backup_to(&[old.clone()]).unwrap();
    assert_eq!(old.list(Kind::Roster).unwrap().len(), 2);

    // Another repository altogether is not even looked at.
    let other = World::new();
    let error = world.backup_to(&[other.depot.clone()]).unwrap_err();
    assert!(matches!(error, BackupError::State(StateError::Roster { .. })), "{error:?}");
}

#[test]
fn a_withdrawn_agent_is_told_so() {
    let world = World::new();
    world.write("a", "x");
    let second = next_roster(&world, &world.roster, &world.root, |roster| {
        roster.agents[0].status = lumbung_pack::AgentStatus::Withdrawn;
    });
    put_roster(world.depot.as_ref(), &second);
    let error = world.backup_to(&[world.depot.clone()]).unwrap_err();
    assert!(matches!(error, BackupError::NotAllowed { .. }), "{error:?}");
}

#[test]
fn a_stolen_agent_and_a_copy_of_the_depot_open_no_earlier_backup() {
    let world = World::new();
    let secret = noise(77, 50_000);
    world.write("secret", &secret);
    world.backup();
    // All that a thief has: identity, state, depot. Every session is sealed to recipients only.
    let identity_key = *world.identity.key.seed().expose();
    let guesses = [identity_key, *world.identity.secret.expose()];
    for id in world.depot.list(Kind::Session).unwrap() {
        let session =
            open_signed::<Session>(&world.depot.get(Kind::Session, &id).unwrap()).unwrap();
        for guess in guesses {
            let key = RecoveryKey::from_seed(lumbung_model::Secret::new(guess));
            assert!(lumbung_seal::open_session(&session.body, &key).is_err());
        }
        for entry in walk(&world.state()) {
            let bytes = std::fs::read(&entry).unwrap();
            assert!(
                !bytes.windows(32).any(|window| window == &secret[..32]),
                "{}",
                entry.display()
            );
            // No 32 bytes of the state are a session's key: each would open the packs.
            for window in bytes.windows(32) {
                let mut seed = [0; 32];
                seed.copy_from_slice(window);
                let header = data_header(&world);
                let key =
                    blake3::derive_key("lumbung v1 pack key", &[&seed[..], &header.salt].concat());
                let commitment = blake3::derive_key("lumbung v1 pack commitment", &key);
                assert_ne!(commitment, header.commitment);
            }
        }
    }
}

fn data_header(world: &World) -> lumbung_pack::PackHeader {
    let id = lumbung_model::PackId::from_bytes(world.depot.list(Kind::Pack).unwrap()[0]);
    let head = world.depot.read_pack(&id, 0..168).unwrap();
    let length = PackTable::head_length(&head).unwrap();
    PackTable::decode(&world.depot.read_pack(&id, 0..length as u64).unwrap()).unwrap().header
}

fn walk(path: &Path) -> Vec<std::path::PathBuf> {
    all(path).into_iter().map(std::path::PathBuf::from).filter(|path| path.is_file()).collect()
}

#[test]
fn a_further_name_of_what_was_unreadable_is_told() {
    let world = World::new();
    let mut body = Writer::new();
    body.varint(0).varint(1).raw(b"a").u8(1).u8(0b10).varint(0o600);
    body.varint(0).varint(0).varint(0).varint(0).svarint(0).varint(0);
    body.varint(13).varint(5).varint(0);
    let mut unreadable = Writer::new();
    unreadable.varint(body.as_bytes().len() as u64).raw(body.as_bytes());
    let bytes = [
        raw_entry(b"", 2, b""),
        unreadable.into_bytes(),
        raw_entry(b"b", 8, b"a"),
        raw_entry(b"c", 8, b"a"),
    ]
    .concat();
    let snapshot = publish(&world, &[(Vec::new(), 4, bytes)]);
    let reader = world.open(&snapshot);
    for (include, told) in [(Include::all(), 3), (Include::paths(["b", "c"]), 2)] {
        let target = tempfile::tempdir().unwrap();
        let request = RestoreRequest {
            snapshot: &reader,
            fallback: None,
            target: target.path(),
            include,
            options: RestoreOptions::default(),
            progress: &NoProgress,
            cancel: &Cancel::default(),
        };
        let outcome = restore(&request).unwrap();
        assert_eq!((outcome.failures_total, outcome.warnings_total), (0, told), "{outcome:?}");
        assert_eq!(all(target.path()), Vec::<String>::new());
    }
}
