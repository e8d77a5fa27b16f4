//! Simulated days of datasets: what normal servers do, from quiet archives to log hosts. Every parameter of a kind is drawn
//! anew for each server, most of them over orders of magnitude; none was chosen by looking at the detector.

#![expect(clippy::cast_possible_truncation, reason = "simulated figures are rounded, and small")]

use lumbung_model::anomaly::{NewData, RunFigures};

use super::chance::Chance;

/// What a normal server does beside its daily work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normal {
    Growth,
    MonthEnd,
    OsUpgrade,
    LogRotation,
    VideoUpload,
    NightlyDumps,
    Reorganised,
    Attributes,
    Purge,
    Conversion,
}

impl Normal {
    /// Those that an attack may come over.
    pub(crate) const BASES: [Self; 9] = [
        Self::Growth,
        Self::MonthEnd,
        Self::OsUpgrade,
        Self::LogRotation,
        Self::VideoUpload,
        Self::NightlyDumps,
        Self::Reorganised,
        Self::Attributes,
        Self::Purge,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Growth => "normal growth",
            Self::MonthEnd => "month-end batch",
            Self::OsUpgrade => "OS upgrades and patches",
            Self::LogRotation => "log rotation",
            Self::VideoUpload => "video uploads",
            Self::NightlyDumps => "nightly dumps over the same names",
            Self::Reorganised => "folders moved",
            Self::Attributes => "owner or mode of everything changed",
            Self::Purge => "old files purged",
            Self::Conversion => "bulk conversion of media or documents, once",
        }
    }
}

/// What one cause does to files in one day.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stir {
    pub(crate) changed: f64,
    pub(crate) new: f64,
    pub(crate) removed: f64,
    pub(crate) renamed: f64,
    /// Of what is read of old files, what is new; and of that, what does not compress.
    pub(crate) fresh: f64,
    pub(crate) noise: f64,
    /// The same of new files.
    pub(crate) added_fresh: f64,
    pub(crate) added_noise: f64,
    /// Size of new files in mean sizes.
    pub(crate) added_size: f64,
    /// Whether renamed files keep their names in front, so that the agent knows their data for rewritten.
    pub(crate) suffix: bool,
}

/// A server.
pub(crate) struct Server {
    pub(crate) chance: Chance,
    pub(crate) files: f64,
    /// Files on the first day: who grows, grows by what there was.
    origin: f64,
    mean_bytes: f64,
    kind: Normal,
    churn: f64,
    growth: f64,
    removal: f64,
    renaming: f64,
    wildness: f64,
    weekend: f64,
    noise: f64,
    noise_spread: f64,
    fresh: f64,
    added_noise: f64,
    /// Of the kind's own event: how large, how noisy, how often, and when first.
    size: f64,
    event_noise: f64,
    period: u64,
    phase: u64,
    converted: u64,
}

impl Server {
    pub(crate) fn of(kind: Normal, seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let c = &mut chance;
        let (files, mean_bytes) = (c.magnitude(200.0, 2e6), c.magnitude(10e3, 10e6));
        let noise = match kind {
            Normal::OsUpgrade => c.between(0.0, 0.45),
            Normal::LogRotation => c.between(0.0, 0.15),
            _ => c.between(0.0, 1.0),
        };
        let churn = match kind {
            Normal::OsUpgrade | Normal::VideoUpload => c.magnitude(1e-4, 0.02),
            _ => c.magnitude(1e-4, 0.2),
        };
        let period = match kind {
            Normal::MonthEnd => 30,
            Normal::LogRotation => [1, 7, 30][c.pick(3)],
            Normal::NightlyDumps => 1,
            Normal::VideoUpload => c.magnitude(2.0, 60.0) as u64,
            Normal::Conversion => 365,
            _ => c.magnitude(30.0, 180.0) as u64,
        };
        let event_noise = match kind {
            Normal::NightlyDumps if c.happens(0.5) => c.between(0.9, 1.0),
            Normal::NightlyDumps => c.between(0.0, 0.1),
            _ => c.between(0.0, 1.0),
        };
        Self {
            files,
            origin: files,
            mean_bytes,
            kind,
            churn,
            growth: c.magnitude(1e-5, 5e-3),
            removal: c.between(0.0, 0.9),
            renaming: c.magnitude(1e-7, 1e-4),
            wildness: c.between(0.2, 1.2),
            weekend: c.magnitude(0.02, 1.0),
            noise,
            noise_spread: c.between(0.02, 0.25),
            fresh: c.between(0.05, 1.0),
            added_noise: c.between(0.0, 1.0),
            size: c.magnitude(0.02, 0.6),
            event_noise,
            period: period.max(1),
            phase: c.pick(365) as u64,
            converted: 30 + c.pick(300) as u64,
            chance,
        }
    }

    /// The day's normal work.
    pub(crate) fn day(&mut self, day: u64) -> Vec<Stir> {
        let mut stirs = vec![self.work(day)];
        stirs.extend(self.event(day));
        stirs
    }

    fn share_near(&mut self, mean: f64) -> f64 {
        (mean + self.chance.normal() * self.noise_spread).clamp(0.0, 1.0)
    }

    fn work(&mut self, day: u64) -> Stir {
        let week = if day % 7 >= 5 { self.weekend } else { 1.0 };
        let (changing, growing) =
            (self.chance.around_one(self.wildness), self.chance.around_one(self.wildness));
        let new = (self.origin * self.growth * growing * week).min(self.files * 0.5);
        let renamed = self.files * self.renaming * self.chance.around_one(2.0);
        Stir {
            changed: (self.files * self.churn * changing * week).min(self.files * 0.7),
            new: new + renamed,
            removed: new * self.removal * self.chance.around_one(0.5) + renamed,
            renamed,
            fresh: self.share_near(self.fresh),
            noise: self.share_near(self.noise),
            added_fresh: self.chance.between(0.7, 1.0),
            added_noise: self.share_near(self.added_noise),
            added_size: self.chance.around_one(0.5),
            suffix: false,
        }
    }

    /// What comes on top on some days.
    fn event(&mut self, day: u64) -> Option<Stir> {
        let due = (day + self.phase).is_multiple_of(self.period);
        let size = (self.size * self.chance.around_one(0.4)).min(0.95);
        let (files, noise, c) = (self.files, self.event_noise, &mut self.chance);
        let stir = Stir { fresh: 1.0, added_fresh: 1.0, added_size: 1.0, noise, ..Stir::default() };
        let patch = self.kind == Normal::OsUpgrade && day.is_multiple_of(7);
        if self.kind == Normal::OsUpgrade && (due || patch) {
            let size = if due { c.between(0.05, 0.9) } else { c.magnitude(0.001, 0.03) };
            let new = files * size * c.between(0.02, 0.5);
            return Some(Stir {
                changed: files * size,
                new,
                removed: new * c.between(0.7, 1.1).min(1.0),
                renamed: new * c.between(0.0, 0.08),
                fresh: c.between(0.6, 1.0),
                noise: c.between(0.02, 0.45),
                added_noise: c.between(0.02, 0.6),
                ..stir
            });
        }
        if self.kind == Normal::Conversion {
            return (day == self.converted).then(|| Stir {
                changed: 0.0,
                new: files * size,
                removed: files * size,
                renamed: files * size,
                added_noise: c.between(0.9, 1.0),
                added_size: c.between(0.2, 1.2),
                ..stir
            });
        }
        if !due {
            return None;
        }
        Some(match self.kind {
            Normal::MonthEnd => Stir {
                changed: files * size,
                new: self.origin * size * c.between(0.0, 0.2),
                fresh: c.between(0.2, 1.0),
                added_noise: noise,
                ..stir
            },
            Normal::LogRotation => Stir {
                changed: files * size * 0.2,
                new: files * size,
                removed: files * size,
                renamed: files * size * c.between(0.5, 1.0),
                noise: c.between(0.0, 0.1),
                added_noise: c.between(0.8, 1.0),
                added_size: c.between(0.1, 0.5),
                ..stir
            },
            Normal::VideoUpload => Stir {
                new: (self.origin * size * 0.2).max(1.0),
                added_noise: c.between(0.9, 1.0),
                added_size: c.magnitude(1.0, 100.0),
                ..stir
            },
            Normal::NightlyDumps => Stir { changed: files * size, ..stir },
            Normal::Reorganised => Stir {
                new: files * size,
                removed: files * size,
                added_fresh: c.between(0.0, 0.05),
                added_noise: self.added_noise,
                ..stir
            },
            Normal::Attributes => Stir {
                changed: files * c.between(0.2, 1.0),
                fresh: c.between(0.0, 0.03),
                noise: self.noise,
                ..stir
            },
            Normal::Purge => Stir { removed: files * size.min(0.45), ..stir },
            Normal::Growth | Normal::OsUpgrade | Normal::Conversion => return None,
        })
    }

    /// What the agent counts of it, and how many files there are afterwards.
    pub(crate) fn count(&mut self, stirs: &[Stir]) -> RunFigures {
        let c = &mut self.chance;
        let mean = self.mean_bytes;
        let before = self.files as u64;
        let mut figures = RunFigures {
            before_files: before,
            before_bytes: (self.files * mean) as u64,
            ..RunFigures::default()
        };
        for stir in stirs {
            let left = before - figures.changed_files - figures.removed_files;
            let changed = c.count(stir.changed).min(left);
            let removed = c.count(stir.removed).min(left - changed);
            // What cannot be taken away is not replaced either.
            let kept = c.count(stir.removed).saturating_sub(removed);
            let new = c.count(stir.new).saturating_sub(kept);
            let renamed = c.count(stir.renamed).min(new).min(removed);
            figures.changed_files += changed;
            figures.removed_files += removed;
            figures.new_files += new;
            figures.renamed_files += renamed;
            figures.removed_bytes += (removed as f64 * mean) as u64;
            let known = if stir.suffix { renamed } else { 0 };
            let size = mean * c.around_one(0.3);
            read(&mut figures.rewritten, (changed + known) as f64 * size, stir.fresh, stir.noise);
            let size = mean * stir.added_size;
            let (fresh, noise) = (stir.added_fresh, stir.added_noise);
            read(&mut figures.added, (new - known) as f64 * size, fresh, noise);
        }
        figures.removed_bytes = figures.removed_bytes.min(figures.before_bytes);
        figures.stored_bytes = figures.rewritten.fresh_bytes() + figures.added.fresh_bytes();
        self.files =
            (self.files + figures.new_files as f64 - figures.removed_files as f64).max(1.0);
        figures
    }
}

fn read(data: &mut NewData, bytes: f64, fresh: f64, noise: f64) {
    let new = (bytes * fresh) as u64;
    data.read_bytes += bytes as u64;
    data.deduplicated_bytes += (bytes as u64).saturating_sub(new);
    data.incompressible_bytes += (new as f64 * noise) as u64;
    data.incompressible_bytes = data.incompressible_bytes.min(data.fresh_bytes());
}
