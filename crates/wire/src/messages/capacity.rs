//! When what the city has is used up, and whether its lines carry what has to move.
//!
//! Nothing here is evidence: vaults say how full they are, agents say how much they sent.

use lumbung_model::vocabulary;
use lumbung_model::{Day, PdId, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What is used up.
    CapacityKind {
        /// Storage of a site's vault, bytes.
        Storage = "storage",
        /// Units of racks.
        RackUnits = "rack_units",
        /// Processors of a pool of VPS.
        VpsVcpu = "vps_vcpu",
        /// Memory of a pool of VPS, bytes.
        VpsMemory = "vps_memory",
        /// Disks of a pool of VPS, bytes.
        VpsDisk = "vps_disk",
    }
}

impl CapacityKind {
    /// Whether it is counted in bytes.
    #[must_use]
    pub const fn is_bytes(self) -> bool {
        matches!(self, Self::Storage | Self::VpsMemory | Self::VpsDisk)
    }
}

/// One month of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CapacityPoint {
    /// The day.
    pub day: Day,
    /// What is expected.
    pub expected: u64,
    /// In a tenth of the simulated futures it is less.
    pub low: u64,
    /// In a tenth of the simulated futures it is more.
    pub high: u64,
}

/// When the limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CapacityCrossing {
    /// The first day on which `high` is there.
    pub earliest: Day,
    /// The first day on which `expected` is there; absent if that is beyond the forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Day>,
    /// The first day on which `low` is there; absent if that is beyond the forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Day>,
}

/// One thing that is used up: what is known of it, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CapacityEntry {
    /// What it is.
    pub kind: CapacityKind,
    /// Of what: the id of a site, or of a pool.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{32}$"))]
    pub subject: String,
    /// What people call that.
    pub name: String,
    /// The newest day that was measured.
    pub measured: Day,
    /// What was used on that day.
    pub used: u64,
    /// What there is in all; absent where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Days that were measured, of the last three years.
    pub history_days: u32,
    /// Days that are still to be measured before anything is forecast; 0 if there is a forecast.
    pub missing_days: u32,
    /// One month after another, 24 of them; none without a forecast.
    pub months: Vec<CapacityPoint>,
    /// When the limit is reached; absent if not within 24 months, or without forecast or limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossing: Option<CapacityCrossing>,
    /// Whether that is near enough for an alarm.
    pub alarm: bool,
}

/// `GET /api/v1/capacity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CapacityReport {
    /// When it was made.
    pub at: Timestamp,
    /// So many months before the limit is reached there is an alarm.
    pub lead_months: u32,
    /// The legal instrument that sets that; empty: it is a proposal (*usulan*).
    pub instrument: String,
    /// Of a hundred forecasts, how many are meant to have the truth between `low` and `high`.
    pub interval_percent: u32,
    /// What is used up: storage first, each kind by name.
    pub entries: Vec<CapacityEntry>,
}

/// Bytes of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MovedDay {
    /// The day, by the receipts of the site.
    pub day: Day,
    /// The site that they came to.
    pub site: SiteId,
    /// Stored bytes that came, *menurut agen*.
    pub bytes: u64,
    /// Snapshots that came.
    pub snapshots: u64,
}

/// How what a line carries compares with what has to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LineFit {
    /// Bytes that the line carries on the weekday on which it carries least.
    pub day_bytes: u64,
    /// Bytes that it carries in a week.
    pub week_bytes: u64,
    /// The daily need in thousandths of `day_bytes`.
    pub use_permille: u64,
    /// Bytes that stay behind on that weekday; 0 if everything moves.
    pub missing_bytes: u64,
    /// Days that a first full copy takes over this line, with the line for itself; absent if it never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_copy_days: Option<u64>,
}

/// An element of `GET /api/v1/bandwidth`: the line of a PD, or of a site that copies from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BandwidthEntry {
    /// The PD; absent: it is a site's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The site; absent: it is a PD's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// Code of the PD, or name of the site.
    pub name: String,
    /// The line's speed; empty: nobody has entered it.
    pub link: String,
    /// The cap on it outside the windows; empty: none.
    pub rate: String,
    /// The windows of the cap.
    pub windows: Vec<String>,
    /// Stored bytes that have to move on a day: on four of five of the last 28 days it was no more. *Menurut agen.*
    pub daily_bytes: u64,
    /// Whether `daily_bytes` was not measured for long enough, and is a proposed share of what there is (*usulan*).
    pub is_assumed: bool,
    /// Bytes of a full copy of what is known: of datasets that were never backed up nobody knows it.
    pub full_copy_bytes: u64,
    /// Datasets whose size nobody knows yet.
    pub unknown_datasets: u64,
    /// How that compares with what the line carries; absent where its speed is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<LineFit>,
    /// The last 31 days, newest first; days without any are left out.
    pub days: Vec<MovedDay>,
}
