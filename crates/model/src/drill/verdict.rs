//! What a run has shown: RTO and RPO against their targets, and the verdict with its grounds.
//!
//! The rules of the verdict. *Gagal*: it was not carried through (a step failed that the plan does not go on without, or it was
//! broken off), or a service was never found good, or a dataset was not restored. *Sebagian*: all of it came up, but a target
//! was missed, a step failed or was left out, a step had to be put back by hand, or the sites differ afterwards.
//! *Berhasil*: none of these. A tabletop measures nothing: it has succeeded if every step was confirmed.
//!
//! Invariants: figures rest on events alone; what was not reached has no figure, never a zero.

use serde::{Deserialize, Serialize};

use super::event::FailbackWhy;
use super::plan::{DrillAction, DrillStep};
use super::run::{DrillMode, Run, StepProgress, StepRun, UndoProgress};
use super::word::{Language, PartKey, StepId, spelled};
use crate::Timestamp;

spelled! {
    /// What a run has shown.
    Verdict {
        /// It came up, in time, and everything went back.
        Succeeded = "succeeded", "berhasil", "succeeded";
        /// It came up, with something amiss.
        Partly = "partly", "sebagian", "partly";
        /// It did not come up.
        Failed = "failed", "gagal", "failed";
    }
}

/// Why a verdict is not the best one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "ground", rename_all = "snake_case")]
pub enum Ground {
    /// A step failed that the plan does not go on without.
    Stopped {
        /// The step.
        step: StepId,
    },
    /// It was broken off before it was through.
    BrokenOff {
        /// By whom; empty: it is not over yet.
        by: String,
    },
    /// A service was never found good.
    ServiceDown {
        /// Its key.
        service: PartKey,
    },
    /// A dataset was not restored.
    NotRestored {
        /// Its key.
        dataset: PartKey,
    },
    /// It took too long.
    RtoMissed {
        /// How long, seconds.
        actual_s: u64,
        /// How long it may take, seconds.
        target_s: u64,
    },
    /// Too much was lost.
    RpoMissed {
        /// Its key.
        dataset: PartKey,
        /// How old the recovery point was, seconds.
        actual_s: u64,
        /// How old it may be, seconds.
        target_s: u64,
    },
    /// A step failed that the plan goes on without.
    StepFailed {
        /// The step.
        step: StepId,
    },
    /// A step was left out.
    StepSkipped {
        /// The step.
        step: StepId,
    },
    /// A step was put back by hand, or not yet.
    NotPutBack {
        /// The step.
        step: StepId,
    },
    /// What the sites have could not be compared.
    NotCompared {
        /// Why.
        why: String,
    },
    /// The sites differ afterwards.
    SitesDiffer {
        /// Snapshots that only one of them has.
        missing: u64,
    },
}

impl Ground {
    /// The verdict that it allows at best.
    #[must_use]
    pub const fn allows(&self) -> Verdict {
        match self {
            Self::Stopped { .. }
            | Self::BrokenOff { .. }
            | Self::ServiceDown { .. }
            | Self::NotRestored { .. } => Verdict::Failed,
            Self::RtoMissed { .. }
            | Self::RpoMissed { .. }
            | Self::StepFailed { .. }
            | Self::StepSkipped { .. }
            | Self::NotPutBack { .. }
            | Self::NotCompared { .. }
            | Self::SitesDiffer { .. } => Verdict::Partly,
        }
    }

    /// In words.
    #[must_use]
    pub fn words(&self, language: Language) -> String {
        let id = language == Language::Indonesian;
        let times = |actual: &u64, target: &u64| {
            format!("{}, target {}", lasted(*actual, language), lasted(*target, language))
        };
        match self {
            Self::Stopped { step } if id => format!("langkah {step} gagal dan menghentikan uji"),
            Self::Stopped { step } => format!("step {step} failed and stopped the run"),
            Self::BrokenOff { by } if by.is_empty() => {
                language.of("belum selesai", "it is not over").to_owned()
            }
            Self::BrokenOff { by } if id => format!("dihentikan sebelum selesai oleh {by}"),
            Self::BrokenOff { by } => format!("broken off by {by} before it was through"),
            Self::ServiceDown { service } if id => format!("layanan {service} tidak pulih"),
            Self::ServiceDown { service } => format!("service {service} did not come up"),
            Self::NotRestored { dataset } if id => format!("dataset {dataset} tidak dipulihkan"),
            Self::NotRestored { dataset } => format!("dataset {dataset} was not restored"),
            Self::RtoMissed { actual_s, target_s } if id => {
                format!("RTO tidak tercapai: {}", times(actual_s, target_s))
            }
            Self::RtoMissed { actual_s, target_s } => {
                format!("the RTO was missed: {}", times(actual_s, target_s))
            }
            Self::RpoMissed { dataset, actual_s, target_s } if id => {
                format!("RPO {dataset} tidak tercapai: {}", times(actual_s, target_s))
            }
            Self::RpoMissed { dataset, actual_s, target_s } => {
                format!("the RPO of {dataset} was missed: {}", times(actual_s, target_s))
            }
            Self::StepFailed { step } if id => format!("langkah {step} gagal"),
            Self::StepFailed { step } => format!("step {step} failed"),
            Self::StepSkipped { step } if id => format!("langkah {step} dilewati"),
            Self::StepSkipped { step } => format!("step {step} was left out"),
            Self::NotPutBack { step } if id => {
                format!("langkah {step} tidak dikembalikan secara otomatis")
            }
            Self::NotPutBack { step } => format!("step {step} was not put back by itself"),
            Self::NotCompared { why } if id => {
                format!("isi kedua lokasi tidak dapat dibandingkan: {why}")
            }
            Self::NotCompared { why } => format!("the sites could not be compared: {why}"),
            Self::SitesDiffer { missing } if id => {
                format!("{missing} cadangan hanya ada di satu lokasi sesudah rekonsiliasi")
            }
            Self::SitesDiffer { missing } => {
                format!("{missing} snapshots are at one site only after the reconciliation")
            }
        }
    }
}

/// A length of time in its units, as in `1 jam 5 menit`.
#[must_use]
pub fn lasted(seconds: u64, language: Language) -> String {
    let units = match language {
        Language::Indonesian => [("hari", 86_400), ("jam", 3600), ("menit", 60), ("detik", 1)],
        Language::English => [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)],
    };
    let mut left = seconds;
    let mut parts = Vec::new();
    for (name, unit) in units {
        if left >= unit {
            parts.push(format!("{} {name}", left / unit));
            left %= unit;
        }
    }
    if parts.is_empty() { format!("0 {}", units[3].0) } else { parts.join(" ") }
}

/// The recovery point of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatasetRpo {
    /// Its key.
    pub dataset: PartKey,
    /// How old the recovery point was at the outage, seconds; absent: it was not restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}

/// What a run measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrillFigures {
    /// When the outage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<Timestamp>,
    /// From then until the last service was found good, seconds; absent: not all of them were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_s: Option<u64>,
    /// The oldest recovery point, seconds; absent: not all datasets were restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_s: Option<u64>,
    /// By dataset.
    #[serde(default)]
    pub datasets: Vec<DatasetRpo>,
    /// From the first thing that was put back until nothing was left, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failback_s: Option<u64>,
}

/// Seconds from one moment to a later one.
#[must_use]
pub(super) fn between(from: Timestamp, until: Timestamp) -> u64 {
    u64::try_from(until.seconds_since(from)).unwrap_or(0)
}

impl Run<'_> {
    /// When the outage began: as it was declared, or when the drill began to cut the site off, or when the run began.
    #[must_use]
    pub fn outage(&self) -> Option<Timestamp> {
        let isolates =
            |(step, _): &(&DrillStep, &StepRun)| matches!(step.action, DrillAction::Isolate { .. });
        let cut = self.steps().find(isolates).and_then(|(_, run)| run.started);
        let any_cut = self.plan.steps.iter().any(|step| {
            self.mode == DrillMode::Drill && matches!(step.action, DrillAction::Isolate { .. })
        });
        self.declared.or(cut).or(if any_cut { None } else { self.started })
    }

    /// What the run measured; nothing of a tabletop.
    #[must_use]
    pub fn figures(&self) -> DrillFigures {
        let outage = self.outage().filter(|_| self.mode != DrillMode::Tabletop);
        let age = |key: &PartKey| Some(between(self.point_of(key)?, outage?));
        let datasets = self.plan.datasets.iter();
        let datasets: Vec<DatasetRpo> = datasets
            .map(|one| DatasetRpo { dataset: one.key.clone(), age_s: age(&one.key) })
            .collect();
        let worst: Option<Vec<u64>> = datasets.iter().map(|one| one.age_s).collect();
        let failback = self.failback.as_ref().zip(self.cleaned);
        DrillFigures {
            outage,
            rto_s: outage.zip(self.up_at()).map(|(outage, up)| between(outage, up)),
            rpo_s: worst.and_then(|ages| ages.into_iter().max()),
            datasets,
            failback_s: failback.map(|((began, ..), cleaned)| between(*began, cleaned)),
        }
    }

    /// The moment of which the restored data is: the oldest, if it was restored more than once.
    fn point_of(&self, key: &PartKey) -> Option<Timestamp> {
        let restored = self.steps().filter(|(step, run)| {
            let is_it =
                matches!(&step.action, DrillAction::Restore { dataset, .. } if dataset == key);
            is_it && run.progress == StepProgress::Done
        });
        restored.filter_map(|(_, run)| Some(run.outcome.recovery_point.as_ref()?.taken)).min()
    }

    /// When a service was found good by the last of its checks; none unless all of them were.
    fn service_up_at(&self, key: &PartKey) -> Option<Timestamp> {
        let checks = self.steps().filter(|(step, _)| {
            matches!(&step.action, DrillAction::Check { service: Some(service), .. } if service == key)
        });
        let good = checks.map(|(_, run)| run.ended.filter(|_| run.progress == StepProgress::Done));
        good.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// When the last service was good; of a plan without services, when the last dataset was restored.
    fn up_at(&self) -> Option<Timestamp> {
        if self.plan.services.is_empty() {
            let restores =
                self.steps().filter(|(step, _)| matches!(step.action, DrillAction::Restore { .. }));
            let done =
                restores.map(|(_, run)| run.ended.filter(|_| run.progress == StepProgress::Done));
            return done.collect::<Option<Vec<_>>>()?.into_iter().max();
        }
        let services = self.plan.services.iter().map(|one| self.service_up_at(&one.key));
        services.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The verdict, and everything that speaks against a better one.
    #[must_use]
    pub fn verdict(&self) -> (Verdict, Vec<Ground>) {
        let mut grounds = self.grounds_of_steps();
        if self.mode != DrillMode::Tabletop {
            grounds.extend(self.grounds_of_figures());
        }
        if let Some(missing) = self.reconciled.as_ref().map(|one| one.missing).filter(|n| *n > 0) {
            grounds.push(Ground::SitesDiffer { missing });
        }
        if let Some(one) = self.reconciled.as_ref().filter(|one| one.is_empty_handed()) {
            grounds.push(Ground::NotCompared { why: one.note.clone() });
        }
        let allowed = grounds.iter().map(Ground::allows).max().unwrap_or(Verdict::Succeeded);
        (allowed, grounds)
    }

    fn grounds_of_steps(&self) -> Vec<Ground> {
        let mut grounds = Vec::new();
        let is_through = self.is_through();
        if !is_through && !self.is_stopped() {
            let by = match &self.failback {
                Some((_, FailbackWhy::Asked, by)) => by.clone(),
                _ => String::new(),
            };
            grounds.push(Ground::BrokenOff { by });
        }
        for (index, (step, run)) in self.steps().enumerate() {
            let step = step.id.clone();
            match run.progress {
                StepProgress::Failed if self.is_over(index) => {
                    grounds.push(Ground::StepFailed { step: step.clone() });
                }
                StepProgress::Failed => grounds.push(Ground::Stopped { step: step.clone() }),
                // What the real outage left out by itself has nobody's name.
                StepProgress::Skipped if !run.by.is_empty() => {
                    grounds.push(Ground::StepSkipped { step: step.clone() });
                }
                _ => {}
            }
            if matches!(run.undo, UndoProgress::ByHand | UndoProgress::GivenUp) {
                grounds.push(Ground::NotPutBack { step });
            }
        }
        grounds
    }

    fn grounds_of_figures(&self) -> Vec<Ground> {
        let mut grounds = Vec::new();
        let figures = self.figures();
        let services = self.plan.services.iter();
        let down = services.filter(|one| self.service_up_at(&one.key).is_none());
        grounds.extend(down.map(|one| Ground::ServiceDown { service: one.key.clone() }));
        let (rto_s, rpo_s) = (
            u64::from(self.plan.targets.rto.as_seconds()),
            u64::from(self.plan.targets.rpo.as_seconds()),
        );
        if let Some(actual_s) = figures.rto_s.filter(|actual| *actual > rto_s) {
            grounds.push(Ground::RtoMissed { actual_s, target_s: rto_s });
        }
        for one in figures.datasets {
            match one.age_s {
                None => grounds.push(Ground::NotRestored { dataset: one.dataset }),
                Some(actual_s) if actual_s > rpo_s => {
                    let (dataset, target_s) = (one.dataset, rpo_s);
                    grounds.push(Ground::RpoMissed { dataset, actual_s, target_s });
                }
                Some(_) => {}
            }
        }
        grounds
    }
}
