//! Vaults that are honest, broken, or hostile: what becomes evidence and what does not.

use lumbung_model::{Clock, InventoryId, ManifestId, ReceiptId, Timestamp};
use lumbung_pack::{
    AgentStatus, Inventory, Kind, Recipient, RosterAgent, SegmentRef, SigningKey, UsageList,
    encode, object_id, sign,
};
use lumbung_wire::messages::register::{ComplianceRow, StepState};

use crate::act::Act;
use crate::testing::{City, FakeVault, START};

pub(super) const HOUR: i64 = 3600;

fn states(row: &ComplianceRow) -> [StepState; 4] {
    [row.backed_up.state, row.at_drc.state, row.verified.state, row.proven.state]
}

pub(super) fn at(seconds: i64) -> Timestamp {
    START.plus_seconds(seconds)
}

/// One snapshot, at both sites, listed, verified, proven; polled at START + 2 h.
pub(super) async fn honest() -> (City, ManifestId, [ReceiptId; 2]) {
    let city = City::new();
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    let receipts =
        [city.pusat.take(&city, &object, at(HOUR)), city.drc.take(&city, &object, at(HOUR + 10))];
    city.pusat.inventory(&city, at(HOUR + 60), &[(id, receipts[0])]);
    city.drc.inventory(&city, at(HOUR + 60), &[(id, receipts[1])]);
    city.pusat.scrub(&city, at(HOUR + 90), &[id], &[]);
    city.drc.vault.show(Kind::Proof, sign(&city.proof(id, at(HOUR + 100)), &city.root));
    city.clock.set(at(2 * HOUR));
    city.poll_both().await;
    (city, id, receipts)
}

#[tokio::test]
async fn honest_vaults_prove_all_four_steps() {
    let (city, id, _) = honest().await;
    let row = city.row();
    assert_eq!(states(&row), [StepState::Met; 4], "{row:#?}");
    assert_eq!(row.snapshot, Some(id));
    assert!(!row.belum_mencadangkan);
    for (step, kind) in
        [(&row.backed_up, "inventory"), (&row.verified, "scrub"), (&row.proven, "proof")]
    {
        assert_eq!(step.evidence.as_ref().unwrap().kind, kind);
    }
    assert_eq!(city.alarms(), Vec::<String>::new());
    assert_eq!(city.poll_error(&city.pusat), None);
}

#[tokio::test]
async fn polling_again_changes_nothing() {
    let (city, ..) = honest().await;
    let before = city.row();
    city.poll_both().await;
    assert_eq!(city.row(), before);
    assert_eq!(city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn before_the_first_poll_nothing_is_backed_up() {
    let city = City::new();
    let row = city.row();
    assert_eq!(states(&row), [StepState::Missing; 4]);
    assert!(row.belum_mencadangkan);
}

#[tokio::test]
async fn the_size_comes_from_the_usage_list_that_the_manifest_names() {
    let city = City::new();
    let segment = SegmentRef {
        segment: lumbung_model::SegmentId::from_bytes([1; 32]),
        first: lumbung_model::PackId::from_bytes([1; 32]),
        last: lumbung_model::PackId::from_bytes([2; 32]),
        packs: 2,
        frames: 3,
        stored_bytes: 4321,
    };
    let list = encode(&UsageList {
        repository: city.repository,
        domain: city.domain,
        segments: vec![segment],
    });
    let mut manifest = city.manifest(1, ManifestId::ZERO, START);
    manifest.usage = lumbung_model::UsageId::from_bytes(object_id(&list));
    let object = sign(&manifest, &city.agent_key);
    let id = ManifestId::from_bytes(object_id(&object));
    let receipt = city.pusat.take(&city, &object, at(10));
    city.pusat.inventory(&city, at(20), &[(id, receipt)]);
    // A list that is not the one named counts for nothing.
    city.pusat.vault.show_as(Kind::Usage, *manifest.usage.as_bytes(), vec![0; 100]);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().stored_bytes, 0);
    assert!(city.poll_error(&city.pusat).unwrap().contains("usage"));
    city.pusat.vault.show(Kind::Usage, list);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().stored_bytes, 4321);
}

#[tokio::test]
async fn a_stale_inventory_proves_nothing() {
    let (city, ..) = honest().await;
    city.clock.set(at(HOUR + 60 + 48 * HOUR + 1));
    let row = city.row();
    assert_eq!(row.backed_up.state, StepState::Unknown);
    assert!(row.backed_up.reason.contains("too old"), "{}", row.backed_up.reason);
    assert_eq!(row.verified.state, StepState::Missing);
}

#[tokio::test]
async fn a_snapshot_left_out_of_a_newer_inventory_is_an_alarm_at_once_and_never_counts() {
    let (city, id, receipts) = honest().await;
    city.pusat.inventory(&city, at(2 * HOUR - 60), &[]);
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), ["hidden"]);
    let row = city.row();
    assert_eq!(row.backed_up.state, StepState::Unknown);
    assert!(row.backed_up.reason.contains("does not list it"), "{}", row.backed_up.reason);
    assert_eq!(row.at_drc.state, StepState::Met);
    // Listed again: the alarm is cleared.
    city.pusat.inventory(&city, at(2 * HOUR - 30), &[(id, receipts[0])]);
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), Vec::<String>::new());
    assert_eq!(city.row().backed_up.state, StepState::Met);
}

#[tokio::test]
async fn a_receipted_snapshot_that_was_never_listed_is_hidden() {
    let city = City::new();
    let (_, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    city.pusat.take(&city, &object, at(10));
    city.pusat.inventory(&city, at(100), &[]);
    city.clock.set(at(200));
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), ["hidden"]);
    assert_eq!(city.row().backed_up.state, StepState::Unknown);
}

#[tokio::test]
async fn receipts_that_are_not_shown_leave_a_gap() {
    let city = City::new();
    let (first, one) = city.signed_manifest(1, ManifestId::ZERO, START);
    let (_, two) = city.signed_manifest(2, first, at(5));
    // The first receipt was given to the agent and is hidden from everybody.
    let _ = city.pusat.receipt(&city, first, at(6));
    city.pusat.take(&city, &two, at(10));
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), ["manifest", "receipt-gap"]);
    // Shown late: both clear.
    let receipt = sign(
        &lumbung_pack::Receipt { number: 1, ..city.pusat.receipt(&city, first, at(6)) },
        &city.pusat.key,
    );
    city.pusat.vault.show_snapshot(&city, &one, &receipt);
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn forged_receipts_are_no_evidence() {
    let city = City::new();
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    let forger = SigningKey::generate();
    let honest = city.pusat.receipt(&city, id, at(10));
    let mut bent = sign(&honest, &city.pusat.key);
    let last = bent.len() - 1;
    bent[last] ^= 1;
    let other_site = lumbung_pack::Receipt { site: city.drc.id, ..honest.clone() };
    let other_snapshot =
        lumbung_pack::Receipt { manifest: ManifestId::from_bytes([4; 32]), ..honest.clone() };
    let other_repository = lumbung_pack::Receipt {
        repository: lumbung_model::RepositoryId::from_bytes([4; 32]),
        ..honest.clone()
    };
    for (what, receipt, words) in [
        ("another key", sign(&honest, &forger), "not with the receipt key"),
        ("a broken signature", bent, "does not verify"),
        ("another site", sign(&other_site, &city.pusat.key), "another site"),
        ("another snapshot", sign(&other_snapshot, &city.pusat.key), "another snapshot"),
        ("another repository", sign(&other_repository, &city.pusat.key), "another repository"),
        ("no receipt", b"LMBG".to_vec(), "refused"),
    ] {
        let vault = hostile(&city);
        vault.show_snapshot(&city, &object, &receipt);
        city.db
            .write::<_, crate::db::DbError>(|tx| Ok(tx.execute("DELETE FROM poll_cursors", [])?))
            .unwrap();
        city.poll_as(&city.pusat, &vault).await;
        let row = city.row();
        assert_eq!(row.backed_up.state, StepState::Missing, "{what}");
        assert!(city.alarms().contains(&"refused".to_owned()), "{what}");
        let rows =
            city.db.read(|tx| crate::db::alarms::list(tx, None, &Default::default(), 9)).unwrap();
        assert!(rows[0].finding.detail.contains(words), "{what}: {}", rows[0].finding.detail);
    }
    let kept: i64 = city
        .db
        .read::<_, crate::db::DbError>(|tx| {
            Ok(tx.query_row("SELECT count(*) FROM receipts", [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(kept, 0);
}

/// A vault that says it is the Pusat Data, with nothing in it but the roster.
fn hostile(city: &City) -> FakeVault {
    let vault = FakeVault::default();
    vault.inner().info = city.pusat.vault.inner().info.clone();
    vault.inner().repositories.push(city.repository);
    vault.show(Kind::Roster, city.first_roster.clone());
    vault
}

#[tokio::test]
async fn a_snapshot_that_did_not_pass_is_taken_once_it_does() {
    let city = City::new();
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    let receipt = city.pusat.take(&city, &object, at(10));
    city.pusat.vault.show_as(Kind::Receipt, *receipt.as_bytes(), vec![1, 2, 3]);
    city.pusat.inventory(&city, at(20), &[(id, receipt)]);
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), ["refused"]);
    assert_eq!(city.row().backed_up.state, StepState::Missing);
    let good = sign(
        &lumbung_pack::Receipt { number: 1, ..city.pusat.receipt(&city, id, at(10)) },
        &city.pusat.key,
    );
    assert_eq!(object_id(&good), *receipt.as_bytes());
    city.pusat.vault.show(Kind::Receipt, good);
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), Vec::<String>::new());
    assert_eq!(city.row().backed_up.state, StepState::Met);
}

#[tokio::test]
async fn forged_manifests_never_count() {
    let city = City::new();
    let stranger = SigningKey::generate();
    let manifest = city.manifest(1, ManifestId::ZERO, START);
    let mut foreign = manifest.clone();
    foreign.domain = lumbung_model::DomainId::random();
    let mut other_agent = manifest.clone();
    other_agent.agent = lumbung_model::AgentId::random();
    let mut listed = Vec::new();
    for object in [
        sign(&manifest, &stranger),
        sign(&foreign, &city.agent_key),
        sign(&other_agent, &city.agent_key),
    ] {
        let id = ManifestId::from_bytes(object_id(&object));
        listed.push((id, city.pusat.take(&city, &object, at(10))));
    }
    city.pusat.inventory(&city, at(20), &listed);
    city.clock.set(at(30));
    city.poll(&city.pusat).await;
    let row = city.row();
    assert_eq!(row.backed_up.state, StepState::Missing);
    assert!(row.backed_up.reason.contains("not authorized"), "{}", row.backed_up.reason);
    assert_eq!(row.unauthorized_snapshots, 3);
}

#[tokio::test]
async fn a_snapshot_counts_once_a_root_key_lists_its_agent() {
    let city = City::new();
    let (agent, key, domain) = (
        lumbung_model::AgentId::random(),
        SigningKey::generate(),
        lumbung_model::DomainId::random(),
    );
    let mut manifest = city.manifest(1, ManifestId::ZERO, START);
    (manifest.agent, manifest.domain) = (agent, domain);
    let object = sign(&manifest, &key);
    let id = ManifestId::from_bytes(object_id(&object));
    let receipt = city.pusat.take(&city, &object, at(10));
    city.pusat.inventory(&city, at(20), &[(id, receipt)]);
    city.clock.set(at(30));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Missing);

    let entry = RosterAgent {
        agent,
        key: key.public(),
        domain,
        status: AgentStatus::Active,
        label: "b".into(),
    };
    // The thief of the controller, or the vault, would list it: nobody signs for them.
    let forged =
        city.next_roster(&SigningKey::generate(), |roster| roster.agents.push(entry.clone()));
    city.pusat.vault.show(Kind::Roster, forged);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Missing);
    assert_eq!(city.alarms(), ["roster"]);

    city.pusat.vault.hide(Kind::Roster);
    city.pusat.vault.show(Kind::Roster, city.first_roster.clone());
    city.pusat
        .vault
        .show(Kind::Roster, city.next_roster(&city.root, |roster| roster.agents.push(entry)));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Met);
    assert_eq!(city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn an_old_or_forked_roster_takes_nothing_back() {
    let (city, ..) = honest().await;
    let withdrawn =
        city.next_roster(&city.root, |roster| roster.sites.retain(|site| site.site != city.drc.id));
    city.pusat.vault.show(Kind::Roster, withdrawn.clone());
    city.poll(&city.pusat).await;
    assert_eq!(city.row().at_drc.state, StepState::Missing, "the DRC's key was withdrawn");
    // The DRC still shows roster 1 only: the newer one stays.
    city.poll(&city.drc).await;
    assert_eq!(city.row().at_drc.state, StepState::Missing);
    // Another roster 2, though a root key signed it, is a fork.
    let fork = city.next_roster(&city.root, |roster| {
        roster.recipients.push(Recipient {
            key: lumbung_model::PublicKey::from_bytes([8; 32]),
            label: "thief".into(),
        });
    });
    city.drc.vault.show(Kind::Roster, fork);
    city.poll(&city.drc).await;
    assert_eq!(city.row().at_drc.state, StepState::Missing);
    assert_eq!(city.alarms(), ["roster"]);
}

#[tokio::test]
async fn forged_inventories_change_nothing() {
    let (city, id, receipts) = honest().await;
    let next = city.pusat.next_inventory(&city, at(2 * HOUR), &[]);
    city.pusat.vault.show(Kind::Inventory, sign(&next, &SigningKey::generate()));
    city.pusat.vault.show(
        Kind::Inventory,
        sign(&Inventory { site: city.drc.id, ..next.clone() }, &city.pusat.key),
    );
    city.pusat.vault.show_as(Kind::Inventory, [5; 32], sign(&next, &city.pusat.key));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Met);
    assert!(city.poll_error(&city.pusat).is_some());
    // The honest next one is still taken.
    city.pusat.inventory(&city, at(2 * HOUR), &[(id, receipts[0])]);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Met);
}

#[tokio::test]
async fn a_gap_or_a_fork_in_the_inventories_never_counts() {
    let (city, id, receipts) = honest().await;
    let next = city.pusat.next_inventory(&city, at(2 * HOUR), &[(id, receipts[0])]);
    let gap = Inventory { number: 5, previous: InventoryId::from_bytes([3; 32]), ..next.clone() };
    city.pusat.vault.show(Kind::Inventory, sign(&gap, &city.pusat.key));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Unknown);
    assert_eq!(city.alarms(), ["inventory"]);

    let (city, id, receipts) = honest().await;
    let fork = Inventory {
        number: 1,
        previous: InventoryId::ZERO,
        made: at(2 * HOUR),
        ..city.pusat.next_inventory(&city, at(0), &[(id, receipts[0])])
    };
    city.pusat.vault.show(Kind::Inventory, sign(&fork, &city.pusat.key));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Unknown);
    assert_eq!(city.alarms(), ["inventory"]);
}

#[tokio::test]
async fn a_vault_rolled_back_shows() {
    let (city, id, receipts) = honest().await;
    let (second, object) = city.signed_manifest(2, id, at(2 * HOUR));
    let receipt = city.pusat.take(&city, &object, at(2 * HOUR + 10));
    city.pusat.inventory(&city, at(3 * HOUR), &[(id, receipts[0]), (second, receipt)]);
    city.clock.set(at(3 * HOUR + 10));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().snapshot, Some(second));
    // Restored from a copy made before: number 2 again, without the second snapshot.
    let rolled_back = Inventory {
        number: 2,
        previous: InventoryId::from_bytes(object_id(&first_inventory(&city))),
        ..city.pusat.next_inventory(&city, at(4 * HOUR), &[(id, receipts[0])])
    };
    city.pusat.vault.show(Kind::Inventory, sign(&rolled_back, &city.pusat.key));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Unknown);
    assert_eq!(city.alarms(), ["inventory"]);
}

/// The bytes of the Pusat Data's inventory number 1.
fn first_inventory(city: &City) -> Vec<u8> {
    let answers = city.pusat.vault.inner();
    let inventories =
        answers.objects.iter().filter(|((kind, _), _)| *kind == Kind::Inventory.code());
    let opened = inventories.map(|(_, object)| {
        (lumbung_pack::open_signed::<Inventory>(object).unwrap().body.number, object)
    });
    opened.filter(|(number, _)| *number == 1).map(|(_, object)| object.clone()).next().unwrap()
}

#[tokio::test]
async fn damage_and_forged_scrubs() {
    let (city, id, _) = honest().await;
    let forger = SigningKey::generate();
    let report = lumbung_pack::ScrubReport {
        repository: city.repository,
        site: city.pusat.id,
        number: 2,
        started: at(HOUR),
        finished: at(HOUR + 200),
        frames: 0,
        bytes: 0,
        repaired: 0,
        bad: 1,
        verified: vec![],
        damaged: vec![id],
    };
    city.pusat.vault.show(Kind::Scrub, sign(&report, &forger));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().verified.state, StepState::Met, "a forged report takes nothing away");
    city.pusat.vault.show(Kind::Scrub, sign(&report, &city.pusat.key));
    city.poll(&city.pusat).await;
    let row = city.row();
    assert_eq!(row.backed_up.state, StepState::Unknown);
    assert!(row.backed_up.reason.contains("damaged"), "{}", row.backed_up.reason);
    assert_ne!(row.verified.state, StepState::Met);
}

#[tokio::test]
async fn a_proof_needs_a_root_key() {
    let city = City::new();
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    let receipt = city.pusat.take(&city, &object, at(10));
    city.pusat.inventory(&city, at(20), &[(id, receipt)]);
    city.pusat.vault.show(Kind::Proof, sign(&city.proof(id, at(15)), &city.agent_key));
    city.pusat.vault.show(Kind::Proof, sign(&city.proof(id, at(16)), &city.pusat.key));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().proven.state, StepState::Missing);
    city.pusat.vault.show(Kind::Proof, sign(&city.proof(id, at(17)), &city.root));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().proven.state, StepState::Met);
}

#[tokio::test]
async fn snapshots_of_another_repository_do_not_count_for_the_dataset() {
    let (city, ..) = honest().await;
    let thief = City::new();
    // Another PD's repository, whose agent names this PD's dataset.
    let other = lumbung_model::PdId::random();
    city.db
        .write::<_, crate::db::DbError>(|tx| {
            let pd = lumbung_wire::messages::register::Pd {
                id: other,
                code: "X".into(),
                name: "X".into(),
                contact: String::new(),
                mandiri_tik: false,
                kind: lumbung_wire::messages::register::PdKind::Other,
                runs_pusat_data: false,
                link: String::new(),
                rate: String::new(),
                windows: Vec::new(),
            };
            crate::db::register::put_pd(tx, &Act::controller(START), &pd)?;
            crate::db::register::bind_repository(
                tx,
                &Act::controller(START),
                &thief.repository,
                &other,
            )
        })
        .unwrap();
    city.clock.set(at(24 * HOUR + 1));
    let mut manifest = thief.manifest(1, ManifestId::ZERO, at(24 * HOUR));
    manifest.dataset = city.dataset;
    let object = sign(&manifest, &thief.agent_key);
    let vault = FakeVault::default();
    vault.inner().info = city.pusat.vault.inner().info.clone();
    vault.inner().repositories.push(thief.repository);
    vault.show(Kind::Roster, thief.first_roster.clone());
    let receipt = lumbung_pack::Receipt {
        repository: thief.repository,
        ..city.pusat.receipt(&city, ManifestId::from_bytes(object_id(&object)), city.clock.now())
    };
    vault.show_snapshot(&city, &object, &sign(&receipt, &city.pusat.key));
    city.poll_as(&city.pusat, &vault).await;
    assert_eq!(city.row().backed_up.state, StepState::Late);
}

#[tokio::test]
async fn the_vault_must_be_the_one_that_enrolled() {
    let city = City::new();
    city.pusat.vault.inner().info.as_mut().unwrap().site = city.drc.id;
    city.poll(&city.pusat).await;
    assert!(city.poll_error(&city.pusat).unwrap().contains("check the address"));
    city.drc.vault.inner().info.as_mut().unwrap().receipt_key = SigningKey::generate().public();
    city.poll(&city.drc).await;
    assert!(city.poll_error(&city.drc).unwrap().contains("signs with the key"));
}

#[tokio::test]
async fn a_vault_that_is_down_is_noted_and_changes_nothing() {
    let (city, ..) = honest().await;
    let before = city.row();
    city.pusat.vault.inner().down = true;
    city.poll(&city.pusat).await;
    assert_eq!(city.poll_error(&city.pusat).unwrap(), "connection refused");
    assert_eq!(city.row(), before);
    assert_eq!(city.alarms(), Vec::<String>::new());
    city.pusat.vault.inner().down = false;
    city.poll(&city.pusat).await;
    assert_eq!(city.poll_error(&city.pusat), None);
}

#[tokio::test]
async fn unknown_repositories_and_datasets_are_findings() {
    let city = City::new();
    let stranger = lumbung_model::RepositoryId::from_bytes([6; 32]);
    city.pusat.vault.inner().repositories.push(stranger);
    let mut manifest = city.manifest(1, ManifestId::ZERO, START);
    manifest.dataset = lumbung_model::DatasetId::random();
    city.pusat.take(&city, &sign(&manifest, &city.agent_key), at(10));
    city.poll(&city.pusat).await;
    let (repositories, datasets) = city
        .db
        .read::<_, crate::db::DbError>(|tx| {
            Ok((crate::db::polls::unregistered(tx)?, crate::db::agents::unregistered(tx)?))
        })
        .unwrap();
    assert_eq!(repositories, [(stranger, city.pusat.id)]);
    assert_eq!(datasets.len(), 1);
    assert_eq!(
        (datasets[0].dataset, datasets[0].repository),
        (manifest.dataset, Some(city.repository))
    );
}

#[tokio::test]
async fn a_vaults_own_alarms_are_shown_for_a_week() {
    let (city, ..) = honest().await;
    let alarm = lumbung_wire::messages::VaultAlarm {
        at: at(HOUR),
        repository: Some(city.repository),
        kind: "damaged".into(),
        detail: "frame 3\u{1b}[31m".into(),
    };
    city.pusat.vault.inner().alarms = vec![alarm];
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), ["vault"]);
    let rows =
        city.db.read(|tx| crate::db::alarms::list(tx, None, &Default::default(), 9)).unwrap();
    assert_eq!(rows[0].finding.detail, "damaged: frame 3 [31m");
    assert_eq!(rows[0].finding.pd, Some(city.pd));
    city.clock.set(at(HOUR + 7 * 24 * HOUR + 1));
    city.poll(&city.pusat).await;
    assert!(!city.alarms().contains(&"vault".to_owned()));
}

#[tokio::test]
async fn inventories_are_chained_in_whatever_order_they_come() {
    let (city, id, receipts) = honest().await;
    let second = sign(
        &city.pusat.next_inventory(&city, at(HOUR + 70), &[(id, receipts[0])]),
        &city.pusat.key,
    );
    let second_id = object_id(&second);
    city.pusat.inventory(&city, at(HOUR + 70), &[(id, receipts[0])]);
    city.pusat.inventory(&city, at(HOUR + 80), &[(id, receipts[0])]);
    // Number 2 is unreadable for a while.
    city.pusat.vault.show_as(Kind::Inventory, second_id, vec![0; 10]);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Unknown);
    assert_eq!(city.alarms(), ["inventory"]);
    city.pusat.vault.show(Kind::Inventory, second);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Met);
    assert_eq!(city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn a_vault_full_of_forgeries_is_not_read_to_its_end() {
    let city = City::new();
    for sequence in 1..=300 {
        let (id, object) = city.signed_manifest(sequence, ManifestId::ZERO, START);
        let forged = sign(&city.pusat.receipt(&city, id, at(10)), &SigningKey::generate());
        city.pusat.vault.show_snapshot(&city, &object, &forged);
    }
    for _ in 0..2 {
        city.poll(&city.pusat).await;
    }
    assert!(city.poll_error(&city.pusat).unwrap().contains("do not pass"));
    assert_eq!(city.row().backed_up.state, StepState::Missing);
}

#[tokio::test]
async fn a_snapshot_that_only_its_agent_knows_of_is_an_alarm() {
    let (city, ..) = honest().await;
    let (hidden, object) = city.signed_manifest(2, ManifestId::ZERO, at(2 * HOUR));
    let report = lumbung_wire::messages::Report {
        id: lumbung_wire::messages::ReportId::from_bytes([1; 16]),
        kind: lumbung_wire::messages::ReportKind::Backup,
        at: at(2 * HOUR),
        dataset: city.dataset,
        manifest: Some(hidden),
        outcome: lumbung_wire::messages::Outcome::Ok,
        statistics: lumbung_pack::Statistics::default(),
        message: String::new(),
        cause: None,
        changes: None,
    };
    city.db
        .write(|tx| crate::db::agents::insert_report(tx, at(2 * HOUR), &city.agent, &report))
        .unwrap();
    let judge =
        async || super::hold_reports_against_sites(&city.db, city.clock.now(), 60).await.unwrap();
    judge().await;
    assert_eq!(city.alarms(), Vec::<String>::new(), "the sites had no time to show it");
    city.clock.set(at(2 * HOUR + 61));
    city.poll(&city.pusat).await;
    judge().await;
    assert_eq!(city.alarms(), Vec::<String>::new(), "the DRC may have it");
    city.poll(&city.drc).await;
    judge().await;
    assert_eq!(city.alarms(), ["unseen"]);
    city.pusat.take(&city, &object, at(2 * HOUR));
    city.poll(&city.pusat).await;
    judge().await;
    assert_eq!(city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn an_inventory_dated_ahead_does_not_come_true_when_its_day_has_come() {
    let (city, id, receipts) = honest().await;
    let day = 30 * 24 * HOUR;
    city.pusat.inventory(&city, at(day), &[(id, receipts[0])]);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().backed_up.state, StepState::Unknown);
    // The vault is gone since; a new snapshot came to the other site only.
    city.clock.set(at(day));
    let row = city.row();
    assert_eq!(row.backed_up.state, StepState::Unknown);
    assert!(row.backed_up.reason.contains("future"), "{}", row.backed_up.reason);
}

#[tokio::test]
async fn a_receipt_dated_ahead_hides_no_snapshot() {
    let (city, first, receipts) = honest().await;
    let (_, object) = city.signed_manifest(2, first, at(2 * HOUR));
    city.pusat.take(&city, &object, at(365 * 24 * HOUR));
    city.poll(&city.pusat).await;
    // Two inventories later it is still not listed.
    city.clock.set(at(20 * HOUR));
    city.pusat.inventory(&city, at(10 * HOUR), &[(first, receipts[0])]);
    city.pusat.inventory(&city, at(20 * HOUR), &[(first, receipts[0])]);
    city.poll(&city.pusat).await;
    assert_ne!(city.row().backed_up.state, StepState::Met);
    assert!(city.alarms().iter().any(|alarm| alarm.contains("hidden")), "{:?}", city.alarms());
}

#[tokio::test]
async fn a_scrub_dated_ahead_does_not_outlive_damage() {
    let (city, id, _) = honest().await;
    city.pusat.scrub(&city, at(30 * 24 * HOUR), &[id], &[]);
    city.poll(&city.pusat).await;
    city.clock.set(at(3 * HOUR));
    city.pusat.scrub(&city, at(3 * HOUR), &[], &[id]);
    city.poll(&city.pusat).await;
    let row = city.row();
    assert_eq!(row.backed_up.state, StepState::Unknown);
    assert!(row.backed_up.reason.contains("damaged"), "{}", row.backed_up.reason);
}
