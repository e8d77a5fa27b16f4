//! A token bucket as pure state, in the form of the generic cell rate algorithm: one number, the
//! moment at which everything that was let through so far will have been paid for.

use std::time::Duration;

use super::Rate;

const NANOSECONDS: u128 = 1_000_000_000;

/// Lets `rate` through on average, and at most `burst` bytes at once after a pause.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: Option<Rate>,
    burst_bytes: u64,
    /// When all that was taken is paid for, on the caller's monotonic clock.
    paid_ns: u64,
}

impl TokenBucket {
    /// A full bucket; no rate lets everything through.
    #[must_use]
    pub const fn new(rate: Option<Rate>, burst_bytes: u64) -> Self {
        Self { rate, burst_bytes, paid_ns: 0 }
    }

    /// The rate in force.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Another rate from `now_ns` on. What is not paid for yet is paid for at the new rate.
    pub fn set_rate(&mut self, rate: Option<Rate>, now_ns: u64) {
        if rate == self.rate {
            return;
        }
        let owed_ns = u128::from(self.paid_ns.saturating_sub(now_ns));
        let owed_bytes = self
            .rate
            .map_or(0, |old| owed_ns * u128::from(old.as_bytes_per_second()) / NANOSECONDS);
        self.rate = rate;
        self.paid_ns = now_ns.saturating_add(self.time_for(owed_bytes));
    }

    /// Another burst, from the next call on.
    pub const fn set_burst(&mut self, burst_bytes: u64) {
        self.burst_bytes = burst_bytes;
    }

    /// Lets go of what was let through without being paid for, beyond a burst: for who does not always wait as long as told.
    pub fn forgive(&mut self, now_ns: u64) {
        let burst_ns = self.time_for(u128::from(self.burst_bytes));
        self.paid_ns = self.paid_ns.min(now_ns.saturating_add(burst_ns));
    }

    /// Takes `bytes` now, and says how long the caller must wait before it sends them (or anything
    /// after them). `now_ns` is a monotonic clock; one that stands still or goes back is borne.
    pub fn take(&mut self, bytes: u64, now_ns: u64) -> Duration {
        if self.rate.is_none() {
            self.paid_ns = now_ns;
            return Duration::ZERO;
        }
        let burst_ns = self.time_for(u128::from(self.burst_bytes));
        self.paid_ns = self.paid_ns.max(now_ns).saturating_add(self.time_for(u128::from(bytes)));
        Duration::from_nanos(self.paid_ns.saturating_sub(now_ns).saturating_sub(burst_ns))
    }

    /// How long so many bytes take, rounded up.
    fn time_for(&self, bytes: u128) -> u64 {
        let Some(rate) = self.rate else { return 0 };
        let ns = (bytes * NANOSECONDS).div_ceil(u128::from(rate.as_bytes_per_second()));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}
