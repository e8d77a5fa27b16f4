//! The reconciler of alerts: reads what is wrong, plans who is told, and writes both alerts and messages.
//!
//! Invariants: what is planned and what is told stand in one transaction, so that a stop at any moment loses no message and
//! makes none twice; a round that finds nothing to tell writes nothing; it takes no argument but the state and the time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{AlertId, Clock, Day, Timestamp};
use lumbung_wire::messages::alerts::{AlertSubject, DeliveryCause, Severity};
use rusqlite::{Connection, Transaction};
use tokio::sync::watch;

use super::address::{Recipient, RecipientKey};
use super::people::{People, Sources, gaps};
use super::plan::{Alert, CHANNEL_ALARM, Cause, Part, Plan, State, plan};
use super::route::{Audience, Rules};
use super::settings::Settings;
use super::text::{Story, Style, Text};
use crate::db::alarms::{self, Finding};
use crate::db::deliveries::{self, New};
use crate::db::{Db, DbError, alerts as rows, on_call, register, services};
use crate::profile::Profile;
use crate::turns::Turns;

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(10);
/// How far ahead somebody has to be on call, s: seven days.
const AHEAD_S: i64 = 7 * 86_400;
/// A tier that nobody was on call in for so long has no roster, s: 90 days.
const KEPT_S: i64 = 90 * 86_400;
/// A digest looks back a day, s.
const DIGEST_S: i64 = 86_400;
/// Alarms of one alert that are read for a message.
const SUBJECTS_MAX: u32 = 50;
/// The kind of alarms that say that nobody is on call.
const GAP_ALARM: &str = "roster-gap";

/// What the reconciler works on.
pub struct Keeper {
    /// Where alarms, alerts and messages are.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The city.
    pub profile: Arc<Profile>,
    /// Who is told what.
    pub settings: Arc<Settings>,
    /// Rung when there are new messages.
    pub bell: watch::Sender<()>,
    /// When the last round was done: for the sign of life.
    pub done: watch::Sender<Timestamp>,
}

impl Keeper {
    /// Works until told to stop.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let mut turns = Turns::every(PAUSE, stop);
        while turns.next().await {
            match self.round().await {
                Ok(told) => {
                    self.done.send_replace(self.clock.now());
                    if told > 0 {
                        self.bell.send_replace(());
                    }
                }
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, "alerts could not be brought up to date");
                }
            }
        }
    }

    /// One round; how many messages it made.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn round(&self) -> Result<usize, DbError> {
        let (now, work) = (self.clock.now(), Arc::new(self.work()));
        let looked = work.clone();
        let nothing = move |tx: &Transaction<'_>| {
            let found = Found::look(tx, &looked, now)?;
            Ok::<_, DbError>(found.plan.is_empty() && !found.differ(tx)?)
        };
        if self.db.read_async(nothing).await? {
            return Ok(0);
        }
        self.db.write_async(move |tx| carry_out(tx, &work, now)).await
    }

    fn work(&self) -> Work {
        let zone = self.profile.zone();
        Work {
            rules: self.settings.rules(zone),
            style: Style { language: self.settings.language, zone },
            city: self.profile.city.name.clone(),
            settings: self.settings.clone(),
        }
    }
}

/// What a round needs beside the database.
struct Work {
    rules: Rules,
    style: Style,
    city: String,
    settings: Arc<Settings>,
}

/// Turns that ended so lately are still known, seconds: a week.
const PAST_TURNS_S: i64 = 7 * 86_400;

/// Everybody who can be told now.
///
/// # Errors
/// If the database fails.
pub fn people(db: &Connection, settings: &Settings, now: Timestamp) -> Result<People, DbError> {
    let sources = Sources {
        pds: register::pds(db)?,
        sites: register::sites(db)?,
        contacts: services::contact_persons(db, None)?,
        // Who was told in a turn that is over is told as well that it is over.
        on_call: on_call::list(db, now.plus_seconds(-PAST_TURNS_S), false)?,
    };
    Ok(People::new(sources, &settings.recipient, &settings.channels()))
}

/// What a round finds.
struct Found {
    /// What stood before.
    state: State,
    people: People,
    plan: Plan,
    channels: Vec<Finding>,
    gaps: Vec<Finding>,
}

impl Found {
    fn look(db: &Connection, work: &Work, now: Timestamp) -> Result<Self, DbError> {
        let people = people(db, &work.settings, now)?;
        let state = rows::state(db)?;
        let plan = plan(&state, &rows::alarms(db)?, &work.rules, &people, now);
        let mut channels = deliveries::findings::all(db, now)?;
        channels.extend(nobody(&plan, work));
        let gaps = roster_gaps(db, work, now)?;
        Ok(Self { state, people, plan, channels, gaps })
    }

    /// Whether the alarms that a round raises are other ones than those that stand.
    fn differ(&self, db: &Connection) -> Result<bool, DbError> {
        for (kind, findings) in [(CHANNEL_ALARM, &self.channels), (GAP_ALARM, &self.gaps)] {
            let found: BTreeSet<&str> = findings.iter().map(|one| one.subject.as_str()).collect();
            let stand = alarms::subjects(db, kind)?;
            if found != stand.iter().map(String::as_str).collect() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What nobody can be told of, once there is a channel to tell it by.
fn nobody(plan: &Plan, work: &Work) -> Option<Finding> {
    let untold = plan.nobody.len();
    (untold > 0 && !work.settings.channels().is_empty()).then(|| Finding {
        subject: "nobody".to_owned(),
        pd: None,
        site: None, service: None,
        detail: format!(
            "{untold} alerts reach nobody: enter contact persons with an address (lumbung contact), or somebody on call (lumbung on-call)"
        ),
    })
}

/// Times of the next seven days in which nobody is on call, where a roster is kept.
fn roster_gaps(db: &Connection, work: &Work, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    let roster = on_call::list(db, now.plus_seconds(-KEPT_S), false)?;
    let mut findings = Vec::new();
    for tier in [2, 3] {
        let kept = roster.iter().any(|one| one.tier == tier);
        let asked = work.settings.route.iter().flat_map(|route| &route.steps);
        let asked = asked.flat_map(|step| &step.to).any(|one| *one == Audience::OnCall(tier));
        if !kept && !asked {
            continue;
        }
        if let Some((from, until)) = gaps(&roster, tier, now, now.plus_seconds(AHEAD_S)).first() {
            let detail = format!("nobody of tier {tier} is on call from {from} to {until}");
            let subject = format!("tier {tier}");
            findings.push(Finding { subject, pd: None, site: None, service: None, detail });
        }
    }
    Ok(findings)
}

/// Plans again, writes what follows, and says how many messages there are.
fn carry_out(db: &Connection, work: &Work, now: Timestamp) -> Result<usize, DbError> {
    let found = Found::look(db, work, now)?;
    alarms::reconcile(db, now, CHANNEL_ALARM, "", &found.channels)?;
    alarms::reconcile(db, now, GAP_ALARM, "", &found.gaps)?;
    rows::apply(db, now, &found.plan)?;
    let after = &found.plan.alerts;
    let known = found.state.alerts.values().chain(after).map(|alert| (alert.id, alert)).collect();
    let telling =
        Telling { db, work, now, people: &found.people, plan: &found.plan, alerts: known };
    let mut made = 0;
    for (key, parts) in &found.plan.tell {
        made += usize::from(telling.tell(key, parts)?);
    }
    if let Some((day, keys)) = &found.plan.digest {
        made += telling.digest(*day, keys)?;
    }
    Ok(made)
}

/// Writing messages.
struct Telling<'a> {
    db: &'a Connection,
    work: &'a Work,
    now: Timestamp,
    people: &'a People,
    plan: &'a Plan,
    /// As they are after the plan.
    alerts: BTreeMap<AlertId, &'a Alert>,
}

impl Telling<'_> {
    /// Whether there is a message: whoever has gone since has no address any more, and what has arrived at a shared address
    /// is known there.
    fn tell(&self, key: &RecipientKey, parts: &[Part]) -> Result<bool, DbError> {
        let Some(to) = self.recipient(key) else { return Ok(false) };
        let mut news = Vec::with_capacity(parts.len());
        for part in parts {
            let told = self.plan.elsewhere.get(&(key.clone(), part.alert));
            let known = told
                .zip(to.addresses.first())
                .map(|(since, first)| deliveries::has_arrived(self.db, first, &part.alert, *since));
            if !known.transpose()?.unwrap_or(false) {
                news.push(part.clone());
            }
        }
        if news.is_empty() {
            return Ok(false);
        }
        let parts = &news[..];
        let told: Vec<(&Alert, Cause)> = parts
            .iter()
            .filter_map(|part| Some((*self.alerts.get(&part.alert)?, part.cause)))
            .collect();
        let text = self.with_stories(&told, |stories| self.work.style.message(stories))?;
        let severity = told.iter().map(|(alert, _)| alert.severity).max();
        let new = New {
            cause: DeliveryCause::Alert,
            to: &to,
            severity: severity.unwrap_or(Severity::Notice),
            subject: text.subject,
            body: text.body,
            parts,
            described: text.described,
            occasion: String::new(),
        };
        Ok(deliveries::make(self.db, self.now, &new)?.is_some())
    }

    /// Somebody, with the other addresses of those for whom they read as well.
    fn recipient(&self, key: &RecipientKey) -> Option<Recipient> {
        let mut to = self.people.get(key)?.clone();
        let beside = self.plan.beside.get(key).into_iter().flatten();
        for other in beside.filter_map(|other| self.people.get(other)) {
            for address in &other.addresses {
                if !to.addresses.iter().any(|known| known.is_same(address)) {
                    to.addresses.push(address.clone());
                }
            }
        }
        Some(to)
    }

    fn digest(&self, day: Day, keys: &BTreeSet<RecipientKey>) -> Result<usize, DbError> {
        let lasting = self.alerts.values().filter(|alert| alert.closed.is_none());
        let told: Vec<(&Alert, Cause)> = lasting.map(|alert| (*alert, Cause::First)).collect();
        let counts = rows::counts(self.db, self.now.plus_seconds(-DIGEST_S))?;
        let (style, city) = (&self.work.style, &self.work.city);
        let text =
            self.with_stories(&told, |stories| style.digest(city, self.now, stories, counts))?;
        let mut made = 0;
        for to in keys.iter().filter_map(|key| self.people.get(key)) {
            let new = New {
                cause: DeliveryCause::Digest,
                to,
                severity: Severity::Notice,
                subject: text.subject.clone(),
                body: text.body.clone(),
                parts: &[],
                described: BTreeSet::new(),
                occasion: format!("digest {day}"),
            };
            made += usize::from(deliveries::make(self.db, self.now, &new)?.is_some());
        }
        Ok(made)
    }

    fn with_stories(
        &self,
        told: &[(&Alert, Cause)],
        write: impl FnOnce(&mut [Story<'_>]) -> Text,
    ) -> Result<Text, DbError> {
        let mut subjects: HashMap<AlertId, Vec<AlertSubject>> = HashMap::new();
        for (alert, _) in told {
            subjects.insert(alert.id, rows::subjects(self.db, &alert.id, SUBJECTS_MAX)?);
        }
        let mut stories: Vec<Story<'_>> = told
            .iter()
            .map(|(alert, cause)| Story {
                alert,
                cause: *cause,
                pd: alert.pd.and_then(|pd| self.people.pd_code(&pd)),
                site: alert.site.and_then(|site| self.people.site_name(&site)),
                subjects: subjects.get(&alert.id).map_or(&[][..], Vec::as_slice),
            })
            .collect();
        Ok(write(&mut stories))
    }
}
