//! Every route against every kind of caller. A route that is missing here fails the test.

use http::{Method, StatusCode};
use lumbung_model::PublicKey;
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::{Peer, Role};

use super::super::routes;
use super::{App, certified, operator, site, stranger_agent};

const ANYONE: &[&str] = &["anonymous", "root key", "agent", "site", "controller", "operator"];
const HOLDERS: &[&str] = &["agent", "site", "operator"];
const AGENTS: &[&str] = &["agent"];
const OPERATORS: &[&str] = &["operator"];

/// (method, path, who may call it)
const ALLOWED: &[(&str, &str, &[&str])] = &[
    ("GET", "/api/v1/health", ANYONE),
    ("GET", "/api/v1/ca", ANYONE),
    ("POST", "/api/v1/enroll", ANYONE),
    ("POST", "/api/v1/renew", HOLDERS),
    ("POST", "/api/v1/heartbeat", AGENTS),
    ("POST", "/api/v1/reports", AGENTS),
    ("GET", "/api/v1/sites", OPERATORS),
    ("GET", "/api/v1/sites/{id}", OPERATORS),
    ("POST", "/api/v1/sites", OPERATORS),
    ("GET", "/api/v1/pd", OPERATORS),
    ("GET", "/api/v1/pd/{id}", OPERATORS),
    ("POST", "/api/v1/pd", OPERATORS),
    ("GET", "/api/v1/servers", OPERATORS),
    ("GET", "/api/v1/servers/{id}", OPERATORS),
    ("POST", "/api/v1/servers", OPERATORS),
    ("GET", "/api/v1/datasets", OPERATORS),
    ("GET", "/api/v1/datasets/{id}", OPERATORS),
    ("POST", "/api/v1/datasets", OPERATORS),
    ("POST", "/api/v1/import", OPERATORS),
    ("POST", "/api/v1/tokens", OPERATORS),
    ("GET", "/api/v1/compliance", OPERATORS),
    ("GET", "/api/v1/status", OPERATORS),
    ("GET", "/api/v1/alarms", OPERATORS),
    ("POST", "/api/v1/proofs", OPERATORS),
    ("POST", "/api/v1/poll", OPERATORS),
];

fn callers() -> Vec<(&'static str, Peer)> {
    vec![
        ("anonymous", Peer::Anonymous),
        ("root key", Peer::RootKey(PublicKey::from_bytes([5; 32]))),
        ("agent", stranger_agent()),
        ("site", site()),
        ("controller", certified(CertificateNames::of_role(Role::Controller))),
        ("operator", operator()),
    ]
}

#[test]
fn every_route_has_its_authorization_test() {
    let mut routes: Vec<_> =
        routes().into_iter().map(|(route, _)| (route.method.to_string(), route.path)).collect();
    let mut tested: Vec<_> =
        ALLOWED.iter().map(|(method, path, _)| ((*method).to_owned(), *path)).collect();
    routes.sort();
    tested.sort();
    assert_eq!(routes, tested);
}

#[tokio::test]
async fn who_may_call_what() {
    let app = App::new();
    for (method, path, allowed) in ALLOWED {
        let method: Method = method.parse().unwrap();
        let path = path.replace("{id}", "00000000000000000000000000000000");
        for (who, peer) in callers() {
            let (status, _) =
                app.send(&peer, method.clone(), &path, "application/json", b"-".to_vec()).await;
            let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            if allowed.contains(&who) {
                assert!(!refused, "{method} {path} as {who}: {status}");
            } else {
                let expected = if who == "anonymous" {
                    StatusCode::UNAUTHORIZED
                } else {
                    StatusCode::FORBIDDEN
                };
                assert_eq!(status, expected, "{method} {path} as {who}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_and_other_methods_need_an_operator() {
    let app = App::new();
    let (status, _) = app.send(&operator(), Method::GET, "/api/v1/nothing", "", vec![]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = app.send(&operator(), Method::DELETE, "/api/v1/datasets", "", vec![]).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    for peer in [Peer::Anonymous, stranger_agent(), site()] {
        let (status, _) = app.send(&peer, Method::DELETE, "/api/v1/datasets", "", vec![]).await;
        assert!(matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), "{status}");
    }
}

#[test]
fn no_route_can_command_an_agent_or_delete() {
    let methods: Vec<_> = routes().into_iter().map(|(route, _)| route.method).collect();
    assert!(
        methods.iter().all(|method| [Method::GET, Method::POST].contains(method)),
        "{methods:?}"
    );
}
