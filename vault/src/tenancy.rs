//! Who may read and write what. Pure, but for the domain of an agent, which the caller looks up.
//!
//! Invariants: an agent reaches one repository and there one dedup domain; the controller and operators
//! read what says how the data is, never what holds it; only certified agents and keys that the newest
//! roster lists write, but for the proofs of who was let read; nobody deletes.

use lumbung_model::{AgentId, PublicKey, RepositoryId, SiteId, Timestamp};
use lumbung_pack::{Kind, RosterChain};
use lumbung_wire::{Peer, Role};

use crate::VaultError;
use crate::intake::{Founder, Sender, withdrawn};

/// Who calls, as far as TLS says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    Anonymous,
    Agent {
        repository: RepositoryId,
        agent: AgentId,
        key: PublicKey,
        expired: bool,
    },
    Key(PublicKey),
    Site(SiteId),
    /// The controller or an operator.
    Overseer,
}

/// Which objects of a kind a caller may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    All,
    /// Those of this agent's dedup domain.
    DomainOf(AgentId),
    /// Those that grants open to this key, if there are any.
    GrantedTo(PublicKey),
}

impl Reading {
    /// The agent that it is confined to.
    pub(crate) const fn agent(self) -> Option<AgentId> {
        match self {
            Self::All | Self::GrantedTo(_) => None,
            Self::DomainOf(agent) => Some(agent),
        }
    }
}

impl Caller {
    /// The agent that calls by a certificate.
    pub(crate) const fn certified_agent(&self) -> Option<AgentId> {
        match self {
            Self::Agent { agent, .. } => Some(*agent),
            Self::Anonymous | Self::Key(_) | Self::Site(_) | Self::Overseer => None,
        }
    }

    pub(crate) fn of(peer: &Peer, now: Timestamp) -> Result<Self, VaultError> {
        let identity = match peer {
            Peer::Anonymous => return Ok(Self::Anonymous),
            Peer::RootKey(key) => return Ok(Self::Key(*key)),
            Peer::Certified(identity) => identity,
        };
        let incomplete = || {
            VaultError::Forbidden(
                "the certificate lacks ids that its role needs: enrol again".to_owned(),
            )
        };
        match identity.role {
            Role::Agent => Ok(Self::Agent {
                repository: identity.repository.ok_or_else(incomplete)?,
                agent: identity.agent.ok_or_else(incomplete)?,
                key: identity.agent_key.ok_or_else(incomplete)?,
                expired: identity.expired(now),
            }),
            Role::Site => Ok(Self::Site(identity.site.ok_or_else(incomplete)?)),
            Role::Controller | Role::Operator => Ok(Self::Overseer),
        }
    }

    /// The agent that calls, if one does: certified, or by a key that the newest roster gives to one.
    fn agent(&self, chain: &RosterChain) -> Result<Option<(AgentId, PublicKey)>, VaultError> {
        match self {
            Self::Agent { repository, agent, key, expired } => {
                if *repository != chain.repository() {
                    return Err(other_repository());
                }
                let listed = chain.agent(agent);
                if listed.is_some_and(|listed| listed.key != *key) {
                    // The owner's word goes before the CA's: or a stolen CA would stand in for any agent.
                    return Err(VaultError::Forbidden(format!(
                        "the newest roster here gives agent {agent} another key than this certificate: enrol with the identity that the roster lists, or as a new agent"
                    )));
                }
                if *expired && listed.is_none() {
                    Err(VaultError::Expired(*agent))
                } else {
                    Ok(Some((*agent, *key)))
                }
            }
            Self::Key(key) => Ok(chain.agent_by_key(key).map(|listed| (listed.agent, *key))),
            Self::Anonymous | Self::Site(_) | Self::Overseer => Ok(None),
        }
    }

    /// What the caller may read of a kind.
    pub(crate) fn reading(&self, chain: &RosterChain, kind: Kind) -> Result<Reading, VaultError> {
        match self {
            Self::Anonymous => return Err(VaultError::Anonymous),
            Self::Site(_) => return Ok(Reading::All),
            Self::Key(key) if chain.is_root_key(key) => return Ok(Reading::All),
            Self::Overseer => {
                return if is_evidence(kind) { Ok(Reading::All) } else { Err(not_readable(kind)) };
            }
            Self::Agent { .. } | Self::Key(_) => {}
        }
        let agent = match (self.agent(chain)?, self) {
            (Some((agent, _)), _) => agent,
            (None, Self::Key(key)) if is_granted(kind) => return Ok(Reading::GrantedTo(*key)),
            (None, _) => return Err(unlisted_key()),
        };
        match kind {
            Kind::Roster
            | Kind::Receipt
            | Kind::Proof
            | Kind::StandingApproval
            | Kind::Revocation => Ok(Reading::All),
            Kind::Session
            | Kind::Pack
            | Kind::Segment
            | Kind::Usage
            | Kind::Manifest
            | Kind::Opening => Ok(Reading::DomainOf(agent)),
            _ => Err(not_readable(kind)),
        }
    }

    /// As whom the caller may write an object of a kind.
    pub(crate) fn writing(&self, chain: &RosterChain, kind: Kind) -> Result<Sender, VaultError> {
        match self {
            Self::Anonymous => return Err(VaultError::Anonymous),
            Self::Site(_) | Self::Overseer => {
                return Err(VaultError::Forbidden(
                    "this certificate reads, it does not write".to_owned(),
                ));
            }
            Self::Key(key) if chain.is_root_key(key) => {
                // The owner brings snapshots in from a medium: they are the agents' word all the same, and nothing
                // that the owner could not have an agent say.
                return match kind {
                    Kind::Roster
                    | Kind::Proof
                    | Kind::Grant
                    | Kind::Revocation
                    | Kind::Wrap
                    | Kind::StandingApproval
                    | Kind::Session
                    | Kind::Pack
                    | Kind::Segment
                    | Kind::Usage
                    | Kind::Manifest => Ok(Sender::Owner),
                    _ => Err(VaultError::Forbidden(format!(
                        "a root key does not write a {}",
                        kind.name()
                    ))),
                };
            }
            Self::Agent { .. } | Self::Key(_) => {}
        }
        let (agent, key) = match (self.agent(chain)?, self) {
            (Some(found), _) => found,
            // What somebody says of a snapshot that was opened to them; whether it was, the caller asks.
            (None, Self::Key(key)) if kind == Kind::Proof => return Ok(Sender::Grantee(*key)),
            (None, _) => return Err(unlisted_key()),
        };
        if withdrawn(chain, &agent) {
            return Err(VaultError::Forbidden(format!(
                "agent {agent} was withdrawn by the roster: have the custodian add the server anew"
            )));
        }
        match kind {
            Kind::Roster
            | Kind::Session
            | Kind::Pack
            | Kind::Segment
            | Kind::Usage
            | Kind::Manifest
            | Kind::Opening => Ok(Sender::Agent { agent, key }),
            _ => Err(VaultError::Forbidden(format!("an agent does not write a {}", kind.name()))),
        }
    }

    /// Whether the caller may make a repository of its first roster.
    pub(crate) fn founding(&self, repository: &RepositoryId) -> Result<Founder, VaultError> {
        match self {
            Self::Anonymous => Err(VaultError::Anonymous),
            Self::Agent { repository: own, expired, agent, .. } if own == repository => {
                if *expired { Err(VaultError::Expired(*agent)) } else { Ok(Founder::Entitled) }
            }
            Self::Agent { .. } => Err(other_repository()),
            Self::Key(key) => Ok(Founder::Key(*key)),
            Self::Site(_) | Self::Overseer => Ok(Founder::Nobody),
        }
    }

    /// Whether the caller sees that a repository is here.
    pub(crate) fn sees(&self, chain: &RosterChain) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Site(_) | Self::Overseer => true,
            Self::Agent { repository, .. } => *repository == chain.repository(),
            Self::Key(key) => chain.is_root_key(key) || chain.agent_by_key(key).is_some(),
        }
    }

    /// Fails unless the caller oversees the site or is another one.
    pub(crate) fn overseeing(&self) -> Result<(), VaultError> {
        match self {
            Self::Overseer | Self::Site(_) => Ok(()),
            Self::Anonymous => Err(VaultError::Anonymous),
            Self::Agent { .. } | Self::Key(_) => {
                Err(VaultError::Forbidden("this is for the controller and operators".to_owned()))
            }
        }
    }
}

/// What the controller and operators read: it says how the data is and holds none of it.
const fn is_evidence(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Roster
            | Kind::Manifest
            | Kind::Receipt
            | Kind::Inventory
            | Kind::Scrub
            | Kind::Proof
            | Kind::Usage
            | Kind::Tombstone
            | Kind::Order
            | Kind::Hold
            | Kind::Grant
            | Kind::Revocation
            | Kind::StandingApproval
    )
}

/// What a grantee needs to restore: which objects of these kinds, the grants say.
const fn is_granted(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Roster
            | Kind::Session
            | Kind::Pack
            | Kind::Segment
            | Kind::Usage
            | Kind::Manifest
            | Kind::Receipt
            | Kind::Grant
            | Kind::StandingApproval
            | Kind::Opening
    )
}

fn other_repository() -> VaultError {
    VaultError::Forbidden("this certificate is for another repository".to_owned())
}

pub(crate) fn unlisted_key() -> VaultError {
    VaultError::Forbidden(
        "the newest roster here lists this key neither as a root key nor as an agent's, and no grant here is for it: send \
         the newer roster or the grant first, or use the right key"
            .to_owned(),
    )
}

fn not_readable(kind: Kind) -> VaultError {
    VaultError::Forbidden(format!("this certificate does not entitle to read a {}", kind.name()))
}
