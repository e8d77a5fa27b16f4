//! The controller, as agents, sites and the command line use it.
//!
//! Invariant: what it says about keys and sites is a claim, to be held against the roster.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use lumbung_model::TlsPin;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ClientError;
use super::transport::{Call, Download, Timeouts, Transport};
use crate::messages::host::{HostInventory, InventoryAck};
use crate::messages::people::{Caller, LoginRequest};
use crate::messages::policy::PolicyDelivery;
use crate::messages::succession::Succession;
use crate::messages::uptime::{Observations, ObservationsAck, VantageOrders};
use crate::messages::{
    EnrollRequest, EnrollResponse, HeartbeatRequest, HeartbeatResponse, RenewRequest,
    RenewResponse, Report, ReportsAck,
};
use crate::succession::SUCCESSION_MAX_BYTES;
use crate::tls::ClientTls;

/// Longest export: a register of a million rows.
const EXPORT_MAX_BYTES: usize = 1 << 30;
/// Longest JSON answer of the controller.
const ANSWER_MAX_BYTES: usize = 64 << 20;
/// Longest answer with a policy: its text may have twice its length as a JSON string.
const POLICY_ANSWER_MAX_BYTES: usize = 2 * crate::policy::POLICY_MAX_BYTES + (64 << 10);
/// Longest answer with orders: five thousand checks with the longest of URLs.
const ORDERS_MAX_BYTES: usize = 16 << 20;

/// Most pages of one list: a server that goes on for ever is left.
const PAGES_MAX: usize = 1000;

/// The path after `rel="next"` (RFC 8288), if it is one of the API: whatever a server says, the next request goes to it.
fn next_link(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::LINK)?.to_str().ok()?;
    let path = text.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    path.starts_with("/api/v1/").then(|| path.to_owned())
}

/// How somebody without a certificate shows who it is.
#[derive(Clone)]
pub enum Credentials {
    /// An API token.
    Token(String),
    /// A session.
    Session {
        /// Its cookie, `NAME=VALUE`.
        cookie: String,
        /// Its CSRF token.
        csrf: String,
    },
}

impl Credentials {
    fn headers(&self) -> HeaderMap {
        let pairs = match self {
            Self::Token(token) => vec![(header::AUTHORIZATION, format!("Bearer {}", token.trim()))],
            Self::Session { cookie, csrf } => vec![
                (header::COOKIE, cookie.clone()),
                (HeaderName::from_static("x-csrf-token"), csrf.clone()),
            ],
        };
        let mut headers = HeaderMap::new();
        for (name, text) in pairs {
            // What is no header is sent as nothing, and refused by the server.
            if let Ok(mut value) = HeaderValue::try_from(text) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// The controller. Clones share their connections.
#[derive(Clone)]
pub struct ControllerClient {
    transport: Transport,
}

impl ControllerClient {
    /// The controller at `url` (`https://host:port`). Connects when the first request is made.
    pub fn new(url: &str, tls: &ClientTls) -> Result<Self, ClientError> {
        Self::with_timeouts(url, tls, Timeouts::default())
    }

    /// [`Self::new`] with other time-outs.
    pub fn with_timeouts(
        url: &str,
        tls: &ClientTls,
        timeouts: Timeouts,
    ) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(url, tls, timeouts)? })
    }

    /// The same connections for somebody who shows these credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: &Credentials) -> Self {
        Self { transport: self.transport.with_headers(credentials.headers()) }
    }

    /// Logs somebody in; the session's credentials go to [`Self::with_credentials`].
    pub async fn login(
        &self,
        request: &LoginRequest,
    ) -> Result<(Caller, Credentials), ClientError> {
        let call = self.transport.json(Method::POST, "/api/v1/login".to_owned(), request)?;
        let answer = self.transport.send(call).await?;
        let cookie = answer.headers.get(header::SET_COOKIE).and_then(|value| value.to_str().ok());
        let cookie = cookie.and_then(|text| text.split(';').next()).map(str::to_owned);
        let body = self.transport.body(answer, ANSWER_MAX_BYTES).await?;
        let caller: Caller = serde_json::from_slice(&body)
            .map_err(|error| self.transport.protocol(error.to_string()))?;
        match (cookie, caller.csrf_token.clone()) {
            (Some(cookie), Some(csrf)) => Ok((caller, Credentials::Session { cookie, csrf })),
            _ => Err(self.transport.protocol("the login's answer has no session")),
        }
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn server(&self) -> &str {
        self.transport.server()
    }

    /// The TLS key that the controller proved to hold; `None` before the first connection.
    #[must_use]
    pub fn seen_pin(&self) -> Option<TlsPin> {
        self.transport.seen_pin()
    }

    /// By how many seconds the controller's clock is ahead of ours, as of its last answer.
    #[must_use]
    pub fn clock_skew_s(&self) -> Option<i64> {
        self.transport.clock_skew_s()
    }

    /// Enrols with a one-time token; needs no certificate.
    pub async fn enroll(&self, request: &EnrollRequest) -> Result<EnrollResponse, ClientError> {
        self.post("/api/v1/enroll", request).await
    }

    /// A new certificate for the same identity.
    pub async fn renew(&self, request: &RenewRequest) -> Result<RenewResponse, ClientError> {
        self.post("/api/v1/renew", request).await
    }

    /// A sign of life.
    pub async fn heartbeat(
        &self,
        request: &HeartbeatRequest,
    ) -> Result<HeartbeatResponse, ClientError> {
        self.post("/api/v1/heartbeat", request).await
    }

    /// The agent's newest policy; hostile until [`crate::policy::open`] has verified it.
    pub async fn policy(&self) -> Result<PolicyDelivery, ClientError> {
        let call = self.transport.get("/api/v1/policy".to_owned());
        self.transport.read_json(call, POLICY_ANSWER_MAX_BYTES).await
    }

    /// Delivers reports; what comes back is durable there.
    pub async fn reports(&self, reports: &[Report]) -> Result<ReportsAck, ClientError> {
        self.post("/api/v1/reports", &reports).await
    }

    /// What this site has to look at; hostile until each check has been looked through.
    pub async fn vantage(&self) -> Result<VantageOrders, ClientError> {
        let call = self.transport.get("/api/v1/vantage".to_owned());
        self.transport.read_json(call, ORDERS_MAX_BYTES).await
    }

    /// Delivers what this site saw; up to which number it has observations durably comes back, also if there were none.
    pub async fn observe(
        &self,
        observations: &Observations,
    ) -> Result<ObservationsAck, ClientError> {
        self.post("/api/v1/observations", observations).await
    }

    /// Tells what the agent sees of its host.
    pub async fn inventory(&self, seen: &HostInventory) -> Result<InventoryAck, ClientError> {
        self.post("/api/v1/inventory", seen).await
    }

    /// Who acts, as this controller knows it; hostile until [`crate::succession::Chain::open`] has verified it.
    pub async fn succession(&self) -> Result<Succession, ClientError> {
        let call = self.transport.get("/api/v1/succession".to_owned());
        self.transport.read_json(call, SUCCESSION_MAX_BYTES).await
    }

    /// Tells who acts; what the controller knows then comes back.
    pub async fn tell_succession(&self, known: &Succession) -> Result<Succession, ClientError> {
        self.post("/api/v1/succession", known).await
    }

    /// The controller's whole database, as it is now: for a standby.
    pub async fn copy(&self) -> Result<Download, ClientError> {
        let call = self.transport.get("/api/v1/succession/copy".to_owned());
        let call = Call { patience: self.transport.timeouts.commit, ..call };
        self.transport.download(call).await
    }

    /// Any GET of the API that is answered whole, for instance `/api/v1/status`; a part of something longer is an error, and
    /// is read by [`Self::list`] or [`Self::get_part`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        match self.get_part(path).await? {
            (whole, None) => Ok(whole),
            (_, Some(_)) => {
                Err(self.transport.protocol("the answer is only its first page: report this"))
            }
        }
    }

    /// Any GET of the API whose answer is text: an export.
    ///
    /// # Errors
    /// If it does not answer, refuses, or answers no text.
    pub async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.transport.send(self.transport.get(path.to_owned())).await?;
        let bytes = self.transport.body(answer, EXPORT_MAX_BYTES).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A GET of a part of something, and the path of the next part.
    pub async fn get_part<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, Option<String>), ClientError> {
        let (part, headers) = self.get_with_headers(path).await?;
        Ok((part, next_link(&headers)))
    }

    async fn get_with_headers<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, HeaderMap), ClientError> {
        let answer = self.transport.send(self.transport.get(path.to_owned())).await?;
        let headers = answer.headers.clone();
        let body = self.transport.body(answer, ANSWER_MAX_BYTES).await?;
        let value = serde_json::from_slice(&body)
            .map_err(|error| self.transport.protocol(error.to_string()))?;
        Ok((value, headers))
    }

    /// A whole list of the API, for instance `/api/v1/servers`, page by page.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
        for _ in 0..PAGES_MAX {
            let Some(path) = next else { return Ok(all) };
            let (page, after) = self.get_part::<Vec<T>>(&path).await?;
            all.extend(page);
            next = after;
        }
        Err(self.transport.protocol(format!("the list is longer than {PAGES_MAX} pages")))
    }

    /// Any POST of the API.
    pub async fn post<B: Serialize + ?Sized + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.with_body(Method::POST, path, body).await
    }

    /// Any PUT of the API.
    pub async fn put<B: Serialize + ?Sized + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.with_body(Method::PUT, path, body).await
    }

    /// One row, and the tag that [`Self::patch`] wants.
    pub async fn get_tagged<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, String), ClientError> {
        let (row, headers) = self.get_with_headers(path).await?;
        let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.map(str::to_owned).ok_or_else(|| self.transport.protocol("no ETag"))?;
        Ok((row, tag))
    }

    /// Changes a row that still has this tag, by a JSON Merge Patch (RFC 7396).
    pub async fn patch<B: Serialize + ?Sized + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        tag: String,
        body: &B,
    ) -> Result<T, ClientError> {
        let call = self.transport.json(Method::PATCH, path.to_owned(), body)?;
        let kind = Some("application/merge-patch+json");
        let call = Call { kind, seen: Some(tag), ..call };
        self.transport.read_json(call, ANSWER_MAX_BYTES).await
    }

    /// Does something with a row that still has this tag.
    pub async fn post_seen<B: Serialize + ?Sized + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        tag: String,
        body: &B,
    ) -> Result<T, ClientError> {
        let call = self.transport.json(Method::POST, path.to_owned(), body)?;
        let call = Call { seen: Some(tag), ..call };
        self.transport.read_json(call, ANSWER_MAX_BYTES).await
    }

    /// A POST of bytes, for instance of a signed proof to `/api/v1/proofs`.
    pub async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let call =
            Call { method: Method::POST, ..self.transport.put(path.to_owned(), vec![body.into()]) };
        self.transport.read_json(call, ANSWER_MAX_BYTES).await
    }

    async fn with_body<B: Serialize + ?Sized + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let call = self.transport.json(method, path.to_owned(), body)?;
        self.transport.read_json(call, ANSWER_MAX_BYTES).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_same_servers() {
        for (text, expected) in [
            ("</api/v1/pd?limit=2&after=x>; rel=\"next\"", Some("/api/v1/pd?limit=2&after=x")),
            ("<https://elsewhere.example/api/v1/pd>; rel=\"next\"", None),
            ("</api/v1/pd>; rel=\"prev\"", None),
            ("nonsense", None),
        ] {
            let headers = HeaderMap::from_iter([(header::LINK, HeaderValue::from_static(text))]);
            assert_eq!(next_link(&headers).as_deref(), expected, "{text}");
        }
        assert_eq!(next_link(&HeaderMap::new()), None);
    }
}
