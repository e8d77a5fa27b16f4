//! The reconciler that makes the records of what is owed, and the alarms about the inventory and about drills, which follow
//! from the day as well: periodic, signalled, taking no argument but the state.
//!
//! Invariants: a round is one transaction, so that whatever stops it leaves the records as they were; a round that finds
//! nothing new changes nothing; the city's next day begins with a round.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::schedule::Tz;
use lumbung_model::{ApplicationId, Clock, Day, DepositId, PdId, ServiceId, Timestamp};
use lumbung_wire::messages::deposits::{DepositDecision, DepositForce};
use rusqlite::{Connection, Transaction};
use tokio::sync::{Notify, watch};

use super::owed::{Belonging, InForce, Owed, PdSubject, Subjects, owed};
use super::plan::{Plan, plan};
use crate::act::Act;
use crate::assets;
use crate::db::deposits::{self as rows, DepositRow, Status};
use crate::db::{Db, DbError, register, services};
use crate::drills;
use crate::key_inventory;
use crate::profile::{Duty, Force, Profile};

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The longest pause while plans are run by themselves: a schedule names minutes.
const SCHEDULE_PAUSE: Duration = Duration::from_secs(30);
/// Why the controller cancels something: for people of either language.
const LAPSED: &str = "profil atau register tidak lagi memintanya (the profile or the register asks for it no longer)";

/// What the reconciler works on.
pub struct Keeper {
    /// Where the records are kept.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What the city asks for.
    pub profile: Arc<Profile>,
    /// Asks for a round now: the register has changed.
    pub signal: Arc<Notify>,
}

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Records that are new.
    pub made: usize,
    /// Records of what is owed no more.
    pub lapsed: usize,
    /// Records of what is owed again.
    pub revived: usize,
    /// Records that another PD owes now.
    pub handed_over: usize,
}

impl Keeper {
    /// Makes what is owed until told to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            match self.round().await {
                Ok(done) if done != Done::default() => {
                    tracing::info!(?done, "deposits follow profile and register");
                }
                Ok(_) => {}
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, "what is owed could not be written down");
                }
            }
            if let Err(error) = assets::keep(&self.db, self.clock.now(), &self.profile).await {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "what the inventory needs could not be written down");
            }
            let mut longest = LONGEST_PAUSE;
            match drills::start_due(&self.db, self.clock.now(), &self.profile).await {
                Ok(by_themselves) if by_themselves > 0 => longest = SCHEDULE_PAUSE,
                Ok(_) => {}
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, "restore tests that are due could not be started");
                }
            }
            if let Err(error) = drills::keep(&self.db, self.clock.now(), &self.profile).await {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "what drills need could not be written down");
            }
            if let Err(error) = key_inventory::keep(&self.db, self.clock.now(), &self.profile).await
            {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "overdue rehearsals of keys could not be written down");
            }
            let pause = pause(self.clock.now(), self.profile.zone()).min(longest);
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(pause) => {}
                () = self.signal.notified() => {}
            }
        }
    }

    /// One round.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn round(&self) -> Result<Done, DbError> {
        let (now, profile) = (self.clock.now(), self.profile.clone());
        // Most rounds find nothing: they keep nobody from writing.
        let looked = profile.clone();
        let look = move |tx: &Transaction<'_>| Ok(Found::look(tx, now, &looked)?.is_nothing());
        if self.db.read_async::<_, DbError>(look).await? {
            return Ok(Done::default());
        }
        self.db.write_async(move |tx| reconcile(tx, &Act::controller(now), &profile)).await
    }
}

/// How long there is nothing to do: until the city's next day, at most [`LONGEST_PAUSE`].
fn pause(now: Timestamp, zone: Tz) -> Duration {
    let midnight = Day::of(now, zone).plus_days(1).first_second(zone);
    let seconds = midnight.seconds_since(now).max(1);
    Duration::from_secs(seconds.unsigned_abs()).min(LONGEST_PAUSE)
}

/// What a round finds to be done.
struct Found<'a> {
    /// Duties that are new.
    new: Vec<&'a str>,
    /// Duties that the profile no longer has.
    gone: Vec<String>,
    /// What follows for the records.
    plan: Plan<'a>,
}

impl<'a> Found<'a> {
    fn look(db: &Connection, now: Timestamp, profile: &'a Profile) -> Result<Self, DbError> {
        let mut known = rows::duties(db)?;
        let ids = profile.duties.iter().map(|duty| duty.id.as_str());
        let new = ids.filter(|id| known.remove(*id).is_none()).collect();
        let duties = known_duties(db, now, &profile.duties)?;
        let owed = owed(&duties, &subjects(db)?, profile.zone(), now);
        let plan = plan(&rows::known(db)?, owed, now);
        Ok(Self { new, gone: known.into_keys().collect(), plan })
    }

    fn is_nothing(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty() && self.plan.is_empty()
    }
}

/// Makes the records those of what is owed.
///
/// # Errors
/// If the database fails.
pub fn reconcile(db: &Connection, act: &Act, profile: &Profile) -> Result<Done, DbError> {
    let Found { new, gone, plan } = Found::look(db, act.now, profile)?;
    for duty in new {
        rows::begin_duty(db, act.now, duty)?;
    }
    // What comes back later asks for nothing of the time between.
    for duty in gone {
        rows::end_duty(db, &duty)?;
    }
    for one in &plan.make {
        rows::put(db, act, "deposit.make", &new_row(act, profile, one))?;
    }
    for id in &plan.lapse {
        let by = act.actor.name.clone();
        let decision = DepositDecision { at: act.now, by, reason: LAPSED.to_owned() };
        change(db, act, "deposit.lapse", id, |row| {
            (row.status, row.lapsed, row.decision) = (Status::Cancelled, true, Some(decision));
        })?;
    }
    for id in &plan.revive {
        change(db, act, "deposit.revive", id, |row| {
            (row.status, row.lapsed, row.decision) = (Status::Open, false, None);
        })?;
    }
    for (id, pd) in &plan.hand_over {
        change(db, act, "deposit.hand_over", id, |row| row.pd = *pd)?;
    }
    Ok(Done {
        made: plan.make.len(),
        lapsed: plan.lapse.len(),
        revived: plan.revive.len(),
        handed_over: plan.hand_over.len(),
    })
}

/// A PD that is retired owes nothing any more: not what is past its date either, nor what somebody entered. What follows
/// from a duty lapses: it is owed again when the PD is brought back, and by whoever answers for the city now if it is the
/// city's. The rest is cancelled for that reason.
///
/// # Errors
/// If the database fails.
pub fn end_of_pd(db: &Connection, act: &Act, pd: PdId, reason: &str) -> Result<(), DbError> {
    let of_pd = rows::Which { pd: Some(pd), ..rows::Which::default() };
    for row in rows::deposits(db, &of_pd)? {
        if !row.status.is_to_be_delivered() {
            continue;
        }
        let lapsed = row.duty.is_some();
        let (action, reason) =
            if lapsed { ("deposit.lapse", LAPSED) } else { ("deposit.cancel", reason) };
        let (by, reason) = (act.actor.name.clone(), reason.to_owned());
        let decision = Some(DepositDecision { at: act.now, by, reason });
        let ended = DepositRow { status: Status::Cancelled, lapsed, decision, ..row };
        rows::put(db, act, action, &ended)?;
    }
    Ok(())
}

fn change(
    db: &Connection,
    act: &Act,
    action: &str,
    id: &DepositId,
    change: impl FnOnce(&mut DepositRow),
) -> Result<(), DbError> {
    let Some(mut row) = rows::deposit(db, id)? else { return Ok(()) };
    change(&mut row);
    rows::put(db, act, action, &row)
}

/// The duties as this controller knows them; one that is new is known from now on.
///
/// # Errors
/// If the database fails.
pub fn known_duties<'a>(
    db: &Connection,
    now: Timestamp,
    duties: &'a [Duty],
) -> Result<Vec<InForce<'a>>, DbError> {
    let known = rows::duties(db)?;
    let since = |duty: &Duty| known.get(&duty.id).copied().unwrap_or(now);
    Ok(duties.iter().map(|duty| InForce { duty, since: since(duty) }).collect())
}

/// The register, as far as it matters here.
///
/// # Errors
/// If the database fails.
pub fn subjects(db: &Connection) -> Result<Subjects, DbError> {
    let (pds, mandiri) = (rows::entered(db, "pd")?, rows::mandiri_since(db)?);
    let pd = |pd: lumbung_wire::messages::register::Pd| PdSubject {
        id: pd.id,
        entered: pds.get(pd.id.as_bytes()).copied().unwrap_or_default(),
        mandiri_since: mandiri.get(pd.id.as_bytes()).copied().filter(|_| pd.mandiri_tik),
        runs_pusat_data: pd.runs_pusat_data,
    };
    let applications = rows::entered(db, "application")?;
    let application = |one: lumbung_wire::messages::register::Application| Belonging {
        id: one.id,
        pd: one.pd,
        entered: applications.get(ApplicationId::as_bytes(&one.id)).copied().unwrap_or_default(),
    };
    let offered = rows::entered(db, "service")?;
    let service = |one: lumbung_wire::messages::register::Service| Belonging {
        id: one.id,
        pd: one.pd,
        entered: offered.get(ServiceId::as_bytes(&one.id)).copied().unwrap_or_default(),
    };
    Ok(Subjects {
        pds: register::pds(db)?.into_iter().map(pd).collect(),
        applications: services::applications(db, None)?.into_iter().map(application).collect(),
        services: services::services(db, None)?.into_iter().map(service).collect(),
    })
}

/// The record of something that is owed, in the words of the profile as it is now.
fn new_row(act: &Act, profile: &Profile, owed: &Owed<'_>) -> DepositRow {
    let duty = owed.duty;
    DepositRow {
        id: owed.id,
        duty: Some(duty.id.clone()),
        title_id: duty.asks.id.clone(),
        title_en: duty.asks.en.clone(),
        article: cited(profile, duty),
        force: match duty.force {
            Force::Must => DepositForce::Must,
            Force::Shall => DepositForce::Shall,
            Force::May => DepositForce::May,
            Force::Proposal => DepositForce::Proposal,
        },
        date_by: date_by(profile, duty),
        obligations: duty.obligations.clone(),
        pd: owed.pd,
        application: owed.application,
        service: owed.service,
        period: owed.period.map(|period| period.to_string()),
        due: owed.due,
        created: act.now,
        status: Status::Open,
        lapsed: false,
        delivery: None,
        decision: None,
    }
}

/// The duty's article with its regulation: the record outlives the profile. Empty for a proposal.
#[must_use]
pub fn cited(profile: &Profile, duty: &Duty) -> String {
    match (profile.city.regulation.as_str(), duty.article.as_str()) {
        ("", article) => article.to_owned(),
        (_, "") => String::new(),
        (regulation, article) => format!("{regulation}, {article}"),
    }
}

/// What sets the date: an instrument; else the article, if it says how often and the profile sets no day of its own.
fn date_by(profile: &Profile, duty: &Duty) -> String {
    match (duty.instrument.as_str(), duty.interval_by_article, duty.due_months) {
        ("", true, None) => cited(profile, duty),
        (instrument, _, _) => instrument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_round_is_at_midnight_and_within_the_hour() {
        let zone = Tz::Asia__Jakarta;
        let midnight = "2027-01-01".parse::<Day>().unwrap().first_second(zone);
        let before = |seconds: i64| pause(midnight.plus_seconds(-seconds), zone).as_secs();
        assert_eq!([before(10), before(1), before(3600), before(7200)], [10, 1, 3600, 3600]);
        assert_eq!(before(0), 3600, "a day begins, and the next round is for the day after");
    }
}
