//! The site's retention clock: kept in a file, read as often as one likes.
//!
//! Invariants: what it has shown it never shows less of, also after a crash: it is written down before a step of
//! more than [`STEP_S`] is given out. A file that is lost or damaged makes it go on from the latest time that the index knows.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lumbung_model::Timestamp;
use lumbung_model::retention::{Boot, RetentionClock};
use lumbung_store::{StoreError, durable};

/// The reading is written down when it has moved on by so much, seconds.
const STEP_S: u64 = 60;
/// Where Linux names this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Who says how long the machine has been running, so that tests can answer.
pub trait Uptime: Send + Sync {
    /// This start of the machine, and the time since.
    fn boot(&self) -> Boot;
}

/// The machine's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemUptime;

impl Uptime for SystemUptime {
    fn boot(&self) -> Boot {
        let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let id = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        Boot { id: id.trim().to_owned(), seconds: u64::try_from(since.tv_sec).unwrap_or(0) }
    }
}

/// The clock, and where it is kept.
pub(crate) struct Age {
    path: PathBuf,
    uptime: Box<dyn Uptime>,
    kept: Mutex<Kept>,
}

struct Kept {
    clock: RetentionClock,
    /// What the file shows.
    written_s: u64,
}

impl Age {
    /// Takes up the clock of a vault. `known_s` is the latest time that the index knows.
    pub(crate) fn open(
        data: &Path,
        uptime: Box<dyn Uptime>,
        wall: Timestamp,
        known_s: u64,
    ) -> Result<Self, StoreError> {
        let path = data.join("retention-clock.json");
        let saved = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<RetentionClock>(&bytes).ok());
        let mut clock = saved.unwrap_or_else(|| RetentionClock::start(wall, uptime.boot()));
        clock.seconds = clock.seconds.max(known_s);
        let age = Self { path, uptime, kept: Mutex::new(Kept { clock, written_s: 0 }) };
        age.write_down(&mut age.kept.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(age)
    }

    /// What it shows, in seconds. A file that cannot be written is logged: the clock then stands still rather than
    /// run ahead of what it could prove after a crash.
    pub(crate) fn seconds(&self, wall: Timestamp) -> u64 {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.clock.clone();
        kept.clock = before.advance(wall, self.uptime.boot());
        if kept.clock.seconds >= kept.written_s.saturating_add(STEP_S)
            && let Err(error) = self.write_down(&mut kept)
        {
            tracing::error!(
                "the retention clock cannot be kept: {}",
                lumbung_model::with_causes(&error)
            );
            kept.clock = before;
        }
        kept.clock.seconds
    }

    fn write_down(&self, kept: &mut Kept) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(&kept.clock).unwrap_or_default();
        durable::replace_file(&self.path, &bytes, 0o640)?;
        kept.written_s = kept.clock.seconds;
        Ok(())
    }
}
