//! The journal: what this agent itself sent and a depot acknowledged.
//!
//! Records follow each other: `u32` length ‖ type ‖ payload ‖ BLAKE3 of type and payload. A record is
//! durable before the pack it tells of counts as sent. A torn end is cut off. The journal is the agent's
//! own word, so frames in it may be reused; whether a depot still has them is asked each time.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use lumbung_pack::limits::PACK_MAX_BYTES;
use lumbung_store::durable::{Draft, GrownFile};

use super::{FILE_MODE, StateError};

const NAME: &str = "journal";
const HASH_BYTES: usize = 32;
const RECORD_MAX_BYTES: usize = PACK_MAX_BYTES;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// Header and table of an acknowledged pack.
    Pack(Vec<u8>),
    /// A session that was published, as signed.
    Session(Vec<u8>),
    /// A manifest was taken: everything before is protected by it.
    Committed,
    /// A session was opened to a verifier, as signed.
    Opening(Vec<u8>),
}

impl Record {
    const fn parts(&self) -> (u8, &[u8]) {
        match self {
            Self::Pack(head) => (1, head.as_slice()),
            Self::Session(object) => (2, object.as_slice()),
            Self::Committed => (3, &[]),
            Self::Opening(object) => (4, object.as_slice()),
        }
    }

    fn from_parts(code: u8, payload: &[u8]) -> Option<Self> {
        match code {
            1 => Some(Self::Pack(payload.to_vec())),
            2 => Some(Self::Session(payload.to_vec())),
            3 if payload.is_empty() => Some(Self::Committed),
            4 => Some(Self::Opening(payload.to_vec())),
            _ => None,
        }
    }
}

/// The journal, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: GrownFile,
}

impl Journal {
    fn path_in(state: &Path) -> PathBuf {
        state.join(NAME)
    }

    /// Whether there is one: if not, what was sent before is found through manifests.
    pub(crate) fn exists(state: &Path) -> bool {
        Self::path_in(state).exists()
    }

    /// Opens it and cuts off a torn end; makes it if it is not there.
    pub(crate) fn open(state: &Path) -> Result<Self, StateError> {
        let path = Self::path_in(state);
        let good = read_records(&path, &mut |_| Ok(()))?;
        let file = GrownFile::open(&path, FILE_MODE, good);
        let file = file.map_err(|e| StateError::unwritten(&path, e))?;
        Ok(Self { path, file })
    }

    /// Makes it with these records in it: all of them, or there is still none.
    pub(crate) fn create(state: &Path, records: &[Record]) -> Result<Self, StateError> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, &mut bytes));
        super::write_durably(&Self::path_in(state), &bytes)?;
        Self::open(state)
    }

    /// Tells `visit` of each record, oldest first.
    pub(crate) fn replay(
        &self,
        visit: &mut dyn FnMut(Record) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        read_records(&self.path, visit).map(|_| ())
    }

    /// Appends records and makes them durable.
    pub(crate) fn append(&mut self, records: &[Record]) -> Result<(), StateError> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| encode(record, &mut bytes));
        let written = self.file.append(&bytes).and_then(|()| self.file.sync());
        written.map_err(|e| StateError::unwritten(&self.path, e))
    }

    /// Replaces it by these records only.
    pub(crate) fn rewrite(
        &mut self,
        keep: &mut dyn FnMut(&Record) -> bool,
    ) -> Result<(), StateError> {
        let failed = |e| StateError::unwritten(&self.path, e);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut draft = Draft::create(folder, FILE_MODE).map_err(failed)?;
        let mut buffer = Vec::new();
        read_records(&self.path, &mut |record| {
            if keep(&record) {
                buffer.clear();
                encode(&record, &mut buffer);
                draft.write(&buffer).map_err(failed)?;
            }
            Ok(())
        })?;
        self.file = draft.replace_and_grow(NAME).map_err(failed)?;
        Ok(())
    }
}

fn encode(record: &Record, out: &mut Vec<u8>) {
    let (code, payload) = record.parts();
    let length = u32::try_from(payload.len() + 1).expect("a record is no longer than a pack");
    out.extend_from_slice(&length.to_le_bytes());
    let start = out.len();
    out.push(code);
    out.extend_from_slice(payload);
    let hash = blake3::hash(&out[start..]);
    out.extend_from_slice(hash.as_bytes());
}

/// Reads records until the end or the first that is torn; how many bytes were good.
fn read_records(
    path: &Path,
    visit: &mut dyn FnMut(Record) -> Result<(), StateError>,
) -> Result<u64, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(StateError::io("opened", path, error)),
    };
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut good = 0;
    let mut body = Vec::new();
    loop {
        let mut length = [0; 4];
        if !filled(path, reader.read_exact(&mut length))? {
            return Ok(good);
        }
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 || length > RECORD_MAX_BYTES {
            return Ok(good);
        }
        body.resize(length + HASH_BYTES, 0);
        if !filled(path, reader.read_exact(&mut body))? {
            return Ok(good);
        }
        let (content, hash) = body.split_at(length);
        if blake3::hash(content).as_bytes() != hash {
            return Ok(good);
        }
        let Some(record) = Record::from_parts(content[0], &content[1..]) else { return Ok(good) };
        visit(record)?;
        good += (4 + length + HASH_BYTES) as u64;
    }
}

/// Whether there was so much. A disk that cannot be read is no torn end: nothing is cut off for it.
fn filled(path: &Path, read: std::io::Result<()>) -> Result<bool, StateError> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(StateError::io("read", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(journal: &Journal) -> Vec<Record> {
        let mut found = Vec::new();
        let mut visit = |record| {
            found.push(record);
            Ok(())
        };
        journal.replay(&mut visit).unwrap();
        found
    }

    #[test]
    fn a_torn_end_is_cut_off_and_the_rest_stays() {
        let state = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(state.path()).unwrap();
        let all = [Record::Pack(vec![1; 300]), Record::Session(vec![2]), Record::Committed];
        journal.append(&all).unwrap();
        let path = state.path().join("journal");
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let mut journal = Journal::open(state.path()).unwrap();
            let found = records(&journal);
            assert!(found.len() < 3 && all.starts_with(&found), "{length}");
            journal.append(&[Record::Committed]).unwrap();
            assert_eq!(records(&journal).len(), found.len() + 1, "{length}");
        }
    }

    #[test]
    fn rewriting_keeps_what_is_wanted() {
        let state = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(state.path()).unwrap();
        journal.append(&[Record::Pack(vec![1]), Record::Pack(vec![2])]).unwrap();
        journal.rewrite(&mut |record| *record == Record::Pack(vec![2])).unwrap();
        journal.append(&[Record::Committed]).unwrap();
        assert_eq!(records(&journal), [Record::Pack(vec![2]), Record::Committed]);
    }
}
