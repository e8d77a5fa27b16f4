//! Sessions: one run's key, sealed to each recipient (`docs/format.md` §7). Opened in `lumbung_seal`.

use lumbung_model::{AgentId, DatasetId, DomainId, PublicKey, RepositoryId, SessionId, Timestamp};

use crate::codec::{Reader, Writer, distinct};
use crate::error::FormatError;
use crate::limits::MAX_RECIPIENTS;
use crate::object::{Header, Kind, Object};

/// A session's secrets as sealed to one recipient (HPKE, RFC 9180).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// X25519 public key of the recipient.
    pub recipient: PublicKey,
    /// HPKE encapsulated key.
    pub encapsulated: [u8; 32],
    /// HPKE ciphertext of session key and domain secret.
    pub ciphertext: [u8; 80],
}

/// One run of one agent on one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The repository.
    pub repository: RepositoryId,
    /// Who runs.
    pub agent: AgentId,
    /// Whose frames it writes.
    pub domain: DomainId,
    /// What is backed up.
    pub dataset: DatasetId,
    /// When the run started.
    pub started: Timestamp,
    /// The roster whose recipients these are.
    pub roster_number: u32,
    /// The secrets, once for each recipient.
    pub sealed: Vec<SealedKey>,
}

impl Session {
    fn write_context(&self, writer: &mut Writer) {
        writer.raw(self.agent.as_bytes()).raw(self.domain.as_bytes());
        writer.raw(self.dataset.as_bytes()).i64(self.started.0);
    }

    /// What HPKE binds: the object's first 104 bytes.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        Header { kind: Kind::Session, repository: self.repository }.write(&mut writer);
        self.write_context(&mut writer);
        writer.into_bytes()
    }
}

impl Object for Session {
    const KIND: Kind = Kind::Session;
    type Id = SessionId;

    fn id_from(bytes: [u8; 32]) -> SessionId {
        SessionId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        self.write_context(writer);
        writer.u32(self.roster_number).count16(self.sealed.len());
        for sealed in &self.sealed {
            writer.u8(1).raw(sealed.recipient.as_bytes());
            writer.raw(&sealed.encapsulated).raw(&sealed.ciphertext);
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let agent = AgentId::from_bytes(reader.array()?);
        let domain = DomainId::from_bytes(reader.array()?);
        let dataset = DatasetId::from_bytes(reader.array()?);
        let started = Timestamp(reader.i64()?);
        let roster_number = reader.u32()?;
        let count = reader.count16("recipients", 1, MAX_RECIPIENTS)?;
        let mut sealed = Vec::with_capacity(count);
        for _ in 0..count {
            if reader.u8()? != 1 {
                return Err(FormatError::field(
                    "a recipient's algorithm",
                    "this program knows 1 only",
                ));
            }
            sealed.push(SealedKey {
                recipient: PublicKey::from_bytes(reader.array()?),
                encapsulated: reader.array()?,
                ciphertext: reader.array()?,
            });
        }
        distinct("recipients", sealed.iter().map(|sealed| sealed.recipient))?;
        Ok(Self { repository, agent, domain, dataset, started, roster_number, sealed })
    }
}
