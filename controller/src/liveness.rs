//! Whether an agent is up, late, down, or was never heard of.
//!
//! Pure: a function of when it was heard of last and of `now`. The agent's own clock decides nothing;
//! where it is far off, that is a warning.

use lumbung_model::Timestamp;
use lumbung_model::compliance::CLOCK_TOLERANCE_S;
use lumbung_wire::messages::register::HeartbeatState;

/// When silence means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Seconds between two heartbeats.
    pub interval_s: u32,
}

impl Patience {
    /// Silence longer than this is late: two and a half intervals.
    #[must_use]
    pub fn late_after_s(self) -> i64 {
        i64::from(self.interval_s) * 5 / 2
    }

    /// Silence longer than this is down: five intervals.
    #[must_use]
    pub fn down_after_s(self) -> i64 {
        i64::from(self.interval_s) * 5
    }

    /// The state of an agent that was heard of at `last_seen`.
    #[must_use]
    pub fn state(self, last_seen: Option<Timestamp>, now: Timestamp) -> HeartbeatState {
        let Some(last_seen) = last_seen else { return HeartbeatState::Never };
        let silence_s = now.seconds_since(last_seen);
        if silence_s > self.down_after_s() {
            HeartbeatState::Down
        } else if silence_s > self.late_after_s() {
            HeartbeatState::Late
        } else {
            HeartbeatState::Up
        }
    }
}

/// How far the other's clock was ahead of ours, if it is too far for a warning to be kept back.
#[must_use]
pub fn clock_warning_s(theirs: Timestamp, ours: Timestamp) -> Option<i64> {
    let ahead_s = theirs.seconds_since(ours);
    (ahead_s.saturating_abs() > CLOCK_TOLERANCE_S).then_some(ahead_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_has_a_name() {
        let patience = Patience { interval_s: 60 };
        let now = Timestamp(1_000_000);
        let state = |silence_s: i64| patience.state(Some(now.plus_seconds(-silence_s)), now);
        assert_eq!(patience.state(None, now), HeartbeatState::Never);
        for (silence_s, expected) in [
            (-500, HeartbeatState::Up),
            (0, HeartbeatState::Up),
            (150, HeartbeatState::Up),
            (151, HeartbeatState::Late),
            (300, HeartbeatState::Late),
            (301, HeartbeatState::Down),
            (1_000_000, HeartbeatState::Down),
        ] {
            assert_eq!(state(silence_s), expected, "{silence_s}");
        }
    }

    #[test]
    fn two_hours_of_difference_warn() {
        let now = Timestamp(1_000_000);
        assert_eq!(clock_warning_s(now.plus_seconds(7200), now), None);
        assert_eq!(clock_warning_s(now.plus_seconds(7201), now), Some(7201));
        assert_eq!(clock_warning_s(now.plus_seconds(-7201), now), Some(-7201));
        assert_eq!(clock_warning_s(Timestamp(i64::MIN), now), Some(i64::MIN));
    }
}
