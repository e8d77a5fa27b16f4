//! `lumbung key report` and `inventory`: which keys were tested, as the controller keeps it.
//!
//! Invariant: what is handed in is a signed record; no key and no share leaves the custodian's machine.

use std::path::PathBuf;

use clap::Args;
use lumbung_pack::armor;
use lumbung_pack::rehearsal::{TITLE, read_rehearsal};
use lumbung_wire::messages::keys::{KeyEntry, KeyReportAccepted, KeyState};

use super::register::find_pd;
use crate::controller::ControllerArgs;
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::files::read_text;
use crate::table::{Table, pairs};
use crate::terminal::{Terminal, printable};

/// Arguments of `key report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The record that `lumbung key rehearse` wrote
    record: PathBuf,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Arguments of `key inventory`.
#[derive(Debug, Args)]
pub(crate) struct InventoryArgs {
    /// Only this PD, by code or id
    #[arg(long, value_name = "PD")]
    pd: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung key report`.
///
/// # Errors
/// If it is no record, or the controller does not take it.
pub(crate) fn report(args: &ReportArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bad = |cause: String| {
        let message = format!("{} is no record of a rehearsal: {cause}", args.record.display());
        Failure::new(Code::BadFile, message, "name the file that `lumbung key rehearse` wrote")
    };
    let text = read_text(&args.record, "the record")?;
    // Before it is sent: what does not verify here does not verify there.
    read_rehearsal(&text).map_err(|e| bad(e.to_string()))?;
    let object = armor::decode(TITLE, &text).map_err(|e| bad(e.to_string()))?;
    let accepted: KeyReportAccepted =
        args.controller.connect()?.post_bytes("/api/v1/key-reports", object.to_vec())?;
    terminal.result(&accepted, || {
        pairs(&[
            (terminal.pick("Geladi kunci", "Key rehearsal"), terminal.time(accepted.at)),
            (terminal.pick("Kunci akar (publik)", "Root key (public)"), accepted.key.to_string()),
            ("PD", accepted.pd.to_string()),
        ])
    })?;
    Ok(Exit::Fine)
}

/// Runs `lumbung key inventory`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn inventory(args: &InventoryArgs, terminal: &Terminal) -> Outcome<Exit> {
    let controller = args.controller.connect()?;
    let pd = args.pd.as_deref().map(|pd| find_pd(&controller, pd)).transpose()?;
    let only = pd.map_or_else(String::new, |pd| format!("?pd={}", pd.id));
    let all: Vec<KeyEntry> = controller.list(&format!("/api/v1/key-inventory{only}"))?;
    terminal.result(&all, || table(&all, terminal))?;
    Ok(Exit::Fine)
}

const fn state(entry: &KeyEntry, terminal: &Terminal) -> &'static str {
    match entry.state {
        KeyState::Tested => terminal.pick("teruji", "tested"),
        KeyState::Untested => terminal.pick("belum diuji", "not tested yet"),
        KeyState::Overdue => terminal.pick("terlambat diuji", "overdue"),
    }
}

fn table(all: &[KeyEntry], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .rigid("PD")
        .rigid(terminal.pick("Kunci akar", "Root key"))
        .text(terminal.pick("Label", "Label"))
        .rigid(terminal.pick("Keadaan", "State"))
        .text(terminal.pick("Terakhir", "Last"))
        .text(terminal.pick("Berikutnya", "Next"))
        .text(terminal.pick("Pemegang bagian", "Holders of shares"));
    for entry in all {
        let mut holders: Vec<String> = entry
            .holders
            .iter()
            .map(|one| format!("{} {}", one.number, printable(one.holder.as_bytes())))
            .collect();
        if entry.shares > 0 {
            holders.push(format!(
                "({} {} {})",
                entry.threshold,
                terminal.pick("dari", "of"),
                entry.shares
            ));
        }
        let proposal = terminal.pick(" (usulan)", " (a proposal)");
        let note = if entry.instrument.is_empty() { proposal } else { "" };
        let spare = if entry.spare { terminal.pick(" (cadangan)", " (spare)") } else { "" };
        table.row([
            entry.pd.short(),
            entry.key.short(),
            format!("{}{spare}", printable(entry.label.as_bytes())),
            state(entry, terminal).to_owned(),
            entry.rehearsed.map_or_else(|| "–".to_owned(), |at| terminal.time(at)),
            format!("{}{note}", terminal.time(entry.due)),
            holders.join(", "),
        ]);
    }
    table.render()
}
