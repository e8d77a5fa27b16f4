//! Figures of days that are over, what they are reckoned from beside probes, and when the controller itself listened.

use std::collections::HashMap;

use lumbung_model::uptime::{Beat, Figures, Timeline};
use lumbung_model::{PdId, ServerId, Timestamp};
use lumbung_wire::messages::uptime::UpKind;
use rusqlite::{Connection, OptionalExtension, params};

use super::{DbError, id, word};

/// A subject's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// What kind of thing it is.
    pub kind: UpKind,
    /// Its id.
    pub subject: [u8; 16],
    /// Whose it is.
    pub pd: PdId,
    /// The figures.
    pub figures: Figures,
}

/// Makes the figures of a day be these, which rest on what was known when it had been marked `marks` times.
pub fn put_day(db: &Connection, (day, marks): (i64, i64), rows: &[Day]) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM uptime_days WHERE day = ?")?.execute([day])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO uptime_days (subject, day, kind, pd, up_s, down_s, planned_s, unconfirmed_s, unobserved_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for row in rows {
        let figures = row.figures;
        insert.execute(params![
            row.subject,
            day,
            row.kind.as_str(),
            row.pd.as_bytes(),
            figures.up_s,
            figures.down_s,
            figures.planned_s,
            figures.unconfirmed_s,
            figures.unobserved_s,
        ])?;
    }
    db.prepare_cached("DELETE FROM stale_days WHERE day = ? AND marks = ?")?
        .execute([day, marks])?;
    Ok(())
}

/// What the figures of some days add up to, of all PD or of one.
pub fn sums(
    db: &Connection,
    pd: Option<&PdId>,
    (first, last): (i64, i64),
) -> Result<Vec<Day>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT subject, kind, pd, sum(up_s), sum(down_s), sum(planned_s), sum(unconfirmed_s), sum(unobserved_s)
         FROM uptime_days WHERE day BETWEEN ?2 AND ?3 AND (?1 IS NULL OR pd = ?1) GROUP BY subject, kind, pd",
    )?;
    let rows = statement.query_map(params![pd.map(PdId::as_bytes), first, last], |row| {
        Ok(Day {
            subject: id(row, 0)?,
            kind: word(row, 1)?,
            pd: PdId::from_bytes(id(row, 2)?),
            figures: Figures {
                up_s: row.get(3)?,
                down_s: row.get(4)?,
                planned_s: row.get(5)?,
                unconfirmed_s: row.get(6)?,
                unobserved_s: row.get(7)?,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The last day whose figures are kept.
pub fn last_day(db: &Connection) -> Result<Option<i64>, DbError> {
    let mut statement = db.prepare_cached("SELECT max(through) FROM uptime_through")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?.flatten())
}

/// Writes up to which day figures are kept.
pub fn put_last_day(db: &Connection, day: i64) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO uptime_through (only, through) VALUES (1, ?1)
         ON CONFLICT (only) DO UPDATE SET through = max(through, ?1)",
    )?
    .execute([day])?;
    Ok(())
}

/// Forgets figures of days that are not over: a clock was ahead when they were written.
pub fn forget_from(db: &Connection, today: i64) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM uptime_days WHERE day >= ?")?.execute([today])?;
    db.prepare_cached("UPDATE uptime_through SET through = min(through, ?)")?
        .execute([today - 1])?;
    Ok(())
}

/// Days that are to be reckoned again, and how often each was marked.
pub fn stale_days(db: &Connection) -> Result<Vec<(i64, i64)>, DbError> {
    let mut statement = db.prepare_cached("SELECT day, marks FROM stale_days ORDER BY day")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes marks off days of which the detail is forgotten.
pub fn unmark_before(db: &Connection, day: i64) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM stale_days WHERE day < ?")?.execute([day])?;
    Ok(())
}

/// Silences of agents that turned out to be downtime, each told once.
pub fn take_late_silences(db: &Connection) -> Result<Vec<(Timestamp, Timestamp)>, DbError> {
    let mut statement = db.prepare_cached("SELECT from_s, until_s FROM late_silences")?;
    let rows =
        statement.query_map([], |row| Ok((Timestamp(row.get(0)?), Timestamp(row.get(1)?))))?;
    let found = rows.collect::<Result<_, _>>()?;
    db.prepare_cached("DELETE FROM late_silences")?.execute([])?;
    Ok(found)
}

/// Marks days that are to be reckoned again.
pub fn mark_days(db: &Connection, (first, last): (i64, i64)) -> Result<(), DbError> {
    let mut insert =
        db.prepare_cached("INSERT INTO stale_days (day, marks) VALUES (?, 1) ON CONFLICT (day) DO UPDATE SET marks = marks + 1")?;
    for day in first..=last {
        insert.execute([day])?;
    }
    Ok(())
}

/// The first second of which anything is known.
pub fn first_known(db: &Connection) -> Result<Option<Timestamp>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT min(first_s) FROM (SELECT min(from_s) AS first_s FROM check_places
            UNION ALL SELECT min(first_s) FROM watches)",
    )?;
    let first: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(first.map(Timestamp))
}

/// The controller listens at `now`; a silence of more than `patience_s` before it was one.
pub fn watch(db: &Connection, now: Timestamp, patience_s: i64) -> Result<(), DbError> {
    let last: Option<(i64, i64)> = db
        .prepare_cached(
            "SELECT first_s, last_s FROM watches WHERE first_s <= ? ORDER BY first_s DESC LIMIT 1",
        )?
        .query_row([now.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match last.filter(|(_, last_s)| (now.0 - last_s).abs() <= patience_s) {
        Some((first_s, last_s)) if now.0 > last_s => {
            db.prepare_cached("UPDATE watches SET last_s = ? WHERE first_s = ?")?
                .execute([now.0, first_s])?;
        }
        Some(_) => {}
        None => {
            db.prepare_cached(
                "INSERT INTO watches (first_s, last_s) VALUES (?1, ?1) ON CONFLICT (first_s) DO NOTHING",
            )?
            .execute([now.0])?;
        }
    }
    Ok(())
}

/// When the controller listened, within a stretch of time.
pub fn watches(
    db: &Connection,
    (from, until): (Timestamp, Timestamp),
) -> Result<Timeline<()>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT first_s, last_s + 1 FROM watches WHERE last_s >= ? AND first_s < ? ORDER BY first_s",
    )?;
    let mut found = Timeline::default();
    let mut rows = statement.query([from.0, until.0])?;
    while let Some(row) = rows.next()? {
        found.push(Timestamp(row.get(0)?), Timestamp(row.get(1)?), ());
    }
    Ok(found)
}

/// A server that has had an agent, and since when and until when that counts.
#[derive(Debug, Clone)]
pub struct Host {
    /// The server.
    pub server: ServerId,
    /// When it had an agent and was not retired.
    pub life: Timeline<()>,
    /// When it was heard.
    pub beats: Vec<Beat>,
}

/// What heartbeats tell of servers in a stretch of time: the last silence before it, too.
pub fn hosts(db: &Connection, (from, until): (Timestamp, Timestamp)) -> Result<Vec<Host>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT v.id, min(a.enrolled_s), (SELECT min(r.from_s) FROM retired AS r WHERE r.id IN (v.id, v.pd))
         FROM servers AS v JOIN agents AS a ON a.server = v.id GROUP BY v.id",
    )?;
    let lives = statement.query_map([], |row| {
        Ok((
            ServerId::from_bytes(id(row, 0)?),
            row.get::<_, i64>(1)?,
            row.get::<_, Option<i64>>(2)?,
        ))
    })?;
    let mut hosts: HashMap<ServerId, Host> = HashMap::new();
    for life in lives {
        let (server, enrolled_s, retired_s) = life?;
        let until = retired_s.map_or(until, |at| until.min(Timestamp(at)));
        let life = Timeline::of(Timestamp(enrolled_s).max(from), until, ());
        if !life.spans().is_empty() {
            hosts.insert(server, Host { server, life, beats: Vec::new() });
        }
    }
    // The span that ended last before the stretch says from when on it was silent, the first one after it what that silence was.
    let mut statement = db.prepare_cached(
        "SELECT a.server, s.first_s, s.last_s, s.booted_s FROM agents AS a JOIN heartbeat_spans AS s ON s.agent = a.id
         WHERE s.first_s <= coalesce((SELECT min(n.first_s) FROM heartbeat_spans AS n
                WHERE n.agent = a.id AND n.first_s >= ?2), ?2) AND s.first_s >= coalesce(
            (SELECT max(b.first_s) FROM heartbeat_spans AS b WHERE b.agent = a.id AND b.first_s <= ?1), ?1)
         ORDER BY a.server, s.first_s",
    )?;
    let mut rows = statement.query([from.0, until.0])?;
    while let Some(row) = rows.next()? {
        if let Some(host) = hosts.get_mut(&ServerId::from_bytes(id(row, 0)?)) {
            host.beats.push(Beat {
                first: Timestamp(row.get(1)?),
                last: Timestamp(row.get(2)?),
                booted: row.get::<_, Option<i64>>(3)?.map(Timestamp),
            });
        }
    }
    Ok(hosts.into_values().collect())
}
