//! The project's own commands: `cargo xtask test`, `demo`, `drill`, `bench`, `chaos`, `crash`.
//!
//! Invariants: whatever a command needs is installed by the command itself, from Debian's packages, crates.io or
//! PyPI; a command that cannot run something fails and says why, it never skips.

mod bench;
mod chaos;
mod drill;
mod fuzz;
mod garage;
mod install;
mod mutants;
mod run;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what the tests need, checks format, lints and documentation, runs every test.
    Test(test::Options),
    /// Shows the main job end to end over the real programs.
    Demo {
        /// Options and paths for the demo; `-- --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Holds an exercise over the real programs.
    #[command(subcommand)]
    Drill(drill::Drill),
    /// Kills the programs at random moments, thousands of times.
    Chaos(chaos::Options),
    /// Checks every state that a loss of power may leave of a vault, a repository and an agent's state.
    Crash {
        /// Seed of the random choices.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Runs the vault's tests over a Garage cluster of three nodes, of which one after the other is killed.
    Garage {
        /// Measures the vault over the cluster instead, and kills nothing.
        #[arg(long)]
        bench: bool,
    },
    /// Looks for inputs that break what the parsers promise.
    Fuzz(fuzz::Options),
    /// Changes the code in small ways and sees whether a test notices.
    Mutants(mutants::Options),
    /// Measures ours beside the installed peers.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(options) => test::test(&options),
        Command::Demo { arguments } => run::demo(&arguments),
        Command::Drill(drill) => drill::drill(&drill),
        Command::Chaos(options) => chaos::chaos(&options),
        Command::Crash { seed } => test::crash(seed),
        Command::Garage { bench: false } => garage::test(),
        Command::Garage { bench: true } => garage::bench(),
        Command::Fuzz(options) => fuzz::fuzz(&options),
        Command::Mutants(options) => mutants::mutants(&options),
        Command::Bench(bench) => bench::bench(&bench),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
