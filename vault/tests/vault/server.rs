//! A real S3 server (s3s over a directory) on loopback, which can be made to fail as real ones do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result};
use tokio::runtime::Runtime;

use crate::backing::{ACCESS_KEY, SECRET_KEY};

/// Tests come and go with runtimes of their own; servers stay.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// Runs work there and waits, wherever the caller is.
pub(crate) fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (done, result) = std::sync::mpsc::sync_channel(1);
    runtime().spawn(async move {
        let _ = done.send(work.await);
    });
    result.recv().expect("the work ends")
}

/// How a server fails: requests of a method (or all) get this answer.
#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) method: Option<Method>,
    pub(crate) status: u16,
    /// The error's code in the answer's body.
    pub(crate) code: &'static str,
}

#[derive(Default)]
struct Behaviour {
    failure: Mutex<Option<Failure>>,
    /// Connections are dropped without an answer.
    away: AtomicBool,
    /// Conditions on writes are ignored, as some servers do.
    unconditional: AtomicBool,
    requests: AtomicU64,
    /// s3s-fs looks and then writes: conditions hold only if one write comes after the other.
    order: tokio::sync::Mutex<()>,
}

/// A server.
pub(crate) struct Server {
    address: SocketAddr,
    behaviour: Arc<Behaviour>,
}

impl Server {
    /// Starts a server over a directory, whose folders are the buckets.
    pub(crate) fn start(root: &Path) -> Self {
        let behaviour = Arc::new(Behaviour::default());
        let store = Store {
            files: s3s_fs::FileSystem::new(root).unwrap(),
            root: root.to_owned(),
            behaviour: Arc::clone(&behaviour),
        };
        let mut builder = S3ServiceBuilder::new(store);
        builder.set_auth(s3s::auth::SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (root, told) = (root.to_owned(), Arc::clone(&behaviour));
        runtime().spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                if told.away.load(Ordering::SeqCst) {
                    continue;
                }
                // Head and body of an answer are two writes: the second one would wait 40 ms for the client's word on the first.
                let _ = stream.set_nodelay(true);
                let (service, told, root) = (service.clone(), Arc::clone(&told), root.clone());
                tokio::spawn(async move {
                    let answer = hyper::service::service_fn(move |request| {
                        answer(service.clone(), Arc::clone(&told), root.clone(), request)
                    });
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { address, behaviour }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn fail(&self, failure: Option<Failure>) {
        *self.behaviour.failure.lock().unwrap() = failure;
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.behaviour.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn ignore_conditions(&self) {
        self.behaviour.unconditional.store(true, Ordering::SeqCst);
    }

    /// Requests that came so far.
    pub(crate) fn requests(&self) -> u64 {
        self.behaviour.requests.load(Ordering::SeqCst)
    }
}

/// s3s-fs, with what real servers do and it does not: without its bucket nothing is found, and nothing is made.
struct Store {
    files: s3s_fs::FileSystem,
    root: PathBuf,
    behaviour: Arc<Behaviour>,
}

impl Store {
    fn check(&self, bucket: &str) -> S3Result<()> {
        if self.root.join(bucket).is_dir() { Ok(()) } else { Err(s3s::s3_error!(NoSuchBucket)) }
    }
}

#[async_trait]
impl S3 for Store {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.check(&request.input.bucket)?;
        if self.behaviour.unconditional.load(Ordering::SeqCst) {
            request.input.if_match = None;
            request.input.if_none_match = None;
        }
        let _order = self.behaviour.order.lock().await;
        self.files.put_object(request).await
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.check(&request.input.bucket)?;
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.check(&request.input.bucket)?;
        self.files.head_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.check(&request.input.bucket)?;
        self.files.delete_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.check(&request.input.bucket)?;
        self.files.list_objects_v2(request).await
    }
}

async fn answer(
    service: S3Service,
    behaviour: Arc<Behaviour>,
    root: PathBuf,
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<s3s::Body>, String> {
    behaviour.requests.fetch_add(1, Ordering::SeqCst);
    if behaviour.away.load(Ordering::SeqCst) {
        return Err("away".to_owned());
    }
    let failure = behaviour.failure.lock().unwrap().clone();
    if let Some(failure) =
        failure.filter(|f| f.method.as_ref().is_none_or(|m| m == request.method()))
    {
        // The whole request first: an answer in the middle of it may be lost with the connection.
        let _ = request.into_body().collect().await;
        return Ok(refusal(failure.status, failure.code));
    }
    let response =
        service.call(request.map(s3s::Body::from)).await.map_err(|error| format!("{error:?}"))?;
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR && is_full(&root) {
        return Ok(refusal(507, "XMinioStorageFull"));
    }
    Ok(response)
}

fn is_full(root: &Path) -> bool {
    let stat = rustix::fs::statvfs(root).unwrap();
    stat.f_bavail.saturating_mul(stat.f_frsize) < 1 << 20
}

fn refusal(status: u16, code: &str) -> http::Response<s3s::Body> {
    let text = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    let body = s3s::Body::from(bytes::Bytes::from(text));
    http::Response::builder().status(status).body(body).unwrap()
}

/// A client of a store, past any vault.
pub(crate) fn client(
    endpoint: &str,
    region: &str,
    bucket: &str,
    (access_key, secret_key): (&str, &str),
) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_region(region)
        .with_bucket_name(bucket)
        .with_access_key_id(access_key)
        .with_secret_access_key(secret_key)
        .with_allow_http(true)
        .with_disable_bulk_delete(true)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_http_connector(Plain)
        .build()
        .unwrap()
}

#[derive(Debug)]
struct Plain;

impl HttpConnector for Plain {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(no_tls())
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Ok(HttpClient::new(PlainHttp(client)))
    }
}

/// Only loopback without TLS is spoken to.
fn no_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[derive(Debug)]
struct PlainHttp(reqwest::Client);

#[async_trait]
impl HttpService for PlainHttp {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let failed = |error: reqwest::Error| HttpError::new(HttpErrorKind::Request, error);
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string()).unwrap();
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(reqwest::Body::wrap(body));
        let response = self.0.execute(request).await.map_err(failed)?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failed))))
    }
}
