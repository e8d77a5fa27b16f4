//! `lumbung` alone on a directory, with no vault and no controller: key, repository, data.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{output, program};

/// The passphrase of the key bundle.
pub const PASSPHRASE: &str = "gabah kering giling";

/// A custodian, a server and a depot in one temporary directory.
pub struct Alone {
    directory: TempDir,
}

impl Alone {
    /// Makes a key, an empty repository and an agent's identity.
    ///
    /// # Errors
    /// If `lumbung` refuses.
    pub fn new() -> Result<Self> {
        let alone = Self { directory: TempDir::with_prefix("lumbung-alone-")? };
        output(alone.lumbung().args(["key", "new"]).arg(alone.key()))?;
        let mut init = alone.lumbung();
        init.args(["repo", "init"]).arg(alone.depot()).arg("--key").arg(alone.key());
        output(init.arg("--agent").arg(alone.agent()))?;
        fs::create_dir(alone.source())?;
        Ok(alone)
    }

    /// The temporary directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The repository.
    #[must_use]
    pub fn depot(&self) -> PathBuf {
        self.path().join("depot")
    }

    /// The key bundle.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.path().join("pd.key")
    }

    /// The agent's identity; its state stands beside it.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.path().join("agent.id")
    }

    /// What is backed up.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.path().join("source")
    }

    /// `lumbung` with the passphrase and a home of its own.
    ///
    /// # Panics
    /// If it was not built.
    #[must_use]
    pub fn lumbung(&self) -> Command {
        let mut command = Command::new(program("lumbung").expect("built"));
        command
            .env("LUMBUNG_PASSPHRASE", PASSPHRASE)
            .env("HOME", self.path())
            .env_remove("XDG_CONFIG_HOME");
        command
    }

    /// Backs the source up.
    ///
    /// # Errors
    /// If the backup fails.
    pub fn backup(&self) -> Result<Value> {
        let mut backup = self.lumbung();
        backup
            .args(["--json", "backup"])
            .arg(self.depot())
            .arg("--agent")
            .arg(self.agent())
            .arg(self.source());
        Ok(serde_json::from_str(&output(&mut backup)?)?)
    }

    /// The command that restores the newest snapshot of `depot` to `target`.
    #[must_use]
    pub fn restore(&self, depot: &Path, target: &Path) -> Command {
        let mut restore = self.lumbung();
        restore
            .arg("restore")
            .arg(depot)
            .arg("latest")
            .arg("--key")
            .arg(self.key())
            .arg("--target")
            .arg(target);
        restore
    }

    /// Where the source is beneath a restore's target.
    ///
    /// # Panics
    /// If the temporary directory's path is relative.
    #[must_use]
    pub fn restored(&self, target: &Path) -> PathBuf {
        target.join(self.source().strip_prefix("/").expect("an absolute path"))
    }
}

/// Fills a directory with everything that a file system knows (some of it needs root).
///
/// # Errors
/// If the file system refuses something.
pub fn furnish(directory: &Path) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let file = |name: &str, content: &[u8]| -> Result<PathBuf> {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(&path, content)?;
        Ok(path)
    };
    file("kosong", b"")?;
    for i in 0..200_u32 {
        file(
            &format!("surat/{}/surat-{i}.txt", i % 7),
            format!("Surat nomor {i}\n").repeat(i as usize % 50 + 1).as_bytes(),
        )?;
    }
    let large: Vec<u8> =
        (0..9_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    file("besar.bin", &large)?;
    let raw = directory.join(std::ffi::OsStr::from_bytes(b"nama \xff\xfe\n mentah"));
    fs::write(&raw, "nama berkas bukan UTF-8")?;
    let program = file("bin/program", b"#!/bin/sh\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    chown(&program, Some(1234), Some(4321))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    fs::hard_link(&program, directory.join("bin/nama-lain"))?;
    symlink("tidak/ada", directory.join("bin/putus"))?;
    let mut sparse = File::create(directory.join("jarang.img"))?;
    sparse.seek(SeekFrom::Start(40 << 20))?;
    sparse.write_all(b"di tengah lubang")?;
    sparse.set_len(80 << 20)?;
    special(directory)
}

/// Devices, pipes, sockets, attributes, access lists, capabilities.
fn special(directory: &Path) -> Result<()> {
    use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};
    mknodat(CWD, directory.join("pipa"), FileType::Fifo, Mode::from_raw_mode(0o640), 0)?;
    mknodat(
        CWD,
        directory.join("null"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        makedev(1, 3),
    )?;
    drop(std::os::unix::net::UnixListener::bind(directory.join("soket"))?);
    let with = directory.join("beratribut");
    fs::write(&with, "isi")?;
    setxattr(&with, "user.lumbung", b"nilai", XattrFlags::empty())?;
    output(Command::new("setfacl").args(["-m", "u:1234:rw,g:4321:r"]).arg(&with))?;
    output(Command::new("setfacl").args(["-d", "-m", "u:1234:rwx"]).arg(directory.join("surat")))?;
    output(
        Command::new("setcap").arg("cap_net_bind_service=+ep").arg(directory.join("beratribut")),
    )?;
    Ok(())
}
