//! The API without sockets: who may call what, and what comes of it.

mod authorization;
mod documents;
mod enrolment;
mod flows;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use lumbung_model::{AgentId, PublicKey, RepositoryId, SiteId, Timestamp};
use lumbung_wire::certs::{self, Authority};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::{Peer, PeerIdentity, Role};
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::{AppState, Shared, router};
use crate::config::Config;
use crate::testing::{City, START};

/// A controller with its city.
struct App {
    city: City,
    state: AppState,
}

impl App {
    fn new() -> Self {
        let city = City::new();
        let (authority, _) = Authority::generate("test CA", START).unwrap();
        let state = Arc::new(Shared {
            db: city.db.clone(),
            clock: city.clock.clone(),
            authority,
            config: Config::default(),
            poll: Arc::new(Notify::new()),
        });
        Self { city, state }
    }

    /// Sends a request as `peer`; bodies and answers are held against the OpenAPI document.
    async fn call(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let bytes = body.as_ref().map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        let (status, answer) =
            self.send(peer, method.clone(), path, "application/json", bytes).await;
        if status.is_success() {
            documents::check(&method, path, body.as_ref(), &answer);
        }
        (status, answer)
    }

    async fn send(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(Body::from(body))
            .unwrap();
        request.extensions_mut().insert(peer.clone());
        let response = router(self.state.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let problem = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind == "application/problem+json");
        assert!(status.is_success() || problem, "{status} is no problem document");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(&operator(), Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    async fn post(&self, peer: &Peer, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(peer, Method::POST, path, Some(body)).await
    }

    /// The city's own agent.
    fn agent(&self) -> Peer {
        certified(CertificateNames::agent(
            self.city.repository,
            self.city.agent,
            self.city.agent_key.public(),
            Some(self.city.server),
        ))
    }
}

fn certified(names: CertificateNames) -> Peer {
    Peer::Certified(PeerIdentity {
        role: names.role,
        repository: names.repository,
        agent: names.agent,
        agent_key: names.agent_key,
        server: names.server,
        site: names.site,
        serial: "01".into(),
        not_after: Timestamp(i64::MAX),
    })
}

fn operator() -> Peer {
    certified(CertificateNames::of_role(Role::Operator))
}

fn stranger_agent() -> Peer {
    certified(CertificateNames::agent(
        RepositoryId::from_bytes([1; 32]),
        AgentId::from_bytes([2; 16]),
        PublicKey::from_bytes([3; 32]),
        None,
    ))
}

fn site() -> Peer {
    certified(CertificateNames::site(SiteId::from_bytes([4; 16])))
}

/// A key and a certificate request for it.
fn request() -> (certs::KeyPem, String) {
    let key = certs::generate_key().unwrap();
    let csr = certs::csr(&key, "x").unwrap();
    (key, csr)
}

fn slug(problem: &Value) -> &str {
    problem["type"].as_str().unwrap().rsplit(':').next().unwrap()
}
