//! The pull's speed: of the configuration's cap and the register's the lower one, enforced by one bucket for all transfers.

use lumbung_model::Clock;
use lumbung_model::rate::{Rate, RatePlan, TokenBucket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Bytes that may pass at once after a pause.
const BURST: u64 = 4 << 20;

/// Whoever waits looks again so often whether another cap holds by now.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Lets bytes through as fast as both allow.
pub(crate) struct Limiter {
    plan: RatePlan,
    clock: Arc<dyn Clock>,
    since: Instant,
    /// Who holds it waits; it is fair.
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

    /// Waits until `bytes` may pass; `register` tells the register's cap now. It may lower what the file says and not lift it.
    pub(crate) async fn pass(&self, bytes: u64, register: impl Fn() -> Option<Rate>) {
        let mut bucket = self.bucket.lock().await;
        let mut bytes = bytes;
        loop {
            let own = self.plan.rate_at(self.clock.now());
            let rate = [own, register()].into_iter().flatten().min();
            let now_ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            bucket.set_rate(rate, now_ns);
            let wait = bucket.take(std::mem::take(&mut bytes), now_ns);
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
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
            limiter.pass(BURST, || register).await;
            let before = Instant::now();
            limiter.pass(bytes, || register).await;
            before.elapsed().as_secs()
        };
        assert_eq!(took(rate(1000), rate(10_000), 100_000).await, 100, "nothing is lifted");
        assert_eq!(took(rate(10_000), rate(1000), 100_000).await, 100);
        assert_eq!(took(None, rate(1000), 100_000).await, 100);
        assert_eq!(took(rate(1000), None, 100_000).await, 100);
        assert_eq!(took(None, None, u64::MAX).await, 0);
    }
    #[tokio::test(start_paused = true)]
    async fn who_waits_at_a_low_cap_goes_on_when_it_is_lifted() {
        let clock = Arc::new(FixedClock::new(Timestamp(1_800_000_000)));
        let limiter = Limiter::new(RatePlan::unlimited(), clock);
        let begun = Instant::now();
        let register = || {
            let lifted = begun.elapsed() >= Duration::from_secs(60);
            if lifted { None } else { Rate::bytes_per_second(1000) }
        };
        limiter.pass(100 << 20, register).await;
        assert!(begun.elapsed() <= Duration::from_secs(70), "{:?}", begun.elapsed());
    }
}
