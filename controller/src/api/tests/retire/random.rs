//! Whatever is retired and brought back, in whatever order: no row that lives refers to one that is retired.

use std::collections::HashSet;

use lumbung_model::PdId;
use lumbung_wire::messages::register::RetirementInput;
use rusqlite::{Connection, Transaction};

use super::{App, START};
use crate::act::Act;
use crate::db::{DbError, colocation, places, pools, register, retired, services};
use crate::register::Retirable;
use crate::retire::{self, RetireError};
use crate::testing::Dice;

const SEEDS: u64 = 8;
const STEPS: usize = 80;

type Row = Box<dyn Retirable>;

fn rows<T: Retirable + 'static>(of_kind: Vec<T>) -> impl Iterator<Item = Row> {
    of_kind.into_iter().map(|row| Box::new(row) as Row)
}

fn today() -> lumbung_model::Day {
    crate::testing::profile().today(START)
}

/// Every row that a list shows.
fn live(db: &Connection) -> Result<Vec<Row>, DbError> {
    let mut all: Vec<Row> = rows(register::pds(db)?).collect();
    all.extend(rows(register::servers(db, None)?));
    all.extend(rows(services::services(db, None)?));
    all.extend(rows(services::applications(db, None)?));
    all.extend(rows(services::contact_persons(db, None)?));
    all.extend(rows(register::datasets(db, None)?));
    all.extend(rows(places::buildings(db)?));
    all.extend(rows(places::rooms(db)?));
    all.extend(rows(colocation::racks(db)?));
    all.extend(rows(colocation::feeds(db)?));
    all.extend(rows(colocation::devices(db, None)?));
    all.extend(rows(colocation::reservations(db, None)?));
    all.extend(rows(pools::pools(db)?));
    all.extend(rows(pools::handovers(db, None)?));
    Ok(all)
}

/// One change: something live is retired, or something retired comes back. Tells whether it was refused.
fn change(tx: &Transaction<'_>, dice: &mut Dice) -> Result<bool, RetireError> {
    let act = Act::console(START);
    let (live, gone) = (live(tx)?, retired::all(tx, None)?);
    let refused = |result: Result<(), RetireError>| match result {
        Err(RetireError::Db(error)) => Err(RetireError::Db(error)),
        other => Ok(other.is_err()),
    };
    let comes_back = !gone.is_empty() && (live.is_empty() || dice.below(3) == 0);
    if comes_back {
        let id = gone[dice.below(gone.len())].id.parse::<PdId>().unwrap();
        return refused(retire::restore(tx, (&act, today()), id.as_bytes(), "keliru").map(drop));
    }
    let row = &live[dice.below(live.len())];
    let input = RetirementInput {
        kind: row.kind(),
        id: row.id(),
        from: START,
        reason: "dijual".into(),
        with_contents: dice.below(2) == 0,
    };
    refused(retire::retire(tx, &act, &input).map(drop))
}

fn check(tx: &Transaction<'_>, all: usize) -> Result<(), DbError> {
    let (live, gone) = (live(tx)?, retired::all(tx, None)?);
    assert_eq!(live.len() + gone.len(), all, "a row is in its list, or retired");
    let gone: HashSet<_> = gone.into_iter().map(|one| one.id).collect();
    for row in live {
        assert!(!gone.contains(&row.id()), "{} lives and is retired", row.name());
        for parent in row.parents() {
            let parent = data_encoding::HEXLOWER.encode(&parent);
            assert!(!gone.contains(&parent), "{} lives under a retired row", row.name());
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_row_that_lives_refers_to_one_that_is_retired() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let app = App::furnished().await;
        app.enter_text(super::super::colocation::RACKS).await;
        let db = &app.city.db;
        let all = db.read(|tx| live(tx)).unwrap().len();
        let mut dice = Dice(seed);
        for step in 0..STEPS {
            let was_refused = db
                .write(|tx| {
                    let refused = change(tx, &mut dice)?;
                    check(tx, all)?;
                    Ok::<_, RetireError>(refused)
                })
                .unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
            *(if was_refused { &mut refused } else { &mut done }) += 1;
        }
    }
    // Else it would show nothing.
    assert!(done > 100 && refused > 100, "{done} changes, {refused} refusals");
}
