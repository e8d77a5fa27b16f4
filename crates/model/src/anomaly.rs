//! Anomalies: whether a backup run looks as if files were being encrypted or destroyed, against the history of its own dataset.
//!
//! Pure and in integers: a function of the figures of earlier runs and of this one. No single figure decides. New data that does
//! not compress is a video upload, many changed files are an upgrade; what counts is how much of *what was there* came back as
//! data that neither compresses nor is known, and how many files took a new extension meanwhile. Two tests look at each
//! such share: a limit for one run, and a cumulative sum over runs for whoever works slowly. Both take what is usual from
//! the dataset's own past, by ranks, so that one wild day does not move them. Runs that were found suspicious are no history
//! until a person clears them.
//!
//! Sources: that encryption shows as rewriting, entropy and lost similarity together, and in no one of them alone: N. Scaife et al.,
//! "CryptoLock (and Drop It)", ICDCS 2016; A. Continella et al., "ShieldFS", ACSAC 2016. Median and MAD with the factor 1.4826:
//! F. R. Hampel, JASA 69 (1974); B. Iglewicz and D. Hoaglin, "How to Detect and Handle Outliers", 1993. Cumulative
//! sums: E. S. Page, "Continuous Inspection Schemes", Biometrika 41 (1954).

mod figures;
mod limits;
mod shares;
mod words;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub use figures::{FOLDERS_MAX, FiguresError, FolderFigures, NewData, PATH_MAX_BYTES, RunFigures};
use limits::{Kept, Limits};
pub use shares::PPM;
use shares::Shares;

/// Runs of history that are looked at; the newest ones.
pub const HISTORY_MAX: usize = 800;

/// One run of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// When it ended.
    pub at: Timestamp,
    /// What it counted.
    pub figures: RunFigures,
    /// Whether it was suspicious and a person said that it was harmless.
    pub cleared: bool,
}

/// What is looked at in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Files that were there before and came back as new data that does not compress.
    RewrittenFiles,
    /// The same, in bytes.
    RewrittenBytes,
    /// Files with a new extension, while data came that does not compress.
    Renamed,
    /// Files that are gone, and nothing in their place.
    Removed,
    /// Files that changed; never decides.
    Changed,
    /// Of the new data in files that were there before, what does not compress; never decides.
    Incompressible,
    /// Of what was read of files that were there before, what was not stored already; never decides.
    Undeduplicated,
}

/// Why a run is suspicious: a share of the dataset in millionths, beside what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// What was looked at.
    pub signal: Signal,
    /// What was seen, millionths. Over several runs: the sum of what was beyond the usual.
    pub observed_ppm: u64,
    /// The median of the dataset's history, millionths.
    pub usual_ppm: u64,
    /// From where on it is suspicious, millionths; none for what never decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ppm: Option<u64>,
    /// Over how many runs.
    pub runs: u32,
}

/// What is suspicious about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// How far beyond the limit, percent: 100 is at the limit. At most 10,000.
    pub score_pct: u32,
    /// The first run that belongs to it: snapshots from before are good as far as figures can tell.
    pub since: Timestamp,
    /// What decided, strongest first; then what stands beside it.
    pub reasons: Vec<Reason>,
}

/// What is to be thought of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to compare with: the first run, or one without a cache.
    Unjudged,
    /// As usual.
    Normal,
    /// Somebody should look.
    Suspicious(Suspicion),
}

/// A test that went over its limit.
struct Hit {
    reason: Reason,
    since: Timestamp,
}

impl Hit {
    fn score_pct(&self) -> u32 {
        let limit = self.reason.limit_ppm.unwrap_or(PPM).max(1);
        u32::try_from(self.reason.observed_ppm.saturating_mul(100) / limit)
            .unwrap_or(u32::MAX)
            .min(10_000)
    }
}

/// Judges a run against the earlier runs of its dataset, oldest first, none of them suspicious unless cleared.
#[must_use]
pub fn judge(history: &[Run], now: &Run) -> Verdict {
    if now.figures.before_files == 0 {
        return Verdict::Unjudged;
    }
    let history = &history[history.len().saturating_sub(HISTORY_MAX)..];
    let past: Vec<Kept> = history.iter().filter_map(Kept::of).collect();
    let Some(current) = Kept::of(now) else { return Verdict::Unjudged };
    let mut hits: Vec<Hit> = limits::DECIDING
        .iter()
        .filter_map(|signal| Limits::of(*signal, &past, now.figures.before_files).test(&current))
        .collect();
    hits.sort_by_key(|hit| std::cmp::Reverse(hit.score_pct()));
    let Some(first) = hits.first() else { return Verdict::Normal };
    let score_pct = first.score_pct();
    let since = hits.iter().map(|hit| hit.since).min().unwrap_or(now.at);
    let mut reasons: Vec<Reason> = hits.into_iter().map(|hit| hit.reason).collect();
    reasons.extend(limits::beside(&past, &current));
    Verdict::Suspicious(Suspicion { score_pct, since, reasons })
}
