//! The register and the compliance table: PD → servers → datasets, sites, and how far each dataset has come.
//!
//! What must be backed up comes from the register, never from the jobs that exist: a PD or a dataset
//! without an agent has its row and is *belum mencadangkan*. Steps of proof rest on what the sites
//! signed; what only the agent says stands apart, in `menurut_agen`. Inputs refuse unknown fields.

use lumbung_model::vocabulary;
use lumbung_model::{
    AgentId, ApplicationId, DatasetId, ManifestId, PdId, PoolId, PublicKey, RepositoryId, RoomId,
    ServerId, SiteId, Timestamp, TlsPin,
};
use serde::{Deserialize, Serialize};

mod care;
mod checks;
mod colocation;
mod elevation;
mod handovers;
mod history;
mod places;
mod pools;
mod retirement;
mod services;

pub use care::{Care, CareInput, CareKind};
pub use checks::{Check, CheckInput, INTERVAL_S, TIMEOUT_S, Target, TargetError};
pub use colocation::{
    Condition, Device, DeviceInput, DeviceKind, Face, Feed, FeedInput, Rack, RackInput,
    Reservation, ReservationInput,
};
pub use elevation::{Elevation, ElevationUnit, Slot, SlotState};
pub use handovers::{Handover, HandoverInput};
pub use history::{FieldChange, HistoryEntry, HistoryKind};
pub use places::{Building, BuildingInput, Room, RoomInput, RoomKind};
pub use pools::{Pool, PoolInput, PoolStatus};
pub use retirement::{RetiredKind, Retirement, RetirementInput};
pub use services::{
    Application, ApplicationInput, ContactPerson, ContactPersonInput, Service, ServiceInput,
};

vocabulary! {
    /// What a site is.
    SiteKind {
        /// The city's data centre.
        PusatData = "pusat_data",
        /// The disaster recovery center.
        Drc = "drc",
        /// Any other.
        Other = "other",
    }
}

vocabulary! {
    /// What a PD is.
    PdKind {
        /// A *dinas*.
        Dinas = "dinas",
        /// A *badan*.
        Badan = "badan",
        /// The secretariat of the city or of its council.
        Sekretariat = "sekretariat",
        /// The *inspektorat*.
        Inspektorat = "inspektorat",
        /// A regional hospital.
        Rsud = "rsud",
        /// A community health centre.
        Puskesmas = "puskesmas",
        /// A district.
        Kecamatan = "kecamatan",
        /// Any other.
        Other = "other",
    }
}

vocabulary! {
    /// What a server is.
    ServerKind {
        /// A machine of its own.
        Physical = "physical",
        /// A virtual machine in the city's data centre.
        Vps = "vps",
        /// A virtual machine elsewhere.
        Virtual = "virtual",
        /// Any other.
        Other = "other",
    }
}

vocabulary! {
    /// What a dataset is made of.
    DatasetKind {
        /// Files and folders.
        Files = "files",
        /// A PostgreSQL cluster.
        Postgresql = "postgresql",
        /// A MySQL or MariaDB server.
        Mysql = "mysql",
        /// A SQLite database.
        Sqlite = "sqlite",
        /// A Microsoft SQL Server.
        Sqlserver = "sqlserver",
        /// An Oracle database.
        Oracle = "oracle",
        /// A whole virtual machine.
        VirtualMachine = "virtual_machine",
        /// Source code of an application.
        SourceCode = "source_code",
        /// Documents of the SPBE: architecture, plans, procedures.
        SpbeDocuments = "spbe_documents",
        /// Any other.
        Other = "other",
    }
}

vocabulary! {
    /// Who may see the data.
    Classification {
        /// Public.
        Public = "public",
        /// Not public.
        NonPublic = "non_public",
    }
}

vocabulary! {
    /// How urgent the data is: schedule, RPO and retention follow from it unless the dataset says otherwise.
    Urgency {
        /// Services stop without it.
        Critical = "critical",
        /// Needed within the day.
        High = "high",
        /// Ordinary.
        Normal = "normal",
        /// Archive.
        Low = "low",
    }
}

vocabulary! {
    /// Whether an agent or a site was heard of lately.
    HeartbeatState {
        /// Heard of within its interval.
        Up = "up",
        /// Missed a few.
        Late = "late",
        /// Silent for long.
        Down = "down",
        /// Never heard of.
        Never = "never",
    }
}

vocabulary! {
    /// How far one step of proof has come.
    StepState {
        /// Evidence is there and fresh.
        Met = "met",
        /// Evidence is there, but older than the dataset allows.
        Late = "late",
        /// There was never any.
        Missing = "missing",
        /// A site's inventory is too old to rely on, or shows that what was there is gone.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// A table of the register, as it is imported and exported.
    RegisterTable {
        /// Sites.
        Sites = "sites",
        /// Buildings of sites.
        Buildings = "buildings",
        /// Rooms of buildings.
        Rooms = "rooms",
        /// Racks of rooms.
        Racks = "racks",
        /// Power feeds of rooms.
        Feeds = "feeds",
        /// Pools that virtual machines draw on.
        Pools = "pools",
        /// PD.
        Pd = "pd",
        /// Servers.
        Servers = "servers",
        /// Services.
        Services = "services",
        /// Applications.
        Applications = "applications",
        /// Contact persons.
        ContactPersons = "contact_persons",
        /// Checks of services and servers.
        Checks = "checks",
        /// Datasets.
        Datasets = "datasets",
        /// Devices.
        Devices = "devices",
        /// Reservations of rack units.
        Reservations = "reservations",
        /// Handovers of access.
        Handovers = "handovers",
        /// The roster of who is on call.
        OnCall = "on_call",
        /// What was done to servers.
        Care = "care",
    }
}

/// A site that keeps data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SiteKind,
    /// Degrees north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Street address.
    #[serde(default)]
    pub address: String,
    /// Where its vault answers; `None` until it enrols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The key of its receipts; `None` until it enrols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_key: Option<PublicKey>,
    /// The pin of its TLS key; `None` until it enrols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<TlsPin>,
    /// Speed of the line over which it copies from the other sites, as in `100 Mbit/s`; empty: unknown.
    #[serde(default)]
    pub link: String,
    /// The cap on that outside the windows, as in `50 Mbit/s`; empty: none.
    #[serde(default)]
    pub rate: String,
    /// Caps by time of day, as in `07:30-16:00 mon-fri 5 Mbit/s`: the first that fits counts.
    #[serde(default)]
    pub windows: Vec<String>,
}

/// A site to be entered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SiteInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SiteId>,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SiteKind,
    /// Degrees north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Street address.
    #[serde(default)]
    pub address: String,
    /// Where its vault answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The key of its receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_key: Option<PublicKey>,
    /// The pin of its TLS key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<TlsPin>,
    /// Speed of the line over which it copies from the other sites, as in `100 Mbit/s`; empty: unknown.
    #[serde(default)]
    pub link: String,
    /// The cap on that outside the windows; empty: none.
    #[serde(default)]
    pub rate: String,
    /// Caps by time of day, as in `07:30-16:00 mon-fri 5 Mbit/s`: the first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
}

/// A Perangkat Daerah.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pd {
    /// Its id.
    pub id: PdId,
    /// Its short code, for instance `DINKES`.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default = "other_pd")]
    pub kind: PdKind,
    /// A note on whom to call; the contact persons stand on their own.
    #[serde(default)]
    pub contact: String,
    /// Whether it runs its own IT (*mandiri TIK*).
    #[serde(default)]
    pub mandiri_tik: bool,
    /// Whether it is the one that runs the Pusat Data.
    #[serde(default)]
    pub runs_pusat_data: bool,
    /// Speed of its line to the Pusat Data, as in `20 Mbit/s`; empty: unknown.
    #[serde(default)]
    pub link: String,
    /// The cap on each of its agents outside the windows, as in `10 Mbit/s`; empty: none.
    #[serde(default)]
    pub rate: String,
    /// Caps by time of day, as in `07:30-16:00 mon-fri 5 Mbit/s`: the first that fits counts.
    #[serde(default)]
    pub windows: Vec<String>,
}

const fn other_pd() -> PdKind {
    PdKind::Other
}

/// A PD to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PdInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PdId>,
    /// Its short code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default = "other_pd")]
    pub kind: PdKind,
    /// A note on whom to call; the contact persons stand on their own.
    #[serde(default)]
    pub contact: String,
    /// Whether it runs its own IT.
    #[serde(default)]
    pub mandiri_tik: bool,
    /// Whether it is the one that runs the Pusat Data.
    #[serde(default)]
    pub runs_pusat_data: bool,
    /// Speed of its line to the Pusat Data, as in `20 Mbit/s`; empty: unknown.
    #[serde(default)]
    pub link: String,
    /// The cap on each of its agents outside the windows; empty: none.
    #[serde(default)]
    pub rate: String,
    /// Caps by time of day, as in `07:30-16:00 mon-fri 5 Mbit/s`: the first that fits counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
}

/// A server of a PD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ServerKind,
    /// The site it stands at; none: with the PD itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// The room it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// The pool that it draws on, of a virtual machine in the city's data centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolId>,
    /// Virtual processors that it has of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Memory that it has of the pool, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Disk that it has of the pool, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// The agent that enrolled for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Whether that agent was heard of lately.
    pub heartbeat: HeartbeatState,
    /// When it was heard of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

/// A server to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServerInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ServerId>,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ServerKind,
    /// The site it stands at; none: with the PD itself, or at the room's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// The room it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// The pool that it draws on, of a virtual machine in the city's data centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolId>,
    /// Virtual processors that it has of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// Memory that it has of the pool, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Disk that it has of the pool, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}

/// A dataset: what must be backed up (regulation map, O13).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dataset {
    /// Its id.
    pub id: DatasetId,
    /// Whose it is.
    pub pd: PdId,
    /// The server it lies on, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub kind: DatasetKind,
    /// The application it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: String,
    /// Who may see it.
    pub classification: Classification,
    /// To whom it is given.
    #[serde(default)]
    pub distribution: String,
    /// Where it is stored.
    #[serde(default)]
    pub location: String,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Longest time between two backups, seconds.
    pub rpo_s: u64,
    /// Whether that is its own, and not its urgency's.
    #[serde(default)]
    pub own_rpo: bool,
    /// When it is backed up, as five fields of crontab(5); none: as its urgency says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How long copies are kept, in the register's own words.
    #[serde(default)]
    pub retention: String,
    /// How often it is backed up, in the register's own words.
    #[serde(default)]
    pub period: String,
    /// On what it is kept, in the register's own words.
    #[serde(default)]
    pub media: String,
    /// The repository its snapshots lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryId>,
    /// The paths it consists of.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What of them is left out.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// A dataset to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DatasetInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DatasetId>,
    /// Whose it is.
    pub pd: PdId,
    /// The server it lies on, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub kind: DatasetKind,
    /// The application it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: String,
    /// Who may see it.
    pub classification: Classification,
    /// To whom it is given.
    #[serde(default)]
    pub distribution: String,
    /// Where it is stored.
    #[serde(default)]
    pub location: String,
    /// How urgent it is.
    pub urgency: Urgency,
    /// Longest time between two backups, seconds; the urgency's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_s: Option<u64>,
    /// When it is backed up, as five fields of crontab(5); the urgency's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How long copies are kept.
    #[serde(default)]
    pub retention: String,
    /// How often it is backed up.
    #[serde(default)]
    pub period: String,
    /// On what it is kept.
    #[serde(default)]
    pub media: String,
    /// The repository its snapshots lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryId>,
    /// The paths it consists of.
    #[serde(default)]
    pub paths: Vec<String>,
    /// What of them is left out.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportOutcome {
    /// Rows that are new.
    pub created: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows that were so already.
    pub unchanged: u64,
}

/// A one-time enrolment token, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollmentToken {
    /// The token.
    pub token: String,
    /// Until when it can be used.
    pub expires: Timestamp,
    /// `sha256:<hex>` of the CA's certificate: goes onto the enrolment command line too.
    pub ca_fingerprint: String,
}

/// What a step of proof rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// The kind of object: `receipt`, `inventory`, `scrub`, `proof`.
    pub kind: String,
    /// Its id, hex.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub id: String,
    /// The site that signed it; `None` for proofs of restore read from a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
}

/// One step of proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Step {
    /// How far it has come.
    pub state: StepState,
    /// Since when it is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The time of the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Why it is not met; empty if it is.
    #[serde(default)]
    pub reason: String,
}

/// What only the agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentFigures {
    /// When it reported.
    pub at: Timestamp,
    /// How its last run ended.
    pub outcome: super::control::Outcome,
    /// Its last good run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ok: Option<Timestamp>,
    /// Its counts.
    pub statistics: lumbung_pack::Statistics,
    /// Its message.
    #[serde(default)]
    pub message: String,
    /// What it says kept it from ending well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<super::control::RunCause>,
}

/// One row of the compliance table: a dataset, or a PD or server that has none yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComplianceRow {
    /// The PD.
    pub pd: PdId,
    /// Its code.
    pub pd_code: String,
    /// Its name.
    pub pd_name: String,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Its name; empty if there is none.
    #[serde(default)]
    pub server_name: String,
    /// The server's agent.
    pub heartbeat: HeartbeatState,
    /// The dataset; `None`: the PD or server has none in the register, and counts as *belum mencadangkan*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetId>,
    /// Its name; empty if there is none.
    #[serde(default)]
    pub dataset_name: String,
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<Urgency>,
    /// Longest time between two backups, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_s: Option<u64>,
    /// The newest snapshot that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ManifestId>,
    /// Snapshots that no roster vouches for (*belum disahkan*).
    #[serde(default)]
    pub unauthorized_snapshots: u64,
    /// Nothing was ever backed up (*belum mencadangkan*).
    pub belum_mencadangkan: bool,
    /// *Tercadang*: at the Pusat Data, or at any site.
    pub backed_up: Step,
    /// *Di DRC*.
    pub at_drc: Step,
    /// *Terverifikasi*: a site read every byte and it matched.
    pub verified: Step,
    /// *Terbukti pulih*: a restore was compared.
    pub proven: Step,
    /// What stands behind a missing or late backup, as far as the controller or the agent can tell; it changes no step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Stored bytes of the snapshot, from its usage list.
    pub stored_bytes: u64,
    /// What only the agent says, apart from the sites' evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub menurut_agen: Option<AgentFigures>,
}

/// How many datasets and bytes have come how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepTotals {
    /// Datasets that meet the step.
    pub datasets: u64,
    /// Their stored bytes.
    pub stored_bytes: u64,
}

/// `GET /api/v1/compliance`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComplianceTable {
    /// When it was computed.
    pub at: Timestamp,
    /// Rows, by PD code, server and dataset.
    pub rows: Vec<ComplianceRow>,
    /// Datasets of the register, with their stored bytes.
    pub all: StepTotals,
    /// Of them, *tercadang*.
    pub backed_up: StepTotals,
    /// Of them, *di DRC*.
    pub at_drc: StepTotals,
    /// Of them, *terverifikasi*.
    pub verified: StepTotals,
    /// Of them, *terbukti pulih*.
    pub proven: StepTotals,
    /// Who has something overdue, or due within 30 days, of what is owed by date; empty in a table as of a date.
    #[serde(default)]
    pub overdue: Vec<super::deposits::DeadlineCounts>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_one_spelling_everywhere() {
        for kind in DatasetKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.as_str());
            assert_eq!(serde_json::from_value::<DatasetKind>(json).unwrap(), *kind);
        }
        let error = "Pusat Data".parse::<SiteKind>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#""Pusat Data" is not known here; use one of: pusat_data drc other"#
        );
    }
}
