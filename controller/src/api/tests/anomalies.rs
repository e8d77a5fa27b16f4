//! Anomalies over HTTP: reported by an agent, read by its PD, settled by the Dinas.

use http::{Method, StatusCode};
use lumbung_model::anomaly::{FolderFigures, NewData, RunFigures};
use lumbung_wire::messages::people::UserRole;
use lumbung_wire::messages::{Outcome, Report};
use serde_json::json;

use super::flows::report;
use super::{App, operator, slug};

/// A report of a run in which most files came back as noise.
pub(super) fn suspicious(app: &App, id: u8) -> Report {
    let folder =
        FolderFigures { path: "/srv/rsud".into(), changed_files: 900, ..FolderFigures::default() };
    let changes = RunFigures {
        before_files: 1000,
        before_bytes: 1_000_000,
        changed_files: 900,
        rewritten: NewData {
            read_bytes: 900_000,
            deduplicated_bytes: 0,
            incompressible_bytes: 899_000,
        },
        folders: vec![folder],
        ..RunFigures::default()
    };
    Report { changes: Some(changes), ..report(app, id, Outcome::Ok) }
}

#[tokio::test]
async fn a_reported_attack_is_read_by_its_pd_and_settled_by_the_dinas() {
    let app = App::new();
    let reports = json!([suspicious(&app, 1)]);
    for _ in 0..2 {
        let (status, answer) = app.post(&app.agent(), "/api/v1/reports", reports.clone()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let pd = app.log_in(UserRole::Pd);
    let (_, all) = app.see(&pd, "/api/v1/anomalies?lang=en").await;
    assert_eq!((all.as_array().unwrap().len(), &all[0]["runs"]), (1, &json!(1)));
    assert!(all[0]["words"][0].as_str().unwrap().contains("came back as random data"));
    let path = format!("/api/v1/anomalies/{}", all[0]["id"].as_str().unwrap());
    let (_, one) = app.see(&pd, &path).await;
    assert!(one["words"][0].as_str().unwrap().contains("data acak"), "{one}");
    let alarms = app.get("/api/v1/alarms?kind=anomaly").await;
    assert!(alarms[0]["detail"].as_str().unwrap().contains("/srv/rsud"), "{alarms}");

    let reason = json!({ "reason": "konversi foto" });
    let dismiss = format!("{path}/dismiss");
    assert_eq!(app.tell(&pd, &dismiss, reason.clone()).await.0, StatusCode::FORBIDDEN);
    let (status, problem) = app.post(&operator(), &dismiss, json!({ "reason": "" })).await;
    assert_eq!((status.is_client_error(), slug(&problem)), (true, "anomaly-entry"));
    let (status, done) = app.post(&operator(), &dismiss, reason.clone()).await;
    assert_eq!((status, &done["state"]), (StatusCode::OK, &json!("dismissed")), "{done}");
    assert_eq!(done["note"], "konversi foto");
    let (status, _) = app.post(&operator(), &format!("{path}/confirm"), reason).await;
    assert_eq!(status, StatusCode::CONFLICT, "what is settled stays so");
    assert_eq!(app.get("/api/v1/alarms?kind=anomaly").await, json!([]));
    let (_, log) = app.call(&operator(), Method::GET, "/api/v1/audit", None).await;
    assert!(log.to_string().contains("anomaly.dismiss"), "{log}");
}

#[tokio::test]
async fn names_of_folders_stay_with_the_anomaly_alone() {
    let app = App::new();
    let mut usual = suspicious(&app, 1);
    let changes = usual.changes.as_mut().unwrap();
    changes.rewritten.incompressible_bytes = 1000;
    app.post(&app.agent(), "/api/v1/reports", json!([usual])).await;
    assert_eq!(app.get("/api/v1/anomalies").await, json!([]));
    let kept = |sql: &'static str| {
        let read = move |tx: &rusqlite::Transaction<'_>| {
            Ok::<String, crate::db::DbError>(tx.query_row(sql, [], |row| row.get(0))?)
        };
        app.state.db.read(read).unwrap()
    };
    for sql in ["SELECT body FROM reports", "SELECT figures FROM run_figures"] {
        let text = kept(sql);
        assert!(!text.contains("/srv/rsud"), "{sql}: {text}");
    }
}
