//! The storage is full: 507, nothing torn, reads go on, and writing does once there is space.
//!
//! Needs root, for a small tmpfs: it fails where it cannot mount one, rather than pass untested.

use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_pack::Kind;
use lumbung_vault::Occasion;
use lumbung_vault::scrub::{FullSpeed, NoCopies};

use crate::backing;
use crate::support::{
    Agent, City, Owner, Site, Snapshot, agent_peer, folder, pack_of, publish, send,
};

/// A file system of its own, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, size: &str) -> Self {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "lumbung-test"])
            .arg(at)
            .status()
            .expect("mount(8)");
        assert!(status.success(), "this test mounts a tmpfs: run it as root");
        Self(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_refuses_and_goes_on_reading() {
    let city = City::new();
    let mount = tempfile::tempdir().unwrap();
    let small = Small::mount(mount.path(), "6m");
    let data = mount.path().join("data");
    std::fs::create_dir(&data).unwrap();
    backing::keep_near(&data);
    let site = Site::launch(&city, None, data, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let next = Snapshot::new(&owner, &agent, Some(&snapshot));
    send(&client, &owner, &next).await;

    // Packs until nothing fits, first large ones, then small ones.
    let mut refused = 0;
    for lengths in [&[700_000][..], &[30_000], &[1000]] {
        for _ in 0..400 {
            let pack = pack_of(owner.repository, agent.domain, snapshot.session_id, lengths);
            match site
                .put_as(
                    agent_peer(&owner, &agent),
                    &owner,
                    Kind::Pack,
                    pack.id.as_bytes(),
                    pack.bytes,
                )
                .await
            {
                (201, _) => {}
                answer => {
                    assert_eq!(answer, (507, "storage-full".to_owned()));
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!(refused >= 2, "the file system is full");
    let rest = Path::new(&site.data).join("filler");
    let _ = std::fs::write(&rest, vec![1; 8 << 20]);

    let error =
        client.commit(&owner.repository, &next.id, next.bytes.clone().into()).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 507);
    let pack = &snapshot.packs[0];
    let read =
        client.read_pack(&owner.repository, &pack.id, 0..pack.bytes.len() as u64).await.unwrap();
    assert_eq!(read, pack.bytes);
    assert_eq!(client.all_manifests(&owner.repository).await.unwrap().len(), 1);
    let leftovers = backing::names(&site.data, "repositories");
    let leftovers = leftovers.iter().filter(|name| name.contains("/."));
    assert_eq!(leftovers.count(), 0, "nothing half written stays");

    // Space again: the same snapshot goes through, and everything that was acknowledged is whole.
    std::fs::remove_file(&rest).unwrap();
    let status =
        Command::new("mount").args(["-o", "remount,size=32m"]).arg(mount.path()).status().unwrap();
    assert!(status.success());
    client.commit(&owner.repository, &next.id, next.bytes.clone().into()).await.unwrap();
    let repository = site.repository(&owner);
    let scrubbed = site.vault.scrub(&repository, &NoCopies, &FullSpeed).unwrap();
    assert_eq!(
        (scrubbed.report.verified.len(), scrubbed.report.bad, scrubbed.objects_bad),
        (2, 0, 0)
    );
    drop(repository);
    let known = client.list(&owner.repository, Kind::Pack).await.unwrap();
    for id in known {
        assert!(site.lying(&owner, Kind::Pack, &id).is_there());
    }
    site.stop().await;
    drop(small);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_is_kept_free() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    // More than any file system of today has.
    let (dir, data) = site.stop().await;
    let site = Site::launch_with_reserve(&city, dir, data, "999999 TiB").await;
    let next = Snapshot::new(&owner, &agent, Some(&snapshot));
    for (kind, id, bytes) in next.objects().into_iter().take(2) {
        let answer = site.put_as(agent_peer(&owner, &agent), &owner, kind, &id, bytes).await;
        assert_eq!(answer, (507, "storage-full".to_owned()));
    }
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    client.pack_head(&owner.repository, &snapshot.packs[0].id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_a_crash_left_out_waits_for_space_and_stops_nothing() {
    let city = City::new();
    let site = Site::start(&city, "").await;
    let agent = Agent::new();
    let owner = Owner::new(&[&agent], &[&site]);
    let client = site.client(Some(&city.agent_identity(&owner, &agent)));
    let snapshot = Snapshot::new(&owner, &agent, None);
    publish(&client, &owner, &snapshot).await;
    let (dir, data) = site.stop().await;
    // As after a crash between the manifest's file and the receipt's.
    for name in backing::names(&data, &folder(&owner, Kind::Receipt)) {
        backing::lying(&data, name).remove();
    }
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("index.sqlite{suffix}")));
    }
    let site = Site::launch_with_reserve(&city, dir, data, "999999 TiB").await;
    let root = site.root_client(&owner);
    root.get(&owner.repository, Kind::Manifest, snapshot.id.as_bytes()).await.unwrap();
    site.vault.make_inventory(&site.repository(&owner), Occasion::Demand).unwrap();
    assert!(root.all_manifests(&owner.repository).await.unwrap().is_empty());

    let (dir, data) = site.stop().await;
    let site = Site::launch(&city, dir, data, "").await;
    let root = site.root_client(&owner);
    assert_eq!(root.all_manifests(&owner.repository).await.unwrap().len(), 1);
}
