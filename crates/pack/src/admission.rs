//! The commit check: whether a site may take a session or a manifest (`docs/format.md` §7, §10).
//!
//! Pure: what the site holds is asked through [`Holdings`]. Invariants: a manifest is admitted only if
//! every session, segment, pack and frame that it names is held, whole and of its own dedup domain; the
//! check never looks into a segment that this site verified before, so its cost follows what changed.

use std::collections::BTreeSet;

use lumbung_model::{
    AgentId, DatasetId, DomainId, ManifestId, PackId, PublicKey, SegmentId, SessionId, UsageId,
};
use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::manifest::Manifest;
use crate::object::{Signed, decode};
use crate::roster::{AgentStatus, Recipient, RosterChain};
use crate::session::Session;
use crate::usage::{Bitmap, PackUse, Segment, SegmentRef, UsageList};

/// What a site knows of a session that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Whose frames it seals.
    pub domain: DomainId,
    /// Who opened it.
    pub agent: AgentId,
    /// The roster whose recipients it names.
    pub roster_number: u32,
    /// Who can open it.
    pub recipients: Vec<PublicKey>,
}

impl From<&Session> for SessionFacts {
    fn from(session: &Session) -> Self {
        Self {
            domain: session.domain,
            agent: session.agent,
            roster_number: session.roster_number,
            recipients: session.sealed.iter().map(|sealed| sealed.recipient).collect(),
        }
    }
}

/// What a site knows of a pack that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFacts {
    /// Whose frames these are.
    pub domain: DomainId,
    /// The session that sealed them.
    pub session: SessionId,
    /// How many frames the table names.
    pub frames: u32,
    /// Frames that are missing or known to be damaged.
    pub bad: Vec<u32>,
}

/// What a site holds, as the commit check asks for it.
pub trait Holdings {
    /// Why the site could not answer.
    type Error;

    /// The repository's rosters as this site knows them.
    fn chain(&self) -> &RosterChain;
    /// A session that it holds.
    ///
    /// # Errors
    /// Where the site could not read it.
    fn session(&self, id: &SessionId) -> Result<Option<SessionFacts>, Self::Error>;
    /// A usage list that it holds.
    ///
    /// # Errors
    /// Where the site could not read it.
    fn usage(&self, id: &UsageId) -> Result<Option<Vec<u8>>, Self::Error>;
    /// A segment that it holds.
    ///
    /// # Errors
    /// Where the site could not read it.
    fn segment(&self, id: &SegmentId) -> Result<Option<Vec<u8>>, Self::Error>;
    /// The sessions of a segment's packs, if this site checked the segment before and lost nothing of it
    /// since.
    ///
    /// # Errors
    /// Where the site could not answer.
    fn verified_segment(&self, id: &SegmentId) -> Result<Option<Vec<SessionId>>, Self::Error>;
    /// A pack that it holds.
    ///
    /// # Errors
    /// Where the site could not answer.
    fn pack(&self, id: &PackId) -> Result<Option<PackFacts>, Self::Error>;
    /// The signing key of an agent that no roster lists, from the certificate that it came with.
    fn agent_key(&self, agent: &AgentId) -> Option<PublicKey>;
    /// The first manifest held with this agent, dataset, epoch and sequence number.
    ///
    /// # Errors
    /// Where the site could not answer.
    fn manifest_at(
        &self,
        agent: &AgentId,
        dataset: &DatasetId,
        epoch: u32,
        sequence: u64,
    ) -> Result<Option<ManifestId>, Self::Error>;
    /// Whether a manifest is held.
    ///
    /// # Errors
    /// Where the site could not answer.
    fn has_manifest(&self, id: &ManifestId) -> Result<bool, Self::Error>;
}

/// What a site lacks before it can take a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Missing {
    /// Sessions that it does not hold.
    pub sessions: Vec<SessionId>,
    /// Whether it does not hold the usage list.
    pub usage: bool,
    /// Segments that it does not hold.
    pub segments: Vec<SegmentId>,
    /// Frames that it does not hold, or holds damaged.
    pub packs: Vec<PackUse>,
}

impl Missing {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && !self.usage && self.segments.is_empty() && self.packs.is_empty()
    }
}

/// Something that an operator should look at, though the manifest was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Alarm {
    /// Another manifest has the same agent, dataset, epoch and sequence number: two machines use one
    /// identity, or an old copy of one was started.
    Fork {
        /// The manifest that was there before.
        other: ManifestId,
    },
    /// The manifest before this one is not here.
    Gap {
        /// The one that is named as its predecessor; zero where none is named.
        previous: ManifestId,
    },
}

/// Segments that were checked whole, with the sessions of their packs.
pub type VerifiedSegments = Vec<(SegmentId, Vec<SessionId>)>;

/// The sessions and the frames of one segment.
type SegmentContent = (Vec<SessionId>, Vec<PackUse>);

/// A manifest that may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Segments to remember as verified, with the sessions of their packs.
    pub newly_verified: VerifiedSegments,
    /// The frames that those segments name.
    pub named: Vec<PackUse>,
    /// Whether the newest roster authorises its signer; else it is *belum disahkan*.
    pub authorized: bool,
    /// What an operator should look at.
    pub alarms: Vec<Alarm>,
}

/// Why a session or manifest is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal<E> {
    /// It is of another repository.
    #[error("it belongs to another repository")]
    OtherRepository,
    /// Its signer may not sign for this agent.
    #[error(
        "it is signed by {signer}, which is not the key of agent {agent}: enrol the agent again or have the custodian add it to the roster"
    )]
    Signer {
        /// The agent that it names.
        agent: AgentId,
        /// Who signed.
        signer: PublicKey,
    },
    /// The roster withdrew the agent.
    #[error("agent {0} was withdrawn by the roster: have the custodian add the server anew")]
    Withdrawn(AgentId),
    /// It is of another dedup domain than its agent, sessions or packs.
    #[error("{what} is of another dedup domain")]
    Domain {
        /// What is.
        what: String,
    },
    /// A session is not sealed to exactly the recipients of the roster.
    #[error(
        "it is not sealed to exactly the recipients of the newest roster ({newest}): fetch that roster and start a new session"
    )]
    Recipients {
        /// The number of the newest roster here.
        newest: u32,
    },
    /// A pack's session is not among the manifest's.
    #[error("pack {pack} was sealed in session {session}, which the manifest does not name")]
    UnnamedSession {
        /// The pack.
        pack: PackId,
        /// Its session.
        session: SessionId,
    },
    /// A segment does not match the usage list.
    #[error("segment {0} is not what the usage list says of it")]
    Segment(SegmentId),
    /// A pack has another number of frames.
    #[error("pack {pack} has {found} frames, the segment says {expected}")]
    Frames {
        /// The pack.
        pack: PackId,
        /// Frames in the segment.
        expected: u32,
        /// Frames in the pack.
        found: u32,
    },
    /// An object that it names is malformed.
    #[error("an object that it names is malformed")]
    Format(#[from] FormatError),
    /// Something that it names is not here.
    #[error("the site does not hold everything that it names")]
    Incomplete(Missing),
    /// The site could not answer.
    #[error("the site could not check it")]
    Holdings(#[source] E),
}

/// Whether what comes is new from an agent, or history pulled from another site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// From the agent itself: it must be active, and seal to the newest roster's recipients.
    Agent,
    /// From another site: what was right when it was made stays right.
    Pulled,
}

fn check_signer<E>(
    chain: &RosterChain,
    agent: &AgentId,
    domain: &DomainId,
    signer: &PublicKey,
    certified: Option<PublicKey>,
    provenance: Provenance,
) -> Result<(), Refusal<E>> {
    let refused = || Refusal::Signer { agent: *agent, signer: *signer };
    let Some(listed) = chain.agent(agent) else {
        // A key that the roster gives to another agent never speaks for this one.
        let known = chain.agent_by_key(signer).is_some();
        return if !known && certified == Some(*signer) { Ok(()) } else { Err(refused()) };
    };
    if listed.key != *signer {
        return Err(refused());
    }
    if listed.domain != *domain {
        return Err(Refusal::Domain { what: format!("what agent {agent} sends") });
    }
    if listed.status == AgentStatus::Withdrawn && provenance == Provenance::Agent {
        return Err(Refusal::Withdrawn(*agent));
    }
    Ok(())
}

fn same_recipients(listed: &[Recipient], sealed: &[PublicKey]) -> bool {
    let listed: BTreeSet<_> = listed.iter().map(|recipient| recipient.key).collect();
    let sealed: BTreeSet<_> = sealed.iter().copied().collect();
    listed == sealed
}

fn check_recipients<E>(
    chain: &RosterChain,
    facts: &SessionFacts,
    historic: bool,
) -> Result<(), Refusal<E>> {
    let newest = &chain.current().body;
    let then = chain.by_number(facts.roster_number).filter(|_| historic);
    let right = same_recipients(&newest.recipients, &facts.recipients)
        || then.is_some_and(|roster| same_recipients(&roster.body.recipients, &facts.recipients));
    if right { Ok(()) } else { Err(Refusal::Recipients { newest: newest.number }) }
}

/// Whether a site may take a session. `certified` is the signing key in the certificate that it came
/// with, for agents that no roster lists yet.
///
/// # Errors
/// Why it may not.
pub fn check_session<E>(
    chain: &RosterChain,
    session: &Signed<Session>,
    certified: Option<PublicKey>,
    provenance: Provenance,
) -> Result<SessionFacts, Refusal<E>> {
    let body = &session.body;
    if body.repository != chain.repository() {
        return Err(Refusal::OtherRepository);
    }
    check_signer(chain, &body.agent, &body.domain, &session.signer, certified, provenance)?;
    let facts = SessionFacts::from(body);
    check_recipients(chain, &facts, provenance == Provenance::Pulled)?;
    Ok(facts)
}

/// Whether a site may take a manifest.
///
/// # Errors
/// Why it may not; [`Refusal::Incomplete`] lists all that is missing.
pub fn check_manifest<H: Holdings>(
    holdings: &H,
    manifest: &Signed<Manifest>,
    provenance: Provenance,
) -> Result<Admission, Refusal<H::Error>> {
    let body = &manifest.body;
    let chain = holdings.chain();
    if body.repository != chain.repository() {
        return Err(Refusal::OtherRepository);
    }
    let certified = holdings.agent_key(&body.agent);
    check_signer(chain, &body.agent, &body.domain, &manifest.signer, certified, provenance)?;
    let mut missing = Missing::default();
    check_sessions(holdings, body, &mut missing)?;
    let (newly_verified, named) = check_usage(holdings, body, &mut missing)?;
    if !missing.is_empty() {
        return Err(Refusal::Incomplete(missing));
    }
    let alarms = find_alarms(holdings, manifest).map_err(Refusal::Holdings)?;
    Ok(Admission { newly_verified, named, authorized: chain.authorizes(manifest), alarms })
}

fn check_sessions<H: Holdings>(
    holdings: &H,
    manifest: &Manifest,
    missing: &mut Missing,
) -> Result<(), Refusal<H::Error>> {
    for (i, id) in manifest.sessions.iter().enumerate() {
        let Some(facts) = holdings.session(id).map_err(Refusal::Holdings)? else {
            missing.sessions.push(*id);
            continue;
        };
        if facts.domain != manifest.domain {
            return Err(Refusal::Domain { what: format!("session {id}") });
        }
        if i == 0 {
            // The session was checked against the newest roster when it came; a roster published
            // during the run does not undo it.
            check_recipients(holdings.chain(), &facts, true)?;
        }
    }
    Ok(())
}

fn check_usage<H: Holdings>(
    holdings: &H,
    manifest: &Manifest,
    missing: &mut Missing,
) -> Result<(VerifiedSegments, Vec<PackUse>), Refusal<H::Error>> {
    let Some(bytes) = holdings.usage(&manifest.usage).map_err(Refusal::Holdings)? else {
        missing.usage = true;
        return Ok((Vec::new(), Vec::new()));
    };
    let (list, id) = decode::<UsageList>(&bytes)?;
    if id != manifest.usage {
        return Err(FormatError::IdMismatch.into());
    }
    if list.repository != manifest.repository {
        return Err(Refusal::OtherRepository);
    }
    if list.domain != manifest.domain {
        return Err(Refusal::Domain { what: "the usage list".to_owned() });
    }
    let named: BTreeSet<SessionId> = manifest.sessions.iter().copied().collect();
    let (mut newly_verified, mut frames) = (Vec::new(), Vec::new());
    for segment in &list.segments {
        let known = holdings.verified_segment(&segment.segment).map_err(Refusal::Holdings)?;
        if known.is_some_and(|sessions| sessions.iter().all(|session| named.contains(session))) {
            continue;
        }
        if let Some((sessions, packs)) =
            check_segment(holdings, manifest, segment, &named, missing)?
        {
            newly_verified.push((segment.segment, sessions));
            frames.extend(packs);
        }
    }
    Ok((newly_verified, frames))
}

/// Checks one segment; gives the sessions of its packs and their frames, or nothing where something is missing.
fn check_segment<H: Holdings>(
    holdings: &H,
    manifest: &Manifest,
    expected: &SegmentRef,
    named: &BTreeSet<SessionId>,
    missing: &mut Missing,
) -> Result<Option<SegmentContent>, Refusal<H::Error>> {
    let Some(bytes) = holdings.segment(&expected.segment).map_err(Refusal::Holdings)? else {
        missing.segments.push(expected.segment);
        return Ok(None);
    };
    let (segment, id) = decode::<Segment>(&bytes)?;
    if id != expected.segment {
        return Err(FormatError::IdMismatch.into());
    }
    let frames: u64 = segment.packs.iter().map(|pack| u64::from(pack.used.count_ones())).sum();
    let matches = segment.packs.len() == expected.packs as usize
        && segment.packs.first().map(|pack| pack.pack) == Some(expected.first)
        && segment.packs.last().map(|pack| pack.pack) == Some(expected.last)
        && frames == expected.frames;
    if !matches || segment.repository != manifest.repository {
        return Err(Refusal::Segment(expected.segment));
    }
    if segment.domain != manifest.domain {
        return Err(Refusal::Domain { what: format!("segment {id}") });
    }
    let missing_before = missing.packs.len();
    let mut sessions = BTreeSet::new();
    for pack in &segment.packs {
        sessions.extend(check_pack(holdings, manifest, pack, named, missing)?);
    }
    let whole = missing.packs.len() == missing_before;
    Ok(whole.then(|| (sessions.into_iter().collect(), segment.packs)))
}

fn check_pack<H: Holdings>(
    holdings: &H,
    manifest: &Manifest,
    pack: &PackUse,
    named: &BTreeSet<SessionId>,
    missing: &mut Missing,
) -> Result<Option<SessionId>, Refusal<H::Error>> {
    let Some(facts) = holdings.pack(&pack.pack).map_err(Refusal::Holdings)? else {
        missing.packs.push(pack.clone());
        return Ok(None);
    };
    if facts.domain != manifest.domain {
        return Err(Refusal::Domain { what: format!("pack {}", pack.pack) });
    }
    if facts.frames != pack.used.bits() {
        return Err(Refusal::Frames {
            pack: pack.pack,
            expected: pack.used.bits(),
            found: facts.frames,
        });
    }
    if !named.contains(&facts.session) {
        return Err(Refusal::UnnamedSession { pack: pack.pack, session: facts.session });
    }
    let mut lost = Bitmap::new(facts.frames);
    facts.bad.iter().filter(|frame| pack.used.get(**frame)).for_each(|frame| lost.set(*frame));
    if lost.count_ones() > 0 {
        missing.packs.push(PackUse { pack: pack.pack, used: lost });
    }
    Ok(Some(facts.session))
}

fn find_alarms<H: Holdings>(
    holdings: &H,
    manifest: &Signed<Manifest>,
) -> Result<Vec<Alarm>, H::Error> {
    let body = &manifest.body;
    let mut alarms = Vec::new();
    let there = holdings.manifest_at(&body.agent, &body.dataset, body.epoch, body.sequence)?;
    if let Some(other) = there.filter(|other| *other != manifest.id) {
        alarms.push(Alarm::Fork { other });
    }
    let unnamed = body.previous.is_zero();
    let gap = if unnamed { body.sequence > 1 } else { !holdings.has_manifest(&body.previous)? };
    if gap {
        alarms.push(Alarm::Gap { previous: body.previous });
    }
    Ok(alarms)
}
