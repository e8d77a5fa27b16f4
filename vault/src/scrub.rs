//! The scrub: reads every object and frame of a repository, repairs what is bad from another site, and signs
//! what it found.
//!
//! A pass runs on several threads, keeps a journal of what it has read, and goes on where it was stopped; its times are
//! those of its beginning and of its end, whatever happened between.
//!
//! Invariants: a snapshot is reported as verified only if every object and frame that it needs was read in
//! this pass and matched (after repair, if there was one); nothing is written that does not match its name;
//! nothing is taken away, however bad.

mod journal;
mod judge;
mod objects;
mod pace;
mod packs;
mod pass;

use std::sync::{MutexGuard, PoisonError, TryLockError};

use lumbung_model::{PackId, RepositoryId, ScrubId, Timestamp};
use lumbung_pack::{Kind, PackTable, ScrubReport, open_signed, sign};
use tokio_util::sync::CancellationToken;

pub use self::journal::Progress;
pub(crate) use self::journal::progress;
pub(crate) use self::pace::Throttle;
pub use self::pace::{FullSpeed, Pace, Regulator, spread, spread_over};
use self::pass::Pass;
use crate::index::{StatementRow, receipts_given};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Where good copies come from. What they give is checked by who asked.
pub trait GoodCopies: Send + Sync {
    /// An object other than a pack.
    fn object(&self, repository: &RepositoryId, kind: Kind, id: &[u8; 32]) -> Option<Vec<u8>>;
    /// Header and table of a pack.
    fn head(&self, repository: &RepositoryId, pack: &PackId) -> Option<PackTable>;
    /// One stored frame.
    fn frame(
        &self,
        repository: &RepositoryId,
        pack: &PackId,
        table: &PackTable,
        frame: usize,
    ) -> Option<Vec<u8>>;
}

/// No other site.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCopies;

impl GoodCopies for NoCopies {
    fn object(&self, _: &RepositoryId, _: Kind, _: &[u8; 32]) -> Option<Vec<u8>> {
        None
    }
    fn head(&self, _: &RepositoryId, _: &PackId) -> Option<PackTable> {
        None
    }
    fn frame(&self, _: &RepositoryId, _: &PackId, _: &PackTable, _: usize) -> Option<Vec<u8>> {
        None
    }
}

/// What a pass found and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbed {
    /// The signed report.
    pub id: ScrubId,
    /// What it says.
    pub report: ScrubReport,
    /// Small objects that were fetched again.
    pub objects_repaired: u32,
    /// Small objects that stay damaged or lost.
    pub objects_bad: u32,
}

/// What a pass found, unsigned: its report has no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What a report would say.
    pub report: ScrubReport,
    /// Small objects that were fetched again.
    pub objects_repaired: u32,
    /// Small objects that are damaged or lost.
    pub objects_bad: u32,
}

/// How a pass goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Threads that read.
    pub workers: usize,
    /// Go on with the pass that was stopped, if there is one.
    pub resume: bool,
    /// Read from the disk even what the operating system has in memory.
    pub from_medium: bool,
}

/// Whose turn it is to scrub a repository.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Held during a pass.
    pass: std::sync::Mutex<()>,
    /// Ends the rolling pass, which a scrub at the console takes the place of.
    rolling: std::sync::Mutex<CancellationToken>,
    /// The newest report's number and when its pass began.
    last: std::sync::Mutex<Option<LastScrub>>,
}

impl Turn {
    /// Waits for the turn; a rolling pass gives it up.
    fn demand(&self) -> MutexGuard<'_, ()> {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        self.pass.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn, if nobody has it.
    fn attempt(&self) -> Option<MutexGuard<'_, ()>> {
        match self.pass.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What ends a rolling pass that begins now, besides `stop`.
    pub(crate) fn rolling(&self, stop: &CancellationToken) -> CancellationToken {
        let token = stop.child_token();
        *self.rolling.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        token
    }
}

/// The pass that a repository's newest report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastScrub {
    /// The report's number.
    pub(crate) number: u64,
    /// When it began.
    pub(crate) started: Timestamp,
}

impl Vault {
    /// How the configuration says that a pass reads.
    #[must_use]
    pub fn scrub_options(&self) -> ScrubOptions {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.config.scrub_workers.unwrap_or(processors).clamp(1, processors);
        ScrubOptions { workers, resume: false, from_medium: false }
    }

    /// Reads a whole repository once, from its beginning.
    ///
    /// # Errors
    /// If the storage itself fails, or the pace says to stop. Damage is no error: the report tells of it.
    pub fn scrub(
        &self,
        repository: &Repository,
        copies: &dyn GoodCopies,
        pace: &dyn Pace,
    ) -> Result<Scrubbed, VaultError> {
        self.scrub_with(repository, copies, pace, self.scrub_options())
    }

    /// As [`Self::scrub`], in another way. A rolling pass that is under way is stopped for it.
    ///
    /// # Errors
    /// As [`Self::scrub`].
    pub fn scrub_with(
        &self,
        repository: &Repository,
        copies: &dyn GoodCopies,
        pace: &dyn Pace,
        options: ScrubOptions,
    ) -> Result<Scrubbed, VaultError> {
        let _turn = repository.turn.demand();
        self.run_pass(repository, (copies, pace), options)
    }

    /// The rolling pass: goes on where it was stopped. Nothing if somebody scrubs this repository already.
    pub(crate) fn scrub_rolling(
        &self,
        repository: &Repository,
        copies: &dyn GoodCopies,
        pace: &dyn Pace,
    ) -> Result<Option<Scrubbed>, VaultError> {
        let Some(_turn) = repository.turn.attempt() else { return Ok(None) };
        let options = ScrubOptions { resume: true, from_medium: true, ..self.scrub_options() };
        self.run_pass(repository, (copies, pace), options).map(Some)
    }

    fn run_pass(
        &self,
        repository: &Repository,
        (copies, pace): (&dyn GoodCopies, &dyn Pace),
        options: ScrubOptions,
    ) -> Result<Scrubbed, VaultError> {
        self.reconcile_repository(repository)?;
        let pass = Pass::begin(self, repository, (copies, pace), options)?;
        let Found { report, objects_repaired, objects_bad } = pass.run()?;
        let (id, report) = self.sign_report(repository, report)?;
        pass.finish()?;
        Ok(Scrubbed { id, report, objects_repaired, objects_bad })
    }

    /// Reads a whole repository and only tells: nothing is repaired, noted or signed.
    ///
    /// # Errors
    /// As [`Self::scrub`].
    pub fn scrub_dry_run(
        &self,
        repository: &Repository,
        pace: &dyn Pace,
        options: ScrubOptions,
    ) -> Result<Found, VaultError> {
        Pass::look(self, repository, pace, options)?.run()
    }

    fn sign_report(
        &self,
        repository: &Repository,
        mut report: ScrubReport,
    ) -> Result<(ScrubId, ScrubReport), VaultError> {
        let mut gate = repository.gate();
        gate.catch_up(self, repository)?;
        let last = self.index.read(|c| StatementRow::newest(c, repository.row, Kind::Scrub))?;
        report.number = last.map_or(1, |row| row.number + 1);
        let bytes = sign(&report, &self.identity.key);
        let id = lumbung_pack::object_id(&bytes);
        let waiting = gate.behind;
        // Until the index knows it, its number could be given again.
        gate.behind = true;
        repository.store.put(Kind::Scrub, &id, &bytes)?;
        let (number, made) = (report.number, report.finished);
        let row = StatementRow { kind: Kind::Scrub, number, id, made, digest: [0; 32] };
        self.index.write(|tx| row.insert(tx, repository.row))?;
        gate.behind = waiting;
        drop(gate);
        for manifest in &report.damaged {
            self.alarm(
                Some(&repository.id),
                "damaged",
                format!("snapshot {manifest} misses something; another site may still have it"),
            );
        }
        tracing::info!(
            repository = %repository.id, number = report.number, frames = report.frames, bytes = report.bytes,
            repaired = report.repaired, bad = report.bad, verified = report.verified.len(),
            damaged = report.damaged.len(), "scrub report signed"
        );
        Ok((ScrubId::from_bytes(id), report))
    }

    /// The pass that a repository's newest report is about.
    pub(crate) fn last_scrub(
        &self,
        repository: &Repository,
    ) -> Result<Option<LastScrub>, VaultError> {
        let newest = self.index.read(|c| StatementRow::newest(c, repository.row, Kind::Scrub))?;
        let Some(row) = newest else { return Ok(None) };
        let mut last = repository.turn.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.number != row.number) {
            // A report that was lost says when it was made at least.
            let report = repository.store.get(Kind::Scrub, &row.id).ok();
            let report = report.and_then(|bytes| open_signed::<ScrubReport>(&bytes).ok());
            let started = report.map_or(row.made, |report| report.body.started);
            *last = Some(LastScrub { number: row.number, started });
        }
        Ok(*last)
    }

    /// Whether the next pass over a repository is due, and late. One without any snapshot has nothing to read.
    pub(crate) fn scrub_due(&self, repository: &Repository) -> Result<Due, VaultError> {
        if self.index.read(|c| receipts_given(c, repository.row))? == 0 {
            return Ok(Due::Later);
        }
        let interval_s = i64::from(self.config.scrub_interval.as_seconds());
        Ok(due(self.last_scrub(repository)?.map(|last| last.started), self.now(), interval_s))
    }
}

/// When the next pass begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Not yet.
    Later,
    /// Now, spread over the interval.
    Now,
    /// It should have begun: as fast as the timetable lets it.
    Late,
}

/// Passes begin nine tenths of an interval apart. A clock that went back begins one rather than none.
fn due(started: Option<Timestamp>, now: Timestamp, interval_s: i64) -> Due {
    match started.map(|started| now.seconds_since(started)) {
        Some(age_s) if (0..spread_over(interval_s)).contains(&age_s) => Due::Later,
        Some(age_s) if (0..interval_s).contains(&age_s) => Due::Now,
        _ => Due::Late,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_due_nine_tenths_of_an_interval_after_the_last_began() {
        let due = |started: i64| due(Some(Timestamp(started)), Timestamp(10_000), 1000);
        assert_eq!(
            (due(9_101), due(9_100), due(9_001), due(9_000)),
            (Due::Later, Due::Now, Due::Now, Due::Late)
        );
        assert_eq!(due(10_001), Due::Late, "the clock went back");
        assert_eq!(super::due(None, Timestamp(10_000), 1000), Due::Late);
    }
}
