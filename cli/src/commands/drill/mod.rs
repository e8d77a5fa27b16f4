//! `lumbung drill`: plans of drills and failover, when they are due, runs, and the *berita acara*.
//!
//! Invariant: nothing here carries out a step. A runner does that on a server; a tabletop is held by people.

mod acta;
mod file;
mod plan;
mod run;
mod tabletop;
mod text;

use clap::{Args, Subcommand};
use lumbung_model::drill::Language;
use lumbung_wire::messages::drills::DrillDue;

use crate::commands::status::query;
use crate::controller::ControllerArgs;
use crate::failure::{Exit, Outcome};
use crate::terminal::{Lang, Terminal};

/// Drills and failover: plans, calendar, runs, berita acara
#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    #[command(subcommand)]
    Plan(plan::PlanCommand),
    /// Show when the next drills are due
    Calendar(CalendarArgs),
    /// Start a drill: the runner that the plan names carries it out
    Start(run::StartArgs),
    /// Ask for a failover in earnest: a second person approves it
    Failover(run::FailoverArgs),
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Print the berita acara of a run; also of one that failed or is not over
    Acta(acta::ActaArgs),
    /// Hold a tabletop: each step is read out, and confirmed or noted by hand; one that was interrupted goes on
    Tabletop(tabletop::TabletopArgs),
}

/// Arguments of `drill calendar`.
#[derive(Debug, Args)]
pub(crate) struct CalendarArgs {
    /// Only of this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung drill`.
///
/// # Errors
/// If the controller does not answer or refuses, or a file is no plan.
pub(crate) fn drill(command: &DrillCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        DrillCommand::Plan(command) => plan::run(command, terminal),
        DrillCommand::Calendar(args) => calendar(args, terminal),
        DrillCommand::Start(args) => run::start(args, terminal),
        DrillCommand::Failover(args) => run::failover(args, terminal),
        DrillCommand::Run(command) => run::run(command, terminal),
        DrillCommand::Acta(args) => acta::run(args, terminal),
        DrillCommand::Tabletop(args) => tabletop::run(args, terminal),
    }
}

fn calendar(args: &CalendarArgs, terminal: &Terminal) -> Outcome<Exit> {
    let of = args.pd.as_deref().map(|pd| format!("?pd={}", query(pd))).unwrap_or_default();
    let due: Vec<DrillDue> =
        args.controller.connect()?.list(&format!("/api/v1/drill-calendar{of}"))?;
    terminal.result(&due, || text::calendar(&due, terminal))?;
    let late = due.iter().any(|one| one.overdue);
    Ok(if late { Exit::Warnings } else { Exit::Fine })
}

/// The language of this run, as the model has it.
const fn language(terminal: &Terminal) -> Language {
    match terminal.lang {
        Lang::Id => Language::Indonesian,
        Lang::En => Language::English,
    }
}
