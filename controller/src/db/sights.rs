//! What was seen: runs of probes that came out alike, the newest of each, and how far each vault has told.
//!
//! Invariants: an observation lengthens the newest run of its check and prober, or begins one; a run never shrinks. What a
//! vault told once is not counted again: its numbers only grow, and what it has told is kept with them in one transaction.

use std::collections::HashMap;

use lumbung_model::uptime::{Run, reach_s};
use lumbung_model::{CheckId, SiteId, Timestamp};
use lumbung_wire::messages::uptime::Observation;
use rusqlite::{Connection, OptionalExtension, params};

use super::{DbError, count, id};

/// Who looks at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prober {
    /// The vault there.
    Vault,
    /// The controller.
    Controller,
}

impl Prober {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Controller => "controller",
        }
    }
}

/// What an observation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It came out as the one before.
    Alike,
    /// It began a run: it came out otherwise, or after a silence.
    New,
    /// The check is not one that the register knows.
    Unknown,
}

/// Writes an observation.
pub fn observe(
    db: &Connection,
    (site, prober): (&SiteId, Prober),
    seen: &Observation,
) -> Result<Seen, DbError> {
    let key = params![seen.check.as_bytes(), site.as_bytes(), prober.as_str(), seen.at.0];
    let newest: Option<(i64, i64, u32, bool)> = db
        .prepare_cached(
            "SELECT first_s, last_s, interval_s, up FROM sight_runs
             WHERE check_id = ? AND site = ? AND prober = ? AND first_s <= ? ORDER BY first_s DESC LIMIT 1",
        )?
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let goes_on = newest.filter(|(_, last_s, interval_s, up)| {
        let silence_s = seen.at.0.saturating_sub(*last_s);
        *up == seen.up
            && *interval_s == seen.interval_s
            && (0..=reach_s(*interval_s)).contains(&silence_s)
    });
    if goes_on.is_none() && newest.is_none() && super::checks::check(db, &seen.check)?.is_none() {
        return Ok(Seen::Unknown);
    }
    let first_s = goes_on.map_or(seen.at.0, |(first_s, ..)| first_s);
    let latency_ms = seen.latency_ms.unwrap_or(0);
    db.prepare_cached(
        "INSERT INTO sight_runs (check_id, site, prober, first_s, last_s, interval_s, up, probes, latency_sum_ms,
            latency_max_ms, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?8, ?9)
         ON CONFLICT (check_id, site, prober, first_s, up) DO UPDATE SET last_s = max(last_s, ?5), probes = probes + 1,
            latency_sum_ms = latency_sum_ms + ?8, latency_max_ms = max(latency_max_ms, ?8)",
    )?
    .execute(params![
        seen.check.as_bytes(),
        site.as_bytes(),
        prober.as_str(),
        first_s,
        seen.at.0,
        seen.interval_s,
        seen.up,
        latency_ms,
        seen.detail,
    ])?;
    db.prepare_cached(
        "INSERT INTO sights (check_id, site, prober, at_s, up, latency_ms, certificate_s, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (check_id, site, prober) DO UPDATE SET at_s = ?4, up = ?5, latency_ms = ?6,
            certificate_s = CASE WHEN ?5 = 1 THEN ?7 ELSE coalesce(?7, certificate_s) END, detail = ?8",
    )?
    .execute(params![
        seen.check.as_bytes(),
        site.as_bytes(),
        prober.as_str(),
        seen.at.0,
        seen.up,
        seen.latency_ms,
        seen.certificate_expires.map(|at| at.0),
        seen.detail,
    ])?;
    Ok(if goes_on.is_some() { Seen::Alike } else { Seen::New })
}

/// What each place's probers saw of each check within a stretch of time.
pub type Runs = HashMap<(CheckId, SiteId), HashMap<Prober, Vec<Run>>>;

/// The runs that say something of a stretch of time.
pub fn runs(db: &Connection, (from, until): (Timestamp, Timestamp)) -> Result<Runs, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT check_id, site, prober, first_s, last_s, interval_s, up FROM sight_runs
         WHERE last_s > ?1 AND first_s < ?2",
    )?;
    let mut found = Runs::new();
    // The longest that a probe's word stands: that of an hourly one.
    let mut rows = statement.query(params![from.0.saturating_sub(reach_s(3600)), until.0])?;
    while let Some(row) = rows.next()? {
        let key = (CheckId::from_bytes(id(row, 0)?), SiteId::from_bytes(id(row, 1)?));
        let prober = match row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)? {
            "vault" => Prober::Vault,
            _ => Prober::Controller,
        };
        found.entry(key).or_default().entry(prober).or_default().push(Run {
            first: Timestamp(row.get(3)?),
            last: Timestamp(row.get(4)?),
            interval_s: row.get(5)?,
            up: row.get(6)?,
        });
    }
    Ok(found)
}

/// The newest observation of a check by a prober.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Of which check.
    pub check: CheckId,
    /// From which place.
    pub site: SiteId,
    /// When.
    pub at: Timestamp,
    /// How it came out.
    pub up: bool,
    /// Milliseconds until the answer.
    pub latency_ms: Option<u32>,
    /// When the target's certificate expires, as it was seen last.
    pub certificate: Option<Timestamp>,
    /// What was wrong.
    pub detail: String,
}

/// The newest observations of everything that is looked at, the newest prober of a place last.
pub fn newest(db: &Connection) -> Result<Vec<Newest>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT s.check_id, s.site, s.at_s, s.up, s.latency_ms, s.certificate_s, s.detail
         FROM sights AS s JOIN live_checks AS c ON c.id = s.check_id
         JOIN check_places AS p ON p.check_id = s.check_id AND p.site = s.site AND p.until_s IS NULL ORDER BY s.check_id, s.site, s.at_s",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Newest {
            check: CheckId::from_bytes(id(row, 0)?),
            site: SiteId::from_bytes(id(row, 1)?),
            at: Timestamp(row.get(2)?),
            up: row.get(3)?,
            latency_ms: row.get(4)?,
            certificate: row.get::<_, Option<i64>>(5)?.map(Timestamp),
            detail: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A vault that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vantage {
    /// Its site.
    pub site: SiteId,
    /// Up to which number it has told what it saw.
    pub through: u64,
    /// When it was heard of last.
    pub heard: Timestamp,
    /// What its clock said then.
    pub clock: Option<Timestamp>,
}

const VANTAGE: &str = "SELECT site, through, heard_s, clock_s FROM vantages";

fn vantage_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Vantage> {
    Ok(Vantage {
        site: SiteId::from_bytes(id(row, 0)?),
        through: count(row, 1)?,
        heard: Timestamp(row.get(2)?),
        clock: row.get::<_, Option<i64>>(3)?.map(Timestamp),
    })
}

/// The vaults that look, or looked.
pub fn vantages(db: &Connection) -> Result<Vec<Vantage>, DbError> {
    let mut statement = db.prepare_cached(VANTAGE)?;
    Ok(statement.query_map([], vantage_row)?.collect::<Result<_, _>>()?)
}

/// The vault of a site, if it ever looked.
pub fn vantage(db: &Connection, site: &SiteId) -> Result<Option<Vantage>, DbError> {
    let mut statement = db.prepare_cached(&format!("{VANTAGE} WHERE site = ?"))?;
    Ok(statement.query_row([site.as_bytes()], vantage_row).optional()?)
}

/// Writes how far a vault has told, and that it was heard.
pub fn put_vantage(db: &Connection, vantage: &Vantage) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO vantages (site, through, heard_s, clock_s) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (site) DO UPDATE SET through = ?2, heard_s = ?3, clock_s = coalesce(?4, clock_s)",
    )?
    .execute(params![
        vantage.site.as_bytes(),
        super::signed(vantage.through),
        vantage.heard.0,
        vantage.clock.map(|clock| clock.0),
    ])?;
    Ok(())
}

/// Forgets runs that ended before `before`: the figures of their days stay.
pub fn forget(db: &Connection, before: Timestamp) -> Result<usize, DbError> {
    Ok(db.prepare_cached("DELETE FROM sight_runs WHERE last_s < ?")?.execute([before.0])?)
}
