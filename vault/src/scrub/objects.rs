//! The small objects in a pass: all that are here and all that should be, read and repaired.

use std::sync::atomic::Ordering;

use lumbung_model::{ManifestId, SessionId};
use lumbung_pack::Kind;

use super::pass::{Pass, Verdict};
use crate::VaultError;
use crate::index::{
    ManifestRow, ObjectRow, SessionRow, forget_verified, list_objects, list_sessions,
};
use crate::workers::each;

type Name = (Kind, [u8; 32]);

impl Pass<'_> {
    /// Reads all small objects, those that should be here among them.
    pub(super) fn objects(&self) -> Result<(), VaultError> {
        for kind in Kind::REPOSITORY.into_iter().filter(|kind| *kind != Kind::Pack) {
            let names = self.names(kind)?;
            each(
                self.options.workers,
                &names,
                || (),
                |_| (),
                |name, (), ()| {
                    let read = self.object(name)?;
                    self.object_bytes.fetch_add(read, Ordering::Relaxed);
                    self.go_on(read)
                },
            )?;
        }
        Ok(())
    }

    fn names(&self, kind: Kind) -> Result<Vec<Name>, VaultError> {
        let row = self.repository.row;
        let mut ids = self.repository.store.list(kind)?;
        match kind {
            Kind::Session => ids.extend(self.vault.index.read(|c| list_sessions(c, row, None))?),
            Kind::Segment
            | Kind::Usage
            | Kind::Proof
            | Kind::Grant
            | Kind::Revocation
            | Kind::Wrap
            | Kind::StandingApproval
            | Kind::Opening => {
                ids.extend(self.vault.index.read(|c| list_objects(c, row, kind, None))?);
            }
            Kind::Manifest => ids.extend(self.rows()?.iter().map(|row| *row.manifest.as_bytes())),
            Kind::Receipt => ids.extend(self.rows()?.iter().map(|row| *row.receipt.as_bytes())),
            Kind::Roster => {
                ids.extend(self.repository.chain().all().iter().map(|roster| *roster.id.as_bytes()))
            }
            _ => {}
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into_iter().map(|id| (kind, id)).collect())
    }

    /// The snapshots that are here now.
    pub(super) fn rows(&self) -> Result<Vec<ManifestRow>, VaultError> {
        let row = self.repository.row;
        Ok(self.vault.index.read(|c| ManifestRow::after(c, row, 0, u32::MAX, None))?)
    }

    /// Whether an object that is not here should be.
    fn is_wanted(&self, (kind, id): &Name) -> Result<bool, VaultError> {
        let row = self.repository.row;
        let index = &self.vault.index;
        Ok(match kind {
            Kind::Session => {
                index.read(|c| SessionRow::find(c, row, &SessionId::from_bytes(*id)))?.is_some()
            }
            Kind::Segment
            | Kind::Usage
            | Kind::Proof
            | Kind::Grant
            | Kind::Revocation
            | Kind::Wrap
            | Kind::StandingApproval
            | Kind::Opening => index.read(|c| ObjectRow::contains(c, row, *kind, id))?,
            Kind::Manifest => {
                index.read(|c| ManifestRow::find(c, row, &ManifestId::from_bytes(*id)))?.is_some()
            }
            Kind::Receipt => self.rows()?.iter().any(|row| row.receipt.as_bytes() == id),
            Kind::Roster => {
                self.repository.chain().all().iter().any(|roster| roster.id.as_bytes() == id)
            }
            _ => false,
        })
    }

    /// Reads an object and repairs it; gives its length.
    fn object(&self, name: &Name) -> Result<u64, VaultError> {
        let (kind, id) = name;
        match self.repository.store.get(*kind, id) {
            Ok(bytes) => return Ok(bytes.len() as u64),
            Err(error) => {
                match Verdict::of(&error) {
                    Verdict::Missing if !self.is_wanted(name)? => return Ok(0),
                    Verdict::Missing | Verdict::Damaged | Verdict::Withheld => {}
                    Verdict::Failed => return Err(error.into()),
                }
                tracing::warn!(repository = %self.repository.id, %error, "found by the scrub");
            }
        }
        if self.dry_run {
            self.objects_bad.fetch_add(1, Ordering::Relaxed);
            return Ok(0);
        }
        let good =
            self.known_here(name).or_else(|| self.copies.object(&self.repository.id, *kind, id));
        let repaired = match good {
            Some(bytes) => self.put_back(name, &bytes)?,
            None => None,
        };
        if repaired.is_none() {
            self.lose_object(name)?;
        }
        Ok(repaired.unwrap_or(0))
    }

    /// Puts a good copy in its place, if it is one; gives its length.
    fn put_back(&self, name: &Name, bytes: &[u8]) -> Result<Option<u64>, VaultError> {
        let (kind, id) = name;
        let _gate = self.repository.gate();
        let store = &self.repository.store;
        if !store.contains(*kind, id)? && !self.is_wanted(name)? {
            return Ok(Some(0));
        }
        // `put` checks the copy against its name.
        match store.put(*kind, id, bytes) {
            Ok(_) => {
                if *kind == Kind::Manifest {
                    self.repository.touch();
                }
                self.objects_repaired.fetch_add(1, Ordering::Relaxed);
                let id = lumbung_model::PackId::from_bytes(*id);
                tracing::info!(repository = %self.repository.id, kind = kind.name(), %id, "repaired");
                Ok(Some(bytes.len() as u64))
            }
            Err(error) if error.is_of_the_storage() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn lose_object(&self, (kind, id): &Name) -> Result<(), VaultError> {
        self.objects_bad.fetch_add(1, Ordering::Relaxed);
        // At once, not when the pass ends: a commit in the meantime must look for itself.
        self.vault.index.write(|tx| forget_verified(tx, self.repository.row))?;
        let id = lumbung_model::PackId::from_bytes(*id);
        self.alarm(format!("{} {id} is damaged or lost, and no source has it", kind.name()));
        Ok(())
    }

    /// Rosters are in memory.
    fn known_here(&self, (kind, id): &Name) -> Option<Vec<u8>> {
        let chain = self.repository.chain();
        let position = chain
            .all()
            .iter()
            .position(|roster| *kind == Kind::Roster && roster.id.as_bytes() == id)?;
        chain.objects().get(position).cloned()
    }
}
