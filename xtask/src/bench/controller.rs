//! `cargo xtask bench controller`: builds the controller and the benchmark, which is a program of the test package.

use std::process::Command;

use anyhow::Result;

use crate::run::{check, command, target_dir};

/// What is passed on.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Options of the benchmark; `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let mut build = command("cargo", &["build", "--release", "--package", "lumbung-controller"]);
    check(build.args(["--package", "lumbung-tests", "--bin", "bench-controller"]))?;
    super::print_machine()?;
    let commit = command("git", &["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("lumbung-controller {} ({})", env!("CARGO_PKG_VERSION"), commit.unwrap_or_default());
    let bench = target_dir().join("release/bench-controller");
    check(Command::new(bench).args(options.arguments.iter().filter(|argument| *argument != "--")))
}
