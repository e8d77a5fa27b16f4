//! The invariants of retention, by example and against random histories with hostile clocks.

use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400;
const LOCK_S: u64 = 30 * 86_400;
/// 2026-01-01 00:00 in Jakarta.
const NEW_YEAR: i64 = 1_767_200_400;

fn id(n: u64) -> ManifestId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    ManifestId::from_bytes(bytes)
}

fn number(manifest: &ManifestId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&manifest.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

/// Snapshot `n` of the one dataset, received at `at`, long past its lock and its grace.
fn snapshot(n: u64, at: i64) -> Candidate {
    Candidate {
        manifest: id(n),
        agent: AgentId::from_bytes([1; 16]),
        dataset: DatasetId::from_bytes([2; 16]),
        authorized: true,
        partial: false,
        place: (1, n),
        arrival: n,
        dated: Timestamp(at),
        received: Timestamp(at),
        locked_until: Timestamp(at + LOCK_S.cast_signed()),
        came_s: 0,
        displaced_s: Some(0),
        held: None,
        leased: false,
    }
}

/// Long after everything.
const LATER: Moment = Moment { now: Timestamp(4_000_000_000), clock_s: 2_000_000_000 };

fn decide(candidates: &[Candidate], policy: &Policy, moment: Moment) -> Vec<Verdict> {
    plan(candidates, |_| Some(policy), chrono_tz::Asia::Jakarta, LOCK_S, moment)
}

fn kept(candidates: &[Candidate], policy: &Policy) -> Vec<u64> {
    let verdicts = decide(candidates, policy, LATER);
    verdicts.iter().filter(|one| !one.expires()).map(|one| number(&one.manifest)).collect()
}

#[test]
fn a_slot_keeps_the_first_that_arrived_and_the_newest_slots_count() {
    // Four a day for ten days.
    let all: Vec<Candidate> =
        (0..40).map(|n| snapshot(n + 1, NEW_YEAR + i64::try_from(n).unwrap() * 6 * 3600)).collect();
    let daily = Policy { keep_daily: 3, ..Policy::default() };
    assert_eq!(kept(&all, &daily), [29, 33, 37, 40], "the first of three days, and the newest");
    let last = Policy { keep_last: 2, ..Policy::default() };
    assert_eq!(kept(&all, &last), [39, 40]);
    let both = Policy { keep_last: 1, keep_weekly: 2, keep_monthly: 5, ..Policy::default() };
    // 2026-01-01 is a Thursday: the weeks are of snapshots 1–16 and 17–40.
    assert_eq!(kept(&all, &both), [1, 17, 40]);
}

#[test]
fn the_zone_of_the_site_decides_where_a_day_ends() {
    let all = [snapshot(1, NEW_YEAR - 1), snapshot(2, NEW_YEAR), snapshot(3, NEW_YEAR + 1)];
    let yearly = Policy { keep_yearly: 5, ..Policy::default() };
    assert_eq!(kept(&all, &yearly), [1, 2, 3], "the last of 2025, the first of 2026, the newest");
    let reasons = decide(&all, &yearly, LATER).swap_remove(0).reasons;
    assert_eq!(reasons, [Reason::Slot(Interval::Year, "2025".into())]);
}

#[test]
fn without_a_policy_everything_stays() {
    let all = [snapshot(1, NEW_YEAR), snapshot(2, NEW_YEAR)];
    let verdicts = plan(&all, |_| None, chrono_tz::UTC, LOCK_S, LATER);
    assert!(verdicts.iter().all(|one| one.reasons == [Reason::NoPolicy]));
}

#[test]
fn every_delay_ends_to_the_second_and_is_no_place() {
    let nothing = Policy { keep_last: 1, ..Policy::default() };
    let old = Candidate { came_s: 1000, displaced_s: Some(2000), ..snapshot(1, NEW_YEAR) };
    let all = [old, snapshot(2, NEW_YEAR + DAY)];
    let first = |now: i64, clock_s: u64| {
        let moment = Moment { now: Timestamp(now), clock_s };
        let verdict = decide(&all, &nothing, moment).swap_remove(0);
        assert!(!verdict.has_place());
        verdict.reasons
    };
    let promise = all[0].locked_until;
    assert_eq!(
        first(promise.0 - 1, 1000 + LOCK_S - 1),
        [Reason::Locked(1), Reason::Promised(promise), Reason::Displaced(1001)]
    );
    assert_eq!(first(promise.0, 1000 + LOCK_S), [Reason::Displaced(1000)]);
    assert_eq!(first(promise.0, 2000 + LOCK_S - 1), [Reason::Displaced(1)]);
    assert_eq!(first(promise.0, 2000 + LOCK_S), []);
    let newest = decide(&all, &nothing, LATER).swap_remove(1);
    assert!(newest.has_place(), "{:?}", newest.reasons);
    let held = Candidate { held: Some("perkara 12".into()), ..all[0].clone() };
    let verdict = decide(&[held, all[1].clone()], &nothing, LATER).swap_remove(0);
    assert!(verdict.has_place() && verdict.reasons == [Reason::Held("perkara 12".into())]);
}

#[test]
fn a_promise_that_ends_before_it_begins_locks_nothing() {
    let mut odd = snapshot(1, NEW_YEAR);
    odd.locked_until = Timestamp(NEW_YEAR - 1);
    assert_eq!(
        kept(&[odd, snapshot(2, NEW_YEAR)], &Policy { keep_last: 1, ..Policy::default() }),
        [2]
    );
}

#[test]
fn thousands_of_junk_snapshots_take_no_slot_and_no_lock() {
    let mut all = vec![snapshot(1, NEW_YEAR), snapshot(2, NEW_YEAR + DAY)];
    // The thief's: dated far ahead or far back by the agent, received today.
    all.extend((3..3000).map(|n| snapshot(n, NEW_YEAR + 2 * DAY)));
    let policy = Policy { keep_last: 5, keep_daily: 7, ..Policy::default() };
    assert_eq!(kept(&all, &policy)[..3], [1, 2, 3], "two good days, and the first of today");
    let soon = Moment { now: Timestamp(NEW_YEAR + 40 * DAY), clock_s: LOCK_S - 1 };
    assert!(decide(&all, &policy, soon).iter().all(|one| !one.expires()), "all are locked");
}

#[test]
fn junk_of_another_agent_or_without_a_roster_competes_with_its_like() {
    let good = snapshot(1, NEW_YEAR);
    let mut unlisted = snapshot(2, NEW_YEAR + DAY);
    unlisted.authorized = false;
    let mut stranger = snapshot(3, NEW_YEAR + DAY);
    stranger.agent = AgentId::from_bytes([9; 16]);
    let policy = Policy { keep_last: 1, ..Policy::default() };
    assert_eq!(kept(&[good, unlisted, stranger], &policy), [1, 2, 3]);
}

#[test]
fn what_loses_its_place_stays_one_lock_period_more() {
    let policy = Policy { keep_last: 1, ..Policy::default() };
    let mut old = snapshot(1, NEW_YEAR);
    old.displaced_s = None;
    let new = snapshot(2, NEW_YEAR + DAY);
    let first = Moment { now: Timestamp(NEW_YEAR + 400 * DAY), clock_s: 400 * 86_400 };
    let verdict = decide(&[old.clone(), new.clone()], &policy, first).swap_remove(0);
    assert_eq!(verdict.reasons, [Reason::Displaced(LOCK_S)]);
    assert!(!verdict.has_place());
    old.displaced_s = Some(first.clock_s);
    let almost = Moment { clock_s: first.clock_s + LOCK_S - 1, ..first };
    assert!(!decide(&[old.clone(), new.clone()], &policy, almost)[0].expires());
    let then = Moment { clock_s: first.clock_s + LOCK_S, ..first };
    assert!(decide(&[old, new], &policy, then)[0].expires());
}

#[test]
fn a_wall_clock_that_jumps_frees_nothing_and_one_that_stands_still_frees_nothing() {
    let policy = Policy { keep_last: 1, ..Policy::default() };
    let all = [snapshot(1, NEW_YEAR), snapshot(2, NEW_YEAR)];
    let jumped = Moment { now: Timestamp(i64::MAX), clock_s: LOCK_S - 1 };
    assert_eq!(decide(&all, &policy, jumped)[0].reasons[0], Reason::Locked(1));
    let stopped = Moment { now: Timestamp(NEW_YEAR), clock_s: u64::MAX };
    assert_eq!(decide(&all, &policy, stopped)[0].reasons, [Reason::Promised(all[0].locked_until)]);
    assert!(decide(&all, &policy, LATER)[0].expires());
}

#[test]
fn holds_and_leases_keep_what_they_name() {
    let policy = Policy { keep_last: 1, ..Policy::default() };
    let mut held = snapshot(1, NEW_YEAR);
    held.held = Some("perkara 12/2026".into());
    let mut leased = snapshot(2, NEW_YEAR);
    leased.leased = true;
    assert_eq!(
        kept(&[held, leased, snapshot(3, NEW_YEAR), snapshot(4, NEW_YEAR)], &policy),
        [1, 2, 4]
    );
}

#[test]
fn a_partial_snapshot_stays_until_a_later_run_has_ended() {
    let policy = Policy { keep_last: 5, ..Policy::default() };
    let mut partial = snapshot(2, NEW_YEAR);
    partial.partial = true;
    let before = [snapshot(1, NEW_YEAR), partial.clone()];
    assert_eq!(kept(&before, &policy), [1, 2], "the run goes on");
    let after = [snapshot(1, NEW_YEAR), partial.clone(), snapshot(3, NEW_YEAR)];
    assert_eq!(kept(&after, &policy), [1, 3]);
    assert_eq!(kept(&[partial], &policy), [2], "a first run that goes on");
}

#[test]
fn a_rebuilt_site_keeps_the_history_that_it_pulls() {
    // Three years, a snapshot a day, pulled within an hour: all received now, dated by the source's receipts.
    let pulled = NEW_YEAR;
    let all: Vec<Candidate> = (0..1095)
        .map(|n| {
            let mut one = snapshot(n + 1, pulled);
            one.dated = Timestamp(pulled - (1095 - i64::try_from(n).unwrap()) * DAY);
            one
        })
        .collect();
    let policy = Policy { keep_daily: 14, keep_monthly: 36, ..Policy::default() };
    let kept = kept(&all, &policy);
    let months = kept.iter().filter(|n| **n <= 1095 - 31).count();
    assert!(months >= 34, "three years of months are there: {months}");
    assert!(kept.len() < 60);
}

#[test]
fn the_retention_clock_cannot_be_set() {
    let boot = |id: &str, seconds| Boot { id: id.into(), seconds };
    let start = RetentionClock::start(Timestamp(1000), boot("a", 50));
    let jumped = start.advance(Timestamp(i64::MAX), boot("a", 60));
    assert_eq!(jumped.seconds, 10, "the wall clock says nothing while the machine runs");
    let back = jumped.advance(Timestamp(0), boot("a", 55));
    assert_eq!(back.seconds, 10, "never backward");
    let restarted = back.advance(Timestamp(3600), boot("b", 5));
    assert_eq!(restarted.seconds, 10 + 3600, "across a stop the wall clock counts");
    let years = restarted.advance(Timestamp(1_000_000_000), boot("c", 5));
    assert_eq!(years.seconds, restarted.seconds + STOPPED_MAX_S, "a week at the most");
    let backward = years.advance(Timestamp(5), boot("d", 5));
    assert_eq!(backward.seconds, years.seconds);
}

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    assert_eq!(Policy::default().check(), Err(PolicyError::Nothing));
    for policy in [
        Policy { keep_last: 1, ..Policy::default() },
        Policy { keep_hourly: 1, ..Policy::default() },
        Policy { keep_daily: 1, ..Policy::default() },
        Policy { keep_weekly: 1, ..Policy::default() },
        Policy { keep_monthly: 1, ..Policy::default() },
        Policy { keep_yearly: 1, ..Policy::default() },
    ] {
        assert_eq!(policy.check(), Ok(()));
    }
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (1_u32..5, 0_u32..5, 0_u32..9, 0_u32..5, 0_u32..14, 0_u32..4).prop_map(
        |(keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly)| Policy {
            keep_last,
            keep_hourly,
            keep_daily,
            keep_weekly,
            keep_monthly,
            keep_yearly,
        },
    )
}

proptest! {
    /// A site lives through random days with a hostile wall clock: whatever happens, every snapshot stays its lock,
    /// and one lock more after it was last seen with a place.
    #[test]
    fn nothing_goes_before_its_time(
        policy in any_policy(),
        days in prop::collection::vec((0_u64..4, -4000_i64..4000, 1_u64..20), 1..60),
    ) {
        let mut here: Vec<Candidate> = Vec::new();
        let mut with_place: HashMap<ManifestId, u64> = HashMap::new();
        let (mut clock_s, mut n) = (0, 0);
        for (arrive, wall_days, passed) in days {
            clock_s += passed * 86_400;
            let now = Timestamp(NEW_YEAR + wall_days * DAY);
            for _ in 0..arrive {
                n += 1;
                let mut one = snapshot(n, now.0);
                (one.came_s, one.displaced_s) = (clock_s, None);
                with_place.insert(one.manifest, clock_s);
                here.push(one);
            }
            let verdicts = decide(&here, &policy, Moment { now, clock_s });
            for (one, verdict) in here.iter_mut().zip(&verdicts) {
                if verdict.has_place() {
                    with_place.insert(one.manifest, clock_s);
                    one.displaced_s = None;
                } else if one.displaced_s.is_none() {
                    one.displaced_s = Some(clock_s);
                }
                if verdict.expires() {
                    prop_assert!(clock_s - one.came_s >= LOCK_S);
                    prop_assert!(now >= one.locked_until);
                    prop_assert!(clock_s - with_place[&one.manifest] >= LOCK_S);
                }
            }
            let newest = here.iter().max_by_key(|one| one.place).map(|one| one.manifest);
            let gone: Vec<ManifestId> =
                verdicts.iter().filter(|one| one.expires()).map(|one| one.manifest).collect();
            prop_assert!(newest.is_none_or(|newest| !gone.contains(&newest)));
            here.retain(|one| !gone.contains(&one.manifest));
        }
    }
}
