//! The snapshots of a depot, and which of them is meant.
//!
//! Invariants: "latest" is never a partial snapshot nor one that the newest roster does not vouch for (the
//! engine sees to that); a manifest that cannot be read is named, not passed over.

use lumbung_engine::{Snapshot, SnapshotError, list_snapshots, select_snapshot};
use lumbung_model::{AgentId, DomainId, ManifestId};
use lumbung_pack::RosterChain;

use crate::dataset;
use crate::depot::Opened;
use crate::failure::{Code, Failure, Outcome};
use crate::terminal::{Terminal, printable};

/// All snapshots of a repository.
pub(crate) struct Listing<'a> {
    chain: &'a RosterChain,
    depot: String,
    /// Those that check, by dataset and then by age.
    pub(crate) snapshots: Vec<Snapshot>,
    /// Those that do not.
    pub(crate) unreadable: Vec<SnapshotError>,
}

/// Lists the snapshots of a depot.
///
/// # Errors
/// If the depot does not give them.
pub(crate) fn read(opened: &Opened) -> Outcome<Listing<'_>> {
    let (snapshots, unreadable) =
        list_snapshots(opened.depot.as_ref(), Some(opened.chain.repository()))
            .map_err(|e| explain("the snapshots could not be listed", e))?;
    Ok(Listing { chain: &opened.chain, depot: opened.name(), snapshots, unreadable })
}

/// What the engine's refusal means at the terminal.
#[must_use]
pub(crate) fn explain(what: &str, error: SnapshotError) -> Failure {
    let (code, next) = match &error {
        SnapshotError::Depot(error) if error.is_not_found() => {
            (Code::Damaged, "run `lumbung verify` here, and read the snapshot at another site")
        }
        SnapshotError::Depot(error) if !error.is_transient() => {
            (Code::Damaged, "read it at another site; a scrub repairs what it can")
        }
        SnapshotError::Depot(_) => (
            Code::Depot,
            "check the address, the network and that the depot can be read; then try again",
        ),
        SnapshotError::Roster { .. } => (Code::BadRoster, "compare this copy with another one"),
        SnapshotError::Open { .. } => (
            Code::NotEntitled,
            "use the key bundle of a recipient: `lumbung roster show DEPOT` lists them",
        ),
        SnapshotError::Partial(_) => {
            (Code::UnknownSnapshot, "`lumbung snapshots DEPOT` lists those that can be restored")
        }
        SnapshotError::OtherRepository { .. } => {
            (Code::OtherRepository, "check the depot and the snapshot's id")
        }
        SnapshotError::NoRepository { .. } => (Code::NotADepot, "check the path or address"),
        SnapshotError::SeveralRepositories { .. } => {
            (Code::AmbiguousRepository, "say which one with --repository")
        }
        SnapshotError::Write(_) => {
            (Code::Io, "look at where the output goes (a full disk?), then try again")
        }
        SnapshotError::Root { .. } => (Code::Io, "check the directory and the rights of this user"),
        SnapshotError::Cancelled => (Code::Interrupted, "run the command again"),
        SnapshotError::Thread => (Code::Depot, "run the command again"),
        SnapshotError::NotAFile(_) => {
            (Code::UnknownPath, "name a file; `lumbung ls --long` shows what is there")
        }
        SnapshotError::NoSuchPath(_) => {
            (Code::UnknownPath, "`lumbung ls DEPOT SNAPSHOT` lists what is there")
        }
        SnapshotError::NotFound(_) | SnapshotError::Ambiguous { .. } => {
            (Code::UnknownSnapshot, "`lumbung snapshots DEPOT --all` lists them")
        }
        SnapshotError::Object { .. }
        | SnapshotError::Catalogue(_)
        | SnapshotError::LostPacks { .. }
        | SnapshotError::UnknownChunk(_)
        | SnapshotError::WrapUnreadable { .. }
        | SnapshotError::UnknownSession(_) => {
            (Code::Damaged, "read it at another site; `lumbung verify` tells what is damaged")
        }
    };
    Failure::new(code, what, next).because(error)
}

impl Listing<'_> {
    /// The snapshots that count: whole, and vouched for.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.iter().filter(|snapshot| !snapshot.partial && snapshot.authorized)
    }

    /// The dedup domain of a listed agent.
    fn domain(&self, agent: &AgentId) -> Option<DomainId> {
        self.chain.agent(agent).map(|listed| listed.domain)
    }

    /// Whether a snapshot is of the dataset that was named, by id, its beginning, or name.
    #[must_use]
    pub(crate) fn is_of(&self, snapshot: &Snapshot, named: &str) -> bool {
        dataset::is_named(named, snapshot.dataset, self.domain(&snapshot.agent))
    }

    /// Says which manifests could not be read.
    pub(crate) fn warn_unreadable(&self, terminal: &Terminal) {
        for error in &self.unreadable {
            terminal.warn(&printable(error.to_string().as_bytes()));
        }
    }

    /// The snapshot that is meant by `latest`, `latest:DATASET`, an id, or the beginning of one.
    ///
    /// # Errors
    /// If none or several are meant.
    pub(crate) fn select(
        &self,
        spec: &str,
        dataset: Option<&str>,
        terminal: &Terminal,
    ) -> Outcome<Snapshot> {
        let (wanted, named) = match spec.split_once(':') {
            Some(("latest", named)) if dataset.is_some_and(|dataset| dataset != named) => {
                let message = format!(
                    "{spec} and --dataset {} name different datasets",
                    dataset.unwrap_or_default()
                );
                return Err(Failure::new(Code::Usage, message, "name the dataset once"));
            }
            Some(("latest", named)) => ("latest", Some(named)),
            _ => (spec, dataset),
        };
        let chosen: Vec<Snapshot> = self
            .snapshots
            .iter()
            .filter(|snapshot| named.is_none_or(|named| self.is_of(snapshot, named)))
            .cloned()
            .collect();
        let found = select_snapshot(&chosen, wanted)
            .map_err(|e| self.unselected(e, wanted, named, terminal))?;
        // What cannot be read may be newer than what was chosen.
        self.warn_unreadable(terminal);
        self.warn_fork(&found, terminal);
        Ok(found)
    }

    fn unselected(
        &self,
        error: SnapshotError,
        wanted: &str,
        named: Option<&str>,
        terminal: &Terminal,
    ) -> Failure {
        let of = named.map(|named| format!(" of dataset {named:?}")).unwrap_or_default();
        match error {
            SnapshotError::NotFound(_) if wanted == "latest" => {
                let message = format!("{} has no snapshot{of} that counts as latest", self.depot);
                let next = "`lumbung snapshots DEPOT --all` lists every one, also partial ones and those that no roster vouches for";
                Failure::new(Code::UnknownSnapshot, message, next)
            }
            SnapshotError::NotFound(_) => {
                let message = format!("{} has no snapshot {wanted}{of}", self.depot);
                let next = "write latest, latest:DATASET, or at least 4 digits of an id; `lumbung snapshots DEPOT --all` lists them";
                Failure::new(Code::UnknownSnapshot, message, next)
            }
            SnapshotError::Ambiguous { candidates, .. } => {
                let lines =
                    candidates.iter().map(|snapshot| self.line(snapshot, terminal)).collect();
                if wanted == "latest" {
                    let message = format!(
                        "`latest` is by dataset, and {} datasets{of} have one",
                        candidates.len()
                    );
                    let next =
                        "write latest:DATASET with one of these datasets, or the snapshot's id";
                    Failure::new(Code::AmbiguousLatest, message, next).listing(lines)
                } else {
                    let message = format!("{} snapshots begin with {wanted}", candidates.len());
                    Failure::new(Code::AmbiguousSnapshot, message, "give more digits")
                        .listing(lines)
                }
            }
            other => explain("the snapshot could not be chosen", other),
        }
    }

    /// Two snapshots with one number: the agent was cloned, or somebody else has its key.
    fn warn_fork(&self, chosen: &Snapshot, terminal: &Terminal) {
        let place = |s: &Snapshot| (s.agent, s.dataset, s.epoch, s.sequence);
        for twin in self.counted().filter(|s| s.id != chosen.id && place(s) == place(chosen)) {
            terminal.warn(&format!(
                "snapshots {} and {} have the same number: the agent was cloned, or its key is in other hands",
                chosen.id.short(),
                twin.id.short()
            ));
        }
    }

    /// One line about a snapshot, to choose by.
    #[must_use]
    pub(crate) fn line(&self, snapshot: &Snapshot, terminal: &Terminal) -> String {
        let agent = snapshot.agent_label.as_deref().unwrap_or_default();
        format!(
            "{}  {}  {} {}  {}",
            snapshot.id.short(),
            terminal.time(snapshot.finished),
            terminal.pick("himpunan data", "dataset"),
            snapshot.dataset,
            printable(agent.as_bytes())
        )
    }

    /// The shortest beginnings of at least eight digits by which the ids differ.
    #[must_use]
    pub(crate) fn id_digits(&self) -> usize {
        let mut ids: Vec<String> =
            self.snapshots.iter().map(|snapshot| snapshot.id.to_string()).collect();
        ids.sort_unstable();
        let shared =
            |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
        let longest = ids.windows(2).map(|pair| shared(&pair[0], &pair[1]) + 1).max().unwrap_or(0);
        longest.clamp(8, 2 * ManifestId::LEN)
    }
}
