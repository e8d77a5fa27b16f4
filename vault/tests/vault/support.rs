//! A city for tests: a CA, owners with rosters, agents, snapshots of random frames, and vaults on loopback.
//!
//! Only the public half of the format is used: to a vault, stored frames are opaque.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use lumbung_model::retention::Boot;
use lumbung_model::{
    AgentId, ChunkId, Clock, DatasetId, DomainId, FixedClock, FrameHash, ManifestId, PackId,
    PublicKey, RepositoryId, RosterId, Secret, SessionId, SystemClock, Timestamp,
};
use lumbung_pack::{
    AgentStatus, BuiltUsage, ChunkerParams, Content, Encoding, FrameEntry, Kind, Manifest,
    PackHeader, PackTable, PackUse, Recipient, RootKey, RootRole, Roster, RosterAgent, RosterSite,
    SealedKey, Session, SigningKey, Statistics, UsageBuilder, object_id, sign,
};
use lumbung_vault::daemon::Daemon;
use lumbung_vault::pull::{Pulled, Sources, pull_all};
use lumbung_vault::retention::Uptime;
use lumbung_vault::scrub::{FullSpeed, Scrubbed};
use lumbung_vault::state::{SitePublic, State};
use lumbung_vault::{
    Config, Founder, Occasion, Repository, Sender, Swept, Vault, VaultError, http as vault_http,
};
use lumbung_wire::certs::{Authority, IssueRequest, csr, root_key_identity};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::tls::{TlsIdentity, client_config};
use lumbung_wire::{Peer, PeerIdentity, Problem, Role, ServerTrust, VaultClient};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::backing::{self, Lying};

pub(crate) fn random<const N: usize>() -> [u8; N] {
    *Secret::<N>::random().expose()
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The city's CA.
pub(crate) struct City {
    pub(crate) ca: Authority,
}

impl City {
    pub(crate) fn new() -> Self {
        Self { ca: Authority::generate("test CA", SystemClock.now()).unwrap().0 }
    }

    pub(crate) fn identity(&self, names: CertificateNames) -> TlsIdentity {
        let wanted = IssueRequest {
            common_name: "test".into(),
            names,
            hosts: Vec::new(),
            now: SystemClock.now(),
        };
        let (issued, key) = self.ca.issue_with_key(&wanted).unwrap();
        TlsIdentity::from_pem(&issued.certificate_pem, &key).unwrap()
    }

    pub(crate) fn agent_identity(&self, owner: &Owner, agent: &Agent) -> TlsIdentity {
        self.identity(CertificateNames::agent(owner.repository, agent.id, agent.key.public(), None))
    }

    /// What `lumbung-vault enroll` does with a controller's answer.
    pub(crate) fn enroll(&self, dir: &Path, public: &SitePublic) {
        let key =
            lumbung_wire::certs::KeyPem::new(std::fs::read_to_string(dir.join("tls.key")).unwrap());
        let wanted = IssueRequest {
            common_name: "site".into(),
            names: CertificateNames::site(public.site),
            hosts: vec!["127.0.0.1".into()],
            now: SystemClock.now(),
        };
        let issued = self.ca.issue(&csr(&key, "site").unwrap(), &wanted).unwrap();
        std::fs::write(dir.join("tls.pem"), issued.certificate_pem).unwrap();
        std::fs::write(dir.join("ca.pem"), self.ca.certificate_pem()).unwrap();
    }
}

pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) key: SigningKey,
    pub(crate) domain: DomainId,
    pub(crate) dataset: DatasetId,
}

impl Agent {
    pub(crate) fn new() -> Self {
        Self {
            id: AgentId::random(),
            key: SigningKey::generate(),
            domain: DomainId::random(),
            dataset: DatasetId::random(),
        }
    }

    fn listed(&self) -> RosterAgent {
        RosterAgent {
            agent: self.id,
            key: self.key.public(),
            domain: self.domain,
            status: AgentStatus::Active,
            label: "server".into(),
        }
    }
}

/// A PD with its root key and rosters.
pub(crate) struct Owner {
    pub(crate) root: SigningKey,
    pub(crate) recipient: PublicKey,
    pub(crate) repository: RepositoryId,
    pub(crate) rosters: Vec<Vec<u8>>,
    pub(crate) newest: Roster,
}

impl Owner {
    pub(crate) fn new(agents: &[&Agent], sites: &[&Site]) -> Self {
        let root = SigningKey::generate();
        let recipient = PublicKey::from_bytes(random());
        let newest = Roster {
            repository: RepositoryId::ZERO,
            number: 1,
            previous: RosterId::ZERO,
            created: Timestamp(1_700_000_000),
            chunker: ChunkerParams::default(),
            root_keys: vec![RootKey {
                key: root.public(),
                role: RootRole::Working,
                label: "root".into(),
            }],
            registrar: None,
            recipients: vec![Recipient { key: recipient, label: "recovery".into() }],
            agents: agents.iter().map(|agent| agent.listed()).collect(),
            sites: sites.iter().map(|site| site.listed()).collect(),
        };
        let first = sign(&newest, &root);
        let repository = RepositoryId::from_bytes(object_id(&first));
        Self { root, recipient, repository, rosters: vec![first], newest }
    }

    /// The next roster, after `change`.
    pub(crate) fn next_roster(&mut self, change: impl FnOnce(&mut Roster)) -> Vec<u8> {
        let previous = object_id(self.rosters.last().unwrap());
        let mut next = self.newest.clone();
        next.repository = self.repository;
        next.number += 1;
        next.previous = RosterId::from_bytes(previous);
        change(&mut next);
        let bytes = sign(&next, &self.root);
        self.newest = next;
        self.rosters.push(bytes.clone());
        bytes
    }

    pub(crate) fn add_agent(&mut self, agent: &Agent) -> Vec<u8> {
        let listed = agent.listed();
        self.next_roster(|roster| roster.agents.push(listed))
    }

    pub(crate) fn session(&self, agent: &Agent) -> Session {
        Session {
            repository: self.repository,
            agent: agent.id,
            domain: agent.domain,
            dataset: agent.dataset,
            started: Timestamp(1_700_000_000),
            roster_number: self.newest.number,
            sealed: vec![SealedKey {
                recipient: self.recipient,
                encapsulated: random(),
                ciphertext: random(),
            }],
        }
    }
}

/// A pack of random frames.
#[derive(Clone)]
pub(crate) struct TestPack {
    pub(crate) id: PackId,
    pub(crate) table: PackTable,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn pack_of(
    repository: RepositoryId,
    domain: DomainId,
    session: SessionId,
    lengths: &[usize],
) -> TestPack {
    let mut body = Vec::new();
    let mut frames = Vec::new();
    for length in lengths {
        let seed: [u8; 32] = random();
        let stored: Vec<u8> = (0..length + 16)
            .map(|i| seed[i % 32].wrapping_add(u8::try_from(i / 32 % 251).unwrap()))
            .collect();
        frames.push(FrameEntry {
            chunk: ChunkId::from_bytes(random()),
            stored_hash: FrameHash::from_bytes(object_id(&stored)),
            plain_length: u32::try_from(*length).unwrap(),
            stored_length: u32::try_from(stored.len()).unwrap(),
            encoding: Encoding::Raw,
        });
        body.extend(stored);
    }
    let header = PackHeader {
        repository,
        domain,
        session,
        salt: random(),
        commitment: random(),
        content: Content::Data,
    };
    let table = PackTable::new(header, frames).unwrap();
    let mut bytes = table.encode();
    bytes.extend(body);
    TestPack { id: table.id(), table, bytes }
}

/// Everything of one snapshot.
pub(crate) struct Snapshot {
    pub(crate) session_id: SessionId,
    pub(crate) session: Vec<u8>,
    pub(crate) packs: Vec<TestPack>,
    pub(crate) usage: BuiltUsage,
    pub(crate) manifest: Manifest,
    pub(crate) id: ManifestId,
    pub(crate) bytes: Vec<u8>,
}

impl Snapshot {
    pub(crate) fn new(owner: &Owner, agent: &Agent, previous: Option<&Self>) -> Self {
        Self::with(owner, agent, previous, |_| {})
    }

    /// A snapshot that uses everything of the one before it, two new packs, and what `change` makes of it.
    pub(crate) fn with(
        owner: &Owner,
        agent: &Agent,
        previous: Option<&Self>,
        change: impl FnOnce(&mut Manifest),
    ) -> Self {
        let session = sign(&owner.session(agent), &agent.key);
        let session_id = SessionId::from_bytes(object_id(&session));
        let mut packs: Vec<TestPack> = [&[40_000, 1000, 70_000][..], &[5000]]
            .iter()
            .map(|lengths| pack_of(owner.repository, agent.domain, session_id, lengths))
            .collect();
        packs.extend(previous.iter().flat_map(|before| before.packs.clone()));
        let usage = usage_of(owner, agent, &packs);
        let mut others: Vec<SessionId> =
            previous.iter().flat_map(|before| before.manifest.sessions.clone()).collect();
        others.sort();
        let mut manifest = Manifest {
            repository: owner.repository,
            agent: agent.id,
            dataset: agent.dataset,
            domain: agent.domain,
            partial: false,
            epoch: 1,
            sequence: previous.map_or(1, |before| before.manifest.sequence + 1),
            previous: previous.map_or(ManifestId::ZERO, |before| before.id),
            started: Timestamp(1_700_000_000),
            finished: Timestamp(1_700_000_100),
            roster_number: owner.newest.number,
            statistics: Statistics { files: 3, ..Statistics::default() },
            usage: usage.usage_id,
            sessions: std::iter::once(session_id).chain(others).collect(),
            root_salt: random(),
            sealed_root: vec![7; 64],
        };
        change(&mut manifest);
        let bytes = sign(&manifest, &agent.key);
        let id = ManifestId::from_bytes(object_id(&bytes));
        Self { session_id, session, packs, usage, manifest, id, bytes }
    }

    /// A snapshot that follows another one in the chain and shares nothing with it.
    pub(crate) fn apart(owner: &Owner, agent: &Agent, previous: &Self) -> Self {
        Self::with(owner, agent, None, |manifest| {
            manifest.sequence = previous.manifest.sequence + 1;
            manifest.previous = previous.id;
        })
    }

    /// A snapshot that follows another one and names what `old` names, by the same usage list: nothing of it is sent.
    pub(crate) fn with_usage_of(owner: &Owner, agent: &Agent, previous: &Self, old: &Self) -> Self {
        let mut snapshot = Self::apart(owner, agent, previous);
        snapshot.packs.clear();
        snapshot.usage = usage_of(owner, agent, &old.packs);
        let manifest = &mut snapshot.manifest;
        manifest.usage = snapshot.usage.usage_id;
        manifest.sessions.extend(&old.manifest.sessions);
        snapshot.bytes = sign(manifest, &agent.key);
        snapshot.id = ManifestId::from_bytes(object_id(&snapshot.bytes));
        snapshot
    }

    /// A snapshot that follows another one and uses one new pack and some frames of packs that were made before.
    pub(crate) fn of_frames(
        owner: &Owner,
        agent: &Agent,
        previous: Option<&Self>,
        old: &[(TestPack, Vec<u32>)],
    ) -> Self {
        let mut snapshot = Self::with(owner, agent, None, |manifest| {
            manifest.sequence = previous.map_or(1, |before| before.manifest.sequence + 1);
            manifest.previous = previous.map_or(ManifestId::ZERO, |before| before.id);
        });
        let mut builder = UsageBuilder::new(owner.repository, agent.domain);
        snapshot.packs.truncate(1);
        let new: Vec<u32> = (0..3).collect();
        let all =
            old.iter().map(|(pack, frames)| (pack, frames)).chain([(&snapshot.packs[0], &new)]);
        for (pack, frames) in all {
            for frame in frames {
                let count = u32::try_from(pack.table.frames.len()).unwrap();
                let entry = &pack.table.frames[*frame as usize];
                builder.add(pack.id, count, *frame, entry.stored_length);
            }
        }
        let mut others: Vec<SessionId> =
            old.iter().map(|(pack, _)| pack.table.header.session).collect();
        others.sort();
        others.dedup();
        snapshot.usage = builder.build();
        let manifest = &mut snapshot.manifest;
        manifest.usage = snapshot.usage.usage_id;
        manifest.sessions = std::iter::once(snapshot.session_id).chain(others).collect();
        snapshot.bytes = sign(manifest, &agent.key);
        snapshot.id = ManifestId::from_bytes(object_id(&snapshot.bytes));
        snapshot
    }

    /// All objects but the manifest, in the order in which they are sent.
    pub(crate) fn objects(&self) -> Vec<(Kind, [u8; 32], Vec<u8>)> {
        let mut objects = vec![(Kind::Session, *self.session_id.as_bytes(), self.session.clone())];
        objects.extend(
            self.packs.iter().map(|pack| (Kind::Pack, *pack.id.as_bytes(), pack.bytes.clone())),
        );
        objects.extend(
            self.usage
                .segments
                .iter()
                .map(|(id, bytes)| (Kind::Segment, *id.as_bytes(), bytes.clone())),
        );
        objects.push((Kind::Usage, *self.usage.usage_id.as_bytes(), self.usage.usage.clone()));
        objects
    }
}

pub(crate) fn usage_of(owner: &Owner, agent: &Agent, packs: &[TestPack]) -> BuiltUsage {
    let mut builder = UsageBuilder::new(owner.repository, agent.domain);
    for pack in packs {
        let frames = u32::try_from(pack.table.frames.len()).unwrap();
        for (frame, entry) in pack.table.frames.iter().enumerate() {
            builder.add(pack.id, frames, u32::try_from(frame).unwrap(), entry.stored_length);
        }
    }
    builder.build()
}

/// Time as a test sets it: the wall clock, and how long the machine has been running.
#[derive(Clone, Default)]
pub(crate) struct Time(Arc<TimeInner>);

#[derive(Default)]
struct TimeInner {
    wall: FixedClock,
    running_s: std::sync::atomic::AtomicU64,
    started: std::sync::atomic::AtomicU64,
}

impl Time {
    /// Now, by the machine's clock: certificates and senders live by it.
    pub(crate) fn now() -> Self {
        let time = Self::default();
        time.0.wall.set(SystemClock.now());
        time
    }

    /// Everything moves on.
    pub(crate) fn pass(&self, seconds: u64) {
        self.set_wall(self.wall().plus_seconds(i64::try_from(seconds).unwrap()));
        self.0.running_s.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn pass_days(&self, days: u64) {
        self.pass(days * 86_400);
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.0.wall.now()
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_wall(&self, to: Timestamp) {
        self.0.wall.set(to);
    }

    /// The machine is started anew.
    pub(crate) fn reboot(&self) {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        self.0.running_s.store(0, Ordering::SeqCst);
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        self.wall()
    }
}

impl Uptime for Time {
    fn boot(&self) -> Boot {
        let id = self.0.started.load(Ordering::SeqCst).to_string();
        Boot { id, seconds: self.0.running_s.load(Ordering::SeqCst) }
    }
}

/// A vault without server or network, at a time that the test sets.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) time: Time,
    pub(crate) vault: Option<Arc<Vault>>,
    pub(crate) site: RosterSite,
    extra: String,
}

impl Bench {
    pub(crate) fn new(extra: &str) -> Self {
        Self::begin(tempfile::tempdir().unwrap(), extra)
    }

    pub(crate) fn begin(dir: tempfile::TempDir, extra: &str) -> Self {
        let config = Self::config(dir.path(), extra);
        let public = State::at(config.state()).init().unwrap();
        let site = RosterSite {
            site: public.site,
            receipt_key: public.receipt_key,
            tls_pin: public.tls_pin,
            label: "site".into(),
        };
        let mut bench = Self { dir, time: Time::now(), vault: None, site, extra: extra.to_owned() };
        bench.open();
        bench
    }

    fn config(data: &Path, extra: &str) -> Config {
        let file = data.join("vault.toml");
        let text = format!(
            "data = {data:?}\nlisten = \"127.0.0.1:0\"\nreserve = \"0\"\ntime_zone = \"UTC\"\n{extra}\n{}",
            backing::settings(data)
        );
        std::fs::write(&file, text).unwrap();
        Config::load(&file).unwrap()
    }

    fn open(&mut self) {
        let config = Self::config(self.dir.path(), &self.extra);
        let identity = State::at(config.state()).identity().unwrap();
        let (clock, uptime) = (Arc::new(self.time.clone()), Box::new(self.time.clone()));
        let vault = Vault::open_with(config, identity, clock, uptime).unwrap();
        vault.reconcile().unwrap();
        self.vault = Some(Arc::new(vault));
    }

    /// The vault stops and starts.
    pub(crate) fn restart(&mut self) {
        self.vault = None;
        self.open();
    }

    /// The index is lost and built from the files.
    pub(crate) fn reindex(&mut self) {
        self.vault = None;
        lumbung_vault::forget_index(self.dir.path()).unwrap();
        self.open();
    }

    pub(crate) fn vault(&self) -> &Arc<Vault> {
        self.vault.as_ref().unwrap()
    }

    pub(crate) fn repository(&self, owner: &Owner) -> Arc<Repository> {
        self.vault().repository(&owner.repository).unwrap()
    }

    /// As the agent sends it; the manifest last.
    pub(crate) fn publish(&self, owner: &Owner, agent: &Agent, snapshot: &Snapshot) {
        self.send(owner, agent, snapshot);
        self.commit(owner, agent, snapshot).unwrap();
    }

    /// A roster as a certified agent brings it.
    pub(crate) fn found(&self, owner: &Owner, roster: &[u8]) {
        let id = object_id(roster);
        self.vault().put_roster(&owner.repository, &id, roster, Founder::Entitled).unwrap();
    }

    pub(crate) fn send(&self, owner: &Owner, agent: &Agent, snapshot: &Snapshot) {
        owner.rosters.iter().for_each(|roster| self.found(owner, roster));
        for (kind, id, bytes) in snapshot.objects() {
            self.put(owner, agent, kind, id, &bytes);
        }
    }

    /// One object as the agent sends it.
    pub(crate) fn put(&self, owner: &Owner, agent: &Agent, kind: Kind, id: [u8; 32], bytes: &[u8]) {
        let repository = self.repository(owner);
        let sender = Sender::Agent { agent: agent.id, key: agent.key.public() };
        if kind == Kind::Pack {
            let id = PackId::from_bytes(id);
            let mut intake = self.vault().receive_pack(&repository, id, sender).unwrap();
            intake.write(bytes).unwrap();
            intake.finish().unwrap();
        } else {
            self.vault().put_object(&repository, kind, &id, bytes, sender).unwrap();
        }
    }

    /// [`Bench::send`] of a snapshot of [`Snapshot::of_frames`], which holds only its own pack.
    pub(crate) fn send_without_old_packs(&self, owner: &Owner, agent: &Agent, snapshot: &Snapshot) {
        assert_eq!(snapshot.packs.len(), 1);
        self.send(owner, agent, snapshot);
    }

    /// Which of these frames the vault says are not here.
    pub(crate) fn have(&self, owner: &Owner, packs: &[PackUse]) -> Vec<PackUse> {
        self.vault().missing(&self.repository(owner), None, packs.to_vec()).unwrap()
    }

    /// An object, past the vault.
    pub(crate) fn lying(&self, owner: &Owner, kind: Kind, id: &[u8; 32]) -> Lying {
        lying(self.dir.path(), owner, kind, id)
    }

    /// These frames of a pack read as its table says.
    pub(crate) fn is_whole_in(&self, owner: &Owner, pack: &TestPack, frames: &[u32]) -> bool {
        let repository = self.repository(owner);
        let Ok(file) = repository.store().open_pack(&pack.id) else { return false };
        frames.iter().all(|frame| file.read_frame(&pack.table, *frame as usize).is_ok())
    }

    pub(crate) fn commit(
        &self,
        owner: &Owner,
        agent: &Agent,
        snapshot: &Snapshot,
    ) -> Result<lumbung_vault::Committed, VaultError> {
        let sender = Sender::Agent { agent: agent.id, key: agent.key.public() };
        let repository = self.repository(owner);
        self.vault().commit(&repository, &snapshot.id, &snapshot.bytes, sender)
    }

    pub(crate) fn retain(&self, owner: &Owner) -> Vec<ManifestId> {
        self.vault().retain(&self.repository(owner), false).unwrap().expired
    }

    pub(crate) fn sweep(&self, owner: &Owner) -> Swept {
        self.vault().sweep(&self.repository(owner), false, &|| true).unwrap()
    }

    /// Snapshots here, by the signed inventory.
    pub(crate) fn listed(&self, owner: &Owner) -> Vec<ManifestId> {
        let repository = self.repository(owner);
        let id = self.vault().make_inventory(&repository, Occasion::Demand).unwrap().unwrap();
        let bytes = repository.store().get(Kind::Inventory, id.as_bytes()).unwrap();
        let inventory = lumbung_pack::open_signed::<lumbung_pack::Inventory>(&bytes).unwrap().body;
        inventory.entries.iter().map(|entry| entry.manifest).collect()
    }

    /// Every frame that a snapshot uses reads as its table says.
    pub(crate) fn is_whole(&self, owner: &Owner, snapshot: &Snapshot) -> bool {
        let repository = self.repository(owner);
        let store = repository.store();
        snapshot.packs.iter().all(|pack| {
            store.open_pack(&pack.id).is_ok_and(|file| {
                (0..pack.table.frames.len()).all(|i| file.read_frame(&pack.table, i).is_ok())
            })
        }) && store.contains(Kind::Manifest, snapshot.id.as_bytes()).unwrap()
    }
}

/// A vault on loopback, with its server running.
pub(crate) struct Site {
    pub(crate) dir: Option<tempfile::TempDir>,
    pub(crate) data: PathBuf,
    pub(crate) public: SitePublic,
    pub(crate) url: String,
    pub(crate) vault: Arc<Vault>,
    /// How long the machine has been running; the wall clock is the real one.
    pub(crate) time: Time,
    pub(crate) sources: Arc<Sources>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Background work stays out of the way: tests call it.
const QUIET: &str = "inventory_interval = \"24 h\"\ninventory_delay = \"24 h\"\nscrub_interval = \"90 d\"\n\
                     pull_interval = \"24 h\"\nretention_interval = \"24 h\"\ngc_interval = \"24 h\"\n";

impl Site {
    /// Serves its vault under its key once more, behind something in between; says where.
    pub(crate) async fn serve_behind(
        &self,
        between: impl FnOnce(axum::Router) -> axum::Router,
        stop: &CancellationToken,
    ) -> String {
        let router = between(vault_http::router(Arc::clone(&self.vault)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let tls = State::at(self.public.state.clone()).server_tls(clock()).unwrap();
        tokio::spawn(lumbung_wire::serve(listener, tls, router, stop.clone().cancelled_owned()));
        url
    }

    pub(crate) async fn start(city: &City, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        Self::launch(city, Some(dir), data, extra).await
    }

    /// As [`Site::start`], by another clock than the machine's.
    pub(crate) async fn start_at(city: &City, extra: &str, clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        Self::launch_as(city, Some(dir), data, &format!("reserve = \"0\"\n{extra}"), clock).await
    }

    pub(crate) async fn launch(
        city: &City,
        dir: Option<tempfile::TempDir>,
        data: PathBuf,
        extra: &str,
    ) -> Self {
        Self::launch_as(city, dir, data, &format!("reserve = \"0\"\n{extra}"), clock()).await
    }

    pub(crate) async fn launch_with_reserve(
        city: &City,
        dir: Option<tempfile::TempDir>,
        data: PathBuf,
        reserve: &str,
    ) -> Self {
        Self::launch_as(city, dir, data, &format!("reserve = \"{reserve}\"\n"), clock()).await
    }

    async fn launch_as(
        city: &City,
        dir: Option<tempfile::TempDir>,
        data: PathBuf,
        extra: &str,
        own_clock: Arc<dyn Clock>,
    ) -> Self {
        let file = data.join("vault.toml");
        let storage = backing::settings(&data);
        let text = format!("data = {data:?}\nlisten = \"127.0.0.1:0\"\n{QUIET}{extra}{storage}");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let state = State::at(config.state());
        let public = state.init().unwrap();
        city.enroll(&config.state(), &public);
        let listener = tokio::net::TcpListener::bind(config.listen).await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let sources =
            Arc::new(Sources::connect(&config, &state.tls_identity().unwrap(), &clock()).unwrap());
        let (identity, time) = (state.identity().unwrap(), Time::now());
        let uptime = Box::new(time.clone());
        let vault = Arc::new(Vault::open_with(config, identity, own_clock, uptime).unwrap());
        // What the daemon does in the background: here it is over before the test goes on.
        vault.reconcile().unwrap();
        let stop = CancellationToken::new();
        let tls = state.server_tls(clock()).unwrap();
        // The daemon's own pull would come between the test's steps: it has no sources.
        let none = Arc::new(
            Sources::connect(
                &Config::load(&bare(&data)).unwrap(),
                &state.tls_identity().unwrap(),
                &clock(),
            )
            .unwrap(),
        );
        let daemon = Daemon::new(Arc::clone(&vault), none, stop.clone());
        let task = tokio::spawn(daemon.run(listener, tls, state, clock()));
        Self { dir, data, public, url, vault, time, sources, stop, task }
    }

    /// Stops the vault and gives back where its data is.
    pub(crate) async fn stop(self) -> (Option<tempfile::TempDir>, PathBuf) {
        let Self { dir, data, vault, sources, stop, task, .. } = self;
        stop.cancel();
        task.await.unwrap();
        drop(sources);
        // A task that hyper spawned for a request is let go of a moment after its connection.
        let alone = async {
            while Arc::strong_count(&vault) > 1 {
                tokio::task::yield_now().await;
            }
        };
        let alone = tokio::time::timeout(std::time::Duration::from_secs(60), alone).await;
        assert!(alone.is_ok(), "nobody else holds the vault, so its lock is free");
        drop(vault);
        (dir, data)
    }

    pub(crate) async fn restart(self, city: &City, extra: &str) -> Self {
        let (dir, data) = self.stop().await;
        Self::launch(city, dir, data, extra).await
    }

    pub(crate) fn listed(&self) -> RosterSite {
        RosterSite {
            site: self.public.site,
            receipt_key: self.public.receipt_key,
            tls_pin: self.public.tls_pin,
            label: "site".into(),
        }
    }

    /// How another site names this one as its source.
    pub(crate) fn as_source(&self) -> String {
        self.as_source_at(&self.url)
    }

    pub(crate) fn as_source_at(&self, url: &str) -> String {
        format!(
            "[[source]]\nsite = \"{}\"\nurl = \"{url}\"\npin = \"{}\"\n",
            self.public.site, self.public.tls_pin
        )
    }

    pub(crate) fn client(&self, identity: Option<&TlsIdentity>) -> VaultClient {
        let trust = ServerTrust::Pins(vec![self.public.tls_pin]);
        VaultClient::new(&self.url, &client_config(identity, trust, clock()).unwrap()).unwrap()
    }

    pub(crate) fn root_client(&self, owner: &Owner) -> VaultClient {
        self.client(Some(&root_key_identity(&owner.root).unwrap()))
    }

    pub(crate) fn repository(&self, owner: &Owner) -> Arc<Repository> {
        self.vault.repository(&owner.repository).unwrap()
    }

    /// An object, past the vault.
    pub(crate) fn lying(&self, owner: &Owner, kind: Kind, id: &[u8; 32]) -> Lying {
        lying(&self.data, owner, kind, id)
    }

    /// Scrubs a repository, repairing from the sources.
    pub(crate) async fn scrub(&self, owner: &Owner) -> Scrubbed {
        let (vault, sources, repository) =
            (Arc::clone(&self.vault), Arc::clone(&self.sources), self.repository(owner));
        let scrub =
            tokio::task::spawn_blocking(move || vault.scrub(&repository, &*sources, &FullSpeed));
        scrub.await.unwrap().unwrap()
    }

    pub(crate) async fn pull(&self) -> Pulled {
        pull_all(&self.vault, &self.sources, &CancellationToken::new()).await
    }

    /// Sends a request past TLS, as this peer.
    pub(crate) async fn raw(
        &self,
        peer: Peer,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> (StatusCode, Bytes) {
        let mut request =
            Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        request.extensions_mut().insert(peer);
        let response = vault_http::router(Arc::clone(&self.vault)).oneshot(request).await.unwrap();
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap())
    }

    /// Sends a PUT past TLS and gives status and slug of the answer.
    pub(crate) async fn put_as(
        &self,
        peer: Peer,
        owner: &Owner,
        kind: Kind,
        id: &[u8; 32],
        body: Vec<u8>,
    ) -> (u16, String) {
        let path = format!(
            "/v1/repositories/{}/{}/{}",
            owner.repository,
            kind.folder(),
            PackId::from_bytes(*id)
        );
        let (status, body) = self.raw(peer, Method::PUT, &path, body).await;
        let slug = serde_json::from_slice::<Problem>(&body)
            .map_or_else(|_| String::new(), |p| p.slug().to_owned());
        (status.as_u16(), slug)
    }

    /// Path and hash of every file of every repository, and the rows of the index.
    pub(crate) fn fingerprint(&self) -> BTreeMap<String, String> {
        let hash = |name: String| {
            let bytes = backing::lying(&self.data, name.clone()).find()?;
            Some((name, PackId::from_bytes(object_id(&bytes)).to_string()))
        };
        let names = backing::names(&self.data, "repositories");
        let mut all: BTreeMap<String, String> = names.into_iter().filter_map(hash).collect();
        all.extend(dump(&self.data));
        all
    }
}

fn bare(data: &Path) -> PathBuf {
    let file = data.join("bare.toml");
    std::fs::write(&file, format!("data = {data:?}\nlisten = \"127.0.0.1:0\"\n")).unwrap();
    file
}

fn lying(data: &Path, owner: &Owner, kind: Kind, id: &[u8; 32]) -> Lying {
    let name = PackId::from_bytes(*id).to_string();
    let folder = folder(owner, kind);
    let name = match kind {
        Kind::Pack => format!("{folder}/{}/{name}", &name[..2]),
        _ => format!("{folder}/{name}"),
    };
    backing::lying(data, name)
}

/// Where the objects of a kind lie.
pub(crate) fn folder(owner: &Owner, kind: Kind) -> String {
    format!("repositories/{}/{}", owner.repository, kind.folder())
}

/// The rows of the index that say something of the files. (Which segments were verified is found out again,
/// cursors are about other sites.)
pub(crate) fn dump(data: &Path) -> BTreeMap<String, String> {
    let connection = rusqlite::Connection::open(data.join("index.sqlite")).unwrap();
    let mut rows = BTreeMap::new();
    for table in [
        "repositories",
        "packs",
        "bad_frames",
        "objects",
        "sessions",
        "manifests",
        "orphan_receipts",
        "foreign_receipts",
        "tombstones",
        "destroyed",
        "grants",
        "revoked",
        "statements",
        "alarms",
        "kept",
    ] {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let found = statement
            .query_map([], |row| {
                let values: Vec<String> =
                    (0..columns).map(|i| format!("{:?}", row.get_ref(i).unwrap())).collect();
                Ok(values)
            })
            .unwrap();
        for mut row in found.map(Result::unwrap) {
            if table == "manifests" || table == "grants" {
                // When it came, on the retention clock too: what a rebuild does not know again.
                row.truncate(row.len() - 2);
            }
            if table == "alarms" {
                // Its number and the time at which it was seen.
                row.drain(..2);
            }
            rows.insert(format!("{table}: {row:?}"), String::new());
        }
    }
    rows
}

pub(crate) fn agent_peer(owner: &Owner, agent: &Agent) -> Peer {
    Peer::Certified(PeerIdentity {
        role: Role::Agent,
        repository: Some(owner.repository),
        agent: Some(agent.id),
        agent_key: Some(agent.key.public()),
        server: None,
        site: None,
        name: String::new(),
        serial: "01".into(),
        pin: lumbung_model::TlsPin::ZERO,
        not_after: SystemClock.now().plus_seconds(1000),
    })
}

pub(crate) fn peer_of(role: Role) -> Peer {
    Peer::Certified(PeerIdentity {
        role,
        repository: None,
        agent: None,
        agent_key: None,
        server: None,
        site: (role == Role::Site).then(lumbung_model::SiteId::random),
        name: String::new(),
        serial: "02".into(),
        pin: lumbung_model::TlsPin::ZERO,
        not_after: SystemClock.now().plus_seconds(1000),
    })
}

/// Puts the owner's rosters and a snapshot's objects in a vault, as the agent.
pub(crate) async fn send(client: &VaultClient, owner: &Owner, snapshot: &Snapshot) {
    for roster in &owner.rosters {
        client
            .put(&owner.repository, Kind::Roster, &object_id(roster), Bytes::from(roster.clone()))
            .await
            .unwrap();
    }
    for (kind, id, bytes) in snapshot.objects() {
        let bytes = Bytes::from(bytes);
        match kind {
            Kind::Pack => client
                .put_pack(&owner.repository, &PackId::from_bytes(id), vec![bytes])
                .await
                .unwrap(),
            _ => client.put(&owner.repository, kind, &id, bytes).await.unwrap(),
        };
    }
}

/// [`send`], then the manifest.
pub(crate) async fn publish(
    client: &VaultClient,
    owner: &Owner,
    snapshot: &Snapshot,
) -> lumbung_wire::client::CommitAnswer {
    send(client, owner, snapshot).await;
    client
        .commit(&owner.repository, &snapshot.id, Bytes::from(snapshot.bytes.clone()))
        .await
        .unwrap()
}
