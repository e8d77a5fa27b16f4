//! Group commit: changes that wait at the same time share one transaction, and so one sync of the disk.
//!
//! Invariants: each change is kept whole or not at all; one that fails, or panics, takes no other with it; nobody is
//! answered before the transaction that holds its change is durable. Changes run in the order in which they came, one at
//! a time.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::{Db, DbError};

/// Changes in one transaction at most: the first of them waits for the last.
const GROUP_MAX: usize = 512;

/// A change that waits for its transaction.
trait Change: Send {
    /// Makes the change; false if nothing of it is to be kept.
    fn make(&mut self, tx: &Transaction<'_>) -> bool;
    /// Tells whoever waits what came of it: the transaction is durable, or failed.
    fn answer(self: Box<Self>, failed: Option<&Arc<rusqlite::Error>>);
}

struct Asked<F, T, E> {
    change: Option<F>,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Change for Asked<F, T, E>
where
    F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<DbError> + Send,
{
    fn make(&mut self, tx: &Transaction<'_>) -> bool {
        let Some(change) = self.change.take() else { return false };
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| change(tx)));
        let outcome = made.unwrap_or_else(|_| Err(DbError::Worker.into()));
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, failed: Option<&Arc<rusqlite::Error>>) {
        let outcome = match (self.outcome, failed) {
            (Some(Ok(_)) | None, Some(failed)) => Err(DbError::Commit(failed.clone()).into()),
            (Some(outcome), _) => outcome,
            (None, None) => Err(DbError::Worker.into()),
        };
        // Whoever asked may be gone; what it changed stays.
        let _ = self.answer.send(outcome);
    }
}

/// The changes that wait.
#[derive(Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    changes: Vec<Box<dyn Change>>,
    /// Somebody is at it, and will look here again.
    running: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a change; true if nobody is at it.
    fn push(&self, change: Box<dyn Change>) -> bool {
        let mut waiting = self.lock();
        waiting.changes.push(change);
        !std::mem::replace(&mut waiting.running, true)
    }

    /// The next group; none once there is nothing left, and then nobody is at it.
    fn next(&self) -> Option<Vec<Box<dyn Change>>> {
        let mut waiting = self.lock();
        waiting.running = !waiting.changes.is_empty();
        let many = waiting.changes.len().min(GROUP_MAX);
        waiting.running.then(|| waiting.changes.drain(..many).collect())
    }
}

/// Lets the next change find its way where a group ended in a panic.
struct AtIt<'a>(&'a Queue);

impl Drop for AtIt<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Those who wait are told by their senders' end.
            *self.0.lock() = Waiting::default();
        }
    }
}

impl Db {
    /// [`Self::write`] from async code, together with others that wait at the time.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_async<T, E>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        if self.0.queue.push(Box::new(Asked { change: Some(change), outcome: None, answer })) {
            let db = self.clone();
            tokio::task::spawn_blocking(move || db.commit_waiting());
        }
        answered.await.unwrap_or_else(|_| Err(DbError::Worker.into()))
    }

    fn commit_waiting(&self) {
        let queue = &self.0.queue;
        let _at_it = AtIt(queue);
        loop {
            // What comes while somebody else writes is taken along.
            let mut writer = self.writer();
            let Some(mut changes) = queue.next() else { return };
            let failed = commit(&mut writer, &mut changes).err().map(Arc::new);
            drop(writer);
            self.0.written.notify_one();
            for change in changes {
                change.answer(failed.as_ref());
            }
            self.0.log.keep_short(&self.writer());
        }
    }
}

fn commit(writer: &mut Connection, changes: &mut [Box<dyn Change>]) -> rusqlite::Result<()> {
    let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // One alone (a large import, say) needs no second copy of the pages that it changes.
    if let [change] = changes {
        return if change.make(&tx) { tx.commit() } else { tx.rollback() };
    }
    for change in changes {
        tx.prepare_cached("SAVEPOINT change")?.execute([])?;
        if !change.make(&tx) {
            tx.prepare_cached("ROLLBACK TO change")?.execute([])?;
        }
        tx.prepare_cached("RELEASE change")?.execute([])?;
    }
    tx.commit()
}

#[cfg(test)]
mod tests;
