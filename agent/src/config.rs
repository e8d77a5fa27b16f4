//! The agent's own file: what to back up, when, to which sites, how fast.
//!
//! Invariants: an unknown key is an error, never ignored, and the message has its line and the nearest
//! key that exists; a [`Config`] was checked as a whole. Nothing secret stands in this file. What it
//! says of a dataset stands alone; the register's policy is followed, if at all, for datasets that it does not name.

mod error;
mod source;
mod values;

pub use error::ConfigError;
pub use values::{AbsolutePath, SiteUrl, Zone};

use std::path::{Path, PathBuf};

use lumbung_database::Hook;
use lumbung_database::mariadb::MariadbSettings;
use lumbung_database::postgresql::PostgresqlSettings;
use lumbung_database::sqlite::SqliteSettings;
use lumbung_database::{CommandSettings, Settings};
use lumbung_engine::Excludes;
use lumbung_model::rate::{Cap, RateCaps, RatePlan, Window};
use lumbung_model::schedule::{Backoff, Expression, Period, Schedule};
use lumbung_model::{DatasetId, TlsPin};
use lumbung_wire::metrics;
use serde::Deserialize;
use toml::Spanned;

use crate::inventory;

/// Where the file is if nobody says otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/lumbung/agent.toml";
/// Where state is kept if nobody says otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/lumbung-agent";
/// A configuration file is small; anything larger is not one.
const MAX_BYTES: u64 = 4 << 20;

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of keys, certificate, journal and spool.
    pub state: PathBuf,
    /// The controller's address; what enrolment stored, if absent.
    pub controller: Option<SiteUrl>,
    /// The name that snapshots carry; the host's own if absent.
    pub hostname: Option<String>,
    /// Time between two heartbeats.
    pub heartbeat_interval: Period,
    /// Whether a report names the folders in which most changed.
    pub report_folders: bool,
    /// The zone in which times are shown.
    pub zone: chrono_tz::Tz,
    /// Rate caps by time of day.
    pub rates: RateCaps,
    /// Sites in the order in which they are tried; the register's, if empty.
    pub sites: Vec<Site>,
    /// What the controller is told of this host.
    pub inventory: inventory::Settings,
    /// Whether the register's policy is followed for datasets that this file does not name.
    pub follow_policy: bool,
    /// What is backed up.
    pub jobs: Vec<Job>,
    /// Where figures for Prometheus are shown; nowhere if absent.
    pub metrics: Option<metrics::Settings>,
}

/// A site to write to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// What people call it.
    pub name: String,
    /// Where its vault answers.
    pub url: SiteUrl,
    /// The pin of its TLS key; the roster's, if absent.
    pub pin: Option<TlsPin>,
}

/// One dataset, and when it is backed up.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name in this file.
    pub name: String,
    /// The dataset in the register.
    pub dataset: DatasetId,
    /// What people call the dataset.
    pub label: String,
    /// Files and directories that are backed up; none, if `stream` says what is.
    pub paths: Vec<PathBuf>,
    /// What is streamed instead.
    pub stream: Option<Settings>,
    /// What runs before; if it fails, there is no backup.
    pub before: Option<Hook>,
    /// What runs afterwards, however the backup went.
    pub after: Option<Hook>,
    /// What is left out.
    pub exclude: Vec<String>,
    /// Whether other file systems mounted below the paths are left out.
    pub one_file_system: bool,
    /// When it runs; only by hand if absent.
    pub schedule: Option<Schedule>,
    /// The most that a start is put off.
    pub jitter: Period,
    /// Whether a missed run is made up for.
    pub catch_up: bool,
    /// What follows a failure.
    pub retry: Backoff,
    /// Off: the daemon leaves it alone.
    pub enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    agent: AgentSection,
    #[serde(default)]
    window: Vec<Window>,
    #[serde(default)]
    site: Vec<Site>,
    #[serde(default)]
    policy: PolicySection,
    #[serde(default)]
    job: Vec<JobSection>,
    metrics: Option<metrics::Settings>,
    #[serde(default)]
    inventory: InventorySection,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicySection {
    follow: bool,
}

impl Default for PolicySection {
    fn default() -> Self {
        Self { follow: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InventorySection {
    send: bool,
    smart: bool,
    smartctl: Option<AbsolutePath>,
}

impl Default for InventorySection {
    fn default() -> Self {
        let inventory::Settings { send, smart, .. } = inventory::Settings::default();
        Self { send, smart, smartctl: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AgentSection {
    state: AbsolutePath,
    timezone: Zone,
    controller: Option<SiteUrl>,
    hostname: Option<String>,
    heartbeat_interval: Period,
    rate: Cap,
    report_folders: bool,
}

impl Default for AgentSection {
    fn default() -> Self {
        Self {
            state: AbsolutePath(PathBuf::from(DEFAULT_STATE)),
            timezone: Zone(chrono_tz::Asia::Jakarta),
            controller: None,
            hostname: None,
            heartbeat_interval: Period::seconds(60),
            rate: Cap(None),
            report_folders: true,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobSection {
    name: Spanned<String>,
    dataset: Spanned<DatasetId>,
    #[serde(default)]
    label: String,
    paths: Option<Spanned<Vec<AbsolutePath>>>,
    postgresql: Option<Spanned<PostgresqlSettings>>,
    mariadb: Option<Spanned<MariadbSettings>>,
    sqlite: Option<Spanned<SqliteSettings>>,
    command: Option<Spanned<CommandSettings>>,
    before: Option<Spanned<Hook>>,
    after: Option<Spanned<Hook>>,
    exclude: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    one_file_system: bool,
    schedule: Option<Expression>,
    timezone: Option<Zone>,
    #[serde(default)]
    jitter: Period,
    #[serde(default = "yes")]
    catch_up: bool,
    #[serde(default)]
    retry: RetrySection,
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetrySection {
    attempts: u32,
    first: Period,
    cap: Period,
}

impl Default for RetrySection {
    fn default() -> Self {
        Self { attempts: 6, first: Period::seconds(60), cap: Period::seconds(3600) }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// With file, line and key, and what to write instead.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read(path)?)
    }

    /// Checks the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// With line and key, and what to write instead.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file: File =
            toml::from_str(text).map_err(|e| ConfigError::from_toml(path, text, &e))?;
        let agent = file.agent;
        check_interval(path, text, agent.heartbeat_interval)?;
        let mut jobs: Vec<Job> = Vec::with_capacity(file.job.len());
        for section in file.job {
            let job = section.check(path, text, &agent.timezone, &jobs)?;
            jobs.push(job);
        }
        Ok(Self {
            state: agent.state.0,
            controller: agent.controller,
            hostname: agent.hostname,
            heartbeat_interval: agent.heartbeat_interval,
            report_folders: agent.report_folders,
            zone: agent.timezone.0,
            rates: RatePlan::new(agent.timezone.0, file.window, agent.rate).into(),
            sites: file.site,
            follow_policy: file.policy.follow,
            inventory: inventory::Settings {
                send: file.inventory.send,
                smart: file.inventory.smart,
                smartctl: file.inventory.smartctl.map(|path| path.0),
            },
            jobs,
            metrics: file.metrics,
        })
    }

    /// The job of that name.
    #[must_use]
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name == name)
    }
}

/// The text of a configuration file.
///
/// # Errors
/// If it cannot be read, or is far too long for one.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > MAX_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned(), size });
    }
    std::fs::read_to_string(path).map_err(read)
}

fn check_interval(path: &Path, text: &str, interval: Period) -> Result<(), ConfigError> {
    if (5..=3600).contains(&interval.as_seconds()) {
        return Ok(());
    }
    let at = text.find("heartbeat_interval").unwrap_or(0);
    let message = format!("{interval} is not a sensible interval; write from \"5 s\" to \"1 h\"");
    Err(ConfigError::at(path, text, at, Some("heartbeat_interval"), message))
}

impl JobSection {
    fn check(
        self,
        path: &Path,
        text: &str,
        zone: &Zone,
        before: &[Job],
    ) -> Result<Job, ConfigError> {
        let wrong = |span: std::ops::Range<usize>, key: &str, message: String| {
            ConfigError::at(path, text, span.start, Some(key), message)
        };
        let name = self.name.get_ref();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            let message =
                format!("{name:?} is not a job's name: 1 to 64 letters, digits, '-', '_' or '.'");
            return Err(wrong(self.name.span(), "name", message));
        }
        if before.iter().any(|job| job.name == *name) {
            return Err(wrong(
                self.name.span(),
                "name",
                format!("two jobs are called {name:?}: rename one"),
            ));
        }
        let dataset = *self.dataset.get_ref();
        if let Some(other) = before.iter().find(|job| job.dataset == dataset) {
            let message = format!(
                "job {:?} has the same dataset: give each job a dataset of its own (`lumbung dataset add` prints the id), \
                 or put the paths into one job",
                other.name
            );
            return Err(wrong(self.dataset.span(), "dataset", message));
        }
        if let Some((span, key, message)) = source::fault(&self) {
            return Err(wrong(span, key, message));
        }
        if let Some(exclude) = &self.exclude {
            Excludes::new(exclude.get_ref())
                .map_err(|e| wrong(exclude.span(), "exclude", e.to_string()))?;
        }
        let zone = self.timezone.as_ref().unwrap_or(zone).0;
        Ok(Job {
            dataset,
            label: if self.label.is_empty() { name.clone() } else { self.label },
            paths: self
                .paths
                .map(|paths| paths.into_inner().into_iter().map(|path| path.0).collect())
                .unwrap_or_default(),
            stream: source::stream(self.postgresql, self.mariadb, self.sqlite, self.command),
            before: self.before.map(Spanned::into_inner),
            after: self.after.map(Spanned::into_inner),
            exclude: self.exclude.map(Spanned::into_inner).unwrap_or_default(),
            one_file_system: self.one_file_system,
            schedule: self.schedule.map(|expression| Schedule::new(expression, zone)),
            jitter: self.jitter,
            catch_up: self.catch_up,
            retry: Backoff {
                attempts: self.retry.attempts.max(1),
                first: self.retry.first.max(Period::seconds(1)),
                cap: self.retry.cap.max(Period::seconds(1)),
            },
            enabled: self.enabled,
            name: self.name.into_inner(),
        })
    }
}

#[cfg(test)]
mod tests;
