//! Lists of portable media, and the sizes and names that all objects share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lumbung_model::{ManifestId, MediumId, MediumListId, RepositoryId, SiteId, Timestamp};
use lumbung_pack::limits::OBJECT_MAX_BYTES;
use lumbung_pack::{
    FormatError, Kind, MediumList, MediumObjects, MediumSnapshot, Segment, SigningKey, decode,
    open_signed, sign,
};

fn snapshot(number: u8) -> MediumSnapshot {
    let manifest = ManifestId::from_bytes([number; 32]);
    MediumSnapshot { manifest, bytes: u64::from(number), alone: number.is_multiple_of(2) }
}

fn list() -> MediumList {
    MediumList {
        repository: RepositoryId::from_bytes([1; 32]),
        medium: MediumId::from_bytes([2; 16]),
        number: 1,
        previous: MediumListId::ZERO,
        made: Timestamp(100),
        site: SiteId::from_bytes([3; 16]),
        origin: "Pusat Data".into(),
        label: "HDD-07".into(),
        serial: String::new(),
        custodian: String::new(),
        place: String::new(),
        roster_number: 1,
        bases: Vec::new(),
        // More than a list may hold by a wrong reading of its limit.
        snapshots: (0..250).map(snapshot).collect(),
        objects: [(Kind::Roster, 7), (Kind::Pack, 5)]
            .map(|(kind, bytes)| MediumObjects { kind, bytes, ids: vec![[1; 32], [4; 32]] })
            .to_vec(),
    }
}

fn read(list: &MediumList) -> Result<MediumList, FormatError> {
    open_signed::<MediumList>(&sign(list, &SigningKey::generate())).map(|signed| signed.body)
}

#[test]
fn a_list_comes_back_and_answers_for_what_it_names() {
    let list = read(&list()).unwrap();
    assert_eq!(list, self::list());
    assert_eq!(list.bytes(), 12);
    assert_eq!(list.snapshot(&ManifestId::from_bytes([249; 32])), Some(&snapshot(249)));
    assert_eq!(list.snapshot(&ManifestId::from_bytes([250; 32])), None);
    assert!(list.names(Kind::Manifest, &[9; 32]) && !list.names(Kind::Manifest, &[255; 32]));
    assert!(list.names(Kind::Pack, &[4; 32]) && !list.names(Kind::Pack, &[5; 32]));
    assert!(!list.names(Kind::Segment, &[4; 32]));
}

#[test]
fn a_list_names_no_manifests_among_its_objects_and_nothing_that_no_repository_holds() {
    for kind in [Kind::Manifest, Kind::MediumList] {
        let mut wrong = list();
        wrong.objects = vec![MediumObjects { kind, bytes: 1, ids: vec![[1; 32]] }];
        let refused = read(&wrong);
        assert!(matches!(refused, Err(FormatError::UnknownKind(_))), "{kind}: {refused:?}");
    }
}

#[test]
fn an_object_has_a_size_and_a_mediums_list_a_larger_one() {
    let too_long = |read: Result<(), FormatError>| matches!(read, Err(FormatError::Limit { .. }));
    let segment = |length| decode::<Segment>(&vec![0; length]).map(drop);
    assert!(too_long(segment(OBJECT_MAX_BYTES + 1)));
    assert!(!too_long(segment(OBJECT_MAX_BYTES)), "it is refused as what it is");
    let list = open_signed::<MediumList>(&vec![0; OBJECT_MAX_BYTES + 1]).map(drop);
    assert!(list.is_err() && !too_long(list));
}

#[test]
fn a_kind_is_known_by_its_folder_and_shown_by_its_name() {
    for kind in Kind::REPOSITORY {
        assert_eq!(Kind::from_folder(kind.folder()), Some(kind));
        assert_eq!(kind.to_string(), kind.name());
    }
    assert_eq!(Kind::from_folder("lost+found"), None);
    assert_eq!((Kind::Pack.folder(), Kind::Pack.to_string()), ("packs", "pack".to_owned()));
}
