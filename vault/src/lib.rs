//! `lumbung-vault`: one a site. Keeps what agents send, immutable and verified; can decrypt nothing.
//!
//! [`Vault`] is the vault itself: blocking, without network. [`http`] answers requests over mutual TLS,
//! [`pull`] and [`scrub`] work in the background, [`metrics`] tells how it is,
//! [`cli`] is the console.
//! Invariants: files are the authority and the index follows them; no request deletes anything; what
//! comes from the network is checked before it gets a name.

mod bandwidth;
mod capacity;
pub mod cli;
mod commit;
mod config;
pub mod console;
pub mod daemon;
mod error;
mod gc;
mod grants;
mod holdings;
pub mod http;
mod index;
mod intake;
mod inventory;
mod media;
pub mod metrics;
mod pack_intake;
pub mod pull;
mod quota;
mod reconcile;
mod repository;
pub mod retention;
pub mod scrub;
pub mod state;
pub mod status;
pub mod storage;
mod succession;
mod tenancy;
mod vantage;
mod vault;
mod workers;

pub use commit::Committed;
pub use config::{
    Config, ConfigError, DatasetConfig, RepositoryConfig, SourceConfig, VantageConfig,
};
pub use error::VaultError;
pub use gc::{GoOn, Swept};
pub use index::{AlarmRow, IndexError};
pub use intake::{Founder, Sender};
pub use inventory::Occasion;
pub use media::Imported;
pub use pack_intake::{FramesIntake, PackIntake};
pub use repository::Repository;
pub use storage::{StorageConfig, StorageKind};
pub use vault::{Vault, admit, forget_index, storage_holder, take_storage};
