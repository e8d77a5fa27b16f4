//! What `lumbung-vault status` shows: read from the index, beside a running vault or without one.

use std::collections::BTreeMap;
use std::path::Path;

use lumbung_model::{RepositoryId, Timestamp};
use serde::Serialize;

use crate::index::{AlarmRow, Index, repositories, repository_status};
use crate::state::{SitePublic, State};
use crate::{Config, VaultError};

/// Alarms that are shown.
const ALARMS: u32 = 50;

/// One repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryStatus {
    /// Snapshots with a receipt of this site.
    pub snapshots: u64,
    /// Packs.
    pub packs: u64,
    /// Bytes of packs.
    pub pack_bytes: u64,
    /// Frames known to be bad.
    pub bad_frames: u64,
    /// When the last snapshot came.
    pub last_received: Option<Timestamp>,
    /// Number and time of the last inventory.
    pub inventory: Option<(u64, Timestamp)>,
    /// Number and time of the last scrub.
    pub scrub: Option<(u64, Timestamp)>,
    /// The scrub under way, or that was stopped and goes on.
    pub scrubbing: Option<crate::scrub::Progress>,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlarmStatus {
    /// When it was seen first.
    pub at: Timestamp,
    /// Where.
    pub repository: Option<RepositoryId>,
    /// What.
    pub kind: String,
    /// The rest.
    pub detail: String,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Who this site is; none before `init`.
    pub site: Option<SitePublic>,
    /// Where it listens.
    pub listen: String,
    /// Whether it runs now.
    pub running: bool,
    /// Bytes free on the file system.
    pub free_bytes: u64,
    /// Its repositories.
    pub repositories: BTreeMap<String, RepositoryStatus>,
    /// The newest alarms.
    pub alarms: Vec<AlarmStatus>,
}

/// Reads the status.
///
/// # Errors
/// If the index does not answer.
pub fn status(config: &Config) -> Result<Status, VaultError> {
    let mut status = Status {
        site: State::at(config.state()).public().ok(),
        listen: config.listen.to_string(),
        running: crate::console::is_running(&State::at(config.state())),
        free_bytes: free_bytes(&config.data),
        repositories: BTreeMap::new(),
        alarms: Vec::new(),
    };
    let Some(index) = Index::look(&config.data.join(crate::vault::INDEX))? else {
        return Ok(status);
    };
    let (rows, alarms) = index.read(|c| {
        let mut rows = Vec::new();
        for (row, id) in repositories(c)? {
            let mut status = repository_status(c, row)?;
            status.scrubbing = crate::scrub::progress(&config.data, &id);
            rows.push((id, status));
        }
        Ok((rows, AlarmRow::newest(c, ALARMS)?))
    })?;
    status.repositories = rows.into_iter().map(|(id, row)| (id.to_string(), row)).collect();
    status.alarms = alarms
        .into_iter()
        .map(|row| AlarmStatus {
            at: row.at,
            repository: row.repository,
            kind: row.kind,
            detail: row.detail,
        })
        .collect();
    Ok(status)
}

fn free_bytes(data: &Path) -> u64 {
    rustix::fs::statvfs(data).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}
