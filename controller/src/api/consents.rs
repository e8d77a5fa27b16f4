//! The register of consents over HTTP: what PDs opened to whom, as their vaults keep it.
//!
//! Invariant: a PD sees its own. Nothing here opens or takes back anything: that is the custodian's key.

use axum::extract::State;
use axum::routing::get;
use http::Method;
use lumbung_model::{ConsentId, Timestamp};
use lumbung_wire::messages::consents::Consent;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::extract::Asked;
use super::paging::{Page, Paging, cursor};
use super::problems::Refused;
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::db::consents;
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    let list_route = Route {
        query: &["pd", "limit", "after"],
        ..route(
            Method::GET,
            "/api/v1/consents",
            Access::Person(Permission::Read),
            "What PDs opened, to whom, by which letter, until when; the one seen last first",
            (None, "[Consent]"),
        )
    };
    vec![(list_route, get(list))]
}

/// Whose are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Result<Page<Consent>, Refused> {
    let (limit, now) = (paging.wanted(), app.clock.now());
    let behind = paging.after::<(Timestamp, ConsentId)>()?;
    let read = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(consents::list(tx, pd, behind, (now, limit))?)
    };
    let found = app.db.read_async(read).await?;
    Ok(paging.cut(found, |one: &Consent| cursor(&(one.seen, one.consent))))
}
