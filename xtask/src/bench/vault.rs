//! `cargo xtask bench vault`: builds the programs and starts the benchmark, which is a program of the test package.

use std::process::Command;

use anyhow::Result;

use crate::run::{build_release, check, target_dir};

/// What is passed on.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Options of the benchmark; `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) arguments: Vec<String>,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    crate::install::peer("b3sum")?;
    build_release()?;
    super::print_machine()?;
    let bench = target_dir().join("release/bench-vault");
    check(Command::new(bench).args(arguments.iter().filter(|argument| *argument != "--")))
}
