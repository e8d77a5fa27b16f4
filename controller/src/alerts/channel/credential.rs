//! Secrets of channels: in a file of their own, or a systemd credential; never in the configuration.
//!
//! Invariants: a file that others may read is refused; what was read is zeroized when dropped and never printed.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

/// Longest secret, bytes.
const SECRET_MAX_BYTES: u64 = 4096;

/// Where a secret is: an absolute path, or the name of a systemd credential (`LoadCredential=`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CredentialFile(String);

/// A place that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no credential: write an absolute path, or credential:NAME for one of systemd's"
)]
pub struct NoPlace(String);

impl TryFrom<String> for CredentialFile {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        let named = text.strip_prefix("credential:");
        let fits = match named {
            Some(name) => !name.is_empty() && !name.contains('/') && !name.starts_with('.'),
            None => Path::new(&text).is_absolute(),
        };
        if fits { Ok(Self(text)) } else { Err(NoPlace(text.chars().take(80).collect())) }
    }
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("cannot read the credential {path}: create it, with mode 0600 and this user as its owner", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("the credential {path} can be read by others: chmod 600 it, and change what it holds", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It holds nothing that can be a secret.
    #[error("the credential {path} must hold one line of at most 4096 bytes", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// systemd gave none.
    #[error("there is no systemd credential {0}: write LoadCredential={0}:… into the unit")]
    NotGiven(String),
}

/// A secret.
pub struct Credential(Zeroizing<String>);

impl Credential {
    /// The text, for the call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl CredentialFile {
    fn path(&self) -> Result<(PathBuf, bool), CredentialError> {
        let Some(name) = self.0.strip_prefix("credential:") else {
            return Ok((PathBuf::from(&self.0), true));
        };
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
        let directory = directory.ok_or_else(|| CredentialError::NotGiven(name.to_owned()))?;
        // systemd itself keeps others out of the directory.
        Ok((Path::new(&directory).join(name), false))
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// If it cannot be read, others may read it, or it is not one line.
    pub fn read(&self) -> Result<Credential, CredentialError> {
        let (path, own) = self.path()?;
        let failed = |source| CredentialError::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if own && mode & 0o077 != 0 {
            return Err(CredentialError::Open { path });
        }
        let mut text = Zeroizing::new(String::new());
        let content = |_| CredentialError::Content { path: path.clone() };
        file.take(SECRET_MAX_BYTES + 1).read_to_string(&mut text).map_err(content)?;
        let line = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        text.zeroize();
        if line.is_empty() || line.len() as u64 > SECRET_MAX_BYTES || line.contains(['\r', '\n']) {
            return Err(CredentialError::Content { path });
        }
        Ok(Credential(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_that_nobody_else_reads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let read = || CredentialFile::try_from(file.to_string_lossy().into_owned()).unwrap().read();
        assert!(matches!(read(), Err(CredentialError::Read { .. })));
        std::fs::write(&file, "rahasia\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(), Err(CredentialError::Open { .. })));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read().unwrap().expose(), "rahasia");
        for bad in ["", "\n", "two\nlines", &"x".repeat(5000)] {
            std::fs::write(&file, bad).unwrap();
            assert!(matches!(read(), Err(CredentialError::Content { .. })));
        }
        for bad in ["", "token", "credential:", "credential:../x", "credential:.x"] {
            assert!(CredentialFile::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
