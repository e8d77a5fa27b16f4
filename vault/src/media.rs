//! Taking in a portable medium at this vault's own console: a first copy by disk, or what another site lost.
//!
//! Invariants: what lies on a medium is hostile until checked and comes in through the same doors as what is pulled;
//! only repositories that are here or were admitted are looked at; only what an entitled list names is read; this
//! site's own receipts are given by the same commit check. What is wrong is left out and told; nothing is removed, and
//! nothing is written to the medium.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use lumbung_model::{ManifestId, PackId, RepositoryId, SegmentId, SiteId, Timestamp, with_causes};
use lumbung_pack::{
    Bitmap, Kind, ListSigner, Manifest, MediumList, PackUse, Receipt, Roster, RosterChain, Segment,
    UsageList, decode, open_signed,
};
use lumbung_store::medium::{MediumLists, list_what_is_there, read_lists};
use lumbung_store::{MediumDir, PackFile, PutOutcome, RepositoryDir, StoreError};
use tokio_util::sync::CancellationToken;

use crate::index::{ManifestRow, add_foreign_receipt, is_gone};
use crate::pull::{known_receipt, lacking};
use crate::repository::Repository;
use crate::{Founder, Sender, Vault, VaultError};

/// Rosters that a repository can have, and bytes of them held at once.
const MAX_ROSTERS: usize = 100_000;
const MAX_ROSTER_BYTES: usize = 64 << 20;
/// Read from a pack at once.
const PIECE: usize = 1 << 20;
/// Reasons that are told; the rest is counted.
const MAX_REASONS: usize = 100;

/// What came of one repository of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Which.
    pub repository: RepositoryId,
    /// Snapshots that are new here.
    pub snapshots: u64,
    /// Packs that are new here.
    pub packs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Things that were left out.
    pub failures: u64,
    /// Why, at most a hundred.
    pub reasons: Vec<String>,
}

impl Imported {
    const fn of(repository: RepositoryId) -> Self {
        Self { repository, snapshots: 0, packs: 0, bytes: 0, failures: 0, reasons: Vec::new() }
    }

    fn left_out(&mut self, reason: String) {
        self.failures += 1;
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        }
    }
}

/// Whether the import cannot go on: everything after it would fail as well.
fn ends_import(error: &VaultError) -> bool {
    error.is_full()
        || matches!(
            error,
            VaultError::Stopping
                | VaultError::Index(_)
                | VaultError::Store(StoreError::Stopped { .. } | StoreError::Unsynced { .. })
        )
}

impl Vault {
    /// Takes in everything on a medium that this site may have. `unsigned`: also where no entitled list vouches that
    /// nothing was taken away.
    ///
    /// # Errors
    /// If the directory is no medium, or this site cannot go on (no space, a failed disk).
    pub fn import_medium(
        self: &Arc<Self>,
        path: &Path,
        unsigned: bool,
        stop: &CancellationToken,
    ) -> Result<Vec<Imported>, VaultError> {
        let medium = MediumDir::open(path)?;
        let lists = read_lists(&medium)?;
        let mut all = Vec::new();
        for id in medium.repositories()? {
            let mut import =
                Import { vault: self, medium: &medium, stop, imported: Imported::of(id) };
            match import.run(&lists, unsigned) {
                Ok(()) => {}
                Err(error) if ends_import(&error) => return Err(error),
                Err(error) => import.imported.left_out(with_causes(&error)),
            }
            let done = import.imported;
            tracing::info!(
                repository = %id, medium = %medium.id(), snapshots = done.snapshots, packs = done.packs,
                failures = done.failures, "medium taken in"
            );
            all.push(done);
        }
        Ok(all)
    }
}

struct Import<'a> {
    vault: &'a Arc<Vault>,
    medium: &'a MediumDir,
    stop: &'a CancellationToken,
    imported: Imported,
}

impl Import<'_> {
    fn run(&mut self, lists: &MediumLists, unsigned: bool) -> Result<(), VaultError> {
        let id = self.imported.repository;
        if self.vault.repository(&id).is_err() && !self.vault.is_admitted(&id) {
            return Err(VaultError::NotAdmitted(id));
        }
        let directory = self.medium.repository(&id)?;
        let chain = rosters(&directory, id)?;
        let (list, site) = self.list(lists, &chain, unsigned)?;
        for object in chain.objects() {
            let roster = lumbung_pack::object_id(object);
            self.vault.put_roster(&id, &roster, object, Founder::Entitled)?;
        }
        let repository = self.vault.repository(&id)?;
        let intake = Intake { directory, repository, list, sender: Sender::Medium(site) };
        // When a snapshot was first received decides its slot in the calendar here.
        let dates = self.receipts(&intake)?;
        self.objects(&intake, Kind::Session)?;
        self.objects(&intake, Kind::Wrap)?;
        let away = self.away(&intake, &dates)?;
        self.packs(&intake, &away)?;
        self.objects(&intake, Kind::Segment)?;
        self.objects(&intake, Kind::Usage)?;
        self.snapshots(&intake, &away, &dates)?;
        self.objects(&intake, Kind::Proof)
    }

    /// The list that says what is here, and the site that signed it.
    fn list(
        &self,
        lists: &MediumLists,
        chain: &RosterChain,
        unsigned: bool,
    ) -> Result<(MediumList, Option<SiteId>), VaultError> {
        let known = lists.load(self.medium, chain)?;
        if let Some(known) = known
            && let Some(signer) = known.signer
        {
            let site = match signer {
                ListSigner::Site(site) if site != self.vault.site() => Some(site),
                ListSigner::Site(_) | ListSigner::Root | ListSigner::Agent(_) => None,
            };
            return Ok((known.list.body, site));
        }
        if unsigned {
            return Ok((list_what_is_there(self.medium, chain)?, None));
        }
        Err(VaultError::Inconsistent(format!(
            "nobody entitled has signed what this medium holds of repository {}: have its owner run `lumbung media export` \
             with the medium as source and target, or take it in all the same with --unsigned",
            chain.repository()
        )))
    }

    fn stopped(&self) -> Result<(), VaultError> {
        if self.stop.is_cancelled() { Err(VaultError::Stopping) } else { Ok(()) }
    }

    /// Notes what failed for one thing; passes on what ends the import.
    fn note(&mut self, what: &str, result: Result<(), VaultError>) -> Result<(), VaultError> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if ends_import(&error) => Err(error),
            Err(error) => {
                self.imported.left_out(format!("{what}: {}", with_causes(&error)));
                Ok(())
            }
        }
    }

    fn objects(&mut self, intake: &Intake, kind: Kind) -> Result<(), VaultError> {
        for id in intake.list.ids(kind) {
            self.stopped()?;
            if intake.repository.store.contains(kind, id)? {
                continue;
            }
            let taken =
                intake.directory.get(kind, id).map_err(VaultError::from).and_then(|bytes| {
                    self.vault
                        .put_object(&intake.repository, kind, id, &bytes, intake.sender)
                        .map(|_| ())
                });
            self.note(kind.name(), taken)?;
        }
        Ok(())
    }

    fn packs(&mut self, intake: &Intake, away: &HashSet<ManifestId>) -> Result<(), VaultError> {
        let wanted = Self::wanted(intake, away);
        for id in intake.list.ids(Kind::Pack) {
            self.stopped()?;
            let id = PackId::from_bytes(*id);
            let taken = self.pack(intake, &wanted, &id).map(|bytes| {
                self.imported.packs += u64::from(bytes > 0);
                self.imported.bytes += bytes;
            });
            self.note(&format!("pack {id}"), taken)?;
        }
        Ok(())
    }

    /// Snapshots of the medium that do not come.
    fn away(&self, intake: &Intake, dates: &Dates) -> Result<HashSet<ManifestId>, VaultError> {
        let mut away = HashSet::new();
        for snapshot in &intake.list.snapshots {
            if self.is_away(intake, &snapshot.manifest, dates)? {
                away.insert(snapshot.manifest);
            }
        }
        Ok(away)
    }

    /// Whether this site removed the snapshot, or was ordered not to take it.
    fn is_away(&self, intake: &Intake, id: &ManifestId, dates: &Dates) -> Result<bool, VaultError> {
        let repository = &intake.repository;
        let (gone, here) = self.vault.index.read(|c| {
            let here = ManifestRow::find(c, repository.row, id)?.is_some();
            Ok((is_gone(c, repository.row, id)?, here))
        })?;
        if gone || here {
            return Ok(gone && !here);
        }
        // What does not decode is told of where it is taken in.
        let Ok((manifest, _)) = intake.manifest(id) else { return Ok(false) };
        let dated = dates.get(id).copied();
        self.vault.is_ordered_away(repository, (id, &manifest), intake.sender, dated)
    }

    /// The frames that snapshots of this medium use, but those that this site removed.
    fn wanted(intake: &Intake, away: &HashSet<ManifestId>) -> Wanted {
        let mut wanted = Wanted::default();
        let (mut seen, mut gone) = (HashSet::new(), HashSet::new());
        for snapshot in &intake.list.snapshots {
            let id = snapshot.manifest;
            let removed = away.contains(&id);
            let seen = if removed { &mut gone } else { &mut seen };
            // What does not decode is told of where it is taken in.
            for pack in intake.usage(&id, seen).unwrap_or_default() {
                if removed {
                    wanted.removed.insert(pack.pack);
                    continue;
                }
                let used = wanted.used.entry(pack.pack).or_insert_with(|| pack.used.clone());
                if used.bits() == pack.used.bits() {
                    *used = used.or(&pack.used);
                }
            }
        }
        wanted
    }

    /// Takes what this site lacks of a pack; says how many bytes that were.
    fn pack(&self, intake: &Intake, wanted: &Wanted, id: &PackId) -> Result<u64, VaultError> {
        let file = intake.directory.open_pack(id)?;
        let table = file.head()?;
        let present = intake.directory.presence(id, &table)?;
        let present = present.unwrap_or_else(|| table.all_frames());
        let used = match wanted.used.get(id) {
            Some(used) if used.bits() == present.bits() => present.and(used),
            _ if wanted.removed.contains(id) => return Ok(0),
            // Of a snapshot whose manifest is on another medium.
            _ => present,
        };
        let lacking = lacking(self.vault, &intake.repository, vec![PackUse { pack: *id, used }])?;
        let Some(lacking) = lacking.into_iter().next() else { return Ok(0) };
        if lacking.used.is_full() {
            return self.whole(intake, id, &file);
        }
        let mut bytes = 0;
        let mut writer =
            self.vault.receive_frames(&intake.repository, table.clone(), intake.sender)?;
        for frame in lacking.used.iter_ones().map(|frame| frame as usize) {
            let stored = file.read_frame(&table, frame)?;
            writer.write(frame, &stored)?;
            bytes += stored.len() as u64;
        }
        writer.finish()?;
        Ok(bytes)
    }

    fn whole(&self, intake: &Intake, id: &PackId, file: &PackFile) -> Result<u64, VaultError> {
        let mut writer = self.vault.receive_pack(&intake.repository, *id, intake.sender)?;
        let (mut offset, length) = (0, file.length());
        while offset < length {
            let piece = usize::try_from(length - offset).unwrap_or(PIECE).min(PIECE);
            writer.write(&file.read_range(offset, piece)?)?;
            offset += piece as u64;
        }
        writer.finish()?;
        Ok(length)
    }

    /// Each snapshot after the one that it follows; but those that this site removed.
    fn snapshots(
        &mut self,
        intake: &Intake,
        away: &HashSet<ManifestId>,
        dates: &Dates,
    ) -> Result<(), VaultError> {
        let mut waiting = Vec::new();
        for snapshot in &intake.list.snapshots {
            let id = snapshot.manifest;
            let row = intake.repository.row;
            let known = self.vault.index.read(|c| ManifestRow::find(c, row, &id))?.is_some();
            if known || away.contains(&id) {
                continue;
            }
            let result = intake.manifest(&id).map(|(body, bytes)| {
                let place = (body.dataset, body.agent, body.epoch, body.sequence, id);
                waiting.push((place, bytes));
            });
            self.note(&format!("snapshot {id}"), result)?;
        }
        waiting.sort();
        for ((.., id), bytes) in waiting {
            self.stopped()?;
            let dated = dates.get(&id).copied();
            let (repository, sender) = (&intake.repository, intake.sender);
            let committed = self.vault.commit_dated(repository, &id, &bytes, sender, dated);
            let result = committed.map(|committed| {
                self.imported.snapshots += u64::from(committed.outcome == PutOutcome::Created);
            });
            let what = intake.what(&id, matches!(result, Err(VaultError::Incomplete(_))));
            self.note(&what, result)?;
        }
        Ok(())
    }

    /// Receipts that came along: this site's own from before it lost them, so that their numbers are not used twice;
    /// and those of other sites that the roster vouches for. Gives when each snapshot was first received.
    fn receipts(&mut self, intake: &Intake) -> Result<Dates, VaultError> {
        let mut dates = Dates::new();
        for id in intake.list.ids(Kind::Receipt) {
            let taken = self.receipt(intake, id).map(|dated| {
                if let Some((manifest, received)) = dated {
                    let first = dates.entry(manifest).or_insert(received);
                    *first = received.min(*first);
                }
            });
            self.note("receipt", taken)?;
        }
        Ok(dates)
    }

    fn receipt(
        &self,
        intake: &Intake,
        id: &[u8; 32],
    ) -> Result<Option<(ManifestId, Timestamp)>, VaultError> {
        let repository = &intake.repository;
        let bytes = intake.directory.get(Kind::Receipt, id)?;
        let receipt = open_signed::<Receipt>(&bytes).map_err(VaultError::format(Kind::Receipt))?;
        let body = &receipt.body;
        if body.repository != repository.id {
            return Ok(None);
        }
        if body.site == self.vault.site() {
            let own = receipt.signer == self.vault.identity.key.public();
            if own && !repository.store.contains(Kind::Receipt, id)? {
                let mut gate = repository.gate();
                gate.behind = true;
                repository.store.put(Kind::Receipt, id, &bytes)?;
            }
            return Ok(None);
        }
        let chain = repository.chain();
        if chain.site(&body.site).is_none_or(|listed| listed.receipt_key != receipt.signer) {
            return Ok(None);
        }
        // The first one of a site counts, whatever it signs later.
        let known = known_receipt(self.vault, repository, &body.manifest, &body.site)?;
        if known.is_none() {
            repository.store.put(Kind::Receipt, id, &bytes)?;
            let (row, site) = (repository.row, body.site);
            self.vault
                .index
                .write(|tx| add_foreign_receipt(tx, row, &body.manifest, &site, &receipt.id))?;
        }
        Ok(Some((body.manifest, known.unwrap_or(body.received))))
    }
}

/// When each snapshot was first received.
type Dates = HashMap<ManifestId, Timestamp>;

/// What is to come of the packs.
#[derive(Default)]
struct Wanted {
    used: HashMap<PackId, Bitmap>,
    /// Packs of snapshots that this site removed.
    removed: HashSet<PackId>,
}

/// One repository on its way in.
struct Intake {
    directory: RepositoryDir,
    repository: Arc<Repository>,
    list: MediumList,
    sender: Sender,
}

impl Intake {
    fn manifest(&self, id: &ManifestId) -> Result<(Manifest, Vec<u8>), VaultError> {
        let bytes = self.directory.get(Kind::Manifest, id.as_bytes())?;
        let opened = open_signed::<Manifest>(&bytes).map_err(VaultError::format(Kind::Manifest))?;
        Ok((opened.body, bytes))
    }

    /// What a snapshot uses, but for segments that were seen before.
    fn usage(
        &self,
        id: &ManifestId,
        seen: &mut HashSet<SegmentId>,
    ) -> Result<Vec<PackUse>, VaultError> {
        let (manifest, _) = self.manifest(id)?;
        let bytes = self.directory.get(Kind::Usage, manifest.usage.as_bytes())?;
        let (usage, _) = decode::<UsageList>(&bytes).map_err(VaultError::format(Kind::Usage))?;
        let mut packs = Vec::new();
        for reference in usage.segments.iter().filter(|one| seen.insert(one.segment)) {
            let bytes = self.directory.get(Kind::Segment, reference.segment.as_bytes())?;
            let (segment, _) =
                decode::<Segment>(&bytes).map_err(VaultError::format(Kind::Segment))?;
            packs.extend(segment.packs);
        }
        Ok(packs)
    }

    /// A snapshot by name, and the media that it rests on where something of it is missing.
    fn what(&self, id: &ManifestId, incomplete: bool) -> String {
        let rests = self.list.snapshot(id).is_some_and(|snapshot| !snapshot.alone);
        if !incomplete || !rests {
            return format!("snapshot {id}");
        }
        let media: Vec<String> = self
            .list
            .bases
            .iter()
            .map(|base| format!("{:?} ({})", base.label, base.medium))
            .collect();
        format!(
            "snapshot {id} rests on the medium {}; take that in, then this one again",
            media.join(", ")
        )
    }
}

/// The rosters on a medium, checked as a chain.
fn rosters(directory: &RepositoryDir, id: RepositoryId) -> Result<RosterChain, VaultError> {
    let ids = directory.list(Kind::Roster)?;
    let excess = || VaultError::Inconsistent(format!("the medium has too many rosters of {id}"));
    if ids.len() > MAX_ROSTERS {
        return Err(excess());
    }
    let mut objects = Vec::new();
    let mut held = 0;
    for roster in ids {
        let bytes = directory.get(Kind::Roster, &roster)?;
        open_signed::<Roster>(&bytes).map_err(VaultError::format(Kind::Roster))?;
        held += bytes.len();
        if held > MAX_ROSTER_BYTES {
            return Err(excess());
        }
        objects.push(bytes);
    }
    RosterChain::from_objects(id, objects).map_err(VaultError::Roster)
}
