//! What grants and standing approvals let a key read here, from when and until when.
//!
//! Invariants: either counts only while the newest roster lists its signer as a root key and no revocation of its
//! consent is here; it ends by whichever of this site's two clocks is further, so that a wall clock that is turned back
//! revives nothing; what it opens is reckoned from the manifests that are here, and nothing else is shown, not even that
//! it exists. The vault holds no key: it enforces scope and time, and what was read stays read.

mod scope;

use lumbung_model::{ConsentId, DatasetId, ManifestId, PublicKey, Timestamp};
use lumbung_pack::{Grant, Kind, Proof, RosterChain, Signed, StandingApproval, wrap::was_root_key};
use rusqlite::Connection;

pub(crate) use scope::{Scope, Scopes};

use crate::index::{GrantRow, ManifestRow, StandingRow, in_window, revoked};
use crate::intake::Sender;
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

/// A standing approval's row when it comes.
pub(crate) fn standing_row(
    approval: &Signed<StandingApproval>,
    now: Timestamp,
    now_s: u64,
) -> StandingRow {
    let body = &approval.body;
    StandingRow {
        approval: *approval.id.as_bytes(),
        consent: body.consent,
        key: body.grantee.key,
        recipient: body.grantee.recipient,
        signer: approval.signer,
        dataset: body.dataset,
        from: body.from,
        until: body.until,
        came: now,
        came_s: now_s,
    }
}

/// What decides how a grant or a standing approval stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    consent: ConsentId,
    signer: PublicKey,
    from: Timestamp,
    until: Timestamp,
    came: Timestamp,
    came_s: u64,
}

impl From<&GrantRow> for Term {
    fn from(row: &GrantRow) -> Self {
        let GrantRow { consent, signer, from, until, came, came_s, .. } = *row;
        Self { consent, signer, from, until, came, came_s }
    }
}

impl From<&StandingRow> for Term {
    fn from(row: &StandingRow) -> Self {
        let StandingRow { consent, signer, from, until, came, came_s, .. } = *row;
        Self { consent, signer, from, until, came, came_s }
    }
}

/// How a grant or a standing approval stands.
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

/// How one stands now: `wall` by the wall clock, `age_s` by the retention clock.
pub(crate) fn standing(
    grant: &Term,
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

/// What was given to a key.
enum Given {
    Grant(GrantRow),
    Standing(StandingRow),
}

impl Given {
    /// What was given to a key, each with when its consent was revoked.
    fn to(
        connection: &Connection,
        repo: i64,
        key: &PublicKey,
    ) -> rusqlite::Result<Vec<(Option<Timestamp>, Self)>> {
        let grants = GrantRow::of_key(connection, repo, key)?.into_iter().map(Self::Grant);
        let standing = StandingRow::of_key(connection, repo, key)?;
        let all = grants.chain(standing.into_iter().map(Self::Standing));
        all.map(|given| Ok((revoked(connection, repo, &given.term().consent)?, given))).collect()
    }

    fn term(&self) -> Term {
        match self {
            Self::Grant(row) => row.into(),
            Self::Standing(row) => row.into(),
        }
    }

    /// Whether it opens this snapshot, of which `row` is known here.
    fn opens(&self, snapshot: &ManifestId, row: Option<&ManifestRow>, pulled: bool) -> bool {
        match self {
            Self::Grant(grant) => grant.snapshots.contains(snapshot),
            // What another site took may be of a snapshot that is here no more.
            Self::Standing(approval) => row.map_or(pulled, |row| {
                let window = approval.from..=approval.until;
                !row.partial && row.dataset == approval.dataset && window.contains(&row.dated)
            }),
        }
    }
}

impl Vault {
    /// The grants and standing approvals of a key here, each with how it stands.
    fn standings(
        &self,
        repository: &Repository,
        key: &PublicKey,
    ) -> Result<Vec<(Given, Standing)>, VaultError> {
        let (chain, row, now) = (repository.chain(), repository.row, (self.now(), self.age_s()));
        let found = self.index.read(|c| Given::to(c, row, key))?;
        let judged = found.into_iter().map(|(revoked, given)| {
            let standing = standing(&given.term(), &chain, revoked, now);
            (given, standing)
        });
        Ok(judged.collect())
    }

    /// Whether something is open to this key now.
    pub(crate) fn is_granted_to(
        &self,
        repository: &Repository,
        key: &PublicKey,
    ) -> Result<bool, VaultError> {
        let standings = self.standings(repository, key)?;
        Ok(standings.iter().any(|(_, standing)| *standing == Standing::Open))
    }

    /// What of a kind is open to this key now: of the snapshots of its grants, and of those that came while its standing
    /// approvals held.
    ///
    /// # Errors
    /// If there is nothing: the refusal says what became of the one that came closest.
    pub(crate) fn scope(
        &self,
        repository: &Repository,
        key: &PublicKey,
        kind: Kind,
    ) -> Result<Scope, VaultError> {
        let standings = self.standings(repository, key)?;
        let open = || standings.iter().filter(|(_, standing)| *standing == Standing::Open);
        if open().next().is_none() {
            return Err(refusal(&standings));
        }
        let mut snapshots: Vec<ManifestId> = Vec::new();
        let mut given = scope::Given::default();
        for (one, _) in open() {
            match one {
                Given::Grant(grant) => {
                    snapshots.extend(&grant.snapshots);
                    given.grants.insert(grant.grant);
                }
                Given::Standing(approval) => {
                    let window = (approval.from, approval.until);
                    snapshots.extend(
                        self.index
                            .read(|c| in_window(c, repository.row, &approval.dataset, window))?,
                    );
                    given.approvals.insert(approval.approval);
                    given.consents.insert(approval.consent);
                }
            }
        }
        snapshots.sort_unstable();
        snapshots.dedup();
        repository.scopes.get((self, repository), key, snapshots, given, kind)
    }

    /// Why an agent's opening for a consent is not taken; nothing where it may be. An approval that is not here yet may
    /// come from another site.
    pub(crate) fn opening_refused(
        &self,
        repository: &Repository,
        (consent, recipient): (&ConsentId, &PublicKey),
        dataset: &DatasetId,
    ) -> Result<Option<String>, VaultError> {
        let (chain, row, now) = (repository.chain(), repository.row, (self.now(), self.age_s()));
        let (approvals, revoked) = self
            .index
            .read(|c| Ok((StandingRow::of_consent(c, row, consent)?, revoked(c, row, consent)?)))?;
        if let Some(revoked) = revoked {
            let reason = format!(
                "the PD's custodian revoked the standing approval (consent {consent}) at {revoked}"
            );
            return Ok(Some(reason));
        }
        let fits = |approval: &StandingRow| {
            approval.recipient == *recipient
                && approval.dataset == *dataset
                && standing(&approval.into(), &chain, None, now) == Standing::Open
        };
        if approvals.is_empty() || approvals.iter().any(fits) {
            return Ok(None);
        }
        let reason = format!(
            "the standing approval (consent {consent}) does not hold now for this dataset and this recipient"
        );
        Ok(Some(reason))
    }

    /// Why a proof of restore is not taken; nothing where it may be: a root key of the newest roster signed it, or a key to
    /// which that snapshot was open when it was finished. By this site's clock for what comes to it; what another site took
    /// was right by that one's.
    pub(crate) fn proof_refused(
        &self,
        repository: &Repository,
        proof: &Signed<Proof>,
        sender: Sender,
    ) -> Result<Option<String>, VaultError> {
        let (chain, row, now) = (repository.chain(), repository.row, (self.now(), self.age_s()));
        if chain.is_root_key(&proof.signer) {
            return Ok(None);
        }
        let (body, key) = (&proof.body, &proof.signer);
        let (given, snapshot) = self
            .index
            .read(|c| Ok((Given::to(c, row, key)?, ManifestRow::find(c, row, &body.manifest)?)))?;
        let pulled = matches!(sender, Sender::Site(_) | Sender::Medium(_));
        let in_force = |term: &Term, revoked: Option<Timestamp>| {
            let within = (term.from..=term.until).contains(&body.finished);
            let holds = if pulled {
                was_root_key(&chain, &term.signer)
                    && revoked.is_none_or(|revoked| body.finished < revoked)
            } else {
                standing(term, &chain, revoked, now) == Standing::Open
            };
            within && holds
        };
        let counts = given.iter().any(|(revoked, given)| {
            given.opens(&body.manifest, snapshot.as_ref(), pulled)
                && in_force(&given.term(), *revoked)
        });
        let reason = || {
            format!(
                "{key} is not a root key of the newest roster, and no grant or standing approval here opened snapshot {} to it when the proof was finished",
                body.manifest
            )
        };
        Ok((!counts).then(reason))
    }
}

/// Why nothing is open: what stands best says it.
fn refusal(standings: &[(Given, Standing)]) -> VaultError {
    let best = standings.iter().max_by_key(|(_, standing)| *standing);
    let Some((given, standing)) = best else { return unlisted_key() };
    let what = match given {
        Given::Grant(_) => "grant",
        Given::Standing(_) => "standing approval",
    };
    let Term { consent, signer, .. } = given.term();
    VaultError::Forbidden(match standing {
        Standing::Expired(until) => format!(
            "the {what} (consent {consent}) expired at {until}: ask the PD's custodian for a new one"
        ),
        Standing::Later(from) => {
            format!("the {what} (consent {consent}) holds from {from} on: read then")
        }
        Standing::Revoked(revoked) => format!(
            "the PD's custodian revoked the {what} (consent {consent}) at {revoked}: ask them why"
        ),
        Standing::NotOwners | Standing::Open => format!(
            "the {what} (consent {consent}) is signed with {signer}, which is no root key of the newest roster here: ask the PD's custodian for a new one"
        ),
    })
}

#[cfg(test)]
mod tests {
    use lumbung_model::RosterId;
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

    fn grant(root: &SigningKey) -> Term {
        Term {
            consent: ConsentId::from_bytes([2; 16]),
            signer: root.public(),
            from: Timestamp(1000),
            until: Timestamp(2000),
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
