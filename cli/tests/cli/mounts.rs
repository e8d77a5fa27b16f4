//! A repository mounted by the real kernel. Needs root and /dev/fuse: where they are missing these tests fail.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::office::{Office, PASSPHRASE, noise};

/// A mount, and the program behind it.
struct Mount {
    child: Child,
    point: PathBuf,
}

impl Mount {
    fn new(office: &Office, more: &[&str]) -> Self {
        let point = office.path("mnt");
        std::fs::create_dir(&point).expect("a mountpoint");
        let mut child = Command::new(env!("CARGO_BIN_EXE_lumbung"))
            .args(["mount", "depot", "mnt", "--key", "pd.key", "--json", "--lang", "en"])
            .args(more)
            .current_dir(office.path(""))
            .env("HOME", office.path(""))
            .env("LUMBUNG_PASSPHRASE", PASSPHRASE)
            .env("LUMBUNG_TIME_ZONE", "Asia/Jakarta")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        // It says so once it is mounted.
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        if !lines.any(|line| line.expect("text") == "}") {
            let mut said = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
            panic!("it was not mounted: {said}");
        }
        Self { child, point }
    }

    fn is_there(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        mounts.lines().any(|line| line.contains(self.point.to_str().expect("text")))
    }

    /// Waits until the program has ended; how, and what it said.
    fn ended(&mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it ends"), said)
    }

    fn unmount(&mut self) -> String {
        assert!(Command::new("umount").arg(&self.point).status().expect("umount").success());
        let (status, said) = self.ended();
        assert!(status.success(), "{said}");
        assert!(!self.is_there());
        assert_eq!(std::fs::read_dir(&self.point).expect("the folder").count(), 0);
        said
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // After a test that failed, nothing is left behind.
        if self.is_there() {
            let _ = Command::new("umount").arg("-l").arg(&self.point).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn below(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if path.symlink_metadata().expect("there").is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder");
            found.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
    }
    found.sort();
    found.into_iter().map(|path| path.strip_prefix(root).expect("below").to_owned()).collect()
}

fn attribute(path: &Path) -> Vec<u8> {
    let mut value = vec![0; 100];
    let length = rustix::fs::getxattr(path, "user.catatan", &mut value[..]).expect("an attribute");
    value.truncate(length);
    value
}

fn office() -> (Office, PathBuf) {
    let office = Office::equipped();
    for n in 0..400_u64 {
        office.write(&format!("data/banyak/{:02}/berkas-{n:03}", n % 9), &noise(700, n + 1));
    }
    office.write("data/besar", &noise(5_000_000, 3));
    let data = office.path("data");
    std::fs::hard_link(data.join("besar"), data.join("surat/nama-lain")).expect("a link");
    let none = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(data.join("besar"), "user.catatan", b"panen\0raya", none).expect("set");
    let sparse = std::fs::File::create(data.join("berlubang")).expect("a file");
    sparse.set_len(3_000_000).expect("a hole");
    sparse.write_all_at(&noise(10_000, 9), 1_500_000).expect("data");
    let closed = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(data.join("surat/b.bin"), closed).expect("a mode");
    std::os::unix::fs::chown(data.join("kosong"), Some(1234), Some(4321)).expect("an owner");
    office.backup("arsip");
    (office, data)
}

#[test]
fn what_is_mounted_is_what_was_backed_up() {
    let (office, data) = office();
    let mut mount = Mount::new(&office, &[]);
    let datasets: Vec<_> = std::fs::read_dir(&mount.point).expect("datasets").collect();
    assert_eq!(datasets.len(), 1);
    let dataset = datasets[0].as_ref().expect("one").path();
    // They hold the folder open, and with it the mount.
    drop(datasets);
    let latest = std::fs::read_link(dataset.join("latest")).expect("a link");
    assert!(latest.to_str().is_some_and(|name| name.ends_with("_WIB")), "{latest:?}");
    assert_eq!(std::fs::read_dir(&dataset).expect("snapshots").count(), 2);
    let here = dataset.join("latest").join(data.strip_prefix("/").expect("absolute"));

    assert_eq!(below(&here), below(&data));
    for path in below(&data) {
        let (there, here) = (data.join(&path), here.join(&path));
        let (a, b) =
            (there.symlink_metadata().expect("there"), here.symlink_metadata().expect("here"));
        let of = |m: &std::fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        assert_eq!(of(&a), of(&b), "{}", path.display());
        if a.is_file() {
            assert!(std::fs::read(&there).ok() == std::fs::read(&here).ok(), "{}", path.display());
            assert_eq!(a.len(), b.len());
        } else if a.is_symlink() {
            assert_eq!(std::fs::read_link(&there).ok(), std::fs::read_link(&here).ok());
        }
    }
    assert_eq!(attribute(&data.join("besar")), attribute(&here.join("besar")));
    let inode = |name: &str| std::fs::metadata(here.join(name)).expect("a file").ino();
    assert_eq!(inode("besar"), inode("surat/nama-lain"));
    assert_ne!(inode("besar"), inode("kosong"));

    let (whole, file) = (office.read("data/besar"), here.join("besar"));
    let file = std::fs::File::open(file).expect("a file");
    let mut state = 1_usize;
    for _ in 0..200 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (offset, length) = ((state >> 24) % whole.len(), (state >> 9) % 100_000);
        let length = length.min(whole.len() - offset);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset as u64).expect("bytes");
        assert!(bytes == whole[offset..offset + length], "{length} bytes from {offset}");
    }
    drop(file);
    let refused = std::fs::write(here.join("baru"), "x").expect_err("it is read-only");
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(!here.join("tidak-ada").exists());
    assert_eq!(mount.unmount(), "");
}

#[test]
fn a_signal_takes_the_mount_away() {
    let (office, _) = office();
    for signal in ["-INT", "-TERM"] {
        let mut mount = Mount::new(&office, &["--quiet"]);
        assert!(mount.is_there());
        let id = mount.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
        let (status, said) = mount.ended();
        assert!(status.success() && !mount.is_there(), "{signal}: {said}");
        std::fs::remove_dir(&mount.point).expect("it is a folder like any other again");
    }
}

#[test]
fn a_damaged_frame_is_an_error_of_its_file_alone() {
    let (office, data) = office();
    // The largest pack holds the large file, among others; a frame in its middle is damaged.
    let packs = crate::office::files(&office.path("depot/packs"));
    let largest = packs.iter().max_by_key(|path| path.metadata().expect("a pack").len());
    let largest = largest.expect("a pack");
    let mut bytes = std::fs::read(largest).expect("a pack");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(largest, bytes).expect("damage");

    let mut mount = Mount::new(&office, &[]);
    let dataset = std::fs::read_dir(&mount.point).expect("datasets").next().expect("one");
    let here = dataset.expect("one").path().join("latest");
    let here = here.join(data.strip_prefix("/").expect("absolute"));
    let (mut bad, mut good) = (Vec::new(), 0);
    for path in below(&data) {
        if !data.join(&path).symlink_metadata().expect("there").is_file() {
            continue;
        }
        match std::fs::read(here.join(&path)) {
            Ok(bytes) => {
                assert!(bytes == std::fs::read(data.join(&path)).expect("there"));
                good += 1;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(5), "{error}");
                bad.push(path);
            }
        }
    }
    assert!(!bad.is_empty() && good > 300, "{bad:?}, {good} good ones");
    let said = mount.unmount();
    for path in &bad {
        // Two names of one file are told of once.
        let name = path.file_name().and_then(|name| name.to_str()).expect("text");
        let also = name == "nama-lain" && said.contains("besar");
        assert!(said.contains(name) || also, "{name}: {said}");
    }
}

#[test]
fn others_see_nothing_or_what_the_modes_allow() {
    let (office, data) = office();
    // Another user must get as far as the mountpoint.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(office.path(""), open).expect("a mode");
    let cat = |path: &Path| {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "cat", "--"];
        let mut command = Command::new("setpriv");
        command.args(nobody).arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("setpriv").success()
    };
    for (more, allowed) in [(&[][..], false), (&["--allow-other"][..], true)] {
        let mut mount = Mount::new(&office, more);
        let dataset = std::fs::read_dir(&mount.point).expect("datasets").next().expect("one");
        let here = dataset.expect("one").path().join("latest");
        let here = here.join(data.strip_prefix("/").expect("absolute"));
        // The office's own folder was 0700 when it was backed up: nobody else goes through it.
        assert!(!cat(&here.join("surat/b.bin")));
        assert_eq!(cat(&here.join("surat/a.txt")), allowed && is_open(&here));
        mount.unmount();
        std::fs::remove_dir(&mount.point).expect("a folder");
    }
}

/// Whether all folders on the way let everybody through.
fn is_open(path: &Path) -> bool {
    path.ancestors().all(|folder| folder.metadata().is_ok_and(|meta| meta.mode() & 0o001 != 0))
}
