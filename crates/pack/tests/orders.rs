//! Holds, orders and tombstones: round trip, refusal of every flipped bit, and what makes a decision of an order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lumbung_model::{
    AgentId, DatasetId, HoldId, ManifestId, OrderId, ReceiptId, RepositoryId, SiteId, Timestamp,
};
use lumbung_pack::order::{agreed, read_orders, write_order};
use lumbung_pack::{
    Action, Hold, Object, Order, OrderError, Removal, Signed, SigningKey, Subject, Tombstone,
    object_id, open_signed, sign,
};

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);
const MANIFEST: ManifestId = ManifestId::from_bytes([2; 32]);
const DATASET: DatasetId = DatasetId::from_bytes([3; 16]);

fn order(action: Action) -> Order {
    Order {
        repository: REPOSITORY,
        nonce: [4; 16],
        action,
        issued: Timestamp(100),
        valid_until: Timestamp(200),
        letter: "800/12/2026".into(),
        reason: "UU 27/2022".into(),
    }
}

fn hold(subject: Subject) -> Hold {
    Hold {
        repository: REPOSITORY,
        site: SiteId::from_bytes([5; 16]),
        hold: HoldId::from_bytes([6; 16]),
        subject,
        automatic: true,
        placed: Timestamp(7),
        by: "operator".into(),
        reason: "perkara".into(),
    }
}

fn tombstone(removal: Removal) -> Tombstone {
    Tombstone {
        repository: REPOSITORY,
        site: SiteId::from_bytes([5; 16]),
        manifest: MANIFEST,
        receipt: ReceiptId::from_bytes([8; 32]),
        agent: AgentId::from_bytes([9; 16]),
        dataset: DATASET,
        removal,
        removed: Timestamp(300),
    }
}

fn check<T: Object + PartialEq + std::fmt::Debug>(object: &T) {
    let bytes = sign(object, &SigningKey::generate());
    assert_eq!(open_signed::<T>(&bytes).unwrap().body, *object);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(open_signed::<T>(&damaged).is_err(), "bit {bit} of a {}", T::KIND);
    }
}

#[test]
fn every_shape_comes_back_and_no_bit_may_flip() {
    for subject in [Subject::Snapshot(MANIFEST), Subject::Dataset(DATASET), Subject::Repository] {
        check(&order(Action::Destroy(subject)));
        check(&hold(subject));
    }
    check(&order(Action::Release(HoldId::from_bytes([6; 16]))));
    let bytes = sign(&hold(Subject::Repository), &SigningKey::generate());
    assert_eq!(open_signed::<Hold>(&bytes).unwrap().id, object_id(&bytes));
    check(&tombstone(Removal::Expired));
    check(&tombstone(Removal::Ordered(OrderId::from_bytes([7; 32]))));
}

#[test]
fn what_is_not_canonical_is_refused_even_if_it_is_signed() {
    let key = SigningKey::generate();
    let refused = |object: &Order, offset: usize, value: u8| {
        // Signed anew over the changed bytes: the signature is right, the content is not.
        let mut bytes = sign(object, &key);
        bytes[offset] = value;
        let unsigned = bytes.len() - 64;
        bytes.truncate(unsigned);
        let signature = key.sign(&bytes);
        bytes.extend(signature);
        assert!(open_signed::<Order>(&bytes).is_err(), "byte {offset} = {value}");
    };
    let dataset = order(Action::Destroy(Subject::Dataset(DATASET)));
    refused(&dataset, 64, 9); // an unknown action
    refused(&dataset, 65, 9); // an unknown subject
    refused(&dataset, 97, 1); // something behind a dataset's id
    refused(&order(Action::Destroy(Subject::Repository)), 66, 1);
    refused(&order(Action::Release(HoldId::ZERO)), 65, 1);
    let mut valid = order(Action::Destroy(Subject::Repository));
    valid.valid_until = valid.issued;
    assert!(open_signed::<Order>(&sign(&valid, &key)).is_ok(), "for a moment");
    valid.valid_until = Timestamp(99);
    assert!(open_signed::<Order>(&sign(&valid, &key)).is_err());
    let expired_by_order = tombstone(Removal::Ordered(OrderId::ZERO));
    assert!(open_signed::<Tombstone>(&sign(&expired_by_order, &key)).is_err());
}

#[test]
fn an_order_says_in_words_what_it_does() {
    let said = |subject| Action::Destroy(subject).to_string();
    assert_eq!(said(Subject::Snapshot(MANIFEST)), format!("destroy snapshot {MANIFEST}"));
    assert_eq!(said(Subject::Dataset(DATASET)), format!("destroy dataset {DATASET}"));
    assert_eq!(said(Subject::Repository), "destroy the whole repository");
    let hold = HoldId::from_bytes([6; 16]);
    assert_eq!(Action::Release(hold).to_string(), format!("release hold {hold}"));
}

#[test]
fn a_subject_covers_what_it_names() {
    let (other, elsewhere) = (ManifestId::from_bytes([9; 32]), DatasetId::from_bytes([9; 16]));
    let covers = |subject: Subject, manifest, dataset| subject.covers(manifest, dataset);
    assert!(covers(Subject::Snapshot(MANIFEST), &MANIFEST, &elsewhere));
    assert!(!covers(Subject::Snapshot(MANIFEST), &other, &DATASET));
    assert!(covers(Subject::Dataset(DATASET), &other, &DATASET));
    assert!(!covers(Subject::Dataset(DATASET), &MANIFEST, &elsewhere));
    assert!(covers(Subject::Repository, &other, &elsewhere));
}

#[test]
fn two_people_make_an_order_and_one_with_two_hats_does_not() {
    let (owner, dinas, stranger) =
        (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
    let body = order(Action::Destroy(Subject::Snapshot(MANIFEST)));
    let copy = |key: &SigningKey| open_signed::<Order>(&sign(&body, key)).unwrap();
    let known = [dinas.public()];
    let agree = |copies: &[Signed<Order>], dinas_keys: &[_]| {
        let is_root_key = |key: &_| *key == owner.public();
        agreed(copies, is_root_key, dinas_keys).map(|(one, two)| (one.signer, two.signer))
    };
    assert_eq!(agree(&[copy(&dinas), copy(&owner)], &known), Ok((owner.public(), dinas.public())));
    assert_eq!(agree(&[], &known), Err(OrderError::Owner));
    assert_eq!(agree(&[copy(&owner)], &known), Err(OrderError::Dinas));
    assert_eq!(agree(&[copy(&dinas)], &known), Err(OrderError::Owner));
    assert_eq!(agree(&[copy(&owner), copy(&stranger)], &known), Err(OrderError::Dinas));
    assert_eq!(agree(&[copy(&owner)], &[owner.public()]), Err(OrderError::Dinas));
    let mut other = body.clone();
    other.nonce = [0; 16];
    let other = open_signed::<Order>(&sign(&other, &dinas)).unwrap();
    assert_eq!(agree(&[copy(&owner), other], &known), Err(OrderError::Different));
}

#[test]
fn an_orders_file_holds_its_signed_copies() {
    let keys = [SigningKey::generate(), SigningKey::generate()];
    let body = order(Action::Release(HoldId::from_bytes([6; 16])));
    let text: String = keys.iter().map(|key| write_order(&sign(&body, key))).collect();
    let read = read_orders(&format!("# dicetak 25 November\n{text}")).unwrap();
    let signers: Vec<_> = read.iter().map(|(copy, _)| copy.signer).collect();
    assert_eq!(signers, [keys[0].public(), keys[1].public()]);
    assert!(read.iter().all(|(copy, bytes)| copy.body == body
        && *bytes == sign(&body, &keys[usize::from(copy.signer == keys[1].public())])));
    assert!(matches!(read_orders("nothing"), Err(OrderError::Text(_))));
    assert!(matches!(read_orders(&text.replacen('A', "B", 3)), Err(OrderError::Text(_))));
}
