//! Who changed what of the register, over HTTP.
//!
//! Invariant: whoever belongs to one PD sees changes of that PD's rows only, and nothing of a row from before it was that
//! PD's.

use axum::extract::State;
use axum::routing::get;
use http::Method;
use lumbung_wire::messages::register::{HistoryEntry, HistoryKind};
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::find_pd;
use super::extract::Asked;
use super::paging::{Page, Paging, cursor};
use super::problems::Refused;
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::changes::change;
use crate::db::history::{self as rows, Wanted};
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    let summary = "Who changed what of the register, newest first, field by field";
    let access = Access::Person(Permission::Read);
    let list = route(Method::GET, "/api/v1/history", access, summary, (None, "[HistoryEntry]"));
    vec![(Route { query: &["kind", "id", "pd", "limit", "after"], ..list }, get(self::list))]
}

/// Which changes are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    kind: Option<HistoryKind>,
    id: Option<String>,
    pd: Option<String>,
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Result<Page<HistoryEntry>, Refused> {
    let (before, limit, scope) = (paging.after::<i64>()?, paging.wanted(), who.scope());
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = asked.pd.as_deref().map(|text| find_pd(tx, scope, text)).transpose()?;
        let wanted = Wanted { kind: asked.kind, id: asked.id, pd: pd.map(|pd| pd.id), before };
        Ok::<_, Refused>(rows::changes(tx, scope.pd(), &wanted, limit)?)
    };
    let found = app.db.read_async(list).await?;
    let told = |(number, entry)| change(entry, scope.pd()).map(|change| (number, change));
    let changes = found.into_iter().filter_map(told).collect();
    Ok(paging.cut(changes, |(number, _)| cursor(number)).map(|(_, change)| change))
}
