//! Where fuzzing begins: real objects, the golden vectors of `docs/format.md` §18, the annotated example files.
//!
//! `cargo run -p lumbung-fuzz-targets --example seeds` writes them into `fuzz/corpus` after a change of the format.

use lumbung_model::{
    AgentId, ChunkId, ConsentId, DatasetId, DomainId, FrameHash, HoldId, InventoryId, ManifestId,
    OrderId, PackId, PublicKey, ReceiptId, RepositoryId, RosterId, Secret, SegmentId, SessionId,
    ShareSetId, SiteId, Timestamp, TlsPin, UsageId,
};
use lumbung_pack::{
    Action, AgentStatus, Bitmap, ChunkerParams, Content, Encoding, FrameEntry, GrantRequest, Hold,
    Inventory, InventoryEntry, Manifest, Object, Order, PackHeader, PackTable, PackUse, Proof,
    Receipt, Recipient, Rehearsal, Removal, Revocation, RootKey, RootRole, Roster, RosterAgent,
    RosterSite, ScrubReport, SealedKey, Segment, SegmentRef, Session, SigningKey, SiteIdentity,
    Statistics, Subject, Tombstone, UsageList, Wanted, encode, object_id, order, sign,
};
use lumbung_seal::{AgentIdentity, KeyBundle, RequesterIdentity, split_bundle};
use lumbung_store::encode_presence;
use lumbung_wire::certs;
use serde_json::Value;

/// An input: the target's name, the file's name, the bytes.
pub type Seed = (&'static str, String, Vec<u8>);

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);
const MANIFEST: ManifestId = ManifestId::from_bytes([20; 32]);
const DATASET: DatasetId = DatasetId::from_bytes([4; 16]);
const DOMAIN: DomainId = DomainId::from_bytes([3; 16]);
const AGENT: AgentId = AgentId::from_bytes([2; 16]);
const SITE: SiteId = SiteId::from_bytes([5; 16]);

/// `first`, `first + 1`, …, as §18 writes *n*@*x*.
#[must_use]
pub fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first.wrapping_add(i.to_le_bytes()[0]))
}

fn golden(group: &str, name: &str) -> Vec<u8> {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../crates/seal/tests/vectors.json")).unwrap();
    let text = vectors[group][name].as_str().expect("a golden vector");
    data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hex")
}

/// The session of §18, whose secrets open with the private key 32@70.
#[must_use]
pub fn golden_session() -> Session {
    let field = |name| golden("session", name).try_into().expect("its length");
    let ciphertext = golden("session", "ciphertext").try_into().expect("80 bytes");
    let recipient: [u8; 32] = data_encoding::HEXLOWER
        .decode(b"23b7bb8c91ae008711fb12846780bcdf1e065f821bdfec49f57e7c7dcd4c4823")
        .ok()
        .and_then(|key| key.try_into().ok())
        .expect("the recipient's key of §18");
    Session {
        repository: RepositoryId::from_bytes(counting(0x80)),
        agent: AgentId::from_bytes(counting(0xd0)),
        domain: DomainId::from_bytes(counting(0xc0)),
        dataset: DatasetId::from_bytes(counting(0xe0)),
        started: Timestamp(1_800_000_000),
        roster_number: 1,
        sealed: vec![SealedKey {
            recipient: PublicKey::from_bytes(recipient),
            encapsulated: field("encapsulated key"),
            ciphertext,
        }],
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&Secret::new([7; 32]))
}

fn roster() -> Roster {
    let root = |key, role| RootKey { key, role, label: "kerja".to_owned() };
    Roster {
        repository: REPOSITORY,
        number: 2,
        previous: RosterId::from_bytes([9; 32]),
        created: Timestamp(1_700_000_000),
        chunker: ChunkerParams::default(),
        root_keys: vec![
            root(key().public(), RootRole::Working),
            root(PublicKey::from_bytes([7; 32]), RootRole::Spare),
        ],
        registrar: Some(PublicKey::from_bytes([8; 32])),
        recipients: vec![Recipient {
            key: PublicKey::from_bytes([9; 32]),
            label: "RSUD".to_owned(),
        }],
        agents: vec![RosterAgent {
            agent: AGENT,
            key: PublicKey::from_bytes([10; 32]),
            domain: DOMAIN,
            status: AgentStatus::Withdrawn,
            label: "srv-simrs".to_owned(),
        }],
        sites: vec![RosterSite {
            site: SITE,
            receipt_key: PublicKey::from_bytes([11; 32]),
            tls_pin: TlsPin::from_bytes([12; 32]),
            label: "DRC".to_owned(),
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
        statistics: Statistics { files: 1, content_bytes: 2, ..Statistics::default() },
        usage: UsageId::from_bytes([17; 32]),
        sessions: [9_u8, 2, 5].map(|i| SessionId::from_bytes([i; 32])).to_vec(),
        root_salt: [18; 32],
        sealed_root: golden("root", "sealed"),
    }
}

fn receipt() -> Receipt {
    Receipt {
        repository: REPOSITORY,
        site: SITE,
        manifest: MANIFEST,
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
        manifest: MANIFEST,
        site: SITE,
        started: Timestamp(1),
        finished: Timestamp(2),
        entries: 3,
        bytes: 4,
        failed: 5,
    }
}

fn order_of(action: Action) -> Order {
    Order {
        repository: REPOSITORY,
        nonce: [30; 16],
        action,
        issued: Timestamp(100),
        valid_until: Timestamp(200),
        letter: "005/DINAS/2026".to_owned(),
        reason: "perkara selesai".to_owned(),
    }
}

fn hold(subject: Subject) -> Hold {
    Hold {
        repository: REPOSITORY,
        site: SITE,
        hold: HoldId::from_bytes([31; 16]),
        subject,
        automatic: true,
        placed: Timestamp(300),
        by: "lumbung-vault".to_owned(),
        reason: "entropi".to_owned(),
    }
}

fn tombstone(removal: Removal) -> Tombstone {
    Tombstone {
        repository: REPOSITORY,
        site: SITE,
        manifest: MANIFEST,
        receipt: ReceiptId::from_bytes([32; 32]),
        agent: AGENT,
        dataset: DATASET,
        removal,
        removed: Timestamp(400),
    }
}

fn segment() -> Segment {
    let used = |bits, bytes: &[u8]| Bitmap::from_bytes(bits, bytes).unwrap();
    let packs = vec![
        PackUse { pack: PackId::from_bytes([1; 32]), used: used(9, &[0b1010_1010, 1]) },
        PackUse { pack: PackId::from_bytes([2; 32]), used: used(3, &[0b100]) },
    ];
    Segment { repository: REPOSITORY, domain: DOMAIN, packs }
}

fn usage() -> UsageList {
    let segment = |i| SegmentRef {
        segment: SegmentId::from_bytes([i; 32]),
        first: PackId::from_bytes([i; 32]),
        last: PackId::from_bytes([i + 1; 32]),
        packs: 2,
        frames: 3,
        stored_bytes: 4,
    };
    UsageList { repository: REPOSITORY, domain: DOMAIN, segments: vec![segment(1), segment(3)] }
}

/// A pack of three frames: head and frames.
fn pack() -> (Vec<u8>, Vec<u8>) {
    let stored: Vec<Vec<u8>> = (1..=3_u8).map(|i| vec![i; usize::from(i) * 10 + 16]).collect();
    let frame = |stored: &Vec<u8>| FrameEntry {
        chunk: ChunkId::from_bytes([stored[0]; 32]),
        stored_hash: FrameHash::from_bytes(object_id(stored)),
        plain_length: u32::try_from(stored.len()).unwrap() - 16,
        stored_length: u32::try_from(stored.len()).unwrap(),
        encoding: if stored[0] == 2 { Encoding::Zstd } else { Encoding::Raw },
    };
    let header = PackHeader {
        repository: REPOSITORY,
        domain: DOMAIN,
        session: SessionId::from_bytes([9; 32]),
        salt: [40; 32],
        commitment: [41; 32],
        content: Content::Catalogue,
    };
    let table = PackTable::new(header, stored.iter().map(frame).collect()).unwrap();
    (table.encode(), stored.concat())
}

fn objects(seeds: &mut Vec<Seed>) {
    fn signed<T: Object>(object: &T) -> Vec<u8> {
        sign(object, &key())
    }
    let release = order_of(Action::Release(HoldId::from_bytes([31; 16])));
    let destroy = order_of(Action::Destroy(Subject::Dataset(DATASET)));
    let ordered = tombstone(Removal::Ordered(OrderId::from_bytes([33; 32])));
    let founding = Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        registrar: None,
        agents: Vec::new(),
        ..roster()
    };
    let first =
        Inventory { number: 1, previous: InventoryId::ZERO, entries: vec![], ..inventory() };
    let list: Vec<(&'static str, &str, Vec<u8>)> = vec![
        ("roster", "second", signed(&roster())),
        ("roster", "first", signed(&founding)),
        ("session", "golden", signed(&golden_session())),
        ("sealed_session", "golden", signed(&golden_session())),
        ("manifest", "partial", signed(&manifest())),
        ("receipt", "pulled", signed(&receipt())),
        ("receipt", "sent", signed(&Receipt { pulled_from: None, ..receipt() })),
        ("inventory", "second", signed(&inventory())),
        ("inventory", "first", signed(&first)),
        ("scrub", "one", signed(&scrub())),
        ("proof", "one", signed(&proof())),
        ("order", "release", signed(&release)),
        ("order", "destroy", signed(&destroy)),
        ("hold", "snapshot", signed(&hold(Subject::Snapshot(MANIFEST)))),
        ("hold", "repository", signed(&hold(Subject::Repository))),
        ("tombstone", "expired", signed(&tombstone(Removal::Expired))),
        ("tombstone", "ordered", signed(&ordered)),
        ("segment", "two-packs", encode(&segment())),
        ("usage", "two-segments", encode(&usage())),
        ("grant", "golden", golden("grant", "object")),
        ("grant_file", "golden", golden("grant", "object")),
        ("grant_request", "one", signed(&request())),
        ("revocation", "one", signed(&revocation())),
        ("wrap", "golden", golden("wrap", "object")),
        ("standing_approval", "golden", golden("standing approval", "approval")),
        ("opening", "golden", golden("standing approval", "opening")),
        ("rehearsal", "one", signed(&rehearsal())),
        ("order_file", "object", signed(&release)),
        ("order_file", "text", order::write_order(&signed(&destroy)).into_bytes()),
    ];
    seeds.extend(list.into_iter().map(|(target, name, bytes)| (target, name.to_owned(), bytes)));
}

fn request() -> GrantRequest {
    GrantRequest {
        repository: REPOSITORY,
        recipient: PublicKey::from_bytes([3; 32]),
        name: "Inspektorat".to_owned(),
        letter: String::new(),
        purpose: "pemeriksaan".to_owned(),
        drawn_up: Timestamp(1_800_000_000),
        lasting_s: 604_800,
        wanted: vec![
            Wanted::Snapshot(MANIFEST),
            Wanted::Latest(DATASET),
            Wanted::Standing(DATASET),
        ],
    }
}

fn revocation() -> Revocation {
    Revocation {
        repository: REPOSITORY,
        consent: ConsentId::from_bytes([2; 16]),
        revoked: Timestamp(1_800_000_500),
        reason: "selesai".to_owned(),
    }
}

fn rehearsal() -> Rehearsal {
    Rehearsal {
        set: ShareSetId::from_bytes([1; 16]),
        threshold: 2,
        shares: 3,
        recovery: PublicKey::from_bytes([3; 32]),
        at: Timestamp(1_800_000_000),
        present: vec![(1, "Sekda".to_owned()), (3, "Inspektorat".to_owned())],
        note: "ruang rapat".to_owned(),
    }
}

/// A journal's beginning: events that the example's plan takes.
const EVENTS: &str = r#"[
    {"number":1,"at":1800000000,"what":{"event":"started","mode":"drill"}},
    {"number":2,"at":1800000005,"what":{"event":"interrupted","reason":"listrik padam"}}
]"#;

fn packs(seeds: &mut Vec<Seed>) {
    let (head, frames) = pack();
    let whole = [head.as_slice(), &frames].concat();
    // Sizes of the pieces, no edit, the bytes as they are.
    let sizes: Vec<u8> =
        [7_u16, 168, 1, 4096, 33, 76].iter().flat_map(|n| n.to_le_bytes()).collect();
    let as_is = [&sizes[..], &[0; 6], &[0; 2], &[0], &[0]].concat();
    seeds.push(("pack_head", "three-frames".to_owned(), head));
    seeds.push(("pack_checker", "whole".to_owned(), [as_is, whole].concat()));
    let map =
        encode_presence(&PackId::from_bytes([6; 32]), &Bitmap::from_bytes(9, &[3, 1]).unwrap());
    let hashless = &map[..map.len() - 32];
    seeds.push((
        "presence",
        "nine-frames".to_owned(),
        [&9_u16.to_le_bytes()[..], hashless].concat(),
    ));
    seeds.push(("usage_builder", "some".to_owned(), (0..120_u8).collect()));
}

fn secrets(seeds: &mut Vec<Seed>) {
    let agent = AgentIdentity::generate(REPOSITORY);
    let site = SiteIdentity::generate();
    let text = |text: &str| text.as_bytes().to_vec();
    let requester = RequesterIdentity::generate("penguji");
    let holders = ["Sekda", "Inspektorat"].map(str::to_owned);
    let bundle = KeyBundle::generate("RSUD");
    let shares = split_bundle(&bundle, 2, &holders, Timestamp(1_800_000_000)).unwrap();
    let list: Vec<(&'static str, &str, Vec<u8>)> = vec![
        ("key_files", "bundle-object", golden("key bundle", "object")),
        ("key_files", "agent-text", text(&agent.to_text())),
        ("key_files", "site-text", text(&site.to_text())),
        ("key_files", "requester-text", text(&requester.to_machine_text())),
        ("share_file", "one", text(&shares[0].to_text())),
        ("drill_events", "begun", text(EVENTS)),
        ("agent_code", "one", text(&agent.public_code())),
        ("codec", "some", (0..64_u8).collect()),
        ("catalogue_read", "golden", golden("catalogue", "chunk")),
        ("catalogue_index", "golden", golden("catalogue", "index")),
        ("catalogue_write", "some", (0..200_u8).collect()),
        ("root", "golden", golden("root", "plain")),
        ("frame", "sealed", [&[1; 16][..], b"desa kelurahan kecamatan"].concat()),
        ("frame", "forged", [&[0; 90][..], &golden("frames", "frame 1, stored")].concat()),
        ("zstd_frame", "by-hand", zstd_by_hand()),
        ("chunker", "some", (0..=255_u8).cycle().take(700).collect()),
        ("roster_chain", "some", (0..=255_u8).cycle().take(300).collect()),
    ];
    seeds.extend(list.into_iter().map(|(target, name, bytes)| (target, name.to_owned(), bytes)));
}

/// What the plain chunk is called to be long, and a zstd frame by hand (RFC 8878): single segment, one byte of content size, one
/// block that repeats a byte.
fn zstd_by_hand() -> Vec<u8> {
    let (length, block) = (100_u32, 100_u32 << 3 | 1 << 1 | 1);
    let magic = 0xfd2f_b528_u32.to_le_bytes();
    let [low, middle, high, _] = block.to_le_bytes();
    [&length.to_le_bytes()[..], &magic, &[0x20, 100], &[low, middle, high], b"p"].concat()
}

fn json(seeds: &mut Vec<Seed>) {
    let id = "ab".repeat(16);
    let long = "cd".repeat(32);
    let requests = [
        format!(r#"{{"token":"t","role":"agent","csr_pem":"-","repository":"{long}","agent":"{id}"}}"#),
        r#"{"csr_pem":"-"}"#.to_owned(),
        r#"{"now":5,"version":"0.1","health":{"hostname":"srv","load":[0.5,1,2],"disks":[]},"jobs":[]}"#.to_owned(),
        format!(r#"[{{"id":"{id}","kind":"backup","at":1,"dataset":"{id}","outcome":"ok"}}]"#),
        format!(r#"{{"packs":[{{"pack":"{long}","frames":9,"used":"ff01"}}]}}"#),
        r#"{"role":"site","site":"DRC","life_h":24}"#.to_owned(),
        r#"{"file":"r.toml","toml":""}"#.to_owned(),
        r#"{"code":"DINKES","name":"Dinas Kesehatan"}"#.to_owned(),
        format!(r#"{{"pd":"{id}","name":"simpus","kind":"vps"}}"#),
        format!(r#"{{"pd":"{id}","name":"n","kind":"files","classification":"public","urgency":"low","paths":["/a"]}}"#),
        r#"{"name":"DRC","kind":"drc","latitude":1.5,"longitude":104.1}"#.to_owned(),
    ];
    let site = format!(
        r#"{{"site":"{id}","name":"DRC","kind":"drc","url":"https://d","tls_pin":"{long}","receipt_key":"{long}"}}"#
    );
    let answers = [
        format!(r#"{{"certificate_pem":"-","ca_pems":["-"],"sites":[{site}],"datasets":[]}}"#),
        r#"{"certificate_pem":"-","ca_pems":[]}"#.to_owned(),
        format!(r#"{{"now":1,"sites":[{site}]}}"#),
        format!(r#"{{"acknowledged":["{id}"]}}"#),
        format!(
            r#"{{"site":"{id}","receipt_key":"{long}","version":"1","now":2,"role_seen":"agent"}}"#
        ),
        format!(r#"{{"ids":["{long}"]}}"#),
        "[]".to_owned(),
        format!(r#"{{"absent":[{{"pack":"{long}","frames":1,"used":"01"}}]}}"#),
        r#"{"alarms":[{"at":1,"kind":"fork","detail":"x"}]}"#.to_owned(),
        format!(
            r#"{{"type":"urn:lumbung:problem:incomplete","title":"t","status":409,"detail":"d","missing":{{"sessions":["{long}"],"usage":true,"segments":[],"packs":[]}}}}"#
        ),
        r#"{"fingerprint":"sha256:00","ca_pems":[]}"#.to_owned(),
        r#"{"version":"1","now":3}"#.to_owned(),
        r#"[{"sequence":1,"kind":"hidden","subject":"s","detail":"d","raised":1,"last":2}]"#
            .to_owned(),
        r#"{"token":"t","expires":1,"ca_fingerprint":"sha256:00"}"#.to_owned(),
    ];
    for (target, bodies) in [("requests", &requests[..]), ("answers", &answers[..])] {
        for (i, body) in (0_u8..).zip(bodies) {
            seeds.push((target, format!("{i:02}"), [&[i], body.as_bytes()].concat()));
        }
    }
}

fn network(seeds: &mut Vec<Seed>) {
    let names = lumbung_wire::identity::CertificateNames::agent(
        REPOSITORY,
        AGENT,
        PublicKey::from_bytes([10; 32]),
        None,
    );
    let uris = names.to_uris().join("\n").into_bytes();
    seeds.push(("certificate_names", "agent".to_owned(), uris));
    let (certificate, tls_key) = certs::root_key_certificate(&key()).unwrap();
    seeds.push(("certificate", "root-key".to_owned(), certificate.into_bytes()));
    let site = certs::self_signed_site_certificate(&tls_key, SITE).unwrap();
    seeds.push(("certificate", "site".to_owned(), site.into_bytes()));
    let request = certs::csr(&tls_key, "srv-1").unwrap();
    seeds.push(("certificate_request", "one".to_owned(), request.into_bytes()));
    for (name, text) in [("closed", "bytes=10-19"), ("open", "bytes=10-"), ("suffix", "bytes=-5")] {
        let bytes = [&100_u64.to_le_bytes()[..], text.as_bytes()].concat();
        seeds.push(("range", name.to_owned(), bytes));
    }
    let mut reply = [&[0, 0, 0, 0, 0, 0, 0, 0, 1][..], b"0123456789abcdef"].concat();
    seeds.push(("echo_reply", "socket".to_owned(), reply.clone()));
    reply[0] = 2;
    reply.splice(1..1, [&[0x45][..], &[0; 19]].concat());
    seeds.push(("echo_reply", "raw".to_owned(), reply));
    seeds.push(("orders", "each".to_owned(), orders()));
    let path = format!("/v1/repositories/{REPOSITORY}/packs/{}", PackId::from_bytes([8; 32]));
    seeds.push(("ids", "pack".to_owned(), path.into_bytes()));
}

/// One check of each kind.
fn orders() -> Vec<u8> {
    let probes = [
        r#"{"kind":"http","url":"https://www.example.go.id:8443/a?b=1","status":200,"text":"ok"}"#,
        r#"{"kind":"tcp","host":"10.0.0.1","port":5432}"#,
        r#"{"kind":"icmp","host":"fd00::1"}"#,
        r#"{"kind":"dns","server":"10.0.0.53","name":"a.example","address":"10.0.0.1"}"#,
    ];
    let check = "ab".repeat(16);
    let order = |probe: &str| {
        format!(r#"{{"check":"{check}","probe":{probe},"interval_s":60,"timeout_s":5}}"#)
    };
    let checks: Vec<String> = probes.into_iter().map(order).collect();
    format!(r#"{{"checks":[{}],"again_s":300}}"#, checks.join(",")).into_bytes()
}

/// An annotated example file, and the same with what it shows in comments.
fn example(seeds: &mut Vec<Seed>, target: &'static str, text: &str) {
    let lines = text.lines().filter_map(|line| match line.strip_prefix("#: ") {
        Some(shown) => Some(shown),
        None => (!line.trim().is_empty() && !line.starts_with('#')).then_some(line),
    });
    let all: Vec<&str> = lines.collect();
    seeds.push((target, "example".to_owned(), all.join("\n").into_bytes()));
    let said: Vec<&str> =
        text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect();
    seeds.push((target, "example-bare".to_owned(), said.join("\n").into_bytes()));
}

fn texts(seeds: &mut Vec<Seed>) {
    example(seeds, "drill_plan", &crate::drills::example());
    example(seeds, "agent_toml", include_str!("../../../config/agent.toml"));
    example(seeds, "vault_toml", include_str!("../../../config/vault.toml"));
    example(seeds, "controller_toml", include_str!("../../../config/controller.toml"));
    let register = include_str!("../../../config/register.example.toml");
    example(seeds, "profile_toml", include_str!("../../../config/profiles/kota.toml"));
    let rows = [
        (6, "pd", "code,name,kind,mandiri_tik\nA,\"x\ny\",rsud,ya\n"),
        (
            11,
            "datasets",
            "pd;name;kind;classification;urgency;paths\nA;d;files;public;low;\"/a\n'-b\"\n",
        ),
    ];
    for (table, name, text) in rows {
        seeds.push(("register_csv", name.to_owned(), [&[table], text.as_bytes()].concat()));
    }
    example(seeds, "register_import", register);
    let expressions =
        ["30 2 * * *", "*/15 8-17 * * mon-fri", "0 0 29 2 *", "@weekly", "1,2 3 4 5 0"];
    for (i, expression) in expressions.iter().enumerate() {
        // `Unstructured` takes what it chooses by from the end; the text stands in between.
        let bytes = [&[1, 1, 0, 0, 0, 0, 10, 0], expression.as_bytes()].concat();
        seeds.push(("schedule", format!("{i}"), bytes));
    }
    let rates =
        ["20 Mbit/s", "8 bit/s", "22:30", "mon-fri", "64 MiB", "15 min", "40000 d", "1 GB/s"];
    for (i, rate) in rates.iter().enumerate() {
        seeds.push(("rates", format!("{i}"), [rate.as_bytes(), &[0; 30]].concat()));
    }
    let windows = "rate = \"1 MB/s\"\n[[window]]\nfrom = \"22:00\"\nto = \"06:00\"\ndays = \"sat,sun\"\nrate = \"unlimited\"\n\0\0\0";
    seeds.push(("rates", "windows".to_owned(), windows.into()));
    let excludes = "*.tmp\n/var/**/cache\n[!a-c]?\n**/x\n\\[y\0var/lib/x/cache";
    seeds.push(("excludes", "some".to_owned(), excludes.into()));
}

/// Every seed.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    objects(&mut seeds);
    packs(&mut seeds);
    secrets(&mut seeds);
    json(&mut seeds);
    network(&mut seeds);
    texts(&mut seeds);
    seeds
}
