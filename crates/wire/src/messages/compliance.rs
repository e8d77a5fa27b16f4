//! What a city's profile asks for, what is said of whom, and what is done about it: rules, verdicts, trends, waivers,
//! reminders.
//!
//! Texts that come in a language come in that of the request (`lang`), Indonesian unless it says otherwise.

use lumbung_model::vocabulary;
use lumbung_model::{PdId, ReminderId, Timestamp, WaiverId};
use serde::{Deserialize, Serialize};

use super::register::StepTotals;

vocabulary! {
    /// What is said of a subject by a rule.
    VerdictState {
        /// The rule is met.
        Met = "met",
        /// It is not, and a waiver that has not expired says why that is accepted.
        Waived = "waived",
        /// It is not.
        Unmet = "unmet",
    }
}

vocabulary! {
    /// What a rule is about.
    SubjectKind {
        /// A dataset.
        Dataset = "dataset",
        /// A server.
        Server = "server",
        /// A service.
        Service = "service",
        /// An application.
        Application = "application",
        /// A PD.
        Pd = "pd",
        /// The city's sites.
        City = "city",
    }
}

vocabulary! {
    /// How far a reminder has come.
    ReminderState {
        /// It waits for its letter.
        Draft = "draft",
        /// The letter was sent.
        Sent = "sent",
        /// The PD answered.
        Answered = "answered",
        /// Nothing is left to be done.
        Closed = "closed",
    }
}

/// A rule of the city's profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleEntry {
    /// Its name.
    pub id: String,
    /// What it looks at.
    pub look: String,
    /// What it is about.
    pub subject: SubjectKind,
    /// The regulation and its article; empty: it is a proposal (*usulan*).
    pub article: String,
    /// `must`, `shall`, `may` or `proposal`.
    pub force: String,
    /// What is asked for, in Indonesian.
    pub asks_id: String,
    /// What is asked for, in English.
    pub asks_en: String,
    /// Its limit of age, days, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<u32>,
    /// Its least distance, kilometres, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_km: Option<f64>,
    /// The legal instrument that sets the limit; empty: the limit is a proposal.
    pub instrument: String,
    /// Rows of `docs/obligations.md` that it serves.
    pub obligations: Vec<String>,
}

/// What is said of one subject by one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerdictEntry {
    /// The rule.
    pub rule: String,
    /// The regulation and its article; empty: a proposal, or a rule that the profile no longer has.
    pub article: String,
    /// `must`, `shall`, `may` or `proposal`; empty: a rule that the profile no longer has.
    pub force: String,
    /// What is asked for.
    pub asks: String,
    /// The kind of subject.
    pub subject_kind: SubjectKind,
    /// The subject's id; none: the city's sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What the subject is called.
    pub name: String,
    /// Whose it is; none: the city's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// That PD's code.
    #[serde(default)]
    pub pd_code: String,
    /// What is said.
    pub state: VerdictState,
    /// Since when that is said.
    pub since: Timestamp,
    /// Codes of the reasons.
    pub codes: Vec<String>,
    /// Why it is not met; empty if it is.
    pub reason: String,
    /// The waiver, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<WaiverId>,
}

/// The totals of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrendDay {
    /// The day of the city's calendar, as in `2026-06-30`.
    pub day: String,
    /// Datasets of the register, with their stored bytes.
    pub all: StepTotals,
    /// Of them, *tercadang*.
    pub backed_up: StepTotals,
    /// Of them, *di DRC*.
    pub at_drc: StepTotals,
    /// Of them, *terverifikasi*.
    pub verified: StepTotals,
    /// Of them, *terbukti pulih*.
    pub proven: StepTotals,
}

/// The RPO that a dataset achieved at one kind of site: how much would have been lost at the worst moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AchievedRpo {
    /// `pusat_data` or `drc`.
    pub site_kind: String,
    /// From when it is counted: the beginning that was asked for, or the first snapshot if that is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Timestamp,
    /// Snapshots that arrived in that time.
    pub snapshots: u64,
    /// The most that would have been lost at any moment, seconds; none: there was no snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_s: Option<u64>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_at: Option<Timestamp>,
    /// Share of the time in which no more than the RPO would have been lost, thousandths of a percent.
    pub within_millipercent: u32,
}

/// `GET /api/v1/datasets/{id}/rpo`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RpoHistory {
    /// What is asked for, seconds.
    pub rpo_s: u64,
    /// What was achieved, by kind of site.
    pub achieved: Vec<AchievedRpo>,
}

/// That a rule is not met by a subject, and why that is accepted until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Waiver {
    /// Its id.
    pub id: WaiverId,
    /// The rule.
    pub rule: String,
    /// The kind of subject.
    pub subject_kind: SubjectKind,
    /// The subject's id; none: the city's sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whose it is; none: the city's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// Why.
    pub reason: String,
    /// Number of the letter that says so.
    pub letter: String,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub expires: Timestamp,
    /// Who entered it.
    pub by: String,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// A waiver to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WaiverInput {
    /// The rule.
    pub rule: String,
    /// The subject's id; none: the city's sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Number of the letter that says so.
    #[serde(default)]
    pub letter: String,
    /// Until when: at most a year from now.
    pub expires: Timestamp,
}

/// A reminder (*teguran*) to a PD: numbered, with what is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reminder {
    /// Its id.
    pub id: ReminderId,
    /// Its number within the year: none is left out, none is given twice.
    pub number: u32,
    /// The year.
    pub year: i32,
    /// To whom.
    pub pd: PdId,
    /// That PD's code.
    pub pd_code: String,
    /// When it was drafted.
    pub made: Timestamp,
    /// Who drafted it.
    pub by: String,
    /// How far it has come.
    pub state: ReminderState,
    /// Number of the letter, once it was sent.
    pub letter: String,
    /// The draft of the letter, in Indonesian.
    pub body: String,
    /// What was not met when it was drafted.
    pub items: Vec<ReminderItem>,
    /// What was done about it since.
    pub follow_ups: Vec<FollowUp>,
}

/// One thing that a reminder names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReminderItem {
    /// The rule.
    pub rule: String,
    /// Its article; empty: a proposal.
    pub article: String,
    /// What the subject is called.
    pub name: String,
    /// Why it is not met.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A reminder to be drafted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReminderInput {
    /// To whom: code or id.
    pub pd: String,
}

/// What was done about a reminder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FollowUp {
    /// When.
    pub at: Timestamp,
    /// Who says so.
    pub by: String,
    /// What.
    pub note: String,
    /// How far the reminder had come then.
    pub state: ReminderState,
}

/// A follow-up to be written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FollowUpInput {
    /// What was done.
    pub note: String,
    /// How far the reminder has come by that; none: as far as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ReminderState>,
    /// Number of the letter, with `sent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<String>,
}
