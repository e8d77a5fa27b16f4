//! When a verdict changes by itself, though no new evidence comes.
//!
//! Invariant: between `now` and what [`next_change`] says, [`super::evaluate`] and [`super::kept_apart`] say the same about
//! the same evidence. It may name a moment at which nothing changes after all.

use super::{CLOCK_TOLERANCE_S, DatasetFacts, Rules};
use crate::Timestamp;

/// The first moment after `now` at which the same evidence may be weighed otherwise; none: it stays as it is.
/// `spans_s` are further limits of age that the city's rules hold snapshots and proofs against, seconds.
#[must_use]
pub fn next_change(
    facts: &DatasetFacts,
    rules: &Rules,
    spans_s: &[i64],
    now: Timestamp,
) -> Option<Timestamp> {
    let mut moments = Vec::new();
    // What is dated in the future counts once its date is near enough.
    let mut at = |time: Timestamp, lasts_s: &[i64]| {
        moments.push(time.plus_seconds(-CLOCK_TOLERANCE_S));
        moments.extend(lasts_s.iter().map(|lasts_s| time.plus_seconds(lasts_s + 1)));
    };
    let verification_s = rules.verification_interval_s.max(facts.rpo_s);
    let mut ages_s = vec![facts.rpo_s, verification_s];
    ages_s.extend(spans_s.iter().flat_map(|span_s| [*span_s, (*span_s).max(facts.rpo_s)]));
    for snapshot in &facts.snapshots {
        at(snapshot.as_of(), &ages_s);
        for copy in &snapshot.copies {
            copy.verified.into_iter().for_each(|verified| at(verified, &[]));
        }
    }
    for inventory in facts.sites.iter().filter_map(|site| site.inventory) {
        at(inventory.made, &[rules.inventory_max_age_s]);
    }
    let mut lasts_s = vec![rules.proof_interval_s];
    lasts_s.extend(spans_s);
    for proof in &facts.proofs {
        at(proof.finished, &lasts_s);
    }
    moments.into_iter().filter(|moment| *moment > now).min()
}
