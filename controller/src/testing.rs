//! A city for tests: one PD with a server and a dataset, two sites, a repository, and vaults that answer
//! whatever they are told to. And dice, for what has to hold after any changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use lumbung_model::{
    AgentId, DatasetId, DomainId, FixedClock, InventoryId, ManifestId, PdId, PublicKey, ReceiptId,
    RepositoryId, RosterId, ServerId, SessionId, SiteId, Timestamp, TlsPin, UsageId,
};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Inventory, InventoryEntry, Kind, Manifest, Object, Proof, Receipt,
    Recipient, RootKey, RootRole, Roster, RosterAgent, RosterSite, ScrubReport, SigningKey,
    Statistics, object_id, sign,
};
use lumbung_wire::messages::register::{
    Classification, ComplianceRow, Dataset, DatasetKind, HeartbeatState, Pd, PdKind, Server,
    ServerKind, Site, SiteKind, Urgency,
};
use lumbung_wire::messages::{ManifestSummary, SiteInfo, VaultAlarm, VaultCapacity};

use crate::act::Act;
use crate::config::Config;
use crate::db::agents::AgentRow;
use crate::db::{Db, DbError, agents, register};
use crate::poller::site::{Enrolled, SitePoll};
use crate::poller::source::{Source, SourceError};
use crate::profile::Profile;
use crate::report::{self, Language, Terms};

/// When tests begin.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000);

/// The profile of tests.
pub(crate) fn profile() -> Profile {
    Profile::load("kota").unwrap()
}

/// Numbers that look random and are the same each time (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let end = u64::try_from(end).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % end).unwrap()
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// A site with its key and its vault.
pub(crate) struct TestSite {
    pub(crate) id: SiteId,
    pub(crate) key: SigningKey,
    pub(crate) vault: FakeVault,
    inventories: Mutex<(u64, InventoryId)>,
    receipts: Mutex<u64>,
}

/// The city.
pub(crate) struct City {
    _dir: tempfile::TempDir,
    pub(crate) db: Db,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) pd: PdId,
    pub(crate) server: ServerId,
    pub(crate) dataset: DatasetId,
    pub(crate) agent: AgentId,
    pub(crate) agent_key: SigningKey,
    pub(crate) domain: DomainId,
    pub(crate) root: SigningKey,
    pub(crate) repository: RepositoryId,
    pub(crate) first_roster: Vec<u8>,
    pub(crate) roster: Vec<u8>,
    pub(crate) pusat: TestSite,
    pub(crate) drc: TestSite,
}

fn id_of(object: &[u8]) -> [u8; 32] {
    object_id(object)
}

fn first_roster(root: &SigningKey, agents: Vec<RosterAgent>, sites: Vec<RosterSite>) -> Roster {
    Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: START,
        chunker: ChunkerParams::default(),
        root_keys: vec![RootKey {
            key: root.public(),
            role: RootRole::Working,
            label: "root".into(),
        }],
        registrar: None,
        recipients: vec![Recipient { key: PublicKey::from_bytes([7; 32]), label: "PD".into() }],
        agents,
        sites,
    }
}

impl TestSite {
    fn new() -> Self {
        let id = SiteId::random();
        let key = SigningKey::generate();
        let vault = FakeVault::new(id, key.public());
        Self {
            id,
            key,
            vault,
            inventories: Mutex::new((0, InventoryId::ZERO)),
            receipts: Mutex::new(0),
        }
    }

    pub(crate) fn enrolled(&self) -> Enrolled {
        let site = self.row("x", SiteKind::PusatData);
        Enrolled::of(&site).unwrap()
    }

    fn row(&self, name: &str, kind: SiteKind) -> Site {
        Site {
            id: self.id,
            name: name.to_owned(),
            kind,
            latitude: None,
            longitude: None,
            address: String::new(),
            url: Some("https://vault.test:7443".to_owned()),
            receipt_key: Some(self.key.public()),
            tls_pin: Some(TlsPin::from_bytes([1; 32])),
            link: String::new(),
            rate: String::new(),
            windows: Vec::new(),
        }
    }

    fn roster_entry(&self) -> RosterSite {
        RosterSite {
            site: self.id,
            receipt_key: self.key.public(),
            tls_pin: TlsPin::from_bytes([1; 32]),
            label: "site".into(),
        }
    }

    /// A receipt of this site, not yet shown.
    pub(crate) fn receipt(
        &self,
        city: &City,
        manifest: ManifestId,
        received: Timestamp,
    ) -> Receipt {
        let mut number = self.receipts.lock().unwrap();
        *number += 1;
        Receipt {
            repository: city.repository,
            site: self.id,
            manifest,
            number: *number,
            received,
            locked_until: received.plus_seconds(86_400),
            pulled_from: None,
        }
    }

    /// Takes a snapshot in: manifest and receipt are shown.
    pub(crate) fn take(&self, city: &City, manifest: &[u8], received: Timestamp) -> ReceiptId {
        let id = ManifestId::from_bytes(id_of(manifest));
        let receipt = sign(&self.receipt(city, id, received), &self.key);
        self.vault.show_snapshot(city, manifest, &receipt);
        ReceiptId::from_bytes(id_of(&receipt))
    }

    /// The next inventory of this site, not yet shown.
    pub(crate) fn next_inventory(
        &self,
        city: &City,
        made: Timestamp,
        listed: &[(ManifestId, ReceiptId)],
    ) -> Inventory {
        let (number, previous) = *self.inventories.lock().unwrap();
        let sorted: BTreeMap<_, _> = listed.iter().copied().collect();
        Inventory {
            repository: city.repository,
            site: self.id,
            number: number + 1,
            previous,
            made,
            roster_number: 1,
            packs: 1,
            bytes: 1,
            entries: sorted
                .into_iter()
                .map(|(manifest, receipt)| InventoryEntry { manifest, receipt })
                .collect(),
        }
    }

    /// Publishes the next inventory.
    pub(crate) fn inventory(
        &self,
        city: &City,
        made: Timestamp,
        listed: &[(ManifestId, ReceiptId)],
    ) {
        let inventory = self.next_inventory(city, made, listed);
        let object = sign(&inventory, &self.key);
        *self.inventories.lock().unwrap() =
            (inventory.number, InventoryId::from_bytes(id_of(&object)));
        self.vault.show(Kind::Inventory, object);
    }

    /// Publishes a scrub report.
    pub(crate) fn scrub(
        &self,
        city: &City,
        finished: Timestamp,
        verified: &[ManifestId],
        damaged: &[ManifestId],
    ) {
        let sorted = |ids: &[ManifestId]| {
            let mut ids = ids.to_vec();
            ids.sort();
            ids
        };
        let report = ScrubReport {
            repository: city.repository,
            site: self.id,
            number: 1,
            started: finished,
            finished,
            frames: 1,
            bytes: 1,
            repaired: 0,
            bad: u32::from(!damaged.is_empty()),
            verified: sorted(verified),
            damaged: sorted(damaged),
        };
        self.vault.show(Kind::Scrub, sign(&report, &self.key));
    }
}

impl City {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::create(&dir.path().join("c.db")).unwrap();
        let (root, agent_key) = (SigningKey::generate(), SigningKey::generate());
        let (agent, domain) = (AgentId::random(), DomainId::random());
        let (pusat, drc) = (TestSite::new(), TestSite::new());
        let listed = RosterAgent {
            agent,
            key: agent_key.public(),
            domain,
            status: AgentStatus::Active,
            label: "a".into(),
        };
        let roster =
            first_roster(&root, vec![listed], vec![pusat.roster_entry(), drc.roster_entry()]);
        let object = sign(&roster, &root);
        let city = Self {
            _dir: dir,
            db,
            clock: Arc::new(FixedClock::new(START)),
            pd: PdId::random(),
            server: ServerId::random(),
            dataset: DatasetId::random(),
            agent,
            agent_key,
            domain,
            root,
            repository: RepositoryId::from_bytes(id_of(&object)),
            first_roster: object.clone(),
            roster: object.clone(),
            pusat,
            drc,
        };
        city.enter();
        for site in [&city.pusat, &city.drc] {
            site.vault.inner().repositories.push(city.repository);
            site.vault.show(Kind::Roster, object.clone());
        }
        city
    }

    fn enter(&self) {
        let (now, act) = (START, Act::controller(START));
        let write = |tx: &rusqlite::Transaction<'_>| {
            register::put_site(tx, &act, &self.pusat.row("Pusat Data", SiteKind::PusatData))?;
            register::put_site(tx, &act, &self.drc.row("DRC", SiteKind::Drc))?;
            let pd = Pd {
                id: self.pd,
                code: "DINKES".into(),
                name: "Dinas Kesehatan".into(),
                contact: String::new(),
                kind: PdKind::Dinas,
                mandiri_tik: false,
                runs_pusat_data: false,
                link: String::new(),
                rate: String::new(),
                windows: Vec::new(),
            };
            register::put_pd(tx, &act, &pd)?;
            register::bind_repository(tx, &act, &self.repository, &self.pd)?;
            let server = Server {
                id: self.server,
                pd: self.pd,
                name: "simrs-1".into(),
                kind: ServerKind::Physical,
                site: None,
                room: None,
                pool: None,
                vcpus: None,
                memory_bytes: None,
                disk_bytes: None,
                agent: None,
                heartbeat: HeartbeatState::Never,
                last_seen: None,
            };
            register::put_server(tx, &act, &server)?;
            register::put_dataset(tx, &act, &self.dataset_row())?;
            agents::put_agent(tx, now, &self.agent_row())
        };
        self.db.write::<_, DbError>(write).unwrap();
    }

    /// The database opened once more, as a program that starts opens it.
    pub(crate) fn reopened(&self) -> Db {
        Db::open(&self._dir.path().join("c.db")).unwrap()
    }

    pub(crate) fn agent_row(&self) -> AgentRow {
        AgentRow {
            agent: self.agent,
            server: self.server,
            repository: self.repository,
            key: self.agent_key.public(),
            domain: self.domain,
        }
    }

    pub(crate) fn dataset_row(&self) -> Dataset {
        Dataset {
            id: self.dataset,
            pd: self.pd,
            server: Some(self.server),
            name: "SIMRS".into(),
            kind: DatasetKind::Files,
            application: None,
            owner: String::new(),
            classification: Classification::NonPublic,
            distribution: String::new(),
            location: String::new(),
            urgency: Urgency::High,
            rpo_s: 86_400,
            own_rpo: true,
            schedule: None,
            retention: String::new(),
            period: String::new(),
            media: String::new(),
            repository: None,
            paths: Vec::new(),
            exclude: Vec::new(),
        }
    }

    /// A manifest of the city's agent, to be changed before it is signed.
    pub(crate) fn manifest(
        &self,
        sequence: u64,
        previous: ManifestId,
        started: Timestamp,
    ) -> Manifest {
        Manifest {
            repository: self.repository,
            agent: self.agent,
            dataset: self.dataset,
            domain: self.domain,
            partial: false,
            epoch: 1,
            sequence,
            previous,
            started,
            finished: started.plus_seconds(60),
            roster_number: 1,
            statistics: Statistics::default(),
            usage: UsageId::from_bytes([9; 32]),
            sessions: vec![SessionId::from_bytes([1; 32])],
            root_salt: [0; 32],
            sealed_root: vec![1, 2, 3],
        }
    }

    pub(crate) fn signed_manifest(
        &self,
        sequence: u64,
        previous: ManifestId,
        started: Timestamp,
    ) -> (ManifestId, Vec<u8>) {
        let object = sign(&self.manifest(sequence, previous, started), &self.agent_key);
        (ManifestId::from_bytes(id_of(&object)), object)
    }

    pub(crate) fn proof(&self, manifest: ManifestId, finished: Timestamp) -> Proof {
        Proof {
            repository: self.repository,
            manifest,
            site: self.drc.id,
            started: finished.plus_seconds(-60),
            finished,
            entries: 10,
            bytes: 1000,
            failed: 0,
        }
    }

    /// The next roster: the newest one with changes, signed by `signer`.
    pub(crate) fn next_roster(
        &self,
        signer: &SigningKey,
        change: impl FnOnce(&mut Roster),
    ) -> Vec<u8> {
        let newest = lumbung_pack::open_signed::<Roster>(&self.roster).unwrap();
        let mut next = newest.body;
        next.repository = self.repository;
        next.number += 1;
        next.previous = newest.id;
        change(&mut next);
        sign(&next, signer)
    }

    pub(crate) async fn poll(&self, site: &TestSite) {
        self.poll_as(site, &site.vault).await;
    }

    pub(crate) async fn poll_as(&self, site: &TestSite, vault: &FakeVault) {
        let enrolled = site.enrolled();
        let poll = SitePoll {
            db: &self.db,
            clock: &*self.clock,
            site: &enrolled,
            source: vault,
            zone: profile().zone(),
        };
        poll.run().await.unwrap();
    }

    pub(crate) async fn poll_both(&self) {
        self.poll(&self.pusat).await;
        self.poll(&self.drc).await;
    }

    pub(crate) fn row(&self) -> ComplianceRow {
        let config = Config::default();
        let terms = Terms {
            profile: Arc::new(profile()),
            patience: config.heartbeat.patience(),
            now: lumbung_model::Clock::now(&*self.clock),
            language: Language::English,
        };
        let table = self.db.read(|tx| report::table(tx, &terms, None)).unwrap();
        table.rows.into_iter().find(|row| row.dataset == Some(self.dataset)).unwrap()
    }

    /// Kinds of the alarms that last, sorted.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let rows =
            self.db.read(|tx| crate::db::alarms::list(tx, None, &Default::default(), 100)).unwrap();
        let mut kinds: Vec<_> = rows.into_iter().map(|row| row.kind).collect();
        kinds.sort();
        kinds
    }

    pub(crate) fn poll_error(&self, site: &TestSite) -> Option<String> {
        self.db.read(|tx| crate::db::polls::poll(tx, &site.id)).unwrap().unwrap().error
    }
}

/// What a vault answers.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) info: Option<SiteInfo>,
    pub(crate) repositories: Vec<RepositoryId>,
    pub(crate) objects: HashMap<(u8, [u8; 32]), Vec<u8>>,
    pub(crate) manifests: Vec<ManifestSummary>,
    pub(crate) alarms: Vec<VaultAlarm>,
    pub(crate) capacity: Option<VaultCapacity>,
    pub(crate) down: bool,
}

/// A vault that answers what it was told to.
#[derive(Default)]
pub(crate) struct FakeVault(Mutex<Answers>);

impl FakeVault {
    fn new(site: SiteId, receipt_key: PublicKey) -> Self {
        let info = SiteInfo {
            site,
            receipt_key,
            version: "0.1.0".into(),
            now: START,
            role_seen: "controller".into(),
        };
        Self(Mutex::new(Answers { info: Some(info), ..Answers::default() }))
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap()
    }

    pub(crate) fn show(&self, kind: Kind, object: Vec<u8>) {
        self.inner().objects.insert((kind.code(), id_of(&object)), object);
    }

    /// Shows `object` under an id that is not its own.
    pub(crate) fn show_as(&self, kind: Kind, id: [u8; 32], object: Vec<u8>) {
        self.inner().objects.insert((kind.code(), id), object);
    }

    pub(crate) fn hide(&self, kind: Kind) {
        self.inner().objects.retain(|(code, _), _| *code != kind.code());
    }

    /// Shows a manifest and a receipt, whatever they are.
    pub(crate) fn show_snapshot(&self, city: &City, manifest: &[u8], receipt: &[u8]) {
        let summary = ManifestSummary {
            manifest: ManifestId::from_bytes(id_of(manifest)),
            agent: city.agent,
            dataset: city.dataset,
            domain: city.domain,
            epoch: 1,
            sequence: 1,
            previous: ManifestId::ZERO,
            partial: false,
            started: START,
            finished: START,
            statistics: Statistics::default(),
            roster_number: 1,
            authorized: true,
            arrival: self.inner().manifests.last().map_or(1, |last| last.arrival + 1),
            receipt: ReceiptId::from_bytes(id_of(receipt)),
        };
        self.show(Manifest::KIND, manifest.to_vec());
        self.show(Receipt::KIND, receipt.to_vec());
        self.inner().manifests.push(summary);
    }

    fn answer<T>(&self, read: impl FnOnce(&Answers) -> Option<T>) -> Result<T, SourceError> {
        let answers = self.inner();
        if answers.down {
            return Err(SourceError { message: "connection refused".into(), not_found: false });
        }
        read(&answers).ok_or(SourceError { message: "not found".into(), not_found: true })
    }
}

impl Source for FakeVault {
    async fn site_info(&self) -> Result<SiteInfo, SourceError> {
        self.answer(|answers| answers.info.clone())
    }

    async fn repositories(&self) -> Result<Vec<RepositoryId>, SourceError> {
        self.answer(|answers| Some(answers.repositories.clone()))
    }

    async fn alarms(&self) -> Result<Vec<VaultAlarm>, SourceError> {
        self.answer(|answers| Some(answers.alarms.clone()))
    }

    async fn capacity(&self) -> Result<VaultCapacity, SourceError> {
        self.answer(|answers| answers.capacity)
    }

    async fn list(
        &self,
        _repository: &RepositoryId,
        kind: Kind,
    ) -> Result<Vec<[u8; 32]>, SourceError> {
        self.answer(|answers| {
            let of_kind = answers.objects.keys().filter(|(code, _)| *code == kind.code());
            Some(of_kind.map(|(_, id)| *id).collect())
        })
    }

    async fn get(
        &self,
        _repository: &RepositoryId,
        kind: Kind,
        id: &[u8; 32],
    ) -> Result<Vec<u8>, SourceError> {
        self.answer(|answers| answers.objects.get(&(kind.code(), *id)).cloned())
    }

    async fn manifests(
        &self,
        _repository: &RepositoryId,
        after: u64,
    ) -> Result<Vec<ManifestSummary>, SourceError> {
        self.answer(|answers| {
            Some(answers.manifests.iter().filter(|one| one.arrival > after).cloned().collect())
        })
    }
}
