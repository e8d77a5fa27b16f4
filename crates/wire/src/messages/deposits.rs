//! What is owed by date: documents, reports, reviews, drills; what was handed in for it; the calendar of what falls due.
//!
//! A document itself is never sent: its SHA-256, name and size are. Requests refuse unknown fields; answers may grow.

use lumbung_model::vocabulary;
use lumbung_model::{ApplicationId, Day, DepositId, DocumentHash, PdId, ServiceId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// How far something that is owed has come.
    DepositState {
        /// It is to be delivered, and not due within 30 days.
        Open = "open",
        /// It is to be delivered within 30 days.
        Due = "due",
        /// It was to be delivered, and was not; or it was, and came back.
        Overdue = "overdue",
        /// It was delivered, and waits for the Dinas.
        Delivered = "delivered",
        /// The Dinas has accepted it.
        Accepted = "accepted",
        /// The Dinas gave it back: it is to be delivered again, and not overdue yet.
        Returned = "returned",
        /// It is not owed.
        Cancelled = "cancelled",
    }
}

vocabulary! {
    /// How strongly the article puts it.
    DepositForce {
        /// *wajib*
        Must = "must",
        /// *harus*, or a duty that the article gives without that word.
        Shall = "shall",
        /// *dapat*
        May = "may",
        /// No article: a proposal (*usulan*).
        Proposal = "proposal",
    }
}

vocabulary! {
    /// What stands in the calendar.
    CalendarKind {
        /// Something that is owed by then.
        Deposit = "deposit",
        /// Something that will be owed by then: its period has not begun, and its record is made when it does.
        Planned = "planned",
    }
}

/// What was handed in. The document itself stays with whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DepositDelivery {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Name of the document's file.
    pub document: String,
    /// SHA-256 of the file.
    pub sha256: DocumentHash,
    /// Its size, bytes.
    pub bytes: u64,
    /// Number of the letter that it came with.
    #[serde(default)]
    pub letter: String,
    /// What there is to say about it.
    #[serde(default)]
    pub note: String,
}

/// What was decided last: that it is accepted, given back, or not owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DepositDecision {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Something that is owed by date. Wording, article and date are those of when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deposit {
    /// Its id.
    pub id: DepositId,
    /// The profile's duty that it follows from; absent: somebody entered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duty: Option<String>,
    /// What is owed, in Indonesian.
    pub title_id: String,
    /// The same in English.
    pub title_en: String,
    /// The regulation and its article; empty: it is a proposal.
    #[serde(default)]
    pub article: String,
    /// How strongly the article puts it.
    pub force: DepositForce,
    /// What sets the date: the article, or another legal instrument; empty: the date is a proposal (*usulan*).
    #[serde(default)]
    pub date_by: String,
    /// Rows of `docs/obligations.md` that it serves.
    #[serde(default)]
    pub obligations: Vec<String>,
    /// Who owes it; absent: the city, of which no PD runs the Pusat Data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The code of that PD; empty if there is none.
    #[serde(default)]
    pub pd_code: String,
    /// The application that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// The service that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The name of the application or service; empty if there is none.
    #[serde(default)]
    pub subject: String,
    /// The period, as in `2026`, `2026/2027`, `2026-07` or `2026-07/2026-09`; absent: it is owed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// The last second in which it is in time.
    pub due: Timestamp,
    /// The day of that, in the city's time zone.
    pub due_on: Day,
    /// When it was made.
    pub created: Timestamp,
    /// How far it has come.
    pub state: DepositState,
    /// What was handed in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DepositDelivery>,
    /// What was decided last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DepositDecision>,
}

/// `POST /api/v1/deposits`: something that no duty of the profile asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DepositInput {
    /// What is owed, in Indonesian.
    pub title_id: String,
    /// The same in English; empty: as in Indonesian.
    #[serde(default)]
    pub title_en: String,
    /// The last day on which it is in time, in the city's time zone.
    pub due_on: Day,
    /// Who owes it; absent: the PD that runs the Pusat Data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The application that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// The service that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The article or the letter that asks for it; empty: it is a proposal.
    #[serde(default)]
    pub article: String,
    /// How strongly the article puts it; absent: `shall`, or `proposal` without an article.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<DepositForce>,
    /// What sets the date; empty: the date is a proposal.
    #[serde(default)]
    pub date_by: String,
    /// The period that it is for, in words.
    #[serde(default)]
    pub period: String,
}

/// `POST /api/v1/deposits/{id}/deliver`: what is handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeliveryInput {
    /// Name of the document's file.
    pub document: String,
    /// SHA-256 of the file.
    pub sha256: DocumentHash,
    /// Its size, bytes.
    pub bytes: u64,
    /// Number of the letter that it comes with.
    #[serde(default)]
    pub letter: String,
    /// What there is to say about it.
    #[serde(default)]
    pub note: String,
}

/// `POST /api/v1/deposits/{id}/accept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DepositAcceptance {
    /// The SHA-256 of what was looked at; another one is not accepted.
    pub sha256: DocumentHash,
    /// Number of the receipt, or what there is to say.
    #[serde(default)]
    pub note: String,
}

/// Something that falls due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CalendarEntry {
    /// What it is.
    pub kind: CalendarKind,
    /// The record; absent while it is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<DepositId>,
    /// How far it has come; absent while it is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DepositState>,
    /// What falls due, in Indonesian.
    pub title_id: String,
    /// The same in English.
    pub title_en: String,
    /// The article; empty: it is a proposal.
    #[serde(default)]
    pub article: String,
    /// Who owes it; absent: the city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The code of that PD; empty if there is none.
    #[serde(default)]
    pub pd_code: String,
    /// The name of the application or service; empty if there is none.
    #[serde(default)]
    pub subject: String,
    /// The period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
}

/// A day on which something falls due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CalendarDay {
    /// The day, in the city's time zone.
    pub day: Day,
    /// What falls due then.
    pub entries: Vec<CalendarEntry>,
}

/// `GET /api/v1/calendar`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Calendar {
    /// The first day that was asked for.
    pub from: Day,
    /// The last one.
    pub until: Day,
    /// The city's time zone, as in `Asia/Jakarta`.
    pub time_zone: String,
    /// The days on which something falls due.
    pub days: Vec<CalendarDay>,
}

/// How much of what somebody owes is late, and how much is due within 30 days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadlineCounts {
    /// Who owes it; absent: the city, of which no PD runs the Pusat Data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The code of that PD; empty if there is none.
    #[serde(default)]
    pub pd_code: String,
    /// What is overdue.
    pub overdue: u64,
    /// What is due within 30 days.
    pub due_soon: u64,
}
