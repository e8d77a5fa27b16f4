//! Damage: found by the scrub, repaired from the other site, reported where nobody can help.

use std::path::{Path, PathBuf};

use lumbung_pack::{Inventory, Kind, ScrubReport, open_signed};
use lumbung_vault::Occasion;
use lumbung_vault::scrub::{FullSpeed, NoCopies, Pace, ScrubOptions};

use crate::backing::Lying;
use crate::support::{Agent, City, Owner, Site, Snapshot, publish};

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize),
    Truncate(usize),
    Empty,
    Remove,
}

fn damage(object: &Lying, how: Damage) {
    let mut bytes = object.read();
    match how {
        Damage::Flip(from_end) => {
            let at = bytes.len() - 1 - from_end;
            bytes[at] ^= 0x10;
        }
        Damage::Truncate(by) => bytes.truncate(bytes.len() - by),
        Damage::Empty => bytes.clear(),
        Damage::Remove => return object.remove(),
    }
    object.write(bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_heals_from_the_other_site() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let drc = Site::start(&city, &centre.as_source()).await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let first = Snapshot::new(&owner, &agent, None);
    let snapshot = Snapshot::new(&owner, &agent, Some(&first));
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    publish(&client, &owner, &first).await;
    let source_receipt = publish(&client, &owner, &snapshot).await.receipt.id;
    drc.pull().await;
    let healthy = drc.fingerprint();
    let own_receipt =
        drc.root_client(&owner).all_manifests(&owner.repository).await.unwrap()[1].receipt;

    let pack = *snapshot.packs[0].id.as_bytes();
    let in_the_table = snapshot.packs[0].bytes.len() - 200;
    let mut cases = vec![
        (Kind::Pack, pack, Damage::Flip(0)),
        (Kind::Pack, pack, Damage::Flip(75_000)),
        (Kind::Pack, pack, Damage::Flip(in_the_table)),
        (Kind::Pack, pack, Damage::Truncate(1)),
        (Kind::Pack, pack, Damage::Truncate(90_000)),
        (Kind::Pack, pack, Damage::Empty),
        (Kind::Pack, pack, Damage::Remove),
    ];
    let mut small: Vec<_> = snapshot
        .objects()
        .into_iter()
        .filter(|(kind, ..)| *kind != Kind::Pack)
        .map(|(k, id, _)| (k, id))
        .collect();
    small.push((Kind::Manifest, *snapshot.id.as_bytes()));
    small.push((Kind::Receipt, *source_receipt.as_bytes()));
    small.push((Kind::Roster, *owner.repository.as_bytes()));
    for (kind, id) in small {
        cases.extend(
            [Damage::Flip(3), Damage::Truncate(1), Damage::Empty].map(|how| (kind, id, how)),
        );
        if kind != Kind::Receipt {
            cases.push((kind, id, Damage::Remove));
        }
    }
    for (kind, id, how) in cases {
        let object = drc.lying(&owner, kind, &id);
        let before = object.read();
        damage(&object, how);
        let scrubbed = drc.scrub(&owner).await;
        let what = format!("{} {how:?}", kind.name());
        assert_eq!((scrubbed.report.bad, scrubbed.objects_bad), (0, 0), "{what}");
        assert_eq!(
            (scrubbed.report.verified.len(), scrubbed.report.damaged.len()),
            (2, 0),
            "{what}"
        );
        assert!(
            scrubbed.report.repaired + scrubbed.objects_repaired > 0 || kind == Kind::Pack,
            "{what}"
        );
        assert_eq!(object.read(), before, "{what}");
    }
    // Only reports were added.
    let after = drc.fingerprint();
    for (name, content) in &healthy {
        assert_eq!(after.get(name), Some(content), "{name}");
    }
    // This site's own receipt is signed again when it is asked for.
    damage(&drc.lying(&owner, Kind::Receipt, own_receipt.as_bytes()), Damage::Flip(1));
    publish(&drc.client(Some(&city.agent_identity(&owner, &agent))), &owner, &snapshot).await;
    drc.root_client(&owner)
        .get(&owner.repository, Kind::Receipt, own_receipt.as_bytes())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_nobody_heals_is_reported_and_asked_for_again() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &first).await;
    // Another snapshot with packs of its own stays verified.
    let apart = Snapshot::with(&owner, &agent, None, |manifest| manifest.epoch = 2);
    publish(&client, &owner, &apart).await;
    let pack = &first.packs[0];
    damage(&site.lying(&owner, Kind::Pack, pack.id.as_bytes()), Damage::Flip(0));
    let repository = site.repository(&owner);
    let scrubbed = site.vault.scrub(&repository, &NoCopies, &FullSpeed).unwrap();
    assert_eq!((scrubbed.report.bad, scrubbed.report.repaired, scrubbed.report.frames), (1, 0, 8));
    assert_eq!(
        (scrubbed.report.verified, scrubbed.report.damaged),
        (vec![apart.id], vec![first.id])
    );
    let bytes = site
        .root_client(&owner)
        .get(&owner.repository, Kind::Scrub, scrubbed.id.as_bytes())
        .await
        .unwrap();
    let report = open_signed::<ScrubReport>(&bytes).unwrap();
    assert_eq!((report.signer, report.body.number), (site.public.receipt_key, 1));

    // A snapshot that uses the bad frame is refused, naming exactly that frame …
    let next = Snapshot::new(&owner, &agent, Some(&first));
    for (kind, id, object) in next.objects() {
        if !first.packs.iter().any(|old| old.id.as_bytes() == &id) {
            let bytes = object.into();
            match kind {
                Kind::Pack => client
                    .put_pack(
                        &owner.repository,
                        &lumbung_model::PackId::from_bytes(id),
                        vec![bytes],
                    )
                    .await
                    .unwrap(),
                _ => client.put(&owner.repository, kind, &id, bytes).await.unwrap(),
            };
        }
    }
    let error =
        client.commit(&owner.repository, &next.id, next.bytes.clone().into()).await.unwrap_err();
    let missing = &error.missing().unwrap().packs;
    assert_eq!(missing.len(), 1);
    assert_eq!(
        (missing[0].pack, missing[0].used.iter_ones().collect::<Vec<_>>()),
        (pack.id, vec![2])
    );
    assert_eq!(client.have(&owner.repository, missing).await.unwrap(), *missing);

    // … and sending the pack again heals it.
    client.put_pack(&owner.repository, &pack.id, vec![pack.bytes.clone().into()]).await.unwrap();
    client.commit(&owner.repository, &next.id, next.bytes.clone().into()).await.unwrap();
    let scrubbed = site.vault.scrub(&repository, &NoCopies, &FullSpeed).unwrap();
    assert_eq!(
        (scrubbed.report.number, scrubbed.report.bad, scrubbed.report.damaged.len()),
        (2, 0, 0)
    );
    assert_eq!(scrubbed.report.verified.len(), 3);
}

/// Stops once a bad frame is known.
struct StopsAtDamage(PathBuf);

fn rows_of(index: &Path, table: &str) -> i64 {
    let connection = rusqlite::Connection::open(index).unwrap();
    connection.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

impl Pace for StopsAtDamage {
    fn after(&self, _: u64) -> bool {
        rows_of(&self.0, "bad_frames") == 0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_unfinished_scrub_found_is_asked_for_again() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &first).await;
    for pack in &first.packs {
        damage(&site.lying(&owner, Kind::Pack, pack.id.as_bytes()), Damage::Flip(0));
    }
    let repository = site.repository(&owner);
    let index = site.data.join("index.sqlite");
    assert!(rows_of(&index, "verified_segments") > 0);
    let one = ScrubOptions { workers: 1, ..site.vault.scrub_options() };
    let stops = StopsAtDamage(index.clone());
    let stopped = site.vault.scrub_with(&repository, &NoCopies, &stops, one);
    assert!(matches!(stopped, Err(lumbung_vault::VaultError::Stopping)));
    assert_eq!((rows_of(&index, "bad_frames"), rows_of(&index, "verified_segments")), (1, 0));
    // A snapshot that rests on the known damage is not receipted.
    let second = Snapshot::new(&owner, &agent, Some(&first));
    for (kind, id, bytes) in second.objects() {
        if kind != Kind::Pack || !first.packs.iter().any(|pack| pack.id.as_bytes() == &id) {
            client.put(&owner.repository, kind, &id, bytes.into()).await.unwrap();
        }
    }
    let refused = client.commit(&owner.repository, &second.id, second.bytes.clone().into()).await;
    assert!(refused.unwrap_err().problem().is_some_and(|problem| problem.missing.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_index_did_not_take_keeps_its_number() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    publish(&client, &owner, &Snapshot::new(&owner, &agent, None)).await;
    let repository = site.repository(&owner);
    let connection = rusqlite::Connection::open(site.data.join("index.sqlite")).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER fails BEFORE INSERT ON statements BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    assert!(site.vault.make_inventory(&repository, Occasion::Demand).is_err());
    assert!(site.vault.scrub(&repository, &NoCopies, &FullSpeed).is_err());
    connection.execute_batch("DROP TRIGGER fails").unwrap();
    drop(connection);
    site.vault.make_inventory(&repository, Occasion::Demand).unwrap();
    site.vault.scrub(&repository, &NoCopies, &FullSpeed).unwrap();
    let numbers = |kind: Kind, number: fn(&[u8]) -> u64| {
        let ids = repository.store().list(kind).unwrap();
        let mut all: Vec<u64> =
            ids.iter().map(|id| number(&repository.store().get(kind, id).unwrap())).collect();
        all.sort_unstable();
        all
    };
    let inventories =
        numbers(Kind::Inventory, |bytes| open_signed::<Inventory>(bytes).unwrap().body.number);
    let reports =
        numbers(Kind::Scrub, |bytes| open_signed::<ScrubReport>(bytes).unwrap().body.number);
    for numbers in [inventories, reports] {
        let expected: Vec<u64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "each number once");
    }
}
