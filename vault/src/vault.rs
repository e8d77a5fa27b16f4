//! The vault itself: its identity, its repositories, its index, and what wakes its background work.
//!
//! Invariants: one process has the data directory (an advisory lock says so); every repository that is
//! open has all of its files in the index, or had when the index was last filled; it is compared with them again
//! after it was opened, and before its next receipt, inventory or scrub report ([`Vault::reconcile`], ADR 8);
//! everything here blocks and is called from blocking threads.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use lumbung_model::{Clock, RepositoryId, SiteId, Timestamp};
use lumbung_pack::{Kind, RosterChain, SiteIdentity};
use lumbung_store::{StoreError, durable};
use tokio::sync::Notify;

use crate::bandwidth::Bandwidth;
use crate::index::{AlarmRow, Index, Kept, greatest_age};
use crate::metrics::Counts;
use crate::repository::Repository;
use crate::retention::{Age, SystemUptime, Uptime};
use crate::storage::{self, Place, Storage};
use crate::succession;
use crate::{Config, VaultError};

/// Name of the index's file.
pub(crate) const INDEX: &str = "index.sqlite";

/// A vault that is open.
pub struct Vault {
    pub(crate) config: Config,
    pub(crate) identity: SiteIdentity,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) index: Index,
    pub(crate) wake: Wake,
    pub(crate) age: Age,
    pub(crate) counts: Counts,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) succession: succession::Keeper,
    place: Box<dyn Place>,
    repositories: RwLock<BTreeMap<RepositoryId, Arc<Repository>>>,
    /// Repositories are made one after the other: reconciling one that somebody else already works with would
    /// give receipts beside its gate.
    founding: Mutex<()>,
    stopping: AtomicBool,
    _lock: File,
}

/// What wakes the background work before its interval is over.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    /// A repository changed: an inventory is due soon.
    pub(crate) inventory: Notify,
    /// Somebody asks for a pull now.
    pub(crate) pull: Notify,
}

impl Vault {
    /// Opens the vault: takes its lock, opens the index, reads the rosters. An index that is new is filled from
    /// the files first; one that is not is compared with them later, by [`Vault::reconcile`].
    ///
    /// # Errors
    /// If another vault runs on the same data, or the files cannot be read.
    pub fn open(
        config: Config,
        identity: SiteIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        Self::open_with(config, identity, clock, Box::new(SystemUptime))
    }

    /// As [`Vault::open`], with somebody else to say how long the machine has been running.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_with(
        config: Config,
        identity: SiteIdentity,
        clock: Arc<dyn Clock>,
        uptime: Box<dyn Uptime>,
    ) -> Result<Self, VaultError> {
        durable::make_directories(&config.data, 0o755)?;
        let lock = lock(&config.data)?;
        // The retention clock's, and the journals' of scrubs.
        for folder in [config.data.clone(), config.data.join("scrubs")] {
            if folder.is_dir() {
                durable::sweep_unfinished(&folder)?;
            }
        }
        let place = storage::open(&config, identity.site, Arc::clone(&clock))?;
        // First of all: what is read from here on may be relied on.
        place.settle()?;
        let index = Index::open(&config.data.join(INDEX))?;
        let known_s = index.read(greatest_age)?;
        let age = Age::open(&config.data, uptime, clock.now(), known_s)?;
        let counts = Counts::new(clock.now());
        let bandwidth = Bandwidth::open(&config.data, identity.site, Arc::clone(&clock));
        let succession = succession::Keeper::open(&config.state());
        let vault = Self {
            config,
            identity,
            clock,
            index,
            wake: Wake::default(),
            age,
            counts,
            bandwidth,
            succession,
            place,
            repositories: RwLock::default(),
            founding: Mutex::default(),
            stopping: AtomicBool::new(false),
            _lock: lock,
        };
        for id in vault.place.repositories()? {
            vault.open_repository(&id)?;
        }
        Ok(vault)
    }

    fn open_repository(&self, id: &RepositoryId) -> Result<(), VaultError> {
        let store = match self.place.open(id) {
            Ok(store) => store,
            Err(StoreError::NotARepository { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some(chain) = self.read_chain(id, &*store)? else {
            // Its making broke off, which leaves something behind too.
            store.sweep_unfinished()?;
            return Ok(());
        };
        let (row, filled) = self.index.repository(id)?;
        let repository = Arc::new(Repository::new(row, store, chain));
        if !filled {
            // Agents would be told that nothing is here, and send it all again.
            tracing::info!(repository = %id, "the index knows nothing of this repository and is filled from its files");
            self.reconcile_repository(&repository)?;
        }
        // Before frames can be sent again that the index has given up already.
        self.finish_drops(&repository)?;
        self.insert(repository);
        Ok(())
    }

    /// Compares every repository with its files, if that was not done since the vault was opened; says how many rows
    /// changed. The daemon does it in the background; a commit, an inventory or a report that comes first
    /// does it for its own repository.
    ///
    /// # Errors
    /// If the files cannot be read, or the vault stops.
    pub fn reconcile(&self) -> Result<usize, VaultError> {
        let mut changed = 0;
        for repository in self.repositories() {
            changed += self.reconcile_repository(&repository)?;
        }
        Ok(changed)
    }

    pub(crate) fn reconcile_repository(
        &self,
        repository: &Repository,
    ) -> Result<usize, VaultError> {
        repository.gate().catch_up(self, repository)
    }

    /// From now on, long work gives up with [`VaultError::Stopping`].
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn check_stopping(&self) -> Result<(), VaultError> {
        if self.stopping.load(Ordering::SeqCst) { Err(VaultError::Stopping) } else { Ok(()) }
    }

    /// The rosters that are here; none where only the repository's place was made before a crash. A damaged roster is
    /// left out if the others still are a chain without it.
    fn read_chain(
        &self,
        id: &RepositoryId,
        store: &dyn Storage,
    ) -> Result<Option<RosterChain>, VaultError> {
        let mut objects = Vec::new();
        for roster in store.list(Kind::Roster)? {
            match store.get(Kind::Roster, &roster) {
                Ok(bytes) => objects.push(bytes),
                Err(error) if error.is_of_the_object() => {
                    self.alarm(
                        Some(id),
                        "damaged",
                        format!("roster {} is damaged", RepositoryId::from_bytes(roster)),
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
        if objects.is_empty() {
            return Ok(None);
        }
        match RosterChain::from_objects(*id, objects) {
            Ok(chain) => Ok(Some(chain)),
            Err(error) => {
                self.alarm(Some(id), "rosters", format!("the rosters are no chain: {error}"));
                Ok(None)
            }
        }
    }

    /// This site.
    #[must_use]
    pub const fn site(&self) -> SiteId {
        self.identity.site
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The repositories here, ascending by id.
    #[must_use]
    pub fn repositories(&self) -> Vec<Arc<Repository>> {
        self.repositories.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A repository.
    ///
    /// # Errors
    /// [`VaultError::NoRepository`].
    pub fn repository(&self, id: &RepositoryId) -> Result<Arc<Repository>, VaultError> {
        let open = self.repositories.read().unwrap_or_else(PoisonError::into_inner);
        open.get(id).cloned().ok_or(VaultError::NoRepository(*id))
    }

    fn insert(&self, repository: Arc<Repository>) -> Arc<Repository> {
        let mut open = self.repositories.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(open.entry(repository.id).or_insert(repository))
    }

    /// Makes a repository of its first roster, which the caller has found entitled.
    pub(crate) fn create_repository(
        &self,
        chain: RosterChain,
    ) -> Result<Arc<Repository>, VaultError> {
        let id = chain.repository();
        let _founding = self.founding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(made) = self.repository(&id) {
            return Ok(made);
        }
        let store = self.place.create(&id)?;
        store.put(Kind::Roster, id.as_bytes(), &chain.objects()[0])?;
        let (row, _) = self.index.repository(&id)?;
        let repository = Repository::new(row, store, chain);
        // There may be more than the roster: its rosters were damaged, or a crash came before.
        self.reconcile_repository(&repository)?;
        tracing::info!(repository = %id, "new repository");
        let repository = self.insert(Arc::new(repository));
        self.wake.inventory.notify_one();
        Ok(repository)
    }

    /// Whether the owner may create this repository here with the key bundle alone.
    #[must_use]
    pub fn is_admitted(&self, id: &RepositoryId) -> bool {
        let in_file = self.config.repository(id).is_some_and(|repository| repository.admit);
        in_file || self.config.data.join("admitted").join(id.to_string()).is_file()
    }

    /// Fails while less than the reserve is free.
    pub(crate) fn check_reserve(&self) -> Result<(), VaultError> {
        let reserve = self.config.reserve.as_u64();
        if reserve == 0 {
            return Ok(());
        }
        let stat = rustix::fs::statvfs(&self.config.data)
            .map_err(|e| io("read", &self.config.data, e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < reserve { Err(VaultError::Reserve { reserve }) } else { Ok(()) }
    }

    /// Bytes of all packs here.
    pub(crate) fn pack_bytes(&self) -> Result<u64, VaultError> {
        let mut bytes = 0;
        for repository in self.repositories() {
            bytes += self.index.read(|c| Kept::in_repository(c, repository.row))?.pack_bytes;
        }
        Ok(bytes)
    }

    /// Records something that a person should look at. An alarm that cannot be recorded is in the log.
    pub fn alarm(&self, repository: Option<&RepositoryId>, kind: &str, detail: impl Into<String>) {
        let row = AlarmRow {
            at: self.now(),
            repository: repository.copied(),
            kind: kind.to_owned(),
            detail: detail.into(),
        };
        match self.index.write(|tx| row.insert(tx)) {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(repository = ?row.repository, kind, detail = row.detail, "alarm")
            }
            Err(error) => {
                tracing::error!(repository = ?row.repository, kind, detail = row.detail, %error, "alarm, not recorded");
            }
        }
    }

    /// The newest alarms, newest first.
    ///
    /// # Errors
    /// If the index does not answer.
    pub fn alarms(&self, limit: u32) -> Result<Vec<AlarmRow>, VaultError> {
        Ok(self.index.read(|c| AlarmRow::newest(c, limit))?)
    }
}

/// Admits a repository at the console. Works beside a running vault.
///
/// # Errors
/// If the note cannot be written.
pub fn admit(data: &Path, id: &RepositoryId) -> Result<(), VaultError> {
    let folder = data.join("admitted");
    durable::make_directories(data, 0o755)?;
    durable::make_directory(&folder, 0o750)?;
    Ok(durable::replace_file(&folder.join(id.to_string()), b"", 0o640)?)
}

/// Removes the index, so that the next start builds it from the files.
///
/// # Errors
/// If a vault runs on this data.
pub fn forget_index(data: &Path) -> Result<(), VaultError> {
    let _lock = lock(data)?;
    Ok(crate::index::remove(&data.join(INDEX))?)
}

/// Which vault writes to the S3 store of the configuration.
///
/// # Errors
/// If the store does not answer, or the objects lie in a directory.
pub fn storage_holder(
    config: &Config,
    site: SiteId,
    clock: Arc<dyn Clock>,
) -> Result<Option<storage::s3::Holder>, VaultError> {
    check_s3(config)?;
    Ok(storage::s3::holder(&config.storage, &config.data, site, clock)?)
}

/// Makes this vault the writer to its S3 store, in the place of one that is gone for good; says which that was.
///
/// # Errors
/// If the other still confirms its lease, or this vault runs.
pub fn take_storage(
    config: &Config,
    site: SiteId,
    clock: Arc<dyn Clock>,
) -> Result<Option<storage::s3::Holder>, VaultError> {
    check_s3(config)?;
    let _lock = lock(&config.data)?;
    Ok(storage::s3::take(&config.storage, &config.data, site, clock)?)
}

fn check_s3(config: &Config) -> Result<(), VaultError> {
    if config.storage.kind == storage::StorageKind::S3 {
        Ok(())
    } else {
        Err(VaultError::Inconsistent(
            "the objects lie in a directory, where the lock of `data` says who writes".to_owned(),
        ))
    }
}

fn lock(data: &Path) -> Result<File, VaultError> {
    let path = data.join(".lock");
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, rustix::fs::Mode::from_raw_mode(0o640))
        .map_err(|e| io("opened", &path, e.into()))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(File::from(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(VaultError::Inconsistent(format!(
            "another lumbung-vault runs on {}: stop it first, or ask it (`status`, `POST /v1/pull`)",
            data.display()
        ))),
        Err(e) => Err(io("locked", &path, e.into())),
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> VaultError {
    StoreError::Io { action, path: path.to_owned(), source }.into()
}
