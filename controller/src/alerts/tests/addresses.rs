//! One address under several names, and who answers for a service.

use lumbung_model::{OnCallId, ServiceId, Timestamp};
use lumbung_wire::messages::alerts::OnCall;
use lumbung_wire::messages::register::ContactPerson;

use super::plans::{
    A1, DINAS, DINAS1, HOUR, MIN, PD_A, PD_B, START, World, alarm, contact, key, people_of, rules,
    turn,
};
use crate::alerts::address::RecipientKey;
use crate::alerts::plan::{Alarm, Cause};

const SIMRS: ServiceId = ServiceId::from_bytes([7; 16]);
const SITE: ServiceId = ServiceId::from_bytes([8; 16]);
/// Answers for a service of PD A.
const OF_SIMRS: u8 = 12;

fn on_call(tag: u8) -> RecipientKey {
    RecipientKey::OnCall(OnCallId::from_bytes([tag; 16]))
}

fn at(email: &str, person: ContactPerson) -> ContactPerson {
    ContactPerson { email: email.to_owned(), ..person }
}

fn turn_at(email: &str, turn: OnCall) -> OnCall {
    OnCall { email: email.to_owned(), ..turn }
}

fn of_service(service: ServiceId, tag: u8, tier: u8) -> ContactPerson {
    ContactPerson { service: Some(service), ..contact(tag, PD_A, tier) }
}

fn down(service: ServiceId) -> Alarm {
    Alarm { service: Some(service), ..alarm("down", &format!("service:{service}"), PD_A) }
}

#[test]
fn an_address_under_two_names_is_told_once_at_each_step_and_at_the_end() {
    let mut world = World::new(rules(|_| {}));
    let contacts = vec![at("sama@example.go.id", contact(A1, PD_A, 1)), contact(DINAS1, DINAS, 1)];
    let duty = turn_at("Sama@Example.go.id", turn(1, START, START.plus_seconds(9 * HOUR)));
    world.people = people_of(contacts, vec![duty]);
    world.alarms = vec![alarm("hidden", "x", PD_A)];
    // The PD's contact is on call as well: a critical alert goes to both at once, then to the Dinas.
    world.minutes(62);
    let twice =
        [(key(A1), Cause::First, 1), (key(DINAS1), Cause::First, 16), (key(A1), Cause::Again, 61)];
    assert_eq!(world.heard(), twice, "{:?}", world.heard());
    // What is about another PD goes to the same address by the other name, and nothing of it to the first.
    world.alarms.push(alarm("hidden", "y", PD_B));
    world.tick(0);
    assert_eq!(world.heard()[3..], [(on_call(1), Cause::First, 62)]);
    world.alarms.clear();
    world.minutes(11);
    let mut over: Vec<_> = world.heard().into_iter().filter(|one| one.1 == Cause::Over).collect();
    over.sort();
    let over: Vec<_> = over.into_iter().map(|(who, ..)| who).collect();
    assert_eq!(over, [key(A1), key(DINAS1), on_call(1)]);
}

#[test]
fn a_mailbox_that_several_take_turns_at_is_not_told_again_at_each_turn() {
    let mut world = World::new(rules(|_| {}));
    let noon = START.plus_seconds(30 * MIN);
    let shared = |tag, from, until| turn_at("piket@example.go.id", turn(tag, from, until));
    let turns = vec![shared(1, START, noon), shared(2, noon, noon.plus_seconds(9 * HOUR))];
    world.people = people_of(Vec::new(), turns);
    world.alarms = vec![alarm("hidden", "x", PD_B)];
    world.tick(0);
    world.minutes(59);
    assert_eq!(world.heard(), [(on_call(1), Cause::First, 0)]);
    world.minutes(1);
    assert_eq!(world.heard()[1..], [(on_call(2), Cause::Again, 60)], "by the name of who is there");
}

/// On call, with the same mailbox as everybody and a chat of their own.
fn with_chat(tag: u8, from: Timestamp, until: Timestamp) -> OnCall {
    let turn = turn_at("noc@example.go.id", turn(tag, from, until));
    OnCall { telegram: tag.to_string(), ..turn }
}

#[test]
fn whoever_shares_a_first_address_is_reached_by_their_others_too() {
    let mut world = World::new(rules(|_| {}));
    let noon = START.plus_seconds(30 * MIN);
    let contacts = vec![at("noc@example.go.id", contact(A1, PD_A, 1))];
    let turns = vec![with_chat(1, START, noon), with_chat(2, noon, noon.plus_seconds(9 * HOUR))];
    world.people = people_of(contacts, turns);
    world.alarms = vec![alarm("hidden", "x", PD_A)];
    // One message, which goes on with the chat of whoever is on call if the mailbox takes nothing.
    let plan = world.tick(0);
    assert_eq!(world.heard(), [(key(A1), Cause::First, 0)]);
    assert_eq!(plan.beside[&key(A1)], [on_call(1)].into());
    assert!(plan.elsewhere.is_empty());
    // The next one on call has another chat: told unless the mailbox has it.
    world.minutes(29);
    assert_eq!(world.heard().len(), 1);
    let plan = world.tick(MIN);
    assert_eq!(world.heard()[1..], [(on_call(2), Cause::First, 30)]);
    assert_eq!(plan.elsewhere.values().collect::<Vec<_>>(), [&START]);
    world.minutes(20);
    assert_eq!(world.heard().len(), 2, "and once only");
}

#[test]
fn of_two_names_the_one_with_more_addresses_is_told() {
    let mut world = World::new(rules(|_| {}));
    let plain = at("sama@example.go.id", contact(1, PD_A, 1));
    let telegram =
        ContactPerson { telegram: "5".to_owned(), ..at("sama@example.go.id", contact(2, PD_A, 1)) };
    let chat =
        ContactPerson { email: String::new(), telegram: "5".to_owned(), ..contact(3, PD_A, 1) };
    world.people = people_of(vec![plain, telegram, chat], Vec::new());
    world.alarms = vec![alarm("hidden", "x", PD_A)];
    world.tick(0);
    // Whoever is reached by Telegram first is somebody else: a fallback of others is no reason to be passed over.
    assert_eq!(world.heard(), [(key(2), Cause::First, 0), (key(3), Cause::First, 0)]);
}

#[test]
fn a_service_that_is_down_is_told_to_who_answers_for_it_and_only_then_to_the_pd() {
    let mut world = World::new(rules(|_| {}));
    let people = |contacts: Vec<ContactPerson>| people_of(contacts, Vec::new());
    let (general, dinas) = (contact(A1, PD_A, 1), contact(DINAS1, DINAS, 1));
    world.people = people(vec![general.clone(), dinas.clone(), of_service(SIMRS, OF_SIMRS, 1)]);
    world.alarms = vec![down(SIMRS), down(SITE)];
    world.tick(0);
    // The other service has nobody of its own: the PD's contact is told. Nobody is on call: the Dinas is, of both.
    let told = |world: &World, who: u8| {
        let of = |alert| world.state.alerts.values().find(|one| one.id == alert).unwrap().service;
        let mine = world.told.iter().filter(|one| one.1 == key(who) && one.4 == Cause::First);
        let mut services: Vec<_> = mine.map(|one| of(one.2).unwrap()).collect();
        services.sort();
        services
    };
    assert_eq!(told(&world, OF_SIMRS), [SIMRS]);
    assert_eq!(told(&world, A1), [SITE]);
    assert_eq!(told(&world, DINAS1), [SIMRS, SITE]);
    // Nobody looks after it: the PD's contact is told of that too, and whoever answers for one service of no other.
    world.minutes(16);
    assert_eq!(told(&world, A1), [SIMRS, SITE]);
    assert_eq!(told(&world, OF_SIMRS), [SIMRS]);
    // Where nobody answers for all, whoever answers for one is asked about the others.
    let mut world = World::new(rules(|_| {}));
    let contacts = vec![dinas, of_service(SIMRS, OF_SIMRS, 1), of_service(SIMRS, 13, 1)];
    world.people = people(contacts);
    world.alarms = vec![down(SITE)];
    world.tick(0);
    assert_eq!((told(&world, OF_SIMRS), told(&world, 13)), (vec![SITE], vec![SITE]));
}
