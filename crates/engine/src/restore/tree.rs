//! The order of a restore: directories as they come, with files behind them by several writers; then hard
//! links; then what is to be deleted; last the directories' attributes, deepest first.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};
use lumbung_model::with_causes;
use lumbung_seal::catalogue::{Entry, EntryKind};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::attributes::Setter;
use super::beneath::{Target, split};
use super::content::{Content, LARGE_BYTES, Piece};
use super::decide::{Decided, Decider};
use super::outcome::{Findings, told};
use super::protect::Protected;
use super::rules::{Step, bytes_of};
use super::sweep::{Remover, Sweep};
use super::{RestoreError, RestoreOutcome, RestoreRequest, check};
use crate::snapshot::{ChunkCache, SnapshotError};

enum Work {
    File(Arc<OwnedFd>, Entry, Step),
    Piece(Piece),
}

struct Tree<'a> {
    request: &'a RestoreRequest<'a>,
    content: &'a Content<'a>,
    decider: Decider<'a>,
    /// Where superfluous entries are looked for.
    sweep: Option<Sweep<'a>>,
    work: Option<Sender<Work>>,
    directories: Vec<(Entry, Step)>,
    links: Vec<(Entry, Vec<u8>)>,
    /// What was unreadable when it was backed up: there is nothing to link to.
    unreadable: HashSet<Vec<u8>>,
    touched: u64,
}

/// Restores what the request names.
pub(super) fn restore_tree(
    request: &RestoreRequest<'_>,
    target: &Target,
) -> Result<RestoreOutcome, RestoreError> {
    let findings = Findings::default();
    let setter = Setter::new(request.options.owners, &findings);
    let protected = Protected::new(&request.options.protected);
    let remover = Remover::new(&findings, request.cancel, &protected, false);
    let chunks = ChunkCache::new(
        request.snapshot.frames(),
        request.fallback.clone(),
        request.options.cache_bytes,
    );
    let content = Content {
        target,
        chunks: &chunks,
        setter: &setter,
        remover: &remover,
        findings: &findings,
        progress: request.progress,
        delete: request.options.delete,
    };
    let result = std::thread::scope(|scope| {
        let (sender, receiver) = bounded(256);
        let writers: Vec<_> = (0..request.options.writers.max(1))
            .map(|_| {
                let (receiver, content) = (receiver.clone(), &content);
                scope.spawn(move || write(content, &receiver, request))
            })
            .collect();
        drop(receiver);
        let mut tree = Tree {
            request,
            content: &content,
            decider: Decider::new(request, Some(target), true),
            sweep: request.options.delete.then(|| Sweep::new(target, &findings, &protected)),
            work: Some(sender),
            directories: Vec::new(),
            links: Vec::new(),
            unreadable: HashSet::new(),
            touched: 0,
        };
        let read = tree.read_entries();
        tree.work = None;
        // Each of them: one that is not joined would take this thread with it.
        let lost = writers.into_iter().filter_map(|writer| writer.join().err()).count();
        let joined = lost == 0;
        read?;
        if !joined {
            return Err(RestoreError::Thread);
        }
        check(request)?;
        tree.finish(target)
    });
    let repaired = chunks.repaired.load(Ordering::Relaxed);
    result.map(|()| findings.finish(repaired))
}

fn write(content: &Content<'_>, work: &Receiver<Work>, request: &RestoreRequest<'_>) {
    for work in work {
        if request.cancel.is_cancelled() {
            return;
        }
        match work {
            Work::File(parent, entry, step) => content.restore(&parent, &entry, step),
            Work::Piece(piece) => content.write_piece(&piece),
        }
    }
}

impl Tree<'_> {
    fn read_entries(&mut self) -> Result<(), RestoreError> {
        let mut entries = self.request.snapshot.entries(&self.request.include);
        loop {
            check(self.request)?;
            match entries.next() {
                Ok(Some(entry)) => self.entry(entry)?,
                Ok(None) => break,
                Err(SnapshotError::Depot(error)) if error.is_transient() => {
                    return Err(SnapshotError::Depot(error).into());
                }
                // One part of the catalogue is lost: what it names is, the rest is not.
                Err(error) => {
                    if let Some(sweep) = &mut self.sweep {
                        sweep.catalogue_lost();
                    }
                    self.content.findings.failed(b"", with_causes(&error));
                }
            }
        }
        if self.touched == 0 && !self.request.include.is_all() {
            return Err(RestoreError::NothingIncluded);
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), RestoreError> {
        let findings = self.content.findings;
        if self.request.include.contains(&entry.path) {
            self.touched += 1;
        }
        if entry.path.is_empty() {
            // The target stands for the root directory; it belongs to who restores.
            let swept = self.decider.is_meant(b"");
            self.note(&entry, swept);
            return Ok(());
        }
        self.request.progress.current(&entry.path);
        self.warn_if_flagged(&entry);
        if entry.unreadable.is_some() && entry.kind != EntryKind::Directory {
            findings.done(Step::Skip, 0);
            self.note(&entry, false);
            self.unreadable.insert(entry.path);
            return Ok(());
        }
        if let EntryKind::HardLink { first } = &entry.kind {
            let first = first.clone();
            self.note(&entry, false);
            self.links.push((entry, first));
            return Ok(());
        }
        let decided = match self.decider.entry(&entry) {
            Ok(decided) => decided,
            Err(reason) => {
                findings.failed(&entry.path, reason);
                self.note(&entry, false);
                return Ok(());
            }
        };
        let absent = [Step::Create, Step::Replace, Step::Blocked, Step::Skip];
        let was_there = !absent.contains(&decided.step);
        self.note(&entry, was_there && self.decider.is_meant(&entry.path));
        self.act(entry, decided)
    }

    fn note(&mut self, entry: &Entry, swept: bool) {
        if let Some(sweep) = &mut self.sweep {
            sweep.entry(entry, swept);
        }
    }

    fn act(&mut self, entry: Entry, decided: Decided) -> Result<(), RestoreError> {
        let findings = self.content.findings;
        let Decided { parent, step, same_content, settles, why } = decided;
        let Some(parent) = parent else {
            findings.done(step, 0);
            findings.has_other_content(&entry.path);
            return Ok(());
        };
        let is_directory = entry.kind == EntryKind::Directory;
        match step {
            Step::Blocked => {
                findings.done(step, 0);
                findings.failed(&entry.path, why);
            }
            Step::Skip | Step::Delete => findings.done(step, 0),
            Step::Keep => {
                findings.kept(&entry.path);
                if !same_content {
                    findings.has_other_content(&entry.path);
                }
                self.pass(&parent, &entry);
            }
            // What is made or removed in it changes its times.
            Step::Unchanged if settles => self.directories.push((entry, step)),
            Step::Unchanged => {
                findings.done(step, 0);
                self.pass(&parent, &entry);
            }
            Step::Adjust if !is_directory => {
                let step = self.content.setter.adjust(&parent, split(&entry.path).1, &entry);
                findings.done(step, 0);
                self.pass(&parent, &entry);
            }
            Step::Create | Step::Replace | Step::Adjust | Step::Compare => {
                return self.make(parent, entry, step);
            }
        }
        Ok(())
    }

    /// An entry that needs no writing.
    fn pass(&self, parent: &OwnedFd, entry: &Entry) {
        if entry.kind != EntryKind::Directory {
            self.content.target.forget_unfinished(parent, split(&entry.path).1);
            self.request.progress.files(1);
            self.request.progress.bytes(bytes_of(entry));
        }
    }

    fn make(&mut self, parent: Arc<OwnedFd>, entry: Entry, step: Step) -> Result<(), RestoreError> {
        match &entry.kind {
            EntryKind::Directory => self.directory(&parent, entry, step),
            EntryKind::File { .. } => return self.file(parent, entry, step),
            _ => self.special(&parent, &entry, step),
        }
        Ok(())
    }

    fn warn_if_flagged(&self, entry: &Entry) {
        let findings = self.content.findings;
        if entry.unreadable.is_some() {
            findings.warn(&entry.path, "could not be read when it was backed up");
        } else if entry.changed_while_read {
            findings.warn(
                &entry.path,
                "changed while it was backed up: its content may mix two states",
            );
        }
    }

    fn directory(&mut self, parent: &OwnedFd, entry: Entry, step: Step) {
        let name = split(&entry.path).1;
        if step == Step::Replace {
            // No folder: it is removed by name, and a link is not followed.
            match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    let reason = told("what is in its place cannot be removed", errno);
                    return self.content.findings.failed(&entry.path, reason);
                }
            }
        }
        match self.content.target.make_directory(parent, name) {
            Ok(()) => self.directories.push((entry, step)),
            Err(errno) => self.content.findings.failed(&entry.path, told("cannot be made", errno)),
        }
    }

    fn file(&mut self, parent: Arc<OwnedFd>, entry: Entry, step: Step) -> Result<(), RestoreError> {
        if bytes_of(&entry) <= LARGE_BYTES || step == Step::Compare {
            return self.send(Work::File(parent, entry, step));
        }
        for piece in self.content.divide(parent, entry, step) {
            self.send(Work::Piece(piece))?;
        }
        Ok(())
    }

    fn send(&self, work: Work) -> Result<(), RestoreError> {
        let sent = self.work.as_ref().is_some_and(|sender| sender.send(work).is_ok());
        if sent {
            return Ok(());
        }
        check(self.request)?;
        Err(RestoreError::Thread)
    }

    /// Links, pipes, sockets and devices.
    fn special(&self, parent: &OwnedFd, entry: &Entry, step: Step) {
        let target = self.content.target;
        let unfinished = target.unfinished_name(split(&entry.path).1);
        let mode = Mode::from_raw_mode(0o600);
        let node = |kind, device| {
            target.make(parent, &unfinished, || {
                rustix::fs::mknodat(parent, &unfinished[..], kind, mode, device)
            })
        };
        let made = match &entry.kind {
            EntryKind::Symlink { target: says } if says.is_empty() => return,
            EntryKind::Symlink { target: says } => target.make(parent, &unfinished, || {
                rustix::fs::symlinkat(&says[..], parent, &unfinished[..])
            }),
            EntryKind::Fifo => node(FileType::Fifo, 0),
            EntryKind::Socket => node(FileType::Socket, 0),
            EntryKind::CharDevice { major, minor } => {
                node(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor))
            }
            EntryKind::BlockDevice { major, minor } => {
                node(FileType::BlockDevice, rustix::fs::makedev(*major, *minor))
            }
            EntryKind::File { .. } | EntryKind::Directory | EntryKind::HardLink { .. } => return,
        };
        let placed = made.map_err(|errno| told("cannot be made", errno)).and_then(|()| {
            self.content.setter.set_named(parent, &unfinished, entry);
            self.content.place(parent, &unfinished, &entry.path, step)
        });
        match placed {
            Ok(()) => self.content.findings.done(step, 0),
            Err(reason) => self.content.findings.failed(&entry.path, reason),
        }
    }

    /// Once all content is written.
    fn finish(mut self, target: &Target) -> Result<(), RestoreError> {
        let mut stand_ins = HashMap::new();
        for (entry, first) in std::mem::take(&mut self.links) {
            check(self.request)?;
            if self.unreadable.contains(&first) {
                self.content.findings.warn(&entry.path, "could not be read when it was backed up");
                self.content.findings.done(Step::Skip, 0);
                continue;
            }
            if self.decider.is_blocked(&entry.path) {
                self.content.findings.done(Step::Skip, 0);
                continue;
            }
            if let Err(reason) = self.link(&entry, &first, &mut stand_ins) {
                self.content.findings.failed(&entry.path, reason);
            }
        }
        self.delete(target)?;
        for (entry, step) in self.directories.iter().rev() {
            check(self.request)?;
            match target.directory_to_change(&entry.path) {
                Ok(directory) => {
                    self.content.setter.adjust_directory(directory.as_fd(), entry);
                    self.content.findings.done(*step, 0);
                }
                Err(errno) => {
                    self.content
                        .findings
                        .failed(&entry.path, told("its attributes cannot be set", errno));
                }
            }
        }
        Ok(())
    }

    /// Removes what the snapshot does not have, unless something could not be restored.
    fn delete(&mut self, target: &Target) -> Result<(), RestoreError> {
        let Some(doomed) = self.sweep.take().map(Sweep::finish) else { return Ok(()) };
        if self.content.findings.has_failures() {
            let why = "nothing was deleted, as not everything could be restored";
            self.content.findings.warn(b"", why);
            return Ok(());
        }
        for path in doomed {
            check(self.request)?;
            self.content.findings.deleted(self.content.remover.remove(target, &path));
        }
        Ok(())
    }

    /// Makes a further name of a file. Where its first name is not restored, or stays with other content, the
    /// first further name that is restored takes its place.
    fn link(
        &mut self,
        entry: &Entry,
        first: &[u8],
        stand_ins: &mut HashMap<Vec<u8>, Vec<u8>>,
    ) -> Result<(), String> {
        let restored =
            self.request.include.contains(first) && !self.content.findings.is_other(first);
        let existing = if restored { Some(first) } else { stand_ins.get(first).map(Vec::as_slice) };
        if let Some(existing) = existing {
            self.decider.confirm_first(first)?;
            let decided = self.decider.link(entry, existing)?;
            return self.further_name(entry, existing, decided);
        }
        let mut whole = self.decider.first_name(first)?;
        whole.path.clone_from(&entry.path);
        self.warn_if_flagged(&whole);
        if whole.unreadable.is_some() {
            self.unreadable.insert(first.to_vec());
            self.content.findings.done(Step::Skip, 0);
            return Ok(());
        }
        let decided = self.decider.entry(&whole)?;
        let step = decided.step;
        match (&whole.kind, decided.parent.clone()) {
            (EntryKind::File { .. }, Some(parent))
                if matches!(step, Step::Create | Step::Replace | Step::Compare) =>
            {
                self.content.restore(&parent, &whole, step);
            }
            _ => self.act(whole, decided).map_err(|e| with_causes(&e))?,
        }
        if !self.content.findings.is_other(&entry.path) {
            stand_ins.insert(first.to_vec(), entry.path.clone());
        }
        Ok(())
    }

    fn further_name(&self, entry: &Entry, existing: &[u8], decided: Decided) -> Result<(), String> {
        let findings = self.content.findings;
        let Decided { parent: Some(parent), step, .. } = decided else {
            findings.done(decided.step, 0);
            return Ok(());
        };
        let target = self.content.target;
        let name = split(&entry.path).1;
        match step {
            Step::Create | Step::Replace => {}
            Step::Keep => {
                findings.kept(&entry.path);
                target.forget_unfinished(&parent, name);
                return Ok(());
            }
            Step::Blocked => {
                findings.done(step, 0);
                return Err(decided.why.to_owned());
            }
            _ => {
                findings.done(step, 0);
                target.forget_unfinished(&parent, name);
                return Ok(());
            }
        }
        let from = target.directory(split(existing).0);
        let from = from.map_err(|e| told("its first name cannot be opened", e))?;
        let old = split(existing).1;
        let unfinished = target.unfinished_name(name);
        let make = || rustix::fs::linkat(&from, old, &parent, &unfinished[..], AtFlags::empty());
        target.make(&parent, &unfinished, make).map_err(|e| told("cannot be linked", e))?;
        self.content.place(&parent, &unfinished, &entry.path, step)?;
        findings.done(step, 0);
        Ok(())
    }
}
