//! The controller as an operator's command reaches it: address, certificate, CA fingerprint.
//!
//! Invariants: options win over the environment, the environment over `client.toml`; the controller is
//! always authenticated, by the fingerprint of the city's CA; an unknown key in the file is an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_model::SystemClock;
use lumbung_wire::client::{ClientError, ControllerClient, Credentials};
use lumbung_wire::messages::people::{Caller, LoginRequest};
use lumbung_wire::tls::{ServerTrust, client_config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{Code, Explain as _, Failure, Outcome};
use crate::files::read_text;
use crate::remote::{pem_identity, refused, runtime};

/// Where the controller is and as whom to ask it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ControllerArgs {
    /// Address of the controller, https://host:port
    #[arg(long, value_name = "URL", env = "LUMBUNG_CONTROLLER", hide_env_values = true)]
    controller: Option<String>,
    /// Operator's certificate and key, PEM in one file
    #[arg(long, value_name = "FILE", env = "LUMBUNG_IDENTITY", hide_env_values = true)]
    identity: Option<PathBuf>,
    /// File with an API token, instead of a certificate (`lumbung login` makes one)
    #[arg(long, value_name = "FILE", env = "LUMBUNG_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// Fingerprint of the city's CA, sha256:… (the controller printed it at its init)
    #[arg(long, value_name = "SHA256", env = "LUMBUNG_CA_FINGERPRINT", hide_env_values = true)]
    ca_fingerprint: Option<String>,
    /// Configuration file (default: ~/.config/lumbung/client.toml)
    #[arg(long, value_name = "FILE", env = "LUMBUNG_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

/// `client.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    controller: Option<String>,
    identity: Option<PathBuf>,
    token_file: Option<PathBuf>,
    ca_fingerprint: Option<String>,
}

/// As whom the controller is asked.
enum As {
    Certificate(PathBuf),
    Token(PathBuf),
    /// Nobody yet: before a login.
    Nobody,
}

/// A controller at hand.
pub(crate) struct Controller {
    client: ControllerClient,
    url: String,
}

impl ControllerArgs {
    /// Sets up the connection; the first request makes it.
    ///
    /// # Errors
    /// If something that is needed is said nowhere.
    pub(crate) fn connect(&self) -> Outcome<Controller> {
        let settings = self.settings()?;
        // What the command line names stands before what the file names; of one place the token stands first.
        let from = |token: Option<PathBuf>, identity: Option<PathBuf>| {
            token.map(As::Token).or(identity.map(As::Certificate))
        };
        let who = from(self.token_file.clone(), self.identity.clone())
            .or(from(settings.token_file.clone(), settings.identity.clone()));
        let who =
            who.ok_or_else(|| unsaid("an API token or the operator's certificate", "identity"))?;
        self.connect_as(settings, &who)
    }

    /// As [`Self::connect`], as nobody yet: for a login.
    ///
    /// # Errors
    /// If something that is needed is said nowhere.
    pub(crate) fn connect_to_log_in(&self) -> Outcome<Controller> {
        self.connect_as(self.settings()?, &As::Nobody)
    }

    fn connect_as(&self, settings: Settings, who: &As) -> Outcome<Controller> {
        let url = self
            .controller
            .clone()
            .or(settings.controller)
            .ok_or_else(|| unsaid("the controller's address", "controller"))?;
        let fingerprint = self
            .ca_fingerprint
            .clone()
            .or(settings.ca_fingerprint)
            .ok_or_else(|| unsaid("the fingerprint of the city's CA", "ca-fingerprint"))?;
        let identity = match who {
            As::Certificate(path) => Some(pem_identity(path)?),
            As::Token(_) | As::Nobody => None,
        };
        let tls = client_config(
            identity.as_ref(),
            ServerTrust::CaFingerprint(fingerprint),
            Arc::new(SystemClock),
        )
        .explain(
            Code::Usage,
            || "TLS to the controller could not be set up".to_owned(),
            "write the fingerprint as sha256: and 64 hex digits, as the controller printed it",
        )?;
        let mut client = ControllerClient::new(&url, &tls).map_err(|e| refused(&url, e))?;
        if let As::Token(path) = who {
            let token = read_text(path, "the API token")?;
            client = client.with_credentials(&Credentials::Token(token.trim().to_owned()));
        }
        Ok(Controller { client, url })
    }

    fn settings(&self) -> Outcome<Settings> {
        let Some(path) = self.config.clone().or_else(default_path) else {
            return Ok(Settings::default());
        };
        if self.config.is_none() && !path.exists() {
            return Ok(Settings::default());
        }
        let text = read_text(&path, "the configuration")?;
        let mut settings = parse(&path, &text)?;
        // A path in the file is meant from where the file lies.
        for named in [&mut settings.identity, &mut settings.token_file] {
            if let (Some(named), Some(folder)) = (named, path.parent()) {
                *named = folder.join(&named);
            }
        }
        Ok(settings)
    }
}

fn parse(path: &Path, text: &str) -> Outcome<Settings> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message =
            format!("{}, line {line}: {}", path.display(), error.message().replace('\n', " "));
        Failure::new(
            Code::BadFile,
            message,
            "correct that line; docs/cli.md shows what client.toml may hold",
        )
    })
}

fn unsaid(what: &str, name: &str) -> Failure {
    let variable = name.replace('-', "_");
    let next = format!(
        "give --{name}, set LUMBUNG_{}, or write {variable} = \"…\" in ~/.config/lumbung/client.toml",
        variable.to_uppercase()
    );
    Failure::new(Code::Usage, format!("{what} is said nowhere"), next)
}

fn default_path() -> Option<PathBuf> {
    let config = match std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(config.join("lumbung/client.toml"))
}

impl Controller {
    /// Asks for something.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        runtime()?.block_on(self.client.get(path)).map_err(|e| self.explain(e))
    }

    /// Asks for something that may not be there.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn get_if_there<T: DeserializeOwned>(&self, path: &str) -> Outcome<Option<T>> {
        match runtime()?.block_on(self.client.get(path)) {
            Ok(found) => Ok(Some(found)),
            Err(ClientError::Refused { problem, .. }) if problem.status == 404 => Ok(None),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Asks for a text.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn get_text(&self, path: &str) -> Outcome<String> {
        runtime()?.block_on(self.client.get_text(path)).map_err(|e| self.explain(e))
    }

    /// Asks for a whole list, page by page.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn list<T: DeserializeOwned>(&self, path: &str) -> Outcome<Vec<T>> {
        runtime()?.block_on(self.client.list(path)).map_err(|e| self.explain(e))
    }

    /// Asks for a part of something, and where the next one is.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn get_part<T: DeserializeOwned>(&self, path: &str) -> Outcome<(T, Option<String>)> {
        runtime()?.block_on(self.client.get_part(path)).map_err(|e| self.explain(e))
    }

    /// Logs somebody in: the same controller, asked by that person.
    ///
    /// # Errors
    /// If it does not answer or refuses; `None` if only the code of the second factor is missing.
    pub(crate) fn log_in(&self, request: &LoginRequest) -> Outcome<Option<(Caller, Self)>> {
        match runtime()?.block_on(self.client.login(request)) {
            Ok((caller, credentials)) => {
                let client = self.client.clone().with_credentials(&credentials);
                Ok(Some((caller, Self { client, url: self.url.clone() })))
            }
            Err(ClientError::Refused { problem, .. }) if problem.slug() == "code-needed" => {
                Ok(None)
            }
            Err(ClientError::Refused { problem, .. }) if problem.status == 401 => {
                let next = "type name and password again; after several failures wait a minute";
                Err(Failure::new(Code::NotEntitled, problem.detail, next))
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Sends something.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Outcome<T> {
        runtime()?.block_on(self.client.post(path, body)).map_err(|e| self.explain(e))
    }

    /// Asks for one row, with its tag.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> Outcome<(T, String)> {
        runtime()?.block_on(self.client.get_tagged(path)).map_err(|e| self.explain(e))
    }

    /// Changes a row that still has this tag.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn patch<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        tag: String,
        body: &B,
    ) -> Outcome<T> {
        runtime()?.block_on(self.client.patch(path, tag, body)).map_err(|e| self.explain(e))
    }

    /// Does something with a row that still has this tag.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn post_seen<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        tag: String,
        body: &B,
    ) -> Outcome<T> {
        runtime()?.block_on(self.client.post_seen(path, tag, body)).map_err(|e| self.explain(e))
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If it does not answer or refuses.
    pub(crate) fn post_bytes<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> Outcome<T> {
        runtime()?.block_on(self.client.post_bytes(path, body)).map_err(|e| self.explain(e))
    }

    fn explain(&self, error: ClientError) -> Failure {
        match &error {
            ClientError::Refused { problem, .. } if !matches!(problem.status, 401 | 403) => {
                let next = "correct what it names, then run the command again";
                Failure::new(Code::Controller, format!("the controller refused: {problem}"), next)
            }
            ClientError::Unreachable { .. }
            | ClientError::Stalled { .. }
            | ClientError::Protocol { .. } => {
                let message = format!("the controller at {} did not answer", self.url);
                let next = "backups and restores go on without it; check address, network and `lumbung-controller`";
                Failure::new(Code::Controller, message, next).because(error)
            }
            _ => refused(&self.url, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let failure =
            parse(Path::new("client.toml"), "controller = \"https://a\"\nidentiti = \"x\"\n");
        let text = failure.map(|_| ()).map_err(|f| f.text());
        let text = text.expect_err("refused");
        assert!(
            text.contains("client.toml, line 2")
                && text.contains("identiti")
                && text.contains("`identity`"),
            "{text}"
        );
        assert!(parse(Path::new("client.toml"), "ca_fingerprint = \"sha256:ab\"").is_ok());
    }
}
