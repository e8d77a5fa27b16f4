//! The audit log over HTTP.

use axum::Json;
use axum::extract::State;
use lumbung_wire::audit::{AuditHead, AuditRecord};
use serde::Deserialize;

use super::AppState;
use super::extract::Asked;
use super::problems::Refused;
use crate::db::audit as rows;

/// Records in one answer, if nobody asks for fewer.
const PAGE: u32 = 1000;

#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

pub(super) async fn records(
    State(app): State<AppState>,
    Asked(page): Asked<Page>,
) -> Result<Json<Vec<AuditRecord>>, Refused> {
    let limit = page.limit.unwrap_or(PAGE).min(PAGE);
    Ok(Json(app.db.read_async(move |tx| rows::records(tx, page.after, limit)).await?))
}

pub(super) async fn head(State(app): State<AppState>) -> Result<Json<AuditHead>, Refused> {
    let (sequence, hash) = app.db.read_async(|tx| rows::end(tx)).await?;
    Ok(Json(AuditHead::sign(sequence, hash, app.clock.now(), &app.audit_key)))
}
