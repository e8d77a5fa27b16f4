//! Why an event is not taken into a run's journal.

use super::event::FailbackWhy;
use super::word::StepId;

/// Why an event does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has the wrong number.
    #[error(
        "event {found} does not follow: number {expected} comes next; send the journal without gaps"
    )]
    Number {
        /// The number that comes next.
        expected: u64,
        /// The number that it has.
        found: u64,
    },
    /// A text is missing, too long, or no text.
    #[error(
        "a text of the event is missing, longer than 4000 characters, or has control characters"
    )]
    Text,
    /// The run has begun.
    #[error("the run has begun already: `started` is its first event and comes once")]
    StartedAlready,
    /// It has not.
    #[error("the run has not begun: `started` is its first event")]
    NotStarted,
    /// A journal without end.
    #[error(
        "the journal is full: a run has at most 10,000 events, 1,000 interruptions and 16 MiB; look at its runner, put back by hand what is left, and close it"
    )]
    TooMany,
    /// The sites were compared.
    #[error("what both sites hold was compared already: the run is to be finished")]
    ReconciledAlready,
    /// It is over.
    #[error("the run is over: start another")]
    Finished,
    /// No such step.
    #[error("the plan has no step {0}: the run is one of the revision it was started with")]
    UnknownStep(StepId),
    /// A plan for talks alone.
    #[error("this plan is a tabletop: it is talked through (mode tabletop), and never carried out")]
    OnlyTabletop,
    /// Only a failover is real.
    #[error("in earnest only a failover plan is run, and the outage is declared with its time")]
    NotReal,
    /// What the step depends on is not over.
    #[error("step {0} cannot begin: what it depends on is not over")]
    TooEarly(StepId),
    /// It has begun.
    #[error("step {0} has begun already")]
    BegunAlready(StepId),
    /// Nothing begins any more.
    #[error("step {0} cannot begin: a step has failed that the plan does not go on without")]
    Stopped(StepId),
    /// It does not run.
    #[error("step {0} is not under way")]
    NotRunning(StepId),
    /// Something runs.
    #[error("step {0} is still under way: end it first, as finished or failed")]
    StillRunning(StepId),
    /// A runner says what people have to say.
    #[error("step {0} is for people to confirm, with their name")]
    ByHand(StepId),
    /// People say what the runner has to say.
    #[error("step {0} is carried out by the runner: nobody confirms it by hand")]
    NotByHand(StepId),
    /// What was compared differs.
    #[error("step {0} compared something that is not as it should be: it has failed")]
    Differs(StepId),
    /// A restore of nothing.
    #[error("step {0} restores a dataset: say from which snapshot (`recovery_point`)")]
    NoRecoveryPoint(StepId),
    /// It cannot be left out.
    #[error(
        "step {0} cannot be left out now: it is over, under way, or what it depends on is not over"
    )]
    NotSkipped(StepId),
    /// It cannot be begun again.
    #[error("step {0} cannot be begun again: only a step that stopped a failover in earnest can")]
    NotRetried(StepId),
    /// It is being put back.
    #[error("the run is being put back: nothing more is begun")]
    PutBackAlready,
    /// The reason does not hold.
    #[error("the run is not put back as {0}: that is not so")]
    NotSo(FailbackWhy),
    /// Nobody asked.
    #[error("who asks for it? the name of whoever decides that services go back is needed")]
    Nobody,
    /// There is nothing to put back.
    #[error("step {0} is not to be put back now")]
    NotPutBack(StepId),
    /// Another one comes first.
    #[error("step {0} is not put back yet: what was begun after it comes first")]
    NotLast(StepId),
    /// Something is left.
    #[error("the run is not cleaned up: something is still to be put back")]
    NotCleaned,
    /// The sites were not compared.
    #[error("the run is not over: compare what both sites hold first (`reconciled`)")]
    NotReconciled,
}
