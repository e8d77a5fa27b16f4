//! Rows of alerts: what they are about, who was told, who looks after them.
//!
//! Invariants: one alert that is not over for each group; a plan is written whole, in the transaction of what it follows
//! from; nothing is deleted.

use std::collections::{BTreeMap, HashMap};

use lumbung_model::{AlertId, Day, PdId, ServiceId, SiteId, Timestamp};
use lumbung_wire::messages::alerts::{
    Acknowledgement, Alert as AlertEntry, AlertState, AlertSubject,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Deed};
use super::{DbError, count, id, maybe_id, word};
use crate::act::Act;
use crate::alerts::address::RecipientKey;
use crate::alerts::plan::{Alarm, Alert, Plan, Since, State, Told};

/// The alarms that last, oldest first.
pub fn alarms(db: &Connection) -> Result<Vec<Alarm>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT kind, subject, pd, site, service FROM alarms WHERE cleared_s IS NULL ORDER BY sequence",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Alarm {
            kind: row.get(0)?,
            subject: row.get(1)?,
            pd: maybe_id(row, 2)?.map(PdId::from_bytes),
            site: maybe_id(row, 3)?.map(SiteId::from_bytes),
            service: maybe_id(row, 4)?.map(ServiceId::from_bytes),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the last plan left.
pub fn state(db: &Connection) -> Result<State, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id, grouped, kind, pd, site, severity, opened_s, cleared_s, acknowledged_s, round, steps, stepped_s, service
         FROM alerts WHERE closed_s IS NULL",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Alert {
            id: AlertId::from_bytes(id(row, 0)?),
            group: row.get(1)?,
            kind: row.get(2)?,
            pd: maybe_id(row, 3)?.map(PdId::from_bytes),
            site: maybe_id(row, 4)?.map(SiteId::from_bytes),
            service: maybe_id(row, 12)?.map(ServiceId::from_bytes),
            severity: word(row, 5)?,
            opened: Timestamp(row.get(6)?),
            cleared: row.get::<_, Option<i64>>(7)?.map(Timestamp),
            closed: None,
            acknowledged: row.get::<_, Option<i64>>(8)?.is_some(),
            round: row.get(9)?,
            steps: row.get(10)?,
            stepped: Timestamp(row.get(11)?),
            topics: BTreeMap::new(),
            told: BTreeMap::new(),
        })
    })?;
    let mut alerts: HashMap<AlertId, Alert> = HashMap::new();
    for alert in rows {
        let alert = alert?;
        alerts.insert(alert.id, alert);
    }
    topics(db, &mut alerts)?;
    told(db, &mut alerts)?;
    let last: Option<String> =
        db.prepare_cached("SELECT max(day) FROM digests")?.query_row([], |row| row.get(0))?;
    let unread = |_| DbError::Corrupt { what: "the day of a digest" };
    Ok(State {
        alerts: alerts.into_values().map(|alert| (alert.group.clone(), alert)).collect(),
        digest: last.map(|day| day.parse::<Day>().map_err(unread)).transpose()?,
    })
}

/// What the alerts that are not over have been about: one read for all of them.
fn topics(db: &Connection, alerts: &mut HashMap<AlertId, Alert>) -> Result<(), DbError> {
    let mut statement = db.prepare_cached(
        "SELECT t.alert, t.kind, t.subject, t.joined_s, t.left_s FROM alerts AS a JOIN alert_topics AS t ON t.alert = a.id
         WHERE a.closed_s IS NULL",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let left = row.get::<_, Option<i64>>(4)?.map(Timestamp);
        let (topic, joined) = ((row.get(1)?, row.get(2)?), Timestamp(row.get(3)?));
        if let Some(alert) = alerts.get_mut(&AlertId::from_bytes(id(row, 0)?)) {
            alert.topics.insert(topic, Since { joined, left });
        }
    }
    Ok(())
}

/// Who was told of the alerts that are not over.
fn told(db: &Connection, alerts: &mut HashMap<AlertId, Alert>) -> Result<(), DbError> {
    let mut statement = db.prepare_cached(
        "SELECT t.alert, t.recipient, t.round, t.last_s, t.count FROM alerts AS a JOIN alert_told AS t ON t.alert = a.id
         WHERE a.closed_s IS NULL",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = row.get::<_, String>(1)?.parse::<RecipientKey>();
        let key = key.map_err(|_| DbError::Corrupt { what: "a recipient" })?;
        let told = Told { round: row.get(2)?, last: Timestamp(row.get(3)?), count: row.get(4)? };
        if let Some(alert) = alerts.get_mut(&AlertId::from_bytes(id(row, 0)?)) {
            alert.told.insert(key, told);
        }
    }
    Ok(())
}

/// Writes what a plan says of alerts; its messages are written elsewhere, in the same transaction.
pub fn apply(db: &Connection, now: Timestamp, plan: &Plan) -> Result<(), DbError> {
    for alert in &plan.alerts {
        put(db, alert)?;
    }
    if let Some((day, _)) = &plan.digest {
        db.prepare_cached("INSERT INTO digests (day, made_s) VALUES (?, ?)")?
            .execute(params![day.to_string(), now.0])?;
    }
    Ok(())
}

fn put(db: &Connection, alert: &Alert) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO alerts (id, grouped, kind, pd, site, severity, opened_s, cleared_s, closed_s, round, steps, stepped_s, service)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET severity = ?6, cleared_s = ?8, closed_s = ?9, round = ?10, steps = ?11, stepped_s = ?12",
    )?
    .execute(params![
        alert.id.as_bytes(),
        alert.group,
        alert.kind,
        alert.pd.map(|pd| *pd.as_bytes()),
        alert.site.map(|site| *site.as_bytes()),
        alert.severity.as_str(),
        alert.opened.0,
        alert.cleared.map(|at| at.0),
        alert.closed.map(|at| at.0),
        alert.round,
        alert.steps,
        alert.stepped.0,
        alert.service.map(|service| *service.as_bytes()),
    ])?;
    // What got worse is looked after no more.
    if !alert.acknowledged {
        db.prepare_cached("UPDATE alerts SET acknowledged_s = NULL, acknowledged_by = '', note = '' WHERE id = ? AND acknowledged_s IS NOT NULL")?
            .execute([alert.id.as_bytes()])?;
    }
    let mut topic = db.prepare_cached(
        "INSERT INTO alert_topics (alert, kind, subject, joined_s, left_s) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET joined_s = ?4, left_s = ?5",
    )?;
    for ((kind, subject), since) in &alert.topics {
        let (joined, left) = (since.joined.0, since.left.map(|at| at.0));
        topic.execute(params![alert.id.as_bytes(), kind, subject, joined, left])?;
    }
    let mut told = db.prepare_cached(
        "INSERT INTO alert_told (alert, recipient, round, last_s, count) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET round = ?3, last_s = ?4, count = ?5",
    )?;
    for (key, one) in &alert.told {
        let (round, last) = (one.round, one.last.0);
        told.execute(params![alert.id.as_bytes(), key.to_string(), round, last, one.count])?;
    }
    Ok(())
}

/// Which alerts are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this PD.
    pub pd: Option<PdId>,
    /// Also those that are over.
    pub all: bool,
    /// Only those that have come so far.
    pub state: Option<AlertState>,
    /// Before this one in the list.
    pub before: Option<AlertId>,
}

const ALERT: &str = "SELECT id, kind, severity, pd, site, opened_s, cleared_s, closed_s, acknowledged_s, acknowledged_by, note,
        steps, (SELECT count(*) FROM alert_topics AS t WHERE t.alert = a.id), service
    FROM alerts AS a";

fn alert_row(row: &Row<'_>) -> rusqlite::Result<AlertEntry> {
    let at = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(Timestamp));
    let (closed, acknowledged) = (at(7)?, at(8)?);
    let state = match (closed, acknowledged) {
        (Some(_), _) => AlertState::Over,
        (None, Some(_)) => AlertState::Acknowledged,
        (None, None) => AlertState::Open,
    };
    let acknowledged = acknowledged
        .map(|at| {
            Ok::<_, rusqlite::Error>(Acknowledgement { at, by: row.get(9)?, note: row.get(10)? })
        })
        .transpose()?;
    Ok(AlertEntry {
        id: AlertId::from_bytes(id(row, 0)?),
        kind: row.get(1)?,
        severity: word(row, 2)?,
        state,
        pd: maybe_id(row, 3)?.map(PdId::from_bytes),
        site: maybe_id(row, 4)?.map(SiteId::from_bytes),
        opened: Timestamp(row.get(5)?),
        cleared: at(6)?,
        closed,
        acknowledged,
        steps: row.get(11)?,
        subjects: count(row, 12)?,
        service: maybe_id(row, 13)?.map(ServiceId::from_bytes),
    })
}

/// Alerts, newest first. A place in the list is one of what is asked for: another PD's alert is none.
pub fn list(db: &Connection, wanted: &Wanted, limit: u32) -> Result<Vec<AlertEntry>, DbError> {
    let sql = format!(
        "{ALERT} WHERE (?1 IS NULL OR pd = ?1) AND (?2 OR closed_s IS NULL)
            AND (?3 IS NULL OR ?3 = CASE WHEN closed_s IS NOT NULL THEN 'over' WHEN acknowledged_s IS NOT NULL THEN 'acknowledged' ELSE 'open' END)
            AND (?4 IS NULL OR sequence < (SELECT b.sequence FROM alerts AS b WHERE b.id = ?4 AND (?1 IS NULL OR b.pd = ?1)))
         ORDER BY sequence DESC LIMIT ?5"
    );
    let (state, before) =
        (wanted.state.map(AlertState::as_str), wanted.before.map(|id| *id.as_bytes()));
    let all = wanted.all || wanted.state == Some(AlertState::Over);
    let asked = params![wanted.pd.map(|pd| *pd.as_bytes()), all, state, before, limit];
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map(asked, alert_row)?.collect::<Result<_, _>>()?)
}

/// The alert of that id.
pub fn get(db: &Connection, alert: &AlertId) -> Result<Option<AlertEntry>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ALERT} WHERE id = ?"))?;
    Ok(statement.query_row([alert.as_bytes()], alert_row).optional()?)
}

/// What an alert has been about: what lasts first, with what the alarm says now. An alarm whose subject has become another
/// PD's says nothing here any more: what it says now is the other's.
pub fn subjects(
    db: &Connection,
    alert: &AlertId,
    limit: u32,
) -> Result<Vec<AlertSubject>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT t.kind, t.subject, coalesce(a.detail, ''), t.joined_s, a.sequence IS NOT NULL
         FROM alert_topics AS t JOIN alerts AS l ON l.id = t.alert
         LEFT JOIN alarms AS a ON a.kind = t.kind AND a.subject = t.subject AND a.cleared_s IS NULL
            AND t.left_s IS NULL AND a.pd IS l.pd
         WHERE t.alert = ? ORDER BY a.sequence IS NULL, t.joined_s, t.kind, t.subject LIMIT ?",
    )?;
    let rows = statement.query_map(params![alert.as_bytes(), limit], |row| {
        Ok(AlertSubject {
            kind: row.get(0)?,
            subject: row.get(1)?,
            detail: row.get(2)?,
            joined: Timestamp(row.get(3)?),
            lasts: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes down that somebody looks after an alert.
pub fn acknowledge(
    db: &Connection,
    act: &Act,
    before: &AlertEntry,
    note: &str,
) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE alerts SET acknowledged_s = ?, acknowledged_by = ?, note = ? WHERE id = ? AND closed_s IS NULL",
    )?
    .execute(params![act.now.0, act.actor.name, note, before.id.as_bytes()])?;
    let after = get(db, &before.id)?;
    let deed = Deed { action: "alert.acknowledge", kind: "alert", id: &before.id, pd: before.pd };
    let after = after.as_ref().map(audit::shown).transpose()?;
    audit::append(db, act, deed, Some(audit::shown(before)?), after)
}

/// What a digest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Alerts that were over since.
    pub ended: u64,
    /// Alerts that began since.
    pub begun: u64,
    /// Messages that no channel will take, since.
    pub failed: u64,
}

/// What happened since a time.
pub fn counts(db: &Connection, since: Timestamp) -> Result<Counts, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT (SELECT count(*) FROM alerts WHERE closed_s >= ?1), (SELECT count(*) FROM alerts WHERE opened_s >= ?1),
            (SELECT count(*) FROM deliveries WHERE state = 'failed' AND ended_s >= ?1)",
    )?;
    Ok(statement.query_row([since.0], |row| {
        Ok(Counts { ended: count(row, 0)?, begun: count(row, 1)?, failed: count(row, 2)? })
    })?)
}

/// Writes something, to show that it can be written.
pub fn beat(db: &Connection, now: Timestamp) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO beats (only_one, at_s) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at_s = ?1",
    )?
    .execute([now.0])?;
    Ok(())
}
