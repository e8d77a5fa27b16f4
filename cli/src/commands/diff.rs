//! `lumbung diff`: what changed between two snapshots.

use std::io::{self, BufWriter, Write as _};

use clap::Args;
use lumbung_engine::{Change, DiffEntry, SnapshotError, SnapshotReader};
use lumbung_seal::catalogue::Entry;
use serde_json::{Value, json};

use crate::commands::browse::{ChosenArgs, reader};
use crate::depot::DepotArgs;
use crate::entry::{absolute, size, to_json};
use crate::failure::{Exit, Outcome};
use crate::listing;
use crate::terminal::{Terminal, printable, stdout_failure};

/// Show what changed from one snapshot to another
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// The older snapshot
    from: String,
    /// The newer snapshot
    to: String,
    /// Read files of the same size too whose parts were stored anew, instead of going by their time
    #[arg(long)]
    checksum: bool,
    #[command(flatten)]
    chosen: ChosenArgs,
}

const fn name(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Content => "content",
        Change::Attributes => "attributes",
    }
}

const fn letter(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Content => 'M',
        Change::Attributes => 'U',
    }
}

#[derive(Default)]
struct Counts {
    added: u64,
    removed: u64,
    content: u64,
    attributes: u64,
}

impl Counts {
    const fn count(&mut self, change: Change) {
        let counter = match change {
            Change::Added => &mut self.added,
            Change::Removed => &mut self.removed,
            Change::Content => &mut self.content,
            Change::Attributes => &mut self.attributes,
        };
        *counter += 1;
    }
}

/// What really changed. Small files share chunks, so a neighbour's change stores a file's bytes anew:
/// such a file counts as unchanged if size and time are the same, or, with `checksum`, its bytes.
fn judge(
    old: &SnapshotReader,
    new: &SnapshotReader,
    diff: &DiffEntry,
    checksum: bool,
) -> Result<Option<Change>, SnapshotError> {
    if diff.change != Change::Content {
        return Ok(Some(diff.change));
    }
    let before = old.entry(&diff.entry.path)?;
    let (Some(left), Some(right)) = (size(&before), size(&diff.entry)) else {
        return Ok(Some(Change::Content));
    };
    let comparable =
        left == right && before.unreadable.is_none() && diff.entry.unreadable.is_none();
    let time = |entry: &Entry| (entry.mtime_s, entry.mtime_ns);
    let same = comparable
        && if checksum {
            digest(old, &before)? == digest(new, &diff.entry)?
        } else {
            time(&before) == time(&diff.entry)
        };
    if !same {
        return Ok(Some(Change::Content));
    }
    let attributes = Entry { kind: before.kind.clone(), ..diff.entry.clone() };
    Ok((attributes != before).then_some(Change::Attributes))
}

fn digest(reader: &SnapshotReader, entry: &Entry) -> Result<blake3::Hash, SnapshotError> {
    let mut hasher = blake3::Hasher::new();
    reader.write_content(entry, &mut hasher)?;
    Ok(hasher.finalize())
}

/// Runs `lumbung diff`.
///
/// # Errors
/// If one of the snapshots cannot be read.
pub(crate) fn run(args: &DiffArgs, terminal: &Terminal) -> Outcome<Exit> {
    let unlocked = args.chosen.key.open()?.unlock(&args.depot, terminal)?;
    let dataset = args.chosen.dataset.as_deref();
    let (older, old) = reader(&unlocked, &args.from, dataset, terminal)?;
    let (newer, new) = reader(&unlocked, &args.to, dataset, terminal)?;
    let mut counts = Counts::default();
    let mut changes: Vec<Value> = Vec::new();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printed = Ok(());
    let mut failed = None;
    let mut visit = |diff: DiffEntry| {
        let change = match judge(&old, &new, &diff, args.checksum) {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err(error) => {
                failed.get_or_insert(error);
                return;
            }
        };
        counts.count(change);
        if terminal.json {
            changes.push(json!({ "change": name(change), "entry": to_json(&diff.entry) }));
        } else if printed.is_ok() {
            printed =
                writeln!(out, "{} {}", letter(change), printable(&absolute(&diff.entry.path)));
        }
    };
    let what =
        format!("snapshots {} and {} could not be compared", older.id.short(), newer.id.short());
    let walked = old.diff(&new, &mut visit);
    walked.and(failed.map_or(Ok(()), Err)).map_err(|e| listing::explain(&what, e))?;
    printed.and_then(|()| out.flush()).map_err(|e| stdout_failure(&e))?;
    drop(out);
    let ids = json!({ "from": older.id, "to": newer.id });
    tell(ids, &counts, changes, terminal)?;
    Ok(Exit::Fine)
}

fn tell(
    mut value: Value,
    counts: &Counts,
    changes: Vec<Value>,
    terminal: &Terminal,
) -> Outcome<()> {
    value["added"] = json!(counts.added);
    value["removed"] = json!(counts.removed);
    value["content"] = json!(counts.content);
    value["attributes"] = json!(counts.attributes);
    value["changes"] = Value::Array(changes);
    terminal.result(&value, || {
        let words = terminal.pick(
            ["baru", "hilang", "isi berubah", "atribut berubah"],
            ["added", "removed", "changed", "attributes changed"],
        );
        let figures = [counts.added, counts.removed, counts.content, counts.attributes];
        let parts: Vec<String> =
            figures.iter().zip(words).map(|(n, word)| format!("{n} {word}")).collect();
        format!("{}\n", parts.join(", "))
    })
}
