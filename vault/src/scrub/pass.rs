//! One pass of the scrub over a repository, from its beginning (or where it stopped) to what it found.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lumbung_model::PackId;
use lumbung_pack::{Kind, ScrubReport};
use lumbung_store::{FrameScanner, READ_BYTES, StoreError};

use super::journal::{self, Beginning, Entry, Journal, Tally};
use super::judge::Judge;
use super::{Found, GoodCopies, NoCopies, Pace, ScrubOptions};
use crate::index::{list_packs, receipts_given};
use crate::repository::Repository;
use crate::workers::each;
use crate::{Vault, VaultError};

/// Packs that come while a pass is under way are read at its end, once: what comes even later has the next pass.
const ROUNDS: usize = 2;

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What a failed read says of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not here.
    Missing,
    /// It is here, and not what its name says, or the disk cannot give it.
    Damaged,
    /// The operating system does not let this process read it.
    Withheld,
    /// Nothing: the storage itself failed, and the pass goes on another time.
    Failed,
}

impl Verdict {
    pub(super) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::Missing,
            StoreError::Damaged { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Frame { .. }
            | StoreError::Range { .. } => Self::Damaged,
            error if error.is_bad_sector() => Self::Damaged,
            StoreError::Io { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::Withheld
            }
            _ => Self::Failed,
        }
    }
}

/// What was read, and the file that says so.
struct Progress {
    tally: Tally,
    journal: Option<Journal>,
}

/// A pass under way.
pub(super) struct Pass<'a> {
    pub(super) vault: &'a Vault,
    pub(super) repository: &'a Repository,
    pub(super) copies: &'a dyn GoodCopies,
    pub(super) pace: &'a dyn Pace,
    pub(super) options: ScrubOptions,
    /// Only looks: nothing is repaired, noted or signed.
    pub(super) dry_run: bool,
    pub(super) object_bytes: AtomicU64,
    pub(super) objects_repaired: AtomicU32,
    pub(super) objects_bad: AtomicU32,
    beginning: Beginning,
    progress: Mutex<Progress>,
}

impl<'a> Pass<'a> {
    /// Begins a pass, or goes on with the one that was stopped if the options say so.
    pub(super) fn begin(
        vault: &'a Vault,
        repository: &'a Repository,
        from: (&'a dyn GoodCopies, &'a dyn Pace),
        options: ScrubOptions,
    ) -> Result<Self, VaultError> {
        let mut pass = Self::new(vault, repository, from, options)?;
        let path = journal::path(&vault.config.data, &repository.id);
        if options.resume
            && let Some((file, begun, read)) = pass.stopped(&path)?
        {
            tracing::info!(
                repository = %repository.id, started = %begun.started, packs = read.packs(),
                "the scrub goes on where it was stopped"
            );
            pass.beginning = begun;
            pass.progress = Mutex::new(Progress { tally: read, journal: Some(file) });
            return Ok(pass);
        }
        match Journal::create(path, &repository.id, &vault.site(), pass.beginning) {
            Ok(file) => pass.progress().journal = Some(file),
            Err(error) => {
                tracing::warn!(%error, "a scrub that is stopped now begins anew");
            }
        }
        Ok(pass)
    }

    /// A pass that only looks.
    pub(super) fn look(
        vault: &'a Vault,
        repository: &'a Repository,
        pace: &'a dyn Pace,
        options: ScrubOptions,
    ) -> Result<Self, VaultError> {
        Ok(Self { dry_run: true, ..Self::new(vault, repository, (&NoCopies, pace), options)? })
    }

    fn new(
        vault: &'a Vault,
        repository: &'a Repository,
        (copies, pace): (&'a dyn GoodCopies, &'a dyn Pace),
        options: ScrubOptions,
    ) -> Result<Self, VaultError> {
        let arrival = vault.index.read(|c| receipts_given(c, repository.row))?;
        let report = vault.last_scrub(repository)?.map_or(0, |last| last.number);
        Ok(Self {
            vault,
            repository,
            copies,
            pace,
            options,
            dry_run: false,
            object_bytes: AtomicU64::default(),
            objects_repaired: AtomicU32::default(),
            objects_bad: AtomicU32::default(),
            beginning: Beginning { started: vault.now(), arrival, report },
            progress: Mutex::new(Progress { tally: Tally::default(), journal: None }),
        })
    }

    /// The pass that was stopped, unless it is too old to go on with or its report was signed.
    fn stopped(&self, path: &Path) -> Result<Option<(Journal, Beginning, Tally)>, VaultError> {
        let (id, site) = (&self.repository.id, self.vault.site());
        let stopped = match Journal::resume(path.to_owned(), id, &site) {
            Ok(stopped) => stopped,
            Err(error) => {
                tracing::warn!(%error, "the scrub begins anew");
                None
            }
        };
        let oldest_s = 2 * i64::from(self.vault.config.scrub_interval.as_seconds());
        Ok(stopped.filter(|(_, begun, _)| {
            let age_s = self.beginning.started.seconds_since(begun.started);
            begun.report == self.beginning.report && (0..=oldest_s).contains(&age_s)
        }))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn go_on(&self, bytes: u64) -> Result<(), VaultError> {
        if self.pace.after(bytes) { Ok(()) } else { Err(VaultError::Stopping) }
    }

    pub(super) fn alarm(&self, detail: String) {
        if !self.dry_run {
            self.vault.alarm(Some(&self.repository.id), "damaged", detail);
        }
    }

    /// Reads everything that was not read before; what was read is kept whatever happens.
    pub(super) fn run(&self) -> Result<Found, VaultError> {
        let read = self.read_all();
        let mut progress = self.progress();
        let Progress { tally, journal } = &mut *progress;
        if let Some(journal) = journal {
            journal.flush(tally);
        }
        read?;
        tally.sort();
        let judgement = Judge::new(self, tally).judge(self.beginning.arrival)?;
        for (pack, frames) in &judgement.missed {
            self.call_damaged(pack, frames)?;
        }
        let report = ScrubReport {
            repository: self.repository.id,
            site: self.vault.site(),
            number: 0,
            started: self.beginning.started,
            finished: self.vault.now(),
            frames: tally.frames,
            bytes: tally.bytes + self.object_bytes.load(Ordering::Relaxed),
            repaired: tally.repaired,
            bad: tally.bad(),
            verified: judgement.verified,
            damaged: judgement.damaged,
        };
        let objects_repaired = self.objects_repaired.load(Ordering::Relaxed);
        let objects_bad = self.objects_bad.load(Ordering::Relaxed);
        Ok(Found { report, objects_repaired, objects_bad })
    }

    /// The report is signed: there is nothing to go on with.
    pub(super) fn finish(&self) -> Result<(), VaultError> {
        match self.progress().journal.take() {
            Some(journal) => Ok(journal.finish()?),
            None => Ok(()),
        }
    }

    fn read_all(&self) -> Result<(), VaultError> {
        self.objects()?;
        for _ in 0..ROUNDS {
            let unread = self.unread()?;
            if unread.is_empty() {
                break;
            }
            self.packs(&unread)?;
        }
        // Somebody may have sent them again since they were found to be bad.
        let bad = self.progress().tally.bad_packs();
        self.packs(&bad)
    }

    /// The packs that are here or should be, and were not read in this pass, ascending.
    fn unread(&self) -> Result<Vec<PackId>, VaultError> {
        let row = self.repository.row;
        let mut ids = self.repository.store.list(Kind::Pack)?;
        ids.extend(self.vault.index.read(|c| list_packs(c, row, None))?);
        ids.sort_unstable();
        ids.dedup();
        let mut progress = self.progress();
        let Progress { tally, journal } = &mut *progress;
        tally.sort();
        let ids = ids.into_iter().map(PackId::from_bytes);
        let unread: Vec<PackId> = ids.filter(|pack| !tally.has(pack)).collect();
        if let Some(journal) = journal {
            journal.of_packs = (tally.packs() + unread.len()) as u64;
            journal.flush(tally);
        }
        Ok(unread)
    }

    fn packs(&self, ids: &[PackId]) -> Result<(), VaultError> {
        let open = |id: &PackId| self.open_ahead(id);
        let scanner = || FrameScanner::new(READ_BYTES);
        each(self.options.workers, ids, scanner, open, |id, opened, scanner| {
            match self.pack(id, opened, scanner)? {
                Some(entry) => self.take(entry),
                None => self.progress().tally.forget(id),
            }
            Ok(())
        })
    }

    fn take(&self, entry: Entry) {
        let mut progress = self.progress();
        let Progress { tally, journal } = &mut *progress;
        tally.take(entry.clone());
        if let Some(journal) = journal {
            journal.note(&entry, tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_sector_is_damage_and_a_missing_right_or_a_failing_system_is_not() {
        let failed = |errno: i32| {
            let source = std::io::Error::from_raw_os_error(errno);
            Verdict::of(&StoreError::Io { action: "read", path: "/data".into(), source })
        };
        let (eio, eacces, eperm, emfile, enomem) = (5, 13, 1, 24, 12);
        assert_eq!(failed(eio), Verdict::Damaged);
        assert_eq!((failed(eacces), failed(eperm)), (Verdict::Withheld, Verdict::Withheld));
        assert_eq!((failed(emfile), failed(enomem)), (Verdict::Failed, Verdict::Failed));
    }
}
