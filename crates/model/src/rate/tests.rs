use std::time::Duration;

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::schedule::parse_zone;

fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp())
}

fn window(from: &str, to: &str, days: Option<&str>, rate: &str) -> Window {
    Window {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        days: days.map(|d| d.parse().unwrap()),
        rate: Cap(Some(rate.parse().unwrap())),
    }
}

#[test]
fn rates_are_read_and_shown() {
    for (text, bytes, shown) in [
        ("20 Mbit/s", 2_500_000, "20 Mbit/s"),
        ("1Gbit/s", 125_000_000, "1 Gbit/s"),
        ("3 MB/s", 3_000_000, "24 Mbit/s"),
        ("1 MiB/s", 1 << 20, "8388608 bit/s"),
    ] {
        let rate: Rate = text.parse().unwrap();
        assert_eq!(
            (rate.as_bytes_per_second(), rate.to_string().as_str()),
            (bytes, shown),
            "{text}"
        );
    }
    for bad in [
        "",
        "0 Mbit/s",
        "7 bit/s",
        "20",
        "20 Mbps",
        "-1 kB/s",
        "1.5 MB/s",
        "99999999999999999999 kB/s",
    ] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
    for bad in ["7:00", "24:01", "12:60", "noon", "+7:00", "12", "12:00:00"] {
        assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
    }
}

#[test]
fn a_window_may_be_off() {
    let text = "from = '07:00'\nto = '17:00'\nrate = 'off'\n";
    let day: Window<Speed> = toml::from_str(text).unwrap();
    let plan = Timetable::new(parse_zone("WIB").unwrap(), vec![day], Speed::On(Cap(None)));
    assert_eq!(*plan.at(at("2026-11-20T06:59:59+07:00")), Speed::On(Cap(None)));
    assert_eq!(*plan.at(at("2026-11-20T07:00:00+07:00")), Speed::Off);
    assert_eq!(*plan.at(at("2026-11-20T17:00:00+07:00")), Speed::On(Cap(None)));
    let capped: Window<Speed> = toml::from_str(&text.replace("off", "8 Mbit/s")).unwrap();
    assert_eq!(capped.rate, Speed::On(Cap(Rate::bytes_per_second(1_000_000))));
    let error = toml::from_str::<Window<Speed>>(&text.replace("off", "never")).unwrap_err();
    assert!(error.to_string().contains("or \"off\""), "{error}");
    assert!(toml::from_str::<Window>(text).is_err(), "a pull has no such window");
}

#[test]
fn the_first_window_that_contains_the_moment_counts() {
    let zone = parse_zone("WIB").unwrap();
    let plan = RatePlan::new(
        zone,
        vec![
            window("12:00", "13:00", None, "50 Mbit/s"),
            window("07:00", "18:00", Some("mon-fri"), "20 Mbit/s"),
            window("22:00", "03:00", Some("fri"), "5 Mbit/s"),
        ],
        Cap(None),
    );
    let mbit = |text: &str| plan.rate_at(at(text)).map(|r| r.as_bytes_per_second() * 8 / 1_000_000);
    // 2026-11-20 is a Friday; WIB is UTC+7.
    assert_eq!(mbit("2026-11-20T06:59:59+07:00"), None);
    assert_eq!(mbit("2026-11-20T07:00:00+07:00"), Some(20));
    assert_eq!(mbit("2026-11-20T12:30:00+07:00"), Some(50));
    assert_eq!(mbit("2026-11-20T17:59:59+07:00"), Some(20));
    assert_eq!(mbit("2026-11-20T18:00:00+07:00"), None);
    assert_eq!(mbit("2026-11-20T22:00:00+07:00"), Some(5));
    assert_eq!(mbit("2026-11-21T02:59:59+07:00"), Some(5), "began on Friday");
    assert_eq!(mbit("2026-11-21T03:00:00+07:00"), None);
    assert_eq!(mbit("2026-11-20T02:00:00+07:00"), None, "Thursday's night is not Friday's");
    assert_eq!(mbit("2026-11-21T08:00:00+07:00"), None, "Saturday");
    assert!(!plan.is_unlimited());
    assert!(RatePlan::unlimited().is_unlimited());
}

#[test]
fn a_bucket_waits_for_what_exceeds_the_burst() {
    let rate = Rate::bytes_per_second(1000);
    let mut bucket = TokenBucket::new(rate, 500);
    assert_eq!(bucket.take(500, 0), Duration::ZERO);
    assert_eq!(bucket.take(1000, 0), Duration::from_secs(1));
    assert_eq!(bucket.take(100, 1_000_000_000), Duration::from_millis(100));
    // Idle for long: no more than the burst was saved up.
    assert_eq!(bucket.take(1500, 100_000_000_000), Duration::from_secs(1));
    bucket.set_rate(None, 100_000_000_000);
    assert_eq!(bucket.take(u64::MAX, 100_000_000_000), Duration::ZERO);
}

#[test]
fn a_new_rate_takes_over_what_is_owed() {
    let mut bucket = TokenBucket::new(Rate::bytes_per_second(100), 0);
    assert_eq!(bucket.take(1000, 0), Duration::from_secs(10));
    bucket.set_rate(Rate::bytes_per_second(1000), 0);
    assert_eq!(bucket.take(0, 0), Duration::from_secs(1));
}

proptest! {
    #[test]
    fn never_more_than_burst_plus_rate_times_time(
        rate in 1_u64..1_000_000_000, burst in 0_u64..100_000_000,
        calls in proptest::collection::vec((0_u64..20_000_000, 0_u64..2_000_000_000), 1..60),
    ) {
        let mut bucket = TokenBucket::new(Rate::bytes_per_second(rate), burst);
        let (mut now, mut sent) = (0_u64, 0_u64);
        for (bytes, pause) in calls {
            now += pause;
            let wait = bucket.take(bytes, now);
            now += u64::try_from(wait.as_nanos()).unwrap();
            sent += bytes;
            let allowed = u128::from(burst) + u128::from(rate) * u128::from(now) / 1_000_000_000 + 1;
            prop_assert!(u128::from(sent) <= allowed, "{} bytes by {} ns, allowed {}", sent, now, allowed);
        }
    }
}

#[test]
fn a_window_in_one_line_is_the_window_of_a_file() {
    assert_eq!(
        "07:30-16:00 mon-fri 5 Mbit/s".parse(),
        Ok(window("07:30", "16:00", Some("mon-fri"), "5 Mbit/s"))
    );
    assert_eq!(" 22:00-06:00  5Mbit/s".parse(), Ok(window("22:00", "06:00", None, "5 Mbit/s")));
    let free = Window { rate: Cap(None), ..window("00:00", "24:00", Some("sat,sun"), "1 MB/s") };
    assert_eq!("00:00-24:00 sat,sun unlimited".parse(), Ok(free));
    for bad in [
        "",
        "07:30",
        "07:30-16:00",
        "07:30-25:00 1 MB/s",
        "07:30-16:00 someday 1 MB/s",
        "07:30-16:00 off",
        "07:30-16:00 mon 0 MB/s",
    ] {
        let error = bad.parse::<Window>().unwrap_err().to_string();
        assert!(error.contains("as in \"07:30-16:00 mon-fri 5 Mbit/s\""), "{bad}: {error}");
    }
}

#[test]
fn of_several_caps_the_lowest_applies() {
    let plan = |text: &str| RatePlan::always(Cap(Some(text.parse().unwrap())));
    let day = RatePlan::new(Tz::UTC, vec![window("08:00", "16:00", None, "1 MB/s")], Cap(None));
    let caps = RateCaps::from(day.clone()).and(plan("2 MB/s"));
    assert_eq!(caps.rate_at(at("2026-11-02T09:00:00Z")), Rate::bytes_per_second(1_000_000));
    assert_eq!(caps.rate_at(at("2026-11-02T17:00:00Z")), Rate::bytes_per_second(2_000_000));
    assert_eq!(day.lowest(), Rate::bytes_per_second(1_000_000));
    assert!(!caps.is_unlimited() && RateCaps::default().is_unlimited());
    assert!(RateCaps::from(RatePlan::unlimited()).is_unlimited());
}
