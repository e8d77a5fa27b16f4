//! `lumbung drill start`, `failover` and `run`: what is under way, and what people say to it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lumbung_model::drill::{DrillMode, StepId};
use lumbung_model::{DrillRunId, toml_text};
use lumbung_wire::messages::approvals::{Approval, Reasoned};
use lumbung_wire::messages::drills::{
    DrillAnswerInput, DrillNotes, DrillReply, DrillRun, DrillRunDetail, DrillStart, FailoverRequest,
};

use super::{plan, text};
use crate::commands::status::query;
use crate::controller::ControllerArgs;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::read_text;
use crate::moment::Moment;
use crate::terminal::{Terminal, plain};

/// Arguments of `drill start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The plan's title or id
    plan: String,
    /// Why now: the number of a letter, or a sentence
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill failover`.
#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    /// The plan's title or id
    plan: String,
    /// Since when there is an outage, for instance "2026-11-30 09:00"
    #[arg(long, value_name = "MOMENT")]
    outage: Moment,
    /// Why: the number of a letter, or a sentence
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs of plans
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List the runs, newest first
    List(ListArgs),
    /// Show one with its steps
    Show(OneArgs),
    /// Answer the runner: confirm, refuse, skip, retry, put_back a step; or failback
    Answer(AnswerArgs),
    /// Give the berita acara its number, corrections and signatories, from a TOML file
    Note(NoteArgs),
    /// Close a run that was handed to nobody, or that nobody has heard of for a day
    Close(CloseArgs),
}

/// Arguments of `drill run list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this PD's plans, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Only those that go on
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill run show`.
#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Its id
    run: DrillRunId,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill run answer`.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The run's id
    run: DrillRunId,
    /// confirm, refuse, skip, retry, put_back or failback
    reply: DrillReply,
    /// The step that it is about; none for failback
    step: Option<StepId>,
    /// What there is to say; why, of refuse, skip and put_back
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill run note`.
#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    /// The run's id
    run: DrillRunId,
    /// The file: `number`, `[[corrections]]` with what, by, until, `[[signatories]]` with role, name, nip
    file: PathBuf,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `drill run close`.
#[derive(Debug, Args)]
pub(crate) struct CloseArgs {
    /// The run's id
    run: DrillRunId,
    /// Why: the number of a letter, or a sentence
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung drill start`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(super) fn start(args: &StartArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let (found, tag) = plan::find(&controller, &args.plan)?;
    let input = DrillStart { mode: DrillMode::Drill, reason: args.reason.clone() };
    let path = format!("/api/v1/drill-plans/{}/start", found.id);
    let run: DrillRun = controller.post_seen(&path, tag, &input)?;
    terminal.result(&run, || text::run(&run, terminal))?;
    Ok(Exit::Fine)
}

/// Runs `lumbung drill failover`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(super) fn failover(args: &FailoverArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let (found, tag) = plan::find(&controller, &args.plan)?;
    let outage = args.outage.start_in(terminal);
    let input = FailoverRequest { outage, reason: args.reason.clone() };
    let path = format!("/api/v1/drill-plans/{}/failover", found.id);
    let asked: Approval = controller.post_seen(&path, tag, &input)?;
    terminal.result(&asked, || {
        let next =
            terminal.pick("orang kedua menyetujui dengan", "a second person approves it with");
        format!("{}\n{next}: lumbung approval approve {}\n", plain(&asked.words), asked.id)
    })?;
    Ok(Exit::Fine)
}

/// Runs `lumbung drill run`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(super) fn run(command: &RunCommand, terminal: &Terminal) -> Outcome<Exit> {
    let shown: DrillRunDetail = match command {
        RunCommand::List(args) => return list(args, terminal),
        RunCommand::Show(args) => {
            args.controller.connect()?.get(&format!("/api/v1/drill-runs/{}", args.run))?
        }
        RunCommand::Answer(args) => {
            let (reply, step, note) = (args.reply, args.step.clone(), args.note.clone());
            let path = format!("/api/v1/drill-runs/{}/answers", args.run);
            args.controller.connect()?.post(&path, &DrillAnswerInput { reply, step, note })?
        }
        RunCommand::Note(args) => {
            let text = read_text(&args.file, "the notes")?;
            let file = args.file.display().to_string();
            let notes: DrillNotes = toml_text::parse(&file, &text).map_err(|error| {
                Failure::new(Code::BadFile, error.to_string(), "correct that line")
            })?;
            let path = format!("/api/v1/drill-runs/{}/notes", args.run);
            args.controller.connect()?.post(&path, &notes)?
        }
        RunCommand::Close(args) => {
            let path = format!("/api/v1/drill-runs/{}/close", args.run);
            args.controller.connect()?.post(&path, &Reasoned { reason: args.reason.clone() })?
        }
    };
    terminal.result(&shown, || text::detail(&shown, terminal))?;
    Ok(Exit::Fine)
}

fn list(args: &ListArgs, terminal: &Terminal) -> Outcome<Exit> {
    let pd = args.pd.as_deref().map(|pd| format!("&pd={}", query(pd))).unwrap_or_default();
    let path = format!("/api/v1/drill-runs?open={}{pd}", args.open);
    let all: Vec<DrillRun> = args.controller.connect()?.list(&path)?;
    terminal.result(&all, || text::runs(&all, terminal))?;
    Ok(Exit::Fine)
}
