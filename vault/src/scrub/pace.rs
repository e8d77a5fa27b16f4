//! How fast a scrub reads: the timetable of the configuration, and a pass spread over its interval.
//!
//! Invariants: what is decided is pure, with both clocks as arguments; all workers of a pass share one bucket, so
//! that the cap is the site's and not a worker's; a wait ends at once when the pass is to stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lumbung_model::rate::{Cap, Rate, Speed, Timetable, TokenBucket};
use lumbung_model::{Clock, Timestamp};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Bytes that may pass at once after a pause.
const BURST: u64 = 8 << 20;
/// No pass is spread thinner than this.
const FLOOR_BYTES_S: u64 = 16 << 20;
/// How often it is looked whether a closed window has ended.
const CLOSED: Duration = Duration::from_secs(30);
/// The coming time is looked through in so many steps.
const STEPS: i64 = 1024;

/// How a pass is slowed down and stopped. Asked by several threads at once.
pub trait Pace: Send + Sync {
    /// Called after so many bytes were read; waits, and says whether to go on.
    fn after(&self, bytes: u64) -> bool;
}

/// As fast as it goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct FullSpeed;

impl Pace for FullSpeed {
    fn after(&self, _: u64) -> bool {
        true
    }
}

/// The part of an interval over which a pass is spread, and after which the next one begins, in tenths: the rest is
/// for what comes in between.
const SPREAD_TENTHS: i64 = 9;

/// How long after its beginning a pass should have ended, and the next one begins.
#[must_use]
pub const fn spread_over(interval_s: i64) -> i64 {
    interval_s.saturating_mul(SPREAD_TENTHS) / 10
}

/// How fast so many bytes must be read so that a pass that begins now ends in time, with a tenth to spare; the hours
/// in which the timetable closes the scrub do not count.
#[must_use]
pub fn spread(
    plan: &Timetable<Speed>,
    now: Timestamp,
    interval_s: i64,
    bytes: u64,
) -> Option<Rate> {
    let span = spread_over(interval_s).max(1);
    let open =
        (0..STEPS).filter(|step| *plan.at(now.plus_seconds(span * step / STEPS)) != Speed::Off);
    let open_s = u64::try_from(span).unwrap_or(1) * open.count() as u64 / STEPS.unsigned_abs();
    let needed = bytes.saturating_add(bytes / 10) / open_s.max(1);
    Rate::bytes_per_second(needed.max(FLOOR_BYTES_S))
}

/// Decides how long to wait.
#[derive(Debug)]
pub struct Regulator {
    plan: Timetable<Speed>,
    spread: Option<Rate>,
    bucket: TokenBucket,
}

impl Regulator {
    /// The timetable, and what a pass needs at least if it is to be spread.
    #[must_use]
    pub const fn new(plan: Timetable<Speed>, spread: Option<Rate>) -> Self {
        Self { plan, spread, bucket: TokenBucket::new(None, BURST) }
    }

    /// How long to wait after `bytes` were read; nothing while the timetable closes the scrub. `now_ns` is a
    /// monotonic clock.
    pub fn after(&mut self, bytes: u64, now: Timestamp, now_ns: u64) -> Option<Duration> {
        let rate = match *self.plan.at(now) {
            Speed::Off => return None,
            Speed::On(Cap(None)) => self.spread,
            Speed::On(Cap(Some(cap))) => Some(self.spread.map_or(cap, |spread| spread.min(cap))),
        };
        self.bucket.set_rate(rate, now_ns);
        Some(self.bucket.take(bytes, now_ns))
    }
}

/// Keeps a scrub at its speed and ends it when it is told to.
pub(crate) struct Throttle {
    regulator: Mutex<Regulator>,
    clock: Arc<dyn Clock>,
    since: Instant,
    runtime: Handle,
    stop: CancellationToken,
}

impl Throttle {
    /// Called within the runtime.
    pub(crate) fn new(
        regulator: Regulator,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        let (regulator, since) = (Mutex::new(regulator), Instant::now());
        Self { regulator, clock, since, runtime: Handle::current(), stop }
    }

    /// Waits; `false` if it is to stop.
    fn wait(&self, time: Duration) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                () = self.stop.cancelled() => false,
                () = tokio::time::sleep(time) => true,
            }
        })
    }
}

impl Pace for Throttle {
    fn after(&self, bytes: u64) -> bool {
        while !self.stop.is_cancelled() {
            let now_ns = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let decided = self.regulator.lock().unwrap_or_else(PoisonError::into_inner).after(
                bytes,
                self.clock.now(),
                now_ns,
            );
            match decided {
                Some(Duration::ZERO) => return true,
                Some(time) => return self.wait(time),
                None => {
                    self.wait(CLOSED);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use lumbung_model::rate::Window;
    use lumbung_model::schedule::parse_zone;

    use super::*;

    const NIGHT: Timestamp = Timestamp(1_800_000_000 - 1_800_000_000 % 86_400 + 17 * 3600);

    /// Closed from 07:00 to 17:00 in Jakarta; `rate` at night.
    fn by_night(rate: Cap) -> Timetable<Speed> {
        let (from, to) = ("07:00".parse().unwrap(), "17:00".parse().unwrap());
        let day = Window { from, to, days: None, rate: Speed::Off };
        Timetable::new(parse_zone("Asia/Jakarta").unwrap(), vec![day], Speed::On(rate))
    }

    const fn always(rate: Cap) -> Timetable<Speed> {
        Timetable::always(Speed::On(rate))
    }

    const fn mib(n: u64) -> Cap {
        Cap(Rate::bytes_per_second(n << 20))
    }

    #[test]
    fn however_it_is_asked_no_more_passes_than_the_cap() {
        for step in [1 << 20, 3_333_333, 40 << 20] {
            let mut regulator = Regulator::new(always(mib(10)), None);
            let (mut now_ns, mut passed) = (0_u64, 0_u64);
            while now_ns < 60_000_000_000 {
                passed += step;
                let wait = regulator.after(step, NIGHT, now_ns).unwrap();
                now_ns += u64::try_from(wait.as_nanos()).unwrap();
            }
            let allowed = u128::from(BURST) + (10 << 20) * u128::from(now_ns) / 1_000_000_000;
            assert!(u128::from(passed) <= allowed, "{step}: {passed} of {allowed}");
            assert!(u128::from(passed) * 10 > allowed * 8, "{step}: {passed} of {allowed}");
        }
    }

    #[test]
    fn nothing_is_read_while_a_window_is_closed() {
        let mut regulator = Regulator::new(by_night(Cap(None)), None);
        let day = NIGHT.plus_seconds(10 * 3600);
        assert_eq!(regulator.after(1 << 30, NIGHT, 0), Some(Duration::ZERO));
        assert_eq!(regulator.after(1, day, 1), None);
        assert_eq!(regulator.after(1, NIGHT.plus_seconds(86_400), 2), Some(Duration::ZERO));
    }

    #[test]
    fn a_pass_is_spread_over_the_open_hours_and_no_thinner_than_the_floor() {
        let week = 7 * 86_400;
        let bytes = 100_u64 << 40;
        let even = spread(&always(Cap(None)), NIGHT, week, bytes).unwrap().as_bytes_per_second();
        let span = u64::try_from(spread_over(week)).unwrap();
        assert!(even * span >= bytes && even * span < bytes / 10 * 12);
        // 14 of 24 hours are open.
        let night = spread(&by_night(Cap(None)), NIGHT, week, bytes).unwrap().as_bytes_per_second();
        let ratio = night * 100 / even;
        assert!((160..=178).contains(&ratio), "{ratio}");
        let small = spread(&always(Cap(None)), NIGHT, week, 1 << 20).unwrap();
        assert_eq!(small.as_bytes_per_second(), FLOOR_BYTES_S);
    }

    #[test]
    fn the_cap_goes_before_the_spread() {
        let spread = Rate::bytes_per_second(100 << 20);
        let mut capped = Regulator::new(always(mib(1)), spread);
        assert_eq!(capped.after(BURST + (5 << 20), NIGHT, 0), Some(Duration::from_secs(5)));
        let mut spread = Regulator::new(always(Cap(None)), spread);
        assert_eq!(spread.after(BURST + (500 << 20), NIGHT, 0), Some(Duration::from_secs(5)));
    }
}
