//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, several at once, with a count at the end.
//!
//! What a run finds goes to `fuzz/work/<target>` and is used again by the next one; the tree keeps the small
//! corpora and what once broke something. Invariant: an input that breaks a property fails the command,
//! and is named together with how to see it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::{check, command, is_there, root, side_by_side};

/// No input that a target keeps is longer.
const INPUT_MAX_BYTES: u32 = 16 << 10;
/// Longer ones stay out of the tree.
const KEPT_MAX_BYTES: u32 = 2048;
/// Whatever an input of that length says of itself, it takes no more memory at once.
const ALLOCATION_MAX_MIB: u32 = 16;
/// Sanitizer, corpus and all.
const MEMORY_MAX_MIB: u32 = 1024;
/// No input of that length may take longer.
const INPUT_MAX_S: u32 = 10;
/// What stands before the number of executions in what libFuzzer says at its end.
const STATISTIC: &str = "stat::number_of_executed_units:";

/// How to fuzz.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Targets at once; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Afterwards keep in the tree the smallest set of inputs that reaches what was reached.
    #[arg(long)]
    keep: bool,
    /// Only these targets.
    targets: Vec<String>,
}

/// What came of a target.
struct Outcome {
    target: String,
    executions: u64,
    /// The input that broke something, if it was written down, and what the fuzzer said.
    failure: Option<(Option<PathBuf>, String)>,
}

fn home() -> PathBuf {
    root().join("fuzz")
}

pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|target| !all.contains(target)) {
        bail!("no target is called {unknown}: {}", all.join(", "));
    }
    let targets = if options.targets.is_empty() { all } else { options.targets.clone() };
    let programs = build()?;
    let outcomes = run_all(&programs, targets.clone(), options.seconds, options.jobs)?;
    report(&outcomes)?;
    if options.keep {
        targets.iter().try_for_each(|target| keep(&programs, target))?;
    }
    Ok(())
}

/// The targets' names, ascending.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(home().join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// `cargo` with the nightly compiler if there is one; else this one, which is told to be.
fn cargo() -> Command {
    if is_there("cargo", "+nightly") {
        return command("cargo", &["+nightly"]);
    }
    let mut cargo = command("cargo", &[]);
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo
}

/// Builds every target; says where the programs are.
fn build() -> Result<PathBuf> {
    if !is_there("cargo-fuzz", "--version") {
        check(&mut command("cargo", &["install", "--locked", "cargo-fuzz"]))?;
    }
    let target_dir = home().join("target");
    let version = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let triple = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV does not name this machine's triple")?;
    check(cargo().args(["fuzz", "build", "--target", triple, "--target-dir"]).arg(&target_dir))?;
    Ok(target_dir.join(triple).join("release"))
}

fn run_all(
    programs: &Path,
    targets: Vec<String>,
    seconds: u64,
    jobs: Option<usize>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = side_by_side(targets, jobs, |target| {
        let outcome = run_one(programs, &target, seconds)?;
        let word = if outcome.failure.is_some() { "FAILED" } else { "ok" };
        println!("  {target:<22} {:>12} executions  {word}", outcome.executions);
        Ok(outcome)
    })?;
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(outcomes)
}

/// A folder of a target, made if it is not there.
fn folder(name: &str, target: &str) -> Result<PathBuf> {
    let folder = home().join(name).join(target);
    fs::create_dir_all(&folder).with_context(|| format!("{} is not made", folder.display()))?;
    Ok(folder)
}

/// What the tree keeps for a target; the folder is missing where nothing ever broke.
fn kept(target: &str) -> Vec<PathBuf> {
    let kept = ["corpus", "regressions"].map(|name| home().join(name).join(target));
    kept.into_iter().filter(|folder| folder.is_dir()).collect()
}

fn run_one(programs: &Path, target: &str, seconds: u64) -> Result<Outcome> {
    let artifacts = folder("artifacts", target)?;
    let before = names(&artifacts)?;
    let output = Command::new(programs.join(target))
        .arg(folder("work", target)?)
        .args(kept(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_MAX_BYTES}"))
        .arg(format!("-malloc_limit_mb={ALLOCATION_MAX_MIB}"))
        .arg(format!("-rss_limit_mb={MEMORY_MAX_MIB}"))
        .arg(format!("-timeout={INPUT_MAX_S}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("the fuzzer of {target} does not start"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let executions = said
        .lines()
        .find_map(|line| line.strip_prefix(STATISTIC))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0);
    let failure = (!output.status.success()).then(|| {
        let after = names(&artifacts).unwrap_or_default();
        (after.into_iter().find(|path| !before.contains(path)), said)
    });
    Ok(Outcome { target: target.to_owned(), executions, failure })
}

fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

fn report(outcomes: &[Outcome]) -> Result<()> {
    let executions: u64 = outcomes.iter().map(|outcome| outcome.executions).sum();
    println!("{} targets, {executions} executions", outcomes.len());
    let mut failed = Vec::new();
    for outcome in outcomes {
        let Some((input, said)) = &outcome.failure else { continue };
        let target = &outcome.target;
        eprintln!("\n{target}:\n{}", tail(said));
        if let Some(input) = input {
            let input = input.strip_prefix(root()).unwrap_or(input).display();
            eprintln!("see it again:  cargo fuzz run {target} {input}");
            eprintln!(
                "keep it:       mkdir -p fuzz/regressions/{target} && mv {input} fuzz/regressions/{target}/"
            );
            eprintln!("and then:      cargo nextest run -p lumbung-fuzz-targets {target}");
        }
        failed.push(target.as_str());
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("a property does not hold: {}", failed.join(", "))
    }
}

/// The last of what a fuzzer said: the panic or the sanitizer's report, and the figures.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let from = lines
        .iter()
        .position(|line| {
            line.contains("panicked at") || line.starts_with("==") || line.contains("ERROR:")
        })
        .unwrap_or(lines.len().saturating_sub(60));
    lines[from..].iter().take(60).copied().collect::<Vec<_>>().join("\n")
}

/// Makes the tree's corpus of a target the smallest set that reaches what the tree's and the work's reach.
fn keep(programs: &Path, target: &str) -> Result<()> {
    let merged = folder("merged", target)?;
    let mut merge = Command::new(programs.join(target));
    merge.arg("-merge=1").arg(format!("-max_len={KEPT_MAX_BYTES}")).arg(&merged);
    merge.args(kept(target)).arg(folder("work", target)?).current_dir(root());
    let output = merge.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!(
            "the inputs of {target} are not merged:\n{}",
            tail(&String::from_utf8_lossy(&output.stderr))
        );
    }
    let corpus = folder("corpus", target)?;
    for file in names(&corpus)? {
        let seed = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
        if !seed {
            fs::remove_file(file)?;
        }
    }
    for file in names(&merged)? {
        let name = file.file_name().context("a file has a name")?;
        if fs::metadata(&file)?.len() <= KEPT_MAX_BYTES.into() {
            fs::copy(&file, corpus.join(name))?;
        }
    }
    fs::remove_dir_all(&merged)?;
    Ok(())
}
