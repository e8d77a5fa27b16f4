//! Sessions, segments and usage lists that no live snapshot names: they wait as long as frames do, then go; a session's
//! openings before it.

use std::collections::HashMap;

use lumbung_model::{DomainId, SegmentId, SessionId, UsageId};
use lumbung_pack::Kind;

use super::used::Used;
use super::{CONDEMNED_S, IDLE_S, Swept};
use crate::index::{
    Lease, OpeningRow, forget_object, forget_session, list_objects, list_sessions, object_states,
    save_object_state,
};
use crate::repository::Repository;
use crate::{Vault, VaultError};

impl Vault {
    pub(super) fn sweep_objects(
        &self,
        repository: &Repository,
        domain: &DomainId,
        used: &mut Used,
        dry_run: bool,
        swept: &mut Swept,
    ) -> Result<(), VaultError> {
        for kind in [Kind::Usage, Kind::Segment, Kind::Session] {
            let _gate = repository.gate();
            used.absorb(self, repository)?;
            self.sweep_kind(repository, domain, kind, used, dry_run, swept)?;
        }
        Ok(())
    }

    fn sweep_kind(
        &self,
        repository: &Repository,
        domain: &DomainId,
        kind: Kind,
        used: &Used,
        dry_run: bool,
        swept: &mut Swept,
    ) -> Result<(), VaultError> {
        let (row, now_s) = (repository.row, self.age_s());
        let (ids, states, leases) = self.index.read(|c| {
            let ids = match kind {
                Kind::Session => list_sessions(c, row, Some(domain))?,
                _ => list_objects(c, row, kind, Some(domain))?,
            };
            Ok((ids, object_states(c, row, kind)?, Lease::running(c, row, now_s)?))
        })?;
        let since: HashMap<[u8; 32], u64> =
            states.into_iter().map(|state| (state.id, state.waiting_s)).collect();
        let leases: Vec<&Lease> = leases.iter().filter(|lease| lease.domain == *domain).collect();
        let named = |id: &[u8; 32]| match kind {
            Kind::Usage => used.usages.contains(&UsageId::from_bytes(*id)),
            Kind::Segment => used.segments.contains(&SegmentId::from_bytes(*id)),
            _ => {
                let id = SessionId::from_bytes(*id);
                used.sessions.contains(&id) || leases.iter().any(|lease| lease.session == id)
            }
        };
        let ripe = |since_s: u64| {
            now_s.saturating_sub(since_s) >= IDLE_S + CONDEMNED_S
                && leases.iter().all(|lease| since_s < lease.opened_s)
        };
        let (mut changes, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            match (named(&id), since.get(&id)) {
                (true, Some(_)) => changes.push((id, None)),
                (false, None) => changes.push((id, Some(now_s))),
                (false, Some(since_s)) if ripe(*since_s) => gone.push(id),
                (true, None) | (false, Some(_)) => {}
            }
        }
        swept.objects_removed += gone.len() as u64;
        if dry_run {
            return Ok(());
        }
        self.index.write(|tx| {
            changes
                .iter()
                .try_for_each(|(id, since_s)| save_object_state(tx, row, kind, id, *since_s))
        })?;
        gone.iter().try_for_each(|id| self.remove_object(repository, kind, id))
    }

    /// The index forgets the object, then its file goes.
    fn remove_object(
        &self,
        repository: &Repository,
        kind: Kind,
        id: &[u8; 32],
    ) -> Result<(), VaultError> {
        let row = repository.row;
        if kind == Kind::Session {
            let session = SessionId::from_bytes(*id);
            for opening in self.index.read(|c| OpeningRow::of_session(c, row, &session))? {
                self.remove_object(repository, Kind::Opening, opening.opening.as_bytes())?;
            }
        }
        self.index.write(|tx| {
            save_object_state(tx, row, kind, id, None)?;
            match kind {
                Kind::Session => forget_session(tx, row, id),
                _ => forget_object(tx, row, kind, id),
            }
        })?;
        repository.store.remove(kind, id)?;
        Ok(())
    }
}
