//! Who the other side is: the role and the ids that its certificate carries as SAN URIs.
//!
//! Invariants: an identity names exactly one role, each id at most once, and the ids that the role
//! needs; unknown `lumbung:` names are refused, so that a certificate of a later version is never
//! half understood. A self-signed certificate carries nothing but its Ed25519 key.

use std::fmt;
use std::str::FromStr;

use lumbung_model::{AgentId, PublicKey, RepositoryId, ServerId, SiteId, Timestamp, TlsPin};
use serde::{Deserialize, Serialize};

/// What a certificate entitles to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Backs up one server into one repository.
    Agent,
    /// A vault: reads other sites.
    Site,
    /// The controller.
    Controller,
    /// A person of the Dinas at the command line.
    Operator,
}

/// The roles that enrolment gives.
#[cfg(feature = "openapi")]
pub(crate) fn enrolled() -> utoipa::openapi::Schema {
    let roles = [(Role::Agent, "backs up one server"), (Role::Site, "a vault")];
    let roles = roles.map(|(role, meaning)| (role.as_str(), meaning));
    lumbung_model::openapi::words("What the token makes of its holder.", &roles).into()
}

impl Role {
    /// As it stands in certificates and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Site => "site",
            Self::Controller => "controller",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        match text {
            "agent" => Ok(Self::Agent),
            "site" => Ok(Self::Site),
            "controller" => Ok(Self::Controller),
            "operator" => Ok(Self::Operator),
            _ => Err(IdentityError::Name(format!("lumbung:role:{text}"))),
        }
    }
}

/// Why a certificate's names are no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A name that is unknown here, or whose id cannot be read.
    #[error(
        "the certificate carries the name {0:?}, which is unknown here; enrol again with programs of the same version"
    )]
    Name(String),
    /// A name that stands twice.
    #[error("the certificate carries {0} twice; enrol again")]
    Twice(&'static str),
    /// A name that the role needs.
    #[error("the certificate carries no {0}; enrol again")]
    Lacks(&'static str),
}

/// The names of a Lumbung certificate, before it is issued and after it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames {
    /// What it entitles to.
    pub role: Role,
    /// The repository (agents).
    pub repository: Option<RepositoryId>,
    /// The agent (agents).
    pub agent: Option<AgentId>,
    /// The key that signs its manifests (agents).
    pub agent_key: Option<PublicKey>,
    /// The server of the register (agents).
    pub server: Option<ServerId>,
    /// The site (sites).
    pub site: Option<SiteId>,
}

impl CertificateNames {
    /// A role without any id: enough for controllers and operators.
    #[must_use]
    pub const fn of_role(role: Role) -> Self {
        Self { role, repository: None, agent: None, agent_key: None, server: None, site: None }
    }

    /// The names of an agent.
    #[must_use]
    pub const fn agent(
        repository: RepositoryId,
        agent: AgentId,
        agent_key: PublicKey,
        server: Option<ServerId>,
    ) -> Self {
        Self {
            role: Role::Agent,
            repository: Some(repository),
            agent: Some(agent),
            agent_key: Some(agent_key),
            server,
            site: None,
        }
    }

    /// The names of a site.
    #[must_use]
    pub const fn site(site: SiteId) -> Self {
        let mut names = Self::of_role(Role::Site);
        names.site = Some(site);
        names
    }

    /// As SAN URIs.
    #[must_use]
    pub fn to_uris(&self) -> Vec<String> {
        let ids = [
            self.repository.map(|id| format!("lumbung:repository:{id}")),
            self.agent.map(|id| format!("lumbung:agent:{id}")),
            self.agent_key.map(|key| format!("lumbung:agent-key:{key}")),
            self.server.map(|id| format!("lumbung:server:{id}")),
            self.site.map(|id| format!("lumbung:site:{id}")),
        ];
        std::iter::once(format!("lumbung:role:{}", self.role))
            .chain(ids.into_iter().flatten())
            .collect()
    }

    /// Reads SAN URIs; those that do not begin with `lumbung:` are none of ours.
    pub fn from_uris<'a>(uris: impl IntoIterator<Item = &'a str>) -> Result<Self, IdentityError> {
        let mut role = None;
        let mut names = Self::of_role(Role::Operator);
        for uri in uris {
            let Some(rest) = uri.strip_prefix("lumbung:") else { continue };
            let unknown = || IdentityError::Name(uri.chars().take(128).collect());
            let (name, value) = rest.split_once(':').ok_or_else(unknown)?;
            match name {
                "role" => once(&mut role, value, "role", unknown)?,
                "repository" => once(&mut names.repository, value, "repository", unknown)?,
                "agent" => once(&mut names.agent, value, "agent", unknown)?,
                "agent-key" => once(&mut names.agent_key, value, "agent-key", unknown)?,
                "server" => once(&mut names.server, value, "server", unknown)?,
                "site" => once(&mut names.site, value, "site", unknown)?,
                _ => return Err(unknown()),
            }
        }
        names.role = role.ok_or(IdentityError::Lacks("role"))?;
        names.complete()
    }

    /// These names, if they have what their role needs.
    pub fn complete(self) -> Result<Self, IdentityError> {
        let needs: &[(bool, &'static str)] = match self.role {
            Role::Agent => &[
                (self.repository.is_some(), "repository"),
                (self.agent.is_some(), "agent"),
                (self.agent_key.is_some(), "agent-key"),
            ],
            Role::Site => &[(self.site.is_some(), "site")],
            Role::Controller | Role::Operator => &[],
        };
        match needs.iter().find(|(there, _)| !there) {
            Some((_, what)) => Err(IdentityError::Lacks(what)),
            None => Ok(self),
        }
    }
}

fn once<T: FromStr>(
    slot: &mut Option<T>,
    value: &str,
    name: &'static str,
    unknown: impl Fn() -> IdentityError,
) -> Result<(), IdentityError> {
    let value = value.parse().map_err(|_| unknown())?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(IdentityError::Twice(name)),
    }
}

/// A peer with a certificate of the city's CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// What it may do.
    pub role: Role,
    /// The repository of an agent.
    pub repository: Option<RepositoryId>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// The key that signs the agent's manifests.
    pub agent_key: Option<PublicKey>,
    /// The agent's server in the register.
    pub server: Option<ServerId>,
    /// The site.
    pub site: Option<SiteId>,
    /// Its common name: for people to read, never to decide by.
    pub name: String,
    /// The certificate's serial number, lower-case hex: what a revocation names.
    pub serial: String,
    /// The pin of its TLS key, whose possession TLS has proven.
    pub pin: TlsPin,
    /// When the certificate expires; in the past for an agent in its 180 days of grace.
    pub not_after: Timestamp,
}

impl PeerIdentity {
    /// Whether the certificate has expired: such an agent may append, if a roster lists its key, and nothing else.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }
}

/// Who is at the other end of a connection, as proven by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// No certificate.
    Anonymous,
    /// A certificate of the city's CA.
    Certified(PeerIdentity),
    /// A self-signed certificate over this Ed25519 key, whose possession TLS has proven. What it is
    /// entitled to follows from the rosters and grants that name the key.
    RootKey(PublicKey),
}

impl Peer {
    /// The certified identity, if there is one.
    #[must_use]
    pub const fn identity(&self) -> Option<&PeerIdentity> {
        match self {
            Self::Certified(identity) => Some(identity),
            Self::Anonymous | Self::RootKey(_) => None,
        }
    }

    /// For `SiteInfo::role_seen` and the log.
    #[must_use]
    pub const fn role_name(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Certified(identity) => identity.role.as_str(),
            Self::RootKey(_) => "root-key",
        }
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    /// The peer that [`crate::server::serve`] put there; anonymous in any other setting.
    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _state: &S,
    ) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self::Anonymous))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> CertificateNames {
        CertificateNames::agent(
            RepositoryId::from_bytes([1; 32]),
            AgentId::from_bytes([2; 16]),
            PublicKey::from_bytes([3; 32]),
            Some(ServerId::from_bytes([4; 16])),
        )
    }

    fn read(uris: &[String]) -> Result<CertificateNames, IdentityError> {
        CertificateNames::from_uris(uris.iter().map(String::as_str))
    }

    #[test]
    fn names_survive_the_certificate() {
        for names in [
            agent(),
            CertificateNames::site(SiteId::from_bytes([5; 16])),
            CertificateNames::of_role(Role::Controller),
        ] {
            assert_eq!(read(&names.to_uris()), Ok(names));
        }
    }

    #[test]
    fn doubtful_names_are_refused() {
        let mut twice = agent().to_uris();
        twice.push(format!("lumbung:agent:{}", AgentId::from_bytes([9; 16])));
        assert_eq!(read(&twice), Err(IdentityError::Twice("agent")));

        let mut two_roles = agent().to_uris();
        two_roles.push("lumbung:role:operator".to_owned());
        assert_eq!(read(&two_roles), Err(IdentityError::Twice("role")));

        assert_eq!(
            read(&["lumbung:role:agent".to_owned()]),
            Err(IdentityError::Lacks("repository"))
        );
        assert_eq!(read(&["lumbung:role:site".to_owned()]), Err(IdentityError::Lacks("site")));
        assert_eq!(read(&["https://example.org/".to_owned()]), Err(IdentityError::Lacks("role")));
        for wrong in ["lumbung:role:root", "lumbung:power:all", "lumbung:site:../..", "lumbung:x"] {
            let uris = ["lumbung:role:operator".to_owned(), wrong.to_owned()];
            assert!(matches!(read(&uris), Err(IdentityError::Name(_))), "{wrong}");
        }
    }
}
