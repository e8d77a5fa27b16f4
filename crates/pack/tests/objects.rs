//! Every kind of object: round trip, canonical form, and refusal of every flipped bit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod signed;

use std::collections::HashSet;

use lumbung_model::{
    AgentId, ChunkId, DatasetId, DomainId, FrameHash, InventoryId, ManifestId, MediumId,
    MediumListId, PackId, PublicKey, ReceiptId, RepositoryId, RosterId, SegmentId, SessionId,
    SiteId, Timestamp, TlsPin, UsageId,
};
use lumbung_pack::limits::PACK_MAX_FRAMES;
use lumbung_pack::{
    AgentStatus, Bitmap, BuiltUsage, ChunkerParams, Content, Encoding, FormatError, FrameEntry,
    Inventory, InventoryEntry, Kind, Manifest, MediumBase, MediumList, MediumObjects,
    MediumSnapshot, PackHeader, PackTable, PackUse, Proof, Receipt, Recipient, RootKey, RootRole,
    Roster, RosterAgent, RosterSite, ScrubReport, SealedKey, Segment, SegmentRef, Session,
    SigningKey, Statistics, UsageBuilder, UsageList, decode, encode, open_signed, sign,
};
use proptest::prelude::{any, proptest};
use signed::check_signed;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);
const AGENT: AgentId = AgentId::from_bytes([2; 16]);
const DOMAIN: DomainId = DomainId::from_bytes([3; 16]);
const DATASET: DatasetId = DatasetId::from_bytes([4; 16]);
const SITE: SiteId = SiteId::from_bytes([5; 16]);

fn roster() -> Roster {
    Roster {
        repository: REPOSITORY,
        number: 2,
        previous: RosterId::from_bytes([9; 32]),
        created: Timestamp(1_700_000_000),
        chunker: ChunkerParams::default(),
        root_keys: vec![
            RootKey {
                key: PublicKey::from_bytes([6; 32]),
                role: RootRole::Working,
                label: "kerja".into(),
            },
            RootKey {
                key: PublicKey::from_bytes([7; 32]),
                role: RootRole::Spare,
                label: "kertas".into(),
            },
        ],
        registrar: Some(PublicKey::from_bytes([8; 32])),
        recipients: vec![Recipient { key: PublicKey::from_bytes([9; 32]), label: "RSUD".into() }],
        agents: vec![RosterAgent {
            agent: AGENT,
            key: PublicKey::from_bytes([10; 32]),
            domain: DOMAIN,
            status: AgentStatus::Withdrawn,
            label: "srv-simrs".into(),
        }],
        sites: vec![RosterSite {
            site: SITE,
            receipt_key: PublicKey::from_bytes([11; 32]),
            tls_pin: TlsPin::from_bytes([12; 32]),
            label: "DRC".into(),
        }],
    }
}

fn session() -> Session {
    Session {
        repository: REPOSITORY,
        agent: AGENT,
        domain: DOMAIN,
        dataset: DATASET,
        started: Timestamp(5),
        roster_number: 2,
        sealed: vec![SealedKey {
            recipient: PublicKey::from_bytes([13; 32]),
            encapsulated: [14; 32],
            ciphertext: [15; 80],
        }],
    }
}

fn manifest() -> Manifest {
    Manifest {
        repository: REPOSITORY,
        agent: AGENT,
        dataset: DATASET,
        domain: DOMAIN,
        partial: true,
        epoch: 1,
        sequence: 7,
        previous: ManifestId::from_bytes([16; 32]),
        started: Timestamp(10),
        finished: Timestamp(20),
        roster_number: 2,
        statistics: Statistics { files: 1, content_bytes: 2, flagged: 3, ..Statistics::default() },
        usage: UsageId::from_bytes([17; 32]),
        sessions: [9_u8, 2, 5].map(|i| SessionId::from_bytes([i; 32])).to_vec(),
        root_salt: [18; 32],
        sealed_root: vec![19; 50],
    }
}

fn receipt() -> Receipt {
    Receipt {
        repository: REPOSITORY,
        site: SITE,
        manifest: ManifestId::from_bytes([20; 32]),
        number: 3,
        received: Timestamp(1),
        locked_until: Timestamp(2),
        pulled_from: Some(SiteId::from_bytes([21; 16])),
    }
}

fn inventory() -> Inventory {
    let entry = |i| InventoryEntry {
        manifest: ManifestId::from_bytes([i; 32]),
        receipt: ReceiptId::from_bytes([i + 1; 32]),
    };
    Inventory {
        repository: REPOSITORY,
        site: SITE,
        number: 2,
        previous: InventoryId::from_bytes([22; 32]),
        made: Timestamp(4),
        roster_number: 2,
        packs: 5,
        bytes: 6,
        entries: vec![entry(1), entry(4)],
    }
}

fn scrub() -> ScrubReport {
    ScrubReport {
        repository: REPOSITORY,
        site: SITE,
        number: 1,
        started: Timestamp(1),
        finished: Timestamp(2),
        frames: 3,
        bytes: 4,
        repaired: 5,
        bad: 6,
        verified: vec![ManifestId::from_bytes([1; 32]), ManifestId::from_bytes([2; 32])],
        damaged: vec![ManifestId::from_bytes([3; 32])],
    }
}

fn proof() -> Proof {
    Proof {
        repository: REPOSITORY,
        manifest: ManifestId::from_bytes([1; 32]),
        site: SITE,
        started: Timestamp(1),
        finished: Timestamp(2),
        entries: 3,
        bytes: 4,
        failed: 0,
    }
}

fn medium_list() -> MediumList {
    let snapshot =
        |i, alone| MediumSnapshot { manifest: ManifestId::from_bytes([i; 32]), bytes: 100, alone };
    let of = |kind, ids: &[u8]| MediumObjects {
        kind,
        bytes: 7,
        ids: ids.iter().map(|i| [*i; 32]).collect(),
    };
    MediumList {
        repository: REPOSITORY,
        medium: MediumId::from_bytes([9; 16]),
        number: 2,
        previous: MediumListId::from_bytes([8; 32]),
        made: Timestamp(5),
        site: SITE,
        origin: "srv:/data".into(),
        label: "Brankas".into(),
        serial: "WX".into(),
        custodian: String::new(),
        place: "Setda".into(),
        roster_number: 2,
        bases: vec![MediumBase {
            list: MediumListId::from_bytes([1; 32]),
            medium: MediumId::from_bytes([2; 16]),
            label: "lama".into(),
        }],
        snapshots: vec![snapshot(1, true), snapshot(4, false)],
        objects: vec![of(Kind::Roster, &[1]), of(Kind::Pack, &[2, 3])],
    }
}

#[test]
fn a_medium_list_names_in_order_and_only_what_a_medium_carries() {
    let key = SigningKey::generate();
    let refused = |change: fn(&mut MediumList)| {
        let mut list = medium_list();
        change(&mut list);
        open_signed::<MediumList>(&sign(&list, &key)).is_err()
    };
    let changes: [fn(&mut MediumList); 9] = [
        |list| list.number = 0,
        |list| list.previous = MediumListId::ZERO,
        |list| list.medium = MediumId::ZERO,
        |list| list.snapshots.reverse(),
        |list| list.objects.reverse(),
        |list| list.objects[1].ids.reverse(),
        |list| list.objects[1].ids.clear(),
        |list| list.objects[0].kind = Kind::KeyBundle,
        |list| list.bases.push(list.bases[0].clone()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(refused(change), "change {number}");
    }
    let list = medium_list();
    assert!(list.names(Kind::Pack, &[3; 32]) && !list.names(Kind::Pack, &[1; 32]));
    assert!(list.names(Kind::Manifest, &[4; 32]) && list.bytes() == 14);
}

fn segment() -> Segment {
    let mut used = Bitmap::new(9);
    used.set(8);
    Segment {
        repository: REPOSITORY,
        domain: DOMAIN,
        packs: vec![
            PackUse { pack: PackId::from_bytes([1; 32]), used: Bitmap::full(8) },
            PackUse { pack: PackId::from_bytes([2; 32]), used },
        ],
    }
}

fn usage() -> UsageList {
    let segment = |first, last| SegmentRef {
        segment: SegmentId::from_bytes([first; 32]),
        first: PackId::from_bytes([first; 32]),
        last: PackId::from_bytes([last; 32]),
        packs: 2,
        frames: 3,
        stored_bytes: 4,
    };
    UsageList {
        repository: REPOSITORY,
        domain: DOMAIN,
        segments: vec![segment(1, 2), segment(3, 9)],
    }
}

fn frame(i: u8) -> FrameEntry {
    FrameEntry {
        chunk: ChunkId::from_bytes([i; 32]),
        stored_hash: FrameHash::from_bytes(*blake3::hash(&stored(i)).as_bytes()),
        plain_length: 100 + u32::from(i),
        stored_length: 40 + u32::from(i),
        encoding: Encoding::Zstd,
    }
}

fn stored(i: u8) -> Vec<u8> {
    vec![i; 40 + usize::from(i)]
}

fn pack() -> PackTable {
    let header = PackHeader {
        repository: REPOSITORY,
        domain: DOMAIN,
        session: SessionId::from_bytes([1; 32]),
        salt: [2; 32],
        commitment: [3; 32],
        content: Content::Data,
    };
    PackTable::new(header, vec![frame(1), frame(2)]).unwrap()
}

#[test]
fn signed_objects_are_whole_or_refused() {
    check_signed(&roster());
    check_signed(&session());
    check_signed(&manifest());
    check_signed(&receipt());
    check_signed(&inventory());
    check_signed(&scrub());
    check_signed(&proof());
    check_signed(&medium_list());
}

#[test]
fn unsigned_objects_are_canonical_and_their_id_tells_every_flipped_bit() {
    let bytes = encode(&segment());
    let (read, id) = decode::<Segment>(&bytes).unwrap();
    assert_eq!(read, segment());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let same = decode::<Segment>(&damaged).is_ok_and(|(_, other)| other == id);
        assert!(!same, "bit {bit}");
    }
    let bytes = encode(&usage());
    assert_eq!(decode::<UsageList>(&bytes).unwrap().0, usage());
    assert_eq!(
        decode::<Segment>(&bytes).unwrap_err(),
        FormatError::WrongKind {
            expected: lumbung_pack::Kind::Segment,
            found: lumbung_pack::Kind::Usage,
        }
    );
}

#[test]
fn a_pack_is_named_by_its_head_and_checks_each_frame() {
    let table = pack();
    let head = table.encode();
    assert_eq!(PackTable::head_length(&head[..168]), Ok(head.len()));
    assert_eq!(PackTable::open(&table.id(), &head), Ok(table.clone()));
    assert_eq!(table.frame_range(1), (head.len() as u64 + 41)..(head.len() as u64 + 83));
    assert_eq!(table.frame_count(), 2);
    assert_eq!((table.all_frames(), table.no_frames()), (Bitmap::full(2), Bitmap::new(2)));
    assert_eq!(table.verify_frame(0, &stored(1)), Ok(()));
    assert_eq!(table.verify_frame(1, &stored(1)), Err(FormatError::Frame(1)));
    assert_eq!(table.verify_frame(2, &stored(1)), Err(FormatError::Frame(2)));
    for bit in 0..head.len() * 8 {
        let mut damaged = head.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(PackTable::open(&table.id(), &damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_pack_breaks_no_limit() {
    let header = pack().header;
    let with = |change: fn(&mut FrameEntry)| {
        let mut entry = frame(1);
        change(&mut entry);
        PackTable::new(header, vec![entry])
    };
    assert!(with(|_| ()).is_ok());
    assert!(with(|entry| entry.plain_length = 0).is_err());
    assert!(with(|entry| entry.plain_length = (4 << 20) + 1).is_err());
    assert!(with(|entry| entry.stored_length = 16).is_err(), "nothing but a tag");
    assert!(with(|entry| entry.stored_length = entry.plain_length + 17).is_err());
    assert!(with(|entry| entry.encoding = Encoding::Raw).is_err(), "raw and shorter");
    assert!(PackTable::new(header, vec![]).is_err());
    assert!(PackTable::new(header, vec![frame(1), frame(1)]).is_err(), "one chunk twice");
    let large = |i: u8| FrameEntry { plain_length: 4 << 20, stored_length: 4 << 20, ..frame(i) };
    assert!(PackTable::new(header, (0..8).map(large).collect()).is_err(), "beyond 32 MiB");
}

#[test]
fn unknown_features_and_versions_are_refused_by_name() {
    let bytes = encode(&segment());
    let with = |offset: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[offset] = value;
        decode::<Segment>(&changed).map(|(segment, _)| segment)
    };
    assert_eq!(with(8, 1), Ok(segment()), "a compatible bit is ignored");
    let kind = lumbung_pack::Kind::Segment;
    assert_eq!(with(12, 4), Err(FormatError::Feature { kind, bit: 2 }));
    assert_eq!(with(5, 2), Err(FormatError::Version { kind, version: 2 }));
    assert_eq!(with(4, 200), Err(FormatError::UnknownKind(200)));
    assert_eq!(with(0, b'X'), Err(FormatError::Magic));
    assert!(with(6, 1).is_err(), "reserved");
}

#[test]
fn lists_that_must_ascend_do() {
    let refused = |bytes: &[u8]| assert!(open_signed::<Manifest>(bytes).is_err());
    let key = SigningKey::generate();
    let mut object = manifest();
    object.sessions.swap(1, 2);
    refused(&sign(&object, &key));
    let mut object = manifest();
    object.sessions[1] = object.sessions[0];
    refused(&sign(&object, &key));
    let mut object = manifest();
    object.sequence = 0;
    refused(&sign(&object, &key));
    let mut list = usage();
    list.segments[1].first = list.segments[0].last;
    assert!(decode::<UsageList>(&encode(&list)).is_err());
}

#[test]
fn what_is_sealed_for_a_session_is_bound_to_its_beginning() {
    let session = session();
    assert_eq!(session.aad(), encode(&session)[..104]);
}

#[test]
fn inventories_count_from_1_and_only_the_first_has_no_predecessor() {
    let taken = |number, previous| {
        let inventory =
            Inventory { number, previous: InventoryId::from_bytes([previous; 32]), ..inventory() };
        decode::<Inventory>(&encode(&inventory)).is_ok()
    };
    assert!(taken(1, 0) && taken(2, 9));
    assert!(!taken(0, 0) && !taken(0, 9) && !taken(1, 9) && !taken(2, 0));
}

/// Every pair of sets of two frames, and what lies beyond the last frame.
#[test]
fn sets_of_frames_meet_as_sets_do() {
    let set = |members: u32| {
        let mut set = Bitmap::new(2);
        (0..2).filter(|frame| members >> frame & 1 == 1).for_each(|frame| set.set(frame));
        set
    };
    for (one, other) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
        assert_eq!(set(one).and(&set(other)), set(one & other));
        assert_eq!(set(one).or(&set(other)), set(one | other));
        assert_eq!(set(one).minus(&set(other)), set(one & (3 - other)));
        assert_eq!((set(one).is_empty(), set(one).is_full()), (one == 0, one == 3));
    }
    let eight = Bitmap::full(8);
    assert_eq!([7, 8, 9].map(|frame| eight.get(frame)), [true, false, false]);
}

#[test]
fn a_pack_use_in_json_is_checked() {
    let pack = segment().packs[1].clone();
    let json = serde_json::to_string(&pack).unwrap();
    assert!(json.ends_with(r#""frames":9,"used":"0001"}"#), "{json}");
    assert_eq!(serde_json::from_str::<PackUse>(&json).unwrap(), pack);
    for bad in [r#""used":"00""#, r#""used":"0003""#, r#""used":"zz01""#] {
        let json = json.replace(r#""used":"0001""#, bad);
        assert!(serde_json::from_str::<PackUse>(&json).is_err(), "{json}");
    }
    let huge = json.replace("\"frames\":9", "\"frames\":4294967295");
    assert!(serde_json::from_str::<PackUse>(&huge).is_err());
}

#[test]
fn a_pack_that_is_used_has_no_more_frames_than_a_pack_may_have() {
    let of =
        |frames: u32| PackUse { pack: PackId::from_bytes([1; 32]), used: Bitmap::full(frames) };
    let in_json = |frames| {
        let json = serde_json::to_string(&of(frames)).unwrap();
        serde_json::from_str::<PackUse>(&json).is_ok()
    };
    let in_a_segment = |frames| {
        let segment = Segment { packs: vec![of(frames)], ..segment() };
        decode::<Segment>(&encode(&segment)).is_ok()
    };
    let most = u32::try_from(PACK_MAX_FRAMES).unwrap();
    let counts = [1, most, most + 1, most + 2];
    assert_eq!(counts.map(in_json), [true, true, false, false]);
    assert_eq!(counts.map(in_a_segment), [true, true, false, false]);
}

#[test]
fn a_builder_says_what_it_was_given() {
    let mut builder = UsageBuilder::new(REPOSITORY, DOMAIN);
    let packs = segment().packs;
    for pack in &packs {
        pack.used.iter_ones().for_each(|frame| builder.add(pack.pack, pack.used.bits(), frame, 20));
    }
    assert_eq!(builder.packs().collect::<Vec<_>>(), packs);
}

/// The segments of a usage list over `packs`.
fn segments_over<'a>(packs: impl IntoIterator<Item = &'a PackId>) -> BuiltUsage {
    let mut builder = UsageBuilder::new(REPOSITORY, DOMAIN);
    packs.into_iter().for_each(|pack| builder.add(*pack, 1, 0, 100));
    builder.build()
}

#[test]
fn a_segment_ends_by_the_last_two_bytes_of_an_id() {
    let pack = |first: u8, low: u8, high: u8| {
        let mut id = [7; 32];
        (id[0], id[30], id[31]) = (first, low, high);
        PackId::from_bytes(id)
    };
    let packs = [pack(0, 1, 0), pack(1, 64, 3), pack(2, 63, 0), pack(3, 0, 1), pack(4, 65, 64)];
    let built = segments_over(&packs);
    let (list, _) = decode::<UsageList>(&built.usage).unwrap();
    let ends: Vec<_> = list.segments.iter().map(|segment| segment.last).collect();
    assert_eq!(ends, [packs[1], packs[3], packs[4]]);
}

/// What a snapshot costs to check follows what changed, wherever in the order of ids that lies.
#[test]
fn a_pack_that_comes_in_changes_the_segment_in_which_it_lies() {
    let ids: Vec<_> = (0..30_000_u32)
        .map(|i| PackId::from_bytes(*blake3::hash(&i.to_le_bytes()).as_bytes()))
        .collect();
    let (kept, coming) = ids.split_at(ids.len() - 50);
    let before: HashSet<SegmentId> =
        segments_over(kept).segments.iter().map(|(id, _)| *id).collect();
    assert!((300..700).contains(&before.len()), "one end in 64 packs: {}", before.len());
    for pack in coming {
        let after = segments_over(kept.iter().chain([pack]));
        let fresh = after.segments.iter().filter(|(id, _)| !before.contains(id)).count();
        // Two where the pack itself is an end.
        assert!(fresh <= 2, "{fresh} segments changed by {pack}");
    }
}

proptest! {
    /// What is added to a usage list comes out of its segments, in any order of adding.
    #[test]
    fn usage_lists_keep_what_was_added(frames in proptest::collection::vec((any::<u8>(), 0_u32..20), 1..300)) {
        let pack_id = |i: u8| PackId::from_bytes(*blake3::hash(&[i]).as_bytes());
        let mut builder = UsageBuilder::new(REPOSITORY, DOMAIN);
        for (pack, frame) in &frames {
            builder.add(pack_id(*pack), 20, *frame, 100);
        }
        let built = builder.build();
        let (list, id) = decode::<UsageList>(&built.usage).unwrap();
        assert_eq!(id, built.usage_id);
        let mut expected: Vec<_> = frames.iter().map(|(pack, frame)| (pack_id(*pack), *frame)).collect();
        expected.sort_unstable();
        expected.dedup();
        let mut found = Vec::new();
        for (reference, (segment_id, bytes)) in list.segments.iter().zip(&built.segments) {
            let (segment, id) = decode::<Segment>(bytes).unwrap();
            assert_eq!((id, reference.segment), (*segment_id, *segment_id));
            let frames: u32 = segment.packs.iter().map(|pack| pack.used.count_ones()).sum();
            assert_eq!(u64::from(frames), reference.frames);
            assert_eq!(reference.stored_bytes, u64::from(frames) * 100);
            found.extend(segment.packs.iter().flat_map(|pack| pack.used.iter_ones().map(|frame| (pack.pack, frame))));
        }
        assert_eq!(found, expected);
    }

    /// No bytes make a reader panic.
    #[test]
    fn garbage_is_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 1_u8..11) {
        let mut header = b"LMBG".to_vec();
        header.extend([kind, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        header.append(&mut bytes);
        assert!(open_signed::<Roster>(&header).is_err());
        assert!(open_signed::<Session>(&header).is_err());
        assert!(open_signed::<Manifest>(&header).is_err());
        assert!(open_signed::<Inventory>(&header).is_err());
        assert!(open_signed::<ScrubReport>(&header).is_err());
        let _ = decode::<Segment>(&header);
        let _ = decode::<UsageList>(&header);
        let _ = PackTable::decode(&header);
    }
}
