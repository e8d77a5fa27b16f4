//! Measures a first backup, an unchanged one, a restore and a verification of real files, once each:
//! `cargo run --release -p lumbung-engine --features testing --example measure -- SOURCE WORKDIR`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lumbung_engine::{
    BackupOptions, BackupRequest, Cancel, Depot, Include, LocalDepot, NoProgress, NoThrottle,
    RestoreOptions, RestoreRequest, SnapshotReader, Source, backup, compare, restore, verify,
};
use lumbung_model::{DatasetId, RepositoryId, RosterId, SystemClock, Timestamp};
use lumbung_pack::{
    AgentStatus, ChunkerParams, Kind, Recipient, RootKey, RootRole, Roster, RosterAgent,
    SigningKey, object_id, sign,
};
use lumbung_seal::{AgentIdentity, RecoveryKey};

/// Peak resident memory so far, MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn report(what: &str, since: Instant, more: &str) {
    println!(
        "{what:10} {:7.2} s   peak {:4} MiB   {more}",
        since.elapsed().as_secs_f64(),
        peak_mib()
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(work)) = (arguments.next(), arguments.next()) else {
        return Err("usage: measure SOURCE WORKDIR".into());
    };
    let (root, recovery) = (SigningKey::generate(), RecoveryKey::generate());
    let mut identity = AgentIdentity::generate(RepositoryId::ZERO);
    let roster = Roster {
        repository: RepositoryId::ZERO,
        number: 1,
        previous: RosterId::ZERO,
        created: Timestamp(0),
        chunker: ChunkerParams::default(),
        root_keys: vec![RootKey {
            key: root.public(),
            role: RootRole::Working,
            label: "root".into(),
        }],
        registrar: None,
        recipients: vec![Recipient { key: recovery.public(), label: "key".into() }],
        agents: vec![RosterAgent {
            agent: identity.agent,
            key: identity.key.public(),
            domain: identity.domain,
            status: AgentStatus::Active,
            label: "agent".into(),
        }],
        sites: Vec::new(),
    };
    let roster = sign(&roster, &root);
    identity.repository = RepositoryId::from_bytes(object_id(&roster));
    let depot = LocalDepot::create(work.join("depot"))?;
    depot.put(Kind::Roster, &object_id(&roster), &roster)?;
    let depot: Arc<dyn Depot> = Arc::new(depot);
    let dataset = DatasetId::random();
    let run = || {
        backup(&BackupRequest {
            depots: std::slice::from_ref(&depot),
            identity: &identity,
            state_dir: &work.join("state"),
            dataset,
            label: "measure",
            host: "measure",
            source: Source::Paths(std::slice::from_ref(&source)),
            options: BackupOptions::default(),
            progress: &NoProgress,
            throttle: &NoThrottle,
            cancel: &Cancel::default(),
            clock: &SystemClock,
        })
    };
    let start = Instant::now();
    let first = run()?;
    let (files, bytes) = (first.statistics.files, first.statistics.content_bytes);
    report("full", start, &format!("{files} files, {bytes} bytes, {} stored", first.sent_bytes));
    let start = Instant::now();
    let same = run()?;
    report("same", start, &format!("{} bytes read, {} stored", same.read_bytes, same.sent_bytes));
    let start = Instant::now();
    let reader = SnapshotReader::open(depot.clone(), None, &same.manifest, &recovery)?;
    let request = RestoreRequest {
        snapshot: &reader,
        fallback: None,
        target: &work.join("restored"),
        include: Include::all(),
        options: RestoreOptions::default(),
        progress: &NoProgress,
        cancel: &Cancel::default(),
    };
    let restored = restore(&request)?;
    report(
        "restore",
        start,
        &format!("{} entries, {} failures", restored.entries, restored.failures_total),
    );
    let start = Instant::now();
    let equal =
        compare(&reader, &work.join("restored"), &Include::all(), &NoProgress, &Cancel::default())?;
    report(
        "compare",
        start,
        &format!("{} entries, {} differences", equal.entries, equal.differences_total),
    );
    let start = Instant::now();
    let verified = verify(&depot, None, None, &NoProgress, &Cancel::default())?;
    report("verify", start, &format!("{} frames, clean: {}", verified.frames, verified.is_clean()));
    Ok(())
}
