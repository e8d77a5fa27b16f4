//! Golden vectors: `tests/vectors.json`, which `docs/format.md` §18 quotes. A change here is a change
//! of the format.
//!
//! Every value is computed again from fixed inputs and compared. Where an encoder may differ (zstd),
//! the stored bytes are opened instead.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use lumbung_model::{
    AgentId, ChunkId, ConsentId, DatasetId, DomainId, ManifestId, RepositoryId, Secret, SessionId,
    Timestamp, UsageId,
};
use lumbung_pack::{
    Bitmap, ChunkerParams, Content, Encoding, FrameEntry, Grant, Grantee, Manifest, PackTable,
    Session, SessionOpening, SigningKey, StandingApproval, Statistics, Wrap, sign,
};
use serde_json::{Value, json};

use crate::catalogue::{
    CatalogueWriter, ContentRef, Entry, EntryKind, Extent, IndexEntry, encode_index,
};
use crate::domain::derive;
use crate::grant::seal_grants_with;
use crate::opening::seal_opening_with;
use crate::root::seal_root_with;
use crate::session::{FrameContext, seal_session_with, wrap_session_with};
use crate::{
    Chunker, DomainSecret, FrameOpener, KdfParams, KeyBundle, OpenedSession, Openings, PackSealer,
    RecoveryKey, RootPlain, Scratch, SessionKey, open_grants, open_opening, open_root,
    open_session, open_wrapped,
};

const GOLDEN: &str = include_str!("../tests/vectors.json");
/// A zstd frame of `ZSTD_PLAIN`, and that sealed, made once.
const ZSTD_PLAIN: [u8; 1000] = [b'p'; 1000];

/// `first`, `first + 1`, …
fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first.wrapping_add(u8::try_from(i).unwrap()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn domain_secret() -> DomainSecret {
    DomainSecret::new(Secret::new(counting(0x00)))
}

fn session_key() -> SessionKey {
    SessionKey::from_secret(Secret::new(counting(0x20)))
}

const PACK_SALT: u8 = 0x40;
const ROOT_SALT: u8 = 0x60;

fn repository() -> RepositoryId {
    RepositoryId::from_bytes(counting(0x80))
}

fn session_id() -> SessionId {
    SessionId::from_bytes(counting(0xa0))
}

fn sealer() -> PackSealer {
    let domain = DomainId::from_bytes(counting(0xc0));
    PackSealer::with_salt(
        repository(),
        domain,
        session_id(),
        &session_key(),
        Content::Data,
        counting(PACK_SALT),
    )
}

/// The input of the chunker: BLAKE3's extended output over "lumbung test data".
fn test_data(length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    blake3::Hasher::new().update(b"lumbung test data").finalize_xof().fill(&mut data);
    data
}

fn keys() -> Value {
    let (domain, session) = (domain_secret(), session_key());
    let gear = domain.gear();
    let table: Vec<u8> = gear.words().iter().flat_map(|word| word.to_le_bytes()).collect();
    let pack_key = session.pack_key(&counting(PACK_SALT));
    let frame = FrameContext {
        number: 1,
        content: Content::Data,
        encoding: Encoding::Zstd,
        chunk: &ChunkId::from_bytes(counting(0xe0)),
        plain_length: 1000,
    };
    json!({
        "id key": hex(domain.id_key().expose()),
        "chunk id of \"lumbung\"": domain.id_key().chunk_id(b"lumbung").to_string(),
        "gear seed": hex(derive("lumbung v1 gear", &[domain.expose()]).expose()),
        "gear[0]": format!("{:016x}", gear.words()[0]),
        "gear[255]": format!("{:016x}", gear.words()[255]),
        "hash of the gear table": hex(blake3::hash(&table).as_bytes()),
        "pack key": hex(pack_key.expose()),
        "commitment": hex(&pack_key.commitment()),
        "frame key": hex(pack_key.frame_key(&frame).expose()),
        "root key": hex(session.root_key(&counting(ROOT_SALT)).secret().expose()),
    })
}

fn chunks() -> Value {
    let domain = domain_secret();
    let cut = |params: ChunkerParams, data: &[u8]| -> Vec<(usize, ChunkId)> {
        let chunker = Chunker::new(&domain.gear(), params).unwrap();
        chunker.chunks(data).map(|chunk| (chunk.len(), domain.id_key().chunk_id(chunk))).collect()
    };
    let large = cut(ChunkerParams::default(), &test_data(16 << 20));
    let small = cut(ChunkerParams { min: 256, avg: 1024, max: 4096 }, &test_data(16 << 10));
    // No boundary but the maximum: one byte, over and over.
    let flat = cut(ChunkerParams::default(), &vec![0; 9 << 20]);
    let lengths =
        |chunks: &[(usize, ChunkId)]| chunks.iter().map(|(length, _)| *length).collect::<Vec<_>>();
    json!({
        "lengths, 16 MiB, default sizes": lengths(&large),
        "id of the first": large[0].1.to_string(),
        "id of the last": large[large.len() - 1].1.to_string(),
        "lengths, 16 KiB, sizes 256 1024 4096": lengths(&small),
        "lengths, 9 MiB of zeros, default sizes": lengths(&flat),
    })
}

fn frames(golden: &Value) -> Value {
    let domain = domain_secret();
    let chunk = domain.id_key().chunk_id(b"lumbung");
    let mut scratch = Scratch::new().unwrap();
    let (entry, raw) = sealer().seal(0, &chunk, b"lumbung", &mut scratch).unwrap();
    let raw = raw.to_vec();
    assert_eq!(entry.encoding, Encoding::Raw);
    let opener = FrameOpener::new(sealer().header(), &session_key()).unwrap();
    let opened = opener.open(0, &entry, &raw, &domain.id_key(), &mut scratch).unwrap();
    assert_eq!(opened, b"lumbung");

    let chunk = domain.id_key().chunk_id(&ZSTD_PLAIN);
    let sealed_now = sealer().seal(1, &chunk, &ZSTD_PLAIN, &mut scratch).unwrap();
    let (entry, packed) = match golden.get("frame 1, stored") {
        Some(stored) => {
            let stored = unhex(stored);
            let stored_length = u32::try_from(stored.len()).unwrap();
            (FrameEntry { stored_length, ..sealed_now.0 }, stored)
        }
        None => (sealed_now.0, sealed_now.1.to_vec()),
    };
    let opened = opener.open(1, &entry, &packed, &domain.id_key(), &mut scratch).unwrap();
    assert_eq!(opened, ZSTD_PLAIN);
    json!({
        "frame 0, raw, of \"lumbung\", stored": hex(&raw),
        "frame 0, chunk id": entry_id(&domain, b"lumbung"),
        "frame 1, zstd, of 1000 times \"p\", chunk id": chunk.to_string(),
        "frame 1, stored": hex(&packed),
    })
}

fn entry_id(domain: &DomainSecret, plain: &[u8]) -> String {
    domain.id_key().chunk_id(plain).to_string()
}

fn manifest() -> Manifest {
    Manifest {
        repository: repository(),
        agent: AgentId::from_bytes(counting(0xd0)),
        dataset: DatasetId::from_bytes(counting(0xe0)),
        domain: DomainId::from_bytes(counting(0xc0)),
        partial: false,
        epoch: 1,
        sequence: 2,
        previous: ManifestId::ZERO,
        started: Timestamp(0),
        finished: Timestamp(0),
        roster_number: 1,
        statistics: Statistics::default(),
        usage: UsageId::ZERO,
        sessions: vec![session_id()],
        root_salt: [0; 32],
        sealed_root: Vec::new(),
    }
}

fn root() -> Value {
    let root = RootPlain {
        host: "srv-1".to_owned(),
        label: "berkas".to_owned(),
        sources: vec![b"/etc".to_vec()],
        entries: 3,
        root_chunks: vec![(ChunkId::from_bytes(counting(0x10)), 99)],
    };
    let mut manifest = manifest();
    seal_root_with(&session_key(), &mut manifest, &root, counting(ROOT_SALT)).unwrap();
    assert_eq!(open_root(&session_key(), &manifest).unwrap(), root);
    json!({ "plain": hex(&root.encode().unwrap()), "AAD": hex(&manifest.root_aad()), "sealed": hex(&manifest.sealed_root) })
}

/// Gives the same bytes for the ephemeral key each time.
struct Fixed;

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("hpke fills buffers")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("hpke fills buffers")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&counting::<32>(0x50));
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

fn session() -> Value {
    let recovery = RecoveryKey::from_seed(Secret::new(counting(0x70)));
    let unsealed = Session {
        repository: repository(),
        agent: AgentId::from_bytes(counting(0xd0)),
        domain: DomainId::from_bytes(counting(0xc0)),
        dataset: DatasetId::from_bytes(counting(0xe0)),
        started: Timestamp(1_800_000_000),
        roster_number: 1,
        sealed: Vec::new(),
    };
    let recipients = [recovery.public()];
    let session =
        seal_session_with(unsealed, &session_key(), &domain_secret(), &recipients, &mut Fixed)
            .unwrap();
    let opened = open_session(&session, &recovery).unwrap();
    assert_eq!(opened.key.expose(), session_key().expose());
    assert_eq!(opened.domain.expose(), domain_secret().expose());
    json!({
        "recipient's public key": recovery.public().to_string(),
        "AAD": hex(&session.aad()),
        "encapsulated key": hex(&session.sealed[0].encapsulated),
        "ciphertext": hex(&session.sealed[0].ciphertext),
    })
}

fn wrap() -> Value {
    let recovery = RecoveryKey::from_seed(Secret::new(counting(0x70)));
    let opened = OpenedSession { key: session_key(), domain: domain_secret() };
    let to = recovery.public();
    let wrapped =
        wrap_session_with(&repository(), &session_id(), &opened, &to, &mut Fixed).unwrap();
    let again = open_wrapped(&repository(), &wrapped, &recovery).unwrap();
    assert_eq!(again.key.expose(), session_key().expose());
    assert_eq!(again.domain.expose(), domain_secret().expose());
    let ciphertext = hex(&wrapped.ciphertext);
    let made = Timestamp(1_800_000_000);
    let wrap = Wrap { repository: repository(), made, recipient: to, sessions: vec![wrapped] };
    let key = SigningKey::from_seed(&Secret::new(counting(0x90)));
    json!({ "ciphertext": ciphertext, "object": hex(&sign(&wrap, &key)) })
}

/// A standing approval to the recipient of the other vectors, and the session above opened to it.
fn standing() -> Value {
    let recovery = RecoveryKey::from_seed(Secret::new(counting(0x70)));
    let key = SigningKey::from_seed(&Secret::new(counting(0x90)));
    let consent = ConsentId::from_bytes(counting(0xb8));
    let approval = StandingApproval {
        repository: repository(),
        consent,
        grantee: Grantee { recipient: recovery.public(), key: key.public() },
        dataset: DatasetId::from_bytes(counting(0xe0)),
        name: "penguji DRC".to_owned(),
        letter: "445/871/2026".to_owned(),
        purpose: "uji pulih".to_owned(),
        issued: Timestamp(1_800_000_000),
        from: Timestamp(1_800_000_000),
        until: Timestamp(1_815_552_000),
        base: vec![ManifestId::from_bytes(counting(0x18))],
    };
    let unsealed = SessionOpening {
        repository: repository(),
        session: session_id(),
        consent,
        recipient: recovery.public(),
        encapsulated: [0; 32],
        ciphertext: [0; 48],
    };
    let opening = seal_opening_with(unsealed, &session_key(), &mut Fixed).unwrap();
    let opened = open_opening(&opening, &recovery).unwrap();
    assert_eq!(opened.expose(), session_key().expose());
    json!({
        "approval": hex(&sign(&approval, &key)),
        "ciphertext of the opening": hex(&opening.ciphertext),
        "opening": hex(&sign(&opening, &key)),
    })
}

/// The frames of §18 as a pack: one snapshot uses both, another one frame 1 only of a pack with another salt.
fn grant() -> Value {
    let domain = domain_secret();
    let table = |salt: u8| {
        let sealer = PackSealer::with_salt(
            repository(),
            DomainId::from_bytes(counting(0xc0)),
            session_id(),
            &session_key(),
            Content::Data,
            counting(salt),
        );
        let mut scratch = Scratch::new().unwrap();
        let mut entry = |number, plain: &[u8]| {
            let chunk = domain.id_key().chunk_id(plain);
            sealer.seal(number, &chunk, plain, &mut scratch).unwrap().0
        };
        // Raw both: what zstd makes of a text may differ, and the pack's id with it.
        PackTable::new(*sealer.header(), vec![entry(0, b"lumbung"), entry(1, b"desa")]).unwrap()
    };
    let (whole, part) = (table(PACK_SALT), table(0x48));
    let snapshot = ManifestId::from_bytes(counting(0x18));
    let mut openings = Openings::new();
    openings.add_root(snapshot, session_key().root_key(&counting(ROOT_SALT)));
    openings.add_pack(&whole, &Bitmap::full(2), &session_key()).unwrap();
    let mut used = Bitmap::new(2);
    used.set(1);
    openings.add_pack(&part, &used, &session_key()).unwrap();
    let recovery = RecoveryKey::from_seed(Secret::new(counting(0x70)));
    let key = SigningKey::from_seed(&Secret::new(counting(0x90)));
    let unsealed = Grant {
        repository: repository(),
        consent: ConsentId::from_bytes(counting(0xb0)),
        part: 1,
        parts: 1,
        grantee: Grantee { recipient: recovery.public(), key: key.public() },
        name: "Inspektorat".to_owned(),
        letter: "700/12/2026".to_owned(),
        purpose: "uji pulih".to_owned(),
        issued: Timestamp(1_800_000_000),
        from: Timestamp(1_800_000_000),
        until: Timestamp(1_800_604_800),
        snapshots: vec![snapshot],
        encapsulated: [0; 32],
        sealed: Vec::new(),
    };
    let grants = seal_grants_with(&unsealed, &openings, 1 << 20, &mut Fixed).unwrap();
    let object = sign(&grants[0], &key);
    assert_eq!(open_grants(&grants, &recovery).unwrap().counts(), (1, 2, 1));
    json!({
        "id of the whole pack": whole.id().to_string(),
        "id of the other pack": part.id().to_string(),
        "plaintext": hex(&openings.plaintexts(1 << 20)[0]),
        "object": hex(&object),
    })
}

fn catalogue() -> Value {
    let entry = |path: &[u8], kind| Entry {
        path: path.to_vec(),
        kind,
        mode: 0o750,
        uid: 0,
        gid: 33,
        user: b"root".to_vec(),
        group: b"www-data".to_vec(),
        mtime_s: -1,
        mtime_ns: 5,
        xattrs: Vec::new(),
        changed_while_read: false,
        unreadable: None,
    };
    let part = |first, offset, length| ContentRef {
        chunk: ChunkId::from_bytes(counting(first)),
        offset,
        length,
    };
    let file = |size, sparse, content| EntryKind::File { size, sparse, content };
    let xattrs = vec![(b"security.capability".to_vec(), vec![1, 2]), (b"user.x".to_vec(), vec![])];
    let extents = vec![Extent { offset: 4096, length: 300 }, Extent { offset: 8192, length: 1 }];
    let entries = [
        entry(b"", EntryKind::Directory),
        entry(b"a", EntryKind::Directory),
        Entry { xattrs, ..entry(b"a/b", file(300, None, vec![part(0x10, 7, 300)])) },
        Entry {
            mtime_s: 1_800_000_000,
            changed_while_read: true,
            ..entry(b"a/c", file(20, None, vec![part(0x10, 307, 20)]))
        },
        entry(b"a/d", file(10_000, Some(extents), vec![part(0x10, 0, 300), part(0x30, 0, 1)])),
        entry(b"a/e", EntryKind::HardLink { first: b"a/b".to_vec() }),
        entry(b"a/f", EntryKind::Symlink { target: b"../b".to_vec() }),
        entry(b"a/g", EntryKind::CharDevice { major: 1, minor: 300 }),
        Entry { uid: 1000, unreadable: Some(13), ..entry(b"a-", EntryKind::Directory) },
    ];
    let mut writer = CatalogueWriter::new(&domain_secret().gear());
    for entry in &entries {
        assert!(writer.push(entry).unwrap().is_empty());
    }
    let chunk = writer.finish().unwrap();
    let read: Result<Vec<Entry>, _> =
        crate::catalogue::CatalogueReader::new(&chunk.bytes).collect();
    assert_eq!(read.unwrap(), entries);
    let index = encode_index(&[IndexEntry {
        first_path: chunk.first_path,
        chunk: domain_secret().id_key().chunk_id(&chunk.bytes),
        length: u32::try_from(chunk.bytes.len()).unwrap(),
        entries: chunk.entries,
    }]);
    json!({ "chunk": hex(&chunk.bytes), "index": hex(&index) })
}

fn bundle() -> Value {
    let root = SigningKey::from_seed(&Secret::new(counting(0x90)));
    let bundle =
        KeyBundle::from_keys(root, RecoveryKey::from_seed(Secret::new(counting(0x70))), "PD");
    let kdf = KdfParams::new(64, 2, 2).unwrap();
    let object = bundle.to_object(b"kata sandi", kdf, counting(0xf0)).unwrap();
    let text = lumbung_pack::armor::encode("LUMBUNG KEY BUNDLE 1", &object);
    assert!(KeyBundle::from_text(&text, b"kata sandi").is_ok());
    json!({ "object": hex(&object), "text": text })
}

#[test]
fn the_golden_vectors_hold() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let computed = json!({
        "keys": keys(),
        "chunks": chunks(),
        "frames": frames(&golden["frames"]),
        "root": root(),
        "session": session(),
        "grant": grant(),
        "wrap": wrap(),
        "standing approval": standing(),
        "catalogue": catalogue(),
        "key bundle": bundle(),
    });
    let text = serde_json::to_string_pretty(&computed).unwrap();
    assert!(computed == golden, "tests/vectors.json differs; computed now:\n{text}");
}

/// `docs/format.md` §18 shows every vector that is short enough for a page.
#[test]
fn the_page_quotes_the_vectors() {
    let page = include_str!("../../../docs/format.md");
    let section = page.split("## 18.").nth(1).expect("section 18");
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for (group, vectors) in golden.as_object().unwrap() {
        for (name, value) in vectors.as_object().unwrap() {
            match value {
                Value::String(text) if text.len() <= 160 && !text.contains('\n') => {
                    assert!(section.contains(&format!("`{text}`")), "{group}, {name}: {text}");
                }
                Value::Array(lengths) => {
                    let lengths: Vec<String> = lengths.iter().map(Value::to_string).collect();
                    assert!(section.contains(&lengths.join(", ")), "{group}, {name}");
                }
                _ => {}
            }
        }
    }
}
