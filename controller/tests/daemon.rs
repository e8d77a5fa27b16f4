//! The running controller over real sockets and TLS: enrolment by fingerprint, certificates, refusals.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;

use lumbung_controller::config::Config;
use lumbung_controller::daemon;
use lumbung_controller::state_dir::StateDir;
use lumbung_model::{AgentId, Clock, DomainId, RepositoryId, SystemClock};
use lumbung_pack::SigningKey;
use lumbung_wire::certs::{self, KeyPem};
use lumbung_wire::client::ControllerClient;
use lumbung_wire::messages::overview::{ControllerHealth, Overview, TokenRequest};
use lumbung_wire::messages::register::{
    EnrollmentToken, Pd, PdInput, PdKind, Server, ServerInput, ServerKind,
};
use lumbung_wire::messages::{EnrollRequest, HeartbeatRequest, HostHealth, RenewRequest};
use lumbung_wire::tls::{self, ServerTrust, TlsIdentity};
use lumbung_wire::{Problem, Role};

struct Running {
    _dir: tempfile::TempDir,
    url: String,
    fingerprint: String,
    operator: TlsIdentity,
}

async fn start() -> Running {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        names: vec!["127.0.0.1".to_owned()],
        ..Config::default()
    };
    let made = StateDir::at(&config.data_dir).init(&config.names, &SystemClock).unwrap();
    let pem = std::fs::read_to_string(made.operator).unwrap();
    let operator = TlsIdentity::from_pem(&pem, &KeyPem::new(pem.clone())).unwrap();
    let (ready, address) = tokio::sync::oneshot::channel();
    tokio::spawn(daemon::run(config, Arc::new(SystemClock), move |bound| {
        let _ = ready.send(bound);
    }));
    let url = format!("https://{}", address.await.unwrap());
    Running { _dir: dir, url, fingerprint: made.ca_fingerprint, operator }
}

impl Running {
    fn client(&self, identity: Option<&TlsIdentity>) -> ControllerClient {
        let trust = ServerTrust::CaFingerprint(self.fingerprint.clone());
        let tls = tls::client_config(identity, trust, Arc::new(SystemClock)).unwrap();
        ControllerClient::new(&self.url, &tls).unwrap()
    }

    async fn token(&self) -> EnrollmentToken {
        let operator = self.client(Some(&self.operator));
        let pd = PdInput {
            id: None,
            code: "A".into(),
            name: "A".into(),
            kind: PdKind::Other,
            contact: String::new(),
            mandiri_tik: false,
            runs_pusat_data: false,
            link: String::new(),
            rate: String::new(),
            windows: Vec::new(),
        };
        let pd: Pd = operator.post("/api/v1/pd", &pd).await.unwrap();
        let server = ServerInput {
            id: None,
            pd: pd.id,
            name: "s".into(),
            kind: ServerKind::Vps,
            site: None,
            room: None,
            pool: None,
            vcpus: None,
            memory_bytes: None,
            disk_bytes: None,
        };
        let _: Server = operator.post("/api/v1/servers", &server).await.unwrap();
        let request =
            TokenRequest { role: Role::Agent, server: Some("s".into()), site: None, life_h: None };
        operator.post("/api/v1/tokens", &request).await.unwrap()
    }
}

fn refusal(result: Result<Overview, lumbung_wire::client::ClientError>) -> Problem {
    result.unwrap_err().problem().unwrap().clone()
}

#[tokio::test]
async fn an_agent_enrols_by_fingerprint_and_speaks_with_its_certificate() {
    let controller = start().await;
    let anonymous = controller.client(None);
    let health: ControllerHealth = anonymous.get("/api/v1/health").await.unwrap();
    assert_eq!(health.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(refusal(anonymous.get("/api/v1/status").await).status, 401);

    let token = controller.token().await;
    assert_eq!(token.ca_fingerprint, controller.fingerprint);
    let key = certs::generate_key().unwrap();
    let request = EnrollRequest {
        token: token.token,
        role: Role::Agent,
        csr_pem: certs::csr(&key, "agent").unwrap(),
        repository: Some(RepositoryId::from_bytes([1; 32])),
        agent: Some(AgentId::random()),
        agent_key: Some(SigningKey::generate().public()),
        domain: Some(DomainId::random()),
        site: None,
        receipt_key: None,
        url: None,
        tls_pin: None,
    };
    let answer = anonymous.enroll(&request).await.unwrap();
    assert!(anonymous.enroll(&request).await.is_err(), "the token was used");

    let identity = TlsIdentity::from_pem(&answer.certificate_pem, &key).unwrap();
    let agent = controller.client(Some(&identity));
    let beat = HeartbeatRequest {
        now: SystemClock.now(),
        version: "0.1.0".into(),
        health: HostHealth::default(),
        jobs: Vec::new(),
        policy: None,
    };
    agent.heartbeat(&beat).await.unwrap();
    assert_eq!(refusal(agent.get("/api/v1/status").await).status, 403);
    let renewed =
        agent.renew(&RenewRequest { csr_pem: certs::csr(&key, "agent").unwrap() }).await.unwrap();
    let renewed = TlsIdentity::from_pem(&renewed.certificate_pem, &key).unwrap();
    controller.client(Some(&renewed)).heartbeat(&beat).await.unwrap();

    let overview: Overview =
        controller.client(Some(&controller.operator)).get("/api/v1/status").await.unwrap();
    assert_eq!(overview.agents.up, 1);
}

#[tokio::test]
async fn a_certificate_of_another_ca_and_a_wrong_fingerprint_are_refused() {
    let (controller, other) = (start().await, start().await);
    let stranger = controller.client(Some(&other.operator));
    assert!(stranger.get::<Overview>("/api/v1/status").await.is_err());
    let trust = ServerTrust::CaFingerprint(other.fingerprint.clone());
    let tls = tls::client_config(None, trust, Arc::new(SystemClock)).unwrap();
    let misled = ControllerClient::new(&controller.url, &tls).unwrap();
    assert!(misled.get::<ControllerHealth>("/api/v1/health").await.is_err());
}
