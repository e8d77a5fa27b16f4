//! The controller in somebody else's hands: its certificate, its keys and its database, behind a program that says what it
//! likes to an agent that follows the register in everything. The agent is the real one, and so are the vaults.
//!
//! What root at the controller tries at the vaults is in `attackers`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use lumbung_model::{AgentId, Clock as _, ManifestId, PolicyHash, Secret, SystemClock};
use lumbung_pack::{Manifest, SigningKey};
use lumbung_tests::process::{PATIENCE, any_output, eventually};
use lumbung_tests::{evidence, tree};
use lumbung_wire::certs::KeyPem;
use lumbung_wire::messages::policy::{
    Policy, PolicyConfirmation, PolicyDelivery, PolicyMark, PolicyOffer, SignedPolicy,
};
use lumbung_wire::policy as wire;
use lumbung_wire::tls::{ClientAccess, TlsIdentity, server_config};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::attackers::{restores, rosters};
use crate::policies::Bed;

/// More often than the register's class asks for; the test itself backs up by hand.
const OFTEN: &str = "30 * * * *";
/// What a command would leave behind, in the bed and wherever the agent works.
const MARK: &str = "lumbung-was-here";

/// What the rogue controller answers with.
#[derive(Default)]
struct Script {
    sites: Value,
    offer: Option<PolicyOffer>,
    delivery: Option<PolicyDelivery>,
}

/// What the controller is told of machines, beside heartbeats.
const TOLD: [&str; 3] =
    ["GET /api/v1/vantage", "POST /api/v1/observations", "POST /api/v1/inventory"];

/// What it has heard.
#[derive(Default)]
struct Heard {
    beats: u64,
    fetched: u64,
    told: Value,
    /// Requests that no agent makes of a controller.
    other: Vec<String>,
}

struct Shared {
    command: String,
    script: Mutex<Script>,
    heard: watch::Sender<Heard>,
}

/// The rogue controller, at the address of the real one.
struct Rogue {
    shared: Arc<Shared>,
    heard: watch::Receiver<Heard>,
    runtime: Runtime,
    stop: CancellationToken,
}

async fn heartbeat(State(rogue): State<Arc<Shared>>, Json(beat): Json<Value>) -> Json<Value> {
    let mut answer = {
        let script = rogue.script.lock().unwrap();
        json!({"now": SystemClock.now(), "sites": script.sites, "policy": script.offer})
    };
    // Wherever a command could stand, there is one.
    for name in ["command", "run", "exec", "restore", "upgrade", "hook"] {
        answer[name] = json!(rogue.command);
    }
    rogue.heard.send_modify(|heard| {
        heard.beats += 1;
        heard.told = beat["policy"].clone();
    });
    Json(answer)
}

async fn policy(State(rogue): State<Arc<Shared>>) -> Json<Option<PolicyDelivery>> {
    rogue.heard.send_modify(|heard| heard.fetched += 1);
    Json(rogue.script.lock().unwrap().delivery.clone())
}

async fn reports(Json(reports): Json<Vec<Value>>) -> Json<Value> {
    let ids: Vec<&Value> = reports.iter().map(|report| &report["id"]).collect();
    Json(json!({ "acknowledged": ids }))
}

async fn anything_else(
    State(rogue): State<Arc<Shared>>,
    request: Request,
) -> axum::http::StatusCode {
    let seen = format!("{} {}", request.method(), request.uri().path());
    // It stands where the controller stood: what vaults and agents tell of machines is for it.
    if !TOLD.contains(&seen.as_str()) {
        rogue.heard.send_modify(|heard| heard.other.push(seen));
    }
    axum::http::StatusCode::OK
}

impl Rogue {
    /// With the certificate and key of the controller.
    fn start(bed: &Bed) -> Self {
        let file = |name: &str| fs::read_to_string(bed.city.controller.data().join(name)).unwrap();
        let own =
            TlsIdentity::from_pem(&file("server.crt"), &KeyPem::new(file("server.key"))).unwrap();
        let access = ClientAccess { anonymous: true, self_signed: true };
        let tls = server_config(&own, &[file("ca.crt")], access, Arc::new(SystemClock)).unwrap();
        let (sender, heard) = watch::channel(Heard::default());
        let shared =
            Arc::new(Shared { command: command(bed), script: Mutex::default(), heard: sender });
        let router = Router::new()
            .route("/api/v1/heartbeat", post(heartbeat))
            .route("/api/v1/policy", get(policy))
            .route("/api/v1/reports", post(reports))
            .fallback(anything_else)
            .with_state(shared.clone());
        let (runtime, stop) = (Runtime::new().unwrap(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        let address = bed.city.controller.url.trim_start_matches("https://").to_owned();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            tokio::spawn(lumbung_wire::serve(listener, tls, router, stopped));
        });
        Self { shared, heard, runtime, stop }
    }

    /// Waits until what the agent said fits.
    fn until(&mut self, what: &str, fits: impl Fn(&Heard) -> bool) {
        let waited = self.heard.wait_for(|heard| fits(heard));
        let waited =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, waited).await.is_ok() });
        assert!(waited, "{what}: {}", self.heard.borrow().told);
    }

    /// Waits until the agent has gone by an answer that was given after this was called. A SIGHUP makes it ask at once.
    fn is_heard(&mut self, bed: &Bed) {
        for _ in 0..2 {
            let beats = self.heard.borrow().beats;
            nudge(bed);
            self.until("a heartbeat", |heard| heard.beats > beats);
        }
    }

    /// From now on the newest policy is this one.
    fn publish(
        &self,
        policy: &SignedPolicy,
        confirmation: Option<PolicyConfirmation>,
    ) -> PolicyMark {
        let version = serde_json::from_str::<Value>(&policy.text).unwrap()["version"].as_u64();
        let mark = PolicyMark { version: version.unwrap(), hash: wire::hash(&policy.text) };
        let mut script = self.shared.script.lock().unwrap();
        let confirmed = confirmation.is_some();
        script.offer = Some(PolicyOffer { version: mark.version, hash: mark.hash, confirmed });
        script.delivery = Some(PolicyDelivery { policy: policy.clone(), confirmation });
        mark
    }

    /// Publishes what the agent must refuse, with these words, and stay with what it has.
    fn is_refused(&mut self, policy: &SignedPolicy, with: &str, stays: PolicyMark) {
        self.publish(policy, None);
        self.until(with, |heard| {
            heard.told["refused"].as_str().is_some_and(|told| told.contains(with))
        });
        assert_eq!(self.heard.borrow().told["applied"], json!(stays), "{with}");
    }

    fn shows(&self, sites: Value) {
        self.shared.script.lock().unwrap().sites = sites;
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn command(bed: &Bed) -> String {
    format!("touch {}", bed.directory.path().join(MARK).display())
}

/// Has the agent ask its controller at once.
fn nudge(bed: &Bed) {
    let agent = i32::try_from(bed.pd().id().unwrap()).unwrap();
    let agent = rustix::process::Pid::from_raw(agent).unwrap();
    rustix::process::kill_process(agent, rustix::process::Signal::HUP).unwrap();
}

/// Signs any text as a policy, be it none.
fn sign(text: &str, key: &SigningKey) -> SignedPolicy {
    let message = [b"lumbung policy 1\0", text.as_bytes()].concat();
    let signature = HEXLOWER.encode(&key.sign(&message));
    SignedPolicy { text: text.to_owned(), signer: key.public(), signature }
}

/// What was stolen with the controller.
struct Loot {
    key: SigningKey,
    /// Every policy that was ever published for the server, oldest first.
    published: Vec<SignedPolicy>,
    sites: Value,
}

impl Loot {
    fn take(bed: &Bed) -> Self {
        let seed = fs::read_to_string(bed.city.controller.data().join("policy.key")).unwrap();
        let seed = HEXLOWER.decode(seed.trim().as_bytes()).unwrap();
        let key = SigningKey::from_seed(&Secret::new(seed.try_into().unwrap()));
        let database = bed.city.controller.database();
        let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        let mut rows = db.prepare("SELECT body FROM policies ORDER BY version").unwrap();
        let texts = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let published = texts.map(|text| sign(&text.unwrap(), &key)).collect();
        let enrolment = fs::read_to_string(bed.pd().server.join("state/enrolment.json")).unwrap();
        let sites = serde_json::from_str::<Value>(&enrolment).unwrap()["sites"].clone();
        Self { key, published, sites }
    }

    /// The newest genuine policy.
    fn newest(&self) -> Policy {
        serde_json::from_str(&self.published.last().unwrap().text).unwrap()
    }

    /// The next one, with something changed, in the controller's name.
    fn forge(&self, version: u64, change: impl FnOnce(&mut Policy)) -> SignedPolicy {
        let mut policy = Policy { version, ..self.newest() };
        change(&mut policy);
        wire::sign(&policy, &self.key).unwrap()
    }

    /// A policy with a member that none has, inserted before the `place`-th occurrence of `before`.
    fn with_member(&self, version: u64, before: &str, member: &str) -> SignedPolicy {
        let text = self.forge(version, |_| ()).text;
        let spoilt = text.replacen(before, &format!("{member},{before}"), 1);
        assert_ne!(text, spoilt);
        sign(&spoilt, &self.key)
    }
}

/// Changes a file, has the agent back up by hand, and returns the new snapshot at the Pusat Data.
fn backs_up(bed: &Bed, what: &str) -> ManifestId {
    let repository = bed.city.pusat.repository(&bed.pd().repository);
    let before: BTreeSet<ManifestId> =
        evidence::objects::<Manifest>(&repository).unwrap().iter().map(|one| one.id).collect();
    fs::write(bed.folders[1].join("baru.csv"), what).unwrap();
    eventually(what, || {
        let run = any_output(bed.pd().agent().args(["backup", "Data Rumah Sakit"]))?;
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        // One of its schedule may be under way.
        Ok(if said.contains("another backup of this agent") { Err(said) } else { Ok(()) })
    })
    .unwrap();
    let newest = evidence::newest(&repository).unwrap().id;
    assert!(!before.contains(&newest), "{what}: no snapshot reached the Pusat Data");
    newest
}

/// Another site than the city's: what the rogue writes into the register.
fn elsewhere(real: &Value, rogue: &str) -> [(&'static str, Value); 5] {
    let change = |fields: &[(&str, Value)]| {
        let mut sites = real.clone();
        for site in sites.as_array_mut().unwrap() {
            for (name, value) in fields {
                site[*name] = value.clone();
            }
        }
        sites
    };
    let other = lumbung_model::SiteId::random().to_string();
    let (url, pin) = (json!(rogue), json!("5".repeat(64)));
    [
        ("the city's sites at the rogue's address", change(&[("url", url.clone())])),
        ("… with a key of its own", change(&[("url", url.clone()), ("tls_pin", pin.clone())])),
        ("another site", json!([change(&[("site", json!(other)), ("url", url)])[0]])),
        ("nowhere", change(&[("url", json!("https://127.0.0.1:1"))])),
        ("an address that is none", change(&[("url", json!("rm -rf /"))])),
    ]
}

/// An agent that follows the register, has been told two policies and has backed up; the second asks for more.
fn followed() -> (Bed, PolicyMark) {
    let mut bed = Bed::new();
    bed.city.pds[0].start().unwrap();
    let version = |bed: &Bed| bed.entry()["published"]["version"].as_u64();
    let first =
        eventually("a policy is published", || Ok(version(&bed).ok_or("none".to_owned()))).unwrap();
    bed.tells(first, None);
    bed.register_at(OFTEN, &bed.folders.clone(), &[]);
    bed.tells(first + 1, None);
    let mark = serde_json::from_value(bed.entry()["told"]["applied"].clone()).unwrap();
    (bed, mark)
}

#[test]
fn a_stolen_controller_with_its_keys_commands_narrows_and_diverts_nothing() {
    let (mut bed, genuine) = followed();
    let mut snapshots = vec![backs_up(&bed, "genuine")];
    bed.city.arrives(snapshots[0]).unwrap();
    let jobs = bed.agent(&["policy", "show"])["content"].clone();
    bed.city.controller.kill().unwrap();
    let loot = Loot::take(&bed);
    let mut rogue = Rogue::start(&bed);
    rogue.shows(loot.sites.clone());
    let next = genuine.version + 1;

    // A command, wherever one could stand; an older policy; one of another agent; one of another key.
    let command = command(&bed);
    for (before, member) in [
        ("\"content\":", format!("\"command\":\"{command}\"")),
        ("\"paths\":", format!("\"pre_hook\":\"{command}\"")),
        ("\"jobs\":", "\"restore\":{\"snapshot\":\"0\",\"target\":\"/\"}".to_owned()),
        ("\"jobs\":", "\"sites\":[{\"url\":\"https://127.0.0.1:1\"}]".to_owned()),
    ] {
        let policy = loot.with_member(next, before, &member);
        rogue.is_refused(&policy, "none that this version knows", genuine);
    }
    rogue.is_refused(&loot.published[0], "came after policy", genuine);
    let foreign = loot.forge(next, |policy| policy.agent = AgentId::random());
    rogue.is_refused(&foreign, "another agent or server", genuine);
    let own_key = SigningKey::generate();
    let other = wire::sign(&Policy { version: next, ..loot.newest() }, &own_key).unwrap();
    rogue.is_refused(&other, "instead of", genuine);

    // Less: it waits, whoever the controller says has confirmed it.
    let less = loot.forge(next, |policy| {
        policy.content.jobs[0].paths.truncate(1);
    });
    let mark = rogue.publish(&less, None);
    rogue.until("less waits", |heard| heard.told["pending"] == json!(mark));
    for word in forged_confirmations(&bed, &loot, mark.hash) {
        let fetched = rogue.heard.borrow().fetched;
        rogue.publish(&less, Some(word));
        rogue.is_heard(&bed);
        rogue.until("it is fetched", |heard| heard.fetched > fetched);
        rogue.is_heard(&bed);
        let heard = rogue.heard.borrow();
        assert_eq!(
            (&heard.told["applied"], &heard.told["pending"]),
            (&json!(genuine), &json!(mark))
        );
    }
    let nothing = loot.forge(next + 1, |policy| policy.content.jobs.clear());
    let mark = rogue.publish(&nothing, None);
    rogue.until("nothing at all waits too", |heard| heard.told["pending"] == json!(mark));
    assert_eq!(bed.agent(&["policy", "show"])["content"], jobs);

    // Elsewhere: every backup reaches the city's own site.
    let url = bed.city.controller.url.clone();
    for (what, sites) in elsewhere(&loot.sites, &url) {
        rogue.shows(sites);
        rogue.is_heard(&bed);
        snapshots.push(backs_up(&bed, what));
    }
    assert_eq!(rogue.heard.borrow().other, Vec::<String>::new(), "something was sent there");

    // More is what it may ask for; a name is a name, whatever stands in it.
    let named = bed.directory.path().join(format!("$(touch {MARK});`touch {MARK}`"));
    fs::create_dir(&named).unwrap();
    fs::write(named.join("isi.csv"), "isi").unwrap();
    let more = loot.forge(next + 2, |policy| {
        policy.content.jobs[0].paths.push(named.display().to_string());
    });
    let mark = rogue.publish(&more, None);
    rogue.until("more is taken", |heard| heard.told["applied"] == json!(mark));
    let last = backs_up(&bed, "more");
    snapshots.push(last);
    snapshots.iter().for_each(|snapshot| bed.city.arrives(*snapshot).unwrap());
    let places = [bed.directory.path(), &bed.pd().server, Path::new("/"), Path::new(".")];
    assert!(places.iter().all(|place| !place.join(MARK).exists()), "a command ran");
    for folder in bed.folders.iter().chain([&named]) {
        let original = tree::read(folder).unwrap();
        for site in [&bed.city.pusat, &bed.city.drc] {
            restores(&bed.city, site, last, folder, &original);
        }
    }
    drop(rogue);
    comes_home(&mut bed, mark, &snapshots);
}

/// A custodian's word that no custodian has given, in every way in which the controller's thief could write one.
fn forged_confirmations(bed: &Bed, loot: &Loot, policy: PolicyHash) -> Vec<PolicyConfirmation> {
    let agent = loot.newest().agent;
    let root = rosters(&bed.city, &bed.city.pusat).current().body.root_keys[0].key;
    let by_policy_key = wire::confirm(policy, agent, &loot.key);
    let by_anybody = wire::confirm(policy, agent, &SigningKey::generate());
    let in_the_roots_name = PolicyConfirmation { key: root, ..by_policy_key.clone() };
    vec![by_policy_key, by_anybody, in_the_roots_name]
}

/// The real controller again: it numbers its policies beyond the rogue's, less than the rogue asked for takes a word on the
/// server, and every run is told of.
fn comes_home(bed: &mut Bed, rogues: PolicyMark, snapshots: &[ManifestId]) {
    bed.city.controller.start().unwrap();
    let pending = eventually("the real policy waits on the server", || {
        let entry = bed.entry();
        let pending = entry["told"]["pending"]["version"].as_u64();
        let published = entry["published"]["version"].as_u64();
        let fits =
            pending.filter(|pending| *pending > rogues.version && Some(*pending) == published);
        Ok(fits.ok_or_else(|| entry.to_string()))
    })
    .unwrap();
    bed.agent(&["policy", "confirm", &pending.to_string()]);
    bed.tells(pending, None);
    assert_eq!(bed.paths(), 2);
    let database = bed.city.controller.database();
    let wanted: BTreeSet<String> = snapshots.iter().map(ToString::to_string).collect();
    eventually("the real controller has the report of every run", || {
        let db = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut rows = db.prepare(
            "SELECT json_extract(body, '$.manifest') FROM reports WHERE kind = 'backup'",
        )?;
        let told: BTreeSet<String> =
            rows.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(if wanted.is_subset(&told) { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .unwrap();
}
