//! Keeper and outbox over their database, with a channel that fails for an hour and a program that stops at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lumbung_model::{Clock, DeliveryId, Timestamp};
use lumbung_wire::messages::alerts::{ChannelKind, DeliveryState};
use rusqlite::params;

use crate::alerts::AtWork;
use crate::alerts::channel::Outcome;
use crate::alerts::keeper::Keeper;
use crate::alerts::outbox::{Fate, fate, record};
use crate::alerts::settings::{Named, Settings};
use crate::db::alarms::{self, Finding};
use crate::db::deliveries::{self, Outgoing};
use crate::db::{Db, DbError};
use crate::testing::{City, Dice};

/// What a receiver does with messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    Takes,
    /// Refuses, and has not taken it.
    Fails,
    /// Takes it, and its answer is lost.
    Silent,
    /// Will never take anything.
    Gone,
    /// Refuses for good what comes from us.
    Forbids,
}

/// A controller's alerts without sockets.
pub(super) struct Desk {
    pub(super) city: City,
    pub(super) db: Db,
    pub(super) settings: Arc<Settings>,
    pub(super) mail: Receiver,
    pub(super) webhook: Receiver,
    /// What arrived, and how often.
    pub(super) arrived: BTreeMap<DeliveryId, (ChannelKind, u32)>,
    /// Messages of which one try was not answered, or was cut off.
    excused: BTreeSet<DeliveryId>,
    dice: Dice,
}

impl Desk {
    pub(super) fn new(seed: u64) -> Self {
        let city = City::new();
        let text = r#"
            quiet = "never"
            digest_at = "never"
            [mail]
            host = "localhost"
            security = "none"
            from = "lumbung@example.go.id"
            [webhook]
            secret_file = "/nowhere"
            [[route]]
            group = "alarm"
            repeat_min = 120
            steps = [{ to = ["name:noc"] }, { after_min = 30, to = ["name:kepala"] }]
        "#;
        let mut settings: Settings = toml::from_str(text).unwrap();
        let named = |name: &str| Named {
            name: name.into(),
            mail: format!("{name}@example.go.id"),
            telegram: String::new(),
            webhook: format!("https://{name}.example.go.id/"),
        };
        settings.recipient = vec![named("noc"), named("kepala")];
        assert_eq!(settings.check(), Ok(()));
        let db = city.db.clone();
        Self {
            city,
            db,
            settings: Arc::new(settings),
            mail: Receiver::Takes,
            webhook: Receiver::Takes,
            arrived: BTreeMap::new(),
            excused: BTreeSet::new(),
            dice: Dice(seed),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.city.clock.now()
    }

    pub(super) fn wait(&self, seconds: i64) {
        self.city.clock.set(self.now().plus_seconds(seconds));
    }

    pub(super) fn raise(&self, kind: &str, subject: &str) {
        let finding = Finding {
            subject: subject.into(),
            pd: Some(self.city.pd),
            site: None,
            service: None,
            detail: format!("{subject} is wrong"),
        };
        self.db.write(|tx| alarms::raise(tx, self.now(), kind, &finding)).unwrap();
    }

    pub(super) fn clear(&self, kind: &str, subject: &str) {
        self.db.write(|tx| alarms::settle(tx, self.now(), kind, subject, None)).unwrap();
    }

    pub(super) async fn round(&self) -> usize {
        let AtWork { bell, done } = AtWork::begin(self.now());
        let keeper = Keeper {
            db: self.db.clone(),
            clock: self.city.clock.clone(),
            profile: Arc::new(crate::testing::profile()),
            settings: self.settings.clone(),
            bell,
            done,
        };
        keeper.round().await.unwrap()
    }

    pub(super) fn receive(&mut self, message: &Outgoing) -> Outcome {
        let receiver = match message.to.channel {
            ChannelKind::Mail => self.mail,
            _ => self.webhook,
        };
        if matches!(receiver, Receiver::Takes | Receiver::Silent) {
            self.arrived.entry(message.id).or_insert((message.to.channel, 0)).1 += 1;
        }
        match receiver {
            Receiver::Takes => Outcome::Sent,
            Receiver::Fails => Outcome::Later("it is down".into(), None),
            Receiver::Gone => Outcome::Never("nobody is here".into()),
            Receiver::Forbids => Outcome::Refused("relay access denied".into()),
            Receiver::Silent => {
                self.excused.insert(message.id);
                Outcome::Unanswered("no answer".into())
            }
        }
    }

    /// Sends one message to each address that has one due; whether there was any.
    pub(super) fn send_by(&mut self, channel: ChannelKind, stops: bool) -> bool {
        let now = self.now();
        let claim = |tx: &rusqlite::Transaction<'_>| {
            deliveries::claim(tx, now, channel, &BTreeSet::new(), 8)
        };
        let claimed = self.db.write::<_, DbError>(claim).unwrap();
        for message in &claimed {
            if stops && self.dice.below(4) == 0 {
                // Before it was sent: the program does not know that.
                continue;
            }
            let outcome = self.receive(message);
            if stops && self.dice.below(4) == 0 {
                self.excused.insert(message.id);
                continue;
            }
            let fate = fate(message, outcome, now);
            self.db.write(|tx| record(tx, now, &message.id, &fate)).unwrap();
        }
        !claimed.is_empty()
    }

    /// Sends what is due; with `stops`, the program may stop at any moment of it.
    pub(super) fn send(&mut self, stops: bool) {
        let now = self.now();
        for channel in ChannelKind::ALL {
            while self.send_by(*channel, stops) {}
        }
        if stops {
            self.db.write::<_, DbError>(|tx| deliveries::recover(tx, now)).unwrap();
        }
    }

    pub(super) fn states(&self) -> BTreeMap<DeliveryState, u32> {
        let sql = "SELECT state, count(*) FROM deliveries GROUP BY state";
        self.db
            .read::<_, DbError>(|tx| {
                let mut statement = tx.prepare(sql)?;
                let rows =
                    statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
                Ok(rows
                    .map(|row| row.map(|(state, n)| (state.parse().unwrap(), n)))
                    .collect::<Result<_, _>>()?)
            })
            .unwrap()
    }

    pub(super) fn open(&self, kind: &str) -> Vec<String> {
        self.db.read(|tx| alarms::subjects(tx, kind)).unwrap()
    }

    /// Messages that tell of something with this cause, to this recipient.
    pub(super) fn told(&self, recipient: &str, cause: &str) -> u32 {
        let sql = "SELECT count(DISTINCT hex(p.alert) || p.number) FROM delivery_parts AS p JOIN deliveries AS d ON d.id = p.delivery
            WHERE d.recipient = ? AND p.cause = ?";
        self.db
            .read::<_, DbError>(|tx| {
                Ok(tx.query_row(sql, params![recipient, cause], |row| row.get(0))?)
            })
            .unwrap()
    }

    /// What was superseded and is told by no newer message to its address that was sent, or will be.
    pub(super) fn lost(&self) -> u32 {
        let sql = "SELECT count(*) FROM deliveries AS d JOIN delivery_parts AS p ON p.delivery = d.id
            WHERE d.state = 'superseded' AND NOT EXISTS (
                SELECT 1 FROM deliveries AS n JOIN delivery_parts AS q ON q.delivery = n.id
                WHERE n.channel = d.channel AND n.address = d.address AND n.sequence > d.sequence AND q.alert = p.alert
                    AND q.described = 1 AND q.cause <> 'over' AND n.state NOT IN ('superseded', 'failed'))";
        self.db.read::<_, DbError>(|tx| Ok(tx.query_row(sql, [], |row| row.get(0))?)).unwrap()
    }

    pub(super) async fn minutes(&mut self, minutes: u32, stops: bool) {
        for _ in 0..minutes {
            self.wait(60);
            self.round().await;
            self.send(stops);
        }
    }
}

#[tokio::test]
async fn a_channel_that_fails_for_an_hour_loses_nothing_and_repeats_nothing() {
    let mut desk = Desk::new(1);
    (desk.mail, desk.webhook) = (Receiver::Fails, Receiver::Fails);
    desk.raise("hidden", "a");
    desk.minutes(20, false).await;
    desk.raise("hidden", "b");
    desk.minutes(40, false).await;
    assert!(desk.arrived.is_empty());
    assert_eq!(desk.open("channel"), ["mail", "webhook"]);
    // Nobody acknowledged: it went on to the next although nothing had arrived.
    assert!(desk.told("name:noc", "first") >= 2 && desk.told("name:kepala", "first") >= 2);
    (desk.mail, desk.webhook) = (Receiver::Takes, Receiver::Takes);
    desk.minutes(20, false).await;
    assert_eq!(desk.states().keys().copied().collect::<Vec<_>>(), [DeliveryState::Sent]);
    assert!(desk.arrived.values().all(|(_, times)| *times == 1), "{:?}", desk.arrived);
    assert_eq!(desk.open("channel"), Vec::<String>::new());
    for subject in ["a", "b"] {
        desk.clear("hidden", subject);
    }
    desk.minutes(25, false).await;
    assert!(desk.told("name:noc", "over") >= 2 && desk.told("name:kepala", "over") >= 2);
}

#[tokio::test]
async fn stops_at_any_moment_lose_nothing_and_repeat_only_what_was_not_answered() {
    for seed in 0..8 {
        let mut desk = Desk::new(seed);
        Arc::make_mut(&mut desk.settings).route[0].repeat_min = 40;
        let kinds = [Receiver::Takes, Receiver::Fails, Receiver::Silent];
        for hour in 0..6 {
            (desk.mail, desk.webhook) = (desk.dice.pick(&kinds), desk.dice.pick(&kinds));
            desk.raise("hidden", &format!("s{hour}"));
            let minutes = 5 + u32::try_from(desk.dice.below(40)).unwrap();
            desk.minutes(minutes, true).await;
        }
        (desk.mail, desk.webhook) = (Receiver::Takes, Receiver::Takes);
        desk.minutes(40, false).await;
        let states = desk.states();
        let ended = [DeliveryState::Sent, DeliveryState::Superseded];
        assert!(states.keys().all(|state| ended.contains(state)), "{seed}: {states:?}");
        let sent = usize::try_from(states[&DeliveryState::Sent]).unwrap();
        assert!(desk.arrived.len() >= sent, "{seed}: everything arrived");
        assert_eq!(desk.lost(), 0, "{seed}: and what did not is told by what did");
        for (id, (_, times)) in &desk.arrived {
            assert!(*times == 1 || desk.excused.contains(id), "{seed}: {id} came {times} times");
        }
        // Six things were wrong, and each was told to both tiers.
        assert!(desk.told("name:noc", "first") >= 6 && desk.told("name:kepala", "first") >= 6);
    }
}

#[tokio::test]
async fn an_address_that_never_takes_anything_raises_an_alarm_and_the_next_one_is_tried() {
    let mut desk = Desk::new(1);
    desk.mail = Receiver::Gone;
    desk.raise("hidden", "a");
    desk.round().await;
    desk.send(false);
    assert!(desk.arrived.values().all(|(channel, _)| *channel == ChannelKind::Webhook));
    assert_eq!(desk.arrived.len(), 1);
    desk.minutes(1, false).await;
    assert_eq!(desk.open("channel"), ["mail/name:noc"]);
    desk.mail = Receiver::Takes;
    desk.raise("hidden", "b");
    desk.minutes(2, false).await;
    assert!(desk.open("channel").is_empty(), "it takes messages again");
}

#[test]
fn what_becomes_of_a_message() {
    let desk = Desk::new(1);
    let message = Outgoing {
        id: DeliveryId::random(),
        cause: lumbung_wire::messages::alerts::DeliveryCause::Alert,
        severity: lumbung_wire::messages::alerts::Severity::Warning,
        recipient: "name:noc".into(),
        to: crate::alerts::address::Address { channel: ChannelKind::Telegram, to: "1".into() },
        subject: String::new(),
        body: String::new(),
        made: desk.now(),
        waits: desk.now(),
        attempts: 1,
        maybe_repeated: false,
        alerts: Vec::new(),
    };
    let later = |after_s| Outcome::Later("busy".into(), after_s);
    let next = |attempts, age_s: i64, after_s| {
        let message = Outgoing { attempts, ..message.clone() };
        let now = desk.now().plus_seconds(age_s);
        match fate(&message, later(after_s), now) {
            Fate::Again { next, fall_over, .. } => (next.seconds_since(now), fall_over),
            other => panic!("{other:?}"),
        }
    };
    assert!((7..=15).contains(&next(1, 0, None).0));
    assert!((450..=900).contains(&next(50, 86_400, None).0), "a day later it is tried still");
    assert_eq!(next(1, 0, Some(77)).0, 77, "what the channel asks for is honoured");
    assert_eq!(next(1, 0, Some(u32::MAX)).0, 21_600, "within reason");
    assert_eq!((next(3, 899, None).1, next(3, 900, None).1), (false, true));
    let given_up = fate(&message, later(None), desk.now().plus_seconds(3 * 86_400));
    assert!(matches!(given_up, Fate::Failed(reason) if reason.contains("three days")));
}
