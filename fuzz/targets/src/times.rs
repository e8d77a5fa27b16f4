//! Schedules, rates, sizes and patterns: texts of configuration files that decide what runs when.

use std::str::FromStr;

use arbitrary::{Result, Unstructured};
use chrono::Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
use lumbung_engine::Excludes;
use lumbung_model::rate::{Cap, Rate, RatePlan, TimeOfDay, TokenBucket, Window};
use lumbung_model::schedule::{Due, Expression, Period, Schedule, Trigger, Weekdays, parse_zone};
use lumbung_model::{ByteSize, Timestamp};

use crate::structured;

/// Zones whose clocks never change, change, and once skipped a day.
const ZONES: [&str; 6] =
    ["WIB", "UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"];

fn due(u: &mut Unstructured<'_>) -> Result<()> {
    let zone = parse_zone(u.choose(&ZONES)?).expect("a zone");
    let now = Timestamp(match u.int_in_range(0..=3)? {
        0 => u.arbitrary()?,
        _ => i64::from(u.arbitrary::<u32>()?),
    });
    let jitter = Period::seconds(u32::from(u.arbitrary::<u16>()?));
    let Ok(text) = std::str::from_utf8(u.bytes(u.len())?) else { return Ok(()) };
    let Ok(expression) = text.parse::<Expression>() else { return Ok(()) };
    assert_eq!(expression.to_string().parse().as_ref(), Ok(&expression));
    let schedule = Schedule::new(expression, zone);
    if let Some(next) = schedule.next_after(now) {
        assert!(next > now, "due at {next}, which is not after {now}");
        // A schedule is a set of moments: nothing lies between, whichever moment one asks at.
        assert_eq!(schedule.next_after(next.plus_seconds(-1)), Some(next));
        let between = Timestamp(now.0 + (next.0 - now.0) / 2);
        if between < next {
            assert_eq!(schedule.next_after(between), Some(next), "asked at {between}");
        }
    }
    for catch_up in [false, true] {
        let trigger = Trigger { schedule: schedule.clone(), jitter, catch_up, seed: 7 };
        let since = now.plus_seconds(-86_400);
        match trigger.decide(since, now) {
            Due::Now(due) => assert!(trigger.start_of(due) <= now && due > since.min(now)),
            Due::At(start) => assert!(start > now),
            Due::Never => {}
        }
    }
    Ok(())
}

pub(crate) fn schedule(data: &[u8]) {
    structured::check(data, due);
}

/// What is shown is read as the same.
fn shown<T: FromStr + ToString + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    assert_eq!(value.to_string().parse::<T>().ok().as_ref(), Some(&value), "{text:?}");
    Some(value)
}

/// A rate lets no more through than it says.
fn bucket(rate: Rate, u: &mut Unstructured<'_>) -> Result<()> {
    let burst = u64::from(u.arbitrary::<u32>()?);
    let mut bucket = TokenBucket::new(Some(rate), burst);
    let (mut now, mut taken) = (0_u64, 0_u128);
    while !u.is_empty() {
        let bytes = u64::from(u.arbitrary::<u32>()?);
        let wait = bucket.take(bytes, now);
        taken += u128::from(bytes);
        now += u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        if now >= u64::MAX / 4 {
            return Ok(());
        }
        let allowed = u128::from(burst)
            + u128::from(now) * u128::from(rate.as_bytes_per_second()) / 1_000_000_000
            + 1;
        assert!(taken <= allowed, "{taken} bytes by {now} ns, {allowed} allowed");
    }
    Ok(())
}

/// Every text is tried as every kind.
fn rate_texts(text: &str, u: &mut Unstructured<'_>) -> Result<()> {
    shown::<Period>(text);
    shown::<TimeOfDay>(text);
    if let Ok(days) = text.parse::<Weekdays>() {
        let week = [Mon, Tue, Wed, Thu, Fri, Sat, Sun];
        assert!(week.iter().any(|day| days.contains(*day)), "{text:?} is no day at all");
    }
    if let Ok(size) = text.parse::<ByteSize>() {
        assert_eq!(size.as_u64().to_string().parse(), Ok(size));
        assert!(!size.to_string().is_empty());
    }
    match shown::<Rate>(text) {
        Some(rate) => bucket(rate, u),
        None => Ok(()),
    }
}

/// `[[window]]` tables and the cap outside them, as every program's file may have them.
#[derive(serde::Deserialize)]
struct Windows {
    #[serde(default)]
    rate: Cap,
    #[serde(default)]
    window: Vec<Window>,
}

fn windows(text: &str, u: &mut Unstructured<'_>) -> Result<()> {
    let Ok(Windows { rate, window }) = toml::from_str(text) else { return Ok(()) };
    let caps: Vec<Cap> = window.iter().map(|window| window.rate).chain([rate]).collect();
    let plan = RatePlan::new(parse_zone(u.choose(&ZONES)?).expect("a zone"), window, rate);
    let at = plan.rate_at(Timestamp(u.arbitrary()?));
    assert!(caps.iter().any(|cap| cap.0 == at), "a rate that no window has");
    assert!(!plan.is_unlimited() || at.is_none());
    Ok(())
}

/// A line of text and what is done with it; or `[[window]]` tables.
pub(crate) fn rates(data: &[u8]) {
    let (text, rest) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    let Ok(text) = std::str::from_utf8(text) else { return };
    structured::check(rest, |u| {
        if text.contains('\n') { windows(text, u) } else { rate_texts(text, u) }
    });
}

/// Patterns, one a line, a zero byte, and a path.
pub(crate) fn excludes(data: &[u8]) {
    let (patterns, path) =
        data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    let path = path.strip_prefix(b"\0").unwrap_or(path);
    let lines = || patterns.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let Ok(all) = Excludes::new(lines()) else {
        assert!(lines().any(|line| Excludes::new([line]).is_err()));
        return;
    };
    let any = lines().any(|line| Excludes::new([line]).is_ok_and(|one| one.matches(path)));
    assert_eq!(all.matches(path), any, "patterns are looked at one by one");
    // A path without anything special matches itself.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/';
    if !path.is_empty()
        && path.iter().all(|byte| plain(*byte))
        && !path.split(|b| *b == b'/').any(<[u8]>::is_empty)
    {
        let itself = Excludes::new([[b"/", path].concat()]).expect("a plain pattern");
        assert!(itself.matches(path));
    }
}
