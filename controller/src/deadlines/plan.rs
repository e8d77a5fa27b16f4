//! What has to change so that the records are those of what is owed. Pure.
//!
//! Invariants: a plan that was carried out leaves nothing to do; what was handed in or decided by a person, and what is
//! past its date, stays as it is.

use std::collections::HashMap;

use lumbung_model::{DepositId, PdId, Timestamp};

use super::owed::Owed;
use crate::db::deposits::Status;

/// A record that follows from a duty, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: DepositId,
    /// How far it has come.
    pub status: Status,
    /// Whether the controller cancelled it by itself.
    pub lapsed: bool,
    /// Who owes it.
    pub pd: Option<PdId>,
    /// Until when it is in time.
    pub due: Timestamp,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// New records.
    pub make: Vec<Owed<'a>>,
    /// What is owed no more, and not due yet.
    pub lapse: Vec<DepositId>,
    /// What lapsed and is owed again.
    pub revive: Vec<DepositId>,
    /// What the Dinas owes, while another PD has become it.
    pub hand_over: Vec<(DepositId, Option<PdId>)>,
}

impl Plan<'_> {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.make.is_empty()
            && self.lapse.is_empty()
            && self.revive.is_empty()
            && self.hand_over.is_empty()
    }
}

/// Compares what is there with what is owed.
#[must_use]
pub fn plan<'a>(known: &[Known], owed: Vec<Owed<'a>>, now: Timestamp) -> Plan<'a> {
    let mut plan = Plan::default();
    let mut left: HashMap<DepositId, &Known> = known.iter().map(|one| (one.id, one)).collect();
    for one in owed {
        match left.remove(&one.id) {
            None => plan.make.push(one),
            Some(record) => {
                if record.lapsed {
                    plan.revive.push(one.id);
                }
                let is_owed = record.lapsed || record.status.is_to_be_delivered();
                if is_owed && record.pd != one.pd {
                    plan.hand_over.push((one.id, one.pd));
                }
            }
        }
    }
    let lapses =
        |one: &&Known| left.contains_key(&one.id) && one.status == Status::Open && one.due >= now;
    plan.lapse = known.iter().filter(lapses).map(|one| one.id).collect();
    plan
}
