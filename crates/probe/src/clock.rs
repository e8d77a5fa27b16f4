//! The machine's two clocks, read together: what observations are dated by.

use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::{Clock, Steady, Timestamp};

/// A clock that does not jump ([`Steady`]).
pub struct SteadyClock {
    wall: Arc<dyn Clock>,
    steady: Mutex<Steady>,
}

impl SteadyClock {
    /// Starts at what the wall clock shows.
    #[must_use]
    pub fn start(wall: Arc<dyn Clock>) -> Self {
        let steady = Mutex::new(Steady::start(wall.now(), boot_s()));
        Self { wall, steady }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        steady.read(self.wall.now(), boot_s())
    }
}

/// Seconds since the machine was started, sleep included.
fn boot_s() -> u64 {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(since.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use lumbung_model::FixedClock;

    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_is_not_believed_at_once() {
        let wall = Arc::new(FixedClock::new(Timestamp(1_800_000_000)));
        let clock = SteadyClock::start(wall.clone());
        let before = clock.now();
        wall.set(Timestamp(1_900_000_000));
        assert!(clock.now().seconds_since(before) < 3600, "only the boot time moves it");
        wall.set(Timestamp(1_700_000_000));
        assert!(clock.now() >= before);
    }
}
