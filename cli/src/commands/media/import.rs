//! `lumbung media import`: what is on a medium, into a directory or a vault.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use lumbung_engine::media::{Copies, ImportOutcome, MediaError, import};
use lumbung_engine::{Depot, LocalDepot};
use lumbung_model::{ByteSize, RepositoryId};
use lumbung_pack::{MediumList, RosterChain};
use lumbung_store::medium::{list_what_is_there, read_lists};
use lumbung_store::{MediumDir, RepositoryDir};
use serde_json::json;

use super::{MediumArgs, explain, explain_store, left_out};
use crate::depot::{Access, AccessArgs, is_remote, several};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::interrupt::on_ctrl_c;
use crate::keys::OptionalKeyArgs;
use crate::progress::Meter;
use crate::table::pairs;
use crate::terminal::Terminal;
use crate::{chain, remote};

/// Arguments of `media import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Depot that gets it: a directory (a repository, or empty), or https://host:port of a vault
    depot: String,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
    /// Also where nobody entitled has signed what the medium holds
    #[arg(long)]
    unsigned: bool,
}

/// Runs `lumbung media import`.
///
/// # Errors
/// If one of the sides cannot be used.
pub(crate) fn run(args: &ImportArgs, terminal: &Terminal) -> Outcome<Exit> {
    let path = &args.medium.medium;
    let failed = |e| explain_store(path, e);
    let bundle = args.key.open()?;
    let medium = args.medium.open()?;
    let id = which(&medium, args)?;
    let directory = medium.repository(&id).map_err(failed)?;
    let chain = chain::read(&LocalDepot::new(directory.clone()), Some(id))?;
    let list = list(&medium, &chain, args.unsigned)
        .map_err(|e| explain("nothing was brought in", path, e))?;
    let (target, chain) = target(args, &chain, Access::of(bundle.as_ref()))?;
    let cancel = on_ctrl_c(terminal.quiet)?;
    let meter = Meter::new(terminal, "import");
    let done = import(&directory, &chain, &list, target.as_ref(), &meter, &cancel);
    meter.finish();
    let outcome = done.map_err(|e| explain("the import did not finish", path, e))?;
    tell(&id, target.as_ref(), &outcome, terminal)
}

fn which(medium: &MediumDir, args: &ImportArgs) -> Outcome<RepositoryId> {
    let path = &args.medium.medium;
    let mut found = medium.repositories().map_err(|e| explain_store(path, e))?;
    found.retain(|id| args.access.repository.is_none_or(|wanted| wanted == *id));
    match found[..] {
        [one] => Ok(one),
        [] => Err(Failure::new(
            Code::NotADepot,
            format!("{} holds no such repository", path.display()),
            "`lumbung media show` lists what it holds",
        )),
        _ => Err(several(&path.display().to_string(), &found)),
    }
}

fn list(medium: &MediumDir, chain: &RosterChain, unsigned: bool) -> Result<MediumList, MediaError> {
    let known = read_lists(medium)?.load(medium, chain)?;
    match known {
        Some(known) if known.signer.is_some() => Ok(known.list.body),
        _ if unsigned => Ok(list_what_is_there(medium, chain)?),
        Some(known) => {
            let reason = format!(
                "list {} is signed by {}, which the roster does not entitle",
                known.list.id, known.list.signer
            );
            Err(MediaError::Unsigned { repository: chain.repository(), reason })
        }
        None => {
            let reason = "the medium has no list of this repository".to_owned();
            Err(MediaError::Unsigned { repository: chain.repository(), reason })
        }
    }
}

/// The depot that gets it, and the rosters of both sides.
fn target(
    args: &ImportArgs,
    medium: &RosterChain,
    access: Access<'_>,
) -> Outcome<(Arc<dyn Depot>, RosterChain)> {
    if is_remote(&args.depot) {
        let target = remote::connect_known(&args.depot, &args.access, access, medium)?;
        let chain = union(medium, target.as_ref())?;
        return Ok((target, chain));
    }
    let path = Path::new(&args.depot);
    let directory = RepositoryDir::create(path).map_err(|error| {
        let next = "choose the directory of this repository, or an empty one";
        let message = format!("{} cannot take a repository", path.display());
        Failure::new(Code::NotADepot, message, next).because(error)
    })?;
    let chain = union(medium, &LocalDepot::new(directory.clone()))?;
    Ok((Arc::new(Copies::new(directory, chain.clone(), HashSet::new())), chain))
}

fn union(medium: &RosterChain, depot: &dyn Depot) -> Outcome<RosterChain> {
    let mut objects = chain::objects(depot)?;
    let new = medium.objects().iter().filter(|object| !objects.contains(object));
    let new: Vec<_> = new.cloned().collect();
    objects.extend(new);
    chain::build(objects, Some(medium.repository()), &depot.describe())
}

fn tell(
    id: &RepositoryId,
    target: &dyn Depot,
    outcome: &ImportOutcome,
    terminal: &Terminal,
) -> Outcome<Exit> {
    let value = json!({
        "repository": id,
        "depot": target.describe(),
        "snapshots": outcome.snapshots,
        "there": outcome.there,
        "objects": outcome.objects,
        "bytes": outcome.bytes,
        "left_out": left_out(&outcome.left_out),
    });
    terminal.result(&value, || {
        pairs(&[
            (terminal.pick("Repositori", "Repository"), id.to_string()),
            (terminal.pick("Cuplikan baru", "New snapshots"), outcome.snapshots.len().to_string()),
            (terminal.pick("Sudah ada", "There already"), outcome.there.to_string()),
            (terminal.pick("Dikirim", "Sent"), ByteSize::bytes(outcome.bytes).to_string()),
        ])
    })?;
    for missed in &outcome.left_out {
        let name = missed.snapshot.map_or_else(String::new, |id| format!("{id}: "));
        terminal.warn(&format!("{name}{}", missed.reason));
    }
    Ok(if outcome.left_out.is_empty() { Exit::Fine } else { Exit::Warnings })
}
