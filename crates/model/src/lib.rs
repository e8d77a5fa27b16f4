//! What every part of Lumbung agrees on: ids, time, sizes, secrets, schedules, compliance, drills.
//!
//! Pure: nothing here reads a file, opens a socket or asks the operating system anything, save
//! [`SystemClock`] (the one place that reads the clock) and random ids. Every other decision is a
//! function of its inputs, `now` among them.

pub mod anomaly;
mod causes;
pub mod clock;
pub mod colocation;
pub mod compliance;
pub mod day;
pub mod drill;
pub mod forecast;
pub mod geo;
pub mod id;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod rate;
pub mod retention;
pub mod schedule;
pub mod secret;
pub mod size;
pub mod steady;
mod target;
pub mod toml_text;
pub mod transfer;
pub mod uptime;
mod vocabulary;

pub use causes::with_causes;
pub use clock::{Clock, FixedClock, SystemClock, Timestamp};
pub use day::{Day, DayError};
pub use id::{
    AgentId, AlertId, AnomalyId, ApiTokenId, ApplicationId, ApprovalId, AuditHash, BuildingId,
    CareId, CheckId, ChunkId, ConsentId, ContactPersonId, DatasetId, DeliveryId, DepositId,
    DeviceId, DocumentHash, DomainId, DrillPlanId, DrillRunId, FeedId, FrameHash, GrantId,
    HandoverId, HoldId, IdError, IncidentId, InstanceId, InventoryId, MaintenanceId, ManifestId,
    MediumId, MediumListId, OnCallId, OpeningId, OrderId, PackId, PdId, PolicyHash, PoolId,
    ProofId, PublicKey, RackId, ReceiptId, ReminderId, RepositoryId, ReservationId, RevocationId,
    RoomId, RosterId, ScrubId, SegmentId, ServerId, ServiceId, SessionId, ShareSetId, SiteId,
    StandingApprovalId, StatementHash, TlsPin, TombstoneId, UsageId, UserId, WaiverId, WrapId,
};
pub use secret::Secret;
pub use size::ByteSize;
pub use steady::Steady;
pub use target::{Target, TargetError};
pub use vocabulary::UnknownWord;
