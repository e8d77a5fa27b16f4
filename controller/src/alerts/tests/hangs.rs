//! A channel that hangs, over the outbox at work: its messages go on to the next address in time, whether they had their turn
//! or not.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use lumbung_model::Clock as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::outages::Desk;
use crate::alerts::channel::Channels;
use crate::alerts::outbox::Outbox;
use crate::alerts::settings::{Named, Settings};

/// More than a channel has under way together.
const PEOPLE: usize = 12;

#[tokio::test]
async fn a_mail_server_that_hangs_keeps_nobody_from_hearing_by_a_webhook() {
    let dir = tempfile::tempdir().unwrap();
    // It takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = mute.local_addr().unwrap().port();
    let (came, mut heard) = mpsc::unbounded_channel();
    let hook = post(move |uri: http::Uri| {
        let _ = came.send(uri.path().to_owned());
        async { "ok" }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback_service(hook);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "rahasia").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, mode).unwrap();

    let mut desk = Desk::new(1);
    let text = format!(
        "digest_at = 'never'\nquiet = 'never'\n[mail]\nhost = 'localhost'\nsecurity = 'none'\nport = {port}\nfrom = 'l@example.go.id'\n\
         [webhook]\nsecret_file = '{}'\n[[route]]\nrepeat_min = 600\nsteps = [{{ to = [{}] }}]",
        secret.display(),
        (0..PEOPLE).map(|n| format!("'name:n{n}'")).collect::<Vec<_>>().join(", ")
    );
    let mut settings: Settings = toml::from_str(&text).unwrap();
    let named = |n: usize| Named {
        name: format!("n{n}"),
        mail: format!("n{n}@example.go.id"),
        telegram: String::new(),
        webhook: format!("http://{address}/{n}"),
    };
    settings.recipient = (0..PEOPLE).map(named).collect();
    assert_eq!(settings.check(), Ok(()));
    let channels = Arc::new(Channels::open(&settings).unwrap());
    desk.settings = Arc::new(settings);
    desk.raise("hidden", "a");
    assert_eq!(desk.round().await, PEOPLE);
    let bell = watch::Sender::new(());
    let outbox = Outbox {
        db: desk.db.clone(),
        clock: desk.city.clock.clone(),
        channels,
        bell: bell.clone(),
    };
    let (_stop, stopped) = watch::channel(false);
    let working = tokio::spawn(outbox.run(stopped));
    // The first are under way: the mail server has been asked.
    let _asked = mute.accept().await.unwrap();
    desk.city.clock.set(desk.city.clock.now().plus_seconds(16 * 60));
    bell.send_replace(());
    let mut told = std::collections::BTreeSet::new();
    while told.len() < PEOPLE {
        told.insert(heard.recv().await.unwrap());
    }
    working.abort();
}
