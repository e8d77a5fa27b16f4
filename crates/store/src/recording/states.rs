//! The states that a crash may leave, counted out and written to a directory.
//!
//! After each change: everything that is not durable is lost, or all of it is kept; it is kept up to each
//! point in the order in which it was done, the last bytes torn (no reordering); each change is lost by itself,
//! or kept by itself; and seeded random choices of what is kept, lost, torn or zero. The databases beside
//! are those of the newest commit; some states have an older one, or none. States that are the same are
//! checked once, as what a crash at the latest possible moment left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::model::{Content, DataOp, DirectoryState, Entry, FileState};
use super::{Image, Model, NodeId, Pending, Recorded};

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What became of a change that was not durable. A name is kept or not; the rest is about bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is on the disk.
    Kept,
    /// It is not.
    Lost,
    /// The length is on the disk, the bytes are not: zeros (delayed allocation).
    Zeroed,
    /// Some sectors are on the disk, the others are zeros or what they were; a seed says which.
    Torn(u64),
}

/// Which of the databases' commits a state has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Databases {
    /// The newest.
    Newest,
    /// An older one, chosen by this seed.
    Older(u64),
    /// None: the databases are gone.
    Gone,
}

/// How many states are counted out after each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Changes that are lost, kept or torn by themselves, at most; the newest are among them.
    pub singles: usize,
    /// Random choices.
    pub random: u32,
    /// Seed of the random choices.
    pub seed: u64,
}

impl Depth {
    /// What a test run does: some random choices after each change, or, if `LUMBUNG_CRASH` is `all`, many. The
    /// seed is `LUMBUNG_CRASH_SEED`, or always the same.
    #[must_use]
    pub fn from_env() -> Self {
        let seed = std::env::var("LUMBUNG_CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
        let (singles, random) = if exhaustive() { (64, 48) } else { (8, 4) };
        Self { singles, random, seed: seed.unwrap_or(1) }
    }
}

/// Whether every state is to be checked, however long it takes (`LUMBUNG_CRASH=all`).
#[must_use]
pub fn exhaustive() -> bool {
    std::env::var("LUMBUNG_CRASH").is_ok_and(|how| how == "all")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The first so many are kept, the one after them is torn or, without a seed, lost.
    First(usize, Option<u64>),
    Without(usize),
    Only(usize),
    Random(u64),
}

/// One crash: when, and what became of what was not durable.
#[derive(Debug, Clone, Copy)]
struct Case {
    prefix: usize,
    choice: Choice,
    databases: Databases,
}

/// What a crash left.
#[derive(Debug, Clone)]
pub struct State {
    /// So many changes had been made, and everything that had returned by then was promised.
    pub prefix: usize,
    /// Which of the states this is, for a message.
    pub about: String,
    tree: BTreeMap<PathBuf, Leaf>,
    databases: Vec<(PathBuf, Arc<Image>)>,
}

#[derive(Debug, Clone)]
enum Leaf {
    Directory,
    File { node: NodeId, content: Content, modified: (i64, i64) },
}

/// A small generator of numbers (SplitMix64): the same for the same seed, for ever.
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn to_index(n: u64) -> usize {
    usize::try_from(n).expect("files of tests fit in memory")
}

/// The bytes of a file after a crash.
pub(super) fn content(file: &FileState, fate: &mut dyn FnMut(u64) -> Fate) -> Content {
    let mut bytes: Option<Vec<u8>> = None;
    for (number, op) in &file.pending {
        let fate = fate(*number);
        if fate == Fate::Lost {
            continue;
        }
        let bytes = bytes.get_or_insert_with(|| file.durable.bytes.to_vec());
        match op {
            DataOp::SetLength(length) => bytes.resize(to_index(*length), 0),
            DataOp::Punch { offset, length } => {
                let end = to_index(offset + length).min(bytes.len());
                let start = to_index(*offset).min(end);
                write_part(bytes, start, &vec![0; end - start], fate);
            }
            DataOp::Write { offset, bytes: written } => {
                let start = to_index(*offset);
                if bytes.len() < start + written.len() {
                    bytes.resize(start + written.len(), 0);
                }
                write_part(bytes, start, written, fate);
            }
        }
    }
    bytes.map_or_else(|| file.durable.clone(), Content::new)
}

fn write_part(bytes: &mut [u8], start: usize, written: &[u8], fate: Fate) {
    let seed = match fate {
        Fate::Kept => return bytes[start..start + written.len()].copy_from_slice(written),
        Fate::Torn(seed) => seed,
        Fate::Lost | Fate::Zeroed => return,
    };
    for (at, byte) in (start..).zip(written) {
        if mix(seed ^ (at / SECTOR) as u64) & 1 == 1 {
            bytes[at] = *byte;
        }
    }
}

impl State {
    /// The state in which each change that is not durable has the fate that `fate` gives its number.
    #[must_use]
    pub fn of(model: &Model, fate: &mut dyn FnMut(u64) -> Fate, databases: Databases) -> Self {
        let mut state = Self {
            prefix: usize::MAX,
            about: String::new(),
            tree: BTreeMap::new(),
            databases: Vec::new(),
        };
        state.fill(model, Path::new(""), fate);
        for (path, images) in &model.databases {
            let last = images.len() - 1;
            let image = match databases {
                Databases::Newest => Some(last),
                Databases::Older(seed) => Some(to_index(mix(seed) % images.len() as u64)),
                Databases::Gone => None,
            };
            let image = image.map(|index| (path.clone(), Arc::clone(&images[index])));
            state.databases.extend(image.filter(|_| state.holds_parent(path)));
        }
        state
    }

    fn holds_parent(&self, path: &Path) -> bool {
        let parent = path.parent().unwrap_or(Path::new(""));
        parent.as_os_str().is_empty() || self.tree.contains_key(parent)
    }

    fn fill(&mut self, model: &Model, folder: &Path, fate: &mut dyn FnMut(u64) -> Fate) {
        let Some(directory) = model.directories.get(folder) else { return };
        let mut names = directory.durable.clone();
        for (number, op) in &directory.pending {
            if fate(*number) == Fate::Kept {
                DirectoryState::apply(&mut names, op);
            }
        }
        for (name, entry) in names {
            let path = folder.join(name);
            match entry {
                Entry::Directory => {
                    self.tree.insert(path.clone(), Leaf::Directory);
                    self.fill(model, &path, fate);
                }
                Entry::File(node) => {
                    let file = &model.files[&node];
                    let (content, modified) = (content(file, fate), file.modified);
                    self.tree.insert(path, Leaf::File { node, content, modified });
                }
            }
        }
    }

    fn hash(&self) -> [u8; 32] {
        let mut bytes = Vec::new();
        for (path, leaf) in &self.tree {
            bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
            bytes.push(0);
            if let Leaf::File { content, .. } = leaf {
                bytes.extend_from_slice(&content.hash);
            }
        }
        for (path, image) in &self.databases {
            bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
            bytes.extend_from_slice(&(Arc::as_ptr(image).addr() as u64).to_le_bytes());
        }
        lumbung_pack::object_id(&bytes)
    }

    /// The names of all files, and their bytes.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.tree.iter().filter_map(|(path, leaf)| match leaf {
            Leaf::Directory => None,
            Leaf::File { content, .. } => Some((path.as_path(), content.bytes.as_slice())),
        })
    }

    /// Writes it to an empty directory. Gives the device and inode of each file.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn write(&self, root: &Path) -> io::Result<HashMap<(u64, u64), NodeId>> {
        let mut written: HashMap<NodeId, PathBuf> = HashMap::new();
        let mut inodes = HashMap::new();
        for (name, leaf) in &self.tree {
            let path = root.join(name);
            match leaf {
                Leaf::Directory => std::fs::create_dir(&path)?,
                Leaf::File { node, content, modified } => {
                    if let Some(first) = written.get(node) {
                        std::fs::hard_link(first, &path)?;
                        continue;
                    }
                    std::fs::write(&path, content.bytes.as_slice())?;
                    set_times(&path, *modified)?;
                    let meta = std::fs::metadata(&path)?;
                    inodes.insert((meta.dev(), meta.ino()), *node);
                    written.insert(*node, path);
                }
            }
        }
        for (name, image) in &self.databases {
            std::fs::write(root.join(name), &image.main)?;
            std::fs::write(super::write_ahead_log(&root.join(name)), &image.log)?;
        }
        Ok(inodes)
    }
}

fn set_times(path: &Path, (seconds, nanoseconds): (i64, i64)) -> io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?)
}

/// The crashes of a recording.
pub struct Survey<'a> {
    recorded: &'a Recorded,
    affected: Vec<PathBuf>,
    cases: Vec<Case>,
    /// Crashes that were looked at; many leave the same state.
    pub considered: usize,
}

/// Counts out what a crash may leave of what was recorded. Power fails beneath the directories in `affected`;
/// elsewhere everything is kept.
#[must_use]
pub fn crashes<'a>(recorded: &'a Recorded, affected: &[&str], depth: Depth) -> Survey<'a> {
    let affected = affected.iter().map(PathBuf::from).collect();
    let mut survey = Survey { recorded, affected, cases: Vec::new(), considered: 0 };
    let mut latest: HashMap<[u8; 32], Case> = HashMap::new();
    let mut model = recorded.base.clone();
    for prefix in 0..=recorded.ops.len() {
        if prefix > 0 {
            model.apply(&recorded.ops[prefix - 1]);
        }
        let pending = survey.pending(&model);
        for case in cases(prefix, pending.len(), depth) {
            let state = survey.state(&model, &pending, case);
            survey.considered += 1;
            latest.insert(state.hash(), case);
        }
    }
    survey.cases = latest.into_values().collect();
    survey.cases.sort_by_key(|case| (case.prefix, format!("{case:?}")));
    survey
}

fn cases(prefix: usize, pending: usize, depth: Depth) -> Vec<Case> {
    let seed = mix(depth.seed ^ (prefix as u64) << 20);
    let mut choices = Vec::new();
    for n in singles(pending, depth.singles, seed) {
        choices.push(Choice::First(n, None));
        choices.push(Choice::First(n, Some(mix(seed ^ n as u64))));
        choices.push(Choice::Without(n));
        choices.push(Choice::Only(n));
    }
    choices.push(Choice::First(pending, None));
    if pending > 1 {
        choices.extend((0..depth.random).map(|n| Choice::Random(mix(seed ^ u64::from(n) << 40))));
    }
    let newest = Databases::Newest;
    let mut cases: Vec<Case> =
        choices.into_iter().map(|choice| Case { prefix, choice, databases: newest }).collect();
    for choice in [Choice::First(0, None), Choice::First(pending, None)] {
        for databases in [Databases::Older(seed), Databases::Gone] {
            cases.push(Case { prefix, choice, databases });
        }
    }
    cases
}

/// Some of so many changes: the newer half of what is wanted are the newest, the others are drawn.
fn singles(pending: usize, most: usize, seed: u64) -> Vec<usize> {
    if pending <= most {
        return (0..pending).collect();
    }
    let newest = pending - most / 2;
    let drawn = (0..most - most / 2).map(|n| to_index(mix(seed ^ n as u64) % newest as u64));
    let drawn: BTreeSet<usize> = drawn.chain(newest..pending).collect();
    drawn.into_iter().collect()
}

fn random_fate(seed: u64) -> Fate {
    match mix(seed) % 8 {
        0..=3 => Fate::Kept,
        4 | 5 => Fate::Lost,
        6 => Fate::Zeroed,
        _ => Fate::Torn(seed),
    }
}

fn fate_of(choice: Choice, index: usize) -> Fate {
    let kept = |yes| if yes { Fate::Kept } else { Fate::Lost };
    match choice {
        Choice::First(n, Some(seed)) if n == index && seed & 1 == 0 => Fate::Zeroed,
        Choice::First(n, Some(seed)) if n == index => Fate::Torn(seed),
        Choice::First(n, _) => kept(index < n),
        Choice::Without(n) => kept(index != n),
        Choice::Only(n) => kept(index == n),
        Choice::Random(seed) => random_fate(seed ^ (index as u64) << 8),
    }
}

impl Survey<'_> {
    fn pending(&self, model: &Model) -> Vec<Pending> {
        let mut pending = model.pending();
        pending.retain(|one| self.affected.iter().any(|path| one.path.starts_with(path)));
        pending
    }

    fn state(&self, model: &Model, pending: &[Pending], case: Case) -> State {
        let mut fate = |number: u64| match pending.binary_search_by_key(&number, |p| p.number) {
            Ok(index) => fate_of(case.choice, index),
            Err(_) => Fate::Kept,
        };
        let mut state = State::of(model, &mut fate, case.databases);
        state.prefix = case.prefix;
        state.about = format!("{case}, {} not durable", pending.len());
        state
    }

    /// How many different states there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Leaves no more than `most` states, spread over the whole recording; all of them in an exhaustive run.
    #[must_use]
    pub fn thinned(mut self, most: usize) -> Self {
        let all = self.cases.len();
        if all > most && !exhaustive() {
            let keep = |index: usize| (index + 1) * most / all > index * most / all;
            let mut index = 0..;
            self.cases.retain(|_| index.next().is_some_and(keep));
        }
        self
    }

    /// Hands every state to `check`, from as many threads as the machine has. Gives the first thing that is wrong.
    pub fn check(&self, check: &(dyn Fn(&State) -> Result<(), String> + Sync)) -> Option<String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let batch = (self.cases.len() / (threads * 8)).max(1);
        let batches: Vec<&[Case]> = self.cases.chunks(batch).collect();
        let (next, wrong) = (AtomicUsize::new(0), OnceLock::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.check_batch(batch, check, &wrong);
                    }
                });
            }
        });
        wrong.into_inner()
    }

    fn check_batch(
        &self,
        batch: &[Case],
        check: &(dyn Fn(&State) -> Result<(), String> + Sync),
        wrong: &OnceLock<String>,
    ) {
        let mut prefix = batch.first().map_or(0, |case| case.prefix);
        let mut model = self.recorded.at(prefix);
        for case in batch {
            if wrong.get().is_some() {
                return;
            }
            while prefix < case.prefix {
                model.apply(&self.recorded.ops[prefix]);
                prefix += 1;
            }
            let pending = self.pending(&model);
            let state = self.state(&model, &pending, *case);
            let checked = std::panic::catch_unwind(AssertUnwindSafe(|| check(&state)));
            let checked = checked.unwrap_or_else(|_| Err("the check panicked".to_owned()));
            if let Err(what) = checked {
                let _ = wrong.set(format!("{what} ({}; {})", state.about, self.last_ops(case)));
            }
        }
    }

    /// What was done before the crash, for a message.
    fn last_ops(&self, case: &Case) -> String {
        let first = case.prefix.saturating_sub(3);
        let last: Vec<String> =
            self.recorded.ops[first..case.prefix].iter().map(super::Op::to_string).collect();
        format!("the last changes: {}", last.join(", "))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, choice, databases } = self;
        write!(f, "after {prefix} changes, {choice:?}, databases {databases:?}")
    }
}
