//! `cargo xtask bench controller`: what the controller takes, over its real program and real mutual TLS on loopback.
//!
//! A register of a large city is imported, its agents enrol with tokens, and then, in each round: the controller starts
//! anew, all agents connect at once (the storm), go on with their heartbeats (the steady state), and operators read
//! meanwhile. CPU time and memory are those of the controller's process; the agents' work beside it on the same cores is
//! not counted, but makes wall times longer than on machines of their own.

mod agent;
mod city;
mod fleet;
mod link;
mod measure;
mod pages;
mod register;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::pages::Page;

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench controller --")]
struct Arguments {
    /// Agents, each on a server of its own.
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// Datasets in the register, spread over the servers.
    #[arg(long, default_value_t = 100_000)]
    datasets: usize,
    /// PD that the servers belong to.
    #[arg(long, default_value_t = 50)]
    pds: usize,
    /// Seconds of the steady state; and again as many with readers.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds between two heartbeats of an agent.
    #[arg(long, default_value_t = 15)]
    interval_s: u32,
    /// One of so many heartbeats comes with a report of a backup.
    #[arg(long, default_value_t = 20)]
    report_every: u32,
    /// Milliseconds between two reads of the same kind.
    #[arg(long, default_value_t = 500)]
    read_every_ms: u64,
    /// The kinds of pages that are read, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "status,compliance,datasets")]
    pages: Vec<Page>,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The controller's program, if not the one beside this one.
    #[arg(long)]
    controller: Option<PathBuf>,
    /// Keeps the city (register, certificates) in this directory, and uses it again where it is there.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Where a city that is not kept is made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    raise_open_files(arguments.agents)?;
    let program = match &arguments.controller {
        Some(path) => path.clone(),
        None => lumbung_tests::process::program("lumbung-controller")?,
    };
    let scratch =
        tempfile::Builder::new().prefix("lumbung-bench-").tempdir_in(&arguments.scratch)?;
    let dir = arguments.keep.as_deref().unwrap_or(scratch.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure::measure(arguments, &program, dir))
}

/// Every agent is one file here and one in the controller, which inherits the limit.
fn raise_open_files(agents: usize) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = u64::try_from(agents)? + 1024;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(needed));
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .with_context(|| format!("{needed} open files are needed: raise the limit (ulimit -Hn)"))
}
