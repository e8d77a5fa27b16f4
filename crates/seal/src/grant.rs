//! What a grant seals: the keys of roots, packs and single frames, and nothing that opens more (format, section 22). And
//! what a reader holds who was granted something: these, and the keys of sessions that agents opened to it (section 25).
//!
//! Invariants: a pack's own key is given only where every frame of it is used by what is granted; else the keys of the
//! used frames. No session key and no domain secret ever stands in a grant. Everything is bound to the grant's scope.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::convert::Infallible;

use hpke::rand_core::TryCryptoRng;
use lumbung_model::{ManifestId, PackId, Secret, SessionId};
use lumbung_pack::codec::Reader;
use lumbung_pack::limits::{GRANT_MAX_PARTS, GRANT_SEALED_MAX_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{Bitmap, FormatError, Grant, Manifest, PackTable};
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::frame::{FrameOpener, frame_key};
use crate::one_message::TAG_BYTES;
use crate::root::{RootPlain, open_root, open_root_with};
use crate::session::{
    PackKey, RecoveryKey, RootKey, SessionKey, SystemRandom, hpke_open, hpke_seal,
};

const INFO: &[u8] = b"lumbung v1 grant";
/// Two counts.
const FIXED_BYTES: usize = 8;
/// A manifest's id and its root key.
const ROOT_BYTES: usize = 64;
/// A pack's id and what form follows.
const PACK_BYTES: usize = 33;
const WHOLE: u8 = 1;
const FRAMES: u8 = 2;

/// What opens a pack, or some of its frames.
enum PackOpening {
    Whole(PackKey),
    /// Frames in the pack, and the keys of some.
    Frames(u32, BTreeMap<u32, Secret<32>>),
}

impl PackOpening {
    fn bytes(&self) -> usize {
        PACK_BYTES
            + match self {
                Self::Whole(_) => 32,
                Self::Frames(count, keys) => 4 + (*count as usize).div_ceil(8) + 32 * keys.len(),
            }
    }

    fn write(&self, plain: &mut Vec<u8>) {
        match self {
            Self::Whole(key) => {
                plain.push(WHOLE);
                plain.extend_from_slice(key.expose());
            }
            Self::Frames(count, keys) => {
                plain.push(FRAMES);
                plain.extend_from_slice(&count.to_le_bytes());
                let mut opened = Bitmap::new(*count);
                keys.keys().for_each(|frame| opened.set(*frame));
                plain.extend_from_slice(opened.as_bytes());
                keys.values().for_each(|key| plain.extend_from_slice(key.expose()));
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let field = "a grant's pack";
        match reader.u8()? {
            WHOLE => Ok(Self::Whole(PackKey::new(Secret::new(reader.array()?)))),
            FRAMES => {
                let count = reader.u32()?;
                if count as usize > PACK_MAX_FRAMES {
                    let (found, limit) = (u64::from(count), PACK_MAX_FRAMES as u64);
                    return Err(FormatError::Limit { field, found, limit });
                }
                let bitmap = reader.take((count as usize).div_ceil(8))?;
                let opened = Bitmap::from_bytes(count, bitmap)?;
                if opened.is_empty() || opened.is_full() {
                    let reason = "it opens no frame one by one, or all of them";
                    return Err(FormatError::Field { field, reason });
                }
                let keys = opened
                    .iter_ones()
                    .map(|frame| Ok((frame, Secret::new(reader.array()?))))
                    .collect::<Result<_, FormatError>>()?;
                Ok(Self::Frames(count, keys))
            }
            _ => Err(FormatError::Field { field, reason: "it is opened in no known way" }),
        }
    }

    /// What two consents open of one pack: all that either opens.
    fn join(&mut self, other: Self) -> Result<(), FormatError> {
        let contested = |reason| FormatError::Field { field: "a grant's pack", reason };
        match (self, other) {
            (Self::Whole(_), Self::Frames(..)) => Ok(()),
            (this @ Self::Frames(..), whole @ Self::Whole(_)) => {
                *this = whole;
                Ok(())
            }
            (Self::Whole(held), Self::Whole(key)) => {
                if held.expose() == key.expose() {
                    return Ok(());
                }
                Err(contested("two grants open it with different keys"))
            }
            (Self::Frames(count, held), Self::Frames(other, keys)) => {
                if *count != other {
                    return Err(contested(
                        "two grants say that it has different numbers of frames",
                    ));
                }
                for (frame, key) in keys {
                    let held = held.entry(frame).or_insert_with(|| Secret::new(*key.expose()));
                    if held.expose() != key.expose() {
                        return Err(contested("two grants open a frame with different keys"));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Keys of snapshots' roots, of packs and of frames: what exactly some snapshots take. And the keys of whole sessions,
/// as standing approvals give them.
#[derive(Default)]
pub struct Openings {
    roots: BTreeMap<ManifestId, RootKey>,
    packs: BTreeMap<PackId, PackOpening>,
    /// Never written into a grant. More than one where somebody sealed something else under a session's name.
    sessions: BTreeMap<SessionId, Vec<SessionKey>>,
}

impl Openings {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what opens a snapshot's root.
    pub fn add_root(&mut self, snapshot: ManifestId, key: RootKey) {
        self.roots.insert(snapshot, key);
    }

    /// Adds what opens those frames of a pack, with the key of the session that wrote it.
    ///
    /// # Errors
    /// If the pack is not of this session key.
    pub fn add_pack(
        &mut self,
        table: &PackTable,
        used: &Bitmap,
        session: &SessionKey,
    ) -> Result<(), SealError> {
        let key = session.pack_key(&table.header.salt);
        if key.commitment() != table.header.commitment {
            return Err(SealError::Commitment);
        }
        let opening = if used.is_full() {
            PackOpening::Whole(key)
        } else {
            let frame = |number: u32| {
                let entry = table.frames.get(number as usize)?;
                Some((number, frame_key(&key, table.header.content, number, entry)))
            };
            let keys: BTreeMap<_, _> = used.iter_ones().filter_map(frame).collect();
            if keys.is_empty() {
                return Ok(());
            }
            PackOpening::Frames(table.frame_count(), keys)
        };
        self.packs.insert(table.id(), opening);
        Ok(())
    }

    /// Adds what may be a session's key: what it seals says whether it is.
    pub fn add_session(&mut self, session: SessionId, key: SessionKey) {
        let keys = self.sessions.entry(session).or_default();
        if keys.iter().all(|known| known.expose() != key.expose()) {
            keys.push(key);
        }
    }

    /// How many snapshots, packs and single frames they open, sessions not counted.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let frames = self.packs.values().map(|opening| match opening {
            PackOpening::Whole(_) => 0,
            PackOpening::Frames(_, keys) => keys.len(),
        });
        (self.roots.len(), self.packs.len(), frames.sum())
    }

    /// What opens a snapshot's root.
    ///
    /// # Errors
    /// [`SealError::SnapshotNotGranted`].
    pub fn root(&self, snapshot: &ManifestId) -> Result<&RootKey, SealError> {
        self.roots.get(snapshot).ok_or(SealError::SnapshotNotGranted(*snapshot))
    }

    /// Opens the root of the manifest with this id.
    ///
    /// # Errors
    /// [`SealError::SnapshotNotGranted`], or why the root does not open.
    pub fn open_root(
        &self,
        snapshot: &ManifestId,
        manifest: &Manifest,
    ) -> Result<RootPlain, SealError> {
        if let Some(key) = self.roots.get(snapshot) {
            return open_root_with(key, manifest);
        }
        let first = manifest.sessions.first().and_then(|first| self.sessions.get(first));
        let mut failed = SealError::SnapshotNotGranted(*snapshot);
        for key in first.into_iter().flatten() {
            match open_root(key, manifest) {
                Ok(root) => return Ok(root),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Prepares to open what may be opened of a pack.
    ///
    /// # Errors
    /// If nothing of it may, or the key is another pack's.
    pub fn opener(&self, table: &PackTable) -> Result<FrameOpener, SealError> {
        let id = table.id();
        let sessions = self.sessions.get(&table.header.session).into_iter().flatten();
        let mut whole = sessions.filter_map(|key| FrameOpener::new(&table.header, key).ok());
        if let Some(opener) = whole.next() {
            return Ok(opener);
        }
        let copy = |key: &Secret<32>| Secret::new(*key.expose());
        match self.packs.get(&id) {
            None => Err(SealError::PackNotGranted(id)),
            Some(PackOpening::Whole(key)) => {
                let key = PackKey::new(Secret::new(*key.expose()));
                FrameOpener::with_pack_key(&table.header, key)
            }
            Some(PackOpening::Frames(_, keys)) => {
                let keys = keys.iter().map(|(frame, key)| (*frame, copy(key))).collect();
                Ok(FrameOpener::with_frame_keys(&table.header, keys))
            }
        }
    }

    /// The plaintexts of the grants that these keys take, each of at most `limit` bytes.
    pub(crate) fn plaintexts(&self, limit: usize) -> Vec<Zeroizing<Vec<u8>>> {
        let mut parts: Vec<Part<'_>> = vec![Part::default()];
        for root in &self.roots {
            Part::with_room(&mut parts, ROOT_BYTES, limit).roots.push(root);
        }
        for pack in &self.packs {
            Part::with_room(&mut parts, pack.1.bytes(), limit).packs.push(pack);
        }
        parts.iter().map(Part::plaintext).collect()
    }

    fn read_into(&mut self, plain: &[u8]) -> Result<(), FormatError> {
        let mut reader = Reader::new(plain);
        let mut before = None;
        for _ in 0..reader.count32("a grant's roots", plain.len(), ROOT_BYTES)? {
            let id = ManifestId::from_bytes(reader.array()?);
            ascends("a grant's roots", &mut before, *id.as_bytes())?;
            self.roots.insert(id, RootKey::new(Secret::new(reader.array()?)));
        }
        before = None;
        for _ in 0..reader.count32("a grant's packs", plain.len(), PACK_BYTES)? {
            let id = PackId::from_bytes(reader.array()?);
            ascends("a grant's packs", &mut before, *id.as_bytes())?;
            let opening = PackOpening::read(&mut reader)?;
            match self.packs.entry(id) {
                Entry::Vacant(entry) => drop(entry.insert(opening)),
                Entry::Occupied(mut entry) => entry.get_mut().join(opening)?,
            }
        }
        reader.finish()
    }
}

fn ascends(
    field: &'static str,
    before: &mut Option<[u8; 32]>,
    id: [u8; 32],
) -> Result<(), FormatError> {
    if before.is_some_and(|before| before >= id) {
        return Err(FormatError::Field { field, reason: "they do not ascend" });
    }
    *before = Some(id);
    Ok(())
}

/// What goes into one grant.
#[derive(Default)]
struct Part<'a> {
    roots: Vec<(&'a ManifestId, &'a RootKey)>,
    packs: Vec<(&'a PackId, &'a PackOpening)>,
    bytes: usize,
}

impl<'a> Part<'a> {
    /// The last part, or a new one where that has no room left.
    fn with_room(parts: &mut Vec<Self>, bytes: usize, limit: usize) -> &mut Self {
        let taken = parts.last().map_or(limit, |part| part.bytes);
        if taken > 0 && FIXED_BYTES + taken + bytes > limit {
            parts.push(Self::default());
        }
        let last = parts.len() - 1;
        parts[last].bytes += bytes;
        &mut parts[last]
    }

    fn plaintext(&self) -> Zeroizing<Vec<u8>> {
        // As long as it gets: a secret that moves leaves a copy behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(FIXED_BYTES + self.bytes));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        plain.extend_from_slice(&count(self.roots.len()));
        for (id, key) in &self.roots {
            plain.extend_from_slice(id.as_bytes());
            plain.extend_from_slice(key.secret().expose());
        }
        plain.extend_from_slice(&count(self.packs.len()));
        for (id, opening) in &self.packs {
            plain.extend_from_slice(id.as_bytes());
            opening.write(&mut plain);
        }
        plain
    }
}

/// Seals keys to the grantee of `grant`, whose other fields must be final but for the parts: one grant, or as many as
/// the keys take.
///
/// # Errors
/// If the grantee's key cannot be sealed to, or the keys take too many grants.
pub fn seal_grants(grant: &Grant, openings: &Openings) -> Result<Vec<Grant>, SealError> {
    seal_grants_with(grant, openings, GRANT_SEALED_MAX_BYTES - TAG_BYTES, &mut SystemRandom)
}

pub(crate) fn seal_grants_with(
    grant: &Grant,
    openings: &Openings,
    limit: usize,
    random: &mut impl TryCryptoRng<Error = Infallible>,
) -> Result<Vec<Grant>, SealError> {
    let plaintexts = openings.plaintexts(limit);
    if plaintexts.len() > GRANT_MAX_PARTS {
        return Err(SealError::GrantParts(plaintexts.len()));
    }
    let parts = u16::try_from(plaintexts.len()).unwrap_or(u16::MAX);
    let mut grants = Vec::with_capacity(plaintexts.len());
    for (part, plain) in (1..=parts).zip(&plaintexts) {
        let mut grant = Grant { part, parts, ..grant.clone() };
        let recipient = grant.grantee.recipient;
        let sealed = hpke_seal(&recipient, INFO, &grant.aad(), plain, random);
        (grant.encapsulated, grant.sealed) =
            sealed.map_err(|_| SealError::RecipientKey(recipient))?;
        grants.push(grant);
    }
    Ok(grants)
}

/// Opens grants with the grantee's key: all parts of a consent, or several consents. The caller has verified their
/// signatures.
///
/// # Errors
/// If one is not sealed to this key, or was altered.
pub fn open_grants<'a>(
    grants: impl IntoIterator<Item = &'a Grant>,
    key: &RecoveryKey,
) -> Result<Openings, SealError> {
    let held = key.public();
    let mut openings = Openings::new();
    for grant in grants {
        let sealed_to = grant.grantee.recipient;
        if sealed_to != held {
            return Err(SealError::OtherGrantee { sealed_to, held });
        }
        let plain = hpke_open(key, &grant.encapsulated, INFO, &grant.aad(), &grant.sealed)
            .map_err(|_| SealError::Grant)?;
        openings.read_into(&plain).map_err(SealError::GrantFormat)?;
    }
    Ok(openings)
}

#[cfg(test)]
mod tests {
    use lumbung_model::{ConsentId, DomainId, RepositoryId, SessionId, Timestamp};
    use lumbung_pack::{Content, FrameEntry, Grantee};

    use super::*;
    use crate::domain::IdKey;
    use crate::{DomainSecret, PackSealer, RequesterIdentity, Scratch};

    /// A pack of three frames.
    struct Pack {
        table: PackTable,
        stored: Vec<Vec<u8>>,
    }

    struct Fixture {
        session: SessionKey,
        id_key: IdKey,
        scratch: Scratch,
    }

    const PLAIN: [&[u8]; 3] = [b"pasien", b"tagihan", b"rekam medis"];

    impl Fixture {
        fn new() -> Self {
            let (session, id_key) = (SessionKey::random(), DomainSecret::random().id_key());
            Self { session, id_key, scratch: Scratch::new().unwrap() }
        }

        fn pack(&mut self) -> Pack {
            let (repository, session) =
                (RepositoryId::from_bytes([1; 32]), SessionId::from_bytes([3; 32]));
            let domain = DomainId::from_bytes([2; 16]);
            let sealer = PackSealer::new(repository, domain, session, &self.session, Content::Data);
            let (mut entries, mut stored): (Vec<FrameEntry>, _) = (Vec::new(), Vec::new());
            for (number, plain) in (0..).zip(PLAIN) {
                let chunk = self.id_key.chunk_id(plain);
                let (entry, bytes) = sealer.seal(number, &chunk, plain, &mut self.scratch).unwrap();
                entries.push(entry);
                stored.push(bytes.to_vec());
            }
            Pack { table: PackTable::new(*sealer.header(), entries).unwrap(), stored }
        }

        fn opens(&mut self, openings: &Openings, pack: &Pack) -> [bool; 3] {
            let Ok(opener) = openings.opener(&pack.table) else { return [false; 3] };
            [0_u32, 1, 2].map(|i| {
                let (entry, stored) = (&pack.table.frames[i as usize], &pack.stored[i as usize]);
                let opened = opener.open_named(i, entry, stored, &mut self.scratch);
                opened.is_ok_and(|plain| plain == PLAIN[i as usize])
            })
        }
    }

    fn used(frames: &[u32]) -> Bitmap {
        let mut used = Bitmap::new(3);
        frames.iter().for_each(|frame| used.set(*frame));
        used
    }

    fn grant(grantee: Grantee) -> Grant {
        Grant {
            repository: RepositoryId::from_bytes([1; 32]),
            consent: ConsentId::from_bytes([2; 16]),
            part: 1,
            parts: 1,
            grantee,
            name: "Inspektorat".into(),
            letter: "700/12".into(),
            purpose: "uji pulih".into(),
            issued: Timestamp(10),
            from: Timestamp(10),
            until: Timestamp(20),
            snapshots: vec![ManifestId::from_bytes([5; 32])],
            encapsulated: [0; 32],
            sealed: Vec::new(),
        }
    }

    #[test]
    fn exactly_the_used_frames_open_for_the_grantee() {
        let mut fixture = Fixture::new();
        let packs = [fixture.pack(), fixture.pack(), fixture.pack()];
        let mut given = Openings::new();
        given.add_pack(&packs[0].table, &used(&[0, 1, 2]), &fixture.session).unwrap();
        given.add_pack(&packs[1].table, &used(&[1]), &fixture.session).unwrap();
        given.add_root(ManifestId::from_bytes([5; 32]), fixture.session.root_key(&[9; 32]));
        let identity = RequesterIdentity::generate("Inspektorat");
        let grants = seal_grants(&grant(identity.grantee()), &given).unwrap();
        assert_eq!(grants.len(), 1);
        let got = open_grants(&grants, identity.recipient()).unwrap();
        assert_eq!(got.counts(), (1, 2, 1));
        assert_eq!(fixture.opens(&got, &packs[0]), [true; 3]);
        assert_eq!(fixture.opens(&got, &packs[1]), [false, true, false]);
        assert_eq!(fixture.opens(&got, &packs[2]), [false; 3]);
        let root = got.root(&ManifestId::from_bytes([5; 32])).unwrap();
        assert_eq!(root.secret().expose(), fixture.session.root_key(&[9; 32]).secret().expose());
        assert!(matches!(
            got.root(&ManifestId::from_bytes([6; 32])),
            Err(SealError::SnapshotNotGranted(_))
        ));
        let opener = got.opener(&packs[1].table).unwrap();
        let closed = opener.open_named(
            0,
            &packs[1].table.frames[0],
            &packs[1].stored[0],
            &mut fixture.scratch,
        );
        assert!(matches!(closed, Err(SealError::NotGranted { frame: 0, .. })));
        assert!(matches!(got.opener(&packs[2].table), Err(SealError::PackNotGranted(_))));
    }

    /// Neither the session's key, nor the domain's, nor what is derived from it, nor the key of a pack used in part.
    #[test]
    fn what_is_sealed_holds_no_key_that_opens_more() {
        let mut fixture = Fixture::new();
        let pack = fixture.pack();
        let mut given = Openings::new();
        given.add_pack(&pack.table, &used(&[0, 2]), &fixture.session).unwrap();
        given.add_root(ManifestId::from_bytes([5; 32]), fixture.session.root_key(&[9; 32]));
        let plain = given.plaintexts(usize::MAX).remove(0);
        let pack_key = fixture.session.pack_key(&pack.table.header.salt);
        for secret in [fixture.session.expose(), pack_key.expose(), fixture.id_key.expose()] {
            assert!(!plain.windows(32).any(|window| window == secret));
        }
        // Two counts, a root, a pack with its bitmap and two frame keys: nothing else has room.
        assert_eq!(plain.len(), 8 + 64 + 33 + 4 + 1 + 64);
    }

    #[test]
    fn nobody_else_opens_a_grant_and_no_field_can_be_changed() {
        let mut fixture = Fixture::new();
        let pack = fixture.pack();
        let mut given = Openings::new();
        given.add_pack(&pack.table, &used(&[0]), &fixture.session).unwrap();
        let identity = RequesterIdentity::generate("a");
        let sealed = seal_grants(&grant(identity.grantee()), &given).unwrap().remove(0);
        let stranger = RecoveryKey::generate();
        assert!(matches!(open_grants([&sealed], &stranger), Err(SealError::OtherGrantee { .. })));
        let changes: [fn(&mut Grant); 9] = [
            |g| g.consent = ConsentId::from_bytes([3; 16]),
            |g| g.repository = RepositoryId::ZERO,
            |g| g.until = Timestamp(21),
            |g| g.from = Timestamp(11),
            |g| g.name.push('x'),
            |g| g.letter.push('x'),
            |g| g.snapshots.push(ManifestId::from_bytes([6; 32])),
            |g| g.sealed[0] ^= 1,
            |g| g.grantee.key = lumbung_model::PublicKey::ZERO,
        ];
        for change in changes {
            let mut bad = sealed.clone();
            change(&mut bad);
            assert!(matches!(open_grants([&bad], identity.recipient()), Err(SealError::Grant)));
        }
    }

    /// Two consents to one requester, whose snapshots share packs: neither takes away what the other gives.
    #[test]
    fn consents_that_share_packs_open_what_either_opens() {
        let mut fixture = Fixture::new();
        let packs = [fixture.pack(), fixture.pack()];
        let identity = RequesterIdentity::generate("Inspektorat");
        let consent = |of: [&[u32]; 2]| {
            let mut given = Openings::new();
            for (pack, frames) in packs.iter().zip(of) {
                given.add_pack(&pack.table, &used(frames), &fixture.session).unwrap();
            }
            seal_grants(&grant(identity.grantee()), &given).unwrap().remove(0)
        };
        let (one, other) = (consent([&[0, 1, 2], &[0]]), consent([&[1], &[2]]));
        for order in [[&one, &other], [&other, &one]] {
            let got = open_grants(order, identity.recipient()).unwrap();
            assert_eq!(fixture.opens(&got, &packs[0]), [true; 3]);
            assert_eq!(fixture.opens(&got, &packs[1]), [true, false, true]);
        }
    }

    #[test]
    fn consents_that_contradict_each_other_are_refused() {
        let pack = |form: &[u8]| [&[0; 4][..], &[1, 0, 0, 0], &[7; 32], form].concat();
        let whole = |key: u8| pack(&[&[1][..], &[key; 32]].concat());
        let frame =
            |count: u8, key: u8| pack(&[&[2, count, 0, 0, 0, 0b010][..], &[key; 32]].concat());
        let both = |one: &[u8], other: &[u8]| {
            let mut openings = Openings::new();
            openings.read_into(one).unwrap();
            openings.read_into(other)
        };
        assert!(both(&frame(3, 1), &frame(3, 1)).is_ok());
        assert!(both(&whole(1), &whole(1)).is_ok());
        assert!(both(&frame(3, 1), &frame(4, 1)).is_err(), "another count");
        assert!(both(&frame(3, 1), &frame(3, 2)).is_err(), "another key of a frame");
        assert!(both(&whole(1), &whole(2)).is_err(), "another key of the pack");
    }

    #[test]
    fn many_keys_go_into_parts_that_open_together() {
        let mut fixture = Fixture::new();
        let packs: Vec<Pack> = (0..20).map(|_| fixture.pack()).collect();
        let mut given = Openings::new();
        for pack in &packs {
            given.add_pack(&pack.table, &used(&[2]), &fixture.session).unwrap();
        }
        let one = 33 + 4 + 1 + 32;
        let identity = RequesterIdentity::generate("a");
        let template = grant(identity.grantee());
        // Room for three packs each.
        let limit = 8 + 3 * one;
        let grants = seal_grants_with(&template, &given, limit, &mut SystemRandom).unwrap();
        assert_eq!(grants.len(), 7);
        assert!(grants.iter().all(|g| g.parts == 7 && g.sealed.len() <= limit + TAG_BYTES));
        let got = open_grants(&grants, identity.recipient()).unwrap();
        assert_eq!(got.counts(), (0, 20, 20));
        for pack in &packs {
            assert_eq!(fixture.opens(&got, pack), [false, false, true]);
        }
        // A part under another number does not open: it is bound.
        let mut moved = grants[0].clone();
        moved.part = 2;
        assert!(open_grants([&moved], identity.recipient()).is_err());
        for _ in 0..50 {
            let pack = fixture.pack();
            given.add_pack(&pack.table, &used(&[0]), &fixture.session).unwrap();
        }
        let refused = seal_grants_with(&template, &given, 8 + one, &mut SystemRandom);
        assert!(matches!(refused, Err(SealError::GrantParts(70))));
    }

    #[test]
    fn what_is_inside_is_read_strictly() {
        let read = |plain: &[u8]| Openings::new().read_into(plain);
        let pack = |form: &[u8]| [&[0; 4][..], &[1, 0, 0, 0], &[7; 32], form].concat();
        assert!(read(&[0; 8]).is_ok());
        assert!(read(&pack(&[&[1][..], &[0; 32]].concat())).is_ok());
        assert!(read(&pack(&[&[2, 3, 0, 0, 0, 0b010][..], &[0; 32]].concat())).is_ok());
        let two_roots = |second: u8| {
            [&[2, 0, 0, 0][..], &[5; 32], &[0; 32], &[second; 32], &[0; 32], &[0; 4]].concat()
        };
        assert!(read(&two_roots(6)).is_ok());
        for (what, bad) in [
            ("trailing", vec![0; 9]),
            ("more roots than bytes", [&[9, 0, 0, 0][..], &[0; 4]].concat()),
            ("no form", pack(&[0; 33])),
            ("an unused bit", pack(&[&[2, 3, 0, 0, 0, 0b1010][..], &[0; 64]].concat())),
            ("no frame", pack(&[2, 3, 0, 0, 0, 0])),
            ("every frame", pack(&[&[2, 3, 0, 0, 0, 0b111][..], &[0; 96]].concat())),
            ("too many frames", pack(&[2, 0xff, 0xff, 0xff, 0xff])),
            ("a key less", pack(&[&[2, 3, 0, 0, 0, 0b011][..], &[0; 32]].concat())),
            ("one root twice", two_roots(5)),
            ("roots out of order", two_roots(4)),
        ] {
            assert!(read(&bad).is_err(), "{what}");
        }
    }
}
