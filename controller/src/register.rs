//! Rules of the register: what may be entered, and what entering it again does.
//!
//! Invariants: ids are given once and stay; codes of PD, names of sites, names of servers within a PD
//! and of datasets within a server are distinct; a repository belongs to one PD. Everything runs inside
//! the caller's transaction, so an import is entered whole or not at all.

use lumbung_model::geo::{Coordinates, GeoError};
use lumbung_model::{DatasetId, PdId, RepositoryId, ServerId, SiteId};
use lumbung_wire::messages::register::{
    Dataset, DatasetInput, HeartbeatState, ImportOutcome, Pd, PdInput, Server, ServerInput, Site,
    SiteInput, Urgency,
};
use rusqlite::Connection;

mod text;

use crate::act::Act;
use crate::config::RpoDefaults;
use crate::db::{DbError, register as rows};
use text::{code, free_text, line};

/// Why an entry is refused. Each names the field that it is about.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A text that may not stand there.
    #[error("{field} {found:?}: {reason}")]
    Text {
        /// The field.
        field: &'static str,
        /// What was given.
        found: String,
        /// What may stand there.
        reason: &'static str,
    },
    /// No place on earth.
    #[error("{0}")]
    Place(GeoError),
    /// One coordinate without the other.
    #[error("latitude and longitude go together: give both or none")]
    HalfPlace,
    /// An RPO that is no duration.
    #[error("rpo_s {0}: write seconds, from 60 (a minute) to 31622400 (a year)")]
    Rpo(u64),
    /// The name is taken.
    #[error(
        "{what} {name:?} is in the register already (id {id}); change it by importing it again"
    )]
    Taken {
        /// What it is.
        what: &'static str,
        /// Its name or code.
        name: String,
        /// The id of the one that has it.
        id: String,
    },
    /// The id is that of something else.
    #[error(
        "{what} {name:?} has the id {registered} in the register, not {given}: ids are permanent"
    )]
    OtherId {
        /// What it is.
        what: &'static str,
        /// Its name or code.
        name: String,
        /// The id in the register.
        registered: String,
        /// The id given.
        given: String,
    },
    /// Something that must be there first.
    #[error("{what} {id} is not in the register: enter it first")]
    Unknown {
        /// What it is.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// The server is another PD's.
    #[error("server {0} belongs to another PD: give the dataset to the server's PD")]
    ForeignServer(ServerId),
    /// The repository is another PD's.
    #[error("repository {repository} belongs to another PD ({pd}): check the repository id")]
    ForeignRepository {
        /// The repository.
        repository: RepositoryId,
        /// The PD that it belongs to.
        pd: PdId,
    },
    /// Two people took the site out.
    #[error(
        "site {0} was taken out of the register: leave it out of the file, or make its vault anew"
    )]
    RemovedSite(SiteId),
    /// It takes along what belongs to the PD that it comes from.
    #[error(
        "server {0} has an agent or datasets, which are the present PD's: enter it anew for the other PD, and enrol it there"
    )]
    Moves(ServerId),
    /// What enrolment sets is not changed by hand.
    #[error(
        "site {0:?} has enrolled: its receipt key and TLS pin come from its enrolment and are not changed here"
    )]
    EnrolledKeys(String),
    /// The database failed.
    #[error("the register could not be read or written")]
    Db(#[from] DbError),
}

impl RegisterError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Text { field, .. } => Some(field),
            Self::Place(GeoError::Latitude(_)) | Self::HalfPlace => Some("latitude"),
            Self::Place(GeoError::Longitude(_)) => Some("longitude"),
            Self::Rpo(_) => Some("rpo_s"),
            Self::OtherId { .. } | Self::RemovedSite(_) => Some("id"),
            Self::Moves(_) => Some("pd"),
            Self::ForeignRepository { .. } => Some("repository"),
            Self::ForeignServer(_) => Some("server"),
            Self::EnrolledKeys(_) => Some("receipt_key"),
            Self::Taken { .. } | Self::Unknown { .. } | Self::Db(_) => None,
        }
    }
}

/// Whether an entry may change what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only new entries.
    Create,
    /// New entries and changed ones.
    Upsert,
}

/// What an entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It changed what was there.
    Updated,
    /// It was so already.
    Unchanged,
}

/// Adds one change to an outcome.
pub fn count(outcome: &mut ImportOutcome, change: Change) {
    match change {
        Change::Created => outcome.created += 1,
        Change::Updated => outcome.updated += 1,
        Change::Unchanged => outcome.unchanged += 1,
    }
}

/// The host of an address of a vault.
///
/// # Errors
/// If it is not `https://host[:port]`.
pub fn url_host(url: &str) -> Result<String, RegisterError> {
    let refused = || RegisterError::Text {
        field: "url",
        found: url.chars().take(64).collect(),
        reason: "write https://HOST:PORT, as in https://vault.example.go.id:7443",
    };
    let parsed: http::Uri = url.parse().map_err(|_| refused())?;
    let path_free = matches!(parsed.path(), "" | "/") && parsed.query().is_none();
    let host = parsed.host().filter(|host| !host.is_empty()).ok_or_else(refused)?;
    let user_free = !parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if parsed.scheme_str() != Some("https") || !path_free || !user_free || url.len() > 512 {
        return Err(refused());
    }
    Ok(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}

/// Which row an entry is about: by id if it gives one, else by name.
fn settle<T, I: PartialEq + std::fmt::Display + Copy>(
    (what, name): (&'static str, &str),
    mode: Mode,
    given: Option<I>,
    by_id: Option<T>,
    by_name: Option<T>,
    id_of: impl Fn(&T) -> I,
) -> Result<Option<T>, RegisterError> {
    if let (Some(given), Some(found)) = (given, &by_name)
        && id_of(found) != given
    {
        let registered = id_of(found).to_string();
        return Err(RegisterError::OtherId {
            what,
            name: name.to_owned(),
            registered,
            given: given.to_string(),
        });
    }
    let found = by_id.or(by_name);
    match (&found, mode) {
        (Some(row), Mode::Create) => {
            Err(RegisterError::Taken { what, name: name.to_owned(), id: id_of(row).to_string() })
        }
        _ => Ok(found),
    }
}

/// Enters a site.
///
/// # Errors
/// If a rule forbids it.
pub fn put_site(
    db: &Connection,
    act: &Act,
    input: &SiteInput,
    mode: Mode,
) -> Result<(Site, Change), RegisterError> {
    line("name", &input.name)?;
    free_text("address", &input.address)?;
    input.url.as_deref().map(url_host).transpose()?;
    match (input.latitude, input.longitude) {
        (Some(latitude), Some(longitude)) => {
            Coordinates::new(latitude, longitude).map_err(RegisterError::Place)?;
        }
        (None, None) => {}
        _ => return Err(RegisterError::HalfPlace),
    }
    if let Some(id) = input.id
        && rows::is_removed_site(db, &id)?
    {
        return Err(RegisterError::RemovedSite(id));
    }
    let by_id = input.id.map(|id| rows::site(db, &id)).transpose()?.flatten();
    let by_name = rows::site_by_name(db, &input.name)?;
    let found = settle(("site", &input.name), mode, input.id, by_id, by_name, |site| site.id)?;
    let known = found.as_ref();
    let site = Site {
        id: known.map(|site| site.id).or(input.id).unwrap_or_else(SiteId::random),
        name: input.name.clone(),
        kind: input.kind,
        latitude: input.latitude,
        longitude: input.longitude,
        address: input.address.clone(),
        // What enrolment taught is not forgotten because a file does not say it.
        url: input.url.clone().or_else(|| known.and_then(|site| site.url.clone())),
        receipt_key: input.receipt_key.or_else(|| known.and_then(|site| site.receipt_key)),
        tls_pin: input.tls_pin.or_else(|| known.and_then(|site| site.tls_pin)),
    };
    if let Some(known) = known
        && rows::site_enrolled(db, &known.id)?.is_some()
        && (known.receipt_key != site.receipt_key || known.tls_pin != site.tls_pin)
    {
        return Err(RegisterError::EnrolledKeys(site.name));
    }
    if known == Some(&site) {
        return Ok((site, Change::Unchanged));
    }
    rows::put_site(db, act, &site)?;
    Ok((site, if known.is_some() { Change::Updated } else { Change::Created }))
}

/// Enters a PD.
///
/// # Errors
/// If a rule forbids it.
pub fn put_pd(
    db: &Connection,
    act: &Act,
    input: &PdInput,
    mode: Mode,
) -> Result<(Pd, Change), RegisterError> {
    code(&input.code)?;
    line("name", &input.name)?;
    free_text("contact", &input.contact)?;
    let by_id = input.id.map(|id| rows::pd(db, &id)).transpose()?.flatten();
    let by_code = rows::pd_by_code(db, &input.code)?;
    let found = settle(("PD", &input.code), mode, input.id, by_id, by_code, |pd| pd.id)?;
    let pd = Pd {
        id: found.as_ref().map(|pd| pd.id).or(input.id).unwrap_or_else(PdId::random),
        code: input.code.clone(),
        name: input.name.clone(),
        contact: input.contact.clone(),
        mandiri_tik: input.mandiri_tik,
    };
    if found.as_ref() == Some(&pd) {
        return Ok((pd, Change::Unchanged));
    }
    rows::put_pd(db, act, &pd)?;
    Ok((pd, if found.is_some() { Change::Updated } else { Change::Created }))
}

/// Enters a server.
///
/// # Errors
/// If a rule forbids it.
pub fn put_server(
    db: &Connection,
    act: &Act,
    input: &ServerInput,
    mode: Mode,
) -> Result<(Server, Change), RegisterError> {
    line("name", &input.name)?;
    if rows::pd(db, &input.pd)?.is_none() {
        return Err(RegisterError::Unknown { what: "PD", id: input.pd.to_string() });
    }
    let by_id = input.id.map(|id| rows::server(db, &id)).transpose()?.flatten();
    let by_name = rows::server_by_name(db, &input.pd, &input.name)?;
    let found =
        settle(("server", &input.name), mode, input.id, by_id, by_name, |server| server.id)?;
    if let Some(found) = found.as_ref().filter(|found| found.pd != input.pd) {
        let datasets = rows::datasets(db, Some(&found.pd))?;
        if found.agent.is_some() || datasets.iter().any(|one| one.server == Some(found.id)) {
            return Err(RegisterError::Moves(found.id));
        }
    }
    let server = Server {
        id: found.as_ref().map(|server| server.id).or(input.id).unwrap_or_else(ServerId::random),
        pd: input.pd,
        name: input.name.clone(),
        kind: input.kind,
        agent: found.as_ref().and_then(|server| server.agent),
        heartbeat: HeartbeatState::Never,
        last_seen: found.as_ref().and_then(|server| server.last_seen),
    };
    if found.as_ref() == Some(&server) {
        return Ok((server, Change::Unchanged));
    }
    rows::put_server(db, act, &server)?;
    Ok((server, if found.is_some() { Change::Updated } else { Change::Created }))
}

fn check_dataset(db: &Connection, input: &DatasetInput) -> Result<(), RegisterError> {
    line("name", &input.name)?;
    for (field, text) in [
        ("owner", &input.owner),
        ("retention", &input.retention),
        ("period", &input.period),
        ("media", &input.media),
    ] {
        free_text(field, text)?;
    }
    for path in &input.paths {
        free_text("paths", path)?;
    }
    if let Some(rpo_s) = input.rpo_s.filter(|rpo_s| !(60..=31_622_400).contains(rpo_s)) {
        return Err(RegisterError::Rpo(rpo_s));
    }
    if rows::pd(db, &input.pd)?.is_none() {
        return Err(RegisterError::Unknown { what: "PD", id: input.pd.to_string() });
    }
    if let Some(id) = input.server {
        let server = rows::server(db, &id)?
            .ok_or_else(|| RegisterError::Unknown { what: "server", id: id.to_string() })?;
        if server.pd != input.pd {
            return Err(RegisterError::ForeignServer(id));
        }
    }
    Ok(())
}

/// The RPO that follows from the urgency, where the dataset does not say its own.
fn default_rpo_s(urgency: Urgency, defaults: &RpoDefaults) -> u64 {
    let hours = match urgency {
        Urgency::Critical => defaults.critical_h,
        Urgency::High => defaults.high_h,
        Urgency::Normal => defaults.normal_h,
        Urgency::Low => defaults.low_h,
    };
    u64::from(hours) * 3600
}

/// Notes that a repository belongs to a PD.
///
/// # Errors
/// If it belongs to another one.
pub fn bind_repository(
    db: &Connection,
    act: &Act,
    repository: RepositoryId,
    pd: PdId,
) -> Result<(), RegisterError> {
    match rows::repository_pd(db, &repository)? {
        Some(owner) if owner != pd => {
            Err(RegisterError::ForeignRepository { repository, pd: owner })
        }
        Some(_) => Ok(()),
        None => Ok(rows::bind_repository(db, act, &repository, &pd)?),
    }
}

/// Enters a dataset.
///
/// # Errors
/// If a rule forbids it.
pub fn put_dataset(
    db: &Connection,
    act: &Act,
    input: &DatasetInput,
    defaults: &RpoDefaults,
    mode: Mode,
) -> Result<(Dataset, Change), RegisterError> {
    check_dataset(db, input)?;
    let by_id = input.id.map(|id| rows::dataset(db, &id)).transpose()?.flatten();
    let by_name = rows::dataset_by_name(db, &input.pd, input.server.as_ref(), &input.name)?;
    let found =
        settle(("dataset", &input.name), mode, input.id, by_id, by_name, |dataset| dataset.id)?;
    if let Some(repository) = input.repository {
        bind_repository(db, act, repository, input.pd)?;
    }
    let dataset = Dataset {
        id: found.as_ref().map(|dataset| dataset.id).or(input.id).unwrap_or_else(DatasetId::random),
        pd: input.pd,
        server: input.server,
        name: input.name.clone(),
        kind: input.kind,
        owner: input.owner.clone(),
        classification: input.classification,
        urgency: input.urgency,
        rpo_s: input.rpo_s.unwrap_or_else(|| default_rpo_s(input.urgency, defaults)),
        retention: input.retention.clone(),
        period: input.period.clone(),
        media: input.media.clone(),
        repository: input.repository.or_else(|| {
            // The repository is of the PD that it was.
            let same = found.as_ref().filter(|found| found.pd == input.pd);
            same.and_then(|dataset| dataset.repository)
        }),
        paths: input.paths.clone(),
    };
    if found.as_ref() == Some(&dataset) {
        return Ok((dataset, Change::Unchanged));
    }
    rows::put_dataset(db, act, &dataset)?;
    Ok((dataset, if found.is_some() { Change::Updated } else { Change::Created }))
}
