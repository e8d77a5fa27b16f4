//! The runner's own file: what it may be asked to do, by the names that plans use.
//!
//! Invariants: a plan's step does nothing that does not stand here under that name; an unknown key is an error. Nothing secret
//! stands here: keys and passwords are files of their own.

use std::path::{Path, PathBuf};

use lumbung_model::drill::RunnerName;
use lumbung_model::schedule::Period;
use lumbung_model::{ByteSize, DatasetId, RepositoryId, SiteId};
use lumbung_probe::Reach;
use serde::{Deserialize, Deserializer};

use crate::config::{self, AbsolutePath, ConfigError};

/// Where the file is if nobody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/lumbung/runner.toml";

/// The checked file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerFile {
    /// What holds for all of it.
    #[serde(default)]
    pub runner: Settings,
    /// Where data is restored from, the first one that answers.
    #[serde(default, rename = "depot")]
    pub depots: Vec<DepotEntry>,
    /// The datasets that may be restored here.
    #[serde(default, rename = "dataset")]
    pub datasets: Vec<DatasetEntry>,
    /// Where they may be restored to.
    #[serde(default, rename = "place")]
    pub places: Vec<PlaceEntry>,
    /// Commands that change something.
    #[serde(default, rename = "hook")]
    pub hooks: Vec<HookEntry>,
    /// Commands that ask whether something is good.
    #[serde(default, rename = "check")]
    pub checks: Vec<CheckEntry>,
}

/// What holds for all of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The directory of its journals.
    pub state: AbsolutePath,
    /// The program that restores.
    pub lumbung: AbsolutePath,
    /// The requester key that opens what custodians granted to it.
    pub key: AbsolutePath,
    /// How often the controller is asked for orders.
    pub interval: Period,
    /// How long it is waited for both sites to hold the same.
    pub reconcile: Period,
    /// Where probes may go: networks; the private ones if none is named.
    #[serde(deserialize_with = "networks")]
    pub allow: Reach,
}

impl Default for Settings {
    fn default() -> Self {
        let path = |text: &str| AbsolutePath(PathBuf::from(text));
        Self {
            state: path("/var/lib/lumbung-runner"),
            lumbung: path("/usr/bin/lumbung"),
            key: path("/etc/lumbung/runner.key"),
            interval: Period::seconds(15),
            reconcile: Period::seconds(3600),
            allow: Reach::private(),
        }
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reach, D::Error> {
    let named = Vec::<String>::deserialize(deserializer)?;
    Reach::parse(&named).map_err(serde::de::Error::custom)
}

/// A depot, as `lumbung` names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepotEntry {
    /// `https://host:port` of a vault, or a directory.
    pub depot: String,
    /// Its site in the register, for the record.
    #[serde(default)]
    pub site: Option<SiteId>,
}

/// A dataset.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetEntry {
    /// Its id in the register.
    pub dataset: DatasetId,
    /// The repository that it is in.
    pub repository: RepositoryId,
}

/// A place: of a drill, or of a standby. Exactly one of the three.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceEntry {
    /// What plans call it.
    pub name: RunnerName,
    /// The datasets that may be restored to it: of a standby, which is not everybody's.
    #[serde(default)]
    pub datasets: Vec<DatasetId>,
    /// A locked-down place that is wiped.
    #[serde(default)]
    pub scratch: Option<ScratchPlace>,
    /// A folder that services are run from: files are restored beneath it, over what is there.
    #[serde(default)]
    pub folder: Option<AbsolutePath>,
    /// A database server that services are run from: databases take the place of those of their name.
    #[serde(default)]
    pub server: Option<ServerPlace>,
}

/// A scratch place.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchPlace {
    /// How much it may hold, in memory.
    #[serde(default)]
    pub memory: Option<ByteSize>,
    /// Or the folder in which it is made, on a disk.
    #[serde(default)]
    pub folder: Option<AbsolutePath>,
    /// The user as which databases and checks run in it.
    #[serde(default = "nobody")]
    pub user: String,
    /// The folder of PostgreSQL's programs; the newest of `/usr/lib/postgresql` if absent.
    #[serde(default)]
    pub postgresql: Option<AbsolutePath>,
}

fn nobody() -> String {
    "nobody".to_owned()
}

/// A database server, as its client reaches it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerPlace {
    /// Host, or the absolute path of the socket (PostgreSQL: of its folder).
    pub host: String,
    /// The databases of it that may be replaced, by their names.
    pub databases: Vec<String>,
    /// Port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Role or account.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password's file, mode 0600.
    #[serde(default)]
    pub credentials: Option<AbsolutePath>,
    /// The folder of the server's client programs.
    #[serde(default)]
    pub tools: Option<AbsolutePath>,
}

/// A hook.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookEntry {
    /// What plans call it.
    pub name: RunnerName,
    /// The program, by its absolute path, and its arguments.
    pub run: Vec<String>,
}

/// A check.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckEntry {
    /// What plans call it.
    pub name: RunnerName,
    /// The program, by its absolute path, and its arguments.
    pub run: Vec<String>,
    /// The scratch place in which it runs; on this host if absent.
    #[serde(default)]
    pub place: Option<RunnerName>,
}

impl RunnerFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// With file, line and key, and what to write instead.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &config::read(path)?)
    }

    /// Checks the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// With line and key, and what to write instead.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file: Self =
            toml::from_str(text).map_err(|e| ConfigError::from_toml(path, text, &e))?;
        match file.fault() {
            None => Ok(file),
            Some((name, message)) => {
                let at = text.find(&format!("{name:?}")).unwrap_or(0);
                Err(ConfigError::at(path, text, at, None, message))
            }
        }
    }

    /// The first thing that is wrong with it as a whole, and the name by which it stands there.
    fn fault(&self) -> Option<(String, String)> {
        let kinds: [(&str, Vec<&RunnerName>); 3] = [
            ("places", self.places.iter().map(|one| &one.name).collect()),
            ("hooks", self.hooks.iter().map(|one| &one.name).collect()),
            ("checks", self.checks.iter().map(|one| &one.name).collect()),
        ];
        for (what, names) in &kinds {
            let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
            if let Some((_, name)) = twice {
                let message = format!("two {what} are called {name}: rename one");
                return Some((name.to_string(), message));
            }
        }
        self.fault_of_places().or_else(|| self.fault_of_programs())
    }

    fn fault_of_places(&self) -> Option<(String, String)> {
        for one in &self.places {
            let kinds = [one.scratch.is_some(), one.folder.is_some(), one.server.is_some()];
            if kinds.iter().filter(|is_one| **is_one).count() != 1 {
                let message = "a place is one of scratch = { … }, folder = \"/…\" and server = { … }: write exactly one";
                return Some((one.name.to_string(), message.to_owned()));
            }
            if one.scratch.is_none() && one.datasets.is_empty() {
                let message = "a standby takes the datasets that it is for, and no others: name them, datasets = [\"…\"]";
                return Some((one.name.to_string(), message.to_owned()));
            }
            if let Some(scratch) = &one.scratch
                && scratch.memory.is_some() == scratch.folder.is_some()
            {
                let message = "a scratch place lies in memory = \"2 GiB\", or in a folder = \"/srv/scratch\": write one of them";
                return Some((one.name.to_string(), message.to_owned()));
            }
        }
        let inside = |check: &CheckEntry| Some((check.name.clone(), check.place.clone()?));
        for (name, place) in self.checks.iter().filter_map(inside) {
            if self.scratch(&place).is_none() {
                let message = format!("check {name} runs in {place}, which is no scratch place");
                return Some((name.to_string(), message));
            }
        }
        None
    }

    fn fault_of_programs(&self) -> Option<(String, String)> {
        let hooks = self.hooks.iter().map(|one| (&one.name, &one.run));
        let checks = self.checks.iter().map(|one| (&one.name, &one.run));
        let relative =
            |run: &Vec<String>| run.first().is_none_or(|program| !Path::new(program).is_absolute());
        let (name, _) = hooks.chain(checks).find(|(_, run)| relative(run))?;
        let message = "write the program by its absolute path, then its arguments: run = [\"/usr/local/sbin/switch-dns\", \"drc\"]";
        Some((name.to_string(), message.to_owned()))
    }

    /// The place of that name.
    #[must_use]
    pub fn place(&self, name: &RunnerName) -> Option<&PlaceEntry> {
        self.places.iter().find(|one| one.name == *name)
    }

    /// The scratch place of that name.
    #[must_use]
    pub fn scratch(&self, name: &RunnerName) -> Option<&ScratchPlace> {
        self.place(name)?.scratch.as_ref()
    }

    /// The hook of that name.
    #[must_use]
    pub fn hook(&self, name: &RunnerName) -> Option<&HookEntry> {
        self.hooks.iter().find(|one| one.name == *name)
    }

    /// The check of that name.
    #[must_use]
    pub fn check(&self, name: &RunnerName) -> Option<&CheckEntry> {
        self.checks.iter().find(|one| one.name == *name)
    }

    /// The dataset of that id.
    #[must_use]
    pub fn dataset(&self, id: &DatasetId) -> Option<&DatasetEntry> {
        self.datasets.iter().find(|one| one.dataset == *id)
    }
}

impl ServerPlace {
    /// As options of `lumbung database restore`.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let mut options = vec!["--host".to_owned(), self.host.clone()];
        let path = |path: &AbsolutePath| path.0.display().to_string();
        let port = self.port.map(|port| port.to_string());
        for (name, value) in [
            ("--port", port),
            ("--user", self.user.clone()),
            ("--credentials", self.credentials.as_ref().map(path)),
            ("--tools", self.tools.as_ref().map(path)),
        ] {
            options.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        RunnerFile::parse(Path::new("runner.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_is_sound() {
        let text = include_str!("../../../config/runner.toml");
        let file = RunnerFile::parse(Path::new("runner.toml"), text).unwrap();
        assert!(!file.hooks.is_empty() && !file.checks.is_empty() && file.places.len() == 3);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let twice = "[[hook]]\nname = \"a\"\nrun = [\"/bin/true\"]\n[[hook]]\nname = \"a\"\nrun = [\"/bin/true\"]\n";
        assert!(wrong(twice).contains("two hooks are called a: rename one"), "{}", wrong(twice));
        let relative = "[[check]]\nname = \"a\"\nrun = [\"true\"]\n";
        assert!(wrong(relative).contains("line 2") && wrong(relative).contains("absolute path"));
        let nowhere = "[[place]]\nname = \"a\"\nscratch = { }\n";
        assert!(
            wrong(nowhere).contains("memory = \"2 GiB\", or in a folder"),
            "{}",
            wrong(nowhere)
        );
        let everybodys = "[[place]]\nname = \"a\"\nfolder = \"/srv/a\"\n";
        assert!(wrong(everybodys).contains("takes the datasets that it is for"));
        let elsewhere = "[[check]]\nname = \"a\"\nrun = [\"/bin/true\"]\nplace = \"b\"\n";
        assert!(wrong(elsewhere).contains("b, which is no scratch place"));
        assert!(wrong("[runner]\nintervall = \"1 s\"\n").contains("interval"));
    }
}
