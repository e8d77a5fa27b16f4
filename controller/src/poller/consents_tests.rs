//! What owners opened, learnt from vaults: the register, the audit log, and whose proofs count.

use lumbung_model::{ConsentId, DatasetId, ManifestId, PublicKey, Timestamp};
use lumbung_pack::{Grant, Grantee, Kind, Object, Revocation, SigningKey, StandingApproval, sign};
use lumbung_wire::messages::consents::{Consent, ConsentKind, ConsentState};
use lumbung_wire::messages::register::StepState;

use super::tests::{HOUR, at};
use crate::db::{DbError, audit, consents};
use crate::testing::{City, START};

fn grantee(key: &SigningKey) -> Grantee {
    Grantee { recipient: PublicKey::from_bytes([3; 32]), key: key.public() }
}

fn standing(city: &City, verifier: &SigningKey, dataset: DatasetId) -> StandingApproval {
    StandingApproval {
        repository: city.repository,
        consent: ConsentId::random(),
        grantee: grantee(verifier),
        dataset,
        name: "penguji DRC".into(),
        letter: "445/871/2026".into(),
        purpose: "uji pulih".into(),
        issued: START,
        from: START,
        until: at(10 * HOUR),
        base: Vec::new(),
    }
}

fn grant(city: &City, verifier: &SigningKey, part: u16, snapshot: ManifestId) -> Grant {
    Grant {
        repository: city.repository,
        consent: ConsentId::from_bytes([9; 16]),
        part,
        parts: 2,
        grantee: grantee(verifier),
        name: "Inspektorat".into(),
        letter: "700/12/2026".into(),
        purpose: "pemeriksaan".into(),
        issued: START,
        from: START,
        until: at(10 * HOUR),
        snapshots: vec![snapshot],
        encapsulated: [1; 32],
        sealed: part.to_le_bytes().repeat(20),
    }
}

fn show<T: Object>(city: &City, object: &T, key: &SigningKey) {
    city.pusat.vault.show(T::KIND, sign(object, key));
}

fn register(city: &City, now: Timestamp) -> Vec<Consent> {
    city.db.read::<_, DbError>(|tx| consents::list(tx, None, None, (now, 100))).unwrap()
}

fn log_length(city: &City) -> u64 {
    city.db.read::<_, DbError>(|tx| Ok(audit::end(tx)?.0)).unwrap()
}

/// A city with one snapshot, received an hour after its start.
async fn backed_up() -> (City, ManifestId) {
    let city = City::new();
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    let receipt = city.pusat.take(&city, &object, at(HOUR));
    city.pusat.inventory(&city, at(HOUR + 60), &[(id, receipt)]);
    city.clock.set(at(2 * HOUR));
    city.poll(&city.pusat).await;
    (city, id)
}

#[tokio::test]
async fn what_owners_opened_is_in_the_register_and_once_in_the_log() {
    let (city, id) = backed_up().await;
    let verifier = SigningKey::generate();
    let before = log_length(&city);
    let approval = standing(&city, &verifier, city.dataset);
    show(&city, &approval, &city.root);
    // The base of the approval, and a consent in two parts.
    let base = Grant { consent: approval.consent, parts: 1, ..grant(&city, &verifier, 1, id) };
    show(&city, &base, &city.root);
    for part in [1, 2] {
        show(&city, &grant(&city, &verifier, part, id), &city.root);
    }
    // Whoever holds the vault signs one itself.
    show(&city, &standing(&city, &verifier, city.dataset), &city.pusat.key);
    city.poll(&city.pusat).await;
    assert!(city.poll_error(&city.pusat).unwrap().contains("no roster lists"));
    let found = register(&city, at(2 * HOUR));
    let kinds: Vec<_> =
        found.iter().map(|one| (one.kind, one.letter.as_str(), one.state)).collect();
    assert_eq!(kinds.len(), 2, "{found:#?}");
    assert!(kinds.contains(&(ConsentKind::Standing, "445/871/2026", ConsentState::Open)));
    assert!(kinds.contains(&(ConsentKind::Grant, "700/12/2026", ConsentState::Open)));
    assert!(found.iter().all(|one| one.key == verifier.public() && one.pd == city.pd));
    // The base's grant, the other consent's first part, the approval.
    assert_eq!(log_length(&city), before + 3);
    city.poll(&city.pusat).await;
    assert_eq!(log_length(&city), before + 3, "each once");
    let revocation = Revocation {
        repository: city.repository,
        consent: approval.consent,
        revoked: at(3 * HOUR),
        reason: "selesai".into(),
    };
    show(&city, &revocation, &city.root);
    city.poll(&city.pusat).await;
    let found = register(&city, at(4 * HOUR));
    let revoked = found.iter().find(|one| one.consent == approval.consent).unwrap();
    assert_eq!((revoked.state, revoked.revoked), (ConsentState::Revoked, Some(at(3 * HOUR))));
    assert_eq!(revoked.reason.as_deref(), Some("selesai"));
    assert_eq!(log_length(&city), before + 4);
    let over = register(&city, at(11 * HOUR));
    assert!(over.iter().any(|one| one.state == ConsentState::Over));
    // Of another PD there is nothing, and pages go on from each other.
    let (other, now) = (lumbung_model::PdId::random(), at(HOUR));
    let list = |pd, behind, limit| {
        city.db.read::<_, DbError>(|tx| consents::list(tx, pd, behind, (now, limit))).unwrap()
    };
    assert_eq!(list(Some(other), None, 9), []);
    let first = list(Some(city.pd), None, 1);
    let second = list(Some(city.pd), Some((first[0].seen, first[0].consent)), 9);
    assert_eq!([first, second].concat(), list(None, None, 9));
}

#[tokio::test]
async fn a_verifiers_proof_counts_for_what_was_open_to_it_when_it_finished() {
    let prove = async |change: fn(&mut StandingApproval), finished: i64, revoked: Option<i64>| {
        let (city, id) = backed_up().await;
        let verifier = SigningKey::generate();
        let mut approval = standing(&city, &verifier, city.dataset);
        change(&mut approval);
        show(&city, &approval, &city.root);
        if let Some(revoked) = revoked {
            let revocation = Revocation {
                repository: city.repository,
                consent: approval.consent,
                revoked: at(revoked),
                reason: String::new(),
            };
            show(&city, &revocation, &city.root);
        }
        let proof = sign(&city.proof(id, at(finished)), &verifier);
        city.pusat.vault.show(Kind::Proof, proof);
        city.poll(&city.pusat).await;
        city.row().proven.state
    };
    let soon = HOUR + 600;
    assert_eq!(prove(|_| (), soon, None).await, StepState::Met);
    assert_eq!(prove(|_| (), soon, Some(soon + 1)).await, StepState::Met, "revoked since");
    assert_eq!(prove(|_| (), soon, Some(soon)).await, StepState::Missing, "revoked before");
    let another = |approval: &mut StandingApproval| approval.dataset = DatasetId::random();
    assert_eq!(prove(another, soon, None).await, StepState::Missing, "another dataset");
    let ended = |approval: &mut StandingApproval| approval.until = at(HOUR + 300);
    assert_eq!(prove(ended, soon, None).await, StepState::Missing, "finished after its end");
    let later = |approval: &mut StandingApproval| approval.from = at(HOUR + 300);
    assert_eq!(prove(later, soon, None).await, StepState::Missing, "received before it held");
    let other_key =
        |approval: &mut StandingApproval| approval.grantee.key = SigningKey::generate().public();
    assert_eq!(prove(other_key, soon, None).await, StepState::Missing, "another verifier");
}

#[tokio::test]
async fn a_grantees_proof_counts_for_the_granted_snapshot() {
    let (city, id) = backed_up().await;
    let verifier = SigningKey::generate();
    city.pusat.vault.show(Kind::Proof, sign(&city.proof(id, at(HOUR + 600)), &verifier));
    city.poll(&city.pusat).await;
    assert_eq!(city.row().proven.state, StepState::Missing);
    let other = ManifestId::from_bytes([5; 32]);
    show(&city, &grant(&city, &verifier, 1, other), &city.root);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().proven.state, StepState::Missing);
    // The consent comes after the proof.
    let grant = Grant { consent: ConsentId::random(), ..grant(&city, &verifier, 1, id) };
    show(&city, &grant, &city.root);
    city.poll(&city.pusat).await;
    assert_eq!(city.row().proven.state, StepState::Met);
}
