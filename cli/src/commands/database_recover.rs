//! `lumbung database recover`: a whole PostgreSQL server back, to a point in time.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use lumbung_database::Kind;
use lumbung_database::recover::{Log, Point, Recovered, Recovery, recover};
use lumbung_database::restore::ReadError;
use lumbung_engine::{Halt, Include, SnapshotError, SnapshotReader};
use lumbung_seal::catalogue::{Entry, EntryKind};

use super::database::{LaunchedArgs, ShowArgs, open_at};
use crate::commands::browse;
use crate::failure::{Code, Exit, Explain as _, Failure, Outcome};
use crate::interrupt::on_ctrl_c;
use crate::listing;
use crate::opening::Unlocked;
use crate::terminal::{Lang, Terminal, plain};

/// Which server, and to which point in time.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The base backup
    #[command(flatten)]
    base: ShowArgs,
    /// The snapshot of the archived log: latest:DATASET, an id or its beginning; without one, to the end of the base backup
    #[arg(long, value_name = "SNAPSHOT")]
    log: Option<String>,
    /// The data directory to be made, new or empty
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// To a time, such as '2026-11-30 09:15:00+07'
    #[arg(long, value_name = "TIME", group = "point")]
    to_time: Option<String>,
    /// To a transaction, by its number
    #[arg(long, value_name = "XID", group = "point")]
    to_transaction: Option<String>,
    /// To a log sequence number, such as 0/16B3748
    #[arg(long, value_name = "LSN", group = "point")]
    to_position: Option<String>,
    /// To a restore point that was given a name
    #[arg(long, value_name = "NAME", group = "point")]
    to_name: Option<String>,
    /// Stop just before that point
    #[arg(long, requires = "point")]
    before: bool,
    /// The user that the server runs as
    #[arg(long, value_name = "USER", default_value = "postgres")]
    owner: String,
    #[command(flatten)]
    launched: LaunchedArgs,
}

impl RecoverArgs {
    fn point(&self) -> Point {
        let time = self.to_time.clone().map(Point::Time);
        let transaction = self.to_transaction.clone().map(Point::Transaction);
        let position = self.to_position.clone().map(Point::Position);
        let name = self.to_name.clone().map(Point::Name);
        time.or(transaction).or(position).or(name).unwrap_or(Point::End)
    }
}

/// The files of the log in a snapshot.
pub(super) struct Segments {
    reader: SnapshotReader,
    files: Vec<(String, u64)>,
    entries: Vec<Entry>,
}

impl Segments {
    /// Opens the snapshot that is meant.
    ///
    /// # Errors
    /// If none or several are meant, or it cannot be read.
    pub(super) fn open(unlocked: &Unlocked, spec: &str, terminal: &Terminal) -> Outcome<Self> {
        let (snapshot, reader) = browse::reader(unlocked, spec, None, terminal)?;
        let what = format!("snapshot {} of the log could not be read", snapshot.id.short());
        Self::of(reader).map_err(|error| listing::explain(&what, error))
    }

    fn of(reader: SnapshotReader) -> Result<Self, SnapshotError> {
        let (mut files, mut entries) = (Vec::new(), Vec::new());
        reader.for_each::<SnapshotError>(&Include::all(), &mut |entry| {
            let name = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            if let (EntryKind::File { size, .. }, Ok(name)) =
                (&entry.kind, std::str::from_utf8(name))
            {
                files.push((name.to_owned(), *size));
                entries.push(entry);
            }
            Ok(())
        })?;
        Ok(Self { reader, files, entries })
    }
}

impl Log for Segments {
    fn files(&self) -> &[(String, u64)] {
        &self.files
    }

    fn write(&self, name: &str, out: &mut dyn Write) -> Result<(), ReadError> {
        let index = self.files.iter().position(|(known, _)| known == name);
        let entry = index.and_then(|index| self.entries.get(index)).ok_or("no such file")?;
        Ok(self.reader.write_content(entry, out)?)
    }
}

/// Runs `lumbung database recover`.
///
/// # Errors
/// If the snapshot is no base backup, the log has a gap, or the data directory cannot be made.
pub(crate) fn run(args: &RecoverArgs, terminal: &Terminal) -> Outcome<Exit> {
    let unlocked = args.base.unlock(terminal)?;
    let base = open_at(&args.base, &unlocked, terminal)?;
    let log = args.log.as_deref();
    let log = log.map(|spec| Segments::open(&unlocked, spec, terminal)).transpose()?;
    let owner = owner(&args.owner)?;
    let (data, point, inclusive) = (args.data.clone(), args.point(), !args.before);
    let launcher = args.launched.launcher();
    let wanted = Recovery { data, point, inclusive, owner, launcher };
    let cancel = on_ctrl_c(terminal.quiet)?;
    let log = log.as_ref().map(|log| log as &dyn Log);
    let recovered = recover(&base, log, &wanted, &Halt::by(&cancel)).explain(
        Code::Restore,
        || "the server was not brought back".to_owned(),
        "correct what the message says, remove the folder, and run the command again",
    )?;
    terminal.result(&recovered, || told(&recovered, terminal.lang))?;
    Ok(Exit::Fine)
}

fn told(recovered: &Recovered, lang: Lang) -> String {
    let Recovered { kind, data, version, first_segment, last_segment } = recovered;
    let (data, version, place) = (data.display(), plain(version), plain(first_segment));
    match (kind, lang) {
        (Kind::MariadbBase, Lang::Id) => format!(
            "{data}: {version}, keadaan pada {place}\n\
             jalankan server di atasnya (mariadbd --datadir={data}); log binernya diputar dari tempat itu dengan mariadb-binlog\n"
        ),
        (Kind::MariadbBase, Lang::En) => format!(
            "{data}: {version}, as it was at {place}\n\
             start a server on it (mariadbd --datadir={data}); its binary log is replayed from there with mariadb-binlog\n"
        ),
        (_, Lang::Id) => format!(
            "{data}: PostgreSQL {version}, log {place} sampai {last_segment} utuh\n\
             jalankan server di atasnya (pg_ctl -D {data} start); ia memutar log sampai titik itu dan lalu menerima penulisan\n"
        ),
        (_, Lang::En) => format!(
            "{data}: PostgreSQL {version}, log {place} to {last_segment} without a gap\n\
             start a server on it (pg_ctl -D {data} start): it replays the log to that point, then takes writes\n"
        ),
    }
}

/// User and group, where we may give files away.
fn owner(name: &str) -> Outcome<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").explain(
        Code::Io,
        || "the users of this machine cannot be read".to_owned(),
        "look at /etc/passwd",
    )?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.into_iter().find_map(|fields| match fields.as_slice() {
        [user, _, id, group, ..] if *user == name => Some((id.parse().ok()?, group.parse().ok()?)),
        _ => None,
    });
    found.map(Some).ok_or_else(|| {
        Failure::new(
            Code::Usage,
            format!("this machine has no user {}", plain(name)),
            "name the user that the server runs as with --owner",
        )
    })
}
