//! A repository with one agent, its state, a source tree and a place to restore to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_engine::{
    BackupError, BackupOptions, BackupOutcome, BackupRequest, Cancel, CompareReport, Depot, Include, MemoryDepot,
    NoProgress, NoThrottle, RestoreOptions, RestoreOutcome, RestoreRequest, SnapshotReader, backup, compare, restore,
};
use lumbung_model::{DatasetId, ManifestId, RepositoryId, RosterId, SystemClock, Timestamp};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Kind, Recipient, RootKey, RootRole, Roster, RosterAgent, SigningKey, object_id, sign,
};
use lumbung_seal::{AgentIdentity, RecoveryKey};
use tempfile::TempDir;

pub struct World {
    pub root: SigningKey,
    pub recovery: RecoveryKey,
    pub identity: AgentIdentity,
    pub repository: RepositoryId,
    pub roster: Vec<u8>,
    pub dataset: DatasetId,
    pub folder: TempDir,
    pub depot: Arc<MemoryDepot>,
    pub options: BackupOptions,
}

pub fn put_roster(depot: &dyn Depot, object: &[u8]) {
    depot.put(Kind::Roster, &object_id(object), object).unwrap();
}

impl World {
    pub fn new() -> Self {
        // Small chunks, so that small trees have many.
        Self::with_chunker(ChunkerParams { min: 1 << 10, avg: 4 << 10, max: 16 << 10 })
    }

    pub fn with_chunker(chunker: ChunkerParams) -> Self {
        let root = SigningKey::generate();
        let recovery = RecoveryKey::generate();
        let mut identity = AgentIdentity::generate(RepositoryId::ZERO);
        let body = Roster {
            repository: RepositoryId::ZERO,
            number: 1,
            previous: RosterId::ZERO,
            created: Timestamp(0),
            chunker,
            root_keys: vec![RootKey { key: root.public(), role: RootRole::Working, label: "test".into() }],
            registrar: None,
            recipients: vec![Recipient { key: recovery.public(), label: "test".into() }],
            agents: vec![RosterAgent {
                agent: identity.agent,
                key: identity.key.public(),
                domain: identity.domain,
                status: AgentStatus::Active,
                label: "server".into(),
            }],
            sites: Vec::new(),
        };
        let roster = sign(&body, &root);
        let repository = RepositoryId::from_bytes(object_id(&roster));
        identity.repository = repository;
        let depot = Arc::new(MemoryDepot::new("one"));
        put_roster(depot.as_ref(), &roster);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("source")).unwrap();
        let options = BackupOptions { pack_target: 64 << 10, pause_ms: 1, ..BackupOptions::default() };
        Self { root, recovery, identity, repository, roster, dataset: DatasetId::random(), folder, depot, options }
    }

    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.source().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn backup_to(&self, depots: &[Arc<dyn Depot>]) -> Result<BackupOutcome, BackupError> {
        self.backup_sources(depots, &[self.source()], &Cancel::default())
    }

    pub fn backup_sources(
        &self,
        depots: &[Arc<dyn Depot>],
        sources: &[PathBuf],
        cancel: &Cancel,
    ) -> Result<BackupOutcome, BackupError> {
        backup(&BackupRequest {
            depots,
            identity: &self.identity,
            state_dir: &self.state(),
            dataset: self.dataset,
            label: "data",
            host: "server",
            sources,
            options: self.options.clone(),
            progress: &NoProgress,
            throttle: &NoThrottle,
            cancel,
            clock: &SystemClock,
        })
    }

    pub fn backup(&self) -> BackupOutcome {
        self.backup_to(&[self.depot.clone()]).unwrap()
    }

    pub fn open(&self, snapshot: &ManifestId) -> SnapshotReader {
        SnapshotReader::open(self.depot.clone(), Some(self.repository), snapshot, &self.recovery).unwrap()
    }

    pub fn restore_with(&self, snapshot: &SnapshotReader, target: &Path, options: RestoreOptions) -> RestoreOutcome {
        let request = RestoreRequest {
            snapshot,
            fallback: None,
            target,
            include: Include::all(),
            options,
            progress: &NoProgress,
            cancel: &Cancel::default(),
        };
        restore(&request).unwrap()
    }

    /// Restores into a new directory and compares; where it is.
    pub fn restore_and_compare(&self, snapshot: &ManifestId) -> TempDir {
        let reader = self.open(snapshot);
        let target = tempfile::tempdir().unwrap();
        let outcome = self.restore_with(&reader, target.path(), RestoreOptions::default());
        assert_eq!(outcome.failures, []);
        let report = self.compare(&reader, target.path());
        assert_eq!(report.differences, []);
        target
    }

    pub fn compare(&self, reader: &SnapshotReader, root: &Path) -> CompareReport {
        compare(reader, root, &Include::all(), &NoProgress, &Cancel::default()).unwrap()
    }

    /// Where the source is beneath a restore's target.
    pub fn restored(&self, target: &Path) -> PathBuf {
        target.join(self.source().strip_prefix("/").unwrap())
    }
}

/// Bytes that do not compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Makes times old enough to be trusted by the cache: the tests do not wait.
pub fn age(path: &Path) {
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            age(&path);
        }
    }
}
