//! The configuration file. An unknown key is an error that names its line and the nearest known key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lumbung_model::rate::{Cap, RatePlan, Speed, Timetable, Window};
use lumbung_model::retention::Policy;
use lumbung_model::schedule::{Period, Tz, parse_zone};
use lumbung_model::toml_text;
use lumbung_model::{ByteSize, DatasetId, PublicKey, RepositoryId, SiteId, TlsPin};
use lumbung_probe::Reach;
use lumbung_wire::metrics;
use serde::{Deserialize, Deserializer};

use crate::storage::StorageConfig;

/// `vault.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the repositories and the index lie.
    pub data: PathBuf,
    /// Where keys and certificates lie; `<data>/state` if not given.
    #[serde(default)]
    state: Option<PathBuf>,
    /// Address and port to answer at.
    pub listen: SocketAddr,
    /// How agents and other sites reach this vault; entered in the register at enrolment.
    #[serde(default)]
    pub url: Option<String>,
    /// Receipts promise to keep a snapshot at least this long.
    #[serde(default = "defaults::lock")]
    pub lock: Period,
    /// How many snapshots of a dataset keep a place; without it everything is kept.
    #[serde(default)]
    retention: Option<Policy>,
    /// How often what may go is looked for.
    #[serde(default = "defaults::hour")]
    pub retention_interval: Period,
    /// How often frames that nobody uses are looked for.
    #[serde(default = "defaults::gc")]
    pub gc_interval: Period,
    /// Keys whose signature stands for the Dinas on orders.
    #[serde(default)]
    pub dinas_keys: Vec<PublicKey>,
    /// How often an inventory of each repository is signed, changed or not.
    #[serde(default = "defaults::day")]
    pub inventory_interval: Period,
    /// How soon after a change an inventory is signed.
    #[serde(default = "defaults::inventory_delay")]
    pub inventory_delay: Period,
    /// How often every frame is read and compared.
    #[serde(default = "defaults::scrub")]
    pub scrub_interval: Period,
    /// How fast a scrub reads outside its windows.
    #[serde(default)]
    pub scrub_rate: Cap,
    /// Threads that a scrub reads with; as many as there are processors if not given, and never more.
    #[serde(default)]
    pub scrub_workers: Option<usize>,
    /// How often the sources are asked for what is new there.
    #[serde(default = "defaults::pull")]
    pub pull_interval: Period,
    /// Transfers at once while pulling.
    #[serde(default = "defaults::transfers")]
    pub pull_transfers: usize,
    /// Bytes of the file system that are kept free.
    #[serde(default = "defaults::reserve")]
    pub reserve: ByteSize,
    /// Bytes that a repository may keep here, if it has no limit of its own.
    #[serde(default)]
    pub quota: Option<ByteSize>,
    /// Bytes that this site may keep in all, as it is told to whoever plans; nothing is refused by it.
    #[serde(default)]
    pub capacity: Option<ByteSize>,
    /// Bytes that one agent (its dedup domain) may keep here.
    #[serde(default)]
    pub agent_quota: Option<ByteSize>,
    /// Sessions without a snapshot that an agent may have.
    #[serde(default = "defaults::open_sessions")]
    pub open_sessions: u64,
    /// Requests that may work on the storage at once.
    #[serde(default = "defaults::requests")]
    pub requests: usize,
    /// What keeps the objects.
    #[serde(default)]
    pub storage: StorageConfig,
    /// Repositories with settings of their own.
    #[serde(default, rename = "repository")]
    pub repositories: Vec<RepositoryConfig>,
    /// Sites to pull from and to repair from.
    #[serde(default, rename = "source")]
    pub sources: Vec<SourceConfig>,
    /// The pull's speed outside the windows.
    #[serde(default)]
    pub pull_rate: Cap,
    /// The pull's speed by time of day; the first window that fits applies.
    #[serde(default, rename = "window")]
    pub windows: Vec<Window>,
    /// The scrub's speed by time of day; the first window that fits applies.
    #[serde(default, rename = "scrub_window")]
    pub scrub_windows: Vec<Window<Speed>>,
    /// The time zone of the windows.
    #[serde(default = "defaults::time_zone")]
    pub time_zone: String,
    /// Where figures for Prometheus are shown; nowhere if not given.
    #[serde(default)]
    pub metrics: Option<metrics::Settings>,
    /// What this site looks at for the controller.
    #[serde(default)]
    pub vantage: VantageConfig,
}

/// `[vantage]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VantageConfig {
    /// Whether it looks at what the controller orders, once it is enrolled.
    pub enabled: bool,
    /// The networks that it may look at, whatever the controller orders.
    #[serde(rename = "allow", deserialize_with = "networks")]
    pub reach: Reach,
}

impl Default for VantageConfig {
    fn default() -> Self {
        Self { enabled: true, reach: Reach::private() }
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reach, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Reach::parse(&texts).map_err(serde::de::Error::custom)
}

/// `[[repository]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryConfig {
    /// Which one.
    pub id: RepositoryId,
    /// Whether its owner may create it here without a certificate.
    #[serde(default)]
    pub admit: bool,
    /// Bytes it may keep here.
    #[serde(default)]
    pub quota: Option<ByteSize>,
    /// How many of its snapshots keep a place, if it has a rule of its own.
    #[serde(default)]
    retention: Option<Policy>,
    /// Datasets with a rule of their own.
    #[serde(default, rename = "dataset")]
    datasets: Vec<DatasetConfig>,
}

/// `[[repository.dataset]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Which one.
    pub id: DatasetId,
    /// How many of its snapshots keep a place.
    retention: Policy,
}

/// `[[source]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The site.
    pub site: SiteId,
    /// Where it answers, `https://…`.
    pub url: String,
    /// The pin of its TLS key, as `lumbung-vault init` printed it there.
    pub pin: TlsPin,
}

mod defaults {
    use super::{ByteSize, Period};

    pub(super) const fn lock() -> Period {
        Period::seconds(30 * 86_400)
    }
    pub(super) const fn day() -> Period {
        Period::seconds(86_400)
    }
    pub(super) const fn hour() -> Period {
        Period::seconds(3600)
    }
    pub(super) const fn gc() -> Period {
        Period::seconds(6 * 3600)
    }
    pub(super) const fn inventory_delay() -> Period {
        Period::seconds(60)
    }
    pub(super) const fn scrub() -> Period {
        Period::seconds(7 * 86_400)
    }
    pub(super) const fn pull() -> Period {
        Period::seconds(900)
    }
    pub(super) const fn transfers() -> usize {
        8
    }
    pub(super) const fn reserve() -> ByteSize {
        ByteSize::bytes(256 << 20)
    }
    pub(super) const fn open_sessions() -> u64 {
        256
    }
    pub(super) const fn requests() -> usize {
        32
    }
    pub(super) fn time_zone() -> String {
        "Asia/Jakarta".to_owned()
    }
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}, line {line}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was perhaps meant.
        message: String,
    },
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// Naming the line, if it is not a valid configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// Naming the line, if it is not a valid configuration.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |line, message| ConfigError::Invalid { path: path.to_owned(), line, message };
        let config: Self = toml_text::parse(&path.to_string_lossy(), text)
            .map_err(|error| invalid(error.line, error.message))?;
        if config.pull_transfers == 0 || config.requests == 0 {
            return Err(invalid(
                1,
                "`pull_transfers` and `requests` must be at least 1".to_owned(),
            ));
        }
        if config.scrub_workers == Some(0) {
            return Err(invalid(1, "`scrub_workers` must be at least 1".to_owned()));
        }
        if config.rate_plan().is_none() {
            return Err(invalid(
                1,
                format!("`time_zone`: {:?} is not one such as \"Asia/Jakarta\"", config.time_zone),
            ));
        }
        if let Some(error) = config.policies().find_map(|policy| policy.check().err()) {
            return Err(invalid(1, format!("`retention`: {error}")));
        }
        if let Err(message) = config.storage.check() {
            return Err(invalid(1, message));
        }
        if let Some(source) =
            config.sources.iter().find(|source| !source.url.starts_with("https://"))
        {
            return Err(invalid(
                1,
                format!("the source's url {:?} must begin with https://", source.url),
            ));
        }
        Ok(config)
    }

    /// The pull's speed; none if the time zone is unknown, which [`Config::load`] refuses.
    #[must_use]
    pub fn rate_plan(&self) -> Option<RatePlan> {
        let zone = parse_zone(&self.time_zone).ok()?;
        Some(RatePlan::new(zone, self.windows.clone(), self.pull_rate))
    }

    fn policies(&self) -> impl Iterator<Item = &Policy> {
        let own = self.repositories.iter().flat_map(|repository| {
            let datasets = repository.datasets.iter().map(|dataset| &dataset.retention);
            repository.retention.iter().chain(datasets)
        });
        self.retention.iter().chain(own)
    }

    /// The rule for a dataset's snapshots; none: everything is kept.
    #[must_use]
    pub fn retention_of(&self, repository: &RepositoryId, dataset: &DatasetId) -> Option<&Policy> {
        let own = self.repository(repository);
        own.and_then(|own| own.datasets.iter().find(|known| known.id == *dataset))
            .map(|known| &known.retention)
            .or_else(|| own.and_then(|own| own.retention.as_ref()))
            .or(self.retention.as_ref())
    }

    /// The zone of windows and of retention's calendar; UTC where it is unknown, which [`Config::load`] refuses.
    #[must_use]
    pub fn zone(&self) -> Tz {
        parse_zone(&self.time_zone).unwrap_or(Tz::UTC)
    }

    /// The scrub's speed; none if the time zone is unknown, which [`Config::load`] refuses.
    #[must_use]
    pub fn scrub_plan(&self) -> Option<Timetable<Speed>> {
        let zone = parse_zone(&self.time_zone).ok()?;
        Some(Timetable::new(zone, self.scrub_windows.clone(), Speed::On(self.scrub_rate)))
    }

    /// Where keys and certificates lie.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.data.join("state"))
    }

    /// What the file says of a repository.
    #[must_use]
    pub fn repository(&self, id: &RepositoryId) -> Option<&RepositoryConfig> {
        self.repositories.iter().find(|repository| repository.id == *id)
    }

    /// Bytes that a repository may keep here.
    #[must_use]
    pub fn quota_of(&self, id: &RepositoryId) -> Option<u64> {
        self.repository(id)
            .and_then(|repository| repository.quota)
            .or(self.quota)
            .map(ByteSize::as_u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("vault.toml"), text)
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
        let error =
            parse("data = \"/srv\"\nlisten = \"0.0.0.0:8441\"\ninventory_intervall = \"1h\"\n")
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "vault.toml, line 3: unknown field `inventory_intervall`; did you mean `inventory_interval`?"
        );
        let error =
            parse("data = \"/srv\"\nlisten = \"0.0.0.0:8441\"\nlock = \"3 weeks\"\n").unwrap_err();
        assert!(error.to_string().starts_with("vault.toml, line 3: \"3 weeks\" is not"), "{error}");
        assert!(parse("listen = \"0.0.0.0:8441\"").unwrap_err().to_string().contains("data"));
    }

    #[test]
    fn metrics_stay_on_this_machine_unless_the_file_says_otherwise() {
        let file = "data = \"/srv\"\nlisten = \"0.0.0.0:8441\"\n";
        let error = parse(&format!("{file}[metrics]\nlisten = \"0.0.0.0:9742\"\n")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("vault.toml, line 3: metrics at 0.0.0.0:9742"), "{error}");
        let allowed = format!("{file}[metrics]\nlisten = \"[::]:9742\"\nallow_remote = true\n");
        assert_eq!(parse(&allowed).unwrap().metrics.unwrap().listen().port(), 9742);
        assert!(parse(file).unwrap().metrics.is_none());
    }

    #[test]
    fn a_vantage_point_looks_at_private_networks_unless_the_file_says_otherwise() {
        let file = "data = \"/srv\"\nlisten = \"0.0.0.0:8441\"\n";
        let may = |text: &str, address: &str| {
            let vantage = parse(&format!("{file}{text}")).unwrap().vantage;
            vantage.enabled && vantage.reach.includes(address.parse().unwrap())
        };
        assert!(may("", "10.1.2.3") && !may("", "203.0.113.7") && !may("", "127.0.0.1"));
        let wider = "[vantage]\nallow = [\"10.1.0.0/16\", \"203.0.113.0/24\"]\n";
        assert!(may(wider, "203.0.113.7") && !may(wider, "10.2.0.1"));
        assert!(!may("[vantage]\nenabled = false\n", "10.1.2.3"));
        let error = parse(&format!("{file}[vantage]\nallow = [\"10.0.0.1\"]\n")).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("vault.toml, line 4: \"10.0.0.1\" is no network"), "{error}");
    }

    #[test]
    fn a_minimal_file_has_the_documented_defaults() {
        let config = parse("data = \"/srv/vault\"\nlisten = \"0.0.0.0:8441\"\n").unwrap();
        assert_eq!(config.inventory_interval, Period::seconds(86_400));
        assert_eq!(config.state(), PathBuf::from("/srv/vault/state"));
        assert_eq!(config.quota_of(&RepositoryId::ZERO), None);
    }

    #[test]
    fn the_example_is_valid() {
        let example = include_str!("../../config/vault.toml");
        parse(example).unwrap();
        // What is commented out as an example must be valid as well.
        let all: String = example
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let config = parse(&all).unwrap();
        assert_eq!(config.metrics.unwrap().listen().to_string(), "127.0.0.1:9742");
        assert_eq!(config.sources.len(), 1);
        assert_eq!(config.windows.len(), 1);
        assert_eq!(config.scrub_windows[0].rate, Speed::Off);
        let defaults = Reach::private();
        assert!(
            defaults.networks().iter().all(|net| config.vantage.reach.networks().contains(net))
        );
    }
}
