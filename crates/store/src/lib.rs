//! A repository in a directory: the layout of `docs/format.md` §3, written durably and read with checks.
//!
//! Invariants:
//! - A name appears only when all of its bytes are on the disk (temporary file, fsync, rename without
//!   replacing, fsync of the directory) and only after the bytes have been checked against that name.
//! - A file is replaced only by one of the same id whose bytes match, where the one in place is damaged or
//!   lacks frames. [`RepositoryDir::remove`] and [`RepositoryDir::drop_frames`] alone take anything away: they
//!   are for a vault's retention and sweep, which decide.
//! - Everything read is checked against its id, with its size capped before memory is taken.

mod directory;
pub mod durable;
mod error;
mod intake;
pub mod medium;
mod packs;
mod presence;
#[cfg(feature = "testing")]
pub mod recording;
#[cfg(feature = "testing")]
pub mod sample;
mod scan;

pub use directory::{FolderStamp, PutOutcome, RepositoryDir, check_object};
pub use error::StoreError;
pub use intake::{PackChecker, PackFault};
pub use medium::MediumDir;
pub use packs::{PackFile, PackWriter, check_frames, decode_head};
pub use presence::{PartialPackWriter, decode_presence, encode_presence};
pub use scan::{FrameScanner, READ_BYTES, Scanned};
