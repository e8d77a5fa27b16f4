//! The real controller is killed while it tells people: nothing is lost, and nothing comes twice but what was cut off. And a
//! second program notices that the controller is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use lumbung_tests::city::Controller;
use lumbung_tests::process::{Daemon, eventually, program};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A message as it arrived.
struct Arrival {
    id: String,
    /// In which run of the controller.
    run: u32,
    body: Value,
}

/// A receiver of webhooks and signs of life.
#[derive(Clone)]
struct Desk(Arc<Inner>);

struct Inner {
    run: Mutex<u32>,
    arrivals: Mutex<Vec<Arrival>>,
    /// Every third message is taken, and its answer withheld.
    withholds: Mutex<bool>,
    arrived: Mutex<Sender<Method>>,
}

impl Desk {
    /// Starts it; each arrival is told to the receiver.
    fn start() -> (Self, SocketAddr, Receiver<Method>) {
        let (arrived, events) = channel();
        let own = Self(Arc::new(Inner {
            run: Mutex::new(0),
            arrivals: Mutex::default(),
            withholds: Mutex::new(false),
            arrived: Mutex::new(arrived),
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(Self::take).with_state(own.clone());
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        (own, address, events)
    }

    async fn take(
        State(own): State<Self>,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> StatusCode {
        let withheld = if method == Method::POST {
            let id = headers["idempotency-key"].to_str().unwrap().to_owned();
            let run = *own.0.run.lock().unwrap();
            let mut arrivals = own.0.arrivals.lock().unwrap();
            arrivals.push(Arrival { id, run, body: serde_json::from_slice(&body).unwrap() });
            *own.0.withholds.lock().unwrap() && arrivals.len().is_multiple_of(3)
        } else {
            false
        };
        // Whoever waited may have seen enough.
        let _ = own.0.arrived.lock().unwrap().send(method);
        if withheld {
            std::future::pending::<()>().await;
        }
        StatusCode::OK
    }

    fn subjects(&self) -> Vec<String> {
        let arrivals = self.0.arrivals.lock().unwrap();
        arrivals.iter().map(|one| one.body["subject"].as_str().unwrap().to_owned()).collect()
    }
}

fn secret(dir: &Path) -> String {
    let path = dir.join("webhook-secret");
    fs::write(&path, "rahasia\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn append(file: &Path, text: &str) {
    fs::File::options().append(true).open(file).unwrap().write_all(text.as_bytes()).unwrap();
}

fn database(controller: &Controller) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let db = Connection::open_with_flags(controller.database(), flags).unwrap();
    db.busy_timeout(Duration::from_secs(20)).unwrap();
    db
}

fn ids(db: &Connection, filter: &str) -> BTreeSet<String> {
    let sql = format!("SELECT lower(hex(id)) FROM deliveries WHERE {filter}");
    let mut statement = db.prepare(&sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Alarms that are each an alert, and a message.
fn raise(db: &Connection, first: u32, many: u32) {
    for number in first..first + many {
        db.execute(
            "INSERT INTO alarms (kind, subject, detail, raised_s, last_s) VALUES ('hidden', ?, 'hilang', 1, 1)",
            [format!("s{number}")],
        )
        .unwrap();
    }
}

#[test]
fn a_controller_that_is_killed_while_it_tells_loses_nothing_and_repeats_only_what_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (desk, address, events) = Desk::start();
    let mut controller = Controller::create(dir.path()).unwrap();
    append(
        &controller.dir().join("controller.toml"),
        &format!(
            "\n[alerts]\ndigest_at = \"never\"\n[alerts.webhook]\nsecret_file = \"{}\"\n\
             [[alerts.recipient]]\nname = \"noc\"\nwebhook = \"http://{address}/hook\"\n\
             [[alerts.recipient]]\nname = \"kepala\"\nwebhook = \"http://{address}/kepala\"\n\
             [[alerts.route]]\nkind = [\"hidden\"]\ngroup = \"alarm\"\nrepeat_min = 1440\n\
             steps = [{{ to = [\"name:noc\", \"name:kepala\"] }}]\n",
            secret(dir.path())
        ),
    );
    *desk.0.withholds.lock().unwrap() = true;
    // What was written down as sent never comes again.
    let mut settled: Vec<(u32, BTreeSet<String>)> = Vec::new();
    for run in 0..12_u32 {
        *desk.0.run.lock().unwrap() = run;
        raise(&database(&controller), run * 2, 2);
        while events.try_recv().is_ok() {}
        controller.start().unwrap();
        // It is killed after its first message, or its second.
        for _ in 0..=run % 2 {
            events.recv_timeout(PATIENCE).unwrap();
        }
        controller.kill().unwrap();
        settled.push((run, ids(&database(&controller), "state = 'sent'")));
    }
    *desk.0.withholds.lock().unwrap() = false;
    *desk.0.run.lock().unwrap() = 12;
    controller.start().unwrap();
    eventually("everything is sent", || {
        let db = database(&controller);
        let (sent, all) = (ids(&db, "state = 'sent'").len(), ids(&db, "1").len());
        Ok(if sent > 0 && sent == all { Ok(()) } else { Err(format!("{sent} of {all}")) })
    })
    .unwrap();
    let all = ids(&database(&controller), "1");
    let arrivals = desk.0.arrivals.lock().unwrap();
    let mut runs: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for one in arrivals.iter() {
        let seen = runs.entry(&one.id).or_default();
        assert!(
            !seen.contains(&one.run),
            "{} came twice to a controller that was not killed",
            one.id
        );
        let repeated = one.body["maybe_repeated"].as_bool().unwrap();
        assert!(seen.is_empty() || repeated, "{} does not say that it may be a repeat", one.id);
        let before = settled.iter().filter(|(run, _)| *run < one.run);
        assert!(
            before.clone().all(|(_, sent)| !sent.contains(&one.id)),
            "{} was sent already",
            one.id
        );
        seen.push(one.run);
    }
    assert_eq!(runs.keys().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(), all);
    // Everything that is wrong was told to both.
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in arrivals.iter() {
        for alert in one.body["alerts"].as_array().unwrap() {
            let recipient = one.body["recipient"].as_str().unwrap().to_owned();
            told.entry(recipient).or_default().insert(alert["id"].as_str().unwrap().to_owned());
        }
    }
    let counts: Vec<usize> = told.values().map(BTreeSet::len).collect();
    assert_eq!(counts, [24, 24], "{:?}", told.keys());
}

#[test]
fn a_second_program_tells_that_the_controller_is_gone_and_that_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (desk, address, events) = Desk::start();
    let mut controller = Controller::create(dir.path()).unwrap();
    append(
        &controller.dir().join("controller.toml"),
        &format!("\n[alerts.pulse]\nurl = \"http://{address}/ping\"\ninterval_s = 10\n"),
    );
    controller.start().unwrap();
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), Method::GET, "a sign of life");
    let file = dir.path().join("watch.toml");
    fs::write(
        &file,
        format!(
            "data_dir = \"{}\"\nurl = \"{}\"\nca_fingerprint = \"{}\"\ninterval_s = 1\nsilent_s = 2\n\
             to = [\"name:noc\"]\n[alerts]\ndamp_s = 10\n[alerts.webhook]\nsecret_file = \"{}\"\n\
             [[alerts.recipient]]\nname = \"noc\"\nwebhook = \"http://{address}/hook\"\n",
            dir.path().join("watch").display(),
            controller.url,
            controller.ca_fingerprint,
            secret(dir.path()),
        ),
    )
    .unwrap();
    let mut command = Command::new(program("lumbung-controller").unwrap());
    command.arg("watch").arg("--file").arg(&file);
    let mut watch = Daemon::start("watch", &mut command, &dir.path().join("watch.log")).unwrap();
    watch.wait_for("watching").unwrap();
    controller.kill().unwrap();
    let told = |text: &str| {
        let seen = || {
            let subjects = desk.subjects();
            let found = subjects.iter().any(|subject| subject.contains(text));
            Ok(if found { Ok(()) } else { Err(format!("{subjects:?}")) })
        };
        eventually(text, seen).unwrap();
    };
    told("Controller tidak menjawab");
    assert_eq!(desk.subjects().len(), 1);
    controller.start().unwrap();
    told("Controller tidak menjawab (selesai)");
    assert_eq!(desk.subjects().len(), 2, "{:?}", desk.subjects());
}
