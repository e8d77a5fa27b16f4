//! Frames: a chunk, compressed and sealed (format, sections 6 and 8).
//!
//! A frame's key depends on the chunk's id, so on its content: it can only ever seal one message,
//! even on a machine that was cloned. Every frame is opened again and compared before it is given out.

use std::collections::BTreeMap;

use lumbung_model::{ChunkId, DomainId, FrameHash, RepositoryId, Secret, SessionId};
use lumbung_pack::limits::{CHUNK_MAX, FRAME_TAG_BYTES};
use lumbung_pack::{Content, Encoding, FrameEntry, PackHeader, object_id};

use crate::compress::Scratch;
use crate::domain::IdKey;
use crate::error::SealError;
use crate::one_message;
use crate::session::{FrameContext, PackKey, SessionKey};

/// What every frame of a pack is bound to: repository, session, salt.
struct PackContext {
    key: PackKey,
    content: Content,
    aad: [u8; 96],
}

impl PackContext {
    fn new(header: &PackHeader, key: PackKey) -> Self {
        Self { key, content: header.content, aad: pack_aad(header) }
    }

    fn frame_key(&self, number: u32, entry: &FrameEntry) -> Secret<32> {
        frame_key(&self.key, self.content, number, entry)
    }
}

/// The key of one frame: the chunk's id is part of it, so it opens nothing under another name.
pub(crate) fn frame_key(
    key: &PackKey,
    content: Content,
    number: u32,
    entry: &FrameEntry,
) -> Secret<32> {
    key.frame_key(&FrameContext {
        number,
        content,
        encoding: entry.encoding,
        chunk: &entry.chunk,
        plain_length: entry.plain_length,
    })
}

/// What all frames of a pack are bound to.
fn pack_aad(header: &PackHeader) -> [u8; 96] {
    let mut aad = [0; 96];
    aad[..32].copy_from_slice(header.repository.as_bytes());
    aad[32..64].copy_from_slice(header.session.as_bytes());
    aad[64..].copy_from_slice(&header.salt);
    aad
}

/// Seals the frames of one pack. Threads share it, each with its own [`Scratch`].
pub struct PackSealer {
    header: PackHeader,
    context: PackContext,
}

impl PackSealer {
    /// Begins a pack: a new salt, and so a new key.
    ///
    /// # Panics
    /// If the operating system has no random numbers to give.
    #[must_use]
    pub fn new(
        repository: RepositoryId,
        domain: DomainId,
        session: SessionId,
        key: &SessionKey,
        content: Content,
    ) -> Self {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).expect("the operating system gives random numbers");
        Self::with_salt(repository, domain, session, key, content, salt)
    }

    pub(crate) fn with_salt(
        repository: RepositoryId,
        domain: DomainId,
        session: SessionId,
        key: &SessionKey,
        content: Content,
        salt: [u8; 32],
    ) -> Self {
        let pack_key = key.pack_key(&salt);
        let commitment = pack_key.commitment();
        let header = PackHeader { repository, domain, session, salt, commitment, content };
        Self { header, context: PackContext::new(&header, pack_key) }
    }

    /// The pack's fields before its table.
    #[must_use]
    pub const fn header(&self) -> &PackHeader {
        &self.header
    }

    /// Seals a chunk as frame `number` (counted from 0) of the pack: its table entry and its stored
    /// bytes, which stand in `scratch` until it is used again. `chunk` must be the id of `plain`. The number may
    /// be used again for another chunk if this frame is thrown away.
    ///
    /// # Errors
    /// If the chunk is empty or too long, or if the machine computes wrongly.
    pub fn seal<'a>(
        &self,
        number: u32,
        chunk: &ChunkId,
        plain: &[u8],
        scratch: &'a mut Scratch,
    ) -> Result<(FrameEntry, &'a [u8]), SealError> {
        if plain.is_empty() || plain.len() > CHUNK_MAX {
            return Err(SealError::ChunkLength(plain.len()));
        }
        let packed = scratch.encode(plain).map_err(SealError::Compress)?;
        let mut entry = FrameEntry {
            chunk: *chunk,
            stored_hash: FrameHash::ZERO,
            plain_length: length_u32(plain.len()),
            stored_length: 0,
            encoding: if packed { Encoding::Zstd } else { Encoding::Raw },
        };
        let key = self.context.frame_key(number, &entry);
        let stored = scratch.message();
        one_message::seal_in_place(key, &self.context.aad, stored);
        entry.stored_length = length_u32(stored.len());
        entry.stored_hash = FrameHash::from_bytes(object_id(stored));
        self.read_back(number, &entry, plain, scratch)?;
        Ok((entry, scratch.message()))
    }

    /// Opens what was just sealed and compares it.
    fn read_back(
        &self,
        number: u32,
        entry: &FrameEntry,
        plain: &[u8],
        scratch: &mut Scratch,
    ) -> Result<(), SealError> {
        let length = entry.stored_length as usize - FRAME_TAG_BYTES;
        let key = self.context.frame_key(number, entry);
        let (stored, decrypted) = scratch.message_and_decrypted(length);
        let opened = one_message::open(&key, &self.context.aad, stored, decrypted).is_ok();
        let same = match entry.encoding {
            Encoding::Raw => opened && decrypted == plain,
            Encoding::Zstd => opened && scratch.unpacks_to(length, plain),
        };
        if same { Ok(()) } else { Err(SealError::Readback(entry.chunk)) }
    }
}

/// What opens the frames of a pack: its key, or the keys of some frames.
enum Keys {
    Pack(PackContext),
    Frames { keys: BTreeMap<u32, Secret<32>>, aad: [u8; 96] },
}

/// Opens the frames of one pack. Threads share it, each with its own [`Scratch`].
pub struct FrameOpener {
    keys: Keys,
}

impl FrameOpener {
    /// Prepares to open the pack with this header.
    ///
    /// # Errors
    /// If the pack is not of this session key.
    pub fn new(header: &PackHeader, key: &SessionKey) -> Result<Self, SealError> {
        Self::with_pack_key(header, key.pack_key(&header.salt))
    }

    /// Prepares to open the pack with this header by the pack's own key, as a grant gives it.
    ///
    /// # Errors
    /// If it is not this pack's.
    pub(crate) fn with_pack_key(header: &PackHeader, key: PackKey) -> Result<Self, SealError> {
        if key.commitment() != header.commitment {
            return Err(SealError::Commitment);
        }
        Ok(Self { keys: Keys::Pack(PackContext::new(header, key)) })
    }

    /// Prepares to open these frames of the pack with this header.
    pub(crate) fn with_frame_keys(header: &PackHeader, keys: BTreeMap<u32, Secret<32>>) -> Self {
        Self { keys: Keys::Frames { keys, aad: pack_aad(header) } }
    }

    /// The chunk in frame `number` (counted from 0) of the pack, checked against its length and id.
    ///
    /// # Errors
    /// If the frame was altered, or holds another chunk than its entry says.
    pub fn open(
        &self,
        number: u32,
        entry: &FrameEntry,
        stored: &[u8],
        id_key: &IdKey,
        scratch: &mut Scratch,
    ) -> Result<Vec<u8>, SealError> {
        let plain = self.open_named(number, entry, stored, scratch)?;
        if id_key.chunk_id(&plain) == entry.chunk {
            Ok(plain)
        } else {
            Err(SealError::ChunkId { frame: number, chunk: entry.chunk })
        }
    }

    /// As [`Self::open`], for who does not have the domain's id key: that the frame holds what its entry names is the
    /// word of who sealed it, and of nobody else, for its key depends on the chunk's id.
    ///
    /// # Errors
    /// If the frame was altered, or its key is not at hand.
    pub fn open_named(
        &self,
        number: u32,
        entry: &FrameEntry,
        stored: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Vec<u8>, SealError> {
        let altered = || SealError::Frame { frame: number, chunk: entry.chunk };
        let plain_length = entry.plain_length as usize;
        let encoded_length = stored.len().checked_sub(FRAME_TAG_BYTES).ok_or_else(altered)?;
        let lengths_agree = match entry.encoding {
            Encoding::Raw => encoded_length == plain_length,
            Encoding::Zstd => encoded_length <= plain_length,
        };
        let declared = stored.len() == entry.stored_length as usize;
        if !declared || !lengths_agree || plain_length == 0 || plain_length > CHUNK_MAX {
            return Err(altered());
        }
        let (key, aad) = match &self.keys {
            Keys::Pack(context) => (&context.frame_key(number, entry), &context.aad),
            Keys::Frames { keys, aad } => {
                let chunk = entry.chunk;
                (keys.get(&number).ok_or(SealError::NotGranted { frame: number, chunk })?, aad)
            }
        };
        let mut plain = Vec::new();
        match entry.encoding {
            Encoding::Raw => {
                plain.resize(plain_length, 0);
                one_message::open(key, aad, stored, &mut plain).map_err(|_| altered())?;
            }
            Encoding::Zstd => {
                let decrypted = scratch.decrypted(encoded_length);
                one_message::open(key, aad, stored, decrypted).map_err(|_| altered())?;
                if !scratch.unpack_into(encoded_length, plain_length, &mut plain) {
                    return Err(SealError::ChunkId { frame: number, chunk: entry.chunk });
                }
            }
        }
        Ok(plain)
    }
}

/// A length that was checked to be at most `CHUNK_MAX` and a tag.
fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("a chunk's length fits 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DomainSecret;

    struct Fixture {
        id_key: IdKey,
        session: SessionKey,
        sealer: PackSealer,
        scratch: Scratch,
    }

    impl Fixture {
        fn new() -> Self {
            let session = SessionKey::random();
            let ids = (
                RepositoryId::from_bytes([1; 32]),
                DomainId::from_bytes([2; 16]),
                SessionId::from_bytes([3; 32]),
            );
            Self {
                id_key: DomainSecret::random().id_key(),
                sealer: PackSealer::new(ids.0, ids.1, ids.2, &session, Content::Data),
                session,
                scratch: Scratch::new().unwrap(),
            }
        }

        fn seal(&mut self, number: u32, plain: &[u8]) -> (FrameEntry, Vec<u8>) {
            let chunk = self.id_key.chunk_id(plain);
            let sealed = self.sealer.seal(number, &chunk, plain, &mut self.scratch);
            sealed.map(|(entry, stored)| (entry, stored.to_vec())).unwrap()
        }

        fn open(
            &mut self,
            number: u32,
            entry: &FrameEntry,
            stored: &[u8],
        ) -> Result<Vec<u8>, SealError> {
            let opener = FrameOpener::new(self.sealer.header(), &self.session).unwrap();
            opener.open(number, entry, stored, &self.id_key, &mut self.scratch)
        }
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn chunks_of_every_kind_come_back() {
        let mut fixture = Fixture::new();
        for plain in
            [vec![7], vec![0; CHUNK_MAX], noise(CHUNK_MAX), noise(300), b"desa ".repeat(100_000)]
        {
            let (entry, stored) = fixture.seal(3, &plain);
            assert!(stored.len() <= plain.len() + FRAME_TAG_BYTES);
            assert_eq!(*entry.stored_hash.as_bytes(), *blake3::hash(&stored).as_bytes());
            assert!(lumbung_pack::PackTable::new(*fixture.sealer.header(), vec![entry]).is_ok());
            assert_eq!(fixture.open(3, &entry, &stored).unwrap(), plain);
        }
    }

    #[test]
    fn what_does_not_read_back_is_not_given_out() {
        let mut fixture = Fixture::new();
        for plain in [b"desa ".repeat(100), noise(300)] {
            let (entry, _) = fixture.seal(3, &plain);
            let mut read_back = |number, plain: &[u8]| {
                fixture.sealer.read_back(number, &entry, plain, &mut fixture.scratch).is_ok()
            };
            let mut other = plain.clone();
            other[0] ^= 1;
            assert!(read_back(3, &plain));
            assert!(!read_back(3, &other), "it is something else");
            assert!(!read_back(4, &plain), "it does not open");
        }
    }

    /// Frames under the right key, as only who has the session's key can make them.
    #[test]
    fn a_frame_is_as_its_entry_says_or_is_refused() {
        let mut fixture = Fixture::new();
        let mut opens = |plain: &[u8], encoding, stored_more: u32| {
            let mut message = match encoding {
                Encoding::Raw => plain.to_vec(),
                Encoding::Zstd => zstd::bulk::compress(plain, 3).unwrap(),
            };
            let entry = FrameEntry {
                chunk: fixture.id_key.chunk_id(plain),
                stored_hash: FrameHash::ZERO,
                plain_length: length_u32(plain.len()),
                stored_length: length_u32(message.len() + FRAME_TAG_BYTES) + stored_more,
                encoding,
            };
            let context = &fixture.sealer.context;
            one_message::seal_in_place(context.frame_key(3, &entry), &context.aad, &mut message);
            fixture.open(3, &entry, &message).is_ok()
        };
        let text = b"desa ".repeat(100);
        assert!(opens(&text, Encoding::Raw, 0) && opens(&text, Encoding::Zstd, 0));
        assert!(!opens(&text, Encoding::Raw, 1) && !opens(&text, Encoding::Zstd, 1));
        assert!(!opens(b"a", Encoding::Zstd, 0), "longer than what is in it");
        assert!(!opens(b"", Encoding::Raw, 0));
        assert!(opens(&vec![0; CHUNK_MAX], Encoding::Raw, 0));
        assert!(!opens(&vec![0; CHUNK_MAX + 1], Encoding::Raw, 0));
        assert!(!opens(&vec![0; CHUNK_MAX + 1], Encoding::Zstd, 0));
    }

    #[test]
    fn threads_share_a_pack_and_seal_the_same_bytes() {
        fn shared<T: Send + Sync>(_: &T) {}
        let fixture = Fixture::new();
        let plain = b"provinsi ".repeat(1000);
        let chunk = fixture.id_key.chunk_id(&plain);
        shared(&FrameOpener::new(fixture.sealer.header(), &fixture.session).unwrap());
        let seal = || {
            let mut scratch = Scratch::new().unwrap();
            let (entry, stored) = fixture.sealer.seal(1, &chunk, &plain, &mut scratch).unwrap();
            (entry, stored.to_vec())
        };
        let sealed = std::thread::scope(|scope| {
            let threads = [scope.spawn(seal), scope.spawn(seal)];
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(sealed[0], sealed[1]);
    }

    #[test]
    fn lengths_outside_the_format_are_not_sealed() {
        let mut fixture = Fixture::new();
        for plain in [vec![], vec![0; CHUNK_MAX + 1]] {
            let sealed = fixture.sealer.seal(0, &ChunkId::ZERO, &plain, &mut fixture.scratch);
            assert!(matches!(sealed, Err(SealError::ChunkLength(n)) if n == plain.len()));
        }
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let mut fixture = Fixture::new();
        for plain in [noise(60), b"kecamatan ".repeat(20)] {
            let (entry, stored) = fixture.seal(0, &plain);
            for bit in 0..stored.len() * 8 {
                let mut bad = stored.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    matches!(fixture.open(0, &entry, &bad), Err(SealError::Frame { .. })),
                    "bit {bit}"
                );
            }
            assert!(fixture.open(0, &entry, &stored[1..]).is_err());
            assert!(fixture.open(0, &entry, &[]).is_err());
        }
    }

    #[test]
    fn a_frame_opens_only_where_it_was_sealed() {
        let mut fixture = Fixture::new();
        let plain = b"kelurahan ".repeat(20);
        let (entry, stored) = fixture.seal(5, &plain);
        assert!(fixture.open(6, &entry, &stored).is_err());
        for wrong in [
            FrameEntry { chunk: ChunkId::from_bytes([9; 32]), ..entry },
            FrameEntry { plain_length: entry.plain_length + 1, ..entry },
            FrameEntry { plain_length: u32::MAX, ..entry },
            FrameEntry { encoding: Encoding::Raw, ..entry },
            FrameEntry { encoding: Encoding::Raw, plain_length: entry.stored_length - 16, ..entry },
        ] {
            assert!(fixture.open(5, &wrong, &stored).is_err());
        }
        let header = *fixture.sealer.header();
        for wrong in [
            PackHeader { repository: RepositoryId::ZERO, ..header },
            PackHeader { session: SessionId::ZERO, ..header },
            PackHeader { content: Content::Catalogue, ..header },
        ] {
            let opener = FrameOpener::new(&wrong, &fixture.session).unwrap();
            assert!(
                opener.open(5, &entry, &stored, &fixture.id_key, &mut fixture.scratch).is_err()
            );
        }
        for wrong in
            [PackHeader { salt: [0; 32], ..header }, PackHeader { commitment: [0; 32], ..header }]
        {
            assert!(matches!(
                FrameOpener::new(&wrong, &fixture.session),
                Err(SealError::Commitment)
            ));
        }
        assert!(matches!(
            FrameOpener::new(&header, &SessionKey::random()),
            Err(SealError::Commitment)
        ));
    }

    #[test]
    fn a_chunk_under_a_false_name_is_refused() {
        let mut fixture = Fixture::new();
        let false_name = ChunkId::from_bytes([8; 32]);
        let (entry, stored) =
            fixture.sealer.seal(0, &false_name, b"isi", &mut fixture.scratch).unwrap();
        let stored = stored.to_vec();
        assert!(matches!(
            fixture.open(0, &entry, &stored),
            Err(SealError::ChunkId { frame: 0, .. })
        ));
    }
}
