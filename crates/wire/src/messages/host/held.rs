//! What the controller makes of what agents see: differences, history, and what was accepted.
//!
//! Invariant: nothing here is evidence; a difference says from what, so that a reader sees whose word stands against whose.

use lumbung_model::vocabulary;
use lumbung_model::{AgentId, ServerId, Timestamp};
use serde::{Deserialize, Serialize};

use super::HostInventory;

vocabulary! {
    /// In what a host differs.
    HostAspect {
        /// Physical or virtual.
        Platform = "platform",
        /// Who made it, and its model.
        Model = "model",
        /// Its serial number.
        Serial = "serial",
        /// Its board.
        Board = "board",
        /// Its firmware.
        Firmware = "firmware",
        /// Its processors.
        Processors = "processors",
        /// Its memory.
        Memory = "memory",
        /// A disk.
        Disk = "disk",
        /// What a disk says of its health.
        Smart = "smart",
        /// An address.
        Address = "address",
        /// A network interface.
        Interface = "interface",
        /// Operating system, kernel or time zone.
        System = "system",
    }
}

vocabulary! {
    /// What a host differs from.
    HostExpectation {
        /// What the register says.
        Register = "register",
        /// What was accepted.
        Accepted = "accepted",
        /// What was seen before.
        Before = "before",
    }
}

/// In what a host differs from what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostDifference {
    /// In what.
    pub aspect: HostAspect,
    /// From what.
    pub from: HostExpectation,
    /// Which of several: a disk's serial number, an interface; empty where there is one.
    #[serde(default)]
    pub of: String,
    /// What is expected; empty: nothing of the kind.
    #[serde(default)]
    pub expected: String,
    /// What is there; empty: nothing of the kind.
    #[serde(default)]
    pub found: String,
}

/// How a host changed at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostChange {
    /// Counts the states of this server's host, from 1.
    pub revision: u64,
    /// When the controller learned of it.
    pub at: Timestamp,
    /// In what it changed.
    pub differences: Vec<HostDifference>,
}

/// `GET /api/v1/servers/{id}/inventory`: what the server's agent sees of its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerInventory {
    /// The server.
    pub server: ServerId,
    /// The agent that says so.
    pub agent: AgentId,
    /// When it said so last.
    pub received: Timestamp,
    /// Counts the states of this server's host, from 1.
    pub revision: u64,
    /// What it sees.
    pub inventory: HostInventory,
    /// Which state was accepted.
    pub accepted_revision: u64,
    /// When.
    pub accepted_at: Timestamp,
    /// By whom; the first state is accepted by itself.
    pub accepted_by: String,
    /// In what it differs from the register, and from what was accepted.
    pub differences: Vec<HostDifference>,
    /// What is wrong with disks, for people.
    pub smart: Vec<String>,
    /// The newest changes, newest first; at most 50.
    pub changes: Vec<HostChange>,
}

/// `POST /api/v1/servers/{id}/inventory/accept`: that a server's host is meant to be as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InventoryAcceptance {
    /// The state that is accepted: the newest, as whoever accepts has seen it.
    pub revision: u64,
    /// Why it is another one than before.
    pub reason: String,
}
