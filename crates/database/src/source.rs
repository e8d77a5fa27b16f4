//! A source that is ready to be read: its files, how each is made, and the description that is made last.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lumbung_engine::{Halt, Stream, StreamError, Streams};

use crate::child::Running;
use crate::description::{Description, Made};
use crate::{SourceError, child};

/// The description's name, beside the folders of the data.
pub const DESCRIPTION: &str = "source.json";

/// Reads a stream along and says at its end whether it is whole.
pub(crate) trait Inspect: Send {
    /// The next bytes.
    fn see(&mut self, bytes: &[u8]);

    /// The end: what was learnt goes into the description. `said` is the last part of what the program said beside its output.
    fn end(self: Box<Self>, said: &str, description: &mut Description) -> Result<(), SourceError>;
}

/// Sees nothing.
pub(crate) struct Unread;

impl Inspect for Unread {
    fn see(&mut self, _: &[u8]) {}

    fn end(self: Box<Self>, _: &str, _: &mut Description) -> Result<(), SourceError> {
        Ok(())
    }
}

/// What the bytes of a file come from.
pub(crate) enum Origin {
    /// A program's output.
    Program(Running),
    /// A file that nobody else knows.
    File(std::fs::File),
    /// A short text.
    Text(std::io::Cursor<Vec<u8>>),
}

/// How one file of a source is made.
pub(crate) trait Part: Sync + Send {
    /// Begins it.
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError>;

    /// The database that it is of.
    fn database(&self) -> Option<&str> {
        None
    }
}

/// A source, ready to be read.
pub struct Prepared {
    paths: Vec<PathBuf>,
    parts: Vec<Box<dyn Part>>,
    description: Mutex<Description>,
}

impl Prepared {
    /// `parts` with their paths below `folder`; the description comes last, so its name sorts behind all others there.
    pub(crate) fn new(
        folder: &Path,
        parts: Vec<(String, Box<dyn Part>)>,
        description: Description,
    ) -> Self {
        let (names, parts): (Vec<String>, Vec<_>) = parts.into_iter().unzip();
        let names = names.iter().map(String::as_str).chain([DESCRIPTION]);
        let paths = names.map(|name| folder.join(name)).collect();
        Self { paths, parts, description: Mutex::new(description) }
    }

    /// What there is to say of the source now: of its files once they were read.
    #[must_use]
    pub fn description(&self) -> Description {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Description> {
        self.description.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams for Prepared {
    fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    fn open(&self, path: &Path, halt: Halt) -> Result<Box<dyn Stream + '_>, StreamError> {
        let index = self.paths.iter().position(|known| known == path);
        let Some(part) = index.and_then(|index| self.parts.get(index)) else {
            return Ok(Box::new(Told(std::io::Cursor::new(self.locked().to_json()))));
        };
        let (origin, inspect) = part.begin(halt)?;
        let hasher = blake3::Hasher::new();
        let path = path.display().to_string();
        Ok(Box::new(Read_ { source: self, part: part.as_ref(), origin, inspect, hasher, path }))
    }
}

/// The description.
struct Told(std::io::Cursor<Vec<u8>>);

impl Read for Told {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(room)
    }
}

impl Stream for Told {
    fn finish(self: Box<Self>) -> Result<(), StreamError> {
        Ok(())
    }
}

/// A part that is being read.
struct Read_<'a> {
    source: &'a Prepared,
    part: &'a dyn Part,
    origin: Origin,
    inspect: Box<dyn Inspect>,
    hasher: blake3::Hasher,
    path: String,
}

impl Read for Read_<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let read = match &mut self.origin {
            Origin::Program(running) => running.read(room)?,
            Origin::File(file) => file.read(room)?,
            Origin::Text(text) => text.read(room)?,
        };
        self.hasher.update(&room[..read]);
        self.inspect.see(&room[..read]);
        Ok(read)
    }
}

impl Stream for Read_<'_> {
    fn finish(self: Box<Self>) -> Result<(), StreamError> {
        let Self { source, part, origin, inspect, hasher, path } = *self;
        let said = match origin {
            Origin::Program(running) => running.end_saying()?,
            Origin::File(_) | Origin::Text(_) => String::new(),
        };
        let mut description = source.locked();
        inspect.end(&said, &mut description)?;
        description.note(Made {
            path,
            bytes: hasher.count(),
            blake3: hasher.finalize().to_hex().to_string(),
            database: part.database().map(str::to_owned),
        });
        Ok(())
    }
}

/// A file name for any name: what is not plain becomes `%` and two hex digits.
pub(crate) fn file_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

/// The end of a text, for its closing marker.
#[derive(Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    /// Enough for a marker and what tools write behind it.
    const BYTES: usize = 1 << 10;

    pub(crate) fn see(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(Self::BYTES)..];
        self.0.extend_from_slice(bytes);
        let beyond = self.0.len().saturating_sub(Self::BYTES);
        self.0.drain(..beyond);
    }

    /// Refuses a text that does not end with a line that begins so.
    pub(crate) fn check(&self, program: &str, marker: &'static str) -> Result<(), SourceError> {
        let mut lines = self.0.split(|byte| *byte == b'\n');
        if lines.any(|line| line.starts_with(marker.as_bytes())) {
            return Ok(());
        }
        Err(SourceError::Unfinished { program: program.to_owned(), marker })
    }
}

/// Runs a command for its one answer.
pub(crate) fn ask(
    command: std::process::Command,
    halt: &Halt,
    server: &str,
) -> Result<String, SourceError> {
    child::Running::answer(command, halt.clone()).map_err(|error| match error {
        SourceError::Failed { said, .. } => {
            SourceError::Refused { server: server.to_owned(), said }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_a_file_name() {
        assert_eq!(file_name("simrs_2024.v1"), "simrs_2024.v1");
        assert_eq!(file_name("../etc"), "%2e.%2fetc");
        assert_eq!(file_name("e-office é"), "e-office%20%c3%a9");
    }

    #[test]
    fn a_marker_counts_only_at_the_end() {
        let mut tail = Tail::default();
        tail.see(b"x\n-- done\n");
        tail.check("dump", "-- done").unwrap();
        tail.see(&[b'y'; 900]);
        tail.see(&[b'y'; 200]);
        assert!(tail.check("dump", "-- done").is_err());
    }
}
