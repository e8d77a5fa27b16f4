//! What was measured: every run as it comes, medians and ratios at the end.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

/// Which side of a target is the good one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// No figure is set.
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    what: String,
    unit: &'static str,
    runs: Vec<f64>,
    target: Target,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a line, and prints its runs.
    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        runs: Vec<f64>,
        target: Target,
    ) {
        let what = what.into();
        let shown: Vec<String> = runs.iter().map(|run| figure(*run)).collect();
        println!("  {what}: {} {unit}", shown.join(", "));
        self.rows.push(Row { what, unit, runs, target });
    }

    pub(crate) fn print(&self) {
        println!("\n| what | median | target | ratio to it |\n|---|---|---|---|");
        for row in &self.rows {
            let median = median(&row.runs);
            let (target, ratio) = match row.target {
                Target::None => (String::from("–"), String::from("–")),
                Target::AtMost(most) => (format!("≤ {}", figure(most)), figure(median / most)),
                Target::AtLeast(least) => (format!("≥ {}", figure(least)), figure(median / least)),
            };
            println!("| {} | {} {} | {target} | {ratio} |", row.what, figure(median), row.unit);
        }
    }
}

fn figure(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        3
    };
    format!("{value:.digits$}")
}

pub(crate) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// CPU time that a process has used, in seconds.
pub(crate) fn cpu_s(process: u32) -> Result<f64> {
    fields(&format!("/proc/{process}/stat"), 13)
}

/// CPU time of the children of this process that were waited for, in seconds.
pub(crate) fn children_cpu_s() -> Result<f64> {
    fields("/proc/self/stat", 15)
}

/// Two neighbouring fields of a `stat` file, in ticks of 10 ms, added.
fn fields(path: &str, first: usize) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let rest = text.rsplit_once(") ").context("a stat file without a name")?.1;
    // The third field of the file is the first after the name.
    let mut ticks = rest.split(' ').skip(first - 2).map(str::parse::<u64>);
    let (own, system) = (ticks.next().context("too short")??, ticks.next().context("too short")??);
    Ok(float(own + system) / 100.0)
}

/// Wall time and CPU time of what a process does meanwhile.
pub(crate) struct Watch {
    since: Instant,
    process: u32,
    cpu_s: f64,
}

impl Watch {
    pub(crate) fn start(process: u32) -> Result<Self> {
        Ok(Self { cpu_s: cpu_s(process)?, process, since: Instant::now() })
    }

    /// Wall and CPU seconds.
    pub(crate) fn stop(self) -> Result<(f64, f64)> {
        let wall = self.since.elapsed().as_secs_f64();
        Ok((wall, cpu_s(self.process)? - self.cpu_s))
    }
}
