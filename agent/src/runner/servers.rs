//! Database servers that are started in a scratch place for one restore, and end with it.
//!
//! Invariants: a server listens on a socket in the place and nowhere else; it runs as the place's user, without network; nothing of
//! the host's own servers is read or reached. It syncs nothing: it is thrown away.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lumbung_database::{Kind, Running};
use lumbung_engine::{Cancel, Halt};

use super::programs::{Purpose, ended_well};
use super::scratch::Scratch;

/// Where Debian and its like keep the versions of PostgreSQL.
const POSTGRESQL: &str = "/usr/lib/postgresql";
/// How long a server may take until it answers, seconds.
const READY_S: &str = "120";

/// A server that runs in a scratch place.
pub struct Server {
    /// How `lumbung database restore` reaches it.
    pub options: Vec<String>,
}

/// Starts a server for what a snapshot holds, in a folder of the place.
///
/// # Errors
/// What failed, for the journal.
pub fn start(
    scratch: &mut Scratch,
    purpose: &Purpose,
    kind: Kind,
    (folder, tools): (&str, Option<&Path>),
) -> Result<Server, String> {
    let made = run(purpose, scratch.making_folder(folder), "the server's folder");
    made.and_then(|()| match kind {
        Kind::PostgresqlDump => postgresql(scratch, purpose, folder, tools),
        Kind::MariadbDump => mariadb(scratch, purpose, folder),
        Kind::PostgresqlBase | Kind::MariadbBase | Kind::Sqlite | Kind::Command => {
            Err("no server takes what this snapshot holds".to_owned())
        }
    })
}

fn run(purpose: &Purpose, mut command: Command, what: &str) -> Result<(), String> {
    purpose.marked(&mut command);
    command.stdout(Stdio::null());
    let ended = purpose.hear_letting_live(command).map_err(|e| lumbung_model::with_causes(&e))?;
    ended_well(what, &ended)
}

fn postgresql(
    scratch: &Scratch,
    purpose: &Purpose,
    folder: &str,
    tools: Option<&Path>,
) -> Result<Server, String> {
    let programs = tools.map_or_else(newest_postgresql, |tools| Ok(tools.to_owned()))?;
    let data = format!("{folder}/data");
    let program = |name: &str| programs.join(name).display().to_string();
    let mut init = scratch.confined(&program("initdb"));
    init.args(["--pgdata", &data, "--username=postgres", "--auth=trust", "--no-sync"]);
    init.args(["--encoding=UTF8", "--locale=C.UTF-8"]);
    run(purpose, init, "initdb")?;
    let mut start = scratch.confined(&program("pg_ctl"));
    let options = format!(
        "-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    );
    let log = format!("{folder}/log");
    start.args(["start", "--wait", "--timeout", READY_S, "--pgdata", &data, "--log", &log]);
    start.args(["--options", &options]);
    run(purpose, start, "the scratch PostgreSQL")?;
    let options = ["--host", folder, "--user", "postgres", "--tools", &program("")];
    Ok(Server { options: options.map(str::to_owned).to_vec() })
}

/// The folder of the newest version's programs.
fn newest_postgresql() -> Result<PathBuf, String> {
    let versions = std::fs::read_dir(POSTGRESQL).into_iter().flatten().flatten();
    let version = |name: &std::ffi::OsStr| name.to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| version(&entry.file_name())).max();
    newest.map(|version| PathBuf::from(format!("{POSTGRESQL}/{version}/bin"))).ok_or_else(|| {
        "PostgreSQL is not installed on this host: install it, or name its folder (`postgresql` of the scratch place)"
            .to_owned()
    })
}

fn mariadb(scratch: &mut Scratch, purpose: &Purpose, folder: &str) -> Result<Server, String> {
    let (data, socket) = (format!("{folder}/data"), format!("{folder}/socket"));
    let mut init = scratch.confined("mariadb-install-db");
    init.args(["--no-defaults", "--auth-root-authentication-method=socket", "--skip-test-db"]);
    init.arg(format!("--datadir={data}"));
    run(purpose, init, "mariadb-install-db")?;
    // Checks run as the place's user, who may ask everything of a server that is thrown away.
    let user = scratch.user();
    let statements = [
        format!("CREATE USER IF NOT EXISTS '{user}'@localhost IDENTIFIED VIA unix_socket;"),
        format!("GRANT ALL ON *.* TO '{user}'@localhost;"),
    ];
    let file = format!("{folder}/init.sql");
    let mut write = scratch.confined("sh");
    // The server reads one statement a line.
    write.args(["-c", "file=$1; shift; printf '%s\\n' \"$@\" > \"$file\"", "sh", &file]);
    write.args(&statements);
    run(purpose, write, "the server's first statements")?;
    let mut server = scratch.confined("mariadbd");
    server.args(["--no-defaults", "--skip-networking", "--innodb-flush-log-at-trx-commit=0"]);
    for (name, value) in [("datadir", &data), ("socket", &socket), ("init-file", &file)] {
        server.arg(format!("--{name}={value}"));
    }
    server.arg(format!("--pid-file={folder}/pid")).stdout(Stdio::null());
    purpose.marked(&mut server);
    let running = Running::start(server, Halt::by(&Cancel::default()));
    scratch.keep(running.map_err(|error| lumbung_model::with_causes(&error))?);
    let mut ready = scratch.confined("mariadb-admin");
    ready.args(["--no-defaults", &format!("--wait={READY_S}"), "--connect-timeout=1"]);
    ready.arg(format!("--socket={socket}")).arg("ping");
    run(purpose, ready, "the scratch MariaDB")?;
    let options = ["--host", &socket, "--user", "root"];
    Ok(Server { options: options.map(str::to_owned).to_vec() })
}
