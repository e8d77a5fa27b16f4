//! `lumbung database`: what a snapshot says of its databases, and one of them back into a server.
//!
//! Invariants: nothing that is there is replaced without being asked for twice; data goes from the snapshot into the server's own
//! client and through no file.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use lumbung_database::mariadb::MariadbSettings;
use lumbung_database::postgresql::PostgresqlSettings;
use lumbung_database::restore::{
    Copy, Place, ReadError, Replayed, Restored, Target, Until, Wanted, beside, restore,
};
use lumbung_database::{Credentials, DESCRIPTION, Description, Kind, Launcher, Places};
use lumbung_engine::{Halt, SnapshotReader};
use lumbung_model::{ByteSize, ManifestId};

use super::database_recover::{self, RecoverArgs, Segments};
use crate::chain::now;
use crate::commands::browse::{self, ChosenArgs};
use crate::confirm::{Asked, confirm_as};
use crate::depot::DepotArgs;
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::interrupt::on_ctrl_c;
use crate::listing;
use crate::opening::Unlocked;
use crate::table::Table;
use crate::terminal::{Lang, Terminal, plain};

/// Databases of a snapshot: what it has, and restore into a server
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Show which databases a snapshot has: versions, character sets, sizes, rows
    Show(ShowArgs),
    /// Restore one database into a server, new or over an existing one
    Restore(RestoreArgs),
    /// Bring a whole server back from a base backup; of PostgreSQL, to a point in time
    Recover(RecoverArgs),
}

/// Which snapshot.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    depot: DepotArgs,
    /// latest, latest:DATASET, an id or its beginning
    snapshot: String,
    #[command(flatten)]
    chosen: ChosenArgs,
}

impl ShowArgs {
    /// Opens the depot with the key, or with a grant.
    ///
    /// # Errors
    /// If neither opens it.
    pub(super) fn unlock(&self, terminal: &Terminal) -> Outcome<Unlocked> {
        self.chosen.key.open()?.unlock(&self.depot, terminal)
    }
}

/// What is wanted, and where to.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    from: ShowArgs,
    /// The database, as the snapshot has it
    #[arg(long, value_name = "NAME")]
    database: String,
    /// Give it another name; of one table of PostgreSQL: the database to bring it into
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Only this table, beside what is there: in a schema (PostgreSQL) or a database (MariaDB) of its own, without foreign keys
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["replace", "log"])]
    table: Option<String>,
    /// Take the place of a database of that name; asked twice
    #[arg(long)]
    replace: bool,
    /// Make roles or accounts that are missing, and give them their rights
    #[arg(long)]
    roles: bool,
    /// Stands for the first answer, where nobody can be asked
    #[arg(long)]
    yes: bool,
    /// Stands for the second one: the name of the database to be replaced
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Let an old client program run what a dump tells it to: only if the server that was backed up was never in other hands
    #[arg(long)]
    trust_dump: bool,
    /// Put it in place although rows or checks differ from what was backed up
    #[arg(long)]
    accept_differences: bool,
    /// Replay a binary log onto it (MariaDB): a snapshot of the folder of the logs
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "launcher")]
    log: Option<String>,
    /// Only what the log has before this time (default: all of it)
    #[arg(long, value_name = "TIME", requires = "log", conflicts_with = "until_position")]
    until_time: Option<String>,
    /// Only what the log has before this place, such as binlog.000003:342
    #[arg(long, value_name = "FILE:POSITION", requires = "log")]
    until_position: Option<Place>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    launched: LaunchedArgs,
}

/// How the programs that data is fed to are started.
#[derive(Debug, Args)]
pub(super) struct LaunchedArgs {
    /// Start the server's programs by another one, such as one that confines them; once for each of its words. It must not keep them from
    /// a file that --credentials names
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    launcher: Vec<OsString>,
}

impl LaunchedArgs {
    pub(super) fn launcher(&self) -> Launcher {
        Launcher::new(self.launcher.clone())
    }
}

/// A server, as its client reaches it.
#[derive(Debug, Args)]
struct ServerArgs {
    /// Host, or the absolute path of the socket (PostgreSQL: of its folder)
    #[arg(long)]
    host: Option<String>,
    /// Port
    #[arg(long)]
    port: Option<u16>,
    /// Role or account; it has to be able to make databases
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Its password: a file with mode 0600, as .pgpass for PostgreSQL, as an option file for MariaDB
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// The folder of the server's client programs
    #[arg(long, value_name = "FOLDER")]
    tools: Option<PathBuf>,
}

/// A snapshot that is open.
pub(super) struct Opened {
    id: ManifestId,
    reader: SnapshotReader,
    /// Where its files lie.
    folder: Vec<u8>,
    description: Description,
}

/// What `database show` prints as JSON.
#[derive(serde::Serialize)]
struct Shown<'a> {
    snapshot: ManifestId,
    #[serde(flatten)]
    description: &'a Description,
}

/// Runs `lumbung database`.
///
/// # Errors
/// If the snapshot has no database, or it cannot be restored.
pub(crate) fn run(command: &DatabaseCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        DatabaseCommand::Show(args) => show(args, terminal),
        DatabaseCommand::Restore(args) => run_restore(args, terminal),
        DatabaseCommand::Recover(args) => database_recover::run(args, terminal),
    }
}

/// Opens a snapshot of databases in a depot that is open.
///
/// # Errors
/// If it holds files only, or cannot be read.
pub(super) fn open_at(
    args: &ShowArgs,
    unlocked: &Unlocked,
    terminal: &Terminal,
) -> Outcome<Opened> {
    let dataset = args.chosen.dataset.as_deref();
    let (snapshot, reader) = browse::reader(unlocked, &args.snapshot, dataset, terminal)?;
    let what = format!("the description of snapshot {} could not be read", snapshot.id.short());
    let folders = reader.list(b"").map_err(|error| listing::explain(&what, error))?;
    let found = folders.iter().find_map(|folder| {
        let path = [folder.path.as_slice(), b"/", DESCRIPTION.as_bytes()].concat();
        Some((folder.path.clone(), reader.entry(&path).ok()?))
    });
    let Some((folder, entry)) = found else {
        return Err(Failure::new(
            Code::UnknownPath,
            format!("snapshot {} holds files, no databases", snapshot.id.short()),
            "restore it with `lumbung restore`, or name a snapshot of a database (`lumbung snapshots`)",
        ));
    };
    let mut text = Vec::new();
    reader.write_content(&entry, &mut text).map_err(|error| listing::explain(&what, error))?;
    let description = serde_json::from_slice(&text).explain(
        Code::BadFile,
        || what.clone(),
        "use a newer lumbung, or restore the files with `lumbung restore`",
    )?;
    Ok(Opened { id: snapshot.id, reader, folder, description })
}

fn show(args: &ShowArgs, terminal: &Terminal) -> Outcome<Exit> {
    let opened = open_at(args, &args.unlock(terminal)?, terminal)?;
    let shown = Shown { snapshot: opened.id, description: &opened.description };
    terminal.result(&shown, || text_of(&opened.description, terminal))?;
    Ok(Exit::Fine)
}

fn text_of(description: &Description, terminal: &Terminal) -> String {
    let mut out = format!(
        "{} · {}\n{}\n",
        plain(&description.server_version),
        plain(&description.tool_version),
        terminal.time(description.started)
    );
    let mut table = Table::new()
        .text(terminal.pick("BASIS DATA", "DATABASE"))
        .text(terminal.pick("ENKODING", "ENCODING"))
        .number(terminal.pick("UKURAN", "SIZE"))
        .number(terminal.pick("TABEL", "TABLES"))
        .number(terminal.pick("BARIS", "ROWS"))
        .number(terminal.pick("PERTANYAAN", "CHECKS"));
    for database in &description.databases {
        let rows: u64 = database.tables.iter().map(|table| table.rows).sum();
        table.row([
            plain(&database.name),
            plain(&database.encoding),
            ByteSize::bytes(database.size_bytes).to_string(),
            database.tables.len().to_string(),
            rows.to_string(),
            database.checks.len().to_string(),
        ]);
    }
    out.push_str(&table.render());
    out
}

impl Copy for Opened {
    fn description(&self) -> &Description {
        &self.description
    }

    fn write(&self, path: &str, out: &mut dyn Write) -> Result<(), ReadError> {
        let path = browse::inner(path.as_ref());
        if !path.starts_with(&self.folder) {
            return Err("the description names a file outside its folder".into());
        }
        let entry = self.reader.entry(&path)?;
        Ok(self.reader.write_content(&entry, out)?)
    }
}

fn run_restore(args: &RestoreArgs, terminal: &Terminal) -> Outcome<Exit> {
    let unlocked = args.from.unlock(terminal)?;
    let opened = open_at(&args.from, &unlocked, terminal)?;
    let log = args.log.as_deref();
    let log = log.map(|spec| Segments::open(&unlocked, spec, terminal)).transpose()?;
    let until = until(args)?;
    let target = target(&args.server, opened.description.kind)?;
    let mark = mark();
    let (database, table) = (args.database.clone(), args.table.clone());
    // A table of MariaDB goes into a database of its own.
    let own = table.is_some() && matches!(target, Target::Mariadb(_));
    let usual = if own { beside(mark) } else { database.clone() };
    let name = args.name.clone().unwrap_or(usual);
    if args.replace {
        ask_twice(args, &name, terminal)?;
    }
    let cancel = on_ctrl_c(terminal.quiet)?;
    let wanted = Wanted {
        database,
        name,
        table,
        replaces: args.replace,
        roles: args.roles,
        trusts: args.trust_dump,
        accepts: args.accept_differences,
        mark,
    };
    let launcher = args.launched.launcher();
    let places = Places { credentials: None, scratch: std::env::temp_dir(), launcher };
    let log = log.as_ref().map(|log| Replayed { log, until: &until });
    let halt = Halt::by(&cancel);
    let restored = restore(&opened, &target, &wanted, log, &places, &halt).explain(
        Code::Restore,
        || format!("database {} was not restored", plain(&wanted.database)),
        "correct what the message says and run the command again",
    )?;
    terminal.result(&restored, || told(&restored, terminal))?;
    for one in &restored.left_out {
        terminal.warn(&format!("not given to the database: {}", plain(one)));
    }
    Ok(if restored.left_out.is_empty() { Exit::Fine } else { Exit::Warnings })
}

/// The time, and digits of chance: copies that are made in the same second differ.
fn mark() -> u64 {
    let seconds = u64::try_from(now().0).unwrap_or_default();
    let chance = lumbung_model::InstanceId::random();
    let chance =
        chance.as_bytes().iter().fold(0_u64, |sum, byte| (sum << 8 | u64::from(*byte)) % 1_000_000);
    seconds * 1_000_000 + chance
}

fn until(args: &RestoreArgs) -> Outcome<Until> {
    if let Some(place) = &args.until_position {
        return Ok(Until::Position(place.clone()));
    }
    let Some(text) = &args.until_time else { return Ok(Until::End) };
    let at = chrono::DateTime::parse_from_rfc3339(text).explain(
        Code::Usage,
        || format!("{} is no time", plain(text)),
        "write it with its zone, such as 2026-11-30T09:15:00+07:00",
    )?;
    Ok(Until::Time(at.naive_utc().format("%Y-%m-%d %H:%M:%S").to_string()))
}

fn told(restored: &Restored, terminal: &Terminal) -> String {
    let Restored { name, table, tables, rows, checks, kept_as, .. } = restored;
    let name = plain(name);
    if let Some(table) = table {
        let table = plain(table);
        return match terminal.lang {
            Lang::Id => format!(
                "{name}: tabel dipulihkan sebagai {table}; {rows} baris cocok. Bandingkan dan salin yang diperlukan dengan SQL, lalu hapus\n"
            ),
            Lang::En => format!(
                "{name}: the table is there as {table}; {rows} rows match. Compare it, copy what is needed by SQL, then drop it\n"
            ),
        };
    }
    let mut out = match terminal.lang {
        Lang::Id => {
            format!(
                "{name}: dipulihkan; {tables} tabel dengan {rows} baris dan {checks} pertanyaan cocok\n"
            )
        }
        Lang::En => {
            format!(
                "{name}: restored; {tables} tables with {rows} rows and {checks} checks match\n"
            )
        }
    };
    if let Some(kept_as) = kept_as {
        let kept_as = plain(kept_as);
        out.push_str(&match terminal.lang {
            Lang::Id => {
                format!("yang lama disimpan sebagai {kept_as}: hapus bila tidak diperlukan lagi\n")
            }
            Lang::En => {
                format!("the old one is kept as {kept_as}: drop it when nobody needs it any more\n")
            }
        });
    }
    out
}

/// Once in words, once by its name.
fn ask_twice(args: &RestoreArgs, name: &str, terminal: &Terminal) -> Outcome<()> {
    let shown = plain(name);
    let what = match terminal.lang {
        Lang::Id => format!(
            "Basis data {shown} di server akan diganti dengan isi snapshot; semua sesinya diputus."
        ),
        Lang::En => format!(
            "Database {shown} of the server will be replaced by the snapshot's; all its sessions are ended."
        ),
    };
    confirm_as(Asked::Restore, &what, args.yes, terminal)?;
    let typed = match &args.confirm {
        Some(typed) => typed.clone(),
        None if io::stdin().is_terminal() => {
            eprint!(
                "{}",
                terminal.pick("Ketik nama basis data itu: ", "Type the name of that database: ")
            );
            let mut line = String::new();
            io::stderr().flush().and_then(|()| io::stdin().read_line(&mut line)).explain(
                Code::Io,
                || "the answer could not be read".to_owned(),
                "run the command again, or with --confirm",
            )?;
            line.trim().to_owned()
        }
        None => String::new(),
    };
    if typed == name {
        return Ok(());
    }
    Err(Failure::new(
        Code::Declined,
        format!("the name of the database to be replaced was not given, so {shown} stays as it is"),
        "run the command again and type the name, or give it with --confirm",
    ))
}

fn target(server: &ServerArgs, kind: Kind) -> Outcome<Target> {
    let credentials = server.credentials.as_deref().map(Credentials::of_file).transpose().explain(
        Code::BadFile,
        || "the credentials cannot be used".to_owned(),
        "name a file by its absolute path",
    )?;
    match kind {
        Kind::PostgresqlDump => {
            let usual = PostgresqlSettings::default();
            Ok(Target::Postgresql(Box::new(PostgresqlSettings {
                host: server.host.clone().unwrap_or(usual.host),
                port: server.port.unwrap_or(usual.port),
                user: server.user.clone().unwrap_or_else(|| "postgres".to_owned()),
                credentials,
                tools: server.tools.clone(),
                ..PostgresqlSettings::default()
            })))
        }
        Kind::MariadbDump => {
            let usual = MariadbSettings::default();
            Ok(Target::Mariadb(Box::new(MariadbSettings {
                host: server.host.clone().unwrap_or(usual.host),
                port: server.port.unwrap_or(usual.port),
                user: server.user.clone().unwrap_or_else(|| "root".to_owned()),
                credentials,
                tools: server.tools.clone(),
                ..MariadbSettings::default()
            })))
        }
        Kind::PostgresqlBase | Kind::MariadbBase => Err(Failure::new(
            Code::Usage,
            "the snapshot is of a whole server, not of single databases",
            "bring it back with `lumbung database recover`",
        )),
        Kind::Sqlite | Kind::Command => Err(Failure::new(
            Code::Usage,
            "the snapshot holds files, which no server takes",
            "restore them with `lumbung restore`",
        )),
    }
}
