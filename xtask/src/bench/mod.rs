//! `cargo xtask bench`: ours beside the installed peers, on the same data, in one run.
//!
//! Benchmarks are programs, never tests: they print the machine, the versions and every single run, then medians
//! and ratios. Warm cache; what a program writes goes to a directory of its own that is removed afterwards.

mod controller;
mod corpora;
mod database;
mod engine;
mod fuse;
mod interrupted;
mod one_file;
mod stream;
mod through;
mod tools;
mod uptime;
pub(crate) mod vault;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::run::{check, is_there};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Backup, restore and verify on a local directory, beside the peers.
    Engine(engine::Options),
    /// One generated stream into a depot that keeps nothing: speed and memory.
    Stream(stream::Options),
    /// A backup that is killed midway: what the next run reads and sends again.
    Interrupted(interrupted::Options),
    /// One file out of a snapshot of a million.
    OneFile(one_file::Options),
    /// The first backup by an agent to a vault over loopback, and the agent when it is idle.
    Through(through::Options),
    /// PUT, `have`, commit, scrub, the pull over a long line, and a vault of ten million chunks.
    Vault(vault::Options),
    /// A large PostgreSQL database: memory that it adds, and what an unchanged dump sends.
    Database(database::Options),
    /// Ten thousand agents on the controller: CPU, memory, a storm of connections, pages meanwhile.
    Controller(controller::Options),
    /// A year of uptime of 600 servers: size of the database, a start, the slowest question.
    Uptime,
}

pub(crate) fn bench(bench: &Bench) -> Result<()> {
    if !is_there("/usr/bin/time", "--version") {
        check(Command::new("apt-get").args(["install", "-y", "-qq", "time"]))?;
    }
    match bench {
        Bench::Engine(options) => engine::engine(options),
        Bench::Stream(options) => stream::stream(options),
        Bench::Interrupted(options) => interrupted::interrupted(options),
        Bench::OneFile(options) => one_file::one_file(options),
        Bench::Through(options) => through::through(options),
        Bench::Vault(options) => vault::run(&options.arguments),
        Bench::Database(options) => database::run(options),
        Bench::Controller(options) => controller::run(options),
        Bench::Uptime => uptime::run(),
    }
}

/// What one run of a program took.
#[derive(Clone, Copy, Default)]
struct Taken {
    wall_s: f64,
    cpu_s: f64,
    rss_mib: f64,
}

/// Runs a benchmark in a directory of its own, which is removed afterwards.
fn in_scratch(parent: &Path, run: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let work = parent.join(format!("lumbung-bench-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let result = run(&work);
    fs::remove_dir_all(&work)
        .with_context(|| format!("{} could not be removed", work.display()))?;
    result
}

fn check_quiet(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Runs a command under GNU time.
fn timed(mut command: Command, work: &Path) -> Result<Taken> {
    let figures = work.join("time");
    let mut timed = Command::new("/usr/bin/time");
    timed.arg("-o").arg(&figures).args(["-f", "%e %U %S %M"]);
    timed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        timed.env(name, value.unwrap_or_default());
    }
    if let Some(directory) = command.get_current_dir() {
        timed.current_dir(directory);
    }
    let output = timed.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let shown = command.env_remove("PATH");
        bail!("{shown:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(&figures)?;
    let figures: Vec<f64> =
        text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [wall_s, user_s, system_s, rss_kib] = figures[..] else { bail!("GNU time wrote {text:?}") };
    Ok(Taken { wall_s, cpu_s: user_s + system_s, rss_mib: rss_kib / 1024.0 })
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files_below(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn bytes_below(path: &Path) -> Result<u64> {
    if path.is_file() {
        return Ok(path.metadata()?.len());
    }
    let mut files = Vec::new();
    files_below(path, &mut files)?;
    bytes_of(&files)
}

fn bytes_of(files: &[PathBuf]) -> Result<u64> {
    files.iter().map(|file| Ok(file.metadata()?.len())).sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_machine() -> Result<()> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    println!("machine{}, {cores} cores, Linux {}", model.trim_start(), kernel.trim());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
