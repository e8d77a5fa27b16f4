//! The key inventory over HTTP, and the records of rehearsals that are handed in.
//!
//! Invariants: a PD sees its own; a record counts by its signature alone, which only the rebuilt key makes; no key ever
//! comes here.

use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::PackId;
use lumbung_pack::{Rehearsal, open_signed};
use lumbung_wire::Problem;
use lumbung_wire::messages::keys::{KeyEntry, KeyReportAccepted};
use lumbung_wire::server::read_capped;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::extract::Asked;
use super::idempotency::Answer;
use super::paging::{Page, Paging};
use super::problems::Refused;
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::rehearsals;
use crate::key_inventory;
use crate::people::access::Permission;

/// Longest record.
const RECORD_MAX_BYTES: usize = 16 << 10;

pub(super) fn routes() -> Routes {
    let inventory_route = Route {
        query: &["pd", "limit", "after"],
        ..route(
            Method::GET,
            "/api/v1/key-inventory",
            Access::Person(Permission::Read),
            "Which PD has a key that was rebuilt from its shares, who holds them, when that was",
            (None, "[KeyEntry]"),
        )
    };
    let report_route = route(
        Method::POST,
        "/api/v1/key-reports",
        Access::Person(Permission::HandInProof),
        "A signed record of a rehearsal, verified before it is kept",
        (Some("octets"), "KeyReportAccepted"),
    );
    vec![(inventory_route, get(inventory)), (report_route, post(report))]
}

/// Whose are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
}

pub(super) async fn inventory(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Result<Page<KeyEntry>, Refused> {
    let (now, keys) = (app.clock.now(), app.profile.keys.clone());
    let read = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(key_inventory::keys(tx, pd, now, &keys)?)
    };
    let found = app.db.read_async(read).await?;
    Ok(paging.select(found, |one| (one.pd, one.repository, one.key))?)
}

pub(super) async fn report(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Result<Answer, Refused> {
    let object = read_capped(body, RECORD_MAX_BYTES).await?;
    let record = open_signed::<Rehearsal>(&object)
        .map_err(|error| Problem::invalid(format!("this is no record of a rehearsal: {error}")))?;
    let scope = who.scope();
    let keep = move |tx: &rusqlite::Transaction<'_>, act: &Act| {
        let Some(pd) = rehearsals::pd_of_key(tx, scope.pd(), &record.signer)? else {
            return Err(Refused::from(Problem::not_found(format!(
                "no roster known here lists {} as a root key: register the PD's repository and wait for the next poll",
                record.signer
            ))));
        };
        let (id, body) = (PackId::from_bytes(record.id).to_string(), &record.body);
        if rehearsals::put(tx, act.now, &record)? {
            let after = serde_json::json!({
                "key": record.signer,
                "set": body.set,
                "threshold": body.threshold,
                "shares": body.shares,
                "present": body.present,
                "at": body.at,
                "note": body.note,
            });
            let deed =
                Deed { action: "key.rehearsed", kind: "key", id: &record.signer, pd: Some(pd) };
            audit::append(tx, act, deed, None, Some(after))?;
        }
        Ok::<_, Refused>(KeyReportAccepted { record: id, pd, key: record.signer, at: body.at })
    };
    who.change(&app, StatusCode::CREATED, keep).await
}
