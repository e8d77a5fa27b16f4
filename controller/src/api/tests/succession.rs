//! Who acts, over the API: what anybody may tell, and what only two officers can.

use http::{Method, StatusCode};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::overview::ControllerState;
use lumbung_wire::messages::succession::{Seat, Succession};
use lumbung_wire::{Peer, Role};
use serde_json::json;

use super::{App, certified, stranger_agent};
use crate::act::Act;
use crate::succession::take;
use crate::succession::tests::{next, seat};
use crate::testing::START;

const PATH: &str = "/api/v1/succession";

/// A controller with this seat's key.
fn controller(seat: &Seat) -> Peer {
    match certified(CertificateNames::of_role(Role::Controller)) {
        Peer::Certified(identity) => {
            Peer::Certified(lumbung_wire::PeerIdentity { pin: seat.pin, ..identity })
        }
        other => other,
    }
}

async fn founded(app: &App) -> Succession {
    let ca = app.state.authority.fingerprint().to_owned();
    let first = next(&Succession::default(), &ca, (seat(1), seat(2)));
    let (known, act) = (first.clone(), Act::console(START));
    app.city.db.write(|tx| take(tx, &act, &ca, &known)).unwrap();
    app.state.post.refresh(&app.city.db).await.unwrap();
    first
}

#[tokio::test]
async fn nobody_names_the_first_officers_over_the_network() {
    let app = App::new();
    let (status, known) = app.call(&stranger_agent(), Method::GET, PATH, None).await;
    assert_eq!((status, known), (StatusCode::OK, json!({ "statements": [] })));
    let ca = app.state.authority.fingerprint().to_owned();
    let first = json!(next(&Succession::default(), &ca, (seat(1), seat(2))));
    let (status, _) = app.call(&controller(&seat(2)), Method::POST, PATH, Some(first)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let copy = format!("{PATH}/copy");
    let (status, _) = app.call(&controller(&seat(2)), Method::GET, &copy, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_two_officers_signed_ends_it_whoever_brings_it() {
    let app = App::new();
    let first = founded(&app).await;
    let (_, health) = app.call(&Peer::Anonymous, Method::GET, "/api/v1/health", None).await;
    assert_eq!((&health["state"], &health["epoch"]), (&json!("acting"), &json!(1)));
    let ca = app.state.authority.fingerprint().to_owned();
    let second = next(&first, &ca, (seat(2), seat(3)));
    let mut alone = second.clone();
    alone.statements[1].signatures.truncate(1);
    let (status, _) = app.call(&stranger_agent(), Method::POST, PATH, Some(json!(alone))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(app.state.post.standing(), ControllerState::Acting);
    let told = app.call(&stranger_agent(), Method::POST, PATH, Some(json!(second))).await;
    assert_eq!(told, (StatusCode::OK, json!(second)));
    assert_eq!(app.state.post.standing(), ControllerState::Superseded);
    app.state.post.lost().await;
    // What is older, or contradicts it, brings it back no more.
    let told = app.call(&stranger_agent(), Method::POST, PATH, Some(json!(first))).await;
    assert_eq!(told, (StatusCode::OK, json!(second)));
    let fork = json!(next(&first, &ca, (seat(1), seat(3))));
    let (status, _) = app.call(&stranger_agent(), Method::POST, PATH, Some(fork)).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_copy_is_for_the_key_that_the_statement_names() {
    let app = App::new();
    founded(&app).await;
    let copy = format!("{PATH}/copy");
    // The CA's key makes controllers' certificates; it makes no standby.
    for other in [seat(1), seat(3)] {
        let (status, _) = app.call(&controller(&other), Method::GET, &copy, None).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
}
