//! What the controller delivers, judged and kept, and what is told of it. Blocking.

use std::collections::HashSet;

use lumbung_engine::load_rosters;
use lumbung_model::{DatasetId, PublicKey, RepositoryId, Timestamp, with_causes};
use lumbung_pack::Statistics;
use lumbung_wire::messages::policy::{Narrowing, PolicyDelivery};
use lumbung_wire::messages::{Outcome, Report, ReportId, ReportKind};

use super::{Asked, KeptError, Ledger, Refusal, Verdict, Whose, judge};
use crate::state::StateDir;

/// Datasets for which one policy raises alarms of their own, at most.
const ALARMS_MAX: usize = 20;
/// Longest message of an alarm.
const MESSAGE_MAX_CHARS: usize = 2000;

/// What came of a policy.
#[derive(Debug, Default)]
pub struct Received {
    /// Whether what is kept has changed.
    pub changed: bool,
    /// What the controller is to be told.
    pub alarms: Vec<Report>,
}

/// Judges what came, and keeps what comes of it.
///
/// # Errors
/// If what is kept cannot be read or written.
pub fn receive(
    state: &StateDir,
    (whose, repository): (Whose, RepositoryId),
    delivery: &PolicyDelivery,
    own: &HashSet<DatasetId>,
    now: Timestamp,
) -> Result<Received, KeptError> {
    let rosters = match load_rosters(&state.engine(), repository) {
        Ok(rosters) => rosters,
        Err(error) => {
            // Without rosters nobody confirms from afar; everything else goes on.
            tracing::error!("the rosters cannot be read: {}", with_causes(&error));
            None
        }
    };
    let is_root_key =
        |key: &PublicKey| rosters.as_ref().is_some_and(|chain| chain.is_root_key(key));
    Ledger::change(state, whose.agent, |ledger| {
        let asked = Asked { whose, own, is_root_key: &is_root_key, now };
        let verdict = judge(ledger, delivery, &asked);
        Ok(keep(ledger, verdict, now))
    })
}

pub(super) fn keep(ledger: &mut Ledger, verdict: Verdict, now: Timestamp) -> Received {
    match verdict {
        Verdict::Known => Received::default(),
        Verdict::Take(opened) => {
            if ledger.key.is_none() {
                tracing::warn!(
                    "policies are signed with key {}: from now on no other is believed (the Dinas can tell whether it is \
                     the right one)",
                    opened.signed.signer
                );
                ledger.key = Some(opened.signed.signer);
            }
            let (version, jobs) = (opened.mark.version, opened.policy.content.jobs.len());
            tracing::info!("policy {version} is taken: {jobs} datasets");
            (ledger.accepted, ledger.pending, ledger.refused) = (Some(*opened), None, None);
            Received { changed: true, alarms: Vec::new() }
        }
        Verdict::Wait(opened, narrowings) => {
            let version = opened.mark.version;
            tracing::warn!(
                "policy {version} asks for less and waits; the old one goes on: look at it (`lumbung-agent policy diff`)"
            );
            let alarms = waiting(version, &narrowings, now);
            (ledger.pending, ledger.refused) = (Some(*opened), None);
            Received { changed: true, alarms }
        }
        Verdict::Refuse(refusal) if ledger.refused.as_ref() == Some(&refusal) => {
            Received::default()
        }
        Verdict::Refuse(refusal) => {
            tracing::error!("a policy is not taken: {}", refusal.reason);
            let alarms = refused(ledger, &refusal, now);
            ledger.refused = Some(refusal);
            Received { changed: true, alarms }
        }
    }
}

fn waiting(version: u64, narrowings: &[Narrowing], now: Timestamp) -> Vec<Report> {
    let mut datasets: Vec<DatasetId> = narrowings.iter().filter_map(Narrowing::dataset).collect();
    datasets.dedup();
    let of = |dataset: &DatasetId| {
        let its = narrowings.iter().filter(|one| one.dataset().is_none_or(|own| own == *dataset));
        let its: Vec<String> = its.map(ToString::to_string).collect();
        let text = format!(
            "policy {version} asks for less and waits to be confirmed (`lumbung-agent policy confirm {version}` on the \
             server, or `lumbung policy confirm`): {}",
            its.join("; ")
        );
        alarm(*dataset, text, now)
    };
    datasets.iter().take(ALARMS_MAX).map(of).collect()
}

/// A refusal is told under a dataset of the policy that stays; without any, the heartbeat tells it.
fn refused(ledger: &Ledger, refusal: &Refusal, now: Timestamp) -> Vec<Report> {
    let jobs = ledger.accepted.iter().flat_map(|one| &one.policy.content.jobs);
    let text = format!("a policy was refused: {}", refusal.reason);
    jobs.take(1).map(|job| alarm(job.dataset, text.clone(), now)).collect()
}

fn alarm(dataset: DatasetId, message: String, now: Timestamp) -> Report {
    Report {
        id: ReportId::random(),
        kind: ReportKind::Alarm,
        at: now,
        dataset,
        manifest: None,
        outcome: Outcome::Warnings,
        statistics: Statistics::default(),
        message: message.chars().take(MESSAGE_MAX_CHARS).collect(),
        cause: None,
        changes: None,
    }
}
