//! The log of servers' care.

use lumbung_model::schedule::Tz;
use lumbung_model::{CareId, Day};
use lumbung_wire::messages::register::{Care, CareInput};
use rusqlite::Connection;

use super::colocation::{related, together};
use super::pds::stays;
use super::text::{free_text, line};
use super::{Change, Mode, RegisterError, by_id, enter, known, live, settle};
use crate::act::Act;
use crate::db::{care as rows, register};

/// Enters what was done to a server. That it is retired by now keeps nobody from correcting what was entered.
///
/// # Errors
/// If a rule forbids it.
pub fn put_care(
    db: &Connection,
    act: &Act,
    input: &CareInput,
    mode: Mode,
) -> Result<(Care, Change), RegisterError> {
    line("name", &input.name)?;
    line("by", &input.by)?;
    free_text("note", &input.note)?;
    // Somewhere it is tomorrow already, and the city's zone is not asked for the sake of it.
    let tomorrow = Day::of(act.now, Tz::UTC).plus_days(1);
    together("done_on", input.done_on <= tomorrow, "enter what was done, when it was done")?;
    let in_order = input.due_on.is_none_or(|day| day > input.done_on);
    together("due_on", in_order, "it is due again after the day on which it was done")?;
    known("PD", &input.pd, |id| register::pd(db, id))?;
    let server = known("server", &input.server, |id| register::server(db, id))?;
    related("server", server.pd == input.pd, "name one of the PD's own")?;
    let same_id = by_id(input.id, |id| rows::one_care(db, id))?;
    let same = rows::same_care(db, input)?;
    let found = settle(("care", &input.name), mode, input.id, same_id, same, |one| one.id)?;
    match &found {
        None => live(db, server.id.as_bytes())?,
        Some(found) => {
            let reason = "what was done to one server was not done to another: enter it there";
            related("server", found.server == input.server, reason)?;
        }
    }
    let row = Care {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(CareId::random),
        pd: stays(found.as_ref().map(|one| (one.pd, one.id)), input.pd)?,
        server: input.server,
        name: input.name.clone(),
        kind: input.kind,
        done_on: input.done_on,
        by: input.by.clone(),
        note: input.note.clone(),
        due_on: input.due_on,
    };
    enter(found.as_ref(), row, |row| rows::put_care(db, act, row))
}
