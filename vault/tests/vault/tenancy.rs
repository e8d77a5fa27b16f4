//! Who may read and write what: every role against every folder.

use http::Method;
use lumbung_model::{Clock as _, SystemClock};
use lumbung_pack::{AgentStatus, Kind, Proof, SigningKey, object_id, sign};
use lumbung_vault::admit;
use lumbung_wire::{Peer, Role};

use crate::support::{Agent, City, Owner, Site, Snapshot, agent_peer, peer_of, publish};

#[tokio::test(flavor = "multi_thread")]
async fn every_role_against_every_folder() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let (agent, other) = (Agent::new(), Agent::new());
    let owner = Owner::new(&[&agent, &other], &[&site]);
    let stranger = Owner::new(&[], &[]);
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &agent))), &owner, &snapshot).await;
    let elsewhere = agent_peer(&stranger, &agent);

    // Folders that a role may list, in the order of Kind::REPOSITORY:
    // rosters sessions packs segments usages manifests receipts inventories scrubs proofs holds orders tombstones grants
    // revocations wraps standing-approvals openings
    let roles: [(&str, Peer, &str); 9] = [
        ("nobody", Peer::Anonymous, "UUUUUUUUUUUUUUUUUU"),
        ("the agent", agent_peer(&owner, &agent), "yyyyyyynnynnnnynyy"),
        ("an agent of another repository", elsewhere, "nnnnnnnnnnnnnnnnnn"),
        ("the root key", Peer::RootKey(owner.root.public()), "yyyyyyyyyyyyyyyyyy"),
        ("the agent's own key", Peer::RootKey(agent.key.public()), "yyyyyyynnynnnnynyy"),
        ("some key", Peer::RootKey(SigningKey::generate().public()), "nnnnnnnnnnnnnnnnnn"),
        ("a site", peer_of(Role::Site), "yyyyyyyyyyyyyyyyyy"),
        ("the controller", peer_of(Role::Controller), "ynnnyyyyyyyyyyynyn"),
        ("an operator", peer_of(Role::Operator), "ynnnyyyyyyyyyyynyn"),
    ];
    for (who, peer, expected) in roles {
        assert_eq!(expected.len(), Kind::REPOSITORY.len(), "one answer for every folder");
        for (kind, expected) in Kind::REPOSITORY.into_iter().zip(expected.chars()) {
            let status = match expected {
                'y' => 200,
                'U' => 401,
                _ => 403,
            };
            let path = format!("/v1/repositories/{}/{}", owner.repository, kind.folder());
            let (found, body) = site.raw(peer.clone(), Method::GET, &path, Vec::new()).await;
            assert_eq!(
                found.as_u16(),
                status,
                "{who} lists {}: {}",
                kind.folder(),
                String::from_utf8_lossy(&body)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reads_its_own_domain_only() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let (agent, other) = (Agent::new(), Agent::new());
    let owner = Owner::new(&[&agent, &other], &[&site]);
    let own = Snapshot::new(&owner, &agent, None);
    let theirs = Snapshot::new(&owner, &other, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &agent))), &owner, &own).await;
    publish(&site.client(Some(&city.agent_identity(&owner, &other))), &owner, &theirs).await;
    for (snapshot, expected) in [(&own, 200), (&theirs, 403)] {
        let mut objects = snapshot.objects();
        objects.push((Kind::Manifest, *snapshot.id.as_bytes(), Vec::new()));
        for (kind, id, _) in objects {
            let id = lumbung_model::PackId::from_bytes(id);
            let path = format!("/v1/repositories/{}/{}/{id}", owner.repository, kind.folder());
            let (status, _) =
                site.raw(agent_peer(&owner, &agent), Method::GET, &path, Vec::new()).await;
            assert_eq!(status.as_u16(), expected, "{}", kind.folder());
        }
    }
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    assert_eq!(client.list(&owner.repository, Kind::Pack).await.unwrap().len(), 2);
    assert_eq!(client.list(&owner.repository, Kind::Session).await.unwrap().len(), 1);
    assert_eq!(client.all_manifests(&owner.repository).await.unwrap().len(), 1);
    assert_eq!(client.repositories().await.unwrap(), [owner.repository]);
    assert_eq!(
        site.root_client(&owner).list(&owner.repository, Kind::Pack).await.unwrap().len(),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_do_not_write_and_nobody_deletes() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &agent))), &owner, &snapshot).await;
    let before = site.fingerprint();
    for peer in [
        peer_of(Role::Site),
        peer_of(Role::Controller),
        peer_of(Role::Operator),
        Peer::RootKey(SigningKey::generate().public()),
    ] {
        for (kind, id, bytes) in snapshot.objects() {
            let answer = site.put_as(peer.clone(), &owner, kind, &id, bytes).await;
            assert_eq!(answer, (403, "forbidden".to_owned()));
        }
        let roster = owner.rosters[0].clone();
        assert_eq!(
            site.put_as(peer, &owner, Kind::Roster, &object_id(&roster), roster).await.0,
            403
        );
    }
    assert_eq!(site.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_made_by_its_agent_or_by_its_admitted_owner() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let first = owner.rosters[0].clone();
    let id = object_id(&first);
    let root = Peer::RootKey(owner.root.public());
    let put =
        async |peer: Peer| site.put_as(peer, &owner, Kind::Roster, &id, first.clone()).await.0;
    for peer in [
        root.clone(),
        peer_of(Role::Controller),
        peer_of(Role::Site),
        Peer::RootKey(agent.key.public()),
    ] {
        assert_eq!(put(peer).await, 403);
    }
    assert_eq!(put(agent_peer(&Owner::new(&[], &[]), &agent)).await, 403);
    assert!(site.vault.repositories().is_empty());
    admit(&site.data, &owner.repository).unwrap();
    assert_eq!(
        put(Peer::RootKey(SigningKey::generate().public())).await,
        403,
        "not a root key of that roster"
    );
    assert_eq!(put(root).await, 201);

    let second = Owner::new(&[&agent], &[&site]);
    let first = second.rosters[0].clone();
    let answer = site
        .put_as(agent_peer(&second, &agent), &second, Kind::Roster, &object_id(&first), first)
        .await;
    assert_eq!(answer.0, 201, "an agent's certificate names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn rosters_go_forward_and_forks_are_told() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let mut owner = Owner::new(&[&agent], &[&site]);
    publish(
        &site.client(Some(&city.agent_identity(&owner, &agent))),
        &owner,
        &Snapshot::new(&owner, &agent, None),
    )
    .await;
    let second = owner.next_roster(|_| {});
    let third = owner.next_roster(|roster| roster.agents[0].status = AgentStatus::Withdrawn);
    let root = Peer::RootKey(owner.root.public());
    let put = async |bytes: &[u8]| {
        site.put_as(root.clone(), &owner, Kind::Roster, &object_id(bytes), bytes.to_vec()).await
    };
    assert_eq!(put(&third).await, (409, "conflict".to_owned()), "its predecessor is not here yet");
    assert_eq!(put(&second).await.0, 201);
    assert_eq!(put(&second).await.0, 200);
    assert_eq!(put(&third).await.0, 201);
    assert_eq!(put(&owner.rosters[0]).await.0, 200, "an old one changes nothing");
    assert_eq!(site.repository(&owner).chain().current().body.number, 3);

    let mut twin = owner.newest.clone();
    twin.created = lumbung_model::Timestamp(5);
    assert_eq!(put(&sign(&twin, &owner.root)).await, (409, "conflict".to_owned()));
    assert_eq!(site.vault.alarms(10).unwrap()[0].kind, "roster-fork");

    // The agent is withdrawn now.
    let session = sign(&owner.session(&agent), &agent.key);
    let answer = site
        .put_as(agent_peer(&owner, &agent), &owner, Kind::Session, &object_id(&session), session)
        .await;
    assert_eq!(answer, (403, "forbidden".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_appends_only_if_the_roster_lists_its_key() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let (listed, unlisted) = (Agent::new(), Agent::new());
    let owner = Owner::new(&[&listed], &[&site]);
    publish(
        &site.client(Some(&city.agent_identity(&owner, &listed))),
        &owner,
        &Snapshot::new(&owner, &listed, None),
    )
    .await;
    for (agent, expected) in [(&listed, (201, "")), (&unlisted, (403, "certificate-expired"))] {
        let Peer::Certified(mut identity) = agent_peer(&owner, agent) else {
            panic!("a certified peer")
        };
        identity.not_after = SystemClock.now().plus_seconds(-3600);
        let session = sign(&owner.session(agent), &agent.key);
        let answer = site
            .put_as(Peer::Certified(identity), &owner, Kind::Session, &object_id(&session), session)
            .await;
        assert_eq!(answer, (expected.0, expected.1.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_the_owners() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &agent))), &owner, &snapshot).await;
    let proof = Proof {
        repository: owner.repository,
        manifest: snapshot.id,
        site: site.public.site,
        started: lumbung_model::Timestamp(1),
        finished: lumbung_model::Timestamp(2),
        entries: 3,
        bytes: 4,
        failed: 0,
    };
    let root = Peer::RootKey(owner.root.public());
    let forged = sign(&proof, &agent.key);
    let answer = site.put_as(root.clone(), &owner, Kind::Proof, &object_id(&forged), forged).await;
    assert_eq!(answer, (422, "invalid".to_owned()));
    let genuine = sign(&proof, &owner.root);
    assert_eq!(site.put_as(root, &owner, Kind::Proof, &object_id(&genuine), genuine).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn site_alarms_and_pull_are_for_overseers() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    for (peer, expected) in [
        (Peer::Anonymous, 401),
        (agent_peer(&owner, &agent), 403),
        (Peer::RootKey(owner.root.public()), 403),
        (peer_of(Role::Controller), 200),
        (peer_of(Role::Operator), 200),
    ] {
        assert_eq!(
            site.raw(peer.clone(), Method::GET, "/v1/alarms", Vec::new()).await.0.as_u16(),
            expected
        );
        assert_eq!(
            site.raw(peer.clone(), Method::POST, "/v1/pull", Vec::new()).await.0.as_u16(),
            expected
        );
        assert_eq!(site.raw(peer, Method::GET, "/v1/site", Vec::new()).await.0.as_u16(), 200);
    }
    let info = site.client(None).site_info().await.unwrap();
    assert_eq!((info.site, info.role_seen.as_str()), (site.public.site, "anonymous"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_another_key_than_the_rosters_reaches_nothing() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let mut agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &agent))), &owner, &snapshot).await;
    // Whoever has the CA's key certifies a key of their own for the agent.
    agent.key = SigningKey::generate();
    let before = site.fingerprint();
    let junk =
        crate::support::pack_of(owner.repository, agent.domain, snapshot.session_id, &[1000]);
    let peer = || agent_peer(&owner, &agent);
    let answer = site.put_as(peer(), &owner, Kind::Pack, junk.id.as_bytes(), junk.bytes).await;
    assert_eq!(answer, (403, "forbidden".to_owned()));
    for folder in ["packs", "sessions", "rosters"] {
        let path = format!("/v1/repositories/{}/{folder}", owner.repository);
        assert_eq!(site.raw(peer(), Method::GET, &path, Vec::new()).await.0, 403, "{folder}");
    }
    assert_eq!(site.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_send_is_refused_before_the_body() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    publish(
        &site.client(Some(&city.agent_identity(&owner, &agent))),
        &owner,
        &Snapshot::new(&owner, &agent, None),
    )
    .await;
    let elsewhere = Owner::new(&[], &[]);
    let key = Peer::RootKey(SigningKey::generate().public());
    let have = format!("/v1/repositories/{}/have", owner.repository);
    let roster = format!("/v1/repositories/{0}/rosters/{0}", elsewhere.repository);
    for (peer, method, path, expected) in [
        (Peer::Anonymous, Method::POST, &have, 401),
        (key.clone(), Method::POST, &have, 403),
        (key, Method::PUT, &roster, 403),
        (Peer::Anonymous, Method::PUT, &roster, 401),
    ] {
        // Its body never comes: who waits for it waits for ever.
        let body = axum::body::Body::from_stream(futures_util::stream::pending::<
            Result<bytes::Bytes, std::io::Error>,
        >());
        let mut request = http::Request::builder().method(method).uri(path).body(body).unwrap();
        request.extensions_mut().insert(peer);
        let router = lumbung_vault::http::router(std::sync::Arc::clone(&site.vault));
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{path}");
    }
}
