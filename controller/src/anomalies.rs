//! Anomalies: the figures of reports judged as they come, the alarm, and what people say of it.
//!
//! Invariants: figures are an agent's word, checked before they are looked at; they count only for a dataset of the agent's own
//! PD, and change nothing but anomalies. An alarm stands while its anomaly is open or confirmed. Names of folders are kept with an
//! anomaly and nowhere else. Snapshots are held by a reconciler ([`keeper`]).

pub mod keeper;

#[cfg(test)]
mod tests;

use lumbung_model::anomaly::{self, Run, RunFigures, Verdict};
use lumbung_model::{AgentId, AnomalyId, Timestamp};
use lumbung_wire::messages::anomaly::{Anomaly, AnomalyHold, AnomalyState};
use lumbung_wire::messages::{Report, ReportKind};
use rusqlite::Connection;

use crate::act::Act;
use crate::db::alarms::{self, Finding};
use crate::db::{DbError, anomalies as rows};
use crate::register::text::sentence;
use crate::report::Language;

/// The kind of its alarms.
pub const ALARM: &str = "anomaly";

/// Why nothing is said of an anomaly.
#[derive(Debug, thiserror::Error)]
pub enum AnomalyError {
    /// No such anomaly.
    #[error("there is no such anomaly: `GET /api/v1/anomalies` lists them")]
    Unknown,
    /// No reason.
    #[error("reason: write a sentence, up to 1000 characters")]
    Reason,
    /// It is settled.
    #[error("this anomaly is {0}, and stays so; the next suspicious run begins a new one")]
    Settled(AnomalyState),
    /// What is no attack is not closed.
    #[error("this anomaly is open: confirm it as an attack, or dismiss it as harmless")]
    Open,
    /// The database failed.
    #[error("anomalies could not be read or written")]
    Db(#[from] DbError),
}

/// A report is at most so late, seconds: 30 days.
const OLDEST_S: i64 = 30 * 86_400;

/// Judges the figures of a report, if it has any and they are believed; whether they are suspicious.
///
/// # Errors
/// If the database fails.
pub fn take_in(
    db: &Connection,
    now: Timestamp,
    agent: &AgentId,
    report: &Report,
) -> Result<bool, DbError> {
    let Some(figures) = believed(report) else { return Ok(false) };
    if rows::own_dataset(db, agent, &report.dataset)?.is_none() {
        return Ok(false);
    }
    // A clock that is ahead would put every later run before this one; one date from long ago would leave no snapshot from
    // before it to be held.
    let at = report.at.min(now).max(now.plus_seconds(-OLDEST_S));
    if !rows::put_figures(db, at, report, figures)? {
        return Ok(false);
    }
    let history = rows::history(db, &report.dataset, at, anomaly::HISTORY_MAX)?;
    let run = Run { at, figures: figures.clone(), cleared: false };
    let Verdict::Suspicious(suspicion) = anomaly::judge(&history, &run) else { return Ok(false) };
    let id = rows::note_suspicion(db, (agent, report), at, &suspicion, figures)?;
    if let Some(found) = rows::anomaly(db, &id)? {
        tracing::warn!(dataset = %found.dataset, score_pct = found.score_pct, "a suspicious run");
        settle_alarm(db, now, &found)?;
    }
    Ok(true)
}

/// The figures of a backup, if they can be right. Those that cannot are no reason to refuse the report.
fn believed(report: &Report) -> Option<&RunFigures> {
    let figures = report.changes.as_ref().filter(|_| report.kind == ReportKind::Backup)?;
    match figures.check() {
        Ok(()) => Some(figures),
        Err(error) => {
            tracing::warn!(dataset = %report.dataset, %error, "figures of a run are not believed");
            None
        }
    }
}

/// Makes the alarm of an anomaly be what it is now.
pub(crate) fn settle_alarm(
    db: &Connection,
    now: Timestamp,
    anomaly: &Anomaly,
) -> Result<(), DbError> {
    let subject = anomaly.dataset.to_string();
    let stands = matches!(anomaly.state, AnomalyState::Open | AnomalyState::Confirmed);
    let finding = stands.then(|| Finding {
        subject: subject.clone(),
        pd: Some(anomaly.pd),
        site: None,
        service: None,
        detail: detail(anomaly),
    });
    alarms::settle(db, now, ALARM, &subject, finding.as_ref())
}

/// What is suspicious, in words.
#[must_use]
pub fn words(anomaly: &Anomaly, language: Language) -> Vec<String> {
    let reasons = anomaly.reasons.iter();
    reasons.map(|reason| language.choose(reason.indonesian(), reason.english())).collect()
}

/// Longest path of a folder in the alarm's text, characters.
const FOLDER_MAX_CHARS: usize = 60;

/// The alarm's text: what and where, what is held, what to do, and why last, since messages are cut at their end.
fn detail(anomaly: &Anomaly) -> String {
    let mut parts = Vec::new();
    if !anomaly.folders.is_empty() {
        let folders = anomaly.folders.iter().map(|folder| {
            let path: String = folder.path.chars().take(FOLDER_MAX_CHARS).collect();
            format!("{path} ({} changed, {} gone)", folder.changed_files, folder.removed_files)
        });
        parts.push(format!(
            "folders according to the agent: {}",
            folders.collect::<Vec<_>>().join(", ")
        ));
    }
    parts.push(held(anomaly));
    parts.push(match anomaly.state {
        AnomalyState::Confirmed => "confirmed as an attack: close it once it is dealt with".to_owned(),
        _ => format!(
            "look at the server at once; then confirm it, or dismiss it as harmless: /api/v1/anomalies/{}",
            anomaly.id
        ),
    });
    parts.push(words(anomaly, Language::English).join("; "));
    if !anomaly.new_extension.is_empty() {
        parts.push(format!("most renamed files became .{}", anomaly.new_extension));
    }
    format!("{}: {}", anomaly.dataset_name, parts.join(". "))
}

/// Where the holds stand, site by site.
fn held(anomaly: &Anomaly) -> String {
    if anomaly.holds.is_empty() {
        return format!(
            "no snapshot from before {} is known yet that a site could hold",
            anomaly.since
        );
    }
    let each = anomaly.holds.iter().map(|hold: &AnomalyHold| match (&hold.placed, &hold.error) {
        (Some(_), Some(error)) => format!(
            "{} holds the snapshot of {}, and could not be asked again: {error}",
            hold.site_name, hold.finished
        ),
        (Some(_), None) => format!("{} holds the snapshot of {}", hold.site_name, hold.finished),
        (None, Some(error)) => format!(
            "{} does not hold the snapshot of {} yet: {error}",
            hold.site_name, hold.finished
        ),
        (None, None) => {
            format!("{} is being asked to hold the snapshot of {}", hold.site_name, hold.finished)
        }
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Writes down what a person says an anomaly is.
///
/// # Errors
/// If it is not there or settled already, or no reason is given.
pub fn decide(
    db: &Connection,
    act: &Act,
    id: &AnomalyId,
    state: AnomalyState,
    reason: &str,
) -> Result<Anomaly, AnomalyError> {
    let found = rows::anomaly(db, id)?.ok_or(AnomalyError::Unknown)?;
    match (found.state, state) {
        (AnomalyState::Open, AnomalyState::Dismissed | AnomalyState::Confirmed)
        | (AnomalyState::Confirmed, AnomalyState::Dismissed | AnomalyState::Closed) => {}
        (AnomalyState::Open, _) => return Err(AnomalyError::Open),
        (settled, _) => return Err(AnomalyError::Settled(settled)),
    }
    let reason = sentence(reason).ok_or(AnomalyError::Reason)?;
    rows::decide(db, act, &found, state, reason)?;
    let decided = rows::anomaly(db, id)?.ok_or(AnomalyError::Unknown)?;
    settle_alarm(db, act.now, &decided)?;
    Ok(decided)
}
