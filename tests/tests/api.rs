//! Schemathesis against a real controller: whatever `docs/openapi.json` describes is asked, and what it does not allow.
//!
//! Invariants: each caller has a controller of its own, and is still let in at the end; an environment that was not installed
//! fails the test. One check of Schemathesis is left out, `positive_data_acceptance`: that a name is free, that a server is
//! the PD's, that a cursor comes from the page before or that a key is new is no matter of a schema.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lumbung_model::{
    AgentId, Clock as _, DomainId, PublicKey, RepositoryId, SiteId, SystemClock, TlsPin,
};
use lumbung_tests::city::Controller;
use lumbung_tests::process::{any_output, output};
use lumbung_wire::Role;
use lumbung_wire::certs::{self, KeyPem};
use lumbung_wire::client::{ControllerClient, Credentials};
use lumbung_wire::messages::EnrollRequest;
use lumbung_wire::messages::overview::CaInfo;
use lumbung_wire::messages::people::{
    ApiTokenInput, LoginRequest, NewApiToken, PasswordChange, TotpConfirm, TotpSecret, User,
};
use lumbung_wire::tls::{ServerTrust, TlsIdentity, client_config};
use serde_json::Value;
use tempfile::TempDir;
use totp_rs::{Builder, Secret};

/// What everybody's password is.
const PASSWORD: &str = "gabah kering giling";
/// What only agents call.
const OF_AGENTS: [&str; 7] = [
    "/api/v1/drill-orders",
    "/api/v1/drill-reports",
    "/api/v1/heartbeat",
    "/api/v1/reports",
    "/api/v1/renew",
    "/api/v1/policy",
    "/api/v1/inventory",
];
/// Of sites.
const OF_SITES: [&str; 2] = ["/api/v1/vantage", "/api/v1/observations"];
/// Of agents and sites: who acts as the controller. And of standbys, whose keys officers have signed.
const OF_MEMBERS: [&str; 1] = ["/api/v1/succession"];
const OF_STANDBYS: [&str; 1] = ["/api/v1/succession/copy"];
/// What would end the session that a run is made with, or close its account.
const SUICIDAL: [&str; 2] = ["post_logout", "post_users_one_disable"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A controller, and what Schemathesis needs for it.
struct Bed {
    controller: Controller,
    directory: TempDir,
    runtime: tokio::runtime::Runtime,
}

/// As whom the API is asked.
enum As {
    Token(String),
    Session { cookie: String, csrf: String },
    Certificate(PathBuf),
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-api-").unwrap();
        let register = root().join("config/register.example.toml");
        let controller = Controller::alone(directory.path(), &register).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { controller, directory, runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The controller as nobody yet.
    fn client(&self) -> ControllerClient {
        let trust = ServerTrust::CaFingerprint(self.controller.ca_fingerprint.clone());
        let tls = client_config(None, trust, Arc::new(SystemClock)).unwrap();
        ControllerClient::new(&self.controller.url, &tls).unwrap()
    }

    /// Somebody of that role, logged in for the first time: a new password, a second factor.
    fn log_in(&self, role: &str) -> (ControllerClient, Credentials) {
        let name = format!("the-{role}");
        let mut add = self.controller.command();
        add.args(["--json", "user", "add", &name, "--full-name", "Somebody", "--role", role]);
        let made: Value = serde_json::from_str(&output(&mut add).unwrap()).unwrap();
        let password = made["password"].as_str().unwrap().to_owned();
        let login = LoginRequest { name, password: password.clone(), code: None };
        self.runtime.block_on(async {
            let (_, credentials) = self.client().login(&login).await.unwrap();
            let client = self.client().with_credentials(&credentials);
            let change = PasswordChange { current: password, new: PASSWORD.to_owned() };
            client.post::<_, User>("/api/v1/me/password", &change).await.unwrap();
            let secret: TotpSecret = client.post("/api/v1/me/totp", &()).await.unwrap();
            let confirm = TotpConfirm {
                code: code(&secret.secret),
                secret: secret.secret,
                password: PASSWORD.to_owned(),
                present_code: None,
            };
            client.post::<_, User>("/api/v1/me/totp/confirm", &confirm).await.unwrap();
            (client, credentials)
        })
    }

    fn token(&self, role: &str) -> As {
        let (client, _) = self.log_in(role);
        let input = ApiTokenInput { name: "schemathesis".to_owned(), writes: true, days: 1 };
        let made = client.post::<_, NewApiToken>("/api/v1/me/tokens", &input);
        As::Token(self.runtime.block_on(made).unwrap().text)
    }

    fn session(&self, role: &str) -> As {
        match self.log_in(role).1 {
            Credentials::Session { cookie, csrf } => As::Session { cookie, csrf },
            Credentials::Token(_) => unreachable!("a login makes a session"),
        }
    }

    /// The certificate and key of an agent that has enrolled.
    fn agent(&self) -> As {
        let token = self.controller.token("agent", "simrs-1").unwrap();
        self.enrolled(|_, csr_pem| EnrollRequest {
            repository: Some(RepositoryId::from_bytes([1; 32])),
            agent: Some(AgentId::random()),
            agent_key: Some(PublicKey::from_bytes([2; 32])),
            domain: Some(DomainId::random()),
            ..request(token, Role::Agent, csr_pem)
        })
    }

    /// Those of a site.
    fn site(&self) -> As {
        let token = self.controller.token("site", "Pusat Data Diskominfo").unwrap();
        let site = SiteId::random();
        self.enrolled(|key, csr_pem| EnrollRequest {
            site: Some(site),
            receipt_key: Some(PublicKey::from_bytes([2; 32])),
            url: Some("https://vault.example.go.id:7443".to_owned()),
            tls_pin: Some(pin(key, site)),
            ..request(token, Role::Site, csr_pem)
        })
    }

    fn enrolled(&self, request: impl FnOnce(&KeyPem, String) -> EnrollRequest) -> As {
        let key = certs::generate_key().unwrap();
        let request = request(&key, certs::csr(&key, "x").unwrap());
        let enrolled = self.runtime.block_on(self.client().enroll(&request)).unwrap();
        let path = self.path("certificate.pem");
        std::fs::write(&path, enrolled.certificate_pem + key.expose()).unwrap();
        As::Certificate(path)
    }

    /// Runs Schemathesis; `more` are its arguments. Gives what it shows.
    fn run(&self, who: &As, more: &[&str]) -> String {
        let ca: CaInfo = self.runtime.block_on(self.client().get("/api/v1/ca")).unwrap();
        std::fs::write(self.path("ca.pem"), ca.ca_pems.concat()).unwrap();
        let mut run = schemathesis();
        run.arg("--config-file").arg(self.settings(who));
        run.arg("run").arg(root().join("docs/openapi.json"));
        run.args(["--url", &self.controller.url, "--tls-verify"]).arg(self.path("ca.pem"));
        run.args(["--seed", "1", "--checks", "all", "--max-examples"]);
        run.arg(std::env::var("LUMBUNG_TEST_API_EXAMPLES").unwrap_or_else(|_| "10".to_owned()));
        run.args(["--exclude-checks", "positive_data_acceptance"]);
        if let As::Certificate(path) = who {
            run.arg("--request-cert").arg(path);
        }
        let done = any_output(run.args(more).current_dir(self.directory.path())).unwrap();
        let shown = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{shown}{}", String::from_utf8_lossy(&done.stderr));
        assert!(shown.contains("generated"), "nothing was asked:\n{shown}");
        let log = self.controller.log().unwrap();
        let bad = log.lines().find(|line| line.contains("ERROR") || line.contains("panicked"));
        assert_eq!(bad, None);
        shown
    }

    /// Who asks, for Schemathesis: as the security schemes of the document have it, so that it can leave them out as well.
    fn settings(&self, who: &As) -> PathBuf {
        let text = match who {
            As::Token(token) => format!("[auth.openapi.token]\nbearer = \"{token}\"\n"),
            As::Session { cookie, csrf } => {
                let value = cookie.split_once('=').unwrap().1;
                format!(
                    "headers = {{ x-csrf-token = \"{csrf}\" }}\n[auth.openapi.session]\napi_key = \"{value}\"\n"
                )
            }
            As::Certificate(_) => String::new(),
        };
        let path = self.path("schemathesis.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Whether this caller is still let in.
    fn lets_in(&self, who: &As) {
        let credentials = match who {
            As::Token(token) => Credentials::Token(token.clone()),
            As::Session { cookie, csrf } => {
                Credentials::Session { cookie: cookie.clone(), csrf: csrf.clone() }
            }
            As::Certificate(_) => return,
        };
        let client = self.client().with_credentials(&credentials);
        self.runtime.block_on(client.get::<Value>("/api/v1/me")).unwrap();
    }
}

/// The pin under which a site's key is known.
fn pin(key: &KeyPem, site: SiteId) -> TlsPin {
    let certificate = certs::self_signed_site_certificate(key, site).unwrap();
    TlsIdentity::from_pem(&certificate, key).unwrap().pin().unwrap()
}

/// A request for a certificate, without what belongs to its role.
fn request(token: String, role: Role, csr_pem: String) -> EnrollRequest {
    EnrollRequest {
        token,
        role,
        csr_pem,
        repository: None,
        agent: None,
        agent_key: None,
        domain: None,
        site: None,
        receipt_key: None,
        url: None,
        tls_pin: None,
    }
}

/// The code that an app shows now.
fn code(secret: &str) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    totp.generate(SystemClock.now().0.unsigned_abs()).to_string()
}

/// Schemathesis in the environment that `cargo xtask test` makes.
fn schemathesis() -> Command {
    let program = root().join("tests/schemathesis/.venv/bin/schemathesis");
    assert!(program.exists(), "run `cargo xtask test`: it installs Schemathesis");
    let mut command = Command::new(program);
    // It goes to this machine and trusts the city's CA, whatever is set here for others.
    let of_others = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.ends_with("_proxy") || name.ends_with("_ca_bundle")
    };
    for (name, _) in std::env::vars().filter(|(name, _)| of_others(name)) {
        command.env_remove(name);
    }
    command.env("PYTHONUTF8", "1");
    command
}

/// Arguments that leave something out.
fn without<'a>(flag: &'a str, all: &[&'a str]) -> Vec<&'a str> {
    all.iter().flat_map(|one| [flag, *one]).collect()
}

/// Operations that answered with nothing but 401 and 403: they were not tested.
fn untested(shown: &str) -> Vec<&str> {
    let from = shown.find("Authentication failed:").unwrap_or(shown.len());
    let lines = shown[from..].lines().skip(1).take_while(|line| !line.starts_with('💡'));
    lines.filter_map(|line| line.strip_prefix("  - ")).collect()
}

fn holds_for_a_person(bed: &Bed, who: &As, more: &[&str]) -> String {
    let others = [&OF_AGENTS[..], &OF_SITES, &OF_MEMBERS, &OF_STANDBYS].concat();
    let shown = bed.run(who, &[&without("--exclude-path", &others), more].concat());
    bed.lets_in(who);
    shown
}

#[test]
fn the_api_is_as_it_is_described_for_an_operators_token() {
    let bed = Bed::new();
    holds_for_a_person(&bed, &bed.token("operator"), &[]);
}

#[test]
fn the_api_is_as_it_is_described_for_an_administrators_token() {
    let bed = Bed::new();
    holds_for_a_person(&bed, &bed.token("admin"), &[]);
}

#[test]
fn the_api_is_as_it_is_described_for_an_administrators_session() {
    let bed = Bed::new();
    let more = without("--exclude-operation-id", &SUICIDAL);
    let shown = holds_for_a_person(&bed, &bed.session("admin"), &more);
    // These ask for a password, which nobody guesses.
    let guarded =
        ["POST /api/v1/login", "POST /api/v1/me/password", "POST /api/v1/me/totp/confirm"];
    let untested = untested(&shown);
    assert!(untested.iter().all(|one| guarded.contains(one)), "{untested:?}");
}

/// Asks as the holder of a certificate for what is its own.
fn holds_for_a_certificate(bed: &Bed, who: &As, own: &[&str]) {
    // A certificate belongs to the connection: Schemathesis cannot leave it out to see whether it is asked for.
    let mut more = vec!["--exclude-checks", "positive_data_acceptance,ignored_auth"];
    more.extend(without("--include-path", own));
    assert_eq!(untested(&bed.run(who, &more)), [""; 0]);
}

#[test]
fn the_api_is_as_it_is_described_for_an_agent() {
    let bed = Bed::new();
    holds_for_a_certificate(&bed, &bed.agent(), &[&OF_AGENTS[..], &OF_MEMBERS].concat());
}

#[test]
fn the_api_is_as_it_is_described_for_a_site() {
    let bed = Bed::new();
    holds_for_a_certificate(&bed, &bed.site(), &OF_SITES);
}
