//! `lumbung backup`: one run, now, straight to a depot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use lumbung_engine::{
    BackupError, BackupOptions, BackupOutcome, BackupRequest, Excludes, NoThrottle, Source, backup,
};
use lumbung_model::{ByteSize, DatasetId, SystemClock};
use lumbung_pack::limits::LABEL_MAX_BYTES;
use serde_json::json;

use crate::depot::{Access, DepotArgs, Opened};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::missing;
use crate::interrupt::on_ctrl_c;
use crate::progress::{Meter, per_second};
use crate::table::pairs;
use crate::terminal::{Terminal, printable};
use crate::{dataset, keys, machine};

/// Warnings shown one by one; the rest is counted.
const SHOWN_WARNINGS: usize = 50;

/// Back up files and folders
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// What to back up
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Agent identity (from `lumbung repo init --agent`)
    #[arg(long, value_name = "FILE", env = "LUMBUNG_AGENT")]
    agent: PathBuf,
    /// Name or id of the dataset (default: these paths are one)
    #[arg(long, value_name = "NAME|HEX")]
    dataset: Option<String>,
    /// Leave out what matches: *.tmp, cache/thumbs, /var/**/core; may be given again
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Stay on the file systems of the paths given
    #[arg(long, short = 'x')]
    one_file_system: bool,
    /// Read every file, also those that seem unchanged
    #[arg(long)]
    force: bool,
    /// Where the agent keeps its cache and journal (default: the identity's file name and .state)
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Host name that stands in the snapshot
    #[arg(long, value_name = "NAME", default_value_t = machine::host_name(), hide_default_value = true)]
    host: String,
}

/// Runs `lumbung backup`.
///
/// # Errors
/// If no snapshot was made.
pub(crate) fn run(args: &BackupArgs, terminal: &Terminal) -> Outcome<Exit> {
    let identity = keys::agent(&args.agent)?;
    let sources = sources(&args.paths)?;
    let opened = args.depot.open(Access::Agent(&identity))?;
    keys::check_agent(&args.agent, &identity, &opened.chain, &opened.name())?;
    let (dataset, label) = match &args.dataset {
        Some(named) => (dataset::given(identity.domain, named), label_of(named)?),
        None => (dataset::of_name(identity.domain, &dataset::name_of_paths(&sources)), ""),
    };
    let options = BackupOptions {
        excludes: excludes(&args.exclude)?,
        one_file_system: args.one_file_system,
        use_cache: !args.force,
        estimate: terminal.draws(),
        ..BackupOptions::default()
    };
    let cancel = on_ctrl_c(terminal.quiet)?;
    let meter = Meter::new(terminal, "backup");
    let state = args.state.clone().unwrap_or_else(|| state_beside(&args.agent));
    let outcome = backup(&BackupRequest {
        depots: &[Arc::clone(&opened.depot)],
        identity: &identity,
        state_dir: &state,
        dataset,
        label,
        host: &args.host,
        source: Source::Paths(&sources),
        options,
        progress: &meter,
        throttle: &NoThrottle,
        cancel: &cancel,
        clock: &SystemClock,
    });
    meter.finish();
    let outcome = outcome.map_err(explain)?;
    tell(&opened, dataset, &outcome, &meter, terminal)
}

/// `agent.id` keeps its state in `agent.id.state`.
fn state_beside(agent: &Path) -> PathBuf {
    let mut name = agent.as_os_str().to_owned();
    name.push(".state");
    PathBuf::from(name)
}

/// Absolute paths without links; one that is not there is an error before anything is sent.
fn sources(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut sources: Vec<PathBuf> = paths
        .iter()
        .map(|path| {
            std::fs::canonicalize(path).map_err(|e| missing(path, "the path to back up,", e))
        })
        .collect::<Outcome<_>>()?;
    sources.sort_unstable();
    sources.dedup();
    Ok(sources)
}

/// The name of a dataset stands in the snapshot; an id needs no name.
fn label_of(named: &str) -> Outcome<&str> {
    if named.parse::<DatasetId>().is_ok() {
        return Ok("");
    }
    if named.is_empty() || named.len() > LABEL_MAX_BYTES {
        let message = format!("a dataset's name has 1 to {LABEL_MAX_BYTES} bytes");
        return Err(Failure::new(Code::Usage, message, "choose another name"));
    }
    Ok(named)
}

fn excludes(patterns: &[String]) -> Outcome<Excludes> {
    Excludes::new(patterns.iter().map(String::as_bytes)).map_err(|e| {
        let next = "write patterns such as '*.tmp', 'cache/thumbs' or '/var/**/core'";
        Failure::new(Code::Usage, "an --exclude cannot be used", next).because(e)
    })
}

fn explain(error: BackupError) -> Failure {
    let (code, message, next) = match &error {
        BackupError::Cancelled => (
            Code::Interrupted,
            "no snapshot was made",
            "run the command again; it goes on where it stopped",
        ),
        BackupError::NotAllowed { .. } => (
            Code::NotEntitled,
            "no snapshot was made",
            "ask the custodian to list this agent: `lumbung roster add-agent`",
        ),
        BackupError::State(_) => (
            Code::Backup,
            "no snapshot was made",
            "check the state directory (--state): another run may be using it",
        ),
        BackupError::NoSource(_) => (Code::FileMissing, "no snapshot was made", "check the paths"),
        BackupError::Unavailable { .. } | BackupError::Depot(_) => (
            Code::Depot,
            "no snapshot was made",
            "see that the depot is there and has space, then run the command again",
        ),
        _ => (
            Code::Backup,
            "no snapshot was made",
            "run the command again; what was sent is not sent again",
        ),
    };
    Failure::new(code, message, next).because(error)
}

fn tell(
    opened: &Opened,
    dataset: DatasetId,
    outcome: &BackupOutcome,
    meter: &Meter,
    terminal: &Terminal,
) -> Outcome<Exit> {
    let receipt = outcome.receipt.as_ref().map(|receipt| {
        json!({
            "site": receipt.site,
            "number": receipt.number,
            "received": receipt.received,
            "locked_until": receipt.locked_until,
        })
    });
    let warnings: Vec<_> = outcome
        .warnings
        .iter()
        .map(|w| json!({ "path": String::from_utf8_lossy(&crate::entry::absolute(&w.path)), "reason": w.reason }))
        .collect();
    let value = json!({
        "repository": opened.chain.repository(),
        "depot": outcome.depot,
        "snapshot": outcome.manifest,
        "dataset": dataset,
        "receipt": receipt,
        "authorized": outcome.authorized,
        "epoch": outcome.epoch,
        "sequence": outcome.sequence,
        "started": outcome.started,
        "finished": outcome.finished,
        "statistics": outcome.statistics,
        "read_bytes": outcome.read_bytes,
        "sent_bytes": outcome.sent_bytes,
        "partials": outcome.partials,
        "warnings": warnings,
        "warnings_total": outcome.warnings_total,
    });
    terminal.result(&value, || text(dataset, outcome, meter, terminal))?;
    complain(outcome, terminal);
    let warned = outcome.has_warnings() || !outcome.authorized;
    Ok(if warned { Exit::Warnings } else { Exit::Fine })
}

/// Warnings, on stderr.
fn complain(outcome: &BackupOutcome, terminal: &Terminal) {
    for warning in outcome.warnings.iter().take(SHOWN_WARNINGS) {
        terminal.warn(&printable(warning.to_string().as_bytes()));
    }
    let hidden =
        outcome.warnings_total.saturating_sub(outcome.warnings.len().min(SHOWN_WARNINGS) as u64);
    if hidden > 0 {
        terminal.warn(&format!("{hidden} more like these; --json lists up to 1000"));
    }
    if !outcome.authorized {
        terminal.warn("the newest roster does not list this agent: the snapshot is kept but never `latest` (belum disahkan); ask the custodian for `lumbung roster add-agent`");
    }
}

fn text(dataset: DatasetId, outcome: &BackupOutcome, meter: &Meter, terminal: &Terminal) -> String {
    let statistics = &outcome.statistics;
    let speed = ByteSize::bytes(per_second(statistics.content_bytes, meter.elapsed()));
    let seconds = meter.elapsed().as_secs_f64();
    let receipt = match &outcome.receipt {
        Some(receipt) => format!(
            "{} {}",
            terminal.pick("diterima; terkunci sampai", "received; locked until"),
            terminal.time(receipt.locked_until)
        ),
        None => terminal.pick("– (direktori)", "– (a directory)").to_owned(),
    };
    pairs(&[
        (terminal.pick("Cuplikan", "Snapshot"), outcome.manifest.to_string()),
        (terminal.pick("Himpunan data", "Dataset"), dataset.to_string()),
        (
            terminal.pick("Isi", "Content"),
            format!(
                "{} {}, {}, {seconds:.1} s ({speed}/s)",
                statistics.files,
                terminal.pick("berkas", "files"),
                ByteSize::bytes(statistics.content_bytes)
            ),
        ),
        (
            terminal.pick("Baru", "New"),
            format!(
                "{} → {} {}",
                ByteSize::bytes(statistics.new_plain_bytes),
                ByteSize::bytes(statistics.new_stored_bytes),
                terminal.pick("tersimpan", "stored")
            ),
        ),
        (terminal.pick("Tanda terima", "Receipt"), receipt),
    ])
}
