//! Where a tool reads the password of its database user: a systemd credential, or a file that nobody else may read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::SourceError;

/// The name of a systemd credential (`LoadCredential=`), or the absolute path of a file with mode 0600.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Credentials(PathBuf);

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = PathBuf::deserialize(deserializer)?;
        let mut components = path.components();
        let is_name =
            matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
        if is_name || path.is_absolute() {
            return Ok(Self(path));
        }
        Err(serde::de::Error::custom(format!(
            "{} is neither the name of a systemd credential nor an absolute path",
            path.display()
        )))
    }
}

impl Credentials {
    /// A file.
    ///
    /// # Errors
    /// If its path is not absolute.
    pub fn of_file(path: &Path) -> Result<Self, SourceError> {
        if path.is_absolute() {
            return Ok(Self(path.to_owned()));
        }
        let why = "its path is not absolute".to_owned();
        Err(SourceError::Credentials { path: path.to_owned(), why })
    }

    /// The file, checked. `directory` is where systemd has put credentials.
    ///
    /// # Errors
    /// If it is not there, or others may read it.
    pub(crate) fn file(&self, directory: Option<&Path>) -> Result<PathBuf, SourceError> {
        let fail =
            |path: &Path, why: String| Err(SourceError::Credentials { path: path.to_owned(), why });
        if !self.0.is_absolute() {
            let Some(directory) = directory else {
                let why =
                    "systemd gave none: add LoadCredential= to the unit, or write an absolute path";
                return fail(&self.0, why.to_owned());
            };
            let path = directory.join(&self.0);
            return if path.is_file() {
                Ok(path)
            } else {
                fail(&path, format!("add LoadCredential={}:/… to the unit", self.0.display()))
            };
        }
        let file = match std::fs::metadata(&self.0) {
            Ok(file) => file,
            Err(error) => return fail(&self.0, error.to_string()),
        };
        let own = rustix::process::geteuid().as_raw();
        if file.mode() & 0o077 != 0 {
            return fail(
                &self.0,
                "others may read it: chmod 600, and change the password".to_owned(),
            );
        }
        if file.uid() != own && file.uid() != 0 {
            return fail(&self.0, format!("it belongs to user {}: chown root", file.uid()));
        }
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        std::fs::write(&path, "*:*:*:lumbung:secret").unwrap();
        let credentials = Credentials(path.clone());
        for (mode, usable) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(credentials.file(None).is_ok(), usable, "{mode:o}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(credentials.file(None).is_err());
    }

    #[test]
    fn a_name_is_a_credential_of_systemd() {
        let folder = tempfile::tempdir().unwrap();
        let credentials: Credentials = serde_json::from_str("\"simrs\"").unwrap();
        assert!(credentials.file(None).is_err());
        assert!(credentials.file(Some(folder.path())).is_err());
        std::fs::write(folder.path().join("simrs"), "x").unwrap();
        assert_eq!(credentials.file(Some(folder.path())).unwrap(), folder.path().join("simrs"));
        assert!(serde_json::from_str::<Credentials>("\"../simrs\"").is_err());
        assert!(serde_json::from_str::<Credentials>("\"a/b\"").is_err());
    }
}
