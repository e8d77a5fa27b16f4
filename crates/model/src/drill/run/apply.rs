//! Which event may come next in a run, and what it changes.
//!
//! Invariant: what is refused has changed nothing: everything is asked before anything is set.

use super::{
    ATTEMPTS_MAX, DrillMode, INTERRUPTIONS_MAX, RUN_EVENTS_MAX, Reconciliation, Run, StepProgress,
    StepRun, UNDO_ATTEMPTS_MAX, UndoProgress,
};
use crate::Timestamp;
use crate::drill::event::{DrillEvent, FailbackWhy, Happened, StepOutcome};
use crate::drill::plan::{DrillAction, DrillKind, OnFailure};
use crate::drill::refusal::Refusal;
use crate::drill::word::StepId;

impl Run<'_> {
    /// Takes one more event.
    ///
    /// # Errors
    /// If it does not follow from those before it; nothing has changed then.
    pub fn apply(&mut self, event: &DrillEvent) -> Result<(), Refusal> {
        if event.number != self.next_number() {
            return Err(Refusal::Number { expected: self.next_number(), found: event.number });
        }
        if event.number > RUN_EVENTS_MAX {
            return Err(Refusal::TooMany);
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
            Happened::Interrupted { .. } if self.interruptions.len() >= INTERRUPTIONS_MAX => {
                Err(Refusal::TooMany)
            }
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
                if self.reconciled.is_some() {
                    return Err(Refusal::ReconciledAlready);
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

    pub(in crate::drill) fn running(&self) -> impl Iterator<Item = usize> + '_ {
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
    pub(in crate::drill) fn is_confirmed_by_hand(&self, index: usize) -> bool {
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
