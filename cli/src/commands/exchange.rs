//! `lumbung register`: the register as files; what is retired stands in [`super::retire`].
//!
//! Invariant: an export to a file replaces it only once all of it is there.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lumbung_wire::messages::overview::ImportRequest;
use lumbung_wire::messages::register::{ImportOutcome, RegisterTable};

use crate::commands::history::{self, HistoryArgs};
use crate::commands::register::OfPd;
use crate::commands::retire::{self, RestoreArgs, RetireArgs};
use crate::commands::set::{self, SetArgs};
use crate::commands::status::query;
use crate::controller::ControllerArgs;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::{read_text, replace};
use crate::terminal::Terminal;

/// The register as files, and what of it is no more
#[derive(Debug, Subcommand)]
pub(crate) enum RegisterCommand {
    /// Import a register in TOML, or one table of it in CSV: all of it or nothing; again changes nothing
    Import(ImportArgs),
    /// Write the register as TOML, or one table of it as CSV
    Export(ExportArgs),
    /// Change fields of one row; what is not named stays
    Set(SetArgs),
    /// Say that a row is no more: it leaves today's figures, and stays for questions about the past
    Retire(RetireArgs),
    /// Bring back what was retired
    Restore(RestoreArgs),
    /// List what is retired
    Retired(OfPd),
    /// Tell who changed which fields of a row, and when
    History(HistoryArgs),
}

/// Arguments of `register import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The TOML file; with --table a CSV file
    file: PathBuf,
    /// The table that a CSV file holds: sites, buildings, rooms, racks, feeds, pools, pd, servers, services, applications,
    /// contact_persons, checks, datasets, devices, reservations, handovers, care or on_call
    #[arg(long)]
    table: Option<RegisterTable>,
    /// Only tell what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `register export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file to write (default: to the terminal)
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One table as CSV: sites, buildings, rooms, racks, feeds, pools, pd, servers, services, applications, contact_persons, checks,
    /// datasets, devices, reservations, handovers, care or on_call (default: everything as TOML)
    #[arg(long)]
    table: Option<RegisterTable>,
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung register`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn register(command: &RegisterCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        RegisterCommand::Import(args) => import(args, terminal),
        RegisterCommand::Export(args) => export(args, terminal),
        RegisterCommand::Set(args) => set::set(args, terminal),
        RegisterCommand::Retire(args) => retire::retire(args, terminal),
        RegisterCommand::Restore(args) => retire::restore(args, terminal),
        RegisterCommand::Retired(args) => retire::retired(args, terminal),
        RegisterCommand::History(args) => history::history(args, terminal),
    }
}

fn import(args: &ImportArgs, terminal: &Terminal) -> Outcome<Exit> {
    let text = read_text(&args.file, "the register")?.to_string();
    if args.table.is_none() && args.file.extension().is_some_and(|kind| kind == "csv") {
        let message = format!("{} is a table: of what?", args.file.display());
        let next = "name it with --table, as in --table datasets";
        return Err(Failure::new(Code::Usage, message, next));
    }
    let (toml, csv) =
        if args.table.is_some() { (String::new(), text) } else { (text, String::new()) };
    let file = args.file.display().to_string();
    let request = ImportRequest { file, toml, csv, table: args.table, dry_run: args.dry_run };
    let outcome: ImportOutcome = args.controller.connect()?.post("/api/v1/import", &request)?;
    terminal.result(&outcome, || {
        let words = terminal.pick(["baru", "diubah", "tetap"], ["new", "changed", "unchanged"]);
        let tried = match args.dry_run {
            true => terminal.pick(" (hanya dicoba)", " (only tried)"),
            false => "",
        };
        format!(
            "{} {}, {} {}, {} {}{tried}\n",
            outcome.created, words[0], outcome.updated, words[1], outcome.unchanged, words[2]
        )
    })?;
    Ok(Exit::Fine)
}

fn export(args: &ExportArgs, terminal: &Terminal) -> Outcome<Exit> {
    let mut asked = Vec::new();
    asked.extend(args.table.map(|table| format!("table={table}")));
    asked.extend(args.pd.as_deref().map(|pd| format!("pd={}", query(pd))));
    let path = format!("/api/v1/export?{}", asked.join("&"));
    let text = args.controller.connect()?.get_text(&path)?;
    match &args.output {
        Some(file) => {
            replace(file, "the register", text.as_bytes(), 0o600)?;
            terminal.note(&format!("{}: {} bytes", file.display(), text.len()));
        }
        None => terminal.result(&text, || text.clone())?,
    }
    Ok(Exit::Fine)
}
