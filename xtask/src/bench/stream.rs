//! One very long file, generated while it is read, into a depot that keeps nothing: what is measured is the engine
//! alone, and that its memory does not follow the length.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::fuse::{NAME, Stream};
use super::{in_scratch, print_machine, timed};
use crate::run::{check, command, target_dir};

/// What to measure with.
#[derive(Args)]
pub(crate) struct Options {
    /// Length of the stream.
    #[arg(long, default_value_t = 100)]
    gib: u64,
    /// Rounds.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Where the mount point and the agent's state go.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

pub(super) fn stream(options: &Options) -> Result<()> {
    let build = ["build", "--release", "-p", "lumbung-engine", "--example", "null_depot"];
    check(&mut command("cargo", &build))?;
    let program = target_dir().join("release/examples/null_depot");
    in_scratch(&options.scratch, |work| {
        print_machine()?;
        for round in 0..options.rounds {
            let directory = work.join("stream");
            let mounted = Stream::mount(&directory, options.gib << 30)?;
            let mut backup = Command::new(&program);
            backup.arg(directory.join(NAME)).arg(work.join(format!("state-{round}")));
            let taken = timed(backup, work)?;
            mounted.unmount()?;
            #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
            let bytes = (options.gib << 30) as f64;
            println!(
                "  round {}: {} GiB in {:.1} s, {:.0} MB/s, {:.1} CPU s, {:.1} MiB",
                round + 1,
                options.gib,
                taken.wall_s,
                bytes / taken.wall_s / 1e6,
                taken.cpu_s,
                taken.rss_mib
            );
        }
        Ok(())
    })
}
