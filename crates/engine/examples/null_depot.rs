//! Backs up into a depot that keeps no packs: what the engine alone takes, in time and in memory.
//! `cargo run --release -p lumbung-engine --example null_depot -- SOURCE STATE`; see also `cargo xtask bench stream`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lumbung_engine::{
    BackupOptions, BackupRequest, Cancel, Commit, Depot, DepotError, NoProgress, NoThrottle,
    Source, backup,
};
use lumbung_model::{
    DatasetId, ManifestId, PackId, RepositoryId, RosterId, SystemClock, Timestamp,
};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Kind, PackUse, Recipient, RootKey, RootRole, Roster, RosterAgent,
    SigningKey, object_id, sign,
};
use lumbung_seal::{AgentIdentity, RecoveryKey};

type Objects = BTreeMap<(Kind, [u8; 32]), Vec<u8>>;

/// Keeps what is small, counts what is not.
#[derive(Default)]
struct NullDepot {
    objects: Mutex<Objects>,
    packs: AtomicU64,
    pack_bytes: AtomicU64,
}

impl NullDepot {
    fn missing(&self, kind: Kind, id: &[u8; 32]) -> DepotError {
        DepotError::NotFound { kind, id: *id, depot: self.describe() }
    }
}

impl Depot for NullDepot {
    fn describe(&self) -> String {
        "a depot that keeps nothing".into()
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(objects.keys().filter(|(found, _)| *found == kind).map(|(_, id)| *id).collect())
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(&(kind, *id)).cloned().ok_or_else(|| self.missing(kind, id))
    }

    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.insert((kind, *id), bytes.to_vec());
        Ok(())
    }

    fn put_pack(&self, _id: &PackId, head: &Bytes, pieces: &[Bytes]) -> Result<(), DepotError> {
        let bytes = head.len() + pieces.iter().map(Bytes::len).sum::<usize>();
        self.packs.fetch_add(1, Ordering::Relaxed);
        self.pack_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn read_pack(&self, id: &PackId, _range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        Err(self.missing(Kind::Pack, id.as_bytes()))
    }

    fn have(&self, _packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError> {
        Ok(Vec::new())
    }

    fn commit(&self, _id: &ManifestId, _manifest: &[u8]) -> Result<Commit, DepotError> {
        Ok(Commit::default())
    }
}

fn roster(root: &SigningKey, recovery: &RecoveryKey, identity: &AgentIdentity) -> Vec<u8> {
    let label = || "bench".to_owned();
    let roster = Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: Timestamp(0),
        chunker: ChunkerParams::default(),
        root_keys: vec![RootKey { key: root.public(), role: RootRole::Working, label: label() }],
        registrar: None,
        recipients: vec![Recipient { key: recovery.public(), label: label() }],
        agents: vec![RosterAgent {
            agent: identity.agent,
            key: identity.key.public(),
            domain: identity.domain,
            status: AgentStatus::Active,
            label: label(),
        }],
        sites: Vec::new(),
    };
    sign(&roster, root)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(state)) = (arguments.next(), arguments.next()) else {
        return Err("usage: null_depot SOURCE STATE".into());
    };
    let (root, recovery) = (SigningKey::generate(), RecoveryKey::generate());
    let mut identity = AgentIdentity::generate(RepositoryId::ZERO);
    let roster = roster(&root, &recovery, &identity);
    identity.repository = RepositoryId::from_bytes(object_id(&roster));
    let null = Arc::new(NullDepot::default());
    null.put(Kind::Roster, &object_id(&roster), &roster)?;
    let depot: Arc<dyn Depot> = null.clone();
    let outcome = backup(&BackupRequest {
        depots: std::slice::from_ref(&depot),
        identity: &identity,
        state_dir: &state,
        dataset: DatasetId::random(),
        label: "bench",
        host: "bench",
        source: Source::Paths(std::slice::from_ref(&source)),
        options: BackupOptions::default(),
        progress: &NoProgress,
        throttle: &NoThrottle,
        cancel: &Cancel::default(),
        clock: &SystemClock,
    })?;
    println!(
        "{} files, {} bytes read, {} bytes in {} packs, {} warnings",
        outcome.statistics.files,
        outcome.read_bytes,
        null.pack_bytes.load(Ordering::Relaxed),
        null.packs.load(Ordering::Relaxed),
        outcome.warnings_total
    );
    Ok(())
}
