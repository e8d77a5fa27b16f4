//! Quotas: what a repository may keep at this site, and what each of its agents may.
//!
//! Invariants: what is on its way counts from the moment it is admitted until the index counts it, so that no number of
//! uploads at once exceeds a limit. Half of a repository's quota is set aside in equal parts for the agents that its
//! roster lists: whatever one of them sends, it does not get at another's part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lumbung_model::{ByteSize, DomainId};
use lumbung_pack::{AgentStatus, RosterChain};

use crate::index::Kept;
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Bytes by dedup domain.
pub(crate) type ByDomain = BTreeMap<DomainId, u64>;

/// Bytes on their way into a repository.
#[derive(Debug, Default)]
pub(crate) struct Coming(Mutex<ByDomain>);

impl Coming {
    fn lock(&self) -> MutexGuard<'_, ByDomain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for what is on its way: drop it once the index counts the bytes, or when they do not come after all.
#[derive(Debug)]
#[must_use = "the bytes count as on their way only while this is kept"]
pub(crate) struct Room {
    coming: Arc<Coming>,
    domain: DomainId,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut coming = self.coming.lock();
        if let Some(bytes) = coming.get_mut(&self.domain) {
            *bytes = bytes.saturating_sub(self.bytes);
            if *bytes == 0 {
                coming.remove(&self.domain);
            }
        }
    }
}

/// The limits of a repository, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    repository: Option<u64>,
    agent: Option<u64>,
}

/// A limit that would be exceeded.
#[derive(Debug, PartialEq, Eq)]
struct Exceeded {
    what: &'static str,
    limit: u64,
    used: u64,
}

impl Limits {
    /// Whether `domain` may keep `bytes` more; `used` is what is kept and on its way, `entitled` are the domains for which a
    /// part is set aside.
    fn check(
        &self,
        used: &ByDomain,
        entitled: &BTreeSet<DomainId>,
        domain: &DomainId,
        bytes: u64,
    ) -> Result<(), Exceeded> {
        let own = used.get(domain).copied().unwrap_or(0);
        let within = |what, limit, used: u64| {
            if used.saturating_add(bytes) <= limit {
                Ok(())
            } else {
                Err(Exceeded { what, limit, used })
            }
        };
        if let Some(limit) = self.repository {
            let kept = sum(used.values().copied());
            within("the repository", limit, kept)?;
            let others = kept.saturating_sub(own);
            let not_its_own = others.saturating_add(set_aside(limit, used, entitled, domain));
            let limit = limit.saturating_sub(not_its_own);
            within("an agent, beside the parts of its repository's other agents,", limit, own)?;
        }
        self.agent.map_or(Ok(()), |limit| within("an agent", limit, own))
    }
}

/// What the other agents of a repository have not used of their parts.
fn set_aside(quota: u64, used: &ByDomain, entitled: &BTreeSet<DomainId>, domain: &DomainId) -> u64 {
    let others = entitled.iter().filter(|other| *other != domain);
    let part = quota / 2 / (others.clone().count() as u64 + 1);
    sum(others.map(|other| part.saturating_sub(used.get(other).copied().unwrap_or(0))))
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

/// The dedup domains of the agents that may add snapshots.
fn entitled(chain: &RosterChain) -> BTreeSet<DomainId> {
    let agents = chain.current().body.agents.iter();
    agents.filter(|agent| agent.status == AgentStatus::Active).map(|agent| agent.domain).collect()
}

impl Vault {
    /// Room for `bytes` more of a dedup domain.
    ///
    /// # Errors
    /// [`VaultError::Quota`] if that would exceed a limit.
    pub(crate) fn make_room(
        &self,
        repository: &Repository,
        domain: &DomainId,
        bytes: u64,
    ) -> Result<Room, VaultError> {
        let limits = Limits {
            repository: self.config.quota_of(&repository.id),
            agent: self.config.agent_quota.map(ByteSize::as_u64),
        };
        let mut coming = repository.coming.lock();
        if limits != (Limits { repository: None, agent: None }) {
            let mut used = self.index.read(|c| Kept::by_domain(c, repository.row))?;
            for (domain, bytes) in &*coming {
                let used = used.entry(*domain).or_default();
                *used = used.saturating_add(*bytes);
            }
            limits.check(&used, &entitled(&repository.chain()), domain, bytes).map_err(
                |Exceeded { what, limit, used }| VaultError::Quota {
                    what: what.into(),
                    limit,
                    used,
                },
            )?;
        }
        let own = coming.entry(*domain).or_default();
        *own = own.saturating_add(bytes);
        Ok(Room { coming: Arc::clone(&repository.coming), domain: *domain, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn domain(number: u8) -> DomainId {
        DomainId::from_bytes([number; 16])
    }

    fn check(limits: Limits, used: &[(u8, u64)], listed: &[u8], who: u8, bytes: u64) -> bool {
        let used = used.iter().map(|(number, bytes)| (domain(*number), *bytes)).collect();
        let entitled = listed.iter().map(|number| domain(*number)).collect();
        limits.check(&used, &entitled, &domain(who), bytes).is_ok()
    }

    const QUOTA: Limits = Limits { repository: Some(1000), agent: None };

    #[test]
    fn who_is_alone_may_fill_the_quota() {
        assert!(check(QUOTA, &[], &[1], 1, 1000));
        assert!(!check(QUOTA, &[], &[1], 1, 1001));
        assert!(!check(QUOTA, &[(1, 1000)], &[1], 1, 1));
        assert!(!check(QUOTA, &[(1, u64::MAX)], &[1], 1, u64::MAX));
    }

    #[test]
    fn the_others_parts_stay_free_and_what_they_keep_counts_if_it_is_more() {
        // Of 500, each of two has 250.
        assert!(check(QUOTA, &[], &[1, 2], 1, 750));
        assert!(!check(QUOTA, &[], &[1, 2], 1, 751));
        assert!(check(QUOTA, &[(1, 750), (2, 249)], &[1, 2], 2, 1));
        assert!(!check(QUOTA, &[(1, 750), (2, 250)], &[1, 2], 2, 1));
        assert!(check(QUOTA, &[(2, 600)], &[1, 2], 1, 400));
        assert!(!check(QUOTA, &[(2, 600)], &[1, 2], 1, 401));
    }

    #[test]
    fn what_others_have_left_of_their_parts_stays_free() {
        assert!(check(QUOTA, &[(2, 100)], &[1, 2], 1, 750));
        assert!(!check(QUOTA, &[(2, 100)], &[1, 2], 1, 751));
    }

    #[test]
    fn room_that_is_given_back_is_free_again() {
        let coming = Arc::new(Coming::default());
        coming.lock().insert(domain(1), 10);
        let room = |bytes| Room { coming: Arc::clone(&coming), domain: domain(1), bytes };
        drop(room(4));
        assert_eq!(*coming.lock(), ByDomain::from([(domain(1), 6)]));
        drop(room(6));
        assert!(coming.lock().is_empty());
    }

    #[test]
    fn who_is_not_listed_has_no_part_and_what_it_keeps_counts() {
        // A new agent beside a listed one: two parts of 250.
        assert!(check(QUOTA, &[], &[1], 9, 750));
        assert!(!check(QUOTA, &[], &[1], 9, 751));
        // A withdrawn one's bytes are nobody else's.
        assert!(check(QUOTA, &[(9, 300)], &[1], 1, 700));
        assert!(!check(QUOTA, &[(9, 300)], &[1], 1, 701));
    }

    #[test]
    fn a_limit_for_each_agent_holds_beside() {
        let limits = Limits { repository: Some(1000), agent: Some(100) };
        assert!(check(limits, &[(1, 50)], &[1, 2], 1, 50));
        assert!(!check(limits, &[(1, 50)], &[1, 2], 1, 51));
        assert!(!check(limits, &[(1, 50), (2, 940)], &[1, 2], 1, 50));
        assert!(check(Limits { repository: None, ..limits }, &[(2, 9000)], &[1, 2], 1, 100));
    }
}
