//! The pull of one repository from one source: rosters, what the owner opened and took back, sessions, then snapshot by
//! snapshot.
//!
//! Invariant: what the owner signed does not wait for data, and data not for that: when one fails, the rest is still asked for.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use lumbung_model::{ManifestId, PackId, RepositoryId, SegmentId, SiteId, Timestamp, UsageId};
use lumbung_pack::{
    Bitmap, Kind, Manifest, PackTable, PackUse, Receipt, Roster, RosterChain, Segment, Signed,
    UsageList, decode, open_signed,
};
use lumbung_store::{PutOutcome, StoreError};
use lumbung_wire::messages::{MANIFESTS_PAGE_MAX, ManifestSummary};
use tokio_util::sync::CancellationToken;

use super::{Limiter, PullError, Pulled, Source, blocking, note};
use crate::holdings::length_here;
use crate::index::{
    Cursor, ManifestRow, PackRow, SessionRow, add_foreign_receipt, bad_frames, foreign_receipt,
    is_gone, list_objects, list_sessions, load_state, verified_segment,
};
use crate::repository::Repository;
use crate::{Founder, Sender, Vault, VaultError};

/// Rosters that a repository can have.
const MAX_ROSTERS: usize = 100_000;
/// Bytes of rosters held in memory at once.
const MAX_ROSTER_BYTES: usize = 64 << 20;
/// Things left out after which the rest of a repository is not asked for.
const MAX_FAILURES: u64 = 5000;
/// Bytes of frames asked for at once.
const BATCH: u64 = 4 << 20;

pub(super) struct RepositoryPull<'a> {
    pub(super) vault: &'a Arc<Vault>,
    pub(super) source: &'a Source,
    pub(super) limiter: &'a Limiter,
    pub(super) stop: &'a CancellationToken,
    pub(super) id: RepositoryId,
    pub(super) pulled: Pulled,
}

impl RepositoryPull<'_> {
    pub(super) async fn run(&mut self) -> Result<(), PullError> {
        self.rosters().await?;
        let repository = self.vault.repository(&self.id)?;
        // Small, and not to wait behind days of packs: a grant that was taken back, a bundle that was replaced.
        let mut ended = Ok(());
        for kind in [Kind::Revocation, Kind::Wrap, Kind::StandingApproval] {
            let part = self.objects(&repository, kind).await;
            ended = ended.and(self.unless_stopping(part)?);
        }
        let part = self.history(&repository).await;
        ended = ended.and(self.unless_stopping(part)?);
        // Grants first: whose proofs count, they say.
        for kind in [Kind::Grant, Kind::Proof] {
            let part = self.objects(&repository, kind).await;
            ended = ended.and(self.unless_stopping(part)?);
        }
        ended
    }

    async fn history(&mut self, repository: &Arc<Repository>) -> Result<(), PullError> {
        let cursor = self.cursor(repository).await?;
        if cursor.is_none() {
            self.own_receipts(repository).await?;
        }
        self.objects(repository, Kind::Session).await?;
        // Before the snapshots that they open: whoever reads one here finds what opens it.
        self.objects(repository, Kind::Opening).await?;
        self.snapshots(repository, cursor).await
    }

    /// How a part of the pull went; `Err` where this site stops.
    fn unless_stopping(
        &self,
        part: Result<(), PullError>,
    ) -> Result<Result<(), PullError>, PullError> {
        if self.stop.is_cancelled() { part.map(Ok) } else { Ok(part) }
    }

    /// A failure that leaves out one thing; `Err` if it ends the pull.
    fn left_out(&mut self, error: PullError) -> Result<(), PullError> {
        if error.ends_pull() {
            return Err(error);
        }
        self.pulled.failures += 1;
        note(self.vault, self.source, Some(&self.id), &error);
        if self.pulled.failures >= MAX_FAILURES {
            return Err(PullError::Excess(format!("{MAX_FAILURES} things that it does not give")));
        }
        Ok(())
    }

    /// All rosters that are missing here, in their order: the chain's rules decide.
    /// A repository that is new here is taken only if its owner trusts the source.
    async fn rosters(&self) -> Result<(), PullError> {
        let ids = self.source.client.list(&self.id, Kind::Roster).await?;
        if ids.len() > MAX_ROSTERS {
            return Err(PullError::Excess(format!("{} rosters", ids.len())));
        }
        let known = self.vault.repository(&self.id).ok().map(|repository| repository.chain());
        let mut new = Vec::new();
        let mut held = 0;
        for id in ids {
            if known
                .as_ref()
                .is_some_and(|chain| chain.all().iter().any(|roster| roster.id.as_bytes() == &id))
            {
                continue;
            }
            let bytes = self.source.client.get(&self.id, Kind::Roster, &id).await?;
            let roster = open_signed::<Roster>(&bytes).map_err(VaultError::format(Kind::Roster))?;
            held += bytes.len();
            if held > MAX_ROSTER_BYTES {
                return Err(PullError::Excess(format!(
                    "more than {MAX_ROSTER_BYTES} bytes of rosters"
                )));
            }
            new.push((roster.body.number, id, bytes));
        }
        if known.is_none() && !self.vault.is_admitted(&self.id) {
            let objects = new.iter().map(|(.., bytes)| bytes.to_vec()).collect();
            let chain = RosterChain::from_objects(self.id, objects).map_err(VaultError::Roster)?;
            if chain.site(&self.source.site).is_none() {
                return Err(PullError::NotListed(self.id));
            }
        }
        new.sort_by_key(|(number, ..)| *number);
        for (_, id, bytes) in new {
            let (vault, repository) = (Arc::clone(self.vault), self.id);
            blocking(move || vault.put_roster(&repository, &id, &bytes, Founder::Entitled)).await?;
        }
        Ok(())
    }

    /// Where to go on; nothing if the source was never pulled from, or was rebuilt since.
    async fn cursor(&self, repository: &Arc<Repository>) -> Result<Option<Cursor>, PullError> {
        let (vault, row, site) = (Arc::clone(self.vault), repository.row, self.source.site);
        let Some(cursor) =
            blocking(move || Ok(vault.index.read(|c| Cursor::load(c, row, &site))?)).await?
        else {
            return Ok(None);
        };
        let there =
            self.source.client.manifests(&self.id, cursor.arrival.saturating_sub(1), 1).await?;
        let same = there
            .first()
            .is_some_and(|one| one.arrival == cursor.arrival && one.manifest == cursor.manifest);
        Ok(same.then_some(cursor))
    }

    /// After this site was rebuilt: the receipts that it gave before, which the source keeps. They are given
    /// again, and their numbers are not used twice.
    async fn own_receipts(&mut self, repository: &Arc<Repository>) -> Result<(), PullError> {
        let here = held(repository, Kind::Receipt).await?;
        for id in self.source.client.list(&self.id, Kind::Receipt).await? {
            if here.contains(&id) {
                continue;
            }
            if let Err(error) = self.own_receipt(repository, id).await {
                self.left_out(error)?;
            }
        }
        Ok(())
    }

    async fn own_receipt(
        &self,
        repository: &Arc<Repository>,
        id: [u8; 32],
    ) -> Result<(), PullError> {
        let bytes = self.source.client.get(&self.id, Kind::Receipt, &id).await?;
        let receipt = open_signed::<Receipt>(&bytes).map_err(VaultError::format(Kind::Receipt))?;
        let own = receipt.body.site == self.vault.site()
            && receipt.signer == self.vault.identity.key.public();
        if own && receipt.body.repository == self.id {
            let repository = Arc::clone(repository);
            blocking(move || {
                let mut gate = repository.gate();
                gate.behind = true;
                Ok(repository.store.put(Kind::Receipt, &id, &bytes)?)
            })
            .await?;
        }
        Ok(())
    }

    /// Every object of a kind that is missing here: sessions, their openings, and what the owner signed.
    async fn objects(&mut self, repository: &Arc<Repository>, kind: Kind) -> Result<(), PullError> {
        let (vault, row) = (Arc::clone(self.vault), repository.row);
        let known: HashSet<[u8; 32]> = blocking(move || {
            let known = vault.index.read(|c| match kind {
                Kind::Session => list_sessions(c, row, None),
                _ => list_objects(c, row, kind, None),
            })?;
            Ok(known.into_iter().collect())
        })
        .await?;
        let there = match self.source.client.list(&self.id, kind).await {
            // A source of an older version has no such folder.
            Err(error) if error.is_not_found() && kind != Kind::Session => Vec::new(),
            listed => listed?,
        };
        for id in there {
            if self.stop.is_cancelled() {
                return Err(VaultError::Stopping.into());
            }
            if known.contains(&id) {
                continue;
            }
            if let Err(error) = self.object(repository, kind, id).await {
                self.left_out(error)?;
            }
        }
        Ok(())
    }

    async fn object(
        &self,
        repository: &Arc<Repository>,
        kind: Kind,
        id: [u8; 32],
    ) -> Result<(), PullError> {
        let bytes = self.source.client.get(&self.id, kind, &id).await?;
        self.limiter.pass(bytes.len() as u64, || self.vault.bandwidth.pull_rate()).await;
        self.vault.counts.pulled(self.source.site, bytes.len() as u64);
        let (vault, repository, site) =
            (Arc::clone(self.vault), Arc::clone(repository), self.source.site);
        blocking(move || vault.put_object(&repository, kind, &id, &bytes, Sender::Site(site)))
            .await?;
        Ok(())
    }

    /// All snapshots after the cursor. It moves on only while nothing was left out, so that what failed is
    /// tried again.
    async fn snapshots(
        &mut self,
        repository: &Arc<Repository>,
        cursor: Option<Cursor>,
    ) -> Result<(), PullError> {
        let mut after = cursor.map_or(0, |cursor| cursor.arrival);
        let mut complete = true;
        let mut listed = HashSet::new();
        loop {
            let page = self.source.client.manifests(&self.id, after, MANIFESTS_PAGE_MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.arrival;
            for summary in &page {
                if self.stop.is_cancelled() {
                    return Err(VaultError::Stopping.into());
                }
                // Each has one arrival: a source that lists it again and again would be listened to for ever.
                if !listed.insert(summary.manifest) {
                    let again = format!("snapshot {} twice", summary.manifest);
                    return Err(PullError::Excess(again));
                }
                if let Err(error) = self.snapshot(repository, summary).await {
                    complete = false;
                    self.left_out(error)?;
                }
                if complete {
                    let cursor = Cursor { arrival: summary.arrival, manifest: summary.manifest };
                    let (vault, row, site) =
                        (Arc::clone(self.vault), repository.row, self.source.site);
                    blocking(move || Ok(vault.index.write(|tx| cursor.save(tx, row, &site))?))
                        .await?;
                }
            }
        }
    }

    async fn snapshot(
        &mut self,
        repository: &Arc<Repository>,
        summary: &ManifestSummary,
    ) -> Result<(), PullError> {
        let id = summary.manifest;
        let (vault, here) = (Arc::clone(self.vault), Arc::clone(repository));
        let (listed, known, gone) = blocking(move || {
            let (listed, gone) = vault.index.read(|c| {
                let listed = ManifestRow::find(c, here.row, &id)?.is_some();
                Ok((listed, is_gone(c, here.row, &id)?))
            })?;
            let known = listed && here.store.contains(Kind::Manifest, id.as_bytes())?;
            Ok((listed, known, gone))
        })
        .await?;
        // This site removed it, or was ordered to: it does not take it.
        if gone {
            return Ok(());
        }
        // Before the commit: when the source had it decides its slot in the calendar here.
        // A receipt that is wrong or withheld keeps no snapshot away; it is told of at the end.
        let (dated, wrong) = match self.receipt(repository, summary).await {
            Ok(dated) => (dated, None),
            Err(error) if error.ends_pull() => return Err(error),
            Err(error) => (None, Some(error)),
        };
        if !known {
            let bytes = self.source.client.get(&self.id, Kind::Manifest, id.as_bytes()).await?;
            let manifest =
                open_signed::<Manifest>(&bytes).map_err(VaultError::format(Kind::Manifest))?;
            let sender = Sender::Site(self.source.site);
            // One whose file was lost here is healed.
            if !listed && self.is_ordered_away(repository, &manifest, sender, dated).await? {
                tracing::info!(repository = %self.id, snapshot = %id, "kept away by an order");
                return wrong.map_or(Ok(()), Err);
            }
            self.needed(repository, &manifest).await?;
            let (vault, here) = (Arc::clone(self.vault), Arc::clone(repository));
            let committed =
                blocking(move || vault.commit_dated(&here, &id, &bytes, sender, dated)).await?;
            if committed.outcome == PutOutcome::Created {
                self.pulled.snapshots += 1;
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    async fn is_ordered_away(
        &self,
        repository: &Arc<Repository>,
        manifest: &Signed<Manifest>,
        sender: Sender,
        dated: Option<Timestamp>,
    ) -> Result<bool, PullError> {
        let (vault, here) = (Arc::clone(self.vault), Arc::clone(repository));
        let (id, body) = (manifest.id, manifest.body.clone());
        blocking(move || vault.is_ordered_away(&here, (&id, &body), sender, dated)).await
    }

    /// Everything that a manifest needs and that is not here.
    async fn needed(
        &mut self,
        repository: &Arc<Repository>,
        manifest: &Signed<Manifest>,
    ) -> Result<(), PullError> {
        for session in &manifest.body.sessions {
            let (vault, row, session) = (Arc::clone(self.vault), repository.row, *session);
            let known =
                blocking(move || Ok(vault.index.read(|c| SessionRow::find(c, row, &session))?))
                    .await?;
            if known.is_none() {
                self.object(repository, Kind::Session, *session.as_bytes()).await?;
            }
        }
        let usage = self.usage(repository, &manifest.body.usage).await?;
        let mut missing = Vec::new();
        for segment in &usage.segments {
            missing.extend(self.segment(repository, &segment.segment).await?);
        }
        self.packs(repository, missing).await
    }

    async fn usage(
        &self,
        repository: &Arc<Repository>,
        id: &UsageId,
    ) -> Result<UsageList, PullError> {
        let bytes = self.present(repository, Kind::Usage, *id.as_bytes()).await?;
        Ok(decode::<UsageList>(&bytes).map_err(VaultError::format(Kind::Usage))?.0)
    }

    /// The packs of a segment that this site lacks; none are looked for in a segment that was verified here.
    async fn segment(
        &self,
        repository: &Arc<Repository>,
        id: &SegmentId,
    ) -> Result<Vec<PackUse>, PullError> {
        let (vault, row, segment) = (Arc::clone(self.vault), repository.row, *id);
        let verified =
            blocking(move || Ok(vault.index.read(|c| verified_segment(c, row, &segment))?)).await?;
        let (here, segment) = (Arc::clone(repository), *id);
        if verified.is_some()
            && blocking(move || Ok(here.store.contains(Kind::Segment, segment.as_bytes())?)).await?
        {
            return Ok(Vec::new());
        }
        let bytes = self.present(repository, Kind::Segment, *id.as_bytes()).await?;
        let (segment, _) = decode::<Segment>(&bytes).map_err(VaultError::format(Kind::Segment))?;
        let (vault, here) = (Arc::clone(self.vault), Arc::clone(repository));
        blocking(move || lacking(&vault, &here, segment.packs)).await
    }

    /// The bytes of an object, fetched and kept if it is not here.
    async fn present(
        &self,
        repository: &Arc<Repository>,
        kind: Kind,
        id: [u8; 32],
    ) -> Result<Vec<u8>, PullError> {
        let here = Arc::clone(repository);
        if let Ok(bytes) = blocking(move || Ok(here.store.get(kind, &id)?)).await {
            return Ok(bytes);
        }
        self.object(repository, kind, id).await?;
        let repository = Arc::clone(repository);
        blocking(move || Ok(repository.store.get(kind, &id)?)).await
    }

    /// Fetches packs, many at once. What was taken stays taken when one fails.
    async fn packs(
        &mut self,
        repository: &Arc<Repository>,
        packs: Vec<PackUse>,
    ) -> Result<(), PullError> {
        let transfers = self.vault.config.pull_transfers;
        let this = &*self;
        let mut results = stream::iter(packs)
            .map(|pack| async move { this.pack(repository, &pack).await })
            .buffer_unordered(transfers);
        let (mut taken, mut failed) = (0, None);
        while let Some(result) = results.next().await {
            match result {
                Ok(()) => taken += 1,
                Err(error) if error.ends_pull() => {
                    failed = Some(error);
                    break;
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(results);
        self.pulled.packs += taken;
        failed.map_or(Ok(()), Err)
    }

    async fn pack(&self, repository: &Arc<Repository>, wanted: &PackUse) -> Result<(), PullError> {
        if self.stop.is_cancelled() {
            return Err(VaultError::Stopping.into());
        }
        let id = wanted.pack;
        let table = self.source.client.pack_head(&self.id, &id).await?;
        if table.frame_count() != wanted.used.bits() {
            let reason = format!(
                "pack {id} has {} frames, a segment says {}",
                table.frame_count(),
                wanted.used.bits()
            );
            return Err(VaultError::Refused { kind: Kind::Segment, reason }.into());
        }
        if !wanted.used.is_full() {
            return self.frames(repository, wanted, table).await;
        }
        let (vault, here, site) =
            (Arc::clone(self.vault), Arc::clone(repository), self.source.site);
        let head = table.encode();
        let mut intake = blocking(move || {
            let mut intake = vault.receive_pack(&here, id, Sender::Site(site))?;
            intake.write(&head)?;
            Ok(intake)
        })
        .await?;
        for frames in batches(&table, &wanted.used) {
            let frames = self.read(&id, &table, frames).await?;
            intake = blocking(move || {
                frames.iter().try_for_each(|frame| intake.write(frame))?;
                Ok(intake)
            })
            .await?;
        }
        blocking(move || intake.finish()).await?;
        Ok(())
    }

    /// Only those frames of a pack: the rest may be gone at the source, as nobody uses it.
    async fn frames(
        &self,
        repository: &Arc<Repository>,
        wanted: &PackUse,
        table: PackTable,
    ) -> Result<(), PullError> {
        let (vault, here, site) =
            (Arc::clone(self.vault), Arc::clone(repository), self.source.site);
        let head = table.clone();
        let mut intake =
            blocking(move || vault.receive_frames(&here, head, Sender::Site(site))).await?;
        for range in batches(&table, &wanted.used) {
            let frames = self.read(&wanted.pack, &table, range.clone()).await?;
            intake = blocking(move || {
                range.zip(&frames).try_for_each(|(i, frame)| intake.write(i, frame))?;
                Ok(intake)
            })
            .await?;
        }
        blocking(move || intake.finish()).await
    }

    /// Consecutive frames of the source's pack, at the speed that is allowed.
    async fn read(
        &self,
        id: &PackId,
        table: &PackTable,
        frames: Range<usize>,
    ) -> Result<Vec<Bytes>, PullError> {
        let length = table.frame_range(frames.end - 1).end - table.frame_range(frames.start).start;
        self.limiter.pass(length, || self.vault.bandwidth.pull_rate()).await;
        let read = self.source.client.read_frames(&self.id, id, table, frames).await?;
        self.vault.counts.pulled(self.source.site, length);
        Ok(read)
    }

    /// The source's receipt, kept beside this site's own, if the newest roster vouches for the source's key.
    /// Gives its time: the first one of a source counts, whatever it signs later.
    async fn receipt(
        &self,
        repository: &Arc<Repository>,
        summary: &ManifestSummary,
    ) -> Result<Option<Timestamp>, PullError> {
        let chain = repository.chain();
        let Some(listed) = chain.site(&self.source.site) else { return Ok(None) };
        let (vault, here) = (Arc::clone(self.vault), Arc::clone(repository));
        let (site, manifest) = (self.source.site, summary.manifest);
        let known = blocking(move || known_receipt(&vault, &here, &manifest, &site)).await?;
        if known.is_some() {
            return Ok(known);
        }
        let id = *summary.receipt.as_bytes();
        let bytes = self.source.client.get(&self.id, Kind::Receipt, &id).await?;
        let receipt = open_signed::<Receipt>(&bytes).map_err(VaultError::format(Kind::Receipt))?;
        let body = &receipt.body;
        if receipt.signer != listed.receipt_key
            || (body.site, body.repository, body.manifest)
                != (self.source.site, self.id, summary.manifest)
        {
            let reason = format!(
                "receipt {} is not the source's for snapshot {}",
                receipt.id, summary.manifest
            );
            return Err(VaultError::Refused { kind: Kind::Receipt, reason }.into());
        }
        let received = body.received;
        let (vault, repository) = (Arc::clone(self.vault), Arc::clone(repository));
        blocking(move || {
            repository.store.put(Kind::Receipt, &id, &bytes)?;
            Ok(vault.index.write(|tx| {
                add_foreign_receipt(tx, repository.row, &manifest, &site, &receipt.id)
            })?)
        })
        .await?;
        Ok(Some(received))
    }
}

/// The ids of a kind that are here: one listing, where asking for each would cost a request.
async fn held(repository: &Arc<Repository>, kind: Kind) -> Result<HashSet<[u8; 32]>, PullError> {
    let repository = Arc::clone(repository);
    Ok(blocking(move || Ok(repository.store.list(kind)?)).await?.into_iter().collect())
}

/// When a source received a snapshot, by the receipt of it that is kept here.
pub(crate) fn known_receipt(
    vault: &Vault,
    repository: &Repository,
    manifest: &ManifestId,
    site: &SiteId,
) -> Result<Option<Timestamp>, VaultError> {
    let found = vault.index.read(|c| foreign_receipt(c, repository.row, manifest, site))?;
    let Some(id) = found else { return Ok(None) };
    match repository.store.get(Kind::Receipt, id.as_bytes()) {
        Ok(bytes) => {
            let receipt =
                open_signed::<Receipt>(&bytes).map_err(VaultError::format(Kind::Receipt))?;
            Ok(Some(receipt.body.received))
        }
        // Lost or damaged here: it is fetched again.
        Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Which of these packs this site lacks, or holds damaged in the frames that are used.
pub(crate) fn lacking(
    vault: &Vault,
    repository: &Repository,
    packs: Vec<PackUse>,
) -> Result<Vec<PackUse>, VaultError> {
    let index = vault.index.snapshot()?;
    let mut lacking = Vec::new();
    let ids: Vec<PackId> = packs.iter().map(|pack| pack.pack).collect();
    for (pack, length) in packs.into_iter().zip(repository.store.pack_lens(&ids)) {
        let (row, bad, state) = index.read(|c| {
            Ok((
                PackRow::find(c, repository.row, &pack.pack)?,
                bad_frames(c, repository.row, &pack.pack)?,
                load_state(c, repository.row, &pack.pack)?,
            ))
        })?;
        let length = length_here(length)?;
        let here =
            row.is_some_and(|row| row.frames == pack.used.bits() && length == Some(row.bytes));
        if !here {
            lacking.push(pack);
            continue;
        }
        // What is condemned is still here, and the commit brings it back.
        let mut gone =
            state.map_or_else(|| Bitmap::new(pack.used.bits()), |state| state.frames.absent);
        bad.iter().for_each(|frame| gone.set(*frame));
        let used = gone.and(&pack.used);
        if !used.is_empty() {
            lacking.push(PackUse { used, ..pack });
        }
    }
    Ok(lacking)
}

/// Consecutive frames of a set in groups of at most about [`BATCH`] bytes. The set is of this pack.
fn batches(table: &PackTable, wanted: &Bitmap) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    for frame in wanted.iter_ones().map(|frame| frame as usize) {
        let end = table.frame_range(frame).end;
        match batches.last_mut() {
            Some(last)
                if last.end == frame && end - table.frame_range(last.start).start <= BATCH =>
            {
                last.end = frame + 1;
            }
            _ => batches.push(frame..frame + 1),
        }
    }
    batches
}
