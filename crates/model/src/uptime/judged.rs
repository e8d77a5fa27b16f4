//! From what several places saw to what is said of a check, and from checks to what is said of a subject.
//!
//! Invariants: a place that was not told to look has no say; of those that were, one that saw it up is enough for up, and
//! down takes two, or the only one there is. A place that was itself cut off has seen nothing.

use super::timeline::{Timeline, lay};
use crate::Timestamp;

/// What is said of a check or of a subject at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Judged {
    /// Some place saw it up.
    Up,
    /// Nobody looked.
    Unobserved,
    /// One place saw it down while the others did not look.
    Unconfirmed,
    /// Down within a maintenance window.
    Planned,
    /// Down.
    Down,
}

/// What one place saw of a check.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// When it was told to look.
    pub told: Timeline<()>,
    /// What each of its probers saw.
    pub seen: Vec<Timeline<bool>>,
    /// When it was itself cut off.
    pub cut_off: Timeline<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Up,
    Down,
    Blind,
}

impl Place {
    /// What it saw while it was told to look: one prober that saw it up is enough.
    fn view(&self, window: (Timestamp, Timestamp)) -> Timeline<View> {
        let flag = |line: &Timeline<()>| {
            lay(std::slice::from_ref(line), window, |states| states[0].map(|()| true))
        };
        let mut layers = vec![flag(&self.told), flag(&self.cut_off)];
        layers.extend(self.seen.iter().cloned());
        lay(&layers, window, |states| {
            states[0]?;
            let seen = || states[2..].iter().flatten();
            Some(match (seen().any(|up| *up), seen().any(|up| !*up), states[1]) {
                (true, ..) => View::Up,
                (false, true, None) => View::Down,
                (false, ..) => View::Blind,
            })
        })
    }
}

/// What is said of a check; nothing while no place was told to look. The places for which it was down while it was up for
/// another are given with it: their links, not the target.
#[must_use]
pub fn check(
    places: &[Place],
    window: (Timestamp, Timestamp),
) -> (Timeline<Judged>, Vec<Timeline<()>>) {
    let views: Vec<Timeline<View>> = places.iter().map(|place| place.view(window)).collect();
    let judged = lay(&views, window, |states| {
        let count = |wanted| states.iter().flatten().filter(|view| **view == wanted).count();
        let (up, down, told) =
            (count(View::Up), count(View::Down), states.iter().flatten().count());
        Some(match (told, up, down) {
            (0, ..) => return None,
            (_, 1.., _) => Judged::Up,
            (_, 0, 0) => Judged::Unobserved,
            (_, 0, down) if down >= told.min(2) => Judged::Down,
            (_, 0, _) => Judged::Unconfirmed,
        })
    });
    let links = (0..views.len())
        .map(|own| {
            lay(&views, window, |states| {
                let elsewhere = states.contains(&Some(View::Up));
                (elsewhere && states[own] == Some(View::Down)).then_some(())
            })
        })
        .collect();
    (judged, links)
}

/// What is said of a subject: the worst of its checks; what somebody entered as down is down; what is down in a maintenance
/// window is planned. Nothing while it has no check and nobody entered anything.
#[must_use]
pub fn subject(
    checks: &[Timeline<Judged>],
    entered: &Timeline<()>,
    maintenance: &Timeline<()>,
    window: (Timestamp, Timestamp),
) -> Timeline<Judged> {
    let as_layer = |line: &Timeline<()>, state| {
        lay(std::slice::from_ref(line), window, |s| s[0].map(|()| state))
    };
    // A maintenance window is a layer of its own at the end, whatever state it is in.
    let mut layers = checks.to_vec();
    layers.push(as_layer(entered, Judged::Down));
    layers.push(as_layer(maintenance, Judged::Planned));
    lay(&layers, window, |states| {
        let (planned, rest) = states.split_last()?;
        let worst = rest.iter().flatten().max().copied()?;
        Some(if worst == Judged::Down && planned.is_some() { Judged::Planned } else { worst })
    })
}

/// What checks say of a subject, and where they say nothing, what is known otherwise.
#[must_use]
pub fn else_by(
    checks: &[Timeline<Judged>],
    otherwise: Timeline<Judged>,
    window: (Timestamp, Timestamp),
) -> Timeline<Judged> {
    let nothing = Timeline::default();
    let worst = subject(checks, &nothing, &nothing, window);
    lay(&[worst, otherwise], window, |states| states[0].or(states[1]))
}

/// Seconds of a subject's life, by what is said of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Up.
    pub up_s: i64,
    /// Down outside maintenance windows.
    pub down_s: i64,
    /// Down within maintenance windows.
    pub planned_s: i64,
    /// Down as one place saw it while the others did not look.
    pub unconfirmed_s: i64,
    /// Not looked at.
    pub unobserved_s: i64,
}

impl Figures {
    /// Adds a timeline up.
    #[must_use]
    pub fn of(line: &Timeline<Judged>) -> Self {
        Self {
            up_s: line.seconds(Judged::Up),
            down_s: line.seconds(Judged::Down),
            planned_s: line.seconds(Judged::Planned),
            unconfirmed_s: line.seconds(Judged::Unconfirmed),
            unobserved_s: line.seconds(Judged::Unobserved),
        }
    }

    /// Of both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            up_s: self.up_s + other.up_s,
            down_s: self.down_s + other.down_s,
            planned_s: self.planned_s + other.planned_s,
            unconfirmed_s: self.unconfirmed_s + other.unconfirmed_s,
            unobserved_s: self.unobserved_s + other.unobserved_s,
        }
    }

    /// The availability, in ten-thousandths of a percent, never rounded up: of the time in which it was known to be up or
    /// down, outside planned downtime. None if there was no such time.
    #[must_use]
    pub fn availability(&self) -> Option<u32> {
        let known = i128::from(self.up_s) + i128::from(self.down_s);
        let share = i128::from(self.up_s).checked_mul(1_000_000)?.checked_div(known)?;
        u32::try_from(share).ok()
    }
}
