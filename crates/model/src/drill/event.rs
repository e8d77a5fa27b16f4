//! What happens in a run, one event after the other: the journal is all that is known of it.
//!
//! Invariants: one writer, who numbers from 1 without a gap; an event says what has happened and never what shall. Texts in it
//! come from elsewhere and are bounded here, before anything is done with them.

use serde::{Deserialize, Serialize};

use super::faults::{TEXT_MAX_CHARS, is_text};
use super::run::DrillMode;
use super::word::{StepId, spelled};
use crate::{DocumentHash, ManifestId, SiteId, Timestamp};

/// Most comparisons that one step tells of.
pub const INTEGRITY_MAX: usize = 200;

spelled! {
    /// Why nothing more is started, and what was changed is put back.
    FailbackWhy {
        /// Everything is over.
        Completed = "completed", "semua langkah selesai", "all steps are over";
        /// A step failed that the run does not go on without.
        Failed = "failed", "sebuah langkah gagal", "a step failed";
        /// Somebody asked for it.
        Asked = "asked", "atas permintaan", "somebody asked for it";
    }
}

/// One event of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrillEvent {
    /// Its number, from 1.
    pub number: u64,
    /// When, by the clock of whoever wrote it.
    pub at: Timestamp,
    /// What happened.
    pub what: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Happened {
    /// The run began.
    Started {
        /// How it is run.
        mode: DrillMode,
        /// Since when there is an outage, if one was declared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outage: Option<Timestamp>,
    },
    /// A step was begun; in a tabletop it was read out.
    StepStarted {
        /// The step.
        step: StepId,
    },
    /// It came to a good end.
    StepFinished {
        /// The step.
        step: StepId,
        /// What came of it.
        #[serde(default)]
        outcome: StepOutcome,
    },
    /// It failed.
    StepFailed {
        /// The step.
        step: StepId,
        /// Why.
        reason: String,
        /// What came of it.
        #[serde(default)]
        outcome: StepOutcome,
    },
    /// Somebody confirmed it.
    StepConfirmed {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// What they said.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// Somebody had it left out.
    StepSkipped {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// Why.
        note: String,
    },
    /// Somebody had a step that failed begun again: in a real failover alone.
    StepRetried {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
    },
    /// The runner was cut short, and came back: nobody knows how far what was under way had come.
    Interrupted {
        /// Why, as far as it is known.
        reason: String,
    },
    /// From here nothing more is started, and what was changed is put back, last first.
    Failback {
        /// Why.
        why: FailbackWhy,
        /// Who asked for it; in a real failover somebody always does.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
    /// Putting a step back was begun.
    UndoStarted {
        /// The step.
        step: StepId,
    },
    /// It is as it was before the step.
    UndoFinished {
        /// The step.
        step: StepId,
    },
    /// Putting it back failed.
    UndoFailed {
        /// The step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// Somebody put it back by hand, after the hook could not.
    UndoneByHand {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// What was done.
        note: String,
    },
    /// Nothing is left of the run outside the journal.
    Cleaned {},
    /// What was written at both sites meanwhile was compared.
    Reconciled {
        /// Snapshots that both sites have.
        both: u64,
        /// Snapshots that only one of them has.
        missing: u64,
        /// What there is to say.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// The run is over.
    Finished {},
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StepOutcome {
    /// What was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPoint>,
    /// What was compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub integrity: Vec<Integrity>,
    /// What there is to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The snapshot that a dataset was restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoveryPoint {
    /// The snapshot: the hash of its manifest.
    pub snapshot: ManifestId,
    /// The moment of which the data is.
    pub taken: Timestamp,
    /// The site that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// Entries restored.
    pub entries: u64,
    /// Bytes restored.
    pub bytes: u64,
    /// SHA-256 over what was restored, where the runner makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<DocumentHash>,
}

spelled! {
    /// What was compared.
    IntegrityKind {
        /// Hashes of contents.
        Hash = "hash", "hash", "hash";
        /// Numbers of rows.
        Rows = "rows", "jumlah baris", "row count";
        /// The application's own test.
        SmokeTest = "smoke_test", "uji fungsi aplikasi", "smoke test";
        /// Any other.
        Other = "other", "lainnya", "other";
    }
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Integrity {
    /// What was compared.
    pub kind: IntegrityKind,
    /// Of what: a table, a path.
    pub subject: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether it is as it should be.
    pub good: bool,
}

impl Happened {
    /// The step that it is about.
    #[must_use]
    pub const fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepStarted { step }
            | Self::StepFinished { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepConfirmed { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepRetried { step, .. }
            | Self::UndoStarted { step }
            | Self::UndoFinished { step }
            | Self::UndoFailed { step, .. }
            | Self::UndoneByHand { step, .. } => Some(step),
            Self::Started { .. }
            | Self::Interrupted { .. }
            | Self::Failback { .. }
            | Self::Cleaned {}
            | Self::Reconciled { .. }
            | Self::Finished {} => None,
        }
    }

    /// The texts in it that have to say something, and those that may be empty.
    fn texts(&self) -> (Vec<&str>, Vec<&str>) {
        match self {
            Self::StepFailed { reason, outcome, .. } => (vec![reason], outcome.texts()),
            Self::StepFinished { outcome, .. } => (Vec::new(), outcome.texts()),
            Self::StepConfirmed { by, note, .. } => (vec![by], vec![note]),
            Self::StepSkipped { by, note, .. } | Self::UndoneByHand { by, note, .. } => {
                (vec![by, note], Vec::new())
            }
            Self::StepRetried { by, .. } => (vec![by], Vec::new()),
            Self::Interrupted { reason } | Self::UndoFailed { reason, .. } => {
                (vec![reason], Vec::new())
            }
            Self::Failback { by, .. } => (Vec::new(), vec![by]),
            Self::Reconciled { note, .. } => (Vec::new(), vec![note]),
            Self::Started { .. }
            | Self::StepStarted { .. }
            | Self::UndoStarted { .. }
            | Self::UndoFinished { .. }
            | Self::Cleaned {}
            | Self::Finished {} => (Vec::new(), Vec::new()),
        }
    }

    /// Whether its texts are texts: what stands in a journal stands on paper later.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let (needed, others) = self.texts();
        let few = |outcome: &StepOutcome| outcome.integrity.len() <= INTEGRITY_MAX;
        let few = match self {
            Self::StepFinished { outcome, .. } | Self::StepFailed { outcome, .. } => few(outcome),
            _ => true,
        };
        let fine = |text: &&str| is_text(text, TEXT_MAX_CHARS);
        few && needed.iter().all(|text| !text.trim().is_empty() && fine(text))
            && others.iter().all(fine)
    }
}

impl StepOutcome {
    /// The same with at most [`INTEGRITY_MAX`] comparisons: those that differ first, and of the rest their number.
    #[must_use]
    pub fn folded(mut self) -> Self {
        if self.integrity.len() <= INTEGRITY_MAX {
            return self;
        }
        self.integrity.sort_by_key(|one| one.good);
        let rest = self.integrity.split_off(INTEGRITY_MAX - 1);
        let good = rest.iter().all(|one| one.good);
        self.integrity.push(Integrity {
            kind: IntegrityKind::Other,
            subject: format!("{} perbandingan lain", rest.len()),
            expected: "sama".to_owned(),
            found: if good { "sama" } else { "ada yang berbeda" }.to_owned(),
            good,
        });
        self
    }

    fn texts(&self) -> Vec<&str> {
        let compared = self.integrity.iter();
        let compared = compared.flat_map(|one| [&one.subject, &one.expected, &one.found]);
        compared.chain([&self.note]).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(number: usize, good: bool) -> Integrity {
        let (subject, expected) = (number.to_string(), "sama".to_owned());
        Integrity { kind: IntegrityKind::Rows, subject, expected, found: String::new(), good }
    }

    #[test]
    fn many_comparisons_are_folded_and_none_that_differs_is_lost() {
        let of = |integrity: Vec<Integrity>| StepOutcome { integrity, ..StepOutcome::default() };
        let few = of((0..INTEGRITY_MAX).map(|number| one(number, true)).collect());
        assert_eq!(few.clone().folded(), few);
        let many = of((0..500).map(|number| one(number, number != 499)).collect()).folded();
        assert_eq!(many.integrity.len(), INTEGRITY_MAX);
        assert_eq!((many.integrity[0].subject.as_str(), many.integrity[0].good), ("499", false));
        let last = many.integrity.last().unwrap();
        assert_eq!((last.subject.as_str(), last.good), ("301 perbandingan lain", true));
        let bad = of((0..500).map(|number| one(number, false)).collect()).folded();
        assert!(bad.integrity.iter().all(|one| !one.good));
    }
}
