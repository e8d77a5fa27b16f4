//! What a benchmark measured: every run as it comes, medians and ratios at the end; what the kernel counts of a process.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

/// Which side of a target is the good one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// No figure is set.
    None,
    /// No more than this.
    AtMost(f64),
    /// No less than this.
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
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a line, and prints its runs.
    pub fn add(
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

    /// Prints the table.
    pub fn print(&self) {
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

/// The median; not a number where there is none.
#[must_use]
pub fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A count as a figure.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// CPU time that a process has used, in seconds.
///
/// # Errors
/// If it is gone.
pub fn cpu_s(process: u32) -> Result<f64> {
    fields(&format!("/proc/{process}/stat"), 13)
}

/// CPU time of the children of this process that were waited for, in seconds.
///
/// # Errors
/// If the kernel does not tell.
pub fn children_cpu_s() -> Result<f64> {
    fields("/proc/self/stat", 15)
}

/// A line of a process's `status` file that is in KiB, such as `VmRSS` or `VmHWM`, in MiB.
///
/// # Errors
/// If the process is gone.
pub fn status_mib(process: u32, line: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let found = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(':'));
    let kib = found.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(float(kib.with_context(|| format!("no {line} in its status"))?) / 1024.0)
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
pub struct Watch {
    since: Instant,
    process: u32,
    cpu_s: f64,
}

impl Watch {
    /// Begins now.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn start(process: u32) -> Result<Self> {
        Ok(Self { cpu_s: cpu_s(process)?, process, since: Instant::now() })
    }

    /// Wall and CPU seconds.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn stop(self) -> Result<(f64, f64)> {
        let wall = self.since.elapsed().as_secs_f64();
        Ok((wall, cpu_s(self.process)? - self.cpu_s))
    }
}
