//! Sessions opened with a recovery key: as they were sealed to it, or as the owner wrapped them for it later.
//!
//! Invariant: what a wrap gives is taken only where it fits what the session sealed. Whoever once had a root key can
//! have made wraps that open to something else; they stand behind those of today's root keys, and are passed over.

use std::collections::HashMap;
use std::sync::OnceLock;

use lumbung_model::SessionId;
use lumbung_pack::wrap::{is_owners, last_listed};
use lumbung_pack::{
    FormatError, Kind, Manifest, PackHeader, RosterChain, Session, Signed, Wrap, WrappedSession,
    open_signed,
};
use lumbung_seal::{
    FrameOpener, OpenedSession, RecoveryKey, SealError, open_root, open_session, open_wrapped,
};

use super::SnapshotError;
use super::frames::{read_head, read_usage};
use super::listing::read_object;
use crate::{Depot, DepotError};

/// What a session sealed, and what therefore tells whether secrets are that session's.
#[derive(Clone, Copy)]
pub enum Sealed<'a> {
    /// The root of a manifest whose first session it is.
    Root(&'a Manifest),
    /// A pack.
    Pack(&'a PackHeader),
}

impl Sealed<'_> {
    fn fits(&self, opened: &OpenedSession) -> bool {
        match self {
            Self::Root(manifest) => open_root(&opened.key, manifest).is_ok(),
            Self::Pack(header) => FrameOpener::new(header, &opened.key).is_ok(),
        }
    }
}

/// The wraps of one depot for one key.
#[derive(Default)]
struct Wrapped {
    /// By session, the newest roster's signers first.
    sessions: HashMap<SessionId, Vec<WrappedSession>>,
    /// The first that could not be read: what it holds is not known.
    unreadable: Option<SnapshotError>,
}

/// The owner's wraps in a depot.
#[derive(Default)]
pub struct Wraps {
    /// Those whose signer was a root key of the repository.
    pub wraps: Vec<Signed<Wrap>>,
    /// Why others could not be read.
    pub unreadable: Vec<SnapshotError>,
}

/// Opens the sessions of one repository.
pub struct SessionOpener {
    chain: RosterChain,
    recovery: RecoveryKey,
    /// Of the depot and of its fallback; read when the first session needs one.
    wraps: [OnceLock<Wrapped>; 2],
}

impl SessionOpener {
    /// For this recovery key, and the repository of these rosters.
    #[must_use]
    pub const fn new(chain: RosterChain, recovery: RecoveryKey) -> Self {
        Self { chain, recovery, wraps: [OnceLock::new(), OnceLock::new()] }
    }

    /// Opens a session that a manifest names. What is given comes first; after it what else fits and differs in the
    /// domain's secret only, which `sealed` does not tell.
    ///
    /// # Errors
    /// If it is missing, damaged, of another repository or domain, or neither sealed nor wrapped to the key.
    pub fn open(
        &self,
        (depot, fallback): (&dyn Depot, Option<&dyn Depot>),
        manifest: &Manifest,
        id: &SessionId,
        sealed: Sealed<'_>,
    ) -> Result<Vec<OpenedSession>, SnapshotError> {
        let session = match (read_session(depot, id), fallback) {
            (Err(error), Some(other)) => read_session(other, id).map_err(|_| error)?,
            (read, _) => read?,
        };
        if session.repository != manifest.repository || session.domain != manifest.domain {
            return Err(SnapshotError::UnknownSession(*id));
        }
        self.open_read((depot, fallback), id, &session, &|opened| sealed.fits(opened))
    }

    /// Opens a session that was read, as [`Self::open`]. `fits` is asked of what wraps give, not of the session itself.
    ///
    /// # Errors
    /// If it is neither sealed nor wrapped to the key.
    pub fn open_read(
        &self,
        (depot, fallback): (&dyn Depot, Option<&dyn Depot>),
        id: &SessionId,
        session: &Session,
        fits: &dyn Fn(&OpenedSession) -> bool,
    ) -> Result<Vec<OpenedSession>, SnapshotError> {
        let closed = match open_session(session, &self.recovery) {
            Ok(opened) => return Ok(vec![opened]),
            Err(error) => error,
        };
        let mut failed = None;
        if matches!(closed, SealError::NotRecipient(_)) {
            let repository = &self.chain.repository();
            let depots = [Some(depot), fallback];
            for (depot, kept) in depots.into_iter().zip(&self.wraps) {
                let Some(depot) = depot else { continue };
                let wrapped = match self.wraps(depot, kept) {
                    Ok(wrapped) => wrapped,
                    Err(error) => {
                        failed.get_or_insert(error);
                        continue;
                    }
                };
                let candidates = wrapped.sessions.get(id).into_iter().flatten();
                let opened: Vec<_> = candidates
                    .filter_map(|one| open_wrapped(repository, one, &self.recovery).ok())
                    .filter(|opened| fits(opened))
                    .collect();
                if !opened.is_empty() {
                    return Ok(opened);
                }
                if let Some(unreadable) = &wrapped.unreadable {
                    let reason = lumbung_model::with_causes(unreadable);
                    failed.get_or_insert(SnapshotError::WrapUnreadable { session: *id, reason });
                }
            }
        }
        let what = || format!("session {id}");
        Err(failed.unwrap_or_else(|| SnapshotError::Open { what: what(), source: closed }))
    }

    /// The wraps of a depot, read once; what the network did not give is asked for again.
    fn wraps<'a>(
        &self,
        depot: &dyn Depot,
        kept: &'a OnceLock<Wrapped>,
    ) -> Result<&'a Wrapped, SnapshotError> {
        if let Some(wrapped) = kept.get() {
            return Ok(wrapped);
        }
        let read = read_wraps(depot, &self.chain)?;
        let own = self.recovery.public();
        let mut found: Vec<_> =
            read.wraps.into_iter().filter(|wrap| wrap.body.recipient == own).collect();
        found.sort_by_key(|wrap| {
            std::cmp::Reverse((last_listed(&self.chain, &wrap.signer), wrap.body.made))
        });
        let unreadable = read.unreadable.into_iter().next();
        let mut wrapped = Wrapped { unreadable, ..Wrapped::default() };
        for one in found.into_iter().flat_map(|wrap| wrap.body.sessions) {
            wrapped.sessions.entry(one.session).or_default().push(one);
        }
        Ok(kept.get_or_init(|| wrapped))
    }
}

/// Whether secrets are a session's, by the root of one of the manifests that name it, or else by a pack of it that they
/// use. No where nothing of it can be read.
#[must_use]
pub fn session_fits(
    depot: &dyn Depot,
    id: &SessionId,
    manifests: &[&Manifest],
    opened: &OpenedSession,
) -> bool {
    if let Some(own) = manifests.iter().find(|manifest| manifest.sessions.first() == Some(id)) {
        return Sealed::Root(own).fits(opened);
    }
    let packs = manifests.iter().filter_map(|manifest| read_usage(depot, manifest).ok()).flatten();
    let mut heads = packs.filter_map(|pack| read_head(depot, &pack).ok());
    heads
        .find(|head| head.header.session == *id)
        .is_some_and(|head| Sealed::Pack(&head.header).fits(opened))
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

/// The owner's wraps in a depot; those that are damaged or gone are told beside.
///
/// # Errors
/// If the depot does not answer.
pub fn read_wraps(depot: &dyn Depot, chain: &RosterChain) -> Result<Wraps, SnapshotError> {
    let ids = match depot.list(Kind::Wrap) {
        // An agent, a grantee, or a site of an older version: no wraps for them.
        Err(DepotError::Refused { .. } | DepotError::NotFound { .. }) => Vec::new(),
        listed => listed?,
    };
    let mut read = Wraps::default();
    for id in ids {
        match read_wrap(depot, &id) {
            Ok(wrap) if is_owners(chain, &wrap) => read.wraps.push(wrap),
            Ok(_) => {}
            Err(SnapshotError::Depot(error)) if error.is_transient() => return Err(error.into()),
            Err(error) => read.unreadable.push(error),
        }
    }
    Ok(read)
}

fn read_wrap(depot: &dyn Depot, id: &[u8; 32]) -> Result<Signed<Wrap>, SnapshotError> {
    let bytes = read_object(depot, Kind::Wrap, id)?;
    open_signed::<Wrap>(&bytes)
        .map_err(|source| damaged(depot, format!("wrap {}", crate::depot::hex(id)), source))
}

fn damaged(depot: &dyn Depot, what: String, source: FormatError) -> SnapshotError {
    SnapshotError::Object { what, depot: depot.describe(), source }
}
