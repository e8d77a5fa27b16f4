//! What a directory tree is, attribute by attribute, read with nothing of Lumbung's own code: the judge of
//! every restore.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Everything about one entry that a backup must bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    size: u64,
    device: u64,
    target: Option<PathBuf>,
    content: Option<[u8; 32]>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path, in order, of the same file; none if it has one name.
    linked_to: Option<PathBuf>,
}

/// A tree: path relative to its top → entry.
pub type Tree = BTreeMap<PathBuf, Entry>;

/// Reads a tree whole, contents included.
///
/// # Errors
/// If anything in it cannot be read.
pub fn read(top: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut links = BTreeMap::new();
    read_into(top, Path::new(""), &mut tree, &mut links)?;
    Ok(tree)
}

/// The files below a directory, whatever else lies there left out; in no order.
///
/// # Errors
/// If a directory cannot be read.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

type Links = BTreeMap<(u64, u64), PathBuf>;

fn read_into(top: &Path, relative: &Path, tree: &mut Tree, links: &mut Links) -> Result<()> {
    let path = if relative.as_os_str().is_empty() { top.to_path_buf() } else { top.join(relative) };
    let entry = read_entry(&path, relative, links).with_context(|| path.display().to_string())?;
    let is_directory = entry.kind == 'd';
    tree.insert(relative.to_path_buf(), entry);
    if is_directory {
        let mut names: Vec<_> =
            fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
        names.sort();
        for name in names {
            read_into(top, &relative.join(name), tree, links)?;
        }
    }
    Ok(())
}

fn read_entry(path: &Path, relative: &Path, links: &mut Links) -> Result<Entry> {
    let data = fs::symlink_metadata(path)?;
    let kind = data.file_type();
    let letter = match () {
        () if kind.is_file() => 'f',
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () if kind.is_socket() => 's',
        () if kind.is_char_device() => 'c',
        () => 'b',
    };
    let linked_to = (letter != 'd' && data.nlink() > 1).then(|| {
        links.entry((data.dev(), data.ino())).or_insert_with(|| relative.to_path_buf()).clone()
    });
    Ok(Entry {
        kind: letter,
        mode: data.mode() & 0o7777,
        owner: (data.uid(), data.gid()),
        modified: (data.mtime(), data.mtime_nsec()),
        size: if letter == 'd' { 0 } else { data.size() },
        device: if matches!(letter, 'c' | 'b') { data.rdev() } else { 0 },
        target: if letter == 'l' { Some(fs::read_link(path)?) } else { None },
        content: if letter == 'f' { Some(hash(path)?) } else { None },
        xattrs: xattrs(path)?,
        linked_to,
    })
}

fn hash(path: &Path) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?)?;
    Ok(*hasher.finalize().as_bytes())
}

fn xattrs(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..])?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

/// How two trees differ: one line each, at most `most`, and how many there are.
#[must_use]
pub fn differences(expected: &Tree, found: &Tree, most: usize) -> (Vec<String>, usize) {
    let mut lines = Vec::new();
    for (path, entry) in expected {
        match found.get(path) {
            None => lines.push(format!("{} is missing", path.display())),
            Some(other) if other != entry => {
                lines.push(format!("{} differs:\n  {entry:?}\n  {other:?}", path.display()));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        lines.push(format!("{} is new", path.display()));
    }
    let count = lines.len();
    lines.truncate(most);
    (lines, count)
}

/// Entries and bytes of content.
#[must_use]
pub fn extent(tree: &Tree) -> (usize, u64) {
    (tree.len(), tree.values().filter(|entry| entry.kind == 'f').map(|entry| entry.size).sum())
}
