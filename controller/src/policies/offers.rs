//! What heartbeats are answered about policies, kept in memory: nearly all of them hear what the last one heard.
//!
//! Invariants: what is kept was read together with the number of changes it is kept under, and is answered only while no
//! other change is in the database, whoever made it; so nothing old is answered.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lumbung_model::AgentId;
use lumbung_wire::messages::policy::{PolicyOffer, PolicyTold};
use rusqlite::Connection;

use crate::db::{Db, DbError, agents, policies};

/// What is between an agent and its policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offered {
    /// What the agent said of it last.
    pub told: Option<PolicyTold>,
    /// The newest.
    pub offer: Option<PolicyOffer>,
}

/// What was read, by agent.
#[derive(Default)]
pub struct Offers(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The version of the database ([`Db::version`]) that `changes` is of; none before the first read.
    version: Option<i64>,
    changes: i64,
    of: HashMap<AgentId, Offered>,
}

impl Offers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is between every agent and its policy, so that none has to be looked up when all come at once.
    ///
    /// # Errors
    /// If the database fails.
    pub fn load(&self, db: &Db) -> Result<(), DbError> {
        let version = db.version()?;
        let read = |tx: &rusqlite::Transaction<'_>| {
            let mut all = Vec::new();
            for agent in agents::ids(tx)? {
                all.push((agent, offered(tx, &agent)?));
            }
            Ok::<_, DbError>((policies::changes(tx)?, all))
        };
        let (changes, all) = db.read(read)?;
        for (agent, offered) in all {
            self.keep(version, changes, agent, offered);
        }
        Ok(())
    }

    /// What is between this agent and its policy now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of(&self, db: &Db, agent: AgentId) -> Result<Offered, DbError> {
        // Asked before anything is read: what is written meanwhile is seen the next time.
        let version = db.version()?;
        if let Some(offered) = self.known(version, &agent) {
            return Ok(offered);
        }
        let read = move |tx: &rusqlite::Transaction<'_>| {
            Ok::<_, DbError>((policies::changes(tx)?, offered(tx, &agent)?))
        };
        let (changes, offered) = db.read_async(read).await?;
        self.keep(version, changes, agent, offered.clone());
        Ok(offered)
    }

    fn known(&self, version: i64, agent: &AgentId) -> Option<Offered> {
        let known = self.lock();
        if known.version == Some(version) { known.of.get(agent).cloned() } else { None }
    }

    fn keep(&self, version: i64, changes: i64, agent: AgentId, offered: Offered) {
        let mut known = self.lock();
        if changes < known.changes {
            return;
        }
        if changes > known.changes {
            known.of.clear();
        }
        (known.version, known.changes) = (Some(version), changes);
        known.of.insert(agent, offered);
    }
}

fn offered(db: &Connection, agent: &AgentId) -> Result<Offered, DbError> {
    let offer = policies::offer(db, agent)?;
    let offer = offer.map(|(mark, confirmed)| PolicyOffer {
        version: mark.version,
        hash: mark.hash,
        confirmed,
    });
    Ok(Offered { told: policies::told(db, agent)?, offer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::City;

    fn told(refused: &str) -> Offered {
        let told = PolicyTold { refused: refused.to_owned(), ..PolicyTold::default() };
        Offered { told: Some(told), offer: None }
    }

    #[test]
    fn after_a_start_every_agent_is_known_until_something_changes() {
        let city = City::new();
        let (db, agent) = (&city.db, city.agent);
        let told = told("no").told.unwrap();
        db.write(|tx| policies::put_told(tx, &agent, &told)).unwrap();
        let offers = Offers::default();
        offers.load(db).unwrap();
        let expected = Offered { told: Some(told), offer: None };
        assert_eq!(offers.known(db.version().unwrap(), &agent), Some(expected));
        db.write(|tx| policies::put_told(tx, &agent, &PolicyTold::default())).unwrap();
        assert_eq!(offers.known(db.version().unwrap(), &agent), None);
        assert_eq!(offers.known(db.version().unwrap(), &AgentId::from_bytes([9; 16])), None);
    }

    #[test]
    fn what_was_read_before_a_change_is_not_answered_after_it() {
        let (a, b) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let offers = Offers::default();
        assert_eq!(offers.known(7, &a), None);
        offers.keep(7, 3, a, told("a"));
        assert_eq!(offers.known(7, &a), Some(told("a")));
        assert_eq!((offers.known(7, &b), offers.known(8, &a)), (None, None));
        // The database was written, but nothing of this kind: what is known holds on.
        offers.keep(8, 3, b, told("b"));
        assert_eq!(offers.known(8, &a), Some(told("a")));
        // Now it was; and what another read before that comes too late.
        offers.keep(9, 4, b, told("b2"));
        offers.keep(8, 3, a, told("a"));
        assert_eq!((offers.known(9, &a), offers.known(8, &a)), (None, None));
        assert_eq!(offers.known(9, &b), Some(told("b2")));
    }
}
