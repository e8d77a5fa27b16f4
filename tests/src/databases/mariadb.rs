//! A MariaDB server.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{ids, secret};
use crate::process::{Daemon, output};

/// The account that reads, and the password of everybody.
pub const BACKUP_ACCOUNT: &str = "lumbung";
const PASSWORD: &str = "rahasia sekali";

/// A server that runs.
pub struct Mariadb {
    dir: tempfile::TempDir,
    _daemon: Daemon,
}

impl Mariadb {
    /// Makes a data directory and starts its server, with a binary log.
    ///
    /// # Errors
    /// If MariaDB is not installed, or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// As [`Self::start`]; it says that it is another version, such as one of MySQL.
    ///
    /// # Errors
    /// If MariaDB is not installed, or does not start.
    pub fn start_as(version: &str) -> Result<Self> {
        // Only an option file can say so.
        Self::start_with(&format!("[mariadbd]\nversion={version}\n"))
    }

    fn start_with(options: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("mariadb-").tempdir()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let (user, group) = ids("mysql")?;
        chown(dir.path(), Some(user), Some(group))?;
        let data = dir.path().join("data");
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--user=mysql", "--skip-test-db"]);
        install.args(["--auth-root-authentication-method=normal"]);
        output(install.arg(format!("--datadir={}", data.display())))?;
        let daemon = serve(dir.path(), &data, options)?;
        let option_file = format!("[client]\npassword=\"{PASSWORD}\"\n");
        secret(&dir.path().join("credentials"), &option_file)?;
        let server = Self { dir, _daemon: daemon };
        server.sql(
            "mysql",
            &format!("GRANT ALL ON *.* TO '{BACKUP_ACCOUNT}'@'localhost' IDENTIFIED BY '{PASSWORD}' WITH GRANT OPTION"),
        )?;
        Ok(server)
    }

    /// Starts a server on a data directory that somebody else made.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_on(data: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("mariadb-").tempdir()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let (user, group) = ids("mysql")?;
        chown(dir.path(), Some(user), Some(group))?;
        let daemon = serve(dir.path(), data, "")?;
        Ok(Self { dir, _daemon: daemon })
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// An option file with the password of the account that reads.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.dir.path().join("credentials")
    }

    /// One of its programs, connected as root.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--no-defaults").arg(format!("--socket={}", self.socket().display()));
        command.arg("--user=root");
        command
    }

    /// Runs statements; gives values, columns joined by a tab.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String> {
        let mut client = self.client("mariadb");
        client.args([
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
            database,
            "-e",
        ]);
        Ok(output(client.arg(statements))?.trim().to_owned())
    }
}

fn serve(dir: &Path, data: &Path, options: &str) -> Result<Daemon> {
    let option_file = dir.join("options");
    std::fs::write(&option_file, options)?;
    let mut server = Command::new("mariadbd");
    server.arg(format!("--defaults-file={}", option_file.display()));
    server.args(["--user=mysql", "--skip-networking", "--log-bin=binlog"]);
    server.args(["--binlog-format=ROW"]);
    server.args(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--server-id=1"]);
    server.arg(format!("--datadir={}", data.display()));
    server.arg(format!("--socket={}", dir.join("socket").display()));
    server.arg(format!("--pid-file={}", dir.join("pid").display()));
    let mut daemon = Daemon::start("mariadb", &mut server, &dir.join("log"))?;
    daemon.wait_for("ready for connections")?;
    Ok(daemon)
}
