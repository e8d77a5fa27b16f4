//! A snapshot's root: what was backed up, and where its catalogue begins (format, section 10).

use lumbung_model::ChunkId;
use lumbung_pack::codec::{Reader, Writer};
use lumbung_pack::limits::{CHUNK_MAX, LABEL_MAX_BYTES, PATH_MAX_BYTES, SEALED_ROOT_MAX_BYTES};
use lumbung_pack::{FormatError, Manifest};

use crate::error::SealError;
use crate::one_message::{self, TAG_BYTES};
use crate::session::{RootKey, SessionKey};

/// The plaintext of a snapshot's root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RootPlain {
    /// Name of the host that was backed up; at most 255 bytes.
    pub host: String,
    /// Label of the dataset; may be empty, at most 255 bytes.
    pub label: String,
    /// The absolute paths that were backed up.
    pub sources: Vec<Vec<u8>>,
    /// Entries in the catalogue; 0 in a partial manifest.
    pub entries: u64,
    /// The chunks of the catalogue's index with their plain lengths; none in a partial manifest.
    pub root_chunks: Vec<(ChunkId, u32)>,
}

fn field(field: &'static str, reason: &'static str) -> FormatError {
    FormatError::Field { field, reason }
}

impl RootPlain {
    /// The plaintext's bytes.
    ///
    /// # Errors
    /// If a field is beyond its limit.
    pub fn encode(&self) -> Result<Vec<u8>, SealError> {
        if self.host.len() > LABEL_MAX_BYTES || self.label.len() > LABEL_MAX_BYTES {
            return Err(SealError::RootLimit(
                "host name and label have at most 255 bytes each: shorten them",
            ));
        }
        if self.sources.len() > usize::from(u16::MAX)
            || self.root_chunks.len() > usize::from(u16::MAX)
        {
            return Err(SealError::RootLimit(
                "it has at most 65,535 sources and index chunks: divide the dataset",
            ));
        }
        if self.sources.iter().any(|path| check_source(path).is_err()) {
            return Err(SealError::RootLimit(
                "every source is an absolute path of at most 65,536 bytes",
            ));
        }
        let mut writer = Writer::new();
        writer.str(&self.host).str(&self.label).count16(self.sources.len());
        for source in &self.sources {
            writer.bytes(source);
        }
        writer.u64(self.entries).count16(self.root_chunks.len());
        for (chunk, length) in &self.root_chunks {
            writer.raw(chunk.as_bytes()).u32(*length);
        }
        if writer.as_bytes().len() + TAG_BYTES > SEALED_ROOT_MAX_BYTES {
            return Err(SealError::RootLimit("it is longer than 1 MiB: divide the dataset"));
        }
        Ok(writer.into_bytes())
    }

    /// Reads a plaintext.
    ///
    /// # Errors
    /// Where the bytes are not canonical or break a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let (host, label) = (reader.str()?, reader.str()?);
        let mut sources = Vec::new();
        for _ in 0..reader.u16()? {
            let source = reader.bytes(PATH_MAX_BYTES)?;
            check_source(source)?;
            sources.push(source.to_vec());
        }
        let entries = reader.u64()?;
        let mut root_chunks = Vec::new();
        for _ in 0..reader.u16()? {
            let chunk = ChunkId::from_bytes(reader.array()?);
            let length = reader.u32()?;
            if length == 0 || length as usize > CHUNK_MAX {
                return Err(field("a root chunk's length", "it is 0 or beyond 4 MiB"));
            }
            root_chunks.push((chunk, length));
        }
        reader.finish()?;
        Ok(Self { host, label, sources, entries, root_chunks })
    }
}

fn check_source(path: &[u8]) -> Result<(), FormatError> {
    if path.first() != Some(&b'/') || path.contains(&0) || path.len() > PATH_MAX_BYTES {
        return Err(field("a source", "it is not an absolute path"));
    }
    Ok(())
}

/// Fills in `manifest.root_salt` and `manifest.sealed_root`. Repository, agent, dataset, domain, epoch
/// and sequence number must be final, for they are bound to what is sealed.
///
/// # Errors
/// If the root breaks a limit.
///
/// # Panics
/// If the operating system has no random numbers to give.
pub fn seal_root(
    key: &SessionKey,
    manifest: &mut Manifest,
    root: &RootPlain,
) -> Result<(), SealError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).expect("the operating system gives random numbers");
    seal_root_with(key, manifest, root, salt)
}

pub(crate) fn seal_root_with(
    key: &SessionKey,
    manifest: &mut Manifest,
    root: &RootPlain,
    salt: [u8; 32],
) -> Result<(), SealError> {
    let plain = root.encode()?;
    manifest.root_salt = salt;
    manifest.sealed_root =
        one_message::seal(key.root_key(&salt).into_secret(), &manifest.root_aad(), &plain);
    Ok(())
}

/// Opens a manifest's root with the key of its first session.
///
/// # Errors
/// If it does not open, or if what is inside is no root.
pub fn open_root(key: &SessionKey, manifest: &Manifest) -> Result<RootPlain, SealError> {
    open_root_with(&key.root_key(&manifest.root_salt), manifest)
}

/// Opens a manifest's root with its own key, as a grant gives it.
///
/// # Errors
/// As [`open_root`].
pub fn open_root_with(key: &RootKey, manifest: &Manifest) -> Result<RootPlain, SealError> {
    let altered = || SealError::Root(manifest.dataset);
    let sealed = &manifest.sealed_root;
    if sealed.len() > SEALED_ROOT_MAX_BYTES {
        return Err(altered());
    }
    let mut plain = vec![0; sealed.len().checked_sub(TAG_BYTES).ok_or_else(altered)?];
    one_message::open(key.secret(), &manifest.root_aad(), sealed, &mut plain)
        .map_err(|_| altered())?;
    RootPlain::decode(&plain).map_err(SealError::RootFormat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::{
        AgentId, DatasetId, DomainId, ManifestId, RepositoryId, SessionId, Timestamp, UsageId,
    };
    use lumbung_pack::Statistics;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        Manifest {
            repository: RepositoryId::from_bytes([1; 32]),
            agent: AgentId::from_bytes([2; 16]),
            dataset: DatasetId::from_bytes([3; 16]),
            domain: DomainId::from_bytes([4; 16]),
            partial: false,
            epoch: 1,
            sequence: 1,
            previous: ManifestId::ZERO,
            started: Timestamp(0),
            finished: Timestamp(0),
            roster_number: 1,
            statistics: Statistics::default(),
            usage: UsageId::ZERO,
            sessions: vec![SessionId::ZERO],
            root_salt: [0; 32],
            sealed_root: Vec::new(),
        }
    }

    fn root() -> RootPlain {
        RootPlain {
            host: "srv-dinkes".to_owned(),
            label: String::new(),
            sources: vec![b"/".to_vec(), b"/srv/\xff".to_vec()],
            entries: 7,
            root_chunks: vec![(ChunkId::from_bytes([9; 32]), 1), (ChunkId::ZERO, 4 << 20)],
        }
    }

    #[test]
    fn a_root_comes_back_and_any_flipped_bit_is_refused() {
        let key = SessionKey::random();
        let mut sealed = manifest();
        seal_root(&key, &mut sealed, &root()).unwrap();
        assert_eq!(open_root(&key, &sealed).unwrap(), root());
        let refused = |bad: &Manifest| matches!(open_root(&key, bad), Err(SealError::Root(_)));
        for bit in 0..sealed.sealed_root.len() * 8 {
            let mut bad = sealed.clone();
            bad.sealed_root[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(&bad), "bit {bit}");
        }
        assert!(refused(&Manifest { root_salt: [0; 32], ..sealed.clone() }));
        assert!(refused(&Manifest { agent: AgentId::ZERO, ..sealed.clone() }));
        assert!(refused(&Manifest { dataset: DatasetId::ZERO, ..sealed.clone() }));
        assert!(refused(&Manifest { domain: DomainId::ZERO, ..sealed.clone() }));
        assert!(refused(&Manifest { repository: RepositoryId::ZERO, ..sealed.clone() }));
        assert!(refused(&Manifest { epoch: 2, ..sealed.clone() }));
        assert!(refused(&Manifest { sequence: 2, ..sealed.clone() }));
        assert!(refused(&Manifest { sealed_root: vec![0; 15], ..sealed.clone() }));
        assert!(open_root(&SessionKey::random(), &sealed).is_err());
    }

    #[test]
    fn a_root_beyond_the_limits_is_not_sealed() {
        let refused = |bad: RootPlain| {
            matches!(
                seal_root(&SessionKey::random(), &mut manifest(), &bad),
                Err(SealError::RootLimit(_))
            )
        };
        assert!(refused(RootPlain { host: "h".repeat(256), ..root() }));
        assert!(refused(RootPlain { label: "l".repeat(256), ..root() }));
        assert!(refused(RootPlain { sources: vec![b"etc".to_vec()], ..root() }));
        assert!(refused(RootPlain { sources: vec![vec![b'/'; 60_000]; 18], ..root() }));
        assert!(refused(RootPlain { root_chunks: vec![(ChunkId::ZERO, 1); 65_536], ..root() }));
    }

    #[test]
    fn a_root_goes_to_its_limits() {
        let sealed = |root: &RootPlain| {
            let (key, mut manifest) = (SessionKey::random(), manifest());
            seal_root(&key, &mut manifest, root)
                .is_ok_and(|()| open_root(&key, &manifest).unwrap() == *root)
        };
        let path = |length: usize| vec![b'/'; length];
        assert!(sealed(&RootPlain { host: "h".repeat(255), label: "l".repeat(255), ..root() }));
        for (sources, taken) in [
            (vec![path(1); 65_535], true),
            (vec![path(1); 65_536], false),
            (vec![path(PATH_MAX_BYTES)], true),
            (vec![path(PATH_MAX_BYTES + 1)], false),
            (vec![path(PATH_MAX_BYTES + 2)], false),
            (vec![b"/a\0".to_vec()], false),
        ] {
            let what = (sources.len(), sources[0].len());
            assert_eq!(sealed(&RootPlain { sources, ..root() }), taken, "{what:?}");
        }
        // As long as it may be, by the length of the last path.
        let of = |last: usize| {
            let mut sources = vec![path(60_000); 17];
            sources.push(path(last));
            RootPlain { sources, ..root() }
        };
        let most = SEALED_ROOT_MAX_BYTES - TAG_BYTES - (of(1).encode().unwrap().len() - 1);
        assert!(sealed(&of(most)));
        assert!(!sealed(&of(most + 1)));
    }

    #[test]
    fn a_chunk_of_the_index_has_a_length() {
        let read = |length| {
            let root = RootPlain { root_chunks: vec![(ChunkId::ZERO, length)], ..root() };
            RootPlain::decode(&root.encode().unwrap()).is_ok()
        };
        let most = u32::try_from(CHUNK_MAX).unwrap();
        assert_eq!([0, 1, most, most + 1].map(read), [false, true, true, false]);
    }

    proptest! {
        #[test]
        fn decoding_noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(RootPlain::decode(&bytes));
        }

        #[test]
        fn what_decodes_is_canonical(cut in 0_usize..200, bit in any::<prop::sample::Index>()) {
            let mut bytes = root().encode().unwrap();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes.truncate(bytes.len().saturating_sub(cut / 20));
            if let Ok(decoded) = RootPlain::decode(&bytes) {
                prop_assert_eq!(decoded.encode().unwrap(), bytes);
            }
        }
    }
}
