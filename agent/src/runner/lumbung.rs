//! `lumbung`, which restores: the runner calls it as an operator would, and reads its JSON.
//!
//! Invariants: the runner opens nothing itself; what opens the data is the requester key and what was granted to it. A depot that
//! does not answer is passed over for the next one; any other refusal is told as it is.

use std::path::Path;
use std::process::Command;

use lumbung_database::Ended;
use lumbung_model::drill::RecoveryPoint;
use lumbung_model::{DatasetId, ManifestId, SiteId, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::config::{DatasetEntry, DepotEntry, RunnerFile};
use super::programs::Purpose;
use super::scratch::Scratch;

/// The code of a depot that does not answer.
const UNREACHABLE: &str = "depot";
/// The code of a snapshot that holds files where databases were asked for.
const NO_DATABASE: &str = "unknown-path";

/// Why `lumbung` did not do it.
#[derive(Debug, thiserror::Error)]
pub enum LumbungError {
    /// It says so itself.
    #[error("{text}")]
    Said {
        /// The stable name of what went wrong.
        code: String,
        /// What, why, and what to do.
        text: String,
    },
    /// It could not be run, or was ended.
    #[error(transparent)]
    Program(#[from] lumbung_database::SourceError),
    /// It says something unexpected.
    #[error("lumbung does not answer as expected ({0}): its version has to be the runner's")]
    Unexpected(String),
}

impl LumbungError {
    fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Said { code, .. } if code == wanted)
    }
}

/// Where `lumbung` runs.
#[derive(Clone, Copy)]
pub enum Inside<'a> {
    /// On this host.
    Host,
    /// In a scratch place.
    Scratch(&'a Scratch),
}

/// `lumbung` for one step.
pub struct Lumbung<'a> {
    /// The runner's file.
    pub file: &'a RunnerFile,
    /// What for.
    pub purpose: &'a Purpose,
    /// Where.
    pub inside: Inside<'a>,
}

/// A snapshot of databases.
#[derive(Debug, Deserialize)]
pub struct Databases {
    /// Which it is.
    pub snapshot: ManifestId,
    /// What it says of itself.
    #[serde(flatten)]
    pub description: lumbung_database::Description,
}

/// What `lumbung restore` did.
#[derive(Debug, Deserialize)]
pub struct FilesRestored {
    /// The snapshot.
    pub snapshot: ManifestId,
    /// The moment of which it is.
    pub taken: Timestamp,
    /// Entries restored.
    pub entries: u64,
    /// Bytes restored.
    pub bytes: u64,
    /// Entries that failed.
    pub failures_total: u64,
    /// The first of them.
    #[serde(default)]
    pub failures: Vec<Finding>,
    /// What was compared.
    pub compared: Option<Compared>,
}

/// What was compared.
#[derive(Debug, Deserialize)]
pub struct Compared {
    /// Whether all is equal.
    pub equal: bool,
    /// Entries.
    pub entries: u64,
    /// How many differ.
    pub differences_total: u64,
    /// The first of them.
    #[serde(default)]
    pub differences: Vec<Finding>,
}

/// Something about an entry.
#[derive(Debug, Deserialize)]
pub struct Finding {
    /// The entry.
    pub path: String,
    /// What about it.
    pub reason: String,
}

/// What `lumbung database restore` did.
#[derive(Debug, Deserialize)]
pub struct DatabaseRestored {
    /// The database.
    pub name: String,
    /// Tables whose rows were counted and match.
    pub tables: u64,
    /// Rows of them.
    pub rows: u64,
    /// Checks that gave the same answer.
    pub checks: u64,
}

/// What `lumbung snapshots` lists.
#[derive(Debug, Deserialize)]
pub struct Listed {
    /// The snapshots.
    pub snapshots: Vec<ListedSnapshot>,
    /// Manifests that could not be read.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub struct ListedSnapshot {
    /// Its id.
    pub id: ManifestId,
}

impl Lumbung<'_> {
    fn command(&self) -> Command {
        let program = &self.file.runner.lumbung.0;
        let mut command = match self.inside {
            Inside::Host => lumbung_database::bare(program),
            Inside::Scratch(scratch) => scratch.fetching(program),
        };
        self.purpose.marked(&mut command);
        // Heads of packs are kept; nothing else of it is.
        command.env("XDG_CACHE_HOME", self.file.runner.state.0.join("cache"));
        command.args(["--json", "--quiet"]);
        command
    }

    /// In a scratch place, what data is fed to is confined there.
    fn launching(&self, command: &mut Command) {
        if let Inside::Scratch(scratch) = self.inside {
            for word in scratch.launcher() {
                command.arg("--launcher").arg(word);
            }
        }
    }

    /// Asks the depots one after the other until one answers.
    fn first<T>(
        &self,
        ask: impl FnMut(&DepotEntry) -> Result<T, LumbungError>,
    ) -> Result<(T, Option<SiteId>), LumbungError> {
        self.first_of(self.file.depots.iter(), ask)
    }

    fn first_of<'d, T>(
        &self,
        depots: impl Iterator<Item = &'d DepotEntry>,
        mut ask: impl FnMut(&DepotEntry) -> Result<T, LumbungError>,
    ) -> Result<(T, Option<SiteId>), LumbungError> {
        let mut silent = None;
        for depot in depots {
            match ask(depot) {
                Ok(answer) => return Ok((answer, depot.site)),
                Err(error) if error.is(UNREACHABLE) => {
                    tracing::warn!("{} does not answer: {error}", depot.depot);
                    silent = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(silent.unwrap_or_else(|| {
            let text = "the runner's file names no depot: add a [[depot]]".to_owned();
            LumbungError::Said { code: "usage".to_owned(), text }
        }))
    }

    fn ask<T: DeserializeOwned>(&self, mut command: Command) -> Result<T, LumbungError> {
        command.stdin(std::process::Stdio::null());
        let ended = self.purpose.hear(command)?;
        answer(&ended)
    }

    fn with_key(&self, command: &mut Command, of: &DatasetEntry) {
        command.args(["--repository", &of.repository.to_string()]);
        command.arg("--requester-key").arg(&self.file.runner.key.0);
    }

    /// The newest snapshot of databases of a dataset that the key opens; nothing if it holds files.
    ///
    /// # Errors
    /// If no depot answers, or nothing of it is opened.
    pub fn databases(
        &self,
        of: &DatasetEntry,
    ) -> Result<Option<(Databases, Option<SiteId>)>, LumbungError> {
        let ask = |depot: &DepotEntry| {
            let mut command = self.command();
            command.args(["database", "show", &depot.depot, &latest(&of.dataset)]);
            self.with_key(&mut command, of);
            self.ask::<Databases>(command)
        };
        match self.first(ask) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is(NO_DATABASE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Restores the newest snapshot of a dataset beneath a folder, over what is there, and compares it.
    ///
    /// # Errors
    /// If no depot answers, nothing of it is opened, or it cannot be written.
    pub fn restore_files(
        &self,
        of: &DatasetEntry,
        target: &Path,
    ) -> Result<(FilesRestored, Option<SiteId>), LumbungError> {
        self.first(|depot| {
            let mut command = self.command();
            command.args(["restore", &depot.depot, &latest(&of.dataset), "--verify", "--yes"]);
            command.args(["--overwrite", "always", "--delete", "--target"]).arg(target);
            self.with_key(&mut command, of);
            self.ask(command)
        })
    }

    /// Restores a database of a snapshot into a server; counts its rows and asks its checks.
    ///
    /// # Errors
    /// If it cannot be restored, or differs from what was backed up.
    pub fn restore_database(
        &self,
        (of, snapshot): (&DatasetEntry, &ManifestId),
        name: &str,
        server: &[String],
        replace: bool,
    ) -> Result<DatabaseRestored, LumbungError> {
        let (restored, _) = self.first(|depot| {
            let mut command = self.command();
            command.args(["database", "restore", &depot.depot, &snapshot.to_string()]);
            command.args(["--roles", "--database", name]).args(server);
            self.launching(&mut command);
            if replace {
                command.args(["--replace", "--yes", "--confirm", name]);
            }
            self.with_key(&mut command, of);
            self.ask(command)
        })?;
        Ok(restored)
    }

    /// Brings the data of a whole server back, to the end of its base backup.
    ///
    /// # Errors
    /// If it cannot be read, or the folder cannot be made.
    pub fn recover_server(
        &self,
        (of, snapshot): (&DatasetEntry, &ManifestId),
        data: &str,
        owner: &str,
    ) -> Result<(), LumbungError> {
        self.first(|depot| {
            let mut command = self.command();
            command.args(["database", "recover", &depot.depot, &snapshot.to_string()]);
            command.args(["--data", data, "--owner", owner]);
            self.launching(&mut command);
            self.with_key(&mut command, of);
            self.ask::<serde::de::IgnoredAny>(command)
        })
        .map(drop)
    }

    /// Signs that a snapshot was restored and found whole, and stores that in the depot.
    ///
    /// # Errors
    /// If the key may not, or no depot answers.
    pub fn prove(
        &self,
        of: &DatasetEntry,
        point: &RecoveryPoint,
        (started, finished): (Timestamp, Timestamp),
    ) -> Result<(), LumbungError> {
        let numbers = [
            ("--entries", point.entries.to_string()),
            ("--bytes", point.bytes.to_string()),
            ("--started", started.to_string()),
            ("--finished", finished.to_string()),
        ];
        // Where it was read is what was proven.
        let there = |depot: &&DepotEntry| point.site.is_none() || depot.site == point.site;
        self.first_of(self.file.depots.iter().filter(there), |depot| {
            let mut command = self.command();
            command.args(["proof", "sign", &depot.depot, &point.snapshot.to_string()]);
            command.args(numbers.iter().flat_map(|(name, value)| [*name, value.as_str()]));
            self.with_key(&mut command, of);
            self.ask::<serde::de::IgnoredAny>(command)
        })
        .map(drop)
    }

    /// The snapshots of a dataset that a depot shows to the key.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn snapshots(
        &self,
        of: &DatasetEntry,
        depot: &DepotEntry,
    ) -> Result<Vec<ManifestId>, LumbungError> {
        let mut command = self.command();
        command.args(["snapshots", &depot.depot, "--dataset", &of.dataset.to_string()]);
        self.with_key(&mut command, of);
        let listed: Listed = self.ask(command)?;
        if let Some(unreadable) = listed.unreadable.first() {
            let text = format!("{}: {unreadable}", depot.depot);
            return Err(LumbungError::Said { code: "damaged".to_owned(), text });
        }
        Ok(listed.snapshots.into_iter().map(|one| one.id).collect())
    }
}

fn latest(dataset: &DatasetId) -> String {
    format!("latest:{dataset}")
}

/// What `lumbung --json` says of what went wrong.
#[derive(Deserialize)]
struct Refusal {
    error: Refused,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
    message: String,
    #[serde(default)]
    causes: Vec<String>,
    #[serde(default)]
    next: String,
}

/// What it answered: one JSON document on standard output, or one about what went wrong at the end of standard error.
fn answer<T: DeserializeOwned>(ended: &Ended) -> Result<T, LumbungError> {
    // What was done with warnings, or only in part, is told as well; its numbers say so.
    if !ended.stdout.is_empty() {
        return serde_json::from_slice(&ended.stdout)
            .map_err(|error| LumbungError::Unexpected(error.to_string()));
    }
    let refusal = ended.said.rfind("{\"error\"").and_then(|at| {
        let mut found = serde_json::Deserializer::from_str(&ended.said[at..]).into_iter();
        found.next()?.ok()
    });
    match refusal {
        Some(Refusal { error: Refused { code, message, causes, next } }) => {
            let mut text = std::iter::once(message).chain(causes).collect::<Vec<_>>().join(": ");
            if !next.is_empty() {
                text = format!("{text}; {next}");
            }
            Err(LumbungError::Said { code, text })
        }
        None => Err(LumbungError::Unexpected(format!("{}: {}", ended.status, ended.said))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn ended(stdout: &str, said: &str) -> Ended {
        let status = std::process::ExitStatus::from_raw(256);
        Ended { status, stdout: stdout.into(), said: said.to_owned() }
    }

    #[test]
    fn what_went_wrong_is_told_with_why_and_what_next() {
        let said = "warning: the clock; {\"error\":{\"code\":\"depot\",\"message\":\"no answer\",\"causes\":[\"refused\"],\"candidates\":[],\"next\":\"try again\"}}";
        let error = answer::<Listed>(&ended("", said)).unwrap_err();
        assert!(error.is(UNREACHABLE));
        assert_eq!(error.to_string(), "no answer: refused; try again");
        let error = answer::<Listed>(&ended("", "Segmentation fault")).unwrap_err();
        assert!(error.to_string().contains("exit status: 1: Segmentation fault"), "{error}");
        assert!(matches!(answer::<Listed>(&ended("[]x", "")), Err(LumbungError::Unexpected(_))));
    }
}
