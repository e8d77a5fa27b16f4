//! Where the chain of manifests of one dataset stands, and the commit that may have happened.
//!
//! The order of a commit is: `pending` durable → commit → `chain` durable → `pending` removed. So a run
//! that died in between knows which manifest to ask for.

use std::path::{Path, PathBuf};

use lumbung_model::{ManifestId, RepositoryId};
use serde::{Deserialize, Serialize};

use super::{StateError, read_optional, remove, write_durably};

/// The last manifest of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainState {
    pub(crate) repository: RepositoryId,
    pub(crate) epoch: u32,
    pub(crate) sequence: u64,
    pub(crate) manifest: ManifestId,
}

impl ChainState {
    fn path(dataset: &Path) -> PathBuf {
        dataset.join("chain")
    }

    /// Reads it; none if the agent has no state.
    pub(crate) fn load(
        dataset: &Path,
        repository: RepositoryId,
    ) -> Result<Option<Self>, StateError> {
        let path = Self::path(dataset);
        let Some(bytes) = read_optional(&path)? else { return Ok(None) };
        let state: Self = serde_json::from_slice(&bytes)
            .map_err(|e| StateError::Damaged { path: path.clone(), reason: e.to_string() })?;
        if state.repository != repository {
            let reason = format!("it belongs to repository {}", state.repository);
            return Err(StateError::Damaged { path, reason });
        }
        Ok(Some(state))
    }

    /// Makes it durable.
    pub(crate) fn store(&self, dataset: &Path) -> Result<(), StateError> {
        let path = Self::path(dataset);
        let bytes = serde_json::to_vec(self)
            .map_err(|e| StateError::Damaged { path: path.clone(), reason: e.to_string() })?;
        write_durably(&path, &bytes)
    }
}

/// A manifest whose commit has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The manifest's bytes.
    pub(crate) manifest: Vec<u8>,
    /// The depot that it was offered to.
    pub(crate) depot: String,
}

impl Pending {
    fn path(dataset: &Path) -> PathBuf {
        dataset.join("pending")
    }

    /// Reads it, if a commit was under way. Damage means that it was never offered.
    pub(crate) fn load(dataset: &Path) -> Result<Option<Self>, StateError> {
        let Some(bytes) = read_optional(&Self::path(dataset))? else { return Ok(None) };
        let length =
            bytes.first_chunk::<4>().map_or(usize::MAX, |n| u32::from_le_bytes(*n) as usize);
        let Some((depot, manifest)) = bytes.get(4..).and_then(|rest| rest.split_at_checked(length))
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            manifest: manifest.to_vec(),
            depot: String::from_utf8_lossy(depot).into_owned(),
        }))
    }

    /// Makes it durable: the commit may begin.
    pub(crate) fn store(&self, dataset: &Path) -> Result<(), StateError> {
        let length = u32::try_from(self.depot.len()).unwrap_or(0);
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.depot.as_bytes()[..length as usize]);
        bytes.extend_from_slice(&self.manifest);
        write_durably(&Self::path(dataset), &bytes)
    }

    /// The commit is over, one way or the other.
    pub(crate) fn remove(dataset: &Path) -> Result<(), StateError> {
        remove(&Self::path(dataset))
    }
}
