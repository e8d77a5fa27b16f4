//! Pools that virtual machines draw on.

/// A part of a pool, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Disk, bytes.
    pub disk_bytes: u64,
}

/// Virtual processors that a pool gives out: more than it has, where it is overcommitted (400 is 4 for 1).
#[must_use]
pub fn usable_vcpus(processors: u32, overcommit_percent: u32) -> u64 {
    u64::from(processors) * u64::from(overcommit_percent) / 100
}

/// Why a pool has not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it has {} vCPU, {} of memory and {} of disk left, and {} vCPU, {} of memory and {} of disk are asked for",
    left.vcpus, exact(left.memory_bytes), exact(left.disk_bytes),
    asked.vcpus, exact(asked.memory_bytes), exact(asked.disk_bytes)
)]
pub struct Shortfall {
    /// What it has left.
    pub left: Share,
    /// What is asked for.
    pub asked: Share,
}

impl Share {
    /// Both together; what cannot be counted is as good as infinite.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }

    /// What is left of it once `used` is taken out; nothing, where that is more.
    #[must_use]
    pub const fn without(self, used: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_sub(used.vcpus),
            memory_bytes: self.memory_bytes.saturating_sub(used.memory_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(used.disk_bytes),
        }
    }

    /// Whether a pool of this holds what is asked for, beside what is used.
    ///
    /// # Errors
    /// What it has left.
    pub const fn holds(self, used: Self, asked: Self) -> Result<(), Shortfall> {
        let left = self.without(used);
        let fits = asked.vcpus <= left.vcpus
            && asked.memory_bytes <= left.memory_bytes
            && asked.disk_bytes <= left.disk_bytes;
        if fits { Ok(()) } else { Err(Shortfall { left, asked }) }
    }
}

/// Bytes without rounding: what is left and what is asked for may differ by little.
fn exact(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB")] {
        if bytes > 0 && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    format!("{bytes} B")
}
