//! What opening, `have`, commit and inventory do in a large vault is what they do in a small one.
//!
//! Work is counted, not timed: bytes that the thread read (of the index and of objects), files opened and folders listed,
//! as the kernel tells. Heads of packs are real, frames are holes in their files.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use lumbung_model::{ChunkId, FrameHash, ManifestId, PackId, SegmentId, SessionId};
use lumbung_pack::{
    Bitmap, Content, Encoding, FrameEntry, Kind, Manifest, PackHeader, PackTable, PackUse,
    Statistics, UsageBuilder, object_id, sign,
};
use lumbung_vault::state::State;
use lumbung_vault::{Config, Occasion, Sender, Vault};
use rustix::fs::inotify;

use crate::support::{Agent, Owner, clock, random};

/// 14 frames a pack on average: 200,000 chunks.
const LARGE: usize = 14_300;
const SMALL: usize = 1000;
/// Packs asked for: about 10,000 frames.
const ASKED: usize = 700;
const STORED: u32 = (1 << 20) + 16;

/// What some work took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Work {
    read_bytes: u64,
    /// Different files opened, by kind of object.
    opened: BTreeMap<&'static str, usize>,
    /// Folders listed, by kind of object.
    listed: BTreeMap<&'static str, usize>,
}

/// Counts what happens in the folders of a repository.
struct Counter {
    queue: OwnedFd,
    folders: BTreeMap<i32, &'static str>,
}

impl Counter {
    fn new(repository: &Path) -> Self {
        let queue = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let mut folders = BTreeMap::new();
        for kind in Kind::REPOSITORY {
            let folder = repository.join(kind.folder());
            // Not the packs' own folder beside those in it: each of these would be told of twice.
            let paths = match kind {
                Kind::Pack => {
                    (0..=u8::MAX).map(|first| folder.join(format!("{first:02x}"))).collect()
                }
                _ => vec![folder],
            };
            for path in paths {
                let watch = inotify::add_watch(&queue, &path, inotify::WatchFlags::OPEN).unwrap();
                folders.insert(watch, kind.folder());
            }
        }
        Self { queue, folders }
    }

    fn count<T>(&self, work: impl FnOnce() -> T) -> (T, Work) {
        let before = read_bytes();
        let done = work();
        let mut counted = Work { read_bytes: read_bytes() - before, ..Work::default() };
        let mut buffer = [std::mem::MaybeUninit::uninit(); 65536];
        let mut events = inotify::Reader::new(&self.queue, &mut buffer);
        let mut files = BTreeSet::new();
        while let Ok(event) = events.next() {
            let folder = self.folders[&event.wd()];
            if event.events().contains(inotify::ReadFlags::ISDIR) {
                *counted.listed.entry(folder).or_default() += 1;
            } else if files.insert((event.wd(), event.file_name().map(CStr::to_owned))) {
                // How often the kernel tells of a file that is opened twice in a row is not certain.
                *counted.opened.entry(folder).or_default() += 1;
            }
        }
        (done, counted)
    }
}

/// Bytes that this thread has read so far.
fn read_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// A vault of one domain, its index filled and its process ended.
struct Bed {
    dir: tempfile::TempDir,
    owner: Owner,
    agent: Agent,
    packs: Vec<(PackId, u32)>,
    /// The first, one of the same packs, one of one more.
    manifests: [(ManifestId, Vec<u8>); 3],
    segments: usize,
    /// Segments of the last manifest that those before it do not have.
    fresh: usize,
}

impl Bed {
    fn new(packs: usize) -> Self {
        let agent = Agent::new();
        let owner = Owner::new(&[&agent], &[]);
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("data/repositories").join(owner.repository.to_string());
        for kind in Kind::REPOSITORY {
            std::fs::create_dir_all(repository.join(kind.folder())).unwrap();
        }
        for first in 0..=u8::MAX {
            std::fs::create_dir(repository.join("packs").join(format!("{first:02x}"))).unwrap();
        }
        let write = |kind: Kind, bytes: &[u8]| {
            let name = PackId::from_bytes(object_id(bytes)).to_string();
            std::fs::write(repository.join(kind.folder()).join(name), bytes).unwrap();
        };
        write(Kind::Roster, &owner.rosters[0]);
        let session = sign(&owner.session(&agent), &agent.key);
        write(Kind::Session, &session);
        let session = SessionId::from_bytes(object_id(&session));
        let packs: Vec<(PackId, u32)> = (0..=packs)
            .map(|i| hollow_pack(&repository, &owner, &agent, session, 12 + i % 5))
            .collect();
        let (mut sequence, mut segments, mut fresh) = (0, HashSet::new(), 0);
        let used = [packs.len() - 1, packs.len() - 1, packs.len()];
        let manifests = used.map(|used| {
            let mut builder = UsageBuilder::new(owner.repository, agent.domain);
            for (pack, frames) in &packs[..used] {
                (0..*frames).for_each(|frame| builder.add(*pack, *frames, frame, STORED));
            }
            let usage = builder.build();
            let these: HashSet<SegmentId> = usage.segments.iter().map(|(id, _)| *id).collect();
            fresh = these.difference(&segments).count();
            segments = these;
            write(Kind::Usage, &usage.usage);
            usage.segments.iter().for_each(|(_, bytes)| write(Kind::Segment, bytes));
            sequence += 1;
            let manifest = Manifest {
                repository: owner.repository,
                agent: agent.id,
                dataset: agent.dataset,
                domain: agent.domain,
                partial: false,
                epoch: 1,
                sequence,
                previous: ManifestId::ZERO,
                started: lumbung_model::Timestamp(1_700_000_000),
                finished: lumbung_model::Timestamp(1_700_000_100),
                roster_number: 1,
                statistics: Statistics::default(),
                usage: usage.usage_id,
                sessions: vec![session],
                root_salt: random(),
                sealed_root: vec![7; 64],
            };
            let bytes = sign(&manifest, &agent.key);
            (ManifestId::from_bytes(object_id(&bytes)), bytes)
        });
        let bed = Self { dir, owner, agent, packs, manifests, segments: segments.len(), fresh };
        bed.open().reconcile().unwrap();
        bed
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn open(&self) -> Vault {
        let file = self.dir.path().join("vault.toml");
        let text = format!("data = {:?}\nlisten = \"127.0.0.1:0\"\nreserve = \"0\"\n", self.data());
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let state = State::at(config.state());
        state.init().unwrap();
        Vault::open(config, state.identity().unwrap(), clock()).unwrap()
    }

    fn questions(&self) -> Vec<PackUse> {
        let spread = self.packs.iter().step_by(self.packs.len() / ASKED).take(ASKED);
        spread.map(|(pack, frames)| PackUse { pack: *pack, used: Bitmap::full(*frames) }).collect()
    }

    /// Opens, asks, commits three times, draws up inventories; gives the work of each.
    fn work(&self) -> BTreeMap<&'static str, Work> {
        let path = self.data().join("repositories").join(self.owner.repository.to_string());
        let counter = Counter::new(&path);
        let mut all = BTreeMap::new();
        let (vault, work) = counter.count(|| self.open());
        all.insert("open", work);
        let repository = vault.repository(&self.owner.repository).unwrap();
        let questions = self.questions();
        let (absent, work) =
            counter.count(|| vault.missing(&repository, None, questions.clone()).unwrap());
        assert_eq!(absent, []);
        all.insert("have", work);
        let (changed, work) = counter.count(|| vault.reconcile().unwrap());
        assert_eq!(changed, 0);
        all.insert("reconcile", work);
        let sender = Sender::Agent { agent: self.agent.id, key: self.agent.key.public() };
        for (what, (id, bytes)) in ["first", "same", "one more"].into_iter().zip(&self.manifests) {
            let (_, work) = counter.count(|| vault.commit(&repository, id, bytes, sender).unwrap());
            all.insert(what, work);
        }
        vault.make_inventory(&repository, Occasion::Round).unwrap().expect("the first is due");
        let (none, work) =
            counter.count(|| vault.make_inventory(&repository, Occasion::Round).unwrap());
        assert_eq!(none, None);
        all.insert("inventory", work);
        all
    }
}

fn hollow_pack(
    repository: &Path,
    owner: &Owner,
    agent: &Agent,
    session: SessionId,
    frames: usize,
) -> (PackId, u32) {
    let header = PackHeader {
        repository: owner.repository,
        domain: agent.domain,
        session,
        salt: random(),
        commitment: [1; 32],
        content: Content::Data,
    };
    let entry = |i: usize| FrameEntry {
        chunk: ChunkId::from_bytes([u8::try_from(i).unwrap(); 32]),
        stored_hash: FrameHash::from_bytes([7; 32]),
        plain_length: STORED - 16,
        stored_length: STORED,
        encoding: Encoding::Raw,
    };
    let table = PackTable::new(header, (0..frames).map(entry).collect()).unwrap();
    let name = table.id().to_string();
    let path = repository.join("packs").join(&name[..2]).join(&name);
    std::fs::write(&path, table.encode()).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(table.total_length()).unwrap();
    (table.id(), u32::try_from(frames).unwrap())
}

#[test]
fn work_follows_what_is_asked_and_not_what_is_kept() {
    let (small, large) = (Bed::new(SMALL), Bed::new(LARGE));
    let index = std::fs::metadata(large.data().join("index.sqlite")).unwrap().len();
    let chunks: u64 = large.packs.iter().map(|(_, frames)| u64::from(*frames)).sum();
    assert!(chunks >= 200_000 && index <= 100 * chunks, "{index} bytes for {chunks} chunks");

    let (few, many) = (small.work(), large.work());
    let opened = |work: &Work, kind: Kind| work.opened.get(kind.folder()).copied().unwrap_or(0);
    for what in ["open", "have", "same", "one more", "inventory"] {
        let (few, many) = (&few[what], &many[what]);
        assert_eq!(few.listed, many.listed, "{what}: folders listed");
        assert_eq!(opened(many, Kind::Pack), 0, "{what}: packs opened");
        assert!(!many.listed.contains_key("packs"), "{what}: packs listed");
    }
    for what in ["open", "inventory"] {
        let (few, many) = (few[what].read_bytes, many[what].read_bytes);
        assert!(many <= few + 65_536, "{what}: {many} bytes read, {few} in the small vault");
    }
    // A question costs one path down the tree, of which the large one has a level more.
    let (few_read, many_read) = (few["have"].read_bytes, many["have"].read_bytes);
    assert!(many_read <= 4 * few_read + 2_000_000, "have: {many_read} bytes, {few_read} before");
    // Nothing new: the usage list is read, and its segments are found verified.
    assert_eq!(opened(&many["same"], Kind::Segment), 0);
    let a_segment = many["same"].read_bytes / large.segments as u64;
    assert!(a_segment <= 3 * 4096, "{a_segment} bytes read for each known segment");
    // One pack more: the segments that it changed, which are the one that it came into (two if it ends one), and no other.
    assert!((1..=2).contains(&large.fresh), "{} segments changed", large.fresh);
    assert_eq!(opened(&many["one more"], Kind::Segment), large.fresh);
    // The comparison reads no file: it lists each folder once, and once more for what was left unfinished.
    let reconcile = &many["reconcile"];
    assert_eq!(reconcile.opened, BTreeMap::new());
    let listed: usize = reconcile.listed.values().sum();
    assert!(listed <= 2 * (256 + Kind::REPOSITORY.len()), "{:?}", reconcile.listed);
}
