//! What has to be told to whom now. Pure.
//!
//! Invariants: the plan follows from the state, what is wrong, who is there and the time; carried out, it leaves nothing to
//! do at the same moment, so it does not matter how often it is made, or whether one was lost. An alert that lasts is told
//! to its first tier and, until somebody acknowledges it, to the tiers behind it and again to all of them. Whoever was told
//! of it is told when it is over. Each message part has a number of its own for alert and recipient, counted from 1.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use lumbung_model::{AlertId, Day, PdId, ServiceId, SiteId, Timestamp};
use lumbung_wire::messages::alerts::Severity;
use sha2::{Digest as _, Sha256};

use super::address::RecipientKey;
use super::people::{About, People};
use super::route::{Facts, Grouping, Route, Rules};

mod care;

use care::Care;

/// The kind of alarms that say that messages do not arrive.
pub const CHANNEL_ALARM: &str = "channel";

/// An alarm that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Its kind.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Whose data it is about.
    pub pd: Option<PdId>,
    /// The site it is about.
    pub site: Option<SiteId>,
    /// The service it is about.
    pub service: Option<ServiceId>,
}

/// Kind and subject of an alarm.
pub type Topic = (String, String);

/// Since when an alert is about something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// When it joined.
    pub joined: Timestamp,
    /// When its alarm went; none while it lasts.
    pub left: Option<Timestamp>,
}

/// What somebody was told of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// In which round last.
    pub round: u32,
    /// When last.
    pub last: Timestamp,
    /// How often in all.
    pub count: u32,
}

/// An alert that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// What its alarms have in common: one alert that is not over for each.
    pub group: String,
    /// The kind of its first alarm.
    pub kind: String,
    /// Whose data it is about.
    pub pd: Option<PdId>,
    /// The site it is about.
    pub site: Option<SiteId>,
    /// The service it is about, if it is about one alone.
    pub service: Option<ServiceId>,
    /// The highest of its alarms, as long as it lasts.
    pub severity: Severity,
    /// Since when.
    pub opened: Timestamp,
    /// When its last alarm went; none while one lasts.
    pub cleared: Option<Timestamp>,
    /// When it was over for good.
    pub closed: Option<Timestamp>,
    /// Whether somebody looks after it.
    pub acknowledged: bool,
    /// Begins anew when what was acknowledged gets worse. From 1.
    pub round: u32,
    /// Steps of the route that were taken in this round.
    pub steps: u32,
    /// When the last one was taken, or the round began.
    pub stepped: Timestamp,
    /// What it has been about, and since when.
    pub topics: BTreeMap<Topic, Since>,
    /// Who was told.
    pub told: BTreeMap<RecipientKey, Told>,
}

/// What is remembered from one plan to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The alerts that are not over, by group.
    pub alerts: BTreeMap<String, Alert>,
    /// The day of the last digest.
    pub digest: Option<Day>,
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It is new to them.
    First,
    /// Something has joined it, or it has got worse.
    More,
    /// Nobody has acknowledged it.
    Again,
    /// It is over.
    Over,
}

impl Cause {
    /// As the database keeps it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::More => "more",
            Self::Again => "again",
            Self::Over => "over",
        }
    }
}

/// A part of a message: one alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Of which alert.
    pub alert: AlertId,
    /// Counts what this recipient is told of it, from 1.
    pub number: u32,
    /// Why.
    pub cause: Cause,
}

/// What has to be done, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Alerts as they are from now on, those that are over included.
    pub alerts: Vec<Alert>,
    /// Who is told what: one message for each.
    pub tell: BTreeMap<RecipientKey, Vec<Part>>,
    /// For whom each of them reads as well, by the same first address: their other addresses are gone on with, too.
    pub beside: BTreeMap<RecipientKey, BTreeSet<RecipientKey>>,
    /// What somebody else with the same first address was told, and when: if it has arrived there, it is not told again.
    pub elsewhere: BTreeMap<(RecipientKey, AlertId), Timestamp>,
    /// The day whose digest is due, with whom it goes to.
    pub digest: Option<(Day, BTreeSet<RecipientKey>)>,
    /// Alerts that nobody can be told of.
    pub nobody: BTreeSet<AlertId>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.tell.is_empty() && self.digest.is_none()
    }
}

impl Alert {
    /// What decides who is told, `taken` steps on.
    const fn about(&self, taken: u32) -> About {
        About { pd: self.pd, service: self.service, escalated: taken > 1 }
    }
}

impl State {
    /// The state after a plan was carried out.
    pub fn apply(&mut self, plan: &Plan) {
        for alert in &plan.alerts {
            match alert.closed {
                Some(_) => self.alerts.remove(&alert.group),
                None => self.alerts.insert(alert.group.clone(), alert.clone()),
            };
        }
        if let Some((day, _)) = &plan.digest {
            self.digest = Some(*day);
        }
    }
}

/// Plans.
#[must_use]
pub fn plan(
    state: &State,
    alarms: &[Alarm],
    rules: &Rules,
    people: &People,
    now: Timestamp,
) -> Plan {
    let mut lasting: BTreeMap<String, Vec<&Alarm>> = BTreeMap::new();
    for alarm in alarms {
        let group = group(alarm, route_of(alarm, rules, people));
        lasting.entry(group).or_default().push(alarm);
    }
    let mut plan = Plan::default();
    let groups: BTreeSet<&String> = lasting.keys().chain(state.alerts.keys()).collect();
    for group in groups {
        let found = lasting.get(group).map_or(&[][..], Vec::as_slice);
        let before = state.alerts.get(group);
        let Some(mut alert) = before.cloned().or_else(|| open(group, found, now)) else { continue };
        let mut care = Care { rules, people, now, plan: &mut plan };
        care.of(&mut alert, found);
        if before != Some(&alert) {
            plan.alerts.push(alert);
        }
    }
    plan.digest = digest(state, rules, people, now);
    plan
}

fn route_of<'a>(alarm: &Alarm, rules: &'a Rules, people: &People) -> &'a Route {
    rules.route(&Facts {
        kind: &alarm.kind,
        severity: rules.severity(&alarm.kind),
        pd_code: alarm.pd.and_then(|pd| people.pd_code(&pd)),
        site_name: alarm.site.and_then(|site| people.site_name(&site)),
    })
}

/// What an alarm has in common with those that are told together with it: its route among it, since that says to whom.
fn group(alarm: &Alarm, route: &Route) -> String {
    let place = match (alarm.pd, alarm.site) {
        (Some(pd), _) => format!("pd {pd}"),
        (None, Some(site)) => format!("site {site}"),
        (None, None) => "city".to_owned(),
    };
    let what = match route.group {
        Grouping::Kind => match alarm.service {
            Some(service) => format!("{} / {place} / {service}", alarm.kind),
            None => format!("{} / {place}", alarm.kind),
        },
        Grouping::Pd => place,
        Grouping::Alarm => format!("{} / {place} / {}", alarm.kind, alarm.subject),
    };
    // Routes that say the same are one, wherever they stand in the file.
    let route = Sha256::digest(format!("{route:?}"));
    format!("{what} / {}", HEXLOWER.encode(&route[..8]))
}

/// A new alert; none if there is nothing that it would be about.
fn open(group: &str, alarms: &[&Alarm], now: Timestamp) -> Option<Alert> {
    let first = alarms.first()?;
    let site = first.site.filter(|_| alarms.iter().all(|one| one.site == first.site));
    let service = first.service.filter(|_| alarms.iter().all(|one| one.service == first.service));
    Some(Alert {
        id: id_of(group, now),
        group: group.to_owned(),
        kind: first.kind.clone(),
        pd: first.pd,
        site,
        service,
        severity: Severity::Notice,
        opened: now,
        cleared: None,
        closed: None,
        acknowledged: false,
        round: 1,
        steps: 0,
        stepped: now,
        topics: BTreeMap::new(),
        told: BTreeMap::new(),
    })
}

/// The same plan names the same alert, whenever it is made: one that is over stays so for longer than a moment.
fn id_of(group: &str, opened: Timestamp) -> AlertId {
    let hash = Sha256::digest(format!("lumbung alert / {group} / {}", opened.0));
    AlertId::from_bytes(std::array::from_fn(|index| hash[index]))
}

/// The digest of today, once its time has come. One that was missed by a day or more is not made up for: what is in it
/// stands in the next one too.
fn digest(
    state: &State,
    rules: &Rules,
    people: &People,
    now: Timestamp,
) -> Option<(Day, BTreeSet<RecipientKey>)> {
    let (at, to) = rules.digest.as_ref()?;
    let today = Day::of(now, rules.zone);
    let due = now >= today.first_second(rules.zone).plus_seconds(i64::from(at.minutes()) * 60);
    if !due || state.digest.is_some_and(|last| last >= today) {
        return None;
    }
    let meant = people.resolve(to, About::default(), now);
    Some((today, people.apart(&meant, None).into_iter().map(|(key, _)| key).collect()))
}
