//! A rack's elevation over HTTP.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use http::Method;
use lumbung_model::RackId;
use lumbung_wire::messages::register::Elevation;

use super::AppState;
use super::access::Access;
use super::extract::Named;
use super::problems::Refused;
use super::register::{id, unknown};
use super::route::{Routes, route};
use crate::db::colocation::rack;
use crate::db::placement::{Codes, in_rack};
use crate::people::access::Permission;
use crate::register;

pub(super) fn routes() -> Routes {
    let summary = "A rack unit by unit, front and rear: devices, reservations, what is free";
    let access = Access::Person(Permission::ReadCity);
    let path = "/api/v1/racks/{id}/elevation";
    vec![(route(Method::GET, path, access, summary, (None, "Elevation")), get(elevation))]
}

pub(super) async fn elevation(
    State(app): State<AppState>,
    Named(text): Named,
) -> Result<Json<Elevation>, Refused> {
    let id: RackId = id(&text, "rack")?;
    let today = app.profile.today(app.clock.now());
    let look = move |tx: &rusqlite::Transaction<'_>| {
        let found = rack(tx, &id)?.ok_or_else(|| unknown("rack"))?;
        let (devices, kept) = in_rack(tx, &id, &Codes::read(tx)?)?;
        Ok::<_, Refused>(register::elevation(&found, today, (&devices, &kept)))
    };
    Ok(Json(app.db.read_async(look).await?))
}
