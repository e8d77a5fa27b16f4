//! How many bodies may be on their way in: in all, and from one agent, so that slow or hostile agents do not
//! keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::AgentId;
use lumbung_wire::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Sender;

/// Counts uploads.
#[derive(Debug)]
pub(super) struct Uploads {
    all: Arc<Semaphore>,
    of_one: usize,
    agents: Mutex<HashMap<AgentId, usize>>,
}

/// One upload; ends when dropped.
#[derive(Debug)]
pub(super) struct Upload {
    uploads: Arc<Uploads>,
    agent: Option<AgentId>,
    /// None while it waits for its turn.
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(agent) = &self.agent {
            self.uploads.end(agent);
        }
    }
}

impl Uploads {
    /// Twice as many as requests, half as many from one agent.
    pub(super) fn new(requests: usize) -> Self {
        let all = Arc::new(Semaphore::new(requests.saturating_mul(2)));
        Self { all, of_one: requests.div_ceil(2), agents: Mutex::default() }
    }

    /// Begins an upload that is nobody's in particular.
    pub(super) async fn begin_any(self: &Arc<Self>) -> Result<Upload, Problem> {
        self.begin(Sender::Owner).await
    }

    /// Begins an upload, when it is its turn.
    pub(super) async fn begin(self: &Arc<Self>, sender: Sender) -> Result<Upload, Problem> {
        let agent = sender.certified().map(|(agent, _)| agent);
        if let Some(agent) = agent {
            let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
            let count = agents.entry(agent).or_default();
            if *count >= self.of_one {
                let detail = format!(
                    "an agent may send {} objects at once; wait for one to be answered",
                    self.of_one
                );
                return Err(Problem::too_many(detail));
            }
            *count += 1;
        }
        // From here on the count goes down when this is dropped, also if the sender leaves while it waits.
        let mut upload = Upload { uploads: Arc::clone(self), agent, permit: None };
        upload.permit =
            Some(Arc::clone(&self.all).acquire_owned().await.map_err(|_| super::stopping())?);
        Ok(upload)
    }

    fn end(&self, agent: &AgentId) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = agents.get_mut(agent) {
            *count -= 1;
            if *count == 0 {
                agents.remove(agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::PublicKey;

    use super::*;

    #[tokio::test]
    async fn one_agent_does_not_take_every_place() {
        let uploads = Arc::new(Uploads::new(4));
        let sender = |agent| Sender::Agent { agent, key: PublicKey::ZERO };
        let (greedy, modest) = (AgentId::random(), AgentId::random());
        let first = uploads.begin(sender(greedy)).await.unwrap();
        let _second = uploads.begin(sender(greedy)).await.unwrap();
        assert_eq!(uploads.begin(sender(greedy)).await.unwrap_err().status, 429);
        let _other = uploads.begin(sender(modest)).await.unwrap();
        drop(first);
        let _third = uploads.begin(sender(greedy)).await.unwrap();
    }
}
