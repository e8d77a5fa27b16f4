//! What a restore would do, told entry by entry; nothing is changed.

use std::os::fd::OwnedFd;

use lumbung_model::with_causes;
use lumbung_seal::catalogue::{Entry, EntryKind};

use super::beneath::{Target, split};
use super::content::is_directory;
use super::decide::{Decided, Decider, check_delete};
use super::outcome::Findings;
use super::protect::Protected;
use super::rules::{Counts, Step, bytes_of};
use super::sweep::{Remover, Sweep};
use super::{Failure, RestoreError, RestoreRequest, check, mark};
use crate::Warning;
use crate::snapshot::SnapshotError;

/// What would be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned<'a> {
    /// Its path, relative to `/`.
    pub path: &'a [u8],
    /// What would be done.
    pub step: Step,
    /// Bytes of content that would be written or compared; of what is deleted, 0.
    pub bytes: u64,
    /// Entries that it stands for: of a folder that is deleted, with all that lies in it.
    pub entries: u64,
}

/// What would be done in all.
#[derive(Debug, Clone, Default)]
pub struct PlanReport {
    /// Entries by step.
    pub counts: Counts,
    /// What can be foreseen to fail. At most 1,000 are kept.
    pub failures: Vec<Failure>,
    /// How many of them there are.
    pub failures_total: u64,
    /// What else the operator should know. At most 1,000 are kept.
    pub warnings: Vec<Warning>,
}

/// Tells `visit` of every entry that a restore would do something with, or leave although it differs; what is
/// right already is only counted.
///
/// # Errors
/// As [`super::restore`]; or what `visit` returns.
pub fn plan<E: From<RestoreError>>(
    request: &RestoreRequest<'_>,
    visit: &mut dyn FnMut(Planned<'_>) -> Result<(), E>,
) -> Result<PlanReport, E> {
    check_delete(request)?;
    let target = Target::look_at(request.target, request.options.use_openat2, mark(request))?;
    let findings = Findings::default();
    let protected = Protected::new(&request.options.protected);
    let remover = Remover::new(&findings, request.cancel, &protected, true);
    let mut planner = Planner {
        decider: Decider::new(request, target.as_ref(), false),
        sweep: target
            .as_ref()
            .filter(|_| request.options.delete)
            .map(|target| Sweep::new(target, &findings, &protected)),
        remover: &remover,
        request,
        findings: &findings,
        counts: Counts::default(),
        touched: 0,
    };
    planner.read(visit)?;
    if let (Some(target), Some(sweep)) = (&target, planner.sweep.take()) {
        for path in sweep.finish() {
            check(request)?;
            let entries = remover.remove(target, &path);
            if entries > 0 {
                planner.counts.add(Step::Delete, entries, 0);
                visit(Planned { path: &path, step: Step::Delete, bytes: 0, entries })?;
            }
        }
    }
    let counts = planner.counts;
    let told = findings.finish(0);
    let (failures, failures_total) = (told.failures, told.failures_total);
    Ok(PlanReport { counts, failures, failures_total, warnings: told.warnings })
}

struct Planner<'a> {
    /// Counts only.
    remover: &'a Remover<'a>,
    request: &'a RestoreRequest<'a>,
    decider: Decider<'a>,
    sweep: Option<Sweep<'a>>,
    findings: &'a Findings,
    counts: Counts,
    touched: u64,
}

impl Planner<'_> {
    fn read<E: From<RestoreError>>(
        &mut self,
        visit: &mut dyn FnMut(Planned<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entries = self.request.snapshot.entries(&self.request.include);
        loop {
            check(self.request)?;
            match entries.next() {
                Ok(Some(entry)) => self.entry(&entry, visit)?,
                Ok(None) => break,
                Err(SnapshotError::Depot(error)) if error.is_transient() => {
                    return Err(RestoreError::from(SnapshotError::Depot(error)).into());
                }
                Err(error) => {
                    if let Some(sweep) = &mut self.sweep {
                        sweep.catalogue_lost();
                    }
                    self.findings.failed(b"", with_causes(&error));
                }
            }
        }
        if self.touched == 0 && !self.request.include.is_all() {
            return Err(RestoreError::NothingIncluded.into());
        }
        Ok(())
    }

    fn entry<E: From<RestoreError>>(
        &mut self,
        entry: &Entry,
        visit: &mut dyn FnMut(Planned<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.request.include.contains(&entry.path) {
            self.touched += 1;
        }
        let meant = self.decider.is_meant(&entry.path);
        if entry.path.is_empty() {
            self.note(entry, meant);
            return Ok(());
        }
        self.request.progress.current(&entry.path);
        let decided = match &entry.kind {
            EntryKind::HardLink { first } => {
                self.decider.confirm_first(first).and_then(|()| self.decider.link(entry, first))
            }
            _ => self.decider.entry(entry),
        };
        let Decided { step, why, parent, .. } = match decided {
            Ok(decided) => decided,
            Err(reason) => {
                self.findings.failed(&entry.path, reason);
                self.note(entry, false);
                return Ok(());
            }
        };
        let absent = [Step::Create, Step::Replace, Step::Blocked, Step::Skip];
        let was_there = !absent.contains(&step);
        self.note(entry, was_there && meant);
        if step == Step::Blocked {
            self.findings.failed(&entry.path, why);
        }
        let bytes = bytes_of(entry);
        self.counts.add(step, 1, bytes);
        if step == Step::Unchanged {
            return Ok(());
        }
        if let (Step::Replace, Some(parent)) = (step, parent) {
            self.folder_in_the_way(&parent, entry, visit)?;
        }
        visit(Planned { path: &entry.path, step, bytes, entries: 1 })
    }

    /// A folder in the place of something else goes with all that lies in it.
    fn folder_in_the_way<E: From<RestoreError>>(
        &mut self,
        parent: &OwnedFd,
        entry: &Entry,
        visit: &mut dyn FnMut(Planned<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (path, name) = (&entry.path[..], split(&entry.path).1);
        if !self.request.options.delete || !is_directory(parent, name) {
            return Ok(());
        }
        let removed = self.remover.remove_in(parent, name, path);
        if removed.stays {
            self.findings.failed(path, "what lies in the folder in its place stays");
        }
        if removed.entries == 0 {
            return Ok(());
        }
        self.counts.add(Step::Delete, removed.entries, 0);
        visit(Planned { path, step: Step::Delete, bytes: 0, entries: removed.entries })
    }

    fn note(&mut self, entry: &Entry, swept: bool) {
        if let Some(sweep) = &mut self.sweep {
            sweep.entry(entry, swept);
        }
    }
}
