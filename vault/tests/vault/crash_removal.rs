//! What a loss of power leaves of a vault while it removes: expiry, an order, and the sweep of their frames, with a
//! commit that brings condemned frames back in between.
//!
//! After each crash the vault opens without an alarm; a snapshot that was receipted is whole until its removal began;
//! then it is whole or has its tombstone, and once its removal was told of it never comes back; every frame that
//! its pack's map says is there reads; retention and sweep go on and end where they would have ended; and an
//! index that is built from the files says the same as the one that was carried on.

use std::path::Path;
use std::sync::Arc;

use lumbung_pack::{Kind, SigningKey, Subject, Tombstone, open_signed};
use lumbung_store::RepositoryDir;
use lumbung_store::recording::{Op, Recorded, Recording, State};
use lumbung_vault::scrub::{FullSpeed, NoCopies};
use lumbung_vault::state::State as SiteState;
use lumbung_vault::{Config, Founder, Repository, Sender, Vault, VaultError};
use tempfile::TempDir;

use crate::crash::{ensure, error, path_of, scratch, send_object, thinned, unfinished};
use crate::retention::to_destroy;
use crate::support::{Agent, Owner, Snapshot, Time, dump};

/// Who acts, with what.
struct Cast {
    keys: TempDir,
    dinas: SigningKey,
    agent: Agent,
    owner: Owner,
    /// The second uses one frame of the first; the third that one and another, which was condemned when it came.
    snapshots: [Snapshot; 3],
}

impl Cast {
    fn new() -> Self {
        let keys = scratch();
        SiteState::at(keys.path().join("state")).init().unwrap();
        let agent = Agent::new();
        let owner = Owner::new(&[&agent], &[]);
        let first = Snapshot::new(&owner, &agent, None);
        let old = first.packs[0].clone();
        let following = |previous, frames| {
            Snapshot::of_frames(&owner, &agent, Some(previous), &[(old.clone(), frames)])
        };
        let second = following(&first, vec![1]);
        let third = following(&second, vec![0, 1]);
        Self {
            keys,
            dinas: SigningKey::generate(),
            agent,
            owner,
            snapshots: [first, second, third],
        }
    }

    fn sender(&self) -> Sender {
        Sender::Agent { agent: self.agent.id, key: self.agent.key.public() }
    }

    fn open(&self, data: &Path, time: &Time) -> Result<Arc<Vault>, String> {
        let file = tempfile::NamedTempFile::new_in(self.keys.path()).unwrap();
        let text = format!(
            "data = {data:?}\nlisten = \"127.0.0.1:0\"\nreserve = \"0\"\ntime_zone = \"UTC\"\nlock = \"0 s\"\n\
             dinas_keys = [\"{}\"]\n[retention]\nkeep_last = 1\n",
            self.dinas.public()
        );
        std::fs::write(file.path(), text).unwrap();
        let config = Config::load(file.path()).unwrap();
        let identity = SiteState::at(self.keys.path().join("state")).identity().unwrap();
        let (clock, uptime) = (Arc::new(time.clone()), Box::new(time.clone()));
        let vault = Vault::open_with(config, identity, clock, uptime).map_err(|e| error(&e))?;
        vault.reconcile().map_err(|e| format!("start: {}", error(&e)))?;
        Ok(Arc::new(vault))
    }

    fn repository(&self, vault: &Vault) -> Result<Arc<Repository>, String> {
        vault.repository(&self.owner.repository).map_err(|e| error(&e))
    }

    /// Everything of a snapshot but the packs of those before it, and its manifest.
    fn publish(
        &self,
        vault: &Arc<Vault>,
        number: usize,
    ) -> Result<Result<Vec<u8>, VaultError>, String> {
        let repository = self.repository(vault)?;
        let snapshot = &self.snapshots[number];
        for (kind, id, bytes) in snapshot.objects() {
            let sender = self.sender();
            send_object(vault, &repository, sender, (kind, id, &bytes))?;
        }
        let given = vault.commit(&repository, &snapshot.id, &snapshot.bytes, self.sender());
        Ok(given.map(|given| given.receipt))
    }

    /// Retention and sweep until nothing is left to be done.
    fn remove_all(&self, vault: &Vault, time: &Time) -> Result<(), String> {
        let repository = self.repository(vault)?;
        // Long enough for the lease of a session that will not end.
        for hours in [1, 15 * 24, 48, 24, 48, 24, 0] {
            vault.retain(&repository, false).map_err(|e| format!("retention: {}", error(&e)))?;
            vault
                .sweep(&repository, false, &|| true)
                .map_err(|e| format!("sweep: {}", error(&e)))?;
            time.pass(hours * 3600);
        }
        Ok(())
    }
}

/// What happened to a snapshot, as numbers of changes on the disk.
#[derive(Default)]
struct Life {
    /// Its receipt, and when it was given.
    receipted: Option<(usize, Vec<u8>)>,
    /// When its removal began, and when it was told of.
    removed: Option<(usize, usize)>,
}

struct Played {
    cast: Cast,
    lives: [Life; 3],
    recorded: Recorded,
}

fn played() -> Played {
    let cast = Cast::new();
    let (dir, time) = (scratch(), Time::now());
    let recording = Recording::start(dir.path()).unwrap();
    let vault = cast.open(dir.path(), &time).unwrap();
    for roster in &cast.owner.rosters {
        let id = lumbung_pack::object_id(roster);
        vault.put_roster(&cast.owner.repository, &id, roster, Founder::Entitled).unwrap();
    }
    let mut lives = <[Life; 3]>::default();
    let take = |life: &mut Life, number| {
        let receipt = cast.publish(&vault, number).unwrap().unwrap();
        life.receipted = Some((recording.length(), receipt));
    };
    take(&mut lives[0], 0);
    take(&mut lives[1], 1);
    let repository = cast.repository(&vault).unwrap();
    let sweep = || vault.sweep(&repository, false, &|| true).unwrap();
    let from = recording.length();
    assert_eq!(vault.retain(&repository, false).unwrap().expired, [cast.snapshots[0].id]);
    lives[0].removed = Some((from, recording.length()));
    assert_eq!(sweep().waiting, 3);
    time.pass(48 * 3600);
    assert_eq!(sweep().condemned, 3);
    take(&mut lives[2], 2);
    time.pass(24 * 3600);
    assert!(sweep().dropped >= 1);
    let from = recording.length();
    let subject = Subject::Snapshot(cast.snapshots[1].id);
    let order = to_destroy(subject, time.wall(), &cast.owner, &cast.dinas);
    vault.carry_out(&order, false).unwrap();
    lives[1].removed = Some((from, recording.length()));
    drop(repository);
    cast.remove_all(&vault, &time).unwrap();
    drop(vault);
    Played { cast, lives, recorded: recording.finish() }
}

/// An order that was carried out is told of, and an index that is older than what went since; nothing else is wrong.
fn no_other_alarm(vault: &Vault, state: &State) -> Result<(), String> {
    let mut alarms = vault.alarms(100).map_err(|e| error(&e))?;
    let older = state.about.contains("databases Older");
    alarms.retain(|alarm| match alarm.kind.as_str() {
        "order" => false,
        "lost" | "old-index" => !older,
        _ => true,
    });
    ensure(alarms.is_empty(), || format!("alarms: {alarms:?}"))
}

/// Every object reads, and every frame that the map of its pack says is there.
fn what_is_there_reads(data: &Path, cast: &Cast) -> Result<(), String> {
    let left = unfinished(data);
    ensure(left.is_empty(), || format!("unfinished files stay: {left:?}"))?;
    let Ok(dir) = RepositoryDir::open(path_of(data, &cast.owner.repository)) else { return Ok(()) };
    for kind in Kind::REPOSITORY {
        for id in dir.list(kind).map_err(|e| error(&e))? {
            if kind == Kind::Pack {
                frames_read(&dir, &id)?;
            } else {
                dir.get(kind, &id).map_err(|e| error(&e))?;
            }
        }
    }
    Ok(())
}

fn frames_read(dir: &RepositoryDir, id: &[u8; 32]) -> Result<(), String> {
    let id = lumbung_model::PackId::from_bytes(*id);
    let table = dir.pack_head(&id).map_err(|e| error(&e))?;
    let present = dir.presence(&id, &table).map_err(|e| error(&e))?;
    let there = |frame: &usize| {
        present.as_ref().is_none_or(|map| map.iter_ones().any(|one| one as usize == *frame))
    };
    for frame in (0..table.frames.len()).filter(there) {
        dir.read_frame(&id, &table, frame).map_err(|e| error(&e))?;
    }
    Ok(())
}

fn has_tombstone(repository: &Repository, snapshot: &Snapshot) -> Result<bool, String> {
    for id in repository.store().list(Kind::Tombstone).map_err(|e| error(&e))? {
        let bytes = repository.store().get(Kind::Tombstone, &id).map_err(|e| error(&e))?;
        if open_signed::<Tombstone>(&bytes).unwrap().body.manifest == snapshot.id {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether each snapshot is where its life at that moment says.
fn lives_hold(
    vault: &Arc<Vault>,
    cast: &Cast,
    lives: &[Life; 3],
    prefix: usize,
) -> Result<(), String> {
    let begun =
        lives.iter().any(|life| life.receipted.as_ref().is_some_and(|(at, _)| *at <= prefix));
    if !begun {
        return Ok(());
    }
    let repository = cast.repository(vault)?;
    let scrubbed = vault
        .scrub(&repository, &NoCopies, &FullSpeed)
        .map_err(|e| format!("scrub: {}", error(&e)))?;
    let bad = (scrubbed.report.bad, scrubbed.objects_bad, scrubbed.report.damaged.len());
    ensure(bad == (0, 0, 0), || format!("the scrub finds {bad:?}"))?;
    for (number, (life, snapshot)) in lives.iter().zip(&cast.snapshots).enumerate() {
        let Some((_, receipt)) = life.receipted.as_ref().filter(|(at, _)| *at <= prefix) else {
            continue;
        };
        let gone = has_tombstone(&repository, snapshot)?;
        let (begun, told) =
            life.removed.map_or((false, false), |(from, to)| (from < prefix, to <= prefix));
        ensure(begun || !gone, || format!("snapshot {number} went before its time"))?;
        ensure(gone || !told, || format!("the removal of snapshot {number} is forgotten"))?;
        let again = vault.commit(&repository, &snapshot.id, &snapshot.bytes, cast.sender());
        match again {
            Err(VaultError::Removed { .. }) if gone => {}
            Ok(again) if !gone => {
                ensure(again.receipt == *receipt, || format!("another receipt of {number}"))?;
                let whole = scrubbed.report.verified.contains(&snapshot.id);
                ensure(whole, || format!("snapshot {number} is not whole"))?;
            }
            other => return Err(format!("snapshot {number}, removed: {gone}: {other:?}")),
        }
    }
    Ok(())
}

/// The agent sends what it has, retention and sweep run on: only the last stays, and the index is right.
fn ends_as_it_would_have(
    vault: Arc<Vault>,
    cast: &Cast,
    (data, state): (&Path, &State),
    time: &Time,
) -> Result<(), String> {
    for roster in &cast.owner.rosters {
        let id = lumbung_pack::object_id(roster);
        let repository = cast.owner.repository;
        vault.put_roster(&repository, &id, roster, Founder::Entitled).map_err(|e| error(&e))?;
    }
    let repository = cast.repository(&vault)?;
    let old = &cast.snapshots[0].objects();
    for (kind, id, bytes) in old.iter().filter(|(kind, ..)| *kind == Kind::Session) {
        send_object(&vault, &repository, cast.sender(), (*kind, *id, bytes))?;
    }
    let old = &cast.snapshots[0].packs[0];
    let pack = (Kind::Pack, *old.id.as_bytes(), old.bytes.as_slice());
    send_object(&vault, &repository, cast.sender(), pack)?;
    for number in 0..cast.snapshots.len() {
        match cast.publish(&vault, number)? {
            Ok(_) | Err(VaultError::Removed { .. }) => {}
            Err(refused) => return Err(error(&refused)),
        }
    }
    cast.remove_all(&vault, time)?;
    let scrubbed = vault
        .scrub(&repository, &NoCopies, &FullSpeed)
        .map_err(|e| format!("scrub: {}", error(&e)))?;
    let last = cast.snapshots[2].id;
    ensure(scrubbed.report.verified == [last], || format!("{:?}", scrubbed.report.verified))?;
    let packs = repository.store().list(Kind::Pack).map_err(|e| error(&e))?.len();
    ensure(packs == 2, || format!("{packs} packs are left"))?;
    no_other_alarm(&vault, state)?;
    drop(repository);
    what_is_there_reads(data, cast)?;
    ensure(Arc::into_inner(vault).is_some(), || "somebody holds it".into())?;
    let rows = || {
        let mut rows = dump(data);
        // What was told of an order is not in its files.
        rows.retain(|row, _| !row.starts_with("alarms: "));
        rows
    };
    let before = rows();
    lumbung_vault::forget_index(data).map_err(|e| error(&e))?;
    drop(cast.open(data, time)?);
    let after = rows();
    ensure(before == after, || format!("rebuilt, the index differs: {before:?} {after:?}"))
}

fn check(cast: &Cast, lives: &[Life; 3], state: &State) -> Result<(), String> {
    let dir = scratch();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    state.write(&data).unwrap();
    let time = Time::now();
    time.pass_days(30);
    time.reboot();
    let vault = cast.open(&data, &time)?;
    no_other_alarm(&vault, state)?;
    what_is_there_reads(&data, cast)?;
    lives_hold(&vault, cast, lives, state.prefix)?;
    ends_as_it_would_have(vault, cast, (&data, state), &time)
}

fn search(name: &str, played: &Played, recorded: &Recorded, most: usize) -> Option<String> {
    thinned(name, recorded, most).check(&|state| check(&played.cast, &played.lives, state))
}

#[test]
fn a_vault_that_loses_power_while_it_removes_loses_nothing_else() {
    let played = played();
    assert_eq!(search("removal", &played, &played.recorded, 400), None);
}

#[test]
fn a_removal_that_leaves_out_a_sync_is_caught() {
    let played = played();
    let folders = ["tombstones", "presence", "orders"];
    for folder in folders {
        let recorded = played
            .recorded
            .clone()
            .without(|op| matches!(op, Op::SyncDirectory { path } if path.ends_with(folder)));
        let found = search(&format!("no fsync of {folder}"), &played, &recorded, 500);
        assert!(found.is_some(), "nobody noticed that the fsync of {folder} was left out");
    }
}
