//! The pull's speed: of the configuration's cap and the register's the lower one, enforced by one bucket for all transfers.

use lumbung_model::Clock;
use lumbung_model::rate::{Rate, RatePlan, TokenBucket};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Bytes that may pass at once after a pause.
const BURST: u64 = 4 << 20;

/// Lets bytes through as fast as both allow.
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

    /// Waits until `bytes` may pass; `register` is the register's cap now. It may lower what the file says and not lift it.
    pub(crate) async fn pass(&self, bytes: u64, register: Option<Rate>) {
        let own = self.plan.rate_at(self.clock.now());
        let rate = [own, register].into_iter().flatten().min();
        let wait = {
            let now_ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.set_rate(rate, now_ns);
            bucket.take(bytes, now_ns)
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::rate::Cap;
    use lumbung_model::{FixedClock, Timestamp};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_lower_of_both_caps_holds() {
        let rate = |bytes| Rate::bytes_per_second(bytes);
        let clock = Arc::new(FixedClock::new(Timestamp(1_800_000_000)));
        let took = async |own, register, bytes| {
            let limiter = Limiter::new(RatePlan::always(Cap(own)), clock.clone());
            limiter.pass(BURST, register).await;
            let before = Instant::now();
            limiter.pass(bytes, register).await;
            before.elapsed().as_secs()
        };
        assert_eq!(took(rate(1000), rate(10_000), 100_000).await, 100, "nothing is lifted");
        assert_eq!(took(rate(10_000), rate(1000), 100_000).await, 100);
        assert_eq!(took(None, rate(1000), 100_000).await, 100);
        assert_eq!(took(rate(1000), None, 100_000).await, 100);
        assert_eq!(took(None, None, u64::MAX).await, 0);
    }
}
