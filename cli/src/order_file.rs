//! An order's file: one order, and the copies of it that were signed so far.
//!
//! Invariants: all copies are of one order, and every signature in the file verifies; who signed is told by keys, and
//! a role is told only where a roster or a key of the Dinas says so.

use std::path::{Path, PathBuf};

use lumbung_engine::Snapshot;
use lumbung_model::PublicKey;
use lumbung_pack::order::{read_orders, write_order};
use lumbung_pack::{Action, Order, OrderError, RosterChain, Signed};

use crate::failure::{Code, Failure, Outcome};
use crate::files::read_text;

/// An order that was read from its file.
pub(crate) struct OrderFile {
    /// Where it was read.
    pub(crate) path: PathBuf,
    /// As it stands in the file.
    pub(crate) text: String,
    /// The first copy, and the rest: all of one order.
    first: Signed<Order>,
    others: Vec<Signed<Order>>,
}

impl OrderFile {
    /// Reads it.
    ///
    /// # Errors
    /// If it is not there, is damaged, or holds copies of different orders.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = read_text(path, "the order's file")?;
        let copies = read_orders(&text).map_err(|e| explain(path, e))?;
        let mut copies = copies.into_iter().map(|(copy, _)| copy);
        let first = copies.next().ok_or_else(|| explain(path, OrderError::Owner))?;
        let others: Vec<Signed<Order>> = copies.collect();
        if others.iter().any(|copy| copy.body != first.body) {
            return Err(explain(path, OrderError::Different));
        }
        Ok(Self { path: path.to_owned(), text: text.to_string(), first, others })
    }

    /// What is ordered.
    pub(crate) const fn order(&self) -> &Order {
        &self.first.body
    }

    /// The signed copies, one for each key.
    pub(crate) fn copies(&self) -> Vec<&Signed<Order>> {
        let mut copies = vec![&self.first];
        for copy in &self.others {
            if copies.iter().all(|known| known.signer != copy.signer) {
                copies.push(copy);
            }
        }
        copies
    }

    /// Whether this key has signed.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.copies().iter().any(|copy| copy.signer == *key)
    }

    /// The file's text with one more copy.
    pub(crate) fn with(&self, object: &[u8]) -> String {
        let gap = if self.text.ends_with('\n') { "" } else { "\n" };
        format!("{}{gap}{}", self.text, write_order(object))
    }
}

/// A new file's text. What people read in it is not signed, and so it says nothing of the order itself.
#[must_use]
pub(crate) fn first_text(object: &[u8]) -> String {
    format!("# `lumbung order show FILE` tells what this says.\n{}", write_order(object))
}

fn explain(path: &Path, error: OrderError) -> Failure {
    let name = path.display();
    match error {
        OrderError::Different => Failure::new(
            Code::BadFile,
            format!("{name} cannot be used"),
            "ask for the file with one order as `lumbung order new` wrote it",
        )
        .because(error),
        OrderError::Text(lumbung_pack::armor::ArmorError::Title(_)) => Failure::new(
            Code::BadFile,
            format!("{name} is no order's file"),
            "name the file that `lumbung order new` wrote",
        ),
        // Their words are about key files.
        OrderError::Text(_) => Failure::new(
            Code::BadFile,
            format!("{name} is damaged: its checksum does not match, or a line holds something else"),
            "have it sent again",
        ),
        error => Failure::new(
            Code::BadFile,
            format!("{name} holds something else than signed orders, or a signature that does not verify"),
            "do not sign it: ask whoever sent it",
        )
        .because(error),
    }
}

/// In whose place somebody signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A root key of the newest roster.
    Owner,
    /// A key that was named as the Dinas'.
    Dinas,
}

/// What is known about an order besides its file.
#[derive(Default)]
pub(crate) struct Known {
    /// The repository's rosters.
    pub(crate) chain: Option<RosterChain>,
    /// Keys of the Dinas.
    pub(crate) dinas_keys: Vec<PublicKey>,
    /// What it would destroy at a depot.
    pub(crate) covered: Option<Covered>,
}

/// The snapshots of a depot that an order destroys.
pub(crate) struct Covered {
    /// What people call the depot.
    pub(crate) depot: String,
    /// The snapshots, partial ones too.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A signature that an order still lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The owner's.
    Owner,
    /// The Dinas'.
    Dinas,
    /// The owner's or the Dinas': which of them cannot be told.
    Second,
}

impl Known {
    fn is_root(&self, key: &PublicKey) -> Option<bool> {
        self.chain.as_ref().map(|chain| chain.is_root_key(key))
    }

    fn is_dinas(&self, key: &PublicKey) -> Option<bool> {
        (!self.dinas_keys.is_empty()).then(|| self.dinas_keys.contains(key))
    }

    /// In whose place this key signs, where that can be told.
    pub(crate) fn role(&self, key: &PublicKey) -> Option<Role> {
        match (self.is_root(key), self.is_dinas(key)) {
            (Some(true), _) => Some(Role::Owner),
            (_, Some(true)) => Some(Role::Dinas),
            _ => None,
        }
    }

    /// Which signatures are not there yet. A key of which nothing is known may be the one that is looked for.
    pub(crate) fn missing(&self, signers: &[PublicKey]) -> Vec<Missing> {
        // Where only one of the roles is known, whoever does not have it may have the other.
        let may_own = |key: &PublicKey| {
            self.is_root(key).unwrap_or_else(|| !self.is_dinas(key).unwrap_or(false))
        };
        let may_be_dinas = |key: &PublicKey| {
            self.is_dinas(key).unwrap_or_else(|| !self.is_root(key).unwrap_or(false))
        };
        // One key in both roles does not suffice.
        let is_pair = |owner, dinas| owner != dinas && may_own(owner) && may_be_dinas(dinas);
        if signers.iter().any(|owner| signers.iter().any(|dinas| is_pair(owner, dinas))) {
            return Vec::new();
        }
        match (signers.iter().any(may_own), signers.iter().any(may_be_dinas)) {
            (false, false) => vec![Missing::Owner, Missing::Dinas],
            (false, true) => vec![Missing::Owner],
            (true, false) => vec![Missing::Dinas],
            (true, true) => vec![Missing::Second],
        }
    }
}

/// The snapshots that an order destroys, among those of a depot.
#[must_use]
pub(crate) fn covered_by(order: &Order, snapshots: &[Snapshot]) -> Vec<Snapshot> {
    let Action::Destroy(subject) = &order.action else { return Vec::new() };
    let covers = |one: &&Snapshot| subject.covers(&one.id, &one.dataset);
    snapshots.iter().filter(covers).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_follows_from_what_is_known() {
        let key = |byte| PublicKey::from_bytes([byte; 32]);
        let nothing = Known::default();
        assert_eq!(nothing.missing(&[key(1)]), [Missing::Second]);
        assert_eq!(nothing.missing(&[key(1), key(2)]), []);
        let dinas = Known { dinas_keys: vec![key(2)], ..Known::default() };
        assert_eq!(dinas.missing(&[key(1)]), [Missing::Dinas]);
        assert_eq!(dinas.missing(&[key(2)]), [Missing::Owner]);
        assert_eq!(dinas.missing(&[key(1), key(3)]), [Missing::Dinas]);
        assert_eq!(dinas.missing(&[key(1), key(2)]), []);
    }
}
