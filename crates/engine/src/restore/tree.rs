//! The order of a restore: directories as they come, with files behind them by several writers; then hard
//! links; last the directories' attributes, deepest first.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};
use lumbung_seal::catalogue::{Entry, EntryKind};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::attributes::Setter;
use super::beneath::{Target, split};
use super::content::{Content, LARGE_BYTES, Piece};
use super::outcome::{Findings, told};
use super::{RestoreError, RestoreOutcome, RestoreRequest};
use crate::snapshot::{ChunkCache, SnapshotError};
use lumbung_model::with_causes;

enum Work {
    File(Arc<OwnedFd>, Entry),
    Piece(Piece),
}

/// The directory that was used last: consecutive entries mostly share it.
struct Parents<'a> {
    target: &'a Target,
    last: Option<(Vec<u8>, Arc<OwnedFd>)>,
}

impl Parents<'_> {
    fn of(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>, Errno> {
        let (parent, _) = split(path);
        if let Some((known, directory)) = &self.last
            && known == parent
        {
            return Ok(directory.clone());
        }
        let directory = Arc::new(self.target.directory_made(parent)?);
        self.last = Some((parent.to_vec(), directory.clone()));
        Ok(directory)
    }
}

struct Tree<'a> {
    request: &'a RestoreRequest<'a>,
    content: &'a Content<'a>,
    parents: Parents<'a>,
    work: Option<Sender<Work>>,
    directories: Vec<Entry>,
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
    let chunks = ChunkCache::new(
        request.snapshot.frames(),
        request.fallback.clone(),
        request.options.cache_bytes,
    );
    let content = Content {
        target,
        chunks: &chunks,
        setter: &setter,
        findings: &findings,
        progress: request.progress,
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
            parents: Parents { target, last: None },
            work: Some(sender),
            directories: Vec::new(),
            links: Vec::new(),
            unreadable: HashSet::new(),
            touched: 0,
        };
        let read = tree.read_entries();
        tree.work = None;
        let joined = writers.into_iter().all(|writer| writer.join().is_ok());
        read?;
        if !joined {
            return Err(RestoreError::Thread);
        }
        check(request)?;
        tree.finish()
    });
    let repaired = chunks.repaired.load(Ordering::Relaxed);
    result.map(|()| findings.finish(repaired))
}

fn check(request: &RestoreRequest<'_>) -> Result<(), RestoreError> {
    if request.cancel.is_cancelled() { Err(RestoreError::Cancelled) } else { Ok(()) }
}

fn write(content: &Content<'_>, work: &Receiver<Work>, request: &RestoreRequest<'_>) {
    for work in work {
        if request.cancel.is_cancelled() {
            return;
        }
        match work {
            Work::File(parent, entry) => content.write(&parent, split(&entry.path).1, &entry),
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
                Err(error) => self.content.findings.failed(b"", with_causes(&error)),
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
            return Ok(());
        }
        self.request.progress.current(&entry.path);
        self.warn_if_flagged(&entry);
        if entry.unreadable.is_some() && entry.kind != EntryKind::Directory {
            self.unreadable.insert(entry.path);
            return Ok(());
        }
        let parent = match self.parents.of(&entry.path) {
            Ok(parent) => parent,
            Err(errno) => {
                findings.failed(&entry.path, told("its directory cannot be opened", errno));
                return Ok(());
            }
        };
        match &entry.kind {
            EntryKind::Directory => self.directory(&parent, entry),
            EntryKind::HardLink { first } => {
                let first = first.clone();
                self.links.push((entry, first));
            }
            EntryKind::File { .. } => return self.file(parent, entry),
            _ => self.special(&parent, &entry),
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

    fn directory(&mut self, parent: &OwnedFd, entry: Entry) {
        match self.content.target.make_directory(parent, split(&entry.path).1) {
            Ok(()) => self.directories.push(entry),
            Err(errno) => self.content.findings.failed(&entry.path, told("cannot be made", errno)),
        }
    }

    fn file(&mut self, parent: Arc<OwnedFd>, entry: Entry) -> Result<(), RestoreError> {
        let large = matches!(&entry.kind, EntryKind::File { size, .. } if *size > LARGE_BYTES);
        if !large {
            return self.send(Work::File(parent, entry));
        }
        let name = split(&entry.path).1.to_vec();
        for piece in self.content.divide(&parent, &name, entry) {
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
    fn special(&self, parent: &OwnedFd, entry: &Entry) {
        let name = split(&entry.path).1;
        let mode = Mode::from_raw_mode(0o600);
        let node = |kind, device| {
            self.content
                .target
                .make(parent, name, || rustix::fs::mknodat(parent, name, kind, mode, device))
        };
        let made = match &entry.kind {
            EntryKind::Symlink { target } if target.is_empty() => return,
            EntryKind::Symlink { target } => self
                .content
                .target
                .make(parent, name, || rustix::fs::symlinkat(&target[..], parent, name)),
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
        match made {
            Ok(()) => {
                self.content.setter.set_named(parent, name, entry);
                self.content.findings.restored(0);
            }
            Err(errno) => self.content.findings.failed(&entry.path, told("cannot be made", errno)),
        }
    }

    /// Once all content is written.
    fn finish(mut self) -> Result<(), RestoreError> {
        let mut stand_ins = HashMap::new();
        for (entry, first) in std::mem::take(&mut self.links) {
            check(self.request)?;
            if self.unreadable.contains(&first) {
                self.content.findings.warn(&entry.path, "could not be read when it was backed up");
                continue;
            }
            if let Err(reason) = self.link(&entry, &first, &mut stand_ins) {
                self.content.findings.failed(&entry.path, reason);
            }
        }
        for entry in self.directories.iter().rev() {
            check(self.request)?;
            match self.content.target.directory_to_change(&entry.path) {
                Ok(directory) => {
                    use std::os::fd::AsFd as _;
                    self.content.setter.set_open(directory.as_fd(), entry);
                    self.content.findings.restored(0);
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

    /// Makes a further name of a file. Where its first name is not restored, the first further name that is
    /// takes its place.
    fn link(
        &mut self,
        entry: &Entry,
        first: &[u8],
        stand_ins: &mut HashMap<Vec<u8>, Vec<u8>>,
    ) -> Result<(), String> {
        let parent =
            self.parents.of(&entry.path).map_err(|e| told("its directory cannot be opened", e))?;
        let name = split(&entry.path).1;
        let restored = self.request.include.contains(first);
        let existing =
            if restored { first } else { stand_ins.get(first).map_or(&[][..], Vec::as_slice) };
        if !existing.is_empty() {
            let from = self.content.target.directory(split(existing).0);
            let from = from.map_err(|e| told("its first name cannot be opened", e))?;
            let old = split(existing).1;
            let make = || rustix::fs::linkat(&from, old, &parent, name, AtFlags::empty());
            self.content
                .target
                .make(&parent, name, make)
                .map_err(|e| told("cannot be linked", e))?;
            self.content.findings.restored(0);
            return Ok(());
        }
        let mut whole = self.request.snapshot.entry(first).map_err(|e| with_causes(&e))?;
        if matches!(whole.kind, EntryKind::Directory | EntryKind::HardLink { .. }) {
            return Err("its first name is not a file in the snapshot".to_owned());
        }
        whole.path.clone_from(&entry.path);
        self.warn_if_flagged(&whole);
        if whole.unreadable.is_some() {
            self.unreadable.insert(first.to_vec());
            return Ok(());
        }
        stand_ins.insert(first.to_vec(), entry.path.clone());
        match &whole.kind {
            EntryKind::File { .. } => self.content.write(&parent, name, &whole),
            _ => self.special(&parent, &whole),
        }
        Ok(())
    }
}
