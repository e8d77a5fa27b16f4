//! Every route and every method against what is there: whoever asks, and whatever with, nothing goes and nothing changes.
//!
//! The paths come from the router itself, so a new route is tried by itself.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use lumbung_model::PackId;
use lumbung_pack::{Kind, SigningKey, object_id};
use lumbung_vault::Repository;
use lumbung_wire::{Peer, Role};

use crate::support::{Agent, City, Owner, Site, Snapshot, agent_peer, peer_of, publish};

/// All methods that HTTP and its extensions have for changing something, and those for looking.
const METHODS: [&str; 12] = [
    "GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "MOVE", "COPY", "PURGE", "TRACE",
    "CONNECT",
];

/// A route's path for every object that it can be about.
fn about(path: &str, owner: &Owner, objects: &[(Kind, [u8; 32])]) -> BTreeSet<String> {
    let of = |(kind, id): &(Kind, [u8; 32])| {
        let made = path
            .replace("{repository}", &owner.repository.to_string())
            .replace("{folder}", kind.folder())
            .replace("{id}", &PackId::from_bytes(*id).to_string());
        assert!(!made.contains('{'), "teach this test what stands in {path}");
        made
    };
    objects.iter().map(of).collect()
}

/// Everything that is here of a repository, and an id that is nobody's, by kind.
fn targets(site: &Site, owner: &Owner) -> Vec<(Kind, [u8; 32])> {
    let repository = site.repository(owner);
    let mut targets = Vec::new();
    for kind in Kind::REPOSITORY {
        let ids = match kind {
            Kind::Pack => packs(&repository),
            _ => repository.store().list(kind).unwrap(),
        };
        targets.extend(ids.into_iter().chain([[9; 32]]).map(|id| (kind, id)));
    }
    targets
}

fn packs(repository: &Repository) -> Vec<[u8; 32]> {
    let (mut packs, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let (last, some) = repository.store().list_packs(from).unwrap();
        packs.extend(some);
        next = last.checked_add(1);
    }
    packs
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_with_any_method_changes_or_removes_what_is_there() {
    let city = City::new();
    let site = Site::start(&city, "[retention]\nkeep_last = 1\n").await;
    let (agent, victim, far) = (Agent::new(), Agent::new(), Agent::new());
    let owner = Owner::new(&[&agent, &victim], &[&site]);
    let other = Owner::new(&[&far], &[&site]);
    let mut published = Vec::new();
    for (owner, agent) in [(&owner, &agent), (&owner, &victim), (&other, &far)] {
        let client = site.client(Some(&city.agent_identity(owner, agent)));
        let snapshot = Snapshot::new(owner, agent, None);
        publish(&client, owner, &snapshot).await;
        published.push(snapshot);
    }
    let theirs: BTreeSet<[u8; 32]> = published[1..]
        .iter()
        .flat_map(|one| {
            one.objects().into_iter().map(|(.., bytes)| bytes).chain([one.bytes.clone()])
        })
        .map(|bytes| object_id(&bytes))
        .collect();
    let before = site.fingerprint();
    let targets = [(&owner, targets(&site, &owner)), (&other, targets(&site, &other))];
    let hold = br#"{"subject":"repository","reason":"x"}"#.to_vec();
    let bodies = [Vec::new(), b"other bytes".to_vec(), vec![0; 4096], hold];
    let mut tried = 0;
    for (who, peer) in [
        ("the agent", agent_peer(&owner, &agent)),
        ("a site", peer_of(Role::Site)),
        ("some key", Peer::RootKey(SigningKey::generate().public())),
        ("nobody", Peer::Anonymous),
    ] {
        for (owner, path) in targets.iter().flat_map(|(owner, objects)| {
            let paths = lumbung_vault::http::paths().into_iter();
            paths.flat_map(move |path| about(path, owner, objects)).map(move |path| (owner, path))
        }) {
            for method in METHODS {
                let bodies =
                    if method == "PUT" || method == "POST" { &bodies[..] } else { &bodies[1..2] };
                for body in bodies {
                    let method = Method::from_bytes(method.as_bytes()).unwrap();
                    let (status, answer) =
                        site.raw(peer.clone(), method.clone(), &path, body.clone()).await;
                    tried += 1;
                    let what = format!("{who}: {method} {path} of {}: {status}", owner.repository);
                    assert!(!status.is_server_error(), "{what}");
                    assert_ne!(status, StatusCode::CREATED, "{what}");
                    let known =
                        ["GET", "HEAD", "OPTIONS", "PUT", "POST"].contains(&method.as_str());
                    assert!(known || status.is_client_error(), "{what}");
                    if who != "a site" && !answer.is_empty() {
                        assert!(
                            !theirs.contains(&object_id(&answer)),
                            "{what} gives what is not its own"
                        );
                    }
                }
            }
        }
        assert_eq!(site.fingerprint(), before, "{who} changed something");
    }
    assert!(tried > 5000, "{tried}");
}
