//! What a loss of power leaves of a repository in a directory, at any moment and in any order of what was not synced.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::{Arc, Barrier};

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, Kind, PackTable, object_id};
use lumbung_store::durable::UNFINISHED;
use lumbung_store::recording::{Depth, Op, Recorded, Recording, State, crashes};
use lumbung_store::{RepositoryDir, sample};
use tempfile::TempDir;

/// Memory rather than a disk, where there is some: nothing here is about real power.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

struct Pack {
    id: PackId,
    table: PackTable,
    bytes: Vec<u8>,
}

fn pack(seed: u8, lengths: &[usize]) -> Arc<Pack> {
    let word = |n| object_id(&[seed, u8::try_from(n).unwrap()]);
    let (table, bytes) = sample::pack([seed; 32], lengths, word);
    Arc::new(Pack { id: table.id(), table, bytes })
}

/// What a caller was told, and when it no longer holds.
#[derive(Clone)]
struct Promise {
    from: usize,
    until: usize,
    what: What,
}

#[derive(Clone)]
enum What {
    Object(Kind, Vec<u8>),
    Frame(Arc<Pack>, usize),
    Gone(Kind, [u8; 32]),
}

#[derive(Clone)]
struct Scene {
    promises: Vec<Promise>,
    packs: Vec<Arc<Pack>>,
    recorded: Recorded,
}

fn put_pack(dir: &RepositoryDir, pack: &Pack) {
    let mut writer = dir.pack_writer(&pack.id).unwrap();
    pack.bytes.chunks(3000).try_for_each(|piece| writer.write(piece)).unwrap();
    writer.finish().unwrap();
}

/// Everything that a repository in a directory can do.
fn play() -> Scene {
    let root = scratch();
    let recording = Recording::start(root.path()).unwrap();
    let mut promises = Vec::new();
    let dir = RepositoryDir::create(root.path().join("repository")).unwrap();
    let promise = |what| Promise { from: recording.length(), until: usize::MAX, what };
    for (kind, bytes) in [(Kind::Roster, b"a roster".as_slice()), (Kind::Usage, &[7; 9000])] {
        for _ in 0..2 {
            dir.put(kind, &object_id(bytes), bytes).unwrap();
            promises.push(promise(What::Object(kind, bytes.to_vec())));
        }
    }
    let packs = vec![pack(1, &[5000, 700]), pack(2, &[300, 2600, 1800])];
    let both = Barrier::new(2);
    let acknowledged = std::thread::scope(|scope| {
        let twice: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    both.wait();
                    put_pack(&dir, &packs[0]);
                    recording.length()
                })
            })
            .collect();
        twice.into_iter().map(|one| one.join().unwrap()).min().unwrap()
    });
    let frames = |pack: &Arc<Pack>, from| {
        let frames = 0..pack.table.frames.len();
        let all = frames.map(|frame| Promise {
            from,
            until: usize::MAX,
            what: What::Frame(pack.clone(), frame),
        });
        all.collect::<Vec<_>>()
    };
    promises.extend(frames(&packs[0], acknowledged));
    put_pack(&dir, &packs[1]);
    promises.extend(frames(&packs[1], recording.length()));
    let (first, second) = (&packs[0], &packs[1]);
    let good = &first.bytes[usize::try_from(first.table.frame_range(0).start).unwrap()..][..5016];
    dir.repair_frame(&first.id, &first.table, 0, good).unwrap();
    // A frame is dropped, and comes back.
    let held = promises.last_mut().unwrap();
    held.until = recording.length();
    let mut dropped = Bitmap::new(3);
    dropped.set(2);
    dir.drop_frames(&second.id, &second.table, &dropped).unwrap();
    let mut writer = dir.partial_pack_writer(&second.id, &second.table).unwrap();
    let range = second.table.frame_range(2);
    let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
    writer.write_frame(2, &second.bytes[start..end]).unwrap();
    writer.finish(&second.table.no_frames()).unwrap();
    promises.push(promise(What::Frame(second.clone(), 2)));
    // An object goes.
    let usage = object_id(&[7; 9000]);
    let going = recording.length();
    promises.iter_mut().for_each(|one| {
        if matches!(one.what, What::Object(Kind::Usage, _)) {
            one.until = going;
        }
    });
    dir.remove(Kind::Usage, &usage).unwrap();
    promises.push(promise(What::Gone(Kind::Usage, usage)));
    let crowd: Vec<Arc<Pack>> = (10..16).map(|seed| pack(seed, &[900, 1500])).collect();
    promises.extend(several_at_once(&dir, &recording, &crowd));
    let packs = packs.into_iter().chain(crowd).collect();
    Scene { promises, packs, recorded: recording.finish() }
}

/// Three senders, so that much is under way when a crash comes.
fn several_at_once(
    dir: &RepositoryDir,
    recording: &Recording,
    packs: &[Arc<Pack>],
) -> Vec<Promise> {
    let together = Barrier::new(3);
    let send = |packs: &[Arc<Pack>]| {
        together.wait();
        let mut promises = Vec::new();
        let mut told = |what| {
            promises.push(Promise { from: recording.length(), until: usize::MAX, what });
        };
        for pack in packs {
            put_pack(dir, pack);
            told(What::Frame(pack.clone(), 0));
            told(What::Frame(pack.clone(), 1));
            let object = pack.id.as_bytes().repeat(40);
            dir.put(Kind::Segment, &object_id(&object), &object).unwrap();
            told(What::Object(Kind::Segment, object));
        }
        promises
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = packs.chunks(2).map(|packs| scope.spawn(|| send(packs))).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    })
}

/// A change that is left out, by name.
type Omission<'a> = (&'a str, &'a dyn Fn(&Op) -> bool);

fn ensure(right: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(what()) }
}

fn unfinished(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let of = |path: std::path::PathBuf| match path.is_dir() {
        true => unfinished(&path),
        false => usize::from(path.file_name().unwrap().to_string_lossy().starts_with(UNFINISHED)),
    };
    entries.map(of).sum()
}

/// Whether every frame of a pack that counts as here is the one that the table names.
fn whole(dir: &RepositoryDir, id: &PackId) -> Result<(), String> {
    let failed = |e| format!("pack {id}: {e}");
    let table = dir.pack_head(id).map_err(failed)?;
    let present = dir.presence(id, &table).map_err(failed)?;
    for frame in 0..table.frames.len() {
        let here = present.as_ref().is_none_or(|map| map.get(u32::try_from(frame).unwrap()));
        if here {
            dir.read_frame(id, &table, frame).map_err(failed)?;
        }
    }
    Ok(())
}

fn check(scene: &Scene, state: &State) -> Result<(), String> {
    let root = scratch();
    state.write(root.path()).unwrap();
    let promised: Vec<&What> = scene
        .promises
        .iter()
        .filter(|one| one.from <= state.prefix && state.prefix <= one.until)
        .map(|one| &one.what)
        .collect();
    let path = root.path().join("repository");
    let dir = match RepositoryDir::open(&path) {
        Ok(dir) => dir,
        Err(e) if promised.is_empty() => {
            RepositoryDir::create(&path).map_err(|again| format!("{e}, then {again}"))?
        }
        Err(e) => return Err(e.to_string()),
    };
    dir.sweep_unfinished().map_err(|e| e.to_string())?;
    ensure(unfinished(&path) == 0, || "an unfinished file stays".into())?;
    for kind in Kind::REPOSITORY {
        for id in dir.list(kind).map_err(|e| e.to_string())? {
            match kind {
                Kind::Pack => whole(&dir, &PackId::from_bytes(id))?,
                _ => drop(dir.get(kind, &id).map_err(|e| e.to_string())?),
            }
        }
    }
    for what in promised {
        match what {
            What::Object(kind, bytes) => {
                let there = dir.get(*kind, &object_id(bytes)).map_err(|e| e.to_string())?;
                ensure(there == *bytes, || "other bytes".into())?;
            }
            What::Frame(pack, frame) => {
                let present = dir.presence(&pack.id, &pack.table).map_err(|e| e.to_string())?;
                let here = present.is_none_or(|map| map.get(u32::try_from(*frame).unwrap()));
                ensure(here, || format!("frame {frame} of {} is not here", pack.id))?;
                dir.read_frame(&pack.id, &pack.table, *frame).map_err(|e| e.to_string())?;
            }
            What::Gone(kind, id) => {
                ensure(!dir.contains(*kind, id).unwrap(), || "it came back".into())?;
            }
        }
    }
    // Work goes on: what is sent again is whole afterwards.
    for pack in &scene.packs {
        put_pack(&dir, pack);
        whole(&dir, &pack.id)?;
    }
    Ok(())
}

/// The first thing that is wrong, if anything is.
fn search(scene: &Scene, name: &str) -> Option<String> {
    let survey = crashes(&scene.recorded, &[""], Depth::from_env()).thinned(6000);
    println!(
        "{name}: {} changes, {} crashes, {} different states",
        scene.recorded.ops.len(),
        survey.considered,
        survey.len()
    );
    survey.check(&|state| check(scene, state))
}

#[test]
fn whatever_a_crash_leaves_what_was_promised_is_there_and_nothing_is_half_trusted() {
    let scene = play();
    assert_eq!(search(&scene, "repository"), None);
}

/// The model must be able to find something: without one kind of sync, some crash breaks a promise.
#[test]
fn a_writer_that_leaves_out_a_sync_is_caught() {
    let scene = play();
    let omissions: [Omission<'_>; 4] = [
        ("fsync of files", &|op| matches!(op, Op::SyncFile { .. })),
        ("fsync of directories", &|op| matches!(op, Op::SyncDirectory { .. })),
        (
            "fsync of the folders of packs",
            &|op| matches!(op, Op::SyncDirectory { path } if path.ends_with("packs")),
        ),
        (
            "fsync of the maps of dropped frames",
            &|op| matches!(op, Op::SyncDirectory { path } if path.ends_with("presence")),
        ),
    ];
    for (name, omission) in omissions {
        let broken = Scene { recorded: scene.recorded.clone().without(omission), ..scene.clone() };
        assert!(search(&broken, name).is_some(), "nobody noticed that {name} was left out");
    }
}
