//! The register's caps at a vault: who may give them, what they slow and what they do not.

use http::{Method, StatusCode};
use lumbung_model::{PdId, SiteId};
use lumbung_wire::messages::caps::{CapsAnswer, PdCaps, SiteCaps};
use lumbung_wire::messages::policy::PolicyRates;
use lumbung_wire::{Peer, Role};
use serde_json::{Value, json};

use crate::metrics::value;
use crate::support::{Agent, City, Owner, Site, Snapshot, agent_peer, peer_of, publish};

fn rates(rate: &str) -> Option<PolicyRates> {
    Some(PolicyRates { rate: rate.into(), windows: Vec::new(), timezone: "WIB".into() })
}

fn line(code: &str, rate: Option<&str>, owner: &Owner) -> PdCaps {
    let rates = rate.and_then(rates);
    PdCaps { pd: PdId::random(), code: code.into(), rates, repositories: vec![owner.repository] }
}

async fn put(site: &Site, peer: Peer, caps: &impl serde::Serialize) -> (StatusCode, Value) {
    let body = serde_json::to_vec(caps).unwrap();
    let (status, answer) = site.raw(peer, Method::PUT, "/v1/caps", body).await;
    (status, serde_json::from_slice(&answer).unwrap())
}

async fn given(site: &Site, caps: &SiteCaps) {
    let (status, answer) = put(site, peer_of(Role::Controller), caps).await;
    let taken = CapsAnswer { version: caps.version, taken: true };
    assert_eq!((status, answer), (StatusCode::OK, json!(taken)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_controller_gives_caps_and_only_such_as_can_be_kept_to() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let pds = vec![line("DINKES", Some("2 Mbit/s"), &owner)];
    let caps =
        SiteCaps { version: 3, pull: rates("5 Mbit/s"), pds, ..SiteCaps::none(site.public.site) };
    for peer in
        [agent_peer(&owner, &agent), Peer::Anonymous, peer_of(Role::Site), peer_of(Role::Operator)]
    {
        let (status, _) = put(&site, peer.clone(), &caps).await;
        assert!(
            [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(&status),
            "{peer:?}: {status}"
        );
    }
    let mut unknown = json!(caps);
    unknown["hook"] = json!("rm");
    let too_slow = SiteCaps { pull: rates("63 kbit/s"), ..caps.clone() };
    let of_another = SiteCaps { site: SiteId::random(), ..caps.clone() };
    for (refused, expected, word) in [
        (unknown, StatusCode::BAD_REQUEST, "hook"),
        (json!(too_slow), StatusCode::UNPROCESSABLE_ENTITY, "64 kbit/s"),
        (json!(of_another), StatusCode::CONFLICT, "the caps are for"),
        (
            json!(SiteCaps { version: 0, ..caps.clone() }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "number",
        ),
    ] {
        let (status, answer) = put(&site, peer_of(Role::Controller), &refused).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(word), "{answer}");
    }
    let version = "lumbung_vault_caps_version";
    assert_eq!(value(&site, version), Some(0.0), "nothing was taken");
    given(&site, &caps).await;
    let older = SiteCaps { version: 2, pds: Vec::new(), ..caps.clone() };
    let (_, answer) = put(&site, peer_of(Role::Controller), &older).await;
    assert_eq!(answer, json!(CapsAnswer { version: 3, taken: false }));
    let site = site.restart(&city, "").await;
    assert_eq!(value(&site, version), Some(3.0));
    assert_eq!(
        value(&site, "lumbung_vault_pd_cap_bytes_per_second{pd=\"DINKES\"}"),
        Some(250_000.0)
    );
    assert_eq!(value(&site, "lumbung_vault_pull_cap_bytes_per_second"), Some(625_000.0));
    let overseer = site.client(Some(
        &city.identity(lumbung_wire::identity::CertificateNames::of_role(Role::Operator)),
    ));
    assert_eq!(overseer.caps().await.unwrap(), caps, "whoever oversees sees them");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_one_pd_wait_for_each_other_and_another_pd_for_nobody() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let [first, second, other] = [Agent::new(), Agent::new(), Agent::new()];
    let capped = Owner::new(&[&first, &second], &[&site]);
    let free = Owner::new(&[&other], &[&site]);
    let pds = vec![line("DINKES", Some("1 Mbit/s"), &capped), line("RSUD", None, &free)];
    given(&site, &SiteCaps { version: 1, pds, ..SiteCaps::none(site.public.site) }).await;
    let send = async |owner, agent| {
        let client = site.client(Some(&city.agent_identity(owner, agent)));
        publish(&client, owner, &Snapshot::new(owner, agent, None)).await;
    };
    tokio::join!(send(&capped, &first), send(&capped, &second), send(&free, &other));
    let of = |what: &str, pd: &str| {
        value(&site, &format!("lumbung_vault_pd_{what}_total{{pd=\"{pd}\"}}")).unwrap()
    };
    // Two packs with 116,000 bytes of frames from each agent.
    assert!(of("sent_bytes", "DINKES") > 232_000.0);
    assert!((116_000.0..150_000.0).contains(&of("sent_bytes", "RSUD")));
    // What is above the burst of 64 KiB waits its time at 125,000 bytes a second, whoever sends it.
    let least_s = (of("sent_bytes", "DINKES") - 65_536.0) / 125_000.0;
    assert!(of("throttled_seconds", "DINKES") >= least_s * 0.99, "{least_s}");
    assert!(of("throttled_seconds", "RSUD") == 0.0);
    for owner in [&capped, &free] {
        assert!(site.repository(owner).id() == owner.repository);
    }
}
