//! One bucket: requests and what their failures mean. Knows nothing of repositories.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use lumbung_pack::Kind;
use lumbung_store::StoreError;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, UpdateVersion,
};

/// Why the store did not do it.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such object.
    Missing,
    /// The condition of a write was not met: something is there, or something else than was expected.
    Condition,
    /// The object is longer than was allowed for.
    TooLarge(u64),
    /// The store says that it is full.
    Full,
    /// Anything else: out of reach, overloaded, refused credentials.
    Other(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let says = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
        // Without its bucket the store says "not found" to everything: that is no word on an object.
        if says(&["NoSuchBucket"]) {
            return Self::Other(error);
        }
        // What MinIO, Ceph and Garage say of a full disk or a used-up quota. Garage has no code for the latter.
        let denied = matches!(error, Error::PermissionDenied { .. });
        let full = says(&["status code: 413", "<Code>QuotaExceeded<", "StorageFull<"]);
        if full || denied && says(&["quota"]) {
            return Self::Full;
        }
        match error {
            Error::NotFound { .. } => Self::Missing,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => Self::Condition,
            other => Self::Other(other),
        }
    }
}

/// When an object is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// If there is none of that name.
    New,
    /// If the one of that name has this tag.
    Unchanged(String),
    /// In any case.
    Always,
}

/// A bucket. Clones share the connections.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    store: Arc<AmazonS3>,
    /// `s3://bucket/prefix`, for messages.
    place: Arc<str>,
    prefix: Path,
}

impl Bucket {
    pub(super) fn new(store: AmazonS3, name: &str, prefix: &str) -> Self {
        let prefix = Path::from(prefix);
        let place = format!("s3://{name}/{prefix}").trim_end_matches('/').into();
        Self { store: Arc::new(store), place, prefix }
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> PathBuf {
        PathBuf::from(&*self.place)
    }

    /// A key below the prefix.
    pub(super) fn key(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }

    /// An object as a whole, at most `limit` bytes of it.
    pub(super) async fn get(&self, key: &Path, limit: u64) -> Result<(Bytes, ObjectMeta), Fault> {
        let found = self.store.get(key).await?;
        let meta = found.meta.clone();
        if meta.size > limit {
            return Err(Fault::TooLarge(meta.size));
        }
        let bytes = collect(found.into_stream(), meta.size).await?;
        Ok((bytes, meta))
    }

    /// Bytes of an object, which may have fewer than were asked for, and what it is as a whole.
    pub(super) async fn range(
        &self,
        key: &Path,
        range: Range<u64>,
    ) -> Result<(Bytes, ObjectMeta), Fault> {
        let range = Some(GetRange::Bounded(range));
        let found = self.store.get_opts(key, GetOptions { range, ..GetOptions::default() }).await?;
        let (meta, given) = (found.meta.clone(), found.range.end - found.range.start);
        Ok((collect(found.into_stream(), given).await?, meta))
    }

    pub(super) async fn head(&self, key: &Path) -> Result<ObjectMeta, Fault> {
        Ok(self.store.head(key).await?)
    }

    /// Writes an object; gives its tag.
    pub(super) async fn put(&self, key: &Path, bytes: Bytes, when: When) -> Result<String, Fault> {
        let mode = match when {
            When::New => PutMode::Create,
            When::Unchanged(tag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(tag), version: None })
            }
            When::Always => PutMode::Overwrite,
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(key, PutPayload::from_bytes(bytes), options).await?;
        Ok(put.e_tag.unwrap_or_default())
    }

    pub(super) async fn delete(&self, key: &Path) -> Result<(), Fault> {
        match self.store.delete(key).await.map_err(Fault::from) {
            Ok(()) | Err(Fault::Missing) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// The last parts of the keys directly below `folder`, at most about `limit` of them; `None` if there are more.
    pub(super) async fn names(
        &self,
        folder: &Path,
        limit: usize,
    ) -> Result<Option<Vec<String>>, Fault> {
        let mut found = self.store.list(Some(folder));
        let mut names = Vec::new();
        while let Some(meta) = found.try_next().await? {
            if names.len() == limit {
                return Ok(None);
            }
            names.extend(meta.location.filename().map(str::to_owned));
        }
        Ok(Some(names))
    }

    /// Whether any key lies below `folder`.
    pub(super) async fn any(&self, folder: &Path) -> Result<bool, Fault> {
        Ok(self.store.list(Some(folder)).try_next().await?.is_some())
    }

    /// The names of the folders directly below `folder`.
    pub(super) async fn folders(&self, folder: &Path) -> Result<Vec<String>, Fault> {
        let found = self.store.list_with_delimiter(Some(folder)).await?;
        Ok(found.common_prefixes.iter().filter_map(Path::filename).map(str::to_owned).collect())
    }

    /// A failure that is not about one object.
    pub(super) fn failed(&self, fault: Fault) -> StoreError {
        let path = self.place();
        match fault {
            Fault::Full => StoreError::Full { path },
            Fault::Other(error) => StoreError::Unavailable { path, source: explain(error) },
            Fault::Missing | Fault::Condition | Fault::TooLarge(_) => StoreError::Unavailable {
                path,
                source: std::io::Error::other(format!("an answer that does not fit: {fault:?}")),
            },
        }
    }

    /// A failure about an object of a repository.
    pub(super) fn failed_for(
        &self,
        kind: Kind,
        id: &[u8; 32],
        limit: usize,
        fault: Fault,
    ) -> StoreError {
        match fault {
            Fault::Missing => StoreError::NotFound { kind, id: *id },
            Fault::TooLarge(found) => StoreError::TooLarge { kind, limit: limit as u64, found },
            other => self.failed(other),
        }
    }
}

async fn collect(
    mut stream: futures_util::stream::BoxStream<'static, object_store::Result<Bytes>>,
    length: u64,
) -> Result<Bytes, Fault> {
    let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.freeze())
}

/// What an operator can do about it, where that is known.
fn explain(error: Error) -> std::io::Error {
    let text = error.to_string();
    let advice = if text.contains("NoSuchBucket") {
        "there is no such bucket: create it, or correct `bucket` in [storage]"
    } else if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
        || text.contains("InvalidAccessKeyId")
        || text.contains("SignatureDoesNotMatch")
    {
        "it refuses the credentials: check them, `region` and the bucket's grants"
    } else {
        "it does not answer as it should"
    };
    std::io::Error::other(format!("{advice} ({text})"))
}
