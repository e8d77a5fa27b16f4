//! Retention: which snapshots a site keeps, and why. Pure: the plan is a value, whoever carries it out is elsewhere.
//!
//! Invariants, whatever the policy, the clock, an agent's dates or the number of snapshots:
//! - nothing expires before its own lock, counted both on the retention clock and by the receipt's date;
//! - what loses its place stays one lock period more, counted on the retention clock from then;
//! - the newest complete snapshot of a dataset always has a place; a hold or a lease keeps what it names;
//! - in a calendar slot the first that arrived stays: what comes later, however dated, never displaces it;
//! - snapshots that no roster vouches for compete only among themselves.
//!
//! Calendar slots are as in Borg, restic and Proxmox Backup Server: of each of the newest N hours, days, weeks (ISO
//! 8601), months and years *that have a snapshot*, one is kept. Those keep the last of a slot, by the maker's
//! date; here it is the first to arrive, by the earliest receipt, so that nobody can push it out.

mod clock;
mod places;
mod policy;

pub use clock::{Boot, RetentionClock, STOPPED_MAX_S};
pub use policy::{Policy, PolicyError};

use std::collections::HashMap;

use chrono_tz::Tz;

use crate::{AgentId, DatasetId, ManifestId, Timestamp};
use places::places;

/// What retention looks at in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The snapshot.
    pub manifest: ManifestId,
    /// Who made it.
    pub agent: AgentId,
    /// What was backed up.
    pub dataset: DatasetId,
    /// Whether the newest roster vouches for its signer.
    pub authorized: bool,
    /// Whether it only protects a run under way.
    pub partial: bool,
    /// Its place in the agent's chain.
    pub place: (u32, u64),
    /// Number of this site's receipt: the order of arrival here.
    pub arrival: u64,
    /// The earliest receipt that came with it, or this site's own.
    pub dated: Timestamp,
    /// When this site's receipt was given.
    pub received: Timestamp,
    /// Until when that receipt promises to keep it.
    pub locked_until: Timestamp,
    /// The retention clock when it came; seconds.
    pub came_s: u64,
    /// The retention clock when it was first found without a place; seconds.
    pub displaced_s: Option<u64>,
    /// The hold that names it, in words.
    pub held: Option<String>,
    /// A session under way builds on it.
    pub leased: bool,
}

impl Candidate {
    /// How long its lock is, in seconds; none if the promise ends before it begins.
    fn lock_s(&self) -> u64 {
        u64::try_from(self.locked_until.seconds_since(self.received)).unwrap_or(0)
    }
}

/// Which slots of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interval {
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks of ISO 8601.
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No policy says that anything may go.
    NoPolicy,
    /// It is the newest complete snapshot of its dataset.
    Newest,
    /// It is one of the last that arrived: the how-manieth, from 1.
    Last(u32),
    /// It was the first to arrive in this slot of the calendar.
    Slot(Interval, String),
    /// It protects a run that has not ended yet.
    Partial,
    /// A hold names it.
    Held(String),
    /// A session under way builds on it.
    Leased,
    /// Its lock runs on the retention clock; seconds that are left.
    Locked(u64),
    /// Its receipt promises to keep it until then.
    Promised(Timestamp),
    /// It has lost its place and stays one lock period more; seconds that are left.
    Displaced(u64),
}

impl Reason {
    /// Whether it is a place of its own, and not merely a delay.
    const fn is_place(&self) -> bool {
        !matches!(self, Self::Locked(_) | Self::Promised(_) | Self::Displaced(_))
    }
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub manifest: ManifestId,
    /// Why it stays; none: it expires now.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// Whether it goes.
    #[must_use]
    pub const fn expires(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Whether it has a place, and not merely time left.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.reasons.iter().any(Reason::is_place)
    }
}

/// When a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub now: Timestamp,
    /// The retention clock, in seconds.
    pub clock_s: u64,
}

/// Decides about all snapshots of a repository. `policy_of` gives the policy of a dataset, none where everything is
/// kept; `lock_s` is the site's lock period now. Verdicts come in the order of the candidates.
#[must_use]
pub fn plan<'p>(
    candidates: &[Candidate],
    policy_of: impl Fn(&DatasetId) -> Option<&'p Policy>,
    zone: Tz,
    lock_s: u64,
    moment: Moment,
) -> Vec<Verdict> {
    let mut groups: HashMap<(AgentId, DatasetId, bool), Vec<&Candidate>> = HashMap::new();
    for candidate in candidates {
        let key = (candidate.agent, candidate.dataset, candidate.authorized);
        groups.entry(key).or_default().push(candidate);
    }
    let mut reasons: HashMap<ManifestId, Vec<Reason>> = HashMap::new();
    for ((_, dataset, _), group) in &groups {
        for (manifest, reason) in places(group, policy_of(dataset), zone) {
            reasons.entry(manifest).or_default().push(reason);
        }
    }
    candidates
        .iter()
        .map(|candidate| {
            let mut reasons = reasons.remove(&candidate.manifest).unwrap_or_default();
            reasons.extend(candidate.held.clone().map(Reason::Held));
            reasons.extend(candidate.leased.then_some(Reason::Leased));
            let placed = !reasons.is_empty();
            reasons.extend(delays(candidate, placed, lock_s, moment));
            Verdict { manifest: candidate.manifest, reasons }
        })
        .collect()
}

/// What keeps a snapshot for a while, whether or not it has a place.
fn delays(candidate: &Candidate, placed: bool, lock_s: u64, moment: Moment) -> Vec<Reason> {
    let mut delays = Vec::new();
    let own_lock_s = candidate.lock_s();
    let age_s = moment.clock_s.saturating_sub(candidate.came_s);
    if age_s < own_lock_s {
        delays.push(Reason::Locked(own_lock_s - age_s));
    }
    if moment.now < candidate.locked_until {
        delays.push(Reason::Promised(candidate.locked_until));
    }
    if !placed {
        let period_s = lock_s.max(own_lock_s);
        // Found without a place for the first time: the period begins now.
        let since_s = candidate.displaced_s.unwrap_or(moment.clock_s);
        let gone_s = moment.clock_s.saturating_sub(since_s);
        if gone_s < period_s {
            delays.push(Reason::Displaced(period_s - gone_s));
        }
    }
    delays
}

#[cfg(test)]
mod tests;
