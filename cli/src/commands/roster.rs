//! `lumbung roster`: who may sign, read, write and keep; every change is a new roster, signed.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use lumbung_engine::Depot;
use lumbung_model::PublicKey;
use lumbung_pack::{AgentStatus, Kind, Recipient, RootRole, Roster, RosterChain, object_id};
use lumbung_seal::{AgentIdentity, AgentPublic};
use serde_json::json;

use crate::chain;
use crate::commands::roster_travel as travel;
use crate::depot::{Access, DepotArgs};
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::files::read_text;
use crate::keys::{self, KeyArgs, OptionalKeyArgs};
use crate::terminal::Terminal;
use crate::{roster_edit as edit, roster_text, sites};

/// Show and change who may read, write and keep
#[derive(Debug, Subcommand)]
pub(crate) enum RosterCommand {
    /// Show the newest roster
    Show(ShowArgs),
    /// Let agents add snapshots that count
    AddAgent(AddAgentArgs),
    /// Let an agent add nothing more; its snapshots stay valid
    WithdrawAgent(EntryArgs),
    /// Give a compromised server a new agent, with keys and a dedup domain of its own, in the place of its old one
    ReplaceAgent(ReplaceAgentArgs),
    /// Trust a site to keep copies, or replace its keys
    AddSite(AddSiteArgs),
    /// Trust a site no longer
    RemoveSite(EntryArgs),
    /// Let somebody else open what is backed up from now on
    AddRecipient(AddRecipientArgs),
    /// Keep somebody from opening what is backed up from now on
    RemoveRecipient(EntryArgs),
    /// Copy all rosters from one depot to another
    Publish(travel::PublishArgs),
    /// Write all rosters to a text file
    Export(travel::FileArgs),
    /// Bring in all rosters from a text file
    Import(travel::ImportArgs),
}

/// Arguments of `roster show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
}

/// Arguments of `roster add-agent`.
#[derive(Debug, Args)]
pub(crate) struct AddAgentArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// Codes that enrolment printed (lumbung-agent:…), or agent identity files
    #[arg(required = true, value_name = "CODE")]
    codes: Vec<String>,
    /// Name of the server; for one agent only
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments of `roster replace-agent`.
#[derive(Debug, Args)]
pub(crate) struct ReplaceAgentArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// The old agent's label, or four or more digits of its id
    #[arg(value_name = "ID|LABEL")]
    old: String,
    /// Code that the new enrolment printed (lumbung-agent:…), or a file with it
    #[arg(value_name = "CODE")]
    new: String,
    #[command(flatten)]
    key: KeyArgs,
}

/// An entry of the roster.
#[derive(Debug, Args)]
pub(crate) struct EntryArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// The entry's label, or four or more digits of its id
    #[arg(value_name = "ID|LABEL")]
    entry: String,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments of `roster add-site`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["site", "site_id"]))]
pub(crate) struct AddSiteArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// [NAME=]FILE from `lumbung-vault init --json`, or [NAME=]SITE:RECEIPT_KEY:TLS_PIN
    site: Option<String>,
    /// Id of the site
    #[arg(long, value_name = "HEX", requires_all = ["receipt_key", "tls_pin"], conflicts_with = "site")]
    site_id: Option<lumbung_model::SiteId>,
    /// Key that signs the site's receipts
    #[arg(long, value_name = "HEX")]
    receipt_key: Option<PublicKey>,
    /// SHA-256 of the public key of the site's TLS server
    #[arg(long, value_name = "HEX")]
    tls_pin: Option<lumbung_model::TlsPin>,
    /// Name of the site
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

/// Arguments of `roster add-recipient`.
#[derive(Debug, Args)]
pub(crate) struct AddRecipientArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// Key bundle file (its public half is used), or recovery public key in hex
    recipient: String,
    /// Name of the recipient
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

/// Runs `lumbung roster`.
///
/// # Errors
/// As each command says.
pub(crate) fn run(command: &RosterCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        RosterCommand::Show(args) => show(args, terminal),
        RosterCommand::AddAgent(args) => add_agents(args, terminal),
        RosterCommand::WithdrawAgent(args) => change(&args.depot, &args.key, terminal, |roster| {
            edit::withdraw_agent(roster, &args.entry)
        }),
        RosterCommand::ReplaceAgent(args) => replace_agent(args, terminal),
        RosterCommand::AddSite(args) => add_site(args, terminal),
        RosterCommand::RemoveSite(args) => change(&args.depot, &args.key, terminal, |roster| {
            edit::remove_site(roster, &args.entry)
        }),
        RosterCommand::AddRecipient(args) => add_recipient(args, terminal),
        RosterCommand::RemoveRecipient(args) => {
            let exit = change(&args.depot, &args.key, terminal, |roster| {
                edit::remove_recipient(roster, &args.entry)
            })?;
            terminal.note("What was backed up before can still be opened with that key.");
            Ok(exit)
        }
        RosterCommand::Publish(args) => travel::publish(args, terminal),
        RosterCommand::Export(args) => travel::export(args, terminal),
        RosterCommand::Import(args) => travel::import(args, terminal),
    }
}

/// The newest roster as JSON.
#[must_use]
pub(crate) fn roster_json(chain: &RosterChain) -> serde_json::Value {
    let current = chain.current();
    let roster = &current.body;
    let role = |role| match role {
        RootRole::Working => "working",
        RootRole::Spare => "spare",
    };
    let status = |status| match status {
        AgentStatus::Active => "active",
        AgentStatus::Withdrawn => "withdrawn",
    };
    json!({
        "number": roster.number,
        "id": current.id,
        "created": roster.created,
        "signer": current.signer,
        "chunker": { "min": roster.chunker.min, "avg": roster.chunker.avg, "max": roster.chunker.max },
        "root_keys": roster.root_keys.iter()
            .map(|k| json!({ "key": k.key, "role": role(k.role), "label": k.label })).collect::<Vec<_>>(),
        "registrar": roster.registrar,
        "recipients": roster.recipients.iter()
            .map(|r| json!({ "key": r.key, "label": r.label })).collect::<Vec<_>>(),
        "agents": roster.agents.iter().map(|a| json!({
            "agent": a.agent, "key": a.key, "domain": a.domain, "status": status(a.status), "label": a.label,
        })).collect::<Vec<_>>(),
        "sites": roster.sites.iter().map(|s| json!({
            "site": s.site, "receipt_key": s.receipt_key, "tls_pin": s.tls_pin, "label": s.label,
        })).collect::<Vec<_>>(),
    })
}

fn show(args: &ShowArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::of(bundle.as_ref()))?;
    let chain = &opened.chain;
    let history: Vec<_> = chain
        .all()
        .iter()
        .map(|r| json!({ "number": r.body.number, "id": r.id, "created": r.body.created, "signer": r.signer }))
        .collect();
    let value = json!({
        "repository": chain.repository(),
        "depot": opened.name(),
        "roster": roster_json(chain),
        "history": history,
    });
    terminal.result(&value, || roster_text::roster(chain, terminal))?;
    Ok(Exit::Fine)
}

/// Makes the next roster and publishes it in the same depot.
fn change(
    depot: &DepotArgs,
    key: &KeyArgs,
    terminal: &Terminal,
    edit: impl FnOnce(&mut Roster) -> Outcome<bool>,
) -> Outcome<Exit> {
    let bundle = key.open()?;
    let opened = depot.open(Access::Bundle(&bundle))?;
    let extended = chain::extend(&opened.chain, bundle.root(), edit)?;
    let changed = extended.is_some();
    let chain = match extended {
        None => opened.chain,
        Some((chain, object)) => {
            put(&opened.depot, &object)?;
            chain
        }
    };
    let value = json!({ "repository": chain.repository(), "changed": changed, "roster": roster_json(&chain) });
    terminal.result(&value, || {
        let number = chain.current().body.number;
        if changed {
            format!(
                "Roster {number}: {}\n",
                terminal.pick("ditandatangani dan disimpan", "signed and stored")
            )
        } else {
            format!("Roster {number}: {}\n", terminal.pick("tidak berubah", "unchanged"))
        }
    })?;
    if changed {
        terminal.note(
            "Publish it where else this repository is kept: `lumbung roster publish FROM TO`.",
        );
    }
    Ok(Exit::Fine)
}

/// Stores a roster.
///
/// # Errors
/// If the depot does not keep it.
pub(crate) fn put(depot: &Arc<dyn Depot>, object: &[u8]) -> Outcome<()> {
    depot.put(Kind::Roster, &object_id(object), object).explain(
        Code::Depot,
        || format!("the roster could not be written to {}", depot.describe()),
        "do what the reason above says; where there is none, check space and rights there, then run the command again",
    )
}

fn add_agents(args: &AddAgentArgs, terminal: &Terminal) -> Outcome<Exit> {
    if args.label.is_some() && args.codes.len() > 1 {
        let next = "add the agents one by one, or without --label";
        return Err(Failure::new(
            Code::Usage,
            "--label names one agent, and several codes were given",
            next,
        ));
    }
    let agents: Vec<AgentPublic> =
        args.codes.iter().map(|code| agent_of(code)).collect::<Outcome<_>>()?;
    change(&args.depot, &args.key, terminal, |roster| {
        let mut changed = false;
        for agent in &agents {
            changed |= edit::add_agent(roster, agent, args.label.as_deref())?;
        }
        Ok(changed)
    })
}

fn replace_agent(args: &ReplaceAgentArgs, terminal: &Terminal) -> Outcome<Exit> {
    let agent = agent_of(&args.new)?;
    let exit = change(&args.depot, &args.key, terminal, |roster| {
        edit::replace_agent(roster, &args.old, &agent)
    })?;
    terminal.note(
        "The old agent adds nothing more; what it backed up stays and is restored as before. The new one begins with everything:\n\
         its domain shares no chunk with the old one, so who knows the old secret confirms no guess about what comes.",
    );
    Ok(exit)
}

/// An agent from its code, or from a file that holds the code or the identity.
fn agent_of(given: &str) -> Outcome<AgentPublic> {
    let wrong = |error| {
        let message = format!("{given:?} is no agent's code");
        Failure::new(Code::BadFile, message, "copy the whole line that enrolment printed")
            .because(error)
    };
    if given.starts_with("lumbung-agent:") {
        return AgentPublic::from_code(given).map_err(wrong);
    }
    let path = Path::new(given);
    let text = read_text(path, "the agent's code")?;
    if text.trim_start().starts_with("lumbung-agent:") {
        return AgentPublic::from_code(text.trim()).map_err(wrong);
    }
    AgentIdentity::from_text(&text)
        .map(|identity| identity.public())
        .map_err(|e| keys::explain(path, e))
}

fn add_site(args: &AddSiteArgs, terminal: &Terminal) -> Outcome<Exit> {
    let mut site = match (&args.site, args.site_id, args.receipt_key, args.tls_pin) {
        (_, Some(site), Some(receipt_key), Some(tls_pin)) => {
            lumbung_pack::RosterSite { site, receipt_key, tls_pin, label: String::new() }
        }
        (given, ..) => sites::parse(given.as_deref().unwrap_or_default())?,
    };
    if let Some(name) = &args.name {
        site.label.clone_from(name);
    }
    change(&args.depot, &args.key, terminal, |roster| Ok(edit::add_site(roster, site)))
}

fn add_recipient(args: &AddRecipientArgs, terminal: &Terminal) -> Outcome<Exit> {
    let (key, label) = match args.recipient.parse::<PublicKey>() {
        Ok(key) => (key, String::new()),
        Err(_) => {
            let public = keys::public_halves(Path::new(&args.recipient))?;
            (public.recovery_public(), public.label().to_owned())
        }
    };
    let recipient = Recipient { key, label: args.label.clone().unwrap_or(label) };
    let exit = change(&args.depot, &args.key, terminal, |roster| {
        Ok(edit::add_recipient(roster, recipient))
    })?;
    terminal.note("It opens what is backed up from now on. Older snapshots, and newer ones that share data with them, stay closed to it until `lumbung key rewrap DEPOT`.");
    Ok(exit)
}
