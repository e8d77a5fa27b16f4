//! Manifests: a snapshot, signed by the agent that made it (`docs/format.md` §10).

use lumbung_model::{
    AgentId, DatasetId, DomainId, ManifestId, RepositoryId, SessionId, Timestamp, UsageId,
};
use serde::{Deserialize, Serialize};

use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::limits::SEALED_ROOT_MAX_BYTES;
use crate::object::{Kind, Object};

/// What an agent says of a snapshot in plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Statistics {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links, devices and the like.
    pub others: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Entries unreadable, or changed while read.
    pub flagged: u64,
    /// Plain bytes that this run stored anew.
    pub new_plain_bytes: u64,
    /// Stored bytes that this run added.
    pub new_stored_bytes: u64,
}

impl Statistics {
    const fn to_array(self) -> [u64; 7] {
        [
            self.files,
            self.directories,
            self.others,
            self.content_bytes,
            self.flagged,
            self.new_plain_bytes,
            self.new_stored_bytes,
        ]
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            files: reader.u64()?,
            directories: reader.u64()?,
            others: reader.u64()?,
            content_bytes: reader.u64()?,
            flagged: reader.u64()?,
            new_plain_bytes: reader.u64()?,
            new_stored_bytes: reader.u64()?,
        })
    }
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The repository.
    pub repository: RepositoryId,
    /// Who made it.
    pub agent: AgentId,
    /// What was backed up.
    pub dataset: DatasetId,
    /// Whose frames it uses.
    pub domain: DomainId,
    /// Whether it only protects what has been sent so far.
    pub partial: bool,
    /// Counts from 1; one more each time the agent lost its state.
    pub epoch: u32,
    /// Counts from 1 for agent, dataset and epoch.
    pub sequence: u64,
    /// The manifest before it; zero if none.
    pub previous: ManifestId,
    /// When the run started.
    pub started: Timestamp,
    /// When the run finished.
    pub finished: Timestamp,
    /// The roster in force.
    pub roster_number: u32,
    /// What the agent says of it.
    pub statistics: Statistics,
    /// The frames it uses.
    pub usage: UsageId,
    /// Sessions of the packs used; first the one that sealed the root, the others ascending.
    pub sessions: Vec<SessionId>,
    /// Makes the root key.
    pub root_salt: [u8; 32],
    /// The root, sealed.
    pub sealed_root: Vec<u8>,
}

impl Manifest {
    /// What the sealed root binds, 92 bytes.
    #[must_use]
    pub fn root_aad(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(self.repository.as_bytes()).raw(self.agent.as_bytes());
        writer.raw(self.dataset.as_bytes()).raw(self.domain.as_bytes());
        writer.u32(self.epoch).u64(self.sequence);
        writer.into_bytes()
    }

    fn check(&self) -> Result<(), FormatError> {
        if self.epoch == 0 || self.sequence == 0 {
            return Err(FormatError::field(
                "a manifest's epoch and sequence number",
                "they count from 1",
            ));
        }
        let (first, others) = self
            .sessions
            .split_first()
            .ok_or(FormatError::field("a manifest's sessions", "there must be at least one"))?;
        if others.contains(first) {
            return Err(FormatError::field(
                "a manifest's sessions",
                "the first stands again among the others",
            ));
        }
        ascending("a manifest's sessions", others.iter())
    }
}

impl Object for Manifest {
    const KIND: Kind = Kind::Manifest;
    type Id = ManifestId;

    fn id_from(bytes: [u8; 32]) -> ManifestId {
        ManifestId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.agent.as_bytes()).raw(self.dataset.as_bytes()).raw(self.domain.as_bytes());
        writer.u8(u8::from(self.partial)).u32(self.epoch).u64(self.sequence);
        writer.raw(self.previous.as_bytes()).i64(self.started.0).i64(self.finished.0);
        writer.u32(self.roster_number);
        for figure in self.statistics.to_array() {
            writer.u64(figure);
        }
        writer.raw(self.usage.as_bytes()).count16(self.sessions.len());
        for session in &self.sessions {
            writer.raw(session.as_bytes());
        }
        writer.raw(&self.root_salt).bytes(&self.sealed_root);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let manifest = Self {
            repository,
            agent: AgentId::from_bytes(reader.array()?),
            dataset: DatasetId::from_bytes(reader.array()?),
            domain: DomainId::from_bytes(reader.array()?),
            partial: reader.flag("a manifest's flags")?,
            epoch: reader.u32()?,
            sequence: reader.u64()?,
            previous: ManifestId::from_bytes(reader.array()?),
            started: Timestamp(reader.i64()?),
            finished: Timestamp(reader.i64()?),
            roster_number: reader.u32()?,
            statistics: Statistics::read(reader)?,
            usage: UsageId::from_bytes(reader.array()?),
            sessions: read_sessions(reader)?,
            root_salt: reader.array()?,
            sealed_root: reader.bytes(SEALED_ROOT_MAX_BYTES)?.to_vec(),
        };
        manifest.check()?;
        Ok(manifest)
    }
}

fn read_sessions(reader: &mut Reader<'_>) -> Result<Vec<SessionId>, FormatError> {
    let count = reader.count16("a manifest's sessions", 1, usize::from(u16::MAX))?;
    (0..count).map(|_| reader.array().map(SessionId::from_bytes)).collect()
}
