//! `lumbung verify`: is everything here that the snapshots need, and unharmed? Needs no key.

use clap::Args;
use lumbung_engine::{SnapshotError, VerifyReport, verify};
use lumbung_model::ByteSize;
use serde_json::json;

use crate::depot::{Access, DepotArgs, Opened};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::interrupt::on_ctrl_c;
use crate::keys::OptionalKeyArgs;
use crate::listing;
use crate::progress::Meter;
use crate::table::pairs;
use crate::terminal::{Terminal, printable};

/// Check every object and frame against its hash; with --data open everything as well
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    depot: DepotArgs,
    #[command(flatten)]
    key: OptionalKeyArgs,
    /// Open every catalogue and every frame with the key
    #[arg(long, requires = "key")]
    data: bool,
}

/// Runs `lumbung verify`.
///
/// # Errors
/// If the depot cannot be read at all.
pub(crate) fn run(args: &VerifyArgs, terminal: &Terminal) -> Outcome<Exit> {
    let bundle = args.key.open()?;
    let opened = args.depot.open(Access::of(bundle.as_ref()))?;
    let cancel = on_ctrl_c(terminal.quiet)?;
    let meter = Meter::new(terminal, "verify");
    let key = bundle.as_ref().filter(|_| args.data).map(|bundle| bundle.recovery());
    let report = verify(&opened.depot, Some(opened.chain.repository()), key, &meter, &cancel);
    meter.finish();
    if cancel.is_cancelled() {
        return Err(Failure::new(
            Code::Interrupted,
            "the verification was stopped",
            "run it again; it reads everything anew",
        ));
    }
    let report = report
        .map_err(|e: SnapshotError| listing::explain("the depot could not be verified", e))?;
    tell(&opened, &report, terminal)?;
    Ok(match (report.is_clean(), report.unauthorized.is_empty()) {
        (false, _) => Exit::Error,
        (true, false) => Exit::Warnings,
        (true, true) => Exit::Fine,
    })
}

fn tell(opened: &Opened, report: &VerifyReport, terminal: &Terminal) -> Outcome<()> {
    let damaged: Vec<_> = report
        .damaged
        .iter()
        .map(|d| json!({ "snapshot": d.snapshot, "reasons": d.reasons }))
        .collect();
    let value = json!({
        "repository": opened.chain.repository(),
        "depot": opened.name(),
        "clean": report.is_clean(),
        "snapshots": report.snapshots,
        "packs": report.packs,
        "frames": report.frames,
        "bytes": report.bytes,
        "opened_frames": report.opened_frames,
        "damaged": damaged,
        "findings": report.findings,
        "unauthorized": report.unauthorized,
    });
    terminal.result(&value, || text(report, terminal))?;
    if !report.is_clean() && !terminal.json {
        eprintln!(
            "next: read the damaged snapshots at another site; a vault repairs frames by its scrub, from the other site"
        );
    }
    Ok(())
}

fn text(report: &VerifyReport, terminal: &Terminal) -> String {
    let mut text = pairs(&[
        (terminal.pick("Cuplikan", "Snapshots"), report.snapshots.to_string()),
        (terminal.pick("Pak", "Packs"), report.packs.to_string()),
        (terminal.pick("Bingkai", "Frames"), report.frames.to_string()),
        (terminal.pick("Dibaca", "Read"), ByteSize::bytes(report.bytes).to_string()),
        (
            terminal.pick("Dibuka dengan kunci", "Opened with the key"),
            report.opened_frames.to_string(),
        ),
    ]);
    for damaged in &report.damaged {
        text.push_str(&format!("{} {}\n", terminal.pick("RUSAK", "DAMAGED"), damaged.snapshot));
        for reason in &damaged.reasons {
            text.push_str(&format!("  {}\n", printable(reason.as_bytes())));
        }
    }
    for finding in &report.findings {
        text.push_str(&format!(
            "{} {}\n",
            terminal.pick("Temuan:", "Finding:"),
            printable(finding.as_bytes())
        ));
    }
    for snapshot in &report.unauthorized {
        text.push_str(&format!(
            "{} {snapshot}\n",
            terminal.pick("Belum disahkan:", "Not authorised:")
        ));
    }
    text.push_str(if report.is_clean() {
        terminal.pick("Utuh.\n", "Sound.\n")
    } else {
        terminal.pick("TIDAK UTUH.\n", "DAMAGED.\n")
    });
    text
}
