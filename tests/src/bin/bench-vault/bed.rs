//! A vault as its operator runs it, and those who talk to it: a CA, an owner, agents.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use lumbung_model::{
    AgentId, Clock, DatasetId, DomainId, PublicKey, RepositoryId, RosterId, Secret, SiteId,
    SystemClock, Timestamp, TlsPin,
};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Recipient, RootKey, RootRole, Roster, RosterAgent, RosterSite,
    SigningKey, object_id, sign,
};
use lumbung_tests::process::{Daemon, free_port, output, program};
use lumbung_wire::certs::{Authority, IssueRequest, KeyPem, csr};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::tls::{TlsIdentity, client_config};
use lumbung_wire::{ServerTrust, VaultClient};
use serde_json::Value;

pub(crate) fn random<const N: usize>() -> [u8; N] {
    *Secret::<N>::random().expose()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The city's CA.
pub(crate) struct City {
    authority: Authority,
}

impl City {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { authority: Authority::generate("benchmark", SystemClock.now())?.0 })
    }

    fn wanted(names: CertificateNames) -> IssueRequest {
        IssueRequest {
            common_name: "benchmark".into(),
            names,
            hosts: vec!["127.0.0.1".into()],
            now: SystemClock.now(),
        }
    }

    fn identity(&self, owner: &Owner, agent: &Agent) -> Result<TlsIdentity> {
        let names = CertificateNames::agent(owner.repository, agent.id, agent.key.public(), None);
        let (issued, key) = self.authority.issue_with_key(&Self::wanted(names))?;
        Ok(TlsIdentity::from_pem(&issued.certificate_pem, &key)?)
    }

    /// Does to a site what its enrolment does.
    fn enrol(&self, state: &Path, site: SiteId) -> Result<()> {
        let key = KeyPem::new(fs::read_to_string(state.join("tls.key"))?);
        let wanted = Self::wanted(CertificateNames::site(site));
        let issued = self.authority.issue(&csr(&key, "site")?, &wanted)?;
        fs::write(state.join("tls.pem"), issued.certificate_pem)?;
        fs::write(state.join("ca.pem"), self.authority.certificate_pem())?;
        Ok(())
    }
}

/// An agent with its dedup domain.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) key: SigningKey,
    pub(crate) domain: DomainId,
    pub(crate) dataset: DatasetId,
}

impl Agent {
    pub(crate) fn new() -> Self {
        Self {
            id: AgentId::random(),
            key: SigningKey::generate(),
            domain: DomainId::random(),
            dataset: DatasetId::random(),
        }
    }
}

/// A PD with its rosters.
pub(crate) struct Owner {
    root: SigningKey,
    pub(crate) recipient: PublicKey,
    pub(crate) repository: RepositoryId,
    pub(crate) rosters: Vec<Vec<u8>>,
    newest: Roster,
}

impl Owner {
    pub(crate) fn new(agent: &Agent, sites: &[&Site]) -> Self {
        let root = SigningKey::generate();
        let recipient = PublicKey::from_bytes(random());
        let newest = Roster {
            repository: RepositoryId::ZERO,
            number: 1,
            previous: RosterId::ZERO,
            created: Timestamp(1_700_000_000),
            chunker: ChunkerParams::default(),
            root_keys: vec![RootKey {
                key: root.public(),
                role: RootRole::Working,
                label: "root".into(),
            }],
            registrar: None,
            recipients: vec![Recipient { key: recipient, label: "recovery".into() }],
            agents: vec![listed(agent)],
            sites: sites.iter().map(|site| site.listed()).collect(),
        };
        let first = sign(&newest, &root);
        let repository = RepositoryId::from_bytes(object_id(&first));
        Self { root, recipient, repository, rosters: vec![first], newest }
    }

    /// Enters one more agent, with a roster of its own.
    pub(crate) fn add(&mut self, agent: &Agent) {
        let mut next = self.newest.clone();
        next.repository = self.repository;
        next.number += 1;
        let last = self.rosters.last().map_or([0; 32], |last| object_id(last));
        next.previous = RosterId::from_bytes(last);
        next.agents.push(listed(agent));
        self.rosters.push(sign(&next, &self.root));
        self.newest = next;
    }

    pub(crate) fn roster_number(&self) -> u32 {
        self.newest.number
    }
}

fn listed(agent: &Agent) -> RosterAgent {
    RosterAgent {
        agent: agent.id,
        key: agent.key.public(),
        domain: agent.domain,
        status: AgentStatus::Active,
        label: "server".into(),
    }
}

/// A vault.
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) listen: String,
    id: SiteId,
    receipt_key: PublicKey,
    pin: TlsPin,
    daemon: Option<Daemon>,
}

impl Site {
    /// Makes a vault in `dir`; `extra` goes into its configuration.
    pub(crate) fn create(city: &City, dir: &Path, extra: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let text = format!(
            "data = {:?}\nlisten = \"{listen}\"\nreserve = \"0\"\ninventory_delay = \"24 h\"\n\
             pull_interval = \"24 h\"\n{extra}\n[[scrub_window]]\nfrom = \"00:00\"\nto = \"24:00\"\nrate = \"off\"\n",
            dir.join("data")
        );
        fs::write(dir.join("vault.toml"), text)?;
        let mut init = command(dir)?;
        let public: Value = serde_json::from_str(&output(init.args(["init", "--json"]))?)?;
        let field = |name: &str| public[name].as_str().map(str::to_owned).context("init's answer");
        let id: SiteId = field("site")?.parse()?;
        city.enrol(&dir.join("data/state"), id)?;
        Ok(Self {
            dir: dir.to_owned(),
            listen,
            id,
            receipt_key: field("receipt_key")?.parse()?,
            pin: field("tls_pin")?.parse()?,
            daemon: None,
        })
    }

    fn listed(&self) -> RosterSite {
        RosterSite {
            site: self.id,
            receipt_key: self.receipt_key,
            tls_pin: self.pin,
            label: "site".into(),
        }
    }

    /// How another vault names this one as its source, reached at `address`.
    pub(crate) fn as_source(&self, address: &str) -> String {
        format!(
            "[[source]]\nsite = \"{}\"\nurl = \"https://{address}\"\npin = \"{}\"\n",
            self.id, self.pin
        )
    }

    pub(crate) fn command(&self) -> Result<Command> {
        command(&self.dir)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn repository(&self, id: &RepositoryId) -> PathBuf {
        self.data().join("repositories").join(id.to_string())
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut run = self.command()?;
        let mut daemon = Daemon::start("vault", run.arg("run"), &self.dir.join("log"))?;
        daemon.wait_for("the vault is ready")?;
        self.daemon = Some(daemon);
        Ok(())
    }

    pub(crate) fn daemon(&mut self) -> Result<&mut Daemon> {
        self.daemon.as_mut().context("the vault was not started")
    }

    pub(crate) fn process(&self) -> Result<u32> {
        Ok(self.daemon.as_ref().context("the vault was not started")?.id())
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.stop())
    }

    /// A client with connections of its own, as an agent.
    pub(crate) fn client(&self, city: &City, owner: &Owner, agent: &Agent) -> Result<VaultClient> {
        let trust = ServerTrust::Pins(vec![self.pin]);
        let tls = client_config(Some(&city.identity(owner, agent)?), trust, clock())?;
        Ok(VaultClient::new(&format!("https://{}", self.listen), &tls)?)
    }
}

fn command(dir: &Path) -> Result<Command> {
    let mut command = Command::new(program("lumbung-vault")?);
    command.arg("--config").arg(dir.join("vault.toml"));
    Ok(command)
}
