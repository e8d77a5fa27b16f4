//! `cargo xtask bench vault`: what the vault takes, over its real program and real mutual TLS on loopback.
//!
//! Every part prints every run; the table at the end has medians and, where PERFORMANCE.md names a target, the ratio
//! to it. CPU time is that of the vault's process; the client's work beside it on the same cores is not counted.

mod bed;
mod data;
mod pull;
mod put;
mod s3;
mod scale;
mod scrub;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use lumbung_tests::figures::Report;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Packs sent over several connections.
    Put,
    /// Opening, `have`, commits, the sweep and bytes a chunk of a large vault.
    Index,
    /// Every frame read again, beside `b3sum` over the same files.
    Scrub,
    /// The pull through a line of 15 ms each way, capped at 100 and at 1,000 Mbit/s.
    Pull,
    /// PUT, scrub and sweep over the store that `--s3` names.
    S3,
}

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench vault --")]
struct Arguments {
    /// The parts, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "put,scrub,pull,index")]
    parts: Vec<Part>,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections at once while packs are sent.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    connections: Vec<usize>,
    /// MiB sent in each run.
    #[arg(long, default_value_t = 1024)]
    mib: usize,
    /// Sizes of the large domain, in chunks, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000")]
    chunks: Vec<u64>,
    /// Dedup domains beside the large one.
    #[arg(long, default_value_t = 1000)]
    domains: usize,
    /// Repositories that they are in, each domain entered by a roster of its own; 0 = all in the large one's.
    #[arg(long, default_value_t = 60)]
    repositories: usize,
    /// Mbit/s of the pull's line.
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    mbit: Vec<u64>,
    /// A store for the part `s3`: endpoint, region, bucket, access key, secret key, separated by commas.
    #[arg(long)]
    s3: Option<String>,
    /// Where the vaults are.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench vault: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut report = Report::default();
    for part in &arguments.parts {
        let dir =
            tempfile::Builder::new().prefix("lumbung-bench-").tempdir_in(&arguments.scratch)?;
        match part {
            Part::Put => runtime.block_on(put::measure(arguments, dir.path(), &mut report))?,
            Part::Index => runtime.block_on(scale::measure(arguments, dir.path(), &mut report))?,
            Part::Scrub => runtime.block_on(scrub::measure(arguments, dir.path(), &mut report))?,
            Part::Pull => runtime.block_on(pull::measure(arguments, dir.path(), &mut report))?,
            Part::S3 => runtime.block_on(s3::measure(arguments, dir.path(), &mut report))?,
        }
    }
    report.print();
    Ok(())
}
