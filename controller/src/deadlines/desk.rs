//! What people do with what is owed: enter, deliver, accept, give back, cancel.
//!
//! Invariants: each is one change with its entry in the audit log; whoever belongs to one PD reaches its own alone, and
//! another PD's like one that is not there; what is accepted is the document that was looked at; giving back and
//! cancelling say why.

use lumbung_model::schedule::Tz;
use lumbung_model::{DepositId, PdId};
use lumbung_wire::messages::deposits::{
    DeliveryInput, DepositAcceptance, DepositDecision, DepositDelivery, DepositForce, DepositInput,
};
use rusqlite::Connection;

use super::view::state;
use super::{DepositError, keeper};
use crate::act::Act;
use crate::db::deposits::{self as rows, DepositRow, Status};
use crate::db::{register, services};
use crate::people::access::Scope;
use crate::register::text::{free_text, line};
use crate::register::{RegisterError, live};

/// The largest document, bytes: 2^53, which JSON's numbers still tell apart.
const BYTES_MAX: u64 = 1 << 53;

/// The record of that id, as far as the caller sees it.
///
/// # Errors
/// [`DepositError::Unknown`], or that the database fails.
pub fn find(db: &Connection, scope: Scope, text: &str) -> Result<DepositRow, DepositError> {
    let id: DepositId = text.parse().map_err(|_| DepositError::Unknown)?;
    let seen = |row: &DepositRow| match scope {
        Scope::City => true,
        Scope::Pd(own) => row.pd == Some(own),
    };
    rows::deposit(db, &id)?.filter(seen).ok_or(DepositError::Unknown)
}

/// Enters what no duty of the profile asks for.
///
/// # Errors
/// If a field is not in order, or names what is not there.
pub fn add(
    db: &Connection,
    act: &Act,
    input: &DepositInput,
    zone: Tz,
) -> Result<DepositRow, DepositError> {
    line("title_id", &input.title_id)?;
    let title_en = if input.title_en.is_empty() { &input.title_id } else { &input.title_en };
    line("title_en", title_en)?;
    for (field, text) in
        [("article", &input.article), ("date_by", &input.date_by), ("period", &input.period)]
    {
        if !text.is_empty() {
            line(field, text)?;
        }
    }
    let row = DepositRow {
        id: DepositId::random(),
        duty: None,
        title_id: input.title_id.clone(),
        title_en: title_en.clone(),
        article: input.article.clone(),
        force: force(input)?,
        date_by: input.date_by.clone(),
        obligations: Vec::new(),
        pd: owner(db, input)?,
        application: input.application,
        service: input.service,
        period: (!input.period.is_empty()).then(|| input.period.clone()),
        due: input.due_on.last_second(zone),
        created: act.now,
        status: Status::Open,
        lapsed: false,
        delivery: None,
        decision: None,
    };
    rows::put(db, act, "deposit.add", &row)?;
    Ok(row)
}

fn force(input: &DepositInput) -> Result<DepositForce, DepositError> {
    let by_article =
        if input.article.is_empty() { DepositForce::Proposal } else { DepositForce::Shall };
    let force = input.force.unwrap_or(by_article);
    let contradicts = (force == DepositForce::Proposal) != input.article.is_empty();
    if contradicts { Err(DepositError::Force) } else { Ok(force) }
}

/// Who owes it: whoever is named, else the application's or service's PD, else the Dinas.
fn owner(db: &Connection, input: &DepositInput) -> Result<Option<PdId>, DepositError> {
    let unknown = |what, id: &dyn ToString| RegisterError::Unknown { what, id: id.to_string() };
    let (field, id, of) = match (&input.application, &input.service) {
        (Some(_), Some(_)) => return Err(DepositError::TwoSubjects),
        (Some(id), None) => {
            let found = services::application(db, id)?;
            let found = found.ok_or_else(|| unknown("application", id))?;
            ("application", id.to_string(), Some(found.pd))
        }
        (None, Some(id)) => {
            let found = services::service(db, id)?.ok_or_else(|| unknown("service", id))?;
            ("service", id.to_string(), Some(found.pd))
        }
        (None, None) => ("pd", String::new(), None),
    };
    let named = [input.pd.map(|id| *id.as_bytes()), input.application.map(|id| *id.as_bytes())];
    let named = named.into_iter().chain([input.service.map(|id| *id.as_bytes())]);
    named.flatten().try_for_each(|id| live(db, &id))?;
    match (input.pd, of) {
        (Some(pd), Some(of)) if pd != of => Err(RegisterError::Foreign { field, id }.into()),
        (Some(pd), _) => {
            register::pd(db, &pd)?.ok_or_else(|| unknown("PD", &pd))?;
            Ok(Some(pd))
        }
        (None, Some(of)) => Ok(Some(of)),
        (None, None) => Ok(keeper::subjects(db)?.dinas()),
    }
}

/// Refuses what may not be done with a record in its state.
fn only(
    act: &Act,
    row: &DepositRow,
    allowed: &[Status],
    next: &'static str,
) -> Result<(), DepositError> {
    if allowed.contains(&row.status) {
        return Ok(());
    }
    Err(DepositError::State { state: state(row, act.now), next })
}

/// Hands a document in.
///
/// # Errors
/// If it is not to be delivered, or a field is not in order.
pub fn deliver(
    db: &Connection,
    act: &Act,
    mut row: DepositRow,
    input: &DeliveryInput,
) -> Result<DepositRow, DepositError> {
    let next = match row.status {
        Status::Cancelled => "it is not owed; if it is after all, have an operator return it",
        _ => "to deliver another document in its place, have an operator return it first",
    };
    only(act, &row, &[Status::Open, Status::Returned], next)?;
    line("document", &input.document)?;
    if input.document.contains(['/', '\\']) {
        return Err(DepositError::Path);
    }
    if !input.letter.is_empty() {
        line("letter", &input.letter)?;
    }
    free_text("note", &input.note)?;
    match input.bytes {
        0 => return Err(DepositError::Empty),
        1..=BYTES_MAX => {}
        _ => return Err(DepositError::Size),
    }
    row.status = Status::Delivered;
    row.decision = None;
    row.delivery = Some(DepositDelivery {
        at: act.now,
        by: act.actor.name.clone(),
        document: input.document.clone(),
        sha256: input.sha256,
        bytes: input.bytes,
        letter: input.letter.clone(),
        note: input.note.clone(),
    });
    rows::put(db, act, "deposit.deliver", &row)?;
    Ok(row)
}

/// Accepts what was delivered.
///
/// # Errors
/// If nothing waits, or another document was looked at.
pub fn accept(
    db: &Connection,
    act: &Act,
    mut row: DepositRow,
    input: &DepositAcceptance,
) -> Result<DepositRow, DepositError> {
    only(act, &row, &[Status::Delivered], "only what was delivered and waits is accepted")?;
    free_text("note", &input.note)?;
    let kept = row.delivery.as_ref().map(|delivery| delivery.sha256);
    if let Some(kept) = kept.filter(|kept| *kept != input.sha256) {
        return Err(DepositError::OtherDocument { kept, given: input.sha256 });
    }
    row.status = Status::Accepted;
    row.decision = Some(decision(act, &input.note));
    rows::put(db, act, "deposit.accept", &row)?;
    Ok(row)
}

/// Gives back what was delivered, or opens again what was cancelled: it is owed, by the same date.
///
/// # Errors
/// If it is to be delivered anyway, no reason is given, or its PD is retired.
pub fn give_back(
    db: &Connection,
    act: &Act,
    mut row: DepositRow,
    reason: &str,
) -> Result<DepositRow, DepositError> {
    let allowed = [Status::Delivered, Status::Accepted, Status::Cancelled];
    only(act, &row, &allowed, "nothing was delivered since: wait for it, or cancel it")?;
    check_reason(reason)?;
    row.pd.map(|pd| live(db, pd.as_bytes())).transpose()?;
    (row.status, row.lapsed) = (Status::Returned, false);
    row.decision = Some(decision(act, reason));
    rows::put(db, act, "deposit.return", &row)?;
    Ok(row)
}

/// Says that it is not owed.
///
/// # Errors
/// If it was accepted or cancelled, or no reason is given.
pub fn cancel(
    db: &Connection,
    act: &Act,
    mut row: DepositRow,
    reason: &str,
) -> Result<DepositRow, DepositError> {
    let allowed = [Status::Open, Status::Returned, Status::Delivered];
    let next = match row.status {
        Status::Accepted => "what was accepted stays; if that was a mistake, return it first",
        _ => "there is nothing to cancel",
    };
    only(act, &row, &allowed, next)?;
    check_reason(reason)?;
    row.status = Status::Cancelled;
    row.decision = Some(decision(act, reason));
    rows::put(db, act, "deposit.cancel", &row)?;
    Ok(row)
}

fn check_reason(reason: &str) -> Result<(), DepositError> {
    if reason.trim().is_empty() {
        return Err(DepositError::Reason);
    }
    Ok(free_text("reason", reason)?)
}

fn decision(act: &Act, reason: &str) -> DepositDecision {
    DepositDecision { at: act.now, by: act.actor.name.clone(), reason: reason.trim().to_owned() }
}
