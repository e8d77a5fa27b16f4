//! What is shown at once, what is written when, and what a crash takes.

use std::sync::Arc;

use futures_util::future::join_all;
use http::StatusCode;
use lumbung_model::{AgentId, DatasetId, DomainId, PublicKey};
use lumbung_wire::Peer;
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::{JobPhase, JobState, Outcome, ReportId};
use serde_json::{Value, json};

use super::flows::{beat, report};
use super::{App, certified, slug};
use crate::db::DbError;
use crate::db::agents::{self, AgentRow};
use crate::heartbeats;
use crate::testing::START;

/// What a new program reads of when the agent was heard of last.
fn written(app: &App) -> Option<i64> {
    let read = |tx: &rusqlite::Transaction<'_>| {
        Ok::<_, DbError>(tx.query_row("SELECT last_seen_s FROM agents", [], |row| row.get(0))?)
    };
    app.city.reopened().read(read).unwrap()
}

async fn say(app: &App, body: Value) {
    let (status, answer) = app.post(&app.agent(), "/api/v1/heartbeat", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn a_heartbeat_shows_before_it_is_written() {
    let app = App::new();
    say(&app, beat(&app, 0)).await;
    assert_eq!(written(&app), None);
    let server = app.get("/api/v1/servers").await[0].clone();
    assert_eq!((&server["heartbeat"], &server["last_seen"]), (&json!("up"), &json!(START)));
    assert_eq!(app.get("/api/v1/compliance").await["rows"][0]["heartbeat"], "up");
    let status = app.get("/api/v1/status").await;
    assert_eq!(status["agents"]["up"], 1);
    let agents = app.get("/api/v1/agents").await;
    assert_eq!(agents[0]["health"]["cpus"], 4);
    assert_eq!(agents[0]["jobs"][0]["name"], "simrs");
    assert_eq!(agents[0]["version"], "0.1.0");

    app.keep(false).await;
    assert_eq!(written(&app), Some(START.0));
    assert_eq!(app.get("/api/v1/agents").await, agents);
    let mut later = beat(&app, 0);
    later["health"]["cpus"] = json!(8);
    say(&app, later).await;
    assert_eq!(app.get("/api/v1/agents").await[0]["health"]["cpus"], 8);
}

#[tokio::test]
async fn a_crash_takes_what_was_not_written_and_no_more() {
    let app = App::new();
    say(&app, beat(&app, 0)).await;
    app.keep(false).await;
    app.wait(60);
    let mut later = beat(&app, 0);
    later["health"]["cpus"] = json!(8);
    say(&app, later.clone()).await;
    let reports = json!([report(&app, 1, Outcome::Ok)]);
    let (_, answer) = app.post(&app.agent(), "/api/v1/reports", reports).await;
    assert_eq!(answer["acknowledged"].as_array().unwrap().len(), 1);

    let app = app.crashed();
    assert_eq!(app.get("/api/v1/servers").await[0]["last_seen"], json!(START));
    assert_eq!(app.get("/api/v1/agents").await[0]["health"]["cpus"], 4);
    let row = app.get("/api/v1/compliance").await["rows"][0].clone();
    assert_eq!(row["menurut_agen"]["outcome"], "ok", "what was acknowledged is kept");

    app.wait(60);
    say(&app, later).await;
    app.keep(true).await;
    let spans = |tx: &rusqlite::Transaction<'_>| {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let sql = "SELECT first_s, last_s, beats FROM heartbeat_spans";
        Ok::<_, DbError>(tx.query_row(sql, [], row)?)
    };
    let span: (i64, i64, i64) = app.city.reopened().read(spans).unwrap();
    assert_eq!(span, (START.0, START.0 + 120, 2), "the span goes on; the lost beat is not counted");
}

#[tokio::test]
async fn when_the_controller_stops_everything_is_written() {
    let app = App::new();
    say(&app, beat(&app, 0)).await;
    app.keep(false).await;
    app.wait(5);
    let mut later = beat(&app, -7201);
    later["health"]["cpus"] = json!(8);
    say(&app, later).await;
    // Its health alone would have waited.
    app.keep(false).await;
    let (stop, stopped) = tokio::sync::watch::channel(true);
    heartbeats::run(app.state.db.clone(), app.city.clock.clone(), stopped).await;
    drop(stop);
    let before = app.get("/api/v1/agents").await;
    assert_eq!(before[0]["clock_warning_s"], -7201);
    let app = app.crashed();
    assert_eq!(app.get("/api/v1/agents").await, before);
}

#[tokio::test]
async fn what_cannot_be_written_stays_and_shows() {
    let app = App::new();
    say(&app, beat(&app, 0)).await;
    let act = |sql: &'static str| {
        app.state.db.write(move |tx| Ok::<_, DbError>(tx.execute_batch(sql)?)).unwrap();
    };
    act("CREATE TRIGGER full BEFORE UPDATE ON agents BEGIN SELECT raise(ABORT, 'disk full'); END");
    let now = lumbung_model::Clock::now(&*app.city.clock);
    assert!(heartbeats::keep(&app.state.db, now, false).await.is_err());
    assert_eq!(app.get("/api/v1/servers").await[0]["heartbeat"], "up");
    act("DROP TRIGGER full");
    app.keep(false).await;
    assert_eq!(written(&app), Some(START.0));
}

#[tokio::test]
async fn datasets_of_jobs_that_nobody_registered_show_at_once() {
    let app = App::new();
    let unknown = DatasetId::random();
    let mut body = beat(&app, 0);
    let job = JobState {
        dataset: unknown,
        name: "lain".into(),
        state: JobPhase::Waiting,
        last_ok: None,
        next_run: None,
        message: None,
    };
    body["jobs"].as_array_mut().unwrap().push(json!(job));
    say(&app, body.clone()).await;
    let found = app.get("/api/v1/status").await["unregistered_datasets"].clone();
    assert_eq!((&found[0]["dataset"], &found[0]["name"]), (&json!(unknown), &json!("lain")));
    app.wait(heartbeats::TOLD_EVERY_S);
    body["now"] = json!(START.plus_seconds(heartbeats::TOLD_EVERY_S));
    say(&app, body).await;
    let again = app.get("/api/v1/status").await["unregistered_datasets"][0].clone();
    assert_eq!(again["last"], json!(START.plus_seconds(heartbeats::TOLD_EVERY_S)));
}

#[tokio::test]
async fn the_sites_of_the_answer_follow_the_register() {
    let app = App::new();
    let sites = async || {
        let (_, answer) = app.post(&app.agent(), "/api/v1/heartbeat", beat(&app, 0)).await;
        answer["sites"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(sites().await, sites().await);
    let rename = |tx: &rusqlite::Transaction<'_>| {
        Ok::<_, DbError>(tx.execute("UPDATE sites SET name = 'Batam' WHERE name = 'DRC'", [])?)
    };
    // As the command line does it, which is another program.
    app.city.reopened().write(rename).unwrap();
    assert!(sites().await.contains(&json!("Batam")));
}

/// Agents on the city's server, beside its own.
fn more_agents(app: &App, many: u8) -> Vec<Peer> {
    let row = |n: u8| AgentRow {
        agent: AgentId::from_bytes([n; 16]),
        key: PublicKey::from_bytes([n; 32]),
        domain: DomainId::from_bytes([n; 16]),
        ..app.city.agent_row()
    };
    let peer = |row: &AgentRow| {
        certified(CertificateNames::agent(row.repository, row.agent, row.key, Some(row.server)))
    };
    let rows: Vec<AgentRow> = (1..=many).map(row).collect();
    let enter = |tx: &rusqlite::Transaction<'_>| {
        rows.iter().try_for_each(|row| agents::put_agent(tx, START, row))
    };
    app.state.db.write(enter).unwrap();
    rows.iter().map(peer).collect()
}

#[tokio::test]
async fn among_many_reports_the_bad_one_is_answered_and_the_others_are_kept() {
    let app = Arc::new(App::new());
    let agents = more_agents(&app, 40);
    let send = async |(n, peer): (u8, &Peer)| {
        let mut own = json!(report(&app, n, Outcome::Ok));
        match n {
            7 => own["message"] = json!("x".repeat(5000)),
            // Agent 1 has used this id.
            8 => own["id"] = json!(ReportId::from_bytes([1; 16])),
            _ => {}
        }
        app.post(peer, "/api/v1/reports", json!([own])).await
    };
    assert_eq!(send((1, &agents[0])).await.0, StatusCode::OK);
    let answers = join_all((1..).zip(&agents).map(send)).await;
    for (n, (status, answer)) in (1_u8..).zip(answers) {
        match n {
            7 => assert_eq!((status, slug(&answer)), (StatusCode::BAD_REQUEST, "bad-request")),
            8 => assert_eq!(answer["acknowledged"], json!([]), "{status}"),
            _ => assert_eq!(answer["acknowledged"], json!([ReportId::from_bytes([n; 16])])),
        }
    }
    let count = |tx: &rusqlite::Transaction<'_>| {
        let sql = "SELECT count(*), count(DISTINCT agent) FROM reports";
        Ok::<_, DbError>(tx.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    };
    let kept: (i64, i64) = app.city.reopened().read(count).unwrap();
    assert_eq!(kept, (38, 38), "each once, whatever was sent twice");
}
