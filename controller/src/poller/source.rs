//! What the poller reads from: a vault, or in tests an attacker.

use lumbung_model::RepositoryId;
use lumbung_pack::Kind;
use lumbung_wire::client::{ClientError, VaultClient};
use lumbung_wire::messages::{ManifestSummary, SiteInfo, VaultAlarm, VaultCapacity};

/// Why a vault did not answer: in words, for the table of sites.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What happened and what to do next.
    pub message: String,
    /// Whether it is only this object that is not there.
    pub not_found: bool,
}

impl From<ClientError> for SourceError {
    fn from(error: ClientError) -> Self {
        Self { message: lumbung_model::with_causes(&error), not_found: error.is_not_found() }
    }
}

/// Where evidence is read. Everything that comes from it is hostile until checked.
pub trait Source: Send + Sync {
    /// Who it says it is.
    fn site_info(&self) -> impl Future<Output = Result<SiteInfo, SourceError>> + Send;
    /// The repositories that it has.
    fn repositories(&self) -> impl Future<Output = Result<Vec<RepositoryId>, SourceError>> + Send;
    /// What it says is wrong: its word, no evidence.
    fn alarms(&self) -> impl Future<Output = Result<Vec<VaultAlarm>, SourceError>> + Send;
    /// How full it says it is: its word, no evidence.
    fn capacity(&self) -> impl Future<Output = Result<VaultCapacity, SourceError>> + Send;
    /// The ids of a kind.
    fn list(
        &self,
        repository: &RepositoryId,
        kind: Kind,
    ) -> impl Future<Output = Result<Vec<[u8; 32]>, SourceError>> + Send;
    /// One object.
    fn get(
        &self,
        repository: &RepositoryId,
        kind: Kind,
        id: &[u8; 32],
    ) -> impl Future<Output = Result<Vec<u8>, SourceError>> + Send;
    /// Manifests after an arrival, in order of arrival.
    fn manifests(
        &self,
        repository: &RepositoryId,
        after: u64,
    ) -> impl Future<Output = Result<Vec<ManifestSummary>, SourceError>> + Send;
}

/// Manifests that are asked for at once.
const PAGE: usize = 500;

impl Source for VaultClient {
    async fn site_info(&self) -> Result<SiteInfo, SourceError> {
        Ok(Self::site_info(self).await?)
    }

    async fn repositories(&self) -> Result<Vec<RepositoryId>, SourceError> {
        Ok(Self::repositories(self).await?)
    }

    async fn alarms(&self) -> Result<Vec<VaultAlarm>, SourceError> {
        Ok(Self::alarms(self).await?.alarms)
    }

    async fn capacity(&self) -> Result<VaultCapacity, SourceError> {
        Ok(Self::capacity(self).await?)
    }

    async fn list(
        &self,
        repository: &RepositoryId,
        kind: Kind,
    ) -> Result<Vec<[u8; 32]>, SourceError> {
        Ok(Self::list(self, repository, kind).await?)
    }

    async fn get(
        &self,
        repository: &RepositoryId,
        kind: Kind,
        id: &[u8; 32],
    ) -> Result<Vec<u8>, SourceError> {
        Ok(Self::get(self, repository, kind, id).await?.to_vec())
    }

    async fn manifests(
        &self,
        repository: &RepositoryId,
        after: u64,
    ) -> Result<Vec<ManifestSummary>, SourceError> {
        Ok(Self::manifests(self, repository, after, PAGE).await?)
    }
}
