//! `lumbung roster publish`, `export` and `import`: rosters from one depot to another.
//!
//! Invariant: a depot gets rosters only of the repository that it is, and never a fork of its chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use lumbung_engine::Depot;
use lumbung_pack::RosterChain;
use serde_json::json;

use crate::commands::roster::put;
use crate::depot::{self, Access, AccessArgs, DepotArgs, Opened, create_local, is_remote};
use crate::failure::{Exit, Outcome};
use crate::files::{create, read_text};
use crate::keys::OptionalKeyArgs;
use crate::terminal::Terminal;
use crate::{chain, remote};

/// Arguments of `roster publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Depot that has the rosters
    from: String,
    /// Depot that gets them: a vault, a repository, or an empty directory
    to: String,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
}

/// Arguments of `roster export`.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// File to write
    file: PathBuf,
    #[command(flatten)]
    key: OptionalKeyArgs,
}

/// Arguments of `roster import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Depot that gets the rosters: a vault, a repository, or an empty directory
    depot: String,
    /// File from `lumbung roster export`
    file: PathBuf,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
}

/// Runs `lumbung roster publish`.
///
/// # Errors
/// If one of the depots cannot be used, or they are not of one repository.
pub(crate) fn publish(args: &PublishArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let access = Access::of(bundle.as_ref());
    let from = depot::open(&args.from, &args.access, access)?;
    bring(&from.chain, &args.to, &args.access, access, terminal)
}

/// Runs `lumbung roster export`.
///
/// # Errors
/// If the depot cannot be read or the file not written.
pub(crate) fn export(args: &FileArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::of(bundle.as_ref()))?;
    let text = chain::to_text(&opened.chain);
    create(&args.file, "the rosters' file", text.as_bytes(), 0o644)?;
    let rosters = opened.chain.all().len();
    let value =
        json!({ "repository": opened.chain.repository(), "file": args.file, "rosters": rosters });
    terminal.result(&value, || format!("{}: {rosters} roster\n", args.file.display()))?;
    Ok(Exit::Fine)
}

/// Runs `lumbung roster import`.
///
/// # Errors
/// If the file does not check, or the depot does not take it.
pub(crate) fn import(args: &ImportArgs, terminal: &Terminal) -> Outcome<Exit> {
    let text = read_text(&args.file, "the rosters' file")?;
    let chain = chain::from_text(&text, args.access.repository, &args.file.display().to_string())?;
    let bundle = args.key.open()?;
    bring(&chain, &args.depot, &args.access, Access::of(bundle.as_ref()), terminal)
}

/// Puts every roster of a chain into a depot, the first one first.
fn bring(
    chain: &RosterChain,
    to: &str,
    args: &AccessArgs,
    access: Access<'_>,
    terminal: &Terminal,
) -> Outcome<Exit> {
    let target = target(chain, to, args, access)?;
    let there = chain::objects(target.as_ref())?;
    if !there.is_empty() {
        // Refuses another repository, a fork, and rosters newer than ours are left alone.
        let mut union: Vec<Vec<u8>> = there.clone();
        union.extend(chain.objects().iter().filter(|object| !there.contains(object)).cloned());
        chain::build(union, Some(chain.repository()), &target.describe())?;
    }
    let missing: Vec<&Vec<u8>> =
        chain.objects().iter().filter(|object| !there.contains(object)).collect();
    for object in &missing {
        put(&target, object)?;
    }
    let value = json!({
        "repository": chain.repository(),
        "depot": target.describe(),
        "published": missing.len(),
        "newest": chain.current().body.number,
    });
    terminal.result(&value, || {
        let word = terminal.pick("roster baru diterbitkan ke", "new rosters published to");
        format!("{} {word} {}\n", missing.len(), target.describe())
    })?;
    Ok(Exit::Fine)
}

fn target(
    chain: &RosterChain,
    to: &str,
    args: &AccessArgs,
    access: Access<'_>,
) -> Outcome<Arc<dyn Depot>> {
    if is_remote(to) {
        return remote::connect_known(to, args, access, chain);
    }
    let path = Path::new(to);
    let empty =
        !path.exists() || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        return Ok(Arc::new(create_local(path)?));
    }
    let args = AccessArgs { repository: Some(chain.repository()), identity: None };
    depot::open(to, &args, Access::Nobody).map(|Opened { depot, .. }| depot)
}
