//! A PostgreSQL server. It refuses to run as root, so it runs as the user `postgres` that its package makes.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{ids, secret};
use crate::process::{Daemon, output};

/// The role that reads, and the password of everybody.
pub const BACKUP_ROLE: &str = "lumbung";
const PASSWORD: &str = "rahasia sekali";

/// A server that runs.
pub struct Postgresql {
    dir: tempfile::TempDir,
    tools: PathBuf,
    _daemon: Daemon,
}

impl Postgresql {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// As [`Self::start`], with further settings (`name=value`).
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or does not start.
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("postgresql-").tempdir()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let tools = tools()?;
        let (data, password) = (dir.path().join("data"), dir.path().join("password"));
        std::fs::create_dir(&data)?;
        std::fs::write(&password, PASSWORD)?;
        let (user, group) = ids("postgres")?;
        chown(&data, Some(user), Some(group))?;
        chown(dir.path(), Some(user), Some(group))?;
        let mut init = Command::new(tools.join("initdb"));
        init.args(["--auth=scram-sha-256", "--username=postgres", "--no-sync", "--data-checksums"]);
        init.arg("--pwfile").arg(&password).arg("--pgdata").arg(&data);
        output(init.uid(user).gid(group).current_dir(&data))?;
        let passwords = format!("*:*:*:*:{PASSWORD}\n");
        secret(&dir.path().join("pgpass"), &passwords)?;
        let daemon = serve(&tools, dir.path(), &data, settings)?;
        let server = Self { dir, tools, _daemon: daemon };
        server.sql(
            "postgres",
            &format!("CREATE ROLE {BACKUP_ROLE} SUPERUSER LOGIN PASSWORD '{PASSWORD}'"),
        )?;
        Ok(server)
    }

    /// Starts a server on a data directory that somebody else made.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_on(data: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("postgresql-").tempdir()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let (user, group) = ids("postgres")?;
        chown(dir.path(), Some(user), Some(group))?;
        secret(&dir.path().join("pgpass"), &format!("*:*:*:*:{PASSWORD}\n"))?;
        let tools = tools()?;
        let daemon = serve(&tools, dir.path(), data, &[])?;
        Ok(Self { dir, tools, _daemon: daemon })
    }

    /// The folder of its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.dir.path()
    }

    /// A password file for the role that reads.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.dir.path().join("pgpass")
    }

    /// The folder of its programs.
    #[must_use]
    pub fn tools(&self) -> &Path {
        &self.tools
    }

    /// One of its programs, connected as superuser.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.tools.join(program));
        command
            .env("PGHOST", self.socket())
            .env("PGUSER", "postgres")
            .env("PGPASSFILE", self.credentials());
        command.current_dir(self.dir.path());
        command
    }

    /// Runs statements; gives values, columns joined by `|`.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let mut psql = self.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statements]);
        Ok(output(&mut psql)?.trim().to_owned())
    }
}

fn serve(tools: &Path, dir: &Path, data: &Path, settings: &[&str]) -> Result<Daemon> {
    let (user, group) = ids("postgres")?;
    let mut server = Command::new(tools.join("postgres"));
    server.arg("-D").arg(data).arg("-k").arg(dir).args(["-c", "listen_addresses="]);
    // The machine does not fail in a test.
    server.args(["-c", "fsync=off", "-c", "shared_buffers=64MB"]);
    settings.iter().for_each(|setting| _ = server.args(["-c", setting]));
    let mut daemon = Daemon::start(
        "postgresql",
        server.uid(user).gid(group).current_dir(data),
        &dir.join("log"),
    )?;
    daemon.wait_for("database system is ready to accept connections")?;
    Ok(daemon)
}

/// The newest version that is installed.
fn tools() -> Result<PathBuf> {
    let mut versions: Vec<u32> = std::fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed: apt-get install postgresql")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    let newest =
        versions.last().context("PostgreSQL is not installed: apt-get install postgresql")?;
    Ok(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")))
}
