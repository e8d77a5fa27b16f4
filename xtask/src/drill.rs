//! `cargo xtask drill`: exercises over the real programs, printed for people.

use std::process::Command;

use anyhow::Result;
use clap::Subcommand;

use crate::install;
use crate::run::{build_release, check, target_dir};

/// Which exercise.
#[derive(Subcommand)]
pub(crate) enum Drill {
    /// An attacker with root on a PD's server and on the Pusat Data's machine; recovery from the DRC.
    Ransomware {
        /// How many files the PD has.
        #[arg(long, default_value_t = 2000)]
        files: u32,
    },
}

pub(crate) fn drill(drill: &Drill) -> Result<()> {
    let Drill::Ransomware { files } = drill;
    install::for_tests()?;
    build_release()?;
    let exercise = target_dir().join("release/ransomware");
    check(Command::new(exercise).args(["--files", &files.to_string()]))
}
