//! Retention as an operator and an attacker meet it: locks, clocks, holds, orders, tombstones, refill.

use std::sync::Arc;

use http::Method;
use lumbung_model::{DatasetId, HoldId, ManifestId, SiteId, Timestamp};
use lumbung_pack::order::write_order;
use lumbung_pack::{
    Action, Hold, Kind, Order, OrderError, SigningKey, Subject, Tombstone, open_signed, sign,
};
use lumbung_store::StoreError;
use lumbung_vault::{Sender, VaultError};

use lumbung_wire::{Peer, Role};

use crate::backing;
use crate::support::{
    Agent, Bench, City, Owner, Site, Snapshot, Time, agent_peer, folder, peer_of, publish, random,
};

pub(crate) const LAST: &str = "lock = \"30 d\"\n[retention]\nkeep_last = 1\n";

/// A site where the newest snapshot stays, with two that share nothing.
fn two(extra: &str) -> (Bench, Owner, Agent, [Snapshot; 2]) {
    two_at(Bench::new(extra))
}

pub(crate) fn two_at(bench: Bench) -> (Bench, Owner, Agent, [Snapshot; 2]) {
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    let old = Snapshot::new(&owner, &agent, None);
    let new = Snapshot::apart(&owner, &agent, &old);
    bench.publish(&owner, &agent, &old);
    bench.publish(&owner, &agent, &new);
    (bench, owner, agent, [old, new])
}

/// An order of both parties.
pub(crate) fn to_destroy(
    subject: Subject,
    issued: Timestamp,
    owner: &Owner,
    dinas: &SigningKey,
) -> String {
    let order = order(owner, Action::Destroy(subject), (issued, Timestamp(i64::MAX)));
    signed(&order, &[&owner.root, dinas])
}

fn order(owner: &Owner, action: Action, (issued, valid_until): (Timestamp, Timestamp)) -> Order {
    Order {
        repository: owner.repository,
        nonce: [1; 16],
        action,
        issued,
        valid_until,
        letter: "800/2".into(),
        reason: "UU 27/2022".into(),
    }
}

/// An order's file with these signatures.
fn signed(order: &Order, keys: &[&SigningKey]) -> String {
    keys.iter().map(|key| write_order(&sign(order, key))).collect()
}

/// Long enough for what lost its place at the start of it to go.
pub(crate) fn let_it_expire(bench: &Bench, owner: &Owner) -> Vec<ManifestId> {
    assert!(bench.retain(owner).is_empty());
    bench.time.pass_days(30);
    bench.retain(owner)
}

#[test]
fn what_has_no_place_goes_after_its_lock_and_leaves_a_signed_tombstone() {
    let (mut bench, owner, agent, [old, new]) = two(LAST);
    let plan = bench.vault().plan_retention(&bench.repository(&owner)).unwrap();
    assert!(plan.iter().all(|one| one.candidate.authorized), "the roster lists their agent");
    for snapshot in [old.id, new.id, ManifestId::from_bytes([9; 32])] {
        let gone = bench.vault().why_gone(&bench.repository(&owner), &snapshot).unwrap();
        assert_eq!(gone, None, "what is here, or what nobody has heard of");
    }
    assert!(bench.retain(&owner).is_empty(), "found without a place: its last lock period begins");
    bench.time.pass_days(29);
    let retained = bench.vault().retain(&bench.repository(&owner), false).unwrap();
    assert_eq!((retained.placed, retained.waiting, retained.expired.len()), (1, 1, 0));
    assert_eq!(bench.listed(&owner).len(), 2);
    bench.time.pass_days(1);
    let dry = bench.vault().retain(&bench.repository(&owner), true).unwrap();
    assert_eq!((dry.expired, bench.listed(&owner).len()), (vec![old.id], 2), "nothing but said");
    assert_eq!(bench.retain(&owner), [old.id]);
    assert_eq!(bench.listed(&owner), [new.id]);
    let gone = bench.vault().why_gone(&bench.repository(&owner), &old.id).unwrap().unwrap();
    assert!(gone.contains("it had expired"), "{gone}");

    let repository = bench.repository(&owner);
    let [id] = repository.store().list(Kind::Tombstone).unwrap()[..] else {
        panic!("one tombstone")
    };
    let bytes = repository.store().get(Kind::Tombstone, &id).unwrap();
    let tombstone = open_signed::<Tombstone>(&bytes).unwrap();
    assert_eq!((tombstone.body.manifest, tombstone.signer), (old.id, bench.site.receipt_key));
    assert!(!repository.store().contains(Kind::Manifest, old.id.as_bytes()).unwrap());
    assert!(matches!(
        bench.commit(&owner, &agent, &old),
        Err(VaultError::Removed { ordered: false, .. })
    ));
    drop(repository);

    bench.reindex();
    assert_eq!(bench.listed(&owner), [new.id], "what was removed stays removed");
    let alarms = bench.vault().alarms(10).unwrap();
    assert!(alarms.is_empty(), "and is not called lost: {alarms:?}");
    assert!(bench.retain(&owner).is_empty());
}

#[test]
fn a_crash_between_tombstone_and_file_is_finished_by_the_next_start() {
    let (mut bench, owner, _, [old, new]) = two(LAST);
    let object = bench.lying(&owner, Kind::Manifest, old.id.as_bytes());
    let manifest = object.read();
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
    for lose_index in [false, true] {
        object.write(manifest.clone());
        if lose_index {
            bench.reindex();
        } else {
            bench.restart();
            bench.sweep(&owner);
        }
        assert_eq!(bench.listed(&owner), [new.id]);
    }
    assert!(!object.is_there());
    assert!(bench.vault().alarms(10).unwrap().is_empty());
}

#[test]
fn a_tombstone_that_the_index_lacks_is_taken_up_beside_those_that_it_has_and_no_strangers() {
    let (mut bench, owner, agent, [old, new]) = two(LAST);
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
    let third = Snapshot::apart(&owner, &agent, &new);
    bench.publish(&owner, &agent, &third);
    let object = bench.lying(&owner, Kind::Manifest, new.id.as_bytes());
    let manifest = object.read();
    assert_eq!(let_it_expire(&bench, &owner), [new.id]);
    // Somebody who may write here, and has not the site's key.
    let repository = bench.repository(&owner);
    let [name, _] = repository.store().list(Kind::Tombstone).unwrap()[..] else { panic!("two") };
    let bytes = repository.store().get(Kind::Tombstone, &name).unwrap();
    let mut forged = open_signed::<Tombstone>(&bytes).unwrap().body;
    forged.manifest = third.id;
    let forged = sign(&forged, &SigningKey::generate());
    let id = lumbung_pack::object_id(&forged);
    repository.store().put(Kind::Tombstone, &id, &forged).unwrap();
    drop(repository);
    bench.vault = None;
    let index = rusqlite::Connection::open(bench.dir.path().join("index.sqlite")).unwrap();
    let gone = "DELETE FROM tombstones WHERE manifest = ?1";
    assert_eq!(index.execute(gone, [new.id.as_bytes()]).unwrap(), 1);
    drop(index);
    object.write(manifest);
    bench.restart();
    bench.sweep(&owner);
    assert_eq!(bench.listed(&owner), [third.id]);
    assert!(!object.is_there());
    bench.reindex();
    assert_eq!(bench.listed(&owner), [third.id]);
}

#[test]
fn no_clock_frees_anything_before_its_time() {
    let (mut bench, owner, _, _) = two(LAST);
    bench.retain(&owner);
    let today = bench.time.wall();
    bench.time.set_wall(Timestamp(today.0 + 10 * 365 * 86_400));
    assert!(bench.retain(&owner).is_empty(), "ten years ahead");
    bench.time.set_wall(Timestamp(0));
    assert!(bench.retain(&owner).is_empty(), "back to 1970");
    for _ in 0..4 {
        // Starting the machine with a wrong clock counts for a week at the most.
        bench.time.set_wall(Timestamp(bench.time.wall().0 + 300 * 86_400));
        bench.time.reboot();
        bench.restart();
        assert!(bench.retain(&owner).is_empty());
    }
    // The clock's file is lost: it goes on from what the index knows, and says less, not more.
    std::fs::remove_file(bench.dir.path().join("retention-clock.json")).unwrap();
    bench.restart();
    assert!(bench.retain(&owner).is_empty());
    bench.time.set_wall(today);
    bench.time.pass_days(29);
    assert!(bench.retain(&owner).is_empty());
}

#[test]
fn the_retention_clock_outlives_a_start_of_the_machine() {
    let (mut bench, owner, _, [old, _]) = two(LAST);
    assert!(bench.retain(&owner).is_empty());
    let then = bench.time.wall();
    bench.time.pass_days(29);
    assert!(bench.retain(&owner).is_empty());
    // Neither the wall clock nor the time since the start tells of the 29 days: the file does.
    bench.time.reboot();
    bench.time.set_wall(then);
    bench.restart();
    bench.time.set_wall(then.plus_seconds(29 * 86_400));
    bench.time.pass_days(1);
    assert_eq!(bench.retain(&owner), [old.id]);
}

#[test]
fn thousands_of_junk_snapshots_evict_no_day_and_nothing_within_its_lock() {
    let bench = Bench::new("lock = \"10 d\"\n[retention]\nkeep_last = 2\nkeep_daily = 30\n");
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    let mut good = vec![Snapshot::new(&owner, &agent, None)];
    bench.publish(&owner, &agent, &good[0]);
    for _ in 0..4 {
        bench.time.pass_days(1);
        let next = Snapshot::apart(&owner, &agent, &good[good.len() - 1]);
        bench.publish(&owner, &agent, &next);
        good.push(next);
    }
    // A thief has the server: junk without end, dated as it pleases.
    bench.time.pass(60);
    let mut last = Snapshot::apart(&owner, &agent, &good[4]);
    bench.publish(&owner, &agent, &last);
    for i in 0..300_i64 {
        let next =
            Snapshot::of_frames(&owner, &agent, Some(&last), &[(last.packs[0].clone(), vec![0])]);
        let mut next = Snapshot { manifest: next.manifest.clone(), ..next };
        next.manifest.finished = Timestamp(i * 86_400 * 30);
        next.bytes = sign(&next.manifest, &agent.key);
        next.id = ManifestId::from_bytes(lumbung_pack::object_id(&next.bytes));
        bench.publish(&owner, &agent, &next);
        last = next;
    }
    bench.retain(&owner);
    bench.time.pass_days(9);
    assert!(bench.retain(&owner).is_empty(), "all are locked");
    bench.time.pass_days(10);
    let expired = bench.retain(&owner);
    assert!(expired.len() > 290, "{}", expired.len());
    assert!(good.iter().all(|one| !expired.contains(&one.id)), "each good day has its snapshot");
}

#[test]
fn a_hold_keeps_and_only_an_order_of_two_releases_it() {
    let dinas = SigningKey::generate();
    let extra = format!("dinas_keys = [\"{}\"]\n{LAST}", dinas.public());
    let (mut bench, owner, _, [old, _]) = two(&extra);
    let vault = bench.vault();
    let hold = vault
        .place_hold(
            &bench.repository(&owner),
            Subject::Snapshot(old.id),
            false,
            ("Inspektorat", "perkara 12/2026"),
        )
        .unwrap();
    assert!(let_it_expire(&bench, &owner).is_empty());
    let plan = bench.vault().plan_retention(&bench.repository(&owner)).unwrap();
    let held = plan.iter().find_map(|one| one.candidate.held.clone()).unwrap();
    assert!(held.contains("perkara 12/2026") && held.contains(&hold.to_string()), "{held}");
    bench.reindex();
    assert!(let_it_expire(&bench, &owner).is_empty(), "a hold survives the loss of the index");

    let order = |action, until| order(&owner, action, (Timestamp(0), until));
    let soon = bench.time.wall().plus_seconds(86_400);
    let destroy = order(Action::Destroy(Subject::Snapshot(old.id)), soon);
    let both = [&owner.root, &dinas];
    let carry = |text: &str, dry| bench.vault().carry_out(text, dry);
    assert!(matches!(carry(&signed(&destroy, &both), false), Err(VaultError::Held { .. })));
    let release = order(Action::Release(hold), soon);
    assert!(matches!(
        carry(&signed(&release, &[&owner.root]), false),
        Err(VaultError::Order(OrderError::Dinas))
    ));
    assert!(matches!(
        carry(&signed(&release, &[&dinas]), false),
        Err(VaultError::Order(OrderError::Owner))
    ));
    let late = order(Action::Release(hold), Timestamp(bench.time.wall().0 - 1));
    assert!(matches!(carry(&signed(&late, &both), false), Err(VaultError::OrderExpired { .. })));
    // The last second counts, and a clock that is an hour ahead.
    let unknown = HoldId::random();
    let now = bench.time.wall();
    for times in [(Timestamp(0), now), (now.plus_seconds(3600), soon)] {
        let last = self::order(&owner, Action::Release(unknown), times);
        assert!(matches!(carry(&signed(&last, &both), false), Err(VaultError::NoHold(_))));
    }
    let ahead = self::order(&owner, Action::Release(unknown), (now.plus_seconds(3601), soon));
    assert!(matches!(carry(&signed(&ahead, &both), false), Err(VaultError::OrderAhead { .. })));
    assert!(carry(&signed(&release, &both), true).unwrap().released);
    assert_eq!(bench.vault().holds(&bench.repository(&owner)).unwrap().len(), 1, "a dry run");
    assert!(carry(&signed(&release, &both), false).unwrap().released);
    assert!(bench.vault().holds(&bench.repository(&owner)).unwrap().is_empty());
    let again = carry(&signed(&release, &both), false).unwrap();
    assert!(!again.released, "carrying it out again does nothing");
    bench.reindex();
    assert!(bench.vault().holds(&bench.repository(&owner)).unwrap().is_empty());
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
}

#[test]
fn an_order_destroys_whatever_the_lock_and_it_never_comes_back() {
    let dinas = SigningKey::generate();
    let (mut bench, owner, agent, [old, new]) =
        two(&format!("dinas_keys = [\"{}\"]\n", dinas.public()));
    let dataset = Subject::Dataset(agent.dataset);
    let text = to_destroy(dataset, bench.time.wall(), &owner, &dinas);
    let mut destroyed = bench.vault().carry_out(&text, false).unwrap().destroyed;
    destroyed.sort_unstable();
    let mut both = [old.id, new.id];
    both.sort_unstable();
    assert_eq!(destroyed, both);
    assert!(bench.listed(&owner).is_empty());
    let gone = bench.vault().why_gone(&bench.repository(&owner), &old.id).unwrap().unwrap();
    assert!(gone.contains("an order destroyed it") && gone.contains("letter 800/2"), "{gone}");
    assert_eq!(bench.vault().refill(&bench.repository(&owner), None, false).unwrap(), 0);
    assert!(matches!(
        bench.commit(&owner, &agent, &new),
        Err(VaultError::Removed { ordered: true, .. })
    ));
    assert_eq!(
        bench.repository(&owner).store().list(Kind::Order).unwrap().len(),
        2,
        "a record stays"
    );
    bench.reindex();
    assert!(bench.listed(&owner).is_empty());
    // Nor what it means and this site does not have yet; what is made from now on is another matter.
    bench.time.pass_days(1);
    let later = Snapshot::apart(&owner, &agent, &new);
    bench.send(&owner, &agent, &later);
    let came_by = |sender, dated| {
        let repository = bench.repository(&owner);
        bench.vault().commit_dated(&repository, &later.id, &later.bytes, sender, dated)
    };
    let elsewhere = Sender::Site(lumbung_model::SiteId::from_bytes([9; 16]));
    let (now, before) = (bench.time.wall(), bench.time.wall().plus_seconds(-86_400));
    for dated in [Some(before), None] {
        let refused = came_by(elsewhere, dated);
        assert!(matches!(refused, Err(VaultError::Removed { ordered: true, .. })), "{refused:?}");
    }
    came_by(elsewhere, Some(now)).unwrap();
    assert_eq!(bench.listed(&owner), [later.id]);
    let another = Snapshot::apart(&owner, &agent, &later);
    bench.publish(&owner, &agent, &another);
    assert_eq!(bench.listed(&owner).len(), 2, "what an agent brings is new");
}

#[test]
fn a_hold_that_cannot_be_read_keeps_everything_and_stops_nothing_else() {
    let (mut bench, owner, agent, [_, new]) = two(LAST);
    let subject = Subject::Snapshot(new.id);
    let place = |bench: &Bench| {
        let who = ("Inspektorat", "perkara 12/2026");
        bench.vault().place_hold(&bench.repository(&owner), subject, false, who).unwrap()
    };
    place(&bench);
    assert!(bench.retain(&owner).is_empty());
    bench.time.pass_days(30);
    let name = bench.repository(&owner).store().list(Kind::Hold).unwrap()[0];
    let hold = bench.lying(&owner, Kind::Hold, &name);
    let good = hold.read();
    hold.write(vec![0; good.len()]);
    for lose_index in [false, true] {
        if lose_index {
            bench.reindex();
        }
        let retained = bench.vault().retain(&bench.repository(&owner), false);
        assert!(matches!(retained, Err(VaultError::Store(StoreError::Damaged { .. }))));
        let third = Snapshot::apart(&owner, &agent, &new);
        bench.publish(&owner, &agent, &third);
        let placed = place(&bench);
        assert_eq!(
            bench.vault().hold(&bench.repository(&owner), &placed).unwrap().subject,
            subject
        );
    }
    hold.write(good);
    assert_eq!(bench.vault().holds(&bench.repository(&owner)).unwrap().len(), 3);
    assert!(bench.retain(&owner).is_empty(), "the loss of the index began the waiting anew");
}

#[test]
fn a_hold_that_another_signed_keeps_nothing_here() {
    let (mut bench, owner, _, [old, _]) = two(LAST);
    for site in [bench.vault().site(), SiteId::random()] {
        let hold = Hold {
            repository: owner.repository,
            site,
            hold: HoldId::random(),
            subject: Subject::Snapshot(old.id),
            automatic: false,
            placed: bench.time.wall(),
            by: "somebody".into(),
            reason: "who could write here".into(),
        };
        let bytes = sign(&hold, &SigningKey::generate());
        let id = lumbung_pack::object_id(&bytes);
        bench.repository(&owner).store().put(Kind::Hold, &id, &bytes).unwrap();
    }
    assert!(bench.vault().holds(&bench.repository(&owner)).unwrap().is_empty());
    bench.reindex();
    assert!(bench.vault().holds(&bench.repository(&owner)).unwrap().is_empty());
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
}

#[test]
fn a_hold_on_one_dataset_does_not_stand_against_an_order_for_a_snapshot_of_another() {
    let dinas = SigningKey::generate();
    let bench = Bench::new(&format!("dinas_keys = [\"{}\"]\n", dinas.public()));
    let agents = [Agent::new(), Agent::new()];
    let owner = Owner::new(&[&agents[0], &agents[1]], &[]);
    let snapshots = agents.each_ref().map(|agent| {
        let snapshot = Snapshot::new(&owner, agent, None);
        bench.publish(&owner, agent, &snapshot);
        snapshot
    });
    let subject = Subject::Dataset(agents[0].dataset);
    let repository = bench.repository(&owner);
    bench.vault().place_hold(&repository, subject, false, ("Inspektorat", "perkara")).unwrap();
    let destroy = |snapshot: &Snapshot| {
        let subject = Subject::Snapshot(snapshot.id);
        let text = to_destroy(subject, bench.time.wall(), &owner, &dinas);
        bench.vault().carry_out(&text, true)
    };
    assert!(matches!(destroy(&snapshots[0]), Err(VaultError::Held { .. })));
    assert_eq!(destroy(&snapshots[1]).unwrap().destroyed, [snapshots[1].id]);
}

#[test]
fn two_halves_of_two_orders_are_no_order_after_the_index_was_lost() {
    let dinas = SigningKey::generate();
    let (mut bench, owner, agent, [_, new]) =
        two(&format!("dinas_keys = [\"{}\"]\n", dinas.public()));
    let third = Snapshot::apart(&owner, &agent, &new);
    let fourth = Snapshot::apart(&owner, &agent, &third);
    let until = (Timestamp(0), Timestamp(i64::MAX));
    for (snapshot, key) in [(&third, &owner.root), (&fourth, &dinas)] {
        let half = order(&owner, Action::Destroy(Subject::Snapshot(snapshot.id)), until);
        let bytes = sign(&half, key);
        let id = lumbung_pack::object_id(&bytes);
        bench.repository(&owner).store().put(Kind::Order, &id, &bytes).unwrap();
    }
    bench.reindex();
    for snapshot in [&third, &fourth] {
        bench.publish(&owner, &agent, snapshot);
        assert!(bench.listed(&owner).contains(&snapshot.id));
    }
}

#[test]
fn a_damaged_order_or_tombstone_keeps_no_other_from_its_work() {
    let dinas = SigningKey::generate();
    let (mut bench, owner, agent, [old, new]) =
        two(&format!("dinas_keys = [\"{}\"]\n{LAST}", dinas.public()));
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
    let third = Snapshot::apart(&owner, &agent, &new);
    bench.publish(&owner, &agent, &third);
    assert_eq!(let_it_expire(&bench, &owner), [new.id]);
    let text = to_destroy(Subject::Snapshot(old.id), bench.time.wall(), &owner, &dinas);
    bench.vault().carry_out(&text, false).unwrap();
    let refill =
        |bench: &Bench| bench.vault().refill(&bench.repository(&owner), None, true).unwrap();
    assert_eq!(refill(&bench), 1);

    let orders = bench.repository(&owner).store().list(Kind::Order).unwrap();
    bench.lying(&owner, Kind::Order, &orders[0]).write(vec![0; 9]);
    let tombstones = bench.repository(&owner).store().list(Kind::Tombstone).unwrap();
    for name in tombstones {
        let lying = bench.lying(&owner, Kind::Tombstone, &name);
        let good = lying.read();
        let manifest = open_signed::<Tombstone>(&good).unwrap().body.manifest;
        if manifest == new.id {
            lying.write(vec![0; 9]);
            assert_eq!(refill(&bench), 0, "nobody can say whether an order names it");
            bench.reindex();
            let alarms = bench.vault().alarms(100).unwrap();
            let told = alarms.iter().any(|alarm| alarm.detail.contains("tombstone"));
            assert!(told, "{alarms:?}");
            assert!(matches!(bench.commit(&owner, &agent, &old), Err(VaultError::Removed { .. })));
            lying.write(good);
        }
    }
    bench.reindex();
    let alarms = bench.vault().alarms(100).unwrap();
    assert!(
        alarms.iter().any(|alarm| alarm.detail.contains("have a new one signed")),
        "{alarms:?}"
    );
    assert_eq!(bench.listed(&owner), [third.id]);
}

#[test]
fn a_hold_on_another_dataset_does_not_stand_against_an_order_for_what_expired() {
    let dinas = SigningKey::generate();
    let (bench, owner, _, [old, _]) =
        two(&format!("dinas_keys = [\"{}\"]\n{LAST}", dinas.public()));
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
    let hold = |dataset| {
        let who = ("Inspektorat", "perkara 12/2026");
        let subject = Subject::Dataset(dataset);
        bench.vault().place_hold(&bench.repository(&owner), subject, false, who).unwrap()
    };
    hold(DatasetId::from_bytes([9; 16]));
    let text = to_destroy(Subject::Snapshot(old.id), bench.time.wall(), &owner, &dinas);
    assert!(bench.vault().carry_out(&text, true).unwrap().remembered);
    hold(old.manifest.dataset);
    assert!(matches!(bench.vault().carry_out(&text, false), Err(VaultError::Held { .. })));
}

#[test]
fn an_order_waits_for_its_day_and_for_holds_on_what_is_not_here_yet() {
    let dinas = SigningKey::generate();
    let (mut bench, owner, agent, [old, new]) =
        two(&format!("dinas_keys = [\"{}\"]\n{LAST}", dinas.public()));
    let absent = Snapshot::apart(&owner, &agent, &new);
    let carry = |bench: &Bench, subject, issued| {
        let text = to_destroy(subject, issued, &owner, &dinas);
        bench.vault().carry_out(&text, false)
    };
    let subject = Subject::Snapshot(absent.id);
    let tomorrow = bench.time.wall().plus_seconds(86_400);
    assert!(matches!(carry(&bench, subject, tomorrow), Err(VaultError::OrderAhead { .. })));
    let hold = |subject| {
        let by = ("Inspektorat", "perkara 12/2026");
        bench.vault().place_hold(&bench.repository(&owner), subject, false, by).unwrap();
    };
    hold(Subject::Snapshot(old.id));
    // Another snapshot is another matter; the dataset of one that is not here is not known.
    assert!(carry(&bench, subject, Timestamp(0)).unwrap().remembered);
    let held = carry(&bench, Subject::Dataset(agent.dataset), Timestamp(0));
    assert!(matches!(held, Err(VaultError::Held { .. })), "{held:?}");
    hold(Subject::Dataset(agent.dataset));
    let held = carry(&bench, Subject::Snapshot(ManifestId::from_bytes(random())), Timestamp(0));
    assert!(matches!(held, Err(VaultError::Held { .. })), "{held:?}");
    bench.send(&owner, &agent, &absent);
    assert!(bench.commit(&owner, &agent, &absent).is_err());
    // A commit that a crash interrupted is not finished either.
    let repository = bench.repository(&owner);
    repository.store().put(Kind::Manifest, absent.id.as_bytes(), &absent.bytes).unwrap();
    drop(repository);
    bench.reindex();
    assert!(!bench.listed(&owner).contains(&absent.id));
    let repository = bench.repository(&owner);
    assert!(!repository.store().contains(Kind::Manifest, absent.id.as_bytes()).unwrap());
}

#[test]
fn what_expired_and_was_then_ordered_away_is_not_refilled() {
    let dinas = SigningKey::generate();
    let (bench, owner, agent, [old, _]) =
        two(&format!("dinas_keys = [\"{}\"]\n{LAST}", dinas.public()));
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
    let refill = || bench.vault().refill(&bench.repository(&owner), None, true).unwrap();
    assert_eq!(refill(), 1);
    let text = to_destroy(Subject::Dataset(agent.dataset), bench.time.wall(), &owner, &dinas);
    bench.vault().carry_out(&text, false).unwrap();
    assert_eq!(refill(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_order_names_before_it_is_here_never_comes() {
    let dinas = SigningKey::generate();
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let extra = format!("dinas_keys = [\"{}\"]\n{}", dinas.public(), centre.as_source());
    let drc = Site::start(&city, &extra).await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &first).await;
    drc.pull().await;
    let gone = Snapshot::apart(&owner, &agent, &first);
    let text = to_destroy(Subject::Snapshot(gone.id), Timestamp(0), &owner, &dinas);
    assert_eq!(drc.vault.carry_out(&text, false).unwrap().destroyed, []);
    publish(&client, &owner, &gone).await;
    let next = Snapshot::apart(&owner, &agent, &gone);
    publish(&client, &owner, &next).await;
    let drc = drc.restart(&city, &extra).await;
    let pulled = drc.pull().await;
    assert_eq!((pulled.snapshots, pulled.failures), (1, 0));
    let here = drc.repository(&owner);
    let has = |id: &ManifestId| here.store().contains(Kind::Manifest, id.as_bytes()).unwrap();
    assert_eq!([&first, &gone, &next].map(|one| has(&one.id)), [true, false, true]);
    let said = drc.vault.why_gone(&here, &gone.id).unwrap().unwrap();
    assert!(said.contains("never was here") && said.contains("800/2"), "{said}");
    let gaps =
        drc.vault.alarms(1000).unwrap().into_iter().filter(|alarm| alarm.kind == "gap").count();
    assert_eq!(gaps, 0, "its successor misses nothing");
}

#[test]
fn an_automatic_hold_lapses_unless_a_person_places_another() {
    let (bench, owner, _, [old, new]) = two(LAST);
    let repository = bench.repository(&owner);
    let place = |snapshot: &Snapshot, automatic, reason| {
        let subject = Subject::Snapshot(snapshot.id);
        bench.vault().place_hold(&repository, subject, automatic, ("deteksi", reason)).unwrap()
    };
    let hold = |reason| place(&old, true, reason);
    let first = hold("enkripsi massal");
    assert_eq!(first, hold("lagi"), "one of the same is enough");
    let by_hand = place(&new, false, "a person's");
    assert_ne!(place(&new, true, "of another snapshot"), first);
    assert_ne!(place(&new, true, "beside a person's"), by_hand);
    bench.retain(&owner);
    bench.time.pass_days(29);
    let is_effective = || bench.vault().hold(&repository, &first).unwrap().is_effective();
    assert!(is_effective());
    bench.time.pass_days(1);
    assert!(!is_effective());
    assert!(bench.retain(&owner).is_empty(), "its last lock period begins only now");
    bench.time.pass_days(30);
    assert_eq!(bench.retain(&owner), [old.id]);
    assert_ne!(hold("again"), first, "one that has lapsed keeps nothing");
}

#[test]
fn a_run_under_way_keeps_what_it_builds_on() {
    let (bench, owner, agent, [old, new]) = two(LAST);
    let run = Snapshot::new(&owner, &agent, Some(&new));
    let repository = bench.repository(&owner);
    let sender = lumbung_vault::Sender::Agent { agent: agent.id, key: agent.key.public() };
    bench
        .vault()
        .put_object(&repository, Kind::Session, run.session_id.as_bytes(), &run.session, sender)
        .unwrap();
    // Meanwhile another machine with the same identity goes on: `new` is no longer the newest.
    let other = Snapshot::apart(&owner, &agent, &new);
    bench.publish(&owner, &agent, &other);
    assert_eq!(let_it_expire(&bench, &owner), [old.id]);
    let why = bench.vault().plan_retention(&repository).unwrap();
    let kept = why.iter().find(|one| one.candidate.manifest == new.id).unwrap();
    // 14 days of silence are over; the lock period after it is not.
    assert!(!kept.verdict.expires());
}

#[test]
fn a_policy_that_keeps_nothing_is_refused_and_a_dataset_may_have_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let load = |text: &str| {
        let file = dir.path().join("vault.toml");
        std::fs::write(&file, format!("data = \"/srv\"\nlisten = \"127.0.0.1:1\"\n{text}"))
            .unwrap();
        lumbung_vault::Config::load(&file)
    };
    let refused = load("[retention]\nkeep_daily = 0\n").unwrap_err().to_string();
    assert!(refused.contains("keeps nothing"), "{refused}");
    let (repository, dataset) = ("11".repeat(32), "22".repeat(16));
    let config = load(&format!(
        "[retention]\nkeep_daily = 7\n[[repository]]\nid = \"{repository}\"\nretention = {{ keep_daily = 30 }}\n\
         [[repository.dataset]]\nid = \"{dataset}\"\nretention = {{ keep_yearly = 10 }}\n"
    ))
    .unwrap();
    let (id, own) = (repository.parse().unwrap(), dataset.parse().unwrap());
    let other = lumbung_model::DatasetId::ZERO;
    let policy = |repository, dataset| config.retention_of(repository, dataset).cloned().unwrap();
    assert_eq!(policy(&id, &own).keep_yearly, 10);
    assert_eq!(policy(&id, &other).keep_daily, 30);
    assert_eq!(policy(&lumbung_model::RepositoryId::ZERO, &own).keep_daily, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_here_is_not_pulled_again_unless_refill_is_told_to() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let drc = Site::start(
        &city,
        &format!("lock = \"0 s\"\n[retention]\nkeep_last = 1\n{}", centre.as_source()),
    )
    .await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let old = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &old).await;
    let new = Snapshot::apart(&owner, &agent, &old);
    publish(&client, &owner, &new).await;
    assert_eq!(drc.pull().await.snapshots, 2);
    let repository = drc.repository(&owner);
    let receipts = || repository.store().list(Kind::Receipt).unwrap();
    let before = receipts();
    drc.vault.retain(&repository, false).unwrap();
    let expired = drc.vault.retain(&repository, false).unwrap().expired;
    let expired = if expired.is_empty() {
        drc.vault.refill(&repository, None, true).unwrap()
    } else {
        expired.len()
    };
    assert_eq!(expired, 1);
    assert_eq!(drc.pull().await.snapshots, 0);
    assert_eq!(drc.vault.refill(&repository, Some(&new.id), false).unwrap(), 0);
    assert_eq!(drc.vault.refill(&repository, None, false).unwrap(), 1);
    let pulled = drc.pull().await;
    assert_eq!((pulled.snapshots, pulled.failures), (1, 0));
    assert_eq!(receipts(), before, "the receipt that was given is given again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_reaches_back_to_what_the_source_received_before_it_for_a_refill_too() {
    let dinas = SigningKey::generate();
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let extra = format!(
        "lock = \"0 s\"\ndinas_keys = [\"{}\"]\n[retention]\nkeep_last = 1\n{}",
        dinas.public(),
        centre.as_source()
    );
    let later = Time::now();
    later.pass(3600);
    let drc = Site::start_at(&city, &extra, Arc::new(later)).await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let old = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &old).await;
    drc.pull().await;
    let new = Snapshot::apart(&owner, &agent, &old);
    let client = drc.client(Some(&city.agent_identity(&owner, &agent)));
    publish(&client, &owner, &new).await;
    let repository = drc.repository(&owner);
    let plan = drc.vault.plan_retention(&repository).unwrap();
    let first = plan.iter().map(|decided| &decided.candidate).find(|one| one.manifest == old.id);
    let issued = first.unwrap().dated;
    assert!(issued < first.unwrap().received);
    drc.vault.retain(&repository, false).unwrap();
    drc.vault.retain(&repository, false).unwrap();
    let refill = || drc.vault.refill(&repository, None, true).unwrap();
    assert_eq!(refill(), 1);
    let before = Timestamp(issued.0 - 1);
    for (issued, left) in [(before, 1), (issued, 0)] {
        let text = to_destroy(Subject::Dataset(agent.dataset), issued, &owner, &dinas);
        drc.vault.carry_out(&text, false).unwrap();
        assert_eq!(refill(), left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_signs_other_dates_later_moves_nothing_here() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let drc =
        Site::start(&city, &format!("[retention]\nkeep_daily = 2\n{}", centre.as_source())).await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    drc.pull().await;
    let dated = || drc.vault.plan_retention(&drc.repository(&owner)).unwrap()[0].candidate.dated;
    let first = dated();
    // The Pusat Data is rebuilt by somebody who signs anew: another receipt for the same snapshot.
    let names = backing::names(&centre.data, &folder(&owner, Kind::Receipt));
    let receipt = backing::lying(&centre.data, names[0].clone()).read();
    let receipt = open_signed::<lumbung_pack::Receipt>(&receipt).unwrap();
    assert_eq!(receipt.body.received, first);
    drc.vault.refill(&drc.repository(&owner), None, false).unwrap();
    drc.pull().await;
    assert_eq!(dated(), first);
    let receipts = drc.repository(&owner).store().list(Kind::Receipt).unwrap();
    assert_eq!(receipts.len(), 2, "its own and the first of the source");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_over_the_network_removes_or_holds() {
    let city = City::new();
    let site = Site::start(&city, "[retention]\nkeep_last = 1\n").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let before = site.fingerprint();
    let tombstone = Tombstone {
        repository: owner.repository,
        site: site.public.site,
        manifest: snapshot.id,
        receipt: lumbung_model::ReceiptId::ZERO,
        agent: agent.id,
        dataset: agent.dataset,
        removal: lumbung_pack::Removal::Expired,
        removed: Timestamp(0),
    };
    for key in [&agent.key, &owner.root] {
        let bytes = sign(&tombstone, key);
        let id = lumbung_pack::object_id(&bytes);
        for peer in [agent_peer(&owner, &agent), lumbung_wire::Peer::RootKey(owner.root.public())] {
            let (status, _) = site.put_as(peer, &owner, Kind::Tombstone, &id, bytes.clone()).await;
            assert!(status == 403 || status == 405, "{status}");
        }
    }
    assert_eq!(site.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_places_automatic_holds_and_nobody_else_does() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let path = format!("/v1/repositories/{}/hold", owner.repository);
    let body = |subject: &str, reason: &str| {
        serde_json::to_vec(&serde_json::json!({ "subject": subject, "reason": reason })).unwrap()
    };
    let good = body(&format!("snapshot:{}", snapshot.id), "enkripsi massal");
    let ask = async |peer, body| site.raw(peer, Method::POST, &path, body).await.0.as_u16();
    for peer in [
        agent_peer(&owner, &agent),
        Peer::RootKey(owner.root.public()),
        peer_of(Role::Site),
        Peer::Anonymous,
    ] {
        let status = ask(peer, good.clone()).await;
        assert!(status == 403 || status == 401, "{status}");
    }
    let repository = site.repository(&owner);
    assert!(site.vault.holds(&repository).unwrap().is_empty());
    for bad in [body("snapshot:1", "x"), body("all", "x"), body("repository", ""), b"{}".to_vec()] {
        let status = ask(peer_of(Role::Controller), bad).await;
        assert!((400..500).contains(&status), "{status}");
    }
    for _ in 0..2 {
        assert_eq!(ask(peer_of(Role::Controller), good.clone()).await, 200);
    }
    let [hold] = &site.vault.holds(&repository).unwrap()[..] else { panic!("one hold") };
    assert!(hold.automatic && hold.is_effective());
}
