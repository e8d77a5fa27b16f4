//! Brings what is on a medium into a depot: a directory, or a vault over the network with the owner's key.
//!
//! Driven by the list: nothing else on the disk is looked at, so that a hostile one can neither bring more than its
//! signer named nor keep us reading. What is there already is not sent; a snapshot whose packs are on another medium
//! is left out and said to be, and comes with the next run, after that medium.

use std::collections::HashSet;

use lumbung_model::{ManifestId, PackId, with_causes};
use lumbung_pack::{Bitmap, Kind, Manifest, MediumList, PackUse, RosterChain, open_signed};
use lumbung_store::RepositoryDir;

use super::export::copy_pack;
use super::plan::fetch;
use super::{LeftOut, MediaError, is_about_one};
use crate::{Cancel, Depot, LocalDepot, Progress, Total};

/// Packs asked for in one `have`.
const HAVE_PACKS: usize = 1024;

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Snapshots that the depot has taken.
    pub snapshots: Vec<ManifestId>,
    /// Snapshots that it had already.
    pub there: u64,
    /// Objects sent.
    pub objects: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// What was left out, and why.
    pub left_out: Vec<LeftOut>,
}

struct Importer<'a> {
    medium: LocalDepot,
    list: &'a MediumList,
    target: &'a dyn Depot,
    /// The target, if it is a directory.
    directory: Option<RepositoryDir>,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    outcome: ImportOutcome,
}

/// Brings everything that a list names from a medium into `target`. `chain`: the medium's rosters.
///
/// # Errors
/// If one of the sides fails altogether.
pub fn import(
    medium: &RepositoryDir,
    chain: &RosterChain,
    list: &MediumList,
    target: &dyn Depot,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ImportOutcome, MediaError> {
    let medium = LocalDepot::new(medium.clone());
    let outcome = ImportOutcome::default();
    let directory = target.local_path().map(RepositoryDir::open).transpose()?;
    let mut importer = Importer { medium, list, target, directory, progress, cancel, outcome };
    importer.rosters(chain)?;
    importer.small(Kind::Session)?;
    importer.small(Kind::Wrap)?;
    importer.packs()?;
    importer.small(Kind::Segment)?;
    importer.small(Kind::Usage)?;
    importer.snapshots()?;
    if target.site().is_none() {
        // A vault gives receipts of its own and takes nobody's over the network.
        importer.small(Kind::Receipt)?;
    }
    importer.small(Kind::Proof)?;
    Ok(importer.outcome)
}

impl Importer<'_> {
    fn stopped(&self) -> Result<(), MediaError> {
        if self.cancel.is_cancelled() { Err(MediaError::Cancelled) } else { Ok(()) }
    }

    fn sent(&mut self, bytes: u64) {
        self.outcome.objects += 1;
        self.outcome.bytes += bytes;
        self.progress.bytes(bytes);
    }

    fn rosters(&mut self, chain: &RosterChain) -> Result<(), MediaError> {
        let there: HashSet<[u8; 32]> = self.target.list(Kind::Roster)?.into_iter().collect();
        for object in chain.objects() {
            let id = lumbung_pack::object_id(object);
            if !there.contains(&id) {
                self.target.put(Kind::Roster, &id, object)?;
                self.sent(object.len() as u64);
            }
        }
        Ok(())
    }

    /// What fails for one object is noted; a snapshot that needs it is left out by the commit.
    fn one(
        &mut self,
        snapshot: Option<&ManifestId>,
        done: Result<u64, MediaError>,
    ) -> Result<(), MediaError> {
        match done {
            Ok(bytes) => self.sent(bytes),
            Err(error) if is_about_one(&error) => {
                let (snapshot, reason) = (snapshot.copied(), with_causes(&error));
                self.outcome.left_out.push(LeftOut { snapshot, reason });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn small(&mut self, kind: Kind) -> Result<(), MediaError> {
        let there: HashSet<[u8; 32]> = self.target.list(kind)?.into_iter().collect();
        for id in self.list.ids(kind).iter().filter(|id| !there.contains(*id)) {
            self.stopped()?;
            let done = fetch(&self.medium, kind, id).and_then(|bytes| {
                self.target.put(kind, id, &bytes)?;
                Ok(bytes.len() as u64)
            });
            self.one(None, done.map_err(MediaError::from))?;
        }
        Ok(())
    }

    fn packs(&mut self) -> Result<(), MediaError> {
        let named = self.list.ids(Kind::Pack);
        self.progress.total(Total { files: named.len() as u64, bytes: 0 });
        for batch in named.chunks(HAVE_PACKS) {
            let mut asked = Vec::with_capacity(batch.len());
            for id in batch {
                let id = PackId::from_bytes(*id);
                match self.frames(&id) {
                    Ok(here) => asked.push(PackUse { pack: id, used: here }),
                    Err(error) => self.one(None, Err(error))?,
                }
            }
            let absent = self.target.have(&asked)?;
            self.progress.files((batch.len() - absent.len().min(batch.len())) as u64);
            for pack in absent {
                self.stopped()?;
                let done = copy_pack(&self.medium, self.target, self.directory.as_ref(), &pack);
                self.one(None, done)?;
                self.progress.files(1);
            }
        }
        Ok(())
    }

    /// The frames of a pack that the medium has.
    fn frames(&self, id: &PackId) -> Result<Bitmap, MediaError> {
        let directory = self.medium.directory();
        let table = directory.pack_head(id)?;
        Ok(directory.presence(id, &table)?.unwrap_or_else(|| table.all_frames()))
    }

    /// Commits each snapshot after the one that it follows.
    fn snapshots(&mut self) -> Result<(), MediaError> {
        let there: HashSet<ManifestId> = self.target.manifests(None)?.into_iter().collect();
        let mut waiting = Vec::new();
        for snapshot in &self.list.snapshots {
            let id = snapshot.manifest;
            if there.contains(&id) {
                self.outcome.there += 1;
                continue;
            }
            let read = fetch(&self.medium, Kind::Manifest, id.as_bytes()).map_err(MediaError::from);
            match read {
                Ok(bytes) => match open_signed::<Manifest>(&bytes) {
                    Ok(manifest) => waiting.push((manifest, bytes)),
                    Err(error) => {
                        self.outcome.left_out.push(LeftOut::snapshot(&id, &error));
                    }
                },
                Err(error) => self.one(Some(&id), Err(error))?,
            }
        }
        waiting.sort_by_key(|(manifest, _)| {
            let body = &manifest.body;
            (body.dataset, body.agent, body.epoch, body.sequence, manifest.id)
        });
        for (manifest, bytes) in waiting {
            self.stopped()?;
            let id = manifest.id;
            match self.target.commit(&id, &bytes).map_err(MediaError::from) {
                Ok(_) => {
                    self.sent(bytes.len() as u64);
                    self.outcome.snapshots.push(id);
                }
                Err(error) if is_about_one(&error) => {
                    let reason = self.why_not(&id, &error);
                    self.outcome.left_out.push(LeftOut { snapshot: Some(id), reason });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn why_not(&self, id: &ManifestId, error: &MediaError) -> String {
        let reason = with_causes(error);
        let alone = self.list.snapshot(id).is_none_or(|snapshot| snapshot.alone);
        if alone || self.list.bases.is_empty() {
            return reason;
        }
        let media: Vec<String> = self
            .list
            .bases
            .iter()
            .map(|base| format!("{:?} ({})", base.label, base.medium))
            .collect();
        format!("{reason}; bring in the medium {} first, then run this again", media.join(", "))
    }
}
