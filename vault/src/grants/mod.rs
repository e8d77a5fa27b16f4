//! What grants let a key read here, from when and until when.
//!
//! Invariants: a grant counts only while the newest roster lists its signer as a root key and no revocation of its
//! consent is here; it ends by whichever of this site's two clocks is further, so that a wall clock that is turned back
//! revives nothing; what it opens is reckoned from the manifests that are here, and nothing else is shown, not even that
//! it exists. The vault holds no key: it enforces scope and time, and what was read stays read.

mod scope;

use lumbung_model::{ManifestId, PublicKey, Timestamp};
use lumbung_pack::{Grant, RosterChain, Signed};

pub(crate) use scope::{Scope, Scopes};

use crate::index::{GrantRow, revoked};
use crate::repository::Repository;
use crate::tenancy::unlisted_key;
use crate::{Vault, VaultError};

/// A grant's row when it comes.
pub(crate) fn grant_row(grant: &Signed<Grant>, now: Timestamp, now_s: u64) -> GrantRow {
    let body = &grant.body;
    GrantRow {
        grant: *grant.id.as_bytes(),
        consent: body.consent,
        key: body.grantee.key,
        signer: grant.signer,
        from: body.from,
        until: body.until,
        snapshots: body.snapshots.clone(),
        came: now,
        came_s: now_s,
    }
}

/// How a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// No root key of the newest roster signed it.
    NotOwners,
    /// The owner revoked its consent.
    Revoked(Timestamp),
    /// It is over.
    Expired(Timestamp),
    /// It begins later.
    Later(Timestamp),
    /// It holds.
    Open,
}

/// How a grant stands now: `wall` by the wall clock, `age_s` by the retention clock.
pub(crate) fn standing(
    grant: &GrantRow,
    chain: &RosterChain,
    revoked: Option<Timestamp>,
    (wall, age_s): (Timestamp, u64),
) -> Standing {
    // The retention clock never goes back: what it has counted since the grant came has passed.
    let passed_s = i64::try_from(age_s.saturating_sub(grant.came_s)).unwrap_or(i64::MAX);
    let at_least = Timestamp(grant.came.0.saturating_add(passed_s));
    let now = wall.max(at_least);
    if !chain.is_root_key(&grant.signer) {
        Standing::NotOwners
    } else if let Some(revoked) = revoked {
        Standing::Revoked(revoked)
    } else if now > grant.until {
        Standing::Expired(grant.until)
    } else if wall < grant.from {
        Standing::Later(grant.from)
    } else {
        Standing::Open
    }
}

impl Vault {
    /// The grants of a key here, each with how it stands.
    fn standings(
        &self,
        repository: &Repository,
        key: &PublicKey,
    ) -> Result<Vec<(GrantRow, Standing)>, VaultError> {
        let (chain, row, now) = (repository.chain(), repository.row, (self.now(), self.age_s()));
        let found = self.index.read(|c| {
            let grants = GrantRow::of_key(c, row, key)?;
            let with = |grant: GrantRow| Ok((revoked(c, row, &grant.consent)?, grant));
            grants.into_iter().map(with).collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let judged = found.into_iter().map(|(revoked, grant)| {
            let standing = standing(&grant, &chain, revoked, now);
            (grant, standing)
        });
        Ok(judged.collect())
    }

    /// Whether a grant is open to this key now.
    pub(crate) fn is_granted_to(
        &self,
        repository: &Repository,
        key: &PublicKey,
    ) -> Result<bool, VaultError> {
        let standings = self.standings(repository, key)?;
        Ok(standings.iter().any(|(_, standing)| *standing == Standing::Open))
    }

    /// What the grants that are open to this key let it read now.
    ///
    /// # Errors
    /// If there are none: the refusal says what became of the one that came closest.
    pub(crate) fn scope(
        &self,
        repository: &Repository,
        key: &PublicKey,
    ) -> Result<Scope, VaultError> {
        let standings = self.standings(repository, key)?;
        let open = || standings.iter().filter(|(_, standing)| *standing == Standing::Open);
        if open().next().is_none() {
            return Err(refusal(&standings));
        }
        let mut snapshots: Vec<ManifestId> =
            open().flat_map(|(grant, _)| grant.snapshots.iter().copied()).collect();
        snapshots.sort_unstable();
        snapshots.dedup();
        let grants = open().map(|(grant, _)| grant.grant).collect();
        repository.scopes.get(self, repository, key, snapshots, grants)
    }
}

/// Why no grant is open: the one that stands best says it.
fn refusal(standings: &[(GrantRow, Standing)]) -> VaultError {
    let best = standings.iter().max_by_key(|(_, standing)| *standing);
    let Some((grant, standing)) = best else { return unlisted_key() };
    let consent = grant.consent;
    VaultError::Forbidden(match standing {
        Standing::Expired(until) => format!(
            "the grant (consent {consent}) expired at {until}: ask the PD's custodian for a new one"
        ),
        Standing::Later(from) => {
            format!("the grant (consent {consent}) holds from {from} on: read then")
        }
        Standing::Revoked(revoked) => format!(
            "the PD's custodian revoked the grant (consent {consent}) at {revoked}: ask them why"
        ),
        Standing::NotOwners | Standing::Open => format!(
            "the grant (consent {consent}) is signed with {}, which is no root key of the newest roster here: ask the PD's custodian for a new one",
            grant.signer
        ),
    })
}

#[cfg(test)]
mod tests {
    use lumbung_model::{ConsentId, RosterId};
    use lumbung_pack::{ChunkerParams, Recipient, RootKey, RootRole, Roster, SigningKey, sign};

    use super::*;

    fn chain(root: &SigningKey) -> RosterChain {
        let roster = Roster {
            repository: lumbung_model::RepositoryId::ZERO,
            number: 1,
            previous: RosterId::ZERO,
            created: Timestamp(0),
            chunker: ChunkerParams::default(),
            root_keys: vec![RootKey {
                key: root.public(),
                role: RootRole::Working,
                label: String::new(),
            }],
            registrar: None,
            recipients: vec![Recipient {
                key: PublicKey::from_bytes([7; 32]),
                label: String::new(),
            }],
            agents: Vec::new(),
            sites: Vec::new(),
        };
        RosterChain::begin(&sign(&roster, root), None).unwrap()
    }

    fn grant(root: &SigningKey) -> GrantRow {
        GrantRow {
            grant: [1; 32],
            consent: ConsentId::from_bytes([2; 16]),
            key: PublicKey::from_bytes([3; 32]),
            signer: root.public(),
            from: Timestamp(1000),
            until: Timestamp(2000),
            snapshots: Vec::new(),
            came: Timestamp(900),
            came_s: 50,
        }
    }

    #[test]
    fn a_grant_holds_between_its_two_moments_and_its_last_second_is_in() {
        let root = SigningKey::generate();
        let (chain, grant) = (chain(&root), grant(&root));
        let at = |wall, age_s| standing(&grant, &chain, None, (Timestamp(wall), age_s));
        assert_eq!(at(999, 50), Standing::Later(Timestamp(1000)));
        assert_eq!(at(1000, 150), Standing::Open);
        assert_eq!(at(2000, 1150), Standing::Open);
        assert_eq!(at(2001, 1150), Standing::Expired(Timestamp(2000)));
    }

    #[test]
    fn a_clock_that_is_turned_back_revives_nothing() {
        let root = SigningKey::generate();
        let (chain, grant) = (chain(&root), grant(&root));
        let at = |wall, age_s| standing(&grant, &chain, None, (Timestamp(wall), age_s));
        assert_eq!(at(1500, 50 + 1100), Standing::Open, "both say that it holds");
        assert_eq!(at(1500, 50 + 1101), Standing::Expired(Timestamp(2000)));
        assert_eq!(at(1500, u64::MAX), Standing::Expired(Timestamp(2000)));
        assert_eq!(at(i64::MIN, 0), Standing::Later(Timestamp(1000)));
    }

    #[test]
    fn a_revocation_and_a_withdrawn_key_end_it() {
        let (root, other) = (SigningKey::generate(), SigningKey::generate());
        let grant = grant(&root);
        let now = (Timestamp(1500), 600);
        let revoked = standing(&grant, &chain(&root), Some(Timestamp(1400)), now);
        assert_eq!(revoked, Standing::Revoked(Timestamp(1400)));
        assert_eq!(standing(&grant, &chain(&other), None, now), Standing::NotOwners);
    }
}
