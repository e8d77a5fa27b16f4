//! The agent's line to the controller: heartbeats, policies, reports, what is seen of the host, renewal of the certificate.
//!
//! Invariants: nothing here is needed for a backup, and no failure here stops one. A report leaves the
//! spool only after the controller said that it has it. A renewed certificate is written only once it
//! is known to fit its key, to say what the old one says, and to be of a CA that was trusted before.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::schedule::{Period, jitter};
use lumbung_model::{Clock, DatasetId, InstanceId, PolicyHash, Timestamp, TlsPin};
use lumbung_wire::Problem;
use lumbung_wire::certs::{self, CertError};
use lumbung_wire::client::{ClientError, ControllerClient, Timeouts};
use lumbung_wire::messages::policy::{PolicyMark, PolicyOffer, PolicyTold};
use lumbung_wire::messages::{
    HeartbeatRequest, HeartbeatResponse, HostHealth, JobState, RenewRequest, Report, ReportId,
};
use lumbung_wire::tls::{self, ServerTrust, TlsError, TlsIdentity};
use tokio::task::JoinHandle;

use crate::db::{Db, DbError, Memo};
use crate::inventory::{self, Keeper, Told};
use crate::policy::{self, KeptError, Whose};
use crate::state::{Enrolment, StateDir, StateError, TlsFiles};
use crate::succession::{Known, SuccessionRefused};

/// From this difference on, the clocks are worth a warning.
pub const CLOCK_WARN_S: i64 = 2 * 3600;
/// Reports in one request.
const BATCH: u32 = 100;
/// Everything that is kept is told again so often, and whenever the controller was away or is started anew.
const RESEND_ALL_S: i64 = 86_400;
/// After a renewal that failed.
const RENEW_AGAIN_S: i64 = 3600;
/// A file system that has not answered by then is left out of this heartbeat.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    stall: Duration::from_secs(30),
    commit: Duration::from_secs(30),
    slowed: Duration::from_secs(30),
    ask: Duration::from_secs(20),
};

/// Why the controller was not told.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It did not answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent's files.
    #[error(transparent)]
    State(#[from] StateError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// What is kept of policies.
    #[error(transparent)]
    Policy(#[from] KeptError),
    /// It is not the controller that acts.
    #[error(transparent)]
    Succession(#[from] SuccessionRefused),
    /// The thread died.
    #[error("policy {0} could not be judged: look at the log, and report this if it repeats")]
    Thread(u64),
    /// Nowhere to go.
    #[error("no address of a controller is known: enrol again")]
    Nowhere,
    /// The renewed certificate is not ours.
    #[error(
        "the controller renewed the certificate of another agent; the old one stays, tell the Dinas"
    )]
    OtherAgent,
}

/// A line to the controller.
pub struct Link {
    client: ControllerClient,
    /// The key that the client holds the controller to; none: whoever the CA vouches for.
    pin: Option<TlsPin>,
    /// Of the agent's file, or of the enrolment.
    own_url: String,
    known: Known,
    /// Who was refused last, and what it knew: told once.
    refused: Option<(String, u64)>,
    state: StateDir,
    clock: Arc<dyn Clock>,
    /// Spreads the renewals of a city's agents.
    seed: u64,
    hostname: String,
    reachable: Option<bool>,
    renew_not_before: Timestamp,
    health: Option<JoinHandle<HostHealth>>,
    last_health: HostHealth,
    inventory: Keeper,
    clock_warned: bool,
    /// The run of the controller that answered last.
    instance: Option<InstanceId>,
    /// Whether this controller has offered a policy: another one would refuse to be told of any.
    offered: bool,
}

/// What a visit says, and goes by.
pub struct Said {
    /// The jobs.
    pub jobs: Vec<JobState>,
    /// Where to look at file systems.
    pub paths: Vec<PathBuf>,
    /// What is said of policies.
    pub policy: PolicyTold,
    /// The policy that was refused last.
    pub refused: Option<PolicyHash>,
    /// The datasets of the agent's own file.
    pub own: HashSet<DatasetId>,
    /// Whether and how the host is looked at.
    pub inventory: inventory::Settings,
    /// How often the agent's own file was read anew.
    pub reloads: u64,
}

impl Said {
    /// Whether to fetch what the controller offers: all but what is known.
    fn wants(&self, offer: &PolicyOffer) -> bool {
        let mark = PolicyMark { version: offer.version, hash: offer.hash };
        let waits = self.policy.pending == Some(mark) && !offer.confirmed;
        self.policy.follows
            && self.policy.applied != Some(mark)
            && !waits
            && self.refused != Some(offer.hash)
    }
}

/// Whether the controller refused what was said, and would refuse it again.
fn is_about_content(error: &ClientError) -> bool {
    error.problem().is_some_and(|problem| matches!(problem.status, 400 | 404 | 409 | 413 | 422))
}

/// Whether the controller does not know of what it was told: it is of an older version.
fn is_older(error: &ClientError) -> bool {
    error.problem().is_some_and(|problem| problem.status == 405)
}

/// The host part of an `https://` address, as a certificate names it.
fn host_of(url: &str) -> String {
    let authority = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default().to_owned();
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned()
}

/// Whether this is no controller to talk to now, and another one may be.
fn may_be_elsewhere(error: &LinkError) -> bool {
    match error {
        LinkError::Client(error) | LinkError::Succession(SuccessionRefused::Client(error)) => {
            match error {
                ClientError::Refused { problem, .. } => is_not_acting(problem),
                ClientError::Damaged { .. } | ClientError::Address { .. } => false,
                _ => true,
            }
        }
        LinkError::Succession(_) => true,
        _ => false,
    }
}

/// Whether a controller says that another one acts.
fn is_not_acting(problem: &Problem) -> bool {
    problem.slug() == "not-acting"
}

fn connect(
    (url, pin): (&str, Option<TlsPin>),
    enrolment: &Enrolment,
    tls: &TlsFiles,
    clock: Arc<dyn Clock>,
) -> Result<ControllerClient, LinkError> {
    let own = TlsIdentity::from_pem(&tls.certificate_pem, &tls.key)?;
    let trust = match pin {
        Some(pin) => ServerTrust::Pins(vec![pin]),
        None => ServerTrust::Ca { ca_pems: enrolment.ca_pems.clone(), name: host_of(url) },
    };
    let config = tls::client_config(Some(&own), trust, clock)?;
    Ok(ControllerClient::with_timeouts(url, &config, TIMEOUTS)?)
}

/// A client of the controller that acts, as this agent: as far as its daemon knows (see [`crate::succession`]), else of the one of the
/// configuration or of the enrolment.
///
/// # Errors
/// If the agent is not enrolled, or its certificate cannot be used.
pub fn client(
    state: &StateDir,
    url: Option<&str>,
    clock: Arc<dyn Clock>,
) -> Result<ControllerClient, LinkError> {
    let (_, tls, enrolment) = state.enrolled()?;
    let known = Known::open(state)?;
    let url = known.url().or(url).unwrap_or(&enrolment.controller);
    connect((url, known.pin()), &enrolment, &tls, clock)
}

impl Link {
    /// A line to the controller of the configuration, else of the enrolment. Connects when first used.
    ///
    /// # Errors
    /// If the agent is not enrolled, or its certificate cannot be used.
    pub fn open(
        state: &StateDir,
        url: Option<&str>,
        hostname: String,
        seed: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let (_, tls, enrolment) = state.enrolled()?;
        let own_url = url.unwrap_or(&enrolment.controller).to_owned();
        let known = Known::open(state)?;
        let (pin, url) = (known.pin(), known.url().unwrap_or(&own_url));
        Ok(Self {
            client: connect((url, pin), &enrolment, &tls, clock.clone())?,
            pin,
            own_url,
            known,
            refused: None,
            state: state.clone(),
            clock,
            seed,
            hostname,
            reachable: None,
            renew_not_before: Timestamp(i64::MIN),
            health: None,
            last_health: HostHealth::default(),
            inventory: Keeper::new(seed),
            clock_warned: false,
            instance: None,
            offered: false,
        })
    }

    /// Whether this agent has enrolled with another CA since: another line is to be opened.
    #[must_use]
    pub fn is_outlived(&self) -> bool {
        self.known.is_put_aside()
    }

    /// Says that the host is alive, takes a new policy, delivers what waits, renews what is due. Failures are logged once.
    /// Returns whether the policy that is kept has changed.
    pub async fn visit(&mut self, db: &std::sync::Mutex<Db>, said: Said) -> bool {
        let mut changed = false;
        match self.try_visit(db, said, &mut changed).await {
            Ok(()) => {
                if self.reachable == Some(false) {
                    tracing::info!("the controller {} answers again", self.client.server());
                }
                self.reachable = Some(true);
            }
            Err(error) => {
                let text = lumbung_model::with_causes(&error);
                if self.reachable == Some(false) {
                    tracing::debug!("still no controller: {text}");
                } else {
                    tracing::warn!(
                        "the controller could not be told; backups go on, reports wait: {text}"
                    );
                }
                self.reachable = Some(false);
            }
        }
        changed
    }

    async fn try_visit(
        &mut self,
        db: &std::sync::Mutex<Db>,
        mut said: Said,
        changed: &mut bool,
    ) -> Result<(), LinkError> {
        let health = self.health(std::mem::take(&mut said.paths)).await;
        let now = self.clock.now();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let jobs = std::mem::take(&mut said.jobs);
        let beat = HeartbeatRequest { now, version, health, jobs, policy: None };
        let answer = self.beat(beat, &said.policy).await?;
        self.offered |= answer.policy.is_some();
        let now = self.clock.now();
        let ahead = self.client.clock_skew_s().unwrap_or_else(|| answer.now.seconds_since(now));
        self.judge_clock(ahead);
        let resend = {
            let db = crate::daemon::locked(db);
            db.set_memo(Memo::ControllerSeen, now.0)?;
            db.set_memo(Memo::ClockAhead, ahead)?;
            db.memo(Memo::ResentAll)?.is_none_or(|last| (now.0 - last).abs() >= RESEND_ALL_S)
        };
        // A controller that was started anew may work on an older copy of its database.
        let resend = resend || self.reachable != Some(true) || self.instance != answer.instance;
        self.note_sites(&answer.sites)?;
        if let Some(offer) = answer.policy.filter(|offer| said.wants(offer)) {
            match self.take_policy(db, said.own, &offer).await {
                Ok(taken) => *changed = taken,
                // A policy that cannot be had must not hold up reports and certificate.
                Err(error) => tracing::warn!(
                    "policy {} could not be taken: {}",
                    offer.version,
                    lumbung_model::with_causes(&error)
                ),
            }
        }
        // A report that is refused must not hold up the certificate, nor the other way round.
        let delivered = self.deliver(db, resend).await;
        if self.instance.is_some() && self.instance != answer.instance {
            self.inventory.tell_again(now);
        }
        if delivered.is_ok() {
            self.instance = answer.instance;
        }
        let told = self.tell_inventory(db, (&said.inventory, said.reloads)).await;
        self.renew_if_due().await?;
        delivered.and(told)
    }

    /// A heartbeat at the controller that acts, wherever it is found.
    async fn beat(
        &mut self,
        mut beat: HeartbeatRequest,
        told: &PolicyTold,
    ) -> Result<HeartbeatResponse, LinkError> {
        let last = (self.reachable == Some(true)).then(|| self.client.server().to_owned());
        let mut first = None;
        for url in self.known.places(last.as_deref(), &self.own_url) {
            match self.beat_at(&url, &mut beat, told).await {
                Ok(answer) => {
                    self.learn(answer.epoch).await;
                    return Ok(answer);
                }
                Err(error) if may_be_elsewhere(&error) => {
                    self.tell_refused(&error);
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or(LinkError::Nowhere))
    }

    async fn beat_at(
        &mut self,
        url: &str,
        beat: &mut HeartbeatRequest,
        told: &PolicyTold,
    ) -> Result<HeartbeatResponse, LinkError> {
        self.go_to(url)?;
        beat.policy = self.offered.then(|| told.clone());
        let refused = match self.client.heartbeat(beat).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_another = matches!(refused, ClientError::Pin { .. })
            || refused.problem().is_some_and(is_not_acting);
        if !is_another || !self.consult(url).await? {
            return Err(refused.into());
        }
        // It knew more than this agent: whom it names is the one to tell.
        let acts = self.known.url().unwrap_or(url).to_owned();
        self.go_to(&acts)?;
        beat.policy = self.offered.then(|| told.clone());
        Ok(self.client.heartbeat(beat).await?)
    }

    /// Makes the client one for that place, and for the key of the controller that acts.
    fn go_to(&mut self, url: &str) -> Result<(), LinkError> {
        let pin = self.known.pin();
        if self.client.server() == url.trim_end_matches('/') && self.pin == pin {
            return Ok(());
        }
        let (_, tls, enrolment) = self.state.enrolled()?;
        self.client = connect((url, pin), &enrolment, &tls, self.clock.clone())?;
        // What this one has offered, it will say.
        (self.pin, self.offered) = (pin, false);
        Ok(())
    }

    /// Asks whoever answers there, under the CA, who acts; whether that is news.
    async fn consult(&mut self, url: &str) -> Result<bool, LinkError> {
        let (_, tls, enrolment) = self.state.enrolled()?;
        let client = connect((url, None), &enrolment, &tls, self.clock.clone())?;
        Ok(self.known.consult(&client, &enrolment.ca_pems).await?)
    }

    /// Learns a newer statement of the controller that acts: other officers, another standby, the first one of all.
    async fn learn(&mut self, epoch: Option<u64>) {
        if epoch <= self.known.epoch() {
            return;
        }
        let url = self.client.server().to_owned();
        if let Err(error) = self.consult(&url).await {
            tracing::warn!(
                "the newest statement of who acts as the controller could not be had: {}",
                lumbung_model::with_causes(&error)
            );
        }
    }

    fn tell_refused(&mut self, error: &LinkError) {
        let LinkError::Succession(SuccessionRefused::Superseded { url, epoch, .. }) = error else {
            return;
        };
        let refused = Some((url.clone(), *epoch));
        if self.refused != refused {
            tracing::warn!("{}", lumbung_model::with_causes(error));
            self.refused = refused;
        }
    }

    /// Tells what is seen of the host, if there is something to tell.
    async fn tell_inventory(
        &mut self,
        db: &std::sync::Mutex<Db>,
        (settings, reloads): (&inventory::Settings, u64),
    ) -> Result<(), LinkError> {
        let now = self.clock.now();
        let Some(seen) = self.inventory.visit(settings, reloads, now).await else {
            return Ok(());
        };
        match self.client.inventory(seen).await {
            Ok(_) => self.inventory.told(Told::Settled, now),
            Err(error) if is_about_content(&error) || is_older(&error) => {
                tracing::warn!(
                    "the controller does not take what is seen of this host, and is not told again before tomorrow: {}",
                    lumbung_model::with_causes(&error)
                );
                self.inventory.told(Told::Settled, now);
                return Ok(());
            }
            Err(error) => {
                self.inventory.told(Told::Later, now);
                // Something changed twice in a moment: the next visit tells it.
                let too_soon = error.problem().is_some_and(|problem| problem.status == 429);
                return if too_soon { Ok(()) } else { Err(error.into()) };
            }
        }
        let refused = i64::try_from(self.inventory.refused_disks()).unwrap_or(i64::MAX);
        let db = crate::daemon::locked(db);
        db.set_memo(Memo::InventoryTold, now.0)?;
        db.set_memo(Memo::RefusedDisks, refused)?;
        Ok(())
    }

    /// Fetches the policy that is offered and judges it; whether that changes anything.
    async fn take_policy(
        &self,
        db: &std::sync::Mutex<Db>,
        own: HashSet<DatasetId>,
        offer: &PolicyOffer,
    ) -> Result<bool, LinkError> {
        let delivery = self.client.policy().await?;
        let (identity, _, enrolment) = self.state.enrolled()?;
        let whose = Whose { agent: identity.agent, server: enrolment.server };
        let (state, now) = (self.state.clone(), self.clock.now());
        let of = (whose, identity.repository);
        // Long schedules take their time, and a hostile controller could choose the longest.
        let judging =
            tokio::task::spawn_blocking(move || policy::receive(&state, of, &delivery, &own, now));
        let received = judging.await.map_err(|_| LinkError::Thread(offer.version))??;
        let db = crate::daemon::locked(db);
        for alarm in &received.alarms {
            db.push_report(alarm)?;
        }
        Ok(received.changed)
    }

    fn judge_clock(&mut self, ahead: i64) {
        let off = ahead.abs() > CLOCK_WARN_S;
        if off && !self.clock_warned {
            let direction = if ahead > 0 { "behind" } else { "ahead of" };
            tracing::warn!(
                "this host's clock is {} min {direction} the controller's: set it (timedatectl); backups go on",
                ahead.abs() / 60
            );
        }
        self.clock_warned = off;
    }

    /// How the host is; a file system that does not answer leaves the figures of last time.
    async fn health(&mut self, paths: Vec<PathBuf>) -> HostHealth {
        let hostname = self.hostname.clone();
        let asking = self.health.get_or_insert_with(|| {
            tokio::task::spawn_blocking(move || crate::health::collect(&hostname, &paths))
        });
        if let Ok(done) = tokio::time::timeout(HEALTH_PATIENCE, asking).await {
            self.health = None;
            if let Ok(health) = done {
                self.last_health = health;
            }
        }
        self.last_health.hostname.clone_from(&self.hostname);
        self.last_health.clone()
    }

    /// Remembers the sites of the register where they have changed.
    fn note_sites(&self, sites: &[lumbung_wire::messages::SiteEntry]) -> Result<(), LinkError> {
        let Some(mut enrolment) = self.state.enrolment()? else { return Ok(()) };
        if !sites.is_empty() && enrolment.sites != sites {
            tracing::info!("the register has {} sites now", sites.len());
            enrolment.sites = sites.to_vec();
            self.state.write_enrolment(&enrolment)?;
        }
        Ok(())
    }

    /// Delivers reports; with `all`, those too that were acknowledged before (its copy may be older).
    async fn deliver(&self, db: &std::sync::Mutex<Db>, all: bool) -> Result<(), LinkError> {
        let (mut after, mut sent) = (0, false);
        loop {
            let page = crate::daemon::locked(db).reports(after, all, BATCH)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            sent = true;
            let reports: Vec<Report> = page.into_iter().map(|(_, report)| report).collect();
            let taken = self.send(&reports).await?;
            crate::daemon::locked(db).acknowledge(&taken, self.clock.now())?;
        }
        let db = crate::daemon::locked(db);
        let now = self.clock.now();
        if sent {
            db.set_memo(Memo::ControllerSeen, now.0)?;
        }
        if all {
            db.set_memo(Memo::ResentAll, now.0)?;
        }
        db.prune(now)?;
        Ok(())
    }

    /// Sends reports; where the controller refuses them together, one by one, so that one which it will
    /// never take does not hold up the others.
    async fn send(&self, reports: &[Report]) -> Result<Vec<ReportId>, LinkError> {
        match self.client.reports(reports).await {
            Ok(answer) => return Ok(answer.acknowledged),
            Err(error) if is_about_content(&error) && reports.len() > 1 => {}
            Err(error) => return Err(error.into()),
        }
        let mut taken = Vec::new();
        for report in reports {
            match self.client.reports(std::slice::from_ref(report)).await {
                Ok(answer) => taken.extend(answer.acknowledged),
                Err(error) if is_about_content(&error) => {
                    tracing::warn!(
                        "report {} waits: {}",
                        report.id,
                        lumbung_model::with_causes(&error)
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }

    /// Delivers what waits, once.
    ///
    /// # Errors
    /// If the controller does not take it.
    pub async fn deliver_waiting(&self, db: &std::sync::Mutex<Db>) -> Result<(), LinkError> {
        self.deliver(db, false).await
    }

    async fn renew_if_due(&mut self) -> Result<(), LinkError> {
        let now = self.clock.now();
        let (_, tls, mut enrolment) = self.state.enrolled()?;
        let facts = certs::facts(&tls.certificate_pem)?;
        if now < renew_from(facts.not_after, self.seed) || now < self.renew_not_before {
            return Ok(());
        }
        self.renew_not_before = now.plus_seconds(RENEW_AGAIN_S);
        let key = certs::generate_key()?;
        let request = RenewRequest { csr_pem: certs::csr(&key, &self.hostname)? };
        let answer = self.client.renew(&request).await?;
        if certs::facts(&answer.certificate_pem)?.names != facts.names {
            return Err(LinkError::OtherAgent);
        }
        certs::check_renewed(&answer.certificate_pem, &answer.ca_pems, &enrolment.ca_pems)?;
        let files = TlsFiles { certificate_pem: answer.certificate_pem, key };
        enrolment.ca_pems = answer.ca_pems;
        // Fails where certificate, key and CAs do not fit, before the old ones are given up.
        let place = (self.client.server(), self.pin);
        self.client = connect(place, &enrolment, &files, self.clock.clone())?;
        self.state.write_tls(&files)?;
        self.state.write_enrolment(&enrolment)?;
        tracing::info!("the certificate was renewed");
        Ok(())
    }
}

/// From when a certificate is renewed: its ninetieth day, and up to a day more, so that a city's
/// agents do not come at once.
#[must_use]
pub fn renew_from(not_after: Timestamp, seed: u64) -> Timestamp {
    let spread = jitter(seed, not_after, Period::seconds(86_400));
    not_after.plus_seconds(-certs::RENEW_BEFORE_S + i64::from(spread.as_seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_from_addresses() {
        for (url, host) in [
            ("https://lumbung.example.go.id:7443", "lumbung.example.go.id"),
            ("https://127.0.0.1:7443", "127.0.0.1"),
            ("https://[::1]:7443", "::1"),
            ("https://controller", "controller"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }

    #[test]
    fn certificates_renew_from_day_ninety() {
        let day = 86_400;
        let not_after = Timestamp(397 * day);
        for seed in 0..50 {
            let from = renew_from(not_after, seed);
            assert!(from >= Timestamp(90 * day) && from <= Timestamp(91 * day), "{from}");
        }
    }
}
