//! Four eyes: what one person asks for and another has to confirm.
//!
//! Invariants: whoever asked never decides, and only a person who has logged in does, not a program with a token; what is
//! done is checked at the moment of the approval, in its transaction; a request that nobody decided lapses. The console
//! counts as a person of its own: whoever is there holds the keys anyway.

use lumbung_model::drill::DrillMode;
use lumbung_model::{ApprovalId, DrillPlanId, PdId, SiteId, Timestamp, UserId};
use lumbung_wire::audit::ActorKind;
use lumbung_wire::messages::approvals::{Approval, ApprovalState, Wanted};
use lumbung_wire::messages::people::UserRole;
use rusqlite::Connection;

use crate::act::Act;
use crate::db::approvals::{self as rows, ApprovalRow};
use crate::db::audit::{self, Deed};
use crate::db::{DbError, drills as drill_rows, people, policies as policy_rows, register};
use crate::drills::{self, DrillError};
use crate::people::access::{Principal, Scope};
use crate::people::{PeopleError, accounts};
use crate::policies;

/// How long a request waits.
const LIFE_S: i64 = 7 * 86_400;

/// Why nothing is asked for or decided.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// No such request.
    #[error("there is no such request: `GET /api/v1/approvals` lists them")]
    Unknown,
    /// It was decided, or has lapsed.
    #[error("this request is {0}: ask anew")]
    Over(ApprovalState),
    /// Whoever asked wants to decide.
    #[error(
        "a second person has to decide, who has logged in: whoever asked cannot, nor can a token or an operator's certificate"
    )]
    SamePerson,
    /// A certificate asks.
    #[error("log in for this (`lumbung login`): an operator's certificate names nobody")]
    Nobody,
    /// Not for this role.
    #[error("this is for {0} to decide")]
    NotFor(&'static str),
    /// It is not whoever asked.
    #[error("only whoever asked takes a request back; others refuse it")]
    NotYours,
    /// No reason was given.
    #[error("reason: write the number of a letter or a sentence, up to 1000 characters")]
    Reason,
    /// The site is not there.
    #[error("there is no such site: `GET /api/v1/sites` lists them")]
    UnknownSite,
    /// What waited is no longer asked for.
    #[error(
        "the register asks for something else by now: look at what waits (`GET /api/v1/approvals`)"
    )]
    Outdated,
    /// A drill's rule.
    #[error("{0}")]
    Drill(#[from] DrillError),
    /// An account's rule.
    #[error("{0}")]
    People(#[from] PeopleError),
    /// The database failed.
    #[error("the requests could not be read or written")]
    Db(#[from] DbError),
}

/// Asks for something.
///
/// # Errors
/// If it could not be done now either, or no reason is given.
pub fn ask(
    db: &Connection,
    act: &Act,
    principal: &Principal,
    wanted: Wanted,
    reason: &str,
) -> Result<Approval, ApprovalError> {
    if principal.user.is_none() {
        return Err(ApprovalError::Nobody);
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 1000 || reason.chars().any(char::is_control) {
        return Err(ApprovalError::Reason);
    }
    check(db, &wanted)?;
    let asker = (principal.user, act.actor.name.clone());
    let row = open_request(db, act, asker, wanted, reason.to_owned())?;
    shown(db, act.now, row)
}

/// Asks in the name of whoever caused it: what a change of the register leads to, which nobody asks for by itself.
///
/// # Errors
/// If the database fails.
pub fn ask_for(
    db: &Connection,
    act: &Act,
    asker: (Option<UserId>, String),
    wanted: Wanted,
    reason: String,
) -> Result<ApprovalId, DbError> {
    Ok(open_request(db, act, asker, wanted, reason)?.id)
}

fn open_request(
    db: &Connection,
    act: &Act,
    (asked_user, asked_by): (Option<UserId>, String),
    wanted: Wanted,
    reason: String,
) -> Result<ApprovalRow, DbError> {
    let row = ApprovalRow {
        id: ApprovalId::random(),
        wanted,
        reason,
        asked_user,
        asked_by,
        asked: act.now,
        expires: act.now.plus_seconds(LIFE_S),
        state: ApprovalState::Open,
        decided: None,
    };
    rows::insert(db, &row)?;
    tell(db, act, "approval.ask", &row)?;
    Ok(row)
}

/// Takes back an open request that is about nothing any more.
///
/// # Errors
/// If the database fails.
pub fn end_unasked(db: &Connection, act: &Act, row: ApprovalRow) -> Result<(), DbError> {
    ended(db, act, row, ApprovalState::Withdrawn).map(|_| ())
}

/// Whether it can be done now.
fn check(db: &Connection, wanted: &Wanted) -> Result<(), ApprovalError> {
    match wanted {
        Wanted::ChangeRole { user, role, pd } => {
            Ok(accounts::check_role(db, &accounts::by_id(db, user)?, *role, *pd)?)
        }
        Wanted::RemoveSite { site } => {
            register::site(db, site)?.map(|_| ()).ok_or(ApprovalError::UnknownSite)
        }
        Wanted::NarrowPolicy { server, content, .. } => {
            let waits = policy_rows::proposal(db, server)?;
            let is_it = waits.is_some_and(|proposal| proposal.hash == *content);
            if is_it { Ok(()) } else { Err(ApprovalError::Outdated) }
        }
        Wanted::StartFailover { plan, revision, .. } => {
            Ok(drills::may_start(db, plan, *revision, DrillMode::Real).map(|_| ())?)
        }
    }
}

/// Who decides on it.
fn is_for(row: &ApprovalRow, role: UserRole) -> Result<(), ApprovalError> {
    use UserRole as R;
    let (roles, who): (&[UserRole], _) = match row.wanted {
        Wanted::ChangeRole { .. } => (&[R::Admin], "administrators"),
        Wanted::RemoveSite { .. } | Wanted::StartFailover { .. } => {
            (&[R::Admin, R::Operator], "administrators and operators")
        }
        // Whoever holds the operator's certificate is an operator, and may have an account too.
        Wanted::NarrowPolicy { .. } if row.asked_user.is_none() => {
            (&[R::Admin, R::Custodian], "administrators and the PD's custodian")
        }
        Wanted::NarrowPolicy { .. } => (
            &[R::Admin, R::Operator, R::Custodian],
            "administrators, operators and the PD's custodian",
        ),
    };
    if roles.contains(&role) { Ok(()) } else { Err(ApprovalError::NotFor(who)) }
}

/// Whether somebody of one PD learns that there is such a request.
fn is_seen(db: &Connection, wanted: &Wanted, scope: Scope) -> Result<bool, DbError> {
    let Scope::Pd(own) = scope else { return Ok(true) };
    match wanted {
        Wanted::NarrowPolicy { server, .. } => Ok(policies::pd_of(db, server)? == Some(own)),
        Wanted::StartFailover { plan, .. } => Ok(drill_pd(db, plan)? == Some(own)),
        Wanted::ChangeRole { .. } | Wanted::RemoveSite { .. } => Ok(false),
    }
}

/// Whether whoever decides is among those who asked.
fn asked_for_it(row: &ApprovalRow, act: &Act, principal: Option<&Principal>) -> bool {
    let askers = match &row.wanted {
        Wanted::NarrowPolicy { askers, .. } => askers.as_slice(),
        Wanted::ChangeRole { .. } | Wanted::RemoveSite { .. } | Wanted::StartFailover { .. } => &[],
    };
    match principal {
        Some(principal) => {
            principal.user == row.asked_user
                || principal.user.is_some_and(|user| askers.contains(&user))
        }
        // The console that changed the register is not another person than the console that agrees.
        None => row.asked_user.is_none() && row.asked_by == act.actor.name,
    }
}

/// The open request of that id.
fn open(
    db: &Connection,
    act: &Act,
    scope: Scope,
    id: &ApprovalId,
) -> Result<ApprovalRow, ApprovalError> {
    let row = rows::approval(db, id)?.ok_or(ApprovalError::Unknown)?;
    if !is_seen(db, &row.wanted, scope)? {
        return Err(ApprovalError::Unknown);
    }
    match state(act.now, &row) {
        ApprovalState::Open => Ok(row),
        over => Err(ApprovalError::Over(over)),
    }
}

/// A custodian's account is made by an administrator, who could have made it for this.
fn is_not_their_own(
    db: &Connection,
    row: &ApprovalRow,
    principal: &Principal,
) -> Result<(), ApprovalError> {
    let Wanted::NarrowPolicy { askers, .. } = &row.wanted else { return Ok(()) };
    let of_an_asker = match principal.user {
        Some(user) if principal.role == UserRole::Custodian => {
            audit::kept_account(db, &user, askers)?
        }
        _ => false,
    };
    if of_an_asker { Err(ApprovalError::SamePerson) } else { Ok(()) }
}

/// How far a request has come by now.
#[must_use]
pub fn state(now: Timestamp, row: &ApprovalRow) -> ApprovalState {
    match row.state {
        ApprovalState::Open if now >= row.expires => ApprovalState::Expired,
        state => state,
    }
}

/// Approves a request and does it, or refuses it. `principal` is none for the console.
///
/// # Errors
/// If whoever decides may not, or it can no longer be done.
pub fn decide(
    db: &Connection,
    act: &Act,
    principal: Option<&Principal>,
    id: &ApprovalId,
    approve: bool,
) -> Result<Approval, ApprovalError> {
    let row = open(db, act, principal.map_or(Scope::City, |principal| principal.scope), id)?;
    let is_a_person = principal.is_none_or(|one| one.actor.kind == ActorKind::User);
    if !is_a_person || asked_for_it(&row, act, principal) {
        return Err(ApprovalError::SamePerson);
    }
    if let Some(principal) = principal {
        is_for(&row, principal.role)?;
        is_not_their_own(db, &row, principal)?;
    }
    let state = if approve { ApprovalState::Approved } else { ApprovalState::Refused };
    if approve {
        carry_out(db, act, &row)?;
    }
    end(db, act, row, state)
}

/// Takes the own request back.
///
/// # Errors
/// If it is another's, or over.
pub fn withdraw(
    db: &Connection,
    act: &Act,
    principal: &Principal,
    id: &ApprovalId,
) -> Result<Approval, ApprovalError> {
    let row = open(db, act, principal.scope, id)?;
    if principal.user.is_none() || row.asked_user != principal.user {
        return Err(ApprovalError::NotYours);
    }
    end(db, act, row, ApprovalState::Withdrawn)
}

fn end(
    db: &Connection,
    act: &Act,
    row: ApprovalRow,
    state: ApprovalState,
) -> Result<Approval, ApprovalError> {
    let row = ended(db, act, row, state)?;
    shown(db, act.now, row)
}

fn ended(
    db: &Connection,
    act: &Act,
    mut row: ApprovalRow,
    state: ApprovalState,
) -> Result<ApprovalRow, DbError> {
    rows::decide(db, &row.id, state, (&act.actor.name, act.now))?;
    (row.state, row.decided) = (state, Some((act.actor.name.clone(), act.now)));
    let action = match state {
        ApprovalState::Approved => "approval.approve",
        ApprovalState::Withdrawn => "approval.withdraw",
        _ => "approval.refuse",
    };
    tell(db, act, action, &row)?;
    Ok(row)
}

fn carry_out(db: &Connection, act: &Act, row: &ApprovalRow) -> Result<(), ApprovalError> {
    let wanted = &row.wanted;
    match wanted {
        // It is checked there again.
        Wanted::ChangeRole { user, role, pd } => {
            accounts::change_role(db, act, &accounts::by_id(db, user)?, *role, *pd)?;
        }
        Wanted::RemoveSite { site } => {
            check(db, wanted)?;
            register::remove_site(db, act, site)?;
        }
        // The reconciler publishes what was approved: it has the key.
        Wanted::NarrowPolicy { .. } => check(db, wanted)?,
        Wanted::StartFailover { plan, revision, outage } => {
            let plan = drills::may_start(db, plan, *revision, DrillMode::Real)?;
            let by = format!("{}, {}", row.asked_by, act.actor.name);
            drills::start(db, act, &plan, (DrillMode::Real, Some(*outage)), (by, &row.reason))?;
        }
    }
    Ok(())
}

fn tell(db: &Connection, act: &Act, action: &str, row: &ApprovalRow) -> Result<(), DbError> {
    let pd = match &row.wanted {
        Wanted::NarrowPolicy { server, .. } => policies::pd_of(db, server)?,
        Wanted::StartFailover { plan, .. } => drill_pd(db, plan)?,
        Wanted::ChangeRole { .. } | Wanted::RemoveSite { .. } => None,
    };
    let deed = Deed { action, kind: "approval", id: &row.id, pd };
    let shown = serde_json::json!({ "wanted": audit::shown(&row.wanted)?, "reason": row.reason, "asked_by": row.asked_by });
    audit::append(db, act, deed, None, Some(shown))
}

/// The requests, newest first: all, or those behind `after`; of one PD, those about its own policies.
///
/// # Errors
/// If the database fails.
pub fn list(
    db: &Connection,
    now: Timestamp,
    scope: Scope,
    (after, limit): (Option<&ApprovalId>, u32),
) -> Result<Vec<Approval>, ApprovalError> {
    let mut seen = Vec::new();
    for row in rows::approvals(db, after, limit)? {
        if is_seen(db, &row.wanted, scope)? {
            seen.push(shown(db, now, row)?);
        }
    }
    Ok(seen)
}

fn shown(db: &Connection, now: Timestamp, row: ApprovalRow) -> Result<Approval, ApprovalError> {
    Ok(Approval {
        words: words(db, &row.wanted)?,
        state: state(now, &row),
        id: row.id,
        wanted: row.wanted,
        reason: row.reason,
        asked_by: row.asked_by,
        asked: row.asked,
        expires: row.expires,
        decided_by: row.decided.as_ref().map(|(by, _)| by.clone()),
        decided: row.decided.map(|(_, at)| at),
    })
}

fn words(db: &Connection, wanted: &Wanted) -> Result<String, DbError> {
    Ok(match wanted {
        Wanted::ChangeRole { user, role, pd } => {
            let name = people::account(db, user)?.map_or_else(|| user.short(), |one| one.user.name);
            let pd = pd.map(|pd| register::pd(db, &pd)).transpose()?.flatten();
            let of = pd.map_or_else(String::new, |pd| format!(" ({})", pd.code));
            format!("{name} → {role}{of}")
        }
        Wanted::RemoveSite { site } => format!("remove site {}", site_name(db, site)?),
        Wanted::NarrowPolicy { server, narrowings, .. } => {
            let name = register::server(db, server)?.map_or_else(|| server.short(), |one| one.name);
            format!("back up less of {name}: {}", policies::in_words(narrowings))
        }
        Wanted::StartFailover { plan, revision, outage } => {
            let title = drill_rows::plan(db, plan)?.map(|row| row.plan.title);
            let title = title.unwrap_or_else(|| plan.short());
            format!("failover in earnest: {title} (revision {revision}), outage since {outage}")
        }
    })
}

fn drill_pd(db: &Connection, plan: &DrillPlanId) -> Result<Option<PdId>, DbError> {
    Ok(drill_rows::plan(db, plan)?.and_then(|row| row.pd))
}

fn site_name(db: &Connection, site: &SiteId) -> Result<String, DbError> {
    Ok(register::site_ever(db, site)?.unwrap_or_else(|| site.short()))
}
