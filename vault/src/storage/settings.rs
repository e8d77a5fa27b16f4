//! `[storage]` of the configuration: where the objects lie, and the credentials for it.
//!
//! Invariants: no secret stands in the configuration file; a credentials file that others may read is refused;
//! nothing is sent unencrypted unless the file says so.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lumbung_model::schedule::Period;
use serde::Deserialize;

use super::SetupError;

/// Name of the credential that systemd hands over (`LoadCredential=s3:…`).
const SYSTEMD_NAME: &str = "s3";
const ACCESS_KEY: &str = "LUMBUNG_S3_ACCESS_KEY";
const SECRET_KEY: &str = "LUMBUNG_S3_SECRET_KEY";

/// What keeps the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// Directories below `data`.
    #[default]
    Directory,
    /// A bucket of an S3-compatible store.
    S3,
}

/// `[storage]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// What keeps the objects.
    #[serde(default)]
    pub kind: StorageKind,
    /// Where the store answers: `https://host:port`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The bucket; it must exist.
    #[serde(default)]
    pub bucket: Option<String>,
    /// What every key begins with; one vault a prefix.
    #[serde(default)]
    pub prefix: String,
    /// The region that requests are signed for.
    #[serde(default = "defaults::region")]
    pub region: String,
    /// A file with `access_key` and `secret_key`, readable by the vault's user only.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// The certificates that vouch for the store, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether an `http://` endpoint is meant.
    #[serde(default)]
    pub allow_http: bool,
    /// How long a request is repeated before it counts as failed.
    #[serde(default = "defaults::retry")]
    pub retry: Period,
    /// How long this vault may write after its lease was last confirmed.
    #[serde(default = "defaults::lease")]
    pub lease: Period,
}

mod defaults {
    use super::Period;

    pub(super) fn region() -> String {
        "us-east-1".to_owned()
    }
    pub(super) const fn retry() -> Period {
        Period::seconds(60)
    }
    pub(super) const fn lease() -> Period {
        Period::seconds(30)
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            kind: StorageKind::Directory,
            endpoint: None,
            bucket: None,
            prefix: String::new(),
            region: defaults::region(),
            credentials: None,
            ca_file: None,
            allow_http: false,
            retry: defaults::retry(),
            lease: defaults::lease(),
        }
    }
}

impl StorageConfig {
    /// Says what does not fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        let given = [
            ("endpoint", self.endpoint.is_some()),
            ("bucket", self.bucket.is_some()),
            ("prefix", !self.prefix.is_empty()),
            ("credentials", self.credentials.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("allow_http", self.allow_http),
        ];
        if self.kind == StorageKind::Directory {
            return match given.iter().find(|(_, given)| *given) {
                Some((name, _)) => {
                    Err(format!("`{name}` of [storage] needs `kind = \"s3\"` beside it"))
                }
                None => Ok(()),
            };
        }
        let endpoint = self.endpoint.as_deref().ok_or("[storage] needs an `endpoint`")?;
        let bucket = self.bucket.as_deref().ok_or("[storage] needs a `bucket`")?;
        if bucket.is_empty() || bucket.contains('/') {
            return Err(format!("the bucket {bucket:?} of [storage] is not a bucket's name"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let parts = self.prefix.split('/').filter(|part| matches!(*part, "." | ".."));
        if !self.prefix.chars().all(fits) || self.prefix.contains("//") || parts.count() > 0 {
            return Err(format!(
                "the prefix {:?} of [storage] may have letters, digits, `-`, `_`, `.` and single `/` only",
                self.prefix
            ));
        }
        if self.retry.as_seconds() == 0 || self.lease.as_seconds() == 0 {
            return Err("`retry` and `lease` of [storage] must be at least 1 s".to_owned());
        }
        match (endpoint.starts_with("https://"), endpoint.starts_with("http://")) {
            (true, _) if self.ca_file.is_none() => Err(
                "[storage] needs a `ca_file` for https: the store's own CA, or the system's bundle (Debian: /etc/ssl/certs/ca-certificates.crt)"
                    .to_owned(),
            ),
            (true, _) => Ok(()),
            (_, true) if self.allow_http => Ok(()),
            (_, true) => Err(format!(
                "the endpoint {endpoint:?} of [storage] is not encrypted: use https, or say `allow_http = true` where the way there is private"
            )),
            _ => Err(format!("the endpoint {endpoint:?} of [storage] must begin with https://")),
        }
    }
}

/// What requests are signed with. Never printed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: String,
}

impl Credentials {
    /// From the configured file, else from systemd, else from the environment.
    pub(super) fn load(config: &StorageConfig) -> Result<Self, SetupError> {
        if let Some(path) = &config.credentials {
            return Self::read(path);
        }
        let systemd = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|dir| Path::new(&dir).join(SYSTEMD_NAME))
            .filter(|path| path.is_file());
        if let Some(path) = systemd {
            return Self::read(&path);
        }
        match (std::env::var(ACCESS_KEY), std::env::var(SECRET_KEY)) {
            (Ok(access_key), Ok(secret_key)) => Ok(Self { access_key, secret_key }),
            _ => Err(SetupError::Credentials(format!(
                "there are none: set `credentials` in [storage], or LoadCredential={SYSTEMD_NAME}:FILE in the unit, or {ACCESS_KEY} and {SECRET_KEY} in the environment"
            ))),
        }
    }

    fn read(path: &Path) -> Result<Self, SetupError> {
        let failed = |what: String| SetupError::Credentials(format!("{} {what}", path.display()));
        let meta = std::fs::metadata(path).map_err(|e| failed(format!("cannot be read: {e}")))?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(failed("may be read by others: chmod 600 it".to_owned()));
        }
        let text =
            std::fs::read_to_string(path).map_err(|e| failed(format!("cannot be read: {e}")))?;
        // What the parser says would quote the line, secret and all.
        toml::from_str(&text).map_err(|_| {
            failed("is not two lines `access_key = \"…\"` and `secret_key = \"…\"`".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> StorageConfig {
        toml::from_str(text).unwrap()
    }

    const GOOD: &str = "kind = \"s3\"\nendpoint = \"https://s3.example.go.id\"\nbucket = \"lumbung\"\nca_file = \"/ca.pem\"\n";

    #[test]
    fn what_does_not_fit_together_is_named() {
        config(GOOD).check().unwrap();
        config("").check().unwrap();
        for (text, word) in [
            ("bucket = \"b\"\n".to_owned(), "`bucket`"),
            ("kind = \"s3\"\nbucket = \"b\"\n".to_owned(), "`endpoint`"),
            (GOOD.replace("https:", "http:"), "allow_http"),
            (GOOD.replace("ca_file = \"/ca.pem\"\n", ""), "ca_file"),
            (format!("{GOOD}prefix = \"a//b\"\n"), "prefix"),
            (format!("{GOOD}prefix = \"../b\"\n"), "prefix"),
            (format!("{GOOD}lease = \"0 s\"\n"), "lease"),
        ] {
            let error = config(&text).check().unwrap_err();
            assert!(error.contains(word), "{text} {error}");
        }
        config(&(GOOD.replace("https:", "http:") + "allow_http = true\n")).check().unwrap();
    }

    #[test]
    fn credentials_come_from_a_private_file_and_are_never_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s3.toml");
        let mut config = config(GOOD);
        config.credentials = Some(path.clone());
        let text = "access_key = \"GK1\"\nsecret_key = \"hush\"\n";
        lumbung_store::durable::create_file(&path, text.as_bytes(), 0o600).unwrap();
        let read = Credentials::load(&config).map_err(|e| e.to_string()).unwrap();
        assert_eq!((read.access_key.as_str(), read.secret_key.as_str()), ("GK1", "hush"));
        let refusal = |config: &StorageConfig| match Credentials::load(config) {
            Ok(_) => panic!("taken"),
            Err(error) => error.to_string(),
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refusal(&config).contains("chmod 600"));
        lumbung_store::durable::replace_file(&path, b"secret_key = hush\n", 0o600).unwrap();
        let said = refusal(&config);
        assert!(said.contains("access_key") && !said.contains("hush"), "{said}");
    }
}
