//! The schedule against an independent matcher that walks through every minute.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp())
}

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::new(text.parse().unwrap(), parse_zone(zone).unwrap())
}

/// Reads one field as the manual page tells it, with none of the code under test.
fn brute_field(text: &str, low: u32, high: u32, names: &[&str], first: u32) -> HashSet<u32> {
    let value = |t: &str| {
        t.parse().unwrap_or_else(|_| {
            first
                + u32::try_from(names.iter().position(|n| *n == t.to_lowercase()).unwrap()).unwrap()
        })
    };
    let mut out = HashSet::new();
    for item in text.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (value(from), value(to)),
            None => (value(range), value(range)),
        };
        let mut n = from;
        while n <= to {
            out.insert(n);
            n += step.parse::<u32>().unwrap();
        }
    }
    out
}

/// The five fields, and whether both day fields are restricted.
struct Brute([HashSet<u32>; 5], bool);

impl Brute {
    fn new(text: &str) -> Self {
        let f: Vec<&str> = text.split_whitespace().collect();
        let months =
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let sets = [
            brute_field(f[0], 0, 59, &[], 0),
            brute_field(f[1], 0, 23, &[], 0),
            brute_field(f[2], 1, 31, &[], 0),
            brute_field(f[3], 1, 12, &months, 1),
            brute_field(f[4], 0, 7, &days, 0),
        ];
        Self(sets, !f[2].starts_with('*') && !f[4].starts_with('*'))
    }

    fn matches(&self, wall: NaiveDateTime) -> bool {
        let [minutes, hours, days, months, weekdays] = &self.0;
        let weekday = wall.weekday().num_days_from_sunday();
        let weekday = weekdays.contains(&weekday) || (weekday == 0 && weekdays.contains(&7));
        let day = days.contains(&wall.day());
        minutes.contains(&wall.minute())
            && hours.contains(&wall.hour())
            && months.contains(&wall.month())
            && (if self.1 { day || weekday } else { day && weekday })
    }
}

/// Every start within `minutes` after `from`, by walking the zone's wall clock minute by minute.
fn brute_starts(text: &str, zone: Tz, from: Timestamp, minutes: i64) -> Vec<i64> {
    let wall = |t: i64| zone.from_utc_datetime(&Timestamp(t).to_utc().naive_utc()).naive_local();
    let by_wall_clock = text.split_whitespace().take(2).any(|f| f.starts_with('*'));
    let brute = Brute::new(text);
    let day = 1560;
    let walk: Vec<(i64, NaiveDateTime)> =
        (-day..minutes + day).map(|m| from.0 + 60 * m).map(|t| (t, wall(t))).collect();
    let mut starts = HashSet::new();
    let mut seen = HashSet::new();
    for (i, (t, local)) in walk.iter().enumerate() {
        let again = !seen.insert(*local);
        if brute.matches(*local) && (by_wall_clock || !again) {
            starts.insert(*t);
        }
        // Wall times that were jumped over: a job for a particular time runs right after.
        if i > 0 && !by_wall_clock {
            let mut skipped = walk[i - 1].1 + chrono::Duration::minutes(1);
            while skipped < *local {
                if brute.matches(skipped) {
                    starts.insert(*t);
                }
                skipped += chrono::Duration::minutes(1);
            }
        }
    }
    let mut starts: Vec<i64> =
        starts.into_iter().filter(|t| *t > from.0 && *t <= from.0 + 60 * minutes).collect();
    starts.sort_unstable();
    starts
}

fn starts(schedule: &Schedule, from: Timestamp, minutes: i64) -> Vec<i64> {
    let next = |t: &Timestamp| schedule.next_after(*t);
    let end = from.plus_seconds(60 * minutes);
    std::iter::successors(schedule.next_after(from), next)
        .take_while(|t| *t <= end)
        .map(|t| t.0)
        .collect()
}

#[test]
fn agrees_with_brute_force_around_changes_of_the_clocks() {
    let expressions = [
        "30 2 * * *",
        "*/20 * * * *",
        "0 * * * *",
        "15 1,2,3 * * *",
        "5-50/15 1-3 * * *",
        "0 0 * * *",
        "* 2 * * *",
        "59 23 31 12 *",
        "0 12 1 * mon",
        "0 12 */2 * sun",
        "0 0 13 * 5",
        "1 1 * * 7",
        "1 1 * * 0",
        "0 3 * apr,oct SAT-6",
    ];
    let around = [
        ("Europe/Berlin", "2026-03-28T00:00:00Z"),
        ("Europe/Berlin", "2026-10-24T00:00:00Z"),
        ("America/New_York", "2026-03-07T12:00:00Z"),
        ("America/New_York", "2026-10-31T12:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T00:00:00Z"),
        ("Pacific/Apia", "2011-12-29T00:00:00Z"),
        ("Asia/Jakarta", "2026-02-27T00:00:00Z"),
        ("UTC", "2027-12-30T00:00:00Z"),
    ];
    for (zone, from) in around {
        for text in expressions {
            let minutes = 4 * 1440;
            let zone = parse_zone(zone).unwrap();
            let ours = starts(&Schedule::new(text.parse().unwrap(), zone), at(from), minutes);
            assert_eq!(
                ours,
                brute_starts(text, zone, at(from), minutes),
                "{text} in {zone} from {from}"
            );
        }
    }
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    let value = low..=high;
    let item = prop_oneof![
        3 => Just("*".to_owned()),
        3 => value.clone().prop_map(|n| n.to_string()),
        2 => (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (1_u8..40).prop_map(|step| format!("*/{step}")),
        1 => (value.clone(), value, 1_u8..20).prop_map(|(a, b, s)| format!("{}-{}/{s}", a.min(b), a.max(b))),
    ];
    proptest::collection::vec(item, 1..3).prop_map(|items| items.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_brute_force(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12), weekday in field(0, 7),
        start in 1_767_225_600_i64..1_893_456_000, zone in prop::sample::select(vec!["WIB", "WIT", "Europe/London", "UTC"]),
    ) {
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let zone = parse_zone(zone).unwrap();
        let from = Timestamp(start - start % 60);
        let Ok(expression) = text.parse() else {
            prop_assert!(brute_starts(&text, zone, from, 3 * 1440).is_empty(), "{} was refused", text);
            return Ok(());
        };
        let ours = starts(&Schedule::new(expression, zone), from, 3 * 1440);
        prop_assert_eq!(ours, brute_starts(&text, zone, from, 3 * 1440), "{} in {}", text, zone);
    }

    #[test]
    fn jitter_stays_in_its_bound(seed: u64, due: i64, bound in 0_u32..100_000) {
        let delay = jitter(seed, Timestamp(due), Period::seconds(bound));
        prop_assert!(delay.as_seconds() <= bound);
        prop_assert_eq!(delay, jitter(seed, Timestamp(due), Period::seconds(bound)));
    }

    #[test]
    fn back_off_grows_to_its_cap(seed: u64, first in 1_u32..1000, cap in 1000_u32..10_000) {
        let back_off = Backoff { attempts: 50, first: Period::seconds(first), cap: Period::seconds(cap) };
        for failures in 1..50 {
            let nominal = (u64::from(first) << (failures - 1).min(31)).min(u64::from(cap));
            let wait = u64::from(back_off.wait_after(failures, seed).unwrap().as_seconds());
            prop_assert!(wait >= nominal / 2 && wait <= nominal, "{} of {}", wait, nominal);
        }
        prop_assert_eq!(back_off.wait_after(50, seed), None);
    }
}

#[test]
fn refusals_say_which_field_and_what_is_allowed() {
    for (text, parts) in [
        ("60 * * * *", &["minute \"60\"", "0-59"][..]),
        ("0 24 * * *", &["hour \"24\"", "0-23"]),
        ("0 0 0 * *", &["day of month \"0\"", "1-31"]),
        ("0 0 * foo *", &["month \"foo\"", "jan to dec"]),
        ("0 0 * * 8", &["day of week \"8\"", "0 and 7 are Sunday"]),
        ("0 0 * * fri-mon", &["runs backwards"]),
        ("0 0 * * sat-sun", &["as the end of a range Sunday is 7"]),
        ("5/15 * * * *", &["a step follows * or a range", "5-59/"]),
        ("*/0 * * * *", &["step \"0\""]),
        ("1,,2 * * * *", &["a number is missing"]),
        ("+1 * * * *", &["not known here"]),
        ("0 0 * *", &["4 fields", "has five"]),
        ("0 0 0 * * *", &["6 fields"]),
        ("0 0 30 2 *", &["never happens"]),
        ("@reboot", &["@hourly"]),
    ] {
        let message = text.parse::<Expression>().unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{text}: {message}");
        }
    }
    assert!(parse_zone("Jakarta").unwrap_err().to_string().contains("Asia/Jakarta"));
}

#[test]
fn nicknames_and_leap_days() {
    assert_eq!(
        schedule("@daily", "WIB").next_after(at("2026-11-22T17:00:00Z")),
        Some(at("2026-11-23T17:00:00Z"))
    );
    assert_eq!(
        schedule("0 0 29 2 *", "UTC").next_after(at("2026-11-22T17:00:00Z")),
        Some(at("2028-02-29T00:00:00Z"))
    );
    assert_eq!(schedule("0 0 1 1 *", "UTC").next_after(Timestamp(i64::from(u32::MAX) * 2)), None);
}

fn trigger(catch_up: bool, jitter_s: u32) -> Trigger {
    Trigger {
        schedule: schedule("0 2 * * *", "UTC"),
        jitter: Period::seconds(jitter_s),
        catch_up,
        seed: 7,
    }
}

#[test]
fn missed_runs_are_made_up_for_once_or_left() {
    let since = at("2026-11-20T02:00:00Z");
    let now = at("2026-11-22T12:00:00Z");
    let tomorrow = at("2026-11-23T02:00:00Z");
    assert_eq!(trigger(true, 0).decide(since, now), Due::Now(at("2026-11-21T02:00:00Z")));
    assert_eq!(trigger(true, 0).decide(now, now), Due::At(tomorrow));
    assert_eq!(trigger(false, 0).decide(since, now), Due::At(tomorrow));
    // At its time, or a little late, it runs either way.
    for late in [0, 1, 299] {
        let due = at("2026-11-22T02:00:00Z");
        assert_eq!(trigger(false, 0).decide(since, due.plus_seconds(late)), Due::Now(due));
    }
    assert_eq!(trigger(false, 0).decide(since, at("2026-11-22T02:05:00Z")), Due::At(tomorrow));
}

#[test]
fn jitter_puts_off_the_start_and_no_run_starts_twice() {
    let due = at("2026-11-22T02:00:00Z");
    for catch_up in [true, false] {
        let trigger = trigger(catch_up, 3600);
        let start = trigger.start_of(due);
        assert!(start > due, "this seed has a delay");
        let since = at("2026-11-21T12:00:00Z");
        assert_eq!(trigger.decide(since, start.plus_seconds(-1)), Due::At(start));
        assert_eq!(trigger.decide(since, start), Due::Now(due));
        let next = trigger.start_of(at("2026-11-23T02:00:00Z"));
        assert_eq!(trigger.decide(start, start), Due::At(next));
    }
}

#[test]
fn a_start_in_the_future_does_not_silence_a_job() {
    let now = at("2026-11-22T12:00:00Z");
    assert_eq!(
        trigger(true, 0).decide(at("2031-01-01T00:00:00Z"), now),
        Due::At(at("2026-11-23T02:00:00Z"))
    );
}

#[test]
fn seeds_depend_on_every_part() {
    assert_ne!(seed(&[b"ab", b"c"]), seed(&[b"a", b"bc"]));
    let delays: HashSet<u32> = (0..200)
        .map(|n: u32| {
            jitter(seed(&[&n.to_le_bytes()]), Timestamp(0), Period::seconds(3600)).as_seconds()
        })
        .collect();
    assert!(delays.len() > 150, "200 agents start at {} different times", delays.len());
}

#[test]
fn a_time_that_no_calendar_has_is_followed_by_none() {
    let schedule = trigger(false, 0);
    for time in [i64::MIN, i64::MIN / 2, i64::MAX / 2, i64::MAX] {
        assert_eq!(schedule.schedule.next_after(Timestamp(time)), None, "{time}");
    }
    // Chrono's first and last second, from which no day can be taken or given.
    for time in [chrono::DateTime::<chrono::Utc>::MIN_UTC, chrono::DateTime::<chrono::Utc>::MAX_UTC]
    {
        assert_eq!(schedule.schedule.next_after(Timestamp(time.timestamp())), None, "{time}");
    }
}
