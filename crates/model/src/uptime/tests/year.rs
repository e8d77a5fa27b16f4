//! A year of a service, minute by minute, told twice: once as the scenario says it, once through what the probers saw. Beside
//! the service they look at a second target, which is always up: by it they know when they are cut off themselves.
//!
//! The two share no code: the scenario is an array of minutes that is filled by hand, the other is runs of probes.

use proptest::prelude::*;

use super::*;
use crate::Day;

const MINUTES: usize = 366 * 1440;
const ZONE: &str = "Europe/Berlin";

/// What a minute of the world was like.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Minute {
    up: bool,
    /// Whether the place could see the target, and whether it could be heard of at all.
    pusat_sees: bool,
    pusat_runs: bool,
    drc_sees: bool,
    drc_runs: bool,
    maintenance: bool,
}

type Flag = fn(&Minute) -> bool;

const PUSAT_RUNS: Flag = |minute| minute.pusat_runs;
const PUSAT_SEES: Flag = |minute| minute.pusat_sees;
const DRC_RUNS: Flag = |minute| minute.drc_runs;
const DRC_SEES: Flag = |minute| minute.drc_sees;

struct World {
    start: i64,
    minutes: Vec<Minute>,
}

impl World {
    fn new() -> Self {
        let well = Minute {
            up: true,
            pusat_sees: true,
            pusat_runs: true,
            drc_sees: true,
            drc_runs: true,
            maintenance: false,
        };
        let zone = parse_zone(ZONE).unwrap();
        let start = "2024-01-01".parse::<Day>().unwrap().first_second(zone);
        Self { start: start.0, minutes: vec![well; MINUTES] }
    }

    fn set(&mut self, from: usize, count: usize, change: impl Fn(&mut Minute)) {
        self.minutes.iter_mut().skip(from).take(count).for_each(change);
    }

    fn time(&self, minute: usize) -> i64 {
        self.start + i64::try_from(minute).unwrap() * 60
    }

    /// What a place's probes came to: each minute one, at its first second.
    fn runs(&self, runs: Flag, up: impl Fn(&Minute) -> bool) -> Vec<Run> {
        let mut found: Vec<Run> = Vec::new();
        for (minute, world) in self.minutes.iter().enumerate().filter(|(_, world)| runs(world)) {
            let (now, up) = (self.time(minute), up(world));
            match found.last_mut() {
                Some(last) if last.up == up && now - last.last.0 <= 150 => last.last = at(now),
                _ => found.push(Run { first: at(now), last: at(now), interval_s: 60, up }),
            }
        }
        found
    }

    fn judged(&self) -> Timeline<Judged> {
        let window = (at(self.start), at(self.time(MINUTES)));
        let places = [(PUSAT_RUNS, PUSAT_SEES), (DRC_RUNS, DRC_SEES)];
        let service = places.map(|(runs, sees)| seen(self.runs(runs, |m| m.up && sees(m))));
        let other = places.map(|(runs, sees)| seen(self.runs(runs, sees)));
        let target = |n: u8, line| (CheckId::from_bytes([n; 16]), line);
        let targets: Vec<Vec<Target>> = service
            .iter()
            .cloned()
            .zip(other)
            .map(|(one, other)| vec![target(1, one), target(2, other)])
            .collect();
        let places: Vec<Place> = service
            .into_iter()
            .zip(cut_off(&targets, window))
            .map(|(seen, cut_off)| Place {
                told: Timeline::of(window.0, window.1, ()),
                seen: vec![seen],
                cut_off,
            })
            .collect();
        let minutes = self.minutes.iter().enumerate().filter(|(_, m)| m.maintenance);
        let maintenance =
            minutes.map(|(minute, _)| (at(self.time(minute)), at(self.time(minute + 1)))).collect();
        let (check, _) = check(&places, window);
        subject(&[check], &Timeline::default(), &Timeline::union(maintenance), window)
    }

    /// Minutes up, down, planned, unconfirmed and unobserved of a stretch, as the scenario has them. A place that stops is
    /// believed for two and a half minutes after its last probe: half of the third minute.
    fn halves(&self, from: usize, until: usize) -> [i64; 5] {
        let mut count = [0; 5];
        // The newest probe within reach of this half minute: this minute's, or that of one or two minutes ago.
        let view = |index: usize, half: usize, runs: Flag, up: &dyn Fn(&Minute) -> bool| {
            (0..3 - half)
                .filter(|back| index >= *back)
                .map(|back| &self.minutes[index - back])
                .find(|world| runs(world))
                .map(up)
        };
        for index in from..until {
            for half in 0..2 {
                let own = |runs, sees: Flag| view(index, half, runs, &|m| m.up && sees(m));
                let other = |runs, sees: Flag| view(index, half, runs, &|m| sees(m));
                let (pusat, drc) = (own(PUSAT_RUNS, PUSAT_SEES), own(DRC_RUNS, DRC_SEES));
                let reaches = (other(PUSAT_RUNS, PUSAT_SEES), other(DRC_RUNS, DRC_SEES));
                let pusat = pusat.filter(|_| reaches != (Some(false), Some(true)));
                let drc = drc.filter(|_| reaches != (Some(true), Some(false)));
                let class = match (pusat, drc) {
                    (Some(true), _) | (_, Some(true)) => 0,
                    (Some(false), Some(false)) if self.minutes[index].maintenance => 2,
                    (Some(false), Some(false)) => 1,
                    (Some(false), None) | (None, Some(false)) => 3,
                    (None, None) => 4,
                };
                count[class] += 30;
            }
        }
        count
    }

    /// A month's first minute.
    fn minute_of(&self, month: u32) -> usize {
        let zone = parse_zone(ZONE).unwrap();
        let first = "2024-01-01".parse::<Day>().unwrap().plus_months(month).first_second(zone);
        usize::try_from((first.0 - self.start) / 60).unwrap()
    }

    fn compare(&self) {
        let judged = self.judged();
        let mut year = Figures::default();
        for month in 0..12 {
            let (from, until) = (self.minute_of(month), self.minute_of(month + 1));
            let line = judged.within((at(self.time(from)), at(self.time(until))));
            let found = Figures::of(&line);
            let [up_s, down_s, planned_s, unconfirmed_s, unobserved_s] = self.halves(from, until);
            let expected = Figures { up_s, down_s, planned_s, unconfirmed_s, unobserved_s };
            assert_eq!(found, expected, "month {month}");
            assert_eq!(found.availability(), expected.availability());
            year = year.and(found);
        }
        assert_eq!(year, Figures::of(&judged), "the months add up to the year");
        let all = year.up_s + year.down_s + year.planned_s + year.unconfirmed_s + year.unobserved_s;
        assert_eq!(
            all,
            i64::try_from(MINUTES).unwrap() * 60,
            "no second is in two classes or in none"
        );
    }
}

#[test]
fn a_year_with_everything_that_happens_in_one_is_reckoned_to_the_second() {
    let mut world = World::new();
    let day = |day: usize| day * 1440;
    world.set(day(10) + 300, 47, |m| m.up = false);
    // A link that flaps for three hours, seen from the DRC only.
    for flap in 0..60 {
        world.set(day(20) + flap * 3, 2, |m| m.drc_sees = false);
    }
    // Maintenance of four hours with three of downtime, and an outage that outlasts another.
    world.set(day(40), 240, |m| m.maintenance = true);
    world.set(day(40) + 30, 180, |m| m.up = false);
    world.set(day(59), 120, |m| m.maintenance = true);
    world.set(day(59) + 60, 200, |m| m.up = false);
    // The DRC is cut off for two days, in which there is an outage too, that nobody confirms.
    world.set(day(80), 2880, |m| m.drc_sees = false);
    world.set(day(81), 90, |m| m.up = false);
    // Across the two changes of the clocks: 31 March and 27 October 2024.
    world.set(day(90) + 100, 60, |m| m.up = false);
    world.set(day(300) + 100, 60, |m| m.up = false);
    // The Pusat Data does not run for a day, the DRC looks on; then both do not run for a day.
    world.set(day(150), 1440, |m| m.pusat_runs = false);
    world.set(day(150) + 600, 30, |m| m.up = false);
    world.set(day(200), 1440, |m| (m.pusat_runs, m.drc_runs) = (false, false));
    world.set(day(200) + 600, 30, |m| m.up = false);
    // The target flaps for an hour.
    for flap in 0..20 {
        world.set(day(250) + flap * 3, 1, |m| m.up = false);
    }
    world.compare();
    let figures = Figures::of(&world.judged());
    let down = 47 + 140 + 60 + 60 + 20;
    assert_eq!((figures.down_s, figures.planned_s), (down * 60, (180 + 60) * 60));
    assert_eq!((figures.unconfirmed_s, figures.unobserved_s), ((90 + 30) * 60, 1440 * 60 - 90));
    let up = 366 * 1440 * 60 - (down + 240 + 120) * 60 - (1440 * 60 - 90);
    assert_eq!(figures.up_s, up);
    assert_eq!(figures.availability(), Some(999_377), "31 494 870 of 31 514 490 seconds, cut");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever happens, in whatever order.
    #[test]
    fn any_year_is_reckoned_to_the_second(
        events in proptest::collection::vec((0..MINUTES, 1..4000_usize, 0..6_u8), 0..60),
    ) {
        let mut world = World::new();
        for (from, count, what) in events {
            world.set(from, count, |minute| match what {
                0 => minute.up = false,
                1 => minute.pusat_sees = false,
                2 => minute.drc_sees = false,
                3 => minute.pusat_runs = false,
                4 => minute.drc_runs = false,
                _ => minute.maintenance = true,
            });
        }
        world.compare();
    }
}
