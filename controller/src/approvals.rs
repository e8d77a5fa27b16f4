//! Four eyes: what one person asks for and another has to confirm.
//!
//! Invariants: whoever asked never decides, and only a person who has logged in does, not a program with a token; what is
//! done is checked at the moment of the approval, in its transaction; a request that nobody decided lapses. The console
//! counts as a person of its own: whoever is there holds the keys anyway.

use lumbung_model::{ApprovalId, SiteId, Timestamp};
use lumbung_wire::audit::ActorKind;
use lumbung_wire::messages::approvals::{Approval, ApprovalState, Wanted};
use lumbung_wire::messages::people::UserRole;
use rusqlite::Connection;

use crate::act::Act;
use crate::db::approvals::{self as rows, ApprovalRow};
use crate::db::audit::{self, Deed};
use crate::db::{DbError, people, register};
use crate::people::access::Principal;
use crate::people::{PeopleError, accounts};

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
    let row = ApprovalRow {
        id: ApprovalId::random(),
        wanted,
        reason: reason.to_owned(),
        asked_user: principal.user,
        asked_by: act.actor.name.clone(),
        asked: act.now,
        expires: act.now.plus_seconds(LIFE_S),
        state: ApprovalState::Open,
        decided: None,
    };
    rows::insert(db, &row)?;
    tell(db, act, "approval.ask", &row)?;
    shown(db, act.now, row)
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
    }
}

/// Who decides on it.
fn is_for(wanted: &Wanted, role: UserRole) -> Result<(), ApprovalError> {
    match (wanted, role) {
        (Wanted::ChangeRole { .. }, UserRole::Admin)
        | (Wanted::RemoveSite { .. }, UserRole::Admin | UserRole::Operator) => Ok(()),
        (Wanted::ChangeRole { .. }, _) => Err(ApprovalError::NotFor("administrators")),
        (Wanted::RemoveSite { .. }, _) => {
            Err(ApprovalError::NotFor("administrators and operators"))
        }
    }
}

/// The open request of that id.
fn open(db: &Connection, act: &Act, id: &ApprovalId) -> Result<ApprovalRow, ApprovalError> {
    let row = rows::approval(db, id)?.ok_or(ApprovalError::Unknown)?;
    match state(act.now, &row) {
        ApprovalState::Open => Ok(row),
        over => Err(ApprovalError::Over(over)),
    }
}

fn state(now: Timestamp, row: &ApprovalRow) -> ApprovalState {
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
    let row = open(db, act, id)?;
    if let Some(principal) = principal {
        let is_a_person = principal.actor.kind == ActorKind::User;
        if !is_a_person || principal.user == row.asked_user {
            return Err(ApprovalError::SamePerson);
        }
        is_for(&row.wanted, principal.role)?;
    }
    let state = if approve { ApprovalState::Approved } else { ApprovalState::Refused };
    if approve {
        carry_out(db, act, &row.wanted)?;
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
    let row = open(db, act, id)?;
    if principal.user.is_none() || row.asked_user != principal.user {
        return Err(ApprovalError::NotYours);
    }
    end(db, act, row, ApprovalState::Withdrawn)
}

fn end(
    db: &Connection,
    act: &Act,
    mut row: ApprovalRow,
    state: ApprovalState,
) -> Result<Approval, ApprovalError> {
    rows::decide(db, &row.id, state, (&act.actor.name, act.now))?;
    (row.state, row.decided) = (state, Some((act.actor.name.clone(), act.now)));
    let action = match state {
        ApprovalState::Approved => "approval.approve",
        ApprovalState::Withdrawn => "approval.withdraw",
        _ => "approval.refuse",
    };
    tell(db, act, action, &row)?;
    shown(db, act.now, row)
}

fn carry_out(db: &Connection, act: &Act, wanted: &Wanted) -> Result<(), ApprovalError> {
    match wanted {
        // It is checked there again.
        Wanted::ChangeRole { user, role, pd } => {
            accounts::change_role(db, act, &accounts::by_id(db, user)?, *role, *pd)?;
        }
        Wanted::RemoveSite { site } => {
            check(db, wanted)?;
            register::remove_site(db, act, site)?;
        }
    }
    Ok(())
}

fn tell(db: &Connection, act: &Act, action: &str, row: &ApprovalRow) -> Result<(), DbError> {
    let deed = Deed { action, kind: "approval", id: &row.id, pd: None };
    let shown = serde_json::json!({ "wanted": audit::shown(&row.wanted)?, "reason": row.reason, "asked_by": row.asked_by });
    audit::append(db, act, deed, None, Some(shown))
}

/// The requests, newest first: all, or those behind `after`.
///
/// # Errors
/// If the database fails.
pub fn list(
    db: &Connection,
    now: Timestamp,
    after: Option<&ApprovalId>,
    limit: u32,
) -> Result<Vec<Approval>, ApprovalError> {
    rows::approvals(db, after, limit)?.into_iter().map(|row| shown(db, now, row)).collect()
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
    })
}

fn site_name(db: &Connection, site: &SiteId) -> Result<String, DbError> {
    Ok(register::site_ever(db, site)?.unwrap_or_else(|| site.short()))
}
