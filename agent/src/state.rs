//! The agent's state directory: its identity, its certificate, what enrolment said, and its policy.
//!
//! Invariants: the directory is 0700 and every file in it 0600; a secret that others may read is
//! refused, not used. A file is replaced as a whole: written beside, synced, renamed, the directory
//! synced. Certificate and key stand in one file, so that no crash parts them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lumbung_model::{RepositoryId, ServerId, SiteId};
use lumbung_seal::AgentIdentity;
use lumbung_wire::certs::KeyPem;
use lumbung_wire::messages::SiteEntry;
use lumbung_wire::messages::succession::Succession;
use serde::{Deserialize, Serialize};

const IDENTITY: &str = "agent.id";
const TLS: &str = "tls.pem";
const ENROLMENT: &str = "enrolment.json";
const REACHED: &str = "reached.json";
const SUCCESSION: &str = "succession.json";
const SUCCESSION_ASIDE: &str = "succession.json.old";
const DATABASE: &str = "agent.db";
const DAEMON_LOCK: &str = "daemon.lock";
const ENGINE: &str = "engine";
const POLICY: &str = "policy.json";
const POLICY_LOCK: &str = "policy.lock";
/// No file that is read whole is larger.
const MAX_BYTES: u64 = 1 << 20;
const SUCCESSION_FILE_MAX_BYTES: u64 = lumbung_wire::succession::SUCCESSION_MAX_BYTES as u64;
/// Two policies as JSON strings, each of which may be twice as long as its text.
const POLICY_MAX_BYTES: u64 = 4 * lumbung_wire::policy::POLICY_MAX_BYTES as u64 + MAX_BYTES;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or the directory cannot be read or written.
    #[error("cannot {action} {}: run this as the agent's user, or name another directory with --state", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Others may read a secret.
    #[error(
        "{} can be read by others (mode {mode:04o}): run `chmod 600 {}`; if somebody may have read it, \
         have the custodian withdraw this agent (`lumbung roster withdraw-agent`) and enrol again",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The agent is not enrolled.
    #[error("{} has no agent: run `lumbung-agent enroll` first (`lumbung token new --server NAME` makes the token)", path.display())]
    NotEnrolled {
        /// The directory.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: {reason}; restore it from a copy, or move it away and enrol again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// What enrolment said, and what the controller has said since.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrolment {
    /// The controller's address.
    pub controller: String,
    /// The repository named on the enrolment command line.
    pub repository: RepositoryId,
    /// The server in the register.
    pub server: Option<ServerId>,
    /// The CAs to trust: one, or two during a change. PEM.
    pub ca_pems: Vec<String>,
    /// The sites of the register.
    pub sites: Vec<SiteEntry>,
}

/// Where a site took this agent's last snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// The site.
    pub site: SiteId,
    /// What the register called it.
    pub name: String,
    /// Where it answered.
    pub url: String,
}

/// The certificate of this agent and its key, PEM.
pub struct TlsFiles {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key: KeyPem,
}

/// The directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Opens the directory; makes it (0700) if it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(path: &Path) -> Result<Self, StateError> {
        let io = |source| StateError::Io { action: "create", path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let state = Self { path: path.to_owned() };
        let engine = state.engine();
        match fs::DirBuilder::new().mode(0o700).create(&engine) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(StateError::Io { action: "create", path: engine, source })
            }
            _ => Ok(state),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine keeps rosters, journals and catalogues.
    #[must_use]
    pub fn engine(&self) -> PathBuf {
        self.path.join(ENGINE)
    }

    /// The database of jobs and reports.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Held by the daemon while it runs; none if another one holds it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn lock_daemon(&self) -> Result<Option<File>, StateError> {
        let path = self.path.join(DAEMON_LOCK);
        try_lock(&path).map_err(|source| StateError::Io { action: "lock", path, source })
    }

    /// The file of the agent's identity.
    #[must_use]
    pub fn identity_file(&self) -> PathBuf {
        self.path.join(IDENTITY)
    }

    /// The agent's identity, none if there is none yet.
    ///
    /// # Errors
    /// If others may read it, or it is damaged.
    pub fn identity(&self) -> Result<Option<AgentIdentity>, StateError> {
        let path = self.path.join(IDENTITY);
        let Some(text) = read_secret(&path)? else { return Ok(None) };
        let damaged = |e: &dyn std::error::Error| StateError::Damaged {
            path: path.clone(),
            reason: e.to_string(),
        };
        AgentIdentity::from_text(&text).map(Some).map_err(|e| damaged(&e))
    }

    /// Keeps a new identity.
    ///
    /// # Errors
    /// If it was not kept durably.
    pub fn write_identity(&self, identity: &AgentIdentity) -> Result<(), StateError> {
        replace(&self.path.join(IDENTITY), identity.to_text().as_bytes())
    }

    /// Certificate and key, none before enrolment.
    ///
    /// # Errors
    /// If others may read them, or they are damaged.
    pub fn tls(&self) -> Result<Option<TlsFiles>, StateError> {
        let path = self.path.join(TLS);
        let Some(text) = read_secret(&path)? else { return Ok(None) };
        let begin = text.find("-----BEGIN PRIVATE KEY-----");
        let at = begin
            .filter(|at| text[..*at].contains("-----BEGIN CERTIFICATE-----"))
            .ok_or_else(|| {
                let reason = "it should hold a certificate and then its private key".to_owned();
                StateError::Damaged { path: path.clone(), reason }
            })?;
        let key = KeyPem::new(text[at..].to_owned());
        Ok(Some(TlsFiles { certificate_pem: text[..at].to_owned(), key }))
    }

    /// Replaces certificate and key.
    ///
    /// # Errors
    /// If they were not kept durably.
    pub fn write_tls(&self, tls: &TlsFiles) -> Result<(), StateError> {
        let text = format!("{}\n{}", tls.certificate_pem.trim_end(), tls.key.expose());
        replace(&self.path.join(TLS), zeroize::Zeroizing::new(text).as_bytes())
    }

    /// What enrolment said, none before it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, StateError> {
        let path = self.path.join(ENROLMENT);
        let Some(text) = read_secret(&path)? else { return Ok(None) };
        let enrolment = serde_json::from_str(&text);
        enrolment.map(Some).map_err(|e| StateError::Damaged { path, reason: e.to_string() })
    }

    /// Replaces what enrolment said.
    ///
    /// # Errors
    /// If it was not kept durably.
    pub fn write_enrolment(&self, enrolment: &Enrolment) -> Result<(), StateError> {
        let path = self.path.join(ENROLMENT);
        let text = serde_json::to_vec_pretty(enrolment)
            .map_err(|e| StateError::Damaged { path: path.clone(), reason: e.to_string() })?;
        replace(&path, &text)
    }

    /// Where sites took this agent's snapshots.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn reached(&self) -> Result<Vec<Reached>, StateError> {
        let path = self.path.join(REACHED);
        let Some(text) = read_secret(&path)? else { return Ok(Vec::new()) };
        serde_json::from_str(&text).map_err(|e| StateError::Damaged { path, reason: e.to_string() })
    }

    /// Replaces what [`Self::reached`] tells.
    ///
    /// # Errors
    /// If it was not kept durably.
    pub fn write_reached(&self, reached: &[Reached]) -> Result<(), StateError> {
        let path = self.path.join(REACHED);
        let text = serde_json::to_vec(reached)
            .map_err(|e| StateError::Damaged { path: path.clone(), reason: e.to_string() })?;
        replace(&path, &text)
    }

    /// The file of the statements of who acts as the controller.
    #[must_use]
    pub fn succession_file(&self) -> PathBuf {
        self.path.join(SUCCESSION)
    }

    /// The statements that were taken, none before the first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn succession(&self) -> Result<Option<Succession>, StateError> {
        let path = self.succession_file();
        let Some(text) = read_capped(&path, SUCCESSION_FILE_MAX_BYTES)? else { return Ok(None) };
        let all = serde_json::from_str(&text);
        all.map(Some).map_err(|e| StateError::Damaged { path, reason: e.to_string() })
    }

    /// Replaces the statements.
    ///
    /// # Errors
    /// If they were not kept durably.
    pub fn write_succession(&self, all: &Succession) -> Result<(), StateError> {
        let path = self.succession_file();
        let text = serde_json::to_vec(all)
            .map_err(|e| StateError::Damaged { path: path.clone(), reason: e.to_string() })?;
        replace(&path, &text)
    }

    /// Puts the statements aside, as `succession.json.old`: those of another CA than this agent enrolled with count no more.
    ///
    /// # Errors
    /// If they could not be put aside durably.
    pub fn put_succession_aside(&self) -> Result<(), StateError> {
        let path = self.succession_file();
        let io = |source| StateError::Io { action: "put aside", path: path.clone(), source };
        fs::rename(&path, self.path.join(SUCCESSION_ASIDE)).map_err(io)?;
        File::open(&self.path).and_then(|directory| directory.sync_all()).map_err(io)
    }

    /// The policy's file: it is another one after every change.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        self.path.join(POLICY)
    }

    /// The policy's file as it is kept, none before the first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn policy(&self) -> Result<Option<zeroize::Zeroizing<String>>, StateError> {
        read_capped(&self.policy_file(), POLICY_MAX_BYTES)
    }

    /// Replaces the policy's file.
    ///
    /// # Errors
    /// If it was not kept durably.
    pub fn write_policy(&self, bytes: &[u8]) -> Result<(), StateError> {
        replace(&self.policy_file(), bytes)
    }

    /// Held by whoever changes the policy's file; waits for whoever does.
    ///
    /// # Errors
    /// If the lock cannot be had.
    pub fn lock_policy(&self) -> Result<File, StateError> {
        let path = self.path.join(POLICY_LOCK);
        let io = |source| StateError::Io { action: "lock", path: path.clone(), source };
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(io)?;
        file.lock().map_err(io)?;
        Ok(file)
    }

    /// Identity, certificate and enrolment, all of them.
    ///
    /// # Errors
    /// [`StateError::NotEnrolled`] if one is missing.
    pub fn enrolled(&self) -> Result<(AgentIdentity, TlsFiles, Enrolment), StateError> {
        match (self.identity()?, self.tls()?, self.enrolment()?) {
            (Some(identity), Some(tls), Some(enrolment)) => {
                if identity.repository != enrolment.repository {
                    let reason =
                        "it belongs to another repository than the identity beside it".to_owned();
                    return Err(StateError::Damaged { path: self.path.join(ENROLMENT), reason });
                }
                Ok((identity, tls, enrolment))
            }
            _ => Err(StateError::NotEnrolled { path: self.path.clone() }),
        }
    }
}

/// Holds a lock file; none if another process holds it.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Reads a small file that only its owner may read; none if it is not there.
fn read_secret(path: &Path) -> Result<Option<zeroize::Zeroizing<String>>, StateError> {
    read_capped(path, MAX_BYTES)
}

fn read_capped(
    path: &Path,
    max_bytes: u64,
) -> Result<Option<zeroize::Zeroizing<String>>, StateError> {
    let io = |source| StateError::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io)?,
    };
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StateError::Exposed { path: path.to_owned(), mode });
    }
    if metadata.len() > max_bytes {
        let reason = format!("{} bytes are too many", metadata.len());
        return Err(StateError::Damaged { path: path.to_owned(), reason });
    }
    io::read_to_string(file).map(|text| Some(zeroize::Zeroizing::new(text))).map_err(io)
}

/// Replaces a file as a whole, durably, readable by its owner only.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let io = |source| StateError::Io { action: "write", path: path.to_owned(), source };
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| io(io::Error::other(e)))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let temporary = directory.join(format!(".tmp-{:016x}", u64::from_le_bytes(random)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    if written.is_err() {
        // Whatever is left of it is of no use; that it may stay behind changes nothing.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(io)
}

#[cfg(test)]
mod tests;
