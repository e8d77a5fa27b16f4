//! `cargo xtask test` and `cargo xtask crash`.

use anyhow::Result;

use crate::install;
use crate::run::{check, command};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the tests: no format, lint and documentation checks.
    #[arg(long)]
    only_tests: bool,
    /// The long forms too: more kills, more property cases, more requests to the API, the vault's tests over a Garage cluster.
    #[arg(long)]
    full: bool,
    /// Passed on to `cargo nextest run`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    nextest: Vec<String>,
}

pub(crate) fn test(options: &Options) -> Result<()> {
    install::for_tests()?;
    if !options.only_tests {
        check(&mut command("cargo", &["fmt", "--all", "--check"]))?;
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        check(&mut command("cargo", &clippy))?;
        let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
        check(command("cargo", &doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    // The end-to-end tests start these programs; nextest alone would not build all of them. With the tests, since alone they are
    // compiled with fewer features of their libraries, and everything a second time.
    check(&mut command("cargo", &["build", "--workspace", "--bins", "--tests"]))?;
    let mut nextest = command("cargo", &["nextest", "run", "--workspace"]);
    // One more than there are cores: an end-to-end test waits most of its time.
    let threads = std::thread::available_parallelism()?.get() + 1;
    nextest.env("NEXTEST_TEST_THREADS", threads.to_string());
    if options.full {
        nextest
            .env("LUMBUNG_TEST_KILLS", "2000")
            .env("PROPTEST_CASES", "1000")
            .env("LUMBUNG_TEST_CASES", "200")
            .env("LUMBUNG_TEST_API_EXAMPLES", "200");
    }
    check(nextest.args(options.nextest.iter().filter(|argument| *argument != "--")))?;
    if options.full { crate::garage::test() } else { Ok(()) }
}

pub(crate) fn crash(seed: Option<u64>) -> Result<()> {
    install::for_tests()?;
    let mut nextest = command("cargo", &["nextest", "run", "--no-capture"]);
    nextest.args(["--package", "lumbung-store", "--package", "lumbung-vault"]);
    nextest.args(["--package", "lumbung-engine", "-E", "binary(crash) or test(/^crash::/)"]);
    nextest.env("LUMBUNG_CRASH", "all");
    if let Some(seed) = seed {
        nextest.env("LUMBUNG_CRASH_SEED", seed.to_string());
    }
    check(&mut nextest)
}
