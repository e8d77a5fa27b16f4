//! Every check at its interval, for as long as it is ordered.
//!
//! Invariants: a check is looked at when the clock is at its phase, which follows from its id: vantage points do not
//! drift apart, and the load is spread. At most [`AT_ONCE_MAX`] probes run at once, and none of a check that still has
//! one; orders that stay the same are not disturbed by others that change. A probe that was not made gives a
//! sighting too, which says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{CheckId, Clock, Timestamp};
use lumbung_wire::messages::uptime::CheckOrder;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::{Prober, Seen, Unmade};

/// Probes at once: five thousand checks a minute of which half run into a time-out of five seconds are 208.
const AT_ONCE_MAX: usize = 256;
/// A new order is first looked at within so many seconds, however long its interval is.
const FIRST_WITHIN_S: u32 = 10;

/// What one probe gave.
#[derive(Debug)]
pub struct Sighting {
    /// Of which check.
    pub check: CheckId,
    /// When the probe began.
    pub at: Timestamp,
    /// Seconds from one probe to the next, as the order says.
    pub interval_s: u32,
    /// What was seen, or why nothing was.
    pub seen: Result<Seen, Unmade>,
}

/// Whoever looks.
pub struct Lookout {
    shared: Arc<Shared>,
    watches: HashMap<CheckId, Watch>,
}

struct Shared {
    prober: Prober,
    clock: Arc<dyn Clock>,
    slots: Semaphore,
    sink: mpsc::Sender<Sighting>,
    stop: CancellationToken,
}

struct Watch {
    order: CheckOrder,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lookout {
    /// A lookout without orders. What it sees goes to `sink`; `stop` ends it, and so does dropping it.
    #[must_use]
    pub fn new(
        prober: Prober,
        clock: Arc<dyn Clock>,
        sink: mpsc::Sender<Sighting>,
        stop: CancellationToken,
    ) -> Self {
        let slots = Semaphore::new(AT_ONCE_MAX);
        let shared = Arc::new(Shared { prober, clock, slots, sink, stop });
        Self { shared, watches: HashMap::new() }
    }

    /// From now on these orders, and no others; of two with the same id the last. Has to be called within a runtime.
    pub fn watch(&mut self, orders: Vec<CheckOrder>) {
        let mut before = std::mem::take(&mut self.watches);
        for order in orders {
            let same = before.remove(&order.check).filter(|watch| watch.order == order);
            let watch = same.unwrap_or_else(|| self.begin(order));
            self.watches.insert(watch.order.check, watch);
        }
    }

    /// How many checks are looked at.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watches.len()
    }

    /// Whether nothing is looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    fn begin(&self, order: CheckOrder) -> Watch {
        let (shared, own) = (Arc::clone(&self.shared), order.clone());
        let stop = self.shared.stop.clone();
        let task = tokio::spawn(async move {
            stop.run_until_cancelled(shared.keep_looking(&own)).await;
        });
        Watch { order, task: task.abort_handle() }
    }
}

impl Shared {
    /// Ends when nobody takes what is seen.
    async fn keep_looking(&self, order: &CheckOrder) {
        let phase = phase(&order.check);
        let mut due = next_due(self.clock.now(), FIRST_WITHIN_S.min(order.interval_s), phase);
        loop {
            let wait_s = due.seconds_since(self.clock.now());
            if let Ok(seconds @ 1..) = u64::try_from(wait_s) {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            let Ok(_slot) = self.slots.acquire().await else { return };
            let at = self.clock.now();
            let seen = self.prober.look(order).await;
            let sighting = Sighting { check: order.check, at, interval_s: order.interval_s, seen };
            if self.sink.send(sighting).await.is_err() {
                return;
            }
            due = next_due(self.clock.now().max(at), order.interval_s, phase);
        }
    }
}

/// Where in its interval a check is looked at.
fn phase(check: &CheckId) -> u32 {
    let [a, b, c, d, ..] = *check.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The next time after `now` that is at this phase of the interval.
fn next_due(now: Timestamp, interval_s: u32, phase: u32) -> Timestamp {
    let interval_s = i64::from(interval_s.max(1));
    let since = (now.0 - i64::from(phase)).rem_euclid(interval_s);
    now.plus_seconds(interval_s - since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vantage_points_look_at_the_same_seconds() {
        let phase = phase(&CheckId::from_bytes([9; 16]));
        let mut due = Timestamp(1_800_000_000);
        let mut other = Timestamp(1_799_999_123);
        for _ in 0..100 {
            due = next_due(due, 60, phase);
            while other < due {
                other = next_due(other, 60, phase);
            }
            assert_eq!(due, other);
        }
        assert_eq!(next_due(Timestamp(0), 60, 0), Timestamp(60), "never the same second again");
        assert_eq!(next_due(Timestamp(59), 60, 60), Timestamp(60));
        assert_eq!(next_due(Timestamp(-5), 10, 3), Timestamp(3));
    }

    #[test]
    fn phases_are_spread() {
        let mut seconds = [0; 60];
        for _ in 0..6000 {
            let due = next_due(Timestamp(-1), 60, phase(&CheckId::random()));
            seconds[usize::try_from(due.0).unwrap()] += 1;
        }
        assert!(seconds.iter().all(|checks| (40..=170).contains(checks)), "{seconds:?}");
    }
}
