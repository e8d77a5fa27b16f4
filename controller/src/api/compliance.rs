//! Compliance, overview, alarms, proofs of restore.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode};
use lumbung_model::{AgentId, SiteId, Timestamp};
use lumbung_pack::{Proof, open_signed};
use lumbung_wire::Problem;
use lumbung_wire::messages::overview::{
    AgentStatus, AlarmEntry, ControllerHealth, Overview, ProofAccepted,
};
use lumbung_wire::messages::register::{ComplianceRow, ComplianceTable, StepState, Urgency};
use lumbung_wire::server::read_capped;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::{find_pd, narrowed};
use super::extract::Asked;
use super::idempotency::Answer;
use super::paging::{Page, Paging, cursor};
use super::problems::Refused;
use super::register::fits;
use super::route::{Route, Routes, repeatable, route};
use super::verdicts::past;
use super::who::Who;
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::{alarms as alarm_rows, consents, evidence, register, rosters};
use crate::overview;
use crate::people::access::{Permission, Scope};
use crate::report::{self, Language, Part, Past, Terms};

pub(super) fn routes() -> Routes {
    use Permission::{HandInProof, Read, ReadCity, WriteRegister};
    let read = |permission, path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(permission), summary, (None, schema))
    };
    vec![
        (
            read(
                Read,
                "/api/v1/compliance",
                "The four steps of proof, by dataset",
                "ComplianceTable",
                &[
                    "pd",
                    "lang",
                    "as_of",
                    "urgency",
                    "backed_up",
                    "at_drc",
                    "verified",
                    "proven",
                    "late",
                    "limit",
                    "after",
                ],
            ),
            get(table),
        ),
        (
            read(ReadCity, "/api/v1/status", "Sites, agents, totals, findings", "Overview", &[]),
            get(overview),
        ),
        (
            read(
                ReadCity,
                "/api/v1/agents",
                "How each agent is, and what it told last of its host and jobs",
                "[AgentStatus]",
                &["limit", "after"],
            ),
            get(agents),
        ),
        (
            read(
                Read,
                "/api/v1/alarms",
                "What is wrong; with all=true, also what was",
                "[AlarmEntry]",
                &["all", "kind", "pd", "site", "limit", "after"],
            ),
            get(alarms),
        ),
        (
            route(
                Method::POST,
                "/api/v1/proofs",
                Access::Person(HandInProof),
                "A signed proof of restore, verified before it is kept",
                (Some("octets"), "ProofAccepted"),
            ),
            post(proof),
        ),
        (
            repeatable(route(
                Method::POST,
                "/api/v1/poll",
                Access::Person(WriteRegister),
                "Ask the vaults now instead of at the next interval",
                (None, "ControllerHealth"),
            )),
            post(poll),
        ),
    ]
}

/// Longest proof of restore.
const PROOF_MAX_BYTES: usize = 4096;

#[derive(Deserialize)]
pub(super) struct TableQuery {
    pd: Option<String>,
    lang: Option<String>,
    as_of: Option<i64>,
    urgency: Option<Urgency>,
    backed_up: Option<StepState>,
    at_drc: Option<StepState>,
    verified: Option<StepState>,
    proven: Option<StepState>,
    #[serde(default)]
    late: bool,
}

impl TableQuery {
    /// Whether rows are left out by what stands in them.
    fn narrows(&self) -> bool {
        let asked = [self.backed_up, self.at_drc, self.verified, self.proven];
        self.urgency.is_some() || self.late || asked.iter().any(Option::is_some)
    }

    /// The rows that have to be made: every one if it takes the row to tell whether it is shown, else those of the page.
    fn part(&self, paging: &Paging) -> Result<Part, Problem> {
        if self.narrows() {
            return Ok(Part::WHOLE);
        }
        let rows = usize::try_from(paging.wanted()).unwrap_or(usize::MAX);
        Ok(Part { after: paging.after()?, rows })
    }

    fn fits(&self, row: &ComplianceRow) -> bool {
        let steps = [&row.backed_up, &row.at_drc, &row.verified, &row.proven].map(|one| one.state);
        let asked = [self.backed_up, self.at_drc, self.verified, self.proven];
        (self.urgency.is_none() || self.urgency == row.urgency)
            && asked.into_iter().zip(steps).all(|(asked, found)| fits(asked, found))
            && (!self.late || steps.contains(&StepState::Late))
    }
}

pub(super) fn language(lang: Option<&str>) -> Result<Language, Refused> {
    match lang {
        None | Some("id") => Ok(Language::Indonesian),
        Some("en") => Ok(Language::English),
        Some(_) => Err(Problem::bad_request("lang is id (Indonesian) or en (English)").into()),
    }
}

fn terms(app: &AppState, lang: Option<&str>) -> Result<Terms, Refused> {
    let language = language(lang)?;
    Ok(Terms {
        profile: app.profile.clone(),
        patience: app.config.heartbeat.patience(),
        now: app.clock.now(),
        language,
    })
}

pub(super) async fn table(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<TableQuery>,
    paging: Paging,
) -> Result<(HeaderMap, Json<ComplianceTable>), Refused> {
    let terms = terms(&app, query.lang.as_deref())?;
    let part = query.part(&paging)?;
    let read = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        let mut table = match query.as_of {
            None => report::table_part(tx, &terms, pd, &part)?,
            Some(at) => match report::table_at(tx, &terms, pd, past(at, terms.now)?)? {
                Past::Table(table) => *table,
                Past::Before(begins) => return Err(before(begins)),
            },
        };
        // The totals stay those of the whole.
        table.rows.retain(|row| query.fits(row));
        Ok::<_, Refused>(table)
    };
    let mut table = app.db.read_async(read).await?;
    let (rows, headers) =
        paging.select(std::mem::take(&mut table.rows), report::place_of_row)?.split();
    table.rows = rows;
    Ok((headers, Json(table)))
}

/// Nothing is known of that date.
fn before(begins: Option<Timestamp>) -> Refused {
    let detail = match begins {
        Some(begins) => format!(
            "nothing was written down then: this controller keeps verdicts since {begins}; ask for a later moment"
        ),
        None => "nothing has been written down yet: wait for the first round".to_owned(),
    };
    Problem::not_found(detail).into()
}

pub(super) async fn overview(State(app): State<AppState>) -> Result<Json<Overview>, Refused> {
    let terms = terms(&app, None)?;
    let profile = app.profile.clone();
    Ok(Json(app.db.read_async(move |tx| overview::overview(tx, &terms, &profile)).await?))
}

pub(super) async fn agents(
    State(app): State<AppState>,
    paging: Paging,
) -> Result<Page<AgentStatus>, Refused> {
    let (after, limit) = (paging.after::<AgentId>()?, paging.wanted());
    let terms = terms(&app, None)?;
    let list =
        move |tx: &rusqlite::Transaction<'_>| overview::agents(tx, &terms, after.as_ref(), limit);
    let found = app.db.read_async(list).await?;
    Ok(paging.cut(found, |agent: &AgentStatus| cursor(&agent.agent)))
}

#[derive(Deserialize)]
pub(super) struct AlarmQuery {
    #[serde(default)]
    all: bool,
    kind: Option<String>,
    pd: Option<String>,
    site: Option<SiteId>,
}

pub(super) async fn alarms(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<AlarmQuery>,
    paging: Paging,
) -> Result<Page<AlarmEntry>, Refused> {
    let (before, limit) = (paging.after::<i64>()?, paging.wanted());
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let asked = query.pd.as_deref().map(|text| find_pd(tx, who.scope(), text)).transpose()?;
        let (all, kind, pd, site) = (query.all, query.kind, asked.map(|pd| pd.id), query.site);
        let wanted = alarm_rows::Wanted { all, kind, pd, site, before };
        Ok::<_, Refused>(alarm_rows::list(tx, who.scope().pd(), &wanted, limit)?)
    };
    let rows = app.db.read_async(list).await?;
    let entry = |row: alarm_rows::AlarmRow| AlarmEntry {
        sequence: row.sequence.unsigned_abs(),
        kind: row.kind,
        subject: row.finding.subject,
        pd: row.finding.pd,
        site: row.finding.site,
        detail: row.finding.detail,
        raised: row.raised,
        last: row.last,
        cleared: row.cleared,
    };
    let entries = rows.into_iter().map(entry).collect();
    Ok(paging.cut(entries, |entry: &AlarmEntry| cursor(&entry.sequence)))
}

pub(super) async fn poll(State(app): State<AppState>) -> (StatusCode, Json<ControllerHealth>) {
    app.poll.notify_one();
    let health = app.health(app.clock.now());
    (StatusCode::ACCEPTED, Json(health))
}

pub(super) async fn proof(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<Answer, Refused> {
    let object = read_capped(body, PROOF_MAX_BYTES).await?;
    let proof = open_signed::<Proof>(&object)
        .map_err(|error| Problem::invalid(format!("this is no proof of restore: {error}")))?;
    let scope = who.scope();
    let keep = move |tx: &rusqlite::Transaction<'_>, act: &Act| {
        let body = &proof.body;
        let foreign = match scope {
            Scope::City => false,
            Scope::Pd(own) => register::repository_pd(tx, &body.repository)? != Some(own),
        };
        if foreign {
            return Err(Problem::not_found(format!(
                "no roster of repository {} is known here yet: register it, and wait for the next poll",
                body.repository
            ))
            .into());
        }
        let chain = rosters::chain(tx, &body.repository)?.ok_or_else(|| {
            Problem::not_found(format!("no roster of repository {} is known here yet: register it, and wait for the next poll", body.repository))
        })?;
        if !chain.is_root_key(&proof.signer) && !consents::opened_to(tx, act.now, &proof)? {
            let detail = format!(
                "{} is no root key of the newest roster, and no consent known here opened that snapshot to it: sign with the PD's key bundle, or the requester key to which it is opened",
                proof.signer
            );
            return Err(Problem::invalid(detail).into());
        }
        match evidence::manifest_place(tx, &body.manifest)? {
            Some((repository, false)) if repository == body.repository => {}
            // Whoever belongs to one PD hears nothing of another's snapshots.
            Some((repository, _)) if repository == body.repository || scope == Scope::City => {
                return Err(
                    Problem::invalid("the snapshot is partial, or of another repository").into()
                );
            }
            Some(_) | None => {
                return Err(Problem::not_found(format!(
                    "snapshot {} is not known here yet: wait for the next poll",
                    body.manifest
                ))
                .into());
            }
        }
        let new = evidence::put_proof(tx, act.now, &proof, &object)?;
        let pd = register::repository_pd(tx, &body.repository)?;
        let deed = Deed { action: "proof.hand_in", kind: "proof", id: &proof.id, pd };
        if new {
            audit::append(tx, act, deed, None, None)?;
        }
        let dataset = evidence::dataset_of(tx, &body.manifest)?;
        Ok::<_, Refused>(ProofAccepted { proof: proof.id.to_string(), dataset })
    };
    who.change(&app, StatusCode::CREATED, keep).await
}
