//! How full the site is, for whoever plans when it must grow: the site's word, no evidence.
//!
//! Invariants: read from the index and the file system, no object is read; what is kept and what may be kept are counted the
//! same way, as quotas count, so that the one reaches the other when writes are refused.

use lumbung_model::ByteSize;
use lumbung_wire::messages::VaultCapacity;

use crate::index::Kept;
use crate::metrics;
use crate::storage::StorageKind;
use crate::{Vault, VaultError};

/// What the repositories keep, and what they may. Blocks.
///
/// # Errors
/// If index or file system do not answer.
pub(crate) fn of(vault: &Vault) -> Result<VaultCapacity, VaultError> {
    let index = vault.index.snapshot()?;
    let (mut used_bytes, mut quota_bytes) = (0_u64, Some(0_u64));
    for repository in vault.repositories() {
        let row = repository.row;
        let kept = index.read(|c| Kept::in_repository(c, row))?;
        used_bytes = used_bytes.saturating_add(kept.bytes());
        let quota = vault.config.quota_of(&repository.id);
        quota_bytes = quota_bytes.zip(quota).map(|(sum, quota)| sum.saturating_add(quota));
    }
    let free_bytes = match vault.config.storage.kind {
        StorageKind::Directory => {
            let free = metrics::file_system(vault)?.free_bytes;
            Some(free.saturating_sub(vault.config.reserve.as_u64()))
        }
        StorageKind::S3 => None,
    };
    let configured = vault.config.capacity.map(ByteSize::as_u64);
    let limit_bytes = limit(used_bytes, free_bytes, configured);
    Ok(VaultCapacity { used_bytes, limit_bytes, free_bytes, quota_bytes })
}

/// What there is room for, or less if the configuration says so.
fn limit(used: u64, free: Option<u64>, configured: Option<u64>) -> Option<u64> {
    let there = free.map(|free| used.saturating_add(free));
    [there, configured].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::limit;

    #[test]
    fn the_lower_of_disk_and_configuration_is_the_limit() {
        assert_eq!(limit(10, Some(5), None), Some(15));
        assert_eq!(limit(10, Some(5), Some(12)), Some(12));
        assert_eq!(limit(10, None, Some(12)), Some(12));
        assert_eq!(limit(10, Some(u64::MAX), Some(50)), Some(50));
        assert_eq!(limit(10, None, None), None);
    }
}
