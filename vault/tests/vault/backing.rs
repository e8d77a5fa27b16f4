//! What keeps the objects of the vaults under test: a directory, or a real S3 server in the test's own process (or
//! the one that `LUMBUNG_TEST_S3` names). The tests are the same; `crate::S3` says which.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path as Key;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use crate::server::{self, Server};

/// Keys of the server in the test's process.
pub(crate) const ACCESS_KEY: &str = "GKtest";
pub(crate) const SECRET_KEY: &str = "a secret for tests";
pub(crate) const BUCKET: &str = "lumbung";

/// Where the objects of one vault lie in a store.
#[derive(Clone)]
pub(crate) struct Bucket {
    /// The server, if it is in this process.
    pub(crate) server: Option<Arc<Server>>,
    endpoint: String,
    region: String,
    bucket: String,
    prefix: String,
    access_key: String,
    secret_key: String,
}

impl Bucket {
    /// A new one: in a server over a directory beside `data`, or in the given store.
    fn beside(data: &Path) -> Self {
        let given = std::env::var("LUMBUNG_TEST_S3").ok();
        match given.as_deref().map(|text| text.split(',').collect::<Vec<_>>()).as_deref() {
            Some([endpoint, region, bucket, access_key, secret_key]) => Self {
                server: None,
                endpoint: (*endpoint).to_owned(),
                region: (*region).to_owned(),
                bucket: (*bucket).to_owned(),
                prefix: lumbung_model::SiteId::random().to_string(),
                access_key: (*access_key).to_owned(),
                secret_key: (*secret_key).to_owned(),
            },
            Some(_) => panic!("LUMBUNG_TEST_S3 is endpoint,region,bucket,access key,secret key"),
            None => Self::over(&data.join("s3-store")),
        }
    }

    /// A bucket of a new server over this directory.
    pub(crate) fn over(root: &Path) -> Self {
        std::fs::create_dir_all(root.join(BUCKET)).unwrap();
        let server = Arc::new(Server::start(root));
        Self {
            endpoint: server.endpoint(),
            server: Some(server),
            region: "garage".to_owned(),
            bucket: BUCKET.to_owned(),
            prefix: String::new(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        }
    }

    /// `[storage]` of a vault with its data there.
    pub(crate) fn settings(&self, data: &Path) -> String {
        std::fs::create_dir_all(data).unwrap();
        let credentials = data.join("s3-credentials");
        let text =
            format!("access_key = {:?}\nsecret_key = {:?}\n", self.access_key, self.secret_key);
        lumbung_store::durable::replace_file(&credentials, text.as_bytes(), 0o600).unwrap();
        // Of a given store nodes may be killed meanwhile, and it may not answer for some seconds. A longer lease than
        // that costs every test its length: without conditional writes each new prefix waits for so long.
        let (retry, lease) = if self.server.is_some() { ("3 s", "6 s") } else { ("60 s", "15 s") };
        format!(
            "[storage]\nkind = \"s3\"\nendpoint = {:?}\nregion = {:?}\nbucket = {:?}\nprefix = {:?}\n\
             credentials = {credentials:?}\nallow_http = true\nretry = {retry:?}\nlease = {lease:?}\n",
            self.endpoint, self.region, self.bucket, self.prefix
        )
    }

    /// The store itself, past the vault.
    fn store(&self) -> AmazonS3 {
        server::client(
            &self.endpoint,
            &self.region,
            &self.bucket,
            (&self.access_key, &self.secret_key),
        )
    }

    fn key(&self, name: &str) -> Key {
        Key::from(format!("{}/{name}", self.prefix).trim_start_matches('/'))
    }

    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let (store, key) = (self.store(), self.key(name));
        server::wait(async move {
            match store.get(&key).await {
                Ok(found) => Some(found.bytes().await.unwrap().to_vec()),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
    }

    pub(crate) fn write(&self, name: &str, bytes: Vec<u8>) {
        let (store, key) = (self.store(), self.key(name));
        server::wait(async move { store.put(&key, bytes.into()).await.map(|_| ()).unwrap() });
    }

    pub(crate) fn remove(&self, name: &str) {
        let (store, key) = (self.store(), self.key(name));
        server::wait(async move { store.delete(&key).await.unwrap() });
    }

    /// Names below a folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let (store, key) = (self.store(), self.key(folder));
        let found: Vec<String> = server::wait(async move {
            let all: Vec<_> = store.list(Some(&key)).try_collect().await.unwrap();
            all.into_iter().map(|meta| meta.location.to_string()).collect()
        });
        let start = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        found.into_iter().map(|name| name[start..].to_owned()).collect()
    }
}

static BUCKETS: OnceLock<Mutex<HashMap<PathBuf, Bucket>>> = OnceLock::new();

/// The bucket of the vault with this data directory.
pub(crate) fn bucket(data: &Path) -> Bucket {
    let mut buckets = BUCKETS.get_or_init(Mutex::default).lock().unwrap();
    buckets.entry(data.to_owned()).or_insert_with(|| Bucket::beside(data)).clone()
}

/// Names the bucket of the vault with this data directory.
pub(crate) fn assign(data: &Path, bucket: &Bucket) {
    BUCKETS.get_or_init(Mutex::default).lock().unwrap().insert(data.to_owned(), bucket.clone());
}

/// Keeps the objects of the vault with this data directory on its own file system, also where a store is given: for who
/// fills that.
pub(crate) fn keep_near(data: &Path) {
    if crate::S3 {
        assign(data, &Bucket::over(&data.join("s3-store")));
    }
}

/// What the configuration of a vault with this data directory says of its storage.
pub(crate) fn settings(data: &Path) -> String {
    if crate::S3 { bucket(data).settings(data) } else { String::new() }
}

/// An object of a vault, past the vault. `name` begins with `repositories/`.
pub(crate) struct Lying {
    data: PathBuf,
    name: String,
}

impl Lying {
    pub(crate) fn read(&self) -> Vec<u8> {
        self.find().unwrap()
    }

    /// Its bytes, if it is there.
    pub(crate) fn find(&self) -> Option<Vec<u8>> {
        if crate::S3 {
            bucket(&self.data).read(&self.name)
        } else {
            std::fs::read(self.data.join(&self.name)).ok()
        }
    }

    /// Puts it there as it was, or takes it away.
    pub(crate) fn set(&self, bytes: Option<Vec<u8>>) {
        match bytes {
            Some(bytes) => self.write(bytes),
            None => self.remove(),
        }
    }

    pub(crate) fn write(&self, bytes: Vec<u8>) {
        if crate::S3 {
            bucket(&self.data).write(&self.name, bytes);
        } else {
            std::fs::write(self.data.join(&self.name), bytes).unwrap();
        }
    }

    pub(crate) fn remove(&self) {
        assert!(self.is_there());
        if crate::S3 {
            bucket(&self.data).remove(&self.name);
        } else {
            std::fs::remove_file(self.data.join(&self.name)).unwrap();
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.find().is_some()
    }
}

pub(crate) fn lying(data: &Path, name: String) -> Lying {
    Lying { data: data.to_owned(), name }
}

/// The objects below a folder of a vault's data (`repositories/…`), by name. A store may go on listing one that was
/// removed: Garage does, after a node was away when it went, until that node has caught up.
pub(crate) fn names(data: &Path, folder: &str) -> Vec<String> {
    let mut names = if crate::S3 {
        bucket(data).names(folder)
    } else {
        let mut names = Vec::new();
        walk(data, &data.join(folder), &mut names);
        names
    };
    names.sort_unstable();
    names
}

fn walk(data: &Path, dir: &Path, names: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(data, &path, names);
        } else {
            names.push(path.strip_prefix(data).unwrap().display().to_string());
        }
    }
}

/// Takes all objects of a vault away.
pub(crate) fn wipe(data: &Path) {
    for name in names(data, "repositories") {
        let object = lying(data, name);
        if object.is_there() {
            object.remove();
        }
    }
}
