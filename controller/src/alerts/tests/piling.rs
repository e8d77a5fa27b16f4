//! Repeats that pile up while a channel takes nothing: the newest says all, and the others are superseded.

use std::collections::BTreeSet;
use std::sync::Arc;

use lumbung_model::DeliveryId;
use lumbung_wire::messages::alerts::{ChannelKind, DeliveryState};

use super::outages::{Desk, Receiver};
use crate::alerts::channel::Outcome;
use crate::alerts::outbox::{fate, record};
use crate::alerts::route::Grouping;
use crate::db::DbError;
use crate::db::deliveries::{self, Outgoing};

impl Desk {
    /// One whose alerts are told again every so many minutes.
    fn repeating(seed: u64, repeat_min: u32) -> Self {
        let mut desk = Self::new(seed);
        Arc::make_mut(&mut desk.settings).route[0].repeat_min = repeat_min;
        desk
    }

    fn claim(&self, channel: ChannelKind) -> Vec<Outgoing> {
        let now = self.now();
        let claim = |tx: &rusqlite::Transaction<'_>| {
            deliveries::claim(tx, now, channel, &BTreeSet::new(), 8)
        };
        self.db.write::<_, DbError>(claim).unwrap()
    }

    fn end(&self, message: &Outgoing, outcome: Outcome) {
        let (now, fate) = (self.now(), fate(message, outcome, self.now()));
        self.db.write(|tx| record(tx, now, &message.id, &fate)).unwrap();
    }

    /// Whether what a message tells is known at its address.
    fn has_arrived(&self, message: &Outgoing) -> bool {
        let alert = &message.alerts[0].0;
        self.db.read(|tx| deliveries::has_arrived(tx, &message.to, alert, message.made)).unwrap()
    }

    fn state(&self, id: &DeliveryId) -> DeliveryState {
        self.db.read(|tx| deliveries::get(tx, id)).unwrap().unwrap().state
    }
}

#[tokio::test]
async fn of_what_piles_up_while_channels_are_down_only_the_newest_is_sent() {
    let mut desk = Desk::repeating(1, 30);
    (desk.mail, desk.webhook) = (Receiver::Fails, Receiver::Fails);
    desk.raise("hidden", "a");
    for minute in 0..300 {
        if minute == 100 {
            desk.raise("hidden", "b");
        }
        desk.minutes(1, false).await;
        // The alarms stay, whichever message waits. The webhook is tried a quarter of an hour after the mail.
        let down = desk.open("channel");
        assert!(minute < 12 || down.iter().any(|one| one == "mail"), "{minute}: {down:?}");
        assert!(minute < 40 || down == ["mail", "webhook"], "{minute}: {down:?}");
    }
    let states = desk.states();
    // Four alerts (a, b, and that each channel is down) to two people with two addresses each, in rounds of their own.
    assert!(states[&DeliveryState::Waiting] <= 16, "{states:?}");
    assert!(states[&DeliveryState::Superseded] > 20, "{states:?}");
    assert_eq!(desk.lost(), 0);
    (desk.mail, desk.webhook) = (Receiver::Takes, Receiver::Takes);
    desk.minutes(20, false).await;
    assert!(desk.arrived.values().all(|(_, times)| *times == 1), "{:?}", desk.arrived);
    let ended = [DeliveryState::Sent, DeliveryState::Superseded];
    let states = desk.states();
    assert_eq!(states.keys().copied().collect::<Vec<_>>(), ended);
    // What waited, and what was told since: that the channels are back among it.
    let sent = states[&DeliveryState::Sent];
    assert_eq!(desk.arrived.len(), usize::try_from(sent).unwrap());
    assert!(sent <= 32 && sent < states[&DeliveryState::Superseded], "{states:?}");
    assert_eq!(desk.lost(), 0);
    assert!(desk.open("channel").is_empty());
}

#[tokio::test]
async fn a_message_under_way_is_superseded_only_once_it_was_not_taken() {
    for taken in [false, true] {
        let mut desk = Desk::repeating(1, 30);
        desk.raise("hidden", "a");
        desk.round().await;
        let [first] = &desk.claim(ChannelKind::Mail)[..] else { panic!("one message") };
        desk.wait(31 * 60);
        desk.round().await;
        assert_eq!(desk.state(&first.id), DeliveryState::Trying);
        let outcome = if taken { Outcome::Sent } else { Outcome::Unanswered("silence".to_owned()) };
        desk.end(first, outcome);
        let expected = if taken { DeliveryState::Sent } else { DeliveryState::Superseded };
        assert_eq!(desk.state(&first.id), expected);
        desk.send(false);
        assert!(!desk.arrived.contains_key(&first.id) && !desk.arrived.is_empty());
    }
}

#[tokio::test]
async fn what_the_newer_one_does_not_tell_is_still_sent() {
    let mut desk = Desk::repeating(1, 30);
    desk.mail = Receiver::Fails;
    desk.raise("hidden", "a");
    desk.raise("hidden", "b");
    desk.round().await;
    let [both] = &desk.claim(ChannelKind::Mail)[..] else { panic!("one message") };
    assert_eq!(both.alerts.len(), 2);
    desk.end(both, Outcome::Later("it is down".to_owned(), None));
    // One of them is over, which a message of its own says: what it was is in the first one.
    desk.clear("hidden", "b");
    desk.wait(31 * 60);
    desk.round().await;
    assert_eq!(desk.state(&both.id), DeliveryState::Waiting);
    desk.mail = Receiver::Takes;
    desk.minutes(15, false).await;
    assert_eq!(desk.state(&both.id), DeliveryState::Sent);
    assert_eq!(desk.lost(), 0);
}

#[tokio::test]
async fn what_names_something_that_has_gone_since_is_sent_beside_the_newer_one() {
    let mut desk = Desk::repeating(1, 30);
    Arc::make_mut(&mut desk.settings).route[0].group = Grouping::Kind;
    desk.mail = Receiver::Fails;
    desk.raise("hidden", "a");
    desk.round().await;
    let [first] = &desk.claim(ChannelKind::Mail)[..] else { panic!("one message") };
    desk.end(first, Outcome::Later("it is down".to_owned(), None));
    assert!(!desk.has_arrived(first));
    desk.wait(60);
    // The same alert is about something else now: what it was about first stands in that message alone.
    desk.raise("hidden", "b");
    desk.clear("hidden", "a");
    desk.wait(31 * 60);
    assert!(desk.round().await > 0);
    assert_eq!(desk.state(&first.id), DeliveryState::Waiting);
    desk.mail = Receiver::Takes;
    desk.minutes(15, false).await;
    assert_eq!(desk.state(&first.id), DeliveryState::Sent);
    assert!(desk.has_arrived(first));
}

#[tokio::test]
async fn whoever_waits_goes_on_waiting_and_hears_by_the_next_address_in_time() {
    let mut desk = Desk::repeating(1, 5);
    desk.mail = Receiver::Fails;
    desk.raise("hidden", "a");
    // Told again every five minutes: none of these messages is a quarter of an hour old.
    desk.minutes(14, false).await;
    assert!(desk.arrived.is_empty());
    desk.minutes(3, false).await;
    assert!(!desk.arrived.is_empty());
    assert!(desk.arrived.values().all(|(channel, _)| *channel == ChannelKind::Webhook));
    assert_eq!(desk.open("channel"), ["mail"]);
}

#[tokio::test]
async fn what_is_refused_for_our_sake_goes_on_waiting_and_is_told_by_the_next_address_at_once() {
    let mut desk = Desk::new(1);
    desk.mail = Receiver::Forbids;
    desk.raise("hidden", "a");
    desk.round().await;
    desk.send(false);
    assert!(desk.arrived.values().all(|(channel, _)| *channel == ChannelKind::Webhook));
    assert_eq!(desk.arrived.len(), 1);
    desk.minutes(12, false).await;
    assert_eq!(desk.open("channel"), ["mail"], "and no address is at fault");
    desk.mail = Receiver::Takes;
    desk.minutes(20, false).await;
    assert!(desk.states().keys().all(|state| *state == DeliveryState::Sent), "{:?}", desk.states());
    assert!(desk.open("channel").is_empty());
}
