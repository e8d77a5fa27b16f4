//! Figures of a run as shares of the dataset, in millionths.

use super::Signal;
use super::figures::{NewData, RunFigures};

/// The whole, in millionths.
pub const PPM: u64 = 1_000_000;

/// Below this share of noise in new data, it is taken for data of people …
const NOISE_FROM_PPM: u64 = 400_000;
/// … and above this for noise altogether.
const NOISE_FULL_PPM: u64 = 800_000;
/// From this share of noise on, new extensions count.
const RENAMED_NOISE_PPM: u64 = 200_000;
/// Where less than this share of what was read is new, it counts less: a change of attributes has everything read again.
const FRESH_FULL_PPM: u64 = 100_000;

/// What part is of whole, in millionths; at most the whole.
pub(super) fn share(part: u64, whole: u64) -> u64 {
    let ppm = u128::from(part) * u128::from(PPM) / u128::from(whole.max(1));
    u64::try_from(ppm).unwrap_or(PPM).min(PPM)
}

/// That many millionths of a count.
fn of_count(count: u64, ppm: u64) -> u64 {
    u64::try_from(u128::from(count) * u128::from(ppm) / u128::from(PPM)).unwrap_or(u64::MAX)
}

/// The share of noise in what is new.
fn noise(data: &NewData) -> u64 {
    share(data.incompressible_bytes, data.fresh_bytes())
}

/// How far what is new in these files looks encrypted, in millionths.
fn encrypted(data: &NewData) -> u64 {
    let ramp = noise(data).saturating_sub(NOISE_FROM_PPM).min(NOISE_FULL_PPM - NOISE_FROM_PPM);
    let looks = share(ramp, NOISE_FULL_PPM - NOISE_FROM_PPM);
    let fresh = share(data.fresh_bytes(), data.read_bytes).min(FRESH_FULL_PPM);
    of_count(looks, share(fresh, FRESH_FULL_PPM))
}

/// A run as shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    rewritten_files: u64,
    rewritten_bytes: u64,
    renamed: u64,
    removed: u64,
    changed: u64,
    incompressible: u64,
    undeduplicated: u64,
}

impl Shares {
    /// The shares of a run; none if there was nothing before.
    pub(super) fn of(figures: &RunFigures) -> Option<Self> {
        if figures.before_files == 0 {
            return None;
        }
        let (rewritten, added) = (&figures.rewritten, &figures.added);
        let (in_place, beside) = (encrypted(rewritten), encrypted(added));
        let replaced = figures.new_files.min(figures.removed_files);
        let renamed = figures.renamed_files.min(replaced);
        let files = of_count(figures.changed_files, in_place)
            .saturating_add(of_count(renamed, in_place.max(beside)))
            .saturating_add(of_count(replaced - renamed, beside));
        let bytes = of_count(rewritten.incompressible_bytes, in_place).saturating_add(
            of_count(added.incompressible_bytes, beside).min(figures.removed_bytes),
        );
        let any_noise = noise(rewritten).max(noise(added)) >= RENAMED_NOISE_PPM;
        let before = figures.before_files;
        Some(Self {
            rewritten_files: share(files, before),
            rewritten_bytes: share(bytes, figures.before_bytes),
            renamed: if any_noise { share(renamed, before) } else { 0 },
            removed: share(figures.removed_files - replaced, before),
            changed: share(figures.changed_files.saturating_add(renamed), before),
            incompressible: noise(rewritten),
            undeduplicated: share(rewritten.fresh_bytes(), rewritten.read_bytes),
        })
    }

    /// One of them.
    pub(super) const fn get(&self, signal: Signal) -> u64 {
        match signal {
            Signal::RewrittenFiles => self.rewritten_files,
            Signal::RewrittenBytes => self.rewritten_bytes,
            Signal::Renamed => self.renamed,
            Signal::Removed => self.removed,
            Signal::Changed => self.changed,
            Signal::Incompressible => self.incompressible,
            Signal::Undeduplicated => self.undeduplicated,
        }
    }
}
