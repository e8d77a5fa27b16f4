//! HTTP to the world outside the city's own programs: what Telegram, webhooks and the sign of life have in common.
//!
//! Invariants: TLS is checked against the authorities that the machine trusts; nothing is followed elsewhere; answers are
//! read up to a bound; an error never names the URL, which may hold a token.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, RequestBuilder};
use rustls::{ClientConfig, RootCertStore};

use super::{Outcome, PATIENCE};

/// Longest answer that is read, bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;
/// Longest reason that is kept, characters.
const REASON_MAX_CHARS: usize = 200;

/// A client. Clones share their connections.
#[derive(Clone)]
pub struct Web(Client);

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Web {
    /// A client that trusts whom the machine trusts.
    ///
    /// # Errors
    /// Why TLS cannot be set up.
    pub fn open() -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        // A machine without any still reaches itself over plain HTTP.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("lumbung/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(30))
            .timeout(PATIENCE)
            .build();
        client.map(Self).map_err(|error| error.without_url().to_string())
    }

    pub(super) fn post(&self, url: &str) -> RequestBuilder {
        self.0.post(url)
    }

    /// Asks for a URL; whether it was answered well.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn get(&self, url: &str) -> Result<(), String> {
        let response = self.0.get(url).send().await.map_err(|error| reason(error).0)?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

/// Why a request failed, without its URL, and whether it may have arrived.
fn reason(error: reqwest::Error) -> (String, bool) {
    let arrived = !error.is_connect() && !error.is_builder();
    (lumbung_model::with_causes(&error.without_url()), arrived)
}

/// Sends a request and reads its answer.
///
/// # Errors
/// What becomes of the message.
pub(super) async fn send(request: RequestBuilder) -> Result<Answer, Outcome> {
    let failed = |error: reqwest::Error| match reason(error) {
        (reason, true) => Outcome::Unanswered(short(&reason)),
        (reason, false) => Outcome::Later(short(&reason), None),
    };
    let mut response = request.send().await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    // The status has been said: what follows explains it, and may break off.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX_BYTES {
            break;
        }
    }
    body.truncate(ANSWER_MAX_BYTES);
    Ok(Answer { status, headers, body })
}

/// The seconds of `Retry-After` (RFC 9110), if they are given as such.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<u32> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// What a stranger says, made short and harmless for the log, the table and other messages.
pub(super) fn short(text: &str) -> String {
    crate::alerts::text::harmless(text, REASON_MAX_CHARS)
}
