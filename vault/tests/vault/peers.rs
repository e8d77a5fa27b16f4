//! Failures that other backup tools had, played against this vault.
//!
//! Each test says in its comment what went wrong elsewhere. A first copy that takes longer than the grace period is in
//! `sweeps`, a run that builds on what expires in `retention`.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::middleware::Next;
use lumbung_pack::{Bitmap, Kind, PackUse};
use lumbung_vault::VaultError;
use tokio_util::sync::CancellationToken;

use crate::support::{Agent, Bench, City, Owner, Site, Snapshot, TestPack, publish};

const QUICK: &str = "lock = \"0 s\"\n[retention]\nkeep_last = 1\n";

fn uses(pack: &TestPack, frames: &[u32]) -> PackUse {
    let mut used = Bitmap::new(u32::try_from(pack.table.frames.len()).unwrap());
    frames.iter().for_each(|frame| used.set(*frame));
    PackUse { pack: pack.id, used }
}

/// A site where an old snapshot expired, and the newest uses one frame of each of its first packs.
struct Holed {
    bench: Bench,
    owner: Owner,
    agent: Agent,
    old: Vec<Snapshot>,
    new: Snapshot,
}

impl Holed {
    fn new() -> Self {
        let bench = Bench::new(QUICK);
        let agent = Agent::new();
        let owner = Owner::new(&[&agent], &[]);
        let mut old = vec![Snapshot::new(&owner, &agent, None)];
        bench.publish(&owner, &agent, &old[0]);
        for at in 0..3 {
            let next = Snapshot::apart(&owner, &agent, &old[at]);
            bench.publish(&owner, &agent, &next);
            old.push(next);
        }
        let kept: Vec<(TestPack, Vec<u32>)> =
            old.iter().map(|one| (one.packs[0].clone(), vec![1])).collect();
        let new = Snapshot::of_frames(&owner, &agent, old.last(), &kept);
        bench.publish(&owner, &agent, &new);
        let first = bench.retain(&owner);
        bench.time.pass(1);
        assert_eq!(first.len() + bench.retain(&owner).len(), 4);
        Self { bench, owner, agent, old, new }
    }

    /// What the newest snapshot uses.
    fn live(&self) -> Vec<(TestPack, Vec<u32>)> {
        let old = self.old.iter().map(|one| (one.packs[0].clone(), vec![1]));
        old.chain([(self.new.packs[0].clone(), vec![0, 1, 2])]).collect()
    }

    fn check(&self, when: &str) {
        for (pack, frames) in self.live() {
            assert!(self.bench.is_whole_in(&self.owner, &pack, &frames), "{when}: not readable");
            let missed = self.bench.have(&self.owner, &[uses(&pack, &frames)]);
            assert!(missed.is_empty(), "{when}: the index lost {missed:?}");
        }
    }

    /// Rounds until what is unused is gone.
    fn sweep_all(&self) -> u64 {
        let mut dropped = self.bench.sweep(&self.owner).dropped;
        for hours in [48, 24] {
            self.bench.time.pass(hours * 3600);
            dropped += self.bench.sweep(&self.owner).dropped;
        }
        dropped
    }
}

/// Kopia #5371: a compaction of the index left out entries of contents that live snapshots use, and these could no longer be
/// found though their bytes were there.
#[test]
fn no_compaction_however_it_ends_drops_an_index_entry_of_a_live_frame() {
    let mut site = Holed::new();
    site.bench.sweep(&site.owner);
    site.bench.time.pass(48 * 3600);
    site.bench.sweep(&site.owner);
    site.check("condemned");
    site.bench.time.pass(24 * 3600);
    let mut ended = false;
    for steps in 0..14_u32 {
        // The sweep is cut off one step later each time.
        let left = Cell::new(steps);
        let go_on = || left.replace(left.get().saturating_sub(1)) > 0;
        let repository = site.bench.repository(&site.owner);
        let swept = site.bench.vault().sweep(&repository, false, &go_on);
        drop(repository);
        site.check("in the middle of a sweep");
        match steps % 3 {
            0 => site.bench.restart(),
            1 => site.bench.reindex(),
            _ => {}
        }
        site.check("after a start");
        ended |= swept.is_ok();
        site.bench.time.pass(72 * 3600);
    }
    assert!(ended, "no sweep came to its end");
    let repository = site.bench.repository(&site.owner);
    assert!(!repository.store().list_presence().unwrap().is_empty(), "nothing was given back");
}

/// The files of the index, of a vault that is stopped.
fn copy_index(from: &Path, to: &Path) {
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Borg: a compaction, and then an index or cache of before it, as from the snapshot of a virtual machine: archives were
/// made that count on chunks that are gone.
#[test]
fn an_index_of_before_the_sweep_promises_nothing_that_is_gone() {
    for rounds_before in 0..3 {
        let mut site = Holed::new();
        for hours in [0, 48].iter().take(rounds_before) {
            site.bench.time.pass(hours * 3600);
            site.bench.sweep(&site.owner);
        }
        let kept = tempfile::tempdir().unwrap();
        site.bench.vault = None;
        copy_index(site.bench.dir.path(), kept.path());
        site.bench.restart();
        assert!(site.sweep_all() > 0);
        site.bench.vault = None;
        copy_index(kept.path(), site.bench.dir.path());
        site.bench.restart();

        site.check("with the old index");
        let alarms = site.bench.vault().alarms(20).unwrap();
        assert!(alarms.iter().any(|alarm| alarm.kind == "old-index"), "{alarms:?}");
        for old in &site.old {
            for (pack, gone) in [(&old.packs[0], &[0, 2][..]), (&old.packs[1], &[0])] {
                let asked = [uses(pack, gone)];
                assert_eq!(site.bench.have(&site.owner, &asked), asked);
            }
        }
        let stolen = (site.old[0].packs[0].clone(), vec![0, 1]);
        let next = Snapshot::of_frames(&site.owner, &site.agent, Some(&site.new), &[stolen]);
        site.bench.send_without_old_packs(&site.owner, &site.agent, &next);
        let Err(VaultError::Incomplete(missing)) =
            site.bench.commit(&site.owner, &site.agent, &next)
        else {
            panic!("a snapshot was taken that counts on frames that are gone")
        };
        assert_eq!(missing.packs, [uses(&site.old[0].packs[0], &[0])]);
        // It says the same as one that is drawn up from the files, and goes on.
        site.bench.restart();
        site.check("after another start");
        let pack = &site.old[0].packs[0];
        site.bench.put(&site.owner, &site.agent, Kind::Pack, *pack.id.as_bytes(), &pack.bytes);
        site.bench.commit(&site.owner, &site.agent, &next).unwrap();
        site.sweep_all();
        assert!(site.bench.is_whole_in(&site.owner, pack, &[0, 1]));
    }
}

/// Restic, duplicacy and others: a run that outlasts the grace period of the garbage collection commits over chunks that were
/// collected meanwhile.
#[test]
fn a_run_that_comes_back_after_its_lease_is_told_what_is_gone() {
    let bench = Bench::new(QUICK);
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[]);
    let first = Snapshot::new(&owner, &agent, None);
    bench.publish(&owner, &agent, &first);
    let late = Snapshot::apart(&owner, &agent, &first);
    bench.send(&owner, &agent, &late);
    for _ in 0..30 {
        bench.time.pass_days(1);
        bench.sweep(&owner);
    }
    let Err(VaultError::Incomplete(missing)) = bench.commit(&owner, &agent, &late) else {
        panic!("a snapshot was taken whose frames are gone")
    };
    assert!(missing.sessions.contains(&late.session_id), "{missing:?}");
    bench.publish(&owner, &agent, &late);
    bench.sweep(&owner);
    assert!(bench.is_whole(&owner, &late));
}

/// Serves `site` under its key; at the first request that names `folder`, everything that can expire there does and is swept.
async fn serve_and_sweep(
    site: &Arc<Site>,
    owner: &Owner,
    folder: Kind,
    stop: &CancellationToken,
) -> String {
    let (swept, named) = (Arc::new(AtomicBool::new(false)), format!("/{}/", folder.folder()));
    let (shared, repository) = (Arc::clone(site), site.repository(owner));
    let between = move |request: Request, next: Next| {
        let first = request.uri().path().contains(&named) && !swept.swap(true, Ordering::SeqCst);
        let (site, repository) = (Arc::clone(&shared), Arc::clone(&repository));
        async move {
            if first {
                let collect = move || {
                    for _ in 0..2 {
                        site.vault.retain(&repository, false).unwrap();
                    }
                    for hours in [0, 48, 24] {
                        site.time.pass(hours * 3600);
                        site.vault.sweep(&repository, false, &|| true).unwrap();
                    }
                };
                tokio::task::spawn_blocking(collect).await.unwrap();
            }
            next.run(request).await
        }
    };
    site.serve_behind(|router| router.layer(axum::middleware::from_fn(between)), stop).await
}

/// PBS, borg: a sync that reads while the source prunes and collects ends with a snapshot that misses chunks.
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_in_the_middle_of_which_the_source_collects_ends_with_whole_snapshots() {
    let city = City::new();
    let mut cut_short = 0;
    for folder in [Kind::Session, Kind::Manifest, Kind::Usage, Kind::Segment, Kind::Pack] {
        let centre = Arc::new(Site::start(&city, QUICK).await);
        let agent = Agent::new();
        let owner = Owner::new(&[&agent], &[&centre]);
        let client = centre.client(Some(&city.agent_identity(&owner, &agent)));
        let first = Snapshot::new(&owner, &agent, None);
        publish(&client, &owner, &first).await;
        let kept = (first.packs[0].clone(), vec![1]);
        let second = Snapshot::of_frames(&owner, &agent, Some(&first), &[kept]);
        publish(&client, &owner, &second).await;
        let stop = CancellationToken::new();
        let url = serve_and_sweep(&centre, &owner, folder, &stop).await;
        let drc = Site::start(&city, &centre.as_source_at(&url)).await;
        lumbung_vault::admit(&drc.data, &owner.repository).unwrap();

        cut_short += drc.pull().await.failures;
        let repository = drc.repository(&owner);
        let whole = async || {
            let held = repository.store().list(Kind::Manifest).unwrap().len();
            let report = drc.scrub(&owner).await.report;
            assert_eq!((report.bad, report.damaged.len()), (0, 0), "{folder}");
            assert_eq!(report.verified.len(), held, "{folder}: a snapshot here is not whole");
            held
        };
        whole().await;
        assert_eq!(drc.pull().await.failures, 0, "{folder}: {:?}", drc.vault.alarms(3));
        assert!(whole().await >= 1);
        let there = repository.store().contains(Kind::Manifest, second.id.as_bytes()).unwrap();
        assert!(there, "{folder}: what is live at the source came with the next pull");
        stop.cancel();
    }
    assert!(cut_short > 0, "the collections came too late to disturb any pull");
}
