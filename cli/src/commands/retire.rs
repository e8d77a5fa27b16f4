//! `lumbung register retire`, `restore`, `retired`: rows that are no more, and that are again.
//!
//! People name rows; ids are looked up here, so that nobody types one.

use clap::Args;
use lumbung_model::{Clock as _, SystemClock, Timestamp};
use lumbung_wire::messages::approvals::Reasoned;
use lumbung_wire::messages::register::{RetiredKind, Retirement, RetirementInput};

use crate::commands::register::{OfPd, find_pd, id_in, list_of, one};
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Exit, Outcome};
use crate::moment::Moment;
use crate::table::Table;
use crate::terminal::{Terminal, printable};

const DAY_S: i64 = 86_400;

/// Arguments of `register retire`.
#[derive(Debug, Args)]
pub(crate) struct RetireArgs {
    /// pd, server, service, application, contact_person, dataset, building, room, rack, feed, pool, device, reservation or
    /// handover
    kind: RetiredKind,
    /// Its name or id; of a PD its code or id
    name: String,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pd: Option<String>,
    /// Since when it is no more, as in 2026-06-30 or "2026-06-30 14:00" (default: now)
    #[arg(long, value_name = "DATE")]
    from: Option<Moment>,
    /// Why
    #[arg(long)]
    reason: String,
    /// What belongs to it as well: the datasets of a server, all that is a PD's, the rooms of a building, the feeds and
    /// reservations of a rack
    #[arg(long, visible_alias = "with-datasets")]
    with_contents: bool,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `register restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The name or id of what is retired; of a PD its code or id
    name: String,
    /// What it is, where several have the name: as in `register retire`
    #[arg(long)]
    kind: Option<RetiredKind>,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pd: Option<String>,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung register retire`.
///
/// # Errors
/// If there is no such row, or the controller refuses.
pub(crate) fn retire(args: &RetireArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let input = RetirementInput {
        kind: args.kind,
        id: id_of(&controller, args)?,
        from: since(args.from, SystemClock.now(), terminal),
        reason: args.reason.clone(),
        with_contents: args.with_contents,
    };
    let done: Vec<Retirement> = controller.post("/api/v1/retirements", &input)?;
    terminal.result(&done, || table(&done, terminal))?;
    let asks_less =
        |one: &Retirement| matches!(one.kind, RetiredKind::Server | RetiredKind::Dataset);
    if !done.iter().any(asks_less) {
        return Ok(Exit::Fine);
    }
    terminal.note(terminal.pick(
        "Snapshot-nya tetap ada. Agen yang diminta kurang dari sebelumnya menunggu orang kedua: lumbung approval list",
        "Its snapshots stay. An agent that is asked for less waits for a second person: lumbung approval list",
    ));
    Ok(Exit::Fine)
}

/// Runs `lumbung register restore`.
///
/// # Errors
/// If nothing retired has that name, or the controller refuses.
pub(crate) fn restore(args: &RestoreArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let mut rows: Vec<Retirement> = list_of(&controller, "retirements", args.pd.as_deref())?;
    rows.retain(|row| args.kind.is_none_or(|kind| kind == row.kind));
    let row = one(rows, &args.name, |row| (&row.name, row.id.clone()))?;
    let path = format!("/api/v1/retirements/{}/restore", row.id);
    let done: Retirement = controller.post(&path, &Reasoned { reason: args.reason.clone() })?;
    terminal.result(&done, || table(std::slice::from_ref(&done), terminal))?;
    Ok(Exit::Fine)
}

/// Runs `lumbung register retired`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn retired(args: &OfPd, terminal: &Terminal) -> Outcome<Exit> {
    let rows: Vec<Retirement> =
        list_of(&args.controller.connect()?, "retirements", args.pd.as_deref())?;
    terminal.result(&rows, || table(&rows, terminal))?;
    Ok(Exit::Fine)
}

fn id_of(controller: &Controller, args: &RetireArgs) -> Outcome<String> {
    let list = match args.kind {
        RetiredKind::Pd => return Ok(find_pd(controller, &args.name)?.id.to_string()),
        RetiredKind::Server => "servers",
        RetiredKind::Service => "services",
        RetiredKind::Application => "applications",
        RetiredKind::ContactPerson => "contact-persons",
        RetiredKind::Dataset => "datasets",
        RetiredKind::Building => "buildings",
        RetiredKind::Room => "rooms",
        RetiredKind::Rack => "racks",
        RetiredKind::Feed => "feeds",
        RetiredKind::Pool => "pools",
        RetiredKind::Device => "devices",
        RetiredKind::Reservation => "reservations",
        RetiredKind::Handover => "handovers",
    };
    let pd = args.pd.as_deref().map(|pd| find_pd(controller, pd)).transpose()?;
    id_in(controller, list, pd.as_ref().map(|pd| pd.code.as_str()), &args.name)
}

/// From when: a day means its end, and today means now.
fn since(from: Option<Moment>, now: Timestamp, terminal: &Terminal) -> Timestamp {
    let Some(asked) = from.map(|from| from.end_in(terminal)) else { return now };
    if (0..DAY_S).contains(&asked.seconds_since(now)) { now } else { asked }
}

fn table(rows: &[Retirement], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Nama", "Name"))
        .text(terminal.pick("Jenis", "Kind"))
        .rigid(terminal.pick("Sejak", "Since"))
        .text(terminal.pick("Alasan", "Reason"))
        .text(terminal.pick("Oleh", "By"));
    for row in rows {
        table.row([
            printable(row.name.as_bytes()),
            row.kind.to_string(),
            terminal.time(row.from),
            printable(row.reason.as_bytes()),
            printable(row.by.as_bytes()),
        ]);
    }
    table.render()
}
