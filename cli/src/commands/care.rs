//! `lumbung care`: what was done to servers, by whom, and when it is due again.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use lumbung_model::{Day, ServerId};
use lumbung_wire::messages::register::{Care, CareInput, CareKind, Pd, Server};

use super::colocation::today;
use super::register::{OfPd, find_pd, list_of, the};
use super::register_text::pd_code;
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Exit, Outcome};
use crate::table::Table;
use crate::terminal::{Terminal, plain};

/// What was done to servers: updates, settings, sizes, looks at backups, incidents
#[derive(Debug, Subcommand)]
pub(crate) enum CareCommand {
    /// List what was done, the newest first; what is overdue is marked
    List(CareList),
    /// Enter what was done to a server
    Add(Box<CareAdd>),
}

/// Arguments of `care list`.
#[derive(Debug, Args)]
pub(crate) struct CareList {
    #[command(flatten)]
    of: OfPd,
    /// Only of this server: name or id
    #[arg(long)]
    server: Option<String>,
}

/// Arguments of `care add`.
#[derive(Debug, Args)]
pub(crate) struct CareAdd {
    /// What was done, in a few words
    name: String,
    /// Whose server it is: code or id
    #[arg(long)]
    pd: String,
    /// The server: name or id
    #[arg(long)]
    server: String,
    /// patching, configuration, resize, backup_check, incident or other
    #[arg(long)]
    kind: CareKind,
    /// By whom
    #[arg(long, value_name = "PERSON")]
    by: String,
    /// The day on which it was done (default: today)
    #[arg(long, value_name = "DAY")]
    on: Option<Day>,
    /// The day by which this kind of care is due again; from the day after an alarm asks for it
    #[arg(long, value_name = "DAY")]
    due: Option<Day>,
    /// More about it, and what was found
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung care`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn care(command: &CareCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        CareCommand::List(args) => {
            let (controller, pd) = (args.of.controller.connect()?, args.of.pd.as_deref());
            let mut rows: Vec<Care> = list_of(&controller, "care", pd)?;
            let servers: Vec<Server> = list_of(&controller, "servers", pd)?;
            if let Some(named) = &args.server {
                let of =
                    the(servers.clone(), "server", named, |one| (&one.name, one.id.to_string()))?;
                rows.retain(|row| row.server == of.id);
            }
            rows.sort_by(|a, b| (b.done_on, &a.name).cmp(&(a.done_on, &b.name)));
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&rows, || table(&rows, (&pds, &servers), terminal))?;
        }
        CareCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let row: Care =
                controller.post("/api/v1/care", &input(&controller, args, terminal)?)?;
            terminal.result(&row, || format!("{}\n", row.id))?;
        }
    }
    Ok(Exit::Fine)
}

fn input(controller: &Controller, args: &CareAdd, terminal: &Terminal) -> Outcome<CareInput> {
    let pd = find_pd(controller, &args.pd)?;
    let servers: Vec<Server> = list_of(controller, "servers", Some(&pd.code))?;
    let server = the(servers, "server", &args.server, |one| (&one.name, one.id.to_string()))?;
    Ok(CareInput {
        id: None,
        pd: pd.id,
        server: server.id,
        name: args.name.clone(),
        kind: args.kind,
        done_on: args.on.unwrap_or_else(|| today(terminal)),
        by: args.by.clone(),
        note: args.note.clone(),
        due_on: args.due,
    })
}

/// The days that bind: of each server and kind that of the newest entry.
fn due(rows: &[Care]) -> HashMap<(ServerId, CareKind), Day> {
    let mut newest: HashMap<(ServerId, CareKind), Day> = HashMap::new();
    for row in rows {
        let day = newest.entry((row.server, row.kind)).or_insert(row.done_on);
        *day = (*day).max(row.done_on);
    }
    newest
}

fn table(rows: &[Care], (pds, servers): (&[Pd], &[Server]), terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Tanggal", "On"))
        .text("PD")
        .text("Server")
        .text(terminal.pick("Jenis", "Kind"))
        .text(terminal.pick("Dikerjakan", "Done"))
        .text(terminal.pick("Oleh", "By"))
        .text(terminal.pick("Berikutnya", "Due"));
    let (newest, today) = (due(rows), today(terminal));
    let names: HashMap<_, _> = servers.iter().map(|one| (one.id, one.name.as_str())).collect();
    for row in rows {
        let binds = newest.get(&(row.server, row.kind)) == Some(&row.done_on);
        let due = match row.due_on {
            None => "–".to_owned(),
            Some(day) if binds && day < today => {
                format!("{day} {}", terminal.pick("TERLAMBAT", "OVERDUE"))
            }
            Some(day) => day.to_string(),
        };
        table.row([
            row.done_on.to_string(),
            pd_code(pds, &row.pd),
            names.get(&row.server).map_or_else(|| row.server.short(), |name| plain(name)),
            row.kind.to_string(),
            plain(&row.name),
            plain(&row.by),
            due,
        ]);
    }
    table.render()
}
