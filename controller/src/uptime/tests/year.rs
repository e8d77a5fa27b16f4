//! A year through the database, told twice: as the scenario has it, slot by slot, and by what two vaults told. The zone has
//! two changes of the clocks in it; the controller is down for a day, and its own clock is wrong for two.

use lumbung_model::Day;
use lumbung_model::schedule::parse_zone;

use super::*;

const ZONE: &str = "Europe/Berlin";
/// Probes of a day, and halves of the time from one to the next.
const DAY: usize = 144;
const SLOTS: usize = 366 * DAY;

#[derive(Clone, Copy)]
struct Slot {
    up: bool,
    runs: [bool; 2],
    sees: [bool; 2],
    maintenance: bool,
    entered: bool,
}

struct Year {
    start: Timestamp,
    slots: Vec<Slot>,
}

impl Year {
    fn new() -> Self {
        let start = "2024-01-01".parse::<Day>().unwrap().first_second(parse_zone(ZONE).unwrap());
        let well =
            Slot { up: true, runs: [true; 2], sees: [true; 2], maintenance: false, entered: false };
        Self { start, slots: vec![well; SLOTS] }
    }

    fn set(&mut self, from: usize, count: usize, change: impl Fn(&mut Slot)) {
        self.slots.iter_mut().skip(from).take(count).for_each(change);
    }

    fn at(&self, slot: usize) -> Timestamp {
        self.start.plus_seconds(i64::try_from(slot).unwrap() * INTERVAL_S)
    }

    fn slot_of(&self, day: Day) -> usize {
        let at = day.first_second(parse_zone(ZONE).unwrap());
        usize::try_from(at.seconds_since(self.start) / INTERVAL_S).unwrap()
    }

    /// What a place says in half a slot, of the service and of its neighbour: its last probe, while that stands.
    fn place(&self, place: usize, slot: usize, half: usize) -> Option<(bool, bool)> {
        let recent =
            (0..3 - half).filter(|back| slot >= *back).map(|back| &self.slots[slot - back]);
        let last = recent.into_iter().find(|slot| slot.runs[place])?;
        Some((last.up && last.sees[place], last.sees[place]))
    }

    /// Seconds up, down, planned, unconfirmed and unobserved.
    fn seconds(&self, slots: std::ops::Range<usize>) -> [u64; 5] {
        let mut sums = [0; 5];
        for (slot, half) in slots.flat_map(|slot| [(slot, 0), (slot, 1)]) {
            let said = [self.place(0, slot, half), self.place(1, slot, half)];
            let reaches = said.map(|said| said.map(|(_, other)| other));
            let cut = |own: usize, other: usize| {
                reaches[own] == Some(false) && reaches[other] == Some(true)
            };
            let views = [(0, 1), (1, 0)]
                .map(|(own, other)| said[own].map(|(up, _)| up).filter(|_| !cut(own, other)));
            let down = views == [Some(false); 2] || self.slots[slot].entered;
            let class = if views.contains(&Some(true)) && !self.slots[slot].entered {
                0
            } else if down {
                if self.slots[slot].maintenance { 2 } else { 1 }
            } else if views.contains(&Some(false)) {
                3
            } else {
                4
            };
            sums[class] += u64::try_from(INTERVAL_S / 2).unwrap();
        }
        sums
    }

    /// What a place tells of a day.
    fn told(
        &self,
        watched: &Watched,
        place: usize,
        slots: std::ops::Range<usize>,
    ) -> Vec<Observation> {
        let running = slots.filter(|slot| self.slots[*slot].runs[place]);
        running
            .flat_map(|slot| {
                let (world, at) = (self.slots[slot], self.at(slot));
                let own = observation(watched.check, at, world.up && world.sees[place]);
                [own, observation(watched.other, at, world.sees[place])]
            })
            .collect()
    }
}

fn found(row: &UptimeRow) -> [u64; 5] {
    [row.up_s, row.down_s, row.planned_s, row.unconfirmed_s, row.unobserved_s]
}

fn announce(watched: &Watched, now: Timestamp, from: Timestamp, until: Timestamp) {
    let service = watched.service.to_string();
    let input = MaintenanceInput {
        scope: MaintenanceScope::Service,
        subject: service,
        reason: "pemindahan basis data".to_owned(),
        from,
        until,
        schedule: String::new(),
        duration_s: 0,
    };
    let act = Act::console(now);
    watched.city.db.write(|tx| enter_maintenance(tx, &act, &input)).unwrap();
}

/// What happens in the year.
fn scenario() -> Year {
    let mut year = Year::new();
    year.set(10 * DAY + 30, 5, |slot| slot.up = false);
    // The DRC's link flaps for a day; the target flaps for half a day.
    for flap in 0..48 {
        year.set(20 * DAY + flap * 3, 1, |slot| slot.sees[1] = false);
    }
    for flap in 0..24 {
        year.set(25 * DAY + flap * 3, 1, |slot| slot.up = false);
    }
    // Maintenance with downtime, which one outage outlasts.
    year.set(40 * DAY, 24, |slot| slot.maintenance = true);
    year.set(40 * DAY + 3, 18, |slot| slot.up = false);
    year.set(60 * DAY + 6, 12, |slot| slot.maintenance = true);
    year.set(60 * DAY + 12, 30, |slot| slot.up = false);
    // The DRC is cut off for two days, with an outage in it that nobody confirms.
    year.set(80 * DAY, 2 * DAY, |slot| slot.sees[1] = false);
    year.set(81 * DAY, 9, |slot| slot.up = false);
    // Across the changes of the clocks, and over midnight at the end of a month.
    year.set(90 * DAY + 10, 10, |slot| slot.up = false);
    year.set(300 * DAY + 10, 10, |slot| slot.up = false);
    let march = year.slot_of("2024-03-01".parse().unwrap());
    year.set(march - 3, 6, |slot| slot.up = false);
    // The Pusat Data's vault does not run for a day; later neither does.
    year.set(150 * DAY, DAY, |slot| slot.runs[0] = false);
    year.set(150 * DAY + 50, 3, |slot| slot.up = false);
    year.set(200 * DAY, DAY, |slot| slot.runs = [false; 2]);
    year.set(200 * DAY + 60, 3, |slot| slot.entered = true);
    // The controller is down on day 220, in which there is an outage that both vaults see.
    year.set(220 * DAY + 70, 4, |slot| slot.up = false);
    // Its clock is an hour behind on day 240 and an hour ahead on day 250, with outages over midnight.
    year.set(241 * DAY - 2, 5, |slot| slot.up = false);
    year.set(251 * DAY - 2, 5, |slot| slot.up = false);
    year
}

#[tokio::test]
async fn a_year_is_reckoned_to_the_second_and_stays_so_when_its_detail_is_forgotten() {
    let year = scenario();
    let watched = Watched::new(ZONE, year.start);
    announce(&watched, year.start, year.at(40 * DAY), year.at(40 * DAY + 24));
    announce(&watched, year.start, year.at(60 * DAY + 6), year.at(60 * DAY + 18));
    let sites = [watched.city.pusat.id, watched.city.drc.id];
    let mut untold = 0;
    for day in 0..366 {
        let end = year.at((day + 1) * DAY);
        let wrong_s = match day {
            240 => -3600,
            250 => 3600,
            _ => 0,
        };
        if day == 220 {
            // Nobody hears, and nobody reckons.
            untold += 1;
            continue;
        }
        watched.city.clock.set(end.plus_seconds(wrong_s));
        for (place, site) in sites.into_iter().enumerate() {
            let told = year.told(&watched, place, (day - untold) * DAY..(day + 1) * DAY);
            watched.hear(site, &told);
        }
        untold = 0;
        watched.round(end.plus_seconds(wrong_s)).await;
        if day == 205 {
            enter_what_nobody_saw(&watched, &year, end);
        }
    }
    let after = year.at(SLOTS + DAY);
    watched.round(after).await;
    compare(&watched, &year, after);
    let forgotten = watched.city.db.write(|tx| sights::forget(tx, after)).unwrap();
    assert!(forgotten > 100, "{forgotten} runs");
    compare(&watched, &year, after);
}

fn enter_what_nobody_saw(watched: &Watched, year: &Year, now: Timestamp) {
    let input = IncidentInput {
        kind: UpKind::Service,
        subject: watched.service.to_string(),
        from: year.at(200 * DAY + 60),
        until: year.at(200 * DAY + 63),
        cause: IncidentCause::Power,
        note: "genset gagal, dicatat petugas jaga".to_owned(),
    };
    let act = Act::console(now);
    let profile = watched.profile.clone();
    watched.city.db.write(|tx| enter_incident(tx, &act, &profile, &input)).unwrap();
}

fn compare(watched: &Watched, year: &Year, now: Timestamp) {
    let first: Day = "2024-01-01".parse().unwrap();
    let mut whole = [0; 5];
    for month in 0..12 {
        let slots = year.slot_of(first.plus_months(month))
            ..year.slot_of(first.plus_months(month + 1)).min(SLOTS);
        let expected = year.seconds(slots);
        let row = watched.row(&format!("2024-{:02}", month + 1), now);
        assert_eq!(found(&row), expected, "month {}", month + 1);
        whole = std::array::from_fn(|class| whole[class] + expected[class]);
    }
    let row = watched.row("2024", now);
    assert_eq!(found(&row), whole);
    let share =
        |up: u64, of: u64| u32::try_from(u128::from(up) * 1_000_000 / u128::from(of)).unwrap();
    let [up_s, down_s, _, unconfirmed_s, _] = whole;
    assert_eq!(row.availability, Some(share(up_s, up_s + down_s)));
    assert_eq!(row.at_worst, Some(share(up_s, up_s + down_s + unconfirmed_s)));
    // By hand: 116 slots down, of them 18 and 6 planned; 12 unconfirmed; a day unobserved but for what the last probes before
    // it stand for and what somebody entered.
    assert_eq!(whole[1..4], [DOWN * 600, (18 + 6) * 600, (9 + 3) * 600]);
    assert_eq!(whole[4], (DAY as u64 - 3) * 600 - 900);
}

/// Slots down: 5 + 24 flapping + 24 beyond the maintenance + 10 + 10 + 6 + 3 entered + 4 + 5 + 5.
const DOWN: u64 = 5 + 24 + 24 + 10 + 10 + 6 + 3 + 4 + 5 + 5;
