//! What stands behind a backup that is missing or late, in words.
//!
//! Invariant: it explains and proves nothing: what an agent says of itself is marked as such, and no step changes by it.

use lumbung_model::compliance::DatasetCompliance;
use lumbung_wire::messages::control::{Outcome, RunCause};
use lumbung_wire::messages::register::{AgentFigures, Dataset, HeartbeatState};
use rusqlite::Connection;

use super::{Language, Names, Terms};
use crate::db::{DbError, facts, signed};

/// The likeliest cause; none: the backup is in order, or nothing is known.
pub(super) fn of(
    db: &Connection,
    terms: &Terms,
    names: &Names,
    dataset: &Dataset,
    standing: &DatasetCompliance,
    figures: Option<&AgentFigures>,
) -> Result<Option<String>, DbError> {
    if standing.backed_up.met {
        return Ok(None);
    }
    if let Some(silent) = silent(terms, names, dataset) {
        return Ok(Some(silent));
    }
    if let Some(told) = figures.and_then(|figures| told(terms.language, figures)) {
        return Ok(Some(told));
    }
    let longest = facts::last_run_s(db, dataset)?;
    let slow = longest.filter(|run_s| *run_s > signed(dataset.rpo_s));
    Ok(slow.map(|run_s| {
        let hours = run_s / 3600;
        terms.language.choose(
            format!("jaringan atau diska kurang dari kebutuhan: pencadangan terakhir berjalan {hours} jam (menurut agen)"),
            format!("link or disk below need: the last backup took {hours} hours (by the agent's word)"),
        )
    }))
}

/// The controller's own observation: the agent is not heard of.
fn silent(terms: &Terms, names: &Names, dataset: &Dataset) -> Option<String> {
    let server = names.servers.get(&dataset.server?)?;
    let since = server.last_seen?;
    let quiet = matches!(server.heartbeat, HeartbeatState::Down | HeartbeatState::Late);
    quiet.then(|| {
        terms
            .language
            .choose(format!("agen diam sejak {since}"), format!("agent silent since {since}"))
    })
}

/// What the agent told of its last run.
fn told(language: Language, figures: &AgentFigures) -> Option<String> {
    if !matches!(figures.outcome, Outcome::Failed | Outcome::Interrupted) {
        return None;
    }
    let words = match figures.cause {
        Some(RunCause::SourceUnreadable) => ("sumber tidak terbaca", "source unreadable"),
        Some(RunCause::SiteFull) => ("diska lokasi penuh", "disk full at the site"),
        Some(RunCause::SiteUnreachable) => ("lokasi tidak terjangkau", "no site can be reached"),
        Some(RunCause::SiteRefused) => ("lokasi menolak", "the site refuses"),
        Some(RunCause::Agent) => ("berkas atau pengaturan agen", "the agent's files or settings"),
        None if figures.outcome == Outcome::Interrupted => ("terputus", "interrupted"),
        None => ("gagal", "failed"),
    };
    let message: String = figures.message.chars().take(200).collect();
    let colon = if message.is_empty() { "" } else { ": " };
    Some(language.choose(
        format!("{}{colon}{message} (menurut agen)", words.0),
        format!("{}{colon}{message} (by the agent's word)", words.1),
    ))
}
