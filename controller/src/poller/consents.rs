//! What owners opened to others, as a vault keeps it: into the register, and into the audit log when it is seen first.
//!
//! Invariant: only what a root key of the repository signed is taken up, and nothing of what a grant seals is kept.

use lumbung_model::{PdId, RepositoryId};
use lumbung_pack::{Grant, Kind, Object, Revocation, RosterChain, Signed, StandingApproval};
use rusqlite::Transaction;
use serde_json::json;

use super::check::{self, Rejection};
use super::site::{PollError, SitePoll};
use super::source::Source;
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::{DbError, consents, rosters};

/// Consents read in one poll of a repository: each may take 16 MiB of the line.
const OBJECTS: usize = 200;

type Absent = fn(&rusqlite::Connection, Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError>;

impl<S: Source> SitePoll<'_, S> {
    /// Grants, standing approvals and revocations that are not known yet.
    pub(super) async fn consents(
        &self,
        repository: RepositoryId,
        pd: PdId,
    ) -> Result<(), PollError> {
        let Some(chain) = self.db.read_async(move |tx| rosters::chain(tx, &repository)).await?
        else {
            return Ok(());
        };
        let grants = self
            .each(&chain, consents::absent_consents, move |tx, act, grant| {
                granted(tx, act, pd, grant)
            })
            .await;
        let approvals = self
            .each(&chain, consents::absent_consents, move |tx, act, approval| {
                approved(tx, act, pd, approval)
            })
            .await;
        let revocations = self
            .each(&chain, consents::absent_revocations, move |tx, act, revocation| {
                revoked(tx, act, pd, revocation)
            })
            .await;
        grants.and(approvals).and(revocations)
    }

    async fn each<T: Object + Send + 'static>(
        &self,
        chain: &RosterChain,
        absent: Absent,
        keep: impl Fn(&Transaction<'_>, &Act, &Signed<T>) -> Result<(), DbError> + Copy + Send + 'static,
    ) -> Result<(), PollError>
    where
        T::Id: Send,
    {
        let repository = chain.repository();
        let ids = match self.source.list(&repository, T::KIND).await {
            Ok(ids) => ids,
            // A vault of an older version has no such folder.
            Err(error) if error.not_found => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let absent = self.db.read_async(move |tx| absent(tx, ids)).await?;
        let (mut rejected, mut unread) = (None::<Rejection>, None);
        for id in absent.into_iter().take(OBJECTS) {
            let object = match self.source.get(&repository, T::KIND, &id).await {
                Ok(object) => object,
                // One that cannot be read hides no other.
                Err(error) => {
                    unread = Some(error);
                    continue;
                }
            };
            match check::by_owner::<T>(&object, &id, chain) {
                Ok(signed) => {
                    let act = Act::controller(self.clock.now());
                    self.db.write_async(move |tx| keep(tx, &act, &signed)).await?;
                }
                Err(error) => rejected = Some(error),
            }
        }
        match (unread, rejected) {
            (Some(error), _) => Err(error.into()),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(()),
        }
    }
}

fn granted(
    tx: &Transaction<'_>,
    act: &Act,
    pd: PdId,
    grant: &Signed<Grant>,
) -> Result<(), DbError> {
    // The parts of one consent are one deed.
    if !consents::put_grant(tx, act.now, grant)? || grant.body.part != 1 {
        return Ok(());
    }
    let body = &grant.body;
    let after = json!({
        "kind": Kind::Grant.name(),
        "name": body.name,
        "key": body.grantee.key,
        "letter": body.letter,
        "purpose": body.purpose,
        "snapshots": body.snapshots.len(),
        "from": body.from,
        "until": body.until,
        "signer": grant.signer,
    });
    note(tx, act, ("consent.seen", pd), &body.consent, after)
}

fn approved(
    tx: &Transaction<'_>,
    act: &Act,
    pd: PdId,
    approval: &Signed<StandingApproval>,
) -> Result<(), DbError> {
    if !consents::put_standing(tx, act.now, approval)? {
        return Ok(());
    }
    let body = &approval.body;
    let after = json!({
        "kind": Kind::StandingApproval.name(),
        "name": body.name,
        "key": body.grantee.key,
        "letter": body.letter,
        "purpose": body.purpose,
        "dataset": body.dataset,
        "from": body.from,
        "until": body.until,
        "signer": approval.signer,
    });
    note(tx, act, ("consent.seen", pd), &body.consent, after)
}

fn revoked(
    tx: &Transaction<'_>,
    act: &Act,
    pd: PdId,
    revocation: &Signed<Revocation>,
) -> Result<(), DbError> {
    if !consents::put_revocation(tx, act.now, revocation)? {
        return Ok(());
    }
    let body = &revocation.body;
    let after =
        json!({ "revoked": body.revoked, "reason": body.reason, "signer": revocation.signer });
    note(tx, act, ("consent.revoked", pd), &body.consent, after)
}

fn note(
    tx: &Transaction<'_>,
    act: &Act,
    (action, pd): (&'static str, PdId),
    consent: &lumbung_model::ConsentId,
    after: serde_json::Value,
) -> Result<(), DbError> {
    let deed = Deed { action, kind: "consent", id: consent, pd: Some(pd) };
    audit::append(tx, act, deed, None, Some(after))
}
