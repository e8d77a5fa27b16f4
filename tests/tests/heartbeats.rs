//! Agents at the real controller, which is killed: no acknowledged report is ever lost, and of heartbeats no more than
//! what was not written; a controller that stops in order loses nothing. The benchmark's short form.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use lumbung_model::{AgentId, Clock, DatasetId, DomainId, RepositoryId, SystemClock};
use lumbung_pack::{SigningKey, Statistics};
use lumbung_tests::city::Controller;
use lumbung_tests::process::{eventually, output, program};
use lumbung_wire::Role;
use lumbung_wire::certs;
use lumbung_wire::client::ControllerClient;
use lumbung_wire::messages::{
    EnrollRequest, HeartbeatRequest, HostHealth, JobPhase, JobState, Outcome, Report, ReportId,
    ReportKind,
};
use lumbung_wire::tls::{ServerTrust, TlsIdentity, client_config};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::sync::watch;

const AGENTS: usize = 4;

/// What an agent was answered.
#[derive(Default)]
struct Answered {
    reports: BTreeSet<ReportId>,
    /// Heartbeats that were sent, answered or not.
    sent: i64,
    /// The controller's clock in the last answer to a heartbeat.
    last: i64,
}

struct Agent {
    id: AgentId,
    dataset: DatasetId,
    client: ControllerClient,
    answered: Arc<Mutex<Answered>>,
}

impl Agent {
    async fn enrol(controller: &Controller, server: &str, dataset: DatasetId) -> Self {
        let trust = ServerTrust::CaFingerprint(controller.ca_fingerprint.clone());
        let client = |identity: Option<&TlsIdentity>| {
            let tls = client_config(identity, trust.clone(), Arc::new(SystemClock)).unwrap();
            ControllerClient::new(&controller.url, &tls).unwrap()
        };
        let (key, id) = (certs::generate_key().unwrap(), AgentId::random());
        let request = EnrollRequest {
            token: controller.token("agent", server).unwrap(),
            role: Role::Agent,
            csr_pem: certs::csr(&key, server).unwrap(),
            repository: Some(RepositoryId::from_bytes([7; 32])),
            agent: Some(id),
            agent_key: Some(SigningKey::generate().public()),
            domain: Some(DomainId::random()),
            site: None,
            receipt_key: None,
            url: None,
            tls_pin: None,
        };
        let answer = client(None).enroll(&request).await.unwrap();
        let identity = TlsIdentity::from_pem(&answer.certificate_pem, &key).unwrap();
        Self { id, dataset, client: client(Some(&identity)), answered: Arc::default() }
    }

    fn heartbeat(&self) -> HeartbeatRequest {
        let job = JobState {
            dataset: self.dataset,
            name: "berkas".into(),
            state: JobPhase::Waiting,
            last_ok: None,
            next_run: None,
            message: None,
        };
        let health = HostHealth { hostname: "srv".into(), ..HostHealth::default() };
        HeartbeatRequest {
            now: SystemClock.now(),
            version: "0.1.0".into(),
            health,
            jobs: vec![job],
            policy: None,
        }
    }

    fn report(&self) -> Report {
        Report {
            id: ReportId::random(),
            kind: ReportKind::Backup,
            at: SystemClock.now(),
            dataset: self.dataset,
            manifest: None,
            outcome: Outcome::Ok,
            statistics: Statistics::default(),
            message: String::new(),
            cause: None,
            changes: None,
        }
    }

    async fn beat(&self) -> bool {
        self.answered.lock().unwrap().sent += 1;
        let Ok(answer) = self.client.heartbeat(&self.heartbeat()).await else { return false };
        self.answered.lock().unwrap().last = answer.now.0;
        true
    }

    /// Heartbeats and reports, those without an acknowledgement again, for as long as the controller is up.
    async fn live(&self, mut up: watch::Receiver<bool>, acknowledged: mpsc::Sender<()>) {
        let mut waiting = Vec::new();
        while up.wait_for(|up| *up).await.is_ok() {
            if !self.beat().await {
                continue;
            }
            waiting.push(self.report());
            let Ok(ack) = self.client.reports(&waiting).await else { continue };
            waiting.retain(|report| !ack.acknowledged.contains(&report.id));
            self.answered.lock().unwrap().reports.extend(ack.acknowledged);
            if acknowledged.send(()).is_err() {
                return;
            }
        }
    }
}

/// What stands in the database, whether its controller runs or not.
struct Written {
    reports: BTreeSet<ReportId>,
    last_seen: BTreeMap<AgentId, i64>,
    /// First, last, number.
    spans: BTreeMap<AgentId, Vec<(i64, i64, i64)>>,
}

fn written(controller: &Controller) -> Written {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let db = Connection::open_with_flags(controller.database(), flags).unwrap();
    let mut found =
        Written { reports: BTreeSet::new(), last_seen: BTreeMap::new(), spans: BTreeMap::new() };
    let mut rows = db.prepare("SELECT id FROM reports").unwrap();
    for id in rows.query_map([], |row| row.get(0)).unwrap() {
        found.reports.insert(ReportId::from_bytes(id.unwrap()));
    }
    let mut rows = db.prepare("SELECT id, last_seen_s FROM agents").unwrap();
    let pairs = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)));
    for (id, at) in pairs.unwrap().map(Result::unwrap) {
        found.last_seen.insert(AgentId::from_bytes(id), at.unwrap_or(0));
    }
    let sql = "SELECT agent, first_s, last_s, beats FROM heartbeat_spans ORDER BY agent, first_s";
    let mut rows = db.prepare(sql).unwrap();
    let spans =
        rows.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))));
    for (id, span) in spans.unwrap().map(Result::unwrap) {
        found.spans.entry(AgentId::from_bytes(id)).or_default().push(span);
    }
    found
}

async fn found(dir: &TempDir) -> (Controller, Vec<Agent>) {
    let mut controller = Controller::create(dir.path()).unwrap();
    let mut register = "[[pd]]\ncode = \"DINKES\"\nname = \"Dinas Kesehatan\"\n".to_owned();
    let datasets: Vec<DatasetId> = (0..AGENTS).map(|_| DatasetId::random()).collect();
    for (n, dataset) in datasets.iter().enumerate() {
        register += &format!(
            "[[pd.server]]\nname = \"srv-{n}\"\nkind = \"vps\"\n[[pd.server.dataset]]\nid = \"{dataset}\"\nname = \"berkas\"\n\
             kind = \"files\"\nclassification = \"public\"\nurgency = \"normal\"\n"
        );
    }
    let file = dir.path().join("register.toml");
    fs::write(&file, register).unwrap();
    output(controller.command().arg("import").arg(&file)).unwrap();
    controller.start().unwrap();
    let mut agents = Vec::new();
    for (n, dataset) in datasets.into_iter().enumerate() {
        agents.push(Agent::enrol(&controller, &format!("srv-{n}"), dataset).await);
    }
    (controller, agents)
}

/// Waits until the keeper has written what agents were answered until now.
fn until_written(controller: &Controller, agents: &[Agent]) {
    let answered: BTreeMap<AgentId, i64> =
        agents.iter().map(|agent| (agent.id, agent.answered.lock().unwrap().last)).collect();
    eventually("the writing of heartbeats", || {
        let last_seen = written(controller).last_seen;
        let all = answered.iter().all(|(agent, last)| last_seen[agent] >= *last);
        Ok(if all { Ok(()) } else { Err(format!("{last_seen:?}")) })
    })
    .unwrap();
}

/// What holds after every end of the controller, however it came.
fn check(agents: &[Agent], written: &Written) {
    for agent in agents {
        let answered = agent.answered.lock().unwrap();
        assert!(answered.reports.is_subset(&written.reports), "an acknowledged report is lost");
        let spans = written.spans.get(&agent.id).cloned().unwrap_or_default();
        assert!(spans.is_sorted_by(|one, next| one.1 < next.0), "spans overlap: {spans:?}");
        let last = spans.last().map_or(0, |span| span.1);
        assert_eq!(last, written.last_seen[&agent.id], "span and last heartbeat go together");
    }
}

#[test]
fn a_killed_controller_has_every_acknowledged_report_and_one_that_stops_every_heartbeat() {
    let kills: u64 =
        std::env::var("LUMBUNG_TEST_KILLS").map_or(100, |value| value.parse().unwrap()) / 20;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let dir = TempDir::with_prefix("lumbung-heartbeats-").unwrap();
    let (mut controller, agents) = runtime.block_on(found(&dir));
    let agents = Arc::new(agents);
    let (acknowledged, acknowledgements) = mpsc::channel();
    let (up, is_up) = watch::channel(true);
    let live = |n: usize| {
        let (agents, up, acknowledged) = (agents.clone(), is_up.clone(), acknowledged.clone());
        runtime.spawn(async move { agents[n].live(up, acknowledged).await })
    };
    let living: Vec<_> = (0..AGENTS).map(live).collect();
    for round in 1..=kills.max(1) {
        // Another number each time, so that the moments differ.
        for _ in 0..round * 17 % 90 + 3 {
            acknowledgements.recv().unwrap();
        }
        if round % 4 == 0 {
            until_written(&controller, &agents);
        }
        let before = written(&controller).last_seen;
        controller.kill().unwrap();
        let after = written(&controller);
        check(&agents, &after);
        for (agent, at) in before {
            assert!(after.last_seen[&agent] >= at, "what was written is lost");
        }
        controller.start().unwrap();
    }
    // Every agent is heard by this controller before it stops; nobody speaks meanwhile.
    up.send_replace(false);
    drop(up);
    for agent in living {
        runtime.block_on(agent).unwrap();
    }
    for agent in agents.iter() {
        assert!(runtime.block_on(agent.beat()));
    }
    controller.stop().unwrap();
    let after = written(&controller);
    check(&agents, &after);
    for agent in agents.iter() {
        let answered = agent.answered.lock().unwrap();
        assert_eq!(after.last_seen[&agent.id], answered.last, "written when it stopped");
        let beats: i64 = after.spans[&agent.id].iter().map(|span| span.2).sum();
        assert!(beats <= answered.sent, "{beats} of {} were counted", answered.sent);
    }
}

/// Nothing is asserted of the figures: this machine may be doing anything else.
#[test]
fn the_benchmark_of_the_controller_runs_in_its_short_form() {
    let mut bench = std::process::Command::new(program("bench-controller").unwrap());
    bench.args(["--agents", "40", "--datasets", "120", "--pds", "4", "--seconds", "2"]);
    bench.args(["--interval-s", "1", "--report-every", "2", "--rounds", "1"]);
    let told = output(&mut bench).unwrap();
    for line in ["40 servers, 120 datasets imported", "| steady: CPU |", "| steady: RSS |"] {
        assert!(told.contains(line), "{line} is not in:\n{told}");
    }
}
