//! The controller's configuration: one TOML file, every key optional.
//!
//! Invariants: an unknown key is an error with its line; every number has its unit in its name; what no
//! regulation fixes is a default marked *usulan* in the annotated example (`config/controller.toml`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lumbung_probe::Reach;
use lumbung_wire::metrics;
use serde::{Deserialize, Deserializer};

use crate::alerts;
use crate::liveness::Patience;
use lumbung_model::toml_text::{self, TomlError};

/// Where the configuration is looked for.
pub const DEFAULT_PATH: &str = "/etc/lumbung/controller.toml";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Database, CA, keys and certificates.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Host names and addresses under which agents, sites and operators reach it: they stand in its certificate.
    pub names: Vec<String>,
    /// Connections at one time.
    pub max_connections: usize,
    /// When silence means something.
    pub heartbeat: Heartbeat,
    /// How often the vaults are asked.
    pub poll: Poll,
    /// The city's profile: the name of one that comes with the program, or a file.
    pub profile: String,
    /// From where the controller itself looks at what is to be up.
    pub uptime: Uptime,
    /// Where figures for Prometheus are shown; nowhere if absent.
    pub metrics: Option<metrics::Settings>,
    /// Who is told about what is wrong, and by what.
    pub alerts: alerts::Settings,
    /// How a standby keeps its copy.
    pub standby: Standby,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/lumbung-controller".into(),
            listen: SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 7443)),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()],
            max_connections: 16_384,
            heartbeat: Heartbeat::default(),
            poll: Poll::default(),
            profile: "kota".to_owned(),
            uptime: Uptime::default(),
            metrics: None,
            alerts: alerts::Settings::default(),
            standby: Standby::default(),
        }
    }
}

/// `[heartbeat]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    /// Seconds between two heartbeats of an agent.
    pub interval_s: u32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { interval_s: 60 }
    }
}

impl Heartbeat {
    /// As the rule that it is.
    #[must_use]
    pub const fn patience(self) -> Patience {
        Patience { interval_s: self.interval_s }
    }
}

/// `[uptime]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uptime {
    /// Whether the controller looks itself; sites look in any case.
    pub enabled: bool,
    /// Name of the site where it stands; none: the only Pusat Data.
    pub site: Option<String>,
    /// The networks that it may look at.
    #[serde(rename = "allow", deserialize_with = "networks")]
    pub reach: Reach,
}

impl Default for Uptime {
    fn default() -> Self {
        Self { enabled: true, site: None, reach: Reach::private() }
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reach, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Reach::parse(&texts).map_err(serde::de::Error::custom)
}

/// `[poll]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Poll {
    /// Seconds between two rounds.
    pub interval_s: u32,
}

impl Default for Poll {
    fn default() -> Self {
        Self { interval_s: 300 }
    }
}

/// `[standby]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Standby {
    /// Seconds between two copies of the database.
    pub interval_s: u32,
}

impl Default for Standby {
    fn default() -> Self {
        Self { interval_s: 300 }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read {path}: name the file with --config, or copy config/controller.toml there"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what is expected.
    #[error("{0}")]
    Toml(TomlError),
    /// A value that makes no sense.
    #[error("{path}: {field} {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Config {
    /// Reads the file; without one, only at the default path, every default holds.
    ///
    /// # Errors
    /// If it cannot be read, or says what makes no sense.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => return Err(ConfigError::Read { path: file.to_owned(), source }),
        };
        Self::from_text(file, &text)
    }

    /// Reads the text of `file`.
    ///
    /// # Errors
    /// If it says what makes no sense.
    pub fn from_text(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self =
            toml_text::parse(&file.to_string_lossy(), text).map_err(ConfigError::Toml)?;
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong =
            |field, reason| Err(ConfigError::Value { path: path.to_owned(), field, reason });
        if !self.data_dir.is_absolute() {
            return wrong("data_dir", "must be an absolute path");
        }
        if self.names.is_empty() {
            return wrong("names", "must have at least the one name that agents use");
        }
        if !(1..=86_400).contains(&self.heartbeat.interval_s) {
            return wrong("heartbeat.interval_s", "must be 1 to 86400 seconds");
        }
        if !(1..=86_400).contains(&self.poll.interval_s) {
            return wrong("poll.interval_s", "must be 1 to 86400 seconds");
        }
        if !(1..=1800).contains(&self.standby.interval_s) {
            return wrong(
                "standby.interval_s",
                "must be 1 to 1800 seconds: an older copy is an alarm",
            );
        }
        if self.max_connections == 0 {
            return wrong("max_connections", "must be at least 1");
        }
        self.alerts.check().or_else(|(field, reason)| wrong(field, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotated_example_says_the_defaults() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/controller.toml");
        assert_eq!(Config::load(Some(Path::new(path))).unwrap(), Config::default());
    }

    #[test]
    fn what_the_example_leaves_out_is_valid_too() {
        let example = include_str!("../../config/controller.toml");
        let (_, metrics) = example.split_once("# [metrics]").unwrap();
        let text = format!("[metrics]{}", metrics.replace("\n# ", "\n"));
        let config = Config::from_text(Path::new("controller.toml"), &text).unwrap();
        assert_eq!(config.metrics.unwrap().listen().to_string(), "127.0.0.1:9743");
    }

    #[test]
    fn what_the_example_says_of_alerts_is_valid_too() {
        let example = include_str!("../../config/controller.toml");
        let (_, rest) = example.split_once("## How much kinds").unwrap();
        let (alerts, _) = rest.split_once("# Figures for Prometheus").unwrap();
        let lines = alerts.lines().filter_map(|line| line.strip_prefix("# "));
        let text = lines.collect::<Vec<_>>().join("\n");
        let config = Config::from_text(Path::new("controller.toml"), &text).unwrap();
        assert_eq!(config.alerts.channels().len(), 3);
        assert_eq!(config.alerts.route[0].steps.len(), 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let read =
            |text| Config::from_text(Path::new("c.toml"), text).map_err(|error| error.to_string());
        for (text, expected) in [
            ("lisen = '[::]:1'", "did you mean `listen`"),
            ("[heartbeat]\ninterval_s = 0", "heartbeat.interval_s"),
            ("[standby]\ninterval_s = 0", "standby.interval_s"),
            ("[standby]\ninterval_s = 3600", "standby.interval_s"),
            ("data_dir = 'here'", "data_dir"),
            ("[metrics]\nlisten = '0.0.0.0:9743'", "allow_remote = true"),
            ("[metrics]\nlisen = '127.0.0.1:9743'", "did you mean `listen`"),
            ("[metrics]\nlisten = 'here'", "c.toml:2"),
            ("[alerts]\nlanguage = 'fr'", "c.toml:2"),
            ("[alerts]\nquiet = '22:00'", "22:00-06:00"),
            ("[alerts]\ndigest_to = ['everybody']", "names nobody"),
            ("[alerts]\ndigest_to = ['name:noc']", "no [[alerts.recipient]]"),
            ("[alerts]\ndamp_s = 1", "alerts.damp_s"),
            ("[alerts.mail]\nhost = 'x'\nfrom = 'a@b.c'\nsecurity = 'none'", "this machine"),
            ("[alerts.mail]\nhost = 'x'\nfrom = 'a'", "alerts.mail.from"),
            ("[alerts.mail]\nhost = 'x'\nfrom = 'a@b.c'\nuser = 'u'", "password_file"),
            ("[alerts.telegram]\ntoken_file = 'token'", "credential:NAME"),
            (
                "[alerts.telegram]\ntoken_file = '/t'\nbase_url = 'http://example.com'",
                "alerts.telegram.base_url",
            ),
            (
                "[[alerts.recipient]]\nname = 'a'\nwebhook = 'http://example.com'",
                "alerts.recipient.webhook",
            ),
            ("[[alerts.route]]\nrepeat_min = 60\nsteps = []", "alerts.route"),
            ("[[alerts.route]]\nrepeat_min = 1\nsteps = [{ to = ['dinas'] }]", "repeat_min"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(read("").is_ok());
    }
}
