//! `lumbung repo`: make a repository, and see what one is.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lumbung_engine::Depot as _;
use lumbung_model::{PublicKey, RepositoryId, RosterId, Timestamp};
use lumbung_pack::{
    ChunkerParams, Kind, Recipient, RootKey, RootRole, Roster, RosterChain, object_id, sign,
};
use lumbung_seal::{AgentIdentity, KeyBundle};
use serde_json::json;

use crate::chain::now;
use crate::depot::{Access, DepotArgs, create_local, is_remote};
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::files::create_secret;
use crate::keys::{self, KeyArgs, OptionalKeyArgs};
use crate::roster_edit::{add_agent, add_recipient, add_site};
use crate::table::pairs;
use crate::terminal::{Terminal, printable};
use crate::{listing, machine, sites};

/// Make and inspect repositories
#[derive(Debug, Subcommand)]
pub(crate) enum RepoCommand {
    /// Make a repository in a directory: writes roster 1, and agent.id if it does not exist
    Init(InitArgs),
    /// Show what a repository is and holds
    Info(InfoArgs),
}

/// Arguments of `repo init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Directory, empty or new
    depot: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
    /// Agent identity: made if the file does not exist; without it the roster lists no agent yet
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Name of that agent in the roster
    #[arg(long, value_name = "NAME", default_value_t = machine::host_name(), hide_default_value = true)]
    agent_label: String,
    /// Site that keeps copies: [NAME=]FILE from `lumbung-vault init --json`, or [NAME=]SITE:RECEIPT_KEY:TLS_PIN
    #[arg(long, value_name = "SITE")]
    site: Vec<String>,
    /// Key that may add agents and nothing else, for instance the Dinas's
    #[arg(long, value_name = "HEX")]
    registrar: Option<PublicKey>,
    /// A second key bundle, kept on paper: may sign rosters and can decrypt
    #[arg(long, value_name = "FILE")]
    spare_key: Option<PathBuf>,
}

/// Arguments of `repo info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
}

/// Runs `lumbung repo`.
///
/// # Errors
/// As each command says.
pub(crate) fn run(command: &RepoCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        RepoCommand::Init(args) => init(args, terminal),
        RepoCommand::Info(args) => info(args, terminal),
    }
}

fn init(args: &InitArgs, terminal: &Terminal) -> Outcome<Exit> {
    if args.depot.to_str().is_some_and(is_remote) {
        return Err(Failure::new(
            Code::Usage,
            "a repository is made in a directory",
            "make it in a local directory, then `lumbung roster publish DIRECTORY https://…`",
        ));
    }
    let agent = match &args.agent {
        Some(path) => Some(planned_agent(path)?),
        None => None,
    };
    let bundle = args.key.open()?;
    let roster = first_roster(args, &bundle, agent.as_ref().map(|(identity, _)| identity))?;
    let object = sign(&roster, bundle.root());
    let id = object_id(&object);
    let chain = RosterChain::begin(&object, None).map_err(|e| {
        Failure::new(
            Code::BadRoster,
            "what was entered does not make a valid roster",
            "check keys and labels",
        )
        .because(e)
    })?;
    let depot = create_local(&args.depot)?;
    let written = match (agent, &args.agent) {
        (Some((identity, Place::New)), Some(path)) => {
            Some(write_agent(path, identity, chain.repository())?)
        }
        _ => None,
    };
    let name = depot.describe();
    depot.put(Kind::Roster, &id, &object).map_err(|e| {
        // An identity that belongs to no repository would only be in the way of the next try.
        if let Some(path) = written {
            let _ = std::fs::remove_file(path);
        }
        let message = format!("roster 1 could not be written to {name}");
        Failure::new(Code::Depot, message, "check space and rights, then run the command again")
            .because(e)
    })?;
    tell_init(args, &chain, terminal)?;
    Ok(Exit::Fine)
}

fn tell_init(args: &InitArgs, chain: &RosterChain, terminal: &Terminal) -> Outcome<()> {
    let value = json!({
        "repository": chain.repository(),
        "depot": args.depot,
        "roster": super::roster::roster_json(chain),
        "agent_file": args.agent,
    });
    terminal.result(&value, || {
        let mut lines = vec![
            (terminal.pick("Repositori", "Repository"), chain.repository().to_string()),
            (terminal.pick("Direktori", "Directory"), args.depot.display().to_string()),
        ];
        if let Some(path) = &args.agent {
            lines.push((terminal.pick("Agen", "Agent"), path.display().to_string()));
        }
        pairs(&lines)
    })?;
    let next = match &args.agent {
        Some(agent) => {
            format!(
                "Next: lumbung backup {} --agent {} PATH…",
                args.depot.display(),
                agent.display()
            )
        }
        None => format!("Next: lumbung roster add-agent {} --key … CODE", args.depot.display()),
    };
    terminal.note(&next);
    Ok(())
}

/// Whether an identity's file is there already.
enum Place {
    New,
    There,
}

fn planned_agent(path: &Path) -> Outcome<(AgentIdentity, Place)> {
    if !path.exists() {
        return Ok((AgentIdentity::generate(RepositoryId::ZERO), Place::New));
    }
    let identity = keys::agent(path)?;
    if identity.repository.is_zero() {
        return Ok((identity, Place::There));
    }
    Err(Failure::new(
        Code::OtherRepository,
        format!("{} was made for repository {}", path.display(), identity.repository),
        "name a file that does not exist yet, and a new identity is made for this repository",
    ))
}

fn write_agent(
    path: &Path,
    mut identity: AgentIdentity,
    repository: RepositoryId,
) -> Outcome<&Path> {
    identity.repository = repository;
    create_secret(path, "the agent identity", &identity.to_text())?;
    Ok(path)
}

fn first_roster(
    args: &InitArgs,
    bundle: &KeyBundle,
    agent: Option<&AgentIdentity>,
) -> Outcome<Roster> {
    let mut roster = Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: now(),
        chunker: ChunkerParams::default(),
        root_keys: vec![RootKey {
            key: bundle.root_public(),
            role: RootRole::Working,
            label: bundle.label().to_owned(),
        }],
        registrar: args.registrar,
        recipients: vec![Recipient {
            key: bundle.recovery_public(),
            label: bundle.label().to_owned(),
        }],
        agents: Vec::new(),
        sites: Vec::new(),
    };
    if let Some(path) = &args.spare_key {
        add_spare(&mut roster, path)?;
    }
    if let Some(identity) = agent {
        add_agent(&mut roster, &identity.public(), Some(&args.agent_label))?;
    }
    for site in &args.site {
        let _ = add_site(&mut roster, sites::parse(site)?);
    }
    Ok(roster)
}

/// A second bundle: it may sign rosters, and it can decrypt, or it would save nothing.
fn add_spare(roster: &mut Roster, path: &Path) -> Outcome<()> {
    let spare = keys::public_halves(path)?;
    if roster.root_keys.iter().any(|known| known.key == spare.root_public()) {
        let message = format!("{} is the working bundle itself", path.display());
        let next = "make a second bundle: `lumbung key new spare.key`";
        return Err(Failure::new(Code::Usage, message, next));
    }
    let label = spare.label().to_owned();
    let key = spare.root_public();
    roster.root_keys.push(RootKey { key, role: RootRole::Spare, label: label.clone() });
    let _ = add_recipient(roster, Recipient { key: spare.recovery_public(), label });
    Ok(())
}

fn info(args: &InfoArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::of(bundle.as_ref()))?;
    let list = listing::read(&opened)?;
    let packs = opened.depot.list(Kind::Pack).explain(
        Code::Depot,
        || format!("the packs of {} could not be listed", opened.name()),
        "check the address and that the depot can be read",
    )?;
    let newest = list.counted().map(|s| s.finished).max();
    let partial = list.snapshots.iter().filter(|s| s.partial).count();
    let unauthorized = list.snapshots.iter().filter(|s| !s.authorized).count();
    let value = json!({
        "repository": opened.chain.repository(),
        "depot": opened.name(),
        "roster": super::roster::roster_json(&opened.chain),
        "snapshots": {
            "total": list.snapshots.len(),
            "partial": partial,
            "unauthorized": unauthorized,
            "unreadable": list.unreadable.len(),
            "newest": newest,
        },
        "packs": packs.len(),
    });
    terminal.result(&value, || {
        let counts =
            Counts { total: list.snapshots.len(), partial, unauthorized, packs: packs.len() };
        info_text(&opened.chain, newest, &counts, terminal)
    })?;
    list.warn_unreadable(terminal);
    Ok(if list.unreadable.is_empty() { Exit::Fine } else { Exit::Warnings })
}

struct Counts {
    total: usize,
    partial: usize,
    unauthorized: usize,
    packs: usize,
}

fn info_text(
    chain: &RosterChain,
    newest: Option<Timestamp>,
    counts: &Counts,
    terminal: &Terminal,
) -> String {
    let roster = &chain.current().body;
    let labels = |labels: Vec<&String>| {
        let shown: Vec<String> = labels.iter().map(|label| printable(label.as_bytes())).collect();
        format!("{} ({})", shown.len(), shown.join(", "))
    };
    let snapshots = format!(
        "{} ({} {}, {} {})",
        counts.total,
        counts.partial,
        terminal.pick("parsial", "partial"),
        counts.unauthorized,
        terminal.pick("belum disahkan", "not authorised")
    );
    let recipients = labels(roster.recipients.iter().map(|r| &r.label).collect());
    let agents = labels(roster.agents.iter().map(|a| &a.label).collect());
    let sites = labels(roster.sites.iter().map(|s| &s.label).collect());
    pairs(&[
        (terminal.pick("Repositori", "Repository"), chain.repository().to_string()),
        ("Roster", format!("{} ({})", roster.number, terminal.time(roster.created))),
        (terminal.pick("Penerima", "Recipients"), recipients),
        (terminal.pick("Agen", "Agents"), agents),
        (terminal.pick("Lokasi", "Sites"), sites),
        (terminal.pick("Cuplikan", "Snapshots"), snapshots),
        (terminal.pick("Terbaru", "Newest"), newest.map_or("–".into(), |at| terminal.time(at))),
        (terminal.pick("Pak", "Packs"), counts.packs.to_string()),
    ])
}
