//! What a grant lets its grantee read: exactly that, from then until then, and nothing by anybody else's word.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{Method, Request};
use lumbung_model::Clock as _;
use lumbung_model::{ConsentId, ManifestId, PackId, PublicKey, SystemClock, Timestamp};
use lumbung_pack::{
    Grant, Grantee, Kind, Revocation, RootKey, RootRole, SigningKey, Wrap, WrappedSession,
    object_id, sign,
};
use lumbung_wire::certs::root_key_identity;
use lumbung_wire::{Peer, Problem, Role};
use tower::ServiceExt as _;

use crate::support::{
    Agent, City, Owner, Site, Snapshot, Time, agent_peer, peer_of, publish, random,
};

const DAY_S: i64 = 86_400;

/// A consent to read these snapshots, that holds from `from` for a day. What it seals is opaque to a vault.
pub(crate) fn consent(
    owner: &Owner,
    grantee: &SigningKey,
    from: Timestamp,
    of: &[&Snapshot],
) -> Grant {
    let mut snapshots: Vec<ManifestId> = of.iter().map(|snapshot| snapshot.id).collect();
    snapshots.sort_unstable();
    Grant {
        repository: owner.repository,
        consent: ConsentId::random(),
        part: 1,
        parts: 1,
        grantee: Grantee { recipient: PublicKey::from_bytes(random()), key: grantee.public() },
        name: "Inspektorat".into(),
        letter: "700/12/2026".into(),
        purpose: "pemeriksaan".into(),
        issued: from,
        from,
        until: from.plus_seconds(DAY_S),
        snapshots,
        encapsulated: random(),
        sealed: random::<80>().to_vec(),
    }
}

pub(crate) fn revocation(grant: &Grant) -> Revocation {
    Revocation {
        repository: grant.repository,
        consent: grant.consent,
        revoked: Timestamp(1_900_000_000),
        reason: "selesai".into(),
    }
}

pub(crate) fn key(of: &SigningKey) -> Peer {
    Peer::RootKey(of.public())
}

/// What the owner signed, sent with the root key's certificate.
pub(crate) async fn put(site: &Site, owner: &Owner, kind: Kind, object: Vec<u8>) -> (u16, String) {
    let id = object_id(&object);
    site.put_as(Peer::RootKey(owner.root.public()), owner, kind, &id, object).await
}

/// Status and detail of a GET.
pub(crate) async fn get(
    site: &Site,
    peer: &Peer,
    owner: &Owner,
    kind: Kind,
    id: &[u8; 32],
) -> (u16, String) {
    let id = PackId::from_bytes(*id);
    let path = format!("/v1/repositories/{}/{}/{id}", owner.repository, kind.folder());
    let (status, body) = site.raw(peer.clone(), Method::GET, &path, Vec::new()).await;
    let detail = serde_json::from_slice::<Problem>(&body).map(|p| p.to_string());
    (status.as_u16(), detail.unwrap_or_default())
}

/// Ids that a folder shows; nothing where it is refused.
pub(crate) async fn listed(
    site: &Site,
    peer: &Peer,
    owner: &Owner,
    kind: Kind,
) -> Option<BTreeSet<String>> {
    let path = format!("/v1/repositories/{}/{}", owner.repository, kind.folder());
    let (status, body) = site.raw(peer.clone(), Method::GET, &path, Vec::new()).await;
    if status != 200 {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    Some(match body.get("ids") {
        Some(ids) => ids.as_array().unwrap().iter().map(text).collect(),
        None => body.as_array().unwrap().iter().map(|one| text(&one["manifest"])).collect(),
    })
}

pub(crate) fn names(ids: impl IntoIterator<Item = [u8; 32]>) -> BTreeSet<String> {
    ids.into_iter().map(|id| PackId::from_bytes(id).to_string()).collect()
}

fn of_kind(snapshot: &Snapshot, kind: Kind) -> Vec<[u8; 32]> {
    let objects = snapshot.objects().into_iter();
    objects.filter(|(found, ..)| *found == kind).map(|(_, id, _)| id).collect()
}

/// A repository with an agent's two snapshots that share a pack, and another agent's.
struct Scene {
    city: City,
    site: Site,
    owner: Owner,
    granted: Snapshot,
    other: Snapshot,
    theirs: Snapshot,
    agent: Agent,
    grantee: SigningKey,
    time: Time,
}

impl Scene {
    async fn new() -> Self {
        let (city, time) = (City::new(), Time::now());
        let site = Site::start_at(&city, "", Arc::new(time.clone())).await;
        let (agent, second) = (Agent::new(), Agent::new());
        let owner = Owner::new(&[&agent, &second], &[&site]);
        let client = site.client(Some(&city.agent_identity(&owner, &agent)));
        let first = Snapshot::new(&owner, &agent, None);
        publish(&client, &owner, &first).await;
        // It uses one frame of the first snapshot's first pack, and a pack of its own.
        let old = [(first.packs[0].clone(), vec![1])];
        let granted = Snapshot::of_frames(&owner, &agent, Some(&first), &old);
        publish(&client, &owner, &granted).await;
        let theirs = Snapshot::new(&owner, &second, None);
        let client = site.client(Some(&city.agent_identity(&owner, &second)));
        publish(&client, &owner, &theirs).await;
        let grantee = SigningKey::generate();
        Self { city, site, owner, granted, other: first, theirs, agent, grantee, time }
    }

    fn consent(&self) -> Grant {
        consent(&self.owner, &self.grantee, self.time.wall(), &[&self.granted])
    }

    async fn give(&self) -> Grant {
        let grant = self.consent();
        let put = put(&self.site, &self.owner, Kind::Grant, sign(&grant, &self.owner.root)).await;
        assert_eq!(put.0, 201, "{put:?}");
        grant
    }

    /// Status and detail of reading the granted manifest.
    async fn read(&self) -> (u16, String) {
        let id = *self.granted.id.as_bytes();
        get(&self.site, &key(&self.grantee), &self.owner, Kind::Manifest, &id).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grantee_reads_what_its_snapshots_take_and_nothing_else() {
    let scene = Scene::new().await;
    let Scene { site, owner, granted, other, theirs, grantee, .. } = &scene;
    let peer = key(grantee);
    for kind in Kind::REPOSITORY {
        assert_eq!(listed(site, &peer, owner, kind).await, None, "before: {}", kind.name());
    }
    let grant = scene.give().await;
    let grant_id = object_id(&sign(&grant, &owner.root));
    let shared = *other.packs[0].id.as_bytes();
    let own = *granted.packs[0].id.as_bytes();
    let receipts = listed(site, &peer, owner, Kind::Receipt).await.unwrap();
    assert_eq!(receipts.len(), 1);
    for (kind, expected) in [
        (Kind::Roster, names([*owner.repository.as_bytes()])),
        (Kind::Session, names([*granted.session_id.as_bytes(), *other.session_id.as_bytes()])),
        (Kind::Pack, names([shared, own])),
        (Kind::Segment, names(of_kind(granted, Kind::Segment))),
        (Kind::Usage, names(of_kind(granted, Kind::Usage))),
        (Kind::Manifest, names([*granted.id.as_bytes()])),
        (Kind::Grant, names([grant_id])),
    ] {
        assert_eq!(listed(site, &peer, owner, kind).await, Some(expected), "{}", kind.name());
    }
    for kind in [
        Kind::Inventory,
        Kind::Scrub,
        Kind::Proof,
        Kind::Hold,
        Kind::Order,
        Kind::Tombstone,
        Kind::Revocation,
        Kind::Wrap,
    ] {
        assert_eq!(listed(site, &peer, owner, kind).await, None, "{}", kind.name());
    }
    // Everything that lies here, one by one.
    let allowed: BTreeSet<String> = {
        let mut all = names([
            *owner.repository.as_bytes(),
            *granted.session_id.as_bytes(),
            *other.session_id.as_bytes(),
            own,
            *granted.id.as_bytes(),
            grant_id,
        ]);
        all.extend(names(of_kind(granted, Kind::Segment)));
        all.extend(names(of_kind(granted, Kind::Usage)));
        all.extend(receipts);
        all
    };
    let mut refused = 0;
    let root = Peer::RootKey(owner.root.public());
    for kind in Kind::REPOSITORY {
        for name in listed(site, &root, owner, kind).await.unwrap() {
            let id = *name.parse::<PackId>().unwrap().as_bytes();
            let (status, detail) = get(site, &peer, owner, kind, &id).await;
            let expected = match allowed.contains(&name) {
                true => 200,
                // Of the shared pack not the whole, but one frame.
                false if id == shared => 404,
                false => 403,
            };
            assert_eq!(status, expected, "{} {name}: {detail}", kind.name());
            refused += u32::from(status == 403);
        }
        // What is not here looks the same as what is not granted.
        let (status, _) = get(site, &peer, owner, kind, &[9; 32]).await;
        assert_eq!(status, if kind == Kind::Roster { 404 } else { 403 }, "{}", kind.name());
    }
    assert!(refused > 10, "{refused}");
    assert!(!of_kind(theirs, Kind::Pack).is_empty());
}

/// Of a pack that a granted snapshot uses in part: the head and the used frames.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_shared_pack_only_the_used_frames_are_read() {
    let scene = Scene::new().await;
    scene.give().await;
    let pack = &scene.other.packs[0];
    let path = format!("/v1/repositories/{}/packs/{}", scene.owner.repository, pack.id);
    let ranged = async |range: std::ops::Range<u64>| {
        let mut request = Request::builder()
            .uri(&path)
            .header("range", format!("bytes={}-{}", range.start, range.end - 1))
            .body(axum::body::Body::empty())
            .unwrap();
        request.extensions_mut().insert(key(&scene.grantee));
        let router = lumbung_vault::http::router(Arc::clone(&scene.site.vault));
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap())
    };
    let head = 0..pack.table.head_bytes();
    let bytes = |range: &std::ops::Range<u64>| {
        let at = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        pack.bytes[at].to_vec()
    };
    let (status, found) = ranged(head.clone()).await;
    assert_eq!((status, found.to_vec()), (206, bytes(&head)));
    let used = pack.table.frame_range(1);
    let (status, found) = ranged(used.clone()).await;
    assert_eq!((status, found.to_vec()), (206, bytes(&used)));
    for frame in [0, 2] {
        assert_eq!(ranged(pack.table.frame_range(frame)).await.0, 404, "frame {frame}");
    }
    // Ranges that reach over what is granted end before it.
    let last = used.end - 1;
    let (status, found) = ranged(last..used.end + 10).await;
    assert_eq!((status, found.len()), (206, 1));
    let (status, found) = ranged(0..pack.table.total_length()).await;
    assert_eq!((status, found.len() as u64), (206, head.end));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grantee_writes_nothing_and_asks_for_nothing_else() {
    let scene = Scene::new().await;
    scene.give().await;
    let Scene { site, owner, granted, grantee, .. } = &scene;
    let before = site.fingerprint();
    for (kind, id, bytes) in granted.objects() {
        let answer = site.put_as(key(grantee), owner, kind, &id, bytes).await;
        assert_eq!(answer, (403, "forbidden".to_owned()), "{}", kind.name());
    }
    let more = sign(&scene.consent(), &owner.root);
    for (kind, bytes) in [
        (Kind::Manifest, granted.bytes.clone()),
        (Kind::Grant, more),
        (Kind::Revocation, sign(&revocation(&scene.consent()), &owner.root)),
        (Kind::Roster, owner.rosters[0].clone()),
    ] {
        let (status, _) = site.put_as(key(grantee), owner, kind, &object_id(&bytes), bytes).await;
        assert_eq!(status, 403, "{}", kind.name());
    }
    let repository = format!("/v1/repositories/{}", owner.repository);
    for (method, path) in [
        (Method::POST, format!("{repository}/have")),
        (Method::POST, format!("{repository}/hold")),
        (Method::POST, "/v1/pull".to_owned()),
        (Method::GET, "/v1/alarms".to_owned()),
        (Method::GET, "/v1/capacity".to_owned()),
        (Method::GET, "/v1/caps".to_owned()),
    ] {
        let (status, _) = site.raw(key(grantee), method, &path, b"{\"packs\":[]}".to_vec()).await;
        assert_eq!(status, 403, "{path}");
    }
    // It sees that repository, and no other.
    let elsewhere = Owner::new(&[&scene.agent], &[]);
    let client = site.client(Some(&scene.city.agent_identity(&elsewhere, &scene.agent)));
    publish(&client, &elsewhere, &Snapshot::new(&elsewhere, &scene.agent, None)).await;
    let client = site.client(Some(&root_key_identity(grantee).unwrap()));
    assert_eq!(client.repositories().await.unwrap(), [owner.repository]);
    for kind in Kind::REPOSITORY {
        assert_eq!(listed(site, &key(grantee), &elsewhere, kind).await, None, "{}", kind.name());
    }
    let after: Vec<_> =
        site.fingerprint().into_keys().filter(|name| name.contains(&repository[18..])).collect();
    let known: Vec<_> =
        before.into_keys().filter(|name| name.contains(&repository[18..])).collect();
    assert_eq!(after, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_refused_before_it_begins_and_after_it_ends() {
    let scene = Scene::new().await;
    let from = scene.time.wall().plus_seconds(3600);
    let grant = consent(&scene.owner, &scene.grantee, from, &[&scene.granted]);
    let sent = put(&scene.site, &scene.owner, Kind::Grant, sign(&grant, &scene.owner.root)).await;
    assert_eq!(sent.0, 201);
    let (status, detail) = scene.read().await;
    assert!(status == 403 && detail.contains(&from.to_string()), "{status} {detail}");
    scene.time.set_wall(from);
    assert_eq!(scene.read().await.0, 200);
    scene.time.set_wall(grant.until);
    assert_eq!(scene.read().await.0, 200, "its last second");
    scene.time.set_wall(grant.until.plus_seconds(1));
    let (status, detail) = scene.read().await;
    let told = detail.contains(&grant.until.to_string()) && detail.contains("expired");
    assert!(status == 403 && told, "{status} {detail}");
    for kind in Kind::REPOSITORY {
        let seen = listed(&scene.site, &key(&scene.grantee), &scene.owner, kind).await;
        assert_eq!(seen, None, "{} after its end", kind.name());
    }
    let client = scene.site.client(Some(&root_key_identity(&scene.grantee).unwrap()));
    assert_eq!(client.repositories().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_turned_back_revives_no_grant() {
    let scene = Scene::new().await;
    let grant = scene.give().await;
    let begin = scene.time.wall();
    // The machine runs for longer than the grant holds, and somebody keeps the wall clock where it was.
    scene.site.time.pass(u64::try_from(DAY_S).unwrap());
    scene.time.set_wall(begin);
    assert_eq!(scene.read().await.0, 200, "its last second");
    scene.site.time.pass(1);
    let (status, detail) = scene.read().await;
    assert!(status == 403 && detail.contains(&grant.until.to_string()), "{status} {detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_brings_a_grant_and_only_a_root_key_makes_one() {
    let scene = Scene::new().await;
    let Scene { site, owner, .. } = &scene;
    let grant = scene.consent();
    let genuine = sign(&grant, &owner.root);
    let id = object_id(&genuine);
    for peer in [
        agent_peer(owner, &scene.agent),
        key(&scene.agent.key),
        key(&scene.grantee),
        peer_of(Role::Site),
        peer_of(Role::Controller),
        peer_of(Role::Operator),
    ] {
        let answer = site.put_as(peer, owner, Kind::Grant, &id, genuine.clone()).await;
        assert_eq!(answer.0, 403);
    }
    for forger in [&scene.agent.key, &scene.grantee, &SigningKey::generate()] {
        let forged = put(site, owner, Kind::Grant, sign(&grant, forger)).await;
        assert_eq!(forged, (422, "invalid".to_owned()));
    }
    let stranger = Owner::new(&[], &[]);
    let of_another = Grant { repository: stranger.repository, ..grant };
    let answer = put(site, owner, Kind::Grant, sign(&of_another, &owner.root)).await;
    assert_eq!(answer, (422, "invalid".to_owned()));
    assert_eq!(scene.read().await.0, 403);
    assert_eq!(put(site, owner, Kind::Grant, genuine.clone()).await.0, 201);
    assert_eq!(put(site, owner, Kind::Grant, genuine).await.0, 200, "again");
    assert_eq!(scene.read().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_root_key_takes_its_grants_with_it() {
    let mut scene = Scene::new().await;
    scene.give().await;
    assert_eq!(scene.read().await.0, 200);
    let next = SigningKey::generate();
    let listed = RootKey { key: next.public(), role: RootRole::Working, label: "baru".into() };
    let roster = scene.owner.next_roster(|roster| roster.root_keys = vec![listed]);
    assert_eq!(put(&scene.site, &scene.owner, Kind::Roster, roster).await.0, 201);
    let (status, detail) = scene.read().await;
    assert!(status == 403 && detail.contains("no root key of the newest roster"), "{detail}");
    // A new one under the old key is not even taken.
    let late = sign(&scene.consent(), &scene.owner.root);
    let answer =
        scene.site.put_as(key(&next), &scene.owner, Kind::Grant, &object_id(&late), late).await;
    assert_eq!(answer, (422, "invalid".to_owned()));
    let anew = sign(&scene.consent(), &next);
    let answer =
        scene.site.put_as(key(&next), &scene.owner, Kind::Grant, &object_id(&anew), anew).await;
    assert_eq!(answer.0, 201);
    assert_eq!(scene.read().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_consent_is_refused_whichever_comes_first() {
    let scene = Scene::new().await;
    let Scene { site, owner, .. } = &scene;
    let grant = scene.give().await;
    assert_eq!(scene.read().await.0, 200);
    let forged = put(site, owner, Kind::Revocation, sign(&revocation(&grant), &scene.agent.key));
    assert_eq!(forged.await, (422, "invalid".to_owned()));
    assert_eq!(scene.read().await.0, 200);
    let revoked = put(site, owner, Kind::Revocation, sign(&revocation(&grant), &owner.root)).await;
    assert_eq!(revoked.0, 201);
    let (status, detail) = scene.read().await;
    assert!(status == 403 && detail.contains("revoked"), "{status} {detail}");
    // The revocation before its grant, as a pull may bring them.
    let other = scene.consent();
    put(site, owner, Kind::Revocation, sign(&revocation(&other), &owner.root)).await;
    put(site, owner, Kind::Grant, sign(&other, &owner.root)).await;
    assert_eq!(scene.read().await.0, 403);
    // A new consent holds.
    scene.give().await;
    assert_eq!(scene.read().await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_revocations_outlive_the_index_and_reach_the_other_site() {
    let (city, time) = (City::new(), SystemClock.now());
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let drc = Site::start(&city, &site.as_source()).await;
    let owner = Owner::new(&[&agent], &[&site, &drc]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let (holder, revoked_one) = (SigningKey::generate(), SigningKey::generate());
    let from = time.plus_seconds(-60);
    let grant = consent(&owner, &holder, from, &[&snapshot]);
    let taken_back = consent(&owner, &revoked_one, from, &[&snapshot]);
    for object in [&grant, &taken_back] {
        let answer = put(&site, &owner, Kind::Grant, sign(object, &owner.root)).await;
        assert_eq!(answer.0, 201);
    }
    put(&site, &owner, Kind::Revocation, sign(&revocation(&taken_back), &owner.root)).await;
    assert_eq!(drc.pull().await.failures, 0);
    let (dir, data) = site.stop().await;
    lumbung_vault::forget_index(&data).unwrap();
    let site = Site::launch(&city, dir, data, "").await;
    let id = *snapshot.id.as_bytes();
    for at in [&site, &drc] {
        let scrubbed = at.scrub(&owner).await;
        assert_eq!(scrubbed.objects_bad, 0);
        assert_eq!(get(at, &key(&holder), &owner, Kind::Manifest, &id).await.0, 200);
        let (status, detail) = get(at, &key(&revoked_one), &owner, Kind::Manifest, &id).await;
        assert!(status == 403 && detail.contains("revoked"), "{detail}");
        let own = listed(at, &key(&holder), &owner, Kind::Grant).await.unwrap();
        assert_eq!(own, names([object_id(&sign(&grant, &owner.root))]), "not the other's");
    }
}

/// A grant may be there before its snapshot is.
#[tokio::test(flavor = "multi_thread")]
async fn a_granted_snapshot_that_comes_later_is_read_then() {
    let scene = Scene::new().await;
    let Scene { site, owner, agent, city, granted, .. } = &scene;
    let late = Snapshot::apart(owner, agent, granted);
    let grant = consent(owner, &scene.grantee, scene.time.wall(), &[granted, &late]);
    assert_eq!(put(site, owner, Kind::Grant, sign(&grant, &owner.root)).await.0, 201);
    let peer = key(&scene.grantee);
    let manifests = async || listed(site, &peer, owner, Kind::Manifest).await.unwrap();
    assert_eq!(manifests().await, names([*granted.id.as_bytes()]));
    let pack = *late.packs[0].id.as_bytes();
    assert_eq!(get(site, &peer, owner, Kind::Pack, &pack).await.0, 403);
    publish(&site.client(Some(&city.agent_identity(owner, agent))), owner, &late).await;
    assert_eq!(manifests().await, names([*granted.id.as_bytes(), *late.id.as_bytes()]));
    assert_eq!(get(site, &peer, owner, Kind::Pack, &pack).await.0, 200);
}

/// Old sessions' secrets sealed again: the owner's, kept as other objects are.
#[tokio::test(flavor = "multi_thread")]
async fn wraps_are_the_owners_and_reach_the_other_site() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let drc = Site::start(&city, &site.as_source()).await;
    let mut owner = Owner::new(&[&agent], &[&site, &drc]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let wrap = Wrap {
        repository: owner.repository,
        made: Timestamp(1_900_000_000),
        recipient: PublicKey::from_bytes(random()),
        sessions: vec![WrappedSession {
            session: snapshot.session_id,
            encapsulated: random(),
            ciphertext: random(),
        }],
    };
    let forged = put(&site, &owner, Kind::Wrap, sign(&wrap, &agent.key)).await;
    assert_eq!(forged, (422, "invalid".to_owned()));
    let genuine = sign(&wrap, &owner.root);
    let id = object_id(&genuine);
    for peer in [agent_peer(&owner, &agent), peer_of(Role::Controller), peer_of(Role::Site)] {
        assert_eq!(site.put_as(peer, &owner, Kind::Wrap, &id, genuine.clone()).await.0, 403);
    }
    assert_eq!(put(&site, &owner, Kind::Wrap, genuine.clone()).await.0, 201);
    // The root key is withdrawn before the other site has pulled it: what it wrapped stays good.
    let next = SigningKey::generate();
    let listed_root = RootKey { key: next.public(), role: RootRole::Working, label: "baru".into() };
    let roster = owner.next_roster(|roster| roster.root_keys = vec![listed_root]);
    assert_eq!(put(&site, &owner, Kind::Roster, roster).await.0, 201);
    assert_eq!(drc.pull().await.failures, 0);
    assert_eq!(drc.repository(&owner).store().get(Kind::Wrap, &id).unwrap(), genuine);
    let late = sign(&Wrap { made: Timestamp(1), ..wrap }, &owner.root);
    let answer = site.put_as(key(&next), &owner, Kind::Wrap, &object_id(&late), late).await;
    assert_eq!(answer, (422, "invalid".to_owned()));
    let (dir, data) = site.stop().await;
    lumbung_vault::forget_index(&data).unwrap();
    let site = Site::launch(&city, dir, data, "").await;
    for at in [&site, &drc] {
        assert_eq!(at.scrub(&owner).await.objects_bad, 0);
        let root = Peer::RootKey(next.public());
        assert_eq!(listed(at, &root, &owner, Kind::Wrap).await, Some(names([id])));
    }
}

/// What no longer holds is heard of however full the repository is.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_repository_takes_a_revocation() {
    let city = City::new();
    let site = Site::start(&city, "quota = \"400 kB\"\n").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let from = SystemClock.now().plus_seconds(-60);
    let grant = |bytes: usize| {
        let grant = consent(&owner, &SigningKey::generate(), from, &[&snapshot]);
        Grant { sealed: vec![7; bytes], ..grant }
    };
    let held = grant(80);
    assert_eq!(put(&site, &owner, Kind::Grant, sign(&held, &owner.root)).await.0, 201);
    // Until not even a small one finds room.
    for bytes in [60_000, 6000, 600, 20] {
        let mut answer = (201, String::new());
        while answer.0 == 201 {
            answer = put(&site, &owner, Kind::Grant, sign(&grant(bytes), &owner.root)).await;
        }
        assert_eq!(answer, (507, "quota".to_owned()));
    }
    // Longer than the smallest grant of those: there is no room for it either.
    let revocation = Revocation { reason: "selesai ".repeat(31), ..revocation(&held) };
    let revocation = sign(&revocation, &owner.root);
    let revoked = put(&site, &owner, Kind::Revocation, revocation.clone()).await;
    assert_eq!(revoked.0, 201);
    // It may be sent again.
    let again = put(&site, &owner, Kind::Revocation, revocation).await;
    assert_eq!(again.0, 200);
}
