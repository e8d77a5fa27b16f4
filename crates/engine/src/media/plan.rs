//! What an export has to bring to a medium, and whether it fits: computed before the first byte is written.
//!
//! Invariant: every object is in one step only, the first one that needs it, so that the steps in their order leave
//! whole snapshots behind wherever the space ends.

use std::collections::{BTreeMap, HashMap, HashSet};

use lumbung_model::{ManifestId, PackId};
use lumbung_pack::{
    Bitmap, Kind, Manifest, MediumList, MediumSnapshot, PackUse, Proof, Receipt, RosterChain,
    Segment, Signed, UsageList, decode, object_id, open_signed,
};
use lumbung_store::medium::Space;
use lumbung_store::{RepositoryDir, StoreError};

use super::{LeftOut, MediaError, is_about_one};
use crate::snapshot::{read_head, read_manifest};
use crate::{Cancel, Depot, DepotError, Progress, Total};

/// What is to be planned.
pub struct PlanRequest<'a> {
    /// The depot to export.
    pub source: &'a dyn Depot,
    /// Its rosters.
    pub chain: &'a RosterChain,
    /// The repository on the medium, if it is there already.
    pub target: Option<&'a RepositoryDir>,
    /// The medium's newest list of this repository, if it is entitled.
    pub before: Option<&'a MediumList>,
    /// Lists of other media: their packs are left out.
    pub bases: &'a [Signed<MediumList>],
    /// Only these snapshots; all if none are named.
    pub only: Option<&'a [ManifestId]>,
    /// Whether what is on the medium is read again, and what is damaged written anew.
    pub repair: bool,
    /// What the medium has left.
    pub space: Space,
    /// Told of packs looked at.
    pub progress: &'a dyn Progress,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// A small object to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) id: [u8; 32],
    pub(super) bytes: u64,
    /// Whether it is on the medium already.
    pub(super) there: bool,
}

/// A pack to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackItem {
    pub(super) id: PackId,
    pub(super) frames: u32,
    pub(super) bytes: u64,
    pub(super) there: bool,
}

/// One snapshot: what it adds to the steps before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) snapshot: MediumSnapshot,
    pub(super) items: Vec<Item>,
    pub(super) packs: Vec<PackItem>,
}

/// What an export will do.
#[derive(Debug, Clone, Default)]
pub struct ExportPlan {
    pub(super) rosters: Vec<Item>,
    pub(super) steps: Vec<Step>,
    /// Receipts and proofs, by the snapshot that they speak of.
    pub(super) words: BTreeMap<ManifestId, Vec<Item>>,
    /// Snapshots of the list before that stay as they are.
    pub(super) kept: Vec<MediumSnapshot>,
    /// Objects that the list before names and that are not on the medium any more.
    pub lost: u64,
    /// Snapshots that the source does not give.
    pub left_out: Vec<LeftOut>,
    /// Bytes to copy.
    pub bytes: u64,
    /// What they take on the medium, the list included.
    pub space_needed: u64,
    /// What the list will take.
    pub(super) list_space: u64,
    /// Objects to copy.
    pub objects: u64,
    /// Snapshots that are new on the medium.
    pub snapshots: u64,
}

impl ExportPlan {
    /// Whether all of it fits.
    #[must_use]
    pub const fn fits(&self, space: Space) -> bool {
        self.space_needed <= space.free
    }
}

struct Planner<'a> {
    request: &'a PlanRequest<'a>,
    /// Names on the medium.
    there: HashMap<Kind, HashSet<[u8; 32]>>,
    /// Packs of the bases.
    elsewhere: HashSet<PackId>,
    small: HashSet<(Kind, [u8; 32])>,
    /// Packs looked at, and whether they will be on this medium.
    packs: HashMap<PackId, bool>,
    /// Segments looked at, and whether all of their packs will be.
    segments: HashMap<[u8; 32], bool>,
    plan: ExportPlan,
}

/// Plans an export.
///
/// # Errors
/// If one of the two sides cannot be read.
pub fn plan(request: &PlanRequest<'_>) -> Result<ExportPlan, MediaError> {
    let mut planner = Planner::new(request)?;
    planner.rosters()?;
    planner.wraps()?;
    planner.lost();
    let manifests = planner.manifests()?;
    request.progress.total(Total { files: manifests.len() as u64, bytes: 0 });
    for manifest in &manifests {
        if request.cancel.is_cancelled() {
            return Err(MediaError::Cancelled);
        }
        match planner.step(manifest) {
            Ok(step) => planner.plan.steps.push(step),
            Err(error) if is_about_one(&error) => {
                planner.plan.left_out.push(LeftOut::snapshot(&manifest.id, &error));
            }
            Err(error) => return Err(error),
        }
        request.progress.files(1);
    }
    planner
        .words(Kind::Receipt, |bytes| Some(open_signed::<Receipt>(bytes).ok()?.body.manifest))?;
    planner.words(Kind::Proof, |bytes| Some(open_signed::<Proof>(bytes).ok()?.body.manifest))?;
    Ok(planner.finish())
}

impl<'a> Planner<'a> {
    fn new(request: &'a PlanRequest<'a>) -> Result<Self, MediaError> {
        let mut there = HashMap::new();
        if let Some(target) = request.target {
            for kind in Kind::REPOSITORY {
                there.insert(kind, target.list(kind)?.into_iter().collect());
            }
        }
        let packs = request.bases.iter().flat_map(|base| base.body.ids(Kind::Pack));
        Ok(Self {
            request,
            there,
            elsewhere: packs.map(|id| PackId::from_bytes(*id)).collect(),
            small: HashSet::new(),
            packs: HashMap::new(),
            segments: HashMap::new(),
            plan: ExportPlan::default(),
        })
    }

    fn is_named(&self, kind: Kind, id: &[u8; 32]) -> bool {
        self.there.get(&kind).is_some_and(|names| names.contains(id))
    }

    fn rosters(&mut self) -> Result<(), MediaError> {
        for object in self.request.chain.objects() {
            let id = object_id(object);
            let bytes = object.len() as u64;
            let there = self.is_named(Kind::Roster, &id);
            self.plan.rosters.push(Item { kind: Kind::Roster, id, bytes, there });
        }
        Ok(())
    }

    /// All wraps: whoever restores from the medium may have come after the sessions on it.
    fn wraps(&mut self) -> Result<(), MediaError> {
        let mut items = Vec::new();
        for id in self.request.source.list(Kind::Wrap)? {
            self.small(Kind::Wrap, &id, &mut items)?;
        }
        self.plan.rosters.extend(items);
        Ok(())
    }

    /// Counts what the list before names and is gone: then everything is looked at again.
    fn lost(&mut self) {
        let Some(before) = self.request.before else { return };
        let named = before
            .objects
            .iter()
            .flat_map(|objects| objects.ids.iter().map(|id| (objects.kind, *id)))
            .chain(before.snapshots.iter().map(|one| (Kind::Manifest, *one.manifest.as_bytes())));
        let gone = named.filter(|(kind, id)| !self.is_named(*kind, id)).count();
        self.plan.lost = gone as u64;
    }

    /// The manifests to bring, each after the one that it follows.
    fn manifests(&mut self) -> Result<Vec<Signed<Manifest>>, MediaError> {
        let request = self.request;
        let again = request.repair || self.plan.lost > 0;
        let mut chosen = Vec::new();
        let mut at_source = HashSet::new();
        for id in request.source.manifests(None)? {
            at_source.insert(id);
            let listed = request.before.and_then(|before| before.snapshot(&id));
            if let Some(listed) = listed.filter(|_| !again) {
                self.plan.kept.push(*listed);
                continue;
            }
            let in_base = || request.bases.iter().any(|base| base.body.snapshot(&id).is_some());
            let wanted = match request.only {
                Some(only) => only.contains(&id) || listed.is_some(),
                None => listed.is_some() || !in_base(),
            };
            if !wanted {
                continue;
            }
            match read_manifest(request.source, request.chain, &id).map_err(MediaError::from) {
                Ok(manifest) => chosen.push(manifest),
                Err(error) if is_about_one(&error) => {
                    self.plan.left_out.push(LeftOut::snapshot(&id, &error));
                }
                Err(error) => return Err(error),
            }
        }
        // What the source has given up stays on the medium.
        let before = request.before.iter().flat_map(|before| &before.snapshots);
        let kept = before.filter(|one| !at_source.contains(&one.manifest));
        self.plan.kept.extend(kept.copied());
        chosen.sort_by_key(|manifest| {
            let body = &manifest.body;
            (body.dataset, body.agent, body.epoch, body.sequence, manifest.id)
        });
        Ok(chosen)
    }

    fn step(&mut self, manifest: &Signed<Manifest>) -> Result<Step, MediaError> {
        let body = &manifest.body;
        let mut items = Vec::new();
        for session in &body.sessions {
            self.small(Kind::Session, session.as_bytes(), &mut items)?;
        }
        let usage = self.small(Kind::Usage, body.usage.as_bytes(), &mut items)?;
        let (usage, _) = decode::<UsageList>(&usage).map_err(|source| MediaError::Object {
            what: format!("usage list {}", body.usage),
            source,
        })?;
        let mut packs = Vec::new();
        let mut alone = true;
        for reference in &usage.segments {
            alone &= self.segment(reference.segment.as_bytes(), &mut items, &mut packs)?;
        }
        let bytes =
            usage.segments.iter().fold(0, |sum: u64, one| sum.saturating_add(one.stored_bytes));
        let id = *manifest.id.as_bytes();
        let there = self.is_named(Kind::Manifest, &id);
        let length = self.request.source.get(Kind::Manifest, &id)?.len() as u64;
        items.push(Item { kind: Kind::Manifest, id, bytes: length, there });
        let snapshot = MediumSnapshot { manifest: manifest.id, bytes, alone };
        Ok(Step { snapshot, items, packs })
    }

    /// Plans the packs of a segment that no step has yet. Whether all of them will be on this medium.
    fn segment(
        &mut self,
        id: &[u8; 32],
        items: &mut Vec<Item>,
        packs: &mut Vec<PackItem>,
    ) -> Result<bool, MediaError> {
        if let Some(alone) = self.segments.get(id) {
            return Ok(*alone);
        }
        let bytes = self.small(Kind::Segment, id, items)?;
        let (segment, _) = decode::<Segment>(&bytes)
            .map_err(|source| MediaError::Object { what: "a segment".to_owned(), source })?;
        let mut alone = true;
        for pack in &segment.packs {
            let here = match self.packs.get(&pack.pack) {
                Some(here) => *here,
                None => {
                    let found = self.pack(pack)?;
                    self.packs.insert(pack.pack, found.is_some());
                    let here = found.is_some();
                    packs.extend(found);
                    here
                }
            };
            alone &= here;
        }
        self.segments.insert(*id, alone);
        Ok(alone)
    }

    /// What is to be done about a pack; nothing if another medium holds it.
    fn pack(&self, pack: &PackUse) -> Result<Option<PackItem>, MediaError> {
        let item =
            |bytes, there| PackItem { id: pack.pack, frames: pack.used.bits(), bytes, there };
        if self.is_named(Kind::Pack, pack.pack.as_bytes())
            && let Some(target) = self.request.target
            && let Some((length, lacking)) = whole(target, &pack.pack, self.request.repair)?
            && (lacking.is_none() || self.lacks_too(pack, lacking.as_ref())?)
        {
            return Ok(Some(item(length, true)));
        }
        if self.elsewhere.contains(&pack.pack) {
            return Ok(None);
        }
        let all = PackUse { pack: pack.pack, used: Bitmap::new(pack.used.bits()) };
        let length = read_head(self.request.source, &all)?.total_length();
        Ok(Some(item(length, false)))
    }

    /// Whether the source lacks all the frames that the medium lacks.
    fn lacks_too(&self, pack: &PackUse, lacking: Option<&Bitmap>) -> Result<bool, MediaError> {
        let Some(lacking) = lacking else { return Ok(true) };
        let asked = PackUse { pack: pack.pack, used: lacking.clone() };
        let absent = self.request.source.have(std::slice::from_ref(&asked))?;
        let gone = absent.iter().map(|gone| gone.used.count_ones()).sum::<u32>();
        Ok(gone == lacking.count_ones())
    }

    /// An object's bytes, from the medium or the source; planned if no step has it yet.
    fn small(
        &mut self,
        kind: Kind,
        id: &[u8; 32],
        items: &mut Vec<Item>,
    ) -> Result<Vec<u8>, MediaError> {
        let on_medium = match self.request.target {
            Some(target) if self.is_named(kind, id) => match target.get(kind, id) {
                Ok(bytes) => Some(bytes),
                Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            _ => None,
        };
        let there = on_medium.is_some();
        let bytes = match on_medium {
            Some(bytes) => bytes,
            None => fetch(self.request.source, kind, id)?,
        };
        if self.small.insert((kind, *id)) {
            items.push(Item { kind, id: *id, bytes: bytes.len() as u64, there });
        }
        Ok(bytes)
    }

    /// Receipts or proofs of the snapshots that will be on the medium.
    fn words(
        &mut self,
        kind: Kind,
        about: impl Fn(&[u8]) -> Option<ManifestId>,
    ) -> Result<(), MediaError> {
        let steps = self.plan.steps.iter().map(|step| step.snapshot.manifest);
        let kept = self.plan.kept.iter().map(|snapshot| snapshot.manifest);
        let wanted: HashSet<ManifestId> = steps.chain(kept).collect();
        for id in self.request.source.list(kind)? {
            if self.is_named(kind, &id)
                && self.request.before.is_some_and(|before| before.names(kind, &id))
                && !self.request.repair
            {
                continue;
            }
            let bytes = match fetch(self.request.source, kind, &id).map_err(MediaError::from) {
                Ok(bytes) => bytes,
                Err(error) if is_about_one(&error) => {
                    let reason = lumbung_model::with_causes(&error);
                    self.plan.left_out.push(LeftOut { snapshot: None, reason });
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(manifest) = about(&bytes).filter(|manifest| wanted.contains(manifest)) else {
                continue;
            };
            let there = self.request.target.is_some_and(|target| target.get(kind, &id).is_ok());
            let item = Item { kind, id, bytes: bytes.len() as u64, there };
            self.plan.words.entry(manifest).or_default().push(item);
        }
        Ok(())
    }

    fn finish(self) -> ExportPlan {
        let (request, mut plan) = (self.request, self.plan);
        let space = request.space;
        let mut count = |bytes: u64, there: bool| {
            if !there {
                plan.bytes = plan.bytes.saturating_add(bytes);
                plan.space_needed = plan.space_needed.saturating_add(space.taken_by(bytes));
                plan.objects += 1;
            }
        };
        let mut names = 0_u64;
        let items = plan.steps.iter().flat_map(|step| &step.items);
        for item in plan.rosters.iter().chain(items).chain(plan.words.values().flatten()) {
            count(item.bytes, item.there);
            names += 1;
        }
        for pack in plan.steps.iter().flat_map(|step| &step.packs) {
            count(pack.bytes, pack.there);
            names += 1;
        }
        let before = request.before.map_or(0, |before| {
            before.objects.iter().map(|objects| objects.ids.len() as u64).sum::<u64>()
        });
        // 41 bytes a snapshot, 32 any other name; a generous head.
        let list = 41 * (names + before + plan.kept.len() as u64) + (16 << 10);
        plan.list_space = space.taken_by(list);
        plan.space_needed = plan.space_needed.saturating_add(plan.list_space);
        let fresh = |step: &&Step| {
            request.before.is_none_or(|before| before.snapshot(&step.snapshot.manifest).is_none())
        };
        plan.snapshots = plan.steps.iter().filter(fresh).count() as u64;
        plan
    }
}

/// The length of a pack that is unharmed on the medium, as its table says or, where `read`, as every frame shows;
/// and the frames that were dropped before it came here.
fn whole(
    target: &RepositoryDir,
    id: &PackId,
    read: bool,
) -> Result<Option<(u64, Option<Bitmap>)>, MediaError> {
    let look = || {
        let file = target.open_pack(id)?;
        let table = file.head()?;
        if table.total_length() != file.length() {
            return Ok(None);
        }
        let present = target.presence(id, &table)?;
        let frames = table.frame_count();
        let here = |frame: &u32| present.as_ref().is_none_or(|present| present.get(*frame));
        for frame in (0..frames).filter(|frame| read && here(frame)) {
            file.read_frame(&table, frame as usize)?;
        }
        let lacking = present.map(|present| Bitmap::full(frames).minus(&present));
        Ok(Some((file.length(), lacking)))
    };
    match look() {
        Ok(found) => Ok(found),
        Err(
            StoreError::NotFound { .. }
            | StoreError::Damaged { .. }
            | StoreError::Frame { .. }
            | StoreError::Range { .. },
        ) => Ok(None),
        // What the disk cannot read is written anew, if it can.
        Err(StoreError::Io { action: "read", .. }) if read => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An object of the source, checked against its id.
pub(super) fn fetch(source: &dyn Depot, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
    let bytes = source.get(kind, id)?;
    if object_id(&bytes) == *id {
        return Ok(bytes);
    }
    Err(DepotError::Damaged { kind, id: *id, depot: source.describe(), source: None })
}
