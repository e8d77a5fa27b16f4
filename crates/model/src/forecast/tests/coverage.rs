//! How often the truth lies within the interval, measured on simulated cities: the table of `docs/capacity.md`.
//!
//! `cargo test --release -p lumbung-model coverage -- --nocapture` prints it. Whoever changes the method chooses by other
//! cities than those of the table ([`FIRST_CITY`]), and looks at [`Kind::Wandering`] and [`Kind::SeasonalCompound`] last:
//! by these two nothing was chosen.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the simulated truth is smooth; the forecast itself counts in whole numbers"
)]

use std::f64::consts::TAU;

use super::{Used, day};
use crate::forecast::forecast;

/// Cities of each kind.
const CITIES: u64 = if cfg!(debug_assertions) { 40 } else { 1000 };
/// The number of the first. The method was chosen by cities from 1,000,003 and 2,000,003 on, and the table was not.
const FIRST_CITY: u64 = 0;
/// Months ahead at which the truth is asked for.
const HORIZONS: [usize; 3] = [6, 12, 24];

/// Numbers from 0 to 1, by a generator of the test's own.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64) / f64::from(1_u32 << 31)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
}

/// What a city's use does: terabytes by the year, growth a year, and a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    OneStep,
    Steps,
    Seasonal,
    Saturating,
    Compound,
    PlateauSeen,
    PlateauAhead,
    Wandering,
    SeasonalCompound,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Linear, "linear growth"),
    (Kind::OneStep, "linear, one step of 10-40 % in the history, none after"),
    (Kind::Steps, "linear, steps of 5-20 % at random, one a year on average, before and after"),
    (Kind::Seasonal, "growth with the seasons (almost none to double)"),
    (Kind::Saturating, "growth that levels off (time constant 1-3 years)"),
    (Kind::Compound, "compound growth, 15-40 % a year"),
    (Kind::PlateauSeen, "plateau: retention began to expire 1-9 months ago"),
    (Kind::PlateauAhead, "plateau: retention will begin to expire in 1-12 months"),
    (Kind::Wandering, "growth whose pace wanders (by 30 % in a year)"),
    (Kind::SeasonalCompound, "compound growth, 15-40 % a year, with the seasons"),
];

/// The smooth truth, by day.
fn truth(kind: Kind, history: u32, chance: &mut Chance) -> Vec<f64> {
    let (start, rate) = (chance.between(1e12, 20e12), chance.between(0.1, 0.8));
    let (when, size) = (chance.next(), chance.next());
    let end = f64::from(history) / 365.25;
    let constant = 1.0 + 2.0 * size;
    let (mut level, mut jumped, mut pace) = (start, 0.0, 1.0);
    (0..history + 760)
        .map(|number| {
            let years = f64::from(number) / 365.25;
            let day = rate * start / 365.25;
            let season = 1.0 + 0.9 * (TAU * (years + when)).sin();
            let compound = level * (1.15 + 0.25 * size).ln() / 365.25;
            level += match kind {
                Kind::Linear | Kind::OneStep | Kind::Steps => day,
                Kind::Seasonal => day * season,
                Kind::Saturating => day * 2.0 * (-years / constant).exp(),
                Kind::Compound => compound,
                Kind::SeasonalCompound => compound * season,
                Kind::Wandering => day * pace,
                Kind::PlateauSeen if years < end - (1.0 + 8.0 * when) / 12.0 => day,
                Kind::PlateauAhead if years < end + (1.0 + 11.0 * when) / 12.0 => day,
                Kind::PlateauSeen | Kind::PlateauAhead => 0.0,
            };
            if kind == Kind::Wandering {
                // Uniform steps with a deviation of 30 % in the root of the days of a year.
                pace *= chance.between(-0.0272, 0.0272).exp();
            }
            if kind == Kind::OneStep && years > end * (0.1 + 0.8 * when) {
                jumped = start * (0.1 + 0.3 * size);
            }
            if kind == Kind::Steps && chance.next() < 1.0 / 365.25 {
                jumped += start * chance.between(0.05, 0.2);
            }
            level + jumped
        })
        .collect()
}

/// As it is measured: half a percent of noise, a weekly sweep of what expired, every twentieth day lost.
fn measured(truth: &[f64], history: u32, chance: &mut Chance) -> Vec<Used> {
    let mut series = Vec::new();
    for number in 0..history {
        let noise = 1.0 + chance.between(-0.005, 0.005) + 0.004 * f64::from(number % 7) / 7.0;
        if chance.next() > 0.05 {
            let used = truth[number as usize] * noise;
            series.push(Used { day: day(number), used: used as u64 });
        }
    }
    series
}

/// What was found at one horizon, in percent.
#[derive(Debug)]
struct Found {
    /// Of a hundred cities, in how many the truth was within.
    within: u64,
    /// By how much of the truth the expected was off, in the median.
    off: f64,
    /// How wide the bounds were, in parts of the truth, in the median.
    width: f64,
}

fn measure(kind: Kind, history: u32) -> [Found; 3] {
    let mut within = [0; 3];
    let (mut off, mut width): ([Vec<f64>; 3], [Vec<f64>; 3]) = Default::default();
    for city in FIRST_CITY..FIRST_CITY + CITIES {
        let mut chance = Chance(city * 7919 + u64::from(history) + 1);
        chance.next();
        let truth = truth(kind, history, &mut chance);
        let forecast = forecast(&measured(&truth, history, &mut chance)).unwrap();
        for (index, months) in HORIZONS.into_iter().enumerate() {
            let point = forecast.months[months - 1];
            let number = point.day.days_since(day(0));
            let actual = truth[usize::try_from(number).unwrap()];
            within[index] += u64::from(point.low as f64 <= actual && actual <= point.high as f64);
            off[index].push((point.expected as f64 / actual - 1.0).abs() * 100.0);
            width[index].push((point.high - point.low) as f64 / actual * 100.0);
        }
    }
    std::array::from_fn(|index| Found {
        within: within[index] * 100 / CITIES,
        off: median(&mut off[index]),
        width: median(&mut width[index]),
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What must hold of what is measured, percent: less than the table says, since a run of the tests looks at few cities. What
/// nobody can know beforehand (a season of which less than a year was seen, the steps to come) is shown, and not promised.
const fn promised(kind: Kind, history: u32) -> u64 {
    match kind {
        Kind::Linear | Kind::OneStep | Kind::Saturating | Kind::Compound => 80,
        Kind::Seasonal if history >= 365 => 80,
        Kind::PlateauSeen | Kind::PlateauAhead => 70,
        Kind::Steps | Kind::Seasonal | Kind::SeasonalCompound | Kind::Wandering => 0,
    }
}

#[test]
fn the_interval_covers_what_it_promises() {
    for (history, name) in [(120, "4 months"), (365, "1 year"), (730, "2 years")] {
        println!("| history {name}: truth within, % (off, width, %) | 6 | 12 | 24 months |");
        for (kind, words) in KINDS {
            let found = measure(kind, history);
            let [six, twelve, two] = found
                .each_ref()
                .map(|Found { within, off, width }| format!("{within} ({off:.0}, {width:.0})"));
            println!("| {words} | {six} | {twelve} | {two} |");
            let least = found.iter().map(|found| found.within).min().unwrap();
            assert!(least >= promised(kind, history), "{words}, history {name}: {found:?}");
        }
    }
}
