//! Snapshots in, receipts out; crashes in between; the index built anew.

use bytes::Bytes;
use lumbung_model::ManifestId;
use lumbung_pack::{Inventory, Kind, Receipt, object_id, open_signed};
use lumbung_vault::{Occasion, forget_index};
use lumbung_wire::client::PutOutcome;

use crate::backing;
use crate::support::{Agent, City, Owner, Site, Snapshot, dump, folder, publish, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_kept_and_its_receipt_never_changes() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);

    let first = publish(&client, &owner, &snapshot).await;
    assert_eq!(first.outcome, PutOutcome::Created);
    assert_eq!(first.receipt.signer, site.public.receipt_key);
    let receipt = &first.receipt.body;
    assert_eq!(
        (receipt.site, receipt.manifest, receipt.number),
        (site.public.site, snapshot.id, 1)
    );
    assert_eq!(receipt.locked_until.0 - receipt.received.0, 30 * 86_400);
    assert_eq!(receipt.pulled_from, None);

    let before = site.fingerprint();
    let again = publish(&client, &owner, &snapshot).await;
    assert_eq!(again.outcome, PutOutcome::AlreadyThere);
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(site.fingerprint(), before);

    // Even if its file is lost.
    let receipt = site.lying(&owner, Kind::Receipt, first.receipt.id.as_bytes());
    receipt.remove();
    assert_eq!(publish(&client, &owner, &snapshot).await.bytes, first.bytes);
    assert!(receipt.is_there());

    let second = Snapshot::new(&owner, &agent, Some(&snapshot));
    assert_eq!(publish(&client, &owner, &second).await.receipt.body.number, 2);
    let list = client.manifests(&owner.repository, 0, 10).await.unwrap();
    let arrived: Vec<(u64, ManifestId)> =
        list.iter().map(|one| (one.arrival, one.manifest)).collect();
    assert_eq!(arrived, [(1, snapshot.id), (2, second.id)]);
    assert!(list.iter().all(|one| one.authorized));
    assert!(site.vault.alarms(10).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_are_read_by_range_and_asked_for() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    send(&client, &owner, &snapshot).await;

    let pack = &snapshot.packs[0];
    let table = client.pack_head(&owner.repository, &pack.id).await.unwrap();
    assert_eq!(table, pack.table);
    let frames = client.read_frames(&owner.repository, &pack.id, &table, 1..3).await.unwrap();
    assert_eq!(frames.len(), 2);
    let whole =
        client.read_pack(&owner.repository, &pack.id, 0..pack.bytes.len() as u64).await.unwrap();
    assert_eq!(whole, pack.bytes);

    let builder = |packs: &[crate::support::TestPack]| {
        let usage = crate::support::usage_of(&owner, &agent, packs);
        let segments = usage
            .segments
            .iter()
            .map(|(_, bytes)| lumbung_pack::decode::<lumbung_pack::Segment>(bytes).unwrap().0);
        segments.flat_map(|segment| segment.packs).collect::<Vec<_>>()
    };
    let other =
        crate::support::pack_of(owner.repository, agent.domain, snapshot.session_id, &[100]);
    let here = builder(&snapshot.packs);
    let absent = builder(std::slice::from_ref(&other));
    let asked: Vec<_> = here.iter().chain(&absent).cloned().collect();
    assert_eq!(client.have(&owner.repository, &asked).await.unwrap(), absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_listed_exactly() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let base = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &base).await;
    let snapshot = Snapshot::new(&owner, &agent, Some(&base));
    let bytes = Bytes::from(snapshot.bytes.clone());

    let error = client.commit(&owner.repository, &snapshot.id, bytes.clone()).await.unwrap_err();
    let missing = error.missing().expect("a list of what is missing");
    assert_eq!(missing.sessions, [snapshot.session_id]);
    assert!(missing.usage);

    client
        .put(
            &owner.repository,
            Kind::Session,
            snapshot.session_id.as_bytes(),
            snapshot.session.clone().into(),
        )
        .await
        .unwrap();
    for (kind, id, object) in snapshot
        .objects()
        .into_iter()
        .filter(|(kind, ..)| matches!(kind, Kind::Usage | Kind::Segment))
    {
        client.put(&owner.repository, kind, &id, object.into()).await.unwrap();
    }
    let error = client.commit(&owner.repository, &snapshot.id, bytes).await.unwrap_err();
    let missing = error.missing().unwrap();
    let mut expected: Vec<_> = snapshot.packs[..2].iter().map(|pack| pack.id).collect();
    expected.sort();
    assert_eq!(missing.packs.iter().map(|pack| pack.pack).collect::<Vec<_>>(), expected);
    assert!(missing.sessions.is_empty() && !missing.usage && missing.segments.is_empty());
    assert_eq!(publish(&client, &owner, &snapshot).await.receipt.body.number, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_index_says_the_same() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    let second = Snapshot::new(&owner, &agent, Some(&first));
    // The same place in the chain: a fork, and its alarm.
    let fork = Snapshot::new(&owner, &agent, Some(&first));
    let mut receipts = Vec::new();
    for snapshot in [&first, &second, &fork] {
        receipts.push(publish(&client, &owner, snapshot).await.bytes);
    }
    assert_eq!(site.vault.alarms(10).unwrap()[0].kind, "fork");
    let repository = site.repository(&owner);
    site.vault.make_inventory(&repository, Occasion::Demand).unwrap();
    drop(repository);
    let (dir, data) = site.stop().await;
    let before = dump(&data);
    assert!(before.len() > 10);
    forget_index(&data).unwrap();

    let site = Site::launch(&city, dir, data.clone(), "").await;
    assert_eq!(dump(&data), before);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    assert_eq!(publish(&client, &owner, &second).await.bytes, receipts[1]);
    let third = Snapshot::new(&owner, &agent, Some(&second));
    assert_eq!(publish(&client, &owner, &third).await.receipt.body.number, 4);
}

/// What a crash leaves: the files up to some step, and the index of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_steps_heals() {
    let city = City::new();
    let agent = Agent::new();
    for step in ["manifest", "receipt", "everything"] {
        for how in ["restart", "repeat"] {
            let site = Site::start(&city, "").await;
            let owner = Owner::new(&[&agent], &[&site]);
            let client = site.client(Some(&city.agent_identity(&owner, &agent)));
            let first = Snapshot::new(&owner, &agent, None);
            publish(&client, &owner, &first).await;
            let snapshot = Snapshot::new(&owner, &agent, Some(&first));
            send(&client, &owner, &snapshot).await;
            let (dir, data) = site.stop().await;
            let index = std::fs::read(data.join("index.sqlite")).unwrap();

            let site = Site::launch(&city, dir, data, "").await;
            let client = site.client(Some(&city.agent_identity(&owner, &agent)));
            let given = publish(&client, &owner, &snapshot).await;
            let receipt = site.lying(&owner, Kind::Receipt, given.receipt.id.as_bytes());
            let (dir, data) = site.stop().await;
            if step != "everything" {
                std::fs::write(data.join("index.sqlite"), index).unwrap();
            }
            if step == "manifest" {
                receipt.remove();
            }

            let site = Site::launch(&city, dir, data, "").await;
            let client = site.client(Some(&city.agent_identity(&owner, &agent)));
            let list = client.manifests(&owner.repository, 0, 10).await.unwrap();
            assert_eq!(list.len(), 2, "after {step}: taken up by the start");
            if how == "repeat" {
                let again = publish(&client, &owner, &snapshot).await;
                assert_eq!(again.receipt.body.number, 2, "after {step}");
                if step != "manifest" {
                    assert_eq!(
                        again.bytes, given.bytes,
                        "a receipt that was written stays, after {step}"
                    );
                }
            }
            let next = Snapshot::new(&owner, &agent, Some(&snapshot));
            assert_eq!(
                publish(&client, &owner, &next).await.receipt.body.number,
                3,
                "after {step}"
            );
        }
    }
}

/// The index did not take the commit, though both files were written: the running vault heals itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_the_index_missed_is_given_again() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    send(&client, &owner, &snapshot).await;
    let blocker = rusqlite::Connection::open(site.data.join("index.sqlite")).unwrap();
    blocker
        .execute_batch("CREATE TRIGGER broken BEFORE INSERT ON manifests BEGIN SELECT RAISE(ABORT, 'broken'); END")
        .unwrap();
    let error = client
        .commit(&owner.repository, &snapshot.id, Bytes::from(snapshot.bytes.clone()))
        .await
        .unwrap_err();
    assert_eq!(error.problem().unwrap().status, 500);
    blocker.execute_batch("DROP TRIGGER broken").unwrap();
    let kept = backing::names(&site.data, &folder(&owner, Kind::Receipt));
    let written = backing::lying(&site.data, kept[0].clone()).read();

    // Another snapshot first: its receipt must not get the same number.
    let other = Snapshot::with(&owner, &agent, None, |manifest| manifest.epoch = 2);
    assert_eq!(publish(&client, &owner, &other).await.receipt.body.number, 2);
    assert_eq!(publish(&client, &owner, &snapshot).await.bytes, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn inventories_are_chained_and_list_what_is_here() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    let receipt = publish(&client, &owner, &first).await.receipt;
    let repository = site.repository(&owner);
    let one =
        site.vault.make_inventory(&repository, Occasion::Round).unwrap().expect("the first is due");
    assert_eq!(
        site.vault.make_inventory(&repository, Occasion::Round).unwrap(),
        None,
        "nothing changed"
    );
    let second = Snapshot::new(&owner, &agent, Some(&first));
    publish(&client, &owner, &second).await;
    let two = site
        .vault
        .make_inventory(&repository, Occasion::Round)
        .unwrap()
        .expect("something changed");

    let root = site.root_client(&owner);
    let read = async |id: [u8; 32]| {
        let bytes = root.get(&owner.repository, Kind::Inventory, &id).await.unwrap();
        open_signed::<Inventory>(&bytes).unwrap()
    };
    let inventory = read(*one.as_bytes()).await;
    assert_eq!(inventory.signer, site.public.receipt_key);
    assert_eq!(inventory.body.entries.len(), 1);
    assert_eq!(inventory.body.entries[0].receipt, receipt.id);
    assert_eq!(inventory.body.packs, 2);
    let inventory = read(*two.as_bytes()).await;
    assert_eq!((inventory.body.number, inventory.body.previous), (2, one));
    assert_eq!(inventory.body.entries.len(), 2);

    // A manifest that is lost is not claimed. A directory tells that something went; of a bucket the next inventory that is
    // due finds out.
    site.lying(&owner, Kind::Manifest, first.id.as_bytes()).remove();
    let occasion = if crate::S3 { Occasion::Demand } else { Occasion::Round };
    let three =
        site.vault.make_inventory(&repository, occasion).unwrap().expect("something changed");
    let inventory = read(*three.as_bytes()).await;
    assert_eq!(
        inventory.body.entries.iter().map(|entry| entry.manifest).collect::<Vec<_>>(),
        [second.id]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_gaps_partial_and_unlisted_snapshots_are_kept_and_told_apart() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let (agent, unlisted) = (Agent::new(), Agent::new());
    let mut owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::with(&owner, &agent, None, |manifest| manifest.partial = true);
    publish(&client, &owner, &first).await;
    let gap = Snapshot::with(&owner, &agent, None, |manifest| {
        manifest.sequence = 5;
        manifest.previous = ManifestId::from_bytes([9; 32]);
    });
    publish(&client, &owner, &gap).await;
    assert_eq!(site.vault.alarms(10).unwrap()[0].kind, "gap");

    let stranger = site.client(Some(&city.agent_identity(&owner, &unlisted)));
    let snapshot = Snapshot::new(&owner, &unlisted, None);
    publish(&stranger, &owner, &snapshot).await;
    let root = site.root_client(&owner);
    let list = root.all_manifests(&owner.repository).await.unwrap();
    let seen: Vec<_> = list.iter().map(|one| (one.manifest, one.partial, one.authorized)).collect();
    assert_eq!(seen, [(first.id, true, true), (gap.id, false, true), (snapshot.id, false, false)]);

    // The custodian adds the agent: what it sent counts from then on.
    let roster = owner.add_agent(&unlisted);
    root.put(&owner.repository, Kind::Roster, &object_id(&roster), roster.clone().into())
        .await
        .unwrap();
    assert!(root.all_manifests(&owner.repository).await.unwrap().iter().all(|one| one.authorized));
    let receipts = root.list(&owner.repository, Kind::Receipt).await.unwrap();
    assert_eq!(receipts.len(), 3);
    for id in receipts {
        let bytes = root.get(&owner.repository, Kind::Receipt, &id).await.unwrap();
        assert_eq!(open_signed::<Receipt>(&bytes).unwrap().signer, site.public.receipt_key);
    }
}
