//! People with accounts at a controller.

use std::sync::Arc;

use anyhow::{Context, Result};
use lumbung_model::{Clock as _, SystemClock};
use lumbung_wire::client::ControllerClient;
use lumbung_wire::messages::people::{
    ApiTokenInput, LoginRequest, NewApiToken, PasswordChange, TotpConfirm, TotpSecret, User,
};
use lumbung_wire::tls::{ServerTrust, client_config};
use serde_json::Value;
use totp_rs::{Builder, Secret};

use crate::city::Controller;
use crate::process::output;

/// The password of everybody.
pub const PASSWORD: &str = "gabah kering giling";
const STEP_S: u64 = 30;

/// An administrator with an app for codes. The controller takes each code once, and the one of the step to come: with
/// the one that set the app up that makes one login without waiting.
pub struct Admin {
    /// The account.
    pub name: &'static str,
    /// A code that was not used yet.
    pub code: String,
    /// A token that may write.
    pub token: String,
}

fn code(secret: &str, step: u64) -> Result<String> {
    let secret = Secret::try_from_base32(secret).ok().context("no secret")?;
    let app = Builder::new().with_secret(secret).build().ok().context("no app")?;
    Ok(app.generate(step * STEP_S).to_string())
}

impl Admin {
    /// An account from the console, with its password and second factor set, and a token that may write.
    ///
    /// # Errors
    /// If the controller refuses any of it.
    pub fn new(controller: &Controller, name: &'static str) -> Result<Self> {
        let mut console = controller.command();
        let add = ["--json", "user", "add", name, "--full-name", name, "--role", "admin"];
        let made: Value = serde_json::from_str(&output(console.args(add))?)?;
        let first = made["password"].as_str().context("no password")?.to_owned();
        let (url, ca) = (controller.url.as_str(), controller.ca_fingerprint.clone());
        controller.host().within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Self::set_up((url, ca), name, first))
        })
    }

    async fn set_up((url, ca): (&str, String), name: &'static str, first: String) -> Result<Self> {
        let trust = ServerTrust::CaFingerprint(ca);
        let tls = client_config(None, trust, Arc::new(SystemClock))?;
        let client = ControllerClient::new(url, &tls)?;
        let login = LoginRequest { name: name.to_owned(), password: first.clone(), code: None };
        let (_, session) = client.login(&login).await?;
        let client = client.with_credentials(&session);
        let change = PasswordChange { current: first, new: PASSWORD.to_owned() };
        client.post::<_, User>("/api/v1/me/password", &change).await?;
        let TotpSecret { secret, .. } = client.post("/api/v1/me/totp", &()).await?;
        let step = SystemClock.now().0.unsigned_abs() / STEP_S;
        let confirm = TotpConfirm {
            code: code(&secret, step)?,
            secret: secret.clone(),
            password: PASSWORD.to_owned(),
            present_code: None,
        };
        client.post::<_, User>("/api/v1/me/totp/confirm", &confirm).await?;
        let input = ApiTokenInput { name: "test".to_owned(), writes: true, days: 1 };
        let made: NewApiToken = client.post("/api/v1/me/tokens", &input).await?;
        Ok(Self { name, code: code(&secret, step + 1)?, token: made.text })
    }
}
