//! Ctrl-C: the first one asks a run to stop where it can be taken up again, the second one ends it.

use lumbung_engine::Cancel;

use crate::remote::runtime;

/// A request to stop that Ctrl-C makes.
///
/// # Errors
/// If the runtime that listens for it cannot start.
pub(crate) fn on_ctrl_c(quiet: bool) -> crate::failure::Outcome<Cancel> {
    let cancel = Cancel::default();
    let asked = cancel.clone();
    runtime()?.spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        asked.cancel();
        if !quiet {
            eprintln!(
                "\nlumbung: stopping after what is under way; press Ctrl-C again to stop at once"
            );
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    });
    Ok(cancel)
}
