//! Every route against every kind of caller. A route that is missing here fails the test.

use http::{Method, StatusCode};
use lumbung_model::PublicKey;
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::people::UserRole;
use lumbung_wire::{Peer, Role};

use super::super::routes;
use super::{App, certified, operator, site, stranger_agent};

const ANYONE: &[&str] = &[
    "anonymous",
    "root key",
    "agent",
    "site",
    "controller",
    "certificate",
    "admin",
    "operator",
    "pd",
    "custodian",
    "auditor",
];
const HOLDERS: &[&str] = &["agent", "site", "certificate"];
const MEMBERS: &[&str] = &["agent", "site", "controller", "certificate"];
const CONTROLLERS: &[&str] = &["controller"];
const AGENTS: &[&str] = &["agent"];
const SITES: &[&str] = &["site"];
const PEOPLE: &[&str] = &["certificate", "admin", "operator", "pd", "custodian", "auditor"];
/// Who has a password.
const ACCOUNTS: &[&str] = &["admin", "operator", "pd", "custodian", "auditor"];
const CITY: &[&str] = &["certificate", "admin", "operator", "auditor"];
const OPERATORS: &[&str] = &["certificate", "admin", "operator"];
const PROVERS: &[&str] = &["certificate", "admin", "operator", "custodian"];
const DELIVERERS: &[&str] = &["certificate", "admin", "operator", "pd", "custodian"];
const WATCHERS: &[&str] = &["certificate", "admin", "operator", "custodian", "auditor"];
const ADMINS: &[&str] = &["admin"];

/// (method, path, who may call it)
const ALLOWED: &[(&str, &str, &[&str])] = &[
    ("GET", "/api/v1/health", ANYONE),
    ("GET", "/api/v1/ca", ANYONE),
    ("POST", "/api/v1/enroll", ANYONE),
    ("POST", "/api/v1/renew", HOLDERS),
    ("POST", "/api/v1/heartbeat", AGENTS),
    ("POST", "/api/v1/reports", AGENTS),
    ("POST", "/api/v1/inventory", AGENTS),
    ("GET", "/api/v1/succession", MEMBERS),
    ("POST", "/api/v1/succession", MEMBERS),
    ("GET", "/api/v1/succession/copy", CONTROLLERS),
    ("GET", "/api/v1/policy", AGENTS),
    ("GET", "/api/v1/policies", PEOPLE),
    ("GET", "/api/v1/policies/{id}", PEOPLE),
    ("POST", "/api/v1/policies/{id}/confirm", PROVERS),
    ("GET", "/api/v1/sites", CITY),
    ("GET", "/api/v1/sites/{id}", CITY),
    ("POST", "/api/v1/sites", OPERATORS),
    ("PATCH", "/api/v1/sites/{id}", OPERATORS),
    ("GET", "/api/v1/pd", PEOPLE),
    ("GET", "/api/v1/pd/{id}", PEOPLE),
    ("POST", "/api/v1/pd", OPERATORS),
    ("PATCH", "/api/v1/pd/{id}", OPERATORS),
    ("GET", "/api/v1/servers", PEOPLE),
    ("GET", "/api/v1/servers/{id}", PEOPLE),
    ("POST", "/api/v1/servers", OPERATORS),
    ("PATCH", "/api/v1/servers/{id}", OPERATORS),
    ("GET", "/api/v1/servers/{id}/inventory", PEOPLE),
    ("POST", "/api/v1/servers/{id}/inventory/accept", OPERATORS),
    ("GET", "/api/v1/datasets", PEOPLE),
    ("GET", "/api/v1/datasets/{id}", PEOPLE),
    ("POST", "/api/v1/datasets", OPERATORS),
    ("PATCH", "/api/v1/datasets/{id}", OPERATORS),
    ("POST", "/api/v1/import", OPERATORS),
    ("GET", "/api/v1/buildings", CITY),
    ("GET", "/api/v1/buildings/{id}", CITY),
    ("POST", "/api/v1/buildings", OPERATORS),
    ("PATCH", "/api/v1/buildings/{id}", OPERATORS),
    ("GET", "/api/v1/rooms", CITY),
    ("GET", "/api/v1/rooms/{id}", CITY),
    ("POST", "/api/v1/rooms", OPERATORS),
    ("PATCH", "/api/v1/rooms/{id}", OPERATORS),
    ("GET", "/api/v1/services", PEOPLE),
    ("GET", "/api/v1/services/{id}", PEOPLE),
    ("POST", "/api/v1/services", OPERATORS),
    ("PATCH", "/api/v1/services/{id}", OPERATORS),
    ("GET", "/api/v1/applications", PEOPLE),
    ("GET", "/api/v1/applications/{id}", PEOPLE),
    ("POST", "/api/v1/applications", OPERATORS),
    ("PATCH", "/api/v1/applications/{id}", OPERATORS),
    ("GET", "/api/v1/contact-persons", PEOPLE),
    ("GET", "/api/v1/contact-persons/{id}", PEOPLE),
    ("POST", "/api/v1/contact-persons", OPERATORS),
    ("PATCH", "/api/v1/contact-persons/{id}", OPERATORS),
    ("GET", "/api/v1/checks", PEOPLE),
    ("GET", "/api/v1/checks/{id}", PEOPLE),
    ("POST", "/api/v1/checks", OPERATORS),
    ("PATCH", "/api/v1/checks/{id}", OPERATORS),
    ("GET", "/api/v1/vantage", SITES),
    ("POST", "/api/v1/observations", SITES),
    ("GET", "/api/v1/check-states", PEOPLE),
    ("GET", "/api/v1/uptime", PEOPLE),
    ("GET", "/api/v1/incidents", PEOPLE),
    ("GET", "/api/v1/incidents/{id}", PEOPLE),
    ("POST", "/api/v1/incidents", OPERATORS),
    ("POST", "/api/v1/incidents/{id}/note", DELIVERERS),
    ("GET", "/api/v1/maintenance", PEOPLE),
    ("POST", "/api/v1/maintenance", OPERATORS),
    ("POST", "/api/v1/maintenance/{id}/cancel", OPERATORS),
    ("GET", "/api/v1/racks", CITY),
    ("GET", "/api/v1/racks/{id}", CITY),
    ("POST", "/api/v1/racks", OPERATORS),
    ("PATCH", "/api/v1/racks/{id}", OPERATORS),
    ("GET", "/api/v1/feeds", CITY),
    ("GET", "/api/v1/feeds/{id}", CITY),
    ("POST", "/api/v1/feeds", OPERATORS),
    ("PATCH", "/api/v1/feeds/{id}", OPERATORS),
    ("GET", "/api/v1/pools", CITY),
    ("GET", "/api/v1/pools/{id}", CITY),
    ("POST", "/api/v1/pools", OPERATORS),
    ("PATCH", "/api/v1/pools/{id}", OPERATORS),
    ("GET", "/api/v1/devices", PEOPLE),
    ("GET", "/api/v1/devices/{id}", PEOPLE),
    ("POST", "/api/v1/devices", OPERATORS),
    ("PATCH", "/api/v1/devices/{id}", OPERATORS),
    ("GET", "/api/v1/reservations", PEOPLE),
    ("GET", "/api/v1/reservations/{id}", PEOPLE),
    ("POST", "/api/v1/reservations", OPERATORS),
    ("PATCH", "/api/v1/reservations/{id}", OPERATORS),
    ("GET", "/api/v1/handovers", PEOPLE),
    ("GET", "/api/v1/handovers/{id}", PEOPLE),
    ("POST", "/api/v1/handovers", OPERATORS),
    ("PATCH", "/api/v1/handovers/{id}", OPERATORS),
    ("GET", "/api/v1/care", PEOPLE),
    ("GET", "/api/v1/care/{id}", PEOPLE),
    ("POST", "/api/v1/care", OPERATORS),
    ("PATCH", "/api/v1/care/{id}", OPERATORS),
    ("GET", "/api/v1/elevations", PEOPLE),
    ("GET", "/api/v1/racks/{id}/elevation", PEOPLE),
    ("GET", "/api/v1/history", PEOPLE),
    ("GET", "/api/v1/export", PEOPLE),
    ("POST", "/api/v1/tokens", OPERATORS),
    ("GET", "/api/v1/compliance", PEOPLE),
    ("GET", "/api/v1/status", CITY),
    ("GET", "/api/v1/agents", CITY),
    ("GET", "/api/v1/rules", PEOPLE),
    ("GET", "/api/v1/verdicts", PEOPLE),
    ("GET", "/api/v1/trend", PEOPLE),
    ("GET", "/api/v1/datasets/{id}/rpo", PEOPLE),
    ("GET", "/api/v1/waivers", PEOPLE),
    ("POST", "/api/v1/waivers", OPERATORS),
    ("POST", "/api/v1/waivers/{id}/revoke", OPERATORS),
    ("GET", "/api/v1/anomalies", PEOPLE),
    ("GET", "/api/v1/anomalies/{id}", PEOPLE),
    ("POST", "/api/v1/anomalies/{id}/dismiss", OPERATORS),
    ("POST", "/api/v1/anomalies/{id}/confirm", OPERATORS),
    ("POST", "/api/v1/anomalies/{id}/close", OPERATORS),
    ("GET", "/api/v1/reminders", PEOPLE),
    ("GET", "/api/v1/reminders/{id}", PEOPLE),
    ("POST", "/api/v1/reminders", OPERATORS),
    ("POST", "/api/v1/reminders/{id}/follow-up", OPERATORS),
    ("GET", "/api/v1/retirements", PEOPLE),
    ("POST", "/api/v1/retirements", OPERATORS),
    ("POST", "/api/v1/retirements/{id}/restore", OPERATORS),
    ("GET", "/api/v1/alarms", PEOPLE),
    ("GET", "/api/v1/consents", PEOPLE),
    ("POST", "/api/v1/proofs", PROVERS),
    ("GET", "/api/v1/key-inventory", PEOPLE),
    ("POST", "/api/v1/key-reports", PROVERS),
    ("POST", "/api/v1/poll", OPERATORS),
    ("POST", "/api/v1/login", ANYONE),
    ("POST", "/api/v1/logout", PEOPLE),
    ("GET", "/api/v1/me", PEOPLE),
    ("POST", "/api/v1/me/password", ACCOUNTS),
    ("POST", "/api/v1/me/totp", ACCOUNTS),
    ("POST", "/api/v1/me/totp/confirm", ACCOUNTS),
    ("GET", "/api/v1/me/tokens", PEOPLE),
    ("POST", "/api/v1/me/tokens", ACCOUNTS),
    ("POST", "/api/v1/me/tokens/{id}/revoke", ACCOUNTS),
    ("GET", "/api/v1/users", ADMINS),
    ("GET", "/api/v1/users/{id}", ADMINS),
    ("POST", "/api/v1/users", ADMINS),
    ("POST", "/api/v1/users/{id}/disable", ADMINS),
    ("POST", "/api/v1/users/{id}/enable", ADMINS),
    ("POST", "/api/v1/users/{id}/password", ADMINS),
    ("GET", "/api/v1/approvals", WATCHERS),
    ("POST", "/api/v1/users/{id}/role", ADMINS),
    ("POST", "/api/v1/sites/{id}/remove", OPERATORS),
    ("POST", "/api/v1/approvals/{id}/approve", PROVERS),
    ("POST", "/api/v1/approvals/{id}/refuse", PROVERS),
    ("POST", "/api/v1/approvals/{id}/withdraw", PROVERS),
    ("GET", "/api/v1/deposits", PEOPLE),
    ("GET", "/api/v1/deposits/{id}", PEOPLE),
    ("POST", "/api/v1/deposits", OPERATORS),
    ("POST", "/api/v1/deposits/{id}/deliver", DELIVERERS),
    ("POST", "/api/v1/deposits/{id}/accept", OPERATORS),
    ("POST", "/api/v1/deposits/{id}/return", OPERATORS),
    ("POST", "/api/v1/deposits/{id}/cancel", OPERATORS),
    ("GET", "/api/v1/calendar", PEOPLE),
    ("GET", "/api/v1/drill-plans", PEOPLE),
    ("GET", "/api/v1/drill-plans/{id}", PEOPLE),
    ("POST", "/api/v1/drill-plans", OPERATORS),
    ("POST", "/api/v1/drill-plans/{id}/change", OPERATORS),
    ("POST", "/api/v1/drill-plans/{id}/retire", OPERATORS),
    ("POST", "/api/v1/drill-plans/{id}/start", OPERATORS),
    ("POST", "/api/v1/drill-plans/{id}/failover", OPERATORS),
    ("GET", "/api/v1/drill-calendar", PEOPLE),
    ("GET", "/api/v1/drill-runs", PEOPLE),
    ("GET", "/api/v1/drill-runs/{id}", PEOPLE),
    ("GET", "/api/v1/drill-runs/{id}/acta", PEOPLE),
    ("POST", "/api/v1/drill-runs/{id}/events", OPERATORS),
    ("POST", "/api/v1/drill-runs/{id}/answers", OPERATORS),
    ("POST", "/api/v1/drill-runs/{id}/notes", OPERATORS),
    ("POST", "/api/v1/drill-runs/{id}/close", OPERATORS),
    ("GET", "/api/v1/drill-orders", AGENTS),
    ("POST", "/api/v1/drill-reports", AGENTS),
    ("GET", "/api/v1/capacity", CITY),
    ("GET", "/api/v1/bandwidth", PEOPLE),
    ("GET", "/api/v1/alerts", PEOPLE),
    ("GET", "/api/v1/alerts/{id}", PEOPLE),
    ("POST", "/api/v1/alerts/{id}/acknowledge", DELIVERERS),
    ("POST", "/api/v1/alerts/test", OPERATORS),
    ("GET", "/api/v1/on-call", CITY),
    ("POST", "/api/v1/on-call", OPERATORS),
    ("POST", "/api/v1/on-call/{id}/remove", OPERATORS),
    ("GET", "/api/v1/audit", CITY),
    ("GET", "/api/v1/audit/head", CITY),
];

fn callers() -> Vec<(&'static str, Peer)> {
    vec![
        ("anonymous", Peer::Anonymous),
        ("root key", Peer::RootKey(PublicKey::from_bytes([5; 32]))),
        ("agent", stranger_agent()),
        ("site", site()),
        ("controller", certified(CertificateNames::of_role(Role::Controller))),
        ("certificate", operator()),
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
        let strangers = callers().into_iter().map(|(who, peer)| (who, peer, None));
        // A new session for each: a logout ends it.
        let people = UserRole::ALL
            .iter()
            .map(|role| (role.as_str(), Peer::Anonymous, Some(app.log_in(*role))));
        for (who, peer, session) in strangers.chain(people) {
            let (status, _) =
                app.send_as(&peer, session.as_ref(), method.clone(), &path, b"-".to_vec()).await;
            let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            if allowed.contains(&who) {
                assert!(!refused, "{method} {path} as {who}: {status}");
            } else {
                // Of routes for machines, a password opens none: a certificate is missing.
                let certified = [AGENTS, SITES, HOLDERS, MEMBERS, CONTROLLERS];
                let uncertified = session.is_some() && certified.contains(allowed);
                let expected = if who == "anonymous" || uncertified {
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
    // A change of a row is one of the register, and is what an import could do.
    assert!(
        methods.iter().all(|method| [Method::GET, Method::POST, Method::PATCH].contains(method)),
        "{methods:?}"
    );
}
