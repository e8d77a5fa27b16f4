//! `lumbung drill tabletop`: a tabletop from its beginning to its *berita acara*.
//!
//! Invariants: what was said is told to the controller before the next step is read out, so that one that is interrupted goes
//! on where it was; nobody's silence is a confirmation.

use std::io::{self, BufRead as _, Write as _};

use clap::Args;
use lumbung_model::drill::{
    DrillAction, DrillEvent, DrillMode, DrillPlan, DrillStep, FailbackWhy, Happened, Next, Run,
    StepId, StepOutcome, StepProgress, StepRun,
};
use lumbung_model::{Clock as _, DrillRunId, SystemClock};
use lumbung_wire::messages::drills::{
    DrillPlanEntry, DrillReportAck, DrillRun, DrillRunDetail, DrillStart,
};

use super::{acta, plan, text};
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::terminal::{Terminal, plain};

/// Arguments of `drill tabletop`.
#[derive(Debug, Args)]
pub(crate) struct TabletopArgs {
    /// The plan's title or id
    plan: String,
    /// Who leads it: steps are confirmed in this name (default: the plan's first participant)
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why now: the number of a letter, or a sentence
    #[arg(long, default_value = "simulasi meja")]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// What was said to a step.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Confirmed(String),
    Failed(String),
    Skipped(String),
    /// It goes on another time.
    Later,
    /// It ends here.
    BrokenOff,
    /// Nobody knows what was meant.
    Unclear,
}

/// Reads what was typed: a word, and what there is to say.
fn said(line: &str) -> Said {
    let line = line.trim();
    let (word, note) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let note = note.trim().to_owned();
    match word.to_lowercase().as_str() {
        "ya" | "y" | "yes" => Said::Confirmed(note),
        "tidak" | "t" | "no" | "n" if !note.is_empty() => Said::Failed(note),
        "lewati" | "l" | "skip" | "s" if !note.is_empty() => Said::Skipped(note),
        "nanti" | "later" => Said::Later,
        "batal" | "abort" => Said::BrokenOff,
        _ => Said::Unclear,
    }
}

/// A tabletop under way.
struct Table<'a> {
    controller: &'a Controller,
    id: DrillRunId,
    run: Run<'a>,
    by: String,
    terminal: &'a Terminal,
}

/// Runs `lumbung drill tabletop`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(super) fn run(args: &TabletopArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let (found, tag) = plan::find(&controller, &args.plan)?;
    let id = match found.active {
        Some(active) => active,
        None => begin(&controller, &found, tag, &args.reason)?,
    };
    let detail: DrillRunDetail = controller.get(&format!("/api/v1/drill-runs/{id}"))?;
    if detail.run.mode != DrillMode::Tabletop {
        let message = format!("the plan is being run already, as {}", detail.run.mode);
        let next = format!("wait for its end: lumbung drill run show {id}");
        return Err(Failure::new(Code::Controller, message, next));
    }
    let run = Run::replay(&detail.plan, &detail.events).explain(
        Code::Controller,
        || "the journal of this tabletop cannot be read".to_owned(),
        "use a `lumbung` of the controller's version",
    )?;
    let by = leader(args, &detail.plan)?;
    let mut table = Table { controller: &controller, id, run, by, terminal };
    if table.hold()? {
        return acta::print(&controller, &id, terminal);
    }
    let next = terminal.pick("belum selesai; lanjutkan dengan", "it is not over; go on with");
    terminal.note(&format!("{next}: lumbung drill tabletop {}", found.id));
    Ok(Exit::Warnings)
}

fn begin(
    controller: &Controller,
    found: &DrillPlanEntry,
    tag: String,
    reason: &str,
) -> Outcome<DrillRunId> {
    let input = DrillStart { mode: DrillMode::Tabletop, reason: reason.to_owned() };
    let path = format!("/api/v1/drill-plans/{}/start", found.id);
    controller.post_seen::<_, DrillRun>(&path, tag, &input).map(|run| run.id)
}

fn leader(args: &TabletopArgs, plan: &DrillPlan) -> Outcome<String> {
    let first = plan.participants.first().map(|one| one.name.clone());
    args.by.clone().or(first).ok_or_else(|| {
        Failure::new(Code::Usage, "nobody is named who leads it", "name them with --by")
    })
}

impl Table<'_> {
    /// Goes on to the end, or until somebody ends it; whether it is over.
    fn hold(&mut self) -> Outcome<bool> {
        if self.run.was_cut_short() {
            let reason = self.terminal.pick("simulasi dilanjutkan", "the tabletop goes on");
            self.tell(Happened::Interrupted { reason: reason.to_owned() })?;
        }
        loop {
            // One thing at a time: what was read out is answered before something else is read out.
            if let Some(step) = self.read_out() {
                match self.ask(&step)? {
                    Some(what) => self.tell(what)?,
                    None => return Ok(false),
                }
                continue;
            }
            let what = match self.run.next() {
                Next::Over => return Ok(true),
                Next::Start => Happened::Started { mode: DrillMode::Tabletop, outage: None },
                Next::Begin(steps) => {
                    let Some(step) = steps.into_iter().next() else { return Ok(false) };
                    Happened::StepStarted { step }
                }
                Next::Failback(why) => Happened::Failback { why, by: String::new() },
                Next::Clean => Happened::Cleaned {},
                Next::Finish => Happened::Finished {},
                // None of these is a tabletop's: nothing of it is carried out, and what was read out was answered.
                Next::Wait(_)
                | Next::AskForFailback { .. }
                | Next::Undo(_)
                | Next::WaitForUndo(_)
                | Next::AskForHands(_)
                | Next::Reconcile => return Ok(false),
            };
            self.tell(what)?;
        }
    }

    /// The step that was read out and is not answered.
    fn read_out(&self) -> Option<StepId> {
        let running = |(_, now): &(&DrillStep, &StepRun)| now.progress == StepProgress::Running;
        self.run.steps().find(running).map(|(step, _)| step.id.clone())
    }

    /// Tells the controller what happened, and then believes it.
    fn tell(&mut self, what: Happened) -> Outcome<()> {
        let event = DrillEvent { number: self.run.next_number(), at: SystemClock.now(), what };
        let path = format!("/api/v1/drill-runs/{}/events", self.id);
        // What would be refused there is refused here, in words about the step.
        let mut next = self.run.clone();
        next.apply(&event).explain(
            Code::Usage,
            || "it was not taken down".to_owned(),
            "say it in other words",
        )?;
        self.controller.post::<_, DrillReportAck>(&path, &[&event])?;
        self.run = next;
        Ok(())
    }

    /// Reads a step out, and what is said to it; none: it goes on another time.
    fn ask(&mut self, id: &StepId) -> Outcome<Option<Happened>> {
        let plan = self.run.plan();
        let Some(step) = plan.position(id).map(|index| &plan.steps[index]) else {
            return Ok(None);
        };
        eprintln!("\n{}", read_out(step, plan, self.terminal));
        let question = self.terminal.pick(
            "ya [catatan] | tidak ALASAN | lewati ALASAN | nanti | batal: ",
            "yes [note] | no WHY | skip WHY | later | abort: ",
        );
        loop {
            eprint!("{question}");
            let mut line = String::new();
            let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut line));
            let read = read.explain(
                Code::Io,
                || "what was said could not be read".to_owned(),
                "run the command again: it goes on where it was",
            )?;
            if read == 0 {
                return Ok(None);
            }
            let (step, by) = (id.clone(), self.by.clone());
            match said(&line) {
                Said::Confirmed(note) => {
                    return Ok(Some(Happened::StepConfirmed { step, by, note }));
                }
                Said::Failed(reason) => {
                    let outcome = StepOutcome::default();
                    return Ok(Some(Happened::StepFailed { step, reason, outcome }));
                }
                Said::Skipped(note) => return Ok(Some(Happened::StepSkipped { step, by, note })),
                Said::Later => return Ok(None),
                Said::BrokenOff => {
                    let note =
                        self.terminal.pick("simulasi dihentikan", "the tabletop was broken off");
                    self.tell(Happened::StepSkipped {
                        step,
                        by: by.clone(),
                        note: note.to_owned(),
                    })?;
                    return Ok(Some(Happened::Failback { why: FailbackWhy::Asked, by }));
                }
                Said::Unclear => self.terminal.note(self.terminal.pick(
                    "tulis salah satu dari itu; \"tidak\" dan \"lewati\" dengan alasannya",
                    "write one of these; \"no\" and \"skip\" say why",
                )),
            }
        }
    }
}

/// A step as it is read out.
fn read_out(step: &DrillStep, plan: &DrillPlan, terminal: &Terminal) -> String {
    let number = plan.position(&step.id).map_or(0, |index| index + 1);
    let mut text = format!("{number}/{} [{}] {}", plan.steps.len(), step.id, plain(&step.title));
    text += &format!("\n    {}", text::action(step, terminal));
    if let DrillAction::Confirm { text: asked, who } = &step.action {
        text += &format!("\n    {}: {}", plain(who), plain(asked));
    }
    if let Some(undo) = &step.undo {
        text +=
            &format!("\n    {}: {}", terminal.pick("dikembalikan oleh", "put back by"), undo.hook);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_confirms_nothing_and_a_no_says_why() {
        assert_eq!(said("ya\n"), Said::Confirmed(String::new()));
        assert_eq!(said("  Yes semua siap \n"), Said::Confirmed("semua siap".into()));
        assert_eq!(said("tidak kunci tidak ada"), Said::Failed("kunci tidak ada".into()));
        assert_eq!(said("lewati bukan giliran"), Said::Skipped("bukan giliran".into()));
        assert_eq!((said("nanti"), said("batal")), (Said::Later, Said::BrokenOff));
        for unclear in ["", "\n", "tidak", "lewati ", "mungkin", "yaa"] {
            assert_eq!(said(unclear), Said::Unclear, "{unclear:?}");
        }
    }
}
