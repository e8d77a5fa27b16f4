//! Enrolment and renewal: from a one-time token to a certificate.
//!
//! Invariants: what a certificate says follows from the token and the register; of the request only its
//! key, and the ids of the agent or site itself, are taken. Token, register row and certificate are one
//! transaction. An agent's id, key, domain and repository never change; neither do a site's keys. What
//! this grants is a name: no certificate makes anybody a reader, or a snapshot count (rosters do).

use std::net::IpAddr;

use lumbung_model::{AgentId, PublicKey, RepositoryId, SiteId, Timestamp};
use lumbung_wire::Role;
use lumbung_wire::audit::ActorKind;
use lumbung_wire::certs::{self, Authority, CertError, IssueRequest, Issued};
use lumbung_wire::identity::{CertificateNames, PeerIdentity};
use lumbung_wire::messages::register::{Server, Site};
use lumbung_wire::messages::{EnrollRequest, EnrollResponse, RenewResponse, SiteEntry};
use rusqlite::Connection;

use crate::act::Act;
use crate::db::agents::{self, AgentRow};
use crate::db::audit::{self, Deed};
use crate::db::tokens::{self as token_rows, CertificateRow, TokenSubject};
use crate::db::{DbError, register as rows};
use crate::register::{self, RegisterError};
use crate::tokens::{self, TokenError};

/// Why nobody was enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The token does not do it.
    #[error("{0}")]
    Token(TokenError),
    /// The request lacks what the role needs.
    #[error("enrolling {role} needs {field}: use programs of the same version")]
    Lacks {
        /// The role.
        role: Role,
        /// What is lacking.
        field: &'static str,
    },
    /// The agent is known as somebody else.
    #[error(
        "agent {agent} is in the register with another {what}: make a new identity for this server (a new agent id)"
    )]
    AgentDiffers {
        /// The agent.
        agent: AgentId,
        /// What differs.
        what: &'static str,
    },
    /// The site is known with other keys.
    #[error(
        "site {name:?} has enrolled as {site} with another {what}: a vault that was rebuilt with new keys is a new site, enter it under a new name"
    )]
    SiteDiffers {
        /// Its name.
        name: String,
        /// Its id.
        site: SiteId,
        /// What differs.
        what: &'static str,
    },
    /// The pin given is not that of the request's key.
    #[error("tls_pin is not that of the certificate request's key: enrol with the vault's own key")]
    Pin,
    /// A rule of the register forbids it.
    #[error("{0}")]
    Register(RegisterError),
    /// The certificate could not be made.
    #[error("the certificate request is refused")]
    Certificate(#[from] CertError),
    /// The database failed.
    #[error("the register could not be read or written")]
    Db(#[from] DbError),
}

impl From<TokenError> for EnrollError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Db(error) => Self::Db(error),
            other => Self::Token(other),
        }
    }
}

impl From<RegisterError> for EnrollError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Db(error) => Self::Db(error),
            other => Self::Register(other),
        }
    }
}

/// Enrols an agent or a site, within the caller's transaction.
///
/// # Errors
/// Why not; the caller rolls back, and the token can be used again.
pub fn enroll(
    db: &Connection,
    (now, from): (Timestamp, Option<IpAddr>),
    authority: &Authority,
    request: &EnrollRequest,
) -> Result<EnrollResponse, EnrollError> {
    let hash = tokens::hash(&request.token);
    let subject = tokens::judge(token_rows::find(db, &hash)?, request.role, now)?;
    let mut response = match subject {
        TokenSubject::Agent(server) => {
            let server =
                rows::server(db, &server)?.ok_or(DbError::Corrupt { what: "a token's server" })?;
            let act = Act { from, ..agent_act(now, request, &server) };
            enroll_agent(db, &act, authority, request, &server)?
        }
        TokenSubject::Site(site) => {
            let site = rows::site(db, &site)?.ok_or(DbError::Corrupt { what: "a token's site" })?;
            let act = Act { from, ..site_act(now, request, &site) };
            enroll_site(db, &act, authority, request, site)?
        }
    };
    token_rows::mark_used(db, now, &hash)?;
    response.sites = site_entries(db)?;
    Ok(response)
}

fn agent_act(now: Timestamp, request: &EnrollRequest, server: &Server) -> Act {
    let id = request.agent.map_or_else(String::new, |agent| agent.to_string());
    Act::of(now, ActorKind::Agent, id, server.name.clone())
}

fn site_act(now: Timestamp, request: &EnrollRequest, site: &Site) -> Act {
    let id = request.site.map_or_else(String::new, |site| site.to_string());
    Act::of(now, ActorKind::Site, id, site.name.clone())
}

fn enroll_agent(
    db: &Connection,
    act: &Act,
    authority: &Authority,
    request: &EnrollRequest,
    server: &Server,
) -> Result<EnrollResponse, EnrollError> {
    let lacks = |field| EnrollError::Lacks { role: Role::Agent, field };
    let row = AgentRow {
        agent: request.agent.ok_or_else(|| lacks("agent"))?,
        server: server.id,
        repository: request.repository.ok_or_else(|| lacks("repository"))?,
        key: request.agent_key.ok_or_else(|| lacks("agent_key"))?,
        domain: request.domain.ok_or_else(|| lacks("domain"))?,
    };
    register::live(db, server.id.as_bytes())?;
    same_agent(db, &row)?;
    register::bind_repository(db, act, row.repository, server.pd)?;
    agents::put_agent(db, act.now, &row)?;
    pin_datasets(db, act, server, row.repository)?;
    let names = CertificateNames::agent(row.repository, row.agent, row.key, Some(server.id));
    let wanted = IssueRequest {
        common_name: format!("lumbung agent {}", server.name),
        names,
        hosts: Vec::new(),
        now: act.now,
    };
    let issued = authority.issue(&request.csr_pem, &wanted)?;
    record(db, act.now, Role::Agent, Some(row.agent), None, &issued)?;
    let deed = Deed { action: "agent.enrol", kind: "agent", id: &row.agent, pd: Some(server.pd) };
    let shown =
        serde_json::json!({ "server": server.id, "repository": row.repository, "key": row.key });
    audit::append(db, act, deed, None, Some(shown))?;
    Ok(EnrollResponse {
        certificate_pem: issued.certificate_pem,
        ca_pems: vec![authority.certificate_pem().to_owned()],
        server: Some(server.id),
        site: None,
        sites: Vec::new(),
        datasets: rows::datasets_of_server(db, &server.pd, &server.id)?,
        policy_key: None,
    })
}

/// The server's datasets are held to the repository of its first agent: a second repository, enrolled with a
/// token that went astray, cannot take their place. An operator changes it (`repository` in the import).
fn pin_datasets(
    db: &Connection,
    act: &Act,
    server: &Server,
    repository: RepositoryId,
) -> Result<(), DbError> {
    for mut dataset in rows::datasets_of_server(db, &server.pd, &server.id)? {
        if dataset.server == Some(server.id) && dataset.repository.is_none() {
            dataset.repository = Some(repository);
            rows::put_dataset(db, act, &dataset)?;
        }
    }
    Ok(())
}

/// An agent may enrol again (a lost certificate), as the same agent of the same server. All that it says of
/// itself stands in rosters and the register for others to read: only the token says for whom it speaks, so one
/// for another server must not give a certificate in its name.
fn same_agent(db: &Connection, row: &AgentRow) -> Result<(), EnrollError> {
    if let Some(other) =
        agents::agent_by_key(db, &row.key)?.filter(|other| other.agent != row.agent)
    {
        return Err(EnrollError::AgentDiffers { agent: other.agent, what: "id for this key" });
    }
    let Some(known) = agents::agent(db, &row.agent)? else { return Ok(()) };
    let differs = |what| Err(EnrollError::AgentDiffers { agent: row.agent, what });
    if known.server != row.server {
        return differs("server");
    }
    if known.key != row.key {
        return differs("key");
    }
    if known.domain != row.domain {
        return differs("dedup domain");
    }
    if known.repository != row.repository {
        return differs("repository");
    }
    Ok(())
}

fn enroll_site(
    db: &Connection,
    act: &Act,
    authority: &Authority,
    request: &EnrollRequest,
    mut site: Site,
) -> Result<EnrollResponse, EnrollError> {
    let lacks = |field| EnrollError::Lacks { role: Role::Site, field };
    let own = request.site.ok_or_else(|| lacks("site"))?;
    let receipt_key = request.receipt_key.ok_or_else(|| lacks("receipt_key"))?;
    let url = request.url.clone().ok_or_else(|| lacks("url"))?;
    let host = register::url_host(&url)?;
    let wanted = IssueRequest {
        common_name: format!("lumbung site {}", site.name),
        names: CertificateNames::site(own),
        hosts: vec![host],
        now: act.now,
    };
    let issued = authority.issue(&request.csr_pem, &wanted)?;
    let pin = certs::facts(&issued.certificate_pem)?.pin;
    if request.tls_pin.is_some_and(|given| given != pin) {
        return Err(EnrollError::Pin);
    }
    same_site(db, &site, own, receipt_key, pin)?;
    rows::enrol_site(db, act, &site.id, &own)?;
    site.id = own;
    site.url = Some(url);
    site.receipt_key = Some(receipt_key);
    site.tls_pin = Some(pin);
    rows::put_site(db, act, &site)?;
    record(db, act.now, Role::Site, None, Some(own), &issued)?;
    let deed = Deed { action: "site.enrol", kind: "site", id: &own, pd: None };
    audit::append(db, act, deed, None, Some(audit::shown(&site)?))?;
    Ok(EnrollResponse {
        certificate_pem: issued.certificate_pem,
        ca_pems: vec![authority.certificate_pem().to_owned()],
        server: None,
        site: Some(own),
        sites: Vec::new(),
        datasets: Vec::new(),
        policy_key: None,
    })
}

/// A site that has enrolled stays the same site. One that has not takes the id of its vault.
fn same_site(
    db: &Connection,
    known: &Site,
    own: SiteId,
    receipt_key: PublicKey,
    pin: lumbung_model::TlsPin,
) -> Result<(), EnrollError> {
    let differs =
        |what| Err(EnrollError::SiteDiffers { name: known.name.clone(), site: known.id, what });
    if known.receipt_key.is_some_and(|key| key != receipt_key) {
        return differs("receipt key");
    }
    if known.tls_pin.is_some_and(|known| known != pin) {
        return differs("TLS key");
    }
    if known.id == own {
        return Ok(());
    }
    if rows::site_enrolled(db, &known.id)?.is_some() {
        return differs("id");
    }
    if rows::is_removed_site(db, &own)? {
        return Err(EnrollError::Register(RegisterError::RemovedSite(own)));
    }
    if let Some(other) = rows::site(db, &own)? {
        return Err(EnrollError::SiteDiffers { name: other.name, site: own, what: "name" });
    }
    let taken = rows::sites(db)?.into_iter().find(|site| site.receipt_key == Some(receipt_key));
    match taken {
        Some(other) => {
            Err(EnrollError::SiteDiffers { name: other.name, site: other.id, what: "name" })
        }
        None => Ok(()),
    }
}

fn record(
    db: &Connection,
    now: Timestamp,
    role: Role,
    agent: Option<AgentId>,
    site: Option<SiteId>,
    issued: &Issued,
) -> Result<(), EnrollError> {
    let row = CertificateRow {
        serial: &issued.serial,
        role: role.as_str(),
        agent,
        site,
        not_after: issued.not_after,
        pem: &issued.certificate_pem,
    };
    Ok(token_rows::record_certificate(db, now, &row)?)
}

/// The sites that have enrolled, as agents and other sites need them.
///
/// # Errors
/// If the database fails.
pub fn site_entries(db: &Connection) -> Result<Vec<SiteEntry>, DbError> {
    let entry = |site: Site| {
        Some(SiteEntry {
            site: site.id,
            name: site.name,
            kind: site.kind,
            url: site.url?,
            tls_pin: site.tls_pin?,
            receipt_key: site.receipt_key?,
        })
    };
    Ok(rows::sites(db)?.into_iter().filter_map(entry).collect())
}

fn common_name_of(peer: &PeerIdentity) -> String {
    let id = peer.agent.map(|agent| agent.short()).or(peer.site.map(|site| site.short()));
    format!("{} {}", peer.role, id.unwrap_or_default()).trim_end().to_owned()
}

/// A new certificate with the names of the one that the caller holds, if the register still knows them.
///
/// # Errors
/// If it does not, or the request is refused.
pub fn renew(
    db: &Connection,
    now: Timestamp,
    authority: &Authority,
    peer: &PeerIdentity,
    csr_pem: &str,
) -> Result<RenewResponse, EnrollError> {
    let (common_name, hosts) = match (peer.role, peer.agent, peer.site) {
        (Role::Agent, Some(agent), _) => {
            let row = agents::agent(db, &agent)?;
            let same = |row: &AgentRow| {
                Some(row.key) == peer.agent_key && Some(row.repository) == peer.repository
            };
            row.filter(same)
                .ok_or(EnrollError::AgentDiffers { agent, what: "key or repository" })?;
            (format!("lumbung agent {}", agent.short()), Vec::new())
        }
        (Role::Site, _, Some(id)) => {
            let site = rows::site(db, &id)?
                .ok_or_else(|| RegisterError::Unknown { what: "site", id: id.to_string() })?;
            let host = site.url.as_deref().map(register::url_host).transpose()?;
            (format!("lumbung site {}", site.name), host.into_iter().collect())
        }
        _ => (format!("lumbung {}", peer.role), Vec::new()),
    };
    let names = CertificateNames {
        role: peer.role,
        repository: peer.repository,
        agent: peer.agent,
        agent_key: peer.agent_key,
        server: peer.server,
        site: peer.site,
    };
    let issued = authority.issue(csr_pem, &IssueRequest { common_name, names, hosts, now })?;
    if peer.role == Role::Site
        && let Some(known) = peer.site.map(|id| rows::site(db, &id)).transpose()?.flatten()
        && known.tls_pin != Some(certs::facts(&issued.certificate_pem)?.pin)
    {
        // Rosters pin this key: a new one needs the custodians, not a renewal.
        return Err(EnrollError::Pin);
    }
    record(db, now, peer.role, peer.agent, peer.site, &issued)?;
    let kind = match peer.role {
        Role::Agent => ActorKind::Agent,
        Role::Site => ActorKind::Site,
        Role::Operator | Role::Controller => ActorKind::Certificate,
    };
    let act = Act::of(now, kind, peer.serial.clone(), common_name_of(peer));
    let deed =
        Deed { action: "certificate.renew", kind: "certificate", id: &issued.serial, pd: None };
    audit::append(db, &act, deed, None, None)?;
    Ok(RenewResponse {
        certificate_pem: issued.certificate_pem,
        ca_pems: vec![authority.certificate_pem().to_owned()],
    })
}
