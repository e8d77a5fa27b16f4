//! Three who have root and want the backups gone: on a PD's server, at the controller, at the Pusat Data. All have everything that
//! is on their machine, and try it over the wire, at the real programs.
//!
//! What a thief of the agent's keys tries with the cryptography is in `thieves`; what holds frame by frame against a
//! source that lies, in the vault's own `pulls`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use lumbung_model::{Clock as _, ManifestId, SiteId, SystemClock, Timestamp};
use lumbung_pack::{
    Action, Kind, Order, Removal, Roster, RosterChain, SigningKey, Subject, Tombstone, object_id,
    sign,
};
use lumbung_tests::city::{City, PdPlan, Site};
use lumbung_tests::process::{PATIENCE, any_output, output};
use lumbung_tests::requests::Requests;
use lumbung_tests::{evidence, tree};
use lumbung_vault::state::State;
use lumbung_vault::{Config, Vault};
use lumbung_wire::{Peer, Role};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const MARK: &[u8] = b"NIK 1271000000000001 hasil laboratorium";

/// Calls for every file; a daemon's socket is none.
fn walk(directory: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, visit);
        } else if path.is_file() {
            visit(&path);
        }
    }
}

/// Everything that a site must not lose or change: its repositories and its keys.
fn kept(site: &Site) -> BTreeMap<PathBuf, blake3::Hash> {
    let mut kept = BTreeMap::new();
    for folder in ["repositories", "state"] {
        walk(&site.data().join(folder), &mut |path| {
            let unfinished = path.file_name().unwrap().as_encoded_bytes().starts_with(b".");
            if !unfinished {
                kept.insert(path.to_owned(), blake3::hash(&fs::read(path).unwrap()));
            }
        });
    }
    assert!(kept.len() > 10, "{kept:?}");
    kept
}

fn nothing_but_added(site: &Site, before: &BTreeMap<PathBuf, blake3::Hash>, after_what: &str) {
    let now = kept(site);
    for (path, hash) in before {
        let found = now.get(path);
        assert_eq!(found, Some(hash), "{} after {after_what}", path.display());
    }
}

/// Every path of every route of a vault, for every object that lies at `site`.
fn targets(site: &Site) -> Vec<String> {
    let mut objects = Vec::new();
    for repository in fs::read_dir(site.data().join("repositories")).unwrap() {
        let repository = repository.unwrap().path();
        let id = repository.file_name().unwrap().to_str().unwrap().to_owned();
        for kind in Kind::REPOSITORY {
            objects.push((id.clone(), kind, "0".repeat(64)));
            walk(&repository.join(kind.folder()), &mut |path| {
                let object = path.file_name().unwrap().to_str().unwrap().to_owned();
                objects.push((id.clone(), kind, object));
            });
        }
    }
    let mut targets = Vec::new();
    for path in lumbung_vault::http::paths() {
        for (repository, kind, object) in &objects {
            let path = path
                .replace("{repository}", repository)
                .replace("{folder}", kind.folder())
                .replace("{id}", object);
            assert!(!path.contains('{'), "teach this test what stands in {path}");
            targets.push(path);
        }
    }
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// Sends everything that HTTP has to every path of a vault, with a stolen certificate.
fn try_everything(site: &Site, identity: &Path, loot: &Path) {
    let methods = ["GET", "PUT", "POST", "PATCH", "DELETE", "MOVE", "COPY", "PURGE", "OPTIONS"];
    let mut requests = Requests::new(site, identity, loot).unwrap();
    for path in targets(site) {
        for method in methods {
            requests.add(method, &path).unwrap();
        }
    }
    let answers = requests.send().unwrap();
    assert!(answers.lines().count() > 200, "{answers}");
    for answer in answers.lines() {
        let (status, request) = answer.split_once(' ').unwrap();
        let (method, path) = request.split_once(' ').unwrap();
        let status: u16 = status.parse().unwrap();
        // A site may ask another one to pull now, which takes nothing away.
        let asks = method == "GET" || (method, path) == ("POST", "/v1/pull");
        let refused = (400..500).contains(&status);
        let answered = asks && [200, 204].contains(&status);
        assert!(refused || answered, "{answer}");
    }
}

/// A city with one PD that has backed up; both sites have it.
fn city(directory: &Path) -> (City, PathBuf, ManifestId) {
    let data = directory.join("srv");
    fs::create_dir(&data).unwrap();
    for number in 0..20_u8 {
        fs::write(
            data.join(format!("pasien-{number}.csv")),
            [MARK, &[number]].concat().repeat(900),
        )
        .unwrap();
    }
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data.clone()] };
    let city = City::found(directory, vec![plan], |_| ()).unwrap();
    output(city.pds[0].agent().arg("backup")).unwrap();
    let snapshot = evidence::newest(&city.pusat.repository(&city.pds[0].repository)).unwrap().id;
    city.arrives(snapshot).unwrap();
    (city, data, snapshot)
}

/// Restores with the owner's key, and compares bit for bit.
pub(crate) fn restores(
    city: &City,
    site: &Site,
    snapshot: ManifestId,
    data: &Path,
    original: &tree::Tree,
) {
    let target = tempfile::tempdir_in(&city.dir).unwrap();
    let out = target.path().join("out");
    let mut restore = city.lumbung();
    restore.args(["restore", &site.url, &snapshot.to_string(), "--key"]).arg(city.pds[0].key());
    output(restore.arg("--target").arg(&out)).unwrap();
    let found = tree::read(&out.join(data.strip_prefix("/").unwrap())).unwrap();
    let (differences, count) = tree::differences(original, &found, 10);
    assert_eq!(count, 0, "{differences:?}");
}

#[test]
fn root_on_a_pd_server_cannot_undo_change_or_open_an_earlier_backup() {
    let directory = tempfile::TempDir::with_prefix("lumbung-root-pd-").unwrap();
    let (city, data, earlier) = city(directory.path());
    let original = tree::read(&data).unwrap();
    let pd = &city.pds[0];
    let before = [kept(&city.pusat), kept(&city.drc)];
    let loot = directory.path().join("loot");
    fs::create_dir(&loot).unwrap();

    for site in [&city.pusat, &city.drc] {
        try_everything(site, &pd.server.join("state/tls.pem"), &loot);
    }
    // Ransomware: everything is overwritten, and backed up so by the server's own agent.
    walk(&data, &mut |path| fs::write(path, b"pay").unwrap());
    output(pd.agent().arg("backup")).unwrap();
    let ransomed = evidence::newest(&city.pusat.repository(&pd.repository)).unwrap().id;
    assert_ne!(ransomed, earlier);
    city.arrives(ransomed).unwrap();
    for (site, before) in [&city.pusat, &city.drc].into_iter().zip(&before) {
        nothing_but_added(site, before, "root on the server did all it can");
    }

    // No file of the server opens anything, in the place of a key; the owner's passphrase does not help.
    let mut tried = 0;
    walk(&pd.server, &mut |file| {
        let target = loot.join(format!("out-{tried}"));
        let mut restore = city.lumbung();
        restore.args(["restore", &city.pusat.url, &earlier.to_string(), "--key"]).arg(file);
        let answered = any_output(restore.arg("--target").arg(&target)).unwrap();
        assert!(!answered.status.success(), "{} opened a backup", file.display());
        walk(&target, &mut |path| panic!("{} came out with {}", path.display(), file.display()));
        tried += 1;
    });
    assert!(tried > 4, "{tried}");
    for site in [&city.pusat, &city.drc] {
        restores(&city, site, earlier, &data, &original);
    }
}

/// Certificate and key in one file, as curl takes them.
fn pem(controller: &Path, name: &str, loot: &Path) -> PathBuf {
    let both =
        ["crt", "key"].map(|end| fs::read(controller.join(format!("{name}.{end}"))).unwrap());
    let file = loot.join(format!("{name}.pem"));
    fs::write(&file, both.concat()).unwrap();
    file
}

#[test]
fn root_at_the_controller_deletes_and_reads_nothing_and_the_servers_file_wins() {
    let directory = tempfile::TempDir::with_prefix("lumbung-root-controller-").unwrap();
    let (mut city, data, snapshot) = city(directory.path());
    let original = tree::read(&data).unwrap();
    let before = [kept(&city.pusat), kept(&city.drc)];
    let loot = directory.path().join("loot");
    fs::create_dir(&loot).unwrap();
    let own = city.controller.dir().join("data");

    // With its own certificate, and with one that its CA makes for whatever role, over every path of both vaults.
    let mut forged = city.controller.command();
    output(forged.args(["operator", "--name", "anybody"])).unwrap();
    for identity in [pem(&own, "server", &loot), own.join("operator.pem")] {
        for site in [&city.pusat, &city.drc] {
            try_everything(site, &identity, &loot);
        }
    }
    for (site, before) in [&city.pusat, &city.drc].into_iter().zip(&before) {
        nothing_but_added(site, before, "root at the controller did all it can");
    }

    // No file of the controller opens anything, and nothing of the data stands in one.
    let pd = &city.pds[0];
    walk(&own, &mut |file| {
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(MARK.len()).any(|part| part == MARK), "{}", file.display());
        let target = loot.join("out");
        let mut restore = city.lumbung();
        restore.args(["restore", &city.pusat.url, &snapshot.to_string(), "--key"]).arg(file);
        restore.args(["--repository", &pd.repository.to_string()]).arg("--target").arg(&target);
        let answered = any_output(&mut restore).unwrap();
        assert!(!answered.status.success(), "{} opened a backup", file.display());
        walk(&target, &mut |path| panic!("{} came out with {}", path.display(), file.display()));
    });

    // The register says that there is nothing to back up, and elsewhere to send it: the server's own file goes on.
    city.controller.kill().unwrap();
    let database = rusqlite::Connection::open(city.controller.database()).unwrap();
    database
        .execute_batch(
            "UPDATE datasets SET paths = '[]'; UPDATE sites SET url = 'https://127.0.0.1:1', tls_pin = zeroblob(32);",
        )
        .unwrap();
    drop(database);
    city.controller.start().unwrap();
    city.pds[0].start().unwrap();
    fs::write(data.join("pasien-baru.csv"), MARK).unwrap();
    let pd = &city.pds[0];
    output(pd.agent().arg("backup")).unwrap();
    let newest = evidence::newest(&city.pusat.repository(&pd.repository)).unwrap().id;
    assert_ne!(newest, snapshot);
    city.arrives(newest).unwrap();
    restores(&city, &city.drc, newest, &data, &tree::read(&data).unwrap());
    restores(&city, &city.drc, snapshot, &data, &original);
}

/// What the patched vault of the Pusat Data does with the DRC's questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// Its lists are empty: of repositories, of snapshots, of everything.
    Emptied,
    /// It has no such repository any more.
    Gone,
    /// Packs end early.
    Truncated,
    /// Every pack is another one.
    Swapped,
    /// The first roster is all that there is.
    RolledBack,
    /// Rosters that somebody else signed.
    OtherChain,
}

/// The vault of the Pusat Data in the hands of root: its own keys and data, and a program that lies to the DRC.
struct Patched {
    lie: Arc<Mutex<Lie>>,
    rounds: watch::Receiver<u64>,
    runtime: Runtime,
    stop: CancellationToken,
}

/// What it shows instead.
struct Forged {
    first_roster: [u8; 32],
    rosters: BTreeMap<[u8; 32], Vec<u8>>,
    another_pack: Vec<u8>,
}

impl Patched {
    fn start(site: &Site, forged: Forged) -> Self {
        let runtime = Runtime::new().unwrap();
        let config = Config::load(&site.dir.join("vault.toml")).unwrap();
        let (state, listen) = (State::at(config.state()), config.listen);
        let vault = Vault::open(config, state.identity().unwrap(), Arc::new(SystemClock)).unwrap();
        vault.reconcile().unwrap();
        let lie = Arc::new(Mutex::new(Lie::None));
        let (asked, rounds) = watch::channel(0);
        let (now, forged) = (Arc::clone(&lie), Arc::new(forged));
        let between = move |request: Request, next: Next| {
            let (lie, forged) = (*now.lock().unwrap(), Arc::clone(&forged));
            let by_site = matches!(request.extensions().get::<Peer>(),
                Some(Peer::Certified(identity)) if identity.role == Role::Site);
            if by_site && request.uri().path() == "/v1/site" {
                asked.send_modify(|count| *count += 1);
            }
            async move {
                if by_site {
                    answer(lie, &forged, request, next).await
                } else {
                    next.run(request).await
                }
            }
        };
        let router =
            lumbung_vault::http::router(Arc::new(vault)).layer(axum::middleware::from_fn(between));
        let tls = state.server_tls(Arc::new(SystemClock)).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
            tokio::spawn(lumbung_wire::serve(listener, tls, router, stopped));
        });
        Self { lie, rounds, runtime, stop }
    }

    /// From now on; returns at once.
    fn lies(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }

    /// Until the DRC has pulled once from beginning to end.
    fn after_a_pull(&mut self) {
        let asked = *self.rounds.borrow();
        let pulled = self.rounds.wait_for(|count| *count >= asked + 2);
        let pulled =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, pulled).await.is_ok() });
        assert!(pulled, "the DRC does not pull");
    }
}

impl Drop for Patched {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(lie: Lie, forged: &Forged, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    let ids = |ids: Vec<&[u8; 32]>| {
        let ids = ids.into_iter().map(|id| ManifestId::from_bytes(*id).to_string()).collect();
        axum::Json(lumbung_wire::messages::IdList { ids }).into_response()
    };
    match (lie, &parts[..]) {
        (Lie::Emptied, ["repositories", _, "manifests"]) => {
            axum::Json(Vec::<lumbung_wire::messages::ManifestSummary>::new()).into_response()
        }
        (Lie::Gone, ["repositories"]) | (Lie::Emptied, ["repositories", _, _]) => ids(Vec::new()),
        (Lie::Gone, ["repositories", ..]) => {
            lumbung_wire::Problem::not_found("no such repository").into_response()
        }
        (Lie::RolledBack, ["repositories", _, "rosters"]) => ids(vec![&forged.first_roster]),
        (Lie::OtherChain, ["repositories", _, "rosters"]) => ids(forged.rosters.keys().collect()),
        (Lie::OtherChain, ["repositories", _, "rosters", id]) => {
            let id: ManifestId = id.parse().unwrap();
            Response::new(Body::from(forged.rosters[id.as_bytes()].clone()))
        }
        (Lie::Swapped, ["repositories", _, "packs", _]) => {
            Response::new(Body::from(forged.another_pack.clone()))
        }
        (Lie::Truncated, ["repositories", _, "packs", _]) => {
            let body = next.run(request).await.into_body();
            let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
            Response::new(Body::from(bytes.slice(..bytes.len() / 2)))
        }
        _ => next.run(request).await,
    }
}

pub(crate) fn rosters(city: &City, site: &Site) -> RosterChain {
    let id = city.pds[0].repository;
    let mut objects = Vec::new();
    walk(&site.repository(&id).join("rosters"), &mut |path| objects.push(fs::read(path).unwrap()));
    RosterChain::from_objects(id, objects).unwrap()
}

/// Rosters by somebody else: the next one of the chain, another of the newest number, and a first one.
fn forged_rosters(chain: &RosterChain) -> BTreeMap<[u8; 32], Vec<u8>> {
    let key = SigningKey::generate();
    let mut newest = chain.current().body.clone();
    newest.repository = chain.repository();
    newest.root_keys[0].key = key.public();
    let next = Roster { number: newest.number + 1, previous: chain.current().id, ..newest.clone() };
    let first = Roster { number: 1, previous: lumbung_model::RosterId::ZERO, ..newest.clone() };
    [next, newest, first]
        .iter()
        .map(|roster| sign(roster, &key))
        .map(|bytes| (object_id(&bytes), bytes))
        .collect()
}

/// Tombstones and orders against the snapshot, signed by the Pusat Data itself, in its own store.
fn bury(city: &City, snapshot: ManifestId) {
    let repository = city.pds[0].repository;
    let config = Config::load(&city.pusat.dir.join("vault.toml")).unwrap();
    let identity = State::at(config.state()).identity().unwrap();
    let body = evidence::newest(&city.pusat.repository(&repository)).unwrap().body;
    let drc: SiteId = city.drc.public.site.parse().unwrap();
    let now = SystemClock.now();
    for site in [identity.site, drc] {
        let tombstone = Tombstone {
            repository,
            site,
            manifest: snapshot,
            receipt: lumbung_model::ReceiptId::ZERO,
            agent: body.agent,
            dataset: body.dataset,
            removal: Removal::Expired,
            removed: Timestamp(now.0 - 86_400),
        };
        put_aside(city, Kind::Tombstone, &sign(&tombstone, &identity.key));
    }
    for subject in [Subject::Snapshot(snapshot), Subject::Repository] {
        let order = Order {
            repository,
            nonce: [7; 16],
            action: Action::Destroy(subject),
            issued: now,
            valid_until: now.plus_seconds(86_400),
            letter: "1/2026".into(),
            reason: "perintah".into(),
        };
        put_aside(city, Kind::Order, &sign(&order, &identity.key));
    }
}

fn put_aside(city: &City, kind: Kind, bytes: &[u8]) {
    let folder = city.pusat.repository(&city.pds[0].repository).join(kind.folder());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(ManifestId::from_bytes(object_id(bytes)).to_string()), bytes).unwrap();
}

#[test]
fn root_at_the_pusat_data_takes_nothing_from_the_drc() {
    let directory = tempfile::TempDir::with_prefix("lumbung-root-pusat-").unwrap();
    let (mut city, data, earlier) = city(directory.path());
    let original = tree::read(&data).unwrap();
    let before = kept(&city.drc);
    let chain = rosters(&city, &city.drc);
    let loot = directory.path().join("loot");
    fs::create_dir(&loot).unwrap();

    // Its certificate and key, at every route of the DRC.
    let identity = loot.join("site.pem");
    city.pusat.steal_identity(&identity).unwrap();
    try_everything(&city.drc, &identity, &loot);
    nothing_but_added(&city.drc, &before, "every request with the Pusat Data's certificate");

    // A patched vault in the place of its own.
    city.pusat.kill().unwrap();
    bury(&city, earlier);
    let mut another_pack = Vec::new();
    let packs = city.pusat.repository(&city.pds[0].repository).join("packs");
    walk(&packs, &mut |path| another_pack = fs::read(path).unwrap());
    let forged = Forged {
        first_roster: *city.pds[0].repository.as_bytes(),
        rosters: forged_rosters(&chain),
        another_pack,
    };
    let mut patched = Patched::start(&city.pusat, forged);
    patched.after_a_pull();
    nothing_but_added(&city.drc, &before, "tombstones and orders of the Pusat Data");
    let lies =
        [Lie::Emptied, Lie::Gone, Lie::Truncated, Lie::Swapped, Lie::RolledBack, Lie::OtherChain];
    let mut newest = earlier;
    for (number, lie) in lies.into_iter().enumerate() {
        patched.lies(lie);
        // Something new, which the DRC has to fetch through the lie.
        fs::write(data.join("baru.csv"), format!("{number}").repeat(100_000)).unwrap();
        output(city.pds[0].agent().arg("backup")).unwrap();
        newest = evidence::newest(&city.pusat.repository(&city.pds[0].repository)).unwrap().id;
        patched.after_a_pull();
        nothing_but_added(&city.drc, &before, &format!("{lie:?}"));
        assert_eq!(rosters(&city, &city.drc).current().id, chain.current().id, "{lie:?}");
        let came = city.drc.repository(&city.pds[0].repository).join("manifests");
        let came = came.join(newest.to_string()).exists();
        assert_eq!(came, lie == Lie::RolledBack, "{lie:?}: what the DRC has of the new snapshot");
        restores(&city, &city.drc, earlier, &data, &original);
    }
    // Honest again, it is believed in what can be checked.
    patched.lies(Lie::None);
    city.arrives(newest).unwrap();
    restores(&city, &city.drc, newest, &data, &tree::read(&data).unwrap());
    output(city.lumbung().args(["verify", &city.drc.url, "--key"]).arg(city.pds[0].key())).unwrap();
    nothing_but_added(&city.drc, &before, "the Pusat Data was honest again");
}
