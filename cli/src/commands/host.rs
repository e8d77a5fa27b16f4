//! `lumbung server show | accept`: what a server's agent sees of its host, and that somebody accepts it.
//!
//! Invariant: what is accepted is the state that was shown, by its number; if the host is another one by now, nothing is.

use clap::Args;
use lumbung_model::ByteSize;
use lumbung_wire::messages::host::{
    HostDifference, HostDisk, HostExpectation, HostInventory, HostProcessor, InventoryAcceptance,
    ServerInventory, SmartState,
};
use lumbung_wire::messages::register::{Pd, Server};
use serde_json::json;

use crate::commands::register::id_in;
use crate::commands::register_text as text;
use crate::controller::ControllerArgs;
use crate::failure::Outcome;
use crate::table::{Table, pairs};
use crate::terminal::{Terminal, printable};

/// Arguments of `server show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name or id
    server: String,
    /// Of this PD, by code or id, where several have a server of that name
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `server accept`.
#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// Name or id
    server: String,
    /// Of this PD, by code or id, where several have a server of that name
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    /// Why it is another one than before, for instance the letter by which a disk was replaced
    #[arg(long)]
    reason: String,
    /// The state that is accepted, as `server show` numbers it
    #[arg(long, value_name = "NUMBER")]
    state: u64,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung server show`.
///
/// # Errors
/// If the controller does not answer or refuses, or there is no such server.
pub(crate) fn show(args: &ShowArgs, terminal: &Terminal) -> Outcome<()> {
    let controller = args.controller.connect()?;
    let id = id_in(&controller, "servers", args.pd.as_deref(), &args.server)?;
    let server: Server = controller.get(&format!("/api/v1/servers/{id}"))?;
    let pd: Pd = controller.get(&format!("/api/v1/pd/{}", server.pd))?;
    let host: Option<ServerInventory> =
        controller.get_if_there(&format!("/api/v1/servers/{id}/inventory"))?;
    let value = json!({ "server": server, "inventory": host });
    terminal.result(&value, || {
        let row = text::servers(std::slice::from_ref(&server), &[pd], terminal);
        let seen = host.as_ref().map_or_else(
            || {
                let none = terminal.pick(
                    "Agen belum melaporkan perangkat keras peladen ini.",
                    "The agent has told nothing of this server's hardware yet.",
                );
                format!("{none}\n")
            },
            |host| told(host, terminal),
        );
        format!("{row}\n{seen}")
    })
}

/// Runs `lumbung server accept`.
///
/// # Errors
/// If the controller does not answer or refuses, or there is no such server.
pub(crate) fn accept(args: &AcceptArgs, terminal: &Terminal) -> Outcome<()> {
    let controller = args.controller.connect()?;
    let id = id_in(&controller, "servers", args.pd.as_deref(), &args.server)?;
    let path = format!("/api/v1/servers/{id}/inventory");
    let input = InventoryAcceptance { revision: args.state, reason: args.reason.clone() };
    let accepted: ServerInventory = controller.post(&format!("{path}/accept"), &input)?;
    terminal.result(&accepted, || told(&accepted, terminal))
}

fn cell(text: Option<&str>) -> String {
    text.map_or_else(|| "–".to_owned(), |text| printable(text.as_bytes()))
}

/// Everything that is known, in words.
fn told(host: &ServerInventory, terminal: &Terminal) -> String {
    let mut out = pairs(&facts(host, terminal));
    let parts = [
        disks(&host.inventory, terminal),
        interfaces(&host.inventory, terminal),
        findings(host, terminal),
        history(host, terminal),
    ];
    for part in parts.iter().filter(|part| !part.is_empty()) {
        out.push('\n');
        out.push_str(part);
    }
    out
}

fn joined(parts: [&Option<String>; 2]) -> String {
    let parts: Vec<&str> = parts.into_iter().filter_map(Option::as_deref).collect();
    if parts.is_empty() { cell(None) } else { cell(Some(&parts.join(" "))) }
}

/// What it is.
fn hardware(seen: &HostInventory, terminal: &Terminal) -> Vec<(&'static str, String)> {
    let system = &seen.system;
    let cores = terminal.pick("inti", "cores");
    let of = |one: &HostProcessor| {
        format!("{} × {}, {} {cores}", one.sockets, cell(one.model.as_deref()), one.cores)
    };
    let processors: Vec<String> = seen.processors.iter().map(of).collect();
    let memory = seen.memory_bytes.map(|bytes| ByteSize::bytes(bytes).to_string());
    vec![
        (terminal.pick("Model", "Model"), joined([&system.vendor, &system.model])),
        (terminal.pick("Nomor seri", "Serial number"), cell(system.serial.as_deref())),
        (terminal.pick("Papan induk", "Board"), cell(system.board.as_deref())),
        (terminal.pick("Firmware", "Firmware"), joined([&system.bios_version, &system.bios_date])),
        (terminal.pick("Wadah", "Platform"), cell(seen.platform.map(|one| one.as_str()))),
        (terminal.pick("Prosesor", "Processors"), processors.join("; ")),
        (terminal.pick("Memori", "Memory"), cell(memory.as_deref())),
        (terminal.pick("Sistem", "System"), cell(seen.os.as_deref())),
        ("Kernel", cell(seen.kernel.as_deref())),
    ]
}

/// What is known, and what was accepted.
fn facts(host: &ServerInventory, terminal: &Terminal) -> Vec<(&'static str, String)> {
    let by = printable(host.accepted_by.as_bytes());
    let at = terminal.time(host.accepted_at);
    let mut facts = hardware(&host.inventory, terminal);
    facts.extend([
        (terminal.pick("Dilaporkan", "Told"), terminal.time(host.received)),
        (terminal.pick("Keadaan", "State"), host.revision.to_string()),
        (
            terminal.pick("Disetujui", "Accepted"),
            format!("{} ({by}, {at})", host.accepted_revision),
        ),
    ]);
    facts
}

fn disks(seen: &HostInventory, terminal: &Terminal) -> String {
    if seen.disks.is_empty() {
        return String::new();
    }
    let mut table = Table::new()
        .rigid("Disk")
        .text("Model")
        .text(terminal.pick("Nomor seri", "Serial number"))
        .number(terminal.pick("Ukuran", "Size"))
        .rigid("SMART")
        .number("°C")
        .number(terminal.pick("Jam", "Hours"));
    for disk in &seen.disks {
        let smart = disk.smart.as_ref();
        let figure = |figure: Option<String>| figure.unwrap_or_else(|| "–".to_owned());
        table.row([
            printable(disk.name.as_bytes()),
            cell(disk.model.as_deref()),
            cell(disk.serial.as_deref()),
            figure(disk.bytes.map(|bytes| ByteSize::bytes(bytes).to_string())),
            smart_word(disk, terminal).to_owned(),
            figure(smart.and_then(|one| one.temperature_c).map(|degrees| degrees.to_string())),
            figure(smart.and_then(|one| one.power_on_hours).map(|hours| hours.to_string())),
        ]);
    }
    table.render()
}

fn smart_word(disk: &HostDisk, terminal: &Terminal) -> &'static str {
    if disk.smart.as_ref().is_some_and(|smart| smart.passed == Some(false)) {
        return terminal.pick("GAGAL", "FAILING");
    }
    match disk.smart_state {
        SmartState::Read if disk.smart.as_ref().is_some_and(|smart| smart.passed.is_some()) => {
            terminal.pick("lulus", "passed")
        }
        SmartState::Read => terminal.pick("terbaca", "read"),
        SmartState::Asleep => terminal.pick("tidur", "asleep"),
        SmartState::Unsupported => terminal.pick("tidak ada", "none"),
        SmartState::Refused => terminal.pick("tidak boleh", "refused"),
        SmartState::Failed => terminal.pick("tidak terbaca", "unreadable"),
        SmartState::NotAsked => terminal.pick("tidak ditanya", "not asked"),
    }
}

fn interfaces(seen: &HostInventory, terminal: &Terminal) -> String {
    if seen.interfaces.is_empty() {
        return String::new();
    }
    let mut table = Table::new()
        .rigid(terminal.pick("Antarmuka", "Interface"))
        .rigid("MAC")
        .text(terminal.pick("Alamat", "Addresses"));
    for one in &seen.interfaces {
        table.row([
            printable(one.name.as_bytes()),
            cell(one.mac.as_deref()),
            printable(one.addresses.join(", ").as_bytes()),
        ]);
    }
    table.render()
}

fn findings(host: &ServerInventory, terminal: &Terminal) -> String {
    let mut out = String::new();
    for fault in &host.smart {
        out.push_str(&format!("! {}\n", printable(fault.as_bytes())));
    }
    for one in &host.differences {
        out.push_str(&format!("! {}\n", difference(one, terminal)));
    }
    out
}

fn difference(one: &HostDifference, terminal: &Terminal) -> String {
    let from = match one.from {
        HostExpectation::Register => terminal.pick("register", "register"),
        HostExpectation::Accepted => terminal.pick("disetujui", "accepted"),
        HostExpectation::Before => terminal.pick("sebelumnya", "before"),
    };
    let now = terminal.pick("sekarang", "now");
    let value =
        |text: &str| if text.is_empty() { "–".to_owned() } else { printable(text.as_bytes()) };
    let of = if one.of.is_empty() {
        String::new()
    } else {
        format!(" {}", printable(one.of.as_bytes()))
    };
    format!("{}{of}: {from} {}, {now} {}", one.aspect, value(&one.expected), value(&one.found))
}

fn history(host: &ServerInventory, terminal: &Terminal) -> String {
    let mut out = String::new();
    for change in host.changes.iter().take(10) {
        let all: Vec<String> =
            change.differences.iter().map(|one| difference(one, terminal)).collect();
        out.push_str(&format!(
            "{} ({}): {}\n",
            terminal.time(change.at),
            change.revision,
            all.join("; ")
        ));
    }
    out
}
