//! A vault that the test plays: the client's trust does not rest on the vault's good will.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use axum::body::Body;
use axum::response::{IntoResponse as _, Json, Response};
use http::{Method, Request, StatusCode};
use lumbung_model::{Clock, FixedClock, SiteId, SystemClock};
use lumbung_pack::SigningKey;
use lumbung_wire::certs::{facts, generate_key, self_signed_site_certificate};
use lumbung_wire::messages::SiteInfo;
use lumbung_wire::server::serve;
use lumbung_wire::tls::{ClientAccess, TlsIdentity, server_config};
use serde_json::json;

use crate::office::Office;

/// A vault with one repository, which it shows to everybody.
struct Played {
    url: String,
    /// `SITE:RECEIPT_KEY:TLS_PIN`, for the roster.
    site: String,
    writes: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Stage {
    site: SiteId,
    receipt_key: lumbung_model::PublicKey,
    /// A directory with folders of objects, as a repository's.
    objects: PathBuf,
    /// What it says it keeps.
    repository: Arc<std::sync::OnceLock<String>>,
    writes: Arc<AtomicUsize>,
}

/// Plays a vault that serves what lies in `folder` of the office. The repository's id is told later.
fn play(office: &Office, folder: &str) -> (Played, Arc<std::sync::OnceLock<String>>) {
    play_at(office, folder, Arc::new(SystemClock))
}

fn play_at(
    office: &Office,
    folder: &str,
    clock: Arc<dyn Clock>,
) -> (Played, Arc<std::sync::OnceLock<String>>) {
    let key = generate_key().expect("a TLS key");
    let site = SiteId::random();
    let certificate = self_signed_site_certificate(&key, site).expect("a certificate");
    let pin = facts(&certificate).expect("readable").pin;
    let receipt_key = SigningKey::generate().public();
    let repository = Arc::new(std::sync::OnceLock::new());
    let writes = Arc::new(AtomicUsize::new(0));
    let stage = Stage {
        site,
        receipt_key,
        objects: office.path(folder),
        repository: Arc::clone(&repository),
        writes: Arc::clone(&writes),
    };
    let own = TlsIdentity::from_pem(&certificate, &key).expect("an identity");
    let access = ClientAccess { anonymous: false, self_signed: true };
    let tls = server_config(&own, &[], access, clock).expect("TLS");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads");
    let (tell, told) = mpsc::channel();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        tell.send(listener.local_addr().expect("an address")).expect("heard");
        let router = axum::Router::new()
            .fallback(move |request: Request<Body>| answer(stage.clone(), request));
        serve(listener, tls, router, std::future::pending()).await;
    });
    let url = format!("https://{}", told.recv().expect("an address"));
    (
        Played { url, site: format!("{site}:{receipt_key}:{pin}"), writes, _runtime: runtime },
        repository,
    )
}

async fn answer(stage: Stage, request: Request<Body>) -> Response {
    if request.method() != Method::GET {
        stage.writes.fetch_add(1, Ordering::SeqCst);
        return StatusCode::CREATED.into_response();
    }
    let parts: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    match parts[..] {
        ["v1", "site"] => Json(SiteInfo {
            site: stage.site,
            receipt_key: stage.receipt_key,
            version: "0".into(),
            now: lumbung_model::Timestamp(0),
            role_seen: "root-key".into(),
        })
        .into_response(),
        ["v1", "repositories"] => Json(json!({ "ids": [stage.repository.get()] })).into_response(),
        ["v1", "repositories", _, "manifests"] => Json(json!([])).into_response(),
        ["v1", "repositories", _, folder] => {
            let names = std::fs::read_dir(stage.objects.join(folder)).expect("a folder");
            let mut ids: Vec<String> =
                names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            ids.sort();
            Json(json!({ "ids": ids })).into_response()
        }
        ["v1", "repositories", _, folder, id] => {
            match std::fs::read(stage.objects.join(folder).join(id)) {
                Ok(bytes) => bytes.into_response(),
                Err(_) => StatusCode::NOT_FOUND.into_response(),
            }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// An office whose repository lists the played vault.
fn trusting() -> (Office, Played, String) {
    trusting_at(Arc::new(SystemClock))
}

fn trusting_at(clock: Arc<dyn Clock>) -> (Office, Played, String) {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key"]);
    let (vault, told) = play_at(&office, "depot", clock);
    let site = format!("Pusat Data={}", vault.site);
    let made = office.json(&["repo", "init", "depot", "--key", "pd.key", "--site", &site]);
    let repository = made["repository"].as_str().expect("an id").to_owned();
    told.set(repository.clone()).expect("told once");
    (office, vault, repository)
}

#[test]
fn the_bundle_alone_opens_a_vault_that_the_roster_lists() {
    let (office, vault, repository) = trusting();
    let shown = office.json(&["roster", "show", &vault.url, "--key", "pd.key"]);
    assert_eq!(shown["repository"], repository.as_str());
    assert_eq!(shown["roster"]["sites"][0]["label"], "Pusat Data");
    assert_eq!(office.json(&["snapshots", &vault.url, "--key", "pd.key"])["snapshots"], json!([]));
    let published = office.json(&["roster", "publish", "depot", &vault.url, "--key", "pd.key"]);
    assert_eq!(published["published"], 0);
    assert_eq!(vault.writes.load(Ordering::SeqCst), 0);
}

#[test]
fn a_vault_with_a_key_that_no_roster_lists_gets_nothing() {
    let (office, _, repository) = trusting();
    let (impostor, told) = play(&office, "depot");
    told.set(repository).expect("told once");
    for args in [
        &["snapshots", &impostor.url, "--key", "pd.key"][..],
        &["roster", "publish", "depot", &impostor.url, "--key", "pd.key"],
        &["roster", "add-recipient", &impostor.url, "pd.key", "--label", "x", "--key", "pd.key"],
    ] {
        assert_eq!(office.error(args).0, "server-not-trusted", "{args:?}");
    }
    assert_eq!(impostor.writes.load(Ordering::SeqCst), 0);
}

#[test]
fn a_repository_that_somebody_else_founded_is_not_taken_for_ours() {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key"]);
    office.ok(&["key", "new", "attacker.key"]);
    // The attacker's repository lists our key, and the attacker's vault: everything fits but the founder.
    let (vault, told) = play(&office, "trap");
    let init = [
        "repo",
        "init",
        "trap",
        "--key",
        "attacker.key",
        "--spare-key",
        "pd.key",
        "--site",
        &vault.site,
    ];
    let repository = office.json(&init)["repository"].as_str().expect("an id").to_owned();
    told.set(repository.clone()).expect("told once");
    let (code, error) = office.error(&["roster", "show", &vault.url, "--key", "pd.key"]);
    assert_eq!(code, "server-not-trusted", "{error}");
    // Whoever holds a spare key knows the id and says it.
    let named = ["roster", "show", &vault.url, "--key", "pd.key", "--repository", &repository];
    assert_eq!(office.json(&named)["repository"], repository.as_str());
}

#[test]
fn another_repository_than_the_one_named_is_refused() {
    let (office, vault, _) = trusting();
    let other = "ab".repeat(32);
    let (code, _) =
        office.error(&["roster", "show", &vault.url, "--key", "pd.key", "--repository", &other]);
    assert_eq!(code, "other-repository");
}

#[test]
fn a_forged_roster_is_refused() {
    let (office, vault, _) = trusting();
    office.ok(&["key", "new", "attacker.key"]);
    office.ok(&["repo", "init", "trap", "--key", "attacker.key"]);
    let forged = std::fs::read_dir(office.path("trap/rosters"))
        .expect("rosters")
        .next()
        .expect("one")
        .expect("one");
    std::fs::copy(forged.path(), office.path("depot/rosters").join(forged.file_name()))
        .expect("planted");
    let (code, _) = office.error(&["snapshots", &vault.url, "--key", "pd.key"]);
    assert!(["bad-roster", "other-repository"].contains(&code.as_str()), "{code}");
}

#[test]
fn a_clock_two_hours_off_is_a_warning() {
    let ahead = FixedClock::new(SystemClock.now().plus_seconds(7200));
    let (office, vault, _) = trusting_at(Arc::new(ahead));
    let said = office.run(&["roster", "show", &vault.url, "--key", "pd.key"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("clock") && said.stderr.contains("behind"), "{}", said.stderr);
}
