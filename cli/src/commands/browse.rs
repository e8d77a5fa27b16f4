//! `lumbung ls` and `dump`: look into a snapshot without restoring it.

use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use lumbung_engine::{Include, Snapshot, SnapshotError, SnapshotReader};
use lumbung_seal::catalogue::{Entry, EntryKind};
use serde_json::{Value, json};

use crate::depot::{DepotArgs, head_cache};
use crate::entry::{absolute, long, to_json};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::listing;
use crate::opening::{OpeningArgs, Unlocked};
use crate::terminal::{Terminal, printable, stdout_failure};

/// List what a snapshot holds
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// latest, latest:DATASET, an id or its beginning
    snapshot: String,
    /// Folder or file (default: the top)
    #[arg(default_value = "/")]
    path: PathBuf,
    /// Type, mode, owner, size and time
    #[arg(short, long)]
    long: bool,
    /// Everything beneath too
    #[arg(short = 'R', long)]
    recursive: bool,
    #[command(flatten)]
    chosen: ChosenArgs,
}

/// Write one file of a snapshot to stdout
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// latest, latest:DATASET, an id or its beginning
    snapshot: String,
    /// The file
    path: PathBuf,
    #[command(flatten)]
    chosen: ChosenArgs,
}

/// Key, and dataset where several have a latest snapshot.
#[derive(Debug, Args)]
pub(crate) struct ChosenArgs {
    #[command(flatten)]
    pub(crate) key: OpeningArgs,
    /// Only this dataset: its id, eight or more digits of it, or its name
    #[arg(long, value_name = "NAME|HEX")]
    pub(crate) dataset: Option<String>,
}

/// Opens the snapshot that is meant.
///
/// # Errors
/// If none or several are meant, or it does not open.
pub(crate) fn reader(
    unlocked: &Unlocked,
    spec: &str,
    dataset: Option<&str>,
    terminal: &Terminal,
) -> Outcome<(Snapshot, SnapshotReader)> {
    let snapshot = unlocked.list()?.select(spec, dataset, terminal)?;
    let reader = open_reader(unlocked, &snapshot)?;
    Ok((snapshot, reader))
}

/// Opens a snapshot.
///
/// # Errors
/// If it does not open.
pub(crate) fn open_reader(unlocked: &Unlocked, snapshot: &Snapshot) -> Outcome<SnapshotReader> {
    let opened = &unlocked.opened;
    SnapshotReader::open_cached(
        Arc::clone(&opened.depot),
        None,
        Some(opened.chain.repository()),
        &snapshot.id,
        &unlocked.opening,
        head_cache(opened.depot.as_ref()),
    )
    .map_err(|e| {
        listing::explain(&format!("snapshot {} could not be opened", snapshot.id.short()), e)
    })
}

/// A path of the command line as it stands in a catalogue.
#[must_use]
pub(crate) fn inner(path: &std::path::Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    let parts: Vec<&[u8]> =
        bytes.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    parts.join(&b'/')
}

/// Runs `lumbung ls`.
///
/// # Errors
/// If the snapshot or the path is not there.
pub(crate) fn ls(args: &LsArgs, terminal: &Terminal) -> Outcome<Exit> {
    let unlocked = args.chosen.key.open()?.unlock(&args.depot, terminal)?;
    let (snapshot, reader) =
        reader(&unlocked, &args.snapshot, args.chosen.dataset.as_deref(), terminal)?;
    let folder = inner(&args.path);
    let what = format!("snapshot {} could not be listed", snapshot.id.short());
    if terminal.json {
        let entries = if args.recursive {
            all_beneath(&reader, &folder).map_err(|e| listing::explain(&what, e))?
        } else {
            reader.list(&folder).map_err(|e| listing::explain(&what, e))?
        };
        let entries: Vec<Value> = entries.iter().map(to_json).collect();
        terminal.result(&json!({ "snapshot": snapshot.id, "entries": entries }), String::new)?;
        return Ok(Exit::Fine);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut show = |entry: &Entry| {
        let line =
            if args.long { long(entry, terminal) } else { printable(&absolute(&entry.path)) };
        writeln!(out, "{line}").map_err(|e| stdout_failure(&e))
    };
    if args.recursive {
        // A path that is not there is an error, not an empty list.
        check_path(&reader, &folder, &what)?;
        each(&reader, &folder, &what, &mut |entry| show(&entry))?;
    } else {
        for entry in reader.list(&folder).map_err(|e| listing::explain(&what, e))? {
            show(&entry)?;
        }
    }
    out.flush().map_err(|e| stdout_failure(&e))?;
    Ok(Exit::Fine)
}

fn check_path(reader: &SnapshotReader, path: &[u8], what: &str) -> Outcome<()> {
    if path.is_empty() {
        return Ok(());
    }
    reader.entry(path).map(drop).map_err(|e| listing::explain(what, e))
}

fn all_beneath(reader: &SnapshotReader, folder: &[u8]) -> Result<Vec<Entry>, SnapshotError> {
    if !folder.is_empty() {
        reader.entry(folder)?;
    }
    let include = Include::paths([folder]);
    let mut entries = Vec::new();
    reader.for_each::<SnapshotError>(&include, &mut |entry| {
        if include.contains(&entry.path) {
            entries.push(entry);
        }
        Ok(())
    })?;
    Ok(entries)
}

/// What ends a walk: the snapshot, or whoever is told of the entries.
enum Stop {
    Snapshot(SnapshotError),
    Told(Failure),
}

impl From<SnapshotError> for Stop {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

fn each(
    reader: &SnapshotReader,
    folder: &[u8],
    what: &str,
    visit: &mut dyn FnMut(Entry) -> Outcome<()>,
) -> Outcome<()> {
    let include = Include::paths([folder]);
    let walked = reader.for_each::<Stop>(&include, &mut |entry| {
        // Folders on the way to the one that is meant are not part of it.
        if include.contains(&entry.path) { visit(entry).map_err(Stop::Told) } else { Ok(()) }
    });
    walked.map_err(|stop| match stop {
        Stop::Snapshot(error) => listing::explain(what, error),
        Stop::Told(failure) => failure,
    })
}

/// Runs `lumbung dump`.
///
/// # Errors
/// If it is no file, or a part of it is damaged.
pub(crate) fn dump(args: &DumpArgs, terminal: &Terminal) -> Outcome<Exit> {
    let unlocked = args.chosen.key.open()?.unlock(&args.depot, terminal)?;
    let (snapshot, reader) =
        reader(&unlocked, &args.snapshot, args.chosen.dataset.as_deref(), terminal)?;
    let path = inner(&args.path);
    let shown = printable(&absolute(&path));
    let what = format!("{shown} of snapshot {} could not be read", snapshot.id.short());
    let entry = file(&reader, &path).map_err(|e| listing::explain(&what, e))?;
    if !matches!(entry.kind, EntryKind::File { .. }) || entry.unreadable.is_some() {
        let message = format!(
            "{shown} of snapshot {} has no content: it is a {}",
            snapshot.id.short(),
            crate::entry::kind(&entry)
        );
        return Err(Failure::new(
            Code::UnknownPath,
            message,
            "name a file; `lumbung ls --long` shows what is there",
        ));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    reader.write_content(&entry, &mut out).map_err(|error| match error {
        SnapshotError::Write(error) => stdout_failure(&error),
        error => listing::explain(&what, error),
    })?;
    out.flush().map_err(|e| stdout_failure(&e))?;
    if entry.changed_while_read {
        terminal.warn(&format!("{shown} changed while it was backed up"));
        return Ok(Exit::Warnings);
    }
    Ok(Exit::Fine)
}

/// The entry, or the first name of the file that it is a hard link to.
fn file(reader: &SnapshotReader, path: &[u8]) -> Result<Entry, SnapshotError> {
    let entry = reader.entry(path)?;
    match &entry.kind {
        EntryKind::HardLink { first } => reader.entry(first),
        _ => Ok(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_in_a_catalogue() {
        assert_eq!(inner("/srv//data/./x/".as_ref()), b"srv/data/x");
        assert_eq!(inner("/".as_ref()), b"");
    }
}
