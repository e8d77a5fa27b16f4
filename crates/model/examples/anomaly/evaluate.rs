//! Runs the detector over simulated servers as a controller would: every false alarm is cleared by a person on the same day.

#![expect(clippy::cast_possible_truncation, reason = "simulated figures are rounded, and small")]

use lumbung_model::Timestamp;
use lumbung_model::anomaly::{Run, Verdict, judge};

use super::attacks::{Attack, Course};
use super::histories::{Normal, Server, Stir};

/// How long the normal servers are watched.
pub(crate) const DAYS: u64 = 365;
/// Normal runs after an attack took all that it takes.
const AFTERMATH_RUNS: u64 = 5;

/// False alarms of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FalseAlarms {
    pub(crate) servers: u64,
    pub(crate) alarms: u64,
    /// Servers that had more than three.
    pub(crate) noisy: u64,
}

impl FalseAlarms {
    /// Alarms in a server's year.
    pub(crate) fn per_year(&self) -> f64 {
        self.alarms as f64 / self.servers as f64
    }
}

/// How an attack was met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detections {
    pub(crate) attacks: u64,
    /// Of those that were met: in which run, and the share of files taken by then.
    pub(crate) met: Vec<(u64, f64)>,
    /// Those of which the snapshot that would be held was from before the attack.
    pub(crate) held_before: u64,
}

impl Detections {
    /// The share that was met.
    pub(crate) fn rate(&self) -> f64 {
        self.met.len() as f64 / self.attacks as f64
    }

    fn sorted<T: Copy + PartialOrd>(
        &self,
        of: impl Fn(&(u64, f64)) -> T,
        percent: usize,
    ) -> Option<T> {
        let mut values: Vec<T> = self.met.iter().map(of).collect();
        values.sort_by(|a, b| a.partial_cmp(b).expect("figures are numbers"));
        values.get((values.len().saturating_sub(1)) * percent / 100).copied()
    }

    /// The run by which so many percent of those that were met were met.
    pub(crate) fn delay_runs(&self, percent: usize) -> Option<u64> {
        self.sorted(|met| met.0, percent)
    }

    /// The share of files taken by then.
    pub(crate) fn lost(&self, percent: usize) -> Option<f64> {
        self.sorted(|met| met.1, percent)
    }
}

/// A server and what the controller keeps of it.
struct Watched {
    server: Server,
    history: Vec<Run>,
}

impl Watched {
    fn run(&mut self, day: u64, stirs: &[Stir]) -> (Run, Verdict) {
        let figures = self.server.count(stirs);
        assert_eq!(figures.check(), Ok(()), "{figures:?}");
        let at = Timestamp(i64::try_from(day).expect("days are few") * 86_400);
        let run = Run { at, figures, cleared: false };
        let verdict = judge(&self.history, &run);
        (run, verdict)
    }

    /// A normal day; whether there was an alarm, which is cleared.
    fn normal_day(&mut self, day: u64) -> bool {
        let stirs = self.server.day(day);
        let (mut run, verdict) = self.run(day, &stirs);
        run.cleared = matches!(verdict, Verdict::Suspicious(_));
        let alarm = run.cleared;
        self.history.push(run);
        alarm
    }
}

/// Watches normal servers for a year each, after a first month that counts too.
pub(crate) fn false_alarms(kind: Normal, seeds: std::ops::Range<u64>) -> FalseAlarms {
    let mut result = FalseAlarms::default();
    for seed in seeds {
        let mut watched = Watched { server: Server::of(kind, seed), history: Vec::new() };
        let alarms = (0..DAYS).filter(|day| watched.normal_day(*day)).count() as u64;
        result.servers += 1;
        result.alarms += alarms;
        result.noisy += u64::from(alarms > 3);
    }
    result
}

/// Attacks servers of every kind, each after some days of normal work.
pub(crate) fn detections(attack: Attack, seeds: std::ops::Range<u64>) -> Detections {
    let mut result = Detections::default();
    for seed in seeds {
        let kind = Normal::BASES[usize::try_from(seed).unwrap_or(0) % Normal::BASES.len()];
        let mut server = Server::of(kind, seed);
        let begins = server.chance.magnitude(10.0, 300.0) as u64;
        let mut course = Course::of(attack, &mut server.chance);
        let mut watched = Watched { server, history: Vec::new() };
        for day in 0..begins {
            watched.normal_day(day);
        }
        result.attacks += 1;
        if let Some((runs, since)) = attacked(&mut watched, &mut course, begins) {
            result.met.push((runs, course.taken));
            let first = i64::try_from(begins).expect("days are few") * 86_400;
            result.held_before += u64::from(since.0 <= first);
        }
    }
    result
}

/// In which run an attack is met, and from when on snapshots are doubted; none if it never is.
fn attacked(watched: &mut Watched, course: &mut Course, begins: u64) -> Option<(u64, Timestamp)> {
    let mut after = 0;
    for day in begins.. {
        let mut stirs = watched.server.day(day);
        if course.is_over() {
            after += 1;
            if after > AFTERMATH_RUNS {
                break;
            }
        } else {
            let files = watched.server.files;
            stirs.push(course.next(files, &mut watched.server.chance));
            // What is encrypted is not worked on any more.
            stirs[0].changed *= 1.0 - course.taken;
        }
        let (run, verdict) = watched.run(day, &stirs);
        if let Verdict::Suspicious(suspicion) = verdict {
            return Some((day - begins + 1, suspicion.since));
        }
        watched.history.push(run);
    }
    None
}
