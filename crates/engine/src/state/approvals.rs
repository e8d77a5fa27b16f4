//! The standing approvals and revocations that an agent knows of: what the owner signed, and nothing that a depot says of it.
//!
//! Invariants: a revocation that was seen once, at whichever site, is never forgotten; an approval counts only while the
//! newest roster lists its signer as a root key.

use std::collections::HashSet;
use std::path::Path;

use lumbung_model::{ConsentId, DatasetId, PackId, Timestamp};
use lumbung_pack::{
    Bitmap, Kind, PackUse, Revocation, RosterChain, Signed, StandingApproval, object_id,
    open_signed, standing::honoured, wrap::was_root_key,
};

use super::{StateError, make_private, read_optional, write_durably};
use crate::Depot;
use crate::depot::hex;

const FOLDER: &str = "approvals";
const BASES: &str = "bases";
/// Objects of a kind that a depot is listened to for: far more than an owner signs, and a bound on what junk costs.
const MAX_OBJECTS: usize = 10_000;
const HASH_BYTES: usize = 32;

/// What is known of standing approvals.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    approvals: Vec<Signed<StandingApproval>>,
    revoked: HashSet<ConsentId>,
    known: HashSet<[u8; 32]>,
}

impl Approvals {
    /// Those kept in a state directory.
    pub(crate) fn load(state_dir: &Path, chain: &RosterChain) -> Result<Self, StateError> {
        let folder = state_dir.join(FOLDER);
        let mut approvals = Self::default();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(approvals),
            Err(error) => return Err(StateError::io("read", &folder, error)),
        };
        for entry in entries {
            let path = entry.map_err(|e| StateError::io("read", &folder, e))?.path();
            if let Some(bytes) = read_optional(&path)? {
                approvals.take(chain, &bytes);
            }
        }
        Ok(approvals)
    }

    /// Takes up what the owner signed; whether it is that.
    fn take(&mut self, chain: &RosterChain, bytes: &[u8]) -> bool {
        if let Ok(approval) = open_signed::<StandingApproval>(bytes) {
            let counts = honoured(chain, &approval);
            if counts && self.known.insert(object_id(bytes)) {
                self.approvals.push(approval);
            }
            return counts;
        }
        let Ok(revocation) = open_signed::<Revocation>(bytes) else { return false };
        let counts = revocation.body.repository == chain.repository()
            && was_root_key(chain, &revocation.signer);
        if counts && self.known.insert(object_id(bytes)) {
            self.revoked.insert(revocation.body.consent);
        }
        counts
    }

    /// Takes from a depot what is not known yet, and keeps it.
    ///
    /// # Errors
    /// If the depot does not answer, or the state cannot be written.
    pub(crate) fn sync(
        &mut self,
        state_dir: &Path,
        chain: &RosterChain,
        depot: &dyn Depot,
    ) -> Result<(), StateError> {
        let folder = state_dir.join(FOLDER);
        for kind in [Kind::StandingApproval, Kind::Revocation] {
            let there = match depot.list(kind) {
                Err(error) if error.is_transient() => return Err(error.into()),
                // A site of an older version, which keeps none; or one whose answer is damaged, which gets its backup all the same.
                Err(_) => Vec::new(),
                Ok(listed) => listed,
            };
            let new = there.into_iter().filter(|id| !self.known.contains(id));
            for id in new.take(MAX_OBJECTS).collect::<Vec<_>>() {
                let bytes = match depot.get(kind, &id) {
                    Ok(bytes) => bytes,
                    Err(error) if error.is_transient() => return Err(error.into()),
                    Err(_) => continue,
                };
                if object_id(&bytes) == id && self.take(chain, &bytes) {
                    make_private(&folder)?;
                    write_durably(&folder.join(hex(&id)), &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Those that hold for a dataset at that time, one of each consent, by consent.
    pub(crate) fn in_force(&self, dataset: &DatasetId, now: Timestamp) -> Vec<StandingApproval> {
        let holds = |approval: &&Signed<StandingApproval>| {
            let body = &approval.body;
            body.dataset == *dataset && body.holds_at(now) && !self.revoked.contains(&body.consent)
        };
        let mut found: Vec<StandingApproval> =
            self.approvals.iter().filter(holds).map(|approval| approval.body.clone()).collect();
        found.sort_by_key(|approval| (approval.consent, approval.issued));
        found.dedup_by_key(|approval| approval.consent);
        found
    }
}

/// The frames of a consent's base, if they were kept and are whole.
pub(crate) fn load_base(
    state_dir: &Path,
    consent: &ConsentId,
) -> Result<Option<Vec<PackUse>>, StateError> {
    let path = state_dir.join(BASES).join(consent.to_string());
    Ok(read_optional(&path)?.and_then(|bytes| decode_base(&bytes)))
}

/// Keeps the frames of a consent's base: its snapshots may go from the depots before it ends.
pub(crate) fn store_base(
    state_dir: &Path,
    consent: &ConsentId,
    packs: &[PackUse],
) -> Result<(), StateError> {
    let folder = state_dir.join(BASES);
    make_private(&folder)?;
    write_durably(&folder.join(consent.to_string()), &encode_base(packs))
}

/// Pack by pack its id, `u32` frames and the bitmap of those used; then BLAKE3 of all that.
fn encode_base(packs: &[PackUse]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for pack in packs {
        bytes.extend_from_slice(pack.pack.as_bytes());
        bytes.extend_from_slice(&pack.used.bits().to_le_bytes());
        bytes.extend_from_slice(pack.used.as_bytes());
    }
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

fn decode_base(bytes: &[u8]) -> Option<Vec<PackUse>> {
    let (mut rest, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
    if blake3::hash(rest).as_bytes() != hash {
        return None;
    }
    let mut packs = Vec::new();
    while !rest.is_empty() {
        let (id, after) = rest.split_first_chunk::<32>()?;
        let (frames, after) = after.split_first_chunk::<4>()?;
        let frames = u32::from_le_bytes(*frames);
        let (bitmap, after) = after.split_at_checked((frames as usize).div_ceil(8))?;
        let used = Bitmap::from_bytes(frames, bitmap).ok()?;
        packs.push(PackUse { pack: PackId::from_bytes(*id), used });
        rest = after;
    }
    Some(packs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_comes_back_or_counts_as_not_kept() {
        let state = tempfile::tempdir().unwrap();
        let consent = ConsentId::from_bytes([7; 16]);
        assert_eq!(load_base(state.path(), &consent).unwrap(), None);
        let mut used = Bitmap::new(11);
        used.set(3);
        let packs = vec![
            PackUse { pack: PackId::from_bytes([1; 32]), used },
            PackUse { pack: PackId::from_bytes([2; 32]), used: Bitmap::full(8) },
        ];
        store_base(state.path(), &consent, &packs).unwrap();
        assert_eq!(load_base(state.path(), &consent).unwrap(), Some(packs.clone()));
        store_base(state.path(), &consent, &[]).unwrap();
        assert_eq!(load_base(state.path(), &consent).unwrap(), Some(Vec::new()));
        let whole = encode_base(&packs);
        for length in 0..whole.len() {
            assert_eq!(decode_base(&whole[..length]), None, "cut to {length}");
        }
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            assert_eq!(decode_base(&bad), None, "byte {at}");
        }
    }
}
