//! The commit check for depots that are no vault: what they hold is asked object by object.
//!
//! Such a depot watches nobody: it knows no alarms and remembers no verified segments.

use lumbung_model::{
    AgentId, DatasetId, ManifestId, PackId, PublicKey, SegmentId, SessionId, UsageId, with_causes,
};
use lumbung_pack::admission::Provenance;
use lumbung_pack::{
    Holdings, Kind, Manifest, Object, PackFacts, PackTable, Refusal, RosterChain, Session,
    SessionFacts, Signed, check_manifest, check_session, open_signed,
};

use super::DepotError;

/// What a simple depot can be asked for.
pub(super) trait Shelf {
    fn name(&self) -> String;
    fn object(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, DepotError>;
    /// A pack's table, and the frames that are not there.
    fn table(&self, id: &PackId) -> Result<Option<(PackTable, Vec<u32>)>, DepotError>;
    fn rosters(&self) -> Result<Vec<Vec<u8>>, DepotError>;
}

struct ShelfHoldings<'a> {
    shelf: &'a dyn Shelf,
    chain: RosterChain,
    signer: PublicKey,
}

fn refused(shelf: &dyn Shelf, reason: &dyn std::error::Error) -> DepotError {
    DepotError::Refused { depot: shelf.name(), reason: with_causes(reason) }
}

fn chain_of<T: Object>(shelf: &dyn Shelf, object: &Signed<T>) -> Result<RosterChain, DepotError> {
    RosterChain::from_objects(object.body.repository(), shelf.rosters()?)
        .map_err(|e| refused(shelf, &e))
}

/// Whether a session may be kept.
pub(super) fn admit_session(shelf: &dyn Shelf, bytes: &[u8]) -> Result<(), DepotError> {
    let session = open_signed::<Session>(bytes).map_err(|e| refused(shelf, &e))?;
    let chain = chain_of(shelf, &session)?;
    check_session::<DepotError>(&chain, &session, Some(session.signer), Provenance::Agent)
        .map(|_| ())
        .map_err(|e| refused(shelf, &e))
}

/// Whether a manifest may be kept: everything it needs is there.
pub(super) fn admit_manifest(shelf: &dyn Shelf, bytes: &[u8]) -> Result<(), DepotError> {
    let manifest = open_signed::<Manifest>(bytes).map_err(|e| refused(shelf, &e))?;
    let chain = chain_of(shelf, &manifest)?;
    let holdings = ShelfHoldings { shelf, chain, signer: manifest.signer };
    match check_manifest(&holdings, &manifest, Provenance::Agent) {
        Ok(_) => Ok(()),
        Err(Refusal::Incomplete(missing)) => {
            Err(DepotError::Incomplete { depot: shelf.name(), missing: Box::new(missing) })
        }
        Err(Refusal::Holdings(error)) => Err(error),
        Err(other) => Err(refused(shelf, &other)),
    }
}

/// Frames of a pack that a file of this length does not have.
pub(super) fn cut_off(table: &PackTable, length: u64) -> Vec<u32> {
    (0..table.frames.len())
        .filter(|i| table.frame_range(*i).end > length)
        .filter_map(|i| u32::try_from(i).ok())
        .collect()
}

/// What the commit check asks of a pack.
pub(super) fn facts_of(table: &PackTable, bad: Vec<u32>) -> PackFacts {
    PackFacts {
        domain: table.header.domain,
        session: table.header.session,
        frames: table.frame_count(),
        bad,
    }
}

impl Holdings for ShelfHoldings<'_> {
    type Error = DepotError;

    fn chain(&self) -> &RosterChain {
        &self.chain
    }

    fn session(&self, id: &SessionId) -> Result<Option<SessionFacts>, DepotError> {
        let bytes = self.shelf.object(Kind::Session, id.as_bytes())?;
        // What does not decode counts as missing: the agent can send it again.
        Ok(bytes
            .and_then(|bytes| open_signed::<Session>(&bytes).ok())
            .map(|s| SessionFacts::from(&s.body)))
    }

    fn usage(&self, id: &UsageId) -> Result<Option<Vec<u8>>, DepotError> {
        self.shelf.object(Kind::Usage, id.as_bytes())
    }

    fn segment(&self, id: &SegmentId) -> Result<Option<Vec<u8>>, DepotError> {
        self.shelf.object(Kind::Segment, id.as_bytes())
    }

    fn verified_segment(&self, _id: &SegmentId) -> Result<Option<Vec<SessionId>>, DepotError> {
        Ok(None)
    }

    fn pack(&self, id: &PackId) -> Result<Option<PackFacts>, DepotError> {
        Ok(self.shelf.table(id)?.map(|(table, bad)| facts_of(&table, bad)))
    }

    fn agent_key(&self, _agent: &AgentId) -> Option<PublicKey> {
        Some(self.signer)
    }

    fn manifest_at(
        &self,
        _agent: &AgentId,
        _dataset: &DatasetId,
        _epoch: u32,
        _sequence: u64,
    ) -> Result<Option<ManifestId>, DepotError> {
        Ok(None)
    }

    fn has_manifest(&self, _id: &ManifestId) -> Result<bool, DepotError> {
        Ok(true)
    }
}

/// Which of the frames asked for a shelf does not have.
pub(super) fn absent(
    shelf: &dyn Shelf,
    packs: &[lumbung_pack::PackUse],
) -> Result<Vec<lumbung_pack::PackUse>, DepotError> {
    let mut absent = Vec::new();
    for asked in packs {
        let Some((table, lost)) = shelf.table(&asked.pack)? else {
            absent.push(asked.clone());
            continue;
        };
        if table.frames.len() != asked.used.bits() as usize {
            absent.push(asked.clone());
            continue;
        }
        let mut gone = lumbung_pack::Bitmap::new(asked.used.bits());
        lost.into_iter().filter(|i| asked.used.get(*i)).for_each(|i| gone.set(i));
        if gone.count_ones() > 0 {
            absent.push(lumbung_pack::PackUse { pack: asked.pack, used: gone });
        }
    }
    Ok(absent)
}
