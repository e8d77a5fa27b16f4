//! Who acts: the statements that this controller knows, and what follows from them for itself.
//!
//! Invariants: statements are only added, each verified with all before it; what another machine hands in counts for what
//! two officers signed, never for who handed it in, and the first statement is taken at the console only. A controller that
//! a newer statement does not name stops acting, and never begins again by itself.

pub mod lookout;

use std::sync::{PoisonError, RwLock};

use lumbung_model::TlsPin;
use lumbung_wire::audit::ActorKind;
use lumbung_wire::messages::overview::ControllerState;
use lumbung_wire::messages::succession::{Officer, Succession};
use lumbung_wire::succession::{Chain, Relation, SuccessionError, signed_by};
use rusqlite::Connection;
use serde_json::json;
use tokio::sync::Notify;

use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::{Db, DbError, succession as rows};

/// Why a statement is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It does not hold.
    #[error(transparent)]
    Refused(#[from] SuccessionError),
    /// It contradicts one that was taken.
    #[error(
        "statement {0} contradicts one that was taken here: officers have signed two, find out which counts before anything is done"
    )]
    Fork(u64),
    /// It is of another city.
    #[error("the statement is for another CA than this controller's: take the file of this city")]
    OtherCa,
    /// The first one came over the network.
    #[error(
        "no officers were named here yet: the first statement is taken at the controller's own console (`lumbung-controller succession take`)"
    )]
    First,
    /// The database failed.
    #[error("the statement could not be kept")]
    Db(#[from] DbError),
}

/// The statements that are known; none where no officers were ever named.
///
/// # Errors
/// If they cannot be read, or do not hold.
pub fn chain(db: &Connection) -> Result<Option<Chain>, DbError> {
    let all = rows::all(db)?;
    if all.statements.is_empty() {
        return Ok(None);
    }
    Chain::open(&all).map(Some).map_err(|_| DbError::Corrupt { what: "a statement" })
}

/// What whoever holds this key is. Without officers there is one controller, and it acts.
#[must_use]
pub fn standing(chain: Option<&Chain>, own: &TlsPin) -> ControllerState {
    chain.map_or(ControllerState::Acting, |chain| chain.standing(own))
}

/// Takes what is new in a succession; the chain afterwards, if anything was.
///
/// # Errors
/// If it does not hold, contradicts what is known, or nothing may be taken from there.
pub fn take(
    db: &Connection,
    act: &Act,
    ca_fingerprint: &str,
    presented: &Succession,
) -> Result<Option<Chain>, TakeError> {
    let newer = Chain::open(presented)?;
    let known = chain(db)?;
    match &known {
        Some(known) => match newer.relation(known) {
            Relation::Newer => {}
            Relation::Same | Relation::Older => return Ok(None),
            Relation::Fork => return Err(TakeError::Fork(newer.epoch())),
        },
        None if act.actor.kind != ActorKind::Console => return Err(TakeError::First),
        None => {}
    }
    if newer.newest().ca != ca_fingerprint {
        return Err(TakeError::OtherCa);
    }
    let from = known.as_ref().map_or(0, Chain::epoch);
    for (epoch, signed) in (1..).zip(&presented.statements).filter(|(epoch, _)| *epoch > from) {
        rows::insert(db, act.now, epoch, signed)?;
    }
    let signers: Vec<String> = names(&signed_by(presented)?);
    let deed = Deed { action: "succession.take", kind: "succession", id: &newer.epoch(), pd: None };
    let before = known.as_ref().map(|known| audit::shown(known.newest())).transpose()?;
    let after = json!({ "statement": audit::shown(newer.newest())?, "signed_by": signers });
    audit::append(db, act, deed, before, Some(after))?;
    Ok(Some(newer))
}

/// As people know them.
#[must_use]
pub fn names(officers: &[Officer]) -> Vec<String> {
    officers.iter().map(|officer| officer.name.clone()).collect()
}

/// The own seat while the daemon runs: which epoch it acts in, and the end of it.
#[derive(Debug)]
pub struct Post {
    own: TlsPin,
    ca_fingerprint: String,
    chain: RwLock<Option<Chain>>,
    lost: Notify,
}

impl Post {
    /// The post of whoever holds this key.
    ///
    /// # Errors
    /// If the statements cannot be read.
    pub fn open(db: &Db, own: TlsPin, ca_fingerprint: &str) -> Result<Self, DbError> {
        let post = Self {
            own,
            ca_fingerprint: ca_fingerprint.to_owned(),
            chain: RwLock::default(),
            lost: Notify::new(),
        };
        post.note(db.read(|tx| chain(tx))?);
        Ok(post)
    }

    /// The chain that is known.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The epoch in which it acts, as heartbeats are answered.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Chain::epoch)
    }

    /// What it is.
    #[must_use]
    pub fn standing(&self) -> ControllerState {
        let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
        standing(chain.as_ref(), &self.own)
    }

    /// Resolves once another one acts.
    pub async fn lost(&self) {
        while self.standing() == ControllerState::Acting {
            self.lost.notified().await;
        }
    }

    /// Reads anew what the console may have taken.
    ///
    /// # Errors
    /// If the statements cannot be read.
    pub async fn refresh(&self, db: &Db) -> Result<(), DbError> {
        let chain = db.read_async(|tx| chain(tx)).await?;
        self.note(chain);
        Ok(())
    }

    /// Takes what somebody hands in.
    ///
    /// # Errors
    /// As [`take`].
    pub async fn take(&self, db: &Db, act: Act, presented: Succession) -> Result<(), TakeError> {
        let ca = self.ca_fingerprint.clone();
        let taken = db.write_async(move |tx| take(tx, &act, &ca, &presented)).await?;
        if let Some(newer) = taken {
            tracing::warn!(
                epoch = newer.epoch(),
                at = newer.newest().controller.url,
                "a newer statement of who acts"
            );
            self.note(Some(newer));
        }
        Ok(())
    }

    fn note(&self, chain: Option<Chain>) {
        if chain.is_some() {
            *self.chain.write().unwrap_or_else(PoisonError::into_inner) = chain;
        }
        if self.standing() != ControllerState::Acting {
            self.lost.notify_one();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
