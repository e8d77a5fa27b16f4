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
    scratch: &Scratch,
    purpose: &Purpose,
    kind: Kind,
    (folder, tools): (&str, Option<&Path>),
) -> Result<Server, String> {
    make_folder(scratch, purpose, folder)?;
    match kind {
        Kind::PostgresqlDump => postgresql(scratch, purpose, folder, tools),
        Kind::MariadbDump => mariadb(scratch, purpose, folder),
        Kind::PostgresqlBase | Kind::MariadbBase | Kind::Sqlite | Kind::Command => {
            Err("no server takes what this snapshot holds".to_owned())
        }
    }
}

/// Makes a folder of a server in the place.
///
/// # Errors
/// What failed, for the journal.
pub fn make_folder(scratch: &Scratch, purpose: &Purpose, folder: &str) -> Result<(), String> {
    run(purpose, scratch.making_folder(folder), "the server's folder")
}

/// Starts a server on the data of a whole server, which was brought back into `data` of a folder; how many databases it has.
///
/// # Errors
/// What failed, for the journal.
pub fn start_recovered(
    scratch: &Scratch,
    purpose: &Purpose,
    (kind, version): (Kind, &str),
    (folder, tools): (&str, Option<&Path>),
) -> Result<usize, String> {
    let ask = match kind {
        Kind::PostgresqlBase => {
            let programs = tools.map_or_else(|| postgresql_of(version), |it| Ok(it.to_owned()))?;
            recovered_postgresql(scratch, purpose, folder, &programs)?;
            let mut ask = scratch.confined(&programs.join("psql").display().to_string());
            ask.args(["--no-psqlrc", "--tuples-only", "--no-align", "--username=postgres"]);
            ask.args(["--host", folder, "--dbname=postgres", "--command"]);
            ask.arg("SELECT count(*) FROM pg_database WHERE datallowconn AND NOT datistemplate");
            ask
        }
        Kind::MariadbBase => {
            start_mariadb(scratch, purpose, folder)?;
            let mut ask = scratch.confined("mariadb");
            ask.args(["--no-defaults", "--batch", "--skip-column-names"]);
            ask.arg(format!("--socket={folder}/socket")).arg("--execute");
            ask.arg("SELECT count(*) FROM information_schema.schemata");
            ask
        }
        _ => return Err("this snapshot is of no whole server".to_owned()),
    };
    number(purpose, ask)
}

fn number(purpose: &Purpose, mut ask: Command) -> Result<usize, String> {
    purpose.marked(&mut ask);
    let ended = purpose.hear(ask).map_err(|error| lumbung_model::with_causes(&error))?;
    ended_well("the question to the recovered server", &ended)?;
    let answer = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
    answer.parse().map_err(|_| format!("the recovered server answers {answer:?}"))
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
    start_postgresql(scratch, purpose, folder, (&programs, ""))?;
    let options = ["--host", folder, "--user", "postgres", "--tools", &program("")];
    Ok(Server { options: options.map(str::to_owned).to_vec() })
}

fn start_postgresql(
    scratch: &Scratch,
    purpose: &Purpose,
    folder: &str,
    (programs, more): (&Path, &str),
) -> Result<(), String> {
    let mut start = scratch.confined(&programs.join("pg_ctl").display().to_string());
    let options = format!(
        "-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c full_page_writes=off -c synchronous_commit=off {more}"
    );
    let (data, log) = (format!("{folder}/data"), format!("{folder}/log"));
    start.args(["start", "--wait", "--timeout", READY_S, "--pgdata", &data, "--log", &log]);
    start.args(["--options", &options]);
    run(purpose, start, "the scratch PostgreSQL")
}

/// Whoever backed it up let in whom they trusted, by files that may lie outside its data: here the place's user is let in, and nobody else
/// is there.
fn recovered_postgresql(
    scratch: &Scratch,
    purpose: &Purpose,
    folder: &str,
    programs: &Path,
) -> Result<(), String> {
    let script = "printf 'local all all trust\\n' > \"$1/hba\"; : > \"$1/conf\"; : > \"$1/ident\"";
    let mut write = scratch.confined("sh");
    write.args(["-c", script, "sh", folder]);
    run(purpose, write, "the server's configuration")?;
    let more = format!(
        "-c config_file='{folder}/conf' -c hba_file='{folder}/hba' -c ident_file='{folder}/ident' -c hot_standby=off -c archive_mode=off"
    );
    start_postgresql(scratch, purpose, folder, (programs, &more))
}

/// The folder of the programs of a server's version, such as `15.18 (Debian …)`.
fn postgresql_of(version: &str) -> Result<PathBuf, String> {
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    let folder = PathBuf::from(format!("{POSTGRESQL}/{major}/bin"));
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(format!(
        "PostgreSQL {major} is not installed on this host: a whole server comes back in its own version; install it, or name its folder"
    ))
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

fn mariadb(scratch: &Scratch, purpose: &Purpose, folder: &str) -> Result<Server, String> {
    let data = format!("{folder}/data");
    let mut init = scratch.confined("mariadb-install-db");
    init.args(["--no-defaults", "--auth-root-authentication-method=socket", "--skip-test-db"]);
    init.arg(format!("--datadir={data}"));
    run(purpose, init, "mariadb-install-db")?;
    let socket = start_mariadb(scratch, purpose, folder)?;
    let options = ["--host", &socket, "--user", scratch.user()];
    Ok(Server { options: options.map(str::to_owned).to_vec() })
}

/// Starts a server on the data in a folder; its socket.
fn start_mariadb(scratch: &Scratch, purpose: &Purpose, folder: &str) -> Result<String, String> {
    let (data, socket) = (format!("{folder}/data"), format!("{folder}/socket"));
    // Clients and checks run as the place's user, who may do everything with a server that is thrown away.
    let user = scratch.user();
    let statements = [
        format!("CREATE USER IF NOT EXISTS '{user}'@localhost IDENTIFIED VIA unix_socket;"),
        format!("GRANT ALL ON *.* TO '{user}'@localhost WITH GRANT OPTION;"),
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
    Ok(socket)
}
