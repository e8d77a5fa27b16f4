//! Why a plan or a run is not changed.

use lumbung_model::drill::{PlanFault, Refusal};
use lumbung_model::{DrillRunId, drill};

use crate::db::DbError;
use crate::register::RegisterError;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// There is no such plan, or it is another PD's.
    #[error("there is no drill plan of this id: `GET /api/v1/drill-plans` lists them")]
    UnknownPlan,
    /// There is no such run, or it is another PD's, or another runner's.
    #[error("there is no drill run of this id: `GET /api/v1/drill-runs` lists them")]
    UnknownRun,
    /// The plan cannot be carried out.
    #[error("plan: {}", .0.first().map_or_else(String::new, ToString::to_string))]
    Faults(Vec<PlanFault>),
    /// A probe that no place could make.
    #[error("plan: step {step}: {reason}")]
    Probe {
        /// The step.
        step: drill::StepId,
        /// Why.
        reason: String,
    },
    /// Something that the plan names is not in the register, or another PD's.
    #[error("{0}")]
    Entry(#[from] RegisterError),
    /// It is out of use.
    #[error("this plan was retired: enter another one")]
    Retired,
    /// It is a draft.
    #[error("this plan is a draft: take `draft` away once nothing is wrong with it")]
    Draft,
    /// It was changed.
    #[error("this plan has revision {0} by now: look at it again")]
    OtherRevision(u64),
    /// It is being run.
    #[error("this plan is being run ({0}): let that end, or close it")]
    Active(DrillRunId),
    /// Nobody would carry it out.
    #[error("the plan's runner has no agent: enrol one on that server")]
    NoAgent,
    /// It is not run so.
    #[error("mode: {0}")]
    Mode(&'static str),
    /// One person alone would cut something off.
    #[error(
        "this drill changes something outside a scratch place, and whoever made this revision of the plan does not start it alone: let somebody else start it"
    )]
    SamePerson,
    /// Nobody said why.
    #[error("reason: write the number of a letter or a sentence, up to 1000 characters")]
    Reason,
    /// It lies ahead.
    #[error("outage: give the time at which it began; that is not ahead")]
    Outage,
    /// A text that is none.
    #[error("{0}: up to 200 characters on one line, without control characters")]
    Text(&'static str),
    /// Too many of something.
    #[error("{0}: at most 100 of them")]
    Many(&'static str),
    /// It is over.
    #[error("this run is over")]
    Over,
    /// It goes on.
    #[error(
        "this run goes on: it was given to its runner, or heard of, within a day; answer `failback`, and what was changed is put back"
    )]
    GoesOn,
    /// The events do not follow.
    #[error("events: {0}")]
    Event(#[from] Refusal),
    /// What was told before was told differently.
    #[error(
        "events: event {0} was told before, and differently: two journals are at work; stop one of them"
    )]
    Fork(u64),
    /// It was not asked for like that.
    #[error(
        "events: the run was asked for in another mode, or with another outage: begin it as `GET /api/v1/drill-orders` says"
    )]
    OtherStart,
    /// Somebody else writes the journal.
    #[error("the journal of this run is written by the plan's runner: answer it (`answers`)")]
    NotATabletop,
    /// It needs a step, or none.
    #[error("step: {0}")]
    Step(&'static str),
    /// The database failed.
    #[error("the drills could not be read or written")]
    Db(#[from] DbError),
}

impl DrillError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Faults(_) | Self::Probe { .. } => Some("plan"),
            Self::Mode(_) => Some("mode"),
            Self::Reason => Some("reason"),
            Self::Outage => Some("outage"),
            Self::Text(field) | Self::Many(field) => Some(field),
            Self::Event(_) | Self::Fork(_) | Self::OtherStart => Some("events"),
            Self::Step(_) => Some("step"),
            Self::Entry(error) => error.field(),
            Self::UnknownPlan
            | Self::UnknownRun
            | Self::Retired
            | Self::Draft
            | Self::OtherRevision(_)
            | Self::Active(_)
            | Self::NoAgent
            | Self::SamePerson
            | Self::Over
            | Self::GoesOn
            | Self::NotATabletop
            | Self::Db(_) => None,
        }
    }
}
