//! The runner's own journal: what it was ordered, what happened, and which answers it has taken.
//!
//! Invariants: a line is on the disk before what it says is acted on; a last line that was cut short by a crash was never acted
//! on, and is taken away. One file a run, readable by its owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lumbung_model::drill::DrillEvent;
use lumbung_model::{DrillRunId, Timestamp};
use lumbung_wire::messages::drills::{DrillMode, DrillOrder, DrillPlan};
use serde::{Deserialize, Serialize};

const ENDING: &str = "jsonl";

/// Why a journal cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system.
    #[error("the journal {} cannot be {action}: see to its disk and the rights of its folder", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is none.
    #[error("the journal {} is damaged in line {line}: {reason}; move it away, and put back by hand what it began", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What does not fit.
        reason: String,
    },
}

/// What was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The run.
    pub run: DrillRunId,
    /// How it is run.
    pub mode: DrillMode,
    /// The outage that was declared.
    pub outage: Option<Timestamp>,
    /// What is carried out.
    pub plan: DrillPlan,
}

impl From<&DrillOrder> for Ordered {
    fn from(order: &DrillOrder) -> Self {
        let DrillOrder { run, mode, outage, plan, .. } = order;
        Self { run: *run, mode: *mode, outage: *outage, plan: plan.clone() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Ordered(Box<Ordered>),
    Event(Box<DrillEvent>),
    Answered(u64),
}

/// What a journal says.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What was ordered.
    pub ordered: Ordered,
    /// What happened.
    pub events: Vec<DrillEvent>,
    /// The number of the last answer that was taken.
    pub answered: u64,
}

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

/// The folder of the journals.
#[derive(Debug, Clone)]
pub struct Journals {
    folder: PathBuf,
}

impl Journals {
    /// Opens the folder; makes it (0700) if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(state: &Path) -> Result<Self, JournalError> {
        let folder = state.join("runs");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| JournalError::Io { action: "kept", path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    fn path(&self, run: &DrillRunId) -> PathBuf {
        self.folder.join(format!("{run}.{ENDING}"))
    }

    /// The journals that there are.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<DrillRunId>, JournalError> {
        let io = |source| JournalError::Io { action: "read", path: self.folder.clone(), source };
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let of_ours = path.extension().is_some_and(|ending| ending == ENDING);
            let name = path.file_stem().and_then(|name| name.to_str());
            let run = name.filter(|_| of_ours).and_then(|name| name.parse::<DrillRunId>().ok());
            runs.extend(run);
        }
        Ok(runs)
    }

    /// What the journal of a run says; none if there is none. What a crash left of a last line is passed over.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn read(&self, run: &DrillRunId) -> Result<Option<Kept>, JournalError> {
        let path = self.path(run);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| JournalError::Io {
                action: "read",
                path: path.clone(),
                source,
            })?,
        };
        let mut kept: Option<Kept> = None;
        for (index, line) in whole(&text).lines().enumerate() {
            let damaged = |reason: String| JournalError::Damaged {
                path: path.clone(),
                line: index + 1,
                reason,
            };
            let line = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
            match (line, kept.as_mut()) {
                (Line::Ordered(ordered), None) => {
                    kept = Some(Kept { ordered: *ordered, events: Vec::new(), answered: 0 });
                }
                (Line::Event(event), Some(kept)) => kept.events.push(*event),
                (Line::Answered(number), Some(kept)) => kept.answered = number,
                (Line::Ordered(_), Some(_)) => return Err(damaged("a second order".to_owned())),
                (_, None) => return Err(damaged("it begins without an order".to_owned())),
            }
        }
        Ok(kept)
    }

    /// Begins the journal of a run.
    ///
    /// # Errors
    /// If it cannot be kept durably.
    pub fn begin(&self, ordered: &Ordered) -> Result<Journal, JournalError> {
        let path = self.path(&ordered.run);
        let io = |source| JournalError::Io { action: "begun", path: path.clone(), source };
        // What is there has not even its first line.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut journal = Journal { file: options.open(&path).map_err(io)?, path: path.clone() };
        journal.write(&Line::Ordered(Box::new(ordered.clone())))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        Ok(journal)
    }

    /// Opens the journal of a run to go on with it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn resume(&self, run: &DrillRunId) -> Result<Journal, JournalError> {
        let path = self.path(run);
        let io = |source| JournalError::Io { action: "opened", path: path.clone(), source };
        let text = fs::read_to_string(&path).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        let length = u64::try_from(whole(&text).len()).unwrap_or(u64::MAX);
        file.set_len(length).and_then(|()| file.sync_all()).map_err(io)?;
        Ok(Journal { path: path.clone(), file })
    }
}

/// What was written to its end.
fn whole(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

impl Journal {
    fn write(&mut self, line: &Line) -> Result<(), JournalError> {
        let io = |source| JournalError::Io { action: "written", path: self.path.clone(), source };
        let mut text = serde_json::to_vec(line).map_err(|error| io(error.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).and_then(|()| self.file.sync_data()).map_err(io)
    }

    /// Keeps an event.
    ///
    /// # Errors
    /// If it is not durable: then it must not be acted on.
    pub fn event(&mut self, event: &DrillEvent) -> Result<(), JournalError> {
        self.write(&Line::Event(Box::new(event.clone())))
    }

    /// Keeps that the answers up to this number were taken.
    ///
    /// # Errors
    /// If it is not durable.
    pub fn answered(&mut self, number: u64) -> Result<(), JournalError> {
        self.write(&Line::Answered(number))
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::drill::Happened;

    use super::*;

    fn ordered() -> Ordered {
        let plan = crate::runner::tests::plan();
        Ordered { run: DrillRunId::random(), mode: DrillMode::Drill, outage: None, plan }
    }

    fn event(number: u64) -> DrillEvent {
        let what = Happened::Interrupted { reason: "power".to_owned() };
        DrillEvent { number, at: Timestamp(1), what }
    }

    #[test]
    fn a_line_that_was_cut_short_was_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::open(folder.path()).unwrap();
        let ordered = ordered();
        let run = ordered.run;
        assert!(journals.read(&run).unwrap().is_none());
        let mut journal = journals.begin(&ordered).unwrap();
        journal.event(&event(1)).unwrap();
        journal.answered(3).unwrap();
        drop(journal);
        let path = journals.path(&run);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [whole.as_slice(), b"{\"event\":{\"num"].concat()).unwrap();
        let mut journal = journals.resume(&run).unwrap();
        journal.event(&event(2)).unwrap();
        let kept = journals.read(&run).unwrap().unwrap();
        assert_eq!((kept.ordered, kept.answered), (ordered, 3));
        assert_eq!(kept.events, [event(1), event(2)]);
        assert_eq!(journals.runs().unwrap(), [run]);
    }

    #[test]
    fn a_journal_whose_order_was_cut_short_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::open(folder.path()).unwrap();
        let ordered = ordered();
        drop(journals.begin(&ordered).unwrap());
        let path = journals.path(&ordered.run);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(journals.read(&ordered.run).unwrap().is_none());
        journals.begin(&ordered).unwrap().event(&event(1)).unwrap();
        assert_eq!(journals.read(&ordered.run).unwrap().unwrap().events, [event(1)]);
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::open(folder.path()).unwrap();
        let ordered = ordered();
        drop(journals.begin(&ordered).unwrap());
        let path = journals.path(&ordered.run);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("nonsense\n");
        fs::write(&path, text).unwrap();
        let error = journals.read(&ordered.run).unwrap_err().to_string();
        assert!(error.contains("damaged in line 2"), "{error}");
    }
}
