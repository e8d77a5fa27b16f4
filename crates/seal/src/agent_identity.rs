//! An agent's own keys, kept on its server with mode 0600 (format, section 15), and the short text
//! by which the custodian adds it to the roster.

use std::fmt;
use std::str::FromStr;

use lumbung_model::{AgentId, DomainId, IdError, PublicKey, RepositoryId, Secret};
use lumbung_pack::codec::{Reader, Writer};
use lumbung_pack::{Header, Kind, SigningKey, armor};
use zeroize::Zeroizing;

use crate::domain::DomainSecret;
use crate::key_file::KeyFileError;

const TITLE: &str = "LUMBUNG AGENT IDENTITY 1";
const CODE_PREFIX: &str = "lumbung-agent";

/// Who an agent is, what it signs with and its dedup domain's secret. Opens no backup.
pub struct AgentIdentity {
    /// The repository that it was enrolled for, which it never leaves.
    pub repository: RepositoryId,
    /// The agent.
    pub agent: AgentId,
    /// Its dedup domain.
    pub domain: DomainId,
    /// Signs its sessions and manifests.
    pub key: SigningKey,
    /// Names and cuts its chunks.
    pub secret: DomainSecret,
}

impl AgentIdentity {
    /// A new agent with a new dedup domain.
    #[must_use]
    pub fn generate(repository: RepositoryId) -> Self {
        Self {
            repository,
            agent: AgentId::random(),
            domain: DomainId::random(),
            key: SigningKey::generate(),
            secret: DomainSecret::random(),
        }
    }

    /// As a key file, to be written with mode 0600.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut writer = Writer::new();
        Header { kind: Kind::AgentIdentity, repository: self.repository }.write(&mut writer);
        writer.raw(self.agent.as_bytes()).raw(self.domain.as_bytes());
        writer.raw(self.key.seed().expose()).raw(self.secret.expose());
        let object = Zeroizing::new(writer.into_bytes());
        Zeroizing::new(armor::encode(TITLE, &object))
    }

    /// From a key file.
    ///
    /// # Errors
    /// Where it is damaged or another one.
    pub fn from_text(text: &str) -> Result<Self, KeyFileError> {
        let object = armor::decode(TITLE, text)?;
        let mut reader = Reader::new(&object);
        let repository = Header::expect(Kind::AgentIdentity, &mut reader)?.repository;
        let agent = AgentId::from_bytes(reader.array()?);
        let domain = DomainId::from_bytes(reader.array()?);
        let key = SigningKey::from_seed(&Secret::new(reader.array()?));
        let secret = DomainSecret::new(Secret::new(reader.array()?));
        reader.finish()?;
        Ok(Self { repository, agent, domain, key, secret })
    }

    /// What the custodian needs to add this agent to the roster.
    #[must_use]
    pub fn public(&self) -> AgentPublic {
        AgentPublic { agent: self.agent, key: self.key.public(), domain: self.domain }
    }

    /// [`Self::public`] as text: `lumbung-agent:<agent>:<key>:<domain>`.
    #[must_use]
    pub fn public_code(&self) -> String {
        self.public().to_string()
    }
}

/// An agent as the roster will list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentPublic {
    /// The agent.
    pub agent: AgentId,
    /// The public half of its signing key.
    pub key: PublicKey,
    /// Its dedup domain.
    pub domain: DomainId,
}

/// Why a text is not an agent's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentCodeError {
    /// It does not have the four parts.
    #[error(
        "an agent's code looks like lumbung-agent:<agent>:<key>:<domain>: copy the whole line that enrolment printed"
    )]
    Form,
    /// One of its parts is not hex of the right length.
    #[error("the agent's code is not complete: copy the whole line that enrolment printed")]
    Part(#[from] IdError),
}

impl AgentPublic {
    /// Reads an agent's code.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn from_code(code: &str) -> Result<Self, AgentCodeError> {
        let parts: Vec<&str> = code.trim().splitn(5, ':').collect();
        let [CODE_PREFIX, agent, key, domain] = parts[..] else {
            return Err(AgentCodeError::Form);
        };
        Ok(Self { agent: agent.parse()?, key: key.parse()?, domain: domain.parse()? })
    }
}

impl FromStr for AgentPublic {
    type Err = AgentCodeError;

    fn from_str(code: &str) -> Result<Self, AgentCodeError> {
        Self::from_code(code)
    }
}

impl fmt::Display for AgentPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CODE_PREFIX}:{}:{}:{}", self.agent, self.key, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_file() {
        let identity = AgentIdentity::generate(RepositoryId::from_bytes([4; 32]));
        let text = identity.to_text();
        let again = AgentIdentity::from_text(&text).unwrap();
        assert_eq!(again.repository, identity.repository);
        assert_eq!(again.public(), identity.public());
        assert_eq!(again.secret.expose(), identity.secret.expose());
        assert_eq!(again.key.seed().expose(), identity.key.seed().expose());
        assert!(matches!(AgentIdentity::from_text(&text[..200]), Err(KeyFileError::Armor(_))));
    }

    #[test]
    fn a_code_has_one_form() {
        let identity = AgentIdentity::generate(RepositoryId::ZERO);
        let (public, code) = (identity.public(), identity.public_code());
        assert_eq!(AgentPublic::from_code(&format!(" {code}\n")), Ok(public));
        assert_eq!(code.parse(), Ok(public));
        for bad in ["", "lumbung-agent", &code[1..], &format!("{code}:"), &code.replace(':', ";")] {
            assert_eq!(AgentPublic::from_code(bad), Err(AgentCodeError::Form), "{bad}");
        }
        assert!(matches!(
            AgentPublic::from_code(&code[..code.len() - 1]),
            Err(AgentCodeError::Part(_))
        ));
    }
}
