//! When the host is looked at, and when the controller is told.
//!
//! Invariants: looking never holds up a heartbeat: a visit finds the result, or goes on. The controller is told after a start, when
//! something differs that lasts, and once a day. A controller that was started anew is told again, each agent at another
//! moment of ten minutes. What it refuses it is not offered again before the next day.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lumbung_model::Timestamp;
use lumbung_model::schedule::{Period, jitter};
use lumbung_wire::messages::host::{HostInventory, SmartState};
use tokio::task::JoinHandle;

use super::{Settings, Silent, find, survey};

/// The host is looked at so often.
const LOOK_S: i64 = 3600;
/// The controller is told at least so often.
const TELL_S: i64 = 86_400;
/// Over which time a city's agents spread when the controller was started anew.
const SPREAD: Period = Period::seconds(600);

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Look,
    Tell,
    Nothing,
}

/// What was done when.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    /// When the host was looked at.
    looked: Option<Timestamp>,
    /// What was seen, as far as it lasts.
    seen: Option<u64>,
    /// What the controller has, or refused, and when it was told.
    told: Option<(u64, Timestamp)>,
    /// Not before.
    not_before: Option<Timestamp>,
}

/// A clock that is set back makes something due, never puts it off.
fn is_past(since: Timestamp, seconds: i64, now: Timestamp) -> bool {
    !(0..seconds).contains(&now.seconds_since(since))
}

fn due(past: &Past, now: Timestamp) -> Due {
    if past.looked.is_none_or(|looked| is_past(looked, LOOK_S, now)) {
        return Due::Look;
    }
    let Some(seen) = past.seen else { return Due::Nothing };
    if past.not_before.is_some_and(|from| now < from) {
        return Due::Nothing;
    }
    match past.told {
        Some((told, at)) if told == seen && !is_past(at, TELL_S, now) => Due::Nothing,
        _ => Due::Tell,
    }
}

fn mark(inventory: &HostInventory) -> u64 {
    let mut hasher = DefaultHasher::new();
    inventory.lasting().hash(&mut hasher);
    hasher.finish()
}

/// What became of telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The controller has it, or will never take it.
    Settled,
    /// It could not be reached, or failed.
    Later,
}

/// Looks at the host and remembers what was told.
pub struct Keeper {
    seed: u64,
    settings: Option<(Settings, u64)>,
    looking: Option<JoinHandle<(HostInventory, Silent)>>,
    silent: Silent,
    last: Option<HostInventory>,
    past: Past,
}

impl Keeper {
    /// One that has seen nothing; `seed` spreads a city's agents.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            settings: None,
            looking: None,
            silent: Silent::new(),
            last: None,
            past: Past::default(),
        }
    }

    /// What has to be told now, if anything has. `reloads` counts how often the agent's file was read: after that the
    /// host is looked at anew.
    pub async fn visit(
        &mut self,
        settings: &Settings,
        reloads: u64,
        now: Timestamp,
    ) -> Option<&HostInventory> {
        if !settings.send {
            return None;
        }
        if self.settings.as_ref().is_none_or(|known| known.0 != *settings || known.1 != reloads) {
            if settings.smart && find(settings).is_none() {
                tracing::info!(
                    "there is no smartctl: the controller is not told how disks are (install smartmontools, or set `smart = false` in [inventory])"
                );
            }
            self.settings = Some((settings.clone(), reloads));
            self.past.looked = None;
            self.silent.clear();
        }
        self.take_in(now).await;
        if due(&self.past, now) == Due::Look && self.looking.is_none() {
            let silent = std::mem::take(&mut self.silent);
            self.looking = Some(tokio::spawn(survey(settings.clone(), silent, now)));
        }
        if due(&self.past, now) == Due::Tell { self.last.as_ref() } else { None }
    }

    /// Takes what a look that has ended saw.
    async fn take_in(&mut self, now: Timestamp) {
        let Some(looking) = self.looking.take_if(|looking| looking.is_finished()) else { return };
        self.past.looked = Some(now);
        let Ok((mut seen, silent)) = looking.await else { return };
        self.silent = silent;
        if let Some(before) = &self.last {
            seen.carry_over(before);
        }
        if let Err(error) = seen.check() {
            tracing::error!("what was seen of this host cannot be told: {error}; report this");
            return;
        }
        self.past.seen = Some(mark(&seen));
        self.last = Some(seen);
    }

    /// Remembers what became of telling.
    pub fn told(&mut self, outcome: Told, now: Timestamp) {
        if outcome != Told::Later {
            self.past.told = self.past.seen.map(|seen| (seen, now));
            self.past.not_before = None;
        }
    }

    /// The controller was started anew, and may work on an older copy of its database.
    pub fn tell_again(&mut self, now: Timestamp) {
        if self.past.told.take().is_some() {
            let spread = jitter(self.seed, now, SPREAD);
            self.past.not_before = Some(now.plus_seconds(i64::from(spread.as_seconds())));
        }
    }

    /// Disks that the agent may not open.
    #[must_use]
    pub fn refused_disks(&self) -> usize {
        let disks = self.last.iter().flat_map(|seen| &seen.disks);
        disks.filter(|disk| disk.smart_state == SmartState::Refused).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn past(seen: Option<u64>, told: Option<(u64, i64)>) -> Past {
        let told = told.map(|(mark, ago)| (mark, NOW.plus_seconds(-ago)));
        Past { looked: Some(NOW.plus_seconds(-10)), seen, told, not_before: None }
    }

    #[test]
    fn the_controller_is_told_at_the_start_on_changes_and_daily() {
        assert_eq!(due(&Past::default(), NOW), Due::Look);
        assert_eq!(due(&past(None, None), NOW), Due::Nothing, "nothing could be seen");
        assert_eq!(due(&past(Some(1), None), NOW), Due::Tell);
        assert_eq!(due(&past(Some(1), Some((1, 60))), NOW), Due::Nothing);
        assert_eq!(due(&past(Some(2), Some((1, 60))), NOW), Due::Tell);
        assert_eq!(due(&past(Some(1), Some((1, TELL_S))), NOW), Due::Tell);
        assert_eq!(due(&past(Some(1), Some((1, -60))), NOW), Due::Tell, "the clock was set back");
        let old = Past { looked: Some(NOW.plus_seconds(-LOOK_S)), ..past(Some(1), Some((1, 60))) };
        assert_eq!(due(&old, NOW), Due::Look);
    }

    #[test]
    fn a_new_controller_is_told_within_ten_minutes_by_each_at_another_moment() {
        let mut moments = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let mut keeper = Keeper { past: past(Some(1), Some((1, 60))), ..Keeper::new(seed) };
            keeper.tell_again(NOW);
            let from = keeper.past.not_before.unwrap();
            assert!(from >= NOW && from <= NOW.plus_seconds(600), "{from}");
            assert_eq!(due(&keeper.past, NOW.plus_seconds(601)), Due::Tell);
            moments.insert(from);
            keeper.told(Told::Later, NOW);
            assert_eq!(due(&keeper.past, NOW.plus_seconds(601)), Due::Tell);
            keeper.told(Told::Settled, NOW.plus_seconds(601));
            assert_eq!(due(&keeper.past, NOW.plus_seconds(660)), Due::Nothing);
        }
        assert!(moments.len() > 10, "{moments:?}");
    }

    #[tokio::test]
    async fn who_does_not_want_to_tell_is_not_looked_at() {
        let mut keeper = Keeper::new(1);
        let settings = Settings { send: false, ..Settings::default() };
        assert_eq!(keeper.visit(&settings, 0, NOW).await, None);
        assert!(keeper.looking.is_none());
    }

    #[tokio::test]
    async fn this_host_is_looked_at_beside_the_visits_and_told_once() {
        let mut keeper = Keeper::new(1);
        let settings = Settings { smart: false, ..Settings::default() };
        assert_eq!(keeper.visit(&settings, 0, NOW).await, None);
        while !keeper.looking.as_ref().unwrap().is_finished() {
            tokio::task::yield_now().await;
        }
        let seen = keeper.visit(&settings, 0, NOW).await.unwrap();
        assert!(seen.memory_bytes.is_some() && !seen.processors.is_empty(), "{seen:?}");
        assert_eq!(seen.check(), Ok(()));
        keeper.told(Told::Settled, NOW);
        assert_eq!(keeper.visit(&settings, 0, NOW).await, None);
        assert!(keeper.looking.is_none());
        assert_eq!(keeper.visit(&settings, 1, NOW).await, None);
        assert!(keeper.looking.is_some(), "the agent's file was read again");
    }
}
