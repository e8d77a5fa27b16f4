//! A run at one depot: rosters, known frames, session, passes, commit.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use lumbung_model::anomaly::RunFigures;
use lumbung_model::{ManifestId, PackId, SessionId, Timestamp};
use lumbung_pack::{
    AgentStatus, Bitmap, Kind, Missing, PackTable, PackUse, RosterChain, Session, open_signed, sign,
};
use lumbung_seal::{Chunker, GearTable, IdKey, SessionKey, seal_session};

use super::changes::{ChunkCounters, figures};
use super::known::Known;
use super::pass::{adopt_cache, pass};
use super::publish::{Published, Publisher};
use super::retry::Retry;
use super::standing::{Verifiers, openings_of};
use super::stop::{Stop, Warnings};
use super::{BackupError, BackupOutcome, BackupRequest, Input};
use crate::source::Names;
use crate::state::{Journal, Record, StateDir, sync_rosters};
use crate::{Depot, DepotError};

/// Packs asked for in one `have`.
const HAVE_PACKS: usize = 1024;
/// A journal with more lost packs than this is written anew.
const LOST_PACKS: usize = 64;

/// A run at one depot.
pub(super) struct Run<'a> {
    pub(super) request: &'a BackupRequest<'a>,
    /// Its source, looked at.
    pub(super) input: &'a Input<'a>,
    pub(super) depot: &'a dyn Depot,
    pub(super) dataset_dir: PathBuf,
    pub(super) chain: RosterChain,
    pub(super) started: Timestamp,
    pub(super) session: SessionId,
    pub(super) key: SessionKey,
    pub(super) id_key: IdKey,
    pub(super) gear: GearTable,
    pub(super) chunker: Chunker,
    pub(super) known: Known,
    pub(super) journal: Mutex<Journal>,
    pub(super) names: Names,
    pub(super) warnings: Warnings,
    pub(super) plain_bytes: AtomicU64,
    pub(super) stored_bytes: AtomicU64,
    pub(super) pack_target: usize,
    pub(super) round: u32,
    pub(super) read_bytes: u64,
    /// What became of the chunks, over all passes.
    pub(super) chunks: ChunkCounters,
    /// What the last pass found changed since the last finished run.
    pub(super) changes: Option<RunFigures>,
    publisher: Option<Publisher>,
    lost_packs: usize,
}

impl<'a> Run<'a> {
    /// Prepares a run: everything up to the published session.
    fn begin(
        request: &'a BackupRequest<'a>,
        state: &StateDir,
        input: &'a Input<'a>,
        depot: &'a dyn Depot,
        started: Timestamp,
    ) -> Result<Self, BackupError> {
        let identity = request.identity;
        let stop = Stop::new(request.cancel);
        let options = &request.options;
        let retry =
            Retry { attempts: options.attempts.max(1), pause_ms: options.pause_ms, stop: &stop };
        let chain = sync(&retry, state, request, depot)?;
        check_allowed(request, &chain)?;
        let known = Known::default();
        let mut journal = open_journal(&retry, state, request, depot, &chain)?;
        let mut verifiers = Verifiers::find(&retry, state, request, (depot, &chain), &journal)?;
        let dataset_dir = state.dataset(&request.dataset)?;
        let publisher = Publisher::new(&retry, request, depot, &dataset_dir, started)?;
        let key = SessionKey::random();
        let (session, object) = make_session(request, &chain, &key, started)?;
        retry.call(|| depot.put(Kind::Session, session.as_bytes(), &object))?;
        journal.append(&[Record::Session(object)])?;
        verifiers.open(&retry, request, depot, (&session, &key), &mut journal)?;
        let lost_packs = load_known(&retry, depot, &journal, &known, (request, &verifiers))?;
        let warnings = Warnings::default();
        verifiers.warnings.into_iter().for_each(|warning| warnings.push(b"", warning));
        let gear = identity.secret.gear();
        Ok(Self {
            request,
            input,
            depot,
            dataset_dir,
            started,
            session,
            key,
            id_key: identity.secret.id_key(),
            chunker: Chunker::new(&gear, chain.current().body.chunker)?,
            gear,
            chain,
            known,
            journal: Mutex::new(journal),
            names: Names::of_this_machine(),
            warnings,
            plain_bytes: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
            pack_target: options.pack_target.min(lumbung_pack::limits::PACK_TARGET),
            round: 0,
            read_bytes: 0,
            chunks: ChunkCounters::default(),
            changes: None,
            publisher: Some(publisher),
            lost_packs,
        })
    }

    /// The publisher, while other threads share the run.
    pub(super) fn take_publisher(&mut self) -> Publisher {
        self.publisher.take().expect("the publisher is there between passes")
    }

    pub(super) fn return_publisher(&mut self, publisher: Publisher) {
        self.publisher = Some(publisher);
    }

    /// Sessions that the journal knows, as signed.
    pub(super) fn session_object(
        &self,
        wanted: &SessionId,
    ) -> Result<Option<Vec<u8>>, BackupError> {
        let mut found = None;
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.replay(&mut |record| {
            if let Record::Session(object) = record
                && lumbung_pack::object_id(&object) == *wanted.as_bytes()
            {
                found = Some(object);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Openings of a session that the journal knows, as signed.
    pub(super) fn openings_of(&self, session: &SessionId) -> Result<Vec<Vec<u8>>, BackupError> {
        openings_of(&self.journal.lock().unwrap_or_else(PoisonError::into_inner), session)
    }

    /// Takes what the depot lost out of what is known; whether that was anything.
    fn forget(&self, missing: &Missing) -> bool {
        let frames = self.known.forget(&missing.packs);
        frames + self.known.forget_sessions(&missing.sessions) > 0
    }

    fn passes(&mut self) -> Result<(Published, PathBuf), BackupError> {
        loop {
            let (recorded, cache) = pass(self)?;
            let mut publisher = self.take_publisher();
            let published = publisher.publish(self, &recorded);
            self.return_publisher(publisher);
            match published? {
                Ok(published) => return Ok((published, cache)),
                Err(missing) => {
                    self.round += 1;
                    if !self.forget(&missing) || self.round >= self.request.options.rounds {
                        let depot = self.depot.describe();
                        return Err(BackupError::StillMissing { depot, rounds: self.round });
                    }
                    self.request.progress.message(
                        "the depot lacks frames of this snapshot: reading those files again",
                    );
                }
            }
        }
    }

    /// After the commit: the next run begins from here.
    fn settle(&mut self, cache: &std::path::Path) -> Result<(), BackupError> {
        adopt_cache(&self.dataset_dir, cache)?;
        let journal = self.journal.get_mut().unwrap_or_else(PoisonError::into_inner);
        journal.append(&[Record::Committed])?;
        if self.lost_packs > LOST_PACKS && self.lost_packs > self.known.packs() {
            let mut kept = HashSet::new();
            for number in 0..self.known.packs() {
                let pack = u32::try_from(number).ok().and_then(|number| self.known.pack(number));
                kept.extend(pack.iter().filter_map(|pack| pack.id));
            }
            journal.rewrite(&mut |record| match record {
                Record::Pack(head) => kept.contains(&PackTable::id_of_head(head)),
                Record::Session(_) | Record::Opening(_) | Record::Committed => true,
            })?;
        }
        Ok(())
    }
}

/// Backs up to one depot.
pub(super) fn run_at(
    request: &BackupRequest<'_>,
    state: &StateDir,
    input: &Input<'_>,
    index: usize,
    started: Timestamp,
) -> Result<BackupOutcome, BackupError> {
    let Some(depot) = request.depots.get(index) else { return Err(BackupError::NoDepot) };
    let mut run = Run::begin(request, state, input, depot.as_ref(), started)?;
    if let Input::Walk(sources) = input {
        for (path, errno) in &sources.missing {
            let reason = super::plan::reason("is not there and is not in the snapshot", *errno);
            run.warnings.push(path, reason);
        }
    }
    let (published, cache) = run.passes()?;
    run.settle(&cache)?;
    let authorized = run.chain.agent(&request.identity.agent).is_some();
    let Published { manifest, receipt, receipt_object, statistics, epoch, sequence, finished } =
        published;
    if receipt.is_none() && receipt_object.is_some() {
        run.warnings.push(b"", "the site's receipt counts for nothing: the roster does not list the site with that key; have the custodian add it");
    }
    let partials = run.take_publisher().partials;
    let walked = run.changes.take();
    let changes = walked.map(|walked| figures(&walked, &run.chunks, statistics.new_stored_bytes));
    let (warnings, warnings_total) = run.warnings.take();
    Ok(BackupOutcome {
        manifest,
        receipt,
        receipt_object,
        depot: depot.describe(),
        depot_index: index,
        statistics,
        warnings,
        warnings_total,
        authorized,
        epoch,
        sequence,
        started,
        finished,
        read_bytes: run.read_bytes,
        sent_bytes: statistics.new_stored_bytes,
        changes,
        partials,
    })
}

/// Exchanges rosters; a depot's failure in it counts as the depot's.
fn sync(
    retry: &Retry<'_>,
    state: &StateDir,
    request: &BackupRequest<'_>,
    depot: &dyn Depot,
) -> Result<RosterChain, BackupError> {
    let mut other = None;
    let synced =
        retry.call(|| match sync_rosters(state.path(), request.identity.repository, depot) {
            Ok(chain) => Ok(Some(chain)),
            Err(crate::StateError::Depot(error)) => Err(error),
            Err(error) => {
                other = Some(error);
                Ok(None)
            }
        })?;
    match (synced, other) {
        (Some(chain), _) => Ok(chain),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(BackupError::Thread),
    }
}

/// Whether the roster lets this agent write. One that it does not list may: its snapshots are shown as
/// *belum disahkan* until it does.
fn check_allowed(request: &BackupRequest<'_>, chain: &RosterChain) -> Result<(), BackupError> {
    let identity = request.identity;
    let key = identity.key.public();
    let refuse = |reason| Err(BackupError::NotAllowed { agent: identity.agent, reason });
    match chain.agent(&identity.agent) {
        Some(listed) if listed.status == AgentStatus::Withdrawn => {
            refuse("the roster withdrew it; enrol this server anew")
        }
        Some(listed) if listed.key != key => {
            refuse("the roster lists it with another key; enrol this server anew")
        }
        Some(listed) if listed.domain != identity.domain => refuse(
            "the roster lists it with another dedup domain; use the identity that the roster lists",
        ),
        Some(_) => Ok(()),
        None if chain.agent_by_key(&key).is_some() => {
            refuse("its key belongs to another agent of the roster")
        }
        None => Ok(()),
    }
}

fn make_session(
    request: &BackupRequest<'_>,
    chain: &RosterChain,
    key: &SessionKey,
    started: Timestamp,
) -> Result<(SessionId, Vec<u8>), BackupError> {
    let identity = request.identity;
    let roster = &chain.current().body;
    let recipients: Vec<_> = roster.recipients.iter().map(|recipient| recipient.key).collect();
    let session = Session {
        repository: identity.repository,
        agent: identity.agent,
        domain: identity.domain,
        dataset: request.dataset,
        started,
        roster_number: roster.number,
        sealed: Vec::new(),
    };
    let session = seal_session(session, key, &identity.secret, &recipients)?;
    let object = sign(&session, &identity.key);
    Ok((SessionId::from_bytes(lumbung_pack::object_id(&object)), object))
}

/// Opens the journal; where there is none, fills it from the manifests of this domain.
fn open_journal(
    retry: &Retry<'_>,
    state: &StateDir,
    request: &BackupRequest<'_>,
    depot: &dyn Depot,
    chain: &RosterChain,
) -> Result<Journal, BackupError> {
    if Journal::exists(state.path()) {
        return Ok(Journal::open(state.path())?);
    }
    let records = super::rebuild::own_packs(retry, request.identity, depot, chain)?;
    Ok(Journal::create(state.path(), &records)?)
}

/// Fills `known` with what the journal has, the depot still has, and every verifier can open; how many packs are lost.
fn load_known(
    retry: &Retry<'_>,
    depot: &dyn Depot,
    journal: &Journal,
    known: &Known,
    (request, verifiers): (&BackupRequest<'_>, &Verifiers),
) -> Result<usize, BackupError> {
    let mut packs: Vec<(PackId, u32)> = Vec::new();
    let mut committed = 0;
    journal.replay(&mut |record| {
        match record {
            Record::Pack(head) => {
                if let Ok(table) = PackTable::decode(&head) {
                    packs.push((table.id(), table.frame_count()));
                }
            }
            Record::Committed => committed = packs.len(),
            Record::Session(_) | Record::Opening(_) => {}
        }
        Ok(())
    })?;
    let protected: HashSet<PackId> = packs[..committed].iter().map(|(pack, _)| *pack).collect();
    let absent = ask_have(retry, depot, &packs)?;
    let mut lost = 0;
    let mut added = HashSet::new();
    journal.replay(&mut |record| {
        let Record::Pack(head) = record else { return Ok(()) };
        let Ok(table) = PackTable::decode(&head) else { return Ok(()) };
        let id = PackTable::id_of_head(&head);
        let identity = request.identity;
        let ours = table.header.domain == identity.domain
            && table.header.repository == identity.repository;
        let gone = absent.get(&id);
        let frames = table.frame_count();
        if gone.is_some_and(|gone| gone.count_ones() == frames) {
            lost += 1;
        } else if ours && added.insert(id) {
            let closed = verifiers.closed(&id, &table.header, frames);
            let unusable = match (gone, &closed) {
                (Some(gone), Some(closed)) => Some(&gone.or(closed)),
                (gone, closed) => gone.or(closed.as_ref()),
            };
            known.add_pack(id, &table, unusable, protected.contains(&id));
        }
        Ok(())
    })?;
    Ok(lost)
}

fn ask_have(
    retry: &Retry<'_>,
    depot: &dyn Depot,
    packs: &[(PackId, u32)],
) -> Result<HashMap<PackId, Bitmap>, BackupError> {
    let mut absent = HashMap::new();
    for batch in packs.chunks(HAVE_PACKS) {
        let asked: Vec<PackUse> = batch
            .iter()
            .map(|(pack, frames)| PackUse { pack: *pack, used: Bitmap::full(*frames) })
            .collect();
        for gone in retry.call(|| depot.have(&asked))? {
            let known = asked
                .iter()
                .any(|asked| asked.pack == gone.pack && asked.used.bits() == gone.used.bits());
            if known {
                absent.insert(gone.pack, gone.used);
            }
        }
    }
    Ok(absent)
}

/// The newest manifest of this agent and dataset in the depot, whatever the agent remembers.
pub(super) fn newest_own_manifest(
    retry: &Retry<'_>,
    request: &BackupRequest<'_>,
    depot: &dyn Depot,
) -> Result<Option<(u32, u64, ManifestId)>, BackupError> {
    let identity = request.identity;
    let key = identity.key.public();
    let mut newest = None;
    for id in retry.call(|| depot.manifests(Some(&identity.agent)))? {
        let bytes = match retry.call(|| depot.get(Kind::Manifest, id.as_bytes())) {
            Ok(bytes) => bytes,
            Err(BackupError::Depot(DepotError::NotFound { .. } | DepotError::Damaged { .. })) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let Ok(manifest) = open_signed::<lumbung_pack::Manifest>(&bytes) else { continue };
        let body = &manifest.body;
        let own = manifest.signer == key
            && body.agent == identity.agent
            && body.dataset == request.dataset;
        if own && body.repository == identity.repository && manifest.id == id {
            newest = newest.max(Some((body.epoch, body.sequence, manifest.id)));
        }
    }
    Ok(newest)
}
