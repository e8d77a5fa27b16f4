//! What becomes of the frames of one pack: the state machine of the sweep. Pure; times are the retention clock's.
//!
//! present → waiting → condemned → absent, and from each of the first two back to present when a snapshot names the
//! frame. Invariants: a frame in use is neither waiting nor condemned after a [`FrameStates::mark`]; it takes
//! [`IDLE_S`] of waiting, and no lease that began before the waiting did, to be condemned, and
//! [`CONDEMNED_S`] more to be due. What becomes unused while others wait is looked at when those are done:
//! so waiting can only end, never begin anew for ever.

use lumbung_pack::Bitmap;

/// Unused frames wait so long before they are condemned: 48 h.
pub(crate) const IDLE_S: u64 = 48 * 3600;
/// Condemned frames stay so long on the disk: 24 h.
pub(crate) const CONDEMNED_S: u64 = 24 * 3600;

/// The frames of a pack, as far as they are not simply there and in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameStates {
    /// Not here.
    pub(crate) absent: Bitmap,
    /// Here and unused, and when they were first found so.
    pub(crate) waiting: Option<(Bitmap, u64)>,
    /// Here and answered as absent, and since when.
    pub(crate) condemned: Option<(Bitmap, u64)>,
}

impl FrameStates {
    /// All `frames` of a pack are there.
    pub(crate) fn whole(frames: u32) -> Self {
        Self { absent: Bitmap::new(frames), waiting: None, condemned: None }
    }

    /// Whether there is nothing to say of the pack.
    pub(crate) fn is_whole(&self) -> bool {
        self.absent.is_empty() && self.waiting.is_none() && self.condemned.is_none()
    }

    /// Frames that a sender should not count on: absent or condemned.
    pub(crate) fn refused(&self) -> Bitmap {
        match &self.condemned {
            Some((condemned, _)) => self.absent.or(condemned),
            None => self.absent.clone(),
        }
    }

    /// Looks at the pack at `now_s`: `used` are the frames that live snapshots name, `leases` the times at which the
    /// sessions under way in this domain began.
    pub(crate) fn mark(&mut self, used: &Bitmap, now_s: u64, leases: &[u64]) {
        self.revive(used);
        if self.condemned.is_none() {
            let ripe = |since: u64| {
                now_s.saturating_sub(since) >= IDLE_S && leases.iter().all(|began| since < *began)
            };
            if let Some((waiting, _)) = self.waiting.take_if(|(_, since)| ripe(*since)) {
                self.condemned = Some((waiting, now_s));
            }
        }
        if self.waiting.is_none() {
            let unused = Bitmap::full(used.bits()).minus(used).minus(&self.refused());
            self.waiting = (!unused.is_empty()).then_some((unused, now_s));
        }
    }

    /// Somebody counts on these frames, or a snapshot names them: they wait no longer and are not condemned.
    pub(crate) fn revive(&mut self, named: &Bitmap) {
        for state in [&mut self.waiting, &mut self.condemned] {
            if let Some((frames, _)) = state {
                *frames = frames.minus(named);
            }
            state.take_if(|(frames, _)| frames.is_empty());
        }
    }

    /// Somebody was told that these frames are here: their waiting, if they wait, begins anew at the next mark.
    pub(crate) fn touch(&mut self, named: &Bitmap) {
        if let Some((frames, _)) = &mut self.waiting {
            *frames = frames.minus(named);
        }
        self.waiting.take_if(|(frames, _)| frames.is_empty());
    }

    /// Frames whose time is over.
    pub(crate) fn due(&self, now_s: u64) -> Option<&Bitmap> {
        let (frames, since) = self.condemned.as_ref()?;
        (now_s.saturating_sub(*since) >= CONDEMNED_S).then_some(frames)
    }

    /// What was condemned is gone.
    pub(crate) fn drop_condemned(&mut self) {
        if let Some((frames, _)) = self.condemned.take() {
            self.absent = self.absent.or(&frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(frames: &[u32]) -> Bitmap {
        let mut set = Bitmap::new(8);
        frames.iter().for_each(|frame| set.set(*frame));
        set
    }

    const ALL: [u32; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

    #[test]
    fn an_unused_frame_waits_is_condemned_and_goes() {
        let mut states = FrameStates::whole(8);
        states.mark(&set(&ALL), 0, &[]);
        assert!(states.is_whole());
        states.mark(&set(&[0, 1]), 10, &[]);
        assert_eq!(states.waiting, Some((set(&[2, 3, 4, 5, 6, 7]), 10)));
        states.mark(&set(&[0, 1]), 10 + IDLE_S - 1, &[]);
        assert_eq!(states.condemned, None);
        assert!(states.refused().is_empty());
        states.mark(&set(&[0, 1]), 10 + IDLE_S, &[]);
        assert_eq!(states.refused(), set(&[2, 3, 4, 5, 6, 7]), "answered as absent");
        assert_eq!(states.due(10 + IDLE_S + CONDEMNED_S - 1), None);
        assert_eq!(states.due(10 + IDLE_S + CONDEMNED_S), Some(&set(&[2, 3, 4, 5, 6, 7])));
        states.drop_condemned();
        assert_eq!(states.absent, set(&[2, 3, 4, 5, 6, 7]));
        states.mark(&set(&[0, 1]), u64::MAX, &[]);
        assert_eq!((states.waiting, states.condemned), (None, None));
    }

    #[test]
    fn what_is_named_comes_back_from_waiting_and_from_condemnation() {
        let mut states = FrameStates::whole(8);
        states.mark(&set(&[]), 0, &[]);
        states.mark(&set(&[1]), IDLE_S, &[]);
        assert_eq!(states.refused(), set(&[0, 2, 3, 4, 5, 6, 7]));
        states.revive(&set(&[3, 4]));
        assert_eq!(states.refused(), set(&[0, 2, 5, 6, 7]));
        states.mark(&set(&[1, 3, 4, 5]), IDLE_S + 1, &[]);
        assert_eq!(states.refused(), set(&[0, 2, 6, 7]));
        states.revive(&set(&ALL));
        assert!(states.is_whole());
    }

    #[test]
    fn a_lease_that_is_older_than_the_waiting_protects() {
        let mut states = FrameStates::whole(8);
        states.mark(&set(&[]), 100, &[]);
        let first_seed = 50; // began before these frames were first seen unused: they may be its own
        states.mark(&set(&[]), 100 + 28 * 86_400, &[first_seed, 101]);
        assert_eq!(states.condemned, None, "28 nights later");
        states.mark(&set(&[]), 100 + 28 * 86_400, &[101]);
        assert!(states.condemned.is_some(), "a later session has nothing to do with them");
    }

    #[test]
    fn an_answer_that_a_frame_is_here_makes_its_waiting_begin_anew() {
        let mut states = FrameStates::whole(8);
        states.mark(&set(&[0]), 0, &[]);
        states.touch(&set(&[1, 2]));
        states.mark(&set(&[0]), IDLE_S, &[]);
        assert_eq!(states.refused(), set(&[3, 4, 5, 6, 7]));
        assert_eq!(states.waiting, Some((set(&[1, 2]), IDLE_S)));
    }

    #[test]
    fn frames_that_die_one_by_one_do_not_keep_each_other_alive() {
        let mut states = FrameStates::whole(8);
        let mut now = 0;
        for dying in 1..=8 {
            states.mark(&set(&ALL[dying..]), now, &[]);
            now += 86_400;
            if states.due(now).is_some() {
                states.drop_condemned();
            }
        }
        assert!(states.absent.count_ones() >= 3, "{states:?}");
    }
}
