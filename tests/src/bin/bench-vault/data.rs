//! Packs and snapshots. To a vault stored frames are opaque: these hold random bytes, or nothing but their length.

use std::fs;
use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use lumbung_model::{ChunkId, FrameHash, ManifestId, PackId, RepositoryId, SessionId, Timestamp};
use lumbung_pack::{
    Content, Encoding, FrameEntry, Kind, Manifest, PackHeader, PackTable, PackUse, SealedKey,
    Session, SigningKey, Statistics, UsageBuilder, object_id, sign,
};
use lumbung_wire::VaultClient;

use crate::bed::{Agent, Owner, random};

/// Bytes of plain data in each frame.
const PLAIN: u32 = 1 << 20;
/// Bytes of each stored frame.
pub(crate) const STORED: u32 = PLAIN + 16;

/// A session, as it is stored.
pub(crate) fn session(owner: &Owner, agent: &Agent) -> (SessionId, Vec<u8>) {
    let session = Session {
        repository: owner.repository,
        agent: agent.id,
        domain: agent.domain,
        dataset: agent.dataset,
        started: Timestamp(1_700_000_000),
        roster_number: owner.roster_number(),
        sealed: vec![SealedKey {
            recipient: owner.recipient,
            encapsulated: random(),
            ciphertext: random(),
        }],
    };
    let bytes = sign(&session, &agent.key);
    (SessionId::from_bytes(object_id(&bytes)), bytes)
}

fn header(owner: &Owner, agent: &Agent, session: SessionId) -> PackHeader {
    PackHeader {
        repository: owner.repository,
        domain: agent.domain,
        session,
        salt: random(),
        commitment: random(),
        content: Content::Data,
    }
}

/// Frames of random bytes, of which packs are made.
pub(crate) struct Frames {
    entries: Vec<FrameEntry>,
    bytes: Vec<Bytes>,
}

impl Frames {
    pub(crate) fn random(count: usize) -> Self {
        let mut stream = blake3::Hasher::new().update(&random::<32>()).finalize_xof();
        let (mut entries, mut all) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut bytes = vec![0; STORED as usize];
            stream.fill(&mut bytes);
            entries.push(FrameEntry {
                chunk: ChunkId::from_bytes(random()),
                stored_hash: FrameHash::from_bytes(object_id(&bytes)),
                plain_length: PLAIN,
                stored_length: STORED,
                encoding: Encoding::Raw,
            });
            all.push(Bytes::from(bytes));
        }
        Self { entries, bytes: all }
    }

    /// A new pack of these frames: id and pieces. Its salt makes it another one each time.
    pub(crate) fn pack(
        &self,
        owner: &Owner,
        agent: &Agent,
        session: SessionId,
    ) -> Result<(PackId, Vec<Bytes>)> {
        let table = PackTable::new(header(owner, agent, session), self.entries.clone())?;
        let mut pieces = vec![Bytes::from(table.encode())];
        pieces.extend(self.bytes.iter().cloned());
        Ok((table.id(), pieces))
    }
}

/// Writes the file of a pack whose head is real and whose frames are a hole. Gives its use, all of it.
pub(crate) fn hollow_pack(
    repository: &Path,
    owner: &Owner,
    agent: &Agent,
    session: SessionId,
    frames: usize,
) -> Result<(PackId, usize)> {
    let mut ids = vec![0; frames * 64];
    blake3::Hasher::new().update(&random::<32>()).finalize_xof().fill(&mut ids);
    let mut entries = Vec::with_capacity(frames);
    for pair in ids.chunks_exact(64) {
        let (chunk, hash) = pair.split_at(32);
        entries.push(FrameEntry {
            chunk: ChunkId::from_bytes(chunk.try_into()?),
            stored_hash: FrameHash::from_bytes(hash.try_into()?),
            plain_length: PLAIN,
            stored_length: STORED,
            encoding: Encoding::Raw,
        });
    }
    let table = PackTable::new(header(owner, agent, session), entries)?;
    let name = table.id().to_string();
    let path = repository.join("packs").join(&name[..2]).join(&name);
    fs::write(&path, table.encode())?;
    fs::File::options().write(true).open(&path)?.set_len(table.total_length())?;
    Ok((table.id(), frames))
}

/// Makes the folders of a repository, with its rosters.
pub(crate) fn make_repository(repository: &Path, owner: &Owner) -> Result<()> {
    for kind in Kind::REPOSITORY {
        fs::create_dir_all(repository.join(kind.folder()))?;
    }
    for first in 0..=u8::MAX {
        fs::create_dir_all(repository.join("packs").join(format!("{first:02x}")))?;
    }
    for roster in &owner.rosters {
        write_object(repository, Kind::Roster, roster)?;
    }
    Ok(())
}

pub(crate) fn write_object(repository: &Path, kind: Kind, bytes: &[u8]) -> Result<()> {
    let name = PackId::from_bytes(object_id(bytes)).to_string();
    Ok(fs::write(repository.join(kind.folder()).join(name), bytes)?)
}

/// A snapshot: usage list, segments, manifest.
pub(crate) struct Snapshot {
    pub(crate) id: ManifestId,
    pub(crate) manifest: Vec<u8>,
    /// The usage list, then the segments.
    pub(crate) usage: Vec<(Kind, [u8; 32], Vec<u8>)>,
}

/// The place of a snapshot in its agent's chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct After {
    pub(crate) sequence: u64,
    pub(crate) previous: ManifestId,
}

pub(crate) const FIRST: After = After { sequence: 0, previous: ManifestId::ZERO };

/// A snapshot that uses all frames of these packs.
pub(crate) fn snapshot(
    (owner, agent): (&Owner, &Agent),
    session: SessionId,
    after: After,
    packs: &[(PackId, usize)],
) -> Result<Snapshot> {
    let mut builder = UsageBuilder::new(owner.repository, agent.domain);
    for (pack, frames) in packs {
        let frames = u32::try_from(*frames)?;
        (0..frames).for_each(|frame| builder.add(*pack, frames, frame, STORED));
    }
    let built = builder.build();
    let manifest = manifest(owner.repository, agent, session, after, built.usage_id, owner);
    let manifest = sign(&manifest, signer(agent));
    let mut usage = vec![(Kind::Usage, *built.usage_id.as_bytes(), built.usage)];
    usage.extend(
        built.segments.into_iter().map(|(id, bytes)| (Kind::Segment, *id.as_bytes(), bytes)),
    );
    Ok(Snapshot { id: ManifestId::from_bytes(object_id(&manifest)), manifest, usage })
}

const fn signer(agent: &Agent) -> &SigningKey {
    &agent.key
}

fn manifest(
    repository: RepositoryId,
    agent: &Agent,
    session: SessionId,
    after: After,
    usage: lumbung_model::UsageId,
    owner: &Owner,
) -> Manifest {
    Manifest {
        repository,
        agent: agent.id,
        dataset: agent.dataset,
        domain: agent.domain,
        partial: false,
        epoch: 1,
        sequence: after.sequence + 1,
        previous: after.previous,
        started: Timestamp(1_700_000_000),
        finished: Timestamp(1_700_000_100),
        roster_number: owner.roster_number(),
        statistics: Statistics { files: 1, ..Statistics::default() },
        usage,
        sessions: vec![session],
        root_salt: random(),
        sealed_root: vec![7; 64],
    }
}

/// Sends rosters and session.
pub(crate) async fn found(client: &VaultClient, owner: &Owner, session: &[u8]) -> Result<()> {
    for roster in &owner.rosters {
        let bytes = Bytes::from(roster.clone());
        client.put(&owner.repository, Kind::Roster, &object_id(roster), bytes).await?;
    }
    let bytes = Bytes::from(session.to_vec());
    client.put(&owner.repository, Kind::Session, &object_id(session), bytes).await?;
    Ok(())
}

/// Sends usage list and segments, then the manifest.
pub(crate) async fn publish(client: &VaultClient, owner: &Owner, made: &Snapshot) -> Result<()> {
    for (kind, id, bytes) in &made.usage {
        client.put(&owner.repository, *kind, id, Bytes::from(bytes.clone())).await?;
    }
    client.commit(&owner.repository, &made.id, Bytes::from(made.manifest.clone())).await?;
    Ok(())
}

/// Questions for all frames of packs, until there are so many frames.
pub(crate) fn questions(packs: &[(PackId, usize)], mut wanted: usize) -> Vec<PackUse> {
    let mut questions = Vec::new();
    for (pack, frames) in packs {
        if wanted == 0 {
            break;
        }
        let all = u32::try_from(*frames).unwrap_or(u32::MAX);
        let asked = wanted.min(*frames);
        let mut used = lumbung_pack::Bitmap::new(all);
        (0..all).take(asked).for_each(|frame| used.set(frame));
        questions.push(PackUse { pack: *pack, used });
        wanted -= asked;
    }
    questions
}
