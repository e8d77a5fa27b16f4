mod coverage;

use proptest::prelude::*;

use super::*;

fn day(number: u32) -> Day {
    "2026-01-01".parse::<Day>().unwrap().plus_days(number)
}

fn series(days: u32, mut used: impl FnMut(u32) -> u64) -> Vec<Used> {
    (0..days).map(|number| Used { day: day(number), used: used(number) }).collect()
}

#[test]
fn too_little_says_how_much_is_missing() {
    let error = forecast(&series(MIN_DAYS - 13, u64::from)).unwrap_err();
    assert_eq!(error.missing_days(), 13);
    assert!(error.to_string().ends_with("it comes by itself in 13 days"), "{error}");
    assert_eq!(forecast(&[]), Err(TooLittle { have_days: 0 }));
    // A day that was measured often is one day.
    let often: Vec<Used> = (0..100).map(|_| Used { day: day(0), used: 1 }).collect();
    assert_eq!(forecast(&often), Err(TooLittle { have_days: 1 }));
}

#[test]
fn a_straight_line_goes_on_and_crosses_where_it_must() {
    let forecast = forecast(&series(365, |n| 1_000_000 + u64::from(n) * 1000)).unwrap();
    let year = forecast.months[11];
    let truth = 1_000_000 + 1000 * (364 + year.day.days_since(day(364)).unsigned_abs());
    assert!(year.expected.abs_diff(truth) < 1000, "{year:?}, {truth}");
    assert!(year.low < truth && truth < year.high);
    let crossing = forecast.crosses(truth).unwrap();
    assert!(crossing.expected.unwrap().days_since(year.day).abs() <= 2, "{crossing:?}");
    assert!(crossing.earliest < year.day && crossing.latest.is_none_or(|day| day > year.day));
}

#[test]
fn what_stands_still_stays_and_crosses_nothing() {
    let forecast = forecast(&series(100, |_| 5000)).unwrap();
    assert!(forecast.months.iter().all(|p| (p.low, p.expected, p.high) == (5000, 5000, 5000)));
    assert_eq!(forecast.crosses(5001), None);
    let full = Some(day(99));
    let crossing = Crossing { earliest: day(99), expected: full, latest: full };
    assert_eq!(forecast.crosses(5000), Some(crossing));
}

#[test]
fn one_step_is_no_growth_and_two_wrong_days_are_nothing() {
    let plain = forecast(&series(365, |n| 1_000_000 + u64::from(n) * 1000)).unwrap();
    let stepped =
        forecast(&series(365, |n| 1_000_000 + u64::from(n) * 1000 + u64::from(n > 200) * 500_000))
            .unwrap();
    let (plain_year, stepped_year) = (plain.months[11].expected, stepped.months[11].expected);
    assert!(stepped_year.abs_diff(plain_year + 500_000) < 40_000, "{plain_year} {stepped_year}");
    let wrong = series(365, |n| match n {
        150 | 360 => 0,
        200 => u64::MAX,
        _ => 1_000_000 + u64::from(n) * 1000,
    });
    // A median moves by a rank at most, that is by a day's growth.
    let wrong_year = forecast(&wrong).unwrap().months[11].expected;
    assert!(wrong_year.abs_diff(plain_year) < 5000, "{wrong_year} {plain_year}");
}

#[test]
fn growth_that_gathers_pace_over_two_years_goes_on_doing_so() {
    // A third more by the year, in whole numbers: what a day adds is a part of what is there.
    let mut used = 1_000_000_000_u64;
    let all = series(730 + 740, |_| {
        used += used / 1270;
        used
    });
    let forecast = forecast(&all[..730]).unwrap();
    for months in [6, 12, 24] {
        let point = forecast.months[months - 1];
        let truth = all[usize::try_from(point.day.days_since(day(0))).unwrap()].used;
        assert!(point.low < truth && truth < point.high, "{truth} {point:?}");
    }
}

#[test]
fn a_season_that_came_twice_comes_again() {
    // All of a year's growth comes in its first half.
    let used = |n: u32| 1_000_000 + 4000 * (u64::from(n / 364) * 182 + u64::from(n % 364).min(182));
    let forecast = forecast(&series(735, used)).unwrap();
    for months in [3_usize, 6, 9, 12] {
        let point = forecast.months[months - 1];
        let truth = used(u32::try_from(point.day.days_since(day(0))).unwrap());
        // A straight line would be off by 364,000 after half a year.
        assert!(point.expected.abs_diff(truth) < 100_000, "{truth} {point:?}");
    }
}

fn any_series() -> impl Strategy<Value = Vec<Used>> {
    let one = (0_u32..900, prop_oneof![0..1_000_000_u64, any::<u64>()]);
    prop::collection::vec(one, 60..400).prop_map(|days| {
        days.into_iter().map(|(number, used)| Used { day: day(number), used }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bounds_are_in_order_widen_and_cross_in_order(series in any_series(), limit in any::<u64>()) {
        let Ok(forecast) = forecast(&series) else { return Ok(()) };
        prop_assert_eq!(forecast.months.len(), MONTHS as usize);
        let mut reach = (0, 0);
        for point in &forecast.months {
            prop_assert!(point.low <= point.expected && point.expected <= point.high);
            let bounded = point.low == 0 || point.high == u64::MAX;
            let now = (point.expected - point.low, point.high - point.expected);
            prop_assert!(bounded || (reach.0 <= now.0 && reach.1 <= now.1), "{reach:?} {point:?}");
            reach = if bounded { reach } else { now };
        }
        if let Some(crossing) = forecast.crosses(limit) {
            prop_assert!(crossing.expected.is_none_or(|day| crossing.earliest <= day));
            prop_assert!(crossing.latest.is_none_or(|day| crossing.expected.is_some_and(|e| e <= day)));
        }
        prop_assert_eq!(super::forecast(&series), Ok(forecast));
    }

    #[test]
    fn the_unit_does_not_matter(
        days in prop::collection::vec((0_u32..500, 0..1_000_000_000_u64), 60..200),
        factor in 2..1_000_000_u64,
    ) {
        let of = |factor: u64| -> Vec<Used> {
            days.iter().map(|(number, used)| Used { day: day(*number), used: used * factor }).collect()
        };
        let (Ok(small), Ok(large)) = (forecast(&of(1)), forecast(&of(factor))) else { return Ok(()) };
        for (small, large) in small.months.iter().zip(&large.months) {
            // Each rounding is below one of the small unit.
            prop_assert!(large.expected.abs_diff(small.expected * factor) <= 200 * factor);
            prop_assert!(large.high.abs_diff(small.high * factor) <= 400 * factor);
        }
    }
}
