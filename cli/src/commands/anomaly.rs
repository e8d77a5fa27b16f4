//! `lumbung anomaly`: runs that look like an attack, what sites hold for them, and what a person says they are.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use lumbung_model::AnomalyId;
use lumbung_wire::messages::anomaly::{Anomaly, AnomalyHold, AnomalyState};
use lumbung_wire::messages::approvals::Reasoned;

use super::register::find_pd;
use crate::controller::ControllerArgs;
use crate::failure::{Exit, Outcome};
use crate::table::Table;
use crate::terminal::{Terminal, printable};

/// Backup runs that look like an attack
#[derive(Debug, Subcommand)]
pub(crate) enum AnomalyCommand {
    /// List them, newest first
    List {
        /// Only this PD, by code or id
        #[arg(long, value_name = "PD")]
        pd: Option<String>,
        #[command(flatten)]
        controller: ControllerArgs,
    },
    /// Show one: why it is suspicious, in which folders, and which snapshots are held
    Show {
        /// Its id
        id: AnomalyId,
        #[command(flatten)]
        controller: ControllerArgs,
    },
    /// Say that it was harmless: its like is usual from then on, and holds lapse
    Dismiss(DecideArgs),
    /// Say that it is an attack: the alarm stands and holds stay until it is closed
    Confirm(DecideArgs),
    /// Say that a confirmed attack is dealt with
    Close(DecideArgs),
}

/// Arguments of `anomaly dismiss`, `confirm` and `close`.
#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// Its id
    id: AnomalyId,
    /// Why: a sentence, or the letter's number
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung anomaly`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn run(command: &AnomalyCommand, terminal: &Terminal) -> Outcome<Exit> {
    let lang = terminal.pick("id", "en");
    let (args, what) = match command {
        AnomalyCommand::List { pd, controller } => {
            let controller = controller.connect()?;
            let pd = pd.as_deref().map(|pd| find_pd(&controller, pd)).transpose()?;
            let only = pd.map_or_else(String::new, |pd| format!("&pd={}", pd.id));
            let all: Vec<Anomaly> =
                controller.list(&format!("/api/v1/anomalies?lang={lang}{only}"))?;
            terminal.result(&all, || table(&all, terminal))?;
            return Ok(Exit::Fine);
        }
        AnomalyCommand::Show { id, controller } => {
            let one: Anomaly =
                controller.connect()?.get(&format!("/api/v1/anomalies/{id}?lang={lang}"))?;
            terminal.result(&one, || shown(&one, terminal))?;
            return Ok(Exit::Fine);
        }
        AnomalyCommand::Dismiss(args) => (args, "dismiss"),
        AnomalyCommand::Confirm(args) => (args, "confirm"),
        AnomalyCommand::Close(args) => (args, "close"),
    };
    let input = Reasoned { reason: args.reason.clone() };
    let path = format!("/api/v1/anomalies/{}/{what}", args.id);
    let decided: Anomaly = args.controller.connect()?.post(&path, &input)?;
    terminal.result(&decided, || shown(&decided, terminal))?;
    Ok(Exit::Fine)
}

const fn state(state: AnomalyState, terminal: &Terminal) -> &'static str {
    match state {
        AnomalyState::Open => terminal.pick("belum dinilai", "open"),
        AnomalyState::Dismissed => terminal.pick("tidak berbahaya", "harmless"),
        AnomalyState::Confirmed => terminal.pick("serangan", "attack"),
        AnomalyState::Closed => terminal.pick("selesai ditangani", "dealt with"),
    }
}

fn table(all: &[Anomaly], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid("Id")
        .text("Dataset")
        .rigid(terminal.pick("Sejak", "Since"))
        .rigid(terminal.pick("Keadaan", "State"))
        .number("%");
    for one in all {
        table.row([
            one.id.to_string(),
            printable(one.dataset_name.as_bytes()),
            terminal.time(one.since),
            state(one.state, terminal).to_owned(),
            one.score_pct.to_string(),
        ]);
    }
    table.render()
}

fn shown(one: &Anomaly, terminal: &Terminal) -> String {
    let text = |text: &str| printable(text.as_bytes());
    let mut out = String::new();
    let (name, state) = (text(&one.dataset_name), state(one.state, terminal));
    let _ = writeln!(out, "{} {name}: {state}, {}", one.id, terminal.time(one.since));
    for word in &one.words {
        let _ = writeln!(out, "  - {}", text(word));
    }
    if !one.new_extension.is_empty() {
        let became = terminal.pick("ekstensi baru", "new extension");
        let _ = writeln!(out, "{became}: .{}", text(&one.new_extension));
    }
    if !one.folders.is_empty() {
        let heading = terminal.pick("folder, menurut agen", "folders, as the agent says");
        let _ = writeln!(out, "{heading}:");
        let (changed, gone) =
            (terminal.pick("berubah", "changed"), terminal.pick("hilang", "gone"));
        for folder in &one.folders {
            let counts = (folder.changed_files, folder.removed_files);
            let path = text(&folder.path);
            let _ = writeln!(out, "  {path}: {} {changed}, {} {gone}", counts.0, counts.1);
        }
    }
    for hold in &one.holds {
        let _ = writeln!(out, "{}", held(hold, terminal));
    }
    if one.decided.is_some() {
        let _ = writeln!(out, "{}: {}", text(&one.by), text(&one.note));
    }
    out
}

fn held(hold: &AnomalyHold, terminal: &Terminal) -> String {
    let (site, of) = (printable(hold.site_name.as_bytes()), terminal.time(hold.finished));
    let state = match (&hold.placed, &hold.error) {
        (Some(_), _) => terminal.pick("ditahan", "held").to_owned(),
        (None, Some(error)) => {
            format!(
                "{}: {}",
                terminal.pick("belum ditahan", "not held yet"),
                printable(error.as_bytes())
            )
        }
        (None, None) => terminal.pick("sedang diminta", "being asked for").to_owned(),
    };
    format!("{site}: snapshot {} ({of}) {state}", hold.manifest)
}
