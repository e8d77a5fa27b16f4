//! What one person asks for and another has to confirm.

use lumbung_model::vocabulary;
use lumbung_model::{
    ApprovalId, DrillPlanId, PdId, PolicyHash, ServerId, SiteId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::people::UserRole;
use super::policy::Narrowing;

vocabulary! {
    /// How far a request has come.
    ApprovalState {
        /// It waits for a second person.
        Open = "open",
        /// It was approved, and done.
        Approved = "approved",
        /// It was refused.
        Refused = "refused",
        /// Whoever asked took it back.
        Withdrawn = "withdrawn",
        /// Nobody decided in time.
        Expired = "expired",
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Wanted {
    /// An account gets another role.
    ChangeRole {
        /// The account.
        user: UserId,
        /// The new role.
        role: UserRole,
        /// The PD, of `pd` and `custodian`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pd: Option<PdId>,
    },
    /// A site is no longer the city's: agents send nothing there, and its evidence counts no more.
    RemoveSite {
        /// The site.
        site: SiteId,
    },
    /// A server's agent is asked to back up less than before.
    NarrowPolicy {
        /// The server.
        server: ServerId,
        /// The hash of what would be asked for.
        content: PolicyHash,
        /// How that is less.
        narrowings: Vec<Narrowing>,
        /// Whoever changed the register so: none of them decides.
        #[serde(default)]
        askers: Vec<UserId>,
    },
    /// A failover is run in earnest.
    StartFailover {
        /// Its plan.
        plan: DrillPlanId,
        /// The revision that was looked at.
        revision: u64,
        /// Since when there is an outage.
        outage: Timestamp,
    },
}

/// A change of a role that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    /// The new role.
    pub role: UserRole,
    /// The PD: of `pd` and `custodian`, and of nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// Why: the letter's number, or a sentence.
    pub reason: String,
}

/// Why something is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Reasoned {
    /// The letter's number, or a sentence.
    pub reason: String,
}

/// A request, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// What is to be done.
    pub wanted: Wanted,
    /// The same in words, with names.
    pub words: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked: Timestamp,
    /// Until when somebody can decide.
    pub expires: Timestamp,
    /// How far it has come.
    pub state: ApprovalState,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Timestamp>,
}
