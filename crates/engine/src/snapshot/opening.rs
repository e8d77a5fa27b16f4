//! With what a snapshot is opened: the recovery key of a recipient, or what an owner granted.

use std::sync::Arc;

use lumbung_seal::{Openings, RecoveryKey};

/// What opens a snapshot.
pub enum Opening {
    /// Whoever has it opens every session that is sealed to it.
    Recovery(RecoveryKey),
    /// The keys of exactly what was granted.
    Granted(Arc<Openings>),
}

impl From<&RecoveryKey> for Opening {
    fn from(key: &RecoveryKey) -> Self {
        Self::Recovery(key.duplicate())
    }
}

impl From<&Arc<Openings>> for Opening {
    fn from(openings: &Arc<Openings>) -> Self {
        Self::Granted(Arc::clone(openings))
    }
}

impl From<&Self> for Opening {
    fn from(opening: &Self) -> Self {
        match opening {
            Self::Recovery(key) => Self::from(key),
            Self::Granted(openings) => Self::from(openings),
        }
    }
}
