//! `cargo xtask chaos`: thousands of random kills, in runs of some hundred with a seed of their own, several at once.
//!
//! Every run founds a city of its own and checks at its end that no receipt was lost and that what was receipted
//! restores. A run that fails is printed whole, with the command that repeats it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::Stdio;

use anyhow::{Result, bail};

use crate::install;
use crate::run::{check, command, side_by_side};

/// Kills in one run: its snapshots are read again after every round, so that long runs take longer and longer.
const KILLS_A_RUN: u32 = 500;

/// How to kill.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many kills in all.
    #[arg(long, default_value_t = 2000)]
    kills: u32,
    /// Seed of the first run; the others follow it by one. Random if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs at once; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
}

pub(crate) fn chaos(options: &Options) -> Result<()> {
    install::for_tests()?;
    check(&mut command("cargo", &["build", "--workspace", "--bins"]))?;
    check(&mut command("cargo", &["nextest", "run", "--package", "lumbung-tests", "--no-run"]))?;
    // The standard library's own source of random numbers; a short seed is easier to type again.
    let first =
        options.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % 1_000_000);
    let killed = side_by_side(runs(options.kills, first), options.jobs, |(seed, kills)| {
        run(seed, kills)?;
        Ok(kills)
    })?;
    println!("{} kills: nothing was lost", killed.iter().sum::<u32>());
    Ok(())
}

/// The runs: their seeds and kills.
fn runs(kills: u32, first: u64) -> Vec<(u64, u32)> {
    let starts = (0..kills).step_by(KILLS_A_RUN as usize);
    (first..).zip(starts).map(|(seed, done)| (seed, KILLS_A_RUN.min(kills - done))).collect()
}

fn run(seed: u64, kills: u32) -> Result<()> {
    let mut nextest = command("cargo", &["nextest", "run", "--package", "lumbung-tests"]);
    nextest.args(["--no-capture", "chaos::"]).stdin(Stdio::null());
    nextest.env("LUMBUNG_TEST_KILLS", kills.to_string());
    let output = nextest.env("LUMBUNG_TEST_SEED", seed.to_string()).output()?;
    if output.status.success() {
        println!("seed {seed}, {kills} kills: nothing was lost");
        return Ok(());
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    bail!(
        "seed {seed} failed; see it again with `cargo xtask chaos --kills {kills} --seed {seed}`"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kill_belongs_to_a_run_with_a_seed_of_its_own() {
        assert_eq!(runs(1100, 7), [(7, 500), (8, 500), (9, 100)]);
        assert_eq!(runs(500, 7), [(7, 500)]);
        assert!(runs(0, 7).is_empty());
    }
}
