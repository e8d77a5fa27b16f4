//! Every tool does the same five things on a copy of the corpus: first backup into an empty local repository,
//! nothing changed, something changed, restore of the last snapshot, verify.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::corpora::{Kind, append_to_one_percent, change_pages};
use super::tools::{Tool, tools};
use super::{
    Taken, bytes_below, bytes_of, check_quiet, files_below, in_scratch, mb, median, print_machine,
    timed,
};
use crate::run::{build_release, target_dir};

/// What to measure with.
#[derive(Args)]
pub(crate) struct Options {
    /// `src=DIR`, `db`, `packed`, `tiny` or `pages`; may be repeated. A directory may be given for each (`packed=DIR`);
    /// it is copied, and only the copy is changed.
    #[arg(long, required = true)]
    corpus: Vec<String>,
    /// Files in the generated corpus `tiny`.
    #[arg(long, default_value_t = 1_000_000)]
    tiny_files: u64,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Peers beside ours, separated by commas; what is missing is installed.
    #[arg(long, value_delimiter = ',', default_value = "restic,rustic,borg,bupstash,tar")]
    peers: Vec<String>,
    /// Where copies and repositories go.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
}

/// What a tool is asked to do, in this order.
const STEPS: [&str; 5] = ["full", "same", "changed", "restore", "verify"];

/// From here on a round's directories stay until the corpus is done: ext4 does not use an inode again for up to five
/// minutes after it was freed, and looking for others makes the next restore many times slower, whichever tool
/// does it.
const MANY_FILES: usize = 10_000;

/// A corpus, where it is.
struct Corpus {
    name: String,
    kind: Kind,
    directory: PathBuf,
    files: usize,
    bytes: u64,
}

pub(super) fn engine(options: &Options) -> Result<()> {
    for peer in options.peers.iter().filter(|peer| *peer != "tar") {
        crate::install::peer(peer)?;
    }
    crate::install::peer("zstd")?;
    build_release()?;
    in_scratch(&options.scratch, |work| {
        print_machine()?;
        let tools = tools(&options.peers, &target_dir().join("release/lumbung"))?;
        for tool in &tools {
            println!("{} — {}", tool.name, tool.version()?);
        }
        for corpus in &options.corpus {
            let corpus = corpus_of(corpus, work, options.tiny_files)?;
            measure(&corpus, options.rounds, &tools, work)?;
        }
        Ok(())
    })
}

fn corpus_of(argument: &str, work: &Path, tiny_files: u64) -> Result<Corpus> {
    let (name, directory) = match argument.split_once('=') {
        Some((name, directory)) => (name, Some(PathBuf::from(directory))),
        None => (argument, None),
    };
    let kind = Kind::of(name)?;
    let directory = match directory {
        Some(given) if given.is_dir() => given,
        Some(given) => bail!("{} is not a directory", given.display()),
        None => {
            let made = work.join(format!("corpus-{name}"));
            kind.generate(&made, tiny_files)?;
            made
        }
    };
    let mut files = Vec::new();
    files_below(&directory, &mut files)?;
    let bytes = bytes_of(&files)?;
    Ok(Corpus { name: name.to_owned(), kind, directory, files: files.len(), bytes })
}

fn measure(corpus: &Corpus, rounds: usize, tools: &[Tool], work: &Path) -> Result<()> {
    println!(
        "\n## {}: {} files, {:.0} MB; changed: {}",
        corpus.name,
        corpus.files,
        mb(corpus.bytes),
        corpus.kind.change()
    );
    let work = work.join(format!("rounds-{}", corpus.name));
    let mut runs: Vec<Vec<Round>> = tools.iter().map(|_| Vec::new()).collect();
    // Tools take turns, so that a machine that slows down slows all of them.
    for round in 0..rounds {
        for (tool, runs) in tools.iter().zip(&mut runs) {
            let run = one_round(tool, corpus, &work.join(format!("{}-{round}", tool.name)))?;
            print_round(tool.name, round, &run);
            runs.push(run);
        }
    }
    fs::remove_dir_all(&work)?;
    let table: Vec<_> =
        tools.iter().zip(&runs).map(|(tool, runs)| (tool.name, medians(runs))).collect();
    print_table(&table);
    print_ratios(&table);
    Ok(())
}

/// What one round of a tool took, step by step, and how large its repository was after the first and the third.
struct Round {
    steps: Vec<Option<Taken>>,
    repository_bytes: u64,
    changed_bytes: u64,
}

fn one_round(tool: &Tool, corpus: &Corpus, work: &Path) -> Result<Round> {
    let source = work.join("source");
    let (repository, restored) = (work.join("repository"), work.join("restored"));
    fs::create_dir_all(&restored)?;
    fs::create_dir_all(work.join("home"))?;
    check_quiet(Command::new("cp").arg("-a").arg(&corpus.directory).arg(&source))?;
    // Nothing in the copy is so young that a tool would have to read it again to be sure.
    std::thread::sleep(Duration::from_secs(3));
    tool.init(&repository, work)?;
    let (mut steps, mut repository_bytes, mut changed_bytes) = (Vec::new(), 0, 0);
    for step in STEPS {
        if step == "changed" {
            change(corpus.kind, &source)?;
        }
        steps.push(match tool.step(step, &source, &repository, &restored, work) {
            Some(command) => Some(timed(command, work)?),
            None => None,
        });
        match step {
            "full" => repository_bytes = bytes_below(&repository)?,
            "changed" => changed_bytes = bytes_below(&repository)?.saturating_sub(repository_bytes),
            _ => {}
        }
    }
    if corpus.files < MANY_FILES {
        fs::remove_dir_all(work)?;
    }
    check_quiet(&mut Command::new("sync"))?;
    Ok(Round { steps, repository_bytes, changed_bytes })
}

fn change(kind: Kind, source: &Path) -> Result<()> {
    if kind == Kind::Pages {
        return change_pages(source);
    }
    let mut files = Vec::new();
    files_below(source, &mut files)?;
    append_to_one_percent(files)
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
    let middle = |figure: fn(&Round) -> u64| {
        let mut sizes: Vec<u64> = rounds.iter().map(figure).collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied().unwrap_or_default()
    };
    let (repository_bytes, changed_bytes) =
        (middle(|round| round.repository_bytes), middle(|round| round.changed_bytes));
    Round { steps, repository_bytes, changed_bytes }
}

fn print_round(tool: &str, round: usize, run: &Round) {
    print!("  {tool}, round {}:", round + 1);
    for (step, taken) in STEPS.iter().zip(&run.steps) {
        match taken {
            Some(taken) => print!(
                "  {step} {:.2} s ({:.2} CPU, {:.0} MiB)",
                taken.wall_s, taken.cpu_s, taken.rss_mib
            ),
            None => print!("  {step} –"),
        }
    }
    println!("  repository {:.1} MB + {:.1} MB", mb(run.repository_bytes), mb(run.changed_bytes));
}

/// A figure of a row; none where the tool does not do it.
type Column = (&'static str, fn(&Round) -> Option<f64>);

/// The columns of the table. `tar` writes everything anew where something changed, so it has no "added".
const COLUMNS: [Column; 10] = [
    ("full s", |run| run.steps[0].map(|taken| taken.wall_s)),
    ("CPU s", |run| run.steps[0].map(|taken| taken.cpu_s)),
    ("RSS MiB", |run| run.steps[0].map(|taken| taken.rss_mib)),
    ("repository MB", |run| Some(mb(run.repository_bytes))),
    ("same s", |run| run.steps[1].map(|taken| taken.wall_s)),
    ("changed s", |run| run.steps[2].map(|taken| taken.wall_s)),
    ("added MB", |run| run.steps[2].map(|_| mb(run.changed_bytes))),
    ("restore s", |run| run.steps[3].map(|taken| taken.wall_s)),
    ("restore MiB", |run| run.steps[3].map(|taken| taken.rss_mib)),
    ("verify s", |run| run.steps[4].map(|taken| taken.wall_s)),
];

fn print_heading() {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    println!("\n| | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(COLUMNS.len()));
}

fn print_table(table: &[(&str, Round)]) {
    print_heading();
    for (name, run) in table {
        let shown = COLUMNS.map(|(_, figure)| {
            figure(run).map_or_else(|| "–".to_owned(), |figure| format!("{figure:.2}"))
        });
        println!("| {name} | {} |", shown.join(" | "));
    }
}

/// Ours against each peer, and against the best of them in each column.
fn print_ratios(table: &[(&str, Round)]) {
    let Some(((ours, us), peers)) = table.split_first() else { return };
    if peers.is_empty() {
        return;
    }
    print_heading();
    let ratio = |figure: fn(&Round) -> Option<f64>, peer: Option<f64>| match (figure(us), peer) {
        (Some(ours), Some(peer)) if peer > 0.0 => format!("{:.2}", ours / peer),
        _ => "–".to_owned(),
    };
    for (name, run) in peers {
        let shown = COLUMNS.map(|(_, figure)| ratio(figure, figure(run)));
        println!("| {ours} / {name} | {} |", shown.join(" | "));
    }
    let shown = COLUMNS.map(|(_, figure)| {
        // tar is the floor of what can be had at all, and no backup.
        let others =
            peers.iter().filter(|(name, _)| *name != "tar").filter_map(|(_, run)| figure(run));
        ratio(figure, others.min_by(f64::total_cmp))
    });
    println!("| {ours} / best peer | {} |", shown.join(" | "));
}
