//! `lumbung media`: backups on a removable disk, encrypted as they are, with a signed list.

mod check;
mod export;
mod import;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_engine::media::{LeftOut, MediaError};
use lumbung_engine::{DepotError, SnapshotError};
use lumbung_pack::{ListSigner, RosterChain};
use lumbung_store::medium::KnownList;
use lumbung_store::{MediumDir, StoreError};
use serde_json::{Value, json};

use crate::failure::{Code, Exit, Failure, Outcome};
use crate::listing;
use crate::terminal::Terminal;

/// Backups on portable media
#[derive(Debug, Subcommand)]
pub(crate) enum MediaCommand {
    /// Copy a repository, or what a medium lacks of it, to a removable disk, with a signed list
    Export(Box<export::ExportArgs>),
    /// Read everything on a medium and hold it against its list; needs no key
    Verify(check::VerifyArgs),
    /// Show a medium's lists without reading what they name
    Show(check::ShowArgs),
    /// Bring what is on a medium into a directory, or into a vault with the owner's key
    Import(import::ImportArgs),
}

/// A medium's own directory.
#[derive(Debug, Clone, Args)]
pub(super) struct MediumArgs {
    /// Directory of the medium
    #[arg(value_name = "MEDIUM")]
    medium: PathBuf,
}

impl MediumArgs {
    fn open(&self) -> Outcome<MediumDir> {
        MediumDir::open(&self.medium).map_err(|e| explain_store(&self.medium, e))
    }
}

/// Runs `lumbung media`.
///
/// # Errors
/// If the medium or the depot cannot be used.
pub(crate) fn run(command: &MediaCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        MediaCommand::Export(args) => export::run(args, terminal),
        MediaCommand::Verify(args) => check::verify(args, terminal),
        MediaCommand::Show(args) => check::show(args, terminal),
        MediaCommand::Import(args) => import::run(args, terminal),
    }
}

/// What a medium's error means at the terminal.
fn explain_store(path: &Path, error: StoreError) -> Failure {
    let (code, next) = match &error {
        StoreError::NotAMedium { .. } => (
            Code::NotAMedium,
            "give the folder that `lumbung media export` made, with lumbung-medium.txt in it",
        ),
        StoreError::Busy { .. } => (Code::Depot, "run it again when the other one has finished"),
        StoreError::Full { .. } => (Code::Depot, FULL),
        StoreError::Damaged { .. } | StoreError::List { .. } => {
            (Code::Damaged, "`lumbung media verify` tells everything that is damaged")
        }
        _ => (Code::Io, "check the disk, its cable, and that it may be read and written"),
    };
    Failure::new(code, format!("{} cannot be used", path.display()), next).because(error)
}

const FULL: &str = "use a larger disk, or add --fill to bring as much as fits and go on with --since on the next disk";

/// What an error of an export, verification or import means at the terminal.
fn explain(what: &str, path: &Path, error: MediaError) -> Failure {
    let (code, next) = match error {
        MediaError::Store(error) => return explain_store(path, error),
        MediaError::Snapshot(error @ SnapshotError::Depot(DepotError::Full { .. })) => {
            return Failure::new(Code::Depot, what, FULL).because(error);
        }
        MediaError::Snapshot(error) => return listing::explain(what, error),
        MediaError::Depot(DepotError::Full { .. }) | MediaError::NoSpace { .. } => {
            (Code::Depot, FULL)
        }
        MediaError::Depot(DepotError::Refused { .. }) => (
            Code::NotEntitled,
            "see why it refused; the key or certificate may not be the right one",
        ),
        MediaError::Depot(DepotError::Damaged { .. } | DepotError::NotFound { .. }) => {
            (Code::Damaged, "read it from another site")
        }
        MediaError::Depot(_) => (
            Code::Depot,
            "check the address, the network, the disk and its cable; what was copied stays, run it again",
        ),
        MediaError::Roster(_) => (Code::BadRoster, "find out which of the two was altered"),
        MediaError::Object { .. } => (Code::Damaged, "read it from another site"),
        MediaError::Base { .. } => {
            (Code::NotEntitled, "give a list that the owner or a site of the roster has signed")
        }
        MediaError::Unsigned { .. } => (
            Code::Unsigned,
            "have the owner sign what is there (`lumbung media export MEDIUM MEDIUM --key K`), or say --unsigned",
        ),
        MediaError::Cancelled => {
            (Code::Interrupted, "run the command again; it goes on where it stopped")
        }
        MediaError::Thread => (Code::Io, "run the command again"),
    };
    Failure::new(code, what, next).because(error)
}

/// Who signed a list, for people and for the register.
fn signer_of(list: &KnownList, chain: Option<&RosterChain>) -> Value {
    let (kind, label) = match list.signer {
        Some(ListSigner::Root) => ("root", None),
        Some(ListSigner::Site(site)) => {
            ("site", chain.and_then(|chain| chain.site(&site)).map(|site| site.label.clone()))
        }
        Some(ListSigner::Agent(agent)) => {
            ("agent", chain.and_then(|chain| chain.agent(&agent)).map(|agent| agent.label.clone()))
        }
        None => ("nobody", None),
    };
    json!({ "kind": kind, "key": list.list.signer, "label": label.unwrap_or_default() })
}

fn left_out(all: &[LeftOut]) -> Vec<Value> {
    all.iter().map(|one| json!({ "snapshot": one.snapshot, "reason": one.reason })).collect()
}
