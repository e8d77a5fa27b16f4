//! A clock for what is observed: it advances with the time since the machine's boot, whatever is done to the wall clock.
//!
//! Invariants: never goes back; a wall clock that was set is followed only by as much as it has differed for the whole of
//! [`FOLLOW_AFTER_S`], so that a clock that is wrong for a while dates no outage wrongly. Followed forward, it leaves a
//! gap; followed backward, it stands still until the wall clock has caught up.

use crate::Timestamp;

/// How long a difference has to last before it is followed, seconds.
pub const FOLLOW_AFTER_S: u64 = 3600;
/// Two clocks that are read in whole seconds differ by so much without either being wrong.
const ROUNDING_S: i64 = 1;

/// The clock, at its last reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steady {
    /// What it showed last.
    shown: Timestamp,
    /// What it shows at boot time 0, as far as it has followed.
    origin: Timestamp,
    lasting: Option<Lasting>,
}

/// By how much the wall clock has differed all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lasting {
    /// Boot time, seconds.
    since_s: u64,
    /// The least of it; positive if the wall clock is ahead.
    least_s: i64,
}

impl Lasting {
    /// With one more reading; a difference the other way begins anew.
    fn and(self, now_s: u64, ahead_s: i64) -> Self {
        if self.least_s.signum() != ahead_s.signum() {
            return Self { since_s: now_s, least_s: ahead_s };
        }
        let least_s = if ahead_s.unsigned_abs() < self.least_s.unsigned_abs() {
            ahead_s
        } else {
            self.least_s
        };
        Self { least_s, ..self }
    }
}

impl Steady {
    /// A clock that starts at the wall clock's time. `boot_s` is the time since the machine's start, sleep included.
    #[must_use]
    pub fn start(wall: Timestamp, boot_s: u64) -> Self {
        Self { shown: wall, origin: wall.plus_seconds(-signed(boot_s)), lasting: None }
    }

    /// What it shows now, by the wall clock and the seconds since the machine's start.
    pub fn read(&mut self, wall: Timestamp, boot_s: u64) -> Timestamp {
        let ahead_s = wall.seconds_since(self.origin.plus_seconds(signed(boot_s)));
        if ahead_s.unsigned_abs() <= ROUNDING_S.unsigned_abs() {
            self.lasting = None;
        } else {
            let fresh = Lasting { since_s: boot_s, least_s: ahead_s };
            let lasting = self.lasting.map_or(fresh, |known| known.and(boot_s, ahead_s));
            self.lasting = Some(lasting);
            if boot_s.saturating_sub(lasting.since_s) > FOLLOW_AFTER_S {
                self.origin = self.origin.plus_seconds(lasting.least_s);
                self.lasting = None;
            }
        }
        self.shown = self.shown.max(self.origin.plus_seconds(signed(boot_s)));
        self.shown
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000;

    /// Reads every minute from `from_s` to `to_s` of boot time, with a wall clock that is `ahead_s` of the true time.
    fn minutes(clock: &mut Steady, (from_s, to_s): (u64, u64), ahead_s: i64) -> Vec<i64> {
        (from_s..=to_s)
            .step_by(60)
            .map(|boot_s| {
                let wall = Timestamp(START + i64::try_from(boot_s).unwrap() + ahead_s);
                clock.read(wall, boot_s).0 - START - i64::try_from(boot_s).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_step_that_is_taken_back_within_the_hour_is_never_seen() {
        for ahead_s in [86_400, -86_400, 5, -5] {
            let mut clock = Steady::start(Timestamp(START), 0);
            assert!(minutes(&mut clock, (0, 600), 0).iter().all(|shown| *shown == 0));
            assert!(minutes(&mut clock, (660, 4200), ahead_s).iter().all(|shown| *shown == 0));
            assert!(minutes(&mut clock, (4260, 20_000), 0).iter().all(|shown| *shown == 0));
        }
    }

    #[test]
    fn a_step_forward_is_followed_after_an_hour() {
        let mut clock = Steady::start(Timestamp(START), 0);
        let shown = minutes(&mut clock, (0, 7200), 500);
        assert_eq!(shown.iter().position(|shown| *shown == 500), Some(61));
        assert!(shown[..61].iter().all(|shown| *shown == 0));
        assert!(shown[61..].iter().all(|shown| *shown == 500));
    }

    #[test]
    fn a_step_backward_makes_it_stand_still_until_caught_up() {
        let mut clock = Steady::start(Timestamp(START), 0);
        let shown: Vec<i64> = minutes(&mut clock, (0, 7200), -600);
        let absolute: Vec<i64> =
            shown.iter().zip((0..).step_by(60)).map(|(shown, boot_s)| shown + boot_s).collect();
        assert!(absolute.windows(2).all(|pair| pair[0] <= pair[1]), "it never goes back");
        let standing = absolute.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(standing, 10, "600 s of standing still, a reading a minute");
        assert_eq!(shown.last(), Some(&-600));
    }

    #[test]
    fn what_lasted_is_followed_and_not_the_last_reading() {
        let mut clock = Steady::start(Timestamp(START), 0);
        minutes(&mut clock, (0, 3540), 3);
        let shown = minutes(&mut clock, (3600, 3660), 86_400);
        assert_eq!(shown, [0, 3], "a day ahead for two minutes is not what lasted an hour");
        assert!(minutes(&mut clock, (3720, 10_000), 3).iter().all(|shown| *shown == 3));
    }

    #[test]
    fn a_wrong_clock_at_the_start_is_left_after_an_hour() {
        let mut clock = Steady::start(Timestamp(0), 5);
        assert_eq!(clock.read(Timestamp(START), 10), Timestamp(5));
        assert_eq!(clock.read(Timestamp(START + 3600), 3610), Timestamp(3605));
        assert_eq!(clock.read(Timestamp(START + 3601), 3611), Timestamp(START + 3601));
    }

    #[test]
    fn a_suspended_machine_has_a_gap_at_once() {
        let mut clock = Steady::start(Timestamp(START), 100);
        // Boot time includes the eight hours of sleep, as the wall clock does.
        assert_eq!(clock.read(Timestamp(START + 28_800), 28_900), Timestamp(START + 28_800));
    }

    #[test]
    fn rounding_is_no_difference() {
        let mut clock = Steady::start(Timestamp(START), 0);
        for boot_s in 1..20_000 {
            let wall = START + boot_s + boot_s % 3 - 1;
            let shown = clock.read(Timestamp(wall), u64::try_from(boot_s).unwrap());
            assert_eq!(shown, Timestamp(START + boot_s));
        }
    }

    #[test]
    fn a_drifting_clock_is_kept_up_with() {
        // 100 ppm, as a machine without NTP may have after a repaired oscillator was set by hand.
        let mut clock = Steady::start(Timestamp(START), 0);
        let mut shown = Timestamp(0);
        for boot_s in (0..864_000_i64).step_by(60) {
            let wall = Timestamp(START + boot_s + boot_s / 10_000);
            shown = clock.read(wall, u64::try_from(boot_s).unwrap());
            assert!(wall.seconds_since(shown) <= 3, "at {boot_s}: {}", wall.seconds_since(shown));
        }
        assert!(shown.0 > START + 864_000);
    }
}
