//! `lumbung register history`: who changed which fields of a row, and when.

use clap::Args;
use lumbung_model::PdId;
use lumbung_wire::messages::register::{HistoryEntry, HistoryKind, RegisterTable};

use crate::commands::set::path_of;
use crate::controller::ControllerArgs;
use crate::failure::{Exit, Outcome};
use crate::table::Table;
use crate::terminal::{Terminal, printable};

/// Arguments of `register history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The table, as in `register set`
    table: RegisterTable,
    /// The row's name (of a PD its code) or id; of what is retired its id, or its code
    name: String,
    /// Whose it is, where several have the name: code or id
    #[arg(long)]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

const fn kind(table: RegisterTable) -> HistoryKind {
    use {HistoryKind as K, RegisterTable as T};
    match table {
        T::Sites => K::Site,
        T::Buildings => K::Building,
        T::Rooms => K::Room,
        T::Racks => K::Rack,
        T::Feeds => K::Feed,
        T::Pools => K::Pool,
        T::Pd => K::Pd,
        T::Servers => K::Server,
        T::Services => K::Service,
        T::Applications => K::Application,
        T::ContactPersons => K::ContactPerson,
        T::Checks => K::Check,
        T::Datasets => K::Dataset,
        T::Devices => K::Device,
        T::Reservations => K::Reservation,
        T::Handovers => K::Handover,
        T::OnCall => K::OnCall,
        T::Care => K::Care,
    }
}

/// Runs `lumbung register history`.
///
/// # Errors
/// If there is no such row, or the controller does not answer.
pub(crate) fn history(args: &HistoryArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    // What is retired stands in no list; ids of all kinds are written alike.
    let id = match args.name.parse::<PdId>() {
        Ok(id) => id.to_string(),
        Err(_) => {
            let path = path_of(&controller, (args.table, &args.name, args.pd.as_deref()))?;
            path.rsplit('/').next().unwrap_or_default().to_owned()
        }
    };
    let path = format!("/api/v1/history?kind={}&id={id}", kind(args.table));
    let rows: Vec<HistoryEntry> = controller.list(&path)?;
    terminal.result(&rows, || table(&rows, terminal))?;
    Ok(Exit::Fine)
}

fn table(rows: &[HistoryEntry], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid(terminal.pick("Waktu", "When"))
        .text(terminal.pick("Oleh", "By"))
        .text(terminal.pick("Tindakan", "Action"))
        .text(terminal.pick("Isian", "Field"))
        .text(terminal.pick("Sebelum", "Before"))
        .text(terminal.pick("Sesudah", "After"));
    let shown = |text: Option<&String>| {
        text.map_or_else(|| "–".to_owned(), |text| printable(text.as_bytes()))
    };
    for row in rows {
        let head = [terminal.time(row.at), printable(row.by.as_bytes()), row.action.clone()];
        if row.changes.is_empty() {
            table.row(head.clone());
        }
        for (index, change) in row.changes.iter().enumerate() {
            let head = if index == 0 { head.clone() } else { Default::default() };
            let change =
                [change.field.clone(), shown(change.before.as_ref()), shown(change.after.as_ref())];
            table.row(head.into_iter().chain(change));
        }
    }
    table.render()
}
