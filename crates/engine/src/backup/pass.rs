//! One pass over the sources: the threads, and the channels between them.
//!
//! ```text
//! walk ─► readers ─► assembler ─► workers ─► uploaders ─► acknowledged (this thread)
//!   └── order ──────────┘   └─► recorder ──┘▲
//! ```
//!
//! Every channel is bounded, or carries no more than what is in flight: names and packs, whose buffers are counted. A thread that stops drops its ends,
//! and so the others stop too.

use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use lumbung_model::anomaly::RunFigures;

use super::assemble::Assembler;
use super::buffers::{Buffers, PackBuffers};
use super::changes::Changes;
use super::plan::Planner;
use super::read::Reading;
use super::record::{Recorded, Recorder};
use super::run::Run;
use super::sealing::Sealing;
use super::stop::{Stop, Stopped};
use super::upload::Uploading;
use super::{BackupError, Input, retry::Retry};
use crate::Total;
use crate::source::{FileKind, Sources, Visit, VisitKind, Walk, WalkOptions, open_directory};
use crate::state::{CacheHeader, CacheReader, CacheWriter, PartialFile, StateError};

/// Batches between the walk and the assembler.
const BATCHES: usize = 4;
/// Packs that are being filled: one of data, one of catalogue.
const OPEN_PACKS: usize = 2;
/// Most chunks are no longer, with the sizes of the format.
const USUAL_CHUNK: usize = 6 << 18;
/// Most batches are no longer: some files beyond `BATCH_BYTES`.
const USUAL_BATCH: usize = 5 << 16;
/// Progress files of runs that did not finish, at most.
const PROGRESS_FILES: usize = 8;

/// Numbers of the progress files in a dataset's directory, ascending.
fn progress_numbers(dataset: &Path) -> Result<Vec<u64>, StateError> {
    let failed = |e: std::io::Error| StateError::io("read", dataset, e);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dataset).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_prefix("progress.")) {
            numbers.extend(number.parse::<u64>());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn progress_path(dataset: &Path, number: u64) -> PathBuf {
    dataset.join(format!("progress.{number}"))
}

/// Makes the cache of a finished pass the one that the next run reads.
pub(super) fn adopt_cache(dataset: &Path, finished: &Path) -> Result<(), StateError> {
    let cache = dataset.join("cache");
    crate::state::rename(finished, &cache)?;
    for number in progress_numbers(dataset)? {
        crate::state::remove(&progress_path(dataset, number))?;
    }
    PartialFile::remove_all(dataset)
}

/// What caches of this run belong to.
pub(super) fn cache_header(run: &Run<'_>) -> CacheHeader {
    let identity = run.request.identity;
    CacheHeader { repository: identity.repository, domain: identity.domain }
}

/// The caches of a pass.
struct Caches {
    /// What runs that did not finish left, newest first.
    unfinished: Vec<CacheReader>,
    /// What the last finished run left.
    last: Option<CacheReader>,
    /// What this pass writes.
    written: CacheWriter,
}

/// The caches that this pass reads, and the one that it writes, with its path.
fn caches(run: &Run<'_>) -> Result<(Caches, PathBuf), StateError> {
    let dataset = &run.dataset_dir;
    let header = cache_header(run);
    let numbers = progress_numbers(dataset)?;
    let use_cache = run.request.options.use_cache;
    let mut unfinished = Vec::new();
    if use_cache || run.round > 0 {
        let paths = numbers.iter().rev().map(|number| progress_path(dataset, *number));
        unfinished.extend(paths.filter_map(|path| CacheReader::open(&path, header)));
    }
    let last = use_cache.then(|| CacheReader::open(&dataset.join("cache"), header)).flatten();
    for number in numbers.iter().rev().skip(PROGRESS_FILES) {
        crate::state::remove(&progress_path(dataset, *number))?;
    }
    let path = progress_path(dataset, numbers.last().map_or(0, |last| last + 1));
    let written = CacheWriter::create(&path, header)?;
    Ok((Caches { unfinished, last, written }, path))
}

fn join<T>(stop: &Stop, handle: ScopedJoinHandle<'_, Result<T, Stopped>>) -> Result<T, Stopped> {
    handle.join().unwrap_or_else(|_| Err(stop.fail(BackupError::Thread)))
}

/// Directories that a walk never enters: the agent's own state, and depots on this machine.
fn own_directories(run: &Run<'_>) -> Vec<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let depots = run.request.depots.iter().filter_map(|depot| depot.local_path());
    let paths = depots.chain(std::iter::once(run.request.state_dir.to_owned()));
    paths
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|meta| (meta.dev(), meta.ino()))
        .collect()
}

fn walk_options<'a>(run: &'a Run<'_>) -> WalkOptions<'a> {
    let options = &run.request.options;
    WalkOptions {
        excludes: &options.excludes,
        one_file_system: options.one_file_system,
        skip: own_directories(run),
    }
}

/// Counts what there will be.
fn estimate(run: &Run<'_>, sources: &Sources, stop: &Stop, over: &Receiver<()>) {
    let Ok(root) = open_directory(Path::new("/")) else { return };
    let mut total = Total::default();
    let walk = Walk::new(walk_options(run));
    let counted = walk.run(root, sources, &mut |visit: Visit<'_>| {
        stop.check()?;
        if let VisitKind::Leaf(stat) = &visit.kind
            && stat.kind == FileKind::File
        {
            total.files += 1;
            total.bytes += stat.size;
            if total.files.is_multiple_of(4096) {
                run.request.progress.total(total);
                if over.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) {
                    return Err(Stopped);
                }
            }
        }
        Ok(())
    });
    if counted.is_ok() {
        run.request.progress.total(total);
    }
}

/// Walks, reads, seals and sends everything once. What it gives is complete: every pack is acknowledged.
/// With the recorded snapshot comes the cache that the pass wrote.
pub(super) fn pass(run: &mut Run<'_>) -> Result<(Recorded, PathBuf), BackupError> {
    let stop = Stop::new(run.request.cancel);
    let (caches, cache_path) = caches(run)?;
    let recorded = {
        let (acknowledged_out, acknowledged) = unbounded();
        // The publisher of partial manifests borrows the run mutably between the threads' shared borrows:
        // it works on a part of the run that the threads do not see.
        let mut publisher = run.take_publisher();
        let shared = &*run;
        let memory = Memory::new(shared);
        let result = std::thread::scope(|scope| {
            let (over, is_over) = bounded::<()>(0);
            if shared.request.options.estimate
                && shared.round == 0
                && let Input::Walk(sources) = shared.input
            {
                let stop = &stop;
                scope.spawn(move || estimate(shared, sources, stop, &is_over));
            }
            let threads = Threads::start(scope, shared, &stop, &memory, caches, acknowledged_out);
            for stored in &acknowledged {
                publisher.acknowledged(shared, stored, &stop);
            }
            let result = threads.join(&stop);
            drop(over);
            result
        });
        run.return_publisher(publisher);
        result
    };
    if let Some(error) = stop.take_error() {
        return Err(error);
    }
    let (recorded, read_bytes, changes) = recorded.map_err(|Stopped| BackupError::Thread)?;
    run.read_bytes += read_bytes;
    run.changes = changes;
    Ok((recorded, cache_path))
}

/// Plans every entry of the source.
fn plan(run: &Run<'_>, planner: &mut Planner<'_>, stop: &Stop) -> Result<(), Stopped> {
    match run.input {
        Input::Streams(planned) => planned.plan(planner, run),
        Input::Walk(sources) => {
            let root = open_directory(Path::new("/"))
                .map_err(|e| stop.fail(StateError::io("opened", Path::new("/"), e)))?;
            Walk::new(walk_options(run)).run(root, sources, &mut |visit| planner.visit(visit))
        }
    }
}

/// The buffers of a pass.
struct Memory {
    chunks: Buffers,
    batches: Buffers,
    packs: PackBuffers,
}

impl Memory {
    fn new(run: &Run<'_>) -> Self {
        let options = &run.request.options;
        Self {
            chunks: Buffers::new(USUAL_CHUNK.min(run.chunker.max())),
            batches: Buffers::new(USUAL_BATCH),
            packs: PackBuffers::new(OPEN_PACKS + options.uploaders.max(1)),
        }
    }
}

struct Threads<'scope> {
    walk: ScopedJoinHandle<'scope, Result<Option<RunFigures>, Stopped>>,
    assembler: ScopedJoinHandle<'scope, Result<u64, Stopped>>,
    recorder: ScopedJoinHandle<'scope, Result<Recorded, Stopped>>,
    others: Vec<ScopedJoinHandle<'scope, Result<(), Stopped>>>,
}

impl<'scope> Threads<'scope> {
    fn start<'env: 'scope>(
        scope: &'scope std::thread::Scope<'scope, 'env>,
        run: &'env Run<'env>,
        stop: &'env Stop,
        memory: &'env Memory,
        caches: Caches,
        acknowledged: Sender<u64>,
    ) -> Self {
        let options = &run.request.options;
        let workers = options.workers.max(1);
        let (orders_out, orders) = bounded(BATCHES);
        let (batches_out, batches) = bounded(BATCHES);
        let (jobs_out, jobs) = bounded(0);
        let (results_out, results) = unbounded();
        let (entries_out, entries) = bounded(4);
        let (packs_out, packs) = unbounded();
        let mut others = Vec::new();
        let Caches { unfinished, last, written: cache } = caches;

        let walk = scope.spawn(move || {
            let mut planner = Planner {
                caches: unfinished,
                last: last.map(|cache| (cache, Changes::default())),
                known: &run.known,
                names: &run.names,
                warnings: &run.warnings,
                stop,
                orders: orders_out,
                batches: batches_out,
                steps: Vec::new(),
                bytes: 0,
                directories: 0,
            };
            plan(run, &mut planner, stop)?;
            planner.flush()?;
            Ok(planner.changes())
        });
        for _ in 0..options.readers.max(1) {
            let orders = orders.clone();
            others.push(scope.spawn(move || {
                Reading::of(run, stop, &memory.batches).work(&orders);
                Ok(())
            }));
        }
        let recorder_jobs = jobs_out.clone();
        let assembler = scope.spawn(move || {
            let reading = Reading::of(run, stop, &memory.batches);
            Assembler::new(run, &reading, &memory.chunks, jobs_out, entries_out).work(&batches)
        });
        let recorder = scope
            .spawn(move || Recorder::new(run, stop, recorder_jobs, results, cache).work(&entries));
        let sealing =
            std::sync::Arc::new(Sealing::new(run, workers, stop, &memory.chunks, &memory.packs));
        for _ in 0..workers {
            let (sealing, jobs) = (sealing.clone(), jobs.clone());
            let (results, packs) = (results_out.clone(), packs_out.clone());
            others.push(scope.spawn(move || sealing.work(&jobs, &results, &packs)));
        }
        for _ in 0..options.uploaders.max(1) {
            let (packs, acknowledged) = (packs.clone(), acknowledged.clone());
            others.push(scope.spawn(move || {
                Uploading::of(run, stop, &memory.packs).work(&packs, &acknowledged)
            }));
        }
        Self { walk, assembler, recorder, others }
    }

    /// What the recorder made, how many bytes were read, and what changed since the last finished run; once every thread is
    /// done.
    fn join(self, stop: &Stop) -> Result<(Recorded, u64, Option<RunFigures>), Stopped> {
        let walk = join(stop, self.walk);
        let read = join(stop, self.assembler);
        let recorded = join(stop, self.recorder);
        for other in self.others {
            join(stop, other)?;
        }
        let changes = walk?;
        Ok((recorded?, read?, changes))
    }
}

impl<'a> Reading<'a> {
    fn of(run: &'a Run<'_>, stop: &'a Stop, batches: &'a Buffers) -> Self {
        let no_atime = rustix::process::geteuid().is_root();
        Self { names: &run.names, warnings: &run.warnings, stop, batches, no_atime }
    }
}

impl<'a> Uploading<'a> {
    fn of(run: &'a Run<'_>, stop: &'a Stop, buffers: &'a PackBuffers) -> Self {
        Self {
            depot: run.depot,
            known: &run.known,
            journal: &run.journal,
            retry: Retry::of(run, stop),
            throttle: run.request.throttle,
            progress: run.request.progress,
            stop,
            buffers,
            plain_bytes: &run.plain_bytes,
            stored_bytes: &run.stored_bytes,
        }
    }
}

impl<'a> Retry<'a> {
    /// As the request says.
    pub(super) fn of(run: &Run<'_>, stop: &'a Stop) -> Self {
        let options = &run.request.options;
        Self { attempts: options.attempts.max(1), pause_ms: options.pause_ms, stop }
    }
}
