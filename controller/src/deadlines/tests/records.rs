//! The records: made once, in the words of their time, whole or not at all.

use std::sync::Arc;

use lumbung_model::{Clock as _, Day, PdId, Timestamp};
use lumbung_wire::messages::deposits::{Deposit, DepositInput, DepositState};
use lumbung_wire::messages::register::{Pd, RetiredKind, RetirementInput};
use tokio::sync::{Notify, watch};

use super::{ZONE, day, duty, noon};
use crate::act::Act;
use crate::db::{DbError, audit, deposits as rows, register};
use crate::deadlines::keeper::{Done, Keeper, reconcile};
use crate::deadlines::{desk, view};
use crate::profile::{Duty, Profile};
use crate::retire;
use crate::testing::{City, START};

fn profile(duties: Vec<Duty>) -> Profile {
    Profile { duties, ..crate::testing::profile() }
}

fn round(city: &City, profile: &Profile) -> Done {
    let now = city.clock.now();
    city.db.write(|tx| reconcile(tx, &Act::controller(now), profile)).unwrap()
}

fn records(city: &City) -> Vec<Deposit> {
    let now = city.clock.now();
    city.db.read(|tx| view::list(tx, &view::Filter::default(), now, ZONE)).unwrap()
}

fn change_pd(city: &City, change: impl FnOnce(&mut Pd)) {
    let act = Act::controller(city.clock.now());
    let mut pd = pd(city);
    change(&mut pd);
    city.db.write(|tx| register::put_pd(tx, &act, &pd)).unwrap();
}

fn pd(city: &City) -> Pd {
    city.db.read(|tx| register::pd(tx, &city.pd)).unwrap().unwrap()
}

fn audited(city: &City) -> u64 {
    city.db.read(|tx| audit::end(tx)).unwrap().0
}

/// Period and state of each, by date.
fn shown(city: &City) -> Vec<String> {
    let text = |one: Deposit| format!("{} {}", one.period.unwrap_or_default(), one.state);
    records(city).into_iter().map(text).collect()
}

#[test]
fn a_second_round_makes_nothing_and_a_new_year_makes_its_own() {
    let city = City::new();
    let yearly = profile(vec![duty("report", "of = 'pd'\nevery_months = 12")]);
    assert_eq!(round(&city, &yearly), Done { made: 1, ..Done::default() });
    let (made, log) = (records(&city), audited(&city));
    assert_eq!(round(&city, &yearly), Done::default());
    assert_eq!((records(&city), audited(&city)), (made.clone(), log));
    assert_eq!((made[0].period.as_deref(), made[0].pd), (Some("2027"), Some(city.pd)));
    assert_eq!(made[0].due_on, day("2027-12-31"));
    assert_eq!((made[0].created, made[0].state), (START, DepositState::Open));

    city.clock.set(day("2028-01-01").first_second(ZONE).plus_seconds(-1));
    assert_eq!(round(&city, &yearly), Done::default());
    city.clock.set(day("2028-01-01").first_second(ZONE));
    assert_eq!(round(&city, &yearly).made, 1);
    assert_eq!(shown(&city), ["2027 overdue", "2028 open"]);
    // The controller stood still for three years: what was owed then is owed.
    city.clock.set(noon("2031-05-01"));
    assert_eq!(round(&city, &yearly).made, 3);
}

#[test]
fn states_follow_from_the_time() {
    let city = City::new();
    let yearly = profile(vec![duty("report", "of = 'pd'\nevery_months = 12")]);
    round(&city, &yearly);
    let end = day("2027-12-31").last_second(ZONE);
    for (at, state) in [
        (end.plus_seconds(-30 * 86_400 - 1), DepositState::Open),
        (end.plus_seconds(-30 * 86_400), DepositState::Due),
        (end, DepositState::Due),
        (end.plus_seconds(1), DepositState::Overdue),
    ] {
        city.clock.set(at);
        assert_eq!(records(&city)[0].state, state, "{at}");
        let counts = city.db.read(|tx| view::overdue(tx, Some(city.pd), at)).unwrap();
        let counted = counts.first().map(|one| (one.pd_code.as_str(), one.overdue, one.due_soon));
        let expected = match state {
            DepositState::Open => None,
            DepositState::Due => Some(("DINKES", 0, 1)),
            _ => Some(("DINKES", 1, 0)),
        };
        assert_eq!(counted, expected, "{at}");
    }
}

#[test]
fn a_record_keeps_the_words_of_its_time() {
    let city = City::new();
    let mut report = duty("report", "of = 'pd'\nevery_months = 12\ninterval_by_article = true");
    report.article = "Pasal 1".into();
    let mut old = profile(vec![report.clone()]);
    old.city.regulation = "Perwali 1/2020".into();
    round(&city, &old);
    report.article = "Pasal 2".into();
    report.asks.id = "Laporan lain".into();
    report.due_months = Some(3);
    assert_eq!(round(&city, &profile(vec![report.clone()])), Done::default());
    city.clock.set(noon("2028-01-02"));
    round(&city, &profile(vec![report]));
    let text =
        |one: Deposit| format!("{} {} {} {}", one.title_id, one.article, one.date_by, one.due_on);
    let found: Vec<_> = records(&city).into_iter().map(text).collect();
    // That it is due in March no article says.
    assert_eq!(
        found,
        [
            "Laporan Perwali 1/2020, Pasal 1 Perwali 1/2020, Pasal 1 2027-12-31",
            "Laporan lain Pasal 2  2028-03-31"
        ]
    );
}

#[test]
fn another_profile_leaves_what_was_due_and_takes_back_what_was_not() {
    let city = City::new();
    let (yearly, monthly) = (
        duty("report", "of = 'pd'\nevery_months = 12"),
        duty("figures", "of = 'pd'\nevery_months = 1"),
    );
    let both = profile(vec![yearly.clone(), monthly]);
    round(&city, &both);
    city.clock.set(noon("2027-03-20"));
    round(&city, &both);
    assert_eq!(shown(&city), ["2027-01 overdue", "2027-02 overdue", "2027-03 due", "2027 open"]);
    let fewer = profile(vec![yearly]);
    assert_eq!(round(&city, &fewer), Done { lapsed: 1, ..Done::default() });
    let states = ["2027-01 overdue", "2027-02 overdue", "2027-03 cancelled", "2027 open"];
    assert_eq!(shown(&city), states);
    let reason = records(&city)[2].decision.clone().unwrap();
    assert!(reason.by == "controller" && reason.reason.contains("profil"), "{reason:?}");
    assert_eq!(round(&city, &fewer), Done::default());
    // The old one again: what is still to come is owed again, and nothing of the time between.
    assert_eq!(round(&city, &both), Done { revived: 1, ..Done::default() });
    assert_eq!(shown(&city)[2], "2027-03 due");
    round(&city, &fewer);
    city.clock.set(noon("2027-08-10"));
    assert_eq!(round(&city, &both), Done { made: 1, ..Done::default() });
    assert_eq!(shown(&city)[3], "2027-08 open", "a month's time, as if it were new");
}

#[test]
fn a_pd_owes_as_mandiri_since_it_is_so() {
    let city = City::new();
    let report = profile(vec![duty("mandiri-report", "of = 'pd_mandiri'\nevery_months = 12")]);
    assert_eq!(round(&city, &report), Done::default());
    city.clock.set(noon("2029-04-01"));
    change_pd(&city, |pd| pd.mandiri_tik = true);
    assert_eq!(round(&city, &report).made, 1);
    assert_eq!(shown(&city), ["2029 open"], "nothing for the years before");
    // A change of something else does not begin it anew.
    city.clock.set(noon("2030-04-01"));
    change_pd(&city, |pd| pd.name = "RSUD".into());
    round(&city, &report);
    change_pd(&city, |pd| pd.mandiri_tik = false);
    assert_eq!(round(&city, &report).lapsed, 1);
    assert_eq!(shown(&city), ["2029 overdue", "2030 cancelled"]);
}

fn retire_pd(city: &City) {
    let act = Act::controller(city.clock.now());
    let input = RetirementInput {
        kind: RetiredKind::Pd,
        id: city.pd.to_string(),
        from: act.now,
        reason: "digabung".into(),
        with_contents: true,
    };
    city.db.write(|tx| retire::retire(tx, &act, &input)).unwrap();
}

#[test]
fn a_retired_pd_owes_nothing_and_what_followed_from_a_duty_again_once_it_is_back() {
    let city = City::new();
    let yearly = profile(vec![duty("report", "of = 'pd'\nevery_months = 12")]);
    round(&city, &yearly);
    city.clock.set(noon("2028-02-01"));
    round(&city, &yearly);
    let act = Act::controller(city.clock.now());
    let by_hand: DepositInput = serde_json::from_value(serde_json::json!({
        "title_id": "Diagram", "due_on": "2028-03-01", "pd": city.pd,
    }))
    .unwrap();
    city.db.write(|tx| desk::add(tx, &act, &by_hand, ZONE)).unwrap();
    assert_eq!(shown(&city), ["2027 overdue", " due", "2028 open"]);

    retire_pd(&city);
    assert_eq!(shown(&city), ["2027 cancelled", " cancelled", "2028 cancelled"]);
    let found = records(&city);
    let reasons: Vec<_> = found.iter().map(|one| &one.decision.as_ref().unwrap().reason).collect();
    assert!(reasons[0].contains("profil") && reasons[1] == "digabung", "{reasons:?}");
    assert_eq!(found[0].pd_code, "DINKES", "whose it was is still told");
    let later = noon("2030-01-01");
    assert_eq!(city.db.read(|tx| view::overdue(tx, None, later)).unwrap(), []);
    assert_eq!(round(&city, &yearly), Done::default(), "nothing new of a PD that is no more");
    // Neither is anything entered for it, nor does anybody ask for a document again.
    assert!(city.db.write(|tx| desk::add(tx, &act, &by_hand, ZONE)).is_err());
    let row = city.db.read(|tx| rows::deposit(tx, &found[1].id)).unwrap().unwrap();
    assert!(city.db.write(|tx| desk::give_back(tx, &act, row, "ulang")).is_err());

    city.db
        .write(|tx| {
            retire::restore(
                tx,
                (&act, crate::testing::profile().today(START)),
                city.pd.as_bytes(),
                "keliru",
            )
        })
        .unwrap();
    assert_eq!(round(&city, &yearly), Done { revived: 2, ..Done::default() });
    assert_eq!(shown(&city), ["2027 overdue", " cancelled", "2028 open"]);
}

#[test]
fn what_the_city_owes_is_handed_on_by_a_dinas_that_is_retired() {
    let city = City::new();
    change_pd(&city, |pd| pd.runs_pusat_data = true);
    let other = Pd { id: PdId::random(), code: "LAIN".into(), runs_pusat_data: false, ..pd(&city) };
    let act = Act::controller(city.clock.now());
    city.db.write(|tx| register::put_pd(tx, &act, &other)).unwrap();
    let drill = profile(vec![duty("drill", "of = 'dinas'\nevery_months = 12")]);
    round(&city, &drill);
    assert_eq!(records(&city)[0].pd, Some(city.pd));
    // Also what it has to hand in once more.
    let id = records(&city)[0].id;
    let row = city.db.read(|tx| rows::deposit(tx, &id)).unwrap().unwrap();
    city.db
        .write(|tx| {
            let cancelled = desk::cancel(tx, &act, row, "keliru")?;
            desk::give_back(tx, &act, cancelled, "ternyata wajib")
        })
        .unwrap();
    retire_pd(&city);
    assert_eq!(round(&city, &drill), Done { revived: 1, handed_over: 1, ..Done::default() });
    assert_eq!((records(&city)[0].pd, records(&city)[0].state), (None, DepositState::Open));
}

#[test]
fn what_the_city_owes_goes_to_the_dinas_once_there_is_one() {
    let city = City::new();
    let drill = profile(vec![duty("drill", "of = 'dinas'\nevery_months = 12")]);
    round(&city, &drill);
    assert_eq!(records(&city)[0].pd, None);
    let counts = |at: Timestamp| city.db.read(|tx| view::overdue(tx, None, at)).unwrap();
    let late = counts(noon("2028-05-01"));
    assert_eq!((late[0].pd, late[0].overdue), (None, 1));
    change_pd(&city, |pd| pd.runs_pusat_data = true);
    assert_eq!(round(&city, &drill), Done { handed_over: 1, ..Done::default() });
    assert_eq!(records(&city)[0].pd, Some(city.pd));
    assert_eq!(round(&city, &drill), Done::default());
}

#[test]
fn a_round_that_is_cut_off_leaves_nothing() {
    let city = City::new();
    let duties = ["a", "b", "c"].map(|id| duty(id, "of = 'pd'\nevery_months = 12"));
    let profile = profile(duties.to_vec());
    let sql = |sql: &str| city.db.write::<_, DbError>(|tx| Ok(tx.execute_batch(sql)?)).unwrap();
    sql(
        "CREATE TRIGGER cut BEFORE INSERT ON deposits WHEN NEW.duty = 'c' BEGIN SELECT raise(ABORT, 'cut'); END",
    );
    let log = audited(&city);
    let act = Act::controller(START);
    assert!(city.db.write(|tx| reconcile(tx, &act, &profile)).is_err());
    assert_eq!((records(&city), audited(&city)), (Vec::new(), log));
    sql("DROP TRIGGER cut");
    assert_eq!(round(&city, &profile).made, 3);
}

#[tokio::test]
async fn the_keeper_begins_with_a_round_and_stops_when_it_is_told() {
    let city = City::new();
    let keeper = Keeper {
        db: city.db.clone(),
        clock: city.clock.clone(),
        profile: Arc::new(profile(vec![duty("report", "of = 'pd'\nevery_months = 12")])),
        signal: Arc::new(Notify::new()),
    };
    let (stop, stopped) = watch::channel(false);
    stop.send_replace(true);
    keeper.run(stopped).await;
    assert_eq!(shown(&city), ["2027 open"]);
}

#[test]
fn the_calendar_shows_records_and_what_will_be_owed() {
    let city = City::new();
    let profile = profile(vec![
        duty("figures", "of = 'pd'\nevery_months = 6"),
        duty("drill", "of = 'dinas'\nevery_months = 12"),
    ]);
    round(&city, &profile);
    let days = |pd, from: &str, until: &str| {
        let span = (day(from), day(until));
        let made = city.db.read(|tx| view::calendar(tx, &profile, pd, START, span)).unwrap();
        assert_eq!(made.time_zone, "Asia/Jakarta");
        let line = |day: Day, entry: &lumbung_wire::messages::deposits::CalendarEntry| {
            format!("{day} {} {}", entry.kind, entry.period.as_deref().unwrap_or_default())
        };
        let lines = made.days.iter().flat_map(|one| one.entries.iter().map(|e| line(one.day, e)));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        days(None, "2027-01-15", "2028-01-15"),
        [
            "2027-06-30 deposit 2027-01/2027-06",
            "2027-12-31 deposit 2027",
            "2027-12-31 planned 2027-07/2027-12"
        ]
    );
    assert_eq!(days(None, "2027-07-01", "2027-12-30"), [""; 0]);
    // The city's drill is not this PD's.
    assert_eq!(
        days(Some(city.pd), "2027-12-31", "2028-06-30"),
        ["2027-12-31 planned 2027-07/2027-12", "2028-06-30 planned 2028-01/2028-06"]
    );
    for (from, until, part) in [
        ("2027-02-01", "2027-01-31", "until"),
        ("2027-01-01", "2028-02-03", "397 days"),
        ("2031-01-01", "2031-01-02", "from today"),
    ] {
        let span = (day(from), day(until));
        let error = city.db.read(|tx| view::calendar(tx, &profile, None, START, span)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
