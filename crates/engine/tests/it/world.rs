//! A repository with one agent, its state, a source tree and a place to restore to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_engine::{
    BackupError, BackupOptions, BackupOutcome, BackupRequest, Cancel, CompareReport, Depot,
    Include, MemoryDepot, NoProgress, NoThrottle, RestoreOptions, RestoreOutcome, RestoreRequest,
    SnapshotReader, Source, backup, compare, restore,
};
use lumbung_model::{DatasetId, ManifestId, RepositoryId, RosterId, SystemClock, Timestamp};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Kind, Recipient, RootKey, RootRole, Roster, RosterAgent,
    RosterSite, SigningKey, object_id, sign,
};
use lumbung_seal::{AgentIdentity, RecoveryKey};
use tempfile::TempDir;

/// Small chunks, so that small trees have many.
pub(crate) const SMALL: ChunkerParams = ChunkerParams { min: 1 << 10, avg: 4 << 10, max: 16 << 10 };

pub(crate) struct World {
    pub(crate) root: SigningKey,
    pub(crate) recovery: RecoveryKey,
    pub(crate) identity: AgentIdentity,
    pub(crate) repository: RepositoryId,
    pub(crate) roster: Vec<u8>,
    pub(crate) dataset: DatasetId,
    pub(crate) folder: TempDir,
    pub(crate) depot: Arc<MemoryDepot>,
    pub(crate) options: BackupOptions,
}

pub(crate) fn put_roster(depot: &dyn Depot, object: &[u8]) {
    depot.put(Kind::Roster, &object_id(object), object).unwrap();
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_chunker(SMALL)
    }

    pub(crate) fn with_chunker(chunker: ChunkerParams) -> Self {
        Self::kept_at(Vec::new(), chunker)
    }

    /// A world whose roster lists sites.
    pub(crate) fn kept_at(sites: Vec<RosterSite>, chunker: ChunkerParams) -> Self {
        let root = SigningKey::generate();
        let recovery = RecoveryKey::generate();
        let mut identity = AgentIdentity::generate(RepositoryId::ZERO);
        let body = Roster {
            repository: RepositoryId::ZERO,
            number: 1,
            previous: RosterId::ZERO,
            created: Timestamp(0),
            chunker,
            root_keys: vec![RootKey {
                key: root.public(),
                role: RootRole::Working,
                label: "test".into(),
            }],
            registrar: None,
            recipients: vec![Recipient { key: recovery.public(), label: "test".into() }],
            agents: vec![RosterAgent {
                agent: identity.agent,
                key: identity.key.public(),
                domain: identity.domain,
                status: AgentStatus::Active,
                label: "server".into(),
            }],
            sites,
        };
        let roster = sign(&body, &root);
        let repository = RepositoryId::from_bytes(object_id(&roster));
        identity.repository = repository;
        let depot = Arc::new(MemoryDepot::new("one"));
        put_roster(depot.as_ref(), &roster);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("source")).unwrap();
        let options =
            BackupOptions { pack_target: 64 << 10, pause_ms: 1, ..BackupOptions::default() };
        Self {
            root,
            recovery,
            identity,
            repository,
            roster,
            dataset: DatasetId::random(),
            folder,
            depot,
            options,
        }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.source().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn backup_to(
        &self,
        depots: &[Arc<dyn Depot>],
    ) -> Result<BackupOutcome, BackupError> {
        self.backup_sources(depots, &[self.source()], &Cancel::default())
    }

    pub(crate) fn backup_sources(
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
            source: Source::Paths(sources),
            options: self.options.clone(),
            progress: &NoProgress,
            throttle: &NoThrottle,
            cancel,
            clock: &SystemClock,
        })
    }

    /// Lets the cache trust files that were written just now, as if the last scan had been later.
    pub(crate) fn trust_cache(&self) {
        use std::os::unix::fs::FileExt as _;
        let folder = self.state().join(self.dataset.to_string());
        // A run that failed early left none.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let scan_start = match &name {
                name if name == "cache" || name.starts_with("progress.") => 8 + 32 + 16,
                name if name.starts_with("partial.") => 16,
                _ => continue,
            };
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.write_all_at(&(1_i64 << 40).to_le_bytes(), scan_start).unwrap();
        }
    }

    /// A depot like the first one, empty.
    pub(crate) fn another_depot(&self, name: &str) -> Arc<MemoryDepot> {
        let depot = Arc::new(MemoryDepot::new(name));
        put_roster(depot.as_ref(), &self.roster);
        depot
    }

    pub(crate) fn open_at(&self, depot: Arc<dyn Depot>, snapshot: &ManifestId) -> SnapshotReader {
        SnapshotReader::open(depot, Some(self.repository), snapshot, &self.recovery).unwrap()
    }

    /// Restores from a depot and compares.
    pub(crate) fn check_at(&self, depot: Arc<dyn Depot>, snapshot: &ManifestId) {
        let reader = self.open_at(depot, snapshot);
        let target = tempfile::tempdir().unwrap();
        assert_eq!(
            self.restore_with(&reader, target.path(), RestoreOptions::default()).failures,
            []
        );
        assert_eq!(self.compare(&reader, target.path()).differences, []);
        assert_eq!(self.compare(&reader, "/".as_ref()).differences, []);
    }

    pub(crate) fn backup(&self) -> BackupOutcome {
        self.backup_to(&[self.depot.clone()]).unwrap()
    }

    pub(crate) fn open(&self, snapshot: &ManifestId) -> SnapshotReader {
        SnapshotReader::open(self.depot.clone(), Some(self.repository), snapshot, &self.recovery)
            .unwrap()
    }

    pub(crate) fn restore_with(
        &self,
        snapshot: &SnapshotReader,
        target: &Path,
        options: RestoreOptions,
    ) -> RestoreOutcome {
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
    pub(crate) fn restore_and_compare(&self, snapshot: &ManifestId) -> TempDir {
        let reader = self.open(snapshot);
        let target = tempfile::tempdir().unwrap();
        let outcome = self.restore_with(&reader, target.path(), RestoreOptions::default());
        assert_eq!(outcome.failures, []);
        let report = self.compare(&reader, target.path());
        assert_eq!(report.differences, []);
        target
    }

    pub(crate) fn compare(&self, reader: &SnapshotReader, root: &Path) -> CompareReport {
        compare(reader, root, &Include::all(), &NoProgress, &Cancel::default()).unwrap()
    }

    /// Where the source is beneath a restore's target.
    pub(crate) fn restored(&self, target: &Path) -> PathBuf {
        target.join(self.source().strip_prefix("/").unwrap())
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
