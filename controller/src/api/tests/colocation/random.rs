//! Whatever is placed, moved, reserved, retired and brought back, in whatever order and over whatever days: no unit is taken
//! twice, no feed and no pool gives more than it may.

use lumbung_model::colocation::Share;
use lumbung_model::{Day, FeedId, PdId, PoolId, RackId};
use lumbung_wire::messages::register::{
    Condition, Device, DeviceInput, DeviceKind, Face, ReservationInput, RetiredKind,
    RetirementInput, ServerInput, ServerKind,
};
use rusqlite::Transaction;

use super::super::App;
use crate::act::Act;
use crate::db::{DbError, colocation as rows, placement, pools, register as all, retired};
use crate::register::{self, Mode, fitting};
use crate::retire::{self, RetireError};
use crate::testing::{Dice, START};

const SEEDS: u64 = 6;
const STEPS: usize = 150;
/// Units that are used: few, so that much collides.
const UNITS: usize = 10;

struct Town {
    pds: Vec<PdId>,
    rack: RackId,
    feeds: Vec<FeedId>,
    pool: PoolId,
    today: Day,
}

impl Town {
    fn of(app: &App) -> Self {
        let read = |tx: &Transaction<'_>| {
            Ok::<_, DbError>(Self {
                pds: all::pds(tx)?.into_iter().map(|pd| pd.id).collect(),
                rack: rows::racks(tx)?[0].id,
                feeds: rows::feeds(tx)?.into_iter().map(|feed| feed.id).collect(),
                pool: pools::pools(tx)?[0].id,
                today: "2027-01-15".parse().unwrap(),
            })
        };
        app.city.db.read(read).unwrap()
    }

    fn device(&self, dice: &mut Dice) -> DeviceInput {
        let feeds = self.feeds.iter().copied().filter(|_| dice.below(2) == 0).collect();
        DeviceInput {
            id: None,
            pd: dice.pick(&self.pds),
            name: format!("d{}", dice.below(8)),
            kind: DeviceKind::Server,
            model: String::new(),
            serial: dice.pick(&["", "", "S1", "S2"]).to_owned(),
            purchased_on: None,
            warranty_until: None,
            condition: Condition::Baik,
            server: None,
            rack: Some(self.rack),
            lowest_u: Some(u8::try_from(1 + dice.below(UNITS)).unwrap()),
            height_u: Some(u8::try_from(1 + dice.below(3)).unwrap()),
            face: Some(dice.pick(Face::ALL)),
            draw_w: Some(u32::try_from(1 + dice.below(900)).unwrap()),
            feeds,
        }
    }

    fn reservation(&self, dice: &mut Dice) -> ReservationInput {
        ReservationInput {
            id: None,
            rack: self.rack,
            pd: dice.pick(&self.pds),
            name: format!("r{}", dice.below(4)),
            lowest_u: u8::try_from(1 + dice.below(UNITS)).unwrap(),
            height_u: u8::try_from(1 + dice.below(3)).unwrap(),
            face: dice.pick(Face::ALL),
            until: self.today.plus_days(u32::try_from(dice.below(20)).unwrap()),
            reason: String::new(),
        }
    }

    fn server(&self, dice: &mut Dice) -> ServerInput {
        ServerInput {
            id: None,
            pd: dice.pick(&self.pds),
            name: format!("v{}", dice.below(4)),
            kind: ServerKind::Vps,
            site: None,
            room: None,
            pool: Some(self.pool),
            vcpus: Some(u32::try_from(1 + dice.below(16)).unwrap()),
            memory_bytes: Some(u64::try_from(1 + dice.below(32)).unwrap() << 30),
            disk_bytes: Some(1 << 30),
        }
    }

    /// One change, which may be refused.
    fn change(&self, tx: &Transaction<'_>, dice: &mut Dice) -> Result<(), RetireError> {
        let (act, today, mode) = (Act::console(START), self.today, Mode::Upsert);
        match dice.below(10) {
            0..5 => {
                let put = register::put_device(tx, &act, &self.device(dice), mode)?;
                fitting(tx, today, put)?;
            }
            5 => {
                let put = register::put_reservation(tx, &act, &self.reservation(dice), mode)?;
                fitting(tx, today, put)?;
            }
            6 => {
                let put = register::put_server(tx, &act, &self.server(dice), mode)?;
                fitting(tx, today, put)?;
            }
            7 => {
                let gone = retired::all(tx, None)?;
                let Some(one) = gone.get(dice.below(gone.len().max(1))) else { return Ok(()) };
                let id: PdId = one.id.parse().unwrap();
                retire::restore(tx, (&act, today), id.as_bytes(), "keliru")?;
            }
            _ => {
                let devices = rows::devices(tx, None)?;
                let kept = rows::reservations(tx, None)?;
                let ids = devices.iter().map(|one| (RetiredKind::Device, one.id.to_string()));
                let kept = kept.iter().map(|one| (RetiredKind::Reservation, one.id.to_string()));
                let ids: Vec<_> = ids.chain(kept).collect();
                if ids.is_empty() {
                    return Ok(());
                }
                let (kind, id) = dice.pick(&ids);
                let (from, reason) = (START, "dijual".to_owned());
                let input = RetirementInput { kind, id, from, reason, with_contents: false };
                retire::retire(tx, &act, &input)?;
            }
        }
        Ok(())
    }

    fn check(&self, tx: &Transaction<'_>) -> Result<(), DbError> {
        let devices = rows::devices(tx, None)?;
        let kept = rows::reservations(tx, None)?;
        for unit in 1..=42 {
            for face in [|(front, _): (bool, bool)| front, |(_, rear): (bool, bool)| rear] {
                let here = |one: &&Device| one.span().is_some_and(|span| face(span.takes(unit)));
                let here: Vec<_> = devices.iter().filter(here).collect();
                assert!(here.len() <= 1, "two devices in U{unit}");
                let binding = kept.iter().filter(|one| one.until >= self.today);
                let owners: Vec<_> =
                    binding.filter(|one| face(one.span().unwrap().takes(unit))).collect();
                assert!(owners.len() <= 1, "U{unit} is reserved twice");
                let foreign = here.iter().any(|one| owners.iter().any(|own| own.pd != one.pd));
                assert!(!foreign, "a reservation of U{unit} is ignored");
            }
        }
        for feed in rows::feeds(tx)? {
            let on_it = devices.iter().filter(|one| one.feeds.contains(&feed.id));
            let watts: u64 = on_it.filter_map(|one| one.draw_w).map(u64::from).sum();
            assert!(watts <= feed.usable_w(), "feed {} carries {watts} W", feed.name);
        }
        let (_, used) = placement::from_pool(tx, &self.pool, None)?;
        let pool = pools::pool(tx, &self.pool)?.unwrap();
        assert_eq!(pool.capacity().holds(Share::default(), used), Ok(()));
        Ok(())
    }
}

#[tokio::test]
async fn whatever_happens_no_place_is_taken_twice() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let app = App::with_racks().await;
        let (mut town, mut dice) = (Town::of(&app), Dice(seed));
        for step in 0..STEPS {
            match app.city.db.write(|tx| town.change(tx, &mut dice)) {
                Ok(()) => done += 1,
                Err(RetireError::Db(error)) => panic!("seed {seed}, step {step}: {error}"),
                Err(_) => refused += 1,
            }
            town.today = town.today.plus_days(u32::from(dice.below(4) == 0));
            app.city.db.read(|tx| town.check(tx)).unwrap();
        }
    }
    // Else it would show nothing.
    assert!(done > 200 && refused > 200, "{done} changes, {refused} refusals");
}
