//! What a snapshot's sealed root says of it: host, label, sources. Needs the recovery key.

use lumbung_engine::{Depot, DepotError, Sealed, SessionOpener, SnapshotError};
use lumbung_model::ManifestId;
use lumbung_pack::{FormatError, Kind, Manifest, object_id, open_signed};
use lumbung_seal::{Openings, RootPlain, SealError, open_root};

/// Why a root stays closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LabelError {
    /// The depot.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// Not what its name says.
    #[error("its bytes are not what its name says")]
    WrongBytes,
    /// It does not decode.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its session is not there, or does not open with this key.
    #[error("{}", lumbung_model::with_causes(.0))]
    Session(#[from] SnapshotError),
    /// It does not open with this key.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Opens the root of a snapshot, partial ones too, and nothing more.
///
/// # Errors
/// If manifest or session are missing, damaged or not sealed to this key.
pub(crate) fn open(
    depot: &dyn Depot,
    id: &ManifestId,
    opener: &SessionOpener,
) -> Result<RootPlain, LabelError> {
    let manifest = open_signed::<Manifest>(&fetch(depot, Kind::Manifest, id.as_bytes())?)?.body;
    let first = manifest.sessions.first().ok_or(LabelError::WrongBytes)?;
    let opened = opener.open((depot, None), &manifest, first, Sealed::Root(&manifest))?;
    let opened = opened.first().ok_or(LabelError::WrongBytes)?;
    Ok(open_root(&opened.key, &manifest)?)
}

/// Opens the root of a snapshot that was granted.
///
/// # Errors
/// If the manifest is missing or damaged, or the grant does not open it.
pub(crate) fn granted(
    depot: &dyn Depot,
    id: &ManifestId,
    openings: &Openings,
) -> Result<RootPlain, LabelError> {
    let manifest = open_signed::<Manifest>(&fetch(depot, Kind::Manifest, id.as_bytes())?)?.body;
    Ok(openings.open_root(id, &manifest)?)
}

fn fetch(depot: &dyn Depot, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, LabelError> {
    let bytes = depot.get(kind, id)?;
    if object_id(&bytes) == *id { Ok(bytes) } else { Err(LabelError::WrongBytes) }
}
