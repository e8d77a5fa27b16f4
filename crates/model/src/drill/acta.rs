//! The *berita acara* of a run as data: who, what, when, how fast, and what came of it. Text is `text`'s.
//!
//! Invariants: it is a function of the journal, the revision that was run, and what the register calls things; a run that
//! failed, was broken off or is not over has one too; what is not known is absent, and said to be.

mod text;
mod words;

use serde::{Deserialize, Serialize};

use super::event::{DrillEvent, FailbackWhy, IntegrityKind, RecoveryPoint};
use super::plan::{DrillKind, OnFailure, Participant, Targets};
use super::run::{DrillMode, Run, StepProgress, UndoProgress};
use super::verdict::{DrillFigures, Ground, Verdict, between};
use super::word::{PartKey, StepId};
use crate::{Day, DocumentHash, DrillPlanId, DrillRunId, Timestamp};

/// What the journal does not know: what things are called, and what people add.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActaGiven {
    /// The number of the *berita acara*; empty: none was given yet.
    pub number: String,
    /// The city, as in `Kota Medan`.
    pub city: String,
    /// What the city calls its Dinas.
    pub dinas: String,
    /// The city's time zone, as in `Asia/Jakarta`.
    pub time_zone: String,
    /// The name of the site that is isolated; empty if none is.
    pub isolates: String,
    /// The name of the server that carried it out; empty if none did.
    pub runner: String,
    /// What the datasets of the plan are called.
    pub datasets: Vec<DatasetNames>,
    /// What the services of the plan are called.
    pub services: Vec<ServiceNames>,
    /// What is to be put right, by whom and until when.
    pub corrections: Vec<Correction>,
    /// Who signs; absent ones leave a line to write on.
    pub signatories: Vec<Signatory>,
}

/// What a dataset is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetNames {
    /// Its key in the plan.
    pub key: PartKey,
    /// Its name.
    pub name: String,
    /// The code of the PD that owns it.
    pub pd: String,
}

/// What a service is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNames {
    /// Its key in the plan.
    pub key: PartKey,
    /// Its name.
    pub name: String,
    /// The code of its PD.
    pub pd: String,
    /// The server that takes over; empty: none is registered.
    pub standby: String,
}

/// Something that is to be put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// What was amiss, and what is to be done.
    pub what: String,
    /// Who sees to it.
    pub by: String,
    /// Until when.
    pub until: Day,
}

/// Somebody who signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Signatory {
    /// As what: the Dinas, the PD, a witness.
    pub role: String,
    /// Name, with title.
    pub name: String,
    /// NIP; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nip: String,
}

/// The plan that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaPlan {
    /// Its id.
    pub id: DrillPlanId,
    /// Its revision.
    pub revision: u64,
    /// SHA-256 of what of that revision is carried out.
    pub sha256: DocumentHash,
    /// What it is called.
    pub title: String,
    /// What it is for.
    pub kind: DrillKind,
}

/// A dataset of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaDataset {
    /// Its key in the plan.
    pub key: PartKey,
    /// Its name.
    pub name: String,
    /// The code of the PD that owns it.
    pub pd: String,
    /// The number of the owner's approval; empty: none was named.
    pub approval: String,
    /// What it was restored from; absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPoint>,
    /// How old that was at the outage, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}

/// A service of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaService {
    /// Its key in the plan.
    pub key: PartKey,
    /// Its name.
    pub name: String,
    /// The code of its PD.
    pub pd: String,
    /// The server that takes over; empty: none is registered.
    pub standby: String,
}

/// A comparison, and the step that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaIntegrity {
    /// The step.
    pub step: StepId,
    /// What was compared.
    pub kind: IntegrityKind,
    /// Of what.
    pub subject: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether it is as it should be.
    pub good: bool,
}

/// A step of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaStep {
    /// Its id.
    pub id: StepId,
    /// What was to be done.
    pub title: String,
    /// How far it came.
    pub progress: StepProgress,
    /// What becomes of the run when it fails.
    pub on_failure: OnFailure,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was begun first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How long that took, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_s: Option<u64>,
    /// How long it might take, seconds.
    pub limit_s: u32,
    /// Who confirmed it, or had it left out.
    pub by: String,
    /// Why it failed, or what was said.
    pub note: String,
}

/// A step that was put back, or has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaUndo {
    /// The step.
    pub step: StepId,
    /// How far that came.
    pub progress: UndoProgress,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was begun first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Why the hook could not, or what somebody did.
    pub note: String,
}

/// How the run was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaFailback {
    /// When that began; absent: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<FailbackWhy>,
    /// Who asked for it.
    pub by: String,
    /// What was put back, in that order.
    pub undone: Vec<ActaUndo>,
    /// When nothing was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleaned: Option<Timestamp>,
    /// When both sites were compared; absent: they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Timestamp>,
    /// Snapshots that both sites have then.
    pub both: u64,
    /// Snapshots that only one of them has then.
    pub missing: u64,
    /// What there is to say of that.
    pub note: String,
}

/// A stop of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActaInterruption {
    /// When the runner came back.
    pub at: Timestamp,
    /// Why it was gone, as far as it is known.
    pub reason: String,
}

/// The *berita acara* of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acta {
    /// The run.
    pub run: DrillRunId,
    /// Its number; empty: none was given yet.
    pub number: String,
    /// The city.
    pub city: String,
    /// What the city calls its Dinas.
    pub dinas: String,
    /// The zone in which its days and times are read.
    pub time_zone: String,
    /// The plan.
    pub plan: ActaPlan,
    /// How it was run.
    pub mode: DrillMode,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was over; absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Where people met.
    pub place: String,
    /// What has happened, in the story.
    pub scenario: String,
    /// The site that is isolated; empty: none.
    pub isolates: String,
    /// The server that carried it out; empty: none.
    pub runner: String,
    /// The datasets.
    pub datasets: Vec<ActaDataset>,
    /// The services.
    pub services: Vec<ActaService>,
    /// Who took part.
    pub participants: Vec<Participant>,
    /// The steps.
    pub steps: Vec<ActaStep>,
    /// The targets.
    pub targets: Targets,
    /// What was measured.
    pub figures: DrillFigures,
    /// What was compared.
    pub integrity: Vec<ActaIntegrity>,
    /// How it was put back.
    pub failback: ActaFailback,
    /// Whether and when the runner was cut short.
    pub interruptions: Vec<ActaInterruption>,
    /// What it has shown.
    pub verdict: Verdict,
    /// What speaks against a better verdict.
    pub grounds: Vec<Ground>,
    /// What is to be put right.
    pub corrections: Vec<Correction>,
    /// Who signs.
    pub signatories: Vec<Signatory>,
    /// The journal.
    pub log: Vec<DrillEvent>,
}

impl Acta {
    /// The *berita acara* of a run whose events are `log`.
    #[must_use]
    pub fn of(
        run: &Run<'_>,
        log: Vec<DrillEvent>,
        (id, plan, revision, sha256): (DrillRunId, DrillPlanId, u64, DocumentHash),
        given: ActaGiven,
    ) -> Self {
        let written = run.plan;
        let figures = run.figures();
        let (verdict, grounds) = run.verdict();
        Self {
            run: id,
            number: given.number,
            city: given.city,
            dinas: given.dinas,
            time_zone: given.time_zone,
            plan: ActaPlan {
                id: plan,
                revision,
                sha256,
                title: written.title.clone(),
                kind: written.kind,
            },
            mode: run.mode,
            started: run.started,
            ended: run.finished,
            place: written.place.clone(),
            scenario: written.scenario.clone(),
            isolates: given.isolates,
            runner: given.runner,
            datasets: datasets(run, &figures, &given.datasets),
            services: services(run, &given.services),
            participants: written.participants.clone(),
            steps: steps(run),
            targets: written.targets.clone(),
            figures,
            integrity: integrity(run),
            failback: failback(run),
            interruptions: run
                .interruptions
                .iter()
                .map(|(at, reason)| ActaInterruption { at: *at, reason: reason.clone() })
                .collect(),
            verdict,
            grounds,
            corrections: given.corrections,
            signatories: given.signatories,
            log,
        }
    }
}

fn datasets(run: &Run<'_>, figures: &DrillFigures, names: &[DatasetNames]) -> Vec<ActaDataset> {
    let point = |key: &PartKey| {
        let (step, _) = run.steps().find(|(step, run)| {
            let is_it = matches!(&step.action, super::DrillAction::Restore { dataset, .. } if dataset == key);
            is_it && run.progress == StepProgress::Done
        })?;
        run.steps[run.plan.position(&step.id)?].outcome.recovery_point.clone()
    };
    let of = |one: &super::DatasetPart| {
        let named = names.iter().find(|names| names.key == one.key);
        ActaDataset {
            key: one.key.clone(),
            name: named.map_or_else(|| one.dataset.short(), |names| names.name.clone()),
            pd: named.map(|names| names.pd.clone()).unwrap_or_default(),
            approval: one.approval.clone(),
            recovery_point: point(&one.key),
            age_s: figures.datasets.iter().find(|age| age.dataset == one.key).and_then(|a| a.age_s),
        }
    };
    run.plan.datasets.iter().map(of).collect()
}

fn services(run: &Run<'_>, names: &[ServiceNames]) -> Vec<ActaService> {
    let of = |one: &super::ServicePart| {
        let named = names.iter().find(|names| names.key == one.key);
        ActaService {
            key: one.key.clone(),
            name: named.map_or_else(|| one.service.short(), |names| names.name.clone()),
            pd: named.map(|names| names.pd.clone()).unwrap_or_default(),
            standby: named.map(|names| names.standby.clone()).unwrap_or_default(),
        }
    };
    run.plan.services.iter().map(of).collect()
}

fn steps(run: &Run<'_>) -> Vec<ActaStep> {
    let of = |(step, run): (&super::DrillStep, &super::StepRun)| ActaStep {
        id: step.id.clone(),
        title: step.title.clone(),
        progress: run.progress,
        on_failure: step.on_failure,
        attempts: run.attempts,
        started: run.started,
        ended: run.ended,
        lasted_s: run.started.zip(run.ended).map(|(from, until)| between(from, until)),
        limit_s: step.limit.as_seconds(),
        by: run.by.clone(),
        note: if run.note.is_empty() { run.outcome.note.clone() } else { run.note.clone() },
    };
    run.steps().map(of).collect()
}

fn integrity(run: &Run<'_>) -> Vec<ActaIntegrity> {
    let mut all = Vec::new();
    for (step, run) in run.steps() {
        all.extend(run.outcome.integrity.iter().map(|one| ActaIntegrity {
            step: step.id.clone(),
            kind: one.kind,
            subject: one.subject.clone(),
            expected: one.expected.clone(),
            found: one.found.clone(),
            good: one.good,
        }));
    }
    all
}

fn failback(run: &Run<'_>) -> ActaFailback {
    let undone =
        run.begun.iter().rev().filter(|index| run.steps[**index].undo != UndoProgress::None);
    let undone = undone.map(|index| {
        let (step, run) = (&run.plan.steps[*index], &run.steps[*index]);
        ActaUndo {
            step: step.id.clone(),
            progress: run.undo,
            attempts: run.undo_attempts,
            started: run.undo_started,
            ended: run.undo_ended,
            note: run.undo_note.clone(),
        }
    });
    let compared = run.reconciled.as_ref();
    ActaFailback {
        began: run.failback.as_ref().map(|(at, ..)| *at),
        why: run.failback.as_ref().map(|(_, why, _)| *why),
        by: run.failback.as_ref().map(|(.., by)| by.clone()).unwrap_or_default(),
        undone: undone.collect(),
        cleaned: run.cleaned,
        reconciled: compared.map(|one| one.at),
        both: compared.map_or(0, |one| one.both),
        missing: compared.map_or(0, |one| one.missing),
        note: compared.map(|one| one.note.clone()).unwrap_or_default(),
    }
}
