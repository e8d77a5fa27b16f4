//! The end of a pass: which snapshots were read whole, and which miss something.
//!
//! Invariants: every manifest, session, usage list and segment that is judged by is read here, and so in this pass;
//! a snapshot that was taken away meanwhile is neither verified nor damaged; one that came after the pass began is
//! verified if all that it needs was read, and never damaged for what the pass had passed by.

use std::collections::{BTreeMap, HashMap};

use lumbung_model::{ManifestId, PackId, SegmentId, SessionId};
use lumbung_pack::{
    Bitmap, Kind, Manifest, PackUse, Segment, Signed, UsageList, decode, open_signed,
};

use super::journal::Tally;
use super::pass::{Pass, Verdict};
use crate::VaultError;
use crate::index::ManifestRow;

/// Snapshots, ascending.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) verified: Vec<ManifestId>,
    pub(super) damaged: Vec<ManifestId>,
    /// Frames that snapshots use and that pass for dropped by the sweep.
    pub(super) missed: BTreeMap<PackId, Bitmap>,
}

/// Judges by what was read.
pub(super) struct Judge<'a> {
    pass: &'a Pass<'a>,
    tally: &'a Tally,
    segments: HashMap<SegmentId, bool>,
    sessions: HashMap<SessionId, bool>,
    missed: BTreeMap<PackId, Bitmap>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(pass: &'a Pass<'a>, tally: &'a Tally) -> Self {
        Self {
            pass,
            tally,
            segments: HashMap::new(),
            sessions: HashMap::new(),
            missed: BTreeMap::new(),
        }
    }

    /// Judges the snapshots that are here; `arrival` is the last one that was here when the pass began.
    pub(super) fn judge(mut self, arrival: u64) -> Result<Judgement, VaultError> {
        let mut judgement = Judgement::default();
        for row in self.pass.rows()? {
            if self.is_whole(&row.manifest)? {
                judgement.verified.push(row.manifest);
            } else if row.arrival <= arrival && self.is_here(&row.manifest)? {
                judgement.damaged.push(row.manifest);
            }
        }
        judgement.missed = self.missed;
        judgement.verified.sort_unstable();
        judgement.damaged.sort_unstable();
        Ok(judgement)
    }

    fn is_here(&self, manifest: &ManifestId) -> Result<bool, VaultError> {
        let row = self.pass.repository.row;
        Ok(self.pass.vault.index.read(|c| ManifestRow::find(c, row, manifest))?.is_some())
    }

    /// An object, if it is here and matches.
    fn object(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, VaultError> {
        match self.pass.repository.store.get(kind, id) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if Verdict::of(&error) == Verdict::Failed => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    fn is_whole(&mut self, id: &ManifestId) -> Result<bool, VaultError> {
        let Some(bytes) = self.object(Kind::Manifest, id.as_bytes())? else { return Ok(false) };
        let manifest: Signed<Manifest> =
            open_signed(&bytes).map_err(VaultError::format(Kind::Manifest))?;
        for session in &manifest.body.sessions {
            if !self.has_session(session)? {
                return Ok(false);
            }
        }
        let usage = self.object(Kind::Usage, manifest.body.usage.as_bytes())?;
        let Some(bytes) = usage else { return Ok(false) };
        let (usage, _) = decode::<UsageList>(&bytes).map_err(VaultError::format(Kind::Usage))?;
        let mut whole = true;
        for line in &usage.segments {
            whole &= self.has_segment(&line.segment)?;
        }
        Ok(whole)
    }

    fn note_missed(&mut self, pack: &PackUse) {
        let missed = self.tally.absent_among(pack);
        if !missed.is_empty() {
            let known = self.missed.entry(pack.pack).or_insert_with(|| missed.clone());
            *known = known.or(&missed);
        }
    }

    fn has_session(&mut self, id: &SessionId) -> Result<bool, VaultError> {
        if let Some(known) = self.sessions.get(id) {
            return Ok(*known);
        }
        let here = self.object(Kind::Session, id.as_bytes())?.is_some();
        self.sessions.insert(*id, here);
        Ok(here)
    }

    fn has_segment(&mut self, id: &SegmentId) -> Result<bool, VaultError> {
        if let Some(known) = self.segments.get(id) {
            return Ok(*known);
        }
        let whole = match self.object(Kind::Segment, id.as_bytes())? {
            Some(bytes) => {
                let (segment, _) =
                    decode::<Segment>(&bytes).map_err(VaultError::format(Kind::Segment))?;
                segment.packs.iter().for_each(|pack| self.note_missed(pack));
                segment.packs.iter().all(|pack| self.tally.is_whole(pack))
            }
            None => false,
        };
        self.segments.insert(*id, whole);
        Ok(whole)
    }
}
