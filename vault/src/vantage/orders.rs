//! What the controller orders, and what of it this site does.
//!
//! Invariants: an order is checked here whatever the controller checked; the last orders are kept, so that this site goes
//! on looking through a restart and without a controller.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lumbung_model::{CheckId, SiteId};
use lumbung_probe::{ProbeError, check_order};
use lumbung_store::{StoreError, durable};
use lumbung_wire::messages::uptime::{CheckOrder, VantageOrders};

/// Most checks that this site takes on.
pub(crate) const CHECKS_MAX: usize = 5000;
/// Seconds between two questions, whatever the controller says.
const AGAIN_S: std::ops::RangeInclusive<u32> = 30..=3600;

/// What is taken on of the controller's orders.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) orders: Vec<CheckOrder>,
    /// What cannot be done, and why.
    pub(crate) refused: Vec<(CheckId, ProbeError)>,
    /// How many were too many, or there twice.
    pub(crate) left_out: usize,
}

/// Reads the controller's orders.
pub(crate) fn accept(orders: VantageOrders) -> Accepted {
    let (mut accepted, mut refused, mut left_out) = (Vec::new(), Vec::new(), 0);
    let mut known = HashSet::new();
    for order in orders.checks {
        if accepted.len() + refused.len() == CHECKS_MAX || !known.insert(order.check) {
            left_out += 1;
        } else if let Err(error) = check_order(&order) {
            refused.push((order.check, error));
        } else {
            accepted.push(order);
        }
    }
    Accepted { orders: accepted, refused, left_out }
}

/// When to ask again: as the controller says, less up to an eighth that depends on the site, so that sites do not
/// ask together.
pub(crate) fn again(orders: &VantageOrders, site: &SiteId) -> Duration {
    let again_s = u64::from(orders.again_s.clamp(*AGAIN_S.start(), *AGAIN_S.end()));
    let less_ms = again_s * 125 * u64::from(site.as_bytes()[0]) / 255;
    Duration::from_millis(again_s * 1000 - less_ms)
}

fn file(dir: &Path) -> PathBuf {
    dir.join("vantage-orders.json")
}

/// The last orders; none before the first, or if they cannot be read: the controller is asked at once anyway.
pub(crate) fn load(dir: &Path) -> VantageOrders {
    let bytes = std::fs::read(file(dir)).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Keeps orders for the next start.
pub(crate) fn keep(dir: &Path, orders: &VantageOrders) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(orders).unwrap_or_default();
    durable::replace_file(&file(dir), &bytes, 0o640)
}

#[cfg(test)]
mod tests {
    use lumbung_wire::messages::uptime::Probe;

    use super::*;

    fn order(check: CheckId, host: &str) -> CheckOrder {
        CheckOrder { check, probe: Probe::Icmp { host: host.into() }, interval_s: 60, timeout_s: 5 }
    }

    #[test]
    fn only_what_can_be_done_is_taken_on() {
        let [a, b] = [CheckId::random(), CheckId::random()];
        let too_often = CheckOrder { interval_s: 1, ..order(b, "10.0.0.1") };
        let checks = vec![order(a, "10.0.0.1"), too_often, order(a, "10.0.0.2")];
        let accepted = accept(VantageOrders { checks, again_s: 60 });
        assert_eq!(accepted.orders, [order(a, "10.0.0.1")]);
        assert_eq!(accepted.refused, [(b, ProbeError::Interval)]);
        assert_eq!(accepted.left_out, 1);
    }

    #[test]
    fn there_is_an_end_to_what_is_taken_on() {
        let many = (0..CHECKS_MAX + 7).map(|_| order(CheckId::random(), "10.0.0.1")).collect();
        let accepted = accept(VantageOrders { checks: many, again_s: 60 });
        assert_eq!((accepted.orders.len(), accepted.left_out), (CHECKS_MAX, 7));
    }

    #[test]
    fn the_time_to_ask_again_has_its_limits() {
        let at = |again_s, byte| {
            let orders = VantageOrders { checks: Vec::new(), again_s };
            again(&orders, &SiteId::from_bytes([byte; SiteId::LEN])).as_millis()
        };
        assert_eq!((at(0, 0), at(800, 0), at(u32::MAX, 0)), (30_000, 800_000, 3_600_000));
        assert_eq!(at(800, 255), 700_000);
    }

    #[test]
    fn the_last_orders_are_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), VantageOrders::default());
        let orders =
            VantageOrders { checks: vec![order(CheckId::random(), "10.0.0.1")], again_s: 60 };
        keep(dir.path(), &orders).unwrap();
        assert_eq!(load(dir.path()), orders);
        std::fs::write(file(dir.path()), "nonsense").unwrap();
        assert_eq!(load(dir.path()), VantageOrders::default());
    }
}
