//! The RPO that was achieved: how much would have been lost at the worst moment of a span of time.
//!
//! At any moment what would be lost is what is newer than the newest snapshot that had arrived by then. It grows until the
//! next one arrives, so the worst moments are just before arrivals, and the end of the span.

use crate::Timestamp;

/// A snapshot: what it is as old as, and when it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// What it is as old as.
    pub as_of: Timestamp,
    /// When the site received it.
    pub received: Timestamp,
}

/// What was achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Achieved {
    /// From when it is counted; none: nothing ever arrived.
    pub from: Option<Timestamp>,
    /// Snapshots that arrived in the span.
    pub snapshots: u64,
    /// The most that would have been lost, seconds, and when.
    pub worst: Option<(i64, Timestamp)>,
    /// Share of the time in which no more than the RPO would have been lost, thousandths of a percent.
    pub within_millipercent: u32,
}

/// What was achieved from `from` to `until`; arrivals before `from` count as what was there.
#[must_use]
pub fn achieved(
    arrivals: &[Arrival],
    (from, until): (Timestamp, Timestamp),
    rpo_s: i64,
) -> Achieved {
    let mut sorted: Vec<Arrival> =
        arrivals.iter().copied().filter(|arrival| arrival.received <= until).collect();
    sorted.sort_by_key(|arrival| arrival.received);
    let first = sorted.first().map(|arrival| arrival.received.max(from));
    let mut found = Achieved { from: first, snapshots: 0, worst: None, within_millipercent: 0 };
    let Some(mut at) = first else { return found };
    let (begin, mut newest, mut within_s) = (at, None::<Timestamp>, 0_i64);
    let ends = sorted.iter().map(|arrival| (arrival.received, Some(arrival.as_of)));
    for (end, as_of) in ends.chain([(until, None)]) {
        if let Some(newest) = newest.filter(|_| end > at) {
            let lost_s = end.seconds_since(newest);
            if found.worst.is_none_or(|(worst_s, _)| lost_s > worst_s) {
                found.worst = Some((lost_s, end));
            }
            let limit = newest.plus_seconds(rpo_s);
            within_s += limit.min(end).seconds_since(at).max(0);
            at = end;
        }
        if as_of.is_some() && end >= from {
            found.snapshots += 1;
        }
        newest = newest.max(as_of);
    }
    let all_s = until.seconds_since(begin);
    if all_s > 0 {
        let share = i128::from(within_s) * 100_000 / i128::from(all_s);
        found.within_millipercent = u32::try_from(share).unwrap_or(0);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn at(hours: i64) -> Timestamp {
        Timestamp(1_800_000_000 + hours * HOUR)
    }

    fn arrival(as_of: i64, received: i64) -> Arrival {
        Arrival { as_of: at(as_of), received: at(received) }
    }

    #[test]
    fn the_worst_moment_is_just_before_the_next_arrival() {
        let arrivals = [arrival(0, 1), arrival(24, 25), arrival(60, 61)];
        let found = achieved(&arrivals, (at(0), at(72)), 24 * HOUR);
        // From hour 25 on what is of hour 24 counts: until 61, that is 37 hours.
        assert_eq!(found.worst, Some((37 * HOUR, at(61))));
        assert_eq!((found.from, found.snapshots), (Some(at(1)), 3));
        // Hours 1–24 and 25–48 and 61–72 of hours 1–72: 23 + 23 + 11 of 71.
        assert_eq!(found.within_millipercent, 57 * 100_000 / 71);
    }

    #[test]
    fn what_came_before_the_span_counts_as_there_and_what_came_late_is_no_step_back() {
        let arrivals = [arrival(-10, -9), arrival(20, 21), arrival(15, 22)];
        let found = achieved(&arrivals, (at(0), at(30)), 100 * HOUR);
        assert_eq!((found.from, found.snapshots), (Some(at(0)), 2));
        assert_eq!(found.worst, Some((31 * HOUR, at(21))));
        assert_eq!(found.within_millipercent, 100_000);
    }

    #[test]
    fn without_a_snapshot_nothing_was_achieved() {
        let found = achieved(&[], (at(0), at(30)), HOUR);
        assert_eq!((found.from, found.worst, found.within_millipercent), (None, None, 0));
        let later = achieved(&[arrival(40, 41)], (at(0), at(30)), HOUR);
        assert_eq!(later, found);
    }
}
