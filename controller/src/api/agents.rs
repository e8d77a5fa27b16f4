//! What agents and sites call: enrolment, renewal, heartbeats, reports.
//!
//! Invariants: an agent speaks for the agent that its certificate names, and for no other; what it says
//! is kept as its word: heartbeats on the board (`crate::heartbeats`), reports durably before they are acknowledged. The
//! answer to a heartbeat carries facts (time, sites, which policy is the newest), never an order.

use std::net::IpAddr;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::Method;
use lumbung_model::{AgentId, PdId, Timestamp};
use lumbung_wire::messages::overview::{CaInfo, ControllerHealth};
use lumbung_wire::messages::policy::{PolicyOffer, PolicyTold};
use lumbung_wire::messages::{
    EnrollRequest, EnrollResponse, HeartbeatRequest, HeartbeatResponse, JobState, RenewRequest,
    RenewResponse, Report, ReportId, ReportsAck,
};
use lumbung_wire::server::{RemoteAddr, read_json};
use lumbung_wire::{Peer, PeerIdentity, Problem, Role};

use super::access::Access;
use super::problems::Refused;
use super::route::{Routes, route};
use super::{AppState, BODY_MAX_BYTES};
use crate::act::Act;
use crate::anomalies;
use crate::db::{DbError, agents as rows, heartbeats, policies, register};
use crate::enroll::{self, EnrollError};
use crate::heartbeats::Said;
use crate::people::access::Scope;
use crate::tokens;

pub(super) fn routes() -> Routes {
    use Access::{Agent, Anyone, Holder};
    vec![
        (
            route(
                Method::GET,
                "/api/v1/health",
                Anyone,
                "Whether the controller answers",
                (None, "ControllerHealth"),
            ),
            get(health),
        ),
        (
            route(
                Method::GET,
                "/api/v1/ca",
                Anyone,
                "The CA and its fingerprint",
                (None, "CaInfo"),
            ),
            get(ca),
        ),
        (
            route(
                Method::POST,
                "/api/v1/enroll",
                Anyone,
                "Enrol an agent or a site with a one-time token",
                (Some("EnrollRequest"), "EnrollResponse"),
            ),
            post(enroll),
        ),
        (
            route(
                Method::POST,
                "/api/v1/renew",
                Holder,
                "A new certificate for the same identity",
                (Some("RenewRequest"), "RenewResponse"),
            ),
            post(renew),
        ),
        (
            route(
                Method::POST,
                "/api/v1/heartbeat",
                Agent,
                "A sign of life with the host's health",
                (Some("HeartbeatRequest"), "HeartbeatResponse"),
            ),
            post(heartbeat),
        ),
        (
            route(
                Method::POST,
                "/api/v1/reports",
                Agent,
                "Reports of runs; acknowledged once durable, idempotent by id",
                (Some("[Report]"), "ReportsAck"),
            ),
            post(reports),
        ),
    ]
}

/// Jobs in one heartbeat.
const JOBS_MAX: usize = 1000;
/// Disks in one heartbeat.
const DISKS_MAX: usize = 1000;
/// Reports at once.
const REPORTS_MAX: usize = 1000;
/// Reports in one transaction: each is judged by its dataset's history, and others wait to write meanwhile.
const REPORTS_AT_ONCE: usize = 20;
/// Longest text that an agent tells.
const TEXT_MAX_CHARS: usize = 4000;

pub(super) async fn health(State(app): State<AppState>) -> Json<ControllerHealth> {
    Json(app.health(app.clock.now()))
}

pub(super) async fn ca(State(app): State<AppState>) -> Json<CaInfo> {
    Json(CaInfo {
        fingerprint: app.authority.fingerprint().to_owned(),
        ca_pems: vec![app.authority.certificate_pem().to_owned()],
    })
}

pub(super) async fn enroll(
    State(app): State<AppState>,
    remote: Option<axum::Extension<RemoteAddr>>,
    body: Body,
) -> Result<Json<EnrollResponse>, Refused> {
    let request: EnrollRequest = read_json(body, 64 << 10).await?;
    let (now, from) = (app.clock.now(), remote.map(|remote| remote.0.0.ip()));
    let shared = app.clone();
    let role = request.role;
    let token = tokens::hash(&request.token);
    let enrolled = app
        .db
        .write_async(move |tx| enroll::enroll(tx, (now, from), &shared.authority, &request))
        .await;
    let mut response = match enrolled {
        Ok(response) => response,
        Err(error) => {
            note_refusal(&app, (now, from), token, (role, &error)).await?;
            return Err(error.into());
        }
    };
    let server = response.server.map(tracing::field::display);
    let site = response.site.map(tracing::field::display);
    tracing::info!(%role, server, site, "enrolled");
    app.poll.notify_one();
    app.policies.notify_one();
    response.policy_key = response.server.is_some().then(|| app.policy_key.public());
    Ok(Json(response))
}

/// A refused enrolment, in the log and in the audit log.
async fn note_refusal(
    app: &AppState,
    (now, from): (Timestamp, Option<IpAddr>),
    token: [u8; 32],
    (role, error): (Role, &EnrollError),
) -> Result<(), DbError> {
    tracing::warn!(%role, %error, "enrolment refused");
    if matches!(error, EnrollError::Db(_)) {
        return Ok(());
    }
    let (shared, why) = (app.clone(), error.to_string());
    let act = Act::stranger(now, from);
    app.db.write_async(move |tx| shared.refusals.note(tx, &act, &token, role, &why)).await
}

pub(super) async fn renew(
    State(app): State<AppState>,
    peer: Peer,
    body: Body,
) -> Result<Json<RenewResponse>, Refused> {
    let identity = certified(&peer)?.clone();
    let request: RenewRequest = read_json(body, 64 << 10).await?;
    let now = app.clock.now();
    let shared = app.clone();
    let renewed = app
        .db
        .write_async(move |tx| {
            enroll::renew(tx, now, &shared.authority, &identity, &request.csr_pem)
        })
        .await?;
    Ok(Json(renewed))
}

fn certified(peer: &Peer) -> Result<&PeerIdentity, Refused> {
    peer.identity().ok_or_else(|| Problem::certificate_needed("enrol first").into())
}

/// The agent that speaks.
pub(super) fn agent_of(peer: &Peer) -> Result<AgentId, Refused> {
    let agent = certified(peer)?.agent;
    agent.ok_or_else(|| Problem::forbidden("this certificate names no agent: enrol again").into())
}

pub(super) fn unknown_agent(agent: AgentId) -> Refused {
    Problem::forbidden(format!(
        "agent {agent} is not in the register (restored from an older copy?): enrol it again"
    ))
    .into()
}

pub(super) async fn heartbeat(
    State(app): State<AppState>,
    peer: Peer,
    body: Body,
) -> Result<Json<HeartbeatResponse>, Refused> {
    let agent = agent_of(&peer)?;
    let beat: HeartbeatRequest = read_json(body, 256 << 10).await?;
    check_heartbeat(&beat)?;
    let (now, late_after_s) = (app.clock.now(), app.config.heartbeat.patience().late_after_s());
    let said = Said::of(&beat).map_err(|_| Problem::bad_request("a figure is not a number"))?;
    let board = app.db.board();
    if !board.knows(&agent) {
        let stored = app.db.read_async(move |tx| heartbeats::stored_of(tx, &agent)).await?;
        board.admit(now, agent, stored.ok_or_else(|| unknown_agent(agent))?);
    }
    let heard = board.hear(now, &agent, said, late_after_s).ok_or_else(|| unknown_agent(agent))?;
    if heard.note_jobs {
        note_jobs(&app, now, agent, beat.jobs).await?;
    }
    let sites = app.sites.now(&app.db).await?.to_vec();
    let policy = offered_policy(&app, agent, beat.policy).await?;
    let epoch = app.post.epoch();
    Ok(Json(HeartbeatResponse { now, sites, instance: Some(app.instance), policy, epoch }))
}

/// Keeps what the agent tells of its policy, if that is new, and says which is the newest.
async fn offered_policy(
    app: &AppState,
    agent: AgentId,
    told: Option<PolicyTold>,
) -> Result<Option<PolicyOffer>, Refused> {
    let known = app.offers.of(&app.db, agent).await?;
    if let Some(told) = told.filter(|told| known.told.as_ref() != Some(told)) {
        app.db.write_async(move |tx| policies::put_told(tx, &agent, &told)).await?;
        app.policies.notify_one();
    }
    Ok(known.offer)
}

/// Holds the datasets of an agent's jobs against the register.
async fn note_jobs(
    app: &AppState,
    now: Timestamp,
    agent: AgentId,
    jobs: Vec<JobState>,
) -> Result<(), Refused> {
    let note = move |tx: &rusqlite::Transaction<'_>| {
        let mut unregistered = false;
        for job in &jobs {
            unregistered |=
                rows::note_unregistered(tx, now, &job.dataset, None, Some(&agent), &job.name)?;
        }
        Ok::<_, DbError>(unregistered)
    };
    let noted = app.db.write_async(note).await;
    app.db.board().noted(now, &agent, noted.as_ref().ok().copied());
    Ok(noted.map(drop)?)
}

fn check_heartbeat(beat: &HeartbeatRequest) -> Result<(), Refused> {
    let texts = [&beat.version, &beat.health.hostname, &beat.health.os, &beat.health.kernel];
    let refused = beat.policy.as_ref().map(|policy| &policy.refused);
    let long = texts.into_iter().chain(refused).any(|text| text.chars().count() > TEXT_MAX_CHARS);
    if beat.jobs.len() > JOBS_MAX || beat.health.disks.len() > DISKS_MAX || long {
        let detail = format!(
            "a heartbeat has at most {JOBS_MAX} jobs, {DISKS_MAX} disks and texts of {TEXT_MAX_CHARS} characters"
        );
        return Err(Problem::bad_request(detail).into());
    }
    Ok(())
}

pub(super) async fn reports(
    State(app): State<AppState>,
    peer: Peer,
    body: Body,
) -> Result<Json<ReportsAck>, Refused> {
    let agent = agent_of(&peer)?;
    let reports: Vec<Report> = read_json(body, BODY_MAX_BYTES).await?;
    if reports.len() > REPORTS_MAX
        || reports.iter().any(|one| one.message.chars().count() > TEXT_MAX_CHARS)
    {
        let detail = format!(
            "send at most {REPORTS_MAX} reports at once, with messages of {TEXT_MAX_CHARS} characters"
        );
        return Err(Problem::bad_request(detail).into());
    }
    let now = app.clock.now();
    let mut acknowledged = Vec::with_capacity(reports.len());
    let mut left = reports.into_iter();
    loop {
        let some: Vec<Report> = left.by_ref().take(REPORTS_AT_ONCE).collect();
        let taken = app.db.write_async(move |tx| take_reports(tx, now, &agent, &some)).await?;
        let (taken, suspicious) = taken.ok_or_else(|| unknown_agent(agent))?;
        acknowledged.extend(taken);
        if suspicious {
            app.anomalies.notify_one();
        }
        if left.len() == 0 {
            return Ok(Json(ReportsAck { acknowledged }));
        }
    }
}

/// Takes reports in: the ids of those that are kept now, and whether one is suspicious; none if nobody knows the agent.
fn take_reports(
    tx: &rusqlite::Transaction<'_>,
    now: Timestamp,
    agent: &AgentId,
    reports: &[Report],
) -> Result<Option<(Vec<ReportId>, bool)>, DbError> {
    if rows::agent(tx, agent)?.is_none() {
        return Ok(None);
    }
    let (mut acknowledged, mut suspicious) = (Vec::with_capacity(reports.len()), false);
    for report in reports {
        rows::insert_report(tx, now, agent, report)?;
        suspicious |= anomalies::take_in(tx, now, agent, report)?;
        rows::note_unregistered(tx, now, &report.dataset, None, Some(agent), "")?;
        // An id that another agent has used is not this agent's report: it is not acknowledged.
        if rows::report_sender(tx, &report.id)? == Some(*agent) {
            acknowledged.push(report.id);
        }
    }
    Ok(Some((acknowledged, suspicious)))
}

/// The register's servers, with the state of their agents as of `now`.
pub(super) fn with_heartbeats(
    app: &AppState,
    mut servers: Vec<lumbung_wire::messages::register::Server>,
) -> Vec<lumbung_wire::messages::register::Server> {
    let (patience, now) = (app.config.heartbeat.patience(), app.clock.now());
    for server in &mut servers {
        server.heartbeat = patience.state(server.last_seen, now);
    }
    servers
}

/// The PD that a query names, by id or code, if the caller sees it.
pub(super) fn find_pd(
    db: &rusqlite::Connection,
    scope: Scope,
    text: &str,
) -> Result<lumbung_wire::messages::register::Pd, Refused> {
    let by_id = text.parse().ok().map(|id| register::pd(db, &id)).transpose()?.flatten();
    let found = match by_id {
        Some(pd) => Some(pd),
        None => register::pd_by_code(db, text)?,
    };
    found.filter(|pd| scope.sees(pd.id)).ok_or_else(|| {
        Problem::not_found("no PD has this id or code: GET /api/v1/pd lists them").into()
    })
}

/// The PD that an answer is about: the one that is asked for, the caller's own, or all.
pub(super) fn narrowed(
    db: &rusqlite::Connection,
    scope: Scope,
    asked: Option<&str>,
) -> Result<Option<PdId>, Refused> {
    let asked = asked.map(|text| find_pd(db, scope, text)).transpose()?;
    Ok(asked.map(|pd| pd.id).or(scope.pd()))
}
