//! What only a store behind a network does: refuse credentials, go away, be full, list by pages, ignore conditions.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use lumbung_model::{PackId, RepositoryId};
use lumbung_pack::{Kind, object_id};
use lumbung_store::{PutOutcome, StoreError};
use lumbung_vault::{GoOn, VaultError};

use crate::backing::{self, BUCKET, Bucket};
use crate::retention;
use crate::server::Failure;
use crate::storage::{contract, dropped_frames, frames, open, range};
use crate::support::Bench;
use crate::sweeps;

const ID: RepositoryId = RepositoryId::from_bytes([7; 32]);

/// A vault's data directory and a bucket of its own server.
pub(crate) fn local() -> (tempfile::TempDir, std::path::PathBuf, Bucket) {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::over(&dir.path().join("data.s3"));
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    (dir, data, bucket)
}

fn refusal(data: &Path, settings: &str) -> String {
    match open(data, settings) {
        Ok(_) => panic!("taken"),
        Err(error) => lumbung_model::with_causes(&error),
    }
}

#[test]
fn a_store_without_conditions_does_the_same() {
    let (_dir, data, bucket) = local();
    bucket.server.as_ref().unwrap().ignore_conditions();
    backing::assign(&data, &bucket);
    contract(&data, &bucket.settings(&data));
}

#[test]
fn wrong_credentials_and_a_missing_bucket_are_told_apart_and_no_secret_is_told() {
    let (_dir, data, bucket) = local();
    let good = bucket.settings(&data);
    std::fs::write(data.join("s3-credentials"), "access_key = \"GKtest\"\nsecret_key = \"hush\"\n")
        .unwrap();
    let said = refusal(&data, &good);
    assert!(said.contains("refuses the credentials") && !said.contains("hush"), "{said}");
    let missing = bucket.settings(&data).replace(&format!("{BUCKET:?}"), "\"nowhere\"");
    let said = refusal(&data, &missing);
    assert!(said.contains("no such bucket"), "{said}");
    open(&data, &good).unwrap();
}

#[test]
fn a_bucket_that_goes_away_loses_no_object() {
    let (dir, data, bucket) = local();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    let id = object_id(b"a segment");
    store.put(Kind::Segment, &id, b"a segment").unwrap();
    let (here, away) = (dir.path().join("data.s3").join(BUCKET), dir.path().join("elsewhere"));
    std::fs::rename(&here, &away).unwrap();
    // "No such bucket" is not "no such object".
    assert!(matches!(store.list(Kind::Segment), Err(StoreError::Unavailable { .. })));
    assert!(place.repositories().is_err());
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(store.get(Kind::Segment, &id).unwrap(), b"a segment");
}

#[test]
fn a_store_that_is_away_is_waited_for_and_then_reported() {
    let (_dir, data, bucket) = local();
    let server = bucket.server.clone().unwrap();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    let id = object_id(b"a segment");
    for failure in [None, Some(Failure { method: None, status: 503, code: "SlowDown" })] {
        // Away for good: reads and writes say so, and neither says "not found".
        let fail = |away: bool| match &failure {
            None => server.set_away(away),
            Some(failure) => server.fail(away.then(|| failure.clone())),
        };
        fail(true);
        assert!(matches!(store.get(Kind::Segment, &id), Err(StoreError::Unavailable { .. })));
        assert!(matches!(store.contains(Kind::Segment, &id), Err(StoreError::Unavailable { .. })));
        let put = store.put(Kind::Segment, &id, b"a segment");
        assert!(matches!(put, Err(StoreError::Unavailable { .. })), "{put:?}");
        fail(false);
        // Writing goes on when the lease was confirmed again, and no sooner.
        let end = Instant::now() + Duration::from_secs(60);
        while let Err(error) = store.put(Kind::Segment, &id, b"a segment") {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
            assert!(Instant::now() < end, "writing never went on");
            std::thread::yield_now();
        }
        // Away while a request is under way: it is repeated until it gets through.
        fail(true);
        let (before, reader) = (server.requests(), std::sync::Arc::clone(&store));
        let reading = std::thread::spawn(move || reader.get(Kind::Segment, &id));
        while server.requests() < before + 2 && !reading.is_finished() && failure.is_some() {
            std::thread::yield_now();
        }
        fail(false);
        assert_eq!(reading.join().unwrap().unwrap(), b"a segment");
        store.remove(Kind::Segment, &id).unwrap();
    }
}

#[test]
fn a_full_store_says_so_at_once_and_goes_on_reading() {
    let (_dir, data, bucket) = local();
    let server = bucket.server.clone().unwrap();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    let id = object_id(b"a segment");
    store.put(Kind::Segment, &id, b"a segment").unwrap();
    let other = object_id(b"another");
    for (status, code) in [
        (507, "XMinioStorageFull"),
        (403, "QuotaExceeded"),
        (403, "AccessDenied: the bucket's size quota is used up"),
    ] {
        server.fail(Some(Failure { method: Some(Method::PUT), status, code }));
        let put = store.put(Kind::Segment, &other, b"another");
        assert!(matches!(put, Err(StoreError::Full { .. })), "{code}: {put:?}");
        assert_eq!(store.get(Kind::Segment, &id).unwrap(), b"a segment");
    }
    server.fail(None);
    assert_eq!(store.put(Kind::Segment, &other, b"another").unwrap(), PutOutcome::Created);
}

#[test]
fn a_pack_without_its_mark_is_read_by_its_own_map_or_not_written_at_all() {
    let (_dir, data, bucket) = local();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    let pack = dropped_frames(&*store);
    drop((store, place));
    let root = bucket_root(&data).join(format!("repositories/{ID}"));
    let mark = root.join(format!("presence/{}", pack.id));
    let name = pack.id.to_string();
    let object = root.join(format!("packs/{}/{name}", &name[..2]));
    let compact = std::fs::read(&object).unwrap();
    let frame = |frame: usize| pack.bytes[range(&pack, frame)].to_vec();
    let reopened = |work: &dyn Fn(&dyn lumbung_vault::storage::Storage)| {
        std::fs::remove_file(&mark).unwrap();
        let place = open(&data, &bucket.settings(&data)).unwrap();
        work(&*place.create(&ID).unwrap());
    };
    let present = Some(frames(&pack, &[0, 2]));
    reopened(&|store| {
        let file = store.open_pack(&pack.id).unwrap();
        assert_eq!(file.read_frame(&pack.table, 2).unwrap(), frame(2));
        assert_eq!(file.length(), pack.bytes.len() as u64);
        assert_eq!(store.presence(&pack.id, &pack.table).unwrap(), present);
        // Whoever writes it anew writes its mark as well.
        store.repair_frames(&pack.id, &pack.table, &[(2, &frame(2))]).unwrap();
    });
    assert_eq!(std::fs::read(&object).unwrap(), compact);
    // The map within is damaged: the mark says where the frames lie.
    let mut damaged = compact;
    damaged[pack.table.encode().len() + 44] ^= 1;
    std::fs::write(&object, &damaged).unwrap();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let file = place.create(&ID).unwrap().open_pack(&pack.id).unwrap();
    assert_eq!(file.read_frame(&pack.table, 2).unwrap(), frame(2));
    drop((file, place));
    // Both are lost: nobody can say, and nothing that is there is written over, except by all of the pack.
    reopened(&|store| {
        let one = [(1, frame(1))];
        let one: Vec<(usize, &[u8])> = one.iter().map(|(i, bytes)| (*i, &**bytes)).collect();
        let refused = store.repair_frames(&pack.id, &pack.table, &one);
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
        let refused = store.drop_frames(&pack.id, &pack.table, &frames(&pack, &[0]));
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
        let mut writer = store.partial_pack_writer(&pack.id, &pack.table).unwrap();
        writer.write_frame(1, one[0].1).unwrap();
        assert!(matches!(writer.finish(&pack.table.no_frames()), Err(StoreError::Damaged { .. })));
        assert_eq!(std::fs::read(&object).unwrap(), damaged);
        let all: Vec<Vec<u8>> = (0..4).map(frame).collect();
        let all: Vec<(usize, &[u8])> =
            all.iter().enumerate().map(|(i, bytes)| (i, &**bytes)).collect();
        store.repair_frames(&pack.id, &pack.table, &all).unwrap();
        assert_eq!(std::fs::read(&object).unwrap(), pack.bytes);
    });
}

#[test]
fn lists_have_more_than_one_page() {
    let (_dir, data, bucket) = local();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    // More than a page of 1,000, and more packs than are listed in one go.
    let name = |n: u32| PackId::from_bytes(object_id(&n.to_le_bytes()));
    let root = bucket_root(&data);
    for n in 0..2100 {
        let id = name(n).to_string();
        for path in [format!("packs/{}/{id}", &id[..2]), format!("segments/{id}")] {
            let path = root.join(format!("repositories/{ID}/{path}"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
    }
    std::fs::write(root.join(format!("repositories/{ID}/segments/not-an-id")), b"x").unwrap();
    let mut all: Vec<[u8; 32]> = (0..2100).map(|n| *name(n).as_bytes()).collect();
    all.sort_unstable();
    assert_eq!(store.list(Kind::Segment).unwrap(), all);
    assert_eq!(store.list(Kind::Pack).unwrap(), all);
    assert_eq!(store.list(Kind::Usage).unwrap(), Vec::<[u8; 32]>::new());
}

fn bucket_root(data: &Path) -> std::path::PathBuf {
    data.with_extension("s3").join(BUCKET)
}

#[test]
fn a_refill_that_breaks_off_is_taken_back_and_can_be_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    backing::keep_near(dir.path());
    let bench = Bench::begin(dir, retention::LAST);
    let (mut bench, owner, _, [old, _]) = retention::two_at(bench);
    assert_eq!(retention::let_it_expire(&bench, &owner), [old.id]);
    let server = backing::bucket(bench.dir.path()).server.unwrap();
    let refill =
        |bench: &Bench, dry_run| bench.vault().refill(&bench.repository(&owner), None, dry_run);
    server.fail(Some(Failure { method: Some(Method::DELETE), status: 503, code: "SlowDown" }));
    assert!(refill(&bench, false).is_err());
    server.fail(None);
    assert_eq!(refill(&bench, true).unwrap(), 1);
    assert_eq!(refill(&bench, false).unwrap(), 1);
    bench.restart();
    assert_eq!(refill(&bench, true).unwrap(), 0);
}

#[test]
fn a_store_that_fails_ends_the_sweep_and_a_later_one_goes_on() {
    type Fault = fn(&crate::server::Server, bool);
    let away: Fault = |server, away| server.set_away(away);
    let takes_nothing: Fault = |server, away| {
        let failure = Failure { method: Some(Method::PUT), status: 503, code: "SlowDown" };
        server.fail(away.then_some(failure));
    };
    for fault in [away, takes_nothing] {
        let dir = tempfile::tempdir().unwrap();
        backing::keep_near(dir.path());
        let (bench, owner, _, _, second) = sweeps::all_due_at(Bench::begin(dir, sweeps::QUICK));
        let server = backing::bucket(bench.dir.path()).server.unwrap();
        let asked = Cell::new(0);
        let go_on = || {
            asked.set(asked.get() + 1);
            // Behind the look at the packs, before the first of them gives anything back.
            fault(&server, asked.get() == 2);
            true
        };
        let sweep = |go_on: &dyn GoOn| bench.vault().sweep(&bench.repository(&owner), false, go_on);
        let ended = sweep(&go_on);
        fault(&server, false);
        assert!(
            matches!(ended, Err(VaultError::Store(StoreError::Unavailable { .. }))),
            "{ended:?}"
        );
        let end = Instant::now() + Duration::from_secs(60);
        // Removing goes on when the lease was confirmed again, until the two packs of the other snapshot are left.
        loop {
            assert!(Instant::now() < end, "the sweep never went on");
            match sweep(&|| true) {
                Ok(swept) if (swept.packs, swept.condemned) == (2, 0) => break,
                Ok(_) | Err(VaultError::Store(StoreError::Unavailable { .. })) => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(bench.is_whole(&owner, &second));
    }
}
