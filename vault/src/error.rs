//! Why the vault refuses or fails. `http::problem` turns each into a status, exhaustively.

use lumbung_model::{AgentId, DomainId, HoldId, ManifestId, RepositoryId, SessionId, Timestamp};
use lumbung_pack::{FormatError, Kind, Missing, OrderError, Refusal, RosterError, Subject};
use lumbung_store::StoreError;

use crate::index::IndexError;
use crate::storage::SetupError;

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Where the objects lie cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// No such repository here.
    #[error("repository {0} is not at this site")]
    NoRepository(RepositoryId),
    /// A repository that nobody admitted.
    #[error(
        "repository {0} is not admitted at this site: enrol its agent with the controller, or run `lumbung-vault admit {0}` at the vault"
    )]
    NotAdmitted(RepositoryId),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// The caller showed no certificate.
    #[error(
        "this needs a client certificate: enrol with the controller, or use the repository's key bundle"
    )]
    Anonymous,
    /// The caller's certificate has expired and no roster vouches for its key.
    #[error(
        "the certificate of agent {0} has expired and the newest roster does not list its key: renew it with the controller, or have the custodian add the agent to the roster"
    )]
    Expired(AgentId),
    /// A roster that does not fit.
    #[error("the roster does not fit this repository's chain: {0}")]
    Roster(#[source] RosterError),
    /// Bytes that are not such an object.
    #[error("this is not a {}: {source}", kind.name())]
    Format {
        /// What it should have been.
        kind: Kind,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// An object of another repository.
    #[error("this {} belongs to repository {found}, not to the one it was sent to", kind.name())]
    OtherRepository {
        /// What it is.
        kind: Kind,
        /// Where it belongs.
        found: RepositoryId,
    },
    /// A dedup domain that is not the sender's.
    #[error("this {} is of dedup domain {domain}, which is not the sender's", kind.name())]
    OtherDomain {
        /// What it is.
        kind: Kind,
        /// Its domain.
        domain: DomainId,
    },
    /// A pack whose session is not here.
    #[error("session {0} is not here: publish it before its packs")]
    NoSession(SessionId),
    /// A session or manifest that the rules refuse.
    #[error("this {} is refused: {reason}", kind.name())]
    Refused {
        /// What it is.
        kind: Kind,
        /// Why, with its causes.
        reason: String,
    },
    /// A session for other recipients than the newest roster's: the sender lacks that roster.
    #[error("{0}")]
    Recipients(String),
    /// A manifest that needs what is not here.
    #[error("the snapshot is not complete at this site")]
    Incomplete(Box<Missing>),
    /// A quota is used up.
    #[error(
        "{what} is limited to {limit} bytes at this site and holds {used}: ask its operator for more"
    )]
    Quota {
        /// Whose quota.
        what: String,
        /// Bytes allowed.
        limit: u64,
        /// Bytes kept.
        used: u64,
    },
    /// Less space is free than the vault keeps in reserve.
    #[error(
        "less than the reserve of {reserve} bytes is free at this site: its operator must add storage; reading goes on"
    )]
    Reserve {
        /// Bytes kept free.
        reserve: u64,
    },
    /// Too many sessions without a snapshot.
    #[error(
        "agent {agent} has {limit} sessions open without any snapshot; a new one is taken when the oldest is 14 days old, or ask the site's operator to raise `open_sessions`"
    )]
    OpenSessions {
        /// The agent.
        agent: AgentId,
        /// How many are allowed.
        limit: u64,
    },
    /// A snapshot that this site removed.
    #[error("snapshot {manifest} is not taken: {}", if *ordered { "an order destroyed it" } else { "it was removed at this site when its time was over" })]
    Removed {
        /// The snapshot.
        manifest: ManifestId,
        /// Whether an order destroyed it.
        ordered: bool,
    },
    /// A snapshot that says nothing of what it needs.
    #[error(
        "nothing is given back in this repository until snapshot {manifest} can be read ({reason}): run `lumbung-vault scrub`, which fetches a good copy"
    )]
    Unreadable {
        /// The snapshot.
        manifest: ManifestId,
        /// Why it cannot be read.
        reason: String,
    },
    /// An order lacks something.
    #[error("the order is not carried out: {0}")]
    Order(#[source] OrderError),
    /// An order of a day that has not come.
    #[error(
        "the order is not carried out: it is dated {issued}, and here it is {now}; set the clock that is wrong, or have the order drawn up anew"
    )]
    OrderAhead {
        /// Its date.
        issued: Timestamp,
        /// This site's clock.
        now: Timestamp,
    },
    /// An order whose time is over.
    #[error(
        "the order is not carried out: it was valid until {until}; have a new one drawn up and signed"
    )]
    OrderExpired {
        /// Its end.
        until: Timestamp,
    },
    /// A hold keeps what an order would destroy.
    #[error(
        "the order is not carried out: hold {hold} keeps {subject}; release the hold first, by an order of its own"
    )]
    Held {
        /// What it keeps.
        subject: Subject,
        /// The hold.
        hold: HoldId,
    },
    /// No such hold.
    #[error("hold {0} is not at this site: `lumbung-vault hold list` shows those that are")]
    NoHold(HoldId),
    /// A kind of object that is not written this way.
    #[error("a {} is not sent to a vault", kind.name())]
    NotSent {
        /// The kind.
        kind: Kind,
    },
    /// Rebuilding what should be here needs a person.
    #[error("{0}")]
    Inconsistent(String),
    /// The vault is shutting down.
    #[error("the vault is shutting down: try again")]
    Stopping,
}

impl VaultError {
    /// Names the rule that a session or manifest breaks.
    pub(crate) fn refused(kind: Kind, refusal: Refusal<Self>) -> Self {
        match refusal {
            Refusal::Holdings(error) => error,
            Refusal::Incomplete(missing) => Self::Incomplete(Box::new(missing)),
            Refusal::Recipients { .. } => Self::Recipients(refusal.to_string()),
            Refusal::OtherRepository
            | Refusal::Signer { .. }
            | Refusal::Withdrawn(_)
            | Refusal::Domain { .. }
            | Refusal::UnnamedSession { .. }
            | Refusal::Segment(_)
            | Refusal::Frames { .. }
            | Refusal::Format(_) => {
                Self::Refused { kind, reason: lumbung_model::with_causes(&refusal) }
            }
        }
    }

    pub(crate) const fn format(kind: Kind) -> impl Fn(FormatError) -> Self {
        move |source| Self::Format { kind, source }
    }

    /// Whether it is for want of space.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Full { .. })
                | Self::Index(IndexError::Full { .. })
                | Self::Quota { .. }
                | Self::Reserve { .. }
        )
    }

    /// Whether this site itself cannot go on: nothing is said about what it was given, and the next would fail as well.
    #[must_use]
    pub const fn is_of_the_site(&self) -> bool {
        match self {
            Self::Stopping => true,
            Self::Store(error) => error.is_of_the_storage(),
            _ => self.is_full(),
        }
    }
}
