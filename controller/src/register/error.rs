//! Why an entry is refused, and which field that is about.

use lumbung_model::colocation::{Misfit, Overload, Shortfall};
use lumbung_model::geo::GeoError;
use lumbung_model::{PdId, RepositoryId, ServerId, SiteId};

use crate::db::DbError;

/// Why an entry is refused. Each names the field that it is about.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A text that may not stand there.
    #[error("{field} {found:?}: {reason}")]
    Text {
        /// The field.
        field: &'static str,
        /// What was given.
        found: String,
        /// What may stand there.
        reason: &'static str,
    },
    /// No place on earth.
    #[error("{0}")]
    Place(GeoError),
    /// One coordinate without the other.
    #[error("latitude and longitude go together: give both or none")]
    HalfPlace,
    /// An RPO that is no duration.
    #[error("rpo_s {0}: write seconds, from 60 (a minute) to 31622400 (a year)")]
    Rpo(u64),
    /// The name is taken.
    #[error(
        "{what} {name:?} is in the register already (id {id}); change it by importing it again"
    )]
    Taken {
        /// What it is.
        what: &'static str,
        /// Its name or code.
        name: String,
        /// The id of the one that has it.
        id: String,
    },
    /// The id is that of something else.
    #[error(
        "{what} {name:?} has the id {registered} in the register, not {given}: ids are permanent"
    )]
    OtherId {
        /// What it is.
        what: &'static str,
        /// Its name or code.
        name: String,
        /// The id in the register.
        registered: String,
        /// The id given.
        given: String,
    },
    /// Something that must be there first.
    #[error("{what} {id} is not in the register: enter it first")]
    Unknown {
        /// What it is.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// A schedule that is none.
    #[error("schedule {found:?}: {reason}")]
    Schedule {
        /// What was given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A rate that is none, or too low.
    #[error("{field} {found:?}: {reason}")]
    Rate {
        /// The field.
        field: &'static str,
        /// What was given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A number that is out of bounds.
    #[error("{field} {found}: {reason}")]
    Number {
        /// The field.
        field: &'static str,
        /// What was given.
        found: u64,
        /// What may stand there.
        reason: &'static str,
    },
    /// It does not belong to the PD that it is entered for.
    #[error("{field} {id} belongs to another PD: name one of the PD's own")]
    Foreign {
        /// The field.
        field: &'static str,
        /// What it names.
        id: String,
    },
    /// A check that no place could make.
    #[error("target {found:?}: {reason}")]
    Probe {
        /// Where it goes.
        found: String,
        /// Why it cannot be made.
        reason: String,
    },
    /// A check is given to another service or server.
    #[error(
        "check {0:?} is of another service or server, and what was seen of one is not another's: disable it, and enter a new one"
    )]
    OtherSubject(String),
    /// The room is elsewhere.
    #[error(
        "room {0:?} is at another site than the one that is named: name the room's site, or none"
    )]
    RoomElsewhere(String),
    /// The server is another PD's.
    #[error("server {0} belongs to another PD: give the dataset to the server's PD")]
    ForeignServer(ServerId),
    /// The repository is another PD's.
    #[error("repository {repository} belongs to another PD ({pd}): check the repository id")]
    ForeignRepository {
        /// The repository.
        repository: RepositoryId,
        /// The PD that it belongs to.
        pd: PdId,
    },
    /// Two people took the site out.
    #[error(
        "site {0} was taken out of the register: leave it out of the file, or make its vault anew"
    )]
    RemovedSite(SiteId),
    /// It takes along what belongs to the PD that it comes from.
    #[error(
        "server {0} has an agent, datasets or a device, which are the present PD's: enter it anew for the other PD, and enrol it there"
    )]
    Moves(ServerId),
    /// Servers stand in what is to be at another site.
    #[error(
        "server {server:?} stands in {what} {name:?}, which would be at another site then: move the servers to another room first, or enter a new {what}"
    )]
    ServersInside {
        /// What it is.
        what: &'static str,
        /// The field that would move it.
        field: &'static str,
        /// Its name.
        name: String,
        /// One of the servers.
        server: String,
    },
    /// What enrolment sets is not changed by hand.
    #[error(
        "site {0:?} has enrolled: its kind, its address, its receipt key and its TLS pin are not changed here; enrol it anew with a token for its new address, or have it taken out of the register"
    )]
    EnrolledSite(String),
    /// It is retired.
    #[error("{what} {name:?} is retired: bring it back first, or leave it as it was")]
    Retired {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// What it would belong to is retired.
    #[error("{what} {name:?} is retired, and nothing new is entered under it: bring it back first")]
    UnderRetired {
        /// What that is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Fields that say something together only.
    #[error("{field}: {reason}")]
    Together {
        /// The field.
        field: &'static str,
        /// What may stand there.
        reason: &'static str,
    },
    /// A row that it names is not one that it may name.
    #[error("{field}: {reason}")]
    Relation {
        /// The field.
        field: &'static str,
        /// What may be named.
        reason: &'static str,
    },
    /// Something is in what is to be elsewhere.
    #[error("{inside} is in {what} {name:?}, or on it: move that first, or enter a new {what}")]
    Inside {
        /// What it is.
        what: &'static str,
        /// The field that would move it.
        field: &'static str,
        /// Its name.
        name: String,
        /// What is in it.
        inside: String,
    },
    /// There is no room for it in the rack.
    #[error("rack {rack:?}: {misfit}")]
    Space {
        /// The field.
        field: &'static str,
        /// The rack's name.
        rack: String,
        /// What is in its way.
        misfit: Misfit,
    },
    /// A feed does not carry it.
    #[error("feed {feed:?}: {overload}; use another feed, or take something off it first")]
    Power {
        /// The field.
        field: &'static str,
        /// The feed's name.
        feed: String,
        /// What is on it.
        overload: Overload,
    },
    /// A pool does not hold it.
    #[error("pool {pool:?}: {shortfall}; give less, or enlarge the pool first")]
    PoolFull {
        /// The field.
        field: &'static str,
        /// The pool's name.
        pool: String,
        /// What is left.
        shortfall: Shortfall,
    },
    /// Another device has the serial number.
    #[error(
        "serial number {serial:?} is that of device {device:?} of {code}: look at the label again, or retire that one first"
    )]
    Serial {
        /// The number.
        serial: String,
        /// Name of the device that has it.
        device: String,
        /// Code of its PD.
        code: String,
    },
    /// The database failed.
    #[error("the register could not be read or written")]
    Db(#[from] DbError),
}

impl RegisterError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Text { field, .. } | Self::Rate { field, .. } => Some(field),
            Self::Place(GeoError::Latitude(_)) | Self::HalfPlace => Some("latitude"),
            Self::Place(GeoError::Longitude(_)) => Some("longitude"),
            Self::Rpo(_) => Some("rpo_s"),
            Self::Schedule { .. } => Some("schedule"),
            Self::OtherId { .. } | Self::RemovedSite(_) => Some("id"),
            Self::Moves(_) => Some("pd"),
            Self::ForeignRepository { .. } => Some("repository"),
            Self::ForeignServer(_) => Some("server"),
            Self::Number { field, .. }
            | Self::Foreign { field, .. }
            | Self::Together { field, .. }
            | Self::Relation { field, .. }
            | Self::Inside { field, .. }
            | Self::Space { field, .. }
            | Self::Power { field, .. }
            | Self::PoolFull { field, .. }
            | Self::ServersInside { field, .. } => Some(field),
            Self::Serial { .. } => Some("serial"),
            Self::RoomElsewhere(_) => Some("room"),
            Self::OtherSubject(_) => Some("service"),
            Self::Probe { .. } => Some("target"),
            Self::EnrolledSite(_) => Some("name"),
            Self::Taken { .. }
            | Self::Retired { .. }
            | Self::UnderRetired { .. }
            | Self::Unknown { .. }
            | Self::Db(_) => None,
        }
    }
}
