//! The data directory: database, CA, the controller's own certificate.
//!
//! Invariants: keys are written with mode 0600 before a byte stands in them, whole or not at all;
//! neither `init` nor `recover` writes over a CA. Names: `controller.db`, `ca.crt`, `ca.key`, `server.crt`, `server.key`,
//! `operator.pem`, `audit.key`, `policy.key`; of a standby `copied` and `copy.lock`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use lumbung_model::{Clock, Secret, Timestamp, TlsPin};
use lumbung_pack::SigningKey;
use lumbung_wire::Role;
use lumbung_wire::certs::{self, Authority, CertError, IssueRequest, KeyPem};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::tls::{TlsError, TlsIdentity};

use crate::db::{Db, DbError};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: check its owner and mode", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is a CA already.
    #[error("{} has a CA already; a second one would lock out every agent. Use it, or name an empty data_dir", .0.display())]
    Initialised(PathBuf),
    /// Half of a CA: nothing is written over it.
    #[error(
        "{} has ca.key and no ca.crt: put ca.crt back from the backup; only if this controller never ran (`init` was interrupted), delete ca.key and run `init` again", .0.display()
    )]
    Half(PathBuf),
    /// There is no CA yet.
    #[error("{} has no CA: run `lumbung-controller init` first, or name the right data_dir", .0.display())]
    NotInitialised(PathBuf),
    /// A certificate could not be made.
    #[error("a certificate of the controller could not be made or read")]
    Certificate(#[from] CertError),
    /// The controller's own certificate cannot be used.
    #[error(
        "the controller's own certificate cannot be used: restore server.crt and server.key, or delete both to have new ones made"
    )]
    Tls(#[from] TlsError),
    /// The key of the audit log, or that of policies, is damaged.
    #[error("{} holds no key: restore it from a copy; without one, move it away, and tell whoever keeps its public half (auditors of audit.key, agents of policy.key) that it changes", .0.display())]
    SigningKey(PathBuf),
    /// The database failed.
    #[error("the database cannot be used")]
    Db(#[from] DbError),
}

/// The data directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// What `init` made.
#[derive(Debug)]
pub struct Initialised {
    /// `sha256:<hex>` of the CA's certificate.
    pub ca_fingerprint: String,
    /// The CA's certificate.
    pub ca: PathBuf,
    /// The operator's certificate and key.
    pub operator: PathBuf,
}

impl StateDir {
    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Held by whoever puts a copy in the place of a standby's database, or promotes it; waits for whoever holds it.
    ///
    /// # Errors
    /// If the lock cannot be had.
    pub fn lock_copy(&self) -> Result<File, StateError> {
        let path = self.file("copy.lock");
        let locked = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let locked = locked.and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| StateError::File { action: "lock", path, source })
    }

    /// Notes from when a standby's copy is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note_copied(&self, at: Timestamp) -> Result<(), StateError> {
        self.write("copied", &at.0.to_string(), 0o644)
    }

    /// From when a standby's copy is; none if it never took one.
    #[must_use]
    pub fn copied(&self) -> Option<Timestamp> {
        self.read("copied").ok()?.trim().parse().ok().map(Timestamp)
    }

    /// The pin of the own TLS key; there is one from now on.
    ///
    /// # Errors
    /// If the key or the certificate cannot be read or made.
    pub fn own_pin(
        &self,
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<TlsPin, StateError> {
        Ok(self.server_identity(authority, names, now)?.pin()?)
    }

    /// The database's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.file("controller.db")
    }

    /// Opens the database.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open_db(&self) -> Result<Db, StateError> {
        if !self.file("ca.crt").exists() {
            return Err(StateError::NotInitialised(self.path.clone()));
        }
        Ok(Db::open(&self.database())?)
    }

    /// Makes database, CA, the controller's certificate and an operator's.
    ///
    /// # Errors
    /// If there is a CA already, or something cannot be written.
    pub fn init(&self, names: &[String], clock: &dyn Clock) -> Result<Initialised, StateError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.path);
        made.map_err(|source| StateError::File {
            action: "create",
            path: self.path.clone(),
            source,
        })?;
        match (self.file("ca.crt").exists(), self.file("ca.key").exists()) {
            (true, _) => return Err(StateError::Initialised(self.path.clone())),
            (false, true) => return Err(StateError::Half(self.path.clone())),
            (false, false) => {}
        }
        drop(Db::create(&self.database())?);
        let now = clock.now();
        let (authority, key) = Authority::generate("Lumbung CA", now)?;
        self.issue_server(&authority, names, now)?;
        let (operator, _) = self.issue_operator(&authority, "operator", now)?;
        // The CA's certificate comes last: with it, init is done.
        self.write_secret("ca.key", key.expose())?;
        self.write("ca.crt", authority.certificate_pem(), 0o644)?;
        Ok(Initialised {
            ca_fingerprint: authority.fingerprint().to_owned(),
            ca: self.file("ca.crt"),
            operator,
        })
    }

    /// Writes the keys of a controller that is recovered; the CA's certificate last, since with it there is a controller.
    ///
    /// # Errors
    /// If there is a CA already, or a file cannot be written.
    pub(crate) fn adopt(&self, files: &[(&'static str, KeyPem)]) -> Result<(), StateError> {
        if self.file("ca.crt").exists() {
            return Err(StateError::Initialised(self.path.clone()));
        }
        let (last, others): (Vec<_>, Vec<_>) =
            files.iter().partition(|(name, _)| *name == "ca.crt");
        for (name, text) in others {
            self.write_secret(name, text.expose())?;
        }
        last.iter().try_for_each(|(name, text)| self.write(name, text.expose(), 0o644))
    }

    /// The CA.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn authority(&self) -> Result<Authority, StateError> {
        if !self.file("ca.crt").exists() {
            return Err(StateError::NotInitialised(self.path.clone()));
        }
        let key = KeyPem::new(self.read("ca.key")?);
        Ok(Authority::open(&self.read("ca.crt")?, &key)?)
    }

    /// The controller's own certificate: for serving, and as the client that reads vaults. A new one is
    /// made where there is none, where it is due, or where it is not for all `names`.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub fn server_identity(
        &self,
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<TlsIdentity, StateError> {
        if !self.file("server.crt").exists() || self.server_due(names, now)? {
            self.issue_server(authority, names, now)?;
        }
        Ok(TlsIdentity::from_pem(&self.read("server.crt")?, &self.server_key()?)?)
    }

    /// The key that signs how far the audit log goes; a new one where there is none.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn audit_key(&self) -> Result<SigningKey, StateError> {
        self.signing_key("audit.key")
    }

    /// The key that signs policies; a new one where there is none. Agents keep its public half from their enrolment on.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn policy_key(&self) -> Result<SigningKey, StateError> {
        self.signing_key("policy.key")
    }

    fn signing_key(&self, name: &str) -> Result<SigningKey, StateError> {
        if !self.file(name).exists() {
            let seed = SigningKey::generate().seed();
            self.write_secret(name, &(HEXLOWER.encode(seed.expose()) + "\n"))?;
        }
        let text = self.read(name)?;
        let seed =
            HEXLOWER.decode(text.trim().as_bytes()).ok().and_then(|seed| seed.try_into().ok());
        let seed: [u8; 32] = seed.ok_or_else(|| StateError::SigningKey(self.file(name)))?;
        Ok(SigningKey::from_seed(&Secret::new(seed)))
    }

    /// Certificates by name, PEM: the controller's own, and the CA's.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn certificates(&self) -> Result<[(&'static str, String); 2], StateError> {
        Ok([("own", self.read("server.crt")?), ("ca", self.read("ca.crt")?)])
    }

    fn server_due(&self, names: &[String], now: Timestamp) -> Result<bool, StateError> {
        let facts = certs::facts(&self.read("server.crt")?)?;
        let issued_for = self.read("server.names").unwrap_or_default();
        let renew_at = facts.not_after.plus_seconds(-certs::RENEW_BEFORE_S);
        Ok(now >= renew_at || issued_for != names.join("\n"))
    }

    fn issue_server(
        &self,
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<(), StateError> {
        let wanted = IssueRequest {
            common_name: "lumbung controller".to_owned(),
            names: CertificateNames::of_role(Role::Controller),
            hosts: names.to_vec(),
            now,
        };
        let issued = authority.issue_for_key(&self.server_key()?, &wanted)?;
        // Names last: if this is interrupted, the certificate is made again at the next start.
        let _ = std::fs::remove_file(self.file("server.names"));
        self.write("server.crt", &issued.certificate_pem, 0o644)?;
        self.write("server.names", &names.join("\n"), 0o644)
    }

    /// The key of the own certificates, a new one where there is none. It outlives them: by its pin a succession's statement
    /// tells the controller that acts from its copies, so it is in no copy.
    fn server_key(&self) -> Result<KeyPem, StateError> {
        if !self.file("server.key").exists() {
            self.write_secret("server.key", certs::generate_key()?.expose())?;
        }
        Ok(KeyPem::new(self.read("server.key")?))
    }

    /// Makes an operator's certificate and key, in one file that only its owner can read. Tells the file, and the serial number.
    ///
    /// # Errors
    /// If it cannot be made or written.
    pub fn issue_operator(
        &self,
        authority: &Authority,
        name: &str,
        now: Timestamp,
    ) -> Result<(PathBuf, String), StateError> {
        let wanted = IssueRequest {
            common_name: name.to_owned(),
            names: CertificateNames::of_role(Role::Operator),
            hosts: Vec::new(),
            now,
        };
        let (issued, key) = authority.issue_with_key(&wanted)?;
        let file = "operator.pem";
        let both = joined(&issued.certificate_pem, &key);
        self.write_secret(file, both.expose())?;
        Ok((self.file(file), issued.serial))
    }

    fn read(&self, name: &str) -> Result<String, StateError> {
        let path = self.file(name);
        std::fs::read_to_string(&path).map_err(|source| StateError::File {
            action: "read",
            path,
            source,
        })
    }

    fn write_secret(&self, name: &str, text: &str) -> Result<(), StateError> {
        self.write(name, text, 0o600)
    }

    /// Temporary file, fsync, rename, fsync of the directory: whole or not at all.
    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), StateError> {
        let path = self.file(name);
        let temporary = self.file(&format!(".{name}.new"));
        let written = (|| {
            let _ = std::fs::remove_file(&temporary);
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        })();
        written.map_err(|source| StateError::File { action: "write", path, source })
    }
}

/// Certificate and key in one text, which is as secret as the key.
fn joined(certificate_pem: &str, key: &KeyPem) -> KeyPem {
    KeyPem::new(format!("{certificate_pem}{}", key.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::FixedClock;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn init_makes_everything_once_and_keeps_keys_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(&dir.path().join("new"));
        let clock = FixedClock::new(Timestamp(1_800_000_000));
        let names = ["localhost".to_owned()];
        let made = state.init(&names, &clock).unwrap();
        assert!(made.ca_fingerprint.starts_with("sha256:"));
        for secret in ["ca.key", "server.key", "operator.pem"] {
            let mode = std::fs::metadata(state.file(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
        let authority = state.authority().unwrap();
        assert_eq!(authority.fingerprint(), made.ca_fingerprint);
        let operator = std::fs::read_to_string(made.operator).unwrap();
        assert_eq!(certs::facts(&operator).unwrap().names.unwrap().role, Role::Operator);
        assert!(operator.contains("PRIVATE KEY"));
        assert!(matches!(state.init(&names, &clock), Err(StateError::Initialised(_))));
        assert_eq!(state.authority().unwrap().fingerprint(), made.ca_fingerprint);
    }

    #[test]
    fn the_own_certificate_is_renewed_when_due_or_renamed() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let start = Timestamp(1_800_000_000);
        let names = ["localhost".to_owned()];
        state.init(&names, &FixedClock::new(start)).unwrap();
        let authority = state.authority().unwrap();
        let serial = || certs::facts(&state.read("server.crt").unwrap()).unwrap().serial;
        let first = serial();
        state.server_identity(&authority, &names, start.plus_seconds(89 * 86_400)).unwrap();
        assert_eq!(serial(), first);
        state.server_identity(&authority, &names, start.plus_seconds(91 * 86_400)).unwrap();
        let second = serial();
        assert_ne!(second, first);
        let renamed = ["lumbung.example.go.id".to_owned()];
        state.server_identity(&authority, &renamed, start.plus_seconds(92 * 86_400)).unwrap();
        assert_ne!(serial(), second);
        let pin = || certs::facts(&state.read("server.crt").unwrap()).unwrap().pin;
        let before = pin();
        std::fs::remove_file(state.file("server.crt")).unwrap();
        state.server_identity(&authority, &renamed, start.plus_seconds(93 * 86_400)).unwrap();
        assert_eq!(pin(), before, "its key outlives its certificates");
    }

    #[test]
    fn half_a_ca_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        let clock = FixedClock::new(Timestamp(1_800_000_000));
        state.init(&["localhost".to_owned()], &clock).unwrap();
        let key = state.read("ca.key").unwrap();
        std::fs::remove_file(state.file("ca.crt")).unwrap();
        let again = state.init(&["localhost".to_owned()], &clock);
        assert!(matches!(again, Err(StateError::Half(_))));
        assert_eq!(state.read("ca.key").unwrap(), key);
    }

    #[test]
    fn without_init_it_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::at(dir.path());
        assert!(matches!(state.open_db(), Err(StateError::NotInitialised(_))));
        assert!(matches!(state.authority(), Err(StateError::NotInitialised(_))));
    }
}
