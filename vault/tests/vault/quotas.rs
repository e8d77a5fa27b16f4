//! Quotas against an agent that wants everything: what it gets at, and what it cannot take from the others.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, StatusCode};
use lumbung_model::PackId;
use lumbung_pack::Kind;
use lumbung_wire::{ClientError, Problem};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::backing;
use crate::support::{
    Agent, City, Owner, Site, Snapshot, TestPack, agent_peer, folder, pack_of, publish, send,
};

/// Of this, half is set aside for the two agents: one alone gets at three quarters.
const QUOTA: &str = "quota = \"1 MB\"\nrequests = 64\n";
const SHARE: u64 = 750_000;
/// Plain bytes of a pack here: of such, six fit in the share beside a snapshot.
const PACK: usize = 100_000;

/// Bytes that lie in the store and count.
fn kept(site: &Site, owner: &Owner) -> u64 {
    let counted = [Kind::Session, Kind::Pack, Kind::Segment, Kind::Usage, Kind::Manifest];
    let names = counted.iter().flat_map(|kind| backing::names(&site.data, &folder(owner, *kind)));
    names.map(|name| backing::lying(&site.data, name).read().len() as u64).sum()
}

fn junk(owner: &Owner, agent: &Agent, after: &Snapshot) -> TestPack {
    pack_of(owner.repository, agent.domain, after.session_id, &[PACK])
}

fn is_quota(problem: &Problem) {
    assert_eq!((problem.status, problem.slug()), (507, "quota"), "{problem:?}");
    let told = problem.detail.as_str();
    assert!(told.contains("is limited to") && told.contains("ask its operator"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_at_once_end_within_the_share_and_starve_nobody() {
    let city = City::new();
    let site = Site::start(&city, QUOTA).await;
    let (greedy, modest, elsewhere) = (Agent::new(), Agent::new(), Agent::new());
    let owner = Owner::new(&[&greedy, &modest], &[&site]);
    let other = Owner::new(&[&elsewhere], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &greedy)));
    let snapshot = Snapshot::new(&owner, &greedy, None);
    publish(&client, &owner, &snapshot).await;

    let uploads: Vec<JoinHandle<Result<(), ClientError>>> = (0..16)
        .map(|_| {
            let pack = junk(&owner, &greedy, &snapshot);
            let (client, repository) = (client.clone(), owner.repository);
            tokio::spawn(async move {
                client.put_pack(&repository, &pack.id, vec![pack.bytes.into()]).await.map(|_| ())
            })
        })
        .collect();
    let mut taken = 0;
    for upload in uploads {
        match upload.await.unwrap() {
            Ok(()) => taken += 1,
            Err(error) => is_quota(error.problem().unwrap()),
        }
    }
    assert!((1..=6).contains(&taken), "{taken}");
    // One at a time, until there is no more.
    for _ in taken..6 {
        let pack = junk(&owner, &greedy, &snapshot);
        client.put_pack(&owner.repository, &pack.id, vec![pack.bytes.into()]).await.unwrap();
    }
    let pack = junk(&owner, &greedy, &snapshot);
    let refused = client.put_pack(&owner.repository, &pack.id, vec![pack.bytes.into()]).await;
    is_quota(refused.unwrap_err().problem().unwrap());
    let full = kept(&site, &owner);
    assert!(full <= SHARE && full > SHARE - PACK as u64, "{full}");

    // Another agent of the PD, and another PD, back up whole.
    let theirs = Snapshot::new(&owner, &modest, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &modest))), &owner, &theirs).await;
    let far = Snapshot::new(&other, &elsewhere, None);
    publish(&site.client(Some(&city.agent_identity(&other, &elsewhere))), &other, &far).await;
    // Reading goes on, and what is there can be sent again.
    let (id, table) = (&snapshot.packs[0].id, &snapshot.packs[0].table);
    client.read_frames(&owner.repository, id, table, 0..3).await.unwrap();
    publish(&client, &owner, &snapshot).await;
}

/// An upload of which everything but the end was sent, and its vault has taken the head.
struct HeldOpen {
    release: oneshot::Sender<()>,
    answer: JoinHandle<StatusCode>,
}

impl HeldOpen {
    async fn begin(site: &Site, owner: &Owner, agent: &Agent, pack: &TestPack) -> Self {
        let (begun, has_begun) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let cut = pack.bytes.len() - 100;
        let (head, rest) = pack.bytes[..cut].split_at(1000);
        // More pieces than wait between the network and the disk: once they are taken, the head was judged.
        let mut pieces = vec![Bytes::copy_from_slice(head)];
        pieces.extend(rest.chunks(rest.len() / 19).map(Bytes::copy_from_slice));
        assert!(pieces.len() >= 20);
        let pieces = stream::iter(pieces.into_iter().map(Ok));
        let end = stream::once(async move {
            begun.send(()).unwrap();
            released.await.unwrap();
            Err(std::io::Error::other("the line broke"))
        });
        let path = format!("/v1/repositories/{}/packs/{}", owner.repository, pack.id);
        let body = Body::from_stream(pieces.chain(end));
        let mut request = Request::builder().method(Method::PUT).uri(path).body(body).unwrap();
        request.extensions_mut().insert(agent_peer(owner, agent));
        let router = lumbung_vault::http::router(Arc::clone(&site.vault));
        let answer = tokio::spawn(async move { router.oneshot(request).await.unwrap().status() });
        has_begun.await.unwrap();
        Self { release, answer }
    }

    async fn break_off(self) {
        self.release.send(()).unwrap();
        assert!(!self.answer.await.unwrap().is_success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_held_open_count_and_give_their_room_back() {
    let city = City::new();
    let site = Site::start(&city, QUOTA).await;
    let (greedy, modest) = (Agent::new(), Agent::new());
    let owner = Owner::new(&[&greedy, &modest], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &greedy)));
    let snapshot = Snapshot::new(&owner, &greedy, None);
    send(&client, &owner, &snapshot).await;
    let mut held = Vec::new();
    for _ in 0..6 {
        let pack = junk(&owner, &greedy, &snapshot);
        held.push(HeldOpen::begin(&site, &owner, &greedy, &pack).await);
    }
    let one_more = junk(&owner, &greedy, &snapshot);
    let put = async || {
        let id = PackId::from_bytes(*one_more.id.as_bytes());
        client.put_pack(&owner.repository, &id, vec![one_more.bytes.clone().into()]).await
    };
    is_quota(put().await.unwrap_err().problem().unwrap());
    // They starve nobody while they are open.
    let theirs = Snapshot::new(&owner, &modest, None);
    publish(&site.client(Some(&city.agent_identity(&owner, &modest))), &owner, &theirs).await;
    for one in held {
        one.break_off().await;
    }
    put().await.unwrap();
    client
        .commit(&owner.repository, &snapshot.id, Bytes::from(snapshot.bytes.clone()))
        .await
        .unwrap();
}
