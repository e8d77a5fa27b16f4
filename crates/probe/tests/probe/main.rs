//! Probes of every kind against real servers on loopback, some of which misbehave.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lookout;
mod names;
mod ping;
mod targets;
mod websites;

use lumbung_model::CheckId;
use lumbung_probe::{Prober, Reach, Seen};
use lumbung_wire::messages::uptime::{CheckOrder, Probe};

/// Loopback only.
fn here() -> Reach {
    Reach::parse(&["127.0.0.0/8", "::1/128"]).unwrap()
}

fn prober() -> Prober {
    Prober::with_authorities(here(), Vec::new())
}

fn order(probe: Probe) -> CheckOrder {
    CheckOrder { check: CheckId::random(), probe, interval_s: 60, timeout_s: 20 }
}

async fn look(probe: Probe) -> Seen {
    prober().look(&order(probe)).await.unwrap()
}
