//! One run, from wherever its journal stands to its end.
//!
//! Invariants: what is done is what `Run::next` says, and nothing else decides; an event is durable before anything follows from it;
//! a result is only taken of the attempt that is under way. A run that was cut short first ends what was left of it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use lumbung_engine::Cancel;
use lumbung_model::drill::{
    DrillEvent, DrillPlan, DrillStep, FailbackWhy, Happened, Next, RecoveryPoint, Run, StepId,
    StepOutcome, StepProgress, UndoProgress, UndoWork,
};
use lumbung_model::schedule::Period;
use lumbung_model::{Clock, DrillRunId, Timestamp};
use lumbung_wire::messages::drills::{DrillAnswer, DrillReply};

use super::journal::{Journal, JournalError, Kept, Ordered};
use super::programs::{Purpose, pause, told};

/// Between two tries to put something back, or to clean up.
const AGAIN: Duration = Duration::from_secs(2);
/// Both sites are compared for as long as the runner's file says; this only bounds one question to a depot.
const COMPARING: Period = Period::seconds(600);

/// A step that is carried out, or put back.
pub struct Task<'a> {
    /// The plan.
    pub plan: &'a DrillPlan,
    /// The step.
    pub step: &'a DrillStep,
    /// Its run, mode, limit, and what stops it.
    pub purpose: &'a Purpose,
}

/// Why a step failed, and what came of it all the same.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub reason: String,
    /// What came of it.
    pub outcome: Box<StepOutcome>,
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self { reason, outcome: Box::default() }
    }
}

/// What both sites hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Snapshots that both have.
    pub both: u64,
    /// Snapshots that only one has.
    pub missing: u64,
}

/// What both sites hold, or why not all of it could be looked at.
pub type Compared = Result<Held, String>;

/// What carries steps out. Called from threads of their own; each call ends when its purpose is cancelled or its limit is over.
pub trait Hands: Send + Sync {
    /// Carries a step out.
    ///
    /// # Errors
    /// Why it failed.
    fn carry_out(&self, task: &Task<'_>) -> Result<StepOutcome, Failed>;
    /// Puts a step back.
    ///
    /// # Errors
    /// Why it could not be.
    fn put_back(&self, task: &Task<'_>, work: UndoWork<'_>) -> Result<(), String>;
    /// Makes sure that nothing of the run is left outside its journal.
    ///
    /// # Errors
    /// What is left.
    fn clean(&self, run: &DrillRunId) -> Result<(), String>;
    /// Compares what both sites hold, until it is the same or the time for it is over.
    fn reconcile(&self, task: &Task<'_>) -> Compared;
    /// Lets a restore that was found whole count as a proof: as far as the key at hand can sign one.
    fn prove(&self, task: &Task<'_>, point: &RecoveryPoint, times: (Timestamp, Timestamp));
    /// Ends what a runner that was killed has left of a step.
    fn end_leftovers(&self, run: &DrillRunId, step: &StepId);
}

/// What a run is told from outside.
#[derive(Debug)]
pub enum Message {
    /// All that people have answered so far.
    Answers(Vec<DrillAnswer>),
    /// A step was carried out, or failed; the number of the attempt.
    Done(StepId, u32, Result<StepOutcome, Failed>),
    /// A step was put back, or not.
    PutBack(StepId, u32, Result<(), String>),
    /// Both sites were compared.
    Compared(Compared),
    /// The runner ends: leave everything as it is.
    Stop,
}

/// How conducting a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conducted {
    /// It is over.
    Over,
    /// The runner was told to end.
    Stopped,
}

/// A run that is conducted.
pub struct Conductor<'a> {
    ordered: &'a Ordered,
    run: Run<'a>,
    journal: Journal,
    hands: Arc<dyn Hands>,
    clock: Arc<dyn Clock>,
    inbox: Receiver<Message>,
    outbox: Sender<Message>,
    /// Called after each event.
    news: Box<dyn Fn() + 'a>,
    /// What stops each step that is under way.
    under_way: Vec<(StepId, Cancel)>,
    /// Those that carry it out: none goes on when the run is left.
    threads: Vec<std::thread::JoinHandle<()>>,
    answered: u64,
    /// Answers that were not taken yet: the first one waits for what is under way to end.
    waiting: Vec<DrillAnswer>,
    comparing: Option<Cancel>,
}

/// Both ends of a run's channel.
pub type Channel = (Sender<Message>, Receiver<Message>);

/// Conducts a run until it is over, or until the runner is told to end.
///
/// # Errors
/// If its journal cannot be kept: nothing more is done then.
pub fn conduct(
    kept: &Kept,
    journal: Journal,
    hands: Arc<dyn Hands>,
    clock: Arc<dyn Clock>,
    (outbox, inbox): Channel,
    news: impl Fn(),
) -> Result<Conducted, ConductError> {
    let run = Run::replay(&kept.ordered.plan, &kept.events)?;
    let mut conductor = Conductor {
        ordered: &kept.ordered,
        run,
        journal,
        hands,
        clock,
        inbox,
        outbox,
        news: Box::new(news),
        under_way: Vec::new(),
        threads: Vec::new(),
        answered: kept.answered,
        waiting: Vec::new(),
        comparing: None,
    };
    conductor.take_up()?;
    conductor.go_on()
}

/// Why a run is not carried on.
#[derive(Debug, thiserror::Error)]
pub enum ConductError {
    /// Its journal cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its journal says what cannot be.
    #[error(
        "the run's journal does not follow from its plan ({0}): move it away, and put back by hand what it began"
    )]
    Replay(#[from] lumbung_model::drill::Refusal),
}

impl Conductor<'_> {
    /// After a start: ends what a runner that was killed has left, and says that it was.
    fn take_up(&mut self) -> Result<(), ConductError> {
        if !self.run.was_cut_short() {
            return Ok(());
        }
        let cut = self.run.steps().filter(|(_, run)| {
            run.progress == StepProgress::Running || run.undo == UndoProgress::Running
        });
        let cut: Vec<StepId> = cut.map(|(step, _)| step.id.clone()).collect();
        for step in &cut {
            self.hands.end_leftovers(&self.ordered.run, step);
        }
        let steps = cut.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ");
        let reason = format!("pelaksana berhenti saat menjalankan: {steps}");
        self.write(Happened::Interrupted { reason })
    }

    fn go_on(&mut self) -> Result<Conducted, ConductError> {
        loop {
            self.take_answers()?;
            let patience = match self.run.next() {
                Next::Start => {
                    let (mode, outage) = (self.ordered.mode, self.ordered.outage);
                    self.write(Happened::Started { mode, outage })?;
                    continue;
                }
                // Nothing more is begun when everything is about to be put back.
                Next::Begin(steps) if self.waiting.is_empty() => {
                    steps.into_iter().try_for_each(|step| self.begin(step))?;
                    continue;
                }
                Next::Begin(_)
                | Next::Wait(_)
                | Next::WaitForUndo(_)
                | Next::AskForFailback { .. }
                | Next::AskForHands(_) => None,
                Next::Failback(why) => {
                    self.write(Happened::Failback { why, by: String::new() })?;
                    continue;
                }
                Next::Undo(step) => {
                    self.put_back(step)?;
                    continue;
                }
                Next::Clean => match self.hands.clean(&self.ordered.run) {
                    Ok(()) => {
                        self.write(Happened::Cleaned {})?;
                        continue;
                    }
                    Err(error) => {
                        tracing::error!("run {} is not cleaned up yet: {error}", self.ordered.run);
                        Some(AGAIN)
                    }
                },
                Next::Reconcile => {
                    self.compare();
                    None
                }
                Next::Finish => {
                    self.prove();
                    self.write(Happened::Finished {})?;
                    continue;
                }
                Next::Over => return Ok(Conducted::Over),
            };
            if self.hear(patience)? == Some(Conducted::Stopped) {
                return Ok(Conducted::Stopped);
            }
        }
    }

    /// Lets what was restored and found whole count as proven: of a run whose steps are all over.
    fn prove(&self) {
        let plan = &self.ordered.plan;
        // What cannot be used is not proven: a smoke test that failed, or was left out, speaks against it.
        let all_done = self.run.steps().all(|(_, run)| run.progress == StepProgress::Done);
        if self.run.failback_why() != Some(FailbackWhy::Completed) || !all_done {
            return;
        }
        for (step, run) in self.run.steps() {
            let whole = run.outcome.integrity.iter().all(|one| one.good);
            let (Some(point), Some(started), Some(ended)) =
                (&run.outcome.recovery_point, run.started, run.ended)
            else {
                continue;
            };
            if whole && !run.outcome.integrity.is_empty() {
                let purpose = self.purpose(&step.id, COMPARING);
                let task = Task { plan, step, purpose: &purpose };
                self.hands.prove(&task, point, (started, ended));
            }
        }
    }

    /// Takes the next message, if one comes in time.
    fn hear(&mut self, patience: Option<Duration>) -> Result<Option<Conducted>, ConductError> {
        let message = match patience {
            None => self.inbox.recv().ok(),
            Some(patience) => match self.inbox.recv_timeout(patience) {
                Err(error) if error.is_timeout() => return Ok(None),
                other => other.ok(),
            },
        };
        match message {
            Some(Message::Answers(answers)) => self.waiting = answers,
            Some(Message::Done(step, attempt, result)) => self.done(&step, attempt, result)?,
            Some(Message::PutBack(step, attempt, result)) => {
                self.was_put_back(step, attempt, result)?;
            }
            Some(Message::Compared(compared)) => self.compared(compared)?,
            Some(Message::Stop) | None => return Ok(Some(Conducted::Stopped)),
        }
        Ok(None)
    }

    /// Writes an event down, if it follows.
    fn write(&mut self, what: Happened) -> Result<(), ConductError> {
        let event = DrillEvent { number: self.run.next_number(), at: self.clock.now(), what };
        self.run.apply(&event)?;
        self.journal.event(&event)?;
        (self.news)();
        Ok(())
    }

    /// Writes an event that people wished for, or that came too late: one that does not follow is left out.
    fn write_if_it_follows(&mut self, what: Happened) -> Result<bool, ConductError> {
        match self.write(what) {
            Ok(()) => Ok(true),
            Err(ConductError::Replay(refusal)) => {
                tracing::info!("run {}: left out: {refusal}", self.ordered.run);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn attempt(&self, step: &StepId) -> Option<(u32, u32)> {
        let found = self.run.steps().find(|(one, _)| one.id == *step);
        found.map(|(_, run)| (run.attempts, run.undo_attempts))
    }

    fn purpose(&self, step: &StepId, limit: Period) -> Purpose {
        Purpose::new((self.ordered.run, self.ordered.mode), step, limit)
    }

    /// Begins a step, in a thread of its own.
    fn begin(&mut self, id: StepId) -> Result<(), ConductError> {
        let Some(position) = self.ordered.plan.position(&id) else { return Ok(()) };
        self.write(Happened::StepStarted { step: id.clone() })?;
        let limit = self.ordered.plan.steps[position].limit;
        let purpose = self.purpose(&id, limit);
        self.under_way.push((id.clone(), purpose.cancel.clone()));
        let attempt = self.attempt(&id).map_or(0, |(attempts, _)| attempts);
        let (hands, plan) = (Arc::clone(&self.hands), self.ordered.plan.clone());
        let dead = Message::Done(id.clone(), attempt, Err(DEAD.to_owned().into()));
        let reports = Reports::new(self.outbox.clone(), dead);
        self.work(move || {
            let step = &plan.steps[position];
            let result = hands.carry_out(&Task { plan: &plan, step, purpose: &purpose });
            reports.tell(Message::Done(id, attempt, result));
        });
        Ok(())
    }

    fn done(
        &mut self,
        step: &StepId,
        attempt: u32,
        result: Result<StepOutcome, Failed>,
    ) -> Result<(), ConductError> {
        if self.attempt(step).is_none_or(|(attempts, _)| attempts != attempt) {
            return Ok(());
        }
        self.under_way.retain(|(one, _)| one != step);
        let step = step.clone();
        let what = match result {
            Ok(outcome) => Happened::StepFinished { step: step.clone(), outcome: outcome.folded() },
            Err(Failed { reason, outcome }) => Happened::StepFailed {
                step: step.clone(),
                reason: told(&reason),
                outcome: outcome.folded(),
            },
        };
        if !self.write_if_it_follows(what)? {
            // What it says of itself cannot be; or people ended it before.
            let reason = "its result does not follow from the plan".to_owned();
            let outcome = StepOutcome::default();
            self.write_if_it_follows(Happened::StepFailed { step, reason, outcome })?;
        }
        Ok(())
    }

    /// Puts a step back, in a thread of its own.
    fn put_back(&mut self, id: StepId) -> Result<(), ConductError> {
        let Some(position) = self.ordered.plan.position(&id) else { return Ok(()) };
        self.write(Happened::UndoStarted { step: id.clone() })?;
        let step = &self.ordered.plan.steps[position];
        let limit = step.undo.as_ref().map_or(step.limit, |undo| undo.limit);
        let purpose = self.purpose(&id, limit);
        self.under_way.push((id.clone(), purpose.cancel.clone()));
        let attempt = self.attempt(&id).map_or(0, |(_, attempts)| attempts);
        let (hands, plan) = (Arc::clone(&self.hands), self.ordered.plan.clone());
        let dead = Message::PutBack(id.clone(), attempt, Err(DEAD.to_owned()));
        let reports = Reports::new(self.outbox.clone(), dead);
        self.work(move || {
            // What did not work a moment ago may in another moment.
            if attempt > 1 && !pause(&purpose.cancel, AGAIN) {
                return;
            }
            let run = Run::new(&plan);
            let work = run.undo_of(&id);
            let step = &plan.steps[position];
            let task = Task { plan: &plan, step, purpose: &purpose };
            let result = work.map_or(Ok(()), |work| hands.put_back(&task, work));
            reports.tell(Message::PutBack(id, attempt, result));
        });
        Ok(())
    }

    fn was_put_back(
        &mut self,
        step: StepId,
        attempt: u32,
        result: Result<(), String>,
    ) -> Result<(), ConductError> {
        if self.attempt(&step).is_none_or(|(_, attempts)| attempts != attempt) {
            return Ok(());
        }
        self.under_way.retain(|(one, _)| *one != step);
        let what = match result {
            Ok(()) => Happened::UndoFinished { step },
            Err(reason) => Happened::UndoFailed { step, reason: told(&reason) },
        };
        self.write_if_it_follows(what).map(drop)
    }

    /// Does something beside the run.
    fn work(&mut self, does: impl FnOnce() + Send + 'static) {
        self.threads.retain(|thread| !thread.is_finished());
        self.threads.push(std::thread::spawn(does));
    }

    /// Begins to compare both sites, unless that is under way.
    fn compare(&mut self) {
        let Some(step) = self.ordered.plan.steps.first().filter(|_| self.comparing.is_none())
        else {
            return;
        };
        let purpose = self.purpose(&step.id, COMPARING);
        self.comparing = Some(purpose.cancel.clone());
        let (hands, plan) = (Arc::clone(&self.hands), self.ordered.plan.clone());
        let dead = Message::Compared(Err(DEAD.to_owned()));
        let reports = Reports::new(self.outbox.clone(), dead);
        self.work(move || {
            let Some(step) = plan.steps.first() else { return };
            let compared = hands.reconcile(&Task { plan: &plan, step, purpose: &purpose });
            reports.tell(Message::Compared(compared));
        });
    }

    fn compared(&mut self, compared: Compared) -> Result<(), ConductError> {
        self.comparing = None;
        let (Held { both, missing }, note) = match compared {
            Ok(held) => (held, String::new()),
            Err(why) => (Held::default(), told(&why)),
        };
        self.write_if_it_follows(Happened::Reconciled { both, missing, note }).map(drop)
    }

    fn take_answers(&mut self) -> Result<(), ConductError> {
        for answer in std::mem::take(&mut self.waiting) {
            if answer.number <= self.answered {
                continue;
            }
            // What waits for something to end, keeps those behind it waiting.
            if !self.waiting.is_empty() || !self.take_answer(&answer)? {
                self.waiting.push(answer);
                continue;
            }
            self.answered = answer.number;
            self.journal.answered(answer.number)?;
        }
        Ok(())
    }

    /// Follows an answer; whether it was taken, or is too late. It is not while what is under way has to end first.
    fn take_answer(&mut self, answer: &DrillAnswer) -> Result<bool, ConductError> {
        let DrillAnswer { reply, by, note, .. } = answer;
        if *reply == DrillReply::Failback {
            return self.fail_back(by);
        }
        let Some(step) = answer.step.clone() else { return Ok(true) };
        // What the runner itself carries out is ended by its own result: people refuse what people are asked.
        if *reply == DrillReply::Refuse && !self.is_asked(&step) {
            return Ok(true);
        }
        if let Some(what) = wished(*reply, &step, by, note)
            && self.write_if_it_follows(what)?
        {
            self.let_go(&step);
        }
        Ok(true)
    }

    /// Whether people are asked about a step that is under way.
    fn is_asked(&self, step: &StepId) -> bool {
        use lumbung_model::drill::DrillAction::Confirm;
        self.ordered
            .plan
            .steps
            .iter()
            .any(|one| one.id == *step && matches!(one.action, Confirm { .. }))
    }

    /// Ends the thread of a step that people have ended.
    fn let_go(&mut self, step: &StepId) {
        let ended = self.under_way.iter().position(|(one, _)| one == step);
        if let Some(at) = ended {
            self.under_way.remove(at).1.cancel();
        }
    }

    /// Puts everything back, once what is under way has ended.
    fn fail_back(&mut self, by: &str) -> Result<bool, ConductError> {
        let running = self.run.steps().any(|(_, run)| run.progress == StepProgress::Running);
        if running && !self.under_way.is_empty() {
            self.under_way.iter().for_each(|(_, cancel)| cancel.cancel());
            return Ok(false);
        }
        let by = by.to_owned();
        self.write_if_it_follows(Happened::Failback { why: FailbackWhy::Asked, by })?;
        Ok(true)
    }
}

/// The event that an answer about a step wishes for.
fn wished(reply: DrillReply, step: &StepId, by: &str, note: &str) -> Option<Happened> {
    let (step, by) = (step.clone(), by.to_owned());
    let said = if note.trim().is_empty() { String::new() } else { told(note) };
    Some(match reply {
        DrillReply::Confirm => Happened::StepConfirmed { step, by, note: said },
        DrillReply::Refuse => {
            let reason = told(&format!("{by}: {note}"));
            Happened::StepFailed { step, reason, outcome: StepOutcome::default() }
        }
        DrillReply::Skip => Happened::StepSkipped { step, by, note: told(note) },
        DrillReply::Retry => Happened::StepRetried { step, by },
        DrillReply::PutBack => Happened::UndoneByHand { step, by, note: told(note) },
        DrillReply::Failback => return None,
    })
}

impl Drop for Conductor<'_> {
    fn drop(&mut self) {
        // What is under way must not go on beside whoever takes the run up again.
        self.under_way.iter().for_each(|(_, cancel)| cancel.cancel());
        self.comparing.iter().for_each(Cancel::cancel);
        for thread in self.threads.drain(..) {
            // One that died has said so.
            let _ = thread.join();
        }
    }
}

/// Tells what came of a thread's work, also when the thread dies.
struct Reports {
    outbox: Sender<Message>,
    message: Option<Message>,
}

impl Reports {
    /// `dead` is told if nothing else is.
    const fn new(outbox: Sender<Message>, dead: Message) -> Self {
        Self { outbox, message: Some(dead) }
    }

    fn tell(mut self, message: Message) {
        self.message = Some(message);
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        // Nobody hears it when the runner ends.
        if let Some(message) = self.message.take() {
            let _ = self.outbox.send(message);
        }
    }
}

const DEAD: &str = "the runner failed in it: look at its log, and report this if it repeats";
