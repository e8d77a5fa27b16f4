//! Who acts: the statements that this controller knows, and what follows from them for itself.
//!
//! Invariants: statements are only added, each verified with all before it; what another machine hands in counts for what
//! two officers signed, never for who handed it in, and the first statement is taken at the console only. A controller that
//! a newer statement does not name stops acting, and never begins again by itself; nor does one that knows no statement act
//! while a vault shows one that names another.

pub mod lookout;
pub mod standbys;

use std::sync::{Arc, PoisonError, RwLock};

use lumbung_model::TlsPin;
use lumbung_wire::audit::ActorKind;
use lumbung_wire::messages::overview::ControllerState;
use lumbung_wire::messages::succession::{Officer, Succession};
use lumbung_wire::succession::{Chain, Relation, SuccessionError};
use rusqlite::Connection;
use serde_json::json;
use tokio::sync::{Mutex, Notify};

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

/// Verifies what is new in a succession; none if nothing is. Blocks for as long as its signatures take, and needs no database:
/// what is older or contradicts is refused by its texts, before any signature is looked at.
///
/// # Errors
/// If it does not hold, contradicts what is known, or nothing may be taken from there.
pub fn verify(
    known: Option<&Chain>,
    act: &Act,
    ca_fingerprint: &str,
    presented: &Succession,
) -> Result<Option<Chain>, TakeError> {
    let newer = match known {
        Some(known) => match known.met(presented) {
            Relation::Newer => known.extend(presented)?,
            Relation::Same | Relation::Older => return Ok(None),
            Relation::Fork => return Err(TakeError::Fork(epochs(presented))),
        },
        None if act.actor.kind != ActorKind::Console => return Err(TakeError::First),
        None => Chain::open(presented)?,
    };
    if newer.newest().ca != ca_fingerprint {
        return Err(TakeError::OtherCa);
    }
    Ok(Some(newer))
}

fn epochs(presented: &Succession) -> u64 {
    u64::try_from(presented.statements.len()).unwrap_or(u64::MAX)
}

/// Keeps what [`verify`] found new; whether it still is. Somebody else may have taken another one since.
///
/// # Errors
/// If it contradicts what is kept, or nothing may be taken from there.
pub fn keep(db: &Connection, act: &Act, newer: &Chain) -> Result<bool, TakeError> {
    let kept = rows::all(db)?;
    match newer.met(&kept) {
        Relation::Older => {}
        Relation::Same | Relation::Newer => return Ok(false),
        Relation::Fork => return Err(TakeError::Fork(newer.epoch())),
    }
    if kept.statements.is_empty() && act.actor.kind != ActorKind::Console {
        return Err(TakeError::First);
    }
    let from = epochs(&kept);
    for (epoch, signed) in newer.after(from) {
        rows::insert(db, act.now, epoch, signed)?;
    }
    let deed = Deed { action: "succession.take", kind: "succession", id: &newer.epoch(), pd: None };
    let before = newer.at(from).map(audit::shown).transpose()?;
    let signers = names(&newer.signers());
    let after = json!({ "statement": audit::shown(newer.newest())?, "signed_by": signers });
    audit::append(db, act, deed, before, Some(after))?;
    Ok(true)
}

/// Takes what is new in a succession, at the console; the chain afterwards, if anything was.
///
/// # Errors
/// As [`verify`] and [`keep`].
pub fn take(
    db: &Connection,
    act: &Act,
    ca_fingerprint: &str,
    presented: &Succession,
) -> Result<Option<Chain>, TakeError> {
    let known = chain(db)?;
    let Some(newer) = verify(known.as_ref(), act, ca_fingerprint, presented)? else {
        return Ok(None);
    };
    Ok(keep(db, act, &newer)?.then_some(newer))
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
    /// What a vault showed while none was known here, of this city, by which another one acts. It is not kept: the first
    /// statement is taken at the console.
    shown: RwLock<Option<Chain>>,
    lost: Notify,
    /// What strangers hand in is verified one after the other: signatures take time.
    verifying: Arc<Mutex<()>>,
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
            shown: RwLock::default(),
            lost: Notify::new(),
            verifying: Arc::default(),
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
        match chain.as_ref() {
            None => standing(self.displaced().as_ref(), &self.own),
            known => standing(known, &self.own),
        }
    }

    /// By which statements another one acts, where none is known here.
    #[must_use]
    pub fn displaced(&self) -> Option<Chain> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at what a vault shows while none is known here: a copy from before the first statement must not act beside the
    /// controller that was named since. A vault that makes officers up stops this one, and the console ends that.
    pub async fn shown(&self, url: &str, theirs: Succession) {
        let turn = self.verifying.clone().lock_owned().await;
        let opened = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            Chain::open(&theirs)
        });
        let Ok(opened) = opened.await else { return };
        let chain = match opened {
            Ok(chain) if chain.newest().ca == self.ca_fingerprint => chain,
            Ok(_) => return tracing::error!("{url} tells of who acts in another city"),
            Err(error) => {
                return tracing::error!("{url} tells of who acts what is not believed: {error}");
            }
        };
        if chain.standing(&self.own) == ControllerState::Acting {
            return;
        }
        tracing::error!(
            epoch = chain.epoch(),
            acts = chain.newest().controller.url,
            "{url} knows who acts, and no statement is known here: this controller does not act. Take the newest signed \
             statement here (`lumbung-controller succession take FILE`) and go on with `promote` or `standby`; if nobody ever named \
             officers, that vault is not to be trusted: name some here (`succession draft`, two signatures, `take`) and start this again"
        );
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        self.lost.notify_one();
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
    /// As [`verify`] and [`keep`].
    pub async fn take(&self, db: &Db, act: Act, presented: Succession) -> Result<(), TakeError> {
        match self.chain().map(|known| known.met(&presented)) {
            None => return Err(TakeError::First),
            Some(Relation::Same | Relation::Older) => return Ok(()),
            Some(Relation::Fork) => return Err(TakeError::Fork(epochs(&presented))),
            Some(Relation::Newer) => {}
        }
        let turn = self.verifying.clone().lock_owned().await;
        // Read in its turn: whoever came before may have brought the same.
        let (known, ca, of) = (self.chain(), self.ca_fingerprint.clone(), act.clone());
        let verified = tokio::task::spawn_blocking(move || {
            // Held to the end, also when whoever asked is gone.
            let _turn = turn;
            verify(known.as_ref(), &of, &ca, &presented)
        });
        let Some(newer) = verified.await.map_err(|_| DbError::Worker)?? else { return Ok(()) };
        let keeping = newer.clone();
        if db.write_async(move |tx| keep(tx, &act, &keeping)).await? {
            tracing::warn!(
                epoch = newer.epoch(),
                at = newer.newest().controller.url,
                "a newer statement of who acts"
            );
            self.note(Some(newer));
            return Ok(());
        }
        // Somebody else has taken it, or a later one, in the meantime.
        Ok(self.refresh(db).await?)
    }

    /// Goes on to a newer chain, never back: what was read before another one was taken comes too late.
    fn note(&self, chain: Option<Chain>) {
        let mut known = self.chain.write().unwrap_or_else(PoisonError::into_inner);
        if chain.as_ref().map(Chain::epoch) > known.as_ref().map(Chain::epoch) {
            *known = chain;
        }
        drop(known);
        if self.standing() != ControllerState::Acting {
            self.lost.notify_one();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
