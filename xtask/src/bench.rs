//! `cargo xtask bench engine` (`bench vault` is in [`vault`]): ours beside the installed peers, on the same data, in one run.
//!
//! Every tool does the same five things on a copy of the corpus: first backup into an empty local repository,
//! nothing changed, 1 % of the files appended, restore of the last snapshot, verify. Figures are medians of
//! several rounds, warm cache; every single run is printed too.

mod tools;
mod vault;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::run::{build_release, check, is_there, target_dir};
use tools::{Tool, tools};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Backup, restore and verify on a local directory.
    Engine {
        /// The data; it is copied first, and only the copy is changed.
        #[arg(long)]
        corpus: PathBuf,
        /// Rounds; the median counts.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Peers beside ours, separated by commas; what is missing is installed.
        #[arg(long, value_delimiter = ',', default_value = "restic,rustic,borg,bupstash,tar")]
        peers: Vec<String>,
        /// Where copies and repositories go.
        #[arg(long, default_value_os_t = std::env::temp_dir())]
        scratch: PathBuf,
    },
    /// PUT, `have`, commit, scrub, the pull over a long line, and a vault of ten million chunks.
    Vault(vault::Options),
}

/// What a tool is asked to do, in this order.
const STEPS: [&str; 5] = ["full", "same", "1 %", "restore", "verify"];

/// What one run of a program took.
#[derive(Clone, Copy, Default)]
struct Taken {
    wall_s: f64,
    cpu_s: f64,
    rss_mib: f64,
}

pub(crate) fn bench(bench: &Bench) -> Result<()> {
    let (corpus, rounds, peers, scratch) = match bench {
        Bench::Engine { corpus, rounds, peers, scratch } => (corpus, rounds, peers, scratch),
        Bench::Vault(options) => return vault::run(options),
    };
    if !corpus.is_dir() {
        bail!("{} is not a directory: --corpus names the data to back up", corpus.display());
    }
    for peer in peers.iter().filter(|peer| *peer != "tar") {
        crate::install::peer(peer)?;
    }
    crate::install::peer("zstd")?;
    if !is_there("/usr/bin/time", "--version") {
        check(Command::new("apt-get").args(["install", "-y", "-qq", "time"]))?;
    }
    build_release()?;
    let work = scratch.join(format!("lumbung-bench-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let result = measure(corpus, *rounds, peers, &work);
    fs::remove_dir_all(&work)
        .with_context(|| format!("{} could not be removed", work.display()))?;
    result
}

fn measure(corpus: &Path, rounds: usize, peers: &[String], work: &Path) -> Result<()> {
    print_machine()?;
    let tools = tools(peers, &target_dir().join("release/lumbung"))?;
    let mut table = Vec::new();
    for tool in &tools {
        println!("\n{} — {}", tool.name, tool.version()?);
        let mut runs = Vec::new();
        for round in 0..rounds {
            let run = one_round(tool, corpus, &work.join(format!("{}-{round}", tool.name)))?;
            print_round(round, &run);
            runs.push(run);
        }
        table.push((tool.name, medians(&runs)));
    }
    print_table(&table);
    Ok(())
}

/// What one round of a tool took, step by step, and how large its repository was after the first.
struct Round {
    steps: Vec<Option<Taken>>,
    repository_bytes: u64,
}

fn one_round(tool: &Tool, corpus: &Path, work: &Path) -> Result<Round> {
    let source = work.join("source");
    let (repository, restored) = (work.join("repository"), work.join("restored"));
    fs::create_dir_all(&restored)?;
    fs::create_dir_all(work.join("home"))?;
    check_quiet(Command::new("cp").arg("-a").arg(corpus).arg(&source))?;
    // Nothing in the copy is so young that a tool would have to read it again to be sure.
    std::thread::sleep(Duration::from_secs(3));
    tool.init(&repository, work)?;
    let mut steps = Vec::new();
    let mut repository_bytes = 0;
    for step in STEPS {
        if step == "1 %" {
            append_to_one_percent(&source)?;
        }
        steps.push(match tool.step(step, &source, &repository, &restored, work) {
            Some(command) => Some(timed(command, work)?),
            None => None,
        });
        if step == "full" {
            repository_bytes = bytes_below(&repository)?;
        }
    }
    fs::remove_dir_all(work)?;
    // ext4 does not use an inode again within 35 s of freeing it, and looking for others makes the next
    // restore many times slower, whichever tool does it.
    check_quiet(&mut Command::new("sync"))?;
    std::thread::sleep(Duration::from_secs(40));
    Ok(Round { steps, repository_bytes })
}

fn check_quiet(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Runs a command under GNU time.
fn timed(mut command: Command, work: &Path) -> Result<Taken> {
    let figures = work.join("time");
    let mut timed = Command::new("/usr/bin/time");
    timed.arg("-o").arg(&figures).args(["-f", "%e %U %S %M"]);
    timed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        timed.env(name, value.unwrap_or_default());
    }
    if let Some(directory) = command.get_current_dir() {
        timed.current_dir(directory);
    }
    let output = timed.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let shown = command.env_remove("PATH");
        bail!("{shown:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(&figures)?;
    let figures: Vec<f64> =
        text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [wall_s, user_s, system_s, rss_kib] = figures[..] else { bail!("GNU time wrote {text:?}") };
    Ok(Taken { wall_s, cpu_s: user_s + system_s, rss_mib: rss_kib / 1024.0 })
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files_below(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn bytes_below(path: &Path) -> Result<u64> {
    if path.is_file() {
        return Ok(path.metadata()?.len());
    }
    let mut files = Vec::new();
    files_below(path, &mut files)?;
    files.iter().map(|file| Ok(file.metadata()?.len())).sum()
}

/// Appends a line to every hundredth file, the same files for every tool.
fn append_to_one_percent(source: &Path) -> Result<()> {
    let mut files = Vec::new();
    files_below(source, &mut files)?;
    files.sort();
    for file in files.iter().step_by(100) {
        let mode = file.metadata()?.permissions();
        let mut open = fs::OpenOptions::new().append(true).open(file)?;
        writeln!(open, "one line more")?;
        fs::set_permissions(file, mode)?;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn medians(rounds: &[Round]) -> Round {
    let steps = (0..STEPS.len())
        .map(|step| {
            let taken: Option<Vec<Taken>> = rounds.iter().map(|round| round.steps[step]).collect();
            let taken = taken?;
            let of = |figure: fn(&Taken) -> f64| median(taken.iter().map(figure).collect());
            Some(Taken {
                wall_s: of(|t| t.wall_s),
                cpu_s: of(|t| t.cpu_s),
                rss_mib: of(|t| t.rss_mib),
            })
        })
        .collect();
    let mut sizes: Vec<u64> = rounds.iter().map(|round| round.repository_bytes).collect();
    sizes.sort_unstable();
    Round { steps, repository_bytes: sizes[sizes.len() / 2] }
}

fn print_machine() -> Result<()> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    println!("machine{}, {cores} cores, Linux {}", model.trim_start(), kernel.trim());
    Ok(())
}

fn print_round(round: usize, run: &Round) {
    print!("  round {}:", round + 1);
    for (step, taken) in STEPS.iter().zip(&run.steps) {
        match taken {
            Some(taken) => print!(
                "  {step} {:.2} s ({:.2} CPU, {:.0} MiB)",
                taken.wall_s, taken.cpu_s, taken.rss_mib
            ),
            None => print!("  {step} –"),
        }
    }
    println!("  repository {:.1} MB", mb(run.repository_bytes));
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn print_table(table: &[(&str, Round)]) {
    println!(
        "\n| | full s | CPU s | RSS MiB | repository MB | same s | 1 % s | restore s | verify s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, run) in table {
        let full = run.steps[0].unwrap_or_default();
        let wall = |step: usize| {
            run.steps[step].map_or_else(|| "–".to_owned(), |taken| format!("{:.2}", taken.wall_s))
        };
        println!(
            "| {name} | {:.2} | {:.2} | {:.0} | {:.1} | {} | {} | {} | {} |",
            full.wall_s,
            full.cpu_s,
            full.rss_mib,
            mb(run.repository_bytes),
            wall(1),
            wall(2),
            wall(3),
            wall(4)
        );
    }
}
