//! Rows of what is owed by date. Rules are `crate::deadlines`'s.
//!
//! Invariants: every change of a row writes its new version to `register_history` and to the audit log; nothing is
//! deleted.

use std::collections::{BTreeMap, HashMap};

use lumbung_model::{ApplicationId, DepositId, DocumentHash, PdId, ServiceId, Timestamp};
use lumbung_wire::messages::deposits::{DepositDecision, DepositDelivery, DepositForce};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::audit::Deed;
use super::register::record;
use super::{DbError, count, id, json, maybe_id, signed, to_json, word};
use crate::act::Act;
use crate::deadlines::plan::Known;

/// How far a record has come; what follows from the time is not written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing was delivered yet.
    Open,
    /// It was delivered, and waits for the Dinas.
    Delivered,
    /// The Dinas has accepted it.
    Accepted,
    /// It is to be delivered again.
    Returned,
    /// It is not owed.
    Cancelled,
}

impl Status {
    const ALL: [Self; 5] =
        [Self::Open, Self::Delivered, Self::Accepted, Self::Returned, Self::Cancelled];

    /// As it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether somebody has to deliver it.
    #[must_use]
    pub const fn is_to_be_delivered(self) -> bool {
        matches!(self, Self::Open | Self::Returned)
    }
}

fn status(row: &Row<'_>, index: usize) -> rusqlite::Result<Status> {
    let text: String = row.get(index)?;
    let found = Status::ALL.into_iter().find(|status| status.as_str() == text);
    found.ok_or(rusqlite::Error::InvalidQuery)
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DepositRow {
    /// Its id.
    pub id: DepositId,
    /// The profile's duty; none: somebody entered it.
    pub duty: Option<String>,
    /// What is owed, in Indonesian.
    pub title_id: String,
    /// The same in English.
    pub title_en: String,
    /// The article; empty: none.
    pub article: String,
    /// How strongly the article puts it.
    pub force: DepositForce,
    /// What sets the date; empty: nothing does.
    pub date_by: String,
    /// Rows of `docs/obligations.md`.
    pub obligations: Vec<String>,
    /// Who owes it; none: the city.
    pub pd: Option<PdId>,
    /// The application that it is about.
    pub application: Option<ApplicationId>,
    /// The service that it is about.
    pub service: Option<ServiceId>,
    /// The period; none: it is owed once.
    pub period: Option<String>,
    /// The last second in which it is in time.
    pub due: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// How far it has come.
    pub status: Status,
    /// Whether the controller cancelled it by itself.
    pub lapsed: bool,
    /// What was handed in last.
    pub delivery: Option<DepositDelivery>,
    /// What was decided last.
    pub decision: Option<DepositDecision>,
}

const DEPOSIT: &str = "SELECT id, duty, title_id, title_en, article, force, date_by, obligations, pd, application,
    service, period, due_s, created_s, status, lapsed, delivered_s, delivered_by, document, sha256, bytes, letter,
    note, decided_s, decided_by, reason FROM deposits";

fn deposit_row(row: &Row<'_>) -> rusqlite::Result<DepositRow> {
    Ok(DepositRow {
        id: DepositId::from_bytes(id(row, 0)?),
        duty: row.get(1)?,
        title_id: row.get(2)?,
        title_en: row.get(3)?,
        article: row.get(4)?,
        force: word(row, 5)?,
        date_by: row.get(6)?,
        obligations: json(row, 7)?,
        pd: maybe_id(row, 8)?.map(PdId::from_bytes),
        application: maybe_id(row, 9)?.map(ApplicationId::from_bytes),
        service: maybe_id(row, 10)?.map(ServiceId::from_bytes),
        period: row.get(11)?,
        due: Timestamp(row.get(12)?),
        created: Timestamp(row.get(13)?),
        status: status(row, 14)?,
        lapsed: row.get(15)?,
        delivery: delivery(row)?,
        decision: decision(row)?,
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Option<DepositDelivery>> {
    let Some(at) = row.get(16)? else { return Ok(None) };
    Ok(Some(DepositDelivery {
        at: Timestamp(at),
        by: row.get(17)?,
        document: row.get(18)?,
        sha256: DocumentHash::from_bytes(id(row, 19)?),
        bytes: count(row, 20)?,
        letter: row.get::<_, Option<_>>(21)?.unwrap_or_default(),
        note: row.get::<_, Option<_>>(22)?.unwrap_or_default(),
    }))
}

fn decision(row: &Row<'_>) -> rusqlite::Result<Option<DepositDecision>> {
    let Some(at) = row.get(23)? else { return Ok(None) };
    let reason = row.get::<_, Option<_>>(25)?.unwrap_or_default();
    Ok(Some(DepositDecision { at: Timestamp(at), by: row.get(24)?, reason }))
}

/// Which records; what is not said does not narrow it.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Of this PD.
    pub pd: Option<PdId>,
    /// From this duty.
    pub duty: Option<String>,
    /// Due then or later.
    pub from: Option<Timestamp>,
    /// Due then or earlier.
    pub until: Option<Timestamp>,
}

/// The records, by date.
pub fn deposits(db: &Connection, which: &Which) -> Result<Vec<DepositRow>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{DEPOSIT} WHERE (?1 IS NULL OR pd = ?1) AND (?2 IS NULL OR duty = ?2) AND due_s >= ?3 AND due_s <= ?4
         ORDER BY due_s, title_id, id"
    ))?;
    let which = params![
        which.pd.map(|pd| *pd.as_bytes()),
        which.duty,
        which.from.map_or(i64::MIN, |at| at.0),
        which.until.map_or(i64::MAX, |at| at.0),
    ];
    Ok(statement.query_map(which, deposit_row)?.collect::<Result<_, _>>()?)
}

/// The record of that id.
pub fn deposit(db: &Connection, deposit: &DepositId) -> Result<Option<DepositRow>, DbError> {
    let mut statement = db.prepare_cached(&format!("{DEPOSIT} WHERE id = ?"))?;
    Ok(statement.query_row([deposit.as_bytes()], deposit_row).optional()?)
}

/// What the reconciler has to know of all that follows from a duty.
pub fn known(db: &Connection) -> Result<Vec<Known>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id, status, lapsed, pd, due_s FROM deposits WHERE duty IS NOT NULL",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Known {
            id: DepositId::from_bytes(id(row, 0)?),
            status: status(row, 1)?,
            lapsed: row.get(2)?,
            pd: maybe_id(row, 3)?.map(PdId::from_bytes),
            due: Timestamp(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// For each PD, none for the city: what is overdue at `now`, and what is due from then until `soon`.
pub fn counts(
    db: &Connection,
    pd: Option<&PdId>,
    (now, soon): (Timestamp, Timestamp),
) -> Result<Vec<(Option<PdId>, u64, u64)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT pd, count(*) FILTER (WHERE due_s < ?2), count(*) FILTER (WHERE due_s >= ?2) FROM deposits
         WHERE status IN ('open', 'returned') AND due_s <= ?3 AND (?1 IS NULL OR pd = ?1) GROUP BY pd",
    )?;
    let rows = statement.query_map(params![pd.map(PdId::as_bytes), now.0, soon.0], |row| {
        Ok((maybe_id(row, 0)?.map(PdId::from_bytes), count(row, 1)?, count(row, 2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes a record: new, or in place of the one with its id.
pub fn put(db: &Connection, act: &Act, action: &str, row: &DepositRow) -> Result<(), DbError> {
    let (delivery, decision) = (row.delivery.as_ref(), row.decision.as_ref());
    db.prepare_cached(
        "INSERT INTO deposits (id, duty, title_id, title_en, article, force, date_by, obligations, pd, application,
            service, period, due_s, created_s, status, lapsed, delivered_s, delivered_by, document, sha256, bytes,
            letter, note, decided_s, decided_by, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
            ?23, ?24, ?25, ?26)
         ON CONFLICT (id) DO UPDATE SET pd = ?9, status = ?15, lapsed = ?16, delivered_s = ?17, delivered_by = ?18,
            document = ?19, sha256 = ?20, bytes = ?21, letter = ?22, note = ?23, decided_s = ?24, decided_by = ?25,
            reason = ?26",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.duty,
        row.title_id,
        row.title_en,
        row.article,
        row.force.as_str(),
        row.date_by,
        to_json(&row.obligations)?,
        row.pd.map(|pd| *pd.as_bytes()),
        row.application.map(|application| *application.as_bytes()),
        row.service.map(|service| *service.as_bytes()),
        row.period,
        row.due.0,
        row.created.0,
        row.status.as_str(),
        row.lapsed,
        delivery.map(|one| one.at.0),
        delivery.map(|one| &one.by),
        delivery.map(|one| &one.document),
        delivery.map(|one| *one.sha256.as_bytes()),
        delivery.map(|one| signed(one.bytes)),
        delivery.map(|one| &one.letter),
        delivery.map(|one| &one.note),
        decision.map(|one| one.at.0),
        decision.map(|one| &one.by),
        decision.map(|one| &one.reason),
    ])?;
    let deed = Deed { action, kind: "deposit", id: &row.id, pd: row.pd };
    record(db, act, deed, row.id.as_bytes(), row)
}

/// Since when each duty is known.
pub fn duties(db: &Connection) -> Result<BTreeMap<String, Timestamp>, DbError> {
    let mut statement = db.prepare_cached("SELECT id, since_s FROM duties")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that a duty is known from now on.
pub fn begin_duty(db: &Connection, now: Timestamp, duty: &str) -> Result<(), DbError> {
    db.prepare_cached("INSERT INTO duties (id, since_s) VALUES (?, ?)")?
        .execute(params![duty, now.0])?;
    Ok(())
}

/// Forgets a duty that the profile no longer has.
pub fn end_duty(db: &Connection, duty: &str) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM duties WHERE id = ?")?.execute([duty])?;
    Ok(())
}

/// When each row of a kind (`pd`, `application`, `service`) was entered.
pub fn entered(db: &Connection, kind: &str) -> Result<HashMap<[u8; 16], Timestamp>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT id, min(at_s) FROM register_history WHERE kind = ? GROUP BY id")?;
    let rows = statement.query_map([kind], |row| Ok((id(row, 0)?, Timestamp(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Since when each PD that runs its own IT does so without a break.
pub fn mandiri_since(db: &Connection) -> Result<HashMap<[u8; 16], Timestamp>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id, at_s, json_extract(row, '$.mandiri_tik') IS 1 FROM register_history WHERE kind = 'pd'
         ORDER BY sequence",
    )?;
    let mut since = HashMap::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (pd, at) = (id::<16>(row, 0)?, Timestamp(row.get(1)?));
        if row.get(2)? {
            since.entry(pd).or_insert(at);
        } else {
            since.remove(&pd);
        }
    }
    Ok(since)
}
