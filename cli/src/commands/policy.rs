//! `lumbung policy`: what agents are asked to back up, and the custodian's word on less.
//!
//! Invariants: what is signed is the hash of the text that was shown, computed here; whether it asks for less than the agent
//! runs is computed here too, from the signed texts, and never taken from the controller's words. Which policy the agent runs
//! now is told by the controller, so a lying one can hide a difference: the whole list is shown, and is what must be read.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use lumbung_model::{Clock as _, SystemClock};
use lumbung_wire::messages::policy::{
    Narrowing, Policy, PolicyConfirmation, PolicyDetail, PolicyEntry, PolicyMark, PolicyTold,
    SignedPolicy,
};
use lumbung_wire::messages::register::Pd;
use lumbung_wire::policy;

use super::register::list_of;
use crate::confirm::confirm;
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::keys::KeyArgs;
use crate::table::Table;
use crate::terminal::{Terminal, printable};

/// What the register asks agents to back up
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the servers that have an agent, with the policy of each and what its agent says of it
    List {
        /// Only this PD, by code or id
        #[arg(long, value_name = "PD")]
        pd: Option<String>,
        #[command(flatten)]
        controller: ControllerArgs,
    },
    /// Show a server's policy, and what waits
    Show {
        /// The server: name or id
        server: String,
        #[command(flatten)]
        controller: ControllerArgs,
    },
    /// Sign, with the PD's key bundle, that the server may take its newest policy although it asks for less
    Confirm(ConfirmArgs),
}

/// Arguments of `policy confirm`.
#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// The server: name or id
    server: String,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung policy`.
///
/// # Errors
/// If the controller does not answer or refuses, or a policy is not what it should be.
pub(crate) fn run(command: &PolicyCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        PolicyCommand::List { pd, controller } => {
            let controller = controller.connect()?;
            let entries: Vec<PolicyEntry> = list_of(&controller, "policies", pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&entries, || table(&entries, &pds, terminal))?;
        }
        PolicyCommand::Show { server, controller } => {
            let detail = detail(&controller.connect()?, server)?;
            let opened = detail.policy.as_ref().map(open).transpose()?;
            terminal.result(&detail, || shown(&detail, opened.as_ref(), terminal))?;
        }
        PolicyCommand::Confirm(args) => sign(args, terminal)?,
    }
    Ok(Exit::Fine)
}

fn detail(controller: &Controller, server: &str) -> Outcome<PolicyDetail> {
    let entries: Vec<PolicyEntry> = list_of(controller, "policies", None)?;
    let names = |entries: &[&PolicyEntry]| -> Vec<String> {
        entries.iter().map(|one| format!("{} ({})", one.name, one.server)).collect()
    };
    let fits = |one: &&PolicyEntry| one.name == server || one.server.to_string() == server;
    let fitting: Vec<&PolicyEntry> = entries.iter().filter(fits).collect();
    let found = match fitting.as_slice() {
        [found] => *found,
        [] => {
            let message = format!("no server {server:?} has an agent");
            let next =
                "name one of these, or enrol its agent first (`lumbung token new --server NAME`)";
            let all: Vec<&PolicyEntry> = entries.iter().collect();
            return Err(Failure::new(Code::Controller, message, next).listing(names(&all)));
        }
        several => {
            let message = format!("several servers are called {server:?}");
            let next = "name one of these by its id";
            return Err(Failure::new(Code::Usage, message, next).listing(names(several)));
        }
    };
    controller.get(&format!("/api/v1/policies/{}", found.server))
}

/// What a signed policy says. Whose key it is, only agents know.
fn open(signed: &SignedPolicy) -> Outcome<(Policy, PolicyMark)> {
    policy::open(signed, &signed.signer).map_err(|error| {
        let next = "do not sign anything: look at the controller with its administrators";
        Failure::new(Code::Damaged, "the controller shows a policy that no agent would take", next)
            .because(error)
    })
}

fn sign(args: &ConfirmArgs, terminal: &Terminal) -> Outcome<()> {
    let controller = args.controller.connect()?;
    let detail = detail(&controller, &args.server)?;
    let nothing = || {
        let message = format!("{} has no policy yet", detail.entry.name);
        Failure::new(Code::Controller, message, "wait until the register names a dataset of it")
    };
    let (newest, mark) = open(detail.policy.as_ref().ok_or_else(nothing)?)?;
    let less = narrowings(&detail, &newest)?;
    let mut what = content(&newest, terminal);
    what.push_str(&difference(less.as_deref(), terminal));
    confirm(&what, args.yes, terminal)?;
    let bundle = args.key.open()?;
    let word: PolicyConfirmation = policy::confirm(mark.hash, newest.agent, bundle.root());
    let path = format!("/api/v1/policies/{}/confirm", newest.server);
    let kept: PolicyDetail = controller.post(&path, &word)?;
    terminal.result(&kept, || {
        let done = terminal.pick("disetujui", "confirmed");
        format!("{}: {done}, {} ({})\n", kept.entry.name, mark.version, mark.hash)
    })
}

/// How the newest asks for less than what the agent says it runs; none, if that is not known here.
fn narrowings(detail: &PolicyDetail, newest: &Policy) -> Outcome<Option<Vec<Narrowing>>> {
    let Some(applied) = &detail.applied else { return Ok(None) };
    let (applied, _) = open(applied)?;
    Ok(Some(policy::narrows(&applied.content, &newest.content, SystemClock.now())))
}

fn difference(less: Option<&[Narrowing]>, terminal: &Terminal) -> String {
    let mut out = String::new();
    match less {
        None => out.push_str(terminal.pick(
            "kebijakan yang dijalankan agen tidak diketahui: periksa daftar di atas secara utuh\n",
            "which policy the agent runs is not known: read the whole list above\n",
        )),
        Some([]) => out.push_str(terminal.pick(
            "tidak ada yang berkurang\n",
            "it asks for nothing less than what the agent says it runs\n",
        )),
        Some(less) => {
            out.push_str(terminal.pick("BERKURANG:\n", "LESS than what the agent says it runs:\n"));
            for narrowing in less {
                let _ = writeln!(out, "  - {}", printable(narrowing.to_string().as_bytes()));
            }
        }
    }
    out
}

fn content(policy: &Policy, terminal: &Terminal) -> String {
    let text = |text: &str| printable(text.as_bytes());
    let mut out = String::new();
    for job in &policy.content.jobs {
        let _ = writeln!(out, "{} ({})", text(&job.label), job.dataset);
        let _ = writeln!(out, "  {} ({})", text(&job.schedule), text(&job.timezone));
        for path in &job.paths {
            let _ = writeln!(out, "  {}", text(path));
        }
        for pattern in &job.exclude {
            let _ = writeln!(out, "  {} {}", terminal.pick("tanpa", "without"), text(pattern));
        }
    }
    for skip in &policy.content.skipped {
        let not = terminal.pick("tidak dicadangkan", "not backed up");
        let _ = writeln!(out, "{} ({}): {not}: {}", text(&skip.label), skip.dataset, skip.gap);
    }
    out
}

fn shown(
    detail: &PolicyDetail,
    opened: Option<&(Policy, PolicyMark)>,
    terminal: &Terminal,
) -> String {
    let mut out = String::new();
    if let Some((policy, mark)) = opened {
        let issued = terminal.time(policy.issued);
        let _ = writeln!(out, "{} {} ({issued})", detail.entry.name, mark.version);
        let _ = writeln!(out, "hash {}\n", mark.hash);
        out.push_str(&content(policy, terminal));
    }
    let told = terminal.pick("menurut agen", "menurut agen (the agent says)");
    let _ = writeln!(out, "{told}: {}", state(detail.entry.told.as_ref(), terminal));
    if let Some(waiting) = &detail.waiting {
        let heading = if waiting.refused {
            terminal.pick("ditolak, tidak diterbitkan", "refused, not published")
        } else {
            terminal.pick("menunggu persetujuan kedua", "waits for a second person")
        };
        let _ = writeln!(out, "\n{heading} ({}):", waiting.approval);
        for narrowing in &waiting.narrowings {
            let _ = writeln!(out, "  - {}", printable(narrowing.to_string().as_bytes()));
        }
    }
    out
}

/// What an agent says, in a word or two.
fn state(told: Option<&PolicyTold>, terminal: &Terminal) -> String {
    let Some(told) = told else { return "–".to_owned() };
    if !told.follows {
        return terminal.pick("berkas sendiri", "own file only").to_owned();
    }
    let mut parts: Vec<String> =
        told.applied.iter().map(|mark| format!("{}", mark.version)).collect();
    parts.extend(told.pending.iter().map(|mark| {
        format!(
            "{} {}",
            terminal.pick("menunggu konfirmasi:", "waits to be confirmed:"),
            mark.version
        )
    }));
    if !told.refused.is_empty() {
        parts.push(printable(told.refused.as_bytes()));
    }
    if parts.is_empty() { "–".to_owned() } else { parts.join("; ") }
}

fn table(entries: &[PolicyEntry], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Peladen", "Server"))
        .number(terminal.pick("Terbit", "Published"))
        .number(terminal.pick("Himpunan", "Datasets"))
        .text(terminal.pick("Menunggu", "Waits"))
        .text("Menurut agen");
    for entry in entries {
        let pd = pds.iter().find(|pd| pd.id == entry.pd);
        table.row([
            pd.map_or_else(|| entry.pd.short(), |pd| pd.code.clone()),
            printable(entry.name.as_bytes()),
            entry.published.map_or_else(|| "–".to_owned(), |mark| mark.version.to_string()),
            entry.jobs.to_string(),
            entry.waiting.map_or_else(String::new, |approval| approval.short()),
            state(entry.told.as_ref(), terminal),
        ]);
    }
    table.render()
}
