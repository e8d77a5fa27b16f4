//! A run as a function of its events: what is known of each step, and which event may come next.
//!
//! Invariants: an event that does not follow from those before it is refused and changes nothing. A step begins once all that
//! it depends on is over; nothing begins once the run is being put back. Whatever was begun and may have changed something is
//! put back once, last begun first, also what failed or was cut short. Times never run backward.

use super::event::{DrillEvent, FailbackWhy, Happened, StepOutcome};
use super::plan::{DrillAction, DrillKind, DrillPlan, DrillStep, OnFailure};
use super::refusal::Refusal;
use super::word::{StepId, spelled};
use crate::Timestamp;

/// How often a step that was cut short is begun again.
pub const ATTEMPTS_MAX: u32 = 3;
/// How often putting a step back is tried before people have to do it.
pub const UNDO_ATTEMPTS_MAX: u32 = 3;

spelled! {
    /// How a plan is run.
    DrillMode {
        /// As a drill: what it isolates is cut off, and everything is put back at the end.
        Drill = "drill", "uji coba", "drill";
        /// In earnest: nothing is cut off, and people decide when services go back.
        Real = "real", "kejadian nyata", "in earnest";
        /// At a table: each step is read out, and nothing is carried out.
        Tabletop = "tabletop", "simulasi meja", "tabletop";
    }
}

spelled! {
    /// How far a step has come.
    StepProgress {
        /// It was not begun.
        Pending = "pending", "belum dijalankan", "not begun";
        /// It is under way.
        Running = "running", "berjalan", "under way";
        /// It came to a good end.
        Done = "done", "berhasil", "done";
        /// It failed.
        Failed = "failed", "gagal", "failed";
        /// It was left out.
        Skipped = "skipped", "dilewati", "left out";
    }
}

spelled! {
    /// How far putting a step back has come.
    UndoProgress {
        /// There is nothing to put back.
        None = "none", "-", "-";
        /// It has to be put back.
        Owed = "owed", "belum dikembalikan", "to be put back";
        /// It is under way.
        Running = "running", "sedang dikembalikan", "under way";
        /// It is as it was.
        Done = "done", "dikembalikan", "put back";
        /// The hook could not: somebody has to.
        GivenUp = "given_up", "gagal dikembalikan", "could not be put back";
        /// Somebody has.
        ByHand = "by_hand", "dikembalikan secara manual", "put back by hand";
    }
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRun {
    /// How far it has come.
    pub progress: StepProgress,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was begun first.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// Who confirmed it, or had it left out.
    pub by: String,
    /// Why it failed, or what was said.
    pub note: String,
    /// What came of it.
    pub outcome: StepOutcome,
    /// How far putting it back has come.
    pub undo: UndoProgress,
    /// How often that was tried.
    pub undo_attempts: u32,
    /// When that was begun first.
    pub undo_started: Option<Timestamp>,
    /// When that was over.
    pub undo_ended: Option<Timestamp>,
    /// Why it could not be put back, or what somebody did.
    pub undo_note: String,
}

impl StepRun {
    const fn new() -> Self {
        Self {
            progress: StepProgress::Pending,
            attempts: 0,
            started: None,
            ended: None,
            by: String::new(),
            note: String::new(),
            outcome: StepOutcome {
                recovery_point: None,
                integrity: Vec::new(),
                note: String::new(),
            },
            undo: UndoProgress::None,
            undo_attempts: 0,
            undo_started: None,
            undo_ended: None,
            undo_note: String::new(),
        }
    }
}

/// What was found when the sites were compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// When.
    pub at: Timestamp,
    /// Snapshots that both sites have.
    pub both: u64,
    /// Snapshots that only one of them has.
    pub missing: u64,
    /// What there was to say.
    pub note: String,
}

/// A run of a plan, from its beginning until its last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'p> {
    pub(super) plan: &'p DrillPlan,
    pub(super) events: u64,
    pub(super) mode: DrillMode,
    pub(super) started: Option<Timestamp>,
    pub(super) declared: Option<Timestamp>,
    pub(super) last: Timestamp,
    pub(super) steps: Vec<StepRun>,
    /// The steps that were begun, in that order, each once.
    pub(super) begun: Vec<usize>,
    pub(super) interruptions: Vec<(Timestamp, String)>,
    pub(super) failback: Option<(Timestamp, FailbackWhy, String)>,
    pub(super) cleaned: Option<Timestamp>,
    pub(super) reconciled: Option<Reconciliation>,
    pub(super) finished: Option<Timestamp>,
}

impl<'p> Run<'p> {
    /// A run that has not begun.
    #[must_use]
    pub fn new(plan: &'p DrillPlan) -> Self {
        Self {
            plan,
            events: 0,
            mode: DrillMode::Drill,
            started: None,
            declared: None,
            last: Timestamp(i64::MIN),
            steps: plan.steps.iter().map(|_| StepRun::new()).collect(),
            begun: Vec::new(),
            interruptions: Vec::new(),
            failback: None,
            cleaned: None,
            reconciled: None,
            finished: None,
        }
    }

    /// The run that these events are of.
    ///
    /// # Errors
    /// The first event that does not follow from those before it.
    pub fn replay<'e>(
        plan: &'p DrillPlan,
        events: impl IntoIterator<Item = &'e DrillEvent>,
    ) -> Result<Self, Refusal> {
        let mut run = Self::new(plan);
        events.into_iter().try_for_each(|event| run.apply(event))?;
        Ok(run)
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &'p DrillPlan {
        self.plan
    }

    /// How it is run.
    #[must_use]
    pub const fn mode(&self) -> DrillMode {
        self.mode
    }

    /// The number that the next event has.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.events + 1
    }

    /// When it began.
    #[must_use]
    pub const fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// When it was over.
    #[must_use]
    pub const fn finished(&self) -> Option<Timestamp> {
        self.finished
    }

    /// The steps of the plan with what is known of each.
    pub fn steps(&self) -> impl Iterator<Item = (&'p DrillStep, &StepRun)> {
        self.plan.steps.iter().zip(&self.steps)
    }

    /// Whether a step has failed that the run does not go on without.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        // At a table one goes on talking about what did not work.
        let stops = |(step, run): (&DrillStep, &StepRun)| {
            run.progress == StepProgress::Failed && step.on_failure == OnFailure::Stop
        };
        self.mode != DrillMode::Tabletop && self.steps().any(stops)
    }

    /// Whether every step is over.
    #[must_use]
    pub fn is_through(&self) -> bool {
        !self.is_stopped() && (0..self.steps.len()).all(|index| self.is_over(index))
    }

    /// Whether what was written at both sites has to be compared before the run is over.
    #[must_use]
    pub fn is_to_be_reconciled(&self) -> bool {
        let isolates =
            |index: &usize| matches!(self.plan.steps[*index].action, DrillAction::Isolate { .. });
        match self.mode {
            DrillMode::Tabletop => false,
            DrillMode::Real => self.plan.kind == DrillKind::Failover,
            DrillMode::Drill => self.begun.iter().any(isolates),
        }
    }

    pub(super) fn is_over(&self, index: usize) -> bool {
        match self.steps[index].progress {
            StepProgress::Done | StepProgress::Skipped => true,
            StepProgress::Failed => {
                self.mode == DrillMode::Tabletop
                    || self.plan.steps[index].on_failure == OnFailure::GoOn
            }
            StepProgress::Pending | StepProgress::Running => false,
        }
    }

    /// Whether all that a step depends on is over.
    pub(super) fn is_free(&self, index: usize) -> bool {
        let positions = self.plan.steps[index].after.iter().map(|step| self.plan.position(step));
        positions.into_iter().all(|at| at.is_some_and(|at| self.is_over(at)))
    }

    /// The step that is put back next: the last one begun that has to be.
    pub(super) fn next_undo(&self) -> Option<usize> {
        let owed = |index: &usize| {
            matches!(self.steps[*index].undo, UndoProgress::Owed | UndoProgress::Running)
        };
        self.begun.iter().rev().copied().find(owed)
    }

    /// Whether beginning a step makes it one that has to be put back.
    fn leaves_something(&self, index: usize) -> bool {
        let step = &self.plan.steps[index];
        let scratch = matches!(step.action, DrillAction::Restore { .. });
        self.mode != DrillMode::Tabletop && (step.undo.is_some() || scratch)
    }

    /// Takes one more event.
    ///
    /// # Errors
    /// If it does not follow from those before it; nothing has changed then.
    pub fn apply(&mut self, event: &DrillEvent) -> Result<(), Refusal> {
        if event.number != self.next_number() {
            return Err(Refusal::Number { expected: self.next_number(), found: event.number });
        }
        if !event.what.is_bounded() {
            return Err(Refusal::Text);
        }
        let is_first = matches!(event.what, Happened::Started { .. });
        if is_first != self.started.is_none() {
            return Err(if is_first { Refusal::StartedAlready } else { Refusal::NotStarted });
        }
        if self.finished.is_some() {
            return Err(Refusal::Finished);
        }
        // A clock that was put back takes no time away.
        let at = event.at.max(self.last);
        match event.what.step() {
            Some(id) => {
                let index =
                    self.plan.position(id).ok_or_else(|| Refusal::UnknownStep(id.clone()))?;
                self.of_step(at, index, &event.what)?;
            }
            None => self.of_run(at, &event.what)?,
        }
        (self.events, self.last) = (event.number, at);
        Ok(())
    }

    fn of_run(&mut self, at: Timestamp, what: &Happened) -> Result<(), Refusal> {
        match what {
            Happened::Started { mode, outage } => self.start(at, *mode, *outage),
            Happened::Interrupted { reason } => {
                self.interrupt(at, reason);
                Ok(())
            }
            Happened::Failback { why, by } => self.fail_back(at, *why, by),
            Happened::Cleaned {} if self.can_be_cleaned() => {
                self.cleaned = Some(at);
                Ok(())
            }
            Happened::Cleaned {} => Err(Refusal::NotCleaned),
            Happened::Reconciled { both, missing, note } => {
                if self.cleaned.is_none() {
                    return Err(Refusal::NotCleaned);
                }
                let (both, missing, note) = (*both, *missing, note.clone());
                self.reconciled = Some(Reconciliation { at, both, missing, note });
                Ok(())
            }
            Happened::Finished {} if self.cleaned.is_none() => Err(Refusal::NotCleaned),
            Happened::Finished {} if self.is_to_be_reconciled() && self.reconciled.is_none() => {
                Err(Refusal::NotReconciled)
            }
            _ => {
                self.finished = Some(at);
                Ok(())
            }
        }
    }

    fn start(
        &mut self,
        at: Timestamp,
        mode: DrillMode,
        outage: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        if self.plan.kind == DrillKind::Tabletop && mode != DrillMode::Tabletop {
            return Err(Refusal::OnlyTabletop);
        }
        if mode == DrillMode::Real && (self.plan.kind != DrillKind::Failover || outage.is_none()) {
            return Err(Refusal::NotReal);
        }
        if outage.is_some_and(|outage| outage > at) {
            return Err(Refusal::OutageAhead);
        }
        (self.mode, self.started, self.declared) = (mode, Some(at), outage);
        if mode == DrillMode::Real {
            // What the drill cuts off is down by itself.
            let steps = self.plan.steps.iter().zip(&mut self.steps);
            for (_, run) in
                steps.filter(|(step, _)| matches!(step.action, DrillAction::Isolate { .. }))
            {
                (run.progress, run.ended) = (StepProgress::Skipped, Some(at));
            }
        }
        Ok(())
    }

    fn interrupt(&mut self, at: Timestamp, reason: &str) {
        for (step, run) in self.plan.steps.iter().zip(&mut self.steps) {
            if run.progress == StepProgress::Running {
                // People are asked as often as it takes; work that is cut short every time does not end by itself.
                let asks = matches!(step.action, DrillAction::Confirm { .. });
                let again = self.mode == DrillMode::Tabletop
                    || asks
                    || (step.action.is_repeatable() && run.attempts < ATTEMPTS_MAX);
                if again {
                    run.progress = StepProgress::Pending;
                } else {
                    (run.progress, run.ended) = (StepProgress::Failed, Some(at));
                    run.note = reason.to_owned();
                }
            }
            if run.undo == UndoProgress::Running {
                // It is begun again: whoever writes such a hook knows that it may be cut short.
                run.undo = UndoProgress::Owed;
            }
        }
        self.interruptions.push((at, reason.to_owned()));
    }

    fn fail_back(&mut self, at: Timestamp, why: FailbackWhy, by: &str) -> Result<(), Refusal> {
        if self.failback.is_some() {
            return Err(Refusal::PutBackAlready);
        }
        if let Some(index) = self.running().next() {
            return Err(Refusal::StillRunning(self.plan.steps[index].id.clone()));
        }
        let is_so = match why {
            FailbackWhy::Completed => self.is_through(),
            FailbackWhy::Failed => self.is_stopped(),
            FailbackWhy::Asked => true,
        };
        if !is_so {
            return Err(Refusal::NotSo(why));
        }
        // When services go back after a real outage is for people to say.
        let needs_somebody = why == FailbackWhy::Asked || self.mode == DrillMode::Real;
        if needs_somebody && by.trim().is_empty() {
            return Err(Refusal::Nobody);
        }
        self.failback = Some((at, why, by.to_owned()));
        Ok(())
    }

    fn can_be_cleaned(&self) -> bool {
        let left = |run: &StepRun| {
            matches!(run.undo, UndoProgress::Owed | UndoProgress::Running | UndoProgress::GivenUp)
        };
        self.failback.is_some() && self.cleaned.is_none() && !self.steps.iter().any(left)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = usize> + '_ {
        let running = |index: &usize| self.steps[*index].progress == StepProgress::Running;
        (0..self.steps.len()).filter(running)
    }

    fn of_step(&mut self, at: Timestamp, index: usize, what: &Happened) -> Result<(), Refusal> {
        match what {
            Happened::StepStarted { .. } => self.begin(at, index),
            Happened::StepFinished { outcome, .. } => self.finish(at, index, outcome),
            Happened::StepFailed { reason, outcome, .. } => {
                self.is_running(index)?;
                let run = &mut self.steps[index];
                (run.progress, run.ended) = (StepProgress::Failed, Some(at));
                (run.note, run.outcome) = (reason.clone(), outcome.clone());
                Ok(())
            }
            Happened::StepConfirmed { by, note, .. } => {
                self.is_running(index)?;
                if !self.is_confirmed_by_hand(index) {
                    return Err(Refusal::NotByHand(self.id(index)));
                }
                self.by_hand((at, index), StepProgress::Done, by, note);
                Ok(())
            }
            Happened::StepSkipped { by, note, .. } => self.skip((at, index), by, note),
            Happened::StepRetried { by, .. } => self.retry(index, by),
            undo => self.of_undo(at, index, undo),
        }
    }

    fn id(&self, index: usize) -> StepId {
        self.plan.steps[index].id.clone()
    }

    fn is_running(&self, index: usize) -> Result<(), Refusal> {
        let running = self.steps[index].progress == StepProgress::Running;
        if running { Ok(()) } else { Err(Refusal::NotRunning(self.id(index))) }
    }

    /// Whether people say how a step ended, and not the runner.
    pub(super) fn is_confirmed_by_hand(&self, index: usize) -> bool {
        let by_hand = matches!(self.plan.steps[index].action, DrillAction::Confirm { .. });
        by_hand || self.mode == DrillMode::Tabletop
    }

    fn begin(&mut self, at: Timestamp, index: usize) -> Result<(), Refusal> {
        if self.failback.is_some() {
            return Err(Refusal::PutBackAlready);
        }
        if self.is_stopped() {
            return Err(Refusal::Stopped(self.id(index)));
        }
        if self.steps[index].progress != StepProgress::Pending {
            return Err(Refusal::BegunAlready(self.id(index)));
        }
        if !self.is_free(index) {
            return Err(Refusal::TooEarly(self.id(index)));
        }
        let leaves_something = self.leaves_something(index);
        if !self.begun.contains(&index) {
            self.begun.push(index);
        }
        let run = &mut self.steps[index];
        run.progress = StepProgress::Running;
        run.attempts += 1;
        run.started.get_or_insert(at);
        if leaves_something {
            run.undo = UndoProgress::Owed;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        at: Timestamp,
        index: usize,
        outcome: &StepOutcome,
    ) -> Result<(), Refusal> {
        self.is_running(index)?;
        if self.is_confirmed_by_hand(index) {
            return Err(Refusal::ByHand(self.id(index)));
        }
        if outcome.integrity.iter().any(|one| !one.good) {
            return Err(Refusal::Differs(self.id(index)));
        }
        let restores = matches!(self.plan.steps[index].action, DrillAction::Restore { .. });
        if restores && outcome.recovery_point.is_none() {
            return Err(Refusal::NoRecoveryPoint(self.id(index)));
        }
        let run = &mut self.steps[index];
        (run.progress, run.ended) = (StepProgress::Done, Some(at));
        run.note.clear();
        run.outcome = outcome.clone();
        Ok(())
    }

    fn by_hand(
        &mut self,
        (at, index): (Timestamp, usize),
        progress: StepProgress,
        by: &str,
        note: &str,
    ) {
        let run = &mut self.steps[index];
        (run.progress, run.ended) = (progress, Some(at));
        (run.by, run.note) = (by.to_owned(), note.to_owned());
    }

    fn skip(&mut self, at: (Timestamp, usize), by: &str, note: &str) -> Result<(), Refusal> {
        let index = at.1;
        if self.failback.is_some() {
            return Err(Refusal::PutBackAlready);
        }
        // What runs is ended by whoever runs it; what people are asked, they may leave out.
        let asked =
            self.steps[index].progress == StepProgress::Running && self.is_confirmed_by_hand(index);
        // Whatever waits for this one relies on what this one waits for.
        let free = self.steps[index].progress == StepProgress::Pending && self.is_free(index);
        if !asked && !free {
            return Err(Refusal::NotSkipped(self.id(index)));
        }
        self.by_hand(at, StepProgress::Skipped, by, note);
        Ok(())
    }

    fn retry(&mut self, index: usize, by: &str) -> Result<(), Refusal> {
        let failed = self.steps[index].progress == StepProgress::Failed
            && self.plan.steps[index].on_failure == OnFailure::Stop;
        if self.mode != DrillMode::Real || self.failback.is_some() || !failed {
            return Err(Refusal::NotRetried(self.id(index)));
        }
        let run = &mut self.steps[index];
        (run.progress, run.ended) = (StepProgress::Pending, None);
        by.clone_into(&mut run.by);
        Ok(())
    }

    fn of_undo(&mut self, at: Timestamp, index: usize, what: &Happened) -> Result<(), Refusal> {
        let id = || self.plan.steps[index].id.clone();
        if self.failback.is_none() {
            return Err(Refusal::NotPutBack(id()));
        }
        let is_next = self.next_undo() == Some(index);
        let run = &mut self.steps[index];
        match (what, run.undo) {
            (Happened::UndoStarted { .. }, UndoProgress::Owed) if is_next => {
                run.undo = UndoProgress::Running;
                run.undo_attempts += 1;
                run.undo_started.get_or_insert(at);
            }
            (Happened::UndoStarted { .. }, UndoProgress::Owed) => {
                return Err(Refusal::NotLast(id()));
            }
            (Happened::UndoFinished { .. }, UndoProgress::Running) => {
                (run.undo, run.undo_ended) = (UndoProgress::Done, Some(at));
            }
            (Happened::UndoFailed { reason, .. }, UndoProgress::Running) => {
                let again = run.undo_attempts < UNDO_ATTEMPTS_MAX;
                run.undo = if again { UndoProgress::Owed } else { UndoProgress::GivenUp };
                run.undo_note.clone_from(reason);
            }
            (Happened::UndoneByHand { by, note, .. }, UndoProgress::GivenUp) => {
                (run.undo, run.undo_ended) = (UndoProgress::ByHand, Some(at));
                run.undo_note = format!("{by}: {note}");
            }
            _ => return Err(Refusal::NotPutBack(id())),
        }
        Ok(())
    }
}
