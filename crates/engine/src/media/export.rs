//! Carries a plan out: packs, then what names them, then the manifest, snapshot by snapshot; the list at the end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lumbung_model::{ManifestId, MediumListId, PackId, SiteId, Timestamp};
use lumbung_pack::limits::MEDIUM_MAX_BASES;
use lumbung_pack::{
    Bitmap, Kind, MediumBase, MediumList, MediumObjects, MediumSnapshot, PackUse, RosterChain,
    Signed, SigningKey, sign,
};
use lumbung_store::medium::Space;
use lumbung_store::{MediumDir, RepositoryDir};

use super::copies::Copies;
use super::plan::{ExportPlan, Item, PackItem, Step, fetch};
use super::{LeftOut, MediaError, is_about_one};
use crate::snapshot::read_head;
use crate::{Cancel, Depot, DepotError, Progress, Total};

/// Packs under way at once: reading over a line and writing to a disk overlap.
const THREADS: usize = 4;

/// What the list says of the medium and of where its content comes from.
#[derive(Debug, Clone, Default)]
pub struct MediumFacts {
    /// Its maker's serial number.
    pub serial: String,
    /// Who keeps it.
    pub custodian: String,
    /// Where it is kept.
    pub place: String,
    /// Where its content comes from, in words.
    pub origin: String,
    /// The site whose copy it is; zero for a directory.
    pub site: Option<SiteId>,
}

/// An export.
pub struct ExportRequest<'a> {
    /// What is to be done.
    pub plan: &'a ExportPlan,
    /// The depot that it was planned for.
    pub source: &'a dyn Depot,
    /// The rosters of both sides, together.
    pub chain: &'a RosterChain,
    /// The medium, locked.
    pub medium: &'a MediumDir,
    /// The list that the plan goes on from.
    pub before: Option<&'a MediumList>,
    /// The lists whose packs are left out.
    pub bases: &'a [Signed<MediumList>],
    /// Number and predecessor of the new list.
    pub next: (u64, MediumListId),
    /// What the list says of the medium.
    pub facts: MediumFacts,
    /// Whose word the list is.
    pub signer: &'a SigningKey,
    /// Whether to bring as much as fits.
    pub fill: bool,
    /// When it is.
    pub now: Timestamp,
    /// Told of bytes written.
    pub progress: &'a dyn Progress,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Snapshots.
    pub snapshots: u64,
    /// Bytes of packs and other objects.
    pub bytes: u64,
}

/// What an export came to.
#[derive(Debug, Clone)]
pub struct ExportOutcome {
    /// The new list.
    pub list: MediumListId,
    /// As written.
    pub list_bytes: Vec<u8>,
    /// What it says.
    pub body: MediumList,
    /// Objects that were copied.
    pub objects: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// What did not fit.
    pub remaining: Remaining,
    /// Snapshots that the source did not give, beyond those of the plan.
    pub left_out: Vec<LeftOut>,
}

/// Why copying stopped early.
enum Halt {
    /// The space that there is, is used.
    Full,
    Error(MediaError),
}

impl From<MediaError> for Halt {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Depot(DepotError::Full { .. }) => Self::Full,
            error => Self::Error(error),
        }
    }
}

impl From<DepotError> for Halt {
    fn from(error: DepotError) -> Self {
        MediaError::from(error).into()
    }
}

/// The names and bytes of a kind.
#[derive(Default)]
struct Named {
    ids: BTreeSet<[u8; 32]>,
    bytes: u64,
}

struct Exporter<'a> {
    request: &'a ExportRequest<'a>,
    copies: Copies,
    directory: RepositoryDir,
    budget: Mutex<u64>,
    space: Space,
    named: BTreeMap<Kind, Named>,
    objects: u64,
    bytes: u64,
    done: BTreeMap<ManifestId, MediumSnapshot>,
    left_out: Vec<LeftOut>,
}

/// Carries out an export.
///
/// # Errors
/// [`MediaError::NoSpace`] before anything is written, unless asked to fill the medium.
pub fn export(request: &ExportRequest<'_>) -> Result<ExportOutcome, MediaError> {
    let (medium, plan) = (request.medium, request.plan);
    let space = medium.space()?;
    if !plan.fits(space) && !request.fill {
        let (needed, path) = (plan.space_needed, medium.path().to_owned());
        return Err(MediaError::NoSpace { needed, free: space.free, path });
    }
    let repository = request.chain.repository();
    let directory = medium.create_repository(&repository)?;
    let elsewhere: HashSet<PackId> = packs_of(request.bases);
    request.progress.total(Total { files: plan.steps.len() as u64, bytes: plan.bytes });
    let mut exporter = Exporter {
        request,
        copies: Copies::new(directory.clone(), request.chain.clone(), elsewhere),
        directory,
        budget: Mutex::new(space.free.saturating_sub(plan.list_space)),
        space,
        named: named_before(request.before),
        objects: 0,
        bytes: 0,
        done: plan.kept.iter().map(|snapshot| (snapshot.manifest, *snapshot)).collect(),
        left_out: Vec::new(),
    };
    let remaining = exporter.run()?;
    exporter.finish(remaining)
}

fn packs_of(lists: &[Signed<MediumList>]) -> HashSet<PackId> {
    let ids = lists.iter().flat_map(|list| list.body.ids(Kind::Pack));
    ids.map(|id| PackId::from_bytes(*id)).collect()
}

fn named_before(before: Option<&MediumList>) -> BTreeMap<Kind, Named> {
    let objects = before.iter().flat_map(|before| &before.objects);
    objects
        .map(|objects| {
            let ids = objects.ids.iter().copied().collect();
            (objects.kind, Named { ids, bytes: objects.bytes })
        })
        .collect()
}

impl Exporter<'_> {
    fn run(&mut self) -> Result<Remaining, MediaError> {
        let plan = self.request.plan;
        match self.items(&plan.rosters) {
            Ok(()) => {}
            Err(Halt::Full) if self.request.fill => return Ok(self.remaining(&plan.steps)),
            Err(Halt::Full) => return Err(self.full()),
            Err(Halt::Error(error)) => return Err(error),
        }
        for (number, step) in plan.steps.iter().enumerate() {
            match self.step(step) {
                Ok(()) => {}
                Err(Halt::Full) if self.request.fill => {
                    return Ok(self.remaining(&plan.steps[number..]));
                }
                Err(Halt::Full) => return Err(self.full()),
                Err(Halt::Error(error)) if is_about_one(&error) => {
                    self.left_out.push(LeftOut::snapshot(&step.snapshot.manifest, &error));
                }
                Err(Halt::Error(error)) => return Err(error),
            }
            self.request.progress.files(1);
        }
        for snapshot in &plan.kept {
            // What was said of it since it was copied.
            let words = plan.words.get(&snapshot.manifest).map_or(&[][..], Vec::as_slice);
            match self.items(words) {
                Ok(()) => {}
                Err(Halt::Full) => return Err(self.full()),
                Err(Halt::Error(error)) => return Err(error),
            }
        }
        Ok(Remaining::default())
    }

    fn full(&self) -> MediaError {
        let depot = self.request.medium.path().display().to_string();
        DepotError::Full { depot }.into()
    }

    fn remaining(&self, steps: &[Step]) -> Remaining {
        let mut left = Remaining { snapshots: steps.len() as u64, bytes: 0 };
        for step in steps {
            let items = step.items.iter().filter(|item| !self.is_named(item.kind, &item.id));
            let packs =
                step.packs.iter().filter(|pack| !self.is_named(Kind::Pack, pack.id.as_bytes()));
            let bytes = items.map(|item| item.bytes).chain(packs.map(|pack| pack.bytes));
            left.bytes = bytes.fold(left.bytes, u64::saturating_add);
        }
        left
    }

    fn is_named(&self, kind: Kind, id: &[u8; 32]) -> bool {
        self.named.get(&kind).is_some_and(|named| named.ids.contains(id))
    }

    fn name(&mut self, kind: Kind, id: &[u8; 32], bytes: u64, copied: bool) {
        if copied {
            self.objects += 1;
            self.bytes += bytes;
        }
        if kind == Kind::Manifest {
            return;
        }
        let named = self.named.entry(kind).or_default();
        if named.ids.insert(*id) {
            named.bytes = named.bytes.saturating_add(bytes);
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Halt> {
        let manifest = *step.snapshot.manifest.as_bytes();
        let is = |kind: Kind| move |item: &&Item| item.kind == kind;
        let sessions: Vec<Item> = step.items.iter().filter(is(Kind::Session)).cloned().collect();
        self.items(&sessions)?;
        self.packs(&step.packs)?;
        let others = |item: &&Item| !matches!(item.kind, Kind::Session | Kind::Manifest);
        let others: Vec<Item> = step.items.iter().filter(others).cloned().collect();
        self.items(&others)?;
        let bytes = fetch(self.request.source, Kind::Manifest, &manifest)?;
        self.take(bytes.len() as u64)?;
        let there = step.items.iter().any(|item| item.kind == Kind::Manifest && item.there);
        self.copies.commit(&step.snapshot.manifest, &bytes)?;
        self.name(Kind::Manifest, &manifest, bytes.len() as u64, !there);
        self.done.insert(step.snapshot.manifest, step.snapshot);
        let words = self.request.plan.words.get(&step.snapshot.manifest);
        self.items(words.map_or(&[], Vec::as_slice))
    }

    /// Takes space for a file; fails if there is none.
    fn take(&self, bytes: u64) -> Result<(), Halt> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        *budget = budget.checked_sub(self.space.taken_by(bytes)).ok_or(Halt::Full)?;
        Ok(())
    }

    fn items(&mut self, items: &[Item]) -> Result<(), Halt> {
        for item in items {
            if self.request.cancel.is_cancelled() {
                return Err(MediaError::Cancelled.into());
            }
            if !item.there {
                self.take(item.bytes)?;
                let bytes = match item.kind {
                    // The caller's chain may know more than the source does.
                    Kind::Roster => self.roster(&item.id)?,
                    kind => fetch(self.request.source, kind, &item.id)?,
                };
                self.copies.put(item.kind, &item.id, &bytes)?;
                self.request.progress.bytes(item.bytes);
            }
            self.name(item.kind, &item.id, item.bytes, !item.there);
        }
        Ok(())
    }

    fn roster(&self, id: &[u8; 32]) -> Result<Vec<u8>, MediaError> {
        let objects = self.request.chain.objects();
        match objects.iter().find(|object| lumbung_pack::object_id(object) == *id) {
            Some(object) => Ok(object.clone()),
            None => Ok(fetch(self.request.source, Kind::Roster, id)?),
        }
    }

    /// Copies packs, several at once. What came stays named when one fails.
    fn packs(&mut self, packs: &[PackItem]) -> Result<(), Halt> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<&PackItem>> = Mutex::default();
        let this = &*self;
        let work = || -> Result<(), Halt> {
            while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if this.request.cancel.is_cancelled() {
                    return Err(MediaError::Cancelled.into());
                }
                if !pack.there {
                    this.take(pack.bytes)?;
                    this.pack(pack)?;
                }
                done.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
            }
            Ok(())
        };
        let results: Vec<Result<(), Halt>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS.min(packs.len())).map(|_| scope.spawn(work)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|_| Err(MediaError::Thread.into()))
            };
            threads.into_iter().map(join).collect()
        });
        for pack in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.name(Kind::Pack, pack.id.as_bytes(), pack.bytes, !pack.there);
        }
        // A full disk is no reason to hide another fault.
        let mut full = Ok(());
        for result in results {
            match result {
                Err(Halt::Full) => full = Err(Halt::Full),
                other => other?,
            }
        }
        full
    }

    fn pack(&self, pack: &PackItem) -> Result<(), MediaError> {
        let source = self.request.source;
        let all = PackUse { pack: pack.id, used: Bitmap::new(pack.frames) };
        copy_pack(source, &self.copies, Some(&self.directory), &all)?;
        self.request.progress.bytes(pack.bytes);
        self.request.progress.new_bytes(pack.bytes);
        Ok(())
    }

    fn finish(self, remaining: Remaining) -> Result<ExportOutcome, MediaError> {
        let request = self.request;
        let objects = self.named.into_iter().filter(|(_, named)| !named.ids.is_empty());
        let mut objects: Vec<MediumObjects> = objects
            .map(|(kind, named)| MediumObjects {
                kind,
                bytes: named.bytes,
                ids: named.ids.into_iter().collect(),
            })
            .collect();
        objects.sort_by_key(|objects| objects.kind.code());
        let (number, previous) = request.next;
        let MediumFacts { serial, custodian, place, origin, site } = request.facts.clone();
        let body = MediumList {
            repository: request.chain.repository(),
            medium: request.medium.id(),
            number,
            previous,
            made: request.now,
            site: site.unwrap_or(SiteId::ZERO),
            origin,
            label: request.medium.label().to_owned(),
            serial,
            custodian,
            place,
            roster_number: request.chain.current().body.number,
            bases: bases(request),
            snapshots: self.done.into_values().collect(),
            objects,
        };
        let list_bytes = sign(&body, request.signer);
        let list = request.medium.put_list(&list_bytes)?;
        let (objects, bytes, left_out) = (self.objects, self.bytes, self.left_out);
        Ok(ExportOutcome { list, list_bytes, body, objects, bytes, remaining, left_out })
    }
}

/// Every list on which this medium rests.
fn bases(request: &ExportRequest<'_>) -> Vec<MediumBase> {
    let new = request.bases.iter().map(|base| MediumBase {
        list: base.id,
        medium: base.body.medium,
        label: base.body.label.clone(),
    });
    let before = request.before.iter().flat_map(|before| before.bases.iter().cloned());
    let all: BTreeMap<MediumListId, MediumBase> =
        before.chain(new).map(|base| (base.list, base)).collect();
    all.into_values().take(MEDIUM_MAX_BASES).collect()
}

/// Copies one pack. Frames that the source dropped stay away where the target keeps count of that; any other that does
/// not match is the source's fault and is said to be.
pub(super) fn copy_pack(
    source: &dyn Depot,
    target: &dyn Depot,
    partial: Option<&RepositoryDir>,
    pack: &PackUse,
) -> Result<u64, MediaError> {
    let id = &pack.pack;
    let table = read_head(source, pack)?;
    let head = Bytes::from(table.encode());
    let whole = head.len() as u64..table.total_length();
    let mut bad = Bitmap::new(pack.used.bits());
    let mut pieces = Vec::with_capacity(table.frames.len());
    // A vault does not give a range over frames that it dropped.
    let together = source.read_pack(id, whole.clone()).map(Bytes::from);
    for number in 0..table.frames.len() {
        let range = table.frame_range(number);
        let piece = match &together {
            Ok(body) => {
                let at = |n: u64| usize::try_from(n - whole.start).unwrap_or(usize::MAX);
                let there = at(range.end) <= body.len();
                if there { body.slice(at(range.start)..at(range.end)) } else { Bytes::new() }
            }
            Err(error) if error.is_transient() => source.read_pack(id, range)?.into(),
            Err(_) => source.read_pack(id, range).map(Bytes::from).unwrap_or_default(),
        };
        if table.verify_frame(number, &piece).is_err() {
            bad.set(u32::try_from(number).unwrap_or(u32::MAX));
        }
        pieces.push(piece);
    }
    if bad.count_ones() == 0 {
        target.put_pack(id, &head, &pieces)?;
        return Ok(table.total_length());
    }
    let dropped = dropped(source, pack)?;
    let damaged = bad.iter_ones().find(|frame| !dropped.as_ref().is_some_and(|d| d.get(*frame)));
    let (Some(directory), None) = (partial, damaged) else {
        let frame = damaged.or_else(|| bad.iter_ones().next()).unwrap_or_default() as usize;
        let reason = lumbung_pack::FormatError::Frame(frame);
        let (kind, id, depot) = (Kind::Pack, *id.as_bytes(), source.describe());
        return Err(DepotError::Damaged { kind, id, depot, source: Some(reason.into()) }.into());
    };
    let mut writer = directory.partial_pack_writer(id, &table)?;
    let good = pieces
        .iter()
        .enumerate()
        .filter(|(number, _)| u32::try_from(*number).is_ok_and(|number| !bad.get(number)));
    for (number, piece) in good {
        writer.write_frame(number, piece)?;
    }
    writer.finish(&table.no_frames())?;
    Ok(table.total_length())
}

/// Frames of a pack that a depot says it does not have; nothing if it has all.
fn dropped(depot: &dyn Depot, pack: &PackUse) -> Result<Option<Bitmap>, DepotError> {
    let asked = PackUse { pack: pack.pack, used: Bitmap::full(pack.used.bits()) };
    let absent = depot.have(std::slice::from_ref(&asked))?;
    Ok(absent.into_iter().find(|gone| gone.pack == pack.pack).map(|gone| gone.used))
}
