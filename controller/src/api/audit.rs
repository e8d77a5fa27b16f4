//! The audit log over HTTP.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use http::Method;
use lumbung_wire::Problem;
use lumbung_wire::audit::{AuditHead, AuditRecord};

use super::AppState;
use super::access::Access;
use super::paging::{Page, Paging};
use super::problems::Refused;
use super::route::{Routes, paged, route};
use crate::db::audit as rows;
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    let read = |path, summary, schema| {
        let access = Access::Person(Permission::ReadAudit);
        route(Method::GET, path, access, summary, (None, schema))
    };
    let records = paged(read("/api/v1/audit", "The audit log, in its order", "[AuditRecord]"));
    let summary = "How far the audit log goes, signed";
    let head = read("/api/v1/audit/head", summary, "AuditHead");
    vec![(records, get(self::records)), (head, get(self::head))]
}

/// The cursor of this list is the number of an entry: whoever keeps an export asks for what came after it.
pub(super) async fn records(
    State(app): State<AppState>,
    paging: Paging,
) -> Result<Page<AuditRecord>, Refused> {
    let number =
        |text: &str| text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    let after = paging.after_text().map_or(Some(0), number);
    let after = after.ok_or_else(|| Problem::bad_request("after: the number of an entry"))?;
    let wanted = paging.wanted();
    let records = app.db.read_async(move |tx| rows::records(tx, after, wanted)).await?;
    let last = after + u64::from(wanted) - 1;
    // They follow each other without a gap.
    Ok(paging.cut(records, |_| last.to_string()))
}

pub(super) async fn head(State(app): State<AppState>) -> Result<Json<AuditHead>, Refused> {
    let (sequence, hash) = app.db.read_async(|tx| rows::end(tx)).await?;
    Ok(Json(AuditHead::sign(sequence, hash, app.clock.now(), &app.audit_key)))
}
