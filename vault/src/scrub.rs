//! The scrub: reads every object and frame of a repository, repairs what is bad from another site, and signs
//! what it found.
//!
//! Invariants: a snapshot is reported as verified only if every object and frame that it needs was read in
//! this pass and matched (after repair, if there was one); nothing is written that does not match its name;
//! nothing is taken away, however bad.

mod pass;

use lumbung_model::{PackId, RepositoryId, ScrubId};
use lumbung_pack::{Kind, PackTable, ScrubReport, sign};

use self::pass::Pass;
use crate::index::{ManifestRow, StatementRow, receipts_given};
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

/// What a pass found.
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

/// How a pass is slowed down and stopped.
pub trait Pace {
    /// Called after so many bytes were read; waits, and says whether to go on.
    fn after(&self, bytes: u64) -> bool;
}

/// As fast as it goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct FullSpeed;

impl Pace for FullSpeed {
    fn after(&self, _: u64) -> bool {
        true
    }
}

impl Vault {
    /// Reads a whole repository once.
    ///
    /// # Errors
    /// If the storage itself fails, or the pace says to stop. Damage is no error: the report tells of it.
    pub fn scrub(
        &self,
        repository: &Repository,
        copies: &dyn GoodCopies,
        pace: &dyn Pace,
    ) -> Result<Scrubbed, VaultError> {
        let started = self.now();
        // First of all, so that everything that these need is there to be read.
        let manifests =
            self.index.read(|c| ManifestRow::after(c, repository.row, 0, u32::MAX, None))?;
        let mut pass = Pass::new(self, repository, copies, pace);
        let (verified, damaged) = pass.run(&manifests)?;
        let (objects_repaired, objects_bad) = (pass.objects_repaired, pass.objects_bad());
        let report = ScrubReport {
            repository: repository.id,
            site: self.site(),
            number: 0,
            started,
            finished: self.now(),
            frames: pass.frames,
            bytes: pass.bytes,
            repaired: pass.repaired,
            bad: pass.bad,
            verified,
            damaged,
        };
        let (id, report) = self.sign_report(repository, report)?;
        Ok(Scrubbed { id, report, objects_repaired, objects_bad })
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

    /// Whether a repository's last report is older than the interval. One without any snapshot has nothing to read.
    pub(crate) fn scrub_is_due(&self, repository: &Repository) -> Result<bool, VaultError> {
        if self.index.read(|c| receipts_given(c, repository.row))? == 0 {
            return Ok(false);
        }
        let last = self.index.read(|c| StatementRow::newest(c, repository.row, Kind::Scrub))?;
        let interval_s = i64::from(self.config.scrub_interval.as_seconds());
        Ok(last.is_none_or(|row| !(0..interval_s).contains(&self.now().seconds_since(row.made))))
    }
}
