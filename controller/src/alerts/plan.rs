//! What has to be told to whom now. Pure.
//!
//! Invariants: the plan follows from the state, what is wrong, who is there and the time; carried out, it leaves nothing to
//! do at the same moment, so it does not matter how often it is made, or whether one was lost. An alert that lasts is told
//! to its first tier and, until somebody acknowledges it, to the tiers behind it and again to all of them. Whoever was told
//! of it is told when it is over. Each message part has a number of its own for alert and recipient, counted from 1.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use lumbung_model::{AlertId, Day, PdId, SiteId, Timestamp};
use lumbung_wire::messages::alerts::Severity;
use sha2::{Digest as _, Sha256};

use super::address::RecipientKey;
use super::people::People;
use super::route::{Facts, Grouping, Route, Rules, Step};

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
        Grouping::Kind => format!("{} / {place}", alarm.kind),
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
    Some(Alert {
        id: id_of(group, now),
        group: group.to_owned(),
        kind: first.kind.clone(),
        pd: first.pd,
        site,
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

/// The work on one alert.
struct Care<'a> {
    rules: &'a Rules,
    people: &'a People,
    now: Timestamp,
    plan: &'a mut Plan,
}

impl Care<'_> {
    fn of(&mut self, alert: &mut Alert, alarms: &[&Alarm]) {
        if alarms.is_empty() {
            return self.end(alert);
        }
        alert.cleared = None;
        let worse = self.take_in(alert, alarms);
        if worse && alert.acknowledged {
            (alert.acknowledged, alert.round) = (false, alert.round + 1);
            (alert.steps, alert.stepped) = (0, self.now);
        }
        // All of them have one route: it is part of what groups them.
        let route = route_of(alarms[0], self.rules, self.people);
        self.look_for_anybody(alert, route);
        if alert.acknowledged || self.rules.is_quiet(route, alert.severity, self.now) {
            return;
        }
        let gathered = self.now.seconds_since(alert.stepped) >= self.rules.gather_s;
        if alert.steps == 0 && alert.severity < Severity::Critical && !gathered {
            return;
        }
        self.climb(alert, route);
        self.tell(alert, route);
    }

    /// Notes an alert that no step reaches anybody of. Those about channels would keep themselves alive.
    fn look_for_anybody(&mut self, alert: &Alert, route: &Route) {
        let reaches = |step: &Step| !self.people.resolve(&step.to, alert.pd, self.now).is_empty();
        if alert.kind != CHANNEL_ALARM && !route.steps.iter().any(reaches) {
            self.plan.nobody.insert(alert.id);
        }
    }

    /// Takes in what the alert is about now; whether it is worse than before.
    fn take_in(&self, alert: &mut Alert, alarms: &[&Alarm]) -> bool {
        let before = alert.severity;
        let mut joined = false;
        let mut gone: BTreeSet<Topic> = alert.topics.keys().cloned().collect();
        for alarm in alarms {
            alert.severity = alert.severity.max(self.rules.severity(&alarm.kind));
            let topic = (alarm.kind.clone(), alarm.subject.clone());
            gone.remove(&topic);
            joined |= self.join(alert, topic);
        }
        self.leave(alert, &gone);
        alert.severity > before || joined
    }

    /// Whether it was not there, or has been away for long enough to be new.
    fn join(&self, alert: &mut Alert, topic: Topic) -> bool {
        let new = Since { joined: self.now, left: None };
        let Some(since) = alert.topics.get_mut(&topic) else {
            alert.topics.insert(topic, new);
            return true;
        };
        let away = since.left.is_some_and(|left| self.now.seconds_since(left) >= self.rules.damp_s);
        if away {
            *since = new;
        }
        since.left = None;
        away
    }

    fn leave(&self, alert: &mut Alert, gone: &BTreeSet<Topic>) {
        for topic in gone {
            if let Some(since) = alert.topics.get_mut(topic) {
                since.left.get_or_insert(self.now);
            }
        }
    }

    /// Takes the steps that are due. One that reaches nobody delays none.
    fn climb(&self, alert: &mut Alert, route: &Route) {
        let mut reached = true;
        while let Some(step) = usize::try_from(alert.steps).ok().and_then(|n| route.steps.get(n)) {
            let after_s = i64::from(step.after_min) * 60;
            let waits = alert.steps > 0 && reached;
            if waits && self.now.seconds_since(alert.stepped) < after_s {
                return;
            }
            reached = !self.people.resolve(&step.to, alert.pd, self.now).is_empty();
            alert.steps += 1;
            if reached {
                alert.stepped = self.now;
            }
        }
    }

    /// Tells whoever the steps so far have reached, as they are now, what they do not know.
    fn tell(&mut self, alert: &mut Alert, route: &Route) {
        let taken = usize::try_from(alert.steps).unwrap_or(usize::MAX);
        let steps = route.steps.iter().take(taken);
        let reached: BTreeSet<RecipientKey> =
            steps.flat_map(|step| self.people.resolve(&step.to, alert.pd, self.now)).collect();
        for key in reached {
            let Some(cause) = self.due(alert, route, &key) else { continue };
            let count = alert.told.get(&key).map_or(0, |told| told.count) + 1;
            alert.told.insert(key.clone(), Told { round: alert.round, last: self.now, count });
            self.add(key, Part { alert: alert.id, number: count, cause });
        }
    }

    fn due(&self, alert: &Alert, route: &Route, key: &RecipientKey) -> Option<Cause> {
        let Some(told) = alert.told.get(key) else { return Some(Cause::First) };
        let since_s = self.now.seconds_since(told.last);
        let joined = alert.topics.values().any(|since| since.joined > told.last);
        if told.round < alert.round || joined && since_s >= self.rules.regroup_s {
            return Some(Cause::More);
        }
        (since_s >= i64::from(route.repeat_min) * 60).then_some(Cause::Again)
    }

    /// Nothing of it lasts. It ends once it has been so for a while, and nobody would be woken for that.
    fn end(&mut self, alert: &mut Alert) {
        let cleared = *alert.cleared.get_or_insert(self.now);
        let gone = alert.topics.keys().cloned().collect();
        self.leave(alert, &gone);
        let facts = Alarm {
            kind: alert.kind.clone(),
            subject: String::new(),
            pd: alert.pd,
            site: alert.site,
        };
        let route = route_of(&facts, self.rules, self.people);
        let damped = self.now.seconds_since(cleared) < self.rules.damp_s;
        let quiet = !alert.told.is_empty() && self.rules.is_quiet(route, alert.severity, self.now);
        if damped || quiet {
            return;
        }
        alert.closed = Some(self.now);
        for (key, told) in &mut alert.told {
            told.count += 1;
            let part = Part { alert: alert.id, number: told.count, cause: Cause::Over };
            self.plan.tell.entry(key.clone()).or_default().push(part);
        }
    }

    fn add(&mut self, key: RecipientKey, part: Part) {
        self.plan.tell.entry(key).or_default().push(part);
    }
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
    Some((today, people.resolve(to, None, now)))
}
