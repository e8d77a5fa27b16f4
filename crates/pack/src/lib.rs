//! The public half of the repository format: everything that can be read, checked and signed
//! without being able to decrypt.
//!
//! `docs/format.md` is the authority on every byte. Invariants: an object that decodes is canonical
//! (encoding it again gives the same bytes), every length is checked before it is allocated, and a
//! signature is verified before a [`Signed`] value exists. Who may sign what is decided by
//! [`RosterChain`] and [`admission`].

pub mod admission;
pub mod armor;
pub mod codec;
mod error;
pub mod grant;
mod identity;
pub mod limits;
mod manifest;
mod medium;
mod object;
pub mod order;
mod packfile;
pub mod rehearsal;
mod roster;
mod session;
mod sign;
mod site;
pub mod standing;
mod usage;
pub mod wrap;

pub use admission::{
    Admission, Alarm, Holdings, Missing, PackFacts, Provenance, Refusal, SessionFacts,
    check_manifest, check_session,
};
pub use error::FormatError;
pub use grant::{Grant, GrantRequest, Grantee, Revocation, Wanted};
pub use identity::{SiteIdentity, SiteIdentityError};
pub use manifest::{Manifest, Statistics};
pub use medium::{ListSigner, MediumBase, MediumList, MediumObjects, MediumSnapshot, list_signer};
pub use object::{Header, Kind, Object, Signed, decode, encode, object_id, open_signed, sign};
pub use order::{Action, Hold, Order, OrderError, Removal, Subject, Tombstone};
pub use packfile::{Content, Encoding, FrameEntry, PackHeader, PackTable};
pub use rehearsal::Rehearsal;
pub use roster::{
    AgentStatus, ChunkerParams, Recipient, RootKey, RootRole, Roster, RosterAgent, RosterChain,
    RosterError, RosterSite,
};
pub use session::{SealedKey, Session};
pub use sign::{SigningKey, verify_signature};
pub use site::{Inventory, InventoryEntry, Proof, Receipt, ScrubReport};
pub use standing::{SessionOpening, StandingApproval};
pub use usage::{Bitmap, BuiltUsage, PackUse, Segment, SegmentRef, UsageBuilder, UsageList};
pub use wrap::{Wrap, WrappedSession};
