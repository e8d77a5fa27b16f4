//! The board: every agent that the register knows, with what it said last.
//!
//! Invariant: nothing is taken off before the transaction that wrote it is durable.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lumbung_model::{AgentId, Timestamp};

use super::entry::{Due, Entry, Heard, Kept, Said, Stored};

/// Hosts whose health is written in one round, where only its age asks for it.
const TOLD_AT_ONCE: usize = 256;

/// What agents have said, by agent.
#[derive(Debug, Default)]
pub struct Board(Mutex<HashMap<AgentId, Entry>>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an agent of the register onto the board; one that is there stays as it is.
    pub fn admit(&self, now: Timestamp, agent: AgentId, stored: Stored) {
        self.lock().entry(agent).or_insert_with(|| Entry::new(now, stored));
    }

    /// Whether the agent is on the board.
    #[must_use]
    pub fn knows(&self, agent: &AgentId) -> bool {
        self.lock().contains_key(agent)
    }

    /// A heartbeat; none if the agent is not on the board.
    pub fn hear(
        &self,
        now: Timestamp,
        agent: &AgentId,
        said: Said,
        late_after_s: i64,
    ) -> Option<Heard> {
        Some(self.lock().get_mut(agent)?.hear(now, said, late_after_s))
    }

    /// The datasets of the agent's jobs were held against the register at `now`; or that failed.
    pub fn noted(&self, now: Timestamp, agent: &AgentId, unregistered: Option<bool>) {
        if let Some(entry) = self.lock().get_mut(agent) {
            match unregistered {
                Some(unregistered) => entry.noted(now, unregistered),
                None => entry.not_noted(),
            }
        }
    }

    /// What is to be written now; with `all`, also what could wait.
    pub(super) fn to_keep(&self, now: Timestamp, all: bool) -> Vec<(AgentId, Kept)> {
        let board = self.lock();
        let mut old = TOLD_AT_ONCE;
        let mut changes = Vec::new();
        for (agent, entry) in board.iter() {
            let with_told = match entry.due(now) {
                Due::Nothing => continue,
                Due::All => true,
                Due::Old if old > 0 => {
                    old -= 1;
                    true
                }
                Due::Written if !all => continue,
                Due::Written | Due::Seen | Due::Old => all,
            };
            changes.push((*agent, entry.to_keep(with_told)));
        }
        changes
    }

    /// That was written.
    pub(super) fn kept(&self, now: Timestamp, changes: &[(AgentId, Kept)]) {
        let mut board = self.lock();
        for (agent, kept) in changes {
            if let Some(entry) = board.get_mut(agent) {
                entry.kept(now, kept);
            }
        }
    }

    /// When the agent was heard of last, by our clock and by its own, if that is newer than the database.
    pub(crate) fn seen(&self, agent: &AgentId) -> Option<(Timestamp, Timestamp)> {
        self.lock().get(agent)?.seen()
    }

    /// The version that it told, if that is newer than the database.
    pub(crate) fn version(&self, agent: &AgentId) -> Option<String> {
        self.lock().get(agent)?.version().map(str::to_owned)
    }

    /// The health that it told, JSON, if that is newer than the database.
    pub(crate) fn health(&self, agent: &AgentId) -> Option<String> {
        self.lock().get(agent)?.health().map(str::to_owned)
    }

    /// The jobs that it told, JSON, if they are newer than the database.
    pub(crate) fn jobs(&self, agent: &AgentId) -> Option<String> {
        self.lock().get(agent)?.jobs().map(str::to_owned)
    }
}
