//! The controller's figures for Prometheus: the city as the compliance table and the overview show it, and the controller
//! itself.
//!
//! Invariants: what is weighed is weighed by [`report::table`], from one consistent state, so that dashboard and table
//! never disagree; figures are by PD, site, step and state, never by dataset or server, and by service only up to a bound:
//! their number does not grow with what is backed up.

mod capacity;
mod kept;
mod uptime;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use lumbung_model::{Clock, PdId, ServerId, Timestamp};
use lumbung_wire::certs;
use lumbung_wire::messages::alerts::{ChannelKind, DeliveryState};
use lumbung_wire::messages::capacity::CapacityEntry;
use lumbung_wire::messages::register::{ComplianceRow, HeartbeatState, StepState};
use lumbung_wire::metrics::{CERTIFICATE_EXPIRY, Figures, Metric, MetricsError};
use rusqlite::Connection;

use self::kept::Kept;
use self::uptime::Month;
use crate::db::deliveries::totals;
use crate::db::{Db, DbError, agents, beside, facts, figures as rows, polls, register};
use crate::liveness::Patience;
use crate::profile::Profile;
use crate::report::{self, Language, Terms};
use crate::state_dir::{StateDir, StateError};
use crate::succession;
use crate::succession::standbys::{Fresh, standbys};
use crate::uptime::Rules;

const DATASETS: Metric =
    Metric::gauge("lumbung_pd_datasets", &["pd"], "Datasets of the PD in the register.");
const BYTES: Metric = Metric::gauge(
    "lumbung_pd_stored_bytes",
    &["pd"],
    "Stored bytes of the newest snapshots of the PD's datasets.",
);
const STEP_DATASETS: Metric = Metric::gauge(
    "lumbung_pd_step_datasets",
    &["pd", "step", "state"],
    "Datasets of the PD by step of proof (backed_up, at_drc, verified, proven) and state (met, late, missing, unknown).",
);
const STEP_BYTES: Metric = Metric::gauge(
    "lumbung_pd_step_bytes",
    &["pd", "step", "state"],
    "Stored bytes of those datasets.",
);
const WITHOUT_BACKUP: Metric = Metric::gauge(
    "lumbung_pd_without_backup",
    &["pd"],
    "1 if nothing of the PD was ever backed up (belum mencadangkan), else 0.",
);
const AGENTS: Metric = Metric::gauge(
    "lumbung_pd_agents",
    &["pd", "state"],
    "Agents of the PD by state: up, late, down, never.",
);
const POLL_SUCCESS: Metric = Metric::gauge(
    "lumbung_site_poll_success_timestamp_seconds",
    &["site", "name"],
    "When the site's vault last answered all that it was asked; 0 if it never did. Enrolled sites only.",
);
const INVENTORY_NEWEST: Metric = Metric::gauge(
    "lumbung_site_inventory_newest_timestamp_seconds",
    &["site", "name"],
    "When the site signed its newest inventory of any repository.",
);
const INVENTORY_OLDEST: Metric = Metric::gauge(
    "lumbung_site_inventory_oldest_timestamp_seconds",
    &["site", "name"],
    "Of the newest inventory of each repository at the site, when the oldest was signed.",
);
const ALARMS: Metric =
    Metric::gauge("lumbung_alarms", &["kind"], "Alarms at the controller that last, by kind.");
const MESSAGES_WAITING: Metric = Metric::gauge(
    "lumbung_alert_messages_waiting",
    &["channel"],
    "Messages of alerts that the channel (mail, telegram, webhook) has not taken yet, those under way included.",
);
const MESSAGES_OLDEST: Metric = Metric::gauge(
    "lumbung_alert_messages_oldest_waiting_seconds",
    &["channel"],
    "For how long the first of those waits; 0 if none does.",
);
const MESSAGES: Metric = Metric::counter(
    "lumbung_alert_messages_total",
    &["channel", "state"],
    "Messages of alerts that have come to their end, by how: sent, failed, superseded (a newer one told the same).",
);
const MESSAGES_UNKNOWN: Metric = Metric::counter(
    "lumbung_alert_messages_unknown_total",
    &["channel"],
    "Messages of alerts to which an answer stayed away once: they may have arrived twice.",
);
const UNREGISTERED_DATASETS: Metric = Metric::gauge(
    "lumbung_unregistered_datasets",
    &[],
    "Dataset ids that agents or snapshots name and the register does not know; at most 1,000 are kept.",
);
const UNREGISTERED_REPOSITORIES: Metric = Metric::gauge(
    "lumbung_unregistered_repositories",
    &[],
    "Repositories at sites that no PD is known for; at most 1,000 are kept.",
);
const HEARTBEATS: Metric = Metric::counter(
    "lumbung_controller_heartbeats_total",
    &[],
    "Heartbeats taken since the start.",
);
const REPORTS: Metric = Metric::counter(
    "lumbung_controller_reports_total",
    &[],
    "Reports of agents that were ever kept.",
);
const REQUESTS: Metric = Metric::counter(
    "lumbung_controller_requests_total",
    &["code"],
    "Requests to the API since the start, by HTTP status.",
);
const STANDBY_COPIED: Metric = Metric::gauge(
    "lumbung_standby_copied_timestamp_seconds",
    &["standby"],
    "Of when the standby's copy of the controller is, as it said last; 0 if it never did. Standbys of the newest statement only.",
);
const DATABASE: Metric =
    Metric::gauge("lumbung_controller_database_bytes", &[], "Bytes of the database with its log.");

/// All of them, in the order of the page.
const ALL: [Metric; 32] = [
    DATASETS,
    BYTES,
    STEP_DATASETS,
    STEP_BYTES,
    WITHOUT_BACKUP,
    AGENTS,
    POLL_SUCCESS,
    INVENTORY_NEWEST,
    INVENTORY_OLDEST,
    uptime::CHECKS,
    uptime::OBSERVED,
    uptime::SERVICE_STATE,
    uptime::SERVICE_AVAILABILITY,
    uptime::SERVICE_SLA,
    uptime::PD_AVAILABILITY,
    uptime::LEFT_OUT,
    capacity::USED,
    capacity::LIMIT,
    capacity::FULL,
    ALARMS,
    MESSAGES_WAITING,
    MESSAGES_OLDEST,
    MESSAGES,
    MESSAGES_UNKNOWN,
    UNREGISTERED_DATASETS,
    UNREGISTERED_REPOSITORIES,
    HEARTBEATS,
    REPORTS,
    REQUESTS,
    STANDBY_COPIED,
    DATABASE,
    CERTIFICATE_EXPIRY,
];

/// How long what the month comes to is kept, s.
const MONTH_S: i64 = 300;
/// How long forecasts are kept, s: they change by the day.
const FORECAST_S: i64 = 3600;

const HEARTBEAT_PATH: &str = "/api/v1/heartbeat";

/// What the controller counts while it runs.
#[derive(Debug, Default)]
pub struct Counts {
    requests: Mutex<BTreeMap<u16, u64>>,
    heartbeats: AtomicU64,
}

impl Counts {
    fn note(&self, path_is_heartbeat: bool, status: http::StatusCode) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(status.as_u16()).or_default() += 1;
        if path_is_heartbeat && status.is_success() {
            self.heartbeats.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The router, counting what it answers.
pub fn counted(router: Router, counts: Arc<Counts>) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let counts = Arc::clone(&counts);
        async move {
            let heartbeat = request.uri().path() == HEARTBEAT_PATH;
            let response = next.run(request).await;
            counts.note(heartbeat, response.status());
            response
        }
    }))
}

/// Where the controller's figures come from.
pub struct Source {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What the city asks for.
    pub profile: Arc<Profile>,
    /// When silence means something.
    pub patience: Patience,
    /// Certificates, and the database's file.
    pub state: StateDir,
    /// What is counted while the controller runs.
    pub counts: Arc<Counts>,
    /// What was reckoned lately.
    pub lately: Lately,
}

/// What is dear to reckon, as it was reckoned lately.
#[derive(Debug)]
pub struct Lately {
    month: Kept<Month>,
    capacity: Kept<Vec<CapacityEntry>>,
}

impl Default for Lately {
    fn default() -> Self {
        Self { month: Kept::new(MONTH_S), capacity: Kept::new(FORECAST_S) }
    }
}

impl Source {
    /// Gathers them. Blocks: as long as the compliance table of the city takes.
    ///
    /// # Errors
    /// If the database fails, or a certificate cannot be read.
    pub fn gather(&self) -> Result<Figures, MetricsError> {
        let mut figures = Figures::new(&ALL);
        let terms = Terms {
            profile: self.profile.clone(),
            patience: self.patience,
            now: self.clock.now(),
            language: Language::default(),
        };
        self.db
            .read::<_, DbError>(|tx| {
                compliance(&mut figures, &report::table(tx, &terms, None)?.rows);
                liveness(&mut figures, tx, &terms)?;
                sites(&mut figures, tx)?;
                messages(&mut figures, tx, terms.now)?;
                self.uptime(&mut figures, tx, terms.now)?;
                self.capacity(&mut figures, tx, terms.now)?;
                counts(&mut figures, tx)
            })
            .map_err(MetricsError::gathering)?;
        self.program(&mut figures).map_err(MetricsError::gathering)?;
        Ok(figures)
    }

    fn uptime(
        &self,
        figures: &mut Figures,
        db: &Connection,
        now: Timestamp,
    ) -> Result<(), DbError> {
        let rules = Rules { zone: self.profile.zone(), heartbeat_s: self.patience.interval_s };
        let read = || Month::read(db, (&self.profile, rules), now);
        let month = self.lately.month.at(now, read)?;
        uptime::show(figures, db, rules, (now, &month))
    }

    fn capacity(
        &self,
        figures: &mut Figures,
        db: &Connection,
        now: Timestamp,
    ) -> Result<(), DbError> {
        let report = || Ok(crate::capacity::report(db, &self.profile, now)?.entries);
        let entries = self.lately.capacity.at::<DbError>(now, report)?;
        let zone = self.profile.zone();
        capacity::show(figures, &entries, (self.profile.today(now), zone));
        Ok(())
    }

    fn program(&self, figures: &mut Figures) -> Result<(), StateError> {
        figures.count(&HEARTBEATS, &[], self.counts.heartbeats.load(Ordering::Relaxed));
        for (code, requests) in
            &*self.counts.requests.lock().unwrap_or_else(PoisonError::into_inner)
        {
            figures.count(&REQUESTS, &[&code.to_string()], *requests);
        }
        figures.count(&DATABASE, &[], database_bytes(&self.state.database()));
        for (name, pem) in self.state.certificates()? {
            let until = certs::facts(&pem)?.not_after;
            figures.time(&CERTIFICATE_EXPIRY, &[name], Some(until));
        }
        Ok(())
    }
}

const STEPS: [&str; 4] = ["backed_up", "at_drc", "verified", "proven"];
const STATES: [(StepState, &str); 4] = [
    (StepState::Met, "met"),
    (StepState::Late, "late"),
    (StepState::Missing, "missing"),
    (StepState::Unknown, "unknown"),
];

/// Datasets and their stored bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    datasets: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, row: &ComplianceRow) {
        self.datasets += 1;
        self.bytes = self.bytes.saturating_add(row.stored_bytes);
    }
}

/// The rows of one PD: added up before they become figures, since there may be very many.
#[derive(Debug, Default)]
struct OfPd {
    all: Sum,
    /// By step and state, in the order of [`STEPS`] and [`STATES`].
    steps: [[Sum; 4]; 4],
    backed_up: bool,
}

impl OfPd {
    fn take(&mut self, row: &ComplianceRow) {
        self.backed_up |= !row.belum_mencadangkan;
        if row.dataset.is_none() {
            return;
        }
        self.all.add(row);
        let found = [&row.backed_up, &row.at_drc, &row.verified, &row.proven];
        for (sums, step) in self.steps.iter_mut().zip(found) {
            let states = sums.iter_mut().zip(STATES);
            states.filter(|(_, (state, _))| *state == step.state).for_each(|(sum, _)| sum.add(row));
        }
    }

    fn show(&self, figures: &mut Figures, pd: &str) {
        figures.count(&DATASETS, &[pd], self.all.datasets);
        figures.count(&BYTES, &[pd], self.all.bytes);
        figures.flag(&WITHOUT_BACKUP, &[pd], !self.backed_up);
        for (sums, step) in self.steps.iter().zip(STEPS) {
            for (sum, (_, state)) in sums.iter().zip(STATES) {
                figures.count(&STEP_DATASETS, &[pd, step, state], sum.datasets);
                figures.count(&STEP_BYTES, &[pd, step, state], sum.bytes);
            }
        }
    }
}

fn compliance(figures: &mut Figures, rows: &[ComplianceRow]) {
    let mut pds: BTreeMap<&str, OfPd> = BTreeMap::new();
    for row in rows {
        pds.entry(&row.pd_code).or_default().take(row);
    }
    pds.iter().for_each(|(code, pd)| pd.show(figures, code));
}

fn liveness(figures: &mut Figures, db: &Connection, terms: &Terms) -> Result<(), DbError> {
    let codes: HashMap<PdId, String> =
        register::pds(db)?.into_iter().map(|pd| (pd.id, pd.code)).collect();
    let servers: HashMap<ServerId, PdId> =
        register::servers(db, None)?.into_iter().map(|server| (server.id, server.pd)).collect();
    for code in codes.values() {
        for state in ["up", "late", "down", "never"] {
            figures.add(&AGENTS, &[code, state], 0.0);
        }
    }
    for (server, seen) in agents::seen(db)? {
        let state = match terms.patience.state(seen, terms.now) {
            HeartbeatState::Up => "up",
            HeartbeatState::Late => "late",
            HeartbeatState::Down => "down",
            HeartbeatState::Never => "never",
        };
        if let Some(code) = servers.get(&server).and_then(|pd| codes.get(pd)) {
            figures.add(&AGENTS, &[code, state], 1.0);
        }
    }
    Ok(())
}

fn sites(figures: &mut Figures, db: &Connection) -> Result<(), DbError> {
    let repositories = register::repositories(db)?;
    for site in register::sites(db)? {
        if site.receipt_key.is_none() || site.url.is_none() || site.tls_pin.is_none() {
            continue;
        }
        let id = site.id.to_string();
        let labels = [id.as_str(), site.name.as_str()];
        let succeeded = polls::poll(db, &site.id)?.and_then(|poll| poll.succeeded);
        figures.time(&POLL_SUCCESS, &labels, Some(succeeded.unwrap_or(Timestamp(0))));
        let mut made = Vec::new();
        for (repository, _) in &repositories {
            let newest = facts::newest_inventory(db, &site.id, repository)?;
            made.extend(newest.map(|(_, inventory)| inventory.made));
        }
        figures.time(&INVENTORY_NEWEST, &labels, made.iter().copied().max());
        figures.time(&INVENTORY_OLDEST, &labels, made.iter().copied().min());
    }
    Ok(())
}

/// The outbox. Every channel has its figures, set up or not: what appears from nowhere has no rate.
fn messages(figures: &mut Figures, db: &Connection, now: Timestamp) -> Result<(), DbError> {
    for channel in ChannelKind::ALL {
        let name = channel.as_str();
        let waiting = totals::waiting(db, *channel)?;
        let oldest_s = waiting.since.map_or(0, |since| now.seconds_since(since).max(0));
        figures.count(&MESSAGES_WAITING, &[name], waiting.messages);
        figures.count(&MESSAGES_OLDEST, &[name], oldest_s.unsigned_abs());
        let ended = totals::ended(db, *channel)?;
        for state in [DeliveryState::Sent, DeliveryState::Failed, DeliveryState::Superseded] {
            let count = ended.states.get(&state).copied().unwrap_or_default();
            figures.count(&MESSAGES, &[name, state.as_str()], count);
        }
        figures.count(&MESSAGES_UNKNOWN, &[name], ended.unknown);
    }
    Ok(())
}

fn counts(figures: &mut Figures, db: &Connection) -> Result<(), DbError> {
    for (kind, open) in rows::open_alarms(db)? {
        figures.count(&ALARMS, &[&kind], open);
    }
    for Fresh { seat, copied } in standbys(db, succession::chain(db)?.as_ref())? {
        figures.time(&STANDBY_COPIED, &[&seat.url], Some(copied.unwrap_or(Timestamp(0))));
    }
    figures.count(&REPORTS, &[], rows::reports(db)?);
    figures.count(&UNREGISTERED_DATASETS, &[], agents::unregistered(db)?.len() as u64);
    figures.count(&UNREGISTERED_REPOSITORIES, &[], polls::unregistered(db)?.len() as u64);
    Ok(())
}

/// The file and its log; what is not there has no bytes.
fn database_bytes(database: &Path) -> u64 {
    let length =
        |ending: &str| std::fs::metadata(beside(database, ending)).map_or(0, |file| file.len());
    length("") + length("-wal")
}

#[cfg(test)]
mod tests;
