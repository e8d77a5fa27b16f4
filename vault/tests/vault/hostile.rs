//! Hostile agents: each request gets its precise answer and leaves the store as it was.

use http::{Method, StatusCode};
use lumbung_model::{PackId, PublicKey, SessionId};
use lumbung_pack::limits::OBJECT_MAX_BYTES;
use lumbung_pack::{Kind, object_id, sign};
use lumbung_wire::Peer;

use crate::support::{
    Agent, City, Owner, Site, Snapshot, agent_peer, pack_of, publish, random, send, usage_of,
};

/// What it is, its kind, the id that it is sent under, its bytes; the status and slug of the answer.
type Case = (&'static str, Kind, [u8; 32], Vec<u8>, u16, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn hostile_objects_get_a_precise_answer_and_change_nothing() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let (agent, victim) = (Agent::new(), Agent::new());
    let owner = Owner::new(&[&agent, &victim], &[&site]);
    let elsewhere = Owner::new(&[&agent], &[]);
    let own = Snapshot::new(&owner, &agent, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &agent))), &owner, &own).await;
    let theirs = Snapshot::new(&owner, &victim, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &victim))), &owner, &theirs).await;
    let next = Snapshot::new(&owner, &agent, Some(&own));
    let before = site.fingerprint();

    let mut cases: Vec<Case> = Vec::new();
    let fresh = pack_of(owner.repository, agent.domain, own.session_id, &[3000, 4000]);
    let id = *fresh.id.as_bytes();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fresh.bytes.clone();
        change(&mut bytes);
        bytes
    };
    let last = fresh.bytes.len() - 1;
    let huge = |count: u32| {
        let mut bytes = fresh.bytes.clone();
        bytes[164..168].copy_from_slice(&count.to_le_bytes());
        let id = object_id(&bytes[..bytes.len().min(168 + 76 * count as usize)]);
        (id, bytes)
    };
    cases.push((
        "a flipped bit in the last frame",
        Kind::Pack,
        id,
        with(&|b| b[last] ^= 1),
        422,
        "invalid",
    ));
    cases.push((
        "a flipped bit in the table",
        Kind::Pack,
        id,
        with(&|b| b[200] ^= 1),
        422,
        "invalid",
    ));
    cases.push(("a pack cut short", Kind::Pack, id, with(&|b| b.truncate(last)), 422, "invalid"));
    cases.push((
        "a pack cut in its table",
        Kind::Pack,
        id,
        with(&|b| b.truncate(180)),
        422,
        "invalid",
    ));
    cases.push(("an empty pack", Kind::Pack, id, Vec::new(), 422, "invalid"));
    cases.push(("a pack with a tail", Kind::Pack, id, with(&|b| b.push(0)), 422, "invalid"));
    cases.push(("the id of nothing", Kind::Pack, random(), fresh.bytes.clone(), 422, "invalid"));
    let (huge_id, huge_bytes) = huge(16_385);
    cases.push(("a table beyond the limit", Kind::Pack, huge_id, huge_bytes, 422, "invalid"));
    let (huge_id, huge_bytes) = huge(u32::MAX);
    cases.push(("a table of 300 GiB", Kind::Pack, huge_id, huge_bytes, 422, "invalid"));
    let mut long = fresh.bytes.clone();
    long[168 + 68..168 + 72].copy_from_slice(&u32::MAX.to_le_bytes());
    let long_id = object_id(&long[..168 + 76 * 2]);
    cases.push(("a frame of 4 GiB", Kind::Pack, long_id, long, 422, "invalid"));
    let no_session =
        pack_of(owner.repository, agent.domain, SessionId::from_bytes(random()), &[100]);
    cases.push((
        "a pack without its session",
        Kind::Pack,
        *no_session.id.as_bytes(),
        no_session.bytes,
        409,
        "conflict",
    ));
    let foreign = pack_of(owner.repository, victim.domain, theirs.session_id, &[100]);
    cases.push((
        "a pack of another domain",
        Kind::Pack,
        *foreign.id.as_bytes(),
        foreign.bytes,
        403,
        "forbidden",
    ));
    let mixed = pack_of(owner.repository, agent.domain, theirs.session_id, &[100]);
    cases.push((
        "a pack of another domain's session",
        Kind::Pack,
        *mixed.id.as_bytes(),
        mixed.bytes,
        403,
        "forbidden",
    ));
    let other = pack_of(elsewhere.repository, agent.domain, own.session_id, &[100]);
    cases.push((
        "a pack of another repository",
        Kind::Pack,
        *other.id.as_bytes(),
        other.bytes,
        422,
        "invalid",
    ));

    let signed = |session: &lumbung_pack::Session, by: &Agent| {
        let bytes = sign(session, &by.key);
        (object_id(&bytes), bytes)
    };
    let (id, bytes) = signed(&owner.session(&victim), &victim);
    cases.push(("another agent's session", Kind::Session, id, bytes, 403, "forbidden"));
    let (id, bytes) = signed(&owner.session(&agent), &victim);
    cases.push(("a session signed by another", Kind::Session, id, bytes, 422, "invalid"));
    let (id, bytes) = signed(&elsewhere.session(&agent), &agent);
    cases.push(("a session of another repository", Kind::Session, id, bytes, 422, "invalid"));
    let mut session = owner.session(&agent);
    session.sealed[0].recipient = PublicKey::from_bytes(random());
    let (id, bytes) = signed(&session, &agent);
    cases.push(("a session for another recipient", Kind::Session, id, bytes, 409, "conflict"));
    let mut session = owner.session(&agent);
    session.domain = victim.domain;
    let (id, bytes) = signed(&session, &agent);
    cases.push(("a session in another domain", Kind::Session, id, bytes, 422, "invalid"));
    let (id, mut bytes) = signed(&owner.session(&agent), &agent);
    bytes[60] ^= 1;
    cases.push(("a session with a flipped bit", Kind::Session, id, bytes.clone(), 422, "invalid"));
    cases.push((
        "a session with a broken signature",
        Kind::Session,
        object_id(&bytes),
        bytes,
        422,
        "invalid",
    ));

    let usage = usage_of(&owner, &victim, &theirs.packs);
    cases.push((
        "another domain's usage list",
        Kind::Usage,
        *usage.usage_id.as_bytes(),
        usage.usage.clone(),
        403,
        "forbidden",
    ));
    let (id, bytes) = &usage.segments[0];
    let mut lie = bytes.clone();
    lie[48..64].copy_from_slice(agent.domain.as_bytes());
    cases.push((
        "rubbish as a segment",
        Kind::Segment,
        object_id(b"rubbish"),
        b"rubbish".to_vec(),
        422,
        "invalid",
    ));
    cases.push(("a segment under another id", Kind::Segment, *id.as_bytes(), lie, 422, "invalid"));
    cases.push((
        "an object beyond the limit",
        Kind::Segment,
        random(),
        vec![0; OBJECT_MAX_BYTES + 1],
        413,
        "too-large",
    ));

    cases.push((
        "a snapshot that is not complete",
        Kind::Manifest,
        *next.id.as_bytes(),
        next.bytes.clone(),
        409,
        "incomplete",
    ));
    let forged = sign(&next.manifest, &victim.key);
    cases.push(("a forged snapshot", Kind::Manifest, object_id(&forged), forged, 422, "invalid"));
    cases.push((
        "another agent's snapshot",
        Kind::Manifest,
        *theirs.id.as_bytes(),
        theirs.bytes.clone(),
        403,
        "forbidden",
    ));
    let mut steal = own.manifest.clone();
    steal.usage = theirs.manifest.usage;
    steal.sequence = 2;
    let steal = sign(&steal, &agent.key);
    cases.push((
        "a snapshot over another domain's packs",
        Kind::Manifest,
        object_id(&steal),
        steal,
        422,
        "invalid",
    ));
    let mut unnamed = own.manifest.clone();
    unnamed.sessions = vec![theirs.session_id];
    let unnamed = sign(&unnamed, &agent.key);
    cases.push((
        "a snapshot that names another's session",
        Kind::Manifest,
        object_id(&unnamed),
        unnamed,
        422,
        "invalid",
    ));
    let mut replayed = own.manifest.clone();
    replayed.repository = elsewhere.repository;
    let replayed = sign(&replayed, &agent.key);
    cases.push((
        "a snapshot of another repository",
        Kind::Manifest,
        object_id(&replayed),
        replayed,
        422,
        "invalid",
    ));

    cases.push((
        "a roster by nobody",
        Kind::Roster,
        object_id(b"x"),
        b"x".to_vec(),
        422,
        "invalid",
    ));
    let mut rogue = Owner::new(&[&agent], &[]);
    rogue.repository = owner.repository;
    rogue.newest = owner.newest.clone();
    rogue.rosters.clone_from(&owner.rosters);
    let stolen =
        rogue.next_roster(|roster| roster.recipients[0].key = PublicKey::from_bytes(random()));
    cases.push((
        "a roster by another root key",
        Kind::Roster,
        object_id(&stolen),
        stolen,
        422,
        "invalid",
    ));
    for kind in [Kind::Receipt, Kind::Inventory, Kind::Scrub, Kind::Proof] {
        cases.push((
            "an object that an agent does not write",
            kind,
            object_id(b"x"),
            b"x".to_vec(),
            403,
            "forbidden",
        ));
    }

    for (what, kind, id, bytes, status, slug) in cases {
        let answer = site.put_as(agent_peer(&owner, &agent), &owner, kind, &id, bytes).await;
        assert_eq!(answer, (status, slug.to_owned()), "{what}");
        assert_eq!(site.fingerprint(), before, "{what} changed the store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_folders_cannot_leave_the_repository() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &agent))), &owner, &snapshot).await;
    let before = site.fingerprint();
    let (r, id) = (owner.repository, snapshot.id);
    let upper = id.to_string().to_uppercase();
    let long = "0".repeat(65);
    for (path, expected) in [
        (format!("/v1/repositories/{r}/manifests/..%2f..%2f..%2fetc%2fpasswd"), 400),
        (format!("/v1/repositories/{r}/manifests/../../../../etc/passwd"), 404),
        (format!("/v1/repositories/{r}/..%2fstate/site.key"), 404),
        (format!("/v1/repositories/..%2f..%2fstate/manifests/{id}"), 400),
        (format!("/v1/repositories/{r}/manifests/{upper}"), 400),
        (format!("/v1/repositories/{r}/manifests/{long}"), 400),
        (format!("/v1/repositories/{r}/manifests/%00"), 400),
        (format!("/v1/repositories/{r}/manifests/.tmp-000000000000000000000000"), 400),
        (format!("/v1/repositories/{r}/lists/{id}"), 404),
        (format!("/v1/repositories/{r}/MANIFESTS/{id}"), 404),
        (format!("/v1/repositories/{r}/manifests/{}", PackId::from_bytes([0; 32])), 404),
    ] {
        for method in [Method::GET, Method::PUT] {
            let put = method == Method::PUT;
            let (status, body) =
                site.raw(agent_peer(&owner, &agent), method, &path, b"x".to_vec()).await;
            // An id in order that is not the body's.
            let expected =
                if put && path.ends_with(&format!("/{}", "0".repeat(64))) { 422 } else { expected };
            assert_eq!(status.as_u16(), expected, "{path}: {}", String::from_utf8_lossy(&body));
        }
    }
    for method in [Method::DELETE, Method::POST, Method::PATCH] {
        let path = format!("/v1/repositories/{r}/manifests/{id}");
        let (status, _) = site.raw(agent_peer(&owner, &agent), method, &path, Vec::new()).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(site.fingerprint(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_arrive_over_a_real_connection_while_the_body_is_still_sent() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    send(&client, &owner, &snapshot).await;
    let before = site.fingerprint();
    let lengths = [4 << 20; 4];
    let big = pack_of(owner.repository, agent.domain, snapshot.session_id, &lengths);
    let wrong = PackId::from_bytes(random());
    let error = client
        .put_pack(&owner.repository, &wrong, vec![big.bytes.clone().into()])
        .await
        .unwrap_err();
    assert_eq!(error.problem().expect("a problem, not a broken line").status, 422);
    assert_eq!(site.fingerprint(), before);
    client.put_pack(&owner.repository, &big.id, vec![big.bytes.into()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_without_snapshots_are_limited() {
    let city = City::new();
    let site = Site::start(&city, "open_sessions = 3\n").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    publish(&client, &owner, &Snapshot::new(&owner, &agent, None)).await;
    let put = async |owner: &Owner| {
        let bytes = sign(&owner.session(&agent), &agent.key);
        site.put_as(agent_peer(owner, &agent), owner, Kind::Session, &object_id(&bytes), bytes)
            .await
            .0
    };
    // The published one does not count.
    let answers = [put(&owner).await, put(&owner).await, put(&owner).await, put(&owner).await];
    assert_eq!(answers, [201, 201, 201, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_stops_writing_and_not_reading() {
    let city = City::new();
    let site = Site::start(&city, "quota = \"200 kB\"\n").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let big = pack_of(owner.repository, agent.domain, snapshot.session_id, &[100_000]);
    let answer = site
        .put_as(agent_peer(&owner, &agent), &owner, Kind::Pack, big.id.as_bytes(), big.bytes)
        .await;
    assert_eq!(answer, (507, "quota".to_owned()));
    // What is there can be sent again, and read.
    publish(&client, &owner, &snapshot).await;
    client.pack_head(&owner.repository, &snapshot.packs[0].id).await.unwrap();
    let anonymous = site
        .put_as(Peer::Anonymous, &owner, Kind::Manifest, snapshot.id.as_bytes(), snapshot.bytes)
        .await;
    assert_eq!(anonymous, (401, "certificate-needed".to_owned()));
}
