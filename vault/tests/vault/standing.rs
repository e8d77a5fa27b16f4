//! Standing approvals and openings at a vault: who may bring them, what they let the verifier read, and whose proofs count.

use std::collections::BTreeSet;
use std::sync::Arc;

use lumbung_model::{Clock as _, ConsentId, ManifestId, PublicKey, SiteId, SystemClock, Timestamp};
use lumbung_pack::{
    Grantee, Kind, Proof, Revocation, SessionOpening, SigningKey, StandingApproval, object_id, sign,
};

use crate::grants::{consent, get, key, listed, names, put};
use crate::support::{
    Agent, Bench, City, Owner, Site, Snapshot, Time, agent_peer, publish, random,
};

const DAY_S: i64 = 86_400;

fn approval(
    owner: &Owner,
    agent: &Agent,
    verifier: &SigningKey,
    from: Timestamp,
) -> StandingApproval {
    StandingApproval {
        repository: owner.repository,
        consent: ConsentId::random(),
        grantee: Grantee { recipient: PublicKey::from_bytes([3; 32]), key: verifier.public() },
        dataset: agent.dataset,
        name: "penguji DRC".into(),
        letter: "445/871/2026".into(),
        purpose: "uji pulih".into(),
        issued: from,
        from,
        until: from.plus_seconds(DAY_S),
        base: Vec::new(),
    }
}

/// What it seals is opaque to a vault.
fn opening(approval: &StandingApproval, snapshot: &Snapshot) -> SessionOpening {
    SessionOpening {
        repository: approval.repository,
        session: snapshot.session_id,
        consent: approval.consent,
        recipient: approval.grantee.recipient,
        encapsulated: random(),
        ciphertext: [7; 48],
    }
}

fn revocation(approval: &StandingApproval) -> Revocation {
    Revocation {
        repository: approval.repository,
        consent: approval.consent,
        revoked: Timestamp(1_900_000_000),
        reason: "selesai".into(),
    }
}

fn proof(owner: &Owner, snapshot: &ManifestId, finished: Timestamp) -> Proof {
    Proof {
        repository: owner.repository,
        manifest: *snapshot,
        site: SiteId::from_bytes([1; 16]),
        started: finished.plus_seconds(-60),
        finished,
        entries: 3,
        bytes: 300,
        failed: 0,
    }
}

async fn send(
    site: &Site,
    peer: lumbung_wire::Peer,
    owner: &Owner,
    kind: Kind,
    object: &[u8],
) -> (u16, String) {
    site.put_as(peer, owner, kind, &object_id(object), object.to_vec()).await
}

struct Scene {
    city: City,
    site: Site,
    owner: Owner,
    agent: Agent,
    other: Agent,
    verifier: SigningKey,
    time: Time,
}

impl Scene {
    async fn new() -> Self {
        let (city, time) = (City::new(), Time::now());
        let site = Site::start_at(&city, "", Arc::new(time.clone())).await;
        let (agent, other) = (Agent::new(), Agent::new());
        let owner = Owner::new(&[&agent, &other], &[&site]);
        Self { city, site, owner, agent, other, verifier: SigningKey::generate(), time }
    }

    async fn publish(&self, agent: &Agent, snapshot: &Snapshot) {
        let client = self.site.client(Some(&self.city.agent_identity(&self.owner, agent)));
        publish(&client, &self.owner, snapshot).await;
    }

    async fn approve(&self, from: Timestamp) -> StandingApproval {
        let approval = approval(&self.owner, &self.agent, &self.verifier, from);
        let object = sign(&approval, &self.owner.root);
        let answer = put(&self.site, &self.owner, Kind::StandingApproval, object).await;
        assert_eq!(answer.0, 201, "{answer:?}");
        approval
    }

    async fn open(&self, approval: &StandingApproval, snapshot: &Snapshot) -> [u8; 32] {
        let object = sign(&opening(approval, snapshot), &self.agent.key);
        let peer = agent_peer(&self.owner, &self.agent);
        let answer = send(&self.site, peer, &self.owner, Kind::Opening, &object).await;
        assert_eq!(answer.0, 201, "{answer:?}");
        object_id(&object)
    }

    async fn sees(&self, kind: Kind) -> Option<BTreeSet<String>> {
        listed(&self.site, &key(&self.verifier), &self.owner, kind).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_reads_what_came_while_its_approval_holds() {
    let scene = Scene::new().await;
    let Scene { site, owner, agent, other, verifier, time, .. } = &scene;
    let before = Snapshot::new(owner, agent, None);
    scene.publish(agent, &before).await;
    time.pass(10);
    let approval = scene.approve(time.wall()).await;
    assert_eq!(scene.sees(Kind::Manifest).await, Some(BTreeSet::new()), "nothing came since");
    let next = Snapshot::new(owner, agent, Some(&before));
    scene.publish(agent, &next).await;
    let partial = Snapshot::with(owner, agent, None, |manifest| {
        (manifest.partial, manifest.sequence, manifest.previous) = (true, 3, next.id);
    });
    scene.publish(agent, &partial).await;
    let theirs = Snapshot::new(owner, other, None);
    scene.publish(other, &theirs).await;
    let (own, older) = (scene.open(&approval, &next).await, scene.open(&approval, &before).await);
    let strangers = {
        let strangers = StandingApproval {
            grantee: Grantee { key: SigningKey::generate().public(), ..approval.grantee },
            ..self::approval(owner, agent, verifier, time.wall())
        };
        put(site, owner, Kind::StandingApproval, sign(&strangers, &owner.root)).await;
        scene.open(&strangers, &next).await
    };
    assert_eq!(scene.sees(Kind::Manifest).await, Some(names([*next.id.as_bytes()])));
    // The sessions of the snapshot: its own, and the one whose packs it shares.
    assert_eq!(scene.sees(Kind::Opening).await, Some(names([own, older])));
    let approved = object_id(&sign(&approval, &owner.root));
    assert_eq!(scene.sees(Kind::StandingApproval).await, Some(names([approved])));
    let read = async |kind, id| get(site, &key(verifier), owner, kind, &id).await;
    assert_eq!(read(Kind::Opening, own).await.0, 200);
    assert_eq!(read(Kind::Session, *next.session_id.as_bytes()).await.0, 200);
    for (kind, id) in [
        (Kind::Opening, strangers),
        (Kind::Manifest, *before.id.as_bytes()),
        (Kind::Manifest, *partial.id.as_bytes()),
        (Kind::Manifest, *theirs.id.as_bytes()),
        (Kind::Session, *theirs.session_id.as_bytes()),
        (Kind::Pack, *theirs.packs[0].id.as_bytes()),
    ] {
        assert_eq!(read(kind, id).await.0, 403, "{}", kind.name());
    }
    // The agent sees approvals, and its own domain's openings.
    let peer = agent_peer(owner, agent);
    assert_eq!(listed(site, &peer, owner, Kind::StandingApproval).await.unwrap().len(), 2);
    assert_eq!(listed(site, &peer, owner, Kind::Opening).await.unwrap().len(), 3);
    let peer = agent_peer(owner, other);
    assert_eq!(listed(site, &peer, owner, Kind::Opening).await, Some(BTreeSet::new()));

    time.set_wall(approval.until.plus_seconds(1));
    let (status, detail) = read(Kind::Manifest, *next.id.as_bytes()).await;
    assert!(status == 403 && detail.contains("standing approval"), "{status} {detail}");
    assert!(detail.contains("expired"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_approves_and_only_the_sessions_agent_opens() {
    let scene = Scene::new().await;
    let Scene { site, owner, agent, other, verifier, time, .. } = &scene;
    let snapshot = Snapshot::new(owner, agent, None);
    scene.publish(agent, &snapshot).await;
    let approved = sign(&approval(owner, agent, verifier, time.wall()), &owner.root);
    for peer in [agent_peer(owner, agent), key(verifier), key(&agent.key)] {
        let answer = send(site, peer, owner, Kind::StandingApproval, &approved).await;
        assert_eq!(answer.0, 403, "{answer:?}");
    }
    for forger in [&agent.key, verifier] {
        let forged = sign(&approval(owner, agent, verifier, time.wall()), forger);
        assert_eq!(put(site, owner, Kind::StandingApproval, forged).await.0, 422);
    }
    assert_eq!(scene.sees(Kind::Manifest).await, None, "nothing was approved");

    let approval = scene.approve(time.wall()).await;
    let (own, theirs) = (agent_peer(owner, agent), agent_peer(owner, other));
    let genuine = sign(&opening(&approval, &snapshot), &agent.key);
    for (who, peer) in [("another agent", theirs.clone()), ("the verifier", key(verifier))] {
        assert_eq!(send(site, peer, owner, Kind::Opening, &genuine).await.0, 403, "{who}");
    }
    let by_other = sign(&opening(&approval, &snapshot), &other.key);
    assert_eq!(send(site, theirs, owner, Kind::Opening, &by_other).await.0, 422, "forged");
    let mut wrong = opening(&approval, &snapshot);
    wrong.recipient = PublicKey::from_bytes([9; 32]);
    let wrong = sign(&wrong, &agent.key);
    assert_eq!(send(site, own.clone(), owner, Kind::Opening, &wrong).await.0, 422, "to another");
    let mut nowhere = opening(&approval, &snapshot);
    nowhere.session = lumbung_model::SessionId::from_bytes([9; 32]);
    let nowhere = sign(&nowhere, &agent.key);
    assert_eq!(send(site, own.clone(), owner, Kind::Opening, &nowhere).await.0, 422);
    assert_eq!(send(site, own.clone(), owner, Kind::Opening, &genuine).await.0, 201);
    assert_eq!(send(site, own.clone(), owner, Kind::Opening, &genuine).await.0, 200, "again");
    // No agent fills a folder with openings of one session.
    let mut last = 201;
    for _ in 0..64 {
        let more = sign(&opening(&approval, &snapshot), &agent.key);
        last = send(site, own.clone(), owner, Kind::Opening, &more).await.0;
    }
    assert_eq!(last, 422);

    put(site, owner, Kind::Revocation, sign(&revocation(&approval), &owner.root)).await;
    let next = Snapshot::new(owner, agent, Some(&snapshot));
    scene.publish(agent, &next).await;
    let late = sign(&opening(&approval, &next), &agent.key);
    assert_eq!(send(site, own, owner, Kind::Opening, &late).await.0, 422, "revoked");
    let (status, detail) =
        get(site, &key(verifier), owner, Kind::Manifest, next.id.as_bytes()).await;
    assert!(status == 403 && detail.contains("revoked"), "{status} {detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sites_hold_them_and_a_rebuilt_index_too() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let drc = Site::start(&city, &site.as_source()).await;
    let owner = Owner::new(&[&agent], &[&site, &drc]);
    let (verifier, former) = (SigningKey::generate(), SigningKey::generate());
    let from = SystemClock.now().plus_seconds(-60);
    let held = approval(&owner, &agent, &verifier, from);
    let taken_back = approval(&owner, &agent, &former, from);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &first).await;
    for object in [&held, &taken_back] {
        let answer = put(&site, &owner, Kind::StandingApproval, sign(object, &owner.root)).await;
        assert_eq!(answer.0, 201);
    }
    let opened = sign(&opening(&held, &first), &agent.key);
    let answer = send(&site, agent_peer(&owner, &agent), &owner, Kind::Opening, &opened).await;
    assert_eq!(answer.0, 201);
    put(&site, &owner, Kind::Revocation, sign(&revocation(&taken_back), &owner.root)).await;
    let proven = sign(&proof(&owner, &first.id, SystemClock.now()), &verifier);
    assert_eq!(send(&site, key(&verifier), &owner, Kind::Proof, &proven).await.0, 201);
    assert_eq!(drc.pull().await.failures, 0);
    let (dir, data) = site.stop().await;
    lumbung_vault::forget_index(&data).unwrap();
    let site = Site::launch(&city, dir, data, "").await;
    for at in [&site, &drc] {
        assert_eq!(at.scrub(&owner).await.objects_bad, 0);
        let id = *first.id.as_bytes();
        assert_eq!(get(at, &key(&verifier), &owner, Kind::Manifest, &id).await.0, 200);
        let openings = listed(at, &key(&verifier), &owner, Kind::Opening).await;
        assert_eq!(openings, Some(names([object_id(&opened)])));
        let (status, detail) = get(at, &key(&former), &owner, Kind::Manifest, &id).await;
        assert!(status == 403 && detail.contains("revoked"), "{detail}");
        let root = lumbung_wire::Peer::RootKey(owner.root.public());
        let proofs = listed(at, &root, &owner, Kind::Proof).await;
        assert_eq!(proofs, Some(names([object_id(&proven)])));
    }
}

/// What a verifier says of a restore counts for what was open to it, while it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_proves_what_was_open_to_it_and_nothing_else() {
    let scene = Scene::new().await;
    let Scene { site, owner, agent, other, verifier, time, .. } = &scene;
    let before = Snapshot::new(owner, agent, None);
    scene.publish(agent, &before).await;
    time.pass(10);
    let prove = async |snapshot: &Snapshot, finished, signer: &SigningKey| {
        let object = sign(&proof(owner, &snapshot.id, finished), signer);
        send(site, key(signer), owner, Kind::Proof, &object).await.0
    };
    assert_eq!(prove(&before, time.wall(), verifier).await, 403, "nothing is open to it");
    let approval = scene.approve(time.wall()).await;
    let next = Snapshot::new(owner, agent, Some(&before));
    scene.publish(agent, &next).await;
    let theirs = Snapshot::new(owner, other, None);
    scene.publish(other, &theirs).await;
    assert_eq!(prove(&next, time.wall(), verifier).await, 201);
    assert_eq!(prove(&before, time.wall(), verifier).await, 422, "from before it");
    assert_eq!(prove(&theirs, time.wall(), verifier).await, 422, "of another dataset");
    let early = approval.from.plus_seconds(-1);
    assert_eq!(prove(&next, early, verifier).await, 422, "finished before it held");
    assert_eq!(prove(&next, approval.until.plus_seconds(1), verifier).await, 422, "in the future");
    assert_eq!(prove(&next, time.wall(), &SigningKey::generate()).await, 403, "somebody");
    // By a grant, of its snapshots.
    let second = SigningKey::generate();
    let grant = consent(owner, &second, time.wall(), &[&before]);
    put(site, owner, Kind::Grant, sign(&grant, &owner.root)).await;
    assert_eq!(prove(&before, time.wall(), &second).await, 201);
    assert_eq!(prove(&next, time.wall(), &second).await, 422);
    // Over: also for what says that it was finished in time.
    time.set_wall(approval.until.plus_seconds(1));
    assert_eq!(prove(&next, approval.until, verifier).await, 403);
}

#[test]
fn an_opening_goes_with_its_session() {
    let bench = Bench::new("");
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    let first = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &first);
    let abandoned = Snapshot::apart(&owner, &agent, &first);
    bench.send(&owner, &agent, &abandoned);
    let approval = approval(&owner, &agent, &SigningKey::generate(), bench.time.wall());
    for snapshot in [&first, &abandoned] {
        let object = sign(&opening(&approval, snapshot), &agent.key);
        bench.put(&owner, &agent, Kind::Opening, object_id(&object), &object);
    }
    let count = |kind| bench.repository(&owner).store().list(kind).unwrap().len();
    assert_eq!((count(Kind::Session), count(Kind::Opening)), (2, 2));
    for days in [15, 3, 3] {
        bench.time.pass_days(days);
        bench.sweep(&owner);
    }
    assert_eq!((count(Kind::Session), count(Kind::Opening)), (1, 1));
}
