//! What programs write to their output, backed up as it comes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lumbung_engine::depot::Injection;
use lumbung_engine::{
    BackupError, BackupOutcome, BackupRequest, Cancel, Depot, FaultyDepot, Halt, NoProgress,
    NoThrottle, Source, Stream, StreamError, Streams, Waited, backup,
};
use lumbung_model::SystemClock;
use lumbung_seal::catalogue::EntryKind;

use crate::world::{World, noise};

/// Streams of given contents; one may not be whole.
struct Made {
    paths: Vec<PathBuf>,
    contents: Vec<Vec<u8>>,
    fails: Option<usize>,
    opened: AtomicUsize,
}

impl Made {
    fn new(made: &[(&str, Vec<u8>)]) -> Self {
        let (paths, contents) =
            made.iter().map(|(path, bytes)| (PathBuf::from(path), bytes.clone())).unzip();
        Self { paths, contents, fails: None, opened: AtomicUsize::new(0) }
    }
}

struct Reading<'a> {
    rest: &'a [u8],
    is_whole: bool,
}

impl Read for Reading<'_> {
    /// In pieces of an odd size, as a pipe gives them.
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let most = room.len().min(4_093);
        self.rest.read(&mut room[..most])
    }
}

impl Stream for Reading<'_> {
    fn finish(self: Box<Self>) -> Result<(), StreamError> {
        assert!(self.rest.is_empty(), "asked before the end");
        if self.is_whole { Ok(()) } else { Err("the program ended with status 1".into()) }
    }
}

impl Streams for Made {
    fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    fn open(&self, path: &Path, _: Halt) -> Result<Box<dyn Stream + '_>, StreamError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let index = self.paths.iter().position(|known| known == path).ok_or("unknown")?;
        let is_whole = self.fails != Some(index);
        Ok(Box::new(Reading { rest: &self.contents[index], is_whole }))
    }
}

fn run(
    world: &World,
    depot: Arc<dyn Depot>,
    streams: &dyn Streams,
    cancel: &Cancel,
) -> Result<BackupOutcome, BackupError> {
    backup(&BackupRequest {
        depots: &[depot],
        identity: &world.identity,
        state_dir: &world.state(),
        dataset: world.dataset,
        label: "simrs",
        host: "server",
        source: Source::Streams(streams),
        options: world.options.clone(),
        progress: &NoProgress,
        throttle: &NoThrottle,
        cancel,
        clock: &SystemClock,
    })
}

fn dumps() -> Made {
    Made::new(&[
        ("/postgresql/dumps/simrs.sql", noise(1, 5 << 20)),
        ("/postgresql/source.json", b"{}".to_vec()),
        ("/postgresql/dumps/empty.sql", Vec::new()),
        ("/postgresql/globals.sql", noise(2, 300)),
    ])
}

#[test]
fn streams_come_back_as_files_and_dont_cost_twice() {
    let world = World::new();
    let made = dumps();
    let cancel = Cancel::default();
    let first = run(&world, world.depot.clone(), &made, &cancel).unwrap();
    assert_eq!((first.statistics.files, first.statistics.directories), (4, 3));
    assert_eq!((first.statistics.flagged, first.warnings_total), (0, 0));
    let reader = world.open(&first.manifest);
    let target = tempfile::tempdir().unwrap();
    let restored = world.restore_with(&reader, target.path(), Default::default());
    assert_eq!(restored.failures, []);
    for (path, content) in made.paths.iter().zip(&made.contents) {
        let file = target.path().join(path.strip_prefix("/").unwrap());
        assert!(std::fs::read(file).unwrap() == *content, "{}", path.display());
    }
    let second = run(&world, world.depot.clone(), &made, &cancel).unwrap();
    assert_eq!(second.statistics.content_bytes, first.statistics.content_bytes);
    // A catalogue that names each of its small chunks, and the index.
    assert!(second.sent_bytes < 100_000, "{} bytes sent again", second.sent_bytes);
}

#[test]
fn a_stream_that_is_not_whole_makes_no_snapshot() {
    let world = World::new();
    let made = Made { fails: Some(0), ..dumps() };
    let error = run(&world, world.depot.clone(), &made, &Cancel::default()).unwrap_err();
    let BackupError::Stream { path, source } = error else { panic!("{error}") };
    assert_eq!(path, "/postgresql/dumps/simrs.sql");
    assert_eq!(source.to_string(), "the program ended with status 1");
    assert_eq!(world.depot.manifests(None).unwrap(), []);
    // What was sent is not sent again.
    let whole = run(&world, world.depot.clone(), &dumps(), &Cancel::default()).unwrap();
    assert!(whole.sent_bytes < 1 << 20, "{} bytes sent again", whole.sent_bytes);
}

#[test]
fn whatever_call_to_the_depot_fails_once_the_streams_are_whole() {
    let calls = {
        let world = World::new();
        let depot = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::Never, true));
        run(&world, depot.clone(), &dumps(), &Cancel::default()).unwrap();
        depot.calls()
    };
    let injections = (1..=calls).flat_map(|n| [Injection::Before(n), Injection::After(n)]);
    for injection in injections {
        let world = World::new();
        let depot = Arc::new(FaultyDepot::new(world.depot.clone(), injection, true));
        let outcome = run(&world, depot, &dumps(), &Cancel::default()).unwrap();
        let entry = world.open(&outcome.manifest).entry(b"postgresql/dumps/simrs.sql").unwrap();
        let EntryKind::File { size, .. } = entry.kind else { panic!("a file") };
        assert_eq!(size, 5 << 20);
    }
}

/// A program that writes a little, and then nothing more until it is told to end.
struct Silent {
    paths: Vec<PathBuf>,
    cancel: Cancel,
}

struct Waiting {
    halt: Halt,
    cancel: Cancel,
}

impl Read for Waiting {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.cancel.cancel();
        let (_held, over) = crossbeam_channel::bounded(0);
        assert_eq!(self.halt.wait(&over, None), Waited::Unwanted);
        Ok(0)
    }
}

impl Stream for Waiting {
    fn finish(self: Box<Self>) -> Result<(), StreamError> {
        Err("killed".into())
    }
}

impl Streams for Silent {
    fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    fn open(&self, _: &Path, halt: Halt) -> Result<Box<dyn Stream + '_>, StreamError> {
        Ok(Box::new(Waiting { halt, cancel: self.cancel.clone() }))
    }
}

#[test]
fn who_makes_a_stream_is_told_that_the_run_was_stopped() {
    let world = World::new();
    let cancel = Cancel::default();
    let silent = Silent { paths: vec!["/silent".into()], cancel: cancel.clone() };
    let error = run(&world, world.depot.clone(), &silent, &cancel).unwrap_err();
    assert!(matches!(error, BackupError::Cancelled), "{error}");
}
