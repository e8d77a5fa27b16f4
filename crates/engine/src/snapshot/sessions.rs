//! Sessions opened with a recovery key: as they were sealed to it, or as the owner wrapped them for it later.

use std::collections::HashMap;
use std::sync::OnceLock;

use lumbung_model::SessionId;
use lumbung_pack::wrap::is_owners;
use lumbung_pack::{
    FormatError, Kind, Manifest, RosterChain, Session, Wrap, WrappedSession, open_signed,
};
use lumbung_seal::{OpenedSession, RecoveryKey, SealError, open_session, open_wrapped};

use super::SnapshotError;
use super::listing::read_object;
use crate::{Depot, DepotError};

/// Opens the sessions of one repository.
pub struct SessionOpener {
    chain: RosterChain,
    recovery: RecoveryKey,
    /// The wraps for this key, the newest roster's signers first; read when the first session needs one.
    wraps: OnceLock<HashMap<SessionId, Vec<WrappedSession>>>,
}

impl SessionOpener {
    /// For this recovery key, and the repository of these rosters.
    #[must_use]
    pub const fn new(chain: RosterChain, recovery: RecoveryKey) -> Self {
        Self { chain, recovery, wraps: OnceLock::new() }
    }

    /// Opens a session that a manifest names.
    ///
    /// # Errors
    /// If it is missing, damaged, of another repository or domain, or neither sealed nor wrapped to the key.
    pub fn open(
        &self,
        depot: &dyn Depot,
        manifest: &Manifest,
        id: &SessionId,
    ) -> Result<OpenedSession, SnapshotError> {
        let session = read_session(depot, id)?;
        if session.repository != manifest.repository || session.domain != manifest.domain {
            return Err(SnapshotError::UnknownSession(*id));
        }
        self.open_read(depot, id, &session)
    }

    /// Opens a session that was read.
    ///
    /// # Errors
    /// If it is neither sealed nor wrapped to the key.
    pub fn open_read(
        &self,
        depot: &dyn Depot,
        id: &SessionId,
        session: &Session,
    ) -> Result<OpenedSession, SnapshotError> {
        let error = match open_session(session, &self.recovery) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        if matches!(error, SealError::NotRecipient(_)) {
            let wrapped = self.wraps(depot)?.get(id);
            let repository = &self.chain.repository();
            let open = |one| open_wrapped(repository, one, &self.recovery).ok();
            if let Some(opened) = wrapped.into_iter().flatten().find_map(open) {
                return Ok(opened);
            }
        }
        Err(SnapshotError::Open { what: format!("session {id}"), source: error })
    }

    fn wraps(
        &self,
        depot: &dyn Depot,
    ) -> Result<&HashMap<SessionId, Vec<WrappedSession>>, SnapshotError> {
        if let Some(wraps) = self.wraps.get() {
            return Ok(wraps);
        }
        let mut found = Vec::new();
        for wrap in read_wraps(depot, &self.chain)? {
            if wrap.body.recipient == self.recovery.public() {
                found.push((!self.chain.is_root_key(&wrap.signer), wrap.body));
            }
        }
        found.sort_by_key(|(former, wrap)| (*former, wrap.made));
        let mut wraps: HashMap<SessionId, Vec<WrappedSession>> = HashMap::new();
        for wrapped in found.into_iter().flat_map(|(_, wrap)| wrap.sessions) {
            wraps.entry(wrapped.session).or_default().push(wrapped);
        }
        Ok(self.wraps.get_or_init(|| wraps))
    }
}

/// A session, with its signature verified.
///
/// # Errors
/// If it is missing or damaged.
pub fn read_session(depot: &dyn Depot, id: &SessionId) -> Result<Session, SnapshotError> {
    let bytes = read_object(depot, Kind::Session, id.as_bytes())?;
    let opened = open_signed::<Session>(&bytes);
    Ok(opened.map_err(|source| damaged(depot, format!("session {id}"), source))?.body)
}

/// The owner's wraps in a depot.
///
/// # Errors
/// If the depot does not answer, or one is damaged.
pub fn read_wraps(
    depot: &dyn Depot,
    chain: &RosterChain,
) -> Result<Vec<lumbung_pack::Signed<Wrap>>, SnapshotError> {
    let ids = match depot.list(Kind::Wrap) {
        // An agent, a grantee, or a site of an older version: no wraps for them.
        Err(DepotError::Refused { .. } | DepotError::NotFound { .. }) => Vec::new(),
        listed => listed?,
    };
    let mut wraps = Vec::new();
    for id in ids {
        let bytes = read_object(depot, Kind::Wrap, &id)?;
        let wrap = open_signed::<Wrap>(&bytes)
            .map_err(|source| damaged(depot, format!("wrap {}", crate::depot::hex(&id)), source))?;
        if is_owners(chain, &wrap) {
            wraps.push(wrap);
        }
    }
    Ok(wraps)
}

fn damaged(depot: &dyn Depot, what: String, source: FormatError) -> SnapshotError {
    SnapshotError::Object { what, depot: depot.describe(), source }
}
