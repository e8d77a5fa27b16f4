//! Pools of processors, memory and disk, and what virtual machines have of them (O16 of the regulation map).

use lumbung_model::colocation::{Share, usable_vcpus};
use lumbung_model::{PoolId, SiteId};
use serde::{Deserialize, Serialize};

/// No more virtual processors than there are processors, percent.
const fn as_many() -> u32 {
    100
}

/// A pool of processors, memory and disk that virtual machines draw on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pool {
    /// Its id.
    pub id: PoolId,
    /// The site it is at.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// Processors that it has.
    pub vcpus: u32,
    /// Virtual processors for a hundred that it has: 100 gives out no more than there are, 400 four for one.
    #[serde(default = "as_many")]
    pub overcommit_percent: u32,
    /// Memory that it has, bytes.
    pub memory_bytes: u64,
    /// Disk that it has, bytes.
    pub disk_bytes: u64,
}

/// A pool of processors, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<PoolId>,
    /// The site it is at.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// Processors that it has.
    pub vcpus: u32,
    /// Virtual processors for a hundred that it has: 100 gives out no more than there are, 400 four for one.
    #[serde(default = "as_many")]
    pub overcommit_percent: u32,
    /// Memory that it has, bytes.
    pub memory_bytes: u64,
    /// Disk that it has, bytes.
    pub disk_bytes: u64,
}

impl Pool {
    /// What it gives out in all.
    #[must_use]
    pub fn capacity(&self) -> Share {
        Share {
            vcpus: usable_vcpus(self.vcpus, self.overcommit_percent),
            memory_bytes: self.memory_bytes,
            disk_bytes: self.disk_bytes,
        }
    }
}

/// A pool with what is drawn from it: the rows of `GET /api/v1/pools`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolStatus {
    /// Its id.
    pub id: PoolId,
    /// The site it is at.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// Virtual processors that it gives out in all, overcommitment counted.
    pub usable_vcpus: u64,
    /// Virtual processors that servers have of them.
    pub used_vcpus: u64,
    /// Virtual processors that are left.
    pub free_vcpus: u64,
    /// Memory that it has, bytes.
    pub memory_bytes: u64,
    /// Memory that servers have of it, bytes.
    pub used_memory_bytes: u64,
    /// Memory that is left, bytes.
    pub free_memory_bytes: u64,
    /// Disk that it has, bytes.
    pub disk_bytes: u64,
    /// Disk that servers have of it, bytes.
    pub used_disk_bytes: u64,
    /// Disk that is left, bytes.
    pub free_disk_bytes: u64,
    /// Servers that draw on it.
    pub servers: u64,
}

impl PoolStatus {
    /// Of a pool from which so many servers draw so much.
    #[must_use]
    pub fn new(pool: Pool, (servers, used): (u64, Share)) -> Self {
        let capacity = pool.capacity();
        let free = capacity.without(used);
        Self {
            id: pool.id,
            site: pool.site,
            name: pool.name,
            usable_vcpus: capacity.vcpus,
            used_vcpus: used.vcpus,
            free_vcpus: free.vcpus,
            memory_bytes: capacity.memory_bytes,
            used_memory_bytes: used.memory_bytes,
            free_memory_bytes: free.memory_bytes,
            disk_bytes: capacity.disk_bytes,
            used_disk_bytes: used.disk_bytes,
            free_disk_bytes: free.disk_bytes,
            servers,
        }
    }
}
