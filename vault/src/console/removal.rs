//! What the console does that needs neither sources nor network: inventories, retention, sweep, holds, orders.

use std::sync::Arc;

use lumbung_model::retention::{Interval, Reason};
use lumbung_model::{ManifestId, RepositoryId};
use lumbung_pack::Kind;
use tokio_util::sync::CancellationToken;

use super::{Command, Line};
use crate::inventory::Occasion;
use crate::repository::Repository;
use crate::retention::subject_text;
use crate::{Vault, VaultError};

pub(super) fn perform(
    command: Command,
    vault: &Vault,
    stop: &CancellationToken,
) -> Result<Vec<Line>, VaultError> {
    let each = |only: Option<RepositoryId>,
                line: &dyn Fn(&Repository) -> Result<Line, VaultError>| {
        chosen(vault, only)?.iter().map(|repository| line(repository)).collect()
    };
    match command {
        Command::Retain { repository, dry_run } => each(repository, &|repository| {
            let done = vault.retain(repository, dry_run)?;
            Ok(Line::Retain {
                repository: repository.id(),
                placed: done.placed,
                waiting: done.waiting,
                expired: done.expired,
            })
        }),
        Command::Sweep { repository, dry_run } => each(repository, &|repository| {
            let swept = vault.sweep(repository, dry_run, &|| !stop.is_cancelled())?;
            Ok(Line::Sweep { repository: repository.id(), swept })
        }),
        Command::Why { snapshot } => why(vault, &snapshot),
        Command::Hold { repository, subject, by, reason } => {
            let repository = vault.repository(&repository)?;
            let subject = subject_text::parse(&subject)
                .map_err(|reason| VaultError::Refused { kind: Kind::Hold, reason })?;
            let placed = vault.place_hold(&repository, subject, false, (&by, &reason))?;
            let hold = vault.hold(&repository, &placed)?;
            Ok(vec![Line::Hold { repository: repository.id(), hold }])
        }
        Command::Holds { repository } => {
            let mut lines = Vec::new();
            for repository in chosen(vault, repository)? {
                let holds = vault.holds(&repository)?;
                lines.extend(
                    holds.into_iter().map(|hold| Line::Hold { repository: repository.id(), hold }),
                );
            }
            Ok(lines)
        }
        Command::CarryOut { text, dry_run } => {
            Ok(vec![Line::Order(vault.carry_out(&text, dry_run)?)])
        }
        Command::Refill { repository, snapshot, dry_run } => {
            let repository = vault.repository(&repository)?;
            let snapshots = vault.refill(&repository, snapshot.as_ref(), dry_run)?;
            Ok(vec![Line::Refill { repository: repository.id(), snapshots }])
        }
        Command::Inventory
        | Command::Scrub { .. }
        | Command::Pull
        | Command::ImportMedia { .. } => each(None, &|repository| {
            let inventory = vault.make_inventory(repository, Occasion::Demand)?;
            Ok(Line::Inventory { repository: repository.id(), inventory })
        }),
    }
}

fn chosen(vault: &Vault, only: Option<RepositoryId>) -> Result<Vec<Arc<Repository>>, VaultError> {
    only.map_or_else(|| Ok(vault.repositories()), |id| Ok(vec![vault.repository(&id)?]))
}

/// Why a snapshot stays, or when and why it went.
fn why(vault: &Vault, snapshot: &ManifestId) -> Result<Vec<Line>, VaultError> {
    let mut lines = Vec::new();
    for repository in vault.repositories() {
        let decided = vault.plan_retention(&repository)?;
        if let Some(one) = decided.iter().find(|one| one.candidate.manifest == *snapshot) {
            let mut reasons: Vec<String> = one.verdict.reasons.iter().map(in_words).collect();
            if one.verdict.expires() {
                reasons.push("nothing keeps it: it goes at the next retention".to_owned());
            }
            lines.push(Line::Why { repository: repository.id(), reasons });
        }
        if let Some(reason) = vault.why_gone(&repository, snapshot)? {
            lines.push(Line::Why { repository: repository.id(), reasons: vec![reason] });
        }
    }
    if lines.is_empty() {
        return Err(VaultError::Inconsistent(format!(
            "snapshot {snapshot} is not at this site and never was: `lumbung snapshots` lists those that are"
        )));
    }
    Ok(lines)
}

fn in_words(reason: &Reason) -> String {
    match reason {
        Reason::NoPolicy => "no `retention` is configured for it: everything stays".to_owned(),
        Reason::Newest => "it is the newest complete snapshot of its dataset".to_owned(),
        Reason::Last(nth) => format!("it is number {nth} of the last that arrived"),
        Reason::Slot(interval, name) => {
            let interval = match interval {
                Interval::Hour => "hour",
                Interval::Day => "day",
                Interval::Week => "week",
                Interval::Month => "month",
                Interval::Year => "year",
            };
            format!("it was the first to arrive in the {interval} {name}")
        }
        Reason::Partial => "it protects a run that has not ended".to_owned(),
        Reason::Held(hold) => format!("hold {hold}"),
        Reason::Leased => "a session under way builds on it".to_owned(),
        Reason::Locked(left_s) => format!("its lock runs {} more", span(*left_s)),
        Reason::Promised(until) => format!("its receipt promises to keep it until {until}"),
        Reason::Displaced(left_s) => {
            format!("it has lost its place and stays {} more", span(*left_s))
        }
    }
}

/// A span of time for people, rounded up to hours.
fn span(seconds: u64) -> String {
    let hours = seconds.div_ceil(3600);
    if hours < 48 { format!("{hours} h") } else { format!("{} d", hours.div_ceil(24)) }
}
