//! One writer a prefix.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lumbung_model::{RepositoryId, SiteId};
use lumbung_pack::{Kind, object_id};
use lumbung_store::StoreError;
use lumbung_vault::storage::{SetupError, Storage};
use lumbung_vault::{Config, storage_holder, take_storage};

use crate::backing::Bucket;
use crate::storage::open;
use crate::store::local;
use crate::support::clock;

const ID: RepositoryId = RepositoryId::from_bytes([7; 32]);

fn beside(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    let data = dir.path().join(name);
    std::fs::create_dir(&data).unwrap();
    data
}

fn config(data: &Path) -> Config {
    Config::load(&data.join("vault.toml")).unwrap()
}

/// Writes until it fails, and gives the failure.
fn write_until_refused(store: &dyn Storage) -> StoreError {
    let end = Instant::now() + Duration::from_secs(60);
    for n in 0_u32.. {
        let bytes = n.to_le_bytes();
        if let Err(error) = store.put(Kind::Segment, &object_id(&bytes), &bytes) {
            return error;
        }
        assert!(Instant::now() < end, "it goes on writing");
    }
    unreachable!()
}

fn second_vault(ignore_conditions: bool) {
    let (dir, one, bucket) = local();
    if ignore_conditions {
        bucket.server.as_ref().unwrap().ignore_conditions();
    }
    let two = beside(&dir, "two");
    let first = open(&one, &bucket.settings(&one)).unwrap();
    match open(&two, &bucket.settings(&two)) {
        Err(error @ SetupError::Held { .. }) => {
            let said = error.to_string();
            assert!(said.contains("storage take") && said.contains("one writer"), "{said}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two writers"),
    }
    let holder = storage_holder(&config(&one), SiteId::random(), clock()).unwrap().unwrap();
    // A holder that runs is not put aside.
    let taken = take_storage(&config(&two), SiteId::random(), clock());
    assert!(taken.unwrap_err().to_string().contains("stop it first"));
    let store = first.create(&ID).unwrap();
    store.put(Kind::Segment, &object_id(b"x"), b"x").unwrap();

    // One that is gone is, by the operator's word only.
    drop((store, first));
    assert!(matches!(open(&two, &bucket.settings(&two)), Err(SetupError::Held { .. })));
    let taken = take_storage(&config(&two), SiteId::random(), clock()).unwrap().unwrap();
    assert_eq!((taken.owner, taken.site), (holder.owner, holder.site));
    let second = open(&two, &bucket.settings(&two)).unwrap();
    second.create(&ID).unwrap().put(Kind::Segment, &object_id(b"y"), b"y").unwrap();
    assert!(matches!(open(&one, &bucket.settings(&one)), Err(SetupError::Held { .. })));
    // Its own lease a vault finds again after a restart, at once.
    drop(second);
    let again = open(&two, &bucket.settings(&two)).unwrap();
    again.create(&ID).unwrap().put(Kind::Segment, &object_id(b"z"), b"z").unwrap();
}

#[test]
fn a_second_vault_refuses_to_start() {
    second_vault(false);
}

#[test]
fn a_second_vault_refuses_to_start_where_conditions_are_ignored() {
    second_vault(true);
}

fn race(ignore_conditions: bool) {
    let (dir, _, bucket) = local();
    if ignore_conditions {
        bucket.server.as_ref().unwrap().ignore_conditions();
    }
    let contenders: Vec<_> = (0..4)
        .map(|n| {
            let data = beside(&dir, &format!("vault{n}"));
            let settings = bucket.settings(&data);
            std::thread::spawn(move || open(&data, &settings))
        })
        .collect();
    let opened: Vec<_> = contenders.into_iter().map(|thread| thread.join().unwrap()).collect();
    let winners = opened.iter().filter(|place| place.is_ok()).count();
    assert_eq!(winners, 1, "of vaults that start at once one gets the lease");
}

#[test]
fn of_vaults_that_start_at_once_one_gets_the_lease() {
    race(false);
}

#[test]
fn of_vaults_that_start_at_once_one_gets_the_lease_where_conditions_are_ignored() {
    race(true);
}

fn overtaken(bucket: &Bucket) {
    let mut lease: serde_json::Value =
        serde_json::from_slice(&bucket.read("writer").unwrap()).unwrap();
    lease["owner"] = "another".into();
    lease["run"] = "another".into();
    bucket.write("writer", serde_json::to_vec(&lease).unwrap());
}

#[test]
fn who_lost_the_lease_removes_nothing_more_and_stops_writing() {
    let (_dir, data, bucket) = local();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    let id = object_id(b"kept");
    store.put(Kind::Segment, &id, b"kept").unwrap();
    overtaken(&bucket);
    // What takes away looks first; what writes (the same bytes under the same name) is told within a third of the lease.
    assert!(matches!(store.remove(Kind::Segment, &id), Err(StoreError::Stopped { .. })));
    assert!(matches!(write_until_refused(&*store), StoreError::Stopped { .. }));
    assert_eq!(store.get(Kind::Segment, &id).unwrap(), b"kept", "reading goes on");
}

#[test]
fn a_running_vault_notices_that_it_was_overtaken() {
    let (_dir, data, bucket) = local();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    overtaken(&bucket);
    let error = write_until_refused(&*store);
    assert!(matches!(error, StoreError::Stopped { .. }));
    assert!(error.to_string().contains("took it over"), "{error}");
}

#[test]
fn of_two_copies_of_a_data_directory_the_earlier_stops() {
    let (dir, data, bucket) = local();
    let place = open(&data, &bucket.settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    let copy = beside(&dir, "copy");
    std::fs::copy(data.join("writer"), copy.join("writer")).unwrap();
    let second = open(&copy, &bucket.settings(&copy)).unwrap();
    assert!(matches!(write_until_refused(&*store), StoreError::Stopped { .. }));
    second.create(&ID).unwrap().put(Kind::Segment, &object_id(b"x"), b"x").unwrap();
}

#[test]
fn something_else_in_the_leases_place_is_not_written_over() {
    let (_dir, data, bucket) = local();
    bucket.write("writer", b"not a lease".to_vec());
    assert!(matches!(open(&data, &bucket.settings(&data)), Err(SetupError::Held { .. })));
    assert_eq!(bucket.read("writer").unwrap(), b"not a lease");
}
