//! `lumbung diff`: what changed between two snapshots.

use std::io::{self, BufWriter, Write as _};

use clap::Args;
use lumbung_engine::{Change, DiffEntry};
use serde_json::{Value, json};

use crate::commands::browse::{ChosenArgs, reader};
use crate::depot::{Access, DepotArgs};
use crate::entry::{absolute, to_json};
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

/// Runs `lumbung diff`.
///
/// # Errors
/// If one of the snapshots cannot be read.
pub(crate) fn run(args: &DiffArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.chosen.key.open()?;
    let opened = args.depot.open(Access::Bundle(&bundle))?;
    let dataset = args.chosen.dataset.as_deref();
    let (older, old) = reader(&opened, &args.from, dataset, &bundle, terminal)?;
    let (newer, new) = reader(&opened, &args.to, dataset, &bundle, terminal)?;
    let mut counts = Counts::default();
    let mut changes: Vec<Value> = Vec::new();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printed = Ok(());
    let mut visit = |diff: DiffEntry| {
        counts.count(diff.change);
        if terminal.json {
            changes.push(json!({ "change": name(diff.change), "entry": to_json(&diff.entry) }));
        } else if printed.is_ok() {
            printed = writeln!(out, "{} {}", letter(diff.change), printable(&absolute(&diff.entry.path)));
        }
    };
    let what = format!("snapshots {} and {} could not be compared", older.id.short(), newer.id.short());
    old.diff(&new, &mut visit).map_err(|e| listing::explain(&what, e))?;
    printed.and_then(|()| out.flush()).map_err(|e| stdout_failure(&e))?;
    drop(out);
    let value = json!({
        "from": older.id,
        "to": newer.id,
        "added": counts.added,
        "removed": counts.removed,
        "content": counts.content,
        "attributes": counts.attributes,
        "changes": changes,
    });
    terminal.result(&value, || {
        let words = terminal.pick(["baru", "hilang", "isi berubah", "atribut berubah"], ["added", "removed", "changed", "attributes changed"]);
        let figures = [counts.added, counts.removed, counts.content, counts.attributes];
        let parts: Vec<String> = figures.iter().zip(words).map(|(n, word)| format!("{n} {word}")).collect();
        format!("{}\n", parts.join(", "))
    })?;
    Ok(Exit::Fine)
}
