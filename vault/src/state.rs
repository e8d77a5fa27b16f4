//! The state directory: the site's identity, its TLS key and certificate, the CAs that it trusts.
//!
//! Invariants: private keys have mode 0600 and are never replaced; the certificate belongs to the TLS key,
//! so that the pin that rosters name stays the same when the certificate changes.

use std::path::{Path, PathBuf};

use lumbung_model::{Clock, PublicKey, SiteId, TlsPin};
use lumbung_pack::{SiteIdentity, SiteIdentityError};
use lumbung_store::{StoreError, durable};
use lumbung_wire::certs::{self, CertError, KeyPem};
use lumbung_wire::messages::{EnrollRequest, EnrollResponse, RenewRequest};
use lumbung_wire::tls::{self, ClientAccess, ServerTls, TlsError, TlsIdentity};
use lumbung_wire::{ClientError, ControllerClient, Role, ServerTrust};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::succession;

/// Why the state directory does not give what is needed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file is not there.
    #[error("{} is not there: run `lumbung-vault init` first", path.display())]
    Uninitialised {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The site's key file is damaged.
    #[error("{} is no site identity: restore it from its backup", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SiteIdentityError,
    },
    /// A file could not be written.
    #[error("the state directory cannot be written")]
    Write(#[from] StoreError),
    /// A certificate could not be made or read.
    #[error("the certificate cannot be made or read")]
    Certificate(#[from] CertError),
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The controller did not answer as wished.
    #[error("the controller did not do what this site asked")]
    Controller(#[from] ClientError),
    /// Nobody knows who acts as the controller.
    #[error(transparent)]
    Succession(#[from] succession::Unusable),
    /// The controller's answer does not fit.
    #[error("the controller's answer is refused: {0}")]
    Answer(String),
}

/// What others need to know of this site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitePublic {
    /// Its id.
    pub site: SiteId,
    /// The key of its receipts.
    pub receipt_key: PublicKey,
    /// The pin of its TLS key.
    pub tls_pin: TlsPin,
    /// Where its keys lie.
    pub state: PathBuf,
}

/// Where the controller is, for renewals.
#[derive(Debug, Serialize, Deserialize)]
struct Controller {
    url: String,
}

/// The state directory.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// The state directory at `dir`.
    #[must_use]
    pub const fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes what is missing: site identity, TLS key, self-signed certificate. What is there stays.
    ///
    /// # Errors
    /// If a file cannot be written, or one that is there is damaged.
    pub fn init(&self) -> Result<SitePublic, StateError> {
        if !self.dir.is_dir() {
            std::fs::create_dir_all(self.dir.parent().unwrap_or(Path::new("/")))
                .map_err(|source| StateError::Read { path: self.dir.clone(), source })?;
            durable::make_directory(&self.dir, 0o700)?;
        }
        let create = |name: &str, text: &str, mode| match durable::create_file(
            &self.path(name),
            text.as_bytes(),
            mode,
        ) {
            Ok(()) | Err(StoreError::Exists { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        if !self.path("site.key").exists() {
            create("site.key", &SiteIdentity::generate().to_text(), 0o600)?;
        }
        let identity = self.identity()?;
        if !self.path("tls.key").exists() {
            create("tls.key", certs::generate_key()?.expose(), 0o600)?;
        }
        if !self.path("tls.pem").exists() {
            create(
                "tls.pem",
                &certs::self_signed_site_certificate(&self.tls_key()?, identity.site)?,
                0o644,
            )?;
        }
        self.public()
    }

    /// What others need to know of this site.
    ///
    /// # Errors
    /// If it was not initialised.
    pub fn public(&self) -> Result<SitePublic, StateError> {
        let identity = self.identity()?;
        let tls_pin = self.tls_identity()?.pin()?;
        Ok(SitePublic {
            site: identity.site,
            receipt_key: identity.key.public(),
            tls_pin,
            state: self.dir.clone(),
        })
    }

    /// Id and receipt key.
    ///
    /// # Errors
    /// If the file is not there or damaged.
    pub fn identity(&self) -> Result<SiteIdentity, StateError> {
        let path = self.path("site.key");
        let text = self.read("site.key")?;
        SiteIdentity::from_text(&text).map_err(|source| StateError::Identity { path, source })
    }

    /// The certificate, PEM.
    ///
    /// # Errors
    /// If it is not there.
    pub fn certificate(&self) -> Result<String, StateError> {
        self.read("tls.pem")
    }

    /// TLS key and certificate.
    ///
    /// # Errors
    /// If they are not there or do not fit together.
    pub fn tls_identity(&self) -> Result<TlsIdentity, StateError> {
        Ok(TlsIdentity::from_pem(&self.read("tls.pem")?, &self.tls_key()?)?)
    }

    fn tls_key(&self) -> Result<KeyPem, StateError> {
        Ok(KeyPem::new(self.read("tls.key")?))
    }

    /// The CAs whose clients are known; none before enrolment.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn authorities(&self) -> Result<Vec<String>, StateError> {
        const END: &str = "-----END CERTIFICATE-----";
        match self.read("ca.pem") {
            Ok(text) => Ok(text
                .split_inclusive(END)
                .filter(|part| part.contains(END))
                .map(|part| format!("{}\n", part.trim_start()))
                .collect()),
            Err(StateError::Uninitialised { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// TLS of the server: whoever has a certificate of the CAs, a key of their own, or none at all
    /// (who then learns what the site is, and that a certificate is needed).
    ///
    /// # Errors
    /// If key, certificate and CAs do not fit together.
    pub fn server_tls(&self, clock: Arc<dyn Clock>) -> Result<ServerTls, StateError> {
        let access = ClientAccess { anonymous: true, self_signed: true };
        Ok(tls::server_config(&self.tls_identity()?, &self.authorities()?, access, clock)?)
    }

    fn read(&self, name: &str) -> Result<String, StateError> {
        let path = self.path(name);
        std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => StateError::Uninitialised { path },
            _ => StateError::Read { path, source },
        })
    }

    /// Enrols this site with the controller and keeps the certificate that it gives.
    ///
    /// # Errors
    /// If the controller refuses, or its answer does not fit this site or the fingerprint.
    pub async fn enroll(
        &self,
        (controller, ca_fingerprint, token): (&str, &str, &str),
        url: Option<&str>,
        clock: Arc<dyn Clock>,
    ) -> Result<EnrollResponse, StateError> {
        let public = self.public()?;
        // What is damaged is found out before the token is used up.
        let kept = succession::kept(&self.dir)?;
        let trust = ServerTrust::CaFingerprint(ca_fingerprint.to_owned());
        let client = ControllerClient::new(controller, &tls::client_config(None, trust, clock)?)?;
        let request = EnrollRequest {
            token: token.to_owned(),
            role: Role::Site,
            csr_pem: certs::csr(
                &self.tls_key()?,
                &format!("lumbung site {}", public.site.short()),
            )?,
            repository: None,
            agent: None,
            agent_key: None,
            domain: None,
            site: Some(public.site),
            receipt_key: Some(public.receipt_key),
            url: url.map(str::to_owned),
            tls_pin: Some(public.tls_pin),
        };
        let answer = client.enroll(&request).await?;
        let known = answer
            .ca_pems
            .iter()
            .any(|pem| certs::fingerprint(pem).is_ok_and(|found| found == ca_fingerprint));
        if !known {
            return Err(StateError::Answer(format!(
                "none of its CAs has the fingerprint {ca_fingerprint}"
            )));
        }
        self.keep(&public, &answer.certificate_pem, &answer.ca_pems)?;
        let controller =
            serde_json::to_vec(&Controller { url: controller.to_owned() }).unwrap_or_default();
        durable::replace_file(&self.path("controller.json"), &controller, 0o644)?;
        // Last: an enrolment that breaks off before is made again, and until then nothing is forgotten.
        succession::begin_anew(&self.dir, kept.as_ref(), ca_fingerprint)?;
        Ok(answer)
    }

    /// Whether this site has a controller.
    pub(crate) fn is_enrolled(&self) -> bool {
        self.controller_url().is_some()
    }

    fn controller_url(&self) -> Option<String> {
        let text = self.read("controller.json").ok()?;
        serde_json::from_str::<Controller>(&text).ok().map(|controller| controller.url)
    }

    /// The controller, as this site talks to it with the certificate of now; none if it was never enrolled.
    ///
    /// # Errors
    /// If key, certificate and CAs do not fit together, or it is not known who acts.
    pub(crate) fn controller(
        &self,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<ControllerClient>, StateError> {
        let Some(enrolled) = self.controller_url() else { return Ok(None) };
        // The one that two officers named, whichever this site enrolled with.
        let (url, trust) = match succession::acting(&self.dir)? {
            Some(acting) => (acting.url, ServerTrust::Pins(vec![acting.pin])),
            None => {
                let name = host_of(&enrolled).to_owned();
                (enrolled, ServerTrust::Ca { ca_pems: self.authorities()?, name })
            }
        };
        let tls = tls::client_config(Some(&self.tls_identity()?), trust, clock)?;
        Ok(Some(ControllerClient::new(&url, &tls)?))
    }

    /// Renews the certificate if it is due. Says whether it did; sites that were never enrolled have nothing to renew.
    ///
    /// # Errors
    /// If the controller refuses, or does not answer.
    pub async fn renew(&self, clock: Arc<dyn Clock>) -> Result<bool, StateError> {
        if !self.is_enrolled() {
            return Ok(false);
        }
        let certificate = self.read("tls.pem")?;
        if certs::facts(&certificate)?.not_after.seconds_since(clock.now()) > certs::RENEW_BEFORE_S
        {
            return Ok(false);
        }
        let public = self.public()?;
        let Some(client) = self.controller(clock)? else { return Ok(false) };
        let csr_pem =
            certs::csr(&self.tls_key()?, &format!("lumbung site {}", public.site.short()))?;
        let answer = client.renew(&RenewRequest { csr_pem }).await?;
        certs::check_renewed(&answer.certificate_pem, &answer.ca_pems, &self.authorities()?)?;
        self.keep(&public, &answer.certificate_pem, &answer.ca_pems)?;
        Ok(true)
    }

    /// Keeps a certificate, if it is one for this site's key.
    fn keep(
        &self,
        public: &SitePublic,
        certificate_pem: &str,
        ca_pems: &[String],
    ) -> Result<(), StateError> {
        let facts = certs::facts(certificate_pem)?;
        let ours = facts
            .names
            .as_ref()
            .is_some_and(|names| names.role == Role::Site && names.site == Some(public.site));
        if facts.pin != public.tls_pin || !ours {
            return Err(StateError::Answer(
                "its certificate is not for this site and its key".to_owned(),
            ));
        }
        // The CAs first: a certificate without its CA would lock the agents out.
        durable::replace_file(&self.path("ca.pem"), ca_pems.join("\n").as_bytes(), 0o644)?;
        durable::replace_file(&self.path("tls.pem"), certificate_pem.as_bytes(), 0o644)?;
        Ok(())
    }
}

/// The host of `https://host:port/…`.
fn host_of(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialising_twice_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path().join("state"));
        assert!(matches!(state.public(), Err(StateError::Uninitialised { .. })));
        let first = state.init().unwrap();
        assert_eq!(state.init().unwrap(), first);
        for name in ["site.key", "tls.key"] {
            let meta = std::fs::metadata(dir.path().join("state").join(name)).unwrap();
            assert_eq!(
                std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777,
                0o600,
                "{name}"
            );
        }
    }

    #[test]
    fn hosts_are_read_from_urls() {
        assert_eq!(host_of("https://c.example.go.id:9443/x"), "c.example.go.id");
        assert_eq!(host_of("https://[::1]:9443"), "::1");
        assert_eq!(host_of("https://c.example.go.id"), "c.example.go.id");
    }
}
