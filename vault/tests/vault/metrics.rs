//! What the vault shows to Prometheus, against what happened to it.

use http::{Method, StatusCode};
use lumbung_pack::Kind;
use lumbung_vault::metrics;
use lumbung_vault::pull::Pulled;
use lumbung_vault::scrub::{FullSpeed, NoCopies};
use lumbung_vault::state::State;
use lumbung_wire::messages::VaultCapacity;
use lumbung_wire::{Peer, Role};

use crate::support::{Agent, City, Owner, Site, Snapshot, agent_peer, peer_of, publish};

/// The value of a line of the vault's page; none where there is no such line.
pub(crate) fn value(site: &Site, series: &str) -> Option<f64> {
    let figures = metrics::gather(&site.vault, &State::at(site.data.join("state"))).unwrap();
    let page = figures.into_text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_follow_what_comes_is_pulled_and_breaks() {
    let city = City::new();
    let centre = Site::start(&city, "quota = \"1 GiB\"\n").await;
    let drc = Site::start(&city, &centre.as_source()).await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    assert_eq!(value(&centre, "lumbung_vault_repositories"), Some(0.0));
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;

    let of = |name: &str| {
        format!("lumbung_vault_repository_{name}{{repository=\"{}\"}}", owner.repository)
    };
    assert_eq!(value(&centre, "lumbung_vault_repositories"), Some(1.0));
    assert_eq!(value(&centre, &of("snapshots")), Some(1.0));
    assert_eq!(value(&centre, &of("packs")), Some(2.0));
    assert_eq!(value(&centre, &of("quota_bytes")), Some(1_073_741_824.0));
    assert!(value(&centre, &of("bytes")).unwrap() > 0.0);
    assert!(value(&centre, &of("received_timestamp_seconds")).unwrap() > 0.0);
    assert_eq!(value(&centre, &of("scrub_timestamp_seconds")), None, "never scrubbed");
    assert_eq!(value(&centre, "lumbung_vault_receipts_total"), Some(1.0));
    assert!(value(&centre, "lumbung_vault_requests_total{code=\"201\"}").unwrap() >= 4.0);
    assert_eq!(value(&centre, &of("bad_frames")), Some(0.0));
    for space in ["free", "size", "reserve"] {
        assert!(value(&centre, &format!("lumbung_vault_{space}_bytes")).is_some(), "{space}");
    }
    let expiry = "lumbung_certificate_expiry_timestamp_seconds{certificate=\"own\"}";
    assert!(value(&centre, expiry).unwrap() > 0.0);

    let from = |name: &str| format!("lumbung_vault_{name}{{site=\"{}\"}}", centre.public.site);
    let before = value(&drc, &from("pull_complete_timestamp_seconds"));
    assert!(before.is_some(), "as long as nothing was pulled, the start of the vault");
    assert_eq!(value(&drc, &from("pulled_bytes_total")), Some(0.0));
    assert_eq!(value(&drc, &from("pull_newest_timestamp_seconds")), None);
    assert_eq!(drc.pull().await, Pulled { snapshots: 1, packs: 2, failures: 0 });
    assert!(value(&drc, &from("pull_complete_timestamp_seconds")) >= before);
    assert!(value(&drc, &from("pulled_bytes_total")).unwrap() > 0.0);
    assert!(value(&drc, &from("pull_newest_timestamp_seconds")).unwrap() > 0.0);
    assert_eq!(value(&drc, &of("quota_bytes")), None, "no quota, no value");

    let pack = drc.lying(&owner, Kind::Pack, snapshot.packs[0].id.as_bytes());
    let mut bytes = pack.read();
    *bytes.last_mut().unwrap() ^= 0x10;
    pack.write(bytes);
    drc.vault.scrub(&drc.repository(&owner), &NoCopies, &FullSpeed).unwrap();
    assert_eq!(value(&drc, &of("bad_frames")), Some(1.0));
    assert!(value(&drc, &of("scrub_timestamp_seconds")).unwrap() > 0.0);
    assert_eq!(value(&drc, "lumbung_vault_alarms{kind=\"damaged\"}"), Some(1.0));
    let newest = "lumbung_vault_alarm_newest_timestamp_seconds{kind=\"damaged\"}";
    assert!(value(&drc, newest).unwrap() > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_oversees_learns_how_full_the_site_is_and_nobody_else() {
    let city = City::new();
    let site = Site::start(&city, "capacity = \"1 GiB\"\nquota = \"10 MiB\"\n").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    publish(&client, &owner, &Snapshot::new(&owner, &agent, None)).await;
    let ask = async |peer| site.raw(peer, Method::GET, "/v1/capacity", Vec::new()).await;
    for role in [Role::Controller, Role::Site, Role::Operator] {
        let (status, answer) = ask(peer_of(role)).await;
        assert_eq!(status, StatusCode::OK, "{role:?}");
        let told: VaultCapacity = serde_json::from_slice(&answer).unwrap();
        let kept = format!("lumbung_vault_repository_bytes{{repository=\"{}\"}}", owner.repository);
        let used = u32::try_from(told.used_bytes).unwrap();
        assert_eq!(Some(f64::from(used)), value(&site, &kept));
        assert_eq!((told.limit_bytes, told.quota_bytes), (Some(1 << 30), Some(10 << 20)));
        assert!(told.free_bytes.is_some());
    }
    for peer in [agent_peer(&owner, &agent), Peer::Anonymous] {
        let (status, _) = ask(peer.clone()).await;
        assert!(status.is_client_error(), "{peer:?}: {status}");
    }
}
