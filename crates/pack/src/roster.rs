//! The roster: a repository's constitution, and the chain of its versions (`docs/format.md` §5).
//!
//! Invariants of a [`RosterChain`]: it begins with the roster whose hash is the repository id, every
//! later one names its predecessor and is signed by a root key of that predecessor (or by its
//! registrar, and then only adds agents). A chain only ever grows.

use lumbung_model::{
    AgentId, DomainId, PublicKey, RepositoryId, RosterId, SiteId, Timestamp, TlsPin,
};

use crate::codec::{Reader, Writer, distinct};
use crate::error::FormatError;
use crate::limits::{
    CHUNK_AVG, CHUNK_MAX, CHUNK_MIN, MAX_AGENTS, MAX_RECIPIENTS, MAX_ROOT_KEYS, MAX_SITES,
};
use crate::manifest::Manifest;
use crate::object::{Kind, Object, Signed, open_signed};

/// How contents are cut into chunks, bytes (`docs/format.md` §12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerParams {
    /// No chunk is shorter, save the last of a stream.
    pub min: u32,
    /// A power of two.
    pub avg: u32,
    /// No chunk is longer.
    pub max: u32,
}

impl Default for ChunkerParams {
    #[expect(clippy::cast_possible_truncation, reason = "three constants of at most 4 MiB")]
    fn default() -> Self {
        Self { min: CHUNK_MIN as u32, avg: CHUNK_AVG as u32, max: CHUNK_MAX as u32 }
    }
}

impl ChunkerParams {
    fn check(self) -> Result<Self, FormatError> {
        let ordered = 64 <= self.min && self.min < self.avg && self.avg < self.max;
        if !ordered
            || !self.avg.is_power_of_two()
            || self.avg < 1024
            || self.max as usize > CHUNK_MAX
        {
            return Err(FormatError::field(
                "chunk size",
                "64 <= minimum < average < maximum <= 4 MiB, the average a power of two of at least 1024",
            ));
        }
        Ok(self)
    }
}

/// What a root key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootRole {
    /// In daily use.
    Working,
    /// Kept on paper.
    Spare,
}

/// A key that may sign rosters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKey {
    /// Ed25519.
    pub key: PublicKey,
    /// What it is for.
    pub role: RootRole,
    /// For people.
    pub label: String,
}

/// Who can decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// X25519.
    pub key: PublicKey,
    /// For people.
    pub label: String,
}

/// Whether an agent may still add snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentStatus {
    /// It may.
    Active,
    /// It may not; what it added stays valid.
    Withdrawn,
}

/// An agent that the owner authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterAgent {
    /// The agent.
    pub agent: AgentId,
    /// Ed25519: signs its manifests and sessions.
    pub key: PublicKey,
    /// The dedup domain it writes to. Never changes.
    pub domain: DomainId,
    /// Whether it may still add snapshots.
    pub status: AgentStatus,
    /// For people: the server's name.
    pub label: String,
}

/// A site that the owner trusts to keep copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterSite {
    /// The site.
    pub site: SiteId,
    /// Ed25519: signs its receipts, inventories and scrub reports.
    pub receipt_key: PublicKey,
    /// The key that its TLS server must show.
    pub tls_pin: TlsPin,
    /// For people: "Pusat Data", "DRC".
    pub label: String,
}

/// One version of a repository's constitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The repository; zero in number 1.
    pub repository: RepositoryId,
    /// 1, 2, 3 …
    pub number: u32,
    /// The roster before; zero in number 1.
    pub previous: RosterId,
    /// When it was made.
    pub created: Timestamp,
    /// How contents are cut.
    pub chunker: ChunkerParams,
    /// Who may sign the next roster.
    pub root_keys: Vec<RootKey>,
    /// Who may add agents, and nothing else.
    pub registrar: Option<PublicKey>,
    /// Who can decrypt.
    pub recipients: Vec<Recipient>,
    /// Whose snapshots count.
    pub agents: Vec<RosterAgent>,
    /// Whose receipts count.
    pub sites: Vec<RosterSite>,
}

impl Roster {
    fn check(&self) -> Result<(), FormatError> {
        if self.number == 0 {
            return Err(FormatError::field("a roster's number", "they count from 1"));
        }
        let first = self.number == 1;
        if first != self.repository.is_zero() || first != self.previous.is_zero() {
            return Err(FormatError::field(
                "a roster's repository and predecessor",
                "both are zero in number 1, and only there",
            ));
        }
        self.chunker.check()?;
        distinct("root keys", self.root_keys.iter().map(|key| key.key))?;
        distinct("recipients", self.recipients.iter().map(|recipient| recipient.key))?;
        distinct("agents", self.agents.iter().map(|agent| agent.agent))?;
        distinct("agents' keys", self.agents.iter().map(|agent| agent.key))?;
        distinct("sites", self.sites.iter().map(|site| site.site))
    }

    fn write_people(&self, writer: &mut Writer) {
        writer.u8(u8::try_from(self.root_keys.len()).expect("a list within the format's limits"));
        for root in &self.root_keys {
            let role = match root.role {
                RootRole::Working => 0,
                RootRole::Spare => 1,
            };
            writer.raw(root.key.as_bytes()).u8(role).str(&root.label);
        }
        writer.u8(u8::from(self.registrar.is_some()));
        if let Some(registrar) = &self.registrar {
            writer.raw(registrar.as_bytes());
        }
        writer.count16(self.recipients.len());
        for recipient in &self.recipients {
            writer.u8(1).raw(recipient.key.as_bytes()).str(&recipient.label);
        }
    }

    fn write_machines(&self, writer: &mut Writer) {
        writer.count16(self.agents.len());
        for agent in &self.agents {
            let status = match agent.status {
                AgentStatus::Active => 0,
                AgentStatus::Withdrawn => 1,
            };
            writer.raw(agent.agent.as_bytes()).raw(agent.key.as_bytes());
            writer.raw(agent.domain.as_bytes()).u8(status).str(&agent.label);
        }
        writer.count16(self.sites.len());
        for site in &self.sites {
            writer.raw(site.site.as_bytes()).raw(site.receipt_key.as_bytes());
            writer.raw(site.tls_pin.as_bytes()).str(&site.label);
        }
    }
}

fn read_root_keys(reader: &mut Reader<'_>) -> Result<Vec<RootKey>, FormatError> {
    let count = usize::from(reader.u8()?);
    if count == 0 || count > MAX_ROOT_KEYS {
        return Err(FormatError::limit("root keys", count, MAX_ROOT_KEYS));
    }
    (0..count)
        .map(|_| {
            Ok(RootKey {
                key: PublicKey::from_bytes(reader.array()?),
                role: if reader.flag("a root key's role")? {
                    RootRole::Spare
                } else {
                    RootRole::Working
                },
                label: reader.str()?,
            })
        })
        .collect()
}

fn read_recipients(reader: &mut Reader<'_>) -> Result<Vec<Recipient>, FormatError> {
    let count = reader.count16("recipients", 1, MAX_RECIPIENTS)?;
    (0..count)
        .map(|_| {
            if reader.u8()? != 1 {
                return Err(FormatError::field(
                    "a recipient's algorithm",
                    "this program knows 1 only",
                ));
            }
            Ok(Recipient { key: PublicKey::from_bytes(reader.array()?), label: reader.str()? })
        })
        .collect()
}

fn read_agents(reader: &mut Reader<'_>) -> Result<Vec<RosterAgent>, FormatError> {
    let count = reader.count16("agents", 0, MAX_AGENTS)?;
    (0..count)
        .map(|_| {
            Ok(RosterAgent {
                agent: AgentId::from_bytes(reader.array()?),
                key: PublicKey::from_bytes(reader.array()?),
                domain: DomainId::from_bytes(reader.array()?),
                status: if reader.flag("an agent's status")? {
                    AgentStatus::Withdrawn
                } else {
                    AgentStatus::Active
                },
                label: reader.str()?,
            })
        })
        .collect()
}

fn read_sites(reader: &mut Reader<'_>) -> Result<Vec<RosterSite>, FormatError> {
    let count = reader.count16("sites", 0, MAX_SITES)?;
    (0..count)
        .map(|_| {
            Ok(RosterSite {
                site: SiteId::from_bytes(reader.array()?),
                receipt_key: PublicKey::from_bytes(reader.array()?),
                tls_pin: TlsPin::from_bytes(reader.array()?),
                label: reader.str()?,
            })
        })
        .collect()
}

impl Object for Roster {
    const KIND: Kind = Kind::Roster;
    type Id = RosterId;

    fn id_from(bytes: [u8; 32]) -> RosterId {
        RosterId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.u32(self.number).raw(self.previous.as_bytes()).i64(self.created.0);
        writer.u8(1).u32(self.chunker.min).u32(self.chunker.avg).u32(self.chunker.max);
        self.write_people(writer);
        self.write_machines(writer);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let number = reader.u32()?;
        let previous = RosterId::from_bytes(reader.array()?);
        let created = Timestamp(reader.i64()?);
        if reader.u8()? != 1 {
            return Err(FormatError::field("a roster's chunker", "this program knows 1 only"));
        }
        let chunker = ChunkerParams { min: reader.u32()?, avg: reader.u32()?, max: reader.u32()? };
        let root_keys = read_root_keys(reader)?;
        let registrar = match reader.flag("a roster's registrar")? {
            true => Some(PublicKey::from_bytes(reader.array()?)),
            false => None,
        };
        let roster = Self {
            repository,
            number,
            previous,
            created,
            chunker,
            root_keys,
            registrar,
            recipients: read_recipients(reader)?,
            agents: read_agents(reader)?,
            sites: read_sites(reader)?,
        };
        roster.check()?;
        Ok(roster)
    }
}

/// Why rosters are not the chain of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// The bytes are no roster.
    #[error("this is not a roster")]
    Format(#[from] FormatError),
    /// There is no roster at all.
    #[error("there is no roster of repository {0} here: check the repository id and the address")]
    Missing(RepositoryId),
    /// The first roster is of another repository.
    #[error("this is repository {found}, not {expected}: check the repository id and the address")]
    OtherRepository {
        /// The one that was asked for.
        expected: RepositoryId,
        /// The one that is here.
        found: RepositoryId,
    },
    /// The first roster is not signed by one of its own root keys.
    #[error("roster 1 is not signed by one of its own root keys: it is forged")]
    FirstSigner,
    /// A number is not the next one.
    #[error("roster {found} cannot follow roster {current}: a number is missing or went back")]
    Number {
        /// The newest number that is known.
        current: u32,
        /// The number that was offered.
        found: u32,
    },
    /// The predecessor is another roster.
    #[error("roster {0} does not name its predecessor: the chain is broken or forked")]
    Broken(u32),
    /// Another roster has this number already.
    #[error("two different rosters have the number {0}: the chain is forked")]
    Forked(u32),
    /// The signer may not sign this roster.
    #[error("roster {number} is signed by {signer}, which may not: it is forged")]
    Signer {
        /// The roster's number.
        number: u32,
        /// Who signed.
        signer: PublicKey,
    },
    /// A registrar changed more than it may.
    #[error("roster {0} is signed by the registrar, who may only add agents")]
    Registrar(u32),
    /// An agent's domain or key changed.
    #[error(
        "roster {number} changes the dedup domain of agent {agent}: give it a new agent id instead"
    )]
    Domain {
        /// The roster's number.
        number: u32,
        /// The agent.
        agent: AgentId,
    },
}

/// All rosters of a repository that are known here, checked.
#[derive(Clone)]
pub struct RosterChain {
    repository: RepositoryId,
    rosters: Vec<Signed<Roster>>,
    objects: Vec<Vec<u8>>,
}

impl RosterChain {
    /// Begins a chain with roster number 1.
    ///
    /// # Errors
    /// Where it is no first roster, is forged, or is not of the `expected` repository.
    pub fn begin(first: &[u8], expected: Option<RepositoryId>) -> Result<Self, RosterError> {
        let roster = open_signed::<Roster>(first)?;
        if roster.body.number != 1 {
            return Err(RosterError::Number { current: 0, found: roster.body.number });
        }
        let found = RepositoryId::from_bytes(*roster.id.as_bytes());
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(RosterError::OtherRepository { expected, found });
        }
        if !roster.body.root_keys.iter().any(|root| root.key == roster.signer) {
            return Err(RosterError::FirstSigner);
        }
        Ok(Self { repository: found, rosters: vec![roster], objects: vec![first.to_vec()] })
    }

    /// Builds the chain of a repository from rosters in any order.
    ///
    /// # Errors
    /// Where number 1 is missing, or any of them does not fit in the chain.
    pub fn from_objects(
        repository: RepositoryId,
        objects: Vec<Vec<u8>>,
    ) -> Result<Self, RosterError> {
        let mut numbered = Vec::with_capacity(objects.len());
        for object in objects {
            numbered.push((open_signed::<Roster>(&object)?.body.number, object));
        }
        numbered.sort_by_key(|(number, _)| *number);
        let mut rosters = numbered.into_iter();
        let (_, first) = rosters.next().ok_or(RosterError::Missing(repository))?;
        let mut chain = Self::begin(&first, Some(repository))?;
        for (_, object) in rosters {
            chain.push(&object)?;
        }
        Ok(chain)
    }

    /// Adds the next roster; one that is known already changes nothing.
    ///
    /// # Errors
    /// Where it is not the next one, or its signer may not sign it.
    pub fn push(&mut self, object: &[u8]) -> Result<(), RosterError> {
        let next = open_signed::<Roster>(object)?;
        let number = next.body.number;
        if let Some(known) = self.by_number(number) {
            return if known.id == next.id { Ok(()) } else { Err(RosterError::Forked(number)) };
        }
        self.check_next(&next)?;
        self.rosters.push(next);
        self.objects.push(object.to_vec());
        Ok(())
    }

    fn check_next(&self, next: &Signed<Roster>) -> Result<(), RosterError> {
        let current = self.current();
        let number = next.body.number;
        if Some(number) != current.body.number.checked_add(1) {
            return Err(RosterError::Number { current: current.body.number, found: number });
        }
        if next.body.repository != self.repository {
            return Err(RosterError::OtherRepository {
                expected: self.repository,
                found: next.body.repository,
            });
        }
        if next.body.previous != current.id {
            return Err(RosterError::Broken(number));
        }
        for agent in &next.body.agents {
            let before = current.body.agents.iter().find(|before| before.agent == agent.agent);
            if before.is_some_and(|before| before.domain != agent.domain || before.key != agent.key)
            {
                return Err(RosterError::Domain { number, agent: agent.agent });
            }
        }
        if self.is_root_key(&next.signer) {
            return Ok(());
        }
        if current.body.registrar != Some(next.signer) {
            return Err(RosterError::Signer { number, signer: next.signer });
        }
        if only_adds_agents(&current.body, &next.body) {
            Ok(())
        } else {
            Err(RosterError::Registrar(number))
        }
    }

    /// The repository.
    #[must_use]
    pub const fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The newest roster.
    ///
    /// # Panics
    /// Never: a chain has at least one.
    #[must_use]
    pub fn current(&self) -> &Signed<Roster> {
        self.rosters.last().expect("a chain has at least one roster")
    }

    /// All rosters, number 1 first.
    #[must_use]
    pub fn all(&self) -> &[Signed<Roster>] {
        &self.rosters
    }

    /// Their bytes, number 1 first.
    #[must_use]
    pub fn objects(&self) -> &[Vec<u8>] {
        &self.objects
    }

    /// The roster of that number.
    #[must_use]
    pub fn by_number(&self, number: u32) -> Option<&Signed<Roster>> {
        self.rosters.get((number as usize).checked_sub(1)?)
    }

    /// The agent of that id in the newest roster.
    #[must_use]
    pub fn agent(&self, agent: &AgentId) -> Option<&RosterAgent> {
        self.current().body.agents.iter().find(|listed| listed.agent == *agent)
    }

    /// The agent of that key in the newest roster.
    #[must_use]
    pub fn agent_by_key(&self, key: &PublicKey) -> Option<&RosterAgent> {
        self.current().body.agents.iter().find(|listed| listed.key == *key)
    }

    /// The site of that id in the newest roster.
    #[must_use]
    pub fn site(&self, site: &SiteId) -> Option<&RosterSite> {
        self.current().body.sites.iter().find(|listed| listed.site == *site)
    }

    /// Whether the newest roster lists this root key.
    #[must_use]
    pub fn is_root_key(&self, key: &PublicKey) -> bool {
        self.current().body.root_keys.iter().any(|root| root.key == *key)
    }

    /// Whether the newest roster authorises the signer of this manifest. What it does not
    /// authorise is kept, shown as *belum disahkan*, and is never "latest" nor compliant.
    #[must_use]
    pub fn authorizes(&self, manifest: &Signed<Manifest>) -> bool {
        self.agent(&manifest.body.agent).is_some_and(|agent| {
            agent.key == manifest.signer && agent.domain == manifest.body.domain
        })
    }
}

/// Whether a roster differs from its predecessor only in added agents.
fn only_adds_agents(before: &Roster, after: &Roster) -> bool {
    let mut expected = before.clone();
    expected.repository = after.repository;
    expected.number = after.number;
    expected.previous = after.previous;
    expected.created = after.created;
    let kept = before.agents.iter().all(|agent| after.agents.contains(agent));
    expected.agents.clone_from(&after.agents);
    kept && expected == *after
}
