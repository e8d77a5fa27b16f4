//! Drills and failover: plans, runs, what runners tell of them, what people answer, what falls due.
//!
//! What a plan and a run are, and which event may follow which, is `lumbung_model::drill`'s. Requests refuse unknown fields;
//! answers may grow. A run's journal has one writer: the runner that the plan names, or whoever holds a tabletop.

pub use lumbung_model::drill::{
    Acta, Correction, DrillEvent, DrillFigures, DrillKind, DrillMode, DrillPlan, NotVerifiedWhy,
    PlanState, Signatory, StepId, Verdict,
};
use lumbung_model::vocabulary;
use lumbung_model::{Day, DocumentHash, DrillPlanId, DrillRunId, PdId, Timestamp};
use serde::{Deserialize, Serialize};

/// Most events in one request.
pub const EVENTS_MAX: usize = 1000;

/// A plan to be entered, or in place of what was entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillPlanInput {
    /// Whose it is: all that it is about is this PD's; absent: the city's, which may be about any PD's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// What it says.
    pub plan: DrillPlan,
}

/// A plan, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillPlanEntry {
    /// Its id.
    pub id: DrillPlanId,
    /// Whose it is; absent: the city's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The code of that PD; empty: the city's.
    #[serde(default)]
    pub pd_code: String,
    /// Counts what was changed of it that is carried out, from 1.
    pub revision: u64,
    /// SHA-256 of what is carried out.
    pub sha256: DocumentHash,
    /// How far it has come.
    pub state: PlanState,
    /// Why it is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<NotVerifiedWhy>,
    /// The run that verifies it, or did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<DrillRunId>,
    /// Until when that speaks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_until: Option<Timestamp>,
    /// The run that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<DrillRunId>,
    /// The last day on which its next drill is in time; absent: a draft, or retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_on: Option<Day>,
    /// Whether that day is past.
    pub overdue: bool,
    /// What is wrong with it: of a draft.
    #[serde(default)]
    pub faults: Vec<String>,
    /// When it was changed last.
    pub changed: Timestamp,
    /// By whom.
    pub changed_by: String,
    /// Since when it is out of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Timestamp>,
    /// What it says.
    pub plan: DrillPlan,
}

/// `POST /api/v1/drill-plans/{id}/start`: a drill, or a tabletop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillStart {
    /// `drill` or `tabletop`; in earnest two people start it.
    pub mode: DrillMode,
    /// Why now: the number of a letter, or a sentence.
    pub reason: String,
}

/// `POST /api/v1/drill-plans/{id}/failover`: to be run in earnest; a second person approves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FailoverRequest {
    /// Since when there is an outage.
    pub outage: Timestamp,
    /// Why: the number of a letter, or a sentence.
    pub reason: String,
}

/// A run of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillRun {
    /// Its id.
    pub id: DrillRunId,
    /// The plan.
    pub plan: DrillPlanId,
    /// What the plan is called.
    pub title: String,
    /// What the plan is for.
    pub kind: DrillKind,
    /// The revision that is run.
    pub revision: u64,
    /// Whose the plan is; absent: the city's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The code of that PD; empty: the city's.
    #[serde(default)]
    pub pd_code: String,
    /// How it is run.
    pub mode: DrillMode,
    /// When it was asked for.
    pub created: Timestamp,
    /// By whom; in earnest, who asked and who approved.
    pub created_by: String,
    /// Why.
    pub reason: String,
    /// When it began; absent: nobody has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was over; absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// Why it was closed before it was over; absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// What it has shown; absent: it is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What was measured so far.
    pub figures: DrillFigures,
    /// What is waited for.
    #[serde(default)]
    pub waits: String,
    /// Events that were told.
    pub events: u64,
    /// When the last of them came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Timestamp>,
    /// The number of its *berita acara*; empty: none yet.
    #[serde(default)]
    pub number: String,
}

/// `GET /api/v1/drill-runs/{id}`: a run with its plan and its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillRunDetail {
    /// The run.
    pub run: DrillRun,
    /// The plan as it was when the run was asked for.
    pub plan: DrillPlan,
    /// The outage that was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Timestamp>,
    /// Its journal.
    pub events: Vec<DrillEvent>,
    /// What people answered the runner.
    pub answers: Vec<DrillAnswer>,
    /// What is to be put right.
    pub corrections: Vec<Correction>,
    /// Who signs.
    pub signatories: Vec<Signatory>,
}

/// `GET /api/v1/drill-runs/{id}/acta`: the *berita acara* as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaDocument {
    /// The data.
    pub acta: Acta,
    /// SHA-256 of the data as compact JSON.
    pub sha256: DocumentHash,
}

/// Events of a run, in order: what a runner tells, or whoever holds a tabletop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillReport {
    /// The run.
    pub run: DrillRunId,
    /// Its events, ascending, without gaps; those that were told already may come again.
    pub events: Vec<DrillEvent>,
}

/// The answer to a [`DrillReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillReportAck {
    /// Events up to this number are durable.
    pub through: u64,
}

/// `POST /api/v1/drill-runs/{id}/notes`: what people add to the *berita acara*. It takes the place of what was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillNotes {
    /// Its number.
    #[serde(default)]
    pub number: String,
    /// What is to be put right.
    #[serde(default)]
    pub corrections: Vec<Correction>,
    /// Who signs.
    #[serde(default)]
    pub signatories: Vec<Signatory>,
}

vocabulary! {
    /// What somebody answers a runner.
    DrillReply {
        /// The step is so.
        Confirm = "confirm",
        /// The step is not so: it has failed.
        Refuse = "refuse",
        /// The step is to be left out.
        Skip = "skip",
        /// The step is to be begun again: of a failover in earnest.
        Retry = "retry",
        /// The step was put back by hand.
        PutBack = "put_back",
        /// Everything is to be put back now; no step is named.
        Failback = "failback",
    }
}

/// `POST /api/v1/drill-runs/{id}/answers`: what somebody answers a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillAnswerInput {
    /// What.
    pub reply: DrillReply,
    /// The step that it is about; absent: of `failback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// What there is to say.
    #[serde(default)]
    pub note: String,
}

/// An answer as the runner reads it. It is a wish until an event says that it was followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillAnswer {
    /// Counts the run's answers, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub reply: DrillReply,
    /// The step that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// What there is to say.
    #[serde(default)]
    pub note: String,
}

/// `GET /api/v1/drill-orders`, from an agent: the runs that its server is the runner of and that are not over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillOrders {
    /// The runs, the oldest first.
    pub orders: Vec<DrillOrder>,
}

/// A run that a runner has to carry out. Names in it are those of the runner's own file; what that does not know is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillOrder {
    /// The run.
    pub run: DrillRunId,
    /// How it is run.
    pub mode: DrillMode,
    /// The outage that was declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Timestamp>,
    /// The revision.
    pub revision: u64,
    /// SHA-256 of what is carried out.
    pub sha256: DocumentHash,
    /// What the plan says.
    pub plan: DrillPlan,
    /// Events that are durable here: the runner sends what comes after.
    pub through: u64,
    /// What people answered.
    pub answers: Vec<DrillAnswer>,
}

/// A row of `GET /api/v1/drill-calendar`: when a plan's next drill is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillDue {
    /// The last day on which it is in time.
    pub due_on: Day,
    /// Whether that day is past.
    pub overdue: bool,
    /// The plan.
    pub plan: DrillPlanId,
    /// What it is called.
    pub title: String,
    /// What it is for.
    pub kind: DrillKind,
    /// How far it has come.
    pub state: PlanState,
    /// The code of its PD; empty: the city's.
    #[serde(default)]
    pub pd_code: String,
    /// When it was run last, in the way that verifies it, whatever came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// What sets how often; empty: a proposal (*usulan*).
    #[serde(default)]
    pub instrument: String,
}
