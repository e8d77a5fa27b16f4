//! Refused enrolments in the audit log: so many an hour, since strangers can ask for as many as they like.
//!
//! Invariants: what is left out is counted in the next entry; who has no token at all takes no room from what is told of
//! tokens that were once given out.

use std::sync::{Mutex, PoisonError};

use lumbung_model::{PdId, Timestamp};
use lumbung_wire::Role;
use rusqlite::Connection;
use serde_json::json;

use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::tokens::{self, TokenSubject};
use crate::db::{DbError, register};

/// So many entries an hour, of tokens that are known and of others.
const AN_HOUR: u32 = 20;
const HOUR_S: i64 = 3600;

/// What was noted lately.
#[derive(Default)]
pub struct Refusals {
    of_tokens: Mutex<Budget>,
    of_strangers: Mutex<Budget>,
}

#[derive(Default)]
struct Budget {
    since: Option<Timestamp>,
    written: u32,
    left_out: u64,
}

impl Budget {
    /// How many were left out before, if this one is to be written.
    fn take(&mut self, now: Timestamp) -> Option<u64> {
        if self.since.is_none_or(|since| !(0..HOUR_S).contains(&now.seconds_since(since))) {
            (self.since, self.written) = (Some(now), 0);
        }
        if self.written == AN_HOUR {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Refusals {
    /// Notes that an enrolment was refused: what its token (hashed) was for, as which role it came, and why not.
    ///
    /// # Errors
    /// If the database fails.
    pub fn note(
        &self,
        db: &Connection,
        act: &Act,
        token: &[u8; 32],
        role: Role,
        why: &str,
    ) -> Result<(), DbError> {
        let subject = tokens::find(db, token)?.map(|row| row.subject);
        let budget = if subject.is_some() { &self.of_tokens } else { &self.of_strangers };
        let left_out = budget.lock().unwrap_or_else(PoisonError::into_inner).take(act.now);
        let Some(left_out) = left_out else { return Ok(()) };
        let (kind, id, pd) = told(db, subject)?;
        let deed = Deed { action: "enrol.refuse", kind, id: &id, pd };
        let after = json!({ "role": role, "why": why, "left_out_before": left_out });
        audit::append(db, act, deed, None, Some(after))
    }
}

/// What a token was for, as an entry names it.
fn told(
    db: &Connection,
    subject: Option<TokenSubject>,
) -> Result<(&'static str, String, Option<PdId>), DbError> {
    Ok(match subject {
        None => ("enrolment", String::new(), None),
        Some(TokenSubject::Site(site)) => ("site", site.to_string(), None),
        Some(TokenSubject::Agent(server)) => {
            ("server", server.to_string(), register::server(db, &server)?.map(|server| server.pd))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_and_told_in_the_next_hour() {
        let mut budget = Budget::default();
        let start = Timestamp(1_800_000_000);
        let taken: Vec<_> = (0..25).filter_map(|n| budget.take(start.plus_seconds(n))).collect();
        assert_eq!(taken, [0; 20]);
        assert_eq!(budget.take(start.plus_seconds(3599)), None);
        assert_eq!(budget.take(start.plus_seconds(3600)), Some(6));
        assert_eq!(budget.take(start.plus_seconds(3600)), Some(0));
        // A clock that was set back holds nothing up.
        assert_eq!(budget.take(start), Some(0));
    }
}
