//! Racks' elevations over HTTP.
//!
//! Invariant: whoever belongs to one PD sees the racks in which a device of that PD stands, and of what is another's in them
//! only that it takes room; any other rack is not there.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use http::Method;
use lumbung_model::{Day, RackId};
use lumbung_wire::messages::register::{Elevation, Rack};
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::extract::{Asked, Named};
use super::paging::{Paging, Text};
use super::problems::Refused;
use super::register::{Listed, id, unknown};
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::db::DbError;
use crate::db::colocation::{rack, racks, racks_of};
use crate::db::placement::{Codes, in_rack};
use crate::people::access::{Permission, Scope};
use crate::register;

pub(super) fn routes() -> Routes {
    let access = Access::Person(Permission::Read);
    let summary = "Racks unit by unit, front and rear; of a PD those in which its devices stand";
    let path = "/api/v1/elevations";
    let all = route(Method::GET, path, access, summary, (None, "[Elevation]"));
    let summary = "A rack unit by unit, front and rear: devices, reservations, what is free";
    let path = "/api/v1/racks/{id}/elevation";
    let one = route(Method::GET, path, access, summary, (None, "Elevation"));
    let query: &[&str] = &["q", "limit", "after"];
    vec![(Route { query, ..all }, get(elevations)), (one, get(elevation))]
}

/// The racks that somebody sees.
fn seen(tx: &Transaction<'_>, scope: Scope) -> Result<Vec<Rack>, DbError> {
    match scope {
        Scope::City => racks(tx),
        Scope::Pd(pd) => racks_of(tx, &pd),
    }
}

/// Racks as somebody sees them on a day.
fn drawn(
    tx: &Transaction<'_>,
    (scope, today): (Scope, Day),
    racks: Vec<Rack>,
) -> Result<Vec<Elevation>, DbError> {
    let codes = Codes::read(tx)?;
    let draw = |rack: Rack| {
        let (devices, kept) = in_rack(tx, &rack.id, &codes)?;
        let drawn = register::elevation(&rack, today, (&devices, &kept));
        Ok(match scope {
            Scope::City => drawn,
            Scope::Pd(pd) => register::as_seen_by(pd, drawn),
        })
    };
    racks.into_iter().map(draw).collect()
}

/// Which racks are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    q: Option<Text>,
}

pub(super) async fn elevations(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<Elevation> {
    let seen_on = (who.scope(), app.profile.today(app.clock.now()));
    let look = move |tx: &Transaction<'_>| {
        let mut racks = seen(tx, seen_on.0)?;
        racks.retain(|rack| asked.q.as_ref().is_none_or(|text| text.is_in(&[&rack.name])));
        let page = paging.select(racks, |rack: &Rack| (rack.name.clone(), rack.id))?;
        Ok::<_, Refused>(page.try_with(|racks| drawn(tx, seen_on, racks))?)
    };
    app.db.read_async(look).await
}

pub(super) async fn elevation(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Elevation>, Refused> {
    let id: RackId = id(&text, "rack")?;
    let seen_on = (who.scope(), app.profile.today(app.clock.now()));
    let look = move |tx: &Transaction<'_>| {
        // Also one that is retired, for whoever sees the city.
        let found = match seen_on.0 {
            Scope::City => rack(tx, &id)?,
            Scope::Pd(_) => seen(tx, seen_on.0)?.into_iter().find(|rack| rack.id == id),
        };
        let found = found.ok_or_else(|| unknown("rack"))?;
        let drawn = drawn(tx, seen_on, vec![found])?.pop();
        drawn.ok_or_else(|| unknown("rack"))
    };
    Ok(Json(app.db.read_async(look).await?))
}
