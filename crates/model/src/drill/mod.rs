//! Drills and failover: plans, how far they have come, runs, what runs measured, and the *berita acara*.
//!
//! Pure. A plan ([`DrillPlan`]) is checked as a whole (`faults`) before it is kept; a run ([`Run`]) is a function of its
//! events, and [`Run::next`] says what is to be done now, so that a runner that was killed goes on from its journal alone.
//! Invariants: what was changed is put back from every point; nothing is measured that no event says; a verdict has grounds.
//!
//! Regulation map, O8 (Tanjungbalai 62/2023, pasal 33 ayat (3): an IT contingency plan whose validity is tested regularly) and
//! O9 (the same: a standby that takes over fast). No article sets an RTO, an RPO or an interval of drills.

mod acta;
mod event;
mod faults;
mod next;
mod plan;
mod refusal;
mod run;
mod standing;
mod verdict;
mod word;

#[cfg(test)]
mod tests;

pub use acta::{
    Acta, ActaDataset, ActaFailback, ActaGiven, ActaIntegrity, ActaInterruption, ActaPlan,
    ActaService, ActaStep, ActaUndo, Correction, DatasetNames, ServiceNames, Signatory,
};
pub use event::{
    DrillEvent, FailbackWhy, Happened, INTEGRITY_MAX, Integrity, IntegrityKind, RecoveryPoint,
    StepOutcome,
};
pub use faults::{
    LIMIT_MAX_S, LINE_MAX_CHARS, PARTS_MAX, PlanFault, STEPS_MAX, TEXT_MAX_CHARS, as_line, faults,
    is_text,
};
pub use next::{Next, UndoWork};
pub use plan::{
    DatasetPart, DrillAction, DrillKind, DrillPlan, DrillStep, Health, HealthProbe, OnFailure,
    Participant, PlaceKind, ServicePart, Targets, Undo, WaitFor,
};
pub use refusal::Refusal;
pub use run::{
    ATTEMPTS_MAX, DrillMode, INTERRUPTIONS_MAX, RUN_EVENTS_MAX, Reconciliation, Run, StepProgress,
    StepRun, UNDO_ATTEMPTS_MAX, UndoProgress,
};
pub use standing::{
    DatasetFacts, Essence, Fingerprint, NotVerifiedWhy, PastRun, PlanStanding, PlanState,
    ServerFacts, ServiceFacts, Subjects, essence, standing,
};
pub use verdict::{DatasetRpo, DrillFigures, Ground, Verdict, lasted};
pub use word::{Language, PartKey, RunnerName, StepId, WORD_MAX_BYTES, WordError};
