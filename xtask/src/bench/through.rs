//! The first backup by an agent to a vault over loopback with mutual TLS, agent and vault on the same cores, beside
//! restic to a local directory; and what the agent takes when it has nothing to do.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::tools::tools;
use super::{check_quiet, in_scratch, median, print_machine, timed};
use crate::run::{build_release, target_dir};

/// What to measure with.
#[derive(Args)]
pub(crate) struct Options {
    /// The data; it is copied, and only the copy is read.
    #[arg(long)]
    corpus: PathBuf,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long the idle agent is watched.
    #[arg(long, default_value_t = 60)]
    idle_s: u64,
    /// Where copies and repositories go.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

pub(super) fn through(options: &Options) -> Result<()> {
    crate::install::peer("restic")?;
    build_release()?;
    let program = target_dir().join("release/through_vault");
    in_scratch(&options.scratch, |work| {
        print_machine()?;
        let source = work.join("source");
        check_quiet(Command::new("cp").arg("-a").arg(&options.corpus).arg(&source))?;
        std::thread::sleep(Duration::from_secs(3));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            let city = work.join(format!("city-{round}"));
            let idle = if round + 1 == options.rounds { options.idle_s } else { 0 };
            let mut run = Command::new(&program);
            run.arg(&source).arg(&city).arg(idle.to_string());
            let output = run.output()?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let told: serde_json::Value =
                serde_json::from_str(&text).with_context(|| format!("{text}{errors}"))?;
            println!("  through the vault, round {}: {told}", round + 1);
            ours.push(told["wall_s"].as_f64().context("no wall_s")?);
            fs::remove_dir_all(&city)?;
            let beside = work.join(format!("restic-{round}"));
            fs::create_dir_all(beside.join("home"))?;
            let restic = &tools(&["restic".to_owned()], &program)?[1];
            let repository = beside.join("repository");
            restic.init(&repository, &beside)?;
            let step = restic.step("full", &source, &repository, &beside, &beside);
            let taken = timed(step.context("restic makes backups")?, &beside)?;
            println!("  restic, local, round {}: {:.2} s", round + 1, taken.wall_s);
            theirs.push(taken.wall_s);
            fs::remove_dir_all(&beside)?;
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "\nthrough the vault / restic local: {ours:.2} s / {theirs:.2} s = {:.2}",
            ours / theirs
        );
        Ok(())
    })
}
