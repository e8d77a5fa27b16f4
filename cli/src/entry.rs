//! An entry of a snapshot's catalogue, for people and as JSON.

use lumbung_model::{ByteSize, Timestamp};
use lumbung_seal::catalogue::{Entry, EntryKind};
use serde_json::{Map, Value, json};

use crate::terminal::{Terminal, hex, printable};

/// The name of an entry's type, stable in JSON.
#[must_use]
pub(crate) const fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::File { .. } => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink { .. } => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice { .. } => "char_device",
        EntryKind::BlockDevice { .. } => "block_device",
        EntryKind::HardLink { .. } => "hard_link",
    }
}

/// The size of a file's content; none of anything else.
#[must_use]
pub(crate) const fn size(entry: &Entry) -> Option<u64> {
    match entry.kind {
        EntryKind::File { size, .. } => Some(size),
        _ => None,
    }
}

/// Bytes as JSON: text in `name`, and `name_hex` beside it where they are not UTF-8.
fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    object.insert(name.to_owned(), json!(String::from_utf8_lossy(bytes)));
    if std::str::from_utf8(bytes).is_err() {
        object.insert(format!("{name}_hex"), json!(hex(bytes)));
    }
}

/// A path of a snapshot as an absolute one.
#[must_use]
pub(crate) fn absolute(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

/// As JSON.
#[must_use]
pub(crate) fn to_json(entry: &Entry) -> Value {
    let mut object = Map::new();
    put_bytes(&mut object, "path", &absolute(&entry.path));
    object.insert("type".into(), json!(kind(entry)));
    object.insert("mode".into(), json!(entry.mode));
    object.insert("uid".into(), json!(entry.uid));
    object.insert("gid".into(), json!(entry.gid));
    put_bytes(&mut object, "user", &entry.user);
    put_bytes(&mut object, "group", &entry.group);
    object.insert("mtime".into(), json!(entry.mtime_s));
    object.insert("mtime_ns".into(), json!(entry.mtime_ns));
    match &entry.kind {
        EntryKind::File { size, sparse, .. } => {
            object.insert("size".into(), json!(size));
            object.insert("sparse".into(), json!(sparse.is_some()));
        }
        EntryKind::Symlink { target } => put_bytes(&mut object, "target", target),
        EntryKind::HardLink { first } => put_bytes(&mut object, "first", &absolute(first)),
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            object.insert("major".into(), json!(major));
            object.insert("minor".into(), json!(minor));
        }
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
    }
    let xattrs: Vec<String> =
        entry.xattrs.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    object.insert("xattrs".into(), json!(xattrs));
    object.insert("changed_while_read".into(), json!(entry.changed_while_read));
    object.insert("unreadable".into(), json!(entry.unreadable));
    Value::Object(object)
}

/// One line, as `ls -l` writes it; flags of the snapshot at the end.
#[must_use]
pub(crate) fn long(entry: &Entry, terminal: &Terminal) -> String {
    let owner =
        |name: &[u8], id: u32| if name.is_empty() { id.to_string() } else { printable(name) };
    let size = size(entry).map_or_else(|| "–".to_owned(), |size| ByteSize::bytes(size).to_string());
    let mut line = format!(
        "{}{}  {:<8} {:<8} {:>8}  {}  {}",
        letter(entry),
        permissions(entry.mode),
        owner(&entry.user, entry.uid),
        owner(&entry.group, entry.gid),
        size,
        terminal.time(Timestamp(entry.mtime_s)),
        printable(&absolute(&entry.path))
    );
    match &entry.kind {
        EntryKind::Symlink { target } => line.push_str(&format!(" -> {}", printable(target))),
        EntryKind::HardLink { first } => {
            line.push_str(&format!(" = {}", printable(&absolute(first))))
        }
        _ => {}
    }
    if entry.changed_while_read {
        line.push_str(terminal.pick("  [berubah saat dibaca]", "  [changed while read]"));
    }
    if entry.unreadable.is_some() {
        line.push_str(terminal.pick("  [tidak terbaca]", "  [unreadable]"));
    }
    line
}

const fn letter(entry: &Entry) -> char {
    match entry.kind {
        EntryKind::File { .. } => '-',
        EntryKind::HardLink { .. } => 'h',
        EntryKind::Directory => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice { .. } => 'c',
        EntryKind::BlockDevice { .. } => 'b',
    }
}

fn permissions(mode: u32) -> String {
    let triple = |shift: u32, special: bool, letter: char| {
        let bits = mode >> shift;
        let execute = match (bits & 1 != 0, special) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        };
        [if bits & 4 != 0 { 'r' } else { '-' }, if bits & 2 != 0 { 'w' } else { '-' }, execute]
    };
    let owner = triple(6, mode & 0o4000 != 0, 's');
    let group = triple(3, mode & 0o2000 != 0, 's');
    let other = triple(0, mode & 0o1000 != 0, 't');
    owner.into_iter().chain(group).chain(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_as_in_ls() {
        assert_eq!(permissions(0o644), "rw-r--r--");
        assert_eq!(permissions(0o4755), "rwsr-xr-x");
        assert_eq!(permissions(0o1777), "rwxrwxrwt");
        assert_eq!(permissions(0o2640), "rw-r-S---");
    }

    #[test]
    fn names_that_are_no_text_keep_their_bytes() {
        let mut object = Map::new();
        put_bytes(&mut object, "path", b"/a\xff");
        assert_eq!(object["path_hex"], "2f61ff");
        put_bytes(&mut object, "user", b"siti");
        assert!(!object.contains_key("user_hex"));
    }
}
