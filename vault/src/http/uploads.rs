//! How many bodies may be on their way in: in all, and from one caller, so that slow or hostile callers do
//! not keep the others out. Whoever has no certificate of the city's CA counts as one and the same caller:
//! keys cost nothing. Bodies of PDs that are held to a cap last long, and have places of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::{AgentId, SiteId};
use lumbung_wire::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bandwidth::Line;
use crate::tenancy::Caller;

/// Places of bodies that are held to a cap: each takes a thread.
const SLOW: usize = 256;
/// A body of at most so many bytes waits for no place of the slow ones: at 1 KiB/s it has an ordinary one for a minute.
const SMALL_BYTES: u64 = 64 << 10;

/// Whose places are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Agent(AgentId),
    Site(SiteId),
    Overseers,
    Keys,
}

impl Party {
    const fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Agent { agent, .. } => Self::Agent(*agent),
            Caller::Site(site) => Self::Site(*site),
            Caller::Overseer => Self::Overseers,
            Caller::Key(_) | Caller::Anonymous => Self::Keys,
        }
    }
}

/// Counts uploads.
#[derive(Debug)]
pub(super) struct Uploads {
    all: Arc<Semaphore>,
    /// Places of those that a cap slows.
    slow: Arc<Semaphore>,
    of_one: usize,
    parties: Mutex<HashMap<Party, usize>>,
}

/// One upload; ends when dropped.
#[derive(Debug)]
pub(super) struct Upload {
    uploads: Arc<Uploads>,
    party: Party,
    /// None while it waits for its turn.
    permit: Option<OwnedSemaphorePermit>,
    /// Its place in the line of its PD.
    place: Option<OwnedSemaphorePermit>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.end(self.party);
    }
}

impl Uploads {
    /// Twice as many as requests, half as many from one caller.
    pub(super) fn new(requests: usize) -> Self {
        let all = Arc::new(Semaphore::new(requests.saturating_mul(2)));
        let slow = Arc::new(Semaphore::new(SLOW));
        Self { all, slow, of_one: requests.div_ceil(2), parties: Mutex::default() }
    }

    /// Begins an upload of at most so many bytes, if that is known, when it is its turn; `line` is that of the PD it counts for, if
    /// that is capped.
    pub(super) async fn begin(
        self: &Arc<Self>,
        caller: &Caller,
        (line, bytes): (Option<&Arc<Line>>, Option<u64>),
    ) -> Result<Upload, Problem> {
        let party = Party::of(caller);
        {
            let mut parties = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
            let count = parties.entry(party).or_default();
            if *count >= self.of_one {
                let detail = format!(
                    "one caller may send {} objects at once; wait for one to be answered",
                    self.of_one
                );
                return Err(Problem::too_many(detail));
            }
            *count += 1;
        }
        // From here on the count goes down when this is dropped, also if the sender leaves while it waits.
        let mut upload = Upload { uploads: Arc::clone(self), party, permit: None, place: None };
        let slow = line.filter(|_| bytes.is_none_or(|bytes| bytes > SMALL_BYTES));
        if let Some(line) = slow {
            upload.place = Some(line.place().await.map_err(|_| super::stopping())?);
        }
        let places = if slow.is_some() { &self.slow } else { &self.all };
        upload.permit =
            Some(Arc::clone(places).acquire_owned().await.map_err(|_| super::stopping())?);
        Ok(upload)
    }

    fn end(&self, party: Party) {
        let mut parties = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = parties.get_mut(&party) {
            *count -= 1;
            if *count == 0 {
                parties.remove(&party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::{PublicKey, RepositoryId};

    use super::*;

    #[tokio::test]
    async fn one_agent_does_not_take_every_place() {
        let uploads = Arc::new(Uploads::new(4));
        let (greedy, modest) = (AgentId::random(), AgentId::random());
        let caller = |agent| Caller::Agent {
            repository: RepositoryId::ZERO,
            agent,
            key: PublicKey::ZERO,
            expired: false,
        };
        let first = uploads.begin(&caller(greedy), (None, None)).await.unwrap();
        let _second = uploads.begin(&caller(greedy), (None, None)).await.unwrap();
        assert_eq!(uploads.begin(&caller(greedy), (None, None)).await.unwrap_err().status, 429);
        let _other = uploads.begin(&caller(modest), (None, None)).await.unwrap();
        drop(first);
        let _third = uploads.begin(&caller(greedy), (None, None)).await.unwrap();
    }

    #[tokio::test]
    async fn new_keys_give_no_new_places() {
        let uploads = Arc::new(Uploads::new(4));
        let key = |byte| Caller::Key(PublicKey::from_bytes([byte; 32]));
        let _first = uploads.begin(&key(1), (None, None)).await.unwrap();
        let _second = uploads.begin(&key(2), (None, None)).await.unwrap();
        assert_eq!(uploads.begin(&key(3), (None, None)).await.unwrap_err().status, 429);
        let _overseer = uploads.begin(&Caller::Overseer, (None, None)).await.unwrap();
    }
}
