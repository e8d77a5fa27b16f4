//! Ctrl-C, and whoever ends us as a service is ended: the first one asks a run to stop where it can be taken up again, so that nothing
//! stays half done; the second one ends it.

use lumbung_engine::Cancel;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::remote::runtime;

/// A request to stop that Ctrl-C makes, or SIGTERM.
///
/// # Errors
/// If the runtime that listens for it cannot start.
pub(crate) fn on_ctrl_c(quiet: bool) -> crate::failure::Outcome<Cancel> {
    let cancel = Cancel::default();
    let asked = cancel.clone();
    runtime()?.spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        either(&mut interrupt, &mut terminate).await;
        asked.cancel();
        if !quiet {
            eprintln!(
                "\nlumbung: stopping after what is under way; press Ctrl-C again to stop at once"
            );
        }
        either(&mut interrupt, &mut terminate).await;
        std::process::exit(1);
    });
    Ok(cancel)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
