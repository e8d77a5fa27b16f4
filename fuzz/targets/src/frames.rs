//! What needs keys: frames, zstd inside them, sessions, and the chunker with a roster's parameters.
//!
//! The keys are those of `docs/format.md` §18: the session there is opened once and its secrets used.

use std::sync::{LazyLock, Mutex, MutexGuard};

use arbitrary::{Result, Unstructured};
use lumbung_model::{ChunkId, DomainId, FrameHash, RepositoryId, Secret, SessionId};
use lumbung_pack::limits::{CHUNK_MAX, FRAME_TAG_BYTES};
use lumbung_pack::{
    ChunkerParams, Content, Encoding, FrameEntry, PackHeader, Session, object_id, open_signed,
};
use lumbung_seal::{
    Chunker, DomainSecret, FrameOpener, OpenedSession, PackSealer, RecoveryKey, Scratch,
    open_session,
};

use crate::{seeds, structured};

static SCRATCH: LazyLock<Mutex<Scratch>> =
    LazyLock::new(|| Mutex::new(Scratch::new().expect("memory for zstd")));
static OPENED: LazyLock<OpenedSession> = LazyLock::new(|| {
    open_session(&seeds::golden_session(), &recovery()).expect("the session of §18 opens")
});

fn scratch() -> MutexGuard<'static, Scratch> {
    SCRATCH.lock().expect("no target panicked before")
}

/// The recipient's key of §18.
pub(crate) fn recovery() -> RecoveryKey {
    RecoveryKey::from_seed(Secret::new(seeds::counting(0x70)))
}

/// The dedup domain of §18.
pub(crate) fn domain() -> &'static DomainSecret {
    &OPENED.domain
}

/// Text that compresses or not, at the fuzzer's choice.
fn plaintext(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let repeats = usize::from(u.arbitrary::<u16>()?).max(1);
    let stretch = u.bytes(u.len())?;
    let mut plain = stretch.repeat(repeats.min(1 + 300_000 / stretch.len().max(1)));
    plain.truncate(300_000);
    Ok(plain)
}

fn seal_and_open(u: &mut Unstructured<'_>) -> Result<()> {
    let number: u32 = u.arbitrary()?;
    let (at, flip) = (u.arbitrary::<u32>()?, u.int_in_range(1..=255_u8)?);
    let plain = plaintext(u)?;
    if plain.is_empty() {
        return Ok(());
    }
    let (key, id_key) = (&OPENED.key, OPENED.domain.id_key());
    let ids = (RepositoryId::ZERO, DomainId::ZERO, SessionId::ZERO);
    let sealer = PackSealer::new(ids.0, ids.1, ids.2, key, Content::Data);
    let opener = FrameOpener::new(sealer.header(), key).expect("a pack of this key");
    let chunk = id_key.chunk_id(&plain);
    let mut scratch = scratch();
    let (entry, stored) = sealer.seal(number, &chunk, &plain, &mut scratch).expect("a chunk");
    let stored = stored.to_vec();
    assert!(stored.len() <= plain.len() + FRAME_TAG_BYTES);
    let opened = opener.open(number, &entry, &stored, &id_key, &mut scratch);
    assert_eq!(opened.expect("what was sealed opens"), plain);
    let mut bad = stored.clone();
    bad[at as usize % stored.len()] ^= flip;
    assert!(opener.open(number, &entry, &bad, &id_key, &mut scratch).is_err());
    assert!(opener.open(number.wrapping_add(1), &entry, &stored, &id_key, &mut scratch).is_err());
    Ok(())
}

/// A table's line and bytes that nobody sealed: they never open, whatever they say of themselves.
fn forged(u: &mut Unstructured<'_>) -> Result<()> {
    let mut header = PackHeader {
        repository: RepositoryId::ZERO,
        domain: DomainId::ZERO,
        session: SessionId::ZERO,
        salt: u.arbitrary()?,
        commitment: u.arbitrary()?,
        content: if u.arbitrary()? { Content::Data } else { Content::Catalogue },
    };
    // The fuzzer watches comparisons, and has come upon a key's own commitment by that.
    let own = OPENED.key.pack_key(&header.salt).commitment();
    assert_eq!(FrameOpener::new(&header, &OPENED.key).is_ok(), header.commitment == own);
    header.commitment = own;
    let opener = FrameOpener::new(&header, &OPENED.key).expect("its own commitment");
    let (number, plain_length) = (u.arbitrary()?, u.arbitrary()?);
    let encoding = if u.arbitrary()? { Encoding::Raw } else { Encoding::Zstd };
    let honest_length: bool = u.arbitrary()?;
    let said: u32 = u.arbitrary()?;
    let stored = u.bytes(u.len())?;
    let length = u32::try_from(stored.len()).expect("an input");
    let entry = FrameEntry {
        chunk: ChunkId::ZERO,
        stored_hash: FrameHash::from_bytes(object_id(stored)),
        plain_length,
        stored_length: if honest_length { length } else { said },
        encoding,
    };
    let id_key = OPENED.domain.id_key();
    assert!(opener.open(number, &entry, stored, &id_key, &mut scratch()).is_err());
    Ok(())
}

pub(crate) fn frame(data: &[u8]) {
    structured::check(data, |u| if u.arbitrary()? { seal_and_open(u) } else { forged(u) });
}

/// What is inside a frame, as a hostile writer with the session's key could seal it: the first four bytes say how long it
/// claims to be.
pub(crate) fn zstd_frame(data: &[u8]) {
    let Some((length, packed)) = data.split_first_chunk::<4>() else { return };
    let length = u32::from_le_bytes(*length) as usize % (CHUNK_MAX + 1);
    let mut scratch = scratch();
    let Some(plain) = scratch.unpack(packed, length) else { return };
    assert_eq!(plain.len(), length, "more or less than the table says was written");
    for other in [length.wrapping_sub(1), length + 1] {
        assert!(scratch.unpack(packed, other).is_none(), "one frame has two lengths");
    }
    assert!(scratch.unpack(&[packed, b"\0"].concat(), length).is_none(), "something follows");
}

/// Changes something of the session of §18, or nothing.
fn alter(session: &mut Session, u: &mut Unstructured<'_>) -> Result<()> {
    let sealed = &mut session.sealed[0];
    if u.arbitrary()? {
        sealed.encapsulated = u.arbitrary()?;
    }
    let at = u.choose_index(sealed.ciphertext.len())?;
    sealed.ciphertext[at] ^= u.arbitrary::<u8>()?;
    session.started.0 ^= i64::from(u.arbitrary::<u8>()?);
    Ok(())
}

/// A session that is signed, whoever by; any other bytes say how the one of §18 is altered.
pub(crate) fn sealed_session(data: &[u8]) {
    if let Ok(signed) = open_signed::<Session>(data) {
        drop(open_session(&signed.body, &recovery()));
        return;
    }
    let mut session = seeds::golden_session();
    // Bytes that run out have altered what they have.
    structured::check(data, |u| alter(&mut session, u));
    let same = session == seeds::golden_session();
    assert_eq!(open_session(&session, &recovery()).is_ok(), same, "an altered session opened");
}

/// §12 word for word, without a thought for speed.
fn reference_cut(gear: &[u64; 256], params: ChunkerParams, data: &[u8]) -> usize {
    let (min, avg, max) = (params.min as usize, params.avg as usize, params.max as usize);
    let bits = params.avg.trailing_zeros();
    let top = |n: u32| !0_u64 << (64 - n);
    let mut hash = 0_u64;
    for at in min..data.len().min(max) {
        hash = (hash << 1).wrapping_add(gear[usize::from(data[at])]);
        let mask = if at < avg { top(bits + 2) } else { top(bits - 2) };
        if hash & mask == 0 {
            return at + 1;
        }
    }
    data.len().min(max)
}

fn gear() -> [u64; 256] {
    let seed = blake3::derive_key("lumbung v1 gear", &seeds::counting::<32>(0x00));
    let mut table = [0; 2048];
    blake3::Hasher::new_keyed(&seed).finalize_xof().fill(&mut table);
    let (words, _) = table.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

fn cut(u: &mut Unstructured<'_>) -> Result<()> {
    static GEAR: LazyLock<[u64; 256]> = LazyLock::new(gear);
    let params = if u.arbitrary()? {
        let avg = 1 << u.int_in_range(7..=12)?;
        ChunkerParams {
            min: u.int_in_range(64..=avg - 1)?,
            avg,
            max: avg + u.int_in_range(1..=5000)?,
        }
    } else {
        ChunkerParams { min: u.arbitrary()?, avg: u.arbitrary()?, max: u.arbitrary()? }
    };
    let data = plaintext(u)?;
    let Ok(chunker) = Chunker::new(&OPENED.domain.gear(), params) else { return Ok(()) };
    let mut rest = data.as_slice();
    for chunk in chunker.chunks(&data) {
        assert_eq!(chunk.len(), reference_cut(&GEAR, params, rest), "another boundary than §12's");
        let ends_itself = chunk.len() < rest.len();
        assert_eq!(chunker.cut(chunk).is_some(), ends_itself || chunker.cut(rest).is_some());
        rest = &rest[chunk.len()..];
    }
    assert!(rest.is_empty());
    Ok(())
}

pub(crate) fn chunker(data: &[u8]) {
    structured::check(data, cut);
}
