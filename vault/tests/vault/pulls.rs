//! Replication between two vaults, and from a source that lies.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use lumbung_model::{ConsentId, ManifestId, PackId, Timestamp};
use lumbung_pack::{
    Kind, Receipt, Revocation, SigningKey, UsageBuilder, object_id, open_signed, sign,
};
use lumbung_vault::pull::Pulled;
use lumbung_vault::scrub::{FullSpeed, NoCopies};
use lumbung_wire::messages::ManifestSummary;
use tokio_util::sync::CancellationToken;

use crate::backing;
use crate::support::{Agent, City, Owner, Site, Snapshot, publish};

#[tokio::test(flavor = "multi_thread")]
async fn a_site_pulls_what_is_new_and_gives_its_own_receipts() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let drc = Site::start(&city, &centre.as_source()).await;
    let (agent, unlisted) = (Agent::new(), Agent::new());
    let mut owner = Owner::new(&[&agent], &[&centre, &drc]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::with(&owner, &agent, None, |manifest| manifest.partial = true);
    let given = publish(&client, &owner, &first).await;
    assert_eq!(drc.pull().await, Pulled { snapshots: 1, packs: 2, failures: 0 });

    let root = drc.root_client(&owner);
    let list = root.all_manifests(&owner.repository).await.unwrap();
    let receipt =
        root.get(&owner.repository, Kind::Receipt, list[0].receipt.as_bytes()).await.unwrap();
    let receipt = open_signed::<Receipt>(&receipt).unwrap();
    assert_eq!(receipt.signer, drc.public.receipt_key);
    assert_eq!(receipt.body.pulled_from, Some(centre.public.site));
    let source_receipt =
        root.get(&owner.repository, Kind::Receipt, given.receipt.id.as_bytes()).await.unwrap();
    assert_eq!(source_receipt, given.bytes, "the source's receipt came along");

    // A roster that changes the recipients must not shut out what was sealed before it.
    owner.next_roster(|roster| {
        roster.recipients[0].key = lumbung_model::PublicKey::from_bytes([5; 32]);
    });
    let recipient = lumbung_model::PublicKey::from_bytes([5; 32]);
    owner.recipient = recipient;
    let roster = owner.rosters[1].clone();
    centre
        .root_client(&owner)
        .put(&owner.repository, Kind::Roster, &object_id(&roster), roster.into())
        .await
        .unwrap();
    let second = Snapshot::new(&owner, &agent, Some(&first));
    publish(&client, &owner, &second).await;
    let stranger = centre.client(Some(&city.agent_identity(&owner, &unlisted)));
    publish(&stranger, &owner, &Snapshot::new(&owner, &unlisted, None)).await;
    assert_eq!(drc.pull().await, Pulled { snapshots: 2, packs: 4, failures: 0 });
    assert_eq!(drc.pull().await, Pulled::default(), "nothing is new");
    let list = root.all_manifests(&owner.repository).await.unwrap();
    assert_eq!(list.iter().map(|one| one.authorized).collect::<Vec<_>>(), [true, true, false]);
    assert!(drc.vault.alarms(10).unwrap().is_empty());
    let scrubbed = drc.vault.scrub(&drc.repository(&owner), &NoCopies, &FullSpeed).unwrap();
    assert_eq!(
        (scrubbed.report.verified.len(), scrubbed.report.damaged.len(), scrubbed.report.bad),
        (3, 0, 0)
    );

    // A whole first pull, history and all, into an empty site.
    let third = Site::start(&city, &centre.as_source()).await;
    assert_eq!(third.pull().await, Pulled { snapshots: 3, packs: 6, failures: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sites_take_writes_and_come_to_agree() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let drc = Site::start(&city, &centre.as_source()).await;
    let centre = centre.restart(&city, &drc.as_source()).await;
    let drc = drc.restart(&city, &centre.as_source()).await;
    let centre_sources = drc.as_source();
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let first = Snapshot::new(&owner, &agent, None);
    publish(&centre.client(Some(&city.agent_identity(&owner, &agent))), &owner, &first).await;
    drc.pull().await;
    // The Pusat Data is down; the agent goes on at the DRC.
    let second = Snapshot::new(&owner, &agent, Some(&first));
    let (dir, data) = centre.stop().await;
    publish(&drc.client(Some(&city.agent_identity(&owner, &agent))), &owner, &second).await;
    assert_eq!(drc.pull().await.failures, 1, "the source is out of reach");
    assert!(drc.vault.alarms(10).unwrap().is_empty(), "which is no alarm");

    let centre = Site::launch(&city, dir, data, &centre_sources).await;
    assert_eq!(centre.pull().await, Pulled { snapshots: 1, packs: 2, failures: 0 });
    let manifests = async |site: &Site| {
        let mut all: Vec<_> = site
            .root_client(&owner)
            .all_manifests(&owner.repository)
            .await
            .unwrap()
            .iter()
            .map(|one| one.manifest)
            .collect();
        all.sort();
        all
    };
    assert_eq!(manifests(&centre).await, manifests(&drc).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_lost_everything_gets_it_back_with_its_receipts() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let drc = Site::start(&city, &centre.as_source()).await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre, &drc]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    let second = Snapshot::new(&owner, &agent, Some(&first));
    let given = [
        publish(&client, &owner, &first).await.bytes,
        publish(&client, &owner, &second).await.bytes,
    ];
    assert_eq!(drc.pull().await.snapshots, 2);
    // Only the keys survive.
    let (dir, data) = centre.stop().await;
    backing::wipe(&data);
    std::fs::remove_file(data.join("index.sqlite")).unwrap();
    let centre = Site::launch(&city, dir, data, &drc.as_source()).await;
    assert_eq!(centre.pull().await, Pulled { snapshots: 2, packs: 4, failures: 0 });
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    for (snapshot, bytes) in [(&first, &given[0]), (&second, &given[1])] {
        assert_eq!(publish(&client, &owner, snapshot).await.bytes, *bytes, "the receipt of before");
    }
    let third = Snapshot::new(&owner, &agent, Some(&second));
    assert_eq!(publish(&client, &owner, &third).await.receipt.body.number, 3);
    // The other site's cursor stood at the lost vault's second arrival, and sees the third.
    let drc = drc.restart(&city, &centre.as_source()).await;
    assert_eq!(drc.pull().await.snapshots, 1);
}

/// How a source lies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    /// A bit of every answer in this folder is flipped.
    Flip(Kind),
    /// Every object in this folder is replaced by another of the same kind.
    Swap(Kind),
    /// Answers in this folder are cut short.
    Cut(Kind),
    /// It does not have them.
    Hide(Kind),
    /// It lists a thousand things that do not exist.
    Invent(Kind),
    /// Its list of snapshots begins again where it ends.
    Repeat,
}

async fn lie(lie: Lie, owner: Arc<Owner>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let folder = |kind: Kind| format!("/v1/repositories/{}/{}", owner.repository, kind.folder());
    let about = |kind: Kind| path.starts_with(&format!("{}/", folder(kind)));
    if lie == Lie::Repeat && path == folder(Kind::Manifest) {
        let query = request.uri().query().unwrap_or_default();
        let after = query.split('&').find_map(|part| part.strip_prefix("after="));
        let after: u64 = after.unwrap().parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        let body = next.run(request).await.into_body();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let mut page: Vec<ManifestSummary> = serde_json::from_slice(&body).unwrap();
        page.iter_mut().for_each(|one| one.arrival += after);
        return axum::Json(page).into_response_like();
    }
    let response = next.run(request).await;
    if let Lie::Invent(kind) = lie
        && path == folder(kind)
    {
        let ids: Vec<String> = (0..1000u32).map(|i| format!("{i:064x}")).collect();
        return axum::Json(lumbung_wire::messages::IdList { ids }).into_response_like();
    }
    let (kind, change): (Kind, fn(&mut Vec<u8>)) = match lie {
        Lie::Flip(kind) => (kind, |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
        }),
        Lie::Swap(kind) => (kind, |bytes| bytes.reverse()),
        Lie::Cut(kind) => (kind, |bytes| bytes.truncate(bytes.len() - 1)),
        Lie::Hide(kind) => {
            if about(kind) {
                return lumbung_wire::Problem::not_found("it is not here").into_response_like();
            }
            return response;
        }
        Lie::Invent(_) | Lie::Repeat => return response,
    };
    if !about(kind) || !response.status().is_success() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let mut bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec();
    change(&mut bytes);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

trait IntoResponseLike {
    fn into_response_like(self) -> Response;
}

impl<T: axum::response::IntoResponse> IntoResponseLike for T {
    fn into_response_like(self) -> Response {
        self.into_response()
    }
}

/// Serves `site`'s repositories with a lie in between, under its key.
async fn lying_server(
    site: &Site,
    owner: &Arc<Owner>,
    what: Lie,
    stop: &CancellationToken,
) -> String {
    let owner = Arc::clone(owner);
    let lying = axum::middleware::from_fn(move |request: Request, next: Next| {
        lie(what, Arc::clone(&owner), request, next)
    });
    site.serve_behind(|router| router.layer(lying), stop).await
}

/// Answers of a source that are not its vault's, by path; one more snapshot than it has.
struct Forged {
    answers: HashMap<String, Vec<u8>>,
    list: String,
    snapshot: ManifestId,
}

async fn forge(forged: Arc<Forged>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(bytes) = forged.answers.get(&path) {
        return bytes.clone().into_response_like();
    }
    let begins = request.uri().query().is_none_or(|query| query.contains("after=0"));
    let response = next.run(request).await;
    if path != forged.list || !begins {
        return response;
    }
    let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
    let mut page: Vec<ManifestSummary> = serde_json::from_slice(&body).unwrap();
    let mut more = page.last().unwrap().clone();
    (more.manifest, more.arrival) = (forged.snapshot, more.arrival + 1);
    page.push(more);
    axum::Json(page).into_response_like()
}

/// Whoever runs a source can sign snapshots with any key: they count for nothing, and are pulled.
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_has_fewer_frames_than_a_segment_says_is_refused_and_the_rest_comes() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let honest = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &honest).await;
    let mut builder = UsageBuilder::new(owner.repository, agent.domain);
    for frame in 0..500 {
        builder.add(honest.packs[0].id, 500, frame, 16);
    }
    let usage = builder.build();
    let mut manifest = honest.manifest.clone();
    (manifest.usage, manifest.epoch) = (usage.usage_id, 7);
    let bytes = sign(&manifest, &SigningKey::generate());
    let snapshot = ManifestId::from_bytes(object_id(&bytes));
    let list = format!("/v1/repositories/{}/manifests", owner.repository);
    let path = |kind: Kind, id: &[u8; 32]| {
        let id = PackId::from_bytes(*id);
        format!("/v1/repositories/{}/{}/{id}", owner.repository, kind.folder())
    };
    let mut answers = HashMap::from([
        (path(Kind::Manifest, snapshot.as_bytes()), bytes),
        (path(Kind::Usage, usage.usage_id.as_bytes()), usage.usage.clone()),
    ]);
    for (id, segment) in &usage.segments {
        answers.insert(path(Kind::Segment, id.as_bytes()), segment.clone());
    }
    let forged = Arc::new(Forged { answers, list, snapshot });
    let between = axum::middleware::from_fn(move |request: Request, next: Next| {
        forge(Arc::clone(&forged), request, next)
    });
    let stop = CancellationToken::new();
    let url = centre.serve_behind(|router| router.layer(between), &stop).await;
    let drc = Site::start(&city, &centre.as_source_at(&url)).await;
    let pulled = drc.pull().await;
    assert_eq!((pulled.snapshots, pulled.failures), (1, 1), "{pulled:?}");
    let alarms = drc.vault.alarms(10).unwrap();
    assert!(alarms.iter().any(|alarm| alarm.detail.contains("has 3 frames")), "{alarms:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_source_makes_a_puller_write_nothing_unverified() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let agent = Agent::new();
    let first_drc = Site::start(&city, "").await;
    let owner = Arc::new(Owner::new(&[&agent], &[&centre, &first_drc]));
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    let first = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &first).await;
    publish(&client, &owner, &Snapshot::new(&owner, &agent, Some(&first))).await;
    // Another repository, about which the source does not lie.
    let other = Owner::new(&[&agent], &[&centre]);
    publish(
        &centre.client(Some(&city.agent_identity(&other, &agent))),
        &other,
        &Snapshot::new(&other, &agent, None),
    )
    .await;

    let kinds =
        [Kind::Roster, Kind::Session, Kind::Pack, Kind::Segment, Kind::Usage, Kind::Manifest];
    let lies: Vec<Lie> = kinds
        .iter()
        .flat_map(|kind| [Lie::Flip(*kind), Lie::Swap(*kind), Lie::Cut(*kind), Lie::Hide(*kind)])
        .chain([
            Lie::Invent(Kind::Session),
            Lie::Invent(Kind::Proof),
            Lie::Flip(Kind::Receipt),
            Lie::Repeat,
        ])
        .collect();
    for what in lies {
        let stop = CancellationToken::new();
        let url = lying_server(&centre, &owner, what, &stop).await;
        let drc = Site::start(&city, &centre.as_source_at(&url)).await;
        let pulled = drc.pull().await;
        assert!(pulled.failures > 0, "{what:?}: {pulled:?}");
        let harmless = matches!(what, Lie::Invent(_) | Lie::Repeat | Lie::Flip(Kind::Receipt));
        if let Ok(repository) = drc.vault.repository(&owner.repository) {
            let scrubbed = drc.vault.scrub(&repository, &NoCopies, &FullSpeed).unwrap();
            assert_eq!(
                (scrubbed.report.bad, scrubbed.objects_bad, scrubbed.report.damaged.len()),
                (0, 0, 0),
                "{what:?}"
            );
            let expected = if harmless { 2 } else { 0 };
            assert_eq!(scrubbed.report.verified.len(), expected, "{what:?}");
        }
        let repository = drc.repository(&other);
        let scrubbed = drc.vault.scrub(&repository, &NoCopies, &FullSpeed).unwrap();
        assert_eq!(scrubbed.report.verified.len(), 1, "{what:?}: the other repository is there");
        if !matches!(what, Lie::Hide(_) | Lie::Invent(_)) {
            assert_eq!(drc.vault.alarms(10).unwrap()[0].kind, "source", "{what:?}");
        }
        drop(repository);

        // Once the source is honest again, everything comes.
        let drc = drc.restart(&city, &centre.as_source()).await;
        let pulled = drc.pull().await;
        assert_eq!(pulled.failures, 0, "{what:?}");
        assert_eq!(
            drc.root_client(&owner).all_manifests(&owner.repository).await.unwrap().len(),
            2,
            "{what:?}"
        );
        stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_pulled_only_from_sites_that_its_owner_names() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let drc = Site::start(&city, &centre.as_source()).await;
    let agent = Agent::new();
    let mut owner = Owner::new(&[&agent], &[&drc]);
    let admitted = Owner::new(&[&agent], &[]);
    for one in [&owner, &admitted] {
        let client = centre.client(Some(&city.agent_identity(one, &agent)));
        publish(&client, one, &Snapshot::new(one, &agent, None)).await;
    }
    assert_eq!(drc.pull().await, Pulled { snapshots: 0, packs: 0, failures: 2 });
    assert!(drc.vault.repositories().is_empty());
    assert_eq!(backing::names(&drc.data, "repositories"), Vec::<String>::new());
    let alarms = drc.vault.alarms(10).unwrap();
    assert_eq!(alarms.len(), 2);
    assert!(alarms.iter().all(|alarm| alarm.detail.contains("does not list this source")));

    // The custodian names the source; the operator admits the other one.
    let listed = owner.next_roster(|roster| roster.sites.push(centre.listed()));
    let root = centre.root_client(&owner);
    root.put(&owner.repository, Kind::Roster, &object_id(&listed), listed.into()).await.unwrap();
    lumbung_vault::admit(&drc.data, &admitted.repository).unwrap();
    assert_eq!(drc.pull().await, Pulled { snapshots: 2, packs: 4, failures: 0 });
}

/// A source that does not give one kind keeps none of the others back.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_signed_comes_without_the_data_and_the_data_without_that() {
    let city = City::new();
    let centre = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&centre]);
    let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
    publish(&client, &owner, &Snapshot::new(&owner, &agent, None)).await;
    let revocation = sign(
        &Revocation {
            repository: owner.repository,
            consent: ConsentId::random(),
            revoked: Timestamp(1_900_000_000),
            reason: "selesai".into(),
        },
        &owner.root,
    );
    let id = object_id(&revocation);
    let root = centre.root_client(&owner);
    root.put(&owner.repository, Kind::Revocation, &id, revocation.into()).await.unwrap();
    for (failing, snapshots, revoked) in
        [(Kind::Manifest, 0, true), (Kind::Revocation, 1, false), (Kind::Wrap, 1, true)]
    {
        let list = format!("/v1/repositories/{}/{}", owner.repository, failing.folder());
        let between = axum::middleware::from_fn(move |request: Request, next: Next| {
            let fails = request.uri().path() == list;
            async move {
                if fails {
                    return http::StatusCode::INTERNAL_SERVER_ERROR.into_response_like();
                }
                next.run(request).await
            }
        });
        let stop = CancellationToken::new();
        let url = centre.serve_behind(|router| router.layer(between), &stop).await;
        let drc = Site::start(&city, &centre.as_source_at(&url)).await;
        let pulled = drc.pull().await;
        assert_eq!(pulled.snapshots, snapshots, "{failing:?}");
        assert!(pulled.failures > 0, "{failing:?}");
        let here = drc.repository(&owner).store().contains(Kind::Revocation, &id).unwrap();
        assert_eq!(here, revoked, "{failing:?}");
        stop.cancel();
    }
}
