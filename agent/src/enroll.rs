//! How an agent begins: its keys are made here, the controller gives it a certificate, the custodian
//! adds it to the roster.
//!
//! Invariants: the repository's id comes from the command line only. The controller is known by the
//! pinned fingerprint of its CA before anything is said. An identity that is there already for this
//! repository is kept, one for another is never replaced; it is durable before its public half leaves.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_model::{AgentId, Clock, PublicKey, RepositoryId, ServerId};
use lumbung_pack::armor;
use lumbung_seal::AgentIdentity;
use lumbung_wire::Role;
use lumbung_wire::certs::{self, CertError};
use lumbung_wire::client::{ClientError, ControllerClient};
use lumbung_wire::messages::register::Dataset;
use lumbung_wire::messages::{EnrollRequest, EnrollResponse, SiteEntry};
use lumbung_wire::tls::{self, ServerTrust, TlsError, TlsIdentity};
use serde::Serialize;

use crate::config::SiteUrl;
use crate::policy::{self, KeptError};
use crate::state::{Enrolment, StateDir, StateError, TlsFiles};
use crate::succession::Known;

/// The first line of each block that `lumbung roster export` writes.
const ROSTER_TITLE: &str = "LUMBUNG ROSTER 1";
/// No repository has more rosters than fit.
const ROSTERS_MAX_BYTES: u64 = 64 << 20;

/// Why an enrolment failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is kept of policies.
    #[error(transparent)]
    Policy(#[from] KeptError),
    /// It already belongs to another repository.
    #[error(
        "{} already belongs to agent {agent} of repository {found}: name another directory with --state, \
         or move that one away", path.display()
    )]
    OtherRepository {
        /// The directory.
        path: PathBuf,
        /// The agent that is there.
        agent: AgentId,
        /// Its repository.
        found: RepositoryId,
    },
    /// The rosters that were given.
    #[error(
        "the rosters given with --roster cannot be used: ask the custodian of the PD for those of this repository"
    )]
    Roster(#[source] lumbung_engine::StateError),
    /// A block of the rosters' file.
    #[error(
        "the file given with --roster is damaged: export it again with `lumbung roster export`"
    )]
    RosterText(#[source] armor::ArmorError),
    /// No block in the rosters' file.
    #[error("{} holds no rosters: write it with `lumbung roster export`", .0.display())]
    NoRosters(PathBuf),
    /// The controller.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A key or certificate.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// The controller's answer does not fit the request.
    #[error(
        "the controller's answer does not fit: {0}; do not go on before the Dinas has explained it"
    )]
    Answer(&'static str),
}

/// What the command line said.
pub struct Request {
    /// The controller.
    pub controller: SiteUrl,
    /// `sha256:…` of its CA.
    pub ca_fingerprint: String,
    /// The one-time token.
    pub token: String,
    /// The repository.
    pub repository: RepositoryId,
    /// The host's name, for the certificate's subject.
    pub hostname: String,
}

/// An agent that is enrolled.
#[derive(Debug, Serialize)]
pub struct Enrolled {
    /// The agent.
    pub agent: AgentId,
    /// Its repository.
    pub repository: RepositoryId,
    /// Its server in the register.
    pub server: Option<ServerId>,
    /// The key that signs its policies; none with a controller that has none.
    pub policy_key: Option<PublicKey>,
    /// What the custodian adds to the roster.
    pub code: String,
    /// Where its state is.
    pub state: PathBuf,
    /// The sites of the register.
    pub sites: Vec<SiteEntry>,
    /// The datasets of this server in the register.
    pub datasets: Vec<Dataset>,
}

/// Enrols this host.
///
/// # Errors
/// If it is not enrolled; the identity made for it is kept for the next try.
pub async fn enroll(
    state: &StateDir,
    request: Request,
    clock: Arc<dyn Clock>,
) -> Result<Enrolled, EnrollError> {
    let identity = identity(state, request.repository)?;
    // What is damaged is found out before the token is used up.
    let mut known = Known::open(state)?;
    let trust = ServerTrust::CaFingerprint(request.ca_fingerprint.clone());
    let tls = tls::client_config(None, trust, clock.clone())?;
    let client = ControllerClient::new(request.controller.as_str(), &tls)?;
    let key = certs::generate_key()?;
    let message = EnrollRequest {
        token: request.token,
        role: Role::Agent,
        csr_pem: certs::csr(&key, &request.hostname)?,
        repository: Some(identity.repository),
        agent: Some(identity.agent),
        agent_key: Some(identity.key.public()),
        domain: Some(identity.domain),
        site: None,
        receipt_key: None,
        url: None,
        tls_pin: None,
    };
    let answer = client.enroll(&message).await?;
    check(&identity, &request.ca_fingerprint, &answer)?;
    let files = TlsFiles { certificate_pem: answer.certificate_pem.clone(), key };
    // A certificate that does not belong to the key is found out here, not at the first backup.
    let own = TlsIdentity::from_pem(&files.certificate_pem, &files.key)?;
    tls::client_config(Some(&own), ServerTrust::AnyKey, clock)?;
    state.write_tls(&files)?;
    state.write_enrolment(&Enrolment {
        controller: request.controller.as_str().to_owned(),
        repository: identity.repository,
        server: answer.server,
        ca_pems: answer.ca_pems,
        sites: answer.sites.clone(),
    })?;
    if let Some(key) = answer.policy_key {
        policy::pin(state, identity.agent, key)?;
    }
    // Last: an enrolment that breaks off before is made again, and until then nothing is forgotten.
    known.begin_anew(&request.ca_fingerprint)?;
    Ok(Enrolled {
        policy_key: answer.policy_key,
        agent: identity.agent,
        repository: identity.repository,
        server: answer.server,
        code: identity.public_code(),
        state: state.path().to_owned(),
        sites: answer.sites,
        datasets: answer.datasets,
    })
}

/// Takes rosters that the custodian gave, checked as a chain of this repository.
///
/// # Errors
/// If one cannot be read, or they are not such a chain.
pub fn take_rosters(
    state: &StateDir,
    repository: RepositoryId,
    path: &Path,
) -> Result<(), EnrollError> {
    let wrong = |source| StateError::Io { action: "read", path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(ROSTERS_MAX_BYTES).read_to_string(&mut text).map_err(wrong)?;
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.trim() == ROSTER_TITLE {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    let object = |block: &String| armor::decode(ROSTER_TITLE, block).map(|object| object.to_vec());
    let objects: Vec<Vec<u8>> =
        blocks.iter().map(object).collect::<Result<_, _>>().map_err(EnrollError::RosterText)?;
    if objects.is_empty() {
        return Err(EnrollError::NoRosters(path.to_owned()));
    }
    lumbung_engine::import_rosters(&state.engine(), repository, &objects)
        .map_err(EnrollError::Roster)?;
    Ok(())
}

fn identity(state: &StateDir, repository: RepositoryId) -> Result<AgentIdentity, EnrollError> {
    match state.identity()? {
        Some(found) if found.repository == repository => Ok(found),
        Some(found) => Err(EnrollError::OtherRepository {
            path: state.path().to_owned(),
            agent: found.agent,
            found: found.repository,
        }),
        None => {
            let new = AgentIdentity::generate(repository);
            state.write_identity(&new)?;
            Ok(new)
        }
    }
}

/// The CA is the pinned one, and the certificate says what was asked for and nothing else.
fn check(
    identity: &AgentIdentity,
    fingerprint: &str,
    answer: &EnrollResponse,
) -> Result<(), EnrollError> {
    let is_pinned = |pem: &String| certs::fingerprint(pem).is_ok_and(|found| found == fingerprint);
    if !answer.ca_pems.iter().any(is_pinned) {
        return Err(EnrollError::Answer("none of its CAs has the fingerprint of the command line"));
    }
    let names = certs::facts(&answer.certificate_pem)?.names;
    let fits = names.is_some_and(|names| {
        names.role == Role::Agent
            && names.repository == Some(identity.repository)
            && names.agent == Some(identity.agent)
            && names.agent_key == Some(identity.key.public())
    });
    if fits {
        Ok(())
    } else {
        Err(EnrollError::Answer("its certificate is for another agent or repository"))
    }
}

/// Said where the controller publishes policies.
const BY_POLICY: &str = "# What the register names for this server is backed up by its policy (lumbung-agent policy show).\n\
                         # A [[job]] here stands in the place of what the policy says of its dataset:\n\n";

impl Enrolled {
    /// What to do next; `config` is the file to write, if there is none yet.
    #[must_use]
    pub fn to_text(&self, config: Option<&Path>) -> String {
        let mut out = format!(
            "Enrolled: agent {} of repository {}.\n\nNow the key custodian adds it to the roster, on their own machine:\n\n  \
             lumbung roster add-agent DEPOT {} --key KEY\n\n",
            self.agent, self.repository, self.code
        );
        if self.sites.is_empty() {
            out.push_str("The register has no site with an address yet: name them as [[site]] in the configuration.\n");
        }
        match config {
            None => out.push_str("Start it: systemctl enable --now lumbung-agent\n"),
            Some(path) => {
                let _ =
                    write!(out, "Write {}, for instance:\n\n{}", path.display(), self.skeleton());
                out.push_str("\nand start it: systemctl enable --now lumbung-agent\n");
            }
        }
        out
    }

    /// A configuration for what the register says of this server.
    #[must_use]
    pub fn skeleton(&self) -> String {
        let mut out = String::new();
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        if self.state != Path::new(crate::config::DEFAULT_STATE) {
            let _ = write!(out, "[agent]\nstate = {}\n\n", quoted(&self.state.to_string_lossy()));
        }
        if self.policy_key.is_some() {
            out.push_str(BY_POLICY);
        }
        for (number, dataset) in (1..).zip(&self.datasets) {
            out.push_str(&self.job(number, dataset));
        }
        if self.datasets.is_empty() {
            out.push_str("# The register has no dataset for this server yet: add one there, then a [[job]] here.\n");
        }
        out
    }

    /// One dataset as a job; where policies come, only for whoever wants to keep it here.
    fn job(&self, number: usize, dataset: &Dataset) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let paths: Vec<String> = dataset.paths.iter().map(|path| quoted(path)).collect();
        let text = format!(
            "[[job]]\nname = \"job-{number}\"\ndataset = \"{}\"\nlabel = {}\npaths = [{}]\nschedule = \"30 1 * * *\"\njitter = \"30 min\"\n",
            dataset.id,
            quoted(&dataset.name),
            if paths.is_empty() { quoted("/path/of/this/dataset") } else { paths.join(", ") },
        );
        if self.policy_key.is_none() {
            return text + "\n";
        }
        text.lines().map(|line| format!("# {line}\n")).collect::<String>() + "\n"
    }
}

#[cfg(test)]
mod tests;
