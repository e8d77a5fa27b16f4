//! The HTTP client under `object_store`: the house's TLS (rustls with ring), the CA of the configuration, no proxy.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http_body_util::BodyExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::storage::SetupError;
use crate::storage::settings::{Credentials, StorageConfig};

/// To reach the store.
const CONNECT: Duration = Duration::from_secs(5);
/// For one try of one request, a whole pack included.
const REQUEST: Duration = Duration::from_secs(120);
/// Waits between tries grow from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Connects to nothing yet: the first request does.
pub(super) fn store(config: &StorageConfig) -> Result<AmazonS3, SetupError> {
    let credentials = Credentials::load(config)?;
    let retry_timeout = config.retry.to_duration();
    AmazonS3Builder::new()
        .with_endpoint(config.endpoint.as_deref().unwrap_or_default())
        .with_bucket_name(config.bucket.as_deref().unwrap_or_default())
        .with_region(&config.region)
        .with_access_key_id(credentials.access_key)
        .with_secret_access_key(credentials.secret_key)
        .with_allow_http(config.allow_http)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // One object a request: every store knows that.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: FIRST_WAIT,
                max_backoff: LAST_WAIT.min(retry_timeout),
                base: 2.0,
            },
            // The time alone decides.
            max_retries: 1_000_000,
            retry_timeout,
        })
        .with_http_connector(Connector(http(config)?))
        .build()
        .map_err(|error| SetupError::Client(error.to_string()))
}

fn http(config: &StorageConfig) -> Result<reqwest::Client, SetupError> {
    let failed = |what: String| SetupError::Client(what);
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = &config.ca_file {
        let unreadable = |e| failed(format!("`ca_file` {} is not PEM: {e}", path.display()));
        let certificates: Vec<CertificateDer<'_>> =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
        // A system's bundle may hold one that webpki does not take; the others do.
        let (taken, _) = roots.add_parsable_certificates(certificates);
        if taken == 0 {
            return Err(failed(format!("`ca_file` {} holds no certificate", path.display())));
        }
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
    .map_err(|error| failed(error.to_string()))?
    .with_root_certificates(roots)
    .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(!config.allow_http)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("lumbung/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .pool_idle_timeout(Duration::from_secs(20))
        .tcp_nodelay(true)
        .build()
        .map_err(|error| failed(error.to_string()))
}

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Http(self.0.clone())))
    }
}

#[derive(Debug)]
struct Http(reqwest::Client);

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        if body.content_length() > 0 {
            *request.body_mut() = Some(reqwest::Body::wrap(body));
        }
        let response = self.0.execute(request).await.map_err(failed)?;
        let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        // A full store stays full: repeating the request for as long as `retry` says would only hold its sender.
        if parts.status == StatusCode::INSUFFICIENT_STORAGE {
            parts.status = StatusCode::PAYLOAD_TOO_LARGE;
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failed))))
    }
}

/// Which of these a second try may mend. Names are hashes of what is written, so that repeating a request of
/// which the answer was lost is harmless.
fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_builder() || error.source().is_some_and(|e| e.is::<rustls::Error>()) {
        HttpErrorKind::Unknown
    } else {
        HttpErrorKind::Request
    };
    HttpError::new(kind, error.without_url())
}
