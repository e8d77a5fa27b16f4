//! Requests, grants and revocations: what is written comes back, and what breaks a rule does not.

mod signed;

use lumbung_model::{
    ConsentId, DatasetId, ManifestId, PublicKey, RepositoryId, RosterId, SessionId, ShareSetId,
    Timestamp,
};
use lumbung_pack::grant::{
    GrantFileError, grantee, honoured, longest, read_grants, read_request, whole, write_grants,
    write_request,
};
use lumbung_pack::{
    ChunkerParams, FormatError, Grant, GrantRequest, Grantee, Recipient, Rehearsal, Revocation,
    RootKey, RootRole, Roster, RosterChain, SigningKey, Wanted, Wrap, WrappedSession, encode,
    open_signed, sign,
};
use signed::check_signed;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);

fn grant() -> Grant {
    Grant {
        repository: REPOSITORY,
        consent: ConsentId::from_bytes([2; 16]),
        part: 1,
        parts: 2,
        grantee: Grantee {
            recipient: PublicKey::from_bytes([3; 32]),
            key: PublicKey::from_bytes([4; 32]),
        },
        name: "Inspektorat".into(),
        letter: "700/12/2026".into(),
        purpose: "pemeriksaan".into(),
        issued: Timestamp(1_800_000_000),
        from: Timestamp(1_800_000_100),
        until: Timestamp(1_800_600_000),
        snapshots: vec![ManifestId::from_bytes([5; 32]), ManifestId::from_bytes([6; 32])],
        encapsulated: [7; 32],
        sealed: vec![8; 40],
    }
}

fn request() -> GrantRequest {
    GrantRequest {
        repository: REPOSITORY,
        recipient: PublicKey::from_bytes([3; 32]),
        name: "Inspektorat".into(),
        letter: String::new(),
        purpose: "pemeriksaan".into(),
        drawn_up: Timestamp(1_800_000_000),
        lasting_s: 604_800,
        wanted: vec![
            Wanted::Snapshot(ManifestId::from_bytes([5; 32])),
            Wanted::Latest(DatasetId::from_bytes([9; 16])),
            Wanted::Standing(DatasetId::from_bytes([10; 16])),
        ],
    }
}

fn revocation() -> Revocation {
    Revocation {
        repository: REPOSITORY,
        consent: ConsentId::from_bytes([2; 16]),
        revoked: Timestamp(1_800_000_500),
        reason: "kunci pemohon hilang".into(),
    }
}

fn wrap() -> Wrap {
    let wrapped = |first| WrappedSession {
        session: SessionId::from_bytes([first; 32]),
        encapsulated: [1; 32],
        ciphertext: [2; 80],
    };
    Wrap {
        repository: REPOSITORY,
        made: Timestamp(1_800_000_000),
        recipient: PublicKey::from_bytes([3; 32]),
        sessions: vec![wrapped(1), wrapped(2)],
    }
}

#[test]
fn a_wrap_names_each_session_once() {
    let key = SigningKey::generate();
    let reads = |change: fn(&mut Wrap)| {
        let mut changed = wrap();
        change(&mut changed);
        open_signed::<Wrap>(&sign(&changed, &key)).is_ok()
    };
    assert!(reads(|_| ()));
    assert!(!reads(|w| w.sessions.clear()));
    assert!(!reads(|w| w.sessions.reverse()));
    assert!(!reads(|w| w.sessions[1] = w.sessions[0].clone()));
    let aad = Wrap::aad(&REPOSITORY, &SessionId::from_bytes([9; 32]));
    assert_eq!((&aad[..32], &aad[32..]), (&[1; 32][..], &[9; 32][..]));
}

type Change = fn(&mut Grant);

#[test]
fn they_are_whole_or_refused() {
    check_signed(&grant());
    check_signed(&request());
    check_signed(&revocation());
    check_signed(&wrap());
    check_signed(&Rehearsal {
        set: ShareSetId::from_bytes([1; 16]),
        threshold: 2,
        shares: 3,
        recovery: PublicKey::from_bytes([3; 32]),
        at: Timestamp(1_800_000_000),
        present: vec![(1, "Sekda".into()), (3, "Inspektorat".into())],
        note: "ruang rapat".into(),
    });
}

#[test]
fn a_grant_breaks_no_rule() {
    let key = SigningKey::generate();
    let read = |change: fn(&mut Grant)| {
        let mut changed = grant();
        change(&mut changed);
        open_signed::<Grant>(&sign(&changed, &key)).map(|_| ())
    };
    assert_eq!(read(|_| ()), Ok(()));
    assert_eq!(read(|g| g.until = g.from), Ok(()));
    assert_eq!(read(|g| g.until = longest(g.issued)), Ok(()));
    assert_eq!(read(|g| (g.part, g.parts) = (64, 64)), Ok(()));
    let refused: [(&str, Change); 11] = [
        ("no consent", |g| g.consent = ConsentId::ZERO),
        ("part 0", |g| g.part = 0),
        ("part 3 of 2", |g| g.part = 3),
        ("65 parts", |g| g.parts = 65),
        ("ends before it begins", |g| g.until = Timestamp(g.from.0 - 1)),
        ("over when made", |g| {
            g.from = Timestamp(0);
            g.until = Timestamp(g.issued.0 - 1);
        }),
        ("for more than 366 days", |g| g.until = Timestamp(longest(g.issued).0 + 1)),
        ("of nothing", |g| g.snapshots.clear()),
        ("out of order", |g| g.snapshots.reverse()),
        ("one twice", |g| g.snapshots[1] = g.snapshots[0]),
        ("of too many", |g| {
            g.snapshots = (0..1025_u32)
                .map(|i| {
                    let mut id = [0; 32];
                    id[..4].copy_from_slice(&i.to_be_bytes());
                    ManifestId::from_bytes(id)
                })
                .collect();
        }),
    ];
    for (what, change) in refused {
        assert!(read(change).is_err(), "{what}");
    }
    assert!(matches!(read(|g| g.sealed = vec![0; (15 << 20) + 1]), Err(FormatError::Limit { .. })));
}

#[test]
fn what_hpke_binds_is_all_before_the_encapsulated_key() {
    let grant = grant();
    let bytes = encode(&grant);
    let aad = grant.aad();
    assert_eq!(bytes[..aad.len()], aad);
    assert_eq!(bytes[aad.len()..aad.len() + 32], [7; 32]);
}

#[test]
fn a_request_names_whoever_signed_it() {
    let key = SigningKey::generate();
    let text = write_request(&sign(&request(), &key));
    let read = read_request(&format!("# dari Inspektorat\n{text}")).unwrap();
    assert_eq!(read.body, request());
    assert_eq!(grantee(&read), Grantee { recipient: request().recipient, key: key.public() });
    let mut nothing = request();
    nothing.wanted.clear();
    let text = write_request(&sign(&nothing, &key));
    assert!(matches!(read_request(&text), Err(GrantFileError::Format(_))));
    let other = write_request(&sign(&grant(), &key));
    assert!(matches!(read_request(&other), Err(GrantFileError::Format(_))));
}

#[test]
fn a_file_holds_every_part_of_one_consent_in_any_order() {
    let key = SigningKey::generate();
    let part = |change: fn(&mut Grant)| {
        let mut changed = grant();
        change(&mut changed);
        sign(&changed, &key)
    };
    let first = part(|_| ());
    let second = part(|g| (g.part, g.sealed) = (2, vec![1; 20]));
    let read = |objects: &[&Vec<u8>]| {
        read_grants(&write_grants(objects.iter().map(|object| object.as_slice())))
    };
    for objects in [[&first, &second], [&second, &first]] {
        let grants = read(&objects).unwrap();
        let parts: Vec<_> = grants.iter().map(|(grant, bytes)| (grant.body.part, bytes)).collect();
        assert_eq!(parts, [(1, &first), (2, &second)]);
    }
    assert_eq!(read(&[&second]).unwrap_err(), GrantFileError::Part { part: 1, parts: 2 });
    assert_eq!(read(&[&first]).unwrap_err(), GrantFileError::Part { part: 2, parts: 2 });
    assert_eq!(read(&[&first, &first]).unwrap_err(), GrantFileError::Mixed);
    let mixed: [fn(&mut Grant); 4] = [
        |g| (g.part, g.consent) = (2, ConsentId::from_bytes([9; 16])),
        |g| (g.part, g.until) = (2, Timestamp(g.until.0 + 1)),
        |g| (g.part, g.grantee.key) = (2, PublicKey::from_bytes([9; 32])),
        |g| {
            g.part = 2;
            g.snapshots.pop();
        },
    ];
    for change in mixed {
        assert_eq!(read(&[&first, &part(change)]).unwrap_err(), GrantFileError::Mixed);
    }
    // Signed by two.
    let mut of_another = grant();
    of_another.part = 2;
    let of_another = sign(&of_another, &SigningKey::generate());
    assert_eq!(read(&[&first, &of_another]).unwrap_err(), GrantFileError::Mixed);
    assert!(matches!(read_grants("anything"), Err(GrantFileError::Text(_))));
    assert_eq!(whole(&mut []), Ok(()));
}

#[test]
fn only_a_root_key_of_the_newest_roster_grants() {
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
    let bytes = sign(&first, &root);
    let mut chain = RosterChain::begin(&bytes, None).unwrap();
    let of = |key: &SigningKey, repository| {
        open_signed::<Grant>(&sign(&Grant { repository, ..grant() }, key)).unwrap()
    };
    let repository = chain.repository();
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
