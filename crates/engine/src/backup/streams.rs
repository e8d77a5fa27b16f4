//! Streams: content that is made while it is read, such as what a dump program writes to its output.
//!
//! Invariants: streams are read one at a time, in the order of their paths, each to its end; one that does not say at its end that
//! it was whole ends the run without a snapshot. Nothing of a stream is kept for the next run but its chunks; a depot that lacks
//! some of them has all streams of the run made again.

use std::convert::Infallible;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, after, never, select};
use lumbung_model::ChunkId;
use lumbung_seal::catalogue::{Entry, EntryKind, path_cmp};

use super::assemble::{Assembled, Assembler, Cut, Window};
use super::changes::{Origin, Origins};
use super::large::Cuts;
use super::plan::{Planner, Step};
use super::stop::{Stop, Stopped};
use super::{BackupError, Input, run::Run};
use crate::Cancel;

/// Read at once: what a pipe holds, four times.
const READ_BYTES: usize = 256 << 10;
/// Permission bits of what is made from streams: databases and the like are nobody else's business.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Why a stream is not whole: an error of whoever makes it.
pub type StreamError = Box<dyn std::error::Error + Send + Sync>;

/// A stream that is being read.
pub trait Stream: Read + Send {
    /// Called once, after the last byte: whether these were all of them.
    ///
    /// # Errors
    /// If not; then there is no snapshot.
    fn finish(self: Box<Self>) -> Result<(), StreamError>;
}

/// What makes the streams of a run.
pub trait Streams: Sync {
    /// The absolute paths under which the snapshot has them; none may lie in another.
    fn paths(&self) -> &[PathBuf];

    /// Begins one. They are opened one after the other in path order; all of them again if the depot lost something meanwhile.
    ///
    /// # Errors
    /// If it cannot be made.
    fn open(&self, path: &Path, halt: Halt) -> Result<Box<dyn Stream + '_>, StreamError>;
}

/// Tells whoever makes a stream that nobody wants it any more.
#[derive(Debug, Clone)]
pub struct Halt {
    cancel: Cancel,
    stopped: Receiver<Infallible>,
}

impl Halt {
    /// One that is told by `cancel` alone, for streams that are read outside a run.
    #[must_use]
    pub fn by(cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), stopped: never() }
    }

    pub(super) fn of(stop: &Stop) -> Self {
        Self { cancel: stop.cancel().clone(), stopped: stop.signal.clone() }
    }

    /// Waits until the stream is not wanted any more, the other end of `over` is dropped, or the time is up.
    #[must_use]
    pub fn wait(&self, over: &Receiver<Infallible>, limit: Option<Duration>) -> Waited {
        let time_is_up = limit.map_or_else(never, after);
        select! {
            recv(self.cancel.signal()) -> _ => Waited::Unwanted,
            recv(self.stopped) -> _ => Waited::Unwanted,
            recv(over) -> _ => Waited::Over,
            recv(time_is_up) -> _ => Waited::TimeIsUp,
        }
    }

    /// Whether the stream is not wanted any more.
    #[must_use]
    pub fn is_called(&self) -> bool {
        self.cancel.is_cancelled() || self.stopped.try_recv() == Err(TryRecvError::Disconnected)
    }
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// Nobody wants the stream any more.
    Unwanted,
    /// The other end is gone.
    Over,
    /// The time is up.
    TimeIsUp,
}

/// Checked: in path order, none twice, none in another.
pub(super) struct Planned<'a> {
    pub(super) streams: &'a dyn Streams,
    /// Relative to the root, as the catalogue has them.
    paths: Vec<Vec<u8>>,
}

impl<'a> Planned<'a> {
    pub(super) fn new(streams: &'a dyn Streams) -> Result<Self, BackupError> {
        let mut paths: Vec<Vec<u8>> =
            streams.paths().iter().map(|path| relative(path)).collect::<Result<_, _>>()?;
        paths.sort_by(|left, right| path_cmp(left, right));
        let lies_in = |pair: &[Vec<u8>]| {
            let rest = pair[1].strip_prefix(pair[0].as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        if let Some(pair) = paths.windows(2).find(|pair| lies_in(pair)) {
            let named = String::from_utf8_lossy(&pair[1]).into_owned();
            return Err(BackupError::StreamPath(format!("/{named}")));
        }
        Ok(Self { streams, paths })
    }

    /// The absolute paths, as the snapshot names them.
    pub(super) fn absolute(&self) -> Vec<Vec<u8>> {
        self.paths.iter().map(|path| [b"/", path.as_slice()].concat()).collect()
    }

    /// Plans the entries: every stream, and every directory above it.
    pub(super) fn plan(&self, planner: &mut Planner<'_>, run: &Run<'_>) -> Result<(), Stopped> {
        let now_s = run.request.clock.now().0;
        planner.push(Step::Ready(entry(b"", EntryKind::Directory, now_s), None))?;
        let mut above: Vec<u8> = Vec::new();
        for path in &self.paths {
            for (slash, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                let directory = &path[..slash];
                let inside = above.strip_prefix(directory);
                if inside.is_none_or(|rest| !rest.is_empty() && rest[0] != b'/') {
                    planner
                        .push(Step::Ready(entry(directory, EntryKind::Directory, now_s), None))?;
                }
            }
            above.clone_from(path);
            let kind = EntryKind::File { size: 0, sparse: None, content: Vec::new() };
            planner.push(Step::Stream(Box::new(entry(path, kind, now_s))))?;
        }
        Ok(())
    }
}

fn relative(path: &Path) -> Result<Vec<u8>, BackupError> {
    let plain = path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let components: PathBuf = path.components().skip(1).collect();
    let bytes = components.as_os_str().as_bytes();
    if !plain || bytes.is_empty() || bytes.contains(&0) {
        return Err(BackupError::StreamPath(path.display().to_string()));
    }
    Ok(bytes.to_vec())
}

fn entry(path: &[u8], kind: EntryKind, now_s: i64) -> Entry {
    let mode = if matches!(kind, EntryKind::Directory) { DIRECTORY_MODE } else { FILE_MODE };
    Entry {
        path: path.to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        user: Vec::new(),
        group: Vec::new(),
        mtime_s: now_s,
        mtime_ns: 0,
        xattrs: Vec::new(),
        changed_while_read: false,
        unreadable: None,
    }
}

impl Assembler<'_> {
    /// Reads a stream to its end and queues its entry.
    pub(super) fn stream(&mut self, entry: Entry) -> Result<(), Stopped> {
        let stop = self.reading.stop;
        let absolute = [b"/", entry.path.as_slice()].concat();
        let failed = |source: StreamError| {
            let path = String::from_utf8_lossy(&absolute).into_owned();
            // A stream that ends because the run is over is not why it is over.
            stop.check().err().unwrap_or_else(|| stop.fail(BackupError::Stream { path, source }))
        };
        let Input::Streams(planned) = self.run.input else {
            return Err(stop.fail(BackupError::Thread));
        };
        self.progress.current(&entry.path);
        let path = Path::new(std::ffi::OsStr::from_bytes(&absolute));
        let mut stream = planned.streams.open(path, Halt::of(stop)).map_err(failed)?;
        let cuts = self.cut_stream(stream.as_mut(), &failed)?;
        stream.finish().map_err(failed)?;
        let size = cuts.bytes();
        let (content, numbers) = cuts.into_parts();
        let entry = Entry { kind: EntryKind::File { size, sparse: None, content }, ..entry };
        self.progress.files(1);
        self.queue(Assembled { entry, stat: None, numbers }, 0..0);
        Ok(())
    }

    fn cut_stream(
        &mut self,
        stream: &mut dyn Stream,
        failed: &dyn Fn(StreamError) -> Stopped,
    ) -> Result<Cuts, Stopped> {
        let mut cuts = Cuts::default();
        let mut window = Window::new(self.buffers);
        let mut ended = false;
        loop {
            self.reading.stop.check()?;
            let found = window.cut(self.chunker);
            if found.is_none() && !ended {
                match stream.read(window.bytes.room(READ_BYTES)) {
                    Ok(0) => ended = true,
                    Ok(read) => {
                        window.bytes.fill(read);
                        self.read_bytes += read as u64;
                        self.progress.bytes(read as u64);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(failed(error.into())),
                }
                continue;
            }
            let length = found.unwrap_or(window.bytes.len());
            if length == 0 {
                self.buffers.give(window.bytes);
                return Ok(cuts);
            }
            let plain = window.take(length, self.buffers);
            let mut origins = Origins::default();
            origins.add(Origin::Unchanged, length as u64);
            let number = self.send(plain, origins)?;
            let length = u32::try_from(length).expect("a chunk's length fits 32 bits");
            cuts.push(Cut { number, chunk: ChunkId::ZERO, length });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(Vec<PathBuf>);

    impl Streams for Named {
        fn paths(&self) -> &[PathBuf] {
            &self.0
        }

        fn open(&self, _: &Path, _: Halt) -> Result<Box<dyn Stream + '_>, StreamError> {
            unreachable!("nothing is read here")
        }
    }

    fn planned(paths: &[&str]) -> Result<Vec<String>, String> {
        let named = Named(paths.iter().map(PathBuf::from).collect());
        let planned = Planned::new(&named).map_err(|error| error.to_string())?;
        Ok(planned.absolute().into_iter().map(|path| String::from_utf8(path).unwrap()).collect())
    }

    #[test]
    fn streams_stand_in_path_order() {
        assert_eq!(planned(&["/b", "/a-b", "/a/c"]).unwrap(), ["/a/c", "/a-b", "/b"]);
    }

    #[test]
    fn a_stream_that_is_another_ones_directory_is_refused() {
        for paths in [&["/a", "/a"][..], &["/a", "/a/b"], &["a"], &["/"], &["/a/../b"]] {
            assert!(planned(paths).is_err(), "{paths:?}");
        }
    }
}
