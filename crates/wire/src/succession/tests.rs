//! Two officers, each time, and no way around them.

use lumbung_model::{PublicKey, Timestamp};
use proptest::prelude::*;

use super::*;

fn seat(number: u8) -> Seat {
    Seat {
        url: format!("https://c{number}.example.go.id:7443"),
        pin: TlsPin::from_bytes([number; 32]),
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&lumbung_model::Secret::new([number; 32]))
}

fn officers(numbers: &[u8]) -> Vec<Officer> {
    let one =
        |number: &u8| Officer { name: format!("Pejabat {number}"), key: key(*number).public() };
    numbers.iter().map(one).collect()
}

fn statement(before: Option<&Chain>, controller: u8) -> Statement {
    Statement {
        epoch: before.map_or(0, Chain::epoch) + 1,
        previous: before.map(Chain::newest_hash),
        ca: format!("sha256:{}", TlsPin::from_bytes([9; 32])),
        controller: seat(controller),
        standbys: vec![seat(controller + 1)],
        officers: officers(&[101, 102, 103]),
        made: Timestamp(1_800_000_000),
        reason: "Surat 1/2026".into(),
    }
}

/// The statement after `before`, signed by these.
fn after(before: Option<&Chain>, statement: &Statement, signers: &[u8]) -> Succession {
    let mut all = before.map(Chain::to_message).unwrap_or_default();
    all.statements.push(draft(statement).unwrap());
    for signer in signers {
        sign(&mut all, &key(*signer)).unwrap();
    }
    all
}

fn founded() -> Chain {
    Chain::open(&after(None, &statement(None, 1), &[101, 102])).unwrap()
}

#[test]
fn one_officer_alone_states_nothing() {
    let first = statement(None, 1);
    for alone in [&[][..], &[101], &[101, 101]] {
        let refused = Chain::open(&after(None, &first, alone));
        assert_eq!(
            refused,
            Err(SuccessionError::Quorum { epoch: 1, found: usize::from(!alone.is_empty()) })
        );
    }
    let chain = founded();
    let next = statement(Some(&chain), 2);
    assert!(matches!(
        Chain::open(&after(Some(&chain), &next, &[103])),
        Err(SuccessionError::Quorum { epoch: 2, found: 1 })
    ));
    let chain = Chain::open(&after(Some(&chain), &next, &[103, 101])).unwrap();
    assert_eq!((chain.epoch(), chain.standing(&seat(2).pin)), (2, ControllerState::Acting));
    assert_eq!(chain.standing(&seat(1).pin), ControllerState::Superseded);
    assert_eq!(chain.standing(&seat(3).pin), ControllerState::Standby);
    assert_eq!(chain.standing(&seat(7).pin), ControllerState::Unnamed);
}

#[test]
fn officers_of_the_statement_before_decide_and_no_others() {
    let chain = founded();
    // Whoever has the CA's key names officers of their own, and signs with those.
    let mut own = statement(Some(&chain), 66);
    own.officers = officers(&[201, 202]);
    let mut all = chain.to_message();
    all.statements.push(draft(&own).unwrap());
    assert!(matches!(sign(&mut all, &key(201)), Err(SuccessionError::NoOfficer(_))));
    let text = all.statements[1].text.clone();
    for number in [201, 202] {
        let signature =
            key(number).sign(&message(&text)).iter().map(|b| format!("{b:02x}")).collect();
        all.statements[1]
            .signatures
            .push(OfficerSignature { key: key(number).public(), signature });
    }
    assert_eq!(Chain::open(&all), Err(SuccessionError::Quorum { epoch: 2, found: 0 }));
    // A real officer's signature under another officer's name.
    let real = after(Some(&chain), &own, &[101]).statements[1].signatures[0].clone();
    all.statements[1].signatures =
        vec![real.clone(), OfficerSignature { key: key(102).public(), ..real }];
    assert_eq!(Chain::open(&all), Err(SuccessionError::Quorum { epoch: 2, found: 1 }));
    // Two of the old ones may hand over to new ones, who count from then on.
    let handed = Chain::open(&after(Some(&chain), &own, &[101, 102])).unwrap();
    let next = Statement { officers: officers(&[201, 202]), ..statement(Some(&handed), 1) };
    let mut all = handed.to_message();
    all.statements.push(draft(&next).unwrap());
    assert!(matches!(sign(&mut all, &key(101)), Err(SuccessionError::NoOfficer(_))));
}

#[test]
fn what_does_not_follow_is_refused() {
    let chain = founded();
    let other = Chain::open(&after(None, &statement(None, 5), &[101, 103])).unwrap();
    let right = statement(Some(&chain), 2);
    for wrong in [
        Statement { epoch: 3, ..right.clone() },
        Statement { epoch: 1, ..right.clone() },
        Statement { previous: None, ..right.clone() },
        Statement { previous: Some(other.newest_hash()), ..right.clone() },
        Statement { ca: "sha256:other".into(), ..right.clone() },
    ] {
        let mut all = chain.to_message();
        all.statements.push(draft(&wrong).unwrap());
        assert!(matches!(proposal(&all), Err(SuccessionError::Order(_))), "{wrong:?}");
        assert!(matches!(Chain::open(&all), Err(SuccessionError::Order(_))));
    }
    // An epoch out of the blue is no beginning.
    let mut alone = Succession { statements: vec![draft(&right).unwrap()] };
    assert!(matches!(sign(&mut alone, &key(101)), Err(SuccessionError::Order(2))));
}

#[test]
fn what_makes_no_sense_is_not_drawn_up() {
    let right = statement(None, 1);
    let twice = Officer { name: "Lain".into(), key: key(101).public() };
    for wrong in [
        Statement { officers: officers(&[101]), ..right.clone() },
        Statement { officers: [officers(&[101]), vec![twice]].concat(), ..right.clone() },
        Statement { officers: officers(&(1..=17).collect::<Vec<_>>()), ..right.clone() },
        Statement { standbys: vec![seat(1)], ..right.clone() },
        Statement { controller: Seat { url: "http://c".into(), ..seat(1) }, ..right.clone() },
        Statement { controller: Seat { url: "https://c/ x".into(), ..seat(1) }, ..right.clone() },
        Statement { reason: " ".into(), ..right.clone() },
        Statement { reason: "a\nb".into(), ..right.clone() },
    ] {
        assert!(matches!(draft(&wrong), Err(SuccessionError::Value { .. })), "{wrong:?}");
    }
}

#[test]
fn chains_are_the_same_newer_older_or_contradict_each_other() {
    let one = founded();
    let next = |controller, signers: &[u8]| {
        Chain::open(&after(Some(&one), &statement(Some(&one), controller), signers)).unwrap()
    };
    let (two, three) = (next(2, &[101, 102]), next(3, &[101, 102]));
    assert_eq!(one.relation(&one), Relation::Same);
    assert_eq!(two.relation(&one), Relation::Newer);
    assert_eq!(one.relation(&two), Relation::Older);
    assert_eq!(two.relation(&three), Relation::Fork);
    assert_eq!(two.relation(&next(2, &[102, 103])), Relation::Same);
}

proptest! {
    #[test]
    fn a_changed_byte_or_a_bent_text_never_holds(at in any::<prop::sample::Index>(), bit in 0u8..7) {
        let chain = founded();
        let mut all = after(Some(&chain), &statement(Some(&chain), 2), &[101, 102]);
        let mut bytes = all.statements[1].text.clone().into_bytes();
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(bytes) {
            all.statements[1].text = text;
            prop_assert!(Chain::open(&all).is_err());
        }
    }

    #[test]
    fn hostile_texts_are_answered(text in ".{0,200}", key in any::<[u8; 32]>()) {
        let signature = OfficerSignature { key: PublicKey::from_bytes(key), signature: text.clone() };
        let signed = SignedStatement { text, signatures: vec![signature] };
        let refused = Chain::open(&Succession { statements: vec![signed] }).is_err();
        prop_assert!(refused);
    }
}

#[test]
fn other_spellings_of_the_same_statement_are_refused() {
    let mut all = after(None, &statement(None, 1), &[]);
    all.statements[0].text.insert(1, ' ');
    assert_eq!(proposal(&all).unwrap_err(), SuccessionError::Unreadable(1));
}

#[test]
fn a_chain_is_extended_by_what_follows_on_it_only() {
    let first = founded();
    let second = after(Some(&first), &statement(Some(&first), 2), &[101, 103]);
    let long = Chain::open(&second).unwrap();
    assert_eq!(first.met(&second), Relation::Newer);
    assert_eq!(first.met(&Succession::default()), Relation::Older);
    assert_eq!(long.met(&first.to_message()), Relation::Older);
    assert_eq!(long.met(&second), Relation::Same);
    // What is known is not verified again, and keeps its signatures.
    let mut late = second.clone();
    late.statements[0].signatures.clear();
    assert_eq!(first.extend(&late), Ok(long.clone()));
    assert_eq!(long.signers(), officers(&[101, 103]));
    let mut alone = second.clone();
    alone.statements[1].signatures.pop();
    assert!(matches!(first.extend(&alone), Err(SuccessionError::Quorum { epoch: 2, found: 1 })));
    for no_further in [Succession::default(), first.to_message()] {
        assert!(matches!(first.extend(&no_further), Err(SuccessionError::Order(2))));
    }
    let fork = after(Some(&first), &statement(Some(&first), 4), &[101, 103]);
    assert_eq!(long.met(&fork), Relation::Fork);
    assert!(matches!(long.extend(&fork), Err(SuccessionError::Order(3))));
}
