//! The keeper: writes what is on the board, every few seconds and when the controller stops.
//!
//! Invariant: idempotent; what could not be written stays on the board, and is written with the next round.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, Timestamp};
use tokio::sync::watch;

use crate::db::{Db, DbError, heartbeats as rows};
use crate::turns::Turns;

/// How often the board is written: the most that a crash takes of when agents were heard.
pub const KEEP_EVERY: Duration = Duration::from_secs(5);

/// Puts every agent of the register onto the board, so that none has to be looked up when all come at once.
///
/// # Errors
/// If the database fails.
pub fn load(db: &Db, now: Timestamp) -> Result<(), DbError> {
    for (agent, stored) in db.read(|tx| rows::all_stored(tx))? {
        db.board().admit(now, agent, stored);
    }
    Ok(())
}

/// Writes what is on the board and not in the database; with `all`, also what could wait.
///
/// # Errors
/// If the database fails: everything stays on the board.
pub async fn keep(db: &Db, now: Timestamp, all: bool) -> Result<(), DbError> {
    let changes = Arc::new(db.board().to_keep(now, all));
    if changes.is_empty() {
        return Ok(());
    }
    let shared = changes.clone();
    db.write_async(move |tx| rows::keep(tx, &shared)).await?;
    db.board().kept(now, &changes);
    Ok(())
}

/// Writes the board until it is told to stop, and then all of it.
pub async fn run(db: Db, clock: Arc<dyn Clock>, stop: watch::Receiver<bool>) {
    let mut turns = Turns::every(KEEP_EVERY, stop);
    loop {
        let stopped = !turns.next().await;
        if let Err(error) = keep(&db, clock.now(), stopped).await {
            tracing::error!(
                "heartbeats could not be written, and are kept in memory: {}",
                lumbung_model::with_causes(&error)
            );
        }
        if stopped {
            return;
        }
    }
}
