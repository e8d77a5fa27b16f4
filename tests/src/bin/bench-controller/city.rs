//! The city that is measured: the controller with its register, and the identities of those who call it.
//!
//! Invariants: everything is done over the public API: the register is imported, every site and every agent enrols with
//! a one-time token and a key of its own. A city that is kept in a directory is complete once `city.json` is there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lumbung_model::{AgentId, DatasetId, DomainId, RepositoryId, Secret, SiteId};
use lumbung_pack::SigningKey;
use lumbung_tests::figures::float;
use lumbung_tests::process::{Daemon, free_port, output};
use lumbung_wire::Role;
use lumbung_wire::certs::{self, KeyPem};
use lumbung_wire::messages::overview::{ImportRequest, TokenRequest};
use lumbung_wire::messages::register::{EnrollmentToken, ImportOutcome};
use lumbung_wire::messages::{EnrollRequest, EnrollResponse};
use lumbung_wire::tls::TlsIdentity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Arguments;
use crate::link::{Line, Link};
use crate::register::{PdPlan, SITES, plan, sites_text};

/// Requests of the enrolment at one time.
const AT_ONCE: usize = 16;

/// An agent after its enrolment.
#[derive(Serialize, Deserialize)]
pub(crate) struct Enrolled {
    pub(crate) agent: AgentId,
    pub(crate) datasets: Vec<DatasetId>,
    certificate_pem: String,
    key_pem: String,
}

/// What is kept of a city beside the controller's own directory.
#[derive(Serialize, Deserialize)]
struct Kept {
    agents: Vec<Enrolled>,
    codes: Vec<String>,
}

/// The controller and those who call it.
pub(crate) struct City {
    dir: PathBuf,
    program: PathBuf,
    listen: SocketAddr,
    daemon: Option<Daemon>,
    pub(crate) agents: Vec<Enrolled>,
    /// The codes of the PD.
    pub(crate) codes: Vec<String>,
}

impl City {
    /// The city in `dir`: as it is kept there, or founded.
    pub(crate) async fn open(arguments: &Arguments, program: &Path, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut city = Self {
            dir: dir.canonicalize()?,
            program: program.to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)),
            daemon: None,
            agents: Vec::new(),
            codes: Vec::new(),
        };
        city.configure(arguments)?;
        let file = city.dir.join("city.json");
        if file.is_file() {
            let kept: Kept = serde_json::from_slice(&fs::read(&file)?)?;
            ensure!(
                kept.agents.len() == arguments.agents,
                "{} keeps a city of {} agents: name another directory",
                dir.display(),
                kept.agents.len()
            );
            (city.agents, city.codes) = (kept.agents, kept.codes);
            println!("the city in {} is used again", dir.display());
            return Ok(city);
        }
        output(city.command().arg("init"))?;
        city.start()?;
        city.found(arguments).await?;
        city.stop()?;
        let kept = Kept { agents: city.agents, codes: city.codes };
        fs::write(&file, serde_json::to_vec(&kept)?)?;
        (city.agents, city.codes) = (kept.agents, kept.codes);
        Ok(city)
    }

    fn configure(&self, arguments: &Arguments) -> Result<()> {
        // The sites of this city are names only: nobody is asked for evidence.
        let text = format!(
            "data_dir = {:?}\nlisten = \"{}\"\n\n[heartbeat]\ninterval_s = {}\n\n[poll]\ninterval_s = 86400\n",
            self.dir.join("data"),
            self.listen,
            arguments.interval_s,
        );
        Ok(fs::write(self.dir.join("controller.toml"), text)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.dir.join("controller.toml"));
        command
    }

    /// Starts the controller.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut run = self.command();
        let mut daemon = Daemon::start("controller", run.arg("run"), &self.dir.join("log"))?;
        daemon.wait_for(&format!("listening on {}", self.listen))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.stop())
    }

    /// Its process.
    pub(crate) fn process(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("the controller was not started")?.id())
    }

    fn ca_pem(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("data/ca.crt"))?)
    }

    /// The way of an operator to the controller.
    pub(crate) fn operator(&self) -> Result<Line> {
        let pem = fs::read_to_string(self.dir.join("data/operator.pem"))?;
        let identity = TlsIdentity::from_pem(&pem, &KeyPem::new(pem.clone()))?;
        Line::new(Some(&identity), &self.ca_pem()?, self.listen, Ipv4Addr::LOCALHOST)
    }

    /// The way of each agent to the controller, from an address of its own.
    pub(crate) fn lines(&self) -> Result<Vec<Line>> {
        let ca = self.ca_pem()?;
        let first = u32::from(Ipv4Addr::new(127, 8, 0, 1));
        let line = |(n, agent): (u32, &Enrolled)| {
            let key = KeyPem::new(agent.key_pem.clone());
            let identity = TlsIdentity::from_pem(&agent.certificate_pem, &key)?;
            Line::new(Some(&identity), &ca, self.listen, Ipv4Addr::from(first + n))
        };
        (0..).zip(&self.agents).map(line).collect()
    }

    async fn found(&mut self, arguments: &Arguments) -> Result<()> {
        let operator = self.operator()?;
        let mut link = operator.open().await?;
        let pds = plan(arguments.pds, arguments.agents, arguments.datasets);
        let began = Instant::now();
        import(&mut link, sites_text()).await?;
        for pd in &pds {
            import(&mut link, pd.text()).await?;
        }
        println!(
            "register: {} PD, {} servers, {} datasets imported in {:.1} s",
            pds.len(),
            arguments.agents,
            arguments.datasets,
            began.elapsed().as_secs_f64()
        );
        let stranger = Line::new(None, &self.ca_pem()?, self.listen, Ipv4Addr::LOCALHOST)?;
        for site in SITES {
            enroll_site(&mut link, &stranger, site).await?;
        }
        let began = Instant::now();
        self.agents = enroll_agents(&operator, &stranger, &pds).await?;
        self.codes = pds.into_iter().map(|pd| pd.code).collect();
        let taken = began.elapsed().as_secs_f64();
        println!(
            "enrolment: {} agents in {taken:.1} s, {:.2} ms each",
            self.agents.len(),
            1e3 * taken / float(self.agents.len() as u64)
        );
        Ok(())
    }
}

async fn ask<T: DeserializeOwned>(link: &mut Link, path: &str, body: &impl Serialize) -> Result<T> {
    let answer = link.post(path, serde_json::to_vec(body)?).await?;
    serde_json::from_slice(&answer).with_context(|| format!("the answer of {path}"))
}

async fn import(link: &mut Link, toml: String) -> Result<()> {
    let request = ImportRequest { toml, ..ImportRequest::default() };
    let outcome: ImportOutcome = ask(link, "/api/v1/import", &request).await?;
    ensure!(outcome.updated + outcome.unchanged == 0, "something was in the register: {outcome:?}");
    Ok(())
}

fn enrolment(token: EnrollmentToken, role: Role, key: &KeyPem) -> Result<EnrollRequest> {
    Ok(EnrollRequest {
        token: token.token,
        role,
        csr_pem: certs::csr(key, "benchmark")?,
        repository: None,
        agent: None,
        agent_key: None,
        domain: None,
        site: None,
        receipt_key: None,
        url: None,
        tls_pin: None,
    })
}

async fn enroll_site(operator: &mut Link, stranger: &Line, name: &str) -> Result<()> {
    let wanted =
        TokenRequest { role: Role::Site, server: None, site: Some(name.to_owned()), life_h: None };
    let token = ask(operator, "/api/v1/tokens", &wanted).await?;
    let key = certs::generate_key()?;
    let request = EnrollRequest {
        site: Some(SiteId::random()),
        receipt_key: Some(SigningKey::generate().public()),
        // The discard service: nobody answers there.
        url: Some("https://127.0.0.1:9".to_owned()),
        ..enrolment(token, Role::Site, &key)?
    };
    let mut link = stranger.open().await?;
    ask::<EnrollResponse>(&mut link, "/api/v1/enroll", &request).await?;
    Ok(())
}

/// Enrols an agent on every server; those of a PD share its repository.
async fn enroll_agents(operator: &Line, stranger: &Line, pds: &[PdPlan]) -> Result<Vec<Enrolled>> {
    let mut servers = Vec::new();
    for pd in pds {
        let repository = RepositoryId::from_bytes(*Secret::<32>::random().expose());
        servers.extend(pd.servers.iter().map(|server| (repository, server)));
    }
    let next = AtomicUsize::new(0);
    let work = async || {
        let (mut operator, mut stranger) = (operator.open().await?, stranger.open().await?);
        let mut enrolled = Vec::new();
        while let Some((repository, server)) = servers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let wanted = TokenRequest {
                role: Role::Agent,
                server: Some(server.id.to_string()),
                site: None,
                life_h: None,
            };
            let token = ask(&mut operator, "/api/v1/tokens", &wanted).await?;
            let (key, agent) = (certs::generate_key()?, AgentId::random());
            let request = EnrollRequest {
                repository: Some(*repository),
                agent: Some(agent),
                agent_key: Some(SigningKey::generate().public()),
                domain: Some(DomainId::random()),
                ..enrolment(token, Role::Agent, &key)?
            };
            let answer: EnrollResponse = ask(&mut stranger, "/api/v1/enroll", &request).await?;
            enrolled.push(Enrolled {
                agent,
                datasets: server.datasets.clone(),
                certificate_pem: answer.certificate_pem,
                key_pem: key.expose().to_owned(),
            });
        }
        Ok::<_, anyhow::Error>(enrolled)
    };
    let mut all = Vec::new();
    for enrolled in futures_util::future::join_all((0..AT_ONCE).map(|_| work())).await {
        all.extend(enrolled?);
    }
    Ok(all)
}
