//! Policies: what each server's agent is asked to back up, from register and profile.
//!
//! Invariants: what is published only ever asks for more than before, unless two people agreed that it asks for less; the
//! same content is published once; what was published stays. Each agent judges for itself again, and takes nothing
//! narrower on the controller's word (`lumbung_wire::policy`). A pass over the servers that are due leaves what a pass over all
//! would: triggers mark a server in the transaction of whatever its policy follows from, and the mark goes in the
//! transaction that looked with a key.

mod content;
mod offers;
mod reconciler;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use lumbung_model::{ApprovalId, PdId, PolicyHash, ServerId, Timestamp, UserId};
use lumbung_pack::SigningKey;
use lumbung_wire::messages::approvals::{ApprovalState, Wanted};
use lumbung_wire::messages::policy::{Narrowing, Policy, PolicyContent, PolicyMark, PolicyTold};
use lumbung_wire::messages::register::Server;
use lumbung_wire::policy::{self, Comparison, PolicyError};
use rusqlite::Connection;

use crate::act::Act;
use crate::approvals;
use crate::db::alarms::{self, Finding};
use crate::db::approvals::ApprovalRow;
use crate::db::audit::{self, Deed};
use crate::db::policies::{self as rows, PolicyRow, Proposal};
use crate::db::{DbError, agents, approvals as approval_rows, register};
use crate::profile::{Profile, UrgencyClasses};

pub(crate) use content::rates;
pub use offers::{Offered, Offers};
pub use reconciler::Reconciler;

/// An agent's word on numbers is taken this far beyond the own: a controller restored from an older copy catches up.
const AHEAD_MAX: u64 = 1_000_000;
/// Narrowings that an alarm names.
const NAMED: usize = 5;
/// Its alarms; their subjects are ids of servers.
const ALARMS: [&str; 3] = ["policy-narrowed", "policy-pending", "policy-refused"];

/// What contents follow from, beside the register.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The schedules of datasets that have none of their own.
    pub classes: &'a UrgencyClasses,
    /// The zone in which the city's schedules are meant.
    pub timezone: &'a str,
}

impl<'a> Terms<'a> {
    /// Those of a city's profile.
    #[must_use]
    pub fn of(profile: &'a Profile) -> Self {
        Self { classes: &profile.urgency, timezone: &profile.city.timezone }
    }
}

/// In whose name it is done.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Who, and when.
    pub act: &'a Act,
    /// The account, if whoever changed the register has one.
    pub user: Option<UserId>,
}

/// Brings every policy that is due up to date with register and profile. Without a key nothing is published, only asked for:
/// what changes the register calls it so, in its own transaction and name; the reconciler publishes.
///
/// # Errors
/// If the database fails.
pub fn reconcile(
    db: &Connection,
    asker: Asker<'_>,
    terms: Terms<'_>,
    key: Option<&SigningKey>,
) -> Result<(), DbError> {
    look(db, asker, terms, key, due(db)?)
}

/// The servers whose policies have to be looked at: those that are marked, and every one that is not in order. For those time
/// counts as well: requests lapse, and schedules are compared from now on.
///
/// # Errors
/// If the database fails.
pub fn due(db: &Connection) -> Result<BTreeSet<ServerId>, DbError> {
    let mut due = BTreeSet::from_iter(rows::marked(db)?);
    due.extend(rows::proposed(db)?);
    for kind in ALARMS {
        due.extend(alarms::subjects(db, kind)?.iter().filter_map(|id| id.parse::<ServerId>().ok()));
    }
    Ok(due)
}

/// Looks at the policies of these servers, one after the other, so that no more than one server's datasets are in memory.
///
/// # Errors
/// If the database fails.
pub fn look(
    db: &Connection,
    asker: Asker<'_>,
    terms: Terms<'_>,
    key: Option<&SigningKey>,
    servers: impl IntoIterator<Item = ServerId>,
) -> Result<(), DbError> {
    let mut work = Work { db, asker, key, comparison: Comparison::at(asker.act.now) };
    for id in servers {
        let found = match register::server(db, &id)? {
            Some(server) => work.look(&server, terms)?,
            None => Found::default(),
        };
        found.keep(db, asker.act.now, &id)?;
        // Whoever has no key leaves the publishing, and with it the mark, to the reconciler.
        if key.is_some() {
            rows::unmark(db, &id)?;
        }
    }
    Ok(())
}

/// What is wrong with one server's policy.
#[derive(Default)]
struct Found {
    narrowed: Option<Finding>,
    pending: Option<Finding>,
    refused: Option<Finding>,
}

fn finding(server: &Server, detail: String) -> Finding {
    Finding {
        subject: server.id.to_string(),
        pd: Some(server.pd),
        site: None,
        service: None,
        detail,
    }
}

impl Found {
    fn told(&mut self, server: &Server, told: &PolicyTold) {
        if let Some(pending) = told.pending {
            let detail = format!(
                "the agent of {} says that policy {} asks for less and goes on with the old one: confirm it on the server \
                 (`lumbung-agent policy confirm {}`) or by the custodian (`lumbung policy confirm {}`), or widen the register again",
                server.name, pending.version, pending.version, server.name
            );
            self.pending = Some(finding(server, detail));
        }
        if !told.refused.is_empty() {
            let detail = format!("the agent of {} says: {}", server.name, told.refused);
            self.refused = Some(finding(server, detail));
        }
    }

    /// Raises the alarms about the server that there are now, and clears the others.
    fn keep(&self, db: &Connection, now: Timestamp, server: &ServerId) -> Result<(), DbError> {
        let found = [&self.narrowed, &self.pending, &self.refused];
        for (kind, finding) in ALARMS.into_iter().zip(found) {
            alarms::settle(db, now, kind, &server.to_string(), finding.as_ref())?;
        }
        Ok(())
    }
}

/// One pass.
struct Work<'a> {
    db: &'a Connection,
    asker: Asker<'a>,
    key: Option<&'a SigningKey>,
    comparison: Comparison,
}

impl Work<'_> {
    /// Looks at one server; without an agent it has no policy, and nothing can be wrong with it.
    fn look(&mut self, server: &Server, terms: Terms<'_>) -> Result<Found, DbError> {
        let mut found = Found::default();
        let Some(agent) = server.agent else { return Ok(found) };
        let Some(agent) = agents::agent(self.db, &agent)? else { return Ok(found) };
        let datasets = register::datasets_on(self.db, &server.id)?;
        let mut wanted = content::of(&datasets, agent.repository, terms);
        // A cap on nothing is no policy.
        if wanted != PolicyContent::default() {
            let pd = register::pd(self.db, &server.pd)?;
            wanted.rates = pd.and_then(|pd| content::rates(&pd, terms));
        }
        let told = rows::told(self.db, &agent.agent)?.unwrap_or_default();
        found.told(server, &told);
        self.server(server, agent.agent, wanted, &told, &mut found)?;
        Ok(found)
    }

    fn server(
        &mut self,
        server: &Server,
        agent: lumbung_model::AgentId,
        wanted: PolicyContent,
        told: &PolicyTold,
        found: &mut Found,
    ) -> Result<(), DbError> {
        let last = rows::newest(self.db, &server.id)?;
        let nothing = PolicyContent::default();
        let old = last.as_ref().map_or(&nothing, |last| &last.policy.content);
        if last.is_none() && wanted == nothing {
            return Ok(());
        }
        let narrowings =
            if *old == wanted { Vec::new() } else { self.comparison.narrows(old, &wanted) };
        let target = if narrowings.is_empty() {
            self.settle(server)?;
            wanted
        } else {
            self.narrowed(server, wanted, narrowings, found)?.unwrap_or_else(|| old.clone())
        };
        let ahead = told_ahead(last.as_ref(), agent, told);
        let stands = last.as_ref().is_some_and(|last| {
            last.policy.content == target && last.policy.agent == agent && ahead.is_none()
        });
        match self.key {
            Some(key) if !stands => {
                let (version, previous) = last
                    .as_ref()
                    .map_or((0, PolicyHash::ZERO), |last| (last.policy.version, last.hash));
                let version = version.max(ahead.unwrap_or(0)) + 1;
                let issued = self.asker.act.now;
                let next =
                    Policy { server: server.id, agent, version, issued, previous, content: target };
                self.publish(server, next, key, found)
            }
            _ => Ok(()),
        }
    }

    /// Nothing narrower is asked for any more.
    fn settle(&self, server: &Server) -> Result<(), DbError> {
        if let Some(proposal) = rows::proposal(self.db, &server.id)? {
            self.close(&proposal.approval)?;
            rows::drop_proposal(self.db, &server.id)?;
        }
        Ok(())
    }

    /// A request that is about nothing any more is taken back.
    fn close(&self, approval: &ApprovalId) -> Result<(), DbError> {
        match approval_rows::approval(self.db, approval)? {
            Some(row) if row.state == ApprovalState::Open => {
                approvals::end_unasked(self.db, self.asker.act, row)
            }
            _ => Ok(()),
        }
    }

    /// The wanted content, if two people agreed on it; else it waits, or was refused.
    fn narrowed(
        &self,
        server: &Server,
        wanted: PolicyContent,
        narrowings: Vec<Narrowing>,
        found: &mut Found,
    ) -> Result<Option<PolicyContent>, DbError> {
        let hash = policy::content_hash(&wanted);
        let known = rows::proposal(self.db, &server.id)?;
        let request = match &known {
            Some(known) => approval_rows::approval(self.db, &known.approval)?,
            None => None,
        };
        let state = request.as_ref().map(|request| approvals::state(self.asker.act.now, request));
        let same = known.as_ref().is_some_and(|known| known.hash == hash);
        match state {
            Some(ApprovalState::Approved) if same => {
                // The proposal stays until it is published: without a key somebody else does that.
                if self.key.is_some() {
                    rows::drop_proposal(self.db, &server.id)?;
                }
                return Ok(Some(wanted));
            }
            Some(state @ (ApprovalState::Refused | ApprovalState::Withdrawn)) if same => {
                found.narrowed = Some(stays(server, state, &narrowings));
                return Ok(None);
            }
            Some(ApprovalState::Open) if same => {
                found.narrowed = Some(waits(server, &narrowings));
                return Ok(None);
            }
            _ => {}
        }
        let before = known.as_ref().zip(request.as_ref());
        self.ask(server, (hash, wanted, &narrowings), before)?;
        found.narrowed = Some(waits(server, &narrowings));
        Ok(None)
    }

    /// Opens a request, in the place of the one before.
    fn ask(
        &self,
        server: &Server,
        (hash, content, narrowings): (PolicyHash, PolicyContent, &[Narrowing]),
        before: Option<(&Proposal, &ApprovalRow)>,
    ) -> Result<(), DbError> {
        let act = self.asker.act;
        let (mut user, mut name) = (self.asker.user, act.actor.name.clone());
        let mut askers: Vec<UserId> = Vec::new();
        if let Some((proposal, request)) = before {
            let undecided = request.state == ApprovalState::Open;
            let nothing_new = narrowings.iter().all(|one| proposal.narrowings.contains(one));
            if undecided && let Wanted::NarrowPolicy { askers: earlier, .. } = &request.wanted {
                // Nobody decides on what they asked for because somebody else has changed more since.
                askers.clone_from(earlier);
            }
            if undecided && nothing_new {
                (user, name) = (request.asked_user, request.asked_by.clone());
            }
            self.close(&request.id)?;
        }
        askers.extend(user.filter(|user| !askers.contains(user)));
        let wanted = Wanted::NarrowPolicy {
            server: server.id,
            content: hash,
            narrowings: narrowings.to_vec(),
            askers,
        };
        let reason = format!("the register asks for less of {}", server.name);
        let approval = approvals::ask_for(self.db, act, (user, name), wanted, reason)?;
        let narrowings = narrowings.to_vec();
        let proposal = Proposal { server: server.id, hash, content, narrowings, approval };
        rows::put_proposal(self.db, &proposal)
    }

    fn publish(
        &self,
        server: &Server,
        next: Policy,
        key: &SigningKey,
        found: &mut Found,
    ) -> Result<(), DbError> {
        let signed = match policy::sign(&next, key) {
            Ok(signed) => signed,
            Err(error) => {
                found.refused = Some(finding(server, unsignable(server, &error)));
                return Ok(());
            }
        };
        let row = PolicyRow {
            hash: policy::hash(&signed.text),
            policy: next,
            signed,
            confirmation: None,
        };
        rows::insert(self.db, &row)?;
        let shown = serde_json::json!({
            "version": row.policy.version,
            "previous": row.policy.previous,
            "agent": row.policy.agent,
            "content": audit::shown(&row.policy.content)?,
        });
        let deed =
            Deed { action: "policy.publish", kind: "policy", id: &row.hash, pd: Some(server.pd) };
        audit::append(self.db, self.asker.act, deed, None, Some(shown))?;
        tracing::info!(server = server.name, version = row.policy.version, "policy published");
        Ok(())
    }
}

/// How far the agent has come beyond what is known here: then a higher number is needed.
fn told_ahead(
    last: Option<&PolicyRow>,
    agent: lumbung_model::AgentId,
    told: &PolicyTold,
) -> Option<u64> {
    let known = last.filter(|last| last.policy.agent == agent).map(PolicyRow::mark);
    let newest = last.map_or(0, |last| last.policy.version);
    let is_ahead = |mark: &PolicyMark| {
        let other =
            known.is_some_and(|known| known.version == mark.version && known.hash != mark.hash);
        other || mark.version > newest && mark.version - newest <= AHEAD_MAX
    };
    let marks = [told.applied, told.pending];
    marks.into_iter().flatten().filter(is_ahead).map(|mark| mark.version).max()
}

fn unsignable(server: &Server, error: &PolicyError) -> String {
    format!(
        "no policy for {}: {error}; shorten what the register says of its datasets, the policy before stays",
        server.name
    )
}

/// Narrowings in words, the first few of them.
pub fn in_words(narrowings: &[Narrowing]) -> String {
    let mut words: Vec<String> = narrowings.iter().take(NAMED).map(ToString::to_string).collect();
    if narrowings.len() > NAMED {
        words.push(format!("and {} more", narrowings.len() - NAMED));
    }
    words.join("; ")
}

fn waits(server: &Server, narrowings: &[Narrowing]) -> Finding {
    let detail = format!(
        "{}: the register asks for less than before, and a second person has to agree (`lumbung approval list`): {}",
        server.name,
        in_words(narrowings)
    );
    finding(server, detail)
}

fn stays(server: &Server, state: ApprovalState, narrowings: &[Narrowing]) -> Finding {
    let detail = format!(
        "{}: asking for less was {state}, so the old policy stays and the register says something else: correct the \
         register: {}",
        server.name,
        in_words(narrowings)
    );
    finding(server, detail)
}

/// Whose data the policy of a server is about.
///
/// # Errors
/// If the database fails.
pub fn pd_of(db: &Connection, server: &ServerId) -> Result<Option<PdId>, DbError> {
    Ok(register::server(db, server)?.map(|server| server.pd))
}
