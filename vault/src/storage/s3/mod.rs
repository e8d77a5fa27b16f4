//! Repositories in a bucket of an S3-compatible store: `<prefix>/repositories/<id>/<folder>/…`, named as in a
//! directory. Index, keys and lock stay on the vault's own disk.
//!
//! Invariants: the store's acknowledgement of a PUT is its word that the object is durable and whole (one PUT is
//! atomic; requests are signed with the hash of their body); nothing is written or removed without the lease
//! (see `lease`); an object appears only after its bytes were checked against its name.

mod bucket;
mod client;
mod layout;
mod lease;
mod objects;
mod packs;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lumbung_model::{Clock, RepositoryId, SiteId};
use lumbung_pack::Kind;
use lumbung_store::{StoreError, durable};
use tokio::runtime::Runtime;

use self::bucket::{Bucket, Fault, When};
use self::lease::{Applicant, Lease};
use self::objects::Objects;
use super::settings::StorageConfig;
use super::{Place, SetupError, Storage};

pub use self::lease::Holder;

/// The file in the data directory that says who this vault is to its store.
const OWNER: &str = "writer";

/// What is shared by all repositories of a bucket.
struct Shared {
    bucket: Bucket,
    lease: Arc<Lease>,
    /// Whether the store refuses to write over an object when asked to.
    creates_only: bool,
    runtime: Background,
}

/// Threads for the requests, so that blocking callers can wait wherever they are.
struct Background(Option<Runtime>);

impl Background {
    fn start() -> Result<Self, SetupError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| SetupError::Client(error.to_string()))?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `work` and waits for it. Nothing comes back if it panicked.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, result) = std::sync::mpsc::sync_channel(1);
        self.0.as_ref()?.spawn(async move {
            // Who waits cannot go away before.
            let _ = done.send(work.await);
        });
        result.recv().ok()
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(work);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A vault may be dropped where waiting for threads is not allowed.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Runs requests and waits for them.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.runtime.wait(work).unwrap_or_else(|| {
            let source = std::io::Error::other("a request to the store ended abnormally");
            Err(StoreError::Unavailable { path: self.bucket.place(), source })
        })
    }

    /// Asks something of the lease and waits for the answer.
    fn ask<T: Send + 'static, A>(&self, ask: impl FnOnce(Arc<Lease>) -> A) -> Result<T, SetupError>
    where
        A: Future<Output = Result<T, SetupError>> + Send + 'static,
    {
        ended(self.runtime.wait(ask(Arc::clone(&self.lease))))
    }
}

/// What the store does with conditions on writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Conditions {
    /// `If-None-Match: *` is kept to.
    create: bool,
    /// `If-Match` is kept to.
    update: bool,
}

/// Tries both conditions on an object of its own. What a store says it supports is not asked: some accept the
/// headers and ignore them.
async fn probe(bucket: &Bucket) -> Result<Conditions, Fault> {
    let key = bucket.key(&format!("probe-{}", lease::random_id()));
    let refused = |result: Result<String, Fault>| match result {
        Ok(_) => Ok(false),
        Err(Fault::Condition) => Ok(true),
        Err(fault) => Err(fault),
    };
    let unknown = |fault: &Fault| matches!(fault, Fault::Other(error) if not_implemented(error));
    let put = |body: &'static [u8], when| bucket.put(&key, Bytes::from_static(body), when);
    put(b"1", When::Always).await?;
    let create = match refused(put(b"2", When::New).await) {
        Err(fault) if unknown(&fault) => Ok(false),
        other => other,
    };
    let wrong = "\"00000000000000000000000000000000\"".to_owned();
    let update = match refused(put(b"3", When::Unchanged(wrong)).await) {
        Err(fault) if unknown(&fault) => Ok(false),
        other => other,
    };
    bucket.delete(&key).await?;
    Ok(Conditions { create: create?, update: update? })
}

fn not_implemented(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["NotImplemented", "status code: 501", "status code: 400"].iter().any(|s| text.contains(s))
}

/// The repositories of a bucket.
pub struct S3 {
    shared: Arc<Shared>,
}

impl S3 {
    /// Connects, finds out what the store can do, and takes the lease.
    ///
    /// # Errors
    /// If the store does not answer, or another vault writes there.
    pub fn open(
        config: &StorageConfig,
        data: &Path,
        site: SiteId,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetupError> {
        let shared = connect(config, data, site, clock)?;
        shared.ask(|lease| async move { lease.acquire().await })?;
        shared.runtime.spawn(Arc::clone(&shared.lease).keep());
        Ok(Self { shared: Arc::new(shared) })
    }
}

fn ended<T>(result: Option<Result<T, SetupError>>) -> Result<T, SetupError> {
    result.unwrap_or_else(|| Err(SetupError::Client("a request ended abnormally".to_owned())))
}

fn connect(
    config: &StorageConfig,
    data: &Path,
    site: SiteId,
    clock: Arc<dyn Clock>,
) -> Result<Shared, SetupError> {
    let name = config.bucket.as_deref().unwrap_or_default();
    let bucket = Bucket::new(client::store(config)?, name, &config.prefix);
    let runtime = Background::start()?;
    let probed = {
        let bucket = bucket.clone();
        runtime.wait(async move { probe(&bucket).await.map_err(|fault| bucket.failed(fault)) })
    };
    let conditions = ended(probed.map(|probed| probed.map_err(SetupError::Store)))?;
    let place = bucket.place();
    if conditions == (Conditions { create: true, update: true }) {
        tracing::info!(place = %place.display(), "the store keeps to conditional writes");
    } else {
        tracing::warn!(
            place = %place.display(), create = conditions.create, update = conditions.update,
            "the store does not keep to all conditional writes: one writer rests on the lease's times alone"
        );
    }
    let applicant = Applicant {
        owner: owner(data)?,
        site,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        valid: config.lease.to_duration(),
        clock,
    };
    let conditional = conditions.create && conditions.update;
    let lease = Arc::new(Lease::new(bucket.clone(), conditional, applicant));
    Ok(Shared { bucket, lease, creates_only: conditions.create, runtime })
}

/// Who this data directory is to its store; made at the first start.
fn owner(data: &Path) -> Result<String, SetupError> {
    let path = data.join(OWNER);
    match durable::create_file(&path, lease::random_id().as_bytes(), 0o600) {
        Ok(()) | Err(StoreError::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    std::fs::read_to_string(&path)
        .map_err(|source| StoreError::Io { action: "read", path, source }.into())
}

/// Who holds the lease.
///
/// # Errors
/// If the store does not answer.
pub fn holder(
    config: &StorageConfig,
    data: &Path,
    site: SiteId,
    clock: Arc<dyn Clock>,
) -> Result<Option<Holder>, SetupError> {
    connect(config, data, site, clock)?.ask(|lease| async move { lease.holder().await })
}

/// Takes the lease of a vault that is gone for good; gives who held it, unless it was this one.
///
/// # Errors
/// If its holder still confirms it.
pub fn take(
    config: &StorageConfig,
    data: &Path,
    site: SiteId,
    clock: Arc<dyn Clock>,
) -> Result<Option<Holder>, SetupError> {
    connect(config, data, site, clock)?.ask(|lease| async move { lease.take().await })
}

impl Place for S3 {
    fn repositories(&self) -> Result<Vec<RepositoryId>, StoreError> {
        let bucket = self.shared.bucket.clone();
        let mut ids = self.shared.wait(async move {
            let folders = bucket.folders(&bucket.key("repositories")).await;
            let folders = folders.map_err(|fault| bucket.failed(fault))?;
            Ok(folders.iter().filter_map(|name| name.parse().ok()).collect::<Vec<_>>())
        })?;
        ids.sort_unstable();
        Ok(ids)
    }

    fn open(&self, id: &RepositoryId) -> Result<Arc<dyn Storage>, StoreError> {
        let objects = Objects::new(Arc::clone(&self.shared), id);
        let (bucket, rosters) = (self.shared.bucket.clone(), objects.folder(Kind::Roster));
        let found = self.shared.wait(async move {
            bucket.any(&rosters).await.map_err(|fault| bucket.failed(fault))
        })?;
        if found {
            Ok(Arc::new(objects))
        } else {
            Err(StoreError::NotARepository {
                path: self.shared.bucket.place().join(id.to_string()),
            })
        }
    }

    fn create(&self, id: &RepositoryId) -> Result<Arc<dyn Storage>, StoreError> {
        // A bucket has no folders: the first roster makes the repository.
        Ok(Arc::new(Objects::new(Arc::clone(&self.shared), id)))
    }
}
