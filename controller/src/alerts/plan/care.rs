//! The work on one alert: what it is about now, which steps are due, and who does not know yet.
//!
//! Invariants: an address is told once of what is told at one time, however many people have it as their first; whoever has other
//! addresses beside is reached by them too if nothing arrives at the one that is shared.

use std::collections::BTreeSet;

use super::{Alarm, Alert, CHANNEL_ALARM, Cause, Part, Plan, Since, Told, Topic, route_of};
use crate::alerts::address::RecipientKey;
use crate::alerts::people::People;
use crate::alerts::route::{Route, Rules, Step};
use lumbung_model::Timestamp;
use lumbung_wire::messages::alerts::Severity;

/// The work on one alert.
pub(super) struct Care<'a> {
    pub(super) rules: &'a Rules,
    pub(super) people: &'a People,
    pub(super) now: Timestamp,
    pub(super) plan: &'a mut Plan,
}

impl Care<'_> {
    pub(super) fn of(&mut self, alert: &mut Alert, alarms: &[&Alarm]) {
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
        let about = alert.about(u32::MAX);
        let reaches = |step: &Step| !self.people.resolve(&step.to, about, self.now).is_empty();
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
            let about = alert.about(alert.steps + 1);
            reached = !self.people.resolve(&step.to, about, self.now).is_empty();
            alert.steps += 1;
            if reached {
                alert.stepped = self.now;
            }
        }
    }

    /// Tells whoever the steps so far have reached, as they are now, what they do not know.
    fn tell(&mut self, alert: &mut Alert, route: &Route) {
        let taken = usize::try_from(alert.steps).unwrap_or(usize::MAX);
        let (steps, about) = (route.steps.iter().take(taken), alert.about(alert.steps));
        let reached: BTreeSet<RecipientKey> =
            steps.flat_map(|step| self.people.resolve(&step.to, about, self.now)).collect();
        for (key, beside) in self.people.apart(&reached, alert.pd) {
            if let Some(cause) = self.due(alert, route, &key) {
                self.say(alert, key.clone(), cause);
                for other in &beside {
                    let count = alert.told.get(other).map_or(1, |told| told.count);
                    let told = Told { round: alert.round, last: self.now, count };
                    alert.told.insert(other.clone(), told);
                }
                self.plan.beside.entry(key).or_default().extend(beside);
                continue;
            }
            for newcomer in std::iter::once(key).chain(beside) {
                let Some(since) = self.elsewhere(alert, &newcomer) else { continue };
                self.plan.elsewhere.insert((newcomer.clone(), alert.id), since);
                self.say(alert, newcomer, Cause::First);
            }
        }
    }

    fn say(&mut self, alert: &mut Alert, key: RecipientKey, cause: Cause) {
        let count = alert.told.get(&key).map_or(0, |told| told.count) + 1;
        alert.told.insert(key.clone(), Told { round: alert.round, last: self.now, count });
        self.add(key, Part { alert: alert.id, number: count, cause });
    }

    /// When others were told at the first address of somebody who was not, and who has addresses that they have not.
    fn elsewhere(&self, alert: &Alert, key: &RecipientKey) -> Option<Timestamp> {
        if alert.told.contains_key(key) {
            return None;
        }
        let others: Vec<_> = alert.told.keys().filter(|o| self.people.share(o, key)).collect();
        (!self.people.covered(key, &others))
            .then(|| self.known(alert, key).map(|told| told.last))?
    }

    fn due(&self, alert: &Alert, route: &Route, key: &RecipientKey) -> Option<Cause> {
        let Some(told) = self.known(alert, key) else { return Some(Cause::First) };
        let since_s = self.now.seconds_since(told.last);
        let joined = alert.topics.values().any(|since| since.joined > told.last);
        if told.round < alert.round || joined && since_s >= self.rules.regroup_s {
            return Some(Cause::More);
        }
        (since_s >= i64::from(route.repeat_min) * 60).then_some(Cause::Again)
    }

    /// What was told last at somebody's address, by whatever name.
    fn known<'b>(&self, alert: &'b Alert, key: &RecipientKey) -> Option<&'b Told> {
        let same = |other: &RecipientKey| other == key || self.people.share(other, key);
        let told = alert.told.iter().filter(|(other, _)| same(other)).map(|(_, told)| told);
        told.max_by_key(|told| (told.round, told.last))
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
            service: alert.service,
        };
        let route = route_of(&facts, self.rules, self.people);
        let damped = self.now.seconds_since(cleared) < self.rules.damp_s;
        let quiet = !alert.told.is_empty() && self.rules.is_quiet(route, alert.severity, self.now);
        if damped || quiet {
            return;
        }
        alert.closed = Some(self.now);
        let knowing: BTreeSet<RecipientKey> = alert.told.keys().cloned().collect();
        for (key, _) in self.people.apart(&knowing, alert.pd) {
            let Some(told) = alert.told.get_mut(&key) else { continue };
            told.count += 1;
            let part = Part { alert: alert.id, number: told.count, cause: Cause::Over };
            self.add(key, part);
        }
    }

    fn add(&mut self, key: RecipientKey, part: Part) {
        self.plan.tell.entry(key).or_default().push(part);
    }
}
