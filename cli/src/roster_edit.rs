//! Changes to a roster, as functions on the roster alone.
//!
//! Invariants: each says whether it changed anything, so that repeating a command makes no new roster;
//! none takes an entry away that the format needs (the last recipient), and none changes an agent's
//! key or dedup domain.

use lumbung_pack::{AgentStatus, Recipient, Roster, RosterAgent, RosterSite};
use lumbung_seal::AgentPublic;

use crate::failure::{Code, Failure, Outcome};

/// Adds an agent, or makes a withdrawn one active again.
///
/// # Errors
/// If its id or key is taken by another one.
pub(crate) fn add_agent(
    roster: &mut Roster,
    agent: &AgentPublic,
    label: Option<&str>,
) -> Outcome<bool> {
    if let Some(listed) = roster.agents.iter_mut().find(|listed| listed.agent == agent.agent) {
        if listed.key != agent.key || listed.domain != agent.domain {
            return Err(Failure::new(
                Code::NotEntitled,
                format!(
                    "agent {} is listed with another key or dedup domain, and those never change",
                    agent.agent
                ),
                "withdraw that agent and make a new identity for the server",
            ));
        }
        let mut changed = listed.status == AgentStatus::Withdrawn;
        listed.status = AgentStatus::Active;
        if let Some(label) = label.filter(|label| *label != listed.label) {
            label.clone_into(&mut listed.label);
            changed = true;
        }
        return Ok(changed);
    }
    if let Some(listed) = roster.agents.iter().find(|listed| listed.key == agent.key) {
        return Err(Failure::new(
            Code::NotEntitled,
            format!("that key is listed already, for agent {}", listed.agent),
            "give every server an identity of its own",
        ));
    }
    roster.agents.push(RosterAgent {
        agent: agent.agent,
        key: agent.key,
        domain: agent.domain,
        status: AgentStatus::Active,
        label: label.unwrap_or_default().to_owned(),
    });
    Ok(true)
}

/// Withdraws an agent: what it added stays valid, it adds nothing more.
///
/// # Errors
/// If no single agent is meant.
pub(crate) fn withdraw_agent(roster: &mut Roster, given: &str) -> Outcome<bool> {
    let index = pick(
        "agent",
        given,
        roster.agents.iter().map(|a| (a.agent.to_string(), a.label.as_str())),
    )?;
    let status = &mut roster.agents[index].status;
    let changed = *status == AgentStatus::Active;
    *status = AgentStatus::Withdrawn;
    Ok(changed)
}

/// Withdraws an agent and lists another one under its label, in one roster: the server is never without an agent that
/// counts, and never has two.
///
/// # Errors
/// If no single agent is meant, or the new one has the old one's id, key or domain.
pub(crate) fn replace_agent(roster: &mut Roster, given: &str, new: &AgentPublic) -> Outcome<bool> {
    let named = roster.agents.iter().filter(|listed| listed.agent != new.agent);
    let names: Vec<(String, String)> =
        named.map(|a| (a.agent.to_string(), a.label.clone())).collect();
    let index = pick("agent", given, names.iter().map(|(id, label)| (id.clone(), label.as_str())))?;
    let old = roster.agents.iter().find(|listed| listed.agent.to_string() == names[index].0);
    let Some(old) = old.cloned() else { return Ok(false) };
    if new.key == old.key || new.domain == old.domain {
        let message =
            format!("the new agent has the key or the dedup domain of agent {}", old.agent);
        let next =
            "remove its state directory on the server and enrol it again: that makes new ones";
        return Err(Failure::new(Code::NotEntitled, message, next));
    }
    let withdrawn = withdraw_agent(roster, &old.agent.to_string())?;
    Ok(add_agent(roster, new, Some(&old.label))? | withdrawn)
}

/// Adds a site, or replaces its keys.
#[must_use]
pub(crate) fn add_site(roster: &mut Roster, site: RosterSite) -> bool {
    match roster.sites.iter_mut().find(|listed| listed.site == site.site) {
        Some(listed) if *listed == site => false,
        Some(listed) => {
            *listed = site;
            true
        }
        None => {
            roster.sites.push(site);
            true
        }
    }
}

/// Takes a site away: its receipts and its server no longer count.
///
/// # Errors
/// If no single site is meant.
pub(crate) fn remove_site(roster: &mut Roster, given: &str) -> Outcome<bool> {
    let index =
        pick("site", given, roster.sites.iter().map(|s| (s.site.to_string(), s.label.as_str())))?;
    roster.sites.remove(index);
    Ok(true)
}

/// Adds a recipient: it can open every snapshot made from now on.
#[must_use]
pub(crate) fn add_recipient(roster: &mut Roster, recipient: Recipient) -> bool {
    match roster.recipients.iter_mut().find(|listed| listed.key == recipient.key) {
        Some(listed) if recipient.label.is_empty() || *listed == recipient => false,
        Some(listed) => {
            *listed = recipient;
            true
        }
        None => {
            roster.recipients.push(recipient);
            true
        }
    }
}

/// Takes a recipient away: it cannot open snapshots made from now on.
///
/// # Errors
/// If no single recipient is meant, or it is the last one.
pub(crate) fn remove_recipient(roster: &mut Roster, given: &str) -> Outcome<bool> {
    let index = pick(
        "recipient",
        given,
        roster.recipients.iter().map(|r| (r.key.to_string(), r.label.as_str())),
    )?;
    if roster.recipients.len() == 1 {
        return Err(Failure::new(
            Code::NotEntitled,
            "that is the only recipient: nobody could restore what is backed up next",
            "add another recipient first: `lumbung roster add-recipient`",
        ));
    }
    roster.recipients.remove(index);
    Ok(true)
}

/// The one entry whose id begins like `given` or whose label is `given`.
fn pick<'a>(
    what: &str,
    given: &str,
    entries: impl Iterator<Item = (String, &'a str)>,
) -> Outcome<usize> {
    let entries: Vec<(String, &str)> = entries.collect();
    let fits = |(id, label): &(String, &str)| {
        (given.len() >= 4 && id.starts_with(given)) || *label == given
    };
    let mut found = (0..entries.len()).filter(|index| fits(&entries[*index]));
    let list = || entries.iter().map(|(id, label)| format!("{id}  {label}")).collect();
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (None, _) => {
            let message = format!("the roster lists no {what} {given:?}");
            Err(Failure::new(Code::NotInRoster, message, "name one of these by its id or label")
                .listing(list()))
        }
        (Some(_), Some(_)) => {
            let message = format!("{given:?} means more than one {what}");
            Err(Failure::new(Code::NotInRoster, message, "give more digits of the id")
                .listing(list()))
        }
    }
}
