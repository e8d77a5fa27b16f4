//! What the programs say to each other: the JSON bodies of the vault's and the controller's HTTP API.
//!
//! Requests refuse unknown fields, so that a misspelt one is an error and not a silence; answers
//! ignore them, so that an older client understands a newer server. Ids are lower-case hex, times
//! are seconds since 1970 UTC, units stand in the names. Nothing here decides anything.

pub mod alerts;
pub mod anomaly;
pub mod approvals;
pub mod capacity;
pub mod caps;
pub mod compliance;
pub mod consents;
pub mod control;
pub mod deposits;
pub mod drills;
pub mod host;
pub mod keys;
mod object;
pub mod overview;
pub mod people;
pub mod policy;
pub mod register;
pub mod succession;
pub mod uptime;
pub mod vault;

pub use control::{
    DiskHealth, EnrollRequest, EnrollResponse, HeartbeatRequest, HeartbeatResponse, HostHealth,
    JobPhase, JobState, Outcome, RenewRequest, RenewResponse, Report, ReportId, ReportKind,
    ReportsAck, RunCause, SiteEntry,
};
pub use lumbung_model::UnknownWord;
pub use lumbung_pack::{Missing, PackUse, Statistics};
pub use register::SiteKind;
pub use vault::{
    HAVE_MAX_PACKS, HaveAnswer, HaveRequest, HoldAnswer, HoldRequest, IdList, MANIFESTS_PAGE_MAX,
    ManifestSummary, SiteInfo, VAULT_JSON_MAX_BYTES, VaultAlarm, VaultAlarms, VaultCapacity,
};
