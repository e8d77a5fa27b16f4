//! Routes: which alerts go to whom, by steps, and when they are told again.
//!
//! Invariants: the first route that fits counts; every alert has one, since the defaults fit everything; a route has at
//! least one step, and the first is due at once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use lumbung_model::Timestamp;
use lumbung_model::rate::{TimeOfDay, Timetable, Window};
use lumbung_model::schedule::Tz;
use lumbung_wire::messages::alerts::Severity;
use serde::{Deserialize, Deserializer};

use super::severity;

/// Some of those who can be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Contact persons of the PD that it is about, of one tier.
    Pd(u8),
    /// Whoever is on call now, of one tier; if nobody is, the Dinas.
    OnCall(u8),
    /// Contact persons of the PD that runs the Pusat Data.
    Dinas,
    /// A `[[alerts.recipient]]`.
    Named(String),
}

/// A word that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names nobody: write pd, pd:2, on-call, on-call:3, dinas, or name:NAME for an [[alerts.recipient]]"
)]
pub struct NoAudience(String);

impl FromStr for Audience {
    type Err = NoAudience;

    fn from_str(text: &str) -> Result<Self, NoAudience> {
        let wrong = || NoAudience(text.chars().take(64).collect());
        let tier = |tier: &str| match tier {
            "1" => Ok(1),
            "2" => Ok(2),
            "3" => Ok(3),
            _ => Err(wrong()),
        };
        match text.split_once(':') {
            None if text == "pd" => Ok(Self::Pd(1)),
            None if text == "on-call" => Ok(Self::OnCall(2)),
            None if text == "dinas" => Ok(Self::Dinas),
            Some(("pd", rest)) => tier(rest).map(Self::Pd),
            Some(("on-call", "2" | "3")) => tier(&text[8..]).map(Self::OnCall),
            Some(("name", name)) if !name.is_empty() => Ok(Self::Named(name.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pd(tier) => write!(f, "pd:{tier}"),
            Self::OnCall(tier) => write!(f, "on-call:{tier}"),
            Self::Dinas => f.write_str("dinas"),
            Self::Named(name) => write!(f, "name:{name}"),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who is told at one time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Minutes after the step before, if nobody has acknowledged by then; 0 for the first.
    #[serde(default)]
    pub after_min: u32,
    /// Who.
    pub to: Vec<Audience>,
}

/// Which alarms are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// Those of one kind and one PD; of no PD, those of one kind and one site.
    #[default]
    Kind,
    /// Those of one PD; of no PD, those of one site.
    Pd,
    /// Each by itself.
    Alarm,
}

/// Hours in which only what is critical is told: their first minute, and the one at which they have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet(pub Option<(TimeOfDay, TimeOfDay)>);

/// Hours that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} are no quiet hours: write them as in \"22:00-06:00\", or \"never\"")]
pub struct NotQuiet(String);

impl FromStr for Quiet {
    type Err = NotQuiet;

    fn from_str(text: &str) -> Result<Self, NotQuiet> {
        if text == "never" {
            return Ok(Self(None));
        }
        let halves = text.split_once('-');
        let read = |(from, to): (&str, &str)| Some((from.parse().ok()?, to.parse().ok()?));
        let hours: Option<(TimeOfDay, TimeOfDay)> = halves.and_then(read);
        // A day of quiet is no quiet hours: nothing would ever be told.
        let hours = hours.filter(|(from, to)| from != to);
        hours
            .map(|hours| Self(Some(hours)))
            .ok_or_else(|| NotQuiet(text.chars().take(64).collect()))
    }
}

impl<'de> Deserialize<'de> for Quiet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Quiet {
    /// Whether they last at `now` in the city's zone.
    #[must_use]
    pub fn lasts(self, now: Timestamp, zone: Tz) -> bool {
        let Some((from, to)) = self.0 else { return false };
        let hours = Window { from, to, days: None, rate: true };
        *Timetable::new(zone, vec![hours], false).at(now)
    }
}

/// `[[alerts.route]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Only alarms of these kinds; empty: of all.
    #[serde(default)]
    pub kind: Vec<String>,
    /// Only alarms of these severities; empty: of all.
    #[serde(default)]
    pub severity: Vec<Severity>,
    /// Only alarms about these PD, by code; empty: all, and those about none.
    #[serde(default)]
    pub pd: Vec<String>,
    /// Only alarms about these sites, by name; empty: all, and those about none.
    #[serde(default)]
    pub site: Vec<String>,
    /// Who is told, and who then.
    pub steps: Vec<Step>,
    /// Minutes after which whoever was told is told again, if nobody has acknowledged.
    pub repeat_min: u32,
    /// Which of its alarms are told together.
    #[serde(default)]
    pub group: Grouping,
    /// Quiet hours of its own, instead of those of `[alerts]`.
    #[serde(default)]
    pub quiet: Option<Quiet>,
}

impl Route {
    fn of(severity: Severity, steps: &[(u32, &[Audience])], repeat_min: u32) -> Self {
        let step =
            |(after_min, to): &(u32, &[Audience])| Step { after_min: *after_min, to: to.to_vec() };
        Self {
            kind: Vec::new(),
            severity: vec![severity],
            pd: Vec::new(),
            site: Vec::new(),
            steps: steps.iter().map(step).collect(),
            repeat_min,
            group: Grouping::default(),
            quiet: None,
        }
    }

    fn fits(&self, alarm: &Facts<'_>) -> bool {
        let among = |list: &[String], found: Option<&str>| {
            list.is_empty() || found.is_some_and(|found| list.iter().any(|one| one == found))
        };
        among(&self.kind, Some(alarm.kind))
            && (self.severity.is_empty() || self.severity.contains(&alarm.severity))
            && among(&self.pd, alarm.pd_code)
            && among(&self.site, alarm.site_name)
    }
}

/// What routes look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The alarm's kind.
    pub kind: &'a str,
    /// How much it matters.
    pub severity: Severity,
    /// Code of the PD that it is about.
    pub pd_code: Option<&'a str>,
    /// Name of the site that it is about.
    pub site_name: Option<&'a str>,
}

/// The routes where the city writes none: a proposal, as is every number in it.
#[must_use]
pub fn defaults() -> Vec<Route> {
    use Audience::{Dinas, OnCall, Pd};
    vec![
        Route::of(Severity::Critical, &[(0, &[Pd(1), OnCall(2)]), (15, &[Dinas, OnCall(3)])], 60),
        Route::of(Severity::Warning, &[(0, &[Pd(1)]), (60, &[OnCall(2)]), (240, &[Dinas])], 8 * 60),
        Route::of(Severity::Notice, &[(0, &[Pd(1)]), (1440, &[OnCall(2)])], 3 * 1440),
    ]
}

/// What decides who is told of what, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What the city says of kinds.
    pub severity: BTreeMap<String, Severity>,
    /// The routes; those that fit everything stand at the end.
    pub routes: Vec<Route>,
    /// Seconds for which alarms are gathered before they are told, unless they are critical.
    pub gather_s: i64,
    /// An alarm that comes back within so many seconds never went.
    pub damp_s: i64,
    /// What joins an alert is told after so many seconds at the earliest.
    pub regroup_s: i64,
    /// Quiet hours.
    pub quiet: Quiet,
    /// The city's zone.
    pub zone: Tz,
    /// When the daily digest goes out, and to whom.
    pub digest: Option<(TimeOfDay, Vec<Audience>)>,
}

impl Rules {
    /// How much alarms of this kind matter.
    #[must_use]
    pub fn severity(&self, kind: &str) -> Severity {
        self.severity.get(kind).copied().unwrap_or_else(|| severity::of(kind))
    }

    /// The route of an alarm.
    ///
    /// # Panics
    /// If the defaults are not among the routes.
    #[must_use]
    pub fn route(&self, alarm: &Facts<'_>) -> &Route {
        self.routes.iter().find(|route| route.fits(alarm)).expect("the defaults fit everything")
    }

    /// Whether what is of this severity waits at `now`.
    #[must_use]
    pub fn is_quiet(&self, route: &Route, severity: Severity, now: Timestamp) -> bool {
        let quiet = route.quiet.unwrap_or(self.quiet);
        severity < Severity::Critical && quiet.lasts(now, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_has_one_spelling() {
        for text in ["pd:1", "pd:3", "on-call:2", "on-call:3", "dinas", "name:noc"] {
            assert_eq!(text.parse::<Audience>().unwrap().to_string(), text);
        }
        assert_eq!("pd".parse::<Audience>(), Ok(Audience::Pd(1)));
        assert_eq!("on-call".parse::<Audience>(), Ok(Audience::OnCall(2)));
        for bad in ["", "pd:0", "pd:4", "pd:", "on-call:1", "on-call:", "name:", "everybody", "PD"]
        {
            assert!(bad.parse::<Audience>().is_err(), "{bad}");
        }
    }

    #[test]
    fn quiet_hours_pass_midnight_in_the_citys_zone() {
        let quiet: Quiet = "22:00-06:00".parse().unwrap();
        let zone = Tz::Asia__Jakarta;
        // 2027-01-01T00:00 WIB.
        let midnight = Timestamp(1_798_736_400);
        for (hours, expected) in
            [(0, true), (5, true), (6, false), (12, false), (21, false), (22, true)]
        {
            assert_eq!(quiet.lasts(midnight.plus_seconds(hours * 3600), zone), expected, "{hours}");
        }
        assert_eq!("never".parse(), Ok(Quiet(None)));
        for bad in ["", "22:00", "22:00-", "22:00-22:00", "22-06", "always"] {
            assert!(bad.parse::<Quiet>().is_err(), "{bad}");
        }
    }
}
