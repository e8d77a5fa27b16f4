//! The pull's speed: the plan of the configuration, enforced by one bucket for all transfers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lumbung_model::Clock;
use lumbung_model::rate::{RatePlan, TokenBucket};

/// Bytes that may pass at once after a pause.
const BURST: u64 = 4 << 20;

/// Lets bytes through as fast as the plan allows.
pub(crate) struct Limiter {
    plan: RatePlan,
    clock: Arc<dyn Clock>,
    since: Instant,
    bucket: Mutex<TokenBucket>,
}

impl Limiter {
    pub(crate) fn new(plan: RatePlan, clock: Arc<dyn Clock>) -> Self {
        Self {
            plan,
            clock,
            since: Instant::now(),
            bucket: Mutex::new(TokenBucket::new(None, BURST)),
        }
    }

    /// Waits until `bytes` may pass.
    pub(crate) async fn pass(&self, bytes: u64) {
        if self.plan.is_unlimited() {
            return;
        }
        let wait = {
            let now_ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.set_rate(self.plan.rate_at(self.clock.now()), now_ns);
            bucket.take(bytes, now_ns)
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}
