//! The roster of who is on call.
//!
//! Invariants: a turn is never changed, only taken back; whoever stands in it can be reached by something; every change is in
//! the audit log.

use lumbung_model::{OnCallId, Timestamp};
use lumbung_wire::messages::alerts::{OnCall, OnCallInput};
use rusqlite::Connection;

use super::desk::AlertError;
use crate::act::Act;
use crate::db::on_call;
use crate::register::{Change, text};

/// Longest turn, s: a quarter of a year.
const TURN_MAX_S: i64 = 92 * 86_400;
/// How far ahead a turn may begin, s: two years.
const AHEAD_MAX_S: i64 = 2 * 366 * 86_400;

/// Puts somebody on call.
///
/// # Errors
/// If the entry makes no sense.
pub fn put(db: &Connection, act: &Act, input: &OnCallInput) -> Result<OnCall, AlertError> {
    check(input, act.now)?;
    let turn = turn(input);
    on_call::put(db, act, &turn)?;
    Ok(turn)
}

/// Puts somebody on call as a file says: a turn is known by its tier, its beginning and the person's name. One that says
/// something else is taken back, and the file's takes its place; one that says the same stays, over or not.
///
/// # Errors
/// If the entry makes no sense.
pub fn enter(db: &Connection, act: &Act, input: &OnCallInput) -> Result<Change, AlertError> {
    let standing = on_call::find(db, (input.tier, input.from), &input.name)?;
    let Some(before) = standing else {
        put(db, act, input)?;
        return Ok(Change::Created);
    };
    if (OnCall { id: before.id, ..turn(input) }) == before {
        return Ok(Change::Unchanged);
    }
    check(input, act.now)?;
    remove(db, act, &before.id)?;
    put(db, act, input)?;
    Ok(Change::Updated)
}

/// Takes a turn back.
///
/// # Errors
/// If it is not there, or was taken back.
pub fn remove(db: &Connection, act: &Act, id: &OnCallId) -> Result<OnCall, AlertError> {
    let turn = on_call::get(db, id)?.ok_or(AlertError::UnknownTurn)?;
    if turn.removed.is_some() {
        return Err(AlertError::Removed);
    }
    let turn = OnCall { removed: Some(act.now), ..turn };
    on_call::put(db, act, &turn)?;
    Ok(turn)
}

fn check(input: &OnCallInput, now: Timestamp) -> Result<(), AlertError> {
    text::line("name", &input.name)?;
    text::phone(&input.phone)?;
    text::email(&input.email)?;
    text::telegram(&input.telegram)?;
    if !(2..=3).contains(&input.tier) {
        return Err(AlertError::Tier);
    }
    let lasts_s = input.until.seconds_since(input.from);
    let ahead = input.from > now.plus_seconds(AHEAD_MAX_S);
    if !(1..=TURN_MAX_S).contains(&lasts_s) || input.until <= now || ahead {
        return Err(AlertError::Time);
    }
    if [&input.phone, &input.email, &input.telegram].iter().all(|one| one.is_empty()) {
        return Err(AlertError::Address);
    }
    Ok(())
}

fn turn(input: &OnCallInput) -> OnCall {
    OnCall {
        id: OnCallId::random(),
        tier: input.tier,
        name: input.name.clone(),
        from: input.from,
        until: input.until,
        phone: input.phone.clone(),
        email: input.email.clone(),
        telegram: input.telegram.clone(),
        removed: None,
    }
}
