//! Chance that is the same on every machine and with every version of a library: SplitMix64 (G. L. Steele et al., OOPSLA 2014).

#![expect(clippy::cast_possible_truncation, reason = "simulated figures are rounded, and small")]

use std::f64::consts::TAU;

/// A sequence that its seed determines.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Anything between, all alike.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Anything between, every order of magnitude alike.
    pub(crate) fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Around 1, log-normal.
    pub(crate) fn around_one(&mut self, sigma: f64) -> f64 {
        (self.normal() * sigma).exp()
    }

    /// Normal with mean 0 and deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        let (u, v) = (self.unit().max(1e-12), self.unit());
        (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
    }

    /// With this probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of so many.
    pub(crate) fn pick(&mut self, of: usize) -> usize {
        ((self.unit() * of as f64) as usize).min(of - 1)
    }

    /// A whole number whose mean is this one.
    pub(crate) fn count(&mut self, mean: f64) -> u64 {
        (mean.max(0.0) + self.unit()) as u64
    }
}
