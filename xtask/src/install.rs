//! Installs what a command needs and the machine lacks.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{check, command, is_there, root, target_dir};

/// A program and the Debian package that brings it.
type Needed = (&'static str, &'static str, &'static str);

/// What the tests start: program, an argument with which it only answers, package.
const TEST_PROGRAMS: [Needed; 14] = [
    ("cc", "--version", "build-essential"),
    ("curl", "--version", "curl"),
    ("ip", "-V", "iproute2"),
    ("setfacl", "--version", "acl"),
    ("getcap", "/", "libcap2-bin"),
    ("sqlite3", "--version", "sqlite3"),
    ("script", "--version", "bsdutils"),
    ("faketime", "--version", "faketime"),
    // The servers themselves, without a service that would be started.
    ("/usr/lib/postgresql/15/bin/postgres", "--version", "postgresql-15"),
    ("/usr/lib/postgresql/15/bin/pg_amcheck", "--version", "postgresql-client-15"),
    ("mariadbd", "--version", "mariadb-server-core"),
    ("mariadb-dump", "--version", "mariadb-client"),
    ("mariadb-backup", "--version", "mariadb-backup"),
    ("/usr/sbin/exim4", "-bV", "exim4-daemon-light"),
];

fn apt_install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    check(&mut command("apt-get", &["update", "-qq"]))?;
    let mut install = command("apt-get", &["install", "-y", "-qq", "--no-install-recommends"]);
    check(install.args(packages).env("DEBIAN_FRONTEND", "noninteractive")).with_context(|| {
        format!("install these packages by hand and run again: {}", packages.join(" "))
    })
}

/// Installs the programs that tests start.
pub(crate) fn for_tests() -> Result<()> {
    let missing: Vec<&str> = TEST_PROGRAMS
        .iter()
        .filter(|(program, argument, _)| !is_there(program, argument))
        .map(|(_, _, package)| *package)
        .collect();
    apt_install(&missing)?;
    mariadb_user()?;
    promtool()?;
    if !is_there("cargo-nextest", "--version") {
        check(&mut command("cargo", &["install", "--locked", "cargo-nextest"]))?;
    }
    python_environment("tests/reference_reader")?;
    python_environment("tests/schemathesis")
}

/// Makes the user that MariaDB's server runs as: Debian makes it with the service, which the tests do without.
fn mariadb_user() -> Result<()> {
    const USER: &str = "mysql";
    if is_there("id", USER) {
        return Ok(());
    }
    let nowhere = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"];
    let mut add = command("useradd", &nowhere);
    check(add.args(["--shell", "/usr/sbin/nologin", USER]))
        .context("make a system user `mysql` by hand and run again")
}

/// Takes promtool out of Debian's package `prometheus`: the whole of it would start a server and take its port.
fn promtool() -> Result<()> {
    const PROGRAM: &str = "./usr/bin/promtool";
    if is_there("promtool", "--version") {
        return Ok(());
    }
    let folder = target_dir().join("promtool");
    std::fs::create_dir_all(&folder)?;
    check(&mut command("apt-get", &["update", "-qq"]))?;
    check(command("apt-get", &["download", "-qq", "prometheus"]).current_dir(&folder))?;
    let files = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<Result<Vec<_>>>()?;
    let of_package = |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "deb");
    let package = files.iter().find(of_package).context("apt-get download left no package")?;
    let mut unpack = command("dpkg-deb", &["--fsys-tarfile"]);
    let mut unpack = unpack.arg(package).stdout(Stdio::piped()).spawn()?;
    let archive = unpack.stdout.take().context("dpkg-deb has no output")?;
    let mut take = command("tar", &["--extract", "--file", "-", PROGRAM]);
    let taken = take.current_dir(&folder).stdin(archive).status()?;
    ensure!(unpack.wait()?.success() && taken.success(), "{} has no {PROGRAM}", package.display());
    let program = folder.join(PROGRAM);
    check(command("install", &["-m", "755"]).arg(program).arg("/usr/local/bin/promtool")).context(
        "put promtool of Debian's package prometheus into the path by hand and run again",
    )?;
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// Makes the virtual environment of a folder, with what its `requirements.txt` names.
fn python_environment(folder: &str) -> Result<()> {
    let folder = root().join(folder);
    let environment = folder.join(".venv");
    let python = environment.join("bin/python");
    let python = python.to_str().context("the project's path is not UTF-8")?;
    let requirements = folder.join("requirements.txt");
    let requirements = requirements.to_str().context("the project's path is not UTF-8")?;
    let ready = environment.join("installed-requirements.txt");
    let wanted = std::fs::read(requirements)?;
    if std::fs::read(&ready).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !is_there("python3", "--version") || !is_there("python3", "-cimport ensurepip") {
        apt_install(&["python3", "python3-venv"])?;
    }
    let path = environment.to_str().context("the project's path is not UTF-8")?;
    check(&mut command("python3", &["-m", "venv", "--clear", path]))?;
    check(&mut command(python, &["-m", "pip", "install", "--quiet", "-r", requirements]))?;
    std::fs::write(ready, wanted)?;
    Ok(())
}

/// Installs a peer for benchmarks; an error where it cannot be had.
pub(crate) fn peer(name: &str) -> Result<()> {
    match name {
        "restic" | "zstd" if !is_there(name, "--version") && !is_there(name, "version") => {
            apt_install(&[name])
        }
        "rustic" if !is_there(name, "--version") => {
            check(&mut command("cargo", &["install", "--locked", "rustic-rs"]))
        }
        "bupstash" if !is_there(name, "--version") => {
            apt_install(&["libsodium-dev", "pkg-config"])?;
            check(&mut command("cargo", &["install", "--locked", "bupstash"]))
        }
        "b3sum" if !is_there(name, "--version") => {
            check(&mut command("cargo", &["install", "--locked", "b3sum"]))
        }
        "borg" if !is_there(name, "--version") => {
            apt_install(&[
                "libacl1-dev",
                "libssl-dev",
                "liblz4-dev",
                "libzstd-dev",
                "libxxhash-dev",
                "pkg-config",
                "python3-dev",
            ])?;
            check(&mut command(
                "python3",
                &["-m", "pip", "install", "--quiet", "borgbackup==1.4.5"],
            ))
        }
        "restic" | "zstd" | "rustic" | "bupstash" | "borg" | "b3sum" => Ok(()),
        _ => bail!("no peer is called {name}: restic, rustic, borg, bupstash, b3sum or zstd"),
    }
}
