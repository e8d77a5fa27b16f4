//! Looks at the target for each entry, and asks the rules what is to be done: for a plan and for a restore alike.
//!
//! Invariant: nothing is changed here, except that a restore makes the directories that a damaged catalogue
//! has lost.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use lumbung_model::with_causes;
use lumbung_seal::catalogue::{Entry, EntryKind};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::RestoreRequest;
use super::beneath::{Target, split};
use super::outcome::told;
use super::rules::{Rules, Step, same_content};
use super::{OwnerPolicy, RestoreError, is_live_root};
use crate::snapshot::is_beneath;
use crate::source::Stat;

/// What is to be done with an entry, and where.
pub(super) struct Decided {
    /// Where it belongs; none if that is still to be made.
    pub(super) parent: Option<Arc<OwnedFd>>,
    pub(super) step: Step,
    /// Whether what stands there has the entry's content, as far as size and time tell.
    pub(super) same_content: bool,
    /// Of a directory that is there: whether its attributes are set once all in it is restored.
    pub(super) settles: bool,
    /// Why it is blocked.
    pub(super) why: &'static str,
}

/// Decides on entries in path order.
pub(super) struct Decider<'a> {
    request: &'a RestoreRequest<'a>,
    /// None: the target is still to be made, and this is a plan.
    target: Option<&'a Target>,
    rules: Rules,
    /// What was backed up, relative to the root.
    sources: Vec<Vec<u8>>,
    /// The directory that was used last: consecutive entries mostly share it.
    last: Option<(Vec<u8>, Arc<OwnedFd>)>,
    /// Folders of the snapshot in whose place something else stands, in path order.
    blocked: Vec<Vec<u8>>,
    /// First names of hard links that are files of the snapshot.
    confirmed: HashSet<Vec<u8>>,
    /// Whether directories that are missing on the way are made.
    makes: bool,
}

impl<'a> Decider<'a> {
    pub(super) fn new(
        request: &'a RestoreRequest<'a>,
        target: Option<&'a Target>,
        makes: bool,
    ) -> Self {
        let sources = request.snapshot.root().sources.iter();
        let sources = sources.map(|path| path.strip_prefix(b"/").unwrap_or(path).to_vec());
        let owners = request.options.owners == OwnerPolicy::AsBackedUp
            && rustix::process::geteuid().is_root();
        let rules = Rules {
            overwrite: request.options.overwrite,
            delete: request.options.delete,
            owners,
            in_place: is_live_root(request.target),
        };
        let (sources, confirmed) = (sources.collect(), HashSet::new());
        let (last, blocked) = (None, Vec::new());
        Self { request, target, rules, sources, last, blocked, confirmed, makes }
    }

    /// Whether a path is restored itself, not only on the way to what is.
    pub(super) fn is_meant(&self, path: &[u8]) -> bool {
        self.request.include.contains(path)
            && self.sources.iter().any(|source| is_beneath(path, source))
    }

    /// The directory that a path lies in; none if a plan finds it missing.
    pub(super) fn parent(&mut self, path: &[u8]) -> Result<Option<Arc<OwnedFd>>, Errno> {
        let Some(target) = self.target else { return Ok(None) };
        let (parent, _) = split(path);
        if let Some((known, directory)) = &self.last
            && known == parent
        {
            return Ok(Some(directory.clone()));
        }
        let opened = if self.makes {
            target.directory_made(parent)
        } else {
            match target.directory(parent) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                other => other,
            }
        };
        let directory = Arc::new(opened?);
        self.last = Some((parent.to_vec(), directory.clone()));
        Ok(Some(directory))
    }

    /// What is to be done with an entry other than a further name of a file.
    pub(super) fn entry(&mut self, entry: &Entry) -> Result<Decided, String> {
        // In path order only the last one can be above.
        if self.blocked.last().is_some_and(|folder| is_beneath(&entry.path, folder)) {
            return Ok(decided(Step::Skip));
        }
        let decided = self.decide(entry, None)?;
        if decided.step == Step::Blocked && entry.kind == EntryKind::Directory {
            self.blocked.push(entry.path.clone());
        }
        Ok(decided)
    }

    /// Whether something stands in the place of a folder that a path lies in.
    pub(super) fn is_blocked(&self, path: &[u8]) -> bool {
        self.blocked.iter().any(|folder| is_beneath(path, folder))
    }

    /// The entry that a further name is of, as the snapshot has it under its first name: never a folder, nor
    /// itself a further name.
    pub(super) fn first_name(&self, first: &[u8]) -> Result<Entry, String> {
        let entry = self.request.snapshot.entry(first).map_err(|e| with_causes(&e))?;
        if matches!(entry.kind, EntryKind::Directory | EntryKind::HardLink { .. }) {
            return Err("its first name is not a file in the snapshot".to_owned());
        }
        Ok(entry)
    }

    /// Whether a first name is a file of the snapshot that is restored itself: a snapshot may name anything, and a
    /// link to what merely lies there would hand it out under another name.
    pub(super) fn confirm_first(&mut self, first: &[u8]) -> Result<(), String> {
        if self.confirmed.contains(first) {
            return Ok(());
        }
        self.first_name(first)?;
        if !self.sources.iter().any(|source| is_beneath(first, source)) {
            return Err("its first name lies outside of what was backed up".to_owned());
        }
        self.confirmed.insert(first.to_vec());
        Ok(())
    }

    /// What is to be done with a further name of a file whose first name stands at `first` in the target.
    pub(super) fn link(&mut self, entry: &Entry, first: &[u8]) -> Result<Decided, String> {
        if self.is_blocked(&entry.path) {
            return Ok(decided(Step::Skip));
        }
        let of = self.target.and_then(|target| {
            let directory = target.directory(split(first).0).ok()?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::statat(directory, split(first).1, flags).ok()
        });
        self.decide(entry, of.map(|stat| Stat::from(&stat).identity()))
    }

    fn decide(&mut self, entry: &Entry, first: Option<(u64, u64)>) -> Result<Decided, String> {
        let failed = |errno| told("its directory cannot be opened", errno);
        let parent = self.parent(&entry.path).map_err(failed)?;
        let directory = entry.kind == EntryKind::Directory;
        let there = match &parent {
            Some(parent) => Target::present(parent, split(&entry.path).1, first, directory)
                .map_err(|errno| told("what is in its place cannot be looked at", errno))?,
            None => None,
        };
        let step = self.rules.step(entry, there.as_ref(), !self.is_meant(&entry.path));
        let same_content = there.as_ref().is_some_and(|there| same_content(entry, there));
        let why = match (directory, self.is_meant(&entry.path)) {
            (true, true) => {
                "something that is no folder stands in its place, so nothing beneath it is restored: allow overwriting, or move it away"
            }
            (true, false) => {
                "something that is no folder stands on the way, and is never followed nor replaced: move it away, or restore elsewhere"
            }
            (false, _) => {
                "a folder that is not empty stands in its place: move it away, or have it removed too (--delete)"
            }
        };
        let leading = !self.is_meant(&entry.path);
        let settles = directory && self.rules.is_strict() && !(leading && self.rules.in_place);
        Ok(Decided { parent, step, same_content, settles, why })
    }
}

const fn decided(step: Step) -> Decided {
    Decided { parent: None, step, same_content: false, settles: false, why: "" }
}

/// Refuses to delete where nothing says in which folder.
pub(super) fn check_delete(request: &RestoreRequest<'_>) -> Result<(), RestoreError> {
    if !request.options.delete {
        return Ok(());
    }
    for path in request.include.named() {
        let entry = request.snapshot.entry(path)?;
        if entry.kind != EntryKind::Directory {
            return Err(RestoreError::DeleteNeedsFolder(
                String::from_utf8_lossy(path).into_owned(),
            ));
        }
    }
    Ok(())
}
