//! `cargo xtask mutants`: cargo-mutants over the crates whose tests must notice any change.
//!
//! `.cargo/mutants.toml` leaves out what no test can tell apart, each with its reason; `docs/mutants.md` has the
//! survivors that stay. A mutant that survives, or a test that hangs on one, fails the command.

use anyhow::Result;

use crate::install;
use crate::run::{check, command, succeeds};

/// What is mutated if nobody says otherwise.
const PACKAGES: [&str; 2] = ["lumbung-pack", "lumbung-seal"];

/// What to mutate.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only files that match, as in `crates/model/src/retention*`; may be repeated.
    #[arg(long)]
    file: Vec<String>,
    /// A part of the mutants, as in 0/8.
    #[arg(long)]
    shard: Option<String>,
    /// Mutants at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Only these tests, as `cargo nextest run -E` takes them: a package with slow ones has some that are about the file.
    #[arg(long)]
    tests: Option<String>,
    /// Only the package's library and this file of tests: what need not be compiled costs a mutant the most.
    #[arg(long)]
    test: Option<String>,
    /// Packages; lumbung-pack and lumbung-seal if none is named.
    packages: Vec<String>,
}

pub(crate) fn mutants(options: &Options) -> Result<()> {
    install::for_tests()?;
    // It gives its version only as a subcommand.
    if !succeeds(&mut command("cargo", &["mutants", "--version"])) {
        check(&mut command("cargo", &["install", "--locked", "cargo-mutants"]))?;
    }
    let mut mutants = command("cargo", &["mutants", "--test-tool", "nextest", "--jobs"]);
    mutants.arg(options.jobs.to_string());
    let named = options.packages.iter().map(String::as_str);
    let packages: Vec<&str> =
        if options.packages.is_empty() { PACKAGES.to_vec() } else { named.collect() };
    for package in packages {
        mutants.args(["--package", package]);
    }
    for file in &options.file {
        mutants.args(["--file", file]);
    }
    if let Some(shard) = &options.shard {
        mutants.args(["--shard", shard]);
    }
    if let Some(test) = &options.test {
        mutants.args(["--cargo-arg", "--lib", "--cargo-arg", "--test", "--cargo-arg", test]);
    }
    // One test that fails is enough.
    mutants.args(["--", "--fail-fast"]);
    if let Some(tests) = &options.tests {
        mutants.args(["-E", tests]);
    }
    check(&mut mutants)
}
