//! Objects that are decoded as a whole (`docs/format.md` §4–14, §19, §22–25): what is read is canonical.

use std::fmt::Debug;
use std::sync::LazyLock;

use lumbung_model::Secret;
use lumbung_pack::codec::Reader;
use lumbung_pack::{
    Grant, GrantRequest, Header, Hold, Inventory, Manifest, Object, Order, Proof, Receipt,
    Rehearsal, Revocation, Roster, ScrubReport, Segment, Session, SessionOpening, SigningKey,
    StandingApproval, Tombstone, UsageList, Wrap, decode, encode, object_id, open_signed, sign,
};

/// Signer and signature.
const TAIL_BYTES: usize = 32 + 64;
/// Where the compatible feature bits stand: a reader ignores them, and a writer of this version sets none.
const COMPATIBLE: std::ops::Range<usize> = 8..12;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_seed(&Secret::new([7; 32])));

/// An object's bytes as a writer of this version would write them.
pub(crate) fn as_written(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(bits) = bytes.get_mut(COMPATIBLE) {
        bits.fill(0);
    }
    bytes
}

/// The body of a signed object, whatever its signature.
fn body_of<T: Object>(data: &[u8]) -> Option<T> {
    let mut reader = Reader::new(data);
    let header = Header::expect(T::KIND, &mut reader).ok()?;
    let body = T::read_body(header.repository, &mut reader).ok()?;
    (reader.remaining() == TAIL_BYTES).then_some(body)
}

/// The fuzzer cannot sign, so what it wrote is signed here.
fn signed<T: Object + PartialEq + Debug>(data: &[u8]) {
    let opened = open_signed::<T>(data).ok();
    let Some(body) = body_of::<T>(data) else {
        assert!(opened.is_none(), "an object was opened that has no body");
        return;
    };
    if let Some(opened) = opened {
        assert_eq!(opened.body, body);
    }
    let unsigned = data.len() - TAIL_BYTES;
    let bytes = sign(&body, &KEY);
    assert_eq!(as_written(data)[..unsigned], bytes[..unsigned], "what was read is not canonical");
    let again = open_signed::<T>(&bytes).expect("what was written is read");
    assert_eq!(again.body, body);
    assert_eq!(again.signer, KEY.public());
}

fn unsigned<T: Object + PartialEq + Debug>(data: &[u8]) {
    let Ok((object, _)) = decode::<T>(data) else { return };
    let bytes = encode(&object);
    assert_eq!(as_written(data), bytes, "what was read is not canonical");
    let (again, _) = decode::<T>(&bytes).expect("what was written is read");
    assert_eq!(again, object);
    assert_eq!(object_id(&bytes), object_id(&as_written(data)));
}

macro_rules! object_targets {
    ($($how:ident: $($name:ident = $object:ty),*;)*) => {$($(
        pub(crate) fn $name(data: &[u8]) {
            $how::<$object>(data);
        }
    )*)*};
}

object_targets! {
    signed: roster = Roster, session = Session, manifest = Manifest, receipt = Receipt, inventory = Inventory,
        scrub = ScrubReport, proof = Proof, order = Order, hold = Hold, tombstone = Tombstone, grant = Grant,
        grant_request = GrantRequest, revocation = Revocation, wrap = Wrap, standing_approval = StandingApproval,
        opening = SessionOpening, rehearsal = Rehearsal;
    unsigned: segment = Segment, usage = UsageList;
}
