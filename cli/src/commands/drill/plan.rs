//! `lumbung drill plan`: enter, look at, change and check plans.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lumbung_wire::messages::approvals::Reasoned;
use lumbung_wire::messages::drills::{DrillPlanEntry, DrillPlanInput};
use serde_json::json;

use super::{file, text};
use crate::commands::register::{find_pd, list_of, the};
use crate::commands::status::query;
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::terminal::Terminal;

/// Plans of drills and failover
#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// List the plans, and how far each has come
    List(ListArgs),
    /// Show one with its steps
    Show(ShowArgs),
    /// Enter a plan from a TOML file
    Add(AddArgs),
    /// Put a file in place of what a plan says; what is carried out becomes a new revision
    Set(SetArgs),
    /// Tell everything that is wrong with a plan's file; asks no controller
    Check(CheckArgs),
    /// Take a plan out of use; its runs stay
    Retire(RetireArgs),
}

/// Arguments of `drill plan list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Also those that are out of use
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill plan show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its title or id
    plan: String,
    /// As the file that `add` and `set` take
    #[arg(long)]
    toml: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill plan add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The file
    file: PathBuf,
    /// Whose plan it is, by code or id: all that it is about is this PD's (default: the city's)
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill plan set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Its title or id
    plan: String,
    /// The file
    file: PathBuf,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill plan check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The file
    file: PathBuf,
}

/// Arguments of `drill plan retire`.
#[derive(Debug, Args)]
pub(crate) struct RetireArgs {
    /// Its title or id
    plan: String,
    /// Why: the number of a letter, or a sentence
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// The plan of that title or id, with its tag.
///
/// # Errors
/// If there is none, or several have the title.
pub(super) fn find(controller: &Controller, named: &str) -> Outcome<(DrillPlanEntry, String)> {
    let all: Vec<DrillPlanEntry> = controller.list("/api/v1/drill-plans?all=true")?;
    let found = the(all, "drill plan", named, |one| (&one.plan.title, one.id.to_string()))?;
    controller.get_tagged(&format!("/api/v1/drill-plans/{}", found.id))
}

/// Runs `lumbung drill plan`.
///
/// # Errors
/// If the controller does not answer or refuses, or a file is no plan.
pub(super) fn run(command: &PlanCommand, terminal: &Terminal) -> Outcome<Exit> {
    let changed: DrillPlanEntry = match command {
        PlanCommand::List(args) => return list(args, terminal),
        PlanCommand::Check(args) => return check(args, terminal),
        PlanCommand::Show(args) => return show(args, terminal),
        PlanCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let plan = file::read(&args.file, &controller)?;
            let pd = args.pd.as_deref().map(|named| find_pd(&controller, named)).transpose()?;
            let input = DrillPlanInput { pd: pd.map(|pd| pd.id), plan };
            controller.post("/api/v1/drill-plans", &input)?
        }
        PlanCommand::Set(args) => {
            let controller = args.controller.connect()?;
            let plan = file::read(&args.file, &controller)?;
            let (found, tag) = find(&controller, &args.plan)?;
            let input = DrillPlanInput { pd: found.pd, plan };
            controller.post_seen(
                &format!("/api/v1/drill-plans/{}/change", found.id),
                tag,
                &input,
            )?
        }
        PlanCommand::Retire(args) => {
            let controller = args.controller.connect()?;
            let (found, tag) = find(&controller, &args.plan)?;
            let input = Reasoned { reason: args.reason.clone() };
            controller.post_seen(
                &format!("/api/v1/drill-plans/{}/retire", found.id),
                tag,
                &input,
            )?
        }
    };
    terminal.result(&changed, || text::plan(&changed, terminal))?;
    Ok(Exit::Fine)
}

fn list(args: &ListArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let all: Vec<DrillPlanEntry> = if args.all {
        let of = args.pd.as_deref().map(|pd| format!("&pd={}", query(pd))).unwrap_or_default();
        controller.list(&format!("/api/v1/drill-plans?all=true{of}"))?
    } else {
        list_of(&controller, "drill-plans", args.pd.as_deref())?
    };
    terminal.result(&all, || text::plans(&all, terminal))?;
    Ok(Exit::Fine)
}

fn show(args: &ShowArgs, terminal: &Terminal) -> Outcome<Exit> {
    let (found, _) = find(&args.controller.connect()?, &args.plan)?;
    if !args.toml {
        terminal.result(&found, || text::plan(&found, terminal))?;
        return Ok(Exit::Fine);
    }
    let written = toml::to_string(&found.plan).map_err(|error| {
        Failure::new(Code::Io, "the plan could not be written as TOML", "report this")
            .because(error)
    })?;
    terminal.result(&found.plan, || written)?;
    Ok(Exit::Fine)
}

fn check(args: &CheckArgs, terminal: &Terminal) -> Outcome<Exit> {
    let (plan, found) = file::check(&args.file)?;
    let faults: Vec<String> = found.iter().map(ToString::to_string).collect();
    let result = json!({ "title": plan.title, "steps": plan.steps.len(), "faults": faults });
    terminal.result(&result, || {
        let mut said = String::new();
        for fault in &faults {
            said += &format!("{}: {}\n", args.file.display(), crate::terminal::plain(fault));
        }
        if faults.is_empty() {
            said = terminal
                .pick(
                    "Tidak ada yang salah, sejauh terlihat dari berkas saja.\n",
                    "Nothing is wrong, as far as the file alone tells.\n",
                )
                .to_owned();
        }
        said
    })?;
    Ok(if faults.is_empty() { Exit::Fine } else { Exit::Error })
}
