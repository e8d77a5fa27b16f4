//! The secret half of the repository format (`docs/format.md`): what needs a key.
//!
//! Chunking and chunk ids under a dedup domain's secret, frames and snapshot roots sealed and opened,
//! sessions sealed to recipients (HPKE), the catalogue, key bundles and agent identities. Everything
//! is a function of its inputs and of random bytes: no file, no socket, no clock, no thread.
//!
//! Key material has no `Debug`, `Clone` or `Serialize` and is zeroized when dropped. Every AES-GCM
//! key seals one message in its life, so its nonce is zero. What is read here may have been written
//! by anybody: lengths are bounded before anything is allocated.

mod agent_identity;
pub mod catalogue;
mod chunker;
mod compress;
mod domain;
mod error;
mod frame;
mod grant;
mod key_bundle;
mod key_file;
mod one_message;
mod opening;
mod requester;
mod root;
mod session;
mod share;
#[cfg(test)]
mod vectors;

pub use agent_identity::{AgentCodeError, AgentIdentity, AgentPublic};
pub use chunker::{Chunker, ChunkerError, Scan};
pub use compress::Scratch;
pub use domain::{DomainSecret, GearTable, IdKey};
pub use error::SealError;
pub use frame::{FrameOpener, PackSealer};
pub use grant::{Openings, open_grants, seal_grants};
pub use key_bundle::{KdfParams, KeyBundle, KeyBundlePublic};
pub use key_file::KeyFileError;
pub use opening::{open_opening, seal_opening};
pub use requester::RequesterIdentity;
pub use root::{RootPlain, open_root, open_root_with, seal_root};
pub use session::{
    OpenedSession, PackKey, RecoveryKey, RootKey, SessionKey, open_session, open_wrapped,
    seal_session, wrap_session,
};
pub use share::{KeyShare, MAX_SHARES, ShareError, ShareSet, join_shares, split_bundle};
