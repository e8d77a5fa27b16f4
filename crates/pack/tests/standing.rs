//! Standing approvals and openings: what is written comes back, and what breaks a rule does not.

mod signed;

use lumbung_model::{
    ConsentId, DatasetId, ManifestId, PublicKey, RepositoryId, RosterId, SessionId, Timestamp,
};
use lumbung_pack::grant::longest;
use lumbung_pack::standing::{honoured, read_approval, write_approval};
use lumbung_pack::{
    ChunkerParams, Grantee, Recipient, RootKey, RootRole, Roster, RosterChain, SessionOpening,
    SigningKey, StandingApproval, encode, open_signed, sign,
};
use signed::check_signed;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);

fn approval() -> StandingApproval {
    StandingApproval {
        repository: REPOSITORY,
        consent: ConsentId::from_bytes([2; 16]),
        grantee: Grantee {
            recipient: PublicKey::from_bytes([3; 32]),
            key: PublicKey::from_bytes([4; 32]),
        },
        dataset: DatasetId::from_bytes([9; 16]),
        name: "penguji DRC".into(),
        letter: "445/871/2026".into(),
        purpose: "uji pulih terjadwal".into(),
        issued: Timestamp(1_800_000_000),
        from: Timestamp(1_800_000_100),
        until: Timestamp(1_815_000_000),
        base: vec![ManifestId::from_bytes([5; 32]), ManifestId::from_bytes([6; 32])],
    }
}

fn opening() -> SessionOpening {
    SessionOpening {
        repository: REPOSITORY,
        session: SessionId::from_bytes([7; 32]),
        consent: ConsentId::from_bytes([2; 16]),
        recipient: PublicKey::from_bytes([3; 32]),
        encapsulated: [8; 32],
        ciphertext: [9; 48],
    }
}

#[test]
fn they_are_whole_or_refused() {
    check_signed(&approval());
    check_signed(&StandingApproval { base: Vec::new(), ..approval() });
    check_signed(&opening());
}

type Change = fn(&mut StandingApproval);

#[test]
fn an_approval_breaks_no_rule() {
    let key = SigningKey::generate();
    let read = |change: Change| {
        let mut changed = approval();
        change(&mut changed);
        open_signed::<StandingApproval>(&sign(&changed, &key)).is_ok()
    };
    assert!(read(|_| ()));
    assert!(read(|a| a.until = a.from));
    assert!(read(|a| a.until = longest(a.issued)));
    let refused: [(&str, Change); 7] = [
        ("no consent", |a| a.consent = ConsentId::ZERO),
        ("ends before it begins", |a| a.until = Timestamp(a.from.0 - 1)),
        ("over when made", |a| (a.from, a.until) = (Timestamp(0), Timestamp(a.issued.0 - 1))),
        ("for more than 366 days", |a| a.until = Timestamp(longest(a.issued).0 + 1)),
        ("out of order", |a| a.base.reverse()),
        ("one twice", |a| a.base[1] = a.base[0]),
        ("too many", |a| {
            a.base = (0..1025_u32)
                .map(|i| {
                    let mut id = [0; 32];
                    id[..4].copy_from_slice(&i.to_be_bytes());
                    ManifestId::from_bytes(id)
                })
                .collect();
        }),
    ];
    for (what, change) in refused {
        assert!(!read(change), "{what}");
    }
    let mut nobodys = opening();
    nobodys.consent = ConsentId::ZERO;
    assert!(open_signed::<SessionOpening>(&sign(&nobodys, &key)).is_err());
}

#[test]
fn it_holds_from_its_first_second_to_its_last() {
    let approval = approval();
    let at = |moment: Timestamp, by| approval.holds_at(moment.plus_seconds(by));
    assert!(!at(approval.from, -1) && at(approval.from, 0));
    assert!(at(approval.until, 0) && !at(approval.until, 1));
}

#[test]
fn what_hpke_binds_is_all_before_the_encapsulated_key() {
    let opening = opening();
    let bytes = encode(&opening);
    let aad = opening.aad();
    assert_eq!(bytes[..aad.len()], aad);
    assert_eq!(bytes[aad.len()..aad.len() + 32], [8; 32]);
}

#[test]
fn only_a_root_key_of_the_newest_roster_approves() {
    let (root, next, other) =
        (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
    let listed = |key: &SigningKey| RootKey {
        key: key.public(),
        role: RootRole::Working,
        label: String::new(),
    };
    let first = Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: Timestamp(0),
        chunker: ChunkerParams::default(),
        root_keys: vec![listed(&root)],
        registrar: Some(other.public()),
        recipients: vec![Recipient { key: PublicKey::from_bytes([7; 32]), label: String::new() }],
        agents: Vec::new(),
        sites: Vec::new(),
    };
    let mut chain = RosterChain::begin(&sign(&first, &root), None).unwrap();
    let repository = chain.repository();
    let of = |key: &SigningKey, repository| {
        open_signed(&sign(&StandingApproval { repository, ..approval() }, key)).unwrap()
    };
    assert!(honoured(&chain, &of(&root, repository)));
    assert!(!honoured(&chain, &of(&other, repository)), "the registrar");
    assert!(!honoured(&chain, &of(&root, REPOSITORY)), "of another repository");
    let second = Roster {
        repository,
        number: 2,
        previous: chain.current().id,
        root_keys: vec![listed(&next)],
        ..first
    };
    chain.push(&sign(&second, &root)).unwrap();
    assert!(!honoured(&chain, &of(&root, repository)), "withdrawn");
    assert!(honoured(&chain, &of(&next, repository)));
}

#[test]
fn its_file_says_what_the_object_says() {
    let key = SigningKey::generate();
    let text = write_approval(&sign(&approval(), &key));
    let read = read_approval(&format!("# dari RSUD\n{text}")).unwrap();
    assert_eq!((read.body, read.signer), (approval(), key.public()));
    assert!(read_approval(&write_approval(&sign(&opening(), &key))).is_err());
    assert!(read_approval("anything").is_err());
}
