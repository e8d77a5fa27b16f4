//! `cargo xtask bench database`: builds the programs and the benchmark, which is a program of the test package.

use std::process::Command;

use anyhow::Result;

use crate::install;
use crate::run::{build_release, check, target_dir};

/// What is passed on.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Options of the benchmark; `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    install::for_tests()?;
    build_release()?;
    super::print_machine()?;
    let bench = target_dir().join("release/bench-database");
    check(Command::new(bench).args(options.arguments.iter().filter(|argument| *argument != "--")))
}
