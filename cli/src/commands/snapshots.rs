//! `lumbung snapshots`: what was backed up, when, and whether it counts.

use std::path::PathBuf;

use clap::Args;
use lumbung_engine::{SessionOpener, Snapshot};
use lumbung_model::ByteSize;
use lumbung_seal::RootPlain;
use serde_json::{Value, json};

use crate::depot::{Access, DepotArgs, Opened};
use crate::failure::{Exit, Outcome};
use crate::keys::OptionalKeyArgs;
use crate::labels;
use crate::listing::{self, Listing};
use crate::opening::{Opener, open_requester};
use crate::table::Table;
use crate::terminal::{Terminal, printable};

/// List snapshots; with a key also their labels, hosts and sources
#[derive(Debug, Args)]
pub(crate) struct SnapshotsArgs {
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
    /// Requester key (from `lumbung key requester`), to list what was opened to it; goes before --key
    #[arg(long, value_name = "FILE")]
    requester_key: Option<PathBuf>,
    /// Only this dataset: its id, eight or more digits of it, or its name
    #[arg(long, value_name = "NAME|HEX")]
    dataset: Option<String>,
    /// Partial ones too
    #[arg(long)]
    all: bool,
}

/// A snapshot and what its root says, or why it stays closed.
struct Row<'a> {
    snapshot: &'a Snapshot,
    root: Option<Result<RootPlain, String>>,
}

/// Runs `lumbung snapshots`.
///
/// # Errors
/// If the depot or its rosters cannot be read.
pub(crate) fn run(args: &SnapshotsArgs, terminal: &Terminal) -> Outcome<Exit> {
    if let Some(path) = &args.requester_key {
        let passphrase_file = args.key.passphrase.passphrase_file.as_deref();
        let opener = Opener::Requester(open_requester(path, passphrase_file)?, Vec::new());
        let unlocked = opener.unlock(&args.depot, terminal)?;
        let roots = unlocked.roots();
        let root = |snapshot: &Snapshot| Some(roots(&snapshot.id).map_err(|e| e.to_string()));
        return show(args, (&unlocked.opened, &unlocked.list()?), &root, terminal);
    }
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::of(bundle.as_ref()))?;
    let opener = bundle
        .as_ref()
        .map(|bundle| SessionOpener::new(opened.chain.clone(), bundle.recovery().duplicate()));
    let root = |snapshot: &Snapshot| Some(root(&opened, snapshot, opener.as_ref()?));
    show(args, (&opened, &listing::read(&opened)?), &root, terminal)
}

/// What the root of a snapshot says; nothing where no key is at hand.
type RootOf<'a> = dyn Fn(&Snapshot) -> Option<Result<RootPlain, String>> + 'a;

fn show(
    args: &SnapshotsArgs,
    (opened, list): (&Opened, &Listing<'_>),
    root: &RootOf<'_>,
    terminal: &Terminal,
) -> Outcome<Exit> {
    let rows: Vec<Row<'_>> = list
        .snapshots
        .iter()
        .filter(|s| args.all || !s.partial)
        .filter(|s| args.dataset.as_deref().is_none_or(|named| list.is_of(s, named)))
        .map(|snapshot| Row { snapshot, root: root(snapshot) })
        .collect();
    let value = json!({
        "repository": opened.chain.repository(),
        "depot": opened.name(),
        "snapshots": rows.iter().map(to_json).collect::<Vec<_>>(),
        "unreadable": list.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    terminal.result(&value, || table(list, &rows, terminal))?;
    let hidden = list.snapshots.iter().filter(|s| s.partial).count();
    if hidden > 0 && !args.all {
        terminal.note(&format!(
            "{hidden} {}",
            terminal.pick("parsial tidak ditampilkan (--all)", "partial ones not shown (--all)")
        ));
    }
    let closed = rows.iter().filter(|row| matches!(row.root, Some(Err(_)))).count();
    if closed > 0 {
        terminal.warn(&format!(
            "{closed} snapshots do not open with this key: {}",
            first_reason(&rows)
        ));
    }
    list.warn_unreadable(terminal);
    Ok(if closed > 0 || !list.unreadable.is_empty() { Exit::Warnings } else { Exit::Fine })
}

fn root(opened: &Opened, snapshot: &Snapshot, opener: &SessionOpener) -> Result<RootPlain, String> {
    labels::open(opened.depot.as_ref(), &snapshot.id, opener).map_err(|e| e.to_string())
}

fn first_reason(rows: &[Row<'_>]) -> String {
    let reasons = rows.iter().filter_map(|row| row.root.as_ref()?.as_ref().err());
    reasons.map(|reason| printable(reason.as_bytes())).next().unwrap_or_default()
}

/// A snapshot as JSON, from its manifest alone.
#[must_use]
pub(crate) fn snapshot_json(snapshot: &Snapshot) -> Value {
    json!({
        "id": snapshot.id,
        "agent": snapshot.agent,
        "agent_label": snapshot.agent_label,
        "dataset": snapshot.dataset,
        "partial": snapshot.partial,
        "authorized": snapshot.authorized,
        "epoch": snapshot.epoch,
        "sequence": snapshot.sequence,
        "previous": snapshot.previous,
        "started": snapshot.started,
        "finished": snapshot.finished,
        "statistics": snapshot.statistics,
    })
}

fn to_json(row: &Row<'_>) -> Value {
    let mut value = snapshot_json(row.snapshot);
    match &row.root {
        None => {}
        Some(Ok(root)) => {
            value["host"] = json!(root.host);
            value["label"] = json!(root.label);
            value["sources"] =
                root.sources.iter().map(|s| json!(String::from_utf8_lossy(s))).collect();
            value["entries"] = json!(root.entries);
        }
        Some(Err(reason)) => value["closed"] = json!(reason),
    }
    value
}

/// The word for what a snapshot is worth.
#[must_use]
pub(crate) fn state(snapshot: &Snapshot, terminal: &Terminal) -> &'static str {
    match (snapshot.authorized, snapshot.partial) {
        (false, _) => terminal.pick("belum disahkan", "not authorised"),
        (true, true) => terminal.pick("parsial", "partial"),
        (true, false) => terminal.pick("lengkap", "complete"),
    }
}

fn table(list: &Listing<'_>, rows: &[Row<'_>], terminal: &Terminal) -> String {
    if rows.is_empty() {
        return terminal.pick("Belum ada cuplikan.\n", "No snapshots yet.\n").to_owned();
    }
    let mut table = Table::new()
        .rigid(terminal.pick("Cuplikan", "Snapshot"))
        .rigid(terminal.pick("Selesai", "Finished"))
        .text(terminal.pick("Himpunan data", "Dataset"))
        .text(terminal.pick("Agen", "Agent"))
        .number(terminal.pick("Berkas", "Files"))
        .number(terminal.pick("Isi", "Content"))
        .number(terminal.pick("Baru", "New"))
        .rigid(terminal.pick("Keadaan", "State"));
    let digits = list.id_digits();
    for row in rows {
        let snapshot = row.snapshot;
        table.row([
            snapshot.id.to_string()[..digits].to_owned(),
            terminal.time(snapshot.finished),
            dataset_text(row),
            agent_text(row),
            snapshot.statistics.files.to_string(),
            ByteSize::bytes(snapshot.statistics.content_bytes).to_string(),
            ByteSize::bytes(snapshot.statistics.new_stored_bytes).to_string(),
            state(snapshot, terminal).to_owned(),
        ]);
    }
    table.render()
}

/// The digits that `latest:DATASET` takes, and what people call it where the key tells.
fn dataset_text(row: &Row<'_>) -> String {
    let short = row.snapshot.dataset.short();
    let name = match &row.root {
        Some(Ok(root)) if !root.label.is_empty() => printable(root.label.as_bytes()),
        Some(Ok(root)) => root.sources.iter().map(|s| printable(s)).collect::<Vec<_>>().join(", "),
        _ => return short,
    };
    format!("{short} {name}")
}

fn agent_text(row: &Row<'_>) -> String {
    match &row.root {
        Some(Ok(root)) if !root.host.is_empty() => printable(root.host.as_bytes()),
        _ => {
            let label = row.snapshot.agent_label.as_deref().unwrap_or_default();
            if label.is_empty() { row.snapshot.agent.short() } else { printable(label.as_bytes()) }
        }
    }
}
