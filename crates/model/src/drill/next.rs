//! What is to be done now: the plan of the run, computed from its events before anything is carried out.
//!
//! Invariants: whoever does what is said and writes it down comes to the end, from any point and after any stop; the same
//! events always say the same. What is said to be done is accepted by [`Run::apply`] as the next event.

use super::event::FailbackWhy;
use super::plan::{DrillAction, Undo};
use super::run::{DrillMode, Run, StepProgress, UndoProgress};
use super::word::{RunnerName, StepId};

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Write down that the run has begun.
    Start,
    /// Begin these steps, all at once; others may be under way.
    Begin(Vec<StepId>),
    /// Nothing can begin until one of these is over.
    Wait(Vec<StepId>),
    /// Write down that everything is put back from here.
    Failback(FailbackWhy),
    /// People decide whether services go back, or whether a step that failed is begun again.
    AskForFailback {
        /// The steps that failed; none: everything is over.
        failed: Vec<StepId>,
    },
    /// Put this step back.
    Undo(StepId),
    /// Putting this step back is under way.
    WaitForUndo(StepId),
    /// Somebody has to put these steps back by hand.
    AskForHands(Vec<StepId>),
    /// Write down that nothing is left.
    Clean,
    /// Compare what both sites hold.
    Reconcile,
    /// Write down that the run is over.
    Finish,
    /// It is over.
    Over,
}

/// How a step is put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UndoWork<'p> {
    /// By a hook.
    Hook(&'p Undo),
    /// By wiping the scratch place.
    Wipe(&'p RunnerName),
}

impl<'p> Run<'p> {
    /// What is to be done now.
    #[must_use]
    pub fn next(&self) -> Next {
        if self.started.is_none() {
            return Next::Start;
        }
        if self.finished.is_some() {
            return Next::Over;
        }
        if self.failback.is_some() { self.next_back() } else { self.next_forward() }
    }

    fn ids(&self, steps: impl IntoIterator<Item = usize>) -> Vec<StepId> {
        steps.into_iter().map(|index| self.plan.steps[index].id.clone()).collect()
    }

    fn next_forward(&self) -> Next {
        let running: Vec<usize> = self.running().collect();
        if self.is_stopped() {
            if !running.is_empty() {
                return Next::Wait(self.ids(running));
            }
            if self.mode == DrillMode::Real {
                let failed = |index: &usize| {
                    self.steps[*index].progress == StepProgress::Failed && !self.is_over(*index)
                };
                let failed = (0..self.steps.len()).filter(failed);
                return Next::AskForFailback { failed: self.ids(failed) };
            }
            return Next::Failback(FailbackWhy::Failed);
        }
        let ready = |index: &usize| {
            self.steps[*index].progress == StepProgress::Pending && self.is_free(*index)
        };
        let ready: Vec<usize> = (0..self.steps.len()).filter(ready).collect();
        match (ready.is_empty(), running.is_empty()) {
            (false, _) => Next::Begin(self.ids(ready)),
            (true, false) => Next::Wait(self.ids(running)),
            (true, true) if self.mode == DrillMode::Real => {
                Next::AskForFailback { failed: Vec::new() }
            }
            (true, true) => Next::Failback(FailbackWhy::Completed),
        }
    }

    fn next_back(&self) -> Next {
        if let Some(index) = self.next_undo() {
            let id = self.plan.steps[index].id.clone();
            return match self.steps[index].undo {
                UndoProgress::Running => Next::WaitForUndo(id),
                _ => Next::Undo(id),
            };
        }
        let given_up = |index: &usize| self.steps[*index].undo == UndoProgress::GivenUp;
        let given_up: Vec<usize> = (0..self.steps.len()).filter(given_up).collect();
        if !given_up.is_empty() {
            return Next::AskForHands(self.ids(given_up));
        }
        if self.cleaned.is_none() {
            return Next::Clean;
        }
        if self.is_to_be_reconciled() && self.reconciled.is_none() {
            return Next::Reconcile;
        }
        Next::Finish
    }

    /// Whether the runner was killed while something was under way: then it writes down that it was interrupted, first of all.
    #[must_use]
    pub fn was_cut_short(&self) -> bool {
        let undoing = self.steps.iter().any(|run| run.undo == UndoProgress::Running);
        self.finished.is_none() && (undoing || self.running().next().is_some())
    }

    /// How a step is put back; none: it leaves nothing.
    #[must_use]
    pub fn undo_of(&self, step: &StepId) -> Option<UndoWork<'p>> {
        let step = &self.plan.steps[self.plan.position(step)?];
        match (&step.undo, &step.action) {
            (Some(undo), _) => Some(UndoWork::Hook(undo)),
            (None, DrillAction::Restore { place, .. }) => Some(UndoWork::Wipe(place)),
            _ => None,
        }
    }
}
