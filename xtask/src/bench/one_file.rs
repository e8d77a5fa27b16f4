//! One file out of a snapshot of very many: how long `lumbung restore --include` and `lumbung dump` take from a
//! directory, beside opening the key alone, which is slow on purpose (Argon2id).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use super::corpora::Kind;
use super::tools::tools;
use super::{Taken, check_quiet, files_below, in_scratch, median, print_machine, timed};
use crate::run::{build_release, target_dir};

/// What to measure with.
#[derive(Args)]
pub(crate) struct Options {
    /// How many files the snapshot has.
    #[arg(long, default_value_t = 1_000_000)]
    files: u64,
    /// How many files are restored, spread over the snapshot.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// A program that is built already; without it a release is built.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where files and repository go.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

pub(super) fn one_file(options: &Options) -> Result<()> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => {
            build_release()?;
            target_dir().join("release/lumbung")
        }
    };
    in_scratch(&options.scratch, |work| {
        print_machine()?;
        let tools = tools(&[], &program)?;
        let ours = &tools[0];
        let (source, repository) = (work.join("source"), work.join("repository"));
        Kind::Tiny.generate(&source, options.files)?;
        ours.init(&repository, work)?;
        let backup = ours.step("full", &source, &repository, work, work);
        check_quiet(&mut backup.context("ours makes backups")?)?;
        let mut files = Vec::new();
        files_below(&source, &mut files)?;
        let (mut packs, step) = (Vec::new(), files.len().div_ceil(options.rounds).max(1));
        files_below(&repository.join("packs"), &mut packs)?;
        println!("{} files, {} packs", files.len(), packs.len());

        // A command with the tool's environment, and other words.
        let command = |words: &[&str]| -> Result<Command> {
            let like = ours.step("verify", &source, &repository, work, work);
            let like = like.context("ours verifies")?;
            let mut command = Command::new(like.get_program());
            for (name, value) in like.get_envs() {
                command.env(name, value.unwrap_or_default());
            }
            command.current_dir(work).args(words);
            Ok(command)
        };
        let place = repository.to_str().context("a path that is text")?;
        let mut key = Vec::new();
        let (mut restored, mut dumped) = (Vec::new(), Vec::new());
        for (round, file) in files.iter().step_by(step).enumerate() {
            let path = file.to_str().context("a path that is text")?;
            let out = format!("out-{round}");
            key.push(timed(command(&["key", "check", "pd.key"])?, work)?);
            let restore = ["restore", place, "latest", "--key", "pd.key", "--include", path];
            let restore = [&restore[..], &["--target", &out]].concat();
            restored.push(timed(command(&restore)?, work)?);
            dumped
                .push(timed(command(&["dump", place, "latest", path, "--key", "pd.key"])?, work)?);
        }
        println!("\n| | median s | slowest s | CPU s | memory MiB |\n|---|---|---|---|---|");
        for (what, taken) in [
            ("the key alone", key),
            ("restore of one file", restored),
            ("dump of one file", dumped),
        ] {
            print_line(what, &taken);
        }
        Ok(())
    })
}

fn print_line(what: &str, taken: &[Taken]) {
    let of = |figure: fn(&Taken) -> f64| taken.iter().map(figure).collect::<Vec<_>>();
    let slowest = of(|taken| taken.wall_s).into_iter().fold(0.0, f64::max);
    println!(
        "| {what} | {:.2} | {slowest:.2} | {:.2} | {:.0} |",
        median(of(|taken| taken.wall_s)),
        median(of(|taken| taken.cpu_s)),
        median(of(|taken| taken.rss_mib)),
    );
}
