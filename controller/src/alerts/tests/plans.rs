//! The plan under any order of alarms, ticks, acknowledgements and lost plans.

use std::collections::{BTreeMap, BTreeSet};

use lumbung_model::schedule::Tz;
use lumbung_model::{AlertId, ContactPersonId, Day, OnCallId, PdId, Timestamp};
use lumbung_wire::messages::alerts::{ChannelKind, OnCall, Severity};
use lumbung_wire::messages::register::{ContactPerson, Pd, PdKind};
use proptest::prelude::*;

use crate::alerts::address::RecipientKey;
use crate::alerts::people::{People, Sources, gaps};
use crate::alerts::plan::{Alarm, Cause, Plan, State, plan};
use crate::alerts::route::{Route, Rules};
use crate::alerts::settings::{DigestTime, Settings};

/// 2027-01-15 08:00 UTC: in the afternoon in Jakarta.
pub(super) const START: Timestamp = Timestamp(1_800_000_000);
pub(super) const MIN: i64 = 60;
pub(super) const HOUR: i64 = 3600;

pub(super) const PD_A: PdId = PdId::from_bytes([1; 16]);
/// Has no contact person.
pub(super) const PD_B: PdId = PdId::from_bytes([2; 16]);
pub(super) const DINAS: PdId = PdId::from_bytes([3; 16]);

pub(super) fn contact(tag: u8, pd: PdId, tier: u8) -> ContactPerson {
    ContactPerson {
        id: ContactPersonId::from_bytes([tag; 16]),
        pd,
        service: None,
        tier,
        name: format!("Orang {tag}"),
        phone: String::new(),
        email: format!("orang{tag}@example.go.id"),
        telegram: String::new(),
    }
}

pub(super) fn key(tag: u8) -> RecipientKey {
    RecipientKey::Contact(ContactPersonId::from_bytes([tag; 16]))
}

pub(super) const A1: u8 = 11;
pub(super) const DINAS1: u8 = 31;

pub(super) fn turn(tag: u8, from: Timestamp, until: Timestamp) -> OnCall {
    OnCall {
        id: OnCallId::from_bytes([tag; 16]),
        tier: 2,
        name: format!("Piket {tag}"),
        from,
        until,
        phone: String::new(),
        email: format!("piket{tag}@example.go.id"),
        telegram: String::new(),
        removed: None,
    }
}

fn people(on_call: Vec<OnCall>) -> People {
    people_of(vec![contact(A1, PD_A, 1), contact(DINAS1, DINAS, 1)], on_call)
}

pub(super) fn people_of(contacts: Vec<ContactPerson>, on_call: Vec<OnCall>) -> People {
    let pd = |id, code: &str, runs_pusat_data| Pd {
        id,
        code: code.to_owned(),
        name: code.to_owned(),
        kind: PdKind::Other,
        contact: String::new(),
        mandiri_tik: false,
        runs_pusat_data,
        link: String::new(),
        rate: String::new(),
        windows: Vec::new(),
    };
    let sources = Sources {
        pds: vec![pd(PD_A, "A", false), pd(PD_B, "B", false), pd(DINAS, "KOMINFO", true)],
        sites: Vec::new(),
        contacts,
        on_call,
    };
    People::new(sources, &[], &BTreeSet::from([ChannelKind::Mail, ChannelKind::Telegram]))
}

pub(super) fn rules(change: impl FnOnce(&mut Settings)) -> Rules {
    let (quiet, digest_at) = ("never".parse().unwrap(), DigestTime(None));
    let mut settings = Settings { quiet, digest_at, ..Settings::default() };
    change(&mut settings);
    settings.rules(Tz::Asia__Jakarta)
}

pub(super) fn alarm(kind: &str, subject: &str, pd: PdId) -> Alarm {
    Alarm {
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        pd: Some(pd),
        site: None,
        service: None,
    }
}

/// A city under a plan: what lasts, and what was told.
pub(super) struct World {
    pub(super) state: State,
    pub(super) alarms: Vec<Alarm>,
    rules: Rules,
    pub(super) people: People,
    now: Timestamp,
    /// (when, who, alert, number, why)
    pub(super) told: Vec<(Timestamp, RecipientKey, AlertId, u32, Cause)>,
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        let (state, alarms) = (State::default(), Vec::new());
        Self { state, alarms, rules, people: people(Vec::new()), now: START, told: Vec::new() }
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.state, &self.alarms, &self.rules, &self.people, self.now)
    }

    pub(super) fn tick(&mut self, seconds: i64) -> Plan {
        self.now = self.now.plus_seconds(seconds);
        let plan = self.plan();
        self.state.apply(&plan);
        for (key, parts) in &plan.tell {
            let told =
                parts.iter().map(|one| (self.now, key.clone(), one.alert, one.number, one.cause));
            self.told.extend(told);
        }
        plan
    }

    /// Minutes of small ticks.
    pub(super) fn minutes(&mut self, minutes: i64) {
        for _ in 0..minutes {
            self.tick(MIN);
        }
    }

    pub(super) fn acknowledge(&mut self) {
        self.state.alerts.values_mut().for_each(|alert| alert.acknowledged = true);
    }

    /// Who was told why, and how many minutes after the start.
    pub(super) fn heard(&self) -> Vec<(RecipientKey, Cause, i64)> {
        let minutes = |at: Timestamp| at.seconds_since(START) / MIN;
        self.told.iter().map(|(at, who, _, _, cause)| (who.clone(), *cause, minutes(*at))).collect()
    }
}

#[test]
fn a_warning_goes_to_the_pd_then_to_the_dinas_and_again_until_it_is_over() {
    let mut world = World::new(rules(|_| {}));
    world.alarms = vec![alarm("unseen", "x", PD_A)];
    world.tick(0);
    assert!(world.told.is_empty(), "it is gathered first");
    world.minutes(60 * 9 + 2);
    // Nobody is on call: the Dinas is told in their place, an hour later, and not twice when its own step comes.
    assert_eq!(
        world.heard(),
        [
            (key(A1), Cause::First, 1),
            (key(DINAS1), Cause::First, 61),
            (key(A1), Cause::Again, 481),
            (key(DINAS1), Cause::Again, 541),
        ]
    );
    world.alarms.clear();
    world.minutes(11);
    let last: Vec<_> =
        world.heard().into_iter().skip(4).map(|(who, cause, _)| (who, cause)).collect();
    assert_eq!(last, [(key(A1), Cause::Over), (key(DINAS1), Cause::Over)]);
    assert!(world.state.alerts.is_empty());
}

#[test]
fn what_is_critical_is_told_at_once_to_both_and_a_pd_without_contact_is_not_waited_for() {
    let mut world = World::new(rules(|_| {}));
    world.alarms = vec![alarm("hidden", "x", PD_A), alarm("unseen", "y", PD_B)];
    world.tick(0);
    assert_eq!(world.heard(), [(key(A1), Cause::First, 0), (key(DINAS1), Cause::First, 0)]);
    world.minutes(1);
    // Of the PD without a contact person, the Dinas hears as soon as it is gathered.
    assert_eq!(world.heard()[2..], [(key(DINAS1), Cause::First, 1)]);
}

#[test]
fn what_goes_different_ways_is_told_apart_whatever_it_has_in_common() {
    let route = |kind: &str, to: &str| -> Route {
        let text = format!(
            "kind = ['{kind}']\ngroup = 'pd'\nrepeat_min = 60\nsteps = [{{ to = ['{to}'] }}]"
        );
        toml::from_str(&text).unwrap()
    };
    let mut world = World::new(rules(|settings| {
        settings.route = vec![route("unseen", "pd"), route("hidden", "dinas")];
    }));
    world.alarms = vec![alarm("unseen", "x", PD_A), alarm("hidden", "y", PD_A)];
    world.minutes(2);
    let told: BTreeSet<_> = world.told.iter().map(|(_, who, ..)| who.clone()).collect();
    assert_eq!(told, BTreeSet::from([key(A1), key(DINAS1)]));
    assert_eq!(world.state.alerts.len(), 2);
}

#[test]
fn whoever_is_on_call_now_is_told_and_whoever_takes_over_too() {
    let mut world = World::new(rules(|_| {}));
    let noon = START.plus_seconds(2 * HOUR);
    world.people = people(vec![turn(1, START, noon), turn(2, noon, noon.plus_seconds(HOUR))]);
    world.alarms = vec![alarm("hidden", "x", PD_B)];
    world.tick(0);
    let first = RecipientKey::OnCall(OnCallId::from_bytes([1; 16]));
    let second = RecipientKey::OnCall(OnCallId::from_bytes([2; 16]));
    assert_eq!(world.heard(), [(first, Cause::First, 0)]);
    world.minutes(121);
    assert!(world.heard().contains(&(second, Cause::First, 120)), "{:?}", world.heard());
}

#[test]
fn an_acknowledgement_holds_until_it_gets_worse() {
    let mut world = World::new(rules(|_| {}));
    world.alarms = vec![alarm("unseen", "x", PD_A)];
    world.minutes(2);
    world.acknowledge();
    world.minutes(60 * 24);
    assert_eq!(world.told.len(), 1, "{:?}", world.heard());
    world.alarms.push(alarm("unseen", "y", PD_A));
    world.minutes(2);
    assert_eq!(world.heard()[1..], [(key(A1), Cause::More, 60 * 24 + 4)]);
    assert!(world.state.alerts.values().all(|alert| !alert.acknowledged && alert.round == 2));
    // The same again would be told to whoever comes next.
    world.minutes(60);
    assert_eq!(world.heard()[2].0, key(DINAS1));
}

#[test]
fn what_comes_back_soon_never_went_and_what_comes_back_late_is_new() {
    let mut world = World::new(rules(|_| {}));
    let one = alarm("unseen", "x", PD_A);
    for _ in 0..20 {
        world.alarms = vec![one.clone()];
        world.minutes(3);
        world.alarms.clear();
        world.minutes(3);
    }
    assert_eq!(world.heard().iter().filter(|told| told.0 == key(A1)).count(), 1);
    assert_eq!(world.state.alerts.len(), 1);
    // Another alarm keeps the alert alive; what was away for long is told again even if somebody looks after it.
    world.alarms = vec![one.clone(), alarm("unseen", "y", PD_A)];
    world.minutes(30);
    world.acknowledge();
    world.alarms.remove(0);
    world.minutes(30);
    let before = world.told.len();
    world.alarms.push(one);
    world.minutes(2);
    assert_eq!(world.told.len(), before + 1);
}

#[test]
fn quiet_hours_hold_back_what_is_not_critical_and_tell_it_together_at_their_end() {
    let mut world = World::new(rules(|settings| settings.quiet = "15:00-16:00".parse().unwrap()));
    // It is 15:00 in Jakarta.
    world.alarms =
        vec![alarm("unseen", "x", PD_A), alarm("refused", "y", PD_A), alarm("hidden", "z", PD_A)];
    world.minutes(59);
    let kinds: BTreeSet<_> = world.told.iter().map(|(_, who, ..)| who.clone()).collect();
    assert_eq!(
        (world.told.len(), kinds.len()),
        (2, 2),
        "only what is critical: {:?}",
        world.heard()
    );
    let plan = world.tick(MIN);
    assert_eq!(plan.tell[&key(A1)].iter().filter(|part| part.cause == Cause::First).count(), 2);
}

#[test]
fn a_digest_goes_out_once_a_day_in_the_citys_zone() {
    let mut world = World::new(rules(|settings| settings.digest_at.0 = "16:00".parse().ok()));
    let mut days = Vec::new();
    for _ in 0..50 {
        let plan = world.tick(HOUR / 2 + 7);
        days.extend(plan.digest.map(|(day, to)| (world.now.seconds_since(START) / HOUR, day, to)));
    }
    let first: Day = "2027-01-15".parse().unwrap();
    let dinas = BTreeSet::from([key(DINAS1)]);
    assert_eq!(days, [(1, first, dinas.clone()), (25, first.plus_days(1), dinas)]);
}

#[test]
fn gaps_of_the_roster_are_found() {
    let at = |hours: i64| START.plus_seconds(hours * HOUR);
    let roster = [turn(1, at(2), at(4)), turn(2, at(3), at(6)), turn(3, at(8), at(9))];
    let found = gaps(&roster, 2, at(0), at(10));
    assert_eq!(found, [(at(0), at(2)), (at(6), at(8)), (at(9), at(10))]);
    assert_eq!(gaps(&roster, 3, at(0), at(10)), [(at(0), at(10))]);
    assert!(gaps(&roster, 2, at(2), at(6)).is_empty());
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes, and a plan is carried out.
    Tick(i64),
    /// Time passes, and the program stops before it carries the plan out.
    Lost(i64),
    /// An alarm is raised or cleared.
    Toggle(usize),
    /// Somebody looks after everything.
    Acknowledge,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (1..2 * HOUR).prop_map(Event::Tick),
        2 => (1..HOUR).prop_map(Event::Lost),
        4 => (0..8_usize).prop_map(Event::Toggle),
        1 => Just(Event::Acknowledge),
    ];
    proptest::collection::vec(event, 1..120)
}

fn possible(index: usize) -> Alarm {
    let kind = ["unseen", "hidden", "order", "refused"][index % 4];
    alarm(kind, &format!("s{index}"), if index < 4 { PD_A } else { PD_B })
}

/// What the plan has to have done for every alert that lasts, after a plan was carried out.
fn first_tier_was_told(world: &World) -> Result<(), TestCaseError> {
    for alert in world.state.alerts.values().filter(|alert| alert.cleared.is_none()) {
        let gathered = world.now.seconds_since(alert.stepped) >= world.rules.gather_s;
        let due = alert.severity == Severity::Critical || gathered;
        let first = if alert.pd == Some(PD_A) { key(A1) } else { key(DINAS1) };
        let told = alert.told.get(&first).is_some_and(|told| told.round == alert.round);
        prop_assert!(!due || alert.acknowledged || told, "{alert:?}");
    }
    Ok(())
}

/// A warning that nobody acknowledges is with the Dinas an hour after its first tier was told.
fn is_escalated(world: &World, sure: &BTreeMap<AlertId, Timestamp>) -> Result<(), TestCaseError> {
    for alert in world.state.alerts.values().filter(|alert| alert.severity == Severity::Warning) {
        let since = sure.get(&alert.id).copied();
        let late = since.is_some_and(|since| world.now.seconds_since(since) >= HOUR);
        let told = alert.told.get(&key(DINAS1)).is_some_and(|told| told.round == alert.round);
        prop_assert!(!late || told, "{alert:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_is_lost_or_told_twice_whatever_happens(events in events()) {
        let mut world = World::new(rules(|_| {}));
        // Since when the first tier knows of what lasts and nobody looks after.
        let mut sure: BTreeMap<AlertId, Timestamp> = BTreeMap::new();
        for event in events {
            match event {
                Event::Tick(seconds) => {
                    world.tick(seconds);
                    let again = world.plan();
                    prop_assert!(again.is_empty(), "a plan leaves nothing to do: {again:?}");
                    first_tier_was_told(&world)?;
                    let lasting = |id: &AlertId| world.state.alerts.values().any(|alert| {
                        alert.id == *id && alert.cleared.is_none() && !alert.acknowledged && alert.round == 1
                    });
                    sure.retain(|id, _| lasting(id));
                    for alert in world.state.alerts.values() {
                        if alert.told.contains_key(&key(A1)) && lasting(&alert.id) {
                            sure.entry(alert.id).or_insert(world.now);
                        }
                    }
                    is_escalated(&world, &sure)?;
                }
                Event::Lost(seconds) => {
                    world.now = world.now.plus_seconds(seconds);
                    prop_assert_eq!(world.plan(), world.plan());
                }
                Event::Toggle(index) => {
                    let one = possible(index);
                    match world.alarms.iter().position(|alarm| *alarm == one) {
                        Some(at) => drop(world.alarms.remove(at)),
                        None => world.alarms.push(one),
                    }
                    sure.clear();
                }
                Event::Acknowledge => {
                    world.acknowledge();
                    sure.clear();
                }
            }
        }
        let mut numbers: BTreeMap<(AlertId, RecipientKey), u32> = BTreeMap::new();
        for (_, who, alert, number, _) in &world.told {
            let last = numbers.entry((*alert, who.clone())).or_default();
            prop_assert_eq!(*number, *last + 1, "each part has a number of its own");
            *last = *number;
        }
    }

    #[test]
    fn no_alert_of_another_pd_is_told_to_a_pds_contact(events in events()) {
        let mut world = World::new(rules(|_| {}));
        for event in events {
            match event {
                Event::Tick(seconds) | Event::Lost(seconds) => {
                    let plan = world.tick(seconds);
                    let of: BTreeMap<AlertId, Option<PdId>> =
                        plan.alerts.iter().map(|alert| (alert.id, alert.pd)).collect();
                    for part in plan.tell.get(&key(A1)).into_iter().flatten() {
                        prop_assert_eq!(of[&part.alert], Some(PD_A));
                    }
                }
                Event::Toggle(index) => match world.alarms.iter().position(|alarm| *alarm == possible(index)) {
                    Some(at) => drop(world.alarms.remove(at)),
                    None => world.alarms.push(possible(index)),
                },
                Event::Acknowledge => world.acknowledge(),
            }
        }
    }
}
