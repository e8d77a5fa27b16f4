//! Snapshots that go: by right, against a promise, by an order, and with forged words.

use lumbung_model::{HoldId, InventoryId, ManifestId, OrderId, ReceiptId, Timestamp};
use lumbung_pack::{
    Action, Inventory, Kind, Order, Removal, SigningKey, Subject, Tombstone, object_id, sign,
};
use lumbung_wire::messages::register::StepState;

use super::tests::{HOUR, at, honest};
use crate::testing::{City, START};

const DAY: i64 = 24 * HOUR;

/// Two snapshots at both sites, the first a day and some hours old: its lock is over at START + 25 h, and it is
/// left out of the inventory that the Pusat Data makes at START + 26 h.
struct Aged {
    city: City,
    first: ManifestId,
    first_receipt: ReceiptId,
    second: ManifestId,
    second_receipt: ReceiptId,
}

impl Aged {
    async fn new() -> Self {
        let (city, first, receipts) = honest().await;
        let (second, object) = city.signed_manifest(2, first, at(DAY));
        let second_receipt = city.pusat.take(&city, &object, at(DAY + 10));
        city.pusat.inventory(
            &city,
            at(DAY + 60),
            &[(first, receipts[0]), (second, second_receipt)],
        );
        let at_drc = city.drc.take(&city, &object, at(DAY + 20));
        city.drc.inventory(&city, at(DAY + 60), &[(first, receipts[1]), (second, at_drc)]);
        city.clock.set(at(DAY + 100));
        city.poll_both().await;
        assert_eq!(city.alarms(), Vec::<String>::new());
        Self { city, first, first_receipt: receipts[0], second, second_receipt }
    }

    fn tombstone(&self, removal: Removal, removed: Timestamp) -> Tombstone {
        Tombstone {
            repository: self.city.repository,
            site: self.city.pusat.id,
            manifest: self.first,
            receipt: self.first_receipt,
            agent: self.city.agent,
            dataset: self.city.dataset,
            removal,
            removed,
        }
    }

    fn show(&self, tombstone: &Tombstone) {
        self.city.pusat.vault.show(Kind::Tombstone, sign(tombstone, &self.city.pusat.key));
    }

    /// The first snapshot is gone by the inventory made then, and the controller has seen it.
    async fn vanish(&self, made: Timestamp) {
        self.city.pusat.inventory(&self.city, made, &[(self.second, self.second_receipt)]);
        self.city.clock.set(made.plus_seconds(60));
        self.city.poll(&self.city.pusat).await;
    }

    fn order(&self, subject: Subject) -> Order {
        Order {
            repository: self.city.repository,
            nonce: [7; 16],
            action: Action::Destroy(subject),
            issued: at(DAY),
            valid_until: at(2 * DAY),
            letter: "800/12/2027".into(),
            reason: "putusan".into(),
        }
    }

    /// The first snapshot is removed by an order that is signed with `key`, and shown.
    async fn ordered(&self, order: &Order, key: &SigningKey, removed: Timestamp) {
        let object = sign(order, key);
        let id = OrderId::from_bytes(object_id(&object));
        self.city.pusat.vault.show(Kind::Order, object);
        self.show(&self.tombstone(Removal::Ordered(id), removed));
        self.vanish(removed.plus_seconds(60)).await;
    }

    fn details(&self) -> Vec<String> {
        let rows = self
            .city
            .db
            .read(|tx| crate::db::alarms::list(tx, None, &Default::default(), 9))
            .unwrap();
        rows.into_iter().map(|row| row.finding.detail).collect()
    }
}

#[tokio::test]
async fn what_expires_after_its_lock_goes_silently_and_hides_nothing() {
    let aged = Aged::new().await;
    aged.show(&aged.tombstone(Removal::Expired, at(26 * HOUR)));
    aged.vanish(at(26 * HOUR + 60)).await;
    assert_eq!(aged.city.alarms(), Vec::<String>::new());
    assert_eq!(aged.city.poll_error(&aged.city.pusat), None);
    let row = aged.city.row();
    assert_eq!((row.snapshot, row.backed_up.state), (Some(aged.second), StepState::Met));
    assert_eq!(row.proven.state, StepState::Met, "a proof outlives its snapshot");
    // Nor later, when the tombstone is an old one.
    aged.city.pusat.inventory(&aged.city, at(30 * HOUR), &[(aged.second, aged.second_receipt)]);
    aged.city.clock.set(at(30 * HOUR));
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn what_expires_within_its_lock_is_a_broken_promise() {
    let aged = Aged::new().await;
    aged.show(&aged.tombstone(Removal::Expired, at(DAY + 200)));
    aged.vanish(at(DAY + 300)).await;
    assert_eq!(aged.city.alarms(), ["removal"]);
    let promised = at(DAY + HOUR).to_string();
    assert!(aged.details()[0].contains(&promised), "{:?}", aged.details());
    // It does not come true when the day has come.
    aged.city.clock.set(at(3 * DAY));
    aged.city.poll(&aged.city.pusat).await;
    assert!(aged.city.alarms().contains(&"removal".to_owned()));
}

#[tokio::test]
async fn a_tombstone_dated_ahead_ends_no_promise() {
    let aged = Aged::new().await;
    aged.show(&aged.tombstone(Removal::Expired, at(400 * DAY)));
    aged.vanish(at(DAY + 300)).await;
    assert_eq!(aged.city.alarms(), ["removal"]);
}

#[tokio::test]
async fn another_receipt_shortens_no_promise() {
    let aged = Aged::new().await;
    let mut receipt = aged.city.pusat.receipt(&aged.city, aged.first, at(0));
    receipt.locked_until = at(1);
    let object = sign(&receipt, &aged.city.pusat.key);
    let other = ReceiptId::from_bytes(object_id(&object));
    aged.city.pusat.vault.show(Kind::Receipt, object);
    let tombstone = aged.tombstone(Removal::Expired, at(DAY + 200));
    aged.show(&Tombstone { receipt: other, ..tombstone });
    aged.vanish(at(DAY + 300)).await;
    assert_eq!(aged.city.alarms(), ["removal"]);
}

#[tokio::test]
async fn what_an_order_destroys_is_found_once_with_its_letter() {
    let aged = Aged::new().await;
    let order = aged.order(Subject::Snapshot(aged.first));
    // Within the lock: an order may.
    aged.ordered(&order, &aged.city.root, at(DAY + 200)).await;
    assert_eq!(aged.city.alarms(), ["order"]);
    let details = aged.details();
    assert!(details[0].contains("letter 800/12/2027"), "{details:?}");
    assert!(details[0].contains(&aged.first.to_string()), "{details:?}");
    aged.city.poll(&aged.city.pusat).await;
    let all = aged
        .city
        .db
        .read(|tx| {
            crate::db::alarms::list(
                tx,
                None,
                &crate::db::alarms::Wanted { all: true, ..Default::default() },
                9,
            )
        })
        .unwrap();
    assert_eq!(all.len(), 1);
    // Shown for a month; the owner's key may be another one by then.
    let next = aged.city.next_roster(&aged.city.root, |roster| {
        roster.root_keys[0].key = SigningKey::generate().public();
    });
    aged.city.pusat.vault.show(Kind::Roster, next);
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), ["order"]);
    aged.city.clock.set(at(DAY + 200 + 30 * DAY));
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn an_order_for_the_newest_snapshot_leaves_the_older_one_to_count() {
    let aged = Aged::new().await;
    let object = sign(&aged.order(Subject::Snapshot(aged.second)), &aged.city.root);
    let id = OrderId::from_bytes(object_id(&object));
    aged.city.pusat.vault.show(Kind::Order, object);
    aged.show(&Tombstone {
        manifest: aged.second,
        receipt: aged.second_receipt,
        ..aged.tombstone(Removal::Ordered(id), at(DAY + 150))
    });
    aged.city.pusat.inventory(&aged.city, at(DAY + 160), &[(aged.first, aged.first_receipt)]);
    aged.city.clock.set(at(DAY + 170));
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), ["order"]);
    let row = aged.city.row();
    assert_eq!(row.snapshot, Some(aged.first));
    assert_eq!(row.backed_up.state, StepState::Late, "{}", row.backed_up.reason);
}

#[tokio::test]
async fn an_order_that_is_not_the_owners_or_not_for_this_snapshot_is_none() {
    let aged = Aged::new().await;
    let order = aged.order(Subject::Snapshot(aged.first));
    aged.ordered(&order, &aged.city.pusat.key, at(DAY + 200)).await;
    assert_eq!(aged.city.alarms(), ["removal"], "signed by the site itself");

    let aged = Aged::new().await;
    let order = aged.order(Subject::Snapshot(aged.second));
    aged.ordered(&order, &aged.city.root, at(DAY + 200)).await;
    assert_eq!(aged.city.alarms(), ["removal"], "for another snapshot");

    let aged = Aged::new().await;
    let order = Order {
        action: Action::Release(HoldId::from_bytes([1; 16])),
        ..aged.order(Subject::Repository)
    };
    aged.ordered(&order, &aged.city.root, at(DAY + 200)).await;
    assert_eq!(aged.city.alarms(), ["removal"], "it only releases a hold");

    let aged = Aged::new().await;
    let order = aged.order(Subject::Dataset(aged.city.dataset));
    aged.ordered(&order, &aged.city.root, at(2 * DAY + 3 * HOUR)).await;
    assert_eq!(aged.city.alarms(), ["removal"], "its validity was over");
}

#[tokio::test]
async fn an_order_that_is_not_shown_is_asked_for_again() {
    let aged = Aged::new().await;
    let object = sign(&aged.order(Subject::Repository), &aged.city.root);
    let id = OrderId::from_bytes(object_id(&object));
    aged.show(&aged.tombstone(Removal::Ordered(id), at(DAY + 200)));
    aged.vanish(at(DAY + 300)).await;
    assert_eq!(aged.city.alarms(), ["removal"]);
    aged.city.pusat.vault.show(Kind::Order, object);
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), ["order"]);
}

#[tokio::test]
async fn forged_tombstones_are_rejected_and_the_alarm_stays() {
    let aged = Aged::new().await;
    let honest = aged.tombstone(Removal::Expired, at(26 * HOUR));
    let vault = &aged.city.pusat.vault;
    let forgeries = [
        sign(&honest, &SigningKey::generate()),
        sign(&honest, &aged.city.agent_key),
        sign(&Tombstone { site: aged.city.drc.id, ..honest.clone() }, &aged.city.drc.key),
        sign(&Tombstone { site: aged.city.drc.id, ..honest.clone() }, &aged.city.pusat.key),
        sign(
            &Tombstone {
                repository: lumbung_model::RepositoryId::from_bytes([9; 32]),
                ..honest.clone()
            },
            &aged.city.pusat.key,
        ),
    ];
    aged.vanish(at(26 * HOUR + 60)).await;
    for forged in forgeries {
        vault.show(Kind::Tombstone, forged);
        aged.city.poll(&aged.city.pusat).await;
        assert_eq!(aged.city.alarms(), ["hidden"]);
        assert!(aged.city.poll_error(&aged.city.pusat).unwrap().contains("tombstone"));
        vault.hide(Kind::Tombstone);
    }
    vault.show_as(Kind::Tombstone, [5; 32], sign(&honest, &aged.city.pusat.key));
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), ["hidden"]);
    // The other site's honest word is about the other site.
    let of_drc = Tombstone { site: aged.city.drc.id, ..honest };
    aged.city.drc.vault.show(Kind::Tombstone, sign(&of_drc, &aged.city.drc.key));
    aged.city.poll_both().await;
    assert!(aged.city.alarms().contains(&"hidden".to_owned()), "{:?}", aged.city.alarms());
}

#[tokio::test]
async fn a_tombstone_that_comes_a_poll_later_clears_the_alarm() {
    let aged = Aged::new().await;
    aged.vanish(at(26 * HOUR + 60)).await;
    assert_eq!(aged.city.alarms(), ["hidden"]);
    aged.show(&aged.tombstone(Removal::Expired, at(26 * HOUR)));
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), Vec::<String>::new());
}

#[tokio::test]
async fn a_snapshot_that_came_again_and_is_lost_is_missed() {
    let aged = Aged::new().await;
    aged.show(&aged.tombstone(Removal::Expired, at(26 * HOUR)));
    aged.vanish(at(26 * HOUR + 60)).await;
    assert_eq!(aged.city.alarms(), Vec::<String>::new());
    // The operator refills: the tombstone goes, the snapshot is listed again, and then it is not.
    aged.city.pusat.vault.hide(Kind::Tombstone);
    let both = [(aged.first, aged.first_receipt), (aged.second, aged.second_receipt)];
    aged.city.pusat.inventory(&aged.city, at(30 * HOUR), &both);
    aged.city.clock.set(at(30 * HOUR + 60));
    aged.city.poll(&aged.city.pusat).await;
    assert_eq!(aged.city.alarms(), Vec::<String>::new());
    aged.vanish(at(31 * HOUR)).await;
    assert_eq!(aged.city.alarms(), ["hidden"]);
}

#[tokio::test]
async fn a_controller_that_comes_late_misses_nothing_that_went_before() {
    let city = City::new();
    let (first, _) = city.signed_manifest(1, ManifestId::ZERO, START);
    let receipt = sign(&city.pusat.receipt(&city, first, at(10)), &city.pusat.key);
    let tombstone = Tombstone {
        repository: city.repository,
        site: city.pusat.id,
        manifest: first,
        receipt: ReceiptId::from_bytes(object_id(&receipt)),
        agent: city.agent,
        dataset: city.dataset,
        removal: Removal::Expired,
        removed: at(2 * DAY),
    };
    city.pusat.vault.show(Kind::Tombstone, sign(&tombstone, &city.pusat.key));
    let (second, object) = city.signed_manifest(2, first, at(2 * DAY));
    let second_receipt = city.pusat.take(&city, &object, at(2 * DAY));
    let inventory = Inventory {
        number: 1,
        previous: InventoryId::ZERO,
        ..city.pusat.next_inventory(&city, at(2 * DAY + 60), &[(second, second_receipt)])
    };
    city.pusat.vault.show(Kind::Inventory, sign(&inventory, &city.pusat.key));
    city.clock.set(at(2 * DAY + 120));
    city.poll(&city.pusat).await;
    // Receipt 1 has not been shown: it may say anything.
    assert_eq!(city.alarms(), ["receipt-gap", "removal"]);
    city.pusat.vault.show(Kind::Receipt, receipt);
    city.poll(&city.pusat).await;
    assert_eq!(city.alarms(), Vec::<String>::new());
    assert_eq!(city.row().backed_up.state, StepState::Met);
}
