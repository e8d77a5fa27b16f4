//! The program itself, as a process: background work by itself, the console, SIGKILL at any moment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lumbung_pack::{Kind, RosterSite, SigningKey, object_id};
use lumbung_vault::admit;
use lumbung_vault::state::{SitePublic, State};
use lumbung_wire::certs::root_key_identity;
use lumbung_wire::tls::client_config;
use lumbung_wire::{ServerTrust, VaultClient};

use crate::backing;
use crate::support::{Agent, City, Owner, Snapshot, clock, folder, publish, random};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lumbung-vault");

/// A vault as its operator runs it.
struct Running {
    dir: tempfile::TempDir,
    config: PathBuf,
    port: u16,
    public: SitePublic,
    child: Child,
}

/// Below the ports that outgoing connections are given: one of these would take it while the vault is down.
fn free_port() -> u16 {
    let first = 10_000 + u16::from_le_bytes(random()) % 10_000;
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..30_000).find(is_free).unwrap()
}

fn spawn(config: &Path) -> Child {
    Command::new(PROGRAM)
        .arg("--config")
        .arg(config)
        .arg("run")
        .env("LUMBUNG_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Running {
    fn start(extra: &str) -> Self {
        Self::start_in(None, extra)
    }

    fn start_in(city: Option<&City>, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("vault.toml");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let port = free_port();
        let storage = backing::settings(&data);
        let text = format!(
            "data = {data:?}\nlisten = \"127.0.0.1:{port}\"\nreserve = \"0\"\n{extra}{storage}"
        );
        std::fs::write(&config, text).unwrap();
        let public = State::at(data.join("state")).init().unwrap();
        if let Some(city) = city {
            city.enroll(&data.join("state"), &public);
        }
        let child = spawn(&config);
        Self { dir, config, port, public, child }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn client(&self, key: &SigningKey) -> VaultClient {
        let trust = ServerTrust::Pins(vec![self.public.tls_pin]);
        let tls = client_config(Some(&root_key_identity(key).unwrap()), trust, clock()).unwrap();
        VaultClient::new(&format!("https://127.0.0.1:{}", self.port), &tls).unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = spawn(&self.config);
    }

    fn console(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(PROGRAM).arg("--config").arg(&self.config).args(arguments).output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `check` says yes; a program that never comes to it fails the test.
async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !check().await {
        assert!(Instant::now() < end, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn up(client: &VaultClient) {
    until("the vault's answer", async || client.site_info().await.is_ok()).await;
}

/// Brings the owner's rosters there.
async fn found(running: &Running, owner: &Owner) {
    admit(&running.data(), &owner.repository).unwrap();
    let root = running.client(&owner.root);
    up(&root).await;
    for roster in &owner.rosters {
        root.put(&owner.repository, Kind::Roster, &object_id(roster), roster.clone().into())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_signs_inventories_and_scrubs_by_itself() {
    let running = Running::start(
        "inventory_interval = \"1 h\"\ninventory_delay = \"0 s\"\nscrub_interval = \"1 s\"\n",
    );
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    found(&running, &owner).await;
    let snapshot = Snapshot::new(&owner, &agent, None);
    let agent_client = running.client(&agent.key);
    publish(&agent_client, &owner, &snapshot).await;
    let root = running.client(&owner.root);
    for kind in [Kind::Inventory, Kind::Scrub] {
        until(kind.folder(), async || {
            !root.list(&owner.repository, kind).await.unwrap().is_empty()
        })
        .await;
    }

    let scrub = running.console(&["scrub", "--json"]);
    assert!(scrub.status.success(), "{}", String::from_utf8_lossy(&scrub.stderr));
    let line: serde_json::Value = serde_json::from_slice(&scrub.stdout).unwrap();
    assert_eq!((line[0]["verified"].as_u64(), line[0]["bad"].as_u64()), (Some(1), Some(0)));
    let status = running.console(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["running"], true);
    assert_eq!(status["repositories"][owner.repository.to_string()]["snapshots"], 1);

    // What would need the vault alone says so.
    let reindex = running.console(&["reindex"]);
    assert_eq!(reindex.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&reindex.stderr).contains("another lumbung-vault runs"));
    // Damage: found, and told by the exit code.
    let manifest = format!("{}/{}", folder(&owner, Kind::Manifest), snapshot.id);
    backing::lying(&running.data(), manifest).write(b"x".to_vec());
    assert_eq!(running.console(&["scrub"]).status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_in_order() {
    let mut running = Running::start("");
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    found(&running, &owner).await;
    Command::new("kill").args(["-TERM", &running.child.id().to_string()]).status().unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(!running.data().join("state/console.sock").exists());
}

/// Killed again and again while snapshots come in: every receipt that was seen stays as it was, every number is used
/// once, and everything that has a receipt is whole.
#[tokio::test(flavor = "multi_thread")]
async fn sigkill_at_any_moment_loses_no_receipt() {
    let mut running = Running::start("inventory_delay = \"0 s\"\n");
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    found(&running, &owner).await;
    let mut seen: Vec<(Snapshot, Vec<u8>)> = Vec::new();
    // As long as the machine needs for a snapshot or two: longer after every round that brought none.
    let mut window = Duration::from_millis(50);
    let mut rounds = 0;
    while rounds < 20 || seen.len() < 5 {
        rounds += 1;
        let client = running.client(&agent.key);
        up(&client).await;
        let moment = window.mul_f64(f64::from(u16::from_le_bytes(random::<2>())) / 65536.0);
        let before = seen.len();
        let mut next = Snapshot::new(&owner, &agent, seen.last().map(|(snapshot, _)| snapshot));
        let work = async {
            while let Some(receipt) = try_publish(&client, &owner, &next).await {
                let after = Snapshot::new(&owner, &agent, Some(&next));
                seen.push((std::mem::replace(&mut next, after), receipt));
            }
        };
        let _ = tokio::time::timeout(moment, work).await;
        running.kill();
        running.restart();
        if seen.len() == before {
            window = window.mul_f64(1.3);
        }
    }
    let client = running.client(&agent.key);
    up(&client).await;
    for (snapshot, receipt) in &seen {
        let again = client
            .commit(&owner.repository, &snapshot.id, snapshot.bytes.clone().into())
            .await
            .unwrap();
        assert_eq!(again.bytes, *receipt);
    }
    let list = client.all_manifests(&owner.repository).await.unwrap();
    let arrivals: Vec<u64> = list.iter().map(|one| one.arrival).collect();
    assert_eq!(arrivals, (1..=list.len() as u64).collect::<Vec<_>>());
    let scrub: serde_json::Value =
        serde_json::from_slice(&running.console(&["scrub", "--json"]).stdout).unwrap();
    assert_eq!((scrub[0]["bad"].as_u64(), scrub[0]["damaged"].as_u64()), (Some(0), Some(0)));
    assert_eq!(scrub[0]["verified"].as_u64(), Some(list.len() as u64));
}

/// A puller that is killed again and again comes to hold everything, and its receipts have no gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_puller_that_is_killed_comes_to_agree() {
    let city = City::new();
    let centre = Running::start_in(Some(&city), "");
    let source = format!(
        "pull_interval = \"1 s\"\n[[source]]\nsite = \"{}\"\nurl = \"https://127.0.0.1:{}\"\npin = \"{}\"\n",
        centre.public.site, centre.port, centre.public.tls_pin
    );
    let agent = Agent::new();
    let mut owner = Owner::new(&[&agent], &[]);
    owner.next_roster(|roster| {
        roster.sites.push(RosterSite {
            site: centre.public.site,
            receipt_key: centre.public.receipt_key,
            tls_pin: centre.public.tls_pin,
            label: "centre".into(),
        });
    });
    found(&centre, &owner).await;
    let client = centre.client(&agent.key);
    let mut newest: Option<Snapshot> = None;
    for _ in 0..12 {
        let next = Snapshot::new(&owner, &agent, newest.as_ref());
        publish(&client, &owner, &next).await;
        newest = Some(next);
    }
    let mut drc = Running::start_in(Some(&city), &source);
    for _ in 0..10 {
        let moment =
            Duration::from_micros(20_000 + u64::from(u16::from_le_bytes(random::<2>())) * 2);
        tokio::time::sleep(moment).await;
        drc.kill();
        drc.restart();
    }
    let root = drc.client(&owner.root);
    until("the whole pull", async || {
        root.all_manifests(&owner.repository).await.is_ok_and(|list| list.len() == 12)
    })
    .await;
    let arrivals: Vec<u64> = root
        .all_manifests(&owner.repository)
        .await
        .unwrap()
        .iter()
        .map(|one| one.arrival)
        .collect();
    assert_eq!(arrivals, (1..=12).collect::<Vec<_>>());
    let scrub: serde_json::Value =
        serde_json::from_slice(&drc.console(&["scrub", "--json"]).stdout).unwrap();
    assert_eq!((scrub[0]["verified"].as_u64(), scrub[0]["bad"].as_u64()), (Some(12), Some(0)));
    let pull = drc.console(&["pull", "--json"]);
    assert!(pull.status.success());
    let pull: serde_json::Value = serde_json::from_slice(&pull.stdout).unwrap();
    assert_eq!((pull[0]["snapshots"].as_u64(), pull[0]["failures"].as_u64()), (Some(0), Some(0)));
}

/// Sends everything of a snapshot; nothing if the vault went away.
async fn try_publish(client: &VaultClient, owner: &Owner, snapshot: &Snapshot) -> Option<Vec<u8>> {
    for (kind, id, bytes) in snapshot.objects() {
        let bytes = bytes.into();
        match kind {
            Kind::Pack => {
                let id = lumbung_model::PackId::from_bytes(id);
                client.put_pack(&owner.repository, &id, vec![bytes]).await.ok()?;
            }
            _ => {
                client.put(&owner.repository, kind, &id, bytes).await.ok()?;
            }
        }
    }
    let answer =
        client.commit(&owner.repository, &snapshot.id, snapshot.bytes.clone().into()).await.ok()?;
    Some(answer.bytes.to_vec())
}
