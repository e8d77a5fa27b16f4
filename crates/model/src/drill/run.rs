//! A run as a function of its events: what is known of each step, and which event may come next.
//!
//! Invariants: an event that does not follow from those before it is refused and changes nothing. A step begins once all that
//! it depends on is over; nothing begins once the run is being put back. Whatever was begun and may have changed something is
//! put back once, last begun first, also what failed or was cut short. Times never run backward.

mod apply;

use super::event::{DrillEvent, FailbackWhy, StepOutcome};
use super::plan::{DrillAction, DrillKind, DrillPlan, DrillStep, OnFailure};
use super::refusal::Refusal;
use super::word::spelled;
use crate::Timestamp;

/// How often a step that was cut short is begun again.
pub const ATTEMPTS_MAX: u32 = 3;
/// Events that a run has at most: every step begun, ended and put back a few times stays far below it.
pub const RUN_EVENTS_MAX: u64 = 10_000;
/// How often the runner may be cut short in one run.
pub const INTERRUPTIONS_MAX: usize = 1_000;
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

impl Reconciliation {
    /// Whether nothing could be compared: then the note says why.
    #[must_use]
    pub const fn is_empty_handed(&self) -> bool {
        self.both == 0 && self.missing == 0 && !self.note.is_empty()
    }
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

    /// Why everything is put back; none: it is not yet.
    #[must_use]
    pub fn failback_why(&self) -> Option<FailbackWhy> {
        self.failback.as_ref().map(|(_, why, _)| *why)
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
}
