//! Adding up: datasets and bytes by step, for each PD and for the city.
//!
//! Invariant: every PD given is in the report, with or without datasets; every dataset is counted once.

use serde::{Deserialize, Serialize};

use super::DatasetCompliance;
use crate::{PdId, Timestamp};

/// Datasets and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepTotal {
    /// How many datasets.
    pub datasets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl StepTotal {
    fn add(&mut self, bytes: u64) {
        self.datasets += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What is registered, and how much of it reached each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// In the register.
    pub registered: StepTotal,
    /// *tercadang*
    pub backed_up: StepTotal,
    /// *di DRC*
    pub at_drc: StepTotal,
    /// *terverifikasi*
    pub verified: StepTotal,
    /// *terbukti pulih*
    pub proven: StepTotal,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, |one, other| StepTotal {
            datasets: one.datasets + other.datasets,
            bytes: one.bytes.saturating_add(other.bytes),
        })
    }

    /// Without what the other one has added.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, |one, other| StepTotal {
            datasets: one.datasets.saturating_sub(other.datasets),
            bytes: one.bytes.saturating_sub(other.bytes),
        })
    }

    fn with(self, other: Self, both: impl Fn(StepTotal, StepTotal) -> StepTotal) -> Self {
        Self {
            registered: both(self.registered, other.registered),
            backed_up: both(self.backed_up, other.backed_up),
            at_drc: both(self.at_drc, other.at_drc),
            verified: both(self.verified, other.verified),
            proven: both(self.proven, other.proven),
        }
    }

    fn add(&mut self, result: &DatasetCompliance) {
        self.registered.add(result.bytes);
        let totals = [&mut self.backed_up, &mut self.at_drc, &mut self.verified, &mut self.proven];
        for (total, step) in totals.into_iter().zip(result.steps()) {
            if step.met {
                total.add(result.bytes);
            }
        }
    }
}

/// One PD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdCompliance {
    /// Which PD.
    pub pd: PdId,
    /// *belum mencadangkan*: no dataset of it has ever given a snapshot that counts, or it has none registered.
    pub never_backed_up: bool,
    /// Its figures.
    pub totals: Totals,
    /// Its datasets.
    pub datasets: Vec<DatasetCompliance>,
}

/// The city.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// As of when.
    pub made: Timestamp,
    /// All PD together.
    pub totals: Totals,
    /// Each PD, in the order given.
    pub pds: Vec<PdCompliance>,
}

/// Adds up `results` under the PD given; datasets of other PD are left out.
#[must_use]
pub fn summarize(pds: &[PdId], results: Vec<DatasetCompliance>, now: Timestamp) -> Report {
    let mut report = Report { made: now, totals: Totals::default(), pds: Vec::new() };
    let position: std::collections::HashMap<PdId, usize> =
        pds.iter().enumerate().map(|(index, pd)| (*pd, index)).collect();
    report.pds.extend(pds.iter().map(|pd| PdCompliance {
        pd: *pd,
        never_backed_up: true,
        totals: Totals::default(),
        datasets: Vec::new(),
    }));
    for result in results {
        let Some(index) = position.get(&result.pd) else { continue };
        let pd = &mut report.pds[*index];
        report.totals.add(&result);
        pd.totals.add(&result);
        pd.never_backed_up &= result.backed_up.at.is_none() && result.at_drc.at.is_none();
        pd.datasets.push(result);
    }
    report
}
