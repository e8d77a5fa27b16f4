//! What `lumbung find` prints: a line for each version, and how it is restored.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use lumbung_engine::Version;
use lumbung_model::{ByteSize, ManifestId, Timestamp};
use serde_json::{Value, json};

use crate::commands::find::Found;
use crate::depot::Opened;
use crate::entry::{absolute, kind, size, to_json};
use crate::failure::Outcome;
use crate::terminal::{Terminal, printable};

/// A command's argument as a shell takes it.
fn quoted(argument: &[u8]) -> String {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-:=@%+,".contains(byte);
    if !argument.is_empty() && argument.iter().all(harmless) {
        return String::from_utf8_lossy(argument).into_owned();
    }
    if argument.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        let text = String::from_utf8_lossy(argument);
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    // Bytes that a terminal may not show, as bash reads them.
    let mut text = String::from("$'");
    for byte in argument {
        match byte {
            b'\'' | b'\\' => text.push_str(&format!("\\{}", char::from(*byte))),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('\'');
    text
}

/// The command that restores a version.
#[must_use]
pub(super) fn command(depot: &str, keys: &[(&str, &Path)], version: &Version) -> String {
    let keys = keys
        .iter()
        .map(|(option, file)| format!("{option} {}", quoted(file.as_os_str().as_bytes())));
    format!(
        "lumbung restore {} {} {} --include {} --target OUT",
        quoted(depot.as_bytes()),
        version.last.0.short(),
        keys.collect::<Vec<_>>().join(" "),
        quoted(&absolute(&version.entry.path))
    )
}

/// A site as people call it.
fn site_name(opened: &Opened) -> String {
    let listed = opened.depot.site().and_then(|id| opened.chain.site(&id));
    match listed {
        Some(site) if !site.label.is_empty() => site.label.clone(),
        _ => opened.name(),
    }
}

fn place(found: &Found, (id, finished): (ManifestId, Timestamp)) -> Value {
    json!({ "snapshot": id, "finished": finished, "authorized": found.is_authorized(&id) })
}

/// Prints what was found.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn tell(
    found: &Found,
    command: &dyn Fn(&Version) -> String,
    terminal: &Terminal,
) -> Outcome<()> {
    let names: Vec<String> = found.sites.iter().map(|site| site_name(&site.opened)).collect();
    let sites_of = |version: &Version| -> Vec<&str> {
        version.sites.iter().filter_map(|site| names.get(*site).map(String::as_str)).collect()
    };
    let versions: Vec<Value> = found
        .versions
        .iter()
        .zip(1..)
        .map(|(version, number)| {
            json!({
                "number": number,
                "entry": to_json(&version.entry),
                "first": place(found, version.first),
                "last": place(found, version.last),
                "authorized": found.is_authorized(&version.last.0),
                "snapshots": version.snapshots,
                "sites": sites_of(version),
                "restore": command(version),
            })
        })
        .collect();
    let value = json!({ "versions": versions, "left_out": found.left_out });
    terminal.result(&value, || text(found, &sites_of, command, terminal))
}

fn text<'a>(
    found: &Found,
    sites_of: &dyn Fn(&Version) -> Vec<&'a str>,
    command: &dyn Fn(&Version) -> String,
    terminal: &Terminal,
) -> String {
    let Some(newest) = found.versions.first() else {
        return terminal.pick("Tidak ditemukan.\n", "Nothing found.\n").to_owned();
    };
    let mut text = String::new();
    let mut path: Option<&[u8]> = None;
    for (version, number) in found.versions.iter().zip(1..) {
        if path != Some(&version.entry.path) {
            text.push_str(&format!("{}\n", printable(&absolute(&version.entry.path))));
            path = Some(&version.entry.path);
        }
        let vouched = found.is_authorized(&version.last.0);
        text.push_str(&line(version, number, &sites_of(version), vouched, terminal));
    }
    if found.left_out > 0 {
        let more = terminal.pick(
            "versi lagi tidak ditampilkan; persempit polanya, atau naikkan --limit",
            "more versions are not shown; narrow the pattern, or raise --limit",
        );
        text.push_str(&format!("… {} {more}\n", found.left_out));
    }
    let hint = terminal.pick("Memulihkan nomor 1", "To restore number 1");
    text.push_str(&format!("\n{hint}:\n  {}\n", command(newest)));
    text
}

fn line(
    version: &Version,
    number: usize,
    sites: &[&str],
    vouched: bool,
    terminal: &Terminal,
) -> String {
    let of = size(&version.entry)
        .map_or_else(|| kind(&version.entry).to_owned(), |size| ByteSize::bytes(size).to_string());
    let (first, last) = (terminal.time(version.first.1), terminal.time(version.last.1));
    let seen = if version.snapshots == 1 {
        format!("{} ({last})", version.last.0.short())
    } else {
        let word = terminal.pick("cuplikan", "snapshots");
        let (from, until) = (version.first.0.short(), version.last.0.short());
        format!("{from} ({first}) … {until} ({last}), {} {word}", version.snapshots)
    };
    let sites: Vec<String> = sites.iter().map(|site| printable(site.as_bytes())).collect();
    let doubt = if vouched { "" } else { terminal.pick("  BELUM DISAHKAN", "  NOT AUTHORISED") };
    format!(
        "{number:>5}  {}  {of:>10}  {seen}  [{}]{doubt}\n",
        terminal.time(Timestamp(version.entry.mtime_s)),
        sites.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_quotes() {
        assert_eq!(quoted(b"/srv/a-1.pdf"), "/srv/a-1.pdf");
        assert_eq!(quoted(b"/srv/a b;rm"), "'/srv/a b;rm'");
        assert_eq!(quoted(b"it's"), "'it'\\''s'");
        assert_eq!(quoted(b"a\n'\xff"), "$'a\\x0a\\'\\xff'");
        assert_eq!(quoted(b""), "''");
    }
}
