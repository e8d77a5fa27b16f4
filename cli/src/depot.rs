//! DEPOT on the command line: a directory, a vault's data directory, or a vault's address.
//!
//! Invariant: a depot is opened together with its checked roster chain, of exactly one repository; what
//! a later command does with it rests on that chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_engine::{Depot, HeadCache, LocalDepot};
use lumbung_model::RepositoryId;
use lumbung_pack::RosterChain;
use lumbung_seal::{AgentIdentity, KeyBundle, RequesterIdentity};
use lumbung_store::{RepositoryDir, StoreError};

use crate::chain;
use crate::failure::{Code, Failure, Outcome};
use crate::remote;

/// Where a repository is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DepotArgs {
    /// Directory of a repository or of a vault, or https://host:port of a vault
    pub(crate) depot: String,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// Which repository, and as whom.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AccessArgs {
    /// Which repository, where the depot keeps several
    #[arg(long, value_name = "HEX")]
    pub(crate) repository: Option<RepositoryId>,
    /// Client certificate and key for a vault, PEM (agents and operators; a key bundle needs none)
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

/// Whose keys are at hand.
#[derive(Clone, Copy)]
pub(crate) enum Access<'a> {
    /// Nobody's: reading what is public.
    Nobody,
    /// The custodian's.
    Bundle(&'a KeyBundle),
    /// An agent's.
    Agent(&'a AgentIdentity),
    /// Somebody's to whom snapshots were granted.
    Requester(&'a RequesterIdentity),
}

impl<'a> Access<'a> {
    /// The bundle's if there is one.
    #[must_use]
    pub(crate) const fn of(bundle: Option<&'a KeyBundle>) -> Self {
        match bundle {
            Some(bundle) => Self::Bundle(bundle),
            None => Self::Nobody,
        }
    }
}

/// A repository at hand.
pub(crate) struct Opened {
    /// Where it is.
    pub(crate) depot: Arc<dyn Depot>,
    /// Its checked constitution.
    pub(crate) chain: RosterChain,
}

impl Opened {
    /// What people call the depot.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        self.depot.describe()
    }
}

/// Where the heads of a vault's packs are kept on this machine; nowhere for what is on this machine anyway.
#[must_use]
pub(crate) fn head_cache(depot: &dyn Depot) -> Option<HeadCache> {
    if depot.local_path().is_some() {
        return None;
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(HeadCache::new(cache.join("lumbung/heads")))
}

/// Whether a depot is named by an address.
#[must_use]
pub(crate) fn is_remote(depot: &str) -> bool {
    depot.contains("://")
}

impl DepotArgs {
    /// Opens the depot and checks its rosters.
    ///
    /// # Errors
    /// If there is no repository, or not the one that was meant.
    pub(crate) fn open(&self, access: Access<'_>) -> Outcome<Opened> {
        open(&self.depot, &self.access, access)
    }
}

/// Opens a depot and checks its rosters.
///
/// # Errors
/// If there is no repository, or not the one that was meant.
pub(crate) fn open(depot: &str, args: &AccessArgs, access: Access<'_>) -> Outcome<Opened> {
    if is_remote(depot) {
        return remote::open(depot, args, access);
    }
    let path = Path::new(depot);
    let (directory, expected) = match find(path, args.repository)? {
        Found::Repository => (path.to_owned(), args.repository),
        Found::InVault(directory, repository) => (directory, Some(repository)),
        Found::Nothing(message) => {
            let next = "check the path, or make a repository there with `lumbung repo init`";
            return Err(Failure::new(Code::NotADepot, message, next));
        }
    };
    let local = LocalDepot::open(&directory).map_err(|e| not_a_depot(&directory, e))?;
    let chain = chain::read(&local, expected)?;
    Ok(Opened { depot: Arc::new(local), chain })
}

/// What lies at a path.
enum Found {
    Repository,
    InVault(PathBuf, RepositoryId),
    Nothing(String),
}

fn find(path: &Path, wanted: Option<RepositoryId>) -> Outcome<Found> {
    if path.join("rosters").is_dir() {
        return Ok(Found::Repository);
    }
    let shelf = path.join("repositories");
    if !shelf.is_dir() {
        let what = if path.exists() { "holds no repository" } else { "does not exist" };
        return Ok(Found::Nothing(format!("{} {what}", path.display())));
    }
    let mut found = repositories_at(path)?;
    if let Some(wanted) = wanted {
        found.retain(|repository| *repository == wanted);
    }
    match found[..] {
        [one] => Ok(Found::InVault(shelf.join(one.to_string()), one)),
        [] => Ok(Found::Nothing(match wanted {
            Some(wanted) => {
                format!("the vault at {} does not keep repository {wanted}", path.display())
            }
            None => format!("the vault at {} keeps no repository yet", path.display()),
        })),
        _ => Err(several(&path.display().to_string(), &found)),
    }
}

/// The repositories in a vault's data directory or on a medium, ascending.
///
/// # Errors
/// If there is no such directory.
pub(crate) fn repositories_at(path: &Path) -> Outcome<Vec<RepositoryId>> {
    let shelf = path.join("repositories");
    let entries = std::fs::read_dir(&shelf)
        .map_err(|e| crate::files::missing(&shelf, "the vault's directory", e))?;
    let mut found: Vec<RepositoryId> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}

/// The failure where one of several repositories is meant.
#[must_use]
pub(crate) fn several(depot: &str, found: &[RepositoryId]) -> Failure {
    let message = format!("{depot} keeps {} repositories", found.len());
    Failure::new(Code::AmbiguousRepository, message, "say which one with --repository")
        .listing(found.iter().map(ToString::to_string).collect())
}

fn not_a_depot(path: &Path, error: StoreError) -> Failure {
    let next = "check the path, or make a repository there with `lumbung repo init`";
    Failure::new(Code::NotADepot, format!("{} is no repository", path.display()), next)
        .because(error)
}

/// Makes an empty repository in a directory that does not exist or is empty.
///
/// # Errors
/// If something is there.
pub(crate) fn create_local(path: &Path) -> Outcome<LocalDepot> {
    if path.join("rosters").is_dir() {
        let used = RepositoryDir::open(path)
            .and_then(|d| d.list(lumbung_pack::Kind::Roster))
            .map_err(|e| not_a_depot(path, e))?;
        if !used.is_empty() {
            let message = format!("{} is a repository already", path.display());
            return Err(Failure::new(
                Code::FileExists,
                message,
                "choose another directory; `lumbung repo info` shows what is there",
            ));
        }
    }
    LocalDepot::create(path).map_err(|error| {
        let message = format!("no repository could be made at {}", path.display());
        Failure::new(
            Code::NotADepot,
            message,
            "choose a directory that is empty or does not exist yet",
        )
        .because(error)
    })
}
