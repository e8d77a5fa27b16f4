//! The pure part: periods, days, whom a duty binds, what a plan changes.

use std::collections::BTreeSet;

use lumbung_model::{ApplicationId, Day, DepositId, PdId, ServiceId, Timestamp};

use super::{ZONE, day, duty, noon};
use crate::db::deposits::Status;
use crate::deadlines::owed::{Belonging, InForce, Owed, PdSubject, Subjects, owed};
use crate::deadlines::plan::{Known, plan};
use crate::profile::Duty;

fn pd(n: u8, entered: Timestamp) -> PdSubject {
    let id = PdId::from_bytes([n; 16]);
    PdSubject { id, entered, mandiri_since: None, runs_pusat_data: false }
}

fn one_pd(entered: Timestamp) -> Subjects {
    Subjects { pds: vec![pd(1, entered)], ..Subjects::default() }
}

fn known_since(duty: &Duty, since: Timestamp) -> [InForce<'_>; 1] {
    [InForce { duty, since }]
}

/// Period and last day of all that one PD owes, of a duty that was always known.
fn dates(duty: &Duty, entered: Timestamp, until: Timestamp) -> Vec<String> {
    let found = owed(&known_since(duty, Timestamp(0)), &one_pd(entered), ZONE, until);
    found.iter().map(shown).collect()
}

fn shown(owed: &Owed<'_>) -> String {
    let period = owed.period.map_or_else(|| "once".to_owned(), |period| period.to_string());
    assert_eq!(Day::of(owed.due.plus_seconds(1), ZONE), Day::of(owed.due, ZONE).plus_days(1));
    format!("{period} by {}", Day::of(owed.due, ZONE))
}

#[test]
fn what_is_owed_yearly_begins_with_the_year_of_the_entry() {
    let yearly = duty("report", "of = 'pd'\nevery_months = 12");
    let found = dates(&yearly, noon("2026-07-19"), noon("2028-03-01"));
    assert_eq!(found, ["2026 by 2026-12-31", "2027 by 2027-12-31", "2028 by 2028-12-31"]);
    assert_eq!(dates(&yearly, noon("2026-07-19"), noon("2026-07-18")), [""; 0], "not entered yet");
}

#[test]
fn the_year_ends_at_the_citys_midnight() {
    let yearly = duty("report", "of = 'pd'\nevery_months = 12");
    let new_year = day("2027-01-01").first_second(ZONE);
    let before = new_year.plus_seconds(-1);
    assert_eq!(new_year.to_string(), "2026-12-31T17:00:00Z");
    assert_eq!(dates(&yearly, new_year, new_year), ["2027 by 2027-12-31"]);
    // Entered in the last second of the year: a month's time for that year, and the next one as everybody.
    assert_eq!(dates(&yearly, before, before), ["2026 by 2027-01-31"]);
    assert_eq!(dates(&yearly, before, new_year), ["2026 by 2027-01-31", "2027 by 2027-12-31"]);
}

#[test]
fn other_intervals_follow_the_calendar_too() {
    let two_years = duty("audit", "of = 'pd'\nevery_months = 24");
    assert_eq!(
        dates(&two_years, noon("2027-06-01"), noon("2029-01-01")),
        ["2026/2027 by 2027-12-31", "2028/2029 by 2029-12-31"]
    );
    let monthly = duty("figures", "of = 'pd'\nevery_months = 1");
    assert_eq!(
        dates(&monthly, noon("2028-01-05"), noon("2028-03-01")),
        ["2028-01 by 2028-02-05", "2028-02 by 2028-02-29", "2028-03 by 2028-03-31"]
    );
    let quarterly = duty("figures", "of = 'pd'\nevery_months = 3");
    assert_eq!(
        dates(&quarterly, noon("2026-08-01"), noon("2026-10-01")),
        ["2026-07/2026-09 by 2026-09-30", "2026-10/2026-12 by 2026-12-31"]
    );
}

#[test]
fn a_date_within_the_period_is_not_held_against_who_came_after_it() {
    let in_march = duty("report", "of = 'pd'\nevery_months = 12\ndue_months = 3");
    assert_eq!(
        dates(&in_march, noon("2026-07-19"), noon("2027-01-01")),
        ["2026 by 2026-08-19", "2027 by 2027-03-31"]
    );
    assert_eq!(dates(&in_march, noon("2026-01-02"), noon("2026-01-02")), ["2026 by 2026-03-31"]);
}

#[test]
fn what_is_owed_once_is_due_so_many_months_after_the_entry() {
    for (lines, expected) in [
        ("", "once by 2027-09-30"),
        ("due_months = 1", "once by 2027-09-30"),
        ("due_months = 6", "once by 2028-02-29"),
        ("due_months = 18", "once by 2029-02-28"),
    ] {
        let once = duty("sop", &format!("of = 'pd'\n{lines}"));
        let entered = noon("2027-08-31");
        assert_eq!(dates(&once, entered, entered), [expected], "{lines}");
        assert_eq!(dates(&once, entered, noon("2040-01-01")), [expected], "once is once");
    }
}

#[test]
fn a_duty_asks_for_nothing_of_the_time_before_it_was_known() {
    let yearly = duty("report", "of = 'pd'\nevery_months = 12");
    let once = duty("sop", "of = 'pd'\ndue_months = 6");
    let subjects = one_pd(noon("2019-01-01"));
    let since = noon("2026-03-10");
    let of = |duty| {
        let found = owed(&known_since(duty, since), &subjects, ZONE, noon("2026-03-11"));
        found.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(of(&yearly), ["2026 by 2026-12-31"]);
    assert_eq!(of(&once), ["once by 2026-09-10"]);
}

/// Everything that a register may hold.
fn everything(entered: Timestamp) -> Subjects {
    let mut dinas = pd(2, entered);
    dinas.runs_pusat_data = true;
    let mut mandiri = pd(3, entered);
    mandiri.mandiri_since = Some(entered.plus_seconds(86_400));
    let owner = mandiri.id;
    Subjects {
        pds: vec![pd(1, entered), dinas, mandiri],
        applications: vec![Belonging {
            id: ApplicationId::from_bytes([4; 16]),
            pd: owner,
            entered,
        }],
        services: vec![Belonging { id: ServiceId::from_bytes([5; 16]), pd: owner, entered }],
    }
}

#[test]
fn a_duty_binds_whom_it_names() {
    let entered = noon("2026-02-01");
    let subjects = everything(entered);
    let owners = |of: &str, until: Timestamp| {
        let duty = duty("x", &format!("of = '{of}'\nevery_months = 12"));
        let found = owed(&known_since(&duty, Timestamp(0)), &subjects, ZONE, until);
        let owner = |one: &Owed<'_>| one.pd.map(|pd| pd.as_bytes()[0]);
        let about = found.iter().filter(|one| one.application.is_some() || one.service.is_some());
        (found.iter().map(owner).collect::<Vec<_>>(), about.count())
    };
    let later = entered.plus_seconds(2 * 86_400);
    assert_eq!(owners("pd", later), (vec![Some(1), Some(2), Some(3)], 0));
    assert_eq!(owners("pd_mandiri", later), (vec![Some(3)], 0));
    assert_eq!(
        owners("pd_mandiri", entered),
        (vec![], 0),
        "it runs its own IT since the day after"
    );
    assert_eq!(owners("dinas", later), (vec![Some(2)], 0));
    assert_eq!(owners("application", later), (vec![Some(3)], 1));
    assert_eq!(owners("service", later), (vec![Some(3)], 1));
}

#[test]
fn the_city_owes_what_no_single_dinas_does() {
    let audit = duty("audit", "of = 'dinas'\nevery_months = 12");
    let of = |subjects: &Subjects| {
        let found = owed(&known_since(&audit, Timestamp(0)), subjects, ZONE, noon("2026-03-01"));
        found.iter().map(|one| (one.id, one.pd)).collect::<Vec<_>>()
    };
    let (none, mut one) = (one_pd(noon("2026-02-01")), one_pd(noon("2026-02-01")));
    one.pds[0].runs_pusat_data = true;
    let mut two = one.clone();
    two.pds.push(PdSubject { id: PdId::from_bytes([9; 16]), ..one.pds[0] });
    let (alone, dinas, many) = (of(&none), of(&one), of(&two));
    assert_eq!(alone[0].1, None);
    assert_eq!(dinas[0].1, Some(one.pds[0].id));
    assert_eq!(many[0].1, None, "which of two is the Dinas, nobody can tell");
    // It is the same, whoever is the Dinas.
    assert!(alone[0].0 == dinas[0].0 && many[0].0 == dinas[0].0);
    assert_eq!(of(&Subjects::default()), [], "a city whose register is empty has not begun");
}

#[test]
fn ids_are_distinct_and_stay_for_ever() {
    let subjects = everything(noon("2026-02-01"));
    let duties: Vec<Duty> = ["pd", "pd_mandiri", "dinas", "application", "service"]
        .into_iter()
        .flat_map(|of| {
            let of_ = format!("of = '{of}'");
            [duty(&format!("{of}-once"), &of_), duty(of, &format!("{of_}\nevery_months = 1"))]
        })
        .collect();
    let in_force: Vec<_> =
        duties.iter().map(|duty| InForce { duty, since: Timestamp(0) }).collect();
    let ids = |until| -> Vec<DepositId> {
        owed(&in_force, &subjects, ZONE, until).iter().map(|one| one.id).collect()
    };
    let (early, late) = (ids(noon("2026-03-01")), ids(noon("2027-03-01")));
    let distinct: BTreeSet<_> = late.iter().copied().collect();
    assert_eq!(distinct.len(), late.len());
    assert!(early.iter().all(|id| distinct.contains(id)), "time only adds");
    // What stands in the databases of cities was made like this.
    let yearly = duty("lan-diagram", "of = 'pd'\nevery_months = 12");
    let found = owed(
        &known_since(&yearly, Timestamp(0)),
        &one_pd(noon("2026-02-01")),
        ZONE,
        noon("2026-02-01"),
    );
    assert_eq!(found[0].id.to_string(), "35babf525de9af04c91183265adedc5f");
}

/// Records as they are after a plan for `owed` was carried out.
fn carried_out(owed: &[Owed<'_>]) -> Vec<Known> {
    let known = |one: &Owed<'_>| Known {
        id: one.id,
        status: Status::Open,
        lapsed: false,
        pd: one.pd,
        due: one.due,
    };
    owed.iter().map(known).collect()
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do() {
    let yearly = duty("report", "of = 'pd'\nevery_months = 12");
    let now = noon("2027-03-01");
    let found =
        || owed(&known_since(&yearly, Timestamp(0)), &one_pd(noon("2026-02-01")), ZONE, now);
    assert_eq!(plan(&[], found(), now).make.len(), 2);
    assert!(plan(&carried_out(&found()), found(), now).is_empty());
}

#[test]
fn what_is_owed_no_more_lapses_unless_it_was_due_or_handed_in() {
    let yearly = duty("report", "of = 'pd'\nevery_months = 12");
    let now = noon("2027-03-01");
    let found = owed(&known_since(&yearly, Timestamp(0)), &one_pd(noon("2026-02-01")), ZONE, now);
    let mut known = carried_out(&found);
    let (past, present) = (known[0].id, known[1].id);
    assert_eq!(plan(&known, Vec::new(), now).lapse, [present], "{past} was due");
    for status in [Status::Delivered, Status::Accepted, Status::Returned, Status::Cancelled] {
        known[1].status = status;
        assert!(plan(&known, Vec::new(), now).is_empty(), "{status:?}");
    }
    // What lapsed comes back when it is owed again; what a person cancelled does not.
    assert!(plan(&known, found.clone(), now).is_empty());
    known[1].lapsed = true;
    assert_eq!(plan(&known, found.clone(), now).revive, [present]);
    // What nobody has delivered is the new Dinas'.
    known[1] = Known { lapsed: false, status: Status::Open, pd: None, ..known[1] };
    assert_eq!(plan(&known, found.clone(), now).hand_over, [(present, found[1].pd)]);
    known[1].status = Status::Delivered;
    assert!(plan(&known, found, now).is_empty());
}
