//! What the snapshots need, and what is wrong with each of them once the packs are read.
//!
//! Invariants: where all is well, every session and segment is read once, however many snapshots share it; memory
//! follows the number of packs, not of snapshots times packs.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use lumbung_model::{DomainId, PackId, RepositoryId, SegmentId, SessionId, with_causes};
use lumbung_pack::{Kind, Manifest, PackUse, Session, Signed, open_signed};

use super::packs::Faults;
use super::{Damage, lasting};
use crate::Depot;
use crate::snapshot::{SnapshotError, read_object, read_segment, read_usage_list};

/// What the snapshots need.
pub(super) struct Needs<'a> {
    depot: &'a dyn Depot,
    /// The dedup domain of each session, or what is wrong with it.
    sessions: HashMap<SessionId, Result<DomainId, String>>,
    /// Repository and domain of each segment, or what is wrong with it.
    segments: HashMap<SegmentId, Result<(RepositoryId, DomainId), String>>,
    /// Each pack that is named, and the frames that it must have.
    pub(super) packs: BTreeMap<PackId, u32>,
    /// Two segments disagree on a pack's frames: a snapshot is damaged, though perhaps no pack is.
    contested: bool,
    /// Objects that were read and are whole.
    whole: HashSet<(Kind, [u8; 32])>,
}

impl<'a> Needs<'a> {
    pub(super) fn new(depot: &'a dyn Depot) -> Self {
        Self {
            depot,
            sessions: HashMap::new(),
            segments: HashMap::new(),
            packs: BTreeMap::new(),
            contested: false,
            whole: HashSet::new(),
        }
    }

    /// Takes up what a snapshot names; what is wrong with that is noted.
    pub(super) fn add(
        &mut self,
        manifest: &Signed<Manifest>,
        damage: &mut Damage,
    ) -> Result<(), SnapshotError> {
        for session in &manifest.body.sessions {
            let reason = match self.session(session)? {
                Ok(domain) if *domain == manifest.body.domain => continue,
                Ok(_) => format!("session {session} is of another dedup domain"),
                Err(reason) => reason.clone(),
            };
            damage.note(manifest.id, reason);
        }
        let usage = match read_usage_list(self.depot, &manifest.body) {
            Ok(usage) => usage,
            Err(error) => {
                damage.note(manifest.id, lasting(error)?);
                return Ok(());
            }
        };
        self.whole.insert((Kind::Usage, *manifest.body.usage.as_bytes()));
        for line in &usage.segments {
            let reason = match self.segment(&line.segment)? {
                Ok(of) if *of == (manifest.body.repository, manifest.body.domain) => continue,
                Ok(_) => format!("segment {} is of another dedup domain", line.segment),
                Err(reason) => reason.clone(),
            };
            damage.note(manifest.id, reason);
        }
        Ok(())
    }

    fn session(&mut self, id: &SessionId) -> Result<&Result<DomainId, String>, SnapshotError> {
        if !self.sessions.contains_key(id) {
            let found = match read_object(self.depot, Kind::Session, id.as_bytes()) {
                Ok(bytes) => {
                    self.whole.insert((Kind::Session, *id.as_bytes()));
                    open_signed::<Session>(&bytes)
                        .map(|session| session.body.domain)
                        .map_err(|error| format!("session {id}: {}", with_causes(&error)))
                }
                Err(error) => Err(lasting(error)?),
            };
            self.sessions.insert(*id, found);
        }
        Ok(&self.sessions[id])
    }

    /// Reads a segment that is new, and takes up its packs.
    fn segment(
        &mut self,
        id: &SegmentId,
    ) -> Result<&Result<(RepositoryId, DomainId), String>, SnapshotError> {
        if !self.segments.contains_key(id) {
            let found = match read_segment(self.depot, id) {
                Ok(segment) => {
                    self.whole.insert((Kind::Segment, *id.as_bytes()));
                    segment.packs.iter().for_each(|pack| self.name(pack));
                    Ok((segment.repository, segment.domain))
                }
                Err(error) => Err(lasting(error)?),
            };
            self.segments.insert(*id, found);
        }
        Ok(&self.segments[id])
    }

    fn name(&mut self, pack: &PackUse) {
        match self.packs.entry(pack.pack) {
            Entry::Vacant(entry) => {
                entry.insert(pack.used.bits());
            }
            Entry::Occupied(entry) => self.contested |= *entry.get() != pack.used.bits(),
        }
    }

    /// Notes which of the snapshots need what was found to be bad. Nothing is read where all is well.
    pub(super) fn judge(
        &self,
        manifests: &[Signed<Manifest>],
        faults: &HashMap<PackId, Faults>,
        damage: &mut Damage,
    ) {
        if faults.is_empty() && !self.contested {
            return;
        }
        let mut judged: HashMap<SegmentId, Rc<[String]>> = HashMap::new();
        for manifest in manifests {
            // One that cannot be read was noted before.
            let Ok(usage) = read_usage_list(self.depot, &manifest.body) else { continue };
            for line in &usage.segments {
                let reasons = judged
                    .entry(line.segment)
                    .or_insert_with(|| self.reasons(&line.segment, faults).into());
                reasons.iter().for_each(|reason| damage.note(manifest.id, reason.clone()));
            }
        }
    }

    /// What is wrong with the packs and frames that a segment names.
    fn reasons(&self, id: &SegmentId, faults: &HashMap<PackId, Faults>) -> Vec<String> {
        let Ok(segment) = read_segment(self.depot, id) else { return Vec::new() };
        let mut reasons = Vec::new();
        for pack in &segment.packs {
            let faults = faults.get(&pack.pack);
            let frames = faults.and_then(|faults| faults.frames);
            let frames = frames.or_else(|| self.packs.get(&pack.pack).copied());
            if frames.is_some_and(|frames| frames != pack.used.bits()) {
                let named = pack.used.bits();
                reasons.push(format!(
                    "segment {id} names {named} frames of pack {}, which has another number",
                    pack.pack
                ));
            }
            reasons.extend(faults.into_iter().flat_map(|faults| faults.of(&pack.used)).cloned());
        }
        reasons
    }

    /// Objects that no snapshot needs are at least what their names say. What was read before is not read again.
    pub(super) fn check_objects(&self, findings: &mut Vec<String>) -> Result<(), SnapshotError> {
        for kind in [
            Kind::Session,
            Kind::Segment,
            Kind::Usage,
            Kind::Receipt,
            Kind::Inventory,
            Kind::Scrub,
            Kind::Proof,
            Kind::Grant,
            Kind::Revocation,
            Kind::Wrap,
            Kind::StandingApproval,
            Kind::Opening,
        ] {
            for id in self.depot.list(kind)? {
                if self.whole.contains(&(kind, id)) {
                    continue;
                }
                if let Err(error) = read_object(self.depot, kind, &id) {
                    lasting(error)?;
                    let id = crate::depot::hex(&id);
                    findings.push(format!("{} {id} is damaged", kind.name()));
                }
            }
        }
        Ok(())
    }
}
