//! Simulated attacks: how much of a dataset is taken in one run, how, and under which names it comes back.

use super::chance::Chance;
use super::histories::Stir;

/// How an attack goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nearly everything between two backups.
    Fast,
    /// 1 to 6 % of the files from run to run.
    Slow,
    /// 0.1 to 1 %.
    Creeping,
    /// Everything is deleted.
    Wiper,
}

/// How much of a file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Stripes, or the beginning: what is new is a mixture, and some of it is stored already.
    Partial,
}

/// Under which name a file comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    Kept,
    Suffix,
    OtherExtension,
    Random,
}

/// An attack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) pace: Pace,
    pub(crate) extent: Extent,
    pub(crate) naming: Naming,
}

impl Attack {
    pub(crate) fn name(self) -> String {
        let pace = match self.pace {
            Pace::Fast => "fast",
            Pace::Slow => "slow, 1–6 % of the files a run",
            Pace::Creeping => "creeping, 0.1–1 % a run",
            Pace::Wiper => return "deletes everything".to_owned(),
        };
        let extent = match self.extent {
            Extent::Whole => "",
            Extent::Partial => ", parts of files",
        };
        let naming = match self.naming {
            Naming::Kept => "names kept",
            Naming::Suffix => "extension appended",
            Naming::OtherExtension => "extension replaced",
            Naming::Random => "random names",
        };
        format!("{pace}{extent}, {naming}")
    }
}

/// An attack under way.
pub(crate) struct Course {
    attack: Attack,
    /// Of all files, what it takes in one run and in the end.
    rate: f64,
    coverage: f64,
    fresh: f64,
    noise: f64,
    pub(crate) taken: f64,
}

impl Course {
    pub(crate) fn of(attack: Attack, chance: &mut Chance) -> Self {
        let rate = match attack.pace {
            Pace::Fast => chance.between(0.4, 1.0),
            Pace::Slow => chance.between(0.01, 0.06),
            Pace::Creeping => chance.between(0.001, 0.01),
            Pace::Wiper => 1.0,
        };
        let (fresh, noise) = match attack.extent {
            Extent::Whole => (chance.between(0.97, 1.0), chance.between(0.97, 1.0)),
            Extent::Partial => (chance.between(0.05, 0.95), chance.between(0.3, 1.0)),
        };
        let coverage = match attack.pace {
            Pace::Wiper => chance.between(0.8, 1.0),
            _ => chance.between(0.4, 1.0),
        };
        Self { attack, rate, coverage, fresh, noise, taken: 0.0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.taken >= self.coverage
    }

    /// What it does before the next backup, to a dataset of so many files.
    pub(crate) fn next(&mut self, files: f64, chance: &mut Chance) -> Stir {
        let share = (self.rate * chance.around_one(0.3)).min(self.coverage - self.taken);
        self.taken += share;
        let taken = files * share;
        let stir = Stir { fresh: self.fresh, noise: self.noise, ..Stir::default() };
        if self.attack.pace == Pace::Wiper {
            return Stir { removed: taken, ..stir };
        }
        let moved = Stir {
            new: taken,
            removed: taken,
            renamed: taken,
            added_fresh: self.fresh,
            added_noise: self.noise,
            added_size: 1.0,
            ..stir
        };
        match self.attack.naming {
            Naming::Kept => Stir { changed: taken, ..stir },
            Naming::Suffix => Stir { suffix: true, ..moved },
            Naming::OtherExtension => moved,
            Naming::Random => Stir { renamed: 0.0, ..moved },
        }
    }
}
