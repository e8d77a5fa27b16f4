//! Takes rosters, sessions, segments, usage lists, proofs, and what owners and agents sign: what each must fulfil before it is
//! kept.
//!
//! Invariants: nothing is written before it was checked; the file comes first, then the index; what is
//! there already is taken up in the index if a crash left it out.

use lumbung_model::{AgentId, DomainId, PublicKey, RepositoryId, SiteId, Timestamp};
use lumbung_pack::{
    AgentStatus, Grant, Kind, Object, Proof, Provenance, Revocation, RosterChain, RosterError,
    Segment, Session, SessionOpening, Signed, StandingApproval, UsageList, Wrap, check_session,
    decode, open_signed, wrap::was_root_key,
};
use lumbung_store::{PutOutcome, StoreError};
use rusqlite::Connection;

use crate::grants::{grant_row, standing_row};
use crate::index::{
    Lease, ObjectRow, OpeningRow, SessionRow, open_sessions, revoke, save_object_state,
};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Sessions without a snapshot count as open for this long.
const OPEN_SESSION_S: i64 = 14 * 86_400;
/// Openings of one session: verifiers of one dataset, and tries that got no answer.
const MAX_OPENINGS: usize = 64;

/// Who brings an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// An agent, with the signing key that its certificate or the roster binds to it.
    Agent {
        /// Which.
        agent: AgentId,
        /// Its signing key.
        key: PublicKey,
    },
    /// Nobody: a manifest is here without its receipt, after a crash. It was checked when it came.
    Recovered {
        /// The agent that it names.
        agent: AgentId,
        /// Who signed it.
        key: PublicKey,
    },
    /// Who holds a root key.
    Owner,
    /// Who has this key, to which an owner opened snapshots.
    Grantee(PublicKey),
    /// It was pulled from this site.
    Site(SiteId),
    /// It came on a medium, whose list this site signed, or its owner or an agent.
    Medium(Option<SiteId>),
}

impl Sender {
    pub(crate) const fn provenance(&self) -> Provenance {
        match self {
            Self::Agent { .. } => Provenance::Agent,
            // What an owner or a medium brings is history: it was right when it was made.
            Self::Owner
            | Self::Grantee(_)
            | Self::Site(_)
            | Self::Medium(_)
            | Self::Recovered { .. } => Provenance::Pulled,
        }
    }

    /// The agent whose line the bytes come over.
    pub(crate) const fn agent(&self) -> Option<AgentId> {
        match self {
            Self::Agent { agent, .. } => Some(*agent),
            Self::Recovered { .. }
            | Self::Owner
            | Self::Grantee(_)
            | Self::Site(_)
            | Self::Medium(_) => None,
        }
    }

    pub(crate) const fn certified(&self) -> Option<(AgentId, PublicKey)> {
        match self {
            Self::Agent { agent, key } | Self::Recovered { agent, key } => Some((*agent, *key)),
            Self::Owner | Self::Grantee(_) | Self::Site(_) | Self::Medium(_) => None,
        }
    }

    pub(crate) const fn site(&self) -> Option<SiteId> {
        match self {
            Self::Site(site) => Some(*site),
            Self::Medium(site) => *site,
            Self::Agent { .. } | Self::Recovered { .. } | Self::Owner | Self::Grantee(_) => None,
        }
    }
}

/// Who may make a repository of its first roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Founder {
    /// An agent whose certificate names the repository, or a source that it is pulled from.
    Entitled,
    /// The holder of this key, if it is one of the roster's root keys and the repository was admitted.
    Key(PublicKey),
    /// Nobody: the caller may only add to what is there.
    Nobody,
}

fn check_id(kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), VaultError> {
    let found = lumbung_pack::object_id(bytes);
    if found == *id { Ok(()) } else { Err(StoreError::WrongId { kind, id: *id, found }.into()) }
}

impl Vault {
    /// Takes a roster. Number 1 makes the repository, if `founder` may.
    ///
    /// # Errors
    /// If it does not fit the chain, or the repository is not admitted.
    pub fn put_roster(
        &self,
        repository: &RepositoryId,
        id: &[u8; 32],
        bytes: &[u8],
        founder: Founder,
    ) -> Result<PutOutcome, VaultError> {
        check_id(Kind::Roster, id, bytes)?;
        self.check_reserve()?;
        let open = match self.repository(repository) {
            Ok(open) => open,
            Err(VaultError::NoRepository(_)) => {
                return self.found_repository(repository, bytes, founder);
            }
            Err(error) => return Err(error),
        };
        let _gate = open.gate();
        let mut chain = RosterChain::clone(&open.chain());
        let before = chain.objects().len();
        chain.push(bytes).map_err(|error| {
            if let RosterError::Forked(number) = &error {
                let id = RepositoryId::from_bytes(*id);
                self.alarm(
                    Some(repository),
                    "roster-fork",
                    format!("a second roster number {number} was sent: {id}"),
                );
            }
            VaultError::Roster(error)
        })?;
        let outcome = open.store.put(Kind::Roster, id, bytes)?;
        if chain.objects().len() > before {
            tracing::info!(repository = %repository, number = chain.current().body.number, "new roster");
            open.set_chain(chain);
            self.wake.inventory.notify_one();
        }
        Ok(outcome)
    }

    fn found_repository(
        &self,
        repository: &RepositoryId,
        bytes: &[u8],
        founder: Founder,
    ) -> Result<PutOutcome, VaultError> {
        let chain = RosterChain::begin(bytes, Some(*repository)).map_err(|error| match error {
            // A later roster of a repository that is not here: its first one must come before.
            RosterError::Number { .. } => VaultError::NoRepository(*repository),
            other => VaultError::Roster(other),
        })?;
        let entitled = match founder {
            Founder::Entitled => true,
            Founder::Key(key) => chain.is_root_key(&key) && self.is_admitted(repository),
            Founder::Nobody => false,
        };
        if !entitled {
            return Err(VaultError::NotAdmitted(*repository));
        }
        self.create_repository(chain)?;
        Ok(PutOutcome::Created)
    }

    /// Takes a session, segment, usage list or proof, or what an owner or an agent signed for a reader.
    ///
    /// # Errors
    /// If it is not what it is called, or not this sender's to bring.
    pub fn put_object(
        &self,
        repository: &Repository,
        kind: Kind,
        id: &[u8; 32],
        bytes: &[u8],
        sender: Sender,
    ) -> Result<PutOutcome, VaultError> {
        check_id(kind, id, bytes)?;
        self.check_reserve()?;
        match kind {
            Kind::Session => self.put_session(repository, id, bytes, sender),
            Kind::Segment => {
                let (segment, _) = decode::<Segment>(bytes).map_err(VaultError::format(kind))?;
                self.put_indexed(repository, (&segment, segment.domain), id, bytes, sender)
            }
            Kind::Usage => {
                let (usage, _) = decode::<UsageList>(bytes).map_err(VaultError::format(kind))?;
                self.put_indexed(repository, (&usage, usage.domain), id, bytes, sender)
            }
            Kind::Proof => {
                let proof = open_signed::<Proof>(bytes).map_err(VaultError::format(kind))?;
                if let Some(reason) = self.proof_refused(repository, &proof, sender)? {
                    return Err(VaultError::Refused { kind, reason });
                }
                let by_owner = (&proof.body, DomainId::ZERO);
                self.put_indexed(repository, by_owner, id, bytes, Sender::Owner)
            }
            Kind::Grant => {
                let grant = open_signed::<Grant>(bytes).map_err(VaultError::format(kind))?;
                check_owners(repository, kind, &grant.signer, sender)?;
                let row = grant_row(&grant, self.now(), self.age_s());
                let by_owner = (&grant.body, DomainId::ZERO);
                self.put_indexed_with(repository, by_owner, id, bytes, Sender::Owner, |tx, repo| {
                    row.insert(tx, repo)
                })
            }
            Kind::StandingApproval => {
                let approval =
                    open_signed::<StandingApproval>(bytes).map_err(VaultError::format(kind))?;
                check_owners(repository, kind, &approval.signer, sender)?;
                let row = standing_row(&approval, self.now(), self.age_s());
                let by_owner = (&approval.body, DomainId::ZERO);
                self.put_indexed_with(repository, by_owner, id, bytes, Sender::Owner, |tx, repo| {
                    row.insert(tx, repo)
                })
            }
            Kind::Opening => {
                let opening =
                    open_signed::<SessionOpening>(bytes).map_err(VaultError::format(kind))?;
                self.put_opening(repository, &opening, bytes, sender)
            }
            Kind::Wrap => {
                let wrap = open_signed::<Wrap>(bytes).map_err(VaultError::format(kind))?;
                check_owners(repository, kind, &wrap.signer, sender)?;
                let by_owner = (&wrap.body, DomainId::ZERO);
                self.put_indexed(repository, by_owner, id, bytes, Sender::Owner)
            }
            Kind::Revocation => {
                let signed = open_signed::<Revocation>(bytes).map_err(VaultError::format(kind))?;
                check_owners(repository, kind, &signed.signer, sender)?;
                let body = signed.body;
                let by_owner = (&body, DomainId::ZERO);
                self.put_indexed_with(repository, by_owner, id, bytes, Sender::Owner, |tx, repo| {
                    revoke(tx, repo, &body.consent, body.revoked)
                })
            }
            Kind::Roster
            | Kind::Pack
            | Kind::Manifest
            | Kind::Receipt
            | Kind::Inventory
            | Kind::Scrub
            | Kind::Tombstone
            | Kind::Order
            | Kind::Hold
            | Kind::MediumList
            | Kind::KeyBundle
            | Kind::AgentIdentity
            | Kind::SiteIdentity
            | Kind::RequesterIdentity
            | Kind::MachineRequester
            | Kind::KeyShare
            | Kind::Rehearsal
            | Kind::GrantRequest => Err(VaultError::NotSent { kind }),
        }
    }

    /// Takes an opening of a session that is here, by the agent whose session it is and by nobody else.
    fn put_opening(
        &self,
        repository: &Repository,
        opening: &Signed<SessionOpening>,
        bytes: &[u8],
        sender: Sender,
    ) -> Result<PutOutcome, VaultError> {
        let (kind, body) = (Kind::Opening, &opening.body);
        let refused = |reason| Err(VaultError::Refused { kind, reason });
        let (session, there) = self.index.read(|c| {
            let there = OpeningRow::of_session(c, repository.row, &body.session)?;
            Ok((SessionRow::find(c, repository.row, &body.session)?, there))
        })?;
        let Some(session) = session else {
            return refused(format!("session {} is not here", body.session));
        };
        if session.signer != opening.signer {
            return refused(format!("another key signed session {}", body.session));
        }
        if sender.certified().is_some_and(|(agent, _)| agent != session.agent) {
            return Err(other_agent(kind));
        }
        let known = there.iter().any(|row| row.opening == opening.id);
        if !known && there.len() >= MAX_OPENINGS {
            return refused(format!(
                "session {} has {MAX_OPENINGS} openings already",
                body.session
            ));
        }
        // What another site took was right when it was made.
        if sender.provenance() == Provenance::Agent {
            let to = (&body.consent, &body.recipient);
            if let Some(reason) = self.opening_refused(repository, to, &session.dataset)? {
                return refused(reason);
            }
        }
        let (row, of) = (OpeningRow::of(opening), (body, session.domain));
        self.put_indexed_with(repository, of, opening.id.as_bytes(), bytes, sender, |tx, repo| {
            row.insert(tx, repo)
        })
    }

    fn put_indexed<T: Object>(
        &self,
        repository: &Repository,
        of: (&T, DomainId),
        id: &[u8; 32],
        bytes: &[u8],
        sender: Sender,
    ) -> Result<PutOutcome, VaultError> {
        self.put_indexed_with(repository, of, id, bytes, sender, |_, _| Ok(()))
    }

    /// Keeps the object, then its row, and in the same transaction what else the index is to know of it.
    fn put_indexed_with<T: Object>(
        &self,
        repository: &Repository,
        (object, domain): (&T, DomainId),
        id: &[u8; 32],
        bytes: &[u8],
        sender: Sender,
        also: impl FnOnce(&Connection, i64) -> rusqlite::Result<()>,
    ) -> Result<PutOutcome, VaultError> {
        check_repository(repository, object)?;
        let kind = T::KIND;
        if let Sender::Agent { agent, .. } = &sender {
            repository.check_domain(&self.index, agent, &domain, kind)?;
        }
        let length = bytes.len() as u64;
        let known = self.index.read(|c| ObjectRow::contains(c, repository.row, kind, id))?;
        // A repository that is full must still hear that a grant no longer holds: the owner's word, in a few hundred bytes.
        let exempt = kind == Kind::Revocation;
        let _room =
            if known || exempt { None } else { Some(self.make_room(repository, &domain, length)?) };
        let outcome = repository.store.put(kind, id, bytes)?;
        let row = ObjectRow { kind, id: *id, domain, bytes: length };
        let now_s = self.age_s();
        self.index.write(|tx| {
            // Who sends it counts on it: if it waited to go, it waits no longer.
            save_object_state(tx, repository.row, kind, id, None)?;
            Lease::touch_domain(tx, repository.row, &domain, now_s)?;
            also(tx, repository.row)?;
            if known { Ok(()) } else { row.insert(tx, repository.row) }
        })?;
        Ok(outcome)
    }

    fn put_session(
        &self,
        repository: &Repository,
        id: &[u8; 32],
        bytes: &[u8],
        sender: Sender,
    ) -> Result<PutOutcome, VaultError> {
        let session = open_signed::<Session>(bytes).map_err(VaultError::format(Kind::Session))?;
        check_repository(repository, &session.body)?;
        if let Some(known) =
            self.index.read(|c| SessionRow::find(c, repository.row, &session.id))?
        {
            if sender.certified().is_some_and(|(agent, _)| agent != known.agent) {
                return Err(other_agent(Kind::Session));
            }
            return Ok(repository.store.put(Kind::Session, id, bytes)?);
        }
        let agent = session.body.agent;
        let certified = self.key_of(repository, &agent, &session.signer, sender)?;
        check_session(&repository.chain(), &session, certified, sender.provenance())
            .map_err(|refusal| VaultError::refused(Kind::Session, refusal))?;
        repository.check_domain(&self.index, &agent, &session.body.domain, Kind::Session)?;
        if let Sender::Agent { .. } = sender {
            let since = Timestamp(self.now().0 - OPEN_SESSION_S);
            let open = self.index.read(|c| open_sessions(c, repository.row, &agent, since))?;
            if open >= self.config.open_sessions {
                return Err(VaultError::OpenSessions { agent, limit: self.config.open_sessions });
            }
        }
        let _room = self.make_room(repository, &session.body.domain, bytes.len() as u64)?;
        let outcome = repository.store.put(Kind::Session, id, bytes)?;
        let row = session_row(repository, &session, bytes.len() as u64)?;
        let now_s = self.age_s();
        self.index.write(|tx| {
            row.insert(tx, repository.row)?;
            Lease::open(tx, repository.row, &row.session, &row.domain, now_s)
        })?;
        Ok(outcome)
    }

    /// The key that binds an agent that no roster lists: from the certificate, or, for what is pulled, the
    /// key of the agent's first session here.
    fn key_of(
        &self,
        repository: &Repository,
        agent: &AgentId,
        signer: &PublicKey,
        sender: Sender,
    ) -> Result<Option<PublicKey>, VaultError> {
        match sender {
            Sender::Agent { agent: certified, key }
            | Sender::Recovered { agent: certified, key }
                if certified == *agent =>
            {
                Ok(Some(key))
            }
            Sender::Agent { .. } | Sender::Recovered { .. } => Err(other_agent(Kind::Session)),
            Sender::Owner | Sender::Grantee(_) => Ok(None),
            Sender::Site(_) | Sender::Medium(_) => {
                let first =
                    self.index.read(|c| SessionRow::first_of_agent(c, repository.row, agent))?;
                Ok(Some(first.map_or(*signer, |session| session.signer)))
            }
        }
    }
}

fn check_repository<T: Object>(repository: &Repository, object: &T) -> Result<(), VaultError> {
    if object.repository() == repository.id {
        Ok(())
    } else {
        Err(VaultError::OtherRepository { kind: T::KIND, found: object.repository() })
    }
}

/// Refuses what the owner did not sign. What is new carries a root key's name of the newest roster; what comes from
/// another site may be older, and counts as far as [`crate::grants`] says.
fn check_owners(
    repository: &Repository,
    kind: Kind,
    signer: &PublicKey,
    sender: Sender,
) -> Result<(), VaultError> {
    let chain = repository.chain();
    let entitled = match sender {
        Sender::Site(_) | Sender::Medium(_) => was_root_key(&chain, signer),
        Sender::Owner | Sender::Grantee(_) | Sender::Agent { .. } | Sender::Recovered { .. } => {
            chain.is_root_key(signer)
        }
    };
    if entitled {
        return Ok(());
    }
    let reason = format!("{signer} is not a root key of the newest roster here");
    Err(VaultError::Refused { kind, reason })
}

fn other_agent(kind: Kind) -> VaultError {
    VaultError::Forbidden(format!("this {} names another agent than the certificate", kind.name()))
}

/// A session's row. When it came is the storage's word, so that a rebuilt index says the same.
pub(crate) fn session_row(
    repository: &Repository,
    session: &lumbung_pack::Signed<Session>,
    bytes: u64,
) -> Result<SessionRow, VaultError> {
    let body = &session.body;
    Ok(SessionRow {
        session: session.id,
        agent: body.agent,
        domain: body.domain,
        dataset: body.dataset,
        signer: session.signer,
        roster_number: body.roster_number,
        recipients: body.sealed.iter().map(|sealed| sealed.recipient).collect(),
        bytes,
        received: repository.store.arrived(Kind::Session, session.id.as_bytes())?,
    })
}

/// Whether an agent may append to a repository: those that a roster lists until it withdraws them.
pub(crate) fn withdrawn(chain: &RosterChain, agent: &AgentId) -> bool {
    chain.agent(agent).is_some_and(|listed| listed.status == AgentStatus::Withdrawn)
}
