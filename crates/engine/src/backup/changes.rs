//! What changed since the last finished run: counted along with the walk, and with the chunks as they are sealed.
//!
//! Invariants: files are compared with the cache of the last finished run, whatever an interrupted one brought; without that cache
//! nothing is counted. Memory does not grow with the number of files: the walk goes in path order, so a folder is over when its path is
//! left, and only the worst are kept; names that may have been renamed are remembered as hashes, up to a limit, beyond which renames are
//! counted too low. Nothing here decides what is read.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use lumbung_model::anomaly::{FOLDERS_MAX, FolderFigures, NewData, PATH_MAX_BYTES, RunFigures};

/// Names remembered at once, over all folders that are not over.
const NAMES_MAX: usize = 1 << 16;
/// Extensions that are counted at once (J. Misra and D. Gries, "Finding repeated elements", 1982).
const EXTENSIONS: usize = 8;
/// Extensions that one file may have been given at once: `.id-7F3A.[mail@host].lokd` has four dots.
const DOTS_MAX: usize = 8;

/// Where the content of a file that is read comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Origin {
    /// It is read for another reason than a change, or there is nothing to compare with.
    #[default]
    Unchanged,
    /// The file was there before.
    Rewritten,
    /// The file was not.
    Added,
}

/// How many bytes of a chunk are of which origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Origins {
    rewritten: u64,
    added: u64,
}

impl Origins {
    /// So many bytes more of this origin.
    pub(super) const fn add(&mut self, origin: Origin, bytes: u64) {
        match origin {
            Origin::Unchanged => {}
            Origin::Rewritten => self.rewritten += bytes,
            Origin::Added => self.added += bytes,
        }
    }
}

/// Counters of [`NewData`] that the sealing threads share.
#[derive(Debug, Default)]
struct DataCounters {
    read: AtomicU64,
    deduplicated: AtomicU64,
    incompressible: AtomicU64,
}

impl DataCounters {
    fn figures(&self) -> NewData {
        NewData {
            read_bytes: self.read.load(Ordering::Relaxed),
            deduplicated_bytes: self.deduplicated.load(Ordering::Relaxed),
            incompressible_bytes: self.incompressible.load(Ordering::Relaxed),
        }
    }
}

/// What became of the chunks of a run.
#[derive(Debug, Default)]
pub(super) struct ChunkCounters {
    rewritten: DataCounters,
    added: DataCounters,
}

impl ChunkCounters {
    fn each(&self, origins: Origins) -> [(&DataCounters, u64); 2] {
        [(&self.rewritten, origins.rewritten), (&self.added, origins.added)]
    }

    /// A chunk that is stored already.
    pub(super) fn known(&self, origins: Origins) {
        for (counters, bytes) in self.each(origins) {
            counters.read.fetch_add(bytes, Ordering::Relaxed);
            counters.deduplicated.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// A chunk of `plain` bytes that takes `stored`.
    pub(super) fn sealed(&self, origins: Origins, plain: u64, stored: u64) {
        let noise = (2 * stored).saturating_sub(plain).min(plain);
        for (counters, bytes) in self.each(origins) {
            let part = u128::from(noise) * u128::from(bytes) / u128::from(plain.max(1));
            counters.read.fetch_add(bytes, Ordering::Relaxed);
            counters.incompressible.fetch_add(u64::try_from(part).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// A folder that the walk has not left.
#[derive(Default)]
struct Folder {
    path: Vec<u8>,
    figures: FolderFigures,
    gone: HashSet<u64>,
    gone_stems: HashMap<u64, u32>,
    new_stems: HashMap<u64, u32>,
    remembered: usize,
}

/// Counts what the walk finds, in path order.
#[derive(Default)]
pub(super) struct Changes {
    figures: RunFigures,
    /// The folders on the way to where the walk is, outermost first; only those in which something happened.
    open: Vec<Folder>,
    worst: Vec<(Vec<u8>, FolderFigures)>,
    extensions: Vec<(Vec<u8>, u64)>,
    remembered: usize,
    hasher: RandomState,
}

/// The folder and the name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Where in a name an extension begins: dots that are not its first byte, the last one first.
fn dots(name: &[u8]) -> impl Iterator<Item = usize> {
    (1..name.len()).rev().filter(|at| name[*at] == b'.').take(DOTS_MAX)
}

fn is_within(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// Takes one of these away, if there is one.
fn take(counts: &mut HashMap<u64, u32>, key: u64) -> bool {
    match counts.get_mut(&key) {
        Some(1) => counts.remove(&key).is_some(),
        Some(count) => {
            *count -= 1;
            true
        }
        None => false,
    }
}

impl Changes {
    /// A file of the last run, whether it is there now or not.
    pub(super) const fn before(&mut self, bytes: u64) {
        self.figures.before_files = self.figures.before_files.saturating_add(1);
        self.figures.before_bytes = self.figures.before_bytes.saturating_add(bytes);
    }

    /// A file that was there and is not what it was.
    pub(super) fn changed(&mut self, path: &[u8]) {
        self.figures.changed_files += 1;
        self.folder(split(path).0).figures.changed_files += 1;
    }

    /// A file of the last run that is gone.
    pub(super) fn gone(&mut self, path: &[u8], bytes: u64) {
        self.figures.removed_files += 1;
        self.figures.removed_bytes = self.figures.removed_bytes.saturating_add(bytes);
        let (folder, name) = split(path);
        let stem = dots(name).next().map(|dot| self.hasher.hash_one(&name[..dot]));
        let whole = self.hasher.hash_one(name);
        let remember = self.remembered < NAMES_MAX;
        let folder = self.folder(folder);
        folder.figures.removed_files += 1;
        if stem.is_some_and(|stem| take(&mut folder.new_stems, stem)) {
            folder.figures.renamed_files += 1;
            self.figures.renamed_files += 1;
        } else if remember {
            folder.gone.insert(whole);
            folder.remembered += 1;
            if let Some(stem) = stem {
                *folder.gone_stems.entry(stem).or_default() += 1;
            }
            self.remembered += 1;
        }
    }

    /// A file that was not there; where its content comes from.
    pub(super) fn appeared(&mut self, path: &[u8]) -> Origin {
        self.figures.new_files += 1;
        let (folder, name) = split(path);
        // Whatever it may have been called before extensions were added, the longest first, each with its stem.
        let hashed = |text: &[u8]| self.hasher.hash_one(text);
        let stem_of = |text: &[u8]| dots(text).next().map(|dot| hashed(&text[..dot]));
        let before: Vec<(u64, Option<u64>)> =
            dots(name).map(|dot| (hashed(&name[..dot]), stem_of(&name[..dot]))).collect();
        let remember = self.remembered < NAMES_MAX;
        let folder = self.folder(folder);
        folder.figures.new_files += 1;
        let appended = before.iter().find(|(whole, _)| folder.gone.remove(whole));
        if let Some((_, Some(stem))) = appended {
            take(&mut folder.gone_stems, *stem);
        }
        let stem = before.first().map(|(whole, _)| *whole);
        if appended.is_some() || stem.is_some_and(|stem| take(&mut folder.gone_stems, stem)) {
            self.renamed(name);
            return Origin::Rewritten;
        }
        if let Some(stem) = stem.filter(|_| remember) {
            *folder.new_stems.entry(stem).or_default() += 1;
            folder.remembered += 1;
            self.remembered += 1;
        }
        Origin::Added
    }

    /// The file of this new name is one that is gone under another.
    fn renamed(&mut self, name: &[u8]) {
        self.figures.renamed_files += 1;
        if let Some(folder) = self.open.last_mut() {
            folder.figures.renamed_files += 1;
        }
        let Some(dot) = dots(name).next() else { return };
        let extension = &name[dot + 1..];
        if let Some((_, count)) = self.extensions.iter_mut().find(|(known, _)| known == extension) {
            *count += 1;
        } else if self.extensions.len() < EXTENSIONS {
            self.extensions.push((extension.to_vec(), 1));
        } else {
            self.extensions.iter_mut().for_each(|(_, count)| *count -= 1);
            self.extensions.retain(|(_, count)| *count > 0);
        }
    }

    /// The folder of what happens now; those that the walk has left are over.
    fn folder(&mut self, path: &[u8]) -> &mut Folder {
        while self.open.last().is_some_and(|folder| !is_within(path, &folder.path)) {
            self.leave();
        }
        if self.open.last().is_none_or(|folder| folder.path != path) {
            self.open.push(Folder { path: path.to_vec(), ..Folder::default() });
        }
        self.open.last_mut().expect("a folder was pushed if there was none")
    }

    fn leave(&mut self) {
        let Some(folder) = self.open.pop() else { return };
        self.remembered -= folder.remembered;
        let weight = folder.figures.weight();
        let place = self.worst.partition_point(|(_, other)| other.weight() >= weight);
        if weight > 0 && place < FOLDERS_MAX {
            self.worst.insert(place, (folder.path, folder.figures));
            self.worst.truncate(FOLDERS_MAX);
        }
    }

    /// What was counted, once the walk is over.
    pub(super) fn finish(mut self) -> RunFigures {
        while !self.open.is_empty() {
            self.leave();
        }
        let mut figures = self.figures;
        let most = self.extensions.iter().max_by_key(|(_, count)| *count);
        let text = most.map(|(extension, _)| String::from_utf8_lossy(extension).into_owned());
        figures.new_extension =
            text.filter(|text| RunFigures::tells_extension(text)).unwrap_or_default();
        let shown = |(path, folder): (Vec<u8>, FolderFigures)| FolderFigures {
            path: shown(&path),
            ..folder
        };
        figures.folders = self.worst.into_iter().map(shown).collect();
        // One file may look renamed twice: `a.doc` went, `a.lokd` and `a.doc.lokd` came.
        let most = |renamed: u64, new: u64, gone: u64| renamed.min(new).min(gone);
        figures.renamed_files =
            most(figures.renamed_files, figures.new_files, figures.removed_files);
        for one in &mut figures.folders {
            one.renamed_files = most(one.renamed_files, one.new_files, one.removed_files);
        }
        figures
    }
}

/// A folder as people read it, no longer than may be told.
fn shown(path: &[u8]) -> String {
    let text = format!("/{}", String::from_utf8_lossy(path));
    let mut text: String = text
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    text.truncate(text.floor_char_boundary(PATH_MAX_BYTES));
    text
}

/// The figures of a run, from what the walk found and what became of the chunks.
pub(super) fn figures(
    walked: &RunFigures,
    chunks: &ChunkCounters,
    stored_bytes: u64,
) -> RunFigures {
    RunFigures {
        rewritten: chunks.rewritten.figures(),
        added: chunks.added.figures(),
        stored_bytes,
        ..walked.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_files_are_known_by_what_they_keep_of_their_name() {
        let mut changes = Changes::default();
        changes.gone(b"a/one.xlsx", 1);
        assert_eq!(changes.appeared(b"a/one.xlsx.id-7F.[m@h.id].lokd"), Origin::Rewritten);
        changes.gone(b"a/two.xlsx", 1);
        assert_eq!(changes.appeared(b"a/two.xlsx.lokd"), Origin::Rewritten);
        assert_eq!(changes.appeared(b"b/three.aaa"), Origin::Added);
        changes.gone(b"b/three.xlsx", 1);
        changes.gone(b"b/four.docx", 1);
        assert_eq!(changes.appeared(b"b/four.lokd"), Origin::Rewritten);
        // Neither another folder's name, nor a name taken twice, nor a hidden file is one.
        changes.gone(b"c/five.txt", 1);
        assert_eq!(changes.appeared(b"d/five.txt.lokd"), Origin::Added);
        assert_eq!(changes.appeared(b"d/.lokd"), Origin::Added);
        let figures = changes.finish();
        assert_eq!((figures.renamed_files, figures.new_files, figures.removed_files), (4, 6, 5));
        assert_eq!(figures.new_extension, "lokd");
        let named: Vec<(&str, u64)> =
            figures.folders.iter().map(|f| (f.path.as_str(), f.renamed_files)).collect();
        assert_eq!(named, [("/a", 2), ("/b", 2), ("/c", 0)]);
    }

    #[test]
    fn a_file_that_looks_renamed_twice_counts_once() {
        let mut changes = Changes::default();
        changes.before(1);
        changes.gone(b"a/one.doc", 1);
        changes.appeared(b"a/one.aaa");
        changes.appeared(b"a/one.doc.aaa");
        let figures = changes.finish();
        assert_eq!((figures.renamed_files, figures.folders[0].renamed_files), (1, 1));
        assert_eq!(figures.check(), Ok(()));
    }

    #[test]
    fn the_worst_folders_stay_and_inner_ones_do_not_split_theirs() {
        let mut changes = Changes::default();
        for n in 0..20_u8 {
            for file in 0..=n {
                changes.changed(format!("srv/{n:02}/a{file:02}").as_bytes());
                changes.changed(format!("srv/{n:02}/b/inner{file:02}").as_bytes());
            }
            changes.changed(format!("srv/{n:02}/c").as_bytes());
        }
        let figures = changes.finish();
        let changed: u64 = (0..20).map(|n| 2 * (n + 1) + 1).sum();
        assert_eq!((figures.changed_files, figures.folders.len()), (changed, FOLDERS_MAX));
        assert!(figures.folders.is_sorted_by(|a, b| a.weight() >= b.weight()));
        assert_eq!(
            figures.check(),
            Err(lumbung_model::anomaly::FiguresError::TooLarge("changed_files"))
        );
    }

    #[test]
    fn a_chunk_counts_by_how_far_it_shrank() {
        let chunks = ChunkCounters::default();
        let mut origins = Origins::default();
        origins.add(Origin::Rewritten, 600);
        origins.add(Origin::Added, 400);
        origins.add(Origin::Unchanged, 1000);
        chunks.sealed(origins, 2000, 2016);
        chunks.sealed(origins, 2000, 1500);
        chunks.sealed(origins, 2000, 900);
        chunks.known(origins);
        let figures = figures(&RunFigures::default(), &chunks, 7);
        let expected = |read, deduplicated, incompressible| NewData {
            read_bytes: read,
            deduplicated_bytes: deduplicated,
            incompressible_bytes: incompressible,
        };
        assert_eq!(figures.rewritten, expected(2400, 600, 900));
        assert_eq!(figures.added, expected(1600, 400, 600));
        assert_eq!(figures.stored_bytes, 7);
    }

    #[test]
    fn what_is_told_passes_the_check_of_whoever_is_told() {
        let mut changes = Changes::default();
        let deep = vec![b'x'; 5000];
        for n in 0..3 {
            changes.before(10);
            let path = [b"line\nbreak/\xff/", &deep[..], b"/", n.to_string().as_bytes()].concat();
            changes.gone(&path, 10);
        }
        let figures = changes.finish();
        assert_eq!((figures.check(), figures.folders.len()), (Ok(()), 1));
    }
}
