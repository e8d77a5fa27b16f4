//! Whether a policy that came from the controller is taken. Pure: nothing that the controller says is believed here.

use std::collections::HashSet;

use lumbung_model::{DatasetId, PublicKey, Timestamp};
use lumbung_wire::messages::policy::{Narrowing, PolicyContent, PolicyDelivery};
use lumbung_wire::policy::{self as wire, narrows};

use super::{Ledger, Opened, Refusal, Whose};

/// What a policy is held against, beside what is kept.
pub struct Asked<'a> {
    /// Who the agent is.
    pub whose: Whose,
    /// The datasets that the agent's own file names: a policy changes nothing about them.
    pub own: &'a HashSet<DatasetId>,
    /// Whether a key is a root key of the PD's newest roster.
    pub is_root_key: &'a dyn Fn(&PublicKey) -> bool,
    /// The time.
    pub now: Timestamp,
}

/// What becomes of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept already.
    Known,
    /// It is taken.
    Take(Box<Opened>),
    /// It narrows what is backed up, and waits.
    Wait(Box<Opened>, Vec<Narrowing>),
    /// It is not believed.
    Refuse(Refusal),
}

/// Judges a policy.
#[must_use]
pub fn judge(ledger: &Ledger, delivery: &PolicyDelivery, asked: &Asked<'_>) -> Verdict {
    let hash = wire::hash(&delivery.policy.text);
    let refuse = |reason: String| Verdict::Refuse(Refusal { hash, reason });
    let key = ledger.key.unwrap_or(delivery.policy.signer);
    if delivery.policy.signer != key {
        return refuse(format!(
            "a policy is signed with key {} instead of {key}: ask the Dinas; only if it has changed its key, run \
             `lumbung-agent policy trust KEY` with the key that the Dinas gives you",
            delivery.policy.signer
        ));
    }
    let opened = match Opened::of(delivery.policy.clone(), &key) {
        Ok(opened) => opened,
        Err(error) => return refuse(error.to_string()),
    };
    let Whose { agent, server } = asked.whose;
    if opened.policy.agent != agent || server.is_some_and(|own| own != opened.policy.server) {
        return refuse(format!("policy {} is for another agent or server", opened.mark.version));
    }
    let waits = ledger.pending.as_ref().is_some_and(|pending| pending.mark == opened.mark);
    if ledger.accepted.as_ref().is_some_and(|accepted| accepted.mark == opened.mark) {
        return Verdict::Known;
    }
    if let Some(newest) = newest_of(ledger, &key).filter(|newest| opened.mark.version <= *newest)
        && !waits
    {
        return refuse(format!(
            "policy {} came after policy {newest}: an old one, or two of one number; the agent stays with what it has",
            opened.mark.version
        ));
    }
    let nothing = PolicyContent::default();
    let runs = ledger.accepted.as_ref().map_or(&nothing, |accepted| &accepted.policy.content);
    let narrowings: Vec<Narrowing> = narrows(runs, &opened.policy.content, asked.now)
        .into_iter()
        .filter(|narrowing| !narrowing.dataset().is_some_and(|id| asked.own.contains(&id)))
        .collect();
    if narrowings.is_empty() || is_confirmed(&opened, delivery, asked) {
        return Verdict::Take(Box::new(opened));
    }
    if waits { Verdict::Known } else { Verdict::Wait(Box::new(opened), narrowings) }
}

/// The highest number that was seen under this key.
fn newest_of(ledger: &Ledger, key: &PublicKey) -> Option<u64> {
    let kept = [&ledger.accepted, &ledger.pending].into_iter().flatten();
    kept.filter(|one| one.signed.signer == *key).map(|one| one.mark.version).max()
}

/// Whether the PD's custodian has said that the agent may take it.
fn is_confirmed(opened: &Opened, delivery: &PolicyDelivery, asked: &Asked<'_>) -> bool {
    delivery.confirmation.as_ref().is_some_and(|word| {
        wire::check_confirmation(word, &opened.mark.hash, &asked.whose.agent).is_ok()
            && (asked.is_root_key)(&word.key)
    })
}
