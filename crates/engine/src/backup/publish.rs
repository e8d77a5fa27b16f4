//! Manifests: what a run has is published, in part on the way and whole at the end.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use lumbung_model::{ManifestId, SegmentId, SessionId, Timestamp, UsageId};
use lumbung_pack::{
    BuiltUsage, Kind, Manifest, Missing, Receipt, Statistics, UsageBuilder, object_id, open_signed,
    sign,
};
use lumbung_seal::{RootPlain, seal_root};

use super::record::Recorded;
use super::retry::Retry;
use super::run::{Run, newest_own_manifest};
use super::stop::Stop;
use super::{BackupError, BackupRequest};
use crate::state::{ChainState, Pending, read_optional, write_durably};
use crate::{Commit, Depot, DepotError};

/// Attempts to give the depot what a commit lacks, before files are read again.
const COMMIT_ATTEMPTS: u32 = 4;

/// Where the chain of manifests stands, and when the last partial one was made.
pub(super) struct Publisher {
    dataset_dir: PathBuf,
    epoch: u32,
    sequence: u64,
    previous: ManifestId,
    /// Segments that the depot took before.
    segments: HashSet<SegmentId>,
    last_partial: Timestamp,
    unprotected_bytes: u64,
    /// A manifest was offered and no answer came: whether its number is used up is not known.
    in_doubt: bool,
    pub(super) partials: Vec<ManifestId>,
}

/// A snapshot that the depot took.
pub(super) struct Published {
    pub(super) manifest: ManifestId,
    pub(super) receipt: Option<Receipt>,
    pub(super) receipt_object: Option<Vec<u8>>,
    pub(super) statistics: Statistics,
    pub(super) epoch: u32,
    pub(super) sequence: u64,
    pub(super) finished: Timestamp,
}

struct Signed {
    manifest: ManifestId,
    object: Vec<u8>,
    usage: BuiltUsage,
}

impl Publisher {
    /// Finds out where the chain stands; a commit that may have happened is asked for.
    pub(super) fn new(
        retry: &Retry<'_>,
        request: &BackupRequest<'_>,
        depot: &dyn Depot,
        dataset_dir: &Path,
        now: Timestamp,
    ) -> Result<Self, BackupError> {
        let repository = request.identity.repository;
        settle_pending(retry, request, depot, dataset_dir)?;
        let (epoch, sequence, previous) = match ChainState::load(dataset_dir, repository)? {
            Some(chain) => (chain.epoch, chain.sequence, chain.manifest),
            None => match newest_own_manifest(retry, request, depot)? {
                Some((epoch, _, manifest)) => (epoch.saturating_add(1), 0, manifest),
                None => (1, 0, ManifestId::ZERO),
            },
        };
        let segments = read_optional(&dataset_dir.join("segments"))?.unwrap_or_default();
        let segments = segments
            .chunks_exact(32)
            .filter_map(|id| id.try_into().ok().map(SegmentId::from_bytes));
        Ok(Self {
            dataset_dir: dataset_dir.to_owned(),
            epoch,
            sequence,
            previous,
            segments: segments.collect(),
            last_partial: now,
            unprotected_bytes: 0,
            in_doubt: false,
            partials: Vec::new(),
        })
    }

    /// A pack was acknowledged: perhaps it is time for a partial manifest. One that fails is tried again later.
    pub(super) fn acknowledged(&mut self, run: &Run<'_>, stored: u64, stop: &Stop) {
        self.unprotected_bytes += stored;
        let options = &run.request.options;
        let age = run.request.clock.now().seconds_since(self.last_partial);
        if self.unprotected_bytes < options.partial_after_bytes && age < options.partial_after_s {
            return;
        }
        self.last_partial = run.request.clock.now();
        self.unprotected_bytes = 0;
        match self.publish_partial(run, stop) {
            Ok(Ok(manifest)) => self.partials.push(manifest),
            Ok(Err(_)) => tracing::warn!(
                "the depot lacks what a partial manifest needs; the next one is tried later"
            ),
            Err(error) => {
                tracing::warn!(%error, "a partial manifest was not taken; the next one is tried later")
            }
        }
    }

    fn publish_partial(
        &mut self,
        run: &Run<'_>,
        stop: &Stop,
    ) -> Result<Result<ManifestId, Missing>, BackupError> {
        self.resolve_doubt(run, stop)?;
        let identity = run.request.identity;
        let mut builder = UsageBuilder::new(identity.repository, identity.domain);
        let mut sessions = BTreeSet::new();
        run.known.for_each_unprotected(|pack, id, frame, stored| {
            builder.add(id, pack.frames, frame, stored);
            sessions.insert(pack.session);
        });
        let root = RootPlain {
            host: run.request.host.to_owned(),
            label: run.request.label.to_owned(),
            ..RootPlain::default()
        };
        let statistics = new_bytes(run, Statistics::default());
        let signed = self.sign(run, builder, sessions, &root, statistics, true)?;
        let committed = self.commit(run, &signed, stop)?;
        Ok(committed.map(|_| signed.manifest))
    }

    /// Publishes the snapshot. The inner error says what the depot has lost.
    pub(super) fn publish(
        &mut self,
        run: &Run<'_>,
        recorded: &Recorded,
    ) -> Result<Result<Published, Missing>, BackupError> {
        let stop = Stop::new(run.request.cancel);
        self.resolve_doubt(run, &stop)?;
        let identity = run.request.identity;
        let mut builder = UsageBuilder::new(identity.repository, identity.domain);
        let mut sessions = BTreeSet::new();
        run.known.for_each_used(&recorded.used, |pack, id, frame, stored| {
            builder.add(id, pack.frames, frame, stored);
            sessions.insert(pack.session);
        });
        let root = RootPlain {
            host: run.request.host.to_owned(),
            label: run.request.label.to_owned(),
            sources: run.input.paths(),
            entries: recorded.entries,
            root_chunks: recorded.root_chunks.clone(),
        };
        let statistics = new_bytes(run, recorded.statistics);
        let signed = self.sign(run, builder, sessions, &root, statistics, false)?;
        let commit = match self.commit(run, &signed, &stop)? {
            Ok(commit) => commit,
            Err(missing) => return Ok(Err(missing)),
        };
        let receipt =
            commit.receipt.as_deref().and_then(|bytes| check_receipt(run, &signed.manifest, bytes));
        Ok(Ok(Published {
            manifest: signed.manifest,
            receipt,
            receipt_object: commit.receipt,
            statistics,
            epoch: self.epoch,
            sequence: self.sequence,
            finished: run.request.clock.now(),
        }))
    }

    /// Asks for a manifest whose commit got no answer before another one takes its number: two with one
    /// number would be a fork.
    fn resolve_doubt(&mut self, run: &Run<'_>, stop: &Stop) -> Result<(), BackupError> {
        if !self.in_doubt {
            return Ok(());
        }
        settle_pending(&Retry::of(run, stop), run.request, run.depot, &self.dataset_dir)?;
        if let Some(chain) = ChainState::load(&self.dataset_dir, run.request.identity.repository)? {
            (self.epoch, self.sequence, self.previous) =
                (chain.epoch, chain.sequence, chain.manifest);
        }
        self.in_doubt = false;
        Ok(())
    }

    fn sign(
        &self,
        run: &Run<'_>,
        builder: UsageBuilder,
        mut sessions: BTreeSet<SessionId>,
        root: &RootPlain,
        statistics: Statistics,
        partial: bool,
    ) -> Result<Signed, BackupError> {
        let identity = run.request.identity;
        let usage = builder.build();
        sessions.remove(&run.session);
        let mut manifest = Manifest {
            repository: identity.repository,
            agent: identity.agent,
            dataset: run.request.dataset,
            domain: identity.domain,
            partial,
            epoch: self.epoch,
            sequence: self.sequence + 1,
            previous: self.previous,
            started: run.started,
            finished: run.request.clock.now(),
            roster_number: run.chain.current().body.number,
            statistics,
            usage: usage.usage_id,
            sessions: std::iter::once(run.session).chain(sessions).collect(),
            root_salt: [0; 32],
            sealed_root: Vec::new(),
        };
        seal_root(&run.key, &mut manifest, root)?;
        let object = sign(&manifest, &identity.key);
        Ok(Signed { manifest: ManifestId::from_bytes(object_id(&object)), object, usage })
    }

    /// Commits, and gives the depot what it lacks of what is not frames.
    fn commit(
        &mut self,
        run: &Run<'_>,
        signed: &Signed,
        stop: &Stop,
    ) -> Result<Result<Commit, Missing>, BackupError> {
        let retry = Retry::of(run, stop);
        let depot = run.depot;
        let put_segments = |wanted: &dyn Fn(&SegmentId) -> bool| -> Result<(), BackupError> {
            for (id, bytes) in signed.usage.segments.iter().filter(|(id, _)| wanted(id)) {
                retry.call(|| depot.put(Kind::Segment, id.as_bytes(), bytes))?;
            }
            Ok(())
        };
        put_segments(&|id| !self.segments.contains(id))?;
        put_usage(&retry, depot, &signed.usage.usage_id, &signed.usage.usage)?;
        Pending { manifest: signed.object.clone(), depot: depot.describe() }
            .store(&self.dataset_dir)?;
        for _ in 0..COMMIT_ATTEMPTS {
            let missing = match retry.call(|| depot.commit(&signed.manifest, &signed.object)) {
                Ok(commit) => {
                    self.advance(run, signed)?;
                    return Ok(Ok(commit));
                }
                Err(BackupError::Depot(DepotError::Incomplete { missing, .. })) => *missing,
                Err(BackupError::Depot(error)) if !error.is_transient() => {
                    Pending::remove(&self.dataset_dir)?;
                    return Err(error.into());
                }
                Err(error) => {
                    self.in_doubt = true;
                    return Err(error);
                }
            };
            let unknown = put_sessions(run, &retry, &missing.sessions)?;
            put_segments(&|id| missing.segments.contains(id))?;
            if missing.usage {
                put_usage(&retry, depot, &signed.usage.usage_id, &signed.usage.usage)?;
            }
            if !missing.packs.is_empty() || !unknown.is_empty() {
                Pending::remove(&self.dataset_dir)?;
                return Ok(Err(Missing { sessions: unknown, ..missing }));
            }
        }
        Pending::remove(&self.dataset_dir)?;
        Err(BackupError::StillMissing { depot: depot.describe(), rounds: COMMIT_ATTEMPTS })
    }

    /// The depot took the manifest: the chain goes on from it.
    fn advance(&mut self, run: &Run<'_>, signed: &Signed) -> Result<(), BackupError> {
        self.sequence += 1;
        self.previous = signed.manifest;
        let chain = ChainState {
            repository: run.request.identity.repository,
            epoch: self.epoch,
            sequence: self.sequence,
            manifest: signed.manifest,
        };
        chain.store(&self.dataset_dir)?;
        Pending::remove(&self.dataset_dir)?;
        self.segments = signed.usage.segments.iter().map(|(id, _)| *id).collect();
        let list: Vec<u8> = self.segments.iter().flat_map(|id| *id.as_bytes()).collect();
        write_durably(&self.dataset_dir.join("segments"), &list)?;
        Ok(())
    }
}

fn new_bytes(run: &Run<'_>, statistics: Statistics) -> Statistics {
    Statistics {
        new_plain_bytes: run.plain_bytes.load(Ordering::Relaxed),
        new_stored_bytes: run.stored_bytes.load(Ordering::Relaxed),
        ..statistics
    }
}

fn put_usage(
    retry: &Retry<'_>,
    depot: &dyn Depot,
    id: &UsageId,
    bytes: &[u8],
) -> Result<(), BackupError> {
    retry.call(|| depot.put(Kind::Usage, id.as_bytes(), bytes))
}

/// Publishes sessions again that the journal knows; those that it does not know come back.
fn put_sessions(
    run: &Run<'_>,
    retry: &Retry<'_>,
    missing: &[SessionId],
) -> Result<Vec<SessionId>, BackupError> {
    let mut unknown = Vec::new();
    for id in missing {
        let Some(object) = run.session_object(id)? else {
            unknown.push(*id);
            continue;
        };
        match retry.call(|| run.depot.put(Kind::Session, id.as_bytes(), &object)) {
            Ok(()) => put_openings(run, retry, id)?,
            // For instance sealed to the recipients of an older roster.
            Err(BackupError::Depot(DepotError::Refused { .. })) => unknown.push(*id),
            Err(error) => return Err(error),
        }
    }
    Ok(unknown)
}

/// Publishes a session's openings again. A depot that does not take them, as one whose approval ended, keeps them from
/// nobody but the verifier.
fn put_openings(run: &Run<'_>, retry: &Retry<'_>, session: &SessionId) -> Result<(), BackupError> {
    for object in run.openings_of(session)? {
        let id = object_id(&object);
        match retry.call(|| run.depot.put(Kind::Opening, &id, &object)) {
            Ok(())
            | Err(BackupError::Depot(DepotError::Refused { .. } | DepotError::NotFound { .. })) => {
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A receipt, if it is for this manifest and signed by a site that the roster lists.
fn check_receipt(run: &Run<'_>, manifest: &ManifestId, bytes: &[u8]) -> Option<Receipt> {
    let receipt = open_signed::<Receipt>(bytes).ok()?;
    let site = run.chain.site(&receipt.body.site)?;
    let right = site.receipt_key == receipt.signer
        && receipt.body.manifest == *manifest
        && receipt.body.repository == run.request.identity.repository;
    right.then_some(receipt.body)
}

/// A commit that was under way when the last run ended: done now, or known not to have happened.
fn settle_pending(
    retry: &Retry<'_>,
    request: &BackupRequest<'_>,
    depot: &dyn Depot,
    dataset_dir: &Path,
) -> Result<(), BackupError> {
    let Some(pending) = Pending::load(dataset_dir)? else { return Ok(()) };
    let identity = request.identity;
    let manifest = open_signed::<Manifest>(&pending.manifest).ok().filter(|manifest| {
        manifest.signer == identity.key.public() && manifest.body.repository == identity.repository
    });
    let Some(manifest) = manifest else { return Ok(Pending::remove(dataset_dir)?) };
    let happened = match retry.call(|| depot.commit(&manifest.id, &pending.manifest)) {
        Ok(_) => true,
        Err(BackupError::Depot(error)) if error.is_transient() => return Err(error.into()),
        // Another depot may have taken it: its number is used up.
        Err(BackupError::Depot(_)) => pending.depot != depot.describe(),
        Err(error) => return Err(error),
    };
    if happened {
        let body = &manifest.body;
        let chain = ChainState {
            repository: body.repository,
            epoch: body.epoch,
            sequence: body.sequence,
            manifest: manifest.id,
        };
        chain.store(dataset_dir)?;
    }
    Ok(Pending::remove(dataset_dir)?)
}
