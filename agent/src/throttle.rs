//! Holds a run back to the rate that the configuration allows at this time of day.
//!
//! Invariants: shared by all threads of a run; a change of the rate takes effect within a second, on
//! what is waiting already too; a run that is cancelled waits no longer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lumbung_engine::{Cancel, Throttle};
use lumbung_model::Clock;
use lumbung_model::rate::{RateCaps, TokenBucket};

/// What may go at once after a pause.
const BURST_BYTES: u64 = 1 << 20;
/// How often a waiting thread looks whether the rate has changed or the run was cancelled.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The rate caps, in force.
pub struct RateLimiter {
    plan: RateCaps,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    started: Instant,
    bucket: Mutex<TokenBucket>,
}

impl RateLimiter {
    /// A limiter for one run.
    #[must_use]
    pub fn new(plan: RateCaps, clock: Arc<dyn Clock>, cancel: Cancel) -> Self {
        let bucket = TokenBucket::new(plan.rate_at(clock.now()), BURST_BYTES);
        Self { plan, clock, cancel, started: Instant::now(), bucket: Mutex::new(bucket) }
    }

    /// Takes `bytes` at the rate of now, and says how long to wait.
    fn wait_for(&self, bytes: u64) -> Duration {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.set_rate(self.plan.rate_at(self.clock.now()), elapsed);
        bucket.take(bytes, elapsed)
    }
}

impl Throttle for RateLimiter {
    fn take(&self, bytes: u64) {
        if self.plan.is_unlimited() {
            return;
        }
        let mut wait = self.wait_for(bytes);
        while !wait.is_zero() && !self.cancel.is_cancelled() {
            // Nothing announces that time has passed or a window has begun: looked at again in steps.
            std::thread::sleep(wait.min(LOOK_AGAIN));
            wait = self.wait_for(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::rate::{Cap, Rate, RatePlan};
    use lumbung_model::{FixedClock, Timestamp};

    use super::*;

    fn limiter(rate: Option<Rate>, cancel: &Cancel) -> RateLimiter {
        let plan = RatePlan::new(chrono_tz::Tz::UTC, Vec::new(), Cap(rate));
        RateLimiter::new(plan.into(), Arc::new(FixedClock::new(Timestamp(0))), cancel.clone())
    }

    #[test]
    fn what_exceeds_the_burst_waits_and_a_cancelled_run_does_not() {
        let cancel = Cancel::default();
        let slow = limiter(Rate::bytes_per_second(1), &cancel);
        assert!(slow.wait_for(BURST_BYTES).is_zero());
        assert!(slow.wait_for(1000) > Duration::from_secs(900));
        cancel.cancel();
        slow.take(1_000_000); // would wait for eleven days
        limiter(None, &Cancel::default()).take(u64::MAX);
    }
}
