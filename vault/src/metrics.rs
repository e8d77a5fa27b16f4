//! The vault's figures for Prometheus: what it keeps, how far scrub and pull are, what is wrong.
//!
//! Invariants: figures are read from the index and from what is counted while the vault runs; no object is read for
//! them. They are by repository, source, PD, kind and status: their number does not grow with what is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::Response;
use lumbung_model::{SiteId, Timestamp};
use lumbung_store::StoreError;
use lumbung_wire::certs;
use lumbung_wire::metrics::{CERTIFICATE_EXPIRY, Figures, Metric, MetricsError};

use crate::index::{Kept, alarm_figures, pulled_until, receipts, repository_status};
use crate::state::State;
use crate::status::RepositoryStatus;
use crate::{Vault, VaultError};

const REPOSITORIES: Metric =
    Metric::gauge("lumbung_vault_repositories", &[], "Repositories at this site.");
const SNAPSHOTS: Metric = Metric::gauge(
    "lumbung_vault_repository_snapshots",
    &["repository"],
    "Snapshots of the repository that have this site's receipt.",
);
const PACKS: Metric =
    Metric::gauge("lumbung_vault_repository_packs", &["repository"], "Packs of the repository.");
const BYTES: Metric = Metric::gauge(
    "lumbung_vault_repository_bytes",
    &["repository"],
    "Bytes that the repository keeps here, as its quota counts them.",
);
const QUOTA: Metric = Metric::gauge(
    "lumbung_vault_repository_quota_bytes",
    &["repository"],
    "Bytes that the repository may keep here; none without a quota.",
);
const RECEIVED: Metric = Metric::gauge(
    "lumbung_vault_repository_received_timestamp_seconds",
    &["repository"],
    "When the repository's last snapshot came.",
);
const INVENTORY: Metric = Metric::gauge(
    "lumbung_vault_repository_inventory_timestamp_seconds",
    &["repository"],
    "When the repository's last inventory was signed.",
);
const SCRUBBED: Metric = Metric::gauge(
    "lumbung_vault_repository_scrub_timestamp_seconds",
    &["repository"],
    "When the repository's last scrub was finished.",
);
const PROGRESS: Metric = Metric::gauge(
    "lumbung_vault_repository_scrub_progress_ratio",
    &["repository"],
    "How far the scrub is that is under way, 0 to 1; none where none is.",
);
const BAD_FRAMES: Metric = Metric::gauge(
    "lumbung_vault_repository_bad_frames",
    &["repository"],
    "Frames that a scrub found damaged and no other site could repair.",
);
const FREE: Metric = Metric::gauge(
    "lumbung_vault_free_bytes",
    &[],
    "Bytes free on the file system of `data` (over S3: of index and journals only).",
);
const SIZE: Metric =
    Metric::gauge("lumbung_vault_size_bytes", &[], "Bytes of the file system of `data`.");
const RESERVE: Metric = Metric::gauge(
    "lumbung_vault_reserve_bytes",
    &[],
    "Bytes that stay free: below that, writes are refused.",
);
const RECEIPTS: Metric =
    Metric::counter("lumbung_vault_receipts_total", &[], "Receipts that this site ever gave.");
const REQUESTS: Metric = Metric::counter(
    "lumbung_vault_requests_total",
    &["code"],
    "Requests since the start, by HTTP status.",
);
const ALARMS: Metric =
    Metric::gauge("lumbung_vault_alarms", &["kind"], "Alarms that this vault keeps, by kind.");
const ALARM_NEWEST: Metric = Metric::gauge(
    "lumbung_vault_alarm_newest_timestamp_seconds",
    &["kind"],
    "When the newest alarm of the kind was raised.",
);
const PULL_COMPLETE: Metric = Metric::gauge(
    "lumbung_vault_pull_complete_timestamp_seconds",
    &["site"],
    "When the last pull from the site began that left nothing out; before the first one, when this vault started.",
);
const PULL_NEWEST: Metric = Metric::gauge(
    "lumbung_vault_pull_newest_timestamp_seconds",
    &["site"],
    "When the newest snapshot that the pull from the site has come to had its receipt here.",
);
const PULLED: Metric = Metric::counter(
    "lumbung_vault_pulled_bytes_total",
    &["site"],
    "Stored bytes pulled from the site since the start.",
);

const SENT: Metric = Metric::counter(
    "lumbung_vault_pd_sent_bytes_total",
    &["pd"],
    "Bytes that the PD's agents sent here since the start, headers left out.",
);
const SLOWED: Metric = Metric::counter(
    "lumbung_vault_pd_throttled_seconds_total",
    &["pd"],
    "How long their requests waited for the PD's cap since the start, all of them added up.",
);
const PD_CAP: Metric = Metric::gauge(
    "lumbung_vault_pd_cap_bytes_per_second",
    &["pd"],
    "The PD's cap now; none without one.",
);
const PULL_CAP: Metric = Metric::gauge(
    "lumbung_vault_pull_cap_bytes_per_second",
    &[],
    "The register's cap of what this site pulls, now; none without one.",
);
const CAPS: Metric = Metric::gauge(
    "lumbung_vault_caps_version",
    &[],
    "Number of the register's list of caps that is in force; 0 before the first.",
);

/// All of them, in the order of the page.
const ALL: [Metric; 26] = [
    REPOSITORIES,
    SNAPSHOTS,
    PACKS,
    BYTES,
    QUOTA,
    RECEIVED,
    INVENTORY,
    SCRUBBED,
    PROGRESS,
    BAD_FRAMES,
    FREE,
    SIZE,
    RESERVE,
    RECEIPTS,
    REQUESTS,
    ALARMS,
    ALARM_NEWEST,
    PULL_COMPLETE,
    PULL_NEWEST,
    PULLED,
    SENT,
    SLOWED,
    PD_CAP,
    PULL_CAP,
    CAPS,
    CERTIFICATE_EXPIRY,
];

/// What a vault counts while it runs.
#[derive(Debug)]
pub(crate) struct Counts {
    started: Timestamp,
    requests: Mutex<BTreeMap<u16, u64>>,
    pulls: Mutex<BTreeMap<SiteId, Pull>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pull {
    bytes: u64,
    complete: Option<Timestamp>,
}

impl Counts {
    pub(crate) fn new(started: Timestamp) -> Self {
        Self { started, requests: Mutex::default(), pulls: Mutex::default() }
    }

    fn pulls(&self) -> MutexGuard<'_, BTreeMap<SiteId, Pull>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came from a source.
    pub(crate) fn pulled(&self, source: SiteId, bytes: u64) {
        self.pulls().entry(source).or_default().bytes += bytes;
    }

    /// Everything that the source had when the pull began is here.
    pub(crate) fn pull_complete(&self, source: SiteId, begun: Timestamp) {
        self.pulls().entry(source).or_default().complete = Some(begun);
    }
}

/// Counts an answer of the API by its status.
pub(crate) async fn count_answer(
    Shared(vault): Shared<Arc<Vault>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    *vault.counts.requests().entry(response.status().as_u16()).or_default() += 1;
    response
}

/// Gathers the vault's figures. Blocks.
///
/// # Errors
/// If the index does not answer, or the certificate cannot be read.
pub fn gather(vault: &Vault, state: &State) -> Result<Figures, MetricsError> {
    let mut figures = Figures::new(&ALL);
    kept(&mut figures, vault).map_err(MetricsError::gathering)?;
    space(&mut figures, vault).map_err(MetricsError::gathering)?;
    counted(&mut figures, vault);
    bandwidth(&mut figures, vault);
    let certificate = state.certificate().map_err(MetricsError::gathering)?;
    let until = certs::facts(&certificate).map_err(MetricsError::gathering)?.not_after;
    figures.time(&CERTIFICATE_EXPIRY, &["own"], Some(until));
    Ok(figures)
}

/// What the index says, all of it of one state.
fn kept(figures: &mut Figures, vault: &Vault) -> Result<(), VaultError> {
    let repositories = vault.repositories();
    figures.count(&REPOSITORIES, &[], repositories.len() as u64);
    let index = vault.index.snapshot()?;
    for repository in repositories {
        let row = repository.row;
        let (status, kept) =
            index.read(|c| Ok((repository_status(c, row)?, Kept::in_repository(c, row)?)))?;
        let id = repository.id.to_string();
        let progress = crate::scrub::progress(&vault.config.data, &repository.id);
        let status = RepositoryStatus { scrubbing: progress, ..status };
        repository_figures(figures, &id, &status);
        figures.count(&BYTES, &[&id], kept.bytes());
        if let Some(quota) = vault.config.quota_of(&repository.id) {
            figures.count(&QUOTA, &[&id], quota);
        }
    }
    figures.count(&RECEIPTS, &[], index.read(receipts)?);
    for (kind, alarms, newest) in index.read(alarm_figures)? {
        figures.count(&ALARMS, &[&kind], alarms);
        figures.time(&ALARM_NEWEST, &[&kind], Some(newest));
    }
    for (source, newest) in index.read(pulled_until)? {
        figures.time(&PULL_NEWEST, &[&source.to_string()], Some(newest));
    }
    Ok(())
}

fn repository_figures(figures: &mut Figures, id: &str, status: &RepositoryStatus) {
    figures.count(&SNAPSHOTS, &[id], status.snapshots);
    figures.count(&PACKS, &[id], status.packs);
    figures.count(&BAD_FRAMES, &[id], status.bad_frames);
    figures.time(&RECEIVED, &[id], status.last_received);
    figures.time(&INVENTORY, &[id], status.inventory.map(|(_, made)| made));
    figures.time(&SCRUBBED, &[id], status.scrub.map(|(_, made)| made));
    if let Some(progress) = status.scrubbing {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = progress.packs as f64 / progress.of_packs.max(1) as f64;
        figures.set(&PROGRESS, &[id], ratio.min(1.0));
    }
}

/// The file system of `data`.
pub(crate) struct FileSystem {
    pub(crate) free_bytes: u64,
    pub(crate) size_bytes: u64,
}

/// Asks for it.
pub(crate) fn file_system(vault: &Vault) -> Result<FileSystem, VaultError> {
    let data: &Path = &vault.config.data;
    let stat = rustix::fs::statvfs(data).map_err(|error| StoreError::Io {
        action: "read",
        path: data.to_owned(),
        source: error.into(),
    })?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    Ok(FileSystem { free_bytes, size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize) })
}

fn space(figures: &mut Figures, vault: &Vault) -> Result<(), VaultError> {
    let found = file_system(vault)?;
    figures.count(&FREE, &[], found.free_bytes);
    figures.count(&SIZE, &[], found.size_bytes);
    figures.count(&RESERVE, &[], vault.config.reserve.as_u64());
    Ok(())
}

fn bandwidth(figures: &mut Figures, vault: &Vault) {
    for line in vault.bandwidth.figures() {
        let pd = line.code.as_str();
        figures.count(&SENT, &[pd], line.sent_bytes);
        figures.set(&SLOWED, &[pd], line.slowed_s);
        if let Some(rate) = line.rate {
            figures.count(&PD_CAP, &[pd], rate.as_bytes_per_second());
        }
    }
    if let Some(rate) = vault.bandwidth.pull_rate() {
        figures.count(&PULL_CAP, &[], rate.as_bytes_per_second());
    }
    figures.count(&CAPS, &[], vault.bandwidth.caps().version);
}

fn counted(figures: &mut Figures, vault: &Vault) {
    for (code, requests) in &*vault.counts.requests() {
        figures.count(&REQUESTS, &[&code.to_string()], *requests);
    }
    let pulls = vault.counts.pulls();
    for source in &vault.config.sources {
        let pull = pulls.get(&source.site).copied().unwrap_or_default();
        let site = source.site.to_string();
        let complete = pull.complete.unwrap_or(vault.counts.started);
        figures.time(&PULL_COMPLETE, &[&site], Some(complete));
        figures.count(&PULLED, &[&site], pull.bytes);
    }
}
