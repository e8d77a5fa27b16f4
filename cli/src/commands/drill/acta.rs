//! `lumbung drill acta`: the *berita acara* of a run, as plain text or as data.

use clap::Args;
use lumbung_model::{DocumentHash, DrillRunId};
use lumbung_wire::messages::drills::ActaDocument;
use sha2::{Digest as _, Sha256};

use super::language;
use crate::controller::{Controller, ControllerArgs};
use crate::failure::{Code, Exit, Failure, Outcome};
use crate::terminal::Terminal;

/// Arguments of `drill acta`.
#[derive(Debug, Args)]
pub(crate) struct ActaArgs {
    /// The run's id
    run: DrillRunId,
    #[command(flatten)]
    controller: ControllerArgs,
}

/// Runs `lumbung drill acta`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(super) fn run(args: &ActaArgs, terminal: &Terminal) -> Outcome<Exit> {
    print(&args.controller.connect()?, &args.run, terminal)
}

/// Prints the *berita acara* of a run.
///
/// # Errors
/// If the controller does not answer, or its data has another hash than it says.
pub(super) fn print(
    controller: &Controller,
    run: &DrillRunId,
    terminal: &Terminal,
) -> Outcome<Exit> {
    let document: ActaDocument = controller.get(&format!("/api/v1/drill-runs/{run}/acta"))?;
    let data = serde_json::to_vec(&document.acta).unwrap_or_default();
    let sha256 = DocumentHash::from_bytes(Sha256::digest(data).into());
    if sha256 != document.sha256 {
        let message =
            format!("the data has SHA-256 {sha256}, the controller says {}", document.sha256);
        let next =
            "use a `lumbung` of the controller's version; with --json nothing of the data is lost";
        if !terminal.json {
            return Err(Failure::new(Code::Controller, message, next));
        }
        terminal.warn(&message);
    }
    terminal.result(&document, || document.acta.text(language(terminal), &document.sha256))?;
    Ok(Exit::Fine)
}
